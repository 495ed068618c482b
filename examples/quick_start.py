"""
Quick start
===========

A first function of one's own on real data: a robust regression, whose loss forgives outliers. Ten
measurements of 442 patients (age, weight, blood values) are to tell how far their diabetes will have got a
year later.

::

    python examples/quick_start.py
"""

import autograd.numpy as np
import matplotlib.pyplot as plt
from sklearn.datasets import load_diabetes

from twophase_min import minimize, plotting

measured, target = load_diabetes(return_X_y=True, scaled=False)
measured = (measured - measured.mean(axis=0)) / measured.std(axis=0)


# %%
# The function takes a vector and returns a number. It is written with ``autograd.numpy``, so its gradient
# need not be: autograd finds it, and a difference checks it at the start.
def loss(w):
    """Log-cosh of the errors in units of 20: quadratic for small errors, linear for large ones."""
    errors = (np.dot(measured, w[1:]) + w[0] - target) / 20
    return np.mean(np.logaddexp(errors, -errors))


result = minimize(loss, np.zeros(11))
print(result)

# %%
# ``result`` is SciPy's ``OptimizeResult`` with some more fields. The convex phase has made the first step,
# which is the default on whole data. It converged, so Adam never had a turn. The picture shows the way of
# the run:
ax = plotting.norm_against_loss(result, title="Robust regression on 442 patients")
plt.show()

# %%
# Which measurements count most?
names = load_diabetes().feature_names
for k in np.argsort(-np.abs(result.x[1:]))[:4]:
    print(f"{names[k]:>4}: {result.x[1 + k]:+6.1f} per standard deviation")
