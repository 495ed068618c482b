"""The detector in compiled loops: the same decisions, states and reasons as in plain Python."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twophase_min.detector import (
    ConvexitySwapDetector,
    NormAgainstLossRule,
    NormPeakRule,
    detect_swap,
    make_detector,
)
from twophase_min.run import detecting

RULES = {
    "norm-peak": lambda: "norm-peak",
    "never": lambda: "never",
    "always": lambda: "always",
    "fixed step": lambda: 9,
    "norm-against-loss": lambda: NormAgainstLossRule(window=6, z=1.5),
    "norm-peak .6": lambda: NormPeakRule(0.6),
}
SETTINGS = [{}, {"smoothing": 0.8}, {"patience": 3}, {"smoothing": 0.5, "patience": 2, "min_steps": 7}]
hostile = st.one_of(
    st.floats(1e-6, 1e6),
    st.sampled_from([0.0, -1.0, math.nan, math.inf, -math.inf, 5e-324, 1.7e308, 1.0]),
)
# A reading, or None for a rearm.
streams = st.lists(st.none() | st.tuples(hostile | st.floats(-1e6, 0), hostile), max_size=80)
falling = st.integers(0, 80).map(lambda n: [(100.0 - i, 50.0 - 0.5 * i) for i in range(n)])


def said(decision):
    """Everything in a decision, NaN being equal to itself."""
    return json.dumps(decision.to_dict()) if decision is not None else None


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("options", SETTINGS)
@settings(max_examples=30, deadline=None)
@given(stream=streams | falling, cut=st.integers(0, 80))
def test_compiled_and_plain_are_the_same_bit_for_bit(name, options, stream, cut):
    """Packed at any point: the same decisions and reasons after every reading, and the same state."""
    plain = ConvexitySwapDetector(RULES[name](), **options)
    twin = ConvexitySwapDetector(RULES[name](), **options)
    state = None
    for i, reading in enumerate([*stream, None]):
        if i >= cut and state is None:
            state = detecting.pack(twin)
        if reading is None:
            plain.rearm()
            twin.rearm() if state is None else detecting.rearm(state)
            continue
        decision = plain.update(*reading)
        if state is None:
            assert said(twin.update(*reading)) == said(decision)
        else:
            assert bool(detecting.update(state, *reading)) == decision.swap
            assert detecting.sentence(state, twin) == decision.reason
        assert said(twin.last_decision()) == said(decision)
        assert twin.to_dict() == plain.to_dict()


def test_reset_starts_over():
    detector = make_detector("norm-against-loss", window=5, smoothing=0.5)
    fresh = detector.to_dict()
    state = detecting.pack(detector)
    for i in range(9):
        detecting.update(state, 9.0 - i, 9.0 - i)
    assert detecting.sentence(state, detector).endswith("looks convex")
    detecting.reset(state)
    assert detecting.unpack(state, detector).to_dict() == fresh
    assert detecting.sentence(state, detector) == ""


def test_a_copy_of_the_arrays_is_a_copy_of_the_detector():
    detector = make_detector()
    state = detecting.pack(detector)
    detecting.update(state, 2.0, 2.0)
    copy = detecting.DetectorState(state.slot.copy(), state.ring.copy())
    assert detecting.update(copy, 1.0, 1.0)
    assert not detecting.update(state, 1.0, 3.0)


def test_scan_finds_the_offline_swap_and_python_rules_are_refused():
    rng = np.random.default_rng(2)
    losses = np.linspace(9.0, 1.0, 60)
    norms = np.r_[np.linspace(1, 4, 30), np.linspace(4, 1, 30)] * np.exp(0.01 * rng.standard_normal(60))
    for rule in detecting.COMPILED_RULES:
        found = detect_swap(losses, norms, rule).index
        where = detecting.scan(detecting.pack(make_detector(rule)), losses, norms)
        assert where == (-1 if found is None else found)
    for rule in (max, "norm-peak-median", NormPeakRule() & NormPeakRule()):
        assert not detecting.can_compile(make_detector(rule))
        with pytest.raises(TypeError, match="not compiled"):
            detecting.pack(make_detector(rule))


def test_a_python_rule_does_not_keep_its_last_answer():
    detector = make_detector("norm-peak-median")
    detector.update(1.0, 1.0)
    with pytest.raises(NotImplementedError, match="last answer"):
        detector.last_decision()


def test_a_subclass_of_a_compiled_rule_is_not_compiled():
    class Mine(NormPeakRule):
        pass

    assert not detecting.can_compile(make_detector(Mine()))
