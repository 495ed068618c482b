"""The table of NIST's reference sets from what `nist.py` has written.

python benchmarks/nist_report.py --keep RESULTS.json          # into benchmarks/nist.json
python benchmarks/pages.py nist_report                        # into the page
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from arena import table
from conditions import said
from pages import by_lines, paragraphs, run_report

KEPT = Path(__file__).with_name("nist.json")
LABELS = {
    "ours, autograd": "`curve_fit`, autograd",
    "ours, values": "`curve_fit`, values alone",
    "SciPy lm": "SciPy's, values alone",
    "SciPy lm, tolerances 1e-15": "SciPy's, values alone, ftol = xtol = 1e-15",
    "the same, autograd": "SciPy's, Jacobian by autograd, ftol = xtol = 1e-15",
}
"""Rows of the table, in order."""


def keep(saved: dict[str, Any]) -> None:
    """Write digits to three decimals, and calls."""
    fits = {
        contender: {
            name: [None if digits is None else round(digits, 3), calls]
            for name, (digits, _, calls) in fits.items()
        }
        for contender, fits in saved["fits"].items()
    }
    KEPT.write_text(by_lines({"conditions": saved["conditions"], "fits": fits}, "},"))


def figures() -> dict[str, dict[str, float]]:
    """Fits right to six and to nine digits, the medians of digits and calls, and all calls, by contender."""
    found = {}
    for contender, fits in json.loads(KEPT.read_text())["fits"].items():
        digits = np.array([digits or 0.0 for digits, _ in fits.values()])
        calls = np.array([calls for _, calls in fits.values()])
        found[contender] = {
            "fits": digits.size,
            "to 6": int(np.sum(digits >= 6)),
            "to 9": int(np.sum(digits >= 9)),
            "digits": float(np.median(digits)),
            "calls": float(np.median(calls)),
            "all calls": int(np.sum(calls)),
        }
    return found


def tables() -> dict[str, str]:
    """Return the table by the name of its place."""
    rows = []
    for contender, label in LABELS.items():
        f = figures()[contender]
        right = f"{f['to 6']} of {f['fits']}", f"{f['to 9']}"
        rows.append([label, *right, f"{f['digits']:.1f}", f"{f['calls']:.0f}", f"{f['all calls']:,}"])
    head = ["", "to 6 digits", "to 9 digits", "median digits", "median calls", "calls in all"]
    condition = said(json.loads(KEPT.read_text())["conditions"], timed=False)
    return {"nist": paragraphs(table(head, rows), condition)}


if __name__ == "__main__":
    raise SystemExit(run_report(str(__doc__), "results of nist.py", keep))
