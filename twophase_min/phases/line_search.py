"""The Wolfe line search of our conjugate gradients: scalar Numba kernels that ask before they spend.

The search sees only numbers: step lengths, values and slopes along one direction. It asks for the *value* of
a trial first; the gradient is asked for only where the value already passes the sufficient-decrease test, so
a trial that is going to be shortened costs one evaluation instead of two. All numbers are float64 whatever
the vectors are.

References: Nocedal & Wright, *Numerical Optimization* (2006), section 3.5 and algorithms 3.5-3.6; Hager &
Zhang, SIAM J. Optim. 16 (2005), 170-192, equations (T1)-(T2) for the approximate Wolfe test in the rounding
zone.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from twophase_min._jit import jit

NEED_F = 1
NEED_G = 2
ITERATION = 4
FAILED = 5

# places in LineState.real
F0, D0, A, FA, DA = 0, 1, 2, 3, 4
LO_A, LO_F, LO_D, HI_A, HI_F, HI_D = 5, 6, 7, 8, 9, 10
BEST_A, BEST_F = 11, 12
C1, C2, UPPER, NOISE, GROW = 13, 14, 15, 16, 17
PREV_A, PREV_F = 18, 19
N_REAL = 20
# places in LineState.count
TRIALS, MAX_TRIALS = 0, 1
N_COUNT = 2


class LineState(NamedTuple):
    """One line search, all of it.

    Attributes
    ----------
    real : ndarray of float64, shape (20,)
        Start value and slope, trial, bracket (slope NaN where unknown), best trial, constants.
    count : ndarray of int64, shape (2,)
        Trials so far and allowed.
    """

    real: np.ndarray
    count: np.ndarray


def line_init(c1: float = 1e-4, c2: float = 0.9, upper: float = math.inf, max_trials: int = 40) -> LineState:
    """Allocate a search.

    Parameters
    ----------
    c1 : float, default 1e-4
        Sufficient decrease, 0 < c1 < 1/2.
    c2 : float, default 0.9
        Curvature: the slope must have risen to ``c2 * slope(0)``, c1 < c2 < 1.
    upper : float, default inf
        The slope must not exceed ``upper * |slope(0)|``: ``c2`` gives the strong Wolfe conditions, inf the
        weak ones.
    max_trials : int, default 40
        Values that one search may ask for.
    """
    state = LineState(np.zeros(N_REAL), np.zeros(N_COUNT, dtype=np.int64))
    state.real[C1], state.real[C2], state.real[UPPER], state.real[GROW] = c1, c2, upper, 10.0
    state.count[MAX_TRIALS] = max_trials
    return state


@jit
def line_start(state, f0, d0, step, noise):
    """Begin at value ``f0`` with slope ``d0 < 0``; the first trial is ``step > 0``. Always answers NEED_F.

    ``noise`` is the absolute rounding error of a value: within it, slopes decide instead of values.
    """
    r = state.real
    r[F0] = f0
    r[D0] = d0
    r[A] = step
    r[FA] = math.nan
    r[DA] = math.nan
    r[LO_A] = 0.0
    r[LO_F] = f0
    r[LO_D] = d0
    r[HI_A] = math.inf
    r[HI_F] = math.inf
    r[HI_D] = math.nan
    r[BEST_A] = 0.0
    r[BEST_F] = f0
    r[PREV_A] = math.nan
    r[PREV_F] = math.nan
    r[NOISE] = noise
    state.count[TRIALS] = 0
    return NEED_F


@jit
def cubic_minimum(a, fa, da, b, fb, db):
    """Minimiser of the cubic with values and slopes at a and b (N&W equation 3.59); NaN where it has none."""
    d1 = da + db - 3.0 * (fa - fb) / (a - b)
    square = d1 * d1 - da * db
    if not square >= 0.0:
        return math.nan
    d2 = math.copysign(math.sqrt(square), b - a)
    return b - (b - a) * (db + d2 - d1) / (db - da + 2.0 * d2)


@jit
def quadratic_minimum(a, fa, da, b, fb):
    """Minimiser of the parabola with value and slope at a and value at b (N&W equation 3.57)."""
    w = b - a
    return a - 0.5 * da * w * w / (fb - fa - da * w)


@jit
def _next_trial(state):
    """Choose the next trial from the bracket; FAILED when there is nothing left between its ends."""
    r = state.real
    if state.count[TRIALS] >= state.count[MAX_TRIALS]:
        return FAILED
    lo, hi = r[LO_A], r[HI_A]
    if math.isinf(hi):
        # no upper end yet: step out by the secant through the slopes, at least double, at most GROW times
        new = math.nan
        if r[LO_A] > r[PREV_A] and r[LO_D] > r[PREV_F]:
            new = lo + (lo - r[PREV_A]) * r[LO_D] / (r[PREV_F] - r[LO_D])
        grown = lo * r[GROW]
        if not new < grown:
            new = grown
        new = max(new, 2.0 * lo)
        if not math.isfinite(new):
            return FAILED
        r[A] = new
        return NEED_F
    width = hi - lo
    if not width > 2.0**-52 * hi:
        return FAILED
    if not math.isfinite(r[HI_F]):
        new = lo + 0.1 * width
    elif not math.isnan(r[HI_D]):
        new = cubic_minimum(lo, r[LO_F], r[LO_D], hi, r[HI_F], r[HI_D])
    elif abs(r[HI_F] - r[LO_F]) <= r[NOISE]:
        new = lo + 0.5 * width
    else:
        new = quadratic_minimum(lo, r[LO_F], r[LO_D], hi, r[HI_F])
    if not math.isfinite(new):
        new = lo + 0.5 * width
    r[A] = min(max(new, lo + 0.05 * width), hi - 0.1 * width)
    if r[A] <= lo or r[A] >= hi:
        return FAILED
    return NEED_F


@jit
def line_tell_f(state, f):
    """Take the value at the trial: NEED_G where it passes, NEED_F at a shorter trial, or FAILED."""
    r = state.real
    state.count[TRIALS] += 1
    if not math.isfinite(f):
        r[HI_A] = r[A]
        r[HI_F] = math.inf
        r[HI_D] = math.nan
        return _next_trial(state)
    if f < r[BEST_F]:
        r[BEST_F] = f
        r[BEST_A] = r[A]
    passes = f <= r[F0] + r[C1] * r[A] * r[D0] and f <= r[LO_F]
    if passes or (f <= r[F0] + r[NOISE] and f <= r[LO_F] + r[NOISE]):
        r[FA] = f
        return NEED_G
    r[HI_A] = r[A]
    r[HI_F] = f
    r[HI_D] = math.nan
    return _next_trial(state)


@jit
def line_tell_g(state, slope):
    """Take the slope at the trial whose value passed: ITERATION (accepted), NEED_F elsewhere, or FAILED."""
    r = state.real
    if not math.isfinite(slope):
        r[HI_A] = r[A]
        r[HI_F] = math.inf
        r[HI_D] = math.nan
        return _next_trial(state)
    r[DA] = slope
    upper = r[UPPER]
    if r[FA] > r[F0] + r[C1] * r[A] * r[D0]:
        # the value passed only within rounding: the approximate Wolfe test bounds the slope from above
        upper = min(upper, 1.0 - 2.0 * r[C1])
    if slope < r[C2] * r[D0]:
        r[PREV_A] = r[LO_A]
        r[PREV_F] = r[LO_D]
        r[LO_A] = r[A]
        r[LO_F] = r[FA]
        r[LO_D] = slope
        return _next_trial(state)
    if slope > -upper * r[D0]:
        r[HI_A] = r[A]
        r[HI_F] = r[FA]
        r[HI_D] = slope
        return _next_trial(state)
    return ITERATION
