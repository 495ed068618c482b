"""Threads that share out one kernel call over a large vector.

Kernels release the GIL, so plain Python threads run them side by side. Chunks are claimed one by one, by the
caller too: on a busy machine, where the helpers wake late or not at all, the caller does the work itself and
waits for one chunk at most.

An executor's helpers are woken by the caller, and Linux likes to put a thread on the core of the one that
wakes it. There they wait for the caller to end: on two idle cores the first twenty evaluations of a network
in a row took 2.1 ms, as on one thread, and those after them 1.5 to 1.8. With helpers that keep off the
caller's core it was 1.8 and 1.5.

Measured against a pool of our own with a queue, which stood here before: Adam's step in float64, 2 threads on
two cores, paired, medians of 15 rounds, with other work on the machine (load 8), and with two more busy
processes. The time of the executor over that of the pool was 1.01 and 0.75 at 2e5 variables, 0.65 and 0.99 at
1e6, 0.92 and 1.00 at 1e7. Numba's ``parallel=True`` waits
milliseconds at its barrier as soon as other processes hold the cores, and its workqueue layer aborts when two
threads enter it (numba#10565).
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

MAX_THREADS = 8
"""Memory bandwidth is used up by a few cores; more threads than this only cost wake-ups."""


def _available() -> int:
    for name in ("TWOPHASE_NUM_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(name, "").split(",")[0].strip()
        if text.isdecimal() and int(text) > 0:
            return min(int(text), MAX_THREADS)
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not every system tells which cores this process may use
        cores = os.cpu_count() or 1
    return min(cores, MAX_THREADS)


def _core_of_the_caller() -> Callable[[], int] | None:
    """Return the C library's function for it; None where threads cannot be told their cores."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.PyDLL(None), "sched_getcpu", None)


_core = _core_of_the_caller()


class Pool:
    """Helper threads, started at the first call that needs them.

    Parameters
    ----------
    threads : int, optional
        Threads that work on one call, the caller included. Default: TWOPHASE_NUM_THREADS, else
        OMP_NUM_THREADS, else the cores this process may use; at most `MAX_THREADS`.
    """

    def __init__(self, threads: int | None = None):
        self.threads = _available() if threads is None else threads
        self._kept_off: dict[int, int] = {}
        """By the helper's number in the system: the core it keeps off, -1 while it may use all."""

    @functools.cached_property
    def _helpers(self) -> ThreadPoolExecutor:
        def enter() -> None:
            self._kept_off[threading.get_native_id()] = -1

        return ThreadPoolExecutor(self.threads - 1, "twophase-kernel", initializer=enter)

    def _keep_off(self, core: int) -> None:
        """Have the helpers run on the caller's other cores, where there are any."""
        late = [helper for helper, kept in tuple(self._kept_off.items()) if kept != core]
        others = os.sched_getaffinity(0) - {core} if late else set()
        for helper in late if others else ():
            self._kept_off[helper] = core
            with contextlib.suppress(OSError):  # a system may forbid it, which costs time only
                os.sched_setaffinity(helper, others)

    def run(self, work: Callable[[int], object], count: int) -> None:
        """Call ``work(0)``, ..., ``work(count - 1)``, each once, in any order and on any thread, to the end.

        Parameters
        ----------
        work : callable
            Takes the index of a chunk; releases the GIL while it computes.
        count : int
            Number of chunks.

        Raises
        ------
        BaseException
            What ``work`` raised, or Ctrl-C; some chunks are then left out, none is still running.
        """
        claims = iter(range(count))

        def claim() -> None:
            try:
                for chunk in claims:
                    work(chunk)
            finally:
                for _ in claims:  # after an exception nobody claims another one
                    pass

        if _core is not None:
            self._keep_off(_core())
        jobs = [self._helpers.submit(claim) for _ in range(min(self.threads, count) - 1)]
        try:
            claim()
        finally:
            running = [job for job in jobs if not job.cancel()]
            wait(running)
        for job in running:
            job.result()


_pool = Pool()


def pool() -> Pool:
    """Return the threads of this process."""
    return _pool


def _renew() -> None:
    global _pool
    _pool = Pool()


# A forked child inherits the object but not the threads.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
