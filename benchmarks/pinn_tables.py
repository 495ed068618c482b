"""The tables of ``docs/pinn.md``, from the runs that `pinn_report.py` keeps.

Means are geometric, over the seeds that a contender has run on every equation of the table.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from arena import table
from pages import scientific
from pinn_solvers import SWEPT_RULES, SWEPT_STEPS

Run = dict[str, Any]

PUBLISHED, OURS = "Adam 10 % + SciPy loop, ssbroyden2", "ours: ssbroyden, no guard"
LABELS = {
    "Adam 10 % + L-BFGS-B, memory 50": "Adam, then L-BFGS-B (memory 50, swap at 10 %)",
    "PyTorch LBFGS": "PyTorch's L-BFGS from the start (memory 50)",
    "Optax L-BFGS, memory 50": "Optax's L-BFGS from the start (memory 50)",
    "Adam 10 % + SciPy BFGS": "Adam, then SciPy's BFGS (swap at 10 %)",
    PUBLISHED: "Adam, then self-scaled Broyden as published (swap at 10 %)",
    "ours: default": "ours, default",
    "ours: memory-cg": "ours, `'memory-cg'`",
    "ours: ssbroyden": "ours, `'ssbroyden'`",
    OURS: "**ours, `'ssbroyden'`, `guard=False`**",
}
"""The main contenders."""
LIMITED = {
    "Adam 10 % + L-BFGS-B, memory 50": LABELS["Adam 10 % + L-BFGS-B, memory 50"],
    "ours: memory-cg": LABELS["ours: memory-cg"],
    "ours: memory-cg, no guard": "ours, `'memory-cg'`, `guard=False`",
    "ours: l-ssbroyden": "ours, `'l-ssbroyden'`",
    "ours: l-ssbroyden, memory 50, no guard": "ours, `'l-ssbroyden'`, memory 50, `guard=False`",
    "ours: l-ssbroyden, no guard": "**ours, `'l-ssbroyden'`, `guard=False`**",
    OURS: "ours, `'ssbroyden'`, `guard=False`",
}
"""Contenders with a limited memory, and the dense method."""
LARGE = (100, 100)
"""Hidden layers of the networks beyond 10,000 weights."""

SWEPT_SEEDS, JUDGED = (5, 6), (0, 1, 2, 3, 4)
"""Seeds that settings are chosen on, and seeds of the tables."""

BASINS = JUDGED, range(7, 12), range(20, 50)
"""Seeds of the reaction equation; not every contender has run all of them."""
MANY = tuple(seed for seeds in BASINS for seed in seeds)
"""Seeds on which ours and the published loop are held against each other."""

WRONG = 0.1
"""A relative L2 error above this counts as another function than the solution."""


def mean(values: Any) -> float:
    """Geometric mean; 0 counts as 1e-32."""
    return float(np.exp(np.mean(np.log(np.maximum(values, 1e-32)))))


def means(rows: list[Run], name: str, equations: list[str], seeds: Any, field: str) -> Any:
    """Return the seeds that a contender has run on all equations and its means by equation, or None."""
    found: dict[str, dict[int, float]] = {equation: {} for equation in equations}
    for row in rows:
        if row["name"] == name and row["equation"] in found and row["seed"] in seeds:
            found[row["equation"]][row["seed"]] = row[field]
    common = [seed for seed in seeds if found and all(seed in known for known in found.values())]
    return (common, [mean([known[s] for s in common]) for known in found.values()]) if common else None


def of_width(rows: list[Run], hidden: tuple[int, ...], budget: int = 3000) -> list[Run]:
    """Return the runs of networks with these layers."""
    return [row for row in rows if row["hidden"] == list(hidden) and row["budget"] == budget]


def compared(rows: list[Run], field: str, seeds: Any = JUDGED, labels: dict[str, str] | None = LABELS) -> str:
    """Compare contenders by equation, without ``labels`` every one that there is; the worst come first."""
    names = labels or {row["name"]: row["name"] for row in rows if not row["name"].startswith("sweep")}
    equations = list(dict.fromkeys(row["equation"] for row in rows))
    equations = [e for e in ("poisson", "convection 20", "convection 40", "reaction", "burgers", "wave")
                 if e in equations]  # fmt: skip
    form = (lambda v: f"{v:.2g}") if field == "seconds" else scientific
    lines = []
    for name, label in names.items():
        known = means(rows, name, equations, seeds, field)
        if known:
            lines.append((mean(known[1]), label, len(known[0]), known[1]))
    lines.sort(reverse=True)
    body = [[label, str(many), *map(form, values), form(total)] for total, label, many, values in lines]
    return table(["contender", "seeds", *equations, "all"], body)


def ratios(rows: list[Run], one: str, other: str, judged: Any = JUDGED) -> str:
    """Divide the final losses of one contender by another's, on the seeds judged that both have run."""
    both: dict[str, list[float]] = {}
    known = {(r["equation"], r["seed"]): r["loss"] for r in rows if r["name"] == other}
    for row in rows:
        pair = row["equation"], row["seed"]
        if row["name"] == one and row["seed"] in judged and pair in known:
            both.setdefault(row["equation"], []).append(row["loss"] / known[pair])
    every = [ratio for some in both.values() for ratio in some]
    parts = ", ".join(f"{equation} {mean(some):.2g}" for equation, some in both.items())
    return f"{mean(every):.2g} over {len(every)} runs ({parts})"


def beside_rivals(rows: list[Run]) -> str:
    """Say how the final losses of `'ssbroyden'` without a guard stand to the others'."""
    return (
        "Final losses of ours, `'ssbroyden'` without a guard, over Adam's and L-BFGS-B's:\n"
        + ratios(rows, OURS, "Adam 10 % + L-BFGS-B, memory 50")
        + ".\nOver those of self-scaled Broyden as published:\n"
        + ratios(rows, OURS, PUBLISHED)
        + ".\nWith the guard over without: "
        + ratios(rows, "ours: ssbroyden", OURS)
        + "."
    )


def on_many_seeds(rows: list[Run]) -> str:
    """Say how `'ssbroyden'` without a guard stands to the published loop on all seeds that both have run."""
    wins = {}
    known = {(r["equation"], r["seed"]): r["loss"] for r in rows if r["name"] == PUBLISHED}
    for row in rows:
        pair = row["equation"], row["seed"]
        if row["name"] == OURS and row["seed"] in MANY and pair in known:
            wins[pair] = row["loss"] < known[pair]
    return (
        "On all seeds that both have run (0 to 4, 7 to 11, 20 to 32), the same ratio to self-scaled Broyden\n"
        f"as published: {ratios(rows, OURS, PUBLISHED, MANY)}.\n"
        f"Ours is lower in {sum(wins.values())} of {len(wins)} runs."
    )


def sweep(rows: list[Run]) -> str:
    """Where `'ssbroyden'` without a guard takes over from Adam: final losses."""
    ways = {f"after {n} step{'s' * (n > 1)}": f"{n} steps" for n in SWEPT_STEPS}
    ways |= {f"`{rule}`": rule for rule in SWEPT_RULES}
    equations = list(dict.fromkeys(row["equation"] for row in rows if row["name"].startswith("sweep")))
    body = []
    for label, way in {"at once (`swap='auto'`)": OURS, **ways}.items():
        for rate, more in {"automatic": "", "0.005": ", rate 0.005"}.items():
            name = way if way == OURS else f"sweep: {way}{more}"
            known = means(rows, name, equations, SWEPT_SEEDS, "loss")
            if known and not (way == OURS and more):
                at = [r["handover"] for r in rows if r["name"] == name and r["seed"] in SWEPT_SEEDS
                      and r["equation"] in equations]  # fmt: skip
                took = f"{np.median([a for a in at if a]):.0f}" if any(at) else "-"
                took += "" if all(at) else f" (never in {at.count(None)} of {len(at)})"
                rated = "-" if way == OURS else rate
                body.append([label, rated, took, *map(scientific, known[1]), scientific(mean(known[1]))])
    return table(["handover", "rate of Adam", "evaluations before it, median", *equations, "all"], body)


def basins(rows: list[Run], equation: str) -> str:
    """Where single runs on one equation end: final losses, and how many have found another function."""
    body = []
    for name in (PUBLISHED, OURS):
        for seeds in BASINS:
            ended = {
                row["seed"]: (row["loss"], row["error"])
                for row in rows
                if (row["name"], row["equation"]) == (name, equation) and row["seed"] in seeds
            }
            label = f"{min(ended)} to {max(ended)}"
            losses = [loss for loss, _ in ended.values()]
            right = [loss for loss, error in ended.values() if error <= WRONG]
            facts = [mean(losses), mean(right), min(losses), max(losses)]
            body.append(
                [LABELS[name], label, *map(scientific, facts), f"{len(ended) - len(right)} of {len(ended)}"]
            )
    head = ["contender", "seeds", "mean", "mean of right ones", "least", "largest", "wrong solutions"]
    return table(head, body)


def parts(rows: list[Run], wide: tuple[int, ...]) -> dict[str, str]:
    """Every table of the page by the name of its place, but that of the median curves."""
    usual, wider, large = of_width(rows, (16, 16)), of_width(rows, wide), of_width(rows, LARGE, 2000)
    return {
        "pinn-losses": compared(usual, "loss"),
        "pinn-errors": compared(usual, "error"),
        "pinn-seconds": compared(usual, "seconds"),
        "pinn-ratios": beside_rivals(usual),
        "pinn-many": on_many_seeds(usual),
        "pinn-sweep": sweep(usual),
        "pinn-wide": compared(wider, "loss"),
        "pinn-wide-errors": compared(wider, "error"),
        "pinn-wide-ratios": beside_rivals(wider),
        "pinn-basins": basins(usual, "reaction"),
        "pinn-tuning": compared(usual, "loss", (5,), None),
        "pinn-limited": compared(usual, "loss", labels=LIMITED),
        "pinn-limited-wide": compared(wider, "loss", labels=LIMITED),
        "pinn-large": compared(large, "loss", labels=LIMITED),
        "pinn-large-errors": compared(large, "error", labels=LIMITED),
    }
