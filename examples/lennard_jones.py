"""
Lennard-Jones clusters with basinhopping
========================================

Thirteen argon atoms attract each other at a distance and repel each other nearby. Their cluster has more
than a thousand stable forms. The best is an icosahedron; its energy, -44.326801 in units of the depth of
one bond, is in the Cambridge Cluster Database. SciPy's ``basinhopping`` looks for it, with `twophase` as
its local minimiser.

::

    python examples/lennard_jones.py
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import basinhopping

from twophase_min import twophase

ATOMS, LOWEST = 13, -44.326801
first, second = np.triu_indices(ATOMS, 1)


def energy(x):
    """Energy and its gradient, at the coordinates of all atoms in units of the atom's diameter."""
    places = x.reshape(ATOMS, 3)
    gaps = places[first] - places[second]
    inverse = 1 / (gaps**2).sum(axis=1)
    sixth = inverse**3
    slopes = (24 * inverse * (sixth - 2 * sixth**2))[:, None] * gaps
    gradient = np.zeros((ATOMS, 3))
    np.add.at(gradient, first, slopes)
    np.add.at(gradient, second, -slopes)
    return 4 * np.sum(sixth**2 - sixth), gradient.ravel()


# %%
# Where atoms come near each other the energy is almost infinite. A line search that meets such a value
# shortens its step.
start = 1.5 * np.random.default_rng(1).uniform(-1, 1, 3 * ATOMS)
energies = []
hopping = basinhopping(
    energy,
    start,
    niter=60,
    stepsize=0.4,
    rng=np.random.default_rng(0),  # before SciPy 1.15: seed=
    minimizer_kwargs={"method": twophase, "jac": True, "options": {"convex_method": "memory-cg"}},
    callback=lambda x, f, accepted: energies.append(f),
)
print(f"lowest energy {hopping.fun:.6f} after {hopping.nfev} evaluations in {hopping.nit} hops")
print("the icosahedron" if abs(hopping.fun - LOWEST) < 1e-5 else "not the lowest one known")

# %%
# Every hop ends in some stable form; the lowest so far is kept.
figure = plt.figure(figsize=(9, 4), layout="constrained")
left, right = figure.add_subplot(121), figure.add_subplot(122, projection="3d")
left.plot(energies, "o", ms=4, color="#56B4E9", label="form that a hop ends in")
lowest = np.minimum.accumulate(energies)
left.step(range(len(energies)), lowest, where="post", color="#0072B2", label="lowest so far")
left.axhline(LOWEST, color="black", lw=1, ls=":", label="lowest known")
left.set(xlabel="hop", ylabel="energy, depths of a bond")
left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3, fontsize="small")
atoms = hopping.x.reshape(ATOMS, 3)
for i, j in zip(first, second, strict=True):
    if np.linalg.norm(atoms[i] - atoms[j]) < 1.2:
        right.plot(*atoms[[i, j]].T, color="0.6", lw=1)
right.scatter(*atoms.T, s=200, color="#D55E00", edgecolor="black", depthshade=False)
right.set_axis_off()
right.set_title("the form found")
plt.show()
