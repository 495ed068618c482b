"""What the detector remembers between two readings, and how one reading changes it.

The functions are written once and run twice: in plain Python on a `State`, and compiled on a record with the
same names (`twophase_min.run.detecting`). So they use scalars by name only, and call no other function.
"""

from __future__ import annotations

from typing import Any

INF = float("inf")
NAN = float("nan")

Field = tuple[str, type, str, float]
"""A named scalar of a state: (name, float or int, meaning, initial value)."""

SETTINGS: tuple[Field, ...] = (
    ("smoothing", float, "weight of the past in the averages, [0, 1); 0 is none", 0.0),
    ("patience", int, "readings in a row that must show evidence", 1),
    ("min_steps", int, "finite readings before which there is no swap", 0),
)
MEMORY: tuple[Field, ...] = (
    ("step", int, "readings since the start", 0),
    ("since", int, "readings since the start or the last rearm", 0),
    ("finite", int, "finite readings among these", 0),
    ("streak", int, "finite readings in a row that show evidence", 0),
    ("peak", float, "largest (smoothed) norm since then; 0 while there is none", 0.0),
    ("peak_loss", float, "loss at the peak; NaN while there is none", NAN),
    ("peak_step", int, "step of the peak; 0 while there is none", 0),
    ("weight", float, "weight of the readings seen, in the averages", 1.0),
    ("mean_norm", float, "bias-corrected average of the norm", 0.0),
    ("mean_loss", float, "bias-corrected average of the loss", 0.0),
)
LAST: tuple[Field, ...] = (
    ("loss", float, "the last loss as the rule saw it", NAN),
    ("norm", float, "the last norm as the rule saw it", NAN),
    ("answer", int, "what came of the last reading: UNREAD to FOR", 0),
)
FIELDS = SETTINGS + MEMORY + LAST
"""All scalars of a detector, those of its rule apart."""

UNREAD, NOT_FINITE, WARMING, READ, AGAINST, FOR = range(6)
"""What came of a reading: there is none; it is not finite; the averages rest on too few readings; it is ready
for the rule; the rule sees no evidence in it; it sees some."""


class State:
    """The scalars of `FIELDS` for plain Python."""

    __slots__ = tuple(field[0] for field in FIELDS)

    def __init__(self) -> None:
        for name, _, _, initial in FIELDS:
            setattr(self, name, initial)


def admit(state: Any, loss: float, norm: float) -> int:
    """Count a reading, take it into averages and peak; NOT_FINITE, WARMING or READ.

    Afterwards ``state.loss`` and ``state.norm`` are the reading as the rule is to see it.
    """
    state.step += 1
    state.since += 1
    if not (0.0 <= norm < INF and -INF < loss < INF):
        state.loss = loss
        state.norm = norm
        state.answer = NOT_FINITE
        return NOT_FINITE
    state.finite += 1
    keep = state.smoothing
    if keep != 0.0:
        weight = keep * state.weight + (1.0 - keep)
        share = (1.0 - keep) / weight
        # As a move towards the reading: no sum of huge numbers can overflow, no division by a tiny weight.
        mean = state.mean_norm
        norm = mean + share * (norm - mean)
        loss = (1.0 - share) * state.mean_loss + share * loss
        state.weight = weight
        state.mean_norm = norm
        state.mean_loss = loss
    state.loss = loss
    state.norm = norm
    if state.weight < 0.5:
        state.answer = WARMING
        return WARMING
    if norm > state.peak:
        state.peak = norm
        state.peak_loss = loss
        state.peak_step = state.step
    return READ


def conclude(state: Any, holds: bool, patient: bool) -> bool:
    """Take the rule's answer, and say whether it is time to swap.

    Patience and the minimum of steps apply to a ``patient`` rule only (not to a fixed step).
    """
    if not holds:
        state.answer = AGAINST
        state.streak = 0
        return False
    state.answer = FOR
    if not patient:
        return True
    state.streak += 1
    ready: bool = state.streak >= state.patience and state.finite >= state.min_steps
    return ready


def forget(state: Any) -> None:
    """Forget peak, averages and evidence; the count of steps goes on."""
    state.since = 0
    state.finite = 0
    state.streak = 0
    state.peak = 0.0
    state.peak_loss = NAN
    state.peak_step = 0
    state.weight = 0.0 if state.smoothing != 0.0 else 1.0
    state.mean_norm = 0.0
    state.mean_loss = 0.0
    state.loss = NAN
    state.norm = NAN
    state.answer = UNREAD
