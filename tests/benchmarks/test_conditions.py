"""The conditions of a benchmark: what is kept, and what a page says of it."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import conditions

import twophase_min

KEPT = {
    "date": "2026-11-06",
    "cores": 2,
    "load": [2.0, 1.2],
    "versions": {"Python": "3.11.9", "NumPy": "2.4"},
}


def test_a_page_says_date_cores_load_and_versions():
    assert conditions.said(KEPT) == (
        "Measured on 6 November 2026 on 2 cores at a load of 1.2 to 2.0, Python 3.11.9, NumPy 2.4."
    )
    assert conditions.said(KEPT, timed=False) == "Measured on 6 November 2026, Python 3.11.9, NumPy 2.4."


def test_what_is_kept_is_of_this_process():
    """A package that is missing is left out."""
    kept = conditions.ended(conditions.begun("no-such-package"))
    assert kept["versions"]["NumPy"] == np.__version__
    assert kept["versions"]["twophase_min"] == twophase_min.__version__
    assert "no-such-package" not in kept["versions"]
    assert len(kept["load"]) in (0, 2)
