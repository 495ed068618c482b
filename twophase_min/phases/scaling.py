"""Change of variables from what is known of the curvature, for methods that cannot be preconditioned.

SciPy's conjugate gradients take no preconditioner, but minimising f(origin + S z) over z by plain conjugate
gradients *is* minimising f by conjugate gradients preconditioned with H = S S'. S comes from a diagonal and
from pairs (s, y) of steps and gradient differences by the product form of the BFGS update (Brodlie, Gourlay
& Greenstadt, "Rank-one and rank-two corrections to positive definite matrices expressed in product form",
IMA J. Appl. Math. 11, 1973):

    S+ = (I + s w') S,   w = -rho y + sqrt(rho / s'Bs) B s,   rho = 1 / s'y,   B = H^-1,

which gives S+ S+' = (I - rho s y') H (I - rho y s') + rho s s'. Preconditioning conjugate gradients by a
limited memory is Buckley & LeNir's variable storage method (Math. Programming 27, 1983).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from twophase_min.jit.compilation import jit, register

Array = NDArray[np.floating]


DENSE = 128
"""Variables up to which S is kept as a matrix: one product then costs less than the loop over its factors."""


@jit
def add_pair(S, B, s, y, work):
    """Update S by a pair, and B = (S S')^-1 along with it; False, and nothing done, without curvature.

    Parameters
    ----------
    S, B : ndarray of float64, shape (n, n)
        Overwritten.
    s, y : ndarray of float64, shape (n,)
        Step and difference of gradients.
    work : ndarray of float64, shape (2, n)
        Scratch.
    """
    n = s.size
    bs, w = work[0], work[1]
    sy = 0.0
    ss = 0.0
    yy = 0.0
    sbs = 0.0
    for i in range(n):
        row = 0.0
        for j in range(n):
            row += B[i, j] * s[j]
        bs[i] = row
        sy += s[i] * y[i]
        ss += s[i] * s[i]
        yy += y[i] * y[i]
        sbs += s[i] * row
    if not sy > 2.0**-52 * math.sqrt(yy) * math.sqrt(ss) or not 0.0 < sbs < math.inf:
        return False
    for i in range(n):
        w[i] = bs[i] / math.sqrt(sy * sbs) - y[i] / sy
        if not math.isfinite(w[i]):
            return False
    for j in range(n):
        total = 0.0
        for i in range(n):
            total += w[i] * S[i, j]
        for i in range(n):
            S[i, j] += s[i] * total
            B[i, j] += y[i] * y[j] / sy - bs[i] * bs[j] / sbs
    return True


class Scaling:
    """Change of variables x = origin + S z; z = 0 is the origin, exactly.

    Parameters
    ----------
    origin : ndarray, shape (n,)
        Where the phase starts; float64.
    diagonal : ndarray, shape (n,), or float
        Positive S0, applied to z first.
    pairs : iterable of (s, y)
        Steps and gradient differences, oldest first, shapes (n,); those without
        positive curvature are skipped.

    Attributes
    ----------
    used : int
        Pairs that were not skipped.
    """

    def __init__(
        self, origin: Array, diagonal: Array | float = 1.0, pairs: Iterable[tuple[Array, Array]] = ()
    ):
        self.origin = origin
        self.diagonal = diagonal
        self.factors: list[tuple[Array, Array, float]] = []
        self.dense: Array | None = None
        self.used = 0
        pairs = list(pairs)
        if pairs and origin.size <= DENSE:
            start = np.broadcast_to(np.asarray(diagonal, dtype=float), origin.shape)
            self.dense, inverse = np.diag(start), np.diag(start**-2.0)
            work = np.empty((2, origin.size))
            for s, y in pairs:
                self.used += add_pair(self.dense, inverse, s, y, work)
        else:
            for s, y in pairs:
                self._add(s, y)
            self.used = len(self.factors)

    def _add(self, s: Array, y: Array) -> None:
        s_y = float(s @ y)
        if not s_y > np.finfo(float).eps * float(y @ y) ** 0.5 * float(s @ s) ** 0.5:
            return
        b_s = self._solve_transposed(self._solve(s))
        s_b_s = float(s @ b_s)
        if not (s_b_s > 0 and np.isfinite(s_b_s)):
            return
        w = (s_y * s_b_s) ** -0.5 * b_s - y / s_y
        if np.all(np.isfinite(w)):
            self.factors.append((s, w, (s_b_s / s_y) ** 0.5))  # the last is 1 + w's

    def apply(self, z: Array) -> Array:
        """S z."""
        if self.dense is not None:
            return self.dense @ z
        t = self.diagonal * z
        for s, w, _ in self.factors:
            t = t + (w @ t) * s
        return t

    def to_x(self, z: Array) -> Array:
        """Point of z."""
        return self.origin + self.apply(z)

    def pull(self, g: Array) -> Array:
        """S' g: the gradient with respect to z."""
        if self.dense is not None:
            return g @ self.dense
        for s, w, _ in reversed(self.factors):
            g = g + (s @ g) * w
        return self.diagonal * g

    def _solve(self, t: Array) -> Array:
        """S^-1 t."""
        for s, w, pivot in reversed(self.factors):
            t = t - (w @ t) / pivot * s
        return t / self.diagonal

    def _solve_transposed(self, v: Array) -> Array:
        """S^-T v."""
        v = v / self.diagonal
        for s, w, pivot in self.factors:
            v = v - (s @ v) / pivot * w
        return v

    def rescale(self, factor: float) -> None:
        """Multiply S by a positive number."""
        self.diagonal = self.diagonal * factor
        if self.dense is not None:
            self.dense *= factor


register(add_pair, lambda kind: (*[np.zeros((1, 1))] * 2, *[np.zeros(1)] * 2, np.zeros((2, 1))))
