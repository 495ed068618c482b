"""
Two and three exponentials with errors
======================================

Beside SciPy's ``curve_fit``: the classics of ill-conditioned fits.

The data are those of NIST's sets MGH17 (a constant and two exponentials) and Lanczos3 (three exponentials),
whose values and standard errors are certified to 11 digits. The starts are NIST's: the far one of Lanczos3,
and of MGH17 the near one, as from the far one neither side finds the minimum. ::

    python examples/exponentials.py
"""

import warnings
from pathlib import Path

import autograd.numpy as np
from scipy import optimize

from twophase_min import curve_fit

FOLDER = Path(__file__).parents[1] / "tests" / "data" / "nist"


def two(x: np.ndarray, b1: float, b2: float, b3: float, b4: float, b5: float) -> np.ndarray:
    return b1 + b2 * np.exp(-b4 * x) + b3 * np.exp(-b5 * x)


def three(x: np.ndarray, b1: float, b2: float, b3: float, b4: float, b5: float, b6: float) -> np.ndarray:
    return b1 * np.exp(-b2 * x) + b3 * np.exp(-b4 * x) + b5 * np.exp(-b6 * x)


def read(name: str) -> tuple[np.ndarray, ...]:
    """Return x, y, both starts, certified values and certified errors of a set."""
    lines = [line.split() for line in (FOLDER / f"{name}.txt").read_text("utf-8").splitlines()]
    far, near, values, errors = np.array([line[1:] for line in lines if line[0][0] == "b"], dtype=float).T
    y, x = np.array([line for line in lines if line[0][0] not in "#br"], dtype=float).T
    return x, y, (far, near), values, errors


def digits(found: np.ndarray, certified: np.ndarray) -> float:
    """Return the digits that agree, of the worst parameter; no more than the 11 that are certified."""
    return -np.log10(max(np.max(np.abs(found / certified - 1)), 1e-11))


for name, model, which in (("MGH17", two, 1), ("Lanczos3", three, 0)):
    x, y, starts, values, errors = read(name)
    print(f"{name}: {y.size} points, {values.size} parameters")
    for who, fit in (("SciPy", optimize.curve_fit), ("two-phase", curve_fit)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # overflow on the way
                popt, pcov, info, _, _ = fit(model, x, y, starts[which], full_output=True)
        except RuntimeError as failure:
            print(f"  {who:9s} {str(failure).splitlines()[0]}")
            continue
        right, sure = digits(popt, values), digits(np.sqrt(np.diag(pcov)), errors)
        print(f"  {who:9s} {right:.1f} digits of the values, {sure:.1f} of the errors, {info['nfev']} calls")
    for i, (value, error) in enumerate(zip(popt, np.sqrt(np.diag(pcov)), strict=True)):
        print(f"    b{i + 1} = {value:.6g} +- {error:.2g}")
