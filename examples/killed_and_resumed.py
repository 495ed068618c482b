"""
A run that is killed and goes on
================================

From its checkpoint it comes to the same end as if nothing had happened.

The script starts itself as another process, kills that by SIGKILL in mid-run, and starts it again, as often
as it takes. The second time it finds the file and goes on from it. ::

    python examples/killed_and_resumed.py
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from twophase_min import load_state, minimize

OPTIONS = {"convex_method": "memory-cg", "gtol": 1e-7, "maxiter": 5000}
START = np.full(60, -1.2)
KILLS = 2


def valley(x: np.ndarray) -> tuple[float, np.ndarray]:
    """Rosenbrock's function with its gradient, slowed down to a simulation's pace where a variable asks."""
    time.sleep(float(os.environ.get("SECONDS_A_CALL", 0)))
    off, one = x[1:] - x[:-1] ** 2, 1.0 - x[:-1]
    g = np.zeros_like(x)
    g[1:] = 200.0 * off
    g[:-1] -= 400.0 * x[:-1] * off + 2.0 * one
    return float(100.0 * off @ off + one @ one), g


def run(file: Path) -> None:
    """Go on from the file if there is one, and write it while running: all that a script needs to do."""
    resume = load_state(file) if file.exists() else None
    more = {"checkpoint": file, "checkpoint_every": 0.05, "resume": resume}
    result = minimize(valley, START, jac=True, options=OPTIONS | more)
    np.savez(file.with_name("end.npz"), x=result.x, nfev=result.nfev)


def main() -> None:
    whole = minimize(valley, START, jac=True, options=OPTIONS)
    print(f"in one go:  f = {whole.fun:.3e} after {whole.nfev} evaluations")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "run.npz"
        command = [sys.executable, __file__, str(file)]
        for kill in range(KILLS):
            before = file.stat().st_mtime_ns if file.exists() else 0
            process = subprocess.Popen(command, env={**os.environ, "SECONDS_A_CALL": "0.01"})
            while process.poll() is None and not (file.exists() and file.stat().st_mtime_ns > before):
                time.sleep(0.01)
            time.sleep(1.5)
            process.kill()
            process.wait()
            saved = int(load_state(file)["history/nfev"][-1])
            print(f"killed {kill + 1}: {saved} evaluations, up to the last iterate, are in the file")
        subprocess.run(command, check=True)
        with np.load(file.with_name("end.npz")) as end:
            print(f"at the end: {end['nfev']} evaluations; x equal: {np.array_equal(end['x'], whole.x)}")
            assert np.array_equal(end["x"], whole.x)


if __name__ == "__main__":
    run(Path(sys.argv[1])) if len(sys.argv) > 1 else main()
