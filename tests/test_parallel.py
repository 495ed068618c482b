"""workers= with the real thing: concurrent.futures, multiprocessing, joblib, Dask and MPI."""

import contextlib
import functools
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import scipy
from scipy.optimize import rosen, rosen_der

from twophase_min import FiniteSum, Status, minimize, multistart
from twophase_min.finite_sum import Shards
from twophase_min.objective import workers as _workers

ROOT = Path(__file__).parents[1]
BOX = [(-2.0, 2.0)] * 3
FIELDS = ("x", "fun", "jac", "success", "status", "nit", "nfev", "njev", "messages")
PROBLEM = {"x0s": 12, "jac": rosen_der, "bounds": BOX, "seed": 3}
FORK = multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")


def same(a, b):
    return all(np.array_equal(a[name], b[name], equal_nan=name in ("fun", "jac")) for name in FIELDS)


def fatal(x, kind):
    """A bowl, or the end of the process that computes it."""
    if kind:
        os._exit(3)
    return float(x @ x), 2 * x


@pytest.fixture(scope="module")
def serial():
    return multistart(rosen, **PROBLEM)


@pytest.fixture(scope="module")
def by_differences():
    return minimize(rosen, np.full(3, 0.9), jac="3-point", options={"maxiter": 5})


def residuals(w, X, y):
    r = X @ w - y
    return float(r @ r) / len(y), 2 * X.T @ r / len(y)


def shards():
    """Two in memory, and one that is loaded."""
    rng = np.random.default_rng(0)
    parts = [(rng.normal(size=(n, 3)), rng.normal(size=n)) for n in (100, 50, 150)]
    return Shards([*parts[:2], functools.partial(tuple, parts[2])])


def sum_by(workers, fun=residuals):
    """Value and gradient of a finite sum, its chunks evaluated by these workers."""
    total = FiniteSum(fun, shards(), jac=True, chunk_size=10, workers=workers)
    found = [total.value_and_gradient(np.full(3, k)) for k in (1.0, 2.0)]
    total.close()
    return [number for f, g in found for number in (f, *g)]


@pytest.fixture(scope="module")
def summed():
    return sum_by(1)


def spread(pool):
    return minimize(rosen, np.full(3, 0.9), jac="3-point", options={"maxiter": 5, "workers": pool})


# ---- the standard library


@pytest.mark.parametrize("kind", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_an_executor_serves_as_it_is_and_stays_open(kind, serial, by_differences):
    with kind(2) as pool:
        found = multistart(rosen, workers=pool, **PROBLEM)
        assert same(found, serial)
        assert found.how == kind.__name__
        result = spread(pool)
        assert result.fun == by_differences.fun
        assert result.nfev == by_differences.nfev
        assert pool.submit(abs, -1).result() == 1


def test_a_pool_of_multiprocessing_serves_as_it_is(serial, by_differences, summed):
    with FORK.Pool(2) as pool:
        assert sum_by(pool) == summed
        assert same(multistart(rosen, workers=pool, **PROBLEM), serial)
        assert spread(pool).fun == by_differences.fun


def test_an_executor_whose_processes_die_keeps_what_came_back():
    kinds = np.zeros(8, dtype=int)
    kinds[5] = 1
    with ProcessPoolExecutor(1, mp_context=FORK) as pool:
        found = multistart(fatal, np.ones(2), rows=(kinds,), jac=True, workers=pool)
    assert found.success[:4].all()
    assert found.status[5] == Status.EXCEPTION
    assert "BrokenProcessPool" in found.messages[5]


def test_an_executor_that_brings_nothing_raises_what_it_raises():
    with ProcessPoolExecutor(1, mp_context=FORK) as pool, pytest.raises(BrokenExecutor):
        multistart(fatal, np.ones(2), rows=(np.ones(3, dtype=int),), jac=True, workers=pool)
    with ProcessPoolExecutor(1, mp_context=FORK) as pool, pytest.raises((AttributeError, TypeError)):
        multistart(lambda x: x @ x, np.ones((3, 2)), workers=pool)  # cannot be pickled


def test_a_chunk_that_is_lost_is_done_again_problem_by_problem(monkeypatch):
    """One problem that kills its worker takes no neighbour along."""

    class Mortal(ThreadPoolExecutor):
        """Loses every call that holds problem 3, as a cluster does whose worker dies of it."""

        def submit(self, function, chunk):
            if chunk.first <= 3 < chunk.first + len(chunk.x0s):
                lost = Future()
                lost.set_exception(RuntimeError("the worker died"))
                return lost
            return super().submit(function, chunk)

    monkeypatch.setattr(_workers, "MAP_CALLS", 3)
    with Mortal(2) as pool:
        found = multistart(rosen, workers=pool, **PROBLEM)
    assert list(np.flatnonzero(~found.success)) == [3]
    assert "the worker died" in found.messages[3]


@pytest.mark.parametrize("workers", ["two", object(), [2]])
def test_what_is_no_pool_is_named(workers):
    with pytest.raises(TypeError, match="executor, a pool, a client of Dask"):
        multistart(rosen, np.zeros((2, 2)), workers=workers)
    with pytest.raises(TypeError, match="executor, a pool, a client of Dask"):
        minimize(rosen, np.zeros(2), jac="2-point", options={"workers": workers})


def test_scipys_methods_are_handed_a_map():
    """With bounds the differences are SciPy's own, which knows maps only."""
    with ThreadPoolExecutor(2) as pool:
        given = {"method": "L-BFGS-B", "bounds": BOX, "options": {"maxiter": 5}}
        alone = minimize(rosen, np.full(3, 0.9), **given)
        given["options"] = {"maxiter": 5, "workers": pool}
        if scipy.__version__ < "1.16":  # SciPy then calls it an unknown option
            return
        assert minimize(rosen, np.full(3, 0.9), **given).fun == alone.fun


# ---- joblib


def test_joblib_parallel_serves_as_it_is(serial, by_differences, summed):
    joblib = pytest.importorskip("joblib")
    with joblib.Parallel(n_jobs=2) as parallel:
        # a lambda too: joblib pickles by value
        assert same(multistart(lambda x: rosen(x), workers=parallel, **PROBLEM), serial)
        assert spread(parallel).fun == by_differences.fun
        assert sum_by(parallel) == summed
    lazy = joblib.Parallel(n_jobs=2, return_as="generator_unordered", prefer="threads")
    assert same(multistart(rosen, workers=lazy, **PROBLEM), serial)
    assert sum_by(lazy) == summed


# ---- Dask


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    given = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    with (
        pytest.importorskip("dask").config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(silence_logs=50, **given) as made,
    ):
        yield made


def test_a_client_of_dask_serves_as_it_is(cluster, serial, by_differences, summed):
    with cluster.get_client() as client:
        assert same(multistart(lambda x: rosen(x), workers=client, **PROBLEM), serial)
        assert same(multistart(rosen, workers=client.get_executor(), **PROBLEM), serial)
        assert spread(client).fun == by_differences.fun
        assert sum_by(client) == summed
        assert sum_by(client.get_executor()) == summed


def test_a_worker_of_dask_that_is_killed_in_mid_run_changes_nothing(cluster, serial, tmp_path):
    """Its problems go to another worker; the rows are those of a serial run, byte for byte."""
    killed = tmp_path / "killed"

    def deadly_once(x):
        if x[0] > 0.5 and not killed.exists():
            with contextlib.suppress(FileExistsError), killed.open("x") as file:  # one process only
                file.write(str(os.getpid()))
                file.flush()
                os.kill(os.getpid(), signal.SIGKILL)
        return rosen(x)

    with cluster.get_client() as client:
        before = set(client.run(os.getpid).values())
        found = multistart(deadly_once, workers=client, **PROBLEM)
    assert int(killed.read_text()) in before
    assert same(found, serial)


@pytest.mark.slow
def test_a_finite_sum_over_dask_is_the_same_when_a_process_is_killed(cluster, summed, tmp_path):
    """Once with the chunks that it computes and the data that it keeps, once between two evaluations."""
    killed = tmp_path / "killed"

    def deadly_once(w, X, y):
        if w[0] == 2.0 and not killed.exists():
            with contextlib.suppress(FileExistsError), killed.open("x") as file:
                file.write(str(os.getpid()))
                file.flush()
                os.kill(os.getpid(), signal.SIGKILL)
        return residuals(w, X, y)

    with cluster.get_client() as client:
        before = set(client.run(os.getpid).values())
        assert sum_by(client, deadly_once) == summed
        assert int(killed.read_text()) in before
        total = FiniteSum(residuals, shards(), jac=True, chunk_size=10, workers=client)
        first = total.value_and_gradient(np.ones(3))
        os.kill(min(client.run(os.getpid).values()), signal.SIGKILL)
        again = total.value_and_gradient(np.ones(3))
    assert again[0] == first[0] == summed[0]
    np.testing.assert_array_equal(again[1], first[1])


@pytest.mark.slow
def test_a_problem_that_kills_every_worker_of_dask_fails_alone(cluster):
    kinds = np.zeros(6, dtype=int)
    kinds[2] = 1

    def by_kind(x, kind):
        if kind:
            os.kill(os.getpid(), signal.SIGKILL)
        return float(x @ x), 2 * x

    with cluster.get_client() as client:
        found = multistart(by_kind, np.ones(2), rows=(kinds,), jac=True, workers=client)
    assert found.status[2] == Status.EXCEPTION
    assert "KilledWorker" in found.messages[2]
    assert list(found.success) == [True, True, False, True, True, True]


# ---- MPI

BY_MPI = """
import numpy as np
from mpi4py.futures import MPIPoolExecutor
from scipy.optimize import rosen, rosen_der
from twophase_min import minimize, multistart
from test_parallel import sum_by

if __name__ == "__main__":
    problem = {"x0s": 12, "jac": rosen_der, "bounds": [(-2.0, 2.0)] * 3, "seed": 3}
    with MPIPoolExecutor() as pool:
        print(pool.num_workers, type(pool).__name__)
        found = multistart(rosen, workers=pool, **problem)
        spread = minimize(rosen, np.full(3, 0.9), jac="3-point", options={"maxiter": 5, "workers": pool})
        numbers = sum_by(pool)
    np.savez("found.npz", x=found.x, fun=found.fun, nfev=found.nfev, spread=spread.fun, sum=numbers)
"""


def by_mpi(tmp_path, text, *before):
    """Run a script in three processes of MPI."""
    pytest.importorskip("mpi4py")
    beside = Path(sys.executable).with_name("mpiexec")
    mpiexec = str(beside) if beside.exists() else shutil.which("mpiexec")
    if mpiexec is None:
        pytest.skip("needs an MPI library with mpiexec, such as the package mpich")
    script = tmp_path / "by_mpi.py"
    script.write_text(text)
    return subprocess.run(
        [mpiexec, "-n", "3", sys.executable, *before, str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_mpi4py_serves_as_it_is(serial, by_differences, summed, tmp_path):
    done = by_mpi(tmp_path, BY_MPI, "-m", "mpi4py.futures")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["2", "MPIPoolExecutor"]
    with np.load(tmp_path / "found.npz") as found:
        for name in ("x", "fun", "nfev"):
            assert np.array_equal(found[name], serial[name]), name
        assert found["spread"] == by_differences.fun
        assert found["sum"].tolist() == summed


BY_ALLREDUCE = """
import sys
import numpy as np
from mpi4py import MPI
from twophase_min import FiniteSum, minimize
from test_parallel import residuals, shards

comm = MPI.COMM_WORLD
total = FiniteSum(residuals, shards(), jac=True, chunk_size=10, workers=comm)
if total.serve():
    f, g = total.value_and_gradient(np.ones(3))
    result = minimize(total, np.ones(3), options={"convex_method": "memory-cg"})
    print(comm.Get_size(), result.success)
    np.savez("found.npz", f=f, g=g, x=result.x)
    sys.exit(5)  # without close(): the others go on all the same
print("served", comm.Get_rank())
"""


def test_processes_of_a_communicator_add_up_their_shares(summed, tmp_path):
    done = by_mpi(tmp_path, BY_ALLREDUCE)
    assert done.returncode == 5
    assert sorted(done.stdout.split("\n")) == ["", "3 True", "served 1", "served 2"], done.stderr[-3000:]
    with np.load(tmp_path / "found.npz") as found:
        np.testing.assert_allclose([found["f"], *found["g"]], summed[: 1 + len(found["g"])], rtol=1e-12)
        X, y = map(np.concatenate, zip(*(shards().rows(p) for p in shards().pieces(10**9)), strict=True))
        np.testing.assert_allclose(found["x"], np.linalg.lstsq(X, y, rcond=None)[0], atol=1e-5)
