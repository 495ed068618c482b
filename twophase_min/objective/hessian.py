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
        The gradient at x where it is known, for a forward difference. Default: a central difference.
    """

    def product(v: Array) -> Array:
        size = float(np.linalg.norm(v))
        if size == 0:
            return np.zeros_like(v)
        with our_arithmetic():
            t = length / size
            if at_x is not None:
                behind = at_x()
                return (gradient(x + t * v) - behind) / t
            return (gradient(x + t * v) - gradient(x - t * v)) / (2.0 * t)

    return product
