"""A SciPy method as the convex phase: conjugate gradients by default, any gradient method by name.

SciPy's methods call the objective themselves. They are turned around by what they are handed: an objective
that raises the driver's `Stop` when a limit is met, and a callback by which the driver sees every iterate.
Their own tolerances are switched off, since the driver decides when a run has converged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds

from twophase_min._errstate import our_arithmetic, users
from twophase_min._scipy_quiet import minimize as scipy_minimize
from twophase_min.phases import PHASES

if TYPE_CHECKING:
    from twophase_min.phases.scaling import Scaling


Array = NDArray[np.floating]


class Evaluations(Protocol):
    """What this phase needs of the objective."""

    def value(self, x: Array) -> float: ...  # noqa: D102
    def gradient(self, x: Array) -> Array: ...  # noqa: D102


def run(
    method: str | Callable[..., Any],
    objective: Evaluations,
    scaling: Scaling,
    on_iterate: Callable[[Array], None],
    on_gradient: Callable[[Array, Array], None],
    *,
    c1: float,
    c2: float,
    options: Mapping[str, Any] | None,
    hessp: Callable[[Array, Array], Array],
    zero: float = 0.0,
    unit: float = 1.0,
    box: tuple[Array, Array] | None = None,
    shorten: Callable[[Array, float], float] | None = None,
) -> str:
    """Run a SciPy method from ``scaling.origin`` until it gives up by itself or the driver stops it.

    Parameters
    ----------
    method : str or callable
        SciPy's name of the method, or a callable with SciPy's protocol.
    objective : Evaluations
        Value and gradient; both may raise the driver's stop.
    scaling : Scaling
        The variables in which the method works.
    on_iterate : callable
        Told every new iterate in x; may raise the driver's stop.
    on_gradient : callable
        Told every gradient, ``(x, g)``, at trial points too; may raise the driver's stop.
    c1, c2 : float
        Wolfe parameters, for the methods that take them.
    options : mapping, optional
        Further options of the method, which win over ours.
    hessp : callable
        ``hessp(x, p)``, called for the methods that take it only.
    zero, unit : float
        The method sees ``(f - zero) / unit``: the first trials of SciPy's methods depend on the unit of f.
        With a power of two the arithmetic is the same in every unit.
    box : tuple of ndarray, optional
        Limits of x, handed on to a method that keeps to bounds; the scaling is then a number.
    shorten : callable, optional
        ``shorten(p, step)`` answers how far a line search may try first along p, at most ``step``.

    Returns
    -------
    str
        SciPy's message, when the method ended by itself.
    """
    keywords: dict[str, Any] = {}
    to_x = scaling.to_x
    if box is not None:
        low, high = ((limit - scaling.origin) / scaling.diagonal for limit in box)
        keywords["bounds"] = Bounds(low, high)

        def to_x(z: Array) -> Array:
            """Return the point of z; at a limit where z is at its own."""
            x = np.clip(scaling.to_x(z), *box)
            return np.where(z <= low, box[0], np.where(z >= high, box[1], x))

    def value(z: Array) -> float:
        f = objective.value(to_x(z))
        return (f - zero) / unit if np.isfinite(f) else np.inf

    def gradient(z: Array) -> Array:
        x = to_x(z)
        g = objective.gradient(x)
        on_gradient(x, g)
        return scaling.pull(g / unit)

    def callback(z: Array) -> None:
        on_iterate(to_x(z))

    chosen: dict[str, Any] = {}
    if isinstance(method, str):
        phase = PHASES[method]
        chosen = dict(phase.settings, maxiter=2**31 - 1)
        if phase.wolfe:
            chosen |= {"c1": c1, "c2": c2}
        if phase.hessian:
            keywords["hessp"] = lambda z, p: scaling.pull(hessp(to_x(z), scaling.apply(p)) / unit)
    chosen |= dict(options or {})

    if isinstance(method, str) and shorten is not None:
        keywords["shorten"] = lambda p, step: shorten(scaling.apply(p), step)
    handed: tuple[Callable[..., Any], ...] = (value, gradient, callback)
    if not isinstance(method, str):  # the caller's own arithmetic, which calls ours
        handed = tuple(our_arithmetic()(function) for function in handed)
    result = (scipy_minimize if isinstance(method, str) else partial(users, scipy_minimize))(
        handed[0],
        np.zeros(scaling.origin.shape, dtype=float),
        method=method,
        jac=handed[1],
        callback=handed[2],
        options=chosen,
        **keywords,
    )
    return str(result.message)
