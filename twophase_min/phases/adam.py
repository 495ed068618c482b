"""Adam over flat vectors in ask/tell form, with a first step length that comes from the problem.

Kingma & Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1 (bias-corrected,
m0 = v0 = 0); the update itself is `_kernels.adam_step`. As in `cg`, Numba kernels over a state of flat arrays
do the work, and a class around them serves loops in Python.
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

# rows of AdamState.vectors; the last only where the variables have sizes
X, G, M, V, XT, SIZES = range(6)
# places in AdamState.real
F, RATE, EPSILON, CURVATURE, SLOPE, TRIAL_F, BETA1, BETA2 = range(8)
# places in AdamState.counts
T, NEED, PROBING, ADAPTING, REJECTIONS, REASON = range(6)
# reasons
NONE, VANISHING, NO_STEP, VANISHED = range(4)

REASONS = (
    "",
    "the steps vanish against x",
    "no finite decreasing step along the first direction",
    "the step vanished against x before the objective became finite or smaller",
)
"""Texts of the reason codes of a failure."""


class AdamState(NamedTuple):
    """All of one run, flat.

    Attributes
    ----------
    vectors : ndarray, shape (5, n) or (6, n)
        Iterate, gradient, first and second moment, trial; and typical sizes of the variables where given.
    real, counts : ndarray of float64 and int64
        Scalars and counters by the names above.
    """

    vectors: np.ndarray
    real: np.ndarray
    counts: np.ndarray


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
    rows = SIZES + (sizes is not None)
    state = AdamState(np.zeros((rows, n), dtype=dtype), np.full(8, np.nan), np.zeros(6, dtype=np.int64))
    if sizes is not None:
        state.vectors[SIZES] = sizes
    if epsilon is None and learning_rate is not None:
        epsilon = 1e-8
    for place, value in ((RATE, learning_rate), (EPSILON, epsilon), (BETA1, beta1), (BETA2, beta2)):
        state.real[place] = np.nan if value is None else value
    state.counts[PROBING] = state.counts[ADAPTING] = learning_rate is None
    state.counts[NEED] = NEED_FG
    return state


@jit(no_cpython_wrapper=True)
def _median(a, count):
    """Median of the first entries, which are reordered (Hoare's selection); 0 for none."""
    if count == 0:
        return 0.0
    low, high, middle = 0, count - 1, (count - 1) // 2
    while low < high:
        pivot = a[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while a[i] < pivot:
                i += 1
            while a[j] > pivot:
                j -= 1
            if i <= j:
                a[i], a[j] = a[j], a[i]
                i += 1
                j -= 1
        if middle <= j:
            high = j
        elif middle >= i:
            low = i
        else:
            break
    lower = np.float64(a[middle])
    if count % 2 == 1:
        return lower
    upper = np.float64(a[middle + 1])
    for k in range(middle + 2, count):
        upper = min(upper, np.float64(a[k]))
    return 0.5 * (lower + upper)


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
    return _median(work, count)


@jit
def adam_start(state, x, f, g):
    """Begin at an evaluated point, the moments at zero; answers what is needed, ITERATION without a probe."""
    vectors, real, counts = state.vectors, state.real, state.counts
    sized, sizes = _sizes(vectors)
    slope = 0.0
    copy(x, vectors[X])
    copy(g, vectors[G])
    for i in range(x.size):
        vectors[M, i] = 0.0
        vectors[V, i] = 0.0
        slope -= (np.float64(sizes[i]) if sized else 1.0) * abs(np.float64(g[i]))
    real[F] = f
    counts[T] = 0
    counts[REJECTIONS] = 0
    counts[REASON] = NONE
    real[CURVATURE] = math.nan
    if math.isnan(real[EPSILON]):
        largest = norm_inf(vectors[G])
        real[EPSILON] = 1e-8 * largest if largest > 0.0 else 1e-8
    if counts[PROBING]:
        real[SLOPE] = slope
        guess = 0.01 * _scale_of_x(vectors)
        if f != 0.0 and slope < 0.0:
            reach = abs(f) / -slope  # where the linear model has removed all of f
            guess = min(guess, reach) if guess > 0.0 else 0.01 * reach
            guess = max(guess, 1e-8 * reach)  # or rounding hides the decrease
        real[RATE] = guess if 0.0 < guess < math.inf else 1.0
        counts[NEED] = NEED_F
        _probe(state)
    else:  # no step yet: an epoch begins with its own gradients, this one must not enter the moments
        copy(x, vectors[XT])
        counts[NEED] = ITERATION
    return counts[NEED]


@jit(no_cpython_wrapper=True)
def _probe(state):
    """Place the trial along -sizes * sign(g); the moments wait until the step length is settled."""
    vectors, rate = state.vectors, state.real[RATE]
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
    vectors, real, counts = state.vectors, state.real, state.counts
    counts[NEED] = NEED_FG
    copy(vectors[X], vectors[XT])
    counts[T] += 1
    adam_serial(
        vectors[XT], vectors[M], vectors[V], vectors[G],
        counts[T], real[RATE], real[BETA1], real[BETA2], real[EPSILON],
    )  # fmt: skip
    return NEED_FG


@jit
def adam_tell(state, f, g):
    """Take what was asked for (g is ignored after NEED_F); answers NEED_*, ITERATION or FAILED."""
    vectors, real, counts = state.vectors, state.real, state.counts
    if counts[PROBING] and counts[NEED] == NEED_F:
        real[TRIAL_F] = f
        if not math.isfinite(f) or f > real[F] + ARMIJO * real[RATE] * real[SLOPE]:
            return _shorten(state, f)
        counts[NEED] = NEED_G
        return NEED_G
    if not math.isfinite(f) or not all_finite(g):
        return _shorten(state, math.nan)
    s_s, before, after, moved = 0.0, 0.0, 0.0, False
    for i in range(g.size):
        s = np.float64(vectors[XT, i]) - np.float64(vectors[X, i])
        moved = moved or s != 0.0
        s_s += s * s
        before += s * vectors[G, i]
        after += s * g[i]
    real[CURVATURE] = (after - before) / s_s if s_s > 0.0 else math.nan
    if counts[PROBING]:
        _settle(state, g)
    elif counts[ADAPTING]:
        _adapt(real, before, after)
    if moved:
        counts[REJECTIONS] = 0
    else:  # momentum may stand still once; for ever, it would be an endless loop without evaluations
        counts[REJECTIONS] += 1
        if counts[REJECTIONS] > MAX_REJECTIONS:
            counts[REASON] = VANISHING
            counts[NEED] = FAILED
            return FAILED
    copy(vectors[XT], vectors[X])
    copy(g, vectors[G])
    real[F] = f
    counts[NEED] = ITERATION
    return ITERATION


@jit(no_cpython_wrapper=True)
def _shorten(state, f):
    """Pull an over-long or non-finite trial towards the iterate."""
    vectors, real, counts = state.vectors, state.real, state.counts
    counts[REJECTIONS] += 1
    if counts[REJECTIONS] > MAX_REJECTIONS:
        counts[REASON] = NO_STEP
        counts[NEED] = FAILED
        return FAILED
    if counts[PROBING]:
        factor = 0.1
        if math.isfinite(f):
            rate, slope = real[RATE], real[SLOPE]
            excess = f - real[F] - slope * rate
            factor = min(0.5, max(0.05, -slope * rate / (2.0 * excess))) if excess > 0.0 else 0.5
        real[RATE] *= factor
        counts[NEED] = NEED_F
        _probe(state)
    else:
        real[RATE] *= 0.1
        # shrink the step, from the iterate that was kept: undoing it by arithmetic would drift
        for i in range(vectors.shape[1]):
            vectors[XT, i] = vectors[X, i] + 0.1 * (vectors[XT, i] - vectors[X, i])
        counts[NEED] = NEED_FG
    for i in range(vectors.shape[1]):
        if vectors[XT, i] != vectors[X, i]:
            return counts[NEED]
    counts[REASON] = VANISHED
    counts[NEED] = FAILED
    return FAILED


@jit(no_cpython_wrapper=True)
def _settle(state, g):
    """Book the accepted probe as Adam's first step and set the learning rate by the secant."""
    vectors, real, counts = state.vectors, state.real, state.counts
    rate, slope = real[RATE], real[SLOPE]
    sized, sizes = _sizes(vectors)
    after = 0.0
    for i in range(g.size):
        old = np.float64(vectors[G, i])
        slope_i = sizes[i] * g[i] if sized else g[i]
        if old > 0.0:
            after -= slope_i
        elif old < 0.0:
            after += slope_i
        vectors[M, i] = (1.0 - real[BETA1]) * old
        vectors[V, i] = (1.0 - real[BETA2]) * (old * old)
    counts[T] = 1
    if after > slope:
        best = SHARE * rate * slope / (slope - after)
        real[RATE] = min(GROWTH * rate, max(rate / GROWTH, best))
    else:  # the slope steepens: not convex along the step
        real[RATE] = math.sqrt(GROWTH) * rate
    counts[PROBING] = 0


@jit(no_cpython_wrapper=True)
def _adapt(real, before, after):
    """Lengthen steps along which the slope hardly changes, shorten those that overshoot.

    A rate found at x0 is right for x0 only. With s'g before and after the step, their ratio is 1 where the
    step is infinitesimal and 0 at the minimiser along it, whatever the units.
    """
    if before >= 0.0:  # momentum went uphill: its slope says nothing about the length
        real[RATE] *= 0.9
    elif after < 0.8 * before:
        real[RATE] *= 1.1
    elif after > 0.0:
        real[RATE] *= 0.8


@jit
def adam_scales(state, out):
    """Bias-corrected root of the second moments, sqrt(v / (1 - beta2^t)), into ``out`` (float64)."""
    share = 1.0 - state.real[BETA2] ** max(state.counts[T], 1)
    for i in range(out.size):
        out[i] = math.sqrt(state.vectors[V, i] / share)


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
        self._settings = (learning_rate, beta1, beta2, epsilon, sizes)
        self.state = adam_init(0, np.float64, *self._settings[:4])

    def start(self, x: Array, f: float, g: Array) -> None:
        """Begin at an evaluated point; moments start at zero."""
        dtype = np.float32 if x.dtype == np.float32 else np.float64
        self.state = adam_init(x.size, dtype, *self._settings)
        adam_start(self.state, np.ascontiguousarray(x, dtype), float(f), np.ascontiguousarray(g, dtype))

    @property
    def x(self) -> Array:
        """Current iterate, shape (n,): the state itself, which an epoch of steps changes in place."""
        return self.state.vectors[X]

    def iterate(self) -> tuple[Array, float, Array]:
        """Return the current iterate with its value and gradient: the state itself, until the next call."""
        return self.state.vectors[X], self.f, self.state.vectors[G]

    @property
    def g(self) -> Array:
        """Gradient there, shape (n,), a copy."""
        return self.state.vectors[G].copy()

    @property
    def m(self) -> Array:
        """First moment, shape (n,); the state itself."""
        return self.state.vectors[M]

    @property
    def v(self) -> Array:
        """Second moment, shape (n,); the state itself."""
        return self.state.vectors[V]

    @property
    def f(self) -> float:
        """Value at the iterate."""
        return float(self.state.real[F])

    @property
    def learning_rate(self) -> float:
        """In use."""
        return float(self.state.real[RATE])

    @property
    def epsilon(self) -> float:
        """In use."""
        return float(self.state.real[EPSILON])

    @property
    def beta1(self) -> float:
        """Decay rate of the first moment."""
        return float(self.state.real[BETA1])

    @property
    def beta2(self) -> float:
        """Decay rate of the second moment."""
        return float(self.state.real[BETA2])

    @property
    def curvature(self) -> float:
        """Curvature s'y / s's of the last step, NaN before the first."""
        return float(self.state.real[CURVATURE])

    @property
    def t(self) -> int:
        """Updates made."""
        return int(self.state.counts[T])

    @property
    def need(self) -> int:
        """What `tell` expects for the point of `ask`; ITERATION where `next` is due; or FAILED."""
        return int(self.state.counts[NEED])

    @property
    def probing(self) -> bool:
        """Whether the first step length is still being looked for."""
        return bool(self.state.counts[PROBING])

    @property
    def reason(self) -> str:
        """Why the phase FAILED."""
        return REASONS[int(self.state.counts[REASON])]

    def step(self, x: Array, g: Array) -> None:
        """Advance the moments with g, and x in place."""
        state = self.state
        state.counts[T] += 1
        rate, epsilon, beta1, beta2 = state.real[[RATE, EPSILON, BETA1, BETA2]].tolist()
        _kernels.adam_step(
            x, state.vectors[M], state.vectors[V], g, int(state.counts[T]), rate, beta1, beta2, epsilon
        )

    def next(self) -> int:
        """Begin the step after an iteration; answers what is needed."""
        state = self.state
        if state.vectors[X].nbytes < _kernels.THREADED_FROM:
            return int(_ready(adam_next, state.vectors.dtype.char)(state))
        state.counts[NEED] = NEED_FG
        state.vectors[XT] = state.vectors[X]
        self.step(state.vectors[XT], state.vectors[G])
        return NEED_FG

    def ask(self) -> Array:
        """Where to evaluate, shape (n,); not to be changed."""
        return self.trial

    @property
    def trial(self) -> Array:
        """Where to evaluate, shape (n,): the state itself, not to be changed."""
        return self.state.vectors[XT]

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
        state.real[CURVATURE] = (after - slope) / s_s if s_s > 0 else np.nan
        if state.counts[ADAPTING]:
            if f > self.f:  # slopes of an epoch are noisy; a loss that rose is not
                state.real[RATE] *= 0.7
            elif after < 0.5 * slope:
                state.real[RATE] *= 1.1
        state.real[F] = float(f)
        state.vectors[G] = g
        state.counts[NEED] = ITERATION

    def scale_back(self, factor: float = 0.1) -> None:
        """Reduce the learning rate (the driver does so when an epoch ended non-finite)."""
        self.state.real[RATE] *= factor

    def scales(self) -> Array:
        """Bias-corrected root of the second moments, sqrt(v / (1 - beta2^t)), units of the gradient."""
        out = np.empty(self.state.vectors.shape[1])
        adam_scales(self.state, out)
        return out

    def get_state(self, copied: bool = True) -> dict[str, Any]:
        """Everything that the rest of the run depends on; not copied where the phase has ended."""
        return {name: value.copy() if copied else value for name, value in self.state._asdict().items()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from `get_state`, bit for bit."""
        self.state = AdamState(**{name: np.array(state[name]) for name in AdamState._fields})


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
