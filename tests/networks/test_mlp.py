"""Networks over flat vectors: hand-derived derivatives against autograd, views, extremes, input checks."""

from __future__ import annotations

import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
import scipy.optimize
from autograd.scipy.special import erf, logsumexp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erfc

from twophase_min.networks import MLP
from twophase_min.networks.activations import ACTIVATIONS
from twophase_min.objective.check import ridders

SETTINGS = [(loss, output) for loss in ("mse", "cross_entropy") for output in ("identity", "softmax")]
DTYPES = [np.float64, np.float32]
TOLERANCE = {np.float64: 1e-12, np.float32: 2e-5}

ORACLE_ACTIVATIONS = {
    "identity": lambda z: z,
    "tanh": anp.tanh,
    "relu": lambda z: anp.where(z > 0, z, 0.0),
    "gelu": lambda z: z * 0.5 * (1 + erf(z / np.sqrt(2.0))),
    "logistic": lambda z: 1 / (1 + anp.exp(-z)),
}


def oracle(sizes, activation, loss, output, l2, X, T):
    """The loss as written in the class docstring, in float64, for autograd to differentiate."""

    def f(w):
        a, at, penalty = X, 0, 0.0
        for i, (n_in, n_out) in enumerate(pairwise(sizes)):
            W = anp.reshape(w[at : at + n_in * n_out], (n_in, n_out))
            b = w[at + n_in * n_out : at + (n_in + 1) * n_out]
            at += (n_in + 1) * n_out
            penalty = penalty + 0.5 * l2 * anp.sum(W**2)
            z = anp.dot(a, W) + b
            a = ORACLE_ACTIVATIONS[activation](z) if i < len(sizes) - 2 else z
        log_p = z - logsumexp(z, axis=1, keepdims=True)
        if loss == "cross_entropy":
            return -anp.sum(T * log_p) / len(X) + penalty
        p = anp.exp(log_p) if output == "softmax" else z
        return anp.sum((p - T) ** 2) / T.size + penalty

    return f


def problem(sizes=(5, 7, 6, 4), n=30, seed=0, kind="labels"):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, sizes[0]))
    labels = rng.integers(0, sizes[-1], size=n)
    one_hot = np.eye(sizes[-1])[labels]
    targets = {"labels": labels, "one_hot": one_hot, "free": np.abs(rng.normal(size=one_hot.shape))}[kind]
    return X, targets, targets if kind == "free" else one_hot


def close(got, want, tolerance):
    return np.linalg.norm(np.subtract(got, want, dtype=np.float64)) <= tolerance * (1 + np.linalg.norm(want))


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize(("loss", "output"), SETTINGS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("l2", [0.0, 0.03])
@pytest.mark.parametrize("kind", ["labels", "one_hot", "free"])
def test_value_gradient_and_hessian_product_against_autograd(activation, loss, output, dtype, l2, kind):
    net = MLP([5, 7, 6, 4], activation, loss, output, l2=l2, dtype=dtype)
    X, Y, T = problem(kind=kind)
    rng = np.random.default_rng(1)
    w = net.init(2) + rng.normal(scale=0.1, size=net.n_params).astype(dtype)  # biases away from zero too
    v = rng.normal(size=net.n_params).astype(dtype)
    reference = oracle(net.sizes, activation, loss, output, l2, X.astype(dtype).astype(float), T)
    wide = w.astype(float)

    value, gradient = net.loss_and_gradient(w, X, Y)
    product = net.hessp(w, v, X, Y)

    tolerance = TOLERANCE[dtype]
    assert type(value) is float
    assert gradient.dtype == product.dtype == dtype
    assert value == pytest.approx(reference(wide), rel=tolerance)
    assert close(gradient, autograd.grad(reference)(wide), tolerance)
    assert close(product, autograd.hessian_vector_product(reference)(wide, v.astype(float)), 3 * tolerance)


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    activation=st.sampled_from(["tanh", "gelu", "logistic"]),
    setting=st.sampled_from(SETTINGS),
    n=st.integers(1, 9),
    l2=st.sampled_from([0.0, 0.5]),
    seed=st.integers(0, 2**16),
)
@settings(deadline=None, max_examples=60)
def test_directional_differences(sizes, activation, setting, n, l2, seed):
    """For any depth, width and sample count: slope and bend along a random direction match differences."""
    net = MLP([*sizes, 3], activation, *setting, l2=l2)
    X, Y, _ = problem(net.sizes, n, seed)
    w, v = net.init(seed), np.random.default_rng(seed).normal(size=net.n_params)
    v /= np.linalg.norm(v)
    objective = net.objective(X, Y)
    value, gradient = objective(w)
    slope, _ = ridders(lambda t: objective.value(w + t * v), 1e-2)
    bend, _ = ridders(lambda t: objective.gradient(w + t * v), 1e-2)
    assert value == pytest.approx(objective.value(w), rel=1e-14)
    assert gradient @ v == pytest.approx(slope, rel=1e-7, abs=1e-8)
    np.testing.assert_allclose(objective.hessp(w, v), bend, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize(("loss", "output"), SETTINGS)
def test_hessian_is_symmetric(activation, loss, output):
    net = MLP([3, 4, 3], activation, loss, output, l2=0.1)
    objective = net.objective(*problem(net.sizes, 12)[:2])
    w = net.init(0)
    H = np.array([objective.hessp(w, e) for e in np.eye(net.n_params)])
    np.testing.assert_allclose(H, H.T, atol=1e-15)
    assert np.linalg.norm(H) > 0.1


def test_mean_squared_error_is_per_element_and_l2_spares_biases():
    net = MLP([2, 2], l2=0.5)
    w = net.pack([(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([10.0, 20.0]))])
    value = net.loss(w, [[1.0, 0.0], [0.0, 1.0]], [[11.0, 22.0], [13.0, 20.0]])
    # the only residual is 24 - 20; four elements; squared weights sum to 30
    assert value == pytest.approx(16 / 4 + 0.25 * 30, rel=1e-15)


@pytest.mark.parametrize(("loss", "output"), SETTINGS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_labels_and_one_hot_targets_are_the_same_problem(loss, output, dtype):
    net = MLP([5, 4, 4], "tanh", loss, output, dtype=dtype)
    X, labels, one_hot = problem(net.sizes)
    w = net.init(0)
    value, gradient = net.loss_and_gradient(w, X, labels)
    for Y in (one_hot, one_hot.astype(np.uint8), one_hot.astype(bool), labels.astype(np.uint8)):
        other_value, other_gradient = net.loss_and_gradient(w, X, Y)
        assert other_value == value
        np.testing.assert_array_equal(other_gradient, gradient)


def test_nearly_one_hot_targets_are_not_taken_for_labels():
    net = MLP([5, 4, 4], loss="cross_entropy")
    X, _, one_hot = problem(net.sizes)
    smoothed = one_hot.copy()
    smoothed[-1] = 0.25
    two_ones = one_hot.copy()
    two_ones[-1] = 1.0
    values = [net.loss(net.init(0), X, Y) for Y in (one_hot, smoothed, two_ones)]
    assert len(set(values)) == 3


def test_one_output_takes_vector_targets():
    net = MLP([3, 4, 1])
    X = np.random.default_rng(0).normal(size=(6, 3))
    y = np.arange(6)
    value, gradient = net.loss_and_gradient(net.init(0), X, y)
    column_value, column_gradient = net.loss_and_gradient(net.init(0), X, y[:, None].astype(float))
    assert value == column_value
    np.testing.assert_array_equal(gradient, column_gradient)
    assert value == pytest.approx(np.mean((net.predict(net.init(0), X)[:, 0] - y) ** 2))


# -- parameters ---------------------------------------------------------------------------------------------


@given(
    sizes=st.lists(st.integers(1, 6), min_size=2, max_size=5),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None)
def test_pack_and_unpack_are_inverse(sizes, dtype, seed):
    """pack(unpack(w)) is w bit for bit, and every entry of w belongs to exactly one layer's view."""
    net = MLP(sizes, dtype=dtype)
    w = np.random.default_rng(seed).normal(size=net.n_params).astype(dtype)
    layers = net.unpack(w)
    packed = net.pack(layers)
    assert packed.dtype == dtype
    np.testing.assert_array_equal(packed, w)
    assert not np.shares_memory(packed, w)
    assert [W.shape for W, _ in layers] == list(pairwise(sizes))
    assert [b.shape for _, b in layers] == [(size,) for size in sizes[1:]]
    for pair in layers:
        for part in pair:
            assert np.shares_memory(part, w)
            part += 1
    np.testing.assert_array_equal(w, packed + dtype(1))


def test_unpack_refuses_what_it_could_only_copy():
    net = MLP([2, 2])
    for w in (np.zeros(12)[::2], np.zeros(7), np.zeros((6, 1)), [0.0] * 6):
        with pytest.raises(ValueError, match=r"contiguous array of shape \(6,\)"):
            net.unpack(w)


def test_pack_names_the_wrong_layer():
    net = MLP([2, 3, 1])
    with pytest.raises(ValueError, match="expected 2 layers, got 1"):
        net.pack([(np.zeros((2, 3)), np.zeros(3))])
    with pytest.raises(ValueError, match=r"layer 1 must have shapes \(3, 1\) and \(1,\)"):
        net.pack([(np.zeros((2, 3)), np.zeros(3)), (np.zeros((1, 3)), np.zeros(1))])


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_init_is_seeded_and_scaled(activation):
    net = MLP([300, 200, 100], activation)
    w = net.init(3)
    np.testing.assert_array_equal(w, net.init(3))
    np.testing.assert_array_equal(w, net.init(np.random.default_rng(3)))
    assert not np.array_equal(w, net.init(4))
    np.testing.assert_array_equal(
        w.astype(np.float32), MLP([300, 200, 100], activation, dtype=np.float32).init(3)
    )
    (W1, b1), (W2, b2) = net.unpack(w)
    variance = {
        "tanh": 2 / 500,
        "identity": 2 / 500,
        "logistic": 16 * 2 / 500,
        "relu": 2 / 300,
        "gelu": 2 / 300,
    }[activation]
    assert W1.var() == pytest.approx(variance, rel=0.03)
    assert W2.var() == pytest.approx(2 / 300, rel=0.03)
    assert not b1.any()
    assert not b2.any()


# -- extremes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize(("loss", "output"), SETTINGS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1e3, 1e-30])
def test_extreme_weights_give_finite_results_without_warnings(activation, loss, output, dtype, scale):
    net = MLP([5, 7, 4], activation, loss, output, dtype=dtype)
    X, Y, _ = problem(net.sizes)
    w = scale * net.init(0)
    assert scale < 1 or np.abs(net.forward(w, X)).max() > 1e3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value, gradient = net.loss_and_gradient(w, X, Y)
        product = net.hessp(w, net.init(1), X, Y)
        outputs = net.predict(w, X)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    assert np.isfinite(product).all()
    assert np.isfinite(outputs).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_largest_logits_stay_finite(dtype):
    big = 0.2 * float(np.finfo(dtype).max)
    net = MLP([1, 3], loss="cross_entropy", dtype=dtype)
    w = net.pack([(np.zeros((1, 3)), np.array([big, 0.0, -big]))])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value, gradient = net.loss_and_gradient(w, [[0.0]], [2])
    assert value == pytest.approx(2 * big, rel=1e-6)
    np.testing.assert_array_equal(gradient[3:], [1.0, 0.0, -1.0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_hopeless_weights_are_not_finite_and_silent(bad, activation):
    net = MLP([5, 7, 4], activation, "mse", l2=1.0)
    X, Y, _ = problem(net.sizes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value, _ = net.loss_and_gradient(np.full(net.n_params, bad), X, Y)
        net.hessp(np.full(net.n_params, bad), net.init(0), X, Y)
    assert not np.isfinite(value)


@pytest.mark.parametrize("kind", ["labels", "one_hot"])
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_nearly_perfect_fit_keeps_relative_accuracy_in_float32(kind, loss):
    """At a loss of 1e-8 and less, float32 still resolves loss and gradient to about its own precision."""
    margins = np.array([16.0, 18.0, 20.0, 25.0])
    logits = np.zeros((4, 4))
    logits[np.arange(4), np.arange(4)] = margins
    Y = np.arange(4) if kind == "labels" else np.eye(4)
    net = MLP([4, 4], loss=loss, output="softmax", dtype=np.float32)
    value, gradient = net.loss_and_gradient(net.pack([(np.eye(4), np.zeros(4))]), logits, Y)

    rest = 3 * np.exp(-margins)
    q = rest / (1 + rest)  # the probability of all wrong classes together
    if loss == "cross_entropy":
        assert value == pytest.approx(np.mean(np.log1p(rest)), rel=1e-5)
        diagonal = -q * margins / 4
    else:
        assert value == pytest.approx(np.mean((q**2 + q**2 / 3) / 4), rel=1e-5)
        diagonal = -2 / 16 * (1 - q) * 4 / 3 * q**2 * margins
    got = net.unpack(gradient)[0][0].diagonal()
    np.testing.assert_allclose(got, diagonal, rtol=1e-5)


# -- outputs, objectives ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_outputs(dtype):
    X, labels, _ = problem((5, 7, 4))
    net = MLP([5, 7, 4], loss="cross_entropy", dtype=dtype)
    logits_net = MLP([5, 7, 4], loss="cross_entropy", output="identity", dtype=dtype)
    w = net.init(0)
    p, z = net.predict(w, X), net.forward(w, X)
    assert p.dtype == z.dtype == dtype
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(logits_net.predict(w, X), z)
    np.testing.assert_array_equal(net.predict_classes(w, X), p.argmax(axis=1))
    assert net.predict(w, X[:0]).shape == (0, 4)
    assert net.loss(w, X, labels) == logits_net.loss(w, X, labels)
    assert net.loss(w, X, labels) == pytest.approx(-np.mean(np.log(p[np.arange(len(X)), labels])), rel=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_objective_and_finite_sum_are_the_network_over_fixed_data(dtype, l2):
    net = MLP([5, 7, 4], "gelu", "mse", "softmax", l2=l2, dtype=dtype)
    X, _, one_hot = problem(net.sizes, n=61)
    w, v = net.init(0), net.init(1)
    objective, total = net.objective(X, one_hot), net.finite_sum(X, one_hot, batch_size=8, chunk_size=20)
    value, gradient = net.loss_and_gradient(w, X, one_hot)
    assert objective(w)[0] == objective.value_and_gradient(w)[0] == value
    np.testing.assert_array_equal(objective(w)[1], gradient)
    np.testing.assert_array_equal(objective.gradient(w), gradient)
    np.testing.assert_array_equal(objective.hessp(w, v), net.hessp(w, v, X, one_hot))
    assert (objective.n_params, objective.n_samples, total.n_samples) == (net.n_params, 61, 61)

    tolerance = TOLERANCE[dtype]
    summed_value, summed_gradient = total.value_and_gradient(w)
    assert summed_value == pytest.approx(value, rel=tolerance)
    assert total(w) == pytest.approx(value, rel=tolerance)
    assert summed_gradient.dtype == dtype
    assert close(summed_gradient, gradient, tolerance)
    assert close(total.hessp(w, v), net.hessp(w, v, X, one_hot), tolerance)
    indices = next(total.batches(0))
    batch_value, batch_gradient = total.batch_value_and_gradient(w, indices)
    want_value, want_gradient = net.loss_and_gradient(w, X[indices], one_hot[indices])
    assert batch_value == want_value
    np.testing.assert_array_equal(batch_gradient, want_gradient)


def test_scipy_trains_it():
    net = MLP([4, 6, 3], loss="cross_entropy", l2=1e-3)
    X, labels, _ = problem(net.sizes, n=40)
    objective = net.objective(X, labels)
    w0 = net.init(0)
    result = scipy.optimize.minimize(objective, w0, jac=True, method="L-BFGS-B", options={"maxiter": 2000})
    assert result.success
    assert np.abs(objective.gradient(result.x)).max() < 1e-4
    assert result.fun < 0.5 * objective.value(w0)


def test_inputs_are_left_alone_and_results_are_new():
    net = MLP([5, 7, 4], "relu", "cross_entropy", l2=0.1)
    X, _, T = problem(net.sizes, kind="free")
    w, v = net.init(0), net.init(1)
    copies = [a.copy() for a in (w, v, X, T)]
    _, first = net.loss_and_gradient(w, X, T)
    kept = first.copy()
    net.hessp(w, v, X, T)
    net.loss_and_gradient(v, X, T)
    net.predict(w, X)
    np.testing.assert_array_equal(first, kept)
    for array, copy in zip((w, v, X, T), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_one_network_serves_many_threads():
    net = MLP([20, 30, 5], "gelu", "cross_entropy")
    objective = net.objective(*problem(net.sizes, n=200)[:2])
    starts = [net.init(seed) for seed in range(16)]
    alone = [objective(w) for w in starts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(objective, starts))
    for (f, g), (f_threaded, g_threaded) in zip(alone, together, strict=True):
        assert f == f_threaded
        np.testing.assert_array_equal(g, g_threaded)


def test_pickled_objective_is_the_same_function():
    net = MLP([5, 7, 4], "logistic", "cross_entropy", l2=0.1)
    objective = net.objective(*problem(net.sizes)[:2])
    again = pickle.loads(pickle.dumps(objective))
    w = net.init(0)
    assert again.value(w) == objective.value(w)
    assert repr(again) == repr(objective)


def test_gelu_keeps_its_left_tail():
    z = np.array([-8.0, -3.0, 0.0, 3.0])
    want = z * 0.5 * erfc(-z / np.sqrt(2))
    np.testing.assert_allclose(ACTIVATIONS["gelu"].apply(z.copy(), np.zeros(4)), want, rtol=1e-13)


# -- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sizes": [3]}, "sizes"),
        ({"sizes": [3, 0, 1]}, "sizes"),
        (
            {"activation": "swish"},
            "unknown activation 'swish'; choose one of gelu, identity, logistic, relu, tanh",
        ),
        ({"loss": "hinge"}, "unknown loss 'hinge'; choose one of cross_entropy, half_mse, huber"),
        ({"output": "tanh"}, "unknown output 'tanh'"),
        ({"loss": "mae", "output": "softmax"}, "loss 'mae' has no output 'softmax'; choose identity"),
        ({"sizes": [3, 1], "loss": "cross_entropy"}, "at least two outputs"),
        ({"sizes": [3, 1], "output": "softmax"}, "at least two outputs"),
        ({"l2": -1.0}, "l2"),
        ({"l2": np.nan}, "l2"),
        ({"dtype": np.float16}, "float64 or float32, got float16"),
        ({"dtype": complex}, "float64 or float32"),
    ],
)
def test_bad_settings(arguments, message):
    with pytest.raises(ValueError, match=message):
        MLP(**{"sizes": [3, 2], **arguments})


def test_fractional_sizes_are_refused():
    with pytest.raises(TypeError):
        MLP([3, 2.5, 1])


@pytest.mark.parametrize(
    ("X", "Y", "message"),
    [
        (np.zeros((4, 2)), np.zeros(4, int), r"X must have shape \(N, 3\), got \(4, 2\)"),
        (np.zeros(3), np.zeros(1, int), r"X must have shape \(N, 3\), got \(3,\)"),
        (np.zeros((0, 3)), np.zeros(0, int), "no samples"),
        (np.zeros((4, 3)), np.zeros(5, int), r"Y must have shape \(4, 2\) for targets or \(4,\)"),
        (np.zeros((4, 3)), np.zeros((4, 1)), r"got \(4, 1\)"),
        (np.zeros((4, 3)), np.zeros((2, 4)), r"got \(2, 4\)"),
        (np.zeros((4, 3)), np.zeros(4), "must be integers, got float64"),
        (np.zeros((4, 3)), np.array([0, 1, 2, 0]), r"labels must lie in 0..1, got 0..2"),
        (np.zeros((4, 3)), np.array([0, 1, -1, 0]), r"labels must lie in 0..1, got -1..1"),
        (np.zeros((4, 3)), np.zeros((4, 2), complex), "real"),
    ],
)
def test_bad_data(X, Y, message):
    net = MLP([3, 2], loss="cross_entropy")
    for call in (net.loss, net.loss_and_gradient):
        with pytest.raises(ValueError, match=message):
            call(net.init(0), X, Y)
    with pytest.raises(ValueError, match=message):
        net.hessp(net.init(0), net.init(0), X, Y)
    for make in (net.objective, net.finite_sum):
        with pytest.raises(ValueError, match=message):
            make(X, Y)


def test_bad_parameters():
    net = MLP([3, 2])
    X, Y = np.zeros((4, 3)), np.zeros((4, 2))
    with pytest.raises(ValueError, match=r"w must have shape \(8,\), got \(9,\)"):
        net.loss(np.zeros(9), X, Y)
    with pytest.raises(ValueError, match=r"v must have shape \(8,\), got \(8, 1\)"):
        net.hessp(np.zeros(8), np.zeros((8, 1)), X, Y)


@pytest.mark.parametrize("where", ["X", "Y"])
def test_objectives_refuse_non_finite_data(where):
    net = MLP([3, 2])
    data = {"X": np.zeros((4, 3)), "Y": np.zeros((4, 2))}
    data[where][1, 1] = np.nan
    for make in (net.objective, net.finite_sum):
        with pytest.raises(ValueError, match=f"{where} holds NaN or infinite values"):
            make(**data)


@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu", "logistic", "identity"])
@pytest.mark.parametrize("sizes", [[6, 5, 3], [6, 5, 4, 1]])
def test_many_rows_are_laid_out_otherwise_and_give_the_same(sizes, activation):
    """From 512 rows on, products in float64 are computed transposed; the oracle is the mean over parts."""
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(600, 6)), rng.normal(size=(600, sizes[-1]))
    net = MLP(sizes, activation, "half_mse", l2=0.1)
    w = net.init(1)
    parts = [net.loss_and_gradient(w, X[i : i + 100], y[i : i + 100]) for i in range(0, 600, 100)]
    value, gradient = net.loss_and_gradient(w, X, y)
    assert value == pytest.approx(np.mean([f for f, _ in parts]), rel=1e-12)
    np.testing.assert_allclose(gradient, np.mean([g for _, g in parts], axis=0), rtol=1e-9, atol=1e-13)
    assert value == pytest.approx(net.loss(w, X, y), rel=1e-14)
