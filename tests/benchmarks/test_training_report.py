"""What is kept of the runs of `benchmarks/training.py` gives the tables of the whole runs."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import training_report as report

CONTENDERS = (report.DEFAULT, report.MATRIX, report.SCIKIT_ADAM, "PyTorch LBFGS")


def trace(rng):
    """A run of 40 to 80 points, its loss falling as its cost and seconds grow."""
    n = int(rng.integers(40, 80))
    cost, seconds, fall = np.cumsum(rng.integers(1, 20, (3, n)), axis=1)
    return [[float(c), s / 100, float(f)] for c, s, f in zip(cost, seconds, 2000 - fall, strict=True)]


def cells(seed):
    rng = np.random.default_rng(seed)
    return {
        f"{case}|{seed}|{budget}|{name}": {"score": 0.5, "n_params": 7, "trace": trace(rng), "cost": 1.0}
        for case, budget in (("wine|half_mse", 300), ("digits|cross_entropy", 300), ("wine|half_mse", 100))
        for seed in (1, 0)
        for name in CONTENDERS
    }


@pytest.mark.parametrize("seed", range(20))
def test_the_points_kept_of_a_trace_are_those_that_the_tables_read(seed, monkeypatch, tmp_path):
    whole = cells(seed)
    monkeypatch.setattr(report, "KEPT", tmp_path / "training.json")
    report.keep(whole)
    kept = report.kept()
    assert len(kept) == 4 * len(CONTENDERS)  # of the larger budget
    assert max(len(cell["trace"]) for cell in kept.values()) <= 2 + 2 + 1
    assert report.tables() == report.parts(whole)


def test_ratios_are_taken_at_equal_cost_and_at_equal_seconds():
    runs = {
        report.DEFAULT: [[1.0, 1.0, 8.0], [300.0, 3.0, 2.0]],
        report.SCIKIT_ADAM: [[1.0, 1.0, 9.0], [200.0, 6.0, 4.0], [300.0, 9.0, 4.0]],
        "PyTorch LBFGS": [[1.0, 1.0, 5.0], [300.0, 4.0, 1.0]],
    }
    given = {
        f"wine|half_mse|0|300|{name}": {"score": 0.5, "n_params": 7, "trace": rows}
        for name, rows in runs.items()
    }
    groups = report.grouped(given)
    key = ("wine", "half_mse", "0")
    assert report.ratios(groups, report.DEFAULT, [report.SCIKIT_ADAM]) == ({key: 0.5}, {key: 2 / 9})
    assert report.ratios(groups, report.DEFAULT, list(report.RIVALS)) == ({key: 2.0}, {key: 2 / 5})
    sentence = " ".join(report.times(groups, report.DEFAULT).split())
    assert (
        "is reached on 1 of 1 problems and seeds, in 0.33 of its time (geometric mean; 0.33 at worst)."
        in sentence
    )
