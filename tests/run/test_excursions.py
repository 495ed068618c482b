"""What the guard makes of a run: the price of excursions, and what is restored after them."""

import math

import numpy as np
import pytest
from forms import FORMS, a_loop, fading, straight
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import OptimizeResult, rosen, rosen_der

from twophase_min import Status, minimize
from twophase_min._status import Cause
from twophase_min.jit.compilation import DISABLED
from twophase_min.networks import MLP
from twophase_min.run.guard import GUARD
from twophase_min.run.state import ADAM, CONVEX, LOOP, RESUME_CONVEX, STOP

START = np.array([-1.2, 1.0, -0.5])
CONSTANT = GUARD.view(GUARD.new())
LEAST = CONSTANT.trial_least
INF = math.inf
RUNS = 20 if DISABLED else 200
"""Made-up runs of a property; each takes thousands of steps, which are slow where nothing is compiled."""


# ---- a run of made-up phases -----------------------------------------------------------------------------


GRID = 2.0**24


class Simulation:
    """A run through the machine, of phases whose values and norms follow from their own evaluations.

    ``adam(spent)`` is the value after so many evaluations of Adam on its own path. ``convex(spent)`` is what
    a convex phase has gained since the handover, ``size(spent)`` the norm of its gradient. What the machine
    sees is ``unit * (value + shift)``, and norms times ``unit``.
    """

    def __init__(self, form, adam, convex, size, step=2.0, shift=0.0, unit=1.0, goal=1e-6, **members):
        self.form, self.adam, self.convex, self.size = form, adam, convex, size
        self.step, self.shift, self.unit = step, shift, unit
        self.slot, self.loop = a_loop(automatic=1, guarded=1, gtol=unit * goal, fallbacks=3, **members)
        self.work, self.best, self.made, self.spent, self.verdicts = 2.0, adam(0.0), 0.0, 0.0, []
        self.start = self.best
        self.waiting = None
        seen = self.seen(self.best)
        form.begin(self.slot, 1.0, 2.0, 2.0, seen, unit * size(0.0), unit * size(0.0), True)
        form.enter(self.slot, seen)

    def seen(self, value):
        """Value as the machine gets it; on a grid, or a constant added would change it by rounding."""
        return self.unit * (math.floor(value * GRID) / GRID + self.shift)

    def advance(self):
        """Make one iterate, and whatever follows."""
        form, slot, loop = self.form, self.slot, self.loop
        adam = loop.phase == ADAM
        self.work += self.step
        if adam:
            self.made += self.step
            value, size = self.adam(self.made), 1.0
        else:
            self.spent += self.step
            value, size = self.start - self.convex(self.spent), self.size(self.spent)
        self.best = min(self.best, value)
        counts = (self.work / 2, self.work, self.work, self.seen(self.best))
        form.accept(slot, *counts, self.seen(value), *(2 * [self.unit * size]), 0.0)
        if loop.next == STOP:
            return
        if adam:
            cause = form.after_adam(slot, self.seen(value), False)
        else:
            cause = form.after_convex(slot, self.seen(value), self.unit * size)
        if cause == Cause.NONE:
            return
        self.verdicts.append((self.work, Cause(cause)))
        path = self.adam(self.made)
        if adam:
            off = loop.off_incumbent
            form.handover(slot, cause, *counts, self.seen(path), False, False)
            self.start, self.spent = (path if off else self.best), 0.0
        elif not form.falls_back(slot, cause, *counts):
            if cause == Cause.STALLED:
                self.waiting = (self.start, self.spent)
            form.leave(slot, cause, *counts, self.seen(path))
            if loop.next == RESUME_CONVEX:
                self.start, self.spent = self.waiting
        form.enter(slot, self.seen(path))

    def run(self, total):
        """Run until so many evaluations were made; answers when, and why, the phases were left."""
        while self.work < total and self.loop.next != STOP:
            self.advance()
        return self.verdicts


SLOPES = st.one_of(st.floats(1e-6, 1.0), st.floats(-1.0, -1e-6))
LENGTHS = st.floats(1.0, 1e4)


@settings(deadline=None, derandomize=True, max_examples=RUNS)
@given(
    slope=SLOPES,
    length=LENGTHS,
    gains=st.floats(0.01, 10.0),
    ends=LENGTHS,
    floor=st.floats(1e-6, 0.5),
    step=st.sampled_from([1.0, 2.0, 5.0]),
    shift=st.integers(-(2**12), 2**12),
    exponent=st.integers(-60, 60),
)
def test_no_decision_depends_on_the_zero_or_the_unit_of_f(
    slope, length, gains, ends, floor, step, shift, exponent
):
    """Property: a constant added to f, and f and gtol in another unit, leave every handover where it was."""

    def simulated(**changes):
        return Simulation(
            FORMS[0],
            fading(slope, length),
            lambda spent: -fading(gains * abs(slope), ends)(spent),
            lambda spent: max(math.exp(-spent / ends), floor),
            step=step,
            quick=2,
            **changes,
        ).run(2500.0)

    expected = simulated()
    assert simulated(unit=2.0**exponent) == expected
    assert simulated(shift=float(shift)) == expected
    assert simulated(shift=float(shift), unit=2.0**exponent) == expected


def test_the_runs_of_made_up_phases_meet_every_verdict():
    """Or the property above would say little."""
    seen = set()
    for slope, gain in [(-0.01, 0.1), (1.0, 0.1), (1e-3, 10.0)]:
        convex = fading(-gain, 9.0)
        run = Simulation(FORMS[0], fading(slope, 1e4), convex, lambda spent: 0.1, quick=2)
        seen |= {cause for _, cause in run.run(1000.0)}
    assert seen >= {Cause.SLOW, Cause.STALLED, Cause.PATIENCE, Cause.FELL_SHORT, Cause.LOST_TRIAL}


@settings(deadline=None, derandomize=True, max_examples=RUNS)
@given(
    rise=st.floats(0.0, 1.0),
    crawl=st.floats(0.0, 1e-3),
    ends=LENGTHS,
    step=st.sampled_from([1.0, 2.0, 5.0]),
    share=st.sampled_from([0.05, CONSTANT.adam_least, 0.3]),
    factor=st.sampled_from([1.5, CONSTANT.again, 4.0]),
    total=st.floats(100.0, 2e4),
)
def test_excursions_in_vain_cost_no_more_than_is_stated(rise, crawl, ends, step, share, factor, total):
    """Property: of W evaluations, Adam gets at most a q / (q - 1) W, and an iterate for each excursion.

    No phase converges, and Adam's own path leads nowhere. The trials after excursions, half as long again at
    most, are all else that it costs: the convex phase gets as far as with what is left alone.
    """
    run = Simulation(
        FORMS[0],
        lambda spent: rise * spent,
        lambda spent: 1.0 + crawl * spent - fading(1.0, ends)(spent),
        lambda spent: 0.5,
        step=step,
        quick=2,
        guard={"adam_least": share, "again": factor},
    )
    verdicts = run.run(total)
    excursions = [work for work, cause in verdicts if cause == Cause.STALLED]
    bound = share * factor / (factor - 1.0)
    assert run.made <= bound * run.work + step * len(excursions)
    assert len(excursions) <= 1 + math.log(max(run.work / CONSTANT.first_look, 1.0), factor)
    longest = [1.5 * max(LEAST, CONSTANT.trial_share * (1 + 2 * share) * work) + step for work in excursions]
    if run.loop.phase == CONVEX and math.isnan(run.loop.suspended_f):
        assert run.spent >= run.work - 2.0 - run.made - sum(longest) - step
        assert run.best == pytest.approx(run.start - run.convex(run.spent))


def test_a_phase_that_never_converges_keeps_its_share_of_a_long_run():
    """By the constants as they are: of 100,000 evaluations, nearly three quarters at the very least.

    But no excursion counts as behind here, so that Adam gets its share.
    """
    convex = fading(-1.0, 10.0)
    run = Simulation(FORMS[0], lambda spent: 0.0, convex, lambda spent: 1.0, guard={"pace": 0.0})
    verdicts = run.run(1e5)
    causes = [cause for _, cause in verdicts]
    assert causes == [Cause.STALLED, Cause.PATIENCE, Cause.FELL_SHORT] * (len(causes) // 3)
    assert len(causes) >= 3 * 8
    assert 0.1 * run.work < run.made < 0.3 * run.work
    assert run.spent > 0.55 * run.work
    back = [causes.index(Cause.FELL_SHORT), len(causes) - 1]
    for place in back:  # all that an excursion has cost: Adam's share, and the trial
        left, there = verdicts[place - 2][0], verdicts[place][0]
        assert (
            there - left <= (1 + CONSTANT.adam_least) * (1 + CONSTANT.trial_share) * left - left + LEAST + 4
        )


@settings(deadline=None, derandomize=True, max_examples=RUNS)
@given(
    rise=st.floats(0.0, 1.0),
    ends=LENGTHS,
    step=st.sampled_from([1.0, 2.0, 5.0]),
    total=st.floats(100.0, 2e4),
)
def test_an_excursion_that_is_behind_costs_no_more_than_two_short_trials_and_a_half(rise, ends, step, total):
    """Property: an Adam that comes nowhere near the phase is left after as little as can show that."""
    run = Simulation(FORMS[0], lambda spent: rise * spent, fading(-1.0, ends), lambda spent: 1.0, step=step)
    verdicts = run.run(total)
    left = [work for work, cause in verdicts if cause == Cause.STALLED]
    back = [work for work, cause in verdicts if cause == Cause.FELL_SHORT]
    assert len(left) - len(back) in (0, 1)
    for there, here in zip(left, back, strict=False):
        assert here - there <= LEAST + 1.5 * LEAST + 2 * step  # a trial about to pass gets half as long again


def test_adam_keeps_the_run_while_it_is_on_course():
    """The phase that waits is far ahead; a fast Adam is on its way to there, a slow one is not."""
    lengths = []
    for slope in (1e-3, 1.0):
        run = Simulation(FORMS[0], straight(slope), lambda spent: 70.0 * (spent > 0), lambda spent: 1.0)
        verdicts = run.run(300.0)
        assert [cause for _, cause in verdicts[:2]] == [Cause.STALLED, Cause.PATIENCE]
        lengths.append((verdicts[1][0] - verdicts[0][0]) / verdicts[0][0])
    slow, fast = lengths
    assert CONSTANT.adam_least <= slow <= CONSTANT.adam_least + 0.02
    assert 0.7 <= fast <= 0.72  # until it has arrived


def test_an_excursion_that_passes_below_the_suspended_phase_is_not_taken_back():
    """Adam finds a lower region than the one where the convex phase was stuck; a new one begins there."""
    run = Simulation(
        FORMS[0],
        lambda spent: -40.0 * (spent > 10.0),
        lambda spent: 1.0 - fading(0.1, 10.0)(spent),
        lambda spent: 1.0,
    )
    verdicts = run.run(198.0)
    assert [cause for _, cause in verdicts[:2]] == [Cause.STALLED, Cause.PATIENCE]
    assert run.start == -40.0
    assert run.loop.phase == CONVEX
    assert math.isnan(run.loop.suspended_f) or not run.loop.off_incumbent
    assert run.best < -40.0


# ---- in a run --------------------------------------------------------------------------------------------


def adams_values(result):
    """Values at the iterates that Adam made."""
    history = result.history
    return history.fun[(history.phase == "adam") | (history.phase == "start")]


STRICT = {"trial_least": 4.0, "trial_share": 0.0, "first_look": 0.0, "again": 0.0, "fading": INF, "room": 0.0}
"""Constants with which the guard looks at every iterate, and finds none that falls as ever."""


@pytest.fixture
def strict():
    """A guard that calls every convex phase back after four evaluations, unless it is about to converge."""
    with LOOP.preset(guard=STRICT):
        yield


def swap_often(loss, norm, step):
    return step % 10 == 0


@pytest.mark.parametrize("convex_method", ["CG", "BFGS", "L-BFGS-B", "memory-cg", "ssbroyden"])
@pytest.mark.parametrize("rate", [None, 0.01])
@pytest.mark.parametrize("fused", [False, True])
def test_adam_goes_on_after_an_excursion_of_the_convex_phase_as_if_nothing_had_been_tried(
    strict, convex_method, rate, fused
):
    """Adam's iterates around those of the convex phase are those of a run of Adam alone, bit for bit."""
    fun, jac = (lambda x: (rosen(x), rosen_der(x)), True) if fused else (rosen, rosen_der)
    common = {"learning_rate": rate, "maxiter": 200, "gtol": 0.0}
    result = minimize(
        fun, START, jac=jac, options={**common, "convex_method": convex_method, "swap": swap_often}
    )
    back = [swap for swap in result.swaps if swap["to"] == "adam"]
    assert len(back) >= 1
    assert all("not on course" in swap["reason"] or "trial" in swap["reason"] for swap in back)
    alone = minimize(fun, START, jac=jac, options={**common, "swap": "never"})
    tried, plain = adams_values(result), adams_values(alone)
    assert tried.size >= 20
    np.testing.assert_array_equal(tried, plain[: tried.size])


def creeper(first, gain, fade=1.0):
    """A convex method that takes that part of f away: in its first iteration, and in every other one.

    What it takes away gets smaller by the factor ``fade`` from each iteration to the next.
    """

    def convex_method(fun, x0, args=(), jac=None, callback=None, **options):
        x = np.array(x0)
        for i in range(10_000):
            g = jac(x)
            x = x - (gain * fade**i if i else first) * fun(x) / (g @ g) * g
            callback(x)
        return OptimizeResult(x=x, message="gave up")

    return convex_method


def bowl(x):
    return float(x @ x)


def bowl_der(x):
    return 2 * x


def test_a_lost_trial_restores_adam_as_if_nothing_had_been_tried():
    """A convex method that creeps, against an Adam that falls evenly."""
    common = {"learning_rate": 0.01, "maxiter": 250, "gtol": 0.0}
    x0 = np.full(5, 3.0)
    options = {
        **common,
        "convex_method": creeper(1e-4, 1e-4),
        "swap": lambda loss, norm, step: step % 40 == 0,
    }
    result = minimize(bowl, x0, jac=bowl_der, options=options)
    back = [swap for swap in result.swaps if swap["to"] == "adam"]
    assert len(back) >= 3
    assert all("in its trial of" in swap["reason"] and "Adam headed for" in swap["reason"] for swap in back)
    assert all(swap["loss"] > result.fun for swap in back)
    alone = minimize(bowl, x0, jac=bowl_der, options={**common, "swap": "never"})
    tried, plain = adams_values(result), adams_values(alone)
    assert tried.size >= 120
    np.testing.assert_array_equal(tried, plain[: tried.size])


def test_what_the_convex_phase_found_is_not_lost_where_it_is_called_back(strict):
    """What it found stays the best point, although Adam goes on elsewhere."""
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
    automatic = minimize(rosen, START, jac=rosen_der, options={"guard": False})
    assert automatic.success
    assert [swap["from"] for swap in automatic.swaps] == ["start"]
    guarded = minimize(rosen, START, jac=rosen_der, options={"swap": swap_often, "maxiter": 60, "gtol": 0.0})
    assert sum(swap["to"] == "adam" for swap in guarded.swaps) >= 2


@pytest.mark.parametrize("convex_method", ["CG", "memory-cg", "BFGS", "L-BFGS-B", "ssbroyden"])
def test_a_convex_phase_that_earns_its_place_is_left_alone(convex_method):
    """It makes the first step and the last; CG, where it is slow, is taken over from, never left for Adam."""
    result = minimize(rosen, START, jac=rosen_der, options={"convex_method": convex_method})
    assert result.success
    first, *others = result.swaps
    assert (first["from"], first["to"], first["iteration"]) == ("start", convex_method, 0)
    assert "makes the first step" in first["reason"]
    assert all((swap["from"], swap["to"]) == ("CG", "memory-cg") for swap in others)
    assert len(others) <= (convex_method == "CG")
    assert "adam" not in result.history.phase


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
    assert sum(swap["from"] == "adam" for swap in result.swaps) == most
    if most == 0:
        assert result.swaps == []
        assert {phase["name"] for phase in result.phases} == {"adam"}


@pytest.mark.parametrize("most", [0, 1, 2])
def test_the_first_step_of_the_convex_phase_is_one_of_max_swaps(strict, most):
    options = {"max_swaps": most, "maxiter": 80, "gtol": 0.0, "convex_method": "memory-cg"}
    result = minimize(rosen, START, jac=rosen_der, options=options)
    handovers = [swap for swap in result.swaps if swap["from"] in ("start", "adam")]
    assert len(handovers) == most
    assert result.history.phase[1] == ("memory-cg" if most else "adam")
    assert [swap["from"] for swap in handovers[:1]] == ["start"] * min(most, 1)


def test_a_plateau_is_left_for_adam_and_a_later_swap():
    """The convex phase crawls along a ravine of slope 1e-9; the guard says so and Adam gets its turn."""

    def fun(x):
        return 1.0 + 1e-9 * (x[0] - 1e5) ** 2 / 1e5 + 10 * np.sin(x[1]) ** 2

    def jac(x):
        return np.array([2e-9 * (x[0] - 1e5) / 1e5, 10 * np.sin(2 * x[1])])

    def convex_method(fun, x0, args=(), jac=None, callback=None, **options):
        """A method that goes nowhere, ever more slowly."""
        x = np.array(x0)
        for i in range(10_000):
            x = x - 1e-6 * 0.95**i * jac(x)
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
    assert result.fun < 0.5 * fun(np.array([1.0, 0.9]))  # Adam has left the plateau


def raised(x):
    """A valley whose value stays near 1,000: every phase creeps."""
    return rosen(x) + 1000.0


CREEPER = -1.2 + 0.1 * np.arange(20) % 0.7


@pytest.mark.parametrize("convex_method", ["CG", "memory-cg"])
def test_a_phase_that_was_left_in_vain_goes_on_as_if_it_had_not_been(convex_method):
    """Bit for bit: what it had learnt is not lost by the excursion of Adam."""
    options = {"convex_method": convex_method, "gtol": 1e-5}
    with LOOP.preset(guard={"fading": INF}):  # a phase that falls evenly is called back too
        result = minimize(raised, CREEPER, jac=rosen_der, options=options)
    assert result.success
    before = ["CG", "memory-cg"] if convex_method == "CG" else ["memory-cg"]  # CG is slow
    excursions, returns = result.swaps[len(before) :: 3], result.swaps[len(before) + 2 :: 3]
    assert len(excursions) >= 2
    there = ["adam", "memory-cg", "memory-cg"] * len(excursions)
    assert [swap["to"] for swap in result.swaps] == [*before, *there]
    assert all("back to the best point" in swap["reason"] for swap in returns)
    away = np.zeros(len(result.history), dtype=bool)
    for out, back in zip(excursions, returns, strict=True):
        away[out["iteration"] + 1 : back["iteration"] + 1] = True
    with LOOP.preset(guard={"first_look": INF}):
        alone = minimize(raised, CREEPER, jac=rosen_der, options=options)
    assert len(alone.swaps) == len(before)
    kept = result.history.fun[~away]
    np.testing.assert_array_equal(kept, alone.history.fun)
    np.testing.assert_array_equal(result.x, alone.x)


@pytest.mark.parametrize("convex_method", ["CG", "memory-cg"])
@pytest.mark.parametrize("height", [0.0, 1e3, -1e3, 2.0**20])
def test_a_constant_added_to_f_sends_no_phase_on_an_excursion(convex_method, height):
    """The valley is left by the same handovers, wherever its zero is."""
    options = {"convex_method": convex_method, "gtol": 1e-4}
    plain = minimize(rosen, CREEPER, jac=rosen_der, options=options)
    result = minimize(lambda x: rosen(x) + height, CREEPER, jac=rosen_der, options=options)
    assert result.success
    assert [swap["to"] for swap in result.swaps] == [swap["to"] for swap in plain.swaps]
    assert not any(swap["to"] == "adam" for swap in result.swaps)


def test_no_excursion_of_adam_that_maxfun_would_cut_off():
    options = {"convex_method": "memory-cg", "gtol": 1e-7}
    with LOOP.preset(guard={"fading": INF}):
        whole = minimize(raised, CREEPER, jac=rosen_der, options=options)
        left = next(swap for swap in whole.swaps if swap["to"] == "adam")
        before = int(whole.history.nfev[left["iteration"]])
        short = minimize(raised, CREEPER, jac=rosen_der, options={**options, "maxfun": before + 10})
        roomy = minimize(raised, CREEPER, jac=rosen_der, options={**options, "maxfun": 4 * before})
    assert short.status == Status.MAXFUN
    assert not any(swap["to"] == "adam" for swap in short.swaps)
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


def test_the_convex_phase_is_first_looked_at_after_so_many_evaluations():
    """One that creeps is called back where its fall fades, however many variables there are."""
    for n, fade, called in ((4000, 1.0, False), (4, 1.0, False), (4, 0.9, True), (4000, 0.9, True)):
        options = {"convex_method": creeper(2e-4, 2e-4, fade), "maxfun": 300, "precondition": None}
        result = minimize(bowl, np.full(n, 3.0), jac=bowl_der, options=options)
        back = [swap["evaluations"] for swap in result.swaps if swap["to"] == "adam"]
        assert bool(back) == called
        if called:
            assert CONSTANT.first_look <= back[0] <= CONSTANT.first_look + 4


def test_an_excursion_of_adam_lasts_while_it_is_on_course_but_not_for_ever():
    """The phase that waits is far ahead; a fast Adam is on its way to there, a slow one is not."""
    lengths = []
    for rate in (0.001, 0.05):
        options = {
            "convex_method": creeper(0.5, 2e-4, 0.9),
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


def test_adam_on_mini_batches_hands_over_again_from_above_the_best_point():
    """Its noise keeps it there: the rule of the swap, waiting for the best point, would wait to the end."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(180, 8))
    y = np.sin(X[:, :1] * X[:, 1:2]) + X[:, 2:3] + 0.3 * rng.normal(size=(180, 1))
    net = MLP([8, 16, 1], "tanh", "half_mse", l2=1e-5)
    options = {"maxfun": 300, "maxiter": 10_000, "gtol": 1e-8}
    result = minimize(net.finite_sum(X, y, batch_size=64, seed=1), net.init(1), options=options)
    left = [at for at, swap in enumerate(result.swaps) if "not on course" in swap["reason"]]
    assert left
    excursion = adams_values(result)[-1]
    assert excursion > result.fun
    turn, back = result.swaps[left[0]], result.swaps[left[0] + 1]
    assert (turn["to"], back["to"]) == ("adam", "memory-cg")
    assert back["evaluations"] - turn["evaluations"] < 0.5 * turn["evaluations"]
    assert result.fun < 0.5 * turn["loss"]
