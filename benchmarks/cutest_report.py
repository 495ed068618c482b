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
    "bounds-tune": tuple(s for s in cutest.BOUNDED_PEERS if s != "trust-constr"),
}
BESIDE = {"unconstrained": "twophase", "bounds": "memory-cg", "bounds-tune": "memory-cg"}
"""In whose pool the peers' own rows are judged."""
MOVED = "moved-"
"""Kinds of results from other starts begin with this, and end with the seed; their pool is the first one."""
OTHER_STARTS = ("memory-cg", "twophase+memory-cg", "twophase")
"""Rows of the table of other starts."""
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
        "l-ssbroyden": "the phase `l-ssbroyden` by itself",
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
LABELS["bounds-tune"] = {s: label for s, label in LABELS["bounds"].items() if s != "trust-constr"}
"""Rows of the tables, in order."""


def kind_of(settings: dict[str, Any]) -> str:
    """Name the kind of results by what `cutest.py` was told."""
    if "moved" in settings:
        return f"{MOVED}{settings['moved']}"
    return {None: "unconstrained", "judge": "bounds", "tune": "bounds-tune"}[settings.get("half")]


def written(costs: np.ndarray) -> list[list[int | None]]:
    """Return evaluations until solved as JSON has them: None where that is never."""
    return [[int(c) if np.isfinite(c) else None for c in row] for row in costs]


def read(rows: list[list[int | None]]) -> np.ndarray:
    """Undo `written`."""
    return np.array([[np.inf if c is None else c for c in row] for row in rows])


def keep(saved: dict[str, Any], kind: str, solvers: list[str]) -> None:
    """Enter solvers of saved runs, each beside the peers, into the kept results."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    peers, runs = list(POOLS.get(kind, POOLS["unconstrained"])), saved["runs"]
    part = kept.setdefault(kind, {"settings": saved["settings"], "peers": peers, "pools": {}})
    for own in solvers:
        pool = [*peers, own]
        costs = {}
        for tau in cutest.TAUS[-1:] if kind.startswith(MOVED) else cutest.TAUS:
            part["problems"], found = cutest.costs(saved["problems"], runs, pool, tau)
            costs[f"{tau:g}"] = written(found)
        part["pools"][own] = {
            "costs": costs,
            "calls at stop": {s: round(cutest.calls_at_stop(runs, s), DIGITS) for s in pool},
        }
    lines = json.dumps(kept).replace('"pools"', '\n"pools"').replace('"costs"', '\n"costs"')
    KEPT.write_text(lines + "\n")


def figures(part: dict[str, Any], own: str) -> dict[str, list[float]]:
    """Share solved and area at each tau that is kept, and calls at stop, by solver of a pool."""
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


def shares(values: list[float]) -> list[str]:
    """Write shares solved and areas, in turn."""
    texts = [f"{value:.3f}" if k % 2 else f"{value:.1%}" for k, value in enumerate(values)]
    return [text.removeprefix("0").replace("%", " %") for text in texts]


def side_by_side(part: dict[str, Any], kind: str) -> str:
    """Return the table of all solvers of a kind."""
    beside = figures(part, BESIDE[kind])
    rows = []
    for s, label in LABELS[kind].items():
        *values, stop = (beside if s in part["peers"] else figures(part, s))[s]
        rows.append([label, *shares(values), short(stop)])
    head = ["solver", "solved, tau 1e-3", "area", "solved, tau 1e-6", "area", "calls at stop"]
    return table(head, rows)


def other_starts(parts: dict[str, Any]) -> str:
    """Return the table of ours from other starts, at the smaller tolerance."""
    rows = [
        [
            LABELS["unconstrained"][s].partition(":")[0],
            *(", ".join(shares(figures(part, s)[s][:2])) for part in parts.values()),
        ]
        for s in OTHER_STARTS
    ]
    return table(["solver", *(f"seed {kind.removeprefix(MOVED)}" for kind in parts)], rows)


def tables() -> dict[str, str]:
    """Return the tables by the names of their places."""
    kept = json.loads(KEPT.read_text())
    moved = {kind: part for kind, part in sorted(kept.items()) if kind.startswith(MOVED)}
    out = {f"cutest-{kind}": side_by_side(part, kind) for kind, part in kept.items() if kind not in moved}
    return out | {"cutest-moved": other_starts(moved)}


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; see ``--help``."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--keep", type=Path, required=True, help="results of cutest.py")
    parser.add_argument("--solvers", help="comma-separated; those of the tables by default")
    args = parser.parse_args(argv)
    saved = json.loads(args.keep.read_text())
    kind = kind_of(saved["settings"])
    of_kind = "unconstrained" if kind.startswith(MOVED) else kind
    known = [s for s in LABELS[of_kind] if s not in POOLS[of_kind] and s in saved["runs"]]
    keep(saved, kind, args.solvers.split(",") if args.solvers else known)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
