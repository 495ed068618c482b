"""Bounds in the phases with a line search: kernels against dense algebra, searches against the conditions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear, rosen, rosen_der

from twophase_min.phases import (
    FAILED,
    FREE,
    ITERATION,
    LOWER,
    NEED_F,
    NEED_NOISE,
    PHASES,
    UPPER,
    G,
    P,
    X,
    compiled,
)
from twophase_min.phases import box as kernels
from twophase_min.phases.adam import Adam
from twophase_min.phases.memory_cg import MemoryCG
from twophase_min.phases.packed import take_out
from twophase_min.phases.quasi_newton import BFGS, SSBFGS, SSBroyden

CLASSES = [MemoryCG, SSBroyden, SSBFGS, BFGS]
seeds = st.integers(0, 2**32 - 1)


def searched(examples):
    return settings(max_examples=examples, deadline=None, derandomize=True)


def drawn_box(rng, n, fixed=0.1, infinite=0.2):
    """Limits of which some are infinite and some equal."""
    lower = rng.normal(size=n)
    upper = lower + rng.exponential(size=n)
    upper[rng.random(n) < fixed] = np.nan
    upper = np.where(np.isnan(upper), lower, upper)
    lower = np.where((rng.random(n) < infinite) & (lower < upper), -np.inf, lower)
    upper = np.where((rng.random(n) < infinite) & (lower < upper), np.inf, upper)
    return lower, upper


def run(cls, fun, jac, x0, box, gtol=1e-8, maxfun=4000, inside=True, **options):
    """Drive a phase within a box; returns it, whether it converged, and the evaluations."""
    phase = cls(**options)
    phase.box = box
    x = np.clip(x0, *box)
    code, spent = phase.start(x, fun(x), jac(x)), 2

    def size():
        return np.max(np.abs(np.clip(phase.g, phase.x - box[1], phase.x - box[0])))

    while code != FAILED and spent < maxfun and size() > gtol:
        if code == ITERATION:
            code = phase.next()
        elif code == NEED_NOISE:
            code = phase.tell(0.0)
        else:
            x = phase.ask()
            assert np.all(x >= box[0])
            assert np.all(x <= box[1])
            code = phase.tell(fun(x)) if code == NEED_F else phase.tell(math.nan, jac(x))
            spent += 1
    return phase, bool(size() <= gtol), spent


def state_at(rng, n, cls=MemoryCG, scaled=True):
    """A phase at a random point of a random box, some variables at limits."""
    box = drawn_box(rng, n)
    x = np.clip(rng.normal(size=n) * 2, *box)
    phase = cls()
    phase.box = box
    phase.start(x, 1.0, rng.normal(size=n), diagonal=rng.uniform(0.5, 2.0, n) if scaled else None)
    return phase, box, x


# ---- kernels ----------------------------------------------------------------------------------------------


@searched(50)
@given(seeds)
def test_the_projected_gradient_is_that_of_the_projection(seed):
    """x - P(x - g), written as a difference of projections, up to its rounding."""
    rng = np.random.default_rng(seed)
    lower, upper = drawn_box(rng, 7)
    x, g, out = np.clip(rng.normal(size=7) * 2, lower, upper), rng.normal(size=7), np.empty(7)
    kernels.reduce(x, g, lower, upper, out)
    np.testing.assert_allclose(out, x - np.clip(x - g, lower, upper), atol=1e-14)
    assert np.array_equal(out == g, (x - g >= lower) & (x - g <= upper))


@searched(50)
@given(seeds)
def test_free_are_the_variables_that_a_step_along_minus_g_moves(seed):
    rng = np.random.default_rng(seed)
    phase, (lower, upper), x = state_at(rng, 8)
    v = phase.state.vectors
    held = kernels.mark_free(v)
    moves = np.clip(x - 1e-9 * v[G], lower, upper) != x
    assert np.array_equal(v[FREE] == 1, moves | ((v[G] == 0) & (lower < upper)))
    assert held == np.count_nonzero(v[FREE] == 0)


@searched(100)
@given(seeds, st.floats(1e-6, 1e6))
def test_a_bent_direction_leads_downhill_inside_the_box(seed, step):
    """The first trial is the projection of a point on the ray, and promises what the nearest limit does."""
    rng = np.random.default_rng(seed)
    phase, (lower, upper), x = state_at(rng, 8)
    v = phase.state.vectors
    kernels.mark_free(v)
    v[P] = -rng.uniform(0.1, 2.0, 8) * v[G] * v[FREE]
    p, slope = v[P].copy(), float(v[P] @ v[G])
    if slope == 0.0:
        return
    found, first, longest = kernels.bend(v, slope, step)
    trial = x + first * v[P]
    assert np.all(trial >= lower - 1e-12 * np.abs(x))
    assert np.all(trial <= upper + 1e-12 * np.abs(x))
    assert found < 0
    assert longest >= first
    assert found == pytest.approx(float(v[P] @ v[G]), rel=1e-9)
    if np.array_equal(v[P], p):
        assert first == step
        assert longest == np.inf or np.any(
            np.isclose(np.clip(x + 2 * longest * p, lower, upper), x + longest * p)
        )
    else:
        assert first == longest == 1.0
        t = np.max(v[P][p != 0] / p[p != 0])  # how far along the ray the projected point is
        np.testing.assert_allclose(x + v[P], np.clip(x + t * p, lower, upper), rtol=1e-9, atol=1e-9)


@searched(30)
@given(seeds)
def test_the_direction_in_the_free_variables_is_that_of_bfgs_there(seed):
    """A dense inverse in the free variables, by the same pairs without the entries of the others."""
    rng = np.random.default_rng(seed)
    n = 6
    g, diagonal = rng.normal(size=n), rng.uniform(0.5, 2.0, n)
    x, free = np.zeros(n), np.ones(n, bool)
    held = rng.random(n) < 0.4
    free[held & (g > 0)] = False
    root = rng.normal(size=(n, n))
    hessian = root @ root.T + np.eye(n)
    pairs = [(s, hessian @ s) for s in rng.normal(size=(4, n))]
    phase = MemoryCG()
    phase.box = np.where(held & (g > 0), 0.0, -np.inf), np.full(n, np.inf)
    phase.start(x, 1.0, g, pairs=pairs, diagonal=diagonal)
    used = [(s[free], y[free]) for s, y in pairs if s[free] @ y[free] > 0]
    if not used:
        return
    inverse = np.diag(phase.state.diagonal[free])
    for s, y in used:
        rho = 1 / (s @ y)
        left = np.eye(s.size) - rho * np.outer(s, y)
        inverse = left @ inverse @ left.T + rho * np.outer(s, s)
    np.testing.assert_allclose(phase.direction[free], -inverse @ g[free], rtol=1e-8, atol=1e-12)
    assert not phase.direction[~free].any()


@pytest.mark.parametrize("cls", [MemoryCG, BFGS])
@searched(30)
@given(seeds)
def test_a_step_arrives_at_a_limit_as_the_model_has_it(cls, seed):
    """The first variable beyond its limit is put there; the others minimise the model of f given that."""
    rng = np.random.default_rng(seed)
    n = 5
    root = rng.normal(size=(n, n))
    hessian = root @ root.T + np.eye(n)
    pairs = [(s, hessian @ s) for s in rng.normal(size=(3, n))]
    g = rng.normal(size=n)
    free = cls(precondition=None)
    free.start(np.zeros(n), 1.0, g, pairs=pairs, first_step=1e3)
    newton = free.direction.copy()
    step = free.view.line.a  # of the first trial: shorter where it would go too far
    columns = []
    for i in range(n):
        one = cls(precondition=None)
        one.start(np.zeros(n), 1.0, -np.eye(n)[i] + 0.0, pairs=pairs, first_step=1e3)
        columns.append(one.direction.copy())
    inverse = np.array(columns)
    np.testing.assert_allclose(-inverse @ g, newton, rtol=1e-6, atol=1e-9)
    i = int(rng.integers(n))
    limit = 0.3 * step * newton[i]
    lower, upper = np.full(n, -np.inf), np.full(n, np.inf)
    (upper if limit > 0 else lower)[i] = limit
    phase = cls(precondition=None)
    phase.box = lower, upper
    phase.start(np.zeros(n), 1.0, g, pairs=pairs, first_step=1e3)
    wanted = step * newton + inverse[i] * (limit - step * newton[i]) / inverse[i, i]
    if wanted @ g < 0:
        np.testing.assert_allclose(phase.ask(), wanted, rtol=1e-6, atol=1e-9)
        assert phase.ask()[i] == limit


@searched(30)
@given(seeds, st.integers(2, 7))
def test_a_variable_at_a_bound_is_taken_out_of_the_inverse(seed, n):
    """What is left is the inverse of the Hessian's block of the other variables, with one diagonal entry."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(n, n))
    hessian = root @ root.T + np.eye(n)
    full = np.linalg.inv(hessian)
    packed = full[np.tril_indices(n)]
    i = int(rng.integers(n))
    take_out(packed, np.empty(n), i)
    got = np.zeros((n, n))
    got[np.tril_indices(n)] = packed
    others = np.arange(n) != i
    block = np.linalg.inv(hessian[np.ix_(others, others)])
    np.testing.assert_allclose(got[np.ix_(others, others)], np.tril(block), rtol=1e-8, atol=1e-9)
    assert got[i, i] == full[i, i]
    assert not got[i, :i].any()
    assert not got[i + 1 :, i].any()


# ---- searches ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", CLASSES)
@searched(15)
@given(seeds)
def test_bounded_least_squares_against_an_oracle(cls, seed):
    """The minimum of a convex quadratic over a box is the one that `lsq_linear` finds."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 12))
    a, b = rng.normal(size=(n + 3, n)), rng.normal(size=n + 3)
    lower, upper = drawn_box(rng, n, fixed=0.0)
    known = lsq_linear(a, b, (lower, upper), method="bvls", tol=1e-14)
    phase, converged, _ = run(
        cls,
        lambda x: 0.5 * float(np.sum((a @ x - b) ** 2)),
        lambda x: a.T @ (a @ x - b),
        rng.normal(size=n) * 3,
        (lower, upper),
    )
    assert converged
    np.testing.assert_allclose(phase.x, known.x, atol=1e-5)


@pytest.mark.parametrize("cls", CLASSES)
@searched(15)
@given(seeds)
def test_the_end_of_a_nonconvex_search_meets_the_first_order_conditions(cls, seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 15))
    _, converged, _ = run(cls, rosen, rosen_der, rng.normal(size=n) * 2, drawn_box(rng, n), gtol=1e-5)
    assert converged


@pytest.mark.parametrize("cls", CLASSES)
def test_a_box_far_away_changes_nothing(cls):
    x0 = np.linspace(-1.5, 1.5, 9)
    near = run(cls, rosen, rosen_der, x0, (np.full(9, -1e8), np.full(9, 1e9)))
    free = cls()
    free.start(x0, rosen(x0), rosen_der(x0))
    far, _, spent = near
    code, evaluations = free.need, 2
    while evaluations < spent:
        if code == ITERATION:
            code = free.next()
        elif code == NEED_NOISE:
            code = free.tell(0.0)
        else:
            x = free.ask()
            code = free.tell(rosen(x)) if code == NEED_F else free.tell(math.nan, rosen_der(x))
            evaluations += 1
    assert np.array_equal(free.x, far.x)
    assert free.f == far.f


@pytest.mark.parametrize("cls", CLASSES)
def test_many_variables_arrive_and_leave_in_one_step(cls):
    """All of a hundred variables start at the wrong limit, and end at the other one."""
    n = 100
    weights = np.linspace(1, 2, n)
    phase, converged, spent = run(
        cls,
        lambda x: float(weights @ (x - 3.0) ** 2),
        lambda x: 2 * weights * (x - 3.0),
        np.zeros(n),
        (np.zeros(n), np.ones(n)),
    )
    assert converged
    assert np.array_equal(phase.x, np.ones(n))
    assert spent <= 12


@pytest.mark.parametrize("cls", CLASSES)
def test_a_suspended_state_goes_on_within_its_box(cls):
    box = np.full(4, -0.5), np.full(4, 0.75)
    phase, _, _ = run(cls, rosen, rosen_der, np.zeros(4), box, maxfun=8)
    again = cls()
    again.set_state(phase.get_state())
    assert np.array_equal(again.state.vectors[LOWER], box[0])
    assert np.array_equal(again.state.vectors[UPPER], box[1])
    assert np.array_equal(again.x, phase.x)
    other = cls()
    other.box = box
    other.allocate(4, np.float64, True)
    compiled.copy_state(phase.state, other.state)
    assert np.array_equal(other.state.vectors, phase.state.vectors)


@pytest.mark.parametrize("cls", CLASSES)
def test_the_registry_says_that_these_phases_keep_to_bounds(cls):
    """Of a phase without the flag a run within bounds says so (tests/test_bounds.py)."""
    assert PHASES[cls.name].bounds


# ---- Adam -------------------------------------------------------------------------------------------------


def adam_run(adam, fun, jac, x0, box, steps):
    x = np.clip(np.asarray(x0, dtype=float), *box)
    adam.start(x, fun(x), jac(x))
    for _ in range(steps):
        code = adam.next() if adam.need == ITERATION else adam.need
        while code not in (ITERATION, FAILED):
            x = adam.ask().copy()
            assert np.all(x >= box[0])
            assert np.all(x <= box[1])
            code = adam.tell(fun(x), None if code == NEED_F else jac(x))
    return adam


@pytest.mark.parametrize("rate", [None, 0.05])
def test_adam_steps_are_projected(rate):
    box = np.full(5, -0.5), np.full(5, 0.5)
    adam = adam_run(Adam(rate, box=box), rosen, rosen_der, np.full(5, 2.0), box, 300)
    slope = np.clip(adam.state.vectors[G], adam.x - box[1], adam.x - box[0])
    assert np.max(np.abs(slope)) < 0.1


def test_adams_moments_learn_nothing_from_a_held_variable():
    """One variable is pushed against its limit, by a thousand times the slope of the other."""
    box = np.array([0.0, -np.inf]), np.array([1.0, np.inf])

    def fun(x):
        return 1e3 * x[0] + (x[1] - 3.0) ** 2

    def jac(x):
        return np.array([1e3, 2 * (x[1] - 3.0)])

    adam = adam_run(Adam(0.01, box=box), fun, jac, [0.0, 0.0], box, 50)
    assert adam.x[0] == 0.0
    assert adam.m[0] == adam.v[0] == 0.0
    assert adam.x[1] > 0.3


def test_adam_in_a_box_far_away_is_adam():
    box = np.full(3, -1e9), np.full(3, 1e9)
    runs = [adam_run(adam, rosen, rosen_der, [0.3, -0.7, 1.1], box, 40) for adam in (Adam(), Adam(box=box))]
    assert np.array_equal(runs[0].x, runs[1].x)
    assert np.array_equal(runs[0].v, runs[1].v)


def test_an_epoch_of_adam_stays_inside():
    """Steps in place, as a finite sum makes them."""
    box = np.zeros(3), np.ones(3)
    adam = Adam(0.3, box=box)
    x = np.full(3, 0.5)
    adam.start(x, rosen(x), rosen_der(x))
    for _ in range(20):
        adam.step(adam.x, rosen_der(adam.x) - 50.0)
        assert np.all(adam.x >= 0)
        assert np.all(adam.x <= 1)
    assert adam.state.vectors[X] is not None
    assert np.array_equal(adam.x, np.ones(3))
