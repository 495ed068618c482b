"""How much of the page on the paper hangs on how it is counted, and on the data: tables of `paper.py`'s runs.

::

    python benchmarks/pages.py paper_checks             # put them into docs/paper.md
"""

from __future__ import annotations

import statistics

import numpy as np
from arena import table
from kept_runs import Run, of
from paper_report import (
    DECAYED,
    LOSSES,
    PAGE,
    POINTS,
    TOLERANCE,
    best,
    cell,
    compared,
    flat,
    is_convex,
    measured,
    models,
    names,
    shown,
)

SETS = {"fashion": "Fashion-MNIST", "digits": "digits", "mnist5000": "MNIST's 5,000"}
"""Data sets that are compared on the page, and what they are called there."""
PATHS = {
    "Algorithm 1, from its swap to its end": ("swap of Algorithm 1", "end of Algorithm 1"),
    "CG after 30 % of Adam": ("Adam, 30 %", "end of Adam 30% + CG"),
    "the decay, from the end of Adam without it": ("end of Adam", "end of Adam, cosine decay"),
}
"""From where to where the Hessian is compared."""
FLOORS = (1e-9, 1e-6, 1e-4, 1e-3)
"""What a lower loss may count as."""


def across(runs: list[Run]) -> str:
    """Tabulate how often the loss is convex and what pays, a column for each data set and loss."""
    found = [(data, loss, of(runs, data=data, loss_kind=loss)) for data in SETS for loss in LOSSES]
    columns = [column for column in found if column[2]]
    lines = []
    for label, (name, mark) in POINTS.items():
        line = [f"convex: {label}"]
        for _, _, rows in columns:
            every = [h for model in models(rows) for h in measured(rows, model, name, mark)]
            line.append(f"{sum(map(is_convex, every))} of {len(every)}")
        lines.append(line)
    called = {"L-BFGS-B": "Adam, then L-BFGS-B", "ours": "the best of our options"}
    for one, other in (
        ("Algorithm 1", "Adam"),
        ("Algorithm 1, smoothed", "Adam"),
        ("Adam 30% + CG, searches uncharged", "Adam"),
        ("Adam 60% + CG", "Adam"),
        ("Adam 60% + CG", "Adam, cosine decay"),
        ("Adam 60%, cosine decay + CG", "Adam, cosine decay"),
        ("L-BFGS-B", "Adam, cosine decay"),
        (DECAYED, "Adam, cosine decay"),
        ("ours: default", "Adam"),
        ("ours: default", "Adam, cosine decay"),
        ("ours: default", DECAYED),
        ("ours", "Adam, cosine decay"),
        ("ours", DECAYED),
    ):
        line = [f"{called.get(one, one)}, over {called.get(other, other)}"]
        for _, _, rows in columns:
            pair = [best(rows, name) if name in called else name for name in (one, other)]
            line.append(cell(flat(rows, *pair)))
        lines.append(line)
    return table(["all models", *(f"{SETS[data]}, {loss}" for data, loss, _ in columns)], lines)


def over_last(rows: list[Run]) -> str:
    """Tabulate losses over the last one of Adam: nobody has looked for the lowest on its way."""
    lines = []
    for name in names(rows):
        lines.append([name, *compared(rows, name, "Adam", last=True)])
    return table(["loss over Adam's last", *models(rows), "all"], lines)


def shares(runs: list[Run]) -> str:
    """Tabulate by how much either end of the spectrum moves, medians over all models and seeds.

    The last column takes the largest eigenvalue at the beginning of the path as the measure of convexity.
    """
    lines = []
    for loss in LOSSES:
        rows = of(runs, loss_kind=loss)
        for label, (start, end) in PATHS.items():
            pairs = [
                (a, b)
                for model in models(rows)
                for a, b in zip(
                    measured(rows, model, *POINTS[start]), measured(rows, model, *POINTS[end]), strict=True
                )
            ]
            falls = statistics.median(abs(a[0]) / abs(b[0]) for a, b in pairs)
            grows = statistics.median(b[2] / a[2] for a, b in pairs)
            ends = sum(is_convex(b) for _, b in pairs)
            fixed = sum(b[0] - b[1] >= -TOLERANCE * a[2] for a, b in pairs)
            of_all = f"of {len(pairs)}"
            lines.append(
                [loss, label, f"{falls:.2g}", f"{grows:.2g}", f"{ends} {of_all}", f"{fixed} {of_all}"]
            )
    return table(
        [
            "loss",
            "path",
            "smallest eigenvalue shrinks by",
            "largest grows by",
            "convex at the end",
            "by the largest at the start",
        ],
        lines,
    )


def floors(rows: list[Run]) -> str:
    """Tabulate what ratios depend on the floor of the loss, and those of the models that never come to it."""
    other = "Adam, cosine decay"
    lines = []
    lowest = {model: min(row["loss"] for row in of(rows, model=model)) for model in models(rows)}
    above = [row for row in rows if lowest[row["model"]] > max(FLOORS)]
    for name in (best(rows, "L-BFGS-B"), "ours: default", "ours: memory-cg", best(rows, "ours")):
        line = [cell(flat(rows, name, other, floor=floor)) for floor in FLOORS]
        lines.append([f"{name}, over {other}", *line, cell(flat(above, name, other))])
    head = [f"floor {floor:g}" for floor in FLOORS]
    return table(["all models", *head, f"the {len(models(above))} models above all floors"], lines)


def held_out(runs: list[Run]) -> str:
    """Tabulate the accuracy on held-out images less that of Adam on the same seed, means over all models."""
    lines = []
    for name in names(runs):
        line = [name]
        for loss in LOSSES:
            rows = of(runs, loss_kind=loss)
            accuracy = {(row["name"], row["model"], row["seed"]): row["out"] for row in rows}
            less = [
                value - accuracy["Adam", model, seed]
                for (own, model, seed), value in accuracy.items()
                if own == name
            ]
            worse = sum(value < 0 for value in less)
            line.append(f"{np.mean(less):+.3f} ({worse} of {len(less)} lower)" if less else "")
        if name != "Adam":
            lines.append(line)
    return table(["accuracy held out, less Adam's", *LOSSES], lines)


def tables() -> dict[str, str]:
    """Return the tables of the page by the names of their places."""
    every = shown()
    rows = of(every, data=PAGE)
    first, second = (of(rows, loss_kind=loss) for loss in LOSSES)
    return {
        "paper-across": across(every),
        "paper-last": over_last(first),
        "paper-shares": shares(rows),
        "paper-floors": floors(second),
        "paper-held-out": held_out(rows),
    }
