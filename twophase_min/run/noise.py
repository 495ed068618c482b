"""The noise of the objective's values, measured where it matters.

Values of f carry an error: rounding of large sums, an inner tolerance, single precision behind a float64 x.
What counts as a decrease, as converged, as a failed search, depends on its size. It is measured where a
decision hangs on it (a gradient passes the test at a point that is not the lowest, or a search finds no
decrease), and kept in ``loop.measured``; until then a value counts as exact up to ``loop.rounding`` times
its size.

Measured is the standard deviation of the error in six values on both sides of a point x along a direction u,

    f(x + k h u),   k = -3, ..., 3,   f(x) being known,

by differences of high order, which a smooth function does not have and noise does (Hamming; More & Wild,
"Estimating computational noise", SIAM J. Sci. Comput. 33, 2011). With T_k the differences of order k,

    sigma_k^2 = (k!)^2 / (2k)!  mean(T_k^2)

estimates the variance for every k from which on smoothness no longer shows. A jump or a kink at x looks
like noise in differences across it: the noise must show on either side alone. Where the values hardly
differ h was too short (single precision does not see it), and where the estimates of successive orders do
not agree it was too long: it is changed by a factor of 16, or to the middle between a length that was too
short and one that was too long. Where the first value, at one end, equals f(x), that at the other end comes
next: if it is the same too, h is too short without the others, so that values of few digits are followed far
enough to see them differ. A distance is too long as well where the values on the two sides of x mirror each
other, as noise does not: f has a spike there, as a likelihood has where a standard deviation nearly vanishes.
Within bounds u is taken without the variables that would leave them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twophase_min.jit.compilation import jit, prepare, register
from twophase_min.jit.kernels import norm_inf

Array = NDArray[np.floating]

POINTS, MIDDLE = 7, 3
"""Values in a measurement, and the place of the one at x."""
BUDGET = 30
"""Values that a measurement may cost."""
FEW = 2.0**-8
"""Share of f, unless f(x) is zero, that the error of a value may be where values were equal over shorter
distances: two digits and more. On a far plateau f itself looks like a larger one. (With 2^-4 to 2^-12, 480
fits of peaks and decays, from far starts, end at the same places; without it 6 more end on a plateau.)"""
CHANGE = 16.0
"""Factor by which the distance changes."""
FIRST = 2.0**-26
"""First distance, relative to x: about the root of the rounding unit."""
AGREE = 4.0
"""Ratio up to which two estimates of the noise agree."""
SPIKE = 16.0
"""Ratio of the noise to what of it differs on the two sides of x, beyond which f has a spike there."""
ROUNDINGS, DEEP = 2.0**-46, 2.0**-6
"""Share of the values below which what differs is their rounding, and of the depth of a spike that looks like
noise: values that are multiples of a number mirror each other exactly, but about a parabola.
"""

FOUND, TOO_SHORT, TOO_LONG, MIRRORED = 0, 1, 2, 3
"""What `estimate` says of the distance; MIRRORED: the same values on both sides of x, to rounding."""

_inner = jit(no_cpython_wrapper=True)


@_inner
def _order(values, work, first, count, order):
    """Return sigma of one order over so many values from the first, and whether the signs change."""
    for i in range(count):
        work[i] = values[first + i]
    weight = 1.0
    for k in range(1, order + 1):
        weight *= k / (2.0 * (2.0 * k - 1.0))  # (k!)^2 / (2k)! from that of k - 1
        for i in range(count - k):
            work[i] = work[i + 1] - work[i]
    largest = 0.0
    for i in range(count - order):
        largest = max(largest, abs(work[i]))
    if not 0.0 < largest < math.inf:
        return 0.0
    square = 0.0
    for i in range(count - order):  # scaled, for squares of tiny or huge numbers to be numbers
        square += (work[i] / largest) ** 2
    return largest * math.sqrt(weight * square / (count - order))


@jit
def estimate(values, work):
    """Estimate the standard deviation of the error of seven values.

    Parameters
    ----------
    values : ndarray of float64, shape (7,)
        f at equal distances along a line, finite.
    work : ndarray of float64, shape (7,)
        Scratch.

    Returns
    -------
    sigma : float
        Unit f; it means something where the distance was right.
    verdict : int
        FOUND, or TOO_SHORT, TOO_LONG or MIRRORED for the distance.
    """
    equal = 0
    for i in range(POINTS - 1):
        equal += 1 if values[i] == values[i + 1] else 0
    if 2 * equal >= POINTS - 1:
        return 0.0, TOO_SHORT
    third, fourth, fifth = (
        _order(values, work, 0, POINTS, 3), _order(values, work, 0, POINTS, 4), _order(values, work, 0,
        POINTS, 5)
    )  # fmt: skip
    low, high = min(third, fourth, fifth), max(third, fourth, fifth)
    left, right = _order(values, work, 0, 4, 2), _order(values, work, 3, 4, 2)
    sides = min(left, right)
    if high > AGREE * low:
        return min(sides, low), TOO_LONG
    # A kink shows on neither side alone, a jump on one at most; rounding to few digits may look like
    # either, but not at another distance.
    if fourth > AGREE * AGREE * sides:
        return sides, TOO_SHORT
    one, two, three = values[4] - values[2], values[5] - values[1], values[6] - values[0]
    odd = max(abs(two - 2.0 * one), abs(three - 2.0 * two + one))
    size = max(abs(values[0]), abs(values[MIDDLE]), abs(values[6]))
    depth = max(values[0], values[6]) - values[MIDDLE]
    if fourth > SPIKE * odd and (odd > ROUNDINGS * size or fourth > DEEP * depth > 0.0):
        return odd, TOO_LONG if odd > ROUNDINGS * size else MIRRORED
    return fourth, FOUND


@jit
def first_distance(x, u):
    """Distance along u by which what it changes moves by `FIRST` of itself; 0 without a direction."""
    reach = norm_inf(u)
    if not 0.0 < reach < math.inf:
        return 0.0
    size = 0.0
    square = 0.0
    for i in range(x.size):
        size += abs(x[i]) * abs(u[i] / reach)
        square += (u[i] / reach) ** 2
    if not size < math.inf:
        return 0.0
    return FIRST * (size / square if size > 0.0 else 1.0) / reach


@jit
def place(turn, tied):
    """Return where on the line the value of this turn (0 to 5) is; ``tied``: the first equals f(x)."""
    if tied and turn == 1:
        return POINTS - 1
    k = turn - 1 if tied and turn > 1 else turn
    return k if k < MIDDLE else k + 1


@jit
def next_distance(h, verdict, low, high):
    """Return the distance after h, and the largest that was too short and the least that was too long so far.

    Parameters
    ----------
    h : float
        Distance of this measurement.
    verdict : int
        TOO_LONG, or else h was too short. FOUND counts as that where shorter distances were, and no error
        shows: as many last digits lie between each value and the next. MIRRORED counts as too short where
        shorter distances were (few digits about a minimum), else as too long (a spike).
    low, high : float
        What earlier verdicts have left; 0 and infinity before the first.
    """
    long = verdict == TOO_LONG or (verdict == MIRRORED and low == 0.0)
    if long:
        high = h
    else:
        low = h
    if low > 0.0 and high < math.inf:
        return math.sqrt(low) * math.sqrt(high), low, high
    return (h / CHANGE if long else h * CHANGE), low, high


@jit
def is_vain(low, f, need):
    """Whether no deviation of ``need`` can be found: values are equal over the distance ``low`` (`FEW`)."""
    return low > 0.0 and f != 0.0 and need > FEW * abs(f)


@functools.cache
def _ready() -> tuple[Any, ...]:
    kernels = (
        (estimate, _EXAMPLE),
        (first_distance, _EXAMPLE),
        (place, _PLACE),
        (next_distance, _DISTANCES),
        (is_vain, _VAIN),
    )
    return tuple(prepare(kernel, *example) for kernel, example in kernels)


@jit
def within_bounds(x, u, h, lower, upper, out):
    """Write u into ``out`` without the variables that ``x + k h u`` would carry over a limit; if any is left.

    Parameters
    ----------
    x, u, lower, upper, out : ndarray, shape (n,)
        Point, direction and limits; ``out`` is written.
    h : float
        Distance along u from one point of a measurement to the next.
    """
    left = False
    for i in range(x.size):
        far = MIDDLE * h * abs(u[i])
        inside = x[i] - far >= lower[i] and x[i] + far <= upper[i]
        out[i] = u[i] if inside else 0.0
        left = left or out[i] != 0.0
    return left


def measure(
    value: Callable[[Array], float],
    x: Array,
    f: float,
    u: Array,
    box: tuple[Array, Array] | None = None,
    need: float = 0.0,
) -> float:
    """Measure the standard deviation of the error of f at x.

    Parameters
    ----------
    value : callable
        ``value(x) -> float``, called up to 30 times.
    x, u : ndarray, shape (n,)
        Point, and a direction.
    f : float
        Value at x.
    box : tuple of ndarray, optional
        Lower and upper limits, shape (n,) each, which no point passes.
    need : float, optional
        Deviation below which the answer does not matter, unit f. By default each does.

    Returns
    -------
    float
        Unit f; 0 where no noise shows, a value is not finite, or none of ``need`` can be found.
    """
    ready, distance, at, following, vain = _ready()
    x, u = np.ascontiguousarray(x, dtype=float), np.ascontiguousarray(u, dtype=float)
    h, low, high = distance(x, u), 0.0, math.inf
    if h == 0.0:
        return 0.0
    values, work = np.full(POINTS, f), np.empty(POINTS)
    along, given = np.empty(x.size), u
    limits = [np.asarray(limit, dtype=float) for limit in box or ()]
    spent = 0
    while spent + POINTS - 1 <= BUDGET and not vain(low, f, need):
        if box is not None:
            if not within_bounds(x, given, h, *limits, along):
                return 0.0
            u = along
        tied, sigma, verdict = False, 0.0, TOO_SHORT
        for turn in range(POINTS - 1):
            k = at(turn, tied)
            values[k] = value(x + (k - MIDDLE) * h * u)
            spent += 1
            if not math.isfinite(values[k]):
                return 0.0
            if turn == 0:
                tied = values[k] == f
            elif turn == 1 and tied and values[k] == f:
                break
        else:
            sigma, verdict = ready(values, work)
        if verdict == FOUND and low > 0.0 and f != 0.0 and sigma > FEW * abs(f):
            return 0.0
        if verdict == FOUND and (sigma > 0.0 or low == 0.0):
            return float(sigma)
        h, low, high = following(h, verdict, low, high)
    return 0.0


_EXAMPLE = np.zeros(POINTS), np.zeros(POINTS)
_DISTANCES = 1.0, TOO_SHORT, 0.0, math.inf
_PLACE = 0, False
_VAIN = 0.0, 0.0, 0.0

register(estimate, lambda kind: _EXAMPLE)
register(first_distance, lambda kind: _EXAMPLE)
register(place, lambda kind: _PLACE)
register(next_distance, lambda kind: _DISTANCES)
register(is_vain, lambda kind: _VAIN)
register(within_bounds, lambda kind: (*_EXAMPLE, 0.0, *[np.zeros(POINTS)] * 3))
