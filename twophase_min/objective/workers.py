"""Many problems over processes, threads, any executor or map: chunks go out, rows come back as they finish.

A worker process that dies (a crash in foreign code, no memory) leaves the others untouched: the chunks that
were out are done again problem by problem, so that the one which kills its process is found, and the rest
goes on.

What ``workers=`` takes is decided in `executor_of` and `map_of`. Dask and joblib are recognised by their own
classes, and only where they have been imported already; nothing here imports them.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twophase_min._errstate import Here

LARGEST = 256
"""Problems in one chunk at most."""
ROUNDS = 16
"""Chunks per worker, so that an uneven load evens out."""
MAP_CALLS = 1000
"""Calls that a foreign map is given at most; each may pickle the objective anew."""
DEATHS = 3
"""Worker processes that may die before the first result comes."""
ALONE = (
    "A script that starts processes needs `if __name__ == '__main__':`, and fun must be importable there; "
    "workers=1 shows what happens."
)
"""Remedy where processes die without a result."""


class Chunk(NamedTuple):
    """Neighbouring problems: the index of the first, their starts (k, n), their rows of data."""

    first: int
    x0s: NDArray[np.floating]
    rows: tuple[NDArray[Any], ...]

    def split(self) -> list[Chunk]:
        """One chunk per problem."""
        return [
            Chunk(self.first + k, self.x0s[k : k + 1], tuple(row[k : k + 1] for row in self.rows))
            for k in range(len(self.x0s))
        ]


class Row(NamedTuple):
    """What one problem came to."""

    problem: int
    x: NDArray[np.floating]
    fun: float
    jac: NDArray[np.floating]
    nit: int
    nfev: float
    njev: float
    status: int
    success: bool
    message: str


Task = Callable[[Chunk], list[Row]]
Failure = Callable[[Chunk, str], list[Row]]


def chunks_of(x0s: NDArray[np.floating], rows: tuple[NDArray[Any], ...], size: int) -> Iterator[Chunk]:
    """Cut the problems into chunks of so many."""
    for k in range(0, len(x0s), size):
        yield Chunk(k, x0s[k : k + size], tuple(row[k : k + size] for row in rows))


def is_number(workers: Any) -> bool:
    """Whether ``workers`` says how many, and does not name a pool or a map."""
    return workers is None or isinstance(workers, (int, float, np.number))


def _is_of(thing: Any, module: str, name: str) -> bool:
    """Whether it is an instance of a class of a module, which is not imported for that."""
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(thing, kind)


def is_dask(workers: Any) -> bool:
    """Whether it is a client of Dask, whose workers can keep data."""
    return _is_of(workers, "distributed.client", "Client")


def executor_of(workers: Any) -> Executor | None:
    """Return an executor where ``workers`` is one, or Dask's client; else None."""
    if isinstance(workers, Executor):
        return workers
    if is_dask(workers):
        executor: Executor = workers.get_executor(pure=False)  # equal calls are different problems
        return executor
    return None


def map_of(workers: Any) -> Callable[..., Any]:
    """Turn what is not a number into a map that answers in order.

    Parameters
    ----------
    workers : executor, `distributed.Client`, `joblib.Parallel`, `multiprocessing.Pool`, or callable
        A callable is a map already. Anything else needs a method ``map``.

    Raises
    ------
    TypeError
        For what cannot serve.
    """
    executor = executor_of(workers)
    if executor is not None:
        return executor.map
    if _is_of(workers, "joblib", "Parallel"):
        return lambda function, items: workers([(function, (item,), {}) for item in items])
    mapping: Callable[..., Any]
    if callable(workers):
        mapping = workers
        return mapping
    for name in ("imap", "map"):  # of a pool of multiprocessing, the lazy one
        method = getattr(workers, name, None)
        if callable(method):
            mapping = method
            return mapping
    raise TypeError(
        "workers must be an int, an executor, a pool, a client of Dask, joblib.Parallel or a map-like "
        f"callable, got {type(workers).__name__}."
    )


def count_of(workers: Any) -> int:
    """Workers that an int asks for: -1 is every core that this process may use.

    Raises
    ------
    ValueError, TypeError
        For other numbers below 1, and for what is neither an int nor callable.
    """
    if workers is None:
        return 1
    if isinstance(workers, bool) or not isinstance(workers, (int, np.integer)):
        raise TypeError(f"workers must be an int, a pool or a map-like callable, got {workers!r}.")
    if workers == -1:
        try:
            return len(os.sched_getaffinity(0))
        except AttributeError:  # not every system tells which cores this process may use
            return os.cpu_count() or 1
    if workers < 1:
        raise ValueError(f"workers is {workers}; it must be at least 1, or -1 for every core.")
    return int(workers)


def why_not_pickled(task: Any) -> str:
    """Return why a task cannot be sent to another process; empty if it can."""
    try:
        pickle.dumps(task)
    except Exception as error:  # pickle raises whatever the object raises
        return f"{type(error).__name__}: {error}"
    return ""


def serial(task: Task, x0s: NDArray[np.floating], rows: tuple[NDArray[Any], ...]) -> Iterator[list[Row]]:
    """One problem after the other, here."""
    for chunk in chunks_of(x0s, rows, 1):
        yield task(chunk)


def mapped(
    task: Task, x0s: NDArray[np.floating], rows: tuple[NDArray[Any], ...], mapper: Callable[..., Any]
) -> Iterator[list[Row]]:
    """Run through a map-like callable, in whatever order it answers.

    Raises
    ------
    TypeError
        If it does not hand back what the calls return.
    """
    size = -(-len(x0s) // MAP_CALLS)
    answers = mapper(task, chunks_of(x0s, rows, size))
    if not isinstance(answers, Iterable):
        raise TypeError(f"workers(task, chunks) must return the results, got {type(answers).__name__}.")
    for answer in answers:
        if not isinstance(answer, list) or not all(isinstance(row, Row) for row in answer):
            raise TypeError(
                f"workers(task, chunks) must return what task returned, got {type(answer).__name__}; gather "
                "futures first."
            )
        yield answer


def submitted(
    task: Task, x0s: NDArray[np.floating], rows: tuple[NDArray[Any], ...], executor: Executor, failed: Failure
) -> Iterator[list[Row]]:
    """Run on an executor of the caller's, in order of completion; it is left open.

    What does not come back is done again, problem by problem and one at a time: what is lost then is what
    kills its worker.

    Raises
    ------
    Exception
        What the executor raises, if not a single chunk comes back.
    """
    out: dict[Any, Chunk] = {}
    lost: list[Chunk] = []
    answered = False
    first_error: BaseException | None = None
    try:
        for chunk in chunks_of(x0s, rows, -(-len(x0s) // MAP_CALLS)):
            try:
                out[executor.submit(task, chunk)] = chunk
            except Exception as error:  # a pool that is broken or closed says so here
                lost.append(chunk)
                first_error = first_error or error
        while out:
            for future in wait(out, return_when=FIRST_COMPLETED).done:
                chunk, why = out.pop(future), future.exception()
                if why is None:
                    answered = True
                    yield future.result()
                else:
                    lost.append(chunk)
                    first_error = first_error or why
    finally:
        for future in out:  # Ctrl-C
            future.cancel()
    if first_error is not None and not answered:
        raise first_error
    for one in (one for chunk in lost for one in chunk.split()):
        try:
            yield executor.submit(task, one).result()
        except Exception as error:
            yield failed(one, f"{type(error).__name__}: {error}")


def threads(
    task: Task, x0s: NDArray[np.floating], rows: tuple[NDArray[Any], ...], count: int, failed: Failure
) -> Iterator[list[Row]]:
    """Run in threads of this process, in order of completion."""
    chunks = chunks_of(x0s, rows, _size(len(x0s), count))
    yield from _until_broken(ThreadPoolExecutor(count), Here(task), chunks, 2 * count, failed, [])


def processes(
    task: Task, x0s: NDArray[np.floating], rows: tuple[NDArray[Any], ...], count: int, failed: Failure
) -> Iterator[list[Row]]:
    """Run in processes, in order of completion.

    Raises
    ------
    RuntimeError
        If processes die one after the other without a single result.
    """
    chunks = chunks_of(x0s, rows, _size(len(x0s), count))
    answered: list[int] = []
    deaths = 0

    def run(chunks: Iterator[Chunk], count: int, window: int) -> Generator[list[Row], None, list[Chunk]]:
        pool = ProcessPoolExecutor(count, initializer=_begin, initargs=(task, dict(np.geterr())))
        return _until_broken(pool, _serve, chunks, window, failed, answered)

    while lost := (yield from run(chunks, count, 2 * count)):
        # One problem out at a time: what is lost now is what killed its process.
        singles = iter([one for chunk in lost for one in chunk.split()])
        while culprit := (yield from run(singles, 1, 1)):
            deaths += 1
            if deaths >= DEATHS and not answered:
                raise RuntimeError(
                    f"{deaths} worker processes died one after the other without a result. {ALONE}"
                )
            yield failed(culprit[0], "its worker process died")


def _size(problems: int, count: int) -> int:
    return max(1, min(LARGEST, problems // (ROUNDS * count)))


def _until_broken(
    executor: Executor,
    task: Task,
    chunks: Iterator[Chunk],
    window: int,
    failed: Failure,
    answered: list[int],
) -> Generator[list[Row], None, list[Chunk]]:
    """Keep ``window`` chunks out at a time; return those that were out when the pool broke.

    ``answered`` collects the chunks that came back.
    """
    out: dict[Any, Chunk] = {}
    lost: list[Chunk] = []
    clean = False
    try:
        while not lost:
            while len(out) < window and (chunk := next(chunks, None)) is not None:
                try:
                    out[executor.submit(task, chunk)] = chunk
                except BrokenProcessPool:
                    lost.append(chunk)
                    break
            if not out:
                break
            for future in wait(out, return_when=FIRST_COMPLETED).done:
                chunk = out.pop(future)
                error = future.exception()
                if error is None:
                    answered.append(chunk.first)
                    yield future.result()
                elif isinstance(error, BrokenProcessPool):
                    lost.append(chunk)
                else:
                    yield failed(chunk, f"{type(error).__name__}: {error}")
        lost += out.values()
        clean = True
        return sorted(lost, key=lambda chunk: chunk.first)
    finally:
        if not clean:  # Ctrl-C: what is running now would be waited for
            for process in list((getattr(executor, "_processes", None) or {}).values()):
                process.terminate()
        executor.shutdown(wait=clean, cancel_futures=True)


_task: Task | None = None


def begin_process() -> None:
    """Prepare a worker process: Ctrl-C is the parent's to handle, kernels get one thread."""
    from twophase_min.jit import threads as _threads

    _threads._pool = _threads.Pool(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _begin(task: Task, errors: dict[str, Any]) -> None:
    """Take the task, which comes once. NumPy's floating-point errors are as the parent has set them."""
    global _task
    _task = task
    np.seterr(**errors)
    begin_process()


def _serve(chunk: Chunk) -> list[Row]:
    assert _task is not None
    return _task(chunk)
