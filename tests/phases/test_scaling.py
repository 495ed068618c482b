"""The change of variables: exact algebra of the product form, and what it does for conjugate gradients."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize as scipy_minimize

from twophase_min import minimize, problems
from twophase_min.phases import scaling as precondition
from twophase_min.phases.scaling import Scaling

searched = settings(max_examples=40, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


def positive_definite(rng, n):
    Q = np.linalg.qr(rng.normal(size=(n, n)))[0]
    return Q @ np.diag(np.exp(rng.uniform(-2, 2, n))) @ Q.T


def made(seed, n, m):
    rng = np.random.default_rng(seed)
    A = positive_definite(rng, n)
    steps = rng.normal(size=(m, n))
    return Scaling(rng.normal(size=n), rng.uniform(0.5, 2.0, n), [(s, A @ s) for s in steps]), A, steps


def matrix(scaling, n):
    return np.column_stack([scaling.apply(e) for e in np.eye(n)])


@pytest.fixture(autouse=True, scope="module", params=["matrix", "factors"])
def form(request):
    """Either way of keeping S: a matrix for few variables, factors for many."""
    patch = pytest.MonkeyPatch()
    patch.setattr(precondition, "DENSE", 64 if request.param == "matrix" else 0)
    yield
    patch.undo()


@searched
@given(seed=seeds, n=st.integers(1, 6), m=st.integers(0, 5))
def test_pull_is_the_transpose_of_apply(seed, n, m):
    """Property: g'(S z) == (S'g)'z, so that pull(g) is the gradient of f(origin + S z)."""
    scaling, _, _ = made(seed, n, m)
    rng = np.random.default_rng(seed)
    z, g = rng.normal(size=n), rng.normal(size=n)
    assert g @ scaling.apply(z) == pytest.approx(scaling.pull(g) @ z, rel=1e-8, abs=1e-8)


@searched
@given(seed=seeds, n=st.integers(1, 6), m=st.integers(0, 5))
def test_the_origin_is_kept_exactly(seed, n, m):
    """Property: z = 0 is the origin, bit for bit."""
    scaling, _, _ = made(seed, n, m)
    np.testing.assert_array_equal(scaling.to_x(np.zeros(n)), scaling.origin)


@searched
@given(seed=seeds, n=st.integers(1, 5), m=st.integers(1, 4))
def test_the_product_form_is_the_bfgs_update(seed, n, m):
    """Property: S S' is the BFGS inverse Hessian of the diagonal and the pairs."""
    scaling, A, steps = made(seed, n, m)
    H = np.diag(np.broadcast_to(scaling.diagonal, n) ** 2)
    for s in steps:
        y = A @ s
        V = np.eye(n) - np.outer(y, s) / (s @ y)
        H = V.T @ H @ V + np.outer(s, s) / (s @ y)
    S = matrix(scaling, n)
    np.testing.assert_allclose(S @ S.T, H, rtol=1e-6, atol=1e-8 * np.max(np.abs(H)))


@searched
@given(seed=seeds, n=st.integers(1, 5), m=st.integers(1, 4))
def test_the_newest_pair_satisfies_the_secant_equation(seed, n, m):
    """Property: S S' y = s for the last pair."""
    scaling, A, steps = made(seed, n, m)
    s = steps[-1]
    np.testing.assert_allclose(scaling.apply(scaling.pull(A @ s)), s, rtol=1e-6, atol=1e-8)


def test_pairs_without_positive_curvature_are_skipped():
    s = np.array([1.0, 0.0])
    for y in (-s, 0 * s, np.array([0.0, 1.0]), np.full(2, np.nan)):
        scaling = Scaling(np.zeros(2), 1.0, [(s, y)])
        assert scaling.used == 0
        np.testing.assert_array_equal(scaling.apply(s), s)


def test_rescaling_multiplies_s():
    scaling, _, _ = made(0, 4, 3)
    before = matrix(scaling, 4)
    scaling.rescale(3.0)
    np.testing.assert_allclose(matrix(scaling, 4), 3.0 * before)


def test_the_gradient_in_the_new_variables_is_right():
    problem = problems.get("rosenbrock")
    scaling, _, _ = made(1, 2, 2)

    def fun(z):
        return problem.fun(scaling.to_x(z))

    z = np.array([0.3, -0.2])
    g = scaling.pull(problem.grad(scaling.to_x(z)))
    h = 1e-6
    numeric = [(fun(z + h * e) - fun(z - h * e)) / (2 * h) for e in np.eye(2)]
    np.testing.assert_allclose(g, numeric, rtol=1e-5)


def test_conjugate_pairs_make_a_quadratic_round():
    """With n conjugate pairs S S' is the inverse Hessian: conjugate gradients need a step or two."""
    problem = problems.convex_quadratic(8, 1e4, 3)
    A = problem.hess(problem.x0)
    steps = []
    for s in np.random.default_rng(0).normal(size=(8, 8)):
        for t in (*steps, *steps):  # Gram-Schmidt in the product of A, twice for accuracy
            s = s - (t @ A @ s) / (t @ A @ t) * t
        steps.append(s)
    scaling = Scaling(np.array(problem.x0), 1.0, [(s, A @ s) for s in steps])
    plain = scipy_minimize(problem.fun, problem.x0, jac=problem.grad, method="CG")
    scaled = scipy_minimize(
        lambda z: problem.fun(scaling.to_x(z)),
        np.zeros(8),
        jac=lambda z: scaling.pull(problem.grad(scaling.to_x(z))),
        method="CG",
        options={"gtol": 1e-6},
    )
    assert plain.nit > 10
    assert scaled.nit <= 3
    np.testing.assert_allclose(scaling.to_x(scaled.x), problem.x_min, atol=1e-4)


@pytest.mark.parametrize("precondition", ["auto", None])
def test_both_settings_solve_the_same_problem(precondition):
    problem = problems.convex_quadratic(10, 1e3, 5)
    result = minimize(problem.fun, problem.x0, jac=problem.grad, options={"precondition": precondition})
    assert result.success
    np.testing.assert_allclose(result.x, problem.x_min, atol=1e-4)
