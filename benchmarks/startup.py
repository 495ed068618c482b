"""What a short script waits for: importing the package, the first `minimize`, compiling its kernels.

Every figure is the median over fresh processes, in seconds of wall clock and, in brackets, of processor time,
which a busy machine distorts less::

    python benchmarks/startup.py

- import: of ``twophase_min``, with numpy and scipy.optimize loaded already; then the same with
  ``from twophase_min import minimize``, which loads what a call needs but no kernels yet;
- first minimize, warm: the import and a first run on Rosenbrock's function, with the kernels' files on disk;
- first minimize, cold: the same with an empty cache, so that its kernels are compiled;
- warm-up, cold: compiling every kernel, once per machine.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HEAVY = ("numba", "autograd", "matplotlib", "sklearn", "tqdm", "hypothesis")
LIMITS = {"import": 0.05, "import minimize": 0.05, "first minimize, warm": 0.5, "first minimize, cold": 5.0}

PREPARE = """
import sys, time, numpy, scipy.optimize
from scipy.optimize import rosen, rosen_der
wall, cpu = time.perf_counter(), time.process_time()
"""
REPORT = """
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
print(wall, cpu)
"""
LIGHT = f"""
heavy = [name for name in {HEAVY!r} if name in sys.modules]
assert not heavy, heavy
"""
IMPORT = PREPARE + "import twophase_min" + REPORT + LIGHT
IMPORT_MINIMIZE = PREPARE + "from twophase_min import minimize" + REPORT + LIGHT
FIRST = (
    PREPARE
    + """
from twophase_min import minimize
result = minimize(rosen, [-1.2, 1.0, -0.5, 0.8], jac=rosen_der)
assert result.success, result.message
"""
    + REPORT
)
WARM_UP = PREPARE + "import twophase_min; twophase_min.warmup()" + REPORT


def seconds(code: str, cache: str) -> tuple[float, float]:
    """Run code in a fresh process with its kernels under ``cache``; return the wall and processor seconds."""
    env = dict(os.environ, NUMBA_CACHE_DIR=cache)
    env["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), env.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    wall, cpu = done.stdout.split()
    return float(wall), float(cpu)


def measure(repeats: int, cold_repeats: int) -> dict[str, list[tuple[float, float]]]:
    """Measure everything, ``repeats`` times warm and ``cold_repeats`` times cold."""
    figures: dict[str, list[tuple[float, float]]] = {"first minimize, cold": [], "warm-up, cold": []}
    for name, code in (("first minimize, cold", FIRST), ("warm-up, cold", WARM_UP)):
        for _ in range(cold_repeats):
            with tempfile.TemporaryDirectory() as empty:
                figures[name].append(seconds(code, empty))
    with tempfile.TemporaryDirectory() as cache:
        seconds(FIRST, cache)
        for name, code in (
            ("import", IMPORT),
            ("import minimize", IMPORT_MINIMIZE),
            ("first minimize, warm", FIRST),
        ):
            figures[name] = [seconds(code, cache) for _ in range(repeats)]
    return figures


def main() -> None:
    """Print medians, ranges and limits."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--cold-repeats", type=int, default=3)
    asked = parser.parse_args()
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    print(f"{os.cpu_count()} cores, load {load}; seconds in fresh processes")
    for name, pairs in measure(asked.repeats, asked.cold_repeats).items():
        wall, cpu = ([pair[k] for pair in pairs] for k in (0, 1))
        limit = f"; limit {LIMITS[name]:g}" if name in LIMITS else ""
        print(
            f"{name:22s} median {statistics.median(wall):.3f} ({statistics.median(cpu):.3f}), "
            f"{min(wall):.3f} to {max(wall):.3f}, of {len(wall)}{limit}"
        )


if __name__ == "__main__":
    main()
