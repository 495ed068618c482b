"""A mean over data, on mini-batches
=================================

A loss that is a mean over data: mini-batches for Adam, all data for the convex phase.

Logistic regression written with autograd's numpy, so that no gradient is needed::

    python examples/finite_sum.py
"""

import autograd.numpy as anp
import matplotlib.pyplot as plt
import numpy as np

from twophase_min import FiniteSum, minimize, plotting

rng = np.random.default_rng(0)
features = rng.normal(size=(5000, 20))
truth = rng.normal(size=20)
labels = np.where(features @ truth + rng.logistic(size=5000) > 0, 1.0, -1.0)


def loss(w, x, y):
    """Mean over a batch; the penalty does not depend on the batch."""
    return anp.mean(anp.logaddexp(0.0, -y * anp.dot(x, w))) + 1e-3 * anp.dot(w, w)


mean = FiniteSum(loss, (features, labels), batch_size=256, seed=0)
result = minimize(mean, np.zeros(20), options={"learning_rate": 0.02})

print(result.message)
for phase in result.phases:
    print(f"{phase['name']:>5}: iterations {phase['first']} to {phase['last']}, loss {phase['fun']:.6f}")
print(f"{result.njev:.1f} gradients of the whole data; a mini-batch counts its share")
print(f"correlation with the true weights: {np.corrcoef(result.x, truth)[0, 1]:.4f}")

# %%
# The same on whole data, where the convex phase begins. It needs a quarter of the evaluations: this loss is
# convex throughout. Mini-batches pay where few passes over the data can be afforded.
whole = minimize(loss, np.zeros(20), args=(features, labels))
runs = {"Adam on mini-batches, then convex": result, "all data from the start": whole}
plotting.convergence(runs, x="njev", offset=min(result.fun, whole.fun) - 1e-12, title="5,000 samples")
plt.show()
