"""Networks trained side by side: ours, scikit-learn's, PyTorch's and Levenberg-Marquardt.

::

    pip install scikit-learn torch                       # rivals of a package that is missing are left out
    OMP_NUM_THREADS=1 nice python benchmarks/training.py             # 2 seeds, 1 for Fashion-MNIST
    OMP_NUM_THREADS=1 nice python benchmarks/training.py --seeds 5   # as published
    OMP_NUM_THREADS=1 nice python benchmarks/training.py --only digits,friedman1 --budget 100
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
import statistics
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from arena import table
from training_contenders import ONLY_LARGE, OURS, RIVALS, Problem, Trace, run_to_end, takes_part
from training_data import DATA

from twophase_min.networks import MLP

L2 = {"cross_entropy": 1e-5, "half_mse": 1e-5}
POINTS = 120
"""Points kept of a trace: the lowest loss so far, evenly over the cost."""
DEFAULT = "two-phase, default"
Cells = dict[str, dict[str, Any]]


def problems(only: list[str] | None) -> list[tuple[str, str]]:
    """Return (data set, loss) of all problems."""
    names = [name for name in DATA if only is None or name in only]
    regressions = ("diabetes", "friedman1", "california")
    return [
        (name, loss)
        for name in names
        for loss in (("half_mse",) if name in regressions else ("cross_entropy", "half_mse"))
    ]


def contenders() -> list[str]:
    """Return those whose packages are installed, our default first."""
    return [name for name in {**OURS, **RIVALS} if "PyTorch" not in name or find_spec("torch")]


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
        key = f"{name}|{loss}|{seed}|{budget:g}|{contender}"
        if not takes_part(contender, problem):
            continue
        if key not in cells:
            if contender in OURS and contender not in warm:  # compiled before the clock runs
                warm.add(contender)
                run_to_end(OURS[contender], problem._replace(budget=60.0), Trace(60.0))
            trace = run_to_end((OURS | RIVALS)[contender], problem, Trace(budget, seconds))
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


# -- reading the cells ---------------------------------------------------------------------------------------


def at_cost(cell: dict[str, Any], cost: float) -> tuple[float, float]:
    """Return (loss, seconds) where so much has been spent; a run that has ended stays where it is."""
    rows = [row for row in cell["trace"] if row[0] <= cost] or cell["trace"][:1]
    return rows[-1][2], rows[-1][1]


def at_seconds(cell: dict[str, Any], seconds: float) -> float:
    """Return the loss after so many seconds."""
    return ([row for row in cell["trace"] if row[1] <= seconds] or cell["trace"][:1])[-1][2]


def until(cell: dict[str, Any], loss: float) -> float:
    """Return the seconds until the loss is reached; infinite if it is not."""
    return next((row[1] for row in cell["trace"] if row[2] <= loss), np.inf)


def geometric(values: list[float]) -> float:
    """Return the geometric mean."""
    return float(np.exp(np.mean(np.log(values)))) if values else np.nan


def grouped(cells: Cells) -> dict[tuple[str, str, str], dict[str, dict[str, Any]]]:
    """Return contender -> cell by (data set, loss, seed); budgets are not mixed, the largest counts."""
    budgets = {float(key.split("|")[3]) for key in cells}
    groups: dict[tuple[str, str, str], dict[str, dict[str, Any]]] = {}
    for budget in sorted(budgets):
        for key, cell in cells.items():
            name, loss, seed, given, contender = key.split("|")
            if float(given) == budget:
                groups.setdefault((name, loss, seed), {})[contender] = cell | {"budget": budget}
    return {key: group for key, group in groups.items() if DEFAULT in group}


def report(cells: Cells) -> None:
    """Print the tables."""
    groups = grouped(cells)
    names = [name for name in {**OURS, **RIVALS} if any(name in group for group in groups.values())]
    best_ours = min(
        (name for name in names if name in OURS and name not in (DEFAULT, *ONLY_LARGE)),
        key=lambda name: _overall(groups, name),
    )
    cases = sorted({key[:2] for key in groups}, key=lambda case: list(DATA).index(case[0]))
    print("\nTraining loss when the budget is spent, median over the seeds:\n")
    rows = []
    for case in cases:
        several = [group for key, group in groups.items() if key[:2] == case]
        parameters = next(iter(several[0].values()))["n_params"]
        row = [case[0], case[1], f"{several[0][DEFAULT]['budget']:g}", str(parameters), str(len(several))]
        rows.append(row + [_median(several, name, lambda c: at_cost(c, c["budget"])[0]) for name in names])
    head = ["data", "loss", "budget", "weights", "seeds", *names]
    print(table(head, rows))
    print("\nScore held out, median:\n")
    rows = []
    for case in cases:
        several = [group for key, group in groups.items() if key[:2] == case]
        rows.append([*case] + [_median(several, name, lambda c: c["score"], ".3f") for name in names])
    print(table(["data", "loss", *names], rows))
    print("\nOver the best rival of each problem (below 1: ours is lower):\n")
    rows = []
    for ours in (name for name in names if name in OURS):
        several = {key: group for key, group in groups.items() if ours in group}
        rows.append([ours, str(len(several)), *_against(several, names, ours)[-1][1:]])
    print(table(["ours", "problems and seeds", "at equal cost", "worst", "at equal seconds", "worst"], rows))
    for ours in dict.fromkeys((DEFAULT, best_ours)):
        print(
            f"\n**{ours}** over each rival (below 1: ours is lower), over {len(groups)} problems and seeds:\n"
        )
        print(
            table(
                ["rival", "at equal cost", "worst", "at equal seconds", "worst"],
                _against(groups, names, ours),
            )
        )
        print(f"\n{_times(groups, ours)}")


def _overall(groups: Any, name: str) -> float:
    return geometric(
        [at_cost(g[name], g[name]["budget"])[0] / g[DEFAULT]["loss"] for g in groups.values() if name in g]
    )


def _median(groups: list[Any], name: str, read: Any, form: str = ".3g") -> str:
    values = [read(group[name]) for group in groups if name in group]
    return format(statistics.median(values), form) if values else ""


def _against(groups: Any, names: list[str], ours: str) -> list[list[str]]:
    rows = []
    rivals: list[tuple[str, list[str]]] = [(name, [name]) for name in names if name in RIVALS]
    for label, pool in [
        *rivals,
        ("the best rival of each problem", [name for name in names if name in RIVALS]),
    ]:
        cost, seconds = {}, {}
        for key, group in groups.items():
            theirs = [group[name] for name in pool if name in group]
            if not theirs or ours not in group:
                continue
            mine, budget = group[ours], group[ours]["budget"]
            limit = at_cost(mine, budget)[1]
            cost[key] = at_cost(mine, budget)[0] / min(at_cost(cell, budget)[0] for cell in theirs)
            seconds[key] = at_seconds(mine, limit) / min(at_seconds(cell, limit) for cell in theirs)
        row = [label]
        for ratios in (cost, seconds):
            if ratios:
                worst = max(ratios, key=ratios.__getitem__)
                row += [f"{geometric(list(ratios.values())):.3g}", f"{ratios[worst]:.3g} ({'/'.join(worst)})"]
        rows.append(row)
    return rows


def _times(groups: Any, ours: str) -> str:
    """Say in what share of the time of scikit-learn's adam its own last loss is reached."""
    shares = []
    for group in groups.values():
        if "scikit-learn, adam" in group and ours in group:
            theirs = group["scikit-learn, adam"]
            loss, seconds = at_cost(theirs, theirs["budget"])
            shares.append(until(group[ours], loss) / seconds)
    reached = [share for share in shares if np.isfinite(share)]
    if not reached:
        return ""
    return (
        f"The loss of scikit-learn's adam at the end of the budget is reached in {geometric(reached):.2g} of "
        f"its time (worst {max(reached):.2g}; not reached in {len(shares) - len(reached)} of {len(shares)})."
    )


def main() -> None:
    """Measure what is missing, and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2, help="0 to this, for all but Fashion-MNIST")
    parser.add_argument("--fashion-seeds", type=int, help="default half of --seeds")
    parser.add_argument("--only", help="data sets, separated by commas")
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
    report(cells)


if __name__ == "__main__":
    main()
