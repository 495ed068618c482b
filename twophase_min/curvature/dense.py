"""The Hessian as a matrix, with an estimate of the error of every entry.

Where it comes from is decided in one place, `dense_hessian`: given products or a given matrix, differences of
a given gradient, autograd, differences of values. Differences are extrapolated from short steps to longer
ones (Richardson): the first step is the shortest at which the differences stand out of the measured noise,
so that neither the units of x nor the noise of f have to be known beforehand.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twophase_min._errstate import our_arithmetic, users
from twophase_min.curvature.products import (
    METHODS,
    HessianOperator,
    by_products,
    chosen_method,
    gradient_function,
    hessian_operator,
    size_of,
)
from twophase_min.objective.check import extrapolated
from twophase_min.objective.returned import as_scalar
from twophase_min.objective.tracing import gradient_of

Array = NDArray[np.floating]

EPS = float(np.finfo(float).eps)
FIRST = 1e-7
"""First step that is tried, relative to a variable; absolute at 0."""
GROWTH = 4.0
"""Factor by which the step grows until differences are resolved."""
RESOLVED = 10.0
"""Differences in units of their noise from which on extrapolation begins."""
LONGEST = 1e3
"""Longest step, in the same units as the first."""
ROWS, ORDERS = 24, 3
"""Steps of an extrapolation at most, each twice the one before, and orders of error that are removed."""
ROUNDING = 1e-6
"""Noise below this share of a value is taken for rounding, that of single precision too."""
SAFETY = 3.0
"""Factor of an error estimate: the least of many estimates is taken, and so too small a one."""
WORSE = 10.0
"""An entry is settled once a row has not come within this factor of its best error: far out, where f is
another parabola, differences agree again, with each other but not with the curvature at x."""


@dataclass(frozen=True)
class DenseHessian:
    """A Hessian with the errors of its entries.

    Attributes
    ----------
    matrix, error : ndarray, shape (n, n)
        Symmetric; ``error`` is not a bound but an estimate on the safe side.
    gradient : ndarray, shape (n,), or None
        At the same point, where it was at hand.
    source : str
        Where they came from.
    """

    matrix: Array
    error: Array
    gradient: Array | None
    source: str


@our_arithmetic()
def dense_hessian(
    fun: Callable[..., Any] | None,
    x: Any,
    *,
    args: tuple[Any, ...] = (),
    jac: Any = None,
    hess: Any = None,
    hessp: Callable[..., Any] | None = None,
    method: str = "auto",
) -> DenseHessian:
    """Return the Hessian at a point with the errors of its entries.

    Parameters
    ----------
    fun, x, args, jac, hess, hessp
        As for `hessian_operator`.
    method : {'auto', 'hessp', 'hess', 'reverse', 'forward', 'difference', 'values'}, default 'auto'
        As for `hessian_operator`, and 'values' for differences of values. 'auto' takes these too, where
        nothing but values is given and autograd cannot differentiate fun, or a difference contradicts it.

    Returns
    -------
    DenseHessian

    Raises
    ------
    ValueError
        Unknown method, x not one-dimensional, a value at x that is no finite scalar.
    TypeError
        As for `hessian_operator`.
    """
    point = np.atleast_1d(np.array(x, dtype=np.float64))
    args = args if isinstance(args, tuple) else (args,)
    gradient: Any = gradient_function(fun, jac, args)
    chosen = chosen_method(fun, jac, args, hess, hessp) if method == "auto" else method
    if chosen == "difference" and gradient is not None:
        return _of_gradients(lambda p: np.asarray(users(gradient, p)), point)
    if fun is None and chosen in ("reverse", "forward", "values"):
        raise TypeError("a Hessian needs fun, jac, hess or hessp")
    if method not in (*METHODS, "values"):
        raise ValueError(f"unknown method {method!r}: choose {', '.join(map(repr, (*METHODS, 'values')))}")
    if fun is not None and jac is True:
        value = _Value(lambda p: fun(p, *args)[0])
    else:
        value = _Value(lambda p: fun(p, *args))  # type: ignore[misc]
    if chosen in ("reverse", "values") and not np.isfinite(value(point.copy())):
        raise ValueError("fun is not finite at x: a Hessian needs values on all sides of x.")
    if chosen == "values":
        return _of_values(value, point)
    try:
        operator = hessian_operator(fun, point, args=args, jac=jac, hess=hess, hessp=hessp, method=chosen)
        raw = by_products(operator, point.size)
    except TypeError:
        if method != "auto" or chosen != "reverse":
            raise
        return _of_values(value, point)
    matrix = 0.5 * (raw + raw.T)
    if method == "auto" and chosen == "reverse" and _contradicted(value, point, matrix):
        return _of_values(value, point)
    roots = np.sqrt(np.abs(np.diag(matrix)))
    error = 0.5 * np.abs(raw - raw.T) + point.size * EPS * np.maximum(np.abs(matrix), np.outer(roots, roots))
    if gradient is None and chosen in ("reverse", "forward"):
        gradient = gradient_of(value.fun)
    at_x = None if gradient is None else np.asarray(users(gradient, point.copy()), dtype=float)
    return DenseHessian(matrix, error, at_x, operator.source)


class _Value:
    """Values of a function as floats."""

    def __init__(self, fun: Callable[[Any], Any]):
        self.fun = fun

    def __call__(self, p: Array) -> float:
        return as_scalar(users(self.fun, p))


def _sizes(x: Array) -> Array:
    """Return what steps are relative to: the variables, and 1 for those that are 0."""
    return np.where(x != 0, np.abs(x), 1.0)


def _contradicted(value: Callable[[Array], float], x: Array, matrix: Array) -> bool:
    """Whether a second difference along a random direction says that the trace was lost on the way."""
    d = np.random.default_rng(0).choice([-1.0, 1.0], x.size) * _sizes(x) * EPS**0.25
    ahead, here, behind = value(x + d), value(x), value(x - d)
    if not np.isfinite([ahead, here, behind]).all():
        return False
    rounding = 16 * EPS * max(abs(ahead), abs(here), abs(behind))
    claimed, measured = float(d @ matrix @ d), ahead + behind - 2 * here
    return abs(claimed - measured) > 0.1 * max(abs(claimed), abs(measured)) + rounding


def _noise(values: Callable[[Array], Array], x: Array) -> Array:
    """Measure the noise of every entry of ``values`` at x: four standard deviations."""
    from twophase_min.run.noise import (
        measure,
    )  # its kernels, and Numba with them: where differences are taken

    seen: dict[bytes, Array] = {}

    def at(p: Array) -> Array:
        key = p.tobytes()
        if key not in seen:
            seen[key] = values(p.copy())
        return seen[key]

    u = np.random.default_rng(0).choice([-1.0, 1.0], x.size) * _sizes(x)
    here = at(x)
    found = np.array(
        [measure(lambda p, j=j: float(at(p)[j]), x, float(here[j]), u) for j in range(here.size)]  # type: ignore[misc]
    )
    for j in np.flatnonzero(
        found <= 4 * EPS * np.abs(here)
    ):  # values of few digits look smooth: equal, or one digit apart
        levels, step = np.unique([values[j] for values in seen.values()]), FIRST
        while levels.size == 1 and step < LONGEST:
            levels = np.unique([*levels, at(x + step * u)[j], at(x - step * u)[j]])
            step *= 2.0
        if 1 < levels.size < len(seen):
            found[j] = np.min(np.diff(levels))
    return 4 * found


def _grown(noise: Any, size: Any, largest: Any) -> Any:
    """Return the noise where values are larger than at x: that of rounding goes with them."""
    relative = np.where(noise <= ROUNDING * size, noise / np.where(size > 0, size, 1.0), 0.0)
    return np.maximum(noise, relative * largest) + 2 * EPS * largest


def _of_gradients(gradient: Callable[[Array], Array], x: Array) -> DenseHessian:
    """Hessian by differences of gradients, a column at a time."""
    n = x.size
    noise, here = _noise(gradient, x), np.abs(gradient(x.copy()))
    rows, errors = np.empty((n, n)), np.empty((n, n))
    for i, size in enumerate(_sizes(x)):

        def quotient(t: float, i: int = i) -> tuple[Array, Array]:
            high, low = x.copy(), x.copy()
            high[i] += t
            low[i] -= t
            ahead, behind = gradient(high), gradient(low)
            unsure = _grown(noise, here, np.maximum(np.maximum(np.abs(ahead), np.abs(behind)), here))
            return (ahead - behind) / (high[i] - low[i]), 2 * unsure / (high[i] - low[i])

        rows[i], errors[i] = _extrapolate(quotient, FIRST * size, LONGEST * size)[:2]
    spread = 0.5 * np.abs(rows - rows.T)
    return DenseHessian(
        0.5 * (rows + rows.T),
        np.maximum(0.5 * (errors + errors.T), spread),
        np.asarray(gradient(x.copy()), dtype=float),
        "differences of gradients",
    )


def _of_values(value: Callable[[Array], float], x: Array) -> DenseHessian:
    """Hessian by differences of values: along the axes, then along their sums in pairs."""
    n = x.size
    f = value(x.copy())
    noise = float(_noise(lambda p: np.array([value(p)]), x)[0])
    matrix, error = np.zeros((n, n)), np.zeros((n, n))
    gradient, steps = np.zeros(n), np.ones(n)

    def along(u: Array) -> Callable[[float], tuple[Array, Array]]:
        reach = float(np.max(np.abs(x[u != 0] / u[u != 0])))

        def quotient(t: float) -> tuple[Array, Array]:
            ahead, behind = value(x + t * u), value(x - t * u)
            rise = max(abs(ahead - f), abs(behind - f))
            unsure = _grown(noise, abs(f), max(abs(ahead), abs(behind), abs(f)))
            unsure += 2 * EPS * reach / t * rise  # x + t u is rounded
            return np.array([(ahead - f + (behind - f)) / t**2]), np.array([4 * unsure / t**2])

        return quotient

    for i, size in enumerate(_sizes(x)):
        axis = np.eye(n)[i]
        bend, unsure, steps[i] = _extrapolate(along(axis), FIRST * size, LONGEST * size)
        matrix[i, i], error[i, i] = bend[0], unsure[0]
    steps[:] = _balanced(steps, np.abs(np.diag(matrix)), np.diag(error))
    for i, axis in enumerate(np.eye(n)):
        long, short = (
            (value(x + t * axis) - value(x - t * axis)) / (2 * t) for t in (steps[i], 0.5 * steps[i])
        )
        slope, unsure = extrapolated(short, long), abs(short - long) + 2 * noise / steps[i]
        gradient[i] = np.copysign(max(abs(slope) - unsure, 0.0), slope)  # within its error it counts as none
    for i in range(n):
        for j in range(i):
            u = np.zeros(n)
            u[i], u[j] = steps[i], steps[j]
            bend, unsure, _ = _extrapolate(along(u), 0.25, 0.25)
            mixed = bend[0] - steps[i] ** 2 * matrix[i, i] - steps[j] ** 2 * matrix[j, j]
            sure = unsure[0] + steps[i] ** 2 * error[i, i] + steps[j] ** 2 * error[j, j]
            matrix[i, j] = matrix[j, i] = 0.5 * mixed / (steps[i] * steps[j])
            error[i, j] = error[j, i] = 0.5 * sure / (steps[i] * steps[j])
    return DenseHessian(matrix, error, gradient, "differences of values")


def _balanced(steps: Array, bends: Array, errors: Array) -> Array:
    """Shorten steps to those that change f equally: beside a long one a short one would not show."""
    resolved = bends > errors
    if not resolved.any():
        return steps
    change = np.where(resolved, bends, np.inf) * steps**2
    return steps * np.where(resolved, np.sqrt(np.min(change) / np.where(resolved, change, 1.0)), 1.0)


def _extrapolate(
    quotient: Callable[[float], tuple[Array, Array]], step: float, longest: float
) -> tuple[Array, Array, float]:
    """Extrapolate difference quotients, even in the step, to step 0.

    Parameters
    ----------
    quotient : callable
        ``t -> (quotient, its noise)``, arrays of one shape.
    step, longest : float
        First step; and the longest up to which a step is sought at which the quotient is resolved.

    Returns
    -------
    best, error : ndarray
        For every entry the extrapolation that agrees best with its neighbours, and its error.
    step : float
        The shortest step of that of the most certain entry.
    """
    slope, noise = quotient(step)
    while step < longest and not np.any(np.abs(slope) >= RESOLVED * noise):
        longer = quotient(GROWTH * step)
        if not np.isfinite(longer[0]).all():
            break
        step *= GROWTH
        slope, noise = longer
    best, error, best_step = slope, np.where(np.isfinite(slope), np.inf, np.nan), step
    flat = ~np.any(np.abs(slope) >= noise)
    if flat:  # nothing but noise up to the longest step
        return np.where(np.isfinite(slope), slope, np.nan), np.abs(slope) + noise, step
    previous, noises = [slope], [noise]
    open_ = np.isfinite(slope)
    for row in range(1, ROWS):
        slope, noise = quotient(step * 2.0**row)
        current = [slope]
        least = np.full(slope.shape, np.inf)
        noises.append(noise)
        for k in range(min(len(previous), ORDERS)):
            fine, coarse = previous[k], current[k]
            current.append(extrapolated(fine, coarse, 4.0 ** (k + 1)))
            if k + 1 == len(previous):
                break  # the first of its order has nothing to be held against
            change = 0.25 * np.maximum(np.abs(current[-1] - coarse), np.abs(current[-1] - previous[k + 1]))
            found = SAFETY * (change + noises[row - k - 1])
            better = open_ & (found < error) & ~(np.abs(current[-1] - best) > error)
            if better.any() and float(np.min(found)) < float(np.min(error)):
                best_step = step * 2.0 ** (row - k - 1)
            best, error = np.where(better, current[-1], best), np.where(better, found, error)
            least = np.fmin(least, found)
        if row > 1:
            open_ &= least < WORSE * error
        if not open_.any():
            break
        previous = current
    return best, error, best_step


def hessian_matrix(f: Callable[..., Any], x: Any = None, *, n: int | None = None) -> Array:
    """Return the dense symmetric Hessian, of a function at a point or from n products.

    Parameters
    ----------
    f : callable
        With a point: ``f(x) -> float``, or an objective as `hessian_operator` takes it. Without: the product
        ``f(v) -> H v``, or a `HessianOperator`.
    x : array_like, shape (n,), optional
        The point. An integer is taken for n.
    n : int, optional
        Number of variables of a product; a `HessianOperator` knows its own.

    Returns
    -------
    ndarray of float64, shape (n, n)
        At a point that of `dense_hessian`, which also tells the errors; from products the mean of the matrix
        and its transpose.
    """
    if isinstance(x, numbers.Integral):
        n, x = int(x), None
    if x is not None and not isinstance(f, HessianOperator):
        return dense_hessian(f, x).matrix
    raw = by_products(f, size_of(f, n))
    mean: Array = 0.5 * (raw + raw.T)
    return mean
