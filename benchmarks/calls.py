"""Three ways for a compiled loop to call a user's compiled function: what a call costs, and a new function.

::

    python benchmarks/calls.py

- **specialised**: the loop takes the dispatcher as an argument and is compiled anew for every function;
- **first-class**: the loop takes a typed Numba function object, and is compiled once a process (Numba cannot
  keep it on disk);
- **pointer**: the loop takes the address of a wrapper with one C signature (`objective.compiled`), and is
  compiled once and kept on disk; the wrapper is what is compiled for a new function.

The loop here is the smallest there is, so that the call shows; the engine's own takes some seconds to
compile, which "specialised" would pay for every objective. Medians of 15 rounds, taken in turn. They go to
``results/calls.json``, from which `calls_report.py` makes the table of the page.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import conditions
import numba
import numpy as np
from numba import float64, types

from twophase_min.jit.compilation import jit
from twophase_min.objective import compiled as _compiled


def objective(k: int):
    """Return a new compiled function of its own code."""

    @numba.njit
    def fun(x):
        return (x[0] - k) * (x[0] - k) + x[1] * x[1]

    @numba.njit
    def grad(x):
        return x

    return fun, grad


def loops():
    """Return the three loops, none compiled yet."""

    def loop(fun, x, times):
        total = 0.0
        for i in range(times):
            x[1] = i
            total += fun(x)
        return total

    kind = types.FunctionType(float64(float64[::1]))
    specialised = numba.njit(nogil=True)(loop)
    first_class = numba.njit(float64(kind, float64[::1], types.int64), nogil=True)(loop)

    @jit(cache=False)
    def pointer(address, x, f, g, table, times):
        total = 0.0
        for i in range(times):
            x[1] = i
            _compiled.call(address, x, f, g, table, 1)
            total += f[0]
        return total

    return specialised, first_class, pointer


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=2_000_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "calls.json")
    options = parser.parse_args()
    began_under = conditions.begun()
    x, f, g, table = np.ones(2), np.zeros(1), np.zeros(2), np.zeros(1, np.int64)
    numba.njit(lambda a: a[0])(x)  # Numba's own registries

    began = time.perf_counter()
    specialised, first_class, pointer = loops()
    loop_of_first_class = time.perf_counter() - began  # its signature is given: it compiles here
    fresh: dict[str, list[float]] = {"specialised": [], "first-class": [], "pointer": []}
    calls: dict[str, list[float]] = {name: [] for name in fresh}
    addresses, functions = [], []
    for k in range(4):
        fun, grad = objective(k)
        fun(x), grad(x)  # the user's own compilation is the same for all
        functions.append(fun)
        began = time.perf_counter()
        specialised(fun, x, 1)
        fresh["specialised"].append(time.perf_counter() - began)
        began = time.perf_counter()
        first_class(fun, x, 1)
        fresh["first-class"].append(time.perf_counter() - began)
        began = time.perf_counter()
        addresses.append(_compiled.compile_objective(fun, grad, ()).address)
        fresh["pointer"].append(time.perf_counter() - began)
        pointer(addresses[-1], x, f, g, table, 1)
    for _ in range(options.rounds):
        for name, run in (
            ("specialised", lambda: specialised(functions[1], x, options.calls)),
            ("first-class", lambda: first_class(functions[1], x, options.calls)),
            ("pointer", lambda: pointer(addresses[1], x, f, g, table, options.calls)),
        ):
            began = time.perf_counter()
            run()
            calls[name].append((time.perf_counter() - began) / options.calls)
    print(f"{'way':<14}{'ns a call':>12}{'spread':>16}{'s a new function':>20}{'kept on disk':>16}")
    kept = {"specialised": "no", "first-class": "no", "pointer": "loop and wrapper"}
    for name in fresh:
        ns = sorted(1e9 * value for value in calls[name])
        spread = f"{ns[0]:.1f}-{ns[-1]:.1f}"
        new = statistics.median(fresh[name][1:])  # the first has its loop compiled too
        print(f"{name:<14}{statistics.median(ns):>12.1f}{spread:>16}{new:>20.3f}{kept[name]:>18}")
    print(f"first-class: its loop compiled in {loop_of_first_class:.2f} s, once a process")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    figures = {
        "conditions": conditions.ended(began_under),
        "call": {name: statistics.median(seconds) for name, seconds in calls.items()},
        "new function": {name: statistics.median(seconds[1:]) for name, seconds in fresh.items()},
        "loop of first-class": loop_of_first_class,
    }
    options.out.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
