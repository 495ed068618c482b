"""Where a warning points: the first line outside of the package and of the libraries that it runs."""

from __future__ import annotations

import sys

_INNER = ("twophase_min.", "scipy.optimize.", "torch.", "jax.")


def caller() -> int:
    """Return the ``stacklevel`` of that line for a `warnings.warn` in the calling function."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_INNER):
        frame, level = frame.f_back, level + 1
    return level
