"""Sums of squares of few variables from the standard collections."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from collection._common import squares_hess
from twophase_min.problems._problem import MGH, Array, Problem, alternating, check_n


def _chained_rosenbrock(x: Any, xp: Any = np) -> Any:
    a, b = x[:-1], x[1:]
    return xp.sum(100.0 * (b - a * a) ** 2 + (1.0 - a) ** 2)


def _chained_rosenbrock_grad(x: Array) -> Array:
    a, b = x[:-1], x[1:]
    g = np.zeros_like(x)
    t = 200.0 * (b - a * a)
    g[:-1] = -2.0 * a * t - 2.0 * (1.0 - a)
    g[1:] += t
    return g


def _chained_rosenbrock_hess(x: Array) -> Array:
    a, b = x[:-1], x[1:]
    i = np.arange(x.size - 1)
    h = np.zeros((x.size, x.size))
    h[i, i] = 1200.0 * a * a - 400.0 * b + 2.0
    h[i + 1, i + 1] += 200.0
    h[i, i + 1] = h[i + 1, i] = -400.0 * a
    return h


def chained_rosenbrock(n: int = 10) -> Problem:
    """Chained Rosenbrock function, every variable coupled to the next (``scipy.optimize.rosen``).

    ``sum over i < n of 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2``, start (-1.2, 1, -1.2, ...), minimum 0 at
    (1, ..., 1). From n = 4 on there is a second, local minimum near (-1, 1, ..., 1).

    Parameters
    ----------
    n : int, default: 10
        Number of variables, at least 2.

    Returns
    -------
    Problem

    Raises
    ------
    ValueError
        If n is below 2.

    References
    ----------
    Rosenbrock (1960), Computer Journal 3, 175-184; Shang & Qiu (2006), A note on the extended Rosenbrock
    function, Evolutionary Computation 14(1), 119-126 (the second minimum).
    """
    check_n(n, 2)
    return Problem(
        f"chained_rosenbrock(n={n})",
        _chained_rosenbrock,
        _chained_rosenbrock_grad,
        alternating(n, -1.2, 1.0),
        np.ones(n),
        0.0,
        "Rosenbrock (1960), Computer Journal 3, 175-184; Shang & Qiu (2006), Evol. Comput. 14(1), 119-126",
        _chained_rosenbrock_hess,
        unimodal=n == 2,
    )


def _powell_singular(x: Any, xp: Any = np) -> Any:
    a, b, c, d = x[0::4], x[1::4], x[2::4], x[3::4]
    return xp.sum((a + 10.0 * b) ** 2 + 5.0 * (c - d) ** 2 + (b - 2.0 * c) ** 4 + 10.0 * (a - d) ** 4)


def _powell_singular_grad(x: Array) -> Array:
    a, b, c, d = x[0::4], x[1::4], x[2::4], x[3::4]
    p, q, u, v = 2.0 * (a + 10.0 * b), 10.0 * (c - d), 4.0 * (b - 2.0 * c) ** 3, 40.0 * (a - d) ** 3
    g = np.empty_like(x)
    g[0::4], g[1::4], g[2::4], g[3::4] = p + v, 10.0 * p + u, q - 2.0 * u, -q - v
    return g


def _powell_singular_hess(x: Array) -> Array:
    h = np.zeros((x.size, x.size))
    for k in range(0, x.size, 4):
        a, b, c, d = x[k : k + 4]
        u, v = 12.0 * (b - 2.0 * c) ** 2, 120.0 * (a - d) ** 2
        h[k : k + 4, k : k + 4] = [
            [2.0 + v, 20.0, 0.0, -v],
            [20.0, 200.0 + u, -2.0 * u, 0.0],
            [0.0, -2.0 * u, 10.0 + 4.0 * u, -10.0],
            [-v, 0.0, -10.0, 10.0 + v],
        ]
    return h


def powell_singular(n: int = 4) -> Problem:
    """Powell's singular function, extended to any multiple of four variables.

    Convex, with minimum 0 at the origin, where the Hessian is singular: first-order methods are slow near the
    end. Start (3, -1, 0, 1, ...).

    Parameters
    ----------
    n : int, default: 4
        Number of variables, a multiple of 4.

    Returns
    -------
    Problem

    Raises
    ------
    ValueError
        If n is no positive multiple of 4.

    References
    ----------
    Powell (1962), Computer Journal 5, 147-151; problems 13 and 22 of Moré, Garbow & Hillstrom (1981).
    """
    check_n(n, 4, 4)
    return Problem(
        f"powell_singular(n={n})",
        _powell_singular,
        _powell_singular_grad,
        np.tile([3.0, -1.0, 0.0, 1.0], n // 4),
        np.zeros(n),
        0.0,
        f"Powell (1962), Computer Journal 5, 147-151; problems 13 and 22 of {MGH}",
        _powell_singular_hess,
        convex=True,
        unimodal=True,
    )


_BEALE = np.array([1.5, 2.25, 2.625])


def _beale(x: Any, xp: Any = np) -> Any:
    a, b = x[0], x[1]
    return (1.5 - a * (1.0 - b)) ** 2 + (2.25 - a * (1.0 - b * b)) ** 2 + (2.625 - a * (1.0 - b * b * b)) ** 2


def _beale_parts(x: Array) -> tuple[Array, Array, Array]:
    a, b = x
    power = np.array([1.0 - b, 1.0 - b * b, 1.0 - b**3])
    first = np.array([1.0, 2.0 * b, 3.0 * b * b])
    curvature = np.zeros((3, 2, 2))
    curvature[:, 0, 1] = curvature[:, 1, 0] = first
    curvature[:, 1, 1] = a * np.array([0.0, 2.0, 6.0 * b])
    return _BEALE - a * power, np.stack([-power, a * first], axis=1), curvature


def _beale_grad(x: Array) -> Array:
    r, jac, _ = _beale_parts(x)
    return 2.0 * (r @ jac)


def _beale_hess(x: Array) -> Array:
    return squares_hess(*_beale_parts(x))


def beale() -> Problem:
    """Beale's function: two variables, minimum 0 at (3, 1/2), start (1, 1), a saddle at (0, 1).

    Returns
    -------
    Problem

    References
    ----------
    Beale (1958), On an iterative method of finding a local minimum; problem 5 of Moré, Garbow & Hillstrom
    (1981).
    """
    source = f"Beale (1958), Princeton Statistical Techniques Research Group, report 25; problem 5 of {MGH}"
    return Problem("beale()", _beale, _beale_grad, np.ones(2), np.array([3.0, 0.5]), 0.0, source, _beale_hess)


def _wood(x: Any, xp: Any = np) -> Any:
    a, b, c, d = x[0], x[1], x[2], x[3]
    valleys = 100.0 * (b - a * a) ** 2 + (1.0 - a) ** 2 + 90.0 * (d - c * c) ** 2 + (1.0 - c) ** 2
    return valleys + 10.0 * (b + d - 2.0) ** 2 + 0.1 * (b - d) ** 2


def _wood_grad(x: Array) -> Array:
    a, b, c, d = x
    t, u = 200.0 * (b - a * a), 180.0 * (d - c * c)
    p, q = 20.0 * (b + d - 2.0), 0.2 * (b - d)
    return np.array([-2.0 * a * t - 2.0 * (1.0 - a), t + p + q, -2.0 * c * u - 2.0 * (1.0 - c), u + p - q])


def _wood_hess(x: Array) -> Array:
    a, b, c, d = x
    h = np.zeros((4, 4))
    h[0, 0] = 1200.0 * a * a - 400.0 * b + 2.0
    h[2, 2] = 1080.0 * c * c - 360.0 * d + 2.0
    h[1, 1], h[3, 3] = 220.2, 200.2
    h[0, 1] = h[1, 0] = -400.0 * a
    h[2, 3] = h[3, 2] = -360.0 * c
    h[1, 3] = h[3, 1] = 19.8
    return h


def wood() -> Problem:
    """Wood's function: four variables, minimum 0 at (1, 1, 1, 1), start (-3, -1, -3, -1).

    Near (-0.97, 0.95, -0.97, 0.95) a saddle of value 7.88 holds up many methods.

    Returns
    -------
    Problem

    References
    ----------
    Colville (1968), IBM New York Scientific Center report 320-2949; problem 14 of Moré, Garbow & Hillstrom
    (1981).
    """
    source = f"Colville (1968), IBM New York Scientific Center report 320-2949; problem 14 of {MGH}"
    return Problem(
        "wood()", _wood, _wood_grad, np.array([-3.0, -1.0, -3.0, -1.0]), np.ones(4), 0.0, source, _wood_hess
    )


def _brown(x: Any, xp: Any = np) -> Any:
    return (x[0] - 1e6) ** 2 + (x[1] - 2e-6) ** 2 + (x[0] * x[1] - 2.0) ** 2


def _brown_grad(x: Array) -> Array:
    a, b = x
    t = 2.0 * (a * b - 2.0)
    return np.array([2.0 * (a - 1e6) + t * b, 2.0 * (b - 2e-6) + t * a])


def _brown_hess(x: Array) -> Array:
    a, b = x
    off = 4.0 * a * b - 4.0
    return np.array([[2.0 + 2.0 * b * b, off], [off, 2.0 + 2.0 * a * a]])


def brown_badly_scaled() -> Problem:
    """Brown's badly scaled function: minimum 0 at (1e6, 2e-6), start (1, 1).

    The variables are twelve orders of magnitude apart at the minimum.

    Returns
    -------
    Problem

    References
    ----------
    Problem 4 of Moré, Garbow & Hillstrom (1981).
    """
    x_min = np.array([1e6, 2e-6])
    return Problem(
        "brown_badly_scaled()",
        _brown,
        _brown_grad,
        np.ones(2),
        x_min,
        0.0,
        f"problem 4 of {MGH}",
        _brown_hess,
    )


def _helical(x: Any, xp: Any = np) -> Any:
    # The published angle runs from -1/4 to 3/4 turns, its jump along x_1 = 0, x_2 < 0: the start lies on
    # the cut of arctan2(x_2, x_1), which is therefore turned by a quarter.
    theta = 0.25 + xp.arctan2(-x[0], x[1]) / (2.0 * math.pi)
    rho = xp.sqrt(x[0] * x[0] + x[1] * x[1])
    return 100.0 * ((x[2] - 10.0 * theta) ** 2 + (rho - 1.0) ** 2) + x[2] * x[2]


def _helical_parts(x: Array) -> tuple[Array, Array, Array]:
    a, b, c = x
    square = a * a + b * b
    rho = math.sqrt(square)
    theta = 0.25 + math.atan2(-a, b) / (2.0 * math.pi)
    turn = 100.0 / (2.0 * math.pi)
    r = np.array([10.0 * (c - 10.0 * theta), 10.0 * (rho - 1.0), c])
    jac = np.array(
        [
            [turn * b / square, -turn * a / square, 10.0],
            [10.0 * a / rho, 10.0 * b / rho, 0.0],
            [0.0, 0.0, 1.0],
        ]
    )
    curvature = np.zeros((3, 3, 3))
    cross = 2.0 * a * b / square**2
    mixed = (b * b - a * a) / square**2
    curvature[0, :2, :2] = -turn * np.array([[cross, mixed], [mixed, -cross]])
    curvature[1, :2, :2] = 10.0 / rho**3 * np.array([[b * b, -a * b], [-a * b, a * a]])
    return r, jac, curvature


def _helical_grad(x: Array) -> Array:
    r, jac, _ = _helical_parts(x)
    return 2.0 * (r @ jac)


def _helical_hess(x: Array) -> Array:
    return squares_hess(*_helical_parts(x))


def helical_valley() -> Problem:
    """Fletcher and Powell's helical valley: three variables, minimum 0 at (1, 0, 0), start (-1, 0, 0).

    The function jumps across the half-plane x_1 = 0, x_2 < 0 and has no derivative on the axis x_1 = x_2 = 0.

    Returns
    -------
    Problem

    References
    ----------
    Fletcher & Powell (1963), Computer Journal 6, 163-168; problem 7 of Moré, Garbow & Hillstrom (1981).
    """
    source = f"Fletcher & Powell (1963), Computer Journal 6, 163-168; problem 7 of {MGH}"
    x0, x_min = np.array([-1.0, 0.0, 0.0]), np.array([1.0, 0.0, 0.0])
    return Problem("helical_valley()", _helical, _helical_grad, x0, x_min, 0.0, source, _helical_hess)


def _himmelblau(x: Any, xp: Any = np) -> Any:
    return (x[0] * x[0] + x[1] - 11.0) ** 2 + (x[0] + x[1] * x[1] - 7.0) ** 2


def _himmelblau_grad(x: Array) -> Array:
    a, b = x
    p, q = 2.0 * (a * a + b - 11.0), 2.0 * (a + b * b - 7.0)
    return np.array([2.0 * a * p + q, p + 2.0 * b * q])


def _himmelblau_hess(x: Array) -> Array:
    a, b = x
    off = 4.0 * (a + b)
    return np.array([[12.0 * a * a + 4.0 * b - 42.0, off], [off, 12.0 * b * b + 4.0 * a - 26.0]])


_HIMMELBLAU = [  # the three irrational minimisers, to the last digit of a double
    [-2.805118086952745, 3.131312518250573],
    [-3.779310253377747, -3.283185991286170],
    [3.584428340330492, -1.848126526964404],
]


def himmelblau() -> Problem:
    """Himmelblau's function: two variables, four global minima of value 0, start (0, 0).

    ``x_min`` is (3, 2); the other three are in ``more_minima``. No other local minimum exists, only
    saddles and a maximum.

    Returns
    -------
    Problem

    References
    ----------
    Himmelblau (1972), Applied Nonlinear Programming, McGraw-Hill.
    """
    return Problem(
        "himmelblau()",
        _himmelblau,
        _himmelblau_grad,
        np.zeros(2),
        np.array([3.0, 2.0]),
        0.0,
        "Himmelblau (1972), Applied Nonlinear Programming, McGraw-Hill",
        _himmelblau_hess,
        more_minima=np.array(_HIMMELBLAU),
    )
