"""What the caller gets: the result, the message, the handovers in words."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, OptimizeWarning

from twophase_min._history import History
from twophase_min._options import TwoPhaseOptions
from twophase_min._result import Result
from twophase_min._status import ALL_FIXED, SUCCESSFUL, Status, Stop, describe, sentence
from twophase_min.jit.kernels import norm2
from twophase_min.objective.calls import Objective
from twophase_min.objective.gradient import EXTRAPOLATED, FINITE_DIFFERENCES
from twophase_min.objective.memory import Point
from twophase_min.run.singular import towards_singularity
from twophase_min.run.state import CONVEX

Array = NDArray[np.floating]


class Report:
    """What a run has done, in the caller's words, whichever loop did it.

    Parameters
    ----------
    objective : Objective
        Whose counters are told.
    x0 : ndarray, shape (n,)
        Start: what is returned where nothing was evaluated.
    options : TwoPhaseOptions
        Validated.
    methods : sequence of str
        Names of the convex phase: the method and what it falls back on.

    Attributes
    ----------
    history : History
        Iterations and handovers.
    allvecs : list of ndarray
        The iterates, where ``return_all`` asks for them.
    final : Point or None
        What to return, where that is not simply the best point seen.
    """

    def __init__(self, objective: Objective, x0: Array, options: TwoPhaseOptions, methods: list[str]):
        self.objective, self.options, self.methods = objective, options, methods
        self.start: Point | None = Point(x0, float("nan"), None)
        self.history = History()
        self.allvecs: list[Array] = []
        self.final: Point | None = None

    def name(self, phase: int, fallback: int) -> str:
        """Name of a phase as `state.LOOP` numbers it; -1 is before the first."""
        if phase < 0:
            return "start"
        return self.methods[fallback] if phase == CONVEX else "adam"

    def handover(self, event: Any, origin: str, text: str = "", loss: float | None = None) -> dict[str, Any]:
        """Put a handover on record.

        Parameters
        ----------
        event : view of `state.EVENT`
            Its numbers.
        origin : str
            Name of the phase that was left.
        text : str
            What the detector's rule, or the phase that failed, says.
        """
        reason = sentence(event.behind, event, text)
        if event.cause != event.behind:
            reason = sentence(event.cause, event, reason)
        swap = {
            "iteration": int(event.nit),
            "evaluations": float(event.cost),
            "loss": float(event.f),
            "norm": float(event.norm),
            "peak": float(event.peak),
            "from": origin,
            "to": self.name(event.phase, event.fallback),
            "reason": reason,
        }
        self.history.swaps.append(swap)
        return swap

    def result(self, status: Status, detail: str, phase: str) -> OptimizeResult:
        """Build what the caller gets; ``phase`` is the name of the one that ended, '' before the first."""
        objective = self.objective
        best = self.final if self.final is not None else objective.lowest
        if best is None:  # stopped before the first value: a limit of 0, or Ctrl-C in the first call
            best = self.start
        assert best is not None
        g = best.g
        if g is None and status in (Status.MAXITER, Status.MAXFUN, Status.TARGET, Status.CALLBACK):
            g = self._gradient_afterwards(best)
        detail = f"{detail} {self._singular(status, best, g)}".strip()
        result = Result(
            x=np.array(best.x),
            fun=float(best.f),
            jac=np.full(best.x.shape, np.nan) if g is None else g.copy(),
            nit=int(self.iterations),
            nfev=objective.nfev,
            njev=objective.njev,
            status=int(status),
            success=status in SUCCESSFUL and bool(np.isfinite(best.f)),
            message=describe(status, phase, f"{detail} {self._unsound()}".strip()),
            swaps=[dict(swap) for swap in self.history.swaps],
            phases=self.history.phases,
            history=self.history,
            gradient=objective.description,
            seconds=objective.elapsed,
        )
        if objective.box is not None:
            if objective.kind in (*FINITE_DIFFERENCES, EXTRAPOLATED):  # none of a variable without room
                result.jac[objective.box.fixed] = np.nan
            if result.success and objective.box.fixed.all():
                result.message = ALL_FIXED
            result.active = objective.box.active(result.x)
            result.multipliers = objective.box.multipliers(result.x, result.jac)
        if objective.nhev:
            result.nhev = objective.nhev
        if self.options.return_all:
            result.allvecs = self.allvecs
        return result

    def _singular(self, status: Status, best: Point, g: Array | None) -> str:
        """Say that f falls towards a singularity, where the history shows it."""
        values, norms = self.history["fun"], self.history["grad_norm"]
        if values.size == 0:
            return ""
        norm = float("nan") if g is None else float(norm2(g.astype(float)))
        return towards_singularity(status, norms, norm, float(values[0]), float(best.f))

    def _unsound(self) -> str:
        """Say at how many points the objective was finite and its gradient was not."""
        objective = self.objective
        count = objective.unsound_points
        if not count:
            return ""
        points = f"{count} point" + ("s" if count > 1 else "")
        why = f": {objective.missing}" if objective.missing else ""
        return (
            f"At {points} the objective was finite but its gradient was not (first in entry "
            f"{objective.unsound_entry}{why}); such a point counts as a failed trial."
        )

    def caution(self, result: OptimizeResult, above: int = 5) -> None:
        """Warn of what the run has had to do without; an error made of it keeps the result.

        The caller of `minimize` stands ``above`` so many frames, this one included.
        """
        if self.objective.caution:
            try:
                warnings.warn(self.objective.caution, RuntimeWarning, stacklevel=above)
            except RuntimeWarning as error:
                error.optimize_result = result  # type: ignore[attr-defined]
                raise

    @property
    def iterations(self) -> int:
        """Iterations over all phases."""
        raise NotImplementedError

    def _gradient_afterwards(self, best: Point) -> Array | None:
        """Gradient at a best point of which only the value is known; None where it would break a limit."""
        try:
            return self.objective.gradient(best.x)
        except (Stop, Exception, KeyboardInterrupt):  # the run is over: its result comes first
            return None

    def display(self, result: OptimizeResult) -> None:
        """Print or warn, as ``disp`` asks."""
        if not self.options.disp:
            return
        if result.success:
            print(result.message)
        else:
            warnings.warn(result.message, OptimizeWarning, stacklevel=5)
        print(f"         Current function value: {result.fun:f}")
        print(f"         Iterations: {result.nit}")
        print(f"         Function evaluations: {result.nfev:g}")
        print(f"         Gradient evaluations: {result.njev:g}")
        print(f"         Handovers between phases: {len(result.swaps)}")


def relative_gradient(point: Point) -> float:
    """max_i |g_i x_i| / |f|: the relative change of f by a relative change of a variable, free of units.

    Dennis & Schnabel, "Numerical methods for unconstrained optimization", section 7.2.
    """
    assert point.g is not None
    largest = float(np.max(np.abs(point.g * point.x)))
    return largest / abs(point.f) if point.f != 0 else float(largest > 0)
