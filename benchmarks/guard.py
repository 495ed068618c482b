"""How far the two-phase method falls behind the better of its two phases alone.

One command trains small networks on whole-data objectives and prints the tables::

    python benchmarks/guard.py

Adam alone (with the package's automatic learning rate, and with a grid of fixed ones), the convex method
alone (one Adam step, then a handover without a guard) and the two-phase method share a start and a budget; a
value and a gradient cost one evaluation each. For every run, **behind** is the smallest fraction b of the
budget with

    two-phase(budget) <= better of (Adam alone, convex alone) after (1 - b) budget,

0 when the two-phase run ends at or below both. Values within 1e-6 of the loss at the start are taken as
equal: below that, runs that have all converged differ by where exactly they stopped. ``--cutest FILE``
computes the same from what ``benchmarks/cutest.py`` has saved, with runs of ``adam``, ``scipy-cg``,
``memory-cg``, ``twophase`` and ``twophase+memory-cg``.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # the processes share the cores, not the threads of one

import numpy as np  # noqa: E402

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:
    sys.path.insert(0, str(HERE.parent))  # run from a checkout without installing

FASHION = Path("/usr/share/datasets/fashion-mnist")  # where Debian's dataset-fashion-mnist puts it
LAYERS = {"digits": [64, 32, 10], "fashion": [784, 32, 10]}
LOSSES = ("cross_entropy", "mse")
LIMIT = 0.2
"""The most that the two-phase method may be behind."""
TIE = 1e-6
"""Values closer than this share of the value (CUTEst: of the decrease) at the start are equal."""
RATES = (1e-3, 3e-3, 1e-2, 3e-2)
CHECKPOINTS = (0.1, 0.25, 0.5)
"""Shares of the budget at which the same runs are judged too, as if it had been smaller."""
PAIRS = {"twophase": ("adam", "cg"), "twophase+memory-cg": ("adam", "memory-cg")}
"""Two-phase method, and the two that it is held against."""
CUTEST_PAIRS = {"twophase": ("adam", "scipy-cg"), "twophase+memory-cg": ("adam", "memory-cg")}

Curve = tuple[list[float], list[float]]
"""Evaluations at each new best value, and that value."""


def methods(rates: tuple[float, ...]) -> dict[str, dict[str, Any]]:
    """Options of every method by its name."""
    alone = {"swap": 1, "guard": False}
    return {
        "adam": {"swap": "never"},
        **{f"adam {rate:g}": {"swap": "never", "learning_rate": rate} for rate in rates},
        "cg": {**alone, "convex_method": "CG"},
        "memory-cg": {**alone, "convex_method": "memory-cg"},
        "twophase": {},
        "twophase+memory-cg": {"convex_method": "memory-cg"},
    }


# ------------------------------------------------------------------------------------------------------ data


@functools.cache
def data(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Load inputs in [0, 1] and classes: 1,437 digits, or 4,000 images of Fashion-MNIST."""
    if name == "digits":
        from sklearn.datasets import load_digits

        X, y = load_digits(return_X_y=True)
        return X[:1437] / 16.0, y[:1437]
    with gzip.open(FASHION / "train-images-idx3-ubyte.gz") as file:
        X = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 784)[:4000] / 255.0
    with gzip.open(FASHION / "train-labels-idx1-ubyte.gz") as file:
        y = np.frombuffer(file.read(), np.uint8, offset=8)[:4000].astype(int)
    return X, y


def train(
    dataset: str, loss: str, seed: int, method: str, rates: tuple[float, ...], budget: int, l2: float
) -> Any:
    """Train one network; answers its curve, handovers and seconds."""
    from twophase_min import minimize
    from twophase_min.networks import MLP

    net = MLP(LAYERS[dataset], activation="tanh", loss=loss, output="softmax", l2=l2)
    options = {"maxfun": budget // 2, "maxiter": 10**9, "gtol": 1e-12, **methods(rates)[method]}
    began = time.perf_counter()
    result = minimize(net.objective(*data(dataset)), net.init(seed), options=options)
    seconds = time.perf_counter() - began
    evals, values, best = [], [], np.inf
    for cost, f in zip(result.history.cost, result.history.fun, strict=True):
        if f < best:
            best = float(f)
            evals.append(float(cost))
            values.append(best)
    if result.fun < best:  # a trial that never became an iterate
        evals.append(float(result.nfev + result.njev))
        values.append(float(result.fun))
    swaps = [{k: swap[k] for k in ("evaluations", "from", "to", "reason")} for swap in result.swaps]
    return {
        "evals": evals,
        "f": values,
        "status": int(result.status),
        "swaps": swaps,
        "seconds": round(seconds, 2),
    }


# --------------------------------------------------------------------------------------------------- judging


def behind(two_phase: Curve, others: list[Curve], budget: float, tie: float = 0.0) -> float:
    """Fraction of the budget by which a run is behind the better of others.

    Parameters
    ----------
    two_phase, others : (evaluations, values)
        Best values as a step function of the evaluations.
    budget : float
        Evaluations.
    tie : float, default 0
        Difference of values that does not count. Unit f.

    Returns
    -------
    float
        In [0, 1].
    """
    reached = min((f for e, f in zip(*two_phase, strict=True) if e <= budget), default=np.inf)
    earliest = min(
        (e for evals, values in others for e, f in zip(evals, values, strict=True) if f < reached - tie),
        default=budget,
    )
    return max(0.0, 1.0 - earliest / budget)


def _curve(run: dict[str, Any]) -> Curve:
    return run["evals"], run["f"]


def _spread(values: list[float], form: str) -> str:
    return f"{np.median(values):{form}} (worst {np.max(values):{form}})"


def judge_networks(runs: dict[str, Any], budget: int) -> dict[str, Any]:
    """Per method: final losses; per two-phase method: how far behind, and on which side of the better one.

    Parameters
    ----------
    runs : dict
        ``runs[seed][method]``, one dataset and loss.
    budget : int
        Evaluations.
    """
    names = list(next(iter(runs.values())))
    out: dict[str, Any] = {"final": {}, "behind": {}, "behind earlier": {}, "behind tuned": {}, "side": {}}
    for name in names:
        out["final"][name] = [run[name]["f"][-1] for run in runs.values()]
    ties = [TIE * run["adam"]["f"][0] for run in runs.values()]
    for name, pair in PAIRS.items():
        rates = [n for n in names if n.startswith("adam")]  # the best of them in hindsight
        late = [
            [
                behind(_curve(run[name]), [_curve(run[other]) for other in pair], share * budget, tie)
                for run, tie in zip(runs.values(), ties, strict=True)
            ]
            for share in (*CHECKPOINTS, 1.0)
        ]
        out["behind"][name] = late.pop()
        out["behind earlier"][name] = dict(zip(map(str, CHECKPOINTS), late, strict=True))
        out["behind tuned"][name] = [
            behind(_curve(run[name]), [_curve(run[other]) for other in (*rates, pair[1])], budget, tie)
            for run, tie in zip(runs.values(), ties, strict=True)
        ]
        gaps = [run[name]["f"][-1] - min(run[other]["f"][-1] for other in pair) for run in runs.values()]
        out["side"][name] = [
            0 if abs(gap) <= tie else int(np.sign(gap)) for gap, tie in zip(gaps, ties, strict=True)
        ]
    return out


def print_networks(title: str, runs: dict[str, Any], judged: dict[str, Any], budget: int) -> None:
    """Print the table of one dataset and loss."""
    print(f"\n{title}: {len(runs)} seeds, {budget} evaluations, final loss and its worst seed")
    for name, losses in judged["final"].items():
        line = f"  {name:20s} {_spread(losses, '.3e')}"
        if name in PAIRS:
            late = judged["behind"][name]
            line += f" | behind {_spread(late, '.0%')}, {sum(b > LIMIT for b in late)} beyond {LIMIT:.0%}"
            side = judged["side"][name]
            line += f"; below both {side.count(-1)}, level {side.count(0)}, above {side.count(1)}"
            line += (
                "\n" + 24 * " " + f"with tuned rates: behind {_spread(judged['behind tuned'][name], '.0%')}"
            )
            for share, values in judged["behind earlier"][name].items():
                line += f"; at {float(share):.0%} of the budget: {_spread(values, '.0%')}"
        print(line)


def judge_cutest(saved: dict[str, Any]) -> dict[str, Any]:
    """How far behind the two-phase methods are, problem by problem, in a pool of ``benchmarks/cutest.py``."""
    budget, out = float(saved["settings"]["budget"]), {}
    for name, pair in CUTEST_PAIRS.items():
        if not all(s in saved["runs"] for s in (name, *pair)):
            continue
        late: dict[str, float] = {}
        for problem, facts in sorted(saved["problems"].items()):
            runs = [saved["runs"][s].get(problem) for s in (name, *pair)]
            if any(run is None for run in runs):
                continue
            start = ([1.0], [facts["f0"]])
            mine, *others = [_curve(run) if run["f"] else start for run in runs]
            best = min(curve[1][-1] for curve in (mine, *others))
            late[problem] = behind(mine, others, budget, TIE * max(0.0, facts["f0"] - best))
        out[name] = late
    return out


def print_cutest(judged: dict[str, Any]) -> None:
    """Print the summary, and every problem beyond the limit."""
    for name, late in judged.items():
        if not late:
            continue
        beyond = {p: b for p, b in late.items() if b > LIMIT}
        print(
            f"\nCUTEst, {name} against {' and '.join(CUTEST_PAIRS[name])}: {len(late)} problems, behind "
            f"{_spread(list(late.values()), '.0%')}, on {sum(b > 0 for b in late.values())} at all, "
            f"on {len(beyond)} beyond {LIMIT:.0%}"
        )
        for problem, b in sorted(beyond.items(), key=lambda item: -item[1]):
            print(f"  {problem:14s} {b:.0%}")


# --------------------------------------------------------------------------------------------------- running


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; see ``--help``."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--datasets", default="digits", help="comma-separated: digits, fashion; or none")
    parser.add_argument("--losses", default=",".join(LOSSES), help="comma-separated")
    parser.add_argument("--seeds", default="0,1,2,3,4", help="comma-separated, of the initial weights")
    parser.add_argument(
        "--budget", type=int, default=1200, help="evaluations; a value and a gradient are two"
    )
    parser.add_argument(
        "--rates", default=",".join(map(str, RATES)), help="fixed learning rates, may be empty"
    )
    parser.add_argument("--l2", default="0,1e-4", help="comma-separated weight decays of the loss")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--cutest", type=Path, help="results of benchmarks/cutest.py to judge as well")
    parser.add_argument("--judge", action="store_true", help="print what is saved; run nothing")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "guard.json")
    args = parser.parse_args(argv)

    kept = args.out.with_name(args.out.stem + "_runs.json")
    saved: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    rates = tuple(float(rate) for rate in args.rates.split(",") if rate)
    datasets = [] if args.judge else [name for name in args.datasets.split(",") if name not in ("", "none")]
    if "fashion" in datasets and not FASHION.is_dir():
        print(f"no {FASHION}: without Fashion-MNIST", file=sys.stderr)
        datasets.remove("fashion")
    tasks = [
        (dataset, loss, int(seed), method, rates, args.budget, float(l2))
        for dataset in datasets
        for loss in args.losses.split(",")
        for l2 in args.l2.split(",")
        for seed in args.seeds.split(",")
        for method in methods(rates)
    ]
    results: dict[str, Any] = {}
    with ProcessPoolExecutor(args.jobs) as pool:
        pending = {pool.submit(train, *task): task for task in tasks}
        for done, future in enumerate(as_completed(pending), 1):
            dataset, loss, seed, method, _, _, l2 = pending[future]
            title = f"{dataset}, {loss}" + (f", weight decay {l2:g}" if l2 else "")
            cell = results.setdefault(title, {}).setdefault(str(seed), {})
            cell[method] = future.result()
            if done % 10 == 0 or done == len(tasks):
                print(f"  {done}/{len(tasks)} runs", file=sys.stderr)
    for title, runs in results.items():
        ordered = {seed: {name: runs[seed][name] for name in methods(rates)} for seed in sorted(runs)}
        saved[title] = {"budget": args.budget, "runs": ordered}
    summary: dict[str, Any] = {}
    for title, entry in saved.items():
        if title != "cutest":
            judged = judge_networks(entry["runs"], entry["budget"])
            summary[title] = {"budget": entry["budget"], "seeds": list(entry["runs"]), **judged}
            if args.judge or title in results:
                print_networks(title, entry["runs"], judged, entry["budget"])
    if args.cutest:
        saved["cutest"] = judge_cutest(json.loads(args.cutest.read_text()))
    if args.cutest or (args.judge and "cutest" in saved):
        print_cutest(saved["cutest"])
    if "cutest" in saved:
        summary["cutest"] = {
            name: {p: b for p, b in late.items() if b} for name, late in saved["cutest"].items()
        }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(summary, indent=1) + "\n")
    kept.write_text(json.dumps(saved) + "\n")
    print(f"\nwritten: {args.out} (the summary), {kept} (every run)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
