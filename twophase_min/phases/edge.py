"""Edges of the domain: where they lie, and steps along them instead of into them.

A search that meets infinity halfway stops short of it, and so does the next one: steps towards an edge halve,
and the run comes to rest at a point of no interest (it jams). After two such searches in a row the normal of
the edge is looked for, by values alone. A bisection over the variables finds an edge across one variable,
such as a bound, in log2(n) values. Any other edge is located along the last direction u from points moved in
one variable each: its distance along u is linear in them, and the gradient of that distance is the normal.

Directions are then kept off the normals of the edges that the gradient pushes against, as active-set methods
keep them off active constraints (Nocedal & Wright, *Numerical Optimization*, 2006, section 16.5). An edge
is let go as soon as the gradient points inwards.
"""

from __future__ import annotations

import math

import numpy as np

from twophase_min.jit.compilation import jit
from twophase_min.jit.kernels import copy, dot, norm2
from twophase_min.jit.records import Record, count, real
from twophase_min.phases import XT, G, P, X

EDGES = 8
"""Edges that are held at a time, at most."""
LIMITED = 2
"""Searches in a row which an edge must end before it is looked for."""
OBLIQUE = 100
"""Variables up to which edges across more than one of them are looked for."""
PROBES = 4
"""Oblique edges looked for in one run of the phase, at most."""
ALIKE = 0.7
"""Cosine of the angle between the normals of two edges that count as one."""
DIGITS = 2.0**-9
"""Relative accuracy of a distance to the edge."""
FARTHEST = 32.0
"""Distance along u, in lengths of u, beyond which there is no edge."""
INWARDS = 0.02
"""Share by which a step along an oblique edge leads away from it, for the error of its normal."""
STATIONARY = 1e-4
"""Share of the gradient that is left along the edge where the minimum is at it."""
FINISH = 30
"""Last searches towards an edge at which the minimum is, or that values do not show."""

IDLE, PREFIX, VERIFY, START, REACH = range(5)

EDGE = Record(
    "Edge",
    count("stage", "what the probe is doing, IDLE for none"),
    count("limited", "searches in a row that an edge has ended"),
    count("jams", "the same, also over searches for the edge that did not find it"),
    count("held", "normals in use"),
    count("oblique", "oblique edges looked for"),
    count("variable", "variable across which a held edge lies, -1 for an oblique one", -1, (EDGES,)),
    real("outwards", "sign of its outward normal", 0.0, (EDGES,)),
    count("finishing", "flag: the gradient along the edge has vanished"),
    count("first", "variables up to here may be moved"),
    count("last", "variables up to here may not be moved all"),
    count("entry", "variable that is moved, -1 for none"),
    real("beyond", "multiple of the direction from the iterate to a point outside"),
    real("length", "length of that step, unit x"),
    real("side", "sign of the move of the variable"),
    real("low", "distance along u that is inside"),
    real("high", "distance along u that is outside, inf while there is none"),
    real("t", "distance along u that is tried"),
    real("reach", "distance along u of the edge from the iterate"),
)
"""Scalars of the search for an edge."""


@jit(no_cpython_wrapper=True)
def _place_prefix(state, edge, first, last):
    """Set the trial: the iterate with these variables moved to where the value was not finite."""
    copy(state.vectors[X], state.vectors[XT])
    for i in range(first, last):
        state.vectors[XT, i] = state.vectors[X, i] + edge.beyond * state.vectors[P, i]


@jit(no_cpython_wrapper=True)
def begin_probe(state, edge, beyond):
    """Look for the edge between the iterate and ``beyond`` times the direction; whether there is a trial."""
    n = state.vectors.shape[1]
    edge.stage = PREFIX
    edge.limited = 0
    edge.beyond = beyond
    edge.length = beyond * norm2(state.vectors[P])
    edge.first = 0
    edge.last = n
    if not 0.0 < edge.length < math.inf:
        edge.stage = IDLE
        return False
    return _bisect(state, edge)


@jit(no_cpython_wrapper=True)
def _bisect(state, edge):
    """Place the next trial of the bisection over the variables, or the one that verifies its finding."""
    if edge.last - edge.first > 1:
        _place_prefix(state, edge, 0, (edge.first + edge.last) // 2)
    else:
        edge.stage = VERIFY
        _place_prefix(state, edge, edge.first, edge.last)
    return True


@jit(no_cpython_wrapper=True)
def _place_reach(state, edge):
    """Set the trial at a distance along u, from the iterate with one variable moved."""
    for i in range(state.vectors.shape[1]):
        state.vectors[XT, i] = state.vectors[X, i] + edge.t * edge.beyond * state.vectors[P, i]
    if edge.entry >= 0:
        state.vectors[XT, edge.entry] += edge.side * edge.length


@jit(no_cpython_wrapper=True)
def _begin_reach(state, edge):
    """Look for the edge from the next point."""
    edge.low = 0.0
    edge.high = math.inf
    edge.side = 1.0
    edge.stage = REACH if edge.entry < 0 else START
    edge.t = 1.0 if edge.entry < 0 else 0.0
    _place_reach(state, edge)


@jit(no_cpython_wrapper=True)
def tell_probe(state, edge, f):
    """Take the value at a trial of the probe; whether there is another one."""
    n = state.vectors.shape[1]
    finite = math.isfinite(f)
    if edge.stage == PREFIX:
        middle = (edge.first + edge.last) // 2
        if finite:
            edge.first = middle
        else:
            edge.last = middle
        return _bisect(state, edge)
    if edge.stage == VERIFY:
        if not finite:
            edge.stage = IDLE
            _hold(state, edge, edge.first, math.copysign(1.0, state.vectors[P, edge.first]))
            return False
        if state.edges.shape[0] <= EDGES or edge.oblique >= PROBES:
            edge.stage = IDLE
            return False
        edge.oblique += 1
        edge.entry = -1
        _begin_reach(state, edge)
        return True
    if edge.stage == START:
        if not finite:
            edge.side = -1.0
        edge.stage = REACH
        edge.t = 1.0
        _place_reach(state, edge)
        return True
    if finite:
        edge.low = edge.t
    else:
        edge.high = edge.t
    if edge.low < FARTHEST and edge.high - edge.low > DIGITS * edge.high:
        if edge.high < math.inf:
            edge.t = 0.5 * (edge.low + edge.high)
        else:
            edge.t = 2.0 * edge.low
        if edge.t > DIGITS * DIGITS:
            _place_reach(state, edge)
            return True
    reach = edge.low if math.isinf(edge.high) else 0.5 * (edge.low + edge.high)
    if edge.entry < 0:
        edge.reach = reach
    else:
        state.edges[EDGES, edge.entry] = edge.side * (edge.reach - reach)
    edge.entry += 1
    if edge.entry < n:
        _begin_reach(state, edge)
        return True
    edge.stage = IDLE
    normal = state.edges[EDGES]
    size = norm2(normal)
    if 0.0 < size < math.inf:
        for i in range(n):
            normal[i] /= size
        _hold(state, edge, -1, 0.0)
    return False


@jit(no_cpython_wrapper=True)
def _along(state, edge, k, vector):
    """Inner product of a vector with the normal of a held edge."""
    if edge.variable[k] >= 0:
        return edge.outwards[k] * np.float64(vector[edge.variable[k]])
    return dot(state.edges[k], vector)


@jit(no_cpython_wrapper=True)
def _move(state, edge, k, kept):
    """Move a held edge to an earlier place."""
    if kept < k:
        edge.variable[kept] = edge.variable[k]
        edge.outwards[kept] = edge.outwards[k]
        if edge.variable[k] < 0:
            copy(state.edges[k], state.edges[kept])


@jit(no_cpython_wrapper=True)
def _hold(state, edge, variable, outwards):
    """Hold the edge that has been found; an oblique one takes the place of those that it resembles."""
    kept = 0
    for k in range(edge.held):
        alike = edge.variable[k] == variable
        if variable < 0:
            alike = abs(_along(state, edge, k, state.edges[EDGES])) >= ALIKE
        if not alike:
            _move(state, edge, k, kept)
            kept += 1
    edge.held = kept
    if kept < EDGES:
        edge.variable[kept] = variable
        edge.outwards[kept] = outwards
        if variable < 0:
            copy(state.edges[EDGES], state.edges[kept])
        edge.held = kept + 1
        edge.limited = LIMITED - 1


@jit(no_cpython_wrapper=True)
def let_go(state, edge):
    """Let go of the edges that the gradient does not push against."""
    kept = 0
    for k in range(edge.held):
        if _along(state, edge, k, state.vectors[G]) < 0.0:
            _move(state, edge, k, kept)
            kept += 1
    edge.held = kept


@jit(no_cpython_wrapper=True)
def project(state, edge, vector):
    """Take the part of a vector along the normals away, in place."""
    for _ in range(2 if edge.held > 1 else 1):  # they need not be orthogonal
        for k in range(edge.held):
            if edge.variable[k] >= 0:
                vector[edge.variable[k]] = 0.0
            else:
                share = dot(state.edges[k], vector)
                for i in range(vector.size):
                    vector[i] -= share * state.edges[k, i]


@jit(no_cpython_wrapper=True)
def lead_inwards(state, edge):
    """Turn a direction along an oblique edge slightly away from it."""
    p, g = state.vectors[P], state.vectors[G]
    step, slope = norm2(p), dot(p, g)
    against = 0.0
    for k in range(edge.held):
        if edge.variable[k] < 0:
            against -= _along(state, edge, k, g)
    if not (against > 0.0 and step > 0.0):
        return
    share = min(INWARDS, -0.5 * slope / (against * step))
    for k in range(edge.held):
        if edge.variable[k] < 0:
            for i in range(p.size):
                p[i] -= share * step * state.edges[k, i]


@jit(no_cpython_wrapper=True)
def along_the_edges(state, cg):
    """Whether the gradient has a part along the edges that are held."""
    let_go(state, cg.edge)
    trial, g = state.vectors[XT], state.vectors[G]
    copy(g, trial)
    project(state, cg.edge, trial)
    return norm2(trial) > STATIONARY * norm2(g)
