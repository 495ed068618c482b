"""The harness for large problems: what it charges, what it leaves out, its figures on runs made by hand."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from scripts import output_of

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import contenders
import large
import large_report
import scalable

ROOT = Path(large.__file__).resolve().parents[1]


def run(evals, values, nfev, njev, *, stop="returned", success=False, gmax=None):
    return {
        "evals": evals,
        "f": values,
        "nfev": nfev,
        "njev": njev,
        "stop": stop,
        "success": success,
        "gmax": gmax,
        "message": "",
        "seconds": 0.5,
    }


def test_figures_of_runs_made_by_hand():
    """On P both solve, in 20 and in 10 evaluations; on Q L-BFGS-B alone does, the other falsely claims it."""
    facts = {"P/100": {"f0": 1.0}, "Q/100": {"f0": 1.0}}
    runs = {
        "scipy-lbfgsb": {
            "P/100": run([1, 20], [1.0, 0.0], 12, 12),
            "Q/100": run([1, 40], [1.0, 0.0], 30, 24),
        },
        "memory-cg": {
            "P/100": run([1, 10], [1.0, 0.5e-6], 8, 8, success=True, gmax=1e-7),
            "Q/100": run([1, 30], [1.0, 2e-6], 40, 24, success=True, gmax=1.0),
        },
    }
    figures = large.judge(facts, runs, ["scipy-lbfgsb", "memory-cg"], {"budget": 64, "gtol": 1e-6})
    ours, peer = figures["memory-cg"], figures["scipy-lbfgsb"]
    assert (ours["solved"], peer["solved"]) == (0.5, 1.0)
    assert ours["to scipy-lbfgsb"] == pytest.approx(0.5)
    assert peer["to scipy-lbfgsb"] == 1.0
    assert math.isnan(ours["to cg-descent"])
    assert ours["at stop"] == pytest.approx(math.sqrt(16 * 64))
    assert ours["out of budget"] == 0.5
    assert (ours["stationary"], peer["stationary"]) == (0.5, 0.0)
    assert (ours["seconds"], ours["false"], peer["false"]) == (1.0, 1, 0)
    # P costs L-BFGS-B a ratio of 2, that is log2 = 1 of 5; Q it has alone
    assert peer["area"] == pytest.approx((1 + 0.8) / 2, abs=2e-3)
    assert ours["area"] == pytest.approx(0.5, abs=2e-3)


def test_what_is_kept_has_the_figures_of_the_runs(monkeypatch, tmp_path):
    """Each of ours is judged beside the peers alone, a peer in the pool of the default, a half at a time."""
    rng = np.random.default_rng(0)
    halves = {half: [f"{name}/100" for name in scalable.half(half)[:4]] for half in ("A", "B")}
    names = halves["A"] + halves["B"]
    runs = {
        s: {
            p: run([1, 10, int(k)], [1.0, 0.5, rng.choice([0.0, 0.1])], int(k), int(k), gmax=10.0**-k)
            for p, k in zip(names, rng.integers(11, 90, len(names)), strict=True)
        }
        for s in large_report.LABELS
    }
    facts = {p: {"f0": 1.0} for p in names}
    settings = {"budget": 100, "gtol": 1e-50}
    monkeypatch.setattr(large_report, "KEPT", tmp_path / "large.json")
    large_report.keep({"settings": settings, "problems": facts, "runs": runs})
    for half, some in halves.items():
        figures = large_report.figures(half)
        assert list(figures) == list(large_report.LABELS)
        for s, found in figures.items():
            own = s if s in large_report.OWN else large_report.BESIDE
            pool = [*large_report.PEERS, own]
            expected = large.judge({p: facts[p] for p in some}, runs, pool, settings)[s]
            for name in ("solved", "area", "to scipy-lbfgsb", "to cg-descent", "at stop", "stationary"):
                assert found[name] == pytest.approx(expected[name], rel=1e-4, nan_ok=True), (half, s, name)
        assert figures["scipy-lbfgsb"]["calls"] == 1
        assert len({found["stationary"] for found in figures.values()}) > 1
    (row,) = [line for line in large_report.tables()["large-b"].splitlines() if "| SciPy CG |" in line]
    assert f" {100 * large_report.figures('B')['scipy-cg']['solved']:.1f} % |" in row


def test_a_start_that_passes_the_gradient_test_is_left_out():
    kept, all_of_them = large.problems_of("both", [100], 1e-3), large.problems_of("both", [100], 0.0)
    left_out = set(all_of_them) - set(kept)
    assert left_out
    for name in left_out:
        p = large.Problem(name)
        assert np.max(np.abs(p.grad(p.x0))) <= 1e-3


@pytest.mark.parametrize("name", large.CONTENDERS)
def test_every_contender_converges_and_keeps_to_the_budget(name):
    """TRIDIA is a convex quadratic."""
    pytest.importorskip(large.PACKAGES.get(name, "scipy"))
    r = contenders.run_one(name, large.Problem("TRIDIA/20"), 2000, 60.0, 1e-6)
    assert r["stop"] == "returned"
    assert r["success"]
    assert r["gmax"] <= 1e-6
    assert r["fx"] <= 1e-10
    r = contenders.run_one(name, large.Problem("TRIDIA/20"), 15, 60.0, 1e-6)
    assert not r["success"]
    assert r["nfev"] + r["njev"] == 15


def test_a_saved_pool_is_judged_and_extended(tmp_path):
    out = tmp_path / "pool.json"

    def main(*arguments):  # in a process of its own: JAX, once imported here, does not bear forks
        few = ("--sizes", "20", "--half", "both", "--only", "TRIDIA,WOODS", "--jobs", "1", "--out", out)
        return output_of(ROOT / "benchmarks" / "large.py", *few, *arguments, cwd=tmp_path, path=ROOT)

    main("--solvers", "scipy-lbfgsb")
    main("--solvers", "memory-cg", "--pool", out)
    saved = json.loads(out.read_text())
    assert sorted(saved["runs"]) == ["memory-cg", "scipy-lbfgsb"]
    assert saved["figures"]["20"]["memory-cg"]["solved"] == 1.0
    printed = main("--pool", out, "--judge", "memory-cg")
    assert "memory-cg" in printed
    assert "scipy-lbfgsb" not in printed
