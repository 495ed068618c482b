"""The callable: scipy.optimize.minimize and the global solvers find their own tests' minima with it."""

import warnings

import autograd.numpy as anp
import numpy as np
import pytest
import scipy
from scipy.optimize import (
    basinhopping,
    differential_evolution,
    dual_annealing,
    rosen,
    rosen_der,
    shgo,
)
from scipy.optimize import minimize as scipy_minimize

from twophase_min import minimize, shgo_method, twophase

START = np.array([-1.2, 1.0])
SEEDED = {"seed" if scipy.__version__ < "1.15" else "rng": 1234}
"""How a global solver of the installed SciPy is seeded."""


def wavy(x):
    """Of SciPy's basin-hopping tests: the lowest minimum is at (-0.195, -0.1)."""
    return anp.cos(14.5 * x[0] - 0.3) + (x[1] + 0.2) * x[1] + (x[0] + 0.2) * x[0]


def wavy_der(x):
    return np.array([-14.5 * np.sin(14.5 * x[0] - 0.3) + 2 * x[0] + 0.2, 2 * x[1] + 0.2])


def rastrigin(x):
    return float(np.sum(x**2 - 10 * np.cos(2 * np.pi * x) + 10))


# ---- scipy.optimize.minimize -----------------------------------------------------------------------------


@pytest.mark.parametrize("jac", [rosen_der, True, None, "2-point"])
def test_the_callable_is_a_method_of_scipys_minimize(jac):
    fun = (lambda x: (rosen(x), rosen_der(x))) if jac is True else rosen
    result = scipy_minimize(fun, START, method=twophase, jac=jac)
    assert result.success
    np.testing.assert_allclose(result.x, 1.0, atol=1e-2)


def test_the_callable_and_the_name_are_the_same_method():
    by_name = minimize(rosen, START, jac=rosen_der, tol=1e-7, options={"maxiter": 25})
    by_callable = scipy_minimize(
        rosen, START, method=twophase, jac=rosen_der, tol=1e-7, options={"maxiter": 25}
    )
    np.testing.assert_array_equal(by_name.x, by_callable.x)
    assert (by_name.nit, by_name.nfev, by_name.status) == (
        by_callable.nit,
        by_callable.nfev,
        by_callable.status,
    )


def test_jac_true_costs_one_call_a_point():
    calls = []

    def both(x):
        calls.append(x.copy())
        return rosen(x), rosen_der(x)

    result = scipy_minimize(both, START, method=twophase, jac=True)
    assert result.success
    assert result.nfev == len(calls)


def test_options_tol_and_args_arrive():
    result = scipy_minimize(
        lambda x, a: a * rosen(x),
        START,
        args=(2.0,),
        method=twophase,
        jac=lambda x, a: a * rosen_der(x),
        tol=1e-3,
        options={"convex_method": "memory-cg", "return_all": True},
    )
    assert result.success
    assert len(result.allvecs) == result.nit + 1
    assert 1e-9 < np.max(np.abs(result.jac)) <= 1e-3


@pytest.mark.parametrize("form", ["x", "result"])
def test_callbacks_of_both_forms_stop_it(form):
    seen = []

    def by_x(xk):
        seen.append(xk)
        if len(seen) == 3:
            raise StopIteration

    def by_result(intermediate_result):
        by_x(intermediate_result.x)

    callback = by_x if form == "x" else by_result
    result = scipy_minimize(rosen, START, method=twophase, jac=rosen_der, callback=callback)
    assert result.status == 99
    assert result.nit == len(seen) == 3


# ---- basinhopping ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("jac", ["callable", True, None])
@pytest.mark.parametrize("options", [{}, {"convex_method": "memory-cg"}])
def test_basinhopping_finds_the_lowest_basin(jac, options):
    fun = {"callable": wavy, True: lambda x: (wavy(x), wavy_der(x)), None: wavy}[jac]
    local = {"method": twophase, "jac": wavy_der if jac == "callable" else jac, "options": options}
    result = basinhopping(fun, [1.0, 1.0], niter=50, minimizer_kwargs=local, **SEEDED)
    assert result.lowest_optimization_result.success
    np.testing.assert_allclose(result.x, [-0.195, -0.1], atol=1e-3)
    assert result.fun == pytest.approx(wavy(result.x))
    assert result.nfev > 50
    assert result.njev > 50
    assert result.minimization_failures <= 5


def test_basinhopping_on_a_convex_function():
    def fun(x):
        return 2 * x[0] ** 2 + 2 * x[0] * x[1] + 2 * x[1] ** 2 - 6 * x[0]

    result = basinhopping(fun, [1.0, 1.0], niter=5, minimizer_kwargs={"method": twophase}, **SEEDED)
    np.testing.assert_allclose(result.x, [2.0, -1.0], atol=1e-4)


# ---- dual_annealing --------------------------------------------------------------------------------------


def test_dual_annealing_finds_rastrigins_minimum():
    result = dual_annealing(
        rastrigin, [(-5.12, 5.12)] * 2, minimizer_kwargs={"method": twophase}, **SEEDED, maxiter=200
    )
    assert result.success
    np.testing.assert_allclose(result.x, 0.0, atol=1e-4)
    assert result.fun == pytest.approx(0.0, abs=1e-6)


def test_dual_annealing_with_a_gradient_finds_rosenbrocks():
    result = dual_annealing(
        rosen,
        [(-5.12, 5.12)] * 2,
        minimizer_kwargs={"method": twophase, "jac": rosen_der},
        **SEEDED,
        maxiter=200,
    )
    assert result.success
    np.testing.assert_allclose(result.x, 1.0, atol=1e-3)
    assert result.njev > 0


# ---- shgo ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"gtol": 1e-8}, {"convex_method": "L-BFGS-B"}])
def test_shgo_finds_the_minima_through_the_adapter(options):
    """Of SciPy's shgo tests: (x - 30) sin x has its lowest minimum on [0, 60] at 1.53567906."""
    result = shgo(
        lambda x: (x[0] - 30) * np.sin(x[0]),
        [(0, 60)],
        n=100,
        sampling_method="sobol",
        minimizer_kwargs={"method": shgo_method(**options)},
    )
    assert result.success
    np.testing.assert_allclose(result.x, 1.53567906, atol=1e-4)
    assert result.fun == pytest.approx(-28.44677132, abs=1e-6)
    for known in (55.01782167, 7.80894889, 48.74797493):  # and further minima
        assert np.min(np.abs(result.xl[:, 0] - known)) < 1e-3


def test_shgo_gets_no_point_outside_its_bounds():
    """The slope goes on falling beyond both bounds: a local run must not leave them."""
    result = shgo(
        lambda x: -float(np.sum(x**2)) + 5 * float(np.cos(3 * x[0])),
        [(-2, 3), (-1, 2)],
        n=32,
        sampling_method="sobol",
        minimizer_kwargs={"method": shgo_method()},
    )
    assert np.all(result.xl >= [-2, -1])
    assert np.all(result.xl <= [3, 2])


def test_shgo_hands_on_gradients():
    calls = []

    def jac(x):
        calls.append(1)
        return 2 * x

    result = shgo(
        lambda x: float(np.sum(x**2)),
        [(-1, 6)] * 2,
        minimizer_kwargs={"method": shgo_method()},
        options={"jac": jac},
    )
    assert result.success
    np.testing.assert_allclose(result.x, 0.0, atol=1e-5)
    assert calls


def test_shgo_needs_the_adapter():
    """Why it exists: shgo asks its method for a lower-case name."""
    with pytest.raises(AttributeError, match="lower"):
        shgo(rastrigin, [(-1, 2)] * 2, minimizer_kwargs={"method": twophase})
    assert shgo_method().lower() == "_custom"
    assert scipy_minimize(rosen, START, method=shgo_method(gtol=1e-3), jac=rosen_der).success


# ---- differential_evolution ------------------------------------------------------------------------------


@pytest.mark.parametrize("fun", [rosen, rastrigin])
def test_differential_evolution_polishes_with_it(fun):
    minimum = 1.0 if fun is rosen else 0.0
    bounds = [(0, 2)] * 2 if fun is rosen else [(-5.12, 5.12)] * 2
    rough = differential_evolution(fun, bounds, polish=False, maxiter=25, tol=1e-3, **SEEDED)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = differential_evolution(fun, bounds, polish=twophase, maxiter=25, tol=1e-3, **SEEDED)
    np.testing.assert_allclose(result.x, minimum, atol=1e-3)
    assert result.fun <= rough.fun
    assert result.nfev > rough.nfev
