"""Global search with basinhopping and shgo
========================================

Global search: `twophase` as the local minimiser of basinhopping, and of shgo through its adapter.

::

    python examples/basinhopping.py
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import basinhopping, shgo

from twophase_min import shgo_method, twophase


def ripples(x: np.ndarray) -> float:
    """Many local minima on a bowl, the lowest, 0, at (1, 1)."""
    return float(np.sum((x - 1) ** 2 + 1.5 * (1 - np.cos(3 * np.pi * (x - 1)))))


def ripples_gradient(x: np.ndarray) -> np.ndarray:
    return 2 * (x - 1) + 4.5 * np.pi * np.sin(3 * np.pi * (x - 1))


hopping = basinhopping(
    ripples,
    [-2.0, 3.0],
    niter=50,
    rng=np.random.default_rng(0),  # before SciPy 1.15: seed=
    minimizer_kwargs={"method": twophase, "jac": ripples_gradient},
)
print("basinhopping:", hopping.x.round(6), f"f = {hopping.fun:.2e}, {hopping.nfev} evaluations")

found = shgo(
    ripples,
    [(-3, 3), (-3, 3)],
    n=64,
    sampling_method="sobol",
    minimizer_kwargs={"method": shgo_method(), "jac": ripples_gradient},
)
print("shgo:        ", found.x.round(6), f"f = {found.fun:.2e}, {len(found.xl)} local minima")

# %%
# The function, the local minima that shgo has found, and the lowest:
axis = np.linspace(-3, 3, 200)
values = [[ripples(np.array([a, b])) for a in axis] for b in axis]
figure, ax = plt.subplots(figsize=(5.6, 4.8), layout="constrained")
drawn = ax.contourf(axis, axis, values, levels=20, cmap="viridis")
figure.colorbar(drawn, ax=ax, label="f")
ax.plot(*found.xl.T, "o", color="white", mec="black", ms=6, label="local minima")
ax.plot(*found.x, "*", color="#D55E00", mec="black", ms=16, label="lowest")
ax.set(xlabel="first variable", ylabel="second variable")
ax.legend(loc="upper left")
plt.show()
