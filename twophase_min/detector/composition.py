"""Rules made of other rules or of the caller's function, and those that read nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .checks import at_least
from .registry import NOT_USABLE, Kernels, Rule, Why, make_rule, register
from .state import INF


def fixed_step(rule: Any, ring: Any, loss: float, norm: float, step: int) -> bool:
    """Compare the count of readings with ``rule.at``."""
    reached: bool = step >= rule.at
    return reached


def never(rule: Any, ring: Any, loss: float, norm: float, step: int) -> bool:
    """Say no."""
    return False


def always(rule: Any, ring: Any, loss: float, norm: float, step: int) -> bool:
    """Say yes."""
    return True


def nothing_to_forget(rule: Any) -> None:
    """Forget nothing: the rule has no evidence of its own."""


@register
class NeverRule(Rule):
    """Never swap: Adam alone."""

    name = "never"
    kernels = Kernels(never, nothing_to_forget, ())

    def read(self, loss: float, norm: float, step: int, extras: Mapping[str, Any]) -> Why:
        """Say no."""
        return self.why(False, loss, norm, step)

    def why(self, holds: bool, loss: float, norm: float, step: int) -> Why:
        """Say that the rule never swaps."""
        return (False, "the rule 'never' keeps the first phase")


@register
class AlwaysRule(Rule):
    """Swap at the first reading: the convex method alone."""

    name = "always"
    patient = False
    blind = True
    kernels = Kernels(always, nothing_to_forget, ())

    def read(self, loss: float, norm: float, step: int, extras: Mapping[str, Any]) -> Why:
        """Say yes."""
        return self.why(True, loss, norm, step)

    def why(self, holds: bool, loss: float, norm: float, step: int) -> Why:
        """Say that the rule always swaps."""
        return (True, "the rule 'always' swaps at every reading")


@register
class FixedStepRule(Rule):
    """Swap at a given step, whatever is read; after a `rearm`, that many steps later again.

    Parameters
    ----------
    at : int
        Number of readings after which to swap, not finite ones included; 0 and 1 both mean the first.
    """

    name = "fixed-step"
    named = False
    patient = False
    blind = True
    kernels = Kernels(fixed_step, nothing_to_forget, (("at", int, "readings after which to swap", 0),))
    _options = ("at",)

    def __init__(self, at: int) -> None:
        self.at = at_least("at", at, 0)

    def read(self, loss: float, norm: float, step: int, extras: Mapping[str, Any]) -> Why:
        """Compare the count of readings with `at`."""
        return self.why(fixed_step(self, None, loss, norm, step), loss, norm, step)

    def why(self, holds: bool, loss: float, norm: float, step: int) -> Why:
        """Name the count of readings and `at`."""
        return (holds, _REACHED if holds else _EARLY, step, self.at)


_EARLY = "reading {0} of the {1} that the fixed-step rule waits for"
_REACHED = "reading {0} reached the fixed step {1}"


@register
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
    named = False

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


class _Composed(Rule):
    """What 'all' and 'any' share: every part reads every reading, as each keeps its own state."""

    def __init__(self, *rules: Any) -> None:
        if len(rules) < 1:
            raise ValueError(f"{self.name!r} needs at least one rule")
        self.rules = [make_rule(rule, {}) for rule in rules]
        self.blind = any(rule.blind for rule in self.rules)

    def _read_parts(self, loss: float, norm: float, step: int, extras: Mapping[str, Any]) -> list[Why]:
        finite = 0.0 <= norm < INF and -INF < loss < INF
        return [
            rule.read(loss, norm, step, extras) if finite or rule.blind else (*NOT_USABLE, loss, norm)
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


@register
class AllOf(_Composed):
    """All of several rules show evidence at the same reading; also written ``rule & rule``.

    Parameters
    ----------
    *rules : Rule, str, int or callable
        The parts, each as `ConvexitySwapDetector`'s `rule`.
    """

    name = "all"
    named = False

    def read(self, loss: float, norm: float, step: int, extras: Mapping[str, Any]) -> Why:
        """Ask every part; report all, or the ones that say no."""
        parts = self._read_parts(loss, norm, step, extras)
        against = [part for part in parts if not part[0]]
        return _joined(not against, against or parts, " and ")


@register
class AnyOf(_Composed):
    """At least one of several rules shows evidence; also written ``rule | rule``.

    Parameters
    ----------
    *rules : Rule, str, int or callable
        The parts, each as `ConvexitySwapDetector`'s `rule`. The detector's patience applies to the
        whole, a fixed step among the parts included.
    """

    name = "any"
    named = False

    def read(self, loss: float, norm: float, step: int, extras: Mapping[str, Any]) -> Why:
        """Ask every part; report the ones that say yes, or all."""
        parts = self._read_parts(loss, norm, step, extras)
        holding = [part for part in parts if part[0]]
        return _joined(bool(holding), holding or parts, " and " if holding else "; ")


def _joined(holds: bool, parts: list[Why], conjunction: str) -> Why:
    return (holds, conjunction.join(f"{{{i}}}" for i in range(len(parts))), *parts)


@register
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
    named = False
    _options = ("k", "m")
    _state = ("_marks",)

    def __init__(self, rule: Any, k: int, m: int) -> None:
        self.rule = make_rule(rule, {})
        self.k = at_least("k", k, 1)
        self.m = at_least("m", m, self.k)
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
