"""Functions of Lukšan and Vlček (LV: report V-767, Czech Academy of Sciences, 1999), with their numbers.

Its title is "Sparse and partially separable test problems for unconstrained and equality constrained
optimization". Indices in the formulas run from 1; a variable beyond the ends is zero; a, b, c, d are
variables in a row of a chain whose links overlap by two.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.sparse import csr_array
from scipy.special import xlogy

from .registry import Both, counting, quartets, scalable, window_sum

POWER = 7 / 3


def _powers(r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return |r|^(7/3) and its derivative."""
    magnitude = np.sqrt(r**2)  # analytic, unlike the absolute value
    return magnitude**POWER, POWER * magnitude ** (POWER - 2) * r


def _wood_start(n: int) -> np.ndarray:
    x = np.resize([-2.0, 0.0], n)
    x[:4] = -3.0, -1.0, -3.0, -1.0
    return x


@scalable(_wood_start, multiple=2, port=None)
def chainwoo(x: np.ndarray) -> Both:
    """Wood, chained: 100 (b-a^2)^2 + (1-a)^2 + 90 (d-c^2)^2 + (1-c)^2 + 10 (b+d-2)^2 + (b-d)^2/10 (LV 2)."""
    a, b, c, d = quartets(x)
    p, q, u, v = b - a**2, d - c**2, b + d - 2, b - d
    f = 100 * (p @ p) + np.sum((1 - a) ** 2) + 90 * (q @ q) + np.sum((1 - c) ** 2) + 10 * (u @ u) + v @ v / 10
    g = np.zeros_like(x)
    ga, gb, gc, gd = quartets(g)
    ga -= 400 * a * p + 2 * (1 - a)
    gb += 200 * p + 20 * u + 0.2 * v
    gc -= 360 * c * q + 2 * (1 - c)
    gd += 180 * q + 20 * u - 0.2 * v
    return f, g


@scalable((3.0, -1.0, 0.0, 1.0), multiple=2, port=None)
def chainpow(x: np.ndarray) -> Both:
    """Powell singular, chained: sum (a + 10b)^2 + 5 (c - d)^2 + (b - 2c)^4 + 10 (a - 10d)^4 (LV 3)."""
    a, b, c, d = quartets(x)
    p, q, r, s = a + 10 * b, c - d, b - 2 * c, a - 10 * d
    g = np.zeros_like(x)
    ga, gb, gc, gd = quartets(g)
    ga += 2 * p + 40 * s**3
    gb += 20 * p + 4 * r**3
    gc += 10 * q - 8 * r**3
    gd -= 10 * q + 400 * s**3
    return p @ p + 5 * (q @ q) + np.sum(r**4) + 10 * np.sum(s**4), g


@scalable(lambda n: np.where(np.arange(n) == 0, 1.0, 2.0), multiple=2, port_arguments=lambda n: (n // 2 - 1,))
def cragglvy(x: np.ndarray) -> Both:
    """Cragg-Levy, chained: sum (exp a - b)^4 + 100 (b-c)^6 + (tan(c-d) + c-d)^4 + a^8 + (d-1)^2 (LV 4)."""
    a, b, c, d = quartets(x)
    e = np.exp(a)
    p, q, u = e - b, b - c, c - d
    t = np.tan(u) + u
    slope = 4 * t**3 * (2 + np.tan(u) ** 2)
    g = np.zeros_like(x)
    ga, gb, gc, gd = quartets(g)
    ga += 4 * p**3 * e + 8 * a**7
    gb += 600 * q**5 - 4 * p**3
    gc += slope - 600 * q**5
    gd += 2 * (d - 1) - slope
    f = np.sum(p**4) + 100 * np.sum(q**6) + np.sum(t**4) + np.sum(a**8) + np.sum((d - 1) ** 2)
    return f, g


@scalable(-1.0, port=None)
def genbro3d(x: np.ndarray) -> Both:
    """Broyden tridiagonal with p = 7/3: sum |(3 - 2x_i) x_i - x_{i-1} - x_{i+1} + 1|^p (LV 5)."""
    f, s = _powers((3 - 2 * x) * x + 1 - (window_sum(x, 1, 1) - x))
    return np.sum(f), (3 - 4 * x) * s - (window_sum(s, 1, 1) - s)


@scalable(-1.0, port=None)
def genbrybnd(x: np.ndarray) -> Both:
    """Broyden banded, p = 7/3: sum |(2 + 5x_i^2) x_i + 1 + sum_{j=i-5..i+1} x_j (1 + x_j)|^p (LV 6)."""
    f, s = _powers((2 + 5 * x**2) * x + 1 + window_sum(x * (1 + x), 5, 1))
    return np.sum(f), (2 + 15 * x**2) * s + window_sum(s, 1, 5) * (1 + 2 * x)


@scalable(-1.0, multiple=2, port=None)
def broydn7d(x: np.ndarray) -> Both:
    """BROYDN7D: sum |(3-x_i/2) x_i - x_{i-1} - 2x_{i+1} + 1|^p + |x_i + x_{i+n/2}|^p, p = 7/3 (LV 7)."""
    m = x.size // 2
    r = (3 - x / 2) * x + 1
    r[1:] -= x[:-1]
    r[:-1] -= 2 * x[1:]
    f, s = _powers(r)
    far, t = _powers(x[:m] + x[m:])
    g = (3 - x) * s
    g[:-1] -= s[1:]
    g[1:] -= 2 * s[:-1]
    g[:m] += t
    g[m:] += t
    return np.sum(f) + np.sum(far), g


@cache
def _neighbours(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (i, j) from zero with |i - j| <= 2 or |i - j| = n / 2."""
    i = np.arange(n)
    rows, columns = [], []
    for k in sorted({-2, -1, 0, 1, 2, -(n // 2), n // 2}):
        there = i[(i + k >= 0) & (i + k < n)]
        rows.append(there)
        columns.append(there + k)
    return np.concatenate(rows), np.concatenate(columns)


@cache
def _trigonometric(n: int) -> tuple[csr_array, csr_array]:
    """Matrices a_ij = 5 (1 + i mod 5 + j mod 5) and b_ij = (i + j) / 10 on the neighbours."""
    i, j = _neighbours(n)
    a = 5.0 * (1 + (i + 1) % 5 + (j + 1) % 5)
    b = (i + j + 2) / 10
    return csr_array((a, (i, j)), shape=(n, n)), csr_array((b, (i, j)), shape=(n, n))


@scalable(lambda n: np.full(n, 1 / n), multiple=2, port=None)
def nazareth(x: np.ndarray) -> Both:
    """Sparse Nazareth trigonometric: sum_i (n + i - sum_j a_ij sin x_j + b_ij cos x_j)^2 / n (LV 8)."""
    n, s, c = x.size, np.sin(x), np.cos(x)
    a, b = _trigonometric(n)
    r = n + counting(n) - a @ s - b @ c
    return r @ r / n, 2 / n * ((b.T @ r) * s - (a.T @ r) * c)


@scalable(1.0, multiple=2, port=None)
def tointtrig(x: np.ndarray) -> Both:
    """Toint trigonometric: sum_ij a_ij sin(B_i x_i + B_j x_j + b_ij) / n, B_i = 1 + i/10 (LV 10)."""
    n = x.size
    i, j = _neighbours(n)
    beta = 1 + counting(n) / 10
    a = 5.0 * (1 + (i + 1) % 5 + (j + 1) % 5)
    angle = (beta * x)[i] + (beta * x)[j] + (i + j + 2) / 10
    slope = a * np.cos(angle)
    g = np.zeros_like(x)
    np.add.at(g, i, slope)
    np.add.at(g, j, slope)
    return a @ np.sin(angle) / n, beta * g / n


@scalable((0.0, -1.0), multiple=2, port=None)
def brown1(x: np.ndarray) -> Both:
    """Brown 1: (sum_pairs a - 3)^2 + sum_pairs (a - 3)^2/1000 - (a - b) + exp(20 (a - b)) (LV 12)."""
    a, b = x[::2], x[1::2]
    total, e = np.sum(a - 3), np.exp(20 * (a - b))
    g = np.empty_like(x)
    g[::2] = 2 * total + (a - 3) / 500 - 1 + 20 * e
    g[1::2] = 1 - 20 * e
    return total**2 + np.sum((a - 3) ** 2) / 1000 - np.sum(a - b) + np.sum(e), g


@scalable((-1.0, 1.0), port=None)
def brown2(x: np.ndarray) -> Both:
    """Brown 2: sum (x_i^2)^(x_{i+1}^2 + 1) + (x_{i+1}^2)^(x_i^2 + 1) (LV 13)."""
    a, b = x[:-1], x[1:]
    p, q = a**2, b**2
    u, v = p**q, q**p  # the terms are p u and q v
    g = np.zeros_like(x)
    g[:-1] += 2 * a * ((q + 1) * u + xlogy(q * v, q))
    g[1:] += 2 * b * ((p + 1) * v + xlogy(p * u, p))
    return p @ u + q @ v, g
