"""The table of the demo's network: every row runs, and counts its wins."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import digits
import digits_report


def outcomes(*losses):
    return [SimpleNamespace(loss=loss, accuracy=0.9) for loss in losses]


def test_a_row_has_median_range_and_wins():
    runs = {name: outcomes(2.0, 2.0, 2.0) for name in digits.ALONE} | {"ours": outcomes(1.0, 3.0, 1.5)}
    assert digits.row("ours", runs) == "| ours | 1.5 [1, 3] | 90.0 % | 2 of 3 | 2 of 3 | 2 of 3 |"


def test_what_is_kept_makes_table_and_sentence(monkeypatch, tmp_path):
    """The page has the medians of several threads, the lowest in bold, and what one thread changes."""
    monkeypatch.setattr(digits_report, "KEPT", tmp_path / "digits.json")
    for threads, factor in ((2, 1.0), (1, 1.5)):
        ends = {
            loss: {
                name: {"loss": [0.02 + k, 0.01 + k, 9.0], "accuracy": [0.9, 0.8, 0.7]}
                for k, name in enumerate(digits_report.LABELS)
            }
            for loss in digits_report.LOSSES
        }
        for loss in digits_report.LOSSES:
            ends[loss]["two-phase, default"]["loss"] = [0.004321, 1e-3, 0.4]
        ends["mse, L2 0"]["Adam alone"]["loss"] = [2.0 * factor] * 3
        ends["mse, L2 0"]["SciPy's CG alone"]["loss"] = [2.0 / (1 + factor / 5)] * 3
        digits_report.keep({"threads": threads, "ends": ends})
    lines = digits_report.tables()["digits"].splitlines()
    assert lines[2] == "| two-phase, default | **4.3e-3** | **4.3e-3** | **4.3e-3** |"
    assert lines[3].endswith("| 1.02000 | 1.02000 | 1.02000 |")
    sentence = " ".join(digits_report.tables()["digits-threads"].split())
    assert "0.0 % at most with the penalty" in sentence
    assert 'the row "Adam alone" changes by 50 %, the others by 8 % at most.' in sentence


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
