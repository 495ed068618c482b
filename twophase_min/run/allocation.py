"""The state of a run in compiled code: allocated, with the settings entered."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twophase_min._options import TwoPhaseOptions
from twophase_min.phases.adam_kernels import ADAM as ADAM_RECORD
from twophase_min.phases.adam_kernels import adam_init
from twophase_min.run.build import own_solver, run_detector
from twophase_min.run.compiled import AUTOMATIC, FROM_ADAM, UNSCALED
from twophase_min.run.detecting import pack
from twophase_min.run.noise import POINTS
from twophase_min.run.state import (
    DIAGONAL,
    LOOP,
    LOWER,
    MEMO,
    PAIRS,
    REDUCED,
    SIZES,
    UPPER,
    State,
    set_limits,
)


def new_state(
    n: int,
    options: TwoPhaseOptions,
    fused: bool,
    stop: NDArray[np.int64] | None = None,
    own: Any = None,
    box: Any = None,
) -> State:
    """Allocate a run of n variables and enter the settings.

    Parameters
    ----------
    n : int
        Number of variables.
    options : TwoPhaseOptions
        With nothing in them that `why_not` names.
    fused : bool
        Whether one call of the objective gives value and gradient.
    stop : ndarray of int64, shape (1,), optional
        The flag that ends the run early.
    own : ConvexPhase, optional
        The convex phase that `own_solver` returns for these options.
    box : Box, optional
        Limits of the variables.
    """
    own = own_solver(options) if own is None else own
    own.box = box
    changed = options.precondition is not None
    scaled = changed or own.precondition == "auto"
    # without the guard nothing is ever suspended
    own.allocate(n if options.guard else 0, np.float64, scaled)
    suspended = own.state
    own.allocate(n, np.float64, scaled)
    sizes = np.ones(n) if options.precondition == "auto" else None
    adam = adam_init(
        n, np.float64, options.learning_rate, options.beta1, options.beta2, options.epsilon, sizes, box
    )
    fresh_loop, fresh_memo = LOOP.new(), MEMO.new()
    set_limits(LOOP.view(fresh_loop), n, options, float(np.finfo(float).eps))
    memo = MEMO.view(fresh_memo)
    memo.f_target = -math.inf if options.f_target is None else options.f_target
    memo.gtol, memo.gtol_rel, memo.two_norm = options.gtol, options.gtol_rel, options.norm == 2
    memo.given_rate = math.nan if options.learning_rate is None else options.learning_rate
    memo.given_epsilon = ADAM_RECORD.view(adam.slot).epsilon
    memo.fused = fused
    memo.precondition = {None: UNSCALED, "adam": FROM_ADAM, "auto": AUTOMATIC}[options.precondition]
    memo.typical = own.precondition == "auto"
    memo.keep_pairs = keep = changed and own.keeps_pairs
    vectors = np.zeros((REDUCED + 1 if box is not None else SIZES + 1 if changed else DIAGONAL, n))
    if box is not None:
        vectors[LOWER], vectors[UPPER] = box
    return State(
        LOOP.new(),
        MEMO.new(),
        fresh_loop,
        fresh_memo,
        np.zeros(1 + 2 * POINTS),
        vectors,
        adam,
        own.state,
        suspended,
        pack(run_detector(options, sampled=False)),
        np.zeros((2, PAIRS if keep else 0, 2, n)),
        np.zeros((5, n)),
        np.zeros((2, n), dtype=np.int64),
        np.zeros(1, dtype=np.int64) if stop is None else stop,
    )
