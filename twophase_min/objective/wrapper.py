"""The wrapper that puts functions compiled by Numba behind the engine's C signature (see `compiled`).

Where the user's functions are cached on disk (``@njit(cache=True)``), it is cached too, stamped with their
code.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twophase_min.jit.compilation import DISABLED
from twophase_min.jit.dispatcher import is_compiled
from twophase_min.objective.c_function import CObjective
from twophase_min.objective.compiled import DONE, GRADIENT, MISSHAPEN, RAISED, VALUE, Argument

plain: dict[int, Callable[..., int]] = {}
"""Where compilation is disabled: the wrappers by the numbers that stand for them."""


def _text(fused: bool, arguments: tuple[Argument, ...]) -> str:
    """Source of the wrapper for arguments of these types."""
    setup, names, place = ["x = carray(x_p, (n,), np.float64)"], ["x"], 0
    if arguments:
        width = sum(1 + max(argument.ndim, 0) for argument in arguments)
        setup.append(f"table = carray(table_p, ({width},), np.int64)")
    for i, (dtype, ndim) in enumerate(arguments):
        shape = "".join(f"table[{place + 1 + k}], " for k in range(ndim)) if ndim >= 0 else "1,"
        setup.append(f"a{i} = carray(pointer(table[{place}]), ({shape}), np.{dtype})")
        names.append(f"a{i}" if ndim >= 0 else f"a{i}[0]")
        place += 1 + max(ndim, 0)
    call = ", ".join(names)
    copy = [
        "if gradient.size != n:",
        f"    return {MISSHAPEN}",
        "for i in range(n):",
        "    g_p[i] = gradient[i]",
    ]
    if fused:
        body = [f"value, gradient = fun({call})", "f_p[0] = value", *copy]
    else:
        body = [f"if want & {VALUE}:", f"    f_p[0] = fun({call})"]
        body += [f"if want & {GRADIENT}:", f"    gradient = jac({call})", *[f"    {line}" for line in copy]]
    body = [*setup, "f_p, g_p = carray(f_p, (1,), np.float64), carray(g_p, (n,), np.float64)", *body]
    lines = "\n            ".join(body)
    return f"""
def make(fun, jac, carray, pointer, np):
    def objective(x_p, n, f_p, g_p, table_p, want):
        try:
            {lines}
        except Exception:
            return {RAISED}
        return {DONE}
    return objective
"""


def _make(fun: Any, jac: Any, arguments: tuple[Argument, ...], carray: Any, pointer: Any) -> Any:
    """Build the wrapper as a Python function, beside the user's on the disk and named after them."""
    fused = jac is True
    users = [getattr(function, "py_func", function) for function in ((fun,) if fused else (fun, jac))]
    scope: dict[str, Any] = {"__name__": users[0].__module__}
    source = users[0].__code__.co_filename if hasattr(users[0], "__code__") else __file__
    exec(compile(_text(fused, arguments), source, "exec"), scope)  # the arguments vary in number and type
    function = scope["make"](fun, None if fused else jac, carray, pointer, np)
    names = ".".join(getattr(user, "__qualname__", "objective") for user in users)
    function.__qualname__ = f"twophase.{names}"
    return function


def c_functions(table: NDArray[np.int64]) -> CObjective:
    """Return the C objective whose address and user data a table points to."""
    address, data = _view(table[0], (2,), np.int64).tolist()
    return CObjective(address, data)


def _view(pointer: Any, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Do what `numba.carray` does, in Python."""
    if isinstance(pointer, np.ndarray):
        return pointer
    size = int(np.prod(shape, dtype=int)) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(int(pointer)), dtype=dtype).reshape(shape)


@functools.lru_cache(maxsize=256)
def compile_wrapper(fun: Any, jac: Any, arguments: tuple[Argument, ...]) -> tuple[int, Any]:
    """Compile the wrapper, or read it from the disk.

    Parameters
    ----------
    fun, jac : Numba dispatcher
        As for `compiled.compile_objective`.
    arguments : tuple of Argument
        Types of the further arguments.

    Returns
    -------
    address : int
        Of the wrapper.
    keep : object
        What must outlive it.

    Raises
    ------
    TypeError
        If the functions do not compile for these arguments; the message says why.
    """
    if DISABLED:
        function = _make(fun, jac, arguments, _view, int)
        plain[id(function)] = function
        return id(function), function
    from numba import carray, njit, types
    from numba.core.caching import NullCache
    from numba.core.errors import NumbaError

    from twophase_min.jit.cache import attach

    function = _make(fun, jac, arguments, carray, _pointer())
    settings: dict[str, Any] = {"error_model": "numpy", "nogil": True, "no_cpython_wrapper": True}
    wrapper = njit(**settings)(function)
    if all(not isinstance(d._cache, NullCache) for d in (fun, jac) if is_compiled(d)):
        attach(wrapper)
    vector, words = types.CPointer(types.float64), types.CPointer(types.int64)
    try:
        wrapper.compile((vector, types.int64, vector, vector, words, types.int64))
    except NumbaError as error:
        dull = ("Failed in", "File ", "During", "def ", "<source", "^")
        lines = [line.strip() for line in str(error).splitlines()]
        cause = " ".join([line for line in lines if line and not line.startswith(dull)][:3])
        raise TypeError(f"the compiled objective does not fit the engine: {cause}") from error
    (result,) = wrapper.overloads.values()
    return result.library.get_pointer_to_function(result.fndesc.llvm_cfunc_wrapper_name), wrapper


@functools.cache
def _pointer() -> Any:
    """Return the intrinsic that takes an address for a pointer."""
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    @intrinsic
    def pointer(context: Any, address: Any) -> Any:
        """Address as a pointer."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], cgutils.voidptr_t)

        return types.voidptr(types.int64), generate

    return pointer
