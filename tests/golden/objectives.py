"""Compiled test functions, one by number, which write every request that they serve into a log.

The compiled engine takes numbers and arrays as further arguments, so that the log is handed in as ``args``
and nothing private is needed. One function with a number compiles once for all problems. They are written in
loops over scalars: their results do not depend on how a library sums.
"""

import math

import numba
import numpy as np

VALUE, GRADIENT, BOTH = 1, 2, 3
"""What was asked for."""

NAMES = (
    "rosenbrock",
    "quadratic",
    "wells",
    "units",
    "quartic",
    "kink",
    "fence",
    "beale",
    "powell",
    "wood",
    "trigonometric",
    "raised",
    "network",
    "ripples",
    "rough",
    "island",
    "slide",
    "wrong",
    "cliff",
    "tiny",
    "vast",
    "steps",
    "far",
    "infinite",
    "steep",
    "noise",
    "ravine",
    "lost",
    "bumps",
)
NUMBER = {name: i for i, name in enumerate(NAMES)}


@numba.njit(cache=True)
def _rosen(x):
    total = 0.0
    for i in range(x.size - 1):
        total += 100.0 * (x[i + 1] - x[i] ** 2) ** 2 + (1.0 - x[i]) ** 2
    return total


@numba.njit(cache=True)
def _rosen_grad(x, g):
    for i in range(x.size - 1):
        a = 200.0 * (x[i + 1] - x[i] ** 2)
        g[i + 1] += a
        g[i] += -2.0 * x[i] * a - 2.0 * (1.0 - x[i])


@numba.njit(cache=True)
def _network(x, g):
    """Mean square error of a small tanh network on a sine; adds the gradient to g."""
    h = (x.size - 1) // 3
    total = 0.0
    points = 20
    for k in range(points):
        t = -1.0 + 2.0 * k / (points - 1)
        r = x[3 * h] - math.sin(3.0 * t)
        for j in range(h):
            r += x[2 * h + j] * math.tanh(x[j] * t + x[h + j])
        total += r * r / points
        w = 2.0 * r / points
        g[3 * h] += w
        for j in range(h):
            z = math.tanh(x[j] * t + x[h + j])
            slope = w * x[2 * h + j] * (1.0 - z * z)
            g[j] += slope * t
            g[h + j] += slope
            g[2 * h + j] += w * z
    return total


@numba.njit(cache=True)
def _waves(x, i):
    """Residual i of the trigonometric function, and the sum of cosines is taken anew: n is small."""
    total = float(x.size)
    for j in range(x.size):
        total -= math.cos(x[j])
    return total + (i + 1) * (1.0 - math.cos(x[i])) - math.sin(x[i])


@numba.njit(cache=True)
def value(which, x):
    """Value of a problem."""
    n = x.size
    total = 0.0
    if which == 0 or which == 17:
        return _rosen(x)
    if which == 1:
        for i in range(n):
            total += 10.0 ** (6.0 * i / max(n - 1, 1)) * (x[i] - 1.0) ** 2
        return 0.5 * total
    if which == 2:
        for i in range(n):
            total += (i + 1.0) ** 2 * ((x[i] ** 2 - 1.0) ** 2 + 0.3 * x[i])
        return total
    if which == 3:
        for i in range(n):
            total += math.log(math.cosh(x[i] * 10.0 ** (2 * i) - 1.0))
        return total
    if which == 4:
        for i in range(n):
            total += x[i] ** 4
        return total
    if which == 5:
        for i in range(n):
            total += (i + 1.0) * abs(x[i])
        return total
    if which == 6:
        return math.sqrt(x[0]) + (x[0] - 2.0) ** 2 + x[1] ** 2 if x[0] >= 0 else math.nan
    if which == 7:
        for i in range(3):
            c = 1.5 if i == 0 else (2.25 if i == 1 else 2.625)
            total += (c - x[0] * (1.0 - x[1] ** (i + 1))) ** 2
        return total
    if which == 8:
        total = (x[0] + 10.0 * x[1]) ** 2 + 5.0 * (x[2] - x[3]) ** 2
        return total + (x[1] - 2.0 * x[2]) ** 4 + 10.0 * (x[0] - x[3]) ** 4
    if which == 9:
        total = 100.0 * (x[1] - x[0] ** 2) ** 2 + (1.0 - x[0]) ** 2
        total += 90.0 * (x[3] - x[2] ** 2) ** 2 + (1.0 - x[2]) ** 2
        total += 10.1 * ((1.0 - x[1]) ** 2 + (1.0 - x[3]) ** 2)
        return total + 19.8 * (1.0 - x[1]) * (1.0 - x[3])
    if which == 10:
        for i in range(n):
            total += _waves(x, i) ** 2
        return total
    if which == 11:
        return 1000.0 + _rosen(x)
    if which == 12:
        return _network(x, np.zeros(n))
    if which == 13:
        for i in range(n):
            total += x[i] ** 2 + 8.0 * math.sin(4.0 * x[i]) ** 2
        return 1.0 + total
    if which == 14:
        return np.floor(1e7 * _rosen(x)) / 1e7
    if which == 15:  # finite at one point only
        for i in range(n):
            if x[i] != 1.0 and x[i] != 0.0:
                return math.inf
        return 1.0
    if which == 16:
        for i in range(n):
            total -= x[i]
        return total if x[0] < 1e8 else -math.inf
    if which == 18:
        for i in range(n):
            total += (x[i] - 1.0) ** 2
        return total + (3.0 if x[0] > 0.5 else 0.0)
    if which == 19 or which == 20 or which == 22:
        for i in range(n):
            total += (x[i] - 1.0) ** 2
        return (1e-200 if which == 19 else (1e200 if which == 20 else 1.0)) * total
    if which == 21:
        for i in range(n):
            total += np.floor(4.0 * x[i]) ** 2
        return total
    if which == 23:
        return math.inf
    if which == 24:  # finite, and its gradient is not
        return 1.0 if x[0] == 1.0 else 0.5
    if which == 25:  # the same noise at the same point
        total = _rosen(x)
        return total + 1e-6 * math.sin(1e7 * x[0]) * math.cos(1e7 * x[n - 1])
    if which == 26:
        return 1.0 + 1e-9 * (x[0] - 1e5) ** 2 / 1e5 + 10.0 * math.sin(x[1]) ** 2
    if which == 27:  # a saddle beside a trough
        for i in range(n):
            total += math.sin(3.0 * x[i]) + 0.05 * (x[i] - 4.0) ** 2
        return 10.0 + total
    for i in range(n):
        total += 1.0 - math.exp(-((x[i] - i) ** 2)) + 1e-3 * x[i] ** 2
    return total


@numba.njit(cache=True)
def gradient(which, x):
    """Gradient of a problem."""
    n = x.size
    g = np.zeros(n)
    if which == 0 or which == 11 or which == 14 or which == 25:
        _rosen_grad(x, g)
    elif which == 17:
        _rosen_grad(x, g)
        for i in range(n):
            g[i] = -g[i] - 1.0
    elif which == 1:
        for i in range(n):
            g[i] = 10.0 ** (6.0 * i / max(n - 1, 1)) * (x[i] - 1.0)
    elif which == 2:
        for i in range(n):
            g[i] = (i + 1.0) ** 2 * (4.0 * x[i] * (x[i] ** 2 - 1.0) + 0.3)
    elif which == 3:
        for i in range(n):
            g[i] = 10.0 ** (2 * i) * math.tanh(x[i] * 10.0 ** (2 * i) - 1.0)
    elif which == 4:
        for i in range(n):
            g[i] = 4.0 * x[i] ** 3
    elif which == 5:
        for i in range(n):
            g[i] = (i + 1.0) * np.sign(x[i])
    elif which == 6:
        g[0] = 0.5 / math.sqrt(x[0]) + 2.0 * (x[0] - 2.0) if x[0] > 0 else math.nan
        g[1] = 2.0 * x[1]
    elif which == 7:
        for i in range(3):
            c = 1.5 if i == 0 else (2.25 if i == 1 else 2.625)
            r = c - x[0] * (1.0 - x[1] ** (i + 1))
            g[0] -= 2.0 * r * (1.0 - x[1] ** (i + 1))
            g[1] += 2.0 * r * x[0] * (i + 1) * x[1] ** i
    elif which == 8:
        a, b = 2.0 * (x[0] + 10.0 * x[1]), 10.0 * (x[2] - x[3])
        c, d = 4.0 * (x[1] - 2.0 * x[2]) ** 3, 40.0 * (x[0] - x[3]) ** 3
        g[0], g[1], g[2], g[3] = a + d, 10.0 * a + c, b - 2.0 * c, -b - d
    elif which == 9:
        a, b = 200.0 * (x[1] - x[0] ** 2), 180.0 * (x[3] - x[2] ** 2)
        g[0] = -2.0 * x[0] * a - 2.0 * (1.0 - x[0])
        g[1] = a - 20.2 * (1.0 - x[1]) - 19.8 * (1.0 - x[3])
        g[2] = -2.0 * x[2] * b - 2.0 * (1.0 - x[2])
        g[3] = b - 20.2 * (1.0 - x[3]) - 19.8 * (1.0 - x[1])
    elif which == 10:
        total = 0.0
        for i in range(n):
            total += _waves(x, i)
        for i in range(n):
            own = (i + 1) * math.sin(x[i]) - math.cos(x[i])
            g[i] = 2.0 * (math.sin(x[i]) * total + _waves(x, i) * own)
    elif which == 12:
        _network(x, g)
    elif which == 13:
        for i in range(n):
            g[i] = 2.0 * x[i] + 32.0 * math.sin(8.0 * x[i])
    elif which == 15:
        for i in range(n):
            g[i] = 1.0
    elif which == 16:
        for i in range(n):
            g[i] = -1.0
    elif which == 18 or which == 19 or which == 20 or which == 22:
        scale = 1e-200 if which == 19 else (1e200 if which == 20 else 1.0)
        for i in range(n):
            g[i] = 2.0 * scale * (x[i] - 1.0)
    elif which == 21:
        for i in range(n):
            g[i] = 8.0 * (4.0 * x[i])
    elif which == 23:
        for i in range(n):
            g[i] = 1.0
    elif which == 24:
        for i in range(n):
            g[i] = math.inf
    elif which == 26:
        g[0], g[1] = 2e-9 * (x[0] - 1e5) / 1e5, 10.0 * math.sin(2.0 * x[1])
    elif which == 27:
        for i in range(n):
            g[i] = 3.0 * math.cos(3.0 * x[i]) + 0.1 * (x[i] - 4.0)
    else:
        for i in range(n):
            g[i] = 2.0 * (x[i] - i) * math.exp(-((x[i] - i) ** 2)) + 2e-3 * x[i]
    return g


@numba.njit(cache=True)
def _note(kind, x, f, g, count, log):
    """Write a request into the next row: kind, f, x, g. A full log goes on counting."""
    row, n = count[0], x.size
    count[0] += 1
    if row < log.shape[0]:
        log[row, 0] = kind
        log[row, 1] = f
        for i in range(n):
            log[row, 2 + i] = x[i]
            log[row, 2 + n + i] = g[i]


@numba.njit(cache=True)
def logged_value(x, which, count, log):
    """Value, written down."""
    f = value(which, x)
    _note(VALUE, x, f, np.zeros(x.size), count, log)
    return f


@numba.njit(cache=True)
def logged_gradient(x, which, count, log):
    """Gradient, written down."""
    g = gradient(which, x)
    _note(GRADIENT, x, 0.0, g, count, log)
    return g


@numba.njit(cache=True)
def logged_both(x, which, count, log):
    """Both, written down."""
    f, g = value(which, x), gradient(which, x)
    _note(BOTH, x, f, g, count, log)
    return f, g
