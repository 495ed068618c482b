"""What is chosen on one seed, and which contenders the others judge with it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from paper_contenders import CONTENDERS, OPTIONS, RATES, SHARES

TUNING = 5
"""The seed on which settings are chosen."""

FLOOR = 1e-4
"""Lower losses count as this: cross-entropy has no minimum where a network separates the samples."""

Run = dict[str, Any]


class Chosen(NamedTuple):
    """What was chosen on the other seed: Adam's rates, the share before L-BFGS-B, our options."""

    rate: float
    cosine: float
    share: str
    options: str


def chosen(runs: list[Run], model: str) -> Chosen:
    """Choose by the lowest loss; shares and options by the geometric mean over the models tuned so far.

    Raises
    ------
    LookupError
        If Adam's rates have not all been run.
    """
    own = [row for row in runs if row["seed"] == TUNING]

    def rate(name: str, model: str) -> float:
        found = {row["rate"]: row["loss"] for row in own if row["name"] == name and row["model"] == model}
        if set(found) < set(RATES):
            raise LookupError(f"Adam's rates have not all been run on {model}: run with --tune first.")
        return min(RATES, key=found.__getitem__)

    rates = {name: rate("Adam", name) for name in {row["model"] for row in own} | {model}}

    def best(names: list[str]) -> str:
        def mean(name: str) -> float:
            losses = [
                row["loss"] for row in own if row["name"] == name and row["rate"] == rates[row["model"]]
            ]
            return float(np.mean(np.log(np.maximum(losses, FLOOR)))) if losses else np.inf

        return min(names, key=mean)

    shares = [f"Adam {share:.0%} + L-BFGS-B" for share in SHARES]
    cosine = rate("Adam, cosine decay", model)
    return Chosen(rates[model], cosine, best(shares), best(list(OPTIONS)))


def judged(choice: Chosen) -> dict[str, float]:
    """Return the contenders of the seeds that judge, with Adam's rate."""
    others = {f"Adam {share:.0%} + L-BFGS-B" for share in SHARES} | set(OPTIONS)
    names = [name for name in CONTENDERS if name not in others - {choice.share, choice.options}]
    if choice.options != "ours: memory-cg":
        names.append("ours: memory-cg")
    return {name: choice.cosine if "cosine" in name else choice.rate for name in names}
