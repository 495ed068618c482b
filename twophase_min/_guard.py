"""The guard: the convex phase must earn its place, in decrease of the objective per evaluation.

A handover is a trial. Over its length the convex phase must decrease the objective at least as fast, per
evaluation, as the first phase did just before it; if it does not, the run goes back to Adam's state. A convex
phase that has passed is questioned again when it stalls: when the best value has hardly changed for a while
and yet the gradient has not vanished. A phase caught in a poor region of the landscape looks like that, so
Adam goes on from its own state and a later swap gets its chance. Rates are relative to the size of the
objective, hence free of its units.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

SHARE = 0.1
"""Length of a trial as a share of the evaluations so far."""
SHORTEST = 24.0
"""Evaluations that a trial gets at least: a line search needs a few of them to show anything."""
WHILE = 100.0
"""Evaluations at least, over which a convex phase that has passed its trial must not stall."""
STALLED = 1e-6
"""Relative decrease per evaluation below which a phase has stalled; poor stationary points show 1e-8."""


class Rate:
    """Relative decrease of the best value per evaluation, over the recent past of one phase.

    Parameters
    ----------
    cost, best : float
        Evaluations and best value when the phase begins.
    span : float
        Evaluations that the recent past spans at least.
    share : float
        The recent past as a share of the evaluations since the phase began, where that is more.
    """

    def __init__(self, cost: float, best: float, span: float = SHORTEST, share: float = 0.3):
        self.span, self.share = span, share
        self._marks: deque[tuple[float, float]] = deque([(float(cost), float(best))])
        self._began = float(cost)

    def note(self, cost: float, best: float) -> None:
        """Record the best value after so many evaluations."""
        self._marks.append((float(cost), float(best)))
        start = cost - max(self.span, self.share * (cost - self._began))
        while len(self._marks) > 2 and self._marks[1][0] <= start:
            self._marks.popleft()

    @property
    def spent(self) -> float:
        """Evaluations since the phase began."""
        return self._marks[-1][0] - self._began

    @property
    def value(self) -> float:
        """Relative decrease per evaluation; 0 while nothing was spent."""
        (cost0, best0), (cost1, best1) = self._marks[0], self._marks[-1]
        size = max(abs(best0), abs(best1))
        return (best0 - best1) / size / (cost1 - cost0) if cost1 > cost0 and size > 0 else 0.0

    @property
    def reference(self) -> float:
        """What another phase is held against: the rate, or 0 from a phase too short to have one.

        The first steps of a run fall steeply whatever takes them; they are no standard for later ones.
        """
        return max(self.value, 0.0) if self.spent >= SHORTEST else 0.0

    def to_array(self) -> NDArray[np.float64]:
        """Return the whole state, for resuming."""
        return np.array([(self._began, self.share), (self.span, 0.0), *self._marks])

    @classmethod
    def from_array(cls, saved: NDArray[np.float64]) -> Rate:
        """Go on from `to_array`."""
        (began, share), (span, _), *marks = np.asarray(saved).tolist()
        rate = cls(began, 0.0, span, share)
        rate._marks = deque((cost, best) for cost, best in marks)
        return rate


class Guard:
    """Judge of a convex phase.

    Parameters
    ----------
    cost, best : float
        Evaluations and best value at the handover.
    reference : float
        Adam's relative decrease per evaluation just before it.
    span : float
        Evaluations over which the phase must not stall.
    """

    def __init__(self, cost: float, best: float, reference: float, span: float = WHILE):
        self.rate = Rate(cost, best)
        self.recent = Rate(cost, best, span, 0.2)
        self.reference = reference
        self.length = max(SHORTEST, SHARE * cost)
        self.passed = False

    def verdict(self, cost: float, f: float) -> tuple[str, str]:
        """Judge the newest iterate.

        Parameters
        ----------
        cost : float
            Evaluations so far.
        f : float
            Least value that the phase has reached.

        Returns
        -------
        kind : str
            '' to go on, 'rollback' for a lost trial, 'stall' for a phase that has stalled.
        reason : str
            The numbers behind it.
        """
        self.rate.note(cost, f)
        self.recent.note(cost, f)
        if not self.passed:
            if self.rate.spent < self.length:
                return "", ""
            self.passed = self.rate.value >= self.reference
            if self.passed:
                return "", ""
            return "rollback", (
                f"the convex phase gained {self.rate.value:.3g} of f an evaluation in its trial of "
                f"{self.rate.spent:.0f}, Adam {self.reference:.3g} before it"
            )
        if self.rate.spent >= self.recent.span and self.recent.value < STALLED:
            return "stall", (
                f"the convex phase has stalled: {self.recent.value:.3g} of f an evaluation, "
                f"{self.rate.spent:.0f} evaluations after the handover"
            )
        return "", ""

    def to_array(self) -> NDArray[np.float64]:
        """Return the state but that of the rates, for resuming."""
        return np.array([self.reference, self.length, self.passed])

    @classmethod
    def from_arrays(
        cls, saved: NDArray[np.float64], rate: NDArray[np.float64], recent: NDArray[np.float64]
    ) -> Guard:
        """Go on from `to_array` and those of the rates."""
        guard = cls(0.0, 0.0, float(saved[0]))
        guard.length, guard.passed = float(saved[1]), bool(saved[2])
        guard.rate, guard.recent = Rate.from_array(rate), Rate.from_array(recent)
        return guard
