"""Differences formed anew: for values that are noisier than thought, or carry a large constant.

Over a step h the error of a difference is that of a value, over h. Usual steps are made for the rounding of
f alone, and for an f that varies by its own size. Where a phase of differences ends, two values tell whether
f is as exact as that. If it is not, the noise is measured (`run.noise`), and steps become as long as it asks
for. An end that the earlier differences had led to is taken back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from twophase_min._status import Cause, Status, Stop
from twophase_min.jit.kernels import norm2, norm_inf
from twophase_min.objective.bounds import Box
from twophase_min.objective.gradient import EPS
from twophase_min.objective.memory import Point
from twophase_min.objective.sharpening import WORTH
from twophase_min.run.ends import take_back
from twophase_min.run.noise import CHANGE, FIRST
from twophase_min.run.settling import noise_at, size_of
from twophase_min.run.state import CONVEX

if TYPE_CHECKING:
    from twophase_min.run.driver import Driver

Array = NDArray[np.floating]

LOOKS = 3
"""Times that a run which lost its precision may go on from what the diagnosis has found."""
SPACINGS = 64.0
"""Spacings of the largest variable that a step has to go at least for x to take it."""
ASIDE = 0.25
"""Share of the size of x over which f is asked what it varies by, where no decrease tells."""
INSIDE = 2.0**-10
"""Share of the size of x by which a point is moved off its limits, for noise to be measured on both sides."""
BLURRED = 16.0
"""Error of a gradient by differences, over gtol, from which on it is not what the test was passed by."""


def see_more(driver: Driver, f: float, g: Array) -> tuple[float, Array]:
    """Look again, over longer steps, at a start where all differences are zero: f may have few digits."""
    objective, x = driver.objective, driver.point.x
    if not objective.may_refit or not np.isfinite(f) or np.any(g):
        return f, g
    noise = max(_noise_of_digits(driver, f), EPS * abs(f))
    if not objective.coarsen(noise, _range_of(driver, f, noise)):
        return f, g
    return objective.value_and_gradient(x)


def _noise_of_digits(driver: Driver, f: float) -> float:
    """Return the noise of f at a start where it does not change over usual steps.

    Where none is measured, as values of few digits may lie on a straight line, it is the first change along a
    growing distance: their last digit, or so.
    """
    objective, x = driver.objective, driver.point.x
    size = np.maximum(1.0, np.abs(x))
    if objective.box is not None:
        size = np.where(objective.box.upper - x < ASIDE * size, -size, size)
    noise = noise_at(driver, x, f, size)
    h = FIRST
    while noise == 0.0 and h < ASIDE:
        ahead = x + h * size
        change = abs(objective.value(ahead if objective.box is None else objective.box.clip(ahead)) - f)
        noise = change if np.isfinite(change) else 0.0
        h *= CHANGE
    return noise


def refits(driver: Driver, ended: bool = True) -> int:
    """Look whether differences should be formed otherwise, for values that are noisier than thought.

    A phase that got on badly with short steps, or came to rest by them, has not been told what f does. Longer
    ones are less exact: central differences follow forward ones of our own choice where they lead no further.

    Parameters
    ----------
    driver : Driver
        At an iterate of a phase.
    ended : bool, default True
        Whether the phase has come to its end.

    Returns
    -------
    int
        COARSER or SHARPER, for the phase to begin anew; NONE.
    """
    objective, point = driver.objective, driver.point
    if not objective.may_refit or point.g is None:
        return Cause.NONE
    noise = EPS * abs(point.f) if is_exact(driver, point) else noise_at(driver, point.x, point.f, point.g)
    cause = Cause.NONE
    if objective.coarsen(noise, _range_of(driver, point.f, noise)):
        cause = Cause.COARSER
    elif ended and objective.is_coarse and objective.kind == "2-point" and objective.sharpen():
        cause = Cause.SHARPER
    if cause == Cause.NONE:
        return cause
    _begin_anew(driver)
    return Cause.NONE if driver.loop.off_incumbent else cause


def reopens(driver: Driver, end: Stop) -> bool:
    """Whether a run that has converged by differences goes on with others, which can tell that it has.

    The error of a value, over the length of a step, is that of an entry of the gradient. Where it is far
    above gtol, the test has told nothing: a large constant in f hides any slope. At limits that the gradient
    points out of, its sign alone has passed the test, and noise has signs: there it is asked for.
    """
    objective, loop, best = driver.objective, driver.loop, driver.objective.best
    if end.status != Status.CONVERGED or best is None or driver.looks >= LOOKS:
        return False
    noise = max(EPS * abs(best.f), float(driver.machine.noise(driver.slot)))
    if objective.box is not None and objective.may_refit:
        noise = max(noise, _noise_at_limits(driver, objective.box))
    if not objective.blur(noise) > BLURRED * loop.gtol:
        return False
    coarser = objective.coarsen(noise, _range_of(driver, driver.point.f, noise))
    if not coarser and not objective.sharpen():
        return False
    driver.looks += 1
    _begin_anew(driver)
    take_back(driver, Cause.COARSER if coarser else Cause.SHARPER, loop.phase == CONVEX)
    return True


def goes_on(driver: Driver) -> bool:
    """Whether a run that lost its precision goes on: from a lower point, or with a better gradient."""
    loop, objective = driver.loop, driver.objective
    if loop.status != Status.PRECISION_LOSS or loop.cause == Cause.NO_HANDOVER or driver.looks >= LOOKS:
        return False
    noise = float(driver.machine.noise(driver.slot))
    coarser = noise > 0.0 and objective.coarsen(noise, _range_of(driver, driver.point.f, noise))
    sharper = (not driver.at_edge and objective.sharpen()) or coarser
    cause = Cause.SHARPER if sharper else Cause.LOWER if driver.found_lower else Cause.NONE
    if cause == Cause.NONE:
        return False
    driver.looks += 1
    if sharper:
        _begin_anew(driver)
    take_back(driver, cause, False)
    return True


def _noise_at_limits(driver: Driver, box: Box) -> float:
    """Return the noise of f a little off the limits at which x is; 0 without any, or where f is exact."""
    point, limits = driver.point, box.active(driver.point.x)
    if not limits.any() or point.g is None or is_exact(driver, point):
        return 0.0
    inside = box.clip(point.x - INSIDE * limits * np.maximum(1.0, np.abs(point.x)))
    return noise_at(driver, inside, driver.objective.value(inside), point.g)


def _range_of(driver: Driver, f: float, noise: float) -> float:
    """Return what f varies by: the decrease so far; where that is noise, the change over some of x's size.

    So it does not depend on a constant that f carries.
    """
    objective, point, best = driver.objective, driver.point, driver.objective.best
    assert best is not None
    size, made = abs(best.f), float(driver.loop.start_f - best.f)
    if made > WORTH * noise:
        return min(size, made)
    away: Array = point.x + ASIDE * np.maximum(1.0, np.abs(point.x))
    away = away if objective.box is None else objective.box.clip(away)
    change = abs(objective.value(away) - f)
    return min(size, change) if noise < change < np.inf else size


def is_exact(driver: Driver, point: Point) -> bool:
    """Whether two values show what the slope promises, where that is twice the rounding taken for granted.

    Noise of any size that matters shows in them, and so do values of few digits, by not changing at all.
    """
    objective, x, g = driver.objective, point.x.astype(float), np.asarray(point.g, dtype=float)
    rounding, slope = float(driver.loop.rounding) * abs(point.f), float(norm2(g))
    if not 0.0 < slope < np.inf:
        return False
    away = max(2.0 * rounding / slope, SPACINGS * EPS * float(norm_inf(x))) / slope * g
    for trial in (x - away, x + away):
        inside = trial if objective.box is None else objective.box.clip(trial)
        promised = float((inside - x) @ g)
        if not abs(objective.value(inside) - point.f - promised) <= max(rounding, 0.5 * abs(promised)):
            return False
    return True


def _begin_anew(driver: Driver) -> None:
    """Forget what the earlier differences have taught: pairs, and the norm at x0 that ``gtol_rel`` means."""
    driver.pairs.clear()
    options, start = driver.options, driver.start
    if options.gtol_rel > 0.0 and options.resume is None and start is not None:
        g = driver.objective.evaluated(start.x).g
        assert g is not None
        driver.loop.gtol = max(options.gtol, options.gtol_rel * size_of(driver, start.x, g))
