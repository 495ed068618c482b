"""Hessian-vector products at one point, by autograd and by differences of gradients.

Nothing here keeps count: `calls.Objective` and `curvature.HessianOperator` count what they use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twophase_min._errstate import our_arithmetic
from twophase_min.objective.tracing import gradient_of, make_jvp, make_vjp

Array = NDArray[np.floating]
Product = Callable[[Array], Any]

SHORTER = (1e-2, -1e-2)
"""Shares of the step that are tried where the gradient is finite on neither side."""


def by_autograd(fun: Callable[..., Any], x: Array, forward: bool = False) -> Product:
    """Product by autograd.

    Parameters
    ----------
    fun : callable
        ``fun(x) -> scalar`` or size-1 array, written with autograd.numpy.
    x : ndarray, shape (n,)
        The point.
    forward : bool, default False
        False: reverse over reverse, one trace now and a backward sweep a product. True: forward over
        reverse, less memory, a trace for every product.
    """
    gradient = gradient_of(fun)
    if forward:
        jvp = make_jvp(gradient, x)
        jvp(np.zeros_like(x))  # what cannot be traced is to fail here
        return jvp
    pullback, _ = make_vjp(gradient, x)
    return pullback


def by_differences(
    gradient: Callable[[Array], Array],
    x: Array,
    length: float,
    at_x: Callable[[], Array] | None = None,
) -> Product:
    """Product by a difference of two gradients.

    Parameters
    ----------
    gradient : callable
        ``x -> ndarray (n,)``.
    x : ndarray, shape (n,)
        The point.
    length : float
        Length of the step from x along v.
    at_x : callable, optional
        The gradient at x where it is known, for a forward difference. Default: a central difference. Where
        the gradient is not finite on a side, the other one serves, then a step a hundredth as long.
    """

    def product(v: Array) -> Array:
        size = float(np.linalg.norm(v))
        if size == 0:
            return np.zeros_like(v)
        with our_arithmetic():
            t = length / size
            if at_x is not None:
                behind, ahead = at_x(), gradient(x + t * v)
                if np.isfinite(ahead).all():
                    return (ahead - behind) / t
                return _one_sided(gradient, x, v, behind, (-t, *(s * t for s in SHORTER)))
            ahead, behind = gradient(x + t * v), gradient(x - t * v)
            if np.isfinite(ahead).all() and np.isfinite(behind).all():
                return (ahead - behind) / (2.0 * t)
            here = gradient(x)
            for side, known in ((t, ahead), (-t, behind)):
                if np.isfinite(known).all():
                    return (known - here) / side
            return _one_sided(gradient, x, v, here, tuple(s * t for s in SHORTER))

    return product


def _one_sided(
    gradient: Callable[[Array], Array], x: Array, v: Array, here: Array, steps: tuple[float, ...]
) -> Array:
    """Return the first difference of finite gradients, or the last one where none is."""
    slope = np.full_like(v, np.nan)
    for step in steps:
        slope = (gradient(x + step * v) - here) / step
        if np.isfinite(slope).all():
            break
    return slope
