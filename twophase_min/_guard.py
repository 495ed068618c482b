"""The guard: the convex phase must earn its place, in decrease of the objective per evaluation.

A handover is a trial. Over its length the convex phase must decrease the objective at least as fast, per
evaluation, as the first phase did just before it; if it does not, the run goes back to Adam's state. A convex phase
that has passed is only questioned again when it has become slower than that rate for a long while, and then
it is Adam that is on trial. Trials grow with the run, so that their sum stays a fixed share of it: that share
is what a run can be behind the better of the two methods.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

SHARE = 0.1
"""Length of a trial as a share of the evaluations so far."""
SHORTEST = 24.0
"""Evaluations that a trial gets at least: a line search needs a few of them to show anything."""
LONG_WHILE = 300.0
"""Evaluations before a convex phase that has passed its trial is questioned for being slow."""


class Rate:
    """Decrease of the best value per evaluation over the recent past of one phase.

    Parameters
    ----------
    share : float
        The recent past, as a share of the evaluations since the phase began.
    """

    def __init__(self, cost: float, best: float, share: float = 0.3):
        self.share = share
        self._marks: deque[tuple[float, float]] = deque([(float(cost), float(best))])
        self._began = float(cost)

    def note(self, cost: float, best: float) -> None:
        """Record the best value after so many evaluations."""
        self._marks.append((float(cost), float(best)))
        start = cost - max(SHORTEST, self.share * (cost - self._began))
        while len(self._marks) > 2 and self._marks[1][0] <= start:
            self._marks.popleft()

    @property
    def spent(self) -> float:
        """Evaluations since the phase began."""
        return self._marks[-1][0] - self._began

    @property
    def value(self) -> float:
        """Decrease per evaluation; 0 while nothing was spent."""
        (cost0, best0), (cost1, best1) = self._marks[0], self._marks[-1]
        return (best0 - best1) / (cost1 - cost0) if cost1 > cost0 else 0.0

    def to_array(self) -> NDArray[np.float64]:
        """The whole state, for resuming."""
        return np.array([(self._began, self.share), *self._marks])

    @classmethod
    def from_array(cls, saved: NDArray[np.float64]) -> Rate:
        """Go on from `to_array`."""
        (began, share), *marks = np.asarray(saved).tolist()
        rate = cls(began, 0.0, share)
        rate._marks = deque((cost, best) for cost, best in marks)
        return rate

    @property
    def reference(self) -> float:
        """What another phase is held against: the rate, or 0 from a phase too short to have one.

        The first steps of a run fall steeply whatever takes them; they are no standard for later ones.
        """
        return self.value if self.spent >= SHORTEST else 0.0


class Guard:
    """Judge of a convex phase.

    Parameters
    ----------
    cost, best : float
        Evaluations and best value at the handover.
    reference : float
        Adam's decrease per evaluation just before it.
    """

    def __init__(self, cost: float, best: float, reference: float):
        self.rate = Rate(cost, best)
        self.reference = reference
        self.length = max(SHORTEST, SHARE * cost)
        self.passed = False
        self._question = max(LONG_WHILE, cost)

    def to_array(self) -> NDArray[np.float64]:
        """The whole state but the rate's, for resuming."""
        return np.array([self.reference, self.length, self.passed, self._question])

    @classmethod
    def from_arrays(cls, saved: NDArray[np.float64], rate: NDArray[np.float64]) -> Guard:
        """Go on from `to_array` and the rate's."""
        guard = cls(0.0, 0.0, float(saved[0]))
        guard.length, guard.passed, guard._question = float(saved[1]), bool(saved[2]), float(saved[3])
        guard.rate = Rate.from_array(rate)
        return guard

    def verdict(self, cost: float, best: float) -> str:
        """Answer '' to go on, or why the convex phase must yield."""
        self.rate.note(cost, best)
        if not self.passed:
            if self.rate.spent < self.length:
                return ""
            if self.rate.value >= self.reference:
                self.passed = True
                return ""
            return (
                f"the convex phase gained {self.rate.value:.3g} an evaluation in its trial of "
                f"{self.rate.spent:.0f}, Adam {self.reference:.3g} before it"
            )
        if self.rate.spent >= self._question:
            self._question = 1.5 * self.rate.spent
            if self.rate.value < self.reference:
                return (
                    f"the convex phase slowed to {self.rate.value:.3g} an evaluation, below Adam's "
                    f"{self.reference:.3g}"
                )
        return ""
