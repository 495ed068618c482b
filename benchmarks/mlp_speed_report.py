"""Tables of loss and gradient of a network as `mlp_speed.py` has measured them, by threads and load.

python benchmarks/mlp_speed_report.py --keep RESULTS.json     # into benchmarks/mlp_speed.json, once a file
python benchmarks/pages.py mlp_speed_report                   # into the page
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from arena import ratio, table
from conditions import said
from pages import by_lines, paragraphs, plain, run_report

KEPT = Path(__file__).with_name("mlp_speed.json")
OURS = "twophase"
RIVALS = {"PyTorch": "PyTorch", "scikit-learn": "scikit-learn", "JAX": "JAX, jit"}
LABELS = {**RIVALS, "twophase on BLAS": "ours, threads left to BLAS"}
"""Columns of the tables; on one thread only the rivals."""
SEVERAL, BESIDE, ONE = "2", "2 beside 1", "1"
"""Threads, and busy processes beside them: the first two on the clock of the wall, one in processor time."""


def keep(saved: dict[str, Any]) -> None:
    """Enter the runs of one number of threads: ratios of the wall's clock, and processor seconds a call."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    rows = {}
    for name, measured in saved["rounds"].items():
        seconds = measured["seconds"]
        rows[name] = {
            "ours": float(f"{statistics.median(seconds[OURS]):.4g}"),
            "over ours": {rival: round(ratio(seconds[rival], seconds[OURS]), 3) for rival in LABELS},
            "processor": {who: float(f"{t:.4g}") for who, t in measured["processor"].items()},
        }
    beside = f" beside {saved['busy']}" if saved.get("busy") else ""
    kept[f"{saved['threads']}{beside}"] = {"conditions": saved["conditions"], "rows": rows}
    KEPT.write_text(by_lines(kept, "},"))


def kept(threads: str) -> dict[str, Any]:
    """Read the runs by one number of threads."""
    runs: dict[str, Any] = json.loads(KEPT.read_text())[threads]
    return runs


def shares(threads: str) -> dict[str, dict[str, float]]:
    """Their processor time over ours, by dtype and rows, and by rival."""
    return {
        name: {rival: row["processor"][rival] / row["processor"][OURS] for rival in RIVALS}
        for name, row in kept(threads)["rows"].items()
    }


def labels(name: str) -> list[str]:
    """Dtype and rows, as the table has them."""
    dtype, rows = name.split()
    return [dtype, f"{int(rows):,}"]


def by_the_wall(threads: str) -> str:
    """Our milliseconds, and their time over ours."""
    runs = kept(threads)
    rows = [
        [*labels(name), plain(1e3 * row["ours"], 2), *(f"{row['over ours'][rival]:.2f}" for rival in LABELS)]
        for name, row in runs["rows"].items()
    ]
    return paragraphs(table(["dtype", "rows", "ours, ms", *LABELS.values()], rows), said(runs["conditions"]))


def tables() -> dict[str, str]:
    """Return the tables by the names of their places."""
    one = kept(ONE)
    work = [
        [*labels(name), plain(1e3 * row["processor"][OURS], 2), *(f"{r:.2f}" for r in over.values())]
        for (name, row), over in zip(one["rows"].items(), shares(ONE).values(), strict=True)
    ]
    head = ["dtype", "rows"]
    return {
        "mlp-threads": by_the_wall(SEVERAL),
        "mlp-busy": by_the_wall(BESIDE),
        "mlp-processor": paragraphs(
            table([*head, "ours, ms", *RIVALS.values()], work), said(one["conditions"])
        ),
    }


if __name__ == "__main__":
    raise SystemExit(run_report(str(__doc__), "results of mlp_speed.py", keep))
