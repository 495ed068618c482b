"""The registry of rules: a new rule is a class and one registration."""

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der

from twophase_min import minimize
from twophase_min.detector import RULES, ConvexitySwapDetector, Rule, detect_swap, make_detector, register
from twophase_min.detector.registry import known_rules
from twophase_min.detector.state import FIELDS, State


class HalvedLoss(Rule):
    """The loss has halved since the first reading."""

    name = "toy"
    _options = ("part",)
    _state = ("first",)

    def __init__(self, part=0.5):
        self.part = part
        self.first = None

    def read(self, loss, norm, step, extras):
        self.first = loss if self.first is None else self.first
        return (loss <= self.part * self.first, "loss {0:g} of {1:g}", loss, self.first)

    def rearm(self):
        self.first = None


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setitem(RULES, "toy", HalvedLoss)


@pytest.mark.usefixtures("toy")
def test_a_registered_rule_is_asked_for_by_its_name():
    report = detect_swap([8, 6, 4, 3], [1, 1, 1, 1], "toy")
    assert report.index == 2
    assert report.reason == "at index 2: loss 4 of 8"
    assert detect_swap([8, 6, 4, 3], [1, 1, 1, 1], "toy", part=0.4).index == 3
    detector = make_detector("toy")
    detector.update(8, 1)
    assert ConvexitySwapDetector.from_dict(detector.to_dict()).update(3, 1)
    with pytest.raises(ValueError, match="'toy'"):
        make_detector("no-such-rule")


@pytest.mark.usefixtures("toy")
def test_a_registered_rule_serves_minimize():
    result = minimize(rosen, np.full(4, -1.0), jac=rosen_der, options={"swap": "toy"})
    assert result.success
    assert result.fun < 1e-8
    assert any(swap["reason"].startswith("loss ") for swap in result.swaps)


@pytest.mark.usefixtures("toy")
def test_the_compiled_engine_says_that_it_does_not_know_it():
    from twophase_min._options import TwoPhaseOptions
    from twophase_min.run import engine

    numba = pytest.importorskip("numba")
    fun = numba.njit(lambda x: (x @ x, 2.0 * x))
    text = engine.why_not(fun, True, TwoPhaseOptions(swap="toy", convex_method="memory-cg"), None, np.float64)
    assert "'toy' is not compiled: use 'norm-peak'" in text


def test_names_are_unique_and_needed():
    with pytest.raises(ValueError, match="name of its own"):
        register(type("Other", (Rule,), {"name": "norm-peak"}))
    with pytest.raises(ValueError, match="name of its own"):
        register(type("Nameless", (Rule,), {}))
    assert register(RULES["norm-peak"]) is RULES["norm-peak"]


def test_known_rules_can_be_asked_for():
    assert known_rules()[0] == "norm-peak"
    for name in known_rules():
        assert make_detector(name).rule.name == name
    assert {"fixed-step", "callable", "all", "any", "k-of-last"}.isdisjoint(known_rules())


def test_a_state_has_the_declared_fields_with_their_initial_values():
    state = State()
    for name, kind, meaning, initial in FIELDS:
        assert kind in (int, float)
        assert meaning
        np.testing.assert_equal(getattr(state, name), initial)
    with pytest.raises(AttributeError):
        state.stpe = 1


def test_no_two_rules_mean_different_things_by_one_field():
    seen = {}
    for rule in RULES.values():
        for field in rule.kernels.fields if rule.kernels else ():
            assert seen.setdefault(field[0], field) == field
