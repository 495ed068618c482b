"""Other forms of `memory-cg`, made of its pairs: a subspace step, a trust region, regularisation.

With the pairs S, Y (rows, oldest first) and the diagonal H0 of the recursion, its matrix is
``B = H0^-1 - P' N^-1 P`` with ``P = [S H0^-1; Y]`` and ``N = [[S H0^-1 S', L], [L', -diag(S Y')]]``, where L
is the part of ``S Y'`` below its diagonal (Byrd, Nocedal & Schnabel, Math. Programming 63, 1994, theorem
2.3).
The forms take another direction p than ``-B^-1 g``, and leave the rest of the phase as it is.

- `Subspace`: p minimises the model in the span of ``d = -B^-1 g`` and of the last steps. There its
  curvature is what the pairs say of each other, ``s_i' y_j``, where B has that of the last pair alone
  (subspaces of steps: Yuan & Stoer, ZAMM 75, 1995, 69-77).
- `TrustRegion`: p minimises ``g'p + p'Bp/2`` within a radius in the norm of H0^-1. A trial whose value
  fails shortens the radius, which turns the direction, where the search would keep it (Burdakov, Gong,
  Zikrin & Yuan, Math. Prog. Comp. 9, 2017, 101-134).
- `Regularised`: ``p = -(B + mu H0^-1)^-1 g``; mu grows where a trial fails or brings less than the model
  says, and falls where the model is right (Kanzow & Steck, Math. Prog. Comp. 15, 2023, 417-444).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twophase_min.phases import ITERATION, METRIC, NEED_F, G, P, X
from twophase_min.phases.first_trial import REACH, SIZE
from twophase_min.phases.memory_cg import MemoryCG

Array = NDArray[np.floating]
TRIES = 20
"""Trials of one iteration that may turn the direction; after them the search goes on along the last."""


class Model:
    """``g'p + p'Bp/2`` with the limited-memory matrix B of a state."""

    def __init__(self, state: Any, view: Any):
        memory = state.ring.shape[1]
        places = [(view.head - view.stored + k) % memory for k in range(view.stored)]
        self.S, self.Y = state.pairs[0, places], state.pairs[1, places]
        self.h, self.g = state.diagonal.copy(), state.vectors[G].copy()
        sy = self.S @ self.Y.T
        low = np.tril(sy, -1)
        self.P = np.vstack([self.S / self.h, self.Y])
        self.N = np.block([[(self.S / self.h) @ self.S.T, low], [low.T, -np.diag(np.diag(sy))]])
        self.PHP = (self.P * self.h) @ self.P.T

    def product(self, p: Array) -> Array:
        """Return B p."""
        inner = self.P @ p
        result: Array = p / self.h - self.P.T @ np.linalg.solve(self.N, inner)
        return result

    def step(self, mu: float = 0.0) -> Array:
        """Return ``-(B + mu H0^-1)^-1 g``, by the formula of Woodbury."""
        hg = self.h * self.g
        scale = 1.0 + mu
        core = np.linalg.solve(self.N - self.PHP / scale, self.P @ hg)
        result: Array = -(hg / scale + self.h * (self.P.T @ core) / scale**2)
        return result

    def length(self, p: Array) -> float:
        """Return the length of p in the norm of H0^-1."""
        return math.sqrt(float(p @ (p / self.h)))

    def within(self, radius: float) -> Array:
        """Return the minimiser within a radius, to a tenth of it."""
        p = self.step()
        if self.length(p) <= 1.1 * radius:
            return p
        low, high = 0.0, max(self.length(self.h * self.g) / radius, 1e-8)  # at the upper end |p| <= radius
        for _ in range(100):
            mu = math.sqrt(max(low, 1e-4 * high) * high)
            p = self.step(mu)
            size = self.length(p)
            if 0.9 * radius <= size <= 1.1 * radius:
                break
            low, high = (mu, high) if size > radius else (low, mu)
        return p

    def promised(self, p: Array) -> float:
        """Return the decrease that the model promises of p."""
        return -float(self.g @ p + 0.5 * (p @ self.product(p)))


class Turned(MemoryCG):
    """`MemoryCG` along directions of one's own."""

    tries = 0
    model: Model | None = None

    def next(self) -> int:
        """Choose the direction of `turned` where there are pairs."""
        self.model = None
        self.tries = 0
        view = self.view
        if view.stored == 0:
            return super().next()
        with np.errstate(all="ignore"):
            try:
                self.model = Model(self.state, view)
                p = self.turned()
            except np.linalg.LinAlgError:
                p = np.full(self.state.diagonal.size, math.nan)
        return self._along(p)

    def turned(self) -> Array:
        """Return a direction, of which 1 is the step to try first."""
        raise NotImplementedError

    def _along(self, p: Array) -> int:
        """Begin a search along p; along the usual direction where p does not descend."""
        v, view = self.state.vectors, self.view
        g = v[G]
        slope = float(p @ g)
        metric = v[METRIC] if self.scaled else np.ones(p.size)
        far = math.sqrt(float(p @ (p / metric)))
        angle = far * math.sqrt(float(g @ (metric * g)))
        if not (slope < -1e-12 * angle and angle < math.inf):
            self.model = None
            return super().next()
        reach = max(REACH * view.longest, SIZE * math.sqrt(float(v[X] @ (v[X] / metric))))
        step = reach / far if far > reach > 0.0 else 1.0
        kept = view.stored, view.last_a, view.last_slope
        # the phase takes beta P - D g where it has no pairs, and repeats the last slope's promise
        view.stored, view.beta, view.last_a, view.last_slope = 0, 1.0, step * slope, 1.0
        v[P] = p + metric * g
        code = super().next()
        view.stored, view.last_a, view.last_slope = kept
        view.beta = 0.0
        return code


class Subspace(Turned):
    """Minimises the model in the span of the usual direction and of the last ``steps`` steps."""

    def __init__(self, steps: int = 5, **options: Any):
        super().__init__(**options)
        self.steps = steps

    def turned(self) -> Array:
        """Return the minimiser, or the usual direction where the curvature in the span is not positive."""
        model = self.model
        assert model is not None
        d = model.step()
        S, Y = model.S[-self.steps :], model.Y[-self.steps :]
        unit = 1.0 / np.sqrt(np.sum(S * Y, axis=1))
        S, Y = S * unit[:, None], Y * unit[:, None]
        low = 1.0 / math.sqrt(-float(d @ model.g))
        span = np.vstack([d * low, S])
        matrix = np.empty((len(span), len(span)))
        matrix[0, 0] = 1.0
        matrix[0, 1:] = matrix[1:, 0] = Y @ span[0]
        products = S @ Y.T
        matrix[1:, 1:] = 0.5 * (products + products.T)
        values, vectors = np.linalg.eigh(matrix)
        if not values[0] > 1e-3 * values[-1]:
            return d
        a = -vectors @ ((vectors.T @ (span @ model.g)) / values)
        result: Array = a @ span
        return result


class Retried(Turned):
    """Turns the direction where the value at its first trial fails: brings less than a share of its slope."""

    share = 1e-4

    def tell(self, f: float, g: Array | None = None) -> int:
        """Take what was asked for; see `MemoryCG.tell`."""
        view, line = self.view, self.view.line
        model = self.model
        if model is None or view.code != NEED_F:
            return super().tell(f, g)
        first = line.trials == 0
        p = line.a * self.state.vectors[P]
        slope = line.a * line.d0
        fails = not (f <= line.f0 + self.share * slope or abs(f - line.f0) <= line.noise)
        if first and fails and self.tries < TRIES:
            self.tries += 1
            with np.errstate(all="ignore"):
                a = -0.5 * slope / (f - line.f0 - slope) if math.isfinite(f) else 0.1
                p = self.again(p, min(max(a, 0.1), 0.5))
            view.code = ITERATION
            return self._along(p)
        if first and self.tries <= TRIES:
            self.learnt(p, (line.f0 - f) / max(model.promised(p), 1e-300))
        return super().tell(f, g)

    def again(self, p: Array, share: float) -> Array:
        """Return another direction where p failed, and a parabola has its minimum at ``share`` of it."""
        raise NotImplementedError

    def learnt(self, p: Array, ratio: float) -> None:
        """Take the ratio of what p brought to what the model promised."""


class TrustRegion(Retried):
    """The minimiser of the model within a radius, which is ``kept`` from one iteration to the next."""

    radius = math.inf

    def __init__(self, kept: bool = True, **options: Any):
        super().__init__(**options)
        self.kept = kept

    def turned(self) -> Array:
        """Return the minimiser within the radius."""
        assert self.model is not None
        if not self.kept:
            self.radius = math.inf
        # the norm changes with H0: the radius is kept in the variables' own metric
        return self.model.within(self.radius / self._unit())

    def _unit(self) -> float:
        """Length in the metric of a step of length 1 in the norm of H0^-1, along the gradient."""
        v = self.state.vectors
        metric = v[METRIC] if self.scaled else np.ones(v.shape[1])
        assert self.model is not None
        p = self.model.h * self.model.g
        return math.sqrt(float(p @ (p / metric))) / self.model.length(p)

    def again(self, p: Array, share: float) -> Array:
        """Shorten the radius."""
        assert self.model is not None
        self.radius = share * self.model.length(p) * self._unit()
        return self.model.within(self.radius / self._unit())

    def learnt(self, p: Array, ratio: float) -> None:
        """Fit the radius to the ratio."""
        assert self.model is not None
        size = self.model.length(p) * self._unit()
        if ratio < 0.25:
            self.radius = 0.5 * size
        elif ratio > 0.75 and size >= 0.8 * self.radius:
            self.radius = 2.0 * self.radius


class Regularised(Retried):
    """``-(B + mu H0^-1)^-1 g``."""

    mu = 0.0

    def turned(self) -> Array:
        """Return the regularised step."""
        assert self.model is not None
        return self.model.step(self.mu)

    def again(self, p: Array, share: float) -> Array:
        """Regularise more: until the step is as much shorter as the parabola says."""
        assert self.model is not None
        size = share * self.model.length(p)
        self.mu = max(4.0 * self.mu, 1e-8)
        q = self.model.step(self.mu)
        while self.model.length(q) > 1.1 * size and self.mu < 1e20:
            self.mu *= 4.0
            q = self.model.step(self.mu)
        return q

    def learnt(self, p: Array, ratio: float) -> None:
        """Regularise less where the model is right, and more where it promises too much."""
        if ratio > 0.75:
            self.mu = self.mu / 10.0 if self.mu > 1e-8 else 0.0
        elif ratio < 0.25:
            self.mu = max(4.0 * self.mu, 1e-3)
