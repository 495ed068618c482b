"""Traces of autograd, for functions that need not depend on x.

`autograd.make_vjp` and `autograd.make_jvp` warn of a result that does not depend on x. To the package that is
a fine zero derivative, or one step of a search for the gradient's source; and a filter for the warning could
not be set, since filters belong to all threads and make Python forget what it has shown once per place. So
the trace is made here, from the same parts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def scalar_valued(fun: Callable[..., Any]) -> Callable[[Any], Any]:
    """Return ``fun`` with arrays of size 1 made scalars, for autograd, which differentiates nothing else."""
    from autograd import numpy as anp

    def scalar(x: Any) -> Any:
        value = fun(x)
        return anp.reshape(value, ()) if getattr(value, "size", None) == 1 and np.ndim(value) else value

    return scalar


def _trace(root: Any, fun: Callable[..., Any], x: Any) -> tuple[Any, Any]:
    """Value of ``fun`` and its node on the trace that begins at ``root``; None where it is not on it."""
    from autograd.tracer import isbox, new_box, trace_stack

    trace_stack.top += 1
    try:
        trace = trace_stack.top
        end = fun(new_box(x, trace, root))
    finally:  # which `trace_stack.new_trace` forgets where fun raises
        trace_stack.top -= 1
    if isbox(end) and end._trace == trace:
        return end._value, end._node
    return end, None


def make_vjp(fun: Callable[..., Any], x: Any) -> tuple[Callable[[Any], Any], Any]:
    """Pullback of ``fun`` at x, and its value there; as `autograd.make_vjp`."""
    from autograd.core import VJPNode, backward_pass, vspace

    value, node = _trace(VJPNode.new_root(), fun, x)
    if node is None:
        return lambda g: vspace(x).zeros(), value
    return lambda g: backward_pass(g, node), value


def make_jvp(fun: Callable[..., Any], x: Any) -> Callable[[Any], Any]:
    """Directional derivative of ``fun`` at x along what it is called with."""
    from autograd.core import JVPNode, vspace

    def along(v: Any) -> Any:
        value, node = _trace(JVPNode.new_root(v), fun, x)
        return vspace(value).zeros() if node is None else node.g

    return along


def value_and_gradient(fun: Callable[..., Any], x: Any) -> tuple[Any, Any]:
    """Value and gradient at x, which can themselves be traced; as `autograd.value_and_grad`."""
    from autograd.core import vspace

    pullback, value = make_vjp(scalar_valued(fun), x)
    space = vspace(value)
    if space.size != 1:
        raise TypeError("only a function whose values are real scalars has a gradient")
    return value, pullback(space.ones())


def gradient_of(fun: Callable[..., Any]) -> Callable[[Any], Any]:
    """Gradient of ``fun`` as a function of x that can itself be traced; as `autograd.grad`."""
    return lambda x: value_and_gradient(fun, x)[1]
