"""The table of functions with edges from what `edges.py` has written.

python benchmarks/edges_report.py --keep RESULTS.json         # into benchmarks/edges.json
python benchmarks/pages.py edges_report                       # into the page
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from arena import table
from conditions import said
from pages import by_lines, paragraphs, run_report

KEPT = Path(__file__).with_name("edges.json")
LABELS = {
    "default": "default (CG)",
    "memory-cg": "memory-cg",
    "scipy CG": "SciPy CG",
    "scipy BFGS": "SciPy BFGS",
    "scipy L-BFGS-B": "SciPy L-BFGS-B, bounds not told",
}
"""Rows of the table, in order."""


def keep(saved: dict[str, Any]) -> None:
    """Write by method whether each answer is right, and its calls."""
    KEPT.write_text(by_lines(saved, "]],"))


def tables() -> dict[str, str]:
    """Return the table by the name of its place."""
    kept = json.loads(KEPT.read_text())
    rows = []
    for method, label in LABELS.items():
        right, calls = map(sum, zip(*kept["runs"][method], strict=True))
        rows.append([label, f"{right} of {len(kept['runs'][method])}", f"{calls:,}"])
    condition = said(kept["conditions"], timed=False)
    return {"edges": paragraphs(table(["method", "right answers", "calls"], rows), condition)}


if __name__ == "__main__":
    raise SystemExit(run_report(str(__doc__), "results of edges.py", keep))
