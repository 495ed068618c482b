"""A user's compiled functions behind one C signature, so that one compiled loop serves every objective.

The loop of `engine.py` is compiled once and kept on disk. It calls an objective through a pointer::

    int64 call(double *x, int64 n, double *f, double *g, int64 *table, int64 want)

``want`` is VALUE, GRADIENT or both; ``table`` holds the addresses and dimensions of the further arguments;
the answer is DONE, RAISED or MISSHAPEN. Only this small wrapper is compiled for a new objective. Where the
user's functions are cached on disk (``@njit(cache=True)``), it is cached too, stamped with their code.

Measured alternatives (docs/engine.md): the whole loop specialised for every objective saves the call, a few
nanoseconds, and costs seconds of compilation each; Numba's first-class functions cost as much a call as
this and cannot be cached.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twophase_min.jit.compilation import DISABLED
from twophase_min.jit.dispatcher import is_compiled

VALUE, GRADIENT = 1, 2
"""What is wanted of one call; their sum asks for both."""
DONE, RAISED, MISSHAPEN = 0, 1, 2
"""What a call answers: well, the user's function raised, or its gradient has a wrong shape."""

_LAYOUT = {"i": np.int64, "u": np.uint64, "f": np.float64, "b": np.bool_, "c": np.complex128}


class Argument(NamedTuple):
    """How a further argument travels: its dtype, and its dimensions, -1 for a scalar."""

    dtype: str
    ndim: int


class Compiled(NamedTuple):
    """An objective that the engine can call.

    Attributes
    ----------
    address : int
        Of the C function; where compilation is disabled, a number that stands for a Python function.
    fused : bool
        Whether one call gives value and gradient.
    arguments : tuple of Argument
        The further arguments.
    keep : object
        What must outlive the address.
    """

    address: int
    fused: bool
    arguments: tuple[Argument, ...]
    keep: Any


def _as_array(value: Any) -> NDArray[Any]:
    array = np.ascontiguousarray(value) if np.ndim(value) else np.asarray(value)
    if array.dtype.kind not in "biufc":
        raise TypeError(
            f"a further argument is a {type(value).__name__}; the compiled engine takes numbers and arrays "
            "of numbers: use options={'engine': 'python'}, or put the rest into the compiled function"
        )
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.ndim == 0:
        array = array.astype(_LAYOUT[array.dtype.kind])
    return array


def describe_arguments(args: tuple[Any, ...]) -> tuple[Argument, ...]:
    """Types of the further arguments; raises TypeError for what the engine cannot hand over."""
    return tuple([Argument(_name(a.dtype), a.ndim or -1) for a in map(_as_array, args)])


@functools.lru_cache(maxsize=64)
def _name(dtype: np.dtype[Any]) -> str:
    return dtype.name  # NumPy puts it together anew at every request


def tables(
    args: tuple[Any, ...], rows: tuple[Any, ...] = (), count: int = 1
) -> tuple[NDArray[np.int64], list[NDArray[Any]]]:
    """Lay out further arguments for ``count`` problems.

    Parameters
    ----------
    args : tuple
        Shared by all problems.
    rows : tuple of array_like
        Further arguments after those; entry i along the first axis belongs to problem i.
    count : int
        Problems.

    Returns
    -------
    table : ndarray of int64, shape (count, width)
        One row a problem.
    keep : list of ndarray
        The memory that the addresses point into.
    """
    keep: list[NDArray[Any]] = []
    first: list[int] = []
    strides: list[int] = []
    for value in args:
        array = _as_array(value)
        keep.append(array)
        first += [array.ctypes.data, *array.shape]
    strides += [0] * len(first)
    for value in rows:
        array = _as_array(value)
        if array.ndim == 1:  # a number per problem
            array = array.astype(_LAYOUT[array.dtype.kind], copy=False)
        keep.append(array)
        first += [array.ctypes.data, *array.shape[1:]]
        strides += [array.strides[0], *[0] * (array.ndim - 1)]
    table = np.array([first or [0]], dtype=np.int64)
    if count != 1:
        table = table + np.arange(count, dtype=np.int64)[:, None] * np.array(strides or [0], dtype=np.int64)
    return table, keep


def row_arguments(rows: tuple[Any, ...]) -> tuple[Argument, ...]:
    """Types of one row of arguments that differ from problem to problem."""
    return describe_arguments(tuple(np.asarray(value)[0] for value in rows))


def compile_objective(fun: Any, jac: Any, arguments: tuple[Argument, ...]) -> Compiled:
    """Put compiled functions behind the engine's C signature.

    Parameters
    ----------
    fun, jac : Numba dispatcher
        ``fun(x, *args) -> float`` and ``jac(x, *args) -> ndarray of shape (n,)``; with ``jac=True`` fun gives
        ``(float, ndarray)``. x is a contiguous float64 vector which they may overwrite.
    arguments : tuple of Argument
        From `describe_arguments`.

    Returns
    -------
    Compiled

    Raises
    ------
    TypeError
        If they are not compiled functions, or do not compile for these arguments; the message says why.
    """
    functions = (fun,) if jac is True else (fun, jac)
    for function, name in zip(functions, ("fun", "jac"), strict=False):
        if not is_compiled(function):
            raise TypeError(f"{name} is not compiled: decorate it with numba.njit")
    return _compile(fun, jac, arguments)


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


if DISABLED:
    import ctypes

    _plain: dict[int, Callable[..., int]] = {}

    def _view(pointer: Any, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        if isinstance(pointer, np.ndarray):
            return pointer
        size = int(np.prod(shape, dtype=int)) * np.dtype(dtype).itemsize
        return np.frombuffer((ctypes.c_char * size).from_address(int(pointer)), dtype=dtype).reshape(shape)

    @functools.lru_cache(maxsize=256)
    def _compile(fun: Any, jac: Any, arguments: tuple[Argument, ...]) -> Compiled:
        function = _make(fun, jac, arguments, _view, int)
        address = id(function)
        _plain[address] = function
        return Compiled(address, jac is True, arguments, function)

    def call(address: int, x: Any, f: Any, g: Any, table: Any, want: int) -> int:
        """Call an objective; see the module."""
        return _plain[address](x, x.size, f, g, table, want)

else:
    from numba import carray, njit, types
    from numba.core import cgutils
    from numba.core.caching import NullCache
    from numba.core.errors import NumbaError
    from numba.extending import intrinsic

    from twophase_min.jit.cache import attach

    @intrinsic
    def _pointer(context, address):
        """Address as a pointer."""

        def generate(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], cgutils.voidptr_t)

        return types.voidptr(types.int64), generate

    @intrinsic
    def call(context, address, x, f, g, table, want):
        """Call an objective; see the module. ``address`` is an int64, the vectors are contiguous."""
        from llvmlite import ir  # type: ignore[import-untyped]

        def generate(context, builder, signature, arguments):
            word, number = ir.IntType(64), ir.DoubleType()
            kind = ir.FunctionType(
                word,
                [
                    number.as_pointer(),
                    word,
                    number.as_pointer(),
                    number.as_pointer(),
                    word.as_pointer(),
                    word,
                ],
            )
            make = context.make_array
            views = [make(signature.args[i])(context, builder, value=arguments[i]) for i in range(1, 5)]
            function = builder.inttoptr(arguments[0], kind.as_pointer())
            size = builder.extract_value(views[0].shape, 0)
            data = [view.data for view in views]
            return builder.call(function, [data[0], size, data[1], data[2], data[3], arguments[5]])

        return types.int64(types.int64, x, f, g, table, types.int64), generate

    _SIGNATURE = (
        types.CPointer(types.float64),
        types.int64,
        types.CPointer(types.float64),
        types.CPointer(types.float64),
        types.CPointer(types.int64),
        types.int64,
    )

    @functools.lru_cache(maxsize=256)
    def _compile(fun: Any, jac: Any, arguments: tuple[Argument, ...]) -> Compiled:
        function = _make(fun, jac, arguments, carray, _pointer)
        settings: dict[str, Any] = {"error_model": "numpy", "nogil": True, "no_cpython_wrapper": True}
        wrapper = njit(**settings)(function)
        if all(not isinstance(d._cache, NullCache) for d in (fun, jac) if is_compiled(d)):
            attach(wrapper)
        try:
            wrapper.compile(_SIGNATURE)
        except NumbaError as error:
            dull = ("Failed in", "File ", "During", "def ", "<source", "^")
            lines = [line.strip() for line in str(error).splitlines()]
            cause = " ".join([line for line in lines if line and not line.startswith(dull)][:3])
            raise TypeError(f"the compiled objective does not fit the engine: {cause}") from error
        (result,) = wrapper.overloads.values()
        address = result.library.get_pointer_to_function(result.fndesc.llvm_cfunc_wrapper_name)
        return Compiled(address, jac is True, arguments, wrapper)
