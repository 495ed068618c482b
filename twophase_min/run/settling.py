"""Whether a value is worse, or only noisy: measurements of the noise in a run in Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from twophase_min.objective.calls import Point
from twophase_min.run import noise

if TYPE_CHECKING:
    from twophase_min.run.driver import Driver

Array = NDArray[np.floating]


def noise_at(driver: Driver, x: Array, f: float, u: Array) -> float:
    """Difference below which values near x count as equal, measured along u if that is due."""
    machine, slot, objective = driver.machine, driver.slot, driver.objective
    if machine.noise_is_due(slot, objective.cost):
        machine.note_noise(slot, noise.measure(objective.value, x, f, u), objective.cost)
    return float(machine.noise(slot))


def settles(driver: Driver, point: Point, size: float) -> bool:
    """Whether a point converges the run: its gradient passes the test, its value is not the least."""
    best = driver.objective.best
    assert best is not None
    away = np.subtract(best.x, point.x, dtype=float)
    noise_at(driver, point.x, point.f, away)
    best = driver.objective.best
    assert best is not None
    distance = float(np.linalg.norm(np.subtract(best.x, point.x, dtype=float)))
    return bool(driver.machine.passes(driver.slot, best.f, point.f, size, distance))


def reconsider(driver: Driver, size: float) -> None:
    """Test the current point for convergence again, with the noise of the values measured."""
    if settles(driver, driver.point, size):
        driver.machine.converge(driver.slot)
