"""
Maximum likelihood with standard errors
=======================================

How long does the air conditioning of an aircraft run until it fails? 30 intervals in hours, measured on one
Boeing 720 (Proschan 1963, aircraft 7912), fitted by a Weibull distribution. Its shape tells whether failures
come by chance alone (1), by wear (above 1) or by faults of the beginning (below 1).

::

    python examples/maximum_likelihood.py
"""

import autograd.numpy as np
import matplotlib.pyplot as plt

from twophase_min import minimize
from twophase_min.curvature import standard_errors

# fmt: off
hours = np.array([
    23, 261, 87, 7, 120, 14, 62, 47, 225, 71, 246, 21, 42, 20, 5,
    12, 120, 11, 3, 14, 71, 11, 14, 11, 16, 90, 1, 16, 52, 95,
], dtype=float)
# fmt: on


def negative_log_likelihood(p):
    """Minus the log-likelihood, in the logarithms of scale and shape, which keeps both positive."""
    scale, shape = np.exp(p[0]), np.exp(p[1])
    z = hours / scale
    return -np.sum(np.log(shape / scale) + (shape - 1) * np.log(z) - z**shape)


# %%
# Minimise, then ask for the errors at the minimum: they come from the inverse Hessian.
result = minimize(negative_log_likelihood, [np.log(hours.mean()), 0.0], options={"gtol": 1e-8})
report = standard_errors(negative_log_likelihood, result, names=["log scale", "log shape"])
print(result.message)
print(report)

# %%
# In the units of the parameters: an interval of two standard errors on the logarithm is one of factors.
for name, value, error in zip(("scale, hours", "shape"), result.x, report.standard_errors, strict=True):
    low, high = np.exp(value - 2 * error), np.exp(value + 2 * error)
    print(f"{name:>12}: {np.exp(value):6.3f}, between {low:.3f} and {high:.3f}")

# %%
# The interval of the shape contains 1: chance alone explains these failures.
scale, shape = np.exp(result.x)
ordered = np.sort(hours)
axis = np.linspace(0, 280, 300)
figure, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
ax.step(ordered, 1 - np.arange(1, 31) / 30, where="post", color="black", label="measured")
ax.plot(axis, np.exp(-((axis / scale) ** shape)), color="#0072B2", lw=2, label="Weibull, fitted")
ax.plot(axis, np.exp(-axis / hours.mean()), color="#D55E00", lw=2, ls="--", label="chance alone (shape 1)")
ax.set(xlabel="hours", ylabel="share that still runs", title="Air conditioning of a Boeing 720")
ax.legend()
plt.show()
