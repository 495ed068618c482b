"""The kernels of `limited_broyden`: an inverse Hessian that is kept as its last updates.

All but the keeping of H is that of the dense methods (`quasi_newton_kernels`).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from twophase_min.jit.compilation import jit
from twophase_min.jit.kernels import copy, dot
from twophase_min.jit.records import Record, count, real
from twophase_min.phases import ITERATION, METRIC, rows_of
from twophase_min.phases.broyden import SSBROYDEN, coefficients
from twophase_min.phases.line_search import line_init
from twophase_min.phases.metric import metric_of
from twophase_min.phases.packed import OPERAND, OUT, PRODUCT
from twophase_min.phases.quasi_newton_kernels import (
    FAMILY,
    add_pair,
    direction,
    forget,
    learn_step,
    use_sizes,
)
from twophase_min.phases.search import SEARCH, begin, new_edges, next_trial, tell

__all__ = [
    "LIMITED_BROYDEN",
    "LimitedBroydenState",
    "add_pair",
    "become_metric",
    "column",
    "copy_state",
    "direction",
    "forget",
    "learn_step",
    "make_room",
    "multiply",
    "new_state",
    "next_trial",
    "start",
    "store",
    "take_out_held",
    "tell",
    "use_sizes",
]

S, Y, W = range(3)
"""Vectors of an update: the step, the difference of gradients, and H times it."""
KEEP, SS, SW, WW, B, MEMBER = range(6)
"""Numbers of an update: its coefficients (`packed.update_and_multiply`); ``s'Bs / s'y``; its member."""

LIMITED_BROYDEN = Record(
    "LimitedBroyden",
    *SEARCH,
    count("used", "updates kept"),
    real("scale", "H before them, as a multiple of D", 1.0),
    *FAMILY,  # not first: Numba would take one record for a part of the other
)
"""Scalars of `LimitedBroydenState`."""


class LimitedBroydenState(NamedTuple):
    """All of one run, flat: saving, resuming and rolling back are copies.

    Attributes
    ----------
    vectors : ndarray, shape (4, n) or (5, n)
        Rows X, G, P, XT: iterate, gradient, direction, trial; and METRIC, the squared change of variables,
        where there is one.
    updates : ndarray of float64, shape (3, memory, n)
        Rows S, Y, W of each update, oldest first.
    numbers : ndarray of float64, shape (6, memory)
        KEEP, SS, SW, WW, B, MEMBER of each.
    work : ndarray of float64, shape (5, n)
        Rows STEP, PRODUCT, FULL, OPERAND, OUT.
    edges : ndarray, shape (EDGES + 1, n), or (1, n) for many variables
        Outward unit normals of the oblique edges that are held, and scratch.
    slot : slot of `LIMITED_BROYDEN`
        Scalars and counters.
    """

    vectors: np.ndarray
    updates: np.ndarray
    numbers: np.ndarray
    work: np.ndarray
    edges: np.ndarray
    slot: Any


def new_state(
    n: int, memory: int, dtype: Any = np.float64, c1: float = 1e-4, c2: float = 0.9, scaled: bool = True
) -> LimitedBroydenState:
    """Allocate the state for ``n`` variables and ``memory`` updates, with or without a change of variables.

    ``c1`` and ``c2`` are the constants of the line search.
    """
    state = LimitedBroydenState(
        np.zeros((rows_of(scaled, False), n), dtype=dtype),
        np.zeros((3, memory, n)),
        np.zeros((6, memory)),
        np.zeros((OUT + 1, n)),
        new_edges(n, dtype),
        LIMITED_BROYDEN.new(),
    )
    state.vectors[METRIC:] = 1
    phase = LIMITED_BROYDEN.view(state.slot)
    line_init(phase.line, c2)
    phase.member = SSBROYDEN
    phase.eps = float(np.finfo(dtype).eps)
    phase.c1 = c1
    return state


# ---- what `matrix` stands for ------------------------------------------------------------------------------


@jit(no_cpython_wrapper=True)
def multiply(state, phase):
    """Multiply H by row OPERAND into row OUT: one update after the other, oldest first."""
    q, out = state.work[OPERAND], state.work[OUT]
    scaled, metric = metric_of(state.vectors)
    for i in range(q.size):
        out[i] = phase.scale * q[i] * (np.float64(metric[i]) if scaled else 1.0)
    for k in range(phase.used):
        s, w = state.updates[S, k], state.updates[W, k]
        keep = state.numbers[KEEP, k]
        sq = dot(s, q)
        wq = dot(w, q)
        along_s = state.numbers[SS, k] * sq + state.numbers[SW, k] * wq
        along_w = state.numbers[SW, k] * sq + state.numbers[WW, k] * wq
        for i in range(q.size):
            out[i] = keep * out[i] + along_s * s[i] + along_w * w[i]


@jit(no_cpython_wrapper=True)
def become_metric(state, phase):
    """Set ``H = D``."""
    phase.keep = 1.0
    phase.ss = 0.0
    phase.sw = 0.0
    phase.ww = 0.0
    phase.known = 0
    phase.stored = 0
    phase.used = 0
    phase.scale = 1.0


@jit(no_cpython_wrapper=True)
def store(state, phase, s, y, member, b, gamma):
    """Keep an update behind the others."""
    k = phase.used
    copy(s, state.updates[S, k])
    copy(y, state.updates[Y, k])
    copy(state.work[PRODUCT], state.updates[W, k])
    _number(state, k, phase.keep / gamma, phase.ss, phase.sw, phase.ww, b, member)
    phase.scale *= gamma
    phase.used = k + 1


@jit(no_cpython_wrapper=True)
def _number(state, k, keep, ss, sw, ww, b, member):
    """Enter the numbers of an update."""
    numbers = state.numbers
    numbers[KEEP, k] = keep
    numbers[SS, k] = ss
    numbers[SW, k] = sw
    numbers[WW, k] = ww
    numbers[B, k] = b
    numbers[MEMBER, k] = member


@jit(no_cpython_wrapper=True)
def make_room(state, phase):
    """Forget the older half of the updates where all places are taken, and make the others anew.

    What is forgotten goes on scaling H. An update is made with the b that it had. It is that of another H
    then, by which a negative phi may be too negative: it becomes 0 (DFP).
    """
    memory = state.numbers.shape[1]
    if phase.used < memory:
        return
    forgotten = (memory + 1) // 2
    for k in range(forgotten):
        phase.scale *= state.numbers[KEEP, k]
    phase.used = 0
    phase.known = 0
    out = state.work[OUT]
    for k in range(forgotten, memory):
        s, y = state.updates[S, k], state.updates[Y, k]
        b, member = state.numbers[B, k], int(state.numbers[MEMBER, k])
        copy(y, state.work[OPERAND])
        multiply(state, phase)
        sy = dot(s, y)
        q = dot(y, out)
        keep, ss, sw, ww = coefficients(member, s.size, sy, q, b)
        if sw > 0.0:
            ss = 1.0 / sy
            sw = 0.0
            ww = -keep / q
        if 0.0 < q < math.inf and math.isfinite(keep) and math.isfinite(ss) and math.isfinite(ww):
            at = phase.used
            copy(s, state.updates[S, at])
            copy(y, state.updates[Y, at])
            copy(out, state.updates[W, at])
            _number(state, at, keep, ss, sw, ww, b, member)
            phase.used = at + 1


@jit(no_cpython_wrapper=True)
def take_out_held(state, phase):
    """Do nothing: there are no bounds."""


# ---- what `search`, `box` and `compiled` ask for -----------------------------------------------------------


@jit(no_cpython_wrapper=True)
def column(state, phase, i, out):
    """Return that there is no column: there are no bounds."""
    return False


@jit
def start(state, x, f, g, first_step):
    """Begin at an evaluated point, with H = D; ``first_step`` is a length in x, 0 for none. ITERATION."""
    phase = state.slot[0]
    begin(state, phase, x, f, g, first_step)
    become_metric(state, phase)
    return ITERATION


@jit
def copy_state(source, target):
    """Make the target go on as the source would; both have the same shapes."""
    phase = source.slot[0]
    for row in range(source.vectors.shape[0]):
        copy(source.vectors[row], target.vectors[row])
    for row in range(source.work.shape[0]):
        copy(source.work[row], target.work[row])
    for row in range(source.edges.shape[0]):
        copy(source.edges[row], target.edges[row])
    for row in range(source.numbers.shape[0]):
        copy(source.numbers[row], target.numbers[row])
    for row in range(3):
        for k in range(phase.used):
            copy(source.updates[row, k], target.updates[row, k])
    target.slot[0] = phase
