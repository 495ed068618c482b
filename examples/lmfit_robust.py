"""
lmfit with the two-phase method
===============================

Named parameters with bounds and a robust loss, beside lmfit's methods.

Needs lmfit: ``pip install lmfit``::

    python examples/lmfit_robust.py

The data are NIST's Chwirut2, the response of an ultrasonic block at 54 distances; five of its values are
spoilt here. The loss is lmfit's ``neglogcauchy``, which the spoilt ones hardly move and least squares cannot
serve. lmfit hands no derivatives to a method that is a callable, so that all take differences. Calls are
those of the residual.
"""

from pathlib import Path

import lmfit
import numpy as np

from twophase_min import twophase

FILE = Path(__file__).parents[1] / "tests" / "data" / "nist" / "Chwirut2.txt"
lines = [line.split() for line in FILE.read_text("utf-8").splitlines()]
certified = np.array([line[3] for line in lines if line[0][0] == "b"], dtype=float)
y, x = np.array([line for line in lines if line[0][0] not in "#br"], dtype=float).T
y[::12] += 40.0


def residual(params: lmfit.Parameters) -> np.ndarray:
    b = params.valuesdict()
    return (np.exp(-b["fall"] * x) / (b["offset"] + b["growth"] * x) - y) / 3.0


def start() -> lmfit.Parameters:
    params = lmfit.Parameters()
    params.add("fall", 0.1, min=0.0)
    params.add("offset", 0.01, min=1e-6)
    params.add("growth", 0.02, min=0.0)
    return params


def off(fit) -> float:
    return np.max(np.abs(np.array(list(fit.params.valuesdict().values())) / certified - 1))


squares = lmfit.Minimizer(residual, start()).minimize("leastsq")
print(f"least squares, spoilt by five values: parameters off by {100 * off(squares):.0f} %")
for name, method in (("twophase", twophase), ("BFGS", "BFGS"), ("L-BFGS-B", "L-BFGS-B"), ("CG", "CG")):
    fitter = lmfit.Minimizer(residual, start(), reduce_fcn="neglogcauchy")
    fit = fitter.scalar_minimize(method)
    loss = np.sum(np.log1p(fit.residual**2))
    print(f"{name:9s} loss {loss:.6f}, parameters off by {100 * off(fit):.1f} %, {fit.nfev} calls")
