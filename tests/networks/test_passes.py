"""Which layers have their passes in one call each, and that these are the calls that are made."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from twophase_min.jit import compilation, layers
from twophase_min.networks import MLP, passes

pytestmark = pytest.mark.skipif(compilation.DISABLED, reason="nothing is compiled")
ROWS = 40


@pytest.fixture
def calls(monkeypatch):
    """Names of the kernels in the order of their calls, with layers of 100 entries for large."""
    made = []

    def spy(name):
        def call(*arguments):
            made.append(name)
            return getattr(layers, name)(*arguments)

        return call

    names = ("relu_of_sum", "pull_back", "cross_entropy")
    codes = {name: getattr(layers, name) for name in ("RELU", "TANH", "LOGISTIC", "KEPT")}
    spies = SimpleNamespace(**codes, **{name: spy(name) for name in names})
    monkeypatch.setattr(passes, "_kernels", lambda: spies)
    monkeypatch.setattr(passes, "LEAST", 100)
    return made


def evaluate(activation, loss, units, labels=True):
    rng = np.random.default_rng(0)
    net = MLP([4, units, 3], activation, loss)
    y = rng.integers(0, 3, ROWS) if labels else rng.normal(size=(ROWS, 3))
    net.objective(rng.normal(size=(ROWS, 4)), y)(net.init(0))


@pytest.mark.parametrize(
    ("activation", "loss", "labels", "expected"),
    [
        ("relu", "cross_entropy", True, ["relu_of_sum", "cross_entropy", "pull_back"]),
        ("tanh", "cross_entropy", True, ["cross_entropy", "pull_back"]),
        ("gelu", "mse", False, ["pull_back"]),
        ("identity", "mse", False, []),
    ],
)
def test_large_layers_are_passed_in_one_call(calls, activation, loss, labels, expected):
    evaluate(activation, loss, 5, labels)
    assert calls == expected


def test_small_layers_are_left_to_numpy(calls):
    evaluate("relu", "mse", 2, labels=False)
    assert calls == []
