"""The points that the compiled loop has evaluated: no point twice, each written once.

Rows of ``State.vectors`` hold up to four of them, each with its gradient below it. `MEMO` says which is the
iterate, which the best, which the lowest with a finite gradient, and which the one evaluated last.
"""

from __future__ import annotations

import math

from twophase_min._status import Cause, Status
from twophase_min.jit.compilation import jit
from twophase_min.jit.kernels import all_finite, copy, norm2, norm_inf, out_of_line
from twophase_min.objective.compiled import DONE, GRADIENT, VALUE, call
from twophase_min.phases import adam_kernels as adam_phase
from twophase_min.phases import box
from twophase_min.run import exactness, machine, noise, plateau, saddle
from twophase_min.run.state import (
    BAD_X,
    BEST_POINT,
    HANDED,
    ITERATE,
    LOWER,
    REDUCED,
    TIME_IS_UP,
    UNSOUND_X,
    UPPER,
)

_inner = jit(no_cpython_wrapper=True)


@_inner
def _same(a, b):
    out_of_line()
    for i in range(a.size):  # noqa: SIM110
        if a[i] != b[i]:
            return False
    return True


@_inner
def _free_row(memo):
    """Row for a new point: not that of the iterate, nor of the best one, nor of the one behind it."""
    row = 0
    while row == memo.point or _is_kept(memo, row):
        row += 2
    return row


@_inner
def _is_kept(memo, row):
    """Whether a row holds the best point, or the lowest with a finite gradient."""
    return (memo.best_known != 0 and row == memo.best) or (memo.sound_known != 0 and row == memo.sound)


@_inner
def _judge(state, loop, memo, row, f):
    """Look at the gradient in a row: a point of finite value without a finite one cannot be the best."""
    g = state.vectors[row + 1]
    if not math.isfinite(f):
        return
    if all_finite(g):
        if memo.sound_known == 0 or f < memo.sound_f:
            memo.sound = row
            memo.sound_f = f
            memo.sound_known = 1
        return
    if memo.unsound == 0:
        i = 0
        while math.isfinite(g[i]):
            i += 1
        memo.unsound_entry = i
    if memo.unsound == 0 or f < memo.unsound_f:
        memo.unsound_f = f
        copy(state.vectors[row], state.vectors[UNSOUND_X])
    memo.unsound += 1
    if memo.best == row and memo.sound_known != 0:
        memo.best = memo.sound
        loop.best_f = memo.sound_f


@_inner
def _remember(state, loop, memo, row, f):
    """Note the point in this row as the last, and as the best where it is."""
    best = loop.best_f
    if memo.best_known == 0 or f < best or (best != best and f == f):
        loop.best_f = f
        memo.best = row
        memo.best_known = 1
    memo.last_f = f
    memo.last = row
    memo.last_known = 1
    if not math.isfinite(f):
        memo.bad_f = f
        memo.bad_known = 1
        copy(state.vectors[row], state.vectors[BAD_X])
    elif loop.begun:
        memo.elsewhere = 1


@_inner
def _ask(state, address, table, x, row, want):
    """Call the objective at x, its gradient into the row below ``row``; whether it has answered."""
    v = state.vectors
    copy(x, v[HANDED])
    if call(address, v[HANDED], state.answer, v[row + 1], table, want) == DONE:
        return True
    copy(x, v[HANDED])
    machine.stop(state.loop[0], Status.EXCEPTION, Cause.NONE, BEST_POINT)
    return False


@_inner
def evaluate(state, address, table, x, gradient):
    """Evaluate at x, with the gradient if it is wanted; whether the run may go on.

    The value is left in ``memo.value``, and the point in row ``memo.at``, with its gradient below it. The
    last and the best point are not evaluated twice. The user's function gets a copy of x.
    """
    loop, memo, v = state.loop[0], state.memo[0], state.vectors
    at_last = memo.last_known != 0 and _same(v[memo.last], x)
    known = at_last or (memo.best_known != 0 and _same(v[memo.best], x))
    f = memo.last_f if at_last else loop.best_f
    row = memo.last if at_last else memo.best
    if not known:
        row = _free_row(memo)
    elif memo.has_gradient[row // 2] != 0:
        gradient = False
    fused = memo.fused != 0
    if not known and state.stop[0] == TIME_IS_UP:
        machine.stop(loop, Status.MAXTIME, Cause.NONE, BEST_POINT)
        return False
    for turn in range(2):
        if (turn == 0 and known) or (turn == 1 and not gradient):
            continue
        want = VALUE + GRADIENT if fused else (VALUE if turn == 0 else GRADIENT)
        if want != GRADIENT:
            if memo.nfev + 1 > loop.maxfun:
                machine.stop(loop, Status.MAXFUN, Cause.NONE, BEST_POINT)
                return False
            memo.nfev += 1
        if want != VALUE:
            memo.njev += 1
        if not _ask(state, address, table, x, row, want):
            return False
        if want != GRADIENT:
            f = state.answer[0]
        if turn == 0:
            copy(x, v[row])
        memo.has_gradient[row // 2] = 1 if want != VALUE else 0
        _remember(state, loop, memo, row, f)
        if want != VALUE:
            _judge(state, loop, memo, row, f)
        if fused:
            gradient = False
        if turn == 0 and (f == -math.inf or f <= memo.f_target):
            status = Status.UNBOUNDED if f == -math.inf else Status.TARGET
            machine.stop(loop, status, Cause.NONE, BEST_POINT)
            return False
    memo.value = f
    memo.at = row
    return True


@_inner
def gradient_alone(state, address, table, x):
    """Evaluate the gradient at x, without the value where that is a call of its own, not to be remembered.

    Answers whether the run may go on. The gradient is left in the row below ``memo.at``.
    """
    memo = state.memo[0]
    if memo.fused != 0:
        return evaluate(state, address, table, x, True)
    if state.stop[0] == TIME_IS_UP:
        machine.stop(state.loop[0], Status.MAXTIME, Cause.NONE, BEST_POINT)
        return False
    row = _free_row(memo)
    if row == memo.last:
        memo.last_known = 0
    memo.at = row
    memo.njev += 1
    return _ask(state, address, table, x, row, GRADIENT)


@_inner
def norm_of(state, x, g):
    """Euclidean norm of the gradient at x; within bounds of the projected one, which is left in REDUCED."""
    v = state.vectors
    if v.shape[0] <= LOWER:
        return norm2(g)
    box.reduce(x, g, v[LOWER], v[UPPER], v[REDUCED])
    return norm2(v[REDUCED])


@_inner
def size_of(state, x, g, norm):
    """Norm that the convergence test reads, of a gradient at x whose `norm_of` is known."""
    if state.memo[0].two_norm:
        return norm
    v = state.vectors
    if v.shape[0] <= LOWER:
        return norm_inf(g)
    box.reduce(x, g, v[LOWER], v[UPPER], v[REDUCED])
    return norm_inf(v[REDUCED])


@_inner
def cost_of(memo):
    """Values and gradients asked for."""
    return float(memo.nfev + memo.njev)


@_inner
def noise_at(state, address, table, x, f, u, need=0.0):
    """Measure the noise of f at x along u where that is due (`noise.measure`); whether the run may go on.

    A difference of values below ``need`` does not matter to the caller. The trials stand in Adam's, which
    holds nothing between two iterations.
    """
    memo, trial, cost = state.memo[0], state.adam.vectors[adam_phase.XT], cost_of(state.memo[0])
    if not exactness.noise_is_due(state.loop, cost, f):
        return True
    values, work = state.answer[1 : 1 + noise.POINTS], state.answer[1 + noise.POINTS :]
    h, low, high, found = noise.first_distance(x, u), 0.0, math.inf, 0.0
    least = need / exactness.DEVIATIONS
    spent = 0
    v = state.vectors
    bounded = v.shape[0] > LOWER
    while spent + noise.POINTS - 1 <= noise.BUDGET and h > 0.0 and not noise.is_vain(low, f, least):
        if bounded and not noise.within_bounds(x, u, h, v[LOWER], v[UPPER], v[REDUCED]):
            break
        verdict, tied, whole = noise.TOO_SHORT, False, True
        values[noise.MIDDLE] = f
        for turn in range(noise.POINTS - 1):
            k = noise.place(turn, tied)
            for i in range(x.size):
                trial[i] = x[i] + (k - noise.MIDDLE) * h * (v[REDUCED, i] if bounded else u[i])
            if not evaluate(state, address, table, trial, False):
                return False
            values[k] = memo.value
            spent += 1
            if not math.isfinite(values[k]):
                exactness.note_noise(state.loop, 0.0, cost_of(memo), f)
                return True
            if turn == 0:
                tied = values[k] == f
            elif turn == 1 and tied and values[k] == f:
                whole = False
                break
        if whole:
            found, verdict = noise.estimate(values, work)
        if verdict == noise.FOUND and low > 0.0 and f != 0.0 and found > noise.FEW * abs(f):
            found = 0.0
            break
        if verdict == noise.FOUND and (found > 0.0 or low == 0.0):
            break
        found = 0.0
        h, low, high = noise.next_distance(h, verdict, low, high)
    exactness.note_noise(state.loop, found, cost_of(memo), f)
    return True


@_inner
def look_back(state, address, table, before):
    """Look for a lower point on the way back from one that converges all at once; see `plateau`.

    Answers whether the run may go on. The trials stand where those of a measurement of noise do.
    """
    loop, memo, v = state.loop[0], state.memo[0], state.vectors
    x, trial = v[memo.point], state.adam.vectors[adam_phase.XT]
    near, far = 1.0, 0.0
    for _ in range(plateau.LOOKS):
        share = 0.5 * (near + far)
        for i in range(x.size):
            trial[i] = before[i] + share * (x[i] - before[i])
        if not evaluate(state, address, table, trial, memo.fused != 0):
            return False
        near, far = plateau.narrow(state.loop, memo.value, near, far)
        if near == far:
            break
    if not evaluate(state, address, table, v[memo.best], True):
        return False
    if loop.best_f < loop.f - exactness.exactness(state.loop, loop.f):
        loop.aside = Cause.PLATEAU
        loop.bend = norm2(v[memo.best + 1]) / distance(v[memo.best], before)
    return True


@_inner
def move(state, x, f, g):
    """Make this the current point: in the row where it is remembered, or in one of its own."""
    loop, memo, v = state.loop[0], state.memo[0], state.vectors
    last, best = memo.last_known != 0, memo.best_known != 0
    if last and memo.has_gradient[memo.last // 2] != 0 and _same(v[memo.last], x):
        row = memo.last
    elif best and memo.has_gradient[memo.best // 2] != 0 and _same(v[memo.best], x):
        row = memo.best
    else:
        row = 0
        while (last and row == memo.last) or _is_kept(memo, row):
            row += 2
        copy(x, v[row])
        copy(g, v[row + 1])
        memo.has_gradient[row // 2] = 1
    memo.point = row
    loop.f = f
    loop.norm = math.nan


@_inner
def distance(a, b):
    """Euclidean distance."""
    square = 0.0
    for i in range(a.size):
        d = a[i] - b[i]
        square += d * d
    return math.sqrt(square)


@_inner
def relative_gradient(x, f, g):
    """max_i |g_i x_i| / |f|, see `result.relative_gradient`; g is the projected gradient within bounds."""
    largest = 0.0
    for i in range(x.size):
        largest = max(largest, abs(g[i] * x[i]))
    if f == 0.0:
        return 1.0 if largest > 0.0 else 0.0
    return largest / abs(f)


@_inner
def look_beside(state, address, table, x0):
    """Look for a lower point across what a run from a symmetric start has seen; see `saddle`.

    The trials stand where those of a measurement of noise do.
    """
    loop, memo, v = state.loop[0], state.memo[0], state.vectors
    trial, order, beside = state.adam.vectors[adam_phase.XT], state.order, state.beside
    if loop.final != ITERATE:
        if not evaluate(state, address, table, v[memo.best], True):
            return
        move(state, v[memo.best], loop.best_f, v[memo.best + 1])
    f, x, g = loop.f, v[memo.point], v[memo.point + 1]
    lower, upper = x[:0], x[:0]
    if v.shape[0] > LOWER:
        lower, upper = v[LOWER], v[UPPER]
    if not saddle.shows(x0, x, loop.rounding, order[saddle.ORDER]):
        return
    error, left, h, verdict = exactness.exactness(state.loop, f), saddle.allowed(loop.work), 0.0, 0
    for sign in (saddle.ZERO, saddle.ALIKE):
        h = saddle.across(sign, x0, x, loop.rounding, lower, upper, order, beside)
        turn, verdict = 0, saddle.MORE if h > 0.0 else saddle.MINIMUM
        while verdict == saddle.MORE and left > 0:
            saddle.place(x, beside, saddle.V if turn > 0 else saddle.U, h, lower, upper, trial)
            if not gradient_alone(state, address, table, trial):
                return
            verdict = saddle.tell(g, v[memo.at + 1], h, error, turn, order, beside)
            turn, left = turn + 1, left - 1
        if verdict == saddle.SADDLE:
            break
    if verdict != saddle.SADDLE:
        return
    t, least = saddle.FURTHER * h, f
    for _ in range(saddle.VALUES):
        saddle.place(x, beside, saddle.U, t, lower, upper, trial)
        if not evaluate(state, address, table, trial, memo.fused != 0):
            return
        if not memo.value < least:
            break
        t, least = saddle.FURTHER * t, memo.value
    if evaluate(state, address, table, v[memo.best], True) and loop.best_f < f - error:
        loop.escapes += 1
        loop.aside = Cause.SADDLE
        loop.bend = norm2(v[memo.best + 1]) / distance(v[memo.best], x)
