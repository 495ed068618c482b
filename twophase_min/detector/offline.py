"""Where a recorded run would have swapped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .detector import make_detector
from .registry import DEFAULT_RULE
from .state import NAN


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
        return SwapReport(False, None, NAN, NAN, peak, peak_index, name, "no swap: there are no readings")
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


def _column(name: str, values: Any, size: int | None = None) -> np.ndarray:
    column = np.atleast_1d(np.asarray(values, dtype=np.float64))
    if column.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, got shape {column.shape}")
    if size is not None and column.size != size:
        raise ValueError(f"losses has {size} entries, {name} has {column.size}")
    return column
