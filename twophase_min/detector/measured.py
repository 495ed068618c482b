"""Rules that live on a measurement: of the Hessian, or of what either phase gains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .checks import at_least, not_negative
from .registry import Rule, Why, register
from .state import INF


class _MeasuredRule(Rule):
    """What the rules share that live on two measured numbers, given as extras or fetched from a callable."""

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
        return (first, second) if -INF < first < INF and -INF < second < INF else None

    def rearm(self) -> None:
        """Measure afresh at the next reading."""
        self._count = 0


@register
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
        self.tol = not_negative("tol", tol)
        self.every = at_least("every", every, 1)
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


@register
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
        self.ratio = not_negative("ratio", ratio)
        self.every = at_least("every", every, 1)
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
