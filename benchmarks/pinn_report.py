"""Tables and pictures of what `pinn.py` has run.

    python benchmarks/pinn_report.py                    # tables from benchmarks/pinn.json
    python benchmarks/pinn_report.py --keep             # write that file from benchmarks/results/pinn.jsonl
    python benchmarks/pinn_report.py --pictures         # draw docs/images/pinn_*.png

``benchmarks/pinn.json`` has the end of every run, and for the pictures the median curves.
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

RUNS = HERE / "results" / "pinn.jsonl"
KEPT = HERE / "pinn.json"
IMAGES = HERE.parent / "docs" / "images"
JUDGED = (0, 1, 2, 3, 4)
TUNING = (5, 6)
FIELDS = ("name", "equation", "hidden", "seed", "budget", "calls", "loss", "error", "seconds")
DRAWN = {
    "Adam, 0.003": "Adam",
    "Adam 10 % + L-BFGS-B, memory 50": "Adam, then L-BFGS-B",
    "Adam 10 % + SciPy loop, ssbroyden2": "Adam, then self-scaled Broyden as published",
    "ours: default": "ours, default",
    "ours: memory-cg": "ours, memory-cg",
    "ours: ssbroyden": "ours, ssbroyden",
    "ours: ssbroyden, no guard": "ours, ssbroyden, guard=False",
}
"""Contenders in the pictures, and what they are called there."""

Run = dict[str, Any]


def mean(values: Any) -> float:
    """Geometric mean; 0 counts as 1e-32."""
    return float(np.exp(np.mean(np.log(np.maximum(values, 1e-32)))))


def of(rows: list[Run], **wanted: Any) -> list[Run]:
    """Return the rows with these values."""
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def load() -> list[Run]:
    """Return all runs with their curves."""
    rows = [json.loads(line) for line in RUNS.read_text().splitlines()]
    unique = {tuple(str(row[key]) for key in FIELDS[:5]): row for row in rows}
    return list(unique.values())


def keep(rows: list[Run]) -> None:
    """Write the ends of all runs, and the median curves of those that are drawn."""
    curves = {}
    for name in DRAWN:
        for equation in {row["equation"] for row in rows}:
            some = [
                row["curve"]
                for row in of(rows, name=name, equation=equation, hidden=[16, 16], budget=3000)
                if row["seed"] in JUDGED
            ]
            if some:
                marks = sorted(set.intersection(*({point[0] for point in curve} for curve in some)))
                known = [{point[0]: point[1:] for point in curve} for curve in some]
                curves[f"{name}|{equation}"] = [
                    [mark, *(float(f"{np.median([c[mark][i] for c in known]):.3g}") for i in range(3))]
                    for mark in marks
                ]
    ends = [
        [row[key] if key not in ("loss", "error") else float(f"{row[key]:.4g}") for key in FIELDS]
        for row in rows
    ]
    text = ",\n".join(json.dumps(end) for end in sorted(ends, key=str))
    drawn = ",\n".join(f"{json.dumps(key)}: {json.dumps(curve)}" for key, curve in sorted(curves.items()))
    KEPT.write_text(
        f'{{"fields": {json.dumps(FIELDS)},\n"runs": [\n{text}\n],\n'
        f'"curve": ["calls", "processor seconds", "loss", "norm of the gradient"],\n'
        f'"curves": {{\n{drawn}\n}}}}\n'
    )


def kept() -> tuple[list[Run], dict[str, Any]]:
    """Read what `keep` has written: runs and curves."""
    data = json.loads(KEPT.read_text())
    return [dict(zip(data["fields"], end, strict=True)) for end in data["runs"]], data["curves"]


def table(rows: list[Run], field: str, seeds: tuple[int, ...], hidden: list[int], budget: int) -> None:
    """Print geometric means over the seeds by equation, of the contenders that have run on all equations."""
    rows = [r for r in of(rows, hidden=hidden, budget=budget) if r["seed"] in seeds]
    equations = list(dict.fromkeys(row["equation"] for row in rows))
    print(f"\n{field}, hidden {hidden}, {budget} evaluations, seeds among {seeds}")
    print(f"| contender | seeds | {' | '.join(equations)} | all |")
    print("| --- " * (len(equations) + 3) + "|")
    lines = []
    for name in dict.fromkeys(row["name"] for row in rows):
        own = of(rows, name=name)
        common = set.intersection(*({r["seed"] for r in of(own, equation=e)} for e in equations))
        if common:
            values = [mean([r[field] for r in of(own, equation=e) if r["seed"] in common]) for e in equations]
            lines.append((mean(values), name, len(common), values))
    for total, name, many, values in sorted(lines, reverse=True):
        print(f"| {name} | {many} | " + " | ".join(f"{v:.1e}" for v in values) + f" | {total:.1e} |")


def versus(rows: list[Run], one: str, other: str, seeds: tuple[int, ...]) -> None:
    """Print ratios of the final losses of two contenders by equation, over the seeds that both have run."""
    ratios: dict[str, list[float]] = {}
    for row in of(rows, name=one, hidden=[16, 16], budget=3000):
        for match in of(rows, name=other, hidden=[16, 16], budget=3000):
            if row["seed"] in seeds and all(row[k] == match[k] for k in ("equation", "seed")):
                ratios.setdefault(row["equation"], []).append(row["loss"] / match["loss"])
    parts = [f"{equation} {mean(r):.2g} ({len(r)})" for equation, r in ratios.items()]
    if parts:
        print(f"{one} / {other}: {mean([x for r in ratios.values() for x in r]):.2g};  " + ", ".join(parts))


def at_seconds(curves: dict[str, Any], seconds: tuple[float, ...]) -> None:
    """Print the median curves' losses after so many processor seconds."""
    equations = list(dict.fromkeys(key.split("|")[1] for key in curves))
    for limit in seconds:
        print(f"\nmedian loss after {limit:g} processor seconds\n| contender | {' | '.join(equations)} |")
        for name in DRAWN:
            cells = []
            for equation in equations:
                curve = np.array(curves.get(f"{name}|{equation}", [[0, np.inf, np.nan, 0]]))
                within = curve[curve[:, 1] <= limit]
                over = "" if curve[-1, 1] > limit else "*"  # its evaluations were used up before
                cells.append(f"{within[-1, 2]:.1e}{over}" if len(within) else "-")
            print(f"| {name} | " + " | ".join(cells) + " |")


# ---- pictures ----------------------------------------------------------------------------------------------


def pictures(curves: dict[str, Any]) -> None:
    """Draw the losses against the evaluations, and the norms of the gradient against the losses."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    equations = ["poisson", "convection 20", "convection 40", "reaction", "burgers", "wave"]
    colours = dict(
        zip(
            DRAWN,
            ["0.6", "tab:blue", "tab:green", "tab:purple", "tab:orange", "tab:red", "tab:red"],
            strict=True,
        )
    )
    for file, x, y, labels in (
        ("pinn_loss", 0, 2, ("evaluations (value with gradient)", "loss")),
        ("pinn_norm_against_loss", 2, 3, ("loss", "norm of the gradient")),
    ):
        figure, axes = plt.subplots(2, 3, figsize=(12, 7), layout="constrained", sharex=x == 0)
        for axis, equation in zip(axes.flat, equations, strict=True):
            for name, label in DRAWN.items():
                curve = np.array(curves.get(f"{name}|{equation}", np.empty((0, 4))))
                if len(curve):
                    style = {"color": colours[name], "lw": 1.6, "ls": "--" if "no guard" in name else "-"}
                    axis.loglog(curve[:, x], curve[:, y], label=label, **style)
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
    parser.add_argument("--pictures", action="store_true")
    args = parser.parse_args(argv)
    if args.keep:
        keep(load())
    rows, curves = kept()
    for seeds in (TUNING, JUDGED):
        for hidden in sorted({tuple(row["hidden"]) for row in rows}):
            for budget in sorted({row["budget"] for row in rows}):
                some = of(rows, hidden=list(hidden), budget=budget)
                if any(row["seed"] in seeds for row in some):
                    for field in ("loss", "error", "seconds"):
                        table(rows, field, seeds, list(hidden), budget)
    for seeds in (TUNING, JUDGED):
        print(f"\nratios of final losses, seeds among {seeds}")
        for one, other in (
            ("ours: ssbroyden, no guard", "Adam 10 % + L-BFGS-B, memory 50"),
            ("ours: ssbroyden, no guard", "Adam 10 % + SciPy loop, ssbroyden2"),
            ("ours: ssbroyden", "ours: ssbroyden, no guard"),
            ("ours: memory-cg", "ours: memory-cg, no guard"),
            ("ours: default", "ours: default, no guard"),
        ):
            versus(rows, one, other, seeds)
    at_seconds(curves, (1.0, 2.0))
    if args.pictures:
        pictures(curves)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
