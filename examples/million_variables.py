"""
A million variables
===================

Photographs with noise are to be cleaned: every colour of every pixel is a variable. The loss holds them to
the noisy picture, and neighbours to each other, save where they differ by an edge (total variation,
smoothed). Two photographs of scikit-learn, side by side, 427 x 800 pixels in three colours, make 1,024,800
variables.

::

    python examples/million_variables.py
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

from twophase_min import minimize

temple, flower = (load_sample_image(f"{name}.jpg").astype(np.float32) / 255 for name in ("china", "flower"))
clean = np.concatenate([temple[:, :400], flower[:, 160:560]], axis=1)
noisy = (clean + 0.1 * np.random.default_rng(0).standard_normal(clean.shape)).astype(np.float32)
WEIGHT, EDGE = np.float32(0.06), np.float32(0.02)


# %%
# Value and gradient in float32, which halves the memory. The differences to the neighbours on the right and
# below are taken once for both.
def loss(x):
    """Half the squared distance to the noisy picture plus the smoothed total variation."""
    image = x.reshape(noisy.shape)
    distance = image - noisy
    across, down = np.diff(image, axis=1), np.diff(image, axis=0)
    lengths_across, lengths_down = np.sqrt(across**2 + EDGE**2), np.sqrt(down**2 + EDGE**2)
    value = 0.5 * np.vdot(distance, distance).astype(np.float64)
    value += WEIGHT * (lengths_across.sum(dtype=np.float64) + lengths_down.sum(dtype=np.float64))
    gradient = distance
    across *= WEIGHT / lengths_across
    down *= WEIGHT / lengths_down
    gradient[:, 1:] += across
    gradient[:, :-1] -= across
    gradient[1:] += down
    gradient[:-1] -= down
    return value, gradient.ravel()


# %%
# ``memory-cg`` with a memory of three pairs keeps some thirty vectors. It stops when no entry of the
# gradient is above two thousandths.
began = time.perf_counter()
result = minimize(
    loss,
    noisy.ravel(),
    jac=True,
    options={"convex_method": "memory-cg", "convex_options": {"memory": 3}, "gtol": 2e-3, "maxfun": 200},
)
print(f"{result.x.size:,} variables, {result.nfev} evaluations, {time.perf_counter() - began:.1f} s")
print(result.message)


def noise(image):
    return np.sqrt(np.mean((image - clean) ** 2))


cleaned = result.x.reshape(noisy.shape)
print(f"noise (root mean square) {noise(noisy):.3f} -> {noise(cleaned):.3f}")

# %%
# A part of the picture:
figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), sharex=True, sharey=True, layout="constrained")
for ax, image, title in zip(
    axes, (noisy, cleaned, clean), ("with noise", "cleaned", "original"), strict=True
):
    ax.imshow(np.clip(image[100:300, 250:550], 0, 1))
    ax.set(title=title, xticks=[], yticks=[])
plt.show()
