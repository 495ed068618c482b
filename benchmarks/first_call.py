"""What a first call costs in a fresh process: the section first-call of `speed.py`.

Rosenbrock's function in ten variables, written in Python, in C, for ``numba.njit`` and for
``numba.njit(cache=True)``; with the kernels compiled ahead (`twophase_min.build`) and without. NumPy and
SciPy are loaded before the clock runs, and where the objective itself is Numba's, Numba and its code, too.
Processor time, which a busy machine distorts less than the clock on the wall.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import conditions
from arena import table

PACKAGE = Path(__file__).resolve().parents[1] / "twophase_min"
STATES = ("cold", "warm")
"""Nothing on the disk, and what the first process left there."""

BEFORE = """
import time
import numpy, scipy.optimize
x = numpy.ones(10) * 1.2
"""
OBJECTIVES = {
    "Python": "fun, given = scipy.optimize.rosen, {'jac': scipy.optimize.rosen_der}",
    "C": """
import ctypes
vector = ctypes.POINTER(ctypes.c_double)
fun, given = ctypes.CDLL('./objective.so').rosenbrock, {'jac': True}
fun.argtypes, fun.restype = [vector, vector, ctypes.c_int64], ctypes.c_double
""",
    "@njit": "from plain import fun, gradient; fun(x), gradient(x); given = {'jac': gradient}",
    "@njit(cache=True)": "from kept import fun, gradient; fun(x), gradient(x); given = {'jac': gradient}",
}
"""How a script finds its objective."""
MEASURED = """
began = time.process_time()
import twophase_min
assert twophase_min.minimize(fun, x, **given).success
print(time.process_time() - began)
"""
IN_C = """
#include <stdint.h>
double rosenbrock(double *x, double *g, int64_t n) {
    double f = 0;
    for (int64_t i = 0; i < n; i++) g[i] = 0;
    for (int64_t i = 0; i < n - 1; i++) {
        double r = x[i + 1] - x[i] * x[i], s = 1 - x[i];
        f += 100 * r * r + s * s;
        g[i] -= 400 * x[i] * r + 2 * s;
        g[i + 1] += 200 * r;
    }
    return f;
}
"""
BY_NUMBA = """
import numpy
from numba import njit

@njit(cache={cache})
def fun(x):
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


def prepare(folder: Path) -> None:
    """Write the package, without anything that earlier runs left behind, and the objectives into a folder."""
    shutil.copytree(PACKAGE, folder / "twophase_min", ignore=shutil.ignore_patterns("__pycache__", "_ahead"))
    for name, cache in (("plain", False), ("kept", True)):
        (folder / f"{name}.py").write_text(BY_NUMBA.format(cache=cache))
    (folder / "objective.c").write_text(IN_C)
    subprocess.run(
        ["cc", "-O2", "-shared", "-fPIC", "objective.c", "-o", "objective.so"], cwd=folder, check=True
    )


def build(into: Path) -> float:
    """Compile the kernels ahead; answers the processor seconds."""

    def spent() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    before = spent()
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    command = [sys.executable, "-m", "twophase_min.build", "--into", str(into)]
    subprocess.run(command, env=environment, capture_output=True, check=True)
    return spent() - before


def seconds(objective: str, ahead: str) -> dict[str, float]:
    """Run an objective's script twice in a new folder; ``ahead`` is the folder of compiled kernels, or 0."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        places = {"PYTHONPATH": name, "NUMBA_CACHE_DIR": str(folder / "cache"), "TWOPHASE_AOT": ahead}
        script = BEFORE + OBJECTIVES[objective] + MEASURED
        return {
            state: float(
                subprocess.run(
                    [sys.executable, "-c", script],
                    env={**os.environ, **places},
                    cwd=folder,
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
            )
            for state in STATES
        }


def section_first_call(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time first calls in fresh processes, with an empty and with a filled cache directory."""
    began = conditions.begun()
    runs: dict[str, dict[str, list[dict[str, float]]]] = {name: {} for name in OBJECTIVES}
    with tempfile.TemporaryDirectory() as into:
        built = build(Path(into))
        for _ in range(max(1, arguments.rounds // 5)):
            for objective in OBJECTIVES:
                for kernels, ahead in (("Numba", "0"), ("extension", into)):
                    runs[objective].setdefault(kernels, []).append(seconds(objective, ahead))
    medians = {
        objective: {
            f"{kernels}, {state}": statistics.median(run[state] for run in measured)
            for kernels, measured in of_objective.items()
            for state in STATES
        }
        for objective, of_objective in runs.items()
    }
    heads = list(medians["Python"])
    print(
        f"\nProcessor seconds of a first run in a fresh process, median; extension built in {built:.1f} s:\n"
    )
    rows = [[objective, *(f"{found[head]:.2f}" for head in heads)] for objective, found in medians.items()]
    print(table(["objective", *heads], rows))
    return {"conditions": conditions.ended(began), "build": built, "medians": medians}
