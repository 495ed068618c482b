"""The loss of a network over fixed data, as a function of its parameters alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from twophase_min.networks.mlp import MLP

Array = NDArray[np.floating]


class MLPObjective:
    """The loss of a network over fixed data; made by `MLP.objective`.

    Calling it gives ``(loss, gradient)``, the form of ``jac=True`` in `minimize` and in SciPy. Every method
    takes ``w`` of shape (n_params,); gradients and products are new arrays of the network's dtype.

    Attributes
    ----------
    net : MLP
    X, Y : ndarray
        The converted data (labels instead of exactly one-hot rows, where the loss takes labels).
    sample_weight : ndarray or None
        Weights of the samples, with mean 1.
    n_params, n_samples : int
    """

    def __init__(self, net: MLP, X: Array, Y: NDArray[Any], sample_weight: Array | None = None) -> None:
        self.net, self.X, self.Y, self.sample_weight = net, X, Y, sample_weight
        self.n_params, self.n_samples = net.n_params, X.shape[0]

    def __repr__(self) -> str:
        return f"MLPObjective({self.net!r}, {self.n_samples} samples)"

    def __call__(self, w: ArrayLike) -> tuple[float, Array]:
        """Return loss and gradient."""
        return self.net._loss_and_gradient(w, self.X, self.Y, self.sample_weight)

    def value(self, w: ArrayLike) -> float:
        """Return the loss alone, at a third to a half of the cost of both."""
        return self.net._loss(w, self.X, self.Y, self.sample_weight)

    def gradient(self, w: ArrayLike) -> Array:
        """Return the gradient alone, at the cost of both."""
        return self(w)[1]

    def value_and_gradient(self, w: ArrayLike) -> tuple[float, Array]:
        """Return loss and gradient, as calling the object."""
        return self(w)

    def hessp(self, w: ArrayLike, v: ArrayLike) -> Array:
        """Return the Hessian at ``w`` times ``v``."""
        return self.net._hessp(w, v, self.X, self.Y, self.sample_weight)

    def gauss_newtonp(self, w: ArrayLike, v: ArrayLike) -> Array:
        """Return the Gauss-Newton matrix at ``w`` times ``v``, see `MLP.gauss_newtonp`."""
        return self.net._gauss_newtonp(w, v, self.X, self.Y, self.sample_weight)
