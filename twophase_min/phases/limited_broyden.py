"""Self-scaled Broyden with a limited memory: `quasi_newton` where a matrix does not fit.

H is ``gamma D`` and the updates that the last steps have made, each kept by its two vectors, s and H y, and a
third, y. A product with H goes through them one after the other, and costs what the recursion of L-BFGS does.

*Forgetting.* The vector H y of an update depends on all before it. So updates are forgotten by halves: where
``memory`` of them are kept, the older half goes, and the vectors of the others are computed anew, which makes
steps a third dearer on average. Else a step takes one product, as H y is the difference of two products with
gradients.

*Scaling.* What is forgotten is forgotten but for its factors ``1 / tau``: they go on scaling D. With a D that
learnt from the pairs forgotten runs on physics-informed networks ended ten to two hundred times higher.

The update, its derivation and its sources are those of `quasi_newton`. How its H is kept and forgotten here
was found by trial (docs/pinn.md), not taken from a paper. An update that is made anew keeps the number
``b = s'Bs / s'y`` that it had.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from twophase_min.phases.ask_tell import ConvexPhase, metric_named, wolfe_constants
from twophase_min.phases.limited_broyden_kernels import LIMITED_BROYDEN, LimitedBroydenState, new_state
from twophase_min.phases.search import REASONS

LEAST, MOST, BYTES = 4, 200, 2**29
"""Updates to keep where nobody says: as many as fit into so many bytes, within these limits."""


def default_memory(n: int) -> int:
    """Return how many updates to keep: 200, fewer where they take more than 512 MB, at least 4."""
    return int(min(MOST, max(LEAST, BYTES // (24 * max(n, 1)))))


class LimitedSSBroyden(ConvexPhase):
    """Self-scaled Broyden with a limited memory as a phase: start, ask, tell.

    Parameters
    ----------
    memory : int, optional
        Updates to keep, >= 2: between half of them and all are in use. None: `default_memory`.
    c1 : float, default 1e-4
        Sufficient decrease of the line search, 0 < c1 < 1/2.
    c2 : float, optional
        Curvature condition (weak Wolfe), c1 < c2 < 1. None: 0.9.
    precondition : 'auto' or None, default 'auto'
        What to do where `start` is given no ``diagonal``: 'auto' takes the sizes of x for the scales of the
        variables if the gradient there supports it (`use_sizes`), None takes all scales as equal.

    Notes
    -----
    As long as no update is forgotten its steps are those of `quasi_newton.SSBroyden`.
    """

    name = "l-ssbroyden"
    record = LIMITED_BROYDEN
    kind = LimitedBroydenState
    reasons = REASONS

    def __init__(
        self,
        memory: int | None = None,
        c1: float = 1e-4,
        c2: float | None = None,
        precondition: str | None = "auto",
    ):
        if memory is not None and memory < 2:
            raise ValueError("memory must be >= 2")
        self.memory = memory
        self.c1, self.c2 = wolfe_constants(c1, c2, 0.9)
        self.precondition = metric_named(precondition)

    @property
    def keeps_pairs(self) -> bool:
        """Whether pairs from elsewhere are of use."""
        return True

    def allocate(self, n: int, dtype: Any, scaled: bool) -> None:
        """Make a state for n variables, with place for a change of variables or without."""
        memory = default_memory(n) if self.memory is None else int(self.memory)
        self.state = new_state(n, memory, dtype, self.c1, self.c2, scaled)

    @property
    def counters(self) -> dict[str, int]:
        """Iterations, values and gradients told, restarts, rescued searches, skipped pairs."""
        names = ("iterations", "values", "gradients", "restarts", "rescues", "skipped")
        return {name: getattr(self.view, name) for name in names}

    def get_state(self, copied: bool = True) -> dict[str, np.ndarray]:
        """Everything that the rest of the run depends on; not copied where the phase has ended.

        Of the updates only those in use.
        """
        updates = self.state.updates[:, : int(self.view.used)]
        return self._saved(copied, without=("updates",)) | {"updates": updates.copy() if copied else updates}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from `get_state`, bit for bit."""
        _, used, n = state["updates"].shape
        updates = np.zeros((3, state["numbers"].shape[1], n))
        updates[:, :used] = state["updates"]
        super().set_state({**state, "updates": updates})
