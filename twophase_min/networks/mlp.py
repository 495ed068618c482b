"""The multilayer perceptron over one flat parameter vector, with hand-derived derivatives."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from twophase_min.finite_sum import FiniteSum
from twophase_min.networks import backprop
from twophase_min.networks.activations import ACTIVATIONS
from twophase_min.networks.backprop import Array, Layers
from twophase_min.networks.init import glorot_uniform, he_normal
from twophase_min.networks.losses import LOSSES, softmax_in_place, sum_of_squares
from twophase_min.networks.targets import as_targets


class MLP:
    """A fully connected feed-forward network: a_l = σ(a_{l-1} W_l + b_l), the last layer without σ.

    The loss is the mean over samples of the data term plus an L2 term on the weights, not the biases:

    - ``'mse'``: 1/(N M) Σ_i Σ_k (p_ik - t_ik)², per sample and output, as the paper counts it;
    - ``'cross_entropy'``: -1/N Σ_i Σ_k t_ik log softmax(z_i)_k;
    - plus l2/2 Σ_l ‖W_l‖². The term does not depend on N: a mini-batch sees the same term as the whole data.

    An MLP holds no parameters and no buffers: it may be shared between threads and pickled.

    Parameters
    ----------
    sizes : sequence of int
        Units per layer from input to output, at least two: ``[784, 32, 10]``.
    activation : {'tanh', 'relu', 'gelu', 'logistic'}, default 'tanh'
        Of every hidden layer. ``'gelu'`` is the exact one; relu's derivative at its kink is 0.
    loss : {'mse', 'cross_entropy'}, default 'mse'
        See above.
    output : {'softmax', 'identity'}, optional
        The output function p(z). Default: softmax for cross-entropy, identity for mean squared error (the
        paper's runs are mse with softmax). Cross-entropy with ``'identity'`` is the same loss, but
        `predict` returns the logits.
    l2 : float, default 0.0
        Weight of the L2 term, finite and >= 0.
    dtype : {float64, float32}, default float64
        Of all computation and of the gradient; whatever is handed in is converted. Losses are accumulated
        in float64 and returned as Python floats in both.

    Attributes
    ----------
    n_params : int
        Length of the flat vector: W_1 row by row with shape (sizes[0], sizes[1]), b_1, W_2, b_2, ...

    Raises
    ------
    ValueError
        Unknown names, too few or non-positive sizes, softmax over a single output, a bad ``l2`` or ``dtype``.

    Notes
    -----
    Non-finite results (from non-finite or huge parameters) are returned as inf or NaN without a warning:
    a line search expects them. Finite logits, however large, give a finite cross-entropy.

    ``X`` is (N, sizes[0]) throughout. ``Y`` is (N, M) targets, (N,) integer class labels, or (N,) targets if
    M is 1. Rows that are exactly one-hot are handled as labels: the same loss, faster and more accurate.

    Source of the Hessian-vector product: Pearlmutter, Neural Computation 6 (1994) 147-160.

    Examples
    --------
    >>> import numpy as np
    >>> from twophase_min.networks import MLP
    >>> net = MLP([2, 8, 2], loss="cross_entropy")
    >>> X, y = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), np.array([0, 1, 1, 0])
    >>> w = net.init(0)
    >>> value, gradient = net.loss_and_gradient(w, X, y)
    >>> gradient.shape == (net.n_params,)
    True
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str = "tanh",
        loss: str = "mse",
        output: str | None = None,
        l2: float = 0.0,
        dtype: DTypeLike = np.float64,
    ) -> None:
        self.sizes = tuple(operator.index(size) for size in sizes)
        if len(self.sizes) < 2 or min(self.sizes) < 1:
            raise ValueError(f"sizes must be at least two positive integers, got {list(sizes)!r}")
        _check_name("activation", activation, ACTIVATIONS)
        _check_name("loss", loss, {name for name, _ in LOSSES})
        if output is None:
            output = "softmax" if loss == "cross_entropy" else "identity"
        _check_name("output", output, {name for _, name in LOSSES})
        if self.sizes[-1] < 2 and (output == "softmax" or loss == "cross_entropy"):
            raise ValueError("softmax and cross-entropy need at least two outputs; one is always certain")
        self.activation, self.loss_name, self.output = activation, loss, output
        self.l2 = float(l2)
        if not (math.isfinite(self.l2) and self.l2 >= 0):
            raise ValueError(f"l2 must be finite and >= 0, got {l2!r}")
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.dtype(np.float64), np.dtype(np.float32)):
            raise ValueError(f"dtype must be float64 or float32, got {self.dtype}")

        self._activation, self._data_term = ACTIVATIONS[activation], LOSSES[loss, output]
        self._slices: list[tuple[slice, tuple[int, int], slice]] = []
        start = 0
        for n_in, n_out in pairwise(self.sizes):
            middle, end = start + n_in * n_out, start + (n_in + 1) * n_out
            self._slices.append((slice(start, middle), (n_in, n_out), slice(middle, end)))
            start = end
        self.n_params = start

    def __repr__(self) -> str:
        return (
            f"MLP({list(self.sizes)}, activation={self.activation!r}, loss={self.loss_name!r}, "
            f"output={self.output!r}, l2={self.l2!r}, dtype={self.dtype.name!r})"
        )

    # -- parameters ---------------------------------------------------------------------------------------

    def init(self, seed: int | np.random.Generator = 0) -> Array:
        """Draw parameters, shape (n_params,): He for relu and gelu, Glorot for the rest, biases zero.

        Parameters
        ----------
        seed : int or numpy.random.Generator, default 0
            The same seed gives the same vector; float32 is the float64 vector rounded.

        Returns
        -------
        ndarray
            A new vector of the network's dtype.
        """
        rng = np.random.default_rng(seed)
        w = np.zeros(self.n_params, dtype=self.dtype)
        last = len(self._slices) - 1
        gain = self._activation.gain
        for i, (W, _) in enumerate(self.unpack(w)):
            n_in, n_out = W.shape
            if i == last:
                W[:] = glorot_uniform(rng, n_in, n_out)
            elif self.activation in ("relu", "gelu"):
                W[:] = he_normal(rng, n_in, n_out, gain)
            else:
                W[:] = glorot_uniform(rng, n_in, n_out, gain)
        return w

    def unpack(self, w: Array) -> Layers:
        """Return the layers of a flat vector as views of it: writing to them writes to ``w``.

        Parameters
        ----------
        w : ndarray, shape (n_params,)
            C-contiguous (a copy would not be a view), of any dtype.

        Returns
        -------
        list of (W, b)
            Shapes (n_in, n_out) and (n_out,), one pair per layer.

        Raises
        ------
        ValueError
            ``w`` has another shape or is not contiguous.
        """
        if not isinstance(w, np.ndarray) or w.shape != (self.n_params,) or not w.flags.c_contiguous:
            raise ValueError(
                f"w must be a contiguous array of shape ({self.n_params},), got shape {np.shape(w)}"
            )
        return [(w[weights].reshape(shape), w[biases]) for weights, shape, biases in self._slices]

    def pack(self, layers: Iterable[tuple[ArrayLike, ArrayLike]]) -> Array:
        """Return the flat vector of the given layers; the inverse of `unpack`.

        Parameters
        ----------
        layers : iterable of (W, b)
            One pair per layer with the shapes that `unpack` gives.

        Returns
        -------
        ndarray, shape (n_params,)
            A new vector of the network's dtype.

        Raises
        ------
        ValueError
            A wrong number of layers or a wrong shape.
        """
        w = np.empty(self.n_params, dtype=self.dtype)
        given = list(layers)
        if len(given) != len(self._slices):
            raise ValueError(f"expected {len(self._slices)} layers, got {len(given)}")
        for i, ((W, b), (W_in, b_in)) in enumerate(zip(self.unpack(w), given, strict=True)):
            if np.shape(W_in) != W.shape or np.shape(b_in) != b.shape:
                raise ValueError(
                    f"layer {i} must have shapes {W.shape} and {b.shape}, "
                    f"got {np.shape(W_in)} and {np.shape(b_in)}"
                )
            W[:], b[:] = W_in, b_in
        return w

    # -- outputs ------------------------------------------------------------------------------------------

    def forward(self, w: ArrayLike, X: ArrayLike) -> Array:
        """Return the last layer before the output function, shape (N, M): the logits of a classifier."""
        layers, X = self._layers(w), self._inputs(X)
        with np.errstate(all="ignore"):
            return backprop.forward(layers, self._activation, X)

    def predict(self, w: ArrayLike, X: ArrayLike) -> Array:
        """Return the outputs of the network, shape (N, M): probabilities if ``output`` is softmax."""
        z = self.forward(w, X)
        with np.errstate(all="ignore"):
            return softmax_in_place(z) if self.output == "softmax" else z

    def predict_classes(self, w: ArrayLike, X: ArrayLike) -> NDArray[np.intp]:
        """Return the class with the largest output of each sample, shape (N,)."""
        return self.forward(w, X).argmax(axis=1)

    # -- loss ---------------------------------------------------------------------------------------------

    def loss(self, w: ArrayLike, X: ArrayLike, Y: ArrayLike) -> float:
        """Return the loss alone, at a third to a half of the cost of `loss_and_gradient`.

        Parameters
        ----------
        w : array_like, shape (n_params,)
        X : array_like, shape (N, sizes[0])
        Y : array_like
            See the notes of the class.

        Raises
        ------
        ValueError
            A wrong shape, N = 0, labels that are not integers or lie outside 0..M-1.
        """
        return self._loss(w, *self._data(X, Y))

    def loss_and_gradient(self, w: ArrayLike, X: ArrayLike, Y: ArrayLike) -> tuple[float, Array]:
        """Return the loss and its gradient, by backpropagation.

        Parameters
        ----------
        w : array_like, shape (n_params,)
        X : array_like, shape (N, sizes[0])
        Y : array_like
            See the notes of the class.

        Returns
        -------
        value : float
        gradient : ndarray, shape (n_params,)
            A new array of the network's dtype.

        Raises
        ------
        ValueError
            As `loss`.
        """
        return self._loss_and_gradient(w, *self._data(X, Y))

    def hessp(self, w: ArrayLike, v: ArrayLike, X: ArrayLike, Y: ArrayLike) -> Array:
        """Return the Hessian of the loss at ``w`` times ``v``, exactly, at the cost of about two gradients.

        Parameters
        ----------
        w, v : array_like, shape (n_params,)
        X : array_like, shape (N, sizes[0])
        Y : array_like
            See the notes of the class.

        Returns
        -------
        ndarray, shape (n_params,)
            A new array of the network's dtype. With relu it is the Hessian of the smooth piece around ``w``.

        Raises
        ------
        ValueError
            As `loss`.
        """
        return self._hessp(w, v, *self._data(X, Y))

    # -- objectives ---------------------------------------------------------------------------------------

    def objective(self, X: ArrayLike, Y: ArrayLike) -> MLPObjective:
        """Return the loss over the whole of the data as a function of ``w`` alone.

        Data are checked and converted once, here.

        Raises
        ------
        ValueError
            As `loss`, or non-finite values in ``X`` or ``Y``.
        """
        return MLPObjective(self, *self._checked_data(X, Y))

    def finite_sum(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        batch_size: int = 512,
        seed: int = 0,
        chunk_size: int | None = None,
    ) -> FiniteSum:
        """Return the loss as a mean over samples: seeded mini-batches, and all data in bounded chunks.

        Parameters
        ----------
        X, Y : array_like
            See the notes of the class.
        batch_size, seed, chunk_size
            See `FiniteSum`.

        Raises
        ------
        ValueError
            As `objective` and `FiniteSum`.
        """
        return FiniteSum(
            self._loss_and_gradient,
            self._checked_data(X, Y),
            jac=True,
            value=self._loss,
            hessp=self._hessp,
            batch_size=batch_size,
            chunk_size=chunk_size,
            seed=seed,
        )

    # -- the computation; X and Y have been through _data ---------------------------------------------------

    def _loss(self, w: ArrayLike, X: Array, Y: NDArray) -> float:
        layers = self._layers(w)
        with np.errstate(all="ignore"):
            z = backprop.forward(layers, self._activation, X)
            return self._data_term.value(z, Y) + self._penalty(layers)

    def _loss_and_gradient(self, w: ArrayLike, X: Array, Y: NDArray) -> tuple[float, Array]:
        layers = self._layers(w)
        gradient = np.empty(self.n_params, dtype=self.dtype)
        slots = self.unpack(gradient)
        with np.errstate(all="ignore"):
            value = backprop.gradient_into(slots, layers, self._activation, self._data_term, X, Y)
            if self.l2:
                value += self._penalty(layers)
                for (out_W, _), (W, _) in zip(slots, layers, strict=True):
                    out_W += self.l2 * W
        return value, gradient

    def _hessp(self, w: ArrayLike, v: ArrayLike, X: Array, Y: NDArray) -> Array:
        layers, directions = self._layers(w), self._layers(v, "v")
        product = np.empty(self.n_params, dtype=self.dtype)
        slots = self.unpack(product)
        with np.errstate(all="ignore"):
            backprop.hessp_into(slots, layers, directions, self._activation, self._data_term, X, Y)
            if self.l2:
                for (out_W, _), (V, _) in zip(slots, directions, strict=True):
                    out_W += self.l2 * V
        return product

    def _penalty(self, layers: Layers) -> float:
        """Return the L2 term l2/2 Σ ‖W‖²."""
        return 0.5 * self.l2 * sum(sum_of_squares(W) for W, _ in layers) if self.l2 else 0.0

    # -- input checks -------------------------------------------------------------------------------------

    def _layers(self, w: ArrayLike, name: str = "w") -> Layers:
        w = np.ascontiguousarray(w, dtype=self.dtype)
        if w.shape != (self.n_params,):
            raise ValueError(f"{name} must have shape ({self.n_params},), got {w.shape}")
        return self.unpack(w)

    def _inputs(self, X: ArrayLike) -> Array:
        X = np.asarray(X, dtype=self.dtype)
        if X.ndim != 2 or X.shape[1] != self.sizes[0]:
            raise ValueError(f"X must have shape (N, {self.sizes[0]}), got {X.shape}")
        return X

    def _data(self, X: ArrayLike, Y: ArrayLike) -> tuple[Array, NDArray]:
        X = self._inputs(X)
        if X.shape[0] == 0:
            raise ValueError("X holds no samples")
        return X, as_targets(Y, X.shape[0], self.sizes[-1], self.dtype)

    def _checked_data(self, X: ArrayLike, Y: ArrayLike) -> tuple[Array, NDArray]:
        X, Y = self._data(X, Y)
        for name, array in (("X", X), ("Y", Y)):
            if not np.isfinite(array).all():
                raise ValueError(f"{name} holds NaN or infinite values")
        return X, Y


class MLPObjective:
    """The loss of a network over fixed data; made by `MLP.objective`.

    Calling it gives ``(loss, gradient)``, the form of ``jac=True`` in `minimize` and in SciPy. Every method
    takes ``w`` of shape (n_params,); gradients and products are new arrays of the network's dtype.

    Attributes
    ----------
    net : MLP
    X, Y : ndarray
        The converted data (labels instead of exactly one-hot rows).
    n_params, n_samples : int
    """

    def __init__(self, net: MLP, X: Array, Y: NDArray) -> None:
        self.net, self.X, self.Y = net, X, Y
        self.n_params, self.n_samples = net.n_params, X.shape[0]

    def __repr__(self) -> str:
        return f"MLPObjective({self.net!r}, {self.n_samples} samples)"

    def __call__(self, w: ArrayLike) -> tuple[float, Array]:
        """Return loss and gradient."""
        return self.net._loss_and_gradient(w, self.X, self.Y)

    def value(self, w: ArrayLike) -> float:
        """Return the loss alone, at a third to a half of the cost of both."""
        return self.net._loss(w, self.X, self.Y)

    def gradient(self, w: ArrayLike) -> Array:
        """Return the gradient alone, at the cost of both."""
        return self(w)[1]

    def value_and_gradient(self, w: ArrayLike) -> tuple[float, Array]:
        """Return loss and gradient, as calling the object."""
        return self(w)

    def hessp(self, w: ArrayLike, v: ArrayLike) -> Array:
        """Return the Hessian at ``w`` times ``v``."""
        return self.net._hessp(w, v, self.X, self.Y)


def _check_name(what: str, name: Any, known: Iterable[str]) -> None:
    names = sorted(known)
    if name not in names:
        raise ValueError(f"unknown {what} {name!r}; choose one of {', '.join(names)}")
