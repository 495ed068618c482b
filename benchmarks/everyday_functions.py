"""Everyday problems from formulas: clusters of atoms, cheap convex functions, classics, curve fits.

A builder returns ``(pair, x0)``: a function of x, an ndarray of shape (n,), that answers the value and the
gradient, and the start. Everything random is seeded.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

Pair = Callable[[np.ndarray], tuple[float, np.ndarray]]
Built = tuple[Pair, np.ndarray]

# ---- Lennard-Jones clusters


def lennard_jones(x: np.ndarray) -> tuple[float, np.ndarray]:
    """Energy of atoms at ``x.reshape(-1, 3)``: the sum of ``4 (r**-12 - r**-6)`` over pairs."""
    atoms = x.reshape(-1, 3)
    apart = atoms[:, None] - atoms
    square = np.einsum("ijk,ijk->ij", apart, apart)
    np.fill_diagonal(square, np.inf)
    sixth = square**-3
    pull = 24.0 * sixth * (1.0 - 2.0 * sixth) / square
    return 2.0 * float(np.sum(sixth * (sixth - 1.0))), np.einsum("ij,ijk->ik", pull, apart).ravel()


def cluster(atoms: int, seed: int) -> Built:
    """Atoms uniform in a cube of edge ``1.5 atoms**(1/3)``, none nearer than .85 to another."""
    rng = np.random.default_rng([1, atoms, seed])
    placed = np.empty((0, 3))
    while len(placed) < atoms:
        atom = rng.uniform(0.0, 1.5 * atoms ** (1 / 3), 3)
        if np.all(np.sum((placed - atom) ** 2, axis=1) >= 0.85**2):
            placed = np.vstack([placed, atom])
    return lennard_jones, placed.ravel()


CLUSTERS = {f"lj{n}": partial(cluster, n, 0) for n in (5, 6, 8, 10, 13, 15, 19, 24, 30, 38)}

# ---- convex functions that cost next to nothing


def cosh_sum(n: int) -> Built:
    """``2 sum(cosh(x_i / s_i))`` from 30 s_i, the scales s from 1 to 10."""
    scale = np.geomspace(1.0, 10.0, n) if n > 1 else np.ones(1)

    def pair(x: np.ndarray) -> tuple[float, np.ndarray]:
        return 2.0 * float(np.sum(np.cosh(x / scale))), 2.0 * np.sinh(x / scale) / scale

    return pair, 30.0 * scale


def log_sum_exp(n: int, terms: int, sharpness: float) -> Built:
    """``log(sum(exp(A x + b)))``, A normal times the sharpness with rows that sum to zero, from ones."""
    rng = np.random.default_rng([2, n, terms])
    a, b = rng.normal(size=(terms, n)), rng.normal(size=terms)
    a = sharpness * (a - a.mean(axis=0))  # zero is then a mean of the rows, so that there is a minimum

    def pair(x: np.ndarray) -> tuple[float, np.ndarray]:
        z = a @ x + b
        top = z.max()
        weight = np.exp(z - top)
        total = weight.sum()
        return float(top + np.log(total)), a.T @ (weight / total)

    return pair, np.ones(n)


def quadratic(n: int, condition: float, rotated: bool) -> Built:
    """``x'Hx / 2 - b'x`` from zero; eigenvalues around 1, spread evenly in the logarithm."""
    rng = np.random.default_rng([3, n])
    spectrum = np.geomspace(condition**-0.5, condition**0.5, n)
    basis = np.linalg.qr(rng.normal(size=(n, n)))[0] if rotated else np.eye(n)
    h, b = (basis * spectrum) @ basis.T, basis @ (spectrum * rng.normal(size=n))

    def pair(x: np.ndarray) -> tuple[float, np.ndarray]:
        hx = h @ x
        return float(x @ (0.5 * hx - b)), hx - b

    return pair, np.zeros(n)


def quartic(n: int) -> Built:
    """``sum((x_i - i)**4)`` from 10: the Hessian vanishes at the minimum."""
    centre = np.arange(n, dtype=float)

    def pair(x: np.ndarray) -> tuple[float, np.ndarray]:
        return float(np.sum((x - centre) ** 4)), 4.0 * (x - centre) ** 3

    return pair, np.full(n, 10.0)


def robust_line(n: int) -> Built:
    """Regression with the loss ``sqrt(1 + r**2) - 1`` and outliers, 100 points, mean, from zero."""
    rng = np.random.default_rng([4, n])
    a = np.column_stack([np.ones(100), rng.normal(size=(100, n - 1))])
    y = a @ rng.normal(size=n) + 0.3 * rng.normal(size=100) + 20.0 * (rng.random(100) < 0.1)

    def pair(x: np.ndarray) -> tuple[float, np.ndarray]:
        r = a @ x - y
        root = np.sqrt(1.0 + r * r)
        return float(np.mean(root - 1.0)), a.T @ (r / root) / r.size

    return pair, np.zeros(n)


def exponential_tilt(n: int) -> Built:
    """``sum(exp(x_i) - c_i x_i)`` from zero, c from 1e-2 to 1e3."""
    tilt = np.geomspace(1e-2, 1e3, n)

    def pair(x: np.ndarray) -> tuple[float, np.ndarray]:
        e = np.exp(x)
        return float(np.sum(e - tilt * x)), e - tilt

    return pair, np.zeros(n)


CONVEX = {
    "cosh1": partial(cosh_sum, 1),
    "cosh10": partial(cosh_sum, 10),
    "log-sum-exp10": partial(log_sum_exp, 10, 50, 1.0),
    "log-sum-exp30": partial(log_sum_exp, 30, 200, 3.0),
    "quadratic20": partial(quadratic, 20, 1e4, False),
    "quadratic50": partial(quadratic, 50, 1e6, True),
    "quartic10": partial(quartic, 10),
    "quartic1": partial(quartic, 1),
    "robust10": partial(robust_line, 10),
    "exponentials12": partial(exponential_tilt, 12),
}

# ---- sums of squares: classics of Moré, Garbow & Hillstrom (ACM Trans. Math. Softw. 7, 1981), curve fits

Residuals = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def sum_of_squares(residuals: Residuals) -> Pair:
    """``sum(r**2)`` of a function that answers r, shape (m,), and its Jacobian, shape (m, n)."""

    def pair(x: np.ndarray) -> tuple[float, np.ndarray]:
        r, jacobian = residuals(x)
        return float(r @ r), 2.0 * (jacobian.T @ r)

    return pair


def rosenbrock(n: int, power: int = 2) -> Built:
    """Chained Rosenbrock valley, n = 2 the famous one; power 3 is White and Holst's.

    Beyond two variables from the start of SciPy's documentation: the famous one leads some to a minimum that
    is not the lowest.
    """

    def residuals(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        k = np.arange(n - 1)
        jacobian = np.zeros((2 * n - 2, n))
        jacobian[k, k], jacobian[k, k + 1] = -10.0 * power * x[:-1] ** (power - 1), 10.0
        jacobian[n - 1 + k, k] = -1.0
        return np.concatenate([10.0 * (x[1:] - x[:-1] ** power), 1.0 - x[:-1]]), jacobian

    start = [-1.2, 1.0] if n == 2 else [1.3, 0.7, 0.8, 1.9, 1.2]
    return sum_of_squares(residuals), np.resize(start, n)


def wood() -> Built:
    """Two valleys coupled, (14) there."""
    s90, s10 = np.sqrt(90.0), np.sqrt(10.0)

    def residuals(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        a, b, c, d = x
        r = [10 * (b - a * a), 1 - a, s90 * (d - c * c), 1 - c, s10 * (b + d - 2), (b - d) / s10]
        jacobian = [
            [-20 * a, 10, 0, 0],
            [-1, 0, 0, 0],
            [0, 0, -2 * s90 * c, s90],
            [0, 0, -1, 0],
            [0, s10, 0, s10],
            [0, 1 / s10, 0, -1 / s10],
        ]
        return np.array(r), np.array(jacobian)

    return sum_of_squares(residuals), np.array([-3.0, -1.0, -3.0, -1.0])


def powell_singular(n: int) -> Built:
    """Powell's function with a singular Hessian at the minimum, (13) and (22) there."""
    s5, s10 = np.sqrt(5.0), np.sqrt(10.0)

    def pair(x: np.ndarray) -> tuple[float, np.ndarray]:
        a, b, c, d = x.reshape(-1, 4).T
        p, q, r, s = a + 10 * b, s5 * (c - d), (b - 2 * c) ** 2, s10 * (a - d) ** 2
        du, dv = 4 * r * (b - 2 * c), 4 * s10 * s * (a - d)
        g = np.column_stack([2 * p + dv, 20 * p + du, 2 * s5 * q - 2 * du, -2 * s5 * q - dv])
        return float(np.sum(p * p + q * q + r * r + s * s)), g.ravel()

    return pair, np.tile([3.0, -1.0, 0.0, 1.0], n // 4)


def beale() -> Built:
    """Beale's valley of two variables, (5) there."""
    power, y = np.arange(1, 4), np.array([1.5, 2.25, 2.625])

    def residuals(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        a, b = x
        return y - a * (1 - b**power), np.column_stack([b**power - 1, a * power * b ** (power - 1)])

    return sum_of_squares(residuals), np.ones(2)


def helical_valley() -> Built:
    """Valley along a helix, (7) there."""

    def residuals(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        a, b, c = x
        square = a * a + b * b
        root = np.sqrt(square)
        turn = np.arctan(b / a) / (2 * np.pi) + (0.5 if a < 0 else 0.0)
        bend = 100.0 / (2 * np.pi * square)
        jacobian = [[bend * b, -bend * a, 10.0], [10 * a / root, 10 * b / root, 0.0], [0.0, 0.0, 1.0]]
        return np.array([10 * (c - 10 * turn), 10 * (root - 1), c]), np.array(jacobian)

    return sum_of_squares(residuals), np.array([-1.0, 0.0, 0.0])


def brown_dennis() -> Built:
    """Values near 85,822 at the minimum, (16) there."""
    t = np.arange(1, 21) / 5.0

    def residuals(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        u, v = x[0] + t * x[1] - np.exp(t), x[2] + x[3] * np.sin(t) - np.cos(t)
        du = np.column_stack([np.ones(20), t])
        dv = np.column_stack([np.ones(20), np.sin(t)])
        return u * u + v * v, np.column_stack([2 * u[:, None] * du, 2 * v[:, None] * dv])

    return sum_of_squares(residuals), np.array([25.0, 5.0, -5.0, -1.0])


def box() -> Built:
    """Exponentials of three variables, (12) there."""
    t = np.arange(1, 11) / 10.0
    target = np.exp(-t) - np.exp(-10.0 * t)

    def residuals(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        a, b = np.exp(-t * x[0]), np.exp(-t * x[1])
        return a - b - x[2] * target, np.column_stack([-t * a, t * b, -target])

    return sum_of_squares(residuals), np.array([0.0, 10.0, 20.0])


CLASSICS: dict[str, Callable[[], Built]] = {
    "rosenbrock2": partial(rosenbrock, 2),
    "rosenbrock10": partial(rosenbrock, 10),
    "powell-singular4": partial(powell_singular, 4),
    "powell-singular20": partial(powell_singular, 20),
    "beale": beale,
    "wood": wood,
    "helical-valley": helical_valley,
    "brown-dennis": brown_dennis,
    "white-holst2": partial(rosenbrock, 2, 3),
    "box3": box,
}

Model = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def exponentials(t: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``sum(a_k exp(-r_k t))``, parameters a then r."""
    a, r = np.split(x, 2)
    e = np.exp(-np.outer(t, r))
    return e @ a, np.column_stack([e, -t[:, None] * e * a])


def exponentials_log(t: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Like `exponentials`, in the logarithms of the rates."""
    a, logs = np.split(x, 2)
    y, jacobian = exponentials(t, np.concatenate([a, np.exp(logs)]))
    jacobian[:, a.size :] *= np.exp(logs)
    return y, jacobian


def saturation(s: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Michaelis-Menten ``v s / (k + s)``, parameters v, k."""
    share = s / (x[1] + s)
    return x[0] * share, np.column_stack([share, -x[0] * share / (x[1] + s)])


def growth(t: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logistic growth ``k / (1 + exp(-r (t - m)))``, parameters k, r, m."""
    k, r, m = x
    share = 1.0 / (1.0 + np.exp(-r * (t - m)))
    slope = k * share * (1.0 - share)
    return k * share, np.column_stack([share, slope * (t - m), -slope * r])


def peaks(t: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian peaks on a line: height, place, width of each, then intercept and slope."""
    height, place, width = x[:-2].reshape(-1, 3).T
    z = (t[:, None] - place) / width
    bell = np.exp(-0.5 * z * z)
    parts = np.stack([bell, height * bell * z / width, height * bell * z * z / width], axis=2)
    line = np.column_stack([np.ones_like(t), t])
    return bell @ height + line @ x[-2:], np.column_stack([parts.reshape(t.size, -1), line])


def curve(
    model: Model, t: np.ndarray, truth: list[float], start: list[float], noise: float, seed: int
) -> Built:
    """Sum of squares of a model against its values at the truth with normal noise."""
    y = model(t, np.array(truth))[0] + noise * np.random.default_rng([5, seed]).normal(size=t.size)

    def residuals(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value, jacobian = model(t, x)
        return value - y, jacobian

    return sum_of_squares(residuals), np.array(start, dtype=float)


_T10, _T100 = np.linspace(0.0, 10.0, 60), np.linspace(0.0, 100.0, 120)
_TWO_PEAKS = [5.0, 30.0, 4.0, 3.0, 60.0, 8.0, 1.0, 0.01]
_THREE_PEAKS = [40.0, 20.0, 3.0, 90.0, 45.0, 5.0, 60.0, 70.0, 4.0, 20.0, -0.1]

CURVES: dict[str, Callable[[], Built]] = {
    "two-exponentials": partial(curve, exponentials, _T10, [3, 2, 1.5, 0.2], [1, 1, 1, 0.1], 0.05, 0),
    "two-exponentials-near": partial(curve, exponentials, _T10, [2, 2, 1, 0.3], [1, 1, 2, 0.1], 0.02, 1),
    "three-exponentials": partial(
        curve, exponentials, _T10, [3, 2, 1, 4, 0.8, 0.1], [1, 1, 1, 3, 1, 0.2], 0.01, 2
    ),
    "three-exponentials-log": partial(
        curve, exponentials_log, _T10, [3, 2, 1, 1.4, -0.2, -2.3], [1, 1, 1, 1, 0, -1], 0.01, 3
    ),
    "saturation-ppm": partial(curve, saturation, np.geomspace(0.02, 1.1, 12), [212, 0.064], [150, 0.3], 8, 4),
    "saturation-molar": partial(curve, saturation, np.geomspace(1, 500, 20), [3.5, 40], [2, 100], 0.05, 5),
    "growth-cells": partial(curve, growth, _T100 / 4, [300, 0.5, 9], [250, 1, 6], 5, 6),
    "growth-share": partial(curve, growth, _T100, [0.9, 0.12, 45], [1, 0.05, 60], 0.02, 7),
    "two-peaks": partial(curve, peaks, _T100, _TWO_PEAKS, [4, 27, 6, 2, 65, 6, 0, 0], 0.1, 8),
    "three-peaks": partial(curve, peaks, _T100, _THREE_PEAKS, [30, 22, 5, 70, 43, 5, 50, 72, 5, 10, 0], 2, 9),
    "decay-seconds": partial(
        curve, exponentials, 100 * _T10, [40, 20, 0.015, 0.002], [30, 30, 0.01, 0.001], 0.5, 10
    ),
    "two-peaks-overlapping": partial(
        curve, peaks, _T100, [5, 40, 6, 3, 55, 7, 1, 0.01], [4, 35, 8, 4, 60, 8, 0, 0], 0.05, 11
    ),
}
