"""Every other method goes to SciPy: same result, our gradient, callback forms, counters and history."""

import autograd.numpy as anp
import numpy as np
import pytest
import scipy.optimize
from counted import Counted
from scipy.optimize import OptimizeResult, rosen, rosen_der, rosen_hess, rosen_hess_prod

from twophase_min import FiniteSum, minimize, twophase
from twophase_min.networks import MLP

START = np.array([-1.2, 1.0, 0.7])
BY_GRADIENT = ["CG", "BFGS", "L-BFGS-B", "TNC", "SLSQP", "trust-constr", "Newton-CG"]
BY_HESSIAN = ["dogleg", "trust-ncg", "trust-exact", "trust-krylov"]
BY_VALUE = ["Nelder-Mead", "Powell", "COBYLA"]
if scipy.__version__ >= "1.14":
    BY_VALUE.append("COBYQA")


def convex(x):
    """A convex function with a Hessian, so that dogleg serves too."""
    return float(np.sum((x - 1.0) ** 2) + 0.1 * np.sum((x - 1.0) ** 4))


def convex_der(x):
    return 2 * (x - 1.0) + 0.4 * (x - 1.0) ** 3


def convex_hess(x):
    return np.diag(2 + 1.2 * (x - 1.0) ** 2)


def keywords(method):
    given = {"method": method}
    if method not in BY_VALUE:
        given["jac"] = convex_der
    if method in BY_HESSIAN:
        given["hess"] = convex_hess
    if method == "trust-constr":
        given["hess"] = scipy.optimize.BFGS()
    return given


@pytest.mark.parametrize("method", BY_GRADIENT + BY_HESSIAN + BY_VALUE)
@pytest.mark.parametrize("spelling", [str, str.lower])
def test_every_scipy_method_gives_scipys_result(method, spelling):
    given = keywords(method)
    theirs = scipy.optimize.minimize(convex, START, **given)
    fun = Counted(convex)
    given = {**given, "method": spelling(method)}
    if "jac" in given:
        given["jac"] = Counted(convex_der)
    ours = minimize(fun, START, **given)
    assert isinstance(ours, OptimizeResult)
    assert ours.success == theirs.success
    np.testing.assert_array_equal(ours.x, theirs.x)
    assert ours.fun == theirs.fun
    assert ours.message == theirs.message
    assert ours.get("nit") == theirs.get("nit")
    assert ours.nfev == fun.calls
    if "jac" in given:
        assert ours.njev == given["jac"].calls
        assert ours.gradient == "callable"
        assert ours.nfev <= theirs.nfev + 1  # the memo never costs calls; x0 is evaluated once before
    assert ours.swaps == []


@pytest.mark.parametrize("method", BY_GRADIENT + BY_HESSIAN + BY_VALUE)
def test_the_history_is_filled(method):
    iterates = []
    result = minimize(convex, START, callback=lambda x: iterates.append(x), **keywords(method))
    history = result.history
    assert len(iterates) >= 2
    first = 0 if method in BY_VALUE else 1  # x0 is in the record where a gradient is asked for
    assert len(history) == len(iterates) + first
    for i, x in enumerate(iterates):
        if method != "COBYLA":  # hands out the trial, whose value it does not tell
            assert history.fun[i + first] == convex(x)
        if method in BY_GRADIENT and np.isfinite(history.grad_norm[i + first]):
            assert history.grad_norm[i + first] == pytest.approx(np.linalg.norm(convex_der(x)))
    assert np.all(np.diff(history.nfev) >= 0)
    assert history.nfev[-1] <= result.nfev
    assert history.phase[-1] == method
    assert result.phases[-1]["name"] == method


@pytest.mark.parametrize(
    "method", [m for m in BY_GRADIENT + BY_HESSIAN + BY_VALUE if m not in ("TNC", "COBYLA")]
)
@pytest.mark.parametrize("form", ["x", "result", "true"])
def test_the_callback_works_and_stops_in_every_form(method, form):
    seen = []

    def by_x(x):
        seen.append(np.array(x))
        x[:] = 1e9  # a copy
        if len(seen) == 2:
            if form == "true":
                return True
            raise StopIteration
        return False

    def by_result(intermediate_result):
        assert np.isfinite(intermediate_result.fun)
        assert intermediate_result.nfev > 0
        return by_x(intermediate_result.x)

    result = minimize(convex, START, callback=by_result if form == "result" else by_x, **keywords(method))
    assert len(seen) == 2
    assert not result.success or method == "COBYQA"  # which calls a stop by the callback a success
    assert np.all(np.abs(result.x) < 1e3)


@pytest.mark.parametrize("method", ["TNC", "COBYLA"])
def test_a_callback_that_stops_tnc_and_cobyla(method):
    seen = []

    def stop(x):
        seen.append(x)
        raise StopIteration

    result = minimize(convex, START, callback=stop, **keywords(method))
    assert len(seen) == 1
    assert not result.success
    assert result.fun == convex(result.x) <= convex(START)


@pytest.mark.parametrize("jac", [None, "autograd", "2-point", "3-point", "cs", True, rosen_der])
@pytest.mark.parametrize("method", ["BFGS", "CG", "L-BFGS-B", "SLSQP"])
def test_every_source_of_gradients_serves_scipys_methods(method, jac):
    def traceable(x):
        return anp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    fun = Counted((lambda x: (rosen(x), rosen_der(x))) if jac is True else traceable)
    result = minimize(fun, START, method=method, jac=jac)
    np.testing.assert_allclose(result.x, 1.0, atol=1e-2)
    assert result.nfev == fun.calls
    assert result.gradient.startswith({None: "autograd", True: "fused", rosen_der: "callable"}.get(jac, jac))


@pytest.mark.parametrize("jac", [None, "autograd", "2-point", rosen_der])
def test_bounds_are_kept_by_every_evaluation(jac):
    """Differences never step over a bound, nor is a start outside evaluated."""

    def fun(x):
        assert np.all(np.asarray(getattr(x, "_value", x)) >= -0.5 - 1e-12)
        assert np.all(np.asarray(getattr(x, "_value", x)) <= 0.5 + 1e-12)
        return anp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    for start in ([-0.5, 0.2], [-3.0, 0.2]):
        result = minimize(fun, start, method="L-BFGS-B", jac=jac, bounds=[(-0.5, 0.5)] * 2)
        assert result.success
        np.testing.assert_allclose(result.x, [0.5, 0.25], atol=1e-3)
        assert result.nfev > 0


def test_constraints_reach_scipy():
    result = minimize(
        lambda x: anp.sum(x**2),
        [3.0, 2.0],
        method="SLSQP",
        constraints={"type": "eq", "fun": lambda x: x[0] + x[1] - 1},
    )
    assert result.success
    np.testing.assert_allclose(result.x, 0.5, atol=1e-6)


@pytest.mark.parametrize("method", ["Newton-CG", "trust-ncg", "trust-exact"])
def test_hessians_and_arguments_reach_scipy(method):
    given = {"hess": lambda x, a: a * rosen_hess(x)}
    if method != "trust-exact":
        given = {"hessp": lambda x, p, a: a * rosen_hess_prod(x, p)}
    result = minimize(
        lambda x, a: a * rosen(x), START, (2.0,), method, lambda x, a: a * rosen_der(x), **given
    )
    assert result.success
    np.testing.assert_allclose(result.x, 1.0, atol=1e-3)


@pytest.mark.parametrize("method", BY_VALUE)
def test_a_fused_objective_serves_methods_without_gradients(method):
    net = MLP([1, 2, 1])
    X = np.linspace(-1, 1, 8)[:, None]
    objective = net.objective(X, X**2)
    w0 = net.init(0)
    total = FiniteSum(lambda w, X: (float(np.mean((X - w) ** 2)), 2 * np.mean(w - X, axis=0)), X, jac=True)
    assert minimize(objective, w0, method=method, options={"maxiter": 30}).fun <= objective.value(w0)
    assert minimize(total, np.ones(1), method=method).x[0] == pytest.approx(0.0, abs=1e-2)
    both = minimize(
        lambda x: (rosen(x), rosen_der(x)), START, method=method, jac=True, options={"maxiter": 50}
    )
    assert both.fun < rosen(START)


def test_a_network_is_trained_by_scipys_lbfgs():
    net = MLP([1, 6, 1])
    X = np.linspace(-1, 1, 30)[:, None]
    result = minimize(net.objective(X, X**2), net.init(0), method="L-BFGS-B", options={"maxiter": 500})
    assert result.fun < 1e-3
    assert result.nfev == result.njev


def test_a_callable_method_is_passed_on():
    result = minimize(rosen, START, method=twophase, jac=rosen_der)
    assert result.success
    assert result.swaps == [] or result.swaps[0]["to"] == "CG"

    def own(fun, x0, args=(), **rest):
        return OptimizeResult(x=x0, fun=fun(x0), success=True, nfev=1)

    assert minimize(rosen, START, method=own, jac=rosen_der).fun == rosen(START)


def test_an_unknown_method_is_scipys_error():
    with pytest.raises(ValueError, match="Unknown solver"):
        minimize(rosen, START, method="no-such-method", jac=rosen_der)


def test_options_and_tol_reach_scipy_and_stay_unchanged():
    options = {"maxiter": 3, "eps": 1e-7}
    result = minimize(rosen, START, method="BFGS", jac="2-point", options=options)
    assert result.nit == 3
    assert options == {"maxiter": 3, "eps": 1e-7}
    loose = minimize(rosen, START, method="CG", jac=rosen_der, tol=1.0)
    tight = minimize(rosen, START, method="CG", jac=rosen_der, tol=1e-6)
    assert loose.nit < tight.nit
    with pytest.warns(scipy.optimize.OptimizeWarning, match="nonsense"):
        minimize(rosen, START, method="CG", jac=rosen_der, options={"nonsense": 1})


def test_a_raising_function_propagates():
    def fun(x):
        raise RuntimeError("mine")

    for method in ("CG", "Nelder-Mead"):
        with pytest.raises(RuntimeError, match="mine"):
            minimize(fun, START, method=method, jac=rosen_der)


def test_a_fused_function_keeps_its_gradient_within_bounds():
    """It had been left to SciPy's differences, though it knows its gradient."""

    class Fused:
        def value_and_gradient(self, x):
            return float(np.sum((x - 3) ** 2)), 2 * (x - 3)

        __call__ = value_and_gradient

    result = minimize(Fused(), np.zeros(50), method="L-BFGS-B", bounds=[(0, 2)] * 50)
    assert result.success
    np.testing.assert_allclose(result.x, 2.0)
    assert result.gradient.startswith("fused")
    assert result.nfev < 20


def test_a_stop_iteration_of_fun_keeps_the_best_point():
    """It is not the callback's, and goes through like any other exception."""
    values = []

    def fun(x):
        if len(values) == 9:
            raise StopIteration
        values.append(scipy.optimize.rosen(x))
        return values[-1]

    with pytest.raises(StopIteration) as caught:
        minimize(fun, [-1.2, 1.0], jac=scipy.optimize.rosen_der, method="CG")
    assert caught.value.optimize_result.fun == min(values)
