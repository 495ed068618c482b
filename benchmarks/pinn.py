"""Minimisers on physics-informed networks: final loss at equal evaluations, and at equal seconds.

    pip install ".[pinn]"
    python benchmarks/pinn.py --seeds 0,1,2,3,4 --names "=ours: default;=ours: ssbroyden, no guard"
    python benchmarks/pinn_report.py --keep --pictures

Six equations (`pinn_problems`), tanh networks in float64, whole data. One evaluation is a value with its
gradient, for everybody. Runs are appended to ``benchmarks/results/pinn.jsonl`` and not made twice, so that a
run that was broken off goes on. `--names` picks contenders by how their names begin (`contenders` has them
all). Settings are chosen on seeds 5 and 6, and judged on 0 to 4; `pinn_report.py` has the tables.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import numpy as np  # noqa: E402

HERE = Path(__file__).resolve().parent
for _path in (HERE, HERE.parent):
    if str(_path) not in sys.path:
        sys.path.insert(0, str(_path))  # run from a checkout without installing

from pinn_problems import EQUATIONS, problem  # noqa: E402
from pinn_solvers import Counted, Exhausted, contenders, optaxs  # noqa: E402

RUNS = HERE / "results" / "pinn.jsonl"
BUDGET = 3000
WARM = 60
"""Evaluations before the clock runs."""
MARKS = 48
"""Points of a curve that are kept."""

Run = dict[str, Any]


def run(name: str, equation: str, hidden: tuple[int, ...], seed: int, budget: int) -> Run:
    """Make one run; answers its end and its curve."""
    task = problem(equation, hidden, seed)
    task.both(task.x0)  # compiled here
    solver, settings = contenders()[name]
    if solver is optaxs:
        settings = {**settings, "loss": task.loss}
    with contextlib.suppress(Exhausted):  # whatever is imported or compiled by the first calls is not timed
        solver(Counted(task.both, WARM), task.x0, **settings)
    objective = Counted(task.both, budget)
    swaps = []
    try:
        result = solver(objective, task.x0, **settings)
        if hasattr(result, "swaps"):
            swaps = [[swap["to"], swap["evaluations"]] for swap in result.swaps]
    except Exhausted:
        pass
    seconds = objective.seconds
    trace = np.array(objective.trace)
    marks = np.unique(np.geomspace(1, budget, MARKS).round())
    at = np.searchsorted(trace[:, 0], marks, side="right") - 1
    curve = [
        [int(mark), *(float(f"{v:.4g}") for v in trace[i, 1:])]
        for mark, i in zip(marks, at, strict=True)
        if i >= 0
    ]
    return {
        "name": name,
        "equation": equation,
        "hidden": list(hidden),
        "seed": seed,
        "budget": budget,
        "calls": objective.calls,
        "loss": objective.best,
        "error": task.error(objective.best_x),
        "seconds": round(seconds, 3),
        "swaps": swaps,
        "curve": curve,
    }


def key(row: Run) -> tuple[Any, ...]:
    """Return what tells a run from the others."""
    return row["name"], row["equation"], tuple(row["hidden"]), row["seed"], row["budget"]


def load(path: Path = RUNS) -> dict[tuple[Any, ...], Run]:
    """Return the runs made so far."""
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {key(row): row for row in rows}


def mean(losses: Any) -> float:
    """Geometric mean; a loss of 0 counts as 1e-32."""
    return float(np.exp(np.mean(np.log(np.maximum(losses, 1e-32)))))


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; see ``--help``."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--names", default="", help="semicolon-separated beginnings; '=' before a whole name")
    parser.add_argument("--equations", default=",".join(EQUATIONS))
    parser.add_argument("--hidden", default="16,16", help="units of the hidden layers")
    parser.add_argument("--seeds", default="5")
    parser.add_argument("--budget", type=int, default=BUDGET)
    args = parser.parse_args(argv)
    hidden = tuple(map(int, args.hidden.split(",")))
    RUNS.parent.mkdir(exist_ok=True)
    wanted = args.names.split(";")
    names = [n for n in contenders() if any(n == w[1:] if w[0] == "=" else n.startswith(w) for w in wanted)]
    done = load()
    for name in names:
        losses = []
        began = time.time()
        for equation in args.equations.split(","):
            for seed in map(int, args.seeds.split(",")):
                wants = name, equation, hidden, seed, args.budget
                if wants not in done:
                    done[wants] = run(name, equation, hidden, seed, args.budget)
                    with RUNS.open("a") as file:
                        file.write(json.dumps(done[wants]) + "\n")
                losses.append(done[wants]["loss"])
        print(
            f"{name:60s}{mean(losses):10.2e}  "
            + " ".join(f"{f:.1e}" for f in losses)
            + f"  {time.time() - began:.0f} s",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
