"""Bounds in SciPy's two forms."""

from __future__ import annotations

from typing import Any

import numpy as np


def limits(bounds: Any) -> tuple[Any, Any]:
    """Lower and upper limits of a ``Bounds`` or of a sequence of pairs with None for no limit."""
    if hasattr(bounds, "lb"):
        return bounds.lb, bounds.ub
    low, high = zip(*bounds, strict=True)
    lower = np.array([-np.inf if limit is None else limit for limit in low], dtype=float)
    return lower, np.array([np.inf if limit is None else limit for limit in high], dtype=float)


def bind(bounds: Any) -> bool:
    """Whether bounds limit any variable: ``None``, ``[(None, None)] * n`` and infinite ones do not."""
    if bounds is None:
        return False
    try:
        lower, upper = limits(bounds)
        return not (np.all(np.equal(lower, -np.inf)) and np.all(np.equal(upper, np.inf)))
    except (TypeError, ValueError):  # of no known form: not for us to judge
        return True
