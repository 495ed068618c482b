"""The convexity detector: Algorithm 1 to the letter, every rule on hostile streams, exact serialisation."""

import importlib.util
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twophase_min import detector as module
from twophase_min.detector import (
    RULES,
    AllOf,
    AnyOf,
    CallableRule,
    ConvexitySwapDetector,
    FixedStepRule,
    GainRule,
    KOfLast,
    NormAgainstLossRule,
    NormPeakMedianRule,
    NormPeakRule,
    PathCurvatureRule,
    detect_swap,
    make_detector,
)


def algorithm_1(norms, factor=0.9):
    """Reference: the paper's loop, one epoch a norm; the number of Adam epochs before the first CG epoch."""
    adam, peak, epochs = True, 0.0, 0
    for norm in norms:
        if not adam:
            break
        epochs += 1
        peak = max(norm, peak)
        adam = norm > peak * factor
    return None if adam else epochs


def recorded_run(seed, noise=0.0, steps=200):
    """Train the paper's example 1 by Adam from scratch; losses, norms and second derivatives of the run."""
    rng = np.random.default_rng(seed)
    xs, target = rng.uniform(-0.5, 0.5, 100), rng.uniform(0, 1)
    p, m, v = 0.001, 0.0, 0.0
    losses, norms, seconds = [], [], []
    for t in range(1, steps + 1):
        h = np.tanh(p * xs)
        error, slope = h.sum() - target, (xs * (1 - h**2)).sum()
        second = 2 * slope**2 + 2 * error * (-2 * xs**2 * h * (1 - h**2)).sum()
        g = 2 * error * slope
        losses.append(error**2)
        norms.append(abs(g) * math.exp(noise * rng.standard_normal()))
        seconds.append(second)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        p -= 0.05 * (m / (1 - 0.9**t)) / (math.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return np.array(losses), np.array(norms), np.array(seconds)


hostile = st.one_of(
    st.floats(1e-6, 1e6),
    st.sampled_from([0.0, -1.0, math.nan, math.inf, -math.inf, 5e-324, 1.7e308, 1.0]),
)
streams = st.lists(st.tuples(hostile | st.floats(-1e6, 0), hostile), max_size=80)
finite_streams = st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0, 1e6)), max_size=80)
RULE_SPECS = {
    "norm-peak": lambda: NormPeakRule(),
    "norm-peak-median": lambda: NormPeakMedianRule(window=5),
    "norm-against-loss": lambda: NormAgainstLossRule(window=6, z=1.5),
    "all": lambda: AllOf(NormPeakRule(), NormAgainstLossRule(window=5, z=1.0)),
    "any": lambda: NormPeakRule(0.5) | NormPeakMedianRule(0.95, window=4),
    "k-of-last": lambda: KOfLast(NormPeakRule(), k=3, m=5),
}
settings_grid = [{}, {"smoothing": 0.8}, {"patience": 3}, {"smoothing": 0.5, "patience": 2, "min_steps": 7}]


def usable(stream):
    return [(loss, norm) for loss, norm in stream if math.isfinite(loss) and 0 <= norm < math.inf]


# --------------------------------------------------------------------------------- the paper's Algorithm 1


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("noise", [0.0, 0.05, 0.5])
def test_default_is_algorithm_1_on_recorded_trajectories(seed, noise):
    losses, norms, _ = recorded_run(seed, noise)
    report = detect_swap(losses, norms)
    expected = algorithm_1(norms)
    assert report.found == (expected is not None)
    if report:
        assert report.index == expected - 1
        assert report.peak == norms[:expected].max()
        assert report.peak_index == norms[:expected].argmax()


@settings(deadline=None)
@given(st.lists(st.just(0.0) | st.floats(1e-300, 1e9), max_size=60), st.floats(0.05, 0.95))
def test_default_is_algorithm_1_on_any_stream(norms, factor):
    """The step of the first swap is Algorithm 1's on any norms, zeros before the first positive one apart."""
    positive = next((i for i, norm in enumerate(norms) if norm > 0), len(norms))
    expected = algorithm_1(norms[positive:], factor)
    report = detect_swap(np.ones(len(norms)), norms, factor=factor)
    assert report.index == (None if expected is None else positive + expected - 1)


@pytest.mark.parametrize("seed", range(10))
def test_swap_lies_where_the_second_derivative_is_positive(seed):
    losses, norms, seconds = recorded_run(seed)
    report = detect_swap(losses, norms)
    if report:
        assert seconds[report.index] > 0


# ------------------------------------------------------------------------------------------ hostile input


@pytest.mark.parametrize("name", RULE_SPECS)
@pytest.mark.parametrize("options", settings_grid)
@settings(max_examples=60, deadline=None)
@given(stream=streams)
def test_hostile_streams_never_crash_and_unusable_readings_change_nothing(name, options, stream):
    """Readings that are not finite never swap; the others decide as if the unusable were not there."""
    with_all = ConvexitySwapDetector(RULE_SPECS[name](), **options)
    without = ConvexitySwapDetector(RULE_SPECS[name](), **options)
    answers = []
    for loss, norm in stream:
        decision = with_all.update(loss, norm)
        assert isinstance(decision.reason, str)
        assert decision.swap == bool(decision)
        if math.isfinite(loss) and 0 <= norm < math.inf:
            answers.append(decision.swap)
        else:
            assert not decision
        assert math.isfinite(with_all.peak)
    assert with_all.step == len(stream)
    assert answers == [without.update(loss, norm).swap for loss, norm in usable(stream)]


@pytest.mark.parametrize("name", RULE_SPECS)
@settings(deadline=None)
@given(loss=st.floats(-1e6, 1e6), norm=st.floats(0, 1e6), n=st.integers(1, 60))
def test_no_swap_on_constant_streams(name, loss, norm, n):
    """A constant stream holds no evidence, whatever the rule."""
    assert not detect_swap([loss] * n, [norm] * n, RULE_SPECS[name]())


@pytest.mark.parametrize("name", RULE_SPECS)
@settings(deadline=None)
@given(norms=st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=60, unique=True))
def test_no_swap_while_the_norm_only_grows(name, norms):
    """A norm that grows while the loss falls is non-convex by every rule."""
    norms = sorted(norms)
    assert not detect_swap(-np.arange(len(norms), dtype=float), norms, RULE_SPECS[name]())


@pytest.mark.parametrize("name", ["norm-peak", "norm-peak-median", "norm-against-loss", "all"])
@settings(max_examples=60, deadline=None)
@given(
    stream=finite_streams,
    a=st.integers(-200, 200),
    b=st.integers(-200, 200),
    options=st.sampled_from(settings_grid),
)
def test_decisions_do_not_depend_on_units(name, stream, a, b, options):
    """Scaling the loss by 2**a and the norm by 2**b (exact in floating point) changes no decision."""
    stream = [(0.0 if abs(u) < 1e-100 else u, 0.0 if v < 1e-100 else v) for u, v in stream]
    plain = ConvexitySwapDetector(RULE_SPECS[name](), **options)
    scaled = ConvexitySwapDetector(RULE_SPECS[name](), **options)
    for loss, norm in stream:
        assert plain.update(loss, norm).swap == scaled.update(loss * 2.0**a, norm * 2.0**b).swap


def test_units_that_are_no_power_of_two():
    losses, norms, _ = recorded_run(3, noise=0.1)
    for name in RULE_SPECS:
        where = detect_swap(losses, norms, RULE_SPECS[name]()).index
        for scale in (1e-30, 3.7e-5, 1e12):
            assert detect_swap(scale * losses, norms, RULE_SPECS[name]()).index == where
            assert detect_swap(losses, scale * norms, RULE_SPECS[name]()).index == where


def test_two_peaks_rearm_finds_the_second():
    norms = np.r_[np.linspace(1, 5, 10), np.linspace(5, 3, 5), np.linspace(3, 9, 10), np.linspace(9, 2, 10)]
    losses = np.linspace(10, 1, norms.size)
    detector = ConvexitySwapDetector()
    swaps = []
    for loss, norm in zip(losses, norms, strict=True):
        if detector.update(loss, norm):
            swaps.append(detector.peak)
            detector.rearm(min_steps=6)
    assert swaps[0] == 5
    assert 9 in swaps


def test_a_nan_norm_neither_counts_nor_poisons():
    report = detect_swap([4, 3, 3, 2, 1], [1, 2, math.nan, math.inf, 1.0])
    assert report.index == 4
    assert report.peak == 2


def test_factor_one_takes_any_fall_below_the_peak():
    assert detect_swap([4, 3, 2, 1], [1, 2, 2, 1.999], factor=1.0).index == 3


def test_all_zero_norms_are_no_evidence():
    assert not detect_swap([1, 1, 1], [0, 0, 0])
    assert detect_swap([1, 1, 1], [0, 1, 0]).index == 2


def test_a_lucky_batch_moves_the_plain_rule_but_not_the_robust_ones():
    rng = np.random.default_rng(0)
    losses = np.linspace(10, 1, 100)
    norms = np.linspace(1, 3, 100) * np.exp(0.02 * rng.standard_normal(100))
    norms[::10] *= 0.5
    assert detect_swap(losses, norms)
    for rule in ("norm-peak-median", "norm-against-loss"):
        assert not detect_swap(losses, norms, rule), rule
    assert not detect_swap(losses, norms, patience=2)
    falling = np.r_[norms, np.linspace(3, 0.5, 60)]
    for rule in ("norm-peak-median", "norm-against-loss"):
        assert detect_swap(np.r_[losses, np.linspace(1, 0.1, 60)], falling, rule).index > 100, rule


# ------------------------------------------------------------------------------------------- other rules


def test_fixed_step_counts_every_reading_and_again_after_rearm():
    detector = make_detector(3)
    nan = math.nan
    assert [bool(detector.update(nan, nan)) for _ in range(4)] == [False, False, True, True]
    detector.rearm()
    assert [bool(detector.update(1, 1)) for _ in range(3)] == [False, False, True]
    assert detector.step == 7


def test_patience_and_min_steps():
    norms = [2, 1, 2, 1, 1, 1]
    losses = range(6, 0, -1)
    assert detect_swap(losses, norms).index == 1
    assert detect_swap(losses, norms, patience=2).index == 4
    assert detect_swap(losses, norms, patience=3).index == 5
    assert detect_swap(losses, norms, min_steps=6).index == 5
    assert detect_swap([6, 5, math.nan, 3], [2, 1, math.nan, 1], patience=2).index == 3


def test_callable_rules():
    seen = []

    def rule(loss, norm, step):
        seen.append(step)
        return norm < 1, f"the norm was {norm} {{not a field}}"

    report = detect_swap([3, math.nan, 1], [2, 2, 0.5], rule)
    assert report.index == 2
    assert "the norm was 0.5 {not a field}" in report.reason
    assert seen == [1, 3]
    assert detect_swap([3, 2], [2, 1], lambda loss, norm, step: step == 2).index == 1

    class Other:
        armed = 0

        def update(self, loss, norm, **extras):
            return loss < extras.get("target", 0)

        def rearm(self):
            self.armed += 1

    other = Other()
    detector = make_detector(other)
    assert not detector.update(1.0, 1.0)
    assert detector.update(1.0, 1.0, target=2)
    detector.rearm()
    assert other.armed == 1
    with pytest.raises(ZeroDivisionError):
        detect_swap([1], [1], lambda loss, norm, step: 1 / 0)


def test_path_curvature_rule():
    curvatures = [1, -1, 1, 1, math.nan, 1, 2]
    report = detect_swap(
        np.ones(7), np.ones(7), PathCurvatureRule(window=3), extras={"curvature": np.array(curvatures)}
    )
    assert report.index == 5
    tolerant = PathCurvatureRule(window=3, tolerate=1)
    assert detect_swap(np.ones(7), np.ones(7), tolerant, extras={"curvature": curvatures}).index == 2
    assert not detect_swap(np.ones(7), np.ones(7), "path-curvature")


def test_hessian_rule_from_extras_and_from_a_callable():
    detector = make_detector("hessian", tol=0.01)
    assert not detector.update(1, 1)
    assert not detector.update(1, 1, lambda_min=-0.02, lambda_max=1.0)
    assert detector.update(1, 1, lambda_min=-0.01, lambda_max=1.0)
    assert not detector.update(1, 1, lambda_min=-2.0, lambda_max=-1.0)
    assert not detector.update(1, 1, lambda_min=math.nan, lambda_max=1.0)
    calls = []

    def spectrum(step):
        calls.append(step)
        return step - 4.0, 1.0

    assert detect_swap(np.ones(9), np.ones(9), "hessian", spectrum=spectrum, every=2).index == 4
    assert calls == [1, 3, 5]


def test_gain_rule():
    detector = make_detector(GainRule(ratio=2.0))
    assert not detector.update(1, 1)
    assert not detector.update(1, 1, gain_convex=1.9, gain_first=1.0)
    assert detector.update(1, 1, gain_convex=2.1, gain_first=1.0)
    assert not detector.update(1, 1, gain_convex=0.0, gain_first=-1.0)
    assert detector.update(1, 1, gain_convex=0.1, gain_first=-1.0)
    assert make_detector("gain", trial=lambda step: (1.0, 0.5)).update(1, 1)


def test_composition():
    norms, losses = [1, 3, 2, 4, 1, 1], [6, 5, 4, 3, 2, 1]
    assert detect_swap(losses, norms, NormPeakRule() & FixedStepRule(4)).index == 4
    assert detect_swap(losses, norms, NormPeakRule() | FixedStepRule(2)).index == 1
    assert detect_swap(losses, norms, AllOf("norm-peak", 4)).index == 4
    assert detect_swap(losses, norms, AnyOf("never", 4)).index == 3
    assert detect_swap(losses, norms, KOfLast("norm-peak", 2, 3)).index == 4
    assert detect_swap(losses, norms, KOfLast("norm-peak", 2, 2)).index == 5
    decision = ConvexitySwapDetector(AllOf("norm-peak", KOfLast("never", 1, 2))).update(1, 1)
    assert "norm" in decision.reason
    assert "never" in decision.reason


@pytest.mark.parametrize("name", RULES)
def test_every_rule_has_name_docstring_and_readable_reasons(name):
    rule = RULES[name]
    assert rule.name == name
    assert rule.__doc__
    assert set(rule.name) <= set("abcdefghijklmnopqrstuvwxyz-")


# ---------------------------------------------------------------------------------------------- smoothing


@settings(deadline=None)
@given(st.floats(0.0, 1e300), st.integers(1, 50), st.floats(0.01, 0.99))
def test_smoothing_is_unbiased_for_a_constant(value, n, smoothing):
    """The bias-corrected average of a constant is that constant from the first reading on."""
    detector = ConvexitySwapDetector("never", smoothing=smoothing)
    for _ in range(n):
        decision = detector.update(-value, value)
    if detector._state.weight >= 0.5:
        assert decision.norm == pytest.approx(value, rel=1e-12)
        assert decision.loss == pytest.approx(-value, rel=1e-12)


def test_smoothing_weighs_as_the_textbook_average():
    rng = np.random.default_rng(1)
    values = rng.uniform(1, 2, 30)
    detector = ConvexitySwapDetector("never", smoothing=0.7)
    for value in values:
        decision = detector.update(1.0, value)
    weights = 0.7 ** np.arange(29, -1, -1)
    assert decision.norm == pytest.approx((weights * values).sum() / weights.sum(), rel=1e-12)


# ------------------------------------------------------------------------------------------- serialisation


@pytest.mark.parametrize("name", RULE_SPECS)
@pytest.mark.parametrize("options", settings_grid)
@settings(max_examples=30, deadline=None)
@given(stream=streams, cut=st.integers(0, 80))
def test_a_saved_detector_continues_identically(name, options, stream, cut):
    """Through JSON and back at any point, every later decision and state is the same bit for bit."""
    detector = ConvexitySwapDetector(RULE_SPECS[name](), **options)
    for loss, norm in stream[:cut]:
        detector.update(loss, norm)
    saved = json.dumps(detector.to_dict(), allow_nan=False)
    copy = ConvexitySwapDetector.from_dict(json.loads(saved))
    for loss, norm in stream[cut:]:
        mine, other = detector.update(loss, norm), copy.update(loss, norm)
        assert mine[:2] == other[:2]
        assert mine.reason == other.reason
    assert copy.to_dict() == detector.to_dict()


def test_saving_shares_nothing_with_the_living():
    detector = ConvexitySwapDetector("norm-against-loss")
    detector.update(1, 1)
    saved = detector.to_dict()
    before = json.dumps(saved)
    copy = ConvexitySwapDetector.from_dict(saved)
    detector.update(2, 2)
    copy.update(3, 3)
    assert json.dumps(saved) == before


@pytest.mark.parametrize("rule", ["hessian", "path-curvature", "gain", "never", "always", 7])
def test_the_other_rules_serialise_too(rule):
    detector = make_detector(rule)
    detector.update(1, 1, curvature=1.0, lambda_min=1.0, lambda_max=2.0)
    copy = ConvexitySwapDetector.from_dict(json.loads(json.dumps(detector.to_dict())))
    assert copy.to_dict() == detector.to_dict()


def test_a_callable_rule_needs_its_function_again():
    def function(loss, norm, step):
        return step >= 2

    detector = make_detector(AnyOf("norm-peak", function))
    detector.update(1, 1)
    saved = json.loads(json.dumps(detector.to_dict()))
    with pytest.raises(ValueError, match="callable"):
        ConvexitySwapDetector.from_dict(saved)
    assert ConvexitySwapDetector.from_dict(saved, rule=function).update(1, 1)


def test_reset_and_rearm():
    detector = ConvexitySwapDetector(smoothing=0.5)
    fresh = detector.to_dict()
    for norm in (1, 2, 3):
        detector.update(1, norm)
    detector.rearm()
    assert detector.step == 3
    assert detector.peak == 0
    assert detector.peak_loss is None
    detector.reset()
    assert detector.to_dict() == fresh


# ---------------------------------------------------------------------------------------------- validation


@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        (ValueError, {"factor": 0.0}),
        (ValueError, {"factor": 1.1}),
        (ValueError, {"factor": math.nan}),
        (ValueError, {"smoothing": 1.0}),
        (ValueError, {"smoothing": -0.1}),
        (ValueError, {"smoothing": math.nan}),
        (ValueError, {"patience": 0}),
        (TypeError, {"patience": 1.5}),
        (ValueError, {"min_steps": -1}),
        (ValueError, {"rule": "no-such"}),
        (ValueError, {"rule": "callable"}),
        (ValueError, {"rule": -1}),
        (TypeError, {"rule": 2.5}),
        (TypeError, {"rule": object()}),
        (TypeError, {"window": 5}),
        (ValueError, {"rule": "norm-against-loss", "window": 4, "z": 5.0}),
        (ValueError, {"rule": "path-curvature", "window": 2, "tolerate": 2}),
    ],
)
def test_bad_options(error, arguments):
    with pytest.raises(error):
        ConvexitySwapDetector(**arguments)


def test_bad_arrays():
    with pytest.raises(ValueError, match="entries"):
        detect_swap([1, 2], [1])
    with pytest.raises(ValueError, match="one-dimensional"):
        detect_swap([[1, 2]], [[1, 2]])
    with pytest.raises(ValueError, match="extras"):
        detect_swap([1, 2], [1, 2], extras={"curvature": [1]})
    assert "no readings" in detect_swap([], []).reason


def test_specs():
    assert make_detector().rule.name == module.DEFAULT_RULE
    assert make_detector(True).rule.name == module.DEFAULT_RULE
    assert make_detector(False).rule.name == "never"
    assert make_detector(np.int64(4)).rule.at == 4
    detector = ConvexitySwapDetector()
    assert make_detector(detector) is detector
    assert make_detector("norm-peak-median", factor=0.5, window=4).rule.window == 4
    assert make_detector("never", factor=0.5)
    assert isinstance(make_detector(max).rule, CallableRule)
    assert detect_swap([3, 2], [1, 1], "always").index == 0
    assert "NormPeakRule(factor=0.9)" in repr(make_detector())


def test_numpy_scalars_and_zero_dimensional_arrays_are_welcome():
    detector = ConvexitySwapDetector()
    detector.update(np.float32(2), np.array(2.0))
    assert detector.update(np.array(1.0), np.float32(1))
    json.dumps(detector.to_dict())


# ------------------------------------------------------------------------------------------------ on its own


def test_the_folder_alone_is_enough(tmp_path):
    """Copied out of the package, with numpy alone, the detector works and imports nothing heavy."""
    shutil.copytree(Path(module.__file__).parent, tmp_path / "lonely")
    code = (
        "import sys; sys.path = [p for p in sys.path if 'twophase' not in p]; import lonely\n"
        "assert lonely.detect_swap([3, 2, 1], [1, 3, 1]).index == 2\n"
        "heavy = {'scipy', 'numba', 'autograd', 'matplotlib', 'twophase_min'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert importlib.util.find_spec("twophase_min.detector") is not None


def test_the_rest_of_the_package_is_not_needed():
    """With every other module blocked, the detector imports and finds a swap."""
    code = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        known = ('twophase_min', 'twophase_min.detector')\n"
        "        if name.startswith('twophase_min.') and not name.startswith(known[1]):\n"
        "            raise ImportError(name)\n"
        "        assert name.partition('.')[0] not in ('scipy', 'numba', 'autograd', 'matplotlib'), name\n"
        "sys.meta_path.insert(0, Block())\n"
        "from twophase_min.detector import detect_swap\n"
        "assert detect_swap([3, 2, 1], [1, 3, 1]).index == 2\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
