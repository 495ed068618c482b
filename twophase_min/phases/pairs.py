"""The limited-memory BFGS recursion over a ring of pairs (s, y) of steps and gradient differences.

The kernels take a state with ``vectors``, ``pairs`` and ``ring`` (see `memory_cg.MemoryCGState`) and, as
``memory``, its record, which has the members ``stored``, ``head``, ``gamma``, ``eps`` and ``skipped``.

Reference: Nocedal & Wright, *Numerical Optimization* (2006), algorithm 7.4.
"""

from __future__ import annotations

import math

import numpy as np

from twophase_min.jit.compilation import jit
from twophase_min.jit.kernels import axpy, axpy_dot, copy, dot
from twophase_min.phases import FREE, G, P
from twophase_min.phases.metric import dual_length, length, metric_of

SHARE = 3.0
"""The curvature at the end of a step is taken to be at most this many times above or below its mean."""
CLEAR = 1e-6
"""Values tell nothing of the curvature where f falls by less than this share of its fall so far: near the end
it changes little along a step, and a value's error may be larger than is known, as in single precision."""
SEEN = 1000.0
"""Errors of a value by which a step must change its slope, for values to tell how the curvature changes."""


def default_memory(n: int) -> int:
    """Pairs to keep when nobody says: 50, fewer where they would take more than 512 MB, never under 3."""
    return int(min(50, max(3, 2**29 // (16 * max(n, 1)))))


@jit(no_cpython_wrapper=True)
def two_loop(state, memory):
    """Set ``p = -H g`` from the pairs in memory (N&W algorithm 7.4)."""
    p, g = state.vectors[P], state.vectors[G]
    s, y = state.pairs[0], state.pairs[1]
    rho, alpha = state.ring[0], state.ring[1]
    m = rho.size
    many = memory.stored
    j = (memory.head - 1 + m) % m
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
        p[i] *= state.diagonal[i]
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
def see_free(state, memory):
    """Look at the entries of the pairs in the free variables, for `multiply_free`.

    Row 2 of the ring takes the 1 / (s.y) of the free parts, and 0 for a pair without positive curvature
    there, which is left out.
    """
    v = state.vectors
    free = v[FREE]
    scaled, metric = metric_of(v)
    rho = state.ring[2]
    m = rho.size
    for back in range(memory.stored):
        j = (memory.head - 1 - back + m) % m
        s, y = state.pairs[0, j], state.pairs[1, j]
        sy = 0.0
        ss = 0.0
        yy = 0.0
        for i in range(free.size):
            d = np.float64(metric[i]) if scaled else 1.0
            si = np.float64(s[i]) * np.float64(free[i])
            yi = np.float64(y[i]) * np.float64(free[i])
            sy += si * yi
            ss += si / d * si
            yy += yi * d * yi
        rho[j] = 0.0
        if sy > memory.eps * math.sqrt(ss) * math.sqrt(yy) and sy < math.inf:
            rho[j] = 1.0 / sy


@jit(no_cpython_wrapper=True)
def multiply_free(state, memory, q):
    """Multiply by H in the free variables alone, in place; q is 0 elsewhere, and stays so.

    Of every pair only the free entries are looked at (`see_free`). So H is the inverse of what the pairs tell
    of the Hessian's free block, as in a problem of the free variables.
    """
    v = state.vectors
    free = v[FREE]
    rho, alpha = state.ring[2], state.ring[1]
    m, many = rho.size, memory.stored
    for back in range(many):
        j = (memory.head - 1 - back + m) % m
        if rho[j] > 0.0:
            alpha[j] = rho[j] * dot(state.pairs[0, j], q)
            y = state.pairs[1, j]
            for i in range(q.size):
                q[i] -= alpha[j] * y[i] * free[i]
    for i in range(q.size):
        q[i] *= state.diagonal[i]
    for back in range(many):
        j = (memory.head - many + back + m) % m
        if rho[j] > 0.0:
            s = state.pairs[0, j]
            factor = alpha[j] - rho[j] * dot(state.pairs[1, j], q)
            for i in range(q.size):
                q[i] += factor * s[i] * free[i]


@jit
def end_curvature(drop, slope, change, noise):
    """Return the curvature at the end of a step as a share of its mean along the step.

    It is that of the cubic with the values and slopes of both ends, between 1 / `SHARE` and `SHARE`; 1 where
    rounding hides it. A difference of gradients multiplied by it makes a pair whose update is that of Biggs
    (J. Inst. Maths Applics 8, 1971, 315-327): to the curvature where the next step begins.

    Parameters
    ----------
    drop : float
        Decrease of f by the step, unit f.
    slope : float
        Inner product of the step and the gradient at its end, unit f.
    change : float
        Inner product of the step and the difference of gradients, unit f.
    noise : float
        Rounding error of a value, unit f.
    """
    if not change > SEEN * noise:
        return 1.0
    share = 6.0 * (drop + slope) / change - 2.0
    return min(max(share, 1.0 / SHARE), SHARE)


@jit
def learn_diagonal(diagonal, s, y, sy, share):
    """Update the diagonal inverse Hessian D by a pair: the diagonal of the BFGS update of ``D^-1``.

    Before that D is scaled by the pair, which makes it self-scaling. So the variables find their own scales.
    An entry of which the pair says nothing, being zero in both s and y, stays as it is.

    Reference: Gilbert & Lemaréchal, Math. Programming 45 (1989) 407-435, section 4.

    Parameters
    ----------
    diagonal : ndarray of float64, shape (n,)
        Overwritten.
    s, y : ndarray, shape (n,)
        Step and difference of gradients.
    sy : float
        Their inner product, > 0.
    share : float
        Factor of y in the update, and not in the scale before it, > 0.
    """
    ydy = 0.0
    sbs = 0.0
    for i in range(s.size):
        ydy += np.float64(y[i]) * diagonal[i] * np.float64(y[i])
        sbs += np.float64(s[i]) / diagonal[i] * np.float64(s[i])
    scale = ydy / sy
    for i in range(s.size):
        if s[i] != 0.0 or y[i] != 0.0:
            b = np.float64(s[i]) / diagonal[i]
            rest = max(1.0 / diagonal[i] - b / sbs * b, 0.0)
            new = rest * scale + np.float64(y[i]) / sy * np.float64(y[i]) * share
            if 0.0 < new < math.inf:
                diagonal[i] = 1.0 / new


@jit(no_cpython_wrapper=True)
def learn(state, memory, s, y, share):
    """Take a pair into the memory if its curvature is positive; whether it was.

    y is multiplied by a positive ``share``, see `end_curvature`.

    The recursion starts from a diagonal. Where the memory reaches back further than there are variables, that
    only matters in directions that are not seen yet, mostly flat ones: the longer of the two usual multiples
    of the metric, ``s.s / s.y``, lets them move. Where pairs are forgotten it matters in every direction: it
    learns the scales of the variables, and the shorter scale keeps the unit step acceptable.
    """
    sy = dot(s, y)
    s_length = length(state.vectors, s)
    y_length = dual_length(state.vectors, y)
    if sy > memory.eps * s_length * y_length and 0.0 < y_length < math.inf and s_length < math.inf:
        m = state.ring.shape[1]
        j = memory.head
        copy(s, state.pairs[0, j])
        for i in range(y.size):
            state.pairs[1, j, i] = share * y[i]
        state.ring[0, j] = 1.0 / (share * sy)
        scaled, metric = metric_of(state.vectors)
        all_seen = m >= s.size
        gamma = s_length / sy * s_length if all_seen else sy / y_length / y_length
        for i in range(s.size):  # in the second case only where nothing is known of this variable
            if all_seen or memory.stored == 0 or (s[i] == 0.0 and y[i] == 0.0):
                state.diagonal[i] = gamma * (metric[i] if scaled else 1.0)
        if not all_seen:
            learn_diagonal(state.diagonal, s, y, sy, share)
        memory.head = (j + 1) % m
        memory.stored = min(memory.stored + 1, m)
        memory.longest = max(memory.longest, s_length)
        return True
    memory.skipped += 1
    return False


@jit(no_cpython_wrapper=True)
def hager_zhang(state, cg, new):
    """Set beta for ``p = -D g + beta p`` from y (row G), the new gradient, the old p and its slope.

    Hager & Zhang 2013, equations (2.1)-(2.2) with their eta = 0.4, in the metric D.
    """
    p, y = state.vectors[P], state.vectors[G]
    scaled, metric = metric_of(state.vectors)
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
        beta = max(beta, 0.4 * cg.slope / pp)
    cg.beta = beta if math.isfinite(beta) else 0.0
