"""Gradients by finite differences, in domains with edges too.

Beyond the edge of its domain a function is infinite or NaN. Each entry takes a side on which the values are
finite: forward, backward, then the same with shorter steps. All entries that are still open go out in one
batch, so that a run over workers asks for the same values as a serial one.

Within bounds the steps stay inside: forwards or backwards as there is room, and shorter where there is none.
A point beyond a bound is not asked for; it counts as one beyond the edge of the domain.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twophase_min.objective.bounds import Box
from twophase_min.objective.gradient import EPS, EXTRAPOLATED, difference_steps

Array = NDArray[np.floating]
Evaluate = Callable[[Iterable[Array], int], list[Any]]

SHORTER = (1e-2, 1e-4)
"""Shares of the step that are tried where f is finite on neither side; rounding spoils shorter ones."""
PASSED = 1e-3
"""Share of a step by which rounding may carry its end beyond a limit, where the limit itself was meant."""


def gradient_by_differences(
    evaluate: Evaluate,
    x: Array,
    f: float,
    scheme: str,
    rel_step: Any = None,
    abs_step: Any = None,
    entries: NDArray[np.intp] | None = None,
    eps: float = EPS,
    box: Box | None = None,
    share: float = 1.0,
) -> tuple[Array, str]:
    """Gradient by finite differences.

    Parameters
    ----------
    evaluate : callable
        ``evaluate(points, count)``: the values in order (serially, or spread over workers).
    x : ndarray, shape (n,)
        Point.
    f : float
        Value at x.
    scheme : {'2-point', '3-point', 'extrapolated', 'cs'}
        Forward differences, central differences, these over h and h/2 with the error of second order
        eliminated (Richardson), or the complex step (for functions that accept complex x).
    rel_step, abs_step : optional
        See `gradient.difference_steps`.
    entries : ndarray of int, shape (k,), optional
        The entries to form; default all.
    eps : float, default that of float64
        Relative rounding error of the values, by which the steps are chosen.
    box : Box, optional
        No value outside is asked for. Of a variable that it fixes there is no difference: its entry is 0.
    share : float, default 1
        Multiple of the steps.

    Returns
    -------
    gradient : ndarray, shape (n,) or (k,)
        Entries are NaN where no difference of finite values could be formed.
    why : str
        A clause that names the first such variable, '' where there is none.

    Notes
    -----
    A central difference of which one side is not finite becomes the one-sided difference of second order
    over x, x + h/2 and x + h, or one of first order where the middle is not finite. A complex step that fails
    in every length gives way to a forward or backward difference. Where f itself is not finite, nothing
    beyond the first values is asked for.
    """
    if scheme == EXTRAPOLATED:
        central = functools.partial(
            gradient_by_differences, evaluate, x, f, "3-point", rel_step, abs_step, entries, eps, box
        )
        (wide, why), (narrow, _) = central(1.0), central(0.5)
        with np.errstate(invalid="ignore"):
            extrapolated = (4.0 * narrow - wide) / 3.0
        return np.where(np.isfinite(extrapolated), extrapolated, wide), why
    which = np.arange(x.size) if entries is None else entries
    if box is not None and box.fixed[which].any():
        free = ~box.fixed[which]
        some = np.zeros(which.size)
        some[free], why = gradient_by_differences(
            evaluate, x, f, scheme, rel_step, abs_step, which[free], eps, box, share
        )
        return some, why
    steps = difference_steps(x, scheme, rel_step, abs_step, eps)[which]
    if share != 1.0:
        steps = (x[which] + share * steps) - x[which]
    trials = _Trials(evaluate, x, f, scheme, which, None if scheme == "cs" else box)
    if trials.box is not None:
        steps = _inwards(steps, x[which], trials.box, which)
    g: Array
    if scheme == "3-point":
        ahead, behind = trials.values(steps), trials.values(-steps)
        with np.errstate(invalid="ignore", over="ignore"):
            g = (ahead - behind) / (2 * steps)
        if np.isfinite(f):
            _one_sided(trials, g, steps, ahead, behind)
    else:
        g = trials.slopes(steps)
    if np.all(np.isfinite(g)) or not np.isfinite(f):
        return g, ""
    _recover(trials, g, steps, box)
    bad = np.flatnonzero(~np.isfinite(g))
    if not bad.size:
        return g, ""
    g[bad] = np.nan
    i, step = int(which[bad[0]]), abs(float(steps[bad[0]]))
    near = f"{step * SHORTER[-1]:.1g} to {step:.1g} away"
    return g, f"fun is not finite on either side of x[{i}] = {x[i]:.10g}, {near}"


def refined_steps(
    evaluate: Evaluate, x: Array, f: float, scheme: str, steps: dict[str, Any], box: Box | None = None
) -> dict[str, Any]:
    """Lengths relative to x where those that SciPy chooses are seen to be too long.

    Below abs(x) = 1 SciPy's steps are as long as at 1: too long for a variable whose unit makes it small.
    Differences over h and over the shorter h' = eps^(1/3) abs(x), forward ones over eps^(1/2) abs(x), are
    both formed. The error that the rounding of f explains is below ``4 eps abs(f) / h'``; where they differ
    by more, h is the reason.

    Parameters
    ----------
    evaluate, x, f, scheme, box
        As for `gradient_by_differences`.
    steps : dict
        Its keywords ``rel_step``, ``abs_step`` and ``eps``; steps that the caller has chosen are kept.

    Returns
    -------
    dict
        ``steps``, or a copy with one length per variable as ``abs_step``.
    """
    eps = steps.get("eps", EPS)
    scheme = "3-point" if scheme == EXTRAPOLATED else scheme
    lengths = np.abs(difference_steps(x, scheme, eps=eps))
    short = max(eps, float(np.finfo(x.dtype).eps)) ** (1 / 3 if scheme == "3-point" else 1 / 2) * np.abs(x)
    some = np.flatnonzero((short > 0) & (short < 0.5 * lengths))
    if steps.get("rel_step") is not None or steps.get("abs_step") is not None or not some.size:
        return steps
    usual, shorter = (
        gradient_by_differences(evaluate, x, f, scheme, None, h, some, eps, box)[0]
        for h in (lengths, np.where(short > 0, short, lengths))
    )
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(usual - shorter) > 4 * eps * abs(f) / short[some]
    long = some[np.isfinite(shorter) & (apart | ~np.isfinite(usual))]
    if not long.size:
        return steps
    lengths[long] = short[long]
    return {**steps, "abs_step": lengths}


def coarser_steps(
    evaluate: Evaluate,
    x: Array,
    f: float,
    scheme: str,
    steps: dict[str, Any],
    eps: float,
    noise: float,
    box: Box | None = None,
) -> dict[str, Any]:
    """Longer steps, for values with this error, of the variables over which f bears them.

    Differences over the usual h and over the longer H are both formed. Where they differ by more than the
    error of the values explains, ``4 noise / h``, f bends more over H than h suffers from that error.

    Parameters
    ----------
    evaluate, x, f, scheme, box
        As for `gradient_by_differences`.
    steps : dict
        Its keywords, with neither ``rel_step`` nor ``abs_step``.
    eps : float
        What takes the place of the relative error of the values in ``steps``; larger.
    noise : float
        Error of a value, unit f.

    Returns
    -------
    dict
        ``steps`` where no variable bears a longer one; else a copy with ``eps``, or with one length per
        variable as ``abs_step`` where only some do.
    """
    coarse = {**steps, "eps": eps}
    usual, wide = (
        gradient_by_differences(evaluate, x, f, scheme, box=box, **each)[0] for each in (steps, coarse)
    )
    lengths = np.abs(difference_steps(x, scheme, **steps))
    with np.errstate(invalid="ignore", over="ignore"):
        kept = np.abs(usual - wide) > 4 * noise / lengths
    if not np.any(kept):
        return coarse
    if np.all(kept):
        return steps
    return {**coarse, "abs_step": np.where(kept, lengths, np.abs(difference_steps(x, scheme, eps=eps)))}


class _Trials:
    """Values at points that differ from x in one variable each."""

    def __init__(
        self,
        evaluate: Evaluate,
        x: Array,
        f: float,
        scheme: str,
        which: NDArray[np.intp],
        box: Box | None = None,
    ):
        self.evaluate, self.x, self.f, self.scheme, self.which = evaluate, x, f, scheme, which
        self.box = box

    def _points(self, steps: Array, places: NDArray[np.intp]) -> Iterable[Array]:
        for k, i in enumerate(self.which[places]):
            point = self.x.astype(complex) if self.scheme == "cs" else self.x.copy()
            point[i] += 1j * steps[k] if self.scheme == "cs" else steps[k]
            if self.box is not None:  # by which rounding may have passed a limit
                point[i] = min(max(point[i], self.box.lower[i]), self.box.upper[i])
            yield point

    def _ask(self, steps: Array, places: NDArray[np.intp] | None) -> list[Any]:
        places = np.arange(steps.size) if places is None else places
        if self.box is None:
            return self.evaluate(self._points(steps, places), places.size) if places.size else []
        which = self.which[places]
        ahead = self.x[which] + steps
        beyond = np.maximum(ahead - self.box.upper[which], self.box.lower[which] - ahead)
        inside = np.flatnonzero(beyond <= PASSED * np.abs(steps))
        answers: list[Any] = [np.nan] * places.size
        if inside.size:
            points = self._points(steps[inside], places[inside])
            for k, value in zip(inside, self.evaluate(points, inside.size), strict=True):
                answers[k] = value
        return answers

    def values(self, steps: Array, places: NDArray[np.intp] | None = None) -> Array:
        """Values at x_i + step, for the entries at these places; all by default."""
        return np.asarray(self._ask(steps, places), dtype=float)

    def slopes(self, steps: Array, places: NDArray[np.intp] | None = None) -> Array:
        """Differences against x, or the imaginary parts by the step."""
        found = self._ask(steps, places)
        with np.errstate(invalid="ignore", over="ignore"):
            if self.scheme == "cs":
                value = np.asarray(found, dtype=complex)  # of inf, a real number, the imaginary part is 0
                return np.where(np.isfinite(value), np.imag(value) / steps, np.nan)
            return (np.asarray(found, dtype=float) - self.f) / steps

    def exact(self, steps: Array, places: NDArray[np.intp]) -> Array:
        """Return the steps as x takes them; 0 where they vanish against it."""
        x = self.x[self.which[places]]
        return steps if self.scheme == "cs" else (x + steps) - x


def _inwards(steps: Array, x: Array, box: Box, which: NDArray[np.intp]) -> Array:
    """Turn or shorten steps that leave the box: to the other side, or to the limit that is further away."""
    up, down = box.upper[which] - x, x - box.lower[which]
    room = np.where(steps > 0, up, down)
    other = np.where(steps > 0, down, up)
    size = np.abs(steps)
    turned = np.where(size <= other, -steps, np.where(up >= down, up, -down))
    return np.where(size <= room, steps, turned)


def _one_sided(trials: _Trials, g: Array, steps: Array, ahead: Array, behind: Array) -> None:
    """Form the central differences of which one side is finite."""
    places = np.flatnonzero(np.isfinite(ahead) != np.isfinite(behind))
    if not places.size:
        return
    forward = np.isfinite(ahead[places])
    h = np.where(forward, steps[places], -steps[places])
    far = np.where(forward, ahead[places], behind[places])
    half = trials.exact(0.5 * h, places)
    middle = trials.values(half, places)
    with np.errstate(all="ignore"):
        first = (far - trials.f) / h
        second = ((middle - trials.f) / half * h - first * half) / (h - half)
    g[places] = np.where(np.isfinite(second), second, first)


def _recover(trials: _Trials, g: Array, steps: Array, box: Box | None) -> None:
    """Fill in the entries that are not finite."""
    sides = [-1.0] if trials.scheme != "3-point" else []
    for share in (*sides, *(sign * share for share in SHORTER for sign in (1.0, -1.0))):
        _fill(trials, g, share * steps)
    if trials.scheme == "cs" and not np.all(np.isfinite(g)):
        real = _Trials(_real(trials.evaluate), trials.x, trials.f, "2-point", trials.which, box)
        h = difference_steps(trials.x, "2-point")[trials.which]
        if box is not None:
            h = _inwards(h, trials.x[trials.which], box, trials.which)
        _fill(real, g, h)
        _fill(real, g, -h)


def _fill(trials: _Trials, g: Array, steps: Array) -> None:
    """Try one step for every entry that is still not finite."""
    places = np.flatnonzero(~np.isfinite(g))
    exact = trials.exact(steps[places], places)
    places, exact = places[exact != 0], exact[exact != 0]
    if places.size:
        g[places] = trials.slopes(exact, places)


def _real(evaluate: Evaluate) -> Evaluate:
    """Return real parts: values are asked for as complex ones under the complex step."""
    return lambda points, count: [np.real(value) for value in evaluate(points, count)]
