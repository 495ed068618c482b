"""Differential equations in one and two variables, as losses of small tanh networks: for `pinn.py`.

A loss is the mean square of the equation's residual at interior points, plus those of the initial and
boundary conditions, all with weight 1. The network sees inputs mapped to [-1, 1]. Its derivatives are carried
through the layers along with its values (Taylor coefficients up to order 2), so that a gradient is one
reverse pass. Interior points are a Halton sequence (equal distances in one variable), the same for every
seed; a seed chooses the weights (Glorot, normal).

Sources: convection and reaction as in Krishnapriyan et al. (NeurIPS 2021) and Rathore et al. (ICML 2024), but
convection with beta = 20 too; Burgers as in Raissi et al. (2019) with ten times its viscosity; the wave of
Rathore et al. with half its speed and beta = 3 in place of 5, since networks here are small.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

START, SIDE = 81, 101
"""Points at the start in time and on each side. With fewer of them in time, a periodic side would not notice
waves as short as those of convection with beta = 40."""
HELD_OUT = 61
"""Points in each variable at which the error of the solution is measured."""

MORE = 1.2
"""Points inside the domain for each variable of the network."""
MOST = 1200
"""Points inside at most."""

Streams = dict[tuple[int, ...], Any]
"""A function and its derivatives at points, by the inputs that it is derived by: () is the function."""


class Equation(NamedTuple):
    """A problem: its domain, its points, its residuals by sets of points, and its solution.

    ``orders`` is how often the residuals derive by each input, inside and elsewhere. ``sets`` are arrays of
    points, shape (m, d), those inside first. ``residuals`` takes the streams at each of them, then the sets,
    and answers arrays whose mean squares are summed.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    orders: tuple[tuple[int, ...], tuple[int, ...]]
    sets: tuple[np.ndarray, ...]
    residuals: Callable[..., tuple[Any, ...]]
    exact: Callable[[np.ndarray], np.ndarray]


class Problem(NamedTuple):
    """A loss with its gradient, a start, and the relative L2 error of a solution."""

    both: Callable[[np.ndarray], tuple[float, np.ndarray]]
    x0: np.ndarray
    error: Callable[[np.ndarray], float]
    loss: Callable[[Any], Any]


# ---- the network -------------------------------------------------------------------------------------------


def size(units: tuple[int, ...]) -> int:
    """Return the number of variables of a network with these layers."""
    return sum((m + 1) * n for m, n in pairwise(units))


def initial(units: tuple[int, ...], seed: int) -> np.ndarray:
    """Weights by Glorot's rule, offsets zero: for each layer, one after the other."""
    rng = np.random.default_rng(seed)
    parts = []
    for m, n in pairwise(units):
        parts += [rng.normal(size=m * n) * math.sqrt(2 / (m + n)), np.zeros(n)]
    return np.concatenate(parts)


def network(
    x: Any, points: Any, units: tuple[int, ...], scale: np.ndarray, orders: tuple[int, ...]
) -> Streams:
    """Evaluate a tanh network and its derivatives, of order 1 and 2 by single inputs.

    Parameters
    ----------
    x : array, shape (n,)
        Variables, as `initial` orders them.
    points : array, shape (m, d)
        Inputs in [-1, 1].
    units : tuple of int
        Units of the layers, d first, 1 last.
    scale : ndarray, shape (d,)
        Derivative of the network's inputs by the equation's.
    orders : tuple of int
        Derivatives wanted by each input: 0, 1 or 2.

    Returns
    -------
    dict
        Arrays of shape (m,), keys (), (i,), (i, i).
    """
    import jax.numpy as jnp

    streams: Streams = {(): points}
    at = 0
    for layer, (m, n) in enumerate(pairwise(units)):
        weights = x[at : at + m * n].reshape(m, n)
        offsets = x[at + m * n : at + (m + 1) * n]
        at += (m + 1) * n
        if layer == 0:
            linear: Streams = {(): points @ weights + offsets}
            for i, order in enumerate(orders):
                if order:
                    linear[(i,)] = jnp.broadcast_to(scale[i] * weights[i], linear[()].shape)
                if order == 2:
                    linear[(i, i)] = jnp.zeros_like(linear[()])
        else:
            product = jnp.stack(list(streams.values())) @ weights  # one product for all of them
            linear = dict(zip(streams, product, strict=True))
            linear[()] = linear[()] + offsets
        streams = linear if layer == len(units) - 2 else _tanh(linear)
    return {key: value[:, 0] for key, value in streams.items()}


def _tanh(z: Streams) -> Streams:
    import jax.numpy as jnp

    h = jnp.tanh(z[()])
    slope = 1.0 - h * h
    out: Streams = {(): h}
    for key, value in z.items():
        if len(key) == 1:
            out[key] = slope * value
        elif len(key) == 2:
            out[key] = slope * (value - 2.0 * h * z[key[:1]] ** 2)
    return out


# ---- equations ---------------------------------------------------------------------------------------------


def _halton(low: tuple[float, ...], high: tuple[float, ...], many: int) -> np.ndarray:
    from scipy.stats import qmc

    return qmc.scale(qmc.Halton(len(low), seed=0).random(many), low, high)


def _line(low: float, high: float, many: int, axis: int, other: float) -> np.ndarray:
    """Return equal distances along one variable of two, the other held."""
    points = np.full((many, 2), other)
    points[:, axis] = np.linspace(low, high, many)
    return points


def poisson(many: int) -> Equation:
    """Poisson: u'' = f on [0, 1], u(0) = u(1) = 0, with u = sin(2 pi x) + sin(12 pi x) / 10."""
    from jax import numpy as jnp

    slow, fast = 2 * math.pi, 12 * math.pi

    def residuals(inside: Streams, ends: Streams, x: Any, _: Any) -> tuple[Any, ...]:
        right = -(slow**2) * jnp.sin(slow * x[:, 0]) - 0.1 * fast**2 * jnp.sin(fast * x[:, 0])
        return (inside[(0, 0)] - right) / fast**2, ends[()]

    points = (np.linspace(0, 1, many)[:, None], np.array([[0.0], [1.0]]))
    return Equation(
        (0.0,), (1.0,), ((2,), (0,)), points, residuals,
        lambda x: np.sin(slow * x[:, 0]) + 0.1 * np.sin(fast * x[:, 0]),
    )  # fmt: skip


def _periodic(
    residual: Callable[..., Any], start: Callable[[Any], Any], orders: tuple[int, int], exact: Any, many: int
) -> Equation:
    """Return an equation on x in [0, 2 pi], t in [0, 1], periodic in x, with a start at t = 0."""
    low, high = (0.0, 0.0), (2 * math.pi, 1.0)

    def residuals(inside: Streams, begin: Streams, left: Streams, right: Streams, *points: Any) -> Any:
        return residual(inside), begin[()] - start(points[1][:, 0]), left[()] - right[()]

    sides = (_line(0, 1, SIDE, 1, 0.0), _line(0, 1, SIDE, 1, 2 * math.pi))
    sets = (_halton(low, high, many), _line(0, 2 * math.pi, START, 0, 0.0), *sides)
    return Equation(low, high, (orders, (0, 0)), sets, residuals, exact)


def convection(many: int, beta: float) -> Equation:
    """Convection: u_t + beta u_x = 0 with u(x, 0) = sin x: u = sin(x - beta t)."""
    from jax import numpy as jnp

    return _periodic(
        lambda u: u[(1,)] + beta * u[(0,)], jnp.sin, (1, 1), lambda z: np.sin(z[:, 0] - beta * z[:, 1]), many
    )


def reaction(many: int, rho: float = 5.0) -> Equation:
    """Reaction: u_t = rho u (1 - u) from a Gaussian of width pi / 4."""
    from jax import numpy as jnp

    def bell(x: Any, module: Any = jnp) -> Any:
        return module.exp(-((x - math.pi) ** 2) / (2 * (math.pi / 4) ** 2))

    def exact(z: np.ndarray) -> np.ndarray:
        grown = bell(z[:, 0], np) * np.exp(rho * z[:, 1])
        return grown / (grown + 1 - bell(z[:, 0], np))

    return _periodic(lambda u: u[(1,)] - rho * u[()] * (1 - u[()]), bell, (0, 1), exact, many)


def burgers(many: int, viscosity: float = 0.1 / math.pi) -> Equation:
    """Burgers: u_t + u u_x = viscosity u_xx on [-1, 1], u(x, 0) = -sin(pi x), u = 0 at the ends."""
    from jax import numpy as jnp

    low, high = (-1.0, 0.0), (1.0, 1.0)

    def residuals(inside: Streams, begin: Streams, left: Streams, right: Streams, *points: Any) -> Any:
        equation = inside[(1,)] + inside[()] * inside[(0,)] - viscosity * inside[(0, 0)]
        return equation, begin[()] + jnp.sin(math.pi * points[1][:, 0]), left[()], right[()]

    sides = (_line(0, 1, SIDE, 1, -1.0), _line(0, 1, SIDE, 1, 1.0))
    sets = (_halton(low, high, many), _line(-1, 1, START, 0, 0.0), *sides)
    return Equation(low, high, ((2, 1), (0, 0)), sets, residuals, lambda z: _cole_hopf(z, viscosity))


def _cole_hopf(z: np.ndarray, viscosity: float) -> np.ndarray:
    """Solution of Burgers' equation from -sin(pi x), by Gauss-Hermite quadrature of its closed form."""
    nodes, weights = np.polynomial.hermite.hermgauss(100)
    u = np.empty(len(z))
    for k, (x, t) in enumerate(z):
        if t == 0:
            u[k] = -np.sin(np.pi * x)
            continue
        y = x - nodes * math.sqrt(4 * viscosity * t)
        mass = weights * np.exp(-np.cos(np.pi * y) / (2 * math.pi * viscosity))
        u[k] = -(mass @ np.sin(np.pi * y)) / mass.sum()
    return u


def wave(many: int, speed: float = 1.0, beta: float = 3.0) -> Equation:
    """Wave: u_tt = speed^2 u_xx on [0, 1], at rest at t = 0, u = sin(pi x) + sin(beta pi x) / 2 there."""
    from jax import numpy as jnp

    low, high = (0.0, 0.0), (1.0, 1.0)

    def residuals(inside: Streams, begin: Streams, left: Streams, right: Streams, *points: Any) -> Any:
        x = points[1][:, 0]
        start = jnp.sin(math.pi * x) + 0.5 * jnp.sin(beta * math.pi * x)
        equation = inside[(1, 1)] - speed**2 * inside[(0, 0)]
        return equation, begin[()] - start, begin[(1,)], left[()], right[()]

    def exact(z: np.ndarray) -> np.ndarray:
        x, t = math.pi * z[:, 0], math.pi * speed * z[:, 1]
        return np.sin(x) * np.cos(t) + 0.5 * np.sin(beta * x) * np.cos(beta * t)

    sides = (_line(0, 1, SIDE, 1, 0.0), _line(0, 1, SIDE, 1, 1.0))
    sets = (_halton(low, high, many), _line(0, 1, START, 0, 0.0), *sides)
    return Equation(low, high, ((2, 2), (0, 1)), sets, residuals, exact)


EQUATIONS: dict[str, Callable[[int], Equation]] = {
    "poisson": poisson,
    "convection 20": functools.partial(convection, beta=20.0),
    "convection 40": functools.partial(convection, beta=40.0),
    "reaction": reaction,
    "burgers": burgers,
    "wave": wave,
}
"""The equations of the arena."""


# ---- losses ------------------------------------------------------------------------------------------------


@functools.cache
def _functions(name: str, hidden: tuple[int, ...], dtype: str) -> tuple[Any, ...]:
    """Loss, compiled with its gradient; compiled predictions and the solution at held-out points; units."""
    import jax
    from jax import numpy as jnp

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_cpu_enable_async_dispatch", False)  # computed by the thread that asks
    units = (1 if name == "poisson" else 2, *hidden, 1)
    equation = EQUATIONS[name](min(round(MORE * size(units)), MOST))
    low, high = np.array(equation.low), np.array(equation.high)
    scale = (2 / (high - low)).astype(dtype)

    def mapped(points: np.ndarray) -> np.ndarray:
        return (2 * (points - low) / (high - low) - 1).astype(dtype)

    inputs = [mapped(points) for points in equation.sets]
    given = [points.astype(dtype) for points in equation.sets]
    bounds = np.cumsum([0, *map(len, inputs[1:])])

    def loss(x: Any) -> Any:
        inside = network(x, inputs[0], units, scale, equation.orders[0])
        streams = network(x, np.concatenate(inputs[1:]), units, scale, equation.orders[1])
        sets = [{key: v[a:b] for key, v in streams.items()} for a, b in pairwise(bounds)]
        return sum(jnp.mean(r * r) for r in equation.residuals(inside, *sets, *given))

    axes = np.meshgrid(*(np.linspace(a, b, HELD_OUT) for a, b in zip(low, high, strict=True)), indexing="ij")
    held_out = np.stack([axis.ravel() for axis in axes], axis=1)
    exact = equation.exact(held_out)

    def predict(x: Any) -> Any:
        return network(x, mapped(held_out), units, scale, (0,) * low.size)[()]

    return loss, jax.jit(jax.value_and_grad(loss)), jax.jit(predict), exact, units


def problem(name: str, hidden: tuple[int, ...], seed: int, dtype: str = "float64") -> Problem:
    """Return a problem of `EQUATIONS` for a network with these hidden layers, started from a seed."""
    loss, compiled, predict, exact, units = _functions(name, hidden, dtype)

    def both(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = compiled(x)
        return float(value), np.array(gradient)

    def error(x: np.ndarray) -> float:
        return float(np.linalg.norm(np.array(predict(x)) - exact) / np.linalg.norm(exact))

    return Problem(both, initial(units, seed).astype(dtype), error, loss)
