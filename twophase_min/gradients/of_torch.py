"""Value and gradient of a PyTorch module's loss, or of a function of tensors, of a flat vector."""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from twophase_min._caller import caller
from twophase_min.gradients.flat import (
    Adapted,
    Array,
    Fused,
    Leaf,
    Pairs,
    Scalar,
    Unflatten,
    common_type,
    named,
    restorer,
)
from twophase_min.objective.foreign import library


def from_torch(
    module_or_fun: Callable[..., Any],
    x0: Any = None,
    *,
    loss: Callable[..., Any] | None = None,
    args: Any = (),
) -> Adapted:
    """Value and gradient of a PyTorch module's loss, or of a function of tensors, of a flat vector.

    Parameters
    ----------
    module_or_fun : torch.nn.Module or callable
        A module, whose parameters with ``requires_grad`` are the variables; or ``fun(parameters, *args) ->
        scalar tensor``.
    x0 : optional
        For a module: a ``state_dict`` to start from, by default its own. For a function: its parameters at
        the start, tensors, NumPy arrays or floats in any nest of dicts, lists and tuples, or one of them. If
        one is float64, the flat vector is float64, else float32.
    loss : callable, for a module only
        ``loss(module, *args) -> scalar tensor``. It may also read the module from where it was defined: the
        parameters of the module itself are exchanged for the time of a call, and then put back.
    args : tuple, optional
        Further arguments of loss or fun, handed on as they are; those of a call take their place.

    Returns
    -------
    Adapted
        ``(fun, x0, unflatten)``. For a module, ``unflatten(x)`` is a ``state_dict``, buffers and frozen
        parameters included: ``module.load_state_dict(a.unflatten(result.x))`` puts the result in. Nothing
        else changes the module, not even its buffers.

    Raises
    ------
    TypeError, ValueError
        For parameters that are not float32 or float64, or a ``state_dict`` that does not fit, at once; in a
        call for a loss that is no real scalar tensor, or does not depend on the parameters.

    Notes
    -----
    Each parameter is computed on its device and in its dtype: with the float32 parameters of a module all is
    float32. ``module.double()``, and data in float64, beforehand make it float64. The loss must be a function
    of the parameters alone: call ``module.eval()`` where layers such as Dropout draw random numbers.

    Examples
    --------
    ::

        a = from_torch(net.double(), loss=lambda net: torch.mean((net(inputs) - targets) ** 2))
        result = minimize(a.fun, a.x0, jac=True)
        net.load_state_dict(a.unflatten(result.x))
    """
    import torch

    if isinstance(module_or_fun, torch.nn.Module):
        if loss is None:
            raise TypeError(
                "A module has no value to minimise: give loss=<callable>, loss(module) -> scalar tensor."
            )
        call, start, unflatten = _of_module(torch, module_or_fun, x0, loss)
    else:
        if loss is not None:
            raise TypeError("loss belongs to a module; a function of tensors is the loss itself.")
        if x0 is None:
            raise TypeError("A function of tensors needs x0: its parameters at the start.")
        call, start, unflatten = _of_function(module_or_fun, x0)
    flat = unflatten.joined(start)
    places = [
        {"device": value.device, "dtype": value.dtype} if library(value) == "torch" else {}
        for _, value in start
    ]
    check = Scalar(unflatten.dtype, "torch")

    def evaluate(x: Array, further: tuple[Any, ...]) -> tuple[float, Array]:
        vector = torch.tensor(x, requires_grad=True)

        def finish(value: Any) -> tuple[float, Array]:
            check(value)
            if not getattr(value, "requires_grad", False):
                raise ValueError(
                    "The loss does not depend on the parameters: compute it from them by PyTorch, without "
                    "no_grad, .detach() or .item()."
                )
            (gradient,) = torch.autograd.grad(value.reshape(()), vector)
            return float(value.item()), gradient.numpy()

        with torch.enable_grad():
            parts = unflatten.pieces(vector)
            placed = [part.to(**place) for part, place in zip(parts, places, strict=True)]
            value_and_gradient: tuple[float, Array] = call(placed, further, finish)
        return value_and_gradient

    return Adapted(Fused(evaluate, flat, args, "PyTorch"), flat, unflatten)


def _of_module(torch: Any, module: Any, x0: Any, loss: Callable[..., Any]) -> tuple[Any, Pairs, Unflatten]:
    """Call, start and structure for a module: its parameters with requires_grad are the variables."""

    class Whole(torch.nn.Module):
        """The module with its loss, so that PyTorch exchanges the parameters for both."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, finish: Callable[[Any], Any], *further: Any) -> Any:
            # the gradient here too: checkpoints compute parts of the loss again in the backward pass
            return finish(loss(self.inner, *further))

    variables = {name: value for name, value in module.named_parameters() if value.requires_grad}
    if not variables:
        raise ValueError("The module has no parameters with requires_grad: nothing is left to minimise over.")
    if any(torch.nn.parameter.is_lazy(value) for value in module.parameters()):
        raise ValueError("The module has parameters without a shape yet: call it once on its input.")
    own = module.state_dict(keep_vars=True)
    if x0 is not None and (not isinstance(x0, Mapping) or x0.keys() != own.keys()):
        raise ValueError(
            "x0 is not a state_dict of this module: expected a dict with the keys " + named(own) + "."
        )
    state = {}
    for key, value in own.items():
        given = value if x0 is None else x0[key]
        found, expected = tuple(np.shape(given)), tuple(np.shape(value))
        if found != expected:
            raise ValueError(f"x0['{key}'] has shape {found}, expected {expected}.")
        state[key] = _detached(given)
        if torch.is_tensor(value):
            state[key] = torch.as_tensor(state[key]).to(device=value.device, dtype=value.dtype)
    drops = torch.nn.modules.dropout._DropoutNd
    if any(isinstance(part, drops) and part.training and part.p > 0 for part in module.modules()):
        warnings.warn(
            "The module has Dropout at work, so that its loss is another at every call: call module.eval().",
            RuntimeWarning,
            stacklevel=caller(),
        )
    names = {id(value): name for name, value in variables.items()}
    variable = {key: names.get(id(value)) for key, value in own.items()}  # tied ones have several keys
    fixed = {} if x0 is None else {key: state[key] for key, name in variable.items() if name is None}
    whole, lock = Whole(), threading.RLock()

    def apart(parameters: Any) -> Pairs:
        return [(f"['{name}']", parameters[name]) for name in variables if name in parameters]

    def build(values: list[Any]) -> dict[str, Any]:
        found = dict(zip(variables, values, strict=True))
        return {
            key: found[variable[key]] if variable[key] is not None else _detached(value)
            for key, value in state.items()
        }

    def call(tensors: list[Any], further: tuple[Any, ...], finish: Callable[[Any], Any]) -> Any:
        with lock:  # one module for all threads
            constant = {key: _detached(fixed.get(key, value)) for key, value in module.named_buffers()}
            values = {**fixed, **constant, **dict(zip(variables, tensors, strict=True))}
            values = {f"inner.{key}": value for key, value in values.items() if torch.is_tensor(value)}
            return torch.func.functional_call(whole, values, (finish, *further))

    start = apart(state)
    leaves = [Leaf(name, tuple(value.shape), restorer(value)) for name, value in start]
    return call, start, Unflatten(leaves, common_type(start), build, apart)


def _of_function(fun: Callable[..., Any], x0: Any) -> tuple[Any, Pairs, Unflatten]:
    """Call, start and structure for a function of a nest of tensors."""
    start = _apart(x0)
    leaves = [Leaf(name, tuple(np.shape(value)), restorer(value)) for name, value in start]

    def build(values: list[Any]) -> Any:
        return _rebuilt(x0, iter(values))

    def call(tensors: list[Any], further: tuple[Any, ...], finish: Callable[[Any], Any]) -> Any:
        return finish(fun(build(tensors), *further))

    return call, start, Unflatten(leaves, common_type(start), build, _apart)


def _detached(value: Any) -> Any:
    """Copy of an entry of a state_dict: a tensor, or what a module has put there."""
    return value.detach().clone() if library(value) == "torch" else copy.deepcopy(value)


def _apart(tree: Any, name: str = "") -> Pairs:
    """List the leaves of a nest of dicts, lists and tuples, with their places in it."""
    if isinstance(tree, Mapping):
        places = list(tree.items())
    elif isinstance(tree, (list, tuple)):
        places = list(enumerate(tree))
    else:
        return [(name, tree)]
    return [pair for key, part in places for pair in _apart(part, f"{name}[{key!r}]")]


def _rebuilt(tree: Any, leaves: Iterator[Any]) -> Any:
    """Build a nest like ``tree`` of these leaves."""
    if isinstance(tree, Mapping):
        return {key: _rebuilt(part, leaves) for key, part in tree.items()}
    if isinstance(tree, (list, tuple)):
        parts = [_rebuilt(part, leaves) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return next(leaves)
