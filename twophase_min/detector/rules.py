"""Rules that read loss and gradient norm, and the curvature along the path."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .checks import at_least, fraction, not_negative
from .registry import Kernels, Rule, Why, register
from .state import INF, Field

_NORM_PEAK: tuple[Field, ...] = (
    ("factor", float, "fraction of its peak to which the norm must fall", 0.9),
    ("peak", float, "largest norm that the rule has seen", 0.0),
)


def norm_peak(rule: Any, ring: Any, loss: float, norm: float, step: int) -> bool:
    """Compare the norm with its running maximum (Algorithm 1)."""
    peak = rule.peak
    if norm >= peak:  # also because 0.9 times the least denormal rounds to itself
        rule.peak = norm
        return False
    fallen: bool = norm <= rule.factor * peak
    return fallen


def forget_norm_peak(rule: Any) -> None:
    """Forget the peak."""
    rule.peak = 0.0


@register
class NormPeakRule(Rule):
    """The paper's rule: the norm has fallen to `factor` times its peak (Algorithm 1).

    The paper continues with Adam while ``gn > gnmax * gnfact``, where gnmax is the running maximum, the
    current norm included. The one difference: a norm that has been zero throughout is no evidence here (it is
    the business of a convergence test), whereas the literal algorithm, started at gnmax = 0, would swap.

    Parameters
    ----------
    factor : float, default 0.9
        In (0, 1], without unit. The smaller, the more of a fall is demanded; 1 is content with any.
    """

    name = "norm-peak"
    kernels = Kernels(norm_peak, forget_norm_peak, _NORM_PEAK)
    _options = ("factor",)
    _state = ("peak",)

    def __init__(self, factor: float = 0.9) -> None:
        self.factor = fraction("factor", factor)
        self.peak = 0.0

    def read(self, loss: float, norm: float, step: int, extras: Mapping[str, Any]) -> Why:
        """Compare the norm with its running maximum."""
        return self.why(norm_peak(self, None, loss, norm, step), loss, norm, step)

    def why(self, holds: bool, loss: float, norm: float, step: int) -> Why:
        """Name the norm and its peak."""
        peak = self.peak
        if holds:
            return (True, _BELOW, norm, self.factor, peak)
        return (False, _ABOVE, norm, self.factor, peak) if peak else (False, _ALL_ZERO)

    def rearm(self) -> None:
        """Forget the peak."""
        forget_norm_peak(self)


_ABOVE = "gradient norm {0:.6g} is still above {1:g} of its peak {2:.6g}"
_BELOW = "gradient norm {0:.6g} fell to {1:g} of its peak {2:.6g} or below: the loss looks convex"
_ALL_ZERO = "every gradient norm so far was zero, which says nothing about convexity"


@register
class NormPeakMedianRule(Rule):
    """The paper's rule on running medians, with the fall held against the noise.

    The maximum of noisy norms lies above the true peak, and a single lucky batch below 0.9 of it: each makes
    the plain rule swap too early. Here a running median stands for the norm (a minority of outliers in a
    window does not move it), the peak is the largest median of full windows, and the fall must also
    exceed `margin` standard errors of the difference of the two medians, estimated from the median absolute
    deviation in either window.

    Parameters
    ----------
    factor : float, default 0.9
        In (0, 1]: the fraction of the peak to which the median must fall.
    window : int, default 15
        Readings in a median, at least 3.
    margin : float, default 3.0
        Standard errors by which the fall must stand out, not negative; 0 trusts the medians. Part of it pays
        for the peak, which as the largest of many medians lies above the true one.
    """

    name = "norm-peak-median"
    _options = ("factor", "window", "margin")
    _state = ("peak", "peak_spread", "_norms")
    peak: float
    peak_spread: float
    _norms: list[float]

    def __init__(self, factor: float = 0.9, window: int = 15, margin: float = 3.0) -> None:
        self.factor = fraction("factor", factor)
        self.window = at_least("window", window, 3)
        self.margin = not_negative("margin", margin)
        # The standard deviation of a median of w normal values is 1.2533/sqrt(w) of theirs, and theirs is
        # 1.4826 times their median absolute deviation.
        self._error = self.margin * 1.2533 * 1.4826 / self.window**0.5
        self.rearm()

    def read(self, loss: float, norm: float, step: int, extras: Mapping[str, Any]) -> Why:
        """Compare the running median with its maximum."""
        norms = self._norms
        norms.append(norm)
        if len(norms) < self.window:
            return (False, _FILLING, len(norms), self.window)
        if len(norms) > self.window:
            del norms[0]
        level = _median(sorted(norms))
        if level > self.peak:
            self.peak = level
            self.peak_spread = _deviation(norms, level)
        if level == 0.0 == self.peak:
            return (False, _ALL_ZERO)
        if level == self.peak or level > self.factor * self.peak:
            return (False, _ABOVE_MEDIAN, level, self.window, self.factor, self.peak)
        spread = _deviation(norms, level)
        noise = self._error * math.hypot(spread, self.peak_spread)
        if self.peak - level <= noise:
            return (False, _IN_NOISE, level, self.peak, noise)
        return (True, _BELOW_MEDIAN, level, self.window, self.factor, self.peak, noise)

    def rearm(self) -> None:
        """Forget peak and window."""
        self.peak = 0.0
        self.peak_spread = 0.0
        self._norms = []


_FILLING = "{0} of the {1} readings that fill the window"
_ABOVE_MEDIAN = "the median {0:.6g} of the last {1} gradient norms is still above {2:g} of its peak {3:.6g}"
_IN_NOISE = "the median gradient norm {0:.6g} lies below its peak {1:.6g}, but within the noise of {2:.2g}"
_BELOW_MEDIAN = (
    "the median {0:.6g} of the last {1} gradient norms fell to {2:g} of its peak {3:.6g} or below, "
    "beyond the noise of {4:.2g}: the loss looks convex"
)


_NORM_AGAINST_LOSS: tuple[Field, ...] = (
    ("window", int, "readings looked back upon", 30),
    ("threshold", float, "concordant minus discordant pairs that must be exceeded", 0.0),
    ("score", int, "concordant minus discordant pairs in the ring", 0),
    ("filled", int, "readings in the ring", 0),
    ("place", int, "place of the next reading in the ring", 0),
)


def norm_against_loss(rule: Any, ring: Any, loss: float, norm: float, step: int) -> bool:
    """Bring the count of concordant minus discordant pairs up to date: O(window), not O(steps).

    The pairs of the reading that leaves the ring are taken off, those of the new one added; a tie counts
    nothing.
    """
    losses, norms = ring[0], ring[1]
    place, filled, score = rule.place, rule.filled, rule.score
    full = filled == rule.window
    old_loss, old_norm = losses[place], norms[place]
    for i in range(filled):
        if i == place:  # only where the ring is full
            continue
        f, g = losses[i], norms[i]
        if loss > f:
            if norm > g:
                score += 1
            elif norm < g:
                score -= 1
        elif loss < f:
            if norm < g:
                score += 1
            elif norm > g:
                score -= 1
        if full:
            if old_loss > f:
                if old_norm > g:
                    score -= 1
                elif old_norm < g:
                    score += 1
            elif old_loss < f:
                if old_norm < g:
                    score -= 1
                elif old_norm > g:
                    score += 1
    losses[place] = loss
    norms[place] = norm
    if not full:
        filled += 1
        rule.filled = filled
    place += 1
    rule.place = 0 if place == rule.window else place
    rule.score = score
    holds: bool = filled == rule.window and score > rule.threshold
    return holds


def forget_norm_against_loss(rule: Any) -> None:
    """Empty the ring."""
    rule.score = 0
    rule.filled = 0
    rule.place = 0


@functools.lru_cache(maxsize=8)
def _pairs(window: int) -> tuple[Any, Any]:
    """Return the first and second places of all pairs in a window."""
    return np.triu_indices(window, 1)


@register
class NormAgainstLossRule(Rule):
    """The norm shrinks *with the loss*: the paper's advice for stochastic runs.

    Time drops out: over the last `window` readings, every pair is concordant where the smaller loss has the
    smaller norm. The sign of the median pairwise slope of norm over loss (Theil and Sen's robust slope) is
    the majority among the pairs, and stays the same for log norm over log loss, so the rule counts pairs
    (Kendall's S) and holds the count against the standard deviation that it has without any relation,
    ``sqrt(w (w - 1) (2 w + 5) / 18)``. Monotone changes of the units of loss or norm change nothing, a
    negative loss is as good as any, and there is no peak to be spoilt by an outlier. The reason names the
    Theil-Sen slope of log norm over log loss.

    Parameters
    ----------
    window : int, default 30
        Readings looked back upon, at least 4. The swap comes about half a window after the peak.
    z : float, default 2.0
        Standard deviations by which concordant pairs must prevail, not negative. Successive readings of one
        run are not independent: it is a threshold, not a significance level.

    Notes
    -----
    The loss and the norm of one mini-batch share its luck (a hard batch has more of both), which looks
    like concordance: give epoch means, whole-data values or a `smoothing`.

    References
    ----------
    P. K. Sen, "Estimates of the regression coefficient based on Kendall's tau", JASA 63 (1968).
    """

    name = "norm-against-loss"
    kernels = Kernels(norm_against_loss, forget_norm_against_loss, _NORM_AGAINST_LOSS)
    _options = ("window", "z")
    _state = ("score", "_losses", "_norms")
    score: int
    filled: int
    place: int

    def __init__(self, window: int = 30, z: float = 2.0) -> None:
        self.window = w = at_least("window", window, 4)
        self.z = not_negative("z", z)
        self.threshold = self.z * (w * (w - 1) * (2 * w + 5) / 18.0) ** 0.5
        self.pairs = w * (w - 1) // 2
        if self.threshold >= self.pairs:
            raise ValueError(f"z={z:g} can never be reached in a window of {w}")
        self.ring: list[list[float]] = [[0.0] * w, [0.0] * w]
        self.rearm()

    def read(self, loss: float, norm: float, step: int, extras: Mapping[str, Any]) -> Why:
        """Bring the count of pairs up to date."""
        return self.why(norm_against_loss(self, self.ring, loss, norm, step), loss, norm, step)

    def why(self, holds: bool, loss: float, norm: float, step: int) -> Why:
        """Name the count of pairs and, with evidence, the slope."""
        if holds:
            return (True, _CONCORDANT, self.window, self.score, self.pairs, self.threshold, self._slope())
        if self.filled < self.window:
            return (False, _FILLING, self.filled, self.window)
        return (False, _DISCORDANT, self.window, self.score, self.pairs, self.threshold)

    def _slope(self) -> Why:
        """Describe the Theil-Sen slope of log norm over log loss, where there are logarithms."""
        losses, norms = self._losses, self._norms
        if min(losses) <= 0.0 or min(norms) <= 0.0:
            return (True, "")
        f, g = np.log(losses), np.log(norms)
        first, second = _pairs(self.window)
        run, rise = f[second] - f[first], g[second] - g[first]
        moved = run != 0.0
        slope = float(np.median(rise[moved] / run[moved]))
        return (True, ", with a log-log slope of {0:.2g}", slope)

    @property
    def _losses(self) -> list[float]:
        """The losses in the ring, the oldest first."""
        return self._in_order(self.ring[0])

    @property
    def _norms(self) -> list[float]:
        """The norms in the ring, the oldest first."""
        return self._in_order(self.ring[1])

    def _in_order(self, values: list[float]) -> list[float]:
        if self.filled < self.window:
            return values[: self.filled]
        return values[self.place :] + values[: self.place]

    def _restore(self, state: Mapping[str, Any]) -> None:
        losses, norms = state["_losses"], state["_norms"]
        self.score, self.filled = state["score"], len(losses)
        self.place = self.filled % self.window
        self.ring[0][: self.filled], self.ring[1][: self.filled] = losses, norms

    def rearm(self) -> None:
        """Forget the window."""
        forget_norm_against_loss(self)


_DISCORDANT = (
    "over the last {0} readings the gradient norm does not shrink with the loss: concordant minus "
    "discordant pairs are {1} of {2}, not above {3:.3g}"
)
_CONCORDANT = (
    "over the last {0} readings the gradient norm shrinks with the loss: concordant minus discordant pairs "
    "are {1} of {2}, above {3:.3g}{4}: the loss looks convex"
)


@register
class PathCurvatureRule(Rule):
    """The curvature ``s'y / s's`` of the last steps was positive; it is free, as gradients are at hand.

    Here s is the step between two iterates and y the change of the gradient along it; `update` must be given
    ``curvature=``. A convex loss has positive curvature along every step, so one negative value disproves
    convexity between two iterates; positive ones prove nothing beyond the path.

    Parameters
    ----------
    window : int, default 10
        Steps looked back upon, at least 1.
    tolerate : int, default 0
        Steps among them that may show no positive curvature, less than `window`.
    """

    name = "path-curvature"
    extras = ("curvature",)
    _options = ("window", "tolerate")
    _state = ("_curvatures",)

    def __init__(self, window: int = 10, tolerate: int = 0) -> None:
        self.window = at_least("window", window, 1)
        self.tolerate = at_least("tolerate", tolerate, 0)
        if self.tolerate >= self.window:
            raise ValueError(f"tolerate={tolerate} leaves no evidence in a window of {window}")
        self.rearm()

    def read(self, loss: float, norm: float, step: int, extras: Mapping[str, Any]) -> Why:
        """Look at the signs of the last curvatures."""
        curvature = extras.get("curvature")
        if curvature is None or not -INF < float(curvature) < INF:
            return (False, "no finite curvature was given")
        curvatures = self._curvatures
        curvatures.append(float(curvature))
        if len(curvatures) < self.window:
            return (False, _FILLING, len(curvatures), self.window)
        if len(curvatures) > self.window:
            del curvatures[0]
        bad = sum(value <= 0.0 for value in curvatures)
        if bad > self.tolerate:
            return (False, _CURVED_DOWN, bad, self.window, min(curvatures))
        return (True, _CURVED_UP, self.window, min(curvatures), max(curvatures))

    def rearm(self) -> None:
        """Forget the window."""
        self._curvatures: list[float] = []


_CURVED_DOWN = "{0} of the last {1} steps showed no positive curvature, the least being {2:.3g}"
_CURVED_UP = (
    "the last {0} steps showed curvatures from {1:.3g} to {2:.3g}: the loss looks convex along the path"
)


def _median(ordered: list[float]) -> float:
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return 0.5 * ordered[middle - 1] + 0.5 * ordered[middle]


def _deviation(values: list[float], level: float) -> float:
    """Median absolute deviation from `level`."""
    return _median(sorted([abs(value - level) for value in values]))
