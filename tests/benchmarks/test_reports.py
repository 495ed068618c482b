"""The reports of small benchmarks: their figures on runs made by hand."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import calls_report
import cg_descent_report
import cutest_report
import estimators_report
import guard_ablation_report
import memory_cg_variants_report
import mlp_speed_report
import nist_report
import quasi_newton_step_report
import speed_report
import sum_scaling_report

CONDITIONS = {"date": "2026-11-06", "cores": 2, "load": [1.0, 1.0], "versions": {"NumPy": "2.4"}}


@pytest.fixture
def kept(monkeypatch, tmp_path):
    """Let a report keep its results elsewhere."""

    def elsewhere(report, *saved):
        monkeypatch.setattr(report, "KEPT", tmp_path / "kept.json")
        for one in saved:
            report.keep({"conditions": CONDITIONS, **one})
        return report.tables()

    return elsewhere


def rows(text, label):
    """Cells of the rows that begin with a label, without it."""
    lines = [line for line in text.splitlines() if line.startswith(f"| {label} |")]
    return [[cell.strip() for cell in line.split("|")[2:-1]] for line in lines]


def sentence(text):
    """The text in one line."""
    return " ".join(text.split())


def test_nist_counts_a_fit_without_a_result_as_wrong(kept):
    fits = {"X/1": [9.5, 8.0, 10], "X/2": [None, None, 30], "X/3": [6.0, 5.0, 2000]}
    text = kept(nist_report, {"fits": dict.fromkeys(nist_report.LABELS, fits)})["nist"]
    assert rows(text, "`curve_fit`, autograd") == [["2 of 3", "1", "6.0", "30", "2,040"]]
    assert text.endswith("Measured on 6 November 2026, NumPy 2.4.")


def test_cg_descent_leaves_out_the_same_function_and_what_is_not_solved(kept):
    """Twice the published counts on one problem, half on another."""
    runs = {
        "ARWHEAD": (2 * 24, 2 * 15, True),
        "COSINE": (25, 22.5, True),
        "QUARTC": (1, 1, True),
        "CURLY10": (1, 1, False),
    }
    saved = {
        name: {"memory-cg-0": {"nfev": f, "njev": g, "converged": ok}} for name, (f, g, ok) in runs.items()
    }
    text = kept(cg_descent_report, {"runs": saved})["cg-descent"]
    assert rows(text, "ARWHEAD") == [["1,000", "24 + 15 = 39", "48 + 30 = 78"]]
    assert rows(text, "CURLY10")[0][-1] == "1 + 1 = 2, not solved"
    assert "QUARTC" not in text
    assert "Fewer on 1 of 3; the geometric mean of the ratios is 1.00, without ARWHEAD" in sentence(text)
    assert "furthest behind, 0.50." in sentence(text)


def test_a_variant_is_compared_where_both_have_solved(kept):
    base = [[10, 20], [10, 20], [None, 20]]
    half = [[5, 20], [20, 80], [7, 20]]
    runs = dict.fromkeys(memory_cg_variants_report.LABELS, half) | {"as it is": base}
    text = kept(memory_cg_variants_report, {"runs": runs})["memory-cg-variants"]
    assert rows(text, "both") == [["1.00", "1.59", "0"]]  # geometric means: of 1/2 and 2; of 1, 4 and 1
    assert "leaves 1 of 3 unsolved" in sentence(text)
    solved, stop = memory_cg_variants_report.ratios(half, base)
    np.testing.assert_allclose(np.exp(solved), [0.5, 2.0])
    np.testing.assert_allclose(np.exp(stop), [1, 4, 1])


def test_other_starts_have_a_column_each(monkeypatch, tmp_path):
    """Ours solves both problems and a peer one; every kind of results has a name."""
    monkeypatch.setattr(cutest_report, "KEPT", tmp_path / "kept.json")
    run = {"evals": [1, 10], "f": [1.0, 0.0], "nfev": 5, "njev": 5}
    never = {**run, "f": [1.0, 0.5]}
    for seed in (1, 2):
        saved = {"settings": {"moved": seed}, "problems": {"P": {"f0": 1.0}, "Q": {"f0": 1.0}}}
        saved["runs"] = {s: {"P": run, "Q": run} for s in cutest_report.OTHER_STARTS}
        saved["runs"] |= {s: {"P": run, "Q": never} for s in cutest_report.POOLS["unconstrained"]}
        kind = cutest_report.kind_of(saved["settings"])
        cutest_report.keep(saved, kind, list(cutest_report.OTHER_STARTS))
    text = cutest_report.tables()["cutest-moved"]
    assert text.splitlines()[0] == "| solver | seed 1 | seed 2 |"
    assert rows(text, "**twophase**, default") == [["100.0 %, 1.000"] * 2]
    kinds = [cutest_report.kind_of(s) for s in ({}, {"half": "judge"}, {"half": "tune"})]
    assert kinds == ["unconstrained", "bounds", "bounds-tune"]


def test_a_network_is_timed_by_two_clocks(kept):
    """The wall's ratios are taken round by round, those of processor time from one figure each."""
    seconds = {"twophase": [1.0, 2.0, 4.0], "PyTorch": [3.0, 4.0, 4.0]}
    seconds |= {"scikit-learn": [2.0, 4.0, 8.0], "JAX": [0.5, 1.0, 2.0], "twophase on BLAS": [1.5, 3.0, 6.0]}
    processor = {"twophase": 0.002, "PyTorch": 0.003, "scikit-learn": 0.004, "JAX": 0.001}
    measured = {"rounds": {"float32 5000": {"seconds": seconds, "processor": processor}}}
    parts = kept(
        mlp_speed_report, *({"threads": k, "busy": b, **measured} for k, b in ((2, 0), (2, 1), (1, 0)))
    )
    for place in ("mlp-threads", "mlp-busy"):
        assert rows(parts[place], "float32") == [["5,000", "2,000", "2.00", "2.00", "0.50", "1.50"]]
    assert rows(parts["mlp-processor"], "float32") == [["5,000", "2.0", "1.50", "2.00", "0.50"]]


def test_workers_steps_calls_and_constants(kept):
    ratios = dict.fromkeys(sum_scaling_report.LABELS, 1.501)
    assert rows(kept(sum_scaling_report, {"ratios": ratios})["workers"], "2 threads") == [["1.50"]]

    heads = dict.fromkeys(quasi_newton_step_report.LABELS, 1e-4)
    row = {**heads, "ssbroyden": 2e-5, "scipy BFGS": 8e-3}
    late = {**heads, "ssbroyden": 3e-4}
    del late["scipy BFGS"]
    text = kept(quasi_newton_step_report, {"seconds": {"1000": row, "3000": late}})["steps"]
    assert rows(text, "3,000")[0][5] == "not run"
    assert "takes 0.2 of such an evaluation at n = 1,000, and 3 times as long at 3,000" in sentence(text)
    assert "it takes 400 times as long as `'ssbroyden'` at n = 1,000" in sentence(text)

    each = dict.fromkeys(calls_report.LABELS, 5.67e-9)
    fresh = dict.fromkeys(calls_report.LABELS, 0.25)
    text = kept(calls_report, {"call": each, "new function": fresh, "loop of first-class": 0.5})["calls"]
    assert rows(text, "the address of a wrapper") == [["5.7 ns", "0.25 s: the wrapper", "loop and wrapper"]]

    figures = {"price": 1.0123, "worst": 1.5, "above": 1, "solved": 45, "behind": 0.191, "late": 8}
    saved = {"problems": 45, "runs": 20, "judged": {"again 1": figures}}
    text = kept(guard_ablation_report, saved)["guard-constants"]
    assert rows(text, "again 1") == [["1.012", "1.50", "1", "45", "19 %", "8"]]


def test_estimators_have_median_and_range(kept):
    fits = {
        "score": [0.5, 0.9, 0.7],
        "loss": [0.1, 0.012, 0.3],
        "seconds": [1.0] * 3,
        "iterations": [7.0] * 3,
    }
    text = kept(estimators_report, {"runs": {"diabetes": {"ours": fits}}})["estimators"]
    cells = ["0.700 (0.500 to 0.900)", "0.1 (0.012 to 0.3)", "1.00 (1.00 to 1.00)", "7 (7 to 7)"]
    assert rows(text, "ours") == [cells]
    assert "**Diabetes** (R²)" in text


def test_sections_of_speed_keep_medians_and_ratios_by_rounds():
    times = {name: [1e-6, 2e-6] for name in ("twophase", "NumPy", "copy", "copy, 2 threads")}
    times |= {"torch fused": [3e-6, 4e-6], "torch kernel": [1e-6, 2e-6], "optax jit": [4e-6, 8e-6]}
    section = {"conditions": CONDITIONS, "rounds": {"float32 1000": {"seconds": times}}}
    row = speed_report.keep_adam(section)["rows"]["float32 1000"]
    assert row["over ours"] == {"torch fused": 2.5, "torch kernel": 1, "optax jit": 4}
    assert row["over copy"] == pytest.approx(6 / 7)  # a copy moves six streams, a step seven
    assert row["us"]["NumPy"] == pytest.approx(1.5)

    many = {"conditions": CONDITIONS, "counts": {"fits, 2 threads": 100, "slow": 10}}
    many |= {"seconds": {"fits, 2 threads": [1.0, 2.0, 1.0], "slow": [1.0, 2.0, 0.5]}}
    many |= {name: {"fits, 2 threads": {}, "slow": {}} for name in ("quality", "first")}
    assert speed_report.keep_multistart(many)["rows"]["slow"]["ours over it"] == 10

    runs = {"python a, b 1000": {"runs": [{"iteration": 2e-6}], "memory": {"peak": 16000, "rss": 8000}}}
    grown = speed_report.keep_growth({"conditions": CONDITIONS, "runs": runs})
    assert grown["rows"]["python a, b"]["1000"] == pytest.approx([2.0, 2.0, 1.0])


@pytest.mark.parametrize(
    ("values", "text"), [([0.5301, 35], "0.53 to 35"), ([2.0, 2.001], "2.0"), ([99.4, 213.2], "99 to 213")]
)
def test_a_span_has_two_digits_below_a_hundred(values, text):
    assert speed_report.span(values) == text
