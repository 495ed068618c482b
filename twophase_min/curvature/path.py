"""Curvature along a path from its points and gradients: no product is spent."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def path_curvature(xs: Any, gs: Any) -> NDArray[np.float64]:
    """Return the curvature ``s'y / s's`` of every step of a path: free where gradients are at hand.

    It is the mean over the step of the Hessian's Rayleigh quotient along it. A convex function has no
    negative entry; a positive one says nothing about other directions.

    Parameters
    ----------
    xs, gs : array_like, shape (k, n)
        Points of the path and the gradients there.

    Returns
    -------
    ndarray of float64, shape (k - 1,)
        NaN for a step of length zero and where anything is not finite. Empty for fewer than two points.

    Raises
    ------
    ValueError
        The shapes differ or are not two-dimensional.
    """
    points, gradients = np.asarray(xs, dtype=np.float64), np.asarray(gs, dtype=np.float64)
    if points.ndim != 2 or points.shape != gradients.shape:
        raise ValueError(f"xs and gs must both have shape (k, n), got {points.shape} and {gradients.shape}")
    if len(points) < 2 or points.shape[1] == 0:
        return np.full(max(len(points) - 1, 0), np.nan)
    with np.errstate(all="ignore"):
        steps, changes = np.diff(points, axis=0), np.diff(gradients, axis=0)
        length = np.abs(steps).max(axis=1)  # squares of tiny steps would underflow
        unit = steps / length[:, None]
        curvature: NDArray[np.float64] = (unit * changes).sum(axis=1) / (unit * unit).sum(axis=1) / length
    curvature[~np.isfinite(curvature)] = np.nan
    return curvature
