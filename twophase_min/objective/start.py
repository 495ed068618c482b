"""The start vector: what is accepted as x0, and as what."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def start_vector(x0: Any, keep_float32: bool) -> Array:
    """x0 as a new float vector of shape (n,).

    Raises
    ------
    ValueError
        For more than one dimension, or no variables.
    TypeError
        For complex, object or text entries.
    """
    x = np.atleast_1d(np.asarray(x0))
    if x.ndim != 1:
        raise ValueError("'x0' must only have one dimension.")
    if x.size == 0:
        raise ValueError("'x0' is empty; give one start value per variable.")
    if x.dtype.kind not in "fiub":
        raise TypeError(
            f"'x0' has dtype {x.dtype}; real numbers are needed"
            + (
                " (split complex variables into real and imaginary parts)."
                if x.dtype.kind == "c"
                else " (numpy.asarray(x0, dtype=float) makes them)."
            )
        )
    keep = keep_float32 and x.dtype == np.float32
    return np.array(x, dtype=np.float32 if keep else np.float64)
