"""Bad input gets a clear error or warning, and nothing is lost."""

import functools
import re
import warnings

import autograd.numpy as anp
import numpy as np
import pytest
import scipy.optimize
from scipy.optimize import Bounds, OptimizeWarning, rosen, rosen_der

from twophase_min import Status, TwoPhaseOptions, minimize, twophase

START = np.array([-1.2, 1.0])


def sphere(x):
    return float(np.sum(x**2))


def sphere_der(x):
    return 2.0 * x


# ---- x0 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["twophase", "CG"])
@pytest.mark.parametrize(
    ("x0", "error", "text"),
    [
        ([[1.0, 2.0]], ValueError, "'x0' must only have one dimension"),
        (np.zeros((2, 2)), ValueError, "'x0' must only have one dimension"),
        ([], ValueError, "empty"),
        ([1.0 + 0j], TypeError, "complex.*real and imaginary"),
        (np.array([1.0, None], dtype=object), TypeError, "dtype object"),
        (["a", "b"], TypeError, "dtype <U1"),
        (
            np.zeros((2, 3)),
            ValueError,
            r"It has shape \(2, 3\): pass x0.ravel\(\), and begin fun with x = x.reshape\(2, 3\)\.$",
        ),
        (
            {"a": np.zeros(2), "b": 1.0},
            TypeError,
            "'x0' is a dict; a vector is needed: .*from_jax.*concatenate",
        ),
        ([np.zeros(2), np.zeros((3, 2))], ValueError, "'x0' is a list of arrays, not a vector.*from_torch.*"),
        ((np.zeros(2), 1.0), ValueError, "'x0' is a tuple of arrays, not a vector"),
        ([{"a": 1.0}], TypeError, "dtype object; a vector of real numbers is needed: .*from_jax"),
    ],
)
def test_an_x0_that_cannot_be_used_is_refused(x0, error, text, method):
    with pytest.raises(error, match=text):
        minimize(sphere, x0, method=method, jac=sphere_der)


@pytest.mark.parametrize(
    "x0",
    [
        [2, -3],
        (2, -3),
        np.array([2, -3], dtype=np.int8),
        np.array([2, 3], dtype=np.uint16),
        np.array([True, False]),
        np.array([2.0, -3.0], dtype=np.float16),
        np.array([2.0, -3.0], dtype=np.longdouble),
        np.array([2.0, -3.0])[::-1],
    ],
)
def test_other_real_starts_become_float64_and_stay_as_they_were(x0):
    before = np.array(x0)
    seen = set()

    def fun(x):
        seen.add(x.dtype)
        return sphere(x)

    result = minimize(fun, x0, jac=sphere_der)
    assert result.success
    assert seen == {np.dtype(float)}
    assert result.x.dtype == float
    np.testing.assert_allclose(result.x, 0.0, atol=1e-5)
    np.testing.assert_array_equal(x0, before)


def test_float32_stays_where_the_gradient_is_the_callers():
    seen = set()

    def fun(x):
        seen.add(x.dtype)
        return np.sum((x - np.float32(1)) ** 2)

    result = minimize(fun, np.zeros(3, dtype=np.float32), jac=lambda x: 2 * (x - np.float32(1)))
    assert result.success
    assert seen == {np.dtype(np.float32)}
    assert result.x.dtype == np.float32
    assert result.fun == fun(result.x)
    np.testing.assert_allclose(result.x, 1.0, atol=1e-4)


def test_float32_becomes_float64_where_differences_would_be_too_coarse():
    result = minimize(sphere, np.full(2, 0.3, dtype=np.float32), jac="2-point")
    assert result.success
    assert result.x.dtype == np.float64
    np.testing.assert_allclose(result.x, 0.0, atol=1e-5)


@pytest.mark.parametrize("x0", [3.0, [3.0], np.array(3.0), 3])
def test_one_variable(x0):
    result = minimize(lambda x: (x[0] - 1.0) ** 2, x0, jac=lambda x: 2 * (x - 1.0))
    assert result.success
    assert result.x.shape == result.jac.shape == (1,)
    assert result.x[0] == pytest.approx(1.0, abs=1e-5)


# ---- the value -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("jac", [sphere_der, None, "2-point", "3-point", True])
def test_a_start_that_is_not_finite_is_no_success(bad, jac):
    fun = (lambda x: (bad, 2 * x)) if jac is True else (lambda x: bad)
    result = minimize(fun, [1.0, 2.0], jac=jac)
    assert not result.success
    assert result.status == Status.NONFINITE == 3
    assert "objective is not finite at x0" in result.message
    np.testing.assert_array_equal(result.x, [1.0, 2.0])
    assert result.nit == 0
    assert result.nfev >= 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_at_x0_is_no_success(bad):
    result = minimize(sphere, [1.0, 2.0], jac=lambda x: np.array([bad, 1.0]))
    assert not result.success
    assert result.status == Status.NONFINITE
    assert "gradient is not finite at x0" in result.message
    assert result.fun == 5.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["value", "gradient", "both"])
@pytest.mark.parametrize("options", [{}, {"learning_rate": 0.3}, {"convex_method": "memory-cg", "swap": 1}])
def test_a_region_that_is_not_finite_is_walked_around(bad, where, options):
    """A non-finite trial counts as infinitely high: the run backs off and still converges."""

    def outside(x):
        return x[0] > 2.0

    def fun(x):
        return bad if outside(x) and where != "gradient" else sphere(x - 1.0)

    def jac(x):
        return np.full(2, bad) if outside(x) and where != "value" else 2.0 * (x - 1.0)

    result = minimize(fun, [-50.0, 60.0], jac=jac, options=options)
    assert result.success, result.message
    np.testing.assert_allclose(result.x, 1.0, atol=1e-4)
    assert result.fun == fun(result.x)


@pytest.mark.parametrize("after", range(2, 12))
def test_nan_from_some_call_on_returns_the_best_before_it(after):
    calls, values = [], []

    def fun(x):
        calls.append(1)
        value = rosen(x) if len(calls) <= after else np.nan
        values.append(value)
        return value

    result = minimize(fun, START, jac=rosen_der)
    assert not result.success
    assert result.fun == np.nanmin(values)
    assert result.fun == rosen(result.x)
    assert len(calls) < 500


def test_an_objective_that_is_finite_at_x0_alone_says_so():
    """Here SciPy's own test_bfgs_nan_return wants the NaN reported; x0 is the caller's already."""
    result = minimize(lambda x: 0.0 if x[0] == 0 else np.nan, [0.0], jac=lambda x: np.ones(1))
    assert not result.success
    assert result.status == Status.NONFINITE
    assert "finite at x0 only" in result.message
    assert np.isnan(result.fun)


def test_an_unbounded_objective_ends_without_success():
    result = minimize(
        lambda x: -float(np.exp(x[0])), [0.0], jac=lambda x: -np.exp(x), options={"maxiter": 500}
    )
    assert not result.success
    assert result.fun < -1e6


def test_minus_infinity_is_reported_as_unbounded():
    result = minimize(lambda x: -np.inf if x[0] > 1 else -x[0], [0.0], jac=lambda x: -np.ones(1))
    assert not result.success
    assert result.status == Status.UNBOUNDED
    assert result.fun == -np.inf


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_values_may_be_arrays_of_size_one(shape):
    result = minimize(lambda x: np.full(shape, sphere(x)), START, jac=sphere_der)
    assert result.success
    assert type(result.fun) is float


@pytest.mark.parametrize("jac", [sphere_der, "2-point", None])
def test_a_vector_value_is_refused(jac):
    with pytest.raises(ValueError, match="must return a scalar value"):
        minimize(lambda x: x**2, START, jac=jac)


def test_none_and_complex_values_are_refused():
    with pytest.raises(ValueError, match="returned None"):
        minimize(lambda x: None, START, jac=sphere_der)
    with pytest.raises(TypeError, match="complex"):
        minimize(lambda x: 1j + sphere(x), START, jac=sphere_der)


@pytest.mark.parametrize("method", ["twophase", "BFGS"])
@pytest.mark.parametrize("fun", [None, 3.0, "rosen"])
def test_fun_must_be_callable(fun, method):
    with pytest.raises(TypeError, match="fun must be callable"):
        minimize(fun, START, method=method)


def test_a_function_that_overwrites_x_does_no_harm():
    def fun(x):
        value = rosen(x)
        x[:] = np.nan
        return value

    def jac(x):
        g = rosen_der(x)
        x[:] = np.nan
        return g

    spoilt, clean = minimize(fun, START, jac=jac), minimize(rosen, START, jac=rosen_der)
    np.testing.assert_array_equal(spoilt.x, clean.x)
    assert (spoilt.fun, spoilt.nfev, spoilt.njev) == (clean.fun, clean.nfev, clean.njev)


def test_x0_is_not_changed():
    x0 = START.copy()
    result = minimize(rosen, x0, jac=rosen_der)
    np.testing.assert_array_equal(x0, START)
    assert not np.shares_memory(result.x, x0)


# ---- the gradient ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("g", [np.zeros(3), np.zeros((2, 2)), 1.0, []])
def test_a_gradient_of_the_wrong_shape_is_refused(g):
    with pytest.raises(ValueError, match=r"gradient has shape .*, expected \(2,\)"):
        minimize(sphere, START, jac=lambda x: g)


def test_a_wrong_shape_later_names_it_too_and_loses_nothing():
    calls = []

    def jac(x):
        calls.append(1)
        return sphere_der(x) if len(calls) < 2 else np.zeros(5)

    with pytest.raises(ValueError, match="gradient has shape") as error:
        minimize(sphere, START, jac=jac)
    assert error.value.optimize_result.fun <= sphere(START)


def test_jac_true_with_a_scalar_function_names_the_remedy():
    with pytest.raises(TypeError, match=r"jac=True says that fun returns \(value, gradient\).*float"):
        minimize(rosen, START, jac=True)


@pytest.mark.parametrize("jac", ["4-point", "auto", 3.0])
@pytest.mark.parametrize("method", ["twophase", "CG"])
def test_an_unknown_jac_is_refused(jac, method):
    with pytest.raises(ValueError, match="it must be a callable, True, 'autograd'"):
        minimize(sphere, START, method=method, jac=jac)


def test_autograd_on_an_untraceable_function_names_cause_and_remedy():
    import math

    def fun(x):
        return math.exp(x[0]) + x[1] ** 2

    with pytest.raises(TypeError, match="autograd cannot trace the objective") as error:
        minimize(fun, START, jac="autograd")
    assert "TypeError" in str(error.value)  # the cause
    assert "import autograd.numpy as np" in str(error.value)  # the remedy
    assert error.value.__cause__ is not None


def test_a_zero_gradient_at_x0_is_convergence():
    result = minimize(sphere, np.zeros(2), jac=sphere_der)
    assert result.success
    assert result.nit == 0
    assert (result.nfev, result.njev) == (1, 1)
    np.testing.assert_array_equal(result.x, 0.0)


def test_a_zero_gradient_component_does_not_stop_the_others():
    result = minimize(
        lambda x: (x[0] - 3.0) ** 2, [0.0, 5.0], jac=lambda x: np.array([2 * (x[0] - 3.0), 0.0])
    )
    assert result.success
    np.testing.assert_allclose(result.x, [3.0, 5.0], atol=1e-5)


# ---- what is not handled ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call", [minimize, lambda *a, **k: scipy.optimize.minimize(*a, method=twophase, **k)]
)
def test_constraints_and_hessians_are_warned_about(call):
    keywords = {"jac": sphere_der}
    with pytest.warns(RuntimeWarning, match="Method twophase cannot handle constraints"):
        assert call(sphere, START, constraints={"type": "eq", "fun": lambda x: x[0]}, **keywords).success
    with pytest.warns(RuntimeWarning, match=r"does not use Hessian information \(hess\)"):
        assert call(sphere, START, hess=lambda x: 2 * np.eye(2), **keywords).success
    with pytest.warns(RuntimeWarning, match=r"does not use Hessian information \(hessp\)"):
        assert call(sphere, START, hessp=lambda x, p: 2 * p, **keywords).success


HALF = {"type": "ineq", "fun": lambda x: x[0] - 0.5}
IGNORED = [
    # constraints, and by how much they are violated at the minimum, 0
    (HALF, 0.5),
    ([HALF, {"type": "eq", "fun": lambda x, a: x[1] - a, "args": (2.0,)}], 2.0),
    (scipy.optimize.LinearConstraint([[1.0, 1.0]], -1.0, 1.0), 0.0),
    (scipy.optimize.LinearConstraint([[1.0, 1.0]], 3.0, np.inf), 3.0),
    ([scipy.optimize.NonlinearConstraint(lambda x: x**2, -np.inf, [-1.0, 4.0])], 1.0),
    ({"type": "ineq", "fun": lambda x: np.nan}, np.inf),
    ("of no known form", np.inf),
]


@pytest.mark.parametrize(("constraints", "violated"), IGNORED)
def test_a_point_that_violates_ignored_constraints_is_no_success(constraints, violated):
    with pytest.warns(RuntimeWarning, match="cannot handle constraints"):
        result = minimize(sphere, START, jac=sphere_der, constraints=constraints)
    np.testing.assert_allclose(result.x, 0.0, atol=1e-5)
    assert result.success == (violated == 0.0)
    assert result.status == (Status.INFEASIBLE if violated else Status.CONVERGED)
    if violated:
        told = float(result.message.split("Violated by ")[1].split(".)")[0])
        assert told == pytest.approx(violated, rel=1e-2)


def test_an_exception_of_a_constraint_carries_the_result():
    def fun(x):
        raise ArithmeticError

    with pytest.warns(RuntimeWarning), pytest.raises(ArithmeticError) as caught:
        minimize(sphere, START, jac=sphere_der, constraints={"type": "eq", "fun": fun})
    assert caught.value.optimize_result.success


def test_a_warning_points_at_the_callers_line():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        minimize(sphere, START, jac=sphere_der, bounds=[(-2, 0.5)] * 2, options={"nonsense": 1})
    assert {warning.filename for warning in caught} == {__file__}
    assert len(caught) == 2


def test_nothing_is_warned_about_without_need():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for jac in (rosen_der, None, "2-point", "3-point", "cs"):
            assert minimize(rosen, START, jac=jac).status in (0, 10)
        assert minimize(lambda x: anp.sum(x**2), START, constraints=[], bounds=None).success


def test_differences_over_many_variables_are_warned_of_before_they_begin():
    calls = []

    def fun(x):
        calls.append(x)
        return sum(float(value) ** 2 for value in x)

    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        with pytest.raises(RuntimeWarning, match=r"Each gradient by differences takes n = 200 values of fun"):
            minimize(fun, np.ones(200), options={"maxiter": 1})
        assert len(calls) <= 2  # autograd's attempt, and the value at x0
        for keywords in ({"jac": "2-point"}, {"jac": lambda x: 2 * x}):
            minimize(fun, np.ones(200), options={"maxiter": 1}, **keywords)
        minimize(fun, np.ones(199), options={"maxiter": 1})
    for method in ("twophase", "CG"):
        with pytest.warns(RuntimeWarning, match=r"autograd.numpy, or pass the gradient \(jac=") as caught:
            minimize(fun, np.ones(200), method=method, options={"maxiter": 1})
        assert [warning.filename for warning in caught if "each" in str(warning.message).lower()] == [
            __file__
        ]


@pytest.mark.parametrize(
    "bounds",
    [
        [(None, None)] * 2,
        [(-np.inf, np.inf), (None, np.inf)],
        Bounds(),
        Bounds(-np.inf, np.inf),
        Bounds([-np.inf] * 2, [np.inf] * 2),
        np.array([[-np.inf, np.inf]] * 2),
    ],
)
@pytest.mark.parametrize("call", [minimize, functools.partial(scipy.optimize.minimize, method=twophase)])
def test_bounds_without_limits_are_no_bounds(call, bounds):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert call(sphere, START, jac=sphere_der, bounds=bounds).success


@pytest.mark.parametrize(
    "bounds",
    [[(None, 2), (None, None)], [(-3, None)] * 2, Bounds(-3, np.inf), Bounds([-np.inf, -4], np.inf)],
)
def test_one_limit_is_a_bound(bounds):
    assert np.array_equal(minimize(sphere, START, jac=sphere_der, bounds=bounds).active, [0, 0])


def test_unknown_options_warn_and_go_on():
    options = {"maxiter": 1000, "nonsense": 1, "rubbish": 2}
    with pytest.warns(OptimizeWarning, match="Unknown solver options: nonsense, rubbish"):
        result = minimize(sphere, START, jac=sphere_der, options=options)
    assert result.success
    assert options == {"maxiter": 1000, "nonsense": 1, "rubbish": 2}


@pytest.mark.parametrize(
    "keywords",
    [
        {"method": "CG", "options": {"gtoll": 1e-3, "rubbish": 2}},
        {"options": {"convex_options": {"gtoll": 1e-3, "rubbish": 2}}},
    ],
)
def test_unknown_options_of_scipys_methods_warn_with_the_nearest_at_the_users_line(keywords):
    with pytest.warns(OptimizeWarning) as caught:
        result = minimize(sphere, START, jac=sphere_der, **keywords)
    assert result.success
    assert {str(w.message) for w in caught} == {
        "Unknown solver options: gtoll (did you mean 'gtol'?), rubbish"
    }
    assert {w.filename for w in caught} == {__file__}


@pytest.mark.parametrize(
    ("call", "keywords"),
    [
        (minimize, {"method": "BFGS", "bounds": [(0, 1)] * 2}),
        *(
            (functools.partial(scipy.optimize.minimize, method=twophase), keywords)
            for keywords in (
                {"bounds": [(0, 1)] * 2},
                {"hess": lambda x: 2 * np.eye(2)},
                {"options": {"nonsense": 1}},
                {"constraints": {"type": "eq", "fun": lambda x: x[0]}},
            )
        ),
    ],
)
def test_a_warning_points_at_the_users_line(call, keywords):
    with pytest.warns((RuntimeWarning, OptimizeWarning)) as caught:
        call(sphere, START, jac=sphere_der, **keywords)
    assert [w.filename for w in caught] == [__file__]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"c1": 0.5, "c2": 0.1}, "'0 < c1 < c2 < 1'"),
        ({"gtol": -1.0}, "'gtol'"),
        ({"gtol": np.nan}, "'gtol'"),
        ({"gtol": "tight"}, "'gtol'"),
        ({"learning_rate": 0.0}, "'learning_rate'"),
        ({"learning_rate": "auto"}, "'learning_rate'"),
        ({"beta1": 1.0}, "'beta1'"),
        ({"swap_factor": 0.0}, "'swap_factor'"),
        ({"swap_patience": 0}, "'swap_patience'"),
        ({"max_swaps": -1}, "'max_swaps'"),
        ({"precondition": "magic"}, "'precondition'"),
        ({"convex_method": "Powell"}, "'convex_method'"),
        ({"convex_method": 3}, "'convex_method'"),
        ({"on_error": "ignore"}, "'on_error'"),
        ({"maxtime": -1.0}, "'maxtime'"),
        ({"maxiter": np.nan}, "'maxiter'"),
        ({"norm": "fro"}, "'norm'"),
        ({"swap": "no-such-rule"}, "swap rule"),
        ({"workers": 0}, "workers is 0"),
    ],
)
def test_options_out_of_range_are_refused_before_fun_is_called(options, text):
    calls = []

    def fun(x):
        calls.append(1)
        return sphere(x)

    with pytest.raises(ValueError, match=text):
        minimize(fun, START, jac=sphere_der, options=options)
    assert not calls


def test_an_option_named_like_a_keyword_is_a_type_error():
    with pytest.raises(TypeError):
        scipy.optimize.minimize(sphere, START, method=twophase, options={"jac": sphere_der})


def test_the_callback_must_be_callable():
    with pytest.raises(TypeError, match="callback must be callable"):
        minimize(sphere, START, jac=sphere_der, callback=3)


# ---- maxiter = 0, tol ------------------------------------------------------------------------------------


@pytest.mark.parametrize("maxiter", [0, -3])
def test_no_iterations_return_x0(maxiter):
    result = minimize(rosen, START, jac=rosen_der, options={"maxiter": maxiter})
    assert not result.success
    assert result.status == Status.MAXITER == 1
    np.testing.assert_array_equal(result.x, START)
    assert result.fun == rosen(START)
    np.testing.assert_array_equal(result.jac, rosen_der(START))
    assert (result.nit, result.nfev, result.njev) == (0, 1, 1)


def test_a_maxiter_that_is_no_integer_works():
    result = minimize(rosen, START, jac=rosen_der, options={"maxiter": 4.5})
    assert result.status == Status.MAXITER
    assert result.nit == 5


def test_args_need_not_be_a_tuple():
    result = minimize(lambda x, a: (x[0] - a) ** 2, [0.0], args=4.0, jac=lambda x, a: 2 * (x - a))
    assert result.success
    assert result.x[0] == pytest.approx(4.0)


def test_defaults_are_valid():
    assert TwoPhaseOptions.from_mapping(None) == TwoPhaseOptions()


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("memory-cg", "options={'convex_method': 'memory-cg'}"),
        ("SSBroyden", "options={'convex_method': 'ssbroyden'}"),
        ("two-phase", "did you mean 'twophase'"),
        ("Two_Phase", "did you mean 'twophase'"),
        ("twophas", "did you mean 'twophase'"),
    ],
)
def test_a_method_of_ours_by_another_name_is_shown_the_way_before_fun_is_called(method, text):
    with pytest.raises(ValueError, match=f"^Unknown solver {method}.*" + re.escape(text)):
        minimize(lambda x: pytest.fail("called"), [0.0, 0.0], method=method)


def test_masked_entries_are_no_numbers():
    with pytest.raises(TypeError, match=r"pass x0\.compressed\(\)"):
        minimize(rosen, np.ma.array([0.0, 1.0], mask=[False, True]), jac=rosen_der)
    assert minimize(rosen, np.ma.array([0.0, 1.0]), jac=rosen_der).success


def test_none_and_options_that_are_no_mapping_are_named():
    with pytest.raises(TypeError, match="'x0' is None"):
        minimize(rosen, None)
    with pytest.raises(TypeError, match="options must be a dict, got list"):
        minimize(rosen, [0.0, 0.0], options=["maxiter"])


def test_labels_of_x0_do_not_reach_fun():
    pandas = pytest.importorskip("pandas")
    x0 = pandas.Series([1.0, 2.0], index=["a", "b"])
    with pytest.raises((KeyError, IndexError)) as caught:
        minimize(lambda x: x["a"] ** 2 + x["b"] ** 2, x0)
    assert any("without the labels of x0" in note for note in caught.value.__notes__)
    assert minimize(rosen, x0, jac=rosen_der).success
