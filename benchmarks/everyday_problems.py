"""The everyday set: its families, its two halves, and what counts as a right answer in each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import everyday_functions as functions
import everyday_networks as networks
import everyday_statistics as statistics
import numpy as np


@dataclass(frozen=True)
class Family:
    """Problems of one kind.

    Parameters
    ----------
    builders : mapping
        Instance -> function that builds ``(pair, x0)``.
    many : bool
        Whether solvers may end in different minima: then every stationary point that is low enough is a
        right answer, else only the lowest value.
    below : float
        Where there are many minima, what a right answer's value must be below.
    """

    builders: Mapping[str, Callable[[], functions.Built]]
    many: bool = False
    below: float = np.inf


FAMILIES = {
    "clusters": Family(functions.CLUSTERS, many=True, below=0.0),
    "classification": Family(statistics.CLASSIFICATION),
    "counts": Family(statistics.COUNTS),
    "likelihoods": Family(statistics.LIKELIHOODS),
    "curves": Family(functions.CURVES),
    "processes": Family(statistics.PROCESSES),
    "networks": Family(networks.NETWORKS, many=True),
    "equations": Family(networks.EQUATIONS, many=True),
    "convex": Family(functions.CONVEX),
    "classics": Family(functions.CLASSICS),
}
HALVES = ("A", "B")
"""A is for tuning, B for judging."""


class Problem:
    """A problem with what it computed last: the value and the gradient of a point come together.

    Parameters
    ----------
    name : str
        ``"family/instance"``.

    Attributes
    ----------
    x0 : ndarray, shape (n,)
        The start.
    """

    def __init__(self, name: str):
        family, instance = name.split("/")
        self._pair, self.x0 = FAMILIES[family].builders[instance]()
        self._x: np.ndarray | None = None
        self._last = (np.nan, self.x0)

    def both(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Value and gradient at ``x``; not finite where the arithmetic overflows."""
        if self._x is None or not np.array_equal(x, self._x):
            with np.errstate(all="ignore"):
                self._last = self._pair(x)
            self._x = x.copy()
        return self._last

    def fun(self, x: np.ndarray) -> float:
        """Value at ``x``."""
        return self.both(x)[0]

    def grad(self, x: np.ndarray) -> np.ndarray:
        """Gradient at ``x``."""
        return self.both(x)[1].copy()


def names(half: str = "both", families: list[str] | None = None) -> Iterator[str]:
    """Names of the problems of a half, "A", "B" or "both": instances alternate within their family."""
    for family in families or FAMILIES:
        for i, instance in enumerate(FAMILIES[family].builders):
            if half in ("both", HALVES[i % 2]):
                yield f"{family}/{instance}"
