"""Whether a function is compiled by Numba, without importing Numba."""

from __future__ import annotations

from typing import Any


def is_compiled(function: Any) -> bool:
    """Whether this is a dispatcher that `numba.njit` made."""
    # asked of the type: on the object it is a property that goes through all signatures
    return hasattr(function, "py_func") and hasattr(type(function), "nopython_signatures")
