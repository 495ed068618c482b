"""Numba's side of a kernel: its dispatchers, made when code is first compiled."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numba
from numba.core.registry import cpu_target
from numba.extending import intrinsic, overload

from twophase_min.jit import linking
from twophase_min.jit.cache import attach

_OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True, "_nrt": False, "no_cfunc_wrapper": True}


def make_dispatcher(function: Callable[..., Any], options: dict[str, Any], inner: bool = False) -> Any:
    """Return Numba's dispatcher of a kernel.

    Parameters
    ----------
    function : callable
        The kernel's Python text.
    options : dict
        As for `compilation.jit`.
    inner : bool
        Whether it is called by compiled code (see `linking`) instead of Python.
    """
    options = {**_OPTIONS, **options}
    cached = options.pop("cache", True) and not inner
    if inner:
        options["no_cpython_wrapper"] = True
    if linking.AVAILABLE:
        options["pipeline_class"] = linking.InnerCompiler if inner else linking.OuterCompiler
    dispatcher = numba.njit(**options)(function)
    resolve = dispatcher.get_call_template

    def resolve_by_type(args: Any, kws: Any) -> Any:
        return resolve(tuple(map(numba.types.unliteral, args)), kws)

    dispatcher.get_call_template = resolve_by_type  # or Numba compiles a copy for every constant it is given
    return attach(dispatcher) if cached else dispatcher


def intrinsic_type(function: Callable[..., Any]) -> Any:
    """Return the type by which Numba knows an intrinsic declared by `compilation.intrinsic`."""
    context = cpu_target.typing_context
    real = intrinsic(function)
    context.refresh()
    return context.resolve_value_type(real)


def chosen_type(function: Callable[..., Any], kernel: Callable[[type], Any]) -> Any:
    """Return the type by which Numba knows a `compilation.by_type`.

    Parameters
    ----------
    function : callable
        Names the kernel and its arguments.
    kernel : callable
        Takes the class of the first argument and returns the kernel, or None.
    """
    arguments = ", ".join(function.__code__.co_varnames[: function.__code__.co_argcount])

    def choose(first: Any) -> Any:
        kind = getattr(first, "instance_class", None)
        chosen = kernel(kind) if kind is not None else None
        return None if chosen is None else chosen.py_func

    options = {**_OPTIONS, "no_cpython_wrapper": True}
    if linking.AVAILABLE:
        options["pipeline_class"] = linking.InnerCompiler
    # Numba compares the argument names of the choice with those of the kernel
    text = f"lambda {arguments}: choose({arguments.partition(',')[0]})"
    overload(function, jit_options=options)(eval(text, {"choose": choose}))
    context = cpu_target.typing_context
    context.refresh()
    return context.resolve_value_type(function)


def compile_kernel(dispatcher: Any, arguments: tuple[Any, ...]) -> Any:
    """Compile, or read from the disk, for arguments of these types; return what Python calls."""
    # Numba makes millions of objects and hardly a cycle: looking for those takes an eighth of its time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return dispatcher.compile(tuple(map(numba.typeof, arguments)))
    finally:
        if collecting:
            gc.enable()
