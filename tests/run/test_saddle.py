"""A run from a symmetric start looks to the side where it ends: its minimum may be a saddle."""

import numba
import numpy as np
import pytest
from autograd import grad, hessian
from autograd import numpy as anp
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from twophase_min import minimize, multistart
from twophase_min.jit.compilation import DISABLED
from twophase_min.run import saddle

METHODS = ["CG", "memory-cg", "ssbroyden", "L-BFGS-B"]
NOWHERE = np.empty(0)
ROUNDING = 10 * np.finfo(float).eps


# ---- the kernels -------------------------------------------------------------------------------------------


def scratch(x0, x):
    """Scratch of a look from x0 to x, with the variables in order."""
    order, beside = np.zeros((2, x.size), dtype=np.int64), np.zeros((5, x.size))
    saddle.shows(x0, x, ROUNDING, order[saddle.ORDER])
    return order, beside


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=40))
def test_a_direction_has_the_sum_zero_in_every_group_of_equal_variables(values):
    x0, x = np.array(values, dtype=float).T
    assume(not np.array_equal(x0, x))
    order, beside = scratch(x0, x)
    h = saddle.across(saddle.ALIKE, x0, x, ROUNDING, NOWHERE, NOWHERE, order, beside)
    keys = [(abs(a), abs(b)) for a, b in values]
    equal = [i for i, key in enumerate(keys) if keys.count(key) > 1 and key != (0, 0)]
    if h == 0.0:
        assert not equal
        return
    assert h == pytest.approx((len(equal) * ROUNDING**0.5) ** 0.5)
    u = beside[saddle.U]
    assert np.linalg.norm(u) == pytest.approx(1)
    assert np.flatnonzero(u).tolist() == equal
    assert np.array_equal(np.sign(beside[saddle.SIZES]), np.where(x < 0, -1, 1))
    for key in set(keys):
        assert sum(u[i] for i in equal if keys[i] == key) == pytest.approx(0, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=2, max_size=60))
def test_the_order_is_that_of_a_stable_sort(values):
    x0, x = np.array(values, dtype=float).T
    x[0] = x0[0] + 1  # else nothing has moved, and nothing is sorted
    order, beside = scratch(x0, x)
    saddle.across(saddle.ALIKE, x0, x, ROUNDING, NOWHERE, NOWHERE, order, beside)
    np.testing.assert_array_equal(order[saddle.ORDER], np.lexsort((np.abs(x), np.abs(x0))))


def test_variables_that_have_stayed_at_zero_are_free():
    x0, x = np.array([0.0, 2.0, 0.0, 5.0, 0.0]), np.array([1e-9, 3.0, 0.5, 5.0, 0.0])
    order, beside = scratch(x0, x)
    assert saddle.across(saddle.ZERO, x0, x, ROUNDING, NOWHERE, NOWHERE, order, beside) > 0
    assert np.flatnonzero(beside[saddle.U]).tolist() == [0, 4]


def test_nothing_is_looked_at_where_nothing_is_alike_or_nothing_moved():
    x0, x, places = np.array([1.0, 2.0, 3.0]), np.array([1.5, 2.5, 3.5]), np.zeros(3, dtype=np.int64)
    assert not saddle.shows(x0, x, ROUNDING, places)
    assert not saddle.shows(np.ones(3), np.ones(3), ROUNDING, places)
    assert not saddle.shows(np.ones(3), np.array([1.0, np.inf, np.inf]), ROUNDING, places)
    assert saddle.shows(np.ones(3), np.array([1.0, 2.0, 2.0]), ROUNDING, places)
    assert saddle.shows(np.array([1.0, 0.0, 2.0]), np.array([3.0, 0.0, 1.0]), ROUNDING, places)
    order, beside = scratch(x0, x)
    for sign in (saddle.ZERO, saddle.ALIKE):
        assert saddle.across(sign, x0, x, ROUNDING, NOWHERE, NOWHERE, order, beside) == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 8), st.integers(0, 100), st.floats(-4, 4), st.booleans())
def test_the_verdict_is_that_of_the_eigenvalues_across(n, seed, centre, negative):
    """Of a matrix that does not mix the mean of the variables with what is across."""
    rng = np.random.default_rng(seed)
    project = np.eye(n) - 1.0 / n
    part = rng.normal(size=(n, n))
    part = project @ (part @ part.T + 0.1 * np.eye(n)) @ project
    values, vectors = np.linalg.eigh(part)
    values[1] = (-1 if negative else 1) * values[-1] / 4  # the one at 0 belongs to the mean
    matrix = vectors @ np.diag(values) @ vectors.T + 10.0**centre / n
    x0, x = np.full(n, 2.0), np.ones(n)
    order, beside = scratch(x0, x)
    h = saddle.across(saddle.ALIKE, x0, x, ROUNDING, NOWHERE, NOWHERE, order, beside)
    assume(abs(vectors[:, 1] @ beside[saddle.U]) > 0.05)  # without a share of it nothing is seen
    verdict, turn = saddle.MORE, 0
    while verdict == saddle.MORE and turn < 60:
        trial = np.empty(n)
        saddle.place(x, beside, saddle.V if turn else saddle.U, h, NOWHERE, NOWHERE, trial)
        verdict = saddle.tell(np.zeros(n), matrix @ (trial - x), h, 0.0, turn, order, beside)
        turn += 1
    assert verdict == (saddle.SADDLE if negative else saddle.MINIMUM)
    if negative:
        u = beside[saddle.SIZES] * beside[saddle.U]
        assert u @ matrix @ u < 0


def test_a_product_that_leaves_the_directions_across_ends_the_look():
    x0, x = np.full(4, 2.0), np.ones(4)
    order, beside = scratch(x0, x)
    h = saddle.across(saddle.ALIKE, x0, x, ROUNDING, NOWHERE, NOWHERE, order, beside)
    trial = np.empty(4)
    saddle.place(x, beside, saddle.U, h, NOWHERE, NOWHERE, trial)
    no_symmetry = np.diag([1.0, 2.0, 3.0, 40.0]) @ (trial - x)
    assert saddle.tell(np.zeros(4), no_symmetry, h, 0.0, 0, order, beside) == saddle.MINIMUM


# ---- runs --------------------------------------------------------------------------------------------------


@numba.njit
def pair(x):
    d, s = x[0] - x[1], x[0] + x[1] - 2.0
    return 0.25 * d**4 - d**2 + s**2


@numba.njit
def pair_slopes(x):
    d, s = x[0] - x[1], x[0] + x[1] - 2.0
    g = np.zeros(2)
    g[0] = d**3 - 2 * d + 2 * s
    g[1] = -(d**3) + 2 * d + 2 * s
    return g


def both(x):
    return pair(x), pair_slopes(x)


DATA = np.concatenate(
    [np.random.default_rng(0).normal(-2, 0.7, 60), np.random.default_rng(1).normal(1.5, 1, 90)]
)


def mixture(p):
    """Minus the log-likelihood of two normal distributions; p has odds, means, logarithms of deviations."""
    w = 1 / (1 + anp.exp(-p[0]))
    one, other = (anp.exp(-0.5 * ((DATA - p[k]) / anp.exp(p[k + 2])) ** 2 - p[k + 2]) for k in (1, 2))
    return -anp.sum(anp.log(w * one + (1 - w) * other))


def atoms(x):
    """Energy of atoms by the potential of Lennard-Jones."""
    p = anp.reshape(x, (-1, 3))
    i, k = np.triu_indices(len(p), 1)
    r = anp.sum((p[i] - p[k]) ** 2, axis=1)
    return anp.sum(4 * (r**-6 - r**-3))


INPUTS = np.random.default_rng(2).normal(size=(40, 3))
TARGETS = np.sin(INPUTS[:, 0]) + 0.5 * INPUTS[:, 1] * INPUTS[:, 2]


def network(w):
    """Mean squared error of four tanh units, with a penalty."""
    hidden = anp.tanh(INPUTS @ anp.reshape(w[:12], (3, 4)) + w[12:16])
    return anp.mean((hidden @ w[16:20] + w[20] - TARGETS) ** 2) + 1e-3 * anp.sum(w**2)


CASES = {
    "pair": (pair, np.array([3.0, 3.0]), -0.5),
    "mixture": (
        mixture,
        np.array([0.0, 0.3, 0.3, 0.5, 0.5]),
        0.9 * mixture(np.array([0, 0.3, 0.3, 0.5, 0.5])),
    ),
    "three atoms on a line": (atoms, np.array([0.0, 0, 0, 1.1, 0, 0, 2.2, 0, 0]), -2.9),
    "a network of equal weights": (network, np.full(21, 0.3), 0.05),
}
"""Objective, a symmetric start, and a value that no run which keeps its symmetry reaches."""


@pytest.mark.parametrize(
    ("name", "method"),
    [
        *[("pair", method) for method in METHODS],
        *[("mixture", method) for method in ("CG", "memory-cg")],
        *[("three atoms on a line", method) for method in ("CG", "ssbroyden", "L-BFGS-B")],
        ("a network of equal weights", "memory-cg"),
    ],
)
def test_a_saddle_of_a_symmetric_start_is_left(name, method):
    fun, x0, bound = CASES[name]
    jac = pair_slopes if fun is pair else grad(fun)
    result = minimize(fun, x0, jac=jac, options={"convex_method": method, "gtol": 1e-6})
    assert result.success
    assert result.fun < bound
    assert any("saddle" in swap["reason"] for swap in result.swaps)
    assert np.max(np.abs(jac(result.x))) <= 1e-6
    if fun is not pair:
        assert np.linalg.eigvalsh(hessian(fun)(result.x))[0] > -1e-4


@pytest.mark.parametrize("name", ["pair", "three atoms on a line"])
def test_differences_leave_it_too(name):
    fun, x0, bound = CASES[name]
    result = minimize(fun, x0, jac="2-point", options={"convex_method": "memory-cg", "gtol": 1e-4})
    assert result.success
    assert result.fun < bound


def test_of_float32_too():
    def single(x):
        assert x.dtype == np.float32
        f, g = both(x.astype(float))
        return np.float32(f), g.astype(np.float32)

    x0 = np.array([3, 3], dtype=np.float32)
    result = minimize(single, x0, jac=True, options={"convex_method": "memory-cg", "gtol": 1e-3})
    assert result.fun == pytest.approx(-1, abs=1e-4)


@pytest.mark.skipif(DISABLED, reason="nothing is compiled")
@pytest.mark.parametrize("method", ["memory-cg", "ssbroyden"])
def test_the_compiled_loop_looks_beside_as_the_one_in_python(method):
    options = {"convex_method": method, "gtol": 1e-6}
    compiled, python = (
        minimize(pair, [3.0, 3.0], jac=pair_slopes, options={**options, "engine": engine})
        for engine in ("numba", "python")
    )
    assert (compiled.nit, compiled.nfev, compiled.njev) == (python.nit, python.nfev, python.njev)
    assert [swap["reason"] for swap in compiled.swaps] == [swap["reason"] for swap in python.swaps]
    assert any("saddle" in swap["reason"] for swap in python.swaps)
    np.testing.assert_allclose(compiled.x, python.x, rtol=1e-6)


@pytest.mark.skipif(DISABLED, reason="nothing is compiled")
def test_many_starts_leave_it_one_after_the_other():
    result = multistart(
        pair,
        x0s=[[3.0, 3.0], [2.0, 2.0], [0.3, 0.1]],
        jac=pair_slopes,
        options={"convex_method": "memory-cg"},
    )
    np.testing.assert_allclose(result.fun, -1, atol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_a_unit_of_f_changes_nothing(method):
    def scaled(x, unit):
        f, g = both(x)
        return unit * f, unit * g

    one, many = (
        minimize(
            scaled, [3.0, 3.0], (unit,), jac=True, options={"convex_method": method, "gtol": 1e-6 * unit}
        )
        for unit in (1.0, 2.0**20)
    )
    np.testing.assert_array_equal(many.x, one.x)
    assert many.nfev == one.nfev


@pytest.mark.parametrize("method", ["memory-cg", "ssbroyden"])
def test_a_run_stopped_while_it_looks_goes_on_as_if_it_had_not_been(method):
    options = {"convex_method": method, "gtol": 1e-6, "engine": "python"}
    whole = minimize(both, [3.0, 3.0], jac=True, options=options)
    kept = 0
    for maxfun in range(2, int(whole.nfev)):
        first = minimize(both, [3.0, 3.0], jac=True, options={**options, "maxfun": maxfun})
        assert first.success == (first.status == 0)
        if first.success:  # the gradient test holds at the saddle: a limit on the look does not deny it
            kept += 1
            assert first.fun == pytest.approx(0)
            assert first.nfev == maxfun
        second = minimize(both, [3.0, 3.0], jac=True, options={**options, "resume": first.state})
        np.testing.assert_array_equal(second.x, whole.x)
        assert second.nfev == whole.nfev
    assert kept > 2


@pytest.mark.skipif(DISABLED, reason="nothing is compiled")
def test_a_limit_on_the_look_does_not_take_the_success_away_in_the_compiled_loop():
    options = {"convex_method": "memory-cg", "gtol": 1e-6}
    for maxfun in range(6, 20):
        compiled, python = (
            minimize(
                pair, [3.0, 3.0], jac=pair_slopes, options={**options, "maxfun": maxfun, "engine": engine}
            )
            for engine in ("numba", "python")
        )
        assert (compiled.status, compiled.nfev) == (python.status, python.nfev)
        np.testing.assert_allclose(compiled.x, python.x, rtol=1e-6)


@pytest.mark.parametrize("method", ["memory-cg", "ssbroyden"])
def test_within_bounds_nothing_is_asked_for_outside(method):
    seen = []

    def watched(x):
        seen.append(np.array(x))
        return both(x)

    bounds = [(0.5, 4.0), (0.5, 4.0)]
    result = minimize(watched, [3.0, 3.0], jac=True, bounds=bounds, options={"convex_method": method})
    assert result.success
    assert result.fun < -0.7  # the minimum of the box: one variable is at its limit
    assert sorted(result.x)[0] == 0.5
    assert np.min(seen) >= 0.5


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 6), st.integers(0, 10_000), st.sampled_from(["CG", "memory-cg", "ssbroyden"]))
def test_equal_variables_at_a_minimum_cost_a_product_or_two(n, seed, method):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(n, n))
    matrix = a @ a.T + np.eye(n)
    seen = []

    def fun(x):  # without a symmetry, and with its minimum where all variables are 1
        seen.append(np.array(x))
        return 0.5 * (x - 1) @ matrix @ (x - 1), matrix @ (x - 1)

    result = minimize(fun, np.full(n, 3.0), jac=True, options={"convex_method": method, "gtol": 1e-8})
    assert result.success
    np.testing.assert_allclose(result.x, 1, atol=1e-6)
    assert not any("saddle" in swap["reason"] for swap in result.swaps)
    last = next(i for i, x in enumerate(seen) if np.array_equal(x, result.x))
    assert len(seen) - 1 - last <= 3  # and a value half-way back, where it has converged all at once


def test_a_start_that_is_a_saddle_itself_is_taken_as_it_is():
    """As by every gradient test: nothing has moved, and nothing is known of a run."""
    result = minimize(both, [1.0, 1.0], jac=True)
    assert result.success
    assert result.nfev == 1
