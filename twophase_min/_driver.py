"""The one loop of a run: phases, handover, way back, and every stop.

The flow: Adam until the detector sees the swap (or the guard wants to try), the convex phase from the best point,
judged by the guard; a failed search climbs down the failure ladder (plain variables, our own conjugate gradients,
Adam again) and a ladder without any progress ends the run. Every stop raises `Stop` with its status where it
happens; nothing guesses the cause afterwards.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, OptimizeWarning

from twophase_min._callback import Progress
from twophase_min._guard import SHORTEST, Guard, Rate
from twophase_min._history import History
from twophase_min._objective import Objective, Point
from twophase_min._options import OWN_CONVEX_METHOD, TwoPhaseOptions
from twophase_min._status import SUCCESSFUL, Status, Stop, describe
from twophase_min.detector import ConvexitySwapDetector, make_detector
from twophase_min.phases import FAILED, ITERATION, NEED_F, NEED_G
from twophase_min.phases import scipy as scipy_phase
from twophase_min.phases.precondition import Scaling

Array = NDArray[np.floating]

PAIRS = 20
"""Pairs (s, y) kept for the change of variables."""
CYCLE = 10
"""Iterations of a SciPy method before its variables are rescaled by what it has learnt."""


class _LegEnd(BaseException):
    """Ends a SciPy method's leg from its callback; caught where the leg was begun."""

    def __init__(self, kind: str, reason: str = ""):
        super().__init__(kind, reason)
        self.kind, self.reason = kind, reason


class Driver:
    """One run of the two-phase method.

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
    """

    def __init__(
        self,
        objective: Objective,
        x0: Array,
        options: TwoPhaseOptions,
        callback: Callable[[OptimizeResult], bool] | None = None,
    ):
        self.objective, self.x0, self.options = objective, x0, options
        self.callback = callback
        self.maxiter = max(1000, 200 * x0.size) if options.maxiter is None else options.maxiter
        self.history = History()
        self.allvecs: list[Array] = []
        self.nit = 0
        self.phase = "start"
        self.final: Point | None = None
        self.bar: Progress | None = None
        self.keep_pairs = options.precondition is not None
        self.pairs: deque[tuple[Array, Array]] = deque(maxlen=PAIRS)
        self._previous: Point | None = None
        self.swaps = 0
        self.epoch = 0

    # ---- the run and its ends -----------------------------------------------------------------------------

    def run(self) -> OptimizeResult:
        """Run to a stop and return the result."""
        status, detail = Status.PRECISION_LOSS, ""
        try:
            if self.options.progress:
                self.bar = Progress(int(self.maxiter) if self.options.maxiter is not None else None)
            try:
                self._begin()
                self._alternate()
            except Stop as stop:
                status, detail = stop.status, stop.detail
            except KeyboardInterrupt:
                status = Status.INTERRUPTED
            except Exception as error:
                if self.options.on_error != "return" or error is not self.objective.error:
                    self._attach(error)
                    raise
                status, detail = Status.EXCEPTION, f"{type(error).__name__}: {error}"
            result = self._result(status, detail)
        finally:
            if self.bar is not None:
                self.bar.close()
            self.objective.close()
        self._display(result)
        return result

    def _attach(self, error: BaseException) -> None:
        """Lose nothing: hang the best point so far on an exception that is passed on."""
        if self.objective.best is None:
            return
        try:
            error.optimize_result = self._result(Status.EXCEPTION, str(error))  # type: ignore[attr-defined]
        except Exception:  # an exception type that takes no attributes is still the user's to see
            return

    def _begin(self) -> None:
        """Evaluate the start and settle what can be settled there."""
        f, g = self.objective.start(self.x0)
        if not np.isfinite(f) or not np.all(np.isfinite(g)):
            what = "objective" if not np.isfinite(f) else "gradient"
            raise Stop(
                Status.NONFINITE, f"The {what} is not finite at x0; start from a point where it is defined."
            )
        self.gtol = max(self.options.gtol, self.options.gtol_rel * self._norm(g))
        norm = float(np.linalg.norm(g))
        self._record(self.x0, f, norm, 0.0)
        self._previous = Point(np.array(self.x0, dtype=self.objective.dtype), f, g)
        if self._norm(g) <= self.gtol:
            self.final = self._previous
            raise Stop(Status.CONVERGED, "The start already satisfies it.")
        if self.maxiter <= 0:
            raise Stop(Status.MAXITER)
        self.noise = 10 * float(np.finfo(self.objective.dtype).eps)
        self.detector = self._make_detector()
        self.detector.update(f, norm)

    def _make_detector(self) -> ConvexitySwapDetector:
        options = self.options
        return make_detector(
            options.swap,
            factor=options.swap_factor,
            patience=options.swap_patience,
            smoothing=options.swap_smoothing,
        )

    def _norm(self, g: Array) -> float:
        return float(np.linalg.norm(g, ord=self.options.norm))

    def _record(self, x: Array, f: float, norm: float, step: float) -> None:
        objective = self.objective
        self.history.append(
            self.phase,
            (self.nit, objective.nfev, objective.njev, objective.cost, objective.elapsed, f, norm, step),
        )
        if self.options.return_all:
            self.allvecs.append(np.array(x))

    def _iteration(self, x: Array, f: float, g: Array) -> None:
        """Book a new iterate of the current phase, and stop where a stop is due."""
        self.nit += 1
        norm = float(np.linalg.norm(g))
        before = self._previous
        assert before is not None and before.g is not None
        s = x - before.x
        step = float(np.linalg.norm(s))
        if self.keep_pairs and step > 0:
            self.pairs.append((s.astype(float), (g - before.g).astype(float)))
        self._previous = Point(np.array(x), f, g)
        self._record(x, f, norm, step)
        if self.bar is not None:
            self.bar.update(self.phase, f, norm)
        size = self._norm(g)
        stop = False
        if self.callback is not None:
            stop = self.callback(
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
            )
        if stop:
            raise Stop(Status.CALLBACK)
        best = self.objective.best
        assert best is not None
        if size <= self.gtol and f <= best.f + self.noise * abs(best.f):
            self.final = self._previous
            raise Stop(Status.CONVERGED)
        if self.nit >= self.maxiter:
            raise Stop(Status.MAXITER)

    def _swap(self, to: str, reason: str) -> None:
        """Note a handover between phases."""
        point = self._previous
        assert point is not None and point.g is not None
        swap = {
            "iteration": self.nit,
            "evaluations": self.objective.cost,
            "loss": point.f,
            "norm": float(np.linalg.norm(point.g)),
            "peak": float(self.detector.peak),
            "from": self.phase,
            "to": to,
            "reason": reason,
        }
        self.history.swaps.append(swap)
        if self.bar is not None:
            self.bar.announce(
                f"iteration {self.nit}, f = {point.f:.6g}: {swap['from']} hands over to {to}: {reason}"
            )

    # ---- alternating phases -------------------------------------------------------------------------------

    def _alternate(self) -> None:
        """Adam, convex phase, and back, until a stop."""
        from twophase_min.phases.adam import Adam

        options, objective = self.options, self.objective
        self.adam = Adam(options.learning_rate, options.beta1, options.beta2, options.epsilon)
        start = self._previous
        assert start is not None and start.g is not None
        self.adam.start(start.x, start.f, start.g)
        self.adam_rate = Rate(objective.cost, start.f)
        self.patience = 3.0  # evaluations until the guard tries the convex phase without being told
        failed_at: float | None = None
        while True:
            reason = self._adam_leg(recovering=failed_at is not None)
            if self.swaps >= options.max_swaps:
                self._adam_to_the_end()
            best = objective.best
            assert best is not None
            if failed_at is not None and not best.f < failed_at - self.noise * abs(failed_at):
                self._give_up(reason)
            self.swaps += 1
            guard = Guard(objective.cost, best.f, self.adam_rate.reference)
            kind, reason = self._convex_leg(reason, guard)
            best = objective.best
            assert best is not None
            failed_at = best.f if kind == "failed" else None
            self._back_to_adam(kind, reason)

    def _give_up(self, reason: str) -> None:
        """Neither phase finds a decrease: say so, with what is known."""
        objective, best = self.objective, self.objective.best
        assert best is not None
        if objective.nonfinite is not None and not objective.finite_elsewhere:
            self.final = objective.nonfinite
            raise Stop(
                Status.NONFINITE, "The objective is finite at x0 only; every other point tried is not."
            )
        norm = self._norm(best.g) if best.g is not None else float("nan")
        raise Stop(
            Status.PRECISION_LOSS,
            f"Gradient norm {norm:.3g} at f = {best.f:.6g}, last slope and step gave no decrease above rounding "
            f"({self.noise * abs(best.f):.1g}). {reason} Check the gradient with check_gradient; if f is noisy, "
            "raise gtol; if variables differ by many orders of magnitude, rescale them.",
        )

    def _serve(self, phase: Any) -> int:
        """Evaluate what an ask/tell phase wants until it has an iterate or fails."""
        objective = self.objective
        while True:
            need = phase.need
            if need == FAILED:
                return FAILED
            x = phase.ask()
            if need == NEED_F:
                f = objective.value(x)
                known = objective.last
                code = phase.tell(f, known.g if objective.fused and known is not None else None)
            elif need == NEED_G:
                f, g = objective.value_and_gradient(x)
                code = phase.tell(f, g)
            else:
                code = phase.tell(*objective.value_and_gradient(x))
            if code in (ITERATION, FAILED):
                return int(code)

    def _adam_iteration(self) -> str:
        """One iteration (an epoch, for a finite sum); answers '' or why Adam cannot go on."""
        adam = self.adam
        if self.objective.finite_sum is not None and not adam.probing:
            return self._adam_epoch()
        if adam.t > 0:
            adam.next()
        if self._serve(adam) == FAILED:
            return adam.reason
        self._iteration(adam.x, adam.f, adam.g)
        return ""

    def _adam_epoch(self) -> str:
        adam, objective = self.adam, self.objective
        assert objective.finite_sum is not None
        saved = adam.get_state()
        for attempt in range(10):
            for indices in objective.finite_sum.batches(self.epoch):
                _, g = objective.batch(adam.x, indices)
                adam.step(adam.x, g)
            f, g = objective.value_and_gradient(adam.x)
            if np.isfinite(f) and np.all(np.isfinite(g)):
                adam.f, adam.g = f, g
                self.epoch += 1
                self._iteration(adam.x, f, g)
                return ""
            adam.set_state(saved)
            adam.scale_back(0.1 ** (attempt + 1))
        return "every epoch ended at a non-finite loss, at ever smaller learning rates"

    def _adam_leg(self, recovering: bool) -> str:
        """Adam until the detector sees the swap, a trial is due, or Adam fails; answers why it ended."""
        options, adam, objective = self.options, self.adam, self.objective
        self.phase = "adam"
        minimum = 5 if recovering else 1
        automatic = options.learning_rate is None and options.guard and options.swap == "norm-peak"
        for step in range(2**62):
            before = adam.g
            failure = self._adam_iteration()
            if failure:
                return f"Adam found no step: {failure}."
            best = objective.best
            assert best is not None
            self.adam_rate.note(objective.cost, best.f)
            norm = float(np.linalg.norm(adam.g))
            decision = self.detector.update(adam.f, norm, curvature=adam.curvature)
            if step + 1 < minimum:
                continue
            if decision:
                return decision.reason
            if not automatic or objective.finite_sum is not None:
                continue
            if adam.t == 1 and adam.curvature > 0 and norm < float(np.linalg.norm(before)):
                return "the curvature along the first step is positive and the gradient norm falls"
            if self.adam_rate.spent >= self.patience:
                self.patience = max(2 * self.patience, 2 * SHORTEST)
                return f"no swap seen in {self.adam_rate.spent:.0f} evaluations: the guard tries the convex phase"
        raise AssertionError("unreachable")

    def _adam_to_the_end(self) -> None:
        """No swaps are left: Adam until a stop."""
        self.phase = "adam"
        while not (failure := self._adam_iteration()):
            pass
        self._give_up(f"Adam found no step either: {failure}.")

    def _back_to_adam(self, kind: str, reason: str) -> None:
        """Re-arm Adam after a convex leg: its own state if the leg lost the trial, else the best point."""
        objective, options = self.objective, self.options
        self._swap("adam", reason)
        best = objective.best
        assert best is not None
        if kind == "rollback" and best.f >= self.adam.f:
            self._previous = Point(self.adam.x.copy(), self.adam.f, self.adam.g)
        else:
            from twophase_min.phases.adam import Adam

            g = best.g if best.g is not None else objective.gradient(best.x)
            self.adam = Adam(options.learning_rate, options.beta1, options.beta2, options.epsilon)
            self.adam.start(best.x, best.f, g)
            self._previous = Point(best.x, best.f, g)
        self.detector.rearm()
        self.adam_rate = Rate(objective.cost, best.f)

    # ---- the convex phase ---------------------------------------------------------------------------------

    def _convex_leg(self, reason: str, guard: Guard) -> tuple[str, str]:
        """Down the ladder until a rung is rolled back ('rollback') or none is left ('failed'), and why."""
        options = self.options
        name = options.convex_method if isinstance(options.convex_method, str) else "convex"
        self._swap(name, reason)
        judge = guard if options.guard else None
        rungs: list[tuple[str, bool]] = [(name, options.precondition is not None)]
        if name != OWN_CONVEX_METHOD:
            if options.precondition is not None:
                rungs.append((name, False))
            rungs.append((OWN_CONVEX_METHOD, False))
        for rung, (method, preconditioned) in enumerate(rungs):
            self._to_best()
            if rung > 0:
                self._swap(method, reason)
            self.phase = method
            if method == OWN_CONVEX_METHOD:
                kind, reason = self._own_leg(judge, preconditioned)
            else:
                kind, reason = self._scipy_leg(judge, preconditioned)
            if kind == "rollback":
                return kind, reason
        return "failed", reason

    def _to_best(self) -> None:
        """Make the best point the current one, with its gradient."""
        best = self.objective.best
        assert best is not None
        g = best.g if best.g is not None else self.objective.gradient(best.x)
        self._previous = Point(best.x, best.f, g)

    def _own_leg(self, guard: Guard | None, preconditioned: bool) -> tuple[str, str]:
        from twophase_min.phases.cg import MemoryCG

        options, point = self.options, self._previous
        assert point is not None and point.g is not None
        extra = dict(options.convex_options or {}) if options.convex_method == OWN_CONVEX_METHOD else {}
        phase = MemoryCG(**{"c1": options.c1, "c2": options.c2, **extra})
        pairs = list(self.pairs) if preconditioned and phase.memory != 0 else None
        phase.start(point.x, point.f, point.g, first_step=self._first_length(), pairs=pairs)
        while True:
            if self._serve(phase) == FAILED:
                if phase.working_precision:
                    self.final = Point(phase.x, phase.f, phase.g)
                    raise Stop(Status.WORKING_PRECISION, f"{phase.reason}.")
                return "failed", phase.reason
            self._iteration(phase.x, phase.f, phase.g)
            verdict = guard.verdict(self.objective.cost, phase.f) if guard is not None else ""
            if verdict:
                return "rollback", verdict

    def _first_length(self) -> float | None:
        """Length of a first step: to the minimiser along -g by the curvature of the last step, or Adam's own."""
        point = self._previous
        assert point is not None and point.g is not None
        norm = float(np.linalg.norm(point.g))
        if self.adam.curvature > 0:
            return norm / self.adam.curvature
        if self.adam.t > 0:
            return float(self.adam.learning_rate) * self.objective.n**0.5
        return None

    def _scipy_leg(self, guard: Guard | None, preconditioned: bool) -> tuple[str, str]:
        """SciPy's method in cycles, each in variables scaled by the pairs gathered so far."""
        options, objective = self.options, self.objective
        method = options.convex_method
        cycles = preconditioned and method == "CG"
        objective.remember_more(10 if objective.n <= 100_000 else 0)
        c2 = options.c2 if options.c2 is not None else (0.4 if method == "CG" else 0.9)
        while True:
            began = self.nit

            def on_iterate(x: Array, began: int = began) -> None:
                f, g = objective.value_and_gradient(x)
                self._iteration(np.asarray(x, dtype=objective.dtype), f, g)
                verdict = guard.verdict(objective.cost, f) if guard is not None else ""
                if verdict:
                    raise _LegEnd("rollback", verdict)
                if cycles and self.nit - began >= CYCLE:
                    raise _LegEnd("cycle")

            try:
                message = scipy_phase.run(
                    method,
                    objective,
                    self._scaling(preconditioned),
                    on_iterate,
                    self._on_gradient,
                    c1=options.c1,
                    c2=c2,
                    options=options.convex_options,
                    hessp=objective.hessp,
                )
            except _LegEnd as end:
                if end.kind == "rollback":
                    return end.kind, end.reason
                continue
            return "failed", message

    def _on_gradient(self, x: Array, g: Array) -> None:
        """Stop a line search at a trial that converges the run: SciPy was told never to stop."""
        if self._norm(g) > self.gtol:
            return
        best = self.objective.best
        assert best is not None and self._previous is not None
        x = np.asarray(x, dtype=self.objective.dtype)
        if np.array_equal(x, best.x) and not np.array_equal(x, self._previous.x):
            self._iteration(x, best.f, g)

    def _scaling(self, preconditioned: bool) -> Any:
        """Variables for a SciPy method: the pairs' curvature, sized so that its first trial step is a good one."""
        point = self._previous
        assert point is not None and point.g is not None
        origin, g = point.x.astype(float), point.g.astype(float)
        pairs = list(self.pairs) if preconditioned else []
        useful = [(s, y) for s, y in pairs if s @ y > 0]
        diagonal = 1.0
        if useful:
            s, y = useful[-1]
            diagonal = float((s @ y) / (y @ y)) ** 0.5
        scaling = Scaling(origin, diagonal, useful)
        h = float(np.linalg.norm(scaling.pull(g)))
        if not (np.isfinite(h) and h > 0):
            return Scaling(origin)
        if scaling.factors:
            step = 1.0
        else:
            length = self._first_length()
            step = (length / h) if length else 1.0 / h  # with S = 1, h is the gradient norm
        # SciPy's CG tries alpha = min(1, 1.01 / |h|) along -h first: choose the unit of z to make that our step
        scaling.rescale(step * h / 1.01 if step * h * h >= 1.01**2 else step**0.5)
        return scaling

    # ---- the result ---------------------------------------------------------------------------------------

    def _result(self, status: Status, detail: str) -> OptimizeResult:
        objective = self.objective
        best = self.final if self.final is not None else objective.best
        if best is None:  # stopped before the first value: a limit of 0, or Ctrl-C in the first call
            best = Point(np.array(self.x0), float("nan"), None)
        g = best.g
        if g is None and status in (Status.MAXITER, Status.MAXFUN, Status.TARGET, Status.CALLBACK):
            g = self._gradient_afterwards(best)
        message = describe(status, "" if self.phase == "start" else self.phase, detail)
        result = OptimizeResult(
            x=np.array(best.x),
            fun=float(best.f),
            jac=np.full(self.x0.shape, np.nan) if g is None else g.copy(),
            nit=self.nit,
            nfev=objective.nfev,
            njev=objective.njev,
            status=int(status),
            success=status in SUCCESSFUL and bool(np.isfinite(best.f)),
            message=message,
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
        except (Stop, Exception):
            return None

    def _display(self, result: OptimizeResult) -> None:
        if not self.options.disp:
            return
        lines = [
            result.message,
            f"         Current function value: {result.fun:f}",
            f"         Iterations: {result.nit}",
            f"         Function evaluations: {result.nfev:g}",
            f"         Gradient evaluations: {result.njev:g}",
            f"         Swaps: {len(result.swaps)}",
        ]
        if result.success:
            print("\n".join(lines))
        else:
            warnings.warn(result.message, OptimizeWarning, stacklevel=4)
            print("\n".join(lines[1:]))
