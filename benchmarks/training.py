"""Networks trained side by side: ours, scikit-learn's, PyTorch's and Levenberg-Marquardt.

::

    pip install scikit-learn torch                       # rivals of a package that is missing are left out
    OMP_NUM_THREADS=1 nice python benchmarks/training.py             # 2 seeds, 1 for Fashion-MNIST
    OMP_NUM_THREADS=1 nice python benchmarks/training.py --only digits,wine/half_mse --budget 100
    python benchmarks/training.py --report                           # the tables of what is there

Data: `training_data.py`. Classifications by softmax cross-entropy and by squared error on one-hot targets,
regressions by squared error; one hidden layer of tanh units, float64, one thread, the same weights at the
start and the same L2 penalty for all. A seed sets the split, the weights and the mini-batches. Contenders and
what they are charged: `training_contenders.py`. Each problem has a budget of evaluations, default 300.

Per problem and seed the whole training loss with its penalty is compared where each contender has spent the
budget, and where each has used the processor seconds that our default takes for it; and the score on the rows
held out, accuracy or R², of the best weights within the budget. Cells are kept in results/training.json as
they come; a run that was broken off goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from training_contenders import LONGER, OURS, RIVALS, TIMES, Problem, Trace, run_to_end, takes_part
from training_data import DATA
from training_report import DEFAULT, Cells, at_cost, parts

from twophase_min.networks import MLP

L2 = {"cross_entropy": 1e-5, "half_mse": 1e-5}
POINTS = 120
"""Points kept of a trace: the lowest loss so far, evenly over the cost."""


def problems(only: list[str] | None) -> list[tuple[str, str]]:
    """Return (data set, loss) of all problems, or of those named by data set or as ``data/loss``."""
    regressions = ("diabetes", "friedman1", "houses")
    return [
        (name, loss)
        for name in DATA
        for loss in (("half_mse",) if name in regressions else ("cross_entropy", "half_mse"))
        if only is None or name in only or f"{name}/{loss}" in only
    ]


def contenders() -> list[str]:
    """Return those whose packages are installed, our default first."""
    return [name for name in {**OURS, **RIVALS, **LONGER} if "PyTorch" not in name or find_spec("torch")]


def measure(name: str, loss: str, seed: int, budget: float, cells: Cells, save: Any, warm: set[str]) -> None:
    """Run every contender of one problem and seed that has no cell yet."""
    load, hidden = DATA[name]
    data = load(seed)
    outputs = data.classes or data.y.shape[1]
    net = MLP([data.X.shape[1], hidden, outputs], "tanh", loss, l2=L2[loss])
    problem = Problem(
        net,
        net.objective(data.X, data.y),
        data.X,
        data.y,
        net.init(seed),
        seed,
        budget,
        data.classes,
        loss,
    )
    problem.objective(problem.start)  # imports and threads that come at the first call
    seconds = 0.0
    for contender in contenders():
        spends = budget * TIMES if contender in LONGER else budget
        key = f"{name}|{loss}|{seed}|{spends:g}|{contender}"
        if not takes_part(contender, problem):
            continue
        if key not in cells:
            run = (OURS | RIVALS | LONGER)[contender]
            if contender not in warm:  # compiled and imported before the clock runs
                warm.add(contender)
                few = 60.0 if contender in OURS else 2.0
                run_to_end(run, problem._replace(budget=few), Trace(few))
            trace = run_to_end(run, problem._replace(budget=spends), Trace(spends, seconds))
            cells[key] = {
                "trace": thinned(trace.rows),
                "loss": trace.best,
                "score": score(net, trace.w, data),
                "seconds": trace.rows[-1][1],
                "cost": trace.cost,
                "n_params": net.n_params,
            }
            save()
        if contender == DEFAULT:
            seconds = at_cost(cells[key], budget)[1]


def thinned(rows: list[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    """Return the lowest loss so far at some points of the trace."""
    values = np.minimum.accumulate([row[2] for row in rows])
    best = [(cost, seconds, float(f)) for (cost, seconds, _), f in zip(rows, values, strict=True)]
    kept = np.unique(np.linspace(0, len(best) - 1, POINTS).round().astype(int))
    return [best[i] for i in kept]


def score(net: MLP, w: np.ndarray, data: Any) -> float:
    """Return accuracy or R² on the rows held out."""
    if data.classes:
        return float((net.predict_classes(w, data.X_out) == data.y_out).mean())
    z = net.forward(w, data.X_out)
    return float(1 - ((z - data.y_out) ** 2).sum() / ((data.y_out - data.y_out.mean()) ** 2).sum())


def main() -> None:
    """Measure what is missing, and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2, help="0 to this, for all but Fashion-MNIST")
    parser.add_argument("--fashion-seeds", type=int, help="default half of --seeds")
    parser.add_argument("--only", help="data sets, or data/loss, separated by commas")
    parser.add_argument("--budget", type=float, default=300.0, help="a third of it for Fashion-MNIST")
    parser.add_argument("--report", action="store_true", help="measure nothing")
    parser.add_argument("--out", default=str(Path(__file__).parent / "results" / "training.json"))
    arguments = parser.parse_args()
    if not arguments.report and os.environ.get("OMP_NUM_THREADS") != "1":
        raise SystemExit("set OMP_NUM_THREADS=1: processor seconds are compared")
    path = Path(arguments.out)
    cells: Cells = json.loads(path.read_text()) if path.exists() else {}

    def save() -> None:
        path.parent.mkdir(exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(json.dumps(cells))
        new.replace(path)

    only = arguments.only.split(",") if arguments.only else None
    warm: set[str] = set()
    fewer = -(-arguments.seeds // 2) if arguments.fashion_seeds is None else arguments.fashion_seeds
    for seed in range(0 if arguments.report else arguments.seeds):
        for name, loss in problems(only):
            if name == "fashion" and seed >= fewer:
                continue
            began = time.perf_counter()
            budget = arguments.budget / 3 if name == "fashion" else arguments.budget
            try:
                measure(name, loss, seed, budget, cells, save, warm)
            except OSError as error:
                print(f"{name}: left out, {error}", file=sys.stderr)
                continue
            print(f"{name} {loss} {seed}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    for part in parts(cells).values():
        print(f"\n{part}")


if __name__ == "__main__":
    main()
