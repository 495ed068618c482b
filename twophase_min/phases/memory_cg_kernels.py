"""The kernels of `memory_cg`: its state, its directions, and one line search after another."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from twophase_min.jit.compilation import jit
from twophase_min.jit.kernels import all_finite, copy, dot, trial_point
from twophase_min.jit.records import Record, count, nested, real
from twophase_min.phases import (
    FAILED,
    ITERATION,
    METRIC,
    NEED_F,
    NEED_G,
    NEED_NOISE,
    SEARCHING,
    XT,
    G,
    P,
    X,
)
from twophase_min.phases.edge import (
    EDGE,
    EDGES,
    FINISH,
    LIMITED,
    OBLIQUE,
    along_the_edges,
    begin_probe,
    lead_inwards,
    project,
    tell_probe,
)
from twophase_min.phases.first_trial import first_guess, within_reach
from twophase_min.phases.line_search import LINE, line_init, line_start, line_tell_f, line_tell_g
from twophase_min.phases.metric import dual_length, length, metric_of, typical_metric
from twophase_min.phases.pairs import hager_zhang, learn, two_loop

RESCUING = 1
"""Mode: the search has failed, and the gradient at its lowest value is requested."""
PROBING = 2
"""Mode: values tell where an edge of the domain lies."""

NONE, ZERO_GRADIENT, WORKING_PRECISION, NO_DECREASE, NOT_FINITE, AT_EDGE = range(6)

REASONS = (
    "",
    "the gradient is zero",
    "the predicted decrease is below the rounding of f: converged to working precision",
    "no decrease along the steepest descent, though the slope promises more than rounding: "
    "noise in f, a wrong gradient or a discontinuity",
    "the gradient is not finite",
    "the edge of the domain, beyond which f is not finite, stops every descent: the minimum is at the edge",
)
"""Texts of the reason codes of a failure."""

MEMORY_CG = Record(
    "MemoryCG",
    nested("line", LINE, "the search along the direction"),
    nested("edge", EDGE, "edges of the domain"),
    real("f", "value at the iterate, unit f"),
    real("slope", "slope along the direction at the iterate, unit f"),
    real("step_norm", "length of the last step in the scaled variables, 0 before the first"),
    real("beta", "share of the old direction in the new one, 0 for none"),
    real("first", "length of the first trial step that the caller gave, unit x; 0 for none"),
    real("eps", "spacing of the vectors' floating-point numbers at 1"),
    real("gamma", "multiple of the metric from which the two-loop recursion starts", 1.0),
    real("predicted", "decrease that a parabola with its minimum at the first trial promises, unit f"),
    real("last_a", "step length of the last iteration"),
    real("last_slope", "slope at its start, unit f"),
    real("c1", "sufficient decrease along a direction with curvature", 1e-4),
    count("code", "what is requested: NEED_F, NEED_G, NEED_NOISE, ITERATION or FAILED"),
    count("mode", "SEARCHING, or RESCUING a failed search"),
    count("reason", "why the phase failed, see `REASONS`"),
    count("stored", "pairs in the memory"),
    count("head", "place in the ring for the next pair"),
    count("steepest", "flag: the direction is -D g"),
    real("promise", "the same of the last direction that was not steepest descent; inf if there was none"),
    real("noise", "measured error of a value, unit f; 0 while none was measured"),
    real("longest", "longest step so far, in the scaled variables"),
    count("precision", "flag: the decrease predicted is below the rounding of f"),
    count("asked", "iterations when the noise was asked for, -1 before"),
    count("iterations", "iterates accepted"),
    count("values", "values told"),
    count("gradients", "gradients told"),
    count("restarts", "times that all curvature was forgotten"),
    count("rescues", "failed searches whose lowest value was looked at"),
    count("skipped", "pairs without positive curvature"),
)
"""Scalars of `MemoryCGState`."""

STEEP_C1 = 0.1
"""Sufficient decrease along -D g, where the step length is a guess: an over-long step that happens to
decrease f a little (into a far plateau, say) is shortened instead of accepted."""


class MemoryCGState(NamedTuple):
    """All of one run, flat: saving, resuming and rolling back are copies.

    Few arrays, because every one of them adds to the compile time of every kernel that is handed the state.

    Attributes
    ----------
    vectors : ndarray, shape (4, n) or (5, n)
        Rows X, G, P, XT: iterate, gradient, direction, trial; and METRIC, the squared change of variables,
        where there is one (without it every kernel saves a stream of memory).
    pairs : ndarray, shape (2, memory, n)
        Steps s and gradient differences y, a ring.
    ring : ndarray of float64, shape (2, memory)
        1 / (s.y), and scratch of the two-loop recursion.
    edges : ndarray, shape (EDGES + 1, n), or (1, n) for many variables
        Outward unit normals of the oblique edges that are held, and scratch.
    slot : slot of `MEMORY_CG`
        Scalars and counters.
    """

    vectors: np.ndarray
    pairs: np.ndarray
    ring: np.ndarray
    edges: np.ndarray
    slot: Any


def new_state(
    n: int,
    memory: int,
    dtype: Any = np.float64,
    c1: float = 1e-4,
    c2: float = 0.9,
    upper: float = math.inf,
    scaled: bool = True,
) -> MemoryCGState:
    """Allocate the state for ``n`` variables and ``memory`` pairs, with or without a change of variables.

    ``c1``, ``c2`` and ``upper`` are the constants of the line search, see `line_search.line_init`.
    """
    state = MemoryCGState(
        np.zeros((METRIC + scaled, n), dtype=dtype),
        np.zeros((2, memory, n), dtype=dtype),
        np.zeros((2, memory)),
        np.zeros((EDGES + 1 if n <= OBLIQUE else 1, n), dtype=dtype),
        MEMORY_CG.new(),
    )
    state.vectors[METRIC:] = 1
    cg = MEMORY_CG.view(state.slot)
    line_init(cg.line, c2, upper, refine=memory == 0)
    cg.eps = float(np.finfo(dtype).eps)
    cg.c1 = c1
    return state


@jit(no_cpython_wrapper=True)
def _reset(cg):
    """Forget all curvature."""
    cg.stored = 0
    cg.head = 0
    cg.beta = 0.0
    cg.gamma = 1.0


@jit
def start(state, x, f, g, first_step):
    """Begin at an evaluated point, with no pairs; ``first_step`` is a length in x, 0 for none. ITERATION."""
    cg = state.slot[0]
    copy(x, state.vectors[X])
    copy(g, state.vectors[G])
    cg.f = f
    cg.first = first_step
    cg.step_norm = 0.0
    cg.last_slope = 0.0
    cg.code = ITERATION
    cg.mode = SEARCHING
    cg.reason = NONE
    cg.steepest = 0
    cg.precision = 0
    cg.promise = math.inf
    cg.longest = 0.0
    cg.asked = -1
    cg.iterations = 0
    cg.values = 0
    cg.gradients = 0
    cg.restarts = 0
    cg.rescues = 0
    cg.skipped = 0
    cg.line.edge = 0
    cg.edge.limited = 0
    cg.edge.held = 0
    cg.edge.oblique = 0
    cg.edge.finishing = 0
    _reset(cg)
    return ITERATION


@jit
def use_sizes(state):
    """Take the sizes of x as those of the variables if the gradient supports it (`typical_metric`); if so."""
    scaled, metric = metric_of(state.vectors)
    if not scaled:  # no place for one
        return False
    return typical_metric(state.vectors[X], state.vectors[G], metric)


@jit(no_cpython_wrapper=True)
def _begin_search(state, cg, slope, step, c1):
    """Start the line search along p and place its first trial."""
    cg.slope = slope
    rounding = 4.0 * cg.eps * abs(cg.f)
    noise = max(rounding, cg.noise)
    # what a parabola with its minimum at the first trial would still gain
    cg.predicted = -0.5 * slope * step
    cg.precision = 1 if cg.predicted <= 0.25 * rounding else 0
    if cg.steepest == 0:
        cg.promise = cg.predicted
    return _place(state, cg, line_start(cg.line, cg.f, slope, step, noise, c1))


@jit(no_cpython_wrapper=True)
def _place(state, cg, code):
    """Set the trial point for a value (or leave it for a gradient) and note what is requested."""
    if code == NEED_F:
        trial_point(state.vectors[X], cg.line.a, state.vectors[P], state.vectors[XT])
    cg.code = code
    return code


@jit(no_cpython_wrapper=True)
def _restart(state, cg):
    """Forget the memory and search along ``-D g``; NEED_F, or FAILED."""
    p, g = state.vectors[P], state.vectors[G]
    scaled, metric = metric_of(state.vectors)
    if cg.stored > 0 or cg.beta != 0.0:
        cg.restarts += 1
    _reset(cg)
    for i in range(p.size):
        p[i] = -metric[i] * g[i] if scaled else -g[i]
    if cg.edge.held > 0:
        project(state, cg.edge, p)
        lead_inwards(state, cg.edge)
    slope = dot(p, g)
    cg.steepest = 1
    cg.mode = SEARCHING
    if slope < 0.0 and math.isfinite(slope):
        c1 = max(cg.c1, min(STEEP_C1, 0.5 * cg.line.c2))
        # a first trial that only guesses learns its length from its value
        cg.line.refine = 1 if cg.step_norm == 0.0 or state.ring.shape[1] == 0 else 0
        return _begin_search(state, cg, slope, first_guess(state, cg, slope), c1)
    cg.reason = ZERO_GRADIENT if slope == 0.0 else NOT_FINITE
    cg.code = FAILED
    return FAILED


@jit
def next_trial(state):
    """Choose a direction and place the first trial of its line search: NEED_F, or FAILED."""
    cg = state.slot[0]
    if cg.line.edge == 0:
        cg.edge.limited = 0
        cg.edge.finishing = 0
    else:
        cg.line.edge = 0
        cg.edge.limited += 1
        if cg.edge.finishing and cg.edge.limited >= FINISH:
            cg.reason = AT_EDGE
            cg.code = FAILED
            return FAILED
        jammed = cg.edge.limited >= LIMITED and cg.edge.finishing == 0
        if jammed and begin_probe(state, cg.edge, cg.line.hi_a - cg.line.a):
            cg.mode = PROBING
            cg.code = NEED_F
            return NEED_F
    return _choose(state, cg)


@jit(no_cpython_wrapper=True)
def _choose(state, cg):
    """Choose a direction and place the first trial along it; see `next_trial`."""
    p, g = state.vectors[P], state.vectors[G]
    scaled, metric = metric_of(state.vectors)
    cg.mode = SEARCHING
    cg.line.refine = 1 if state.ring.shape[1] == 0 else 0
    step = 1.0
    if cg.edge.held > 0 and not along_the_edges(state, cg):
        cg.edge.held = 0
        cg.edge.limited = 0
        cg.edge.finishing = 1
        return _restart(state, cg)
    if cg.stored > 0:
        if cg.edge.held > 0:  # the gradient along the edges takes the gradient's place for a while
            copy(g, state.vectors[XT])
            project(state, cg.edge, g)
        two_loop(state, cg)
        if cg.edge.held > 0:
            copy(state.vectors[XT], g)
            project(state, cg.edge, p)
            lead_inwards(state, cg.edge)
        slope = dot(p, g)
    elif cg.beta != 0.0:
        for i in range(p.size):
            p[i] = cg.beta * p[i] - (metric[i] * g[i] if scaled else g[i])
        if cg.edge.held > 0:
            project(state, cg.edge, p)
            lead_inwards(state, cg.edge)
        slope = dot(p, g)
        # the first-order change is expected to repeat (N&W equation before 3.60)
        step = cg.last_a * cg.last_slope / slope
    else:
        return _restart(state, cg)
    # sufficient descent, measured as an angle: far below what a sound memory ever gives
    scale = dual_length(state.vectors, g) * length(state.vectors, p)
    if slope < -1e-12 * scale and scale < math.inf and 0.0 < step < math.inf:
        cg.steepest = 0
        return _begin_search(
            state, cg, slope, within_reach(state, cg, step) if cg.stored > 0 else step, cg.c1
        )
    return _restart(state, cg)


@jit(no_cpython_wrapper=True)
def _after_no_decrease(state, cg):
    """Ask how exact a value is; then restart along -D g, or give up where that was the direction already."""
    if cg.asked != cg.iterations:
        cg.asked = cg.iterations
        cg.code = NEED_NOISE
        return NEED_NOISE
    if cg.steepest == 0:
        return _restart(state, cg)
    cg.reason = WORKING_PRECISION if cg.precision else NO_DECREASE
    cg.code = FAILED
    return FAILED


@jit(no_cpython_wrapper=True)
def _accept(state, cg, a, f, g):
    """Move to the trial, and learn from the step.

    Its pair takes the places of the trial and of the old gradient, until the new one comes in.
    """
    v = state.vectors
    for i in range(v.shape[1]):
        v[G, i] = g[i] - v[G, i]
        step = v[XT, i] - v[X, i]
        v[X, i] = v[XT, i]
        v[XT, i] = step
    moved = length(state.vectors, v[XT])
    if 0.0 < moved < math.inf:
        cg.step_norm = moved
        cg.longest = max(cg.longest, moved)
    if state.ring.shape[1] > 0:
        learn(state, cg, v[XT], v[G])
    else:
        hager_zhang(state, cg, g)
    copy(g, v[G])
    cg.f = f
    cg.last_a = a
    cg.last_slope = cg.slope
    cg.iterations += 1
    cg.code = ITERATION
    return ITERATION


@jit(no_cpython_wrapper=True)
def _moves(state, cg):
    """Whether the trial differs from the iterate by more than the rounding of some variable.

    A last digit of x can be had for ever, at the price of a failed search each.
    """
    x, trial = state.vectors[X], state.vectors[XT]
    for i in range(x.size):  # noqa: SIM110
        if abs(trial[i] - x[i]) > 4.0 * cg.eps * abs(x[i]):
            return True
    return False


@jit
def tell(state, f, g):
    """Take the value (after NEED_F; g is ignored) or the gradient (after NEED_G; f is ignored) at the trial.

    Answers NEED_F, NEED_G, NEED_NOISE, ITERATION (the iterate has moved; call `next_trial`) or FAILED. A
    search that fails first takes its lowest value (asking for the gradient there). Then it asks for the
    noise of a value, which f is after NEED_NOISE: with more noise than was thought it tries again, with
    slopes instead of values within it; else it restarts along ``-D g``.
    """
    cg = state.slot[0]
    if cg.mode == PROBING:
        cg.values += 1
        return NEED_F if tell_probe(state, cg.edge, f) else _choose(state, cg)
    if cg.code == NEED_NOISE:
        if f > 2.0 * cg.line.noise and f < math.inf:
            cg.noise = f
            return _begin_search(state, cg, cg.slope, -2.0 * cg.predicted / cg.slope, cg.line.c1)
        return _after_no_decrease(state, cg)
    if cg.code == NEED_F:
        cg.values += 1
        code = line_tell_f(cg.line, f)
    else:
        cg.gradients += 1
        slope = math.nan
        if all_finite(g):
            slope = dot(g, state.vectors[P])
        if cg.mode == RESCUING:
            if math.isfinite(slope):
                return _accept(state, cg, cg.line.best_a, cg.line.best_f, g)
            return _after_no_decrease(state, cg)
        code = line_tell_g(cg.line, slope)
        if code == ITERATION:
            return _accept(state, cg, cg.line.a, cg.line.fa, g)
    if code != FAILED:
        return _place(state, cg, code)
    if cg.line.best_a > 0.0:
        trial_point(state.vectors[X], cg.line.best_a, state.vectors[P], state.vectors[XT])
        if _moves(state, cg):
            cg.mode = RESCUING
            cg.rescues += 1
            cg.code = NEED_G
            return NEED_G
    return _after_no_decrease(state, cg)


@jit
def add_pair(state, s, y):
    """Teach the memory a pair from elsewhere (Adam's steps); False where its curvature is not positive.

    Between `start` or ITERATION and `next_trial` only.
    """
    if state.ring.shape[1] == 0:
        return False
    return learn(state, state.slot[0], s, y)


@jit
def copy_state(source, target):
    """Make the target go on as the source would; both have the same shapes."""
    for row in range(source.vectors.shape[0]):
        copy(source.vectors[row], target.vectors[row])
    cg = source.slot[0]
    if source.edges.shape[0] > EDGES:
        for k in range(cg.edge.held):
            copy(source.edges[k], target.edges[k])
    memory = source.ring.shape[1]
    for k in range(cg.stored):
        place = (cg.head - 1 - k + memory) % memory
        copy(source.pairs[0, place], target.pairs[0, place])
        copy(source.pairs[1, place], target.pairs[1, place])
        target.ring[0, place] = source.ring[0, place]
    target.slot[0] = cg
