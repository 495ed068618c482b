"""A value that falls towards a singularity: what the record of a run shows of it.

Where f has no bound (a standard deviation that goes to zero in a likelihood, a pole, a logarithm at zero) its
gradient grows along the whole way down. Near a minimum it shrinks. So a run that ends where the gradient is
about the largest on its way, and far larger than at the start, has most likely met such a place.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from twophase_min._status import Status

GROWN = 1e6
"""Ratio of the gradient's norm to what it was at the start, or at the least, that tells a singularity."""
SHARE = 0.01
"""Share of the largest norm on the way that the one at the end has at least."""
ENDS = frozenset(
    {
        Status.MAXITER,
        Status.MAXFUN,
        Status.MAXTIME,
        Status.NONFINITE,
        Status.PRECISION_LOSS,
        Status.WORKING_PRECISION,
    }
)
"""Ends that it explains."""


def towards_singularity(
    status: Status, norms: NDArray[np.floating], norm: float, start_f: float, f: float
) -> str:
    """Say that f falls towards a singularity, where the norms of the gradient show it; '' otherwise.

    Parameters
    ----------
    status : Status
        Why the run ended.
    norms : ndarray, shape (iterations + 1,)
        Of the gradient at the iterates, unit f/x.
    norm : float
        At the point returned; where it is not finite, the largest one on the way stands for it.
    start_f, f : float
        Values at the start and at the point returned.
    """
    finite = norms[np.isfinite(norms)]
    if status not in ENDS or finite.size == 0 or not f < start_f:
        return ""
    norm = norm if np.isfinite(norm) else float(finite.max())
    if not (norm > GROWN * finite[0] and norm >= SHARE * finite.max()):
        return ""
    return (
        f"While f fell from {start_f:.6g} to {f:.6g}, the gradient's norm grew from {finite[0]:.1g} to "
        f"{norm:.1g}: f may fall without a bound here, towards a singularity (a standard deviation that goes "
        "to zero, a pole). Bound the variables away from it, add a penalty or a prior, or start elsewhere."
    )
