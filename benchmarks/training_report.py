"""Tables of the page from what `training.py` has run.

    python benchmarks/training_report.py --keep RESULTS.json     # into benchmarks/training.json
    python benchmarks/pages.py training_report                   # into the page

``benchmarks/training.json`` has of every run its score and the points of its trace that the tables read.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from arena import table
from pages import run_report
from training_contenders import LONGER, OURS, RIVALS, TIMES

KEPT = Path(__file__).with_name("training.json")
DEFAULT = "two-phase, default"
MATRIX = "two-phase, ssbroyden"
"""The best of ours at equal cost where there are few weights."""
SCIKIT_ADAM = "scikit-learn, adam"
ORDER = ("digits", "wine", "docstrings", "fashion", "diabetes", "friedman1", "houses")
SHORT = {"cross_entropy": "ce", "half_mse": "mse"}
BEST = "the best rival of each problem"
Cell = dict[str, Any]
Cells = dict[str, Cell]
"""Runs by "data|loss|seed|budget|contender"."""
Case = tuple[str, str, str]
Groups = dict[Case, Cells]
"""Contender -> run by (data, loss, seed)."""


# ---- reading a run -----------------------------------------------------------------------------------------


def row_at_cost(cell: Cell, cost: float) -> list[float]:
    """Return the point where so much has been spent; a run that has ended stays where it is."""
    rows: list[list[float]] = [row for row in cell["trace"] if row[0] <= cost] or cell["trace"][:1]
    return rows[-1]


def row_at_seconds(cell: Cell, seconds: float) -> list[float]:
    """Return the point after so many seconds."""
    rows: list[list[float]] = [row for row in cell["trace"] if row[1] <= seconds] or cell["trace"][:1]
    return rows[-1]


def row_until(cell: Cell, loss: float) -> list[float] | None:
    """Return the first point at which the loss is reached, if it is."""
    return next((row for row in cell["trace"] if row[2] <= loss), None)


def at_cost(cell: Cell, cost: float) -> tuple[float, float]:
    """Return (loss, seconds) where so much has been spent."""
    _, seconds, loss = row_at_cost(cell, cost)
    return loss, seconds


def at_end(cell: Cell) -> tuple[float, float]:
    """Return (loss, seconds) where the budget is spent."""
    return at_cost(cell, cell["budget"])


def at_seconds(cell: Cell, seconds: float) -> float:
    """Return the loss after so many seconds."""
    return row_at_seconds(cell, seconds)[2]


def until(cell: Cell, loss: float) -> float:
    """Return the seconds until the loss is reached; infinite if it is not."""
    row = row_until(cell, loss)
    return np.inf if row is None else row[1]


def grouped(cells: Cells) -> Groups:
    """Return the runs by problem and seed, in the order of the page; the largest budget of each counts."""
    groups: Groups = {}
    for key, cell in sorted(cells.items(), key=lambda item: float(item[0].split("|")[3])):
        name, loss, seed, budget, contender = key.split("|")
        groups.setdefault((name, loss, seed), {})[contender] = cell | {"budget": float(budget)}
    order = sorted(groups, key=lambda group: (ORDER.index(group[0]), *group))
    return {key: groups[key] for key in order if DEFAULT in groups[key]}


# ---- what is kept ------------------------------------------------------------------------------------------


def slim(cells: Cells) -> Cells:
    """Return the runs with the points alone at which `tables` reads them."""
    out = {}
    for (name, loss, seed), group in grouped(cells).items():
        limits = [at_end(cell)[1] for contender, cell in group.items() if contender in OURS]
        for contender, cell in group.items():
            rows = [cell["trace"][0], row_at_cost(cell, cell["budget"])]
            rows += [row_at_seconds(cell, limit) for limit in limits]
            if SCIKIT_ADAM in group:
                rows.append(row_until(cell, at_end(group[SCIKIT_ADAM])[0]) or rows[0])
            key = f"{name}|{loss}|{seed}|{cell['budget']:g}|{contender}"
            out[key] = {"score": cell["score"], "n_params": cell["n_params"], "trace": sorted(rows)}
    return out


def keep(cells: Cells) -> None:
    """Enter the runs, losses and seconds to five digits; one that has been made again replaces its like."""
    merged = slim((kept() if KEPT.exists() else {}) | cells)
    for cell in merged.values():
        cell["score"] = round(cell["score"], 5)
        points = {tuple(float(f"{value:.5g}") for value in row) for row in cell["trace"]}
        cell["trace"] = sorted(points, key=lambda row: (row[0], row[1], -row[2]))
    KEPT.write_text(json.dumps(merged).replace('}, "', '},\n"') + "\n")


# ---- tables ------------------------------------------------------------------------------------------------


def geometric(values: list[float]) -> float:
    """Return the geometric mean."""
    return float(np.exp(np.mean(np.log(values)))) if values else np.nan


def contenders(groups: Groups) -> list[str]:
    """Return those that have run, ours first."""
    return [name for name in {**OURS, **RIVALS} if any(name in group for group in groups.values())]


def medians(groups: Groups, read: Callable[[Cell], float], form: str) -> tuple[list[str], list[list[str]]]:
    """Return the problems, and for every contender the medians over their seeds."""
    cases = [(case, [groups[key] for key in keys]) for case, keys in groupby(groups, lambda key: key[:2])]
    rows = []
    for name in contenders(groups):
        values = [[read(group[name]) for group in several if name in group] for _, several in cases]
        rows.append([name, *(format(statistics.median(v), form) if v else "" for v in values)])
    return [f"{data}, {SHORT[loss]}" for (data, loss), _ in cases], rows


def loss_table(groups: Groups) -> str:
    """Training losses where the budget is spent, below what the problems are."""
    cases, rows = medians(groups, lambda cell: at_end(cell)[0], ".3g")
    facts: dict[str, list[str]] = {"weights": [], "budget": [], "seeds": []}
    for _, keys in groupby(groups, lambda key: key[:2]):
        several = [groups[key][DEFAULT] for key in keys]
        facts["weights"].append(f"{several[0]['n_params']}")
        facts["budget"].append(f"{several[0]['budget']:g}")
        facts["seeds"].append(f"{len(several)}")
    return table(["training loss", *cases], [[name, *cells] for name, cells in facts.items()] + rows)


def score_table(groups: Groups) -> str:
    """Scores on the rows held out."""
    cases, rows = medians(groups, lambda cell: float(cell["score"]), ".3f")
    return table(["held out", *cases], rows)


def ratios(groups: Groups, ours: str, rivals: list[str]) -> tuple[dict[Case, float], dict[Case, float]]:
    """Divide the losses of ours by the least of the rivals', at equal cost and at equal seconds."""
    cost, seconds = {}, {}
    for key, group in groups.items():
        theirs = [group[name] for name in rivals if name in group]
        if theirs and ours in group:
            loss, limit = at_end(group[ours])
            cost[key] = loss / min(at_end(cell)[0] for cell in theirs)
            seconds[key] = at_seconds(group[ours], limit) / min(at_seconds(cell, limit) for cell in theirs)
    return cost, seconds


def against(groups: Groups, ours: str, rivals: list[str]) -> list[str]:
    """Geometric mean and worst of the ratios, at equal cost and at equal seconds."""
    cells = []
    for found in ratios(groups, ours, rivals):
        worst = max(found, key=found.__getitem__)
        data, loss, seed = worst
        cells += [
            f"{geometric(list(found.values())):.3g}",
            f"{found[worst]:.3g} ({data}, {SHORT[loss]}, seed {seed})",
        ]
    return cells


def best_table(groups: Groups) -> str:
    """Each of ours over the best rival of each problem."""
    rows = []
    for ours in contenders(groups):
        if ours in OURS:
            count = sum(ours in group for group in groups.values())
            rows.append([ours, f"{count}", *against(groups, ours, list(RIVALS))])
    head = ["ours over the best rival", "problems and seeds"]
    return table([*head, "at equal cost", "worst", "at equal seconds", "worst"], rows)


def rival_table(groups: Groups, ours: str) -> str:
    """One of ours over every rival."""
    theirs = {name: [name] for name in contenders(groups) if name in RIVALS} | {BEST: list(RIVALS)}
    mine = {key: group for key, group in groups.items() if ours in group}
    met = {name: pool for name, pool in theirs.items() if any({*pool} & {*group} for group in mine.values())}
    rows = [[name, *against(mine, ours, pool)] for name, pool in met.items()]
    head = [f"{ours.removeprefix('two-phase, ')} over", "at equal cost", "worst", "at equal seconds", "worst"]
    return table(head, rows)


def times(groups: Groups, ours: str) -> str:
    """Say in what share of the time of scikit-learn's adam its own last loss is reached."""
    shares = []
    for group in groups.values():
        if SCIKIT_ADAM in group and ours in group:
            loss, seconds = at_end(group[SCIKIT_ADAM])
            shares.append(until(group[ours], loss) / seconds)
    reached = [share for share in shares if np.isfinite(share)]
    return (
        f"By default the last loss of scikit-learn's 'adam' is reached on {len(reached)} of {len(shares)} "
        f"problems and seeds, in\n{geometric(reached):.2g} of its time (geometric mean; "
        f"{max(reached, default=np.nan):.2g} at worst)."
    )


def left_to_win(groups: Groups) -> str:
    """Say how far below the best rival the lowest loss lies that anybody has come to."""
    shares = {}
    for key, group in groups.items():
        if any(name in LONGER for name in group):
            ends = {name: at_end(cell)[0] for name, cell in group.items()}
            shares[key] = min(ends.values()) / min(f for name, f in ends.items() if name in RIVALS)
    if not shares:
        return ""
    below = sum(share <= 0.5 for share in shares.values())
    return (
        f"The lowest loss that any of these has come to, with {TIMES} times the budget for ours and for "
        f"Levenberg-Marquardt,\nis {geometric(list(shares.values())):.2g} of the best rival's at the budget "
        f"(geometric mean over {len(shares)} problems and seeds;\nat most half of it on {below})."
    )


def parts(cells: Cells) -> dict[str, str]:
    """Return the tables of these runs by the names of their places."""
    groups = grouped(cells)
    return {
        "training-loss": loss_table(groups),
        "training-score": score_table(groups),
        "training-best": best_table(groups),
        "training-default": rival_table(groups, DEFAULT),
        "training-matrix": rival_table(groups, MATRIX),
        "training-times": times(groups, DEFAULT),
        "training-left": left_to_win(groups),
    }


def kept() -> Cells:
    """Read what `keep` has written."""
    cells: Cells = json.loads(KEPT.read_text())
    return cells


def tables() -> dict[str, str]:
    """Return the tables of the page by the names of their places."""
    return parts(kept())


if __name__ == "__main__":
    raise SystemExit(run_report(str(__doc__), "results of training.py", keep))
