"""Text that changes whenever anything changes that a user's compiled function reaches.

Functions, constants, arrays, fields of named tuples and compile options are followed by name from the
function's code. The package's own functions are not: one hash over its sources stands for them.
"""

from __future__ import annotations

import functools
import hashlib
import sys
import types as python_types
from collections.abc import Iterator
from typing import Any

import numba
import numpy as np

from twophase_min.jit import sources
from twophase_min.jit.compilation import by_type

_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic, np.dtype)
_PACKAGE = sources.__name__.split(".")[0]
_FOREIGN = ("numpy", "numba", "math", "builtins", "scipy")


class Uncachable(Exception):
    """Something whose value cannot be told from one process to the next."""


def _describe_code(code: python_types.CodeType) -> Iterator[str]:
    yield f"code {code.co_name} {code.co_code.hex()} {code.co_names} {code.co_varnames} {code.co_freevars}"
    for constant in code.co_consts:
        if isinstance(constant, python_types.CodeType):
            yield from _describe_code(constant)
        elif isinstance(constant, frozenset):
            yield f"set {sorted(map(repr, constant))}"
        else:
            yield f"constant {constant!r}"


def _all_names(code: python_types.CodeType) -> set[str]:
    nested = (c for c in code.co_consts if isinstance(c, python_types.CodeType))
    return set(code.co_names).union(*map(_all_names, nested))


def _describe_value(value: Any, names: set[str], seen: set[int], strict: bool) -> Iterator[str]:
    """Text that changes when ``value``, as compiled into a kernel, changes."""
    if isinstance(value, _PLAIN):
        yield f"{type(value).__name__} {value!r}"
    elif isinstance(value, (tuple, frozenset)):
        yield f"{type(value).__name__} {len(value)}"
        for item in value if isinstance(value, tuple) else sorted(value, key=repr):
            yield from _describe_value(item, names, seen, strict)
    elif isinstance(value, np.ndarray):
        yield f"array {value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
    elif isinstance(value, type):
        yield f"type {value.__module__}.{value.__qualname__} {getattr(value, '_fields', '')}"
    elif isinstance(value, python_types.ModuleType):
        yield f"module {value.__name__}"
        if value.__name__.split(".")[0] not in _FOREIGN:
            for name in sorted(names):
                if name in vars(value):
                    yield from _describe_value(vars(value)[name], set(), seen, strict=False)
    elif isinstance(getattr(value, "py_func", value), python_types.FunctionType):
        yield from describe_function(value, seen)
    elif isinstance(value, by_type):  # the package's sources stand for the kernels that it may choose
        yield from describe_function(value.function, seen)
    elif hasattr(value, "_defn"):  # a Numba intrinsic
        yield from describe_function(value._defn, seen)
    elif isinstance(value, numba.types.Type):
        yield f"type {value!r}"
    elif callable(value) and getattr(value, "__module__", None):
        yield f"callable {value.__module__}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    elif strict:
        raise Uncachable(repr(value))


def describe_function(function: Any, seen: set[int]) -> Iterator[str]:
    """Text that changes when a function, compiled or plain, or anything it reaches by name changes."""
    plain = getattr(function, "py_func", function)
    yield f"function {plain.__module__}.{plain.__qualname__}"
    root = plain.__module__.split(".")[0]
    if id(plain) in seen or root in _FOREIGN:
        return
    seen.add(id(plain))
    options = getattr(function, "targetoptions", {})
    for key, value in sorted(options.items()):
        yield f"option {key} {sorted(value) if isinstance(value, (set, frozenset)) else value!r}"
    if root == _PACKAGE and not plain.__closure__:
        yield f"sources {sources.digest()}"
        return
    yield from _describe_code(plain.__code__)
    for default in plain.__defaults__ or ():
        yield from _describe_value(default, set(), seen, strict=True)
    names = _all_names(plain.__code__)
    for name in sorted(names):
        if name in plain.__globals__:
            yield f"name {name}"
            yield from _describe_value(plain.__globals__[name], names, seen, strict=root != _PACKAGE)
    for cell in plain.__closure__ or ():
        try:
            content = cell.cell_contents
        except ValueError:
            raise Uncachable("a closure variable without a value") from None
        yield from _describe_value(content, names, seen, strict=True)


@functools.cache
def _kernels_beside(kind: type) -> str:
    """Describe the kernels in the module of a user's class: `compilation.by_class` may choose them."""
    module = sys.modules.get(kind.__module__)
    if module is None or module.__name__.split(".")[0] == _PACKAGE:
        return ""
    found = sorted((name, value) for name, value in vars(module).items() if hasattr(value, "py_func"))
    return " ".join(text for _, value in found for text in describe_function(value, set()))


def describe_type(kind: Any) -> str:
    """Text for a Numba type, with the field names that its own text leaves out for named tuples."""
    text = f"{kind!r} {kind}"
    if " at 0x" in text:  # a function as an argument: its address differs in every process
        raise Uncachable(text)
    if hasattr(kind, "fields"):
        text += f" {kind.fields} {_kernels_beside(kind.instance_class)}"
    for part in getattr(kind, "types", None) or ():
        text += " " + describe_type(part)
    return text
