"""The one loop of a run: phases, handover, way back, and every stop.

The flow: Adam until the detector sees the swap (or the guard wants to try), the convex phase from the best
point, judged by the guard. When its search fails, the fallbacks follow: plain variables, the phases that the
registry names, Adam again; without any progress the run ends. Every stop raises `Stop` with its status where
it happens; nothing guesses the cause afterwards.

The run is a state machine whose whole state is in attributes (`leg`, `fallback`, `steps`, ... and the phases'
arrays), so that `_resume` can save it between any two evaluations and go on from there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult

from twophase_min import _reasons
from twophase_min._callback import Progress
from twophase_min._options import TwoPhaseOptions
from twophase_min._status import Status, Stop
from twophase_min.jit.kernels import norm2
from twophase_min.objective.calls import Objective, Point
from twophase_min.phases import FAILED, ITERATION, NEED_F, PHASES, convex_phase
from twophase_min.phases import scipy as scipy_phase
from twophase_min.phases.metric import typical_sizes
from twophase_min.phases.scaling import Scaling
from twophase_min.run import resume as _resume
from twophase_min.run.book import Run
from twophase_min.run.build import own_solver, run_detector
from twophase_min.run.diagnosis import diagnose, last_step
from twophase_min.run.guard import (
    AHEAD,
    CREEPING,
    GAP,
    LONGEST,
    RETURN,
    SHARE,
    SHORTEST,
    SOON_WHILE,
    SOONEST,
    STALLED,
    WHILE,
    Course,
    Guard,
    Rate,
    first_doubt,
)

Array = NDArray[np.floating]

REMAINDER = 0.25
"""Share of ``maxfun`` that must be left after an excursion from a phase that has not stalled altogether."""
RECOVERY = 5
"""Iterations that Adam gets at least after a convex phase has failed."""
FIRST_PATIENCE = 3.0
"""Evaluations without a swap until the guard tries the convex phase for the first time."""
MOMENTS = 20
"""Steps of Adam after which its second moments scale the convex phase's variables unasked."""
WORKING_PRECISION = 1e-7
"""Relative gradient at which a search without a decrease counts as converged to working precision."""


class _LegEnd(BaseException):
    """Ends a SciPy method's leg from its callback; caught where the leg was begun."""

    def __init__(self, kind: str, reason: str = ""):
        super().__init__(kind, reason)
        self.kind, self.reason = kind, reason


class Driver(Run):
    """One run of the two-phase method; see `Run` for the parameters.

    Attributes
    ----------
    leg : {'adam', 'convex'}
        Which side of the alternation is at work.
    steps : int
        Iterations of the current Adam leg.
    fallback : int
        Place of the current convex leg in the list of the fallbacks; 0 is the method itself.
    unread : bool
        Whether the newest iterate has not been shown to the detector or the guard yet.
    swaps : int
        Handovers to the convex phase.
    failed_at : float
        Best value when the last convex leg failed; NaN if it did not.
    patience : float
        Evaluations of an Adam leg after which the guard tries the convex phase without being told.
    adam_rate, course : Rate, Course
        What the current leg of Adam gains, and where it is heading.
    sizes : ndarray or None
        Typical sizes of the variables, where x0 and its gradient show them (`typical_sizes`).
    apart : bool
        Whether Adam follows its own path, away from the best point that a convex phase has found.
    scales : ndarray or None
        Change of variables of the convex leg (`_diagonal` at its handover).
    parked, parked_pairs, parked_scales, parked_own : float, list, ndarray, MemoryCG
        Best value, pairs, scales and, of our own method, the phase itself, of the convex phase that stalled,
        while Adam's own path is tried; else None.
    stall_span, stall_limit : float
        Evaluations over which a convex phase must not stall, and what counts as that.
    curbed : bool
        Whether ``maxfun`` has kept the guard from an excursion.
    spent : float
        Cost when our own convex phase made its last iterate.
    """

    def __init__(
        self,
        objective: Objective,
        x0: Array,
        options: TwoPhaseOptions,
        callback: Callable[[OptimizeResult], bool] | None = None,
    ):
        super().__init__(objective, x0, options, callback)
        self.detector = run_detector(options, objective.finite_sum is not None)
        self.leg = "adam"
        self.steps = self.fallback = self.swaps = self.epoch = self.batch = 0
        self.unread = False
        self.failed_at = float("nan")
        self.patience = FIRST_PATIENCE
        self.apart = False
        self.sizes: Array | None = None
        self.parked: float | None = None
        self.parked_pairs: list[tuple[Array, Array]] = []
        self.scales: Array | None = None
        self.parked_scales: Array | None = None
        self.parked_own: Any = None
        self.stall_span, self.stall_limit = SOON_WHILE, SOONEST
        self.curbed = False
        self.spent = -1.0
        self.inexact = ""  # what resuming could not restore
        self.epoch_start: dict[str, Any] | None = None
        self.own: Any = None  # MemoryCG, while it is at work
        self.adam: Any = None
        self.adam_rate = Rate(0.0, 0.0)
        self.course = Course(0.0, 0.0)
        self.guard: Guard | None = None

    # ---- the run and its ends -----------------------------------------------------------------------------

    def run(self) -> OptimizeResult:
        """Run to a stop and return the result."""
        detail = ""
        try:
            if self.options.progress:
                self.bar = Progress(self.options.maxiter, self.options.maxfun)
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
            result = self.result(status, detail)
        finally:
            if self.bar is not None:
                self.bar.close()
            self.objective.close()
        self.display(result)
        return result

    def result(self, status: Status, detail: str) -> OptimizeResult:
        """Build what the caller gets, with the state to resume from."""
        state = _resume.pack(self)  # before a gradient is asked for that the run itself did not need
        result = super().result(status, f"{detail} {self.inexact}".strip())
        result.state = state
        return result

    def _attach(self, error: BaseException) -> None:
        """Lose nothing: hang the best point so far on an exception that is passed on."""
        if self.objective.best is None:
            return
        try:
            error.optimize_result = self.result(Status.EXCEPTION, str(error))  # type: ignore[attr-defined]
        except Exception:  # an exception type that takes no attributes is still the user's to see
            return

    def _begin(self) -> None:
        if self.options.resume is not None:
            _resume.unpack(self, self.options.resume)
            if self.point.g is not None and self.converged():
                self.final = self.point
                raise Stop(Status.CONVERGED, "The resumed state already satisfies it.")
            if self.nit >= self.maxiter:
                raise Stop(Status.MAXITER)
            return
        f, g = self.objective.start(self.point.x)
        self.begin(f, g)
        self.detector.update(f, float(norm2(g)))
        if self.options.precondition == "auto":
            self.sizes = typical_sizes(self.point.x, g)
        self.adam = self._new_adam(self.point)
        self.adam_rate, self.course = Rate(self.objective.work, f), Course(self.objective.work, f)

    def _new_adam(self, point: Point) -> Any:
        from twophase_min.phases.adam import Adam

        assert point.g is not None
        options = self.options
        adam = Adam(options.learning_rate, options.beta1, options.beta2, options.epsilon, self.sizes)
        adam.start(point.x, point.f, point.g)
        return adam

    def _swap(self, to: str, reason: str) -> None:
        self.swapped(to, reason, self.detector.peak)

    def _alternate(self) -> None:
        """Adam, convex phase, and back, until a stop."""
        while True:
            if self.leg == "adam":
                self._to_convex(self._adam_leg())
            else:
                self._leave_convex(*self._convex_leg())

    # ---- Adam ---------------------------------------------------------------------------------------------

    def _serve(self, phase: Any) -> int:
        """Evaluate what an ask/tell phase wants until it has an iterate or fails."""
        objective = self.objective
        fused = objective.fused
        need = phase.need
        while need != ITERATION and need != FAILED:
            if need == NEED_F and not fused:
                need = phase.tell(objective.value(phase.trial), None)
            else:
                point = objective.evaluated(phase.trial)
                need = phase.tell(point.f, point.g)
        return int(need)

    def _adam_iteration(self) -> str:
        """One iteration (an epoch, for a finite sum); answers '' or why Adam cannot go on."""
        adam = self.adam
        if self.objective.finite_sum is not None and not adam.probing:
            return self._adam_epoch()
        if adam.need == ITERATION:
            adam.next()
        if self._serve(adam) == FAILED:
            return adam.reason
        self.unread = True
        self.iteration(*adam.iterate())
        return ""

    def _adam_epoch(self) -> str:
        """All mini-batches once, then the whole data for the record and the detector."""
        adam, objective = self.adam, self.objective
        assert objective.finite_sum is not None
        for attempt in range(10):
            if self.epoch_start is None:
                self.epoch_start, self.batch = adam.get_state(), 0
            for indices in list(objective.finite_sum.batches(self.epoch))[self.batch :]:
                _, g = objective.batch(adam.x, indices)
                adam.step(adam.x, g)
                self.batch += 1
            f, g = objective.value_and_gradient(adam.x)
            if np.isfinite(f) and np.all(np.isfinite(g)):
                adam.arrive(f, g, self.epoch_start)
                self.epoch += 1
                self.epoch_start = None
                self.unread = True
                self.iteration(adam.x, f, g)
                return ""
            adam.set_state(self.epoch_start)
            adam.scale_back(0.1 ** (attempt + 1))
            self.batch = 0
        return "every epoch ended at a non-finite loss, at ever smaller learning rates"

    def _adam_leg(self) -> str:
        """Adam until the detector sees the swap, a trial is due, or Adam fails; answers why it ended."""
        options, objective = self.options, self.objective
        self.phase = "adam"
        recovering = not np.isnan(self.failed_at)
        automatic = options.learning_rate is None and options.guard and options.swap == "auto"
        while True:
            adam = self.adam
            if not self.unread:
                failure = self._adam_iteration()
                if failure:
                    return _reasons.NO_STEP.format(failure)
            self.unread = False
            self.steps += 1
            best = objective.best
            assert best is not None
            self.apart = self.apart and best.f < adam.f
            self.adam_rate.note(objective.work, adam.f if self.apart else best.f)
            self.course.note(objective.work, adam.f)
            norm = float(norm2(adam.iterate()[2]))
            decision = self.detector.update(adam.f, norm, curvature=adam.curvature)
            if self.swaps >= options.max_swaps or (recovering and self.steps < RECOVERY):
                continue
            if decision and not self.apart:
                return decision.reason
            if not (automatic or self.parked is not None) or objective.finite_sum is not None:
                continue
            if automatic and adam.t == 1 and adam.curvature > 0 and norm < self.norm_before:
                return _reasons.CURVED
            if self.adam_rate.spent >= self.patience and not self._on_course():
                self.patience = max(2 * self.patience, 2 * SHORTEST)
                spent = self.adam_rate.spent
                return _reasons.UNTOLD.format(spent)

    def _on_course(self) -> bool:
        """Whether Adam, away from the best point, is on its way to the value of the phase that waits."""
        if not self.apart or self.parked is None or self.adam_rate.spent >= LONGEST * self.objective.work:
            return False
        f = self.course.ahead(AHEAD * self.objective.work)
        return f < self.parked + GAP * (self.adam.f - self.parked)

    def _to_convex(self, reason: str) -> None:
        """Hand over to the convex phase at the best point, unless all fallbacks have failed to gain."""
        best = self.objective.best
        assert best is not None
        if not np.isnan(self.failed_at) and not best.f < self.failed_at - self.noise * abs(self.failed_at):
            self._give_up(reason)
        if self.swaps >= self.options.max_swaps:
            self._give_up(f"{reason} {_reasons.NO_HANDOVER}")
        self.swaps += 1
        self.guard = None
        if self.options.guard:
            start = self.adam.f if self.apart else best.f
            target = self.parked if self.apart and self.parked is not None else np.inf
            self.guard = Guard(
                self.objective.work,
                start,
                self.adam_rate.reference,
                self.stall_span,
                self.stall_limit,
                target,
            )
        self.leg, self.fallback = "convex", 0
        self.scales = self._diagonal()
        self._swap(self._fallbacks()[0][0], reason)

    def _give_up(self, reason: str) -> None:
        """Neither phase finds a decrease: say so, with what is known."""
        objective, best = self.objective, self.objective.best
        assert best is not None
        if objective.nonfinite is not None and not objective.finite_elsewhere:
            self.final = objective.nonfinite
            raise Stop(Status.NONFINITE, _reasons.ONLY_X0)
        step, curvature = last_step(self.history, self.pairs, self.adam.curvature)
        diagnosis = diagnose(objective, best, step, curvature, self.gtol)
        raise Stop(Status.PRECISION_LOSS, _reasons.ENDED_BY.format(diagnosis, reason))

    # ---- the convex phase ---------------------------------------------------------------------------------

    def _fallbacks(self) -> list[tuple[str, bool]]:
        """Methods to try in turn when a search fails, and whether in scaled variables."""
        options = self.options
        phase = convex_phase(options.convex_method)
        preconditioned = options.precondition is not None
        methods = [(phase.name, preconditioned)]
        if phase.external and preconditioned:  # ours restart along the steepest descent by themselves
            methods.append((phase.name, False))
        return methods + [(name, False) for name in phase.fallbacks]

    def _convex_leg(self) -> tuple[str, str]:
        """Run the method, then its fallbacks, until the guard ends it or all have failed."""
        fallbacks = self._fallbacks()
        while True:
            method, preconditioned = fallbacks[self.fallback]
            self.phase = method
            if self.own is None and not self.unread and not self.apart:
                self.point = self.best()
            if method in PHASES and not PHASES[method].external:
                kind, reason = self._own_leg(method, preconditioned)
            else:
                kind, reason = self._scipy_leg(preconditioned)
            if kind == "stall":  # it may be taken up again: see _leave_convex
                return kind, reason
            self.own = None
            if kind != "failed" or self.fallback + 1 == len(fallbacks):
                return kind, reason
            self.fallback += 1
            self._swap(fallbacks[self.fallback][0], reason)

    def _verdict(self, f: float) -> tuple[str, str]:
        """Show the newest iterate to the guard."""
        self.unread = False
        if self.guard is None:
            return "", ""
        work = self.objective.work
        limit = first_doubt(self.stall_limit, work, self.objective.n)
        if limit != self.stall_limit:
            self.stall_limit = self.guard.limit = limit
            if limit == CREEPING:
                self.stall_span = WHILE
                self.guard.doubt(work, f, WHILE, CREEPING)
        kind, reason = self.guard.verdict(work, f)
        if kind == "stall" and not self._room(self.guard.recent.value):
            self.curbed = True
            return "", ""
        return kind, reason

    def _room(self, rate: float) -> bool:
        """Whether ``maxfun`` leaves room for an excursion: one that is cut off only loses what is left.

        A phase that still creeps gains by every evaluation that an excursion in vain takes: `REMAINDER` of
        them must be left for the one that wins.
        """
        share = 1.0 if rate < STALLED else 1.0 - REMAINDER
        return self.objective.nfev * (1 + RETURN) * (1 + SHARE) <= share * self.objective.maxfun

    def _new_own(self, method: str, preconditioned: bool) -> Any:
        """Return a phase of our own, begun at the current point."""
        own, point = own_solver(self.options, method), self.point
        assert point.g is not None
        pairs = list(self.pairs) if preconditioned and own.keeps_pairs else None
        diagonal = self.scales if preconditioned else None
        own.start(point.x, point.f, point.g, self._first_length(), pairs, diagonal)
        return own

    def _own_leg(self, method: str, preconditioned: bool) -> tuple[str, str]:
        """Run a phase of our own until it fails or the guard calls it back."""
        if self.own is None:
            self.own = self._new_own(method, preconditioned)
        own = self.own
        while True:
            if not self.unread:
                if self._serve(own) == FAILED:
                    self._working_precision(own)
                    return "failed", own.reason
                if own.f >= self.point.f and self.objective.cost == self.spent:  # for ever, if it may
                    self._working_precision(own)
                    return "failed", _reasons.TO_AND_FRO
                self.unread, self.spent = True, self.objective.cost
                self.iteration(*own.iterate())
            kind, reason = self._verdict(own.f)
            if kind:
                return kind, reason

    def _working_precision(self, own: Any) -> None:
        """Stop successfully if the failed search was asked for a decrease below rounding at a flat point."""
        point, best = Point(own.x, own.f, own.g), self.objective.best
        assert best is not None
        if own.f > best.f + self.noise * abs(best.f):  # on Adam's path, away from the best point
            return
        if own.working_precision and self.relative_gradient(point) <= WORKING_PRECISION:
            self.final = point
            raise Stop(Status.WORKING_PRECISION, _reasons.RELATIVE.format(self.relative_gradient(point)))

    def _first_length(self) -> float | None:
        """Length of a first step along -g: to the minimiser by the last step's curvature, or Adam's own."""
        assert self.point.g is not None
        if self.adam.curvature > 0:
            return float(norm2(self.point.g)) / self.adam.curvature
        if self.adam.t > 0:
            return float(self.adam.learning_rate) * self.objective.n**0.5
        return None

    def _scipy_leg(self, preconditioned: bool) -> tuple[str, str]:
        """SciPy's method until it fails or the guard calls it back; in cycles, each in new variables."""
        options, objective = self.options, self.objective
        phase = convex_phase(options.convex_method)
        cycle = phase.cycle if preconditioned else None
        objective.remember_more(10 if objective.n <= 100_000 else 0)
        c2 = options.c2 if options.c2 is not None else phase.c2
        while True:
            began = self.nit

            def on_iterate(x: Array, began: int = began) -> None:
                point = objective.evaluated(x)
                assert point.g is not None
                self.iteration(point.x, point.f, point.g)
                kind, reason = self._verdict(point.f)
                full = cycle is not None and self.nit - began >= cycle
                # left between two cycles, a stalled phase can be taken up as if it had not been left
                if kind and (kind != "stall" or full or cycle is None):
                    raise _LegEnd(kind, reason)
                if full:
                    raise _LegEnd("cycle")

            try:
                message = scipy_phase.run(
                    options.convex_method if callable(options.convex_method) else phase.name,
                    objective,
                    self._scaling(preconditioned),  # not kept here: the next one takes its place
                    on_iterate,
                    self._on_gradient,
                    c1=options.c1,
                    c2=c2,
                    options=options.convex_options,
                    hessp=objective.hessp,
                )
            except _LegEnd as end:
                if end.kind != "cycle":
                    return end.kind, end.reason
                continue
            return "failed", message

    def _on_gradient(self, x: Array, g: Array) -> None:
        """Stop a line search at a trial that converges the run: SciPy was told never to stop."""
        if not self.norm(g) <= self.gtol:
            return
        best = self.objective.best
        assert best is not None
        x = np.asarray(x, dtype=self.objective.dtype)
        if np.array_equal(x, best.x) and not np.array_equal(x, self.point.x):
            self.iteration(x, best.f, g)

    def _diagonal(self) -> Array | None:
        """Change of variables from Adam's second moments, x = v^(-1/4) z; None where it is not asked for.

        With 'auto' it takes an Adam that has made enough steps for its moments to mean something; until
        then the typical sizes of the variables serve, where there are any.
        """
        wanted = {"adam": 1, "auto": MOMENTS}.get(self.options.precondition or "", np.inf)
        if self.adam.t < wanted:
            return self.sizes
        scales = self.adam.scales()
        largest = float(scales.max())
        return np.maximum(scales, 1e-6 * largest) ** -0.5 if largest > 0 and np.isfinite(largest) else None

    def _scaling(self, preconditioned: bool) -> Scaling:
        """Variables for a SciPy method: what is known of the curvature, sized for a good first trial step."""
        point = self.point
        assert point.g is not None
        origin, g = point.x.astype(float), point.g.astype(float)
        useful = [(s, y) for s, y in self.pairs if s @ y > 0] if preconditioned else []
        diagonal = self.scales if preconditioned else None
        scale: Array | float = 1.0 if diagonal is None else diagonal
        if useful:
            s, y = useful[-1]
            scale = scale * float((s @ y) / np.sum((scale * y) ** 2)) ** 0.5
        scaling = Scaling(origin, scale, useful)
        pulled = scaling.pull(g)
        h = float(np.linalg.norm(pulled))
        if not (np.isfinite(h) and h > 0):
            return Scaling(origin)
        step = 1.0
        if not scaling.used:
            length, reach = self._first_length(), float(np.linalg.norm(scaling.apply(pulled)))
            step = length / reach if length and reach > 0 else 1.0 / h
        # SciPy's CG tries alpha = min(1, 1.01 / |h|) along -h first: the unit of z makes that our step
        scaling.rescale(step * h / 1.01 if step * h * h >= 1.01**2 else step**0.5)
        return scaling

    # ---- the way back -------------------------------------------------------------------------------------

    def _leave_convex(self, kind: str, reason: str) -> None:
        """Where a convex leg that ended leads: on Adam's own path, to the best point with Adam, or back."""
        best = self.best()
        own, self.own = self.own, None
        if kind == "failed" and not self.apart:
            self.adam, self.failed_at = self._new_adam(best), best.f
            self._to_adam(best, reason)
        elif self.apart and self.parked is not None and not best.f < self.parked:
            self._back_to_parked(best, reason)
        else:
            self.parked = None
            if kind == "stall":
                self.parked, self.parked_scales = best.f, self.scales
                self.parked_own = own
                self.parked_pairs = list(self.pairs)
                self.patience = RETURN * self.objective.work
            self.apart = best.f < self.adam.f
            self.failed_at = float("nan")
            self._to_adam(Point(self.adam.x.copy(), self.adam.f, self.adam.g), reason)

    def _to_adam(self, point: Point, reason: str) -> None:
        """Begin a leg of Adam, which stands at the given point."""
        self._swap("adam", reason)
        self.point = point
        self.detector.rearm()
        self.adam_rate = Rate(self.objective.work, self.adam.f)
        self.course = Course(self.objective.work, self.adam.f)
        self.leg, self.steps, self.epoch_start = "adam", 0, None
        self.phase = "adam"

    def _back_to_parked(self, best: Point, reason: str) -> None:
        """Take up the stalled convex phase again: another swap, later on Adam's path, led nowhere better.

        It goes on as if it had not been left: what it had learnt is worth more than the excursion cost. A
        phase on a long plateau looks stalled too: after the first excursion nothing but a true stall is
        doubted, after every later one for twice as long, so that they stay a bounded share of the run.
        """
        assert self.guard is not None
        self.apart, self.parked = False, None
        self.pairs.clear()
        self.pairs.extend(self.parked_pairs)
        self.scales = self.parked_scales
        if self.stall_limit == STALLED:
            self.stall_span *= 2
        else:
            self.stall_span, self.stall_limit = WHILE, STALLED
        self._swap(self._fallbacks()[0][0], _reasons.BACK.format(reason, best.f))
        if self.parked_own is not None and not convex_phase(self.options.convex_method).external:
            self.own = self.parked_own
            self.point = Point(self.own.x, self.own.f, self.own.g)
        self.parked_own = None
        self.guard = Guard(self.objective.work, best.f, 0.0, self.stall_span, self.stall_limit)
        self.leg, self.fallback = "convex", 0
