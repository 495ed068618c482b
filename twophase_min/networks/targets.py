"""Targets as the losses want them: checked, converted, and as class labels wherever they are labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twophase_min.networks.losses import row_sums

Array = NDArray[np.floating]


def as_targets(Y: ArrayLike, n: int, m: int, dtype: np.dtype[Any], labels: bool = True) -> NDArray[Any]:
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
    labels : bool, default True
        Whether labels are wanted; False turns labels into one-hot rows, and leaves those as they are.

    Raises
    ------
    ValueError
        Another shape, complex targets, labels that are not integers or out of range.
    """
    Y = np.asarray(Y)
    if Y.shape == (n,) and m > 1:
        classes = _as_labels(Y, m)
        return classes if labels else np.eye(m, dtype=dtype)[classes]
    if Y.shape != (n, m) and not (m == 1 and Y.shape == (n,)):
        raise ValueError(
            f"Y must have shape ({n}, {m}) for targets or ({n},) for class labels, got {Y.shape}"
        )
    if np.iscomplexobj(Y):
        raise ValueError("Y must be real")
    targets = Y.reshape(n, m).astype(dtype, copy=False)
    # the first rows settle it for most regression targets without a pass over all of them
    if labels and m > 1 and _is_one_hot(targets[:8]) and _is_one_hot(targets):
        hot: NDArray[np.intp] = targets.argmax(axis=1)
        return hot
    return targets


def _as_labels(Y: NDArray[Any], m: int) -> NDArray[np.intp]:
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


def as_weights(sample_weight: ArrayLike, n: int, dtype: np.dtype[Any]) -> Array:
    """Return the weights of n samples, of the given dtype and with mean 1.

    Raises
    ------
    ValueError
        Another shape, a negative or non-finite weight, or no positive one.
    """
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.shape != (n,):
        raise ValueError(f"sample_weight must have shape ({n},), got {weights.shape}")
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise ValueError("sample_weight must be finite and >= 0, and not zero for all samples")
    weights = weights / weights.max()  # the sum of huge ones would overflow
    relative: Array = (weights / weights.mean()).astype(dtype)
    return relative
