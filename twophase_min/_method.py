"""The method as a callable for SciPy's own solvers: minimize, basinhopping, dual_annealing, shgo, polish."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scipy.optimize import OptimizeResult

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
    ``polish=twophase`` of differential_evolution. shgo cannot take a callable method: see `shgo_minimizer`.

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
