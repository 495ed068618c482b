"""What a run that cannot go on says about the objective and its gradient."""

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der

from twophase_min import Status, minimize
from twophase_min.objective.calls import Objective
from twophase_min.objective.memory import Point
from twophase_min.run import noise
from twophase_min.run.diagnosis import VALUES, diagnose
from twophase_min.run.exactness import DEVIATIONS

START = np.array([-1.2, 1.0, -0.5])


def look(fun, jac, x, kind=None, maxfun=None, gtol=1e-5, curvature=float("nan")):
    """Diagnosis at a point, and how many values it cost."""
    x = np.asarray(x, dtype=float)
    objective = Objective(fun, kind or jac, (), x.size, np.dtype(float), maxfun=maxfun)
    f, g = objective.start(x)
    before = objective.nfev
    measured = DEVIATIONS * noise.measure(fun, x, f, g)
    text = diagnose(objective, Point(x, f, g), 0.5, curvature, gtol, measured)
    return text, objective.nfev - before


def test_a_right_gradient_is_not_suspected():
    text, cost = look(rosen, rosen_der, START)
    assert "agrees" in text
    assert "wrong" not in text
    assert cost <= 3
    assert f"slope along the gradient is {np.linalg.norm(rosen_der(START)):.3g}" in text
    assert "last step was 0.5 long" in text


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1.0, 1e6, 1e12])
@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e12])
def test_no_suspicion_at_any_scale_of_x_and_f(scale, unit):
    text, _ = look(
        lambda x: unit * rosen(x / scale), lambda x: unit * rosen_der(x / scale) / scale, scale * START
    )
    assert "agrees" in text
    assert "wrong" not in text


@pytest.mark.parametrize(
    "spoil", [lambda g: -g, lambda g: 2 * g, lambda g: g * [1.0, -1.0, 1.0], lambda g: g + 50.0]
)
def test_a_wrong_gradient_is_suspected(spoil):
    text, cost = look(rosen, lambda x: spoil(rosen_der(x)), START)
    assert "gradient looks wrong" in text
    assert "check_gradient" in text
    assert cost <= VALUES


def test_wrong_differences_get_another_remedy():
    """Differences with a far too long step: the remedy is the step, not check_gradient."""
    x = np.array([0.3])
    objective = Objective(
        lambda x: float(np.cos(50 * x[0])), "2-point", (), 1, np.dtype(float), abs_step=0.05
    )
    f, g = objective.start(x)
    text = diagnose(objective, Point(x, f, g), 0.1, float("nan"), 1e-5)
    assert "looks wrong" in text
    assert "eps" in text


def test_noise_that_differs_between_calls_is_measured():
    rng = np.random.default_rng(0)
    sigmas = []
    for _ in range(20):
        text, cost = look(lambda x: rosen(x) + 1e-3 * rng.normal(), rosen_der, START)
        assert "f is noisy: two values at this point differ" in text
        assert cost == 1
        sigmas.append(float(text.split("Noise of f: about ")[1].split(".  ")[0].split(". ")[0]))
    assert 3e-4 < np.median(sigmas) < 3e-3


def test_noise_that_is_the_same_at_the_same_point_is_seen_too():
    def fun(x):
        return rosen(x) + 1e-2 * np.sin(1e9 * np.sum(x))

    noises, remedies = [], []
    for shift in np.linspace(0, 0.01, 21):
        text, cost = look(fun, rosen_der, np.array([1.01, 1.02, 1.04 + shift]), curvature=100.0)
        assert cost <= VALUES
        if "f is noisy: its slope is" in text:
            noises.append(float(text.split("Noise of f: about ")[1].split(". ")[0]))
            remedies.append("raise gtol" in text)
    assert any(remedies)
    assert len(noises) >= 18  # two pairs of noisy values can look like a slope once in a while
    assert 1e-3 < np.median(noises) < 3e-2  # the amplitude is 0.007


def test_a_kink_and_a_jump_are_told_apart():
    text, _ = look(lambda x: float(np.abs(x) @ [1.0, 2.0]), lambda x: np.array([1.0, 2.0]), [0.0, 0.0])
    assert "kink" in text
    text, _ = look(lambda x: x[0] + (5.0 if x[0] < 1.0 else 0.0), lambda x: np.ones(1), [1.0])
    assert "discontinuous: it jumps by 5 " in text
    text, _ = look(lambda x: float(np.floor(x[0])), lambda x: np.ones(1), [1.5])
    assert "constant" in text


def test_the_edge_of_the_domain_is_named():
    text, _ = look(lambda x: x[0] if x[0] >= 0.5 else np.nan, lambda x: np.ones(1), [0.5])
    assert "not finite on a side of this point, at a distance of" in text


def test_a_slope_below_the_rounding_is_not_called_wrong():
    text, _ = look(lambda x: 1e12 + x[0], lambda x: np.array([1.0]), [1e-3])
    assert "wrong" not in text
    assert "cannot resolve" in text


def test_equal_values_are_not_taken_for_a_slope_of_zero():
    """log cosh near its minimum: cosh is 1 plus a few roundings, so that close values are the same."""

    def fun(x):
        return float(np.log(np.cosh(x / 10)).sum() * 10)

    texts = [look(fun, lambda x: np.tanh(x / 10), [x])[0] for x in np.linspace(2e-6, 8e-6, 100)]
    assert not any("wrong:" in text for text in texts)
    assert not any("noisy" in text for text in texts)
    assert sum("they are 0 over" in text or "does not change within" in text for text in texts) > 50


SMOOTH = {
    "sine": (lambda x: np.sin(x).sum(), np.cos),
    "two sines": (
        lambda x: (np.sin(x) + np.sin(3 * x) / 4).sum(),
        lambda x: np.cos(x) + 0.75 * np.cos(3 * x),
    ),
    "sine on a large constant": (lambda x: np.sin(x).sum() + x.dtype.type(100), np.cos),
    "sine in a valley": (
        lambda x: (np.sin(x) - x + x**2 / 1000).sum(),
        lambda x: np.cos(x) - 1 + x / 500,
    ),
    "quadratic": (lambda x: (x * x).sum(), lambda x: 2 * x),
    "quartic": (lambda x: (x**4).sum(), lambda x: 4 * x**3),
    "log cosh": (lambda x: np.log(np.cosh(x / 10)).sum() * 10, lambda x: np.tanh(x / 10)),
    "exponential": (lambda x: np.exp(x / 50).sum(), lambda x: np.exp(x / 50) / 50),
    "bell": (lambda x: -np.exp(-x * x / 8).sum(), lambda x: x / 4 * np.exp(-x * x / 8)),
    "rational": (lambda x: (x * x / (1 + x * x)).sum(), lambda x: 2 * x / (1 + x * x) ** 2),
}
"""Values and gradients; near their stationary points a difference over a long distance has another slope."""
PRECISIONS = [np.float64, np.float32]


def points(jac, dtype):
    """Points of all sizes; every other one close to where the gradient is zero."""
    for seed in range(30):
        rng = np.random.default_rng([seed, 1])
        x = rng.normal(size=1 + seed % 3) * 10.0 ** rng.uniform(-2, 2.5)
        for _ in range(60 * (seed % 2)):
            g = jac(x)
            bend = np.abs(jac(x + 1e-4) - g) / 1e-4
            x -= np.clip(g / np.maximum(bend, 1e-12), -1, 1)
        away = rng.normal(size=x.size) * 10.0 ** rng.uniform(-6, -2)
        x = (x + away * np.maximum(np.abs(x), 1)).astype(dtype)
        if np.any(jac(x)):
            yield x


def looks(fun, jac, dtype):
    """The text at each of the points."""
    for x in points(jac, dtype):
        objective = Objective(fun, jac, (), x.size, np.dtype(dtype))
        f, g = objective.start(x)
        measured = DEVIATIONS * noise.measure(fun, x, f, g)
        before = objective.nfev
        yield x, diagnose(objective, Point(x, f, g), 0.1, float("nan"), 1e-8, measured)
        assert objective.nfev - before <= VALUES


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", SMOOTH)
def test_nothing_is_claimed_of_a_smooth_function_that_is_not_so(name, dtype):
    """Noise only where it is there: against the same formula in long doubles, the oracle."""
    fun, jac = SMOOTH[name]
    agreed = 0
    for x, text in looks(fun, jac, dtype):
        for claim in ("looks wrong", "kink", "discontinuous", "not finite"):
            assert claim not in text, (x, text)
        agreed += "agrees with a difference" in text
        if "noisy" in text:
            rng = np.random.default_rng(0)
            near = [(x * (1 + 1e-2 * rng.normal(size=x.size))).astype(dtype) for _ in range(50)]
            errors = [float(fun(z) - fun(z.astype(np.longdouble))) for z in near]
            told = float(text.split("Noise of f: about ")[1].split(". ")[0])
            assert told < 30 * np.linalg.norm(errors) / 50**0.5, (x, text)
    assert agreed >= 8


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", SMOOTH)
def test_nothing_but_noise_is_claimed_of_a_noisy_function(name, dtype):
    smooth, jac = SMOOTH[name]
    size = 1e-3 if dtype == np.float64 else 1e-2

    def fun(x):
        rough = np.random.default_rng(np.asarray(x, dtype=float).view(np.uint64))
        return dtype(smooth(x) * (1 + size * rough.normal()))

    noisy = 0
    for x, text in looks(fun, jac, dtype):
        for claim in ("looks wrong", "kink", "discontinuous", "not finite"):
            assert claim not in text, (x, text)
        noisy += "f is noisy" in text
    assert noisy >= 5


def test_a_sine_in_float32_is_not_said_to_go_against_its_gradient():
    """Its slopes over 3 and over 300, the distances that float32 resolves, say nothing of its gradient."""
    result = minimize(
        lambda x: (np.sin(x) - x + x**2 / 1000)[0],
        np.array([0.12], dtype=np.float32),
        jac=lambda x: np.cos(x) - 1 + x / 500,
    )
    assert result.fun < -249
    for claim in ("noisy", "wrong", "kink", "discontinuous", "does not go"):
        assert claim not in result.message


@pytest.mark.parametrize("left", range(VALUES))
def test_limits_forbid_the_look_and_the_text_says_so(left):
    text, cost = look(rosen, lambda x: -rosen_der(x), START, maxfun=1 + left)
    assert cost == 0
    assert "maxfun" in text
    assert "check_gradient" in text


# ---- through minimize -------------------------------------------------------------------------------------


@pytest.mark.parametrize("convex_method", ["CG", "memory-cg"])
def test_a_wrong_gradient_is_named_by_the_result(convex_method):
    calls = []

    def fun(x):
        calls.append(np.array(x))
        return float(x @ x)

    result = minimize(fun, START, jac=lambda x: -2 * x, options={"convex_method": convex_method})
    assert result.status == Status.PRECISION_LOSS
    assert not result.success
    assert "gradient looks wrong" in result.message
    assert result.nfev == len(calls)  # the look is counted
    assert result.fun == min(float(x @ x) for x in calls)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("convex_method", ["CG", "memory-cg"])
def test_a_noisy_function_is_named_by_the_result(convex_method, seed):
    """Its gradient is noisy too, so that nothing below the noise is within reach."""
    rng = np.random.default_rng(seed)
    result = minimize(
        lambda x: rosen(x) + 1e-3 * rng.normal(),
        START,
        jac=lambda x: rosen_der(x) + 1e-2 * rng.normal(size=3),
        options={"convex_method": convex_method},
    )
    assert result.status in (Status.PRECISION_LOSS, Status.WORKING_PRECISION)
    if result.success:
        assert 1e-3 < float(result.message.split("exact to about ")[1].split()[0]) < 2e-2  # some deviations
        assert rosen(result.x) < 2e-2
    else:
        assert "f is noisy" in result.message


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("convex_method", ["CG", "memory-cg"])
def test_where_only_values_are_noisy_slopes_lead_to_the_minimum(convex_method, seed):
    rng = np.random.default_rng(seed)
    result = minimize(
        lambda x: rosen(x) + 1e-3 * rng.normal(),
        START,
        jac=rosen_der,
        options={"convex_method": convex_method},
    )
    if convex_method == "CG" and result.status != Status.CONVERGED:  # SciPy's searches know values only
        assert result.status in (Status.PRECISION_LOSS, Status.WORKING_PRECISION)
        assert "noise" in result.message.lower() or "exact to about" in result.message
        assert rosen(result.x) < 1e-2  # some deviations
        return
    assert result.status == Status.CONVERGED
    assert np.max(np.abs(rosen_der(result.x))) <= 1e-5
    np.testing.assert_allclose(result.x, 1.0, atol=1e-4)


@pytest.mark.parametrize("convex_method", ["CG", "memory-cg"])
def test_a_discontinuity_at_the_end_is_named_by_the_result(convex_method):
    """Downhill along x until a cliff at 1, where the gradient still points across it."""

    def fun(x):
        return x[0] + x[0] ** 2 + (50.0 if x[0] < 1.0 else 0.0)

    result = minimize(fun, [3.0], jac=lambda x: 1 + 2 * x, options={"convex_method": convex_method})
    assert not result.success
    assert result.status == Status.PRECISION_LOSS
    assert result.x[0] == pytest.approx(1.0, abs=1e-6)
    assert "discontinuous" in result.message


def test_maxfun_holds_during_the_look():
    whole = minimize(lambda x: float(x @ x), START, jac=lambda x: -2 * x)
    for maxfun in range(int(whole.nfev) - VALUES - 2, int(whole.nfev) + 1):
        result = minimize(lambda x: float(x @ x), START, jac=lambda x: -2 * x, options={"maxfun": maxfun})
        assert result.nfev <= maxfun
        assert not result.success


def test_a_target_met_while_looking_is_a_success():
    """The look goes a little uphill along a gradient of the wrong sign: below the target."""
    target = float(START @ START) * (1 - 1e-7)
    result = minimize(lambda x: float(x @ x), START, jac=lambda x: -2 * x, options={"f_target": target})
    assert result.status == Status.TARGET
    assert result.success
    assert result.fun <= target
