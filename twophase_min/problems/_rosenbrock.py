"""The extended Rosenbrock function."""

from __future__ import annotations

from typing import Any

import numpy as np

from twophase_min.problems._problem import MGH, Array, Problem, alternating, check_n


def _rosenbrock(x: Any, xp: Any = np) -> Any:
    a, b = x[0::2], x[1::2]
    return xp.sum(100.0 * (b - a * a) ** 2 + (1.0 - a) ** 2)


def _rosenbrock_grad(x: Array) -> Array:
    a, b = x[0::2], x[1::2]
    g = np.empty_like(x)
    t = 200.0 * (b - a * a)
    g[0::2] = -2.0 * a * t - 2.0 * (1.0 - a)
    g[1::2] = t
    return g


def _rosenbrock_hess(x: Array) -> Array:
    a, b = x[0::2], x[1::2]
    i = np.arange(0, x.size, 2)
    h = np.zeros((x.size, x.size))
    h[i, i] = 1200.0 * a * a - 400.0 * b + 2.0
    h[i + 1, i + 1] = 200.0
    h[i, i + 1] = h[i + 1, i] = -400.0 * a
    return h


def rosenbrock(n: int = 2) -> Problem:
    """Build the extended Rosenbrock function: n/2 independent copies of the two-dimensional valley.

    ``sum over pairs 100 (x_2i - x_{2i-1}^2)^2 + (1 - x_{2i-1})^2``, start (-1.2, 1, -1.2, 1, ...), minimum
    0 at (1, ..., 1), the only stationary point. The form that couples neighbours is
    `scipy.optimize.rosen`.

    Parameters
    ----------
    n : int, default: 2
        Number of variables, even.

    Returns
    -------
    Problem

    Raises
    ------
    ValueError
        If n is odd or below 2.

    References
    ----------
    Rosenbrock (1960), Computer Journal 3, 175-184; problem 21 of Moré, Garbow & Hillstrom (1981).
    """
    check_n(n, 2, 2)
    return Problem(
        f"rosenbrock(n={n})",
        _rosenbrock,
        _rosenbrock_grad,
        alternating(n, -1.2, 1.0),
        np.ones(n),
        0.0,
        f"Rosenbrock (1960), Computer Journal 3, 175-184; problem 21 of {MGH}",
        _rosenbrock_hess,
        unimodal=True,
    )
