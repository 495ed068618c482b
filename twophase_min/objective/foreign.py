"""Functions and parameters of JAX and PyTorch where NumPy's are expected: recognised, and shown the way in.

They are recognised by the names of the modules of their types: neither library is imported here.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from traceback import walk_tb
from typing import Any

from twophase_min._caller import caller

MANY = 200
"""Variables from which on a gradient by differences that nobody asked for is warned of."""

_LIBRARIES = {"jax": "jax", "jaxlib": "jax", "equinox": "jax", "flax": "jax", "torch": "torch"}
_NAMES = {"jax": "JAX", "torch": "PyTorch"}
_WAY = "a = twophase_min.gradients.from_{0}(fun, x0), then minimize(a.fun, a.x0, jac=True)"
_ANY = (
    "for a function of JAX or PyTorch a = twophase_min.gradients.from_jax(fun, x0), or from_torch(fun, x0), "
    "then minimize(a.fun, a.x0, jac=True); for one of NumPy concatenate the arrays and take x apart in fun"
)


def library_of(kind: type) -> str:
    """Return 'jax' or 'torch' for a type of theirs or derived from one, else ''."""
    for base in kind.__mro__:
        found = _LIBRARIES.get(base.__module__.partition(".")[0])
        if found:
            return found
    return ""


def library(value: Any) -> str:
    """Return 'jax' or 'torch' for an array, function or module of theirs, else ''."""
    return library_of(type(value))


def library_within(tree: Any, depth: int = 4) -> str:
    """Return the library of the first array in a nest of dicts, lists and tuples; '' if it is none's."""
    if isinstance(tree, Mapping):
        tree = list(tree.values())
    if isinstance(tree, (list, tuple)):
        found = (library_within(part, depth - 1) for part in tree[:MANY] if depth)
        return next(filter(None, found), "")
    return library(tree)


def numbers(value: Any) -> Any:
    """Return a tensor as a NumPy array, wherever it is and whether it has a gradient; others as they are."""
    return value.detach().cpu().numpy() if library(value) == "torch" and hasattr(value, "detach") else value


def require_function(fun: Any) -> None:
    """Raise TypeError for what is no function of a vector: not callable, or a module of a library."""
    if not callable(fun):
        adapted = callable(getattr(fun, "fun", None))  # what from_jax and from_torch return
        remedy = ": hand over its parts, minimize(a.fun, a.x0, jac=True)" if adapted else ""
        raise TypeError(f"fun must be callable, got {type(fun).__name__}{remedy}.")
    if not any(base.__name__ == "Module" for base in type(fun).__mro__):
        return
    found = library(fun)
    if found == "torch":
        raise TypeError(
            "fun is a PyTorch module, not a function of a vector: a = twophase_min.gradients.from_torch("
            "module, loss=...), then minimize(a.fun, a.x0, jac=True)."
        )
    if found:
        raise TypeError(
            "fun is a module of JAX, not a function of a vector: write its loss as a function of its "
            f"parameters, {_WAY.format(found)}."
        )


def way_in(tree: Any) -> str:
    """Return the clause that says how to minimise over a start that is no vector."""
    found = library_within(tree)
    return _WAY.format(found) if found else _ANY


def blamed(error: Exception) -> str:
    """Return the library whose arrays the failed function needs where it was handed another; '' for none.

    The libraries name their arrays and ours. Where their code fails in Python's own words, it was called with
    our array, or ours lacks an attribute that theirs has.
    """
    text = str(error)
    if isinstance(error, TypeError) and any(word in text for word in (*_OURS, "differentiate w.r.t.")):
        found = "jax" if "JAX" in text else "torch" if "Tensor" in text else ""
        if found:
            return found
    if isinstance(error, AttributeError) and type(error.obj).__name__ in _OURS:
        for name, kind in (("torch", "Tensor"), ("jax", "Array")):
            if hasattr(getattr(sys.modules.get(name), kind, None), error.name or ""):
                return name
    if isinstance(error, (TypeError, AttributeError)):
        for frame, _ in walk_tb(error.__traceback__):
            found = _LIBRARIES.get(frame.f_globals.get("__name__", "").partition(".")[0], "")
            if found:
                given = any(type(value).__name__ in _OURS for value in frame.f_locals.values())
                return found if given else ""
    return ""


_OURS = ("ndarray", "ArrayBox")
"""Types of what a function is called with."""


def explained(error: Exception) -> TypeError | None:
    """Return the error to raise for a function that needs a library's arrays; None for others."""
    found = blamed(error)
    if not found:
        return None
    cause = str(error).partition(". ")[0]
    return TypeError(
        f"fun is a function of {_NAMES[found]} and was handed a NumPy array ({cause}): {_WAY.format(found)}."
    )


@contextmanager
def explaining(objective: Any) -> Iterator[None]:
    """Raise what `explained` says in place of an exception of the function that ``objective.error`` holds."""
    try:
        yield
    except Exception as error:
        told = explained(error) if error is objective.error else None
        if told is None:
            raise
        objective.error = None
        raise told from error


def of_traced(error: Exception) -> str:
    """Return the clause to add where autograd could not trace a function of a library; '' for others."""
    found = blamed(error)
    return f"; for {_NAMES[found]}: {_WAY.format(found)}" if found else ""


def costly(kind: type, n: int, why: str) -> str:
    """Return the warning for a gradient that falls back on differences; '' where it need not be said.

    Parameters
    ----------
    kind : type
        Of what fun returns.
    n : int
        Variables.
    why : str
        Why there is no other gradient.
    """
    found = library_of(kind)
    values = f"each gradient by differences takes n = {n} values of fun"
    if found:
        return (
            f"fun returns a value of {_NAMES[found]}, and {values}, and loses digits: hand over its own "
            f"gradient, {_WAY.format(found)}."
        )
    if n < MANY:
        return ""
    return (
        f"{values[0].upper()}{values[1:]}, because {why}: write fun with autograd.numpy, or pass the "
        "gradient (jac=<callable>, or jac=True with the value); jac='2-point' asks for differences."
    )


def warn_of_differences(objective: Any, x0: Any, why: str) -> None:
    """Evaluate an `Objective` at x0, and warn where differences nobody asked for are the wrong choice."""
    with explaining(objective):
        objective.value(x0)
    text = costly(objective._returned, objective.n, why)
    if text:
        warnings.warn(text, RuntimeWarning, stacklevel=caller())
