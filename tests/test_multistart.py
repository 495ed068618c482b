"""multistart: rows in the order of the starts, whoever computes them; failures that stay alone."""

import contextlib
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from scipy.optimize import Bounds, OptimizeResult, OptimizeWarning, rosen, rosen_der

import twophase_min
from twophase_min import Status, multistart
from twophase_min._multistart import problem_seed, start_points
from twophase_min.objective import workers as _workers

ROOT = Path(__file__).parents[1]
BOX = [(-2.0, 2.0)] * 3
FIELDS = ("x", "fun", "jac", "success", "status", "nit", "nfev", "njev", "messages")


def same(a, b):
    return all(np.array_equal(a[name], b[name], equal_nan=name in ("fun", "jac")) for name in FIELDS)


def line(x, t, y):
    """Squares of a straight line's misfit, and the gradient."""
    r = x[0] + x[1] * t - y
    return r @ r, 2 * np.array([r.sum(), r @ t])


def bowl(x, target):
    return float(np.sum((x - target) ** 2))


def bowl_gradient(x, target):
    return 2 * (x - target)


def trouble(x, kind):
    """A bowl; but its kind may be 1: raises, 2: NaN, 3: kills the process (unless it is the parent)."""
    if kind == 1 and np.all(x < 0.9):
        raise ZeroDivisionError("a division, say")
    if kind == 2:
        return np.nan, np.full(x.shape, np.nan)
    if kind == 3 and multiprocessing.parent_process() is not None:
        os._exit(3)
    return float(np.sum((x - 0.5) ** 2)), 2 * (x - 0.5)


def slow(x):
    time.sleep(0.05)
    return rosen(x), rosen_der(x)


def deadly(x):
    if multiprocessing.parent_process() is not None:
        os._exit(3)
    return rosen(x), rosen_der(x)


# ---- the same rows, whoever computes them


@pytest.fixture(scope="module")
def reference():
    return multistart(rosen, 12, jac=rosen_der, bounds=BOX, seed=3)


def backwards(task, chunks):
    """A map that answers last things first."""
    return [task(chunk) for chunk in reversed(list(chunks))]


def test_every_start_is_solved(reference):
    assert reference.success.all()
    np.testing.assert_allclose(reference.x, 1.0, atol=1e-4)
    assert reference.x.shape == reference.jac.shape == (12, 3)
    assert reference.best == np.argmin(reference.fun)
    assert reference.fun_best == reference.fun.min()
    assert np.array_equal(reference.x_best, reference.x[reference.best])
    assert reference.message == "12 of 12 problems solved."
    assert reference.how == "serial"
    assert not reference.interrupted


def test_rows_are_those_of_minimize(reference):
    """Row i is what minimize gives from start i with that problem's seed."""
    starts = start_points(12, (), BOX, 3)
    for i in (0, 7):
        alone = twophase_min.minimize(
            rosen, starts[i], jac=rosen_der, bounds=BOX, options={"seed": problem_seed(3, i)}
        )
        row = reference.row(i)
        assert isinstance(row, OptimizeResult)
        assert row.success is np.True_ or row.success is True
        assert row.message == alone.message
        for name in ("x", "fun", "jac", "nit", "nfev", "njev", "status", "success"):
            assert np.array_equal(row[name], alone[name]), name


@pytest.mark.parametrize("workers", [2, 3, -1])
def test_processes_change_nothing(reference, workers):
    found = multistart(rosen, 12, jac=rosen_der, bounds=BOX, seed=3, workers=workers)
    assert same(found, reference)
    assert found.how in (f"{_workers.count_of(workers)} processes", "serial")


def test_threads_serve_where_fun_cannot_be_pickled(reference):
    with pytest.warns(RuntimeWarning, match="cannot be sent to other processes"):
        found = multistart(lambda x: rosen(x), 12, jac=rosen_der, bounds=BOX, seed=3, workers=2)
    assert same(found, reference)
    assert found.how.startswith("2 threads (")


def test_any_map_serves(reference):
    problem = {"x0s": 12, "jac": rosen_der, "bounds": BOX, "seed": 3}
    with ThreadPoolExecutor(2) as pool:
        assert same(multistart(rosen, workers=pool.map, **problem), reference)
    with ProcessPoolExecutor(2) as pool:
        found = multistart(rosen, workers=pool.map, **problem)
        assert same(found, reference)
        assert found.how == "map"
    with multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn").Pool(2) as pool:
        assert same(multistart(rosen, workers=pool.map, **problem), reference)
        assert same(multistart(rosen, workers=pool.imap_unordered, **problem), reference)
    assert same(multistart(rosen, workers=backwards, **problem), reference)


def test_joblib_serves(reference):
    from joblib import Parallel, delayed

    def by_joblib(task, chunks):
        return Parallel(n_jobs=2)(delayed(task)(chunk) for chunk in chunks)

    # a lambda too: joblib pickles by value
    found = multistart(lambda x: rosen(x), 12, jac=rosen_der, bounds=BOX, seed=3, workers=by_joblib)
    assert same(found, reference)


@settings(max_examples=20, deadline=None)
@given(data=st.data(), m=st.integers(1, 9), size=st.integers(1, 4))
def test_order_of_completion_does_not_matter(data, m, size):
    """However the problems are cut and in whatever order their rows come back, the result is the same."""

    def shuffled(task, chunks):
        pieces = [one for chunk in chunks for one in chunk.split()]
        pieces = [
            _workers.Chunk(
                p[0].first, np.concatenate([c.x0s for c in p]), (np.concatenate([c.rows[0] for c in p]),)
            )
            for p in (pieces[k : k + size] for k in range(0, len(pieces), size))
        ]
        return [task(piece) for piece in data.draw(st.permutations(pieces))]

    targets = np.random.default_rng(m).normal(size=(m, 2))
    serial = multistart(bowl, np.zeros(2), rows=targets, jac=bowl_gradient)
    assert same(multistart(bowl, np.zeros(2), rows=targets, jac=bowl_gradient, workers=shuffled), serial)


def test_chunks_cover_all_problems_once():
    x0s, rows = np.arange(10.0).reshape(5, 2), (np.arange(5),)
    for size in (1, 2, 5, 9):
        chunks = list(_workers.chunks_of(x0s, rows, size))
        assert [chunk.first for chunk in chunks] == list(range(0, 5, size))
        assert np.array_equal(np.concatenate([chunk.x0s for chunk in chunks]), x0s)
        assert np.array_equal(np.concatenate([chunk.rows[0] for chunk in chunks]), rows[0])


# ---- starts, rows, seeds


def test_a_problem_per_row_of_data():
    rng = np.random.default_rng(0)
    t = np.linspace(0, 1, 20)
    truth = rng.normal(size=(6, 2))
    y = truth[:, :1] + truth[:, 1:] * t
    found = multistart(line, np.zeros(2), (t,), rows=(y,), jac=True)
    assert found.success.all()
    np.testing.assert_allclose(found.x, truth, atol=1e-5)
    each = multistart(line, truth, t, rows=y, jac=True)  # a start per problem, bare array and argument
    assert each.success.all()
    assert not each.nit.any()


def test_scalars_and_several_arrays_as_rows():
    shift, scale = np.array([1.0, -2.0, 3.0]), np.array([[1.0, 2.0]] * 3)

    def fun(x, power, shift, scale):
        r = scale * (x - shift)
        return np.sum(r**power), power * scale * r ** (power - 1)

    found = multistart(fun, [0.0, 0.0], 2, rows=(shift, scale), jac=True)
    assert found.success.all()
    np.testing.assert_allclose(found.x, np.stack([shift, shift], axis=1), atol=1e-5)


def test_drawn_starts_are_seeded_within_bounds_and_nested():
    starts = start_points(20, (), [(-1, 1), (5, 6)], seed=1)
    assert starts.shape == (20, 2)
    assert np.all((starts >= [-1, 5]) & (starts <= [1, 6]))
    assert np.array_equal(starts[:10], start_points(10, (), Bounds([-1, 5], [1, 6]), seed=1))
    assert not np.array_equal(starts, start_points(20, (), [(-1, 1), (5, 6)], seed=2))
    assert start_points(2, (np.zeros(2),), [(0, 1)], seed=0).shape == (2, 1)


def test_seeds_depend_on_seed_and_index_alone():
    seeds = {(seed, i): problem_seed(seed, i) for seed in (0, 1) for i in range(50)}
    assert len(set(seeds.values())) == 100
    assert problem_seed(0, 7) == seeds[0, 7]


def test_single_precision_starts_stay():
    found = multistart(bowl, np.ones((2, 3), dtype=np.float32), (0.5,), jac=bowl_gradient)
    assert found.x.dtype == np.float32
    assert found.success.all()
    assert multistart(bowl, np.ones((2, 3), dtype=np.float32), (0.5,)).x.dtype == np.float64


def test_the_gradient_may_come_from_anywhere():
    for jac in (None, "3-point", bowl_gradient):
        found = multistart(bowl, [[0.0, 1.0]], (0.5,), jac=jac)
        assert found.success.all()
        np.testing.assert_allclose(found.x, 0.5, atol=1e-5)


def test_starts_and_options_of_the_caller_are_left_alone():
    starts, options = np.zeros((3, 2)), {"maxiter": 3}
    found = multistart(bowl, starts, (0.5,), jac=bowl_gradient, options=options)
    assert not starts.any()
    assert options == {"maxiter": 3}
    found.x[:] = 7
    assert not starts.any()


@pytest.mark.parametrize(
    ("x0s", "rows", "bounds", "error", "text"),
    [
        (np.zeros(3), (), None, ValueError, r"write x0s=\[x0\]"),
        ({"a": 1.0}, (), None, TypeError, "real numbers are needed: .*from_jax.*concatenate"),
        (np.zeros((0, 2)), (), None, ValueError, "shape"),
        (np.zeros((2, 2)), (np.zeros(3),), None, ValueError, "2 starts for 3 rows"),
        (np.zeros((2, 2)), (np.zeros(3), np.zeros(2)), None, ValueError, "one leading axis"),
        (np.zeros((2, 2)), (1.0,), None, ValueError, "one leading axis"),
        (5, (), None, ValueError, "needs bounds"),
        (0, (), BOX, ValueError, "how many to draw"),
        (2.5, (), BOX, ValueError, "how many to draw"),
        (5, (), [(0, np.inf)], ValueError, "finite bounds"),
        (5, (), [(0, None)], ValueError, "finite bounds"),
        (5, (), [(1, 0)], ValueError, "finite bounds"),
        (np.zeros((2, 2), dtype=complex), (), None, TypeError, "real numbers"),
        ([["a", "b"]], (), None, TypeError, "real numbers"),
    ],
)
def test_starts_that_do_not_fit(x0s, rows, bounds, error, text):
    with pytest.raises(error, match=text):
        multistart(rosen, x0s, rows=rows, bounds=bounds)


@pytest.mark.parametrize(
    ("workers", "error"), [(0, ValueError), (-2, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_workers_that_do_not_fit(workers, error):
    with pytest.raises(error, match="workers"):
        multistart(rosen, np.zeros((2, 2)), workers=workers)


def test_what_no_problem_could_be_run_with_raises_at_once():
    with pytest.raises(TypeError, match="callable"):
        multistart(3, np.zeros((2, 2)))
    with pytest.raises(ValueError, match="'gtol'"):
        multistart(rosen, np.zeros((2, 2)), options={"gtol": -1})
    with pytest.raises(ValueError, match="resume"):
        multistart(rosen, np.zeros((2, 2)), options={"resume": {}})
    with pytest.warns(OptimizeWarning, match="nosuch") as caught:
        multistart(rosen, np.zeros((4, 2)), jac=rosen_der, options={"nosuch": 1})
    assert len(caught) == 1


# ---- failures stay alone


@pytest.mark.parametrize("workers", [1, 2])
def test_one_failure_never_kills_the_rest(workers):
    kinds = np.array([0, 1, 0, 2, 0, 1, 0])
    found = multistart(trouble, np.zeros(2), rows=(kinds,), jac=True, workers=workers)
    assert np.array_equal(found.success, kinds == 0)
    np.testing.assert_allclose(found.x[kinds == 0], 0.5, atol=1e-5)
    assert np.all(found.status[kinds == 1] == Status.EXCEPTION)
    assert np.all(found.status[kinds == 2] == Status.NONFINITE)
    assert "ZeroDivisionError: a division, say" in found.messages[1]
    assert np.isnan(found.fun[kinds != 0]).all()
    assert kinds[found.best] == 0
    assert found.message.startswith("4 of 7 problems solved. 2 ended by an exception; the first is 1: ")


def test_what_was_found_before_an_exception_is_kept():
    calls = []

    def fun(x):
        calls.append(1)
        if len(calls) == 4:
            raise RuntimeError("no more")
        return rosen(x), rosen_der(x)

    found = multistart(fun, [[-1.2, 1.0], [-1.2, 1.0]], jac=True)
    assert list(found.success) == [False, True]
    assert found.fun[0] < rosen([-1.2, 1.0])
    assert found.fun[0] == rosen(found.x[0])


def test_a_process_that_dies_takes_nobody_along():
    kinds = np.zeros(40, dtype=int)
    kinds[[5, 6, 30]] = 3
    found = multistart(trouble, np.zeros(2), rows=(kinds,), jac=True, workers=2)
    assert np.array_equal(found.success, kinds == 0)
    assert np.all(found.status[kinds == 3] == Status.EXCEPTION)
    assert "its worker process died" in found.messages[5]


def test_processes_that_all_die_say_what_to_do():
    with pytest.raises(RuntimeError, match="__main__"):
        multistart(deadly, np.zeros((8, 2)), jac=True, workers=2)


def test_best_is_the_lowest_finite_value_and_the_first_of_equals():
    levels = np.array([np.nan, 2.0, -1.0, np.inf, -1.0])
    found = multistart(lambda x, level: (level + x @ x, 2 * x), np.zeros((5, 2)), rows=(levels,), jac=True)
    assert found.best == 2
    assert found.fun_best == -1.0
    none = multistart(lambda x: (np.nan, x), np.zeros((3, 2)), jac=True)
    assert none.best == -1
    assert np.isnan(none.fun_best)
    assert np.isnan(none.x_best).all()
    assert not none.success.any()


def test_a_foreign_map_that_breaks_loses_what_it_has_not_answered():
    def breaks(task, chunks):
        for k, chunk in enumerate(chunks):
            if k == 2:
                raise OSError("the cluster went away")
            yield task(chunk)

    found = multistart(bowl, np.zeros((5, 2)), (0.5,), jac=bowl_gradient, workers=breaks)
    assert list(found.success) == [True, True, False, False, False]
    assert "the cluster went away" in found.messages[4]
    assert np.all(found.status[2:] == Status.EXCEPTION)


def test_a_foreign_map_must_answer():
    with pytest.raises(OSError, match="no cluster"):
        multistart(
            bowl, np.zeros((5, 2)), (0.5,), workers=lambda *_: (_ for _ in ()).throw(OSError("no cluster"))
        )
    with pytest.raises(TypeError, match="must return the results"):
        multistart(bowl, np.zeros((5, 2)), (0.5,), workers=lambda task, chunks: None)
    with pytest.raises(TypeError, match="gather futures"):
        multistart(bowl, np.zeros((5, 2)), (0.5,), workers=lambda task, chunks: [3 for _ in chunks])


def test_it_prints_what_became_of_all_problems_in_ten_lines():
    kinds = np.repeat([0, 1, 2], [60, 30, 10])
    found = multistart(trouble, np.zeros(2), rows=(kinds,), jac=True)
    lines = str(found).splitlines()
    told = {line[:9].strip(" :"): line[10:] for line in reversed(lines)}
    assert len(lines) <= 14
    assert max(map(len, lines)) <= 100
    assert found.message.startswith(told["message"])
    assert told["best"] == f"row {found.best}, fun {found.fun_best:.10g}"
    assert told["counts"].startswith(f"nit {found.nit.sum()}, nfev {found.nfev.sum():g}, ")
    assert told["ends"].startswith("60 Optimization terminated successfully")
    assert any(line.strip().startswith("30 The objective raised an exception") for line in lines)
    assert told["how"] == "serial"
    none = multistart(trouble, np.zeros(2), rows=(kinds[-10:],), jac=True)
    assert none.best == -1
    assert "best:" not in str(none)


# ---- Ctrl-C and progress


def test_ctrl_c_returns_what_is_done():
    calls = []

    def fun(x, target):
        calls.append(target)
        if target == 2.0 and calls.count(2.0) == 2:
            raise KeyboardInterrupt
        return bowl(x, target), bowl_gradient(x, target)

    found = multistart(fun, np.zeros(2), rows=(np.arange(5.0),), jac=True)
    assert found.interrupted
    assert list(found.success) == [True, True, False, False, False]
    assert np.all(found.status[2:] == Status.INTERRUPTED)
    assert np.isnan(found.fun[3:]).all()
    assert 4.0 not in calls
    assert "not finished: interrupted" in found.message


@contextlib.contextmanager
def ctrl_c(after):
    """Send it to the main thread so many seconds after the body has started another thread.

    A time from the beginning comes before there is anything to interrupt, where the machine stands still.
    """
    before, ended = {threading.current_thread()}, threading.Event()

    def send():
        while not set(threading.enumerate()) - before and not ended.is_set():
            ended.wait(0.01)
        if ended.wait(after):
            return
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        else:
            signal.raise_signal(signal.SIGINT)

    sender = threading.Thread(target=send)
    before |= {sender, *threading.enumerate()}
    sender.start()
    try:
        yield
    finally:
        ended.set()
        sender.join()


@pytest.mark.parametrize("fun", [slow, lambda x: slow(x)], ids=["processes", "threads"])
def test_ctrl_c_ends_workers(fun):
    """Within a second or two, of problems that would take minutes."""
    began = time.perf_counter()
    with ctrl_c(1.5), contextlib.nullcontext() if fun is slow else pytest.warns(RuntimeWarning):
        found = multistart(fun, np.full((200, 2), 0.9), jac=True, workers=2, options={"maxfun": 20})
    assert found.interrupted
    assert time.perf_counter() - began < 20
    assert (found.status == Status.INTERRUPTED).any()


def test_progress_over_problems(capfd):
    found = multistart(bowl, np.zeros((5, 2)), (0.5,), jac=bowl_gradient, progress=True)
    shown = capfd.readouterr().err
    assert "5/5" in shown
    assert "best f=" in shown
    assert found.success.all()
    multistart(bowl, np.zeros((5, 2)), (0.5,), jac=bowl_gradient, options={"progress": True})
    assert capfd.readouterr().err.count("it/s") >= 1


# ---- other methods


def test_other_methods_serve_and_keep_to_bounds():
    found = multistart(rosen, 6, jac=rosen_der, method="L-BFGS-B", bounds=[(-2, 0.5)] * 2)
    assert found.success.all()
    assert np.all(found.x <= 0.5)
    assert found.messages[0].startswith("CONVERGENCE")
    free = multistart(rosen, 3, method="Nelder-Mead", bounds=[(-2, 2)] * 2, options={"maxiter": 400})
    assert free.success.all()
    np.testing.assert_allclose(free.x, 1.0, atol=1e-3)
    assert np.isnan(free.jac).all()


# ---- compiled objectives: threads inside one call


@njit
def shifted(x, power, target, weights):
    """A bowl; it raises for a target below -10, is NaN for one above 10, and slow for a power of 0."""
    if target < -10.0 and x[0] < -0.9:
        raise ValueError("no such target")
    if target > 10.0:
        return np.nan
    total = 0.0
    if power == 0.0:
        for _ in range(30_000_000):
            total = 0.5 * total + 1e-300
        power = 2.0
    for i in range(x.size):
        total += weights[i] * abs(x[i] - target) ** power
    return total


@njit
def shifted_gradient(x, power, target, weights):
    if power == 0.0:
        power = 2.0
    return weights * power * np.abs(x - target) ** (power - 1.0) * np.sign(x - target)


@njit
def shifted_both(x, power, target, weights):
    return shifted(x, power, target, weights), shifted_gradient(x, power, target, weights)


TARGETS = np.linspace(-1, 1, 30)
WEIGHTS = np.random.default_rng(0).uniform(0.5, 2.0, (30, 3))


@pytest.mark.parametrize("jac", [shifted_gradient, True], ids=["separate", "fused"])
def test_compiled_rows_are_those_of_minimize_on_any_number_of_threads(jac):
    fun = shifted_both if jac is True else shifted
    found = multistart(fun, np.zeros(3), (2.0,), rows=(TARGETS, WEIGHTS), jac=jac, workers=2)
    assert found.success.all()
    assert found.how == "compiled, 2 threads"
    assert np.issubdtype(found.nfev.dtype, np.integer)
    np.testing.assert_allclose(found.x, np.repeat(TARGETS[:, None], 3, axis=1), atol=1e-4)
    single = multistart(fun, np.zeros(3), (2.0,), rows=(TARGETS, WEIGHTS), jac=jac)
    assert single.how == "compiled, 1 thread"
    assert same(found, single)
    alone = twophase_min.minimize(fun, np.zeros(3), (2.0, TARGETS[7], WEIGHTS[7]), jac=jac)
    for name in ("x", "fun", "jac", "nit", "nfev", "njev", "status", "success"):
        assert np.array_equal(found.row(7)[name], alone[name]), name


def test_python_and_compiled_runs_agree():
    starts = np.random.default_rng(1).normal(size=(30, 3))
    problem = {"rows": (TARGETS, WEIGHTS), "jac": shifted_gradient}
    compiled = multistart(shifted, starts, (2.0,), **problem)
    python = multistart(
        shifted, starts, (2.0,), **problem, options={"engine": "python", "convex_method": "memory-cg"}
    )
    assert python.how == "serial"
    assert np.array_equal(compiled.nfev, python.nfev)
    np.testing.assert_allclose(compiled.x, python.x, atol=1e-8)


def test_compiled_failures_stay_alone_and_say_why():
    targets = np.array([0.5, -20.0, 0.1, 20.0, 0.2, -11.0])
    rows = (targets, np.ones((6, 2)))
    found = multistart(shifted, np.zeros(2), (2.0,), rows=rows, jac=shifted_gradient, workers=2)
    assert np.array_equal(found.success, np.abs(targets) < 10)
    assert np.all(found.status[targets < -10] == Status.EXCEPTION)
    assert found.status[3] == Status.NONFINITE
    assert "ValueError: no such target" in found.messages[1]
    assert found.best in (0, 2, 4)
    assert found.message.startswith("3 of 6 problems solved. 2 ended by an exception")


def test_what_the_engine_cannot_do_goes_the_other_way_or_is_refused():
    problem = {"rows": (TARGETS, WEIGHTS), "jac": shifted_gradient}
    found = multistart(shifted, np.zeros(3), (2.0,), **problem, options={"maxtime": 60})
    assert found.how == "serial"
    assert found.success.all()
    with pytest.raises(ValueError, match="'maxtime'"):
        multistart(shifted, np.zeros(3), (2.0,), **problem, options={"maxtime": 60, "engine": "numba"})
    with pytest.raises(ValueError, match="not compiled: use 'memory-cg'"):
        multistart(
            shifted, np.zeros(3), (2.0,), **problem, options={"convex_method": "BFGS", "engine": "numba"}
        )


def test_ctrl_c_ends_compiled_threads():
    """Within seconds, of problems that take half a minute; what was done is kept."""
    powers = np.zeros(200)
    powers[:3] = 2.0

    @njit
    def fun(x, power):
        return shifted(x, power, 0.5, np.ones(2))

    @njit
    def jac(x, power):
        return shifted_gradient(x, power, 0.5, np.ones(2))

    multistart(fun, np.zeros(2), rows=(powers[:1],), jac=jac)  # compiles
    began = time.perf_counter()
    with ctrl_c(0.5):
        found = multistart(fun, np.zeros(2), rows=(powers,), jac=jac, workers=2)
    assert time.perf_counter() - began < 15
    assert found.interrupted
    assert found.success[:3].all()
    assert found.status[-1] == Status.INTERRUPTED
    assert np.array_equal(found.x[-1], np.zeros(2))
    assert "interrupted" in found.message


def test_progress_over_compiled_problems(capfd):
    multistart(shifted, np.zeros(3), (2.0,), rows=(TARGETS, WEIGHTS), jac=shifted_gradient, progress=True)
    assert "30/30" in capfd.readouterr().err


# ---- what the page and the example promise


def run(arguments, cwd):
    env = dict(os.environ, PYTHONPATH=str(ROOT), MPLBACKEND="Agg")
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_code_of_the_page_runs(tmp_path):
    page = (ROOT / "docs" / "multistart.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.S | re.M)
    assert len(blocks) == 2
    assert "20 of 20 problems solved." in run(["-c", "\n".join(blocks)], tmp_path)


def test_links_of_the_page_lead_somewhere():
    page = (ROOT / "docs" / "multistart.md").read_text(encoding="utf-8")
    for name in re.findall(r"`((?:examples|benchmarks|docs|tests)/[\w/]+\.\w+)`", page):
        assert (ROOT / name).exists(), name
    assert "(multistart.md)" in (ROOT / "docs" / "howto.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_example_fits_a_decay_to_every_pixel(tmp_path):
    """On simulated photons of a few hundred pixels; lifetimes come out where they were put, 1 to 2.3 ns."""
    example = str(ROOT / "examples" / "decay_stack.py")
    out = run([example, "--simulate", "--pixels", "200", "--output", "decay_stack.png"], tmp_path)
    assert "simulated stack of 400 x 400 pixels" in out
    assert "200 of 200 problems solved." in out
    assert float(re.search(r"relative error (\S+)", out)[1]) < 1e-6
    assert 1.2 < float(re.search(r"median (\S+) ns", out)[1]) < 1.9
    assert (tmp_path / "decay_stack.png").stat().st_size > 10_000
