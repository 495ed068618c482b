"""Gradients by autograd, and the steps and workers of finite differences (`differences`).

Nothing here keeps count or state: functions take the callable to evaluate, and `calls.Objective` hands in
one that copies and counts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twophase_min.objective.tracing import make_vjp, scalar_valued
from twophase_min.objective.workers import count_of, is_number, map_of

Array = NDArray[np.floating]

EPS = float(np.finfo(float).eps)
"""Relative rounding error of float64. Unit 1."""

FINITE_DIFFERENCES = ("2-point", "3-point", "cs")
"""Finite-difference schemes that a caller may ask for, named as SciPy names them."""
EXTRAPOLATED = "extrapolated"
"""Scheme of fourth order, out of two of second order."""
STEPPED = ("2-point", "3-point")
"""Schemes whose steps may be fitted to the values."""
INEXACT = (*STEPPED, EXTRAPOLATED)
"""Schemes that subtract values: their error is that of a value, over the step."""


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


def difference_steps(
    x: Array, scheme: str, rel_step: Any = None, abs_step: Any = None, eps: float = EPS
) -> Array:
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
    eps : float, default that of float64
        Relative rounding error of the values; that of x counts if it is larger.
    """
    sign = np.where(x >= 0, 1.0, -1.0)
    eps = max(eps, float(np.finfo(x.dtype).eps))
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
    return {"3-point": 2, "extrapolated": 4}.get(scheme, 1) * n


def worker_count(workers: Any) -> int:
    """Return how many values ``workers`` computes at a time; as many as there are cores for a pool or map."""
    return (os.cpu_count() or 1) if not is_number(workers) else count_of(workers)


def mapper(workers: Any) -> tuple[Callable[..., Iterable[Any]], Callable[[], None]]:
    """Turn SciPy's ``workers`` into a map-like callable and the function that releases it.

    Parameters
    ----------
    workers : None, int, or what `workers.map_of` takes
        None and 1 are serial; -1 uses every core; another int starts that many processes.
    """
    if not is_number(workers):
        return map_of(workers), lambda: None
    count = count_of(workers)
    if count == 1:
        return map, lambda: None
    from concurrent.futures import ProcessPoolExecutor

    pool = ProcessPoolExecutor(count)
    return pool.map, pool.shutdown


def listed(mapping: Callable[..., Iterable[Any]], *arguments: Any) -> list[Any]:
    """Map, to the last result: a lazy map calls the user while it is read."""
    return list(mapping(*arguments))
