"""Properties of whole runs, each stated in its docstring and searched for counterexamples by hypothesis."""

import collection as problems
import numpy as np
import pytest
from counted import Counted
from hypothesis import given, settings
from hypothesis import strategies as st

from twophase_min import FiniteSum, Status, minimize
from twophase_min.testing import assert_converges, convex_quadratics, nonconvex_problems

seeds = st.integers(0, 2**32 - 1)
CONVEX = [
    "CG",
    "BFGS",
    "L-BFGS-B",
    "Newton-CG",
    "trust-ncg",
    "trust-krylov",
    "memory-cg",
    "ssbroyden",
    "bfgs",
]


def searched(examples):
    return settings(max_examples=examples, deadline=None, derandomize=True)


def separable(seed, n, center=0.0):
    """A smooth non-convex function without interaction, its gradient, and a start; all coordinates alike."""
    rng = np.random.default_rng(seed)
    scale, shift = rng.uniform(0.5, 3.0, n), rng.normal(size=n)
    x0 = rng.normal(size=n) + center

    def make(order, moved=0.0):
        a, c = scale[order], shift[order] + moved

        def fun(x):
            return float(np.sum(a * np.log1p((x - c) ** 2) + 0.1 * (x - c) ** 2))

        def grad(x):
            return a * 2 * (x - c) / (1 + (x - c) ** 2) + 0.2 * (x - c)

        return fun, grad, x0[order] + moved

    return make


def iterates(fun, x0, jac, **options):
    path = []
    result = minimize(fun, x0, jac=jac, callback=path.append, options=options)
    return result, np.array(path)


# ---- Adam ------------------------------------------------------------------------------------------------


@searched(60)
@given(seed=seeds, n=st.integers(1, 6), rate=st.floats(1e-6, 10.0), exponent=st.integers(-5, 8))
def test_adams_first_step_is_the_learning_rate_in_every_coordinate(seed, n, rate, exponent):
    """Property: with a given learning rate, x1 = x0 - lr g / (abs(g) + 1e-8): lr sign(g) for any large g.

    The bias corrections cancel in the first step; Kingma & Ba, algorithm 1 with t = 1.
    """
    rng = np.random.default_rng(seed)
    x0, g0 = rng.normal(size=n), 10.0**exponent * rng.normal(size=n)
    _, path = iterates(lambda x: float(g0 @ x), x0, lambda x: g0, learning_rate=rate, maxiter=1, gtol=0.0)
    step = path[0] - x0
    rounding = 4 * np.finfo(float).eps * np.abs(x0)
    assert np.all(np.abs(step + rate * g0 / (np.abs(g0) + 1e-8)) <= 1e-12 * rate + rounding)
    large = np.abs(g0) > 1e-2
    np.testing.assert_allclose(np.abs(step[large]), rate, rtol=1e-5, atol=1e-15)


@searched(25)
@given(seed=seeds, n=st.integers(2, 8))
def test_adam_is_permutation_equivariant_bit_for_bit(seed, n):
    """Property: with a given learning rate, permuting the variables permutes Adam's iterates exactly.

    Adam works coordinate by coordinate; only the value of f is summed in another order, and it plays no part.
    """
    make = separable(seed, n)
    order = np.random.default_rng(seed).permutation(n)
    options = {"learning_rate": 0.05, "swap": "never", "maxiter": 30}
    fun, grad, x0 = make(np.arange(n))
    _, path = iterates(fun, x0, grad, **options)
    fun, grad, x0 = make(order)
    _, permuted = iterates(fun, x0, grad, **options)
    np.testing.assert_array_equal(permuted, path[:, order])


@searched(25)
@given(seed=seeds, n=st.integers(1, 6), moved=st.sampled_from([1.0, -3.0, 64.0, 1e3]))
def test_adam_is_translation_equivariant_with_a_given_learning_rate(seed, n, moved):
    """Property: with a given learning rate, f(x - c) from x0 + c gives iterates moved by c, to rounding.

    Without one it does not hold, and should not: the probe's first guess is a share of the size of x0, which
    has another meaning about another origin.
    """
    make = separable(seed, n)
    options = {"learning_rate": 0.05, "swap": "never", "maxiter": 20}
    fun, grad, x0 = make(np.arange(n))
    _, path = iterates(fun, x0, grad, **options)
    fun, grad, x0 = make(np.arange(n), moved)
    _, shifted = iterates(fun, x0, grad, **options)
    np.testing.assert_allclose(shifted - moved, path, atol=1e-9 * max(1.0, abs(moved)))


@searched(15)
@given(seed=seeds, n=st.integers(2, 8), convex_method=st.sampled_from(["CG", "memory-cg", "ssbroyden"]))
def test_the_whole_method_is_permutation_equivariant_to_rounding(seed, n, convex_method):
    """Property: permuting the variables permutes the first iterates of a default run, up to rounding.

    Inner products are summed in another order, so that bits differ and grow along a run.
    """
    make = separable(seed, n)
    order = np.random.default_rng(seed).permutation(n)
    options = {"convex_method": convex_method, "maxiter": 6}
    fun, grad, x0 = make(np.arange(n))
    first, path = iterates(fun, x0, grad, **options)
    fun, grad, x0 = make(order)
    second, permuted = iterates(fun, x0, grad, **options)
    assert first.nfev == second.nfev
    np.testing.assert_allclose(permuted, path[:, order], rtol=1e-6, atol=1e-7)


@searched(15)
@given(
    seed=seeds,
    n=st.integers(1, 6),
    moved=st.sampled_from([1.0, -3.0, 64.0]),
    convex_method=st.sampled_from(["CG", "L-BFGS-B", "BFGS"]),
)
def test_the_convex_phases_are_translation_equivariant(seed, n, moved, convex_method):
    """Property: with a given learning rate and precondition=None, SciPy's methods move with the origin too.

    Their first step comes from Adam's last step and the curvature along it, not from the size of x. It does
    not hold for 'memory-cg' nor with preconditioning, which take the scales of the variables from their
    sizes: those have another meaning about another origin.
    """
    make = separable(seed, n)
    options = {
        "learning_rate": 0.05,
        "swap": 2,
        "convex_method": convex_method,
        "guard": False,
        "precondition": None,
        "maxiter": 6,
        "gtol": 0.0,
    }
    fun, grad, x0 = make(np.arange(n))
    _, path = iterates(fun, x0, grad, **options)
    fun, grad, x0 = make(np.arange(n), moved)
    _, shifted = iterates(fun, x0, grad, **options)
    steps = min(len(path), len(shifted))
    assert steps >= 5
    np.testing.assert_allclose(shifted[:steps] - moved, path[:steps], atol=1e-5 * max(1.0, abs(moved)))


# ---- counters --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("convex_method", CONVEX)
@pytest.mark.parametrize(
    "jac", ["callable", "fused", "autograd", "2-point", "3-point", "cs", "none", "opaque"]
)
def test_reported_calls_are_the_calls_made(convex_method, jac):
    """Property: nfev is the number of calls of fun, whoever made them; njev that of gradients.

    A gradient that comes with the value (fused, autograd) is a call of fun and a gradient; one by differences
    is a gradient and its calls of fun.
    """
    rng = np.random.default_rng(3)
    for seed in range(4):
        problem = problems.smooth_nonconvex(3, "sine", 10.0, seed)
        jac_calls = Counted(problem.grad)
        traced = problem.traceable()
        fun, gradient = {
            "callable": (problem.fun, jac_calls),
            "fused": (problem.value_and_gradient, True),
            "autograd": (traced, "autograd"),
            "none": (traced, None),
            "opaque": (lambda x, problem=problem: float(np.float64(problem.fun(np.asarray(x, float)))), None),
        }.get(jac, (problem.fun, jac))
        fun = Counted(fun)
        x0 = problem.x0 + rng.normal(size=3)
        for options in ({}, {"maxiter": 3}, {"maxfun": 17}, {"f_target": problem.f_min + 0.1}):
            fun.calls = jac_calls.calls = 0
            result = minimize(fun, x0, jac=gradient, options={"convex_method": convex_method, **options})
            assert result.nfev == fun.calls
            if jac == "callable":
                assert result.njev == jac_calls.calls
            elif jac == "fused":
                assert result.njev == fun.calls
            elif jac in ("2-point", "cs"):
                assert 3 * result.njev <= fun.calls
            elif jac == "3-point":
                assert 6 * result.njev <= fun.calls
            assert result.history.nfev[-1] <= result.nfev
            assert result.history.njev[-1] <= result.njev
            assert np.all(np.diff(result.history.cost) >= 0)


@searched(15)
@given(seed=seeds, batch=st.integers(1, 40), maxiter=st.integers(1, 6))
def test_a_finite_sum_reports_its_share_exactly(seed, batch, maxiter):
    """Property: nfev N is the number of samples evaluated, an integer, however the epochs were cut."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(37, 2))
    samples = []

    def fun(w, X):
        samples.append(len(X))
        return float(np.mean((X - w) ** 2)), 2 * np.mean(w - X, axis=0) / 2

    loss = FiniteSum(fun, X, jac=True, batch_size=batch, seed=seed)
    result = minimize(loss, np.zeros(2), options={"maxiter": maxiter, "learning_rate": 0.1})
    assert result.nfev * 37 == pytest.approx(sum(samples), abs=1e-9)
    assert result.njev == result.nfev


# ---- stopping --------------------------------------------------------------------------------------------


def stopping(k, form):
    """A callback that stops in iteration k, in both of SciPy's forms."""
    count = []

    def stop(x):
        count.append(x)
        if len(count) == k:
            if form == "true":
                return True
            raise StopIteration
        return None

    def by_result(intermediate_result):
        return stop(intermediate_result.x)

    return stop, by_result


@pytest.mark.parametrize("convex_method", CONVEX)
@pytest.mark.parametrize("form", ["iteration", "true", "result"])
def test_a_stop_by_callback_at_k_is_maxiter_k(convex_method, form):
    """Property: stopped by the callback in iteration k, a run ends bit for bit as with maxiter=k.

    No schedule depends on maxiter.
    """
    problem = problems.get("beale")
    for k in (1, 2, 3, 5, 8, 13):
        stop, by_result = stopping(k, form)

        by_limit = minimize(
            problem.fun,
            problem.x0,
            jac=problem.grad,
            options={"maxiter": k, "convex_method": convex_method},
        )
        stopped = minimize(
            problem.fun,
            problem.x0,
            jac=problem.grad,
            callback=by_result if form == "result" else stop,
            options={"convex_method": convex_method},
        )
        np.testing.assert_array_equal(stopped.x, by_limit.x)
        np.testing.assert_array_equal(stopped.jac, by_limit.jac)
        assert (stopped.fun, stopped.nit, stopped.nfev) == (by_limit.fun, by_limit.nit, by_limit.nfev)
        assert stopped.status == (Status.CALLBACK if stopped.nit == k else by_limit.status)
        if stopped.nit == k:
            assert not stopped.success
            assert "StopIteration" in stopped.message


# ---- the point that comes back ---------------------------------------------------------------------------


@searched(40)
@given(
    problem=st.one_of(nonconvex_problems(unimodal=False), nonconvex_problems(), convex_quadratics()),
    convex_method=st.sampled_from(CONVEX),
    maxfun=st.sampled_from([1, 2, 5, 11, 30, 1000]),
    jac=st.sampled_from(["callable", "fused", None]),
)
def test_fun_is_the_value_at_x_and_no_worse_than_at_x0(problem, convex_method, maxfun, jac):
    """Property: however a run ends, fun == f(x), f(x) <= f(x0), and jac is the gradient at x or NaN."""
    fun, gradient = {
        "callable": (problem.fun, problem.grad),
        "fused": (problem.value_and_gradient, True),
        None: (problem.traceable(), None),
    }[jac]
    result = minimize(
        fun, problem.x0, jac=gradient, options={"maxfun": maxfun, "convex_method": convex_method}
    )
    assert result.fun == float(problem.fun(result.x))
    assert result.fun <= float(problem.fun(problem.x0))
    if jac is not None and not np.any(np.isnan(result.jac)):
        np.testing.assert_array_equal(result.jac, problem.grad(result.x))
    assert result.nfev <= maxfun
    assert result.success == (result.status in (0, 6, 10))


@searched(10)
@given(seed=seeds, n=st.integers(1, 5), convex_method=st.sampled_from([None, "memory-cg", "ssbroyden"]))
def test_adam_and_memory_cg_have_no_units_of_f(seed, n, convex_method):
    """Property: c f with gtol_rel has the very iterates of f, probe included, for c a power of two.

    SciPy's CG guesses a first step from the size of the gradient, so with it units change iterates.
    """
    fun, grad, x0 = separable(seed, n)(np.arange(n))
    options = {"gtol": 0.0, "gtol_rel": 1e-5, "maxiter": 60}
    options |= {"swap": "never"} if convex_method is None else {"convex_method": convex_method}
    _, path = iterates(fun, x0, grad, **options)
    for power in (2.0**-20, 2.0**20):
        _, scaled = iterates(lambda x, c=power: c * fun(x), x0, lambda x, c=power: c * grad(x), **options)
        np.testing.assert_array_equal(scaled, path)


@searched(10)
@given(seed=seeds, n=st.integers(1, 5), unit=st.sampled_from([1e-12, 1e-6, 1e6, 1e12]))
def test_default_runs_converge_in_any_unit_of_f(seed, n, unit):
    """Property: with gtol_rel, a default run on c f succeeds for any c > 0."""
    fun, grad, x0 = separable(seed, n)(np.arange(n))
    options = {"gtol": 0.0, "gtol_rel": 1e-5}
    result, _ = iterates(lambda x: unit * fun(x), x0, lambda x: unit * grad(x), **options)
    assert result.success
    assert np.max(np.abs(grad(result.x))) <= 1.01e-5 * np.max(np.abs(grad(x0)))


# ---- convergence -----------------------------------------------------------------------------------------


@searched(40)
@given(problem=convex_quadratics(max_n=8, max_condition=1e6))
def test_convex_quadratics_converge_to_the_analytic_minimum(problem):
    """Property: strictly convex quadratics of condition up to 1e6 end at their minimiser, by default."""
    assert_converges(
        "twophase", problem, ftol=1e-9, gtol=1e-5, xtol=1e-3, tol=1e-8, options={"maxiter": 20000}
    )


@pytest.mark.parametrize("convex_method", [*CONVEX[1:]])
@searched(8)
@given(problem=convex_quadratics(max_n=6, max_condition=1e6))
def test_convex_quadratics_converge_by_every_convex_method(convex_method, problem):
    """Property: the same by every convex method."""
    options = {"maxiter": 20000, "convex_method": convex_method}
    assert_converges("twophase", problem, ftol=1e-9, gtol=1e-5, xtol=1e-3, tol=1e-8, options=options)


@searched(25)
@given(problem=nonconvex_problems(), jac=st.sampled_from(["analytic", True, "autograd", "3-point"]))
def test_smooth_nonconvex_functions_of_one_minimum_converge(problem, jac):
    """Property: where the minimum is the only stationary point it is found, whatever gives the gradient."""
    assert_converges("twophase", problem, jac=jac, ftol=1e-6, xtol=1e-2, options={"maxiter": 20000})


def test_a_quadratic_in_a_float32_is_solved_to_its_precision():
    """Property: float32 in, float32 out, the minimum to float32's precision and success said of it."""
    for seed in range(5):
        problem = problems.convex_quadratic(5, 10.0, seed)
        result = minimize(
            lambda x, p=problem: np.float32(p.fun(x)),
            problem.x0.astype(np.float32),
            jac=lambda x, p=problem: p.grad(x).astype(np.float32),
        )
        assert result.success, result.message
        np.testing.assert_allclose(result.x, problem.x_min, atol=1e-4)


def test_autograd_and_hand_derived_gradients_walk_the_same_path():
    """Property: the source of the gradient does not change the iterates beyond rounding."""
    problem = problems.get("beale")
    by_hand, first = iterates(problem.fun, problem.x0, problem.grad, maxiter=6)
    by_autograd, second = iterates(problem.traceable(), problem.x0, None, maxiter=6)
    assert by_autograd.gradient == "autograd"
    np.testing.assert_allclose(second, first, rtol=1e-6)
    assert by_hand.nit == by_autograd.nit
