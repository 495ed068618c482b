"""Functions of Moré, Garbow and Hillstrom (MGH: ACM Trans. Math. Softw. 7, 1981, 17-41), with their numbers.

Indices in the formulas run from 1; a variable beyond the ends is zero.
"""

from __future__ import annotations

import numpy as np

from .registry import Both, counting, scalable, window_sum


@scalable((-1.2, 1.0), multiple=2, port=None)
def srosenbr(x: np.ndarray) -> Both:
    """Rosenbrock, extended: sum over pairs of 100 (b - a^2)^2 + (1 - a)^2 (MGH 21)."""
    a, b = x[::2], x[1::2]
    r, s = b - a**2, 1 - a
    g = np.empty_like(x)
    g[::2] = -400 * a * r - 2 * s
    g[1::2] = 200 * r
    return 100 * (r @ r) + s @ s, g


@scalable((3.0, -1.0, 0.0, 1.0), multiple=4)
def powellsg(x: np.ndarray) -> Both:
    """Powell singular: sum over fours of (a + 10b)^2 + 5 (c - d)^2 + (b - 2c)^4 + 10 (a - d)^4 (MGH 22)."""
    a, b, c, d = x[::4], x[1::4], x[2::4], x[3::4]
    p, q, r, s = a + 10 * b, c - d, b - 2 * c, a - d
    g = np.empty_like(x)
    g[::4] = 2 * p + 40 * s**3
    g[1::4] = 20 * p + 4 * r**3
    g[2::4] = 10 * q - 8 * r**3
    g[3::4] = -10 * q - 40 * s**3
    return p @ p + 5 * (q @ q) + np.sum(r**4) + 10 * np.sum(s**4), g


@scalable(counting)
def penalty1(x: np.ndarray) -> Both:
    """Penalty I: 1e-5 sum (x_i - 1)^2 + (sum x_i^2 - 1/4)^2 (MGH 23)."""
    r, s = x - 1, x @ x - 0.25
    return 1e-5 * (r @ r) + s**2, 2e-5 * r + 4 * s * x


@scalable(lambda n: 1 - counting(n) / n)
def vardim(x: np.ndarray) -> Both:
    """Variably dimensioned: sum (x_i - 1)^2 + s^2 + s^4, s = sum i (x_i - 1) (MGH 25)."""
    i, r = counting(x.size), x - 1
    s = i @ r
    return r @ r + s**2 + s**4, 2 * r + (2 * s + 4 * s**3) * i


@scalable(lambda n: np.full(n, 1 / n), port=None)  # the port's ARGTRIGLS is another function
def trigonometric(x: np.ndarray) -> Both:
    """Trigonometric: sum_i (n - sum_j cos x_j + i (1 - cos x_i) - sin x_i)^2 (MGH 26)."""
    i, c, s = counting(x.size), np.cos(x), np.sin(x)
    r = x.size - np.sum(c) + i * (1 - c) - s
    return r @ r, 2 * (np.sum(r) * s + r * (i * s - c))


@scalable(0.5)
def brownal(x: np.ndarray) -> Both:
    """Brown almost linear: sum_{i<n} (x_i + sum x - n - 1)^2 + (prod x - 1)^2 (MGH 27)."""
    r = x[:-1] + np.sum(x) - (x.size + 1)
    before = np.concatenate(([1.0], np.cumprod(x[:-1])))
    after = np.concatenate((np.cumprod(x[:0:-1])[::-1], [1.0]))
    p = before[-1] * x[-1] - 1
    g = 2 * np.sum(r) + 2 * p * before * after
    g[:-1] += 2 * r
    return r @ r + p**2, g


def _arc(n: int) -> np.ndarray:
    t = counting(n) / (n + 1)
    return t * (t - 1)


@scalable(_arc)
def morebv(x: np.ndarray) -> Both:
    """Boundary value: sum (2x_i - x_{i-1} - x_{i+1} + h^2 (x_i + t_i + 1)^3 / 2)^2, h = t_1 (MGH 28)."""
    h = 1 / (x.size + 1)
    u = x + h * counting(x.size) + 1
    r = 3 * x - window_sum(x, 1, 1) + 0.5 * h**2 * u**3
    return r @ r, 6 * r - 2 * window_sum(r, 1, 1) + 3 * h**2 * u**2 * r


@scalable(_arc)
def inteqnels(x: np.ndarray) -> Both:
    """Integral equation: r = x + h/2 [(1-t) S_{j<=i} t u^3 + t S_{j>i} (1-t) u^3], u = x + t + 1 (MGH 29)."""
    h = 1 / (x.size + 1)
    t = h * counting(x.size)
    u = x + t + 1
    low, high = np.cumsum(t * u**3), np.cumsum(((1 - t) * u**3)[::-1])[::-1]
    r = x + 0.5 * h * ((1 - t) * low + t * (high - (1 - t) * u**3))
    back = np.cumsum(((1 - t) * r)[::-1])[::-1]  # sum over i >= j
    ahead = np.cumsum(t * r) - t * r  # sum over i < j
    return r @ r, 2 * r + 3 * h * u**2 * (t * back + (1 - t) * ahead)


@scalable(-1.0)
def broydn3dls(x: np.ndarray) -> Both:
    """Broyden tridiagonal: sum ((3 - 2x_i) x_i - x_{i-1} - 2x_{i+1} + 1)^2 (MGH 30)."""
    r = (3 - 2 * x) * x + 1
    r[1:] -= x[:-1]
    r[:-1] -= 2 * x[1:]
    g = (3 - 4 * x) * r
    g[:-1] -= r[1:]
    g[1:] -= 2 * r[:-1]
    return r @ r, 2 * g


@scalable(-1.0, port=None)  # the port's BRYBND and BROYDNBDLS are other functions
def brybnd(x: np.ndarray) -> Both:
    """Broyden banded: sum (x_i (2 + 5x_i^2) + 1 - sum_{j=i-5..i+1, j!=i} x_j (1 + x_j))^2 (MGH 31)."""
    u = x * (1 + x)
    r = x * (2 + 5 * x**2) + 1 - (window_sum(u, 5, 1) - u)
    g = r * (2 + 15 * x**2) - (window_sum(r, 1, 5) - r) * (1 + 2 * x)
    return r @ r, 2 * g
