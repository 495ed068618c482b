"""The multilayer perceptron over one flat parameter vector, with hand-derived derivatives."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from scipy.sparse import issparse

from twophase_min._errstate import our_arithmetic
from twophase_min.finite_sum import BATCH, FiniteSum
from twophase_min.networks import backprop, evaluation
from twophase_min.networks.activations import ACTIVATIONS
from twophase_min.networks.backprop import Array, Layers
from twophase_min.networks.init import glorot_uniform, he_normal
from twophase_min.networks.losses import OUTPUTS, CrossEntropy, Loss, find_loss
from twophase_min.networks.objective import MLPObjective
from twophase_min.networks.targets import as_targets, as_weights


class MLP:
    """A fully connected feed-forward network: a_l = σ(a_{l-1} W_l + b_l), the last layer without σ.

    The loss is the mean over samples of the data term plus an L2 term on the weights, not the biases:

    - ``'mse'``: 1/(N M) Σ_i Σ_k (p_ik - t_ik)², per sample and output, as the paper counts it;
    - ``'half_mse'``: half of that, as scikit-learn counts it;
    - ``'mae'``, ``'huber'``, ``'quantile'``, ``'poisson'``: means over samples and outputs, see
      `networks.elementwise`;
    - ``'cross_entropy'``: -1/N Σ_i Σ_k t_ik log softmax(z_i)_k, for one class out of M;
    - ``'sigmoid_cross_entropy'``: -1/N Σ_i Σ_k t_ik log p_ik + (1 - t_ik) log(1 - p_ik), for M labels;
    - plus l2/2 Σ_l ‖W_l‖². The term does not depend on N: a mini-batch sees the same term as the whole data.

    An MLP holds no parameters and no buffers: it may be shared between threads and pickled. Large evaluations
    are cut into blocks of rows over the threads of the kernels (`networks.blocks`), unless the loss is code
    of the caller's or X is sparse.

    Parameters
    ----------
    sizes : sequence of int
        Units per layer from input to output, at least two: ``[784, 32, 10]``.
    activation : {'tanh', 'relu', 'gelu', 'logistic', 'identity'}, default 'tanh'
        Of every hidden layer. ``'gelu'`` is the exact one; relu's derivative at its kink is 0.
    loss : str, Loss or callable, default 'mse'
        A name from above. An object with the methods of `networks.losses.Loss`, such as
        ``networks.Huber(delta=2.0)`` or ``networks.Quantile(0.9)``. Or a function of last-layer values and
        targets that autograd differentiates, see `networks.custom.CustomLoss`.
    output : {'softmax', 'logistic', 'exp', 'identity'}, optional
        The output function p(z). Default: softmax and logistic for the cross-entropies, exp for 'poisson',
        else identity (the paper's runs are mse with softmax). A loss with one of these inside is the same
        with ``'identity'``, but `predict` returns the logits.
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
        Unknown names, an output that does not go with the loss, too few or non-positive sizes, softmax over
        a single output, a bad ``l2`` or ``dtype``.

    Notes
    -----
    Non-finite results (from non-finite or huge parameters) are returned as inf or NaN without a warning:
    a line search expects them. Finite logits, however large, give a finite cross-entropy.

    ``X`` is (N, sizes[0]) throughout, an array or a sparse matrix of SciPy, which is kept sparse. ``Y`` is
    (N, M) targets, (N,) integer class labels, or (N,) targets if M is 1. Rows that are exactly one-hot are
    handled as labels where the loss takes these: the same loss, faster and more accurate. With
    ``sample_weight``, shape (N,), the data term is the weighted mean over the samples: an integer weight
    counts as so many copies of the sample, and the weights' unit is free.

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
        loss: str | Loss | Callable[..., Any] = "mse",
        output: str | None = None,
        l2: float = 0.0,
        dtype: DTypeLike = np.float64,
    ) -> None:
        self.sizes = tuple(operator.index(size) for size in sizes)
        if len(self.sizes) < 2 or min(self.sizes) < 1:
            raise ValueError(f"sizes must be at least two positive integers, got {list(sizes)!r}")
        _check_name("activation", activation, ACTIVATIONS)
        self.loss_name, self.output, self._data_term = find_loss(loss, output)
        certain = self.output == "softmax" or isinstance(self._data_term, CrossEntropy)
        if self.sizes[-1] < 2 and certain:
            raise ValueError("softmax and cross-entropy need at least two outputs; one is always certain")
        self.activation = activation
        self.l2 = float(l2)
        if not (math.isfinite(self.l2) and self.l2 >= 0):
            raise ValueError(f"l2 must be finite and >= 0, got {l2!r}")
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.dtype(np.float64), np.dtype(np.float32)):
            raise ValueError(f"dtype must be float64 or float32, got {self.dtype}")

        self._activation = ACTIVATIONS[activation]
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
        with our_arithmetic():
            return backprop.forward(layers, self._activation, X)

    def predict(self, w: ArrayLike, X: ArrayLike) -> Array:
        """Return the outputs of the network, shape (N, M): p(z), such as probabilities."""
        z = self.forward(w, X)
        with our_arithmetic():
            return OUTPUTS[self.output](z)

    def predict_classes(self, w: ArrayLike, X: ArrayLike) -> NDArray[np.intp]:
        """Return the class with the largest output of each sample, shape (N,)."""
        classes: NDArray[np.intp] = self.forward(w, X).argmax(axis=1)
        return classes

    # -- loss ---------------------------------------------------------------------------------------------

    def loss(self, w: ArrayLike, X: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the loss alone, at a third to a half of the cost of `loss_and_gradient`.

        Parameters
        ----------
        w : array_like, shape (n_params,)
        X : array_like, shape (N, sizes[0])
        Y, sample_weight : array_like
            See the notes of the class.

        Raises
        ------
        ValueError
            A wrong shape, N = 0, labels that are not integers or lie outside 0..M-1, targets that the loss is
            not made for, weights that are negative or all 0.
        """
        return self._loss(w, *self._data(X, Y, sample_weight))

    def loss_and_gradient(
        self, w: ArrayLike, X: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[float, Array]:
        """Return the loss and its gradient, by backpropagation.

        Parameters
        ----------
        w : array_like, shape (n_params,)
        X : array_like, shape (N, sizes[0])
        Y, sample_weight : array_like
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
        return self._loss_and_gradient(w, *self._data(X, Y, sample_weight))

    def hessp(
        self,
        w: ArrayLike,
        v: ArrayLike,
        X: ArrayLike,
        Y: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> Array:
        """Return the Hessian of the loss at ``w`` times ``v``, exactly, at the cost of about two gradients.

        Parameters
        ----------
        w, v : array_like, shape (n_params,)
        X : array_like, shape (N, sizes[0])
        Y, sample_weight : array_like
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
        return self._hessp(w, v, *self._data(X, Y, sample_weight))

    def gauss_newtonp(
        self,
        w: ArrayLike,
        v: ArrayLike,
        X: ArrayLike,
        Y: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> Array:
        """Return the Gauss-Newton matrix of the loss at ``w`` times ``v``, cheaper than `hessp`.

        It is Jᵀ H J plus the L2 term, with J the Jacobian of the last layer's values and H the Hessian of the
        loss in them: the Hessian without the curvature of the network itself. For 'mse' with softmax, J is
        that of the probabilities. It has no negative eigenvalue with the losses named in the class, nor with
        a function that is convex in these values.

        Source: Schraudolph, Neural Computation 14 (2002) 1723-1738.

        Parameters
        ----------
        w, v, X, Y, sample_weight
            As `hessp`.

        Returns
        -------
        ndarray, shape (n_params,)

        Raises
        ------
        ValueError
            As `hessp`.
        """
        return self._gauss_newtonp(w, v, *self._data(X, Y, sample_weight))

    # -- objectives ---------------------------------------------------------------------------------------

    def objective(self, X: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None = None) -> MLPObjective:
        """Return the loss over the whole of the data as a function of ``w`` alone.

        Data are checked and converted once, here.

        Raises
        ------
        ValueError
            As `loss`, or non-finite values in ``X`` or ``Y``.
        """
        return MLPObjective(self, *self._checked_data(X, Y, sample_weight))

    def finite_sum(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        batch_size: int = BATCH,
        seed: int = 0,
        chunk_size: int | None = None,
        sample_weight: ArrayLike | None = None,
        workers: Any = 1,
        backend: str = "threads",
    ) -> FiniteSum:
        """Return the loss as a mean over samples: seeded mini-batches, and all data in bounded chunks.

        Parameters
        ----------
        X, Y, sample_weight : array_like
            See the notes of the class; the mean weight is that of the whole data, not of a mini-batch.
        batch_size, seed, chunk_size, workers, backend
            See `FiniteSum`.

        Raises
        ------
        ValueError
            As `objective` and `FiniteSum`.
        """
        return FiniteSum(
            self._loss_and_gradient,
            self._checked_data(X, Y, sample_weight),
            jac=True,
            value=self._loss,
            hessp=self._hessp,
            batch_size=batch_size,
            chunk_size=chunk_size,
            seed=seed,
            workers=workers,
            backend=backend,
        )

    # -- the computation; the data have been through _data ---------------------------------------------------

    def _loss(self, w: ArrayLike, X: Array, Y: NDArray[Any], s: Array | None = None) -> float:
        return evaluation.loss(self, self._layers(w), X, Y, s)

    def _loss_and_gradient(
        self, w: ArrayLike, X: Array, Y: NDArray[Any], s: Array | None = None
    ) -> tuple[float, Array]:
        return evaluation.loss_and_gradient(self, self._layers(w), X, Y, s)

    def _hessp(self, w: ArrayLike, v: ArrayLike, X: Array, Y: NDArray[Any], s: Array | None = None) -> Array:
        return evaluation.product(self, backprop.hessp_into, self._layers(w), self._layers(v, "v"), X, Y, s)

    def _gauss_newtonp(
        self, w: ArrayLike, v: ArrayLike, X: Array, Y: NDArray[Any], s: Array | None = None
    ) -> Array:
        layers, directions = self._layers(w), self._layers(v, "v")
        return evaluation.product(self, backprop.gauss_newtonp_into, layers, directions, X, Y, s)

    # -- input checks -------------------------------------------------------------------------------------

    def _layers(self, w: ArrayLike, name: str = "w") -> Layers:
        w = np.ascontiguousarray(w, dtype=self.dtype)
        if w.shape != (self.n_params,):
            raise ValueError(f"{name} must have shape ({self.n_params},), got {w.shape}")
        return self.unpack(w)

    def _inputs(self, X: ArrayLike) -> Array:
        rows: Any = X
        rows = rows.tocsr().astype(self.dtype, copy=False) if issparse(X) else np.asarray(X, self.dtype)
        if rows.ndim != 2 or rows.shape[1] != self.sizes[0]:
            raise ValueError(f"X must have shape (N, {self.sizes[0]}), got {rows.shape}")
        inputs: Array = rows
        return inputs

    def _data(self, X: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None = None) -> tuple[Any, ...]:
        """Return X, Y and, where given, the weights, converted."""
        X = self._inputs(X)
        n = X.shape[0]
        if n == 0:
            raise ValueError("X holds no samples")
        Y = as_targets(Y, n, self.sizes[-1], self.dtype, self._data_term.labels)
        self._data_term.check(Y)
        return (X, Y) if sample_weight is None else (X, Y, as_weights(sample_weight, n, self.dtype))

    def _checked_data(
        self, X: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[Any, ...]:
        data = self._data(X, Y, sample_weight)
        for name, array in zip(("X", "Y"), data, strict=False):
            if not np.isfinite(array.data if issparse(array) else array).all():
                raise ValueError(f"{name} holds NaN or infinite values")
        return data


def _check_name(what: str, name: Any, known: Iterable[str]) -> None:
    names = sorted(known)
    if name not in names:
        raise ValueError(f"unknown {what} {name!r}; choose one of {', '.join(names)}")
