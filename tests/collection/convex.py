"""Convex problems beyond quadratics, their minimum by construction or by Newton's method."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from twophase_min.problems._problem import Array, Problem, check_n
from twophase_min.problems._random import _bind


def _log_sum_exp(x: Any, xp: Any = np, *, rows: Array, shift: Array) -> Any:
    t = rows @ x + shift
    top = xp.max(t)
    return top + xp.log(xp.sum(xp.exp(t - top)))


def _softmax(t: Array) -> Array:
    e = np.exp(t - np.max(t))
    return e / np.sum(e)


def _log_sum_exp_grad(x: Array, *, rows: Array, shift: Array) -> Array:
    return _softmax(rows @ x + shift) @ rows


def _log_sum_exp_hess(x: Array, *, rows: Array, shift: Array) -> Array:
    p = _softmax(rows @ x + shift)
    mean = p @ rows
    h = (rows * p[:, None]).T @ rows - np.outer(mean, mean)
    return 0.5 * (h + h.T)


def log_sum_exp(n: int = 10, terms: int | None = None, seed: int = 0) -> Problem:
    """Convex, smooth maximum: ``log sum exp(a_i'x + b_i)``, its minimum placed at a random point.

    Probabilities p and all rows but one are drawn; the last row makes ``sum p_i a_i`` vanish, and the
    shifts give the i-th term the weight p_i at the chosen point c. So the gradient is zero and the value
    is log 1 = 0 there.

    Parameters
    ----------
    n : int, default: 10
        Number of variables.
    terms : int, optional
        Number of exponentials, above n so that the minimum is unique; 3 n + 1 by default.
    seed : int, default: 0
        Seed of the rows, the weights, the minimiser and the start.

    Returns
    -------
    Problem

    Raises
    ------
    ValueError
        If n < 1 or terms <= n.

    References
    ----------
    Boyd & Vandenberghe (2004), Convex Optimization, section 3.1.5; own construction of the minimum.
    """
    check_n(n, 1)
    m = 3 * n + 1 if terms is None else terms
    if m <= n:
        raise ValueError(f"terms must exceed n = {n}, got {m}")
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.5, 1.5, m)
    p /= np.sum(p)
    rows = rng.standard_normal((m, n))
    rows[-1] = -(p[:-1] @ rows[:-1]) / p[-1]
    center = rng.standard_normal(n)
    data = {"rows": rows, "shift": np.log(p) - rows @ center}
    return Problem(
        f"log_sum_exp(n={n}, terms={m}, seed={seed})",
        partial(_log_sum_exp, **data),
        partial(_log_sum_exp_grad, **data),
        center + 2.0 * rng.standard_normal(n),
        center,
        0.0,
        "Boyd & Vandenberghe (2004), Convex Optimization, section 3.1.5; own construction of the minimum",
        partial(_log_sum_exp_hess, **data),
        convex=True,
        unimodal=True,
    )


def _logistic(x: Any, xp: Any = np, *, signed: Array, l2: float) -> Any:
    return xp.mean(xp.logaddexp(0.0, -(signed @ x))) + 0.5 * l2 * xp.sum(x * x)


def _logistic_grad(x: Array, *, signed: Array, l2: float) -> Array:
    wrong = 0.5 * (
        1.0 - np.tanh(0.5 * (signed @ x))
    )  # probability given to the wrong class, without overflow
    return -(wrong @ signed) / signed.shape[0] + l2 * x


def _logistic_hess(x: Array, *, signed: Array, l2: float) -> Array:
    half = np.tanh(0.5 * (signed @ x))
    weight = 0.25 * (1.0 - half * half) / signed.shape[0]
    h = (signed * weight[:, None]).T @ signed + l2 * np.eye(x.size)
    return 0.5 * (h + h.T)


def logistic_regression(n: int = 10, samples: int = 200, seed: int = 0, l2: float = 1e-3) -> Problem:
    """Logistic regression on synthetic data with an L2 penalty: strictly convex.

    ``mean log(1 + exp(-y_i w'x_i)) + l2/2 |w|^2``, Gaussian inputs of scales from 1 to 0.1, labels drawn
    from a random true model. The start is 0. The minimum has no closed form: it is found here by Newton's
    method, to rounding.

    Parameters
    ----------
    n : int, default: 10
        Number of weights.
    samples : int, default: 200
        Number of data.
    seed : int, default: 0
        Seed of data, labels and true model.
    l2 : float, default: 1e-3
        Penalty, positive, so that the minimum exists.

    Returns
    -------
    Problem

    Raises
    ------
    ValueError
        If n or samples is below 1 or l2 is not positive.

    References
    ----------
    Cox (1958), Journal of the Royal Statistical Society B 20(2), 215-242; own synthetic data.
    """
    check_n(n, 1)
    if samples < 1 or not l2 > 0.0:
        raise ValueError(f"samples must be at least 1 and l2 positive, got {samples} and {l2}")
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((samples, n)) * np.logspace(0.0, -1.0, n)
    margin = inputs @ (3.0 * rng.standard_normal(n))
    labels = np.where(rng.uniform(size=samples) < 0.5 * (1.0 + np.tanh(0.5 * margin)), 1.0, -1.0)
    data: dict[str, Any] = {"signed": inputs * labels[:, None], "l2": l2}
    fun, grad, hess = _bind((_logistic, _logistic_grad, _logistic_hess), data)
    x_min = _newton(fun, grad, hess, np.zeros(n))
    return Problem(
        f"logistic_regression(n={n}, samples={samples}, seed={seed}, l2={l2!r})",
        fun,
        grad,
        np.zeros(n),
        x_min,
        float(fun(x_min)),
        "Cox (1958), Journal of the Royal Statistical Society B 20(2), 215-242; own synthetic data",
        hess,
        convex=True,
        unimodal=True,
    )


def _newton(
    fun: Callable[..., Any], grad: Callable[..., Array], hess: Callable[..., Array], x: Array
) -> Array:
    """Newton's method with backtracking on a strictly convex function, until rounding stops it."""
    for _ in range(100):
        g = grad(x)
        step = np.linalg.solve(hess(x), g)
        t, f = 1.0, fun(x)
        while t > 1e-3 and fun(x - t * step) > f:
            t *= 0.5
        if t <= 1e-3:  # the value resolves no further decrease: the last full step is good to rounding
            return x - step if np.max(np.abs(grad(x - step))) < np.max(np.abs(g)) else x
        x = x - t * step
        if np.max(np.abs(step)) <= 1e-15 * max(1.0, float(np.max(np.abs(x)))):
            break
    return x
