"""Whole runs: the sections tiny, multistart and growth of `speed.py`."""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import conditions
import numpy as np
from arena import Arena, ratio, show, table
from solvers import GTOL, MANY, PYTHON_OBJECTIVE, TINY, quality

OURS = ("minimize", "multistart")


def available(names: Any) -> list[str]:
    """Leave out, and name, the contenders whose package is missing."""
    kept = []
    for name in names:
        package = name.split()[0].removesuffix(",")
        if package in ("nlopt", "jax", "optimistix") and importlib.util.find_spec(package) is None:
            print(f"{name}: left out, {package} is not installed")
        else:
            kept.append(name)
    return kept


# ---- tiny: one small problem, from a cold call to its solution


def section_tiny(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time one solve of a small compiled problem, and what a run costs beyond its evaluations."""
    result: dict[str, Any] = {}
    began = conditions.begun("nlopt")
    names = available(TINY)
    arena = Arena(names, "solvers", "process_time")
    rivals = [name for name in names if not name.startswith(OURS)]
    print(f"\nMicroseconds of processor time a solve, median (quartiles), to max|g| <= {GTOL:g}")
    for problem in ("rosen2", "rosen10", "rosen100", "fit5"):
        times, first = arena.compare((problem,), arguments.rounds)
        reports = {name: arena.ask(name, "report") for name in names}
        for name in names:
            solves = arena.ask(name, "solves")
            times[name] = [seconds / solves for seconds in times[name]]
        result[problem] = {"seconds": times, "first": first, "reports": reports}
        rows = []
        for name in names:
            report = reports[name]
            over = [f"{ratio(times[rival], times[name]):.3g}" for rival in rivals]
            rows.append(
                [
                    name,
                    show(times[name]),
                    f"{1e6 * min(times[name]):.3g}",
                    *(over if name.startswith(OURS) else ["" for _ in over]),
                    f"{report['nfev']:g} + {report['njev']:g}",
                    f"{report['fun']:.3g}",
                    f"{report['gmax']:.1e}",
                    f"{first[name]:.2f}",
                ]
            )
            print(problem, *rows[-1], file=sys.stderr, flush=True)
        head = ["solver", "us", "best", *(f"{rival} / it" for rival in rivals)]
        print(f"\n{problem}:\n")
        print(table([*head, "values + gradients", "f", "max g", "first call, s"], rows))
    arena.close()
    overhead = _overhead(arguments)
    return {"conditions": conditions.ended(began), "problems": result, "overhead": overhead}


def _overhead(arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Time of a run on ten variables less that of its evaluations, over their number, in seconds by round."""
    names = available([*TINY, *PYTHON_OBJECTIVE])
    evaluations = (f"evaluation, {how}" for how in ("native", "called", "Python"))
    arena = Arena([*names, *evaluations], "solvers", "process_time")
    times, _ = arena.compare(("rosen10",), arguments.rounds)
    rows, shares = [], {}
    for name in names:
        report, solves = arena.ask(name, "report"), arena.ask(name, "solves")
        objective = "evaluation, called"
        if name in PYTHON_OBJECTIVE:
            objective = "evaluation, Python"
        elif "numba" in name or name.startswith("multistart"):
            objective = "evaluation, native"
        count = report["nfev"] + report["njev"]
        # an "evaluation" contender's call makes `solves` values and as many gradients
        pairs = arena.ask(objective, "solves")
        share = [
            (run / solves - count / 2 * evaluation / pairs) / count
            for run, evaluation in zip(times[name], times[objective], strict=True)
        ]
        shares[name] = share
        one = statistics.median(times[objective]) / pairs / 2
        rows.append([name, show(share), f"{1e6 * min(share):.3g}", f"{1e6 * one:.3g}", f"{count:g}"])
    arena.close()
    print("\nMicroseconds beyond the objective per evaluation (a value or a gradient), Rosenbrock n = 10:\n")
    print(table(["solver", "overhead", "best", "one evaluation itself", "evaluations"], rows))
    return shares


# ---- multistart: many five-parameter fits


def section_multistart(arguments: argparse.Namespace) -> dict[str, Any]:
    """Fit a five-parameter curve to each of many data sets: fits per second."""
    began = conditions.begun("nlopt", "jax", "optimistix")
    names = available(MANY)
    counts = {name: max(64, int(arguments.fits * MANY[name][1])) for name in names}
    rounds = max(3, arguments.rounds // 5)
    result: dict[str, Any] = {"counts": counts, "seconds": {name: [] for name in names}, "quality": {}}
    first, arenas = {}, {}
    for name in names:  # one process each; built one after the other, their data take memory
        arenas[name] = Arena([name], "solvers")
        first[name] = arenas[name].ask(name, (counts[name],))
        print(name, "ready", round(first[name], 2), file=sys.stderr, flush=True)
    print(f"\n{rounds} rounds")
    for _ in range(rounds):
        for name in names:
            time.sleep(0.05)
            result["seconds"][name].append(arenas[name].ask(name, "once"))
            print(name, result["seconds"][name][-1], file=sys.stderr, flush=True)
    found = {name: arenas[name].ask(name, "report") for name in names}
    for arena in arenas.values():
        arena.close()
    judged = min(2000, *(len(x) for x in found.values()))
    best = np.min([quality(x[:judged])["values"] for x in found.values()], axis=0)
    rows = []
    speeds = {name: [counts[name] / s for s in result["seconds"][name]] for name in names}
    ours = speeds["fits, 2 threads"]
    for name in names:
        marks = quality(found[name][:judged], best)
        result["quality"][name] = {mark: marks[mark] for mark in ("gradient test", "at the best")}
        low, middle, high = statistics.quantiles(speeds[name], n=4)
        over = statistics.median(a / b for a, b in zip(ours, speeds[name], strict=True))
        rows.append(
            [
                name,
                f"{counts[name]}",
                f"{middle:.4g} ({low:.4g}-{high:.4g})",
                f"{over:.3g}",
                f"{100 * marks['gradient test']:.1f} %",
                f"{100 * marks['at the best']:.1f} %",
                f"{first[name]:.1f}",
            ]
        )
    head = ["solver", "fits timed", "fits per second", "ours, 2 threads / it", "max g <= 1e-5"]
    print(f"\nCurve fits of five parameters to 100 points; quality over the first {judged}:\n")
    print(table([*head, "f within 1e-4 of the best", "set-up and first call, s"], rows))
    return {"conditions": conditions.ended(began), "first": first, **result}


# ---- growth: time and memory from a thousand variables to ten million

GROWTH: dict[str, dict[str, Any]] = {
    "CG": {"convex_method": "CG"},
    "CG, precondition=None": {"convex_method": "CG", "precondition": None},
    "memory-cg": {"convex_method": "memory-cg"},
    "memory-cg, memory 0, precondition=None": {
        "convex_method": "memory-cg",
        "convex_options": {"memory": 0},
        "precondition": None,
    },
}
ENGINES = ("python", "numba")
LARGEST_WITH_PAIRS = 1_000_000
"""Where pairs of steps and gradients are kept, more variables than this would take many gigabytes."""

RUN = """
import json, resource, sys, time, tracemalloc
import numpy as np
from numba import njit
from twophase_min import minimize

n, options, engine, trace = json.loads(sys.argv[1])

@njit
def value(x):  # a chain: no temporary vectors
    total = 0.0
    for i in range(x.size - 1):
        total += 0.5 * (x[i + 1] - x[i]) ** 2 + 0.25 * (x[i] * x[i] - 1.0) ** 2 / (1 + i % 7)
    return total

@njit
def into(x, g):
    g[:] = 0.0
    for i in range(x.size - 1):
        d = x[i + 1] - x[i]
        g[i] += x[i] * (x[i] * x[i] - 1.0) / (1 + i % 7) - d
        g[i + 1] += d

@njit
def gradient(x):
    g = np.empty_like(x)
    into(x, g)
    return g

def seen(x):  # a gradient that tracemalloc sees
    g = np.empty_like(x)
    into(x, g)
    return g

def run(n, k, trace=False):
    x0 = np.random.default_rng(0).uniform(-2.0, 2.0, n)
    given = dict(options, maxiter=k, gtol=0.0)
    fun, jac = (value, gradient) if engine == "numba" else (lambda x: value(x), seen)
    if engine == "numba":
        given["engine"] = "numba"
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if trace:
        tracemalloc.start()
    start = time.process_time()  # one thread: a busy machine distorts this less than the wall clock
    r = minimize(fun, x0, jac=jac, options=given)
    seconds = time.process_time() - start
    peak = tracemalloc.get_traced_memory()[1] if trace else 0
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - rss
    return seconds, r.nit, r.nfev + r.njev, peak, rss * 1024

run(100, 6)
small, large = (4, 4 + max(8, min(400, int(1e7 / n))))
out = {}
if trace:
    _, nit, _, out["peak"], out["rss"] = run(n, 16, trace=True)
else:
    run(n, small)  # memory touched for the first time
    a, b = min(run(n, small) for _ in range(3)), min(run(n, large) for _ in range(3))
    out["iteration"] = (b[0] - a[0]) / max(1, b[1] - a[1])
    out["evaluations"] = (b[2] - a[2]) / max(1, b[1] - a[1])
    x = np.random.default_rng(0).uniform(-2.0, 2.0, n)
    value(x), seen(x)
    start = time.process_time()
    for _ in range(5):
        value(x), seen(x)
    out["pair"] = (time.process_time() - start) / 5
print(json.dumps(out))
"""


def _growth(n: int, options: dict[str, Any], engine: str, trace: bool) -> dict[str, float]:
    order = json.dumps([n, options, engine, trace])
    path = os.pathsep.join([str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", RUN, order],
        env={**os.environ, "PYTHONPATH": path, "TWOPHASE_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def section_growth(arguments: argparse.Namespace) -> dict[str, Any]:
    """Processor time of an iteration and peak memory on a chain of n variables, one process each."""
    sizes = [n for n in arguments.sizes if n >= 1000]
    result: dict[str, Any] = {}
    began = conditions.begun()
    for engine in ENGINES:
        for name, options in GROWTH.items():
            if engine == "numba" and options["convex_method"] != "memory-cg":
                continue
            rows = []
            for n in sizes if "memory 0" in name else [n for n in sizes if n <= LARGEST_WITH_PAIRS]:
                runs = [_growth(n, options, engine, trace=False)]
                memory = _growth(n, options, engine, trace=True)
                seconds = statistics.median(run["iteration"] for run in runs)
                result[f"{engine} {name} {n}"] = {"runs": runs, "memory": memory}
                evaluations = runs[0]["evaluations"]
                own = seconds - evaluations / 2 * statistics.median(run["pair"] for run in runs)
                rows.append([n, seconds, own, evaluations, memory["peak"] / 8 / n, memory["rss"] / 8 / n])
                print(engine, name, *rows[-1], file=sys.stderr, flush=True)
            slopes = [
                f"{np.polyfit(np.log([row[0] for row in part]), np.log([row[1] for row in part]), 1)[0]:.2f}"
                if len(part) > 1
                else ""
                for part in (rows, [row for row in rows if row[0] >= 1e5])
            ]
            print(f"\n{name}, engine={engine}; log-log slope of time {slopes[0]}, from 1e5 on {slopes[1]}:\n")
            head = ["n", "us an iteration", "ns an entry", "of it the method", "evaluations"]
            print(
                table(
                    [*head, "vectors, tracemalloc", "vectors, resident"],
                    [
                        [
                            f"1e{round(math.log10(n))}",
                            f"{1e6 * seconds:.4g}",
                            f"{1e9 * seconds / n:.3g}",
                            f"{1e9 * own / n:.3g}",
                            f"{evaluations:.2f}",
                            f"{vectors:.1f}",
                            f"{resident:.1f}",
                        ]
                        for n, seconds, own, evaluations, vectors, resident in rows
                    ],
                )
            )
    print("\nVectors include the one gradient that the objective hands over, and not the caller's x0.")
    return {"conditions": conditions.ended(began), "runs": result}


SECTIONS = {"tiny": section_tiny, "multistart": section_multistart, "growth": section_growth}
