"""The detector as a Numba kernel, for loops that never touch Python: the same state, the same decisions.

`pack` turns a `ConvexitySwapDetector` into flat arrays, `update` advances them by one reading in tens of
nanoseconds, and `unpack` writes them back, after which the detector goes on (and explains itself) as if it
had seen every reading. Decisions and states are equal bit for bit to those of `detector.py`.

Rules that need no Python are compiled: 'norm-peak', 'norm-against-loss', a fixed step, 'never' and 'always'.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from twophase_min.detector import (
    AlwaysRule,
    ConvexitySwapDetector,
    FixedStepRule,
    NeverRule,
    NormAgainstLossRule,
    NormPeakRule,
)
from twophase_min.jit.compilation import jit

# Kinds of rules.
_NEVER, _ALWAYS, _FIXED, _PEAK, _AGAINST = range(5)
# Places in `options`; the last two mean what the kind wants: (factor, -), (at, -), (window, threshold).
_KIND, _SMOOTHING, _PATIENCE, _MIN_STEPS, _FIRST, _SECOND = range(6)
# Places in `floats`.
PEAK, PEAK_LOSS, _WEIGHT, _MEAN_NORM, _MEAN_LOSS, _RULE_PEAK, LEVEL_LOSS, LEVEL_NORM = range(8)
# Places in `counts`.
STEP, _SINCE, _FINITE, _STREAK, PEAK_STEP, _SCORE, _FILLED, _NEXT = range(8)


class DetectorState(NamedTuple):
    """A detector as arrays.

    Attributes
    ----------
    options : ndarray of float64, shape (6,)
        Kind of rule and its settings; never written.
    floats : ndarray of float64, shape (8,)
        Peak, the loss there (NaN without one), averages, and the last reading as the rule saw it.
    counts : ndarray of int64, shape (8,)
        Steps, evidence, and the place in the ring.
    ring : ndarray of float64, shape (2, window)
        The last losses and norms of a rule that looks back, else of width 0.
    """

    options: np.ndarray
    floats: np.ndarray
    counts: np.ndarray
    ring: np.ndarray


def can_pack(detector: ConvexitySwapDetector) -> bool:
    """Whether the detector's rule is one of the compiled ones (exactly: a subclass is not)."""
    return type(detector.rule) in (NeverRule, AlwaysRule, FixedStepRule, NormPeakRule, NormAgainstLossRule)


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
    kind, first, second, rule_peak, score = _NEVER, 0.0, 0.0, 0.0, 0
    ring, filled = np.zeros((2, 0)), 0
    if not can_pack(detector):
        raise TypeError(f"the rule {rule.name!r} is not compiled: use the detector itself")
    if isinstance(rule, AlwaysRule):
        kind = _ALWAYS
    elif isinstance(rule, FixedStepRule):
        kind, first = _FIXED, float(rule.at)
    elif isinstance(rule, NormPeakRule):
        kind, first, rule_peak = _PEAK, rule.factor, rule.peak
    elif isinstance(rule, NormAgainstLossRule):
        kind, first, second, score = _AGAINST, float(rule.window), rule.threshold, rule.score
        ring, filled = np.zeros((2, rule.window)), len(rule._losses)
        ring[0, :filled], ring[1, :filled] = rule._losses, rule._norms
    smoothing, patience, least = detector.smoothing, float(detector.patience), float(detector.min_steps)
    peak_loss = np.nan if detector._peak_loss is None else detector._peak_loss
    nan = np.nan
    floats = (detector._peak, peak_loss, detector._weight, detector._mean_norm, detector._mean_loss)
    counts = (detector._step, detector._since, detector._finite, detector._streak, detector._peak_step)
    return DetectorState(
        np.array([kind, smoothing, patience, least, first, second]),
        np.array([*floats, rule_peak, nan, nan]),
        np.array([*counts, score, filled, filled % max(ring.shape[1], 1)], dtype=np.int64),
        ring,
    )


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
    floats, counts = state.floats.tolist(), state.counts.tolist()
    detector._step, detector._since, detector._finite = counts[STEP], counts[_SINCE], counts[_FINITE]
    detector._streak, detector._peak_step = counts[_STREAK], counts[PEAK_STEP]
    detector._peak, detector._weight = floats[PEAK], floats[_WEIGHT]
    detector._peak_loss = None if counts[PEAK_STEP] == 0 else floats[PEAK_LOSS]
    detector._mean_norm, detector._mean_loss = floats[_MEAN_NORM], floats[_MEAN_LOSS]
    rule = detector.rule
    if isinstance(rule, NormPeakRule):
        rule.peak = floats[_RULE_PEAK]
    elif isinstance(rule, NormAgainstLossRule):
        filled, start = counts[_FILLED], counts[_NEXT]
        ring = state.ring[:, :filled] if filled < rule.window else np.roll(state.ring, -start, axis=1)
        rule._losses, rule._norms, rule.score = ring[0].tolist(), ring[1].tolist(), counts[_SCORE]
    return detector


@jit
def _concordance(ring, skip, filled, loss, norm):
    """Concordant minus discordant pairs of one reading with the ring's, the one at `skip` left out."""
    score = 0
    for i in range(filled):
        if i != skip:
            loss_sign = int(loss > ring[0, i]) - int(loss < ring[0, i])
            norm_sign = int(norm > ring[1, i]) - int(norm < ring[1, i])
            score += loss_sign * norm_sign
    return score


@jit
def _against_loss(options, counts, ring, loss, norm):
    """One reading of the rule 'norm-against-loss' (`detector.NormAgainstLossRule.read`)."""
    window = ring.shape[1]
    place = counts[_NEXT]
    if counts[_FILLED] == window:
        counts[_SCORE] -= _concordance(ring, place, window, ring[0, place], ring[1, place])
    else:
        counts[_FILLED] += 1
    counts[_SCORE] += _concordance(ring, place, counts[_FILLED], loss, norm)
    ring[0, place] = loss
    ring[1, place] = norm
    counts[_NEXT] = (place + 1) % window
    return counts[_FILLED] == window and counts[_SCORE] > options[_SECOND]


@jit
def update(options, floats, counts, ring, loss, norm):
    """Take one reading; `detector.ConvexitySwapDetector.update` without its words.

    Parameters
    ----------
    options, floats, counts, ring : ndarray
        The fields of a `DetectorState`; all but `options` are written to.
    loss, norm : float
        The reading, finite or not.

    Returns
    -------
    bool
        Whether to swap now.
    """
    kind = options[_KIND]
    counts[STEP] += 1
    counts[_SINCE] += 1
    finite = 0.0 <= norm < np.inf and -np.inf < loss < np.inf
    if finite:
        counts[_FINITE] += 1
        keep = options[_SMOOTHING]
        if keep != 0.0:
            weight = keep * floats[_WEIGHT] + (1.0 - keep)
            share = (1.0 - keep) / weight
            floats[_WEIGHT] = weight
            floats[_MEAN_NORM] += share * (norm - floats[_MEAN_NORM])
            floats[_MEAN_LOSS] = (1.0 - share) * floats[_MEAN_LOSS] + share * loss
            norm = floats[_MEAN_NORM]
            loss = floats[_MEAN_LOSS]
        if floats[_WEIGHT] >= 0.5 and norm > floats[PEAK]:
            floats[PEAK] = norm
            floats[PEAK_LOSS] = loss
            counts[PEAK_STEP] = counts[STEP]
    floats[LEVEL_LOSS] = loss
    floats[LEVEL_NORM] = norm

    if kind == _ALWAYS:
        return True
    if kind == _FIXED:
        if counts[_SINCE] < options[_FIRST]:
            counts[_STREAK] = 0
            return False
        return True
    if not finite or floats[_WEIGHT] < 0.5:
        return False
    holds = False
    if kind == _PEAK:
        if norm >= floats[_RULE_PEAK]:
            floats[_RULE_PEAK] = norm
        else:
            holds = norm <= options[_FIRST] * floats[_RULE_PEAK]
    elif kind == _AGAINST:
        holds = _against_loss(options, counts, ring, loss, norm)
    if not holds:
        counts[_STREAK] = 0
        return False
    counts[_STREAK] += 1
    return counts[_STREAK] >= options[_PATIENCE] and counts[_FINITE] >= options[_MIN_STEPS]


@jit
def scan(options, floats, counts, ring, losses, norms):
    """Read arrays until the first swap.

    Parameters
    ----------
    options, floats, counts, ring : ndarray
        The fields of a `DetectorState`; all but `options` are written to.
    losses, norms : ndarray of float64, shape (n,)
        The readings.

    Returns
    -------
    int
        Index of the swap, or -1.
    """
    for i in range(losses.size):
        if update(options, floats, counts, ring, losses[i], norms[i]):
            return i
    return -1


@jit
def rearm(options, floats, counts):
    """Forget all evidence after a roll-back, as `ConvexitySwapDetector.rearm` does; the steps go on."""
    for i in (_SINCE, _FINITE, _STREAK, PEAK_STEP, _SCORE, _FILLED, _NEXT):
        counts[i] = 0
    for i in (PEAK, _MEAN_NORM, _MEAN_LOSS, _RULE_PEAK):
        floats[i] = 0.0
    floats[PEAK_LOSS] = np.nan
    floats[_WEIGHT] = 0.0 if options[_SMOOTHING] != 0.0 else 1.0
