"""A run that converges all at once looks back: behind the plateau there may be the minimum it flew over."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twophase_min import minimize
from twophase_min.jit.compilation import DISABLED
from twophase_min.run.plateau import LOOKS

GRID = np.linspace(0.0, 1.0, 50)
HEIGHT, CENTRE, WIDTH = 1.0, 0.5, 0.2
FAR = {
    "CG": ([1.34, 1.25, 0.27], [3.38, 0.46, 0.77]),
    "memory-cg": ([0.73, 1.18, 0.29], [3.04, -0.32, 1.25]),
    "ssbroyden": ([0.73, 1.18, 0.29], [3.98, 1.06, 1.51]),
    "L-BFGS-B": ([0.73, 1.18, 0.29], [2.47, 0.02, 0.8]),
}
"""Starts from which a step of this method ends where the peak is off the grid; found among random ones."""
CASES = [(method, start) for method, starts in FAR.items() for start in starts]
OURS = [case for case in CASES if case[0] in ("memory-cg", "ssbroyden")]


@numba.njit
def misfit(p, unit):
    """Sum of squares of a Gaussian peak on the grid [0, 1], fitted to one that is exact."""
    total = 0.0
    for i in range(50):
        t = i / 49.0
        model = p[0] * np.exp(-((t - p[1]) ** 2) / p[2] ** 2)
        total += (model - HEIGHT * np.exp(-((t - CENTRE) ** 2) / WIDTH**2)) ** 2
    return unit * total


@numba.njit
def slopes(p, unit):
    g = np.zeros(3)
    for i in range(50):
        t = i / 49.0
        e = np.exp(-((t - p[1]) ** 2) / p[2] ** 2)
        r = 2.0 * (p[0] * e - HEIGHT * np.exp(-((t - CENTRE) ** 2) / WIDTH**2))
        k = 2.0 * p[0] * e * (t - p[1]) / p[2] ** 2
        g[0] += unit * r * e
        g[1] += unit * r * k
        g[2] += unit * r * k * (t - p[1]) / p[2]
    return g


EMPTY = float(np.sum(np.exp(-((GRID - CENTRE) ** 2) / WIDTH**2) ** 2))
"""Value without a peak on the grid: that of every plateau."""


def test_the_gradient_is_that_of_the_misfit():
    p, h = np.array([1.3, 0.4, 0.7]), 1e-6
    for i, slope in enumerate(slopes(p, 1.0)):
        step = h * np.eye(3)[i]
        assert slope == pytest.approx((misfit(p + step, 1.0) - misfit(p - step, 1.0)) / (2 * h), rel=1e-7)


def fit(method, start, unit=1.0, **options):
    options = {"convex_method": method, "gtol": 1e-5 * unit, "engine": "python", **options}
    return minimize(misfit, start, (unit,), jac=slopes, options=options)


@pytest.mark.parametrize(("method", "start"), CASES)
def test_no_run_ends_on_the_plateau_behind_a_lower_point(method, start):
    result = fit(method, start)
    assert result.success
    assert result.fun < 0.6 * EMPTY
    assert any("plateau" in swap["reason"] for swap in result.swaps)


@pytest.mark.skipif(DISABLED, reason="nothing is compiled")
@pytest.mark.parametrize(("method", "start"), OURS)
def test_the_compiled_loop_looks_back_as_the_one_in_python(method, start):
    # to rounding: compared as long as that does not grow
    compiled, python = (fit(method, start, engine=engine, maxiter=12) for engine in ("numba", "python"))
    assert (compiled.nit, compiled.nfev, compiled.njev) == (python.nit, python.nfev, python.njev)
    assert [swap["reason"] for swap in compiled.swaps] == [swap["reason"] for swap in python.swaps]
    assert len(python.swaps) > 1
    np.testing.assert_allclose(compiled.x, python.x, rtol=1e-6)


@pytest.mark.parametrize(("method", "start"), CASES)
def test_a_unit_of_f_changes_nothing(method, start):
    one, many = fit(method, start), fit(method, start, 2.0**20)
    np.testing.assert_array_equal(many.x, one.x)
    assert many.nfev == one.nfev


@pytest.mark.parametrize(("method", "start"), OURS)
def test_a_run_stopped_while_it_looks_goes_on_as_if_it_had_not_been(method, start):
    whole = fit(method, start)
    for maxfun in range(2, 16):
        first = fit(method, start, maxfun=maxfun)
        assert not first.success
        second = fit(method, start, resume=first.state)
        np.testing.assert_array_equal(second.x, whole.x)
        assert second.nfev == whole.nfev


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.floats(-3, 3), st.sampled_from(["CG", "memory-cg", "ssbroyden"]))
def test_over_a_minimum_it_costs_one_value(n, power, method):
    """A bowl that is round converges all at once too; half-way back f is higher."""
    curvature, centre = 10.0**power, np.arange(1.0, n + 1)
    seen = []

    def fun(x):
        seen.append(np.array(x))
        return 0.5 * curvature * np.sum((x - centre) ** 2), curvature * (x - centre)

    result = minimize(fun, np.zeros(n), jac=True, options={"convex_method": method, "gtol": 1e-7})
    assert result.success
    np.testing.assert_allclose(result.x, centre, atol=1e-6 / min(1.0, curvature))
    last = next(i for i, x in enumerate(seen) if np.array_equal(x, result.x))
    assert len(seen) - 1 - last <= 1
    assert len(result.swaps) == 1


@pytest.mark.parametrize("method", ["CG", "memory-cg"])
def test_where_nothing_lower_is_left_behind_the_plateau_is_the_answer(method):
    """exp(-x) has no minimum: a step far out ends where its slope is below gtol."""
    seen = []

    def fun(x):
        seen.append(float(x[0]))
        return float(np.exp(-x[0])), -np.exp(-x)

    result = minimize(fun, [-5.0], jac=True, options={"convex_method": method, "gtol": 1e-3})
    assert result.success
    assert result.fun == min(np.exp(-np.array(seen)))
    assert len(seen) - 1 - seen.index(float(result.x[0])) <= LOOKS


@pytest.mark.parametrize(("method", "start"), [case for case in CASES if case[0] != "L-BFGS-B"])
def test_differences_look_back_too(method, start):
    """And what they are formed anew for does not take an end back that is none."""
    options = {"convex_method": method, "maxfun": 3000}
    result = minimize(misfit, start, (1.0,), jac="2-point", options=options)
    assert result.success
    assert result.fun < 0.6 * EMPTY
