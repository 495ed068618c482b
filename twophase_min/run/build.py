"""The parts of a run that its options name: the detector, and our own convex phase."""

from __future__ import annotations

from typing import Any

import numpy as np

from twophase_min._options import TwoPhaseOptions
from twophase_min.detector import ConvexitySwapDetector, make_detector
from twophase_min.phases import PHASES, convex_phase


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


def fallbacks(options: TwoPhaseOptions) -> list[tuple[str, bool]]:
    """Convex methods to try in turn when a search fails, and whether in scaled variables."""
    phase = convex_phase(options.convex_method)
    scaled = options.precondition is not None
    methods = [(phase.name, scaled)]
    if phase.external and scaled:  # ours restart along the steepest descent by themselves
        methods.append((phase.name, False))
    return methods + [(name, scaled) for name in phase.fallbacks]


def quick(methods: list[tuple[str, bool]]) -> int:
    """Place in `fallbacks` of the method that takes over from a slow phase; 0 where none does."""
    name, scaled = methods[0]
    return len(methods) - 1 if scaled and name in PHASES and PHASES[name].cycle else 0


def own_solver(options: TwoPhaseOptions, name: str | None = None) -> Any:
    """Convex phase of ours, with the caller's ``convex_options`` where it was asked for by name.

    Parameters
    ----------
    options : TwoPhaseOptions
        Of the run.
    name : str, optional
        A phase that is not external; default the run's own.
    """
    phase = PHASES[name or str(options.convex_method)]
    extra = dict(options.convex_options or {}) if options.convex_method == phase.name else {}
    known = {option.name for option in phase.options}
    given = {"c1": options.c1, "c2": options.c2, "precondition": None}
    return phase.load()(**{**{name: value for name, value in given.items() if name in known}, **extra})
