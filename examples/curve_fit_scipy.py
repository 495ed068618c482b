"""From a SciPy script
===================

Fit a curve from a SciPy script: the callable `twophase` goes where a method's name would go.

::

    python examples/curve_fit_scipy.py
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import minimize

from twophase_min import twophase

t = np.linspace(0.0, 4.0, 60)
y = 2.5 * np.exp(-1.3 * t) + 0.5 + 0.02 * np.random.default_rng(0).normal(size=t.size)


def misfit(p: np.ndarray) -> tuple[float, np.ndarray]:
    decay = np.exp(-p[1] * t)
    r = p[0] * decay + p[2] - y
    return r @ r, 2 * np.array([r @ decay, -r @ (p[0] * t * decay), r.sum()])


result = minimize(misfit, [1.0, 1.0, 0.0], jac=True, method=twophase)
print(result.message)
print("amplitude, rate, offset:", result.x.round(3), "after", result.nfev, "evaluations")

# %%
# The fit:
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
ax.plot(t, y, ".", color="black", label="data")
ax.plot(t, result.x[0] * np.exp(-result.x[1] * t) + result.x[2], color="#0072B2", lw=2, label="fitted")
ax.set(xlabel="time", ylabel="signal")
ax.legend()
plt.show()
