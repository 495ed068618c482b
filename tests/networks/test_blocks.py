"""One evaluation over threads: the same result as on one, BLAS's threads given back, results of their own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import autograd.numpy as anp
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from twophase_min.jit import threads
from twophase_min.networks import MLP, blocks

threadpoolctl = pytest.importorskip("threadpoolctl")
N = 1501
SIZES = [40, 40, 3]


@pytest.fixture
def two_threads(monkeypatch):
    """Two threads in the pool, whatever the environment says, and BLAS with two."""
    monkeypatch.setattr(threads, "_pool", threads.Pool(2))
    monkeypatch.setattr(blocks, "LEAST_WORK", 1 << 21)  # the networks of these tests are small
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        yield


def problem(loss="cross_entropy", dtype=np.float64, **options):
    rng = np.random.default_rng(0)
    net = MLP(SIZES, "tanh", loss, dtype=dtype, **options)
    X = rng.normal(size=(N, SIZES[0])).astype(dtype)
    Y = rng.integers(0, 3, N) if loss == "cross_entropy" else rng.normal(size=(N, 3)).astype(dtype)
    return net, X, Y, rng.uniform(0.5, 2, N), net.init(1), net.init(2)


def threads_of_blas():
    """The numbers of threads of all BLAS libraries in this process."""
    info = threadpoolctl.ThreadpoolController().select(user_api="blas").info()
    return {library["num_threads"] for library in info}


@given(
    rows=st.integers(1, 10**6),
    n_params=st.integers(1, 10**8),
    itemsize=st.sampled_from([4, 8]),
    count=st.integers(1, 8),
)
@settings(deadline=None)
def test_blocks_are_all_rows_once_in_order(rows, n_params, itemsize, count):
    """Blocks differ by one row at most, are not too short and no more than the threads ask for."""
    before, threads._pool = threads._pool, threads.Pool(count)
    try:
        cut = blocks.blocks_of(rows, n_params, itemsize)
    finally:
        threads._pool = before
    np.testing.assert_array_equal(
        np.concatenate([[block.start, block.stop] for block in cut]),
        np.repeat([block.start for block in cut] + [rows], 2)[1:-1],
    )
    assert cut[0].start == 0
    sizes = {block.stop - block.start for block in cut}
    assert max(sizes) - min(sizes) <= 1
    assert blocks.shares(cut).sum() == pytest.approx(1.0, abs=1e-15)
    if len(cut) > 1:
        assert min(sizes) >= blocks.LEAST_ROWS
        assert (min(sizes) + 1) * n_params * itemsize > blocks.LEAST_WORK
        assert count > 1
        assert len(cut) <= blocks.BLOCKS_PER_THREAD * count
        assert len(cut) * n_params <= blocks.MOST_PARTS
        if len(cut) > count:  # for the case that a core is taken
            assert (min(sizes) + 1) * n_params * itemsize > 2 * blocks.LEAST_WORK


@pytest.mark.parametrize(
    ("rows", "itemsize", "count"),
    [(320, 4, 1), (336, 4, 2), (160, 8, 1), (168, 8, 2), (512, 8, 2), (5000, 8, 4)],
)
def test_work_is_counted_in_bytes(monkeypatch, rows, itemsize, count):
    """Blocks of 784-128-10 on two threads: in float64 from half of the rows."""
    monkeypatch.setattr(threads, "_pool", threads.Pool(2))
    assert len(blocks.blocks_of(rows, 784 * 128 + 128 + 128 * 10 + 10, itemsize)) == count


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "huber", "mae"])
@pytest.mark.parametrize("weighted", [False, True])
def test_two_threads_give_what_one_gives(two_threads, monkeypatch, dtype, loss, weighted):
    net, X, Y, s, w, v = problem(loss, dtype, l2=0.01)
    objective = net.objective(X, Y, s if weighted else None)
    assert len(blocks.blocks_of(N, net.n_params, net.dtype.itemsize)) > 1
    shared = objective.value(w), *objective(w), objective.hessp(w, v)
    again = objective(w)
    monkeypatch.setattr(threads, "_pool", threads.Pool(1))
    assert len(blocks.blocks_of(N, net.n_params, net.dtype.itemsize)) == 1
    alone = objective.value(w), *objective(w), objective.hessp(w, v)
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    for ours, theirs in zip(shared, alone, strict=True):
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * scale)
    assert again[0] == shared[1]
    np.testing.assert_array_equal(again[1], shared[2])  # the same bits


def test_the_threads_of_blas_are_given_back(two_threads):
    net, X, Y, _, w, _ = problem()
    net.objective(X, Y)(w)
    assert threads_of_blas() == {2}


def test_they_are_given_back_after_an_error(two_threads):
    def fail(k, rows):
        raise KeyError(k)

    with pytest.raises(KeyError):
        blocks.for_each(blocks.blocks_of(N, 10**4, 8), 10**4, 8, fail)
    assert threads_of_blas() == {2}


def test_evaluations_side_by_side_hold_blas_together(two_threads):
    net, X, Y, _, w, _ = problem()
    objective = net.objective(X, Y)
    value, gradient = objective(w)
    with ThreadPoolExecutor(4) as executor:
        results = list(executor.map(lambda _: objective(w), range(20)))
    assert all(f == value and np.array_equal(g, gradient) for f, g in results)
    assert threads_of_blas() == {2}


def test_results_are_not_overwritten_by_later_calls(two_threads):
    net, X, Y, _, w, v = problem()
    objective = net.objective(X, Y)
    _, gradient = objective(w)
    product = objective.hessp(w, v)
    kept = gradient.copy(), product.copy()
    assert gradient.flags.owndata
    for step in range(3):
        objective(w + step)
        objective.hessp(w + step, v)
    np.testing.assert_array_equal(gradient, kept[0])
    np.testing.assert_array_equal(product, kept[1])


def test_non_finite_weights_stay_silent_on_every_thread(two_threads, recwarn):
    net, X, Y, _, w, _ = problem("mse")
    value, _ = net.objective(X, Y)(w * 1e300)
    assert not np.isfinite(value)
    assert not recwarn.list


def test_a_loss_of_the_callers_own_stays_in_the_callers_thread(two_threads):
    import threading

    seen = set()

    def function(z, t):
        seen.add(threading.get_ident())
        return anp.sum((z - t) ** 2, axis=1)

    _, X, Y, *_ = problem("mse")
    own = MLP(SIZES, "tanh", function)
    own.objective(X, Y)(own.init(0))
    assert seen == {threading.get_ident()}


def test_sparse_input_is_not_cut(two_threads):
    net, X, Y, _, w, _ = problem()
    sparse = scipy.sparse.csr_matrix(np.where(np.abs(X) > 1.5, X, 0.0))
    value, gradient = net.objective(sparse, Y)(w)
    dense_value, dense_gradient = net.objective(sparse.toarray(), Y)(w)
    assert value == pytest.approx(dense_value, rel=1e-12)
    np.testing.assert_allclose(gradient, dense_gradient, rtol=0, atol=1e-14)
