"""Tables of the pages from what `everyday.py` has run.

python benchmarks/everyday_report.py --keep RESULTS.json      # into benchmarks/everyday.json
python benchmarks/pages.py everyday_report                    # into the pages
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import everyday
from arena import table
from everyday_problems import FAMILIES
from pages import run_report, short

KEPT = Path(__file__).with_name("everyday.json")
FIELDS = ("nfev", "njev", "stop", "gmax", "fx")
"""What the verdicts rest on, beside the value at the start."""
LABELS = {
    "scipy-cg": "SciPy CG",
    "scipy-bfgs": "SciPy BFGS, the best peer",
    "scipy-lbfgsb": "SciPy L-BFGS-B",
    "nlopt-lbfgs": "NLopt LD_LBFGS",
    "cg-descent": "CG_DESCENT 6.8, memory 11",
    "cg-descent-0": "CG_DESCENT 6.8, memory 0",
    "memory-cg": "**the phase memory-cg by itself**",
    "twophase+memory-cg": "**twophase, memory-cg**",
    "twophase": "**twophase**, default",
}
NAMES = {
    "clusters": "clusters of atoms, 5 to 38",
    "counts": "counts (Poisson)",
    "curves": "curve fits",
    "processes": "Gaussian processes",
    "networks": "small networks",
    "equations": "residuals of differential equations",
    "convex": "convex functions",
}
"""What the families are called on the page, where not by their own name."""


def keep(saved: dict[str, Any]) -> None:
    """Write the runs without their messages and times."""
    runs = {
        s: {p: [record[field] for field in FIELDS] for p, record in run.items()}
        for s, run in saved["runs"].items()
    }
    starts = {p: record["f0"] for p, record in next(iter(saved["runs"].values())).items()}
    text = json.dumps({"settings": saved["settings"], "f0": starts, "fields": FIELDS, "runs": runs})
    KEPT.write_text(text.replace('}, "', '},\n"') + "\n")


def kept() -> everyday.Judged:
    """Read what `keep` has written, and judge it."""
    data = json.loads(KEPT.read_text())
    runs = {
        s: {p: {**dict(zip(data["fields"], run[p], strict=True)), "f0": f0} for p, f0 in data["f0"].items()}
        for s, run in data["runs"].items()
    }
    return everyday.Judged(runs, list(data["f0"]), data["settings"])


def solved_table(judged: everyday.Judged) -> str:
    """Count the problems solved, and divide the calls by those of the best peer."""
    summary = judged.summary(judged.problems)
    rows = [
        [label, f"{summary[s]['solved']:.0f}", short(summary[s]["both"]), short(summary[s]["charged"])]
        for s, label in LABELS.items()
    ]
    return table(["solver", f"solved of {len(judged.problems)}", "calls, both", "calls, charged"], rows)


def price_table(judged: everyday.Judged) -> str:
    """Divide the calls with memory-cg and the guard by those without, by family."""
    rows = []
    for family in (*FAMILIES, "all"):
        problems = [p for p in judged.problems if family in ("all", p.split("/")[0])]
        ratios = list(judged.both("twophase+memory-cg", "twophase+memory-cg-unguarded", problems).values())
        above = f"{sum(r > 1.5 for r in ratios)} of {len(ratios)}"
        cells = [NAMES.get(family, family), f"{everyday.mean_ratio(ratios):.2f}", f"{max(ratios):.2f}", above]
        rows.append([f"**{cell}**" for cell in cells] if family == "all" else cells)
    return table(["family", "geometric mean", "worst", "above 1.5"], rows)


def tables() -> dict[str, str]:
    """Return the tables by the names of their places."""
    judged = kept()
    return {"everyday-solved": solved_table(judged), "guard-price": price_table(judged)}


if __name__ == "__main__":
    raise SystemExit(run_report(str(__doc__), "results of everyday.py", keep))
