"""One line search after another: what the convex phases with a Wolfe search share.

A phase says which direction to take and learns from the steps. Everything else is here: the start of a run,
the searches, what follows a search that fails, and the edges of the domain. Three functions of a phase are
chosen by the type of its state (`jit.compilation.by_type`): `direction`, `learn_step` and `forget`.

The state is a named tuple with ``vectors`` (the rows of `twophase_min.phases`), ``edges`` (`new_edges`) and
``slot``, whose record begins with the members `SEARCH`. Within bounds (rows LOWER, UPPER and FREE) directions
and trials keep to the box (`box`).

No constant has units: multiplying f, or x and its start, by a power of two changes no decision.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twophase_min.jit.compilation import by_type, jit
from twophase_min.jit.kernels import all_finite, copy, dot, trial_point
from twophase_min.jit.records import count, nested, real
from twophase_min.phases import (
    COLUMNS,
    FAILED,
    ITERATION,
    NEED_F,
    NEED_G,
    NEED_NOISE,
    SEARCHING,
    XT,
    G,
    P,
    X,
)
from twophase_min.phases.box import (
    arrive,
    bend,
    free_dual_length,
    free_part,
    is_bounded,
    is_inside,
    keep_inside,
    mark_free,
)
from twophase_min.phases.edge import (
    EDGE,
    EDGES,
    FINISH,
    LIMITED,
    OBLIQUE,
    along_the_edges,
    begin_probe,
    lead_inwards,
    project,
    tell_probe,
)
from twophase_min.phases.first_trial import STEEP_C1, first_guess
from twophase_min.phases.line_search import LINE, line_start, line_tell_f, line_tell_g
from twophase_min.phases.metric import dual_length, length, metric_of, typical_metric
from twophase_min.phases.resolution import takes

RESCUING = 1
"""Mode: the search has failed, and the gradient at its lowest value is requested."""
PROBING = 2
"""Mode: values tell where an edge of the domain lies."""

NONE, ZERO_GRADIENT, WORKING_PRECISION, NO_DECREASE, NOT_FINITE, AT_EDGE, UNMET = range(7)

TOLD = 0.1
"""Share of what the slope promises of a step made from which on it has told the truth."""
RESCUES = 5
"""Searches in a row that may end at their lowest value, without a step that is long enough."""

REASONS = (
    "",
    "the gradient is zero",
    "the predicted decrease is below the rounding of f: converged to working precision",
    "no decrease along the steepest descent, though the slope promises more than rounding: "
    "noise in f, a wrong gradient or a discontinuity",
    "the gradient is not finite",
    "the edge of the domain, beyond which f or its gradient is not finite, stops every descent",
    "five searches in a row found f lower, but nowhere a smaller slope: a wrong gradient or a discontinuity",
)
"""Texts of the reason codes of a failure."""

SEARCH = (
    nested("line", LINE, "the search along the direction"),
    nested("edge", EDGE, "edges of the domain"),
    real("f", "value at the iterate, unit f"),
    real("slope", "slope along the direction at the iterate, unit f"),
    real("step_norm", "length of the last step in the scaled variables, 0 before the first"),
    real("first", "length of the first trial step that the caller gave, unit x; 0 for none"),
    real("eps", "spacing of the vectors' floating-point numbers at 1"),
    real("predicted", "decrease that a parabola with its minimum at the first trial promises, unit f"),
    real("last_a", "step length of the last iteration"),
    real("last_slope", "slope at its start, unit f"),
    real("c1", "sufficient decrease along a direction with curvature", 1e-4),
    count("code", "what is requested: NEED_F, NEED_G, NEED_NOISE, ITERATION or FAILED"),
    count("mode", "SEARCHING, or RESCUING a failed search"),
    count("reason", "why the phase failed, see `REASONS`"),
    count("steepest", "flag: the direction is -D g"),
    real("promise", "the same of the last direction that was not steepest descent; inf if there was none"),
    real("noise", "measured error of a value, unit f; 0 while none was measured"),
    real("longest", "longest step so far, in the scaled variables"),
    count("precision", "flag: the decrease predicted is below the rounding of f"),
    count("asked", "iterations when the noise was asked for, -1 before"),
    count("iterations", "iterates accepted"),
    count("values", "values told"),
    count("gradients", "gradients told"),
    count("restarts", "times that all curvature was forgotten"),
    count("rescues", "failed searches whose lowest value was looked at"),
    count("unmet", "the same, those in a row"),
    count("skipped", "pairs without positive curvature"),
    count("held", "variables that a bound holds"),
    count("arrived", "variables that the step puts at limits, by the model", -1, (COLUMNS,)),
    count("bent", "flag: the direction is a segment to a projected trial"),
)
"""Members with which the record of a phase begins."""


def new_edges(n: int, dtype: Any) -> np.ndarray:
    """Allocate the normals of the oblique edges that are held, and scratch.

    The shape is (EDGES + 1, n), or (1, n) for many variables.
    """
    return np.zeros((EDGES + 1 if n <= OBLIQUE else 1, n), dtype=dtype)


# ---- what a phase brings along -----------------------------------------------------------------------------


@by_type
def direction(state, phase):
    """Write a direction into row P from the curvature known; its slope, and the length of the first trial.

    The length is a multiple of the direction, 0 where no curvature is known.
    """


@by_type
def learn_step(state, phase, a, f, g):
    """Learn from the step in row XT (a times the direction) and the difference of gradients in row G.

    ``f`` and ``g`` are the value and the gradient at the new iterate; the phase still has the old value.
    """


@by_type
def forget(state, phase):
    """Forget all curvature; whether there was any."""


# ---- the searches ------------------------------------------------------------------------------------------


@jit(no_cpython_wrapper=True)
def begin(state, phase, x, f, g, first_step):
    """Enter an evaluated point, and reset the counters; ``first_step`` is a length in x, 0 for none."""
    copy(x, state.vectors[X])
    copy(g, state.vectors[G])
    phase.f = f
    phase.first = first_step
    phase.step_norm = 0.0
    phase.last_slope = 0.0
    phase.code = ITERATION
    phase.mode = SEARCHING
    phase.reason = NONE
    phase.steepest = 0
    phase.precision = 0
    phase.promise = math.inf
    phase.longest = 0.0
    phase.asked = -1
    phase.iterations = 0
    phase.values = 0
    phase.gradients = 0
    phase.restarts = 0
    phase.rescues = 0
    phase.unmet = 0
    phase.skipped = 0
    phase.line.parabola = 0
    phase.line.edge = 0
    phase.line.longest = math.inf
    phase.held = 0
    phase.bent = 0
    phase.edge.limited = 0
    phase.edge.jams = 0
    phase.edge.held = 0
    phase.edge.oblique = 0
    phase.edge.finishing = 0


@jit
def use_sizes(state):
    """Take the sizes of x as those of the variables if the gradient supports it (`typical_metric`); if so."""
    scaled, metric = metric_of(state.vectors)
    if not scaled:  # no place for one
        return False
    return typical_metric(state.vectors[X], state.vectors[G], metric)


@jit(no_cpython_wrapper=True)
def _begin_search(state, phase, slope, step, c1):
    """Start the line search along p and place its first trial."""
    phase.slope = slope
    rounding = 4.0 * phase.eps * abs(phase.f)
    noise = max(rounding, phase.noise)
    # what a parabola with its minimum at the first trial would still gain
    phase.predicted = -0.5 * slope * step
    phase.precision = 1 if phase.predicted <= 0.25 * rounding else 0
    if phase.steepest == 0:
        phase.promise = phase.predicted
    return _place(state, phase, line_start(phase.line, phase.f, slope, step, noise, c1))


@jit(no_cpython_wrapper=True)
def _place(state, phase, code):
    """Set the trial point for a value (or leave it for a gradient) and note what is requested."""
    if code == NEED_F:
        _set_trial(state, phase, phase.line.a)
    phase.code = code
    return code


@jit(no_cpython_wrapper=True)
def _set_trial(state, phase, a):
    """Write the point at step length a into row XT."""
    trial_point(state.vectors[X], a, state.vectors[P], state.vectors[XT])
    if is_bounded(state.vectors):
        keep_inside(state.vectors, state.vectors[XT], phase.eps)


@jit(no_cpython_wrapper=True)
def _bend(state, phase, slope, step):
    """Project the first trial onto the box; the slope along row P as it is then, and the first trial."""
    if phase.steepest == 0 and arrive(state, phase, step):
        slope, step = dot(state.vectors[P], state.vectors[G]), 1.0
    slope, step, longest = bend(state.vectors, slope, step)
    phase.bent = 1 if longest == 1.0 and step == 1.0 else 0
    phase.line.longest = longest
    return slope, step


@jit(no_cpython_wrapper=True)
def _restart(state, phase):
    """Forget the curvature and search along ``-D g``; NEED_F, or FAILED."""
    p, g = state.vectors[P], state.vectors[G]
    scaled, metric = metric_of(state.vectors)
    if forget(state, phase):
        phase.restarts += 1
    for i in range(p.size):
        p[i] = -metric[i] * g[i] if scaled else -g[i]
    if phase.edge.held > 0:
        project(state, phase.edge, p)
        lead_inwards(state, phase.edge)
    if phase.held > 0:
        free_part(state.vectors, p)
    slope = dot(p, g)
    phase.steepest = 1
    phase.mode = SEARCHING
    if slope < 0.0 and math.isfinite(slope):
        c1 = max(phase.c1, min(STEEP_C1, 0.5 * phase.line.c2))
        if phase.step_norm == 0.0 and phase.first == 0.0:  # a length that is only guessed is learnt from f
            phase.line.refine = 1
        step = first_guess(state, phase, slope)
        if is_bounded(state.vectors):
            slope, step = _bend(state, phase, slope, step)
        return _begin_search(state, phase, slope, step, c1)
    phase.reason = ZERO_GRADIENT if slope == 0.0 else NOT_FINITE
    phase.code = FAILED
    return FAILED


@jit
def next_trial(state):
    """Choose a direction and place the first trial of its line search: NEED_F, or FAILED."""
    phase = state.slot[0]
    if phase.line.edge == 0:
        phase.edge.limited = 0
        phase.edge.jams = 0
        phase.edge.finishing = 0
    else:
        phase.line.edge = 0
        phase.edge.limited += 1
        phase.edge.jams += 1
        unseen = phase.edge.held == 0 and phase.edge.jams >= FINISH  # by values: they may be finite beyond it
        if unseen or (phase.edge.finishing and phase.edge.limited >= FINISH):
            phase.reason = AT_EDGE
            phase.code = FAILED
            return FAILED
        jammed = phase.edge.limited >= LIMITED and phase.edge.finishing == 0
        if jammed and begin_probe(state, phase.edge, phase.line.hi_a - phase.line.a):
            phase.mode = PROBING
            phase.code = NEED_F
            return NEED_F
    return _choose(state, phase)


@jit(no_cpython_wrapper=True)
def _choose(state, phase):
    """Choose a direction and place the first trial along it; see `next_trial`."""
    p, g = state.vectors[P], state.vectors[G]
    phase.mode = SEARCHING
    phase.line.refine = phase.line.exact
    if phase.edge.held > 0 and not along_the_edges(state, phase):
        phase.edge.held = 0
        phase.edge.limited = 0
        phase.edge.finishing = 1
        return _restart(state, phase)
    if is_bounded(state.vectors):
        phase.held = mark_free(state.vectors)
    slope, step = direction(state, phase)
    if 0.0 < step < math.inf:
        # sufficient descent, measured as an angle: far below what a sound memory ever gives
        bounded = is_bounded(state.vectors)
        size = free_dual_length(state.vectors) if bounded else dual_length(state.vectors, g)
        scale = size * length(state.vectors, p)
        if slope < -1e-12 * scale and scale < math.inf:
            phase.steepest = 0
            if bounded:
                slope, step = _bend(state, phase, slope, step)
            return _begin_search(state, phase, slope, step, phase.c1)
    return _restart(state, phase)


@jit(no_cpython_wrapper=True)
def _after_no_decrease(state, phase):
    """Ask how exact a value is; then restart along -D g, or give up where that was the direction already."""
    if phase.asked != phase.iterations:
        phase.asked = phase.iterations
        phase.code = NEED_NOISE
        return NEED_NOISE
    if phase.steepest == 0:
        return _restart(state, phase)
    phase.reason = WORKING_PRECISION if phase.precision else NO_DECREASE
    phase.code = FAILED
    return FAILED


@jit(no_cpython_wrapper=True)
def _accept(state, phase, a, f, g):
    """Move to the trial, and learn from the step.

    Its pair takes the places of the trial and of the old gradient, until the new one comes in.
    """
    v = state.vectors
    for i in range(v.shape[1]):
        v[G, i] = g[i] - v[G, i]
        step = v[XT, i] - v[X, i]
        v[X, i] = v[XT, i]
        v[XT, i] = step
    moved = length(state.vectors, v[XT])
    if 0.0 < moved < math.inf:
        phase.step_norm = moved
        phase.longest = max(phase.longest, moved)
    if math.isinf(phase.line.hi_f) and math.isfinite(phase.line.hi_a):
        phase.predicted = 0.0  # the edge of the domain, and not the gradient, has cut the step short
    if f - phase.f <= TOLD * a * phase.slope:
        phase.predicted = 0.0  # the step was too long by the model, and not by the slope
    learn_step(state, phase, a, f, g)
    copy(g, v[G])
    phase.f = f
    phase.last_a = a
    phase.last_slope = phase.slope
    phase.iterations += 1
    phase.code = ITERATION
    return ITERATION


@jit(no_cpython_wrapper=True)
def _moves(state, phase):
    """Whether the trial differs from the iterate by more than the rounding of some variable, and x takes it.

    A last digit of x can be had for ever, at the price of a failed search each.
    """
    x, trial = state.vectors[X], state.vectors[XT]
    for i in range(x.size):
        if abs(trial[i] - x[i]) > 4.0 * phase.eps * abs(x[i]):
            return takes(x, trial, state.vectors[G], phase.line.best_a * phase.slope)
    return False


@jit
def tell(state, f, g):
    """Take the value (after NEED_F; g is ignored) or the gradient (after NEED_G; f is ignored) at the trial.

    Answers NEED_F, NEED_G, NEED_NOISE, ITERATION (the iterate has moved; call `next_trial`) or FAILED. A
    search that fails first takes its lowest value (asking for the gradient there). Then it asks for the
    noise of a value, which f is after NEED_NOISE: with more noise than was thought it tries again, with
    slopes instead of values within it; else it restarts along ``-D g``.
    """
    phase = state.slot[0]
    if phase.mode == PROBING:
        phase.values += 1
        going = tell_probe(state, phase.edge, f)
        while going and is_bounded(state.vectors) and not is_inside(state.vectors, state.vectors[XT]):
            going = tell_probe(state, phase.edge, math.inf)  # beyond a bound nothing is asked for
        return NEED_F if going else _choose(state, phase)
    if phase.code == NEED_NOISE:
        if f > 2.0 * phase.line.noise and f < math.inf:
            phase.noise = f
            return _begin_search(
                state, phase, phase.slope, -2.0 * phase.predicted / phase.slope, phase.line.c1
            )
        return _after_no_decrease(state, phase)
    if phase.code == NEED_F:
        phase.values += 1
        code = line_tell_f(phase.line, f)
    else:
        phase.gradients += 1
        slope = math.nan
        if all_finite(g):
            slope = dot(g, state.vectors[P])
        if phase.mode == RESCUING:
            if math.isfinite(slope):
                return _accept(state, phase, phase.line.best_a, phase.line.best_f, g)
            return _after_no_decrease(state, phase)
        code = line_tell_g(phase.line, slope)
        if code == ITERATION:
            phase.unmet = 0
            return _accept(state, phase, phase.line.a, phase.line.fa, g)
    if code != FAILED:
        return _place(state, phase, code)
    if phase.line.best_a > 0.0:
        _set_trial(state, phase, phase.line.best_a)
        if _moves(state, phase):
            phase.mode = RESCUING
            phase.rescues += 1
            phase.unmet += 1
            if phase.unmet > RESCUES:
                phase.reason = UNMET
                phase.code = FAILED
                return FAILED
            phase.code = NEED_G
            return NEED_G
    return _after_no_decrease(state, phase)
