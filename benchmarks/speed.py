"""Speed, measured side by side in one run: ``python benchmarks/speed.py --section adam``.

Every contender lives in a process of its own and takes its turn while the others sleep, round after round,
so that a busy machine, a spinning thread pool or a changing clock meets all of them alike. A turn is one call
that is not timed and a few that are. Tables show the median over the rounds with the quartiles, and ratios
taken round by round before their median. Imports, compilation and first calls are timed apart.

Kernels: adam, kernels, dispatch. Whole runs: tiny, multistart, growth (`speed_solvers.py`), first-call
(`first_call.py`). The rounds go to ``results/speed.json``, from which `speed_report.py` makes the tables of
the page.
NLopt, JAX, Optimistix and PyTorch are optional: a contender that cannot be imported is left out, and named.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import conditions
import numpy as np
from arena import Arena, best_ratio, ratio, show, table
from first_call import section_first_call
from kernel_calls import CONTENDERS, KERNELS, vectors
from speed_solvers import SECTIONS as SOLVER_SECTIONS

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
SIZES = (2, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)


def section_adam(arguments: argparse.Namespace) -> dict[str, Any]:
    """Adam's step against PyTorch, optax, NumPy and the copy speed of the machine.

    On one thread processor time is taken, which other work on the machine disturbs least.
    """
    limits = dict.fromkeys(("TWOPHASE_NUM_THREADS", "OMP_NUM_THREADS"), f"{arguments.threads}")
    if arguments.threads == 1:
        limits["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ.update(limits)  # the processes of the contenders inherit them
    names = [name for name in CONTENDERS if "(" not in name]
    began = conditions.begun("torch", "jax", "optax")
    arena = Arena(names, "kernel_calls", "process_time" if arguments.threads == 1 else "perf_counter")
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
    return {"conditions": conditions.ended(began), "rounds": result}


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
    parser.add_argument("--threads", type=int, default=1, help="of the contenders of the section adam (1)")
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
