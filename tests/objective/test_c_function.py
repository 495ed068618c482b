"""Objectives by the address of a C function: recognised, run in both engines, refused with a reason."""

from __future__ import annotations

import ctypes
import math

import numpy as np
import pytest
from scipy import LowLevelCallable

from twophase_min import Status, minimize, multistart
from twophase_min.jit.compilation import DISABLED
from twophase_min.objective.c_function import CObjective, c_objective

VECTOR = ctypes.POINTER(ctypes.c_double)
FORM = ctypes.CFUNCTYPE(ctypes.c_double, VECTOR, VECTOR, ctypes.c_int64)
FORM_WITH_DATA = ctypes.CFUNCTYPE(ctypes.c_double, VECTOR, VECTOR, ctypes.c_int64, ctypes.c_void_p)


def arrays(x, g, n):
    return np.ctypeslib.as_array(x, (n,)), np.ctypeslib.as_array(g, (n,))


@FORM
def quartic(x, g, n):
    """Stands in for C: a Python function behind a C address."""
    x, g = arrays(x, g, n)
    g[:] = 2.0 * (x - 1.0) + 4.0 * (x - 1.0) ** 3
    return float(np.sum((x - 1.0) ** 2 + (x - 1.0) ** 4))


@FORM_WITH_DATA
def about(x, g, n, data):
    x, g = arrays(x, g, n)
    centre = np.ctypeslib.as_array(ctypes.cast(data, VECTOR), (n,))
    g[:] = 2.0 * (x - centre)
    return float(np.sum((x - centre) ** 2))


@FORM
def fence(x, g, n):
    """Not a number where x0 < 0."""
    x, g = arrays(x, g, n)
    if x[0] < 0.0:
        g[:] = math.nan
        return math.nan
    g[:] = 2.0 * (x - 2.0)
    g[0] += 0.5 / math.sqrt(x[0])
    return float(np.sum((x - 2.0) ** 2) + math.sqrt(x[0]))


def pair(x):
    g = 2.0 * (x - 1.0) + 4.0 * (x - 1.0) ** 3
    return float(np.sum((x - 1.0) ** 2 + (x - 1.0) ** 4)), g


def test_a_ctypes_function_runs_compiled_and_as_in_python():
    x0 = np.array([3.0, -2.0, 0.5])
    compiled = minimize(quartic, x0, jac=True)
    assert compiled.success
    assert np.isnan(compiled.history.time).all()  # nobody looked at the clock: the compiled loop
    driver = minimize(quartic, x0, jac=True, options={"engine": "python", "convex_method": "memory-cg"})
    python = minimize(pair, x0, jac=True, options={"convex_method": "memory-cg"})
    for run in (driver, python):
        assert (run.nfev, run.njev, run.nit) == (compiled.nfev, compiled.njev, compiled.nit)
        np.testing.assert_allclose(run.x, compiled.x, rtol=1e-9)


def test_what_needs_python_calls_the_same_function():
    seen = []
    result = minimize(quartic, [3.0, -2.0], jac=True, callback=lambda x: seen.append(x))
    assert result.success
    assert len(seen) == result.nit


def test_user_data_reach_the_function():
    centre = np.array([1.0, -2.0, 3.0])
    fun = LowLevelCallable(about, centre.ctypes.data_as(ctypes.c_void_p))
    for options in ({}, {"engine": "python"}):
        result = minimize(fun, np.zeros(3), jac=True, options=options)
        assert result.success
        np.testing.assert_allclose(result.x, centre, atol=1e-5)


def test_a_callable_without_user_data():
    assert minimize(LowLevelCallable(quartic), [3.0], jac=True).success


def test_multistart_takes_it():
    starts = np.random.default_rng(0).normal(size=(6, 2))
    found = multistart(quartic, starts, jac=True, workers=2)
    assert np.all(found.success)
    np.testing.assert_allclose(found.x, 1.0, atol=1e-4)


def test_a_value_that_is_not_a_number_is_handled_as_in_python():
    compiled = minimize(fence, [0.3, 1.0], jac=True)
    driver = minimize(fence, [0.3, 1.0], jac=True, options={"engine": "python", "convex_method": "memory-cg"})
    assert (compiled.nfev, compiled.status, compiled.message) == (driver.nfev, driver.status, driver.message)
    assert minimize(fence, [-1.0, 1.0], jac=True).status == Status.NONFINITE


@pytest.mark.skipif(DISABLED, reason="nothing is compiled")
def test_a_cfunc_of_numba():
    import numba

    @numba.cfunc("float64(CPointer(float64), CPointer(float64), int64)")
    def fun(x, g, n):
        total = 0.0
        for i in range(n):
            g[i] = 2.0 * (x[i] - 1.0)
            total += (x[i] - 1.0) ** 2
        return total

    result = minimize(fun, np.zeros(2), jac=True)
    assert result.success
    np.testing.assert_allclose(result.x, 1.0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("double (double *, double *, int64_t)", True),
        ("double (double const *, double *, int64_t)", True),
        ("double (const double *, double *, int64_t, void *)", True),
        ("double (double *, double *, __pyx_t_5numpy_int64_t)", True),
        ("double (double *, double *, Py_ssize_t)", True),
        ("double (double *, double *, int)", False),
        ("double (double *, int64_t)", False),
        ("float (float *, float *, int64_t)", False),
    ],
)
def test_the_signature_of_a_capsule_is_read(name, fits):
    kind = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    new = kind(ctypes.cast(ctypes.pythonapi.PyCapsule_New, ctypes.c_void_p).value)
    text = ctypes.create_string_buffer(name.encode())  # the capsule keeps its address
    capsule = new(ctypes.cast(quartic, ctypes.c_void_p), ctypes.cast(text, ctypes.c_char_p), None)
    fun = LowLevelCallable(capsule)
    if fits:
        value, gradient = c_objective(fun, True, ())(np.array([2.0, 1.0]))
        assert value == 2.0
        np.testing.assert_array_equal(gradient, [6.0, 0.0])
    else:
        with pytest.raises(TypeError, match="int64_t n"):
            c_objective(fun, True, ())


@pytest.mark.parametrize(
    ("fun", "jac", "args", "why"),
    [
        (LowLevelCallable(quartic), None, (), "jac=True"),
        (quartic, True, (1.0,), "user_data"),
        (ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(abs), True, (), "argtypes"),
        (ctypes.CFUNCTYPE(ctypes.c_double, VECTOR, VECTOR, ctypes.c_int32)(max), True, (), "c_int64 for n"),
    ],
)
def test_another_form_is_refused_in_one_sentence(fun, jac, args, why):
    with pytest.raises(TypeError, match=why) as caught:
        minimize(fun, [1.0], args, jac=jac)
    assert "\n" not in str(caught.value)


def test_rows_are_refused():
    with pytest.raises(TypeError, match="user_data"):
        multistart(quartic, np.zeros((2, 1)), rows=np.ones(2), jac=True)


def test_a_ctypes_function_of_one_number_stays_an_ordinary_one():
    parabola = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.py_object)(lambda x: float(np.sum((x - 1.0) ** 2)))
    assert minimize(parabola, [3.0], jac="2-point").success


def test_an_address_alone_is_called():
    address = ctypes.cast(quartic, ctypes.c_void_p).value
    assert CObjective(address)(np.array([2.0]))[0] == 2.0
