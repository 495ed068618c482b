"""Hessian products against dense Hessians, Lanczos against dense eigenvalues, estimates against the exact."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from twophase_min.curvature import (
    HessianOperator,
    convexity_report,
    diagonal_estimate,
    extreme_eigenvalues,
    hessian_matrix,
    hessian_operator,
    path_curvature,
    trace_estimate,
)


def rosenbrock(x):
    return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()


def rosenbrock_gradient(x):
    g = np.zeros_like(x)
    g[:-1] = -400.0 * x[:-1] * (x[1:] - x[:-1] ** 2) - 2.0 * (1.0 - x[:-1])
    g[1:] += 200.0 * (x[1:] - x[:-1] ** 2)
    return g


def rosenbrock_hessian(x):
    h = np.zeros((x.size, x.size))
    i = np.arange(x.size - 1)
    h[i, i] = 1200.0 * x[:-1] ** 2 - 400.0 * x[1:] + 2.0
    h[i + 1, i + 1] += 200.0
    h[i, i + 1] = h[i + 1, i] = -400.0 * x[:-1]
    return h


POINT = np.array([-1.2, 1.0, 0.3, -0.7, 2.0])
SPECTRA = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "two eigenvalues": lambda rng, n: np.r_[np.full(n // 2, -1.0), np.full(n - n // 2, 2.0)],
    "one eigenvalue": lambda rng, n: np.full(n, -3.0),
    "geometric": lambda rng, n: 10.0 ** rng.uniform(-8, 0, n),
    "clustered at both ends": lambda rng, n: np.r_[
        -3 + 1e-8 * rng.standard_normal(n // 2), 5 + 1e-8 * rng.standard_normal(n - n // 2)
    ],
    "one tight cluster": lambda rng, n: 1 + 1e-9 * rng.standard_normal(n),
    "low rank, one negative": lambda rng, n: np.r_[
        -0.3, np.zeros(n - n // 4 - 1), 10.0 ** rng.uniform(-6, 3, n // 4)
    ],
    "tiny negative end": lambda rng, n: np.r_[-1e-4, 1e-5 * rng.standard_normal(n - 1) ** 2, 1.0][:n],
    "tiny units": lambda rng, n: 1e-200 * rng.standard_normal(n),
    "huge units": lambda rng, n: 1e200 * np.sort(rng.standard_normal(n)),
}


def symmetric(rng, spectrum):
    q, _ = np.linalg.qr(rng.standard_normal((spectrum.size, spectrum.size)))
    a = (q * spectrum) @ q.T
    return 0.5 * (a + a.T)


# --------------------------------------------------------------------------------- Hessian-vector products


def rosenbrock_traceable(x):
    import autograd.numpy as anp

    return anp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


@pytest.mark.parametrize(
    ("arguments", "source", "accuracy"),
    [
        ({"fun": rosenbrock_traceable}, "reverse over reverse", 1e-13),
        ({"fun": rosenbrock_traceable, "method": "forward"}, "forward over reverse", 1e-13),
        ({"fun": rosenbrock, "jac": rosenbrock_gradient}, "difference", 1e-8),
        ({"fun": lambda x: (rosenbrock(x), rosenbrock_gradient(x)), "jac": True}, "difference", 1e-8),
        ({"fun": None, "jac": rosenbrock_gradient, "step": 1e-4}, "difference", 1e-6),
        ({"fun": rosenbrock, "hess": rosenbrock_hessian}, "hess", 1e-14),
        ({"fun": rosenbrock, "hess": rosenbrock_hessian(POINT)}, "hess", 1e-14),
        ({"fun": rosenbrock, "hessp": lambda x, v: rosenbrock_hessian(x) @ v}, "hessp", 1e-14),
    ],
)
def test_products_agree_with_the_dense_hessian(arguments, source, accuracy):
    operator = hessian_operator(x=POINT, **arguments)
    exact = rosenbrock_hessian(POINT)
    assert source in operator.source
    assert np.abs(hessian_matrix(operator) - exact).max() <= accuracy * np.abs(exact).max()
    assert operator.products == POINT.size
    v = np.random.default_rng(0).standard_normal(5)
    assert (
        np.abs(operator(3 * v) - 3 * exact @ v).max() <= 3 * accuracy * np.abs(exact).max() * np.abs(v).sum()
    )


def test_args_reach_every_source():
    def gradient(x, a, b):
        return 2 * a * x + b

    for arguments in (
        {"fun": lambda x, a, b: (a * x**2).sum() + b, "method": "reverse"},
        {"fun": None, "jac": gradient},
        {"fun": None, "hess": lambda x, a, b: 2 * a * np.eye(2)},
        {"fun": None, "hessp": lambda x, v, a, b: 2 * a * v},
    ):
        operator = hessian_operator(x=[1.0, 2.0], args=(3.0, 1.0), **arguments)
        assert np.allclose(operator(np.array([1.0, -1.0])), [6.0, -6.0], rtol=1e-8)


def test_a_linear_function_has_a_zero_hessian():
    operator = hessian_operator(lambda x: 3.0 * x[0] - x[1], np.ones(2))
    assert np.array_equal(operator(np.ones(2)), np.zeros(2))


def test_difference_of_gradients_at_the_origin_and_along_zero():
    operator = hessian_operator(None, np.zeros(3), jac=lambda x: 4.0 * x)
    assert np.allclose(operator(np.array([0.0, 1e-30, 0.0])), [0.0, 4e-30, 0.0], rtol=1e-9, atol=0)
    assert not operator(np.zeros(3)).any()


def test_errors_name_the_remedy():
    with pytest.raises(TypeError, match="jac="):
        hessian_operator(lambda x: float(np.asarray(x, dtype=float)[0]) ** 2, np.ones(2))(np.ones(2))
    with pytest.raises(TypeError, match="needs"):
        hessian_operator(None, np.ones(2))
    for method in ("hess", "hessp", "difference"):
        with pytest.raises(TypeError, match="needs"):
            hessian_operator(rosenbrock, POINT, method=method)
    with pytest.raises(ValueError, match="one-dimensional"):
        hessian_operator(rosenbrock, np.ones((2, 2)))
    with pytest.raises(ValueError, match="method"):
        hessian_operator(rosenbrock, POINT, method="magic")
    with pytest.raises(ValueError, match="shape"):
        hessian_operator(None, np.ones(2), hessp=lambda x, v: 1.0)(np.ones(2))


# ------------------------------------------------------------------------------------- extreme eigenvalues


@pytest.mark.parametrize("kind", SPECTRA)
@pytest.mark.parametrize("seed", range(20))
def test_extremes_of_random_matrices_agree_with_dense_eigenvalues(kind, seed):
    """200 symmetric matrices: both ends within 1e-6 relative of LAPACK's, at no more than n + 2 products."""
    rng = np.random.default_rng(1000 * list(SPECTRA).index(kind) + seed)
    n = int(rng.integers(1, 301)) if seed else 300
    if kind == "low rank, one negative":
        n = max(n, 8)
    matrix = symmetric(rng, SPECTRA[kind](rng, n))
    exact = np.linalg.eigvalsh(matrix)
    found = extreme_eigenvalues(lambda v: matrix @ v, n, seed=seed)
    assert found.converged
    assert found.products <= n + 2
    rounding = 1e-13 * np.abs(exact).max()
    assert abs(found.lambda_min - exact[0]) <= 1e-6 * abs(exact[0]) + rounding
    assert abs(found.lambda_max - exact[-1]) <= 1e-6 * abs(exact[-1]) + rounding
    for value, vector, error in (
        (found.lambda_min, found.vector_min, found.error_min),
        (found.lambda_max, found.vector_max, found.error_max),
    ):
        scale = np.abs(exact).max()
        assert np.linalg.norm(vector) == pytest.approx(1.0)
        residual = np.linalg.norm((matrix @ vector - value * vector) / scale) * scale
        assert residual <= error * (1 + 1e-6) + 10 * rounding


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float64, st.integers(1, 25), elements=st.floats(-1e3, 1e3, allow_subnormal=False)),
    st.integers(0, 2**31),
)
def test_extremes_of_any_spectrum(spectrum, seed):
    """Whatever the spectrum, converged extremes lie within the tolerance and never outside the spectrum."""
    matrix = symmetric(np.random.default_rng(seed), spectrum)
    exact = np.linalg.eigvalsh(matrix)
    size = np.abs(exact).max()
    found = extreme_eigenvalues(lambda v: matrix @ v, spectrum.size, seed=seed)
    assert found.converged
    assert found.lambda_min >= exact[0] - 1e-12 * size
    assert found.lambda_max <= exact[-1] + 1e-12 * size
    assert found.lambda_min <= exact[0] + 1e-6 * size
    assert found.lambda_max >= exact[-1] - 1e-6 * size


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 17, 60])
def test_the_bound_on_products_holds_and_is_reported(limit):
    rng = np.random.default_rng(0)
    matrix = symmetric(rng, 10.0 ** rng.uniform(-6, 0, 120))
    calls = 0

    def product(v):
        nonlocal calls
        calls += 1
        return matrix @ v

    found = extreme_eigenvalues(product, 120, max_products=limit, tol=1e-10)
    assert calls == found.products <= limit
    assert not found.converged
    exact = np.linalg.eigvalsh(matrix)
    assert exact[0] - 1e-12 <= found.lambda_min <= found.lambda_max <= exact[-1] + 1e-12


def test_thick_restarts_reach_the_same_ends_in_little_memory():
    n = 3000
    spectrum = np.r_[-1.05, np.linspace(-1, 10, n - 2), 10.3]
    found = extreme_eigenvalues(lambda v: spectrum * v, n, basis=20, max_products=2000)
    assert found.converged
    assert found.lambda_min == pytest.approx(-1.05, rel=1e-9)
    assert found.lambda_max == pytest.approx(10.3, rel=1e-9)
    assert np.abs(found.vector_min[0]) == pytest.approx(1.0, abs=1e-6)


def test_one_end_costs_less_than_both():
    rng = np.random.default_rng(4)
    spectrum = np.r_[10.0 ** rng.uniform(-8, 0, 299), 10.0]
    both = extreme_eigenvalues(lambda v: spectrum * v, 300)
    top = extreme_eigenvalues(lambda v: spectrum * v, 300, which="max")
    assert top.converged
    assert top.lambda_max == pytest.approx(10.0, rel=1e-9)
    assert top.vector_min is None
    assert top.products < both.products / 2


def test_zero_and_one_dimensional_operators():
    zero = extreme_eigenvalues(lambda v: 0.0 * v, 50)
    assert zero.converged
    assert tuple(zero) == (0.0, 0.0)
    one = extreme_eigenvalues(lambda v: -7.0 * v, 1)
    assert one.converged
    assert tuple(one) == (-7.0, -7.0)


def test_same_seed_same_result():
    rng = np.random.default_rng(5)
    matrix = symmetric(rng, rng.standard_normal(40))
    first, second = (extreme_eigenvalues(lambda v: matrix @ v, 40, seed=3) for _ in range(2))
    assert first.lambda_min == second.lambda_min
    assert first.products == second.products


def test_non_finite_products_and_bad_arguments_raise():
    with pytest.raises(ValueError, match="finite"):
        extreme_eigenvalues(lambda v: np.nan * v, 3)
    for arguments in (
        {"which": "most"},
        {"relative_to": "x"},
        {"tol": 0.0},
        {"max_products": 0},
        {"basis": 2},
    ):
        with pytest.raises(ValueError):
            extreme_eigenvalues(lambda v: v, 20, **arguments)
    with pytest.raises(ValueError, match="give n"):
        extreme_eigenvalues(lambda v: v)


@pytest.mark.parametrize("activation", ["tanh", "gelu", "relu"])
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_digits_network_against_its_dense_hessian(activation, loss):
    """Hand-derived products: the stated tolerance against the dense Hessian of a network on real digits."""
    from sklearn.datasets import load_digits

    from twophase_min.networks.mlp import MLP

    data, labels = load_digits(return_X_y=True)
    net = MLP((64, 4, 10), activation, loss)
    objective = net.objective(data[:300] / 16.0, labels[:300])
    w = net.init(0)
    operator = hessian_operator(objective, w)
    assert operator.source == "hessp"
    exact = np.linalg.eigvalsh(hessian_matrix(operator))
    for tol in (1e-3, 1e-6):
        found = extreme_eigenvalues(operator, tol=tol)
        assert found.converged
        norm = np.abs(exact).max()
        assert abs(found.lambda_min - exact[0]) <= tol * norm
        assert abs(found.lambda_max - exact[-1]) <= tol * norm
    differences = hessian_operator(objective, w, jac=True, method="difference")
    if activation != "relu":  # a difference across relu's kinks is no derivative
        v = np.random.default_rng(0).standard_normal(w.size)
        assert np.linalg.norm(differences(v) - operator(v)) <= 1e-6 * np.linalg.norm(operator(v))


# ---------------------------------------------------------------------------------------- trace and diagonal


def test_trace_estimate_lies_within_its_errors():
    rng = np.random.default_rng(6)
    spectrum = np.r_[100.0, 50.0, -30.0, rng.standard_normal(197)]
    matrix = symmetric(rng, spectrum)
    misses = []
    for seed in range(40):
        estimate = trace_estimate(lambda v: matrix @ v, 200, products=60, seed=seed)
        assert estimate.products == 60
        misses.append((float(estimate) - spectrum.sum()) / estimate.standard_error)
    assert np.mean(np.abs(misses) < 3) > 0.9
    assert abs(np.mean(misses)) < 1.0


def test_diagonal_estimate_lies_within_its_errors():
    rng = np.random.default_rng(7)
    matrix = symmetric(rng, rng.standard_normal(150)) + np.diag(rng.uniform(1, 2, 150))
    estimate = diagonal_estimate(HessianOperator(lambda v: matrix @ v, 150, "test"), products=100)
    misses = (estimate.values - np.diag(matrix)) / estimate.standard_errors
    assert np.mean(np.abs(misses) < 3) > 0.97
    assert abs(misses.mean()) < 0.5


def test_enough_products_make_trace_and_diagonal_exact():
    matrix = symmetric(np.random.default_rng(8), np.arange(10.0))
    trace = trace_estimate(lambda v: matrix @ v, 10, products=10)
    diagonal = diagonal_estimate(lambda v: matrix @ v, 10, products=12)
    assert trace.value == pytest.approx(45.0)
    assert trace.standard_error == 0.0
    assert np.allclose(diagonal.values, np.diag(matrix))
    assert diagonal.products == 10


# ------------------------------------------------------------------------------------------ report and path


def test_report_tells_a_minimum_from_a_saddle():
    at_minimum = convexity_report(rosenbrock_traceable, np.ones(4))
    assert at_minimum.convex
    assert at_minimum.direction is None
    exact = np.linalg.eigvalsh(rosenbrock_hessian(np.ones(4)))
    assert at_minimum.lambda_min == pytest.approx(exact[0], rel=1e-6)
    assert at_minimum.condition == pytest.approx(exact[-1] / exact[0], rel=1e-6)

    x = np.array([0.0, 1.0])
    saddle = convexity_report(None, x, jac=rosenbrock_gradient)
    assert saddle.verdict == "non-convex"
    hessian, gradient = rosenbrock_hessian(x), rosenbrock_gradient(x)
    assert saddle.direction @ hessian @ saddle.direction < 0
    assert saddle.direction @ gradient <= 0
    assert saddle.gradient_norm == pytest.approx(np.linalg.norm(gradient))
    assert saddle.gradient_curvature == pytest.approx(
        gradient @ hessian @ gradient / (gradient @ gradient), rel=1e-6
    )
    assert "non-convex" in str(saddle)


def test_report_is_undecided_when_products_run_out_on_a_convex_function():
    spectrum = np.logspace(-6, 0, 100)
    report = convexity_report(None, np.ones(100), hessp=lambda x, v: spectrum * v, max_products=6)
    assert report.verdict == "undecided"
    assert not report.converged
    assert "not converged" in str(report)
    assert np.isnan(report.gradient_norm)


def test_tolerance_makes_a_hessian_numerically_semidefinite():
    hessian = np.diag([-1e-4, 1.0])
    assert not convexity_report(None, np.ones(2), hess=hessian).convex
    assert convexity_report(None, np.ones(2), hess=hessian, tol=1e-3).convex


@settings(deadline=None)
@given(st.integers(2, 12), st.integers(1, 6), st.integers(0, 2**31))
def test_path_curvature_of_a_quadratic_lies_within_its_spectrum(k, n, seed):
    """Along any path, s'y / s's of a quadratic lies between its extreme eigenvalues."""
    rng = np.random.default_rng(seed)
    matrix = symmetric(rng, rng.standard_normal(n))
    exact = np.linalg.eigvalsh(matrix)
    xs = rng.standard_normal((k, n))
    curvature = path_curvature(xs, xs @ matrix)
    assert curvature.shape == (k - 1,)
    assert (curvature >= exact[0] - 1e-9).all()
    assert (curvature <= exact[-1] + 1e-9).all()


def test_path_curvature_of_odd_paths():
    xs = np.array([[0.0, 0.0], [0.0, 0.0], [1e-200, 0.0], [np.nan, 0.0], [1.0, 1.0]])
    curvature = path_curvature(xs, 3.0 * xs)
    assert np.isnan(curvature[[0, 2, 3]]).all()
    assert curvature[1] == pytest.approx(3.0)
    assert path_curvature(np.zeros((1, 3)), np.zeros((1, 3))).shape == (0,)
    with pytest.raises(ValueError, match="shape"):
        path_curvature(np.zeros((2, 3)), np.zeros((3, 3)))
