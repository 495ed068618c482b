"""What a user's function may return, and two forms in which it is handed on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twophase_min.objective.foreign import numbers
from twophase_min.objective.gradient import EPS

Array = NDArray[np.floating]


def as_scalar(value: Any) -> float:
    """Float of a scalar or size-1 array; None where that fails is an error, not NaN."""
    if isinstance(value, float):  # the common case, and np.float64
        return float(value)
    hint = ""
    if value is None:
        hint = " It returned None: is its return statement missing?"
    elif isinstance(value, tuple) and len(value) == 2:
        hint = " It returned a pair: pass jac=True."
    else:
        try:
            array = np.asarray(numbers(value))
            if array.dtype.kind == "c":
                raise TypeError(
                    "The objective returned a complex number; minimise its real part or its modulus."
                )
            if array.size == 1:
                return float(array.reshape(()).item())
        except ValueError:
            pass
    raise ValueError("The user-provided objective function must return a scalar value." + hint)


def rounding(value: Any) -> float:
    """Relative rounding error of a value by its type: float32's for a float32 of any library."""
    if isinstance(value, float):
        return EPS
    kind = str(getattr(value, "dtype", "")).removeprefix("torch.")
    return _COARSE.get(kind, EPS)


_COARSE = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def as_gradient(gradient: Any, n: int, dtype: np.dtype[Any]) -> Array:
    """Gradient of shape (n,) as a new array of the dtype.

    Raises
    ------
    TypeError
        For None and for complex entries.
    ValueError
        For another shape.
    """
    if gradient is None:
        raise TypeError("The gradient is None: is the return statement missing?")
    g = np.asarray(numbers(gradient))
    if g.dtype.kind not in "fiub":
        if g.dtype.kind == "c":
            raise TypeError("The gradient is complex; return the real gradient of a real objective.")
        g = g.astype(float)
    if g.size != n or max(g.shape, default=1) != n:
        raise ValueError(
            f"The gradient has shape {g.shape}, expected ({n},): return one partial derivative per variable."
        )
    return np.array(g, dtype=dtype).reshape(n)


class ValueOf:
    """The value of a function that gives value and gradient."""

    def __init__(self, both: Callable[..., Any]):
        self.both = both

    def __call__(self, x: Array, *args: Any) -> Any:
        """Return the value alone."""
        return self.both(x, *args)[0]


class Bound:
    """``fun`` with its arguments, picklable when both are."""

    def __init__(self, fun: Callable[..., Any], args: tuple[Any, ...]):
        self.fun, self.args = fun, args

    def __call__(self, x: Array) -> Any:
        """Call with the arguments."""
        return self.fun(x, *self.args)
