"""The parts of a run that its options name: the detector, and our own conjugate gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from twophase_min._options import OWN_CONVEX_METHOD, TwoPhaseOptions
from twophase_min.detector import ConvexitySwapDetector, make_detector


def run_detector(options: TwoPhaseOptions, sampled: bool) -> ConvexitySwapDetector:
    """Detector of a new run, for a finite sum (``sampled``) or not."""
    rule = options.swap
    if isinstance(rule, (int, np.integer)) and not isinstance(rule, bool):
        rule = rule + 1  # after so many iterations: x0 is a reading too
    elif rule == "auto":
        rule = "norm-against-loss" if sampled else "norm-peak"
    detector = make_detector(
        rule,
        factor=options.swap_factor,
        patience=options.swap_patience,
        smoothing=options.swap_smoothing,
    )
    detector.reset()  # the caller's own may have served a run before
    return detector


def own_solver(options: TwoPhaseOptions) -> Any:
    """Our own conjugate gradients, with the caller's options where they were asked for by name."""
    from twophase_min.phases.memory_cg import MemoryCG

    extra = dict(options.convex_options or {}) if options.convex_method == OWN_CONVEX_METHOD else {}
    return MemoryCG(**{"c1": options.c1, "c2": options.c2, "precondition": None, **extra})
