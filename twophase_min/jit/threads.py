"""A few threads that share out one kernel call over a large vector.

Kernels release the GIL, so plain Python threads run them side by side. Chunks are claimed one by one, by the
caller too: on a busy machine, where the helpers wake late or not at all, the caller does the work itself and
never waits for more than one chunk.

Numba's own ``parallel=True`` was measured against this. With OpenMP underneath it is quicker on an idle
machine, but as soon as other processes hold the cores a call waits milliseconds at its barrier (7.8 ms for 10
microseconds of work), and its workqueue layer aborts when two threads enter it (numba#10565). A
``concurrent.futures`` pool costs 20 microseconds more a call.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import queue
import sys
import threading
import time
from collections.abc import Callable

MAX_THREADS = 8
"""Memory bandwidth is used up by a few cores; more threads than this only cost wake-ups."""


_current_core: Callable[[], int] | None = None
if sys.platform == "linux":
    with contextlib.suppress(AttributeError, OSError):
        _current_core = ctypes.CDLL(None).sched_getcpu


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


class _Job:
    """One call: chunks are claimed from a counter; the helper that finishes the last one wakes the caller."""

    def __init__(self, work: Callable[[int], object], count: int):
        self.work = work
        self.count = count
        self.claims = itertools.count()
        self.done: list[int] = []
        self.entered: list[None] = []
        self.left: list[None] = []
        self.finished = threading.Lock()
        self.finished.acquire()
        self.error: BaseException | None = None

    def run(self) -> None:
        while (chunk := next(self.claims)) < self.count:
            self.work(chunk)
            self.done.append(chunk)

    def help(self) -> None:
        self.entered.append(None)
        try:
            self.run()
        except BaseException as error:  # for the caller to raise
            self.error = error
        finally:
            self.left.append(None)
        if self.error is not None or len(self.done) == self.count:
            with contextlib.suppress(RuntimeError):  # another helper saw the end as well
                self.finished.release()

    def wait(self) -> None:
        if len(self.done) < self.count:
            self.finished.acquire()
        if self.error is not None:
            raise self.error

    def abandon(self) -> None:
        """Let nobody claim another chunk, and wait until no helper touches the vectors any more."""
        self.count = 0
        while len(self.left) < len(self.entered):
            time.sleep(1e-5)


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
        self._queue: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._started = 0
        self._helpers: list[int] = []
        self._starting = threading.Lock()

    def _start(self) -> None:
        with self._starting:
            while self._started < self.threads - 1:
                name = f"twophase-kernel-{self._started}"
                threading.Thread(target=self._serve, name=name, daemon=True).start()
                self._started += 1

    def _serve(self) -> None:
        self._helpers.append(threading.get_native_id())
        while True:
            self._queue.get().help()

    def _keep_off(self) -> None:
        """Keep the helpers off the caller's core (Linux).

        A thread that is woken while every core is busy is queued on the core of the one that woke it, and the
        two then take turns instead of working side by side; measured on a busy machine, a step over 1e6
        elements took 1.0 ms instead of 0.6.
        """
        if _current_core is None:
            return
        with contextlib.suppress(OSError):
            cores = os.sched_getaffinity(0) - {_current_core()}
            for helper in self._helpers if cores else ():
                os.sched_setaffinity(helper, cores)

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
        helpers = min(self.threads, count) - 1
        if helpers > 0 and self._started < self.threads - 1:
            self._start()
        if helpers > 0:
            self._keep_off()
        job = _Job(work, count)
        try:
            for _ in range(helpers):
                self._queue.put(job)
            job.run()
            job.wait()
        except BaseException:
            job.abandon()
            raise


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
