"""Numba compilation in one place: cached on disk, or plain Python when TWOPHASE_DISABLE_JIT=1.

Only modules full of kernels import this file, and those are imported when a run needs them, never by
``import twophase_min``. Nothing is compiled at import: a kernel is compiled, or read from the disk
(`cache.py`), at its first call with arguments of new types, or ahead of time by `warmup`.
"""

from __future__ import annotations

import functools
import gc
import importlib
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

DISABLED = os.environ.get("TWOPHASE_DISABLE_JIT", "0") not in ("", "0")
"""Whether kernels run as plain Python (read once, when the first kernel module is imported)."""

KERNEL_MODULES = ("jit.kernels", "phases.adam", "phases.compiled", "phases.scaling", "run.engine")
"""Modules that `warmup` imports, for them to `register` their kernels."""

_registered: list[tuple[Any, Callable[[type], tuple[Any, ...]]]] = []


def jit(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Compile a kernel lazily with Numba, cached on disk, dividing as IEEE 754 does.

    ``error_model="numpy"`` makes a division by zero give inf or NaN instead of raising, which also lets
    LLVM vectorise loops that divide. ``fastmath`` stays off: it would delete every ``isnan`` (numba#2919).
    The GIL is released while a kernel runs. Kernels allocate nothing, so that the counting of references,
    three quarters of the time of a small step, is left out (``_nrt=False``).

    Parameters
    ----------
    function : callable, optional
        The kernel. Without it, a decorator is returned.
    **options
        Passed on to ``numba.njit`` over the defaults named above. ``cache=False`` keeps it off the disk;
        ``_nrt=True`` is for a kernel that allocates.

    Returns
    -------
    callable
        The dispatcher; when compilation is disabled, the function itself with NumPy's floating-point
        warnings silenced, as compiled code gives none. Either has the function as ``py_func``.
    """
    if function is None:
        return lambda f: jit(f, **options)
    if DISABLED:

        @functools.wraps(function)
        def plain(*args: Any) -> Any:
            with np.errstate(all="ignore"):
                return function(*args)

        plain.py_func = function  # type: ignore[attr-defined]
        return plain
    import numba

    from twophase_min.jit.cache import attach

    cached = options.pop("cache", True)
    dispatcher = numba.njit(
        **{"error_model": "numpy", "nogil": True, "_nrt": False, "no_cfunc_wrapper": True, **options}
    )(function)
    resolve = dispatcher.get_call_template

    def resolve_by_type(args: Any, kws: Any) -> Any:
        return resolve(tuple(map(numba.types.unliteral, args)), kws)

    dispatcher.get_call_template = resolve_by_type  # or Numba compiles a copy for every constant it is given
    return attach(dispatcher) if cached else dispatcher


def register(kernel: Any, example: Callable[[type], tuple[Any, ...]]) -> None:
    """Have `warmup` compile a kernel.

    Parameters
    ----------
    kernel : callable
        What `jit` returned.
    example : callable
        Takes ``numpy.float64`` or ``numpy.float32`` and returns a tuple of arguments as a run passes them;
        only their types are looked at, the kernel is not run.
    """
    _registered.append((kernel, example))


def warmup(*dtypes: Any) -> float:
    """Compile, or read from the disk, every kernel that a run may need.

    Without it each kernel is compiled when it is first called; with the files on disk that takes
    milliseconds. In an image for many users, call it once while the package directory can be written to.

    Parameters
    ----------
    *dtypes : dtype-like
        float64 (the default) and/or float32.

    Returns
    -------
    float
        Seconds spent.

    Raises
    ------
    ValueError
        For another dtype.
    """
    kinds = [np.dtype(dtype).type for dtype in dtypes or (np.float64,)]
    for kind in kinds:
        if kind not in (np.float64, np.float32):
            raise ValueError(f"kernels work in float64 and float32, not in {np.dtype(kind)}")
    start = time.perf_counter()
    if not DISABLED:
        for name in KERNEL_MODULES:
            importlib.import_module(f"twophase_min.{name}")
        for kernel, example in _registered:
            for kind in kinds:
                prepare(kernel, *example(kind))
    return time.perf_counter() - start


def prepare(kernel: Any, *args: Any) -> Any:
    """Return a kernel's compiled code for arguments of these types, to be called without Numba's dispatch.

    Dispatch looks at the type of every argument: 0.2 microseconds of the 0.55 that a call of `adam_step`'s
    nine arguments takes, but 1.2 of 1.7 for a named tuple of 12 arrays. Worth it where one loop calls one
    kernel with the same kind of state again and again.

    Parameters
    ----------
    kernel : callable
        What `jit` returned.
    *args
        Arguments like those of every later call: the same types, dtypes, and contiguity. This is not
        checked again; a vector of another dtype would be misread.

    Returns
    -------
    callable
        Takes positional arguments only. ``kernel`` itself when compilation is disabled.
    """
    if DISABLED:
        return kernel
    import numba

    # Numba makes millions of objects and hardly a cycle: looking for those takes an eighth of its time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return kernel.compile(tuple(numba.typeof(argument) for argument in args))
    finally:
        if collecting:
            gc.enable()
