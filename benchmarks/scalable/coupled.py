"""Functions of CUTEst (Gould, Orban, Toint, Comput. Optim. Appl. 60, 2015) with other terms.

Indices in the formulas run from 1.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from .registry import Both, counting, scalable


@scalable(1.0)
def arwhead(x: np.ndarray) -> Both:
    """ARWHEAD: sum_{i<n} (x_i^2 + x_n^2)^2 - 4x_i + 3 (CUTEst)."""
    a, last = x[:-1], x[-1]
    r = a**2 + last**2
    g = np.empty_like(x)
    g[:-1] = 4 * r * a - 4
    g[-1] = 4 * np.sum(r) * last
    return r @ r - 4 * np.sum(a) + 3 * a.size, g


def _dixmaan(beta: float, others: float, powers: tuple[int, int, int, int]) -> Callable[[np.ndarray], Both]:
    def both(x: np.ndarray) -> Both:
        n = x.size
        m, i = n // 3, counting(n) / n
        k1, k2, k3, k4 = powers
        w1, w2 = i**k1, beta * i[:-1] ** k2
        w3, w4 = others * i[: 2 * m] ** k3, others * i[:m] ** k4
        q = x[1:] + x[1:] ** 2
        s, t = x[: 2 * m], x[m:]
        u, v = x[:m], x[2 * m :]
        g = 2 * w1 * x
        g[:-1] += 2 * w2 * x[:-1] * q**2
        g[1:] += 2 * w2 * x[:-1] ** 2 * q * (1 + 2 * x[1:])
        g[: 2 * m] += 2 * w3 * s * t**4
        g[m:] += 4 * w3 * s**2 * t**3
        g[:m] += w4 * v
        g[2 * m :] += w4 * u
        f = 1 + w1 @ x**2 + w2 @ (x[:-1] * q) ** 2 + w3 @ (s**2 * t**4) + (w4 * u) @ v
        return f, g

    return both


def _third(n: int) -> tuple[int]:
    return (n // 3,)


@scalable(2.0, multiple=3, port="DIXMAANA1", port_arguments=_third)
def dixmaana(x: np.ndarray) -> Both:
    """Dixon-Maany A: 1 + sum x_i^2 + sum x_i^2 x_{i+m}^4 / 8 + sum x_i x_{i+2m} / 8, m = n/3 (CUTEst)."""
    return _dixmaan(0, 0.125, (0, 0, 0, 0))(x)


@scalable(2.0, multiple=3, port_arguments=_third)
def dixmaanf(x: np.ndarray) -> Both:
    """Dixon-Maany F: A plus a chain of (a (b + b^2))^2, factors 1/16, weights i/n, 1, 1, i/n (CUTEst)."""
    return _dixmaan(0.0625, 0.0625, (1, 0, 0, 1))(x)


@scalable(2.0, multiple=3, port="DIXMAANI1", port_arguments=_third)
def dixmaani(x: np.ndarray) -> Both:
    """Dixon-Maany I: A with the weights (i/n)^2, 1, (i/n)^2 on its three sums (CUTEst)."""
    return _dixmaan(0, 0.125, (2, 0, 0, 2))(x)


@scalable(2.0, multiple=3, port_arguments=_third)
def dixmaanp(x: np.ndarray) -> Both:
    """Dixon-Maany P: F with factors 0.26, weights (i/n)^2, i/n, i/n, (i/n)^2 (CUTEst)."""
    return _dixmaan(0.26, 0.26, (2, 1, 1, 2))(x)


@scalable(0.0)
def eg2(x: np.ndarray) -> Both:
    """EG2: sum_{i<n} sin(x_1 + x_i^2 - 1) + sin(x_n^2) / 2 (CUTEst)."""
    a, last = x[:-1], x[-1]
    angle = x[0] + a**2 - 1
    c = np.cos(angle)
    g = np.empty_like(x)
    g[:-1] = 2 * a * c
    g[-1] = last * np.cos(last**2)
    g[0] += np.sum(c)
    return np.sum(np.sin(angle)) + np.sin(last**2) / 2, g


@scalable(4.0)
def liarwhd(x: np.ndarray) -> Both:
    """LIARWHD: sum 4 (x_i^2 - x_1)^2 + (x_i - 1)^2 (CUTEst)."""
    r, s = x**2 - x[0], x - 1
    g = 16 * r * x + 2 * s
    g[0] -= 8 * np.sum(r)
    return 4 * (r @ r) + s @ s, g


@cache
def _square(n: int) -> np.ndarray:
    """Return B @ B for the matrix B with entries sin k^2, k counting by rows."""
    p = round(n**0.5)
    b = np.sin(counting(n) ** 2).reshape(p, p)
    return b @ b


def _msqrt_start(n: int) -> np.ndarray:
    return 0.2 * np.sin(counting(n) ** 2)


@scalable(_msqrt_start, square=True, port_arguments=lambda n: (round(n**0.5),))
def msqrtals(x: np.ndarray) -> Both:
    """Matrix square root: squared Frobenius norm of X X - B B, entries of B sin k^2 (CUTEst)."""
    square = _square(x.size)
    z = x.reshape(square.shape)
    r = z @ z - square
    return np.sum(r**2), 2 * (r @ z.T + z.T @ r).ravel()


@cache
def _others(n: int, *steps: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """Return indices from zero, (a i - b) mod n for every (a, b) and i = 1..n."""
    i = np.arange(1, n + 1)
    return tuple((a * i - b) % n for a, b in steps)


@scalable(counting)
def noncvxu2(x: np.ndarray) -> Both:
    """NONCVXU2: sum s_i^2 + 4 cos s_i, s_i = x_i + x_{mod(3i-2,n)+1} + x_{mod(7i-3,n)+1} (CUTEst)."""
    n = x.size
    j, k = _others(n, (3, 2), (7, 3))
    s = x + x[j] + x[k]
    slope = 2 * s - 4 * np.sin(s)
    g = slope.copy()
    np.add.at(g, j, slope)
    np.add.at(g, k, slope)
    return s @ s + 4 * np.sum(np.cos(s)), g


@scalable(-1.0)
def nondia(x: np.ndarray) -> Both:
    """NONDIA: (x_1 - 1)^2 + sum_{i>1} 100 (x_1 - x_{i-1}^2)^2 (CUTEst)."""
    a = x[:-1]
    r = x[0] - a**2
    g = np.zeros_like(x)
    g[:-1] -= 400 * r * a
    g[0] += 200 * np.sum(r) + 2 * (x[0] - 1)
    return (x[0] - 1) ** 2 + 100 * (r @ r), g


@scalable((1.0, -1.0))
def nondquar(x: np.ndarray) -> Both:
    """NONDQUAR: (x_1 - x_2)^2 + sum_{i<=n-2} (x_i + x_{i+1} + x_n)^4 + (x_{n-1} - x_n)^2 (CUTEst)."""
    r, p, q = x[:-2] + x[1:-1] + x[-1], x[0] - x[1], x[-2] - x[-1]
    g = np.zeros_like(x)
    g[:-2] += 4 * r**3
    g[1:-1] += 4 * r**3
    g[-1] += 4 * np.sum(r**3) - 2 * q
    g[-2] += 2 * q
    g[0] += 2 * p
    g[1] -= 2 * p
    return p**2 + np.sum(r**4) + q**2, g


@scalable(1.0)
def power(x: np.ndarray) -> Both:
    """Oren's power: (sum i x_i^2)^2 (CUTEst)."""
    i = counting(x.size)
    s = i @ x**2
    return s**2, 4 * s * i * x


@scalable(2.0)
def quartc(x: np.ndarray) -> Both:
    """QUARTC: sum (x_i - i)^4 (CUTEst)."""
    r = x - counting(x.size)
    return np.sum(r**4), 4 * r**3


@scalable(0.1, port="SINQUAD2")  # the port's SINQUAD lacks the squares
def sinquad(x: np.ndarray) -> Both:
    """SINQUAD: (x_1 - 1)^4 + sum_{1<i<n} (sin(x_i - x_n) - x_1^2 + x_i^2)^2 + (x_n^2 - x_1^2)^2 (CUTEst)."""
    first, a, last = x[0], x[1:-1], x[-1]
    r = np.sin(a - last) - first**2 + a**2
    s, c = last**2 - first**2, np.cos(a - last)
    g = np.empty_like(x)
    g[1:-1] = 2 * r * (c + 2 * a)
    g[0] = 4 * (first - 1) ** 3 - 4 * first * (np.sum(r) + s)
    g[-1] = 4 * last * s - 2 * (r @ c)
    return (first - 1) ** 4 + r @ r + s**2, g


_SPARSE = ((2, 1), (3, 1), (5, 1), (7, 1), (11, 1))


@scalable(0.5)
def sparsine(x: np.ndarray) -> Both:
    """SPARSINE: sum (i/2) (sum of sin x_j, j = i and mod(ki - 1, n) + 1, k = 2, 3, 5, 7, 11)^2 (CUTEst)."""
    i, s = counting(x.size), np.sin(x)
    others = _others(x.size, *_SPARSE)
    q = s + sum(s[j] for j in others)
    slope = i * q
    g = slope.copy()
    for j in others:
        np.add.at(g, j, slope)
    return i @ q**2 / 2, g * np.cos(x)


@scalable(0.5)
def sparsqur(x: np.ndarray) -> Both:
    """SPARSQUR: sum (i/8) (sum of x_j^2, j = i and mod(ki - 1, n) + 1, k = 2, 3, 5, 7, 11)^2 (CUTEst)."""
    i, s = counting(x.size), x**2
    others = _others(x.size, *_SPARSE)
    q = s + sum(s[j] for j in others)
    slope = i * q / 4
    g = slope.copy()
    for j in others:
        np.add.at(g, j, slope)
    return i @ q**2 / 8, 2 * g * x


@scalable(0.1)
def tquartic(x: np.ndarray) -> Both:
    """TQUARTIC: (x_1 - 1)^2 + sum_{i>1} (x_1^2 - x_i^2)^2 (CUTEst)."""
    r = x[0] ** 2 - x[1:] ** 2
    g = np.empty_like(x)
    g[1:] = -4 * r * x[1:]
    g[0] = 2 * (x[0] - 1) + 4 * np.sum(r) * x[0]
    return (x[0] - 1) ** 2 + r @ r, g
