"""Adam over flat vectors in ask/tell form, with a first step length that comes from the problem.

Kingma & Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1 (bias-corrected,
m0 = v0 = 0); the update itself is `jit.kernels.adam_step`. Here are the Numba kernels over a flat state.

Within bounds every step is projected onto the box. The moments take 0 for the gradient of a variable that a
bound holds: it neither pushes against the bound nor makes later steps shorter.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twophase_min.jit.compilation import jit
from twophase_min.jit.kernels import adam_serial, all_finite, copy, norm_inf
from twophase_min.jit.records import Record, count, real
from twophase_min.phases import FAILED, ITERATION, NEED_F, NEED_FG, NEED_G, G, X
from twophase_min.phases.box import clip, is_held
from twophase_min.phases.metric import median

Array = NDArray[np.floating]

ARMIJO = 0.4
"""Fraction of the decrease that the slope promises which the probe demands; an over-long step misses it."""
GUESS = 0.01
"""Learning rate that the probe begins with, in sizes of x (of 1, where x is zero)."""
GROWTH = 10.0
"""Factor by which the secant step of the probe may change the learning rate at most."""
SHARE = 0.3
"""Learning rate as a share of the step to the minimiser along the first direction, by the secant."""
MAX_REJECTIONS = 30
"""Non-finite or over-long trials in a row before Adam gives up."""

# Rows of AdamState.vectors behind the iterate and the gradient; SIZES only where the variables have sizes, or
# bounds, the last three only where they have bounds.
M, V, XT, SIZES, LOWER, UPPER, FELT = range(2, 9)

NONE, VANISHING, NO_STEP, VANISHED = range(4)

REASONS = (
    "",
    "the steps vanish against x",
    "no finite decreasing step along the first direction",
    "the step vanished against x before the objective became smaller, or it and its gradient finite",
)
"""Texts of the reason codes of a failure."""

ADAM = Record(
    "Adam",
    real("f", "value at the iterate, unit f", math.nan),
    real("rate", "learning rate in use, unit x; NaN until the start of a run that looks for it", math.nan),
    real("epsilon", "guard against division by zero, unit f/x; NaN until the start gives it", math.nan),
    real("curvature", "curvature s'y / s's of the last step, unit f/x^2; NaN before the first", math.nan),
    real("slope", "slope along the direction of the probe, per unit of the learning rate", math.nan),
    real("beta1", "decay rate of the first moment", math.nan),
    real("beta2", "decay rate of the second moment", math.nan),
    count("t", "updates made"),
    count("code", "what is requested: NEED_F, NEED_G, NEED_FG, ITERATION or FAILED", NEED_FG),
    count("probing", "flag: the first step length is being looked for"),
    count("clipped", "flag: a bound has shortened the trial of the probe"),
    count("adapting", "flag: the learning rate adapts, as none was given"),
    count("rejections", "trials in a row that were not finite, too long, or no step at all"),
    count("reason", "why the phase failed, see `REASONS`"),
)
"""Scalars of `AdamState`."""


class AdamState(NamedTuple):
    """All of one run, flat.

    Attributes
    ----------
    vectors : ndarray, shape (5, n), (6, n) or (9, n)
        Rows X, G, M, V, XT: iterate, gradient, first and second moment, trial; SIZES, the typical sizes of
        the variables, where given; and within bounds LOWER, UPPER and FELT, the limits and the gradient that
        the moments take.
    slot : slot of `ADAM`
        Scalars and counters.
    """

    vectors: np.ndarray
    slot: Any


def adam_init(
    n: int,
    dtype: Any = np.float64,
    learning_rate: float | None = None,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float | None = None,
    sizes: Array | None = None,
    box: tuple[Array, Array] | None = None,
) -> AdamState:
    """Allocate the state; the parameters are those of `Adam`."""
    rows = FELT + 1 if box is not None else SIZES + (sizes is not None)
    state = AdamState(np.zeros((rows, n), dtype=dtype), ADAM.new())
    if box is not None:
        state.vectors[SIZES], state.vectors[LOWER], state.vectors[UPPER] = 1.0, *box
    if sizes is not None:
        state.vectors[SIZES] = sizes
    if epsilon is None and learning_rate is not None:
        epsilon = 1e-8
    adam = ADAM.view(state.slot)
    adam.rate = math.nan if learning_rate is None else learning_rate
    adam.epsilon = math.nan if epsilon is None else epsilon
    adam.beta1, adam.beta2 = beta1, beta2
    adam.probing = adam.adapting = int(learning_rate is None)
    return state


@jit(no_cpython_wrapper=True)
def _sizes(vectors):
    """Whether the variables have typical sizes, and these; without some row that is not looked at."""
    sized = vectors.shape[0] > SIZES
    return sized, vectors[SIZES if sized else X]


@jit(no_cpython_wrapper=True)
def _feel(vectors):
    """Write the gradient that the moments take within bounds: 0 where a bound holds a variable."""
    for i in range(vectors.shape[1]):
        g = vectors[G, i]
        held = is_held(vectors[X, i], g, vectors[LOWER, i], vectors[UPPER, i])
        vectors[FELT, i] = 0.0 if held else g


@jit(no_cpython_wrapper=True)
def _scale_of_x(vectors):
    """Median of the non-zero variables in their typical sizes: a sign step moves small ones too."""
    x, work = vectors[X], vectors[XT]
    sized, sizes = _sizes(vectors)
    count = 0
    for i in range(x.size):
        size = abs(x[i] / sizes[i] if sized else x[i])
        if size == size and size != 0.0:  # the selection would never end on NaN
            work[count] = size
            count += 1
    return median(work, count)


@jit(no_cpython_wrapper=True)
def _steepest(vectors):
    """Slope along -sizes * sign(g)."""
    sized, sizes = _sizes(vectors)
    slope = 0.0
    for i in range(vectors.shape[1]):
        slope -= (np.float64(sizes[i]) if sized else 1.0) * abs(np.float64(vectors[G, i]))
    return slope


@jit
def adam_start(state, x, f, g):
    """Begin at an evaluated point, the moments at zero; answers what is needed, ITERATION without a probe."""
    vectors, adam = state.vectors, state.slot[0]
    copy(x, vectors[X])
    copy(g, vectors[G])
    for i in range(x.size):
        vectors[M, i] = 0.0
        vectors[V, i] = 0.0
    adam.f = f
    adam.t = 0
    adam.rejections = 0
    adam.reason = NONE
    adam.curvature = math.nan
    if math.isnan(adam.epsilon):
        largest = norm_inf(vectors[G])
        adam.epsilon = 1e-8 * largest if largest > 0.0 else 1e-8
    if adam.probing:
        adam.slope = _steepest(vectors)
        guess = GUESS * _scale_of_x(vectors)
        adam.rate = guess if 0.0 < guess < math.inf else GUESS
        adam.code = NEED_F
        _probe(state, adam)
    else:  # no step yet: an epoch begins with its own gradients, this one must not enter the moments
        copy(x, vectors[XT])
        adam.code = ITERATION
    return adam.code


@jit(no_cpython_wrapper=True)
def _probe(state, adam):
    """Place the trial along -sizes * sign(g); the moments wait until the step length is settled."""
    vectors, rate = state.vectors, adam.rate
    sized, sizes = _sizes(vectors)
    for i in range(vectors.shape[1]):
        step = rate * sizes[i] if sized else rate
        trial = np.float64(vectors[X, i])
        if vectors[G, i] > 0.0:
            trial -= step
        elif vectors[G, i] < 0.0:
            trial += step
        vectors[XT, i] = trial
    if vectors.shape[0] > LOWER:
        adam.clipped = 1 if clip(vectors[XT], vectors[LOWER], vectors[UPPER]) else 0
        if adam.clipped:
            adam.slope = _along(vectors, vectors[G]) / rate
        else:
            adam.slope = _steepest(vectors)


@jit(no_cpython_wrapper=True)
def _along(vectors, g):
    """Inner product of a gradient with the step from the iterate to the trial."""
    total = 0.0
    for i in range(g.size):
        total += np.float64(g[i]) * (np.float64(vectors[XT, i]) - np.float64(vectors[X, i]))
    return total


@jit
def adam_next(state):
    """Begin the step after an iteration: NEED_FG at the trial. The moments advance here, once a step."""
    vectors, adam = state.vectors, state.slot[0]
    adam.code = NEED_FG
    copy(vectors[X], vectors[XT])
    adam.t += 1
    bounded = vectors.shape[0] > LOWER
    if bounded:
        _feel(vectors)
    adam_serial(
        vectors[XT], vectors[M], vectors[V], vectors[FELT if bounded else G],
        adam.t, adam.rate, adam.beta1, adam.beta2, adam.epsilon,
    )  # fmt: skip
    if bounded:
        clip(vectors[XT], vectors[LOWER], vectors[UPPER])
    return NEED_FG


@jit
def adam_tell(state, f, g):
    """Take what was asked for (g is ignored after NEED_F); answers NEED_*, ITERATION or FAILED."""
    vectors, adam = state.vectors, state.slot[0]
    if adam.probing and adam.code == NEED_F:
        if not math.isfinite(f) or f > adam.f + ARMIJO * adam.rate * adam.slope:
            return _shorten(state, adam, f)
        adam.code = NEED_G
        return NEED_G
    if not math.isfinite(f) or not all_finite(g):
        return _shorten(state, adam, math.nan)
    s_s, before, after, moved = 0.0, 0.0, 0.0, False
    for i in range(g.size):
        s = np.float64(vectors[XT, i]) - np.float64(vectors[X, i])
        moved = moved or s != 0.0
        s_s += s * s
        before += s * vectors[G, i]
        after += s * g[i]
    adam.curvature = (after - before) / s_s if s_s > 0.0 else math.nan
    if adam.probing:
        _settle(state, adam, g)
    elif adam.adapting:
        _adapt(adam, before, after)
    if moved:
        adam.rejections = 0
    else:  # momentum may stand still once; for ever, it would be an endless loop without evaluations
        adam.rejections += 1
        if adam.rejections > MAX_REJECTIONS:
            adam.reason = VANISHING
            adam.code = FAILED
            return FAILED
    copy(vectors[XT], vectors[X])
    copy(g, vectors[G])
    adam.f = f
    adam.code = ITERATION
    return ITERATION


@jit(no_cpython_wrapper=True)
def _shorten(state, adam, f):
    """Pull an over-long or non-finite trial towards the iterate."""
    vectors = state.vectors
    adam.rejections += 1
    if adam.rejections > MAX_REJECTIONS:
        adam.reason = NO_STEP
        adam.code = FAILED
        return FAILED
    if adam.probing:
        factor = 0.1
        if math.isfinite(f):
            rate, slope = adam.rate, adam.slope
            excess = f - adam.f - slope * rate
            factor = min(0.5, max(0.05, -slope * rate / (2.0 * excess))) if excess > 0.0 else 0.5
        adam.rate *= factor
        adam.code = NEED_F
        _probe(state, adam)
    else:
        adam.rate *= 0.1
        # shrink the step, from the iterate that was kept: undoing it by arithmetic would drift
        for i in range(vectors.shape[1]):
            vectors[XT, i] = vectors[X, i] + 0.1 * (vectors[XT, i] - vectors[X, i])
        adam.code = NEED_FG
    for i in range(vectors.shape[1]):
        if vectors[XT, i] != vectors[X, i]:
            return adam.code
    adam.reason = VANISHED
    adam.code = FAILED
    return FAILED


@jit(no_cpython_wrapper=True)
def _settle(state, adam, g):
    """Book the accepted probe as Adam's first step and set the learning rate by the secant."""
    vectors = state.vectors
    rate, slope = adam.rate, adam.slope
    sized, sizes = _sizes(vectors)
    after = 0.0
    for i in range(g.size):
        old = np.float64(vectors[G, i])
        slope_i = sizes[i] * g[i] if sized else g[i]
        if old > 0.0:
            after -= slope_i
        elif old < 0.0:
            after += slope_i
        vectors[M, i] = (1.0 - adam.beta1) * old
        vectors[V, i] = (1.0 - adam.beta2) * (old * old)
    if vectors.shape[0] > LOWER:
        _feel(vectors)
        if adam.clipped:
            after = _along(vectors, g) / rate
        for i in range(g.size):
            if vectors[FELT, i] == 0.0:
                vectors[M, i] = 0.0
                vectors[V, i] = 0.0
    adam.t = 1
    if after > slope:
        best = SHARE * rate * slope / (slope - after)
        adam.rate = min(GROWTH * rate, max(rate / GROWTH, best))
    else:  # the slope steepens: not convex along the step
        adam.rate = math.sqrt(GROWTH) * rate
    adam.probing = 0


@jit(no_cpython_wrapper=True)
def _adapt(adam, before, after):
    """Lengthen steps along which the slope hardly changes, shorten those that overshoot.

    A rate found at x0 is right for x0 only. With s'g before and after the step, their ratio is 1 where the
    step is infinitesimal and 0 at the minimiser along it, whatever the units.
    """
    if before >= 0.0:  # momentum went uphill: its slope says nothing about the length
        adam.rate *= 0.9
    elif after < 0.8 * before:
        adam.rate *= 1.1
    elif after > 0.0:
        adam.rate *= 0.8


@jit
def adam_scales(state, out):
    """Bias-corrected root of the second moments, sqrt(v / (1 - beta2^t)), into ``out`` (float64)."""
    adam = state.slot[0]
    share = 1.0 - adam.beta2 ** max(adam.t, 1)
    for i in range(out.size):
        out[i] = math.sqrt(state.vectors[V, i] / share)
