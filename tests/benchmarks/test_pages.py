"""The tables of the pages are those that the reports make of the kept results."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import everyday
import pages


@pytest.mark.parametrize("name", pages.REPORTS)
def test_a_page_has_what_its_report_makes_of_the_kept_results(name):
    parts = importlib.import_module(name).tables()
    assert parts
    differing = [page.name for page in pages.differing(parts)]
    assert not differing, f"run: python benchmarks/pages.py {name}"


def test_a_part_fills_its_own_place_alone(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- one -->\nold\n<!-- end -->\nb\n<!-- end-to-end -->\nkept\n<!-- end -->\n")
    assert set(pages.places(tmp_path)) == {"one", "end-to-end"}
    (new,) = pages.differing({"one": "new"}, tmp_path).values()
    assert new == "a\n<!-- one -->\n\nnew\n\n<!-- end -->\nb\n<!-- end-to-end -->\nkept\n<!-- end -->\n"
    page.write_text(new)
    assert not pages.differing({"one": "new"}, tmp_path)
    with pytest.raises(ValueError, match="no page has a place <!-- two -->"):
        pages.differing({"two": "x"}, tmp_path)


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1"), (0.894, ".89"), (1.004, "1.00"), (5.13, "5.13"), (0.999, "1.00")]
)
def test_ratios_are_short(value, text):
    assert pages.short(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.23e-7, "1.2e-7"), (1.2e-12, "1.2e-12"), (0.61, "6.1e-1"), (3.2, "3.2"), (330, "3.3e2")],
)
def test_small_numbers_have_an_exponent_without_padding(value, text):
    assert pages.scientific(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0523, "0.0523"),
        (0.9996, "1.00"),
        (5.814, "5.81"),
        (109.4, "109"),
        (1_734_000, "1,730,000"),
        (0, "0"),
    ],
)
def test_plain_numbers_have_three_digits(value, text):
    assert pages.plain(value) == text


def row(question):
    """A row of the summary, as it stands on the page."""
    text = (pages.DOCS / "evidence.md").read_text(encoding="utf-8")
    (found,) = [line for line in text.splitlines() if line.startswith(f"| {question}")]
    return found


def test_the_summary_quotes_the_kept_results():
    """The verdicts that rest on kept results have their figures."""
    import cutest_report
    import everyday_report
    import pinn_report
    import pinn_tables

    part = json.loads(cutest_report.KEPT.read_text())["unconstrained"]
    solved = {
        s: cutest_report.figures(part, s)[s][2] for s in ("twophase", "twophase+memory-cg", "cg-descent")
    }
    beside = cutest_report.figures(part, "twophase")
    best = max(values[2] for s, values in beside.items() if s.startswith("scipy"))
    shares = [f"{share:.1%}".replace("%", " %") for share in (*solved.values(), best)]
    assert all(share in row("99 CUTEst problems") for share in shares)

    judged = everyday_report.kept()
    summary = judged.summary(judged.problems)
    for solver in ("twophase", "twophase+memory-cg"):
        assert pages.short(summary[solver]["charged"]) in row("90 everyday problems")
    price = judged.both("twophase+memory-cg", "twophase+memory-cg-unguarded", judged.problems).values()
    mean, worst = everyday.mean_ratio(list(price)) - 1, max(price) - 1
    assert f"{100 * mean:.0f} % of the evaluations in the mean, {100 * worst:.0f} % at most" in row(
        "What does the guard"
    )

    runs = pinn_tables.of_width(pinn_report.kept()[0], (16, 16))
    rivals = "Adam 10 % + L-BFGS-B, memory 50", pinn_tables.PUBLISHED
    lbfgs, published = (
        float(pinn_tables.ratios(runs, pinn_tables.OURS, rival).split()[0]) for rival in rivals
    )
    assert "two ten-millionths as high" in row("Physics-informed networks")
    assert round(lbfgs, 7) == 2e-7
    assert "level with self-scaled Broyden" in row("Physics-informed networks")
    assert 0.8 < published < 1.25
    many = pinn_tables.ratios(runs, pinn_tables.OURS, pinn_tables.PUBLISHED, pinn_tables.MANY).split()[0]
    assert f"at {float(many):.2f}".replace("0.", ".") in row("Physics-informed networks")


def test_the_summary_quotes_the_networks():
    """The default below each method alone on digits; ours over the best rival, at equal cost and seconds."""
    import digits
    import digits_report
    import training_report

    ends = digits_report.kept()[0]["cross_entropy, L2 0.0001"]
    ours = ends["two-phase, default"]["loss"]
    assert len(ours) == 5
    assert all(a < b for name in digits.ALONE for a, b in zip(ours, ends[name]["loss"], strict=True))
    assert "below Adam, CG and L-BFGS-B alone, on five of five seeds" in row("A network on digits")

    groups = training_report.grouped(training_report.kept())
    rivals = list(training_report.RIVALS)
    every, matrix = (
        training_report.ratios(groups, ours, rivals)
        for ours in (training_report.DEFAULT, training_report.MATRIX)
    )
    few = [{case: found[case] for case in matrix[0]} for found in every]
    (cost, seconds), (few_cost, few_seconds), (matrix_cost, matrix_seconds) = (
        [training_report.geometric(list(found.values())) for found in pair] for pair in (every, few, matrix)
    )
    verdict = row("Networks trained at equal cost")
    assert (
        f"({cost:.2f} by default; up to 5,000 weights {few_cost:.2f}, `'ssbroyden'` {matrix_cost:.2f})"
        in verdict
    )
    assert f"({pages.short(seconds)}; {pages.short(few_seconds)}, {pages.short(matrix_seconds)})" in verdict


def test_the_summary_quotes_bounds_large_problems_and_edges():
    """Shares solved beside the best peer's; right answers and calls."""
    import cutest_report
    import edges_report
    import large_report

    part = json.loads(cutest_report.KEPT.read_text())["bounds"]
    ours = cutest_report.figures(part, "twophase+memory-cg")
    best = max(values[2] for s, values in ours.items() if s in part["peers"])
    verdict = row(f"{len(part['problems'])} problems with bounds")
    assert f"{ours['twophase+memory-cg'][2]:.1%}".replace("%", " %") in verdict
    assert f"{best:.1%}".replace("%", " %") in verdict

    verdict = row("76 large problems")
    figures = large_report.figures("B")
    for solver in ("twophase", "twophase+memory-cg", "scipy-lbfgsb"):
        assert f"{figures[solver]['solved']:.1%}".replace("%", " %") in verdict
    assert pages.short(figures["twophase+memory-cg"]["to scipy-lbfgsb"]) in verdict

    runs = json.loads(edges_report.KEPT.read_text())["runs"]
    right = {method: sum(ok for ok, _ in answers) for method, answers in runs.items()}
    best = max(count for method, count in right.items() if method.startswith("scipy"))
    verdict = row("Thirty functions with edges")
    assert f"{right['default']} of 30 right answers, SciPy's best {best}" in verdict


def test_the_summary_quotes_fits_and_speed():
    """Digits of NIST's sets; fits a second, and how long NLopt takes beside ours."""
    import nist_report
    import speed_report

    found = nist_report.figures()["ours, autograd"]
    text = f"{found['to 6']} of {found['fits']} fits right to six digits, {found['to 9']} to nine"
    assert text in row("`curve_fit` on NIST")

    kept = json.loads(speed_report.KEPT.read_text())
    one = kept["multistart"]["rows"]["fits, 1 thread"]["a second"][1]
    nlopt, single = (
        speed_report.span(speed_report.over(kept["tiny"], ours, "nlopt"))
        for ours in (speed_report.MANY, speed_report.SINGLE)
    )
    verdict = row("How fast?")
    assert f"{pages.plain(one)} curve fits a second on one thread" in verdict
    assert f"{nlopt} times as fast as by NLopt, a single one {single} times" in verdict


def test_the_readme_quotes_the_kept_losses():
    """Median, lowest and highest loss, and the median accuracy."""
    import digits
    import digits_report

    lines = (pages.DOCS.parent / "README.md").read_text(encoding="utf-8").splitlines()
    ends = digits_report.kept()[0]["cross_entropy, L2 0.0001"]
    for name in ("two-phase, default", "two-phase, memory-cg", *digits.ALONE):
        (line,) = [line for line in lines if line.startswith(f"| {digits_report.LABELS[name]} ")]
        losses, accuracies = ends[name]["loss"], ends[name]["accuracy"]
        text = f"| {np.median(losses):.5f} [{min(losses):.5f}, {max(losses):.5f}] |"
        assert f"{text} {100 * np.median(accuracies):.1f} % |" in line
