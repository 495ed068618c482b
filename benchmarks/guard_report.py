"""The table of networks from what `guard.py` has written.

python benchmarks/guard_report.py --keep RESULTS.json         # into benchmarks/guard.json
python benchmarks/pages.py guard_report                       # into the page
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import guard
import numpy as np
from arena import table
from pages import run_report, scientific

KEPT = Path(__file__).with_name("guard.json")
ROWS = {
    "digits, cross_entropy": "cross-entropy, 0",
    "digits, mse": "squared error, 0",
    "digits, cross_entropy, weight decay 0.0001": "cross-entropy, 1e-4",
    "digits, mse, weight decay 0.0001": "squared error, 1e-4",
}
METHODS = ("adam", "memory-cg", "twophase+memory-cg", "twophase")


def keep(saved: dict[str, Any]) -> None:
    """Write the final losses and how far the runs are behind, to seven digits."""
    kept = {
        title: {
            "budget": judged["budget"],
            "seeds": judged["seeds"],
            "final": {m: [float(f"{f:.7g}") for f in judged["final"][m]] for m in METHODS},
            "behind": {m: [round(b, 4) for b in late] for m, late in judged["behind"].items()},
        }
        for title, judged in saved.items()
        if title in ROWS
    }
    text = json.dumps(kept)
    KEPT.write_text(re.sub(r'("[\w+-]+": \[)', r"\n\1", text) + "\n")


def median(losses: list[float]) -> str:
    """Median of final losses, as the page has them."""
    value = float(np.median(losses))
    return scientific(value) if value < 1e-3 else f"{value:#.4g}".removeprefix("0")


def behind(late: list[float]) -> str:
    """Median of the shares of the budget by which runs are behind, and how many by more than a fifth."""
    middle = float(np.median(late))
    beyond = sum(b > guard.LIMIT for b in late)
    return f"{f'{middle:.0%}'.replace('%', ' %') if middle else 0}, {beyond} of {len(late)}"


def tables() -> dict[str, str]:
    """Return the table by the name of its place."""
    rows = []
    kept = json.loads(KEPT.read_text())
    for title, label in ROWS.items():
        final, late = kept[title]["final"], kept[title]["behind"]
        cells = [median(final["adam"]), median(final["memory-cg"])]
        for method in ("twophase+memory-cg", "twophase"):
            cells += [median(final[method]), behind(late[method])]
        rows.append([label, *cells])
    head = ["loss, weight decay", "Adam", "memory-cg", "two-phase, memory-cg"]
    head += ["behind: median, beyond 20 %", "two-phase, default", "behind"]
    return {"guard-networks": table(head, rows)}


if __name__ == "__main__":
    raise SystemExit(run_report(str(__doc__), "summary that guard.py has written", keep))
