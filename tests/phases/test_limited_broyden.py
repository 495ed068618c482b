"""Self-scaled Broyden with a limited memory: steps against dense algebra, and what holds for whole runs."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import rosen, rosen_der

from twophase_min import minimize
from twophase_min.jit.compilation import jit
from twophase_min.phases import FAILED, ITERATION, NEED_F, NEED_NOISE, PHASES
from twophase_min.phases.broyden import BFGS, SSBFGS, SSBROYDEN
from twophase_min.phases.compiled import copy_state
from twophase_min.phases.limited_broyden import LimitedSSBroyden, default_memory
from twophase_min.phases.limited_broyden_kernels import (
    KEEP,
    LIMITED_BROYDEN,
    MEMBER,
    SW,
    B,
    S,
    Y,
    make_room,
    multiply,
    new_state,
)
from twophase_min.phases.packed import OPERAND, OUT
from twophase_min.phases.quasi_newton import SSBroyden

START = np.array([-1.2, 1.0, 0.5, 2.0, -0.7, 1.4, 0.9, 1.1])


@jit(cache=False)
def products(state, q):
    phase = state.slot[0]
    for i in range(q.size):
        state.work[OPERAND, i] = q[i]
    multiply(state, phase)


@jit(cache=False)
def room(state):
    make_room(state, state.slot[0])


def matrix(solver_or_state):
    """H, column by column."""
    state = getattr(solver_or_state, "state", solver_or_state)
    columns = []
    for unit in np.eye(state.vectors.shape[1]):
        products(state, unit)
        columns.append(state.work[OUT].copy())
    return np.array(columns).T


def begun(kind=LimitedSSBroyden, x0=START, **options):
    solver = kind(precondition=None, **options)
    solver.start(x0, rosen(x0), rosen_der(x0))
    return solver


def step(solver):
    """Go on to the next iterate; whether there is one."""
    code = int(solver.view.code)
    if code == ITERATION:
        code = solver.next()
    while code not in (ITERATION, FAILED):
        if code == NEED_NOISE:
            code = solver.tell(0.0)
        else:
            trial = solver.ask()
            code = solver.tell(rosen(trial)) if code == NEED_F else solver.tell(math.nan, rosen_der(trial))
    return code == ITERATION


def chosen(h, s, y, b):
    """Return phi and tau of self-scaled Broyden, as they are published (SSBroyden2), for a given b."""
    n, hh = s.size, y @ h @ y / (s @ y)
    a = b * hh - 1
    if a < 1e-10:
        return 1.0, min(1.0, 1 / b)
    c = math.sqrt(a / (1 + a))
    low = min(1.0, hh * (1 - c)) if b * hh > 1 else 1.0
    theta = max((low - 1) / a, min(1 / low, (1 - b) / b))
    sigma = 1 + theta * a
    share, short = sigma ** (1 / (1 - n)), min(1.0, 1 / b)
    tau = min(short * share, sigma) if theta <= 0 else short * min(share, 1 / theta)
    return (1 - theta) / sigma, tau


def applied(h, s, y, phi, tau):
    """Return the inverse Hessian after an update."""
    rho, hy = 1 / (s @ y), h @ y
    q = y @ hy
    v = rho * s - hy / q
    return (h - np.outer(hy, hy) / q + phi * q * np.outer(v, v)) / tau + rho * np.outer(s, s)


def dense(scale, updates, n):
    """Return H from a multiple of the identity and (s, y, b, phi, tau), oldest first."""
    h = scale * np.eye(n)
    for s, y, _, phi, tau in updates:
        h = applied(h, s, y, phi, tau)
    return h


def forgotten(scale, updates, n):
    """Forget the older half; the others are made anew, each with the b that it had, and no phi below 0."""
    many = (len(updates) + 1) // 2
    scale /= math.prod(tau for *_, tau in updates[:many])
    h, anew = scale * np.eye(n), []
    for s, y, b, _, _ in updates[many:]:
        phi, tau = chosen(h, s, y, b)
        phi = max(phi, 0.0)
        h = applied(h, s, y, phi, tau)
        anew.append((s, y, b, phi, tau))
    return scale, anew


@pytest.mark.parametrize("memory", [2, 5, 8, 60])
def test_its_steps_are_those_of_dense_algebra(memory):
    """Also where updates are forgotten."""
    solver, n = begun(memory=memory), START.size
    updates, scale, compared, halved = [], 1.0, 0, 0
    for _ in range(45):
        x, g = solver.x, solver.g
        if len(updates) == memory:
            scale, updates = forgotten(scale, updates, n)
            halved += 1
        h = dense(scale, updates, n)
        if not step(solver) or np.max(np.abs(solver.g)) < 1e-5:
            break
        assert solver.counters["restarts"] == solver.counters["skipped"] == 0
        s, y = solver.x - x, solver.g - g
        if updates:
            p = -h @ g
            assert p @ s / np.linalg.norm(p) / np.linalg.norm(s) == pytest.approx(1, abs=1e-6)
            compared += 1
        else:
            scale = s @ y / (y @ y)
            h = scale * np.eye(n)
        b = s @ np.linalg.solve(h, s) / (s @ y)
        updates.append((s, y, b, *chosen(h, s, y, b)))
        assert int(solver.view.used) == len(updates)
        expected = dense(scale, updates, n)
        np.testing.assert_allclose(matrix(solver), expected, atol=1e-4 * np.max(np.abs(expected)))
    assert compared >= 20
    assert (halved == 0) == (memory == 60)


def test_until_updates_are_forgotten_it_is_the_dense_method():
    limited, full = begun(memory=60), begun(SSBroyden)
    for _ in range(25):
        step(limited)
        step(full)
        np.testing.assert_allclose(limited.x, full.x, rtol=1e-6)
    np.testing.assert_allclose(matrix(limited), full.hess_inv, atol=1e-5 * np.max(np.abs(full.hess_inv)))


@settings(deadline=None, max_examples=50, derandomize=True)
@given(
    seed=st.integers(0, 2**31),
    memory=st.integers(2, 9),
    member=st.sampled_from([SSBROYDEN, SSBFGS, BFGS]),
    spread=st.floats(0, 2),
)
def test_what_is_made_anew_is_definite_and_meets_the_secant_equation(seed, memory, member, spread):
    """Property: whatever b the updates had, H stays definite, and maps the last y to its s."""
    rng = np.random.default_rng(seed)
    n = 6
    state = new_state(n, memory, scaled=False)
    phase = LIMITED_BROYDEN.view(state.slot)
    a = rng.normal(size=(n, n))
    a = a @ a.T + 0.1 * np.eye(n)
    state.updates[S] = rng.normal(size=(memory, n))
    state.updates[Y] = state.updates[S] @ a
    state.numbers[KEEP] = rng.uniform(1, 2, memory)
    state.numbers[B] = 10 ** rng.uniform(-spread, spread, memory)
    state.numbers[MEMBER] = member
    phase.used = phase.stored = memory
    scale = math.prod(state.numbers[KEEP, : (memory + 1) // 2])
    last = state.updates[:2, -1].copy()
    room(state)
    used = int(phase.used)
    assert used == memory // 2
    assert phase.scale == pytest.approx(scale)
    h = matrix(state)
    size = np.max(np.abs(h))
    np.testing.assert_allclose(h, h.T, atol=1e-10 * size)
    assert np.min(np.linalg.eigvalsh(h)) > -1e-9 * size
    np.testing.assert_allclose(h @ last[1], last[0], atol=1e-8 * size * np.max(np.abs(last[1])))
    assert np.all(state.numbers[SW, :used] <= 0)


def test_where_there_is_room_nothing_is_forgotten():
    solver = begun(memory=60)
    for _ in range(10):
        step(solver)
    before = solver.get_state()
    room(solver.state)
    after = solver.get_state()
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)


@pytest.mark.parametrize("memory", [2, 3, 20])
def test_pairs_from_elsewhere_teach_it(memory):
    """More of them than there is room for: the last one holds."""
    rng = np.random.default_rng(0)
    a = np.diag(np.geomspace(1, 100, 8))
    pairs = [(s, a @ s) for s in rng.normal(size=(7, 8))]
    solver = LimitedSSBroyden(precondition=None, memory=memory)
    solver.start(START, rosen(START), rosen_der(START), pairs=pairs)
    assert int(solver.view.stored) == 7
    np.testing.assert_allclose(matrix(solver) @ pairs[-1][1], pairs[-1][0], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(solver.direction, -matrix(solver) @ solver.g, rtol=1e-10)


def test_numbers_that_overflow_cost_a_restart():
    solver = begun(memory=20)
    for _ in range(8):
        step(solver)
    solver.view.scale = 1e308
    solver.view.known = 0
    before = solver.counters["restarts"]
    for _ in range(200):
        if np.max(np.abs(solver.g)) < 1e-6:
            break
        assert step(solver)
    assert np.max(np.abs(solver.g)) < 1e-6
    assert solver.counters["restarts"] > before


@pytest.mark.parametrize("steps", [0, 4, 17])
def test_saved_and_loaded_it_goes_on_bit_for_bit(steps):
    solver = begun(memory=5)
    for _ in range(steps):
        step(solver)
    other = LimitedSSBroyden(memory=5, precondition=None)
    other.set_state(solver.get_state())
    for _ in range(8):
        step(solver)
        step(other)
        assert other.x.tobytes() == solver.x.tobytes()
    assert other.counters == solver.counters


def test_a_rolled_back_phase_goes_on_as_the_other_would():
    solver, other = begun(memory=5), begun(memory=5)
    for _ in range(9):
        step(solver)
    copy_state(solver.state, other.state)
    for _ in range(5):
        step(solver)
        step(other)
        assert other.x.tobytes() == solver.x.tobytes()


@settings(deadline=None, max_examples=10, derandomize=True)
@given(power=st.integers(-30, 30))
def test_the_unit_of_f_changes_nothing(power):
    """Property: in a unit of f that is a power of two the run visits the same points, bit for bit."""
    unit = 2.0**power
    given = {"convex_method": "l-ssbroyden", "convex_options": {"memory": 5}, "gtol": 0.0, "maxiter": 25}
    options = {**given, "guard": False, "swap": "always"}
    one = minimize(rosen, START, jac=rosen_der, options=options)
    other = minimize(lambda x: unit * rosen(x), START, jac=lambda x: unit * rosen_der(x), options=options)
    assert other.x.tobytes() == one.x.tobytes()


@pytest.mark.parametrize("memory", [None, 12])
def test_whole_runs_reach_the_minimum(memory):
    given = {"convex_method": "l-ssbroyden", "convex_options": {"memory": memory}}
    result = minimize(rosen, np.tile([-1.2, 1.0], 6), jac=rosen_der, options=given)
    assert result.success
    np.testing.assert_allclose(result.x, 1.0, atol=1e-4)


@pytest.mark.parametrize("iterations", [4, 13, 31])
def test_a_run_resumes_bit_for_bit(iterations):
    own = {"convex_method": "l-ssbroyden", "convex_options": {"memory": 6}, "guard": False, "gtol": 0.0}
    whole = minimize(rosen, START, jac=rosen_der, options={**own, "maxiter": 45})
    part = minimize(rosen, START, jac=rosen_der, options={**own, "maxiter": iterations})
    rest = minimize(rosen, part.x, jac=rosen_der, options={**own, "maxiter": 45, "resume": part.state})
    assert rest.x.tobytes() == whole.x.tobytes()
    assert rest.nfev == whole.nfev


def test_single_precision_vectors_keep_double_updates():
    x0 = START.astype(np.float32)
    solver = LimitedSSBroyden(precondition=None)
    solver.start(x0, rosen(x0), rosen_der(x0))
    assert solver.x.dtype == np.float32
    assert solver.state.updates.dtype == np.float64


def test_bounds_are_an_error_that_names_methods_which_keep_them():
    with pytest.raises(ValueError, match="'ssbroyden'"):
        minimize(rosen, START, jac=rosen_der, bounds=[(-2, 2)] * 8, options={"convex_method": "l-ssbroyden"})


def test_how_much_is_kept_where_nobody_says():
    assert default_memory(10_000) == 200
    assert 24 * 10**6 * default_memory(10**6) <= 2**29
    assert default_memory(10**9) == 4


@pytest.mark.parametrize("bad", [1, 0, 2.5, True, "many"])
def test_a_memory_out_of_range_is_an_error(bad):
    with pytest.raises(ValueError, match="an integer >= 2"):
        PHASES["l-ssbroyden"].check({"memory": bad})
