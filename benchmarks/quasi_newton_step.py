"""Time per iteration of the dense quasi-Newton methods, beside SciPy's and beside copying H.

    python benchmarks/quasi_newton_step.py --sizes 10,100,1000,3000,10000

The objective is a diagonal quadratic, which costs O(n), so that an iteration is the method's own work. The
phase runs by ask and tell from Python, as the driver runs it. SciPy's BFGS is left out above 3,000 variables.
There are two yardsticks: one read and one write of all n x n numbers of H (`numpy.copyto`), and a value with
its gradient of a network of about n variables (10 inputs, one hidden layer, 1,000 samples). All take turns;
the median over the rounds of the processor time is printed, and goes to ``results/quasi_newton_step.json``,
from which `quasi_newton_step_report.py` makes the table of the page.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import conditions  # noqa: E402
import numpy as np  # noqa: E402

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:
    sys.path.insert(0, str(HERE.parent))  # run from a checkout without installing

CONDITION = 1e6
ITERATIONS = 25
"""Of a run: no method has converged by then."""
CUBIC = 3000
"""Variables up to which SciPy's BFGS, which takes O(n^3) operations a step, is timed."""


def bowl(n: int) -> tuple[Callable[[Any], float], Callable[[Any], Any], np.ndarray]:
    """Return value, gradient and start of a diagonal quadratic."""
    weights = np.geomspace(1.0, CONDITION, n)[np.random.default_rng(0).permutation(n)]
    return lambda x: 0.5 * float(x @ (weights * x)), lambda x: weights * x, np.ones(n)


def ours(name: str, n: int, iterations: int) -> float:
    """Seconds per iteration of a phase; the first, which is O(n), is left out."""
    from twophase_min.phases import FAILED, ITERATION, NEED_F, NEED_NOISE, PHASES

    fun, jac, x0 = bowl(n)
    solver = PHASES[name].load()()
    code = solver.start(x0, fun(x0), jac(x0))
    done, began = 0, 0.0
    while done <= iterations and code != FAILED:
        if code == ITERATION:
            done += 1
            if done == 1:
                began = time.process_time()
            code = solver.next()
        elif code == NEED_NOISE:
            code = solver.tell(0.0)
        else:
            x = solver.trial
            code = solver.tell(fun(x)) if code == NEED_F else solver.tell(math.nan, jac(x))
    return (time.process_time() - began) / max(done - 1, 1)


def scipys(method: str, n: int, iterations: int) -> float:
    """Seconds per iteration of SciPy's method, with memory 50 for L-BFGS-B."""
    from scipy.optimize import minimize

    fun, jac, x0 = bowl(n)
    options = {"gtol": 0.0, "maxiter": iterations}
    if method == "L-BFGS-B":
        options |= {"maxcor": 50, "ftol": 0.0}
    began = time.process_time()
    result = minimize(fun, x0, jac=jac, method=method, options=options)
    return (time.process_time() - began) / max(result.nit, 1)


def evaluation(n: int, calls: int) -> float:
    """Seconds of a value with its gradient of a network of about n variables, on 1,000 samples."""
    from twophase_min.networks import MLP

    rng = np.random.default_rng(0)
    net = MLP([10, max(1, round(n / 12)), 1], activation="tanh", loss="mse")
    inputs = rng.normal(size=(1000, 10))
    objective = net.objective(inputs, np.sin(inputs.sum(axis=1))[:, None])
    x = net.init(0)
    objective.value_and_gradient(x)
    began = time.process_time()
    for _ in range(calls):
        objective.value_and_gradient(x)
    return (time.process_time() - began) / calls


def copied(n: int, iterations: int) -> float:
    """Seconds to read and write n x n numbers once."""
    source, target = np.ones((n, n)), np.ones((n, n))
    began = time.process_time()
    for _ in range(iterations):
        np.copyto(target, source)
    return (time.process_time() - began) / iterations


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; see ``--help``."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--sizes", default="10,100,1000,3000", help="comma-separated numbers of variables")
    parser.add_argument("--methods", default="ssbroyden,bfgs,memory-cg")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "quasi_newton_step.json")
    args = parser.parse_args(argv)
    names = args.methods.split(",")
    began = conditions.begun()
    seconds: dict[str, dict[str, float]] = {}
    for name in names:
        ours(name, 3, 3)  # compiled here
    theirs = ("CG", "L-BFGS-B", "BFGS")
    heads = [*names, *(f"scipy {method}" for method in theirs), "evaluation", "copy of H"]
    print("microseconds per iteration\n" + f"{'n':>6s}" + "".join(f"{head:>16s}" for head in heads), end="")
    print(f"{'/ copy':>9s}{'scipy /':>9s}   (both of {names[0]})")
    for n in map(int, args.sizes.split(",")):
        few = max(2, min(ITERATIONS, 2 * 10**10 // n**3))  # SciPy's take O(n^3)
        times: dict[str, list[float]] = {head: [] for head in heads}
        for _ in range(args.rounds):
            for name in names:
                times[name].append(ours(name, n, ITERATIONS))
            for method in theirs:
                if method != "BFGS" or n <= CUBIC:
                    many = few if method == "BFGS" else ITERATIONS
                    times[f"scipy {method}"].append(scipys(method, n, many))
            times["evaluation"].append(evaluation(n, 5))
            times["copy of H"].append(copied(n, few))
        median = {head: statistics.median(taken or [math.nan]) for head, taken in times.items()}
        seconds[f"{n}"] = {head: value for head, value in median.items() if times[head]}
        print(f"{n:6d}" + "".join(f"{1e6 * median[head]:16.1f}" for head in heads), end="")
        first = median[names[0]]
        print(f"{first / median['copy of H']:9.2f}{median['scipy BFGS'] / first:9.1f}", flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    kept = {"conditions": conditions.ended(began), "rounds": args.rounds, "seconds": seconds}
    args.out.write_text(json.dumps(kept))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
