"""Objectives that the compiled loop calls by their address, so that one compiled loop serves all of them.

The loop of `engine.py` is compiled once and kept on disk. It calls an objective through a pointer::

    int64 call(double *x, int64 n, double *f, double *g, int64 *table, int64 want)

``want`` is VALUE, GRADIENT or both; ``table`` holds the addresses and dimensions of the further arguments;
the answer is DONE, RAISED or MISSHAPEN. For functions compiled by Numba a small wrapper has this signature
(`wrapper`): only that is compiled for a new objective. The address 0 stands for a C function (`c_function`),
whose own address and user data are the further argument.

Measured alternatives (docs/engine.md): the whole loop specialised for every objective saves the call, a few
nanoseconds, and costs seconds of compilation each; Numba's first-class functions cost as much a call as
this and cannot be cached.
"""

from __future__ import annotations

import functools
import weakref
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twophase_min._errstate import users
from twophase_min.jit.compilation import intrinsic
from twophase_min.jit.dispatcher import is_compiled
from twophase_min.objective.c_function import CObjective

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
        Of the wrapper; 0 for a C function; where compilation is disabled, a number that stands for a Python
        function.
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
    # NumPy puts the name together anew at every request; before its version 2, `numpy.bool` was another thing
    return "bool_" if dtype.kind == "b" else dtype.name


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


def runs_compiled(fun: Any, jac: Any) -> bool:
    """Whether the compiled loop can call this objective: compiled by Numba with its gradient, or in C."""
    return isinstance(fun, CObjective) or (is_compiled(fun) and (jac is True or is_compiled(jac)))


_met: weakref.WeakSet[Any] = weakref.WeakSet()


def is_worth_compiling(fun: Any, jac: Any) -> bool:
    """Whether an objective may be put behind the engine's signature unasked.

    That costs about as much as compiling the objective did (numba#1361: one closure a data set). It is
    worth it for one that comes again, or is kept on disk with its wrapper; the first run of another one is
    made in Python.
    """
    if isinstance(fun, CObjective):
        return True
    functions = [function for function in (fun, jac) if is_compiled(function)]
    if all(type(function._cache).__name__ != "NullCache" for function in functions):
        return True
    known = all(function in _met for function in functions)
    _met.update(functions)
    return known


def compile_objective(fun: Any, jac: Any, arguments: tuple[Argument, ...]) -> Compiled:
    """Put compiled functions behind the engine's C signature.

    Parameters
    ----------
    fun, jac : Numba dispatcher, or CObjective and True
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
    if isinstance(fun, CObjective):
        return Compiled(0, True, arguments, fun)
    functions = (fun,) if jac is True else (fun, jac)
    for function, name in zip(functions, ("fun", "jac"), strict=False):
        if not is_compiled(function):
            raise TypeError(f"{name} is not compiled: decorate it with numba.njit")
    from twophase_min.objective import wrapper  # with Numba: not for a C function

    address, keep = wrapper.compile_wrapper(fun, jac, arguments)
    return Compiled(address, jac is True, arguments, keep)


def _call_plainly(address: int, x: Any, f: Any, g: Any, table: Any, want: int) -> int:
    """Call an objective where nothing is compiled."""
    from twophase_min.objective import wrapper

    if address == 0:
        f[0], g[:] = users(wrapper.c_functions(table), x)
        return DONE
    return int(users(wrapper.plain[address], x, x.size, f, g, table, want))


@intrinsic(_call_plainly)
def call(context, address, x, f, g, table, want):
    """Call an objective; see the module. ``address`` is an int64, the vectors are contiguous."""
    from llvmlite import ir  # type: ignore[import-untyped]
    from numba import types

    def generate(context, builder, signature, arguments):
        word, number, byte = ir.IntType(64), ir.DoubleType(), ir.IntType(8)
        vector, words = number.as_pointer(), word.as_pointer()
        wrapped = ir.FunctionType(word, [vector, word, vector, vector, words, word])
        # a function that takes no user data finds it in a register that it does not look at
        in_c = ir.FunctionType(number, [vector, vector, word, byte.as_pointer()])
        make = context.make_array
        views = [make(signature.args[i])(context, builder, value=arguments[i]) for i in range(1, 5)]
        size = builder.extract_value(views[0].shape, 0)
        x_data, f_data, g_data, table_data = [view.data for view in views]
        with builder.if_else(builder.icmp_signed("==", arguments[0], word(0))) as (plainly, by_wrapper):
            with plainly:
                pair = builder.inttoptr(builder.load(table_data), words)
                function = builder.inttoptr(builder.load(pair), in_c.as_pointer())
                data = builder.load(builder.gep(pair, [word(1)]))
                data = builder.inttoptr(data, byte.as_pointer())
                builder.store(builder.call(function, [x_data, g_data, size, data]), f_data)
                end_plainly = builder.block
            with by_wrapper:
                function = builder.inttoptr(arguments[0], wrapped.as_pointer())
                answer = builder.call(function, [x_data, size, f_data, g_data, table_data, arguments[5]])
                end_by_wrapper = builder.block
        result = builder.phi(word)
        result.add_incoming(word(DONE), end_plainly)
        result.add_incoming(answer, end_by_wrapper)
        return result

    return types.int64(types.int64, x, f, g, table, types.int64), generate
