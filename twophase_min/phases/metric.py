"""A diagonal change of variables ``x = d * z`` as a metric ``D = diag(d**2)``, and where it may come from.

A direction that starts from ``-D g`` instead of ``-g`` is what the same method does in z, without ever
forming z. The metric is the last row of a compiled phase's vectors; a state without that row has none.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from twophase_min.jit.compilation import jit
from twophase_min.phases import METRIC, X

Array = NDArray[np.floating]

_inner = jit(no_cpython_wrapper=True)


@_inner
def metric_of(vectors):
    """Whether the variables are scaled, and the metric; without one some row that is not looked at."""
    scaled = vectors.shape[0] > METRIC
    return scaled, vectors[METRIC if scaled else X]


def power_of_two(size: float) -> float:
    """Return the power of two at or below a positive number, 1 for what is none: to divide by it is exact."""
    return 2.0 ** (math.frexp(size)[1] - 1) if 2.0**-1000 < size < 2.0**1000 else 1.0


power_of_two_in_kernels = _inner(power_of_two)


@_inner
def length(vectors, p):
    """Norm of a step or direction in the scaled variables, ``sqrt(p . D^-1 p)``."""
    scaled, metric = metric_of(vectors)
    total = 0.0
    for i in range(p.size):
        d = np.float64(metric[i]) if scaled else 1.0
        total += np.float64(p[i]) / d * np.float64(p[i])
    return math.sqrt(total)


@_inner
def dual_length(vectors, g):
    """Norm of a gradient in the scaled variables, ``sqrt(g . D g)``."""
    scaled, metric = metric_of(vectors)
    total = 0.0
    for i in range(g.size):
        d = np.float64(metric[i]) if scaled else 1.0
        total += np.float64(g[i]) * d * np.float64(g[i])
    return math.sqrt(total)


@_inner
def typical_metric(x, g, metric):
    """Write ``D = diag(typical_sizes(x, g)**2)`` where the gradient supports it; whether it does.

    The test of `typical_sizes` for compiled code: equal to it up to the rounding of logarithms and sums.
    """
    used = 0
    mean_x = 0.0
    mean_g = 0.0
    mean_all = 0.0
    sizes = 0
    for i in range(x.size):
        if x[i] != 0.0:
            mean_all += math.log(abs(x[i]))
            sizes += 1
            if g[i] != 0.0:
                mean_x += math.log(abs(x[i]))
                mean_g += math.log(abs(g[i]))
                used += 1
    if used < 2:
        return False
    mean_x /= used
    mean_g /= used
    mean_all /= sizes
    xx = 0.0
    xg = 0.0
    for i in range(x.size):
        if x[i] != 0.0 and g[i] != 0.0:
            dx = math.log(abs(x[i])) - mean_x
            xx += dx * dx
            xg += dx * (math.log(abs(g[i])) - mean_g)
    if not (xx > 0.0 and xg < -0.5 * xx):
        return False
    for i in range(x.size):
        d = 1.0
        if x[i] != 0.0:
            # bounded so that the square stays an ordinary number in float32 too
            d = math.exp(min(max(math.log(abs(x[i])) - mean_all, -40.0), 40.0))
        metric[i] = d * d
    return True


@_inner
def median(a, count):
    """Median of the first entries, which are reordered (Hoare's selection); 0 for none."""
    if count == 0:
        return 0.0
    low, high, middle = 0, count - 1, (count - 1) // 2
    while low < high:
        pivot = a[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while a[i] < pivot:
                i += 1
            while a[j] > pivot:
                j -= 1
            if i <= j:
                a[i], a[j] = a[j], a[i]
                i += 1
                j -= 1
        if middle <= j:
            high = j
        elif middle >= i:
            low = i
        else:
            break
    lower = np.float64(a[middle])
    if count % 2 == 1:
        return lower
    upper = np.float64(a[middle + 1])
    for k in range(middle + 2, count):
        upper = min(upper, np.float64(a[k]))
    return 0.5 * (lower + upper)


def typical_sizes(x: Array, g: Array) -> Array | None:
    """Sizes of the variables relative to each other, where the gradient says that each has its own unit.

    If every variable has a unit of its own, a gradient entry carries the inverse of that unit, so that
    log|g| falls with log|x| with slope -1; if all share one unit, x says nothing about g and the slope is
    about 0. Below -1/2 the sizes of x are taken for the units, which makes the whole run independent of the
    units of the single variables.

    Parameters
    ----------
    x, g : ndarray, shape (n,)
        A point that the caller chose (not one that sign steps have levelled), and the gradient there.

    Returns
    -------
    ndarray, shape (n,), or None
        abs(x) over its geometric mean, 1 where x is 0, within e^-40..e^40; None where the test fails.
    """
    used = (x != 0) & (g != 0) & np.isfinite(g)
    if np.count_nonzero(used) < 2:
        return None
    log_x, log_g = np.log(np.abs(x[used], dtype=float)), np.log(np.abs(g[used], dtype=float))
    log_x -= log_x.mean()
    log_g -= log_g.mean()
    spread = float(log_x @ log_x)
    if not (spread > 0 and float(log_x @ log_g) < -0.5 * spread):
        return None
    sizes = np.zeros(x.shape)
    some = x != 0
    logs = np.log(np.abs(x[some], dtype=float))
    sizes[some] = np.clip(logs - logs.mean(), -40.0, 40.0)
    return np.exp(sizes)
