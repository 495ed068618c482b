"""The curvature that a falling gradient norm only hints at: Hessian products, extreme eigenvalues, errors.

What holds for any number of variables needs the Hessian through products ``H v`` alone, and counts them::

    report = convexity_report(fun, x, jac=grad)
    print(report)                   # verdict, extreme eigenvalues, products spent
    x_escape = x + 0.1 * report.direction   # negative curvature, if there is any

`hessian_operator` finds the best product at hand: the objective's own (`networks.MLP` has a hand-derived
one), autograd's, or a difference of two gradients. Nothing but numpy is imported until it is needed.

`standard_errors` inverts the whole matrix, for the errors of fitted parameters.
"""

from __future__ import annotations

from twophase_min.curvature.dense import DenseHessian, dense_hessian, hessian_matrix
from twophase_min.curvature.estimates import (
    DiagonalEstimate,
    TraceEstimate,
    diagonal_estimate,
    trace_estimate,
)
from twophase_min.curvature.path import path_curvature
from twophase_min.curvature.products import HessianOperator, hessian_operator
from twophase_min.curvature.report import ConvexityReport, convexity_report
from twophase_min.curvature.spectrum import ExtremeEigenvalues, extreme_eigenvalues
from twophase_min.curvature.uncertainty import Uncertainty, covariance, standard_errors

__all__ = [
    "ConvexityReport",
    "DenseHessian",
    "DiagonalEstimate",
    "ExtremeEigenvalues",
    "HessianOperator",
    "TraceEstimate",
    "Uncertainty",
    "convexity_report",
    "covariance",
    "dense_hessian",
    "diagonal_estimate",
    "extreme_eigenvalues",
    "hessian_matrix",
    "hessian_operator",
    "path_curvature",
    "standard_errors",
    "trace_estimate",
]
