"""Nothing of a run outlives it (scipy#20768): what it has held is freed without garbage collection."""

import contextlib
import gc
import time
import weakref

import numpy as np
import pytest

from twophase_min import minimize, multistart

anp = pytest.importorskip("autograd.numpy")

METHODS = ["CG", "BFGS", "L-BFGS-B", "Newton-CG", "trust-ncg", "trust-krylov", "memory-cg", "ssbroyden"]
OURS = {
    "Objective",
    "Driver",
    "ScalarFunction",
    "Scaling",
    "MemoryCG",
    "SSBroyden",
    "Adam",
    "Point",
    "History",
    "OptimizeResult",
}


@pytest.fixture(scope="module", autouse=True)
def what_is_there_already():
    """Set what other tests and imports have left aside, so that each look at all objects is short."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


class Fun:
    """An objective that can be watched, and fails at a given call."""

    def __init__(self, last, error):
        self.calls, self.last, self.error = 0, last, error

    def __call__(self, x):
        self.calls += 1
        if self.calls == self.last:
            raise self.error("stop")
        return anp.sum((x - 1) ** 2 + anp.cos(3 * x) + x**4)

    def grad(self, x):
        return 2 * (x - 1) - 3 * np.sin(3 * x) + 4 * x**3


class Vector(np.ndarray):
    """An array that can be watched."""


def living():
    return [type(thing).__name__ for thing in gc.get_objects() if type(thing).__name__ in OURS]


def left(run, last, error):
    """What is still there after a run that was handed a function and a start, without garbage collection."""
    fun, x0 = Fun(last, error), np.full(6, 3.0).view(Vector)
    watched = [weakref.ref(fun), weakref.ref(x0)]
    gc.collect()
    gc.disable()
    try:
        before = len(living())
        try:
            result = run(fun, x0)
            del result
        except (ValueError, TypeError, KeyboardInterrupt):
            pass
        del fun, x0
        until = time.monotonic() + 2.0  # a thread of a pool that was interrupted may still be ending
        while any(ref() is not None for ref in watched) or living()[before:]:
            if time.monotonic() > until:
                break
            time.sleep(0.01)
        return [ref() for ref in watched if ref() is not None], living()[before:]
    finally:
        gc.enable()


ENDS = [(1, ValueError), (7, ValueError), (25, ValueError), (25, KeyboardInterrupt), (0, None)]


@pytest.mark.parametrize(("last", "error"), ENDS)
@pytest.mark.parametrize("source", ["own", "autograd", "2-point", "3-point", None])
@pytest.mark.parametrize("method", METHODS)
def test_scipy_20768_a_run_is_freed_at_once(method, source, last, error):
    def run(fun, x0):
        jac = (lambda x: fun.grad(x)) if source == "own" else source
        return minimize(fun, x0, jac=jac, options={"convex_method": method, "swap": 3})

    assert left(run, last, error) == ([], [])


@pytest.mark.parametrize(("last", "error"), ENDS)
@pytest.mark.parametrize(
    "method", ["CG", "BFGS", "L-BFGS-B", "Newton-CG", "trust-ncg", "TNC", "SLSQP", "Nelder-Mead"]
)
def test_and_so_is_a_run_of_scipys(method, last, error):
    def run(fun, x0):
        jac = None if method == "Nelder-Mead" else lambda x: fun.grad(x)
        return minimize(fun, x0, jac=jac, method=method)

    assert left(run, last, error) == ([], [])


@pytest.mark.parametrize(("last", "error"), ENDS)
@pytest.mark.parametrize("workers", [1, 2])
def test_and_many_starts(workers, last, error):
    def run(fun, x0):
        return multistart(fun, np.array([x0, x0 + 1]), jac=lambda x: fun.grad(x), workers=workers)

    fun_and_x0, ours = left(run, last, error)
    assert not fun_and_x0
    assert not ours


@pytest.mark.parametrize(("last", "error"), ENDS)
def test_and_differences_by_a_map(last, error):
    def run(fun, x0):
        return minimize(fun, x0, jac="2-point", options={"workers": lambda f, points: (f(p) for p in points)})

    assert left(run, last, error) == ([], [])


def test_and_a_callback_and_the_best_point_on_the_exception():
    """The exception carries the best point, and no way back to itself."""

    def run(fun, x0):
        def callback(x):
            if fun.calls > 10:
                raise ValueError("enough")

        return minimize(fun, x0, jac=lambda x: fun.grad(x), callback=callback)

    assert left(run, 0, None) == ([], [])


def test_the_compiled_engine_lets_go_of_its_exception():
    """The exception that is raised again in Python holds frames, none of which holds it."""
    numba = pytest.importorskip("numba")

    @numba.njit
    def fun(x):
        if x[0] < 2.5:
            raise ValueError("left the table")
        return (x * x).sum()

    @numba.njit
    def jac(x):
        return 2 * x

    # the first run of a process keeps what its loop was prepared with
    minimize(fun, np.full(3, 3.0), jac=jac, options={"engine": "numba", "maxiter": 0})
    x0 = np.full(3, 3.0).view(Vector)
    watched = weakref.ref(x0)
    gc.collect()
    gc.disable()
    try:
        before = len(living())
        with contextlib.suppress(ValueError):
            minimize(fun, x0, jac=jac, options={"engine": "numba"})
            pytest.fail("it has to raise")
        del x0
        assert watched() is None
        assert living()[before:] == []
    finally:
        gc.enable()
