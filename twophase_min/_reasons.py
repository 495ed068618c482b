"""Why a phase was left or a run ended: the sentences of driver and compiled engine, in one place."""

from __future__ import annotations

NO_STEP = "Adam found no step: {0}."
CURVED = "the curvature along the first step is positive and the gradient norm falls"
UNTOLD = "no swap seen in {0:.0f} evaluations: the guard tries the convex phase"
TO_AND_FRO = "the search goes to and fro between points that are known already"
LOST_TRIAL = (
    "the convex phase gained {0:.3g} of f an evaluation in its trial of {1:.0f}, Adam {2:.3g} before it"
)
FELL_SHORT = (
    "the convex phase reached {0:.6g} in its trial of {1:.0f} evaluations, too far above the {2:.6g} of the "
    "one before"
)
STALLED = "the convex phase has stalled: {0:.3g} of f an evaluation, {1:.0f} evaluations after the handover"
BACK = "{0}; back to the best point, f = {1:.6g}"

AT_START = "The start already satisfies it."
NOT_FINITE = "The {0} is not finite at x0; start from a point where it is defined."
ONLY_X0 = "The objective is finite at x0 only; every other point tried is not."
RELATIVE = "The relative gradient is {0:.1e}."
NO_HANDOVER = "No handover is left (max_swaps)."
ENDED_BY = "{0} What ended it: {1}"
