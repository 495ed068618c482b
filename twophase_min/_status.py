"""The termination codes of a run and their texts: the only home of both.

Codes 0, 1, 2, 3 and 99 mean what they mean in ``scipy.optimize``; the others are ours.
"""

from __future__ import annotations

from enum import IntEnum


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
        "rounding error of the objective."
    ),
    Status.CALLBACK: "`callback` raised `StopIteration` or returned True.",
}
"""One sentence per code; the driver adds the phase and the particulars."""


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


def describe(status: Status, phase: str = "", detail: str = "") -> str:
    """Text of a result's ``message``: the status sentence, the phase that ended and the particulars."""
    text = TEXTS[status]
    if phase:
        text += f" (Ended in the {phase} phase.)"
    if detail:
        text += " " + detail
    return text
