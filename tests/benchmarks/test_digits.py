"""The table of the demo's network: every row runs, and counts its wins."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import digits


def outcomes(*losses):
    return [SimpleNamespace(loss=loss, accuracy=0.9) for loss in losses]


def test_a_row_has_median_range_and_wins():
    runs = {name: outcomes(2.0, 2.0, 2.0) for name in digits.ALONE} | {"ours": outcomes(1.0, 3.0, 1.5)}
    assert digits.row("ours", runs) == "| ours | 1.5 [1, 3] | 90.0 % | 2 of 3 | 2 of 3 | 2 of 3 |"


@pytest.mark.slow
def test_every_method_runs_within_the_budget(monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.setattr(digits, "SEEDS", range(1))
    monkeypatch.setattr(digits, "BUDGET", 5)
    runs = digits.measured("mse", 0.0)
    assert set(runs) == set(digits.OURS) | set(digits.ALONE)
    for name, (run,) in runs.items():
        assert run.spent <= 5, name
        assert 0 < run.loss < 0.1, name
