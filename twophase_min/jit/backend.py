"""Numba's side of a kernel: its dispatchers, made when code is first compiled."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numba
from numba.core import sigutils
from numba.core.errors import TypingError
from numba.core.registry import cpu_target
from numba.extending import intrinsic

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


def make_chooser(function: Callable[..., Any], kernel: Callable[[type], Any]) -> Any:
    """Return Numba's dispatcher of a `compilation.by_type`, which passes every call on to a kernel's.

    Parameters
    ----------
    function : callable
        Names the kernel and its arguments.
    kernel : callable
        Takes the class of the first argument and returns the kernel, or None.
    """
    dispatcher: Any = numba.njit(function)

    def inner(types: Any) -> Any:
        chosen = kernel(types[0].instance_class) if hasattr(types[0], "instance_class") else None
        if chosen is None:
            raise TypingError(f"no kernel {function.__name__} for {types[0]}")
        return chosen.inner

    # the two questions that Numba asks of a function that compiled code calls
    dispatcher.get_call_template = lambda args, kws: inner(args).get_call_template(args, kws)
    dispatcher.get_overload = lambda sig: inner(sigutils.normalize_signature(sig)[0]).get_overload(sig)
    return dispatcher


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
