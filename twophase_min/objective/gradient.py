"""Gradients by autograd and by finite differences.

Nothing here keeps count or state: functions take the callable to evaluate, and `calls.Objective` hands in
one that copies and counts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twophase_min._errstate import our_arithmetic
from twophase_min.objective.tracing import make_vjp, scalar_valued

Array = NDArray[np.floating]

FINITE_DIFFERENCES = ("2-point", "3-point", "cs")
"""Finite-difference schemes, named as SciPy names them."""


def autograd_value_and_gradient(fun: Callable[..., Any]) -> Callable[[Array], tuple[Any, Array]]:
    """Value and gradient of ``fun`` by autograd's reverse mode, from one call of ``fun``.

    Parameters
    ----------
    fun : callable
        ``fun(x) -> scalar`` or size-1 array, written with autograd.numpy.

    Returns
    -------
    callable
        ``x -> (value, gradient)``, x of shape (n,).
    """
    scalar = scalar_valued(fun)

    def both(x: Array) -> tuple[Any, Array]:
        # a constant function is legitimate; one whose trace is lost is found by `agrees`
        pullback, value = make_vjp(scalar, x)
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.reshape(())[()]
        return value, np.asarray(pullback(np.ones_like(np.asarray(value, dtype=float))[()]))

    return both


def difference_steps(x: Array, scheme: str, rel_step: Any = None, abs_step: Any = None) -> Array:
    """Step per coordinate, as ``scipy.optimize`` chooses it, exactly representable at x.

    Parameters
    ----------
    x : ndarray, shape (n,)
        Point.
    scheme : {'2-point', '3-point', 'cs'}
        Scheme; the default step is eps^(1/2) for the first and last, eps^(1/3) for the second, times
        sign(x) max(1, abs(x)).
    rel_step, abs_step : float or array_like, optional
        Steps relative to abs(x), or absolute.
    """
    sign = np.where(x >= 0, 1.0, -1.0)
    eps = np.finfo(x.dtype).eps
    default = sign * (eps ** (1 / 3) if scheme == "3-point" else eps**0.5) * np.maximum(1.0, np.abs(x))
    if abs_step is not None:
        steps = sign * np.abs(np.broadcast_to(np.asarray(abs_step, dtype=x.dtype), x.shape))
    elif rel_step is not None:
        steps = sign * np.abs(rel_step) * np.abs(x)
    else:
        steps = default
    if scheme != "cs":
        moved = (x + steps) - x
        steps = np.where(moved == 0, (x + default) - x, moved)
    return np.where(steps == 0, default, steps)


def difference_calls(n: int, scheme: str) -> int:
    """Return the calls that one finite-difference gradient costs beyond the value at x itself."""
    return 2 * n if scheme == "3-point" else n


def finite_difference_gradient(
    evaluate: Callable[[Iterable[Array]], list[Any]],
    x: Array,
    f: float,
    scheme: str,
    rel_step: Any = None,
    abs_step: Any = None,
) -> Array:
    """Gradient by finite differences.

    Parameters
    ----------
    evaluate : callable
        Takes the points and returns the values in order (serially, or spread over workers).
    x : ndarray, shape (n,)
        Point.
    f : float
        Value at x; used by '2-point' only.
    scheme : {'2-point', '3-point', 'cs'}
        Forward differences, central differences, or the complex step (for functions that accept complex x).
    rel_step, abs_step : optional
        See `difference_steps`.

    Returns
    -------
    ndarray, shape (n,)
        Entries are NaN where a value was not finite.
    """
    n = x.size
    steps = difference_steps(x, scheme, rel_step, abs_step)

    def shifted(factor: complex) -> Iterable[Array]:
        for i in range(n):
            point = x.astype(complex) if scheme == "cs" else x.copy()
            point[i] += factor * steps[i]
            yield point

    with our_arithmetic():
        if scheme == "cs":
            return np.imag(np.asarray(evaluate(shifted(1j)), dtype=complex)) / steps
        ahead = np.asarray(evaluate(shifted(1.0)), dtype=float)
        if scheme == "2-point":
            return (ahead - f) / steps
        return (ahead - np.asarray(evaluate(shifted(-1.0)), dtype=float)) / (2 * steps)


def mapper(workers: Any) -> tuple[Callable[..., Iterable[Any]], Callable[[], None]]:
    """Turn SciPy's ``workers`` into a map-like callable and the function that releases it.

    Parameters
    ----------
    workers : None, int or map-like callable
        None and 1 are serial; -1 uses every core; another int starts that many processes.
    """
    if workers is None or (not callable(workers) and int(workers) == 1):
        return map, lambda: None
    if callable(workers):
        return workers, lambda: None
    from concurrent.futures import ProcessPoolExecutor

    pool = ProcessPoolExecutor(os.cpu_count() if int(workers) == -1 else int(workers))
    return pool.map, pool.shutdown
