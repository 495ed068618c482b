"""The guard: its rates and verdicts, and what the driver makes of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import rosen, rosen_der

from twophase_min import Status, minimize
from twophase_min.run import driver as _driver
from twophase_min.run import guard as _guard
from twophase_min.run.guard import (
    CREEPING,
    LONGEST,
    RETURN,
    SHARE,
    SHORTEST,
    SOON_WHILE,
    STALLED,
    WHILE,
    Course,
    Guard,
    Rate,
    extrapolate,
)

START = np.array([-1.2, 1.0, -0.5])


# ---- rates -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e12])
def test_a_rate_is_relative_decrease_per_evaluation(unit):
    rate = Rate(10, 100 * unit, span=20)
    assert rate.value == 0
    assert rate.spent == 0
    for cost in range(11, 31):
        rate.note(cost, unit * (100 - (cost - 10)))
    assert rate.spent == 20
    assert rate.value == pytest.approx(20 / 100 / 20)


def test_a_rate_forgets_what_is_older_than_its_span():
    rate = Rate(0, 1000.0, span=10, share=0.0)
    for cost in range(1, 21):
        rate.note(cost, 1000.0 - 40 * cost)  # a steep start
    for cost in range(21, 41):
        rate.note(cost, 200.0)  # and nothing since
    assert rate.value == 0
    rate = Rate(0, 1000.0, span=10, share=1.0)
    for cost in range(1, 41):
        rate.note(cost, max(1000.0 - 40 * cost, 200.0))
    assert rate.value == pytest.approx(0.8 / 40)  # a share of 1 looks at the whole phase


def test_a_short_phase_is_no_reference_and_a_rising_one_is_zero():
    rate = Rate(0, 10.0)
    rate.note(SHORTEST - 1, 1.0)
    assert rate.value > 0
    assert rate.reference == 0
    rate.note(SHORTEST, 1.0)
    assert rate.reference == rate.value
    rate = Rate(0, 1.0)
    rate.note(SHORTEST, 2.0)
    assert rate.value < 0
    assert rate.reference == 0


def test_values_of_zero_do_no_harm():
    rate = Rate(0, 0.0)
    rate.note(30, 0.0)
    assert rate.value == 0
    assert rate.reference == 0


# ---- verdicts --------------------------------------------------------------------------------------------


def feed(guard, cost, f, steps, factor):
    """Verdicts over steps of two evaluations that multiply f by a factor."""
    for _ in range(steps):
        cost, f = cost + 2, f * factor
        kind, reason = guard.verdict(cost, f)
        if kind:
            return kind, reason, cost
    return "", "", cost


def test_a_trial_has_its_length_before_it_is_judged():
    for spent in (0.0, 100.0, 10_000.0):
        guard = Guard(spent, 1.0, reference=1.0)
        kind, reason, cost = feed(guard, spent, 1.0, 10_000, 1.0)
        assert kind == "rollback"
        assert max(SHORTEST, SHARE * spent) <= cost - spent <= max(SHORTEST, SHARE * spent) + 2
        assert "trial" in reason


def test_as_fast_as_adam_passes_and_slower_does_not():
    slow = Guard(0, 1.0, reference=0.01)
    assert feed(slow, 0, 1.0, 100, 0.999)[0] == "rollback"
    fast = Guard(0, 1.0, reference=0.01)
    assert feed(fast, 0, 1.0, 100, 0.95)[0] == ""
    assert fast.passed


def test_without_a_reference_every_trial_passes():
    guard = Guard(0, 1.0, reference=0.0)
    assert feed(guard, 0, 1.0, int(SHORTEST), 1.0)[0] == ""
    assert guard.passed


def test_a_passed_phase_that_stalls_is_called_back_and_one_that_creeps_on_is_not():
    stalled = Guard(0, 1.0, reference=0.0)
    kind, reason, cost = feed(stalled, 0, 1.0, 1000, 1 - STALLED)  # two evaluations a step: half the limit
    assert kind == "stall"
    assert WHILE <= cost <= WHILE + 4
    assert "stalled" in reason
    creeping = Guard(0, 1.0, reference=0.0)
    assert feed(creeping, 0, 1.0, 1000, 1 - 4 * STALLED)[0] == ""


def test_a_phase_that_creeps_is_only_called_back_where_that_is_the_limit():
    factor = 1 - CREEPING  # two evaluations a step: half the limit
    for limit, kind in ((CREEPING, "stall"), (STALLED, "")):
        guard = Guard(0, 1.0, reference=0.0, limit=limit)
        assert feed(guard, 0, 1.0, 500, factor)[0] == kind


@pytest.mark.parametrize("unit", [2.0**-40, 1.0, 2.0**40])
def test_an_excursion_must_come_near_the_value_that_it_is_meant_to_beat(unit):
    """From 2 at the handover, by a tenth a step of two evaluations: 0.56 after 24, ever more slowly."""
    for target, kind in ((0.6, ""), (0.4, ""), (0.2, "rollback")):
        guard = Guard(0, 2 * unit, reference=0.0, target=target * unit)
        seen, reason, _ = feed(guard, 0, 2 * unit, int(SHORTEST) // 2, 0.9)
        assert seen == kind, target
        assert guard.passed == (kind == "")
        assert kind == "" or "too far above" in reason


def test_below_zero_the_target_lies_ahead_too():
    guard = Guard(0, -1.0, reference=0.0, target=-1.3)
    assert feed(guard, 0, -1.0, int(SHORTEST) // 2, 1.02)[0] == ""  # -1.27, and on
    guard = Guard(0, -1.0, reference=0.0, target=-2.0)
    assert feed(guard, 0, -1.0, int(SHORTEST) // 2, 1.02)[0] == "rollback"


def test_verdicts_do_not_depend_on_the_unit_of_f():
    for unit in (2.0**-40, 1.0, 2.0**40):
        guard = Guard(0, unit, reference=0.01)
        assert feed(guard, 0, unit, 100, 0.999)[::2] == ("rollback", 24)


def test_the_state_goes_on_bit_for_bit():
    rng = np.random.default_rng(0)
    values = np.minimum.accumulate(rng.uniform(0.5, 1.0, 200)) * np.linspace(1, 0.9, 200)
    for cut in (0, 5, 40, 120):
        whole, first = (Guard(7, 1.0, 1e-4, limit=1e-2, target=2.0) for _ in range(2))
        expected = [whole.verdict(8 + k, float(f)) for k, f in enumerate(values)]
        seen = [first.verdict(8 + k, float(f)) for k, f in enumerate(values[:cut])]
        arrays = [a.copy() for a in (first.to_array(), first.rate.to_array(), first.recent.to_array())]
        second = Guard.from_arrays(*arrays)
        seen += [second.verdict(8 + cut + k, float(f)) for k, f in enumerate(values[cut:])]
        assert seen == expected


# ---- in a run --------------------------------------------------------------------------------------------


def adams_values(result):
    """Values at the iterates that Adam made."""
    history = result.history
    return history.fun[(history.phase == "adam") | (history.phase == "start")]


@pytest.fixture
def strict(monkeypatch):
    """A guard that calls every convex phase back after four evaluations."""
    monkeypatch.setattr(_guard, "SHORTEST", 4.0)
    monkeypatch.setattr(_guard, "SHARE", 0.0)
    monkeypatch.setattr(_guard.Rate, "reference", property(lambda self: 1e9))


@pytest.mark.parametrize("convex_method", ["CG", "BFGS", "L-BFGS-B", "memory-cg"])
@pytest.mark.parametrize("rate", [None, 0.01])
@pytest.mark.parametrize("fused", [False, True])
def test_a_rollback_restores_adam_as_if_nothing_had_been_tried(strict, convex_method, rate, fused):
    """Adam's iterates around the convex excursions are those of a run of Adam alone, bit for bit."""
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


def test_the_convex_phase_is_not_lost_by_a_rollback(strict):
    """What the excursion found stays the best point, although Adam goes on elsewhere."""
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
def test_a_phase_that_was_left_in_vain_goes_on_as_if_it_had_not_been(convex_method, monkeypatch):
    """Bit for bit: what it had learnt is not lost by the excursion."""
    options = {"convex_method": convex_method, "gtol": 1e-5}
    result = minimize(raised, CREEPER, jac=rosen_der, options=options)
    assert result.success
    assert [swap["to"] for swap in result.swaps] == [convex_method, "adam", convex_method, convex_method]
    _, left, _, back = (swap["iteration"] for swap in result.swaps)
    assert "back to the best point" in result.swaps[-1]["reason"]
    for module in (_driver, _guard):
        monkeypatch.setattr(module, "CREEPING", 0.0)
    alone = minimize(raised, CREEPER, jac=rosen_der, options=options)
    assert len(alone.swaps) == 1
    kept = np.r_[result.history.fun[: left + 1], result.history.fun[back + 1 :]]
    np.testing.assert_array_equal(kept, alone.history.fun)
    np.testing.assert_array_equal(result.x, alone.x)


def test_one_excursion_in_vain_is_enough_for_a_phase_that_only_creeps():
    result = minimize(raised, CREEPER, jac=rosen_der, options={"convex_method": "memory-cg", "gtol": 1e-7})
    assert sum(swap["to"] == "adam" for swap in result.swaps) == 1


@pytest.mark.parametrize("convex_method", ["CG", "memory-cg"])
def test_no_excursion_that_maxfun_would_cut_off(convex_method):
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


# ---- how long an excursion lasts, and when the first begins -----------------------------------------------


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
    assert extrapolate(f0, f1, f2, steps) == pytest.approx(exact, abs=1e-6 * (height + abs(limit)))


def test_a_straight_path_is_followed_straight_and_one_that_stands_stays():
    assert extrapolate(3.0, 2.0, 1.0, 5.0) == -4.0
    assert extrapolate(3.0, 2.5, 1.0, 2.0) == -2.0  # ever faster: no faster than last
    assert extrapolate(3.0, 1.0, 1.0, 100.0) == 1.0


@pytest.mark.parametrize("limit", [0.0, 0.5])
def test_a_course_tells_a_path_to_zero_from_one_above_it(limit):
    course = Course(0.0, limit + 1.0)
    for cost in range(2, 102, 2):
        course.note(cost, limit + np.exp(-0.03 * cost))
    assert course.ahead(0.0) == course._marks[-1][1]
    assert course.ahead(200.0) == pytest.approx(limit + np.exp(-0.03 * 300), abs=2e-3)
    course.note(102, 10.0)  # its own least value counts
    assert course.ahead(0.0) == pytest.approx(limit + np.exp(-3.0))
    again = Course.from_array(course.to_array())
    assert again.ahead(50.0) == course.ahead(50.0)
    assert isinstance(again, Course)


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


@pytest.mark.parametrize(("n", "span"), [(4, WHILE), (4000, SOON_WHILE)])
def test_the_first_doubt_comes_sooner_where_there_are_many_variables(n, span):
    options = {"convex_method": creeper(2e-4, 2e-4), "maxfun": 300, "precondition": None}
    result = minimize(bowl, np.full(n, 3.0), jac=bowl_der, options=options)
    there, back = result.swaps[0], next(swap for swap in result.swaps if swap["to"] == "adam")
    assert span <= back["evaluations"] - there["evaluations"] <= span + 4


def test_an_excursion_lasts_while_adam_is_on_course_but_not_for_ever():
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
    assert RETURN <= slow < fast
    assert fast <= LONGEST / (1 - LONGEST) + 0.1
