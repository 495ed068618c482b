"""Trace and diagonal of a symmetric operator, estimated from random products.

References
----------
R. A. Meyer, C. Musco, C. Musco, D. Woodruff, "Hutch++", SOSA 2021;
C. Bekas, E. Kokiopoulou, Y. Saad, Appl. Numer. Math. 57 (2007) (diagonals).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twophase_min.curvature.dense import hessian_matrix
from twophase_min.curvature.products import Product, size_of


@dataclass(frozen=True)
class TraceEstimate:
    """A trace with its standard error (0 when exact) and the products spent."""

    value: float
    standard_error: float
    products: int

    def __float__(self) -> float:
        return self.value


@dataclass(frozen=True)
class DiagonalEstimate:
    """A diagonal, shape (n,), with its standard errors (0 when exact) and the products spent."""

    values: np.ndarray
    standard_errors: np.ndarray
    products: int


def trace_estimate(
    hvp: Product, n: int | None = None, *, products: int = 60, seed: int | np.random.Generator = 0
) -> TraceEstimate:
    """Estimate the trace of a symmetric operator without bias (Hutch++).

    A third of the products finds the space where most of the operator lives, a third takes the trace there
    exactly, and the last third samples the remainder with random signs (Hutchinson). With at least n products
    the trace is exact.

    Parameters
    ----------
    hvp : callable
        ``hvp(v) -> H v`` or a `HessianOperator`.
    n : int, optional
        Number of variables.
    products : int, default 60
        Products to spend, at least 6.
    seed : int or Generator, default 0

    Returns
    -------
    TraceEstimate
    """
    n = size_of(hvp, n)
    if products < 6:
        raise ValueError(f"products must be at least 6, got {products!r}")
    if products >= n:
        return TraceEstimate(float(np.trace(hessian_matrix(hvp, n=n))), 0.0, n)
    rng = np.random.default_rng(seed)
    third = products // 3
    sketch = np.array([hvp(_signs(rng, n)) for _ in range(third)]).T
    space, _ = np.linalg.qr(sketch)
    inside = sum(float(q @ hvp(q)) for q in space.T.copy())
    samples = []
    for _ in range(products - 2 * third):
        probe = _signs(rng, n)
        probe -= space @ (space.T @ probe)
        samples.append(float(probe @ hvp(probe)))
    error = float(np.std(samples, ddof=1) / len(samples) ** 0.5)
    return TraceEstimate(inside + float(np.mean(samples)), error, products)


def diagonal_estimate(
    hvp: Product, n: int | None = None, *, products: int = 60, seed: int | np.random.Generator = 0
) -> DiagonalEstimate:
    """Estimate the diagonal of a symmetric operator without bias, from random signs (Bekas et al.).

    The error of an entry is the norm of the other entries of its row over ``sqrt(products)``. With at least
    n products the diagonal is exact.

    Parameters
    ----------
    hvp, n, seed
        As for `trace_estimate`.
    products : int, default 60
        Products to spend, at least 2.

    Returns
    -------
    DiagonalEstimate
    """
    n = size_of(hvp, n)
    if products < 2:
        raise ValueError(f"products must be at least 2, got {products!r}")
    if products >= n:
        return DiagonalEstimate(np.diag(hessian_matrix(hvp, n=n)).copy(), np.zeros(n), n)
    rng = np.random.default_rng(seed)
    mean, squares = np.zeros(n), np.zeros(n)
    for k in range(1, products + 1):
        signs = _signs(rng, n)
        sample = signs * hvp(signs)
        change = sample - mean
        mean += change / k
        squares += change * (sample - mean)
    return DiagonalEstimate(mean, np.sqrt(squares / (products - 1) / products), products)


def _signs(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.integers(0, 2, n) * 2.0 - 1.0
