"""Everyday minimisations: evaluations until a run stops by itself, successes and right answers.

The problems are named in ``everyday_problems.py``: seeded instances of ten families in two halves, A for tuning
and B for judging. Every solver gets the same gradient tolerance (largest absolute entry, SciPy's default 1e-5)
and at most 20,000 evaluations; a value and a gradient cost one each, see ``contenders.py``. One command runs
everything::

    python benchmarks/everyday.py --half A

A run is a *success* when the gradient test holds at the point that it returned by itself. Its *answer is right*
when the value there is at most ``f_best + 1e-6 (f0 - f_best)``, f_best being the lowest value that any solver of
the pool returned. In families with many minima (clusters, networks, equations) an answer is right when the
gradient test holds and at least half of that decrease was made; for clusters the energy must be negative, too.

Calls at stop are compared by geometric means of ratios to the best single peer, the one whose own mean is the
lowest with what did not succeed charged at the budget: *both* over the problems on which both succeeded,
*charged* over all, what did not succeed charged at the budget.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import contenders  # the neighbour: limits the threads, and finds the package in a checkout
import numpy as np
from arena import table
from contenders import HERE, SOLVERS
from everyday_problems import FAMILIES, Problem, names

PEERS = ("scipy-cg", "scipy-bfgs", "scipy-lbfgsb", "nlopt-lbfgs", "cg-descent", "cg-descent-0")
OURS = (
    "memory-cg",
    "twophase",
    "twophase-unguarded",
    "twophase+memory-cg",
    "twophase+memory-cg-unguarded",
)
PRICES = (
    ("guard, twophase", "twophase", "twophase-unguarded"),
    ("guard, twophase+memory-cg", "twophase+memory-cg", "twophase+memory-cg-unguarded"),
    ("twophase / memory-cg", "twophase", "memory-cg"),
    ("twophase+memory-cg / memory-cg", "twophase+memory-cg", "memory-cg"),
)
"""Title, the solver whose calls are divided, and the solver by whose calls."""
SAME = 1e-6
"""Part of the decrease within which two values are the same answer."""

Runs = dict[str, dict[str, Any]]

# ---- running


def run_one(solver: str, name: str, budget: int, seconds: float, gtol: float) -> dict[str, Any]:
    """Run a solver on a problem; see `contenders.run_one`, without the trace and with n and f0."""
    problem = Problem(name)
    record = contenders.run_one(solver, problem, budget, seconds, gtol)
    del record["evals"], record["f"]
    return {**record, "n": problem.x0.size, "f0": problem.fun(problem.x0)}


def run_all(
    solvers: list[str], problems: list[str], budget: int, seconds: float, gtol: float, jobs: int
) -> Runs:
    """Run every solver on every problem in so many processes: solver -> problem -> record."""
    runs: Runs = {s: {} for s in solvers}
    began = time.perf_counter()
    with ProcessPoolExecutor(jobs) as pool:
        tasks = {pool.submit(run_one, s, p, budget, seconds, gtol): (s, p) for p in problems for s in solvers}
        for future in as_completed(tasks):
            s, p = tasks[future]
            runs[s][p] = future.result()
    print(f"{len(tasks)} runs in {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return runs


# ---- judging


def success(record: dict[str, Any], gtol: float) -> bool:
    """Whether the run stopped by itself where the gradient test holds."""
    return record["stop"] == "returned" and record["gmax"] is not None and record["gmax"] <= gtol * (1 + 1e-9)


def best_values(runs: Runs, problems: list[str]) -> dict[str, float]:
    """Lowest finite value that a solver returned, problem by problem; f0 where there is none."""
    best = {}
    for p in problems:
        values = [r[p]["fx"] for r in runs.values() if p in r and r[p]["fx"] is not None]
        best[p] = min([v for v in values if np.isfinite(v)], default=next(iter(runs.values()))[p]["f0"])
    return best


def right(name: str, record: dict[str, Any], best: float, gtol: float) -> bool:
    """Whether the answer is right, by the rule of the problem's family."""
    if record["fx"] is None or not np.isfinite(record["fx"]):
        return False
    family = FAMILIES[name.split("/")[0]]
    decrease = record["f0"] - best
    if family.many:
        low = record["fx"] <= best + 0.5 * decrease and record["fx"] < family.below
        return success(record, gtol) and low
    return bool(record["fx"] <= best + SAME * decrease)


def calls(record: dict[str, Any]) -> int:
    """Evaluations until the run stopped."""
    return record["nfev"] + record["njev"]


def charged(record: dict[str, Any], settings: dict[str, Any]) -> int:
    """Evaluations until the run stopped, or the budget where it did not succeed."""
    return calls(record) if success(record, settings["gtol"]) else settings["budget"]


def mean_ratio(ratios: list[float]) -> float:
    """Geometric mean; NaN of nothing."""
    return float(np.exp(np.mean(np.log(ratios)))) if ratios else float("nan")


def best_peer(runs: Runs, problems: list[str], settings: dict[str, Any]) -> str:
    """Choose the peer with the lowest geometric mean of charged evaluations; any solver without peers."""
    pool = [s for s in PEERS if s in runs] or list(runs)
    return min(pool, key=lambda s: mean_ratio([charged(runs[s][p], settings) for p in problems]))


def ratios_where_both(
    runs: Runs, problems: list[str], over: str, under: str, gtol: float
) -> dict[str, float]:
    """Calls of one solver over those of another on the problems on which both succeeded."""
    return {
        p: calls(runs[over][p]) / calls(runs[under][p])
        for p in problems
        if success(runs[over][p], gtol) and success(runs[under][p], gtol)
    }


# ---- reporting


def solver_rows(runs: Runs, problems: list[str], peer: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Sum up every solver over some problems.

    Returns
    -------
    dict
        Solver -> ``problems``, ``success``, ``right`` (numbers), ``both`` and ``charged`` (ratios to the
        peer), ``calls`` (geometric mean of the charged evaluations).
    """
    gtol, best = settings["gtol"], best_values(runs, problems)
    rows = {}
    for s, run in runs.items():
        both = ratios_where_both(runs, problems, s, peer, gtol)
        spent = [charged(run[p], settings) for p in problems]
        theirs = [charged(runs[peer][p], settings) for p in problems]
        rows[s] = {
            "problems": len(problems),
            "success": sum(success(run[p], gtol) for p in problems),
            "right": sum(right(p, run[p], best[p], gtol) for p in problems),
            "both": mean_ratio(list(both.values())),
            "charged": mean_ratio([a / b for a, b in zip(spent, theirs, strict=True)]),
            "calls": mean_ratio([float(c) for c in spent]),
        }
    return rows


def price_rows(runs: Runs, groups: dict[str, list[str]], gtol: float) -> list[list[str]]:
    """Rows of the table of prices: mean and worst ratio by family, and who alone succeeded."""
    rows = []
    for title, over, under in PRICES:
        if over not in runs or under not in runs:
            continue
        for group, problems in groups.items():
            ratios = ratios_where_both(runs, problems, over, under, gtol)
            if not ratios:
                continue
            worst = max(ratios, key=lambda p: ratios[p])
            alone = [sum(success(runs[s][p], gtol) for p in problems) - len(ratios) for s in (over, under)]
            above = sum(r > 1.5 for r in ratios.values())
            row = [f"{mean_ratio(list(ratios.values())):.2f}", f"{ratios[worst]:.2f} ({worst.split('/')[1]})"]
            rows.append([title, group, *row, f"{above} of {len(ratios)}", f"{alone[0]} : {alone[1]}"])
    return rows


def report(runs: Runs, problems: list[str], settings: dict[str, Any], verbose: bool = False) -> None:
    """Print the tables."""
    gtol = settings["gtol"]
    groups = {f: [p for p in problems if p.startswith(f"{f}/")] for f in FAMILIES}
    groups = {f: members for f, members in groups.items() if members} | {"all": problems}
    peer = best_peer(runs, problems, settings)
    rows = {f: solver_rows(runs, members, peer, settings) for f, members in groups.items()}
    print(f"\n{len(problems)} problems, gtol {gtol:g}, budget {settings['budget']}; best peer: {peer}\n")
    print(
        table(
            ["solver", "success", "right", "calls / peer, both", "charged", "mean calls, charged"],
            [
                [s, f"{r['success']}", f"{r['right']}", *(f"{r[k]:.2f}" for k in ("both", "charged"))]
                + [f"{r['calls']:.0f}"]
                for s, r in rows["all"].items()
            ],
        )
    )
    print(f"\nBy family: charged calls / {peer}'s (successes, right answers)\n")
    print(
        table(
            ["solver", *(f"{f} {len(groups[f])}" for f in groups)],
            [
                [
                    s,
                    *(
                        f"{rows[f][s]['charged']:.2f} ({rows[f][s]['success']}, {rows[f][s]['right']})"
                        for f in groups
                    ),
                ]
                for s in runs
            ],
        )
    )
    print("\nPrices: calls at stop over calls at stop where both succeeded\n")
    head = ["ratio", "family", "mean", "worst", "above 1.5", "succeeded alone"]
    print(table(head, price_rows(runs, groups, gtol)))
    if verbose:
        print(
            "\nCalls at stop; * no success, ! success and a wrong answer, ~ no success and the right answer\n"
        )
        print(table(["problem", "n", *runs], problem_rows(runs, problems, gtol)))


def problem_rows(runs: Runs, problems: list[str], gtol: float) -> list[list[str]]:
    """Rows of the table by problem."""
    best = best_values(runs, problems)
    rows = []
    for p in problems:
        row = [p, str(next(iter(runs.values()))[p]["n"])]
        for run in runs.values():
            done, good = success(run[p], gtol), right(p, run[p], best[p], gtol)
            row.append(f"{calls(run[p])}{'' if done and good else '!' if done else '~' if good else '*'}")
        rows.append(row)
    return rows


def chosen(text: str | None, known: Any, default: list[str], parser: argparse.ArgumentParser) -> list[str]:
    """Split a comma-separated list of known names."""
    picked = text.split(",") if text else default
    unknown = [name for name in picked if name not in known]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
    return picked


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; see ``--help``."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--half", default="both", choices=("A", "B", "both"), help="A tuning, B judging")
    parser.add_argument("--families", help=f"comma-separated; known: {', '.join(FAMILIES)}")
    parser.add_argument("--solvers", help=f"comma-separated; known: {', '.join(SOLVERS)}")
    parser.add_argument("--budget", type=int, default=20_000, help="evaluations a run (value and gradient)")
    parser.add_argument("--seconds", type=float, default=300.0, help="wall-clock limit of a run")
    parser.add_argument("--gtol", type=float, default=1e-5, help="gradient tolerance handed to every solver")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--pool", type=Path, help="saved results: run only --solvers, judge among all in it")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "everyday.json")
    parser.add_argument("-v", "--verbose", action="store_true", help="print every problem's calls")
    args = parser.parse_args(argv)

    families = chosen(args.families, FAMILIES, list(FAMILIES), parser)
    problems = list(names(args.half, families))
    solvers = chosen(args.solvers, SOLVERS, [] if args.pool else [*PEERS, *OURS], parser)
    settings = {"budget": args.budget, "gtol": args.gtol}
    runs: Runs = {}
    if args.pool:
        saved = json.loads(args.pool.read_text())
        if saved["settings"] != settings:
            parser.error(f"the pool was run with {saved['settings']}, not {settings}")
        runs = saved["runs"]
    fresh = run_all(solvers, problems, args.budget, args.seconds, args.gtol, args.jobs)
    for s in solvers:
        runs[s] = {**runs.get(s, {}), **fresh[s]}
    if solvers:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps({"settings": settings, "runs": runs}))
        print(f"written: {args.out}", file=sys.stderr)
    shown = {s: runs[s] for s in SOLVERS if s in runs and all(p in runs[s] for p in problems)}
    report(shown, problems, settings, args.verbose)
    for s, run in shown.items():
        for p in problems:
            if run[p]["stop"] in ("error", "time"):
                print(f"{s} on {p}: {run[p]['stop']} {run[p]['message']}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
