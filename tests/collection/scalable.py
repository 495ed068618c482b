"""Functions of any number of variables."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from collection._common import SB
from twophase_min.problems._problem import Array, Problem, alternating, check_n


def _dixon_price(x: Any, xp: Any = np) -> Any:
    weights = np.arange(2.0, x.shape[0] + 1.0)
    return (x[0] - 1.0) ** 2 + xp.sum(weights * (2.0 * x[1:] ** 2 - x[:-1]) ** 2)


def _dixon_price_grad(x: Array) -> Array:
    t = 2.0 * np.arange(2.0, x.size + 1.0) * (2.0 * x[1:] ** 2 - x[:-1])
    g = np.zeros_like(x)
    g[1:] = 4.0 * x[1:] * t
    g[:-1] -= t
    g[0] += 2.0 * (x[0] - 1.0)
    return g


def _dixon_price_hess(x: Array) -> Array:
    w = 2.0 * np.arange(2.0, x.size + 1.0)
    i = np.arange(x.size - 1)
    h = np.zeros((x.size, x.size))
    h[i + 1, i + 1] = w * (24.0 * x[1:] ** 2 - 4.0 * x[:-1])
    h[i, i] += w
    h[0, 0] += 2.0
    h[i, i + 1] = h[i + 1, i] = -4.0 * w * x[1:]
    return h


def dixon_price(n: int = 10) -> Problem:
    """Dixon-Price function: a valley that bends at every variable; minimum 0.

    ``(x_1 - 1)^2 + sum over i >= 2 of i (2 x_i^2 - x_{i-1})^2``. Minimisers: ``x_i = 2^(-(2^i - 2) /
    2^i)``, and the same with the sign of the last variable turned. A local minimum of value 2/3 exists
    beside them. The start, (2, ..., 2), is ours; the source gives none.

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
    Dixon & Price (1989), JOTA 60, 261-275; Surjanovic & Bingham (2013), Virtual Library of Simulation
    Experiments.
    """
    check_n(n, 2)
    x_min = 2.0 ** (2.0 ** (1.0 - np.arange(1.0, n + 1.0)) - 1.0)
    mirrored = x_min.copy()
    mirrored[-1] *= -1.0
    return Problem(
        f"dixon_price(n={n})",
        _dixon_price,
        _dixon_price_grad,
        np.full(n, 2.0),
        x_min,
        0.0,
        f"Dixon & Price (1989), Journal of Optimization Theory and Applications 60, 261-275, {SB}",
        _dixon_price_hess,
        more_minima=mirrored[None, :],
    )


def _styblinski_tang(x: Any, xp: Any = np) -> Any:
    return 0.5 * xp.sum(x**4 - 16.0 * x**2 + 5.0 * x)


def _styblinski_tang_grad(x: Array) -> Array:
    return 2.0 * x**3 - 16.0 * x + 2.5


def _styblinski_tang_hess(x: Array) -> Array:
    return np.diag(6.0 * x**2 - 16.0)


_STYBLINSKI_TANG = -2.903534027771177  # the least root of 4 x^3 - 32 x + 5


def styblinski_tang(n: int = 5) -> Problem:
    """Styblinski-Tang function: separable, 2^n local minima, the global one near -2.9035 in every variable.

    The start, the origin, is ours; it lies in the basin of the global minimum and where the function is
    concave.

    Parameters
    ----------
    n : int, default: 5
        Number of variables.

    Returns
    -------
    Problem

    References
    ----------
    Styblinski & Tang (1990), Neural Networks 3(4), 467-483.
    """
    check_n(n, 1)
    x_min = np.full(n, _STYBLINSKI_TANG)
    return Problem(
        f"styblinski_tang(n={n})",
        _styblinski_tang,
        _styblinski_tang_grad,
        np.zeros(n),
        x_min,
        float(_styblinski_tang(x_min)),
        "Styblinski & Tang (1990), Experiments in nonconvex optimization, Neural Networks 3(4), 467-483",
        _styblinski_tang_hess,
    )


def _rastrigin(x: Any, xp: Any = np) -> Any:
    return xp.sum(x * x + 10.0 * (1.0 - xp.cos(2.0 * math.pi * x)))


def _rastrigin_grad(x: Array) -> Array:
    return 2.0 * x + 20.0 * math.pi * np.sin(2.0 * math.pi * x)


def _rastrigin_hess(x: Array) -> Array:
    return np.diag(2.0 + 40.0 * math.pi**2 * np.cos(2.0 * math.pi * x))


def rastrigin(n: int = 2) -> Problem:
    """Rastrigin function: a bowl with a local minimum near every integer point.

    The global minimum is 0 at the origin. A problem for global solvers. The start, (3.3, -1.7, ...), is
    ours and lies in another basin.

    Parameters
    ----------
    n : int, default: 2
        Number of variables.

    Returns
    -------
    Problem

    References
    ----------
    Rastrigin (1974), Systems of extremal control, Nauka; for n variables: Mühlenbein, Schomisch & Born
    (1991), Parallel Computing 17, 619-632.
    """
    check_n(n, 1)
    source = "Rastrigin (1974), Nauka; Mühlenbein, Schomisch & Born (1991), Parallel Computing 17, 619-632"
    return Problem(
        f"rastrigin(n={n})",
        _rastrigin,
        _rastrigin_grad,
        alternating(n, 3.3, -1.7),
        np.zeros(n),
        0.0,
        source,
        _rastrigin_hess,
    )


def _ackley(x: Any, xp: Any = np) -> Any:
    bowl = -20.0 * xp.exp(-0.2 * xp.sqrt(xp.mean(x * x)))
    return bowl - xp.exp(xp.mean(xp.cos(2.0 * math.pi * x))) + 20.0 + math.e


def _ackley_grad(x: Array) -> Array:
    s = math.sqrt(np.mean(x * x))
    waves = 2.0 * math.pi / x.size * math.exp(np.mean(np.cos(2.0 * math.pi * x))) * np.sin(2.0 * math.pi * x)
    if s == 0.0:
        return waves  # the cone's tip: 0 is its subgradient of least norm
    return 4.0 * math.exp(-0.2 * s) / (x.size * s) * x + waves


def ackley(n: int = 2) -> Problem:
    """Ackley function: many local minima on a wide cone; global minimum 0 at the origin.

    The origin is the tip of a cone: the function is **not differentiable there**, the gradient does not
    shrink on the way to it, and a gradient test cannot tell the minimum. ``grad`` returns zero at the
    origin itself. The start, (2.4, -1.6, ...), is ours.

    Parameters
    ----------
    n : int, default: 2
        Number of variables.

    Returns
    -------
    Problem

    References
    ----------
    Ackley (1987), A Connectionist Machine for Genetic Hillclimbing, Kluwer.
    """
    check_n(n, 1)
    source = "Ackley (1987), A Connectionist Machine for Genetic Hillclimbing, Kluwer"
    return Problem(
        f"ackley(n={n})", _ackley, _ackley_grad, alternating(n, 2.4, -1.6), np.zeros(n), 0.0, source
    )


def _griewank(x: Any, xp: Any = np) -> Any:
    return 1.0 + xp.sum(x * x) / 4000.0 - xp.prod(xp.cos(x / np.sqrt(np.arange(1.0, x.shape[0] + 1.0))))


def _griewank_grad(x: Array) -> Array:
    root = np.sqrt(np.arange(1.0, x.size + 1.0))
    c = np.cos(x / root)
    # Products of all factors but one, from both ends: dividing the whole product by a cosine fails where
    # it is 0.
    before = np.concatenate([[1.0], np.cumprod(c[:-1])])
    after = np.concatenate([np.cumprod(c[:0:-1])[::-1], [1.0]])
    return x / 2000.0 + before * after * np.sin(x / root) / root


def griewank(n: int = 5) -> Problem:
    """Griewank function: regular local minima on a very wide bowl; global minimum 0 at the origin.

    The start, (10, -7, ...), is ours and lies in another basin.

    Parameters
    ----------
    n : int, default: 5
        Number of variables.

    Returns
    -------
    Problem

    References
    ----------
    Griewank (1981), JOTA 34, 11-39.
    """
    check_n(n, 1)
    source = "Griewank (1981), Generalized descent for global optimization, JOTA 34, 11-39"
    return Problem(
        f"griewank(n={n})", _griewank, _griewank_grad, alternating(n, 10.0, -7.0), np.zeros(n), 0.0, source
    )


# Chain: f = sum k/2 (x_i - 1)^2 + sum 1/2 (x_{i+1} - x_i)^2 + sum 1/4 (x_i + x_{i+1} - 2)^4
_CHAIN = 0.1  # k: the Hessian at the minimum is k I plus the path's Laplacian, condition (k + 4) / k = 41


def _sparse_chain(x: Any, xp: Any = np) -> Any:
    d = x - 1.0
    pull = 0.5 * _CHAIN * xp.sum(d * d)
    return pull + xp.sum(0.5 * (d[1:] - d[:-1]) ** 2 + 0.25 * ((d[1:] + d[:-1]) ** 2) ** 2)


def _sparse_chain_grad(x: Array) -> Array:
    d = x - 1.0
    g = _CHAIN * d
    difference, total = d[1:] - d[:-1], d[1:] + d[:-1]
    total = total * total * total
    g[1:] += difference + total
    g[:-1] += total - difference
    return g


def _sparse_chain_hessp(x: Array, v: Array) -> Array:
    d = x - 1.0
    curvature = 3.0 * (d[1:] + d[:-1]) ** 2 * (v[1:] + v[:-1])
    difference = v[1:] - v[:-1]
    out = _CHAIN * v
    out[1:] += difference + curvature
    out[:-1] += curvature - difference
    return out


def _sparse_chain_hess(x: Array) -> Array:
    d = x - 1.0
    q = 3.0 * (d[1:] + d[:-1]) ** 2
    i = np.arange(x.size - 1)
    h = _CHAIN * np.eye(x.size)
    h[i, i] += 1.0 + q
    h[i + 1, i + 1] += 1.0 + q
    h[i, i + 1] = h[i + 1, i] = q - 1.0
    return h


def sparse_chain(n: int = 1_000_000) -> Problem:
    """Convex quartic with a tridiagonal Hessian, linear in time and memory: for a million variables.

    ``sum 0.05 (x_i - 1)^2 + sum 1/2 (x_{i+1} - x_i)^2 + sum 1/4 (x_i + x_{i+1} - 2)^4``. Strictly convex;
    minimum 0 at (1, ..., 1), where the condition number approaches 41. Start (-1.2, 1, -1.2, ...).

    Parameters
    ----------
    n : int, default: 1000000
        Number of variables, at least 2. Above 2000 there is no dense ``hess``; ``hessp`` serves every size.

    Returns
    -------
    Problem

    Raises
    ------
    ValueError
        If n is below 2.

    References
    ----------
    This package's own, after the chained problems of Toint (1978), Mathematics of Computation 32, 839-851.
    """
    check_n(n, 2)
    return Problem(
        f"sparse_chain(n={n})",
        _sparse_chain,
        _sparse_chain_grad,
        alternating(n, -1.2, 1.0),
        np.ones(n),
        0.0,
        "own, after the chained problems of Toint (1978), Mathematics of Computation 32, 839-851",
        _sparse_chain_hess if n <= 2000 else None,
        _sparse_chain_hessp,
        convex=True,
        unimodal=True,
    )
