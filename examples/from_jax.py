"""A physics-informed network, from JAX
====================================

A physics-informed network from JAX: its loss over a pytree, minimised as a function of a flat vector.

Needs JAX: ``pip install "twophase_min[jax]"``::

    python examples/from_jax.py

The network u(x) solves u'' = f on [0, 1] with u(0) = u(1) = 0, where f is that of u(x) = sin(pi x) +
sin(4 pi x) / 4. Such losses need float64. JAX's setting for it is left alone: parameters in float64 do.
"""

from itertools import pairwise

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from twophase_min import minimize, plotting
from twophase_min.gradients import from_jax

UNITS = (1, 16, 16, 1)


def start(seed: int) -> list[dict[str, np.ndarray]]:
    """Layers with Glorot's scaling, in float64."""
    rng = np.random.default_rng(seed)
    return [
        {"weights": rng.normal(size=(m, n)) * np.sqrt(2 / (m + n)), "offsets": np.zeros(n)}
        for m, n in pairwise(UNITS)
    ]


def solution(layers: list, x: jax.Array) -> jax.Array:
    """Return u at one x; the factor x (1 - x) makes it vanish at both ends."""
    h = x[None]
    for layer in layers[:-1]:
        h = jnp.tanh(h @ layer["weights"] + layer["offsets"])
    return x * (1 - x) * (h @ layers[-1]["weights"] + layers[-1]["offsets"])[0]


def loss(layers: list, points: jax.Array) -> jax.Array:
    """Mean square of the equation's residual."""
    curvature = jax.vmap(jax.grad(jax.grad(solution, 1), 1), (None, 0))(layers, points)
    right = -(jnp.pi**2) * jnp.sin(jnp.pi * points) - 4 * jnp.pi**2 * jnp.sin(4 * jnp.pi * points)
    return jnp.mean((curvature - right) ** 2)


def main() -> None:
    points = np.linspace(0.0, 1.0, 65)
    a = from_jax(loss, start(seed=0), args=(points,))
    print(a)

    result = minimize(a.fun, a.x0, jac=True, options={"convex_method": "memory-cg", "maxfun": 4000})
    for swap in result.swaps[:1]:
        print(f"{swap['from']} -> {swap['to']} after {swap['evaluations']:g} evaluations: {swap['reason']}")
    print(f"loss {a.fun(a.x0)[0]:.3g} -> {result.fun:.3g}: {result.message}")

    limits = {"maxfun": result.nfev, "maxiter": result.nfev, "gtol": 1e-5, "ftol": 0.0}
    peer = minimize(a.fun, a.x0, jac=True, method="L-BFGS-B", options=limits)
    print(f"L-BFGS-B: {peer.fun:.3g} after {peer.nfev} evaluations; ours {result.nfev}")

    layers = a.unflatten(result.x)  # as `start` made them
    u = np.array(jax.vmap(solution, (None, 0))(layers, points))
    exact = np.sin(np.pi * points) + np.sin(4 * np.pi * points) / 4
    error = np.linalg.norm(u - exact) / np.linalg.norm(exact)
    print(f"relative L2 error of u: {error:.1e}")
    assert error < 1e-2

    _, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    left.plot(points, exact, color="0.7", lw=5, label="solution")
    left.plot(points, u, "--", color="#0072B2", lw=2, label="network")
    left.set(xlabel="x", ylabel="u")
    left.legend()
    plotting.convergence({"two-phase, memory-cg": result}, ax=right, title="Mean square of the residual")
    plt.show()


if __name__ == "__main__":
    main()
