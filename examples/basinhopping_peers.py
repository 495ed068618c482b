"""
The ground state of thirteen atoms, three local methods
=======================================================

SciPy's ``basinhopping`` with the two-phase method and with L-BFGS-B as its local minimiser.

The least energy of 13 Lennard-Jones atoms, -44.326801, is that of the icosahedron (Hoare & Pal, Advances in
Physics 20, 1971). The seeds of the hops are the same for every local method. ::

    python examples/basinhopping_peers.py
"""

import numpy as np
from scipy.optimize import basinhopping

from twophase_min import twophase

ATOMS, LEAST = 13, -44.326801
FIRST, SECOND = np.triu_indices(ATOMS, 1)


def energy(x: np.ndarray) -> tuple[float, np.ndarray]:
    """Energy in units of the well's depth, and its gradient; one call counts as one evaluation."""
    atoms = x.reshape(-1, 3)
    apart = atoms[FIRST] - atoms[SECOND]
    inverse = 1.0 / np.sum(apart**2, axis=1)
    sixth = inverse**3
    force = (24.0 * sixth * (1.0 - 2.0 * sixth) * inverse)[:, None] * apart
    g = np.zeros_like(atoms)
    np.add.at(g, FIRST, force)
    np.subtract.at(g, SECOND, force)
    return 4.0 * np.sum(sixth**2 - sixth), g.ravel()


def main() -> None:
    for name, method, options in (
        ("twophase", twophase, {}),
        ("twophase, memory-cg", twophase, {"convex_method": "memory-cg"}),
        ("L-BFGS-B", "L-BFGS-B", {}),
    ):
        evaluations, hits, least = [], 0, np.inf
        for seed in range(3):
            rng = np.random.default_rng(seed)
            found = basinhopping(
                energy,
                rng.uniform(-1.5, 1.5, 3 * ATOMS),
                niter=15,
                stepsize=0.4,
                rng=rng,  # before SciPy 1.15: seed=
                minimizer_kwargs={"method": method, "jac": True, "options": options},
            )
            evaluations.append(found.nfev)
            hits += found.fun < LEAST + 1e-5
            least = min(least, found.fun)
        print(f"{name:20s} {least:.6f}, {hits} of 3 seeds, {np.mean(evaluations):.0f} evaluations each")


if __name__ == "__main__":
    main()
