"""Tables of the pages from what `cutest.py` has run.

    python benchmarks/cutest_report.py --keep RESULTS.json                    # into benchmarks/cutest.json
    python benchmarks/cutest_report.py --keep RESULTS.json --solvers ssbroyden
    python benchmarks/pages.py cutest_report                                  # into the pages

``benchmarks/cutest.json`` has, for each of ours and for CG_DESCENT, the evaluations until solved of every
solver of its pool, which is the peers and itself: a pool with more solvers in it knows lower values, so that
its figures are lower for all.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cutest
import numpy as np
from arena import table
from pages import short

KEPT = cutest.HERE / "cutest.json"
DIGITS = 5
POOLS = {
    "unconstrained": ("scipy-cg", "scipy-bfgs", "scipy-lbfgsb", "newton-cg", "nlopt-lbfgs"),
    "bounds": cutest.BOUNDED_PEERS,
}
BESIDE = {"unconstrained": "twophase", "bounds": "memory-cg"}
"""In whose pool the peers' own rows are judged."""
LABELS = {
    "unconstrained": {
        "scipy-cg": "SciPy CG",
        "scipy-bfgs": "SciPy BFGS",
        "scipy-lbfgsb": "SciPy L-BFGS-B",
        "newton-cg": "SciPy Newton-CG (gradient differences)",
        "nlopt-lbfgs": "NLopt LD_LBFGS",
        "cg-descent": "CG_DESCENT 6.8, memory 11",
        "cg-descent-0": "CG_DESCENT 6.8, memory 0",
        "twophase": "**twophase**, default: SciPy's CG in scaled variables, `memory-cg` where that is slow",
        "twophase+memory-cg": "**twophase**, `convex_method='memory-cg'`",
        "twophase+ssbroyden": "**twophase**, `convex_method='ssbroyden'`",
        "memory-cg": "the phase `memory-cg` by itself",
        "ssbroyden": "the phase `ssbroyden` by itself",
        "memory-cg-0": "`memory-cg` with `memory=0` by itself: plain CG",
    },
    "bounds": {
        "scipy-lbfgsb": "SciPy L-BFGS-B, memory 10",
        "scipy-lbfgsb-50": "SciPy L-BFGS-B, memory 50",
        "scipy-tnc": "SciPy TNC",
        "scipy-slsqp": "SciPy SLSQP",
        "trust-constr": "SciPy trust-constr",
        "nlopt-lbfgs": "NLopt LD_LBFGS",
        "nlopt-tnewton": "NLopt LD_TNEWTON_PRECOND_RESTART",
        "memory-cg": "**the phase `memory-cg` by itself**",
        "ssbroyden": "**the phase `ssbroyden` by itself**",
        "twophase+memory-cg": "**twophase**, default: `memory-cg`",
    },
}
"""Rows of the tables, in order."""


def written(costs: np.ndarray) -> list[list[int | None]]:
    """Return evaluations until solved as JSON has them: None where that is never."""
    return [[int(c) if np.isfinite(c) else None for c in row] for row in costs]


def read(rows: list[list[int | None]]) -> np.ndarray:
    """Undo `written`."""
    return np.array([[np.inf if c is None else c for c in row] for row in rows])


def keep(saved: dict[str, Any], kind: str, solvers: list[str]) -> None:
    """Enter solvers of saved runs, each beside the peers, into the kept results."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    peers, runs = list(POOLS[kind]), saved["runs"]
    part = kept.setdefault(kind, {"settings": saved["settings"], "peers": peers, "pools": {}})
    for own in solvers:
        pool = [*peers, own]
        costs = {}
        for tau in cutest.TAUS:
            part["problems"], found = cutest.costs(saved["problems"], runs, pool, tau)
            costs[f"{tau:g}"] = written(found)
        part["pools"][own] = {
            "costs": costs,
            "calls at stop": {s: round(cutest.calls_at_stop(runs, s), DIGITS) for s in pool},
        }
    lines = json.dumps(kept).replace('"pools"', '\n"pools"').replace('"costs"', '\n"costs"')
    KEPT.write_text(lines + "\n")


def figures(part: dict[str, Any], own: str) -> dict[str, list[float]]:
    """Share solved and area at either tau, and calls at stop, by solver of a pool."""
    grid = np.linspace(0.0, cutest.LOG2_RATIO_MAX, 501)
    pool = part["pools"][own]
    found: dict[str, list[float]] = {s: [] for s in (*part["peers"], own)}
    for rows in pool["costs"].values():
        costs = read(rows)
        areas = cutest.performance_profile(costs, grid).mean(axis=0)
        for j, values in enumerate(found.values()):
            values += [float(np.isfinite(costs[:, j]).mean()), float(areas[j])]
    for s, values in found.items():
        values.append(pool["calls at stop"][s])
    return found


def tables() -> dict[str, str]:
    """Return the tables by the names of their places."""
    out = {}
    for kind, part in json.loads(KEPT.read_text()).items():
        beside = figures(part, BESIDE[kind])
        rows = []
        for s, label in LABELS[kind].items():
            solved3, area3, solved6, area6, stop = (beside if s in part["peers"] else figures(part, s))[s]
            shown = [f"{solved3:.1%}", f"{area3:.3f}", f"{solved6:.1%}", f"{area6:.3f}"]
            shown = [text.removeprefix("0").replace("%", " %") for text in shown]
            rows.append([label, *shown, short(stop)])
        head = ["solver", "solved, tau 1e-3", "area", "solved, tau 1e-6", "area", "calls at stop"]
        out[f"cutest-{kind}"] = table(head, rows)
    return out


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; see ``--help``."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--keep", type=Path, required=True, help="results of cutest.py")
    parser.add_argument("--solvers", help="comma-separated; those of the tables by default")
    args = parser.parse_args(argv)
    saved = json.loads(args.keep.read_text())
    kind = "bounds" if "half" in saved["settings"] else "unconstrained"
    known = [s for s in LABELS[kind] if s not in POOLS[kind] and s in saved["runs"]]
    keep(saved, kind, args.solvers.split(",") if args.solvers else known)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
