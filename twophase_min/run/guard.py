"""The guard: whether the convex phase is worth its evaluations, by the decrease that each of them brings.

A handover begins a trial. During it the convex phase must decrease the objective at least as fast, per
evaluation, as Adam did just before. If it does not, the run goes back to Adam's state.

A convex phase that has passed its trial is held to a stall test: is the best value still falling? A phase
in a poor region fails that test, and so does one that converges to a minimum of non-zero value. Only a
comparison tells the two apart. The phase is suspended, and Adam goes on from its own state (a trial of
Adam) as long as it is on course for the value of the suspended phase. Then a later swap gets its chance,
and must come near that value in its trial. The first trial of Adam is made early, because nothing is known
of Adam's path yet. After one in vain, only a true stall fails the test.

Rates are relative to the size of the objective, and so independent of its unit. Everything here works on
records (`jit.records`): compiled inside the loops, and as plain Python.
"""

from __future__ import annotations

import math

from twophase_min._status import Cause
from twophase_min.jit.compilation import jit
from twophase_min.jit.records import Record, count, real

GUARD = Record(
    "Guard",
    real("trial_share", "length of a trial, as a share of the evaluations so far", 0.1),
    real("trial_least", "evaluations of a trial at least: a line search needs a few to show anything", 24.0),
    real("trial_past", "the recent past of a phase's rate, as a share of its evaluations", 0.3),
    real("trial_ahead", "share of the trial's length over which its rate is continued to the target", 0.5),
    real("stall_span", "evaluations over which a phase that passed must not stall", 100.0),
    real("stall_past", "the recent past of the stall test, as a share of the phase's evaluations", 0.2),
    real("slow", "relative decrease per evaluation that fails the first stall test: a tenth in 100", 1e-3),
    real("stalled", "the same after a trial of Adam in vain; poor stationary points show 1e-8", 1e-6),
    # The superlinear convergence of a convex method sets in after about as many iterations as there are
    # variables. While that is far away, a phase that slows down will not soon get faster again.
    real("early_span", "evaluations of the first stall test while n is many times the evaluations", 30.0),
    real("early", "its limit while n is `many` times the evaluations", 5e-3),
    real("earliest", "its limit while n is `far` times the evaluations", 1e-2),
    real("many", "evaluations times this reach n: the early limit gives way to `slow`", 2.0),
    real("far", "evaluations times this reach n: the earliest limit gives way to `early`", 100.0),
    real(
        "room", "share of maxfun that must be left for a trial of Adam, unless the phase stands still", 0.25
    ),
    real("adam_least", "evaluations that Adam gets after a stall, as a share of those so far", 0.3),
    real("adam_most", "evaluations that it gets at most while on course, as a share of those so far", 0.5),
    real("course_past", "share of Adam's evaluations that its course is read from", 2 / 3),
    real("course_ahead", "evaluations over which the course is continued, as a share of those so far", 0.5),
    real("course_gap", "share of the distance to the suspended phase's value that may be left then", 0.25),
    real("first_patience", "evaluations without a swap until the guard tries the convex phase", 3.0),
    real("recovery", "iterations that Adam gets at least after a convex phase has failed", 5.0),
    real("crowded", "marks of a rate closer than this share of its recent past are thinned out", 1 / 32),
)
"""The constants of the guard: initial values of a run, so that a test or an ablation can set others."""

MARKS = 128
"""Room for the marks of a rate; thinned out, at most some fifty are in use."""

RATE = Record(
    "Rate",
    real("span", "evaluations that the recent past spans at least"),
    real("share", "the recent past as a share of the evaluations since the phase began, where that is more"),
    real("began", "evaluations when the phase began"),
    count("first", "place of the oldest mark"),
    count("many", "marks in use"),
    real("costs", "evaluations at the marks, a ring", 0.0, (MARKS,)),
    real("values", "best value at the marks, unit f", 0.0, (MARKS,)),
)
"""Relative decrease of the best value per evaluation, over the recent past of one phase."""

ADAM_RATE, PHASE_RATE, RECENT_RATE, COURSE = range(4)
"""The rates of a run: Adam's, the convex phase's, its recent past, and where Adam is heading."""

_inner = jit(no_cpython_wrapper=True)


# ---- rates -------------------------------------------------------------------------------------------------


@_inner
def begin_rate(rate, cost, value, span, share):
    """Start at so many evaluations and this value."""
    rate.span = span
    rate.share = share
    rate.began = cost
    rate.first = 0
    rate.many = 1
    rate.costs[0] = cost
    rate.values[0] = value


@_inner
def note(rate, cost, value, crowded):
    """Record the value after so many evaluations, and forget what is older than the recent past."""
    first, many = rate.first, rate.many
    width = max(rate.span, rate.share * (cost - rate.began))
    if many > 2:
        newest = rate.costs[(first + many - 1) % MARKS]
        if newest - rate.costs[(first + many - 2) % MARKS] < crowded * width:
            many -= 1
    at = (first + many) % MARKS
    rate.costs[at] = cost
    rate.values[at] = value
    many += 1
    while many > 2 and rate.costs[(first + 1) % MARKS] <= cost - width:
        first = (first + 1) % MARKS
        many -= 1
    rate.first = first
    rate.many = many


@_inner
def spent(rate):
    """Return the evaluations since the phase began."""
    return rate.costs[(rate.first + rate.many - 1) % MARKS] - rate.began


@_inner
def gain(rate):
    """Relative decrease per evaluation over the recent past; 0 while nothing was spent."""
    newest = (rate.first + rate.many - 1) % MARKS
    cost0, value0 = rate.costs[rate.first], rate.values[rate.first]
    cost1, value1 = rate.costs[newest], rate.values[newest]
    size = max(abs(value0), abs(value1))
    if cost1 > cost0 and size > 0.0:
        return (value0 - value1) / size / (cost1 - cost0)
    return 0.0


@_inner
def reference(rate, least):
    """Return what another phase is held against: the gain, or 0 from a phase too short to have one.

    The first steps of a run fall steeply whatever takes them; they are no standard for later ones.
    """
    return max(gain(rate), 0.0) if spent(rate) >= least else 0.0


@_inner
def extrapolate(f0, f1, f2, steps):
    """Value so many steps after ``f2``, of three values one step apart that do not increase.

    The two decreases are taken for terms of a geometric series, as in Aitken's process; one that does not
    shrink is continued as a straight line. A path that leads to a value above zero is thus told from one
    towards zero, which its rate alone does not do.
    """
    first, second = f0 - f1, f1 - f2
    if not second > 0.0:
        return f2
    if not second < 0.999 * first:
        return f2 - second * steps
    ratio = second / first
    return f2 - second * ratio * (1.0 - ratio**steps) / (1.0 - ratio)


@_inner
def forecast(rate, more):
    """Value of a rate's path so many evaluations on, from the two halves of its recent past."""
    first, many = rate.first, rate.many
    newest = (first + many - 1) % MARKS
    f0, f2 = rate.values[first], rate.values[newest]
    half = 0.5 * (rate.costs[newest] - rate.costs[first])
    middle = rate.costs[first] + half
    f1 = f0
    for i in range(many - 1):
        a, b = (first + i) % MARKS, (first + i + 1) % MARKS
        if rate.costs[a] <= middle < rate.costs[b]:
            part = (middle - rate.costs[a]) / (rate.costs[b] - rate.costs[a])
            f1 = rate.values[a] + (rate.values[b] - rate.values[a]) * part
    return extrapolate(f0, f1, f2, more / half if half > 0.0 else 0.0)


# ---- Adam --------------------------------------------------------------------------------------------------


@_inner
def begin_adam(loop, f):
    """Start to watch what Adam gains, and where it is heading."""
    guard = loop.guard
    begin_rate(loop.rates[ADAM_RATE], loop.work, f, guard.trial_least, guard.trial_past)
    begin_rate(loop.rates[COURSE], loop.work, f, guard.trial_least, guard.course_past)


@_inner
def watch_adam(loop, f):
    """Note an iterate of Adam with value f."""
    course, crowded = loop.rates[COURSE], loop.guard.crowded
    note(loop.rates[ADAM_RATE], loop.work, f if loop.off_incumbent else loop.best_f, crowded)
    least = course.values[(course.first + course.many - 1) % MARKS]
    note(course, loop.work, min(f, least), crowded)


@_inner
def on_course(loop, f):
    """Whether Adam, at f off the incumbent, is on its way to the value of the suspended phase."""
    guard = loop.guard
    if loop.off_incumbent == 0 or math.isnan(loop.suspended_f):
        return False
    if spent(loop.rates[ADAM_RATE]) >= guard.adam_most * loop.work:
        return False
    end = forecast(loop.rates[COURSE], guard.course_ahead * loop.work)
    return end < loop.suspended_f + guard.course_gap * (f - loop.suspended_f)


# ---- the convex phase --------------------------------------------------------------------------------------


@_inner
def begin_trial(loop, f, held_against, target):
    """Put a convex phase on trial from value f, against a relative decrease per evaluation.

    ``target`` is the value of a suspended phase, or infinite: another half of the trial, at the rate with
    which the trial ends, must lead below it. A phase that would need longer does not replace the suspended
    one.
    """
    guard = loop.guard
    begin_rate(loop.rates[PHASE_RATE], loop.work, f, guard.trial_least, guard.trial_past)
    begin_rate(loop.rates[RECENT_RATE], loop.work, f, loop.stall_span, guard.stall_past)
    loop.reference = held_against
    loop.target = target
    loop.trial_length = max(guard.trial_least, guard.trial_share * loop.work)
    loop.passed = 0


@_inner
def stall_limit(guard, limit, work, n):
    """Limit of the stall test, from the one so far; it tightens as the evaluations near n."""
    if limit == guard.earliest and guard.far * work >= n:
        limit = guard.early
    if limit == guard.early and guard.many * work >= n:
        limit = guard.slow
    return limit


@_inner
def _room(loop, rate):
    """Whether ``maxfun`` leaves room for a trial of Adam: one that is cut off only loses what is left.

    A phase that is merely slow gains by every evaluation that a trial in vain takes: a share of them must be
    left for the one that wins.
    """
    guard = loop.guard
    share = 1.0 if rate < guard.stalled else 1.0 - guard.room
    return loop.nfev * (1.0 + guard.adam_least) * (1.0 + guard.trial_share) <= share * loop.maxfun


@_inner
def verdict(loop, f):
    """Judge an iterate of the convex phase with least value f.

    Answers `Cause.NONE` to go on, LOST_TRIAL or FELL_SHORT for a trial that was lost, STALLED for a phase
    that failed the stall test.
    """
    guard, rate, recent = loop.guard, loop.rates[PHASE_RATE], loop.rates[RECENT_RATE]
    if not loop.guarded:
        return Cause.NONE
    limit = stall_limit(guard, loop.stall_limit, loop.work, loop.n)
    if limit != loop.stall_limit:
        loop.stall_limit = limit
        if limit == guard.slow:
            loop.stall_span = guard.stall_span
            begin_rate(recent, loop.work, f, guard.stall_span, guard.stall_past)
    note(rate, loop.work, f, guard.crowded)
    note(recent, loop.work, f, guard.crowded)
    if not loop.passed:
        if spent(rate) < loop.trial_length:
            return Cause.NONE
        if not gain(rate) >= loop.reference:
            return Cause.LOST_TRIAL
        if not f - guard.trial_ahead * loop.trial_length * gain(rate) * abs(f) < loop.target:
            return Cause.FELL_SHORT
        loop.passed = 1
        return Cause.NONE
    if spent(recent) >= recent.span and gain(recent) < loop.stall_limit:
        if _room(loop, gain(recent)):
            return Cause.STALLED
        loop.curbed = 1
    return Cause.NONE
