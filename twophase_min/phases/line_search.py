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

import numpy as np

from twophase_min.jit.compilation import jit

NEED_F = 1
NEED_G = 2
ITERATION = 4
FAILED = 5

# places in the array of scalars ``r``
F0, D0, A, FA, DA = 0, 1, 2, 3, 4  # start; trial
LO_A, LO_F, LO_D, HI_A, HI_F, HI_D = 5, 6, 7, 8, 9, 10  # bracket; a slope that is not known is NaN
BEST_A, BEST_F = 11, 12  # lowest value seen, of the start and the trials
PREV_A, PREV_D = 13, 14  # lower end before the present one
C1, C2, UPPER, NOISE = 15, 16, 17, 18
GUESS_A, GUESS_F = 19, 20  # the first trial, while that of the parabola through it is tried
N_REAL = 21
# places in the array of counters ``k``
TRIALS, MAX_TRIALS, REFINE, REFINING = 0, 1, 2, 3
PARABOLA = 4  # whether the last search ended on one
N_COUNT = 5

GROW = 10.0
"""Stepping out goes at most this many times further at once."""
QUADRATIC = 0.01
"""f counts as a parabola if the slope misses what the values promise by at most this share of the first."""
NEAR_QUADRATIC, NEAR_ELSE = 1e-3, 0.1
"""A first trial is moved to the minimum of its parabola if that is further away than this share of the step:
where the last search saw a parabola, and where it did not."""
DEEPEST = 0.1
"""Interpolation stays this fraction of the bracket away from either end."""


def line_init(
    c2: float = 0.9, upper: float = math.inf, max_trials: int = 40, refine: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Allocate a search.

    Parameters
    ----------
    c2 : float, default 0.9
        Curvature: the slope must have risen to ``c2 * slope(0)``, c1 < c2 < 1.
    upper : float, default inf
        The slope must not exceed ``upper * |slope(0)|``: ``c2`` gives the strong Wolfe conditions, inf the
        weak ones.
    max_trials : int, default 40
        Values that one search may ask for.
    refine : bool, default False
        Go from the first trial to the minimum of the parabola through it, unless it is there already: one
        value more, for a search that is exact on a quadratic (step I1 of Hager & Zhang 2005, section 3.2).

    Returns
    -------
    r : ndarray of float64, shape (21,)
        Scalars by the names above.
    k : ndarray of int64, shape (5,)
        Counters and settings.
    """
    r, k = np.zeros(N_REAL), np.zeros(N_COUNT, dtype=np.int64)
    r[C2], r[UPPER], k[MAX_TRIALS], k[REFINE] = c2, upper, max_trials, refine
    return r, k


@jit
def line_start(r, k, f0, d0, step, noise, c1):
    """Begin at value ``f0`` with slope ``d0 < 0``; the first trial is ``step > 0``. Always answers NEED_F.

    ``noise`` is the absolute rounding error of a value: within it, slopes decide instead of values. ``c1``
    is the fraction of the promised decrease that a step must bring.
    """
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
    r[PREV_D] = math.nan
    r[NOISE] = noise
    r[C1] = c1
    k[TRIALS] = 0
    k[REFINING] = 0
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


@jit(no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _next_trial(r, k):
    """Choose the next trial from the bracket; FAILED when there is nothing left between its ends."""
    if k[TRIALS] >= k[MAX_TRIALS]:
        return FAILED
    lo, hi = r[LO_A], r[HI_A]
    if math.isinf(hi):
        # no upper end yet: step out by the secant through the slopes, at least double, at most GROW times
        new = math.nan
        if r[LO_A] > r[PREV_A] and r[LO_D] > r[PREV_D]:
            new = lo + (lo - r[PREV_A]) * r[LO_D] / (r[PREV_D] - r[LO_D])
        grown = lo * GROW
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
    r[A] = min(max(new, lo + DEEPEST * width), hi - DEEPEST * width)
    if r[A] <= lo or r[A] >= hi:
        return FAILED
    return NEED_F


@jit(no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _refined(r, k, f):
    """Move the first trial, with value f, to the minimum of its parabola; whether that is elsewhere."""
    a = r[A]
    # the rounding of the values must not be what the curvature is made of
    if not f - r[F0] - r[D0] * a > 100.0 * r[NOISE]:
        return False
    best = quadratic_minimum(0.0, r[F0], r[D0], a, f)
    near = NEAR_QUADRATIC if k[PARABOLA] else NEAR_ELSE
    if not 0.0 < best < GROW * a or abs(best - a) <= near * a:
        return False
    r[GUESS_A] = a
    r[GUESS_F] = f
    r[A] = best
    return True


@jit
def line_tell_f(r, k, f):
    """Take the value at the trial: NEED_G where it passes, NEED_F at another trial, or FAILED."""
    k[TRIALS] += 1
    if k[REFINING]:
        k[REFINING] = 0
        if not f < r[GUESS_F]:  # the parabola misled; the first trial's value is known to who remembers it
            if r[A] > r[GUESS_A]:
                r[HI_A] = r[A]
                r[HI_F] = f if math.isfinite(f) else math.inf
                r[HI_D] = math.nan
            r[A] = r[GUESS_A]
            return NEED_F
        if r[A] < r[GUESS_A]:
            r[HI_A] = r[GUESS_A]
            r[HI_F] = r[GUESS_F]
            r[HI_D] = math.nan
    if not math.isfinite(f):
        r[HI_A] = r[A]
        r[HI_F] = math.inf
        r[HI_D] = math.nan
        return _next_trial(r, k)
    if f < r[BEST_F]:
        r[BEST_F] = f
        r[BEST_A] = r[A]
    passes = f <= r[F0] + r[C1] * r[A] * r[D0] and f <= r[LO_F]
    if passes and k[REFINE] and k[TRIALS] == 1 and k[MAX_TRIALS] > 2 and _refined(r, k, f):
        k[REFINING] = 1
        return NEED_F
    if passes or (abs(f - r[F0]) <= r[NOISE] and f <= r[LO_F] + r[NOISE]):
        r[FA] = f
        return NEED_G
    r[HI_A] = r[A]
    r[HI_F] = f
    r[HI_D] = math.nan
    return _next_trial(r, k)


@jit
def line_tell_g(r, k, slope):
    """Take the slope at the trial whose value passed: ITERATION (accepted), NEED_F elsewhere, or FAILED."""
    if not math.isfinite(slope):
        r[HI_A] = r[A]
        r[HI_F] = math.inf
        r[HI_D] = math.nan
        return _next_trial(r, k)
    r[DA] = slope
    upper = r[UPPER]
    if r[FA] > r[F0] + r[C1] * r[A] * r[D0]:
        # the value passed only within rounding: the approximate Wolfe test bounds the slope from above
        upper = min(upper, 1.0 - 2.0 * r[C1])
    if slope < r[C2] * r[D0]:
        r[PREV_A] = r[LO_A]
        r[PREV_D] = r[LO_D]
        r[LO_A] = r[A]
        r[LO_F] = r[FA]
        r[LO_D] = slope
        return _next_trial(r, k)
    if slope > -upper * r[D0]:
        r[HI_A] = r[A]
        r[HI_F] = r[FA]
        r[HI_D] = slope
        return _next_trial(r, k)
    away = slope - (2.0 * (r[FA] - r[F0]) / r[A] - r[D0])
    k[PARABOLA] = 1 if abs(away) <= -QUADRATIC * r[D0] else 0
    return ITERATION
