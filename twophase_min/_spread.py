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
from twophase_min._shards import Piece, Whole

if TYPE_CHECKING:
    from concurrent.futures import Executor, ProcessPoolExecutor

BACKENDS = ("threads", "processes")
AHEAD = 2
"""Pieces out at a time for each worker."""
NOTHING = Whole((np.zeros(1),))
"""Data of a sum whose functions alone are sent."""


class Spread:
    """How the pieces of a sum are shared out.

    Parameters
    ----------
    workers : int, or what `objective.workers.map_of` takes
        -1 is every core; 1 is none but the caller. A map may answer in any order.
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
        self.mapper: Callable[..., Any] | None = None
        self.client: Any = None
        self.count = 1
        self.by_threads = False
        self._pool: Executor | None = None
        self._held: dict[Any, Any] = {}
        if workers is None or (type(workers) is int and workers == 1):
            return
        from concurrent.futures import ThreadPoolExecutor

        from twophase_min.objective import workers as kinds  # imports multiprocessing

        if kinds.is_number(workers):
            self.count = kinds.count_of(workers)
            self.by_threads = backend == "threads" and self.count > 1
        elif kinds.is_dask(workers):
            self.client = workers
        else:
            self.mapper = kinds.map_of(workers)
            self.by_threads = isinstance(workers, ThreadPoolExecutor)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_pool": None, "_held": {}}

    def __call__(
        self, owner: Any, task: Callable[..., Any], pieces: Iterable[Any], *common: Any
    ) -> Iterator[Any]:
        """Yield ``task(owner, piece, *common)`` for every piece, in order.

        ``owner`` travels to a process once, when the process starts; ``task`` is a function of a module.
        """
        if self.client is not None:
            return self._by_dask(owner, task, list(pieces), common)
        if self.mapper is not None:
            return self._mapped(Sent(task, common), owner, list(pieces))
        if self.count == 1:
            return (task(owner, piece, *common) for piece in pieces)
        if self.backend == "threads":
            return self._threads(Here(lambda piece: task(owner, piece, *common)), pieces)
        return self._processes(owner, task, list(pieces), common)

    def close(self) -> None:
        """End our workers, and free what others keep; the next evaluation begins anew."""
        self._held.clear()  # Dask forgets what nobody refers to
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _mapped(self, task: Sent, owner: Any, pieces: list[Any]) -> Iterator[Any]:
        assert self.mapper is not None
        waiting: dict[int, Any] = {}
        following = 0
        parts = map(owner.source.part, pieces)
        items = [(k, owner.alone(source), piece) for k, (source, piece) in enumerate(parts)]
        for k, result in self.mapper(task, items):
            waiting[k] = result
            while following in waiting:
                yield waiting.pop(following)
                following += 1
        if following != len(pieces):
            raise ValueError(
                f"workers(task, pieces) returned {following} of {len(pieces)} results; it must return all"
            )

    def _by_dask(self, owner: Any, task: Callable[..., Any], pieces: list[Any], common: Any) -> Iterator[Any]:
        """Compute where the data are kept; Dask loads and computes again what a lost worker had."""
        source = owner.source
        wholes = [source.held(piece) for piece in pieces]
        for whole in dict.fromkeys(wholes):
            if whole not in self._held:
                self._held[whole] = self.client.submit(_rows, *source.part(whole), pure=False)
        items = [
            (piece.start - whole.start, piece.stop - whole.start)
            for piece, whole in zip(pieces, wholes, strict=True)
        ]
        functions = owner.alone(NOTHING)
        futures = self.client.map(
            _of_rows,
            [self._held[whole] for whole in wholes],
            items,
            sent=Sent(task, common),
            functions=functions,
            pure=False,
        )
        try:
            for future in futures:
                yield future.result()
        finally:
            self.client.cancel([future for future in futures if not future.done()])

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


class Sent:
    """A task as it travels to workers of others: a function of a module, and what it has in common."""

    def __init__(self, task: Callable[..., Any], common: Any) -> None:
        self._task, self.common = task, common
        self._errors = dict(np.geterr())

    def of(self, owner: Any, piece: Any) -> Any:
        """Return the result, with NumPy's floating-point errors as the caller has set them."""
        with np.errstate(**self._errors):  # type: ignore[arg-type]
            return self._task(owner, piece, *self.common)

    def __call__(self, numbered: tuple[int, Any, Any]) -> tuple[int, Any]:
        """Return the number of the piece, and its result."""
        k, owner, piece = numbered
        return k, self.of(owner, piece)


def _rows(source: Any, piece: Any) -> tuple[Any, ...]:
    """Return what a worker of Dask keeps."""
    rows: tuple[Any, ...] = source.rows(piece)
    return rows


def _of_rows(rows: tuple[Any, ...], ends: tuple[int, int], sent: Sent, functions: Any) -> Any:
    start, stop = ends
    part = Whole(tuple(array[start:stop] for array in rows))
    return sent.of(functions.alone(part), Piece(0, 0, stop - start))


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
