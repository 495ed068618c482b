"""The everyday set measures what it says: right problems and gradients, one charge, verdicts by the rule."""

import json
import math
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from twophase_min import check_gradient

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import contenders
import cutest
import everyday
import everyday_functions as functions
import everyday_networks as networks
import everyday_problems as problems
import everyday_statistics as statistics

NAMES = list(problems.names())
REAL = ("classification", "diabetes", "digits")


def load(name):
    if any(word in name for word in REAL):
        pytest.importorskip("sklearn")
    return problems.Problem(name)


# ---- the problems


def test_halves_alternate_within_families():
    a, b = list(problems.names("A")), list(problems.names("B"))
    assert sorted(a + b) == sorted(NAMES)
    assert len(set(NAMES)) == len(NAMES) >= 60
    for family in problems.FAMILIES:
        of_family = [name for name in NAMES if name.startswith(f"{family}/")]
        assert of_family[::2] == [name for name in a if name.startswith(f"{family}/")]
        assert of_family[1::2] == list(problems.names("B", [family]))


@pytest.mark.parametrize("name", NAMES)
def test_gradient_against_differences(name):
    p = load(name)
    assert np.isfinite(p.fun(p.x0))
    assert np.all(np.isfinite(p.grad(p.x0)))
    x = p.x0 + 1e-3 * np.maximum(np.abs(p.x0), 0.1) * np.random.default_rng(0).normal(size=p.x0.size)
    if "cosh" in name:
        x = 0.1 * x  # at the start a difference loses half of its digits
    assert check_gradient(p.fun, p.grad, x).error < 1e-6


@pytest.mark.parametrize("name", ["clusters/lj13", "likelihoods/mixture3", "equations/oscillator-20"])
def test_problems_are_seeded(name):
    first, again = problems.Problem(name), problems.Problem(name)
    assert np.array_equal(first.x0, again.x0)
    assert first.fun(first.x0) == again.fun(again.x0)


def test_two_atoms_rest_at_the_minimum_of_the_pair():
    f, g = functions.lennard_jones(np.array([0.0, 0.0, 0.0, 2 ** (1 / 6), 0.0, 0.0]))
    assert f == pytest.approx(-1.0, abs=1e-14)
    assert np.abs(g).max() < 1e-13


def test_icosahedron_of_thirteen_atoms():
    """The global minimum of 13 atoms has the energy -44.326801 (Hoare & Pal, Adv. Phys. 20, 1971)."""
    golden = (1 + math.sqrt(5)) / 2
    corners = [(0, s, t * golden) for s in (-1, 1) for t in (-1, 1)]
    corners = [np.roll(c, k) for c in corners for k in range(3)]
    x0 = 0.57 * np.vstack([np.zeros((1, 3)), corners]).ravel()
    pair = functions.lennard_jones
    r = optimize.minimize(pair, x0, jac=True, method="BFGS", options={"gtol": 1e-7})
    assert r.fun == pytest.approx(-44.326801, abs=1e-6)


@pytest.mark.parametrize("name", list(functions.CLUSTERS))
def test_atoms_do_not_overlap_at_the_start(name):
    atoms = functions.CLUSTERS[name]()[1].reshape(-1, 3)
    assert len(atoms) == int(name[2:])
    apart = [np.linalg.norm(a - b) for i, a in enumerate(atoms) for b in atoms[:i]]
    assert min(apart) >= 0.85
    assert np.ptp(atoms) <= 1.5 * len(atoms) ** (1 / 3)


MINIMA = {
    "rosenbrock2": ([1, 1], 0.0),
    "rosenbrock10": ([1] * 10, 0.0),
    "white-holst2": ([1, 1], 0.0),
    "wood": ([1] * 4, 0.0),
    "powell-singular4": ([0] * 4, 0.0),
    "powell-singular20": ([0] * 20, 0.0),
    "beale": ([3, 0.5], 0.0),
    "helical-valley": ([1, 0, 0], 0.0),
    "box3": ([1, 10, 1], 0.0),
    "brown-dennis": (
        [-11.594439904762162, 13.203630051207202, -0.4034394881768612, 0.2367787744557347],
        85822.2,
    ),
}


@pytest.mark.parametrize("name", MINIMA)
def test_published_minima_and_starts_of_the_classics(name):
    x, value = MINIMA[name]
    p = problems.Problem(f"classics/{name}")
    assert p.fun(np.array(x, dtype=float)) == pytest.approx(value, abs=1e-25, rel=1e-6)
    assert set(MINIMA) == set(functions.CLASSICS)


def test_published_values_at_the_starts():
    """Values at the standard starts, from the definitions worked out by hand."""
    for name, value in [
        ("rosenbrock2", 24.2),
        ("wood", 19192.0),
        ("powell-singular4", 215.0),
        ("beale", 14.203125),
    ]:
        p = problems.Problem(f"classics/{name}")
        assert p.fun(p.x0) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("name", ["convex/quadratic20", "convex/quadratic50"])
def test_quadratics_have_their_condition(name):
    p = problems.Problem(name)
    zero = p.grad(np.zeros(p.x0.size))
    h = np.array([p.grad(e) - zero for e in np.eye(p.x0.size)])
    np.testing.assert_allclose(np.linalg.cond(h), {20: 1e4, 50: 1e6}[p.x0.size], rtol=1e-6)


@pytest.mark.parametrize("name", list(functions.CONVEX))
def test_convex_along_chords(name):
    p = problems.Problem(f"convex/{name}")
    rng = np.random.default_rng(1)
    for _ in range(20):
        a, b = (p.x0 * rng.uniform(-1, 1) + rng.normal(size=p.x0.size) for _ in range(2))
        middle = 0.5 * (p.fun(a) + p.fun(b))
        assert p.fun(0.5 * (a + b)) <= middle + 1e-12 * abs(middle)


def fitted(name):
    p = load(name)
    r = optimize.minimize(p.both, p.x0, jac=True, method="BFGS", options={"gtol": 1e-8, "maxiter": 5000})
    return p, r


@pytest.mark.parametrize("name", ["iris", "breast_cancer"])
def test_logistic_regression_is_that_of_scikit_learn(name):
    linear_model = pytest.importorskip("sklearn.linear_model")
    _, r = fitted(f"classification/{name.replace('_', '-')}-standardised")
    columns, label = statistics.table(name)
    a = statistics.design(columns, True)
    model = linear_model.LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(a[:, 1:], label)
    probability = model.predict_proba(a[:, 1:])[np.arange(label.size), label]
    loss = -np.mean(np.log(probability)) + 0.5 * np.sum(model.coef_**2) / label.size
    assert r.fun == pytest.approx(loss, rel=1e-8)


def test_poisson_regression_is_that_of_scikit_learn():
    linear_model = pytest.importorskip("sklearn.linear_model")
    _, r = fitted("counts/diabetes-standardised")
    columns, y = statistics.table("diabetes")
    a, y = statistics.design(columns, True), np.round(y / 10)
    model = linear_model.PoissonRegressor(alpha=0.0, tol=1e-10, max_iter=10_000).fit(a[:, 1:], y)
    np.testing.assert_allclose(r.x, [model.intercept_, *model.coef_], rtol=1e-5, atol=1e-6)


def test_counts_differ_in_units():
    p = problems.Problem("counts/counts9-units")
    slopes = np.abs(p.grad(p.x0))
    assert slopes.max() / slopes.min() > 100


def test_student_likelihood_is_that_of_scipy():
    pair, _ = statistics.student(1, 100, False, 0)
    rng = np.random.default_rng([7, 0])
    rng.normal(size=(100, 0))
    y = 2.0 + 0.5 * rng.standard_t(3.0, 100)
    x = np.array([1.7, np.log(0.6), np.log(4.0)])
    expected = -stats.t.logpdf(y, 4.0, loc=1.7, scale=0.6).sum()
    assert pair(x)[0] == pytest.approx(expected, rel=1e-12)


def test_mixture_likelihood_is_that_of_scipy():
    pair, x0 = statistics.mixture([-1.0, 2.0], [0.5, 1.0], 300, False, 0)
    rng = np.random.default_rng([8, 0])
    part = rng.integers(2, size=300)
    y = np.array([-1.0, 2.0])[part] + np.array([0.5, 1.0])[part] * rng.normal(size=300)
    weight = 1 / (1 + np.exp(-0.3))
    density = weight * stats.norm.pdf(y, -0.8, 0.6) + (1 - weight) * stats.norm.pdf(y, 1.9, 1.2)
    logs = np.log([0.6, 1.2])
    expected = statistics.PRIOR * logs @ logs - np.log(density).sum()
    assert pair(np.array([0.3, -0.8, 1.9, *logs]))[0] == pytest.approx(expected, rel=1e-12)
    assert x0.size == 5


def data_of_process(size, dims, seed):
    rng = np.random.default_rng([9, size, seed])
    points = rng.uniform(0.0, 5.0, (size, dims))
    y = np.sin(2.5 * points[:, 0]) + 0.3 * np.sum(points[:, 1:] ** 2, axis=1) / 5.0
    return points, y - y.mean() + 0.2 * rng.normal(size=size)


@pytest.mark.parametrize("name", ["squared-exponential60", "matern70", "lengths3", "periodic60"])
def test_marginal_likelihoods_are_those_of_scikit_learn(name):
    process = pytest.importorskip("sklearn.gaussian_process")
    kernels = process.kernels
    p = problems.Problem(f"processes/{name}")
    *lengths, amplitude, noise = np.exp(p.x0 + 0.1)
    size, dims, seed = {
        "squared-exponential60": (60, 1, 0),
        "matern70": (70, 1, 2),
        "lengths3": (70, 3, 4),
        "periodic60": (60, 1, 6),
    }[name]
    shape = {
        "squared-exponential60": kernels.RBF(lengths),
        "lengths3": kernels.RBF(lengths),
        "matern70": kernels.Matern(lengths, nu=2.5),
        "periodic60": kernels.ExpSineSquared(lengths[0], lengths[-1]),
    }[name]
    kernel = kernels.ConstantKernel(amplitude**2) * shape + kernels.WhiteKernel(noise**2)
    points, y = data_of_process(size, dims, seed)
    model = process.GaussianProcessRegressor(kernel, optimizer=None, alpha=1e-10).fit(points, y)
    assert p.fun(p.x0 + 0.1) == pytest.approx(-model.log_marginal_likelihood_value_, rel=1e-9)


def test_a_covariance_that_is_not_definite_has_no_finite_value():
    p = problems.Problem("processes/squared-exponential60")
    f, g = p.both(np.array([800.0, 800.0, -800.0]))
    assert not np.isfinite(f)
    assert not np.any(np.isfinite(g))


def test_curves_return_to_the_truth_without_noise():
    for name, model, truth in [
        ("growth", functions.growth, [300, 0.5, 9]),
        ("saturation", functions.saturation, [3.5, 40]),
        ("exponentials", functions.exponentials, [3, 2, 1.5, 0.2]),
    ]:
        pair, _ = functions.curve(model, np.linspace(0.1, 25, 40), truth, truth, 0.0, 0)
        f, g = pair(np.array(truth, dtype=float))
        assert f == 0.0, name
        assert not np.any(g), name


def test_jet_is_the_network_and_its_derivatives():
    layers = networks.Layers(1, 6, 5, 1)
    x = layers.start(3, bias=1.0)
    t, h = np.linspace(-1.0, 1.0, 7), 1e-4
    u, v, w = networks.Jet(layers, t).forward(x)

    def plain(t):
        y = t[:, None]
        views = layers.views(x)
        for weights, biases in views[:-1]:
            y = np.tanh(y @ weights + biases)
        return (y @ views[-1][0] + views[-1][1])[:, 0]

    np.testing.assert_allclose(u, plain(t), rtol=1e-13)
    np.testing.assert_allclose(v, (plain(t + h) - plain(t - h)) / (2 * h), atol=1e-6)
    np.testing.assert_allclose(w, (plain(t + h) - 2 * plain(t) + plain(t - h)) / h**2, atol=1e-5)


def test_residuals_vanish_on_solutions():
    t = np.linspace(0.0, 3.0, 50)
    sine = 10 / np.pi**2 * np.sin(np.pi * t)
    r, _ = networks.poisson(t, sine, 10 / np.pi * np.cos(np.pi * t), -(np.pi**2) * sine)
    np.testing.assert_allclose(r, 0.0, atol=1e-13)
    u = 1 / (1 + 9 * np.exp(-t))
    np.testing.assert_allclose(networks.logistic(t, u, u * (1 - u), u)[0], 0.0, atol=1e-13)

    def slopes(_, y):
        return [y[1], -0.5 * y[1] - 4 * y[0]]

    u, v = integrate.solve_ivp(slopes, (0, 3), [1, 0], t_eval=t, rtol=1e-10, atol=1e-12).y
    turns = math.sqrt(4 - 1 / 16)
    by_hand = np.exp(-0.25 * t) * (np.cos(turns * t) + 0.25 / turns * np.sin(turns * t))
    np.testing.assert_allclose(u, by_hand, atol=1e-8)
    np.testing.assert_allclose(networks.oscillator(t, u, v, -0.5 * v - 4 * u)[0], 0.0, atol=1e-12)


def test_perceptron_is_a_forward_pass():
    layers = networks.Layers(3, 4, 2)
    inputs = np.random.default_rng(0).normal(size=(5, 3))
    pair, x = networks.perceptron(inputs, 4, 2, lambda out: (float(out.sum()), np.ones_like(out)), 0.1, 0)
    (w, b), (v, c) = layers.views(x)
    assert pair(x)[0] == pytest.approx((np.tanh(inputs @ w + b) @ v + c).sum() + 0.05 * x @ x)


# ---- the charge and the solvers


def bowl(n=3):
    return SimpleNamespace(x0=np.arange(1.0, n + 1), fun=lambda x: float(x @ x), grad=lambda x: 2 * x)


def test_a_value_and_a_gradient_cost_one_each_and_repetitions_nothing():
    objective = contenders.Counted(bowl(), 4)
    x = np.ones(3)
    for _ in range(3):
        objective.fun(x)
        objective.grad(x)
    assert (objective.nfev, objective.njev) == (1, 1)
    objective.fun(2 * x)
    objective.fun(0.5 * x)
    assert objective.best == 0.75
    assert np.array_equal(objective.best_x, 0.5 * x)
    with pytest.raises(contenders.BudgetExhausted):
        objective.grad(3 * x)
    assert [value for _, value in objective.trace] == [3.0, 0.75]


@pytest.mark.parametrize("solver", [*everyday.PEERS, *everyday.OURS])
def test_solvers_stop_by_the_gradient_test(solver):
    if solver.startswith("nlopt"):
        pytest.importorskip("nlopt")
    if solver.startswith("cg-descent"):
        pytest.importorskip("pycgdescent")
    record = everyday.run_one(solver, "classics/rosenbrock2", 2000, 60.0, 1e-5)
    assert record["stop"] == "returned", record["message"]
    assert record["success"]
    assert record["gmax"] <= 1e-5
    assert record["fx"] < 1e-8
    assert 20 < everyday.calls(record) < 400


def test_a_run_without_end_is_ended_by_the_budget():
    record = everyday.run_one("scipy-cg", "classics/rosenbrock2", 50, 60.0, 1e-5)
    assert record["stop"] == "budget"
    assert everyday.calls(record) == 50
    assert not everyday.success(record, 1e-5)


# ---- the verdicts


def record(calls=100, fx=0.0, gmax=1e-6, stop="returned", f0=10.0):
    return {"nfev": calls // 2, "njev": calls - calls // 2, "fx": fx, "gmax": gmax, "stop": stop, "f0": f0}


def test_right_answers_by_family():
    def verdict(name, **changes):
        return everyday.right(f"{name}/x", record(**changes), -10.0, 1e-5)

    assert verdict("curves", fx=-10.0 + 19e-6, gmax=1.0)
    assert not verdict("curves", fx=-10.0 + 21e-6)
    assert verdict("networks", fx=-0.1)
    assert not verdict("networks", fx=0.1)
    assert not verdict("networks", fx=-10.0, gmax=1e-4)
    assert verdict("clusters", fx=-0.1)
    assert not everyday.right("clusters/x", record(fx=1.0, f0=1e6), -10.0, 1e-5)
    assert not verdict("curves", fx=None)
    assert not verdict("curves", fx=math.nan)


def runs():
    names = ["curves/a", "curves/b", "classics/c"]
    table = {
        "scipy-cg": [record(400), record(100), record(50, stop="budget", fx=None, gmax=None)],
        "scipy-bfgs": [record(100), record(100), record(200)],
        "memory-cg": [record(50), record(200), record(50, fx=5.0)],
        "twophase": [record(100), record(400, gmax=1e-3), record(100)],
    }
    return {s: dict(zip(names, row, strict=True)) for s, row in table.items()}, names


def test_summary_counts_and_charges():
    table, names = runs()
    judged = everyday.Judged(table, names, {"gtol": 1e-5, "budget": 1000})
    assert judged.peer == "scipy-bfgs"
    rows = judged.summary(names)
    assert [rows["memory-cg"][k] for k in ("success", "right", "solved")] == [3, 2, 2]
    assert [rows["twophase"][k] for k in ("success", "right", "solved")] == [2, 3, 2]
    assert rows["memory-cg"]["both"] == pytest.approx(1.0)
    assert rows["memory-cg"]["charged"] == pytest.approx((0.5 * 2 * 5) ** (1 / 3))
    assert rows["scipy-bfgs"]["calls"] == pytest.approx((100 * 100 * 200) ** (1 / 3))
    assert rows["scipy-cg"]["charged"] == pytest.approx((4 * 1 * 5) ** (1 / 3))
    assert judged.both("twophase", "memory-cg", names) == {"curves/a": 2.0}


def test_prices_name_the_worst_problem():
    table, names = runs()
    table["twophase"]["curves/b"] = record(400)
    judged = everyday.Judged(table, names, {"gtol": 1e-5, "budget": 1000})
    rows = everyday.price_rows(judged, {"curves": names[:2], "all": names})
    assert rows[-1] == ["twophase / memory-cg", "all", "2.00", "2.00 (a)", "2 of 2", "1 : 0"]
    assert len(rows) == 2


def test_calls_at_stop_in_the_other_benchmark():
    table, _ = runs()
    table["scipy-lbfgsb"] = table.pop("scipy-bfgs")
    assert cutest.calls_at_stop(table, "memory-cg") == pytest.approx((0.5 * 2 * 0.25) ** (1 / 3))
    assert cutest.calls_at_stop(table, "scipy-lbfgsb") == 1.0
    assert math.isnan(cutest.calls_at_stop(table, "memory-cg", "absent"))


def test_a_pool_is_judged_and_added_to(tmp_path, capsys):
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    common = ["--half", "A", "--families", "classics", "--jobs", "1"]
    everyday.main([*common, "--solvers", "scipy-bfgs", "--out", str(first)])
    everyday.main([*common, "--solvers", "memory-cg", "--pool", str(first), "--out", str(second), "-v"])
    saved = json.loads(second.read_text())
    assert set(saved["runs"]) == {"scipy-bfgs", "memory-cg"}
    assert set(saved["runs"]["memory-cg"]) == set(problems.names("A", ["classics"]))
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("| classics/") for line in lines) == 5
    with pytest.raises(SystemExit):
        everyday.main([*common, "--pool", str(second), "--budget", "10"])


def test_a_pool_of_other_problems_is_refused(tmp_path, capsys):
    path = tmp_path / "pool.json"
    common = ["--half", "B", "--families", "counts", "--jobs", "1"]
    names = list(problems.names("B", ["counts"]))
    old = {name: record(f0=-1.0) | {"message": "", "n": 2} for name in names}
    path.write_text(json.dumps({"settings": {"budget": 20_000, "gtol": 1e-5}, "runs": {"scipy-cg": old}}))
    pytest.importorskip("sklearn")
    with pytest.raises(SystemExit):
        everyday.main([*common, "--solvers", "memory-cg", "--pool", str(path), "--out", str(path)])
    assert "another" in capsys.readouterr().err


def test_layers_are_views_of_one_vector():
    layers = networks.Layers(3, 4, 2)
    x = np.arange(layers.n, dtype=float)
    views = layers.views(x)
    assert [w.shape for w, _ in views] == [(3, 4), (4, 2)]
    assert np.array_equal(np.concatenate([part.ravel() for pair in views for part in pair]), x)
    assert all(np.shares_memory(a, x) for a, _ in views)
    assert list(pairwise((3, 4, 2))) == layers.shapes
