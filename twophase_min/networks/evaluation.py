"""Loss, gradient and products of a network at given layers, block by block, with the L2 term.

The data have been checked and converted by `MLP`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from twophase_min._errstate import our_arithmetic
from twophase_min.networks import backprop
from twophase_min.networks.backprop import Array, Layers
from twophase_min.networks.blocks import blocks_of, for_each, shares
from twophase_min.networks.losses import LOSSES, sum_of_squares

if TYPE_CHECKING:
    from twophase_min.networks.mlp import MLP


def loss(net: MLP, layers: Layers, X: Array, Y: NDArray[Any], s: Array | None = None) -> float:
    """Return the loss alone."""
    blocks = _blocks(net, X)
    values = np.empty(len(blocks))

    def work(k: int, rows: slice) -> None:
        X_k, Y_k, s_k = _part(len(blocks), rows, X, Y, s)
        with our_arithmetic():
            values[k] = net._data_term.value(backprop.forward(layers, net._activation, X_k), Y_k, s_k)

    for_each(blocks, net.n_params, net.dtype.itemsize, work)
    with our_arithmetic():
        return float(shares(blocks) @ values) + _penalty(net, layers)


def loss_and_gradient(
    net: MLP, layers: Layers, X: Array, Y: NDArray[Any], s: Array | None = None
) -> tuple[float, Array]:
    """Return the loss, and its gradient in a new array."""
    blocks = _blocks(net, X)
    values = np.empty(len(blocks))

    def one(out: Layers, k: int, *part: Any) -> None:
        values[k] = backprop.gradient_into(out, layers, net._activation, net._data_term, *part)

    gradient = _mean(net, one, blocks, X, Y, s)
    with our_arithmetic():
        value = float(shares(blocks) @ values)
        if net.l2:
            value += _penalty(net, layers)
            _add_l2(net, gradient, layers)
    return value, gradient


def product(
    net: MLP,
    product_into: Callable[..., None],
    layers: Layers,
    directions: Layers,
    X: Array,
    Y: NDArray[Any],
    s: Array | None = None,
) -> Array:
    """Return the product with the directions that a function of `backprop` forms, in a new array."""

    def one(out: Layers, k: int, *part: Any) -> None:
        product_into(out, layers, directions, net._activation, net._data_term, *part)

    result = _mean(net, one, _blocks(net, X), X, Y, s)
    if net.l2:
        with our_arithmetic():
            _add_l2(net, result, directions)
    return result


def _blocks(net: MLP, X: Array) -> list[slice]:
    """Return the blocks of rows of one evaluation. Code of the caller's stays in the caller's thread."""
    ours = type(net._data_term) in map(type, LOSSES.values())
    if ours and not issparse(X):
        return blocks_of(X.shape[0], net.n_params, net.dtype.itemsize)
    return [slice(0, X.shape[0])]


def _part(
    blocks: int, rows: slice, X: Array, Y: NDArray[Any], s: Array | None
) -> tuple[Array, NDArray[Any], Array | None]:
    """Return the rows of one of so many blocks; a single one is all of them."""
    return (X, Y, s) if blocks == 1 else (X[rows], Y[rows], None if s is None else s[rows])


def _mean(
    net: MLP, one: Callable[..., None], blocks: list[slice], X: Array, Y: NDArray[Any], s: Array | None
) -> Array:
    """Return the sum over the blocks of what ``one(out, k, X, Y, s, share)`` writes for block k."""
    total = np.empty(net.n_params, dtype=net.dtype)
    parts = [total, *np.empty((len(blocks) - 1, net.n_params), dtype=net.dtype)]
    weights = shares(blocks).tolist()  # Python's numbers leave float32 as it is

    def work(k: int, rows: slice) -> None:
        with our_arithmetic():
            part = _part(len(blocks), rows, X, Y, s)
            one(net.unpack(parts[k]), k, *part, weights[k])

    for_each(blocks, net.n_params, net.dtype.itemsize, work)
    with our_arithmetic():
        for part in parts[1:]:  # no product of BLAS: its threads would spin into the next evaluation's
            total += part
    return total


def _penalty(net: MLP, layers: Layers) -> float:
    """Return the L2 term l2/2 Σ ‖W‖²."""
    return 0.5 * net.l2 * sum(sum_of_squares(W) for W, _ in layers) if net.l2 else 0.0


def _add_l2(net: MLP, flat: Array, layers: Layers) -> None:
    """Add l2 W to the weights' part of a flat vector."""
    for (out_W, _), (W, _) in zip(net.unpack(flat), layers, strict=True):
        out_W += net.l2 * W
