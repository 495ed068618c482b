"""The Wolfe line search: its conditions, its thrift, its behaviour where there is nothing to find."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import Polynomial

from twophase_min.jit.compilation import jit
from twophase_min.phases import FAILED, ITERATION, NEED_F, NEED_G
from twophase_min.phases.line_search import (
    GROW,
    GROW_EXACT,
    LINE,
    SEEN,
    SHRINK,
    cubic_minimum,
    line_init,
    line_start,
    line_tell_f,
    line_tell_g,
    quadratic_minimum,
)


@jit
def begin(slot, f0, d0, step, noise, c1):
    return line_start(slot[0], f0, d0, step, noise, c1)


@jit
def tell_f(slot, f):
    return line_tell_f(slot[0], f)


@jit
def tell_g(slot, slope):
    return line_tell_g(slot[0], slope)


def new_search(*settings, **named):
    """A search's slot and the view of its members."""
    slot = LINE.new()
    line_init(LINE.view(slot), *settings, **named)
    return slot, LINE.view(slot)


def search(phi, slope, step, c1=1e-4, c2=0.9, upper=math.inf, noise=0.0, max_trials=40, refine=False):
    """Run one search; returns (code, view of the scalars, trials as (kind, a))."""
    slot, r = new_search(c2, upper, max_trials, refine)
    asked = []
    code = begin(slot, phi(0.0), slope(0.0), step, noise, c1)
    while code in (NEED_F, NEED_G):
        a = float(r.a)
        asked.append((code, a))
        code = tell_f(slot, phi(a)) if code == NEED_F else tell_g(slot, slope(a))
    return code, r, asked


steps = st.floats(-8, 8).map(lambda e: 10.0**e)


@settings(deadline=None, max_examples=200, derandomize=True)
@given(
    coefficients=st.tuples(
        st.floats(-5, -0.01), st.floats(-5, 5), st.floats(-5, 5), st.floats(0.01, 5), st.floats(0, 3)
    ),
    step=steps,
    strong=st.booleans(),
    refine=st.booleans(),
)
def test_accepted_points_satisfy_the_wolfe_conditions(coefficients, step, strong, refine):
    """Property: whatever it accepts decreases enough and has the slope that was asked for."""
    b, c, d, e, wave = coefficients
    poly = Polynomial([1.0, b, c, d, e])
    slope_poly = poly.deriv()

    def phi(a):
        return float(poly(a)) + wave * (math.cos(a) - 1)

    def slope(a):
        return float(slope_poly(a)) - wave * math.sin(a)

    c2 = 0.2 if strong else 0.9
    code, r, _ = search(phi, slope, step, c2=c2, upper=c2 if strong else math.inf, refine=refine)
    assert code == ITERATION
    a = r.a
    assert a > 0
    assert phi(a) <= phi(0.0) + 1e-4 * a * slope(0.0)
    assert slope(a) >= c2 * slope(0.0)
    if strong:
        assert slope(a) <= -c2 * slope(0.0)


def test_no_gradient_is_spent_on_a_value_that_fails():
    code, _, asked = search(lambda a: (a - 1) ** 2, lambda a: 2 * (a - 1), 1000.0, c2=0.1, upper=0.1)
    assert code == ITERATION
    for i, (kind, a) in enumerate(asked):
        if kind == NEED_G:
            assert asked[i - 1] == (NEED_F, a)
            assert (a - 1) ** 2 < 1
    assert sum(kind == NEED_G for kind, _ in asked) == 1


def test_parabola_is_minimised_by_one_interpolation():
    code, r, asked = search(lambda a: (a - 1) ** 2, lambda a: 2 * (a - 1), 4.0, c2=0.1, upper=0.1)
    assert code == ITERATION
    assert [kind for kind, _ in asked] == [NEED_F, NEED_F, NEED_G]
    assert r.a == pytest.approx(1.0, rel=1e-12)


@settings(deadline=None, max_examples=50, derandomize=True)
@given(step=st.floats(0.11, 1.99), minimum=st.floats(1e-6, 1e6), depth=st.floats(1e-6, 1e6))
def test_a_refined_search_is_exact_on_a_parabola(step, minimum, depth):
    """Property: two values and one gradient, whatever the first trial; one value if it was right."""

    def phi(a):
        return depth * ((a / minimum - 1) ** 2 - 1)

    def slope(a):
        return 2 * depth / minimum * (a / minimum - 1)

    code, r, asked = search(phi, slope, step * minimum, c2=0.9, refine=True)
    assert code == ITERATION
    if abs(1 / step - 1) > 0.1:
        assert [kind for kind, _ in asked] == [NEED_F, NEED_F, NEED_G]
        assert r.a == pytest.approx(minimum, rel=1e-6)
    else:
        assert [kind for kind, _ in asked] == [NEED_F, NEED_G]


def test_a_parabola_found_is_followed_more_closely():
    slot, r = new_search(0.9, refine=True)
    for step, values in ((1.05, 1), (1.05, 2), (1.0005, 1)):  # near enough; a parabola, so no more; right
        code = begin(slot, 0.0, -2.0, step, 0.0, 1e-4)
        asked = 0
        while code != ITERATION:
            asked += code == NEED_F
            a = r.a
            code = tell_f(slot, (a - 1) ** 2 - 1) if code == NEED_F else tell_g(slot, 2 * (a - 1))
        assert asked == values


def test_a_parabola_that_misleads_costs_one_value_and_leads_back():
    """The value jumps up where the parabola through the first trial has its minimum."""

    def phi(a):
        return (a - 1) ** 2 if a < 0.9 else 5.0

    code, r, asked = search(phi, lambda a: 2 * (a - 1), 0.5, refine=True)
    assert code == ITERATION
    assert r.a == 0.5
    assert asked == [(NEED_F, 0.5), (NEED_F, 1.0), (NEED_F, 0.5), (NEED_G, 0.5)]


@pytest.mark.parametrize(("refine", "limit"), [(False, 12), (True, 10)])
def test_stepping_out_reaches_a_far_minimum_by_the_secant(refine, limit):
    """From a thousandth of the way, in steps that grow by `GROW` or `GROW_EXACT`: log(1000) of them."""
    code, r, asked = search(
        lambda a: (a - 1) ** 2, lambda a: 2 * (a - 1), 1e-3, c2=0.5, upper=0.5, refine=refine
    )
    assert code == ITERATION
    assert r.a == pytest.approx(1.0, rel=0.5)
    assert len(asked) <= limit


@settings(deadline=None, max_examples=100, derandomize=True)
@given(
    step=steps,
    wall=st.floats(0.01, 100),
    bad=st.sampled_from([math.nan, math.inf, -math.inf]),
    refine=st.booleans(),
)
def test_non_finite_values_are_backed_away_from(step, wall, bad, refine):
    """Property: behind a wall of NaN or infinities the search ends at a finite point that decreases f."""

    def phi(a):
        return -a if a < wall else bad

    code, r, _ = search(phi, lambda a: -1.0 if a < wall else math.nan, step, refine=refine)
    assert code in (FAILED, ITERATION)  # no minimum: out of trials, with a best trial
    assert 0 < r.best_a < wall
    assert r.best_f == -r.best_a


def test_non_finite_gradient_behind_a_finite_value_is_backed_away_from():
    code, r, _ = search(lambda a: (a - 1) ** 2, lambda a: 2 * (a - 1) if a < 1.5 else math.nan, 1.9)
    assert code == ITERATION
    assert r.a < 1.5


@pytest.mark.parametrize(("refine", "grow"), [(False, GROW), (True, GROW_EXACT)])
def test_unbounded_line_ends_with_its_best_trial(refine, grow):
    code, r, _ = search(lambda a: -a, lambda a: -1.0, 1.0, max_trials=20, refine=refine)
    assert code == FAILED
    assert r.best_a == grow**19


def test_rising_line_fails_without_a_best_trial():
    code, r, asked = search(lambda a: a, lambda a: -1.0, 1.0)  # the slope lies
    assert code == FAILED
    assert r.best_a == 0.0
    assert all(kind == NEED_F for kind, _ in asked)


def test_flat_line_ends():
    code, r, asked = search(lambda a: 1.0, lambda a: -1.0, 1.0)
    assert code == FAILED
    assert r.best_a == 0.0
    assert len(asked) <= 80


@settings(deadline=None, max_examples=50, derandomize=True)
@given(step=steps, noise=st.floats(1e-12, 1e3), refine=st.booleans())
def test_no_trial_is_made_that_promises_less_than_the_noise_shows(step, noise, refine):
    """Property: values that jump up, against the slope, are searched no further than the noise can tell."""
    jump = 2.0 * noise
    code, r, asked = search(lambda a: 1.0 + jump * (a > 0), lambda a: -1.0, step, noise=noise, refine=refine)
    assert code == FAILED
    assert r.best_a == 0.0
    assert all(a >= SEEN * noise for _, a in asked[:-1]), asked  # each of them failed


@settings(deadline=None, max_examples=50, derandomize=True)
@given(wall=st.floats(0.02, 0.98), height=st.floats(-6, 12), noise=st.floats(-14, -6))
def test_a_search_against_a_jump_halves_its_bracket_and_ends(wall, height, noise):
    """Property: f falls steadily up to a wall of any height; nine tenths of the bracket stayed each time.

    The end is where the slope promises less of the bracket than the noise shows; the lowest value is there.
    """
    high, noise = 10.0**height, 10.0**noise
    code, r, asked = search(
        lambda a: -a + (high + a if a > wall else 0.0), lambda a: -1.0, 1.0, noise=noise, max_trials=200
    )
    assert code == FAILED
    assert wall - noise <= r.best_a <= wall
    # the bracket is within 2/3 of that of two trials before; or was, before one in its middle
    assert len(asked) <= 2 * (6 + 3 * math.log(4 / noise) / math.log(1 / SHRINK))


def test_within_rounding_the_slope_decides():
    # values carry no information here: every trial is equal to f0 to rounding
    code, r, _ = search(lambda a: 1.0, lambda a: 1e-12 * (a - 1), 1.0, c2=0.9, noise=1e-15)
    assert code == ITERATION
    assert r.a == 1.0


@settings(deadline=None, max_examples=50, derandomize=True)
@given(
    step=steps,
    f_power=st.integers(-100, 100),
    a_power=st.integers(-100, 100),
    shift=st.floats(0.1, 10),
    refine=st.booleans(),
)
def test_units_do_not_matter(step, f_power, a_power, shift, refine):
    """Property: scaling values and lengths by powers of two scales the trials and changes nothing else."""

    def run(scale_f, scale_a):
        return search(
            lambda a: scale_f * (math.cosh(min(a / scale_a - shift, 700.0)) - 2),
            lambda a: scale_f / scale_a * math.sinh(min(a / scale_a - shift, 700.0)),
            step * scale_a,
            c2=0.1,
            upper=0.1,
            refine=refine,
        )

    code, r, asked = run(1.0, 1.0)
    code2, r2, asked2 = run(2.0**f_power, 2.0**a_power)
    assert code == code2
    assert [(kind, a * 2.0**a_power) for kind, a in asked] == asked2
    assert r.a * 2.0**a_power == r2.a


def test_trial_limit_is_kept():
    for limit in (1, 2, 5):
        slot, r = new_search(max_trials=limit)
        code = begin(slot, 0.0, -1.0, 1.0, 0.0, 1e-4)
        while code == NEED_F:
            code = tell_f(slot, 1.0)
        assert code == FAILED
        assert r.trials == limit


def test_interpolation_formulas():
    rng = np.random.default_rng(5)
    for _ in range(50):
        a, b = np.sort(rng.uniform(-2, 2, 2))
        q = Polynomial([rng.normal(), rng.normal(), rng.uniform(0.1, 3)])
        exact = -q.coef[1] / (2 * q.coef[2])
        assert quadratic_minimum(a, q(a), q.deriv()(a), b, q(b)) == pytest.approx(exact, rel=1e-6, abs=1e-8)
        c = Polynomial([0.0, rng.normal(), rng.normal(), rng.normal()])
        roots = [z.real for z in c.deriv().roots() if abs(z.imag) < 1e-14 and c.deriv(2)(z.real) > 0]
        if roots:
            got = cubic_minimum(a, c(a), c.deriv()(a), b, c(b), c.deriv()(b))
            assert got == pytest.approx(roots[0], rel=1e-5, abs=1e-6)
