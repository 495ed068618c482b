"""
Logistic regression on raw columns
==================================

569 tumours, 30 measurements each, in columns whose sizes reach from 0.004 to 880. Everybody is told to
standardise them first. What if somebody does not?

::

    python examples/logistic_raw_columns.py
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import expit
from sklearn.datasets import load_breast_cancer

from twophase_min import minimize, plotting

cells, benign = load_breast_cancer(return_X_y=True)
X = np.column_stack([np.ones(len(cells)), cells])
sign = 2.0 * benign - 1.0
penalty = 1e-3 * X.std(axis=0) ** 2  # the same as for standardised columns
print(f"standard deviations of the columns: {cells.std(axis=0).min():.2g} to {cells.std(axis=0).max():.0f}")


def loss(w):
    """Mean cross-entropy with a penalty, and its gradient."""
    margins = sign * (X @ w)
    value = np.mean(np.logaddexp(0.0, -margins)) + 0.5 * penalty @ w**2
    return value, -X.T @ (sign * expit(-margins)) / len(X) + penalty * w


# %%
# The convex phase works in variables that are scaled by what is known of them: at the start the gradient,
# then the curvature along the steps. SciPy's methods take the variables as they are.
limits = {"maxfun": 4000, "gtol": 1e-5}
runs = {
    "two-phase, default": minimize(loss, np.zeros(31), jac=True, options=limits),
    "two-phase, memory-cg": minimize(
        loss, np.zeros(31), jac=True, options={**limits, "convex_method": "memory-cg"}
    ),
    "SciPy's L-BFGS-B": minimize(
        loss, np.zeros(31), jac=True, method="L-BFGS-B", options={"maxfun": 4000, "maxiter": 4000, "ftol": 0}
    ),
    "SciPy's CG": minimize(loss, np.zeros(31), jac=True, method="CG", options={"maxiter": 1000}),
}
for name, run in runs.items():
    print(
        f"{name:>21}: loss {run.fun:.6f}, largest slope {np.abs(run.jac).max():.1e}, {run.nfev} evaluations"
    )

# %%
# Accuracy on the tumours themselves, and the picture of all runs:
right = np.mean((X @ runs["two-phase, memory-cg"].x > 0) == benign)
print(f"{100 * right:.1f} % of the tumours are on the right side")
ax = plotting.convergence(runs, offset=min(run.fun for run in runs.values()) - 1e-12, title="30 raw columns")
plt.show()
