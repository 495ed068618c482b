"""Forward pass, backpropagation, Hessian- and Gauss-Newton products of a fully connected network.

Layer l maps a_{l-1}, shape (N, n_in), to z_l = a_{l-1} W_l + b_l and a_l = σ(z_l), shape (N, n_out); the last
layer has no σ, its z goes to the loss. a_0 = X may be a sparse matrix (CSR). Results are written into the
caller's arrays, usually views of one flat vector. Nothing is kept between calls, so any number of threads
may call at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from twophase_min.networks import passes
from twophase_min.networks.activations import Activation
from twophase_min.networks.losses import Loss

Array = NDArray[np.floating]
Layers = list[tuple[Array, Array]]

TALL, TALLER = 512, 4
"""Rows, and rows for each output, from which a product in float64 is computed transposed: with the rows as
the first dimension in OpenBLAS's column order. Measured on 13 shapes, such forward products take 0.68 to 1.0
of the time, and those of the gradients 0.72 to 0.94. In float32, and for fewer rows, they take longer."""


def forward(layers: Layers, activation: Activation, X: Array) -> Array:
    """Return z of the last layer, shape (N, M), keeping two layers in memory at most."""
    a = X
    for W, b in layers[:-1]:
        a = activation.apply(_hidden(a, W), b)
    return _affine(a, *layers[-1])


def gradient_into(
    out: Layers,
    layers: Layers,
    activation: Activation,
    loss: Loss,
    X: Array,
    Y: NDArray[Any],
    s: Array | None = None,
    share: float = 1.0,
) -> float:
    """Write the gradient of the data term, times ``share``, into ``out`` and return the value alone.

    With δ_l = dL/dz_l: dL/dW_l = a_{l-1}ᵀ δ_l, dL/db_l = Σ δ_l, δ_{l-1} = (δ_l W_lᵀ) σ'(z_{l-1}).
    """
    inputs, saved = [X], []
    for W, b in layers[:-1]:
        a, kept = activation.apply_saving(_hidden(inputs[-1], W), b)
        inputs.append(a)
        saved.append(kept)
    value, delta = loss.value_and_delta(_affine(inputs[-1], *layers[-1]), Y, s)
    if share != 1.0:
        delta *= share

    ones = np.ones(X.shape[0], dtype=X.dtype)  # summing by a product is faster and adds in blocks
    np.matmul(ones, delta, out=out[-1][1])
    for i in range(len(layers) - 1, -1, -1):
        a = inputs.pop()
        _transposed_product_into(out[i][0], a, delta)
        if i:
            W, out_b = layers[i][0], out[i - 1][1]
            delta = (W @ delta.T).T if passes.is_transposed(a) else delta @ W.T  # laid out as a is
            kept = saved.pop()
            if activation.slope and passes.are_for(delta):  # either may destroy a, which has served
                passes.pull_back(activation.slope, delta, a if kept is None else kept, out_b)
            else:
                activation.pull_back(delta, a, kept)
                np.matmul(ones, delta, out=out_b)
    return value


def _forward_along(
    layers: Layers, directions: Layers, activation: Activation, X: Array, bends: list[Array | None] | None
) -> tuple[Array, Array, list[tuple[Array, Array | None]], list[Array]]:
    """Forward pass that carries Rq, the derivative along (V, c), with every quantity q; see `hessp_into`.

    Returns
    -------
    z, rz : ndarray, shape (N, outputs)
        Of the last layer.
    inputs : list of (a, Ra)
        Of every layer; R X is None, for 0.
    slopes : list of ndarray
        σ'(z) of the hidden layers. ``bends``, where given, gets their σ''(z) Rz; None for 0.
    """
    a: Array = X
    ra: Array | None = None
    inputs: list[tuple[Array, Array | None]] = []
    slopes: list[Array] = []
    last = len(layers) - 1
    for i, ((W, b), (V, c)) in enumerate(zip(layers, directions, strict=True)):
        z, rz = _affine(a, W, b), _affine(a, V, c)
        if ra is not None:
            rz += ra @ W
        inputs.append((a, ra))
        if i < last:
            a, slope, second = activation.derivatives(z)
            slopes.append(slope)
            if bends is not None:
                bends.append(None if second is None else np.multiply(second, rz, out=second))
            rz *= slope
            ra = rz
    return z, rz, inputs, slopes


def hessp_into(
    out: Layers,
    layers: Layers,
    directions: Layers,
    activation: Activation,
    loss: Loss,
    X: Array,
    Y: NDArray[Any],
    s: Array | None = None,
    share: float = 1.0,
) -> None:
    """Write the Hessian of the data term times a direction, times ``share``, into ``out``.

    The R-operator of Pearlmutter, Neural Computation 6 (1994) 147-160: every quantity q above is carried with
    Rq, its derivative along the direction (V, c). R z_l = a_{l-1} V_l + c_l + (R a_{l-1}) W_l with R X = 0,
    R a_l = σ'(z_l) R z_l, and the product rule on the backward formulas.
    """
    bends: list[Array | None] = []
    z, rz, inputs, slopes = _forward_along(layers, directions, activation, X, bends)
    last = len(layers) - 1
    delta, rdelta = loss.delta_and_curvature(z, rz, Y, s)
    if share != 1.0:
        delta *= share
        rdelta *= share

    ones = np.ones(X.shape[0], dtype=X.dtype)
    for i in range(last, -1, -1):
        W, V, (out_W, out_b) = layers[i][0], directions[i][0], out[i]
        a, ra = inputs[i]
        _transposed_product_into(out_W, a, rdelta)
        if ra is not None:
            out_W += ra.T @ delta
        np.matmul(ones, rdelta, out=out_b)
        if i:
            slope, bend = slopes[i - 1], bends[i - 1]
            rdelta = rdelta @ W.T
            rdelta += delta @ V.T
            rdelta *= slope
            delta = delta @ W.T
            if bend is not None:
                rdelta += np.multiply(bend, delta, out=bend)
            delta *= slope


def gauss_newtonp_into(
    out: Layers,
    layers: Layers,
    directions: Layers,
    activation: Activation,
    loss: Loss,
    X: Array,
    Y: NDArray[Any],
    s: Array | None = None,
    share: float = 1.0,
) -> None:
    """Write the Gauss-Newton matrix of the data term times a direction, times ``share``, into ``out``.

    Jᵀ (H (J v)): R z of the last layer is J v, as in `hessp_into`; H acts in the loss; Jᵀ is backpropagation.
    """
    z, rz, inputs, slopes = _forward_along(layers, directions, activation, X, None)
    product = getattr(loss, "gauss_newton", None)  # where the output function is curved
    delta = product(z, rz, Y, s) if product else loss.delta_and_curvature(z, rz, Y, s)[1]
    if share != 1.0:
        delta *= share

    ones = np.ones(X.shape[0], dtype=X.dtype)
    for i in range(len(layers) - 1, -1, -1):
        out_W, out_b = out[i]
        _transposed_product_into(out_W, inputs[i][0], delta)
        np.matmul(ones, delta, out=out_b)
        if i:
            delta = delta @ layers[i][0].T
            delta *= slopes[i - 1]


def _hidden(a: Array, W: Array) -> Array:
    """Return a W, computed and laid out as its transpose where that is faster."""
    rows, n_out = a.shape[0], W.shape[1]
    tall = rows >= max(TALL, TALLER * n_out) and W.dtype == np.float64
    product: Array = (W.T @ a.T).T if tall and isinstance(a, np.ndarray) else a @ W
    return product


def _affine(a: Array, W: Array, b: Array) -> Array:
    z = a @ W
    z += b
    return z


def _transposed_product_into(out: Array, a: Array, delta: Array) -> None:
    if isinstance(a, np.ndarray):
        if passes.is_transposed(delta):
            out[:] = (delta.T @ a).T
        else:
            np.matmul(a.T, delta, out=out)
    else:  # a sparse matrix knows no ``out``
        out[:] = a.T @ delta
