"""The guard: its paths and verdicts, each against its docstring, compiled and as plain Python."""

import math

import numpy as np
import pytest
from forms import FORMS, a_loop, a_path_of, bytes_of, entered, fading, straight
from hypothesis import given, settings
from hypothesis import strategies as st

from twophase_min._status import Cause, sentence
from twophase_min.run.guard import (
    ADAM_PATH,
    COURSE,
    GUARD,
    MARKS,
    NORM_PATH,
    PAST,
    PATH,
    PHASE_PATH,
    SPACING,
)
from twophase_min.run.state import EVENT, LOOP

CONSTANT = GUARD.view(GUARD.new())
LEAST = CONSTANT.trial_least
INF = math.inf


@pytest.fixture(params=FORMS, ids=repr)
def form(request):
    return request.param


# ---- paths -----------------------------------------------------------------------------------------------


def a_path(form, cost, value, span=LEAST, share=CONSTANT.past):
    """A path that begins here, and a function that notes a value."""
    slot = PATH.new()
    form.begin_path(slot, float(cost), float(value), float(span), share)
    return slot, lambda cost, value: form.note(slot, float(cost), float(value), CONSTANT.crowded)


def walked(form, values, step=2.0, span=LEAST, share=CONSTANT.past):
    """A path through a function of the evaluations, noted at every step up to as many as are given."""
    costs, value = values
    path, note = a_path(form, 0.0, value(0.0), span, share)
    for cost in np.arange(step, costs + step / 2, step):
        note(cost, value(float(cost)))
    return path


def test_a_path_knows_its_last_value_and_what_was_spent(form):
    path, note = a_path(form, 10, 5)
    assert (form.spent(path), form.newest(path)) == (0, 5)
    note(17, 3)
    assert (form.spent(path), form.newest(path)) == (7, 3)
    note(19, 4)
    assert (form.spent(path), form.newest(path)) == (9, 4)


def test_a_path_forgets_what_is_older_than_its_span_and_its_share(form):
    steep = (40, lambda cost: max(1000.0 - 40 * cost, 200.0))  # falls for 20 evaluations, then stands
    assert form.halves(walked(form, steep, 1.0, span=10, share=0.0)) == (200, 200, 200, 5)
    assert form.halves(walked(form, steep, 1.0, span=10, share=1.0)) == (1000, 200, 200, 20)
    assert form.halves(walked(form, steep, 1.0, span=10, share=0.75)) == (600, 200, 200, 15)
    assert form.halves(walked(form, steep, 1.0, span=30, share=0.0)) == (600, 200, 200, 15)


@settings(deadline=None, derandomize=True)
@given(
    share=st.sampled_from([CONSTANT.past, 1.0]),
    steps=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=30),
)
def test_the_marks_of_a_path_never_fill_their_ring(share, steps):
    form, cost = FORMS[0], 7.0
    slot, note = a_path(form, cost, 1.0, share=share)
    path = PATH.view(slot)
    for turn in range(600):
        cost += steps[turn % len(steps)]
        note(cost, 1.0 / cost)
        assert 2 <= path.many <= MARKS
        assert 0 <= path.first < MARKS
        assert form.spent(slot) == cost - 7.0
        assert form.newest(slot) == 1.0 / cost


@settings(deadline=None, derandomize=True)
@given(
    steps=st.lists(st.floats(0.1, 40.0), min_size=3, max_size=60),
    height=st.floats(-1e3, 1e3),
    slope=st.floats(0.0, 1e3),
    share=st.sampled_from([CONSTANT.past, 1.0]),
    times=st.sampled_from([1, 40]),
)
def test_the_halves_of_a_straight_path_are_equal_wherever_its_marks_are(steps, height, slope, share, times):
    """Property: between two marks the path is straight; and so a straight path is forecast straight."""
    form, cost = FORMS[0], 0.0
    path, note = a_path(form, 0.0, height, share=share)
    for step in steps * times:
        cost += step
        note(cost, height - slope * cost)
    f0, f1, f2, half = form.halves(path)
    size = 1e-9 * (abs(height) + slope * cost + 1.0)
    assert f1 == pytest.approx((f0 + f2) / 2, abs=size)
    assert f0 - f2 == pytest.approx(2 * half * slope, abs=size)
    assert form.forecast(path, 50.0) <= height - slope * cost + size
    assert form.forecast(path, half) == pytest.approx(f2 - slope * half, rel=2e-3, abs=1e3 * size)


@settings(deadline=None, derandomize=True)
@given(
    limit=st.floats(-10, 10),
    height=st.floats(1e-3, 1e3),
    ratio=st.floats(0.05, 0.95),
    steps=st.floats(0, 50),
)
def test_a_geometric_path_is_extrapolated_exactly(limit, height, ratio, steps):
    f0, f1, f2 = (limit + height * ratio**i for i in range(3))
    exact = limit + height * ratio ** (2 + steps)
    assert FORMS[0].extrapolate(f0, f1, f2, steps) == pytest.approx(exact, abs=1e-6 * (height + abs(limit)))


def test_a_straight_path_is_followed_straight_and_one_that_stands_stays(form):
    assert form.extrapolate(3.0, 2.0, 1.0, 5.0) == -4.0
    assert form.extrapolate(3.0, 2.5, 1.0, 2.0) == -2.0  # ever faster: no faster than last
    assert form.extrapolate(3.0, 1.0, 1.0, 100.0) == 1.0


def test_a_path_that_has_not_gone_anywhere_yet_is_forecast_where_it_is(form):
    path, note = a_path(form, 3, 8)
    assert form.forecast(path, 100.0) == 8
    note(3, 8)
    assert form.forecast(path, 100.0) == 8


@pytest.mark.parametrize("limit", [0.0, 0.5, -1e3])
def test_the_forecast_tells_a_path_to_zero_from_one_above_it(form, limit):
    path = walked(form, (100, lambda cost: limit + math.exp(-0.03 * cost)), share=1.0)
    assert form.forecast(path, 0.0) == form.newest(path) == limit + math.exp(-3.0)
    assert form.forecast(path, 200.0) == pytest.approx(limit + math.exp(-0.03 * 300), abs=2e-3)
    again = PATH.load(PATH.array(path).copy())
    assert form.forecast(again, 50.0) == form.forecast(path, 50.0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (lambda cost: -cost, True),
        (lambda cost: -(cost**2), True),  # ever faster
        (lambda cost: 0.51 ** (cost / 20), True),  # 20 is half of the recent past
        (lambda cost: 0.49 ** (cost / 20), False),
        (lambda cost: 1e3 + 0.51 ** (cost / 20), True),
        (lambda cost: 1e3 + 0.49 ** (cost / 20), False),
        (lambda cost: 1.0, False),
        (lambda cost: -min(cost, 100.0), False),  # it has come to a stand
    ],
)
def test_a_path_is_steady_while_its_later_half_brings_half_as_much_as_the_earlier(form, value, expected):
    assert form.steady(walked(form, (120, value), share=1 / 3), CONSTANT.fading) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (lambda cost: 120.0 - cost, 0.0),
        (lambda cost: 100.0 - cost, 0.0),  # it is below already
        (lambda cost: 130.0 - cost, 10.0),
        (lambda cost: 20.0 - cost / 8, 40.0),
        (lambda cost: 5.0, INF),
        (lambda cost: max(20.0 - cost, 15.0), INF),  # the recent past counts
        (lambda cost: max(20.0 - cost / 8, 7.5), 120.0),  # half of it stood still
    ],
)
def test_ahead_is_what_is_left_at_the_recent_pace(form, value, expected):
    """Of 120 evaluations the last 40 count; the goal is 0."""
    assert form.ahead(walked(form, (120, value), share=1 / 3), 0.0) == expected


def test_the_logarithm_is_finite_for_any_norm(form):
    assert form.log(math.e) == pytest.approx(1.0)
    assert form.log(0.0) == form.log(1e-308) == pytest.approx(-709, abs=1)
    assert form.log(1e308) == pytest.approx(709, abs=1)


# ---- Adam ------------------------------------------------------------------------------------------------


def test_adam_is_watched_by_its_best_value_and_off_the_incumbent_by_its_own(form):
    slot, loop = a_loop(work=10.0, best_f=1.0)
    form.begin_adam(slot, 4.0)
    adam, course = a_path_of(slot, ADAM_PATH), a_path_of(slot, COURSE)
    for place, share in ((ADAM_PATH, CONSTANT.past), (COURSE, 1.0)):
        path = loop.paths[place]
        assert (path.began, path.values[0], path.span, path.share) == (10.0, 4.0, LEAST, share)
    loop.work = 12.0
    form.watch_adam(slot, 3.0)
    assert (form.newest(adam), form.newest(course)) == (1.0, 3.0)
    loop.work, loop.off_incumbent = 14.0, 1
    form.watch_adam(slot, 3.5)
    assert (form.newest(adam), form.newest(course)) == (3.5, 3.0)  # its own least value is its course
    assert form.spent(adam) == form.spent(course) == 4.0


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, True),
        ({"off_incumbent": 0}, False),  # there is no path of its own
        ({"suspended_f": math.nan}, False),  # and nothing to pass below
        ({"suspended_f": math.nan, "best_f": 49.0}, True),  # below the best point, as far ahead
        ({"suspended_f": math.nan, "best_f": -149.0}, True),  # as evaluations have been made
        ({"suspended_f": math.nan, "best_f": -151.0}, False),
        ({"suspended_f": math.nan, "best_f": -49.0, "work": 100.0}, True),
        ({"suspended_f": math.nan, "best_f": -9.0, "nfev": 100.0, "maxfun": 130.0}, True),  # 60 more of 200
        ({"suspended_f": math.nan, "best_f": -11.0, "nfev": 100.0, "maxfun": 130.0}, False),
        ({"suspended_f": -9.0, "nfev": 100.0, "maxfun": 130.0}, True),
        ({"suspended_f": -11.0, "nfev": 100.0, "maxfun": 130.0}, False),
        ({"suspended_f": -9.0, "nfev": 100.0, "maxfun": 1000.0}, True),
        ({"suspended_f": -49.0}, True),  # at -50 after 100 more
        ({"suspended_f": -50.0}, False),
        ({"work": 300.0}, True),
        ({"work": 300.0, "suspended_f": -99.0}, True),  # as far ahead as half of all evaluations so far
        ({"work": 300.0, "suspended_f": -101.0}, False),
        ({"work": 101.0, "suspended_f": 49.0}, True),
        ({"work": 100.0, "suspended_f": 49.0}, False),  # half of all evaluations were its own
    ],
)
def test_adam_is_on_course_while_it_leads_below_what_the_convex_phase_has_reached(form, members, expected):
    """From 100 on straight by one an evaluation, for 50 of 200."""
    slot, loop = a_loop(work=0.0, off_incumbent=1)
    form.begin_adam(slot, 100.0)
    for cost in range(1, 51):
        loop.work = float(cost)
        form.watch_adam(slot, 100.0 - cost)
    loop.work, loop.suspended_f = 200.0, 0.0
    for name, value in members.items():
        setattr(loop, name, value)
    assert form.on_course(slot) == expected


def a_past(form, slot, began, values):
    """The past of a phase that began there, through a function of its own evaluations."""
    past = a_path_of(slot, PAST)
    form.begin_past(past, began, values(0.0))
    for made in np.arange(2.0, 102.0, 2.0):
        form.remember(past, began + made, values(made))
    return past


@settings(deadline=None, derandomize=True)
@given(steps=st.lists(st.floats(1e-3, 1e7), min_size=1, max_size=20), began=st.floats(0.0, 1e6))
def test_the_whole_past_is_known_to_a_fifth_of_the_evaluations(steps, began):
    """Property: the value after so many evaluations is that at some earlier ones, by a step and a fifth."""
    form, slot, made = FORMS[0], PATH.new(), 0.0
    form.begin_past(slot, began, 0.0)
    past = PATH.view(slot)
    for turn in range(150):
        step = steps[turn % len(steps)]
        made = began + (made + step) - began
        form.remember(slot, began + made, -made)
        assert past.many <= MARKS
        if past.many < MARKS:
            assert made / SPACING - max(steps) <= -form.value_after(slot, made) * (1 + 1e-9) + 1e-6
        assert -form.value_after(slot, made) <= made * (1 + 1e-9)
    assert form.value_after(slot, 0.0) == 0.0


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, True),
        ({"off_incumbent": 0}, False),  # there is no path of its own
        ({"suspended_f": math.nan}, False),  # and no phase to be held against
        ({"work": 100.0 + LEAST - 1.0}, False),  # too little to judge by
        ({"work": 100.0 + LEAST}, True),
        ({"guard": {"pace": 0.05}}, False),  # of 40 evaluations the phase made 2 to get here
        ({"guard": {"pace": 0.2}}, True),
        ({"adam_made": 200.0, "guard": {"pace": 0.02}}, True),  # earlier excursions count: of 240 now
    ],
)
def test_adam_is_behind_where_it_is_far_slower_than_the_phase_was(form, members, expected):
    """The phase fell by one an evaluation; in 40 evaluations Adam has fallen by 3."""
    slot, loop = a_loop(work=100.0, off_incumbent=1, suspended_f=-50.0)
    a_past(form, slot, 10.0, lambda made: -made)
    form.begin_adam(slot, 0.0)
    loop.work = 140.0
    form.watch_adam(slot, -3.0)
    form.watch_adam(slot, 5.0)  # its least value counts
    entered(LOOP, slot, **members)
    if "work" in members:
        form.watch_adam(slot, -3.0)
    assert form.behind(slot) == expected


@pytest.mark.parametrize(("adam", "length"), [(-1.0, LEAST), (-99.0, 100.0)])
def test_the_trial_after_an_excursion_that_is_behind_is_short(form, adam, length):
    slot, loop = a_loop(work=960.0, off_incumbent=1, suspended_f=-100.0)
    a_past(form, slot, 10.0, lambda made: -made)
    form.begin_adam(slot, 0.0)
    loop.work = 1000.0
    form.watch_adam(slot, adam)
    form.begin_trial(slot, adam, -100.0)
    assert loop.trial_length == length
    assert form.value_after(a_path_of(slot, PAST), 50.0) < -40.0  # the suspended phase's, while it is judged


def test_a_trial_that_is_passed_begins_a_past_of_its_own_and_one_in_vain_leaves_the_other(form):
    for passes in (True, False):
        slot, loop = a_loop(guarded=1, look=INF, goal=1e-6, work=1000.0, off_incumbent=1, suspended_f=-100.0)
        loop.suspended_at, loop.adam_made = 930.0, 7.0
        a_past(form, slot, 10.0, lambda made: -made)
        form.begin_adam(slot, -50.0)
        loop.work = 1040.0
        form.watch_adam(slot, -50.0)
        form.begin_trial(slot, -50.0, -100.0)
        loop.work = 1040.0 + loop.trial_length
        past = loop.paths[PAST]
        if passes:
            assert form.after_convex(slot, -101.0, 1.0) == Cause.NONE
            assert (past.began, past.many, past.values[0], loop.adam_made) == (1040.0, 1, -50.0, 0.0)
        else:
            assert form.after_convex(slot, -50.0, 1.0) == Cause.FELL_SHORT
            form.resume(slot)
            assert past.began == 10.0 + loop.work - 930.0
            assert (past.values[0], loop.adam_made, loop.passed) == (0.0, 47.0, 1)
            assert loop.paths[PHASE_PATH].began == loop.work


# ---- the trial -------------------------------------------------------------------------------------------


def a_trial(form, cost, f, target=INF, adam=None, **members):
    """A run whose convex phase begins its trial, after 40 evaluations of Adam along these values, or none."""
    slot, loop = a_loop(guarded=1, look=INF, goal=1e-6, best_f=f, off_incumbent=1)
    if adam is not None:
        loop.work = cost - 40.0
        form.begin_adam(slot, float(adam(0.0)))
        for spent in range(2, 42, 2):
            loop.work = cost - 40.0 + spent
            form.watch_adam(slot, float(adam(float(spent))))
    loop.work = float(cost)
    form.begin_trial(slot, float(f), float(target))
    for name, value in members.items():
        setattr(loop, name, value)
    return slot


def judged(form, slot, cost, f, size=1.0):
    """The verdict on the next iterate."""
    LOOP.view(slot).work = float(cost)
    return form.after_convex(slot, float(f), float(size))


def feed(form, slot, f, size=lambda spent: 1.0, most=400, step=2.0):
    """The first verdict over steps of two evaluations along values and norms, and when it came."""
    began = LOOP.view(slot).work
    for spent in np.arange(step, most + step, step):
        cause = judged(form, slot, began + spent, f(float(spent)), size(float(spent)))
        if cause != Cause.NONE:
            return cause, float(spent)
    return Cause.NONE, float(most)


def told(form, slot, phase_f=0.0):
    """What the record of the handover would say."""
    events = EVENT.new()
    form.note_event(slot, events, 0, 0.0, 0.0, 0, phase_f)
    event = EVENT.view(events)
    return sentence(event.cause, event)


@pytest.mark.parametrize("cost", [40.0, 240.0, 1000.0, 10_000.0])
def test_a_trial_has_its_length_before_it_is_judged(form, cost):
    slot = a_trial(form, cost, 0.0, adam=straight(1.0, 40.0))
    loop = LOOP.view(slot)
    length = max(LEAST, CONSTANT.trial_share * cost)
    assert (loop.trial_length, loop.passed, loop.target) == (length, 0, INF)
    cause, spent = feed(form, slot, lambda spent: 0.0, most=3000)
    assert (cause, spent) == (Cause.LOST_TRIAL, length)
    assert told(form, slot).startswith(f"the convex phase reached 0 in its trial of {length:.0f} evaluations")


@pytest.mark.parametrize(
    ("adam", "convex", "cause"),
    [
        (straight(1.0, 40.0), straight(0.9), Cause.LOST_TRIAL),
        (straight(1.0, 40.0), straight(1.0), Cause.NONE),  # as far as Adam would have come
        (straight(1.0, 40.0), straight(1.1), Cause.NONE),
        # Adam, whose fall ends: its rate was higher, but where it was heading is not far
        (fading(10.0, 5.0, 50.0 * -math.expm1(-8.0)), straight(0.1), Cause.NONE),
        (fading(10.0, 5.0, 50.0 * -math.expm1(-8.0)), straight(-0.1), Cause.LOST_TRIAL),
        (lambda spent: 0.0, lambda spent: 0.0, Cause.NONE),  # neither brings anything
        (lambda spent: 0.0, straight(-1e-9), Cause.LOST_TRIAL),
        (None, straight(-1.0), Cause.NONE),  # without Adam there is no standard
    ],
)
def test_a_trial_is_lost_above_where_adam_was_heading(form, adam, convex, cause):
    slot = a_trial(form, 40.0, 0.0, adam=adam)
    assert feed(form, slot, convex, most=LEAST)[0] == cause
    assert LOOP.view(slot).passed == (cause == Cause.NONE)
    if adam is not None:
        heading = form.forecast(a_path_of(slot, ADAM_PATH), LEAST)
        assert LOOP.view(slot).reference == heading
        assert cause == Cause.NONE or f"Adam headed for {heading:.6g}" in told(form, slot)


def test_a_short_run_of_adam_is_no_standard(form):
    for spent, cause in ((LEAST - 1, Cause.NONE), (LEAST, Cause.LOST_TRIAL)):
        slot, loop = a_loop(guarded=1, look=INF, off_incumbent=1)
        form.begin_adam(slot, 100.0)
        loop.work = spent
        form.watch_adam(slot, 0.0)
        form.begin_trial(slot, 0.0, INF)
        assert feed(form, slot, lambda spent: 0.0, most=LEAST)[0] == cause
        assert loop.reference == (INF if cause == Cause.NONE else -100.0 * LEAST / spent)


@pytest.mark.parametrize("unit", [2.0**-40, 1.0, 2.0**40])
@pytest.mark.parametrize("height", [0.0, 2.0**10, -(2.0**10)])
@pytest.mark.parametrize(
    ("target", "convex", "cause", "at"),
    [
        (-20.0, straight(1.0), Cause.NONE, 400.0),  # below it at the end of the trial
        (-30.0, straight(1.0), Cause.NONE, 400.0),  # half a trial later
        (-36.0, straight(1.0), Cause.FELL_SHORT, 24.0),  # level with it then
        (-40.0, straight(1.0), Cause.FELL_SHORT, 24.0),
        # about to pass below, until it comes to a stand
        (-30.0, lambda spent: -min(spent, 26.0), Cause.FELL_SHORT, 30.0),
        (-30.0, lambda spent: -min(spent, 30.0), Cause.FELL_SHORT, 36.0),
        (-30.0, lambda spent: -min(spent, 31.0), Cause.NONE, 400.0),
        (-10.0, fading(1.0, 12.0), Cause.NONE, 400.0),  # its limit is -12
        (-13.0, fading(1.0, 12.0), Cause.FELL_SHORT, 24.0),
    ],
)
def test_after_an_excursion_the_phase_must_pass_below_the_suspended_one(
    form, target, convex, cause, at, height, unit
):
    """Its trial is 24 evaluations long; by 36 it must have passed."""
    slot = a_trial(form, 0.0, unit * height, target=unit * (height + target))
    assert feed(form, slot, lambda spent: unit * (height + convex(spent))) == (cause, at)
    assert LOOP.view(slot).passed == (cause == Cause.NONE)
    assert cause == Cause.NONE or "too far above" in told(form, slot)


def test_without_the_guard_there_is_no_verdict(form):
    slot = a_trial(form, 40.0, 0.0, adam=straight(1.0, 40.0), look=0.0, quick=1)
    LOOP.view(slot).guarded = 0
    before = LOOP.array(slot)["paths"].tobytes()
    assert feed(form, slot, lambda spent: 0.0)[0] == Cause.NONE
    assert LOOP.array(slot)["paths"].tobytes() == before


# ---- on course -------------------------------------------------------------------------------------------


def pace(length, goal=1e-6):
    """A norm that falls evenly from 1 to the goal within so many evaluations."""
    return lambda spent: goal ** (spent / length)


def test_the_norm_is_followed_from_the_first_iterate_by_its_least_value(form):
    slot = a_trial(form, 0.0, 0.0)
    norms = a_path_of(slot, NORM_PATH)
    assert form.newest(norms) == INF
    judged(form, slot, 2, 0.0, math.e**2)
    assert form.newest(norms) == pytest.approx(2.0)
    assert form.spent(norms) == 0
    for size in (math.e, math.e**3, INF):
        judged(form, slot, 4, 0.0, size)
        assert form.newest(norms) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("length", "fallback", "quick", "cause", "at"),
    [
        # 24 evaluations after the handover it needs less than 24 more, or no less
        (47.0, 0, 2, Cause.NONE, 46.0),
        (49.0, 0, 2, Cause.SLOW, 24.0),
        (INF, 0, 2, Cause.SLOW, 24.0),
        (INF, 1, 2, Cause.SLOW, 24.0),
        (INF, 2, 2, Cause.NONE, 46.0),  # the one that takes over from a slow phase
        (INF, 0, 0, Cause.NONE, 46.0),  # there is none
    ],
)
def test_a_phase_that_needs_longer_than_it_has_taken_is_slow(form, length, fallback, quick, cause, at):
    slot = a_trial(form, 0.0, 0.0, fallback=fallback, quick=quick)
    assert feed(form, slot, straight(1.0), pace(length), most=46) == (cause, at)
    assert cause == Cause.NONE or "is slow: at its recent pace it needs" in told(form, slot)


def test_a_phase_that_becomes_slow_is_handed_over_then(form):
    """Even for 40 evaluations, and then at a quarter of the pace; or even until it stands still."""
    slot = a_trial(form, 0.0, 0.0, quick=2)
    even = pace(47.0)
    cause, _ = feed(form, slot, straight(1.0), lambda spent: even(min(spent, 40.0 + (spent - 40.0) / 4)))
    assert cause == Cause.NONE  # it needs 28 more at the most, and has taken 40
    slot = a_trial(form, 0.0, 0.0, quick=2)
    cause, at = feed(form, slot, straight(1.0), lambda spent: max(even(spent), 1e-5))
    assert cause == Cause.SLOW
    stand = 47.0 * 5 / 6
    assert stand < at < stand / (1 - CONSTANT.past)  # then the recent past is nothing but the stand
    assert LOOP.view(slot).ahead > at


LOOKS = [
    # (evaluations to convergence, values), and the verdict at the look after 100
    (190.0, fading(1.0, 20.0), Cause.NONE),  # on course
    (210.0, fading(1.0, 20.0), Cause.STALLED),
    (210.0, straight(1.0), Cause.NONE),  # it falls as ever
    (INF, straight(1.0), Cause.NONE),
    (INF, lambda spent: 0.0, Cause.STALLED),
]


@pytest.mark.parametrize(("length", "f", "cause"), LOOKS)
@pytest.mark.parametrize("goal", [1e-6, 1e-2])
@pytest.mark.parametrize("height", [0.0, 1e3, -1e3])
def test_at_a_look_a_phase_off_its_course_is_called_back(form, length, f, cause, goal, height):
    slot = a_trial(form, 0.0, height, look=100.0, goal=goal)
    at = feed(form, slot, lambda spent: height + f(spent), pace(length, goal), most=100)
    assert at == (cause, 100.0)
    assert LOOP.view(slot).look == CONSTANT.again * 100.0
    reason = "100 evaluations after the handover the convex phase is not on course"
    assert cause == Cause.NONE or told(form, slot).startswith(reason)


def test_it_is_looked_at_where_the_evaluations_have_grown_by_a_factor(form):
    """A phase that stands still: called back at every look and nowhere else."""
    slot = a_trial(form, 0.0, 0.0, look=CONSTANT.first_look)
    seen = [cost for cost in range(2, 2000, 2) if judged(form, slot, cost, 0.0) != Cause.NONE]
    assert seen == [100, 200, 400, 800, 1600]


def test_a_trial_delays_the_look(form):
    """What is on trial is not looked at, but as soon as it has passed."""
    slot = a_trial(form, 1000.0, 0.0, target=-1.0, look=1010.0)
    assert feed(form, slot, fading(1.0, 20.0)) == (Cause.STALLED, 100.0)
    assert LOOP.view(slot).look == CONSTANT.again * 1100.0


@pytest.mark.parametrize(
    ("nfev", "length", "cause"),
    [
        # 1.15 * 1.1 of them, and a quarter of maxfun to spare unless it stands still
        (590, 210.0, Cause.STALLED),
        (595, 210.0, Cause.NONE),
        (595, INF, Cause.STALLED),
        (790, INF, Cause.STALLED),
        (791, INF, Cause.NONE),
    ],
)
def test_no_excursion_that_maxfun_leaves_no_room_for(form, nfev, length, cause):
    slot = a_trial(form, 0.0, 0.0, look=100.0, maxfun=1000.0, nfev=float(nfev))
    assert feed(form, slot, fading(1.0, 20.0), pace(length), most=100)[0] == cause
    assert LOOP.view(slot).curbed == (cause == Cause.NONE)


def test_the_state_goes_on_bit_for_bit(form):
    rng = np.random.default_rng(0)
    values = np.minimum.accumulate(rng.uniform(0.5, 1.0, 200))
    sizes = rng.uniform(0.1, 1.0, 200)
    for cut in (0, 5, 40, 120):
        whole, first = (a_trial(form, 47.0, 1.0, 2.0, straight(1e-3, 1.04), look=100.0) for _ in range(2))
        expected = [
            judged(form, whole, 48 + k, *both) for k, both in enumerate(zip(values, sizes, strict=True))
        ]
        assert Cause.STALLED in expected
        seen = [judged(form, first, 48 + k, values[k], sizes[k]) for k in range(cut)]
        second = LOOP.load(LOOP.array(first).copy())
        seen += [judged(form, second, 48 + k, values[k], sizes[k]) for k in range(cut, 200)]
        assert seen == expected
        assert bytes_of(LOOP, second) == bytes_of(LOOP, whole)
