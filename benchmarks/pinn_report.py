"""Tables and pictures of what `pinn.py` has run.

    python benchmarks/pinn_report.py                    # tables from benchmarks/pinn.json
    python benchmarks/pinn_report.py --keep             # write that file from benchmarks/results/pinn.jsonl
    python benchmarks/pinn_report.py --pictures         # draw docs/images/pinn_*.png
    python benchmarks/pages.py pinn_report              # the page's tables

``benchmarks/pinn.json`` has the end of every run, and for the pictures the median curves. `--keep` adds to
it: a run that has been made again replaces its like, a curve only where all of its seeds have.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

from arena import table  # noqa: E402
from kept_runs import Run, of, read, write  # noqa: E402
from pages import scientific  # noqa: E402
from pinn_tables import JUDGED, LABELS, parts  # noqa: E402

RUNS = HERE / "results" / "pinn.jsonl"
KEPT = HERE / "pinn.json"
IMAGES = HERE.parent / "docs" / "images"
WIDE = (20, 20, 20)
"""Hidden layers of the second width."""
FIELDS = ("name", "equation", "hidden", "seed", "budget", "calls", "loss", "error", "seconds", "handover")
"""What is kept of a run; ``handover`` is the evaluations before the first one, where they are known."""
DRAWN = {
    "Adam, 0.003": "Adam",
    "Adam 10 % + L-BFGS-B, memory 50": "Adam, then L-BFGS-B",
    "Adam 10 % + SciPy loop, ssbroyden2": "Adam, then self-scaled Broyden as published",
    "ours: default": "ours, default",
    "ours: memory-cg": "ours, memory-cg",
    "ours: l-ssbroyden, no guard": "ours, l-ssbroyden, guard=False",
    "ours: ssbroyden": "ours, ssbroyden",
    "ours: ssbroyden, no guard": "ours, ssbroyden, guard=False",
}
"""Contenders in the pictures, and what they are called there."""
STYLES = (
    ("0.6", "-"),
    ("#0072B2", (0, (1, 1))),
    ("#009E73", (0, (3, 1, 1, 1))),
    ("#CC79A7", "-"),
    ("#E69F00", "-"),
    ("#56B4E9", "-"),
    ("#D55E00", "-"),
    ("black", (0, (5, 1.5))),
)
"""Colours that colour-blind readers tell apart, and dashes, in the order of `DRAWN`."""
DRAWN_EQUATIONS = ("poisson", "convection 20", "convection 40", "reaction", "burgers", "wave")


def key(row: Run) -> tuple[str, ...]:
    """Return what tells a run from the others."""
    return tuple(str(row[name]) for name in FIELDS[:5])


def load() -> list[Run]:
    """Return the runs made here, with their curves."""
    rows = {key(row): row for row in map(json.loads, RUNS.read_text().splitlines())}
    for row in rows.values():
        row["handover"] = row["swaps"][0][1] // 2 if row["swaps"] else None  # a value and a gradient are one
    return list(rows.values())


def keep(rows: list[Run]) -> None:
    """Add the ends of all runs, and the median curves of those that are drawn."""
    before, curves = kept()
    ended = {key(row): row for row in before}
    ended |= {key(row): row for row in rows}
    for name in DRAWN:
        for equation in {row["equation"] for row in rows}:
            some = [
                row["curve"]
                for row in of(rows, name=name, equation=equation, hidden=[16, 16], budget=3000)
                if row["seed"] in JUDGED
            ]
            many = of(before, name=name, equation=equation, hidden=[16, 16], budget=3000)
            if some and len(some) >= sum(row["seed"] in JUDGED for row in many):
                marks = sorted(set.intersection(*({point[0] for point in curve} for curve in some)))
                known = [{point[0]: point[1:] for point in curve} for curve in some]
                curves[f"{name}|{equation}"] = [
                    [mark, *(float(f"{np.median([c[mark][i] for c in known]):.3g}") for i in range(3))]
                    for mark in marks
                ]
    ends = [
        [float(f"{row[field]:.4g}") if field in ("loss", "error") else row[field] for field in FIELDS]
        for row in ended.values()
    ]
    write(KEPT, FIELDS, ends, ("calls", "processor seconds", "loss", "norm of the gradient"), curves)


def kept() -> tuple[list[Run], dict[str, Any]]:
    """Read what `keep` has written: runs and curves."""
    return read(KEPT)


def at_seconds(curves: dict[str, Any], limit: float) -> str:
    """Losses of the median curves after so many processor seconds."""
    body = []
    for name, label in LABELS.items():
        if not any(f"{name}|{equation}" in curves for equation in DRAWN_EQUATIONS):
            continue
        cells = []
        for equation in DRAWN_EQUATIONS:
            curve = np.array(curves.get(f"{name}|{equation}", [[0, np.inf, np.nan, 0]]))
            within = curve[curve[:, 1] <= limit]
            cells.append(scientific(float(within[-1, 2])) if len(within) else "-")
        body.append([label, *cells])
    return table(["contender", *DRAWN_EQUATIONS], body)


def tables() -> dict[str, str]:
    """Return the tables of the page by the names of their places."""
    rows, curves = kept()
    return {**parts(rows, WIDE), "pinn-two-seconds": at_seconds(curves, 2.0)}


# ---- pictures ----------------------------------------------------------------------------------------------


def pictures(curves: dict[str, Any]) -> None:
    """Draw the losses against the evaluations, and the norms of the gradient against the losses."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    styles = dict(zip(DRAWN, STYLES, strict=True))
    for file, x, y, labels in (
        ("pinn_loss", 0, 2, ("evaluations (value with gradient)", "loss")),
        ("pinn_norm_against_loss", 2, 3, ("loss, falling to the right", "norm of the gradient")),
    ):
        figure, axes = plt.subplots(2, 3, figsize=(12, 7), layout="constrained", sharex=x == 0)
        for axis, equation in zip(axes.flat, DRAWN_EQUATIONS, strict=True):
            for name, label in DRAWN.items():
                curve = np.array(curves.get(f"{name}|{equation}", np.empty((0, 4))))
                if len(curve):
                    colour, dashes = styles[name]
                    axis.loglog(curve[:, x], curve[:, y], color=colour, ls=dashes, lw=1.6, label=label)
            axis.set_title(equation)
            axis.set_xlabel(labels[0])
            axis.set_ylabel(labels[1])
            axis.grid(alpha=0.3)
            if x == 2:
                axis.invert_xaxis()
        handles, names = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False)
        figure.savefig(IMAGES / f"{file}.png", dpi=90)
        plt.close(figure)


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; see ``--help``."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="write benchmarks/pinn.json from the runs")
    parser.add_argument("--pictures", action="store_true", help="draw docs/images/pinn_*.png")
    args = parser.parse_args(argv)
    if args.keep:
        keep(load())
    for name, part in tables().items():
        print(f"\n{name}\n\n{part}")
    if args.pictures:
        pictures(kept()[1])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
