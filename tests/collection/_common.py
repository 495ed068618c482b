"""What the definitions share."""

from __future__ import annotations

import numpy as np

from twophase_min.problems._problem import Array

SB = "as listed in Surjanovic & Bingham (2013), Virtual Library of Simulation Experiments"


def squares_hess(r: Array, jac: Array, curvature: Array) -> Array:
    """Hessian of sum r_i^2 from residuals (m,), Jacobian (m, n) and residual Hessians (m, n, n)."""
    return 2.0 * (jac.T @ jac + np.tensordot(r, curvature, 1))
