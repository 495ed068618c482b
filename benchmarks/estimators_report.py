"""The tables beside scikit-learn's networks from what `estimators.py` has written.

python benchmarks/estimators_report.py --keep RESULTS.json    # into benchmarks/estimators.json
python benchmarks/pages.py estimators_report                  # into the page
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from arena import table
from conditions import said
from pages import by_lines, paragraphs, run_report

KEPT = Path(__file__).with_name("estimators.json")
FIELDS = {"score": ".3f", "loss": ".2g", "seconds": ".2f", "iterations": ".0f"}
"""What is measured of a fit, and how it is written."""
TITLES = {
    "digits": ("Digits", "accuracy"),
    "breast_cancer": ("Breast cancer", "accuracy"),
    "diabetes": ("Diabetes", "R²"),
}
Runs = dict[str, dict[str, list[float]]]
"""One value a seed, by contender and field."""


def keep(saved: dict[str, Any]) -> None:
    """Write four digits of every fit."""
    runs = {
        name: {
            contender: {field: [float(f"{value:.4g}") for value in values] for field, values in fits.items()}
            for contender, fits in of_data.items()
        }
        for name, of_data in saved["runs"].items()
    }
    KEPT.write_text(by_lines({"conditions": saved["conditions"], "runs": runs}, "},"))


def median(fits: dict[str, list[float]], field: str) -> float:
    """Median over the seeds."""
    return float(np.median(fits[field]))


def data_table(name: str, runs: Runs) -> str:
    """Medians and ranges over the seeds, under the name of the data set."""
    title, score = TITLES[name]
    rows = [
        [
            contender,
            *(
                f"{median(fits, field):{form}} ({min(fits[field]):{form}} to {max(fits[field]):{form}})"
                for field, form in FIELDS.items()
            ),
        ]
        for contender, fits in runs.items()
    ]
    head = ["contender", f"held-out {score}", "training loss", "seconds", "iterations"]
    return f"**{title}** ({score})\n\n{table(head, rows)}"


def tables() -> dict[str, str]:
    """Return the tables by the name of their place."""
    kept = json.loads(KEPT.read_text())
    parts = [data_table(name, runs) for name, runs in kept["runs"].items()]
    return {"estimators": paragraphs(*parts, said(kept["conditions"]))}


if __name__ == "__main__":
    raise SystemExit(run_report(str(__doc__), "results of estimators.py", keep))
