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
from typing import Any

from twophase_min.jit.compilation import jit
from twophase_min.jit.records import Record, count, real
from twophase_min.phases import FAILED, ITERATION, NEED_F, NEED_G

LINE = Record(
    "Line",
    real("f0", "value at the start, unit f"),
    real("d0", "slope there, unit f per unit of the step length"),
    real("a", "trial: step length, as a multiple of the direction"),
    real("fa", "value at the trial whose gradient is requested, NaN before"),
    real("lo_a", "lower end of the bracket: step length"),
    real("lo_f", "value there"),
    real("lo_d", "slope there"),
    real("hi_a", "upper end of the bracket, inf while there is none"),
    real("hi_f", "value there, inf where it is not finite"),
    real("hi_d", "slope there, NaN where it is not known"),
    real("best_a", "step length of the lowest value seen, 0 for the start"),
    real("best_f", "lowest value seen, of the start and the trials"),
    real("width", "that of the bracket after the trial before last, inf before", math.inf),
    real("last_width", "that after the last trial, inf before", math.inf),
    real("prev_a", "lower end before the present one"),
    real("prev_d", "slope there"),
    real("c1", "sufficient decrease: share of the decrease that the slope promises"),
    real("c2", "curvature: share of the first slope that must be gone", 0.9),
    real("upper", "bound of the slope from above, in units of the first one; inf for none", math.inf),
    real("noise", "rounding error of a value, unit f"),
    real("guess_a", "the first trial, while the minimum of the parabola through it is tried"),
    real("guess_f", "value there"),
    real("longest", "step length that a trial may have at most: there the direction meets a bound", math.inf),
    count("trials", "values that this search has asked for"),
    count("max_trials", "values that a search may ask for", 40),
    count("exact", "flag: every search goes from its first trial to the minimum of its parabola"),
    count("refine", "flag: this one does"),
    count("refining", "flag: that minimum is being tried"),
    count("edge", "flag: the trial was accepted because the edge of the domain is near, not for its slope"),
    count("parabola", "flag: the last search saw a parabola"),
)
"""State of a search along one direction."""

GROW, GROW_EXACT = 4.0, 10.0
"""Stepping out goes at most this many times further at once; in a search that is exact on a parabola, where a
shorter step would cost conjugate gradients their conjugacy, and where the minimum of the parabola through
the first trial may be this many times further away."""
QUADRATIC = 0.01
"""f counts as a parabola if the slope misses what the values promise by at most this share of the first."""
NEAR_QUADRATIC, NEAR_ELSE = 1e-3, 0.1
"""A first trial is moved to the minimum of its parabola if that is further away than this share of the step:
where the last search saw a parabola, and where it did not."""
SEEN = 0.25
"""Share of the noise that the slope must promise of a bracket at whose upper end the value failed: else the
search ends, as values would not show what is between."""
DEEPEST = 0.1
"""Interpolation stays this fraction of the bracket away from either end."""
SHRINK = 0.66
"""Share of the bracket that two trials may leave; else the next one is in its middle (More & Thuente, ACM
Trans. Math. Softw. 20, 1994, section 4): against a jump interpolation misleads, again and again."""
REACH = 0.5
"""Where a value beyond is not finite, a step over this share of the way there need not flatten the slope."""


def line_init(
    line: Any, c2: float = 0.9, upper: float = math.inf, max_trials: int = 40, refine: bool = False
) -> None:
    """Enter the settings of a search.

    Parameters
    ----------
    line : view of `LINE`
        Written.
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
    """
    line.c2, line.upper, line.max_trials = c2, upper, max_trials
    line.exact = line.refine = int(refine)


@jit(no_cpython_wrapper=True)
def line_start(line, f0, d0, step, noise, c1):
    """Begin at value ``f0`` with slope ``d0 < 0``; the first trial is ``step > 0``. Always answers NEED_F.

    ``noise`` is the absolute rounding error of a value: within it, slopes decide instead of values. ``c1``
    is the fraction of the promised decrease that a step must bring.
    """
    line.f0 = f0
    line.d0 = d0
    line.a = step
    line.fa = math.nan
    line.lo_a = 0.0
    line.lo_f = f0
    line.lo_d = d0
    line.hi_a = math.inf
    line.hi_f = math.inf
    line.hi_d = math.nan
    line.best_a = 0.0
    line.best_f = f0
    line.width = math.inf
    line.last_width = math.inf
    line.prev_a = math.nan
    line.prev_d = math.nan
    line.noise = noise
    line.c1 = c1
    line.trials = 0
    line.refining = 0
    line.edge = 0
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


@jit(no_cpython_wrapper=True)
def _upper_end(line, a, f, slope):
    """Put the upper end of the bracket at step length a; the slope is NaN where it is not known."""
    line.hi_a = a
    line.hi_f = f if math.isfinite(f) else math.inf
    line.hi_d = slope


@jit(no_cpython_wrapper=True)
def _next_trial(line):
    """Choose the next trial from the bracket; FAILED when there is nothing left between its ends."""
    if line.trials >= line.max_trials:
        return FAILED
    lo, hi = line.lo_a, line.hi_a
    if math.isinf(hi):
        # no upper end yet: step out by the secant through the slopes, at least double, at most GROW times
        new = math.nan
        if line.lo_a > line.prev_a and line.lo_d > line.prev_d:
            new = lo + (lo - line.prev_a) * line.lo_d / (line.prev_d - line.lo_d)
        grown = lo * (GROW_EXACT if line.refine else GROW)
        if not new < grown:
            new = grown
        new = min(max(new, 2.0 * lo), line.longest)
        if not math.isfinite(new):
            return FAILED
        line.a = new
        return NEED_F
    width = hi - lo
    if not width > 2.0**-52 * hi:
        return FAILED
    if not math.isfinite(line.hi_f):
        new = lo + (0.1 if lo == 0.0 else 0.5) * width
    elif not math.isnan(line.hi_d):
        new = cubic_minimum(lo, line.lo_f, line.lo_d, hi, line.hi_f, line.hi_d)
    elif abs(line.hi_f - line.lo_f) <= line.noise:
        new = lo + 0.5 * width
    else:
        new = quadratic_minimum(lo, line.lo_f, line.lo_d, hi, line.hi_f)
    if not math.isfinite(new) or width > SHRINK * line.width:
        new = lo + 0.5 * width
    line.width = line.last_width
    line.last_width = width
    line.a = min(max(new, lo + DEEPEST * width), hi - DEEPEST * width)
    if math.isnan(line.hi_d) and -line.lo_d * width < SEEN * line.noise:  # no value can show such a decrease
        return FAILED
    if line.a <= lo or line.a >= hi:
        return FAILED
    return NEED_F


@jit(no_cpython_wrapper=True)
def _refined(line, f):
    """Move the first trial, with value f, to the minimum of its parabola; whether that is elsewhere."""
    a = line.a
    # the rounding of the values must not be what the curvature is made of
    if not f - line.f0 - line.d0 * a > 100.0 * line.noise:
        return False
    best = min(quadratic_minimum(0.0, line.f0, line.d0, a, f), line.longest)
    near = NEAR_QUADRATIC if line.parabola else NEAR_ELSE
    if not 0.0 < best < GROW_EXACT * a or abs(best - a) <= near * a:
        return False
    line.guess_a = a
    line.guess_f = f
    line.a = best
    return True


@jit(no_cpython_wrapper=True)
def line_tell_f(line, f):
    """Take the value at the trial: NEED_G where it passes, NEED_F at another trial, or FAILED."""
    line.trials += 1
    if line.refining:
        line.refining = 0
        if not f < line.guess_f:  # the parabola misled; the first trial's value is known to who remembers it
            if line.a > line.guess_a:
                _upper_end(line, line.a, f, math.nan)
            line.a = line.guess_a
            return NEED_F
        if line.a < line.guess_a:
            _upper_end(line, line.guess_a, line.guess_f, math.nan)
    if not math.isfinite(f):
        _upper_end(line, line.a, f, math.nan)
        return _next_trial(line)
    if f < line.best_f:
        line.best_f = f
        line.best_a = line.a
    passes = f <= line.f0 + line.c1 * line.a * line.d0 and f <= line.lo_f
    if passes and line.refine and line.trials == 1 and line.max_trials > 2 and _refined(line, f):
        line.refining = 1
        return NEED_F
    if passes or (abs(f - line.f0) <= line.noise and f <= line.lo_f + line.noise):
        line.fa = f
        return NEED_G
    _upper_end(line, line.a, f, math.nan)
    return _next_trial(line)


@jit(no_cpython_wrapper=True)
def line_tell_g(line, slope):
    """Take the slope at the trial whose value passed: ITERATION (accepted), NEED_F elsewhere, or FAILED."""
    if not math.isfinite(slope):
        _upper_end(line, line.a, math.inf, math.nan)
        return _next_trial(line)
    upper = line.upper
    if line.fa > line.f0 + line.c1 * line.a * line.d0:
        # the value passed only within rounding: the approximate Wolfe test bounds the slope from above
        upper = min(upper, 1.0 - 2.0 * line.c1)
    if slope < line.c2 * line.d0:
        if line.a >= line.longest and line.fa < line.f0:
            return ITERATION
        if math.isinf(line.hi_f) and REACH * line.hi_a <= line.a < line.hi_a and line.fa < line.f0:
            line.edge = 1
            return ITERATION
        line.prev_a = line.lo_a
        line.prev_d = line.lo_d
        line.lo_a = line.a
        line.lo_f = line.fa
        line.lo_d = slope
        return _next_trial(line)
    if slope > -upper * line.d0:
        _upper_end(line, line.a, line.fa, slope)
        return _next_trial(line)
    away = slope - (2.0 * (line.fa - line.f0) / line.a - line.d0)
    line.parabola = 1 if abs(away) <= -QUADRATIC * line.d0 else 0
    return ITERATION
