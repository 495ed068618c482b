"""Dense quasi-Newton methods: the packed kernels against the formulas in dense algebra, and whole runs."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize as scipy_minimize
from scipy.optimize import rosen, rosen_der

from twophase_min import TwoPhaseOptions, minimize
from twophase_min.phases import FAILED, ITERATION, NEED_F, NEED_NOISE, PHASES, P
from twophase_min.phases.line_search import line_init
from twophase_min.phases.quasi_newton import BFGS, SSBFGS, SSBroyden
from twophase_min.phases.quasi_newton_kernels import (
    FULL,
    OPERAND,
    OUT,
    PRODUCT,
    QUASI_NEWTON,
    STEP,
    add_pair,
    coefficients,
    new_state,
    next_trial,
    update_and_multiply,
)
from twophase_min.phases.quasi_newton_kernels import start as begin

PHASE_OF = {"ssbroyden": SSBroyden, "ssbfgs": SSBFGS, "bfgs": BFGS}
NAMES = list(PHASE_OF)
KINDS = pytest.mark.parametrize("kind", PHASE_OF.values(), ids=NAMES)

sizes = st.integers(1, 9)
seeds = st.integers(0, 2**32 - 1)
members = st.sampled_from([0, 1, 2])


def definite(rng, n, spread=2.0):
    """A symmetric positive definite matrix with eigenvalues from 10**-spread to 10**spread."""
    q, _ = np.linalg.qr(rng.normal(size=(n, n)))
    h = q * 10 ** rng.uniform(-spread, spread, n) @ q.T
    return (h + h.T) / 2


def packed(h):
    return np.concatenate([row[: i + 1] for i, row in enumerate(h)])


def unpacked(triangle):
    n = (math.isqrt(8 * triangle.size + 1) - 1) // 2
    h = np.zeros((n, n))
    h[np.tril_indices(n)] = triangle
    return h + np.tril(h, -1).T


def published(name, h, s, y):
    """The update as it is published, H and B dense; an independent text, with b from B itself."""
    n = s.size
    rho = 1 / (s @ y)
    b, hh = rho * s @ np.linalg.solve(h, s), rho * y @ h @ y
    a = b * hh - 1
    phi = tau = 1.0
    if name != "bfgs":
        tau = min(1.0, 1 / b)
    if name == "ssbroyden" and a > 1e-10 and n > 1:
        c = math.sqrt(abs(a) / (1 + a))
        low = min(1.0, hh * (1 - c))
        theta = max((low - 1) / a, min(1 / low, (1 - b) / b))
        sigma = 1 + theta * a
        phi = (1 - theta) / sigma
        share = abs(sigma) ** (1 / (1 - n))
        tau = min(tau * share, sigma) if theta <= 0 else tau * min(share, 1 / theta)
    hy = h @ y
    v = rho * s - hy / (y @ hy)
    return (h - np.outer(hy, hy) / (y @ hy) + phi * (y @ hy) * np.outer(v, v)) / tau + rho * np.outer(s, s)


def updated(member, h, s, y):
    """The same by our kernels, b known as it is along ``s = -H g``; and the coefficients."""
    n = s.size
    work = np.zeros((5, n))
    work[STEP], work[PRODUCT] = s, h @ y
    q, b = float(y @ h @ y), float(s @ np.linalg.solve(h, s) / (s @ y))
    triangle, factors = packed(h), coefficients(member, n, float(s @ y), q, b)
    update_and_multiply(triangle, work, *factors)
    return unpacked(triangle), factors


def pair(rng, h):
    """A step and a difference of gradients with positive curvature, in the sizes that h expects.

    The cosine between them, with H as the identity, is 0.01 at least: nearer to 0 is for exact arithmetic.
    """
    root = np.linalg.cholesky(h)
    s, y = rng.normal(size=(2, h.shape[0]))
    if s @ y < 0:
        y = -y
    y += 0.01 * np.linalg.norm(y) / np.linalg.norm(s) * s
    return root @ s * 10 ** rng.uniform(-1, 1), np.linalg.solve(root.T, y)


# ---- the update --------------------------------------------------------------------------------------------


@given(seed=seeds, n=sizes)
@settings(deadline=None)
def test_one_pass_updates_the_triangle_and_multiplies(seed, n):
    """It is ``keep H + ss s s' + sw (s w' + w s') + ww w w'``, and its product with a vector."""
    rng = np.random.default_rng(seed)
    h, work, c = definite(rng, n), rng.normal(size=(5, n)), rng.normal(size=4)
    s, w, v = work[STEP].copy(), work[PRODUCT].copy(), work[OPERAND].copy()
    triangle = packed(h)
    update_and_multiply(triangle, work, *c)
    expected = (
        c[0] * h + c[1] * np.outer(s, s) + c[2] * (np.outer(s, w) + np.outer(w, s)) + c[3] * np.outer(w, w)
    )
    size = np.max(np.abs(expected))
    np.testing.assert_allclose(unpacked(triangle), expected, rtol=1e-12, atol=1e-12 * size)
    np.testing.assert_allclose(work[OUT], expected @ v, rtol=1e-10, atol=1e-10 * size * np.max(np.abs(v)))


@given(seed=seeds, n=sizes, member=members)
@settings(deadline=None)
def test_the_update_is_the_published_one(seed, n, member):
    """For any definite H and any pair with positive curvature."""
    rng = np.random.default_rng(seed)
    h = definite(rng, n, 1.0)
    s, y = pair(rng, h)
    expected = published(NAMES[member], h, s, y)
    got, _ = updated(member, h, s, y)
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    np.testing.assert_allclose(got / scale, expected / scale, atol=1e-5)


@given(seed=seeds, n=sizes, member=members)
@settings(deadline=None)
def test_the_update_keeps_definite_and_meets_the_secant_equation(seed, n, member):
    """``H+ y = s``; H+ is symmetric positive definite."""
    rng = np.random.default_rng(seed)
    h = definite(rng, n, 1.0)
    s, y = pair(rng, h)
    got, factors = updated(member, h, s, y)
    assert np.all(np.isfinite(factors))
    size = np.linalg.norm(got) * np.linalg.norm(y)  # of the terms of the product
    np.testing.assert_allclose(got @ y, s, rtol=0, atol=1e-10 * size)
    root = np.linalg.inv(np.linalg.cholesky(h))  # in the variables in which H was the identity
    assert np.linalg.eigvalsh(root @ got @ root.T)[0] > 0


@given(seed=seeds, n=st.integers(2, 9))
@settings(deadline=None)
def test_the_determinant_of_the_derivation(seed, n):
    """``det B+ = det B tau^(n-1) sigma / b``, from tau and phi of the coefficients."""
    rng = np.random.default_rng(seed)
    h = definite(rng, n, 0.5)
    s, y = pair(rng, h)
    b, q, sy = s @ np.linalg.solve(h, s) / (s @ y), y @ h @ y, s @ y
    a = b * q / sy - 1
    if not 1e-3 < a < 1e3:
        return
    got, (keep, _, _, ww) = updated(0, h, s, y)
    tau = 1 / keep
    phi = 1 + ww * q * tau
    sigma = (1 + a) / (1 + phi * a)  # from phi = (1 - theta) / sigma and sigma = 1 + theta a
    left = -np.linalg.slogdet(got)[1]
    right = -np.linalg.slogdet(h)[1] + (n - 1) * math.log(tau) + math.log(sigma / b)
    assert left == pytest.approx(right, abs=1e-5)


def test_bfgs_is_the_textbook_update():
    """N&W equation 6.17, in the product form that SciPy uses."""
    rng = np.random.default_rng(1)
    h = definite(rng, 6)
    s, y = pair(rng, h)
    rho = 1 / (s @ y)
    left = np.eye(6) - rho * np.outer(s, y)
    got, _ = updated(2, h, s, y)
    np.testing.assert_allclose(got, left @ h @ left.T + rho * np.outer(s, s), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("b", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("a", [0.0, -1e-16, 1e-15, 1e-13, 1e-11, 1e-8])
def test_where_s_and_hy_are_parallel_the_limit_is_self_scaled_bfgs(a, b):
    """No division by zero at a = 0, and a short way to it: v vanishes with the root of a."""
    n, sy = 4, 2.0
    q = sy * (1 + a) / b
    broyden, bfgs = coefficients(0, n, sy, q, b), coefficients(1, n, sy, q, b)
    assert np.all(np.isfinite(broyden))
    assert broyden[0] == pytest.approx(bfgs[0], rel=4 * math.sqrt(max(a, 1e-12)))
    # of phi only the product with v v' counts, whose size is a / q
    phi = 1 + broyden[3] * q / broyden[0]
    assert abs(phi - 1) * max(a, 0) <= 4 * math.sqrt(max(a, 0))


@pytest.mark.parametrize("member", [0, 1, 2])
@pytest.mark.parametrize("factor", [0.01, 1.0, 100.0])
def test_of_one_variable_the_update_is_the_secant(member, factor):
    s, y = 0.7, 0.2
    got, _ = updated(member, np.array([[factor * s / y]]), np.array([s]), np.array([y]))
    assert got[0, 0] == pytest.approx(s / y, rel=1e-14)


# ---- the phase ---------------------------------------------------------------------------------------------


def run(fun, jac, x0, solver, *, gtol=1e-6, maxfun=5000, start=None, watch=None):
    """Drive a phase; returns (solver, converged, evaluations). ``watch(solver)`` sees every iterate."""
    x0 = np.asarray(x0)
    code = solver.start(x0, fun(x0), jac(x0), **(start or {}))
    spent = 2
    while code != FAILED and spent < maxfun and np.max(np.abs(solver.g)) > gtol:
        if code == ITERATION:
            if watch is not None:
                watch(solver)
            code = solver.next()
        elif code == NEED_NOISE:
            code = solver.tell(0.0)
        else:
            x = solver.ask()
            code = solver.tell(fun(x)) if code == NEED_F else solver.tell(math.nan, jac(x))
            spent += 1
    return solver, bool(np.max(np.abs(solver.g)) <= gtol), spent


def quadratic(n, condition, seed=0):
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(n, n)))
    a = q @ np.diag(np.geomspace(1, condition, n)) @ q.T
    a, xmin = (a + a.T) / 2, rng.normal(size=n)
    return lambda x: 0.5 * float((x - xmin) @ a @ (x - xmin)), lambda x: a @ (x - xmin), a, xmin


@KINDS
def test_its_steps_are_those_of_dense_algebra(kind):
    """Every iterate's H is the published update of the one before, and the direction is -H g."""
    seen = []

    def watch(solver):
        seen.append((solver.x, solver.g, solver.hess_inv))

    _, converged, _ = run(rosen, rosen_der, [-1.2, 1.0, 0.5, 2.0], kind(precondition=None), watch=watch)
    assert converged
    for (x, g, h), (x1, g1, h1) in itertools.pairwise(seen):
        s, y = x1 - x, g1 - g
        expected = published(kind.name, h, s, y)
        size = np.max(np.abs(expected))
        np.testing.assert_allclose(h1, expected, atol=1e-5 * size)
        p = -h @ g
        assert abs(p @ s) / np.linalg.norm(p) / np.linalg.norm(s) == pytest.approx(1, abs=1e-7)
    assert len(seen) > 20


@KINDS
def test_the_first_matrix_is_sized_by_the_first_pair(kind):
    """A multiple of D with ``y'Hy = s'y`` takes part in the first update."""
    fun, jac, *_ = quadratic(5, 30.0)
    d = np.array([1.0, 2.0, 0.5, 1.0, 3.0])
    solver = kind()
    x0 = np.full(5, 2.0)
    code = solver.start(x0, fun(x0), jac(x0), diagonal=d)
    np.testing.assert_allclose(solver.direction, -d * d * jac(x0))
    while code != ITERATION:
        x = solver.ask()
        code = solver.tell(fun(x)) if code == NEED_F else solver.tell(math.nan, jac(x))
    s, y = solver.x - x0, solver.g - jac(x0)
    h = (s @ y) / (y @ (d * d * y)) * np.diag(d * d)
    np.testing.assert_allclose(solver.hess_inv, published(kind.name, h, s, y), rtol=1e-8, atol=1e-12)


@KINDS
@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_exact_searches_end_on_a_quadratic_after_n_steps(kind, n):
    """Every member of Broyden's family has this property (N&W theorem 6.4), a factor on H or not."""
    fun, jac, *_ = quadratic(n, 30.0, seed=n)

    class Exact(kind):
        def allocate(self, n, dtype, scaled):
            super().allocate(n, dtype, scaled)
            line_init(self.view.line, 1e-8, 1e-8, refine=True)

    solver, converged, _ = run(fun, jac, np.full(n, 2.0), Exact(c1=1e-9, precondition=None), gtol=1e-5)
    assert converged
    assert solver.counters["iterations"] <= n + 1


@KINDS
@pytest.mark.parametrize("n", [2, 10, 100])
def test_rosenbrock(kind, n):
    solver, converged, _ = run(rosen, rosen_der, [-1.2, 1.0] * (n // 2), kind(), maxfun=10000)
    assert converged
    assert solver.f < 1e-9
    assert solver.counters["restarts"] == 0


@KINDS
@pytest.mark.parametrize("condition", [1e4, 1e8])
def test_ill_conditioned_quadratics(kind, condition):
    n = 20
    fun, jac, _, xmin = quadratic(n, condition, seed=2)
    solver, converged, _ = run(fun, jac, np.zeros(n), kind(), gtol=1e-5)
    assert converged
    np.testing.assert_allclose(solver.x, xmin, atol=1e-4)


@pytest.mark.parametrize("name", ["bfgs", "ssbfgs", "ssbroyden"])
def test_it_needs_no_more_calls_than_scipys_bfgs(name):
    """Of value and gradient, on a narrow valley."""
    x0 = np.array([-1.2, 1.0] * 2)
    theirs = scipy_minimize(rosen, x0, jac=rosen_der, method="BFGS", options={"gtol": 1e-8})
    solver, converged, _ = run(rosen, rosen_der, x0, PHASE_OF[name](), gtol=1e-8)
    assert converged
    assert theirs.success
    assert solver.counters["gradients"] <= 1.2 * theirs.njev


def test_pairs_without_curvature_are_skipped_and_the_others_taught_by_bfgs():
    rng = np.random.default_rng(0)
    n = 5
    state = new_state(n, scaled=False)
    begin(state, np.ones(n), 1.0, np.ones(n), 0.0)
    view = QUASI_NEWTON.view(state.slot)
    s = rng.normal(size=n)
    for bad in (-s, np.zeros(n), np.full(n, np.nan), s * np.inf):
        assert not add_pair(state, s, bad)
    assert (view.stored, view.skipped) == (0, 4)
    a = definite(rng, n, 0.5)
    h = None
    for _ in range(4):
        s = rng.normal(size=n)
        y = a @ s
        assert add_pair(state, s, y)
        h = published("bfgs", (s @ s) / (s @ y) * np.eye(n) if h is None else h, s, y)
    assert next_trial(state) == NEED_F
    np.testing.assert_allclose(state.vectors[P], -h @ np.ones(n), rtol=1e-9)
    np.testing.assert_allclose(state.work[FULL], h @ np.ones(n), rtol=1e-9)


def test_a_pair_without_curvature_leaves_h_as_it_is():
    solver = SSBroyden(hess_inv0=np.diag([1.0, 2.0]), precondition=None)
    solver.start(np.zeros(2), 0.0, np.array([-1.0, -0.5]))
    assert not add_pair(solver.state, np.array([1.0, 0.0]), np.array([-1.0, 0.0]))
    np.testing.assert_array_equal(solver.hess_inv, np.diag([1.0, 2.0]))
    assert solver.counters["skipped"] == 1


def test_h_that_is_not_definite_is_set_back():
    """An indefinite H gives no descent direction: the search restarts along -D g, and counts it."""
    solver = BFGS(precondition=None)
    solver.start(np.zeros(2), 1.0, np.array([1.0, 1.0]), pairs=[(np.array([1.0, 0.0]), np.array([1.0, 0.0]))])
    solver.state.inverse[:] = packed(np.diag([-1.0, 0.1]))
    solver.view.keep, solver.view.ss, solver.view.sw, solver.view.ww, solver.view.known = 1.0, 0, 0, 0, 0
    assert next_trial(solver.state) == NEED_F
    np.testing.assert_array_equal(solver.direction, [-1.0, -1.0])
    assert solver.counters["restarts"] == 1
    np.testing.assert_array_equal(solver.hess_inv, np.eye(2))


@KINDS
def test_values_come_first(kind):
    """A trial whose value fails costs no gradient."""
    solver, converged, _ = run(rosen, rosen_der, [-1.2, 1.0], kind())
    counters = solver.counters
    assert converged
    assert counters["gradients"] <= counters["values"]
    assert counters["gradients"] >= counters["iterations"]


@KINDS
def test_single_precision_vectors_keep_a_double_matrix(kind):
    x0 = np.array([-1.2, 1.0, 0.5], dtype=np.float32)
    solver, converged, _ = run(
        lambda x: float(rosen(x.astype(float))),
        lambda x: rosen_der(x.astype(float)).astype(np.float32),
        x0, kind(), gtol=1e-3,
    )  # fmt: skip
    assert converged
    assert solver.state.vectors.dtype == np.float32
    assert solver.state.inverse.dtype == np.float64


@KINDS
def test_saved_and_loaded_it_goes_on_bit_for_bit(kind):
    solver = kind()
    x0 = np.array([-1.2, 1.0, 0.3])
    code = solver.start(x0, rosen(x0), rosen_der(x0))
    for _ in range(60):
        other = kind()
        other.set_state(solver.get_state())
        answers = []
        for one in (solver, other):
            code = one.need
            x = one.ask()
            code = one.tell(rosen(x)) if code == NEED_F else one.tell(math.nan, rosen_der(x))
            answers.append((code, one.trial.tobytes(), one.hess_inv.tobytes()))
        assert answers[0] == answers[1]


# ---- in a run ----------------------------------------------------------------------------------------------


def narrow(x):
    return rosen(x), rosen_der(x)


@pytest.mark.parametrize("name", NAMES)
def test_the_result_has_the_inverse_hessian(name):
    """SciPy's name for it; near the inverse of the Hessian at the minimum."""
    result = minimize(narrow, [-1.2, 1.0], jac=True, options={"convex_method": name, "gtol": 1e-9})
    assert result.success, result.message
    hessian = np.array([[802.0, -400.0], [-400.0, 200.0]])
    assert result.hess_inv.shape == (2, 2)
    np.testing.assert_array_equal(result.hess_inv, result.hess_inv.T)
    np.testing.assert_allclose(result.hess_inv @ hessian, np.eye(2), atol=0.2)


def test_a_run_that_ends_elsewhere_has_none():
    options = {"convex_method": "ssbroyden", "swap": "never", "maxiter": 5, "guard": False}
    assert "hess_inv" not in minimize(narrow, [-1.2, 1.0], jac=True, options=options)
    assert "hess_inv" not in minimize(narrow, [-1.2, 1.0], jac=True, options={"convex_method": "memory-cg"})


@pytest.mark.parametrize("name", NAMES)
def test_it_resumes_bit_for_bit(name):
    options = {"convex_method": name, "swap": 3, "guard": False}
    whole = minimize(narrow, [-1.2, 1.0, 0.5], jac=True, options=options)
    assert whole.success, whole.message
    for evaluations in range(8, whole.nfev, 7):
        part = minimize(narrow, [-1.2, 1.0, 0.5], jac=True, options={**options, "maxfun": evaluations})
        rest = minimize(narrow, part.x, jac=True, options={**options, "resume": part.state})
        assert rest.x.tobytes() == whole.x.tobytes()
        assert rest.nfev == whole.nfev
        assert rest.hess_inv.tobytes() == whole.hess_inv.tobytes()


def test_a_given_inverse_hessian_is_where_h_begins():
    """On a quadratic the true one leads to the minimum in a few steps, as far as first trials may go."""
    fun, jac, a, xmin = quadratic(12, 1e4)
    options = {"convex_method": "ssbroyden", "swap": 0, "guard": False, "gtol": 1e-6, "precondition": None}
    cold = minimize(fun, np.zeros(12), jac=jac, options=options)
    warm = minimize(
        fun, np.zeros(12), jac=jac, options={**options, "convex_options": {"hess_inv0": np.linalg.inv(a)}}
    )
    assert cold.success
    assert warm.success
    np.testing.assert_allclose(warm.x, xmin, atol=1e-5)
    assert warm.nit <= 4 < 15 < cold.nit


def test_only_its_symmetric_part_counts():
    h = np.array([[2.0, 1.0], [-1.0, 3.0]])
    solver = BFGS(hess_inv0=h)
    solver.start(np.ones(2), 1.0, np.array([1.0, 2.0]))
    np.testing.assert_array_equal(solver.hess_inv, np.diag([2.0, 3.0]))
    assert not solver.caution


@pytest.mark.parametrize("engine", ["python", "numba"])
@pytest.mark.parametrize("bad", [np.diag([1.0, -1.0]), np.full((2, 2), np.nan), np.zeros((2, 2))])
def test_one_that_is_not_definite_is_left_out_with_a_warning(bad, engine):
    numba = pytest.importorskip("numba")

    @numba.njit
    def bowl(x):
        return np.sum((x - 1.0) ** 2), 2.0 * (x - 1.0)

    options = {"convex_method": "ssbroyden", "swap": 1, "engine": engine, "guard": False}
    if engine == "python" or not numba.config.DISABLE_JIT:
        with pytest.warns(RuntimeWarning, match="hess_inv0' is not finite and positive definite") as caught:
            result = minimize(
                bowl, [5.0, 3.0], jac=True, options={**options, "convex_options": {"hess_inv0": bad}}
            )
        assert caught[0].filename == __file__
        assert result.success, result.message


def test_one_of_another_size_is_an_error_before_any_evaluation():
    calls = []

    def fun(x):
        calls.append(1)
        return narrow(x)

    options = {"convex_method": "bfgs", "convex_options": {"hess_inv0": np.eye(3)}}
    with pytest.raises(ValueError, match=r"shape \(3, 3\); for 2 variables it must be \(2, 2\)"):
        minimize(fun, [-1.2, 1.0], jac=True, options=options)
    assert not calls


def test_more_variables_than_fit_are_an_error_before_any_evaluation():
    calls = []

    def fun(x):
        calls.append(1)
        return float(x @ x), 2 * x

    with pytest.raises(ValueError, match=r"memory_limit=2.15e\+09.*memory-cg"):
        minimize(fun, np.ones(20_000), jac=True, options={"convex_method": "ssbroyden"})
    options = {"convex_method": "ssbroyden", "convex_options": {"memory_limit": 8 * 5 * 6 - 1}}
    with pytest.raises(ValueError, match="memory-cg"):
        minimize(fun, np.ones(5), jac=True, options=options)
    assert not calls
    options["convex_options"] = {"memory_limit": 8 * 5 * 6}
    assert minimize(fun, np.ones(5), jac=True, options=options).success


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("hess_inv0", [None, np.eye(2), np.eye(3, dtype=int)], [1.0, np.ones(3), np.ones((2, 3)), "unit"]),
        ("memory_limit", [1, 2**40, math.inf], [0, -1, True, "all"]),
        ("c1", [1e-4, 0.4], [0.0, 0.5]),
        ("c2", [None, 0.2], [0.0, 1.0]),
        ("precondition", [None, "auto"], ["adam", 1]),
    ],
)
def test_ranges_of_the_options(name, good, bad):
    for value in good:
        TwoPhaseOptions(convex_method="ssbroyden", convex_options={name: value})
    for value in bad:
        with pytest.raises(ValueError, match=f"(?s)'{name}': .* must be"):
            TwoPhaseOptions(convex_method="ssbroyden", convex_options={name: value})


def test_bfgs_is_ours_and_capitals_are_scipys():
    assert TwoPhaseOptions(convex_method="bfgs").convex_method == "bfgs"
    assert TwoPhaseOptions(convex_method="BFGS").convex_method == "BFGS"
    assert TwoPhaseOptions(convex_method="SSBroyden").convex_method == "ssbroyden"
    assert PHASES["BFGS"].external
    assert not PHASES["bfgs"].external


def test_adams_pairs_teach_it():
    """On a quadratic, with as many pairs as variables, the first direction is nearly Newton's."""
    rng = np.random.default_rng(3)
    fun, jac, a, xmin = quadratic(4, 10.0)
    pairs = [(s, a @ s) for s in rng.normal(size=(40, 4))]
    solver = SSBroyden(precondition=None)
    x0 = np.zeros(4)
    solver.start(x0, fun(x0), jac(x0), pairs=pairs)
    np.testing.assert_allclose(solver.direction, xmin, rtol=0.05, atol=0.05)


def test_a_rolled_back_phase_goes_on_as_the_other_would():
    """`copy_state`, by which the guard suspends a phase in compiled code."""
    from twophase_min.phases.compiled import copy_state

    solver, other = SSBroyden(), SSBroyden()
    x0 = np.array([-1.2, 1.0, 0.3])
    for one in (solver, other):
        one.start(x0, rosen(x0), rosen_der(x0))
    for _ in range(25):
        code = solver.need
        x = solver.ask()
        _ = solver.tell(rosen(x)) if code == NEED_F else solver.tell(math.nan, rosen_der(x))
    copy_state(solver.state, other.state)
    assert other.ask().tobytes() == solver.ask().tobytes()
    assert other.hess_inv.tobytes() == solver.hess_inv.tobytes()
    assert other.counters == solver.counters


@KINDS
def test_the_first_trial_repeats_the_last_decrease_where_h_is_self_scaled(kind):
    """At most 1, the full step; BFGS takes that always."""
    solver = kind()
    x = np.array([-1.2, 1.0, 0.5, 0.3])
    code = solver.start(x, rosen(x), rosen_der(x))
    lengths, expected, before = [], [], math.nan
    while len(lengths) < 15:  # ends before the decreases are rounding
        if code == ITERATION:
            f = solver.f
            code = solver.next()
            p = solver.direction
            if not math.isnan(before) and not solver.view.steepest:
                lengths.append((solver.trial - solver.x) @ p / (p @ p))
                expected.append(min(1.0, 2.02 * (before - f) / -(solver.g @ p)))
            before = f
        else:
            trial = solver.trial
            code = solver.tell(rosen(trial)) if code == NEED_F else solver.tell(math.nan, rosen_der(trial))
    assert min(expected) < 0.9
    expected = np.ones(15) if kind is BFGS else np.array(expected)
    assert np.all(lengths <= expected * (1 + 1e-6))  # `within_reach` may shorten a few
    assert np.mean(np.isclose(lengths, expected, rtol=1e-6)) > 0.8
