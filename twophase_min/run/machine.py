"""The decisions of a run, each written once: kernels over the record `state.LOOP`.

Both loops call them, the one in Python (`driver`) and the compiled one (`compiled`), and do what they
answer. `begin` takes the start. `accept` is the only way to a new iterate, for every phase, SciPy's methods
included; it sets the stops that an iterate can cause. `after_adam` and `after_convex` show an iterate to the
guard. `handover` and `leave` lead from Adam to the convex phase, and from there to what follows.

The answer is in ``loop.next``: GO_ON, BEGIN_CONVEX, NEXT_FALLBACK, NEW_ADAM (at the best point), BACK_TO_ADAM
(on its own path), RESUME_CONVEX (the suspended phase, as if it had not been left), or STOP, with
``loop.status``, ``loop.cause`` and ``loop.final``.
"""

from __future__ import annotations

import functools
import math
from types import SimpleNamespace
from typing import Any

from twophase_min._status import Cause, Status
from twophase_min.jit.compilation import jit, prepare, register
from twophase_min.run import guard as _guard
from twophase_min.run.event import note_event
from twophase_min.run.exactness import exactness, measured_noise, noise, noise_is_due, noise_of, note_noise
from twophase_min.run.hollow import HOLLOW_ENDS, is_hollow, seems_hollow
from twophase_min.run.plateau import is_sudden, narrow
from twophase_min.run.singular import GROWN
from twophase_min.run.state import (
    ABOVE_BEST,
    ADAM,
    ALL_AT_ONCE,
    BACK_TO_ADAM,
    BAD_POINT,
    BEGIN_CONVEX,
    BEST_POINT,
    CONVEX,
    EVENT,
    GO_ON,
    ITERATE,
    LOOP,
    NEW_ADAM,
    NEXT_FALLBACK,
    RESUME_CONVEX,
    STOP,
)

FLAT, NEARLY_FLAT = 2.0, 200.0
"""Relative gradients at which a search without a decrease has converged to working precision, in roots of the
relative rounding of f; the second where the last direction promised less than that rounding."""

NEAR = 1e-9
"""Share of the decrease so far below which a lower value nearby counts as reached."""
PATIENCE = 10
"""Iterations in a row within the noise, without a smaller gradient, that end a run."""
BARREN = 2
"""Times that all methods may fail again without an iteration in between, though lower values were met."""

_inner = jit(no_cpython_wrapper=True)


@_inner
def stop(loop, status, cause, final):
    """End the run."""
    loop.next = STOP
    loop.status = status
    loop.cause = cause
    loop.final = final


@_inner
def reported(loop, nfev, cost, work, best_f):
    """Take what the loop knows of the objective: `LOOP`'s members of these names."""
    loop.nfev = nfev
    loop.cost = cost
    loop.work = work
    loop.best_f = best_f


@jit
def begin(slot, nfev, cost, work, f, norm, size, finite):
    """Take the start, with the size of its gradient in the norm of the convergence test.

    Where nothing else is asked for, the convex phase makes the first step: where it converges soon, a step of
    Adam before would only add to its evaluations, and where it does not, the guard gives Adam its turn.

    ``finite`` says whether the gradient is. The caller has set the limits and ``loop.gtol``.
    """
    loop = slot[0]
    reported(loop, nfev, cost, work, f)
    loop.f = f
    loop.start_f = f
    loop.start_size = size
    loop.norm = norm
    loop.size = size
    loop.patience = loop.guard.first_patience
    loop.look = loop.guard.first_look
    loop.goal = max(loop.gtol, loop.rounding * size)
    loop.next = GO_ON
    if not math.isfinite(f):
        stop(loop, Status.NONFINITE, Cause.BAD_VALUE, BEST_POINT)
    elif not finite:
        stop(loop, Status.NONFINITE, Cause.BAD_GRADIENT, BEST_POINT)
    elif size <= loop.gtol:
        stop(loop, Status.CONVERGED, Cause.AT_START, ITERATE)
    elif loop.maxiter <= 0:
        stop(loop, Status.MAXITER, Cause.NONE, BEST_POINT)
    else:
        loop.phase = ADAM
        _guard.begin_adam(loop, f)
        loop.begun = 1
        if loop.automatic and not loop.sampled and loop.max_swaps >= 1:
            loop.swaps = 1
            _guard.begin_trial(loop, f, math.inf)
            loop.cause = Cause.FIRST
            loop.behind = Cause.FIRST
            loop.next = BEGIN_CONVEX


@jit
def passes(slot, best_f, f, size, distance):
    """Whether a gradient passes the test of convergence, at the best point up to what the test can see.

    A neighbour at distance d whose value is lower by less than ``gtol * d`` is as good by the caller's
    tolerance. (A gradient by differences can pass here and fail there.)

    Parameters
    ----------
    slot : slot of LOOP
        Read only.
    best_f, f, size : float
        Least value so far; value here, and the norm of the gradient that the test reads.
    distance : float
        From the best point; looked at only where ``size`` passes and f is not the least value.
    """
    loop = slot[0]
    near = min(loop.gtol * distance, NEAR * (loop.start_f - best_f))
    return size <= loop.gtol and f <= best_f + max(noise_of(loop, best_f), near)


@jit
def accept(slot, nfev, cost, work, best_f, f, norm, size, distance):
    """Take a new iterate of the phase at work; it may converge the run, or be the last that is allowed.

    Parameters
    ----------
    slot : slot of LOOP
        Written to.
    nfev, cost, work, best_f : float
        What the loop reports; see `LOOP`.
    f, norm, size, distance : float
        Value, and Euclidean norm of the gradient; the others as for `passes`.
    """
    loop = slot[0]
    reported(loop, nfev, cost, work, best_f)
    loop.nit += 1
    sudden = is_sudden(slot, best_f, f, size) and loop.nit < loop.maxiter
    loop.before = loop.f
    loop.size = size
    loop.f = f
    loop.norm = norm
    loop.unread = 1
    loop.next = GO_ON
    loop.doubted = 0
    if sudden:
        loop.doubted = ALL_AT_ONCE
    elif passes(slot, best_f, f, size, distance):
        stop(loop, Status.CONVERGED, Cause.NONE, ITERATE)
    elif loop.nit >= loop.maxiter:
        stop(loop, Status.MAXITER, Cause.NONE, BEST_POINT)
    elif size <= loop.gtol:
        loop.doubted = ABOVE_BEST


@jit
def converge(slot):
    """End the run at the iterate, whose value is the least up to the noise."""
    slot[0].doubted = 0
    stop(slot[0], Status.CONVERGED, Cause.NONE, ITERATE)


@jit
def within_noise(slot, promise, size):
    """End the run where an iterate of our own phase promises less than the noise, again and again.

    The gradient, of norm ``size``, may still be getting smaller; then the phase goes on by its slopes. And f
    may fall all the same, without a bound say, where a promise that is rounding itself says nothing.
    Answers True where it has come to rest above the best value instead: the phase is to be left.
    """
    loop = slot[0]
    smaller = size < 0.5 * loop.least_size
    if smaller:
        loop.least_size = size
    error = noise_of(loop, loop.f)
    if smaller or not promise <= error or loop.before - loop.f > error:  # or it falls whatever was promised
        loop.within_noise = 0
    else:
        loop.within_noise += 1
    if loop.within_noise < PATIENCE:
        return False
    above = loop.f - loop.best_f > max(noise_of(loop, loop.best_f), NEAR * (loop.start_f - loop.best_f))
    if above:
        loop.within_noise = 0
    else:
        stop(loop, Status.WORKING_PRECISION, Cause.NOISE, BEST_POINT)
    return above


@jit
def after_adam(slot, f, decided):
    """Show an accepted iterate of Adam to the guard; answers why to hand over, or `Cause.NONE`.

    Parameters
    ----------
    slot : slot of LOOP
        Written to.
    f : float
        Value at Adam's iterate.
    decided : bool
        Whether the detector's rule sees the swap.
    """
    loop = slot[0]
    loop.unread = 0
    loop.cause = _why_to_leave_adam(loop, f, decided)
    return loop.cause


@_inner
def _why_to_leave_adam(loop, f, decided):
    loop.steps += 1
    if not loop.best_f < f:
        loop.off_incumbent = 0
    _guard.watch_adam(loop, f)
    recovering = not math.isnan(loop.failed_at) and loop.steps < loop.guard.recovery
    if loop.swaps >= loop.max_swaps or recovering:
        return Cause.NONE
    if decided and not loop.off_incumbent:
        return Cause.DETECTED
    guarded = loop.off_incumbent if loop.sampled else loop.automatic or not math.isnan(loop.suspended_f)
    if not guarded:  # the rule alone decides
        return Cause.NONE
    if _guard.turn_is_over(loop) and not _guard.on_course(loop):
        loop.patience = max(2.0 * loop.patience, 2.0 * loop.guard.trial_least)
        return Cause.PATIENCE
    return Cause.NONE


@jit
def handover(slot, cause, nfev, cost, work, best_f, adam_f, only_x0, only_lower):
    """Hand over to the convex phase, unless all fallbacks have failed without a gain, or no handover is left.

    Parameters
    ----------
    slot : slot of LOOP
        Written to.
    cause : int
        From `after_adam`, or ADAM_FAILED.
    nfev, cost, work, best_f : float
        What the loop reports; see `LOOP`.
    adam_f : float
        Value of Adam's iterate.
    only_x0 : bool
        Whether no point but x0 has had a finite value.
    only_lower : bool
        Whether a point lower than the best was refused because its gradient is not finite.
    """
    loop = slot[0]
    reported(loop, nfev, cost, work, best_f)
    loop.behind = cause
    failed = not math.isnan(loop.failed_at) and not best_f < loop.failed_at - noise_of(loop, loop.failed_at)
    failed = failed or loop.hollow_ends >= HOLLOW_ENDS or loop.barren >= BARREN
    if failed or loop.swaps >= loop.max_swaps:
        if only_x0:
            stop(loop, Status.NONFINITE, Cause.ONLY_X0, BAD_POINT)
        elif only_lower:
            stop(loop, Status.NONFINITE, Cause.ONLY_LOWER, BEST_POINT)
        else:
            stop(loop, Status.PRECISION_LOSS, cause if failed else Cause.NO_HANDOVER, BEST_POINT)
        return
    loop.swaps += 1
    if loop.guarded:
        off = loop.off_incumbent != 0
        target = loop.suspended_f if off and not math.isnan(loop.suspended_f) else math.inf
        _guard.begin_trial(loop, adam_f if off else best_f, target)
    loop.cause = cause
    loop.next = BEGIN_CONVEX


@jit
def reopen(slot, cause, convex):
    """Take back the end of a run: at the best point the convex phase at work begins anew, or a new Adam."""
    loop = slot[0]
    loop.status = 0
    loop.cause = cause
    loop.final = BEST_POINT
    loop.unread = 0
    loop.failed_at = math.nan
    loop.hollow_ends = 0
    loop.barren = 0
    loop.fallback -= 1 if convex else 0
    loop.next = NEXT_FALLBACK if convex else NEW_ADAM


@jit
def after_convex(slot, f, size):
    """Show an accepted iterate of the convex phase to the guard; answers its verdict (`guard.verdict`)."""
    loop = slot[0]
    loop.unread = 0
    loop.cause = _guard.verdict(loop, f, size)
    return loop.cause


@jit
def stands_still(slot, f, cost):
    """Whether a step ended at no lower value without an evaluation: it would go to and fro for ever."""
    loop = slot[0]
    still = f >= loop.f and cost == loop.spent
    if not still:
        loop.spent = cost
    return still


@jit
def search_failed(slot, f, best_f, precise, relative, promise):
    """Take the failure of our own search at value f, the best value up to the noise.

    It ends the run where the decrease that the last direction promised is below the noise; or, without such a
    direction, below the rounding of f (``precise``) where the gradient is flat relative to f too.
    """
    loop = slot[0]
    loop.next = GO_ON
    if f > best_f + noise_of(loop, best_f):  # on Adam's path, away from the best point
        return
    root = math.sqrt(loop.rounding)
    if promise <= measured_noise(loop) or (promise <= noise_of(loop, f) and relative <= NEARLY_FLAT * root):
        stop(loop, Status.WORKING_PRECISION, Cause.NOISE, ITERATE)
    elif precise and relative <= FLAT * root:
        stop(loop, Status.WORKING_PRECISION, Cause.FLAT, ITERATE)


@_inner
def _failed(cause):
    return cause in (Cause.SEARCH_FAILED, Cause.KINK, Cause.TO_AND_FRO, Cause.HOLLOW, Cause.ABOVE)


@jit
def falls_back(slot, cause, nfev, cost, work, best_f):
    """Whether the convex phase, left for this cause, has another method to fall back on; `enter` takes it."""
    loop = slot[0]
    reported(loop, nfev, cost, work, best_f)
    if cause in (Cause.COARSER, Cause.SHARPER):
        # anew with the last one, ours: it alone searches by slopes within noise
        loop.status = 0
        loop.final = BEST_POINT
        loop.first = loop.fallbacks - 1
        loop.cause = cause
        loop.next = BEGIN_CONVEX
        return True
    if cause == Cause.SLOW:
        loop.fallback = loop.quick - 1
        loop.first = loop.quick
        loop.cause = cause
        loop.next = NEXT_FALLBACK
        return True
    if _failed(cause) and cause != Cause.ABOVE and loop.fallback + 1 < loop.fallbacks:
        if cause == Cause.KINK or measured_noise(loop) > loop.rounding * abs(best_f):
            # to the last one, ours: it takes a step at a kink, and searches by slopes within noise
            loop.first = loop.fallbacks - 1
            loop.cause = cause
            loop.next = BEGIN_CONVEX
            return True
        loop.cause = cause
        loop.next = NEXT_FALLBACK
        return True
    return False


@jit
def leave(slot, cause, nfev, cost, work, best_f, adam_f):
    """Leave the convex phase: for Adam, or for the suspended phase.

    A phase that failed at the best point is replaced by a new Adam there. So is one on a path of Adam: at a
    singularity, where that path ends, or where it fails as the one before, with no lower value in between. A
    phase that stalled is suspended during an excursion of Adam on its own path. If that leads to nothing
    better, it resumes as if it had not been left, with the curvature
    that it has collected.

    Parameters
    ----------
    slot : slot of LOOP
        Written to.
    cause : int
        Why: SEARCH_FAILED, KINK, TO_AND_FRO, HOLLOW, ABOVE, LOST_TRIAL, FELL_SHORT or STALLED.
    nfev, cost, work, best_f : float
        What the loop reports; see `LOOP`.
    adam_f : float
        Value of Adam's iterate.
    """
    loop = slot[0]
    reported(loop, nfev, cost, work, best_f)
    guard = loop.guard
    loop.cause = cause
    suspended = loop.off_incumbent and not math.isnan(loop.suspended_f)
    singular = loop.f <= best_f and loop.size > GROWN * loop.least_size
    before = loop.vain_f
    vain = _failed(cause) and not math.isnan(before) and not best_f < before - noise_of(loop, before)
    loop.vain_f = best_f if _failed(cause) else before
    ended = singular or ((vain or loop.behind == Cause.ADAM_FAILED) and not suspended)
    if _failed(cause) and (ended or not loop.off_incumbent):
        loop.off_incumbent = 0
        loop.failed_at = best_f
        loop.barren = loop.barren + 1 if loop.nit == loop.failed_nit else 0
        loop.failed_nit = loop.nit
        loop.next = NEW_ADAM
    elif suspended and not best_f < loop.suspended_f:
        loop.off_incumbent = 0
        loop.suspended_f = math.nan
        loop.next = RESUME_CONVEX
    else:
        loop.suspended_f = math.nan
        if cause == Cause.STALLED:
            loop.suspended_f = best_f
            loop.suspended_at = work
            loop.first = loop.fallback
            loop.patience = guard.adam_least * work
        loop.off_incumbent = 1 if best_f < adam_f else 0
        loop.failed_at = math.nan
        loop.next = BACK_TO_ADAM


@jit
def enter(slot, adam_f):
    """Begin what `handover`, `falls_back` or `leave` have named; Adam stands at value adam_f."""
    loop = slot[0]
    following = loop.next
    if following in (BEGIN_CONVEX, RESUME_CONVEX):
        loop.phase = CONVEX
        loop.fallback = loop.first
    if following == NEXT_FALLBACK:
        loop.fallback += 1
    elif following == RESUME_CONVEX and loop.guarded:
        _guard.resume(loop)
    elif following in (NEW_ADAM, BACK_TO_ADAM):
        loop.phase = ADAM
        loop.steps = 0
        _guard.begin_adam(loop, adam_f)
    loop.next = GO_ON


_ARGUMENTS: dict[Any, tuple[Any, ...]] = {
    begin: (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, True),
    passes: (0.0, 0.0, 0.0, 0.0),
    accept: (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    after_adam: (0.0, True),
    handover: (0, 0.0, 0.0, 0.0, 0.0, 0.0, True, True),
    reopen: (0, True),
    seems_hollow: (0.0, 0.0),
    is_sudden: (0.0, 0.0, 0.0),
    narrow: (0.0, 1.0, 0.0),
    is_hollow: (0.0, 0.0),
    after_convex: (0.0, 0.0),
    stands_still: (0.0, 0.0),
    noise_is_due: (0.0, 0.0),
    note_noise: (0.0, 0.0, 0.0),
    noise: (),
    exactness: (0.0,),
    converge: (),
    within_noise: (0.0, 0.0),
    search_failed: (0.0, 0.0, True, 0.0, 0.0),
    falls_back: (0, 0.0, 0.0, 0.0, 0.0),
    leave: (0, 0.0, 0.0, 0.0, 0.0, 0.0),
    enter: (0.0,),
    note_event: (EVENT.new(), 0, 0.0, 0.0, 0, 0.0),
}
"""What follows the slot, for the kernels that Python calls."""


def _example(kernel: Any) -> Any:
    return lambda kind: (LOOP.new(), *_ARGUMENTS[kernel])


for _kernel in _ARGUMENTS:
    register(_kernel, _example(_kernel))


@functools.cache
def ready() -> SimpleNamespace:
    """Return the kernels compiled for calls from Python, by their names."""
    return SimpleNamespace(
        **{kernel.__name__: prepare(kernel, *_example(kernel)(float)) for kernel in _ARGUMENTS}
    )
