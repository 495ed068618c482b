"""Early stopping: the score on samples held out, after every iteration."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


class Validation:
    """Keep the curve of a score, the parameters that reached its best value, and say when to stop.

    Parameters
    ----------
    score : callable
        ``score(w) -> float``, the higher the better.
    tol : float
        A score counts as an improvement if it exceeds the best one by this.
    patience : int
        Stop after more than so many iterations in a row without an improvement.

    Attributes
    ----------
    scores : list of float
        One an iteration, or where several were made at once, after these.
    best : float
        The highest of them; -inf before the first.
    w : ndarray or None
        The parameters that reached it.
    """

    def __init__(self, score: Callable[[Array], float], tol: float, patience: int) -> None:
        self._score, self._tol, self._patience = score, tol, patience
        self._idle = 0
        self.scores: list[float] = []
        self.best = -np.inf
        self.w: Array | None = None

    def stops_at(self, w: Array, iterations: int = 1) -> bool:
        """Score the parameters after so many iterations; true once the score has stopped rising."""
        score = float(self._score(w))
        self.scores.append(score)
        self._idle = self._idle + iterations if score < self.best + self._tol else 0
        if score > self.best or self.w is None:
            self.best, self.w = score, w.copy()
        return self._idle > self._patience
