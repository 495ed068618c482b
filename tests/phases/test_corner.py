"""Within bounds the first trial is the corner of the projected path: one value, and what it is good for."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twophase_min.phases import PHASES

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from counted import Counted
from phase_alone import minimize_memory_cg

METHODS = ["memory-cg", "ssbroyden"]


def solve(method, fun, jac, x0, lower, upper):
    """Run a phase alone in a box; the point, and the calls of the function and of its gradient."""
    solver = PHASES[method].load()()
    solver.box = np.asarray(lower, dtype=float), np.asarray(upper, dtype=float)
    fun, jac = Counted(fun), Counted(jac)
    x, success, message = minimize_memory_cg(fun, jac, np.asarray(x0, dtype=float), gtol=1e-6, solver=solver)
    assert success, message
    return x, fun.calls, jac.calls


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(-15, 30))
def test_a_linear_function_takes_one_step_to_its_corner(method, seed, n, exponent):
    """In any unit of x, from any start in a box that is not wide: two values, two gradients."""
    rng = np.random.default_rng(seed)
    unit = 2.0**exponent
    slope = rng.uniform(0.1, 2.0, size=n) * rng.choice([-1, 1], size=n)
    x0 = unit * (1 + rng.random(n))
    lower, upper = x0 - 9 * unit * rng.random(n), x0 + 9 * unit * rng.random(n)
    x, values, gradients = solve(method, lambda x: float(slope @ x), lambda x: slope.copy(), x0, lower, upper)
    np.testing.assert_array_equal(x, np.where(slope > 0, lower, upper))
    assert (values, gradients) == (2, 2)


@pytest.mark.parametrize("method", METHODS)
def test_a_corner_that_is_no_good_costs_little(method):
    """The minimum is next to the start: the parabola through the corner's value leads there."""
    weights = np.array([1.0, 3.0])

    def fun(x):
        return float(weights @ (x - 1.1) ** 2)

    def jac(x):
        return 2 * weights * (x - 1.1)

    start = [1.0, 1.0]
    inside, values, gradients = solve(method, fun, jac, start, [-20.0, -20.0], [20.0, 20.0])
    _, free_values, free_gradients = solve(method, fun, jac, start, [-np.inf, -np.inf], [np.inf, 1e9])
    np.testing.assert_allclose(inside, 1.1, atol=1e-6)
    assert values + gradients <= free_values + free_gradients + 4


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("upper", [np.inf, 1e3])
def test_no_corner_where_a_limit_is_missing_or_far(method, upper):
    """The slope is 1 in both variables, downwards to a limit, and upwards to none or to a far one."""
    seen = []

    def fun(x):
        seen.append(x.copy())
        return float(x[0] - x[1] + 0.1 * x[1] ** 2)

    solve(method, fun, lambda x: np.array([1.0, 0.2 * x[1] - 1.0]), [1.0, 1.0], [0.0, 0.0], [2.0, upper])
    assert seen[1][1] < 100.0
