"""Iterations of Adam in Python: steps on the whole data, or epochs of mini-batches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from twophase_min.phases import FAILED, ITERATION

if TYPE_CHECKING:
    from twophase_min.run.driver import Driver


def adam_iteration(driver: Driver) -> str:
    """One iteration (an epoch, for a finite sum); answers '' or why Adam cannot go on."""
    adam = driver.adam
    if driver.objective.finite_sum is not None and not adam.probing:
        return _epoch(driver)
    if adam.need == ITERATION:
        adam.next()
    if driver.serve(adam) == FAILED:
        reason: str = adam.reason
        return reason
    driver.iteration(*adam.iterate())
    return ""


def _epoch(driver: Driver) -> str:
    """All mini-batches once, then the whole data for the record and the detector."""
    adam, objective = driver.adam, driver.objective
    assert objective.finite_sum is not None
    for attempt in range(10):
        if driver.epoch_start is None:
            driver.epoch_start, driver.batch = adam.get_state(), 0
        for indices in list(objective.finite_sum.batches(driver.epoch))[driver.batch :]:
            _, g = objective.batch(adam.x, indices)
            adam.step(adam.x, g)
            driver.batch += 1
            if driver.bar is not None:
                driver.bar.within(objective.nfev)
        f, g = objective.value_and_gradient(adam.x)
        if np.isfinite(f) and np.all(np.isfinite(g)):
            adam.arrive(f, g, driver.epoch_start)
            driver.epoch += 1
            driver.epoch_start = None
            driver.iteration(adam.x, f, g)
            return ""
        adam.set_state(driver.epoch_start)
        adam.scale_back(0.1 ** (attempt + 1))
        driver.batch = 0
    which = "gradient, though the loss was finite" if math.isfinite(f) else "loss"
    return f"every epoch ended at a non-finite {which}, at ever smaller learning rates"
