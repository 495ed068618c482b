"""The start vector: what is accepted as x0, and as what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twophase_min.objective.foreign import library, library_within, numbers, way_in

Array = NDArray[np.floating]


def start_vector(x0: Any, keep_float32: bool) -> Array:
    """x0 as a new float vector of shape (n,).

    Raises
    ------
    ValueError
        For more than one dimension, arrays of several shapes, or no variables.
    TypeError
        For a dict, and for complex, object or text entries.
    """
    x = np.atleast_1d(_as_array(x0))
    if x.ndim != 1:
        shape = ", ".join(map(str, x.shape))
        listed = isinstance(x0, (list, tuple)) and library_within(x0)
        raise ValueError(
            f"'x0' must only have one dimension. It has shape ({shape}): "
            + (way_in(x0) if listed else f"pass x0.ravel(), and begin fun with x = x.reshape({shape})")
            + "."
        )
    if x.size == 0:
        raise ValueError("'x0' is empty; give one start value per variable.")
    if x.dtype.kind == "O":
        raise TypeError(f"'x0' has dtype object; a vector of real numbers is needed: {way_in(x0)}.")
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


def _as_array(x0: Any) -> NDArray[Any]:
    """x0 as an array of whatever shape and type."""
    if isinstance(x0, Mapping):
        raise TypeError(f"'x0' is a {type(x0).__name__}; a vector is needed: {way_in(x0)}.")
    try:
        return np.asarray(numbers(x0))
    except (ValueError, TypeError, RuntimeError) as error:  # what NumPy and PyTorch raise for such lists
        if isinstance(x0, (list, tuple)) or library(x0):
            raise ValueError(
                f"'x0' is a {type(x0).__name__} of arrays, not a vector of real numbers: {way_in(x0)}."
            ) from error
        raise
