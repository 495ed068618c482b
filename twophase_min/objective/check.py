"""Is a derivative right: differences that know their own error, and a gradient held against them.

Three questions are asked of the same differences. `agrees` asks along one direction and in two calls, since
every run with ``jac=None`` pays for it. `check_gradient` asks along every coordinate of a function of which
nothing is known, kinks included, and so takes short steps. `ridders` extrapolates from long steps, for
functions that are known to be smooth, where it finds the last digits.
"""

from __future__ import annotations

import math
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twophase_min._errstate import our_arithmetic, users
from twophase_min.objective.bounds import Box
from twophase_min.objective.gradient import EPS, autograd_value_and_gradient

Array = NDArray[np.floating]


def difference(high: Any, low: Any, width: float, largest: float) -> tuple[Any, float]:
    """Return ``(high - low) / width`` and its error by rounding, ``4 eps largest / width``.

    Parameters
    ----------
    high, low : float or ndarray
        Values at the ends of an interval, or arrays of them.
    width : float
        Length of the interval.
    largest : float
        Modulus of the largest value nearby: the terms of the function are at least that large.
    """
    return (high - low) / width, 4 * EPS * largest / width


def extrapolated(fine: Any, coarse: Any, power: float = 4.0) -> Any:
    """Richardson's extrapolation of a difference of error O(h^p), power = 2^p, from steps h/2 and h."""
    return fine + (fine - coarse) / (power - 1.0)


def ridders(curve: Callable[[float], Any], width: float, rows: int = 12) -> tuple[Any, float]:
    """Extrapolate central differences of halved steps to the derivative at 0, with its error estimate.

    The best entry of the triangle is the one that agrees best with its neighbours. Steps at which the
    function is not finite are passed over.

    Parameters
    ----------
    curve : callable
        ``t -> float or ndarray``, a function along a line.
    width : float
        The first step.
    rows : int, default 12
        Steps, each half of the one before.

    References
    ----------
    Ridders (1982), Accurate computation of F'(x) and F'(x)F''(x), Advances in Engineering Software 4(2),
    75-76.
    """
    best: Any = np.nan
    best_error = math.inf
    previous: list[Any] = []
    for _ in range(rows):
        right, left = np.asarray(curve(width)), np.asarray(curve(-width))
        # Differences that all round to one wrong number agree perfectly: the digits bound the trust.
        largest = max(float(np.max(np.abs(right))), float(np.max(np.abs(left))))
        slope, rounding = difference(right, left, 2.0 * width, largest)
        row = [slope]
        power = 4.0
        for k, old in enumerate(previous):
            row.append(extrapolated(row[k], old, power))
            change = max(np.max(np.abs(row[-1] - row[k])), np.max(np.abs(row[-1] - old)))
            error = float(change) + rounding
            if error < best_error:  # False for NaN
                best, best_error = row[-1], error
            power *= 4.0
        previous = row
        width *= 0.5
    return best, best_error


@our_arithmetic()
def agrees(
    value: Callable[[Array], float], x: Array, f: float, g: Array, seed: int = 0, box: Box | None = None
) -> tuple[bool, str]:
    """Whether a gradient agrees with a directional difference of the function.

    The direction is d_i = u_i sign(g_i) with u_i uniform in (0.5, 1.5), so that g'd has no cancellation and
    no coordinate hides. One forward difference settles most cases; where it disagrees, curvature could be the
    cause (at a minimum it is), so that a central difference decides, at the price of one more value. Where
    x is small by its unit the step 1e-8 may be too long, and one relative to x is tried last.

    Parameters
    ----------
    value : callable
        Counted ``x -> float``.
    x, f, g : ndarray, float, ndarray
        Point, its value and the gradient under test, shapes (n,), (), (n,).
    seed : int
        Seed of u.
    box : Box, optional
        No value outside is asked for. Variables that can only move against d are looked at by themselves.

    Returns
    -------
    ok : bool
        Whether both agree within 1 %, beyond rounding.
    why : str
        A clause with the two numbers where they do not.
    """
    if not np.all(np.isfinite(g)):
        return False, "its gradient has NaN or infinite entries"
    if not np.isfinite(f):
        return True, ""  # nothing to hold it against
    rng = np.random.default_rng(seed)
    d = rng.uniform(0.5, 1.5, x.size) * np.where(g != 0, np.sign(g), rng.choice([-1.0, 1.0], x.size))
    if box is None:
        return _agrees_along(value, x, f, g, d)

    def within(point: Array) -> float:
        return value(point) if box.holds(point) else math.nan

    for part in _inside(d, x, box):
        ok, why = _agrees_along(within, x, f, g, part)
        if not ok:
            return ok, why
    return True, ""


def _inside(d: Array, x: Array, box: Box) -> list[Array]:
    """Part a direction into those entries along which x may move, and the opposite of the others."""
    reach = 2.0 * np.finfo(float).eps ** 0.5 * max(1.0, float(np.max(np.abs(x))))
    forwards = np.where(d > 0, box.upper - x, x - box.lower) >= reach
    backwards = ~forwards & (np.where(d > 0, x - box.lower, box.upper - x) >= reach)
    parts = np.where(forwards, d, 0.0), np.where(backwards, -d, 0.0)
    return [part for part in parts if part.any()]


def _agrees_along(
    value: Callable[[Array], float], x: Array, f: float, g: Array, d: Array
) -> tuple[bool, str]:
    """Hold the slope along d against differences, see `agrees`."""
    slope = float(g @ d)
    size = float(np.max(np.abs(x)))
    central = np.nan
    scales = [max(1.0, size), *([size] if 0 < size < 1 else [])]
    shorter = [1e-2 * scales[0]]
    while scales:
        scale = scales.pop(0)
        h = np.finfo(float).eps ** 0.5 * scale / float(np.max(np.abs(d)))
        ahead = value(x + h * d)
        largest = max(abs(f), abs(ahead) if np.isfinite(ahead) else 0.0)
        forward, rounding = difference(ahead, f, h, largest)
        noise = 4 * rounding
        if np.isfinite(ahead) and _near(forward, slope, noise):
            return True, ""
        behind = value(x - h * d)
        if not (np.isfinite(ahead) or np.isfinite(behind)) and not scales and shorter:
            scales.append(shorter.pop())  # in a corner of the domain
            continue
        if not np.isfinite(ahead):
            central = (f - behind) / h
        elif not np.isfinite(behind):
            central = forward
        else:
            central = (ahead - behind) / (2 * h)
        if not np.isfinite(central) or _near(central, slope, noise):
            return True, ""
    return False, f"its slope {slope:.6g} along a test direction is {central:.6g} by differences"


def _near(difference: float, slope: float, noise: float) -> bool:
    """Whether they agree within 1 %, beyond the noise."""
    return abs(difference - slope) <= 1e-2 * max(abs(difference), abs(slope)) + noise


SHORTER = (1.0, 1e-2, 1e-4, 1e-6, 1e-8, 1e-10)
LONGER = (1e2, 1e4, 1e6, 1e8)
"""Steps of `check_gradient`, in units of eps^(1/3) max(1, abs(x)), the most likely to be good first."""
AGREEMENT = 1e-6
"""Relative deviation at which `check_gradient` looks no further along a coordinate."""


def _deviation(
    value: Callable[[Array], float], x: Array, i: int, f: float, claimed: float
) -> tuple[float, float]:
    """Relative deviation of a partial derivative from the most telling difference, and that difference."""
    eps = float(np.finfo(float).eps)

    def one_sided(step: float, far: float) -> tuple[float, float]:
        """Difference of second order over x and two points on one side, at an edge of the domain."""
        half = x.copy()
        half[i] += 0.5 * step
        h, m = float(x[i] + step - x[i]), float(half[i] - x[i])
        if h == m or m == 0:
            return np.nan, np.nan
        middle = value(half)
        slope = ((middle - f) / m * h - (far - f) / h * m) / (h - m)
        return slope, 16 * eps * max(abs(f), abs(far), abs(middle)) / abs(h)

    def central(step: float) -> tuple[float, float]:
        """Difference and its rounding error."""
        ahead, behind = x.copy(), x.copy()
        ahead[i] += step
        behind[i] -= step
        width = float(ahead[i] - behind[i])
        if width == 0:
            return np.nan, np.nan
        with our_arithmetic():
            high, low = value(ahead), value(behind)
            if np.isfinite(high) != np.isfinite(low) and np.isfinite(f):
                return one_sided(step if np.isfinite(high) else -step, high if np.isfinite(high) else low)
            largest = max(abs(f) if np.isfinite(f) else 0.0, abs(high), abs(low))
            slope, rounding = difference(high, low, width, largest)
            if np.isfinite(f):  # x itself is rounded: curvature times that, which matters at a minimum
                rounding += 8 * eps * reach * max(abs(high - f), abs(low - f)) / width**2
            return slope, rounding

    reach = float(np.max(np.abs(x)))
    base = eps ** (1 / 3) * max(1.0, abs(float(x[i])))
    found: list[tuple[float, float]] = []  # differences and their errors, by falling or rising step
    for factors in (SHORTER, LONGER):
        spoilt = False  # by rounding
        for factor in factors:
            coarse, _ = central(base * factor)
            fine, rounding = central(base * factor / 2)
            if not (np.isfinite(coarse) and np.isfinite(fine)):
                continue
            if found and coarse == fine == 0:
                break  # too short a step to change the value: no evidence
            measured = extrapolated(fine, coarse)
            unsure = rounding + abs(fine - coarse)
            found.append((measured, unsure))
            size = max(abs(claimed), abs(measured), unsure)
            if size == 0:
                return 0.0, measured
            if abs(claimed - measured) <= unsure <= AGREEMENT * size:
                return 0.0, measured
            if rounding > 1e-3 * size:
                spoilt = True
                break  # a shorter step would only be worse
        if not spoilt:
            break
    least, deviation, numerical = np.inf, np.inf, np.nan
    for k, (measured, unsure) in enumerate(found):
        others = [abs(measured - d) for d, _ in found[max(k - 1, 0) : k] + found[k + 1 : k + 2]]
        unsure += min(others, default=0.0)  # noise that the model of rounding misses: neighbours disagree
        if unsure < least:
            size = max(abs(claimed), abs(measured), unsure)
            least, numerical = unsure, measured
            deviation = max(abs(claimed - measured) - 4 * unsure, 0.0) / size
    return deviation, numerical


class GradientCheck(namedtuple("GradientCheck", "error index")):
    """The worst relative error of a gradient and the coordinate where it occurs.

    Attributes
    ----------
    error : float
        max_i (abs(g_i - d_i) - 4 e_i) / max(abs(g_i), abs(d_i), e_i), d by extrapolated central differences
        and e their own error; inf where an entry is NaN or infinite.
    index : int
        The coordinate of the maximum.
    analytic, numerical : ndarray, shape (n,)
        Both gradients.
    message : str
        The finding in a sentence.
    """

    analytic: Array
    numerical: Array
    message: str

    def __new__(
        cls, error: float, index: int, analytic: Array, numerical: Array, message: str
    ) -> GradientCheck:
        """Attach the arrays to the pair."""
        self = super().__new__(cls, error, index)
        self.analytic, self.numerical, self.message = analytic, numerical, message
        return self


def check_gradient(fun: Callable[..., Any], jac: Any, x: Any, args: tuple[Any, ...] = ()) -> GradientCheck:
    """Hold a gradient against central finite differences, coordinate by coordinate.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args) -> float``, or ``(float, gradient)`` with ``jac=True``.
    jac : callable, True or 'autograd'
        The gradient under test.
    x : array_like, shape (n,)
        Where to test. Prefer a random point to a symmetric one.
    args : tuple
        Further arguments of both.

    Returns
    -------
    GradientCheck
        Unpacks as ``error, index``. Calls ``fun`` 4 n + 1 times where the gradient is right and its scale
        ordinary, up to 40 n + 1 times otherwise.

    Raises
    ------
    ValueError
        If the gradient's shape is not that of x.
    TypeError
        If ``jac`` is of no known form.

    Notes
    -----
    No single step suits every function: too long a step meets curvature, too short a one rounding. Per
    coordinate the steps eps^(1/3) max(1, abs(x)) and shorter ones are tried until a difference agrees or
    rounding spoils it (then longer ones); the deviation from the difference that has the least error of its
    own counts.
    """
    x = np.atleast_1d(np.asarray(x, dtype=float))
    if not isinstance(args, tuple):
        args = (args,)
    if jac is True:
        analytic = fun(x.copy(), *args)[1]

        def value(point: Array) -> float:
            return float(np.asarray(users(fun, point.copy(), *args)[0]).reshape(()))
    else:

        def value(point: Array) -> float:
            return float(np.asarray(users(fun, point.copy(), *args)).reshape(()))

        if callable(jac):
            analytic = jac(x.copy(), *args)
        elif jac == "autograd":
            analytic = autograd_value_and_gradient(lambda point: fun(point, *args))(x)[1]
        else:
            raise TypeError(f"jac must be a callable, True or 'autograd' to be checked, got {jac!r}.")
    analytic = np.asarray(analytic, dtype=float)
    if analytic.size != x.size:
        raise ValueError(
            f"The gradient has shape {analytic.shape}, expected {x.shape}: one entry per variable."
        )
    analytic = analytic.reshape(x.shape)
    f = value(x)
    best = np.full(x.shape, np.inf)
    numerical = np.full(x.shape, np.nan)
    for i in range(x.size):
        if np.isfinite(analytic[i]):
            best[i], numerical[i] = _deviation(value, x, i, f, analytic[i])
    index = int(np.argmax(best))
    error = float(best[index])
    if not np.isfinite(analytic[index]):
        message = f"The gradient is {analytic[index]} at coordinate {index}."
    elif not np.isfinite(numerical[index]):
        message = (
            f"No finite difference could be formed along coordinate {index}: fun is not finite around x."
        )
    elif analytic[index] == 0 and error > 0.1:
        message = (
            f"The gradient is silently zero at coordinate {index}; differences give {numerical[index]:.6g}."
        )
    else:
        message = (
            f"Worst relative error {error:.2e} at coordinate {index}: {analytic[index]:.6g} against "
            f"{numerical[index]:.6g} by differences."
        )
    return GradientCheck(error, index, analytic, numerical, message)
