"""Everyday problems with small networks: classification, regression, residuals of differential equations.

A builder returns ``(pair, x0)`` as in `everyday_functions`. Weights start by Glorot's normal rule, seeded.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
from everyday_functions import Built
from everyday_statistics import log_softmax, table


class Layers:
    """Weights and biases of a network as views into one vector.

    Parameters
    ----------
    sizes : tuple of int
        Units by layer, inputs first.
    """

    def __init__(self, *sizes: int):
        self.shapes = list(pairwise(sizes))
        self.n = sum((a + 1) * b for a, b in self.shapes)

    def views(self, x: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Weights, shape (inputs, outputs), and biases of every layer."""
        found, at = [], 0
        for a, b in self.shapes:
            found.append((x[at : at + a * b].reshape(a, b), x[at + a * b : at + (a + 1) * b]))
            at += (a + 1) * b
        return found

    def start(self, seed: int, bias: float = 0.0) -> np.ndarray:
        """Weights normal with variance 2 / (inputs + outputs), biases uniform up to ``bias``."""
        rng = np.random.default_rng([10, seed])
        x = np.empty(self.n)
        for w, b in self.views(x):
            w[...] = rng.normal(scale=np.sqrt(2.0 / sum(w.shape)), size=w.shape)
            b[...] = rng.uniform(-bias, bias, b.size)
        return x


Loss = Callable[[np.ndarray], tuple[float, np.ndarray]]


def perceptron(inputs: np.ndarray, hidden: int, outputs: int, loss: Loss, l2: float, seed: int) -> Built:
    """One hidden layer of tanh units: a loss of the outputs plus ``l2 / 2`` times the sum of squares."""
    layers = Layers(inputs.shape[1], hidden, outputs)

    def pair(x: np.ndarray) -> tuple[float, np.ndarray]:
        (w, b), (v, c) = layers.views(x)
        h = np.tanh(inputs @ w + b)
        f, back = loss(h @ v + c)
        g = l2 * x
        (gw, gb), (gv, gc) = layers.views(g)
        gv += h.T @ back
        gc += back.sum(axis=0)
        back = (back @ v.T) * (1.0 - h * h)
        gw += inputs.T @ back
        gb += back.sum(axis=0)
        return f + 0.5 * l2 * float(x @ x), g

    return pair, layers.start(seed)


def digits(entropy: bool, first: int, seed: int) -> Built:
    """64-10-10 network on 300 digits, cross-entropy or mean squared error of the one-hot targets."""
    images, label = table("digits")
    images, label = images[first : first + 300] / 16.0, label[first : first + 300]
    target = np.eye(10)[label]

    def cross_entropy(out: np.ndarray) -> tuple[float, np.ndarray]:
        logs = log_softmax(out)
        return -float(np.sum(target * logs)) / 300.0, (np.exp(logs) - target) / 300.0

    def squared(out: np.ndarray) -> tuple[float, np.ndarray]:
        miss = out - target
        return float(np.mean(miss * miss)), miss / 1500.0

    return perceptron(images, 10, 10, cross_entropy if entropy else squared, 1e-3 if entropy else 1e-4, seed)


def waves(hidden: int, seed: int) -> Built:
    """Regression of a noisy wave, 60 points, mean squared error."""
    rng = np.random.default_rng([11, seed])
    t = np.linspace(-1.0, 1.0, 60)[:, None]
    y = np.sin(3.0 * t) + 0.5 * t + 0.05 * rng.normal(size=t.shape)

    def squared(out: np.ndarray) -> tuple[float, np.ndarray]:
        miss = out - y
        return float(np.mean(miss * miss)), miss / 30.0

    return perceptron(t, hidden, 1, squared, 1e-4, seed)


NETWORKS = {
    "digits-entropy-0": partial(digits, True, 0, 0),
    "digits-entropy-1": partial(digits, True, 300, 1),
    "digits-squares-0": partial(digits, False, 0, 2),
    "digits-squares-1": partial(digits, False, 300, 3),
    "wave10": partial(waves, 10, 4),
    "wave8": partial(waves, 8, 5),
}

# ---- differential equations: a network u(t) and its first two derivatives by t


class Jet:
    """Values and two derivatives of a tanh network of one input, and the reverse sweep through them.

    Parameters
    ----------
    layers : Layers
        One input, one output.
    t : ndarray, shape (m,)
        Points.
    """

    def __init__(self, layers: Layers, t: np.ndarray):
        self.layers = layers
        self.first = (t[:, None], np.ones((t.size, 1)), np.zeros((t.size, 1)))

    def forward(self, x: np.ndarray) -> list[np.ndarray]:
        """Return u, u' and u'', shape (m,) each."""
        views = self.layers.views(x)
        h = self.first
        self._tape = []
        for w, b in views[:-1]:
            z = (h[0] @ w + b, h[1] @ w, h[2] @ w)
            y = np.tanh(z[0])
            s = 1.0 - y * y  # first derivative of tanh; the second is -2 y s
            self._tape.append((h, z, y, s))
            h = (y, s * z[1], s * z[2] - 2.0 * y * s * z[1] ** 2)
        w, b = views[-1]
        self._last = h
        return [(h[0] @ w + b)[:, 0], (h[1] @ w)[:, 0], (h[2] @ w)[:, 0]]

    def reverse(self, x: np.ndarray, back: list[np.ndarray]) -> np.ndarray:
        """Gradient by x of a loss with these derivatives by u, u' and u''; follows `forward` at x."""
        g = np.empty_like(x)
        views, into = self.layers.views(x), self.layers.views(g)
        bars = [part[:, None] for part in back]
        into[-1][0][...] = sum(h.T @ bar for h, bar in zip(self._last, bars, strict=True))
        into[-1][1][...] = bars[0].sum(axis=0)
        steps = zip(reversed(self._tape), reversed(into[:-1]), reversed(views[1:]), strict=True)
        for (h, z, y, s), (gw, gb), (w, _) in steps:
            a, b, c = (bar @ w.T for bar in bars)
            second, third = -2.0 * y * s, s * (4.0 * y * y - 2.0 * s)
            bars = [
                s * a + second * z[1] * b + (second * z[2] + third * z[1] ** 2) * c,
                s * b + 2.0 * second * z[1] * c,
                s * c,
            ]
            gw[...] = sum(part.T @ bar for part, bar in zip(h, bars, strict=True))
            gb[...] = bars[0].sum(axis=0)
        return g


Residual = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, list[np.ndarray]]]
"""Of t, u, u', u'': the residual and its derivatives by u, u' and u''."""


def equation(
    residual: Residual, end: float, fixed: list[tuple[int, int, float]], hidden: tuple[int, ...], seed: int
) -> Built:
    """Mean squared residual at 50 points of [0, end] plus the squared misses of the fixed values.

    ``fixed`` lists (point, order of the derivative, value); the points are numbered from either side.
    """
    t = np.linspace(0.0, end, 50)
    layers = Layers(1, *hidden, 1)
    jet = Jet(layers, t)

    def pair(x: np.ndarray) -> tuple[float, np.ndarray]:
        u = jet.forward(x)
        r, slopes = residual(t, *u)
        f = float(np.mean(r * r))
        back = [2.0 / t.size * r * slope for slope in slopes]
        for point, order, value in fixed:
            miss = u[order][point] - value
            f += float(miss * miss)
            back[order][point] += 2.0 * miss
        return f, jet.reverse(x, back)

    return pair, layers.start(seed, bias=1.0)


def poisson(
    t: np.ndarray, u: np.ndarray, v: np.ndarray, w: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray]]:
    """``u'' = -10 sin(pi t)``."""
    none = np.zeros_like(t)
    return w + 10.0 * np.sin(np.pi * t), [none, none, none + 1.0]


def logistic(
    t: np.ndarray, u: np.ndarray, v: np.ndarray, w: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray]]:
    """``u' = u (1 - u)``."""
    return v - u * (1.0 - u), [2.0 * u - 1.0, np.ones_like(t), np.zeros_like(t)]


def oscillator(
    t: np.ndarray, u: np.ndarray, v: np.ndarray, w: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray]]:
    """``u'' + u' / 2 + 4 u = 0``."""
    none = np.zeros_like(t)
    return w + 0.5 * v + 4.0 * u, [none + 4.0, none + 0.5, none + 1.0]


_WALLS, _LOW, _SWING = [(0, 0, 0.0), (-1, 0, 0.0)], [(0, 0, 0.1)], [(0, 0, 1.0), (0, 1, 0.0)]

EQUATIONS = {
    "poisson-20": partial(equation, poisson, 1.0, _WALLS, (20,), 0),
    "poisson-10-10": partial(equation, poisson, 1.0, _WALLS, (10, 10), 1),
    "logistic-10-10": partial(equation, logistic, 5.0, _LOW, (10, 10), 2),
    "logistic-20": partial(equation, logistic, 5.0, _LOW, (20,), 3),
    "oscillator-20": partial(equation, oscillator, 3.0, _SWING, (20,), 4),
    "oscillator-10-10": partial(equation, oscillator, 3.0, _SWING, (10, 10), 5),
}
