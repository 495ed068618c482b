"""Finite sums over a communicator: processes that each add their own share, here as threads.

`test_parallel.py` has the same with MPI's own processes.
"""

from __future__ import annotations

import functools
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_finite_sum_workers import both, cut, data, everything, product

from twophase_min import minimize
from twophase_min._ranks import Ranks
from twophase_min.finite_sum import FiniteSum, Shards


class Board:
    """What the ranks of one communicator share."""

    def __init__(self, size):
        self.size, self.slots = size, [None] * size
        self.barrier = threading.Barrier(size, timeout=20)
        self.sent = []


class Comm:
    """The part of a communicator that is used, by threads; objects travel pickled, as with MPI."""

    def __init__(self, board, rank):
        self.board, self.rank = board, rank

    def Get_rank(self):
        return self.rank

    def Get_size(self):
        return self.board.size

    def _exchange(self, item):
        self.board.slots[self.rank] = item
        self.board.barrier.wait()
        items = list(self.board.slots)
        self.board.barrier.wait()
        return items

    def bcast(self, item, root):
        sent = pickle.dumps(item)
        if self.rank == root:
            self.board.sent.append(len(sent))
        return pickle.loads(self._exchange(sent)[root])

    def gather(self, item, root):
        items = self._exchange(pickle.dumps(item))
        return list(map(pickle.loads, items)) if self.rank == root else None

    def Allreduce(self, share, total):
        total[:] = np.sum(self._exchange(share.copy()), axis=0)


def on_ranks(size, script):
    """Run ``script(comm)`` on so many ranks; return what each returned, and the board."""
    board, found = Board(size), [None] * size

    def run(rank):
        try:
            found[rank] = script(Comm(board, rank))
        except Exception as error:
            found[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert not any(thread.is_alive() for thread in threads)
    return found, board


def led(make, work):
    """Return a script: the leader works with its sum and closes it, the others serve."""

    def script(comm):
        total = make(comm)
        if not total.serve():
            return None
        try:
            return work(total)
        finally:
            total.close()

    return script


@given(
    size=st.integers(1, 5),
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=6),
    chunk_size=st.integers(1, 25),
    loaded=st.booleans(),
)
@settings(deadline=None, max_examples=25)
def test_any_number_of_ranks_gives_the_mean_of_all_samples(size, lengths, chunk_size, loaded):
    """For any shards and chunks, also where there are fewer of them than ranks."""
    arrays = data(sum(lengths))
    parts = cut(arrays, lengths)

    def make(comm):
        shards = Shards([functools.partial(tuple, part) for part in parts] if loaded else parts)
        return FiniteSum(both, shards, jac=True, hessp=product, chunk_size=chunk_size, workers=comm)

    (found, *others), _ = on_ranks(size, led(make, everything))
    w = np.ones(3)
    f, g = both(w, *arrays)
    np.testing.assert_allclose(
        found, [f, f, *g, *g, *product(w, np.arange(3.0), *arrays)], rtol=1e-10, atol=1e-13
    )
    assert others == [None] * (size - 1)


@given(
    size=st.integers(1, 7), lengths=st.lists(st.integers(1, 9), min_size=1, max_size=8), loaded=st.booleans()
)
def test_every_piece_has_one_rank_and_a_loaded_shard_is_on_one_alone(size, lengths, loaded):
    parts = cut(data(sum(lengths)), lengths)
    shards = Shards([functools.partial(tuple, part) for part in parts] if loaded else parts, lengths)
    pieces = list(shards.pieces(4))
    shares = [Ranks(Comm(Board(size), rank)).own(shards, pieces) for rank in range(size)]
    assert [piece for share in shares for piece in share] == pieces
    assert shares[0]
    units = len({shards.held(piece) for piece in pieces})
    counts = [len({shards.held(piece) for piece in share}) for share in shares]
    assert max(counts) - min(counts) <= 1
    assert sum(counts) == units


def test_a_run_is_that_of_one_process_and_no_data_travel():
    X = np.random.default_rng(0).normal(size=(4000, 3))
    arrays = X, np.tanh(X @ np.arange(3.0))
    options = {"maxiter": 6, "convex_method": "memory-cg"}

    def make(comm):
        return FiniteSum(both, arrays, jac=True, hessp=product, chunk_size=100, workers=comm)

    (found, *_), board = on_ranks(3, led(make, lambda total: minimize(total, np.ones(3), options=options)))
    alone = minimize(make(1), np.ones(3), options=options)
    np.testing.assert_allclose(found.x, alone.x, rtol=1e-8)
    assert found.fun == pytest.approx(alone.fun, rel=1e-10)
    assert found.nfev == pytest.approx(alone.nfev)
    assert max(board.sent) < 2000 < X.nbytes


def test_float32_comes_back_as_float32_and_is_added_in_float64():
    rows = np.full((64, 1), 1e8, np.float32)
    rows[1:] = 1.0

    def fun(w, X):
        return float(X.sum() / len(X)), (X.sum(axis=0) / len(X)).astype(np.float32)

    def make(comm):
        return FiniteSum(fun, rows, jac=True, chunk_size=1, workers=comm)

    (found, *_), _ = on_ranks(4, led(make, lambda total: total.value_and_gradient(np.zeros(1, np.float32))))
    assert found[0] == (1e8 + 63) / 64
    assert found[1].dtype == np.float32
    assert found[1][0] == np.float32((1e8 + 63) / 64)


@pytest.mark.parametrize("rank", [0, 2])
def test_an_error_on_any_rank_is_raised_by_the_leader_and_the_others_serve_on(rank):
    def make(comm):
        def fun(w, X, y):
            if comm.rank == rank and w[0] == 7.0:
                raise KeyError("mine")
            return both(w, X, y)

        return FiniteSum(fun, data(60), jac=True, chunk_size=10, workers=comm)

    def work(total):
        with pytest.raises(KeyError, match="mine"):
            total.value_and_gradient(np.full(3, 7.0))
        return total.value(np.ones(3))

    (found, *others), _ = on_ranks(3, led(make, work))
    assert found == pytest.approx(both(np.ones(3), *data(60))[0], rel=1e-12)
    assert others == [None, None]


class Own(Exception):
    """One that cannot be unpickled."""

    def __init__(self, a, b):
        super().__init__(f"{a} {b}")


def test_an_error_that_cannot_travel_comes_as_its_text():
    def make(comm):
        def fun(w, X, y):
            if comm.rank == 1:
                raise Own("no", "good")
            return both(w, X, y)

        return FiniteSum(fun, data(60), jac=True, chunk_size=10, workers=comm)

    (found, *_), _ = on_ranks(2, led(make, lambda total: total.value(np.ones(3))))
    assert type(found) is RuntimeError
    assert str(found) == "Own: no good"


def test_who_may_evaluate_and_when():
    def script(comm):
        total = FiniteSum(both, data(60), jac=True, chunk_size=10, workers=comm)
        with pytest.raises(
            RuntimeError, match=r"call serve\(\)" if comm.rank == 0 else "under `if total.serve"
        ):
            total.value(np.ones(3))
        values = []
        for _ in range(2):  # after close a new round can begin
            if total.serve():
                values.append(total.value(np.ones(3)))
                total.close()
                total.close()
        assert FiniteSum(both, data(6), jac=True).serve()
        assert pickle.loads(pickle.dumps(total)).value(np.ones(3)) == pytest.approx(
            both(np.ones(3), *data(60))[0]
        )
        return values

    (first, second), _ = on_ranks(2, script)
    assert first[0] == first[1] == pytest.approx(both(np.ones(3), *data(60))[0])
    assert second == []
