"""Domains with edges, gradients that turn NaN where f is finite, and clocks: a test per public report."""

import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import autograd.numpy as anp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime, rosen, rosen_der

from twophase_min import check_gradient, minimize
from twophase_min._status import Status, Stop
from twophase_min.objective import differences as _differences
from twophase_min.objective.calls import Objective
from twophase_min.objective.clock import Clock
from twophase_min.objective.differences import gradient_by_differences

modest = settings(max_examples=40, deadline=None, derandomize=True)
METHODS = ["CG", "memory-cg", "ssbroyden"]


# ---- differences at an edge -------------------------------------------------------------------------------


def smooth(x):
    return float(np.sum(np.exp(0.3 * np.real(x))) + np.real(x[0]) * np.real(x[-1]))


def slope(x):
    g = 0.3 * np.exp(0.3 * x)
    g[0] += x[-1]
    g[-1] += x[0]
    return g


def at_once(fun):
    return lambda points, count: [fun(point) for point in points]


@modest
@given(
    sides=st.lists(st.sampled_from([-1, 0, 1]), min_size=2, max_size=5),
    scheme=st.sampled_from(["2-point", "3-point", "extrapolated"]),
    away=st.sampled_from([0.0, 1e-10, 1e-7]),
    beyond=st.sampled_from([np.nan, np.inf, -np.inf]),
)
def test_an_entry_takes_the_side_on_which_f_is_finite(sides, scheme, away, beyond):
    """Property: with an edge on one side of any variables, every entry has the accuracy of its order."""
    sides, x = np.array(sides), np.linspace(-1.0, 1.5, len(sides))

    def fun(z):
        return beyond if np.any(sides * (z - x) > away) else smooth(z)

    g, why = gradient_by_differences(at_once(fun), x, fun(x), scheme)
    assert why == ""
    np.testing.assert_allclose(g, slope(x), atol=2e-7 if scheme == "2-point" else 1e-8)


def test_a_complex_step_that_fails_becomes_a_difference():
    def fun(z):
        return smooth(z) if np.isrealobj(z) or not np.any(np.imag(z)) else complex(np.nan)

    x = np.array([0.5, -1.0])
    g, why = gradient_by_differences(at_once(fun), x, fun(x), "cs")
    assert why == ""
    np.testing.assert_allclose(g, slope(x), atol=1e-6)


def test_only_where_no_side_is_finite_an_entry_is_missing():
    calls = []

    def fun(z):
        calls.append(1)
        return smooth(z) if z[1] == 2.0 else np.inf

    x = np.array([1.0, 2.0])
    result = minimize(fun, x, jac="2-point")
    assert result.status == Status.NONFINITE
    assert "x[1] = 2" in result.message
    assert "either side" in result.message
    assert "objective is finite at x0" in result.message
    assert result.nfev == len(calls) <= 3 + 1 + 2 * len(_differences.SHORTER)
    np.testing.assert_array_equal(result.x, x)


@pytest.mark.parametrize("scheme", ["2-point", "3-point"])
def test_workers_ask_for_the_same_values(scheme):
    def fun(x):
        return smooth(x) + 5 * float(x @ x) if np.all(x < 1.0 + 1e-9) else np.inf

    x0 = np.array([1.0, 0.5, 1.0])
    with ThreadPoolExecutor(2) as pool:
        runs = [minimize(fun, x0, jac=scheme, options={"workers": w}) for w in (None, pool.map)]
    assert runs[0].success
    assert runs[0].nfev == runs[1].nfev
    np.testing.assert_array_equal(runs[0].x, runs[1].x)


def test_check_gradient_at_an_edge():
    x = np.array([1.0, 0.3])
    check = check_gradient(lambda z: smooth(z) if z[0] <= 1.0 else np.nan, slope, x)
    assert check.error < 1e-6
    assert np.all(np.isfinite(check.numerical))


def test_pymc_5923_start_at_the_edge():
    """A start 1e-7 from the edge: the run used to end there for want of a gradient."""
    f = lambda x: np.inf if x[0] >= 10 else float((x[0] - 9.9) ** 2 + x[1] ** 2)  # noqa: E731
    result = minimize(f, [10 - 1e-7, 1.0])
    assert result.success, result.message
    np.testing.assert_allclose(result.x, [9.9, 0.0], atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_pymc_289_map_beside_a_prior_with_an_edge(method):
    """Progress along an edge: 3,864 calls and no success before, 100 to 300 since."""
    rng = np.random.default_rng(7)
    h = rng.uniform(-20, 20, 1000)
    y = 30 + 0.3 * h + 5 * rng.normal(size=1000)

    def f(p):
        a, b, s = p
        if b <= 0 or not 0 < s < 10:
            return np.inf
        prior = 0.5 * ((a - 50) / 10) ** 2 + 0.5 * np.log(b) ** 2 + np.log(b)
        return float(prior + 1000 * np.log(s) + 0.5 * np.sum((y - a - b * h) ** 2) / s**2)

    result = minimize(f, [50, 1, 5.0], options={"convex_method": method})
    assert result.success, result.message
    assert result.x[0] == pytest.approx(30, abs=0.5)
    assert result.nfev < 500


# ---- along edges ------------------------------------------------------------------------------------------


def quadratic(seed, n):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(n, n))
    a, m = a @ a.T / n + 0.3 * np.eye(n), rng.uniform(-1, 1, n)
    return (lambda x: float(0.5 * (x - m) @ a @ (x - m))), m, rng


@modest
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 6),
    room=st.sampled_from([0.03, 0.3, 3.0]),
    box=st.booleans(),
    method=st.sampled_from(["memory-cg", "ssbroyden"]),
)
def test_a_convex_function_with_an_edge_is_minimised(seed, n, room, box, method):
    """Property: the minimum inside a box or a half-space is reached, in a few times the free calls."""
    q, m, rng = quadratic(seed, n)
    if box:
        low, high = m - room * rng.uniform(1, 3, n), m + room * rng.uniform(1, 3, n)
        x0 = low + (high - low) * rng.uniform(0.02, 0.98, n)
        inside = lambda x: np.all(x > low) and np.all(x < high)  # noqa: E731
    else:
        v = rng.normal(size=n)
        v /= np.linalg.norm(v)
        x0 = m + 2 * rng.normal(size=n)
        x0 -= v * (max(v @ (x0 - m) - room, 0.0) + 0.05)
        inside = lambda x: v @ (x - m) < room  # noqa: E731
    options = {"convex_method": method}
    free = minimize(q, x0, jac="2-point", options=options)
    result = minimize(lambda x: q(x) if inside(x) else np.inf, x0, jac="2-point", options=options)
    assert result.success, result.message
    assert result.fun <= 1e-7
    assert result.nfev <= 15 * free.nfev + 30 * (n + 1)


def test_runs_without_infinities_never_look_for_an_edge():
    from twophase_min.phases.memory_cg import MemoryCG

    q, m, _ = quadratic(3, 5)
    cg = MemoryCG()
    g = lambda x: approx_fprime(x, q)  # noqa: E731
    x = m + 1.0
    cg.start(x, q(x), g(x))
    for _ in range(60):
        if cg.need > 2:
            break
        cg.tell(q(cg.trial), g(cg.trial))
    assert cg.view.edge.limited == cg.view.edge.held == 0


# ---- gradients that turn NaN ------------------------------------------------------------------------------


def contact(d):
    return anp.sum(0.5 * (d + 1) ** 2 + anp.where(d > 0, d**2.5, 0.0))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("jac", [None, "autograd"])
@pytest.mark.parametrize("n", [1, 3])
def test_autograd_802_where_passes_nan_on(method, jac, n):
    with (
        np.errstate(all="ignore"),
        pytest.warns(RuntimeWarning, match="autograd's gradient is not finite") as seen,
    ):
        result = minimize(contact, np.full(n, 2.0), jac=jac, options={"convex_method": method})
    assert result.success, result.message
    np.testing.assert_allclose(result.x, -1.0, atol=1e-4)
    assert "differences" in result.gradient
    mine = [w for w in seen if "autograd's gradient" in str(w.message)]
    assert len(mine) == 1
    assert mine[0].filename == __file__


def test_autograd_that_fails_for_good_is_given_up():
    """At x0 it is fine; beyond, NaN in every entry: after ten points differences alone."""
    fun = lambda x: anp.sum(0.25 * (x + 3) ** 4 + anp.where(x > 0.9, x**0.5, 0.9**0.5))  # noqa: E731
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        result = minimize(fun, [2.0, 1.5], options={"gtol": 1e-4})
    assert result.success, result.message
    assert "in place of autograd" in result.gradient or "differences" in result.gradient


@pytest.mark.parametrize("method", ["CG", "BFGS", "L-BFGS-B", "memory-cg"])
@pytest.mark.parametrize("fused", [False, True])
def test_a_nan_gradient_of_the_callers_is_a_failed_trial(method, fused):
    """Beyond x[0] = 0.5 the gradient is NaN; the minimum lies before it, a long first step beyond."""
    fun = lambda x: float(np.sum(np.cosh(x + 0.1)))  # noqa: E731

    def jac(x):
        return np.full(2, np.nan) if x[0] > 0.5 else np.sinh(x + 0.1)

    both = lambda x: (fun(x), jac(x))  # noqa: E731
    options = {"convex_method": method, "learning_rate": 1.2, "swap": 2}
    result = minimize(both if fused else fun, [-1.0, 3.0], jac=True if fused else jac, options=options)
    assert result.success, result.message
    np.testing.assert_allclose(result.x, -0.1, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("engine", ["python", "numba"])
def test_a_run_that_nan_gradients_end_says_so(method, engine):
    """The minimum lies where the gradient is NaN: the lowest point is returned, and f was finite."""
    if engine == "numba":
        numba = pytest.importorskip("numba")
        if method == "CG":
            pytest.skip("not compiled")
        wrap = numba.njit
    else:
        wrap = lambda f: f  # noqa: E731
    values = []
    fun = wrap(lambda x: np.sum((x - 1.0) ** 2))
    jac = wrap(lambda x: 2 * (x - 1.0) + (np.nan if x[0] > 0.0 else 0.0))

    def counted(x):
        values.append(float(fun(x)))
        return values[-1]

    options = {"convex_method": method, "engine": engine}
    result = minimize(fun if engine == "numba" else counted, np.array([-3.0, 2.0]), jac=jac, options=options)
    assert not result.success
    assert "the objective was finite but its gradient was not" in result.message
    assert "not finite at x0" not in result.message
    assert "objective is finite at x0 only" not in result.message
    assert result.fun == pytest.approx(float(np.sum((result.x - 1.0) ** 2)))
    if values:
        assert result.fun == min(values)


def test_a_hessian_product_beside_an_edge():
    def jac(x):
        return np.full(2, np.nan) if x[0] > 1.0 else np.array([4 * x[0] ** 3, 2 * x[1]])

    made = Objective(lambda x: float(x[0] ** 4 + x[1] ** 2), jac, (), 2, np.dtype(float))
    x = np.array([1.0, 0.5])
    made.start(x)
    np.testing.assert_allclose(made.hessp(x, np.array([1.0, 1.0])), [12.0, 2.0], rtol=1e-5)


# ---- clocks -----------------------------------------------------------------------------------------------


def slow(x):
    time.sleep(0.01)
    return float(np.sum((x - 1) ** 2))


@pytest.mark.parametrize("workers", [None, "map"])
def test_ipopt_811_the_limit_is_seen_inside_differences(workers):
    """200 variables at 10 ms a value: a gradient takes two seconds, the run is given 0.2."""
    with ThreadPoolExecutor(2) as pool:
        options = {"maxtime": 0.2, "workers": pool.map if workers else None}
        began = time.perf_counter()
        result = minimize(slow, np.full(200, 3.0), jac="2-point", options=options)
        took = time.perf_counter() - began
    assert result.status == Status.MAXTIME
    assert result.fun == slow(result.x)
    assert 1 <= result.nfev < 150
    assert took < 1.7


@pytest.mark.parametrize("jac", ["2-point", "autograd", None, lambda x: 2 * (x - 1)])
def test_without_time_x0_still_has_its_value(jac):
    result = minimize(lambda x: anp.sum((x - 1) ** 2), np.full(3, 3.0), jac=jac, options={"maxtime": 1e-9})
    assert result.status == Status.MAXTIME
    assert (result.fun, result.nfev) == (12.0, 1)
    np.testing.assert_array_equal(result.x, 3.0)


def test_the_compiled_engine_ends_inside_an_iteration():
    numba = pytest.importorskip("numba")

    @numba.njit
    def fun(x):
        total = 0.0
        for k in range(20_000_000):
            total += np.sin(k * x[0])
        return np.sum((x - 1) ** 2) + 1e-300 * total

    @numba.njit
    def jac(x):
        return 2 * (x - 1)

    x0 = np.full(2, 3.0)
    fun(x0), jac(x0)
    began = time.perf_counter()
    fun(x0)
    once = time.perf_counter() - began
    options = {"engine": "numba", "maxtime": 1e-3, "gtol": 0.0}
    result = minimize(fun, x0, jac=jac, options=options)
    assert result.status == Status.MAXTIME
    assert np.isfinite(result.fun)
    assert once > 1e-2  # else the test shows nothing
    assert result.nfev <= 2
    assert threading.active_count() < 20


def test_kernels_are_not_charged():
    clock = Clock(maxtime=5.0, began=0.0)
    clock.excuse(2.0)
    assert (clock.began, clock.deadline) == (2.0, 7.0)


def test_parts_of_a_batch_cover_it():
    for maxtime in (None, 100.0, 1e-9):
        for count in (0, 1, 7, 100):
            parts = list(Clock(maxtime).parts(count, 3))
            assert [i for part in parts for i in range(count)[part]] == list(range(count))


def test_maxfun_holds_at_an_edge_too():
    made = Objective(lambda x: 0.0 if x[0] <= 0 else np.inf, "2-point", (), 1, np.dtype(float), maxfun=2)
    with pytest.raises(Stop) as stop:
        made.start(np.zeros(1))
    assert stop.value.status == Status.MAXFUN
    assert made.nfev == 2


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("convex_method", ["CG", "memory-cg", "ssbroyden", "bfgs"])
def test_autograd_802_a_gradient_that_is_nan_beyond_a_wall_does_not_keep_a_run_busy(convex_method, fused):
    """Values are finite and lower beyond it, so that no value shows where it is."""

    def gradient(x):
        g = rosen_der(x)
        return np.where(x[0] > 0.5, np.nan, g)

    fun, jac = (lambda x: (rosen(x), gradient(x)), True) if fused else (rosen, gradient)
    result = minimize(fun, [-1.2, 1.0, 1.0], jac=jac, options={"convex_method": convex_method})
    assert not result.success
    assert result.nfev < 3000
    assert result.fun < 0.8
    assert "its gradient was not" in result.message


@pytest.mark.parametrize("convex_method", ["CG", "memory-cg", "ssbroyden"])
def test_a_minimum_at_an_edge_is_given_up_soon_without_finer_differences(convex_method):
    """What stops the run is the edge: more exact gradients lead no further."""

    def circle(x):
        return np.inf if x @ x > 1 else float((x[0] - 2) ** 2 + x[1] ** 2)

    result = minimize(circle, [0.1, 0.5], options={"convex_method": convex_method})
    assert result.status == Status.PRECISION_LOSS
    assert result.fun - 1.0 < 1e-6
    assert "f is not finite on a side of this point" in result.message
    assert "3-point" not in result.gradient
    assert result.nfev < 1000


@pytest.mark.parametrize("seed", range(4))
def test_a_step_that_an_edge_cuts_short_is_not_called_hollow(seed):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(10, 10))
    h, c = a @ a.T + np.eye(10), rng.uniform(0.3, 0.7, 10)

    def fun(x):
        return np.inf if np.any(x < 0) or np.any(x > 1) else float((x - c) @ h @ (x - c))

    start = np.where(np.arange(10) % 2, 1 - 1e-10, 0.2)
    result = minimize(fun, start, jac="2-point", options={"convex_method": "memory-cg"})
    assert result.success, result.message
    assert result.fun < 1e-8
    assert not any("next to nothing" in swap["reason"] for swap in result.swaps)
