"""A compiled convex phase in one file, for `test_phases`: steepest descent with backtracking."""

import math
from typing import Any, NamedTuple

import numpy as np

from twophase_min.jit.compilation import jit
from twophase_min.jit.kernels import copy, dot, trial_point
from twophase_min.jit.records import Record, count, real
from twophase_min.phases import (
    FAILED,
    ITERATION,
    METRIC,
    NEED_F,
    NEED_G,
    SEARCHING,
    XT,
    G,
    Option,
    P,
    Phase,
    X,
)
from twophase_min.phases.ask_tell import ConvexPhase

DESCENT = Record(
    "SteepestDescent",
    real("f", "value at the iterate, unit f"),
    real("trial_f", "value at the trial"),
    real("slope", "slope along the direction, unit f"),
    real("step", "step length along the direction", 1.0),
    real("shrink", "factor by which a failed step is shortened", 0.5),
    count("code", "what is wanted"),
    count("mode", "always SEARCHING"),
    count("reason", "1 where no step decreases f"),
    count("precision", "flag: never set"),
    real("predicted", "decrease that a parabola with its minimum at the first trial promises, unit f"),
    real("promise", "always inf: no direction but steepest descent", math.inf),
    real("noise", "measured error of a value, unit f; not looked at"),
)


class DescentState(NamedTuple):
    vectors: np.ndarray
    slot: Any


@jit
def start(state, x, f, g, first_step):
    descent = state.slot[0]
    copy(x, state.vectors[X])
    copy(g, state.vectors[G])
    descent.f = f
    descent.step = 1.0
    descent.mode = SEARCHING
    descent.code = ITERATION
    return ITERATION


@jit
def next_trial(state):
    descent, v = state.slot[0], state.vectors
    for i in range(v.shape[1]):
        v[P, i] = -v[G, i]
    descent.slope = -dot(v[G], v[G])
    descent.step *= 2.0
    descent.predicted = -0.5 * descent.step * descent.slope
    trial_point(v[X], descent.step, v[P], v[XT])
    descent.code = NEED_F
    return NEED_F


@jit
def tell(state, f, g):
    descent, v = state.slot[0], state.vectors
    if descent.code == NEED_F:
        descent.trial_f = f
        if f <= descent.f + 0.3 * descent.step * descent.slope:
            descent.code = NEED_G
        elif descent.step > 1e-30:
            descent.step *= descent.shrink
            trial_point(v[X], descent.step, v[P], v[XT])
        else:
            descent.reason = 1
            descent.code = FAILED
        return descent.code
    copy(v[XT], v[X])
    copy(g, v[G])
    descent.f = descent.trial_f
    descent.code = ITERATION
    return ITERATION


@jit
def add_pair(state, s, y):
    return False


@jit
def use_sizes(state):
    return False


@jit
def copy_state(source, target):
    for row in range(source.vectors.shape[0]):
        copy(source.vectors[row], target.vectors[row])
    target.slot[0] = source.slot[0]


class SteepestDescent(ConvexPhase):
    name = "steepest-descent"
    record = DESCENT
    kind = DescentState
    reasons = ("", "no step decreases f")

    def __init__(self, shrink: float = 0.5):
        self.shrink = shrink

    def allocate(self, n, dtype, scaled):
        self.state = DescentState(np.zeros((METRIC + scaled, n), dtype), DESCENT.new())
        self.view.shrink = self.shrink


PHASE = Phase(
    "steepest-descent",
    "steepest_descent:SteepestDescent",
    compiled=True,
    memory="4",
    fallbacks=("memory-cg",),
    options=(Option("shrink", "Shortening of a step.", "0.5", "a number in (0, 1)", lambda s: 0 < s < 1),),
)
