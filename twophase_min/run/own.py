"""A convex phase of our own in ask/tell form, served by the loop in Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from twophase_min._status import Cause
from twophase_min.jit.kernels import norm2
from twophase_min.objective.gradient import INEXACT
from twophase_min.objective.memory import Point
from twophase_min.phases import FAILED, is_ours
from twophase_min.phases.metric import power_of_two
from twophase_min.phases.scaling import Scaling
from twophase_min.run.build import own_solver
from twophase_min.run.refit import refits
from twophase_min.run.result import relative_gradient
from twophase_min.run.settling import noise_at, reduced
from twophase_min.run.state import MOMENTS, STOP

if TYPE_CHECKING:
    from twophase_min.run.driver import Driver

Array = NDArray[np.floating]


def run(driver: Driver, method: str, scaled: bool) -> tuple[int, str]:
    """Run a phase of our own until it fails or the guard ends it; why, and its reason."""
    loop, objective = driver.loop, driver.objective
    if driver.own is None:
        driver.own = _begin(driver, method, scaled)
    own = driver.own
    while True:
        if not loop.unread:
            failed = driver.serve(own) == FAILED
            if failed or driver.machine.stands_still(driver.slot, own.f, objective.cost):
                refit = refits(driver)
                if refit != Cause.NONE:
                    return refit, ""
                _search_failed(driver, own)
                return (Cause.SEARCH_FAILED, own.reason) if failed else (Cause.TO_AND_FRO, "")
            driver.iteration(*own.iterate())
        if driver.machine.seems_hollow(driver.slot, own.f, own.predicted):
            own.take_noise(noise_at(driver, own.x, own.f, own.direction))
            if driver.machine.is_hollow(driver.slot, own.f, own.predicted):
                return Cause.HOLLOW, ""
        above = driver.machine.within_noise(driver.slot, own.promise, loop.size)
        if loop.next == STOP:
            refit = refits(driver)
            if refit != Cause.NONE:
                return refit, ""
            raise driver.stop(f"{driver.machine.exactness(driver.slot, own.f):.1g}", driver.point)
        if above:
            return Cause.ABOVE, ""
        cause = driver.machine.after_convex(driver.slot, own.f, loop.size)
        if cause != Cause.NONE:
            return cause, ""


def _begin(driver: Driver, method: str, scaled: bool) -> Any:
    """Return a phase of our own, begun at the current point."""
    own, point = own_solver(driver.options, method), driver.point
    own.noise, own.box = driver.machine.noise(driver.slot), driver.objective.box
    own.apart = driver.objective.kind in INEXACT
    assert point.g is not None
    pairs = list(driver.pairs) if scaled and own.keeps_pairs else None
    diagonal = driver.scales if scaled else None
    own.start(point.x, point.f, point.g, first_length(driver), pairs, diagonal)
    driver.objective.caution = driver.objective.caution or own.caution
    return own


def resume(driver: Driver) -> None:
    """Put the suspended convex phase where it was; one that SciPy runs begins anew at the best point."""
    driver.pairs.clear()
    driver.pairs.extend(driver.suspended_pairs)
    driver.scales = driver.suspended_scales
    suspended, driver.suspended_own = driver.suspended_own, None
    if suspended is not None and is_ours(driver.fallbacks[driver.loop.first][0]):
        driver.own = suspended
        driver.move(Point(suspended.x, suspended.f, suspended.g))


def forget(driver: Driver) -> None:
    """Hand on of what has led to a failure only the curvature of the last step: a length to begin with.

    Where noise was measured, or what the pairs promise is below the rounding of f, the pairs did not lead to
    it: those stay whose curvature shows above that, and by them the next phase knows what is left to gain.
    """
    noise = driver.machine.exactness(driver.slot, driver.point.f)
    seen = [(s, y) for s, y in driver.pairs if s @ y > noise]
    if seen and (driver.machine.noise(driver.slot) > 0.0 or _promise(driver, seen) <= noise):
        driver.pairs.clear()
        driver.pairs.extend(seen)
        return
    for s, y in driver.pairs:
        if s @ y > 0:
            driver.loop.bend = float(s @ y / (s @ s))
    driver.pairs.clear()
    driver.scales = None


def _promise(driver: Driver, pairs: list[tuple[Array, Array]]) -> float:
    """Return the decrease that the quasi-Newton model of these pairs promises at the current point."""
    assert driver.point.g is not None
    s, y = pairs[-1]
    diagonal: Array | float = 1.0 if driver.scales is None else driver.scales
    scale = diagonal * float((s @ y) / np.sum((diagonal * y) ** 2)) ** 0.5
    pulled = Scaling(driver.point.x.astype(float), scale, pairs).pull(driver.point.g.astype(float))
    return 0.5 * float(pulled @ pulled)


def _search_failed(driver: Driver, own: Any) -> None:
    """Stop successfully if the failed search was asked for a decrease below rounding at a flat point."""
    best = driver.objective.best
    assert best is not None
    precise = bool(own.working_precision)
    point = Point(own.x, own.f, own.g)
    assert point.g is not None
    relative = relative_gradient(point._replace(g=reduced(driver, point.x, point.g)))
    driver.machine.search_failed(driver.slot, own.f, best.f, precise, relative, own.promise)
    loop = driver.loop
    if loop.next == STOP:
        noise = driver.machine.exactness(driver.slot, own.f)
        raise driver.stop(f"{noise:.1g}" if loop.cause == Cause.NOISE else f"{relative:.1e}", point)


def first_length(driver: Driver) -> float | None:
    """Length of a first step along -g: to the minimiser by the last step's curvature, or Adam's own."""
    assert driver.point.g is not None
    slope = float(norm2(reduced(driver, driver.point.x, driver.point.g)))
    if driver.adam.curvature > 0:
        return slope / float(driver.adam.curvature)
    bend = float(driver.loop.bend)
    if bend > 0:
        length = slope / bend
        # within a measured noise a search goes by slopes, which a longer step shows better
        if length * length * bend > driver.machine.noise(driver.slot):
            return length
    if driver.adam.t > 0:
        return float(driver.adam.learning_rate * driver.objective.n**0.5)
    return None


def diagonal(driver: Driver) -> Array | None:
    """Change of variables from Adam's second moments, x = v^(-1/4) z; None where it is not asked for.

    With 'auto' it takes an Adam that has made enough steps for its moments to mean something; until
    then the typical sizes of the variables serve, where there are any.
    """
    wanted = {"adam": 1, "auto": MOMENTS}.get(driver.options.precondition or "", np.inf)
    if driver.adam.t < wanted:
        return driver.sizes
    scales = driver.adam.scales()
    scales /= power_of_two(float(scales.max()))  # of which the root is taken
    largest = float(scales.max())
    return np.maximum(scales, 1e-6 * largest) ** -0.5 if largest > 0 and np.isfinite(largest) else None
