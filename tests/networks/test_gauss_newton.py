"""Gauss-Newton products: against Jacobians and Hessians by autograd, and the properties of such a matrix."""

from __future__ import annotations

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from twophase_min.curvature.products import hessian_operator
from twophase_min.jit import threads
from twophase_min.networks import MLP
from twophase_min.networks.activations import ACTIVATIONS

from .test_losses import CASES, targets_for
from .test_mlp import ORACLE_ACTIVATIONS

SIZES = (3, 5, 4, 2)
KINKED = {"mae", "quantile", "quantile at 0.9"}  # piecewise linear in the outputs: no curvature


def outputs_of(net, X, T, w):
    """The last layer's values, in autograd's functions."""
    a = X
    for i, (n_in, n_out) in enumerate(zip(net.sizes[:-1], net.sizes[1:], strict=True)):
        start = sum((p + 1) * q for p, q in zip(net.sizes[:i], net.sizes[1 : i + 1], strict=True))
        z = anp.dot(a, anp.reshape(w[start : start + n_in * n_out], (n_in, n_out)))
        z = z + w[start + n_in * n_out : start + (n_in + 1) * n_out]
        a = ORACLE_ACTIVATIONS[net.activation](z) if i < len(net.sizes) - 2 else z
    return a


def matrix(net, w, objective):
    """The matrix of the products, column by column."""
    return np.stack([objective.gauss_newtonp(w, e) for e in np.eye(net.n_params, dtype=net.dtype)])


def problem(case, activation="tanh", dtype=np.float64, l2=0.0, n=7, seed=0):
    loss, oracle = CASES[case]
    rng = np.random.default_rng(seed)
    net = MLP(SIZES, activation, loss, l2=l2, dtype=dtype)
    X = rng.normal(size=(n, SIZES[0])).astype(dtype)
    Y = targets_for(loss, rng, n, SIZES[-1]).astype(dtype)
    s = rng.uniform(0.5, 2, size=n)
    w = (net.init(seed) + 0.1 * rng.normal(size=net.n_params)).astype(dtype)
    return net, X, Y, s / s.mean(), w, oracle


@pytest.mark.parametrize("case", sorted(CASES))
@pytest.mark.parametrize("weighted", [False, True])
def test_against_the_jacobian_and_the_losses_hessian(case, weighted):
    net, X, Y, s, w, oracle = problem(case, l2=0.03)
    weights = s if weighted else np.ones_like(s)
    z = outputs_of(net, X, Y, w)
    J = autograd.jacobian(lambda w: outputs_of(net, X, Y, w))(w).reshape(z.size, -1)
    penalty = net.l2 * np.diag(net.pack([(np.ones_like(W), np.zeros_like(b)) for W, b in net.unpack(w)]))
    if case in KINKED:
        H = np.zeros((z.size, z.size))
    else:

        def loss(z):
            return anp.sum(weights * oracle(anp.reshape(z, Y.shape), Y)) / len(Y)

        H = autograd.hessian(loss)(z.ravel())
    got = matrix(net, w, net.objective(X, Y, s if weighted else None))
    np.testing.assert_allclose(got, J.T @ H @ J + penalty, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["labels", "targets"])
def test_squared_error_of_softmax_takes_the_jacobian_of_the_probabilities(kind):
    net = MLP(SIZES, loss="mse", output="softmax")
    rng = np.random.default_rng(0)
    X, y, w = rng.normal(size=(6, 3)), rng.integers(0, 2, 6), net.init(0)
    Y = y if kind == "labels" else rng.uniform(size=(6, 2))

    def probabilities(w):
        z = outputs_of(net, X, Y, w)
        e = anp.exp(z)
        return (e / anp.sum(e, axis=1, keepdims=True)).ravel()

    J = autograd.jacobian(probabilities)(w)
    np.testing.assert_allclose(matrix(net, w, net.objective(X, Y)), 2 * J.T @ J / 12, rtol=0, atol=1e-14)


@given(
    case=st.sampled_from(sorted(CASES)),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    n=st.integers(1, 9),
    weighted=st.booleans(),
    seed=st.integers(0, 2**16),
)
@settings(deadline=None, max_examples=40)
def test_the_matrix_is_symmetric_and_has_no_negative_eigenvalue(case, activation, n, weighted, seed):
    """With every loss, activation, number of samples and weights."""
    net, X, Y, s, w, _ = problem(case, activation, n=n, seed=seed)
    G = matrix(net, w, net.objective(X, Y, s if weighted else None))
    tolerance = 1e-12 * np.abs(G).max() + 3e-14  # log cosh has the curvature 1 - tanh², rounded at 1
    np.testing.assert_allclose(G, G.T, rtol=0, atol=tolerance)
    assert np.linalg.eigvalsh((G + G.T) / 2).min() >= -tolerance


@pytest.mark.parametrize("loss", ["mse", "cross_entropy", "poisson"])
def test_it_is_the_hessian_of_a_linear_model(loss):
    rng = np.random.default_rng(0)
    net = MLP([4, 3], loss=loss, l2=0.1)
    X, Y = rng.normal(size=(9, 4)), targets_for(loss, rng, 9, 3)
    w, v = net.init(0), net.init(1)
    objective = net.objective(X, Y)
    np.testing.assert_allclose(objective.gauss_newtonp(w, v), objective.hessp(w, v), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_blocks_and_sparse_rows_give_the_same(dtype, monkeypatch):
    pytest.importorskip("threadpoolctl")
    rng = np.random.default_rng(0)
    net = MLP([40, 40, 3], loss="cross_entropy", dtype=dtype)
    X, y = rng.normal(size=(1500, 40)).astype(dtype), rng.integers(0, 3, 1500)
    w, v = net.init(0), net.init(1)
    objective = net.objective(X, y)
    monkeypatch.setattr(threads, "_pool", threads.Pool(1))
    alone = objective.gauss_newtonp(w, v)
    monkeypatch.setattr(threads, "_pool", threads.Pool(2))
    tolerance = (1e-13 if dtype == np.float64 else 1e-5) * np.abs(alone).max()
    assert alone.dtype == dtype
    np.testing.assert_allclose(objective.gauss_newtonp(w, v), alone, rtol=0, atol=tolerance)
    sparse = net.gauss_newtonp(w, v, scipy.sparse.csr_array(X), y)
    np.testing.assert_allclose(sparse, alone, rtol=0, atol=tolerance)


def test_it_serves_as_hessp_of_scipy_and_of_the_curvature_reports():
    """A trust region with it fits what a network of the same shape has generated."""
    rng = np.random.default_rng(0)
    net = MLP([2, 4, 1])
    X = rng.normal(size=(60, 2))
    objective = net.objective(X, net.predict(net.init(5), X))
    start = net.init(5) + 0.1 * rng.normal(size=net.n_params)
    result = scipy.optimize.minimize(
        objective, start, jac=True, hessp=objective.gauss_newtonp, method="trust-ncg", options={"gtol": 1e-7}
    )
    assert result.success
    assert result.fun < 1e-6 * objective.value(start)
    operator = hessian_operator(objective, start, hessp=objective.gauss_newtonp, method="hessp")
    v = rng.normal(size=net.n_params)
    np.testing.assert_array_equal(operator(v), objective.gauss_newtonp(start, v))


def test_wrong_shapes_are_named():
    net = MLP([2, 1])
    with pytest.raises(ValueError, match="v must have shape"):
        net.gauss_newtonp(np.zeros(3), np.zeros(2), np.ones((1, 2)), [1.0])
