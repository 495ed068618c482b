"""The table of workers from what `sum_scaling.py` has written.

python benchmarks/sum_scaling_report.py --keep RESULTS.json   # into benchmarks/sum_scaling.json
python benchmarks/pages.py sum_scaling_report                 # into the page
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from arena import table
from conditions import said
from pages import paragraphs, run_report

KEPT = Path(__file__).with_name("sum_scaling.json")
LABELS = {
    "2 threads": "2 threads",
    "2 processes": '`backend="processes"`, 2',
    "ProcessPoolExecutor(2)": "`ProcessPoolExecutor(2)`",
    "joblib.Parallel(2)": "`joblib.Parallel(2)`",
    "Dask client, 2 processes": "Dask client, 2 processes",
}
"""Rows of the table, in order."""


def keep(saved: dict[str, Any]) -> None:
    """Write the ratios to three decimals."""
    ratios = {name: round(ratio, 3) for name, ratio in saved["ratios"].items()}
    KEPT.write_text(json.dumps({**saved, "ratios": ratios}, indent=1) + "\n")


def tables() -> dict[str, str]:
    """Return the table by the name of its place."""
    kept = json.loads(KEPT.read_text())
    rows = [[label, f"{kept['ratios'][name]:.2f}"] for name, label in LABELS.items()]
    head = ["workers", "caller alone over it"]
    return {"workers": paragraphs(table(head, rows), said(kept["conditions"]))}


if __name__ == "__main__":
    raise SystemExit(run_report(str(__doc__), "results of sum_scaling.py", keep))
