"""The method as a callable for SciPy's own solvers: minimize, basinhopping, dual_annealing, shgo, polish."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from twophase_min._delegate import limits
from twophase_min._minimize import _twophase


def twophase(
    fun: Callable[..., Any],
    x0: Any,
    args: Any = (),
    jac: Any = None,
    hess: Any = None,
    hessp: Any = None,
    bounds: Any = None,
    constraints: Any = (),
    callback: Callable[..., Any] | None = None,
    tol: float | None = None,
    **options: Any,
) -> OptimizeResult:
    """Two-phase minimisation as a callable method, ``scipy.optimize.minimize(..., method=twophase)``.

    It serves as ``minimizer_kwargs={'method': twophase}`` of basinhopping and dual_annealing, and as
    ``polish=twophase`` of differential_evolution. shgo cannot take a callable method: see `shgo_method`.

    Parameters
    ----------
    fun, x0, args, jac, hess, hessp, bounds, constraints, callback, tol
        As SciPy hands them to a custom method. Strings in ``jac`` never arrive here, SciPy replaces them
        by None; use `twophase_min.minimize` for those.
    **options
        The entries of ``options``; see `TwoPhaseOptions`.

    Returns
    -------
    OptimizeResult
        As `twophase_min.minimize` returns it.
    """
    return _twophase(fun, x0, args, jac, hess, hessp, bounds, constraints, tol, callback, options)


class shgo_method:
    """The method for shgo: ``minimizer_kwargs={'method': shgo_method(gtol=1e-8)}``.

    shgo calls ``.lower()`` on its local method, which a function does not have, and strips every option that
    it does not know; so this object answers ``lower()`` and carries the options itself. shgo takes any local
    result for one within its bounds; so the objective is infinite outside of them, and runs stay inside.
    A minimum on a bound is approached, not reached exactly.

    Parameters
    ----------
    **options
        See `TwoPhaseOptions`.
    """

    def __init__(self, **options: Any):
        self.options = options

    def lower(self) -> str:
        """Name under which shgo looks up what a method takes: any callable's."""
        return "_custom"

    def __call__(self, fun: Callable[..., Any], x0: Any, **keywords: Any) -> OptimizeResult:
        """Minimise as `twophase`, within shgo's bounds; its own ``ftol`` has no meaning here."""
        keywords.pop("ftol", None)
        bounds = keywords.pop("bounds", None)
        if bounds is not None:
            fun = _Inside(fun, bounds)
        return twophase(fun, x0, **{**keywords, **self.options})


class _Inside:
    """A function that is infinite outside of its bounds."""

    def __init__(self, fun: Callable[..., Any], bounds: Any):
        self.fun, (self.lower, self.upper) = fun, limits(bounds)

    def __call__(self, x: Any, *args: Any) -> Any:
        if np.all(x >= self.lower) and np.all(x <= self.upper):
            return self.fun(x, *args)
        return np.inf
