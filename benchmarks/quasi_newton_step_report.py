"""The table of steps from what `quasi_newton_step.py` has written.

python benchmarks/quasi_newton_step_report.py --keep RESULTS.json     # into benchmarks/quasi_newton_step.json
python benchmarks/pages.py quasi_newton_step_report                   # into the page
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from arena import table
from conditions import said
from pages import by_lines, paragraphs, plain, run_report

KEPT = Path(__file__).with_name("quasi_newton_step.json")
LABELS = {
    "ssbroyden": "`'ssbroyden'`",
    "bfgs": "`'bfgs'`",
    "memory-cg": "`'memory-cg'`",
    "scipy CG": "SciPy CG",
    "scipy L-BFGS-B": "SciPy L-BFGS-B, memory 50",
    "scipy BFGS": "SciPy BFGS",
    "evaluation": "an evaluation",
    "copy of H": "reading and writing n × n numbers",
}
"""Columns of the table, in order."""


def keep(saved: dict[str, Any]) -> None:
    """Write the medians to three digits."""
    seconds = {
        n: {head: float(f"{value:.3g}") for head, value in row.items()} for n, row in saved["seconds"].items()
    }
    KEPT.write_text(by_lines({**saved, "seconds": seconds}, "},"))


def verdict(seconds: dict[str, dict[str, float]]) -> str:
    """Say what a step costs beside an evaluation, and what SciPy's costs beside it."""
    shares = {n: row["ssbroyden"] / row["evaluation"] for n, row in seconds.items()}
    cheap = [n for n, share in shares.items() if share < 1]
    last = list(seconds)[-1]
    theirs = {n: row["scipy BFGS"] / row["ssbroyden"] for n, row in seconds.items() if "scipy BFGS" in row}
    far = list(theirs)[-1]
    return (
        f"A step of `'ssbroyden'` takes {shares[cheap[-1]]:.2g} of such an evaluation at "
        f"n = {int(cheap[-1]):,}, and {shares[last]:.2g} times as long at {int(last):,}. "
        f"SciPy's BFGS multiplies n × n matrices at every step: it takes {theirs[far]:,.0f} times as long "
        f"as `'ssbroyden'` at n = {int(far):,}."
    )


def tables() -> dict[str, str]:
    """Return the table, and what it says, by the name of its place."""
    kept = json.loads(KEPT.read_text())
    rows = [
        [f"{int(n):,}", *(plain(1e6 * row[head]) if head in row else "not run" for head in LABELS)]
        for n, row in kept["seconds"].items()
    ]
    parts = table(["n", *LABELS.values()], rows), verdict(kept["seconds"]), said(kept["conditions"])
    return {"steps": paragraphs(*parts)}


if __name__ == "__main__":
    raise SystemExit(run_report(str(__doc__), "results of quasi_newton_step.py", keep))
