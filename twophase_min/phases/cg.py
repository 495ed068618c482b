"""Conjugate gradients with as much memory as is allowed: Numba kernels in ask/tell form, and a class.

Three directions share one line search, one failure ladder and one state:

- ``memory = 0``: nonlinear conjugate gradients, the Hager-Zhang formula with its truncation;
- ``0 < memory < n``: the limited-memory BFGS recursion over the last ``memory`` pairs (s, y);
- ``memory >= n``: nothing needs to be forgotten, so the pairs live on as the dense inverse-Hessian matrix.

A diagonal change of variables ``x = d * z`` enters as the metric ``D = diag(d**2)``: every direction starts
from ``-D g`` instead of ``-g``, which is what the same method does in z, without ever forming z.

No constant has units: multiplying f, or x and its start, by a power of two changes no decision.

References: Hager & Zhang, SIAM J. Optim. 16 (2005) 170-192 and 23 (2013) 2150-2168; Nocedal & Wright,
*Numerical Optimization* (2006), chapters 3, 5, 6 and 7.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from twophase_min._jit import jit
from twophase_min._kernels import all_finite, axpy, dot, norm2, norm_inf, trial_point
from twophase_min.phases import FAILED, ITERATION, NEED_F, NEED_G
from twophase_min.phases.line_search import (
    BEST_A,
    BEST_F,
    FA,
    A,
    LineState,
    line_init,
    line_start,
    line_tell_f,
    line_tell_g,
)

# places in CGState.real
F, SLOPE, STEP_NORM, BETA, FIRST, EPS, GAMMA, PREDICTED, LAST_A, LAST_SLOPE, NOISE = range(11)
N_REAL = 11
# places in CGState.count
CODE, MODE, REASON, PAIRS, HEAD, SCALED, STEEP, PRECISION = range(8)
ITERATIONS, VALUES, GRADIENTS, RESTARTS, RESCUES, SKIPPED = range(8, 14)
N_COUNT = 14
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


class CGState(NamedTuple):
    """All of one run, flat: saving, resuming and rolling back are copies.

    Attributes
    ----------
    x, g, p, xt, gt, metric, work : ndarray, shape (n,)
        Iterate, gradient, direction, trial, gradient at the trial, squared change of variables, scratch.
    s, y : ndarray, shape (memory, n)
        Steps and gradient differences, a ring; empty where the matrix is kept.
    rho, alpha : ndarray of float64, shape (memory,)
        1 / (s.y), and scratch of the two-loop recursion.
    h : ndarray of float64, shape (n, n) or (0, 0)
        Inverse-Hessian matrix.
    real, count : ndarray of float64 and int64
        Scalars and counters by the names above.
    line_real, line_count : ndarray
        The line search (`line_search.LineState`).
    """

    x: np.ndarray
    g: np.ndarray
    p: np.ndarray
    xt: np.ndarray
    gt: np.ndarray
    metric: np.ndarray
    work: np.ndarray
    s: np.ndarray
    y: np.ndarray
    rho: np.ndarray
    alpha: np.ndarray
    h: np.ndarray
    real: np.ndarray
    count: np.ndarray
    line_real: np.ndarray
    line_count: np.ndarray


def cg_init(n: int, memory: int, dtype: Any = np.float64) -> CGState:
    """Allocate the state for ``n`` variables and ``memory`` pairs; ``memory >= n`` keeps the dense matrix."""
    dense = 0 < n <= memory
    m = 0 if dense else memory
    vectors = [np.zeros(n, dtype=dtype) for _ in range(7)]
    line = line_init()
    state = CGState(
        *vectors,
        np.zeros((m, n), dtype=dtype),
        np.zeros((m, n), dtype=dtype),
        np.zeros(m),
        np.zeros(m),
        np.zeros((n, n) if dense else (0, 0)),
        np.zeros(N_REAL),
        np.zeros(N_COUNT, dtype=np.int64),
        line.real,
        line.count,
    )
    state.metric[:] = 1
    state.real[EPS] = float(np.finfo(dtype).eps)
    return state


@jit
def _reset(state):
    """Forget all curvature."""
    state.count[PAIRS] = 0
    state.count[HEAD] = 0
    state.count[SCALED] = 0
    state.real[BETA] = 0.0
    state.real[GAMMA] = 1.0


@jit
def cg_start(state, x, f, g, first_step):
    """Begin at an evaluated point, with no pairs; ``first_step`` is a length in x, 0 for none. ITERATION."""
    state.x[:] = x
    state.g[:] = g
    state.p[:] = 0
    state.real[F] = f
    state.real[FIRST] = first_step
    state.real[STEP_NORM] = 0.0
    state.real[LAST_SLOPE] = 0.0
    state.count[:] = 0
    _reset(state)
    state.count[CODE] = ITERATION
    return ITERATION


@jit
def _steepest(state):
    """Set ``p = -D g`` and return the slope along it."""
    for i in range(state.p.size):
        state.p[i] = -state.metric[i] * state.g[i]
    return dot(state.p, state.g)


@jit
def _first_guess(state, slope):
    """Guess a step along ``-D g`` without units; see `MemoryCG`."""
    length = norm2(state.p)
    if state.real[STEP_NORM] > 0.0:
        return state.real[STEP_NORM] / length
    if state.real[FIRST] > 0.0:
        return state.real[FIRST] / length
    size = norm_inf(state.x)
    f = abs(state.real[F])
    guess = math.inf
    if size > 0.0:
        guess = 0.1 * size / norm_inf(state.p)
    if f > 0.0:
        guess = min(guess, 2.0 * f / -slope)
    if not guess > 0.0 or math.isinf(guess):
        guess = 1.0 / length
    return guess


@jit
def _two_loop(state):
    """Set ``p = -H g`` from the pairs in memory (N&W algorithm 7.4)."""
    p = state.p
    m = state.rho.size
    pairs = state.count[PAIRS]
    for i in range(p.size):
        p[i] = -state.g[i]
    for k in range(pairs):
        j = (state.count[HEAD] - 1 - k) % m
        a = state.rho[j] * dot(state.s[j], p)
        state.alpha[j] = a
        axpy(-a, state.y[j], p)
    for i in range(p.size):
        p[i] *= state.real[GAMMA] * state.metric[i]
    for k in range(pairs - 1, -1, -1):
        j = (state.count[HEAD] - 1 - k) % m
        axpy(state.alpha[j] - state.rho[j] * dot(state.y[j], p), state.s[j], p)


@jit
def _begin_search(state, slope, step):
    """Start the line search along p and place its first trial."""
    real = state.real
    real[SLOPE] = slope
    noise = 4.0 * real[EPS] * abs(real[F])
    real[NOISE] = noise
    # what a quadratic with its minimum at the first trial would still gain
    real[PREDICTED] = -0.5 * slope * step
    state.count[PRECISION] = 1 if real[PREDICTED] <= 0.25 * noise else 0
    line_start(LineState(state.line_real, state.line_count), real[F], slope, step, noise)
    return _place(state, NEED_F)


@jit
def _place(state, code):
    """Set the trial point for a value (or leave it for a gradient) and note what is wanted."""
    if code == NEED_F:
        trial_point(state.x, state.line_real[A], state.p, state.xt)
    state.count[CODE] = code
    return code


@jit
def _fail(state, reason):
    state.count[REASON] = reason
    state.count[CODE] = FAILED
    return FAILED


@jit
def cg_next(state):
    """Choose a direction and place the first trial of its line search: NEED_F, or FAILED."""
    real, count, n = state.real, state.count, state.x.size
    count[MODE] = SEARCHING
    gg = 0.0
    if count[PAIRS] > 0:
        if state.h.shape[0] > 0:
            for i in range(n):
                state.p[i] = -dot(state.h[i], state.g)
        else:
            _two_loop(state)
        slope = dot(state.p, state.g)
        step = 1.0
    elif real[BETA] != 0.0:
        for i in range(n):
            state.p[i] = real[BETA] * state.p[i] - state.metric[i] * state.g[i]
        slope = dot(state.p, state.g)
        step = real[LAST_A] * real[LAST_SLOPE] / slope
    else:
        slope = 0.0
        step = math.nan
    # sufficient descent, measured as an angle: far below what a sound memory ever gives
    gg = norm2(state.g) * norm2(state.p)
    if slope < -1e-12 * gg and math.isfinite(gg) and math.isfinite(step):
        count[STEEP] = 0
        return _begin_search(state, slope, step)
    return _restart(state)


@jit
def _restart(state):
    """Forget the memory and search along ``-D g``; NEED_F, or FAILED."""
    if state.count[PAIRS] > 0 or state.real[BETA] != 0.0:
        state.count[RESTARTS] += 1
    _reset(state)
    slope = _steepest(state)
    if not math.isfinite(slope):
        return _fail(state, NOT_FINITE)
    if not slope < 0.0:
        return _fail(state, ZERO_GRADIENT)
    state.count[STEEP] = 1
    return _begin_search(state, slope, _first_guess(state, slope))


@jit
def _search_failed(state):
    """Climb down: the best decreasing trial, else a restart along -D g, else FAILED with a reason."""
    if state.line_real[BEST_A] > 0.0:
        trial_point(state.x, state.line_real[BEST_A], state.p, state.xt)
        state.count[MODE] = RESCUING
        state.count[RESCUES] += 1
        state.count[CODE] = NEED_G
        return NEED_G
    return _after_no_decrease(state)


@jit
def _after_no_decrease(state):
    if state.count[STEEP] == 0:
        return _restart(state)
    return _fail(state, WORKING_PRECISION if state.count[PRECISION] else NO_DECREASE)


@jit
def _remember(state, sy, yy_metric):
    """Add the pair s = xt - x (in xt), y = gt - g (in work) to the memory, scaling it by s.y / y.D y."""
    real, count, n = state.real, state.count, state.x.size
    if state.h.shape[0] > 0:
        h = state.h
        if count[PAIRS] == 0:
            for i in range(n):
                for j in range(n):
                    h[i, j] = 0.0
                h[i, i] = state.metric[i] * sy / yy_metric
        # H += (1 + y.Hy / s.y) ss' / s.y - (Hy s' + s Hy') / s.y; gt is free: it becomes g just after
        for i in range(n):
            state.p[i] = dot(h[i], state.work)
        yhy = dot(state.p, state.work)
        factor = (1.0 + yhy / sy) / sy
        for i in range(n):
            si = np.float64(state.xt[i])
            hi = np.float64(state.p[i])
            for j in range(n):
                sj = np.float64(state.xt[j])
                h[i, j] += factor * si * sj - (hi * sj + si * np.float64(state.p[j])) / sy
        count[PAIRS] += 1
        return
    m = state.rho.size
    j = count[HEAD]
    state.s[j] = state.xt
    state.y[j] = state.work
    state.rho[j] = 1.0 / sy
    real[GAMMA] = sy / yy_metric
    count[HEAD] = (j + 1) % m
    count[PAIRS] = min(count[PAIRS] + 1, m)


@jit
def _accept(state, a, f):
    """Move to the trial xt = x + a p, whose gradient is in gt, and learn from the step."""
    real, count, n = state.real, state.count, state.x.size
    gy = 0.0
    yy = 0.0
    gg = 0.0
    for i in range(n):
        y = state.gt[i] - state.g[i]
        state.work[i] = y
        gy += np.float64(state.gt[i]) * np.float64(state.metric[i]) * np.float64(y)
        yy += np.float64(y) * np.float64(state.metric[i]) * np.float64(y)
    remembers = state.h.shape[0] > 0 or state.rho.size > 0
    if not remembers:
        py = dot(state.p, state.work)
        pg = dot(state.p, state.g)
        if py > 0.0:
            for i in range(n):
                gg += np.float64(state.p[i]) * np.float64(state.p[i]) / np.float64(state.metric[i])
            # Hager & Zhang 2013, equations (2.1)-(2.2), with their eta = 0.4
            beta = (gy - 2.0 * yy * dot(state.p, state.gt) / py) / py
            real[BETA] = max(beta, 0.4 * pg / gg)
        else:
            real[BETA] = 0.0
    real[LAST_A] = a
    real[LAST_SLOPE] = real[SLOPE]
    for i in range(n):
        new = state.xt[i]
        state.xt[i] = new - state.x[i]
        state.x[i] = new
    step_norm = norm2(state.xt)
    if step_norm > 0.0:
        real[STEP_NORM] = step_norm
    if remembers:
        sy = dot(state.xt, state.work)
        if sy > real[EPS] * step_norm * norm2(state.work) and yy > 0.0 and math.isfinite(yy / sy):
            _remember(state, sy, yy)
        else:
            count[SKIPPED] += 1
    for i in range(n):
        state.g[i] = state.gt[i]
    real[F] = f
    count[ITERATIONS] += 1
    count[CODE] = ITERATION
    return ITERATION


@jit
def cg_tell(state, f, g):
    """Take the value (after NEED_F; g is ignored) or the gradient (after NEED_G; f is ignored) at the trial.

    Answers NEED_F, NEED_G, ITERATION (the iterate has moved; call `cg_next`) or FAILED.
    """
    line = LineState(state.line_real, state.line_count)
    if state.count[CODE] == NEED_F:
        state.count[VALUES] += 1
        code = line_tell_f(line, f)
    else:
        state.count[GRADIENTS] += 1
        finite = all_finite(g)
        if state.count[MODE] == RESCUING:
            if not finite:
                return _after_no_decrease(state)
            state.gt[:] = g
            return _accept(state, line.real[BEST_A], line.real[BEST_F])
        if finite:
            state.gt[:] = g
            code = line_tell_g(line, dot(state.gt, state.p))
        else:
            code = line_tell_g(line, math.nan)
        if code == ITERATION:
            return _accept(state, line.real[A], line.real[FA])
    if code == FAILED:
        return _search_failed(state)
    return _place(state, code)


@jit
def cg_add_pair(state, s, y):
    """Teach the memory a pair from elsewhere (Adam's steps); False where its curvature is not positive."""
    sy = dot(s, y)
    yy = 0.0
    for i in range(y.size):
        yy += np.float64(y[i]) * np.float64(state.metric[i]) * np.float64(y[i])
    if not sy > state.real[EPS] * norm2(s) * norm2(y) or not math.isfinite(yy / sy) or not yy > 0.0:
        return False
    if state.h.shape[0] == 0 and state.rho.size == 0:
        return False
    state.xt[:] = s
    state.work[:] = y
    _remember(state, sy, yy)
    return True


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
        Curvature condition, c1 < c2 < 1. None: 0.9 with memory (weak Wolfe), 0.1 without (strong Wolfe).
    precondition : None
        Kept for the driver, which decides what ``diagonal`` to hand to `start`.

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
        precondition: Any = None,
    ):
        if memory is not None and memory < 0:
            raise ValueError("memory must be >= 0")
        self.memory = memory
        self.c1 = float(c1)
        self.c2 = c2
        self.precondition = precondition
        self.state: CGState = cg_init(0, 0)

    def _allocate(self, n: int, dtype: Any) -> None:
        memory = default_memory(n) if self.memory is None else int(self.memory)
        self.state = cg_init(n, memory, dtype)
        c2 = (0.9 if memory else 0.1) if self.c2 is None else float(self.c2)
        if not 0 < self.c1 < min(0.5, c2) or not c2 < 1:
            raise ValueError("the Wolfe constants must satisfy 0 < c1 < 1/2 and c1 < c2 < 1")
        line = line_init(self.c1, c2, math.inf if memory else c2)
        self.state.line_real[:] = line.real
        self.state.line_count[:] = line.count

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
        self._allocate(x.size, dtype)
        if diagonal is not None:
            d = np.asarray(diagonal, dtype=float)
            if d.shape != x.shape or not np.all(np.isfinite(d)) or not np.all(d > 0):
                raise ValueError("diagonal must be positive, finite and as long as x")
            self.state.metric[:] = d * d
        cg_start(self.state, x, float(f), g, float(first_step or 0.0))
        for s, y in pairs or ():
            cg_add_pair(
                self.state, np.ascontiguousarray(s, dtype=dtype), np.ascontiguousarray(y, dtype=dtype)
            )
        return self.next()

    def next(self) -> int:
        """Begin the step after an iteration; answers what is needed."""
        return int(cg_next(self.state))

    @property
    def need(self) -> int:
        """What is wanted now; begins the next step if an iteration has just ended."""
        code = int(self.state.count[CODE])
        return self.next() if code == ITERATION else code

    def ask(self) -> np.ndarray:
        """Where to evaluate, shape (n,), a copy."""
        if self.need == FAILED:
            raise RuntimeError(f"nothing to ask for: {self.reason}")
        return self.state.xt.copy()

    def tell(self, f: float, g: np.ndarray | None = None) -> int:
        """Take what was asked for; answers NEED_F, NEED_G, ITERATION or FAILED.

        Where the gradient comes with the value anyway, hand over both: it is used if it is wanted next.
        """
        state = self.state
        given = state.gt if g is None else np.ascontiguousarray(g, dtype=state.x.dtype)
        if self.need == NEED_G and g is None:
            raise ValueError("the gradient is wanted")
        mode = int(state.count[MODE])
        code = int(cg_tell(state, float(f), given))
        if code == NEED_G and g is not None and int(state.count[MODE]) == mode == SEARCHING:
            code = int(cg_tell(state, float(f), given))
        return code

    @property
    def x(self) -> np.ndarray:
        """Current iterate."""
        return self.state.x.copy()

    @property
    def f(self) -> float:
        """Value at the iterate."""
        return float(self.state.real[F])

    @property
    def g(self) -> np.ndarray:
        """Gradient at the iterate."""
        return self.state.g.copy()

    @property
    def reason(self) -> str:
        """Why the phase failed, empty while it has not."""
        return REASONS[int(self.state.count[REASON])]

    @property
    def working_precision(self) -> bool:
        """Whether the decrease predicted for the current search is below the rounding of f."""
        return bool(self.state.count[PRECISION])

    @property
    def counters(self) -> dict[str, int]:
        """Iterations, values and gradients told, restarts, rescued searches, skipped pairs."""
        names = ("iterations", "values", "gradients", "restarts", "rescues", "skipped")
        return {
            name: int(v) for name, v in zip(names, self.state.count[ITERATIONS : SKIPPED + 1], strict=True)
        }

    def get_state(self) -> dict[str, np.ndarray]:
        """Everything that the rest of the run depends on, as copies."""
        return {name: value.copy() for name, value in self.state._asdict().items()}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """Go on from `get_state`, bit for bit."""
        self.state = CGState(**{name: np.array(state[name]) for name in CGState._fields})


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
