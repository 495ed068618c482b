"""
Rates within bounds
===================

Fit rates that are positive and a fraction between 0 and 1: how a body clears a drug.

The data are plasma concentrations of indomethacin (in micrograms per millilitre) in a volunteer after an
injection into a vein: K. C. Kwan, G. O. Breault, E. R. Umbenhauer, F. G. McMahon, D. E. Duggan, "Kinetics of
indomethacin absorption, elimination, and enterohepatic circulation in man", J. Pharmacokinetics and
Biopharmaceutics 4 (1976), 255-280; the first subject. R has them as its data set ``Indometh``.

::

    python examples/bounded_rates.py
"""

import autograd.numpy as np
from scipy.optimize import differential_evolution

from twophase_min import minimize, twophase

hours = np.array([0.25, 0.5, 0.75, 1.0, 1.25, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0])
measured = np.array([1.50, 0.94, 0.78, 0.48, 0.37, 0.19, 0.12, 0.11, 0.08, 0.07, 0.05])

NAMES = ("concentration", "fast fraction", "fast rate", "slow rate", "baseline")
BOUNDS = [(0, 10), (0, 1), (0, 5), (0, 0.5), (0, 0.1)]
START = [1.0, 0.5, 1.0, 0.1, 0.01]


def concentration(p: np.ndarray) -> np.ndarray:
    """Two compartments, and what was in the blood before."""
    start, fraction, fast, slow, baseline = p
    return start * (fraction * np.exp(-fast * hours) + (1 - fraction) * np.exp(-slow * hours)) + baseline


def loss(p: np.ndarray) -> float:
    """Squares of relative errors: the assay is about as precise, in per cent, at all concentrations.

    Outside of the bounds the concentration may be negative, and the logarithm is none.
    """
    return np.sum(np.log(concentration(p) / measured) ** 2)


result = minimize(loss, START, bounds=BOUNDS)
print(result.message)
for name, value, side in zip(NAMES, result.x, result.active, strict=True):
    print(f"{name:>14} = {value:7.4f}{('', ', its upper bound', ', its lower bound')[side]}")
print(f"half-lives of {np.log(2) / result.x[2]:.2f} and {np.log(2) / result.x[3]:.1f} hours")
print(f"a baseline of 0.001 would raise the loss by {0.001 * result.jac[4]:.1e}: the data speak for none")

# Beside SciPy's methods that keep to bounds, from the same start and with the same gradient:
for method in ("twophase", "L-BFGS-B", "TNC", "SLSQP"):
    peer = minimize(loss, START, method=method, jac="autograd", bounds=BOUNDS)
    print(f"{method:>9}: loss {peer.fun:.8f} after {peer.nfev} values")

# The same from no start at all: a global search in the box, polished by the same method.
draws = np.random.default_rng(0)
found = differential_evolution(loss, BOUNDS, polish=twophase, rng=draws)  # before SciPy 1.15: seed=
print(f"the global search ends {'at' if np.allclose(found.x, result.x, atol=1e-3) else 'off'} the same point")
