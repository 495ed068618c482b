"""Conjugate gradients with a limited memory: Numba kernels in ask/tell form, and a class around them.

- ``memory = 0``: nonlinear conjugate gradients by the Hager-Zhang formula with its truncation, and a line
  search that is all but exact where f is a parabola;
- ``memory > 0``: the limited-memory BFGS recursion over the last ``memory`` pairs (s, y). On a quadratic with
  exact line searches its directions are those of conjugate gradients whatever the memory; everywhere else
  every pair remembered makes up for an inexact search.

Both share one line search, one sequence of fallbacks and one state.

A diagonal change of variables ``x = d * z`` enters as the metric ``D = diag(d**2)``: every direction starts
from ``-D g`` instead of ``-g``, which is what the same method does in z, without ever forming z.

No constant has units: multiplying f, or x and its start, by a power of two changes no decision.

References: Hager & Zhang, SIAM J. Optim. 16 (2005) 170-192 and 23 (2013) 2150-2168; Nocedal & Wright,
*Numerical Optimization* (2006), chapters 3, 5, 6 and 7.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twophase_min.phases.ask_tell import ConvexPhase, metric_named, wolfe_constants
from twophase_min.phases.memory_cg_kernels import MEMORY_CG, REASONS, MemoryCGState, new_state
from twophase_min.phases.pairs import default_memory

__all__ = ["MEMORY_CG", "REASONS", "MemoryCG", "MemoryCGState", "new_state"]


class MemoryCG(ConvexPhase):
    """Limited-memory conjugate gradients as a phase: start, ask, tell.

    Parameters
    ----------
    memory : int, optional
        Pairs (s, y) to keep, >= 0; 0 is plain conjugate gradients. None: `default_memory`.
    c1 : float, default 1e-4
        Sufficient decrease of the line search, 0 < c1 < 1/2.
    c2 : float, optional
        Curvature condition, c1 < c2 < 1. None: 0.9 with memory (weak Wolfe), 0.2 without (strong Wolfe).
    precondition : 'auto' or None, default 'auto'
        What to do where `start` is given no ``diagonal``: 'auto' takes the sizes of x for the scales of the
        variables if the gradient there supports it (`use_sizes`), None takes all scales as equal.
    end_curvature : bool, default True
        Whether values tell how the curvature changes along a step (`pairs.end_curvature`).

    Notes
    -----
    The first trial goes along ``-D g`` by the shorter of max|x| (in the scaled variables) and twice the
    distance at which the linear model has removed all of f; with x = 0 and f = 0 there is no scale, and the
    largest entry moves by 1. Scaling f, or x about the origin, therefore scales the whole run; shifting f or
    x does not leave the first step alone. A trial along ``-D g`` must bring a tenth of the decrease promised.
    """

    name = "memory-cg"
    record = MEMORY_CG
    kind = MemoryCGState
    reasons = REASONS

    def __init__(
        self,
        memory: int | None = None,
        c1: float = 1e-4,
        c2: float | None = None,
        precondition: str | None = "auto",
        end_curvature: bool = True,
    ):
        if memory is not None and memory < 0:
            raise ValueError("memory must be >= 0")
        self.memory = memory
        self.c1 = c1
        self.c2 = c2
        self.precondition = metric_named(precondition)
        self.end_curvature = bool(end_curvature)

    @property
    def keeps_pairs(self) -> bool:
        """Whether pairs from elsewhere are of use."""
        return self.memory != 0

    def allocate(self, n: int, dtype: Any, scaled: bool) -> None:
        """Make a state for n variables, with place for a change of variables or without."""
        memory = default_memory(n) if self.memory is None else int(self.memory)
        c1, c2 = wolfe_constants(self.c1, self.c2, 0.9 if memory else 0.2)
        upper = math.inf if memory else c2
        self.state = new_state(n, memory, dtype, c1, c2, upper, scaled, self.box is not None)
        self.view.apart = self.apart or not self.end_curvature
        self.enter_box()

    @property
    def counters(self) -> dict[str, int]:
        """Iterations, values and gradients told, restarts, rescued searches, skipped pairs."""
        names = ("iterations", "values", "gradients", "restarts", "rescues", "skipped")
        return {name: getattr(self.view, name) for name in names}

    def get_state(self, copied: bool = True) -> dict[str, np.ndarray]:
        """Everything that the rest of the run depends on; not copied where the phase has ended.

        Of the pairs only those in use, as copies if these are not all.
        """
        pairs = self.state.pairs
        used = memory = pairs.shape[1]
        if self.view.stored <= self.view.head:  # the ring has not come round
            used = self.view.head
        saved = self._saved(copied, without=("pairs",))
        return saved | {"pairs": pairs[:, :used].copy() if copied or used < memory else pairs[:, :used]}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """Go on from `get_state`, bit for bit."""
        vectors, ring = np.array(state["vectors"]), np.array(state["ring"])
        diagonal = np.array(state["diagonal"])
        memory, (_, used, n) = ring.shape[1], state["pairs"].shape
        pairs = np.zeros((2, memory, n), dtype=vectors.dtype)
        pairs[:, :used] = state["pairs"]
        edges = np.array(state["edges"])
        self.state = MemoryCGState(vectors, pairs, ring, diagonal, edges, MEMORY_CG.load(state["slot"]))
