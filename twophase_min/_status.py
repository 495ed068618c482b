"""Why a run ended and why a phase was left: the codes and their texts, in their only home.

`Status` is what the caller reads in ``result.status``: codes 0, 1, 2, 3 and 99 mean what they mean in
``scipy.optimize``; the others are ours. `Cause` is the particular reason of a handover or of an end, which
``result.swaps`` and the message put into words. Kernels use both enums as they stand.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Any


class Status(IntEnum):
    """Why a run ended. ``success`` is true for the codes in `SUCCESSFUL` only."""

    CONVERGED = 0
    MAXITER = 1
    PRECISION_LOSS = 2
    NONFINITE = 3
    MAXFUN = 4
    MAXTIME = 5
    TARGET = 6
    INTERRUPTED = 7
    EXCEPTION = 8
    UNBOUNDED = 9
    WORKING_PRECISION = 10
    INFEASIBLE = 11
    CALLBACK = 99


SUCCESSFUL = frozenset({Status.CONVERGED, Status.TARGET, Status.WORKING_PRECISION})
"""The codes that count as success."""

TEXTS = {
    Status.CONVERGED: "Optimization terminated successfully: the gradient norm is at most gtol.",
    Status.MAXITER: "Maximum number of iterations has been exceeded; raise maxiter to go on.",
    Status.PRECISION_LOSS: "No step decreases the objective any more, though the gradient norm exceeds gtol.",
    Status.NONFINITE: "NaN or infinite values were encountered and no finite step was left to take.",
    Status.MAXFUN: "Maximum number of function evaluations has been reached; raise maxfun to go on.",
    Status.MAXTIME: "The time limit maxtime has been reached.",
    Status.TARGET: "The objective has reached f_target.",
    Status.INTERRUPTED: "Interrupted by the user (Ctrl-C); the best point so far is returned.",
    Status.EXCEPTION: "The objective raised an exception; the best point before it is returned.",
    Status.UNBOUNDED: "The objective is unbounded below: it reached minus infinity.",
    Status.WORKING_PRECISION: (
        "Converged to working precision: the decrease that the gradient still promises is below the "
        "error of the objective's values."
    ),
    Status.INFEASIBLE: "The constraints, which the method ignores, do not hold at the point returned.",
    Status.CALLBACK: "`callback` raised `StopIteration` or returned True.",
}
"""One sentence per code; the driver adds the phase and the particulars."""


class Cause(IntEnum):
    """Why a phase was left, or what in particular ended a run; `CAUSES` has the sentences."""

    NONE = 0
    AT_START = 1
    BAD_VALUE = 2
    BAD_GRADIENT = 3
    ONLY_X0 = 4
    DETECTED = 5
    ADAM_FAILED = 6
    FIRST = 7
    PATIENCE = 8
    NO_HANDOVER = 9
    SEARCH_FAILED = 10
    TO_AND_FRO = 11
    FLAT = 12
    LOST_TRIAL = 13
    FELL_SHORT = 14
    STALLED = 15
    RESUMED = 16
    NOISE = 17
    ONLY_LOWER = 18
    LOWER = 19
    SHARPER = 20
    HOLLOW = 21
    SLOW = 22
    ABOVE = 23
    COARSER = 24
    PLATEAU = 25
    SADDLE = 26
    KINK = 27


FAILED_SEARCHES = frozenset((Cause.SEARCH_FAILED, Cause.KINK))
"""Of a convex phase whose line search has found no step."""

CAUSES = {
    Cause.NONE: "",
    Cause.AT_START: "The start already satisfies it.",
    Cause.BAD_VALUE: "The objective is not finite at x0; start from a point where it is defined.",
    Cause.BAD_GRADIENT: (
        "The objective is finite at x0, but its gradient is not finite at x0; start from a point where both "
        "are."
    ),
    Cause.ONLY_X0: "The objective is finite at x0 only; every other point tried is not.",
    Cause.DETECTED: "{text}",
    Cause.ADAM_FAILED: "Adam found no step: {text}.",
    Cause.FIRST: "the convex phase makes the first step; what it brings tells whether Adam is needed",
    Cause.PATIENCE: "no swap seen in {e.adam_spent:.0f} evaluations: the guard tries the convex phase",
    Cause.NO_HANDOVER: "{text} No handover is left (max_swaps).",
    Cause.SEARCH_FAILED: "{text}",
    Cause.KINK: "{text}",
    Cause.TO_AND_FRO: "the search goes to and fro between points that are known already",
    Cause.FLAT: "The relative gradient is {text}.",
    Cause.NOISE: "Values of the objective are exact to about {text} here, and no direction promises more.",
    Cause.LOST_TRIAL: (
        "the convex phase reached {e.phase_f:.6g} in its trial of {e.spent:.0f} evaluations, Adam headed "
        "for {e.reference:.6g}"
    ),
    Cause.FELL_SHORT: (
        "the convex phase reached {e.phase_f:.6g} in its trial of {e.spent:.0f} evaluations, too far above "
        "the {e.target:.6g} of the one before"
    ),
    Cause.STALLED: (
        "{e.spent:.0f} evaluations after the handover the convex phase is not on course to converge: at its "
        "recent pace it needs {ahead} more; Adam is tried"
    ),
    Cause.SLOW: (
        "{e.spent:.0f} evaluations after the handover the convex phase is slow: at its recent pace it needs "
        "{ahead} more"
    ),
    Cause.ONLY_LOWER: "The lowest points found have a finite objective, but no finite gradient to go on by.",
    Cause.HOLLOW: (
        "five iterations in a row decreased f by next to nothing of what the slopes promised: a wrong or "
        "inexact gradient"
    ),
    Cause.ABOVE: "the phase has come to rest at {e.f:.6g}, above the best value, {e.best_f:.6g}",
    Cause.LOWER: "a lower value, {e.best_f:.6g}, was found while looking for the reason",
    Cause.SHARPER: "these differences lead no further: more exact ones from here on",
    Cause.COARSER: "the values are noisier than thought: differences over longer steps from here on",
    Cause.PLATEAU: (
        "the slope was gone after a single step, as on a plateau; half-way back f is lower: the phase begins "
        "anew there"
    ),
    Cause.SADDLE: (
        "a saddle: variables that began alike have stayed alike, and to the side f is lower: the phase "
        "begins anew there"
    ),
    Cause.RESUMED: "{text}; back to the best point, f = {e.best_f:.6g}",
}
"""One sentence per cause. ``e`` is the event (`run.state.EVENT`). ``text`` is what the part that knows more
says: the detector's rule, the phase that failed, or the cause behind this one."""

ENDED_BY = "{0} What ended it: {1}"
"""A diagnosis, and the sentence of the cause."""


def sentence(cause: int, event: Any = None, text: str = "") -> str:
    """Put a cause into words.

    Parameters
    ----------
    cause : int
        A `Cause`.
    event : object, optional
        Its numbers, with the attributes that the text names.
    text : str, default ""
        What the part of the run that knows more says.
    """
    pace = getattr(event, "ahead", math.nan)
    ahead = f"{pace:.3g}" if math.isfinite(pace) else "ever"
    return CAUSES[Cause(cause)].format(e=event, text=text, ahead=ahead)


class Stop(BaseException):
    """Raised by the driver, or for it by the objective, to end a run; never leaves the package.

    It derives from BaseException so that a foreign convex method which guards its calls with
    ``except Exception`` cannot swallow it.

    Parameters
    ----------
    status : Status
        Why the run ends.
    detail : str, default ""
        A sentence with the particulars, added to the status text.
    """

    def __init__(self, status: Status, detail: str = ""):
        super().__init__(status, detail)
        self.status = status
        self.detail = detail


ALL_FIXED = "All independent variables were fixed by bounds."
"""The message where no variable is free, SciPy's own."""


def describe(status: Status, phase: str = "", detail: str = "") -> str:
    """Text of a result's ``message``: the status sentence, the phase that ended and the particulars."""
    text = TEXTS[status]
    if phase:
        text += f" (Ended in the {phase} phase.)"
    if detail:
        text += " " + detail
    return text
