"""The first trial of a line search: how far along a direction, from what has been learnt so far."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from twophase_min.jit.compilation import jit
from twophase_min.jit.kernels import norm2
from twophase_min.phases import P, X
from twophase_min.phases.box import corner, is_bounded
from twophase_min.phases.metric import length, metric_of

Array = NDArray[np.floating]

REACH = 2.0
"""A first trial goes at most this many times further than any step before."""
SIZE = 0.3
"""Or as far as this share of x."""
WIDE = 100.0
"""Sizes of x (of 1, where x is zero) beyond which limits say nothing of the size of a variable."""
GUESS, CAREFUL = 1.0, 0.5
"""First trial where nothing is known: its largest entry, in sizes of x; for a search that pays a gradient for
every trial, and does not correct a first one that is merely lower."""


def first_step(x: Array, p: Array) -> float:
    """Return the multiple of p whose largest entry is `CAREFUL` sizes of x; without a size, of 1."""
    size, reach = float(np.max(np.abs(x))), float(np.max(np.abs(p)))
    guess = CAREFUL * size / reach
    return guess if 0.0 < guess < math.inf else CAREFUL / reach


@jit(no_cpython_wrapper=True)
def first_guess(state, cg, slope):
    """Guess a step along ``-D g``: from the last step, or as long as x is, whatever the unit of f.

    Within bounds a variable is as large as its limits are far, unless they are beyond `WIDE` sizes of x. So,
    where all variables go towards limits, the first trial is the corner where they are.
    """
    p, x = state.vectors[P], state.vectors[X]
    scaled, metric = metric_of(state.vectors)
    if cg.step_norm > 0.0:
        return cg.step_norm / math.sqrt(-slope)
    if cg.first > 0.0:
        return cg.first / norm2(p)
    size = 0.0
    reach = 0.0
    for i in range(x.size):
        d = math.sqrt(metric[i]) if scaled else 1.0
        size = max(size, abs(x[i]) / d)
        reach = max(reach, abs(p[i]) / d)
    if is_bounded(state.vectors):
        step, far = corner(state.vectors)
        if 0.0 < far <= WIDE * (size if size > 0.0 else 1.0):
            return step
    guess = GUESS * size / reach
    return guess if 0.0 < guess < math.inf else GUESS / reach


@jit(no_cpython_wrapper=True)
def within_reach(state, cg, step):
    """Shorten a first trial along p that goes further than what has been learnt can vouch for.

    A pair with next to no curvature sends it arbitrarily far. It may go `REACH` times as far as the longest
    step so far, or a share of the size of x; the search itself may go on from there.
    """
    far = length(state.vectors, state.vectors[P])
    reach = max(REACH * cg.longest, SIZE * length(state.vectors, state.vectors[X]))
    return reach / far if step * far > reach > 0.0 else step


class Reach:
    """What `within_reach` does, for a phase that SciPy runs.

    SciPy's conjugate gradients expect the decrease of the last step again. Where the slope has become small,
    that leads arbitrarily far.

    Parameters
    ----------
    scales : ndarray, shape (n,), or None
        Sizes of the variables, the units in which lengths are measured.
    steps : iterable of ndarray, shape (n,)
        Steps already made.

    Attributes
    ----------
    longest : float
        Length of the longest step so far; 0 without one, and then nothing is shortened.
    """

    def __init__(self, scales: Array | None, steps: Iterable[Array]):
        self.scales = 1.0 if scales is None else scales
        self.longest = 0.0
        for s in steps:
            self.note(s)

    def _length(self, v: Array) -> float:
        return float(norm2(np.asarray(v / self.scales, dtype=float)))

    def note(self, s: Array) -> None:
        """Take a step."""
        moved = self._length(s)
        if moved < math.inf:
            self.longest = max(self.longest, moved)

    def shorten(self, p: Array, step: float) -> float:
        """Return the multiple of p that a first trial may take, at most ``step``."""
        if not self.longest > 0.0:
            return step
        far, reach = self._length(p), REACH * self.longest
        return reach / far if step * far > reach else step
