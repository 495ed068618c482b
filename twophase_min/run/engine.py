"""The compiled engine: a whole run without Python between two evaluations, for compiled objectives.

Its loop (`_engine_kernels`) is the state machine of `_driver` over the same ask/tell kernels; for the same
options both visit the same points, up to rounding. The loop comes back between iterations, at first after a
few evaluations and then some twenty times a second, so that time limits and Ctrl-C work.

What needs Python stays with the driver: callbacks, progress bars, resuming, finite sums, float32, custom
detector rules, SciPy's convex methods. `why_not` says which of them a run asks for.
"""

from __future__ import annotations

import functools
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult

from twophase_min import _reasons
from twophase_min._detector_jit import can_pack, pack
from twophase_min._history import History
from twophase_min._options import OWN_CONVEX_METHOD, TwoPhaseOptions
from twophase_min._status import Status
from twophase_min.detector import NormPeakRule
from twophase_min.jit.compilation import prepare, register
from twophase_min.objective.calls import Objective, Point
from twophase_min.objective.compiled import (
    Argument,
    Compiled,
    compile_objective,
    describe_arguments,
    row_arguments,
    runs_compiled,
    tables,
)
from twophase_min.phases import adam as adam_phase
from twophase_min.phases.adam import adam_init
from twophase_min.phases.memory_cg import REASONS, cg_init
from twophase_min.run import engine_kernels as k
from twophase_min.run.book import PAIRS, Run
from twophase_min.run.build import own_solver, run_detector
from twophase_min.run.diagnosis import diagnose, last_step
from twophase_min.run.engine_kernels import Core, EngineState

Array = NDArray[np.floating]

FIRST_BREATH = 8
"""Evaluations after which the loop first comes back: Ctrl-C must work on slow objectives too."""
BREATH = 0.05
"""Seconds after which it should come back."""

PHASES = {k.ADAM: "adam", k.CONVEX: OWN_CONVEX_METHOD, -1: "start"}


def new_state(
    n: int, options: TwoPhaseOptions, fused: bool, stop: NDArray[np.int64] | None = None
) -> EngineState:
    """Allocate a run of n variables and enter the settings.

    Parameters
    ----------
    n : int
        Number of variables.
    options : TwoPhaseOptions
        With nothing in them that `why_not` names.
    fused : bool
        Whether one call of the objective gives value and gradient.
    stop : ndarray of int64, shape (1,), optional
        The flag that ends the run early.
    """
    own = own_solver(options)
    changed = options.precondition is not None
    own.allocate(n, np.float64, changed or own.precondition == "auto")
    memory, scaled = own.state.ring.shape[1], own.scaled
    keep = changed and memory > 0
    real, counts = np.zeros(k.N_REAL), np.zeros(k.N_COUNT, dtype=np.int64)
    real[k.MAXITER] = max(1000, 200 * n) if options.maxiter is None else options.maxiter
    real[k.MAXFUN] = math.inf if options.maxfun is None else options.maxfun
    real[k.TARGET] = -math.inf if options.f_target is None else options.f_target
    real[k.GTOL_ABS], real[k.GTOL_REL], real[k.MAX_SWAPS] = options.gtol, options.gtol_rel, options.max_swaps
    real[k.NOISE] = 10 * float(np.finfo(float).eps)
    real[k.GIVEN_RATE] = math.nan if options.learning_rate is None else options.learning_rate
    sizes = np.ones(n) if options.precondition == "auto" else None
    adam = adam_init(
        n, np.float64, options.learning_rate, options.beta1, options.beta2, options.epsilon, sizes
    )
    real[k.GIVEN_EPSILON] = adam.real[adam_phase.EPSILON]
    counts[k.FUSED] = fused
    counts[k.TWO_NORM] = options.norm == 2
    counts[k.AUTOMATIC] = options.learning_rate is None and options.guard and options.swap == "auto"
    counts[k.GUARDED] = options.guard
    counts[k.PRECONDITION] = {None: k.PRE_NONE, "adam": k.PRE_ADAM, "auto": k.PRE_AUTO}[options.precondition]
    counts[k.TYPICAL] = own.precondition == "auto"
    counts[k.KEEP_PAIRS] = keep
    core = Core(
        np.zeros((k.SIZES + 1 if changed else k.DIAGONAL, n)),
        np.zeros((4, k.MARKS, 2)),
        real,
        counts,
        np.zeros(1, dtype=np.int64) if stop is None else stop,
    )
    pairs = np.zeros((2, PAIRS if keep else 0, 2, n))
    parked = cg_init(n, memory, scaled=scaled) if options.guard else cg_init(0, 0)
    return EngineState(core, adam, own.state, parked, pack(run_detector(options, sampled=False)), pairs)


COMPILED_RULES = ("auto", "norm-peak", "norm-against-loss", "always", "never")
"""Names for which no detector need be made to see that it can be compiled."""


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
    ):
        if given:
            return f"{name!r} needs Python after every iteration"
    if np.dtype(dtype) != np.float64:
        return f"it works in float64, and x0 is {np.dtype(dtype)}: convert x0"
    if options.convex_method != OWN_CONVEX_METHOD:
        return f"convex_method {options.convex_method!r} is not compiled: use {OWN_CONVEX_METHOD!r}"
    if options.norm not in (2, np.inf):
        return f"it knows the norms 2 and inf, not {options.norm!r}"
    named = isinstance(options.swap, str) and options.swap in COMPILED_RULES
    if not (named or can_pack(run_detector(options, sampled=False))):
        return f"the rule {options.swap!r} is not compiled: use 'norm-peak', 'norm-against-loss' or a number"
    return ""


_kept = threading.local()
KEPT = 1000
"""Variables up to which a thread keeps its last state for the next run with the same options."""


def _own_state(n: int, options: TwoPhaseOptions, fused: bool) -> EngineState:
    """Return this thread's state for such a run: allocating its arrays can take longer than the run."""
    if n > KEPT:
        return new_state(n, options, fused)
    last = getattr(_kept, "last", None)
    if last is None or last[0] is not options or last[1:3] != (n, fused):
        last = _kept.last = (options, n, fused, new_state(n, options, fused))
    return last[3]


def _example(kind: Any = np.float64) -> tuple[Any, ...]:
    """Arguments of `solve` as a run passes them; float64 whatever is asked for."""
    one, flat = np.zeros((1, 1)), np.zeros(1)
    state = new_state(1, TwoPhaseOptions(convex_method=OWN_CONVEX_METHOD), False)
    return state, 1, one.astype(int), one, one, one, flat, one.astype(int), one, one, 1.0


register(k.solve, _example)


@functools.cache
def _entry() -> Any:
    """Return the compiled loop without Numba's dispatch, which looks at every array of the state."""
    return prepare(k.solve, *_example())


def minimize(
    fun: Any, jac: Any, args: tuple[Any, ...], x0: Array, options: TwoPhaseOptions, compiled: Compiled
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

    Returns
    -------
    OptimizeResult
        As from the driver; the history has no times, and there is no state to resume from.
    """
    began = time.perf_counter()
    n = x0.size
    state = _own_state(n, options, compiled.fused)
    counts = state.core.counts
    counts[: k.FUSED] = 0  # of the run before: Ctrl-C may come before the loop resets them
    counts[k.RECORD] = 1
    state.core.stop[0] = 0
    table, keep = tables(args)
    x, g, f, numbers = np.empty((1, n)), np.empty((1, n)), np.empty(1), np.empty((1, 6), dtype=np.int64)
    rows: Array = np.empty((64, 8))
    events: Array = np.empty((8, 16))
    deadline = math.inf if options.maxtime is None else began + options.maxtime
    status, pause = k.PAUSED, float(FIRST_BREATH)
    solve = _entry()
    try:
        while status == k.PAUSED:
            solve(state, compiled.address, table, x0[None], x, g, f, numbers, rows, events, pause)
            status = int(numbers[0, 0])
            if status == k.PAUSED:
                rows, events = _with_room(rows, counts[k.ROWS]), _with_room(events, counts[k.EVENTS])
                now = time.perf_counter()
                if now >= deadline:
                    status = Status.MAXTIME
                spent = counts[k.NFEV] + counts[k.NJEV]
                seconds = max(min(BREATH, deadline - now), 0.0)
                more = spent * seconds / max(now - began, 1e-9)
                pause = spent + min(max(more, 1.0), 30.0 * spent)
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    del keep  # the memory that the table points into has served
    run = _Compiled(fun, jac, args, x0, options, state, rows, events)
    return run.outcome(Status(status), Point(x[0], float(f[0]), g[0]))


def _with_room(array: Array, used: int) -> Array:
    """Return the array, or one of twice the size with the same rows if it is full."""
    if used < array.shape[0]:
        return array
    larger = np.empty((2 * array.shape[0], array.shape[1]))
    larger[:used] = array[:used]
    return larger


class _Compiled(Run):
    """What a compiled run has done, told in the words of `Run`."""

    def __init__(
        self, fun: Any, jac: Any, args: Any, x0: Array, options: TwoPhaseOptions, state: EngineState,
        rows: Array, events: Array,
    ):  # fmt: skip
        objective = Objective(fun, jac, args, x0.size, x0.dtype, maxfun=options.maxfun)
        super().__init__(objective, x0, options)
        self.state = state
        core = state.core
        self.counts, self.real, v = core.counts, core.real, core.vectors
        self.nit = int(self.counts[k.NIT])
        objective.kind = "fused" if jac is True else "callable"
        objective._f_samples, objective._g_samples = int(self.counts[k.NFEV]), int(self.counts[k.NJEV])
        if self.counts[k.BEST_KNOWN]:
            row = int(self.counts[k.BEST])
            known = v[row + 1] if self.counts[k.HAS_G + row // 2] else None
            objective.best = Point(v[row], float(self.real[k.BEST_F]), known)  # the result copies it
        self._read_history(rows[: self.counts[k.ROWS]])
        for event in events[: self.counts[k.EVENTS]].tolist():
            self.history.swaps.append(self._read_swap(event))

    def _read_history(self, rows: Array) -> None:
        phases = [PHASES[leg] for leg in rows[:, 4].tolist()]
        rows[:, 4] = np.nan  # the time of an iteration: nobody looked at the clock
        self.history = History.of_rows(rows, phases)
        self.phase = "start"
        if self.counts[k.BEGUN]:
            self.phase = PHASES[int(self.counts[k.LEG])]

    def _read_swap(self, event: list[float]) -> dict[str, Any]:
        to = PHASES[int(event[6])]
        return {
            "iteration": int(event[0]),
            "evaluations": event[1],
            "loss": event[2],
            "norm": event[3],
            "peak": event[4],
            "from": PHASES[k.ADAM] if to == OWN_CONVEX_METHOD and event[5] != k.BACK else OWN_CONVEX_METHOD,
            "to": to,
            "reason": self._reason(int(event[5]), event),
        }

    def _reason(self, why: int, event: list[float]) -> str:
        """Cause of a handover in the driver's words."""
        number = event[7]
        if why == k.DETECTED:
            return _detected(self.options, event)
        if why == k.ADAM_FAILED:
            return _reasons.NO_STEP.format(adam_phase.REASONS[int(number)])
        if why == k.CURVED:
            return _reasons.CURVED
        if why == k.UNTOLD:
            return _reasons.UNTOLD.format(number)
        if why == k.BACK:
            return _reasons.BACK.format(self._reason(int(event[14]), event), event[15])
        if why == k.CG_FAILED:
            return REASONS[int(number)]
        if why == k.TO_AND_FRO:
            return _reasons.TO_AND_FRO
        if why == k.ROLLED_BACK:
            return _reasons.LOST_TRIAL.format(event[8], event[10], event[9])
        if why == k.FELL_SHORT:
            return _reasons.FELL_SHORT.format(number, event[10], event[13])
        return _reasons.STALLED.format(event[11], event[10])

    def outcome(self, status: Status, point: Point) -> OptimizeResult:
        """Build the result; an exception of the user's is raised as the driver raises it."""
        why = int(self.counts[k.WHY])
        detail = ""
        if self.counts[k.FINAL] != k.AT_BEST:
            known = None if point.g is None or np.isnan(point.g).any() else point.g
            self.final = Point(point.x, point.f, known)
        if status == Status.EXCEPTION:
            detail = self._again()
        elif status == Status.CONVERGED and why == k.AT_START:
            detail = _reasons.AT_START
        elif status == Status.NONFINITE:
            detail = _reasons.ONLY_X0
            if why != k.ONLY_X0:
                what = "objective" if why == k.BAD_VALUE else "gradient"
                detail = _reasons.NOT_FINITE.format(what)
        elif status == Status.WORKING_PRECISION:
            assert self.final is not None
            detail = _reasons.RELATIVE.format(self.relative_gradient(self.final))
        elif status == Status.PRECISION_LOSS:
            detail = self._diagnosis(why)
        result = self.result(status, detail)
        self.display(result)
        return result

    def _again(self) -> str:
        """Let the user's function raise once more where it raised, in Python; answers what to say of it."""
        x = self.state.core.vectors[k.HANDED].copy()
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
        if self.options.on_error == "return":
            return f"{type(error).__name__}: {error}"
        if best is not None:
            error.optimize_result = self.result(Status.EXCEPTION, str(error))  # type: ignore[attr-defined]
        raise error

    def _diagnosis(self, why: int) -> str:
        """Say what is known where neither phase finds a decrease."""
        best = self.best()
        pairs = []
        if self.counts[k.PAIR_COUNT]:
            newest = self.state.pairs[0, (self.counts[k.PAIR_HEAD] - 1) % PAIRS]
            pairs = [(newest[0], newest[1])]
        curvature = float(self.state.adam.real[adam_phase.CURVATURE])
        gtol = float(self.real[k.GTOL])
        step, curvature = last_step(self.history, pairs, curvature)
        text = diagnose(self.objective, best, step, curvature, gtol)
        if why == k.ADAM_FAILED:
            reason = int(self.state.adam.counts[adam_phase.REASON])
            cause = _reasons.NO_STEP.format(adam_phase.REASONS[reason])
        elif why == k.NO_SWAPS:
            cause = _reasons.NO_HANDOVER
        else:
            cause = "neither phase decreases the objective"
        return _reasons.ENDED_BY.format(text, cause)


def _detected(options: TwoPhaseOptions, event: list[float]) -> str:
    """Cause of a swap that the detector saw."""
    last = getattr(_kept, "rule", None)
    if last is None or last[0] is not options:
        last = _kept.rule = (options, run_detector(options, sampled=False).rule)
    rule = last[1]
    if isinstance(rule, NormPeakRule):
        return rule.say(event[12], event[4])
    return f"the rule {rule.name!r} sees the swap at a gradient norm of {event[12]:.6g}"


def solve_many(
    compiled: Compiled,
    x0s: Array,
    args: tuple[Any, ...],
    rows: tuple[Any, ...],
    options: TwoPhaseOptions,
    threads: int,
    stop: NDArray[np.int64],
    done: NDArray[np.int64],
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
    numbers = np.zeros((m, 6), dtype=np.int64)
    numbers[:, 0] = int(Status.INTERRUPTED)
    size = max(1, min(256, -(-m // (4 * max(threads, 1)))))
    none = np.empty((0, 0))
    solve = _entry()

    def work(chunk: int) -> None:
        part = slice(chunk * size, (chunk + 1) * size)
        state = new_state(n, options, compiled.fused, stop)
        solve(
            state, compiled.address, table[part], x0s[part], x[part], g[part], f[part], numbers[part],
            none, none, math.inf,
        )  # fmt: skip
        done[0] = int(numbers[:, 5].sum())

    with ThreadPoolExecutor(max(threads, 1)) as pool:
        chunks = [pool.submit(work, chunk) for chunk in range(-(-m // size))]
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
