"""The ground-truth study runs, and its measures are what they are called."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import detectors
import detectors_report as report


def record(**changes):
    return {
        "task": {"family": "digits", "loss": "mse", "mode": "adam", "seed": 0},
        "times": [0, 1, 2, 4],
        "costs": [1, 2, 3, 5],
        "losses": [8.0, 6.0, 4.0, 2.0],
        "lambda_min": [-1.0, -0.05, -1.0, 0.1],
        "lambda_max": [2.0, 1.0, 2.0, 1.0],
        "worth": {"CG": {"never": 2.0, "0": 1.0, "2": 0.01, "4": 2.0}},
        "swaps": {"whole": {"a": 2, "b": None}},
        **changes,
    }


def test_convexity_and_entry():
    assert report.convex(record(), 0.1) == [False, True, False, True]
    assert report.entry(record(), 0.1) == 3
    assert report.entry(record(), 0.6) == 0
    assert report.entry(record(lambda_min=[0.1, 0.1, 0.1, -1.0]), 0.1) is None
    assert report.convex(record(lambda_min=[None] * 4), 0.1) == [None] * 4
    assert report.swap_place(record(), "whole", "a") == 2
    assert report.swap_place(record(), "whole", "b") is None


def test_regret_is_the_decades_lost_to_the_best_time():
    low = report.lowest([record()])
    assert list(low.values()) == [0.01]
    assert report.regret(record(), "CG", 2, 0.01) == 0.0
    expected = math.log10((1e-6 + 1.99 / 7.99) / 1e-6)
    assert report.regret(record(), "CG", None, 0.01) == pytest.approx(expected)


def test_intervals():
    share, low, high = report.wilson(5, 10)
    assert (share, round(low, 4), round(high, 4)) == (0.5, 0.2366, 0.7634)
    assert report.wilson(0, 10)[1] == 0.0
    assert math.isnan(report.wilson(0, 0)[0])
    mean, low, high = report.bootstrap(np.random.default_rng(0).standard_normal(400))
    assert low < mean < high
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.15)


def test_tasks_are_distinct_and_complete():
    tasks = detectors.tasks()
    assert len({detectors.key(task) for task in tasks}) == len(tasks)
    networks = [task for task in tasks if task["family"] == "digits" and task["mode"] == "adam"]
    assert len(networks) == 3 * 2 * 3 * 5


@pytest.mark.slow
def test_the_study_runs_from_trajectory_to_page(tmp_path):
    tasks = [
        {"family": "example 1", "seed": 0, "mode": "adam"},
        {"family": "example 2", "C": 0.45, "x0": -2.0, "seed": 0, "mode": "cg"},
    ]
    results = tmp_path / "results.jsonl"
    detectors.run_all(tasks, results, workers=1, seconds=math.inf)
    detectors.run_all(tasks, results, workers=1, seconds=math.inf)
    saved = detectors.saved(results)
    assert len(saved) == 2
    assert len(results.read_text().splitlines()) == 2
    first = saved[detectors.key(tasks[0])]
    at = first["swaps"]["whole"]["norm-peak (the paper's)"]
    place = report.swap_place(first, "whole", "norm-peak (the paper's)")
    assert first["times"][place] == at
    assert first["lambda_min"][place] > 0
    assert json.dumps(first, allow_nan=False)
    report.write(list(saved.values()), tmp_path)
    assert "norm-peak (the paper's)" in (tmp_path / "detectors_tables.md").read_text()
