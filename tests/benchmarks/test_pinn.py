"""The arena of physics-informed networks: its losses, its counting and its rivals against other sources."""

import contextlib
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize, rosen, rosen_der

pytest.importorskip("jax")

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import pinn_problems
import pinn_solvers

HIDDEN = (5, 4)


def streams(function, points, orders):
    """Values and derivatives of a function of points by central differences."""
    out = {(): function(points)}
    for i, order in enumerate(orders):
        if not order:
            continue
        h = np.zeros(points.shape[1])
        h[i] = 1e-4 * (1 + np.max(np.abs(points[:, i])))
        ahead, behind = function(points + h), function(points - h)
        out[(i,)] = (ahead - behind) / (2 * h[i])
        if order == 2:
            out[(i, i)] = (ahead - 2 * out[()] + behind) / h[i] ** 2
    return out


@pytest.mark.parametrize("name", pinn_problems.EQUATIONS)
def test_the_solution_satisfies_the_equation_and_its_conditions(name):
    """Its derivatives, by differences, leave residuals that are small beside those of half the solution."""
    equation = pinn_problems.EQUATIONS[name](60)
    low, high = np.array(equation.low), np.array(equation.high)
    sets = [np.clip(p, low + 1e-3 * (high - low), high - 1e-3 * (high - low)) for p in equation.sets[:1]]
    sets += equation.sets[1:]

    def residuals(share):
        orders = [equation.orders[0]] + [equation.orders[1]] * (len(sets) - 1)
        u = [streams(lambda z: share * equation.exact(z), p, o) for p, o in zip(sets, orders, strict=True)]
        return [float(np.sqrt(np.mean(np.square(r)))) for r in equation.residuals(*u, *sets)]

    solved, half = residuals(1.0), residuals(0.5)
    assert max(solved) < 1e-3 * max(half)
    assert max(solved[1:]) < 1e-3


@pytest.mark.parametrize("name", pinn_problems.EQUATIONS)
def test_the_gradient_is_that_of_the_loss(name):
    """Along a random direction it agrees with central differences of high order."""
    task = pinn_problems.problem(name, HIDDEN, 0)
    u = np.random.default_rng(1).normal(size=task.x0.size)
    f = {k: task.both(task.x0 + k * 1e-3 * u)[0] for k in (-2, -1, 1, 2)}
    slope = (8 * (f[1] - f[-1]) - (f[2] - f[-2])) / (12 * 1e-3)
    assert slope == pytest.approx(task.both(task.x0)[1] @ u, rel=1e-6)


def test_derivatives_of_the_network_are_those_of_its_values():
    import jax

    jax.config.update("jax_enable_x64", True)
    units, scale = (2, 5, 4, 1), np.array([0.3, 2.0])
    x = pinn_problems.initial(units, 3)
    points = np.random.default_rng(0).uniform(-1, 1, (7, 2))
    told = pinn_problems.network(x, points, units, scale, (2, 1))

    def value(z):
        return np.array(pinn_problems.network(x, z * scale, units, scale, (0, 0))[()])

    for key, expected in streams(value, points / scale, (2, 1)).items():
        np.testing.assert_allclose(told[key], expected, rtol=1e-5, atol=1e-6)


def test_a_call_is_counted_once_a_point_and_the_budget_is_kept():
    calls = []

    def both(x):
        calls.append(x)
        return float(x @ x), 2 * x

    objective = pinn_solvers.Counted(both, 3)
    x = np.ones(2)
    objective.value(x)
    objective.gradient(x)
    assert objective.calls == len(calls) == 1
    objective.both(x / 2)
    objective.both(x)
    with pytest.raises(pinn_solvers.Exhausted):
        objective.both(x / 4)
    assert objective.calls == len(calls) == 3
    assert [mark[0] for mark in objective.trace] == [1, 2]
    assert objective.best == 0.5


def test_the_published_loop_with_the_update_of_bfgs_is_scipys_bfgs():
    """The same points, hence the same values, until rounding tells them apart."""
    x0 = np.array([-1.2, 1.0, 0.5, 0.3])
    ours, theirs = (pinn_solvers.Counted(lambda x: (rosen(x), rosen_der(x)), 40) for _ in range(2))
    with pytest.raises(pinn_solvers.Exhausted):
        pinn_solvers.published(ours, x0, "bfgs", swap=0.0)
    with contextlib.suppress(pinn_solvers.Exhausted):
        minimize(theirs.both, x0, jac=True, method="BFGS", options={"gtol": 0.0})
    assert len(theirs.trace) > 15
    pairs = zip(ours.trace, theirs.trace, strict=False)
    assert all(a[0] == b[0] and a[2] == pytest.approx(b[2], rel=1e-6) for a, b in pairs)


@pytest.mark.parametrize("member", ["ssbroyden1", "ssbroyden2", "ssbfgs", "bfgs"])
@pytest.mark.parametrize("first", [False, True])
def test_updates_of_the_published_loop_satisfy_the_secant_equation_and_stay_definite(member, first):
    rng = np.random.default_rng(0)
    for _ in range(20):
        root = rng.normal(size=(5, 5))
        H = root @ root.T + 0.1 * np.eye(5)
        g = rng.normal(size=5)
        s = -0.7 * H @ g
        y = rng.normal(size=5)
        y = y if y @ s > 0 else -y
        b = -0.7 * float(s @ g) / float(y @ s)
        updated = pinn_solvers._updated(H, s, y, b, member, first)
        np.testing.assert_allclose(updated @ y, s, rtol=1e-6, atol=1e-8)
        assert np.min(np.linalg.eigvalsh(0.5 * (updated + updated.T))) > 0


def test_the_rival_and_our_phase_agree_on_the_coefficients_of_the_update():
    """Two texts of one formula: `broyden.coefficients` and the second choice of theta here."""
    from twophase_min.phases.broyden import SSBROYDEN, coefficients

    rng = np.random.default_rng(0)
    for _ in range(200):
        n, sy = int(rng.integers(2, 50)), float(np.exp(rng.normal()))
        h = float(np.exp(2 * rng.normal()))
        b = float((1 + np.exp(2 * rng.normal())) / h)
        phi, tau = pinn_solvers._broyden(b, h, n, "ssbroyden2", False)
        keep, _, _, ww = coefficients(SSBROYDEN, n, sy, h * sy, b)
        assert keep == pytest.approx(1 / tau, rel=1e-9)
        assert ww == pytest.approx((phi - 1) / (h * sy * tau), rel=1e-7, abs=1e-12)


@pytest.mark.parametrize(
    "name",
    ["Adam, 0.01, cosine", "Adam 10 % + L-BFGS-B, memory 10", "Adam 10 % + SciPy loop, ssbroyden2",
     "ours: default", "ours: ssbroyden, no guard"],
)  # fmt: skip
def test_every_contender_keeps_the_budget_and_descends(name):
    task = pinn_problems.problem("poisson", HIDDEN, 0)
    solver, settings = pinn_solvers.contenders()[name]
    objective = pinn_solvers.Counted(task.both, 80)
    with contextlib.suppress(pinn_solvers.Exhausted):
        solver(objective, task.x0, **settings)
    assert 70 <= objective.calls <= 80
    assert objective.best < task.both(task.x0)[0]
    assert np.isfinite(task.error(objective.best_x))
