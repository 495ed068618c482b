"""Bounds in whole runs: no call outside, first-order conditions, the same run where they limit nothing."""

import functools
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import scipy
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, OptimizeWarning, rosen, rosen_der

from twophase_min import FiniteSum, load_state, minimize, multistart, save_state, twophase
from twophase_min.objective.bounds import Box, box_of
from twophase_min.objective.check import agrees
from twophase_min.objective.differences import gradient_by_differences

seeds = st.integers(0, 2**32 - 1)
METHODS = ["memory-cg", "ssbroyden", "bfgs", "L-BFGS-B"]


def searched(examples):
    return settings(max_examples=examples, deadline=None, derandomize=True)


class Inside:
    """A function that raises outside of its box, with the calls counted."""

    def __init__(self, fun, lower, upper):
        self.fun, self.lower, self.upper, self.calls = fun, lower, upper, 0

    def __call__(self, x, *args):
        self.calls += 1
        if not (np.all(x >= self.lower) and np.all(x <= self.upper)):
            raise AssertionError(f"called outside by {np.maximum(self.lower - x, x - self.upper).max()}")
        return self.fun(x, *args)


def drawn_box(rng, n, fixed=0.1, infinite=0.25):
    lower = rng.normal(size=n)
    upper = np.where(rng.random(n) < fixed, lower, lower + rng.exponential(size=n))
    open_below = (rng.random(n) < infinite) & (lower < upper)
    open_above = (rng.random(n) < infinite) & (lower < upper)
    return np.where(open_below, -np.inf, lower), np.where(open_above, np.inf, upper)


def drawn_function(rng, n):
    """A smooth function that is not convex, bounded below, with its gradient."""
    root, shift, waves = rng.normal(size=(n, n)), rng.normal(size=n), rng.uniform(0.5, 3, n)

    def fun(x):
        return float(0.5 * np.sum((root @ (x - shift)) ** 2) + 0.1 * np.sum(x**2) + np.sum(np.cos(waves * x)))

    def jac(x):
        return root.T @ (root @ (x - shift)) + 0.2 * x - waves * np.sin(waves * x)

    return fun, jac


def first_order(x, g, lower, upper):
    """Largest entry of the projected gradient, P the projection onto the box."""
    return float(np.max(np.abs(x - np.clip(x - g, lower, upper))))


# ---- forms ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bounds",
    [
        [(0, 1), (None, 2.5)],
        [[0.0, 1.0], [-np.inf, 2.5]],
        np.array([[0.0, 1.0], [-np.inf, 2.5]]),
        ((np.float32(0), np.array([1])), (None, 2.5)),
        Bounds([0, -np.inf], [1, 2.5]),
        zip([0, None], [1, 2.5], strict=True),
    ],
)
def test_the_forms_of_scipy(bounds):
    box = box_of(bounds, 2)
    assert np.array_equal(box.lower, [0, -np.inf])
    assert np.array_equal(box.upper, [1, 2.5])
    assert box.lower.dtype == np.float64


def test_numbers_for_all_variables():
    box = box_of(Bounds(0, np.inf), 3)
    assert np.array_equal(box.lower, np.zeros(3))


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        ([(0, 1)], "not compatible with the length of `x0`"),
        ([(0, 1)] * 3, "not compatible with the length of `x0`"),
        (Bounds([0, 0, 0], 1), "not compatible with the length of `x0`"),
        ([(0, 1), (1, 0)], "less than the corresponding lower bound"),
        (Bounds([0, 2], [1, 1]), "less than the corresponding lower bound"),
        ([(0, 1), (np.nan, 1)], "NaN"),
        ([(0, 1), (np.inf, np.inf)], "no number lies between"),
        ("odd", "not of a known form"),
        ([(0, 1), (1, 2, 3)], "not of a known form"),
        (5, "not of a known form"),
    ],
)
@pytest.mark.parametrize("call", [minimize, functools.partial(scipy.optimize.minimize, method=twophase)])
def test_bounds_that_are_none(call, bounds, text):
    with pytest.raises(ValueError, match=text):
        call(rosen, [0.5, 0.5], jac=rosen_der, bounds=bounds)


def test_a_start_outside_is_moved_inside_and_said():
    fun = Inside(rosen, [0, 0], [1, 1])
    with pytest.warns(OptimizeWarning, match=r"not within the specified bounds: x0\[0\] = 3 is moved to 1"):
        result = minimize(fun, [3.0, 0.5], jac=rosen_der, bounds=[(0, 1)] * 2)
    assert result.success
    np.testing.assert_allclose(result.x, 1.0, atol=1e-4)


def test_a_warning_points_at_the_caller():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        minimize(rosen, [3.0, 0.5], jac=rosen_der, bounds=[(0, 1)] * 2)
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("method", ["CG", "BFGS", "Newton-CG", "trust-ncg"])
def test_a_method_that_knows_no_bounds_is_refused(method):
    with pytest.raises(ValueError, match=f"'{method}' does not keep to bounds: use .*'memory-cg'"):
        minimize(rosen, [0.5, 0.5], jac=rosen_der, bounds=[(0, 1)] * 2, options={"convex_method": method})
    assert minimize(
        rosen, [0.5, 0.5], jac=rosen_der, bounds=[(None, None)] * 2, options={"convex_method": method}
    ).success


# ---- what is shown ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@searched(12)
@given(seeds)
def test_no_call_outside_and_the_first_order_conditions(method, seed):
    """Any box, any start, any smooth function: all calls are inside, and the end meets the conditions."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 10))
    fun, jac = drawn_function(rng, n)
    lower, upper = drawn_box(rng, n)
    inside, slope = Inside(fun, lower, upper), Inside(jac, lower, upper)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)
        result = minimize(
            inside,
            rng.normal(size=n) * 3,
            jac=slope,
            bounds=Bounds(lower, upper),
            options={"convex_method": method},
        )
    assert result.success, result.message
    assert result.nfev == inside.calls
    assert result.njev == slope.calls
    if result.status == 0:
        assert first_order(result.x, jac(result.x), lower, upper) <= 1e-5
    assert np.array_equal(result.jac, jac(result.x))
    if not np.isfinite([lower, upper]).any():  # no bounds at all: the result has none either
        assert "active" not in result
        return
    assert np.array_equal(result.active, np.where(result.x <= lower, -1, np.where(result.x >= upper, 1, 0)))
    assert np.all(result.multipliers[result.active == 0] == 0)
    apart = lower < upper
    assert np.all(result.multipliers[apart & (result.active == -1)] >= 0)
    assert np.all(result.multipliers[apart & (result.active == 1)] <= 0)
    np.testing.assert_allclose((result.jac - result.multipliers)[result.active == 0], 0.0, atol=2e-5)


@pytest.mark.parametrize("jac", [None, "autograd", "2-point", "3-point", "cs"])
@searched(8)
@given(seeds)
def test_derivatives_ask_for_nothing_outside(jac, seed):
    """Differences at edges and in corners, autograd's check, the noise, the diagnosis: all stay inside."""
    import autograd.numpy as anp

    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 6))
    lower, upper = drawn_box(rng, n)
    weights, shift = rng.uniform(0.5, 2, n), rng.normal(size=n)

    def fun(x):
        return (
            anp.sum(weights * (x - shift) ** 2) + anp.prod(anp.sin(x))
            if jac != "cs"
            else sum(weights * (x - shift) ** 2) + np.prod(np.sin(x))
        )

    inside = Inside(fun, lower, upper)

    def called(x):
        if isinstance(x, np.ndarray) and x.dtype != object and not np.iscomplexobj(x):
            return inside(x)
        return fun(x)

    start = np.clip(rng.normal(size=n) * 2, lower, upper)
    start = np.where(
        rng.random(n) < 0.5, np.clip(start, lower, np.where(upper < np.inf, upper, start)), start
    )
    corner = np.where(np.isfinite(lower), lower, np.where(np.isfinite(upper), upper, start))
    for x0 in (start, corner):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # autograd's derivative of prod at 0
            result = minimize(called, x0, jac=jac, bounds=Bounds(lower, upper))
        assert result.success or result.status == 2, result.message
        slope = np.array([_exact(fun, result.x, i) for i in range(n)])
        slope[lower == upper] = 0
        assert first_order(result.x, slope, lower, upper) <= 1e-3


def _exact(fun, x, i):
    """Partial derivative from both sides, wherever the box lies."""
    step = np.zeros(x.size)
    step[i] = 1e-6
    return (float(fun(x + step)) - float(fun(x - step))) / 2e-6


@pytest.mark.parametrize("method", ["memory-cg", "ssbroyden", "L-BFGS-B", None])
def test_noise_stays_inside_too(method):
    """Values with noise, and no gradient test that can pass: noise is measured and the end diagnosed."""
    rng = np.random.default_rng(3)
    lower, upper = np.array([0.0, -1.0, 0.5]), np.array([0.3, 0.2, 0.5])

    def noisy(x):
        return float(np.sum((x - 0.5) ** 2) * (1 + 1e-6 * rng.normal()))

    result = minimize(
        Inside(noisy, lower, upper),
        np.array([0.0, 0.1, 0.5]),
        jac="2-point",
        bounds=Bounds(lower, upper),
        options={"gtol": 1e-12, "maxfun": 3000} | ({} if method is None else {"convex_method": method}),
    )
    np.testing.assert_allclose(result.x, [0.3, 0.2, 0.5], atol=0.1)


@pytest.mark.parametrize("options", [{}, {"learning_rate": 0.02}, {"swap": 4}, {"precondition": "adam"}])
@searched(8)
@given(seeds)
def test_adam_and_the_guard_stay_inside(options, seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 8))
    lower, upper = drawn_box(rng, n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)
        result = minimize(
            Inside(rosen, lower, upper),
            rng.normal(size=n) * 2,
            jac=rosen_der,
            bounds=Bounds(lower, upper),
            options=options,
        )
    assert result.success, result.message
    assert np.all(result.x >= lower)
    assert np.all(result.x <= upper)


@searched(10)
@given(seeds)
def test_permuting_the_variables_permutes_the_run(seed):
    rng = np.random.default_rng(seed)
    n = 6
    scale, shift, order = rng.uniform(0.5, 3, n), rng.normal(size=n), rng.permutation(n)
    lower, upper = drawn_box(rng, n)
    x0 = np.clip(rng.normal(size=n) * 2, lower, upper)

    def problem(kept):
        a, c = scale[kept], shift[kept]

        def fun(x):
            return float(np.sort(a * (x - c) ** 4 + (x - c) ** 2).sum())

        def jac(x):
            return 4 * a * (x - c) ** 3 + 2 * (x - c)

        return minimize(fun, x0[kept], jac=jac, bounds=Bounds(lower[kept], upper[kept]))

    one, other = problem(np.arange(n)), problem(order)
    assert abs(one.nfev - other.nfev) <= 2  # sums in another order
    np.testing.assert_allclose(one.x[order], other.x, atol=1e-4)
    assert np.array_equal(one.active[order], other.active)


@pytest.mark.parametrize("method", ["memory-cg", "ssbroyden"])
@pytest.mark.parametrize("options", [{}, {"learning_rate": 0.01, "maxiter": 200}, {"swap": 3}])
@searched(5)
@given(seeds)
def test_a_box_far_away_changes_nothing(method, options, seed):
    """Bit for bit, call by call."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 7))
    fun, jac = drawn_function(rng, n)
    x0 = rng.normal(size=n)
    calls = [], []

    def run(kept, **bounds):
        def noted(x):
            kept.append(x.copy())
            return fun(x)

        return minimize(noted, x0, jac=jac, options={"convex_method": method, **options}, **bounds)

    free = run(calls[0])
    far = run(calls[1], bounds=Bounds(-1e9 - rng.random(n), 1e10))
    assert np.array_equal(calls[0], calls[1])
    assert free.fun == far.fun
    assert free.message == far.message
    assert not far.active.any()


def test_bounds_that_bound_nothing_change_nothing():
    """The default method too is the one without bounds."""
    free = minimize(rosen, [-1.2, 1.0], jac=rosen_der)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other = minimize(rosen, [-1.2, 1.0], jac=rosen_der, bounds=[(None, np.inf)] * 2)
    assert np.array_equal(free.x, other.x)
    assert free.nfev == other.nfev
    assert "active" not in other


@pytest.mark.parametrize("jac", [None, rosen_der, "2-point", "3-point"])
def test_variables_that_are_fixed(jac):
    fun = Inside(rosen, [0.5, -2, 0.25], [0.5, 2, 0.25])
    result = minimize(fun, [0.5, 0.0, 0.25], jac=jac, bounds=[(0.5, 0.5), (-2, 2), (0.25, 0.25)])
    known = scipy.optimize.minimize_scalar(lambda y: rosen(np.array([0.5, y, 0.25])), (-2, 2))
    assert result.success
    assert result.x[0] == 0.5
    assert result.x[2] == 0.25
    assert result.x[1] == pytest.approx(known.x, abs=1e-4)


@pytest.mark.parametrize("jac", [None, rosen_der, "2-point", "3-point", "cs"])
def test_no_variable_is_free(jac):
    result = minimize(rosen, [0.5, 0.25], jac=jac, bounds=[(0.5, 0.5), (0.25, 0.25)])
    assert result.success
    assert result.nit == 0
    assert np.array_equal(result.x, [0.5, 0.25])
    assert result.fun == rosen(np.array([0.5, 0.25]))
    assert result.nfev <= 2


def test_infeasible_is_never_success():
    """A method that leaves the box is kept in it."""

    def stray(fun, x0, jac=None, callback=None, **_):
        x = np.asarray(x0) - 5 * jac(x0)
        callback(x)
        return scipy.optimize.OptimizeResult(x=x, fun=fun(x), success=True, message="done")

    lower, upper = np.zeros(2), np.full(2, 0.4)
    result = minimize(
        Inside(rosen, lower, upper),
        [0.1, 0.1],
        jac=rosen_der,
        bounds=Bounds(lower, upper),
        options={"convex_method": stray},
    )
    assert np.all(result.x >= lower)
    assert np.all(result.x <= upper)


@pytest.mark.parametrize("method", ["TNC", "SLSQP", "trust-constr"])
def test_a_callable_is_handed_the_bounds(method):
    def theirs(fun, x0, jac=None, bounds=None, callback=None, **_):
        return scipy.optimize.minimize(fun, x0, jac=jac, method=method, bounds=bounds)

    lower, upper = np.array([-1.0, 0.0]), np.array([0.5, 2.0])
    result = minimize(
        Inside(rosen, lower, upper),
        [-0.5, 1.5],
        jac=rosen_der,
        bounds=Bounds(lower, upper),
        options={"convex_method": theirs},
    )
    assert result.success
    np.testing.assert_allclose(result.x, [0.5, 0.25], atol=1e-4)
    if method != "trust-constr":  # whose points are interior
        assert result.active.tolist() == [1, 0]


def test_a_nonfinite_value_inside_the_box():
    """log x at its edge: the minimum lies on the bound, where f is finite still."""
    result = minimize(
        lambda x: float(x[0] - 2 * np.log(x[0]) + (x[1] - 1) ** 2) if x[0] > 0 else np.inf,
        [0.5, 3.0],
        jac=lambda x: np.array([1 - 2 / x[0], 2 * (x[1] - 1)]),
        bounds=[(0, 1), (1.5, None)],
    )
    assert result.success
    np.testing.assert_allclose(result.x, [1.0, 1.5])
    np.testing.assert_allclose(result.multipliers, [-1.0, 1.0], atol=1e-6)


# ---- the parts --------------------------------------------------------------------------------------------


@searched(50)
@given(seeds, st.sampled_from(["2-point", "3-point"]))
def test_differences_within_a_box(seed, scheme):
    """One-sided at edges, inside always, and right."""
    rng = np.random.default_rng(seed)
    n = 4
    lower, upper = drawn_box(rng, n)
    width = np.where(rng.random(n) < 0.2, 1e-9, 1.0)  # narrower than the step
    both = np.isfinite(lower) & np.isfinite(upper)
    upper[both] = lower[both] + width[both] * (upper[both] - lower[both])
    x = np.clip(rng.normal(size=n) * 2, lower, upper)

    def fun(point):
        return float(np.sum(np.exp(0.3 * point) + point**2))

    inside = Inside(fun, lower, upper)
    g, why = gradient_by_differences(
        lambda points, count: [inside(point) for point in points], x, fun(x), scheme, box=Box(lower, upper)
    )
    exact = np.where(lower == upper, 0.0, 0.3 * np.exp(0.3 * x) + 2 * x)
    assert why == ""
    wide = (upper - lower > 1e-6) | (lower == upper)
    np.testing.assert_allclose(g[wide], exact[wide], rtol=1e-5, atol=1e-5)
    assert np.all(np.isfinite(g))


@searched(30)
@given(seeds)
def test_a_wrong_gradient_is_found_within_a_box(seed):
    """Also in a corner, and where it is wrong in one entry only."""
    rng = np.random.default_rng(seed)
    n = 5
    lower, upper = drawn_box(rng, n, fixed=0.0)
    x = np.where(np.isfinite(lower), lower, np.clip(0.0, lower, upper))
    c = rng.uniform(1, 2, n) * rng.choice([-1, 1], n)
    inside = Inside(lambda point: float(c @ point + 0.5 * point @ point), lower, upper)
    g = c + x
    assert agrees(inside, x, inside(x), g, 0, Box(lower, upper))[0]
    g[rng.integers(n)] *= -3.0
    assert not agrees(inside, x, inside(x), g, 0, Box(lower, upper))[0]


def test_limits_of_a_narrower_type_lie_inside():
    box = Box(np.array([0.1, 1 / 3, 0.1]), np.array([0.3, np.inf, 0.1]))
    narrow = box.as_type(np.dtype(np.float32))
    assert narrow.lower.dtype == np.float32
    assert np.all(narrow.lower[:2].astype(float) >= box.lower[:2])
    assert narrow.upper[0].astype(float) <= 0.3
    assert narrow.fixed.tolist() == [False, False, True]


def test_single_precision():
    lower, upper = np.array([0.1, -0.3]), np.array([0.7, 0.2])
    fun = Inside(lambda x: np.float32(rosen(x)), lower, upper)
    result = minimize(
        fun,
        np.array([0.2, 0.1], np.float32),
        jac=lambda x: rosen_der(x).astype(np.float32),
        bounds=Bounds(lower, upper),
        options={"gtol": 1e-3},
    )
    assert result.x.dtype == np.float32
    assert result.success
    known = scipy.optimize.minimize_scalar(
        lambda t: rosen(np.array([t, 0.2])), (0.1, 0.7), method="bounded", bounds=(0.1, 0.7)
    )
    np.testing.assert_allclose(result.x, [known.x, 0.2], atol=2e-3)


# ---- resuming, history, many starts -----------------------------------------------------------------------


@pytest.mark.parametrize("method", ["memory-cg", "ssbroyden"])
@pytest.mark.parametrize("limit", [3, 7, 12, 20])
def test_a_run_within_bounds_resumes_bit_for_bit(tmp_path, method, limit):
    bounds = Bounds(np.full(6, -0.6), np.full(6, 0.8))
    x0 = np.linspace(-0.6, 0.7, 6)
    given = {"convex_method": method}
    whole = minimize(rosen, x0, jac=rosen_der, bounds=bounds, options=given)
    part = minimize(rosen, x0, jac=rosen_der, bounds=bounds, options=given | {"maxfun": limit})
    save_state(tmp_path / "run.npz", part.state)
    again = minimize(
        rosen,
        x0,
        jac=rosen_der,
        bounds=bounds,
        options=given | {"resume": load_state(tmp_path / "run.npz")},
    )
    assert whole.success
    assert np.array_equal(whole.x, again.x)
    assert whole.nfev == again.nfev


def test_resuming_under_other_bounds():
    x0 = np.zeros(4)
    part = minimize(rosen, x0, jac=rosen_der, bounds=[(-1, 0.8)] * 4, options={"maxfun": 4})
    wider = minimize(rosen, x0, jac=rosen_der, bounds=[(-1, 0.9)] * 4, options={"resume": part.state})
    assert wider.success
    assert wider.x[0] == pytest.approx(0.9, abs=0.1)
    assert "under other bounds" in wider.message
    free = minimize(rosen, x0, jac=rosen_der, options={"resume": part.state, "convex_method": "memory-cg"})
    np.testing.assert_allclose(free.x, 1.0, atol=1e-3)
    with pytest.raises(ValueError, match="outside of the bounds"):
        minimize(rosen, x0 + 5, jac=rosen_der, bounds=[(5, 6)] * 4, options={"resume": part.state})


def test_history_and_callback_read_the_projected_gradient():
    norms = []
    result = minimize(
        rosen,
        np.zeros(4),
        jac=rosen_der,
        bounds=[(-1, 0.5)] * 4,
        callback=lambda intermediate_result: norms.append(intermediate_result.grad_norm),
    )
    assert result.success
    assert norms[-1] <= 1e-5
    assert result.history.grad_norm[-1] <= 1e-5
    assert np.max(np.abs(result.jac)) > 0.1
    assert "active" in repr(result)


def test_a_finite_sum_stays_inside():
    """Mini-batches too; the oracle is SciPy's linear least squares within bounds."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(64, 3)), rng.normal(size=64)
    lower, upper = np.zeros(3), np.full(3, 0.05)

    def fun(x, a, b):
        assert np.all(x >= lower)
        assert np.all(x <= upper)
        r = a @ x - b
        return float(r @ r) / len(b), 2 * a.T @ r / len(b)

    total = FiniteSum(fun, (a, b), jac=True, batch_size=8)
    result = minimize(total, np.full(3, 0.02), bounds=Bounds(lower, upper), options={"maxiter": 60})
    known = scipy.optimize.lsq_linear(a, b, (lower, upper))
    assert result.success
    np.testing.assert_allclose(result.x, known.x, atol=5e-3)


def test_many_starts_keep_to_the_bounds():
    lower, upper = np.array([-1.0, 0.2, -0.5]), np.array([0.5, 0.9, 0.1])
    fun = Inside(rosen, lower, upper)
    found = multistart(fun, 6, jac=rosen_der, bounds=Bounds(lower, upper))
    assert np.all(found.success)
    with pytest.warns(OptimizeWarning, match=r"x0\[1, 0\] = 4 is moved to 0.5, and 2 more"):
        moved = multistart(
            fun,
            [[0.0, 0.5, 0.0], [4.0, 9.0, 9.0]],
            jac=rosen_der,
            bounds=list(zip(lower, upper, strict=True)),
        )
    assert np.all(moved.success)
    with pytest.raises(ValueError, match="does not keep to bounds"):
        multistart(fun, 2, jac=rosen_der, bounds=Bounds(lower, upper), options={"convex_method": "CG"})


@pytest.mark.parametrize("method", ["memory-cg", "ssbroyden", "ssbfgs", "bfgs"])
@pytest.mark.parametrize("options", [{}, {"swap": 4}, {"precondition": None}, {"norm": 2}])
def test_the_compiled_loop_makes_the_same_run(method, options):
    """Both loops: the same points, bit for bit, and the same story."""
    numba = pytest.importorskip("numba")
    lower, upper = np.linspace(-1.0, 0.0, 7), np.linspace(0.4, 1.5, 7)

    @numba.njit
    def fun(x):
        return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)

    @numba.njit
    def jac(x):
        g, t = np.zeros_like(x), x[1:] - x[:-1] ** 2
        g[:-1] = -400.0 * x[:-1] * t - 2.0 * (1.0 - x[:-1])
        g[1:] += 200.0 * t
        return g

    for x0 in (np.zeros(7), lower, np.linspace(-0.2, 0.2, 7)):
        x0 = np.clip(x0, lower, upper)
        python, compiled = (
            minimize(
                fun,
                x0,
                jac=jac,
                bounds=Bounds(lower, upper),
                options={"engine": engine, "convex_method": method, **options},
            )
            for engine in ("python", "numba")
        )
        assert compiled.success
        assert np.array_equal(python.x, compiled.x)
        assert python.nfev == compiled.nfev
        assert python.message == compiled.message
        assert np.array_equal(python.active, compiled.active)
        assert np.array_equal(python.multipliers, compiled.multipliers)
    many = multistart(
        fun, 5, jac=jac, bounds=Bounds(lower, upper), options={"convex_method": method, **options}
    )
    assert many.how.startswith("compiled")
    assert np.all(many.success)
    assert np.all(many.x >= lower)
    assert np.all(many.x <= upper)


@pytest.mark.slow
def test_bounds_with_kernels_as_plain_python():
    """The phases' own tests, without compilation."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "-x", "tests/phases/test_box.py"],
        env=os.environ | {"TWOPHASE_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]


# ---- SciPy's global solvers -------------------------------------------------------------------------------


def test_the_polish_of_differential_evolution_reaches_a_minimum_on_a_bound():
    """True minimum 1 at (0, 0.3); a polish that left the box was thrown away."""
    calls = Inside(lambda x: float((x[0] + 1) ** 2 + (x[1] - 0.3) ** 2), np.zeros(2), np.full(2, 2.0))
    seeded = {"seed" if scipy.__version__ < "1.15" else "rng": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = scipy.optimize.differential_evolution(
            calls, [(0, 2)] * 2, **seeded, polish=twophase, maxiter=60, tol=1e-3
        )
    assert result.success
    assert result.fun == pytest.approx(1.0, abs=1e-10)
    np.testing.assert_allclose(result.x, [0.0, 0.3], atol=1e-5)
