"""The detector in compiled loops: its own functions compiled, over a record with its own fields.

`pack` copies a `ConvexitySwapDetector` into a record, `update` takes one reading in tens of nanoseconds, and
`unpack` copies the record back, after which the detector goes on (and explains itself) as if it had seen
every reading. The rules are those of the registry that have `detector.registry.Kernels`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from twophase_min.detector import RULES, ConvexitySwapDetector
from twophase_min.detector import state as plain
from twophase_min.detector.state import NAN, READ, Field
from twophase_min.jit.compilation import jit
from twophase_min.jit.records import Record, count, nested, real

_KERNELS = {rule: rule.kernels for rule in RULES.values() if rule.kernels is not None}
_CODES = {rule: code for code, rule in enumerate(_KERNELS)}

COMPILED_RULES = tuple(rule.name for rule in _KERNELS if rule.named)
"""Names of the rules that can be compiled; a fixed step, which has none, can be too."""


def _members(fields: tuple[Field, ...]) -> list[Any]:
    return [
        real(name, meaning, initial) if kind is float else count(name, meaning, int(initial))
        for name, kind, meaning, initial in fields
    ]


_RULE_FIELDS: tuple[Field, ...] = tuple(
    {field[0]: field for kernels in _KERNELS.values() for field in kernels.fields}.values()
)
RULE = Record(
    "Rule",
    count("code", "which rule"),
    count("patient", "whether patience and the minimum of steps apply"),
    count("blind", "whether it works without a finite reading"),
    *_members(_RULE_FIELDS),
)
_RULE_NAMES = tuple(field.name for field in RULE.fields)
DETECTOR = Record("Detector", *_members(plain.FIELDS), nested("rule", RULE, "the rule"))


class DetectorState(NamedTuple):
    """A detector for kernels.

    Attributes
    ----------
    slot : slot of DETECTOR
        Its scalars and those of its rule.
    ring : ndarray of float64, shape (2, window)
        The last losses and norms of a rule that looks back, else of width 0.
    """

    slot: Any
    ring: np.ndarray


def can_compile(detector: ConvexitySwapDetector) -> bool:
    """Whether the detector's rule is one of the compiled ones (exactly: a subclass is not)."""
    return type(detector.rule) in _CODES


def pack(detector: ConvexitySwapDetector) -> DetectorState:
    """Copy a detector into arrays.

    Parameters
    ----------
    detector : ConvexitySwapDetector
        With one of the compiled rules.

    Returns
    -------
    DetectorState

    Raises
    ------
    TypeError
        The rule is not compiled.
    """
    rule = detector.rule
    if not can_compile(detector):
        raise TypeError(f"the rule {rule.name!r} is not compiled: use the detector itself")
    slot = DETECTOR.new()
    array = DETECTOR.array(slot)
    for name, *_ in plain.FIELDS:
        array[name] = getattr(detector._state, name)
    own = array["rule"]
    own["code"], own["patient"], own["blind"] = _CODES[type(rule)], rule.patient, rule.blind
    for name, *_ in _fields(rule):
        own[name] = getattr(rule, name)
    return DetectorState(slot, np.array(getattr(rule, "ring", ((), ())), dtype=float))


def unpack(state: DetectorState, detector: ConvexitySwapDetector) -> ConvexitySwapDetector:
    """Write the state back into the detector that it was packed from (or one with the same settings).

    Parameters
    ----------
    state : DetectorState
    detector : ConvexitySwapDetector
        Written to.

    Returns
    -------
    ConvexitySwapDetector
        The same detector.
    """
    *values, own = DETECTOR.array(state.slot).item()
    for (name, *_), value in zip(plain.FIELDS, values, strict=True):
        setattr(detector._state, name, value)
    rule, known = detector.rule, dict(zip(_RULE_NAMES, own, strict=True))
    for name, *_ in _fields(rule):
        setattr(rule, name, known[name])
    if state.ring.shape[1]:
        rule.ring = state.ring.tolist()  # type: ignore[attr-defined]
    return detector


def sentence(state: DetectorState, detector: ConvexitySwapDetector) -> str:
    """Reason of the decision on the last reading, in the words of the detector itself.

    Parameters
    ----------
    state : DetectorState
        Not rearmed since that reading.
    detector : ConvexitySwapDetector
        One with the same settings; the state is written to it.

    Returns
    -------
    str
        '' where there was no reading.
    """
    decision = unpack(state, detector).last_decision()
    return decision.reason if decision is not None else ""


def _fields(rule: Any) -> tuple[Field, ...]:
    fields: tuple[Field, ...] = rule.kernels.fields
    return fields


_inner = jit(no_cpython_wrapper=True)
_admit, _conclude, _forget = _inner(plain.admit), _inner(plain.conclude), _inner(plain.forget)


def _choose(functions: list[Any]) -> Any:
    """Make a kernel that calls the function whose place in the list is the rule's code."""
    chosen = _inner(functions[-1])
    for code in reversed(range(len(functions) - 1)):
        chosen = _either(code, _inner(functions[code]), chosen)
    return chosen


def _either(code: int, function: Any, otherwise: Any) -> Any:
    # Not kept on disk alone: the files of these functions, all of one name, would take each other's place.
    @jit(no_cpython_wrapper=True, cache=False)
    def either(rule, *reading):
        if rule.code == code:
            return function(rule, *reading)
        return otherwise(rule, *reading)

    return either


_read = _choose([kernels.read for kernels in _KERNELS.values()])
_forget_rule = _choose([kernels.forget for kernels in _KERNELS.values()])


@jit
def update(state, loss, norm):
    """Take one reading; `detector.ConvexitySwapDetector.update` without its words.

    Parameters
    ----------
    state : DetectorState
        Written to.
    loss, norm : float
        The reading, finite or not.

    Returns
    -------
    bool
        Whether to swap now.
    """
    detector = state.slot[0]
    rule = detector.rule
    code = _admit(detector, loss, norm)
    if code != READ and rule.blind == 0:
        return False
    loss, norm = detector.loss, detector.norm
    if detector.weight < 0.5:
        loss, norm = NAN, NAN
    holds = _read(rule, state.ring, loss, norm, detector.since)
    return _conclude(detector, holds, rule.patient != 0)


@jit
def scan(state, losses, norms):
    """Read arrays until the first swap.

    Parameters
    ----------
    state : DetectorState
        Written to.
    losses, norms : ndarray of float64, shape (n,)
        The readings.

    Returns
    -------
    int
        Index of the swap, or -1.
    """
    for i in range(losses.size):
        if update(state, losses[i], norms[i]):
            return i
    return -1


@jit
def rearm(state):
    """Forget all evidence after a roll-back, as `ConvexitySwapDetector.rearm` does; the steps go on."""
    detector = state.slot[0]
    _forget(detector)
    _forget_rule(detector.rule)


@jit
def reset(state):
    """Start over as if new."""
    rearm(state)
    state.slot[0].step = 0
