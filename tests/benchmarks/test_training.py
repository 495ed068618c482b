"""The contenders of `benchmarks/training.py`: the same problem for all, charged as they say."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import training
import training_contenders
import training_report
from training_contenders import (
    OURS,
    RIVALS,
    Over,
    Problem,
    Torch,
    Trace,
    network_jacobian,
    run_to_end,
    takes_part,
    torch_adam,
)
from training_data import DATA

from twophase_min.networks import MLP


def problem(name="diabetes", loss="half_mse", budget=6.0):
    load, _ = DATA[name]
    data = load(0)
    net = MLP([data.X.shape[1], 5, data.classes or 1], "tanh", loss, l2=1e-3)
    objective = net.objective(data.X, data.y)
    return Problem(net, objective, data.X, data.y, net.init(0), 0, budget, data.classes, loss)


@pytest.mark.parametrize("name", ["digits", "wine", "diabetes", "friedman1"])
def test_data_are_standardised_by_what_is_trained_on_and_differ_by_seed(name):
    load, _ = DATA[name]
    data, again, other = load(0), load(0), load(1)
    np.testing.assert_allclose(data.X.mean(axis=0), 0, atol=1e-12)
    assert not np.allclose(data.X_out.mean(axis=0), 0, atol=1e-12)
    assert len(data.X) == 3 * len(data.X_out) or abs(len(data.X) - 3 * len(data.X_out)) <= 3
    np.testing.assert_array_equal(data.X, again.X)
    assert not np.array_equal(data.X, other.X)


def test_the_jacobian_of_the_residuals_is_that_of_the_loss():
    rng = np.random.default_rng(0)
    net = MLP([4, 3, 2], "tanh", "half_mse")
    X, Y, w = rng.normal(size=(7, 4)), rng.normal(size=(7, 2)), net.init(0)
    J = network_jacobian(net, w, X)
    np.testing.assert_allclose(
        J.T @ (net.forward(w, X) - Y).ravel() / Y.size, net.loss_and_gradient(w, X, Y)[1]
    )
    step = 1e-6
    for k in range(net.n_params):
        e = np.zeros(net.n_params)
        e[k] = step
        slope = (net.forward(w + e, X) - net.forward(w - e, X)).ravel() / (2 * step)
        np.testing.assert_allclose(J[:, k], slope, atol=1e-8)


@pytest.mark.parametrize("contender", ["scikit-learn, adam", "scikit-learn, lbfgs", "Levenberg-Marquardt"])
@pytest.mark.parametrize(
    ("name", "loss"), [("diabetes", "half_mse"), ("wine", "cross_entropy"), ("wine", "half_mse")]
)
def test_rivals_minimise_our_loss_from_our_weights(contender, name, loss):
    given = problem(name, loss)
    if not takes_part(contender, given):
        assert loss == "cross_entropy"
        return
    trace = run_to_end(RIVALS[contender], given, Trace(12.0))
    start = given.objective.value(given.start)
    if contender != "scikit-learn, adam":  # its first loss is that after an epoch
        assert trace.rows[0][2] == pytest.approx(start, rel=1e-9)
    assert trace.best < start
    assert given.objective.value(trace.w) == pytest.approx(trace.best, rel=1e-9)
    assert trace.cost >= 12.0


def test_levenberg_marquardt_by_the_normal_equations_takes_the_steps_of_least_squares(monkeypatch):
    """Its first step is that of the residuals with sqrt(mu) beneath, which `lstsq` solves."""
    monkeypatch.setattr(training_contenders, "LM_WORK", 0)
    given = problem("wine", "half_mse", 40.0)
    points = []
    trace = Trace(40.0)
    monkeypatch.setattr(trace, "record", lambda f, w: points.append(w().copy()) or Trace.record(trace, f, w))
    run_to_end(RIVALS["Levenberg-Marquardt"], given, trace)
    net, w = given.net, given.start
    T = np.eye(3)[given.y]
    root = np.concatenate([np.repeat([net.l2**0.5, 0.0], [W.size, b.size]) for W, b in net.unpack(w)])
    J = np.vstack([network_jacobian(net, w, given.X) / np.sqrt(T.size), np.diag(root)])
    r = np.concatenate([(net.forward(w, given.X) - T).ravel() / np.sqrt(T.size), root * w])
    damped = np.vstack([J, np.sqrt(1e-3) * np.eye(w.size)])
    step = np.linalg.lstsq(damped, np.concatenate([-r, np.zeros(w.size)]), rcond=None)[0]
    np.testing.assert_allclose(points[0], w)
    np.testing.assert_allclose(points[1], w + step, rtol=1e-6, atol=1e-8)
    assert trace.rows[1][0] == 0.5 + 3 + 0.5
    monkeypatch.undo()
    other = run_to_end(RIVALS["Levenberg-Marquardt"], given, Trace(40.0))
    assert trace.best == pytest.approx(other.best, rel=0.2)
    assert trace.best < 0.1 * trace.rows[0][2]


def test_pytorch_has_our_loss():
    pytest.importorskip("torch")
    for name, loss in (("diabetes", "half_mse"), ("wine", "cross_entropy"), ("wine", "half_mse")):
        given = problem(name, loss)
        model = Torch(given)
        np.testing.assert_array_equal(model.weights(), given.start)
        assert model.loss(model.X, model.y).item() == pytest.approx(
            given.objective.value(given.start), rel=1e-12
        )
        trace = run_to_end(torch_adam(1e-2, cosine=True), given, Trace(6.0))
        assert trace.cost == 6.0
        assert trace.best < given.objective.value(given.start)


def test_ours_are_charged_every_evaluation():
    given = problem(budget=20.0)
    trace = run_to_end(OURS["two-phase, L-BFGS-B"], given, Trace(20.0))
    costs = [row[0] for row in trace.rows]
    assert 15.0 <= trace.cost <= 20.0
    assert set(np.diff(costs)) <= {0.5, 1.0}
    assert given.objective.value(trace.w) == pytest.approx(trace.best, rel=1e-12)


def test_a_trace_ends_when_budget_and_seconds_are_spent():
    trace = Trace(2.0, seconds=0.0)
    trace.spend(1.0)
    trace.record(3.0, lambda: np.ones(1))
    trace.spend(1.0)
    with pytest.raises(Over):
        trace.record(4.0, lambda: np.zeros(1))
    assert trace.best == 3.0
    assert trace.w == [1.0]
    slow = Trace(1.0, seconds=1e9)
    slow.spend(1.5)
    slow.record(5.0, lambda: np.ones(1))  # time is left
    slow.spend(0.5)
    with pytest.raises(Over):
        slow.record(4.0, lambda: np.ones(1))  # twice the budget
    assert slow.best == 5.0  # what comes after the budget does not count


def test_cells_are_read_at_equal_cost_and_at_equal_seconds():
    cell = {"trace": training.thinned([(1.0, 0.1, 4.0), (2.0, 0.2, 5.0), (3.0, 0.4, 1.0)]), "loss": 1.0}
    assert cell["trace"] == [(1.0, 0.1, 4.0), (2.0, 0.2, 4.0), (3.0, 0.4, 1.0)]
    assert training_report.at_cost(cell, 2.5) == (4.0, 0.2)
    assert training_report.at_seconds(cell, 0.4) == 1.0
    assert training_report.at_seconds(cell, 0.05) == 4.0
    assert training_report.until(cell, 2.0) == 0.4
    assert training_report.until(cell, 0.5) == np.inf
