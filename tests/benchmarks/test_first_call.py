"""The objectives of the first calls are Rosenbrock's function, in every language."""

import ctypes
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import first_call

X = np.random.default_rng(0).normal(size=10)


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")
def test_the_objective_in_c(tmp_path):
    first_call.prepare(tmp_path)
    assert not list(tmp_path.rglob("__pycache__"))
    vector = ctypes.POINTER(ctypes.c_double)
    fun = ctypes.CDLL(str(tmp_path / "objective.so")).rosenbrock
    fun.argtypes, fun.restype = [vector, vector, ctypes.c_int64], ctypes.c_double
    x, g = X.copy(), np.empty_like(X)
    assert fun(x.ctypes.data_as(vector), g.ctypes.data_as(vector), x.size) == pytest.approx(rosen(X))
    np.testing.assert_allclose(g, rosen_der(X), rtol=1e-10)


def test_the_objective_for_numba():
    """Its text, without the decorator."""
    source = first_call.BY_NUMBA.format(cache=True)
    assert source.count("@njit(cache=True)\n") == 2
    names = {}
    exec(source.replace("from numba import njit", "").replace("@njit(cache=True)\n", ""), names)
    assert names["fun"](X) == pytest.approx(rosen(X))
    np.testing.assert_allclose(names["gradient"](X), rosen_der(X), rtol=1e-10)
