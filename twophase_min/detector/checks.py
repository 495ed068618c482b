"""Checks of arguments, shared by the rules and the detector."""

from __future__ import annotations

import operator
from typing import Any


def not_negative(name: str, value: float) -> float:
    """Return a finite number that is not negative."""
    number = float(value)
    if not 0.0 <= number < float("inf"):
        raise ValueError(f"{name} must be finite and not negative, got {value!r}")
    return number


def fraction(name: str, value: float) -> float:
    """Return a number in (0, 1]."""
    number = float(value)
    if not 0.0 < number <= 1.0:
        raise ValueError(f"{name} must be in (0, 1], got {value!r}")
    return number


def at_least(name: str, value: Any, least: int) -> int:
    """Return an integer that is not below ``least``."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {value!r}")
    return number
