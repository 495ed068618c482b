"""Pieces of one evaluation over threads, processes or any map, their results in the order of the pieces.

A worker process that dies (a crash in foreign code, no memory) takes nothing with it: the pieces that were
out are computed again by new ones. Results are handed on in order, so that sums have the same bits for every
number of workers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from twophase_min._errstate import Here

if TYPE_CHECKING:
    from concurrent.futures import Executor, ProcessPoolExecutor

BACKENDS = ("threads", "processes")
AHEAD = 2
"""Pieces out at a time for each worker."""


class Spread:
    """How the pieces of a sum are shared out.

    Parameters
    ----------
    workers : int or callable
        -1 is every core; 1 is none but the caller. A callable is called as ``workers(task, pieces)`` and
        returns or yields what ``task`` returned, in any order.
    backend : {'threads', 'processes'}
        What an int counts.

    Raises
    ------
    ValueError, TypeError
        For what is none of these.
    """

    def __init__(self, workers: Any, backend: str) -> None:
        if backend not in BACKENDS:
            raise ValueError(f"unknown backend {backend!r}; choose one of {', '.join(BACKENDS)}")
        self.backend = backend
        self.mapper: Callable[..., Any] | None = workers if callable(workers) else None
        self.count = 1
        if not (callable(workers) or workers is None or (type(workers) is int and workers == 1)):
            from twophase_min.objective.workers import count_of  # imports multiprocessing

            self.count = count_of(workers)
        self._pool: Executor | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_pool": None}

    def __call__(
        self, owner: Any, task: Callable[..., Any], pieces: Iterable[Any], *common: Any
    ) -> Iterator[Any]:
        """Yield ``task(owner, piece, *common)`` for every piece, in order.

        ``owner`` travels to a process once, when the process starts; ``task`` is a function of a module.
        """
        if self.mapper is not None:
            return self._mapped(_Sent(owner, task, common), list(pieces))
        if self.count == 1:
            return (task(owner, piece, *common) for piece in pieces)
        if self.backend == "threads":
            return self._threads(Here(lambda piece: task(owner, piece, *common)), pieces)
        return self._processes(owner, task, list(pieces), common)

    def close(self) -> None:
        """End the workers; the next evaluation starts new ones."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _mapped(self, task: _Sent, pieces: list[Any]) -> Iterator[Any]:
        assert self.mapper is not None
        waiting: dict[int, Any] = {}
        following = 0
        for k, result in self.mapper(task, list(enumerate(pieces))):
            waiting[k] = result
            while following in waiting:
                yield waiting.pop(following)
                following += 1
        if following != len(pieces):
            raise ValueError(
                f"workers(task, pieces) returned {following} of {len(pieces)} results; it must return all"
            )

    def _threads(self, task: Callable[[Any], Any], pieces: Iterable[Any]) -> Iterator[Any]:
        from concurrent.futures import ThreadPoolExecutor

        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.count, thread_name_prefix="twophase-sum")
        pool = self._pool
        out: deque[Any] = deque()
        try:
            for piece in pieces:
                out.append(pool.submit(task, piece))
                if len(out) >= AHEAD * self.count:
                    yield out.popleft().result()
            while out:
                yield out.popleft().result()
        finally:
            for future in out:  # after an error or Ctrl-C
                future.cancel()

    def _processes(
        self, owner: Any, task: Callable[..., Any], pieces: list[Any], common: Any
    ) -> Iterator[Any]:
        from concurrent.futures.process import BrokenProcessPool

        from twophase_min.objective.workers import ALONE, DEATHS

        done = deaths = 0
        while done < len(pieces):
            out: deque[Any] = deque()
            following = done
            try:
                if self._pool is None:
                    self._pool = self._start(owner)
                while done < len(pieces):
                    while following < len(pieces) and len(out) < AHEAD * self.count:
                        out.append(self._pool.submit(_serve, task, pieces[following], common))
                        following += 1
                    result = out.popleft().result()
                    done += 1
                    deaths = 0
                    yield result
            except BrokenProcessPool as error:
                self._pool = None
                deaths += 1
                if deaths >= DEATHS:
                    raise RuntimeError(
                        f"{deaths} times in a row the worker processes died without a result. {ALONE}"
                    ) from error
            finally:
                for future in out:
                    future.cancel()

    def _start(self, owner: Any) -> ProcessPoolExecutor:
        from concurrent.futures import ProcessPoolExecutor

        from twophase_min.objective.workers import why_not_pickled

        why = why_not_pickled(owner.fun)
        if why:
            raise TypeError(
                f"fun cannot be sent to another process ({why}); define it at the top level of a module, or "
                "use backend='threads'"
            )
        return ProcessPoolExecutor(
            self.count, initializer=_begin, initargs=(owner.alone(), dict(np.geterr()))
        )


class _Sent:
    """A task as it travels through a foreign map: with the sum that it belongs to."""

    def __init__(self, owner: Any, task: Callable[..., Any], common: Any) -> None:
        self._owner, self._task, self._common = owner.alone(), task, common

    def __call__(self, numbered: tuple[int, Any]) -> tuple[int, Any]:
        """Return the number of the piece, and its result."""
        return numbered[0], self._task(self._owner, numbered[1], *self._common)


_owner: Any = None
_errors: dict[str, Any] = {}


def _begin(owner: Any, errors: dict[str, Any]) -> None:
    """Take the sum, which comes once."""
    global _owner, _errors
    from twophase_min.objective.workers import begin_process

    _owner, _errors = owner, errors
    begin_process()


def _serve(task: Callable[..., Any], piece: Any, common: Any) -> Any:
    with np.errstate(**_errors):
        return task(_owner, piece, *common)
