"""Where runs start: what is accepted as x0, and as the starts of many problems."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twophase_min.objective.bounds import limits
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
        flat = f"pass x0.ravel(), and begin fun with x = x.reshape({shape})"
        ways = [way_in(x0)] if listed else [flat, way_in(x0)] if library(x0) else [flat]
        raise ValueError(f"'x0' must only have one dimension. It has shape ({shape}): {'; or '.join(ways)}.")
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
    if np.ma.is_masked(x0):
        raise TypeError(
            "'x0' is a masked array with masked entries: pass x0.compressed(), and put x in its place in fun "
            "(y = x0.filled(0); y[~x0.mask] = x)."
        )
    if x0 is None:
        raise TypeError("'x0' is None; give one start value per variable.")
    try:
        return np.asarray(numbers(x0))
    except (ValueError, TypeError, RuntimeError) as error:  # what NumPy and PyTorch raise for such lists
        if isinstance(x0, (list, tuple)) or library(x0):
            raise ValueError(
                f"'x0' is a {type(x0).__name__} of arrays, not a vector of real numbers: {way_in(x0)}."
            ) from error
        raise


def start_points(
    x0s: Any, rows: tuple[NDArray[Any], ...], bounds: Any, seed: int, keep_float32: bool = True
) -> Array:
    """Start of every problem, shape (m, n), a new float array.

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit, missing or infinite bounds, entries that are not real numbers.
    """
    counts = {len(row) if row.ndim else -1 for row in rows}
    if len(counts) > 1 or -1 in counts:
        raise ValueError(
            f"rows must share one leading axis, one entry per problem; got {[row.shape for row in rows]}."
        )
    x = np.asarray(numbers(x0s))
    if x.dtype.kind not in "fiub":
        way = f": {way_in(x0s)}" if x.dtype.kind == "O" else ""
        raise TypeError(f"'x0s' has dtype {x.dtype}; real numbers are needed{way}.")
    if x.ndim == 0:
        if x.dtype.kind not in "iu" or x < 1:
            raise ValueError(f"'x0s' is {x0s!r}; give starts of shape (m, n), or how many to draw.")
        x = _drawn(int(x), bounds, seed)
    elif x.ndim == 1 and rows:
        x = np.tile(x, (counts.copy().pop(), 1))
    if x.ndim != 2 or x.size == 0:
        hint = "" if x.ndim != 1 else "; for a single start write x0s=[x0]"
        raise ValueError(f"'x0s' has shape {x.shape}; (m, n) is needed, a start per problem{hint}.")
    if rows and counts != {len(x)}:
        raise ValueError(f"There are {len(x)} starts for {counts.pop()} rows of data.")
    return np.array(x, dtype=np.float32 if keep_float32 and x.dtype == np.float32 else np.float64)


def _drawn(count: int, bounds: Any, seed: int) -> Array:
    """Scrambled Halton points within bounds."""
    if bounds is None:
        raise ValueError("Drawing starts needs bounds, a finite (low, high) per variable.")
    low, high = (np.atleast_1d(np.asarray(limit, dtype=float)) for limit in limits(bounds))
    if not (np.all(np.isfinite(low)) and np.all(np.isfinite(high)) and np.all(low <= high)):
        raise ValueError("Starts can only be drawn within finite bounds, low <= high.")
    from scipy.stats import qmc

    word = "rng" if "rng" in inspect.signature(qmc.Halton).parameters else "seed"  # SciPy 1.15 renamed it
    points = qmc.Halton(low.size, **{word: np.random.default_rng(seed)}).random(count)
    within: Array = low + (high - low) * points
    return within
