"""The compiled engine: a whole run without Python between two evaluations, for compiled objectives.

Its loop (`compiled`) uses the same state machine as the loop in Python. For the same options both visit the
same points, up to rounding. The compiled loop returns to Python between iterations, first after a few
evaluations and then some twenty times per second, so that time limits and Ctrl-C work.

What needs Python stays with the driver: callbacks, progress bars, resuming, checkpoints, finite sums,
float32, custom detector rules, SciPy's convex methods. `why_not` says which of them a run asks for.
"""

from __future__ import annotations

import functools
import math
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult

from twophase_min._errstate import Here, our_arithmetic
from twophase_min._history import History
from twophase_min._options import TwoPhaseOptions
from twophase_min._result import keep
from twophase_min._status import ENDED_BY, Cause, Status, sentence
from twophase_min.jit.compilation import prepare, register
from twophase_min.objective.bounds import Box
from twophase_min.objective.calls import Objective
from twophase_min.objective.compiled import (
    Argument,
    Compiled,
    compile_objective,
    describe_arguments,
    row_arguments,
    runs_compiled,
    tables,
)
from twophase_min.objective.memory import Point
from twophase_min.phases import COMPILED_DEFAULT, PHASES, convex_phase
from twophase_min.phases.adam import ADAM as ADAM_RECORD
from twophase_min.phases.adam import Adam
from twophase_min.run import detecting
from twophase_min.run.allocation import new_state
from twophase_min.run.build import fallbacks, own_solver, run_detector
from twophase_min.run.compiled import PAUSED, solve
from twophase_min.run.detecting import COMPILED_RULES, DetectorState, can_compile
from twophase_min.run.diagnosis import diagnose, last_step
from twophase_min.run.exactness import measured_noise, noise_of
from twophase_min.run.result import Report, relative_gradient
from twophase_min.run.state import (
    ADAM,
    BEST_POINT,
    CONVEX,
    EVENT,
    HANDED,
    LOOP,
    MEMO,
    PAIRS,
    TIME_IS_UP,
    UNSOUND_X,
    State,
)

Array = NDArray[np.floating]

FIRST_CHECK = 8
"""Evaluations after which the loop first comes back: Ctrl-C must work on slow objectives too."""
CHECK_INTERVAL = 0.05
"""Seconds after which it should come back."""


_NO_RING = np.zeros((2, 0))


def why_not(fun: Any, jac: Any, options: TwoPhaseOptions, callback: Any, dtype: Any) -> str:
    """Say why a run cannot be compiled; '' where it can, as far as is known before compiling."""
    if not runs_compiled(fun, True):
        return "fun is not compiled: decorate it with numba.njit, or pass the address of a C function"
    if not runs_compiled(fun, jac):
        return "jac is not compiled: decorate it with numba.njit, or have fun return (f, g) and pass jac=True"
    for name, given in (
        ("callback", callback is not None),
        ("progress", options.progress),
        ("return_all", options.return_all),
        ("resume", options.resume is not None),
        ("checkpoint", options.checkpoint is not None),
    ):
        if given:
            return f"{name!r} needs Python after every iteration"
    if np.dtype(dtype) != np.float64:
        return f"it works in float64, and x0 is {np.dtype(dtype)}: convert x0"
    if not convex_phase(options.convex_method).compiled:
        names = ", ".join(repr(phase.name) for phase in PHASES.values() if phase.compiled)
        return f"convex_method {options.convex_method!r} is not compiled: use {names}"
    if options.norm not in (2, np.inf):
        return f"it knows the norms 2 and inf, not {options.norm!r}"
    named = isinstance(options.swap, str) and options.swap in ("auto", *COMPILED_RULES)
    if not (named or can_compile(run_detector(options, sampled=False))):
        known = ", ".join(map(repr, COMPILED_RULES))
        return f"the rule {options.swap!r} is not compiled: use {known} or a number"
    return ""


class _Kept(NamedTuple):
    """What a run needs besides its vectors of results, kept for the next run with the same options."""

    state: State
    loop: Any
    memo: Any
    events: Any
    caution: str


_kept = threading.local()
KEPT = 1000
"""Variables up to which a thread keeps the state of its last run; allocating can take longer than a run."""
EVENTS = 8
"""Handovers for which there is room at first."""


def _own_state(n: int, options: TwoPhaseOptions, fused: bool, box: Box | None) -> _Kept:
    """Return this thread's state for such a run, ready for it."""
    key = (n, fused)
    last = getattr(_kept, "last", None)
    if last is None or last[0] is not options or last[1] != key or box is not None:
        own = own_solver(options)
        own.check(n)
        state = new_state(n, options, fused, own=own, box=box)
        MEMO.array(state.fresh_memo)["recorded"] = 1
        made = _Kept(state, LOOP.view(state.loop), MEMO.view(state.memo), EVENT.new(EVENTS), own.caution)
        last = (options, key, made)
        if n <= KEPT and box is None:
            _kept.last = last
    kept: _Kept = last[2]
    state = kept.state
    state.loop[0], state.memo[0] = state.fresh_loop[0], state.fresh_memo[0]  # not of the run before
    state.stop[0] = 0
    return kept


def _example(kind: Any = np.float64, method: str = COMPILED_DEFAULT) -> tuple[Any, ...]:
    """Arguments of `solve` as a run passes them; float64 whatever is asked for."""
    one, flat = np.zeros((1, 1)), np.zeros(1)
    state = new_state(1, TwoPhaseOptions(convex_method=method), False)
    return state, 1, one.astype(int), one, one, one, flat, one.astype(int), one, EVENT.new(), 1.0


register(solve, _example)


@functools.cache
def _entry(method: str) -> Any:
    """Return the compiled loop without Numba's dispatch, which looks at every array of the state."""
    return prepare(solve, *_example(method=method))


@our_arithmetic()
def minimize(
    fun: Any,
    jac: Any,
    args: tuple[Any, ...],
    x0: Array,
    options: TwoPhaseOptions,
    compiled: Compiled,
    box: Box | None = None,
) -> OptimizeResult:
    """Run the two-phase method on a compiled objective.

    Parameters
    ----------
    fun, jac : Numba dispatcher, or CObjective and True
        As in `minimize`; called from Python only to show an exception again and for a diagnosis.
    args : tuple
        Their further arguments.
    x0 : ndarray of float64, shape (n,)
        Start.
    options : TwoPhaseOptions
        Validated, and free of what `why_not` names.
    compiled : Compiled
        From `compile_objective`.
    box : Box, optional
        Limits of the variables; x0 is inside.

    Returns
    -------
    OptimizeResult
        As from the driver; the history has no times, and there is no state to resume from.
    """
    n = x0.size
    state, position, memo, events, caution = _own_state(n, options, compiled.fused, box)
    table, keep = tables(args)
    x, g, f, numbers = np.empty((1, n)), np.empty((1, n)), np.empty(1), np.empty((1, 5), dtype=np.int64)
    rows: Array = np.empty((64, 8))
    texts: dict[int, str] = {}
    loop = _entry(str(options.convex_method))
    status, pause = PAUSED, float(FIRST_CHECK if options.maxtime is None else 1)
    began = time.perf_counter()
    deadline = math.inf if options.maxtime is None else began + options.maxtime
    timer: threading.Timer | None = None
    try:
        while status == PAUSED:
            loop(state, compiled.address, table, x0[None], x, g, f, numbers, rows, events, pause)
            status = int(numbers[0, 0])
            if status == PAUSED:
                made = memo.events
                if made and state.detector.ring.shape[1]:  # its window is as it was at the handover
                    texts.setdefault(made - 1, _detected(options, state.detector))
                if memo.rows == rows.shape[0]:
                    rows = np.concatenate([rows, np.empty_like(rows)])
                if made == events.shape[0]:
                    events = EVENT.enlarged(events)
                now = time.perf_counter()
                if now >= deadline:
                    status = Status.MAXTIME
                    break
                if timer is None and math.isfinite(deadline):  # x0 has its value
                    timer = threading.Timer(deadline - now, state.stop.fill, (TIME_IS_UP,))
                    timer.daemon = True
                    timer.start()
                spent = memo.nfev + memo.njev
                seconds = max(min(CHECK_INTERVAL, deadline - now), 0.0)
                more = spent * seconds / max(now - began, 1e-9)
                pause = spent + min(max(more, 1.0), 30.0 * spent)
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    finally:
        if timer is not None:
            timer.cancel()
    if status == Status.INTERRUPTED and state.stop[0] == TIME_IS_UP:
        status = Status.MAXTIME
    del keep  # the memory that the table points into has served
    run = _CompiledRun(fun, jac, args, x0, options, state, position, memo, rows, box)
    run.objective.clock.began = began
    run.read_events(events, texts)
    result = run.outcome(Status(status), Point(x[0], float(f[0]), g[0]))
    if position.phase == CONVEX and memo.convex_begun:
        own = own_solver(options)
        own.state = state.convex
        result.update(own.of_result())
    run.objective.caution = caution
    run.caution(result, above=7)
    return result


def _detected(options: TwoPhaseOptions, state: DetectorState) -> str:
    """Return what the detector says of the swap that it has just seen."""
    last = getattr(_kept, "rule", None)
    if last is None or last[0] is not options:
        last = _kept.rule = (options, run_detector(options, sampled=False))
    return detecting.sentence(state, last[1])


class _CompiledRun(Report):
    """What a compiled run has done, told in the words of `Report`."""

    def __init__(
        self, fun: Any, jac: Any, args: Any, x0: Array, options: TwoPhaseOptions, state: State, loop: Any,
        memo: Any, rows: Array, box: Box | None = None,
    ):  # fmt: skip
        objective = Objective(fun, jac, args, x0.size, x0.dtype, maxfun=options.maxfun, box=box)
        super().__init__(objective, x0, options, [name for name, _ in fallbacks(options)])
        self.state, self.loop, self.memo = state, loop, memo
        self.reason = ""
        objective.kind = "fused" if jac is True else "callable"
        objective._f_samples, objective._g_samples = memo.nfev, memo.njev
        if memo.best_known:
            known = state.vectors[memo.best + 1] if memo.has_gradient[memo.best // 2] else None
            objective.best = Point(
                state.vectors[memo.best], float(loop.best_f), known
            )  # the result copies it
        rows = rows[: memo.rows]
        objective.unsound_points, objective.unsound_entry = memo.unsound, memo.unsound_entry
        if memo.unsound:
            objective.unsound = Point(state.vectors[UNSOUND_X], float(memo.unsound_f), None)
        names = {ADAM: "adam", CONVEX: self.methods[0], -1: "start"}
        phases = [names[phase] for phase in rows[:, 4].tolist()]
        rows[:, 4] = np.nan  # the time of an iteration: nobody looked at the clock
        self.history = History.of_rows(rows, phases)

    @property
    def iterations(self) -> int:
        """Iterations over all phases."""
        iterations: int = self.loop.nit
        return iterations

    def read_events(self, events: Any, texts: dict[int, str]) -> None:
        """Put the handovers into words; ``texts`` has those of a rule that looks back.

        The event behind the last one is that of a handover which could not be made.
        """
        array, made = EVENT.array(events), self.memo.events
        for place in range(min(made + 1, len(array))):
            event = EVENT.view(events, place)
            detector = DetectorState(array[place : place + 1]["detector"], _NO_RING)
            if place < made:
                text = texts[place] if place in texts else self._text(event, event.behind, detector)
                self.handover(event, self.name(event.origin, 0), text)
            elif self.loop.status == Status.PRECISION_LOSS:
                text = self._text(event, self.loop.behind, self.state.detector)
                if self.loop.cause == Cause.NO_HANDOVER:
                    text = sentence(self.loop.behind, event, text)
                self.reason = sentence(self.loop.cause, event, text)

    def _text(self, event: Any, cause: int, detector: DetectorState) -> str:
        """Return what the detector's rule, or the phase that failed, says."""
        if cause == Cause.DETECTED:
            return _detected(self.options, detector)
        if cause == Cause.ADAM_FAILED:
            return Adam.reasons[int(event.reason)]
        if cause == Cause.SEARCH_FAILED:
            reasons: tuple[str, ...] = PHASES[self.methods[0]].load().reasons
            return reasons[int(event.reason)]
        return ""

    def outcome(self, status: Status, point: Point) -> OptimizeResult:
        """Build the result; an exception of the user's is raised as the driver raises it."""
        loop, detail = self.loop, ""
        if loop.final != BEST_POINT:
            known = None if point.g is None or np.isnan(point.g).any() else point.g
            self.final = Point(point.x, point.f, known)
        if status == Status.EXCEPTION:
            detail = self._again()
        elif status == Status.WORKING_PRECISION:
            text = f"{noise_of.py_func(loop, loop.f):.1g}"
            if loop.cause == Cause.FLAT:
                assert self.final is not None
                text = f"{relative_gradient(self._reduced(self.final)):.1e}"
            detail = sentence(loop.cause, None, text)
        elif status == Status.PRECISION_LOSS:
            detail = ENDED_BY.format(self._diagnosis(), self.reason)
        elif status == loop.status:
            detail = sentence(loop.cause)
        result = self.result(status, detail, self._phase)
        self.display(result)
        return result

    @property
    def _phase(self) -> str:
        return self.name(self.loop.phase, 0) if self.loop.begun else ""

    def _reduced(self, point: Point) -> Point:
        """Return a point with its projected gradient, where there are bounds."""
        box = self.objective.box
        return point if box is None or point.g is None else point._replace(g=box.reduced(point.x, point.g))

    def _again(self) -> str:
        """Let the user's function raise once more where it raised, in Python; answers what to say of it."""
        x = self.state.vectors[HANDED].copy()
        objective = self.objective
        objective.maxfun = math.inf
        f_samples, g_samples = objective._f_samples, objective._g_samples
        best, objective.last = objective.best, None
        try:
            if objective.kind == "fused":
                objective._pair(x)
            else:
                objective._value(x)
                objective._gradient(x, math.nan)
            error: Exception = RuntimeError("the compiled objective raised, but did not when called again")
        except Exception as raised:
            error = raised
        objective._f_samples, objective._g_samples, objective.best = f_samples, g_samples, best
        objective.close()
        if self.options.on_error == "return":
            return f"{type(error).__name__}: {error}"
        try:
            if best is not None:
                keep(error, self.result(Status.EXCEPTION, str(error), self._phase))
            raise error
        finally:
            del error  # whose frames include this one

    def _diagnosis(self) -> str:
        """Say what is known where neither phase finds a decrease."""
        best, memo = self.objective.best, self.memo
        assert best is not None
        if best.g is None:
            best = Point(best.x, best.f, self.objective.gradient(best.x))
        pairs = []
        if memo.pairs:
            newest = self.state.pairs[0, (memo.head - 1) % PAIRS]
            pairs = [(newest[0], newest[1])]
        curvature = float(ADAM_RECORD.view(self.state.adam.slot).curvature)
        step, curvature = last_step(self.history, pairs, curvature)
        noise = measured_noise.py_func(self.loop)
        return diagnose(self.objective, best, step, curvature, float(self.loop.gtol), noise)


def solve_many(
    compiled: Compiled,
    x0s: Array,
    args: tuple[Any, ...],
    rows: tuple[Any, ...],
    options: TwoPhaseOptions,
    threads: int,
    stop: NDArray[np.int64],
    done: NDArray[np.int64],
    box: Box | None = None,
) -> dict[str, NDArray[Any]]:
    """Solve many problems of one compiled objective, side by side in threads.

    Parameters
    ----------
    compiled : Compiled
        Its arguments are ``args`` followed by one entry of each of ``rows``.
    x0s : ndarray of float64, shape (m, n)
        Starts.
    args : tuple
        Further arguments shared by all problems.
    rows : tuple of ndarray
        Further arguments of which entry i belongs to problem i.
    options : TwoPhaseOptions
        As for `minimize`; ``maxtime`` is not looked at.
    threads : int
        Threads at most; each problem is solved by one.
    stop : ndarray of int64, shape (1,)
        Set it to 1 from another thread to end early.
    done : ndarray of int64, shape (1,)
        Problems finished so far, for a progress bar.
    box : Box, optional
        Limits of the variables of every problem; the starts are inside.

    Returns
    -------
    dict
        Arrays x, jac of shape (m, n) and fun, status, nit, nfev, njev of shape (m,). Problems that an early
        stop left out have NaN, and status INTERRUPTED.
    """
    m, n = x0s.shape
    x0s = np.ascontiguousarray(x0s, dtype=float)
    table, keep = tables(args, rows, m)
    x, g, f = np.full((m, n), np.nan), np.full((m, n), np.nan), np.full(m, np.nan)
    numbers = np.zeros((m, 5), dtype=np.int64)
    numbers[:, 0] = int(Status.INTERRUPTED)
    size = max(1, min(256, -(-m // (4 * max(threads, 1)))))
    no_rows, no_events = np.empty((0, 0)), EVENT.new(0)
    loop = _entry(str(options.convex_method))
    own = own_solver(options)
    own.check(n)
    own.allocate(n, np.float64, False)
    if own.caution:
        warnings.warn(own.caution, RuntimeWarning, stacklevel=4)

    counting = threading.Lock()

    @our_arithmetic()
    def work(chunk: int) -> None:
        part = slice(chunk * size, (chunk + 1) * size)
        state = new_state(n, options, compiled.fused, stop, box=box)
        loop(
            state, compiled.address, table[part], x0s[part], x[part], g[part], f[part], numbers[part],
            no_rows, no_events, math.inf,
        )  # fmt: skip
        with counting:  # else an older sum may be entered last
            done[0] = int(numbers[:, 4].sum())

    here = Here(work)
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        chunks = [pool.submit(here, chunk) for chunk in range(-(-m // size))]
        try:
            wait(chunks)
        except KeyboardInterrupt:  # what is done is returned; the caller reads the flag
            stop[0] = 1
    for chunk in chunks:
        chunk.result()
    del keep  # the memory that the tables point into has served
    names = ("status", "nit", "nfev", "njev")
    return {"x": x, "jac": g, "fun": f, **{name: numbers[:, i] for i, name in enumerate(names)}}


__all__ = [
    "Argument",
    "Compiled",
    "compile_objective",
    "describe_arguments",
    "minimize",
    "new_state",
    "row_arguments",
    "runs_compiled",
    "solve_many",
    "why_not",
]
