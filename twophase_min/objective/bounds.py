"""Bounds: SciPy's two forms, and the box that they make.

Everything that knows of bounds reads a `Box`. Bounds that limit nothing make none: such a run is the run
without bounds.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twophase_min._caller import caller
from twophase_min._errstate import our_arithmetic

Array = NDArray[np.floating]

FORMS = "give a (low, high) per variable, with None for no limit, or a scipy.optimize.Bounds"


class Box(NamedTuple):
    """Lower and upper limits, shape (n,) each; infinite where there is none."""

    lower: Array
    upper: Array

    def clip(self, x: Array) -> Array:
        """Return the nearest point of the box, a new array."""
        return np.minimum(np.maximum(x, self.lower), self.upper)

    def holds(self, x: Array) -> bool:
        """Whether a point is in the box."""
        return bool(np.all(x >= self.lower) and np.all(x <= self.upper))

    def reduced(self, x: Array, g: Array) -> Array:
        """Projected gradient ``x - P(x - g)``, P the projection onto the box; g where no limit is near.

        It vanishes exactly where the first-order conditions hold. NaN stays NaN.
        """
        return np.clip(g, x - self.upper, x - self.lower)

    def active(self, x: Array) -> NDArray[np.int64]:
        """Say per variable whether x is at its lower limit (-1), at its upper one (1) or at none (0)."""
        return np.where(x <= self.lower, -1, np.where(x >= self.upper, 1, 0)).astype(np.int64)

    def multipliers(self, x: Array, g: Array) -> Array:
        """Return Lagrange multipliers of the limits: the gradient where it pushes x outwards, 0 elsewhere.

        So they are >= 0 at lower limits and <= 0 at upper ones. NaN where the gradient is not known.
        """
        outwards = ((x <= self.lower) & ~(g < 0)) | ((x >= self.upper) & ~(g > 0)) | self.fixed
        return np.where(outwards, g, 0.0)

    @property
    def fixed(self) -> NDArray[np.bool_]:
        """Which variables have equal limits, shape (n,)."""
        fixed: NDArray[np.bool_] = self.lower == self.upper
        return fixed

    def as_type(self, dtype: np.dtype[Any]) -> Box:
        """Return the largest box with limits of a narrower type that lies within this one.

        A variable whose limits leave no such number is fixed at the nearest one.
        """
        if dtype == self.lower.dtype:
            return self
        with our_arithmetic():
            lower, upper = self.lower.astype(dtype), self.upper.astype(dtype)
        infinity = dtype.type(np.inf)
        lower = np.where(lower < self.lower, np.nextafter(lower, infinity), lower)
        upper = np.where(upper > self.upper, np.nextafter(upper, -infinity), upper)
        none = lower > upper
        lower[none] = upper[none] = self.lower[none]
        return Box(lower, upper)


def limits(bounds: Any) -> tuple[Any, Any]:
    """Lower and upper limits of a ``Bounds`` or of a sequence of pairs with None for no limit.

    Raises
    ------
    ValueError, TypeError
        If they are of neither form.
    """
    if hasattr(bounds, "lb"):
        return bounds.lb, bounds.ub
    low, high = zip(*bounds, strict=True)
    return _numbers(low, -np.inf), _numbers(high, np.inf)


def _numbers(values: Any, nothing: float) -> Array:
    return np.array(
        [nothing if value is None else float(np.asarray(value).reshape(())) for value in values], dtype=float
    )


def box_of(bounds: Any, n: int) -> Box | None:
    """Box of bounds on n variables; None where they limit none.

    Parameters
    ----------
    bounds : sequence of (low, high), ndarray of shape (n, 2), `scipy.optimize.Bounds` or None
        None, and infinity with the sign of its side, are no limit. Equal limits fix a variable. The limits
        of a ``Bounds`` may be numbers for all variables.

    Returns
    -------
    Box or None

    Raises
    ------
    ValueError
        For another form, another number of variables, NaN, or a lower limit above the upper one.
    """
    if bounds is None:
        return None
    try:
        lower, upper = (np.asarray(limit, dtype=float) for limit in limits(bounds))
    except (TypeError, ValueError) as error:
        raise ValueError(f"'bounds' is {bounds!r}, not of a known form: {FORMS}.") from error
    if not hasattr(bounds, "lb") and lower.size != n:
        raise ValueError(
            f"The number of bounds is not compatible with the length of `x0`: {lower.size} pairs for {n} "
            "variables."
        )
    try:
        lower, upper = (np.broadcast_to(limit, (n,)).copy() for limit in (lower, upper))
    except ValueError as error:
        raise ValueError(
            f"The number of bounds is not compatible with the length of `x0`: limits of shapes {lower.shape} "
            f"and {upper.shape} for {n} variables."
        ) from error
    unknown = np.flatnonzero(np.isnan(lower) | np.isnan(upper))
    if unknown.size:
        raise ValueError(f"The bounds of variable {unknown[0]} have NaN; None or infinity is no limit.")
    empty = np.flatnonzero((lower > upper) | (lower == np.inf) | (upper == -np.inf))
    if empty.size:
        i = empty[0]
        raise ValueError(
            f"An upper bound is less than the corresponding lower bound, or no number lies between them: "
            f"variable {i} has ({lower[i]:g}, {upper[i]:g})."
        )
    if np.all(lower == -np.inf) and np.all(upper == np.inf):
        return None
    return Box(lower, upper)


def moved_inside(x0: Array, box: Box) -> Array:
    """Return the point of the box nearest to a start; one outside is warned of, as SciPy does.

    Of many starts, shape (m, n), the first is named.
    """
    inside = box.clip(x0)
    outside = np.argwhere((inside != x0) & (x0 == x0))
    if outside.size:
        i = tuple(outside[0].tolist())
        from scipy.optimize import OptimizeWarning  # heavy, and only wanted here

        warnings.warn(
            f"Initial guess is not within the specified bounds: x0[{', '.join(map(str, i))}] = {x0[i]:.6g} "
            f"is moved to {inside[i]:.6g}" + (f", and {len(outside) - 1} more." if len(outside) > 1 else "."),
            OptimizeWarning,
            stacklevel=caller(),
        )
    return inside
