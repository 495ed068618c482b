"""The loop of a run in Python, for any objective.

It evaluates what the phases ask for, records iterates, calls the callback, and carries out the decisions of
the state machine (`machine`). Whatever ends a run early raises `Stop` with its status where it happens. A
method of SciPy is an external phase (`external`): it calls the objective itself, but its iterates are
accepted by the same function as all others. Everything that the rest of a run depends on is in attributes,
so that `resume` can save it between any two evaluations.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult

from twophase_min._callback import Progress
from twophase_min._errstate import our_arithmetic, users
from twophase_min._options import TwoPhaseOptions
from twophase_min._result import keep
from twophase_min._status import ENDED_BY, FAILED_SEARCHES, Cause, Status, Stop, sentence
from twophase_min.jit.kernels import norm2
from twophase_min.objective.calls import Objective
from twophase_min.objective.memory import Point
from twophase_min.phases import FAILED, ITERATION, NEED_F, NEED_NOISE, is_ours
from twophase_min.phases.metric import typical_sizes
from twophase_min.run import ends, epochs, external, machine, own, refit, resume, settling
from twophase_min.run.build import fallbacks, own_solver, quick, run_detector
from twophase_min.run.checkpoint import Checkpoint
from twophase_min.run.detecting import can_compile
from twophase_min.run.diagnosis import AT_EDGE, WRONG, diagnose, last_step
from twophase_min.run.result import Report
from twophase_min.run.state import (
    ADAM,
    BACK_TO_ADAM,
    BAD_POINT,
    BEGIN_CONVEX,
    EVENT,
    ITERATE,
    LOOP,
    NEW_ADAM,
    PAIRS,
    RESUME_CONVEX,
    STOP,
    set_limits,
)

Array = NDArray[np.floating]


class Driver(Report):
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

    Attributes
    ----------
    slot, loop : slot and view of `state.LOOP`
        What the run decides by.
    point : Point
        Current iterate, with its gradient; the bare start until `begin`.
    adam, own : Adam, and our own convex phase while it is at work
        The phases.
    pairs : deque of (s, y)
        Steps and gradient differences of the last iterations.
    sizes : ndarray or None
        Typical sizes of the variables, where x0 and its gradient show them (`typical_sizes`).
    scales : ndarray or None
        Change of variables of the convex phase (`_diagonal` at its handover).
    bend : float
        Curvature of the last step before a phase failed, NaN if none did.
    suspended_own, suspended_pairs, suspended_scales : phase, list, ndarray
        What a suspended convex phase goes on from.
    found_lower, at_edge, looks, measured : bool, bool, int, list of float
        Whether the diagnosis has found a lower point, or the edge of the domain; how often the run has gone
        on; values of a measurement of the noise under way.
    epoch, stretch, epoch_start : int, Stretch, dict or None
        Epochs made, those since the last evaluation of the whole data, and Adam where these began.
    inexact : str
        What resuming could not restore.
    """

    def __init__(
        self,
        objective: Objective,
        x0: Array,
        options: TwoPhaseOptions,
        callback: Callable[[OptimizeResult], bool] | None = None,
    ):
        self.fallbacks = fallbacks(options)
        super().__init__(objective, x0, options, [name for name, _ in self.fallbacks])
        self.callback = callback
        self.bar: Progress | None = None
        self.machine = machine.ready()
        self.slot = LOOP.new()
        loop = self.loop = LOOP.view(self.slot)
        set_limits(loop, x0.size, options, float(np.finfo(objective.dtype).eps))
        loop.fallbacks, loop.quick = len(self.fallbacks), quick(self.fallbacks)
        loop.sampled = objective.finite_sum is not None
        if is_ours(self.methods[0]):
            own_solver(options).check(x0.size)
        else:
            loop.guard.pace = 0.0  # SciPy's methods begin anew after an excursion, which is worth a whole one
        self.event = EVENT.new()
        self.detector = run_detector(options, objective.finite_sum is not None)
        self.users_rule = not can_compile(self.detector)
        assert self.start is not None
        self.point = self.before = self.start
        self.x0 = self.start.x
        if options.gtol_rel == 0.0:
            self.start = None  # given up as soon as it can be
        self.adam: Any = None
        self.own: Any = None
        self.keep_pairs = options.precondition is not None
        self.pairs: deque[tuple[Array, Array]] = deque(maxlen=PAIRS)
        self.sizes: Array | None = None
        self.scales: Array | None = None
        self.suspended_own: Any = None
        self.suspended_pairs: list[tuple[Array, Array]] = []
        self.suspended_scales: Array | None = None
        self.measured: list[Any] = []
        self.found_lower, self.looks, self.epoch, self.stretch = False, 0, 0, epochs.Stretch()
        self.epoch_start: dict[str, Any] | None = None
        self.inexact = ""
        if options.checkpoint is not None:
            write = Checkpoint(options.checkpoint, options.checkpoint_every, lambda: resume.pack(self, False))
            objective.before_call = write

    @property
    def iterations(self) -> int:
        """Iterations over all phases."""
        return int(self.loop.nit)

    @property
    def phase(self) -> str:
        """Name of the phase at work."""
        loop = self.loop
        return self.name(loop.phase, loop.fallback) if loop.begun else "start"

    # ---- the run and its ends -----------------------------------------------------------------------------

    def run(self) -> OptimizeResult:
        """Run to a stop and return the result; warnings point at the caller of `minimize`."""
        with our_arithmetic():
            result = self._run()
        self.caution(result)
        self.display(result)
        return result

    def _run(self) -> OptimizeResult:
        detail = ""
        try:
            if self.options.progress:
                samples = getattr(self.objective.finite_sum, "n_samples", 0)
                self.bar = Progress(self.options.maxiter, self.options.maxfun, samples)
            try:
                self.drive()
            except Stop as stop:
                status, detail = stop.status, stop.detail
            except KeyboardInterrupt:
                status = Status.INTERRUPTED
            except BaseException as error:
                if self.options.on_error != "return" or error is not self.objective.error:
                    self._attach(error)
                    raise
                status, detail = Status.EXCEPTION, f"{type(error).__name__}: {error}"
            return self.outcome(status, detail)
        finally:
            if self.bar is not None:
                self.bar.close()
            self.objective.close()

    def outcome(self, status: Status, detail: str) -> OptimizeResult:
        """Build what the caller gets, with the state to resume from."""
        checkpoint, self.objective.before_call = self.objective.before_call, None
        state = resume.pack(self)  # before a gradient is asked for that the run itself did not need
        if checkpoint is not None and state:
            checkpoint.write(state)
        if status == Status.MAXFUN:
            epochs.last_look(self)
        phase = self.phase if self.loop.begun else ""
        if self.objective.best is None and self.final is None:
            self.start = self.point
        more = settling.in_float64(self, status)
        result = self.result(status, " ".join(filter(None, (detail, more, self.inexact))), phase)
        result.state = state
        if self.own is not None:
            result.update(self.own.of_result())
        return result

    def _attach(self, error: BaseException) -> None:
        """Lose nothing: hang the best point so far on an exception that is passed on."""
        if self.objective.best is None:
            return
        keep(error, self.outcome(Status.EXCEPTION, str(error)))

    def drive(self) -> None:
        """Carry out the decisions of the machine until it stops; always ends by raising `Stop`."""
        self._begin()
        while True:
            try:
                self._stop_if_due()
                (self._adam_run if self.loop.phase == ADAM else self._convex_run)()
            except Stop as end:
                if not (ends.goes_back(self) or refit.reopens(self, end) or ends.leaves_saddle(self, end)):
                    raise

    def _begin(self) -> None:
        loop, objective, options = self.loop, self.objective, self.options
        if options.resume is not None:
            resume.unpack(self, options.resume)
            if self.point.g is not None and not loop.doubted and self._passes():
                self.final = self.point
                raise Stop(Status.CONVERGED, "The resumed state already satisfies it.")
            if loop.nit >= loop.maxiter:
                raise Stop(Status.MAXITER)
            return
        f, g = refit.see_more(self, *objective.start(self.point.x))
        size = settling.size_of(self, self.point.x, g)
        loop.gtol = max(options.gtol, options.gtol_rel * size)
        finite = bool(np.all(np.isfinite(g)))
        norm = float(norm2(settling.reduced(self, self.point.x, g)))
        self.machine.begin(self.slot, *self._counts(), f, norm, size, finite)
        if np.isfinite(f) and finite:
            x0 = np.asarray(self.point.x, dtype=objective.dtype)
            self.move(objective.kept(x0, f, g))
            self._record("start", float(np.linalg.norm(settling.reduced(self, x0, g))), 0.0)
        self._stop_if_due()
        self.detect(f, norm)
        if options.precondition == "auto":
            self.sizes = typical_sizes(self.point.x, g)
        self.adam = self.new_adam(self.point)
        if loop.next == BEGIN_CONVEX:
            self.scales = own.diagonal(self)
            self.note("")
            self.machine.enter(self.slot, f)

    def _stop_if_due(self) -> None:
        """Look closer at an iterate that is in doubt, and raise what the machine has set."""
        if self.loop.doubted:
            settling.reconsider(self)
        if self.loop.next == STOP:
            raise self.stop("", self.point)

    def stop(self, text: str, iterate: Point) -> Stop:
        """Return the stop that the machine has set; ``text`` is what the part that knows more says."""
        loop, event = self.loop, self._event_view
        if loop.final == ITERATE:
            self.final = iterate
        elif loop.final == BAD_POINT:
            self.final = self.objective.nonfinite
        if loop.cause == Cause.NO_HANDOVER:
            text = sentence(loop.behind, event, text)
        detail = sentence(loop.cause, event, text)
        if loop.status == Status.PRECISION_LOSS:
            before = self.objective.best
            detail = ENDED_BY.format(self._diagnosis(), detail)
            after = self.objective.best
            assert before is not None
            assert after is not None
            wrong = WRONG in detail and self.objective.kind in ("callable", "fused")
            lower = after.f < before.f - self.machine.exactness(self.slot, before.f)
            self.found_lower = lower and not wrong  # along a wrong gradient there is always a lower point
            self.at_edge = AT_EDGE in detail
        return Stop(Status(loop.status), detail)

    @property
    def _event_view(self) -> Any:
        return EVENT.view(self.event)

    def _diagnosis(self) -> str:
        """Say what is known where neither phase finds a decrease."""
        best = self.objective.best
        assert best is not None
        if best.g is not None:
            settling.noise_at(self, best.x, best.f, best.g)
        step, curvature = last_step(self.history, self.pairs, self.adam.curvature)
        noise = self.machine.noise(self.slot)
        return diagnose(self.objective, best, step, curvature, self.loop.gtol, noise)

    # ---- points and iterates ------------------------------------------------------------------------------

    def _counts(self) -> tuple[float, float, float]:
        """Values, evaluations and work so far, as the machine takes them."""
        objective = self.objective
        return objective.nfev, objective.cost, objective.work

    def best(self) -> Point:
        """Return the best point seen, with its gradient."""
        objective = self.objective
        assert objective.best is not None
        while objective.best.g is None:  # a point whose gradient is not finite gives way to another
            objective.gradient(objective.best.x)
        return objective.best

    def move(self, point: Point) -> None:
        """Make an evaluated point the current one without a step."""
        self.point = point
        self.loop.f, self.loop.norm = point.f, math.nan

    def _distance(self) -> float:
        """Distance of the current point from the best one."""
        best = self.objective.best
        assert best is not None
        return float(np.linalg.norm(np.subtract(self.point.x, best.x, dtype=float)))

    def _passes(self) -> bool:
        """Whether a resumed iterate passes the test of convergence."""
        assert self.point.g is not None
        best = self.objective.best
        assert best is not None
        size = settling.size_of(self, self.point.x, self.point.g)
        passed: bool = self.machine.passes(self.slot, best.f, self.point.f, size, self._distance())
        return passed

    def iteration(self, x: Array, f: float, g: Array) -> None:
        """Book a new iterate of the current phase; raises `Stop` where a stop is due."""
        before, loop = self.point, self.loop
        assert before.g is not None
        point = self.objective.kept(x, f, g)
        assert point.g is not None
        x, g, s = point.x, point.g, point.x - before.x
        step = float(norm2(s))
        if self.keep_pairs and step > 0:
            self.pairs.append((s.astype(float), (g - before.g).astype(float)))
        self.point = point
        norm = float(norm2(settling.reduced(self, x, g)))
        size = settling.size_of(self, x, g)
        best = self.objective.best
        assert best is not None
        distance = self._distance() if size <= loop.gtol and not f <= best.f else 0.0
        self.machine.accept(self.slot, *self._counts(), best.f, f, norm, size, distance)
        self.before = before if loop.doubted else point
        self._record(self.phase, norm, step)
        if self.bar is not None:
            self.bar.update(self.phase, f, size, self.objective.nfev, loop.nit, self.epoch)
        if self.callback is not None and self.callback(
            OptimizeResult(
                x=np.array(x),
                fun=f,
                jac=g.copy(),
                phase=self.phase,
                grad_norm=size,
                step=step,
                nit=loop.nit,
                nfev=self.objective.nfev,
                njev=self.objective.njev,
            )
        ):
            raise Stop(Status.CALLBACK)
        self._stop_if_due()

    def _record(self, phase: str, norm: float, step: float) -> None:
        point, objective = self.point, self.objective
        counts = (objective.nfev, objective.njev, objective.cost, objective.elapsed)
        self.history.append(phase, (self.loop.nit, *counts, point.f, norm, step))
        if self.options.return_all:
            self.allvecs.append(np.array(point.x))

    def note(self, text: str, reason: int = 0, phase_f: float = math.nan) -> None:
        """Put the handover that the machine has named on record, and begin what follows."""
        g = self.point.g
        assert g is not None
        norm = float(np.linalg.norm(settling.reduced(self, self.point.x, g)))
        peak = float(self.detector.peak)
        self.machine.note_event(self.slot, self.event, 0, peak, norm, reason, phase_f)
        event = self._event_view
        swap = self.handover(event, self.phase if event.origin >= 0 else "start", text)
        if self.bar is not None:
            self.bar.announce(
                f"iteration {swap['iteration']}, f = {swap['loss']:.6g}: {swap['from']} hands over to "
                f"{swap['to']}: {swap['reason']}"
            )

    # ---- Adam ---------------------------------------------------------------------------------------------

    def new_adam(self, point: Point) -> Any:
        """Return Adam at an evaluated point, its moments at zero."""
        from twophase_min.phases.adam import Adam

        assert point.g is not None
        options = self.options
        settings = options.learning_rate, options.beta1, options.beta2, options.epsilon
        adam = Adam(*settings, self.sizes, self.objective.box)
        adam.start(point.x, point.f, point.g)
        return adam

    def serve(self, phase: Any) -> int:
        """Evaluate what an ask/tell phase requests until it has an iterate or fails."""
        objective = self.objective
        fused = objective.fused
        need = phase.need
        while need != ITERATION and need != FAILED:
            if need == NEED_NOISE:
                need = phase.tell(settling.noise_at(self, phase.x, phase.f, phase.direction), None)
            elif need == NEED_F and not fused:
                need = phase.tell(objective.value(phase.trial), None)
            else:
                point = objective.evaluated(phase.trial)
                need = phase.tell(point.f, point.g)
        return int(need)

    def detect(self, f: float, norm: float, **extras: Any) -> Any:
        """Show the detector an iterate."""
        update = self.detector.update
        return users(update, f, norm, **extras) if self.users_rule else update(f, norm, **extras)

    def _adam_run(self) -> None:
        """Adam until the detector sees the swap, the guard wants a trial, or Adam fails; hands over."""
        loop, adam, text = self.loop, self.adam, ""
        cause = Cause.NONE
        while cause == Cause.NONE:
            if not loop.unread:
                text = epochs.adam_iteration(self)
                if text:
                    cause = Cause.ADAM_FAILED
                    break
            decided, reason = epochs.decision(self)
            cause = self.machine.after_adam(self.slot, adam.f, decided)
            if cause == Cause.DETECTED:
                text = reason
        objective = self.objective
        best = objective.best
        assert best is not None
        only_x0 = objective.nonfinite is not None and not objective.finite_elsewhere
        only_lower = objective.lowest is not best
        self.machine.handover(self.slot, cause, *self._counts(), best.f, adam.f, only_x0, only_lower)
        if loop.next == STOP:
            self.machine.note_event(self.slot, self.event, 0, 0.0, 0.0, 0, math.nan)
            end = self.stop(text, self.point)
            if not refit.goes_on(self):
                raise end
            return
        self.scales = own.diagonal(self)
        self.note(text)
        self.machine.enter(self.slot, adam.f)

    # ---- the convex phase ---------------------------------------------------------------------------------

    def _convex_run(self) -> None:
        """Run the convex method until it fails or the guard ends it, and carry out what follows."""
        loop = self.loop
        method, scaled = self.fallbacks[loop.fallback]
        if self.own is None and not loop.unread and not loop.off_incumbent:
            best = self.best()
            settling.look_at(self, best)
            self.move(best)
        if is_ours(method):
            cause, text = own.run(self, method, scaled)
        else:
            cause, text = external.run(self, scaled)
            g = self.point.g
            if cause in FAILED_SEARCHES and g is not None:
                settling.noise_at(self, self.point.x, self.point.f, g)
        phase, self.own = self.own, None
        cause = refit.refits(self, cause in FAILED_SEARCHES) or cause
        assert self.objective.best is not None
        if self.machine.falls_back(self.slot, cause, *self._counts(), self.objective.best.f):
            if cause != Cause.SLOW:
                own.forget(self)
            self.note(text)
            self.machine.enter(self.slot, self.adam.f)
            return
        best = self.best()
        self.machine.leave(self.slot, cause, *self._counts(), best.f, self.adam.f)
        if loop.next == NEW_ADAM:
            self.adam = self.new_adam(best)
        elif loop.next == BACK_TO_ADAM:
            self.suspended_own, self.suspended_pairs, self.suspended_scales = None, [], None
            if cause == Cause.STALLED:
                self.suspended_own, self.suspended_scales = phase, self.scales
                self.suspended_pairs = list(self.pairs)
        following = loop.next
        self.note(text, phase_f=phase.f if phase is not None else loop.f)
        self.machine.enter(self.slot, self.adam.f)
        if following == RESUME_CONVEX:
            own.resume(self)
        elif following == NEW_ADAM:
            self.back_in_adam(best)
        else:
            self.back_in_adam(Point(self.adam.x.copy(), self.adam.f, self.adam.g))

    def back_in_adam(self, point: Point) -> None:
        """Make the point at which Adam stands the current one, and forget the evidence of a swap."""
        self.move(point)
        users(self.detector.rearm)
        self.epoch_start = None
