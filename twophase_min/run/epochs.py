"""Iterations of Adam in Python: steps on the whole data, or epochs of mini-batches.

A learning rate that is given makes Adam the published method: an epoch ends at its last iterate, which is
evaluated over the whole data. Without one, an epoch ends at the mean of its path (Polyak and Ruppert's
averaging, over the last epoch), which has lost most of the noise of the mini-batches; the path itself goes on
from where it was. The whole data are evaluated at the means of the first epochs, and later after every
`LONGEST` epochs; meanwhile the detector reads the means of the mini-batches' losses and gradients, which cost
nothing.

B. T. Polyak, A. B. Juditsky, "Acceleration of stochastic approximation by averaging", SIAM J. Control Optim.
30 (1992).
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from twophase_min._status import Stop
from twophase_min.jit.kernels import norm2
from twophase_min.phases import FAILED, ITERATION
from twophase_min.run import settling

if TYPE_CHECKING:
    from twophase_min.run.driver import Driver

LONGEST = 8
"""Epochs at most from one evaluation of the whole data to the next: those take a ninth of the cost."""
GROWTH = 2
"""Until then an evaluation is due when the epochs have grown by one in so many."""
UNDONE = 3
"""Times in a row at most that epochs are made anew because they led astray."""
FAILURES = 10
"""The same where it was not finite."""


class Stretch:
    """What is known of the epochs since the last evaluation of the whole data.

    Attributes
    ----------
    epochs, batch : int
        Epochs completed, and batches of the present one.
    level, last : float
        Mean loss of the mini-batches in the epoch before these, and in the last one completed. Unit f; NaN
        where there was none.
    loss : float
        Sum of the losses of the present epoch's batches, weighted by their shares. Unit f.
    gradient : ndarray or None
        The same of their gradients.
    undone : int
        How often they have been made anew, with a lower learning rate.
    due : bool
        Whether the whole data are to be evaluated next.
    decided : bool
        Whether the detector has seen the swap.
    reason : str
        Of its last decision.
    """

    def __init__(self, level: float = math.nan, undone: int = 0) -> None:
        self.level = self.last = level
        self.undone = undone
        self.epochs = self.batch = 0
        self.loss = 0.0
        self.gradient: Any = None
        self.due = self.decided = False
        self.reason = ""

    def notes(self) -> dict[str, Any]:
        """Return all but the vector, to save."""
        return {name: value for name, value in vars(self).items() if name != "gradient"}

    def restore(self, notes: dict[str, Any], gradient: Any) -> None:
        """Take over what was saved."""
        self.__dict__.update(notes)
        self.gradient = None if gradient is None else np.array(gradient)


def adam_iteration(driver: Driver) -> str:
    """One iteration (epochs, for a finite sum); answers '' or why Adam cannot go on."""
    adam = driver.adam
    if driver.objective.finite_sum is not None and not adam.probing:
        return _stretch(driver)
    driver.stretch = Stretch()
    if adam.need == ITERATION:
        adam.next()
    if driver.serve(adam) == FAILED:
        reason: str = adam.reason
        return reason
    driver.iteration(*adam.iterate())
    return ""


def decision(driver: Driver) -> tuple[bool, str]:
    """Whether the detector sees the swap at Adam's iterate, and why; it may have read the epochs already."""
    adam, stretch = driver.adam, driver.stretch
    if stretch.epochs and adam.adapting:
        return stretch.decided, stretch.reason
    x, f, g = adam.iterate()
    found = driver.detect(f, float(norm2(settling.reduced(driver, x, g))), curvature=adam.curvature)
    return bool(found), found.reason


def last_look(driver: Driver) -> None:
    """Evaluate where the path stands when evaluations run out, for which `_epoch` has left room.

    The state of the run is saved before and knows nothing of it, so that resuming goes on bit for bit.
    """
    under_way = driver.epoch_start is not None and (driver.stretch.epochs or driver.stretch.batch)
    if under_way and driver.adam.adapting:
        with contextlib.suppress(Stop):  # maxfun was too small for that, too
            driver.objective.value_and_gradient(driver.adam.x)


def _stretch(driver: Driver) -> str:
    """Epochs until the whole data are due, and these for the record."""
    adam, objective = driver.adam, driver.objective
    if driver.epoch_start is None:
        driver.epoch_start, driver.stretch = adam.get_state(), Stretch(driver.stretch.last)
    while True:
        stretch = driver.stretch
        while not stretch.due:
            _epoch(driver)
        f, g = objective.value_and_gradient(adam.x)
        finite = bool(np.isfinite(f) and np.all(np.isfinite(g)))
        if finite and not (stretch.undone < UNDONE and _astray(driver, f)):
            adam.arrive(f, g, driver.epoch_start, stretch.epochs)
            driver.loop.nit += stretch.epochs - 1
            driver.epoch_start = None
            driver.iteration(adam.x, f, g)
            return ""
        adam.set_state(driver.epoch_start)
        adam.scale_back((0.5 if finite else 0.1) ** (stretch.undone + 1))  # of the rate where they began
        driver.epoch -= stretch.epochs
        driver.stretch = Stretch(stretch.level, stretch.undone + 1)
        if stretch.undone + 1 == FAILURES:
            driver.stretch = Stretch(stretch.level)
            which = "gradient, though the loss was finite" if math.isfinite(f) else "loss"
            return f"every epoch ended at a non-finite {which}, at ever smaller learning rates"


def _astray(driver: Driver, f: float) -> bool:
    """Whether a learning rate of our own has led to a value f above what the noisy path had before.

    The mean of a path has less noise than the path, so that f lies below, unless the steps are far too long.
    """
    adam = driver.adam
    return bool(adam.adapting and f > max(adam.f, driver.stretch.level))


def _epoch(driver: Driver) -> None:
    """All mini-batches once, and what they show the detector."""
    adam, objective, stretch = driver.adam, driver.objective, driver.stretch
    total = objective.finite_sum
    assert total is not None
    averaged = adam.adapting
    for indices in list(total.batches(driver.epoch))[stretch.batch :]:
        f, g = objective.batch(adam.path, indices, spare=float(averaged))
        share = len(indices) / total.n_samples
        adam.walk(g, 2 / (total.n_batches + 1) if averaged else 1.0)
        if averaged:
            stretch.loss += share * f
            part = share * np.asarray(g, dtype=float)
            stretch.gradient = part if stretch.gradient is None else stretch.gradient + part
        stretch.batch += 1
        if driver.bar is not None:
            driver.bar.within(objective.nfev)
    driver.epoch += 1
    stretch.epochs += 1
    stretch.batch = 0
    if averaged:
        norm = float(norm2(settling.reduced(driver, adam.x, stretch.gradient)))
        finite = math.isfinite(stretch.loss) and math.isfinite(norm)
        if finite:
            found = driver.detect(stretch.loss, norm, curvature=math.nan)
            stretch.decided, stretch.reason = bool(found), found.reason
        stretch.last = stretch.loss
        stretch.loss, stretch.gradient = 0.0, None
    first = driver.epoch - stretch.epochs
    longest = min(LONGEST, max(1, first // GROWTH)) if averaged else 1
    at_limit = driver.loop.nit + stretch.epochs >= driver.loop.maxiter
    stretch.due = bool(stretch.epochs >= longest or at_limit or stretch.decided or (averaged and not finite))
