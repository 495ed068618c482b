"""Functions that are not defined everywhere, by values alone: ours beside SciPy's methods.

::

    python benchmarks/edges.py

Thirty seeded functions of 2 to 8 variables in six families, infinite or NaN outside of a domain, with the
minimum inside: a straight line's likelihood under uniform priors, convex quadratics in a box and in a
half-space, sums of logarithms and of roots, a multinomial likelihood on the simplex. The minima are known in
closed form. Gradients are forward differences. A method is right where f comes within 1e-6 of the minimum
(relative, where that is larger than 1); nobody has more than 20,000 calls. L-BFGS-B is not told where the
domain ends.

Everything goes to ``results/edges.json``, from which `edges_report.py` makes the table of the page.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import conditions
import numpy as np
from scipy.optimize import minimize as scipy_minimize

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:
    sys.path.insert(0, str(HERE.parent))  # run from a checkout without installing

Problem = tuple[Callable[[np.ndarray], float], np.ndarray, float]
"""Function, start and minimum."""
SEEDS = range(30)
BUDGET = 20_000


class BudgetExhausted(Exception):
    """Raised by a function that was called once too often."""


def line(rng: np.random.Generator) -> Problem:
    """Straight line with Gaussian errors: intercept, slope, deviation; uniform priors of the last two."""
    t = rng.uniform(-20, 20, 300)
    y = rng.uniform(10, 50) + rng.uniform(0.1, 0.5) * t + rng.uniform(2, 6) * rng.normal(size=t.size)
    slope, intercept = np.polyfit(t, y, 1)
    deviation = math.sqrt(np.mean((y - intercept - slope * t) ** 2))
    steepest, widest = slope * rng.uniform(1.05, 2), deviation * rng.uniform(1.05, 2)

    def fun(p: np.ndarray) -> float:
        a, b, s = p
        if not (0 < b < steepest and 0 < s < widest):
            return math.inf
        return float(t.size * math.log(s) + np.sum((y - a - b * t) ** 2) / (2 * s * s))

    start = np.array([intercept + rng.uniform(-20, 20), 0.9 * steepest, 0.9 * widest])
    return fun, start, fun(np.array([intercept, slope, deviation]))


def quadratic(rng: np.random.Generator) -> tuple[Callable[[np.ndarray], float], np.ndarray]:
    """Convex quadratic with the minimum 0, and where that lies."""
    n = int(rng.integers(2, 9))
    A, middle = rng.normal(size=(n, n)), rng.uniform(-1, 1, n)
    A = A @ A.T / n + np.diag(rng.uniform(0.1, 3, n))
    return lambda x: float(0.5 * (x - middle) @ A @ (x - middle)), middle


def box(rng: np.random.Generator) -> Problem:
    """Quadratic in a box, infinite outside."""
    inside, middle = quadratic(rng)
    low, high = (middle + sign * rng.choice([0.05, 0.5, 2], middle.size) for sign in (-1, 1))
    start = low + (high - low) * rng.uniform(0.02, 0.98, middle.size)
    return lambda x: inside(x) if np.all(x > low) and np.all(x < high) else math.inf, start, 0.0


def half_space(rng: np.random.Generator) -> Problem:
    """Quadratic on one side of an oblique plane, NaN on the other."""
    inside, middle = quadratic(rng)
    normal = rng.normal(size=middle.size)
    normal /= np.linalg.norm(normal)
    limit = normal @ middle + rng.choice([0.01, 0.1, 1.0])
    start = middle + 2 * rng.normal(size=middle.size)
    start -= normal * (max(normal @ start - limit, 0.0) + 0.05)
    return lambda x: inside(x) if normal @ x < limit else math.nan, start, 0.0


def logarithms(rng: np.random.Generator) -> Problem:
    """Sum of x - w log(x), the minimum at w."""
    w = rng.uniform(0.05, 3, int(rng.integers(2, 9)))
    return (
        lambda x: float(np.sum(x - w * np.log(x))),
        rng.uniform(0.01, 5, w.size),
        float(w @ (1 - np.log(w))),
    )


def roots(rng: np.random.Generator) -> Problem:
    """Sum of u - 2 w sqrt(u) with u = B x, whose edges are oblique; the minimum at u = w squared."""
    n = int(rng.integers(2, 9))
    w, B = rng.uniform(0.2, 2, n), np.eye(n) + 0.3 * rng.normal(size=(n, n)) / math.sqrt(n)

    def fun(x: np.ndarray) -> float:
        u = B @ x
        return float(np.sum(u - 2 * w * np.sqrt(u)))

    return fun, np.linalg.solve(B, rng.uniform(0.05, 5, n)), -float(w @ w)


def simplex(rng: np.random.Generator) -> Problem:
    """Multinomial likelihood in all probabilities but the last; the minimum at the frequencies."""
    n = int(rng.integers(3, 10))
    w = rng.dirichlet(np.ones(n))
    return (
        lambda p: float(-w[:-1] @ np.log(p) - w[-1] * np.log(1 - p.sum())),
        rng.dirichlet(np.ones(n))[:-1],
        float(-w @ np.log(w)),
    )


FAMILIES = (line, box, half_space, logarithms, roots, simplex)


def problem(seed: int) -> Problem:
    """Return the function of a seed."""
    return FAMILIES[seed % len(FAMILIES)](np.random.default_rng(seed))


def ours(**options: Any) -> Callable[..., Any]:
    """Our minimize."""
    from twophase_min import minimize

    return lambda fun, x0: minimize(fun, x0, jac="2-point", options=options)


def scipys(method: str) -> Callable[..., Any]:
    """SciPy's method of that name."""
    return lambda fun, x0: scipy_minimize(fun, x0, jac="2-point", method=method)


METHODS: dict[str, Callable[[], Callable[..., Any]]] = {
    "default": lambda: ours(),
    "memory-cg": lambda: ours(convex_method="memory-cg"),
    "scipy CG": lambda: scipys("CG"),
    "scipy BFGS": lambda: scipys("BFGS"),
    "scipy L-BFGS-B": lambda: scipys("L-BFGS-B"),
}


def measured(method: str, seed: int) -> tuple[bool, int]:
    """Whether the answer is right, and the calls of the function."""
    fun, x0, least = problem(seed)
    calls = 0

    def counted(x: np.ndarray) -> float:
        nonlocal calls
        if calls == BUDGET:
            raise BudgetExhausted
        calls += 1
        return fun(x)

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            value = float(METHODS[method]()(counted, x0).fun)
        except BudgetExhausted:
            return False, calls
    return bool(value <= least + 1e-6 * max(1.0, abs(least))), calls


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; see ``--help``."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE / "results" / "edges.json")
    args = parser.parse_args(argv)
    began = conditions.begun()
    runs: dict[str, list[tuple[bool, int]]] = {}
    for method in METHODS:
        runs[method] = [measured(method, seed) for seed in SEEDS]
        right, calls = map(sum, zip(*runs[method], strict=True))
        print(f"{method:16s} {right:3d} of {len(SEEDS)} right, {calls:6d} calls", flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({"conditions": conditions.ended(began), "runs": runs}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
