"""Standard errors: closed forms, the three sources of the Hessian, their error estimates, singular models."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import OptimizeResult, rosen, rosen_der, rosen_hess

from twophase_min import minimize
from twophase_min.curvature import covariance, dense_hessian, hessian_matrix, standard_errors

anp = pytest.importorskip("autograd.numpy")

Y = np.random.default_rng(0).normal(3, 2, 200)
MLE = np.array([Y.mean(), Y.std()])
CLOSED = MLE[1] / np.sqrt([Y.size, 2 * Y.size])
"""Standard errors of mean and deviation, from the information matrix diag(n, 2 n) / sigma^2."""


def gauss(p):
    """Negative log-likelihood of a normal sample, but for a constant."""
    return 0.5 * anp.sum(((Y - p[0]) / p[1]) ** 2) + Y.size * anp.log(p[1])


def gauss_gradient(p):
    z = Y - p[0]
    return np.array([-np.sum(z) / p[1] ** 2, -np.sum(z**2) / p[1] ** 3 + Y.size / p[1]])


def plain(p):
    """The same, so that autograd cannot trace it."""
    return float(gauss([float(p[0]), float(p[1])]))


SOURCES = {
    "autograd, reverse over reverse": (gauss, {}),
    "autograd, forward over reverse": (gauss, {"method": "forward"}),
    "differences of gradients": (plain, {"jac": gauss_gradient}),
    "differences of values": (plain, {}),
    "hess": (plain, {"hess": np.diag([1, 2]) * Y.size / MLE[1] ** 2}),
}


# ---- closed forms


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the logarithm is asked for beyond its domain
@pytest.mark.parametrize("source", SOURCES)
def test_gaussian_likelihood_from_every_source(source):
    """Each source gives the information matrix's errors, to less than its own estimate of its error."""
    fun, given_too = SOURCES[source]
    found = standard_errors(fun, MLE, names=["mean", "deviation"], **given_too)
    assert found.source == source
    assert np.all(np.abs(found.standard_errors - CLOSED) <= found.error + 1e-15)
    assert np.all(found.error < 1e-9)
    assert found.correlation[0, 1] == pytest.approx(0, abs=1e-9)
    assert not found.singular
    assert not found.negative


def design(n=4, m=30):
    rng = np.random.default_rng(3)
    matrix = rng.normal(size=(m, n)) * 10.0 ** np.arange(-n, n, 2)
    return matrix, rng.normal(size=m)


@pytest.mark.parametrize("traced", [True, False])
@pytest.mark.parametrize(("loss", "factor"), [("squares", 1.0), ("half-squares", 0.5)])
def test_linear_regression_is_scaled_by_the_residual_variance(loss, factor, traced):
    """(X'X)^-1 s^2, from the sum of squares and from half of it."""
    matrix, y = design()
    beta, squares, *_ = np.linalg.lstsq(matrix, y, rcond=None)
    exact = np.linalg.inv(matrix.T @ matrix) * squares[0] / (30 - 4)

    def sum_of_squares(b):
        b = b if traced else np.array([float(entry) for entry in b])
        return factor * ((matrix @ b - y) ** 2).sum()

    found = standard_errors(sum_of_squares, beta, loss=loss, n_data=30)
    assert found.variance == pytest.approx(squares[0] / 26)
    np.testing.assert_allclose(found.covariance, exact, rtol=1e-6)
    np.testing.assert_allclose(covariance(sum_of_squares, beta, loss=loss, n_data=30), found.covariance)


def test_chi_square_has_known_errors():
    """chi^2 in units of known errors: (X'X)^-1 with the rows of X divided by them."""
    matrix, y = design()
    errors = np.linspace(0.5, 2, 30)
    beta = np.linalg.lstsq(matrix / errors[:, None], y / errors, rcond=None)[0]
    found = standard_errors(
        lambda b: anp.sum(((anp.dot(matrix, b) - y) / errors) ** 2), beta, loss="chi-square"
    )
    weighted = matrix / errors[:, None]
    np.testing.assert_allclose(found.covariance, np.linalg.inv(weighted.T @ weighted), rtol=1e-9)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_result_of_minimize_serves_as_the_point():
    result = minimize(gauss, [1.0, 1.0], options={"gtol": 1e-8})
    found = standard_errors(gauss, result)
    assert result.success
    np.testing.assert_allclose(found.standard_errors, CLOSED, rtol=1e-6)
    assert found.offset < 1e-6


# ---- the errors of the Hessian


def smooth(seed):
    """A function in badly chosen units with its gradient and Hessian, and a point."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 6))
    a, b, units = rng.normal(size=(n + 3, n)), rng.normal(size=n + 3), 10.0 ** rng.uniform(-4, 4, n)
    x = rng.normal(size=n) / units

    def bend(t):
        return 0.5 * (1 + np.tanh(0.5 * t))

    def value(p):
        z = a @ (units * p)
        return float(np.sum(np.logaddexp(0, z)) + 0.5 * np.sum((z - b) ** 2))

    def gradient(p):
        z = a @ (units * p)
        return units * (a.T @ (bend(z) + z - b))

    z = a @ (units * x)
    weights = bend(z) * (1 - bend(z)) + 1
    return value, gradient, units[:, None] * (a.T * weights) @ a * units, x, units


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_error_estimates_cover_the_truth_of_plain_functions(seed):
    """Every entry lies within its error, whatever the units, and the errors are small."""
    value, gradient, exact, x, _ = smooth(seed)
    sizes = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
    for jac, accuracy in ((None, 1e-7), (gradient, 1e-9)):
        found = dense_hessian(value, x, jac=jac, method="values" if jac is None else "difference")
        assert np.all(np.abs(found.matrix - exact) <= found.error)
        assert np.max(found.error / sizes) < accuracy


@pytest.mark.parametrize("kind", ["noisy values", "noisy gradients", "single precision", "four decimals"])
def test_error_estimates_cover_the_truth_of_noisy_functions(kind):
    """An entry in fifty may lie beyond its error, by a factor of two at most, over 40 functions."""
    beyond = entries = 0
    for seed in range(40):
        value, gradient, exact, x, units = smooth(seed)
        rng = np.random.default_rng(seed)
        noise = 10.0 ** rng.uniform(-12, -5)
        if kind == "noisy gradients":
            found = dense_hessian(
                None,
                x,
                jac=lambda p, g=gradient, u=units, r=rng, s=noise: g(p) + s * u * r.normal(size=u.size),
            )
        elif kind == "noisy values":
            found = dense_hessian(
                lambda p, f=value, r=rng, s=noise: f(p) + s * r.normal(), x, method="values"
            )
        elif kind == "single precision":
            found = dense_hessian(lambda p, f=value: float(np.float32(f(p))), x, method="values")
        else:
            found = dense_hessian(lambda p, f=value: round(f(p), 4), x, method="values")
        off = np.abs(found.matrix - exact) / found.error
        entries += off.size
        beyond += int(np.sum(off > 1))
        assert np.max(off) < 2
        assert np.all(found.error <= 2e-2 * np.sqrt(np.outer(np.diag(exact), np.diag(exact))))
    assert beyond <= entries / 50


def test_a_second_parabola_far_out_is_not_taken_for_the_first():
    """Differences over long steps agree with each other, not with the curvature at x."""
    rng = np.random.default_rng(0)

    def two(p):
        return float(p[0] ** 2 + 30 * np.exp(-0.5 * p[0] ** 2)) + 1e-6 * rng.normal()

    found = dense_hessian(two, [0.3], method="values")
    exact = 2 + 30 * (0.3**2 - 1) * np.exp(-0.045)
    assert abs(found.matrix[0, 0] - exact) <= 2 * found.error[0, 0] < 0.1


# ---- singular and indefinite


@pytest.mark.parametrize("traced", [True, False])
def test_parameters_that_only_act_together_are_named(traced):
    """f knows a b alone: it does not bend along (1, -b / a), and c's error is not touched."""

    def fun(p):
        a, b, c = p if traced else map(float, p)
        return (a * b - 1) ** 2 + (c - 1) ** 2

    found = standard_errors(fun, [2, 0.5, 1], names=["a", "b", "c"])
    assert found.singular == ("a - 0.25 b",)
    np.testing.assert_allclose(found.directions, [[1, -0.25, 0]], atol=1e-6)
    assert np.isinf(found.standard_errors[:2]).all()
    assert np.isnan(found.error[:2]).all()
    assert found.standard_errors[2] == pytest.approx(0.5**0.5)
    assert "does not bend along a - 0.25 b" in str(found)


def test_a_saddle_is_no_minimum():
    found = standard_errors(lambda p: p[0] ** 2 - p[1] ** 2 + p[0] * p[2] ** 2, [0.0, 0.0, 0.0])
    assert found.negative == ("x[1]",)
    assert found.singular == ("x[2]",)
    assert found.standard_errors[0] == pytest.approx(0.5**0.5)
    assert np.isnan(found.standard_errors[1])
    assert np.isinf(found.standard_errors[2])
    assert "bends down along x[1]" in repr(found)


def test_noise_that_hides_a_curvature_makes_it_singular():
    """A curvature of 1e-12 of f's own noise per unit is not told from none."""
    rng = np.random.default_rng(0)
    found = standard_errors(lambda p: p[0] ** 2 + 1e-14 * p[1] ** 2 + 1e-6 * rng.normal(), [1.0, 1.0])
    assert found.singular == ("x[1]",)


def test_a_constant_function_determines_nothing():
    found = standard_errors(lambda p: 1.0, [1.0, 2.0])
    assert len(found.singular) == 2
    assert np.isinf(found.covariance).all()


def test_a_point_that_is_not_the_minimum_is_said_so():
    found = standard_errors(lambda p: 0.5 * (p[0] - 3) ** 2, [1.0])
    assert found.offset == pytest.approx(2)
    assert "2 standard errors away" in str(found)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 5), st.lists(st.floats(-5, 5), min_size=5, max_size=5), st.integers(0, 2**32 - 1))
def test_units_decide_nothing(n, exponents, seed):
    """Of p = x / u the errors are those of x over u, and the same direction is singular."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(n - 1, n))
    hessian = matrix.T @ matrix
    units = 10.0 ** np.array(exponents[:n])
    one = standard_errors(None, np.ones(n), hess=hessian)
    other = standard_errors(None, np.ones(n), hess=hessian * np.outer(units, units))
    assert len(one.singular) == len(other.singular) == 1
    flat = np.linalg.svd(matrix)[2][-1]
    for found, scale in ((one, np.ones(n)), (other, units)):
        direction = found.directions[0] * scale
        direction *= np.sign(direction @ flat) / np.linalg.norm(direction)
        np.testing.assert_allclose(direction, flat, atol=0.02)  # small parts are left out of the name


# ---- the front doors


def test_hessian_matrix_takes_a_plain_function():
    def cosines(x):
        return float(np.sum(np.cos(x)))

    np.testing.assert_allclose(hessian_matrix(cosines, [1.0, 2.0]), -np.diag(np.cos([1.0, 2.0])), atol=1e-9)
    np.testing.assert_allclose(hessian_matrix(lambda v: 2 * v, 3), 2 * np.eye(3))
    np.testing.assert_allclose(hessian_matrix(lambda v: 2 * v, n=3), 2 * np.eye(3))


def test_a_trace_that_gets_lost_is_found_out():
    """Autograd sees a constant where the value is taken out of the trace; differences of values see it."""

    def lost(x):
        inner = np.array([getattr(entry, "_value", entry) for entry in x])
        while any(hasattr(entry, "_value") for entry in inner):
            inner = np.array([getattr(entry, "_value", entry) for entry in inner])
        return x[0] ** 2 + float(inner @ inner)

    found = dense_hessian(lost, [1.0, 2.0])
    assert found.source == "differences of values"
    np.testing.assert_allclose(found.matrix, [[4, 0], [0, 2]], atol=1e-6)


@pytest.mark.parametrize(
    ("keywords", "error", "text"),
    [
        ({"loss": "mean"}, ValueError, "'half-squares'"),
        ({"loss": "squares"}, ValueError, "n_data is None"),
        ({"loss": "squares", "n_data": 2}, ValueError, "chi-square"),
        ({"names": ["a"]}, ValueError, "1 names for 2 parameters"),
        ({"fun": None}, TypeError, "needs fun"),
        ({"fun": OptimizeResult(x=MLE), "x": gauss}, TypeError, "the function comes first"),
        ({"fun": lambda p: float(np.sqrt(p[0])), "x": [0.0]}, ValueError, "edge of the domain"),
        ({"fun": lambda p: (gauss(p), p)}, ValueError, "returned a pair: pass jac=True"),
        ({"fun": lambda p: (gauss(p), p), "loss": "squares", "n_data": 9}, ValueError, "pass jac=True"),
        ({"fun": lambda p: np.nan}, ValueError, "fun is not finite at x"),
        ({"fun": lambda p: anp.log(-p[0]), "method": "values"}, ValueError, "fun is not finite at x"),
        ({"method": "autograd"}, ValueError, "unknown method 'autograd': choose .*'values'"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_errors_name_the_remedy(keywords, error, text):
    with pytest.raises(error, match=text):
        standard_errors(**{"fun": gauss, "x": MLE, **keywords})


@pytest.mark.parametrize(
    "fun", [rosen, lambda x: float(rosen(np.asarray(x, float)))], ids=["traced", "values"]
)
def test_a_parameter_at_a_bound_is_held(fun):
    """The others have the errors given it: the inverse of their block of the Hessian."""
    result = minimize(rosen, np.full(3, -1.2), jac=rosen_der, bounds=[(None, 0.5), (None, None), (-9, 9)])
    assert result.active.tolist() == [1, 0, 0]
    report = standard_errors(fun, result)
    inner = np.linalg.inv(rosen_hess(result.x)[1:, 1:])
    np.testing.assert_allclose(report.covariance[1:, 1:], inner, rtol=1e-5)
    assert np.isnan(report.standard_errors[0])
    assert report.held == ("x[0]",)
    assert report.offset < 1e-4
    assert "held at a bound: x[0]" in str(report)
    assert "not a minimum" not in str(report)


def test_the_residual_variance_counts_the_free_parameters():
    result = OptimizeResult(x=np.array([1.0, 2.0]), active=np.array([0, 1]))

    def squares(p):
        return 8.0 + (p[0] - 1.0) ** 2 + (p[1] - 3.0) ** 2

    report = standard_errors(squares, result, loss="squares", n_data=10)
    assert report.variance == 1.0  # 9 / (10 - 1)
    np.testing.assert_allclose(report.standard_errors, [1.0, np.nan])


def test_nothing_is_left_where_all_parameters_are_held():
    result = minimize(rosen, [0.2, 0.2], jac=rosen_der, bounds=[(0.2, 0.2)] * 2)
    report = standard_errors(rosen, result)
    assert report.held == ("x[0]", "x[1]")
    assert np.isnan(report.standard_errors).all()
