"""The runs of `paper.py` that are kept: ``benchmarks/paper.json``.

It has the end of every run, the Hessians measured, and the curves that are drawn.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from kept_runs import Run, of, read, write
from paper_choice import chosen, judged

HERE = Path(__file__).resolve().parent
RUNS = HERE / "results" / "paper.jsonl"
KEPT = HERE / "paper.json"
JUDGED = (0, 1, 2, 3, 4)
FIELDS = ("data", "loss_kind", "size", "budget", "model", "seed", "name", "rate", "cost", "loss", "last")
FIELDS = (*FIELDS, "train", "out", "seconds", "hessian")
DRAWN = {
    "Adam": ("#0072B2", "-", "Adam"),
    "Adam, cosine decay": ("#E69F00", ":", "Adam, cosine decay"),
    "Adam 30% + CG": ("#D55E00", "--", "CG after 30 % of Adam"),
}
"""Contenders in the picture: colour, line, and what they are called there."""


def keep(runs: Path = RUNS, kept: Path = KEPT) -> None:
    """Enter the ends of new runs, and the curves that are drawn; what was kept and not run anew stays.

    Runs of named options that are no longer the chosen ones go.
    """
    new = [json.loads(line) for line in runs.read_text().splitlines()]
    old, curves = load(kept) if kept.exists() else ([], {})
    unique = {tuple(row[key] for key in FIELDS[:8]): row for row in [*old, *new]}
    every = list(unique.values())
    ends = [[_short(row[key]) for key in FIELDS] for row in every if is_judged(row, every)]
    curves |= {
        "|".join(str(row[key]) for key in ("data", "loss_kind", "model", "seed", "name")): falling(row)
        for row in new
        if row["name"] in DRAWN and row["seed"] in JUDGED
    }
    write(kept, FIELDS, ends, ("loss", "norm of the gradient"), curves)


def is_judged(row: Run, rows: list[Run]) -> bool:
    """Whether a run is of a contender of its seed; where nothing has been chosen, every one is."""
    if row["seed"] not in JUDGED:
        return True
    same = of(rows, **{key: row[key] for key in FIELDS[:4]})
    try:
        return row["name"] in judged(chosen(same, row["model"]))
    except LookupError:
        return True


def falling(row: Run) -> list[list[float]]:
    """Return loss and norm where a run has come lower than before; of CG the part after the swap."""
    points, lowest = [], np.inf
    for cost, _, loss, norm in row["curve"]:
        if loss < lowest and not ("CG" in row["name"] and cost < 0.3 * row["budget"] - 1e-6):
            points.append([loss, norm])
        lowest = min(loss, lowest)
    return points


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def load(kept: Path = KEPT) -> tuple[list[Run], dict[str, Any]]:
    """Read what `keep` has written: runs and curves."""
    return read(kept)
