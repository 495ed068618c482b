"""Ends of a run that are taken back: there is a lower point, from which it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from twophase_min._status import Cause, Status, Stop
from twophase_min.jit.kernels import norm2
from twophase_min.objective.memory import Point
from twophase_min.run import saddle
from twophase_min.run.settling import replayed, size_of
from twophase_min.run.state import CONVEX, SYMMETRIC

if TYPE_CHECKING:
    from twophase_min.run.driver import Driver

Array = NDArray[np.floating]

AT_REST = (Status.CONVERGED, Status.WORKING_PRECISION, Status.PRECISION_LOSS)
"""Ends at a point from which no step leads lower."""
LIMITS = (Status.MAXFUN, Status.MAXTIME)
"""Limits that may break off a look beside such a point."""


def take_back(driver: Driver, cause: int, convex: bool) -> None:
    """Take back the end of a run: at the best point the convex phase at work begins anew, or a new Adam."""
    driver.final = driver.own = None
    best = driver.best()
    driver.machine.reopen(driver.slot, cause, convex)
    driver.loop.best_f = best.f
    if not convex:
        driver.adam = driver.new_adam(best)
    driver.note("")
    driver.machine.enter(driver.slot, best.f)
    if convex:
        driver.move(best)
    else:
        driver.back_in_adam(best)


def goes_back(driver: Driver) -> bool:
    """Whether a run that has just ended goes on from a lower point that was found aside."""
    loop = driver.loop
    if not loop.aside:
        return False
    cause, loop.aside = loop.aside, Cause.NONE
    driver.pairs.clear()
    take_back(driver, cause, loop.phase == CONVEX)
    assert driver.point.g is not None
    loop.size = loop.start_size = size_of(driver, driver.point.x, driver.point.g)
    return True


def leaves_saddle(driver: Driver, end: Stop) -> bool:
    """Whether a run that has ended at a saddle of a symmetric start goes on from a lower point beside it."""
    loop, machine = driver.loop, driver.machine
    if end.status not in AT_REST or loop.escapes >= saddle.ESCAPES or driver.objective.best is None:
        return False
    at = driver.final if driver.final is not None and driver.final.g is not None else driver.best()
    loop.doubted = SYMMETRIC  # a state saved meanwhile is looked at again
    try:
        _look_beside(driver, at)
    except Stop as limit:  # the end that has been reached stands
        if limit.status in LIMITS:
            return False
        raise
    loop.doubted = 0
    driver.measured.clear()
    lower = driver.best()
    assert lower.g is not None
    if not lower.f < at.f - machine.exactness(driver.slot, at.f):
        return False
    loop.escapes += 1
    loop.aside = Cause.SADDLE
    loop.bend = float(norm2(lower.g)) / float(np.linalg.norm(np.subtract(lower.x, at.x, dtype=float)))
    return goes_back(driver)


def _look_beside(driver: Driver, at: Point) -> None:
    """Look for a lower point across what a symmetric run has seen; see `saddle`."""
    objective, loop = driver.objective, driver.loop
    x0, x, g = (np.asarray(vector, dtype=float) for vector in (driver.x0, at.x, at.g))
    nowhere = np.empty(0)
    lower, upper = (nowhere, nowhere) if objective.box is None else map(np.asarray, objective.box)
    order = np.empty(x.size, dtype=np.int64)
    if not saddle.shows(x0, x, loop.rounding, order):
        return
    order, beside = np.stack([order, order]), np.zeros((5, x.size))
    trial, answer = np.empty(x.size), replayed(driver)
    exactness = float(driver.machine.exactness(driver.slot, at.f))
    left, verdict = saddle.allowed(loop.work), saddle.MINIMUM
    for sign in (saddle.ZERO, saddle.ALIKE):
        h = saddle.across(sign, x0, x, loop.rounding, lower, upper, order, beside)
        turn, verdict = 0, saddle.MORE if h > 0.0 else saddle.MINIMUM
        while verdict == saddle.MORE and left > 0:
            saddle.place(x, beside, saddle.V if turn else saddle.U, h, lower, upper, trial)
            there = np.asarray(answer(trial.astype(at.x.dtype), objective.gradient_alone), dtype=float)
            verdict = saddle.tell(g, there, h, exactness, turn, order, beside)
            turn, left = turn + 1, left - 1
        if verdict == saddle.SADDLE:
            break
    t, least = saddle.FURTHER * h, at.f
    for _ in range(saddle.VALUES if verdict == saddle.SADDLE else 0):
        saddle.place(x, beside, saddle.U, t, lower, upper, trial)
        value = answer(trial.astype(at.x.dtype))
        if not value < least:
            break
        t, least = saddle.FURTHER * t, value
