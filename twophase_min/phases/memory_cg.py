"""Conjugate gradients with a limited memory: Numba kernels in ask/tell form, and a class around them.

- ``memory = 0``: nonlinear conjugate gradients by the Hager-Zhang formula with its truncation, and a line
  search that is all but exact where f is a parabola;
- ``memory > 0``: the limited-memory BFGS recursion over the last ``memory`` pairs (s, y). On a quadratic with
  exact line searches its directions are those of conjugate gradients whatever the memory; everywhere else
  every pair remembered makes up for an inexact search.

Both share one line search, one failure ladder and one state.

A diagonal change of variables ``x = d * z`` enters as the metric ``D = diag(d**2)``: every direction starts
from ``-D g`` instead of ``-g``, which is what the same method does in z, without ever forming z.

No constant has units: multiplying f, or x and its start, by a power of two changes no decision.

References: Hager & Zhang, SIAM J. Optim. 16 (2005) 170-192 and 23 (2013) 2150-2168; Nocedal & Wright,
*Numerical Optimization* (2006), chapters 3, 5, 6 and 7.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from twophase_min.jit.compilation import jit, prepare, register
from twophase_min.jit.kernels import all_finite, axpy, axpy_dot, copy, dot, norm2, trial_point
from twophase_min.phases import FAILED, ITERATION, NEED_F, NEED_G
from twophase_min.phases.line_search import (
    BEST_A,
    BEST_F,
    C2,
    FA,
    A,
    line_init,
    line_start,
    line_tell_f,
    line_tell_g,
)

# rows of CGState.vectors; the last only where the variables are scaled
X, G, P, XT, METRIC = range(5)
# places in CGState.real, behind those of the line search
F, SLOPE, STEP_NORM, BETA, FIRST, EPS, GAMMA, PREDICTED, LAST_A, LAST_SLOPE, PLAIN_C1 = range(21, 32)
# places in CGState.counts, behind those of the line search
CODE, MODE, REASON, PAIRS, HEAD, STEEP, PRECISION = range(5, 12)
ITERATIONS, VALUES, GRADIENTS, RESTARTS, RESCUES, SKIPPED = range(12, 18)
# modes
SEARCHING, RESCUING = 0, 1
# reasons
NONE, ZERO_GRADIENT, WORKING_PRECISION, NO_DECREASE, NOT_FINITE = range(5)

REASONS = (
    "",
    "the gradient is zero",
    "the predicted decrease is below the rounding of f: converged to working precision",
    "no decrease along the steepest descent, though the slope promises more than rounding: "
    "noise in f, a wrong gradient or a discontinuity",
    "the gradient is not finite",
)
"""Texts of the reason codes of a failure."""

STEEP_C1 = 0.1
"""Sufficient decrease along -D g, where the step length is a guess: an over-long step that happens to
decrease f a little (into a far plateau, say) is shortened instead of accepted."""
GUESS_X, GUESS_F = 1.0, 2.0
"""First step: at most this many times max|x|, and this many times |f| / |slope| (2: a parabola down to 0)."""


class CGState(NamedTuple):
    """All of one run, flat: saving, resuming and rolling back are copies.

    Few arrays, because every one of them adds to the compile time of every kernel that is handed the state.

    Attributes
    ----------
    vectors : ndarray, shape (4, n) or (5, n)
        Iterate, gradient, direction, trial; and the squared change of variables where there is one (without
        it every kernel saves a stream of memory).
    pairs : ndarray, shape (2, memory, n)
        Steps s and gradient differences y, a ring.
    ring : ndarray of float64, shape (2, memory)
        1 / (s.y), and scratch of the two-loop recursion.
    real, counts : ndarray of float64 and int64
        Scalars and counters by the names above; the line search's own come first.
    """

    vectors: np.ndarray
    pairs: np.ndarray
    ring: np.ndarray
    real: np.ndarray
    counts: np.ndarray


def cg_init(
    n: int,
    memory: int,
    dtype: Any = np.float64,
    c1: float = 1e-4,
    c2: float = 0.9,
    upper: float = math.inf,
    scaled: bool = True,
) -> CGState:
    """Allocate the state for ``n`` variables and ``memory`` pairs, with or without a change of variables.

    ``c1``, ``c2`` and ``upper`` are the constants of the line search, see `line_search.line_init`.
    """
    state = CGState(
        np.zeros((METRIC + scaled, n), dtype=dtype),
        np.zeros((2, memory, n), dtype=dtype),
        np.zeros((2, memory)),
        np.zeros(PLAIN_C1 + 1),
        np.zeros(SKIPPED + 1, dtype=np.int64),
    )
    r, k = line_init(c2, upper, refine=memory == 0)
    state.real[: r.size] = r
    state.counts[: k.size] = k
    state.vectors[METRIC:] = 1
    state.real[EPS] = float(np.finfo(dtype).eps)
    state.real[PLAIN_C1] = c1
    return state


@jit(no_cpython_wrapper=True)
def _metric(state):
    """Whether the variables are scaled, and the metric; without one some row that is not looked at."""
    scaled = state.vectors.shape[0] > METRIC
    return scaled, state.vectors[METRIC if scaled else X]


@jit(no_cpython_wrapper=True)
def _reset(state):
    """Forget all curvature."""
    state.counts[PAIRS] = 0
    state.counts[HEAD] = 0
    state.real[BETA] = 0.0
    state.real[GAMMA] = 1.0


@jit
def cg_start(state, x, f, g, first_step):
    """Begin at an evaluated point, with no pairs; ``first_step`` is a length in x, 0 for none. ITERATION."""
    copy(x, state.vectors[X])
    copy(g, state.vectors[G])
    state.real[F] = f
    state.real[FIRST] = first_step
    state.real[STEP_NORM] = 0.0
    state.real[LAST_SLOPE] = 0.0
    for i in range(CODE, state.counts.size):
        state.counts[i] = 0
    _reset(state)
    state.counts[CODE] = ITERATION
    return ITERATION


@jit
def cg_typical(state):
    """Take the sizes of x as the typical sizes of the variables where the gradient supports it.

    If every variable has its own unit, a gradient entry carries the inverse of that unit, so log|g| falls
    with log|x| with slope -1; if all variables have one unit, x says nothing about g and the slope is near 0
    or positive. Below -1/2 the metric becomes ``D = diag(x**2)`` (a zero gets the geometric mean of the
    others), which makes the whole run independent of the units of the single variables. True if so.
    """
    x, g = state.vectors[X], state.vectors[G]
    scaled, metric = _metric(state)
    if not scaled:  # no place for one
        return False
    used = 0
    mean_x = 0.0
    mean_g = 0.0
    mean_all = 0.0
    sizes = 0
    for i in range(x.size):
        if x[i] != 0.0:
            mean_all += math.log(abs(x[i]))
            sizes += 1
            if g[i] != 0.0:
                mean_x += math.log(abs(x[i]))
                mean_g += math.log(abs(g[i]))
                used += 1
    if used < 2:
        return False
    mean_x /= used
    mean_g /= used
    mean_all /= sizes
    xx = 0.0
    xg = 0.0
    for i in range(x.size):
        if x[i] != 0.0 and g[i] != 0.0:
            dx = math.log(abs(x[i])) - mean_x
            xx += dx * dx
            xg += dx * (math.log(abs(g[i])) - mean_g)
    if not (xx > 0.0 and xg < -0.5 * xx):
        return False
    for i in range(x.size):
        d = 1.0
        if x[i] != 0.0:
            # bounded so that the square stays an ordinary number in float32 too
            d = math.exp(min(max(math.log(abs(x[i])) - mean_all, -40.0), 40.0))
        metric[i] = d * d
    return True


@jit(no_cpython_wrapper=True)
def _length(state, p):
    """Norm of a step or direction in the scaled variables, ``sqrt(p . D^-1 p)``."""
    scaled, metric = _metric(state)
    total = 0.0
    for i in range(p.size):
        d = np.float64(metric[i]) if scaled else 1.0
        total += np.float64(p[i]) / d * np.float64(p[i])
    return math.sqrt(total)


@jit(no_cpython_wrapper=True)
def _dual_length(state, g):
    """Norm of a gradient in the scaled variables, ``sqrt(g . D g)``."""
    scaled, metric = _metric(state)
    total = 0.0
    for i in range(g.size):
        d = np.float64(metric[i]) if scaled else 1.0
        total += np.float64(g[i]) * d * np.float64(g[i])
    return math.sqrt(total)


@jit(no_cpython_wrapper=True)
def _first_guess(state, slope):
    """Guess a step along ``-D g`` without units; see `MemoryCG`."""
    real, p, x = state.real, state.vectors[P], state.vectors[X]
    scaled, metric = _metric(state)
    if real[STEP_NORM] > 0.0:
        return real[STEP_NORM] / math.sqrt(-slope)
    if real[FIRST] > 0.0:
        return real[FIRST] / norm2(p)
    size = 0.0
    reach = 0.0
    for i in range(x.size):
        d = math.sqrt(metric[i]) if scaled else 1.0
        size = max(size, abs(x[i]) / d)
        reach = max(reach, abs(p[i]) / d)
    guess = math.inf
    if size > 0.0:
        guess = GUESS_X * size / reach
    if real[F] != 0.0:
        guess = min(guess, GUESS_F * abs(real[F]) / -slope)
    if not 0.0 < guess < math.inf:
        guess = 1.0 / reach
    return guess


@jit(no_cpython_wrapper=True)
def _two_loop(state):
    """Set ``p = -H g`` from the pairs in memory (N&W algorithm 7.4)."""
    p, g = state.vectors[P], state.vectors[G]
    scaled, metric = _metric(state)
    s, y = state.pairs[0], state.pairs[1]
    rho, alpha = state.ring[0], state.ring[1]
    m = rho.size
    many = state.counts[PAIRS]
    j = (state.counts[HEAD] - 1 + m) % m
    for i in range(p.size):
        p[i] = -g[i]
    inner = dot(s[j], p)
    for back in range(many):
        alpha[j] = rho[j] * inner
        if back + 1 == many:
            axpy(-alpha[j], y[j], p)
        else:  # in one pass over p with the next pair's inner product
            older = j - 1 if j > 0 else m - 1
            inner = axpy_dot(-alpha[j], y[j], p, s[older])
            j = older
    for i in range(p.size):
        p[i] *= state.real[GAMMA] * (metric[i] if scaled else 1.0)
    inner = dot(y[j], p)
    for back in range(many):
        factor = alpha[j] - rho[j] * inner
        if back + 1 == many:
            axpy(factor, s[j], p)
        else:
            newer = j + 1 if j + 1 < m else 0
            inner = axpy_dot(factor, s[j], p, y[newer])
            j = newer


@jit(no_cpython_wrapper=True)
def _begin_search(state, slope, step, c1):
    """Start the line search along p and place its first trial."""
    real = state.real
    real[SLOPE] = slope
    noise = 4.0 * real[EPS] * abs(real[F])
    # what a parabola with its minimum at the first trial would still gain
    real[PREDICTED] = -0.5 * slope * step
    state.counts[PRECISION] = 1 if real[PREDICTED] <= 0.25 * noise else 0
    return _place(state, line_start(real, state.counts, real[F], slope, step, noise, c1))


@jit(no_cpython_wrapper=True)
def _place(state, code):
    """Set the trial point for a value (or leave it for a gradient) and note what is wanted."""
    if code == NEED_F:
        trial_point(state.vectors[X], state.real[A], state.vectors[P], state.vectors[XT])
    state.counts[CODE] = code
    return code


@jit(no_cpython_wrapper=True)
def _restart(state):
    """Forget the memory and search along ``-D g``; NEED_F, or FAILED."""
    p, g = state.vectors[P], state.vectors[G]
    scaled, metric = _metric(state)
    if state.counts[PAIRS] > 0 or state.real[BETA] != 0.0:
        state.counts[RESTARTS] += 1
    _reset(state)
    for i in range(p.size):
        p[i] = -metric[i] * g[i] if scaled else -g[i]
    slope = dot(p, g)
    state.counts[STEEP] = 1
    state.counts[MODE] = SEARCHING
    if slope < 0.0 and math.isfinite(slope):
        c1 = max(state.real[PLAIN_C1], min(STEEP_C1, 0.5 * state.real[C2]))
        return _begin_search(state, slope, _first_guess(state, slope), c1)
    state.counts[REASON] = ZERO_GRADIENT if slope == 0.0 else NOT_FINITE
    state.counts[CODE] = FAILED
    return FAILED


@jit
def cg_next(state):
    """Choose a direction and place the first trial of its line search: NEED_F, or FAILED."""
    real, counts = state.real, state.counts
    p, g = state.vectors[P], state.vectors[G]
    scaled, metric = _metric(state)
    counts[MODE] = SEARCHING
    step = 1.0
    if counts[PAIRS] > 0:
        _two_loop(state)
        slope = dot(p, g)
    elif real[BETA] != 0.0:
        for i in range(p.size):
            p[i] = real[BETA] * p[i] - (metric[i] * g[i] if scaled else g[i])
        slope = dot(p, g)
        # the first-order change is expected to repeat (N&W equation before 3.60)
        step = real[LAST_A] * real[LAST_SLOPE] / slope
    else:
        return _restart(state)
    # sufficient descent, measured as an angle: far below what a sound memory ever gives
    scale = _dual_length(state, g) * _length(state, p)
    if slope < -1e-12 * scale and scale < math.inf and 0.0 < step < math.inf:
        counts[STEEP] = 0
        return _begin_search(state, slope, step, real[PLAIN_C1])
    return _restart(state)


@jit(no_cpython_wrapper=True)
def _after_no_decrease(state):
    """Restart along -D g, or give up where that was the direction already."""
    if state.counts[STEEP] == 0:
        return _restart(state)
    state.counts[REASON] = WORKING_PRECISION if state.counts[PRECISION] else NO_DECREASE
    state.counts[CODE] = FAILED
    return FAILED


@jit(no_cpython_wrapper=True)
def _learn(state, s, y):
    """Take a pair into the memory if its curvature is positive.

    The recursion starts from a multiple of D that the newest pair sets. Where the memory reaches back further
    than there are variables, that start only matters in directions not seen yet, mostly flat ones: the longer
    of the two usual scales, ``s.s / s.y``, lets them move. Where pairs are forgotten it matters in every
    direction, and the shorter one, ``s.y / y.y``, keeps the unit step acceptable.
    """
    sy = dot(s, y)
    s_length = _length(state, s)
    y_length = _dual_length(state, y)
    if sy > state.real[EPS] * s_length * y_length and 0.0 < y_length < math.inf and s_length < math.inf:
        m = state.ring.shape[1]
        j = state.counts[HEAD]
        copy(s, state.pairs[0, j])
        copy(y, state.pairs[1, j])
        state.ring[0, j] = 1.0 / sy
        state.real[GAMMA] = s_length / sy * s_length if m >= s.size else sy / y_length / y_length
        state.counts[HEAD] = (j + 1) % m
        state.counts[PAIRS] = min(state.counts[PAIRS] + 1, m)
        return True
    state.counts[SKIPPED] += 1
    return False


@jit(no_cpython_wrapper=True)
def _hager_zhang(state, new):
    """Set beta for ``p = -D g + beta p`` from y (row G), the new gradient, the old p and its slope.

    Hager & Zhang 2013, equations (2.1)-(2.2) with their eta = 0.4, in the metric D.
    """
    p, y = state.vectors[P], state.vectors[G]
    scaled, metric = _metric(state)
    gy = 0.0
    yy = 0.0
    pp = 0.0
    for i in range(p.size):
        d = np.float64(metric[i]) if scaled else 1.0
        dy = d * np.float64(y[i])
        gy += np.float64(new[i]) * dy
        yy += np.float64(y[i]) * dy
        pp += np.float64(p[i]) * np.float64(p[i]) / d
    py = dot(p, y)
    beta = 0.0
    if py > 0.0 and pp > 0.0:
        beta = (gy - 2.0 * yy * dot(p, new) / py) / py
        beta = max(beta, 0.4 * state.real[SLOPE] / pp)
    state.real[BETA] = beta if math.isfinite(beta) else 0.0


@jit(no_cpython_wrapper=True)
def _accept(state, a, f, g):
    """Move to the trial, and learn from the step.

    Its pair takes the places of the trial and of the old gradient, until the new one comes in.
    """
    real, counts, v = state.real, state.counts, state.vectors
    for i in range(v.shape[1]):
        v[G, i] = g[i] - v[G, i]
        step = v[XT, i] - v[X, i]
        v[X, i] = v[XT, i]
        v[XT, i] = step
    length = _length(state, v[XT])
    if 0.0 < length < math.inf:
        real[STEP_NORM] = length
    if state.ring.shape[1] > 0:
        _learn(state, v[XT], v[G])
    else:
        _hager_zhang(state, g)
    copy(g, v[G])
    real[F] = f
    real[LAST_A] = a
    real[LAST_SLOPE] = real[SLOPE]
    counts[ITERATIONS] += 1
    counts[CODE] = ITERATION
    return ITERATION


@jit(no_cpython_wrapper=True)
def _moves(state):
    """Whether the trial differs from the iterate by more than the rounding of some variable.

    A last digit of x can be had for ever, at the price of a failed search each.
    """
    x, trial = state.vectors[X], state.vectors[XT]
    for i in range(x.size):  # noqa: SIM110
        if abs(trial[i] - x[i]) > 4.0 * state.real[EPS] * abs(x[i]):
            return True
    return False


@jit
def cg_tell(state, f, g):
    """Take the value (after NEED_F; g is ignored) or the gradient (after NEED_G; f is ignored) at the trial.

    Answers NEED_F, NEED_G, ITERATION (the iterate has moved; call `cg_next`) or FAILED. A search that fails
    first takes its lowest value (asking for the gradient there), then restarts along ``-D g``.
    """
    real, counts = state.real, state.counts
    if counts[CODE] == NEED_F:
        counts[VALUES] += 1
        code = line_tell_f(real, counts, f)
    else:
        counts[GRADIENTS] += 1
        slope = math.nan
        if all_finite(g):
            slope = dot(g, state.vectors[P])
        if counts[MODE] == RESCUING:
            if math.isfinite(slope):
                return _accept(state, real[BEST_A], real[BEST_F], g)
            return _after_no_decrease(state)
        code = line_tell_g(real, counts, slope)
        if code == ITERATION:
            return _accept(state, real[A], real[FA], g)
    if code != FAILED:
        return _place(state, code)
    if real[BEST_A] > 0.0:
        trial_point(state.vectors[X], real[BEST_A], state.vectors[P], state.vectors[XT])
        if _moves(state):
            counts[MODE] = RESCUING
            counts[RESCUES] += 1
            counts[CODE] = NEED_G
            return NEED_G
    return _after_no_decrease(state)


@jit
def cg_add_pair(state, s, y):
    """Teach the memory a pair from elsewhere (Adam's steps); False where its curvature is not positive.

    Between `cg_start` or ITERATION and `cg_next` only.
    """
    if state.ring.shape[1] == 0:
        return False
    return _learn(state, s, y)


def default_memory(n: int) -> int:
    """Pairs to keep when nobody says: 50, fewer where they would take more than 512 MB, never under 3."""
    return int(min(50, max(3, 2**29 // (16 * max(n, 1)))))


class MemoryCG:
    """Limited-memory conjugate gradients as a phase: start, ask, tell.

    Parameters
    ----------
    memory : int, optional
        Pairs (s, y) to keep, >= 0; 0 is plain conjugate gradients. None: `default_memory`.
    c1 : float, default 1e-4
        Sufficient decrease of the line search, 0 < c1 < 1/2.
    c2 : float, optional
        Curvature condition, c1 < c2 < 1. None: 0.9 with memory (weak Wolfe), 0.2 without (strong Wolfe).
    precondition : 'auto' or None, default 'auto'
        What to do where `start` is given no ``diagonal``: 'auto' takes the sizes of x for the scales of the
        variables if the gradient there supports it (`cg_typical`), None takes all scales as equal.

    Notes
    -----
    The first trial goes along ``-D g`` by the shorter of max|x| (in the scaled variables) and twice the
    distance at which the linear model has removed all of f; with x = 0 and f = 0 there is no scale, and the
    largest entry moves by 1. Scaling f, or x about the origin, therefore scales the whole run; shifting f or
    x does not leave the first step alone. A trial along ``-D g`` must bring a tenth of the decrease promised.

    Attributes
    ----------
    need : int
        NEED_F or NEED_G: what `tell` expects for the point of `ask`; or FAILED.
    x, f, g : ndarray, float, ndarray
        Current iterate (copies).
    reason : str
        Why the phase failed.
    """

    name = "memory-cg"

    def __init__(
        self,
        memory: int | None = None,
        c1: float = 1e-4,
        c2: float | None = None,
        precondition: str | None = "auto",
    ):
        if memory is not None and memory < 0:
            raise ValueError("memory must be >= 0")
        if precondition not in ("auto", None):
            raise ValueError("precondition must be 'auto' or None; hand a diagonal to start() otherwise")
        self.memory = memory
        self.c1 = float(c1)
        self.c2 = c2
        self.precondition = precondition
        self.state: CGState = cg_init(0, 0)

    @property
    def scaled(self) -> bool:
        """Whether there is a change of variables, or place for one."""
        return self.state.vectors.shape[0] > METRIC

    def allocate(self, n: int, dtype: Any, scaled: bool) -> None:
        """Make a state for n variables, with place for a change of variables or without."""
        memory = default_memory(n) if self.memory is None else int(self.memory)
        c2 = (0.9 if memory else 0.2) if self.c2 is None else float(self.c2)
        if not 0 < self.c1 < min(0.5, c2) or not c2 < 1:
            raise ValueError("the Wolfe constants must satisfy 0 < c1 < 1/2 and c1 < c2 < 1")
        self.state = cg_init(n, memory, dtype, self.c1, c2, math.inf if memory else c2, scaled)

    def start(
        self,
        x: np.ndarray,
        f: float,
        g: np.ndarray,
        first_step: float | None = None,
        pairs: Any = None,
        diagonal: np.ndarray | None = None,
    ) -> int:
        """Begin at an evaluated point.

        Parameters
        ----------
        x, g : ndarray, shape (n,)
            Point and gradient; float32 stays float32, anything else becomes float64.
        f : float
            Value at x.
        first_step : float, optional
            Length (in x) of the first trial step; None guesses from ``x`` and ``f``.
        pairs : sequence of (s, y), optional
            Steps and gradient differences seen before, oldest first; those without curvature are skipped.
        diagonal : ndarray, shape (n,), optional
            Change of variables ``x = diagonal * z``, positive and finite.

        Returns
        -------
        int
            NEED_F, or FAILED (zero or non-finite gradient).
        """
        x = np.asarray(x)
        dtype = np.float32 if x.dtype == np.float32 else np.float64
        x = np.ascontiguousarray(x, dtype=dtype)
        g = np.ascontiguousarray(g, dtype=dtype)
        if x.ndim != 1 or x.shape != g.shape:
            raise ValueError("x and g must be vectors of one length")
        self.allocate(x.size, dtype, diagonal is not None or self.precondition == "auto")
        if diagonal is not None:
            d = np.asarray(diagonal, dtype=float)
            if d.shape != x.shape or not np.all(np.isfinite(d)) or not np.all(d > 0):
                raise ValueError("diagonal must be positive, finite and as long as x")
            self.state.vectors[METRIC] = d * d
        cg_start(self.state, x, float(f), g, float(first_step or 0.0))
        if diagonal is None and self.precondition == "auto":
            cg_typical(self.state)
        for s, y in pairs or ():
            cg_add_pair(
                self.state, np.ascontiguousarray(s, dtype=dtype), np.ascontiguousarray(y, dtype=dtype)
            )
        return self.next()

    def next(self) -> int:
        """Begin the step after an iteration; answers what is needed."""
        return int(_ready(cg_next, self.state.vectors.dtype.char)(self.state))

    @property
    def need(self) -> int:
        """What is wanted now; begins the next step if an iteration has just ended."""
        code = int(self.state.counts[CODE])
        return self.next() if code == ITERATION else code

    def ask(self) -> np.ndarray:
        """Where to evaluate, shape (n,), a copy."""
        if self.need == FAILED:
            raise RuntimeError(f"nothing to ask for: {self.reason}")
        return self.trial.copy()

    @property
    def trial(self) -> np.ndarray:
        """Where to evaluate, shape (n,): the state itself, not to be changed."""
        return self.state.vectors[XT]

    def tell(self, f: float, g: np.ndarray | None = None) -> int:
        """Take what was asked for; answers NEED_F, NEED_G, ITERATION or FAILED.

        Where the gradient comes with the value anyway, hand over both: it is used if it is wanted next.
        """
        state = self.state
        given = state.vectors[G] if g is None else np.ascontiguousarray(g, dtype=state.vectors.dtype)
        if g is None and self.need == NEED_G:
            raise ValueError("the gradient is wanted")
        tell = _ready(cg_tell, state.vectors.dtype.char)
        mode = state.counts[MODE]
        code = tell(state, float(f), given)
        if code == NEED_G and g is not None and state.counts[MODE] == mode == SEARCHING:
            code = tell(state, float(f), given)
        return int(code)

    def iterate(self) -> tuple[np.ndarray, float, np.ndarray]:
        """Return the current iterate with its value and gradient: the state itself, until the next call."""
        return self.state.vectors[X], self.f, self.state.vectors[G]

    @property
    def x(self) -> np.ndarray:
        """Current iterate."""
        return self.state.vectors[X].copy()

    @property
    def f(self) -> float:
        """Value at the iterate."""
        return float(self.state.real[F])

    @property
    def g(self) -> np.ndarray:
        """Gradient at the iterate."""
        return self.state.vectors[G].copy()

    @property
    def reason(self) -> str:
        """Why the phase failed, empty while it has not."""
        return REASONS[int(self.state.counts[REASON])]

    @property
    def working_precision(self) -> bool:
        """Whether the decrease predicted for the current search is below the rounding of f."""
        return bool(self.state.counts[PRECISION])

    @property
    def counters(self) -> dict[str, int]:
        """Iterations, values and gradients told, restarts, rescued searches, skipped pairs."""
        names = ("iterations", "values", "gradients", "restarts", "rescues", "skipped")
        return {
            name: int(v) for name, v in zip(names, self.state.counts[ITERATIONS : SKIPPED + 1], strict=True)
        }

    def get_state(self, copied: bool = True) -> dict[str, np.ndarray]:
        """Everything that the rest of the run depends on; not copied where the phase has ended.

        Of the pairs only those in use, as copies if these are not all.
        """
        used = memory = self.state.pairs.shape[1]
        if self.state.counts[PAIRS] <= self.state.counts[HEAD]:  # the ring has not come round
            used = int(self.state.counts[HEAD])
        arrays = self.state._asdict()
        del arrays["pairs"]
        state = {name: value.copy() if copied else value for name, value in arrays.items()}
        pairs = self.state.pairs[:, :used]
        return state | {"pairs": pairs.copy() if copied or used < memory else pairs}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """Go on from `get_state`, bit for bit."""
        saved = {name: np.array(state[name]) for name in CGState._fields if name != "pairs"}
        memory, (_, used, n) = saved["ring"].shape[1], state["pairs"].shape
        pairs = np.zeros((2, memory, n), dtype=saved["vectors"].dtype)
        pairs[:, :used] = state["pairs"]
        self.state = CGState(**saved, pairs=pairs)


def minimize_memory_cg(
    fun: Any, jac: Any, x0: np.ndarray, gtol: float = 1e-6, maxfun: float = math.inf, solver: Any = None
) -> tuple[np.ndarray, bool, str]:
    """Drive `MemoryCG` alone, for tests and benchmarks; `minimize` is the front door for users.

    Stops when ``max |g| <= gtol``, when the phase fails, or after ``maxfun`` evaluations (a value and a
    gradient count one each). Returns (x, success, message).
    """
    solver = MemoryCG() if solver is None else solver
    x = np.asarray(x0, dtype=float)
    f, g, spent = fun(x), jac(x), 2
    if not (np.isfinite(f) and np.all(np.isfinite(g))):
        return x, False, "f or its gradient is not finite at the start"
    code = solver.start(x, f, g)
    while np.max(np.abs(solver.g)) > gtol:
        if code == ITERATION:
            code = solver.next()
        if code == FAILED:
            return solver.x, False, solver.reason
        if spent >= maxfun:
            return solver.x, False, "out of evaluations"
        x = solver.ask()
        code = solver.tell(fun(x)) if code == NEED_F else solver.tell(math.nan, jac(x))
        spent += 1
    return solver.x, True, "gradient test"


_EXAMPLES: dict[Any, Any] = {
    cg_start: lambda kind: (np.zeros(1, kind), 0.0, np.zeros(1, kind), 0.0),
    cg_typical: lambda kind: (),
    cg_next: lambda kind: (),
    cg_tell: lambda kind: (0.0, np.zeros(1, kind)),
    cg_add_pair: lambda kind: (np.zeros(1, kind), np.zeros(1, kind)),
}


@functools.cache
def _ready(kernel: Any, kind: str) -> Any:
    """Compiled code of a kernel for vectors of this dtype, without the dispatch of every call."""
    return prepare(kernel, *_arguments(kernel)(kind))


def _arguments(kernel: Any) -> Any:
    return lambda kind: (cg_init(1, 1, kind), *_EXAMPLES[kernel](kind))


for _kernel in _EXAMPLES:
    register(_kernel, _arguments(_kernel))


__all__ = [
    "CGState",
    "MemoryCG",
    "cg_add_pair",
    "cg_init",
    "cg_next",
    "cg_start",
    "cg_tell",
    "minimize_memory_cg",
]
