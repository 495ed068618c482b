"""One evaluation of a network over threads: blocks of rows, each a chain of matrix products on one core.

Threads inside a matrix product meet at a barrier after each product; on a machine that has other work, all
wait there for the one whose core was taken away. Blocks of rows meet once, at the end of the evaluation, and
are claimed one by one (`jit.threads`). For that BLAS is held to one thread meanwhile, by threadpoolctl, which
comes with scikit-learn or the extra ``threads``; without it the blocks are evaluated one after the other.

The blocks are added in order: for one number of threads, the same evaluation gives the same bits. On a single
thread nothing is cut, because a block is no faster than the same rows within the whole.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twophase_min.jit.threads import pool

LEAST_ROWS = 64
"""Rows in a block at least: fewer make narrow matrix products."""
LEAST_WORK = 1 << 26
"""Rows times bytes of the parameters in a block at least: 0.6 ms on a core of 100 GFLOP/s in float32, where
waking a helper, taking turns with it at the interpreter and adding a gradient cost 0.2 to 0.3 ms. A product
takes as long as its bytes: float64 has half the operations in the time."""
BLOCKS_PER_THREAD = 2
"""Where a block has `LEAST_WORK` twice: a thread whose core is taken away leaves half of its work to another.
Where no core is taken it costs 3 to 10 %."""
MOST_PARTS = 1 << 23
"""Entries of the gradients of all blocks at most, 64 MiB in float64."""
LEAST_PRODUCT = 1 << 18
"""Rows times parameters below which no matrix product is large enough for OpenBLAS to start threads."""


def blocks_of(rows: int, n_params: int, itemsize: int) -> list[slice]:
    """Cut the rows into equal blocks for the threads of this process; into one if it does not pay.

    Parameters
    ----------
    rows, n_params : int
        Of the evaluation.
    itemsize : int
        Bytes of a parameter.
    """
    threads = pool().threads
    most = min(rows // LEAST_ROWS, rows * n_params * itemsize // LEAST_WORK, MOST_PARTS // n_params)
    several = BLOCKS_PER_THREAD * threads
    count = several if most >= 2 * several else min(threads, most)
    if threads == 1 or count < 2 or not _blas.libraries:
        return [slice(0, rows)]
    ends = [rows * k // count for k in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(ends)]


def shares(blocks: list[slice]) -> NDArray[np.float64]:
    """Return each block's share of the rows."""
    sizes = np.array([block.stop - block.start for block in blocks], dtype=np.float64)
    parts: NDArray[np.float64] = sizes / sizes.sum()
    return parts


def for_each(blocks: list[slice], n_params: int, itemsize: int, work: Callable[[int, slice], None]) -> None:
    """Call ``work(k, block)`` for every block, over the threads of this process.

    What is too short to be cut stays on one thread. There BLAS's own gain a tenth to two fifths where both
    cores are idle; beside one busy process they wait for each other, 128 rows for 30 ms instead of 0.5.
    Parameters too many to be cut are left to them.
    """
    size = blocks[-1].stop * n_params
    if len(blocks) > 1:
        with _blas.one_thread():
            pool().run(lambda k: work(k, blocks[k]), len(blocks))
    elif size >= LEAST_PRODUCT and size * itemsize < 2 * LEAST_WORK and pool().threads > 1:
        with _blas.one_thread():
            work(0, blocks[0])
    else:
        work(0, blocks[0])


class _Blas:
    """The number of threads of BLAS, which belongs to the whole process.

    The first evaluation that enters lowers it, the last that leaves restores it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: list[int] = []

    @functools.cached_property
    def libraries(self) -> list[Any]:
        """What threadpoolctl knows how to hold; empty without it, and where it knows none."""
        try:
            from threadpoolctl import ThreadpoolController
        except ImportError:
            return []
        return list(ThreadpoolController().select(user_api="blas").lib_controllers)

    @contextmanager
    def one_thread(self) -> Iterator[None]:
        """Hold BLAS to one thread."""
        with self._lock:
            if self._inside == 0:
                self._before = [library.get_num_threads() for library in self.libraries]
                for library in self.libraries:
                    library.set_num_threads(1)
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    for library, count in zip(self.libraries, self._before, strict=True):
                        library.set_num_threads(count)


_blas = _Blas()


def _renew() -> None:
    global _blas
    _blas = _Blas()


# A forked child may inherit the lock while another thread holds it.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
