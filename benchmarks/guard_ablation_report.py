"""The table of the guard's constants from what `guard_ablation.py` has written.

python benchmarks/guard_ablation_report.py --keep RESULTS.json        # into benchmarks/guard_ablation.json
python benchmarks/pages.py guard_ablation_report                      # into the page
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from arena import table
from conditions import said
from pages import by_lines, paragraphs, run_report

KEPT = Path(__file__).with_name("guard_ablation.json")


def keep(saved: dict[str, Any]) -> None:
    """Write the figures to five digits."""
    judged = {
        label: {name: float(f"{value:.5g}") for name, value in figures.items()}
        for label, figures in saved["judged"].items()
    }
    KEPT.write_text(by_lines({**saved, "judged": judged}, "},"))


def tables() -> dict[str, str]:
    """Return the table by the name of its place."""
    kept = json.loads(KEPT.read_text())
    rows = [
        [
            label,
            f"{r['price']:.3f}",
            f"{r['worst']:.2f}",
            f"{r['above']:.0f}",
            f"{r['solved']:.0f}",
            f"{r['behind']:.0%}".replace("%", " %"),
            f"{r['late']:.0f}",
        ]
        for label, r in kept["judged"].items()
    ]
    head = ["constant", "price", "worst", "above 1.5", f"solved of {kept['problems']}"]
    head += ["behind", f"beyond 20 %, of {kept['runs']}"]
    return {"guard-constants": paragraphs(table(head, rows), said(kept["conditions"], timed=False))}


if __name__ == "__main__":
    raise SystemExit(run_report(str(__doc__), "results of guard_ablation.py", keep))
