"""The paper's five models in JAX: parameters by name, outputs for a batch of images, and the losses.

T. Hrycej and others, "A Convexity-dependent Two-Phase Training Algorithm for Deep Neural Networks", 2025,
arXiv:2510.25366. The paper gives three encoder layers, four heads, an embedding of 64, 256 units, and the
overdetermination Q = K M / P of every model on every data set (K samples, M outputs, P parameters). What it
does not say was chosen so that the P of all fifteen models give its Q to every digit printed: images of
32 x 32, patches of 8 x 8, a class token, positions that are not learned, attention without offsets, two layer
norms a layer whether or not there is an MLP; convolutions of 32, 64 and 64 channels, each followed by a
maximum over 2 x 2, and 64 units. Other choices with the same counts are possible. Nor does it say whether a
softmax stands before the squared error; with it the norm of the gradient grows at first, as the paper has it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Parameters = dict[str, Any]


class Size(NamedTuple):
    """How large models and data are."""

    side: int
    """Pixels of an image's side."""
    patch: int
    """Pixels of a patch's side."""
    embed: int
    heads: int
    layers: int
    mlp: int
    """Units between the two matrices of an encoder layer's MLP."""
    channels: tuple[int, int, int]
    """Of the convolutions."""
    dense: int
    """Units of the layer after them."""
    samples: int
    """Images to train on; 0 takes all that there are."""
    batch: int
    budget: int
    """Evaluations over all data."""


FULL = Size(32, 8, 64, 4, 3, 256, (32, 64, 64), 64, 0, 512, 1000)
"""The paper's."""
REDUCED = Size(8, 4, 8, 2, 2, 32, (6, 12, 12), 12, 768, 32, 200)
"""The default: about the paper's overdetermination, at a 40th to an 80th of its parameters; 24 batches."""


class Vit(NamedTuple):
    """What sets the paper's transformers apart."""

    mlp: bool = False
    shared: bool = False
    """Keys and queries have the same matrix, so that the similarity is symmetric."""
    values: bool = True
    """Values and outputs have matrices."""


MODELS: dict[str, Vit | None] = {
    "vit-mlp": Vit(mlp=True),
    "vit-nomlp": Vit(),
    "vit-nomlp-wkewq": Vit(shared=True),
    "vit-nomlp-wkewq-wvwo": Vit(shared=True, values=False),
    "vgg5-max-relu": None,
}
"""The paper's names; None is the convolutional network."""

LOSSES = ("mse", "mse-linear", "cross-entropy")
"""Squared error of the softmax, or of the outputs themselves, from one-hot targets; and cross-entropy."""


def initial(name: str, size: Size, channels: int, classes: int, seed: int) -> Parameters:
    """Return parameters at the start, float64: Glorot's uniform matrices, offsets 0.

    Parameters
    ----------
    name : str
        One of `MODELS`.
    channels, classes : int
        Colours of the images, and outputs.
    """
    rng = np.random.default_rng(seed)

    def matrix(*shape: int) -> np.ndarray:
        field = int(np.prod(shape[:-2]))
        limit = np.sqrt(6.0 / (field * (shape[-2] + shape[-1])))
        return rng.uniform(-limit, limit, shape)

    def layer(name: str, inputs: int, outputs: int) -> Parameters:
        return {f"{name}.w": matrix(inputs, outputs), f"{name}.b": np.zeros(outputs)}

    kind = MODELS[name]
    if kind is None:
        p: Parameters = {}
        before = channels
        for i, after in enumerate(size.channels):
            p |= {f"conv{i}.w": matrix(3, 3, before, after), f"conv{i}.b": np.zeros(after)}
            before = after
        p |= layer("dense", before * (size.side // 8) ** 2, size.dense)
        return p | layer("head", size.dense, classes)
    e = size.embed
    p = layer("patch", channels * size.patch**2, e) | {"token": 0.02 * rng.normal(size=e)}
    for i in range(size.layers):
        names = ["keys"] + ["queries"] * (not kind.shared) + ["values", "outputs"] * kind.values
        p |= {f"{i}.{name}": matrix(e, e) for name in names}
        for norm in ("norm1", "norm2"):
            p |= {f"{i}.{norm}.w": np.ones(e), f"{i}.{norm}.b": np.zeros(e)}
        if kind.mlp:
            p |= layer(f"{i}.in", e, size.mlp) | layer(f"{i}.out", size.mlp, e)
    return p | layer("head", e, classes)


def network(name: str, size: Size) -> Callable[[Parameters, Any], Any]:
    """Return ``outputs(parameters, images)``; images have the shape (batch, side, side, colours)."""
    kind = MODELS[name]
    if kind is None:
        return _convolutional
    return lambda p, images: _transformer(p, images, size, kind)


def _linear(p: Parameters, name: str, x: Any) -> Any:
    return x @ p[f"{name}.w"] + p[f"{name}.b"]


def _convolutional(p: Parameters, x: Any) -> Any:
    import jax

    for i in range(3):
        x = jax.lax.conv_general_dilated(
            x.astype(p["head.w"].dtype),
            p[f"conv{i}.w"],
            (1, 1),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        x = jax.nn.relu(x + p[f"conv{i}.b"])
        n, height, width, channels = x.shape
        x = x.reshape(n, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))
    x = jax.nn.relu(_linear(p, "dense", x.reshape(len(x), -1)))
    return _linear(p, "head", x)


def _transformer(p: Parameters, images: Any, size: Size, kind: Vit) -> Any:
    """Layer norms stand before attention and MLP; where there is no MLP, the norm alone remains."""
    import jax
    import jax.numpy as jnp

    def norm(name: str, x: Any) -> Any:
        x = x - x.mean(axis=-1, keepdims=True)
        x = x / jnp.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-6)
        return x * p[f"{name}.w"] + p[f"{name}.b"]

    n, side, _, channels = images.shape
    along = side // size.patch
    x = images.reshape(n, along, size.patch, along, size.patch, channels)
    x = x.transpose(0, 1, 3, 2, 4, 5).reshape(n, along**2, -1)
    x = _linear(p, "patch", x)
    x = jnp.concatenate([jnp.broadcast_to(p["token"], (n, 1, size.embed)), x], axis=1)
    x = x + positions(along**2 + 1, size.embed)

    def heads(x: Any) -> Any:
        return x.reshape(n, along**2 + 1, size.heads, -1)

    for i in range(size.layers):
        y = norm(f"{i}.norm1", x)
        keys = heads(y @ p[f"{i}.keys"])
        queries = keys if kind.shared else heads(y @ p[f"{i}.queries"])
        values = heads(y @ p[f"{i}.values"] if kind.values else y)
        similarity = jnp.einsum("nihd,njhd->nhij", queries, keys) / np.sqrt(keys.shape[-1])
        mixed = jnp.einsum("nhij,njhd->nihd", jax.nn.softmax(similarity), values).reshape(x.shape)
        x = x + (mixed @ p[f"{i}.outputs"] if kind.values else mixed)
        y = norm(f"{i}.norm2", x)
        x = x + _linear(p, f"{i}.out", jax.nn.gelu(_linear(p, f"{i}.in", y))) if kind.mlp else y
    return _linear(p, "head", x[:, 0])


def positions(count: int, embed: int) -> np.ndarray:
    """Return sines and cosines, shape (count, embed): Vaswani and others 2017, section 3.5."""
    angles = np.arange(count)[:, None] / 10000.0 ** (np.arange(0, embed, 2) / embed)
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(count, -1)[:, :embed]


def batch_loss(name: str, size: Size, loss: str) -> Callable[[Parameters, Any, Any], Any]:
    """Return ``mean(parameters, images, one_hot)``, the mean loss over a batch; squares over classes, too."""
    import jax
    import jax.numpy as jnp

    if loss not in LOSSES:
        raise ValueError(f"loss must be one of {', '.join(LOSSES)}, got {loss!r}.")
    outputs = network(name, size)

    def mean(p: Parameters, images: Any, targets: Any) -> Any:
        z = outputs(p, images)
        if loss == "cross-entropy":
            return -jnp.mean(jnp.sum(targets * jax.nn.log_softmax(z), axis=-1))
        return jnp.mean(jnp.square((jax.nn.softmax(z) if loss == "mse" else z) - targets))

    return mean


def count(name: str, size: Size, channels: int, classes: int) -> int:
    """Return the number of parameters."""
    return sum(np.size(part) for part in initial(name, size, channels, classes, 0).values())
