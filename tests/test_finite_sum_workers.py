"""Finite sums over shards, files and workers: the same bits as by one caller over arrays in memory."""

from __future__ import annotations

import functools
import os
import pickle
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twophase_min import Status, load_state, minimize
from twophase_min.finite_sum import FiniteSum, Shards
from twophase_min.networks import MLP


def both(w, X, y):
    r = X @ w - y
    return np.mean(np.log1p(r**2)), X.T @ (2 * r / (1 + r**2)) / len(y)


def product(w, v, X, y):
    r = X @ w - y
    return X.T @ (2 * (1 - r**2) / (1 + r**2) ** 2 * (X @ v)) / len(y)


def data(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 3)), rng.normal(size=n)


def cut(arrays, lengths):
    ends = np.cumsum([0, *lengths])
    return [tuple(a[i:j] for a in arrays) for i, j in pairwise(ends)]


def whole(n=300, **options):
    return FiniteSum(both, data(n), jac=True, hessp=product, batch_size=16, chunk_size=23, **options)


def everything(total):
    w, v = np.ones(3), np.arange(3.0)
    f, g = total.value_and_gradient(w)
    return [f, total.value(w), *g, *total.gradient(w), *total.hessp(w, v)]


# -- shards -------------------------------------------------------------------------------------------------


@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=6),
    chunk_size=st.integers(1, 25),
    batch_size=st.integers(1, 25),
    lazy=st.booleans(),
    epoch=st.integers(0, 5),
)
@settings(deadline=None, max_examples=60)
def test_shards_are_the_same_mean_and_an_epoch_sees_every_sample_once(
    lengths, chunk_size, batch_size, lazy, epoch
):
    """For any lengths of shards, chunks and batches, loaded or in memory."""
    arrays = data(sum(lengths))
    parts = cut(arrays, lengths)
    shards = Shards([functools.partial(tuple, part) for part in parts] if lazy else parts)
    total = FiniteSum(
        both, shards, jac=True, hessp=product, chunk_size=chunk_size, batch_size=batch_size, seed=3
    )
    w = np.ones(3)
    f, g = both(w, *arrays)
    np.testing.assert_allclose(
        everything(total), [f, f, *g, *g, *product(w, np.arange(3.0), *arrays)], rtol=1e-10, atol=1e-13
    )
    batches = list(total.batches(epoch))
    assert len(batches) == total.n_batches
    assert sorted(np.concatenate(batches)) == list(range(total.n_samples))
    assert max(map(len, batches)) <= batch_size
    for indices in batches:
        value, gradient = total.batch_value_and_gradient(w, indices)
        want = both(w, *(a[indices] for a in arrays))
        assert value == pytest.approx(want[0], rel=1e-12)
        np.testing.assert_allclose(gradient, want[1], rtol=1e-11, atol=1e-14)


def test_epochs_of_shards_depend_on_seed_and_epoch_alone():
    def order(seed, epoch):
        shards = Shards(cut(data(60), [20, 30, 10]))
        return np.concatenate(list(FiniteSum(both, shards, jac=True, batch_size=7, seed=seed).batches(epoch)))

    np.testing.assert_array_equal(order(1, 4), order(1, 4))
    assert not np.array_equal(order(1, 4), order(1, 5))
    assert not np.array_equal(order(1, 4), order(2, 4))


def test_a_shard_is_loaded_once_a_pass_and_one_is_kept():
    loads = []

    def load(k):
        loads.append(k)
        return cut(data(60), [20, 30, 10])[k]

    total = FiniteSum(
        both, Shards([functools.partial(load, k) for k in range(3)], [20, 30, 10]), jac=True, chunk_size=5
    )
    assert loads == []
    total.value(np.ones(3))
    assert loads == [0, 1, 2]
    total.value(np.ones(3))
    assert loads == [0, 1, 2] * 2
    loads.clear()
    for indices in total.batches(0):
        total.batch_value_and_gradient(np.ones(3), indices)
    assert sorted(loads) == [0, 1, 2]


def test_minimize_trains_over_shards_as_over_arrays():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    y = np.tanh(X @ np.arange(4.0))
    net = MLP([4, 3, 1])
    shards = Shards((X[k::4], y[k::4]) for k in range(4))
    total = FiniteSum(net.loss_and_gradient, shards, jac=True, value=net.loss, hessp=net.hessp, batch_size=20)
    result = minimize(total, net.init(0), options={"maxiter": 60})
    assert result.fun == pytest.approx(net.loss(result.x, X, y), rel=1e-10)
    assert result.fun < 0.02 * net.loss(net.init(0), X, y)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Shards([]), ValueError, "there are no shards"),
        (lambda: Shards([np.zeros((0, 2))]), ValueError, "at least one sample"),
        (lambda: Shards([(np.zeros(3), np.zeros(4))]), ValueError, "same first dimension"),
        (lambda: Shards([np.zeros(3)], [3, 3]), ValueError, "names 2 shards, there are 1"),
        (lambda: Shards([np.zeros(3), (np.zeros(3), np.zeros(3))]), TypeError, "shard 1 holds 2 arrays"),
        (
            lambda: FiniteSum(both, Shards([lambda: data(4)], [5]), jac=True).value(np.ones(3)),
            ValueError,
            "shard 0 has 4 samples, expected 5",
        ),
        (
            lambda: FiniteSum(both, Shards(cut(data(8), [4, 4])), jac=True).batch_value_and_gradient(
                np.ones(3), np.array([1, 5])
            ),
            ValueError,
            "must lie in one shard",
        ),
    ],
)
def test_bad_shards(make, error, message):
    with pytest.raises(error, match=message):
        make()


# -- files --------------------------------------------------------------------------------------------------


def mapped(path, n=500, mode="r"):
    X, y = data(n)
    for name, array in (("X", X), ("y", y)):
        np.save(path / f"{name}.npy", array)
    return np.load(path / "X.npy", mmap_mode=mode), np.load(path / "y.npy", mmap_mode=mode)


def test_memory_mapped_arrays_are_not_copied_and_travel_by_name(tmp_path):
    X, y = mapped(tmp_path)
    total = FiniteSum(both, (X, y), jac=True, hessp=product, chunk_size=40)
    assert all(np.shares_memory(a, b) for a, b in zip(total.data, (X, y), strict=True))
    sent = pickle.dumps(total)
    assert len(sent) < 5000 < X.nbytes
    assert everything(pickle.loads(sent)) == everything(total)
    part = FiniteSum(both, (X[100:300], y[100:300]), jac=True, hessp=product)
    sent = pickle.dumps(part)
    assert len(sent) < 5000
    assert everything(pickle.loads(sent)) == everything(part)


@pytest.mark.parametrize("mode", ["r", "c"])
def test_what_a_name_would_not_give_back_is_sent_whole(tmp_path, mode):
    """Every other row, and arrays whose changes stay in memory (mode 'c')."""
    X, y = mapped(tmp_path, mode=mode)
    if mode == "c":
        X[:] = 1.0
    for arrays in ((X, y), (X[::2], y[::2])):
        total = FiniteSum(both, arrays, jac=True, hessp=product)
        again = pickle.loads(pickle.dumps(total))  # contiguous, so that products may round otherwise
        np.testing.assert_allclose(everything(again), everything(total), rtol=1e-12)
    shards = Shards([(X, y)])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(shards)).take(np.arange(3))[0], X[:3])


@pytest.mark.slow
def test_a_hundred_thousand_mapped_rows_train_within_a_gigabyte(tmp_path):
    """100,000 x 784 in float32, 314 MB on disk: a process that trains on it peaks below 1 GB.

    The kernels are compiled before, by a process with little data: a compiler takes half a gigabyte itself.
    Linux counts in `ru_maxrss` what the process was forked from, here a worker of pytest; not in `VmHWM`.
    """
    script = """
        import resource, sys
        from pathlib import Path
        import numpy as np
        from twophase_min import minimize
        from twophase_min.networks import MLP

        rows = int(sys.argv[2])
        X = np.memmap(sys.argv[1], np.float32, "w+", shape=(rows, 784))
        rng = np.random.default_rng(0)
        y = rng.integers(0, 10, len(X))
        centres = rng.normal(size=(10, 784)).astype(np.float32)
        for i in range(0, len(X), 1000):
            X[i : i + 1000] = centres[y[i : i + 1000]] + rng.normal(size=(1000, 784), scale=5)
        X.flush()
        del X
        X = np.memmap(sys.argv[1], np.float32, "r", shape=(rows, 784))
        net = MLP([784, 16, 10], loss="cross_entropy", dtype=np.float32)
        total = net.finite_sum(X, y)
        result = minimize(total, net.init(0), options={"maxiter": 4})
        peak, status = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, Path("/proc/self/status")
        if status.exists():
            peak = int(status.read_text().split("VmHWM:")[1].split()[0])
        print(result.fun, total.value(net.init(0)), peak)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "X")]
    subprocess.run([*command, "1000"], capture_output=True, check=True, timeout=500)
    answer = subprocess.run([*command, "100000"], capture_output=True, text=True, check=True, timeout=500)
    loss, before, kilobytes = map(float, answer.stdout.split())
    assert loss < 0.5 * before
    assert kilobytes * 1024 < 1e9


# -- workers ------------------------------------------------------------------------------------------------


def backwards(task, pieces):
    """A map that answers in the opposite order."""
    return [task(piece) for piece in reversed(pieces)]


@pytest.mark.parametrize("count", [2, 3, -1])
@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_any_workers_give_the_same_bits(count, backend):
    total = whole(workers=count, backend=backend)
    assert everything(total) == everything(whole())
    total.close()
    assert total.value(np.ones(3)) == whole().value(np.ones(3))  # new ones are started
    total.close()


def rounds_by_place():
    """Whether products round otherwise where their arrays lie otherwise: NumPy 1.26's do on some cores."""
    rows, results = np.random.default_rng(0).normal(size=(60, 3)), set()
    for start in range(8):
        moved = np.empty(rows.size + 8)[start : start + rows.size].reshape(rows.shape)
        moved[:] = rows
        results.add((moved @ np.ones(3)).tobytes() + (moved.T @ rows[:, 0]).tobytes())
    return len(results) > 1


@pytest.mark.parametrize("executor", [None, ThreadPoolExecutor, ProcessPoolExecutor])
def test_a_map_or_an_executor_gives_the_same_bits(executor):
    if executor is None:
        assert everything(whole(workers=backwards)) == everything(whole())
        return
    with executor(2) as pool:
        results = [everything(whole(workers=workers)) for workers in (pool.map, pool)]
        if executor is ProcessPoolExecutor and rounds_by_place():  # the rows of a process lie anywhere
            np.testing.assert_allclose(results, [everything(whole())] * 2, rtol=1e-13)
        else:
            assert results == [everything(whole())] * 2
        assert pool.submit(abs, -1).result() == 1  # left open


def test_a_chunk_travels_with_its_rows_and_no_others():
    """Each row is sent once an evaluation, however many chunks there are."""
    sizes = []

    def workers(task, items):
        items = list(items)
        sizes.append([len(pickle.dumps(item)) for item in items])
        return [task(pickle.loads(pickle.dumps(item))) for item in items]

    X, y = data(20_000)
    total = FiniteSum(both, (X, y), jac=True, chunk_size=1000, workers=workers)
    f, g = total.value_and_gradient(np.ones(3))
    want = FiniteSum(both, (X, y), jac=True, chunk_size=1000).value_and_gradient(np.ones(3))
    assert f == want[0]
    np.testing.assert_array_equal(g, want[1])
    assert len(sizes[0]) == 20
    assert sum(sizes[0]) < 1.2 * (X.nbytes + y.nbytes)


def count_loads(file, arrays):
    with open(file, "a") as log:
        log.write("x")
    return arrays


def test_a_map_loads_a_shard_once_for_its_chunks(tmp_path):
    """Copies of the sum that arrive in one process share the shard that was loaded last."""
    file = tmp_path / "loads"
    parts = [functools.partial(count_loads, str(file), part) for part in cut(data(60), [20, 30, 10])]

    def workers(task, items):
        return [task(pickle.loads(pickle.dumps(item))) for item in items]

    total = FiniteSum(both, Shards(parts, [20, 30, 10]), jac=True, chunk_size=4, workers=workers)
    plain = FiniteSum(both, Shards(cut(data(60), [20, 30, 10])), jac=True, chunk_size=4)
    for passes in (1, 2):
        assert total.value(np.ones(3)) == plain.value(np.ones(3))
        assert len(file.read_text()) == 3 * passes


def test_threads_of_an_executor_are_refused_with_autograd():
    with ThreadPoolExecutor(2) as pool, pytest.raises(ValueError, match="autograd keeps one trace a process"):
        FiniteSum(lambda w, X, y: (w * 1.0).sum(), data(20), workers=pool)


def test_a_run_with_workers_is_the_run_without():
    options = {"maxiter": 8}
    alone = minimize(whole(), np.ones(3), options=options)
    for backend in ("threads", "processes"):
        total = whole(workers=2, backend=backend)
        shared = minimize(total, np.ones(3), options=options)
        total.close()
        np.testing.assert_array_equal(shared.x, alone.x)
        assert shared.fun == alone.fun


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_a_run_over_shards_with_workers_goes_on_bit_for_bit(backend, tmp_path, capsys):
    """Stopped within an epoch, also between two evaluations of all data, from a checkpoint, with a bar."""
    pytest.importorskip("tqdm")
    shards = Shards(cut(data(300), [100, 50, 150]))

    def total(workers):
        options = {"batch_size": 16, "chunk_size": 23, "workers": workers, "backend": backend}
        return FiniteSum(both, shards, jac=True, **options)

    given = {"convex_method": "memory-cg", "maxiter": 14, "progress": True}
    whole = minimize(total(1), np.ones(3), options=given)
    spread = total(2)
    for maxfun in (5.6, 9.2, 12.9, 14.0):
        file = tmp_path / f"{maxfun}.npz"
        first = minimize(spread, np.ones(3), options={**given, "maxfun": maxfun, "checkpoint": file})
        assert first.status == Status.MAXFUN
        second = minimize(spread, np.ones(3), options={**given, "resume": load_state(file)})
        np.testing.assert_array_equal(second.x, whole.x)
        np.testing.assert_array_equal(second.history.fun, whole.history.fun)
        np.testing.assert_array_equal(second.history.iteration, whole.history.iteration)
        assert second.nfev == whole.nfev
    spread.close()
    assert "samples" in capsys.readouterr().err


def dies_once(flag, w, X, y):
    """Kill the process that evaluates, the first time."""
    try:
        os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return both(w, X, y)
    os._exit(1)


def dies(w, X, y):
    os._exit(1)


def test_the_shard_of_a_lost_worker_is_computed_again(tmp_path):
    fun = functools.partial(dies_once, str(tmp_path / "flag"))
    shards = Shards(cut(data(300), [100, 50, 150]))
    total = FiniteSum(fun, shards, jac=True, chunk_size=23, workers=2, backend="processes")
    plain = FiniteSum(both, shards, jac=True, chunk_size=23)
    f, g = total.value_and_gradient(np.ones(3))
    assert (tmp_path / "flag").exists()
    assert f == plain.value(np.ones(3))
    np.testing.assert_array_equal(g, plain.gradient(np.ones(3)))
    total.close()


def test_workers_that_die_every_time_end_it():
    total = FiniteSum(dies, data(40), jac=True, chunk_size=10, workers=2, backend="processes")
    with pytest.raises(RuntimeError, match="3 times in a row the worker processes died"):
        total.value(np.ones(3))


def fails(w, X, y):
    raise KeyError("mine")


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_errors_of_fun_pass_through(backend):
    total = FiniteSum(fails, data(40), jac=True, chunk_size=10, workers=2, backend=backend)
    with pytest.raises(KeyError, match="mine"):
        total.value(np.ones(3))
    total.close()


def test_threads_run_side_by_side():
    barrier = threading.Barrier(2, timeout=20)

    def fun(w, X, y):
        barrier.wait()
        return both(w, X, y)

    total = FiniteSum(fun, data(40), jac=True, chunk_size=10, workers=2)
    assert total.value(np.ones(3)) == pytest.approx(both(np.ones(3), *data(40))[0])


def test_a_network_passes_its_workers_on():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(90, 3)), rng.normal(size=90)
    net = MLP([3, 4, 1])
    total = net.finite_sum(X, y, chunk_size=30, workers=2, backend="processes")
    w = net.init(0)
    np.testing.assert_array_equal(total.gradient(w), net.finite_sum(X, y, chunk_size=30).gradient(w))
    total.close()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"workers": 0}, ValueError, "workers is 0"),
        ({"workers": 2.5}, TypeError, "workers must be an int, a pool or a map-like callable"),
        ({"workers": "two"}, TypeError, "executor, a pool, a client of Dask"),
        ({"workers": 2, "backend": "dask"}, ValueError, "unknown backend 'dask'; choose one of threads"),
        ({"workers": 2, "jac": None}, ValueError, "autograd keeps one trace a process"),
    ],
)
def test_bad_workers(options, error, message):
    with pytest.raises(error, match=message):
        FiniteSum(both, data(20), **({"jac": True} | options))


def test_a_function_that_cannot_be_sent_says_so():
    total = FiniteSum(lambda w, X, y: both(w, X, y), data(20), jac=True, workers=2, backend="processes")
    with pytest.raises(TypeError, match="cannot be sent to another process"):
        total.value(np.ones(3))


def test_a_map_that_loses_results_is_told():
    with pytest.raises(ValueError, match=r"returned 0 of 14 results|returned \d+ of 14 results"):
        whole(workers=lambda task, pieces: [task(piece) for piece in pieces[1:]]).value(np.ones(3))
