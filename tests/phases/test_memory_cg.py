"""Limited-memory conjugate gradients: recursions against dense algebra, fallbacks against bad functions."""

import itertools
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import rosen, rosen_der

from twophase_min.phases import FAILED, ITERATION, METRIC, NEED_F, NEED_NOISE, XT, G, P
from twophase_min.phases.memory_cg import MemoryCG
from twophase_min.phases.memory_cg_kernels import (
    MEMORY_CG,
    add_pair,
    new_state,
    next_trial,
    tell,
)
from twophase_min.phases.memory_cg_kernels import start as begin
from twophase_min.phases.pairs import SHARE, default_memory, end_curvature, learn_diagonal
from twophase_min.phases.search import NOT_FINITE, RESCUES, ZERO_GRADIENT

BENCHMARKS = str(Path(__file__).resolve().parents[2] / "benchmarks")
sys.path.insert(0, BENCHMARKS)

from phase_alone import minimize_memory_cg  # noqa: E402

MEMORIES = [0, 3, 50]


def run(fun, jac, x0, *, gtol=1e-6, maxfun=5000, solver=None, start=None, noise=0.0):
    """Drive a phase; returns (solver, converged, evaluations, values at the iterates).

    ``noise`` answers the phase that asks for the error of a value.
    """
    solver = MemoryCG() if solver is None else solver
    x0 = np.asarray(x0)
    code = solver.start(x0, fun(x0), jac(x0), **(start or {}))
    spent, values = 2, [solver.f]
    while code != FAILED and spent < maxfun and np.max(np.abs(solver.g)) > gtol:
        if code == ITERATION:
            values.append(solver.f)
            code = solver.next()
            continue
        if code == NEED_NOISE:
            code = solver.tell(noise)
            continue
        x = solver.ask()
        code = solver.tell(fun(x)) if code == NEED_F else solver.tell(math.nan, jac(x))
        spent += 1
    return solver, bool(np.max(np.abs(solver.g)) <= gtol), spent, values


def quadratic(n, condition, seed=0):
    """A strictly convex quadratic; returns (fun, jac, matrix, minimiser)."""
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(n, n)))
    a = q @ np.diag(np.geomspace(1, condition, n)) @ q.T
    a = (a + a.T) / 2
    xmin = rng.normal(size=n)
    return (
        lambda x: 0.5 * float((x - xmin) @ a @ (x - xmin)),
        lambda x: a @ (x - xmin),
        a,
        xmin,
    )


# ------------------------------------------------------------------------------------------- the recursions


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("given_pairs", [1, 4, 7])
def test_two_loop_recursion_equals_the_explicit_inverse_hessian(seed, given_pairs):
    rng = np.random.default_rng(seed)
    n, memory = 6, 4
    state = new_state(n, memory)
    d = rng.uniform(0.5, 2, n)
    state.vectors[METRIC] = d * d
    g = rng.normal(size=n)
    begin(state, rng.normal(size=n), 1.0, g, 0.0)
    a = rng.normal(size=(n, n))
    a = a @ a.T + np.eye(n)
    pairs = []
    for _ in range(given_pairs):
        s = rng.normal(size=n)
        assert add_pair(state, s, a @ s)
        pairs.append((s, a @ s))
    assert MEMORY_CG.view(state.slot).stored == min(given_pairs, memory)
    h = np.diag(state.diagonal)
    for s, y in pairs[-memory:]:
        rho = 1 / (s @ y)
        left = np.eye(n) - rho * np.outer(s, y)
        h = left @ h @ left.T + rho * np.outer(s, s)
    assert next_trial(state) == NEED_F
    np.testing.assert_allclose(state.vectors[P], -h @ g, rtol=1e-10)


@settings(deadline=None, max_examples=50, derandomize=True)
@given(
    seed=st.integers(0, 2**31),
    n=st.integers(1, 8),
    share=st.floats(1 / SHARE, SHARE),
)
def test_the_diagonal_is_that_of_the_scaled_bfgs_update(seed, n, share):
    """Property: it is the diagonal of the dense update of D^-1, which is scaled before, and positive."""
    rng = np.random.default_rng(seed)
    diagonal = np.exp(3 * rng.normal(size=n))
    s, y = rng.normal(size=(2, n))
    y *= np.sign(s @ y)
    b = np.diag(1 / diagonal) * (y * diagonal @ y) / (s @ y)
    b = b - np.outer(b @ s, b @ s) / (s @ b @ s) + share * np.outer(y, y) / (s @ y)
    learn_diagonal(diagonal, s, y, float(s @ y), share)
    assert np.all(diagonal > 0)
    np.testing.assert_allclose(1 / diagonal, np.diag(b), rtol=1e-8)


@settings(deadline=None, max_examples=20, derandomize=True)
@given(seed=st.integers(0, 2**31), f_power=st.integers(-40, 40))
def test_the_diagonal_has_the_units_of_the_variables(seed, f_power):
    """Property: in other units of f and of each variable, powers of two, it is the same diagonal."""
    rng = np.random.default_rng(seed)
    units, f_unit = 2.0 ** rng.integers(-40, 41, size=5), 2.0**f_power
    s, y = rng.normal(size=(2, 5))
    y *= np.sign(s @ y)
    plain, scaled = np.ones(5), units * units / f_unit
    learn_diagonal(plain, s, y, float(s @ y), 1.0)
    learn_diagonal(scaled, units * s, f_unit / units * y, f_unit * float(s @ y), 1.0)
    np.testing.assert_array_equal(scaled, units * units / f_unit * plain)


def test_a_variable_of_which_a_pair_says_nothing_keeps_its_scale():
    diagonal = np.array([1.0, 2.0, 3.0])
    for _ in range(1000):
        learn_diagonal(diagonal, np.array([1.0, 0.5, 0.0]), np.array([4.0, 1.0, 0.0]), 4.5, 1.0)
    assert diagonal[2] == 3.0
    assert np.all(np.isfinite(diagonal))
    assert np.all(diagonal > 0)


@settings(deadline=None, max_examples=50, derandomize=True)
@given(coefficients=st.tuples(*[st.floats(-2, 2)] * 4), step=st.floats(0.1, 3))
def test_the_curvature_at_the_end_of_a_step_is_that_of_the_cubic(coefficients, step):
    """Property: on a cubic the share is its second derivative at the end over the mean one, within limits."""
    cubic = np.polynomial.Polynomial(coefficients)
    slope = cubic.deriv()
    change = step * (slope(step) - slope(0.0))
    got = end_curvature(cubic(0.0) - cubic(step), step * slope(step), change, 1e-16)
    if change <= 1e-3:
        assert change > 1e-13 or got == 1.0
    else:
        share = step**2 * cubic.deriv(2)(step) / change
        assert got == pytest.approx(np.clip(share, 1 / SHARE, SHARE), rel=1e-8)


def test_rounding_does_not_tell_the_curvature():
    assert end_curvature(1.0, 1.0, 1e-3, 1e-7) == SHARE
    assert end_curvature(1.0, 1.0, 1e-3, 1e-5) == 1.0
    assert end_curvature(1.0, 1.0, math.nan, 1e-5) == 1.0


@pytest.mark.parametrize("n", [100, 500])
def test_scales_of_variables_are_learnt(n):
    """Condition 1e6, 50 pairs: started from a multiple of the identity it takes over 10,000 evaluations."""
    scales = np.geomspace(1, 1e6, n)[np.random.default_rng(0).permutation(n)]

    def fun(x):
        return 0.5 * float(scales @ (x * x))

    def jac(x):
        return scales * x

    solver, converged, spent, _ = run(fun, jac, np.ones(n), solver=MemoryCG(precondition=None))
    assert converged
    np.testing.assert_allclose(solver.x, 0, atol=1e-6)
    assert spent < 1500


def test_pairs_without_curvature_are_skipped():
    state = new_state(2, 5)
    begin(state, np.ones(2), 1.0, np.ones(2), 0.0)
    s = np.array([1.0, 0.0])
    assert not add_pair(state, s, -s)
    assert not add_pair(state, s, np.array([0.0, 1.0]))
    assert not add_pair(state, s, np.zeros(2))
    assert not add_pair(state, s, np.array([np.nan, 1.0]))
    assert not add_pair(state, s, np.array([np.inf, 1.0]))
    assert MEMORY_CG.view(state.slot).stored == 0
    assert add_pair(state, s, s)
    assert not add_pair(new_state(2, 0), s, s)


@pytest.mark.parametrize("diagonal", [False, True])
def test_without_memory_exact_searches_give_linear_conjugate_gradients(diagonal):
    n = 8
    fun, jac, a, _ = quadratic(n, 50.0, seed=3)
    x0 = np.full(n, 2.0)
    d = np.linspace(0.5, 2, n) if diagonal else np.ones(n)
    # preconditioned linear conjugate gradients, textbook form
    x, r, xs = x0.copy(), -jac(x0), []
    z = d * d * r
    p = z.copy()
    for _ in range(n - 1):
        alpha = (r @ z) / (p @ a @ p)
        x = x + alpha * p
        new = r - alpha * (a @ p)
        new_z = d * d * new
        p = new_z + (new @ new_z) / (r @ z) * p
        r, z = new, new_z
        xs.append(x)
    solver = MemoryCG(memory=0, c1=1e-9, c2=1e-8, precondition=None)
    code = solver.start(x0, fun(x0), jac(x0), diagonal=d)
    got = []
    while len(got) < len(xs):
        assert code != FAILED
        if code == ITERATION:
            got.append(solver.x)
            code = solver.next()
            continue
        point = solver.ask()
        code = solver.tell(fun(point)) if code == NEED_F else solver.tell(math.nan, jac(point))
    np.testing.assert_allclose(got, xs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n", [10, 50, 500])
def test_without_memory_a_quadratic_takes_n_steps_of_two_values_and_a_gradient(n):
    """DIXON3DQ: conjugate gradients end after n exact steps; CG_DESCENT takes 999 values for n = 500."""

    def fun(x):
        return (x[0] - 1) ** 2 + np.sum(np.diff(x[1:]) ** 2) + (x[-1] - 1) ** 2

    def jac(x):
        g = np.zeros(n)
        d = 2 * np.diff(x[1:])
        g[1:-1] -= d
        g[2:] += d
        g[0] += 2 * (x[0] - 1)
        g[-1] += 2 * (x[-1] - 1)
        return g

    solver = MemoryCG(memory=0)
    x, success, _ = minimize_memory_cg(fun, jac, -np.ones(n), solver=solver)
    counters = solver.counters
    assert success
    np.testing.assert_allclose(x, 1, atol=1e-3)
    assert counters["iterations"] <= n
    assert counters["values"] <= 2 * n + 2
    assert counters["gradients"] <= n + 4


def test_with_memory_exact_searches_give_conjugate_directions():
    n = 6
    fun, jac, a, _ = quadratic(n, 50.0, seed=4)
    state = new_state(n, n, c1=1e-9, c2=1e-8, upper=1e-8)
    x = np.zeros(n)
    code = begin(state, x, fun(x), jac(x), 0.0)
    directions = []
    while len(directions) < n:
        if code == ITERATION:
            code = next_trial(state)
            directions.append(state.vectors[P].copy())
            continue
        assert code != FAILED
        code = tell(state, fun(state.vectors[XT]), jac(state.vectors[XT]))
    p = np.array([d / np.sqrt(d @ a @ d) for d in directions])
    np.testing.assert_allclose(p @ a @ p.T, np.eye(n), atol=1e-6)


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("n", [2, 10])
def test_rosenbrock(memory, n):
    solver, converged, spent, values = run(
        rosen, rosen_der, np.full(n, -1.2), gtol=1e-8, solver=MemoryCG(memory=memory)
    )
    assert converged
    np.testing.assert_allclose(solver.x, 1, atol=1e-6)
    assert all(b <= a for a, b in itertools.pairwise(values))
    assert spent < (3000 if memory == 0 else 600)


@settings(deadline=None, max_examples=30, derandomize=True)
@given(
    seed=st.integers(0, 2**31),
    n=st.integers(1, 12),
    condition=st.floats(1, 1e4),
    memory=st.sampled_from(MEMORIES),
    power=st.integers(-20, 20),
)
def test_every_convex_quadratic_is_solved_and_never_climbs(seed, n, condition, memory, power):
    """Property: on strictly convex quadratics in any units the gradient test is met, f never rising."""
    fun, jac, _, _ = quadratic(n, condition, seed)
    scale = 2.0**power
    x0 = np.random.default_rng(seed + 1).normal(size=n)
    gtol = 1e-6 * scale * max(1.0, float(np.max(np.abs(jac(x0)))))
    solver, converged, _, values = run(
        lambda x: scale * fun(x),
        lambda x: scale * jac(x),
        x0,
        gtol=gtol,
        solver=MemoryCG(memory=memory),
        maxfun=20000,
    )
    assert converged or solver.working_precision
    noise = 8 * np.finfo(float).eps * np.abs(values[0])
    assert all(b <= a + noise for a, b in itertools.pairwise(values))


# ------------------------------------------------------------------------------------------------- scales


@settings(deadline=None, max_examples=20, derandomize=True)
@given(f_power=st.integers(-60, 60), x_power=st.integers(-60, 60), memory=st.sampled_from(MEMORIES))
def test_units_of_f_and_x_do_not_matter(f_power, x_power, memory):
    """Property: scaling f and x by powers of two scales every trial point exactly, and nothing else."""
    sf, sx = 2.0**f_power, 2.0**x_power

    def trace(sf, sx):
        solver = MemoryCG(memory=memory)
        x0 = sx * np.array([-1.2, 1.0, 0.7])
        points = []
        code = solver.start(x0, sf * rosen(x0 / sx), sf / sx * rosen_der(x0 / sx))
        for _ in range(80):
            if code == ITERATION:
                code = solver.next()
            if code == FAILED:
                break
            x = solver.ask()
            points.append(x / sx)
            u = x / sx
            code = solver.tell(sf * rosen(u)) if code == NEED_F else solver.tell(0.0, sf / sx * rosen_der(u))
        return np.array(points)

    np.testing.assert_array_equal(trace(1.0, 1.0), trace(sf, sx))


def badly_scaled(scales, stretch=1.0):
    """Sum of (c_i x_i)^4/4 + (c_i x_i)^2/2 - c_i x_i with coupling, minimum where c_i x_i is the same."""

    def fun(x):
        u = scales * x
        return float(np.sum(u**4 / 4 + stretch * u**2 / 2 - u) + 0.5 * np.sum(np.diff(u) ** 2))

    def jac(x):
        u = scales * x
        g = u**3 + stretch * u - 1
        difference = np.diff(u)
        g[1:] += difference
        g[:-1] -= difference
        return scales * g

    return fun, jac


def test_units_of_single_variables_do_not_matter_where_the_start_shows_them():
    rng = np.random.default_rng(0)
    scales = 2.0 ** rng.integers(-40, 41, size=9)  # 1e-12 to 1e12
    fun, jac = badly_scaled(scales)
    start = 3.0 + 0.1 * np.arange(9)
    plain_fun, plain_jac = badly_scaled(np.ones(9))
    u = 0.6823278038280193  # root of u^3 + u - 1
    for memory in MEMORIES:
        solver, _, _, _ = run(
            fun, jac, start / scales, gtol=1e-30, maxfun=300, solver=MemoryCG(memory=memory)
        )
        np.testing.assert_allclose(solver.x * scales, u, rtol=1e-6)
        _, converged, plain, _ = run(plain_fun, plain_jac, start, gtol=1e-8, solver=MemoryCG(memory=memory))
        assert converged
        assert plain < 200
    # the scaling is what does it
    solver, _, _, _ = run(
        fun, jac, start / scales, gtol=1e-30, maxfun=300, solver=MemoryCG(precondition=None)
    )
    assert np.max(np.abs(solver.x * scales - u)) > 0.1


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_diagonal_is_a_change_of_variables(memory):
    d = np.array([4.0, 0.25, 2.0])
    z0 = np.array([-1.2, 1.0, 0.7])
    scaled, _, _, _ = run(
        lambda z: rosen(d * z),
        lambda z: d * rosen_der(d * z),
        z0,
        gtol=0.0,
        maxfun=40,
        solver=MemoryCG(memory=memory, precondition=None),
    )
    given_d, _, _, _ = run(
        rosen,
        rosen_der,
        d * z0,
        gtol=0.0,
        maxfun=40,
        solver=MemoryCG(memory=memory),
        start={"diagonal": d},
    )
    np.testing.assert_allclose(given_d.x, d * scaled.x, rtol=1e-8)
    for bad in ([1.0, 0.0, 1.0], [1.0, np.nan, 1.0], [1.0, 1.0]):
        with pytest.raises(ValueError, match="diagonal"):
            MemoryCG().start(z0, 1.0, z0, diagonal=np.array(bad))


def test_first_step_is_taken_as_a_length():
    for length in (1e-3, 5.0):
        solver = MemoryCG(precondition=None)
        x0 = np.array([-1.2, 1.0])
        solver.start(x0, rosen(x0), rosen_der(x0), first_step=length)
        assert np.linalg.norm(solver.ask() - x0) == pytest.approx(length)


def test_start_at_the_origin_with_value_zero():
    solver, converged, _, _ = run(
        lambda x: float(np.sum((x - 3) ** 2) - 18), lambda x: 2 * (x - 3), np.zeros(2), gtol=1e-8
    )
    assert converged
    np.testing.assert_allclose(solver.x, 3)


def test_handed_pairs_are_used():
    fun, jac, a, _ = quadratic(5, 1000.0)
    rng = np.random.default_rng(1)
    steps = rng.normal(size=(5, 5))
    x0 = np.ones(5)
    _, converged, cold, _ = run(fun, jac, x0)
    assert converged
    _, converged, warm, _ = run(fun, jac, x0, start={"pairs": [(s, a @ s) for s in steps]})
    assert converged
    assert warm < cold


# ------------------------------------------------------------------------------------------ bad functions


@pytest.mark.parametrize("memory", MEMORIES)
def test_walls_of_nan_are_backed_away_from(memory):
    def fun(x):
        return float(np.sum(x - np.log(x))) if np.all(x > 0) else math.nan

    def jac(x):
        return 1 - 1 / x if np.all(x > 0) else np.full_like(x, np.nan)

    solver, converged, _, _ = run(fun, jac, np.array([30.0, 0.01, 5.0]), solver=MemoryCG(memory=memory))
    assert converged
    np.testing.assert_allclose(solver.x, 1, atol=1e-5)


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_gradient_that_is_not_finite_is_backed_away_from(memory):
    def jac(x):
        return 2 * x if np.all(np.abs(x) < 9.0) else np.full_like(x, np.inf)

    solver, converged, _, _ = run(
        lambda x: float(x @ x), jac, np.array([8.0, -7.0]), solver=MemoryCG(memory=memory)
    )
    assert converged
    np.testing.assert_allclose(solver.x, 0, atol=1e-5)


def test_flat_and_broken_starts_say_so():
    x = np.ones(3)
    solver = MemoryCG()
    assert solver.start(x, 1.0, np.zeros(3)) == FAILED
    assert solver.view.reason == ZERO_GRADIENT
    assert "zero" in solver.reason
    with pytest.raises(RuntimeError, match="zero"):
        solver.ask()
    assert solver.start(x, 1.0, np.array([1.0, np.nan, 1.0])) == FAILED
    assert solver.view.reason == NOT_FINITE
    _, success, message = minimize_memory_cg(lambda x: math.nan, lambda x: x, x)
    assert not success
    assert "not finite" in message


@pytest.mark.parametrize("memory", MEMORIES)
def test_unbounded_below_goes_down_and_stays_finite(memory):
    solver, _, _, _ = run(
        lambda x: float(np.sum(x)), np.ones_like, np.zeros(3), maxfun=400, solver=MemoryCG(memory=memory)
    )
    assert solver.f < -1e20
    assert np.all(np.isfinite(solver.x))
    assert np.isfinite(solver.f)


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_kink_keeps_the_best_trial(memory):
    """scipy#15643: CG on |x| from 1.1 returns 1.1 after 44 evaluations."""
    solver, _, spent, _ = run(
        lambda x: float(np.abs(x).sum()), np.sign, np.array([1.1]), maxfun=400, solver=MemoryCG(memory=memory)
    )
    assert solver.f < 1e-3
    assert spent < 400


@pytest.mark.parametrize("memory", MEMORIES)
def test_steps_and_noise_do_not_climb(memory):
    rng = np.random.default_rng(7)
    for fun in (
        lambda x: float(np.floor(10 * (x @ x)) / 10),  # discontinuous, the gradient is that of the envelope
        lambda x: float(x @ x) + 1e-6 * rng.uniform(-1, 1),
    ):
        solver, _, _, values = run(
            fun, lambda x: 2 * x, np.full(4, 2.0), maxfun=500, solver=MemoryCG(memory=memory)
        )
        assert solver.f <= 0.2
        noise = 8 * np.finfo(float).eps * values[0]
        assert all(b <= a + noise for a, b in itertools.pairwise(values))


def test_a_wrong_gradient_fails_with_a_suspicion():
    solver, converged, spent, _ = run(lambda x: float(x @ x), lambda x: -2 * x, np.ones(3))
    assert not converged
    assert solver.need == FAILED
    assert "wrong gradient" in solver.reason
    assert spent < 100
    np.testing.assert_array_equal(solver.x, 1)


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("reach", [1e-3, 1e-6])
def test_searches_that_all_end_at_a_wall_end_the_phase(memory, reach):
    """f falls a little, up to a jump, from wherever the phase is: so it did, 5,000 times a run."""
    solver = MemoryCG(memory=memory)

    def fun(x):
        beyond = solver.need != FAILED and np.linalg.norm(x - solver.x) > reach
        return float(x.sum()) + 10.0 * beyond

    solver.start(np.zeros(3), 0.0, np.ones(3))
    _, _, spent, values = run(fun, np.ones_like, np.zeros(3), solver=solver)
    assert solver.need == FAILED
    assert "nowhere a smaller slope" in solver.reason
    assert len(values) <= 1 + RESCUES
    assert solver.f < -0.5 * RESCUES * reach
    assert spent < 500


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_step_that_keeps_what_its_slope_promised_was_too_long_by_the_model_alone(memory):
    """What the parabola predicts is forgotten then; where the slope lied, it is kept for the run to judge."""
    solver = MemoryCG(memory=memory)
    for told, share in ((True, 1.0), (False, 1e-3)):
        fun = lambda x, share=share: 0.5 * share * float(x @ x) + 10.0 * (x[0] < 0.9999)  # noqa: E731
        code = solver.start(np.ones(2), fun(np.ones(2)), np.ones(2))
        while code not in (ITERATION, FAILED):
            x = solver.ask()
            code = solver.tell(fun(x)) if code == NEED_F else solver.tell(math.nan, 0.5 * np.ones(2))
        assert code == ITERATION
        assert solver.f < fun(np.ones(2))
        assert (solver.predicted == 0.0) == told


@pytest.mark.parametrize("memory", MEMORIES)
def test_working_precision_is_reported(memory):
    # f carries a constant 1e8: below a gradient of about 1e-4 its values say nothing any more
    solver, _, _, _ = run(
        lambda x: 1e8 + 0.5 * float(np.sum(np.arange(1, 6) * x**2)),
        lambda x: np.arange(1, 6) * x + 1e-9,
        np.ones(5),
        gtol=0.0,
        maxfun=2000,
        solver=MemoryCG(memory=memory),
    )
    assert solver.working_precision
    assert np.max(np.abs(solver.g)) < 1e-3


def test_an_over_long_first_step_that_happens_to_decrease_is_shortened():
    # a well of width 1 with a shelf far out, slightly below the start
    def fun(x):
        return float(1 - np.exp(-0.5 * (x[0] - 1) ** 2) - 0.2 * np.tanh(0.01 * (x[0] + 1)))

    def jac(x):
        u = x[0] - 1
        return np.array([u * np.exp(-0.5 * u**2) - 0.002 / np.cosh(0.01 * (x[0] + 1)) ** 2])

    solver, converged, _, _ = run(
        fun, jac, np.array([-1.0]), start={"first_step": 300.0}, solver=MemoryCG(precondition=None)
    )
    assert converged
    assert abs(solver.x[0] - 1) < 0.1


# --------------------------------------------------------------------------------------------- the protocol


def test_values_come_first_and_a_fused_answer_saves_the_question():
    x0 = np.array([-1.2, 1.0])
    separate, fused = MemoryCG(), MemoryCG()
    code_s = separate.start(x0, rosen(x0), rosen_der(x0))
    code_f = fused.start(x0, rosen(x0), rosen_der(x0))
    assert code_s == code_f == NEED_F
    for _ in range(30):
        while code_s != ITERATION:
            x = separate.ask()
            code_s = separate.tell(rosen(x)) if code_s == NEED_F else separate.tell(math.nan, rosen_der(x))
        while code_f != ITERATION:
            assert code_f == NEED_F
            x = fused.ask()
            code_f = fused.tell(rosen(x), rosen_der(x))
        np.testing.assert_array_equal(separate.x, fused.x)
        code_s, code_f = separate.next(), fused.next()
    while separate.need == NEED_F:
        separate.tell(rosen(separate.ask()))
    with pytest.raises(ValueError, match="gradient is wanted"):
        separate.tell(0.0)


def test_handed_out_arrays_are_copies():
    solver = MemoryCG()
    x0 = np.array([-1.2, 1.0])
    solver.start(x0, rosen(x0), rosen_der(x0))
    for get in (solver.ask, lambda: solver.x, lambda: solver.g):
        get()[:] = 1e9
        assert np.max(np.abs(get())) < 1e9
    np.testing.assert_array_equal(x0, [-1.2, 1.0])


@pytest.mark.parametrize("memory", MEMORIES)
def test_resume_at_every_evaluation_is_bit_for_bit(memory):
    def step(solver):
        code = solver.need
        x = solver.ask()
        if code == NEED_F:
            solver.tell(rosen(x))
        else:
            solver.tell(math.nan, rosen_der(x))
        return x

    solver = MemoryCG(memory=memory)
    x0 = np.array([-1.2, 1.0, 2.0])
    solver.start(x0, rosen(x0), rosen_der(x0))
    states, points = [], []
    for _ in range(60):
        states.append(solver.get_state())
        points.append(step(solver))
    for k in range(0, 60, 7):
        other = MemoryCG(memory=memory)
        other.set_state(states[k])
        np.testing.assert_array_equal([step(other) for _ in range(60 - k)], points[k:])


@pytest.mark.parametrize("memory", MEMORIES)
def test_float32_vectors_stay_float32_and_scalars_float64(memory):
    solver = MemoryCG(memory=memory)
    fun, jac, _, xmin = quadratic(6, 100.0)
    x0 = np.ones(6, dtype=np.float32)
    solver, _, _, _ = run(
        lambda x: fun(x.astype(float)),
        lambda x: jac(x.astype(float)).astype(np.float32),
        x0,
        gtol=1e-4,
        maxfun=1000,
        solver=solver,
    )
    assert solver.x.dtype == solver.ask().dtype == np.float32
    assert MEMORY_CG.dtype["f"] == np.float64
    np.testing.assert_allclose(solver.x, xmin, atol=1e-3)


def test_counters_count_what_was_told():
    calls = {"f": 0, "g": 0}

    def fun(x):
        calls["f"] += 1
        return rosen(x)

    def jac(x):
        calls["g"] += 1
        return rosen_der(x)

    solver, converged, _, values = run(fun, jac, np.array([-1.2, 1.0]))
    assert converged
    assert solver.counters["values"] == calls["f"] - 1
    assert solver.counters["gradients"] == calls["g"] - 1
    assert solver.counters["iterations"] in (len(values), len(values) - 1)


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="memory"):
        MemoryCG(memory=-1)
    with pytest.raises(ValueError, match="precondition"):
        MemoryCG(precondition="adam")
    for c1, c2 in ((0.5, 0.4), (0.0, 0.5), (0.1, 1.0)):
        with pytest.raises(ValueError, match="Wolfe"):
            MemoryCG(c1=c1, c2=c2).start(np.ones(2), 1.0, np.ones(2))
    with pytest.raises(ValueError, match="length"):
        MemoryCG().start(np.ones(2), 1.0, np.ones(3))
    assert default_memory(10) == 50
    assert 3 <= default_memory(10**7) < 50


def test_memory_is_linear_in_n():
    state = new_state(10**5, 0)
    assert sum(a.nbytes for a in state[:-1]) <= 8 * 10**5 * 8
    assert state.vectors[G].size == 10**5


def test_plain_python_gives_the_same_run():
    code = (
        "import numpy as np, sys\n"
        "from scipy.optimize import rosen, rosen_der\n"
        "from phase_alone import minimize_memory_cg as go\n"
        "from twophase_min.phases.memory_cg import MemoryCG\n"
        "for memory in (0, 3, 50):\n"
        "    s = MemoryCG(memory=memory)\n"
        "    go(rosen, rosen_der, np.array([-1.2, 1.0, 0.5]), gtol=0, maxfun=25, solver=s)\n"
        "    print(*[v.hex() for v in s.x])\n"
    )
    printed = []
    for disabled in ("0", "1"):
        path = os.pathsep.join(filter(None, (BENCHMARKS, os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "TWOPHASE_DISABLE_JIT": disabled, "PYTHONPATH": path}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        printed.append([[float.fromhex(w) for w in line.split()] for line in done.stdout.splitlines()])
    np.testing.assert_allclose(printed[0], printed[1], rtol=1e-6)
