"""Bounds in a phase with a line search: what they hold, and steps that end at them.

A variable is *held* while it is at a limit and the gradient pushes it outwards, or while both limits are one.
The others are free: a direction is one in the free variables, and its first trial is projected onto the box.
Where that is the trial itself, the search runs along the direction, to the nearest limit at most. Else it
runs along the segment to the projected trial, so that many variables may arrive at limits in one step, and
all decisions of the search are those of a straight line. Any number of variables may leave in the next one.

A projected step need not lead downhill (Bertsekas, "Projected Newton methods for optimization problems with
simple constraints", SIAM J. Control Optim. 20, 1982). It is shortened until it promises no less than the
straight step to the nearest limit does. Close to the limits it bends around nothing but those, and then it
does.

The limits are rows LOWER and UPPER of the vectors, and row FREE is 1 for free variables and 0 for held ones.
A state without these rows has no bounds.
"""

from __future__ import annotations

import math

import numpy as np

from twophase_min.jit.compilation import by_type, jit
from twophase_min.jit.kernels import copy, dot
from twophase_min.phases import COLUMNS, FREE, LOWER, UPPER, XT, G, P, X
from twophase_min.phases.metric import metric_of

SNAP = 4.0
"""Rounding units of a variable within which a trial is at a limit: ``x + (limit - x)`` may miss it."""
SHORTER = 0.5
"""Factor by which a projected step that leads nowhere is shortened."""
ROUNDS = 60
"""Times at most."""

_inner = jit(no_cpython_wrapper=True)


@_inner
def is_bounded(vectors):
    """Whether the vectors of a convex phase have limits."""
    return vectors.shape[0] > LOWER


@jit
def reduce(x, g, lower, upper, out):
    """Write the projected gradient ``x - P(x - g)`` into ``out``, which may be g."""
    for i in range(x.size):
        slope = g[i]
        if slope > x[i] - lower[i]:
            slope = x[i] - lower[i]
        if slope < x[i] - upper[i]:
            slope = x[i] - upper[i]
        out[i] = slope


@_inner
def clip(x, lower, upper):
    """Project a point onto the box, in place; whether it was outside."""
    outside = False
    for i in range(x.size):
        if x[i] < lower[i]:
            x[i] = lower[i]
            outside = True
        elif x[i] > upper[i]:
            x[i] = upper[i]
            outside = True
    return outside


@_inner
def is_held(x, g, lower, upper):
    """Whether a variable is at a limit that the gradient pushes it against, or has no room at all."""
    return (x <= lower and g > 0.0) or (x >= upper and g < 0.0) or lower == upper


@jit
def mark_free(vectors):
    """Write row FREE; how many variables are held."""
    held = 0
    for i in range(vectors.shape[1]):
        vectors[FREE, i] = 1.0
        if is_held(vectors[X, i], vectors[G, i], vectors[LOWER, i], vectors[UPPER, i]):
            vectors[FREE, i] = 0.0
            held += 1
    return held


@_inner
def free_part(vectors, vector):
    """Set the entries of held variables to 0, in place."""
    for i in range(vector.size):
        if vectors[FREE, i] == 0.0:
            vector[i] = 0.0


@_inner
def free_dual_length(vectors):
    """Norm of the gradient in the free variables, scaled: ``sqrt(g . D g)``."""
    scaled, metric = metric_of(vectors)
    total = 0.0
    for i in range(vectors.shape[1]):
        if vectors[FREE, i] != 0.0:
            d = np.float64(metric[i]) if scaled else 1.0
            total += np.float64(vectors[G, i]) * d * np.float64(vectors[G, i])
    return math.sqrt(total)


@_inner
def keep_inside(vectors, trial, eps):
    """Put a trial into the box, and exactly at the limits that it reaches up to rounding."""
    for i in range(trial.size):
        near = SNAP * eps * max(abs(vectors[X, i]), abs(trial[i]))
        if trial[i] <= vectors[LOWER, i] + near:
            trial[i] = vectors[LOWER, i]
        elif trial[i] >= vectors[UPPER, i] - near:
            trial[i] = vectors[UPPER, i]


@_inner
def is_inside(vectors, trial):
    """Whether a trial is in the box."""
    for i in range(trial.size):  # noqa: SIM110
        if trial[i] < vectors[LOWER, i] or trial[i] > vectors[UPPER, i]:
            return False
    return True


@_inner
def _room(vectors, i):
    """Return the multiple of the direction at which variable i arrives at a limit; inf for none."""
    p = np.float64(vectors[P, i])
    if p > 0.0:
        return (np.float64(vectors[UPPER, i]) - np.float64(vectors[X, i])) / p
    if p < 0.0:
        return (np.float64(vectors[LOWER, i]) - np.float64(vectors[X, i])) / p
    return math.inf


@_inner
def corner(vectors):
    """Say how far the projected path along the direction leads, until every variable has come to a limit.

    Returns
    -------
    step : float
        Multiple of row P at which the last one arrives; inf where a variable has no limit ahead.
    far : float
        Distance of the farthest of these limits, scaled.
    """
    scaled, metric = metric_of(vectors)
    step = 0.0
    far = 0.0
    for i in range(vectors.shape[1]):
        if vectors[P, i] != 0.0:
            room = _room(vectors, i)
            d = math.sqrt(metric[i]) if scaled else 1.0
            step = max(step, room)
            far = max(far, room * abs(np.float64(vectors[P, i])) / d)
    return step, far


@by_type
def column(state, phase, i, out):
    """Write column i of the inverse Hessian of the free variables into ``out``; whether there is one."""


@_inner
def _first_beyond(vectors):
    """Return the variable that the step in row P carries beyond its limit first; -1 for none."""
    found, nearest = -1, 1.0
    for i in range(vectors.shape[1]):
        room = _room(vectors, i)
        if room < nearest:
            found, nearest = i, room
    return found


@_inner
def arrive(state, phase, step):
    """Have the step stop at limits as the model of f has it; whether that leads downhill.

    The model's minimum, ``s = -H g``, lies beyond limits. With variable i put at its limit the minimum of the
    others is ``s + h (limit - x_i - s_i) / h_i``, where h is column i of H, and from then on
    ``H - h h' / h_i`` takes the place of H. So limits are put in one by one, in the order in which the ray
    along s meets them. What is still beyond after `COLUMNS` of them is left to `bend`.

    Parameters
    ----------
    state, phase : state and record of the phase
        Row P is turned into the step; row XT is scratch.
    step : float
        Length of the first trial along row P.
    """
    v = state.vectors
    p, g, x = v[P], v[G], v[X]
    copy(p, v[XT])
    for i in range(p.size):
        p[i] *= step
    many = 0
    while many < COLUMNS:
        i = _first_beyond(v)
        if i < 0:
            break
        h = v[FREE + 1 + many]
        if not column(state, phase, i, h):
            break
        for k in range(many):
            other, at = v[FREE + 1 + k], phase.arrived[k]
            share = other[i] / other[at]
            for j in range(h.size):
                h[j] -= share * other[j]
            h[at] = 0.0  # but for rounding
        if not h[i] > 0.0:
            break
        goal = (v[UPPER, i] if p[i] > 0.0 else v[LOWER, i]) - x[i]
        share = (goal - p[i]) / h[i]
        for j in range(h.size):
            p[j] += share * h[j]
        phase.arrived[many] = i
        many += 1
        p[i] = goal
    if many > 0 and dot(p, g) < 0.0:
        return True
    copy(v[XT], p)
    return False


@jit
def bend(vectors, slope, step):
    """Turn row P into the direction of a projected first trial, where the trial itself is outside.

    Parameters
    ----------
    vectors : ndarray, shape (8, n)
        Of the phase; row P is a direction of descent in the free variables.
    slope, step : float
        Slope along it, and the length of the first trial, both > 0 in modulus.

    Returns
    -------
    slope, step, longest : float
        Along the new row P; ``longest`` is the step length at which it meets a limit.
    """
    nearest = math.inf  # of the limits that are not where the iterate is
    straight = True
    for i in range(vectors.shape[1]):
        room = _room(vectors, i)
        if room < step:
            straight = False
        if 0.0 < room < nearest:
            nearest = room
    if straight:
        return slope, step, nearest
    wanted = min(nearest, step) * slope
    found = 0.0
    for _ in range(ROUNDS):
        found = 0.0
        for i in range(vectors.shape[1]):
            p = np.float64(vectors[P, i])
            if p != 0.0:
                found += np.float64(vectors[G, i]) * p * min(step, _room(vectors, i))
        if found <= wanted or step <= nearest:
            break
        step *= SHORTER
    for i in range(vectors.shape[1]):
        room = _room(vectors, i)
        if room < step:
            limit = vectors[UPPER, i] if vectors[P, i] > 0.0 else vectors[LOWER, i]
            vectors[P, i] = limit - vectors[X, i]
        else:
            vectors[P, i] *= step
    return found, 1.0, 1.0
