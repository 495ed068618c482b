"""The table of variants of `memory-cg` from what `memory_cg_variants.py` has written.

python benchmarks/memory_cg_variants_report.py --keep RESULTS.json     # into the JSON beside it
python benchmarks/pages.py memory_cg_variants_report                   # into the page
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from arena import table
from conditions import said
from pages import by_lines, paragraphs, run_report, short

KEPT = Path(__file__).with_name("memory_cg_variants.json")
BASE = "as it is"
LABELS = {
    "no diagonal": "the recursion starts from a multiple of the identity, not from a diagonal that learns",
    "no end curvature": "pairs have the mean curvature of the step, not that at its end",
    "neither": "both",
    "memory 20": "`memory=20`",
    "memory 100": "`memory=100`",
    "c2 0.5": "curvature condition `c2=0.5` in place of 0.9",
    "c2 0.99": "`c2=0.99`",
    "subspace 5": "a subspace step: the last 5 steps and the usual direction",
    "subspace 20": "the same with 20 steps",
    "trust region": "a trust region: a failed trial turns the direction",
    "trust region anew": "the same, its radius forgotten after each iteration",
    "regularised": "a regularised step",
}
"""Rows of the table, in order."""


def keep(saved: dict[str, Any]) -> None:
    """Write the evaluations until solved and until the stop, run by run."""
    KEPT.write_text(by_lines(saved, "]],"))


def ratios(ours: list[list[int | None]], base: list[list[int | None]]) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of evaluations over those of the phase as it is: until both have solved, at the stop."""
    both = [(a[0], b[0]) for a, b in zip(ours, base, strict=True) if a[0] is not None and b[0] is not None]
    stops = [(a[1], b[1]) for a, b in zip(ours, base, strict=True)]
    solved, stop = (np.diff(np.log(np.array(pairs, dtype=float)), axis=1)[:, 0] for pairs in (both, stops))
    return -solved, -stop


def spread(logs: np.ndarray) -> float:
    """Return the standard error of a mean."""
    return float(np.std(logs, ddof=1) / np.sqrt(logs.size))


def tables() -> dict[str, str]:
    """Return the table by the name of its place."""
    kept = json.loads(KEPT.read_text())
    base, rows, errors = kept["runs"][BASE], [], []
    unsolved = {name: sum(cost is None for cost, _ in runs) for name, runs in kept["runs"].items()}
    for name, label in LABELS.items():
        found = ratios(kept["runs"][name], base)
        errors += [spread(logs) for logs in found]
        means = [f"{np.exp(np.mean(logs)):.2f}".removeprefix("0") for logs in found]
        rows.append([label, *means, f"{unsolved[name]}"])
    head = ["change", "to 1e-6", "at stop", f"not solved of {len(base)}"]
    note = (
        f"The standard errors are {short(max(errors))} at most. "
        f"As it is, the phase leaves {unsolved[BASE]} of {len(base)} unsolved."
    )
    parts = table(head, rows), note, said(kept["conditions"], timed=False)
    return {"memory-cg-variants": paragraphs(*parts)}


if __name__ == "__main__":
    raise SystemExit(run_report(str(__doc__), "results of memory_cg_variants.py", keep))
