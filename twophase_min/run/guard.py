"""The guard: whether the convex phase is worth its evaluations, or Adam's own path is tried.

**On course.** A convex phase is left alone while it is on course: at the pace at which the norm of the
gradient has fallen lately, the run converges within as many evaluations as have been made so far; or while
its value falls steadily.

**Look.** It is looked at when the evaluations have grown by a factor since the last look. If it is not on
course then, it is suspended, and Adam goes on from its own state for a share of the evaluations so far (an
excursion); for longer only while its course leads below the value of the suspended phase. It is cut short
where Adam is **behind**: higher than the phase was after a third of as many evaluations, both counted from
where the phase began.

**Trial.** A handover begins a trial. At its end the convex phase must stand no higher than where Adam was
heading. After an excursion it must be about to pass below the suspended phase, and have done so half a
trial later. Otherwise Adam goes on, or the suspended phase resumes as if it had not been left. Where Adam
was behind, the trial is as short as a trial can be. On mini-batches it is shorter still near ``maxfun``, a
quarter of what is left: a trial that is lost there takes the evaluations in which Adam would have brought
more.

**Off the incumbent.** Adam that has won a trial, or has been sent on an excursion, stands above the best
point, which the convex phase has reached. From there it hands over when its turn is over and its own course
does not lead below within what ``maxfun`` leaves, on mini-batches too: a rule of the swap has its say again
when Adam has come down to the best point, which their noise may never let it.

So an excursion in vain costs its evaluations and nothing else. With looks at w, qw, q^2 w, ...
evaluations and a share a for Adam, all excursions together are at most a q / (q - 1) of the evaluations of a
run, their trials apart, or more only where Adam was on course for a lower value. Where Adam is heading is
extrapolated from three of its values (Aitken's process). Decisions compare values with values and logarithms
of norms with each other, so they depend neither on the zero nor on the unit of f. Everything here works on
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
    real("past", "the recent past of a path, as a share of the evaluations of its phase", 0.5),
    real(
        "fading",
        "decrease in the later half of the recent past, as a share of the earlier, that is fading",
        0.5,
    ),
    real(
        "first_look", "evaluations until the guard first looks whether the convex phase is on course", 100.0
    ),
    real("again", "factor by which the evaluations grow from one look to the next", 2.0),
    real("adam_least", "evaluations that Adam gets in an excursion, as a share of those so far", 0.15),
    real("adam_most", "evaluations that it gets at most while on course, as a share of those so far", 0.5),
    real("pace", "share of Adam's evaluations after which the phase was as low, where it is behind", 1 / 3),
    real(
        "room",
        "share of maxfun that must be left after an excursion, unless the phase stands still; and share of "
        "what it leaves that a trial takes at most",
        0.25,
    ),
    real("first_patience", "evaluations without a swap until the guard tries the convex phase", 3.0),
    real("recovery", "iterations that Adam gets at least after a convex phase has failed", 5.0),
    real("crowded", "marks of a path closer than this share of its recent past are thinned out", 1 / 32),
)
"""The constants of the guard: initial values of a run, so that a test or an ablation can set others."""

MARKS = 128
"""Room for the marks of a path."""

PATH = Record(
    "Path",
    real("span", "evaluations that the recent past spans at least"),
    real("share", "the recent past as a share of the evaluations since the phase began, where that is more"),
    real("began", "evaluations when the phase began"),
    count("first", "place of the oldest mark"),
    count("many", "marks in use"),
    real("costs", "evaluations at the marks, a ring", 0.0, (MARKS,)),
    real("values", "least value at the marks", 0.0, (MARKS,)),
)
"""A value against the evaluations, over the recent past of one phase."""

SPACING = 1.2
"""Ratio of the evaluations at one mark of the whole past to those before: they last for 1e10 evaluations."""

ADAM_PATH, PHASE_PATH, NORM_PATH, COURSE, PAST = range(5)
"""The paths of a run: Adam's best value, the convex phase's, the logarithm of the least norm of its gradient,
Adam's own values on an excursion, and the whole past of the convex phase."""

_inner = jit(no_cpython_wrapper=True)


# ---- paths -------------------------------------------------------------------------------------------------


@_inner
def begin_path(path, cost, value, span, share):
    """Start at so many evaluations and this value."""
    path.span = span
    path.share = share
    path.began = cost
    path.first = 0
    path.many = 1
    path.costs[0] = cost
    path.values[0] = value


@_inner
def note(path, cost, value, crowded):
    """Record the value after so many evaluations, and forget what is older than the recent past."""
    first, many = path.first, path.many
    width = max(path.span, path.share * (cost - path.began))
    if many > 2:
        newest = path.costs[(first + many - 1) % MARKS]
        if newest - path.costs[(first + many - 2) % MARKS] < crowded * width:
            many -= 1
    if many == MARKS:  # a path of which nothing is forgotten: every other mark goes
        many = MARKS // 2
        for i in range(1, many):
            path.costs[(first + i) % MARKS] = path.costs[(first + 2 * i) % MARKS]
            path.values[(first + i) % MARKS] = path.values[(first + 2 * i) % MARKS]
    at = (first + many) % MARKS
    path.costs[at] = cost
    path.values[at] = value
    many += 1
    while many > 2 and path.costs[(first + 1) % MARKS] <= cost - width:
        first = (first + 1) % MARKS
        many -= 1
    path.first = first
    path.many = many


@_inner
def newest(path):
    """Return the last value."""
    return path.values[(path.first + path.many - 1) % MARKS]


@_inner
def spent(path):
    """Return the evaluations since the phase began."""
    return path.costs[(path.first + path.many - 1) % MARKS] - path.began


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
def halves(path):
    """Values where a path's recent past begins, in its middle and where it ends; evaluations of one half."""
    first, many = path.first, path.many
    last = (first + many - 1) % MARKS
    half = 0.5 * (path.costs[last] - path.costs[first])
    middle = path.costs[first] + half
    f1 = path.values[first]
    for i in range(many - 1):
        a, b = (first + i) % MARKS, (first + i + 1) % MARKS
        if path.costs[a] <= middle < path.costs[b]:
            part = (middle - path.costs[a]) / (path.costs[b] - path.costs[a])
            f1 = path.values[a] + (path.values[b] - path.values[a]) * part
    return path.values[first], f1, path.values[last], half


@_inner
def forecast(path, more):
    """Value of a path so many evaluations on, from the two halves of its recent past."""
    f0, f1, f2, half = halves(path)
    return extrapolate(f0, f1, f2, more / half if half > 0.0 else 0.0)


@_inner
def steady(path, fading):
    """Whether the later half of a path's recent past has brought more than this share of the earlier half."""
    f0, f1, f2, _ = halves(path)
    return f1 - f2 > fading * (f0 - f1)


@_inner
def log(size):
    """Natural logarithm of a norm, finite for 0 too."""
    return math.log(max(size, 1e-308))


@_inner
def ahead(path, goal):
    """Return the evaluations until a path is down at the goal, at its recent pace; inf if it stands still."""
    first, last = path.first, (path.first + path.many - 1) % MARKS
    left = path.values[last] - goal
    if not left > 0.0:
        return 0.0
    gained = path.values[first] - path.values[last]
    return left * (path.costs[last] - path.costs[first]) / gained if gained > 0.0 else math.inf


@_inner
def begin_past(path, cost, value):
    """Start to keep the whole past of a phase: values at evaluations of its own in geometric sequence."""
    begin_path(path, cost, value, 0.0, 0.0)
    path.costs[0] = 0.0


@_inner
def remember(path, cost, value):
    """Record the value, if the evaluations since the beginning have grown by enough."""
    made, many = cost - path.began, path.many
    if many < MARKS and made > 0.0 and made >= SPACING * path.costs[many - 1]:
        path.costs[many] = made
        path.values[many] = value
        path.many = many + 1


@_inner
def value_after(path, made):
    """Value of a phase when it had made so many evaluations, to the last mark before."""
    value = path.values[0]
    for i in range(1, path.many):
        if path.costs[i] <= made:
            value = path.values[i]
    return value


# ---- Adam --------------------------------------------------------------------------------------------------


@_inner
def begin_adam(loop, f):
    """Start to watch what Adam gains, and where it is heading."""
    guard = loop.guard
    begin_path(loop.paths[ADAM_PATH], loop.work, f, guard.trial_least, guard.past)
    begin_path(loop.paths[COURSE], loop.work, f, guard.trial_least, 1.0)  # all of it


@_inner
def watch_adam(loop, f):
    """Note an iterate of Adam with value f."""
    course, crowded = loop.paths[COURSE], loop.guard.crowded
    note(loop.paths[ADAM_PATH], loop.work, f if loop.off_incumbent else loop.best_f, crowded)
    note(course, loop.work, min(f, newest(course)), crowded)


@_inner
def left(loop):
    """Return the evaluations that ``maxfun`` leaves, at the price that a value has had so far."""
    return loop.work * (loop.maxfun / max(loop.nfev, 1.0) - 1.0) if loop.maxfun < math.inf else math.inf


@_inner
def turn_is_over(loop):
    """Whether Adam has had its evaluations: the guard's patience; or as many as the trial that it has won."""
    lost = loop.off_incumbent and math.isnan(loop.suspended_f)
    least = spent(loop.paths[PHASE_PATH]) if lost else 0.0
    return spent(loop.paths[ADAM_PATH]) >= max(loop.patience, least) or behind(loop)


@_inner
def on_course(loop):
    """Whether Adam, off the incumbent, is on its way below it, or below the value of the suspended phase.

    It must arrive there within as many evaluations as have been made, or half of them where a phase is
    suspended for it; and before ``maxfun`` ends the run, or what it gains is lost.
    """
    if loop.off_incumbent == 0:
        return False
    more, target = loop.work, loop.best_f
    if not math.isnan(loop.suspended_f):
        most, target = loop.guard.adam_most * loop.work, loop.suspended_f
        more = most if spent(loop.paths[ADAM_PATH]) < most else 0.0
    if not (more > 0.0 and forecast(loop.paths[COURSE], more) < target):
        return False
    arrives = forecast(loop.paths[COURSE], min(more, left(loop))) < target
    if not arrives:
        loop.curbed = 1
    return arrives


@_inner
def behind(loop):
    """Whether Adam, off the incumbent, is far slower than the suspended phase was at its own beginning.

    Values are compared after evaluations counted from where the phase began, those of earlier excursions with
    them. So it does not matter how steep the first steps of a run are.
    """
    guard, made = loop.guard, spent(loop.paths[ADAM_PATH])
    if loop.off_incumbent == 0 or math.isnan(loop.suspended_f) or made < guard.trial_least:
        return False
    stood = value_after(loop.paths[PAST], guard.pace * (loop.adam_made + made))
    return newest(loop.paths[COURSE]) > stood


# ---- the convex phase --------------------------------------------------------------------------------------


@_inner
def begin_trial(loop, f, target):
    """Put a convex phase on trial from value f, with ``target`` the value of a suspended phase, or inf."""
    _watch_phase(loop, f, target)
    loop.passed = 0
    loop.trial_f = f
    if target == math.inf:
        _begin_past(loop)


@_inner
def _watch_phase(loop, f, target):
    """Begin the recent past of a phase at value f. Short trials: where Adam is behind, or near maxfun."""
    guard = loop.guard
    begin_path(loop.paths[PHASE_PATH], loop.work, f, guard.trial_least, guard.past)
    begin_path(loop.paths[NORM_PATH], loop.work, math.inf, guard.trial_least, guard.past)
    share = 0.0 if behind(loop) else guard.trial_share
    loop.trial_length = max(guard.trial_least, share * loop.work)
    short = guard.room * left(loop)
    if loop.sampled and short < loop.trial_length and spent(loop.paths[ADAM_PATH]) >= guard.trial_least:
        loop.trial_length = short
        loop.curbed = 1
    loop.target = target


@_inner
def _begin_past(loop):
    """Keep the past of the phase from where its trial began, and count Adam's evaluations from there."""
    loop.adam_made = 0.0
    begin_past(loop.paths[PAST], loop.paths[PHASE_PATH].began, loop.trial_f)


@_inner
def resume(loop):
    """Go on with the suspended phase, which has nothing to prove; its past goes on from where it was left."""
    loop.adam_made += spent(loop.paths[ADAM_PATH])
    loop.paths[PAST].began += loop.work - loop.suspended_at
    _watch_phase(loop, loop.best_f, math.inf)
    loop.passed = 1


@_inner
def _room(loop):
    """Whether ``maxfun`` leaves room for an excursion: one that is cut off only loses what is left.

    A phase that is merely slow gains by every evaluation that an excursion in vain takes: a share of them
    must be left for the one that wins.
    """
    guard = loop.guard
    share = 1.0 if loop.ahead == math.inf else 1.0 - guard.room
    return loop.nfev * (1.0 + guard.adam_least) * (1.0 + guard.trial_share) <= share * loop.maxfun


@_inner
def _reference(loop):
    """Value at which Adam would have arrived by now; inf where it was too short to be held against.

    The first steps of a run fall steeply whatever takes them; they are no standard for later ones.
    """
    path = loop.paths[ADAM_PATH]
    if spent(path) < loop.guard.trial_least:
        return math.inf
    return forecast(path, spent(loop.paths[PHASE_PATH]))


@_inner
def verdict(loop, f, size):
    """Judge an iterate of the convex phase with least value f, and ``size`` the norm that the test reads.

    Answers `Cause.NONE` to go on, LOST_TRIAL or FELL_SHORT for a trial that was lost, SLOW for a phase that
    another convex method should take over from, STALLED for one that Adam should be tried against.
    """
    guard, phase, norms = loop.guard, loop.paths[PHASE_PATH], loop.paths[NORM_PATH]
    if not loop.guarded:
        return Cause.NONE
    note(phase, loop.work, f, guard.crowded)
    level = log(size)
    if newest(norms) == math.inf:
        begin_path(norms, loop.work, level, guard.trial_least, guard.past)
    note(norms, loop.work, min(level, newest(norms)), guard.crowded)
    made = spent(phase)
    if loop.passed or loop.target == math.inf:
        remember(loop.paths[PAST], loop.work, f)
    if not loop.passed:
        if made < loop.trial_length:
            return Cause.NONE
        loop.reference = _reference(loop)
        if not f <= loop.reference:
            return Cause.LOST_TRIAL
        more = 1.5 * loop.trial_length - made
        if not forecast(phase, max(more, 0.0)) < loop.target:
            return Cause.FELL_SHORT
        if not f < loop.target:  # about to pass below: in half a trial more it must have done so
            return Cause.NONE
        loop.passed = 1
        if loop.target < math.inf:
            _begin_past(loop)
    loop.ahead = ahead(norms, log(loop.goal))
    if loop.fallback < loop.quick and loop.ahead > max(made, guard.trial_least):
        return Cause.SLOW
    if loop.work >= loop.look:
        loop.look = guard.again * loop.work
        if loop.ahead > loop.work and not steady(phase, guard.fading):
            if _room(loop):
                return Cause.STALLED
            loop.curbed = 1
    return Cause.NONE
