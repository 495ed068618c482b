"""Constraints other than bounds: the method ignores them, and a point that violates them is no success."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult

from twophase_min._result import keep
from twophase_min._status import TEXTS, Status

TOLERANCE = 1e-6
"""Violation that passes, in the units of the constraint; SciPy's SLSQP has the same by default."""


def given(constraints: Any) -> bool:
    """Whether there are any."""
    return constraints is not None and not (isinstance(constraints, (tuple, list)) and len(constraints) == 0)


def violation(constraints: Any, x: NDArray[np.floating]) -> float:
    """By how much the worst of the constraints does not hold at x; inf where one cannot be read.

    Parameters
    ----------
    constraints : dict, LinearConstraint, NonlinearConstraint, or a sequence of them
        As SciPy takes them.
    x : ndarray, shape (n,)
        Where.
    """
    worst = 0.0
    for one in constraints if isinstance(constraints, (tuple, list)) else (constraints,):
        if isinstance(one, dict):
            value = np.atleast_1d(one["fun"](x, *one.get("args", ())))
            short = np.abs(value) if one["type"] == "eq" else -value
        elif hasattr(one, "lb") and (hasattr(one, "A") or hasattr(one, "fun")):
            value = np.atleast_1d(one.fun(x) if hasattr(one, "fun") else one.A @ x)
            short = np.maximum(one.lb - value, value - one.ub)
        else:
            return np.inf
        worst = max(worst, float(np.max(short, initial=0.0))) if np.all(np.isfinite(value)) else np.inf
    return worst


def judged(result: OptimizeResult, constraints: Any) -> OptimizeResult:
    """Return the result; without success where the constraints, given but ignored, do not hold."""
    if not given(constraints) or not result.success:
        return result
    try:
        short = violation(constraints, np.array(result.x, dtype=float))
    except Exception as error:
        keep(error, result)
        raise
    if not short <= TOLERANCE:
        result.success, result.status = False, Status.INFEASIBLE
        result.message = (
            f"{TEXTS[Status.INFEASIBLE]} (Violated by {short:.3g}.) Use method='SLSQP' or 'trust-constr'. "
            f"Without them: {result.message}"
        )
    return result
