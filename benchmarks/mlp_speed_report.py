"""The tables of loss and gradient of a network from what `mlp_speed.py` has written, by threads.

python benchmarks/mlp_speed_report.py --keep RESULTS.json     # into benchmarks/mlp_speed.json, once a file
python benchmarks/pages.py mlp_speed_report                   # into the page
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from arena import ratio, table
from conditions import said
from pages import by_lines, paragraphs, plain, run_report

KEPT = Path(__file__).with_name("mlp_speed.json")
OURS = "twophase"
LABELS = {"PyTorch": "PyTorch", "scikit-learn": "scikit-learn", "JAX": "JAX, jit"}
"""Columns of the tables."""
SEVERAL, ONE = "2", "1"
"""Threads, on the clock of the wall and in processor time."""


def keep(saved: dict[str, Any]) -> None:
    """Enter the runs by one number of threads: ratios of the wall's clock, and processor seconds a call."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    rows = {}
    for name, measured in saved["rounds"].items():
        seconds = measured["seconds"]
        rows[name] = {
            "over ours": {rival: round(ratio(seconds[rival], seconds[OURS]), 3) for rival in LABELS},
            "processor": {who: float(f"{t:.4g}") for who, t in measured["processor"].items()},
        }
    kept[f"{saved['threads']}"] = {"conditions": saved["conditions"], "rows": rows}
    KEPT.write_text(by_lines(kept, "},"))


def kept(threads: str) -> dict[str, Any]:
    """Read the runs by one number of threads."""
    runs: dict[str, Any] = json.loads(KEPT.read_text())[threads]
    return runs


def shares(threads: str) -> dict[str, dict[str, float]]:
    """Their processor time over ours, by dtype and rows, and by rival."""
    return {
        name: {rival: row["processor"][rival] / row["processor"][OURS] for rival in LABELS}
        for name, row in kept(threads)["rows"].items()
    }


def labels(name: str) -> list[str]:
    """Dtype and rows, as the table has them."""
    dtype, rows = name.split()
    return [dtype, f"{int(rows):,}"]


def tables() -> dict[str, str]:
    """Return the tables by the names of their places."""
    several, one = kept(SEVERAL), kept(ONE)
    wall = [
        [*labels(name), *(f"{row['over ours'][rival]:.2f}" for rival in LABELS)]
        for name, row in several["rows"].items()
    ]
    work = [
        [*labels(name), plain(1e3 * row["processor"][OURS], 2), *(f"{r:.2f}" for r in over.values())]
        for (name, row), over in zip(one["rows"].items(), shares(ONE).values(), strict=True)
    ]
    head = ["dtype", "rows"]
    return {
        "mlp-threads": paragraphs(table([*head, *LABELS.values()], wall), said(several["conditions"])),
        "mlp-processor": paragraphs(
            table([*head, "ours, ms", *LABELS.values()], work), said(one["conditions"])
        ),
    }


if __name__ == "__main__":
    raise SystemExit(run_report(str(__doc__), "results of mlp_speed.py", keep))
