"""The loop of a run in compiled code, for compiled objectives: one problem or many.

It calls the objective by its address (`objective.compiled`), keeps the evaluated points, and carries out the
decisions of the state machine (`machine`). For the same options it visits the same points as the loop in
Python, up to rounding. `solve` is re-entrant between iterations; the whole run is in a `state.State`.
`solve` is compiled for the type of the convex phase's state (`phases.compiled`).
"""

from __future__ import annotations

import math

from twophase_min._status import Cause, Status
from twophase_min.jit.compilation import jit
from twophase_min.jit.kernels import all_finite, copy, norm_inf
from twophase_min.phases import FAILED, ITERATION, METRIC, NEED_F, NEED_G, NEED_NOISE, XT, G, P, X
from twophase_min.phases import adam_kernels as adam_phase
from twophase_min.phases import compiled as phase
from twophase_min.phases.adam_kernels import adam_next, adam_scales, adam_tell
from twophase_min.phases.metric import power_of_two_in_kernels
from twophase_min.run import detecting, exactness, hollow, machine
from twophase_min.run.iterates import accept, end_is_taken_back, is_due, new_adam, note, record
from twophase_min.run.points import cost_of, evaluate, move, noise_at, norm_of, relative_gradient, size_of
from twophase_min.run.state import (
    ADAM,
    BACK_TO_ADAM,
    BAD_POINT,
    BAD_X,
    BEGIN_CONVEX,
    DIAGONAL,
    ITERATE,
    MOMENTS,
    NEW_ADAM,
    PAIRS,
    REDUCED,
    RESUME_CONVEX,
    SIZES,
    STOP,
    UNSOUND_X,
)

PAUSED = -1
"""Status of a run that has come back between two iterations; it goes on when `solve` is called again."""

UNSCALED, FROM_ADAM, AUTOMATIC = 0, 1, 2
"""Changes of variables of the convex phase, in MEMO.precondition."""

# as numbers, for variables that hold one or another
_NONE, _ADAM_FAILED, _SEARCH_FAILED = int(Cause.NONE), int(Cause.ADAM_FAILED), int(Cause.SEARCH_FAILED)
_TO_AND_FRO, _HOLLOW, _ABOVE = int(Cause.TO_AND_FRO), int(Cause.HOLLOW), int(Cause.ABOVE)
_INTERRUPTED = int(Status.INTERRUPTED)

_inner = jit(no_cpython_wrapper=True)


# ---- Adam --------------------------------------------------------------------------------------------------


@_inner
def _adam_iteration(state, address, table, rows):
    """One iteration of Adam: ITERATION, FAILED, or 0 where the run has ended."""
    adam, vectors = state.adam.slot[0], state.adam.vectors
    memo = state.memo[0]
    if adam.code == ITERATION:
        adam_next(state.adam)
    code = adam.code
    while code != ITERATION and code != FAILED:
        both = code != NEED_F or memo.fused != 0
        if not evaluate(state, address, table, vectors[adam_phase.XT], both):
            return 0
        code = adam_tell(state.adam, memo.value, state.vectors[memo.at + 1])
    if code == ITERATION:
        accept(state, address, table, rows, vectors[X], adam.f, vectors[G])
    return code


@_inner
def _adam_run(state, address, table, rows, events, pause):
    """Adam until the detector sees the swap, the guard wants a trial, or Adam fails; hands over."""
    loop, memo, adam = state.loop[0], state.memo[0], state.adam.slot[0]
    cause = _NONE
    while cause == _NONE:
        if is_due(state, rows, events, pause):
            return False
        code = _adam_iteration(state, address, table, rows)
        if loop.next == STOP:
            return True
        if code == FAILED:
            cause = _ADAM_FAILED
            break
        norm = norm_of(state, state.adam.vectors[X], state.adam.vectors[G])
        decided = detecting.update(state.detector, adam.f, norm)
        cause = machine.after_adam(state.loop, adam.f, decided)
    only_x0 = memo.bad_known != 0 and memo.elsewhere == 0
    only_lower = memo.unsound != 0 and memo.unsound_f < loop.best_f
    cost, nfev = cost_of(memo), float(memo.nfev)
    machine.handover(state.loop, cause, nfev, cost, cost, loop.best_f, adam.f, only_x0, only_lower)
    note(state, events, adam.reason, math.nan)
    if loop.next != BEGIN_CONVEX:
        return True
    memo.convex_begun = 0
    machine.enter(state.loop, adam.f)
    # a rule that looks back is asked for its reason while its window is as it was
    return cause != Cause.DETECTED or memo.recorded == 0 or state.detector.ring.shape[1] == 0


# ---- the convex phase --------------------------------------------------------------------------------------


@_inner
def _metric(state):
    """Write the squared change of variables of the convex phase; whether there is one."""
    if state.convex.vectors.shape[0] <= METRIC:
        return False
    memo, adam, metric = state.memo[0], state.adam.slot[0], state.convex.vectors[METRIC]
    kind, t = memo.precondition, adam.t
    for i in range(metric.size):
        metric[i] = 1.0
    if (kind == FROM_ADAM and t >= 1) or (kind == AUTOMATIC and t >= MOMENTS):
        out = state.vectors[DIAGONAL]
        adam_scales(state.adam, out)
        largest = norm_inf(out)
        if not 0.0 < largest < math.inf:
            return False
        unit = power_of_two_in_kernels(largest)  # the root of what is taken
        for i in range(metric.size):
            d = 1.0 / math.sqrt(max(out[i], 1e-6 * largest) / unit)
            metric[i] = d * d
        return True
    if kind != UNSCALED and memo.sized != 0:
        for i in range(metric.size):
            metric[i] = state.vectors[SIZES, i] * state.vectors[SIZES, i]
        return True
    return False


@_inner
def _begin_convex(state):
    """Start the convex phase at the current point, with what is known of the curvature."""
    loop, memo, v = state.loop[0], state.memo[0], state.vectors
    adam = state.adam.slot[0]
    scaled = _metric(state)
    first = 0.0
    if adam.curvature > 0.0:
        first = norm_of(state, v[memo.point], v[memo.point + 1]) / adam.curvature
    elif loop.bend > 0.0:
        first = norm_of(state, v[memo.point], v[memo.point + 1]) / loop.bend
    elif adam.t > 0:
        first = adam.rate * math.sqrt(float(v.shape[1]))
    state.convex.slot[0].noise = exactness.noise(state.loop)
    phase.start(state.convex, v[memo.point], loop.f, v[memo.point + 1], first)
    if not scaled and memo.typical:
        phase.use_sizes(state.convex)
    if memo.keep_pairs:
        oldest = memo.head - memo.pairs + PAIRS
        for k in range(memo.pairs):
            pair = state.pairs[0, (oldest + k) % PAIRS]
            phase.add_pair(state.convex, pair[0], pair[1])
    memo.convex_begun = 1


@_inner
def _convex_iteration(state, address, table):
    """One iteration of the convex phase: ITERATION, FAILED, or 0 where the run has ended."""
    convex, memo, v = state.convex.slot[0], state.memo[0], state.convex.vectors
    code = convex.code
    if code == ITERATION:
        code = phase.next_trial(state.convex)
    while code != ITERATION and code != FAILED:
        if code == NEED_NOISE:
            if not noise_at(state, address, table, v[X], convex.f, v[P]):
                return 0
            code = phase.tell(state.convex, exactness.noise(state.loop), state.convex.vectors[G])
            continue
        both = code == NEED_G or memo.fused != 0
        if not evaluate(state, address, table, state.convex.vectors[XT], both):
            return 0
        code = phase.tell_both(state.convex, memo.value, state.vectors[memo.at + 1], both and code == NEED_F)
    return code


@_inner
def _convex_run(state, address, table, rows, events, pause):
    """Run the convex phase until it fails or the guard ends it, and carry out what follows."""
    loop, memo, v = state.loop[0], state.memo[0], state.vectors
    convex, vectors = state.convex.slot[0], state.convex.vectors
    cause = _NONE
    while cause == _NONE:
        if is_due(state, rows, events, pause):
            return False
        if not memo.convex_begun:
            if not loop.off_incumbent:
                if not evaluate(state, address, table, v[memo.best], True):
                    return True
                g = v[memo.best + 1]
                norm = norm_of(state, v[memo.best], g)
                if size_of(state, v[memo.best], g, norm) <= loop.gtol:  # met, but not an iterate
                    copy(v[memo.best], vectors[X])
                    copy(g, vectors[G])
                    accept(state, address, table, rows, vectors[X], loop.best_f, vectors[G])
                    if loop.next == STOP:
                        return True
                move(state, v[memo.best], loop.best_f, v[memo.best + 1])
            _begin_convex(state)
        code = _convex_iteration(state, address, table)
        if loop.next == STOP:
            return True
        if code == FAILED:
            cause = _SEARCH_FAILED
        elif machine.stands_still(state.loop, convex.f, cost_of(memo)):
            cause = _TO_AND_FRO
        if cause != _NONE:
            precise = convex.precision != 0
            norm_of(state, vectors[X], vectors[G])
            bounded = v.shape[0] > REDUCED
            relative = relative_gradient(vectors[X], convex.f, v[REDUCED] if bounded else vectors[G])
            machine.search_failed(state.loop, convex.f, loop.best_f, precise, relative, convex.promise)
            if loop.next == STOP:
                move(state, vectors[X], convex.f, vectors[G])
                return True
        else:
            accept(state, address, table, rows, vectors[X], convex.f, vectors[G])
            if loop.next == STOP:
                return True
            if hollow.seems_hollow(state.loop, convex.f, convex.predicted):
                if not noise_at(state, address, table, vectors[X], convex.f, vectors[P]):
                    return True
                convex.noise = exactness.noise(state.loop)
                if hollow.is_hollow(state.loop, convex.f, convex.predicted):
                    cause = _HOLLOW
            if cause == _NONE and machine.within_noise(state.loop, convex.promise, loop.size):
                cause = _ABOVE
            if loop.next == STOP:
                return True
            if cause == _NONE:
                cause = machine.after_convex(state.loop, convex.f, loop.size)
    if evaluate(state, address, table, v[memo.best], True):
        _leave_convex(state, events, cause)
    return True


@_inner
def _keep_pairs(state, source, target):
    for k in range(state.pairs.shape[1]):
        copy(state.pairs[source, k, 0], state.pairs[target, k, 0])
        copy(state.pairs[source, k, 1], state.pairs[target, k, 1])


@_inner
def _leave_convex(state, events, cause):
    """Do what the machine answers to a convex phase that is left; the best point has its gradient."""
    loop, memo, v = state.loop[0], state.memo[0], state.vectors
    adam, convex = state.adam.slot[0], state.convex.slot[0]
    cost = cost_of(memo)
    machine.leave(state.loop, cause, float(memo.nfev), cost, cost, loop.best_f, adam.f)
    following, reason, phase_f = loop.next, convex.reason, convex.f
    if following == NEW_ADAM:
        new_adam(state, v[memo.best], loop.best_f, v[memo.best + 1])
    elif following == BACK_TO_ADAM and cause == Cause.STALLED:
        _keep_pairs(state, 0, 1)
        memo.suspended_pairs = memo.pairs
        memo.suspended_head = memo.head
        phase.copy_state(state.convex, state.suspended)
    note(state, events, reason, phase_f)
    machine.enter(state.loop, adam.f)
    if following == RESUME_CONVEX:
        _keep_pairs(state, 1, 0)
        memo.pairs = memo.suspended_pairs
        memo.head = memo.suspended_head
        phase.copy_state(state.suspended, state.convex)
        move(state, state.convex.vectors[X], convex.f, state.convex.vectors[G])
        memo.convex_begun = 1
        return
    move(state, state.adam.vectors[X], adam.f, state.adam.vectors[G])
    detecting.rearm(state.detector)


# ---- the whole run -----------------------------------------------------------------------------------------


@_inner
def _begin(state, address, table, rows, events):
    """Evaluate the start, and set up the phases."""
    loop, memo, v = state.loop[0], state.memo[0], state.vectors
    if not evaluate(state, address, table, v[memo.point], True):
        return
    f, x, g = memo.value, v[memo.at], v[memo.at + 1]
    move(state, x, f, g)
    norm, finite = norm_of(state, x, g), all_finite(g)
    size = size_of(state, x, g, norm)
    loop.gtol = max(memo.gtol, memo.gtol_rel * size)
    cost = cost_of(memo)
    machine.begin(state.loop, float(memo.nfev), cost, cost, f, norm, size, finite)
    if math.isfinite(f) and finite:
        record(loop, memo, rows, -1, norm, 0.0)
    if loop.next == STOP:
        return
    detecting.update(state.detector, f, norm)
    if memo.precondition == AUTOMATIC:
        _typical_sizes(state, x, g)
    new_adam(state, x, f, g)
    if loop.next == BEGIN_CONVEX:
        note(state, events, 0, math.nan)
        memo.convex_begun = 0
        machine.enter(state.loop, f)


@_inner
def _typical_sizes(state, x, g):
    """Find typical sizes of the variables, where x0 and its gradient show them."""
    memo, metric, sizes = state.memo[0], state.convex.vectors[METRIC], state.adam.vectors[adam_phase.SIZES]
    for i in range(metric.size):
        metric[i] = 1.0
    copy(metric, sizes)
    copy(x, state.convex.vectors[X])
    copy(g, state.convex.vectors[G])
    if phase.use_sizes(state.convex):
        memo.sized = 1
        for i in range(metric.size):
            sizes[i] = math.sqrt(metric[i])
        copy(sizes, state.vectors[SIZES])


@_inner
def _reset(state, x0):
    """Make the state ready for a run from x0, as it was when it was new."""
    state.loop[0] = state.fresh_loop[0]
    state.memo[0] = state.fresh_memo[0]
    copy(x0, state.vectors[state.memo[0].point])
    detecting.reset(state.detector)


@_inner
def _final(state, x, g):
    """Copy what the run returns into x and g (NaN where the gradient is not known); answers f."""
    loop, memo, v = state.loop[0], state.memo[0], state.vectors
    row, f, known = memo.point, math.nan, loop.final == ITERATE
    if known:
        f = loop.f
    elif loop.final == BAD_POINT:
        row, f = BAD_X, memo.bad_f
    elif memo.unsound != 0 and memo.unsound_f < loop.best_f:
        row, f = UNSOUND_X, memo.unsound_f
    elif memo.best_known:
        row, f, known = memo.best, loop.best_f, memo.has_gradient[memo.best // 2] != 0
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
    state : State
        From `engine.new_state`: scratch, and the settings.
    address : int
        Of the objective (`objective.compiled.Compiled`).
    table : ndarray of int64, shape (m, width)
        Its further arguments.
    x0s : ndarray, shape (m, n)
        Starts.
    x, jac : ndarray, shape (m, n)
        What is returned as the best points, and the gradients there (NaN where not known); written.
    fun : ndarray, shape (m,)
        Values there; written.
    numbers : ndarray of int64, shape (m, 5)
        Status (or PAUSED), nit, nfev, njev, and 1 where the row is finished; written.
    rows : ndarray of float64, shape (capacity, 8)
        The history: iteration, nfev, njev, cost, phase (-1 at x0), f, norm of the gradient, step.
    events : slots of EVENT, shape (capacity,)
        The handovers.
    pause : float
        Evaluations (values and gradients) after which to come back.
    """
    loop, memo = state.loop[0], state.memo[0]
    for i in range(x0s.shape[0]):
        if state.stop[0] != 0:
            return
        if loop.begun == 0 or memo.recorded == 0:
            _reset(state, x0s[i])
            _begin(state, address, table[i], rows, events)
        going = True
        while going and loop.next != STOP:
            if loop.phase == ADAM:
                going = _adam_run(state, address, table[i], rows, events, pause)
            else:
                going = _convex_run(state, address, table[i], rows, events, pause)
            if loop.next == STOP:
                end_is_taken_back(state, address, table[i], x0s[i], events)
        status = loop.status if loop.next == STOP else PAUSED
        if status == PAUSED and state.stop[0] != 0:
            status = _INTERRUPTED
        fun[i] = _final(state, x[i], jac[i])
        numbers[i, 0] = status
        numbers[i, 1] = loop.nit
        numbers[i, 2] = memo.nfev
        numbers[i, 3] = memo.njev
        numbers[i, 4] = 1
