"""SciPy's methods turned around: told every iterate, stopped from outside, otherwise themselves."""

import contextlib

import numpy as np
import pytest
from scipy.optimize import OptimizeResult, rosen, rosen_der, rosen_hess_prod
from scipy.optimize import minimize as scipy_minimize

from twophase_min import minimize
from twophase_min._status import Stop
from twophase_min.phases import PHASES
from twophase_min.phases import scipy as phase
from twophase_min.phases.scaling import Scaling

START = np.array([-1.2, 1.0, 0.7])


class Plain:
    """Rosenbrock's function for the phase; can stop at an evaluation."""

    def __init__(self, stop_at=None):
        self.calls, self.stop_at = 0, stop_at

    def value(self, x):
        self.calls += 1
        if self.calls == self.stop_at:
            raise Stop(4)
        return rosen(x)

    def gradient(self, x):
        return rosen_der(x)


class Enough(Exception):
    pass


def run(
    method, objective=None, on_iterate=lambda x: None, on_gradient=lambda x, g: None, scaling=None, **more
):
    return phase.run(
        method,
        objective or Plain(),
        scaling or Scaling(START),
        on_iterate,
        on_gradient,
        **{"c1": 1e-4, "c2": 0.4, "options": None, "hessp": rosen_hess_prod, **more},
    )


@pytest.mark.parametrize("method", [phase.name for phase in PHASES.values() if phase.external])
def test_every_method_goes_on_until_it_is_stopped(method):
    """Its own tolerances are off: it passes gtol 1e-5, where by itself it would have ended."""

    def on_iterate(x):
        path.append(x)
        if np.max(np.abs(rosen_der(x))) < 1e-7:
            raise Enough

    path = []
    with pytest.raises(Enough):
        run(method, on_iterate=on_iterate)
    np.testing.assert_allclose(path[-1], 1.0, atol=1e-5)


@pytest.mark.parametrize("method", [phase.name for phase in PHASES.values() if phase.external])
@pytest.mark.parametrize("stop_at", [1, 2, 7])
def test_the_drivers_stop_passes_through(method, stop_at):
    objective = Plain(stop_at)
    with pytest.raises(Stop):
        run(method, objective)
    assert objective.calls == stop_at


@pytest.mark.parametrize("method", ["CG", "BFGS", "L-BFGS-B"])
def test_in_plain_variables_it_is_scipys_own_run(method):
    ours, theirs = [], []

    def on_iterate(x):
        ours.append(x)
        if len(ours) == 8:
            raise Enough

    with pytest.raises(Enough):
        run(method, on_iterate=on_iterate, c2=0.4 if method == "CG" else 0.9)
    extra = {"maxcor": 20} if method == "L-BFGS-B" else {}
    scipy_minimize(
        lambda z: rosen(START + z),
        np.zeros(3),
        jac=lambda z: rosen_der(START + z),
        method=method,
        callback=lambda z: theirs.append(START + z),
        options={"maxiter": 8, **extra},
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_gradients_are_shown_in_x():
    shown = []
    rng = np.random.default_rng(0)
    s = rng.normal(size=3)
    scaling = Scaling(START, 0.5, [(s, 2 * s)])

    def on_gradient(x, g):
        shown.append(x)
        np.testing.assert_array_equal(g, rosen_der(x))
        if len(shown) == 5:
            raise Enough

    with pytest.raises(Enough):
        run("CG", on_gradient=on_gradient, scaling=scaling)
    np.testing.assert_array_equal(shown[0], START)


def test_nan_looks_like_infinity_to_the_line_search():
    class Holed(Plain):
        def value(self, x):
            self.calls += 1
            return np.nan if x[0] > 0 else rosen(x)

    path = []

    def on_iterate(x):
        path.append(x)
        if len(path) == 5:
            raise Enough

    with contextlib.suppress(Enough):
        run("L-BFGS-B", Holed(), on_iterate=on_iterate)
    assert path
    assert all(x[0] <= 0 for x in path)


def test_the_callers_options_win():
    assert "iterations" in run("CG", options={"maxiter": 2}).lower()
    path = []
    run("L-BFGS-B", on_iterate=path.append, options={"gtol": 1.0})
    assert len(path) >= 1
    assert np.max(np.abs(rosen_der(path[-1]))) <= 1.0


def test_a_callable_with_scipys_protocol_is_a_convex_method():
    """A plain gradient descent, with the arguments that SciPy hands to a custom method."""
    seen = {}

    def descent(fun, x0, args=(), jac=None, callback=None, **rest):
        seen.update(rest)
        x, f, rate = x0, fun(x0), 1e-3
        for _ in range(30000):
            trial = x - rate * jac(x)
            f_trial = fun(trial)
            if f_trial < f:
                x, f, rate = trial, f_trial, 1.2 * rate
                callback(x)
            else:
                rate *= 0.5
        return OptimizeResult(x=x, fun=f, success=True, message="descended")

    result = minimize(
        rosen,
        START,
        jac=rosen_der,
        options={"convex_method": descent, "guard": False, "maxiter": 30000, "gtol": 1e-3},
    )
    assert result.success
    np.testing.assert_allclose(result.x, 1.0, atol=1e-2)
    assert any(swap["to"] == "convex" for swap in result.swaps)
    assert "constraints" in seen


def test_warnings_of_the_line_search_are_not_shown():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = minimize(lambda x: float(np.abs(x[0])), [1.1], jac=lambda x: np.sign(x))
    assert result.fun < 1.1


@pytest.mark.parametrize("method", ["CG", "BFGS"])
def test_a_line_search_at_a_kink_ends_after_24_trials(method):
    """Next to a kink no slope is small enough for Wolfe: SciPy's search alone tries 100 points and more.

    A kink is one in all variables, so that the same method is not tried again in plain ones.
    """

    def kinked(x):
        return float(np.abs(x - 1.3).sum() + 0.1 * x @ x), np.sign(x - 1.3) + 0.2 * x

    options = {"convex_method": method, "swap": 1, "guard": False, "maxfun": 600}
    result = minimize(kinked, [3.0, -2.0, 5.0], jac=True, options=options)
    found = [swap for swap in result.swaps if swap["reason"].startswith("a line search of 24 trials")]
    assert [(swap["from"], swap["to"]) for swap in found] == [(method, "memory-cg")]
    assert found[0]["evaluations"] < 100  # of which the search has 2 * 25
    assert result.fun == pytest.approx(3 * 0.1 * 1.3**2, abs=1e-9)
