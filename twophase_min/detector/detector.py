"""The detector: one reading at a time in, one decision out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .checks import at_least
from .registry import DEFAULT_RULE, NOT_USABLE, Rule, Why, make_rule, restore_rule, sentence
from .state import FOR, MEMORY, NAN, NOT_FINITE, READ, UNREAD, WARMING, State, admit, conclude, forget


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
        return sentence(self.why)

    def __bool__(self) -> bool:
        return self.swap

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a plain dict, with `reason` in place of `why`."""
        fields = self._asdict()
        del fields["why"]
        return {**fields, "reason": self.reason}


_tuple: Any = tuple.__new__


def _setting(name: str, meaning: str) -> Any:
    """Make an attribute of the detector that lives in its state."""

    def write(self: ConvexitySwapDetector, value: Any) -> None:
        setattr(self._state, name, value)

    return property(lambda self: getattr(self._state, name), write, doc=meaning)


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
        self._state: Any = State()
        self.smoothing = float(smoothing)
        if not 0.0 <= self.smoothing < 1.0:
            raise ValueError(f"smoothing must be in [0, 1), got {smoothing!r}")
        self.patience = at_least("patience", patience, 1)
        self.min_steps = at_least("min_steps", min_steps, 0)
        self.rule: Rule = make_rule(rule, {"factor": factor, **options})
        named = self.rule._options + self.rule._callables if isinstance(rule, (str, type(None))) else ()
        unknown = set(options).difference(named)
        if unknown:
            raise TypeError(f"rule {self.rule.name!r} has no option {', '.join(sorted(unknown))}")
        forget(self._state)

    smoothing = _setting("smoothing", "Weight of the past in the averages.")
    patience = _setting("patience", "Consecutive finite readings that must show evidence.")
    min_steps = _setting("min_steps", "Finite readings before which there is no swap.")

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
        state, rule = self._state, self.rule
        code = admit(state, float(loss), float(norm))
        if code == READ:
            why = rule.read(state.loss, state.norm, state.since, extras)
        elif not rule.blind:
            return self._decision(False, _no_evidence(state))
        elif state.weight < 0.5:  # parts that need a reading must not take this one for one
            why = rule.read(NAN, NAN, state.since, extras)
        else:
            why = rule.read(state.loss, state.norm, state.since, extras)
        swap = conclude(state, why[0], rule.patient)
        if why[0] and not swap:
            why = _held_back(state, why)
        # Without the named tuple's own constructor, a tenth of the time of an update.
        decision: Decision = _tuple(
            Decision, (swap, rule.name, state.step, state.loss, state.norm, state.peak, why)
        )
        return decision

    def last_decision(self) -> Decision | None:
        """Return the decision on the last reading again, rebuilt from the state.

        It is there for a detector whose readings were taken by compiled code.

        Returns
        -------
        Decision or None
            None before the first reading and after `rearm`.

        Raises
        ------
        NotImplementedError
            The rule is none of those that can be compiled.
        """
        state, rule = self._state, self.rule
        if state.answer == UNREAD:
            return None
        if state.answer in (NOT_FINITE, WARMING):
            return self._decision(False, _no_evidence(state))
        holds = state.answer == FOR
        why = rule.why(holds, state.loss, state.norm, state.since)
        swap = holds
        if holds and rule.patient:
            swap = state.streak >= state.patience and state.finite >= state.min_steps
        return self._decision(swap, why if swap or not holds else _held_back(state, why))

    def _decision(self, swap: bool, why: Why) -> Decision:
        state = self._state
        return Decision(swap, self.rule.name, state.step, state.loss, state.norm, state.peak, why)

    # ------------------------------------------------------------------------------------------- state

    def rearm(self, min_steps: int | None = None) -> None:
        """Forget peak, averages and evidence after a roll-back; the count of steps goes on.

        Parameters
        ----------
        min_steps : int, optional
            New minimum of finite readings before the next swap; unchanged by default.
        """
        if min_steps is not None:
            self.min_steps = at_least("min_steps", min_steps, 0)
        forget(self._state)
        self.rule.rearm()

    def reset(self) -> None:
        """Start over as if new."""
        self._state.step = 0
        forget(self._state)
        self.rule.rearm()

    @property
    def step(self) -> int:
        """Number of readings since the start."""
        step: int = self._state.step
        return step

    @property
    def peak(self) -> float:
        """Largest (smoothed) norm since the start or the last `rearm`; 0 while there is none."""
        peak: float = self._state.peak
        return peak

    @property
    def peak_loss(self) -> float | None:
        """Loss at the peak; None while there is none."""
        return self._state.peak_loss if self._state.peak_step else None

    @property
    def peak_step(self) -> int:
        """Step of the peak; 0 while there is none."""
        step: int = self._state.peak_step
        return step

    def to_dict(self) -> dict[str, Any]:
        """Return options and state as JSON-serialisable values; `from_dict` continues identically."""
        remembered = {"_" + name: getattr(self._state, name) for name, *_ in MEMORY}
        return {
            "version": 1,
            "smoothing": self.smoothing,
            "patience": self.patience,
            "min_steps": self.min_steps,
            "rule": self.rule.to_dict(),
            "state": {**remembered, "_peak_loss": self.peak_loss},
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
            restore_rule(saved["rule"], rule),
            smoothing=saved["smoothing"],
            patience=saved["patience"],
            min_steps=saved["min_steps"],
        )
        for name, _, _, initial in MEMORY:
            value = saved["state"]["_" + name]
            setattr(detector._state, name, initial if value is None else value)  # JSON knows no NaN
        return detector

    def __repr__(self) -> str:
        return (
            f"ConvexitySwapDetector({self.rule!r}, smoothing={self.smoothing:g}, patience={self.patience}, "
            f"min_steps={self.min_steps}, step={self.step}, peak={self.peak:.6g})"
        )


_WARMING = (False, "the smoothed loss and norm rest on too few readings yet")
_IMPATIENT = "{0}; reading {1} of the {2} in a row that patience asks for"
_TOO_FEW = "{0}; but only {1} of the minimum of {2} readings were taken"


def _no_evidence(state: Any) -> Why:
    """Say why a reading did not get as far as the rule."""
    return (*NOT_USABLE, state.loss, state.norm) if state.answer == NOT_FINITE else _WARMING


def _held_back(state: Any, why: Why) -> Why:
    """Say why there is no swap although the rule sees evidence."""
    if state.streak < state.patience:
        return (False, _IMPATIENT, why, state.streak, state.patience)
    return (False, _TOO_FEW, why, state.finite, state.min_steps)


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
