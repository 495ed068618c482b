"""Is the function convex at a point: the verdict from the ends of the Hessian's spectrum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from twophase_min.curvature.products import gradient_function, hessian_operator
from twophase_min.curvature.spectrum import extreme_eigenvalues


@dataclass(frozen=True)
class ConvexityReport:
    """What the Hessian says at one point; printing it gives the summary.

    Attributes
    ----------
    verdict : {'convex', 'non-convex', 'undecided'}
        Convex means ``lambda_min >= -tol * lambda_max``. Non-convex is certain (a direction of negative
        curvature is at hand); convex is as certain as Lanczos' random start; undecided means that Lanczos
        did not converge within the bound on products.
    lambda_min, lambda_max : float
        Extreme eigenvalues, with `error_min` and `error_max` as in `ExtremeEigenvalues`.
    direction : ndarray, shape (n,), or None
        Unit vector of negative curvature ``lambda_min``, pointing downhill, if lambda_min < 0.
    gradient_norm : float
        Two-norm of the gradient; NaN when there is no gradient to ask.
    gradient_curvature : float
        ``g'Hg / g'g``: what the gradient norm's fall along steepest descent shows; NaN as above.
    tol : float
        The tolerance of the verdict.
    condition : float
        ``lambda_max / lambda_min`` if both are positive, else inf.
    products : int
        Hessian-vector products spent.
    source : str
        Where they came from.
    converged : bool
        Whether both eigenvalues met the tolerance asked of Lanczos.
    """

    verdict: str
    lambda_min: float
    lambda_max: float
    error_min: float
    error_max: float
    direction: np.ndarray | None
    gradient_norm: float
    gradient_curvature: float
    tol: float
    condition: float
    products: int
    source: str
    converged: bool

    @property
    def convex(self) -> bool:
        """Whether the verdict is 'convex'."""
        return self.verdict == "convex"

    def __str__(self) -> str:
        return (
            f"{self.verdict}: Hessian eigenvalues from {self.lambda_min:.6g} (error {self.error_min:.1e}) to "
            f"{self.lambda_max:.6g} (error {self.error_max:.1e}), tolerance {self.tol:g} of the largest; "
            f"gradient norm {self.gradient_norm:.4g}, curvature along it {self.gradient_curvature:.4g}; "
            f"{self.products} products ({self.source})" + ("" if self.converged else ", not converged")
        )


def convexity_report(
    fun: Callable[..., Any] | None,
    x: Any,
    *,
    args: tuple[Any, ...] = (),
    jac: Any = None,
    hess: Any = None,
    hessp: Callable[..., Any] | None = None,
    method: str = "auto",
    tol: float = 1e-6,
    lanczos_tol: float | None = None,
    max_products: int | None = None,
    seed: int | np.random.Generator = 0,
) -> ConvexityReport:
    """Measure whether a function is convex at a point.

    Parameters
    ----------
    fun, x, args, jac, hess, hessp, method
        As for `hessian_operator`.
    tol : float, default 1e-6
        How negative the smallest eigenvalue may be, as a fraction of the largest, for the Hessian to count
        as numerically positive semidefinite. Differences of gradients are good to about 1e-9.
    lanczos_tol : float, optional
        Residual asked of Lanczos, relative to the largest modulus. Default ``max(0.1 * tol, 1e-10)``.
    max_products, seed
        As for `extreme_eigenvalues`; the curvature along the gradient costs one more product.

    Returns
    -------
    ConvexityReport

    Raises
    ------
    TypeError, ValueError
        As `hessian_operator` and `extreme_eigenvalues`.
    """
    if not 0.0 <= tol < 1.0:
        raise ValueError(f"tol must be in [0, 1), got {tol!r}")
    operator = hessian_operator(fun, x, args=args, jac=jac, hess=hess, hessp=hessp, method=method)
    ends = extreme_eigenvalues(
        operator,
        tol=max(0.1 * tol, 1e-10) if lanczos_tol is None else lanczos_tol,
        relative_to="norm",
        max_products=max_products,
        seed=seed,
    )
    gradient = _gradient_at(fun, jac, args, np.atleast_1d(np.array(x, dtype=np.float64)))
    norm = along = float("nan")
    if gradient is not None:
        norm = float(np.linalg.norm(gradient))
        if 0.0 < norm < np.inf:
            unit = gradient / norm
            along = float(unit @ operator(unit))
    direction = None
    if ends.lambda_min < 0.0 and ends.vector_min is not None:
        direction = ends.vector_min
        if gradient is not None and direction @ gradient > 0.0:
            direction = -direction
    floor = -tol * max(ends.lambda_max, 0.0)
    verdict = "convex" if ends.converged else "undecided"
    if ends.lambda_min < floor:
        verdict = "non-convex"  # converged or not: the true smallest eigenvalue lies below its Ritz value
    positive = ends.lambda_min > 0.0
    return ConvexityReport(
        verdict,
        ends.lambda_min,
        ends.lambda_max,
        ends.error_min,
        ends.error_max,
        direction,
        norm,
        along,
        tol,
        ends.lambda_max / ends.lambda_min if positive else float("inf"),
        operator.products,
        operator.source,
        ends.converged,
    )


def _gradient_at(fun: Any, jac: Any, args: tuple[Any, ...], x: np.ndarray) -> np.ndarray | None:
    """Return the gradient for the report, by autograd if need be; None where there is none to be had."""
    gradient = gradient_function(fun, jac, args)
    if gradient is not None:
        return gradient(x)
    if fun is None:
        return None
    try:
        from twophase_min.objective.tracing import gradient_of

        return np.asarray(gradient_of(lambda point: fun(point, *args))(x), dtype=np.float64)
    except Exception:  # a report without the gradient's line is better than none
        return None
