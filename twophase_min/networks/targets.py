"""Targets as the losses want them: checked, converted, and as class labels wherever they are labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twophase_min.networks.losses import row_sums

Array = NDArray[np.floating]


def as_targets(Y: ArrayLike, n: int, m: int, dtype: np.dtype) -> NDArray:
    """Return targets (n, m) of the given dtype, or labels (n,) of intp.

    Parameters
    ----------
    Y : array_like
        Shape (n, m): targets; rows that are all exactly one-hot become labels if m > 1. Shape (n,): integer
        class labels in 0..m-1 if m > 1, targets if m is 1.
    n, m : int
        Numbers of samples and outputs.
    dtype : numpy.dtype
        Of the network.

    Raises
    ------
    ValueError
        Another shape, complex targets, labels that are not integers or out of range.
    """
    Y = np.asarray(Y)
    if Y.shape == (n,) and m > 1:
        return _as_labels(Y, m)
    if Y.shape != (n, m) and not (m == 1 and Y.shape == (n,)):
        raise ValueError(
            f"Y must have shape ({n}, {m}) for targets or ({n},) for class labels, got {Y.shape}"
        )
    if np.iscomplexobj(Y):
        raise ValueError("Y must be real")
    targets = Y.reshape(n, m).astype(dtype, copy=False)
    # the first rows settle it for most regression targets without a pass over all of them
    if m > 1 and _is_one_hot(targets[:8]) and _is_one_hot(targets):
        return targets.argmax(axis=1)
    return targets


def _as_labels(Y: NDArray, m: int) -> NDArray[np.intp]:
    if Y.dtype.kind not in "iub":
        raise ValueError(
            f"Y of shape (N,) is read as class labels and must be integers, got {Y.dtype}; "
            f"targets have shape (N, {m})"
        )
    low, high = int(Y.min()), int(Y.max())
    if low < 0 or high >= m:
        raise ValueError(f"class labels must lie in 0..{m - 1}, got {low}..{high}")
    return Y.astype(np.intp, copy=False)


def _is_one_hot(rows: Array) -> bool:
    return bool(((rows == 0) | (rows == 1)).all() and (row_sums(rows) == 1).all())
