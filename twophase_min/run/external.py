"""A method of SciPy as an external phase: it calls the objective itself.

Its iterates are accepted like those of every phase. SciPy's conjugate gradients run in cycles, each in
new variables: a change of variables is a preconditioner for a method that takes none (`phases.scaling`).
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from twophase_min._status import Cause
from twophase_min.phases import convex_phase
from twophase_min.phases import scipy as scipy_phase
from twophase_min.phases.first_trial import Reach, first_step
from twophase_min.phases.metric import power_of_two
from twophase_min.phases.scaling import Scaling
from twophase_min.run.own import first_length
from twophase_min.run.settling import settles, size_of

if TYPE_CHECKING:
    from twophase_min.run.driver import Driver

Array = NDArray[np.floating]

LONGEST_SEARCH = 24
"""Trials of a Wolfe search after which it has failed, if it has found a lower point than there was. SciPy's
goes on to 110. Such a search stands at a kink of f, which has no point with the slope that it looks for: the
lower point is taken, and the phase gives way to the last fallback, since a kink is one in all variables. Of
99 CUTEst problems and 90 everyday ones a single one had a longer search."""
LARGEST_MEMO = 100_000
"""Variables up to which earlier trials are remembered: SciPy's fallback search asks for them again."""


class _PhaseEnd(BaseException):
    """Ends a SciPy method from its callback; caught where it was begun. A cause of `NONE` ends a cycle."""

    def __init__(self, cause: int, text: str = ""):
        super().__init__(cause)
        self.cause, self.text = cause, text


def run(driver: Driver, scaled: bool) -> tuple[int, str]:
    """Run SciPy's method from the current point until it fails or the guard ends it; why, and its message."""
    options, objective, loop = driver.options, driver.objective, driver.loop
    phase = convex_phase(options.convex_method)
    scaled = scaled and objective.box is None  # limits of single variables stay such in plain ones only
    cycle = phase.cycle if scaled else None
    objective.remember_more(10 if objective.n <= LARGEST_MEMO else 0)
    c2 = options.c2 if options.c2 is not None else phase.c2
    evaluations = SimpleNamespace(value=objective.sound_value, gradient=objective.gradient)
    careful = objective.unsound_points > 0
    searches, trials, level = phase.wolfe and not phase.hessian, 0, math.inf
    method: Any = options.convex_method if callable(options.convex_method) else phase.name

    def on_gradient(x: Array, g: Array) -> None:
        """Stop a line search at a trial that converges the run: SciPy was told never to stop.

        Where a gradient is not finite for the first time, SciPy has already been told a finite value: the
        method begins anew, and from then on such a point has the value inf (`Objective.sound_value`).
        """
        nonlocal careful, trials, level
        if objective.unsound_points and not careful:
            careful = True
            if not objective.fused:
                raise _PhaseEnd(Cause.NONE)
        size = size_of(driver, x, g)
        best = objective.best
        assert best is not None
        if not size <= loop.gtol:
            trials += 1
            level = best.f if trials == 1 else level
            if searches and trials > LONGEST_SEARCH and best.f < level:
                text = f"a line search of {LONGEST_SEARCH} trials has found no step"
                raise _PhaseEnd(Cause.KINK, text)
            return
        x = np.asarray(x, dtype=objective.dtype)
        if np.array_equal(x, driver.point.x):
            return
        point = best if np.array_equal(x, best.x) else objective.last
        if point is best or (
            point is not None and np.array_equal(x, point.x) and settles(driver, point, size)
        ):
            driver.iteration(x, point.f, g)

    reach = Reach(driver.scales, (s for s, _ in driver.pairs))
    while True:
        began = loop.nit

        def on_iterate(x: Array, began: int = began) -> None:
            nonlocal trials
            trials = 0
            point = objective.evaluated(x)
            assert point.g is not None
            if not (np.isfinite(point.f) and np.isfinite(point.g).all()):
                raise _PhaseEnd(Cause.SEARCH_FAILED)  # some methods accept a step that they cannot judge
            reach.note(np.subtract(point.x, driver.point.x))
            driver.iteration(point.x, point.f, point.g)
            cause = driver.machine.after_convex(driver.slot, point.f, driver.loop.size)
            full = cycle is not None and loop.nit - began >= cycle
            # suspended between two cycles, a stalled phase can be resumed as if it had not been left
            if cause != Cause.NONE and (full or cycle is None or cause not in (Cause.STALLED, Cause.SLOW)):
                raise _PhaseEnd(cause)
            if full:
                raise _PhaseEnd(Cause.NONE)

        try:
            scaling, unit = variables(driver, scaled, phase.unit)
            if callable(method):  # the caller's own, which may look at values
                unit = 1.0
            message = scipy_phase.run(
                method,
                evaluations,
                scaling,
                on_iterate,
                on_gradient,
                c1=options.c1,
                c2=c2,
                options=options.convex_options,
                hessp=objective.hessp,
                zero=0.0 if callable(method) else driver.point.f,
                unit=unit,
                box=objective.box,
                first_trial=reach.first_trial,
            )
        except _PhaseEnd as end:
            if end.cause != Cause.NONE:
                return end.cause, end.text
            continue
        return Cause.SEARCH_FAILED, message


def variables(driver: Driver, scaled: bool, share: float = 1.0) -> tuple[Scaling, float]:
    """Variables for a SciPy method, sized for a good first trial step, and the unit of f in them.

    The variables bring in what is known of the curvature. The unit is the power of two next to ``share``
    times the decrease that the slope promises along the first step, so that a run is the same in every unit.
    """
    point = driver.point
    assert point.g is not None
    origin, g = point.x.astype(float), point.g.astype(float)
    useful = [(s, y) for s, y in driver.pairs if s @ y > 0] if scaled else []
    # roots of it follow: in units of a power of two they are the same numbers whatever the unit of f
    size = power_of_two(float(useful[-1][0] @ useful[-1][1] if useful else np.max(np.abs(g))))
    g /= size
    useful = [(s, y / size) for s, y in useful]
    diagonal = driver.scales if scaled else None
    scale: Array | float = 1.0 if diagonal is None else diagonal
    if useful:
        s, y = useful[-1]
        scale = scale * float((s @ y) / np.sum((scale * y) ** 2)) ** 0.5
    scaling = Scaling(origin, scale, useful)
    pulled = scaling.pull(g)
    h = float(np.linalg.norm(pulled))
    if not (np.isfinite(h) and h > 0):
        return Scaling(origin), 1.0
    step = 1.0
    if not scaling.used:
        along = scaling.apply(pulled)
        length, reach = first_length(driver), float(np.linalg.norm(along))
        step = length / reach if length and reach > 0 else first_step(origin / scale, along / scale)
    exponent = math.log2(step) + 2.0 * math.log2(h)
    unit = 2.0 ** min(max(round(exponent + math.log2(share)), -1000), 1000)
    # SciPy's CG tries alpha = min(1, 1.01 / |h|) along -h first: the unit of z makes that our step
    scaling.rescale(step * h / 1.01 if 2.0**exponent >= 1.01**2 * unit else (step * unit) ** 0.5)
    return scaling, unit * size
