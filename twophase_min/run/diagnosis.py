"""Why a run cannot go on: a few values around the best point, and what they say about f and its gradient.

Seven values at most: f once more at the best point (a difference is noise), and on both sides of it along the
gradient, near and, where those two disagree with the gradient, a hundred times as far. A wrong gradient, a
kink, a jump and noise each leave their own pattern in the two pairs. A smooth f that bends over the first
distance, which is long in float32, can leave the pattern of a wrong gradient or of a jump. So these two are
claimed only where a pair at a tenth of the distance shows them too; the error of a central difference is a
hundred times smaller there. The noise estimate from a second
difference is the first column of Hamming's table (Moré & Wild, SIAM J. Sci. Comput. 33, 2011).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twophase_min._status import Status, Stop
from twophase_min.objective.calls import Objective
from twophase_min.objective.memory import Point

Array = NDArray[np.floating]

VALUES = 7
"""Evaluations that a diagnosis may cost."""
FARTHER, NEARER = 100.0, 0.1
"""Further distances, in the first one."""
WRONG = "The gradient looks wrong"
"""How such a finding begins."""
AT_EDGE = "f is not finite on a side of this point"
"""How the finding begins that no more exact gradient helps."""
EXPLAINED = 10.0
"""Disagreement of slopes that measured noise may explain, in units of it."""
AGREE, ALIKE = 1e-2, 0.1
"""Relative deviation at which the gradient agrees with a difference, and two differences with each other."""


class Pair(NamedTuple):
    """Values at x + h u and x - h u, u along the gradient, against f at x."""

    h: float
    f: float
    ahead: float
    behind: float

    @property
    def finite(self) -> bool:
        """Whether both are."""
        return bool(np.isfinite(self.ahead) and np.isfinite(self.behind))

    @property
    def right(self) -> float:
        """Slope on the side of x + h u."""
        return (self.ahead - self.f) / self.h

    @property
    def left(self) -> float:
        """Slope on the side of x - h u."""
        return (self.f - self.behind) / self.h

    @property
    def slope(self) -> float:
        """Central difference."""
        return (self.ahead - self.behind) / (2 * self.h)

    def unsure(self, rounding: float, measured: float = 0.0) -> float:
        """Return the error of the slopes: by the rounding of the values, or by their noise as measured."""
        return max(4 * rounding * max(abs(self.f), abs(self.ahead), abs(self.behind)), measured) / self.h


class Finding(NamedTuple):
    """What was seen and what to try; ``noise`` is an amplitude in units of f, 0 where none was seen."""

    seen: str
    remedy: str
    noise: float = 0.0


def diagnose(
    objective: Objective, best: Point, step: float, curvature: float, gtol: float, measured: float = 0.0
) -> str:
    """Say what is known at the point where neither phase finds a decrease.

    Parameters
    ----------
    objective : Objective
        Costs up to `VALUES` counted values; none where ``maxfun`` does not leave as many.
    best : Point
        The best point.
    step : float
        Length of the last step, unit x; NaN without one.
    curvature : float
        s'y / s's of it, unit f/x^2; NaN where not known.
    gtol : float
        Of the convergence test, unit f/x.
    measured : float
        Difference below which values count as equal by a measurement of their noise (`run.noise`), unit f.

    Returns
    -------
    str
        Sentences: the last step, the slope, the curvature, the noise of f, a suspicion, a remedy.

    Raises
    ------
    Stop
        If one of the values settles the run: the target, or minus infinity.
    """
    rounding = float(np.finfo(objective.dtype).eps)
    parts = []
    slope = float("nan")
    if best.g is not None and np.all(np.isfinite(best.g)):
        g = best.g if objective.box is None else objective.box.reduced(best.x, best.g)
        slope = float(np.linalg.norm(g.astype(float)))
    parts.append(f"At f = {best.f:.6g} the slope along the gradient is {slope:.3g}")
    if np.isfinite(step):
        parts[-1] += f"; the last step was {step:.3g} long"
        if np.isfinite(curvature):
            parts[-1] += f", the curvature along it {curvature:.3g}"
    parts[-1] += "."
    finding = _examine(objective, best, slope, step, rounding, measured)
    floor = 4 * rounding * abs(best.f)
    noise = max(finding.noise if finding.noise > 0 else measured, floor)
    parts.append(f"Noise of f: about {noise:.1g}" + ("." if noise > floor else " (its rounding)."))
    parts += [finding.seen, finding.remedy]
    if curvature > 0:
        attainable = (2 * curvature * noise) ** 0.5  # where the decrease still to be had is the noise
        if attainable > gtol and slope <= 10 * attainable:
            parts.append(
                f"With this noise and the curvature of the last step, values cannot lead to a gradient below "
                f"{attainable:.1g}: raise gtol."
            )
    return " ".join(part for part in parts if part)


def _examine(
    objective: Objective, best: Point, slope: float, step: float, rounding: float, measured: float
) -> Finding:
    """Look at f around the best point."""
    if best.g is None or not slope > 0:
        return Finding("", "")
    slope = float(np.linalg.norm(best.g.astype(float)))
    if objective.nfev + VALUES > objective.maxfun:
        return Finding("", "maxfun left no evaluation to look into it; check_gradient does.")
    u = best.g.astype(float) / slope
    room, box = 1.0, objective.box
    if box is not None:  # along the variables that have room on both sides
        sides = np.minimum(best.x - box.lower, box.upper - best.x)
        u[sides <= FARTHER * rounding ** (1 / 3) * np.abs(u * best.x)] = 0.0
        slope *= float(np.linalg.norm(u))  # of the gradient in these variables
        if not slope > 0:
            return Finding("", "")
        u /= np.linalg.norm(u)
        moved = u != 0
        room = float(np.min(sides[moved] / np.abs(u[moved])))
    size = float(np.abs(u) @ np.abs(best.x))  # the part of x that a step along u changes
    if not size > 0:
        size = step if np.isfinite(step) and step > 0 else 1.0
    h = max(rounding ** (1 / 3) * size, float(np.finfo(float).tiny))
    h = h if box is None else min(h, room / FARTHER)

    def pair(h: float) -> Pair:
        sides = (best.x + sign * h * u for sign in (1.0, -1.0))
        ahead, behind = (objective.value(x if box is None else box.clip(x)) for x in sides)
        return Pair(h, best.f, ahead, behind)

    try:
        scatter = abs(objective.again(best.x) - best.f)
        if scatter != 0:
            return _noisy(scatter / 2**0.5, f"two values at this point differ by {scatter:.1g}")
        near = pair(h)
        unsure = near.unsure(rounding)
        if near.finite and unsure < slope and _alike(near.slope, slope, AGREE, unsure):
            return Finding(
                "The gradient agrees with a difference of f.",
                "If variables differ by many orders of magnitude, rescale them; else raise gtol.",
            )
        return _compare(near, pair(FARTHER * h), slope, rounding, objective.kind, measured, pair)
    except Stop as stop:
        if stop.status in (Status.MAXFUN, Status.MAXTIME):
            return Finding("", "The limits left no evaluation to look into it; check_gradient does.")
        raise


def _alike(a: float, b: float, share: float, unsure: float) -> bool:
    return abs(a - b) <= share * max(abs(a), abs(b)) + unsure


def _noisy(noise: float, how: str) -> Finding:
    return Finding(
        f"f is noisy: {how}.",
        "Fix its random numbers, average more of them, make its inner tolerances tighter, or compute it in a "
        "higher precision.",
        noise,
    )


def _compare(
    near: Pair,
    far: Pair,
    slope: float,
    rounding: float,
    kind: str,
    measured: float,
    pair: Callable[[float], Pair],
) -> Finding:
    """Tell a wrong gradient, a kink, a jump and noise apart by two pairs that miss the gradient's slope."""
    rough = "Smooth f, or use a method without gradients (Nelder-Mead, Powell)."
    if not (near.finite and far.finite):
        where = AT_EDGE if not near.finite else "f is not finite further away"
        return Finding(
            f"{where}, at a distance of {far.h if near.finite else near.h:.1g}.",
            "Keep the minimum away from the edge of where f is defined, by a transformation or a penalty.",
        )
    unsure, coarse = near.unsure(rounding), far.unsure(rounding)
    if slope <= coarse:
        return Finding("Differences of f cannot resolve this slope.", "A larger gtol is all that f supports.")
    if _alike(far.slope, slope, AGREE, coarse):
        return Finding("The gradient agrees with a difference of f.", "A larger gtol is all that f supports.")
    if near.ahead == near.behind == far.ahead == far.behind == near.f:
        return Finding(
            f"f is constant within {far.h:.1g}, yet its gradient is not zero: a step function, a wrong "
            "gradient, or a change below the rounding inside f.",
            rough,
        )
    unshown = Finding(
        f"Differences of f do not show this slope: they are {near.slope:.3g} over {near.h:.1g} and "
        f"{far.slope:.3g} over {far.h:.1g}.",
        "Run check_gradient; rescale variables that differ by many orders of magnitude.",
    )
    # second difference: the first column of Hamming's table
    noise = abs(near.ahead - 2 * near.f + near.behind) / 6**0.5
    explained = max(noise, abs(near.slope - slope) * near.h) <= EXPLAINED * measured
    if explained and measured > unsure * near.h:
        if near.ahead == near.behind == near.f:
            return Finding(
                f"f does not change within {near.h:.1g}: its values are exact to about {measured:.1g} here, "
                "by rounding inside f or an inner tolerance.",
                "Compute it in a higher precision, make its inner tolerances tighter, or raise gtol.",
                measured,
            )
        slopes = f"its slope is {near.slope:.3g} over {near.h:.1g} but {far.slope:.3g} over {far.h:.1g}"
        return _noisy(noise, slopes)
    unsure = near.unsure(rounding, measured)
    if near.ahead == near.behind == near.f:
        return unshown  # no slope of zero: the change may be below the rounding inside f
    if _alike(near.right, near.left, ALIKE, unsure):
        return _confirm(pair(NEARER * near.h), near, slope, rounding, kind, measured) or unshown
    if _alike(near.right, far.right, ALIKE, unsure) and _alike(near.left, far.left, ALIKE, unsure):
        return Finding(
            f"f has a kink here: its slope is {near.left:.3g} on one side and {near.right:.3g} on the other.",
            rough,
        )
    expected = slope * near.h
    sides = [(near.ahead - near.f, far.ahead - far.f), (near.behind - near.f, far.behind - far.f)]
    for (jump, wide), (other, _) in (sides, sides[::-1]):
        # a cliff on one side, at any distance as high; noise is on both
        if abs(jump) > 10 * expected and abs(other) < 3 * expected and _alike(jump, wide, 0.5, expected):
            nearer = pair(NEARER * near.h)
            again = (nearer.ahead if jump == near.ahead - near.f else nearer.behind) - near.f
            if not _alike(jump, again, 0.5, expected):
                return unshown
            return Finding(f"f is discontinuous: it jumps by {jump:.3g} within {nearer.h:.1g}.", rough)
    return unshown


def _confirm(
    nearer: Pair, near: Pair, slope: float, rounding: float, kind: str, measured: float
) -> Finding | None:
    """Say whether the gradient is wrong, by a nearer pair; None where that does not tell."""
    unsure = nearer.unsure(rounding, measured)
    if not (nearer.finite and unsure < max(slope, abs(near.slope))):
        return None
    if _alike(nearer.slope, slope, AGREE, unsure):
        return (
            Finding("The gradient agrees with a difference of f.", "A larger gtol is all that f supports.")
            if unsure < slope
            else None
        )
    if not _alike(nearer.slope, near.slope, ALIKE, unsure):
        return None
    return Finding(
        f"{WRONG}: the slope along it is {near.slope:.4g} by differences, not {slope:.4g}.",
        "Run check_gradient."
        if kind in ("callable", "fused")
        else "Set another difference step (eps), or give the gradient.",
    )


def last_step(history: Any, pairs: Any, curvature: float) -> tuple[float, float]:
    """Length and curvature of a run's last step, NaN where not known."""
    if pairs:
        s, y = pairs[-1]
        length = float(np.linalg.norm(s))
        return length, float(s @ y) / length**2 if length > 0 else float("nan")
    steps = history["step"]
    return (float(steps[-1]) if steps.size > 1 else float("nan")), curvature
