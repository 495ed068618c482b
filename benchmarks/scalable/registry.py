"""The record of a scalable test function, the decorator that registers one, and helpers for chains."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

Both = tuple[Any, np.ndarray]
Start = float | tuple[float, ...] | Callable[[int], np.ndarray]

FUNCTIONS: dict[str, Scalable] = {}
"""Every function by name."""


def _same(n: int) -> tuple[float, ...]:
    return (n,)


@dataclass(frozen=True)
class Scalable:
    """A test function of any dimension.

    Attributes
    ----------
    name : str
        CUTEst's name where the function is there, a speaking one otherwise.
    both : callable
        Maps x, shape (n,), to (value, gradient). Analytic: a complex x gives the complex value.
    start : float, tuple or callable
        Standard starting point: one value, a pattern that is repeated, or a function of n.
    multiple : int
        The dimension is a multiple of this.
    square : bool
        The dimension is a square number.
    port : str or None
        Name of the function in the S2MPJ port of CUTEst, None if it is not there.
    port_arguments : callable
        Maps the dimension to the port's arguments.
    """

    name: str
    both: Callable[[np.ndarray], Both]
    start: Start
    multiple: int
    square: bool
    port: str | None
    port_arguments: Callable[[int], tuple[float, ...]]

    def size(self, n: int) -> int:
        """Return the largest allowed dimension that is at most ``n``."""
        return math.isqrt(n) ** 2 if self.square else n - n % self.multiple

    def x0(self, n: int) -> np.ndarray:
        """Return the standard starting point for an allowed dimension, shape (n,)."""
        if callable(self.start):
            return np.array(self.start(n), dtype=float)
        return np.resize(np.array(self.start, dtype=float), n)


def scalable(
    start: Start,
    *,
    multiple: int = 1,
    square: bool = False,
    port: str | None = "",
    port_arguments: Callable[[int], tuple[float, ...]] = _same,
) -> Callable[[Callable[[np.ndarray], Both]], Callable[[np.ndarray], Both]]:
    """Register a function under its name in capitals; ``port=""`` says that the port has the same name."""

    def register(both: Callable[[np.ndarray], Both]) -> Callable[[np.ndarray], Both]:
        name = both.__name__.upper()
        there = name if port == "" else port
        FUNCTIONS[name] = Scalable(name, both, start, multiple, square, there, port_arguments)
        return both

    return register


def half(which: str) -> list[str]:
    """Names of the half for tuning ("A"), of the half for judging ("B"), or of both ("both")."""
    names = sorted(FUNCTIONS)
    return {"A": names[0::2], "B": names[1::2], "both": names}[which]


@cache
def counting(n: int) -> np.ndarray:
    """Return 1, 2, ..., n as floats, read-only."""
    i = np.arange(1.0, n + 1.0)
    i.flags.writeable = False
    return i


def window_sum(u: np.ndarray, below: int, above: int) -> np.ndarray:
    """Sum u[i - below] to u[i + above] for every i, cut at the ends. Its adjoint swaps below and above."""
    total = u.copy()
    for k in range(1, below + 1):
        total[k:] += u[:-k]
    for k in range(1, above + 1):
        total[:-k] += u[k:]
    return total


def quartets(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return views x[2j], x[2j+1], x[2j+2], x[2j+3] of size n/2 - 1: a chain whose links overlap by two."""
    return x[:-2:2], x[1:-2:2], x[2::2], x[3::2]
