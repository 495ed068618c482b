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

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

__all__ = [
    "DEFAULT_RULE",
    "RULES",
    "AlwaysRule",
    "CallableRule",
    "ConvexitySwapDetector",
    "Decision",
    "FixedStepRule",
    "NeverRule",
    "NormPeakRule",
    "Rule",
    "SwapReport",
    "detect_swap",
    "make_detector",
]

DEFAULT_RULE = "norm-peak"
"""Name of the rule that is used when none is asked for."""

_INF = float("inf")

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
    patient: ClassVar[bool] = True
    blind: ClassVar[bool] = False
    _options: ClassVar[tuple[str, ...]] = ()
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
        In (0, 1), without unit. The smaller, the more of a fall is demanded.
    """

    name = "norm-peak"
    _options = ("factor",)
    _state = ("peak",)

    def __init__(self, factor: float = 0.9) -> None:
        self.factor = _between("factor", factor, 0.0, 1.0)
        self.peak = 0.0

    def read(self, loss: float, norm: float, step: int, extras: Mapping[str, Any]) -> Why:
        """Compare the norm with its running maximum."""
        if norm > self.peak:
            self.peak = norm
        if norm > self.factor * self.peak:
            return (False, _ABOVE, norm, self.factor, self.peak)
        if self.peak == 0.0:
            return (False, _ALL_ZERO)
        return (True, _BELOW, norm, self.factor, self.peak)

    def rearm(self) -> None:
        """Forget the peak."""
        self.peak = 0.0


_ABOVE = "gradient norm {0:.6g} is still above {1:g} of its peak {2:.6g}"
_BELOW = "gradient norm {0:.6g} fell to {1:g} of its peak {2:.6g} or below: the loss looks convex"
_ALL_ZERO = "every gradient norm so far was zero, which says nothing about convexity"


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
    rule.name: rule for rule in (NormPeakRule, FixedStepRule, NeverRule, AlwaysRule, CallableRule)
}
"""The rules by name."""


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
        if kind is None or kind in (FixedStepRule, CallableRule):
            known = ", ".join(repr(name) for name in RULES if name not in ("fixed-step", "callable"))
            raise ValueError(f"unknown swap rule {spec!r}: choose {known}, a step number or a callable")
        return kind(**{key: value for key, value in options.items() if key in kind._options})
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
        In (0, 1): the fraction of its peak to which the norm must fall.
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
        unknown = set(options) - set(self.rule._options)
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
    name = saved["rule"]
    if name == CallableRule.name:
        if function is None:
            raise ValueError("this detector was saved with a callable rule: pass it again as rule=")
        return function if isinstance(function, Rule) else CallableRule(function)
    if name not in RULES:
        raise ValueError(f"unknown swap rule {name!r} in the saved detector")
    rule = RULES[name](**saved["options"])
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
        nan = float("nan")
        return SwapReport(False, None, nan, nan, peak, peak_index, name, "no swap: there are no readings")
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


def _column(name: str, values: Any, size: int | None = None) -> np.ndarray:
    column = np.atleast_1d(np.asarray(values, dtype=np.float64))
    if column.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, got shape {column.shape}")
    if size is not None and column.size != size:
        raise ValueError(f"losses has {size} entries, {name} has {column.size}")
    return column


def _between(name: str, value: float, low: float, high: float) -> float:
    number = float(value)
    if not low < number < high:
        raise ValueError(f"{name} must be in ({low:g}, {high:g}), got {value!r}")
    return number


def _at_least(name: str, value: Any, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {value!r}")
    return number
