"""Table of the page from what `digits.py` has written, once by several threads and once by one.

python benchmarks/digits_report.py --keep RESULTS.json        # into benchmarks/digits.json
python benchmarks/pages.py digits_report                      # into the page
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from arena import table
from pages import run_report, scientific

KEPT = Path(__file__).with_name("digits.json")
LOSSES = {
    "cross_entropy, L2 0.0001": "cross-entropy, L2 1e-4",
    "mse, L2 0.0001": "squared error, L2 1e-4",
    "mse, L2 0": "squared error, no penalty",
}
PLAIN = "mse, L2 0"
LABELS = {
    "two-phase, default": "two-phase, default",
    "two-phase, memory-cg": "two-phase, `'memory-cg'`",
    "default without a guard": "the default with `guard=False`: SciPy's CG in scaled variables",
    "memory-cg without a guard": "`'memory-cg'` with `guard=False`",
    "two-phase, Adam first, rate 0.01": "two-phase, Adam first as published, rate 0.01",
    "two-phase, norm-against-loss": "two-phase, `swap='norm-against-loss'`",
    "two-phase, batches of 32 in the first phase": "two-phase, batches of 32 in the first phase",
    "Adam alone": "Adam alone",
    "SciPy's L-BFGS-B alone": "SciPy's L-BFGS-B alone",
    "SciPy's CG alone": "SciPy's CG alone",
}
"""Rows of the table, in order."""
Ends = dict[str, dict[str, dict[str, list[float]]]]
"""Losses and accuracies by loss and method, one a seed."""


def keep(saved: dict[str, Any]) -> None:
    """Enter the runs by one number of threads, losses to six digits."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    kept[f"{saved['threads']}"] = {
        loss: {
            name: {field: [float(f"{value:.6g}") for value in values] for field, values in runs.items()}
            for name, runs in methods.items()
        }
        for loss, methods in saved["ends"].items()
    }
    KEPT.write_text(json.dumps(kept, sort_keys=True).replace("]}, ", "]},\n") + "\n")


def kept() -> tuple[Ends, Ends]:
    """Read the runs by the most threads, and those by one."""
    runs: dict[str, Ends] = json.loads(KEPT.read_text())
    return runs[max(runs, key=int)], runs["1"]


def median(run: dict[str, list[float]]) -> float:
    """Median of the losses."""
    return float(np.median(run["loss"]))


def shown(loss: float) -> str:
    """Write a loss as the table has it."""
    return scientific(loss) if loss < 5e-3 else f"{loss:.5f}"


def losses_table(ends: Ends) -> str:
    """Medians of the train losses, the lowest of each loss in bold."""
    cells = {name: [shown(median(ends[loss][name])) for loss in LOSSES] for name in LABELS}
    lowest = [min(LABELS, key=lambda name: median(ends[loss][name])) for loss in LOSSES]
    for k, name in enumerate(lowest):
        cells[name][k] = f"**{cells[name][k]}**"
    rows = [[label, *cells[name]] for name, label in LABELS.items()]
    return table(["method", *LOSSES.values()], rows)


def change(loss: str, name: str, one: Ends, several: Ends) -> float:
    """Share by which the number of threads changes a median."""
    a, b = median(one[loss][name]), median(several[loss][name])
    return max(a, b) / min(a, b) - 1


def threads(several: Ends, one: Ends) -> str:
    """Say what one thread changes."""
    penalty = max(change(loss, name, one, several) for loss in LOSSES if loss != PLAIN for name in LABELS)
    plain = {name: change(PLAIN, name, one, several) for name in LABELS}
    most = max(plain, key=plain.__getitem__)
    rest = max(share for name, share in plain.items() if name != most)
    return (
        f"One thread rounds otherwise: it changes the medians by {penalty:.1%} at most with the penalty. "
        f'Without it,\nthe row "{LABELS[most]}" changes by {plain[most]:.0%}, '
        f"the others by {rest:.0%} at most."
    ).replace("%", " %")


def tables() -> dict[str, str]:
    """Return the parts of the page by the names of their places."""
    several, one = kept()
    return {"digits": losses_table(several), "digits-threads": threads(several, one)}


if __name__ == "__main__":
    raise SystemExit(run_report(str(__doc__), "results of digits.py", keep))
