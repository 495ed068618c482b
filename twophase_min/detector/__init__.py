"""The convexity swap: when to leave Adam for a convex method, read off the loss and the gradient norm.

While the loss falls, a growing gradient norm speaks for a non-convex region and a shrinking one for a
convex region: along steepest descent ``d|g|^2/dt = -2 g'Hg``, so the norm falls exactly where the curvature
*along the gradient* is positive. That is a heuristic for convexity, not a certificate.

The package needs numpy and the standard library only and imports nothing from the rest of twophase_min, so
that it can sit inside any training loop or read a log file; its folder can be copied out and used alone::

    detector = ConvexitySwapDetector()
    for epoch in range(epochs):
        loss, norm = train_one_epoch()
        decision = detector.update(loss, norm)
        if decision:
            print(decision.reason)
            break

A new rule is a class, a `Rule` with a name, and one registration (`register`).

References
----------
T. Hrycej, B. Bermeitinger, M. Pavone, G.-H. Wiegand, S. Handschuh, "A Convexity-dependent Two-Phase Training
Algorithm for Deep Neural Networks", KDIR 2025, arXiv:2510.25366, DOI 10.5220/0013696100004000, Algorithm 1.
"""

# The order of the imports is the order of the rules in texts. They are relative: see above.
from .rules import NormAgainstLossRule, NormPeakMedianRule, NormPeakRule, PathCurvatureRule  # isort: skip
from .measured import GainRule, HessianRule  # isort: skip
from .composition import (  # isort: skip
    AllOf,
    AlwaysRule,
    AnyOf,
    CallableRule,
    FixedStepRule,
    KOfLast,
    NeverRule,
)
from .detector import ConvexitySwapDetector, Decision, make_detector
from .offline import SwapReport, detect_swap
from .registry import DEFAULT_RULE, RULES, Rule, register

__all__ = [
    "DEFAULT_RULE",
    "RULES",
    "AllOf",
    "AlwaysRule",
    "AnyOf",
    "CallableRule",
    "ConvexitySwapDetector",
    "Decision",
    "FixedStepRule",
    "GainRule",
    "HessianRule",
    "KOfLast",
    "NeverRule",
    "NormAgainstLossRule",
    "NormPeakMedianRule",
    "NormPeakRule",
    "PathCurvatureRule",
    "Rule",
    "SwapReport",
    "detect_swap",
    "make_detector",
    "register",
]
