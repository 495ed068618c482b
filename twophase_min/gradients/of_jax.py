"""Value and gradient of a JAX function of a pytree, as a function of a flat vector."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from twophase_min.gradients.flat import (
    Adapted,
    Array,
    Fused,
    Leaf,
    Pairs,
    Scalar,
    Unflatten,
    common_type,
    restorer,
)
from twophase_min.objective.foreign import library


def from_jax(
    fun: Callable[..., Any], x0: Any, *, args: Any = (), has_aux: bool = False, jit: bool = True
) -> Adapted:
    """Value and gradient of a JAX function as a function of a flat vector.

    Parameters
    ----------
    fun : callable
        ``fun(parameters, *args) -> scalar``, written with jax.numpy.
    x0 : pytree of float arrays
        Parameters at the start: arrays of JAX or NumPy, or floats, in any pytree. If one is float64, all is
        computed in float64, else in float32. Each comes back in its own type.
    args : tuple, optional
        Further arguments of fun: pytrees of arrays. Data that are handed over here, and not closed over,
        are not compiled in: ``minimize(a.fun, a.x0, args=other, jac=True)`` runs on others of the same
        shapes without a new compilation.
    has_aux : bool, default False
        Whether fun returns ``(scalar, anything)``; the rest is dropped.
    jit : bool, default True
        Compile fun. Without it, Python's own branches may depend on values; a call takes much longer.

    Returns
    -------
    Adapted
        ``(fun, x0, unflatten)``.

    Raises
    ------
    TypeError, ValueError
        For leaves that are not float32 or float64, at once; in the first call for a loss that is no real
        scalar, or that JAX cannot trace.

    Notes
    -----
    JAX computes in float32 unless its setting ``jax_enable_x64`` is on. Where parameters are float64 and it
    is off, it is turned on inside of each call, for the calling thread only: the loss and what ``fun``
    creates are float64, and the setting of the program stays as it is. Arrays that were created before with
    the setting off hold float32 numbers; arithmetic with them is float64. To ask for float64 with JAX's own
    float32 parameters, hand over ``jax.tree.map(numpy.float64, parameters)``.

    Arrays on a chosen device (``jax.device_put``) are computed there; all others where JAX decides.

    Examples
    --------
    ::

        a = from_jax(lambda p: jnp.sum((p["w"] - 1.0) ** 2) + p["b"] ** 2, {"w": np.zeros(3), "b": 2.0})
        result = minimize(a.fun, a.x0, jac=True)
        parameters = a.unflatten(result.x)
    """
    import jax
    import jax.numpy as jnp

    structure = jax.tree_util.tree_structure(x0)

    def apart(parameters: Any) -> Pairs:
        placed = jax.tree_util.tree_flatten_with_path(parameters)[0]
        return [(jax.tree_util.keystr(path), leaf) for path, leaf in placed]

    def leaf_of(name: str, value: Any) -> Leaf:
        if library(value) != "jax":
            return Leaf(name, np.shape(value), restorer(value))
        device = value.sharding if value.committed else None

        def restore(part: Array) -> Any:
            with precision(value.dtype):
                return jax.device_put(jnp.array(part, value.dtype), device)

        return Leaf(name, value.shape, restore)

    pairs = apart(x0)
    dtype = common_type(pairs)

    def precision(kind: Any) -> AbstractContextManager[Any]:
        return _x64(jax) if kind == np.float64 else nullcontext()

    unflatten = Unflatten([leaf_of(*pair) for pair in pairs], dtype, structure.unflatten, apart)
    devices = {device for _, leaf in pairs if getattr(leaf, "committed", False) for device in leaf.devices()}
    device = devices.pop() if len(devices) == 1 else None

    check = Scalar(dtype, "jax")

    def loss(x: Any, further: tuple[Any, ...]) -> Any:
        value = fun(structure.unflatten(unflatten.pieces(x)), *further)
        if has_aux:
            value = value[0]
        check(value)
        return jnp.reshape(jnp.asarray(value), ())

    both = jax.value_and_grad(loss)
    if jit:
        both = jax.jit(both)
    untraceable = (
        jax.errors.ConcretizationTypeError,
        jax.errors.TracerArrayConversionError,
        jax.errors.TracerIntegerConversionError,
        jax.errors.NonConcreteBooleanIndexError,
    )

    def evaluate(x: Array, further: tuple[Any, ...]) -> tuple[float, Array]:
        with precision(dtype):
            try:
                value, gradient = both(jax.device_put(x, device), further)
            except untraceable as error:
                raise TypeError(
                    f"JAX cannot trace fun ({type(error).__name__}): use jax.numpy in place of numpy, and "
                    "jnp.where or jax.lax.cond where a branch depends on values"
                    + ("; or try jit=False, which allows Python's own branches." if jit else ".")
                ) from error
            return float(value), np.array(gradient)

    source = "JAX"
    if dtype == np.float64 and not jax.config.jax_enable_x64:
        source += " (jax_enable_x64 is off: each call turns it on for itself)"
    flat = unflatten.joined(pairs)
    return Adapted(Fused(evaluate, flat, args, source), flat, unflatten)


def _x64(jax: Any) -> AbstractContextManager[Any]:
    """Return what turns JAX's 64 bit on for a block and the calling thread."""
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    from jax.experimental import enable_x64  # JAX before 0.8

    return enable_x64(True)
