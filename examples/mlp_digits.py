"""Handwritten digits
==================

Train a small network on scikit-learn's digits with `minimize`, and see where it swapped.

::

    python examples/mlp_digits.py
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from twophase_min import minimize, plotting
from twophase_min.networks import MLP

images, labels = load_digits(return_X_y=True)
x, x_out, y, y_out = train_test_split(images / 16.0, labels, test_size=0.25, random_state=0)

net = MLP([64, 32, 10], activation="tanh", loss="cross_entropy", l2=1e-4)
result = minimize(net.objective(x, y), net.init(seed=0), options={"maxfun": 150})

for swap in result.swaps:
    print(f"iteration {swap['iteration']}: {swap['from']} -> {swap['to']}, {swap['reason']}")
print(f"train loss {result.fun:.5f} after {result.nfev} evaluations: {result.message}")
print(f"held-out accuracy {(net.predict_classes(result.x, x_out) == y_out).mean():.3f}")

# %%
# The way of the run. Where a phase goes on from a point of its own, the line is broken.
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
plotting.norm_against_loss(result, ax=left, title="Gradient norm against loss")
plotting.convergence({"two-phase": result}, ax=right, title="Train loss")
plt.show()
