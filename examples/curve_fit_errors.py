"""Curve fit with errors, on real data
===================================

Fit real data with errors: how much gas a surface adsorbs at which pressure, Misra (1978).

The data are NIST's set Misra1a, whose result is certified to 11 digits
(https://www.itl.nist.gov/div898/strd/nls/data/misra1a.shtml). The start is NIST's far one.

::

    python examples/curve_fit_errors.py
"""

import autograd.numpy as np
import matplotlib.pyplot as plt

from twophase_min import curve_fit
from twophase_min.curvature import standard_errors

pressure = np.array(
    [77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0]
)
volume = np.array(
    [10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78]
)
certified = np.array([2.3894212918e2, 5.5015643181e-4])
certified_errors = np.array([2.7070075241e0, 7.2668688436e-6])


def adsorbed(pressure: np.ndarray, capacity: float, rate: float) -> np.ndarray:
    return capacity * (1 - np.exp(-rate * pressure))


popt, pcov, info, message, _ = curve_fit(adsorbed, pressure, volume, p0=[500, 1e-4], full_output=True)
errors = np.sqrt(np.diag(pcov))
print("Misra1a:", message, f"{info['nfev']} calls, derivatives by {info['gradient']}.")
for name, value, error in zip(("capacity", "rate"), popt, errors, strict=True):
    print(f"{name:>8} = {value:.10g} +- {error:.10g}")
print(f"correlation {pcov[0, 1] / errors[0] / errors[1]:.4f}")
off = max(np.max(np.abs(popt / certified - 1)), np.max(np.abs(errors / certified_errors - 1)))
print("certified to 10 digits" if off < 1e-10 else f"off by {off:.1e}")

# The same from the sum of squares alone, whose Hessian also holds the residuals' second derivatives:
report = standard_errors(
    lambda p: np.sum((adsorbed(pressure, *p) - volume) ** 2),
    popt,
    loss="squares",
    n_data=volume.size,
    names=("capacity", "rate"),
)
print(report)

# %%
# The fit, and the region in which the two parameters lie together: they are almost the same question asked
# twice.
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
axis = np.linspace(0, 800, 200)
left.plot(pressure, volume, "o", color="black", label="measured")
left.plot(axis, adsorbed(axis, *popt), color="#0072B2", label="fitted")
left.set(xlabel="pressure", ylabel="volume adsorbed", title="Misra1a")
left.legend()
circle = np.linspace(0, 2 * np.pi, 200)
round_about = np.array([np.cos(circle), np.sin(circle)])
for deviations, style in ((1, "-"), (2, "--")):
    ellipse = popt[:, None] + deviations * np.linalg.cholesky(pcov) @ round_about
    right.plot(
        *ellipse, style, color="#D55E00", label=f"{deviations} standard deviation{'s' * (deviations > 1)}"
    )
right.plot(*certified, "k+", ms=12, label="certified by NIST")
right.set(xlabel="capacity", ylabel="rate", title="Parameters with their errors")
right.legend()
plt.show()
