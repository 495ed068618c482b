"""The inverse of a symmetric matrix as a covariance; where there is none, the directions are named.

The decomposition is made in variables scaled to a unit diagonal, so that units of the parameters decide
nothing. A parameter that takes part in a flat direction has an infinite variance, one in a direction of
negative curvature none (NaN); all others have that of the remaining directions, which is exact for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Flags = NDArray[np.bool_]

TAKES_PART = 1e-3
"""Share of a unit direction, in scaled variables, from which on a parameter takes part in it."""


@dataclass(frozen=True)
class Inverse:
    """An inverse as far as there is one.

    Attributes
    ----------
    matrix : ndarray, shape (n, n)
        inf in rows and columns of parameters in a flat direction, NaN in those of negative curvature.
    directions : ndarray, shape (k, n)
        The flat directions, then those of negative curvature, in the parameters' units; the largest entry in
        scaled variables is 1 times the scale of its parameter.
    singular, negative : tuple of str
        Their names.
    """

    matrix: Array
    directions: Array
    singular: tuple[str, ...]
    negative: tuple[str, ...] = ()


def inverse_of_normal(jacobian: Array, precision: float, names: Sequence[str]) -> Inverse:
    """Invert ``J'J`` by the singular values of J, whose condition number is the root of that of J'J.

    Parameters
    ----------
    jacobian : ndarray, shape (m, n)
    precision : float
        Relative error of its columns.
    names : sequence of str
        Of the parameters, n of them.

    Returns
    -------
    Inverse
    """
    lengths = np.linalg.norm(jacobian, axis=0)
    scales = np.divide(1.0, lengths, out=np.ones_like(lengths), where=lengths > 0)
    _, s, rows = np.linalg.svd(jacobian * scales, full_matrices=len(jacobian) < lengths.size)
    values = np.zeros(lengths.size)
    values[: s.size] = s
    flat = values <= max(jacobian.shape) * precision * values[0]
    return _assembled(values**2, rows.T, scales, flat, np.zeros_like(flat), names)


def inverse_of_hessian(hessian: Array, error: Array, names: Sequence[str]) -> Inverse:
    """Invert a Hessian that is known to an error.

    Parameters
    ----------
    hessian, error : ndarray, shape (n, n)
        Symmetric, and the error estimates of the entries. An eigenvalue within the norm of the error, in
        scaled variables, is taken for 0.
    names : sequence of str
        Of the parameters, n of them.

    Returns
    -------
    Inverse
    """
    n = len(hessian)
    rest = np.flatnonzero(np.any(np.abs(hessian) > error, axis=1))  # the others are flat, each by itself
    inner, unsure = hessian[np.ix_(rest, rest)], error[np.ix_(rest, rest)]
    diagonal = np.abs(np.diag(inner))
    roots = np.sqrt(
        np.where(diagonal > np.diag(unsure), diagonal, np.max(np.abs(inner), axis=1, initial=0.0))
    )
    scales = np.ones(n)
    scales[rest] = 1.0 / roots
    values, vectors = np.zeros(n), np.eye(n)
    floor = 0.0
    if rest.size:
        around = np.outer(scales[rest], scales[rest])
        values[rest], vectors[np.ix_(rest, rest)] = np.linalg.eigh(inner * around)
        largest = float(np.max(np.abs(values)))
        floor = float(np.linalg.norm(unsure * around, 2)) + n * np.finfo(float).eps * largest
    return _assembled(values, vectors, scales, np.abs(values) <= floor, values < -floor, names)


def _assembled(
    values: Array, vectors: Array, scales: Array, flat: Flags, negative: Flags, names: Sequence[str]
) -> Inverse:
    """Put the inverse together from eigenvalues and eigenvectors (columns) in scaled variables."""
    good = ~(flat | negative)
    part = vectors[:, good] * scales[:, None]
    matrix = (part / values[good]) @ part.T
    for which, mark in ((flat, np.inf), (negative, np.nan)):
        involved = np.any(np.abs(vectors[:, which]) > TAKES_PART, axis=1)
        matrix[involved, :] = mark
        matrix[:, involved] = mark
    told = [[_named(v, scales, names) for v in vectors[:, which].T] for which in (flat, negative)]
    rows = [direction for group in told for direction, _ in group]
    return Inverse(
        matrix,
        np.array(rows).reshape(len(rows), scales.size),
        tuple(name for _, name in told[0]),
        tuple(name for _, name in told[1]),
    )


def _named(vector: Array, scales: Array, names: Sequence[str]) -> tuple[Array, str]:
    """Direction in the parameters' units, and its name: ``a - 0.5 b``, changes that go together."""
    vector = np.where(np.abs(vector) > TAKES_PART * np.max(np.abs(vector)), vector, 0.0)
    direction = vector * scales
    taking_part = np.flatnonzero(direction)
    direction = direction / direction[taking_part[0]]
    text = ""
    for i in taking_part.tolist():
        size = f"{abs(direction[i]):.3g}"
        sign = ("- " if direction[i] < 0 else "+ ") if text else ""
        text += f" {sign}{'' if size == '1' else size + ' '}{names[i]}"
    return direction, text.strip()
