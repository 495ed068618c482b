"""
Ten thousand peaks in one compiled call
=======================================

Beside a loop over SciPy's L-BFGS-B.

Each problem is a peak on a sloping base, 40 points with Poisson noise of their own seed: height, place, width
and two numbers for the base. Both sides call the same compiled function. ::

    python examples/many_fits.py
"""

import time

import numpy as np
from numba import njit
from scipy.optimize import minimize

from twophase_min import multistart

FITS, BESIDE = 10_000, 300
t = np.linspace(-1.0, 1.0, 40)


@njit(error_model="numpy")
def misfit(p, t, y):
    """Mean square, and its gradient, at height, place, logarithm of the width, and the base's two numbers."""
    f, g = 0.0, np.zeros(5)
    width = np.exp(p[2])
    for k in range(t.size):
        z = (t[k] - p[1]) / width
        bell = np.exp(-0.5 * z * z)
        r = p[0] * bell + p[3] + p[4] * t[k] - y[k]
        f += r * r / t.size
        slope = 2.0 * r / t.size
        g[0] += slope * bell
        g[1] += slope * p[0] * bell * z / width
        g[2] += slope * p[0] * bell * z * z
        g[3] += slope
        g[4] += slope * t[k]
    return f, g


def main() -> None:
    rng = np.random.default_rng(0)
    place, width = rng.uniform(-0.5, 0.5, FITS), rng.uniform(0.08, 0.25, FITS)
    height, base = rng.uniform(50, 200, FITS), rng.uniform(10, 30, FITS)
    bells = np.exp(-0.5 * ((t - place[:, None]) / width[:, None]) ** 2)
    y = rng.poisson(height[:, None] * bells + base[:, None]) / 100.0  # heights of order 1
    level = y.min(axis=1)
    peak = y.argmax(axis=1)
    starts = np.column_stack(
        [y.max(axis=1) - level, t[peak], np.full(FITS, np.log(0.15)), level, np.zeros(FITS)]
    )

    multistart(misfit, starts[:2], (t,), rows=(y[:2],), jac=True)  # compiles
    began = time.perf_counter()
    found = multistart(misfit, starts, (t,), rows=(y,), jac=True, workers=-1)
    seconds = time.perf_counter() - began
    print(f"{FITS} fits in {seconds:.2f} s ({found.how}): {found.message}")
    print(f"twophase {found.nfev[:BESIDE].mean():.1f} evaluations, {1e6 * seconds / FITS:.0f} us a fit")

    began = time.perf_counter()
    theirs = [
        minimize(misfit, start, (t, row), "L-BFGS-B", jac=True)
        for start, row in zip(starts[:BESIDE], y[:BESIDE], strict=True)
    ]
    each = (time.perf_counter() - began) / BESIDE
    calls = np.mean([r.nfev for r in theirs])
    print(f"L-BFGS-B {calls:.1f} evaluations, {1e6 * each:.0f} us a fit, of {BESIDE} in a loop")
    lower = found.fun[:BESIDE] <= np.array([r.fun for r in theirs]) + 1e-6
    print(f"as low as L-BFGS-B or lower: {lower.sum()} of {BESIDE}")
    near = np.abs(found.x[:, 1] - place) < 0.05
    print(f"place within .05 of the truth: {near.sum()} of {FITS}")


if __name__ == "__main__":
    main()
