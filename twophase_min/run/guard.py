"""The guard: the convex phase must earn its place, in decrease of the objective per evaluation.

A handover is a trial. Over its length the convex phase must decrease the objective at least as fast, per
evaluation, as the first phase did just before it; if it does not, the run goes back to Adam's state. A convex
phase that has passed is questioned again when it slows down: when the best value has hardly changed for a
while and yet the gradient has not vanished. A phase caught in a poor region of the landscape looks like that,
and so does one on its last digits. Only a comparison can tell: Adam goes on from its own state, as long as it
is on course for the value of the phase that waits; then a later swap gets its chance, which must in its trial
come near that value. The first such excursion is made soon, for nothing is known of Adam's path yet; once one
has been in vain, only a true stall is doubted. Rates are relative to the size of the objective, hence free of
its units.
"""

from __future__ import annotations

import itertools
from collections import deque
from typing import Self

import numpy as np
from numpy.typing import NDArray

from twophase_min import _reasons

SHARE = 0.1
"""Length of a trial as a share of the evaluations so far."""
SHORTEST = 24.0
"""Evaluations that a trial gets at least: a line search needs a few of them to show anything."""
WHILE = 100.0
"""Evaluations at least, over which a convex phase that has passed its trial must not stall."""
CREEPING = 1e-3
"""Relative decrease per evaluation below which a phase is doubted for the first time: a tenth in a while."""
STALLED = 1e-6
"""The same after an excursion in vain; poor stationary points show 1e-8."""
SOON_WHILE, SOON, SOONEST = 30.0, 5e-3, 1e-2
"""The same for a first doubt while there are `MANY` times more variables than evaluations, or `FAR` times."""
MANY, FAR = 2.0, 100.0
"""The speed with which a convex method ends comes after as many iterations as there are variables. While that
is far away, a phase that slows down will not get faster by itself soon."""
RETURN = 0.3
"""Evaluations that Adam gets at least after a stalled convex phase, as a share of those so far."""
LONGEST = 0.5
"""Evaluations that it gets at most while it is on course, as a share of those so far: as many as before."""
BEHIND = 2 / 3
"""Share of Adam's evaluations since then that its course is read from."""
AHEAD = 0.5
"""Evaluations over which its course is followed into the future, as a share of those so far."""
GAP = 0.25
"""Share of its distance from the waiting phase's value that may be left at the end of that."""

CROWDED = 1 / 32
"""Marks of a rate that are closer than this share of its recent past are thinned out."""


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
        marks, width = self._marks, max(self.span, self.share * (cost - self._began))
        if len(marks) > 2 and marks[-1][0] - marks[-2][0] < CROWDED * width:
            marks.pop()
        marks.append((float(cost), float(best)))
        while len(marks) > 2 and marks[1][0] <= cost - width:
            marks.popleft()

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
    def from_array(cls, saved: NDArray[np.float64]) -> Self:
        """Go on from `to_array`."""
        (began, share), (span, _), *marks = np.asarray(saved).tolist()
        rate = cls(began, 0.0)
        rate.span, rate.share = span, share
        rate._marks = deque((cost, best) for cost, best in marks)
        return rate


class Course(Rate):
    """Where a phase is heading: the least value of its own path, and that value in the future.

    Parameters
    ----------
    cost, f : float
        Evaluations and value when the phase begins.
    """

    def __init__(self, cost: float, f: float):
        super().__init__(cost, f, SHORTEST, BEHIND)

    def note(self, cost: float, f: float) -> None:
        """Record the value after so many evaluations."""
        super().note(cost, min(f, self._marks[-1][1]))

    def ahead(self, more: float) -> float:
        """Extrapolate the value so many evaluations on.

        The decreases of the earlier and the later half of the recent past are taken for terms of a geometric
        series, as in Aitken's process; one that does not shrink is followed as a straight line. A path that
        leads to a value above zero is thus told from one towards zero, which its rate alone does not do.
        """
        (cost0, f0), (cost2, f2) = self._marks[0], self._marks[-1]
        half = 0.5 * (cost2 - cost0)
        middle, f1 = cost0 + half, f0
        for (cost_a, f_a), (cost_b, f_b) in itertools.pairwise(self._marks):
            if cost_a <= middle < cost_b:
                f1 = f_a + (f_b - f_a) * ((middle - cost_a) / (cost_b - cost_a))
        return extrapolate(f0, f1, f2, more / half if half > 0 else 0.0)


def extrapolate(f0: float, f1: float, f2: float, steps: float) -> float:
    """Value so many steps after ``f2``, of three values one step apart that do not increase."""
    first, second = f0 - f1, f1 - f2
    if not second > 0.0:
        return f2
    if not second < 0.999 * first:
        return f2 - second * steps
    ratio = second / first
    return f2 - second * ratio * (1.0 - ratio**steps) / (1.0 - ratio)


def first_doubt(limit: float, work: float, n: int) -> float:
    """Limit below which a phase is doubted, from the one so far; it tightens as the evaluations near n."""
    if limit == SOONEST and FAR * work >= n:
        limit = SOON
    if limit == SOON and MANY * work >= n:
        limit = CREEPING
    return limit


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
    limit : float
        Relative decrease per evaluation below which it has stalled.
    target : float
        On an excursion, the value of the phase that waits: half as much again of the trial, at the rate that
        the trial ends with, must lead below it. One that would need longer was not worth leaving it for.
    """

    def __init__(
        self,
        cost: float,
        best: float,
        reference: float,
        span: float = WHILE,
        limit: float = STALLED,
        target: float = np.inf,
    ):
        self.rate = Rate(cost, best)
        self.recent = Rate(cost, best, span, 0.2)
        self.reference, self.limit, self.target = reference, limit, target
        self.length = max(SHORTEST, SHARE * cost)
        self.passed = False

    def doubt(self, cost: float, f: float, span: float, limit: float) -> None:
        """Look from here on for another kind of stall."""
        self.recent, self.limit = Rate(cost, f, span, 0.2), limit

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
            ahead = f - 0.5 * self.length * self.rate.value * abs(f)
            self.passed = self.rate.value >= self.reference and ahead < self.target
            if self.passed:
                return "", ""
            if self.rate.value >= self.reference:
                return "rollback", _reasons.FELL_SHORT.format(f, self.rate.spent, self.target)
            return "rollback", _reasons.LOST_TRIAL.format(self.rate.value, self.rate.spent, self.reference)
        if self.recent.spent >= self.recent.span and self.recent.value < self.limit:
            return "stall", _reasons.STALLED.format(self.recent.value, self.rate.spent)
        return "", ""

    def to_array(self) -> NDArray[np.float64]:
        """Return the state but that of the rates, for resuming."""
        return np.array([self.reference, self.limit, self.target, self.length, self.passed])

    @classmethod
    def from_arrays(
        cls, saved: NDArray[np.float64], rate: NDArray[np.float64], recent: NDArray[np.float64]
    ) -> Guard:
        """Go on from `to_array` and those of the rates."""
        reference, limit, target, length, passed = np.asarray(saved).tolist()
        guard = cls(0.0, 0.0, reference, limit=limit, target=target)
        guard.length, guard.passed = length, bool(passed)
        guard.rate, guard.recent = Rate.from_array(rate), Rate.from_array(recent)
        return guard
