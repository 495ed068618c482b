"""The curvature that a falling gradient norm only hints at: Hessian products, extreme eigenvalues, paths.

Everything here needs the Hessian through products ``H v`` alone, never as a matrix, and counts them::

    report = convexity_report(fun, x, jac=grad)
    print(report)                   # verdict, extreme eigenvalues, products spent
    x_escape = x + 0.1 * report.direction   # negative curvature, if there is any

`hessian_operator` finds the best product at hand: the objective's own (`networks.MLP` has a hand-derived
one), autograd's, or a difference of two gradients. Nothing but numpy is imported until it is needed.
"""

from __future__ import annotations

from twophase_min.curvature.estimates import (
    DiagonalEstimate,
    TraceEstimate,
    diagonal_estimate,
    trace_estimate,
)
from twophase_min.curvature.path import path_curvature
from twophase_min.curvature.products import HessianOperator, hessian_matrix, hessian_operator
from twophase_min.curvature.report import ConvexityReport, convexity_report
from twophase_min.curvature.spectrum import ExtremeEigenvalues, extreme_eigenvalues

__all__ = [
    "ConvexityReport",
    "DiagonalEstimate",
    "ExtremeEigenvalues",
    "HessianOperator",
    "TraceEstimate",
    "convexity_report",
    "diagonal_estimate",
    "extreme_eigenvalues",
    "hessian_matrix",
    "hessian_operator",
    "path_curvature",
    "trace_estimate",
]
