"""A loss that is the caller's own function of outputs and targets, differentiated by autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twophase_min._errstate import users
from twophase_min.networks.elementwise import weigh

Array = NDArray[np.floating]


class CustomLoss:
    """The mean of ``function(z, t)`` over the samples, and over the outputs if it gives a value for each.

    Parameters
    ----------
    function : callable
        ``function(z, t)`` of last-layer values and targets, both of shape (N, M), written with
        `autograd.numpy`; returns a value for each sample, shape (N,), or for each output, shape (N, M). A
        row may depend on the same row of z only.
    """

    labels = False

    def __init__(self, function: Callable[[Array, Array], Any]) -> None:
        self.function = function

    def check(self, y: NDArray[Any]) -> None:
        """Accept every real target."""

    def value(self, z: Array, y: NDArray[Any], s: Array | None = None) -> float:
        """See `Loss.value`."""
        terms = self._checked(users(self.function, z, y), z)
        return float(np.sum(self._shares(terms.astype(np.float64), s)))

    def value_and_delta(self, z: Array, y: NDArray[Any], s: Array | None = None) -> tuple[float, Array]:
        """See `Loss.value_and_delta`."""
        pull_back, terms = _vector_jacobian(self.function, z, y)
        terms = self._checked(terms, z)
        value = float(np.sum(self._shares(terms.astype(np.float64), s)))
        return value, np.asarray(users(pull_back, self._shares(np.ones_like(terms), s)), dtype=z.dtype)

    def delta_and_curvature(
        self, z: Array, rz: Array, y: NDArray[Any], s: Array | None = None
    ) -> tuple[Array, Array]:
        """See `Loss.delta_and_curvature`: the gradient of the slope along ``rz``."""
        from autograd import grad

        shape = self._checked(users(self.function, z, y), z).shape
        shares = self._shares(np.ones(shape, dtype=z.dtype), s)

        def slope(z: Any) -> Any:
            return (grad(lambda z: (self.function(z, y) * shares).sum())(z) * rz).sum()

        _, delta = self.value_and_delta(z, y, s)
        try:
            curvature = np.asarray(users(grad(slope), z), dtype=z.dtype)
        except Exception as error:
            raise _untraceable(error) from error
        return delta, curvature

    @staticmethod
    def _checked(terms: Any, z: Array) -> Array:
        values: Array = np.asarray(terms)
        if values.shape not in ((z.shape[0],), z.shape):
            raise ValueError(
                f"a loss function must return one value for each sample, shape ({z.shape[0]},), or for each "
                f"output, shape {z.shape}, got {values.shape}"
            )
        return values

    @staticmethod
    def _shares(terms: Array, s: Array | None) -> Array:
        """Turn terms into their shares of the weighted mean, in place."""
        terms /= terms.size
        weigh(terms[:, None] if terms.ndim == 1 else terms, s)
        return terms


def _vector_jacobian(function: Callable[..., Any], z: Array, y: Array) -> tuple[Callable[..., Any], Any]:
    from autograd import make_vjp

    try:
        both: tuple[Callable[..., Any], Any] = users(make_vjp(lambda z: function(z, y)), z)
    except Exception as error:
        users(function, z, y)  # where the function itself fails, that is the error to see
        raise _untraceable(error) from error
    return both


def _untraceable(error: Exception) -> TypeError:
    return TypeError(
        f"autograd cannot differentiate the loss function ({type(error).__name__}: {error}); write it with "
        "autograd.numpy instead of numpy, or pass an object with the methods of networks.losses.Loss"
    )
