"""Passes over a layer: against NumPy and SciPy, either way round, compiled and as plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, log_softmax

from twophase_min.jit import layers

DTYPES = [np.float64, np.float32]
SLOPES = {
    layers.RELU: lambda a: (a > 0).astype(a.dtype),
    layers.TANH: lambda a: 1 - a * a,
    layers.LOGISTIC: lambda a: a * (1 - a),
    layers.KEPT: lambda a: a,
}


def forms(kernel):
    """The kernel as Python calls it, and its text."""
    return kernel, np.errstate(all="ignore")(kernel.py_func)


def matrix(rng, shape, dtype, special):
    """Normal numbers, some of them special ones."""
    A = rng.normal(size=shape).astype(dtype)
    if special:
        A.flat[rng.integers(0, A.size, 3)] = [np.nan, np.inf, -np.inf]
        A.flat[rng.integers(0, A.size)] = -0.0
    return A


matrices = {
    "shape": st.tuples(st.integers(1, 40), st.integers(1, 9)),
    "dtype": st.sampled_from(DTYPES),
    "across": st.booleans(),
    "special": st.booleans(),
    "seed": st.integers(0, 2**16),
}


@given(**matrices)
@settings(deadline=None)
def test_relu_of_sum(shape, dtype, across, special, seed):
    rng = np.random.default_rng(seed)
    z, b = matrix(rng, shape, dtype, special), rng.normal(size=shape[1]).astype(dtype)
    with np.errstate(invalid="ignore"):
        want = np.maximum(z + b, 0)
    for kernel in forms(layers.relu_of_sum):
        got = z.T.copy() if across else z.copy()
        kernel(got, b, across)
        np.testing.assert_array_equal(got.T if across else got, want)


@pytest.mark.parametrize("kind", SLOPES)
@given(**matrices)
@settings(deadline=None)
def test_pull_back(kind, shape, dtype, across, special, seed):
    """Products as NumPy's, a NaN or infinity where NumPy has one; sums to the rounding of float64."""
    rng = np.random.default_rng(seed)
    delta, a = matrix(rng, shape, dtype, special), matrix(rng, shape, dtype, False)
    with np.errstate(all="ignore"):
        want = delta * SLOPES[kind](a)
        known = np.isfinite(want.sum(axis=0, dtype=np.float64))
        scale = np.abs(want).sum(axis=0, dtype=np.float64)
    for kernel in forms(layers.pull_back):
        got, slopes = (delta.T.copy(), a.T.copy()) if across else (delta.copy(), a.copy())
        sums = np.full(shape[1], 7.0)
        kernel(got, slopes, kind, sums, across)
        got = got.T if across else got
        np.testing.assert_allclose(got, want, rtol=8 * np.finfo(dtype).eps, atol=8 * np.finfo(dtype).eps)
        np.testing.assert_array_equal(np.isfinite(sums), known)
        again = got[:, known].sum(axis=0, dtype=np.float64)
        assert (np.abs(sums[known] - again) <= 1e-14 * scale[known]).all()


@given(
    shape=st.tuples(st.integers(1, 30), st.integers(1, 7)),
    dtype=st.sampled_from(DTYPES),
    size=st.sampled_from([1e-3, 1.0, 30.0]),
    weighted=st.booleans(),
    seed=st.integers(0, 2**16),
)
@settings(deadline=None)
def test_cross_entropy(shape, dtype, size, weighted, seed):
    """Value and gradient to the relative accuracy of the dtype, entry by entry, the label's too."""
    rng = np.random.default_rng(seed)
    z = (size * rng.normal(size=shape)).astype(dtype)
    labels = rng.integers(0, shape[1], shape[0])
    s = rng.uniform(0.5, 2, shape[0]).astype(dtype) if weighted else np.empty(0, dtype)
    weights = s.astype(np.longdouble) if weighted else np.ones(shape[0], np.longdouble)
    wide = z.astype(np.longdouble)
    logs = wide - wide.max(axis=1, keepdims=True)
    p = np.exp(logs)
    total = p.sum(axis=1)
    rows = np.arange(shape[0])
    terms = np.log(total) - logs[rows, labels]
    want = p / total[:, None]
    want[rows, labels] = 0.0
    want[rows, labels] = -want.sum(axis=1)
    want *= (weights / shape[0])[:, None]
    for kernel in forms(layers.cross_entropy):
        got = z.copy()
        value = kernel(got, labels, s)
        # rounding of the logits' differences is part of the question that float32 asks
        tolerance = 8 * float(np.finfo(dtype).eps) * (1 + 4 * size)
        assert value == pytest.approx(float((weights * terms).mean()), rel=tolerance, abs=tolerance**2)
        np.testing.assert_allclose(got, want.astype(float), rtol=tolerance, atol=np.finfo(dtype).tiny)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("where", [0, 1, 2])
def test_cross_entropy_of_a_nan_is_one(dtype, where):
    for kernel in forms(layers.cross_entropy):
        z = np.array([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]], dtype)
        z[0, where] = np.nan
        assert np.isnan(kernel(z, np.array([1, 1]), np.empty(0, dtype)))
        assert np.isnan(z[0]).all()
        assert np.isfinite(z[1]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_cross_entropy_of_a_certain_decision(dtype):
    """The loss of a sample that is all but certain is the odds against it, not 0."""
    for kernel in forms(layers.cross_entropy):
        z = np.array([[40.0, 0.0]], dtype)
        assert kernel(z, np.array([0]), np.empty(0, dtype)) == pytest.approx(expit(-40.0), rel=1e-6)
        np.testing.assert_allclose(z, [[-expit(-40.0), expit(-40.0)]], rtol=1e-6)


def test_cross_entropy_is_scipys():
    rng = np.random.default_rng(0)
    z, labels = rng.normal(size=(50, 5)), rng.integers(0, 5, 50)
    want = -log_softmax(z, axis=1)[np.arange(50), labels].mean()
    for kernel in forms(layers.cross_entropy):
        assert kernel(z.copy(), labels, np.empty(0)) == pytest.approx(want, rel=1e-14)
