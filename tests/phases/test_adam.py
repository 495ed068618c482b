"""Adam by itself: exactly Kingma & Ba, the probe for its first step, and its state."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import rosen, rosen_der

from twophase_min.phases import FAILED, ITERATION, NEED_F, NEED_FG, NEED_G
from twophase_min.phases.adam import ARMIJO, LARGEST, LONGER, RISEN, TURNED, Adam
from twophase_min.phases.adam_kernels import MAX_REJECTIONS

seeds = st.integers(0, 2**32 - 1)


def advance(adam, fun, jac):
    """One iteration by ask and tell; answers the last code."""
    if adam.need == ITERATION:
        adam.next()
    while True:
        x = adam.ask()
        f = fun(x) if adam.need in (NEED_F, NEED_FG) else adam.f_known
        adam.f_known = f
        code = adam.tell(f, jac(x) if adam.need in (NEED_G, NEED_FG) else None)
        if code in (ITERATION, FAILED):
            return code


def textbook(x, jac, steps, lr, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """Kingma & Ba, algorithm 1, as printed."""
    m, v, path = np.zeros_like(x), np.zeros_like(x), []
    for t in range(1, steps + 1):
        g = jac(x)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        x = x - lr * m_hat / (np.sqrt(v_hat) + epsilon)
        path.append(x)
    return np.array(path)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    seed=seeds,
    n=st.integers(2, 6),
    lr=st.sampled_from([1e-4, 1e-2, 0.3]),
    beta1=st.sampled_from([0.0, 0.5, 0.9]),
    beta2=st.sampled_from([0.0, 0.9, 0.999]),
)
def test_a_given_rate_is_kingma_and_ba_exactly(seed, n, lr, beta1, beta2):
    """Property: the iterates are those of the printed algorithm, to rounding, for any rates."""
    x0 = np.random.default_rng(seed).normal(size=n)
    adam = Adam(lr, beta1, beta2)
    adam.start(x0, rosen(x0), rosen_der(x0))
    path = []
    for _ in range(20):
        assert advance(adam, rosen, rosen_der) == ITERATION
        path.append(adam.x.copy())
        assert adam.f == rosen(adam.x)
        np.testing.assert_array_equal(adam.g, rosen_der(adam.x))
    np.testing.assert_allclose(path, textbook(x0, rosen_der, 20, lr, beta1, beta2), rtol=1e-8, atol=1e-10)
    assert adam.t == 20
    assert adam.learning_rate == lr


def test_the_moments_start_at_zero():
    """Not at g: then the first step would be ten times too long (a bug of a known package)."""
    x0 = np.array([-1.2, 1.0])
    adam = Adam(0.1)
    adam.start(x0, rosen(x0), rosen_der(x0))
    np.testing.assert_array_equal(adam.m, 0.0)
    np.testing.assert_array_equal(adam.v, 0.0)
    assert adam.t == 0
    advance(adam, rosen, rosen_der)
    np.testing.assert_allclose(np.abs(adam.x - x0), 0.1, rtol=1e-6)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=seeds, n=st.integers(1, 6), exponent=st.integers(-8, 8), height=st.integers(-20, 20))
def test_the_probe_is_a_sufficient_decrease(seed, n, exponent, height):
    """Property: at any scale of x and f the first iterate lies along -sign(g) and falls enough."""
    rng = np.random.default_rng(seed)
    unit, scale = 10.0**exponent, 10.0**height
    weights, center = rng.uniform(0.5, 20.0, n), unit * rng.normal(size=n)
    x0 = unit * rng.normal(size=n)

    def fun(x):
        return scale * float(np.sum(weights * ((x - center) / unit) ** 2))

    def jac(x):
        return scale * 2 * weights * (x - center) / unit**2

    adam = Adam()
    adam.start(x0, fun(x0), jac(x0))
    assert advance(adam, fun, jac) == ITERATION
    step = adam.x - x0
    length = np.abs(step[0])
    np.testing.assert_allclose(step, -length * np.sign(jac(x0)), rtol=1e-4)
    assert adam.f <= fun(x0) - 0.999 * ARMIJO * length * np.sum(np.abs(jac(x0)))
    assert adam.t == 1
    np.testing.assert_allclose(adam.m, (1 - adam.beta1) * jac(x0))
    np.testing.assert_allclose(adam.v, (1 - adam.beta2) * jac(x0) ** 2)
    assert 0 < adam.learning_rate < np.inf
    for _ in range(30):
        assert advance(adam, fun, jac) == ITERATION
    assert adam.f < fun(x0)


@pytest.mark.parametrize("x0", [[0.0, 0.0], [1e-3, 0.0], [1e12, -1e12]])
@pytest.mark.parametrize("f0", [0.0, 1.0, -1e6])
def test_the_probe_starts_anywhere(x0, f0):
    def fun(x):
        return f0 + float(np.sum(np.hypot(1.0, x - 3.0) - 1))

    def jac(x):
        return (x - 3.0) / np.hypot(1.0, x - 3.0)

    x0 = np.array(x0)
    adam = Adam()
    adam.start(x0, fun(x0), jac(x0))
    assert advance(adam, fun, jac) == ITERATION
    assert adam.f < fun(x0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("rate", [None, 1.0])
def test_a_trial_that_is_not_finite_is_pulled_back(bad, rate):
    def fun(x):
        return bad if x[0] < 0.9 else float(x[0] ** 2)

    adam = Adam(rate)
    x0 = np.array([1.0])
    adam.start(x0, 1.0, np.array([2.0]))
    for _ in range(5):
        assert advance(adam, fun, lambda x: 2 * x) == ITERATION
        assert np.isfinite(adam.f)
        assert adam.x[0] >= 0.9


@pytest.mark.parametrize("rate", [None, 0.1])
def test_adam_gives_up_with_a_reason(rate):
    adam = Adam(rate)
    adam.start(np.ones(2), 1.0, np.ones(2))
    assert advance(adam, lambda x: np.nan, lambda x: np.ones(2)) == FAILED
    assert adam.reason


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_dtype_stays(dtype):
    adam = Adam(0.01)
    x0 = np.array([-1.2, 1.0], dtype=dtype)
    adam.start(x0, rosen(x0), rosen_der(x0).astype(dtype))
    for _ in range(5):
        advance(adam, rosen, lambda x: rosen_der(x).astype(dtype))
        for array in (adam.x, adam.m, adam.v, adam.ask()):
            assert array.dtype == dtype
    reference = textbook(np.array([-1.2, 1.0]), rosen_der, 5, 0.01)[-1]
    np.testing.assert_allclose(adam.x, reference, rtol=1e-4 if dtype == np.float32 else 1e-10)


def test_the_curvature_of_the_last_step():
    lam = 3.0
    adam = Adam()
    x0 = np.array([1.0, -2.0])
    adam.start(x0, 0.5 * lam * float(x0 @ x0), lam * x0)
    assert np.isnan(adam.curvature)
    for _ in range(4):
        advance(adam, lambda x: 0.5 * lam * float(x @ x), lambda x: lam * x)
        assert adam.curvature == pytest.approx(lam)


def test_what_is_handed_in_is_copied():
    x0, g0 = np.array([-1.2, 1.0]), rosen_der(np.array([-1.2, 1.0]))
    adam = Adam(0.01)
    adam.start(x0, rosen(x0), g0)
    x0[:] = g0[:] = 99.0
    advance(adam, rosen, rosen_der)
    np.testing.assert_allclose(adam.x, textbook(np.array([-1.2, 1.0]), rosen_der, 1, 0.01)[0])


@pytest.mark.parametrize("rate", [None, 0.01])
@pytest.mark.parametrize("after", [0, 1, 7])
def test_the_state_goes_on_bit_for_bit(rate, after):
    x0 = np.array([-1.2, 1.0, 0.5])
    adam = Adam(rate)
    adam.start(x0, rosen(x0), rosen_der(x0))
    for _ in range(after):
        advance(adam, rosen, rosen_der)
    state = adam.get_state()
    kept = {name: np.array(value) for name, value in state.items()}
    other = Adam(rate)
    other.set_state(state)
    for _ in range(10):
        advance(adam, rosen, rosen_der)
        advance(other, rosen, rosen_der)
        np.testing.assert_array_equal(adam.x, other.x)
    assert adam.learning_rate == other.learning_rate
    for name, value in kept.items():  # the state that was taken is a copy
        assert np.asarray(state[name]).tobytes() == value.tobytes()


def test_scales_are_bias_corrected():
    adam = Adam(0.01)
    adam.start(np.array([1.0, 2.0]), 0.0, np.array([3.0, -4.0]))
    advance(adam, lambda x: 0.0, lambda x: np.array([3.0, -4.0]))
    np.testing.assert_allclose(adam.scales(), [3.0, 4.0])


# ---- what the rounding of f and of x hides


def test_the_probe_ends_where_the_rounding_of_f_hides_what_it_promises():
    """A gradient of the wrong sign: every step goes up, until the rounding of f would hide by how much."""
    adam, calls = Adam(), []

    def fun(x):
        calls.append(x.copy())
        return 1e3 + float(np.sum(x))

    x0 = np.full(2, 1e-3)
    adam.start(x0, fun(x0), -np.ones(2))
    assert advance(adam, fun, lambda x: -np.ones(2)) == FAILED
    assert "rounding of the objective" in adam.reason
    assert np.all(calls[-1] > x0)  # x, whose numbers are closer than those of f, still moved
    assert 0 <= fun(calls[-1]) - fun(x0) <= np.spacing(1e3)


def test_a_plateau_in_f_is_left_at_the_first_guess():
    """Nothing is below the rounding of f before a step has been shortened."""
    adam = Adam()
    adam.start(np.ones(2), 1e20, np.ones(2))
    assert advance(adam, lambda x: 1e20, lambda x: np.ones(2)) == ITERATION


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_steps_that_change_neither_f_nor_the_gradient_end(dtype):
    adam = Adam(1e-3)
    adam.start(np.ones(2, dtype), 1.0, np.ones(2, dtype))
    codes = [advance(adam, lambda x: 1.0, lambda x: np.ones(2, dtype)) for _ in range(MAX_REJECTIONS + 1)]
    assert codes == [ITERATION] * MAX_REJECTIONS + [FAILED]
    assert adam.reason == "the steps vanish against x"


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_steps_that_the_large_variables_do_not_take_end(dtype):
    """The slope is due to a variable near 1, and steps below its spacing move the one near 0 alone."""
    eps = float(np.finfo(dtype).eps)
    start, rate = np.array([1.0, 1e3 * eps], dtype), 0.1 * eps

    def jac(x):
        return np.array([1e9, 1.0 + 1e-3 * x[1] / eps], dtype)

    def fun(x):
        return float(x[1])

    adam = Adam(rate)
    adam.start(start, fun(start), jac(start))
    first = advance(adam, fun, jac)  # which is a probe's business
    codes = [advance(adam, fun, jac) for _ in range(MAX_REJECTIONS + 1)]
    assert [first, *codes] == [ITERATION] * (MAX_REJECTIONS + 1) + [FAILED]
    assert adam.x[0] == 1.0
    assert adam.x[1] < start[1]
    longer = Adam(100 * eps)  # now both move
    longer.start(start, fun(start), jac(start))
    assert all(advance(longer, fun, jac) == ITERATION for _ in range(2 * MAX_REJECTIONS))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(way=st.floats(-3, 6).filter(lambda way: min(abs(way - mark) for mark in (0, 0.5, 1, 2)) > 1e-6),
       curvature=st.floats(1e-3, 1e3), epochs=st.integers(1, 8))  # fmt: skip
def test_the_rate_after_epochs_follows_from_where_they_ended(way, curvature, epochs):
    """On a parabola, ``way`` from the start (0) to its lowest point (1), the oracle is the place alone.

    A rate that is given stays.
    """

    def fun(x):
        return 0.5 * curvature * float((x[0] - 1) ** 2)

    def jac(x):
        return curvature * (x - 1)

    x0, end = np.zeros(1), np.array([way])
    for given_rate in (None, 0.25):
        adam = Adam(given_rate)
        adam.start(x0, fun(x0), jac(x0))
        adam.view.probing = 0
        adam.view.rate = 0.25
        before = adam.get_state()
        adam.x[:] = end
        adam.arrive(fun(end), jac(end), before, epochs)
        if given_rate is not None or 0.5 < way < 1:
            factor = 1.0
        elif not 0 < way < 2:
            factor = RISEN
        else:
            factor = TURNED if way > 1 else min(LARGEST, LONGER**epochs)
        assert adam.learning_rate == pytest.approx(0.25 * factor, rel=1e-12)
        assert adam.f == fun(end)
