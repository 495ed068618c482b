"""The guard: its rates and verdicts, and what the driver makes of them."""

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der

from twophase_min import Status, _guard, minimize
from twophase_min._guard import SHARE, SHORTEST, STALLED, WHILE, Guard, Rate

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


def test_verdicts_do_not_depend_on_the_unit_of_f():
    for unit in (2.0**-40, 1.0, 2.0**40):
        guard = Guard(0, unit, reference=0.01)
        assert feed(guard, 0, unit, 100, 0.999)[::2] == ("rollback", 24)


def test_the_state_goes_on_bit_for_bit():
    rng = np.random.default_rng(0)
    values = np.minimum.accumulate(rng.uniform(0.5, 1.0, 200)) * np.linspace(1, 0.9, 200)
    for cut in (0, 5, 40, 120):
        whole, first = Guard(7, 1.0, 1e-4), Guard(7, 1.0, 1e-4)
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
