"""
Logistic regression, standardised and raw
=========================================

On real data, beside SciPy's methods and scikit-learn.

scikit-learn's breast cancer data: 569 tumours, 30 measurements whose sizes differ by a factor of 100,000.
Methods that depend on the units of the variables have a hard time with the raw columns. ::

    python examples/logistic.py
"""

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

from twophase_min import minimize

columns, label = load_breast_cancer(return_X_y=True)
sign = 2.0 * label - 1.0
PENALTY = 1e-3


def objective(a: np.ndarray):
    """Mean loss with a ridge on all weights but the offset, the last; value and gradient."""

    def fun(w: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (a @ w[:-1] + w[-1])
        residual = -sign * np.exp(-np.logaddexp(0.0, margin)) / sign.size
        f = np.mean(np.logaddexp(0.0, -margin)) + 0.5 * PENALTY * w[:-1] @ w[:-1]
        return f, np.append(a.T @ residual + PENALTY * w[:-1], residual.sum())

    return fun


standardised = (columns - columns.mean(axis=0)) / columns.std(axis=0)
for name, a in (("standardised", standardised), ("raw", columns)):
    fun, start = objective(a), np.zeros(a.shape[1] + 1)
    print(f"{name}: {a.shape[0]} rows, {start.size} variables")
    for method in ("twophase", "L-BFGS-B", "BFGS", "CG"):
        r = minimize(fun, start, jac=True, method=method, tol=1e-6, options={"maxiter": 1000})
        print(f"  {method:9s} f = {r.fun:.8f} after {r.nfev:5d} evaluations, |g| = {np.abs(r.jac).max():.0e}")

best = minimize(objective(standardised), np.zeros(31), jac=True, tol=1e-8)
model = LogisticRegression(C=1 / (PENALTY * sign.size), tol=1e-10, max_iter=10_000).fit(standardised, label)
theirs = objective(standardised)(np.append(model.coef_[0], model.intercept_))[0]
print(f"scikit-learn, standardised: f = {theirs:.8f}; ours {best.fun - theirs:+.0e}")
