"""The kernels of the compiled loop: the state machine of `_driver` over arrays; `engine` is its Python side.

It runs both phases, detector and guard over the same ask/tell kernels as the driver (`phases.adam`,
`phases.cg`), with our own conjugate gradients as the convex phase, and calls the objective by its address
(`_compiled`). For the same options it visits the same points as the driver, up to rounding. `solve` is
re-entrant between iterations; the whole run lives in the arrays of `EngineState`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from twophase_min._status import Status
from twophase_min.jit.compilation import jit
from twophase_min.jit.kernels import all_finite, copy, norm2, norm_inf, out_of_line
from twophase_min.objective.compiled import DONE, GRADIENT, VALUE, call
from twophase_min.phases import FAILED, ITERATION, NEED_F, NEED_G
from twophase_min.phases import adam as adam_phase
from twophase_min.phases import memory_cg as cg_phase
from twophase_min.phases.adam import AdamState, adam_next, adam_scales, adam_start, adam_tell
from twophase_min.phases.memory_cg import CGState, cg_add_pair, cg_next, cg_start, cg_tell, cg_typical
from twophase_min.run import detecting
from twophase_min.run import guard as _guard
from twophase_min.run.book import PAIRS
from twophase_min.run.detecting import DetectorState
from twophase_min.run.driver import FIRST_PATIENCE, MOMENTS, RECOVERY, REMAINDER, WORKING_PRECISION
from twophase_min.run.guard import (
    AHEAD,
    BEHIND,
    CREEPING,
    CROWDED,
    GAP,
    LONGEST,
    RETURN,
    SHARE,
    SHORTEST,
    SOON_WHILE,
    SOONEST,
    STALLED,
    WHILE,
)

GO, PAUSED = -1, -2
"""No stop; and a stop for the caller to look around, after which `solve` is called again."""

MARKS = 128
"""Room for the marks of a rate; thinned out, at most some fifty are in use."""

# Rows of Core.vectors. Three evaluated points come first, x and below it its gradient: counts[POINT], [BEST]
# and [LAST] say which of them are the iterate, the best and the last one, often the same, so that a point is
# written once. The last two rows are there only where the variables may be changed.
POINTS = 3
BAD_X, HANDED, DIAGONAL, SIZES = range(2 * POINTS, 2 * POINTS + 4)
# places in Core.real; the objective leaves its value in the first
VALUE_F, POINT_F, BEST_F, LAST_F, BAD_F, NORM_BEFORE = range(6)
FAILED_AT, PATIENCE, PARKED_F, STALL_SPAN, REFERENCE, LENGTH, GTOL = range(6, 13)
# limits and settings, the same over a run
MAXITER, MAXFUN, TARGET, GTOL_ABS, GTOL_REL, MAX_SWAPS, NOISE, GIVEN_RATE, GIVEN_EPSILON = range(13, 22)
# four rates: Adam's, the convex phase's, its recent past, and where Adam is heading
SPAN, PART, BEGAN = 22, 26, 30
ADAM_RATE, RATE, RECENT, COURSE = 0, 1, 2, 3
STALL_LIMIT, GUARD_TARGET, SPENT, NORM_HERE = 34, 35, 36, 37
N_REAL = 38
# places in Core.counts
NIT, NFEV, NJEV, LEG, STEPS, SWAPS, APART, PASSED, BEGUN, OWN_BEGUN = range(10)
BEST_KNOWN, LAST_KNOWN, BAD_KNOWN, ELSEWHERE, FINAL, WHY = range(10, 16)
PAIR_COUNT, PAIR_HEAD, PARKED_COUNT, PARKED_HEAD, ROWS, EVENTS, SIZED = range(16, 23)
# rows of points, the last that of the newest call of `_evaluate`; and whether their gradients are known
POINT, BEST, LAST, AT, HAS_G = range(23, 28)
# first mark and number of marks of the four rates
FIRST, MANY = HAS_G + POINTS, HAS_G + POINTS + 4
# settings
FUSED, TWO_NORM, AUTOMATIC, GUARDED, PRECONDITION, TYPICAL, KEEP_PAIRS, RECORD = range(MANY + 4, MANY + 12)
N_COUNT = RECORD + 1

ADAM, CONVEX = 0, 1
"""Legs."""
AT_BEST, AT_POINT, AT_BAD = 0, 1, 2
"""Which point a run returns."""
PRE_NONE, PRE_ADAM, PRE_AUTO = 0, 1, 2

# What caused a stop or a handover, in Core.counts[WHY] and column 5 of the events.
(
    NO_REASON, AT_START, DETECTED, ADAM_FAILED, CURVED, UNTOLD, CG_FAILED, ROLLED_BACK, STALLED_OUT, NO_SWAPS,
    ONLY_X0, BACK, BAD_VALUE, BAD_GRADIENT, TO_AND_FRO, FELL_SHORT,
) = range(16)  # fmt: skip


class Core(NamedTuple):
    """What every kernel of the loop needs. Few arrays: each adds to the compile time of all of them.

    Attributes
    ----------
    vectors : ndarray, shape (8, n) or (10, n)
        Points and gradients, as described above.
    marks : ndarray, shape (4, MARKS, 2)
        Cost and value at the marks of the four rates; rings.
    real, counts : ndarray of float64 and int64
        Scalars, counters and settings by the names above.
    stop : ndarray of int64, shape (1,)
        Anybody may set it to 1 to have the run come back; shared by the states of many problems.
    """

    vectors: np.ndarray
    marks: np.ndarray
    real: np.ndarray
    counts: np.ndarray
    stop: np.ndarray


class EngineState(NamedTuple):
    """A whole run in arrays.

    Attributes
    ----------
    core, adam, cg, detector
        States of the loop and of the kernels it calls.
    parked : CGState
        That of a convex phase that stalled, while Adam's own path is tried.
    pairs : ndarray, shape (2, PAIRS, 2, n) or (2, 0, 2, n)
        Steps and gradient differences of the last iterations, a ring; and those of the parked phase.
    """

    core: Core
    adam: AdamState
    cg: CGState
    parked: CGState
    detector: DetectorState
    pairs: np.ndarray


# what Numba sees of `Status`
_CONVERGED = int(Status.CONVERGED)
_EXCEPTION = int(Status.EXCEPTION)
_INTERRUPTED = int(Status.INTERRUPTED)
_MAXFUN = int(Status.MAXFUN)
_MAXITER = int(Status.MAXITER)
_NONFINITE = int(Status.NONFINITE)
_PRECISION_LOSS = int(Status.PRECISION_LOSS)
_TARGET = int(Status.TARGET)
_UNBOUNDED = int(Status.UNBOUNDED)
_WORKING_PRECISION = int(Status.WORKING_PRECISION)

_inner = jit(no_cpython_wrapper=True)
extrapolate = _inner(_guard.extrapolate)
first_doubt = _inner(_guard.first_doubt)


# ---- evaluations (`_objective`) ----------------------------------------------------------------------------


@_inner
def _same(a, b):
    out_of_line()
    for i in range(a.size):  # noqa: SIM110
        if a[i] != b[i]:
            return False
    return True


@_inner
def _row(counts):
    """Row for a new point: not that of the iterate, nor that of the best one."""
    row = 0
    while row == counts[POINT] or (counts[BEST_KNOWN] != 0 and row == counts[BEST]):
        row += 2
    return row


@_inner
def _remember(core, row, f):
    """Note the point in this row as the last, and as the best where it is."""
    v, real, counts = core.vectors, core.real, core.counts
    best = real[BEST_F]
    if counts[BEST_KNOWN] == 0 or f < best or (best != best and f == f):
        real[BEST_F] = f
        counts[BEST] = row
        counts[BEST_KNOWN] = 1
    real[LAST_F] = f
    counts[LAST] = row
    counts[LAST_KNOWN] = 1
    if not math.isfinite(f):
        real[BAD_F] = f
        counts[BAD_KNOWN] = 1
        copy(v[row], v[BAD_X])
    elif counts[BEGUN]:
        counts[ELSEWHERE] = 1


@_inner
def _evaluate(core, address, table, x, gradient):
    """Evaluate at x, with the gradient if it is wanted; GO or a stop.

    The value is left in real[VALUE_F], and the point in row counts[AT], with its gradient below it. The last
    and the best point are not evaluated twice. The user's function gets a copy of x.
    """
    v, real, counts = core.vectors, core.real, core.counts
    at_last = counts[LAST_KNOWN] != 0 and _same(v[counts[LAST]], x)
    known = at_last or (counts[BEST_KNOWN] != 0 and _same(v[counts[BEST]], x))
    f = real[LAST_F] if at_last else real[BEST_F]
    row = counts[LAST] if at_last else counts[BEST]
    if not known:
        row = _row(counts)
    elif counts[HAS_G + row // 2] != 0:
        gradient = False
    fused = counts[FUSED] != 0
    for turn in range(2):
        if (turn == 0 and known) or (turn == 1 and not gradient):
            continue
        want = VALUE + GRADIENT if fused else (VALUE if turn == 0 else GRADIENT)
        if want != GRADIENT:
            if counts[NFEV] + 1 > real[MAXFUN]:
                return _MAXFUN
            counts[NFEV] += 1
        if want != VALUE:
            counts[NJEV] += 1
        copy(x, v[HANDED])
        if call(address, v[HANDED], real, v[row + 1], table, want) != DONE:
            copy(x, v[HANDED])
            return _EXCEPTION
        if want != GRADIENT:
            f = real[VALUE_F]
        if turn == 0:
            copy(x, v[row])
        counts[HAS_G + row // 2] = 1 if want != VALUE else 0
        _remember(core, row, f)
        if fused:
            gradient = False
        if turn == 0:
            if f == -math.inf:
                return _UNBOUNDED
            if f <= real[TARGET]:
                return _TARGET
    real[VALUE_F] = f
    counts[AT] = row
    return GO


# ---- rates and the guard (`_guard`) ------------------------------------------------------------------------


@_inner
def _cost(core):
    return float(core.counts[NFEV] + core.counts[NJEV])


@_inner
def _rate_begin(core, k, best, span, part):
    cost = _cost(core)
    core.real[SPAN + k] = span
    core.real[PART + k] = part
    core.real[BEGAN + k] = cost
    core.marks[k, 0, 0] = cost
    core.marks[k, 0, 1] = best
    core.counts[FIRST + k] = 0
    core.counts[MANY + k] = 1


@_inner
def _rate_note(core, k, best):
    marks, real, counts = core.marks[k], core.real, core.counts
    cost = _cost(core)
    first, many = counts[FIRST + k], counts[MANY + k]
    width = max(real[SPAN + k], real[PART + k] * (cost - real[BEGAN + k]))
    if many > 2:
        newest = marks[(first + many - 1) % MARKS, 0]
        if newest - marks[(first + many - 2) % MARKS, 0] < CROWDED * width:
            many -= 1
    at = (first + many) % MARKS
    marks[at, 0] = cost
    marks[at, 1] = best
    many += 1
    while many > 2 and marks[(first + 1) % MARKS, 0] <= cost - width:
        first = (first + 1) % MARKS
        many -= 1
    counts[FIRST + k] = first
    counts[MANY + k] = many


@_inner
def _rate(core, k):
    """Return evaluations since the phase began, and the recent relative decrease per evaluation."""
    marks, first, many = core.marks[k], core.counts[FIRST + k], core.counts[MANY + k]
    newest = (first + many - 1) % MARKS
    cost0, best0 = marks[first, 0], marks[first, 1]
    cost1, best1 = marks[newest, 0], marks[newest, 1]
    size = max(abs(best0), abs(best1))
    value = (best0 - best1) / size / (cost1 - cost0) if cost1 > cost0 and size > 0.0 else 0.0
    return cost1 - core.real[BEGAN + k], value


@_inner
def _course_begin(core, f):
    """Start to watch where Adam is heading."""
    _rate_begin(core, ADAM_RATE, f, SHORTEST, 0.3)
    _rate_begin(core, COURSE, f, SHORTEST, BEHIND)


@_inner
def _on_course(core, f):
    """Whether Adam, at f away from the best point, is on its way to the value of the phase that waits."""
    real, counts, marks = core.real, core.counts, core.marks[COURSE]
    if counts[APART] == 0 or real[PARKED_F] != real[PARKED_F]:
        return False
    if _rate(core, ADAM_RATE)[0] >= LONGEST * _cost(core):
        return False
    first, many = counts[FIRST + COURSE], counts[MANY + COURSE]
    newest = (first + many - 1) % MARKS
    f0, f2 = marks[first, 1], marks[newest, 1]
    half = 0.5 * (marks[newest, 0] - marks[first, 0])
    middle = marks[first, 0] + half
    f1 = f0
    for i in range(many - 1):
        a, b = (first + i) % MARKS, (first + i + 1) % MARKS
        if marks[a, 0] <= middle < marks[b, 0]:
            part = (middle - marks[a, 0]) / (marks[b, 0] - marks[a, 0])
            f1 = marks[a, 1] + (marks[b, 1] - marks[a, 1]) * part
    end = extrapolate(f0, f1, f2, AHEAD * _cost(core) / half if half > 0.0 else 0.0)
    return end < real[PARKED_F] + GAP * (f - real[PARKED_F])


@_inner
def _guard_begin(core, best, reference, target):
    span = core.real[STALL_SPAN]
    core.real[GUARD_TARGET] = target
    _rate_begin(core, RATE, best, SHORTEST, 0.3)
    _rate_begin(core, RECENT, best, span, 0.2)
    core.real[REFERENCE] = reference
    core.real[LENGTH] = max(SHORTEST, SHARE * _cost(core))
    core.counts[PASSED] = 0


@_inner
def _verdict(core, f):
    """Show the newest iterate to the guard: NO_REASON, ROLLED_BACK, FELL_SHORT or STALLED_OUT."""
    counts = core.counts
    if not counts[GUARDED]:
        return NO_REASON
    real = core.real
    limit = first_doubt(real[STALL_LIMIT], _cost(core), core.vectors.shape[1])
    if limit != real[STALL_LIMIT]:
        real[STALL_LIMIT] = limit
        if limit == CREEPING:
            real[STALL_SPAN] = WHILE
            _rate_begin(core, RECENT, f, WHILE, 0.2)
    _rate_note(core, RATE, f)
    _rate_note(core, RECENT, f)
    spent, rate = _rate(core, RATE)
    if not counts[PASSED]:
        if spent < real[LENGTH]:
            return NO_REASON
        if rate < real[REFERENCE]:
            return ROLLED_BACK
        if not f - 0.5 * real[LENGTH] * rate * abs(f) < real[GUARD_TARGET]:
            return FELL_SHORT
        counts[PASSED] = 1
        return NO_REASON
    since, recent = _rate(core, RECENT)
    share = 1.0 if recent < STALLED else 1.0 - REMAINDER
    room = counts[NFEV] * (1 + RETURN) * (1 + SHARE) <= share * real[MAXFUN]
    if room and since >= real[SPAN + RECENT] and recent < real[STALL_LIMIT]:
        return STALLED_OUT
    return NO_REASON


# ---- iterates and handovers (`_run`) -----------------------------------------------------------------------


@_inner
def _full(core, rows, pause):
    """Whether it is time to come up for air."""
    counts = core.counts
    if core.stop[0] != 0 or counts[NFEV] + counts[NJEV] >= pause:
        return True
    return counts[RECORD] != 0 and counts[ROWS] >= rows.shape[0]


@_inner
def _record(core, rows, norm, step):
    counts = core.counts
    if counts[RECORD]:
        row = rows[counts[ROWS]]
        row[0] = counts[NIT]
        row[1] = counts[NFEV]
        row[2] = counts[NJEV]
        row[3] = counts[NFEV] + counts[NJEV]
        row[4] = counts[LEG] if counts[BEGUN] else -1
        row[5] = core.real[POINT_F]
        row[6] = norm
        row[7] = step
        counts[ROWS] += 1


@_inner
def _at(core, x, f, g):
    """Make this the current point: in the row where it is remembered, or in one of its own."""
    v, counts = core.vectors, core.counts
    last, best = counts[LAST_KNOWN] != 0, counts[BEST_KNOWN] != 0
    if last and counts[HAS_G + counts[LAST] // 2] != 0 and _same(v[counts[LAST]], x):
        row = counts[LAST]
    elif best and counts[HAS_G + counts[BEST] // 2] != 0 and _same(v[counts[BEST]], x):
        row = counts[BEST]
    else:
        row = 0
        while (last and row == counts[LAST]) or (best and row == counts[BEST]):
            row += 2
        copy(x, v[row])
        copy(g, v[row + 1])
        counts[HAS_G + row // 2] = 1
    counts[POINT] = row
    core.real[POINT_F] = f
    core.real[NORM_HERE] = math.nan


@_inner
def _iteration(core, pairs, rows, x, f, g):
    """Book a new iterate; GO or a stop."""
    v, real, counts = core.vectors, core.real, core.counts
    counts[NIT] += 1
    before, slope = v[counts[POINT]], v[counts[POINT] + 1]
    square = 0.0
    for i in range(x.size):
        d = x[i] - before[i]
        square += d * d
    step = math.sqrt(square)
    if counts[KEEP_PAIRS] and step > 0.0:
        pair = pairs[0, counts[PAIR_HEAD]]
        for i in range(x.size):
            pair[0, i] = x[i] - before[i]
            pair[1, i] = g[i] - slope[i]
        counts[PAIR_HEAD] = (counts[PAIR_HEAD] + 1) % PAIRS
        counts[PAIR_COUNT] = min(counts[PAIR_COUNT] + 1, PAIRS)
    real[NORM_BEFORE] = real[NORM_HERE] if real[NORM_HERE] == real[NORM_HERE] else norm2(slope)
    _at(core, x, f, g)
    norm = norm2(g)
    real[NORM_HERE] = norm
    _record(core, rows, norm, step)
    if (norm if counts[TWO_NORM] else norm_inf(g)) <= real[GTOL]:
        # the best point, up to what the test can see
        if f <= real[BEST_F] + real[NOISE] * abs(real[BEST_F]):
            counts[FINAL] = AT_POINT
            return _CONVERGED
        square = 0.0
        for i in range(x.size):
            d = x[i] - v[counts[BEST], i]
            square += d * d
        if f <= real[BEST_F] + real[GTOL] * math.sqrt(square):
            counts[FINAL] = AT_POINT
            return _CONVERGED
    if counts[NIT] >= real[MAXITER]:
        return _MAXITER
    return GO


@_inner
def _swap(core, d, events, to, why, cause, number):
    """Note a handover in the columns that `engine` reads; ``d`` is the detector."""
    counts, real = core.counts, core.real
    if counts[RECORD]:
        row = events[counts[EVENTS]]
        row[0] = counts[NIT]
        row[1] = counts[NFEV] + counts[NJEV]
        row[2] = real[POINT_F]
        row[3] = norm2(core.vectors[counts[POINT] + 1])
        row[4] = d.slot[0].peak
        row[5] = why
        row[6] = to
        row[7] = number
        row[8] = _rate(core, RATE)[1]
        row[9] = real[REFERENCE]
        row[10] = _rate(core, RATE)[0]
        row[11] = _rate(core, RECENT)[1]
        row[12] = d.slot[0].norm
        row[13] = real[GUARD_TARGET]
        row[14] = cause
        row[15] = real[BEST_F]
    counts[EVENTS] += 1


# ---- Adam --------------------------------------------------------------------------------------------------


@_inner
def _new_adam(core, adam, x, f, g):
    """Adam from scratch at an evaluated point, with the settings of the run."""
    adam.counts[adam_phase.PROBING] = adam.counts[adam_phase.ADAPTING]  # 1 where no rate was given
    adam.real[adam_phase.RATE] = core.real[GIVEN_RATE]
    adam.real[adam_phase.EPSILON] = core.real[GIVEN_EPSILON]
    adam_start(adam, x, f, g)


@_inner
def _adam_leg(state, address, table, rows, events, pause):
    """Adam until the detector sees the swap, a trial is due, Adam fails, or a stop; hands over."""
    core, adam, d = state.core, state.adam, state.detector
    v, counts, real = core.vectors, core.counts, core.real
    x = adam.vectors[adam_phase.XT]
    why = NO_REASON
    number = 0.0
    while why == NO_REASON:
        if _full(core, rows, pause):
            return PAUSED
        if adam.counts[adam_phase.NEED] == ITERATION:
            adam_next(adam)
        code = adam.counts[adam_phase.NEED]
        while code != ITERATION and code != FAILED:
            stop = _evaluate(core, address, table, x, code != NEED_F or counts[FUSED] != 0)
            if stop != GO:
                return stop
            code = adam_tell(adam, real[VALUE_F], v[counts[AT] + 1])
        if code == ITERATION:
            stop = _iteration(
                core,
                state.pairs,
                rows,
                adam.vectors[adam_phase.X],
                adam.real[adam_phase.F],
                adam.vectors[adam_phase.G],
            )
            if stop != GO:
                return stop
        if code == FAILED:
            why = ADAM_FAILED
            number = float(adam.counts[adam_phase.REASON])
            continue
        counts[STEPS] += 1
        f = adam.real[adam_phase.F]
        if not real[BEST_F] < f:
            counts[APART] = 0
        _rate_note(core, ADAM_RATE, f if counts[APART] else real[BEST_F])
        newest = (counts[FIRST + COURSE] + counts[MANY + COURSE] - 1) % MARKS
        _rate_note(core, COURSE, min(f, core.marks[COURSE, newest, 1]))
        norm = norm2(adam.vectors[adam_phase.G])
        decided = detecting.update(d, f, norm)
        recovering = not math.isnan(real[FAILED_AT]) and counts[STEPS] < RECOVERY
        if counts[SWAPS] >= real[MAX_SWAPS] or recovering:
            continue
        number = _rate(core, ADAM_RATE)[0]
        if decided and not counts[APART]:
            why = DETECTED
        elif counts[AUTOMATIC] or real[PARKED_F] == real[PARKED_F]:
            curved = adam.counts[adam_phase.T] == 1 and adam.real[adam_phase.CURVATURE] > 0.0
            if counts[AUTOMATIC] and curved and norm < real[NORM_BEFORE]:
                why = CURVED
            elif number >= real[PATIENCE] and not _on_course(core, f):
                why = UNTOLD
                real[PATIENCE] = max(2.0 * real[PATIENCE], 2.0 * SHORTEST)
    status = _to_convex(core, adam, d, events, why, number)
    # The detector is as it was at the swap until it is rearmed: let Python read its reason now.
    return PAUSED if status == GO and why == DETECTED and counts[RECORD] != 0 else status


@_inner
def _to_convex(core, adam, d, events, why, number):
    """Hand over to the convex phase at the best point, unless it has failed without a gain since."""
    counts, real = core.counts, core.real
    best, failed_at = real[BEST_F], real[FAILED_AT]
    counts[WHY] = why
    failed = not math.isnan(failed_at) and not best < failed_at - real[NOISE] * abs(failed_at)
    if failed or counts[SWAPS] >= real[MAX_SWAPS]:
        if not failed:
            counts[WHY] = NO_SWAPS
        if counts[BAD_KNOWN] and not counts[ELSEWHERE]:
            counts[FINAL] = AT_BAD
            counts[WHY] = ONLY_X0
            return _NONFINITE
        return _PRECISION_LOSS
    counts[SWAPS] += 1
    if counts[GUARDED]:
        spent, rate = _rate(core, ADAM_RATE)
        start = adam.real[adam_phase.F] if counts[APART] else best
        target = math.inf
        if counts[APART] and real[PARKED_F] == real[PARKED_F]:
            target = real[PARKED_F]
        _guard_begin(core, start, max(rate, 0.0) if spent >= SHORTEST else 0.0, target)
    _swap(core, d, events, CONVEX, why, why, number)
    counts[LEG] = CONVEX
    counts[OWN_BEGUN] = 0
    return GO


# ---- the convex phase --------------------------------------------------------------------------------------


@_inner
def _metric(core, adam, cg):
    """Write the squared change of variables of the convex phase; whether there is one."""
    if cg.vectors.shape[0] <= cg_phase.METRIC:
        return False
    counts, metric = core.counts, cg.vectors[cg_phase.METRIC]
    kind, t = counts[PRECONDITION], adam.counts[adam_phase.T]
    for i in range(metric.size):
        metric[i] = 1.0
    if (kind == PRE_ADAM and t >= 1) or (kind == PRE_AUTO and t >= MOMENTS):
        out = core.vectors[DIAGONAL]
        adam_scales(adam, out)
        largest = norm_inf(out)
        if not 0.0 < largest < math.inf:
            return False
        for i in range(metric.size):
            d = 1.0 / math.sqrt(max(out[i], 1e-6 * largest))
            metric[i] = d * d
        return True
    if kind != PRE_NONE and counts[SIZED] != 0:
        for i in range(metric.size):
            metric[i] = core.vectors[SIZES, i] * core.vectors[SIZES, i]
        return True
    return False


@_inner
def _own_begin(core, adam, cg, pairs):
    """Start the conjugate gradients at the current point, with what is known of the curvature."""
    v, real, counts = core.vectors, core.real, core.counts
    scaled = _metric(core, adam, cg)
    first = 0.0
    if adam.real[adam_phase.CURVATURE] > 0.0:
        first = norm2(v[counts[POINT] + 1]) / adam.real[adam_phase.CURVATURE]
    elif adam.counts[adam_phase.T] > 0:
        first = adam.real[adam_phase.RATE] * math.sqrt(float(v.shape[1]))
    cg_start(cg, v[counts[POINT]], real[POINT_F], v[counts[POINT] + 1], first)
    if not scaled and counts[TYPICAL]:
        cg_typical(cg)
    if counts[KEEP_PAIRS]:
        oldest = counts[PAIR_HEAD] - counts[PAIR_COUNT] + PAIRS
        for k in range(counts[PAIR_COUNT]):
            pair = pairs[0, (oldest + k) % PAIRS]
            cg_add_pair(cg, pair[0], pair[1])
    counts[OWN_BEGUN] = 1


@_inner
def _working_precision(core, cg):
    """Whether the failed search was asked for a decrease below rounding at a flat point."""
    real = core.real
    f, x, g = cg.real[cg_phase.F], cg.vectors[cg_phase.X], cg.vectors[cg_phase.G]
    if f > real[BEST_F] + real[NOISE] * abs(real[BEST_F]) or not cg.counts[cg_phase.PRECISION]:
        return False
    largest = 0.0
    for i in range(x.size):
        largest = max(largest, abs(g[i] * x[i]))
    if f == 0.0:
        return largest == 0.0
    return largest / abs(f) <= WORKING_PRECISION


@_inner
def _convex_leg(state, address, table, rows, events, pause):
    """Conjugate gradients until they fail, the guard calls them back, or a stop; hands back."""
    core, adam, cg = state.core, state.adam, state.cg
    v, real, counts = core.vectors, core.real, core.counts
    x = cg.vectors[cg_phase.XT]
    why = NO_REASON
    while why == NO_REASON:
        if _full(core, rows, pause):
            return PAUSED
        if not counts[OWN_BEGUN]:
            if not counts[APART]:
                stop = _evaluate(core, address, table, v[counts[BEST]], True)
                if stop != GO:
                    return stop
                _at(core, v[counts[BEST]], real[BEST_F], v[counts[BEST] + 1])
            _own_begin(core, adam, cg, state.pairs)
        code = cg.counts[cg_phase.CODE]
        if code == ITERATION:
            code = cg_next(cg)
        while code != ITERATION and code != FAILED:
            both = code == NEED_G or counts[FUSED] != 0
            mode = cg.counts[cg_phase.MODE]
            stop = _evaluate(core, address, table, x, both)
            if stop != GO:
                return stop
            for turn in range(2):  # a gradient that came with its value is used if it is wanted next
                if turn == 1:
                    same = mode == cg_phase.SEARCHING and mode == cg.counts[cg_phase.MODE]
                    if code != NEED_F or not (both and same and cg.counts[cg_phase.CODE] == NEED_G):
                        continue
                told = cg_tell(cg, real[VALUE_F], v[counts[AT] + 1])
            code = told
        f, x_here, g_here = cg.real[cg_phase.F], cg.vectors[cg_phase.X], cg.vectors[cg_phase.G]
        if code == FAILED:
            why = CG_FAILED
        elif f >= real[POINT_F] and _cost(core) == real[SPENT]:  # for ever, if it may
            why = TO_AND_FRO
        if why != NO_REASON:
            if _working_precision(core, cg):
                _at(core, x_here, f, g_here)
                counts[FINAL] = AT_POINT
                return _WORKING_PRECISION
        else:
            real[SPENT] = _cost(core)
            stop = _iteration(core, state.pairs, rows, x_here, f, g_here)
            if stop != GO:
                return stop
            why = _verdict(core, f)
    return _leave_convex(state, address, table, events, why)


# ---- the way back ------------------------------------------------------------------------------------------


@_inner
def _copy_cg(source, target):
    for row in range(source.vectors.shape[0]):
        copy(source.vectors[row], target.vectors[row])
    for k in range(source.counts[cg_phase.PAIRS]):
        place = (source.counts[cg_phase.HEAD] - 1 - k + source.ring.shape[1]) % source.ring.shape[1]
        copy(source.pairs[0, place], target.pairs[0, place])
        copy(source.pairs[1, place], target.pairs[1, place])
        target.ring[0, place] = source.ring[0, place]
    copy(source.real, target.real)
    copy(source.counts, target.counts)


@_inner
def _leave_convex(state, address, table, events, why):
    """Where a convex leg that ended leads: to the best point with Adam, on Adam's own path, or back."""
    core, adam, d = state.core, state.adam, state.detector
    v, counts, real = core.vectors, core.counts, core.real
    stop = _evaluate(core, address, table, v[counts[BEST]], True)
    if stop != GO:
        return stop
    best = real[BEST_F]
    number = float(state.cg.counts[cg_phase.REASON]) if why == CG_FAILED else state.cg.real[cg_phase.F]
    failed = why in (CG_FAILED, TO_AND_FRO) and not counts[APART]
    back = (
        not failed and counts[APART] != 0 and real[PARKED_F] == real[PARKED_F] and not best < real[PARKED_F]
    )
    stalled = not failed and not back and why == STALLED_OUT
    if back or stalled:
        source, target = (1, 0) if back else (0, 1)
        for k in range(state.pairs.shape[1]):
            copy(state.pairs[source, k, 0], state.pairs[target, k, 0])
            copy(state.pairs[source, k, 1], state.pairs[target, k, 1])
        if back:
            _copy_cg(state.parked, state.cg)
        else:
            _copy_cg(state.cg, state.parked)
    to, cause = (CONVEX if back else ADAM), why
    if failed:
        _new_adam(core, adam, v[counts[BEST]], best, v[counts[BEST] + 1])
        real[FAILED_AT] = best
    elif back:
        # a phase on a long plateau looks stalled too: from now on only a true stall is doubted, ever later
        counts[APART] = 0
        real[PARKED_F] = math.nan
        counts[PAIR_COUNT] = counts[PARKED_COUNT]
        counts[PAIR_HEAD] = counts[PARKED_HEAD]
        if real[STALL_LIMIT] == STALLED:
            real[STALL_SPAN] *= 2.0
        else:
            real[STALL_SPAN] = WHILE
            real[STALL_LIMIT] = STALLED
        why = BACK
    else:
        real[PARKED_F] = math.nan
        if stalled:
            real[PARKED_F] = best
            counts[PARKED_COUNT] = counts[PAIR_COUNT]
            counts[PARKED_HEAD] = counts[PAIR_HEAD]
            real[PATIENCE] = RETURN * _cost(core)
        counts[APART] = 1 if best < adam.real[adam_phase.F] else 0
        real[FAILED_AT] = math.nan
    _swap(core, d, events, to, why, cause, number)
    counts[LEG] = to
    if back:
        cg = state.cg
        _at(core, cg.vectors[cg_phase.X], cg.real[cg_phase.F], cg.vectors[cg_phase.G])
        _guard_begin(core, best, 0.0, math.inf)
        counts[OWN_BEGUN] = 1
        return GO
    _at(core, adam.vectors[adam_phase.X], adam.real[adam_phase.F], adam.vectors[adam_phase.G])
    detecting.rearm(d)
    _course_begin(core, adam.real[adam_phase.F])
    counts[STEPS] = 0
    return GO


# ---- the whole run -----------------------------------------------------------------------------------------


@_inner
def _begin(state, address, table, rows):
    """Evaluate the start, and set up Adam; GO or a stop."""
    core, adam, cg, d = state.core, state.adam, state.cg, state.detector
    v, real, counts = core.vectors, core.real, core.counts
    code = _evaluate(core, address, table, v[counts[POINT]], True)
    if code != GO:
        return code
    f, x, g = real[VALUE_F], v[counts[AT]], v[counts[AT] + 1]
    _at(core, x, f, g)
    if not math.isfinite(f) or not all_finite(g):
        counts[WHY] = BAD_GRADIENT if math.isfinite(f) else BAD_VALUE
        return _NONFINITE
    norm = norm2(g)
    size = norm if counts[TWO_NORM] else norm_inf(g)
    real[GTOL] = max(real[GTOL_ABS], real[GTOL_REL] * size)
    _record(core, rows, norm, 0.0)
    if size <= real[GTOL]:
        counts[FINAL] = AT_POINT
        counts[WHY] = AT_START
        return _CONVERGED
    if real[MAXITER] <= 0:
        return _MAXITER
    detecting.update(d, f, norm)
    if counts[PRECONDITION] == PRE_AUTO:
        metric, sizes = cg.vectors[cg_phase.METRIC], adam.vectors[adam_phase.SIZES]
        for i in range(metric.size):
            metric[i] = 1.0
        copy(metric, sizes)
        copy(x, cg.vectors[cg_phase.X])
        copy(g, cg.vectors[cg_phase.G])
        if cg_typical(cg):
            counts[SIZED] = 1
            for i in range(metric.size):
                sizes[i] = math.sqrt(metric[i])
            copy(sizes, v[SIZES])
    _new_adam(core, adam, x, f, g)
    _course_begin(core, f)
    counts[LEG] = ADAM
    counts[BEGUN] = 1
    return GO


@_inner
def _reset(state, x0):
    """Make the state ready for a run from x0; limits and settings stay."""
    core, d = state.core, state.detector
    real, counts = core.real, core.counts
    for i in range(FUSED):
        counts[i] = 0
    copy(x0, core.vectors[counts[POINT]])
    real[FAILED_AT] = math.nan
    real[PARKED_F] = math.nan
    real[PATIENCE] = FIRST_PATIENCE
    real[STALL_SPAN] = SOON_WHILE
    real[STALL_LIMIT] = SOONEST
    real[SPENT] = -1.0
    _guard_begin(core, 0.0, 0.0, math.inf)
    detecting.reset(d)


@_inner
def _final(core, x, g):
    """Copy what the run returns into x and g (NaN where the gradient is not known); answers f."""
    v, real, counts = core.vectors, core.real, core.counts
    row, f, known = counts[POINT], math.nan, counts[FINAL] == AT_POINT
    if known:
        f = real[POINT_F]
    elif counts[FINAL] == AT_BAD:
        row, f = BAD_X, real[BAD_F]
    elif counts[BEST_KNOWN]:
        row, f, known = counts[BEST], real[BEST_F], counts[HAS_G + counts[BEST] // 2] != 0
    copy(v[row], x)
    if known:
        copy(v[row + 1], g)
    else:
        for i in range(g.size):
            g[i] = math.nan
    return f


@jit
def solve(state, address, table, x0s, x, jac, fun, numbers, rows, events, pause):
    """Solve one problem per row of ``x0s``, one after the other.

    A state that records its history takes a single row and is re-entrant: it comes back with PAUSED after a
    number of evaluations, or when there is no space left, and goes on when it is called again.

    Parameters
    ----------
    state : EngineState
        From `engine.new_state`: scratch, and the settings.
    address : int
        Of the objective (`Compiled`).
    table : ndarray of int64, shape (m, width)
        Its further arguments.
    x0s : ndarray, shape (m, n)
        Starts.
    x, jac : ndarray, shape (m, n)
        What is returned as the best points, and the gradients there (NaN where not known); written.
    fun : ndarray, shape (m,)
        Values there; written.
    numbers : ndarray of int64, shape (m, 6)
        Status (or PAUSED), nit, nfev, njev, cause, and 1 where the row is finished; written.
    rows : ndarray of float64, shape (capacity, 8)
        The history: iteration, nfev, njev, cost, leg (-1 at x0), f, norm of the gradient, step.
    events : ndarray of float64, shape (capacity, 16)
        The handovers.
    pause : float
        Evaluations (values and gradients) after which to come back.
    """
    core = state.core
    counts = core.counts
    for i in range(x0s.shape[0]):
        if core.stop[0] != 0:
            return
        if counts[BEGUN] == 0 or counts[RECORD] == 0:
            _reset(state, x0s[i])
        status = GO
        if counts[BEGUN] == 0:
            status = _begin(state, address, table[i], rows)
        while status == GO:
            if counts[RECORD] != 0 and counts[EVENTS] >= events.shape[0]:
                status = PAUSED
            elif counts[LEG] == ADAM:
                status = _adam_leg(state, address, table[i], rows, events, pause)
            else:
                status = _convex_leg(state, address, table[i], rows, events, pause)
        if status == PAUSED and core.stop[0] != 0:
            status = _INTERRUPTED
        fun[i] = _final(core, x[i], jac[i])
        numbers[i, 0] = status
        numbers[i, 1] = counts[NIT]
        numbers[i, 2] = counts[NFEV]
        numbers[i, 3] = counts[NJEV]
        numbers[i, 4] = counts[WHY]
        numbers[i, 5] = 1
