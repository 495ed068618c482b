"""Tables and pictures of what `pinn.py` has run.

    python benchmarks/pinn_report.py                    # print tables from benchmarks/pinn.json
    python benchmarks/pinn_report.py --keep             # write that file from benchmarks/results/pinn.jsonl
    python benchmarks/pinn_report.py --pictures         # draw docs/images/pinn_*.png
    python benchmarks/pages.py pinn_report              # the page's tables

``benchmarks/pinn.json`` has the end of every run, and for the pictures the median curves.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

from arena import table  # noqa: E402
from pages import scientific  # noqa: E402

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

OURS_AND_BEST = {
    "Adam 10 % + L-BFGS-B, memory 50": "Adam, then L-BFGS-B (memory 50, swap at 10 %)",
    "Adam 10 % + SciPy loop, ssbroyden2": "Adam, then self-scaled Broyden as published (swap at 10 %)",
    "ours: default": "ours, default",
    "ours: memory-cg": "ours, `'memory-cg'`",
    "ours: ssbroyden": "ours, `'ssbroyden'`",
    "ours: ssbroyden, no guard": "**ours, `'ssbroyden'`, `guard=False`**",
}
"""Contenders in the page's main tables, and what they are called there."""
EQUATIONS = ("poisson", "convection 20", "convection 40", "reaction", "burgers", "wave")
HIDDEN, BUDGET = [16, 16], 3000

Run = dict[str, Any]
Show = Callable[[float], str]


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
                for row in of(rows, name=name, equation=equation, hidden=HIDDEN, budget=BUDGET)
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


def means(
    rows: list[Run], field: str, seeds: tuple[int, ...], hidden: list[int], budget: int
) -> dict[str, tuple[int, list[float]]]:
    """Return how many seeds, and geometric means over them by equation and over all, of the contenders.

    Seeds are those that a contender has run on all equations; without any it is left out.
    """
    rows = [r for r in of(rows, hidden=hidden, budget=budget) if r["seed"] in seeds]
    found = {}
    for name in dict.fromkeys(row["name"] for row in rows):
        own = of(rows, name=name)
        common = set.intersection(*({r["seed"] for r in of(own, equation=e)} for e in EQUATIONS))
        if common:
            values = [mean([r[field] for r in of(own, equation=e) if r["seed"] in common]) for e in EQUATIONS]
            found[name] = (len(common), [*values, mean(values)])
    return found


def means_table(found: dict[str, tuple[int, list[float]]], labels: dict[str, str], show: Show) -> str:
    """Turn `means` into Markdown, the largest first."""
    chosen = sorted((name for name in labels if name in found), key=lambda name: -found[name][1][-1])
    rows = [[labels[name], str(found[name][0]), *map(show, found[name][1])] for name in chosen]
    return table(["contender", "seeds", *EQUATIONS, "all"], rows)


def ratios(rows: list[Run], one: str, other: str, seeds: tuple[int, ...]) -> dict[str, list[float]]:
    """Divide the final losses of two contenders by equation, over the seeds that both have run."""
    found: dict[str, list[float]] = {}
    for row in of(rows, name=one, hidden=HIDDEN, budget=BUDGET):
        for match in of(rows, name=other, hidden=HIDDEN, budget=BUDGET):
            if row["seed"] in seeds and all(row[k] == match[k] for k in ("equation", "seed")):
                found.setdefault(row["equation"], []).append(row["loss"] / match["loss"])
    return found


def versus(rows: list[Run], one: str, other: str, seeds: tuple[int, ...]) -> None:
    """Print ratios of the final losses of two contenders."""
    found = ratios(rows, one, other, seeds)
    parts = [f"{equation} {mean(r):.2g} ({len(r)})" for equation, r in found.items()]
    if parts:
        print(f"{one} / {other}: {mean([x for r in found.values() for x in r]):.2g};  " + ", ".join(parts))


def seconds_table(curves: dict[str, Any], limit: float) -> str:
    """Return the median curves' losses after so many processor seconds; * if the evaluations were used up."""
    rows = []
    for name, label in OURS_AND_BEST.items():
        cells = []
        for equation in EQUATIONS:
            curve = np.array(curves.get(f"{name}|{equation}", [[0, np.inf, np.nan, 0]]))
            within = curve[curve[:, 1] <= limit]
            over = "" if curve[-1, 1] > limit else "*"
            cells.append(f"{scientific(within[-1, 2])}{over}" if len(within) else "-")
        rows.append([label, *cells])
    return table(["contender", *EQUATIONS], rows)


def tables() -> dict[str, str]:
    """Return the tables of the page by the names of their places."""
    rows, curves = kept()
    out = {}
    for field, show in (("loss", scientific), ("error", scientific), ("seconds", "{:.1f}".format)):
        found = means(rows, field, JUDGED, HIDDEN, BUDGET)
        out[f"pinn-{field}"] = means_table(found, OURS_AND_BEST, show)
    out["pinn-seconds-2"] = seconds_table(curves, 2.0)
    found = means(rows, "loss", TUNING[:1], HIDDEN, BUDGET)
    out["pinn-others"] = means_table(found, {name: told(name) for name in found}, scientific)
    return out


def told(name: str) -> str:
    """Return a contender's name as the page has it."""
    return name.replace("ours: ", "ours, ").replace("SciPy loop, ", "SciPy's loop with ")


# ---- pictures ----------------------------------------------------------------------------------------------


def pictures(curves: dict[str, Any]) -> None:
    """Draw the losses against the evaluations, and the norms of the gradient against the losses."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

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
        for axis, equation in zip(axes.flat, EQUATIONS, strict=True):
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
                        found = means(rows, field, seeds, list(hidden), budget)
                        print(f"\n{field}, hidden {list(hidden)}, {budget} evaluations, seeds among {seeds}")
                        print(means_table(found, {name: name for name in found}, scientific))
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
    for limit in (1.0, 2.0):
        print(f"\nmedian loss after {limit:g} processor seconds\n{seconds_table(curves, limit)}")
    if args.pictures:
        pictures(curves)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
