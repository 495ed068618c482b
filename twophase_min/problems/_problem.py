"""What a test problem is, and what its definitions share."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

MGH = "Moré, Garbow & Hillstrom (1981), Testing unconstrained optimization software, ACM TOMS 7(1), 17-41"


def _frozen(value: ArrayLike, ndim: int) -> Array:
    array = np.array(value, dtype=np.float64, ndmin=ndim)
    if array.ndim != ndim:
        raise ValueError(f"expected an array of {ndim} dimension(s), got shape {array.shape}")
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False, repr=False)
class Problem:
    """A smooth unconstrained test problem and what is known about its minimum.

    Parameters
    ----------
    name : str
        The factory with its parameters, enough to build the problem again.
    fun : callable
        ``fun(x) -> float`` for ``x`` of shape (n,). The problems of this module take a keyword ``xp``, the
        module with the array functions; see :meth:`traceable`.
    grad : callable
        ``grad(x) -> ndarray`` of shape (n,), hand-derived.
    x0 : array_like, shape (n,)
        The start point; kept as a read-only float64 copy.
    x_min : array_like, shape (n,), optional
        A global minimiser. None: not known, or there is none.
    f_min : float, optional
        The value at the global minimum. None: not known, or there is none.
    source : str
        Where the problem was published, or that it is this package's own.
    hess : callable, optional
        ``hess(x) -> ndarray`` of shape (n, n).
    hessp : callable, optional
        ``hessp(x, v) -> ndarray`` of shape (n,), the Hessian times a vector, for problems too large for
        ``hess``.
    more_minima : array_like, shape (k, n), optional
        Further known global minimisers beside ``x_min``.
    convex : bool, default: False
        Whether the function is known to be convex everywhere.
    unimodal : bool, default: False
        Whether ``x_min`` is known to be the only stationary point, so that a local method that converges
        at all converges to it. False says that it is not so or not known.
    """

    name: str
    fun: Callable[..., Any]
    grad: Callable[..., Array]
    x0: Array
    x_min: Array | None = None
    f_min: float | None = None
    source: str = ""
    hess: Callable[..., Array] | None = None
    hessp: Callable[..., Array] | None = None
    more_minima: Array | None = None
    convex: bool = False
    unimodal: bool = False

    def __post_init__(self) -> None:
        # Read-only copies: a minimiser that writes into what it is handed must not change the problem.
        object.__setattr__(self, "x0", _frozen(self.x0, 1))
        if self.x_min is not None:
            object.__setattr__(self, "x_min", _frozen(self.x_min, 1))
            if np.shape(self.x_min) != self.x0.shape:
                raise ValueError(f"x_min has shape {np.shape(self.x_min)}, x0 {self.x0.shape}")
        if self.more_minima is not None:
            object.__setattr__(self, "more_minima", _frozen(self.more_minima, 2))
            if np.shape(self.more_minima)[1:] != self.x0.shape:
                raise ValueError(f"more_minima has shape {np.shape(self.more_minima)}, x0 {self.x0.shape}")

    def __repr__(self) -> str:
        return f"<Problem {self.name}, {self.n} variable{'s' if self.n != 1 else ''}>"

    @property
    def n(self) -> int:
        """Number of variables."""
        return self.x0.size

    @property
    def minimizers(self) -> Array:
        """All known global minimisers, shape (k, n); k is 0 where none is known."""
        rows = [] if self.x_min is None else [self.x_min[None, :]]
        if self.more_minima is not None:
            rows.append(self.more_minima)
        return np.concatenate(rows) if rows else np.empty((0, self.n))

    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        """Value and gradient together: the objective for ``minimize(..., jac=True)``.

        Parameters
        ----------
        x : ndarray, shape (n,)
            The point.

        Returns
        -------
        tuple of float and ndarray, shape (n,)
        """
        return float(self.fun(x)), self.grad(x)

    def traceable(self) -> Callable[[Any], Any]:
        """Return the function written over ``autograd.numpy``, which autograd can differentiate.

        Returns
        -------
        callable
            ``f(x) -> float`` for ``x`` of shape (n,).

        Raises
        ------
        TypeError
            If ``fun`` takes no ``xp`` (a problem from elsewhere).
        ImportError
            If autograd is not installed.
        """
        if "xp" not in inspect.signature(self.fun).parameters:
            raise TypeError(
                f"{self.name}: fun has no parameter xp, so its array functions cannot be exchanged"
            )
        import autograd.numpy as anp

        return partial(self.fun, xp=anp)


def check_n(n: int, least: int, multiple: int = 1) -> int:
    if n < least or n % multiple:
        rule = f"at least {least}" + (f" and a multiple of {multiple}" if multiple > 1 else "")
        raise ValueError(f"n must be {rule}, got {n}")
    return int(n)


def alternating(n: int, odd: float, even: float) -> Array:
    return np.where(np.arange(n) % 2 == 0, odd, even)
