"""The extreme eigenvalues of a symmetric operator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from twophase_min.curvature.lanczos import Lanczos
from twophase_min.curvature.products import Product, size_of


@dataclass(frozen=True)
class ExtremeEigenvalues:
    """The ends of a spectrum, as Lanczos found them.

    Attributes
    ----------
    lambda_min, lambda_max : float
        Rayleigh quotients, hence never outside the true spectrum (to rounding).
    vector_min, vector_max : ndarray, shape (n,)
        Their unit vectors; None for an end that was not asked for.
    error_min, error_max : float
        Norms of the residuals ``H u - lambda u``, each from a product of its own. The spectrum has an
        eigenvalue within that distance; that it is the last one rests on the random start.
    products : int
        Hessian-vector products spent, those for the residuals included.
    converged : bool
        Whether the tolerance was met within the bound on products.
    """

    lambda_min: float
    lambda_max: float
    vector_min: np.ndarray | None
    vector_max: np.ndarray | None
    error_min: float
    error_max: float
    products: int
    converged: bool

    def __iter__(self) -> Iterator[float]:
        """Unpack as ``lambda_min, lambda_max``."""
        return iter((self.lambda_min, self.lambda_max))


SMALL = 300
"""Up to this many variables the whole Krylov space is affordable, and the default bound allows it."""


def extreme_eigenvalues(
    hvp: Product,
    n: int | None = None,
    *,
    which: str = "both",
    tol: float = 1e-6,
    relative_to: str = "auto",
    max_products: int | None = None,
    basis: int | None = None,
    seed: int | np.random.Generator = 0,
) -> ExtremeEigenvalues:
    """Find the smallest and largest eigenvalue of a symmetric operator by Lanczos' method.

    Full reorthogonalisation (twice, classical Gram-Schmidt) keeps spurious copies out; a thick restart
    bounds the memory; an invariant subspace (few distinct eigenvalues, a block structure) is left by a fresh
    random vector orthogonal to it, so that clusters and multiple eigenvalues at either end are no obstacle.

    Parameters
    ----------
    hvp : callable
        ``hvp(v) -> H v`` for v of shape (n,), float64, or a `HessianOperator`.
    n : int, optional
        Number of variables; a `HessianOperator` knows its own.
    which : {'both', 'min', 'max'}, default 'both'
        Which ends must converge; the other is reported as far as it came.
    tol : float, default 1e-6
        Residual norm at which an end counts as converged, relative to the scale below. The eigenvalue's own
        error is at most the residual, and mostly of the order of its square.
    relative_to : {'auto', 'norm', 'self'}, default 'auto'
        The scale: the largest modulus in the spectrum, or the end's own modulus, which is harsher where an
        end lies near zero. 'auto' is 'self' up to n = 300 and 'norm' beyond.
    max_products : int, optional
        Bound on products, never exceeded. Default ``min(n, 300) + 2``.
    basis : int, optional
        Vectors kept, at least 8 (or n). Default: as many as fit into 200 MB, at most 300, at least 20.
    seed : int or Generator, default 0
        Of the start vector.

    Returns
    -------
    ExtremeEigenvalues

    Raises
    ------
    ValueError
        Bad arguments, or a product that is not finite.
    """
    n = size_of(hvp, n)
    if which not in ("both", "min", "max"):
        raise ValueError(f"which must be 'both', 'min' or 'max', got {which!r}")
    if relative_to not in ("auto", "norm", "self"):
        raise ValueError(f"relative_to must be 'auto', 'norm' or 'self', got {relative_to!r}")
    if not 0.0 < tol < 1.0:
        raise ValueError(f"tol must be in (0, 1), got {tol!r}")
    limit = min(n, SMALL) + 2 if max_products is None else int(max_products)
    if limit < 1:
        raise ValueError(f"max_products must be at least 1, got {max_products!r}")
    if basis is None:
        basis = max(20, min(SMALL, 25_000_000 // n))
    elif basis < min(8, n):
        raise ValueError(f"basis must be at least {min(8, n)}, got {basis}")
    own_scale = relative_to == "self" or (relative_to == "auto" and n <= SMALL)
    ends = {"both": (0, -1), "min": (0,), "max": (-1,)}[which]
    reserve = len(ends) if limit > len(ends) else 0  # products kept back for the residuals

    run = Lanczos(hvp, n, min(basis, n), np.random.default_rng(seed))
    converged = False
    check = 1
    while not converged:
        run.extend()
        last = run.exhausted or run.products + reserve >= limit
        if run.size >= check or run.full or last:
            run.solve()
            converged = run.settled and (
                run.exhausted or all(run.residual(end) <= tol * run.scale(end, own_scale) for end in ends)
            )
            check = run.size + max(1, run.size // 10)
        if last:
            break
        if not converged:
            run.prepare()
    found: dict[int, tuple[float, np.ndarray | None, float]] = {}
    for end in (0, -1):
        value, vector, error = run.theta[end], None, run.residual(end)
        if end in ends:
            vector = run.vector(end)
            if run.products < limit:
                image = run.apply(vector)
                value = float(vector @ image)
                error = float(np.linalg.norm(image - value * vector))
        unit = run.unit or 1.0
        found[end] = (float(value * unit), vector, float(error * unit))
    return ExtremeEigenvalues(
        min(found[0][0], found[-1][0]),  # they may differ by rounding if there is but one eigenvalue
        found[-1][0],
        found[0][1],
        found[-1][1],
        found[0][2],
        found[-1][2],
        run.products,
        bool(converged),
    )
