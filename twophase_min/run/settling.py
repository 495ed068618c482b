"""Whether a run in Python has converged: norms, and values that differ by noise only."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from twophase_min._status import Cause, Status
from twophase_min.jit.kernels import norm2, norm_inf
from twophase_min.objective.memory import Point
from twophase_min.run import noise, plateau
from twophase_min.run.exactness import DEVIATIONS
from twophase_min.run.state import ALL_AT_ONCE, STOP, SYMMETRIC

if TYPE_CHECKING:
    from twophase_min.run.driver import Driver

Array = NDArray[np.floating]

SINGLE = float(np.finfo(np.float32).eps)
"""Relative rounding of float32."""
FINER = SINGLE / float(np.finfo(np.float64).eps)
"""Ratio of the roundings of float32 and float64, 2^29."""
ROUNDINGS = 64.0
"""Roundings of the value at the start that float32 explains; a larger error of a value has another source."""


def replayed(driver: Driver) -> Callable[..., Any]:
    """Return what asks the objective, once it has said what ``driver.measured`` has of an earlier attempt.

    So a look or a measurement goes on where the run was stopped in it. Whoever has finished one clears the
    list. ``answer(trial)`` asks for the value, ``answer(trial, ask)`` calls another method of the objective.
    """
    known = iter(tuple(driver.measured))

    def answer(trial: Array, ask: Callable[[Array], Any] = driver.objective.value) -> Any:
        noted = next(known, None)
        if noted is None:
            noted = ask(trial)
            driver.measured.append(noted)
        return noted

    return answer


def noise_at(driver: Driver, x: Array, f: float, u: Array, need: float = 0.0) -> float:
    """Difference below which values near x count as equal, measured along u if that is due.

    A difference below ``need`` does not matter to the caller.
    """
    machine, slot, objective = driver.machine, driver.slot, driver.objective
    if machine.noise_is_due(slot, objective.cost, f):
        value = replayed(driver)
        machine.note_noise(
            slot, noise.measure(value, x, f, u, objective.box, need / DEVIATIONS), objective.cost, f
        )
        driver.measured.clear()
    return float(machine.noise(slot))


def reduced(driver: Driver, x: Array, g: Array) -> Array:
    """Return the gradient that decides: within bounds the projected one, ``x - P(x - g)``."""
    box = driver.objective.box
    return g if box is None else box.reduced(x, g)


def size_of(driver: Driver, x: Array, g: Array) -> float:
    """Norm of the gradient at x that the convergence test reads; within bounds of the projected one."""
    g, order = reduced(driver, x, g), driver.options.norm
    if order == np.inf:
        return float(norm_inf(g))
    return float(norm2(g) if order == 2 else np.linalg.norm(g, ord=order))


def settles(driver: Driver, point: Point, size: float) -> bool:
    """Whether a point converges the run: its gradient passes the test, its value is not the least."""
    best = driver.objective.best
    assert best is not None
    away = np.subtract(best.x, point.x, dtype=float)
    noise_at(driver, point.x, point.f, away, point.f - best.f)
    best = driver.objective.best
    assert best is not None
    distance = float(np.linalg.norm(np.subtract(best.x, point.x, dtype=float)))
    return bool(driver.machine.passes(driver.slot, best.f, point.f, size, distance))


def reconsider(driver: Driver) -> None:
    """Test the current point for convergence again: its gradient passes, but something speaks against it."""
    if driver.loop.doubted == ALL_AT_ONCE:
        _look_back(driver)
        driver.machine.converge(driver.slot)
    elif driver.loop.doubted == SYMMETRIC:  # a run resumed from within a look beside its end: it has ended
        driver.loop.next = STOP
    elif settles(driver, driver.point, driver.loop.size):  # with the noise of the values measured
        driver.machine.converge(driver.slot)
    driver.loop.doubted = 0


def _look_back(driver: Driver) -> None:
    """Look for a lower point on the way back from one that converges all at once; see `plateau`."""
    point, before, value = driver.point, driver.before, replayed(driver)
    step, near, far = np.subtract(point.x, before.x, dtype=float), 1.0, 0.0
    for _ in range(plateau.LOOKS):
        seen = value(before.x + 0.5 * (near + far) * step)
        near, far = driver.machine.narrow(driver.slot, seen, near, far)
        if near == far:
            break
    best = driver.best()
    assert best.g is not None
    if best.f < point.f - driver.machine.exactness(driver.slot, point.f):
        driver.loop.aside = Cause.PLATEAU
        way = float(np.linalg.norm(np.subtract(best.x, before.x, dtype=float)))
        driver.loop.bend = float(norm2(best.g)) / way
    driver.measured.clear()


def look_at(driver: Driver, best: Point) -> None:
    """Make the best point an iterate where its gradient passes the test, though no search has accepted it."""
    if best.g is not None and size_of(driver, best.x, best.g) <= driver.loop.gtol:
        driver.iteration(best.x, best.f, best.g)


def in_float64(driver: Driver, status: Status) -> str:
    """Say what float64 would bring to a run that has ended at the rounding of float32; '' for any other.

    Values with an error e lead to a gradient of about sqrt(2 c e), where c is the curvature. So the gradient
    goes with the root of the error.
    """
    loop, objective = driver.loop, driver.objective
    if status not in (Status.WORKING_PRECISION, Status.PRECISION_LOSS) or objective.dtype != np.float32:
        return ""
    noise = float(driver.machine.noise(driver.slot))
    if noise > ROUNDINGS * SINGLE * max(abs(loop.start_f), abs(loop.best_f)):
        return ""
    size = f": values differ by {noise:.1g} here, and would by {noise / FINER:.1g}" if noise > 0 else ""
    return (
        f"The objective is computed in float32. Its rounding in float64 is {FINER:.0e} times smaller{size}; "
        f"a gradient {FINER**0.5:,.0f} times smaller could be reached."
    )
