"""Functions of CUTEst (Gould, Orban, Toint, Comput. Optim. Appl. 60, 2015) whose terms join neighbours.

Indices in the formulas run from 1; a, b, c, d are variables in a row of a chain.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from .registry import Both, counting, scalable, window_sum


@scalable(1.0)
def bdqrtic(x: np.ndarray) -> Both:
    """BDQRTIC: sum_{i<=n-4} (3 - 4x_i)^2 + (sum_{k<4} (k + 1) x_{i+k}^2 + 5x_n^2)^2 (CUTEst)."""
    s, m = x**2, x.size - 4
    r = 3 - 4 * x[:m]
    q = s[:m] + 2 * s[1 : m + 1] + 3 * s[2 : m + 2] + 4 * s[3 : m + 3] + 5 * s[-1]
    g = np.zeros_like(x)
    g[:m] -= 8 * r
    for k in range(4):
        g[k : m + k] += 4 * (k + 1) * q * x[k : m + k]
    g[-1] += 20 * np.sum(q) * x[-1]
    return r @ r + q @ q, g


@cache
def _wave(n: int) -> np.ndarray:
    """Weights 16 (1.5 + sin i)^2 for i = 2..n."""
    return 16 * (1.5 + np.sin(counting(n)[1:])) ** 2


@scalable(-1.0)
def chnrsnbm(x: np.ndarray) -> Both:
    """CHNROSNB, modified: sum w_i (x_{i-1} - x_i^2)^2 + (x_i - 1)^2, w_i = 16 (1.5 + sin i)^2 (CUTEst)."""
    a, b = x[:-1], x[1:]
    w, r, s = _wave(x.size), a - b**2, b - 1
    g = np.zeros_like(x)
    g[:-1] += 2 * w * r
    g[1:] += 2 * s - 4 * w * r * b
    return w @ r**2 + s @ s, g


@scalable(-1.0)
def errinrsm(x: np.ndarray) -> Both:
    """ERRINROS, modified: sum (x_{i-1} - w_i x_i^2)^2 + (x_i - 1)^2, w_i = 16 (1.5 + sin i)^2 (CUTEst)."""
    a, b = x[:-1], x[1:]
    w = _wave(x.size)
    r, s = a - w * b**2, b - 1
    g = np.zeros_like(x)
    g[:-1] += 2 * r
    g[1:] += 2 * s - 4 * w * r * b
    return r @ r + s @ s, g


@scalable(-1.0)
def extrosnb(x: np.ndarray) -> Both:
    """Rosenbrock, nonseparable: (x_1 - 1)^2 + sum 100 (x_i - x_{i-1}^2)^2 (CUTEst)."""
    a, r = x[:-1], x[1:] - x[:-1] ** 2
    g = np.zeros_like(x)
    g[1:] += 200 * r
    g[:-1] -= 400 * r * a
    g[0] += 2 * (x[0] - 1)
    return (x[0] - 1) ** 2 + 100 * (r @ r), g


@scalable(lambda n: counting(n) / (n + 1))
def genrose(x: np.ndarray) -> Both:
    """Generalised Rosenbrock: 1 + sum_{i>1} 100 (x_i - x_{i-1}^2)^2 + (x_i - 1)^2 (CUTEst)."""
    a, r, s = x[:-1], x[1:] - x[:-1] ** 2, x[1:] - 1
    g = np.zeros_like(x)
    g[1:] += 200 * r + 2 * s
    g[:-1] -= 400 * r * a
    return 1 + 100 * (r @ r) + s @ s, g


@scalable(0.0)
def fletchcr(x: np.ndarray) -> Both:
    """FLETCHCR: chain of 100 (b - a^2)^2 + (1 - a)^2 from 0, Rosenbrock chained by Fletcher (CUTEst)."""
    a = x[:-1]
    r, s = x[1:] - a**2, 1 - a
    g = np.zeros_like(x)
    g[1:] += 200 * r
    g[:-1] -= 400 * r * a + 2 * s
    return 100 * (r @ r) + s @ s, g


@scalable(1.0)
def cosine(x: np.ndarray) -> Both:
    """COSINE: sum cos(x_i^2 - x_{i+1} / 2) (CUTEst)."""
    angle = x[:-1] ** 2 - x[1:] / 2
    s = np.sin(angle)
    g = np.zeros_like(x)
    g[:-1] -= 2 * s * x[:-1]
    g[1:] += s / 2
    return np.sum(np.cos(angle)), g


@scalable(lambda n: 1e-4 * counting(n) / (n + 1))
def curly10(x: np.ndarray) -> Both:
    """CURLY10: sum q_i (q_i (q_i^2 - 20) - 0.1), q_i = x_i + ... + x_{i+10} (CUTEst)."""
    q = window_sum(x, 0, 10)
    return np.sum(q * (q * (q**2 - 20) - 0.1)), window_sum(4 * q**3 - 40 * q - 0.1, 10, 0)


@scalable(-1.0)
def dixon3dq(x: np.ndarray) -> Both:
    """Dixon's tridiagonal quadratic: (x_1 - 1)^2 + sum_{1<i<n} (x_i - x_{i+1})^2 + (x_n - 1)^2 (CUTEst)."""
    r = x[1:-1] - x[2:]
    g = np.zeros_like(x)
    g[1:-1] += 2 * r
    g[2:] -= 2 * r
    g[0] += 2 * (x[0] - 1)
    g[-1] += 2 * (x[-1] - 1)
    return (x[0] - 1) ** 2 + r @ r + (x[-1] - 1) ** 2, g


@scalable(3.0, port=None)
def dqdrtic(x: np.ndarray) -> Both:
    """DQDRTIC: sum_{i<=n-2} x_i^2 + 100 x_{i+1}^2 + 100 x_{i+2}^2 (CUTEst)."""
    w = np.zeros(x.size)
    w[:-2] += 1
    w[1:-1] += 100
    w[2:] += 100
    return w @ x**2, 2 * w * x


@scalable(8.0)
def edensch(x: np.ndarray) -> Both:
    """EDENSCH: 16 + chain of (a - 2)^4 + (ab - 2b)^2 + (b + 1)^2 (CUTEst)."""
    a, b = x[:-1], x[1:]
    p, s = a - 2, b + 1
    r = p * b
    g = np.zeros_like(x)
    g[:-1] += 4 * p**3 + 2 * r * b
    g[1:] += 2 * r * p + 2 * s
    return 16 + np.sum(p**4) + r @ r + s @ s, g


@scalable(2.0)
def engval1(x: np.ndarray) -> Both:
    """ENGVAL1: chain of (a^2 + b^2)^2 - 4a + 3 (CUTEst)."""
    a, b = x[:-1], x[1:]
    r = a**2 + b**2
    g = np.zeros_like(x)
    g[:-1] += 4 * r * a - 4
    g[1:] += 4 * r * b
    return r @ r - 4 * np.sum(a) + 3 * a.size, g


@scalable(lambda n: np.concatenate(([0.5, -2.0], np.zeros(n - 2))))
def freuroth(x: np.ndarray) -> Both:
    """FREUROTH: chain of (a - 13 + ((5 - b) b - 2) b)^2 + (a - 29 + ((b + 1) b - 14) b)^2 (CUTEst)."""
    a, b = x[:-1], x[1:]
    p, q = a - 13 + ((5 - b) * b - 2) * b, a - 29 + ((b + 1) * b - 14) * b
    g = np.zeros_like(x)
    g[:-1] += 2 * (p + q)
    g[1:] += 2 * p * (10 * b - 3 * b**2 - 2) + 2 * q * (3 * b**2 + 2 * b - 14)
    return p @ p + q @ q, g


@scalable(
    lambda n: np.where(np.arange(n) == 0, -506.0, -506.2),
    port_arguments=lambda n: (n, 2.0),
)
def genhumps(x: np.ndarray) -> Both:
    """GENHUMPS, zeta = 2: chain of sin^2(2a) sin^2(2b) + (a^2 + b^2) / 20 (CUTEst)."""
    a, b = x[:-1], x[1:]
    s = np.sin(2 * x) ** 2
    slope = 2 * np.sin(4 * x)
    g = np.zeros_like(x)
    g[:-1] += slope[:-1] * s[1:] + a / 10
    g[1:] += slope[1:] * s[:-1] + b / 10
    return s[:-1] @ s[1:] + (a @ a + b @ b) / 20, g


@scalable(0.0)
def ncb20b(x: np.ndarray) -> Both:
    """NCB20B: sum_i (10/i) (S_i x/(1 + x^2))^2 - S_i x / 5 + sum 100 x_i^4 + 2, S_i over i..i+19 (CUTEst)."""
    m = x.size - 19
    d = 1 + x**2
    weight = 10 / counting(m)
    s = window_sum(x / d, 0, 19)[:m]
    f = weight @ s**2 - np.sum(window_sum(x, 0, 19)[:m]) / 5 + 100 * np.sum(x**4) + 2 * x.size
    inner, ones = np.zeros_like(x), np.zeros_like(x)
    inner[:m] = 2 * weight * s
    ones[:m] = 1
    slope = (1 - x**2) / d**2
    return f, window_sum(inner, 19, 0) * slope - window_sum(ones, 19, 0) / 5 + 400 * x**3


@scalable(0.5)
def schmvett(x: np.ndarray) -> Both:
    """Schmidt-Vetters: chain of -1/(1 + (a-b)^2) - sin((pi b + c)/2) - exp(-((a+c)/b - 2)^2) (CUTEst)."""
    a, b, c = x[:-2], x[1:-1], x[2:]
    p, q, r = a - b, (np.pi * b + c) / 2, (a + c) / b - 2
    t, e = 1 + p**2, np.exp(-(r**2))
    u, v, w = 2 * p / t**2, -np.cos(q) / 2, 2 * r * e / b
    g = np.zeros_like(x)
    g[:-2] += u + w
    g[1:-1] += -u + np.pi * v - w * (a + c) / b
    g[2:] += v + w
    return -np.sum(1 / t) - np.sum(np.sin(q)) - np.sum(e), g


@scalable(3.0)
def tointgss(x: np.ndarray) -> Both:
    """Toint's Gaussian: chain of (10/(n-2) + c^2) (2 - exp(-(a - b)^2 / (0.1 + c^2))) (CUTEst)."""
    a, b, c = x[:-2], x[1:-1], x[2:]
    p, t = a - b, 0.1 + c**2
    h = 10 / (x.size - 2) + c**2
    e = np.exp(-(p**2) / t)
    u = 2 * h * e * p / t
    g = np.zeros_like(x)
    g[:-2] += u
    g[1:-1] -= u
    g[2:] += 2 * c * (2 - e) - h * e * 2 * c * p**2 / t**2
    return h @ (2 - e), g


@scalable(1.0)
def tridia(x: np.ndarray) -> Both:
    """TRIDIA: (x_1 - 1)^2 + sum_{i>1} i (2x_i - x_{i-1})^2 (CUTEst)."""
    r = 2 * x[1:] - x[:-1]
    i = counting(x.size)[1:]
    g = np.zeros_like(x)
    g[1:] += 4 * i * r
    g[:-1] -= 2 * i * r
    g[0] += 2 * (x[0] - 1)
    return (x[0] - 1) ** 2 + i @ r**2, g


@scalable((-3.0, -1.0), multiple=4, port_arguments=lambda n: (n // 4,))
def woods(x: np.ndarray) -> Both:
    """Wood, fours: 100 (b-a^2)^2 + (1-a)^2 + 90 (d-c^2)^2 + (1-c)^2 + 10 (b+d-2)^2 + (b-d)^2/10 (CUTEst)."""
    a, b, c, d = x[::4], x[1::4], x[2::4], x[3::4]
    p, q, u, v = b - a**2, d - c**2, b + d - 2, b - d
    g = np.empty_like(x)
    g[::4] = -400 * a * p - 2 * (1 - a)
    g[1::4] = 200 * p + 20 * u + 0.2 * v
    g[2::4] = -360 * c * q - 2 * (1 - c)
    g[3::4] = 180 * q + 20 * u - 0.2 * v
    f = 100 * (p @ p) + np.sum((1 - a) ** 2) + 90 * (q @ q) + np.sum((1 - c) ** 2) + 10 * (u @ u) + v @ v / 10
    return f, g


def _frame(n: int) -> np.ndarray:
    """Values 1 + 8s + 4t on the edge of the unit square, zero inside."""
    p = round(n**0.5)
    s = np.arange(p) / (p - 1)
    x = 1 + 8 * s[:, None] + 4 * s
    x[1:-1, 1:-1] = 0
    return x.T.ravel()


@scalable(_frame, square=True, port_arguments=lambda n: (round(n**0.5),))
def fminsrf2(x: np.ndarray) -> Both:
    """Minimal surface on p x p points: sum sqrt(1 + (p-1)^2 (u^2 + v^2)/2)/(p-1)^2 + mid^2/p^2 (CUTEst)."""
    p = round(x.size**0.5)
    z = x.reshape(p, p)
    scale, mid = (p - 1) ** 2, p // 2 - 1
    u, v = z[:-1, :-1] - z[1:, 1:], z[1:, :-1] - z[:-1, 1:]
    area = np.sqrt(1 + scale / 2 * (u**2 + v**2))
    g = np.zeros_like(z)
    u, v = u / (2 * area), v / (2 * area)
    g[:-1, :-1] += u
    g[1:, 1:] -= u
    g[1:, :-1] += v
    g[:-1, 1:] -= v
    g[mid, mid] += 2 * z[mid, mid] / p**2
    return np.sum(area) / scale + z[mid, mid] ** 2 / p**2, g.ravel()
