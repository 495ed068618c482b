"""What the parts of `memory-cg` are worth: the phase by itself, left out or changed, and other forms.

::

    python benchmarks/memory_cg_variants.py

The 38 functions of half A of `large.py` with 10, 30, 100 and 300 variables, from the usual start and from two
others, moved at random (`cutest.moved`, seeds 1 and 2). 5,000 evaluations each, a value and a gradient cost
one each; `gtol` 1e-6. Judged are the evaluations until f has come within 1e-6 of the decrease from the start
to the lowest value that any variant has seen, and until the run stops, over those of the phase as it is.

Everything goes to ``results/memory_cg_variants.json``, from which `memory_cg_variants_report.py` makes the
table of the page.
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import conditions
import contenders  # the neighbour: limits the threads, and finds the package in a checkout
import cutest
import large
import numpy as np
import scalable
from memory_cg_forms import Regularised, Subspace, TrustRegion

from twophase_min.phases import METRIC
from twophase_min.phases.memory_cg import MemoryCG

SIZES, SEEDS = (10, 30, 100, 300), (0, 1, 2)
BUDGET, GTOL, TAU = 5000, 1e-6, 1e-6


class Multiple(MemoryCG):
    """Starts the recursion from the usual multiple of the metric, not from a diagonal that learns."""

    def next(self) -> int:
        """Overwrite the diagonal, and begin the step."""
        state, view = self.state, self.view
        memory, n = state.pairs.shape[1:]
        if view.stored > 0 and memory < n:
            s, y = state.pairs[:, (view.head - 1) % memory]
            metric = state.vectors[METRIC] if self.scaled else np.ones(n)
            state.diagonal[:] = s @ y / (y @ (metric * y)) * metric
        return super().next()


VARIANTS: dict[str, tuple[type[MemoryCG], dict[str, Any]]] = {
    "as it is": (MemoryCG, {}),
    "no diagonal": (Multiple, {}),
    "no end curvature": (MemoryCG, {"end_curvature": False}),
    "neither": (Multiple, {"end_curvature": False}),
    "memory 20": (MemoryCG, {"memory": 20}),
    "memory 100": (MemoryCG, {"memory": 100}),
    "c2 0.5": (MemoryCG, {"c2": 0.5}),
    "c2 0.99": (MemoryCG, {"c2": 0.99}),
    "subspace 5": (Subspace, {"steps": 5}),
    "subspace 20": (Subspace, {"steps": 20}),
    "trust region": (TrustRegion, {}),
    "trust region anew": (TrustRegion, {"kept": False}),
    "regularised": (Regularised, {}),
}


def solver(name: str) -> contenders.Solver:
    """Return a variant as `contenders` runs it."""

    def solve(objective: contenders.Counted, x0: np.ndarray, gtol: float) -> contenders.Outcome:
        from phase_alone import minimize_memory_cg

        kind, options = VARIANTS[name]
        return minimize_memory_cg(objective.fun, objective.grad, x0, gtol=gtol, solver=kind(**options))

    return solve


contenders.SOLVERS.update({name: solver(name) for name in VARIANTS})


class Problem(large.Problem):
    """A scalable function at one dimension and start, such as ``ARWHEAD/30@1``; 0 is the usual start."""

    def __init__(self, name: str):
        usual, _, seed = name.partition("@")
        super().__init__(usual)
        if int(seed):
            with np.errstate(all="ignore"):
                self.x0 = cutest.moved(self.x0, self.fun, int(seed))


def measured(name: str) -> list[list[int | None]]:
    """Count the evaluations until solved (None: never) and until the stop; empty where x0 is stationary."""
    with np.errstate(all="ignore"):
        facts = cutest.facts_of(Problem(name))
    if not facts["gmax0"] > GTOL:
        return []
    runs = {s: {name: contenders.run_one(s, Problem(name), BUDGET, 300.0, GTOL)} for s in VARIANTS}
    _, costs = cutest.costs({name: facts}, runs, list(VARIANTS), TAU)
    return [
        [int(cost) if np.isfinite(cost) else None, runs[s][name]["nfev"] + runs[s][name]["njev"]]
        for s, cost in zip(VARIANTS, costs[0], strict=True)
    ]


def names() -> list[str]:
    """Names of all runs of a variant."""
    return [f"{function}/{n}@{seed}" for n in SIZES for function in scalable.half("A") for seed in SEEDS]


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; see ``--help``."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--out", type=Path, default=contenders.HERE / "results" / "memory_cg_variants.json")
    args = parser.parse_args(argv)
    began = conditions.begun()
    with ProcessPoolExecutor(args.jobs) as pool:
        found = list(pool.map(measured, names(), chunksize=6))
    runs = {s: [row[k] for row in found if row] for k, s in enumerate(VARIANTS)}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({"conditions": conditions.ended(began), "runs": runs}))
    print(f"{len(runs['as it is'])} runs a variant; written: {args.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
