"""Speed, measured side by side in one run: ``python benchmarks/speed.py --section adam``.

Every contender lives in a process of its own and takes its turn while the others sleep, round after round,
so that a busy machine, a spinning thread pool or a changing clock meets all of them alike. A turn is one call
that is not timed and a few that are. Tables show the median over the rounds with the quartiles, and ratios
taken round by round before their median. Imports, compilation and first calls are timed apart.

Kernels: adam, kernels, dispatch. Whole runs: tiny, multistart, growth (`speed_solvers.py`), first-call.
NLopt, JAX, Optimistix and PyTorch are optional: a contender that cannot be imported is left out, and named.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from arena import Arena, best_ratio, ratio, show, table
from kernel_calls import CONTENDERS, KERNELS, vectors
from speed_solvers import SECTIONS as SOLVER_SECTIONS

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
SIZES = (2, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)


def section_adam(arguments: argparse.Namespace) -> dict[str, Any]:
    """Adam's step against PyTorch, optax, NumPy and the copy speed of the machine."""
    names = [name for name in CONTENDERS if "(" not in name]
    arena = Arena(names, "kernel_calls")
    rivals = [name for name in names if not name.startswith(("twophase", "copy"))]
    result: dict[str, Any] = {}
    rows, ratios, best = [], [], []
    for kind in ("float64", "float32"):
        for n in arguments.sizes:
            times, first = arena.compare((n, kind), arguments.rounds)
            result[f"{kind} {n}"] = {"seconds": times, "first": first}
            ours = times["twophase"]
            rows.append([kind, f"{n:.0e}", *(show(times[name]) for name in names)])
            streams = [
                7 / 6 * min(pair) for pair in zip(times["copy"], times["copy, 2 threads"], strict=True)
            ]
            ratios.append(
                [
                    kind,
                    f"{n:.0e}",
                    *(f"{ratio(times[name], ours):.2f}" for name in rivals),
                    f"{ratio(ours, streams):.2f}",
                ]
            )
            best.append(
                [
                    kind,
                    f"{n:.0e}",
                    *(f"{best_ratio(times[name], ours):.2f}" for name in rivals),
                    f"{best_ratio(ours, streams):.2f}",
                ]
            )
            print(" ".join(rows[-1]), "|", " ".join(best[-1][2:]), file=sys.stderr, flush=True)
    arena.close()
    print("\nMicroseconds a step, median (quartiles); copies move six streams:\n")
    print(table(["dtype", "n", *names], rows))
    print("\nTheir time over ours (above 1: ours is faster); last: ours over seven streams at copy speed:\n")
    print(table(["dtype", "n", *rivals, "over copy"], ratios))
    print("\nThe same from the best round of each:\n")
    print(table(["dtype", "n", *rivals, "over copy"], best))
    firsts = result[f"float64 {arguments.sizes[0]}"]["first"]
    print("\nFirst call with import, set-up and compilation, seconds:\n")
    print(table(firsts, [[f"{value:.2f}" for value in firsts.values()]]))
    return result


def section_kernels(arguments: argparse.Namespace) -> dict[str, Any]:
    """Dots, norms and fused passes against NumPy, and the memory speed that they reach."""
    # One core against one core; the processes of the contenders inherit it.
    os.environ.update(OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    result: dict[str, Any] = {}
    rows = []
    for name, (streams, _, _) in KERNELS.items():
        arena = Arena([f"{name} (ours)", f"{name} (NumPy)"], "kernel_calls")
        for kind in ("float64", "float32"):
            for n in arguments.sizes:
                times, _ = arena.compare((n, kind), arguments.rounds)
                ours, theirs = times.values()
                result[f"{name} {kind} {n}"] = times
                speed = streams * n * np.dtype(kind).itemsize / statistics.median(ours) / 1e9
                rows.append(
                    [
                        name,
                        kind,
                        f"{n:.0e}",
                        show(ours),
                        show(theirs),
                        f"{ratio(theirs, ours):.2f}",
                        f"{speed:.1f}",
                    ]
                )
                print(" ".join(rows[-1]), file=sys.stderr, flush=True)
        arena.close()
    print("\nMicroseconds a call, median (quartiles), one thread each:\n")
    print(table(["kernel", "dtype", "n", "ours", "NumPy", "NumPy/ours", "GB/s"], rows))
    return result


def section_dispatch(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time calls from Python in which the kernel has nothing to do (n = 2)."""
    from typing import NamedTuple

    from twophase_min.jit import kernels as _kernels
    from twophase_min.jit.compilation import jit, prepare

    Wide = NamedTuple("Wide", [(f"v{k}", np.ndarray) for k in range(12)])  # type: ignore[misc]

    @jit(cache=False)
    def of_state(state):
        return state.v0[0]

    x, m, v, g = vectors(2, "float64", 4)
    step = (x, m, abs(v), g, 5, 1e-3, 0.9, 0.999, 1e-8)
    state = Wide(*[x] * 12)
    calls: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "empty Python function": (lambda *_: None, step),
        "adam_step (9 arguments)": (_kernels.adam_step, step),
        "adam_serial (9 arguments)": (_kernels.adam_serial, step),
        "adam_serial, prepared": (prepare(_kernels.adam_serial, *step), step),
        "dot": (_kernels.dot, (x, x)),
        "dot, prepared": (prepare(_kernels.dot, x, x), (x, x)),
        "named tuple of 12 arrays": (of_state, (state,)),
        "named tuple of 12 arrays, prepared": (prepare(of_state, state), (state,)),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(arguments.rounds):
        for name, (function, args) in calls.items():
            function(*args)
            start = time.perf_counter()
            for _ in range(5000):
                function(*args)
            times[name].append((time.perf_counter() - start) / 5000)
    print("\nMicroseconds a call, median (quartiles):\n")
    print(table(["call", "time"], [[name, show(seconds)] for name, seconds in times.items()]))
    return times


FIRST = """
import time, json
import numpy, scipy.optimize
t = [time.perf_counter()]
import twophase_min
t.append(time.perf_counter())
import numba
t.append(time.perf_counter())
from twophase_min.jit import kernels as K
x = numpy.ones(10)
K.adam_step(x, x.copy(), x.copy(), x.copy(), 1, 1e-3, .9, .999, 1e-8)
K.dot(x, x), K.norm_inf(x), K.all_finite(x)
t.append(time.perf_counter())
if hasattr(twophase_min, 'minimize'):
    twophase_min.minimize(scipy.optimize.rosen, x, jac=scipy.optimize.rosen_der)
    t.append(time.perf_counter())
    twophase_min.minimize(scipy.optimize.rosen, x, jac=scipy.optimize.rosen_der)
    t.append(time.perf_counter())
print(json.dumps([b - a for a, b in zip(t, t[1:])]))
"""


FIRST_COMPILED = """
import time, json, sys
import numpy, scipy.optimize
t = [time.perf_counter()]
import twophase_min
t.append(time.perf_counter())
from objective import value, gradient  # imports numba
x = numpy.ones(10) * 1.2
t.append(time.perf_counter())
value(x), gradient(x)
t.append(time.perf_counter())
options = {"engine": "numba", "convex_method": "memory-cg"}
assert twophase_min.minimize(value, x, jac=gradient, options=options).success
t.append(time.perf_counter())
assert twophase_min.minimize(value, x, jac=gradient, options=options).success
t.append(time.perf_counter())
print(json.dumps([b - a for a, b in zip(t, t[1:])]))
"""

OBJECTIVE = """
import numpy
from numba import njit

@njit(cache={cache})
def value(x):
    total = 0.0
    for i in range(x.size - 1):
        total += 100.0 * (x[i + 1] - x[i] * x[i]) ** 2 + (1.0 - x[i]) ** 2
    return total

@njit(cache={cache})
def gradient(x):
    g = numpy.zeros(x.size)
    for i in range(x.size - 1):
        r = x[i + 1] - x[i] * x[i]
        g[i] += -400.0 * x[i] * r - 2.0 * (1.0 - x[i])
        g[i + 1] += 200.0 * r
    return g
"""


def fresh(script: str, states: list[str], rounds: int, objective: str = "") -> dict[str, list[list[float]]]:
    """Run a script in fresh processes: the first state has nothing on disk, the others what it left."""
    result: dict[str, list[list[float]]] = {state: [] for state in states}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as directory:
            # A copy without __pycache__: nothing that an earlier run left behind helps the cold start.
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / "twophase_min", Path(directory) / "twophase_min", ignore=ignore)
            (Path(directory) / "objective.py").write_text(objective)
            places = {"PYTHONPATH": directory, "NUMBA_CACHE_DIR": str(Path(directory) / "cache")}
            for state in result:
                out = subprocess.run(
                    [sys.executable, "-c", script],
                    env={**os.environ, **places},
                    cwd=directory,
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
                result[state].append(json.loads(out.splitlines()[-1]))
    return result


def section_first_call(arguments: argparse.Namespace) -> dict[str, Any]:
    """Import and first calls in fresh processes, with an empty and with a filled cache directory."""
    rounds = max(3, arguments.rounds // 5)
    states = ["cold", "warm"]
    python = fresh(FIRST, states, rounds)
    cached = fresh(FIRST_COMPILED, states, rounds, OBJECTIVE.format(cache=True))
    uncached = fresh(FIRST_COMPILED, states, rounds, OBJECTIVE.format(cache=False))

    def rows(runs: dict[str, list[list[float]]], parts: slice, note: str = "") -> list[list[str]]:
        return [
            [
                state + note,
                *(f"{statistics.median(column):.3f}" for column in zip(*seconds, strict=True)),
                f"{statistics.median(sum(run[parts]) for run in seconds):.3f}",
            ]
            for state, seconds in runs.items()
        ]

    head = ["cache", "import twophase_min", "import numba", "Adam's kernels", "rest of minimize"]
    print("\nPython objective; seconds in a fresh process with NumPy and SciPy loaded, median:\n")
    print(table([*head, "second minimize", "first call in all"], rows(python, slice(1, 4))))
    head = ["cache", "import twophase_min", "import numba", "the objective's own code", "first minimize"]
    print(
        "\nCompiled objective; the last column is without the import of numba and the objective's own code:\n"
    )
    both = [
        *rows(cached, slice(3, 4), ", @njit(cache=True)"),
        *rows(uncached, slice(3, 4), ", @njit"),
    ]
    print(table([*head, "second minimize", "first call in all"], both))
    return {"python": python, "compiled, cached": cached, "compiled": uncached}


SECTIONS = {
    "adam": section_adam,
    "kernels": section_kernels,
    "dispatch": section_dispatch,
    **SOLVER_SECTIONS,
    "first-call": section_first_call,
}


def main() -> None:
    """Run the chosen sections and keep their raw seconds as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--section", choices=SECTIONS, action="append", help="may be repeated; default: all")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each contender (15)")
    parser.add_argument("--sizes", type=lambda s: [int(float(v)) for v in s.split(",")], default=SIZES)
    parser.add_argument("--fits", type=int, default=100_000, help="problems of the section multistart")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "speed.json")
    arguments = parser.parse_args()
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {os.cpu_count()} cores, Python {platform.python_version()}")
    results = {name: SECTIONS[name](arguments) for name in arguments.section or SECTIONS}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, default=lambda value: np.asarray(value).tolist()))


if __name__ == "__main__":
    main()
