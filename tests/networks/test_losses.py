"""Losses beyond squared error and softmax, sample weights, sparse input: against autograd, SciPy, copies."""

from __future__ import annotations

import pickle

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
import scipy.sparse
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from twophase_min.networks import MLP, Huber, Quantile
from twophase_min.networks.losses import LOSSES, SquaredError, find_loss
from twophase_min.objective.check import ridders


def log_probability(z):
    """log(1 / (1 + exp(-z))), stable, in autograd's functions."""
    return -anp.logaddexp(0.0, -z)


# one function of (z, t) for each loss, as textbooks write it; the mean over samples is taken by the oracle
ORACLES = {
    "half_mse": lambda z, t: 0.5 * anp.mean((z - t) ** 2, axis=1),
    "mae": lambda z, t: anp.mean(anp.abs(z - t), axis=1),
    "huber": lambda z, t: anp.mean(
        anp.where(anp.abs(z - t) <= 1.0, 0.5 * (z - t) ** 2, anp.abs(z - t) - 0.5), axis=1
    ),
    "quantile": lambda z, t: anp.mean(0.5 * anp.abs(z - t), axis=1),
    "poisson": lambda z, t: anp.mean(anp.exp(z) - t - t * z + scipy.special.xlogy(t, t), axis=1),
    "sigmoid_cross_entropy": lambda z, t: (
        -anp.sum(t * log_probability(z) + (1 - t) * log_probability(-z), axis=1)
    ),
    "mse": lambda z, t: anp.mean((z - t) ** 2, axis=1),
    "cross_entropy": lambda z, t: (
        -anp.sum(t * (z - anp.log(anp.sum(anp.exp(z), axis=1, keepdims=True))), axis=1)
    ),
}
OBJECTS = {
    "huber at 0.3": (
        Huber(0.3),
        lambda z, t: anp.mean(
            anp.where(anp.abs(z - t) <= 0.3, 0.5 * (z - t) ** 2, 0.3 * (anp.abs(z - t) - 0.15)), axis=1
        ),
    ),
    "quantile at 0.9": (
        Quantile(0.9),
        lambda z, t: anp.mean(anp.where(t >= z, 0.9 * (t - z), 0.1 * (z - t)), axis=1),
    ),
    "a value a sample": (
        lambda z, t: anp.sum(anp.log(anp.cosh(z - t)), axis=1),
        lambda z, t: anp.sum(anp.log(anp.cosh(z - t)), axis=1),
    ),
    "a value an output": (
        lambda z, t: anp.log(anp.cosh(z - t)),
        lambda z, t: anp.mean(anp.log(anp.cosh(z - t)), axis=1),
    ),
}
CASES = {**{name: (name, oracle) for name, oracle in ORACLES.items()}, **OBJECTS}


def targets_for(loss, rng, n, m):
    if loss == "poisson":
        return rng.poisson(2.0, size=(n, m)).astype(float)
    if loss == "sigmoid_cross_entropy":
        return rng.integers(0, 2, size=(n, m)).astype(float)
    if loss == "cross_entropy":
        return np.eye(m)[rng.integers(0, m, size=n)]
    return rng.normal(size=(n, m))


def problem(case, n=25, m=3, dtype=np.float64, seed=0):
    """Network, data, weights of the samples with mean 1, and the loss of z as a function for autograd."""
    loss, oracle = CASES[case]
    rng = np.random.default_rng(seed)
    net = MLP([4, m], "tanh", loss, dtype=dtype)
    X = rng.normal(size=(n, 4)).astype(dtype)
    Y = targets_for(loss, rng, n, m).astype(dtype)
    s = rng.uniform(0, 2, size=n).round(1)
    s[0] = 0.0
    s /= s.mean()

    def reference(w, s):
        z = X.astype(float) @ anp.reshape(w[: 4 * m], (4, m)) + w[4 * m :]
        return anp.sum(s * oracle(z, Y.astype(float))) / n

    w = (net.init(seed) + 0.1 * rng.normal(size=net.n_params)).astype(dtype)
    return net, w, X, Y, s, reference


@pytest.mark.parametrize("case", sorted(CASES))
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_value_gradient_and_hessian_product_against_autograd(case, weighted, dtype):
    net, w, X, Y, s, reference = problem(case, dtype=dtype)
    v = np.random.default_rng(1).normal(size=w.size).astype(dtype)
    given, plain = (s, s) if weighted else (None, np.ones_like(s))
    wide, tolerance = w.astype(float), {np.float64: 1e-12, np.float32: 1e-5}[dtype]

    def f(w):
        return reference(w, plain)

    value, gradient = net.loss_and_gradient(w, X, Y, given)
    product = net.hessp(w, v, X, Y, given)
    assert type(value) is float
    assert gradient.dtype == product.dtype == dtype
    assert value == pytest.approx(f(wide), rel=tolerance)
    assert net.loss(w, X, Y, given) == pytest.approx(value, rel=tolerance)
    np.testing.assert_allclose(gradient, autograd.grad(f)(wide), rtol=0, atol=10 * tolerance)
    if case in ("mae", "quantile", "quantile at 0.9"):  # piecewise linear: autograd has no second derivative
        assert not product.any()
    else:
        want = autograd.hessian_vector_product(f)(wide, v.astype(float))
        np.testing.assert_allclose(product, want, rtol=0, atol=30 * tolerance)


@given(
    case=st.sampled_from(
        sorted(set(CASES) - {"mae", "huber", "quantile", "quantile at 0.9", "huber at 0.3"})
    ),
    weighted=st.booleans(),
    seed=st.integers(0, 2**16),
)
@settings(deadline=None, max_examples=40)
def test_directional_differences(case, weighted, seed):
    """For any smooth loss and weights: slope and bend along a random direction match differences."""
    net, w, X, Y, s, _ = problem(case, n=6, seed=seed)
    objective = net.objective(X, Y, s if weighted else None)
    v = np.random.default_rng(seed).normal(size=w.size)
    v /= np.linalg.norm(v)
    slope, _ = ridders(lambda t: objective.value(w + t * v), 1e-2)
    bend, _ = ridders(lambda t: objective.gradient(w + t * v), 1e-2)
    assert objective.gradient(w) @ v == pytest.approx(slope, rel=1e-7, abs=1e-8)
    np.testing.assert_allclose(objective.hessp(w, v), bend, rtol=1e-5, atol=1e-7)


# -- weights ------------------------------------------------------------------------------------------------


@given(
    case=st.sampled_from(sorted(CASES)),
    counts=st.lists(st.integers(0, 3), min_size=8, max_size=8).filter(any),
    unit=st.sampled_from([1.0, 1e-3, 1e300]),
)
@settings(deadline=None, max_examples=60)
def test_a_weight_is_so_many_copies(case, counts, unit):
    """Integer weights, in any unit, give the loss, gradient and product of the data with copies of rows."""
    net, w, X, Y, _, _ = problem(case, n=8)
    v = np.random.default_rng(2).normal(size=w.size)
    rows = np.repeat(np.arange(8), counts)
    weighted = net.objective(X, Y, np.array(counts) * unit)
    copies = net.objective(X[rows], Y[rows])
    assert weighted.value(w) == pytest.approx(copies.value(w), rel=1e-12, abs=1e-15)
    np.testing.assert_allclose(weighted.gradient(w), copies.gradient(w), rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(weighted.hessp(w, v), copies.hessp(w, v), rtol=1e-11, atol=1e-14)


def test_labels_take_weights_as_one_hot_rows_do():
    for loss, output in (("cross_entropy", "softmax"), ("mse", "softmax"), ("mse", "identity")):
        rng = np.random.default_rng(0)
        net = MLP([4, 3], loss=loss, output=output)
        X, labels, s = rng.normal(size=(20, 4)), rng.integers(0, 3, size=20), rng.uniform(size=20)
        nearly = np.eye(3)[labels] + 1e-14  # not exactly one-hot: the path of targets
        value, gradient = net.loss_and_gradient(net.init(0), X, labels, s)
        other, other_gradient = net.loss_and_gradient(net.init(0), X, nearly, s)
        assert value == pytest.approx(other, rel=1e-11)
        np.testing.assert_allclose(gradient, other_gradient, atol=1e-12)


def test_finite_sums_weigh_by_the_mean_of_the_whole_data():
    net, w, X, Y, s, _ = problem("huber", n=25)
    whole = net.objective(X, Y, s)
    total = net.finite_sum(X, Y, batch_size=7, chunk_size=10, sample_weight=5 * s)
    value, gradient = total.value_and_gradient(w)
    assert value == pytest.approx(whole.value(w), rel=1e-12)
    np.testing.assert_allclose(gradient, whole.gradient(w), rtol=1e-12)
    batches = [(len(i), total.batch_value_and_gradient(w, i)[1]) for i in total.batches(0)]
    np.testing.assert_allclose(sum(n * g for n, g in batches) / 25, whole.gradient(w), atol=1e-15)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(4), r"sample_weight must have shape \(25,\), got \(4,\)"),
        (-np.ones(25), "finite and >= 0"),
        (np.zeros(25), "not zero for all samples"),
        (np.full(25, np.nan), "finite"),
    ],
)
def test_bad_weights(weights, message):
    net, w, X, Y, _, _ = problem("mae")
    with pytest.raises(ValueError, match=message):
        net.loss(w, X, Y, weights)
    with pytest.raises(ValueError, match=message):
        net.finite_sum(X, Y, sample_weight=weights)


# -- extremes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_certain_decisions_keep_their_accuracy(dtype):
    """With a logit of +-60, loss and slope are exp(-60), not a rounded 1 less 1."""
    net = MLP([1, 1], loss="sigmoid_cross_entropy", dtype=dtype)
    w = np.array([60.0, 0.0], dtype=dtype)
    value, gradient = net.loss_and_gradient(w, [[1.0], [-1.0]], [1.0, 0.0])
    assert value == pytest.approx(np.exp(-60.0), rel=1e-5)
    assert gradient[0] == pytest.approx(-np.exp(-60.0), rel=1e-5)
    wrong, _ = net.loss_and_gradient(np.array([1e30, 0.0], dtype=dtype), [[1.0]], [0.0])
    assert wrong == pytest.approx(1e30, rel=1e-6)


def test_poisson_keeps_its_accuracy_near_a_perfect_fit():
    net = MLP([1, 1], loss="poisson")
    t = 1000.0
    w = np.array([0.0, np.log(t) + 1e-7])
    # t (exp(u) - 1 - u) = t u^2 / 2 for small u; the parts are 1000 each
    assert net.loss(w, [[1.0]], [t]) == pytest.approx(t * 1e-14 / 2, rel=1e-5)


def test_a_target_of_zero_and_a_huge_rate_warn_of_nothing():
    net = MLP([1, 1], loss="poisson")
    with np.errstate(all="raise"):
        assert net.loss([0.0, 1.0], [[1.0]], [0.0]) == pytest.approx(np.e)
        assert net.loss([0.0, 1e4], [[1.0]], [0.0]) == np.inf


def test_poisson_outputs_are_rates():
    net = MLP([2, 1], loss="poisson")
    w, X = np.array([0.3, -0.2, 0.1]), np.array([[1.0, 2.0]])
    assert net.predict(w, X)[0, 0] == pytest.approx(np.exp(0.3 - 0.4 + 0.1))
    logits = MLP([2, 1], loss="sigmoid_cross_entropy")
    assert logits.predict(w, X)[0, 0] == pytest.approx(scipy.special.expit(0.0))


# -- sparse input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [scipy.sparse.csr_matrix, scipy.sparse.csc_array, scipy.sparse.coo_array])
@pytest.mark.parametrize("sizes", [[6, 3], [6, 5, 3]])
def test_sparse_input_is_the_same_problem(form, sizes):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 6)) * (rng.uniform(size=(20, 6)) < 0.3)
    y = rng.integers(0, 3, size=20)
    net = MLP(sizes, loss="cross_entropy", l2=0.1)
    w, v = net.init(0), net.init(1)
    dense, sparse = net.objective(X, y), net.objective(form(X), y)
    assert scipy.sparse.issparse(sparse.X)
    assert sparse.value(w) == pytest.approx(dense.value(w), rel=1e-14)
    np.testing.assert_allclose(sparse.gradient(w), dense.gradient(w), atol=1e-15)
    np.testing.assert_allclose(sparse.hessp(w, v), dense.hessp(w, v), atol=1e-14)
    np.testing.assert_allclose(net.predict(w, form(X)), net.predict(w, X), atol=1e-15)
    total = net.finite_sum(form(X), y, batch_size=8, chunk_size=9)
    np.testing.assert_allclose(total.gradient(w), dense.gradient(w), atol=1e-15)
    one = next(total.batches(0))
    np.testing.assert_allclose(
        total.batch_value_and_gradient(w, one)[1], net.loss_and_gradient(w, X[one], y[one])[1], atol=1e-15
    )


def test_sparse_input_with_nan_is_refused():
    X = scipy.sparse.csr_matrix(np.array([[np.nan, 0.0, 1.0]]))
    with pytest.raises(ValueError, match="X holds NaN"):
        MLP([3, 1]).objective(X, [1.0])


# -- choosing a loss ----------------------------------------------------------------------------------------


def test_labels_become_one_hot_rows_for_losses_that_know_no_labels():
    seen = []

    def function(z, t):
        seen.append(t)
        return anp.sum((z - t) ** 2, axis=1)

    net = MLP([2, 3], loss=function)
    net.loss_and_gradient(net.init(0), np.ones((4, 2)), [0, 2, 1, 1])
    np.testing.assert_array_equal(seen[0], np.eye(3)[[0, 2, 1, 1]])


def test_one_hot_rows_stay_targets_for_a_loss_by_label():
    rng = np.random.default_rng(0)
    net = MLP([4, 3], loss="sigmoid_cross_entropy")
    Y = np.eye(3)[rng.integers(0, 3, 10)]
    assert net.objective(rng.normal(size=(10, 4)), Y).Y.shape == (10, 3)


@pytest.mark.parametrize(
    ("loss", "y", "message"),
    [("poisson", [-1.0], ">= 0"), ("sigmoid_cross_entropy", [1.5], "between 0 and 1")],
)
def test_targets_outside_a_loss_are_refused(loss, y, message):
    net = MLP([2, 1], loss=loss)
    with pytest.raises(ValueError, match=message):
        net.objective([[1.0, 2.0]], y)


def test_a_loss_function_that_cannot_serve_says_why():
    X, Y = np.ones((4, 2)), np.ones((4, 3))

    def total(z, t):
        return anp.sum((z - t) ** 2)

    def untraceable(z, t):
        return np.sum(np.asarray(z, dtype=float) - t, axis=1)

    def broken(z, t):
        raise KeyError("mine")

    for function, error, message in (
        (total, ValueError, r"one value for each sample, shape \(4,\)"),
        (untraceable, TypeError, "autograd cannot differentiate the loss function"),
        (broken, KeyError, "mine"),
    ):
        net = MLP([2, 3], loss=function)
        with pytest.raises(error, match=message):
            net.loss_and_gradient(net.init(0), X, Y)


def test_floating_point_errors_of_a_loss_function_are_its_writers():
    """In our arithmetic they are ignored, in the function they are as its writer has set them."""
    seen = []

    def function(z, t):
        seen.append(np.geterr()["over"])
        return anp.sum((z - t) ** 2, axis=1)

    net = MLP([2, 3], loss=function)
    X, Y, w = np.ones((4, 2)), np.ones((4, 3)), net.init(0)
    with np.errstate(over="raise"):
        net.loss(w, X, Y)
        net.loss_and_gradient(w, X, Y)
        net.hessp(w, w, X, Y)
    assert set(seen) == {"raise"}


@pytest.mark.parametrize("make", [lambda: Huber(0.0), lambda: Huber(np.inf), lambda: Quantile(1.0)])
def test_bad_parameters_of_a_loss(make):
    with pytest.raises(ValueError, match="loss must"):
        make()


def test_an_object_is_known_by_its_class():
    loss = Quantile(0.9)
    assert find_loss(loss, None) == ("Quantile(0.9)", "identity", loss)
    assert find_loss("sigmoid_cross_entropy", None)[1] == "logistic"
    assert find_loss(SquaredError(3.0), "identity")[1] == "identity"
    assert {name for name, _ in LOSSES} == set(ORACLES)


def test_networks_with_a_loss_object_can_be_pickled():
    net, w, X, Y, s, _ = problem("quantile at 0.9")
    again = pickle.loads(pickle.dumps(net.objective(X, Y, s)))
    assert again.value(w) == net.loss(w, X, Y, s)
