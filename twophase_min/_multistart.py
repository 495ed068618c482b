"""Many starts of one problem, or one problem per row of data: `multistart`."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, OptimizeResult

from twophase_min._callback import Progress
from twophase_min._caller import caller
from twophase_min._minimize import METHOD, minimize
from twophase_min._options import TwoPhaseOptions
from twophase_min._result import Result, summary_of_many
from twophase_min._status import SUCCESSFUL, Status, describe
from twophase_min._twophase import require_bounds
from twophase_min.objective import workers as _workers
from twophase_min.objective.bounds import Box, box_of, moved_inside
from twophase_min.objective.c_function import c_objective
from twophase_min.objective.compiled import runs_compiled
from twophase_min.objective.foreign import require_function
from twophase_min.objective.start import start_points
from twophase_min.objective.workers import Chunk, Row
from twophase_min.phases import COMPILED_DEFAULT

Array = NDArray[np.floating]

TOLD = 20
"""Exceptions of a compiled objective whose text is asked for, by another run each."""


class MultistartResult(OptimizeResult):
    """Results of `multistart`, one row per problem, in the order of the starts.

    Attributes
    ----------
    x : ndarray, shape (m, n)
        Best point of each problem; its start where nothing was evaluated.
    fun : ndarray, shape (m,)
        Objective there; NaN where nothing was evaluated.
    jac : ndarray, shape (m, n)
        Gradient there; NaN where it is not known.
    success : ndarray of bool, shape (m,)
        Whether the problem was solved.
    status : ndarray of int, shape (m,)
        `Status` of each (SciPy's own codes for its methods; an exception is always 8, a stop by Ctrl-C 7).
    messages : ndarray of str objects, shape (m,)
        What ended each.
    nit, nfev, njev : ndarray, shape (m,)
        Iterations and true calls of each.
    best : int
        Index of the lowest finite ``fun``, the first of equals; -1 if there is none.
    x_best, fun_best : ndarray, shape (n,), and float
        The row of ``best``; NaN if there is none.
    message : str
        How many were solved, and what became of the others.
    how : str
        Where they ran: "serial", "2 processes", "map", "compiled, 2 threads", an executor's class; and why.
    interrupted : bool
        Whether Ctrl-C ended the work before all problems were done.
    """

    def __repr__(self) -> str:
        return summary_of_many(self) if "messages" in self else super().__repr__()

    def row(self, i: int) -> OptimizeResult:
        """Return problem ``i`` as `minimize` would return it, without history."""
        names = ("x", "fun", "jac", "nit", "nfev", "njev", "status", "success")
        return Result(message=self.messages[i], **{name: self[name][i] for name in names})


def multistart(
    fun: Callable[..., Any],
    x0s: Any,
    args: Any = (),
    *,
    rows: Any = (),
    jac: Any = None,
    method: Any = METHOD,
    bounds: Any = None,
    tol: float | None = None,
    options: Mapping[str, Any] | None = None,
    workers: Any = 1,
    seed: int = 0,
    progress: bool = False,
) -> MultistartResult:
    """Minimise from many starts, or one problem per row of data.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)``, or ``fun(x, *args, *row)`` where ``rows`` are given; otherwise as for `minimize`.
    x0s : array_like, shape (m, n); or (n,) with rows; or int
        A start per problem; one start for all problems; or how many starts to draw within ``bounds``
        (scrambled Halton points, so that more starts contain the fewer).
    args : tuple
        Further arguments, the same for all problems.
    rows : tuple of array_like, each of shape (m, ...), or one such array
        Data of the single problems: problem i is given ``*(r[i] for r in rows)`` behind ``args``.
    jac : callable, True, 'autograd', '2-point', '3-point', 'cs' or None
        As for `minimize`; a callable takes the same arguments as fun.
    method : str or callable, default 'twophase'
        As for `minimize`.
    bounds : sequence of (low, high) or `scipy.optimize.Bounds`, optional
        Where starts are drawn, and what every run keeps to. A start outside is moved inside, with a warning.
    tol : float, optional
        As for `minimize`.
    options : mapping, optional
        As for `minimize`, for each problem alone: limits are per problem. 'resume' and
            'checkpoint' are not possible.
    workers : int, executor, pool, Dask client, joblib.Parallel or map-like callable, default 1
        An int: so many threads for a compiled objective (fun and jac by ``numba.njit``), all inside one call;
        else so many processes, and threads, with a warning, where fun cannot be pickled. -1 is every core. A
        callable: ``workers(task, chunks)`` returns or yields what ``task`` returned, in any order, like
        ``concurrent.futures.Executor.map``, ``multiprocessing.Pool.map`` and ``imap_unordered``. What is
        handed in is left open.
    seed : int, default 0
        Of the drawn starts and of the problems: problem i runs with ``options['seed']`` equal to
        ``problem_seed(seed, i)``.
    progress : bool, default False
        Show a progress bar over the problems (needs the extra ``progress``).

    Returns
    -------
    MultistartResult
        The results in the order of the starts, whatever the order in which they were finished; the same for
        every number of workers. A problem that fails, by an exception or NaN, fails alone: its ``success`` is
        False and its message says why. Ctrl-C returns what is done.

    Raises
    ------
    ValueError, TypeError
        For input that no problem could be run with.

    Examples
    --------
    >>> from scipy.optimize import rosen, rosen_der
    >>> from twophase_min import multistart
    >>> found = multistart(rosen, 8, bounds=[(-2, 2)] * 3, jac=rosen_der)
    >>> [round(float(v), 3) for v in found.x_best]
    [1.0, 1.0, 1.0]
    """
    rows = tuple(np.asarray(row) for row in (rows if isinstance(rows, tuple) else (rows,)))
    args = args if isinstance(args, tuple) else (args,)
    in_c = c_objective(fun, jac, (*args, *rows))
    if in_c is not None:
        fun, args = in_c, in_c.args
    require_function(fun)
    own_gradient = callable(jac) or jac is True or hasattr(fun, "value_and_gradient")
    starts = start_points(x0s, rows, bounds, seed, keep_float32=own_gradient)
    ours = method is None or (isinstance(method, str) and method.lower() == METHOD)
    if ours:
        record = TwoPhaseOptions.from_mapping(options, tol)  # warns of unknown names once
        if record.resume is not None:
            raise ValueError("multistart cannot resume; hand the state of each run to minimize.")
        if record.checkpoint is not None:
            raise ValueError("multistart writes no checkpoints: its runs would share one file. Use minimize.")
        progress = progress or record.progress
        record = replace(record, progress=False, return_all=False, workers=None)
        given = {field.name: getattr(record, field.name) for field in fields(record)}
        starts, box = _within(starts, bounds, record)
        task = Task(fun, args, jac, METHOD, box and Bounds(*box), None, given, seed)
    else:
        task = Task(fun, args, jac, method, bounds, tol, dict(options or {}), None)
    table = _Table(starts)
    foreign = not _workers.is_number(workers)
    if ours and not foreign and runs_compiled(fun, jac):
        how = _by_engine(task, record, starts, rows, _workers.count_of(workers), table, progress, box)
        if how:
            return table.result(how)
    running, how = _spread(task, starts, rows, workers)
    bar = _Bar(len(starts)) if progress else None
    try:
        _gather(running, table, bar, keep=foreign)
    except KeyboardInterrupt:
        table.interrupted = True
    finally:
        running.close()
        if bar is not None:
            bar.close()
    return table.result(how)


def _within(starts: Array, bounds: Any, options: TwoPhaseOptions) -> tuple[Array, Box | None]:
    """Move all starts into the box of the bounds; with one warning if any was outside."""
    box = box_of(bounds, starts.shape[1])
    if box is None:
        return starts, None
    require_bounds(options)
    box = box.as_type(starts.dtype)
    return moved_inside(starts, box), box


def problem_seed(seed: int, index: int) -> int:
    """Seed of one problem of `multistart`: it depends on both numbers and on nothing else."""
    return int(np.random.SeedSequence(seed, spawn_key=(index,)).generate_state(1)[0])


@dataclass(frozen=True)
class Task:
    """One problem after the other of a chunk; what travels to the workers."""

    fun: Callable[..., Any]
    args: tuple[Any, ...]
    jac: Any
    method: Any
    bounds: Any
    tol: float | None
    options: dict[str, Any]
    seed: int | None

    def __call__(self, chunk: Chunk) -> list[Row]:
        """Run the problems of a chunk; after Ctrl-C only the first."""
        done: list[Row] = []
        for k, x0 in enumerate(chunk.x0s):
            done.append(self._one(chunk.first + k, x0, tuple(row[k] for row in chunk.rows)))
            if done[-1].status == Status.INTERRUPTED and self.seed is not None:
                break
        return done

    def _one(self, index: int, x0: Array, row: tuple[Any, ...]) -> Row:
        options = self.options
        if self.seed is not None:
            options = options | {"seed": problem_seed(self.seed, index)}
        try:
            result = minimize(
                self.fun,
                x0,
                self.args + row,
                self.method,
                self.jac,
                bounds=self.bounds,
                tol=self.tol,
                options=options,
            )
        except Exception as error:  # whatever the user's function raises, the other problems go on
            so_far = getattr(error, "optimize_result", OptimizeResult())
            return _row(index, x0, so_far, f"{type(error).__name__}: {error}")
        return _row(index, x0, result)


def _row(index: int, x0: Array, result: OptimizeResult, failure: str | None = None) -> Row:
    """Reduce a result to a row; with a failure, to the best before it."""
    fun = float(np.asarray(result.get("fun", np.nan)).reshape(()))
    jac = result.get("jac")
    failed = failure is not None
    return Row(
        index,
        np.asarray(result.get("x", x0)),
        fun,
        np.full(x0.shape, np.nan) if jac is None else np.asarray(jac),
        int(result.get("nit", 0)),
        result.get("nfev", 0),
        result.get("njev", 0),
        int(Status.EXCEPTION) if failed else int(result.get("status", 0)),
        bool(result.get("success", False)) and not failed and bool(np.isfinite(fun)),
        describe(Status.EXCEPTION, detail=failure or "") if failed else str(result.get("message", "")),
    )


def _failed(chunk: Chunk, why: str) -> list[Row]:
    """Rows of problems that brought no result at all."""
    return [_row(chunk.first + k, x0, OptimizeResult(), why) for k, x0 in enumerate(chunk.x0s)]


def _by_engine(
    task: Task,
    record: TwoPhaseOptions,
    starts: Array,
    rows: tuple[NDArray[Any], ...],
    threads: int,
    table: _Table,
    progress: bool,
    box: Box | None,
) -> str:
    """Run a compiled objective in threads inside one call; answers how, '' where the engine cannot.

    Raises
    ------
    ValueError
        If it cannot and the caller asked for it.
    """
    if record.engine == "python":
        return ""
    from twophase_min.run import engine

    if record.convex_method is None:
        record = replace(record, convex_method=COMPILED_DEFAULT)
    why = engine.why_not(task.fun, task.jac, record, None, starts.dtype)
    if not why and record.maxtime is not None:
        why = "'maxtime' is not looked at between many problems"
    if not why:
        try:
            kinds = engine.describe_arguments(task.args) + engine.row_arguments(rows)
            compiled = engine.compile_objective(task.fun, task.jac, kinds)
        except TypeError as error:
            why = str(error)
    if why:
        if record.engine == "numba":
            raise ValueError(f"engine='numba' cannot serve these runs: {why}. Or use engine='python'.")
        return ""
    threads = min(threads, len(starts))
    stop, done = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    bar = _Bar(len(starts)) if progress else None
    over = threading.Event()

    def watch(bar: _Bar) -> None:
        while not over.wait(0.1):
            bar.reach(int(done[0]))

    watcher = threading.Thread(target=watch, args=(bar,), daemon=True)
    if bar is not None:
        watcher.start()
    try:
        # Ctrl-C sets the flag in there, and the threads end with the iteration that they are at
        found = engine.solve_many(compiled, starts, task.args, rows, record, threads, stop, done, box)
    finally:
        over.set()
        if bar is not None:
            watcher.join()
            bar.reach(int(done[0]))
            bar.close()
    table.interrupted = bool(stop[0])
    table.fill(found)
    # The text of an exception is Python's to tell: the same run, until it raises again.
    for i in np.flatnonzero(table.status == Status.EXCEPTION)[:TOLD]:
        again = task(Chunk(int(i), starts[i : i + 1], tuple(row[i : i + 1] for row in rows)))[0]
        if again.status == Status.EXCEPTION:
            table.messages[i] = again.message
    return f"compiled, {threads} thread{'s' if threads > 1 else ''}"


def _spread(task: Task, starts: Array, rows: tuple[NDArray[Any], ...], workers: Any) -> tuple[Any, str]:
    """Choose where the problems run: an iterator over finished rows, and its description."""
    if not _workers.is_number(workers):
        executor = _workers.executor_of(workers)
        if executor is not None:
            return _workers.submitted(task, starts, rows, executor, _failed), type(executor).__name__
        return _workers.mapped(task, starts, rows, _workers.map_of(workers)), "map"
    count = min(_workers.count_of(workers), len(starts))
    if count == 1:
        return _workers.serial(task, starts, rows), "serial"
    why = _workers.why_not_pickled(task)
    if not why:
        return _workers.processes(task, starts, rows, count, _failed), f"{count} processes"
    warnings.warn(
        f"The objective cannot be sent to other processes ({why}): threads run it, which Python code shares "
        "one at a time. Define fun at the top level of a module, or pass a map that can send it as workers.",
        RuntimeWarning,
        stacklevel=caller(),
    )
    return _workers.threads(task, starts, rows, count, _failed), f"{count} threads ({why})"


def _gather(running: Iterator[list[Row]], table: _Table, bar: _Bar | None, keep: bool) -> None:
    """Take rows as they come; an error of a foreign map loses only what it had not answered."""
    try:
        for finished in running:
            for row in finished:
                table.put(row)
            if bar is not None:
                bar.reach(table.count, table.lowest)
            if table.interrupted:
                return
    except Exception as error:
        if not keep or table.count == 0 or isinstance(error, TypeError):
            raise
        table.fail(f"{type(error).__name__}: {error}")


class _Bar(Progress):
    """A progress bar over problems."""

    def __init__(self, problems: int):
        super().__init__(problems)

    def reach(self, count: int, lowest: float = np.inf) -> None:
        """Advance to so many finished problems."""
        if np.isfinite(lowest):
            self._bar.set_postfix_str(f"best f={lowest:.6g}", refresh=False)
        self._bar.update(count - self._bar.n)


class _Table:
    """Rows by index, in whatever order they come."""

    def __init__(self, starts: Array):
        m = len(starts)
        self.x, self.fun, self.jac = starts.copy(), np.full(m, np.nan), np.full(starts.shape, np.nan)
        self.nit = np.zeros(m, dtype=np.int64)
        self.nfev, self.njev = np.zeros(m), np.zeros(m)
        self.status = np.full(m, int(Status.INTERRUPTED))
        self.success = np.zeros(m, dtype=bool)
        self.messages = np.full(
            m, "Not begun, or not finished: interrupted by the user (Ctrl-C).", dtype=object
        )
        self.done = np.zeros(m, dtype=bool)
        self.lowest = np.inf
        self.interrupted = False

    @property
    def count(self) -> int:
        """Problems done."""
        return int(np.count_nonzero(self.done))

    def put(self, row: Row) -> None:
        """Take a row."""
        i = row.problem
        self.x[i], self.fun[i], self.jac[i] = row.x, row.fun, row.jac
        self.nit[i], self.nfev[i], self.njev[i] = row.nit, row.nfev, row.njev
        self.status[i], self.success[i], self.messages[i] = row.status, row.success, row.message
        self.done[i] = True
        if row.fun < self.lowest:
            self.lowest = row.fun
        if row.status == Status.INTERRUPTED:
            self.interrupted = True

    def fill(self, found: dict[str, NDArray[Any]]) -> None:
        """Take all rows at once, from the engine."""
        self.status = found["status"].copy()
        self.done = self.status != Status.INTERRUPTED
        begun = np.isfinite(found["fun"]) | self.done
        self.x[begun] = found["x"][begun]
        self.fun, self.jac = found["fun"], found["jac"]
        self.nit, self.nfev, self.njev = (found[name].copy() for name in ("nit", "nfev", "njev"))
        codes = [code for code in Status if code in SUCCESSFUL]
        self.success = np.isin(self.status, codes) & np.isfinite(self.fun)
        for code in np.unique(self.status[self.done]):
            self.messages[self.status == code] = describe(Status(code))

    def fail(self, why: str) -> None:
        """Give every problem that is not done a reason."""
        self.status[~self.done] = int(Status.EXCEPTION)
        self.messages[~self.done] = describe(Status.EXCEPTION, detail=why)
        self.done[:] = True

    def result(self, how: str) -> MultistartResult:
        """Build what the caller gets."""
        finite = np.where(np.isfinite(self.fun), self.fun, np.inf)
        best = int(np.argmin(finite)) if np.any(np.isfinite(self.fun)) else -1
        m, solved = len(self.fun), int(np.count_nonzero(self.success))
        message = f"{solved} of {m} problems solved."
        for code, text in (
            (Status.EXCEPTION, "ended by an exception"),
            (Status.INTERRUPTED, "not finished: interrupted by the user (Ctrl-C)"),
        ):
            found = np.flatnonzero(self.status == code)
            if found.size:
                message += f" {found.size} {text}; the first is {found[0]}: {self.messages[found[0]]}"
        whole = all(np.array_equal(count, np.floor(count)) for count in (self.nfev, self.njev))
        return MultistartResult(
            x=self.x,
            fun=self.fun,
            jac=self.jac,
            success=self.success,
            status=self.status,
            messages=self.messages,
            nit=self.nit,
            nfev=self.nfev.astype(np.int64) if whole else self.nfev,
            njev=self.njev.astype(np.int64) if whole else self.njev,
            best=best,
            x_best=self.x[best].copy() if best >= 0 else np.full(self.x.shape[1], np.nan),
            fun_best=float(self.fun[best]) if best >= 0 else float("nan"),
            message=message,
            how=how,
            interrupted=self.interrupted,
        )
