"""The kernels of `quasi_newton`: the inverse Hessian, its update, and the directions; `search` has the rest.

The inverse Hessian H is kept as its lower triangle, packed by rows: n (n + 1) / 2 numbers. A step reads and
writes it once. What one step has taught is put into H when the next one needs a product with it, and both are
one pass. Between two passes H is the matrix in store, and the update that is due.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from twophase_min.jit.compilation import jit
from twophase_min.jit.kernels import copy, dot
from twophase_min.jit.records import Record, count, real
from twophase_min.phases import FREE, ITERATION, METRIC, XT, G, P, matrix, rows_of
from twophase_min.phases import search as _search
from twophase_min.phases.box import free_part, is_bounded
from twophase_min.phases.broyden import BFGS, SSBROYDEN, coefficients
from twophase_min.phases.edge import lead_inwards, project
from twophase_min.phases.first_trial import within_reach
from twophase_min.phases.line_search import line_init
from twophase_min.phases.metric import dual_length, length, metric_of
from twophase_min.phases.packed import (
    APART,
    FULL,
    OPERAND,
    OUT,
    PRODUCT,
    STEP,
    place,
    take_out,
    update_and_multiply,
)
from twophase_min.phases.search import SEARCH, begin, new_edges, next_trial, tell

__all__ = ["add_pair", "copy_state", "new_state", "next_trial", "start", "tell", "use_sizes"]

LOST = 0.5
"""``b h`` below this contradicts the inequality of Cauchy and Schwarz (b h >= 1): H is not definite."""

FAMILY = (
    count("member", "of the family: SSBROYDEN, SSBFGS or BFGS"),
    count("stored", "pairs that H has learnt from; 0 while it is a multiple of D"),
    count("known", "flag: row FULL is H g"),
    count("newton", "flag: the direction is -H g"),
    real("keep", "the update that is due: factor of H", 1.0),
    real("ss", "coefficient of s s'"),
    real("sw", "coefficient of s (H y)' + (H y) s'"),
    real("ww", "coefficient of (H y) (H y)'"),
)
"""Members of the record of a quasi-Newton phase, behind those of a search."""
QUASI_NEWTON = Record("QuasiNewton", *SEARCH, *FAMILY)
"""Scalars of `QuasiNewtonState`."""


class QuasiNewtonState(NamedTuple):
    """All of one run, flat: saving, resuming and rolling back are copies.

    Attributes
    ----------
    vectors : ndarray, shape (4, n) or (5, n)
        Rows X, G, P, XT: iterate, gradient, direction, trial; and METRIC, the squared change of variables,
        where there is one. Within bounds also LOWER, UPPER and FREE, shape (8, n).
    inverse : ndarray of float64, shape (n (n + 1) / 2,)
        Lower triangle of H by rows, but for the update that is due.
    given : ndarray of float64, shape (n (n + 1) / 2,) or (0,)
        The H to begin with, where there is one.
    work : ndarray of float64, shape (5, n) or (6, n)
        Rows STEP, PRODUCT, FULL, OPERAND, OUT, and within bounds APART.
    edges : ndarray, shape (EDGES + 1, n), or (1, n) for many variables
        Outward unit normals of the oblique edges that are held, and scratch.
    slot : slot of `QUASI_NEWTON`
        Scalars and counters.
    """

    vectors: np.ndarray
    inverse: np.ndarray
    given: np.ndarray
    work: np.ndarray
    edges: np.ndarray
    slot: Any


def new_state(
    n: int,
    member: int = SSBROYDEN,
    dtype: Any = np.float64,
    c1: float = 1e-4,
    c2: float = 0.9,
    scaled: bool = True,
    given: np.ndarray | None = None,
    bounded: bool = False,
) -> QuasiNewtonState:
    """Allocate the state for ``n`` variables, with or without a change of variables.

    ``c1`` and ``c2`` are the constants of the line search, ``given`` is the packed triangle to begin with. Of
    a ``bounded`` state the limits are to be entered.
    """
    state = QuasiNewtonState(
        np.zeros((rows_of(scaled, bounded), n), dtype=dtype),
        np.zeros(n * (n + 1) // 2),
        np.zeros(0) if given is None else given,
        np.zeros((APART + bounded, n)),
        new_edges(n, dtype),
        QUASI_NEWTON.new(),
    )
    state.vectors[METRIC:] = 1
    phase = QUASI_NEWTON.view(state.slot)
    line_init(phase.line, c2)
    phase.member = member
    phase.eps = float(np.finfo(dtype).eps)
    phase.c1 = c1
    return state


# ---- the matrix --------------------------------------------------------------------------------------------


@jit(no_cpython_wrapper=True)
def multiply(state, phase):
    """Multiply H by row OPERAND into row OUT; no update is due then."""
    update_and_multiply(state.inverse, state.work, phase.keep, phase.ss, phase.sw, phase.ww)
    phase.keep = 1.0
    phase.ss = 0.0
    phase.sw = 0.0
    phase.ww = 0.0


# ---- learning ----------------------------------------------------------------------------------------------


@jit(no_cpython_wrapper=True)
def _is_curved(state, phase, s, y, sy):
    """Whether the curvature s'y of a pair is positive, finite and more than rounding."""
    s_length = length(state.vectors, s)
    y_length = dual_length(state.vectors, y)
    if sy > phase.eps * s_length * y_length and 0.0 < y_length < math.inf and s_length < math.inf:
        phase.longest = max(phase.longest, s_length)
        return True
    phase.skipped += 1
    return False


@jit(no_cpython_wrapper=True)
def _take(state, phase, s, y, sy, member, b, gamma):
    """Make the update for a pair the one that is due; row PRODUCT is H y, and H is still to be scaled.

    Whether it can be: all its numbers are finite, and H is definite as far as they tell.
    """
    w = state.work[PRODUCT]
    q = 0.0
    for i in range(y.size):
        q += w[i] * np.float64(y[i])
    plain = member == BFGS
    if not (0.0 < q < math.inf and (plain or 0.0 < b < math.inf)):
        return False
    if not plain and b * q < LOST * sy:
        return False
    keep, ss, sw, ww = coefficients(member, y.size, sy, q, b)
    if not (math.isfinite(keep) and math.isfinite(ss) and math.isfinite(sw) and math.isfinite(ww)):
        return False
    phase.keep = keep * gamma
    phase.ss = ss
    phase.sw = sw
    phase.ww = ww
    phase.stored += 1
    matrix.store(state, phase, s, y, member, b, gamma)
    return True


@jit(no_cpython_wrapper=True)
def store(state, phase, s, y, member, b, gamma):
    """Leave the update for the next product."""
    copy(s, state.work[STEP])


@jit(no_cpython_wrapper=True)
def make_room(state, phase):
    """Do nothing: there is room in a matrix."""


@jit(no_cpython_wrapper=True)
def _first_product(state, y, gamma):
    """Write ``gamma D y`` into row PRODUCT."""
    scaled, metric = metric_of(state.vectors)
    w = state.work[PRODUCT]
    for i in range(y.size):
        w[i] = gamma * np.float64(y[i]) * (np.float64(metric[i]) if scaled else 1.0)


@jit(no_cpython_wrapper=True)
def learn_step(state, phase, a, f, g):
    """Update H by a step (row XT) and its difference of gradients (row G), and multiply it by the new g."""
    s, y = state.vectors[XT], state.vectors[G]
    if phase.held > 0 or phase.bent:
        _learn_within_bounds(state, phase, a)
        return
    work = state.work
    w, full, operand, out = work[PRODUCT], work[FULL], work[OPERAND], work[OUT]
    scaled, metric = metric_of(state.vectors)
    sy = dot(s, y)
    curved = _is_curved(state, phase, s, y, sy)
    gamma = 1.0
    if phase.stored == 0:
        if not curved:
            return
        gamma = sy / dual_length(state.vectors, y) ** 2
        _first_product(state, y, gamma)
        for i in range(y.size):
            out[i] = gamma * np.float64(g[i]) * (np.float64(metric[i]) if scaled else 1.0)
        b = length(state.vectors, s) ** 2 / (gamma * sy)
        if not _take(state, phase, s, y, sy, phase.member, b, gamma):
            phase.skipped += 1
            return
    else:
        copy(g, operand)
        matrix.multiply(state, phase)
        if not curved:
            copy(out, full)
            return
        for i in range(y.size):
            w[i] = out[i] - full[i]
        # s = -a H g, so that s'Bs = -a s'g = -a^2 p'g; another direction tells nothing of it
        member = phase.member if phase.newton else BFGS
        if not _take(state, phase, s, y, sy, member, -a * a * phase.slope / sy, 1.0):
            forget(state, phase)
            phase.restarts += 1
            return
    sg = dot(s, g)
    wg = 0.0
    for i in range(g.size):
        wg += w[i] * np.float64(g[i])
    along_s = phase.ss * sg + phase.sw * wg
    along_w = phase.sw * sg + phase.ww * wg
    keep = phase.keep / gamma  # out is a product with H scaled already
    for i in range(g.size):
        full[i] = keep * out[i] + along_s * np.float64(s[i]) + along_w * w[i]
    phase.known = 1
    _mark_apart(state, 0.0)


@jit(no_cpython_wrapper=True)
def _learn_within_bounds(state, phase, a):
    """Update the free block of H by a step (row XT) and its difference of gradients (row G)."""
    s, y, work = state.vectors[XT], state.vectors[G], state.work
    free_part(state.vectors, y)
    sy = dot(s, y)
    phase.known = 0
    if not _is_curved(state, phase, s, y, sy):
        return
    first = phase.stored == 0
    gamma = 1.0
    if first:
        gamma = sy / dual_length(state.vectors, y) ** 2
        _first_product(state, y, gamma)
        member = phase.member
        b = length(state.vectors, s) ** 2 / (gamma * sy)
    else:
        copy(y, work[OPERAND])
        matrix.multiply(state, phase)
        copy(work[OUT], work[PRODUCT])
        member = phase.member if phase.newton and phase.bent == 0 else BFGS
        b = -a * a * phase.slope / sy
    if not _take(state, phase, s, y, sy, member, b, gamma):
        if first:
            phase.skipped += 1
        else:
            forget(state, phase)
            phase.restarts += 1
        return
    for i in range(y.size):
        if state.vectors[FREE, i] != 0.0:
            work[APART, i] = 0.0


@jit(no_cpython_wrapper=True)
def take_out_held(state, phase):
    """Take the variables that bounds have come to hold out of H."""
    work = state.work
    due = True
    for i in range(work.shape[1]):
        if state.vectors[FREE, i] == 0.0 and work[APART, i] == 0.0:
            if due:
                copy(state.vectors[G], work[OPERAND])
                matrix.multiply(state, phase)
                due = False
            take_out(state.inverse, work[OUT], i)
            work[APART, i] = 1.0


@jit
def add_pair(state, s, y):
    """Teach H a pair from elsewhere (Adam's steps); False where its curvature is not positive.

    By the formula of BFGS, which does not need the curvature that H expected along s. The first pair of
    several sets the multiple of D to the longer of the two usual scales, ``s'D^-1 s / s'y``: it only matters
    in directions that the others do not show, mostly flat ones. Between `start` or ITERATION and
    `next_trial` only.
    """
    phase = state.slot[0]
    sy = dot(s, y)
    if not _is_curved(state, phase, s, y, sy):
        return False
    gamma = 1.0
    if phase.stored == 0:
        gamma = length(state.vectors, s) ** 2 / sy
        _first_product(state, y, gamma)
    else:
        matrix.make_room(state, phase)
        copy(y, state.work[OPERAND])
        matrix.multiply(state, phase)
        copy(state.work[OUT], state.work[PRODUCT])
    if not _take(state, phase, s, y, sy, BFGS, 1.0, gamma):
        phase.skipped += 1
        return False
    phase.known = 0
    _mark_apart(state, 0.0)
    return True


# ---- what `search` and `compiled` ask for ------------------------------------------------------------------


@jit(no_cpython_wrapper=True)
def _mark_apart(state, flag):
    """Note of all variables whether H has their diagonal entry alone."""
    if is_bounded(state.vectors):
        for i in range(state.work.shape[1]):
            state.work[APART, i] = flag


@jit(no_cpython_wrapper=True)
def become_metric(state, phase):
    """Set ``H = D``."""
    scaled, metric = metric_of(state.vectors)
    inverse = state.inverse
    for k in range(inverse.size):
        inverse[k] = 0.0
    at = -1
    for i in range(state.vectors.shape[1]):
        at += i + 1
        inverse[at] = np.float64(metric[i]) if scaled else 1.0
    phase.keep = 1.0
    phase.ss = 0.0
    phase.sw = 0.0
    phase.ww = 0.0
    phase.known = 0
    phase.stored = 0
    _mark_apart(state, 1.0)


@jit(no_cpython_wrapper=True)
def forget(state, phase):
    """Set ``H = D``; whether it was something else."""
    if phase.stored == 0:
        return False
    matrix.become_metric(state, phase)
    return True


@jit
def start(state, x, f, g, first_step):
    """Begin at an evaluated point, with the H that was given, if one was. ITERATION.

    ``first_step`` is a length in x, 0 for none.
    """
    phase = state.slot[0]
    begin(state, phase, x, f, g, first_step)
    matrix.become_metric(state, phase)
    if state.given.size > 0:
        copy(state.given, state.inverse)
        phase.stored = 1
        _mark_apart(state, 0.0)
    return ITERATION


@jit
def use_sizes(state):
    """Take the sizes of x as those of the variables if the gradient supports it (`typical_metric`); if so."""
    used = _search.use_sizes(state)
    if used and state.slot[0].stored == 0:
        matrix.become_metric(state, state.slot[0])
    return used


@jit(no_cpython_wrapper=True)
def _first_trial(phase, slope):
    """Length of the first trial along ``-H g``: 1, or what repeats the last decrease where H is self-scaled.

    Nocedal & Wright (2006), equation 3.60. What is kept of B is scaled down only, so that H gets too large.
    """
    gained = phase.line.f0 - phase.f
    if phase.member == BFGS or phase.iterations == 0 or not (gained > phase.line.noise and slope < 0.0):
        return 1.0
    return min(1.0, 1.01 * 2.0 * gained / -slope)


@jit(no_cpython_wrapper=True)
def direction(state, phase):
    """Write ``-H g`` into row P; its slope, and the length of the first trial along it (0 while H is D).

    Along the edges that are held it is ``-E H E g``, E the projection onto them.
    """
    p, g = state.vectors[P], state.vectors[G]
    full, operand, out = state.work[FULL], state.work[OPERAND], state.work[OUT]
    if phase.stored == 0:
        return 0.0, 0.0
    matrix.make_room(state, phase)
    bounded = phase.held > 0
    if bounded:
        phase.known = 0
        matrix.take_out_held(state, phase)
    if phase.known == 0:
        copy(g, operand)
        if bounded:
            free_part(state.vectors, operand)
        matrix.multiply(state, phase)
        copy(out, full)
        phase.known = 0 if bounded else 1
    phase.newton = 1
    if phase.edge.held > 0:
        phase.newton = 0
        copy(g, operand)
        if bounded:
            free_part(state.vectors, operand)
        project(state, phase.edge, operand)
        matrix.multiply(state, phase)
        for i in range(p.size):
            p[i] = -out[i]
        project(state, phase.edge, p)
        lead_inwards(state, phase.edge)
    else:
        for i in range(p.size):
            p[i] = -full[i]
    if bounded:
        free_part(state.vectors, p)
    slope = dot(p, g)
    return slope, within_reach(state, phase, _first_trial(phase, slope))


@jit(no_cpython_wrapper=True)
def column(state, phase, i, out):
    """Write column i of H into ``out``, the free variables alone; whether there is one."""
    if phase.stored == 0:
        return False
    if phase.keep != 1.0 or phase.ss != 0.0 or phase.ww != 0.0:  # the update that is due is put in first
        copy(state.vectors[G], state.work[OPERAND])
        matrix.multiply(state, phase)
    for j in range(out.size):
        out[j] = state.inverse[place(i, j)] * state.vectors[FREE, j]
    return True


@jit
def copy_state(source, target):
    """Make the target go on as the source would; both have the same shapes."""
    for row in range(source.vectors.shape[0]):
        copy(source.vectors[row], target.vectors[row])
    for row in range(source.work.shape[0]):
        copy(source.work[row], target.work[row])
    for row in range(source.edges.shape[0]):
        copy(source.edges[row], target.edges[row])
    copy(source.inverse, target.inverse)
    target.slot[0] = source.slot[0]
