"""Broyden's family of updates, self-scaled: the numbers of an update, whatever H is kept by.

`quasi_newton` has the formulas, their derivation and their sources.
"""

from __future__ import annotations

import math

from twophase_min.jit.compilation import jit

SSBROYDEN, SSBFGS, BFGS = range(3)
"""Members of the family, see `quasi_newton`."""

COLLINEAR = 1e-12
"""Below this ``a = b h - 1`` is rounding: s and H y are parallel, and the limit of the formulas is taken."""


@jit
def coefficients(member, n, sy, q, b):
    """Coefficients of the update, see `quasi_newton` for the formulas.

    Parameters
    ----------
    member : int
        SSBROYDEN, SSBFGS or BFGS.
    n : int
        Number of variables.
    sy, q : float
        ``s'y`` and ``y'Hy``, both positive.
    b : float
        ``s'Bs / s'y``, B the inverse of H; not looked at for BFGS.

    Returns
    -------
    tuple of float
        keep, ss, sw, ww as `update_and_multiply` takes them.
    """
    rho = 1.0 / sy
    h = q * rho
    phi = 1.0
    tau = 1.0
    if member != BFGS and n > 1:
        short = min(1.0, 1.0 / b)
        tau = short
        a = b * h - 1.0
        if member == SSBROYDEN and a > COLLINEAR:
            bound = max(1.0, b * (1.0 + math.sqrt(a / (1.0 + a))))
            theta = max((1.0 / bound - 1.0) / a, min(bound, 1.0 / b - 1.0))
            sigma = 1.0 + theta * a
            phi = (1.0 - theta) / sigma
            even = sigma ** (1.0 / (1.0 - n))
            tau = min(short * even, sigma) if theta <= 0.0 else short * min(even, 1.0 / theta)
    return 1.0 / tau, rho * (1.0 + phi * h / tau), -phi * rho / tau, (phi - 1.0) / (q * tau)
