"""Adam over flat vectors in ask/tell form, with a first step length that comes from the problem.

Kingma & Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1 (bias-corrected,
m0 = v0 = 0); the update itself is `_kernels.adam_step`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from twophase_min import _kernels
from twophase_min.phases import FAILED, ITERATION, NEED_F, NEED_FG, NEED_G

Array = NDArray[np.floating]

ARMIJO = 0.4
"""Fraction of the decrease that the slope promises which the probe demands; an over-long step misses it."""
GROWTH = 10.0
"""Factor by which the secant step of the probe may change the learning rate at most."""
SHARE = 0.3
"""Learning rate as a share of the step to the minimiser along the first direction, by the secant."""
MAX_REJECTIONS = 30
"""Non-finite or over-long trials in a row before Adam gives up."""


class Adam:
    """Adam, one iterate per ``ask``/``tell`` round.

    Without a learning rate, the first step is a probe. Adam's first step is ``lr * sign(g)`` whatever the
    gradient's size, so that lr is a length in x: a guess from the scale of x (or of f, where x0 = 0) is
    shortened by interpolation until the value has fallen by a fixed share of what the slope promises, and
    the accepted probe is the first iterate. The change of the slope across it then sets lr by the secant, and
    across later steps (of whole-data iterations) keeps adapting it.

    Parameters
    ----------
    learning_rate : float, optional
        Step length in units of x; None asks for the probe.
    beta1, beta2 : float
        Decay rates.
    epsilon : float, optional
        In units of the gradient. Default 1e-8 with a given learning rate, else 1e-8 max abs(g0).
    sizes : ndarray, shape (n,), optional
        Typical sizes of the variables relative to each other: the probe steps along ``-sizes * sign(g)``.

    Attributes
    ----------
    x, f, g : ndarray, float, ndarray
        Current iterate.
    m, v : ndarray, shape (n,)
        Moments of the gradient.
    t : int
        Updates made.
    learning_rate : float
        In use.
    curvature : float
        s'y / s's of the last step, NaN before the first.
    reason : str
        Why a phase FAILED.
    """

    name = "adam"

    def __init__(
        self,
        learning_rate: float | None = None,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float | None = None,
        sizes: Array | None = None,
    ):
        self.sizes: Array | float = 1.0 if sizes is None else sizes
        self.probing = self.adapting = learning_rate is None
        self.learning_rate = float("nan") if learning_rate is None else float(learning_rate)
        self.beta1, self.beta2 = float(beta1), float(beta2)
        self.epsilon = epsilon if epsilon is not None or learning_rate is None else 1e-8
        self.t = 0
        self.need = NEED_FG
        self.reason = ""
        self.curvature = float("nan")
        self._rejections = 0

    def start(self, x: Array, f: float, g: Array) -> None:
        """Begin at an evaluated point; moments start at zero."""
        self.x, self.f, self.g = x.copy(), float(f), g.copy()
        self.m, self.v = np.zeros_like(self.x), np.zeros_like(self.x)
        self.t = 0
        if self.epsilon is None:
            largest = float(_kernels.norm_inf(self.g))
            self.epsilon = 1e-8 * largest if largest > 0 else 1e-8
        self._begin()

    def _begin(self) -> None:
        if self.probing:
            self._slope = -float(np.sum(self.sizes * np.abs(self.g, dtype=float)))
            guess = 0.01 * self._scale_of_x()
            if self.f != 0 and self._slope < 0:
                reach = abs(self.f) / -self._slope  # where the linear model has removed all of f
                guess = min(guess, reach) if guess > 0 else 0.01 * reach
                guess = max(guess, 1e-8 * reach)  # or rounding hides the decrease
            self.learning_rate = guess if guess > 0 and np.isfinite(guess) else 1.0
            self.need = NEED_F
            self._propose()
        else:  # no step yet: an epoch begins with its own gradients, this one must not enter the moments
            self._trial = self.x.copy()
            self.need = ITERATION

    def _scale_of_x(self) -> float:
        """Median of the non-zero variables in their typical sizes: a sign step moves small ones too."""
        sizes = np.abs(self.x / self.sizes, dtype=float)
        sizes = sizes[sizes != 0]
        return float(np.median(sizes)) if sizes.size else 0.0

    def _propose(self) -> None:
        """Trial from the current iterate; the moments advance once per accepted or scaled-back step."""
        self._trial = self.x.copy()
        if self.probing:  # leave the moments alone until the step length is settled
            self._trial -= (self.learning_rate * self.sizes * np.sign(self.g)).astype(self.x.dtype)
        else:
            self.step(self._trial, self.g)

    def step(self, x: Array, g: Array) -> None:
        """Advance the moments with g, and x in place."""
        self.t += 1
        _kernels.adam_step(
            x, self.m, self.v, g, self.t, self.learning_rate, self.beta1, self.beta2, self.epsilon
        )

    def ask(self) -> Array:
        """Where to evaluate, shape (n,); not to be changed."""
        return self._trial

    def tell(self, f: float, g: Array | None) -> int:
        """Take what was asked for; answer NEED_*, ITERATION or FAILED."""
        if self.probing and self.need == NEED_F:
            self._trial_f = f
            if not np.isfinite(f) or f > self.f + ARMIJO * self.learning_rate * self._slope:
                return self._shorten(f)
            self.need = NEED_G
            return NEED_G
        if g is None or not np.isfinite(f) or not _kernels.all_finite(g):
            return self._shorten(float("nan"))
        before, old = self.x, self.g
        s = self._trial - before
        s_s = float(_kernels.dot(s, s))
        self.curvature = float(_kernels.dot(s, g) - _kernels.dot(s, old)) / s_s if s_s > 0 else float("nan")
        if self.probing:
            self._settle(g)
        elif self.adapting:
            self._adapt(float(_kernels.dot(s, old)), float(_kernels.dot(s, g)))
        if s_s > 0 or not np.array_equal(self._trial, before):
            self._rejections = 0
        else:  # momentum may stand still once; for ever, it would be an endless loop without evaluations
            self._rejections += 1
            if self._rejections > MAX_REJECTIONS:
                self.reason = "the steps vanish against x"
                return FAILED
        self.x, self.f, self.g = self._trial, float(f), g
        self.need = ITERATION
        return ITERATION

    def _shorten(self, f: float) -> int:
        """Pull an over-long or non-finite trial towards the iterate."""
        self._rejections += 1
        if self._rejections > MAX_REJECTIONS:
            self.reason = "no finite decreasing step along the first direction"
            return FAILED
        if self.probing:
            factor = 0.1
            if np.isfinite(f):
                rate, slope = self.learning_rate, self._slope
                excess = f - self.f - slope * rate
                factor = min(0.5, max(0.05, -slope * rate / (2 * excess))) if excess > 0 else 0.5
            self.learning_rate *= factor
            self.need = NEED_F
            self._propose()
        else:
            self.learning_rate *= 0.1
            # shrink the step, from the iterate that was kept: undoing it by arithmetic would drift
            self._trial = self.x + ((self._trial - self.x) * 0.1).astype(self.x.dtype)
            self.need = NEED_FG
        if np.array_equal(self._trial, self.x):
            self.reason = "the step vanished against x before the objective became finite or smaller"
            return FAILED
        return self.need

    def _settle(self, g: Array) -> None:
        """Book the accepted probe as Adam's first step and set the learning rate by the secant."""
        rate, slope = self.learning_rate, self._slope
        after = -float(np.sum(self.sizes * np.sign(self.g) * g, dtype=float))
        self.t = 1
        self.m[:] = (1 - self.beta1) * self.g
        self.v[:] = (1 - self.beta2) * self.g**2
        if after > slope:
            best = SHARE * rate * slope / (slope - after)
            self.learning_rate = min(GROWTH * rate, max(rate / GROWTH, best))
        else:  # the slope steepens: not convex along the step
            self.learning_rate = GROWTH**0.5 * rate
        self.probing = False

    def next(self) -> int:
        """Begin the step after an iteration; answers what is needed."""
        self.need = NEED_FG
        self._propose()
        return self.need

    def _adapt(self, before: float, after: float) -> None:
        """Lengthen steps along which the slope hardly changes, shorten those that overshoot.

        A rate found at x0 is right for x0 only. With s'g before and after the step, their ratio is 1 where
        the step is infinitesimal and 0 at the minimiser along it, whatever the units.
        """
        if before >= 0:  # momentum went uphill: its slope says nothing about the length
            self.learning_rate *= 0.9
        elif after < 0.8 * before:
            self.learning_rate *= 1.1
        elif after > 0:
            self.learning_rate *= 0.8

    def arrive(self, f: float, g: Array, x_before: Array, g_before: Array) -> None:
        """Take value and gradient at x after an epoch of steps in place, and judge the epoch as one step.

        Parameters
        ----------
        f, g : float, ndarray
            Of the whole data, at x.
        x_before, g_before : ndarray
            Point and gradient of the whole data where the epoch began.
        """
        s = self.x - x_before
        s_s = float(_kernels.dot(s, s))
        before, after = float(_kernels.dot(s, g_before)), float(_kernels.dot(s, g))
        self.curvature = (after - before) / s_s if s_s > 0 else float("nan")
        if self.adapting:
            if f > self.f:  # slopes of an epoch are noisy; a loss that rose is not
                self.learning_rate *= 0.7
            elif after < 0.5 * before:
                self.learning_rate *= 1.1
        self.f, self.g = float(f), g
        self.need = ITERATION

    def scale_back(self, factor: float = 0.1) -> None:
        """Reduce the learning rate (the driver does so when an epoch ended non-finite)."""
        self.learning_rate *= factor

    def scales(self) -> Array:
        """Bias-corrected root of the second moments, sqrt(v / (1 - beta2^t)), units of the gradient."""
        return np.sqrt(self.v / (1 - self.beta2 ** max(self.t, 1)), dtype=float)

    _SCALARS = ("f", "learning_rate", "epsilon", "curvature", "_slope", "_trial_f")
    _INTEGERS = ("t", "need", "probing", "_rejections")
    _VECTORS = ("x", "g", "m", "v", "_trial")

    def get_state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on, as copies."""
        scalars = [getattr(self, name, np.nan) for name in self._SCALARS]
        state: dict[str, Any] = {
            "scalars": np.array(scalars, dtype=float),
            "integers": np.array([int(getattr(self, name)) for name in self._INTEGERS]),
        }
        return state | {name: getattr(self, name).copy() for name in self._VECTORS}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from `get_state`, bit for bit."""
        for name, value in zip(self._SCALARS, state["scalars"], strict=True):
            setattr(self, name, float(value))
        for name, value in zip(self._INTEGERS, state["integers"], strict=True):
            setattr(self, name, int(value))
        self.probing = bool(self.probing)
        for name in self._VECTORS:
            setattr(self, name, np.array(state[name]))
