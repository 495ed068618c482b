"""Optimistix's L-BFGS on a host function, as a contender of the benchmarks.

JAX calls back for values and gradients, each where Optimistix asks for it, so each is charged as it is for
the others. Optimistix tests steps and values but no gradient; the callback ends the run at the gradient test.
The time includes what JAX compiles, once a run.
"""

from __future__ import annotations

from typing import Any

import numpy as np


class _GradientTest(Exception):
    """Raised by the callback when the gradient test holds."""


def minimise_optimistix(
    objective: Any, x0: np.ndarray, gtol: float, memory: int
) -> tuple[np.ndarray, bool, str]:
    """Minimise ``objective.fun`` with ``objective.grad``; returns (x, success, message).

    Parameters
    ----------
    objective : contenders.Counted
        What it raises goes on unchanged.
    x0 : ndarray, shape (n,)
        Start.
    gtol : float
        Largest absolute gradient entry at which the run ends.
    memory : int
        Pairs kept.
    """
    import jax  # type: ignore[import-not-found, import-untyped, unused-ignore]
    import optimistix  # type: ignore[import-not-found, import-untyped, unused-ignore]

    jax.config.update("jax_enable_x64", True)
    point, number = (jax.ShapeDtypeStruct(s, np.float64) for s in (x0.shape, ()))
    raised: list[Exception] = []
    last = [x0]

    def guarded(call: Any) -> Any:
        def host(x: Any) -> Any:
            try:
                return call(np.asarray(x))
            except Exception as error:  # JAX wraps it: kept, to go on as it was raised
                raised.append(error)
                raise

        return host

    def value(x: np.ndarray) -> np.ndarray:
        return np.asarray(objective.fun(x))

    def gradient(x: np.ndarray) -> np.ndarray:
        g = objective.grad(x)
        last[0] = x
        if np.max(np.abs(g)) <= gtol:
            raise _GradientTest
        return g

    @jax.custom_vjp
    def fun(x: Any) -> Any:
        return jax.pure_callback(guarded(value), number, x)

    def forward(x: Any) -> Any:
        return fun(x), x

    def backward(x: Any, cotangent: Any) -> Any:
        return (cotangent * jax.pure_callback(guarded(gradient), point, x),)

    fun.defvjp(forward, backward)
    solver = optimistix.LBFGS(rtol=1e-14, atol=1e-14, history_length=memory)
    try:
        solution = optimistix.minimise(
            lambda x, _: fun(x),
            solver,
            jax.numpy.asarray(x0),
            options={"autodiff_mode": "bwd"},
            max_steps=1_000_000,
            throw=False,
        )
        return np.asarray(solution.value), False, "steps and values hardly change"
    except Exception:
        if not raised:
            raise
        if isinstance(raised[0], _GradientTest):
            return last[0], True, "gradient test"
        raise raised[0] from None
