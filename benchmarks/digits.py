"""The network of the demo on handwritten digits, by every way of training: the table of docs/benchmarks.md.

::

    pip install ".[all]"
    python benchmarks/digits.py
    OMP_NUM_THREADS=1 python benchmarks/digits.py --out benchmarks/results/digits_1.json

Seeds 0 to 4, 300 gradient evaluations of the whole data for every method, a mini-batch charged its share.
Printed are the median train loss with its range, the median held-out accuracy, and on how many seeds a
method ends below each of the others alone. The losses and accuracies are written to ``--out``, with the
number of threads.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from twophase_min.demo import BEST_ADAM, Outcome, Task, adam_alone, make_task, scipy_alone, two_phase
from twophase_min.jit.threads import pool
from twophase_min.networks import MLP

LOSSES = (("cross_entropy", 1e-4), ("mse", 1e-4), ("mse", 0.0))
SEEDS, BUDGET, SCALE = range(5), 300, 0.3
ENDLESS = 10**9
ALONE: dict[str, Callable[[Task, str], Outcome]] = {
    "Adam alone": lambda task, loss: adam_alone(task, BEST_ADAM[loss]),
    "SciPy's L-BFGS-B alone": lambda task, _: scipy_alone(
        task, "L-BFGS-B", {"gtol": 0.0, "ftol": 0.0, "maxiter": ENDLESS, "maxfun": ENDLESS}
    ),
    "SciPy's CG alone": lambda task, _: scipy_alone(task, "CG", {"gtol": 0.0, "maxiter": ENDLESS}),
}
OURS: dict[str, tuple[dict[str, Any], int]] = {
    "two-phase, default": ({}, 0),
    "two-phase, memory-cg": ({"convex_method": "memory-cg"}, 0),
    "two-phase, Adam first, rate 0.01": ({"learning_rate": 0.01}, 0),
    "two-phase, norm-against-loss": ({"swap": "norm-against-loss"}, 0),
    "two-phase, batches of 32 in the first phase": ({}, 32),
    "default without a guard": ({"guard": False}, 0),
    "memory-cg without a guard": ({"convex_method": "memory-cg", "guard": False}, 0),
}
"""Options of `minimize`, and the batch of the first phase (0: whole data)."""


def measured(loss: str, l2: float) -> dict[str, list[Outcome]]:
    """Run every method on every seed."""
    net = MLP([64, 32, 32, 10], activation="tanh", loss=loss, l2=l2)
    tasks = [make_task(seed, BUDGET, net, SCALE) for seed in SEEDS]
    ours = {
        name: [two_phase(task, options, batch) for task in tasks] for name, (options, batch) in OURS.items()
    }
    return ours | {name: [run(task, loss) for task in tasks] for name, run in ALONE.items()}


def row(name: str, runs: dict[str, list[Outcome]]) -> str:
    """Return one line of the table."""
    losses = np.array([run.loss for run in runs[name]])
    held_out = 100 * np.median([run.accuracy for run in runs[name]])
    below = [f"{sum(losses < [run.loss for run in runs[other]])} of {len(losses)}" for other in ALONE]
    spread = f"{np.median(losses):.4g} [{losses.min():.4g}, {losses.max():.4g}]"
    return f"| {name} | {spread} | {held_out:.1f} % | " + " | ".join(below) + " |"


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; see ``--help``."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "digits.json")
    args = parser.parse_args(argv)
    ends: dict[str, dict[str, Any]] = {}
    for loss, l2 in LOSSES:
        runs = measured(loss, l2)
        ends[f"{loss}, L2 {l2:g}"] = {
            name: {"loss": [run.loss for run in outcomes], "accuracy": [run.accuracy for run in outcomes]}
            for name, outcomes in runs.items()
        }
        print(f"\n{loss}, L2 {l2:g}\n")
        print("| method | train loss | held-out | " + " | ".join(f"below {name}" for name in ALONE) + " |")
        print("| --- | --- | --- |" + " --- |" * len(ALONE))
        print("\n".join(row(name, runs) for name in runs), flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({"threads": pool().threads, "ends": ends}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
