"""How the compiled loop books its iterates and handovers, as `driver.iteration` and `note` do in Python."""

from __future__ import annotations

import math

from twophase_min._status import Status
from twophase_min.jit.compilation import jit
from twophase_min.jit.kernels import copy
from twophase_min.phases import XT
from twophase_min.phases.adam_kernels import adam_start
from twophase_min.run import detecting, machine, saddle
from twophase_min.run.event import note_event
from twophase_min.run.points import (
    cost_of,
    distance,
    look_back,
    look_beside,
    move,
    noise_at,
    norm_of,
    size_of,
)
from twophase_min.run.state import ALL_AT_ONCE, CONVEX, PAIRS, STOP

# as numbers, for a member that holds one or another
_CONVERGED, _WORKING_PRECISION = int(Status.CONVERGED), int(Status.WORKING_PRECISION)
_PRECISION_LOSS = int(Status.PRECISION_LOSS)
_MAXFUN, _MAXTIME = int(Status.MAXFUN), int(Status.MAXTIME)

_inner = jit(no_cpython_wrapper=True)


@_inner
def is_due(state, rows, events, pause):
    """Whether it is time to come back to Python."""
    memo = state.memo[0]
    if state.stop[0] != 0 or cost_of(memo) >= pause:
        return True
    return memo.recorded != 0 and (memo.rows >= rows.shape[0] or memo.events >= events.shape[0])


@_inner
def record(loop, memo, rows, phase, norm, step):
    """Write a row of the history, where one is kept."""
    if memo.recorded:
        row = rows[memo.rows]
        row[0] = loop.nit
        row[1] = memo.nfev
        row[2] = memo.njev
        row[3] = cost_of(memo)
        row[4] = phase
        row[5] = loop.f
        row[6] = norm
        row[7] = step
        memo.rows += 1


@_inner
def accept(state, address, table, rows, x, f, g):
    """Book a new iterate."""
    loop, memo, v = state.loop[0], state.memo[0], state.vectors
    before, old = v[memo.point], v[memo.point + 1]
    norm = norm_of(state, x, g)
    size = size_of(state, x, g, norm)
    step = distance(x, before)
    if memo.keep_pairs and step > 0.0:
        pair = state.pairs[0, memo.head]
        for i in range(x.size):
            pair[0, i] = x[i] - before[i]
            pair[1, i] = g[i] - old[i]
        memo.head = (memo.head + 1) % PAIRS
        memo.pairs = min(memo.pairs + 1, PAIRS)
    if size <= loop.gtol:
        copy(before, state.convex.vectors[XT])  # its row may be given to another point
    value = loop.f
    move(state, x, f, g)
    loop.f = value  # `accept` still reads it, and puts f in its place
    away = distance(x, v[memo.best]) if size <= loop.gtol and not f <= loop.best_f else 0.0
    cost = cost_of(memo)
    machine.accept(state.loop, float(memo.nfev), cost, cost, loop.best_f, f, norm, size, away)
    record(loop, memo, rows, loop.phase, norm, step)
    if loop.doubted:
        _reconsider(state, address, table, size)


@_inner
def _reconsider(state, address, table, size):
    """Test the iterate for convergence again, where its gradient passes and something speaks against it."""
    loop, memo, v = state.loop[0], state.memo[0], state.vectors
    x, away = v[memo.point], state.convex.vectors[XT]
    if loop.doubted == ALL_AT_ONCE:
        if look_back(state, address, table, away):
            machine.converge(state.loop)
        return
    for i in range(x.size):
        away[i] = v[memo.best, i] - x[i]
    # with the noise of the values measured
    going = noise_at(state, address, table, x, loop.f, away, loop.f - loop.best_f)
    if going and machine.passes(state.loop, loop.best_f, loop.f, size, distance(x, v[memo.best])):
        machine.converge(state.loop)


@_inner
def note(state, events, reason, phase_f):
    """Put the handover that the machine has named on record."""
    loop, memo = state.loop[0], state.memo[0]
    if memo.recorded:
        detector = state.detector.slot[0]
        norm = norm_of(state, state.vectors[memo.point], state.vectors[memo.point + 1])
        note_event(state.loop, events, memo.events, detector.peak, norm, reason, phase_f)
        events[memo.events].detector = detector
    if loop.next != STOP:  # else the numbers for the sentence of the end
        memo.events += 1


@_inner
def new_adam(state, x, f, g):
    """Adam from scratch at an evaluated point, with the settings of the run."""
    memo, adam = state.memo[0], state.adam.slot[0]
    adam.probing = adam.adapting  # 1 where no rate was given
    adam.rate = memo.given_rate
    adam.epsilon = memo.given_epsilon
    adam_start(state.adam, x, f, g)


@_inner
def end_is_taken_back(state, address, table, x0, events):
    """Go on from a lower point aside of the one that has ended the run, where one is known or found."""
    loop, memo, v = state.loop[0], state.memo[0], state.vectors
    rest = loop.status == _CONVERGED or loop.status == _WORKING_PRECISION or loop.status == _PRECISION_LOSS
    if loop.aside == 0 and rest and loop.escapes < saddle.ESCAPES:
        status, cause, final = loop.status, loop.cause, loop.final
        look_beside(state, address, table, x0)
        if loop.status == _MAXFUN or loop.status == _MAXTIME:  # the end that has been reached stands
            loop.status, loop.cause, loop.final = status, cause, final
    if loop.aside == 0:
        return
    convex = loop.phase == CONVEX
    memo.pairs = 0
    machine.reopen(state.loop, loop.aside, convex)
    loop.aside = 0
    x, g = v[memo.best], v[memo.best + 1]
    if not convex:
        new_adam(state, x, loop.best_f, g)
        detecting.rearm(state.detector)
    note(state, events, 0, math.nan)
    machine.enter(state.loop, loop.best_f)
    loop.start_size = size_of(state, x, g, norm_of(state, x, g))
    loop.size = loop.start_size
    move(state, x, loop.best_f, g)
    memo.convex_begun = 0
