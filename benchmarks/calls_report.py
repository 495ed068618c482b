"""The table of the three ways to call a compiled function from what `calls.py` has written.

python benchmarks/calls_report.py --keep RESULTS.json         # into benchmarks/calls.json
python benchmarks/pages.py calls_report                       # into the page
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from arena import table
from conditions import said
from pages import paragraphs, run_report

KEPT = Path(__file__).with_name("calls.json")
LABELS = {
    "specialised": ("the dispatcher, specialised", "{new}: the loop, compiled again", "no"),
    "first-class": ("a first-class function", "{new}; the loop once a process, {loop}", "no"),
    "pointer": ("the address of a wrapper", "{new}: the wrapper", "loop and wrapper"),
}
"""What the loop takes, what is compiled for a new function, what is kept on disk."""


def keep(saved: dict[str, Any]) -> None:
    """Write the medians as they are."""
    KEPT.write_text(json.dumps(saved, indent=1) + "\n")


def tables() -> dict[str, str]:
    """Return the table by the name of its place."""
    kept = json.loads(KEPT.read_text())
    rows = []
    for name, (label, compiled, on_disk) in LABELS.items():
        seconds = {"new": kept["new function"][name], "loop": kept["loop of first-class"]}
        new = compiled.format(**{key: f"{value:.2f} s" for key, value in seconds.items()})
        rows.append([label, f"{1e9 * kept['call'][name]:.1f} ns", new, on_disk])
    head = ["the loop takes", "a call", "a new function costs", "kept on disk"]
    return {"calls": paragraphs(table(head, rows), said(kept["conditions"]))}


if __name__ == "__main__":
    raise SystemExit(run_report(str(__doc__), "results of calls.py", keep))
