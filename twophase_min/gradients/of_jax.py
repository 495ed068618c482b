"""Value and gradient of a JAX function of a pytree, as a function of a flat vector."""

from __future__ import annotations

import importlib
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
        Further arguments of fun: pytrees of arrays. They are moved to the device once. Data that fun closes
        over are compiled in, these are not: ``minimize(a.fun, a.x0, args=other, jac=True)`` runs on others
        of the same shapes without a new compilation.
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
    creates are float64, and the setting of the program stays as it is. Arrays of JAX that were created before
    with the setting off hold float32 numbers; arithmetic with them is float64. To ask for float64 with JAX's
    own float32 parameters, hand over ``jax.tree.map(numpy.float64, parameters)``.

    JAX 0.10 cannot compile one NumPy array in both precisions. So do not close over NumPy data of which other
    compiled functions make use with the setting off: hand them over as ``args``. A program that wants float64
    throughout turns the setting on at its start, and is free of all this.

    Arrays on a chosen device (``jax.device_put``) are computed there; all others where JAX decides.

    Examples
    --------
    ::

        a = from_jax(lambda p: jnp.sum((p["w"] - 1.0) ** 2) + p["b"] ** 2, {"w": np.zeros(3), "b": 2.0})
        result = minimize(a.fun, a.x0, jac=True)
        parameters = a.unflatten(result.x)
    """
    jax: Any = importlib.import_module("jax")  # without types, which depend on its version
    jnp = jax.numpy
    structure = jax.tree_util.tree_structure(x0)

    def apart(parameters: Any) -> Pairs:
        placed = jax.tree_util.tree_flatten_with_path(parameters)[0]
        return [(jax.tree_util.keystr(path), leaf) for path, leaf in placed]

    def leaf_of(name: str, value: Any) -> Leaf:
        if library(value) != "jax":
            return Leaf(name, np.shape(value), restorer(value))
        device = value.sharding if _committed(value) else None

        def restore(part: Array) -> Any:
            with precision(value.dtype):
                return jax.device_put(jnp.array(part, value.dtype), device)

        return Leaf(name, value.shape, restore)

    pairs = apart(x0)
    dtype = common_type(pairs)

    def precision(kind: Any) -> AbstractContextManager[Any]:
        return _x64(jax) if kind == np.float64 else nullcontext()

    unflatten = Unflatten([leaf_of(*pair) for pair in pairs], dtype, structure.unflatten, apart)
    devices = {device for _, leaf in pairs if _committed(leaf) for device in leaf.devices()}
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

    def on_device(further: tuple[Any, ...]) -> tuple[Any, ...]:
        # copies: what JAX keeps about a NumPy array does not tell the two precisions apart
        moved = lambda v: jax.device_put(jnp.array(v), device) if isinstance(v, np.ndarray) else v  # noqa: E731
        return tuple(jax.tree_util.tree_map(moved, further))

    args = args if isinstance(args, tuple) else (args,)
    with precision(dtype):
        given = on_device(args)

    def evaluate(x: Array, further: tuple[Any, ...]) -> tuple[float, Array]:
        with precision(dtype):
            further = given if further is args else on_device(further)
            try:
                # NumPy's x as it is: jit takes it in a fifth of the time of device_put
                value, gradient = both(x if device is None else jax.device_put(x, device), further)
            except untraceable as error:
                raise TypeError(
                    f"JAX cannot trace fun ({type(error).__name__}): use jax.numpy in place of numpy, and "
                    "jnp.where or jax.lax.cond where a branch depends on values"
                    + ("; or try jit=False, which allows Python's own branches." if jit else ".")
                ) from error
            except (ValueError, RuntimeError) as error:
                if any(sign in str(error) for sign in _TWO_PRECISIONS):
                    raise RuntimeError(
                        "JAX has compiled a NumPy array that fun closes over in float32 before, and cannot "
                        "take it in float64 now: hand the data over as args=, or turn jax_enable_x64 on at "
                        "the start."
                    ) from error
                raise
            return float(value), np.array(gradient)

    source = "JAX"
    if dtype == np.float64 and not jax.config.jax_enable_x64:
        source += " (jax_enable_x64 is off: each call turns it on for itself)"
    flat = unflatten.joined(pairs)
    return Adapted(Fused(evaluate, flat, args, source), flat, unflatten)


_TWO_PRECISIONS = ("RuntimeProgramInputMismatch", "Cannot lower jaxpr with verifier errors")
"""How JAX's errors read where it meets a NumPy array in another precision than before."""


def _committed(value: Any) -> bool:
    """Whether an array of JAX was put on a device by choice; before JAX 0.5 the attribute is private."""
    return bool(getattr(value, "committed", getattr(value, "_committed", False)))


def _x64(jax: Any) -> AbstractContextManager[Any]:
    """Return what turns JAX's 64 bit on for a block and the calling thread."""
    enable: Callable[[bool], AbstractContextManager[Any]] = (
        jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64  # before JAX 0.8
    )
    return enable(True)
