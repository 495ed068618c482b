"""Which evaluated points are remembered: the last, the best, some earlier ones, and the last without a value.

Invariants
----------
* ``best`` is the evaluated point of least finite value (or the one that reached minus infinity); one whose
  gradient turns out not to be finite gives way to the lowest before it, and is remembered as ``unsound``.
* Remembered arrays are nobody else's, and nobody changes them.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


class Point(NamedTuple):
    """An evaluated point; ``g`` is None while only the value is known."""

    x: Array
    f: float
    g: Array | None


def _same(a: Array, b: Array) -> bool:
    """Whether two points are one; the first entries tell most of them apart, ten times as fast as all."""
    return a is b or (bool(a[0] == b[0]) and bool((a == b).all()))


class Memory:
    """Evaluated points of one function.

    Parameters
    ----------
    dtype : numpy.dtype
        Of the points.

    Attributes
    ----------
    last, best : Point, optional
        The newest point, and the one of least value.
    unsound : Point, optional
        The lowest point of finite value whose gradient is not finite.
    unsound_points, unsound_entry : int
        How many there were, and the first such entry at the first of them.
    nonfinite : Point, optional
        The last point whose value was NaN or plus infinity.
    finite_elsewhere : bool
        Whether any point but the first had a finite value.
    """

    def __init__(self, dtype: np.dtype[Any]):
        self.dtype = np.dtype(dtype)
        self.last: Point | None = None
        self.best: Point | None = None
        self.nonfinite: Point | None = None
        self.finite_elsewhere = False
        self.unsound: Point | None = None
        self.unsound_points = 0
        self.unsound_entry = 0
        self._sound: Point | None = None  # least value with a finite gradient: what best falls back on
        self._first: Array | None = None  # the first point, until another one has a finite value
        self._earlier: deque[tuple[float, Point]] = deque(maxlen=0)  # with their first entries

    def _known(self, x: Array) -> Point | None:
        x = np.asarray(x, dtype=self.dtype)
        for point in (self.last, self.best):
            if point is not None and _same(point.x, x):
                return point
        first = x.item(0) if self._earlier else 0.0
        for entry, point in self._earlier:
            if entry == first and _same(point.x, x):
                return point
        return None

    def kept(self, x: Array, f: float, g: Array) -> Point:
        """Return an evaluated point to keep: as remembered, in arrays that nobody changes, or in copies."""
        known = self._known(x)
        if known is not None and known.g is not None and known.f == f:
            return known
        return Point(np.array(x), float(f), np.array(g))

    def remember_more(self, points: int) -> None:
        """Keep so many earlier points too, newest first; SciPy's fallback search asks for trials again."""
        self._earlier = deque(self._earlier, maxlen=points)

    def _remember(self, point: Point) -> None:
        """Note an evaluated point, whose arrays are nobody else's."""
        x, f, g = point
        if self._earlier.maxlen and self.last is not None and not _same(self.last.x, x):
            self._earlier.appendleft((self.last.x.item(0), self.last))
        self.last = point
        if self._first is None and not self.finite_elsewhere:
            self._first = x
        if not math.isfinite(f):
            self.nonfinite = point
        elif not self.finite_elsewhere:
            self.finite_elsewhere = self._first is None or not _same(x, self._first)
            if self.finite_elsewhere:
                self._first = None
        if g is not None and math.isfinite(f) and not np.isfinite(g).all():
            self._take_unsound(point)
            return
        best = self.best
        if g is not None and math.isfinite(f) and (self._sound is None or f < self._sound.f):
            self._sound = point
        if (
            best is None
            or f < best.f
            or (f == best.f and best.g is None and _same(best.x, x))
            or (best.f != best.f and f == f)  # anything beats NaN
        ):
            self.best = point

    def recall(self, best: Point | None, last: Point | None, unsound: Point | None) -> None:
        """Take over what an earlier run remembered."""
        self.best, self.last, self.unsound = best, last, unsound
        if best is not None and best.g is not None and np.isfinite(best.g).all():
            self._sound = best

    def _take_unsound(self, point: Point) -> None:
        """Note a point of finite value whose gradient is not: no phase can go on from there."""
        if not self.unsound_points:
            assert point.g is not None
            self.unsound_entry = int(np.flatnonzero(~np.isfinite(point.g))[0])
        self.unsound_points += 1
        if self.unsound is None or point.f < self.unsound.f:
            self.unsound = point
        if self.best is None or (_same(self.best.x, point.x) and self._sound is None):
            self.best = point
        elif _same(self.best.x, point.x):
            self.best = self._sound

    @property
    def lowest(self) -> Point | None:
        """The point of least value, its gradient finite or not."""
        best, unsound = self.best, self.unsound
        return unsound if unsound is not None and (best is None or unsound.f < best.f) else best
