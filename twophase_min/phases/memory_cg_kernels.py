"""The kernels of `memory_cg`: its state, and its directions; `search` has the rest."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from twophase_min.jit.compilation import jit
from twophase_min.jit.kernels import copy, dot
from twophase_min.jit.records import Record, count, real
from twophase_min.phases import FREE, ITERATION, METRIC, XT, G, P, rows_of
from twophase_min.phases.box import free_part
from twophase_min.phases.edge import EDGES, lead_inwards, project
from twophase_min.phases.first_trial import within_reach
from twophase_min.phases.line_search import line_init
from twophase_min.phases.metric import metric_of
from twophase_min.phases.pairs import (
    CLEAR,
    end_curvature,
    hager_zhang,
    learn,
    multiply_free,
    see_free,
    two_loop,
)
from twophase_min.phases.search import REASONS, SEARCH, begin, new_edges, next_trial, tell, use_sizes

__all__ = [
    "MEMORY_CG",
    "REASONS",
    "MemoryCGState",
    "add_pair",
    "copy_state",
    "new_state",
    "next_trial",
    "start",
    "tell",
    "use_sizes",
]

MEMORY_CG = Record(
    "MemoryCG",
    *SEARCH,
    real("beta", "share of the old direction in the new one, 0 for none"),
    real("fallen", "decrease since the start, unit f"),
    count("apart", "flag: the gradients are differences, with which values do not agree exactly"),
    count("seen", "flag: the free parts of the pairs have been looked at"),
    count("stored", "pairs in the memory"),
    count("head", "place in the ring for the next pair"),
)
"""Scalars of `MemoryCGState`."""


class MemoryCGState(NamedTuple):
    """All of one run, flat: saving, resuming and rolling back are copies.

    Few arrays, because every one of them adds to the compile time of every kernel that is handed the state.

    Attributes
    ----------
    vectors : ndarray, shape (4, n) or (5, n)
        Rows X, G, P, XT: iterate, gradient, direction, trial; and METRIC, the squared change of variables,
        where there is one (without it every kernel saves a stream of memory). Within bounds also LOWER, UPPER
        and FREE, shape (8, n).
    pairs : ndarray, shape (2, memory, n)
        Steps s and gradient differences y, a ring.
    ring : ndarray of float64, shape (2, memory) or (3, memory)
        1 / (s.y), and scratch of the two-loop recursion; the third row within bounds.
    diagonal : ndarray of float64, shape (n,), or (0,) without memory
        The inverse Hessian from which the two-loop recursion starts, see `pairs.learn_diagonal`.
    edges : ndarray, shape (EDGES + 1, n), or (1, n) for many variables
        Outward unit normals of the oblique edges that are held, and scratch.
    slot : slot of `MEMORY_CG`
        Scalars and counters.
    """

    vectors: np.ndarray
    pairs: np.ndarray
    ring: np.ndarray
    diagonal: np.ndarray
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
    bounded: bool = False,
) -> MemoryCGState:
    """Allocate the state for ``n`` variables and ``memory`` pairs, with or without a change of variables.

    Of a ``bounded`` state the limits are to be entered.
    ``c1``, ``c2`` and ``upper`` are the constants of the line search, see `line_search.line_init`.
    """
    state = MemoryCGState(
        np.zeros((rows_of(scaled, bounded), n), dtype=dtype),
        np.zeros((2, memory, n), dtype=dtype),
        np.zeros((2 + bounded, memory)),
        np.ones(n if memory else 0),
        new_edges(n, dtype),
        MEMORY_CG.new(),
    )
    state.vectors[METRIC:] = 1
    cg = MEMORY_CG.view(state.slot)
    line_init(cg.line, c2, upper, refine=memory == 0)
    cg.eps = float(np.finfo(dtype).eps)
    cg.c1 = c1
    return state


@jit(no_cpython_wrapper=True)
def forget(state, cg):
    """Forget all curvature; whether there was any."""
    some = cg.stored > 0 or cg.beta != 0.0
    cg.stored = 0
    cg.head = 0
    cg.beta = 0.0
    return some


@jit
def start(state, x, f, g, first_step):
    """Begin at an evaluated point, with no pairs; ``first_step`` is a length in x, 0 for none. ITERATION."""
    cg = state.slot[0]
    begin(state, cg, x, f, g, first_step)
    cg.fallen = 0.0
    forget(state, cg)
    return ITERATION


@jit(no_cpython_wrapper=True)
def direction(state, cg):
    """Write a direction into row P; its slope, and the length of the first trial along it (0 for none)."""
    p, g = state.vectors[P], state.vectors[G]
    scaled, metric = metric_of(state.vectors)
    cg.seen = 0
    if cg.stored > 0:
        if cg.edge.held > 0:  # the gradient along the edges takes the gradient's place for a while
            copy(g, state.vectors[XT])
            project(state, cg.edge, g)
        if cg.held > 0:
            see_free(state, cg)
            cg.seen = 1
            for i in range(p.size):
                p[i] = -g[i] * state.vectors[FREE, i]
            multiply_free(state, cg, p)
        else:
            two_loop(state, cg)
        if cg.edge.held > 0:
            copy(state.vectors[XT], g)
            project(state, cg.edge, p)
            lead_inwards(state, cg.edge)
        return dot(p, g), within_reach(state, cg, 1.0)
    if cg.beta != 0.0:
        for i in range(p.size):
            p[i] = cg.beta * p[i] - (metric[i] * g[i] if scaled else g[i])
        if cg.edge.held > 0:
            project(state, cg.edge, p)
            lead_inwards(state, cg.edge)
        if cg.held > 0:
            free_part(state.vectors, p)
        slope = dot(p, g)
        # the first-order change is expected to repeat (N&W equation before 3.60)
        return slope, cg.last_a * cg.last_slope / slope
    return 0.0, 0.0


@jit(no_cpython_wrapper=True)
def column(state, cg, i, out):
    """Write column i of the inverse Hessian of the free variables into ``out``; whether there is one."""
    if cg.stored == 0:
        return False
    if cg.seen == 0:
        see_free(state, cg)
        cg.seen = 1
    for k in range(out.size):
        out[k] = 0.0
    out[i] = 1.0
    multiply_free(state, cg, out)
    return True


@jit(no_cpython_wrapper=True)
def learn_step(state, cg, a, f, g):
    """Learn from a step (row XT) and its difference of gradients (row G); f and g are new."""
    if state.ring.shape[1] > 0:
        s, y = state.vectors[XT], state.vectors[G]
        drop = cg.f - f
        cg.fallen += max(drop, 0.0)
        told = cg.apart == 0 and drop > CLEAR * cg.fallen
        share = end_curvature(drop, dot(s, g), dot(s, y), cg.line.noise) if told else 1.0
        learn(state, cg, s, y, share)
    else:
        hager_zhang(state, cg, g)


@jit
def add_pair(state, s, y):
    """Teach the memory a pair from elsewhere (Adam's steps); False where its curvature is not positive.

    Between `start` or ITERATION and `next_trial` only.
    """
    if state.ring.shape[1] == 0:
        return False
    return learn(state, state.slot[0], s, y, 1.0)


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
    copy(source.diagonal, target.diagonal)
    target.slot[0] = cg
