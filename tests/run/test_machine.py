"""The decisions of a run, each against its docstring, compiled and as plain Python."""

import math

import numpy as np
import pytest
from forms import COMPILED, FORMS, PLAIN, a_loop, a_path_of, bytes_of
from hypothesis import given, settings
from hypothesis import strategies as st

from twophase_min._status import Cause, Status, sentence
from twophase_min.run.guard import ADAM_PATH, COURSE, GUARD, NORM_PATH, PHASE_PATH
from twophase_min.run.state import (
    ABOVE_BEST,
    ADAM,
    ALL_AT_ONCE,
    BACK_TO_ADAM,
    BAD_POINT,
    BEGIN_CONVEX,
    BEST_POINT,
    CONVEX,
    EVENT,
    GO_ON,
    ITERATE,
    LOOP,
    NEW_ADAM,
    NEXT_FALLBACK,
    RESUME_CONVEX,
    STOP,
)

NAN, INF = math.nan, math.inf
CONSTANT = GUARD.view(GUARD.new())
COUNTS = (30.0, 50.0, 40.0)
"""Values, evaluations and work that a loop reports here."""


@pytest.fixture(params=FORMS, ids=repr)
def form(request):
    return request.param


def assert_members(loop, expected):
    """Hold members of a view against a mapping; NaN is NaN."""
    seen = {name: getattr(loop, name) for name in expected}
    np.testing.assert_equal(seen, expected)


def assert_counted(loop, best_f):
    """What the loop reports has been taken over."""
    assert (loop.nfev, loop.cost, loop.work, loop.best_f) == (*COUNTS, best_f)


def stopped(status, cause, final):
    return {"next": STOP, "status": status, "cause": cause, "final": final}


# ---- the start -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "f", "size", "finite", "expected"),
    [
        ({}, 2.0, 1.0, True, {"next": GO_ON, "begun": 1, "phase": ADAM}),
        ({}, 2.0, 1000.0, True, {"next": GO_ON, "begun": 1, "phase": ADAM}),
        ({"automatic": 1}, NAN, 1.0, True, stopped(Status.NONFINITE, Cause.BAD_VALUE, BEST_POINT)),
        ({}, NAN, 1.0, True, stopped(Status.NONFINITE, Cause.BAD_VALUE, BEST_POINT)),
        ({}, -INF, 0.0, True, stopped(Status.NONFINITE, Cause.BAD_VALUE, BEST_POINT)),
        ({}, 2.0, NAN, False, stopped(Status.NONFINITE, Cause.BAD_GRADIENT, BEST_POINT)),
        ({}, 2.0, 0.1, True, stopped(Status.CONVERGED, Cause.AT_START, ITERATE)),
        ({"maxiter": 0.0}, 2.0, 0.1, True, stopped(Status.CONVERGED, Cause.AT_START, ITERATE)),
        ({"maxiter": 0.0}, 2.0, 1.0, True, stopped(Status.MAXITER, Cause.NONE, BEST_POINT)),
    ],
)
def test_begin(form, members, f, size, finite, expected):
    slot, loop = a_loop(gtol=0.1, rounding=1e-3, **members)
    form.begin(slot, *COUNTS, f, 3.0, size, finite)
    assert_members(loop, {"f": f, "start_f": f, "norm": 3.0, "begun": 0, **expected})
    assert_members(loop, {"nfev": 30.0, "cost": 50.0, "work": 40.0, "best_f": f})
    assert_members(
        loop,
        {
            "patience": CONSTANT.first_patience,
            "look": CONSTANT.first_look,
            "goal": 0.1 if not size > 100.0 else size / 1000,
        },
    )
    if loop.begun:
        for place in (ADAM_PATH, COURSE):
            path = loop.paths[place]
            assert (path.began, path.many, path.values[0]) == (40.0, 1, f)


@pytest.mark.parametrize(
    ("members", "first"),
    [
        ({}, True),
        ({"automatic": 0}, False),  # a rule of the swap or a learning rate is asked for
        ({"sampled": 1}, False),
        ({"max_swaps": 0.0}, False),
        ({"max_swaps": 1.0}, True),
        ({"guarded": 0}, True),
        ({"maxiter": 0.0}, False),
        ({"gtol": 1.0}, False),  # converged there
    ],
)
def test_the_convex_phase_makes_the_first_step_where_nothing_else_is_asked_for(form, members, first):
    slot, loop = a_loop(**{"automatic": 1, "guarded": 1, "fallbacks": 3, "quick": 2, **members})
    form.begin(slot, *COUNTS, 2.0, 3.0, 1.0, True)
    assert loop.swaps == first
    assert (loop.next == BEGIN_CONVEX) == first
    if not first:
        return
    assert_members(loop, {"phase": ADAM, "begun": 1, "cause": Cause.FIRST, "behind": Cause.FIRST})
    assert_members(loop, {"target": INF, "trial_length": CONSTANT.trial_least, "passed": 0})
    path = loop.paths[PHASE_PATH]
    assert (path.began, path.many, path.values[0]) == (40.0, 1, 2.0)
    events = EVENT.new()
    form.note_event(slot, events, 0, 0.0, 3.0, 0, NAN)
    event = EVENT.view(events)
    assert_members(event, {"origin": -1, "phase": CONVEX, "fallback": 0, "cause": Cause.FIRST, "nit": 0})
    assert "first step" in sentence(event.cause, event)
    form.enter(slot, 2.0)
    assert_members(loop, {"next": GO_ON, "phase": CONVEX, "fallback": 0})


# ---- a new iterate ---------------------------------------------------------------------------------------


FAR = 1.0 + 2e8
"""Value at a start from which `NEAR` of the way to 1 is 0.2."""


@pytest.mark.parametrize(
    ("members", "f", "size", "distance", "expected"),
    [
        ({}, 1.0, 0.1, 0.0, True),
        ({}, 1.0, np.nextafter(0.1, 1.0), 0.0, False),
        ({}, 1.0, NAN, 0.0, False),
        ({}, 1.0 + 1e-9, 0.1, 0.0, True),  # equal up to the rounding of f
        ({}, 1.0 + 3e-9, 0.1, 0.0, False),  # a lower value is known
        ({"start_f": FAR}, 1.2, 0.1, 2.0, True),  # but lower by no more than gtol sees over that distance
        ({"start_f": FAR}, 1.2, 0.1, 1.9, False),
        ({"start_f": 0.99 * FAR}, 1.2, 0.1, 2.0, False),  # and by a share of the way so far that counts
        ({"start_f": 0.99 * FAR}, 1.19, 0.1, 2.0, True),
        ({"start_f": 1.0}, 1.2, 0.1, 2.0, False),
        ({}, NAN, 0.1, 0.0, False),
        # equal up to the noise of f, where it has been measured
        ({"measured": 0.05}, 1.2, 0.1, 0.0, True),
        ({"measured": 0.05}, 1.21, 0.1, 0.0, False),
        ({"measured": 0.05}, 1.2, np.nextafter(0.1, 1.0), 0.0, False),
        ({"measured": 0.05}, NAN, 0.1, 0.0, False),
        ({"measured": 1e-10}, 1.0 + 1e-9, 0.1, 0.0, True),  # the rounding is the larger one
        ({"measured": 1e-9}, 1.0 + 3e-9, 0.1, 0.0, True),
    ],
)
def test_passes(form, members, f, size, distance, expected):
    slot, _ = a_loop(gtol=0.1, rounding=2e-9, **members)
    before = bytes_of(LOOP, slot)
    assert form.passes(slot, 1.0, f, size, distance) == expected
    assert bytes_of(LOOP, slot) == before


@pytest.mark.parametrize("phase", [ADAM, CONVEX])
@pytest.mark.parametrize(
    ("members", "f", "size", "expected"),
    [
        ({}, 1.0, 1.0, {"next": GO_ON, "doubted": 0}),
        ({"nit": 9}, 1.0, 1.0, {**stopped(Status.MAXITER, Cause.NONE, BEST_POINT), "doubted": 0}),
        ({}, 1.0, 0.1, {**stopped(Status.CONVERGED, Cause.NONE, ITERATE), "doubted": 0}),
        # rather than MAXITER
        ({"nit": 9}, 1.0, 0.1, {**stopped(Status.CONVERGED, Cause.NONE, ITERATE), "doubted": 0}),
        # the gradient passes, the value does not, unless it is noise
        ({}, 1.2, 0.1, {"next": GO_ON, "doubted": 1}),
        ({"nit": 9}, 1.2, 0.1, {**stopped(Status.MAXITER, Cause.NONE, BEST_POINT), "doubted": 0}),
        ({"measured": 0.05}, 1.2, 0.1, {**stopped(Status.CONVERGED, Cause.NONE, ITERATE), "doubted": 0}),
        ({}, 1.2, 1.0, {"next": GO_ON, "doubted": 0}),
        ({}, 1.2, NAN, {"next": GO_ON, "doubted": 0}),
    ],
)
def test_accept(form, phase, members, f, size, expected):
    slot, loop = a_loop(gtol=0.1, maxiter=10.0, phase=phase, next=RESUME_CONVEX, doubted=1, **members)
    nit = loop.nit
    form.accept(slot, *COUNTS, 1.0, f, 7.0, size, 0.0)
    assert_members(loop, {**expected, "nit": nit + 1, "f": f, "norm": 7.0, "unread": 1})
    assert loop.phase == phase
    assert_counted(loop, 1.0)


def test_converge(form):
    slot, loop = a_loop(next=GO_ON, doubted=1)
    form.converge(slot)
    assert_members(loop, stopped(Status.CONVERGED, Cause.NONE, ITERATE))


# ---- the noise of the values -----------------------------------------------------------------------------


def test_the_noise_is_measured_ever_less_often(form):
    slot, loop = a_loop(rounding=2e-9)
    assert form.noise_is_due(slot, 0.0, -3.0)
    assert form.noise(slot) == 0.0
    assert form.exactness(slot, -3.0) == 2e-9 * 3.0
    form.note_noise(slot, 0.25, 40.0, -3.0)
    assert_members(loop, {"measured": 0.25, "measured_at": 40.0, "measured_f": -3.0})
    assert not form.noise_is_due(slot, 59.0, -3.0)
    assert form.noise_is_due(slot, 60.0, -3.0)
    assert not form.noise_is_due(slot, 40.0, -1.5)
    assert form.noise_is_due(slot, 40.0, -1.4)  # f is much smaller than where it was measured
    assert form.noise(slot) == 1.0
    assert form.exactness(slot, -3.0) == 1.0  # the larger one
    assert form.exactness(slot, -1e9) == 2.0
    form.note_noise(slot, 0.0, 60.0, -3.0)  # the last measurement counts
    assert form.noise(slot) == 0.0
    form.note_noise(slot, 1e-9, 60.0, -3.0)  # no more than rounding explains
    assert form.noise(slot) == 0.0
    assert not form.noise_is_due(slot, 60.0, 0.0)


@pytest.mark.parametrize(
    ("members", "promise", "size", "expected"),
    [
        # a promise below the noise, and no smaller gradient
        ({}, 1.0, 1.0, {"next": GO_ON, "within_noise": 9, "least_size": 1.0}),
        ({"within_noise": 9}, 1.0, 1.0, stopped(Status.WORKING_PRECISION, Cause.NOISE, BEST_POINT)),
        ({"within_noise": 9}, 1.0, 0.5, stopped(Status.WORKING_PRECISION, Cause.NOISE, BEST_POINT)),
        ({"within_noise": 9}, 1.0, NAN, stopped(Status.WORKING_PRECISION, Cause.NOISE, BEST_POINT)),
        # the promise is worth a search, or there is none
        ({"within_noise": 9}, 1.1, 1.0, {"next": GO_ON, "within_noise": 0, "least_size": 1.0}),
        ({"within_noise": 9}, INF, 1.0, {"next": GO_ON, "within_noise": 0, "least_size": 1.0}),
        ({"within_noise": 9}, NAN, 1.0, {"next": GO_ON, "within_noise": 0, "least_size": 1.0}),
        # the gradient has halved
        ({"within_noise": 9}, 1.0, 0.4, {"next": GO_ON, "within_noise": 0, "least_size": 0.4}),
        ({"within_noise": 9}, 1.1, 0.4, {"next": GO_ON, "within_noise": 0, "least_size": 0.4}),
        # the rounding of f is noise that is taken for granted
        ({"measured": 0.0, "within_noise": 9}, 6e-9, 1.0,
         stopped(Status.WORKING_PRECISION, Cause.NOISE, BEST_POINT)),
        ({"measured": 0.0, "within_noise": 9}, 7e-9, 1.0, {"next": GO_ON, "within_noise": 0}),
    ],
)  # fmt: skip
def test_within_noise(form, members, promise, size, expected):
    """At value 3, with the noise 1 and the least gradient 1."""
    members = {"within_noise": 8, "measured": 0.25, **members}
    slot, loop = a_loop(rounding=2e-9, f=3.0, least_size=1.0, next=GO_ON, **members)
    form.within_noise(slot, promise, size)
    assert_members(loop, expected)


@pytest.mark.parametrize(
    ("best_f", "start_f", "above"),
    [(3.0, 9.0, False), (2.0, 9.0, False), (1.9, 9.0, True), (1.9, 9e9, False)],
    ids=["at it", "within the noise", "above", "nearly all of the decrease so far"],
)
def test_rest_above_the_best_value_ends_the_phase_and_not_the_run(form, best_f, start_f, above):
    """At value 3, with the noise 1: a run ended with success, and returned a point of a large gradient."""
    slot, loop = a_loop(f=3.0, best_f=best_f, start_f=start_f, next=GO_ON, measured=0.25, within_noise=9)
    loop.least_size = 1.0
    assert form.within_noise(slot, 1.0, 1.0) == above
    expected = (
        {"next": GO_ON, "within_noise": 0}
        if above
        else stopped(Status.WORKING_PRECISION, Cause.NOISE, BEST_POINT)
    )
    assert_members(loop, expected)


@pytest.mark.parametrize(
    ("before", "ends"), [(4.0, True), (4.1, False), (INF, False), (2.0, True), (NAN, True)]
)
def test_what_falls_whatever_is_promised_is_not_at_rest(form, before, ends):
    """At value 3, with the noise 1: down a slope without end the promise was rounding: a false success."""
    slot, loop = a_loop(f=3.0, before=before, next=GO_ON, measured=0.25, within_noise=9)
    loop.least_size = 1.0
    form.within_noise(slot, 1.0, 1.0)
    rest = stopped(Status.WORKING_PRECISION, Cause.NOISE, BEST_POINT)
    assert_members(loop, rest if ends else {"next": GO_ON, "within_noise": 0})


def test_an_exact_objective_ends_at_ten_promises_of_nothing(form):
    slot, loop = a_loop(f=1.0, next=GO_ON)
    form.within_noise(slot, 0.0, 1.0)  # the first gradient is a smaller one
    assert_members(loop, {"next": GO_ON, "within_noise": 0, "least_size": 1.0})
    for turn in range(1, 11):
        assert loop.next == GO_ON
        form.within_noise(slot, 0.0, 1.0)
        assert loop.within_noise == turn
    assert_members(loop, stopped(Status.WORKING_PRECISION, Cause.NOISE, BEST_POINT))


# ---- from Adam -------------------------------------------------------------------------------------------


ADAMS = {"automatic": 1, "best_f": 1.0, "patience": 100.0, "steps": 9}


@pytest.mark.parametrize(
    ("members", "decided", "cause"),
    [
        ({}, False, Cause.NONE),
        ({}, True, Cause.DETECTED),
        # no handover is left, or Adam has yet to recover from a phase that failed
        ({"swaps": 3, "max_swaps": 3.0}, True, Cause.NONE),
        ({"swaps": 2, "max_swaps": 3.0}, True, Cause.DETECTED),
        ({"failed_at": 1.0, "steps": 3}, True, Cause.NONE),
        ({"failed_at": 1.0, "steps": 4}, True, Cause.DETECTED),
        # the guard's patience
        ({"patience": 20.0}, False, Cause.PATIENCE),
        ({"patience": 20.0}, True, Cause.DETECTED),
        ({"patience": 20.0, "automatic": 0}, False, Cause.NONE),
        ({"patience": 20.0, "automatic": 0, "suspended_f": 0.5}, False, Cause.PATIENCE),
        ({"patience": 20.0, "sampled": 1, "suspended_f": 0.5}, False, Cause.NONE),
    ],
)
def test_after_adam(form, members, decided, cause):
    """After 20 evaluations of Adam, at the best value."""
    slot, loop = a_loop(unread=1, cause=Cause.STALLED, **{**ADAMS, **members})
    form.begin_adam(slot, 5.0)
    loop.work = 20.0
    patience, steps = loop.patience, loop.steps
    assert form.after_adam(slot, 1.0, decided) == cause
    assert_members(loop, {"unread": 0, "cause": cause, "steps": steps + 1})
    assert form.spent(a_path_of(slot, ADAM_PATH)) == 20.0
    doubled = max(2 * patience, 2 * CONSTANT.trial_least)
    assert loop.patience == (doubled if cause == Cause.PATIENCE else patience)


RULED = ({}, {"sampled": 1}, {"automatic": 0})
"""Runs in which the guard's patience ends Adam's turn, and two in which a rule does, at the best point."""


@pytest.mark.parametrize("kind", RULED)
@pytest.mark.parametrize(
    ("f", "suspended_f", "cause", "off"),
    [
        (2.0, 0.5, Cause.NONE, 1),  # away from the best point the rule has no say, and it is on course
        (2.0, -50.0, Cause.PATIENCE, 1),  # it is not
        (1.0, 0.5, Cause.DETECTED, 0),  # its path leads to the best value
    ],
)
def test_after_adam_on_its_own_path(form, f, suspended_f, cause, off, kind):
    slot, loop = on_its_own_path(form, suspended_f=suspended_f, **kind)
    assert form.after_adam(slot, f, True) == cause
    assert loop.off_incumbent == off


def on_its_own_path(form, **members):
    """Adam off the incumbent, after 19 evaluations of 99: from 22 on straight by one an evaluation."""
    slot, loop = a_loop(**{**ADAMS, "off_incumbent": 1, "patience": 20.0, **members})
    loop.work = 80.0
    form.begin_path(a_path_of(slot, PHASE_PATH), 80.0 - 10.0, 1.0, 24.0, 0.5)
    form.note(a_path_of(slot, PHASE_PATH), 80.0, 1.0, 0.0)
    form.begin_adam(slot, 22.0)
    for cost in range(1, 20):
        loop.work = 80.0 + cost
        form.watch_adam(slot, 22.0 - cost)
    loop.work = 100.0
    return slot, loop


@pytest.mark.parametrize("kind", RULED[:2])
@pytest.mark.parametrize(
    ("f", "members", "cause", "off"),
    [
        (2.0, {}, Cause.NONE, 1),  # on its way below the best point
        (2.0, {"best_f": -96.0}, Cause.NONE, 1),
        (2.0, {"best_f": -98.0}, Cause.PATIENCE, 1),  # in more evaluations than have been made
        (2.0, {"best_f": -60.0, "nfev": 50.0, "maxfun": 90.0}, Cause.NONE, 1),
        (2.0, {"best_f": -60.0, "nfev": 50.0, "maxfun": 70.0}, Cause.PATIENCE, 1),  # too long for maxfun
        (2.0, {"best_f": -60.0, "nfev": 50.0, "maxfun": 70.0, "patience": 21.0}, Cause.NONE, 1),
        (1.0, {}, Cause.DETECTED, 0),  # arrived
    ],
)
def test_after_adam_on_its_own_path_with_no_phase_suspended(form, f, members, cause, off, kind):
    """It would never hand over again, if it had to come to the best point first."""
    slot, loop = on_its_own_path(form, **members, **kind)
    assert form.after_adam(slot, f, True) == cause
    assert loop.off_incumbent == off


@pytest.mark.parametrize(
    ("trial", "cause"), [(19.0, Cause.PATIENCE), (20.0, Cause.PATIENCE), (21.0, Cause.NONE)]
)
def test_adam_that_has_won_a_trial_gets_as_many_evaluations(form, trial, cause):
    """By which it was to arrive where it was held to be heading; it stands still instead."""
    slot, loop = a_loop(**{**ADAMS, "sampled": 1, "off_incumbent": 1, "patience": 3.0, "work": 80.0})
    form.begin_path(a_path_of(slot, PHASE_PATH), 80.0 - trial, 1.0, 24.0, 0.5)
    form.note(a_path_of(slot, PHASE_PATH), 80.0, 1.0, 0.0)
    form.begin_adam(slot, 2.0)
    loop.work = 100.0
    assert form.after_adam(slot, 2.0, True) == cause


@pytest.mark.parametrize(
    ("members", "only_x0", "expected"),
    [
        # a measured noise is no gain either
        (
            {"failed_at": 1.2, "measured": 0.04},
            False,
            {"next": BEGIN_CONVEX, "cause": Cause.DETECTED, "swaps": 3},
        ),
        (
            {"failed_at": 1.2, "measured": 0.06},
            False,
            stopped(Status.PRECISION_LOSS, Cause.DETECTED, BEST_POINT),
        ),
        # phases that kept nothing of what their slopes promised
        ({"hollow_ends": 1}, False, {"next": BEGIN_CONVEX, "cause": Cause.DETECTED, "swaps": 3}),
        ({"hollow_ends": 2}, False, stopped(Status.PRECISION_LOSS, Cause.DETECTED, BEST_POINT)),
        (
            {"hollow_ends": 2, "failed_at": 1.1},
            False,
            stopped(Status.PRECISION_LOSS, Cause.DETECTED, BEST_POINT),
        ),
        ({}, False, {"next": BEGIN_CONVEX, "cause": Cause.DETECTED, "swaps": 3}),
        ({}, True, {"next": BEGIN_CONVEX, "cause": Cause.DETECTED, "swaps": 3}),
        # failed, and gained since then
        ({"failed_at": 1.1}, False, {"next": BEGIN_CONVEX, "cause": Cause.DETECTED, "swaps": 3}),
        # failed without a gain that is more than rounding
        ({"failed_at": 1.0}, False, stopped(Status.PRECISION_LOSS, Cause.DETECTED, BEST_POINT)),
        ({"failed_at": 1.0 + 1e-9}, False, stopped(Status.PRECISION_LOSS, Cause.DETECTED, BEST_POINT)),
        ({"failed_at": 1.0}, True, stopped(Status.NONFINITE, Cause.ONLY_X0, BAD_POINT)),
        ({"max_swaps": 2.0}, False, stopped(Status.PRECISION_LOSS, Cause.NO_HANDOVER, BEST_POINT)),
        ({"max_swaps": 2.0}, True, stopped(Status.NONFINITE, Cause.ONLY_X0, BAD_POINT)),
        (
            {"max_swaps": 2.0, "failed_at": 1.0},
            False,
            stopped(Status.PRECISION_LOSS, Cause.DETECTED, BEST_POINT),
        ),
    ],
)
def test_handover(form, members, only_x0, expected):
    slot, loop = a_loop(swaps=2, rounding=2e-9, **members)
    form.handover(slot, Cause.DETECTED, *COUNTS, 1.0, 2.0, only_x0, False)
    assert_members(loop, {"swaps": 2, "behind": Cause.DETECTED, **expected})
    assert_counted(loop, 1.0)


@pytest.mark.parametrize(
    ("members", "only_x0", "expected"),
    [
        ({}, False, {"next": BEGIN_CONVEX, "cause": Cause.DETECTED}),
        ({"failed_at": 1.0}, False, stopped(Status.NONFINITE, Cause.ONLY_LOWER, BEST_POINT)),
        ({"failed_at": 1.0}, True, stopped(Status.NONFINITE, Cause.ONLY_X0, BAD_POINT)),
        ({"max_swaps": 2.0}, False, stopped(Status.NONFINITE, Cause.ONLY_LOWER, BEST_POINT)),
    ],
)
def test_handover_past_a_lower_point_without_a_gradient(form, members, only_x0, expected):
    slot, loop = a_loop(swaps=2, **members)
    form.handover(slot, Cause.DETECTED, *COUNTS, 1.0, 2.0, only_x0, True)
    assert_members(loop, expected)


@pytest.mark.parametrize(
    ("members", "began_at", "target"),
    [
        ({}, 1.0, INF),
        ({"suspended_f": 0.5}, 1.0, INF),
        ({"off_incumbent": 1}, 2.0, INF),
        ({"off_incumbent": 1, "suspended_f": 0.5}, 2.0, 0.5),
    ],
)
def test_handover_begins_a_trial(form, members, began_at, target):
    """At the best point, or where Adam's own path has led; against the suspended value."""
    slot, loop = a_loop(guarded=1, work=10.0, trial_length=-1.0, passed=1, **members)
    form.handover(slot, Cause.DETECTED, *COUNTS, 1.0, 2.0, False, False)
    assert_members(loop, {"target": target, "trial_length": CONSTANT.trial_least, "passed": 0})
    for place, value in ((PHASE_PATH, began_at), (NORM_PATH, INF)):
        path = loop.paths[place]
        assert (path.began, path.values[0], path.many) == (40.0, value, 1)
        assert (path.span, path.share) == (CONSTANT.trial_least, CONSTANT.past)


@pytest.mark.parametrize(("work", "length"), [(40.0, CONSTANT.trial_least), (1000.0, 100.0)])
def test_a_trial_lasts_a_share_of_the_run(form, work, length):
    slot, loop = a_loop(guarded=1)
    form.handover(slot, Cause.DETECTED, 600.0, work, work, 1.0, 2.0, False, False)
    assert loop.trial_length == length


@pytest.mark.parametrize(
    ("maxfun", "length"), [(1e4, 100.0), (710.0, 100.0), (600.0, 50.0), (501.0, 0.5), (500.0, 0.0)]
)
def test_a_trial_takes_a_quarter_at_most_of_what_maxfun_leaves(form, maxfun, length):
    """After 500 values of two evaluations each."""
    slot, loop = a_loop(guarded=1, sampled=1, maxfun=maxfun, work=900.0)
    form.begin_adam(slot, 2.0)
    loop.work = 1000.0
    form.watch_adam(slot, 2.0)
    form.handover(slot, Cause.DETECTED, 500.0, 1000.0, 1000.0, 1.0, 2.0, False, False)
    assert loop.trial_length == pytest.approx(length)
    assert loop.curbed == (length < 100.0)


def test_a_trial_without_adam_to_lose_against_is_not_cut_short(form):
    slot, loop = a_loop(guarded=1, sampled=1, maxfun=510.0)
    form.handover(slot, Cause.DETECTED, 500.0, 1000.0, 1000.0, 1.0, 2.0, False, False)
    assert (loop.trial_length, loop.curbed) == (100.0, 0)


def test_handover_without_the_guard_begins_no_trial(form):
    slot, loop = a_loop(trial_length=-1.0)
    form.handover(slot, Cause.DETECTED, *COUNTS, 1.0, 2.0, False, False)
    assert (loop.next, loop.trial_length) == (BEGIN_CONVEX, -1.0)


# ---- the convex phase ------------------------------------------------------------------------------------


def test_after_convex(form):
    """Adam stands at 1 when the trial begins, and was heading for less."""
    slot, loop = a_loop(guarded=1, unread=1)
    form.begin_adam(slot, 2.0)
    loop.work = loop.best_f = 1.0
    for cost in range(1, 41):
        loop.work, loop.best_f = float(cost), 2.0 - cost / 40
        form.watch_adam(slot, loop.best_f)
    form.begin_trial(slot, 1.0, INF)
    loop.work = 63.0
    assert form.after_convex(slot, 0.9, 1.0) == Cause.NONE
    assert_members(loop, {"unread": 0, "cause": Cause.NONE, "passed": 0, "reference": INF})
    loop.unread, loop.work = 1, 64.0
    assert form.after_convex(slot, 0.9, 1.0) == Cause.LOST_TRIAL
    assert_members(loop, {"unread": 0, "cause": Cause.LOST_TRIAL, "passed": 0})
    assert loop.reference == pytest.approx(2.0 - 64 / 40)


@pytest.mark.parametrize(
    ("f", "cost", "still"),
    [(1.0, 50.0, True), (1.5, 50.0, True), (0.9, 50.0, False), (1.0, 51.0, False), (NAN, 50.0, False)],
)
def test_stands_still(form, f, cost, still):
    slot, loop = a_loop(f=1.0, spent=50.0)
    assert form.stands_still(slot, f, cost) == still
    assert loop.spent == cost


@pytest.mark.parametrize(
    ("f", "precise", "relative", "promise", "cause"),
    [
        (1.0, True, 8.9e-5, INF, Cause.FLAT),
        (1.0 + 1e-9, True, 8.9e-5, INF, Cause.FLAT),
        (1.0 + 3e-9, True, 8.9e-5, INF, None),  # a lower value is known
        (1.0, True, 9e-5, INF, None),  # the gradient is not flat
        (1.0, True, NAN, INF, None),
        (1.0, False, 8.9e-5, INF, None),  # more than rounding was asked for
        # no more than rounding was promised by the last direction
        (1.0, True, 9e-5, 2e-9, Cause.NOISE),
        (1.0, False, 8.9e-3, 2e-9, Cause.NOISE),
        (1.0, False, 9e-3, 2e-9, None),  # the gradient is steep for a noise that was not measured
        (1.0 + 3e-9, False, 8.9e-3, 2e-9, None),
        (1.0, False, 1.0, 3e-9, None),
        (1.0, True, 8.9e-5, 3e-9, Cause.FLAT),
        (1.0, False, 1.0, NAN, None),
    ],
)
def test_search_failed(form, f, precise, relative, promise, cause):
    """Gradients are flat in roots of the rounding, of which there are 22,361 to one here."""
    slot, loop = a_loop(rounding=2e-9, next=STOP)
    form.search_failed(slot, f, 1.0, precise, relative, promise)
    expected = stopped(Status.WORKING_PRECISION, cause, ITERATE) if cause else {"next": GO_ON}
    assert_members(loop, expected)


@pytest.mark.parametrize(
    ("f", "promise", "cause"),
    [
        (1.0, 1.0, Cause.NOISE),
        (2.0, 1.0, Cause.NOISE),  # as good as the best value
        (2.1, 1.0, None),
        (1.0, 1.1, None),
        (1.0, INF, None),
    ],
)
def test_search_failed_within_measured_noise(form, f, promise, cause):
    slot, loop = a_loop(rounding=2e-9, measured=0.25, next=STOP)
    form.search_failed(slot, f, 1.0, False, INF, promise)
    expected = stopped(Status.WORKING_PRECISION, cause, ITERATE) if cause else {"next": GO_ON}
    assert_members(loop, expected)


@pytest.mark.parametrize(
    ("hollow", "before", "f", "answer", "left"),
    [
        (0, 2.0, 2.0, False, 1),
        (3, 2.0, 2.0, False, 4),
        (4, 2.0, 2.0, True, 5),
        (4, 2.0, 3.0, True, 5),  # it rose, within the noise
        (4, 2.0, 2.0 - 2.0**-14, True, 5),  # less than 1e-4 of it
        (4, 2.0, 2.0 - 2.0**-13, False, 0),  # enough
        (4, 2.0, NAN, False, 0),
    ],
)
def test_seems_hollow(form, hollow, before, f, answer, left):
    """A decrease of 1 was promised; five iterations in a row must keep nothing of it."""
    slot, loop = a_loop(hollow=hollow, before=before)
    assert form.seems_hollow(slot, f, 1.0) == answer
    assert_members(loop, {"hollow": left})


@pytest.mark.parametrize(("measured", "answer"), [(0.0, True), (0.24, True), (0.25, False)])
def test_is_hollow_unless_the_noise_explains_it(form, measured, answer):
    """A decrease of 1 was promised: with an error of a value of a quarter, values cannot show it."""
    slot, loop = a_loop(hollow=5, hollow_ends=1, measured=measured)
    assert form.is_hollow(slot, 2.0, 1.0) == answer
    assert_members(loop, {"hollow": 0, "hollow_ends": 1 + answer})


@pytest.mark.parametrize("cause", [Cause.LOWER, Cause.SHARPER])
@pytest.mark.parametrize("members", [{"failed_at": 1.0}, {"hollow_ends": 2}])
def test_an_end_taken_back_for_a_new_adam(form, cause, members):
    """The next handover is made again: what failed, failed elsewhere or with another gradient."""
    slot, loop = a_loop(**stopped(Status.PRECISION_LOSS, Cause.DETECTED, BAD_POINT), **members)
    form.reopen(slot, cause, False)
    assert_members(loop, {"next": NEW_ADAM, "cause": cause, "status": 0, "final": BEST_POINT})
    form.handover(slot, Cause.DETECTED, *COUNTS, 1.0, 2.0, False, False)
    assert loop.next == BEGIN_CONVEX


@pytest.mark.parametrize(
    ("cause", "fallback", "answer"),
    [
        (Cause.SEARCH_FAILED, 0, True),
        (Cause.SEARCH_FAILED, 1, True),
        (Cause.SEARCH_FAILED, 2, False),
        (Cause.TO_AND_FRO, 0, True),
        (Cause.HOLLOW, 0, True),
        (Cause.HOLLOW, 2, False),
        (Cause.LOST_TRIAL, 0, False),
        (Cause.FELL_SHORT, 0, False),
        (Cause.STALLED, 0, False),
        (Cause.SLOW, 0, True),
        (Cause.SLOW, 1, True),
    ],
)
def test_falls_back(form, cause, fallback, answer):
    slot, loop = a_loop(fallback=fallback, fallbacks=3, quick=2, phase=CONVEX)
    assert form.falls_back(slot, cause, *COUNTS, 1.0) == answer
    assert_counted(loop, 1.0)
    slow = cause == Cause.SLOW
    assert loop.fallback == (1 if slow else fallback)  # `enter` takes the next
    assert loop.first == (2 if slow else 0)
    assert_members(loop, {"next": NEXT_FALLBACK, "cause": cause} if answer else {"next": GO_ON})


@pytest.mark.parametrize("cause", [Cause.COARSER, Cause.SHARPER])
@pytest.mark.parametrize(("fallback", "fallbacks"), [(0, 3), (2, 3), (0, 1)])
def test_other_differences_begin_anew_with_the_last_method(form, cause, fallback, fallbacks):
    """It alone searches by slopes within noise. An end that the old ones had led to is taken back."""
    end = stopped(Status.WORKING_PRECISION, Cause.NOISE, ITERATE)
    slot, loop = a_loop(fallback=fallback, fallbacks=fallbacks, phase=CONVEX, **end)
    assert form.falls_back(slot, cause, *COUNTS, 1.0)
    assert_members(loop, {"next": BEGIN_CONVEX, "cause": cause, "status": 0, "final": BEST_POINT})
    assert loop.fallback == fallback  # the method that is left keeps its name in the record
    form.enter(slot, 2.0)
    assert_members(loop, {"next": GO_ON, "phase": CONVEX, "fallback": fallbacks - 1})
    form.leave(slot, Cause.LOST_TRIAL, *COUNTS, 1.0, 2.0)
    form.enter(slot, 2.0)
    form.handover(slot, Cause.PATIENCE, *COUNTS, 1.0, 2.0, False, False)
    form.enter(slot, 2.0)
    assert_members(loop, {"phase": CONVEX, "fallback": fallbacks - 1})  # from then on


@pytest.mark.parametrize("phase", [ADAM, CONVEX])
def test_reopen(form, phase):
    """A run that has converged by a wrong gradient goes on in the phase, by the method that it was in."""
    end = stopped(Status.CONVERGED, Cause.NONE, ITERATE)
    slot, loop = a_loop(fallback=1, fallbacks=3, phase=phase, **end)
    form.reopen(slot, Cause.COARSER, phase == CONVEX)
    assert_members(loop, {"cause": Cause.COARSER, "status": 0, "final": BEST_POINT})
    form.enter(slot, 2.0)
    assert_members(loop, {"next": GO_ON, "phase": phase, "fallback": 1})


@pytest.mark.parametrize(
    ("phase", "size", "f", "nit", "answer"),
    [
        (CONVEX, 1e-7, 1.0, 0, ALL_AT_ONCE),
        (ADAM, 1e-7, 1.0, 0, 0),
        (CONVEX, 2e-3, 1.0, 0, 0),  # as a step that gets on well leaves it
        (CONVEX, 1e-7, 1.5, 0, ABOVE_BEST),  # not the best point
        (CONVEX, 1e-7, 1.0, 9, 0),  # the last iteration that is allowed
    ],
)
def test_an_iterate_that_converges_all_at_once_is_in_doubt(form, phase, size, f, nit, answer):
    slot, loop = a_loop(
        phase=phase, gtol=1e-2, start_size=1.0, size=1.0, f=2.0, start_f=2.0, nit=nit, maxiter=10
    )
    form.accept(slot, *COUNTS, 1.0, f, size, size, 1.0)
    assert loop.doubted == answer
    assert (loop.next == STOP) == (answer == 0)
    assert loop.before == 2.0


def test_an_iterate_that_converges_after_progress_is_not_in_doubt(form):
    slot, loop = a_loop(phase=CONVEX, gtol=1e-2, start_size=1.0, size=0.05, f=2.0, start_f=2.0)
    form.accept(slot, *COUNTS, 1.0, 1.0, 1e-7, 1e-7, 1.0)
    assert loop.status == Status.CONVERGED


@pytest.mark.parametrize(
    ("value", "near", "far", "answer"),
    [
        (1.25, 1.0, 0.0, (0.5, 0.5)),  # a quarter of the decrease, as over a minimum of a quadratic
        (1.0, 1.0, 0.0, (0.5, 0.0)),  # still the plateau
        (1.25, 0.5, 0.0, (0.5, 0.25)),  # the plateau ends between them
        (0.9, 0.5, 0.25, (0.375, 0.375)),  # lower
        (math.nan, 1.0, 0.0, (0.5, 0.5)),
        (math.inf, 0.5, 0.0, (0.5, 0.25)),
    ],
)
def test_where_a_plateau_is_looked_at_next(form, value, near, far, answer):
    slot, _ = a_loop(f=1.0, before=2.0)
    assert form.narrow(slot, value, near, far) == answer


def test_a_method_that_proved_slow_is_not_tried_again(form):
    """The one that took over is what every later handover begins with."""
    slot, loop = a_loop(fallbacks=3, quick=2, phase=CONVEX, guarded=1)
    assert form.falls_back(slot, Cause.SLOW, *COUNTS, 1.0)
    events = EVENT.new()
    form.note_event(slot, events, 0, 0.0, 0.0, 0, 1.0)
    assert_members(
        EVENT.view(events), {"phase": CONVEX, "fallback": 2, "origin": CONVEX, "cause": Cause.SLOW}
    )
    form.enter(slot, 2.0)
    assert_members(loop, {"next": GO_ON, "phase": CONVEX, "fallback": 2})
    form.leave(slot, Cause.LOST_TRIAL, *COUNTS, 1.0, 2.0)
    form.enter(slot, 2.0)
    form.handover(slot, Cause.PATIENCE, *COUNTS, 1.0, 2.0, False, False)
    form.note_event(slot, events, 0, 0.0, 0.0, 0, 1.0)
    assert_members(EVENT.view(events), {"phase": CONVEX, "fallback": 2, "origin": ADAM})
    form.enter(slot, 2.0)
    assert_members(loop, {"phase": CONVEX, "fallback": 2})


@pytest.mark.parametrize(
    ("measured", "fallback", "fallbacks", "following"),
    [
        (0.0, 0, 3, 1),
        (5e-10, 0, 3, 1),  # no more than rounding
        (1e-9, 0, 3, 2),
        (1e-9, 1, 3, 2),
        (1e-9, 2, 3, None),
        (1e-9, 0, 2, 1),
        (1e-9, 0, 1, None),
    ],
)
def test_in_noise_the_last_fallback_is_the_next(form, measured, fallback, fallbacks, following):
    slot, loop = a_loop(
        measured=measured, rounding=2e-9, fallback=fallback, fallbacks=fallbacks, phase=CONVEX
    )
    assert form.falls_back(slot, Cause.SEARCH_FAILED, *COUNTS, 1.0) == (following is not None)
    form.enter(slot, 1.0)
    assert loop.fallback == (fallback if following is None else following)


@pytest.mark.parametrize(
    ("fallback", "fallbacks", "following"), [(0, 3, 2), (1, 3, 2), (2, 3, None), (0, 2, 1), (0, 1, None)]
)
def test_at_a_kink_the_last_fallback_is_the_next(form, fallback, fallbacks, following):
    """And from then on: the next kink would end the search again."""
    slot, loop = a_loop(fallback=fallback, fallbacks=fallbacks, phase=CONVEX)
    assert form.falls_back(slot, Cause.KINK, *COUNTS, 1.0) == (following is not None)
    form.enter(slot, 1.0)
    assert loop.fallback == (fallback if following is None else following)
    assert loop.first == (0 if following is None else following)


FAILURES = [Cause.SEARCH_FAILED, Cause.KINK, Cause.TO_AND_FRO, Cause.HOLLOW]
CALLED_BACK = [Cause.LOST_TRIAL, Cause.FELL_SHORT, Cause.STALLED]


@pytest.mark.parametrize("cause", FAILURES)
def test_leave_a_phase_that_failed_for_a_new_adam(form, cause):
    slot, loop = a_loop(suspended_f=NAN)
    form.leave(slot, cause, *COUNTS, 1.0, 2.0)
    assert_members(loop, {"next": NEW_ADAM, "cause": cause, "failed_at": 1.0, "off_incumbent": 0})
    assert_counted(loop, 1.0)


@pytest.mark.parametrize("adam_f", [1.0, 2.0])
@pytest.mark.parametrize(
    ("cause", "members"),
    [
        *((cause, {}) for cause in CALLED_BACK),
        # away from the best point
        *((cause, {"off_incumbent": 1}) for cause in FAILURES + CALLED_BACK),
        # at the best point, which is no singularity
        *((cause, {"off_incumbent": 1, "f": 1.0, "size": 1.0, "least_size": 1e-5}) for cause in FAILURES),
        # the first failure, and one after a lower value
        *((cause, {"off_incumbent": 1, "f": 3.0, "vain_f": 1.1}) for cause in FAILURES),
        # better than the suspended phase
        *((cause, {"off_incumbent": 1, "suspended_f": 1.1}) for cause in FAILURES + CALLED_BACK),
    ],
)
def test_leave_for_adams_own_path(form, cause, members, adam_f):
    slot, loop = a_loop(patience=5.0, failed_at=3.0, fallback=1, **members)
    form.leave(slot, cause, *COUNTS, 1.0, adam_f)
    stalled = cause == Cause.STALLED
    expected = {
        "next": BACK_TO_ADAM,
        "cause": cause,
        "off_incumbent": int(adam_f > 1.0),
        "failed_at": NAN,
        "suspended_f": 1.0 if stalled else NAN,  # only one that stalled is suspended
        "patience": CONSTANT.adam_least * 40.0 if stalled else 5.0,
        "first": 1 if stalled else 0,  # and its method resumes
    }
    assert_members(loop, expected)
    assert_counted(loop, 1.0)


@pytest.mark.parametrize("cause", FAILURES)
@pytest.mark.parametrize(
    "members",
    [
        {"f": 1.0, "size": 1.1e6, "least_size": 1.0},
        {"f": 1.0, "size": 1.1e6, "least_size": 1.0, "suspended_f": 1.1},
        {"f": 3.0, "behind": Cause.ADAM_FAILED},
        {"f": 3.0, "vain_f": 1.0},
    ],
    ids=["at a singularity", "below the suspended phase", "where Adam cannot go on", "in vain"],
)
def test_a_failure_on_adams_path_leads_to_the_best_point(form, cause, members):
    """Back on its path Adam would meet the same failure, for ever where it cannot go on itself."""
    slot, loop = a_loop(off_incumbent=1, **{"suspended_f": NAN, **members})
    form.leave(slot, cause, *COUNTS, 1.0, 2.0)
    assert_members(loop, {"next": NEW_ADAM, "cause": cause, "failed_at": 1.0, "off_incumbent": 0})


@pytest.mark.parametrize("cause", FAILURES + CALLED_BACK)
@pytest.mark.parametrize("best_f", [1.0, 1.5])
def test_leave_for_the_suspended_phase(form, cause, best_f):
    """Where Adam's path has led nowhere better."""
    slot, loop = a_loop(off_incumbent=1, suspended_f=1.0, first=2, fallback=2, look=100.0, patience=5.0)
    form.leave(slot, cause, *COUNTS, best_f, 2.0)
    assert_members(loop, {"next": RESUME_CONVEX, "cause": cause, "off_incumbent": 0, "suspended_f": NAN})
    assert_members(loop, {"look": 100.0, "first": 2, "patience": 5.0})
    assert_counted(loop, best_f)


# ---- what follows ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("following", "phase", "expected"),
    [
        (BEGIN_CONVEX, ADAM, {"phase": CONVEX, "fallback": 1, "steps": 7}),
        (NEXT_FALLBACK, CONVEX, {"phase": CONVEX, "fallback": 3, "steps": 7}),
        (RESUME_CONVEX, CONVEX, {"phase": CONVEX, "fallback": 1, "steps": 7}),
        (NEW_ADAM, CONVEX, {"phase": ADAM, "steps": 0}),
        (BACK_TO_ADAM, CONVEX, {"phase": ADAM, "steps": 0}),
    ],
)
def test_enter(form, following, phase, expected):
    members = {"fallback": 2, "first": 1, "steps": 7, "work": 40.0, "best_f": 1.0, "target": 0.5}
    slot, loop = a_loop(next=following, phase=phase, guarded=1, trial_length=-1.0, **members)
    form.enter(slot, 2.0)
    assert_members(loop, {"next": GO_ON, **expected})
    adam = expected["phase"] == ADAM
    for place in (ADAM_PATH, COURSE):
        assert (loop.paths[place].many, loop.paths[place].values[0]) == ((1, 2.0) if adam else (0, 0.0))
    # a resumed phase need not pass below anything
    resumed = following == RESUME_CONVEX
    assert_members(loop, {"target": INF if resumed else 0.5})
    assert_members(loop, {"trial_length": CONSTANT.trial_least if resumed else -1.0})
    assert loop.paths[PHASE_PATH].values[0] == (1.0 if resumed else 0.0)


def test_enter_without_the_guard_resumes_without_a_trial(form):
    slot, loop = a_loop(next=RESUME_CONVEX, phase=ADAM)
    form.enter(slot, 2.0)
    assert (loop.phase, loop.paths[PHASE_PATH].many) == (CONVEX, 0)


@pytest.mark.parametrize(
    ("following", "origin", "expected"),
    [
        (BEGIN_CONVEX, ADAM, {"phase": CONVEX, "fallback": 1, "cause": Cause.STALLED}),
        (NEXT_FALLBACK, CONVEX, {"phase": CONVEX, "fallback": 3, "cause": Cause.STALLED}),
        (RESUME_CONVEX, CONVEX, {"phase": CONVEX, "fallback": 1, "cause": Cause.RESUMED}),
        (NEW_ADAM, CONVEX, {"phase": ADAM, "cause": Cause.STALLED}),
        (BACK_TO_ADAM, CONVEX, {"phase": ADAM, "cause": Cause.STALLED}),
    ],
)
def test_note_event(form, following, origin, expected):
    slot, loop = a_loop(
        next=following, phase=origin, fallback=2, cause=Cause.STALLED, nit=12, cost=50.0, f=3.0, norm=-1.0,
        best_f=1.0, work=40.0, off_incumbent=1, guarded=1, first=1,
    )  # fmt: skip
    form.begin_adam(slot, 4.0)
    form.begin_trial(slot, 2.0, 0.5)
    loop.work = 44.0
    form.watch_adam(slot, 3.0)
    form.after_convex(slot, 1.0, 1.0)
    loop.reference, loop.ahead = 0.25, 70.0
    loop.cause = Cause.STALLED
    before, events = bytes_of(LOOP, slot), EVENT.new(3)
    form.note_event(slot, events, 1, 9.0, 8.0, 5, 1.25)
    assert bytes_of(LOOP, slot) == before
    event = EVENT.view(events, 1)
    assert_members(event, {**expected, "behind": Cause.STALLED, "origin": origin, "reason": 5})
    assert_members(event, {"nit": 12, "cost": 50.0, "f": 3.0, "best_f": 1.0, "phase_f": 1.25})
    assert_members(event, {"peak": 9.0, "norm": 8.0, "reference": 0.25, "target": 0.5})
    assert_members(event, {"adam_spent": 4.0, "spent": 4.0, "ahead": 70.0})
    for other in (0, 2):
        assert EVENT.view(events, other).nit == 0
    for cause in Cause:
        assert "{" not in sentence(cause, event, "text")


# ---- both forms are one machine --------------------------------------------------------------------------


class Play:
    """A run without an objective: the calls of a loop, at values that are made up."""

    def __init__(self, form, members):
        self.form = form
        self.kept, self.loop = a_loop(**members)
        self.kept_events, self.adam_f, self.answers = EVENT.new(), 1.0, []
        self.slot, self.events = form.slot(self.kept), form.slot(self.kept_events)

    def counts(self, more):
        loop = self.loop
        return loop.nfev + more, loop.cost + more, loop.work + more

    def begin(self, f):
        self.form.begin(self.slot, 1.0, 2.0, 2.0, f, 1.0, 1.0, True)
        self.adam_f = f
        if self.loop.next == BEGIN_CONVEX:
            self.follow(0)

    def follow(self, reason):
        self.form.note_event(self.slot, self.events, 0, 2.0, self.loop.norm, reason, self.loop.f)
        if self.loop.next != STOP:
            self.form.enter(self.slot, self.adam_f)

    def step(self, more, f, norm, size, reason, distance, decided, failed, promise, sigma):
        form, slot, loop = self.form, self.slot, self.loop
        counts = self.counts(more)
        least = f if not loop.best_f <= f else loop.best_f
        adam = loop.phase == ADAM
        cause = Cause.NONE
        if failed:
            cause = Cause.ADAM_FAILED if adam else Cause.SEARCH_FAILED
        elif not adam and form.stands_still(slot, f, counts[1]):
            cause = Cause.TO_AND_FRO
        if cause != Cause.NONE and not adam:
            if form.noise_is_due(slot, counts[1], f):
                form.note_noise(slot, sigma, counts[1], f)
            form.search_failed(slot, f, least, decided, norm, promise)
        if cause == Cause.NONE:
            form.accept(slot, *counts, least, f, norm, size, abs(distance))
            if loop.doubted == ALL_AT_ONCE:
                form.narrow(slot, sigma, 1.0, 0.0)
                loop.aside = int(decided)
                form.converge(slot)
            elif loop.doubted and form.noise_is_due(slot, counts[1], f):
                form.note_noise(slot, sigma, counts[1], f)
                if form.passes(slot, least, f, size, abs(distance)):
                    form.converge(slot)
            if loop.next == STOP and loop.aside:
                loop.aside = 0
                form.reopen(slot, Cause.PLATEAU, True)
                self.follow(reason)
                return
            if loop.next != STOP and adam:
                self.adam_f = f
                cause = form.after_adam(slot, f, decided)
            elif loop.next != STOP:
                if form.seems_hollow(slot, f, promise):
                    if form.noise_is_due(slot, counts[1], f):
                        form.note_noise(slot, sigma, counts[1], f)
                    if form.is_hollow(slot, f, promise):
                        cause = Cause.HOLLOW
                if cause == Cause.NONE:
                    form.within_noise(slot, promise, size)
                if cause == Cause.NONE and loop.next != STOP:
                    cause = form.after_convex(slot, f, norm)
        self.answers.append(int(cause))
        if cause != Cause.NONE and loop.next != STOP:
            if adam:
                form.handover(slot, cause, *counts, least, self.adam_f, failed, decided)
                if loop.next == STOP and sigma > 0.0:  # as where a lower point is found
                    form.reopen(slot, Cause.LOWER, False)
            elif not form.falls_back(slot, cause, *counts, least):
                form.leave(slot, cause, *counts, least, self.adam_f)
            self.follow(reason)


few = st.sampled_from
VALUES = st.one_of(
    st.floats(-3.0, 3.0), st.floats(allow_nan=True, allow_infinity=True), few([0.0, 1.0, 1.0 - 1e-9])
)
STEPS = st.tuples(
    few([0.0, 1.0, 2.0, 2.0, 2.0, 7.0, 40.0]),
    VALUES,
    st.floats(1e-9, 10.0),
    few([1.0, 1.0, 1.0, 1e-3]),
    st.integers(1, 3),
    st.floats(-1.0, 1.0),
    few([False, False, False, True]),
    few([False, False, False, False, True]),
    few([INF, 1.0, 1e-2, 1e-12, 0.0]),
    few([0.0, 0.0, 1e-10, 1e-3]),
)
MEMBERS = st.fixed_dictionaries(
    {
        "maxiter": few([INF, 50.0]),
        "maxfun": few([INF, 300.0]),
        "gtol": few([0.0, 1e-2]),
        "rounding": few([0.0, 1e-9]),
        "max_swaps": few([INF, 2.0]),
        "automatic": few([0, 1]),
        "guarded": few([0, 1, 1, 1]),
        "sampled": few([0, 0, 0, 1]),
        "fallbacks": few([3]),
        "quick": few([0, 2]),
        "off_incumbent": few([0, 1]),
        "suspended_f": few([NAN, 0.5, 0.9]),
        "guard": few(
            [
                {},
                {"trial_least": 2.0},
                {"trial_least": 2.0, "first_look": 5.0, "again": 1.1, "fading": 2.0},
            ]
        ),
    }
)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(members=MEMBERS, steps=st.lists(STEPS, min_size=5, max_size=60), slope=few([0.0, 1e-3, 0.3]))
def test_compiled_and_plain_lead_to_the_same_records_bit_for_bit(members, steps, slope):
    runs = [Play(form, members) for form in (COMPILED, PLAIN)]
    for run in runs:
        run.begin(1.0)
    for turn, (more, f, *rest) in enumerate(steps):
        for run in runs:
            # half of the values fall as those of a run do, the others jump
            run.step(more, math.exp(-slope * turn) if turn % 2 else f, *rest)
        assert runs[0].answers == runs[1].answers
        assert bytes_of(LOOP, runs[0].kept) == bytes_of(LOOP, runs[1].kept)
        assert bytes_of(EVENT, runs[0].kept_events) == bytes_of(EVENT, runs[1].kept_events)
        if runs[0].loop.next == STOP:
            break
