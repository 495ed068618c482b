"""The book-keeping of a run: iterates, callback, progress, stops that every iterate must pass, the result."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, OptimizeWarning

from twophase_min import _reasons
from twophase_min._callback import Progress
from twophase_min._history import History
from twophase_min._options import TwoPhaseOptions
from twophase_min._status import SUCCESSFUL, Status, Stop, describe
from twophase_min.jit.kernels import norm2, norm_inf
from twophase_min.objective.calls import Objective, Point

Array = NDArray[np.floating]

PAIRS = 20
"""Pairs (s, y) of the last iterations kept for the change of variables and for our own memory."""


class Run:
    """What a run has done so far, whichever phase did it.

    Parameters
    ----------
    objective : Objective
        Not yet started.
    x0 : ndarray, shape (n,)
        Start.
    options : TwoPhaseOptions
        Validated.
    callback : callable, optional
        From `_callback.wrap_callback`.

    Attributes
    ----------
    point : Point
        Current iterate, with its gradient; the bare start until `begin`.
    final : Point or None
        What to return, where that is not simply the best point seen.
    norm_before, norm_here : float
        Euclidean norm of the gradient one iterate earlier, and at the iterate ``norm_of``.
    nit : int
        Iterations over all phases.
    phase : str
        Name of the phase at work.
    """

    def __init__(
        self,
        objective: Objective,
        x0: Array,
        options: TwoPhaseOptions,
        callback: Callable[[OptimizeResult], bool] | None = None,
    ):
        self.objective, self.options, self.callback = objective, options, callback
        self.maxiter = max(1000, 200 * x0.size) if options.maxiter is None else options.maxiter
        self.noise = 10 * float(np.finfo(objective.dtype).eps)
        self.gtol = options.gtol
        self.history = History()
        self.allvecs: list[Array] = []
        self.nit = 0
        self.phase = "start"
        self.final: Point | None = None
        self.bar: Progress | None = None
        self.keep_pairs = options.precondition is not None
        self.pairs: deque[tuple[Array, Array]] = deque(maxlen=PAIRS)
        self.point = Point(x0, np.nan, None)
        self.norm_before = self.norm_here = np.nan
        self.norm_of: Point | None = None

    # ---- points -------------------------------------------------------------------------------------------

    def best(self) -> Point:
        """Return the best point seen, with its gradient."""
        best = self.objective.best
        assert best is not None
        if best.g is None:
            best = Point(best.x, best.f, self.objective.gradient(best.x))
        return best

    def norm(self, g: Array) -> float:
        """Norm of the gradient that the convergence test reads."""
        if self.options.norm == np.inf:
            return float(norm_inf(g))
        return float(norm2(g) if self.options.norm == 2 else np.linalg.norm(g, ord=self.options.norm))

    def relative_gradient(self, point: Point) -> float:
        """max_i |g_i x_i| / |f|: the relative change of f by a relative change of a variable, free of units.

        Dennis & Schnabel, "Numerical methods for unconstrained optimization", section 7.2.
        """
        assert point.g is not None
        largest = float(np.max(np.abs(point.g * point.x)))
        return largest / abs(point.f) if point.f != 0 else float(largest > 0)

    # ---- the record ---------------------------------------------------------------------------------------

    def begin(self, f: float, g: Array) -> None:
        """Book the start, and stop where nothing is to be done."""
        if not np.isfinite(f) or not np.all(np.isfinite(g)):
            what = "objective" if not np.isfinite(f) else "gradient"
            raise Stop(Status.NONFINITE, _reasons.NOT_FINITE.format(what))
        self.gtol = max(self.options.gtol, self.options.gtol_rel * self.norm(g))
        x0 = np.asarray(self.point.x, dtype=self.objective.dtype)
        self.point = self.objective.kept(x0, f, g)
        self._record(float(np.linalg.norm(g)), 0.0)
        if self.norm(g) <= self.gtol:
            self.final = self.point
            raise Stop(Status.CONVERGED, _reasons.AT_START)
        if self.maxiter <= 0:
            raise Stop(Status.MAXITER)

    def _record(self, norm: float, step: float) -> None:
        point, objective = self.point, self.objective
        self.history.append(
            self.phase,
            (
                self.nit,
                objective.nfev,
                objective.njev,
                objective.cost,
                objective.elapsed,
                point.f,
                norm,
                step,
            ),
        )
        if self.options.return_all:
            self.allvecs.append(np.array(point.x))

    def iteration(self, x: Array, f: float, g: Array) -> None:
        """Book a new iterate of the current phase; raises `Stop` where a stop is due."""
        before = self.point
        assert before.g is not None
        point = self.objective.kept(x, f, g)
        assert point.g is not None
        x, g = point.x, point.g
        self.nit += 1
        s = x - before.x
        step = float(norm2(s))
        if self.keep_pairs and step > 0:
            self.pairs.append((s.astype(float), (g - before.g).astype(float)))
        self.norm_before = self.norm_here if self.norm_of is before else float(norm2(before.g))
        self.point = self.norm_of = point
        self.norm_here = float(norm2(g))
        self._record(self.norm_here, step)
        size = self.norm(g)
        if self.bar is not None:
            self.bar.update(self.phase, f, size, self.objective.nfev)
        if self.callback is not None and self.callback(
            OptimizeResult(
                x=np.array(x),
                fun=f,
                jac=g.copy(),
                phase=self.phase,
                grad_norm=size,
                step=step,
                nit=self.nit,
                nfev=self.objective.nfev,
                njev=self.objective.njev,
            )
        ):
            raise Stop(Status.CALLBACK)
        if self.converged():
            self.final = self.point
            raise Stop(Status.CONVERGED)
        if self.nit >= self.maxiter:
            raise Stop(Status.MAXITER)

    def converged(self) -> bool:
        """Whether the current point passes the gradient test and is the best, up to what the test can see.

        A neighbour at distance d whose value is lower by less than ``gtol * d`` is as good by the caller's
        tolerance. A gradient by differences can pass here and fail there.
        """
        point, best = self.point, self.objective.best
        assert best is not None
        assert point.g is not None
        if not self.norm(point.g) <= self.gtol:
            return False
        if point.f <= best.f + self.noise * abs(best.f):
            return True
        distance = float(np.linalg.norm(np.subtract(point.x, best.x, dtype=float)))
        return point.f <= best.f + self.gtol * distance

    def swapped(self, to: str, reason: str, peak: float) -> None:
        """Note a handover from the current phase."""
        point = self.point
        assert point.g is not None
        swap = {
            "iteration": self.nit,
            "evaluations": float(self.objective.cost),
            "loss": float(point.f),
            "norm": float(np.linalg.norm(point.g)),
            "peak": float(peak),
            "from": self.phase,
            "to": to,
            "reason": reason,
        }
        self.history.swaps.append(swap)
        if self.bar is not None:
            self.bar.announce(
                f"iteration {self.nit}, f = {point.f:.6g}: {self.phase} hands over to {to}: {reason}"
            )

    # ---- the result ---------------------------------------------------------------------------------------

    def result(self, status: Status, detail: str) -> OptimizeResult:
        """Build what the caller gets."""
        objective = self.objective
        best = self.final if self.final is not None else objective.best
        if best is None:  # stopped before the first value: a limit of 0, or Ctrl-C in the first call
            best = Point(self.point.x, float("nan"), None)
        g = best.g
        if g is None and status in (Status.MAXITER, Status.MAXFUN, Status.TARGET, Status.CALLBACK):
            g = self._gradient_afterwards(best)
        result = OptimizeResult(
            x=np.array(best.x),
            fun=float(best.f),
            jac=np.full(best.x.shape, np.nan) if g is None else g.copy(),
            nit=self.nit,
            nfev=objective.nfev,
            njev=objective.njev,
            status=int(status),
            success=status in SUCCESSFUL and bool(np.isfinite(best.f)),
            message=describe(status, "" if self.phase == "start" else self.phase, detail),
            swaps=[dict(swap) for swap in self.history.swaps],
            phases=self.history.phases,
            history=self.history,
            gradient=objective.description,
        )
        if objective.nhev:
            result.nhev = objective.nhev
        if self.options.return_all:
            result.allvecs = self.allvecs
        return result

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
