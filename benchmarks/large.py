"""Minimisers side by side on large problems: the functions of ``scalable`` at n = 100, 1,000 and 10,000.

The evaluations are charged as in ``cutest.py``, the runs are judged as there, at tau = 1e-6::

    python benchmarks/large.py --half B

Alternate functions form the halves: on A constants may be tuned, B judges. A function whose dimension must be
a multiple of something or a square is taken at the largest such dimension up to n; a start that already
passes the gradient test is left out. Value and gradient at a point are computed together and remembered, so
the seconds of a run hold one computation a point. Printed, per dimension and over all:

- the share of problems solved, and the area under the performance profile;
- the share whose returned point passes the gradient test: what is stationary and not solved is another
  minimum than the pool's best (BROYDN7D, TOINTTRIG and others have many), or too flat for the test (MOREBV);
- evaluations until solved relative to L-BFGS-B and to CG_DESCENT, the geometric mean over the problems that
  both solve;
- evaluations until the run stopped, the geometric mean over all problems; the share that ran out of budget;
- seconds, over all problems.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import contenders  # the neighbour: limits the threads, and finds the package in a checkout
import cutest
import numpy as np
import scalable

TAU = 1e-6
REFERENCES = ("scipy-lbfgsb", "cg-descent")

CONTENDERS = (
    "scipy-cg",
    "scipy-lbfgsb",
    "scipy-lbfgsb-50",
    "nlopt-lbfgs-50",
    "cg-descent",
    "cg-descent-0",
    "optimistix-lbfgs",
    "memory-cg",
    "twophase",
    "twophase-unguarded",
    "twophase+memory-cg",
    "twophase+memory-cg-unguarded",
)
"""Solvers of `contenders` that run unless others are asked for. (NLopt, unasked, keeps 1,000 pairs: slow.)"""

PACKAGES = {
    "nlopt-lbfgs-50": "nlopt",
    "cg-descent": "pycgdescent",
    "cg-descent-0": "pycgdescent",
    "optimistix-lbfgs": "optimistix",
}
"""What contenders need; without it they are left out."""

OURS = tuple(s for s in CONTENDERS if s.startswith(("memory", "twophase")))


class Problem:
    """A scalable function at one dimension, by a name such as ``ARWHEAD/1000``.

    The value and the gradient at the last point are remembered together. What is charged does not change.
    """

    def __init__(self, name: str):
        function, n = name.split("/")
        self._function = scalable.FUNCTIONS[function]
        self.x0 = self._function.x0(self._function.size(int(n)))
        self._x: np.ndarray | None = None
        self._pair: tuple[float, np.ndarray] = (np.nan, self.x0)

    def _both(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        if self._x is None or not np.array_equal(x, self._x):
            f, g = self._function.both(x)
            self._x, self._pair = x.copy(), (float(f), g)
        return self._pair

    def fun(self, x: np.ndarray) -> float:
        """Value at ``x``."""
        return self._both(x)[0]

    def grad(self, x: np.ndarray) -> np.ndarray:
        """Gradient at ``x``."""
        return self._both(x)[1]


@cache
def _warm(solver: str) -> None:
    """Run a solver once in this process, so that no time holds imports and compilation."""
    contenders.run_one(solver, Problem("GENROSE/20"), 2000, 60.0, 1e-6)


def run_one(solver: str, problem: str, budget: int, seconds: float, gtol: float) -> dict[str, Any]:
    """Run one solver on one problem, both by name; see `contenders.run_one`."""
    _warm(solver)
    return contenders.run_one(solver, Problem(problem), budget, seconds, gtol)


def describe(problem: str) -> dict[str, Any]:
    """Size, start value and largest start gradient entry of a problem by name."""
    with np.errstate(all="ignore"):
        return cutest.facts_of(Problem(problem))


def problems_of(half: str, sizes: list[int], gtol: float) -> list[str]:
    """Names of the problems of a half, largest last, without those whose start passes the gradient test."""
    names = [f"{function}/{n}" for n in sorted(sizes) for function in scalable.half(half)]
    return [name for name in names if describe(name)["gmax0"] > gtol]


def _mean(values: np.ndarray) -> float:
    return float(np.exp(np.mean(np.log(values)))) if values.size else np.nan


def _stationary(run: dict[str, Any], gtol: float) -> bool:
    return run["gmax"] is not None and run["gmax"] <= gtol * (1 + 1e-9)


def solved(table: np.ndarray, solvers: list[str]) -> dict[str, dict[str, float]]:
    """Figures by solver from the evaluations until solved, shape (problems, solvers), inf when never."""
    profile = cutest.performance_profile(table, np.linspace(0.0, cutest.LOG2_RATIO_MAX, 501))
    out = {}
    for j, s in enumerate(solvers):
        figures = {"solved": float(np.isfinite(table[:, j]).mean()), "area": float(profile[:, j].mean())}
        for reference in REFERENCES:
            ratios = np.empty(0)
            if reference in solvers:
                other = table[:, solvers.index(reference)]
                both = np.isfinite(table[:, j]) & np.isfinite(other)
                ratios = table[both, j] / other[both]
            figures[f"to {reference}"] = _mean(ratios)
        out[s] = figures
    return out


def judge(
    facts: dict[str, Any], runs: dict[str, Any], solvers: list[str], settings: dict[str, float]
) -> dict[str, dict[str, float]]:
    """Figures by solver, as the module describes them; ``solvers`` is the pool that sets the best values."""
    names, table = cutest.costs(facts, runs, solvers, TAU)
    out = solved(table, solvers)
    for s, figures in out.items():
        mine = [runs[s][p] for p in names]
        spent = np.array([r["nfev"] + r["njev"] for r in mine], dtype=float)
        figures["at stop"] = _mean(spent)
        figures["stationary"] = float(np.mean([_stationary(r, settings["gtol"]) for r in mine]))
        figures["out of budget"] = float(np.mean(spent >= settings["budget"]))
        figures["seconds"] = float(sum(r["seconds"] for r in mine))
        figures["errors"] = sum(r["stop"] in ("error", "time") for r in mine)
        figures["false"] = sum(p in facts for p, *_ in cutest.false_claims(runs, s, settings["gtol"]))
    return out


def print_figures(title: str, figures: dict[str, dict[str, float]]) -> None:
    """Print one table."""
    print(f"\n{title}")
    print(
        f"{'solver':29s} {'solved':>7s} {'area':>6s} {'stationary':>10s} {'/L-BFGS-B':>10s} {'/CG_DESC':>9s}"
        f" {'at stop':>8s} {'budget':>8s} {'seconds':>8s} {'errors':>7s} {'false':>6s}"
    )
    for s, v in figures.items():
        print(
            f"{s:29s} {v['solved']:7.1%} {v['area']:6.3f} {v['stationary']:10.1%}"
            f" {v['to scipy-lbfgsb']:10.2f} {v['to cg-descent']:9.2f} {v['at stop']:8.0f}"
            f" {v['out of budget']:8.1%} {v['seconds']:8.1f} {v['errors']:7.0f} {v['false']:6.0f}"
        )


def report(
    facts: dict[str, Any],
    runs: dict[str, Any],
    solvers: list[str],
    settings: dict[str, float],
    verbose: bool = False,
) -> dict[str, Any]:
    """Print the tables of every dimension and of all together; returns their figures."""
    sizes = sorted({int(p.split("/")[1]) for p in facts})
    out = {}
    for size in [*sizes, None] if len(sizes) > 1 else sizes:
        some = {p: v for p, v in facts.items() if size is None or p.endswith(f"/{size}")}
        title = f"{len(some)} problems, n = {size if size else ', '.join(map(str, sizes))}, tau = {TAU:g}"
        out[str(size or "all")] = judge(some, runs, solvers, settings)
        print_figures(title, out[str(size or "all")])
    for s in solvers:
        for p in sorted(facts):
            if runs[s][p]["stop"] in ("error", "time"):
                print(f"  {s} on {p}: {runs[s][p]['stop']} {runs[s][p]['message']}")
    if verbose:
        names, table = cutest.costs(facts, runs, solvers, TAU)
        print(f"\nevaluations until solved\n{'':20s}" + "".join(f"{s[-12:]:>13s}" for s in solvers))
        for name, row in zip(names, table, strict=True):
            print(f"{name:20s}" + "".join(f"{v:13.0f}" for v in row))
    return out


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; see ``--help``."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--half", choices=("A", "B", "both"), default="A", help="A: tuning, B: judging")
    parser.add_argument("--sizes", default="100,1000,10000", help="comma-separated dimensions")
    parser.add_argument(
        "--solvers", help=f"comma-separated, or 'ours'; known: {', '.join(contenders.SOLVERS)}"
    )
    parser.add_argument("--only", help="comma-separated functions, instead of the half")
    parser.add_argument("--budget", type=int, default=5000, help="evaluations a problem (value and gradient)")
    parser.add_argument("--seconds", type=float, default=300.0, help="wall-time limit a problem and solver")
    parser.add_argument("--gtol", type=float, default=1e-6, help="gradient tolerance handed to every solver")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--pool", type=Path, help="saved results: run only --solvers, judge among all in it")
    parser.add_argument("--judge", help="comma-separated solvers to print and to take the best values from")
    parser.add_argument("--out", type=Path, default=contenders.HERE / "results" / "large.json")
    parser.add_argument("-v", "--verbose", action="store_true", help="print every problem's costs")
    args = parser.parse_args(argv)

    solvers = list(OURS) if args.solvers == "ours" else args.solvers.split(",") if args.solvers else []
    if not (args.solvers or args.pool):
        solvers = [s for s in CONTENDERS if find_spec(PACKAGES.get(s, "scipy"))]
        missing = ", ".join(s for s in CONTENDERS if s not in solvers)
        print(f"left out: {missing or 'nothing'}", file=sys.stderr)
    unknown = [s for s in solvers if s not in contenders.SOLVERS]
    if unknown:
        parser.error(f"unknown solver {', '.join(unknown)}; known: {', '.join(contenders.SOLVERS)}")
    settings = {"budget": args.budget, "gtol": args.gtol}
    facts: dict[str, Any] = {}
    runs: dict[str, Any] = {}
    if args.pool:
        saved = json.loads(args.pool.read_text())
        if saved["settings"] != settings:
            parser.error(f"the pool was run with {saved['settings']}, not {settings}")
        facts, runs = saved["problems"], saved["runs"]
    problems = problems_of(args.half, [int(n) for n in args.sizes.split(",")], args.gtol)
    if args.only:
        problems = [p for p in problems if p.split("/")[0] in args.only.split(",")]
    if solvers:
        new_facts, new_runs = cutest.run_pool(
            solvers,
            problems,
            budget=args.budget,
            seconds=args.seconds,
            gtol=args.gtol,
            jobs=args.jobs,
            run=run_one,
            about=describe,
        )
        facts = {**facts, **new_facts}
        for s in solvers:
            runs[s] = {**runs.get(s, {}), **new_runs[s]}
    pool = args.judge.split(",") if args.judge else [s for s in contenders.SOLVERS if s in runs]
    chosen = {p: facts[p] for p in problems if p in facts and all(p in runs[s] for s in pool)}
    if len(chosen) < len(problems):
        print(f"{len(problems) - len(chosen)} problems are not saved for every solver", file=sys.stderr)
    figures = report(chosen, runs, pool, settings, args.verbose)
    if solvers:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(
            json.dumps({"settings": settings, "figures": figures, "problems": facts, "runs": runs})
        )
        print(f"\nwritten: {args.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
