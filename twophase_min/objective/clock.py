"""The time limit of a run, and batches that can be stopped between two of their parts."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

SHARE = 0.1
"""Share of the time that is left which a part of a batch should take at most."""


class Clock:
    """A stopwatch with a limit.

    Parameters
    ----------
    maxtime : float, optional
        Seconds; None for no limit.
    began : float, optional
        Reading of ``time.perf_counter`` at which it started; default now.
    """

    def __init__(self, maxtime: float | None = None, began: float | None = None):
        self.began = time.perf_counter() if began is None else began
        self.deadline = math.inf if maxtime is None else self.began + maxtime

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.began

    @property
    def over(self) -> bool:
        """Whether the limit has been reached."""
        return time.perf_counter() >= self.deadline

    def excuse(self, seconds: float) -> None:
        """Do not charge these seconds."""
        self.began += seconds
        self.deadline += seconds

    def parts(self, count: int, least: int) -> Iterator[slice]:
        """Cut a batch into parts: one where there is no limit, else such that the clock is seen in between.

        Parameters
        ----------
        count : int
            Length of the batch.
        least : int
            Length of the first part, the number of workers; a part grows to twice the one before while that
            took a small share of the time left.
        """
        if self.deadline == math.inf:
            yield slice(0, count)
            return
        first, size = 0, least
        while first < count:
            began = time.perf_counter()
            yield slice(first, min(first + size, count))
            now = time.perf_counter()
            first += size
            size = 2 * size if 2 * (now - began) <= SHARE * (self.deadline - now) else least
