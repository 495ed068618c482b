"""The guard: its rates and verdicts, and what a run makes of them."""

import math

import numpy as np
import pytest
from forms import FORMS, a_loop, a_rate_of, bytes_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import rosen, rosen_der

from twophase_min import Status, minimize
from twophase_min._status import Cause, sentence
from twophase_min.run.guard import COURSE, GUARD, MARKS, RATE
from twophase_min.run.state import EVENT, LOOP

START = np.array([-1.2, 1.0, -0.5])
CONSTANT = GUARD.view(GUARD.new())


@pytest.fixture(params=FORMS, ids=repr)
def form(request):
    return request.param


# ---- rates -----------------------------------------------------------------------------------------------


def a_rate(form, cost, value, span=CONSTANT.trial_least, share=CONSTANT.trial_past):
    """A rate that begins here, and a function that notes a value."""
    slot = RATE.new()
    form.begin_rate(slot, float(cost), value, float(span), share)
    return slot, lambda cost, value: form.note(slot, float(cost), value, CONSTANT.crowded)


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e12])
def test_a_rate_is_relative_decrease_per_evaluation(form, unit):
    rate, note = a_rate(form, 10, 100 * unit, span=20)
    assert form.gain(rate) == 0
    assert form.spent(rate) == 0
    for cost in range(11, 31):
        note(cost, unit * (100 - (cost - 10)))
    assert form.spent(rate) == 20
    assert form.gain(rate) == pytest.approx(20 / 100 / 20)


def test_a_rate_forgets_what_is_older_than_its_span(form):
    rate, note = a_rate(form, 0, 1000.0, span=10, share=0.0)
    for cost in range(1, 21):
        note(cost, 1000.0 - 40 * cost)  # a steep start
    for cost in range(21, 41):
        note(cost, 200.0)  # and nothing since
    assert form.gain(rate) == 0
    rate, note = a_rate(form, 0, 1000.0, span=10, share=1.0)
    for cost in range(1, 41):
        note(cost, max(1000.0 - 40 * cost, 200.0))
    assert form.gain(rate) == pytest.approx(0.8 / 40)  # a share of 1 looks at the whole phase


def test_a_short_phase_is_no_reference_and_a_rising_one_is_zero(form):
    least = CONSTANT.trial_least
    rate, note = a_rate(form, 0, 10.0)
    note(least - 1, 1.0)
    assert form.gain(rate) > 0
    assert form.reference(rate, least) == 0
    note(least, 1.0)
    assert form.reference(rate, least) == form.gain(rate)
    rate, note = a_rate(form, 0, 1.0)
    note(least, 2.0)
    assert form.gain(rate) < 0
    assert form.reference(rate, least) == 0


def test_values_of_zero_do_no_harm(form):
    rate, note = a_rate(form, 0, 0.0)
    note(30, 0.0)
    assert form.gain(rate) == 0
    assert form.reference(rate, CONSTANT.trial_least) == 0


@settings(deadline=None, derandomize=True)
@given(
    share=st.sampled_from([CONSTANT.trial_past, CONSTANT.stall_past, CONSTANT.course_past]),
    steps=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=30),
)
def test_the_marks_of_a_rate_never_fill_their_ring(share, steps):
    form, cost = FORMS[0], 7.0
    slot, note = a_rate(form, cost, 1.0, share=share)
    rate = RATE.view(slot)
    for turn in range(600):
        cost += steps[turn % len(steps)]
        note(cost, 1.0 / cost)
        assert 2 <= rate.many < MARKS // 2
        assert 0 <= rate.first < MARKS
        assert form.spent(slot) == cost - 7.0


# ---- verdicts --------------------------------------------------------------------------------------------


def a_trial(
    form,
    cost,
    best,
    reference,
    target=np.inf,
    span=CONSTANT.stall_span,
    limit=CONSTANT.stalled,
):
    """A run whose convex phase begins its trial."""
    slot, _ = a_loop(guarded=1, work=cost, stall_span=span, stall_limit=limit)
    form.begin_trial(slot, best, reference, target)
    return slot


def judged(form, slot, cost, f):
    """The verdict on the next iterate."""
    LOOP.view(slot).work = cost
    return form.after_convex(slot, f)


def feed(form, slot, f, steps, factor):
    """The first verdict over steps of two evaluations that multiply f by a factor, and the evaluations."""
    loop = LOOP.view(slot)
    for _ in range(steps):
        f *= factor
        cause = judged(form, slot, loop.work + 2, f)
        if cause != Cause.NONE:
            return cause, loop.work
    return Cause.NONE, loop.work


def told(form, slot):
    """What the record of the handover would say."""
    events = EVENT.new()
    form.note_event(slot, events, 0, 0.0, 0.0, 0, 0.0)
    event = EVENT.view(events)
    return sentence(event.cause, event)


def test_a_trial_has_its_length_before_it_is_judged(form):
    for spent in (0.0, 100.0, 10_000.0):
        slot = a_trial(form, spent, 1.0, reference=1.0)
        cause, cost = feed(form, slot, 1.0, 10_000, 1.0)
        assert cause == Cause.LOST_TRIAL
        length = max(CONSTANT.trial_least, CONSTANT.trial_share * spent)
        assert length <= cost - spent <= length + 2
        assert "trial" in told(form, slot)


def test_as_fast_as_adam_passes_and_slower_does_not(form):
    slow = a_trial(form, 0, 1.0, reference=0.01)
    assert feed(form, slow, 1.0, 100, 0.999)[0] == Cause.LOST_TRIAL
    fast = a_trial(form, 0, 1.0, reference=0.01)
    assert feed(form, fast, 1.0, 100, 0.95)[0] == Cause.NONE
    assert LOOP.view(fast).passed


def test_without_a_reference_every_trial_passes(form):
    slot = a_trial(form, 0, 1.0, reference=0.0)
    assert feed(form, slot, 1.0, int(CONSTANT.trial_least), 1.0)[0] == Cause.NONE
    assert LOOP.view(slot).passed


def test_a_passed_phase_that_stalls_is_called_back_and_one_that_creeps_on_is_not(form):
    limit, span = CONSTANT.stalled, CONSTANT.stall_span
    stalled = a_trial(form, 0, 1.0, reference=0.0)
    cause, cost = feed(form, stalled, 1.0, 1000, 1 - limit)  # two evaluations a step: half the limit
    assert cause == Cause.STALLED
    assert span <= cost <= span + 4
    assert "stalled" in told(form, stalled)
    creeping = a_trial(form, 0, 1.0, reference=0.0)
    assert feed(form, creeping, 1.0, 1000, 1 - 4 * limit)[0] == Cause.NONE


def test_a_phase_that_creeps_is_only_called_back_where_that_is_the_limit(form):
    factor = 1 - CONSTANT.slow  # two evaluations a step: half the limit
    for limit, cause in ((CONSTANT.slow, Cause.STALLED), (CONSTANT.stalled, Cause.NONE)):
        slot = a_trial(form, 0, 1.0, reference=0.0, limit=limit)
        assert feed(form, slot, 1.0, 500, factor)[0] == cause


@pytest.mark.parametrize("unit", [2.0**-40, 1.0, 2.0**40])
def test_a_second_phase_must_come_near_the_value_that_it_is_meant_to_beat(form, unit):
    """From 2 at the handover, by a tenth a step of two evaluations: 0.56 after 24, ever more slowly."""
    for target, cause in ((0.6, Cause.NONE), (0.4, Cause.NONE), (0.2, Cause.FELL_SHORT)):
        slot = a_trial(form, 0, 2 * unit, reference=0.0, target=target * unit)
        assert feed(form, slot, 2 * unit, int(CONSTANT.trial_least) // 2, 0.9)[0] == cause, target
        assert LOOP.view(slot).passed == (cause == Cause.NONE)
        assert cause == Cause.NONE or "too far above" in told(form, slot)


def test_below_zero_the_target_lies_ahead_too(form):
    steps = int(CONSTANT.trial_least) // 2
    slot = a_trial(form, 0, -1.0, reference=0.0, target=-1.3)
    assert feed(form, slot, -1.0, steps, 1.02)[0] == Cause.NONE  # -1.27, and on
    slot = a_trial(form, 0, -1.0, reference=0.0, target=-2.0)
    assert feed(form, slot, -1.0, steps, 1.02)[0] == Cause.FELL_SHORT


def test_verdicts_do_not_depend_on_the_unit_of_f(form):
    for unit in (2.0**-40, 1.0, 2.0**40):
        slot = a_trial(form, 0, unit, reference=0.01)
        assert feed(form, slot, unit, 100, 0.999) == (Cause.LOST_TRIAL, 24)


def test_without_the_guard_there_is_no_verdict(form):
    slot = a_trial(form, 0, 1.0, reference=1.0)
    LOOP.view(slot).guarded = 0
    before = LOOP.array(slot)["rates"].tobytes()
    assert feed(form, slot, 1.0, 1000, 1.0)[0] == Cause.NONE
    assert LOOP.array(slot)["rates"].tobytes() == before


def test_the_state_goes_on_bit_for_bit(form):
    rng = np.random.default_rng(0)
    values = np.minimum.accumulate(rng.uniform(0.5, 1.0, 200)) * np.linspace(1, 0.9, 200)
    for cut in (0, 5, 40, 120):
        whole, first = (a_trial(form, 7, 1.0, 1e-4, limit=1e-2, target=2.0) for _ in range(2))
        expected = [judged(form, whole, 8 + k, f) for k, f in enumerate(values)]
        assert Cause.STALLED in expected
        seen = [judged(form, first, 8 + k, f) for k, f in enumerate(values[:cut])]
        second = LOOP.load(LOOP.array(first).copy())
        seen += [judged(form, second, 8 + cut + k, f) for k, f in enumerate(values[cut:])]
        assert seen == expected
        assert bytes_of(LOOP, second) == bytes_of(LOOP, whole)


# ---- the first stall test --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "work", "limit", "expected"),
    [
        (10_000, 99.0, "earliest", "earliest"),
        (10_000, 100.0, "earliest", "early"),
        (10_000, 4999.0, "early", "early"),
        (10_000, 5000.0, "early", "slow"),
        (10_000, 5000.0, "earliest", "slow"),
        (1, 1.0, "earliest", "slow"),
        (1, 1.0, "stalled", "stalled"),
        (1, 1.0, "slow", "slow"),
    ],
)
def test_the_limit_tightens_as_the_evaluations_near_the_number_of_variables(form, n, work, limit, expected):
    guard = GUARD.new()
    seen = form.stall_limit(guard, getattr(CONSTANT, limit), work, n)
    assert seen == getattr(CONSTANT, expected)


def test_where_the_early_limit_gives_way_the_test_begins_anew_over_its_whole_span(form):
    slot = a_trial(form, 10, 1.0, 0.0, span=CONSTANT.early_span, limit=CONSTANT.early)
    loop = LOOP.view(slot)
    loop.n = 100
    judged(form, slot, 40, 0.9)
    assert (loop.stall_limit, loop.stall_span) == (CONSTANT.early, CONSTANT.early_span)
    judged(form, slot, 50, 0.8)
    assert (loop.stall_limit, loop.stall_span) == (CONSTANT.slow, CONSTANT.stall_span)
    assert (loop.rates[2].began, loop.rates[2].span) == (50, CONSTANT.stall_span)
    assert loop.rates[1].began == 10  # that of the trial goes on


@pytest.mark.parametrize(
    ("nfev", "factor", "cause"),
    [
        # 1.3 * 1.1 of them, and a quarter of maxfun to spare unless it stands still
        (500, 1 - 1e-4, Cause.STALLED),
        (530, 1 - 1e-4, Cause.NONE),
        (530, 1.0, Cause.STALLED),
        (690, 1.0, Cause.STALLED),
        (700, 1.0, Cause.NONE),
    ],
)
def test_no_stall_where_maxfun_leaves_no_room_for_adam(form, nfev, factor, cause):
    slot = a_trial(form, 0, 1.0, reference=0.0, limit=CONSTANT.slow)
    loop = LOOP.view(slot)
    loop.maxfun, loop.nfev = 1000.0, nfev
    assert feed(form, slot, 1.0, 200, factor)[0] == cause
    assert loop.curbed == (cause == Cause.NONE)


# ---- in a run --------------------------------------------------------------------------------------------


def adams_values(result):
    """Values at the iterates that Adam made."""
    history = result.history
    return history.fun[(history.phase == "adam") | (history.phase == "start")]


@pytest.fixture
def strict():
    """A guard that calls every convex phase back after four evaluations: it expects a rise."""
    with LOOP.preset(guard={"trial_least": 4.0, "trial_share": 0.0, "trial_ahead": -math.inf}):
        yield


@pytest.mark.parametrize("convex_method", ["CG", "BFGS", "L-BFGS-B", "memory-cg", "ssbroyden"])
@pytest.mark.parametrize("rate", [None, 0.01])
@pytest.mark.parametrize("fused", [False, True])
def test_a_lost_trial_restores_adam_as_if_nothing_had_been_tried(strict, convex_method, rate, fused):
    """Adam's iterates around the trials of the convex phase are those of a run of Adam alone, bit for bit."""
    fun, jac = (lambda x: (rosen(x), rosen_der(x)), True) if fused else (rosen, rosen_der)
    common = {"learning_rate": rate, "maxiter": 200, "gtol": 0.0}
    result = minimize(
        fun, START, jac=jac, options={**common, "convex_method": convex_method, "swap": swap_often}
    )
    back = [swap for swap in result.swaps if swap["to"] == "adam"]
    assert len(back) >= 1
    assert all("trial" in swap["reason"] for swap in back)
    alone = minimize(fun, START, jac=jac, options={**common, "swap": "never"})
    tried, plain = adams_values(result), adams_values(alone)
    assert tried.size >= 20
    np.testing.assert_array_equal(tried, plain[: tried.size])


def swap_often(loss, norm, step):
    return step % 10 == 0


def test_what_the_convex_phase_found_is_not_lost_with_its_trial(strict):
    """What the trial found stays the best point, although Adam goes on elsewhere."""
    values = []

    def fun(x):
        values.append(rosen(x))
        return values[-1]

    result = minimize(fun, START, jac=rosen_der, options={"swap": swap_often, "maxiter": 60, "gtol": 0.0})
    assert any(swap["to"] == "adam" for swap in result.swaps)
    assert result.fun == min(values)
    assert result.fun < adams_values(result).min()


def test_guard_false_switches_it_off(strict):
    result = minimize(rosen, START, jac=rosen_der, options={"swap": 5, "guard": False})
    assert result.success
    assert len(result.swaps) == 1
    assert result.swaps[0]["iteration"] == 5
    guarded = minimize(rosen, START, jac=rosen_der, options={"swap": swap_often, "maxiter": 60, "gtol": 0.0})
    assert sum(swap["to"] == "adam" for swap in guarded.swaps) >= 2


def test_a_convex_phase_that_earns_its_place_is_left_alone():
    for convex_method in ("CG", "memory-cg"):
        result = minimize(rosen, START, jac=rosen_der, options={"convex_method": convex_method})
        assert result.success
        assert len(result.swaps) == 1


@pytest.mark.parametrize("most", [0, 1, 2, 5])
def test_max_swaps_is_honoured(strict, most):
    options = {
        "swap": swap_often,
        "max_swaps": most,
        "maxiter": 150,
        "gtol": 0.0,
        "convex_method": "memory-cg",
    }
    result = minimize(rosen, START, jac=rosen_der, options=options)
    assert sum(swap["to"] != "adam" for swap in result.swaps) == most
    if most == 0:
        assert result.swaps == []
        assert {phase["name"] for phase in result.phases} == {"adam"}


def test_a_plateau_is_left_for_adam_and_a_later_swap():
    """The convex phase crawls along a ravine of slope 1e-9; the guard says so and Adam gets its turn."""

    def fun(x):
        return 1.0 + 1e-9 * (x[0] - 1e5) ** 2 / 1e5 + 10 * np.sin(x[1]) ** 2

    def jac(x):
        return np.array([2e-9 * (x[0] - 1e5) / 1e5, 10 * np.sin(2 * x[1])])

    def convex_method(fun, x0, args=(), jac=None, callback=None, **options):
        """A method that goes nowhere, slowly."""
        from scipy.optimize import OptimizeResult

        x = np.array(x0)
        for _ in range(10_000):
            x = x - 1e-9 * jac(x)
            fun(x)
            callback(x)
        return OptimizeResult(x=x, message="gave up")

    options = {"convex_method": convex_method, "maxfun": 600, "gtol": 1e-13}
    result = minimize(fun, [1.0, 0.9], jac=jac, options=options)
    assert any(swap["to"] == "adam" for swap in result.swaps)
    assert sum(swap["from"] == "adam" for swap in result.swaps) >= 2
    for swap in result.swaps:
        assert swap["reason"]
    assert result.status in (Status.MAXFUN, Status.CONVERGED, Status.WORKING_PRECISION, Status.PRECISION_LOSS)
    assert result.fun <= fun(np.array([1.0, 0.9]))


def raised(x):
    """A valley whose value stays near 1,000: every phase creeps."""
    return rosen(x) + 1000.0


CREEPER = -1.2 + 0.1 * np.arange(20) % 0.7


@pytest.mark.parametrize("convex_method", ["CG", "memory-cg"])
def test_a_phase_that_was_left_in_vain_goes_on_as_if_it_had_not_been(convex_method):
    """Bit for bit: what it had learnt is not lost by the trial of Adam."""
    options = {"convex_method": convex_method, "gtol": 1e-5}
    result = minimize(raised, CREEPER, jac=rosen_der, options=options)
    assert result.success
    assert [swap["to"] for swap in result.swaps] == [convex_method, "adam", convex_method, convex_method]
    _, left, _, back = (swap["iteration"] for swap in result.swaps)
    assert "back to the best point" in result.swaps[-1]["reason"]
    with LOOP.preset(guard={"slow": 0.0}):
        alone = minimize(raised, CREEPER, jac=rosen_der, options=options)
    assert len(alone.swaps) == 1
    kept = np.r_[result.history.fun[: left + 1], result.history.fun[back + 1 :]]
    np.testing.assert_array_equal(kept, alone.history.fun)
    np.testing.assert_array_equal(result.x, alone.x)


def test_one_trial_of_adam_in_vain_is_enough_for_a_phase_that_only_creeps():
    result = minimize(raised, CREEPER, jac=rosen_der, options={"convex_method": "memory-cg", "gtol": 1e-7})
    assert sum(swap["to"] == "adam" for swap in result.swaps) == 1


@pytest.mark.parametrize("convex_method", ["CG", "memory-cg"])
def test_no_trial_of_adam_that_maxfun_would_cut_off(convex_method):
    options = {"convex_method": convex_method, "gtol": 1e-7}
    whole = minimize(raised, CREEPER, jac=rosen_der, options=options)
    left = next(swap for swap in whole.swaps if swap["to"] == "adam")
    before = int(whole.history.nfev[left["iteration"]])
    short = minimize(raised, CREEPER, jac=rosen_der, options={**options, "maxfun": before + 10})
    assert short.status == Status.MAXFUN
    assert not any(swap["to"] == "adam" for swap in short.swaps)
    roomy = minimize(raised, CREEPER, jac=rosen_der, options={**options, "maxfun": 4 * before})
    assert any(swap["to"] == "adam" for swap in roomy.swaps)


def test_a_search_between_two_known_points_ends(monkeypatch):
    """With unlimited iterations it would go on for ever, for it costs nothing."""
    from twophase_min.phases.memory_cg import MemoryCG

    class Shuttle(MemoryCG):
        """Goes to and fro between the start and one other point of the same value."""

        def start(self, x, f, g, first_step=None, pairs=None, diagonal=None):
            self.ends, self.at, self.value = [x, -x], 0, f
            return super().start(x, f, g, first_step, pairs, diagonal)

        need = 3

        def ask(self):
            return self.ends[1 - self.at].copy()

        def tell(self, f, g=None):
            self.at = 1 - self.at
            return 4

        x = property(lambda self: self.ends[self.at])
        f = property(lambda self: self.value)
        g = property(lambda self: np.ones(2))

    monkeypatch.setattr("twophase_min.phases.memory_cg.MemoryCG", Shuttle)
    options = {"convex_method": "memory-cg", "swap": 1, "maxiter": 10**6, "maxfun": 500}
    result = minimize(
        lambda x: float(np.sum(np.abs(x))), [1.0, 2.0], jac=lambda x: np.sign(x) + 0.5, options=options
    )
    assert any("to and fro" in swap["reason"] for swap in result.swaps)
    assert result.nit < 1000


# ---- how long a trial of Adam lasts, and when the first begins --------------------------------------------


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


@pytest.mark.parametrize("limit", [0.0, 0.5])
def test_the_course_tells_a_path_to_zero_from_one_above_it(form, limit):
    slot, loop = a_loop()
    course = a_rate_of(slot, COURSE)
    form.begin_adam(slot, limit + 1.0)

    def note(cost, f):
        loop.work = cost
        form.watch_adam(slot, f)
        return f

    last = [note(float(cost), limit + np.exp(-0.03 * cost)) for cost in range(2, 102, 2)][-1]
    assert form.forecast(course, 0.0) == last
    assert form.forecast(course, 200.0) == pytest.approx(limit + np.exp(-0.03 * 300), abs=2e-3)
    note(102.0, 10.0)  # its own least value counts
    assert form.forecast(course, 0.0) == pytest.approx(limit + np.exp(-3.0))
    again = RATE.load(RATE.array(course).copy())
    assert form.forecast(again, 50.0) == form.forecast(course, 50.0)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, True),
        ({"off_incumbent": 0}, False),  # there is no path of its own
        ({"suspended_f": math.nan}, False),  # and nothing to come near
        ({"suspended_f": -80.0}, True),  # at -50 after 100 more, a quarter of the way is left
        ({"suspended_f": -90.0}, False),
        ({"work": 200.0}, True),
        ({"work": 100.0}, False),  # as many evaluations as there were before it
    ],
)
def test_adam_is_on_course_while_it_leads_near_the_suspended_phase(form, members, expected):
    """From 100 on straight by one an evaluation, for 50 of 200."""
    slot, loop = a_loop(work=0.0, off_incumbent=1)
    form.begin_adam(slot, 100.0)
    for cost in range(1, 51):
        loop.work = float(cost)
        form.watch_adam(slot, 100.0 - cost)
    loop.work, loop.suspended_f = 200.0, 0.0
    for name, value in members.items():
        setattr(loop, name, value)
    assert form.on_course(slot, 50.0) == expected


def creeper(first, gain):
    """A convex method that takes that part of f away: in its first iteration, and in every other one."""

    def convex_method(fun, x0, args=(), jac=None, callback=None, **options):
        from scipy.optimize import OptimizeResult

        x = np.array(x0)
        for i in range(10_000):
            g = jac(x)
            x = x - (gain if i else first) * fun(x) / (g @ g) * g
            callback(x)
        return OptimizeResult(x=x, message="gave up")

    return convex_method


def bowl(x):
    return float(x @ x)


def bowl_der(x):
    return 2 * x


@pytest.mark.parametrize(("n", "span"), [(4, CONSTANT.stall_span), (4000, CONSTANT.early_span)])
def test_the_first_stall_test_comes_sooner_where_there_are_many_variables(n, span):
    options = {"convex_method": creeper(2e-4, 2e-4), "maxfun": 300, "precondition": None}
    result = minimize(bowl, np.full(n, 3.0), jac=bowl_der, options=options)
    there, back = result.swaps[0], next(swap for swap in result.swaps if swap["to"] == "adam")
    assert span <= back["evaluations"] - there["evaluations"] <= span + 4


def test_a_trial_of_adam_lasts_while_it_is_on_course_but_not_for_ever():
    """The phase that waits is far ahead; a fast Adam is on its way to there, a slow one is not."""
    lengths = []
    for rate in (0.001, 0.05):
        options = {
            "convex_method": creeper(0.5, 2e-4),
            "learning_rate": rate,
            "maxfun": 300,
            "precondition": None,
            "swap": 1,
        }
        result = minimize(bowl, np.full(4000, 3.0), jac=bowl_der, options=options)
        out = next(i for i, swap in enumerate(result.swaps) if swap["to"] == "adam")
        before = result.swaps[out]["evaluations"]
        lengths.append((result.swaps[out + 1]["evaluations"] - before) / before)
    slow, fast = lengths
    assert CONSTANT.adam_least <= slow < fast
    assert fast <= CONSTANT.adam_most / (1 - CONSTANT.adam_most) + 0.1
