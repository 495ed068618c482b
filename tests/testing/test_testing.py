"""The testing tools: what the strategies promise, and that the assertions fail when they should."""

from __future__ import annotations

import contextlib
import sys
import warnings
from functools import partial

import collection as problems
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

import twophase_min
from twophase_min import problems as shipped
from twophase_min import testing
from twophase_min.testing import (
    assert_converges,
    assert_gradient,
    convex_quadratics,
    nonconvex_problems,
    paper_example_1_problems,
    paper_example_2_problems,
)

honest = optimize.minimize
bfgs = partial(optimize.minimize, method="BFGS")
modest = settings(max_examples=40, deadline=None, derandomize=True)


def lying(change):
    """An honest run whose result is altered afterwards."""

    def minimizer(fun, x0, jac=None, options=None):
        result = honest(fun, x0, jac=jac, method="BFGS", options=options)
        change(result)
        return result

    return minimizer


# --- Strategies -------------------------------------------------------------------------------------


@modest
@given(problem=convex_quadratics(min_n=2, max_n=6, max_condition=1e3))
def test_drawn_quadratics_keep_their_promises(problem):
    """Property: the spectrum ends at 1 and at most max_condition, and x_min is the minimum."""
    assert 2 <= problem.n <= 6
    assert problem.convex
    assert problem.unimodal
    lam = problem.fun.keywords["lam"]
    assert lam[0] == 1.0
    assert 1.0 <= lam[-1] <= 1e3
    eigenvalues = np.linalg.eigvalsh(problem.hess(problem.x0))
    np.testing.assert_allclose(eigenvalues, lam, rtol=1e-10)
    assert problem.fun(problem.x_min) == problem.f_min
    assert np.max(np.abs(problem.grad(problem.x_min))) == 0.0
    assert_gradient(problem)


@modest
@given(problem=convex_quadratics(max_n=5, max_condition=1e3))
def test_scipy_bfgs_converges_on_drawn_quadratics(problem):
    """Property: BFGS reaches the minimum of a convex quadratic with a true flag and true counters."""
    assert_converges(bfgs, problem, ftol=1e-8, xtol=1e-3)


@modest
@given(problem=nonconvex_problems(max_n=4))
def test_drawn_nonconvex_problems_keep_their_promises(problem):
    """Property: right derivatives, x_min is a strict minimum and nothing is lower, non-convex elsewhere."""
    assert problem.unimodal
    assert not problem.convex
    assert_gradient(problem)
    assert problem.fun(problem.x_min) == problem.f_min == 0.0
    assert np.linalg.eigvalsh(problem.hess(problem.x_min))[0] > 0
    rng = np.random.default_rng(0)
    points = problem.x_min + 4.0 * rng.standard_normal((400, problem.n))
    assert all(problem.fun(x) > 0 for x in points)
    assert any(np.linalg.eigvalsh(problem.hess(x))[0] < 0 for x in points)


@modest
@given(problem=nonconvex_problems(max_n=3, max_condition=5.0))
def test_scipy_bfgs_converges_on_drawn_nonconvex_problems(problem):
    """Property: where the minimum is the only stationary point, a descent method finds it."""
    assert_converges(bfgs, problem, ftol=1e-6)


@modest
@given(problem=nonconvex_problems(unimodal=False))
def test_drawn_multimodal_problems_have_the_global_minimum_they_name(problem):
    """Property: no point lies below the minimum, and no claim of a single stationary point is made."""
    assert not problem.unimodal
    assert "sine" in problem.name
    points = problem.x_min + 3.0 * np.random.default_rng(1).standard_normal((200, problem.n))
    assert all(problem.fun(x) > problem.f_min for x in points)
    assert_converges(bfgs, problem, local=True)


@pytest.mark.parametrize("kind", ["sine", "warp", "log"])
def test_nonconvex_kinds_can_be_chosen(kind):
    @settings(max_examples=5, deadline=None, derandomize=True)
    @given(problem=nonconvex_problems(max_n=3, kinds=[kind]))
    def every_one(problem):
        assert f"kind='{kind}'" in problem.name

    every_one()


@modest
@given(problem=paper_example_1_problems())
def test_drawn_tasks_of_example_1_are_solvable(problem):
    """Property: the loss is 0 and convex at x_min, and non-convex at the start."""
    assert problem.fun(problem.x_min) < 1e-20
    assert problem.hess(problem.x_min)[0, 0] > 0 > problem.hess(problem.x0)[0, 0]
    assert_gradient(problem)


@modest
@given(problem=paper_example_2_problems())
def test_drawn_tasks_of_example_2_are_solvable(problem):
    """Property: x_min solves y = r and is one of the minima that the landscape shows."""
    assert problem.fun(problem.x_min) < 1e-28
    curve = partial(problems.paper_example_2_curve, **problem.fun.keywords)
    seen = problems.landscape(curve, -4.0, 4.0)
    assert np.min(np.abs(seen.minima - problem.x_min[0])) < 1e-6
    assert_gradient(problem)


@modest
@given(problem=paper_example_2_problems(max_C=0.45, left=-1.0, right=0.5))
def test_example_2_below_a_half_is_solved_by_bfgs(problem):
    """Property: with y monotone and the start within the slopes, the global minimum is reached."""
    assert problem.unimodal
    assert_converges(bfgs, problem, gtol=1e-4, ftol=1e-4)


@pytest.mark.parametrize(
    "call",
    [
        lambda: convex_quadratics(min_n=0),
        lambda: convex_quadratics(min_n=3, max_n=2),
        lambda: convex_quadratics(max_condition=0.5),
        lambda: nonconvex_problems(max_condition=np.inf),
        lambda: nonconvex_problems(kinds=["odd"]),
        lambda: nonconvex_problems(max_n=1, kinds=["warp"]),
        lambda: nonconvex_problems(kinds=["log"], unimodal=False),
        lambda: paper_example_2_problems(0.5, 0.7),
        lambda: paper_example_2_problems(left=1.0, right=0.0),
    ],
)
def test_empty_ranges_are_refused(call):
    with pytest.raises(ValueError):
        call()


@pytest.mark.parametrize(
    "strategy", [convex_quadratics, nonconvex_problems, paper_example_1_problems, paper_example_2_problems]
)
def test_without_hypothesis_the_error_names_the_extra(strategy, monkeypatch):
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(ImportError, match=r"pip install twophase_min\[testing\]"):
        strategy()


def test_assertions_need_no_hypothesis(monkeypatch):
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    assert_converges(bfgs, problems.rosenbrock())
    assert_gradient(problems.rosenbrock())


def test_strategies_shrink_to_the_simplest_problem():
    """Hypothesis finds the smallest quadratic of more than two variables, by its readable name."""
    from hypothesis import find

    found = find(convex_quadratics(), lambda problem: problem.n > 2)
    assert found.name == "convex_quadratic(n=3, condition=1.0, seed=0)"


# --- An honest minimiser passes ---------------------------------------------------------------------


@pytest.mark.parametrize("method", ["CG", "BFGS", "L-BFGS-B"])
@pytest.mark.parametrize(
    "name", ["rosenbrock", "beale", "powell_singular", "himmelblau", "logistic_regression"]
)
def test_honest_minimisers_pass(method, name):
    problem = problems.get(name)
    result = assert_converges(partial(honest, method=method), problem, tol=1e-8, success=None)
    assert problem.fun(result.x) - problem.f_min < 1e-5


@pytest.mark.parametrize("method", ["trust-exact", "trust-ncg"])
def test_hessian_is_handed_over(method):
    assert_converges(partial(honest, method=method), problems.rosenbrock(), hess=True, xtol=1e-3)


def test_the_stale_gradient_that_scipys_newton_cg_reports_is_found():
    """SciPy's Newton-CG returns the gradient of the last but one iterate as ``jac``."""
    newton = partial(honest, method="Newton-CG")
    with pytest.raises(AssertionError, match="gradient: jac reported") as caught:
        assert_converges(newton, problems.rosenbrock(), hess=True)
    assert str(caught.value).count("\n") == 1  # nothing else is wrong with it
    assert_converges(newton, problems.rosenbrock(), hess=True, reported_jac=False, xtol=1e-3)


def test_fused_value_and_gradient():
    result = assert_converges(bfgs, problems.beale(), jac=True)
    assert result.success


@pytest.mark.parametrize("jac", [None, "2-point", "3-point"])
def test_gradient_left_to_the_minimiser(jac):
    assert_converges(bfgs, problems.beale(), jac=jac, counts=True)


def test_options_and_tol_and_start_are_handed_over():
    seen = {}

    def spy(fun, x0, jac, tol, options):
        seen.update(x0=x0.copy(), tol=tol, options=options)
        return honest(fun, x0, jac=jac, method="BFGS", tol=tol, options=options)

    options = {"maxiter": 77}
    assert_converges(spy, problems.rosenbrock(), x0=[2.0, 3.0], tol=1e-7, options=options)
    np.testing.assert_array_equal(seen["x0"], [2.0, 3.0])
    assert seen["tol"] == 1e-7
    assert seen["options"] == options
    assert seen["options"] is not options


def test_method_names_go_to_the_packages_own_minimize(monkeypatch):
    seen = []

    def front_door(fun, x0, args=(), method="twophase", jac=None, **keywords):
        seen.append(method)
        return honest(fun, x0, method="BFGS", jac=jac, **keywords)

    monkeypatch.setattr(twophase_min, "minimize", front_door, raising=False)
    assert_converges("twophase", problems.rosenbrock())
    assert seen == ["twophase"]


def test_autograd_gets_the_traceable_function():
    autograd = pytest.importorskip("autograd")

    def tracing(fun, x0, jac):
        assert jac == "autograd"
        return honest(fun, x0, jac=autograd.grad(fun), method="BFGS")

    assert_converges(tracing, problems.ackley(2), jac="autograd", local=True, success=None)


def test_unknown_minimum_is_judged_by_the_gradient():
    solved = [problems.paper_example_1(seed, units=2) for seed in range(60)]
    problem = next(p for p in solved if p.x_min is None)
    with pytest.raises(ValueError, match="nothing to check"):
        assert_converges(bfgs, problem, gtol=None)
    assert_converges(bfgs, problem, success=None)


def test_a_local_minimum_needs_local():
    problem = problems.rastrigin(1)
    with pytest.raises(AssertionError, match=r"another stationary point\? \(local=True accepts those\)"):
        assert_converges(bfgs, problem, x0=[3.05])
    assert_converges(bfgs, problem, x0=[3.05], local=True)


def test_the_nearest_of_several_minima_counts():
    for x0 in ([3.0, 1.0], [-3.0, 3.0], [-4.0, -3.0], [3.5, -2.0]):
        assert_converges(bfgs, problems.himmelblau(), x0=x0, xtol=1e-4)


def test_expected_failure():
    stopped = partial(honest, method="BFGS", options={"maxiter": 2})
    problem = problems.rosenbrock()
    with pytest.raises(AssertionError, match="success flag: False"):
        assert_converges(stopped, problem)
    assert_converges(stopped, problem, success=None)
    assert_converges(stopped, problem, success=False, ftol=1.0, gtol=1.0)
    with pytest.raises(AssertionError, match="accuracy"):
        assert_converges(stopped, problem, success=False)


# --- A lying or faulty minimiser fails, and the message says why ------------------------------------


def test_false_success_is_caught():
    def early(fun, x0, jac):
        result = honest(fun, x0, jac=jac, method="BFGS", options={"maxiter": 2})
        result.success = True
        return result

    with pytest.raises(AssertionError) as caught:
        assert_converges(early, problems.rosenbrock())
    text = str(caught.value)
    assert "accuracy: f(x) - f_min" in text
    assert "accuracy: max |g(x)|" in text
    assert "claims success=True all the same" in text
    assert "success flag" not in text
    with pytest.raises(AssertionError, match="claims success"):
        assert_converges(early, problems.rosenbrock(), success=None)


def test_false_failure_is_caught():
    with pytest.raises(AssertionError, match="success flag: False") as caught:
        assert_converges(lying(lambda r: r.update(success=False)), problems.rosenbrock())
    assert "accuracy" not in str(caught.value)


@pytest.mark.parametrize("flag", ["yes", 1, None])
def test_a_flag_that_is_no_bool_is_caught(flag):
    with pytest.raises(AssertionError, match="is no bool"):
        assert_converges(lying(lambda r: r.update(success=flag)), problems.rosenbrock())


@pytest.mark.parametrize("counter", ["nfev", "njev"])
@pytest.mark.parametrize("off", [-1, 1])
def test_wrong_counters_are_caught(counter, off):
    def change(result):
        result[counter] += off

    with pytest.raises(AssertionError, match=rf"counters: {counter}=\d+ reported, \d+ calls"):
        assert_converges(lying(change), problems.rosenbrock())
    assert_converges(lying(change), problems.rosenbrock(), counts=False)


def test_missing_counters_are_caught():
    with pytest.raises(AssertionError, match="nfev=None"):
        assert_converges(lying(lambda r: r.pop("nfev")), problems.rosenbrock())


def test_too_many_gradients_of_a_fused_function_are_caught():
    with pytest.raises(AssertionError, match="fused"):
        assert_converges(lying(lambda r: r.update(njev=10_000)), problems.rosenbrock(), jac=True)


def test_wrong_point_is_caught():
    def change(result):
        result.x = result.x + 1e-2

    with pytest.raises(AssertionError) as caught:
        assert_converges(lying(change), problems.rosenbrock(), xtol=1e-4)
    text = str(caught.value)
    for fault in (
        "value: fun=",
        "gradient: jac reported",
        "from the nearest minimiser",
        "accuracy: max |g(x)|",
    ):
        assert fault in text


def test_wrong_value_is_caught():
    with pytest.raises(AssertionError, match="value: fun=-1"):
        assert_converges(lying(lambda r: r.update(fun=-1.0)), problems.rosenbrock())
    with pytest.raises(AssertionError, match="value: fun=nan"):
        assert_converges(lying(lambda r: r.update(fun=np.nan)), problems.rosenbrock())


def test_a_point_worse_than_the_start_is_caught():
    def upwards(fun, x0, jac):
        x = x0 + 5.0
        return optimize.OptimizeResult(x=x, fun=fun(x), jac=jac(x), success=True, nfev=1, njev=1)

    with pytest.raises(AssertionError, match=r"worse than f\(x0\)"):
        assert_converges(upwards, problems.rosenbrock())


def test_wrong_minimum_of_the_problem_is_caught():
    right = problems.rosenbrock()
    wrong = problems.Problem("wrong", right.fun, right.grad, right.x0, right.x_min, 1.0)
    with pytest.raises(AssertionError, match="below the known minimum"):
        assert_converges(bfgs, wrong)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.update(x=np.full(2, np.nan)), "x is not finite"),
        (lambda r: r.update(x=np.ones((1, 2))), "x has shape"),
        (lambda r: r.update(jac=np.ones(3)), "jac has shape"),
        (lambda r: r.update(fun=None), "fun is None, not a number"),
        (lambda r: r.update(fun=np.ones(2)), "not a number"),
        (lambda r: r.pop("success"), "the result has no success"),
    ],
)
def test_results_of_the_wrong_form_are_caught(change, message):
    with pytest.raises(AssertionError, match=message):
        assert_converges(lying(change), problems.rosenbrock())


def test_budget_is_enforced_even_on_a_minimiser_without_one():
    with pytest.raises(AssertionError, match="more than maxfun=10"):
        assert_converges(bfgs, problems.rosenbrock(), maxfun=10)

    def swallowing(fun, x0, jac):
        for _ in range(30):
            with contextlib.suppress(Exception):
                fun(x0)
        return optimize.OptimizeResult(x=x0, fun=24.2, success=False, nfev=30, njev=0)

    with pytest.raises(AssertionError, match="evaluations: 30, more than maxfun=10"):
        assert_converges(swallowing, problems.rosenbrock(), maxfun=10)


def test_a_writing_minimiser_does_not_change_the_problem():
    problem = problems.rosenbrock()
    before = problem.x0.copy()

    def vandal(fun, x0, jac):
        result = honest(fun, x0.copy(), jac=jac, method="BFGS")
        x0[:] = np.nan
        return result

    assert_converges(vandal, problem)
    np.testing.assert_array_equal(problem.x0, before)


def test_exceptions_of_the_minimiser_propagate():
    def raising(fun, x0, jac):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        assert_converges(raising, problems.rosenbrock())


def test_arguments_that_make_no_sense():
    with pytest.raises(TypeError, match="method name or a callable"):
        assert_converges(3, problems.rosenbrock())
    with pytest.raises(TypeError, match="no Hessian"):
        assert_converges(bfgs, problems.ackley(), hess=True)


# --- assert_gradient --------------------------------------------------------------------------------


@modest
@given(index=st.integers(0, 4), size=st.floats(1e-4, 10.0), sign=st.sampled_from([-1.0, 1.0]))
def test_a_wrong_entry_of_a_gradient_is_found(index, size, sign):
    """Property: a relative error above 1e-4 in any one entry is caught and its variable named."""
    problem = problems.smooth_nonconvex(5, "sine", 4.0, 2)

    def wrong(x):
        g = problem.grad(x)
        g[index] *= 1.0 + sign * size
        return g

    with pytest.raises(AssertionError, match=f"gradient is off by .* variable {index}"):
        assert_gradient(problem.fun, wrong, problem.x0)


def test_a_wrong_hessian_is_found():
    problem = problems.wood()
    with pytest.raises(AssertionError, match="Hessian is off"):
        assert_gradient(problem, hess=lambda x: problem.hess(x) + 1e-2 * np.eye(4) * np.abs(problem.hess(x)))
    assert assert_gradient(problem.fun, problem.grad, problem.x0, hess=problem.hess) < 1e-8


def test_shapes_and_nan_are_found():
    problem = problems.wood()
    with pytest.raises(AssertionError, match=r"gradient has shape \(3,\)"):
        assert_gradient(problem, jac=lambda x: problem.grad(x)[:3])
    with pytest.raises(AssertionError, match=r"not finite at entry \[1\]"):
        assert_gradient(problem, jac=lambda x: np.array([1.0, np.nan, 0.0, 0.0]))
    with pytest.raises(TypeError, match="needs jac and x"):
        assert_gradient(problem.fun, problem.grad)


def test_a_function_that_is_never_finite_fails():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        with pytest.raises(AssertionError, match="gradient is off"):
            assert_gradient(lambda x: np.nan, lambda x: np.zeros(1), [0.0])


def test_zero_gradient_of_a_sloping_function_is_found():
    with pytest.raises(AssertionError, match="relative 1"):
        assert_gradient(lambda x: float(np.sum(x)), np.zeros_like, np.ones(3))


def test_many_variables_are_sampled():
    problem = problems.sparse_chain(20_000)
    calls = []

    def counted(x):
        calls.append(1)
        return problem.fun(x)

    assert assert_gradient(counted, problem.grad, problem.x0) < 1e-6
    assert len(calls) < 1000
    with pytest.raises(AssertionError, match="random direction"):
        assert_gradient(problem.fun, lambda x: 1.001 * problem.grad(x), problem.x0)


def test_public_names_exist():
    assert all(hasattr(testing, name) for name in testing.__all__)
    assert all(hasattr(shipped, name) for name in shipped.__all__)
