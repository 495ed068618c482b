"""A loss as a function of one flat NumPy vector, whatever its parameters are: what both adaptors share."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twophase_min._caller import caller
from twophase_min.objective.foreign import library

Array = NDArray[np.floating]
Pairs = list[tuple[str, Any]]


class Adapted(NamedTuple):
    """A loss of JAX or PyTorch as a function of a flat vector.

    Attributes
    ----------
    fun : callable
        ``fun(x, *args) -> (value, gradient)``: x of shape (n,); the value a float; the gradient a new ndarray
        of shape (n,), of the dtype of x0. An x of another dtype is converted to it.
    x0 : ndarray, shape (n,)
        The parameters given, one after the other, each in C order; float64 or float32.
    unflatten : callable
        ``unflatten(x)`` gives parameters of the same structure, shapes and types as those given: a new
        object. ``unflatten.flatten(parameters)`` is its inverse.
    """

    fun: Fused
    x0: Array
    unflatten: Unflatten

    def __repr__(self) -> str:
        return f"Adapted({self.fun!r})"


class Fused:
    """Value and gradient of a flat vector from one call.

    Parameters
    ----------
    evaluate : callable
        ``evaluate(x, args) -> (value, gradient)``.
    x0 : ndarray, shape (n,)
        Of which size and dtype are kept.
    args : tuple
        Further arguments, where a call gives none.
    source : str
        What it comes from, for its text.
    """

    def __init__(
        self,
        evaluate: Callable[[Array, tuple[Any, ...]], tuple[float, Array]],
        x0: Array,
        args: Any,
        source: str,
    ):
        self._evaluate, self._args = evaluate, args if isinstance(args, tuple) else (args,)
        self.n, self.dtype, self.source = x0.size, x0.dtype, source

    def __call__(self, x: Any, *args: Any) -> tuple[float, Array]:
        """Value and gradient at x, shape (n,); other args take the place of those given before."""
        return self._evaluate(_flat(x, self.n, self.dtype), args or self._args)

    value_and_gradient = __call__  # so that `minimize` knows it without jac=True, too

    def __repr__(self) -> str:
        return f"{self.n} variables in {self.dtype}, value and gradient from {self.source}"


class Leaf(NamedTuple):
    """One array of the parameters: its place, and how it is given back as it came."""

    name: str
    shape: tuple[int, ...]
    restore: Callable[[Array], Any]


class Unflatten:
    """Turns a flat vector into parameters as they were given, and back (`flatten`).

    Parameters
    ----------
    leaves : list of Leaf
        The arrays in order.
    dtype : numpy.dtype
        Of the flat vector.
    build : callable
        From the list of restored arrays to the parameters.
    take_apart : callable
        From parameters to a list of ``(name, array)`` in the order of the leaves.
    """

    def __init__(
        self,
        leaves: list[Leaf],
        dtype: np.dtype[Any],
        build: Callable[[list[Any]], Any],
        take_apart: Callable[[Any], Pairs],
    ):
        self._leaves, self.dtype = leaves, dtype
        self._build, self._take_apart = build, take_apart
        self._ends = np.cumsum([math.prod(leaf.shape) for leaf in leaves]).tolist()
        self.n = self._ends[-1]

    def pieces(self, x: Any) -> list[Any]:
        """Return views of a flat vector, of any library, in the shapes of the parameters."""
        begin, parts = 0, []
        for leaf, end in zip(self._leaves, self._ends, strict=True):
            parts.append(x[begin:end].reshape(leaf.shape))
            begin = end
        return parts

    def __call__(self, x: Any) -> Any:
        """Return the parameters whose flat vector is x, shape (n,)."""
        parts = self.pieces(_flat(x, self.n, self.dtype))
        return self._build([leaf.restore(part) for leaf, part in zip(self._leaves, parts, strict=True)])

    def flatten(self, parameters: Any) -> Array:
        """Return the flat vector, shape (n,), of parameters of the same structure.

        Raises
        ------
        ValueError, TypeError
            For another structure, shape or type.
        """
        given = dict(self._take_apart(parameters))
        names = [leaf.name for leaf in self._leaves]
        if given.keys() != set(names):
            raise ValueError(f"The parameters are {named(given)}; expected {named(names)}.")
        for name, shape, _ in self._leaves:
            if tuple(np.shape(given[name])) != shape:
                raise ValueError(f"x0{name} has shape {tuple(np.shape(given[name]))}, expected {shape}.")
        return self.joined([(name, given[name]) for name in names])

    def joined(self, pairs: Pairs) -> Array:
        """Return the flat vector of leaves in order."""
        common_type(pairs)
        numbers = [value.detach().cpu() if library(value) == "torch" else value for _, value in pairs]
        return np.concatenate([np.asarray(number, dtype=self.dtype).ravel() for number in numbers])


class Scalar:
    """The check that a loss is one real number, and no coarser than the parameters."""

    def __init__(self, dtype: np.dtype[Any], library: str):
        self.dtype, self.library = dtype, library
        self.told = False

    def __call__(self, value: Any) -> None:
        """Raise where it is not; warn, once, where it is coarser."""
        kind, shape = _kind(value), getattr(value, "shape", ())
        if isinstance(value, (tuple, list, dict)) or value is None:
            remedy = "; has_aux=True drops what follows the loss" if self.library == "jax" else ""
            raise TypeError(f"The loss is a {type(value).__name__}; return a scalar alone{remedy}.")
        if math.prod(shape) != 1:
            mean = "jnp.mean" if self.library == "jax" else "torch.mean"
            raise ValueError(f"The loss has shape {tuple(shape)}; return a scalar: take {mean} or the sum.")
        if kind.startswith(("complex", "int", "uint", "bool")):
            raise TypeError(f"The loss is {kind}; return a real floating-point number.")
        if kind in COARSER.get(self.dtype.name, ()) and not self.told:
            self.told = True
            warnings.warn(
                f"The loss is computed in {kind} although the parameters are {self.dtype}: look for a cast, "
                "or for the type of the data.",
                RuntimeWarning,
                stacklevel=caller(),
            )


COARSER = {"float64": ("float32", "float16", "bfloat16"), "float32": ("float16", "bfloat16")}
"""Types of fewer digits."""


def _kind(value: Any) -> str:
    """Name of the type of a number or array of any library."""
    dtype = getattr(value, "dtype", None)
    if dtype is None:
        return "float64" if isinstance(value, float) else type(value).__name__
    return str(dtype).removeprefix("torch.")


def common_type(leaves: Pairs) -> np.dtype[Any]:
    """Dtype of the flat vector: float64 if a leaf has it, else float32.

    Raises
    ------
    TypeError
        For a leaf of another type.
    ValueError
        For no leaves.
    """
    kinds = []
    for name, value in leaves:
        kind = _kind(value)
        if kind in ("float16", "bfloat16"):
            raise TypeError(f"x0{name} is {kind}: make it float32 or float64.")
        if kind.startswith("complex"):
            raise TypeError(f"x0{name} is {kind}: split it into its real and imaginary parts.")
        if kind.startswith(("int", "uint", "bool")):
            raise TypeError(
                f"x0{name} is {kind}, and an integer has no gradient: make it a float, or keep it out of x0."
            )
        if kind not in ("float32", "float64"):
            raise TypeError(
                f"x0{name} is a {kind}, not an array of float32 or float64: keep it out of x0, in fun itself."
            )
        kinds.append(kind)
    if not sum(math.prod(np.shape(value)) for _, value in leaves):
        raise ValueError("x0 has no numbers in it: nothing is left to minimise over.")
    return np.dtype("float64" if "float64" in kinds else "float32")


def restorer(value: Any) -> Callable[[Array], Any]:
    """Return what makes of an array a float, NumPy array or tensor like ``value``."""
    if library(value) == "torch":
        return lambda part: _tensor(part).to(device=value.device, dtype=value.dtype)
    if isinstance(value, np.ndarray):
        return lambda part: np.array(part, dtype=value.dtype)
    return type(value)


def _tensor(part: Array) -> Any:
    import torch

    return torch.tensor(part)


def _flat(x: Any, n: int, dtype: np.dtype[Any]) -> Array:
    vector = np.asarray(x, dtype=dtype)
    if vector.shape != (n,):
        raise ValueError(f"x has shape {vector.shape}, expected ({n},).")
    return vector


def named(names: Iterable[Any]) -> str:
    """Return the first eight names as a list in a sentence."""
    listed = list(names)
    return ", ".join(map(str, listed[:8])) + (", ..." if len(listed) > 8 else "")
