"""What the speed benchmark measures is what it says: right gradients, one tolerance, charged the same way."""

import sys
from pathlib import Path

import numpy as np
import pytest

from twophase_min import check_gradient

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def solvers():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import solvers
    finally:
        sys.path.remove(str(BENCHMARKS))
    return solvers


@pytest.mark.parametrize("name", ["rosen2", "rosen10", "rosen100", "fit5"])
def test_gradients_of_the_problems(solvers, name):
    p = solvers.problem(name)
    x = p.x0 + np.random.default_rng(0).normal(scale=0.1, size=p.x0.size)
    assert check_gradient(p.fun, p.jac, x, p.args).error < 1e-6
    g = np.empty_like(x)
    f, size = p.both(x, g, *p.args)
    assert f == pytest.approx(p.fun(x, *p.args), rel=1e-12)
    np.testing.assert_allclose(g, p.jac(x, *p.args), rtol=1e-10, atol=1e-12)
    assert size == np.max(np.abs(g))


def test_curves_are_seeded_and_nested(solvers):
    t, few, starts = solvers.curves(3)
    _, many, more = solvers.curves(1500)
    assert t.shape == (solvers.POINTS,)
    assert np.array_equal(many[:3], few)
    assert np.array_equal(more[:3], starts)
    assert not np.array_equal(many[0], many[1000])


@pytest.mark.parametrize("name", ["scipy CG", "scipy L-BFGS-B", "minimize, python", "minimize, numba"])
def test_contenders_reach_the_tolerance(solvers, name):
    call = solvers.CONTENDERS[name]("fit5")
    report = call.report()
    assert report["gmax"] <= solvers.GTOL
    assert report["fun"] < 1e-3
    assert report["nfev"] >= report["njev"] > 0


def test_quality_counts_what_passes(solvers):
    t, y, starts = solvers.curves(2)
    p = solvers.problem("fit5")
    from scipy.optimize import minimize

    x = np.array([minimize(p.fun, starts[0], (t, y[0]), jac=p.jac, options={"gtol": 1e-7}).x, starts[1]])
    judged = solvers.quality(x)
    assert judged["gradient test"] == 0.5
    assert solvers.quality(x, judged["values"])["at the best"] == 1.0
