"""Fits of a sum of decaying exponentials."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from collection._common import squares_hess
from twophase_min.problems._problem import MGH, Array, Problem


def _decay(x: Any, xp: Any = np, *, t: Array, y: Array) -> Any:
    r = x[0] + x[1] * xp.exp(-x[3] * t) + x[2] * xp.exp(-x[4] * t) - y
    return xp.sum(r * r)


def _decay_parts(x: Array, t: Array, y: Array) -> tuple[Array, Array, Array]:
    e, f = np.exp(-x[3] * t), np.exp(-x[4] * t)
    r = x[0] + x[1] * e + x[2] * f - y
    jac = np.stack([np.ones_like(t), e, f, -x[1] * t * e, -x[2] * t * f], axis=1)
    curvature = np.zeros((t.size, 5, 5))
    curvature[:, 1, 3] = curvature[:, 3, 1] = -t * e
    curvature[:, 2, 4] = curvature[:, 4, 2] = -t * f
    curvature[:, 3, 3] = x[1] * t * t * e
    curvature[:, 4, 4] = x[2] * t * t * f
    return r, jac, curvature


def _decay_grad(x: Array, *, t: Array, y: Array) -> Array:
    e, f = np.exp(-x[3] * t), np.exp(-x[4] * t)
    r = x[0] + x[1] * e + x[2] * f - y
    u, v = t * e, t * f
    return 2.0 * np.array([np.sum(r), r @ e, r @ f, -x[1] * (r @ u), -x[2] * (r @ v)])


def _decay_hess(x: Array, *, t: Array, y: Array) -> Array:
    return squares_hess(*_decay_parts(x, t, y))


_SWAP_TERMS = [0, 2, 1, 4, 3]


def exponential_decay(points: int = 50, seed: int = 0) -> Problem:
    """Five-parameter fit of two decaying exponentials and a constant to exact synthetic data.

    ``sum (x_1 + x_2 exp(-x_4 t) + x_3 exp(-x_5 t) - y)^2`` with t from 0 to 10. The data are free of
    noise, so the minimum is 0 at the true parameters, and at the same with the two terms exchanged. The
    start is within 30 % of the truth. For measured data see :func:`osborne_1`.

    Parameters
    ----------
    points : int, default: 50
        Number of data, at least 5.
    seed : int, default: 0
        Seed of the true parameters and of the start.

    Returns
    -------
    Problem

    Raises
    ------
    ValueError
        If points is below 5.

    References
    ----------
    Own data, on the model of Osborne (1972).
    """
    if points < 5:
        raise ValueError(f"five parameters need at least 5 points, got {points}")
    rng = np.random.default_rng(seed)
    low, high = [0.2, 1.0, 1.0, 0.2, 1.5], [0.8, 2.0, 2.0, 0.5, 2.5]
    truth = rng.uniform(low, high)
    t = np.linspace(0.0, 10.0, points)
    data = {"t": t, "y": truth[0] + truth[1] * np.exp(-truth[3] * t) + truth[2] * np.exp(-truth[4] * t)}
    return Problem(
        f"exponential_decay(points={points}, seed={seed})",
        partial(_decay, **data),
        partial(_decay_grad, **data),
        truth * rng.uniform(0.7, 1.3, 5),
        truth,
        0.0,
        "own data, on the model of Osborne (1972), Some aspects of nonlinear least squares calculations",
        partial(_decay_hess, **data),
        more_minima=truth[_SWAP_TERMS][None, :],
    )


_OSBORNE_Y = (
    "844 908 932 936 925 908 881 850 818 784 751 718 685 658 628 603 580 558 538 522 506 490 "
    "478 467 457 448 438 431 424 420 414 411 406"
)
_OSBORNE_MIN = [0.3754100521037, 1.935846912612, -1.464687136518, 0.01286753463960, 0.02212269966203]


def osborne_1() -> Problem:
    """Osborne's first function: the same five-parameter model fitted to 33 measured values.

    Start (0.5, 1.5, -1, 0.01, 0.02). The published minimum is 5.46489e-5. Its parameters span two orders
    of magnitude and the Hessian is very badly conditioned.

    Returns
    -------
    Problem

    References
    ----------
    Osborne (1972), Some aspects of nonlinear least squares calculations, in Lootsma (ed.), Numerical
    Methods for Nonlinear Optimization, Academic Press; problem 17 of Moré, Garbow & Hillstrom (1981).
    """
    y = np.array(_OSBORNE_Y.split(), dtype=np.float64) / 1000.0
    data = {"t": 10.0 * np.arange(33.0), "y": y}
    x_min = np.array(_OSBORNE_MIN)
    return Problem(
        "osborne_1()",
        partial(_decay, **data),
        partial(_decay_grad, **data),
        np.array([0.5, 1.5, -1.0, 0.01, 0.02]),
        x_min,
        float(_decay(x_min, **data)),
        f"Osborne (1972), Academic Press; problem 17 of {MGH}",
        partial(_decay_hess, **data),
        more_minima=x_min[_SWAP_TERMS][None, :],
    )
