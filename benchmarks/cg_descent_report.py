"""The table beside CG_DESCENT's published counts from what `cg_descent.py` has written.

python benchmarks/cg_descent_report.py --keep RESULTS.json    # into benchmarks/cg_descent.json
python benchmarks/pages.py cg_descent_report                  # into the page
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from arena import table
from cg_descent import PUBLISHED
from conditions import said
from pages import by_lines, paragraphs, run_report

KEPT = Path(__file__).with_name("cg_descent.json")
OURS = "memory-cg-0"
SAME = ("QUARTC",)
"""Left out of the table: the function of DQRTIC."""


def keep(saved: dict[str, Any]) -> None:
    """Write values, gradients and whether the gradient test held, by problem."""
    runs = {
        name: [run[OURS][k] for k in ("nfev", "njev", "converged")] for name, run in saved["runs"].items()
    }
    KEPT.write_text(by_lines({"conditions": saved["conditions"], "runs": runs}, "],"))


def counts(values: int, gradients: int) -> str:
    """Values + gradients = evaluations."""
    return f"{values:,} + {gradients:,} = {values + gradients:,}"


def ratios(runs: dict[str, Any]) -> dict[str, float]:
    """Our evaluations over the published ones, by problem of the table that we solve."""
    return {
        name: (run[0] + run[1]) / sum(PUBLISHED[name][3:])
        for name, run in runs.items()
        if name not in SAME and run[2]
    }


def verdict(runs: dict[str, Any]) -> str:
    """Say on how many problems ours needs fewer, and the mean ratios."""
    found = ratios(runs)
    far = max(found, key=found.__getitem__)
    mean, rest = (
        float(np.exp(np.mean([np.log(r) for name, r in found.items() if name != without])))
        for without in ("", far)
    )
    fewer, all_of_them = sum(r < 1 for r in found.values()), sum(name not in SAME for name in runs)
    return (
        f"Fewer on {fewer} of {all_of_them}; the geometric mean of the ratios is {mean:.2f}, "
        f"without {far}, where ours is furthest behind, {rest:.2f}."
    )


def tables() -> dict[str, str]:
    """Return the parts of the page by the names of their places."""
    kept = json.loads(KEPT.read_text())
    rows = [
        [
            name,
            f"{PUBLISHED[name][1]:,}",
            counts(*PUBLISHED[name][3:]),
            counts(*run[:2]) + ("" if run[2] else ", not solved"),
        ]
        for name, run in kept["runs"].items()
        if name not in SAME
    ]
    head = ["problem", "n", "CG_DESCENT 1", "`memory-cg`, memory 0"]
    parts = table(head, rows), verdict(kept["runs"]), said(kept["conditions"], timed=False)
    return {"cg-descent": paragraphs(*parts)}


if __name__ == "__main__":
    raise SystemExit(run_report(str(__doc__), "results of cg_descent.py", keep))
