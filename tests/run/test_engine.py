"""The compiled engine visits the points of the driver, and stops where it stops."""

import math
import sys
import threading
import time

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twophase_min import Status, TwoPhaseOptions, minimize
from twophase_min.run import engine as engine_module
from twophase_min.run.state import LOOP


@numba.njit
def rosen(x):
    total = 0.0
    for i in range(x.size - 1):
        total += 100.0 * (x[i + 1] - x[i] ** 2) ** 2 + (1.0 - x[i]) ** 2
    return total


@numba.njit
def rosen_grad(x):
    g = np.zeros(x.size)
    for i in range(x.size - 1):
        a = 200.0 * (x[i + 1] - x[i] ** 2)
        g[i + 1] += a
        g[i] += -2.0 * x[i] * a - 2.0 * (1.0 - x[i])
    return g


@numba.njit
def rosen_both(x):
    return rosen(x), rosen_grad(x)


@numba.njit
def wells(x):
    """Double wells of very different widths, tilted: two swaps and more with a poor rate."""
    total = 0.0
    for i in range(x.size):
        s = (i + 1.0) ** 2
        total += s * ((x[i] ** 2 - 1.0) ** 2 + 0.3 * x[i])
    return total


@numba.njit
def wells_grad(x):
    g = np.empty(x.size)
    for i in range(x.size):
        s = (i + 1.0) ** 2
        g[i] = s * (4.0 * x[i] * (x[i] ** 2 - 1.0) + 0.3)
    return g


@numba.njit
def units(x):
    total = 0.0
    for i in range(x.size):
        total += math.log(math.cosh(x[i] * 10.0 ** (2 * i) - 1.0))
    return total


@numba.njit
def units_grad(x):
    g = np.empty(x.size)
    for i in range(x.size):
        g[i] = 10.0 ** (2 * i) * math.tanh(x[i] * 10.0 ** (2 * i) - 1.0)
    return g


@numba.njit
def flat(x):
    return np.sum(x**4)


@numba.njit
def flat_grad(x):
    return 4.0 * x**3


@numba.njit
def kink(x):
    return np.sum(np.abs(x))


@numba.njit
def kink_grad(x):
    return np.sign(x)


@numba.njit
def fence(x):
    """Not a number where x0 < 0."""
    return math.sqrt(x[0]) + (x[0] - 2.0) ** 2 + x[1] ** 2 if x[0] >= 0 else math.nan


@numba.njit
def fence_grad(x):
    g = np.empty(2)
    g[0] = 0.5 / math.sqrt(x[0]) + 2.0 * (x[0] - 2.0)
    g[1] = 2.0 * x[1]
    return g


@numba.njit
def slide(x):
    return -np.sum(x) if x[0] < 1e8 else -np.inf


@numba.njit
def slide_grad(x):
    return -np.ones(x.size)


@numba.njit
def scaled(x, target, weight):
    return weight * np.sum((x - target) ** 2) + np.sum((x - target) ** 4)


@numba.njit
def scaled_grad(x, target, weight):
    return 2.0 * weight * (x - target) + 4.0 * (x - target) ** 3


CASES = {
    "rosen 2": (rosen, rosen_grad, [-1.2, 1.0]),
    "rosen 10": (rosen, rosen_grad, [-1.2, 1.0] * 5),
    "rosen 60": (rosen, rosen_grad, [-1.2, 1.0] * 30),
    "fused": (rosen_both, True, [-1.2, 1.0, 0.5]),
    "wells": (wells, wells_grad, [0.05, 0.02, -0.01, 0.3, 0.11]),
    "units": (units, units_grad, [3.0, -0.02, 4e-4]),
    "flat": (flat, flat_grad, [1.0, 2.0]),
    "kink": (kink, kink_grad, [1.1, -0.3]),
    "fence": (fence, fence_grad, [0.3, 1.0]),
    "slide": (slide, slide_grad, [1.0, 1.0]),
    "zero": (flat, flat_grad, [0.0, 0.0]),
}


def both(fun, jac, x0, args=(), **options):
    """Run on either engine."""
    options = {"maxfun": 2000, **options}
    runs = []
    for name in ("numba", "python"):
        given = {**options, "engine": name}
        runs.append(minimize(fun, np.array(x0, dtype=float), args, jac=jac, options=given))
    return runs


def assert_same_run(compiled, python, rtol=1e-6):
    """Same iterates to rounding, same counts, same swaps, same end."""
    assert compiled.status == python.status, (compiled.message, python.message)
    assert (compiled.nit, compiled.nfev, compiled.njev) == (python.nit, python.nfev, python.njev)
    size = float(np.max(np.abs(python.x))) or 1.0
    np.testing.assert_allclose(compiled.x, python.x, rtol=rtol, atol=rtol * size)
    np.testing.assert_allclose(compiled.history.fun, python.history.fun, rtol=1e-4, atol=1e-12)
    assert compiled.history.phase.tolist() == python.history.phase.tolist()
    keys = ("iteration", "evaluations", "from", "to")
    assert [[s[k] for k in keys] for s in compiled.swaps] == [[s[k] for k in keys] for s in python.swaps]


@pytest.mark.parametrize("name", CASES)
def test_the_same_points_as_the_driver(name):
    fun, jac, x0 = CASES[name]
    compiled, python = both(fun, jac, x0)
    assert_same_run(compiled, python)
    assert [s["reason"] for s in compiled.swaps] == [s["reason"] for s in python.swaps]
    assert compiled.message == python.message
    np.testing.assert_allclose(compiled.jac, python.jac, rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(compiled.history.nfev, python.history.nfev)
    np.testing.assert_array_equal(compiled.history.cost, python.history.cost)
    assert np.isnan(compiled.history.time).all()


@pytest.mark.parametrize("method", ["ssbroyden", "ssbfgs", "bfgs"])
@pytest.mark.parametrize("name", CASES)
def test_dense_quasi_newton_visits_the_same_points_as_in_the_driver(name, method):
    """Not to the end of a long run, where rounding decides."""
    fun, jac, x0 = CASES[name]
    compiled, python = both(fun, jac, x0, convex_method=method, maxiter=80)
    assert_same_run(compiled, python)
    assert compiled.message == python.message
    assert ("hess_inv" in compiled) == ("hess_inv" in python)
    if "hess_inv" in python:
        size = np.max(np.abs(python.hess_inv))
        np.testing.assert_allclose(compiled.hess_inv, python.hess_inv, rtol=1e-3, atol=1e-3 * size)


@pytest.mark.parametrize("name", CASES)
def test_a_limited_memory_visits_the_same_points_as_in_the_driver(name):
    fun, jac, x0 = CASES[name]
    own = {"convex_method": "l-ssbroyden", "convex_options": {"memory": 6}}
    compiled, python = both(fun, jac, x0, maxiter=60, **own)
    assert_same_run(compiled, python)


STRICT = {
    "lost trials": (
        {"trial_least": 0.5, "trial_share": 0.0, "past": 1 / 3},
        {"swap": 3, "learning_rate": 0.1, "precondition": None},
        "Adam headed for",
    ),
    "looks": (
        {"trial_least": 4.0, "trial_share": 0.0, "first_look": 0.0, "again": 0.0, "fading": math.inf},
        {},
        "not on course",
    ),
}
"""Constants of the guard with which it calls the convex phase back within a few evaluations, and options that
let it; what it says then."""


@pytest.fixture
def anew(monkeypatch):
    """No state is kept from runs before, nor for those after: `LOOP.preset` reaches the engine."""
    monkeypatch.setattr(engine_module, "_kept", threading.local())


@pytest.mark.parametrize("method", ["memory-cg", "ssbroyden"])
@pytest.mark.parametrize("guard", STRICT)
@pytest.mark.parametrize("name", CASES)
def test_a_strict_guard_is_as_strict_in_both_engines(name, guard, method, anew):
    fun, jac, x0 = CASES[name]
    constants, options, _ = STRICT[guard]
    with LOOP.preset(guard=constants):
        compiled, python = both(fun, jac, x0, gtol=0.0, maxiter=60, convex_method=method, **options)
    assert_same_run(compiled, python, rtol=1e-4)
    assert [s["reason"] for s in compiled.swaps] == [s["reason"] for s in python.swaps]


@pytest.mark.parametrize("guard", STRICT)
def test_a_strict_guard_calls_back_and_adam_goes_on_as_if_nothing_had_been_tried(guard, anew):
    constants, others, says = STRICT[guard]
    x0, options = np.array([-1.2, 1.0, 0.5]), {"engine": "numba", "maxiter": 200, "gtol": 0.0, **others}
    alone = minimize(rosen, x0, jac=rosen_grad, options={**options, "swap": "never"})
    with LOOP.preset(guard=constants):
        result = minimize(rosen, x0, jac=rosen_grad, options={"swap": 10, **options})
    assert any(swap["to"] == "adam" and says in swap["reason"] for swap in result.swaps)
    history = result.history
    adams = history.fun[(history.phase == "adam") | (history.phase == "start")]
    assert adams.size >= 20
    np.testing.assert_array_equal(adams, alone.history.fun[: adams.size])


REASONS = [
    ("norm-peak", {}, "gradient norm "),
    (4, {}, "reading 5 reached the fixed step 5"),
    ("always", {"guard": False}, "the rule 'always' swaps at every reading"),
    ("norm-against-loss", {}, "over the last 30 readings the gradient norm shrinks with the loss"),
    ("norm-peak", {"swap_patience": 3, "swap_smoothing": 0.5}, "gradient norm "),
]


@pytest.mark.parametrize(("swap", "options", "start"), REASONS)
@pytest.mark.parametrize("name", CASES)
def test_a_swap_has_the_same_reason_in_both_engines(name, swap, options, start):
    """After a swap that the detector saw, both say what the detector says, word for word."""
    fun, jac, x0 = CASES[name]
    compiled, python = both(fun, jac, x0, swap=swap, **options)
    reasons = [s["reason"] for s in compiled.swaps]
    assert reasons == [s["reason"] for s in python.swaps]
    assert "adam" not in {s["from"] for s in compiled.swaps} or any(r.startswith(start) for r in reasons)


@pytest.mark.parametrize(
    "options",
    [
        {"swap": "norm-peak"},
        {"swap": 7},
        {"swap": "never", "maxiter": 40},
        {"swap": "norm-against-loss", "maxiter": 200},
        {"swap": "always", "guard": False},
        {"swap_patience": 3, "swap_smoothing": 0.5, "swap_factor": 0.7, "swap": "norm-peak"},
        {"guard": False},
        {"learning_rate": 1e-2, "maxiter": 150},
        # not to the end: what rounding is between the two grows tenfold in five iterations of it
        {"learning_rate": 1e-3, "beta1": 0.5, "beta2": 0.9, "epsilon": 1e-4, "swap": 30, "maxiter": 70},
        {"precondition": None},
        {"precondition": "adam"},
        {"convex_options": {"memory": 0}},
        {"convex_options": {"memory": 3, "c2": 0.5}},
        {"convex_options": {"precondition": "auto"}, "precondition": None},
        {"c1": 1e-3, "c2": 0.3},
        {"norm": 2, "gtol": 1e-9},
        {"gtol_rel": 1e-3, "gtol": 0.0},
        {"f_target": 1e-2},
        {"max_swaps": 0, "maxiter": 60},
        {"maxiter": 0},
        {"maxiter": 5},
        {"gtol": 0.0, "maxfun": 3000},
    ],
)
@pytest.mark.parametrize("name", ["rosen 10", "wells", "fused"])
def test_every_option_means_the_same(name, options):
    fun, jac, x0 = CASES[name]
    compiled, python = both(fun, jac, x0, **options)
    if options.get("gtol") == 0.0:  # the last digits are rounding
        assert compiled.status == python.status
        np.testing.assert_allclose(compiled.x, python.x, rtol=1e-7)
    else:
        assert_same_run(compiled, python)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rosen 2", "fused", "wells"])
def test_stopped_after_every_number_of_evaluations(name):
    """Property: maxfun is kept to the call, and the best point of exactly these calls is returned."""
    fun, jac, x0 = CASES[name]
    for limit in range(70):
        compiled, python = both(fun, jac, x0, maxfun=limit)
        assert_same_run(compiled, python)
        assert compiled.nfev <= limit
        assert compiled.status in (Status.MAXFUN, Status.CONVERGED)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 8))
def test_arguments_arrive(seed, n):
    """Property: arrays and numbers reach the function unchanged, and the run is the driver's."""
    rng = np.random.default_rng(seed)
    target, weight = rng.normal(size=n), float(rng.uniform(0.1, 10))
    compiled, python = both(scaled, scaled_grad, rng.normal(size=n), (target, weight))
    assert compiled.success, compiled.message
    np.testing.assert_allclose(compiled.x, target, atol=1e-4)
    assert_same_run(compiled, python)


def test_a_run_does_not_depend_on_the_one_before(anew):
    """The state is kept for the next run: that the last search saw a parabola must not be."""

    def solved(seed):
        rng = np.random.default_rng(seed)
        target, weight = rng.normal(size=1), float(rng.uniform(0.1, 10))
        options = {"engine": "numba", "maxfun": 2000}
        return minimize(scaled, rng.normal(size=1), (target, weight), jac=scaled_grad, options=options)

    alone = solved(59)
    for before in range(5):
        solved(before)
        again = solved(59)
        np.testing.assert_array_equal(again.history.fun, alone.history.fun)
        assert (again.nfev, again.njev) == (alone.nfev, alone.njev)


@numba.njit
def mixed(x, count, flag, grid, mask, deep):
    total = 0.0
    for i in range(count):
        total += grid[i, 1] * (x[0] - grid[i, 0]) ** 2
    if flag:
        total += deep[1, 0, 1] * x[1] ** 2
    if mask[2]:
        total += (x[1] - 1.0) ** 4
    return total


@numba.njit
def mixed_grad(x, count, flag, grid, mask, deep):
    g = np.zeros(2)
    for i in range(count):
        g[0] += 2.0 * grid[i, 1] * (x[0] - grid[i, 0])
    if flag:
        g[1] += 2.0 * deep[1, 0, 1] * x[1]
    if mask[2]:
        g[1] += 4.0 * (x[1] - 1.0) ** 3
    return g


def test_arguments_of_every_kind():
    rng = np.random.default_rng(0)
    grid = np.asfortranarray(rng.uniform(1, 2, (6, 2)))  # another order of memory
    mask, deep = np.array([False, False, True]), rng.uniform(1, 2, (2, 2, 2)).astype(np.float32)
    args = (6, True, grid, mask, deep[:, ::-1])
    compiled, python = both(mixed, mixed_grad, [0.0, 3.0], args)
    assert compiled.success
    assert_same_run(compiled, python)
    np.testing.assert_allclose(compiled.x[0], np.sum(grid[:, 0] * grid[:, 1]) / np.sum(grid[:, 1]), rtol=1e-5)


@numba.njit
def greedy(x):
    f = np.sum((x - 1.0) ** 2) + np.sum((x - 1.0) ** 4)
    x[:] = 1e9
    return f


@numba.njit
def greedy_grad(x):
    g = 2.0 * (x - 1.0) + 4.0 * (x - 1.0) ** 3
    x[:] = -1e9
    return g


def test_a_function_that_writes_into_x_spoils_nothing():
    x0 = np.array([3.0, -2.0])
    result = minimize(greedy, x0, jac=greedy_grad, options={"engine": "numba"})
    assert result.success
    np.testing.assert_allclose(result.x, 1.0, atol=1e-5)
    np.testing.assert_array_equal(x0, [3.0, -2.0])


@numba.njit
def picky(x):
    if x[0] > 2.0:
        raise ValueError("x is too large")
    return -x[0] + 0.0 * x[1]


@numba.njit
def picky_grad(x):
    g = np.zeros(2)
    g[0] = -1.0
    return g


def test_an_exception_comes_back_with_the_best_point():
    for name in ("numba", "python"):
        with pytest.raises(ValueError, match="x is too large") as caught:
            minimize(picky, [1.0, 1.0], jac=picky_grad, options={"engine": name})
        best = caught.value.optimize_result
        assert best.status == Status.EXCEPTION
        assert best.x[0] <= 2.0
        assert best.fun == -best.x[0] < -1.0
        result = minimize(picky, [1.0, 1.0], jac=picky_grad, options={"engine": name, "on_error": "return"})
        assert not result.success
        assert "x is too large" in result.message
        assert result.fun == best.fun


@numba.njit
def short_grad(x):
    return np.ones(1)


def test_a_gradient_of_the_wrong_length_is_an_error():
    with pytest.raises(ValueError, match="shape"):
        minimize(rosen, [1.0, 2.0, 3.0], jac=short_grad, options={"engine": "numba"})


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_start_that_is_not_finite(bad):
    @numba.njit
    def fun(x):
        return bad + np.sum(x)

    compiled, python = both(fun, slide_grad, [1.0, 2.0])
    assert compiled.status == python.status == Status.NONFINITE
    assert compiled.message == python.message
    assert compiled.nfev == 1


def plain(x):
    return float(np.sum(x**2))


@pytest.mark.parametrize(
    ("fun", "jac", "options", "why"),
    [
        (plain, lambda x: 2 * x, {}, "not compiled"),
        (rosen, None, {}, "jac is not compiled"),
        (rosen, rosen_grad, {"convex_method": "CG"}, "memory-cg"),
        (rosen, rosen_grad, {"norm": 1}, "norms"),
        (rosen, rosen_grad, {"return_all": True}, "return_all"),
        (rosen, rosen_grad, {"swap": lambda loss, norm, step: False}, "rule"),
        (rosen, scaled_grad, {}, "argument"),
    ],
)
def test_what_cannot_be_compiled_is_refused_or_left_to_python(fun, jac, options, why):
    with pytest.raises((ValueError, TypeError), match=why):
        minimize(fun, [1.0, 2.0], jac=jac, options={**options, "engine": "numba"})
    if why != "argument":
        result = minimize(fun, [1.0, 2.0], jac=jac, options={**options, "maxiter": 20})
        assert result.fun <= fun(np.array([1.0, 2.0]))


def test_callbacks_and_float32_run_in_python():
    seen = []
    result = minimize(rosen, [-1.2, 1.0], jac=rosen_grad, callback=lambda x: seen.append(x))
    assert result.success
    assert len(seen) == result.nit
    with pytest.raises(ValueError, match="callback"):
        minimize(rosen, [1.0, 2.0], jac=rosen_grad, callback=print, options={"engine": "numba"})
    with pytest.raises(ValueError, match="float32"):
        minimize(rosen, np.ones(2, np.float32), jac=rosen_grad, options={"engine": "numba"})


def test_the_default_of_a_compiled_objective_compiles():
    minimize(rosen, [-1.2, 1.0], jac=rosen_grad)  # what is not kept on disk is compiled when it comes again
    result = minimize(rosen, [-1.2, 1.0], jac=rosen_grad)
    assert np.isnan(result.history.time).all()
    assert result.phases[-1]["name"] == "memory-cg"
    assert minimize(plain, [1.0, 2.0], jac=lambda x: 2 * x).phases[-1]["name"] in ("CG", "adam")


@numba.njit
def slow(x):
    total = 0.0
    for i in range(300_000):
        total += math.sin(i * x[0]) * 1e-12
    return total + np.sum(np.sqrt(1.0 + 1e-6 * (x - 7.0) ** 2)) + 0.0 * total


@numba.njit
def slow_grad(x):
    return 1e-6 * (x - 7.0) / np.sqrt(1.0 + 1e-6 * (x - 7.0) ** 2)


def test_a_time_limit_ends_the_run():
    options = {"engine": "numba", "gtol": 0.0, "swap": "never", "maxiter": 1}
    minimize(slow, np.zeros(3), jac=slow_grad, options=options)  # what is to be compiled is compiled here
    began = time.perf_counter()
    options = {**options, "maxtime": 1.0, "maxiter": 10**9}
    result = minimize(slow, np.zeros(3), jac=slow_grad, options=options)
    assert result.status == Status.MAXTIME
    assert result.nit >= 1
    assert time.perf_counter() - began < 30
    assert result.fun < slow(np.zeros(3))


def test_ctrl_c_between_two_checks_keeps_the_best_point(monkeypatch):
    calls = []
    solve = engine_module._entry("memory-cg")

    def interrupted(*args):
        solve(*args)
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(engine_module, "_entry", lambda method: interrupted)
    x0 = np.array([-1.2, 1.0] * 5)
    result = minimize(rosen, x0, jac=rosen_grad, options={"engine": "numba"})
    assert result.status == Status.INTERRUPTED
    assert result.fun < rosen(x0)
    assert result.fun == pytest.approx(rosen(result.x), rel=1e-12)


def test_no_finished_problem_is_missing_from_the_count(monkeypatch):
    """Threads that end together: a sum taken earlier is not entered later."""

    def loop(state, address, table, x0s, x, g, f, numbers, *rest):
        numbers[:, 4] = 1

    monkeypatch.setattr(engine_module, "_entry", lambda method: loop)
    compiled = engine_module.compile_objective(rosen, rosen_grad, ())
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(30):
            stop, done = np.zeros(1, np.int64), np.zeros(1, np.int64)
            x0s, options = np.zeros((64, 2)), TwoPhaseOptions(convex_method="memory-cg")
            engine_module.solve_many(compiled, x0s, (), (), options, 8, stop, done)
            assert done[0] == 64
    finally:
        sys.setswitchinterval(before)


@pytest.mark.parametrize("method", ["memory-cg", "ssbroyden"])
def test_many_problems_at_once_are_the_single_runs(method):
    rng = np.random.default_rng(3)
    m, n = 40, 3
    x0s, targets, weights = rng.normal(size=(m, n)), rng.normal(size=(m, n)), rng.uniform(0.1, 9, m)
    options = TwoPhaseOptions(convex_method=method, maxfun=500)
    kinds = engine_module.row_arguments((targets, weights))
    compiled = engine_module.compile_objective(scaled, scaled_grad, kinds)
    for threads in (1, 3):
        stop, done = np.zeros(1, np.int64), np.zeros(1, np.int64)
        out = engine_module.solve_many(compiled, x0s, (), (targets, weights), options, threads, stop, done)
        assert done[0] == m
        for i in range(m):
            args, own = (targets[i], float(weights[i])), {"convex_method": method}
            single = minimize(scaled, x0s[i], args, jac=scaled_grad, options=own)
            np.testing.assert_array_equal(out["x"][i], single.x)
            assert out["fun"][i] == single.fun
            assert out["status"][i] == single.status
            assert (out["nit"][i], out["nfev"][i], out["njev"][i]) == (single.nit, single.nfev, single.njev)
            np.testing.assert_array_equal(out["jac"][i], single.jac)


def test_a_stop_leaves_the_rest_out():
    options = TwoPhaseOptions(convex_method="memory-cg")
    compiled = engine_module.compile_objective(rosen, rosen_grad, ())
    stop, done = np.ones(1, np.int64), np.zeros(1, np.int64)
    out = engine_module.solve_many(compiled, np.zeros((5, 2)), (), (), options, 1, stop, done)
    assert np.isnan(out["fun"]).all()
    assert set(out["status"]) == {int(Status.INTERRUPTED)}
