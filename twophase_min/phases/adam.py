"""Adam over flat vectors in ask/tell form, with a first step length that comes from the problem.

Kingma & Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1 (bias-corrected,
m0 = v0 = 0); the update itself is `jit.kernels.adam_step`. Numba kernels over a flat state do the work, and
a class around them is for the loop in Python.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twophase_min.jit import kernels as _kernels
from twophase_min.jit.compilation import jit, prepare, register
from twophase_min.jit.kernels import adam_serial, all_finite, copy, norm_inf
from twophase_min.jit.records import Record, count, real
from twophase_min.phases import FAILED, ITERATION, NEED_F, NEED_FG, NEED_G, G, X
from twophase_min.phases.ask_tell import AskTell
from twophase_min.phases.metric import median
from twophase_min.phases.resolution import takes_adam

Array = NDArray[np.floating]

ARMIJO = 0.4
"""Fraction of the decrease that the slope promises which the probe demands; an over-long step misses it."""
GUESS = 0.01
"""Learning rate that the probe begins with, in sizes of x (of 1, where x is zero)."""
GROWTH = 10.0
"""Factor by which the secant step of the probe may change the learning rate at most."""
SHARE = 0.3
"""Learning rate as a share of the step to the minimiser along the first direction, by the secant."""
MAX_REJECTIONS = 30
"""Trials in a row that are not finite, too long, or change nothing, before Adam gives up."""

# rows of AdamState.vectors behind the iterate and the gradient; the last only where the variables have sizes
M, V, XT, SIZES = range(2, 6)

NONE, VANISHING, NO_STEP, VANISHED, UNRESOLVED = range(5)

REASONS = (
    "",
    "the steps vanish against x",
    "no finite decreasing step along the first direction",
    "the step vanished against x before the objective became smaller, or it and its gradient finite",
    "no step whose decrease the rounding of the objective would let one see along the first direction",
)
"""Texts of the reason codes of a failure."""

ADAM = Record(
    "Adam",
    real("f", "value at the iterate, unit f", math.nan),
    real("rate", "learning rate in use, unit x; NaN until the start of a run that looks for it", math.nan),
    real("epsilon", "guard against division by zero, unit f/x; NaN until the start gives it", math.nan),
    real("curvature", "curvature s'y / s's of the last step, unit f/x^2; NaN before the first", math.nan),
    real("slope", "slope along the direction of the probe, per unit of the learning rate", math.nan),
    real("beta1", "decay rate of the first moment", math.nan),
    real("beta2", "decay rate of the second moment", math.nan),
    count("t", "updates made"),
    count("code", "what is requested: NEED_F, NEED_G, NEED_FG, ITERATION or FAILED", NEED_FG),
    count("probing", "flag: the first step length is being looked for"),
    count("adapting", "flag: the learning rate adapts, as none was given"),
    count("rejections", "trials in a row that were not finite, too long, or that changed nothing"),
    count("reason", "why the phase failed, see `REASONS`"),
)
"""Scalars of `AdamState`."""


class AdamState(NamedTuple):
    """All of one run, flat.

    Attributes
    ----------
    vectors : ndarray, shape (5, n) or (6, n)
        Rows X, G, M, V, XT: iterate, gradient, first and second moment, trial; and SIZES, the typical sizes
        of the variables, where given.
    slot : slot of `ADAM`
        Scalars and counters.
    """

    vectors: np.ndarray
    slot: Any


def adam_init(
    n: int,
    dtype: Any = np.float64,
    learning_rate: float | None = None,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float | None = None,
    sizes: Array | None = None,
) -> AdamState:
    """Allocate the state; the parameters are those of `Adam`."""
    state = AdamState(np.zeros((SIZES + (sizes is not None), n), dtype=dtype), ADAM.new())
    if sizes is not None:
        state.vectors[SIZES] = sizes
    if epsilon is None and learning_rate is not None:
        epsilon = 1e-8
    adam = ADAM.view(state.slot)
    adam.rate = math.nan if learning_rate is None else learning_rate
    adam.epsilon = math.nan if epsilon is None else epsilon
    adam.beta1, adam.beta2 = beta1, beta2
    adam.probing = adam.adapting = int(learning_rate is None)
    return state


@jit(no_cpython_wrapper=True)
def _sizes(vectors):
    """Whether the variables have typical sizes, and these; without some row that is not looked at."""
    sized = vectors.shape[0] > SIZES
    return sized, vectors[SIZES if sized else X]


@jit(no_cpython_wrapper=True)
def _scale_of_x(vectors):
    """Median of the non-zero variables in their typical sizes: a sign step moves small ones too."""
    x, work = vectors[X], vectors[XT]
    sized, sizes = _sizes(vectors)
    count = 0
    for i in range(x.size):
        size = abs(x[i] / sizes[i] if sized else x[i])
        if size == size and size != 0.0:  # the selection would never end on NaN
            work[count] = size
            count += 1
    return median(work, count)


@jit
def adam_start(state, x, f, g):
    """Begin at an evaluated point, the moments at zero; answers what is needed, ITERATION without a probe."""
    vectors, adam = state.vectors, state.slot[0]
    sized, sizes = _sizes(vectors)
    slope = 0.0
    copy(x, vectors[X])
    copy(g, vectors[G])
    for i in range(x.size):
        vectors[M, i] = 0.0
        vectors[V, i] = 0.0
        slope -= (np.float64(sizes[i]) if sized else 1.0) * abs(np.float64(g[i]))
    adam.f = f
    adam.t = 0
    adam.rejections = 0
    adam.reason = NONE
    adam.curvature = math.nan
    if math.isnan(adam.epsilon):
        largest = norm_inf(vectors[G])
        adam.epsilon = 1e-8 * largest if largest > 0.0 else 1e-8
    if adam.probing:
        adam.slope = slope
        guess = GUESS * _scale_of_x(vectors)
        adam.rate = guess if 0.0 < guess < math.inf else GUESS
        adam.code = NEED_F
        _probe(state, adam)
    else:  # no step yet: an epoch begins with its own gradients, this one must not enter the moments
        copy(x, vectors[XT])
        adam.code = ITERATION
    return adam.code


@jit(no_cpython_wrapper=True)
def _probe(state, adam):
    """Place the trial along -sizes * sign(g); the moments wait until the step length is settled."""
    vectors, rate = state.vectors, adam.rate
    sized, sizes = _sizes(vectors)
    for i in range(vectors.shape[1]):
        step = rate * sizes[i] if sized else rate
        trial = np.float64(vectors[X, i])
        if vectors[G, i] > 0.0:
            trial -= step
        elif vectors[G, i] < 0.0:
            trial += step
        vectors[XT, i] = trial


@jit
def adam_next(state):
    """Begin the step after an iteration: NEED_FG at the trial. The moments advance here, once a step."""
    vectors, adam = state.vectors, state.slot[0]
    adam.code = NEED_FG
    copy(vectors[X], vectors[XT])
    adam.t += 1
    adam_serial(
        vectors[XT], vectors[M], vectors[V], vectors[G],
        adam.t, adam.rate, adam.beta1, adam.beta2, adam.epsilon,
    )  # fmt: skip
    return NEED_FG


@jit
def adam_tell(state, f, g):
    """Take what was asked for (g is ignored after NEED_F); answers NEED_*, ITERATION or FAILED."""
    vectors, adam = state.vectors, state.slot[0]
    if adam.probing and adam.code == NEED_F:
        if not math.isfinite(f) or f > adam.f + ARMIJO * adam.rate * adam.slope:
            return _shorten(state, adam, f)
        adam.code = NEED_G
        return NEED_G
    if not math.isfinite(f) or not all_finite(g):
        return _shorten(state, adam, math.nan)
    s_s, before, after, moved, felt = 0.0, 0.0, 0.0, False, f != adam.f
    for i in range(g.size):
        s = np.float64(vectors[XT, i]) - np.float64(vectors[X, i])
        moved = moved or s != 0.0
        felt = felt or g[i] != vectors[G, i]
        s_s += s * s
        before += s * vectors[G, i]
        after += s * g[i]
    adam.curvature = (after - before) / s_s if s_s > 0.0 else math.nan
    if adam.probing:
        _settle(state, adam, g)
    elif adam.adapting:
        _adapt(adam, before, after)
    if moved and felt and takes_adam(vectors[X], vectors[XT], vectors[G], vectors[M], vectors[V], adam):
        adam.rejections = 0
    else:  # momentum may stand still once; for ever, it would be an endless loop, even without evaluations
        adam.rejections += 1
        if adam.rejections > MAX_REJECTIONS:
            adam.reason = VANISHING
            adam.code = FAILED
            return FAILED
    copy(vectors[XT], vectors[X])
    copy(g, vectors[G])
    adam.f = f
    adam.code = ITERATION
    return ITERATION


@jit(no_cpython_wrapper=True)
def _shorten(state, adam, f):
    """Pull an over-long or non-finite trial towards the iterate."""
    vectors = state.vectors
    adam.rejections += 1
    if adam.rejections > MAX_REJECTIONS:
        adam.reason = NO_STEP
        adam.code = FAILED
        return FAILED
    if adam.probing:
        factor = 0.1
        if math.isfinite(f):
            rate, slope = adam.rate, adam.slope
            if adam.f + rate * slope == adam.f:  # a shorter step could pass by rounding only
                adam.reason, adam.code = UNRESOLVED, FAILED
                return FAILED
            excess = f - adam.f - slope * rate
            factor = min(0.5, max(0.05, -slope * rate / (2.0 * excess))) if excess > 0.0 else 0.5
        adam.rate *= factor
        adam.code = NEED_F
        _probe(state, adam)
    else:
        adam.rate *= 0.1
        # shrink the step, from the iterate that was kept: undoing it by arithmetic would drift
        for i in range(vectors.shape[1]):
            vectors[XT, i] = vectors[X, i] + 0.1 * (vectors[XT, i] - vectors[X, i])
        adam.code = NEED_FG
    for i in range(vectors.shape[1]):
        if vectors[XT, i] != vectors[X, i]:
            return adam.code
    adam.reason = VANISHED
    adam.code = FAILED
    return FAILED


@jit(no_cpython_wrapper=True)
def _settle(state, adam, g):
    """Book the accepted probe as Adam's first step and set the learning rate by the secant."""
    vectors = state.vectors
    rate, slope = adam.rate, adam.slope
    sized, sizes = _sizes(vectors)
    after = 0.0
    for i in range(g.size):
        old = np.float64(vectors[G, i])
        slope_i = sizes[i] * g[i] if sized else g[i]
        if old > 0.0:
            after -= slope_i
        elif old < 0.0:
            after += slope_i
        vectors[M, i] = (1.0 - adam.beta1) * old
        vectors[V, i] = (1.0 - adam.beta2) * (old * old)
    adam.t = 1
    if after > slope:
        best = SHARE * rate * slope / (slope - after)
        adam.rate = min(GROWTH * rate, max(rate / GROWTH, best))
    else:  # the slope steepens: not convex along the step
        adam.rate = math.sqrt(GROWTH) * rate
    adam.probing = 0


@jit(no_cpython_wrapper=True)
def _adapt(adam, before, after):
    """Lengthen steps along which the slope hardly changes, shorten those that overshoot.

    A rate found at x0 is right for x0 only. With s'g before and after the step, their ratio is 1 where the
    step is infinitesimal and 0 at the minimiser along it, whatever the units.
    """
    if before >= 0.0:  # momentum went uphill: its slope says nothing about the length
        adam.rate *= 0.9
    elif after < 0.8 * before:
        adam.rate *= 1.1
    elif after > 0.0:
        adam.rate *= 0.8


@jit
def adam_scales(state, out):
    """Bias-corrected root of the second moments, sqrt(v / (1 - beta2^t)), into ``out`` (float64)."""
    adam = state.slot[0]
    share = 1.0 - adam.beta2 ** max(adam.t, 1)
    for i in range(out.size):
        out[i] = math.sqrt(state.vectors[V, i] / share)


class Adam(AskTell):
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
    """

    name = "adam"
    record = ADAM
    kind = AdamState
    reasons = REASONS
    trial_row = XT

    def __init__(
        self,
        learning_rate: float | None = None,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float | None = None,
        sizes: Array | None = None,
    ):
        self._settings = (learning_rate, beta1, beta2, epsilon, sizes)

    def start(self, x: Array, f: float, g: Array) -> None:
        """Begin at an evaluated point; moments start at zero."""
        dtype = np.float32 if x.dtype == np.float32 else np.float64
        self.state = adam_init(x.size, dtype, *self._settings)
        adam_start(self.state, np.ascontiguousarray(x, dtype), float(f), np.ascontiguousarray(g, dtype))

    @property
    def x(self) -> Array:
        """Current iterate, shape (n,): the state itself, which an epoch of steps changes in place."""
        return self.state.vectors[X]

    @property
    def m(self) -> Array:
        """First moment, shape (n,); the state itself."""
        return self.state.vectors[M]

    @property
    def v(self) -> Array:
        """Second moment, shape (n,); the state itself."""
        return self.state.vectors[V]

    @property
    def learning_rate(self) -> float:
        """In use."""
        return float(self.view.rate)

    @property
    def epsilon(self) -> float:
        """In use."""
        return float(self.view.epsilon)

    @property
    def beta1(self) -> float:
        """Decay rate of the first moment."""
        return float(self.view.beta1)

    @property
    def beta2(self) -> float:
        """Decay rate of the second moment."""
        return float(self.view.beta2)

    @property
    def curvature(self) -> float:
        """Curvature s'y / s's of the last step, NaN before the first."""
        return float(self.view.curvature)

    @property
    def t(self) -> int:
        """Updates made."""
        return int(self.view.t)

    @property
    def probing(self) -> bool:
        """Whether the first step length is still being looked for."""
        return bool(self.view.probing)

    def step(self, x: Array, g: Array) -> None:
        """Advance the moments with g, and x in place."""
        state = self.state
        self.view.t += 1
        settings = self.t, self.learning_rate, self.beta1, self.beta2, self.epsilon
        _kernels.adam_step(x, state.vectors[M], state.vectors[V], g, *settings)

    def next(self) -> int:
        """Begin the step after an iteration; answers what is needed."""
        state = self.state
        if state.vectors[X].nbytes < _kernels.THREADED_FROM:
            return int(_ready(adam_next, state.vectors.dtype.char)(state))
        self.view.code = NEED_FG
        state.vectors[XT] = state.vectors[X]
        self.step(state.vectors[XT], state.vectors[G])
        return NEED_FG

    def ask(self) -> Array:
        """Where to evaluate, shape (n,); not to be changed."""
        return self.trial

    def tell(self, f: float, g: Array | None) -> int:
        """Take what was asked for; answer NEED_*, ITERATION or FAILED."""
        vectors = self.state.vectors
        given = vectors[G] if g is None else np.ascontiguousarray(g, dtype=vectors.dtype)
        return int(_ready(adam_tell, vectors.dtype.char)(self.state, float(f), given))

    def arrive(self, f: float, g: Array, before: dict[str, Any]) -> None:
        """Take value and gradient at x after an epoch of steps in place, and judge the epoch as one step.

        Parameters
        ----------
        f, g : float, ndarray
            Of the whole data, at x.
        before : dict
            `get_state` where the epoch began, with the gradient of the whole data there.
        """
        state = self.state
        s = self.x - before["vectors"][X]
        s_s = float(_kernels.dot(s, s))
        slope, after = float(_kernels.dot(s, before["vectors"][G])), float(_kernels.dot(s, g))
        self.view.curvature = (after - slope) / s_s if s_s > 0 else np.nan
        if self.view.adapting:
            if f > self.f:  # slopes of an epoch are noisy; a loss that rose is not
                self.view.rate *= 0.7
            elif after < 0.5 * slope:
                self.view.rate *= 1.1
        self.view.f = float(f)
        state.vectors[G] = g
        self.view.code = ITERATION

    def move(self, x: Array, f: float, g: Array) -> None:
        """Go on at another evaluated point, or with another part of the data; moments and rate stay."""
        state = self.state
        state.vectors[X], state.vectors[G] = x, g
        self.view.f = float(f)
        self.view.rejections = 0
        self.view.reason = NONE
        self.view.code = ITERATION

    def scale_back(self, factor: float = 0.1) -> None:
        """Reduce the learning rate (the driver does so when an epoch ended non-finite)."""
        self.view.rate *= factor

    def scales(self) -> Array:
        """Bias-corrected root of the second moments, sqrt(v / (1 - beta2^t)), units of the gradient."""
        vectors = self.state.vectors
        out = np.empty(vectors.shape[1])
        _ready(adam_scales, vectors.dtype.char)(self.state, out)
        return out


_EXAMPLES: dict[Any, Any] = {
    adam_start: lambda kind: (np.zeros(1, kind), 0.0, np.zeros(1, kind)),
    adam_next: lambda kind: (),
    adam_tell: lambda kind: (0.0, np.zeros(1, kind)),
    adam_scales: lambda kind: (np.zeros(1),),
}


@functools.cache
def _ready(kernel: Any, kind: str) -> Any:
    """Compiled code of a kernel for vectors of this dtype, without the dispatch of every call."""
    return prepare(kernel, *_arguments(kernel)(kind))


def _arguments(kernel: Any) -> Any:
    return lambda kind: (adam_init(1, kind), *_EXAMPLES[kernel](kind))


for _kernel in _EXAMPLES:
    register(_kernel, _arguments(_kernel))
