"""lmfit: scalar_minimize with the callable, beside lmfit's own methods."""

import numpy as np
import pytest

from twophase_min import twophase

TIMES = np.linspace(0, 10, 60)
TRUE = {"a": 3.0, "fast": 1.3, "b": 2.0, "slow": 0.2}


@pytest.fixture(scope="module")
def lmfit():
    return pytest.importorskip("lmfit")


def decay(a, fast, b, slow):
    return a * np.exp(-fast * TIMES) + b * np.exp(-slow * TIMES)


DATA = decay(**TRUE) + 0.02 * np.random.default_rng(0).normal(size=TIMES.size)


def residual(params, data):
    return (decay(**params.valuesdict()) - data) / 0.02


def fitter(lmfit, slowest=np.inf):
    params = lmfit.Parameters()
    params.add("a", 1.0, min=0, max=10)
    params.add("fast", 1.0, min=0)
    params.add("b", 1.0, min=0)
    params.add("slow", 0.1, min=0, max=slowest)
    return lmfit.Minimizer(residual, params, fcn_args=(DATA,))


def test_the_fit_is_that_of_leastsq(lmfit):
    ours, theirs = fitter(lmfit).scalar_minimize(method=twophase), fitter(lmfit).minimize(method="leastsq")
    assert ours.success
    assert ours.chisqr == pytest.approx(theirs.chisqr, rel=1e-8)
    for name, theirs_is in theirs.params.items():
        assert ours.params[name].value == pytest.approx(theirs_is.value, rel=1e-3)
    assert "finite differences, because autograd cannot trace fun" in ours.gradient
    assert "terminated successfully" in ours.message
    assert "chi-square" in lmfit.fit_report(ours)


def test_calls_are_within_those_of_scipys_methods(lmfit):
    """Differences in one variable at a time for all; lmfit counts the calls of the residual."""
    calls = {name: fitter(lmfit).scalar_minimize(method=name).nfev for name in ("BFGS", "CG", "L-BFGS-B")}
    assert fitter(lmfit).scalar_minimize(method=twophase).nfev <= 1.5 * max(calls.values())


def test_bounds_are_kept_by_lmfits_transform(lmfit):
    """The best rate is .2: a bound below it is active."""
    ours = fitter(lmfit, slowest=0.15).scalar_minimize(method=twophase)
    theirs = fitter(lmfit, slowest=0.15).scalar_minimize(method="L-BFGS-B")
    assert ours.success
    assert ours.params["slow"].value <= 0.15
    assert ours.params["slow"].value == pytest.approx(0.15, abs=1e-6)
    assert ours.chisqr == pytest.approx(theirs.chisqr, rel=1e-6)


def test_options_and_tolerance_reach_the_method(lmfit):
    ours = fitter(lmfit).scalar_minimize(method=twophase, tol=1e-1, options={"convex_method": "memory-cg"})
    assert ours.success
    assert [phase["name"] for phase in ours.phases] == ["memory-cg"]
    assert ours.nfev < fitter(lmfit).scalar_minimize(method=twophase).nfev


def test_lmfits_limit_of_calls_ends_the_run(lmfit):
    ours = fitter(lmfit).scalar_minimize(method=twophase, max_nfev=30)
    assert ours.aborted
    assert not ours.success
    assert ours.nfev <= 31


def test_errors_by_numdifftools_are_those_of_leastsq(lmfit):
    pytest.importorskip("numdifftools")
    ours, theirs = fitter(lmfit).scalar_minimize(method=twophase), fitter(lmfit).minimize(method="leastsq")
    for name, theirs_is in theirs.params.items():
        assert ours.params[name].stderr == pytest.approx(theirs_is.stderr, rel=0.05)
