"""Kernels: compiled ahead of time or by Numba when first needed, or plain Python (TWOPHASE_DISABLE_JIT=1).

Only modules full of kernels import this file, and those are imported when a run needs them, never by
``import twophase_min``. Nothing is compiled at import, and Numba is not imported: a kernel is found in the
extension (`ahead`), or compiled or read from the disk (`backend`, `cache`), at its first call with arguments
of new types, or before that by `warmup`.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from twophase_min.jit import ahead

DISABLED = os.environ.get("TWOPHASE_DISABLE_JIT", "0") not in ("", "0")
"""Whether kernels run as plain Python (read once, when the first kernel module is imported)."""

KERNEL_MODULES = (
    "jit.kernels",
    "jit.layers",
    "phases.adam",
    "phases.compiled",
    "phases.scaling",
    "run.engine",
)
"""Modules that `warmup` imports, for them to `register` their kernels."""

registered: list[tuple[Any, Callable[[type], tuple[Any, ...]]]] = []
"""The kernels that Python calls, each with a function that gives example arguments."""


def _key(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return what the choice of a compiled function depends on: types, and those of what tuples hold."""
    return tuple(
        [
            (a.dtype, a.ndim, a.flags.num & ahead.C_ORDER)
            if type(a) is np.ndarray
            else ((type(a), *_key(a)) if isinstance(a, tuple) else type(a))
            for a in values
        ]
    )


class Kernel:
    """A kernel that is compiled when it is first called, by Python or by compiled code.

    Parameters
    ----------
    function : callable
        Its Python text, kept as ``py_func``.
    options : dict
        As for `jit`.
    """

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]):
        functools.update_wrapper(self, function)
        self.py_func = function
        self.options = options
        self._chosen: dict[Any, Any] = {}

    @functools.cached_property
    def dispatcher(self) -> Any:
        """Numba's dispatcher for calls from Python."""
        from twophase_min.jit.backend import make_dispatcher

        return make_dispatcher(self.py_func, self.options)

    @functools.cached_property
    def inner(self) -> Any:
        """Numba's dispatcher for calls from compiled code."""
        from twophase_min.jit.backend import make_dispatcher

        return make_dispatcher(self.py_func, self.options, inner=True)

    @property
    def _numba_type_(self) -> Any:
        """What Numba takes a kernel for that is named in compiled code."""
        return self.inner._numba_type_

    def prepare(self, arguments: tuple[Any, ...]) -> Any:
        """Return the compiled function for arguments of these types."""
        found = ahead.find(self.py_func, arguments)
        if found is not None:
            return found
        from twophase_min.jit.backend import compile_kernel

        return compile_kernel(self.dispatcher, arguments)

    def __call__(self, *args: Any) -> Any:
        """Call the compiled function that fits the types of the arguments."""
        if ahead.extension() is None:
            return self.dispatcher(*args)
        key = _key(args)
        chosen = self._chosen.get(key)
        if chosen is None:
            chosen = self._chosen[key] = ahead.find(self.py_func, args) or self.dispatcher
        return chosen(*args)

    def __getattr__(self, name: str) -> Any:
        """Look up the dispatcher's ``signatures``, ``stats`` and so on."""
        if name.startswith("_") or name == "value_and_gradient":
            raise AttributeError(name)
        return getattr(self.dispatcher, name)


class Intrinsic:
    """A function that compiled code is given as LLVM's text; in plain Python another one serves.

    Parameters
    ----------
    function : callable
        For `numba.extending.intrinsic`, which sees it when a kernel that calls it is compiled.
    plain : callable
        Does the same in Python.
    """

    def __init__(self, function: Callable[..., Any], plain: Callable[..., Any] | None):
        functools.update_wrapper(self, function)
        self.function, self._plain = function, plain

    @functools.cached_property
    def _numba_type_(self) -> Any:
        from twophase_min.jit.backend import intrinsic_type

        return intrinsic_type(self.function)

    def __call__(self, *args: Any) -> Any:
        """Do it in Python."""
        if self._plain is None:
            raise NotImplementedError(f"{self.function.__name__} is for compiled code")
        return self._plain(*args)


def intrinsic(plain: Callable[..., Any] | None = None) -> Callable[[Callable[..., Any]], Any]:
    """Declare an `Intrinsic` by decoration; where compilation is disabled it is the plain function."""
    return lambda function: plain if DISABLED and plain is not None else Intrinsic(function, plain)


class _CompiledAs:
    """A Python function that stands for a kernel in compiled code."""

    def __init__(self, kernel: Any, function: Callable[..., Any]):
        functools.update_wrapper(self, function)
        self._kernel, self._function = kernel, function

    @property
    def _numba_type_(self) -> Any:
        return self._kernel._numba_type_

    def __call__(self, *args: Any) -> Any:
        """Call the Python function."""
        return self._function(*args)


def compiled_as(kernel: Any) -> Callable[[Callable[..., Any]], Any]:
    """Have compiled code that calls the decorated Python function call a kernel instead."""
    return lambda function: function if DISABLED else _CompiledAs(kernel, function)


class by_type:
    """Stands for a kernel of the same name in the module of its first argument's class.

    In compiled code the choice is made when the caller is compiled, in Python at the call.

    Parameters
    ----------
    function : callable
        Names the kernel and its arguments; it has a docstring for a body.
    """

    __name__: str

    def __init__(self, function: Callable[..., Any]):
        functools.update_wrapper(self, function)
        self.function = function

    def kernel(self, kind: type) -> Any:
        """Return the kernel for arguments of a class; None if its module has none."""
        return getattr(sys.modules[kind.__module__], self.__name__, None)

    @functools.cached_property
    def _dispatcher(self) -> Any:
        from twophase_min.jit.backend import make_chooser

        return make_chooser(self.function, self.kernel)

    @property
    def _numba_type_(self) -> Any:
        return self._dispatcher._numba_type_

    def __call__(self, chosen: Any, *args: Any) -> Any:
        """Call the kernel."""
        return self.kernel(type(chosen))(chosen, *args)


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
        A `Kernel`; when compilation is disabled, the function itself with NumPy's floating-point
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
    return Kernel(function, options)


def register(kernel: Any, example: Callable[[type], tuple[Any, ...]]) -> None:
    """Have `warmup` and the build compile a kernel.

    Parameters
    ----------
    kernel : callable
        What `jit` returned.
    example : callable
        Takes ``numpy.float64`` or ``numpy.float32`` and returns a tuple of arguments as a run passes them;
        only their types are looked at, the kernel is not run.
    """
    registered.append((kernel, example))


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
        for kernel, example in registered:
            for kind in kinds:
                kernel.prepare(example(kind))
    return time.perf_counter() - start


def prepare(kernel: Any, *args: Any) -> Any:
    """Return a kernel's compiled code for arguments of these types, to be called without dispatch.

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
    return kernel if DISABLED else kernel.prepare(args)
