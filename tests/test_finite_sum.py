"""Means over data: equal to the plain mean, batches that cover the data and can be replayed, input checks."""

from __future__ import annotations

import pickle
import subprocess
import sys

import autograd.numpy as anp
import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from twophase_min.finite_sum import FiniteSum


def mean(w, X, y):
    r = anp.dot(X, w) - y
    return anp.mean(anp.log(1 + r**2)) + 0.1 * anp.sum(w**2)


def mean_gradient(w, X, y):
    r = X @ w - y
    return X.T @ (2 * r / (1 + r**2)) / len(y) + w.dtype.type(0.2) * w


def mean_hessp(w, v, X, y):
    r = X @ w - y
    return X.T @ (2 * (1 - r**2) / (1 + r**2) ** 2 * (X @ v)) / len(y) + 0.2 * v


def both(w, X, y):
    return mean(w, X, y), mean_gradient(w, X, y)


def data(n, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 3)).astype(dtype), rng.normal(size=n).astype(dtype)


FORMS = {
    "jac=True": {"fun": both, "jac": True},
    "jac=True, value": {"fun": both, "jac": True, "value": mean},
    "jac=callable": {"fun": mean, "jac": mean_gradient},
    "jac=None": {"fun": mean},
    "jac='autograd'": {"fun": mean, "jac": "autograd"},
}


def make(form, arrays, **options):
    arguments = dict(FORMS[form])
    return FiniteSum(arguments.pop("fun"), arrays, **arguments, **options)


@given(
    n=st.integers(1, 60),
    batch_size=st.integers(1, 70),
    chunk_size=st.none() | st.integers(1, 70),
    form=st.sampled_from(sorted(FORMS)),
    seed=st.integers(0, 1000),
)
@settings(deadline=None, max_examples=150)
def test_equals_the_plain_mean(n, batch_size, chunk_size, form, seed):
    """For any number of samples, batch and chunk: value and gradient are those over all data to rounding,
    with a penalty inside the function counted once; and the batches of an epoch average to the same."""
    X, y = data(n, seed)
    w = np.random.default_rng(seed).normal(size=3)
    total = make(form, (X, y), batch_size=batch_size, chunk_size=chunk_size, seed=seed)
    f, g = mean(w, X, y), mean_gradient(w, X, y)
    value, gradient = total.value_and_gradient(w)
    for got in (value, total.value(w), total(w)):
        assert type(got) is float
        assert got == pytest.approx(f, rel=1e-13)
    np.testing.assert_allclose(gradient, g, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(total.gradient(w), g, rtol=1e-11, atol=1e-13)

    parts = [(len(i), *total.batch_value_and_gradient(w, i)) for i in total.batches(2)]
    assert sum(size * part for size, part, _ in parts) / n == pytest.approx(f, rel=1e-13)
    np.testing.assert_allclose(sum(size * part for size, _, part in parts) / n, g, rtol=1e-11, atol=1e-13)


@given(n=st.integers(1, 200), batch_size=st.integers(1, 250), epoch=st.integers(0, 10**6))
@settings(deadline=None)
def test_an_epoch_covers_every_sample_once(n, batch_size, epoch):
    """The batches of an epoch partition the samples; all are full but the last, which is not empty."""
    total = FiniteSum(both, data(n), jac=True, batch_size=batch_size)
    batches = list(total.batches(epoch))
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(n))
    assert len(batches) == total.n_batches
    assert total.batch_size == min(batch_size, n)
    assert all(len(batch) == total.batch_size for batch in batches[:-1])
    assert 1 <= len(batches[-1]) <= total.batch_size


@given(seed=st.integers(0, 2**40), epoch=st.integers(0, 2**40))
@settings(deadline=None)
def test_batches_depend_on_seed_and_epoch_alone(seed, epoch):
    """Whatever was drawn before, and in whichever object, (seed, epoch) gives the same batches; another
    seed or epoch gives others."""
    first = FiniteSum(both, data(40), jac=True, batch_size=7, seed=seed)
    second = FiniteSum(mean, data(40, 1), batch_size=7, seed=seed)
    next(second.batches(0))
    list(second.batches(epoch + 1))
    np.random.default_rng(0).normal()
    order = np.concatenate(list(first.batches(epoch)))
    np.testing.assert_array_equal(order, np.concatenate(list(second.batches(epoch))))
    assert not np.array_equal(order, np.concatenate(list(first.batches(epoch + 1))))
    other = FiniteSum(both, data(40), jac=True, batch_size=7, seed=seed + 1)
    assert not np.array_equal(order, np.concatenate(list(other.batches(epoch))))


def test_iterators_of_one_object_do_not_disturb_each_other():
    total = FiniteSum(both, data(30), jac=True, batch_size=4)
    alone = list(total.batches(5))
    woven = [pair[0] for pair in zip(total.batches(5), total.batches(6), strict=True)]
    for a, b in zip(alone, woven, strict=True):
        np.testing.assert_array_equal(a, b)


def test_shuffling_is_uniform_enough():
    total = FiniteSum(both, data(10), jac=True, batch_size=5)
    counts = np.zeros(10)
    for epoch in range(2000):
        counts[next(total.batches(epoch))] += 1
    # each sample is in the first half of 1000 of 2000 epochs, with a standard deviation of 22
    assert np.abs(counts - 1000).max() < 110


@pytest.mark.parametrize("form", sorted(FORMS))
def test_float32_is_kept(form):
    X, y = data(50, dtype=np.float32)
    w = np.array([0.5, -0.2, 0.1], dtype=np.float32)
    seen = []

    def spy(fun):
        def wrapped(*arguments):
            seen.append((arguments[-2].dtype, arguments[-1].dtype))
            return fun(*arguments)

        return wrapped

    arguments = {k: spy(v) if callable(v) else v for k, v in FORMS[form].items()}
    total = FiniteSum(arguments.pop("fun"), (X, y), batch_size=8, chunk_size=20, **arguments)
    value, gradient = total.value_and_gradient(w)
    _, batch_gradient = total.batch_value_and_gradient(w, np.arange(8))
    assert type(value) is float
    assert gradient.dtype == batch_gradient.dtype == total.gradient(w).dtype == np.float32
    np.testing.assert_allclose(gradient, mean_gradient(w.astype(float), X, y), rtol=1e-5)
    assert set(seen) == {(np.dtype(np.float32), np.dtype(np.float32))}


def test_many_chunks_do_not_lose_float32_digits():
    """Sums over 20,000 chunks stay as accurate as one float32 number can be."""
    x = np.random.default_rng(0).uniform(size=20_000).astype(np.float32)

    def fun(w, x):
        return float(x.mean()), x.mean(keepdims=True)

    value, gradient = FiniteSum(fun, x, jac=True, chunk_size=1).value_and_gradient(np.ones(1, np.float32))
    assert value == pytest.approx(x.mean(dtype=np.float64), rel=1e-13)
    assert gradient[0] == np.float32(x.mean(dtype=np.float64))


@pytest.mark.parametrize("form", ["jac=None", "jac='autograd'", "hessp"])
def test_hessian_product(form):
    X, y = data(50)
    w, v = np.array([0.5, -0.2, 0.1]), np.array([1.0, 2.0, -1.0])
    if form == "hessp":
        total = FiniteSum(both, (X, y), jac=True, hessp=mean_hessp, chunk_size=13)
    else:
        total = make(form, (X, y), chunk_size=13)
    np.testing.assert_allclose(total.hessp(w, v), mean_hessp(w, v, X, y), rtol=1e-12)
    with pytest.raises(ValueError, match=r"v must have the shape of w"):
        total.hessp(w, v[:2])


def test_there_is_no_hessian_product_without_a_source():
    assert FiniteSum(both, data(5), jac=True).hessp is None
    assert FiniteSum(mean, data(5), jac=mean_gradient).hessp is None


def test_scipy_minimises_it():
    total = make("jac=None", data(40), chunk_size=16)
    result = scipy.optimize.minimize(
        total, np.zeros(3), jac=total.gradient, hessp=total.hessp, method="trust-ncg", options={"gtol": 1e-10}
    )
    assert result.success
    assert np.abs(mean_gradient(result.x, *data(40))).max() < 1e-9


def test_chunks_are_views_and_bounded():
    X, y = data(100)
    sizes = []

    def fun(w, X_rows, y_rows):
        assert np.shares_memory(X_rows, X)
        sizes.append(len(X_rows))
        return both(w, X_rows, y_rows)

    total = FiniteSum(fun, (X, y), jac=True, batch_size=10, chunk_size=30)
    total.value_and_gradient(np.zeros(3))
    assert sizes == [30, 30, 30, 10]


def test_sizes_are_clipped_to_the_data():
    total = FiniteSum(both, data(20), jac=True)
    assert (total.n_samples, total.batch_size, total.chunk_size, total.n_batches) == (20, 20, 20, 1)
    large = FiniteSum(lambda w, x: 0.0, np.zeros(10_000), batch_size=5000)
    assert (large.batch_size, large.chunk_size, large.n_batches) == (5000, 5000, 2)
    assert FiniteSum(lambda w, x: 0.0, np.zeros(10_000)).chunk_size == 4096


def test_no_result_is_a_buffer_of_the_user():
    buffer = np.zeros(3)

    def fun(w, X, y):
        buffer[:] = mean_gradient(w, X, y)
        return mean(w, X, y), buffer

    total = FiniteSum(fun, data(20), jac=True, batch_size=5, chunk_size=7)
    results = [
        total.gradient(np.ones(3)),
        total.value_and_gradient(np.ones(3))[1],
        total.batch_value_and_gradient(np.ones(3), np.arange(20))[1],
    ]
    total.gradient(np.zeros(3))
    for g in results:
        np.testing.assert_allclose(g, mean_gradient(np.ones(3), *data(20)), rtol=1e-12)


def test_cheap_value_is_used_for_values_alone():
    calls = []

    def value(w, X, y):
        calls.append(len(y))
        return mean(w, X, y)

    total = FiniteSum(both, data(20), jac=True, value=value, chunk_size=8)
    total.value_and_gradient(np.zeros(3))
    assert not calls
    total.value(np.zeros(3))
    assert calls == [8, 8, 4]


def test_a_single_array_is_handed_over_alone():
    x = np.arange(10.0)
    total = FiniteSum(lambda w, x: anp.mean((x - w[0]) ** 2), x, chunk_size=3)
    assert total(np.array([4.5])) == pytest.approx(8.25)
    assert total.gradient(np.array([4.5]))[0] == pytest.approx(0.0, abs=1e-14)
    assert FiniteSum(lambda w, x: 0.0, [1.0, 2.0]).n_samples == 2


def test_integer_parameters_are_differentiated_as_floats():
    total = make("jac=None", data(20))
    np.testing.assert_allclose(total.gradient([1, 0, 2]), mean_gradient(np.array([1.0, 0, 2]), *data(20)))


def test_sparse_rows():
    X, y = data(20)
    total = FiniteSum(both, (scipy.sparse.coo_array(X), y), jac=True, batch_size=6, chunk_size=7)

    def sparse_both(w, X, y):
        r = X @ w - y
        return np.mean(np.log(1 + r**2)) + 0.1 * w @ w, mean_gradient(w, X, y)

    total.fun = sparse_both
    w = np.array([0.5, -0.2, 0.1])
    f, g = total.value_and_gradient(w)
    assert f == pytest.approx(mean(w, X, y))
    np.testing.assert_allclose(g, mean_gradient(w, X, y))
    indices = next(total.batches(0))
    np.testing.assert_allclose(
        total.batch_value_and_gradient(w, indices)[1], mean_gradient(w, X[indices], y[indices])
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_batches_make_the_mean_non_finite(bad, recwarn):
    x = np.zeros(10)
    x[3], x[7] = bad, -bad

    def fun(w, x):
        return float(x.sum()), np.array([x.sum()])

    f, g = FiniteSum(fun, x, jac=True, chunk_size=2).value_and_gradient(np.zeros(1))
    assert not np.isfinite(f)
    assert not np.isfinite(g).any()
    assert not recwarn.list


def test_pickled_sum_is_the_same_function():
    total = FiniteSum(both, data(20), jac=True, batch_size=6, seed=3)
    again = pickle.loads(pickle.dumps(total))
    assert again(np.ones(3)) == total(np.ones(3))
    np.testing.assert_array_equal(next(again.batches(4)), next(total.batches(4)))
    assert repr(again) == "FiniteSum(20 samples, batch_size=6, chunk_size=20, seed=3)"


def test_autograd_is_imported_on_use_only():
    code = "import sys, twophase_min.finite_sum; sys.exit('autograd' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ((np.zeros((3, 2)), np.zeros(4)), {}, r"same first dimension, got \[3, 4\]"),
        ((), {}, "no arrays"),
        (np.zeros((0, 2)), {}, "no samples"),
        (np.float64(3), {}, "first dimension"),
        ([np.zeros((3, 2)), np.zeros(3)], {}, "not a list of arrays"),
        (np.zeros(3), {"batch_size": 0}, "batch_size must be at least 1, got 0"),
        (np.zeros(3), {"batch_size": -2}, "batch_size must be at least 1"),
        (np.zeros(3), {"chunk_size": 0}, "chunk_size must be at least 1"),
        (np.zeros(3), {"seed": -1}, "seed must be at least 0"),
        (np.zeros(3), {"jac": "2-point"}, "jac must be a callable, True, 'autograd' or None"),
        (np.zeros(3), {"jac": False}, "jac must be"),
    ],
)
def test_bad_settings(arrays, options, message):
    with pytest.raises(ValueError, match=message):
        FiniteSum(both, arrays, **{"jac": True, **options})


@pytest.mark.parametrize("options", [{"batch_size": 2.5}, {"seed": None}, {"value": 3}, {"hessp": "exact"}])
def test_bad_types(options):
    with pytest.raises(TypeError):
        FiniteSum(both, np.zeros(3), jac=True, **options)
    with pytest.raises(TypeError, match="fun must be callable"):
        FiniteSum(None, np.zeros(3))


@pytest.mark.parametrize(
    ("fun", "jac", "message"),
    [
        (mean, True, "pair"),
        (both, mean_gradient, "jac=True if it returns"),
        (lambda w, X, y: y, mean_gradient, "scalar"),
        (lambda w, X, y: 1j, mean_gradient, "real"),
        (
            mean,
            lambda w, X, y: np.zeros(2),
            r"jac must return an array of the shape of w, \(3,\), got \(2,\)",
        ),
        (lambda w, X, y: (0.0, np.zeros((3, 1))), True, r"got \(3, 1\)"),
    ],
)
def test_bad_functions(fun, jac, message):
    total = FiniteSum(fun, data(5), jac=jac)
    with pytest.raises(ValueError, match=message):
        total.value_and_gradient(np.zeros(3))
    with pytest.raises(ValueError, match=message):
        total.batch_value_and_gradient(np.zeros(3), np.arange(2))


def test_bad_epoch():
    with pytest.raises(ValueError, match="epoch must be at least 0"):
        FiniteSum(both, data(5), jac=True).batches(-1)


def test_exceptions_of_the_user_pass_through():
    def fun(w, X, y):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        FiniteSum(fun, data(5), jac=True).value(np.zeros(3))


def test_untraceable_function_gets_a_remedy():
    def fun(w, X, y):
        return float(np.sum(w**2))

    total = FiniteSum(fun, data(5))
    assert total(np.ones(3)) == 3.0
    for call in (total.gradient, total.value_and_gradient, lambda w: total.hessp(w, w)):
        with pytest.raises(TypeError, match=r"autograd cannot differentiate fun .*autograd\.numpy"):
            call(np.ones(3))


def test_errors_under_autograd_are_the_users_own():
    def fun(w, X, y):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        FiniteSum(fun, data(5)).gradient(np.zeros(3))
