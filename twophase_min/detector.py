"""The convexity swap: when to leave Adam for a convex method, read off the loss and the gradient norm.

While the loss falls, a growing gradient norm speaks for a non-convex region and a shrinking one for a
convex region: along steepest descent ``d|g|^2/dt = -2 g'Hg``, so the norm falls exactly where the curvature
*along the gradient* is positive. That is a heuristic for convexity, not a certificate.

This module needs numpy and the standard library only and imports nothing from the rest of the package, so
that it can sit inside any training loop or read a log file::

    detector = ConvexitySwapDetector()
    for epoch in range(epochs):
        loss, norm = train_one_epoch()
        decision = detector.update(loss, norm)
        if decision:
            print(decision.reason)
            break

References
----------
T. Hrycej, B. Bermeitinger, M. Pavone, G.-H. Wiegand, S. Handschuh, "A Convexity-dependent Two-Phase Training
Algorithm for Deep Neural Networks", KDIR 2025, arXiv:2510.25366, DOI 10.5220/0013696100004000, Algorithm 1.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

__all__ = [
    "DEFAULT_RULE",
    "RULES",
    "AllOf",
    "AlwaysRule",
    "AnyOf",
    "CallableRule",
    "ConvexitySwapDetector",
    "Decision",
    "FixedStepRule",
    "GainRule",
    "HessianRule",
    "KOfLast",
    "NeverRule",
    "NormAgainstLossRule",
    "NormPeakMedianRule",
    "NormPeakRule",
    "PathCurvatureRule",
    "Rule",
    "SwapReport",
    "detect_swap",
    "make_detector",
]

DEFAULT_RULE = "norm-peak"
"""Name of the rule that is used when none is asked for."""

_INF = float("inf")
_NAN = float("nan")

Why = tuple[Any, ...]
"""Evidence of one reading: (holds, template, *numbers); the sentence is built only when it is read."""


def _sentence(why: Why) -> str:
    """Build the sentence of a piece of evidence; nested evidence becomes nested sentences."""
    return why[1].format(*[_sentence(part) if isinstance(part, tuple) else part for part in why[2:]])


class Decision(NamedTuple):
    """What the detector answers to one reading; true in a boolean context when it is time to swap.

    Attributes
    ----------
    swap : bool
        Whether to hand over to the convex method now.
    rule : str
        Name of the rule that decided.
    step : int
        Number of readings so far, this one included (from 1).
    loss, norm : float
        The reading as the rule saw it (smoothed, if smoothing is on; as given, if it was not finite).
    peak : float
        Largest (smoothed) norm since the start or the last `rearm`; 0 while there is none.
    why : tuple
        The parts of `reason`, which is built from them only when asked for.
    """

    swap: bool
    rule: str
    step: int
    loss: float
    norm: float
    peak: float
    why: Why

    @property
    def reason(self) -> str:
        """The reason as a sentence with its numbers."""
        return _sentence(self.why)

    def __bool__(self) -> bool:
        return self.swap

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a plain dict, with `reason` in place of `why`."""
        fields = self._asdict()
        del fields["why"]
        return {**fields, "reason": self.reason}


# ------------------------------------------------------------------------------------------------- rules


class Rule:
    """One way to read evidence for convexity; subclasses implement `read`.

    Attributes
    ----------
    name : str
        What the rule is called in options, decisions and serialised states.
    patient : bool
        Whether the detector's patience and minimum steps apply (they do not to a fixed step).
    blind : bool
        Whether the rule works without a finite reading.
    """

    name: ClassVar[str] = ""
    patient: bool = True
    blind: bool = False
    _options: ClassVar[tuple[str, ...]] = ()
    _callables: ClassVar[tuple[str, ...]] = ()
    _state: ClassVar[tuple[str, ...]] = ()

    def read(self, loss: float, norm: float, step: int, extras: Mapping[str, Any]) -> Why:
        """Take one reading and return (evidence, template, *numbers).

        Parameters
        ----------
        loss, norm : float
            Finite (unless the rule is `blind`), `norm` not negative.
        step : int
            Readings since the start or the last `rearm`, this one included.
        extras : mapping
            What else the caller passed to `ConvexitySwapDetector.update`.
        """
        raise NotImplementedError

    def rearm(self) -> None:
        """Forget all evidence."""

    def to_dict(self) -> dict[str, Any]:
        """Return name, options and state as JSON-serialisable values."""
        return {
            "rule": self.name,
            "options": {key: getattr(self, key) for key in self._options},
            "state": {key: _plain(getattr(self, key)) for key in self._state},
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        for key in self._state:
            setattr(self, key, _plain(state[key]))

    def __and__(self, other: Any) -> Rule:
        return AllOf(self, other)

    def __or__(self, other: Any) -> Rule:
        return AnyOf(self, other)

    def __repr__(self) -> str:
        options = ", ".join(f"{key}={getattr(self, key)!r}" for key in self._options)
        return f"{type(self).__name__}({options})"


def _plain(value: Any) -> Any:
    """Copy a list, so that a serialised state and a living rule never share one."""
    return list(value) if isinstance(value, (list, tuple)) else value


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
    _options = ("factor",)
    _state = ("peak",)

    def __init__(self, factor: float = 0.9) -> None:
        self.factor = _fraction("factor", factor)
        self.peak = 0.0

    def read(self, loss: float, norm: float, step: int, extras: Mapping[str, Any]) -> Why:
        """Compare the norm with its running maximum."""
        peak = self.peak
        if norm >= peak:  # also because 0.9 times the least denormal rounds to itself
            self.peak = norm
            return (False, _ABOVE, norm, self.factor, norm) if norm else (False, _ALL_ZERO)
        if norm > self.factor * peak:
            return (False, _ABOVE, norm, self.factor, peak)
        return (True, _BELOW, norm, self.factor, self.peak)

    def say(self, norm: float, peak: float) -> str:
        """Sentence of a swap at a norm below the peak."""
        return _sentence((True, _BELOW, norm, self.factor, peak))

    def rearm(self) -> None:
        """Forget the peak."""
        self.peak = 0.0


_ABOVE = "gradient norm {0:.6g} is still above {1:g} of its peak {2:.6g}"
_BELOW = "gradient norm {0:.6g} fell to {1:g} of its peak {2:.6g} or below: the loss looks convex"
_ALL_ZERO = "every gradient norm so far was zero, which says nothing about convexity"


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
        self.factor = _fraction("factor", factor)
        self.window = _at_least("window", window, 3)
        self.margin = _not_negative("margin", margin)
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
    _options = ("window", "z")
    _state = ("score", "_losses", "_norms")
    score: int
    _losses: list[float]
    _norms: list[float]

    def __init__(self, window: int = 30, z: float = 2.0) -> None:
        self.window = w = _at_least("window", window, 4)
        self.z = _not_negative("z", z)
        self.threshold = self.z * (w * (w - 1) * (2 * w + 5) / 18.0) ** 0.5
        self.pairs = w * (w - 1) // 2
        if self.threshold >= self.pairs:
            raise ValueError(f"z={z:g} can never be reached in a window of {w}")
        self.rearm()

    def read(self, loss: float, norm: float, step: int, extras: Mapping[str, Any]) -> Why:
        """Bring the count of concordant minus discordant pairs up to date: O(window), not O(steps)."""
        losses, norms = self._losses, self._norms
        if len(losses) == self.window:
            self.score -= _concordance(losses, norms, losses.pop(0), norms.pop(0))
        self.score += _concordance(losses, norms, loss, norm)
        losses.append(loss)
        norms.append(norm)
        if len(losses) < self.window:
            return (False, _FILLING, len(losses), self.window)
        if not self.score > self.threshold:
            return (False, _DISCORDANT, self.window, self.score, self.pairs, self.threshold)
        return (True, _CONCORDANT, self.window, self.score, self.pairs, self.threshold, self._slope())

    def _slope(self) -> Why:
        """Describe the Theil-Sen slope of log norm over log loss, where there are logarithms."""
        loss, norm = np.array(self._losses), np.array(self._norms)
        if min(loss.min(), norm.min()) <= 0.0:
            return (True, "")
        first, second = np.triu_indices(self.window, 1)
        run = np.log(loss)[second] - np.log(loss)[first]
        rise = np.log(norm)[second] - np.log(norm)[first]
        slope = float(np.median(rise[run != 0.0] / run[run != 0.0]))
        return (True, ", with a log-log slope of {0:.2g}", slope)

    def rearm(self) -> None:
        """Forget the window."""
        self.score = 0
        self._losses = []
        self._norms = []


_DISCORDANT = (
    "over the last {0} readings the gradient norm does not shrink with the loss: concordant minus "
    "discordant pairs are {1} of {2}, not above {3:.3g}"
)
_CONCORDANT = (
    "over the last {0} readings the gradient norm shrinks with the loss: concordant minus discordant pairs "
    "are {1} of {2}, above {3:.3g}{4}: the loss looks convex"
)


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
    _options = ("window", "tolerate")
    _state = ("_curvatures",)

    def __init__(self, window: int = 10, tolerate: int = 0) -> None:
        self.window = _at_least("window", window, 1)
        self.tolerate = _at_least("tolerate", tolerate, 0)
        if self.tolerate >= self.window:
            raise ValueError(f"tolerate={tolerate} leaves no evidence in a window of {window}")
        self.rearm()

    def read(self, loss: float, norm: float, step: int, extras: Mapping[str, Any]) -> Why:
        """Look at the signs of the last curvatures."""
        curvature = extras.get("curvature")
        if curvature is None or not -_INF < float(curvature) < _INF:
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


class _MeasuredRule(Rule):
    """What the rules share that live on two measured numbers, given as extras or fetched from a callable."""

    extras: ClassVar[tuple[str, str]] = ("", "")
    every: int
    _count: int

    def _pair(self, step: int, extras: Mapping[str, Any]) -> tuple[float, float] | None:
        first, second = (extras.get(key) for key in self.extras)
        measure = getattr(self, self._callables[0])
        if first is None and second is None and measure is not None:
            self._count += 1
            if (self._count - 1) % self.every:
                return None
            first, second = measure(step)
        if first is None or second is None:
            return None
        first, second = float(first), float(second)
        return (first, second) if -_INF < first < _INF and -_INF < second < _INF else None

    def rearm(self) -> None:
        """Measure afresh at the next reading."""
        self._count = 0


class HessianRule(_MeasuredRule):
    """The Hessian is numerically positive semidefinite: ``lambda_min >= -tol * lambda_max``.

    The only rule that measures what the others infer, at the price of Hessian-vector products
    (`twophase_min.curvature.extreme_eigenvalues`).

    Parameters
    ----------
    tol : float, default 1e-3
        How negative the smallest eigenvalue may be, as a fraction of the largest; not negative.
    spectrum : callable, optional
        ``spectrum(step) -> (lambda_min, lambda_max)``, called when `update` was not given ``lambda_min=`` and
        ``lambda_max=``. It is not serialised: set ``detector.rule.spectrum`` again after
        `ConvexitySwapDetector.from_dict`.
    every : int, default 1
        Call `spectrum` at every so many readings only.
    """

    name = "hessian"
    extras = ("lambda_min", "lambda_max")
    _options = ("tol", "every")
    _callables = ("spectrum",)
    _state = ("_count",)

    def __init__(self, tol: float = 1e-3, spectrum: Any = None, every: int = 1) -> None:
        self.tol = _not_negative("tol", tol)
        self.every = _at_least("every", every, 1)
        self.spectrum = spectrum
        self.rearm()

    def read(self, loss: float, norm: float, step: int, extras: Mapping[str, Any]) -> Why:
        """Hold the smallest eigenvalue against the largest."""
        pair = self._pair(step, extras)
        if pair is None:
            return (False, "the Hessian was not measured")
        lambda_min, lambda_max = pair
        holds = lambda_max > 0.0 and lambda_min >= -self.tol * lambda_max
        return (holds, _SEMIDEFINITE if holds else _INDEFINITE, lambda_min, self.tol, lambda_max)


_SEMIDEFINITE = (
    "the smallest Hessian eigenvalue {0:.3g} is not below -{1:g} of the largest, {2:.3g}: the loss is "
    "numerically convex here"
)
_INDEFINITE = "the smallest Hessian eigenvalue {0:.3g} is below -{1:g} of the largest, {2:.3g}"


class GainRule(_MeasuredRule):
    """A short trial of the convex method gained more per evaluation than Adam does.

    This asks the question that matters, without the detour over convexity, and pays for it with evaluations.

    Parameters
    ----------
    ratio : float, default 1.0
        How many times Adam's gain the convex method must exceed, not negative.
    trial : callable, optional
        ``trial(step) -> (gain_convex, gain_first)``: loss decrease per evaluation of the convex method and
        of Adam, in the same unit; called when `update` was not given ``gain_convex=`` and
        ``gain_first=``. It is not serialised: set ``detector.rule.trial`` again.
    every : int, default 10
        Call `trial` at every so many readings only.
    """

    name = "gain"
    extras = ("gain_convex", "gain_first")
    _options = ("ratio", "every")
    _callables = ("trial",)
    _state = ("_count",)

    def __init__(self, ratio: float = 1.0, trial: Any = None, every: int = 10) -> None:
        self.ratio = _not_negative("ratio", ratio)
        self.every = _at_least("every", every, 1)
        self.trial = trial
        self.rearm()

    def read(self, loss: float, norm: float, step: int, extras: Mapping[str, Any]) -> Why:
        """Compare the two gains."""
        pair = self._pair(step, extras)
        if pair is None:
            return (False, "no gains were measured")
        convex, first = pair
        holds = convex > 0.0 and convex > self.ratio * first
        return (holds, _GAINS if holds else _LAGS, convex, self.ratio, first)


_GAINS = "the convex method gained {0:.3g} an evaluation, more than {1:g} times Adam's {2:.3g}"
_LAGS = "the convex method gained {0:.3g} an evaluation, not more than {1:g} times Adam's {2:.3g}"


class _Composed(Rule):
    """What 'all' and 'any' share: every part reads every reading, as each keeps its own state."""

    def __init__(self, *rules: Any) -> None:
        if len(rules) < 1:
            raise ValueError(f"{self.name!r} needs at least one rule")
        self.rules = [_make_rule(rule, {}) for rule in rules]
        self.blind = any(rule.blind for rule in self.rules)

    def _read_parts(self, loss: float, norm: float, step: int, extras: Mapping[str, Any]) -> list[Why]:
        finite = 0.0 <= norm < _INF and -_INF < loss < _INF
        return [
            rule.read(loss, norm, step, extras) if finite or rule.blind else (*_NOT_FINITE, loss, norm)
            for rule in self.rules
        ]

    def rearm(self) -> None:
        """Re-arm every part."""
        for rule in self.rules:
            rule.rearm()

    def to_dict(self) -> dict[str, Any]:
        """Return the parts, each with options and state."""
        return {
            "rule": self.name,
            "options": {},
            "state": {},
            "rules": [rule.to_dict() for rule in self.rules],
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.rules))})"


class AllOf(_Composed):
    """All of several rules show evidence at the same reading; also written ``rule & rule``.

    Parameters
    ----------
    *rules : Rule, str, int or callable
        The parts, each as `ConvexitySwapDetector`'s `rule`.
    """

    name = "all"

    def read(self, loss: float, norm: float, step: int, extras: Mapping[str, Any]) -> Why:
        """Ask every part; report all, or the ones that say no."""
        parts = self._read_parts(loss, norm, step, extras)
        against = [part for part in parts if not part[0]]
        return _joined(not against, against or parts, " and ")


class AnyOf(_Composed):
    """At least one of several rules shows evidence; also written ``rule | rule``.

    Parameters
    ----------
    *rules : Rule, str, int or callable
        The parts, each as `ConvexitySwapDetector`'s `rule`. The detector's patience applies to the
        whole, a fixed step among the parts included.
    """

    name = "any"

    def read(self, loss: float, norm: float, step: int, extras: Mapping[str, Any]) -> Why:
        """Ask every part; report the ones that say yes, or all."""
        parts = self._read_parts(loss, norm, step, extras)
        holding = [part for part in parts if part[0]]
        return _joined(bool(holding), holding or parts, " and " if holding else "; ")


def _joined(holds: bool, parts: list[Why], conjunction: str) -> Why:
    return (holds, conjunction.join(f"{{{i}}}" for i in range(len(parts))), *parts)


class KOfLast(Rule):
    """A rule showed evidence at `k` of the last `m` readings, the last of all included.

    Parameters
    ----------
    rule : Rule, str, int or callable
        As `ConvexitySwapDetector`'s `rule`.
    k, m : int
        ``1 <= k <= m``.
    """

    name = "k-of-last"
    _options = ("k", "m")
    _state = ("_marks",)

    def __init__(self, rule: Any, k: int, m: int) -> None:
        self.rule = _make_rule(rule, {})
        self.k = _at_least("k", k, 1)
        self.m = _at_least("m", m, self.k)
        self.blind = self.rule.blind
        self._marks: list[bool] = []

    def read(self, loss: float, norm: float, step: int, extras: Mapping[str, Any]) -> Why:
        """Count the evidence in the window."""
        why = self.rule.read(loss, norm, step, extras)
        self._marks.append(bool(why[0]))
        if len(self._marks) > self.m:
            del self._marks[0]
        count = sum(self._marks)
        return (bool(why[0]) and count >= self.k, _K_OF_M, why, count, self.m, self.k)

    def rearm(self) -> None:
        """Forget the window and re-arm the rule."""
        self._marks = []
        self.rule.rearm()

    def to_dict(self) -> dict[str, Any]:
        """Return options and state, and those of the rule inside."""
        return {**super().to_dict(), "rules": [self.rule.to_dict()]}


_K_OF_M = "{0} (evidence at {1} of the last {2} readings, {3} asked for)"


class FixedStepRule(Rule):
    """Swap at a given step, whatever is read; after a `rearm`, that many steps later again.

    Parameters
    ----------
    at : int
        Number of readings after which to swap, not finite ones included; 0 and 1 both mean the first.
    """

    name = "fixed-step"
    patient = False
    blind = True
    _options = ("at",)

    def __init__(self, at: int) -> None:
        self.at = _at_least("at", at, 0)

    def read(self, loss: float, norm: float, step: int, extras: Mapping[str, Any]) -> Why:
        """Compare the count of readings with `at`."""
        if step < self.at:
            return (False, _EARLY, step, self.at)
        return (True, _REACHED, step, self.at)


_EARLY = "reading {0} of the {1} that the fixed-step rule waits for"
_REACHED = "reading {0} reached the fixed step {1}"


class NeverRule(Rule):
    """Never swap: Adam alone."""

    name = "never"

    def read(self, loss: float, norm: float, step: int, extras: Mapping[str, Any]) -> Why:
        """Say no."""
        return (False, "the rule 'never' keeps the first phase")


class AlwaysRule(Rule):
    """Swap at the first reading: the convex method alone."""

    name = "always"
    patient = False
    blind = True

    def read(self, loss: float, norm: float, step: int, extras: Mapping[str, Any]) -> Why:
        """Say yes."""
        return (True, "the rule 'always' swaps at every reading")


class CallableRule(Rule):
    """A user's function or detector-like object as a rule; it sees finite readings only.

    Parameters
    ----------
    function : callable or object
        ``function(loss, norm, step) -> bool`` or ``-> (bool, reason)``; or an object with
        ``update(loss, norm)``, whose answer is taken for its truth and its `reason` attribute, if any, and
        whose ``rearm()`` is called when there is one. Exceptions propagate.

    Notes
    -----
    Functions do not serialise: `ConvexitySwapDetector.from_dict` needs the function again.
    """

    name = "callable"

    def __init__(self, function: Any) -> None:
        update = getattr(function, "update", None)
        if not callable(function) and not callable(update):
            raise TypeError(f"a rule must be callable or have an update(loss, norm) method, got {function!r}")
        self.function = function
        self._update = update if callable(update) and not isinstance(function, type) else None
        self._label = getattr(function, "__name__", type(function).__name__)

    def read(self, loss: float, norm: float, step: int, extras: Mapping[str, Any]) -> Why:
        """Ask the function."""
        if self._update is not None:
            answer = self._update(loss, norm, **extras)
            reason = getattr(answer, "reason", None)
        else:
            answer, reason = self.function(loss, norm, step), None
        if isinstance(answer, tuple) and len(answer) == 2 and not hasattr(answer, "_fields"):
            answer, reason = answer
        holds = bool(answer)
        if reason is None:
            reason = f"the rule {self._label} answered {holds}"
        return (holds, "{0}", str(reason))

    def rearm(self) -> None:
        """Re-arm the object, if it can be."""
        rearm = getattr(self.function, "rearm", None)
        if callable(rearm):
            rearm()

    def __repr__(self) -> str:
        return f"CallableRule({self._label})"


RULES: dict[str, type[Rule]] = {
    rule.name: rule
    for rule in (
        NormPeakRule,
        NormPeakMedianRule,
        NormAgainstLossRule,
        PathCurvatureRule,
        HessianRule,
        GainRule,
        NeverRule,
        AlwaysRule,
        FixedStepRule,
        CallableRule,
        AllOf,
        AnyOf,
        KOfLast,
    )
}
"""The rules by name; those with parts or arguments are made as objects, not called by name."""

_UNNAMEABLE = ("fixed-step", "callable", "all", "any", "k-of-last")


def _make_rule(spec: Any, options: Mapping[str, Any]) -> Rule:
    """Turn a name, a count, a callable or a rule into a rule; `options` go to a named one."""
    if isinstance(spec, Rule):
        return spec
    if spec is None or spec is True:
        spec = DEFAULT_RULE
    elif spec is False:
        spec = NeverRule.name
    if isinstance(spec, str):
        kind = RULES.get(spec)
        if kind is None or spec in _UNNAMEABLE:
            known = ", ".join(repr(name) for name in RULES if name not in _UNNAMEABLE)
            raise ValueError(
                f"unknown swap rule {spec!r}: choose {known}, a step number, a callable or a Rule"
            )
        accepted = kind._options + kind._callables
        return kind(**{key: value for key, value in options.items() if key in accepted})
    if isinstance(spec, (float, np.floating)):
        raise TypeError(f"a swap rule given as a number must be an integer step, got {spec!r}")
    try:
        step = operator.index(spec)
    except TypeError:
        return CallableRule(spec)
    return FixedStepRule(step)


# ---------------------------------------------------------------------------------------------- detector


class ConvexitySwapDetector:
    """Watch loss and gradient norm, one reading at a time, for the convexity swap.

    With its defaults this is the paper's Algorithm 1. Readings that are not finite, and negative norms, are
    expected input: they are counted as steps, never as evidence, and leave peak and averages untouched.
    Decisions do not depend on the units of loss or norm.

    Parameters
    ----------
    rule : str, int, callable, Rule or None, default 'norm-peak'
        A name in `RULES`; an int, the step to swap at; ``rule(loss, norm, step) -> bool`` or
        ``-> (bool, reason)``; an object with ``update(loss, norm)``; a `Rule`. None is the default rule,
        False is 'never'.
    factor : float, default 0.9
        In (0, 1]: the fraction of its peak to which the norm must fall.
    smoothing : float, default 0.0
        In [0, 1): weight of the past in an exponential average of loss and norm (bias-corrected) that is
        taken before the rule sees them; the memory is about ``1 / (1 - smoothing)`` readings. Use it when
        the readings come from mini-batches. Averages count towards the peak once half of their weight
        has been seen, so that one lucky or unlucky first batch does not set it.
    patience : int, default 1
        Consecutive finite readings that must show evidence. One without evidence starts the count again;
        one that is not finite neither counts nor starts it again.
    min_steps : int, default 0
        Finite readings, from the start or the last `rearm`, before which there is no swap.
    **options
        Passed on to the rule called by name.

    Notes
    -----
    An update costs O(1) and allocates no array; the sentence in `Decision.reason` is built when it is read.
    """

    def __init__(
        self,
        rule: Any = DEFAULT_RULE,
        factor: float = 0.9,
        smoothing: float = 0.0,
        patience: int = 1,
        min_steps: int = 0,
        **options: Any,
    ) -> None:
        self.smoothing = float(smoothing)
        if not 0.0 <= self.smoothing < 1.0:
            raise ValueError(f"smoothing must be in [0, 1), got {smoothing!r}")
        self.patience = _at_least("patience", patience, 1)
        self.min_steps = _at_least("min_steps", min_steps, 0)
        self.rule = _make_rule(rule, {"factor": factor, **options})
        named = self.rule._options + self.rule._callables if isinstance(rule, (str, type(None))) else ()
        unknown = set(options).difference(named)
        if unknown:
            raise TypeError(f"rule {self.rule.name!r} has no option {', '.join(sorted(unknown))}")
        self._step = 0
        self._weight: float
        self._peak: float
        self._peak_loss: float | None
        self._mean_norm: float
        self._mean_loss: float
        self._forget()

    # ----------------------------------------------------------------------------------------- reading

    def update(self, loss: float, norm: float, **extras: Any) -> Decision:
        """Take one reading and decide.

        Parameters
        ----------
        loss : float
            Loss at the iterate; may be negative or not finite.
        norm : float
            Norm of the gradient there (any norm, but always the same one).
        **extras
            What some rules want besides; the others ignore it.

        Returns
        -------
        Decision
            True when it is time to swap. A caller who goes on after that keeps getting decisions.
        """
        loss = float(loss)
        norm = float(norm)
        self._step += 1
        self._since += 1
        rule = self.rule
        finite = 0.0 <= norm < _INF and -_INF < loss < _INF
        if finite:
            self._finite += 1
            if self.smoothing:
                loss, norm = self._smooth(loss, norm)
            if self._weight >= 0.5 and norm > self._peak:
                self._peak = norm
                self._peak_loss = loss
                self._peak_step = self._step
        if not finite and not rule.blind:
            return Decision(False, rule.name, self._step, loss, norm, self._peak, (*_NOT_FINITE, loss, norm))
        if self._weight < 0.5 and not rule.blind:
            return Decision(False, rule.name, self._step, loss, norm, self._peak, _WARMING)

        if self._weight < 0.5:  # parts that need a reading must not take this one for one
            why = rule.read(_NAN, _NAN, self._since, extras)
        else:
            why = rule.read(loss, norm, self._since, extras)
        if not why[0]:
            self._streak = 0
        elif rule.patient:
            self._streak += 1
            if self._streak < self.patience:
                why = (False, _IMPATIENT, why, self._streak, self.patience)
            elif self._finite < self.min_steps:
                why = (False, _TOO_FEW, why, self._finite, self.min_steps)
        return Decision(why[0], rule.name, self._step, loss, norm, self._peak, why)

    def _smooth(self, loss: float, norm: float) -> tuple[float, float]:
        """Return the bias-corrected exponential averages (the average of what was seen, not of zeros)."""
        keep = self.smoothing
        weight = self._weight = keep * self._weight + (1.0 - keep)
        share = (1.0 - keep) / weight
        # As a move towards the reading: no sum of huge numbers can overflow, no division by a tiny weight.
        self._mean_norm += share * (norm - self._mean_norm)
        self._mean_loss = (1.0 - share) * self._mean_loss + share * loss
        return self._mean_loss, self._mean_norm

    # ------------------------------------------------------------------------------------------- state

    def _forget(self) -> None:
        self._since = 0
        self._finite = 0
        self._streak = 0
        self._peak = 0.0
        self._peak_loss = None
        self._peak_step = 0
        self._weight = 0.0 if self.smoothing else 1.0
        self._mean_norm = 0.0
        self._mean_loss = 0.0

    def rearm(self, min_steps: int | None = None) -> None:
        """Forget peak, averages and evidence after a roll-back; the count of steps goes on.

        Parameters
        ----------
        min_steps : int, optional
            New minimum of finite readings before the next swap; unchanged by default.
        """
        if min_steps is not None:
            self.min_steps = _at_least("min_steps", min_steps, 0)
        self._forget()
        self.rule.rearm()

    def reset(self) -> None:
        """Start over as if new."""
        self._step = 0
        self._forget()
        self.rule.rearm()

    @property
    def step(self) -> int:
        """Number of readings since the start."""
        return self._step

    @property
    def peak(self) -> float:
        """Largest (smoothed) norm since the start or the last `rearm`; 0 while there is none."""
        return self._peak

    @property
    def peak_loss(self) -> float | None:
        """Loss at the peak; None while there is none."""
        return self._peak_loss

    @property
    def peak_step(self) -> int:
        """Step of the peak; 0 while there is none."""
        return self._peak_step

    def to_dict(self) -> dict[str, Any]:
        """Return options and state as JSON-serialisable values; `from_dict` continues identically."""
        return {
            "version": 1,
            "smoothing": self.smoothing,
            "patience": self.patience,
            "min_steps": self.min_steps,
            "rule": self.rule.to_dict(),
            "state": {key: getattr(self, key) for key in _STATE},
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any], rule: Any = None) -> ConvexitySwapDetector:
        """Rebuild a detector from `to_dict`.

        Parameters
        ----------
        saved : mapping
            What `to_dict` returned, through JSON or not.
        rule : callable, optional
            The function of a callable rule, which cannot be saved.

        Raises
        ------
        ValueError
            A callable rule was saved and `rule` is missing, or the rule's name is unknown.
        """
        detector = cls(
            _restore_rule(saved["rule"], rule),
            smoothing=saved["smoothing"],
            patience=saved["patience"],
            min_steps=saved["min_steps"],
        )
        for key in _STATE:
            setattr(detector, key, saved["state"][key])
        return detector

    def __repr__(self) -> str:
        return (
            f"ConvexitySwapDetector({self.rule!r}, smoothing={self.smoothing:g}, patience={self.patience}, "
            f"min_steps={self.min_steps}, step={self._step}, peak={self._peak:.6g})"
        )


_STATE = (
    "_step",
    "_since",
    "_finite",
    "_streak",
    "_peak",
    "_peak_loss",
    "_peak_step",
    "_weight",
    "_mean_norm",
    "_mean_loss",
)
_NOT_FINITE = (False, "loss {0:.6g} and gradient norm {1:.6g} are no usable reading: no evidence")
_WARMING = (False, "the smoothed loss and norm rest on too few readings yet")
_IMPATIENT = "{0}; reading {1} of the {2} in a row that patience asks for"
_TOO_FEW = "{0}; but only {1} of the minimum of {2} readings were taken"


def _restore_rule(saved: Mapping[str, Any], function: Any) -> Rule:
    """Rebuild a rule, its parts first; a callable takes `function`, be it the rule or a part of it."""
    name = saved["rule"]
    if name == CallableRule.name:
        if function is None:
            raise ValueError("this detector was saved with a callable rule: pass it again as rule=")
        return function if isinstance(function, Rule) else CallableRule(function)
    if name not in RULES:
        raise ValueError(f"unknown swap rule {name!r} in the saved detector")
    parts = [_restore_rule(part, function) for part in saved.get("rules", ())]
    rule = RULES[name](*parts, **saved["options"])
    rule._restore(saved["state"])
    return rule


def make_detector(
    spec: Any = None,
    *,
    factor: float = 0.9,
    patience: int = 1,
    smoothing: float = 0.0,
    min_steps: int = 0,
    **options: Any,
) -> ConvexitySwapDetector:
    """Turn an option value into a detector.

    Parameters
    ----------
    spec : str, int, callable, Rule, ConvexitySwapDetector or None
        As `ConvexitySwapDetector`'s `rule`. A detector is returned as it is, with its state and its own
        settings: the caller decides whether to `reset` it.
    factor, patience, smoothing, min_steps, **options
        As for `ConvexitySwapDetector`.

    Returns
    -------
    ConvexitySwapDetector
    """
    if isinstance(spec, ConvexitySwapDetector):
        return spec
    return ConvexitySwapDetector(
        spec, factor=factor, smoothing=smoothing, patience=patience, min_steps=min_steps, **options
    )


# ----------------------------------------------------------------------------------------------- offline


@dataclass(frozen=True, slots=True)
class SwapReport:
    """Where a recorded run would have swapped; true in a boolean context when it would have.

    Attributes
    ----------
    found : bool
        Whether there is a swap.
    index : int or None
        Position of the swap in the arrays (from 0); None without one.
    loss, norm : float
        The last reading as the rule saw it: at the swap, or at the end.
    peak : float
        Largest (smoothed) norm up to there.
    peak_index : int or None
        Position of that peak.
    rule : str
        Name of the rule.
    reason : str
        Why there, or why nowhere.
    """

    found: bool
    index: int | None
    loss: float
    norm: float
    peak: float
    peak_index: int | None
    rule: str
    reason: str

    def __bool__(self) -> bool:
        return self.found


def detect_swap(
    losses: Any,
    norms: Any,
    rule: Any = DEFAULT_RULE,
    *,
    extras: Mapping[str, Any] | None = None,
    **options: Any,
) -> SwapReport:
    """Find the convexity swap in a recorded run.

    Parameters
    ----------
    losses, norms : array_like, shape (n,)
        Loss and gradient norm, one entry an iteration or epoch, in the order of the run.
    rule : str, int, callable, Rule, ConvexitySwapDetector or None, default 'norm-peak'
        As for `ConvexitySwapDetector`. A detector goes on from its state.
    extras : mapping of str to array_like, shape (n,), optional
        Further columns for rules that want them.
    **options
        factor, smoothing, patience, min_steps and the rule's own, as for `ConvexitySwapDetector`.

    Returns
    -------
    SwapReport

    Raises
    ------
    ValueError
        The arrays are not one-dimensional or differ in length.
    """
    losses = _column("losses", losses)
    norms = _column("norms", norms, losses.size)
    columns = {key: np.ravel(np.asarray(values)) for key, values in (extras or {}).items()}
    for key, values in columns.items():
        if values.size != losses.size:
            raise ValueError(f"extras[{key!r}] has {values.size} entries, losses has {losses.size}")
    detector = make_detector(rule, **options)
    before = detector.step
    decision = None
    for index, (loss, norm) in enumerate(zip(losses.tolist(), norms.tolist(), strict=True)):
        decision = detector.update(loss, norm, **{key: values[index] for key, values in columns.items()})
        if decision:
            break
    name, peak = detector.rule.name, detector.peak
    peak_index = detector.peak_step - before - 1 if detector.peak_step > before else None
    if decision is None:
        return SwapReport(False, None, _NAN, _NAN, peak, peak_index, name, "no swap: there are no readings")
    if decision:
        return SwapReport(
            True,
            index,
            decision.loss,
            decision.norm,
            peak,
            peak_index,
            name,
            f"at index {index}: {decision.reason}",
        )
    reason = f"no swap in {losses.size} readings; at the last, {decision.reason}"
    return SwapReport(False, None, decision.loss, decision.norm, peak, peak_index, name, reason)


# --------------------------------------------------------------------------------------------- validation


def _concordance(losses: list[float], norms: list[float], loss: float, norm: float) -> int:
    """Concordant minus discordant pairs of one reading with the others; a tie counts nothing."""
    score = 0
    for other_loss, other_norm in zip(losses, norms, strict=True):
        if loss > other_loss:
            score += (norm > other_norm) - (norm < other_norm)
        elif loss < other_loss:
            score += (norm < other_norm) - (norm > other_norm)
    return score


def _median(ordered: list[float]) -> float:
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return 0.5 * ordered[middle - 1] + 0.5 * ordered[middle]


def _deviation(values: list[float], level: float) -> float:
    """Median absolute deviation from `level`."""
    return _median(sorted([abs(value - level) for value in values]))


def _not_negative(name: str, value: float) -> float:
    number = float(value)
    if not 0.0 <= number < _INF:
        raise ValueError(f"{name} must be finite and not negative, got {value!r}")
    return number


def _column(name: str, values: Any, size: int | None = None) -> np.ndarray:
    column = np.atleast_1d(np.asarray(values, dtype=np.float64))
    if column.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, got shape {column.shape}")
    if size is not None and column.size != size:
        raise ValueError(f"losses has {size} entries, {name} has {column.size}")
    return column


def _fraction(name: str, value: float) -> float:
    number = float(value)
    if not 0.0 < number <= 1.0:
        raise ValueError(f"{name} must be in (0, 1], got {value!r}")
    return number


def _at_least(name: str, value: Any, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {value!r}")
    return number


if __name__ == "__main__":
    import sys

    from twophase_min._detector_cli import main

    sys.exit(main())
