"""Functions of Andrei's collection (Adv. Model. Optim. 10, 2008, 147-161) that CUTEst does not have.

Indices in the formulas run from 1; a, b are two variables in a row, in pairs or (chains) overlapping.
"""

from __future__ import annotations

import numpy as np

from .registry import Both, counting, scalable


@scalable((-1.2, 1.0), multiple=2, port=None)
def whiteholst(x: np.ndarray) -> Both:
    """White and Holst, extended: sum over pairs of 100 (b - a^3)^2 + (1 - a)^2 (Andrei)."""
    a, b = x[::2], x[1::2]
    r, s = b - a**3, 1 - a
    g = np.empty_like(x)
    g[::2] = -600 * a**2 * r - 2 * s
    g[1::2] = 200 * r
    return 100 * (r @ r) + s @ s, g


@scalable((1.0, 0.8), multiple=2, port=None)
def extbeale(x: np.ndarray) -> Both:
    """Beale, extended: sum over pairs and k <= 3 of (y_k - a (1 - b^k))^2, y = 1.5, 2.25, 2.625 (Andrei)."""
    a, b = x[::2], x[1::2]
    f, g = 0.0, np.zeros_like(x)
    for k, y in ((1, 1.5), (2, 2.25), (3, 2.625)):
        r = y - a * (1 - b**k)
        f = f + r @ r
        g[::2] -= 2 * r * (1 - b**k)
        g[1::2] += 2 * k * r * a * b ** (k - 1)
    return f, g


@scalable(1.0, port=None)
def raydan1(x: np.ndarray) -> Both:
    """Raydan 1: sum (i/10) (exp x_i - x_i) (Andrei)."""
    i, e = counting(x.size) / 10, np.exp(x)
    return i @ (e - x), i * (e - 1)


@scalable(1.0, port=None)
def diagonal3(x: np.ndarray) -> Both:
    """Diagonal 3: sum exp x_i - i sin x_i (Andrei)."""
    i, e = counting(x.size), np.exp(x)
    return np.sum(e) - i @ np.sin(x), e - i * np.cos(x)


@scalable(1.0, port=None)
def hager(x: np.ndarray) -> Both:
    """Hager: sum exp x_i - sqrt(i) x_i (Andrei)."""
    root, e = np.sqrt(counting(x.size)), np.exp(x)
    return np.sum(e) - root @ x, e - root


@scalable(2.0, port=None)
def gentridiag1(x: np.ndarray) -> Both:
    """Generalised tridiagonal 1: chain of (a + b - 3)^2 + (a - b + 1)^4 (Andrei)."""
    r, s = x[:-1] + x[1:] - 3, x[:-1] - x[1:] + 1
    g = np.zeros_like(x)
    g[:-1] += 2 * r + 4 * s**3
    g[1:] += 2 * r - 4 * s**3
    return r @ r + np.sum(s**4), g


@scalable((3.0, 0.1), port=None)
def genpsc1(x: np.ndarray) -> Both:
    """Generalised PSC1: chain of (a^2 + b^2 + ab)^2 + sin^2 a + cos^2 b (Andrei)."""
    a, b = x[:-1], x[1:]
    r = a**2 + b**2 + a * b
    g = np.zeros_like(x)
    g[:-1] += 2 * r * (2 * a + b) + np.sin(2 * a)
    g[1:] += 2 * r * (2 * b + a) - np.sin(2 * b)
    return r @ r + np.sum(np.sin(a) ** 2) + np.sum(np.cos(b) ** 2), g


@scalable((1.1, 0.1), multiple=2, port=None)
def maratos(x: np.ndarray) -> Both:
    """Maratos, extended: sum over pairs of a + 100 (a^2 + b^2 - 1)^2 (Andrei)."""
    a, b = x[::2], x[1::2]
    r = a**2 + b**2 - 1
    g = np.empty_like(x)
    g[::2] = 1 + 400 * a * r
    g[1::2] = 400 * b * r
    return np.sum(a) + 100 * (r @ r), g


@scalable(0.0, multiple=2, port=None)
def hiebert(x: np.ndarray) -> Both:
    """Hiebert, extended: sum over pairs of (a - 10)^2 + (ab - 50000)^2 (Andrei)."""
    a, b = x[::2], x[1::2]
    r, s = a - 10, a * b - 50000
    g = np.empty_like(x)
    g[::2] = 2 * r + 2 * b * s
    g[1::2] = 2 * a * s
    return r @ r + s @ s, g


@scalable(0.5, port=None)
def quaddiagpert(x: np.ndarray) -> Both:
    """Quadratic diagonal perturbed: (sum x_i)^2 + sum (i/100) x_i^2 (Andrei)."""
    i, s = counting(x.size) / 100, np.sum(x)
    return s**2 + i @ x**2, 2 * s + 2 * i * x


@scalable(0.5, port=None)
def pertquad(x: np.ndarray) -> Both:
    """Perturbed quadratic: sum i x_i^2 + (sum x_i)^2 / 100 (Andrei)."""
    i, s = counting(x.size), np.sum(x)
    return i @ x**2 + s**2 / 100, 2 * i * x + s / 50


@scalable(0.5, port=None)
def partpertquad(x: np.ndarray) -> Both:
    """Partial perturbed quadratic: x_1^2 + sum_i i x_i^2 + (x_1 + ... + x_i)^2 / 100 (Andrei)."""
    i, s = counting(x.size), np.cumsum(x)
    g = 2 * i * x + np.cumsum(s[::-1])[::-1] / 50
    g[0] += 2 * x[0]
    return x[0] ** 2 + i @ x**2 + s @ s / 100, g


@scalable(1.0, port=None)
def staircase1(x: np.ndarray) -> Both:
    """Staircase 1: sum_i (x_1 + ... + x_i)^2 (Andrei)."""
    s = np.cumsum(x)
    return s @ s, 2 * np.cumsum(s[::-1])[::-1]


@scalable(0.5, port=None)
def quadqf2(x: np.ndarray) -> Both:
    """Quadratic QF2: sum (i/2) (x_i^2 - 1)^2 - x_n (Andrei)."""
    i, r = counting(x.size), x**2 - 1
    g = 2 * i * r * x
    g[-1] -= 1
    return i @ r**2 / 2 - x[-1], g


@scalable(1.0, port=None)
def qp1(x: np.ndarray) -> Both:
    """Quadratic penalty QP1: sum_{i<n} (x_i^2 - 2)^2 + (sum x_i^2 - 1/2)^2 (Andrei)."""
    r, s = x[:-1] ** 2 - 2, x @ x - 0.5
    g = 4 * s * x
    g[:-1] += 4 * r * x[:-1]
    return r @ r + s**2, g


@scalable(1.0, port=None)
def qp2(x: np.ndarray) -> Both:
    """Quadratic penalty QP2: sum_{i<n} (x_i^2 - sin x_i)^2 + (sum x_i^2 - 100)^2 (Andrei)."""
    a = x[:-1]
    r, s = a**2 - np.sin(a), x @ x - 100
    g = 4 * s * x
    g[:-1] += 2 * r * (2 * a - np.cos(a))
    return r @ r + s**2, g


@scalable(1.0, port=None)
def exttridiag2(x: np.ndarray) -> Both:
    """Tridiagonal 2, extended: chain of (ab - 1)^2 + (a + 1) (b + 1) / 10 (Andrei)."""
    a, b = x[:-1], x[1:]
    r = a * b - 1
    g = np.zeros_like(x)
    g[:-1] += 2 * r * b + (b + 1) / 10
    g[1:] += 2 * r * a + (a + 1) / 10
    return r @ r + (a + 1) @ (b + 1) / 10, g


@scalable(1.0, port=None)
def genquartic2(x: np.ndarray) -> Both:
    """Generalised quartic GQ2: (x_1^2 - 1)^2 + chain of (b^2 - a - 2)^2 (Andrei)."""
    first, r = x[0] ** 2 - 1, x[1:] ** 2 - x[:-1] - 2
    g = np.zeros_like(x)
    g[1:] += 4 * r * x[1:]
    g[:-1] -= 2 * r
    g[0] += 4 * first * x[0]
    return first**2 + r @ r, g


@scalable(0.0, port=None)
def fletcher(x: np.ndarray) -> Both:
    """Fletcher: sum 100 (x_{i+1} - x_i + 1 - x_i^2)^2 (Andrei)."""
    a = x[:-1]
    r = x[1:] - a + 1 - a**2
    g = np.zeros_like(x)
    g[1:] += 200 * r
    g[:-1] -= 200 * r * (1 + 2 * a)
    return 100 * (r @ r), g
