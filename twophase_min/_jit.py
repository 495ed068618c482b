"""Numba compilation in one place: cached on disk, or plain Python when TWOPHASE_DISABLE_JIT=1.

Only modules full of kernels import this file, and those are imported when a run needs them, never by
``import twophase_min``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

DISABLED = os.environ.get("TWOPHASE_DISABLE_JIT", "0") not in ("", "0")
"""Whether kernels run as plain Python (read once, when the first kernel module is imported)."""


def jit(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Compile a kernel lazily with Numba, cached on disk, dividing as IEEE 754 does.

    ``error_model="numpy"`` makes a division by zero give inf or NaN instead of raising, which also lets
    LLVM vectorise loops that divide. ``fastmath`` stays off: it would delete every ``isnan`` (numba#2919).

    Parameters
    ----------
    function : callable, optional
        The kernel. Without it, a decorator is returned.
    **options
        Passed on to ``numba.njit`` over the defaults named above.

    Returns
    -------
    callable
        The dispatcher, or ``function`` itself when compilation is disabled.
    """
    if function is None:
        return lambda f: jit(f, **options)
    if DISABLED:
        return function
    import numba

    return numba.njit(**{"cache": True, "error_model": "numpy", "nogil": True, **options})(function)
