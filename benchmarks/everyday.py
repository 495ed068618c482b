"""Everyday minimisations: evaluations until a run stops by itself, successes and right answers.

The problems are those of ``everyday_problems.py``: seeded instances of ten families in two halves, A for
tuning and B for judging. Every solver gets the same gradient tolerance (on the largest absolute entry, 1e-5
as SciPy's default) and at most 20,000 evaluations; a value and a gradient cost one each, and a second request
at the same point is free. One command runs everything::

    python benchmarks/everyday.py --half A

A run is a *success* when it returned by itself and the gradient test holds at the point that it returned. Its
answer is *right* when the value there is at most ``f_best + 1e-6 (f0 - f_best)``, f_best being the lowest
value that any solver of the pool returned. In the families with many minima (clusters, networks, equations)
an answer is right when the gradient test holds and at least half of that decrease was made; for clusters the
energy must be negative, too. A problem is *solved* by a success with the right answer.

Calls at stop are compared by geometric means of ratios to the best single peer. *both* is over the problems
that both solve, *charged* over all, a problem that was not solved charged at the budget. The best peer is the
one with the fewest charged calls in the geometric mean.
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
    """Count the evaluations until the run stopped."""
    return record["nfev"] + record["njev"]


def mean_ratio(ratios: list[float]) -> float:
    """Geometric mean; NaN of nothing."""
    return float(np.exp(np.mean(np.log(ratios)))) if ratios else float("nan")


class Judged:
    """Runs of one set of problems with their verdicts.

    Parameters
    ----------
    runs : dict
        Solver -> problem -> record; every solver has run every problem.
    problems : list of str
        Names.
    settings : dict
        ``gtol`` and ``budget`` of the runs.

    Attributes
    ----------
    success, right, solved : dict
        (solver, problem) -> bool.
    charged : dict
        (solver, problem) -> evaluations until the stop, or the budget where the problem was not solved.
    peer : str
        The best peer; the best solver where there is no peer.
    """

    def __init__(self, runs: Runs, problems: list[str], settings: dict[str, Any]):
        self.runs, self.problems, self.settings = runs, problems, settings
        best, gtol = best_values(runs, problems), settings["gtol"]
        pairs = [(s, p) for s in runs for p in problems]
        self.success = {(s, p): success(runs[s][p], gtol) for s, p in pairs}
        self.right = {(s, p): right(p, runs[s][p], best[p], gtol) for s, p in pairs}
        self.solved = {pair: self.success[pair] and self.right[pair] for pair in pairs}
        self.charged = {
            (s, p): calls(runs[s][p]) if self.solved[s, p] else settings["budget"] for s, p in pairs
        }
        pool = [s for s in PEERS if s in runs] or list(runs)
        self.peer = min(pool, key=lambda s: mean_ratio([self.charged[s, p] for p in problems]))

    def both(self, over: str, under: str, problems: list[str]) -> dict[str, float]:
        """Divide the calls of one solver by those of another, on the problems that both solved."""
        return {
            p: self.charged[over, p] / self.charged[under, p]
            for p in problems
            if self.solved[over, p] and self.solved[under, p]
        }

    def summary(self, problems: list[str]) -> dict[str, dict[str, float]]:
        """Sum up every solver over some of the problems.

        Returns
        -------
        dict
            Solver -> ``success``, ``right``, ``solved`` (numbers of problems), ``both`` and ``charged``
            (ratios to the best peer), ``calls`` (geometric mean of the charged evaluations).
        """
        out = {}
        for s in self.runs:
            spent = [float(self.charged[s, p]) for p in problems]
            theirs = [self.charged[self.peer, p] for p in problems]
            out[s] = {
                "success": sum(self.success[s, p] for p in problems),
                "right": sum(self.right[s, p] for p in problems),
                "solved": sum(self.solved[s, p] for p in problems),
                "both": mean_ratio(list(self.both(s, self.peer, problems).values())),
                "charged": mean_ratio([a / b for a, b in zip(spent, theirs, strict=True)]),
                "calls": mean_ratio(spent),
            }
        return out


# ---- reporting


def price_rows(judged: Judged, groups: dict[str, list[str]]) -> list[list[str]]:
    """Rows of the table of prices: mean and worst ratio by family, and who alone solved a problem."""
    rows = []
    for title, over, under in PRICES:
        if over not in judged.runs or under not in judged.runs:
            continue
        for group, problems in groups.items():
            ratios = judged.both(over, under, problems)
            if not ratios:
                continue
            worst = max(ratios, key=lambda p: ratios[p])
            alone = [sum(judged.solved[s, p] for p in problems) - len(ratios) for s in (over, under)]
            mean = f"{mean_ratio(list(ratios.values())):.2f}"
            above = f"{sum(r > 1.5 for r in ratios.values())} of {len(ratios)}"
            extreme = f"{ratios[worst]:.2f} ({worst.split('/')[1]})"
            rows.append([title, group, mean, extreme, above, f"{alone[0]} : {alone[1]}"])
    return rows


def problem_rows(judged: Judged) -> list[list[str]]:
    """Rows of the table by problem."""
    marks = {(True, True): "", (True, False): "!", (False, True): "~", (False, False): "*"}
    rows = []
    for p in judged.problems:
        spent = [
            f"{calls(run[p])}{marks[judged.success[s, p], judged.right[s, p]]}"
            for s, run in judged.runs.items()
        ]
        rows.append([p, str(next(iter(judged.runs.values()))[p]["n"]), *spent])
    return rows


def report(judged: Judged, verbose: bool = False) -> None:
    """Print the tables."""
    problems, peer, settings = judged.problems, judged.peer, judged.settings
    groups = {f: [p for p in problems if p.startswith(f"{f}/")] for f in FAMILIES}
    groups = {f: members for f, members in groups.items() if members} | {"all": problems}
    rows = {f: judged.summary(members) for f, members in groups.items()}
    print(f"\n{len(problems)} problems, gtol {settings['gtol']:g}, budget {settings['budget']}")
    print(f"\nAll families: calls at stop over those of the best peer, {peer}\n")
    head = ["solver", "success", "right", "solved", "calls, both", "calls, charged", "mean calls, charged"]
    lines = []
    for s, r in rows["all"].items():
        counted = [f"{r[k]:.0f}" for k in ("success", "right", "solved")]
        lines.append([s, *counted, f"{r['both']:.2f}", f"{r['charged']:.2f}", f"{r['calls']:.0f}"])
    print(table(head, lines))
    print(f"\nBy family: charged calls at stop over those of {peer} (successes, right answers)\n")
    lines = []
    for s in judged.runs:
        parts = [rows[f][s] for f in groups]
        lines.append([s, *(f"{r['charged']:.2f} ({r['success']:.0f}, {r['right']:.0f})" for r in parts)])
    print(table(["solver", *(f"{f} {len(members)}" for f, members in groups.items())], lines))
    print("\nPrices: calls at stop over calls at stop, on the problems that both solve\n")
    head = ["ratio", "family", "mean", "worst", "above 1.5", "solved alone"]
    print(table(head, price_rows(judged, groups)))
    if verbose:
        print("\nCalls at stop; ! success, wrong answer; ~ no success, right answer; * neither\n")
        print(table(["problem", "n", *judged.runs], problem_rows(judged)))


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
    for p in problems:
        if len({run[p]["f0"] for run in shown.values()}) > 1:
            parser.error(f"the pool was run on another {p}; run its solvers again")
    report(Judged(shown, problems, settings), args.verbose)
    for s, run in shown.items():
        for p in problems:
            if run[p]["stop"] in ("error", "time"):
                print(f"{s} on {p}: {run[p]['stop']} {run[p]['message']}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
