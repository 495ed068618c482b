"""Assert that a gradient and a Hessian are the derivatives of their function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twophase_min.objective.check import ridders
from twophase_min.problems import Problem


def assert_gradient(
    fun: Problem | Callable[[NDArray[np.float64]], Any],
    jac: Callable[[NDArray[np.float64]], Any] | None = None,
    x: ArrayLike | None = None,
    *,
    hess: Callable[[NDArray[np.float64]], Any] | None = None,
    rtol: float = 1e-6,
    seed: int = 0,
) -> float:
    """Assert that a gradient, and a Hessian where there is one, are the derivatives of their function.

    Extrapolated central differences are the reference: along every coordinate up to 64 variables,
    along 32 random sign vectors above. Allowed along a direction v is ``rtol`` times ``sum |g_i v_i|``,
    plus ten times the differences' own error estimate.

    Parameters
    ----------
    fun : Problem or callable
        A problem, which brings its gradient, Hessian and start, or ``fun(x) -> float``.
    jac : callable, optional
        ``jac(x) -> ndarray (n,)``; needed with a plain function.
    x : array_like, shape (n,), optional
        Where to look; a problem's start by default.
    hess : callable, optional
        ``hess(x) -> ndarray (n, n)``, held against differences of ``jac``.
    rtol : float, default: 1e-6
        Relative tolerance.
    seed : int, default: 0
        Seed of the random directions.

    Returns
    -------
    float
        The worst error that the differences' own cannot explain, relative to the terms of the directional
        derivative; at most ``rtol``.

    Raises
    ------
    AssertionError
        If a derivative is wrong, not finite or of the wrong shape; the message says where and by how much.
    TypeError
        If a plain function comes without jac or x.

    References
    ----------
    Ridders (1982), Accurate computation of F'(x) and F'(x)F''(x), Advances in Engineering Software 4(2),
    75-76.
    """
    name = "the function"
    if isinstance(fun, Problem):
        name = repr(fun)
        jac = fun.grad if jac is None else jac
        hess = fun.hess if hess is None else hess
        x = fun.x0 if x is None else x
        fun = fun.fun
    if jac is None or x is None:
        raise TypeError("a plain function needs jac and x")
    point = np.array(x, dtype=np.float64, ndmin=1)
    value: Callable[[NDArray[np.float64]], Any] = fun
    gradient: Callable[[NDArray[np.float64]], Any] = jac
    directions = _directions(point, seed)
    g = np.asarray(gradient(point.copy()), dtype=np.float64)
    worst = _compare(f"{name}: gradient", value, g, point, directions, rtol)
    if hess is not None:
        h = np.asarray(hess(point.copy()), dtype=np.float64)
        worst = max(worst, _compare(f"{name}: Hessian", gradient, h, point, directions, rtol))
    return worst


def _directions(x: NDArray[np.float64], seed: int) -> list[tuple[str, NDArray[np.float64]]]:
    scale = np.maximum(np.abs(x), 1.0)
    if x.size <= 64:
        return [(f"variable {i}", scale[i] * np.eye(1, x.size, i)[0]) for i in range(x.size)]
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (32, x.size))
    return [(f"random direction {i}", sign * scale) for i, sign in enumerate(signs)]


def _compare(
    what: str,
    function: Callable[[NDArray[np.float64]], Any],
    derivative: NDArray[np.float64],
    x: NDArray[np.float64],
    directions: list[tuple[str, NDArray[np.float64]]],
    rtol: float,
) -> float:
    """Hold derivative @ v against differences of the function along every v; gradient and Hessian alike."""
    shape = (*np.shape(function(x.copy())), x.size)
    if derivative.shape != shape:
        raise AssertionError(f"{what} has shape {derivative.shape}, expected {shape}")
    if not np.all(np.isfinite(derivative)):
        raise AssertionError(
            f"{what} is not finite at entry {np.argwhere(~np.isfinite(derivative))[0].tolist()}"
        )
    worst = 0.0
    for label, v in directions:
        claimed = derivative @ v
        measured, error = ridders(lambda t, v=v: function(x + t * v), 0.02)  # type: ignore[misc]
        scale = max(float(np.max(np.abs(derivative) @ np.abs(v))), float(np.max(np.abs(measured))), 1e-300)
        off = float(np.max(np.abs(claimed - measured)))
        if not off <= rtol * scale + 10.0 * error:
            raise AssertionError(
                f"{what} is off by {off:.3g} along {label} (relative {off / scale:.3g}): "
                f"claimed {claimed}, differences give {measured} (+- {error:.1g})"
            )
        worst = max(worst, (off - 10.0 * error) / scale)
    return worst
