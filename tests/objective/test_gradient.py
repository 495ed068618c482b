"""Where gradients come from, and the check that tells right ones from wrong ones."""

import autograd.numpy as anp
import collection as problems
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime, rosen, rosen_der

from twophase_min import check_gradient, minimize
from twophase_min.objective import check as _check
from twophase_min.objective import gradient as _gradient
from twophase_min.objective.differences import coarser_steps, gradient_by_differences, refined_steps

modest = settings(max_examples=50, deadline=None, derandomize=True)


def differences(fun, x, scheme, **steps):
    x = np.asarray(x, dtype=float)
    evaluate = lambda points, count: [fun(point) for point in points]  # noqa: E731
    return gradient_by_differences(evaluate, x, fun(x), scheme, **steps)[0]


# ---- finite differences ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("scheme", "tolerance"), [("2-point", 1e-5), ("3-point", 1e-8), ("cs", 1e-13)])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_differences_have_the_accuracy_of_their_order(scheme, tolerance, scale):
    x = scale * np.array([1.3, -0.7, 0.9])

    def fun(x):
        return (100.0 * (x[1:] / scale - (x[:-1] / scale) ** 2) ** 2 + (1 - x[:-1] / scale) ** 2).sum()

    exact = rosen_der(x / scale) / scale
    # default steps are absolute for abs(x) < 1, as SciPy's are: ask for relative ones
    steps = {"rel_step": 1e-8 if scheme != "3-point" else 6e-6}
    np.testing.assert_allclose(differences(fun, x, scheme, **steps), exact, rtol=tolerance)


def test_extrapolated_differences_are_of_fourth_order():
    """A third derivative of 1e10 spoils central ones; extrapolated ones are left with f's rounding."""
    t = np.linspace(0.0, 100.0, 200)

    def fun(x):
        return np.sum(np.exp(0.5 + x[0] * t))

    x, exact = np.array([0.05]), np.array([np.sum(t * np.exp(0.5 + 0.05 * t))])
    central, extrapolated = (abs(differences(fun, x, s) - exact)[0] for s in ("3-point", "extrapolated"))
    assert central > 1e-3
    assert extrapolated < 1e-2 * central


def refined(fun, x, scheme="3-point", **steps):
    evaluate = lambda points, count: [fun(point) for point in points]  # noqa: E731
    return refined_steps(evaluate, np.array(x), fun(np.array(x)), scheme, steps)


@pytest.mark.parametrize("unit", [1e-9, 1e-6, 1e-3])
def test_steps_are_shortened_for_a_variable_whose_unit_makes_it_small(unit):
    """With h = 6e-6 the difference of exp(x / 1e-6) says nothing; relative steps give eight digits."""

    def fun(x):
        return np.exp(x[0] / unit) + x[1] ** 2

    x = np.array([1.3 * unit, 2.0])
    steps = refined(fun, x)
    np.testing.assert_allclose(steps["abs_step"], np.finfo(float).eps ** (1 / 3) * np.abs(x), rtol=1e-6)
    exact = [np.exp(1.3) / unit, 4.0]
    np.testing.assert_allclose(differences(fun, x, "3-point", **steps), exact, rtol=1e-8)


def test_steps_of_forward_differences_are_shortened_as_they_need_it():
    fun = lambda x: np.exp(x[0] / 1e-12) + x[1] ** 2  # noqa: E731
    x = np.array([1.3e-12, 2.0])
    steps = refined(fun, x, "2-point")
    np.testing.assert_allclose(steps["abs_step"], np.finfo(float).eps ** 0.5 * np.abs(x), rtol=1e-6)
    np.testing.assert_allclose(differences(fun, x, "2-point", **steps), [np.exp(1.3) * 1e12, 4.0], rtol=1e-6)


def test_steps_are_kept_where_shorter_ones_show_only_rounding():
    """x[0] is small beside its unit: a relative step would lose all digits to the rounding of f."""
    fun = lambda x: np.cos(x[0]) + 1e6 + x[1] ** 2  # noqa: E731
    assert refined(fun, [1e-9, 2.0]) == {}
    assert refined(lambda x: np.sum(x**2), [0.0, 3.0]) == {}
    chosen = {"rel_step": None, "abs_step": 1e-3}
    assert refined(lambda x: np.exp(x[0] / 1e-6), [1e-6], **chosen) == chosen


def coarser(fun, x, scheme, eps):
    evaluate = lambda points, count: [fun(point) for point in points]  # noqa: E731
    x = np.array(x)
    f, steps = fun(x), {"rel_step": None, "abs_step": None}
    return coarser_steps(evaluate, x, f, scheme, steps, eps, eps * abs(f))


@pytest.mark.parametrize(("scheme", "width"), [("2-point", 2e-8), ("3-point", 1e-5)])
def test_steps_grow_with_the_error_of_the_values_only_where_f_bears_it(scheme, width):
    """A variable in which f has a narrow feature keeps its step, those of which it has none do not."""
    eps = 1e-9
    smooth = lambda x: 3.0 + np.cos(x[0]) + x[1] ** 2  # noqa: E731
    assert coarser(smooth, [0.7, 2.0], scheme, eps) == {"rel_step": None, "abs_step": None, "eps": eps}
    narrow = lambda x: smooth(x) - np.exp(-(((x[2] - width) / width) ** 2))  # noqa: E731
    x = np.array([0.7, 2.0, 1.2 * width])
    usual = np.abs(_gradient.difference_steps(x, scheme))
    wide = np.abs(_gradient.difference_steps(x, scheme, eps=eps))
    steps = coarser(narrow, x, scheme, eps)
    np.testing.assert_array_equal(steps["abs_step"], [wide[0], wide[1], usual[2]])
    assert steps["eps"] == eps
    only = lambda x: 3.0 - np.exp(-(((x[0] - width) / width) ** 2))  # noqa: E731
    assert coarser(only, [1.2 * width], scheme, eps) == {"rel_step": None, "abs_step": None}


@modest
@given(seed=st.integers(0, 10**6), digits=st.integers(5, 11), scheme=st.sampled_from(["2-point", "3-point"]))
def test_values_of_few_digits_are_given_longer_steps(seed, digits, scheme):
    """Property: where the error of the values is as large as said, no smooth function refuses them."""
    rng = np.random.default_rng(seed)
    x, a = rng.normal(size=3), rng.normal(size=3)
    eps = 10.0**-digits

    def fun(x):
        return (2.0 + np.sum(np.sin(a * x))) * (1.0 + eps * np.sin(1e15 * np.sum(x)))

    steps = coarser(fun, x, scheme, eps)
    assert steps == {"rel_step": None, "abs_step": None, "eps": eps}


@modest
@given(
    x=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=4),
    scheme=st.sampled_from(["2-point", "3-point", "cs"]),
)
def test_a_step_moves_every_coordinate(x, scheme):
    """Property: no difference divides by zero: x + step differs from x in every coordinate."""
    x = np.array(x)
    for keywords in ({}, {"rel_step": 1e-8}, {"abs_step": 1e-30}, {"rel_step": 0.0}):
        steps = _gradient.difference_steps(x, scheme, **keywords)
        assert np.all(steps != 0)
        if scheme != "cs":
            assert np.all(x + steps != x)


def test_steps_go_by_the_precision_of_the_values():
    """A function that computes in float32 has wrong differences at float64's steps; it ended at x0."""

    def fun(x):
        x = x.astype(np.float32)
        return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    x0 = np.full(5, -1.0)
    assert fun(x0).dtype == np.float32
    for jac in (None, "2-point", "3-point"):
        result = minimize(fun, x0, jac=jac)
        assert result.fun < 1e-4 * fun(x0)  # differences of float32 lead no further
    for scheme, tolerance in (("2-point", 2e-3), ("3-point", 2e-4)):
        g = differences(fun, x0, scheme, eps=2.0**-23)
        np.testing.assert_allclose(g, rosen_der(x0), rtol=tolerance)


def test_forward_differences_are_scipys():
    x = np.array([-1.2, 1.0, 0.3])
    np.testing.assert_allclose(differences(rosen, x, "2-point"), approx_fprime(x, rosen), rtol=1e-7)


def test_a_variable_without_finite_neighbours_gives_nan_there_only():
    g = differences(lambda x: x[0] ** 2 + (np.inf if x[1] != 0 else 0.0), [1.0, 0.0], "2-point")
    assert not np.isfinite(g[1])
    assert g[0] == pytest.approx(2.0, rel=1e-6)


def test_unknown_worker_counts_are_maps():
    assert _gradient.mapper(None)[0] is map
    assert _gradient.mapper(1)[0] is map
    own = lambda f, points: [f(p) for p in points]  # noqa: E731
    assert _gradient.mapper(own)[0] is own


# ---- autograd --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_autograd_takes_scalars_and_arrays_of_size_one(shape):
    both = _gradient.autograd_value_and_gradient(lambda x: anp.reshape(anp.sum(x**2), shape))
    f, g = both(np.array([1.0, 2.0]))
    assert float(f) == 5.0
    np.testing.assert_array_equal(g, [2.0, 4.0])


def test_autograd_calls_the_function_once():
    calls = []

    def fun(x):
        calls.append(1)
        return anp.sum(x**2)

    _gradient.autograd_value_and_gradient(fun)(np.ones(2))
    assert len(calls) == 1


@pytest.mark.parametrize("name", ["rosenbrock", "beale", "ackley", "paper_example_1", "logistic_regression"])
def test_autograd_agrees_with_hand_derived_gradients(name):
    problem = problems.get(name)
    _, g = _gradient.autograd_value_and_gradient(problem.traceable())(np.array(problem.x0))
    np.testing.assert_allclose(g, problem.grad(problem.x0), rtol=1e-10, atol=1e-12)


# ---- the choice for jac=None -----------------------------------------------------------------------------


def test_none_takes_autograd_where_it_traces():
    result = minimize(lambda x: anp.sum((x - 1.0) ** 2), np.zeros(3))
    assert result.success
    assert result.gradient == "autograd"


def test_none_says_why_it_fell_back_to_differences():
    import math

    result = minimize(lambda x: math.cosh(x[0] - 1.0), np.zeros(1))
    assert result.success
    np.testing.assert_allclose(result.x, 1.0, atol=1e-4)
    assert result.gradient.startswith("2-point (finite differences, because autograd cannot trace fun")


def test_a_trace_that_is_lost_on_the_way_is_noticed():
    def fun(x):  # the value leaves autograd's sight: its gradient would be silently incomplete
        hidden = np.array([float(getattr(v, "_value", v)) for v in x])
        return anp.sum((x - 1.0) ** 2) + float(np.sum((hidden + 1.0) ** 2))

    result = minimize(fun, np.full(3, 0.7))
    assert result.success
    assert "2-point" in result.gradient
    assert "wrong at x0" in result.gradient
    np.testing.assert_allclose(result.x, 0.0, atol=1e-4)


def test_a_constant_function_is_not_mistaken_for_a_lost_trace():
    result = minimize(lambda x: 3.0, np.ones(2))
    assert result.success
    assert result.gradient == "autograd"
    assert result.fun == 3.0


@pytest.mark.parametrize("name", sorted(problems.ALL))
def test_the_directional_check_accepts_the_right_gradients_of_all_problems(name):
    problem = problems.get(name)
    x = np.array(problem.x0)
    ok, why = _check.agrees(lambda p: float(problem.fun(p)), x, float(problem.fun(x)), problem.grad(x))
    assert ok, why


@modest
@given(
    seed=st.integers(0, 2**32 - 1),
    exponent=st.integers(-12, 12),
    x_exponent=st.integers(-12, 9),
)
def test_the_directional_check_has_no_units(seed, exponent, x_exponent):
    """Property: at any scale right gradients pass, and flipped, zero, doubled and partly wrong ones fail."""
    rng = np.random.default_rng(seed)
    n = 5
    width, height = 10.0**x_exponent, 10.0**exponent
    x = width * rng.uniform(0.5, 2.0, n)
    c = width * rng.uniform(-2.0, 0.0, n)

    def fun(x):
        return height * float(np.sum(((x - c) / width) ** 2 + 0.1 * ((x - c) / width) ** 4))

    z = (x - c) / width
    g = height * (2 * z + 0.4 * z**3) / width
    assert _check.agrees(fun, x, fun(x), g)[0]
    for wrong in (-g, 0 * g, 2 * g):
        assert not _check.agrees(fun, x, fun(x), wrong)[0]
    bad = g.copy()
    bad[int(rng.integers(n))] *= 3.0
    assert not _check.agrees(fun, x, fun(x), bad)[0]


# ---- check_gradient --------------------------------------------------------------------------------------


def bowl(width, height, n):
    """A function that is not even, at the scales asked for, with its gradient."""
    weights = np.arange(1.0, n + 1)

    def fun(x):
        z = x / width
        return height * float(np.sum(weights * z**2) + 0.3 * np.sum(z) ** 3)

    def grad(x):
        z = x / width
        return height * (2 * weights * z + 0.9 * np.sum(z) ** 2) / width

    return fun, grad


@modest
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 6),
    width=st.integers(-10, 10),
    height=st.integers(-40, 40),
)
def test_right_gradients_pass_at_every_scale(seed, n, width, height):
    """Property: a right gradient's error is below 1e-5 for x from 1e-10 to 1e10 and f from 1e-40 to 1e40."""
    fun, grad = bowl(10.0**width, 10.0**height, n)
    x = 10.0**width * np.random.default_rng(seed).normal(size=n)
    error, _ = check_gradient(fun, grad, x)
    assert error < 1e-5


@modest
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 6),
    width=st.integers(-10, 10),
    height=st.integers(-40, 40),
    fault=st.sampled_from([0.0, 0.99, 1.01, -1.0, 2.0]),
)
def test_wrong_gradients_are_found_where_they_are_wrong(seed, n, width, height, fault):
    """Property: one entry off by 1 % or more is found, with its index, at the same scales."""
    fun, grad = bowl(10.0**width, 10.0**height, n)
    rng = np.random.default_rng(seed)
    x, where = 10.0**width * rng.uniform(0.5, 2.0, n), int(rng.integers(n))

    def wrong(x):
        g = grad(x)
        g[where] *= fault
        return g

    error, index = check_gradient(fun, wrong, x)
    assert index == where
    assert error > 5e-3
    if fault == 0.0:
        assert error == pytest.approx(1.0)


@pytest.mark.parametrize("name", sorted(problems.ALL))
def test_every_problems_gradient_passes_at_the_start_and_the_minimum(name):
    problem = problems.get(name, n=20) if name == "sparse_chain" else problems.get(name)
    rng = np.random.default_rng(0)
    points = [problem.x0, problem.x0 + 0.1 * rng.normal(size=problem.n)]
    if problem.x_min is not None and name not in ("ackley",):  # not differentiable at its minimum
        points.append(problem.x_min)
    for x in points:
        check = check_gradient(problem.fun, problem.grad, x)
        assert check.error < 1e-4, check.message


def test_the_check_takes_every_form_of_gradient():
    x = np.array([0.3, -0.4, 1.1])
    assert check_gradient(lambda x: (rosen(x), rosen_der(x)), True, x).error < 1e-6
    assert check_gradient(lambda x: anp.sum(x**4), "autograd", x).error < 1e-6
    assert check_gradient(lambda x, a: a * rosen(x), lambda x, a: a * rosen_der(x), x, (3.0,)).error < 1e-6
    assert check_gradient(lambda x, a: a * rosen(x), lambda x, a: a * rosen_der(x), x, 3.0).error < 1e-6
    assert check_gradient(lambda x: x[0] ** 2, lambda x: 2 * x, 3.0).error < 1e-6
    with pytest.raises(TypeError, match="jac must be a callable"):
        check_gradient(rosen, "2-point", x)
    with pytest.raises(ValueError, match="shape"):
        check_gradient(rosen, lambda x: rosen_der(x)[:2], x)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_in_a_gradient_are_the_worst_error(bad):
    def jac(x):
        g = rosen_der(x)
        g[1] = bad
        return g

    check = check_gradient(rosen, jac, np.array([0.3, -0.4, 1.1]))
    assert check.error == np.inf
    assert check.index == 1
    assert str(bad) in check.message
    assert "coordinate 1" in check.message


def test_the_gradient_of_a_norm_at_zero_is_named():
    """Autograd's gradient of a norm at 0 is NaN (autograd#151)."""
    with np.errstate(all="ignore"):
        check = check_gradient(lambda x: anp.sqrt(anp.sum(x**2)), "autograd", np.zeros(2))
    assert check.error == np.inf
    assert "nan" in check.message


def test_a_silent_zero_is_named():
    def jac(x):
        g = rosen_der(x)
        g[2] = 0.0
        return g

    check = check_gradient(rosen, jac, np.array([0.3, -0.4, 1.1]))
    assert check.index == 2
    assert check.error == pytest.approx(1.0)
    assert "silently zero at coordinate 2" in check.message


def test_a_true_zero_is_not_accused():
    assert check_gradient(rosen, rosen_der, np.ones(4)).error < 1e-5
    assert check_gradient(lambda x: 5.0, lambda x: 0 * x, np.ones(3)).error == 0.0


def test_a_large_constant_does_not_hide_the_slope():
    check = check_gradient(lambda x: 1e8 + float(np.sum(x**2)), lambda x: 2 * x, np.array([1.0, 2.0]))
    assert check.error < 1e-5
    check = check_gradient(lambda x: 1e8 + float(np.sum(x**2)), lambda x: 3 * x, np.array([1.0, 2.0]))
    assert check.error > 0.1


def test_a_function_that_is_finite_at_x_alone_cannot_be_checked():
    check = check_gradient(lambda x: 0.0 if x[0] == 1.0 else np.nan, lambda x: np.ones(1), np.ones(1))
    assert check.error == np.inf
    assert "not finite around x" in check.message


def test_the_check_leaves_x_alone():
    x = np.array([0.3, -0.4])

    def fun(x):
        value = rosen(x)
        x[:] = 0.0
        return value

    check_gradient(fun, rosen_der, x)
    np.testing.assert_array_equal(x, [0.3, -0.4])
