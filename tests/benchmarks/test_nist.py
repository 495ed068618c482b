"""NIST's reference sets: SciPy's `curve_fit` beside ours, from both official starts, as the page tells it."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import nist
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]

pytest.importorskip("autograd")


def loaded():
    """The benchmark, under another name than that of the sets, which it imports."""
    spec = importlib.util.spec_from_file_location("nist_benchmark", ROOT / "benchmarks" / "nist.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def told(contender):
    """What docs/uncertainty.md says of a contender: fits to 6 and to 9 digits."""
    page = (ROOT / "docs" / "uncertainty.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith(f"| {contender} |"))
    return [int(re.match(r"\d+", cell.strip())[0]) for cell in row.split("|")[2:4]]


@pytest.mark.slow
def test_scipys_successes_are_those_of_the_page_and_fewer_than_ours():
    """Ours, one by one, are `test_certified_values_and_standard_errors`; SciPy's versions differ by a few."""
    benchmark = loaded()
    starts = [(nist.load(name), which) for name in nist.MODELS for which in (0, 1)]
    rows = [benchmark.measured(benchmark.scipys, each, each.starts[which]) for each, which in starts]
    digits = np.array([0.0 if values is None else values for values, _, _ in rows])
    assert digits.size == 54
    ours = told("`curve_fit`, autograd")
    for count, least, best in zip(told("SciPy's, values alone"), (6.0, 9.0), ours, strict=True):
        assert abs(np.sum(digits >= least) - count) <= 3
        assert np.sum(digits >= least) < best


@pytest.mark.parametrize("name", ["Misra1a", "Lanczos3"])
def test_the_benchmark_counts_every_call_of_the_model(name):
    benchmark, reference = loaded(), nist.load(name)
    for fit, least in ((benchmark.ours, 9.0), (benchmark.scipys_with_autograd, 6.0)):
        values, errors, calls = benchmark.measured(fit, reference, reference.starts[1])
        assert min(values, errors) >= least
        assert calls > reference.values.size
