"""The state of a run: its records, declared once.

From a declaration follow the memory that compiled code works on, the object that Python reads, and what is
saved (`jit.records`). The decisions of a run (`machine`, `guard`) read and write `LOOP` alone, so that they
are the same in both loops. The vectors belong to the loops: the Python loop keeps the points that the
objective's memo has anyway, and the compiled one rows of one array.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from twophase_min.jit.records import Record, count, nested, real
from twophase_min.run.detecting import DETECTOR, DetectorState
from twophase_min.run.guard import GUARD, PATH

if TYPE_CHECKING:
    from twophase_min._options import TwoPhaseOptions

ADAM, CONVEX = 0, 1
"""Which phase is at work."""

# What comes next, in LOOP.next.
GO_ON, BEGIN_CONVEX, NEXT_FALLBACK, NEW_ADAM, BACK_TO_ADAM, RESUME_CONVEX, STOP = range(7)

ABOVE_BEST, ALL_AT_ONCE, SYMMETRIC = 1, 2, 3
"""What speaks against an iterate whose gradient passes the test: a lower value, a single step to it, or signs
of a symmetry."""

BEST_POINT, ITERATE, BAD_POINT = 0, 1, 2
"""Which point a run returns."""

MOMENTS = 20
"""Steps of Adam after which its second moments scale the convex phase's variables unasked."""
PAIRS = 20
"""Pairs (s, y) of the last iterations kept for the change of variables and for a memory of pairs."""

LOOP = Record(
    "Loop",
    # settings
    real("maxiter", "iterations at most", math.inf),
    real("maxfun", "values of the objective at most", math.inf),
    real("target", "value of a suspended phase that a trial must come near, unit f", math.inf),
    real("gtol", "norm of the gradient at convergence, unit f/x"),
    real("rounding", "relative error of a value that is taken for granted"),
    real("measured", "standard deviation of the error of a value, unit f; 0 while none was measured"),
    real("measured_f", "value at which it was measured, unit f"),
    real("measured_at", "evaluations when it was measured, -1 before", -1.0),
    real("max_swaps", "handovers to the convex phase at most", math.inf),
    count("automatic", "whether the guard may hand over before the rule sees the swap"),
    count("guarded", "whether the convex phase is on trial"),
    count("sampled", "whether Adam's iterations are epochs of mini-batches"),
    count("fallbacks", "methods that the convex phase may fall back on, the first included", 1),
    count("quick", "place among them of the one that a slow phase is handed over to, 0 for none"),
    # what the loop reports
    real("nfev", "values of the objective so far"),
    real("cost", "values and gradients so far"),
    real("work", "the same, a gradient by differences counted as one: the pace of the method"),
    real("best_f", "least value so far, unit f", math.nan),
    real("start_f", "value at x0, unit f", math.nan),
    real("start_size", "size at x0, or where the phase began anew at a lower point, unit f/x", math.nan),
    real("goal", "norm of the gradient that the run heads for, unit f/x: gtol, or what rounding allows"),
    real("f", "value at the iterate, unit f", math.nan),
    real("norm", "Euclidean norm of the gradient at the iterate, unit f/x", math.nan),
    real("size", "its norm that the test of convergence reads, unit f/x", math.nan),
    real("before", "value at the iterate before, unit f", math.nan),
    # where the run stands
    count("nit", "iterations over all phases"),
    count("phase", "ADAM or CONVEX", ADAM),
    count("begun", "whether the start has been accepted"),
    count("aside", "Cause to go on from a lower point aside of the one that ends the run, 0 for none"),
    count("escapes", "saddles left"),
    count("doubted", "what speaks against the iterate, whose gradient passes the test; 0 for nothing"),
    count(
        "within_noise",
        "iterations in a row that promised less than the noise and brought no smaller gradient",
    ),
    count("hollow", "iterations in a row that brought next to nothing of the decrease promised"),
    count("hollow_ends", "phases that ended so"),
    real("least_size", "least norm of the gradient among them and before, unit f/x", math.inf),
    count("unread", "whether detector or guard have yet to see the newest iterate"),
    count("next", "what comes next"),
    count("status", "why the run ended, a Status"),
    count("cause", "why the phase was left or the run ended, a Cause"),
    count("behind", "the Cause of a handover that could not be made, where cause is NO_HANDOVER"),
    count("final", "which point is returned"),
    # Adam and the swap
    count("steps", "iterations of the present run of Adam"),
    count("swaps", "handovers to the convex phase"),
    count("off_incumbent", "whether Adam follows its own path, away from the best point"),
    real("patience", "evaluations of a run of Adam after which the guard tries the convex phase"),
    real("failed_at", "best value when the convex phase last failed, NaN if it did not", math.nan),
    real("vain_f", "the same on a path of Adam too", math.nan),
    count("failed_nit", "iterations then", -1),
    count("barren", "failures in a row without an iteration in between"),
    # the convex phase and its guard
    count("fallback", "place of the method at work among the fallbacks"),
    count(
        "first", "place of the method that a handover begins with: one that proved slow is not tried again"
    ),
    count("passed", "whether the convex phase has passed its trial"),
    count("curbed", "whether maxfun has decided for the guard: no trial of Adam, a shorter one, no course"),
    real("suspended_f", "best value of a suspended convex phase, NaN if there is none", math.nan),
    real("suspended_at", "evaluations when it was suspended"),
    real("adam_made", "evaluations of Adam's excursions since the convex phase began"),
    real("trial_f", "value where the trial began, unit f"),
    real("reference", "value at which Adam would have arrived at the end of the trial, unit f", math.inf),
    real("trial_length", "evaluations of the trial"),
    real("look", "evaluations at which the guard looks at the phase"),
    real("ahead", "evaluations until the phase converges, at its recent pace"),
    real("bend", "curvature that gives a first length, unit f/x^2; NaN where none is known", math.nan),
    real("spent", "evaluations when the convex phase made its last iterate", -1.0),
    nested("guard", GUARD, "constants of the guard"),
    nested("paths", PATH, "those that the guard names", (5,)),
)
"""Everything that a run decides by."""

EVENT = Record(
    "Event",
    count("nit", "iteration"),
    real("cost", "evaluations"),
    real("f", "value at the iterate, unit f"),
    real("norm", "Euclidean norm of the gradient there, unit f/x"),
    real("peak", "largest norm that the detector knows"),
    count("origin", "phase that was left, -1 at the start"),
    count("phase", "phase that follows"),
    count("fallback", "place of the convex method among the fallbacks"),
    count("cause", "a Cause"),
    count("behind", "the Cause that led there, where a suspended phase is resumed"),
    count("reason", "code of the phase that failed"),
    real("phase_f", "value that the convex phase reached, unit f"),
    real("best_f", "least value so far, unit f"),
    real("adam_spent", "evaluations of the run of Adam"),
    real("spent", "evaluations since the handover to the convex phase"),
    real("ahead", "evaluations until it converges, at its recent pace"),
    real("reference", "value that its trial was held against, unit f"),
    real("target", "value that its trial had to come near, unit f"),
    nested("detector", DETECTOR, "the detector at the handover"),
)
"""A handover, with all that its sentence needs."""

POINTS = 4
"""Evaluated points that the compiled loop remembers; often some of the four roles below are one point."""
TIME_IS_UP = 2
"""Value of the flag ``State.stop`` that ends a run before its next evaluation; 1, after an iteration.
"""

MEMO = Record(
    "Memo",
    count("point", "row of the iterate"),
    count("best", "row of the best point"),
    count("last", "row of the point evaluated last"),
    count("sound", "row of the lowest point with a finite gradient"),
    count("at", "row of the newest answer"),
    count("best_known", "whether there is a best point"),
    count("last_known", "whether there is a last point"),
    count("sound_known", "whether there is a point with a finite gradient"),
    real("sound_f", "value at the lowest such point"),
    count("unsound", "points of finite value whose gradient was not finite"),
    count("unsound_entry", "the first such entry at the first of them"),
    real("unsound_f", "least value at such a point"),
    count("bad_known", "whether a value was not finite"),
    count("elsewhere", "whether any point but x0 had a finite value"),
    count("has_gradient", "whether the gradient in a row is known", 0, (POINTS,)),
    real("value", "what the objective answered, unit f"),
    real("last_f", "value at the last point, unit f"),
    real("bad_f", "the last value that was not finite"),
    count("nfev", "values asked for"),
    count("njev", "gradients asked for"),
    count("fused", "whether one call gives value and gradient"),
    real("f_target", "value that ends the run, unit f", -math.inf),
    real("gtol", "bound on the norm of the gradient, unit f/x"),
    real("gtol_rel", "bound as a share of the norm at x0"),
    count("two_norm", "whether convergence reads the Euclidean norm, not the largest entry"),
    real("given_rate", "Adam's learning rate as given, NaN for a probe", math.nan),
    real("given_epsilon", "Adam's epsilon as given, NaN for its default", math.nan),
    count("precondition", "a change of variables: none, from Adam's moments, or automatic"),
    count("typical", "whether the convex phase may take the sizes of x for its variables"),
    count("sized", "whether the variables have typical sizes"),
    count("keep_pairs", "whether pairs are kept"),
    count("pairs", "pairs in use"),
    count("head", "place of the next pair"),
    count("suspended_pairs", "pairs in use, of a suspended phase"),
    count("suspended_head", "place of the next pair, of a suspended phase"),
    count("convex_begun", "whether the convex phase stands at an iterate of its own"),
    count("recorded", "whether history and events are kept"),
    count("rows", "rows of the history in use"),
    count("events", "events in use"),
)
"""What the compiled loop knows of the points it has evaluated, and its settings."""

# Rows of State.vectors. Evaluated points come first, each with its gradient below it; a point is written
# once. DIAGONAL and SIZES are there only where the variables may be changed or have bounds, the last three
# (the limits, and the projected gradient) only where they have bounds.
BAD_X, UNSOUND_X, HANDED, DIAGONAL, SIZES, LOWER, UPPER, REDUCED = range(2 * POINTS, 2 * POINTS + 8)


class State(NamedTuple):
    """A whole run of the compiled loop. Few arrays: each adds to the compile time of every kernel.

    Attributes
    ----------
    loop, memo : slot
        `LOOP` and `MEMO`.
    fresh_loop, fresh_memo : slot
        The same with the settings of the run, as every problem begins.
    answer : ndarray of float64, shape (15,)
        Where the objective leaves its value; then the values and the scratch of a measurement of noise.
    vectors : ndarray, shape (11, n), (13, n) or (16, n)
        Points and gradients, as described above.
    adam, convex : AdamState, and the state of a compiled convex phase
        The two phases.
    suspended : as ``convex``
        A convex phase that stalled, while Adam's own path is tried.
    detector : DetectorState
        The rule of the swap.
    pairs : ndarray, shape (2, PAIRS, 2, n) or (2, 0, 2, n)
        Steps and gradient differences of the last iterations, a ring; and those of the suspended phase.
    beside : ndarray of float64, shape (5, n)
        Scratch for a look beside the end (`saddle`): sizes, two directions, and their products.
    order : ndarray of int64, shape (2, n)
        The same: an order of the variables, and labels.
    stop : ndarray of int64, shape (1,)
        Anybody may set it to 1, or to TIME_IS_UP, to have the run come back; shared by the states of many
        problems.
    """

    loop: Any
    memo: Any
    fresh_loop: Any
    fresh_memo: Any
    answer: np.ndarray
    vectors: np.ndarray
    adam: Any
    convex: Any
    suspended: Any
    detector: DetectorState
    pairs: np.ndarray
    beside: np.ndarray
    order: np.ndarray
    stop: np.ndarray


def set_limits(loop: Any, n: int, options: TwoPhaseOptions, eps: float) -> None:
    """Enter limits and settings into a view of `LOOP`.

    Parameters
    ----------
    loop : view of LOOP
        Written to.
    n : int
        Variables.
    options : TwoPhaseOptions
        Validated.
    eps : float
        Rounding unit of the objective's values.
    """
    loop.maxiter = max(1000, 200 * n) if options.maxiter is None else options.maxiter
    loop.maxfun = math.inf if options.maxfun is None else options.maxfun
    loop.max_swaps = options.max_swaps
    loop.rounding, loop.gtol = 10 * eps, options.gtol
    loop.guarded = options.guard
    loop.automatic = options.learning_rate is None and options.swap == "auto"
