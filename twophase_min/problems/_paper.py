"""The two analytic examples of the paper, and the landscape of a one-parameter loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from twophase_min.problems._problem import Array, Problem, check_n

Curve = Callable[[Array], tuple[Array, Array, Array]]

_PAPER = (
    "Hrycej, Bermeitinger, Pavone, Wiegand & Handschuh (2025), A Convexity-dependent Two-Phase Training "
    "Algorithm for Deep Neural Networks, KDIR 2025, arXiv:2510.25366"
)


class Landscape(NamedTuple):
    """What a one-parameter loss looks like: see :func:`landscape`."""

    convex_regions: Array
    """Shape (k, 2): the intervals where the second derivative is positive."""
    minima: Array
    """Shape (m,): the local minima."""
    minima_values: Array
    """Shape (m,): the loss at each of them."""


def _bisect(sign: Callable[[float], float], low: float, high: float) -> float:
    """Bisect a sign change down to neighbouring doubles."""
    at_low = sign(low)
    while True:
        mid = 0.5 * (low + high)
        if not low < mid < high:
            return mid if low <= mid <= high else low
        at_mid = sign(mid)
        if at_mid == 0.0:
            return mid
        if (at_mid > 0.0) == (at_low > 0.0):
            low = mid
        else:
            high = mid


def _changes(values: Array) -> list[tuple[int, int]]:
    """Neighbouring indices of non-zero values of opposite sign, exact zeros between them skipped."""
    index = np.flatnonzero(values)
    turn = np.flatnonzero(np.diff(np.sign(values[index])))
    return [(int(index[i]), int(index[i + 1])) for i in turn]


def landscape(curve: Curve, lower: float, upper: float, points: int = 2001) -> Landscape:
    """Find the regions of convexity and the local minima of a one-parameter loss on an interval.

    The signs of the first and second derivative on an even grid are refined by bisection. What is narrower
    than one cell of the grid can be missed. A zero of the derivative without a change of sign is no minimum.

    Parameters
    ----------
    curve : callable
        ``curve(p) -> (L, L', L'')``, each of the shape of ``p``; ``partial(paper_example_2_curve, C=...,
        r=...)``.
    lower, upper : float
        The interval.
    points : int, default: 2001
        Size of the grid.

    Returns
    -------
    Landscape
        Regions are cut at the ends of the interval; minima at its very ends are not counted.

    Raises
    ------
    ValueError
        If lower is not below upper or there are fewer than 3 points.
    """
    if not lower < upper or points < 3:
        raise ValueError("landscape needs lower < upper and at least 3 points")
    grid = np.linspace(lower, upper, points)
    _, slope, curvature = curve(grid)

    def at(order: int) -> Callable[[float], float]:
        return lambda p: float(curve(np.array([p]))[order][0])

    minima = [_bisect(at(1), grid[i], grid[j]) for i, j in _changes(slope) if slope[i] < 0.0]
    edges = [_bisect(at(2), grid[i], grid[j]) for i, j in _changes(curvature)]
    nonzero = curvature[np.flatnonzero(curvature)]
    if nonzero.size and nonzero[0] > 0.0:
        edges.insert(0, lower)
    if len(edges) % 2:
        edges.append(upper)
    found = np.array(minima)
    values = curve(found)[0] if minima else np.empty(0)
    return Landscape(np.array(edges).reshape(-1, 2), found, values)


def paper_example_1_curve(p: ArrayLike, x: Array, r: float) -> tuple[Array, Array, Array]:
    """Loss of the paper's first example with its first and second derivative, over any array of p.

    ``y = sum tanh(p x_i)``, ``y' = sum x_i (1 - tanh^2)``, ``y'' = -2 sum x_i^2 tanh (1 - tanh^2)``, and with
    ``d = y - r``: ``L = d^2``, ``L' = 2 d y'``, ``L'' = 2 y'^2 + 2 d y''``.

    Parameters
    ----------
    p : array_like
        The parameter, any shape.
    x : ndarray, shape (units,)
        The inputs.
    r : float
        The reference value.

    Returns
    -------
    tuple of three ndarrays of the shape of p
    """
    p = np.asarray(p, dtype=np.float64)
    y, y1, y2 = _example_1_output(p, x)
    d = y - r
    return d * d, 2.0 * d * y1, 2.0 * y1 * y1 + 2.0 * d * y2


def _example_1_output(p: Array, x: Array) -> tuple[Array, Array, Array]:
    t = np.tanh(p[..., None] * x)
    s = x * (1.0 - t * t)
    return np.sum(t, axis=-1), np.sum(s, axis=-1), -2.0 * np.sum(x * t * s, axis=-1)


def _example_1(p: Any, xp: Any = np, *, x: Array, r: float) -> Any:
    return (xp.sum(xp.tanh(p[0] * x)) - r) ** 2


def _example_1_grad(p: Array, *, x: Array, r: float) -> Array:
    return paper_example_1_curve(p, x, r)[1]


def _example_1_hess(p: Array, *, x: Array, r: float) -> Array:
    return paper_example_1_curve(p, x, r)[2][:, None]


def paper_example_1(seed: int = 0, units: int = 100) -> Problem:
    """First analytic example of the paper: one parameter, y(p) = sum tanh(p x_i), L = (y - r)^2.

    One random task is one r, uniform in (0, 1), and one vector of 100 inputs x, uniform in (-0.5, 0.5);
    the parameter p is shared by all units. (Reading: "the loss" is the square for that one task, not a
    mean over tasks.) L is convex around a minimum, non-convex outside, and ``|dL/dp|`` against L first grows
    and then shrinks.

    Where y(p) = r has a solution, ``x_min`` is the one next to 0 (by bisection, to rounding),
    ``more_minima`` holds the others seen on a geometric grid of p from 1e-4 to 1e5 in both directions, and
    ``f_min`` is 0. Where no sign change of y - r is found, both are None: the infimum then lies at a
    turning point of y or at infinity. y need not be monotone, so other stationary points may exist. The
    start lies on a random side of ``x_min``, outside its region of convexity, at the first point beyond it
    where ``|L'|`` has fallen to half of its peak: between the start and ``x_min`` L is strictly monotone.
    (Without ``x_min`` it is p = 1.)

    Parameters
    ----------
    seed : int, default: 0
        Seed of the task.
    units : int, default: 100
        Number of inputs.

    Returns
    -------
    Problem
        ``problem.fun.keywords`` holds ``x`` and ``r``, the arguments of :func:`paper_example_1_curve`.

    References
    ----------
    Hrycej et al. (2025), arXiv:2510.25366.
    """
    check_n(units, 1)
    rng = np.random.default_rng(seed)
    r, x = float(rng.uniform(0.0, 1.0)), rng.uniform(-0.5, 0.5, units)
    side = float(rng.choice([-1.0, 1.0]))
    data: dict[str, Any] = {"x": x, "r": r}
    positive = np.geomspace(1e-4, 1e5, 1801)
    grid = np.concatenate([-positive[::-1], [0.0], positive])

    def miss(p: float) -> float:
        return float(np.sum(np.tanh(p * x))) - r

    residual = _example_1_output(grid, x)[0] - r
    roots = sorted((_bisect(miss, grid[i], grid[j]) for i, j in _changes(residual)), key=abs)
    x0 = _half_peak(partial(paper_example_1_curve, **data), roots[0], side) if roots else 1.0
    return Problem(
        f"paper_example_1(seed={seed}, units={units})",
        partial(_example_1, **data),
        partial(_example_1_grad, **data),
        np.array([x0]),
        np.array(roots[:1]) if roots else None,
        0.0 if roots else None,
        f"example 1 of {_PAPER}",
        partial(_example_1_hess, **data),
        more_minima=np.array(roots[1:])[:, None] if roots[1:] else None,
    )


def _half_peak(curve: Curve, root: float, side: float) -> float:
    """First point from a minimum outwards where |L'| is half of its first peak; L is monotone up to there."""
    # From the width at which L would be 1 if its curvature stayed, small against any inflection.
    width = 1.0 / math.sqrt(float(curve(np.array([root]))[2][0]) or 1.0)
    path = root + side * width * np.geomspace(1e-4, 1e6, 4001)
    slope = np.abs(curve(path)[1])
    peak = int(np.argmax(slope[1:] < slope[:-1]))
    below = np.flatnonzero(slope[peak:] < 0.5 * slope[peak])
    return float(path[peak + below[0]])


def paper_example_2_curve(x: ArrayLike, C: float, r: float) -> tuple[Array, Array, Array]:
    """Loss of the paper's second example with its first and second derivative, over any array of x.

    With ``h = tanh(x)``: ``y = tanh(h) - C tanh(2 h)``, ``L = (y - r)^2``; derivatives by the chain rule.

    Parameters
    ----------
    x : array_like
        The parameter, any shape.
    C : float
        Weight of the second unit.
    r : float
        The reference value.

    Returns
    -------
    tuple of three ndarrays of the shape of x
    """
    h = np.tanh(np.asarray(x, dtype=np.float64))
    a, b = np.tanh(h), np.tanh(2.0 * h)
    sa, sb, sh = 1.0 - a * a, 1.0 - b * b, 1.0 - h * h
    first, second = sa - 2.0 * C * sb, -2.0 * a * sa + 8.0 * C * b * sb
    d = a - C * b - r
    y1 = first * sh
    y2 = second * sh * sh - 2.0 * first * h * sh
    return d * d, 2.0 * d * y1, 2.0 * y1 * y1 + 2.0 * d * y2


def _example_2(x: Any, xp: Any = np, *, C: float, r: float) -> Any:
    h = xp.tanh(x[0])
    return (xp.tanh(h) - C * xp.tanh(2.0 * h) - r) ** 2


def _example_2_grad(x: Array, *, C: float, r: float) -> Array:
    return paper_example_2_curve(x, C, r)[1]


def _example_2_hess(x: Array, *, C: float, r: float) -> Array:
    return paper_example_2_curve(x, C, r)[2][:, None]


def paper_example_2(C: float = 0.40, r: float = 0.1, x0: float = -1.5) -> Problem:
    """Second analytic example of the paper: h = tanh(x), y = tanh(h) + C tanh(-2h), L = (y - r)^2.

    Reading: the one parameter is x itself, the first-layer weight of a unit whose input is 1 (any other
    input only stretches the axis), and C is fixed. r is not given there; all of the paper's statements
    hold together for 0.044 < r < 0.151, hence the default 0.1:

    - C = 0.40: one region of convexity, around the minimum.
    - C = 0.45 and 0.50: a further convex pocket on the left slope, without a minimum (at C = 0.50 the
      slope is 0 at x = 0, without a change of sign).
    - C = 0.55 and 0.60: y is no longer monotone, and its turning point on the left is a further local
      minimum.

    ``x_min`` is the solution of y(x) = r next to 0, ``more_minima`` holds the others, ``f_min`` is 0; all
    None where r is out of y's range.

    Parameters
    ----------
    C : float, default: 0.40
        Weight of the second unit.
    r : float, default: 0.1
        The reference value.
    x0 : float, default: -1.5
        The start, on the left slope.

    Returns
    -------
    Problem
        ``unimodal`` is set where 0 <= C < 1/2 (y is strictly monotone) and y(x) = r has a solution.

    References
    ----------
    Hrycej et al. (2025), arXiv:2510.25366.
    """
    data: dict[str, Any] = {"C": C, "r": r}

    def miss(h: float) -> float:
        return math.tanh(h) - C * math.tanh(2.0 * h) - r

    # In h the whole line is (-1, 1), so that no solution hides beyond the end of the grid.
    grid = np.linspace(-1.0, 1.0, 4001)
    residual = np.tanh(grid) - C * np.tanh(2.0 * grid) - r
    solutions = [_bisect(miss, grid[i], grid[j]) for i, j in _changes(residual)]
    roots = sorted((math.atanh(h) for h in solutions if abs(h) < 1.0), key=abs)
    return Problem(
        f"paper_example_2(C={C!r}, r={r!r}, x0={x0!r})",
        partial(_example_2, **data),
        partial(_example_2_grad, **data),
        np.array([x0]),
        np.array(roots[:1]) if roots else None,
        0.0 if roots else None,
        f"example 2 of {_PAPER}",
        partial(_example_2_hess, **data),
        more_minima=np.array(roots[1:])[:, None] if roots[1:] else None,
        unimodal=bool(roots) and 0.0 <= C < 0.5,
    )
