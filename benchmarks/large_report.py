"""Tables of the page from what `large.py` has run.

    python benchmarks/large.py --half both --sizes 100,1000 --out RESULTS.json
    python benchmarks/large_report.py --keep RESULTS.json         # into benchmarks/large.json
    python benchmarks/pages.py large_report                       # into the page

Each of ours is judged in the pool with the peers alone, as in `cutest_report.py`. ``benchmarks/large.json``
has, by half and for each of ours, the evaluations until solved of every solver of its pool.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cutest
import large
import scalable
from arena import table
from cutest_report import read, written
from pages import run_report, short

KEPT = Path(__file__).with_name("large.json")
LABELS = {
    "scipy-cg": "SciPy CG",
    "scipy-lbfgsb": "SciPy L-BFGS-B, memory 10",
    "scipy-lbfgsb-50": "SciPy L-BFGS-B, memory 50",
    "nlopt-lbfgs-50": "NLopt LD_LBFGS, memory 50",
    "cg-descent": "CG_DESCENT 6.8, memory 11",
    "cg-descent-0": "CG_DESCENT 6.8, memory 0",
    "optimistix-lbfgs": "Optimistix L-BFGS, memory 10",
    "memory-cg": "the phase `memory-cg` by itself",
    "twophase+memory-cg": "**twophase**, `convex_method='memory-cg'`",
    "twophase+memory-cg-unguarded": "**twophase**, the same with `guard=False`",
    "twophase": "**twophase**, default",
}
"""Rows of the tables, in order."""
PEERS = [s for s in LABELS if s not in large.OURS]
OWN = [s for s in LABELS if s in large.OURS]
BESIDE = "twophase"
"""In whose pool the peers' own rows are judged."""


def keep(saved: dict[str, Any]) -> None:
    """Write what the tables need of the runs of both halves."""
    kept: dict[str, Any] = {"settings": saved["settings"], "peers": PEERS, "halves": {}}
    for half in ("A", "B"):
        facts = {p: v for p, v in saved["problems"].items() if p.split("/")[0] in scalable.half(half)}
        costs = {}
        for own in OWN:
            problems, found = cutest.costs(facts, saved["runs"], [*PEERS, own], large.TAU)
            costs[own] = written(found)
        ends = large.judge(facts, saved["runs"], list(LABELS), saved["settings"])
        names = ("at stop", "stationary", "false")
        kept["halves"][half] = {
            "problems": problems,
            "ends": {s: {name: round(figures[name], 6) for name in names} for s, figures in ends.items()},
            "costs": costs,
        }
    text = json.dumps(kept)
    for name in ("halves", "ends", "costs", *OWN):
        text = text.replace(f'"{name}": [[', f'\n"{name}": [[').replace(f'"{name}": {{', f'\n"{name}": {{')
    KEPT.write_text(text + "\n")


def figures(half: str) -> dict[str, dict[str, float]]:
    """Figures of every row: those of `large.solved` in its pool, and what is kept of the runs' ends."""
    kept = json.loads(KEPT.read_text())
    part = kept["halves"][half]
    pools = {own: large.solved(read(part["costs"][own]), [*kept["peers"], own]) for own in part["costs"]}
    ends = part["ends"]
    return {
        s: {
            **pools[s if s in pools else BESIDE][s],
            **ends[s],
            "calls": ends[s]["at stop"] / ends["scipy-lbfgsb"]["at stop"],
        }
        for s in LABELS
    }


def tables() -> dict[str, str]:
    """Return the tables by the names of their places."""
    head = ["solver", "solved", "area", "over L-BFGS-B", "over CG_DESCENT", "stationary", "calls at stop"]
    out = {}
    for half in ("A", "B"):
        rows = []
        for s, found in figures(half).items():
            cells = [f"{found['solved']:.1%}".replace("%", " %"), f"{found['area']:.3f}".removeprefix("0")]
            cells += [short(found[f"to {reference}"]) for reference in large.REFERENCES]
            cells += [f"{found['stationary']:.1%}".replace("%", " %"), short(found["calls"])]
            rows.append([LABELS[s], *cells])
        out[f"large-{half.lower()}"] = table(head, rows)
    return out


if __name__ == "__main__":
    raise SystemExit(run_report(str(__doc__), "results of large.py, both halves", keep))
