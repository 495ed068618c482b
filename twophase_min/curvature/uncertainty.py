"""Standard errors and covariance of fitted parameters, from the Hessian of what was minimised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult

from twophase_min._errstate import our_arithmetic
from twophase_min.curvature.dense import DenseHessian, dense_hessian
from twophase_min.curvature.inverse import Inverse, inverse_of_hessian
from twophase_min.objective.returned import as_scalar

Array = NDArray[np.floating]

LOSSES = {"likelihood": 1.0, "chi-square": 2.0, "squares": 2.0, "half-squares": 1.0}
"""What may be minimised, and the factor by which the inverse Hessian becomes the covariance; for sums of
squares times the residual variance."""
FAR = 0.1
"""Distance of the minimum, in standard errors, from which on it is mentioned."""


@dataclass(frozen=True, repr=False)
class Uncertainty:
    """Parameters with their errors; printing it gives a table.

    Attributes
    ----------
    x : ndarray, shape (n,)
        The parameters.
    standard_errors : ndarray, shape (n,)
        inf for a parameter in a singular direction, NaN for one in a direction of negative curvature.
    covariance : ndarray, shape (n, n)
        With inf and NaN in the rows and columns of these.
    error : ndarray, shape (n,)
        Estimated error of ``standard_errors`` by the error of the Hessian; NaN where these are not finite.
    hessian, hessian_error : ndarray, shape (n, n)
        The Hessian of the function, and the estimated errors of its entries.
    source : str
        Where the Hessian came from.
    variance : float or None
        The residual variance that a sum of squares was scaled by.
    offset : float
        Length of the Newton step to the minimum, in standard errors; NaN where there is none.
    singular, negative : tuple of str
        Combinations of parameters along which the function does not bend, or bends down.
    directions : ndarray, shape (k, n)
        The same as changes of the parameters.
    names : tuple of str
        Of the parameters.
    held : tuple of str
        Those that a bound holds: no errors (NaN), and the errors of the others are those given their values.
    """

    x: Array
    standard_errors: Array
    covariance: Array
    error: Array
    hessian: Array
    hessian_error: Array
    source: str
    variance: float | None
    offset: float
    singular: tuple[str, ...]
    negative: tuple[str, ...]
    directions: Array
    names: tuple[str, ...]
    held: tuple[str, ...] = ()

    @property
    def correlation(self) -> Array:
        """Correlations of the parameters, shape (n, n); NaN where there is no finite variance."""
        with our_arithmetic():
            return self.covariance / np.outer(self.standard_errors, self.standard_errors)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        width = max(9, *(len(name) for name in self.names))
        lines = [f"{'parameter':<{width}}  {'value':>13}  {'std error':>11}  {'its error':>9}"]
        for row in zip(self.names, self.x, self.standard_errors, self.error, strict=True):
            lines.append("{0:<{4}}  {1:>13.6g}  {2:>11.4g}  {3:>9.1e}".format(*row, width))
        lines.append(f"Hessian from {self.source}")
        if self.variance is not None:
            lines.append(f"scaled by the residual variance {self.variance:.4g}")
        lines += [f"singular: the function does not bend along {name}" for name in self.singular]
        lines += [f"not a minimum: the function bends down along {name}" for name in self.negative]
        lines += [
            f"held at a bound: {name}; the other errors are those given its value" for name in self.held
        ]
        if self.offset > FAR:
            lines.append(f"not a minimum: a Newton step leads {self.offset:.2g} standard errors away")
        return "\n".join(lines)


def standard_errors(
    fun: Callable[..., Any] | None,
    x: Any,
    *,
    args: tuple[Any, ...] = (),
    jac: Any = None,
    hess: Any = None,
    hessp: Callable[..., Any] | None = None,
    method: str = "auto",
    loss: str = "likelihood",
    n_data: int | None = None,
    names: Sequence[str] | None = None,
) -> Uncertainty:
    """Return the standard errors of parameters at the minimum of a likelihood or a sum of squares.

    Parameters
    ----------
    fun : callable or None
        What was minimised, as for `hessian_operator`.
    x : OptimizeResult or array_like, shape (n,)
        The result of `minimize`, or the minimum itself.
    args, jac, hess, hessp, method
        As for `dense_hessian`, which decides where the Hessian comes from and estimates its error.
    loss : {'likelihood', 'squares', 'half-squares', 'chi-square'}, default 'likelihood'
        What fun is, and so what the covariance is, with H the Hessian, m data and n parameters:

        - 'likelihood': the negative logarithm of the likelihood; ``H^-1``;
        - 'squares': a sum of squared residuals S of unknown variance; ``2 s^2 H^-1``, s^2 = S / (m - n);
        - 'half-squares': half of it, f = S / 2; ``s^2 H^-1``, s^2 = 2 f / (m - n);
        - 'chi-square': a sum of squares in units of known errors; ``2 H^-1``.
    n_data : int, optional
        m, for the two sums of squares: their residual variance cannot be known without it.
    names : sequence of str, optional
        Of the parameters. Default ``x[0]``, ``x[1]``, ...

    Returns
    -------
    Uncertainty

    Raises
    ------
    ValueError
        Unknown loss, n_data missing or not above n, a wrong number of names, a Hessian that is not finite.
    TypeError
        As `hessian_operator`.

    Notes
    -----
    A mean of squares is no sum: multiply it by m. Near-singular directions count as singular where the
    error of the Hessian hides their curvature. The errors hold for the quadratic model about x, that is for
    errors so small that the function is a parabola over them.
    """
    if loss not in LOSSES:
        raise ValueError(f"loss is {loss!r}; it must be {', '.join(map(repr, LOSSES))}.")
    if isinstance(fun, OptimizeResult) or callable(x):
        raise TypeError("the function comes first: standard_errors(fun, result), or covariance(fun, result).")
    point = np.atleast_1d(np.array(getattr(x, "x", x), dtype=np.float64))
    names = tuple(f"x[{i}]" for i in range(point.size)) if names is None else tuple(names)
    if len(names) != point.size:
        raise ValueError(f"there are {len(names)} names for {point.size} parameters.")
    args = args if isinstance(args, tuple) else (args,)
    active = np.asarray(getattr(x, "active", np.zeros(point.size)))
    free, held = np.flatnonzero(active == 0), np.flatnonzero(active)
    variance = _variance(fun, point, args, jac, n_data, free.size) if loss.endswith("squares") else None
    if variance is not None and loss == "half-squares":
        variance *= 2.0
    found = dense_hessian(fun, point, args=args, jac=jac, hess=hess, hessp=hessp, method=method)
    if not np.isfinite(found.matrix).all():
        raise ValueError(
            f"the Hessian from {found.source} is not finite: x lies at the edge of the domain, where a "
            "minimum has no standard errors; hold such a parameter fixed."
        )
    within = np.ix_(free, free)
    inner = inverse_of_hessian(found.matrix[within], found.error[within], [names[i] for i in free])
    inverse = _with_held(inner, free, point.size)
    factor = LOSSES[loss] * (1.0 if variance is None else variance)
    errors = np.sqrt(factor * np.diag(inverse.matrix))
    return Uncertainty(
        point,
        errors,
        factor * inverse.matrix,
        _error_of(errors, factor, inverse, found),
        found.matrix,
        found.error,
        found.source,
        variance,
        _offset(factor, inner, None if found.gradient is None else found.gradient[free]),
        inverse.singular,
        inverse.negative,
        inverse.directions,
        names,
        tuple(names[i] for i in held),
    )


def covariance(fun: Callable[..., Any] | None, x: Any, **keywords: Any) -> Array:
    """Return the covariance of parameters at a minimum: `standard_errors` without all it says beside.

    Parameters
    ----------
    fun, x, **keywords
        As for `standard_errors`.

    Returns
    -------
    ndarray, shape (n, n)
        inf and NaN in the rows and columns of parameters that are not determined.
    """
    return standard_errors(fun, x, **keywords).covariance


def _with_held(inner: Inverse, free: NDArray[np.intp], n: int) -> Inverse:
    """Return the inverse over the free parameters for all n; NaN for those that are held."""
    matrix, directions = np.full((n, n), np.nan), np.zeros((len(inner.directions), n))
    matrix[np.ix_(free, free)] = inner.matrix
    directions[:, free] = inner.directions
    return Inverse(matrix, directions, inner.singular, inner.negative)


def _variance(fun: Any, x: Array, args: tuple[Any, ...], jac: Any, n_data: int | None, n: int) -> float:
    """Return the value of a sum of squares over its degrees of freedom, with n free parameters."""
    if n_data is None or n_data <= n:
        raise ValueError(
            f"n_data is {n_data}; a residual variance needs the number of data, above that of the parameters "
            f"({n}). Where the errors of the data are known, use loss='chi-square'."
        )
    if fun is None:
        raise TypeError("a residual variance needs fun.")
    value = fun(x.copy(), *args)
    return as_scalar(value[0] if jac is True else value) / (n_data - n)


def _error_of(errors: Array, factor: float, inverse: Inverse, found: DenseHessian) -> Array:
    """Return the error of standard errors, by ``dC = C dH C`` with all signs at their worst."""
    size = np.abs(np.where(np.isfinite(inverse.matrix), inverse.matrix, 0.0))
    with our_arithmetic():
        change = factor * np.einsum("ij,jk,ki->i", size, found.error, size)
        return np.where(np.isfinite(errors), change / (2 * errors), np.nan)


def _offset(factor: float, inverse: Inverse, gradient: Array | None) -> float:
    """Return ``(g' H^-1 g / factor)^(1/2)``, the Newton step in units of the standard errors."""
    if gradient is None or not np.isfinite(inverse.matrix).all() or not factor > 0:
        return float("nan")
    decrement = float(gradient @ inverse.matrix @ gradient)
    return float((max(decrement, 0.0) / factor) ** 0.5)
