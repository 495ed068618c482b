"""
Many starts on a Dask cluster
=============================

One of its workers is killed in mid-run: the rows are the same as here alone.

Needs Dask: ``pip install "dask[distributed]"``::

    python examples/dask_starts.py
"""

import contextlib
import os
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
from distributed import Client, LocalCluster

from twophase_min import multistart

MARK = Path(tempfile.gettempdir()) / f"dask_starts_{os.getpid()}"
STARTS = {"x0s": 30, "bounds": [(-5.0, 5.0)] * 6, "jac": True, "seed": 0}


def rastrigin(x: np.ndarray, mark: Path | None = None) -> tuple[float, np.ndarray]:
    """Rastrigin's function and its gradient; kills its process once, where there is a mark to leave."""
    if mark is not None and not mark.exists():
        with contextlib.suppress(FileExistsError), mark.open("x") as file:  # one process only
            file.write(str(os.getpid()))
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    f = np.sum(x**2 - 10 * np.cos(2 * np.pi * x) + 10)
    return f, 2 * x + 20 * np.pi * np.sin(2 * np.pi * x)


def main() -> None:
    alone = multistart(rastrigin, **STARTS)
    print(f"here alone: {alone.message} Least value {alone.fun_best:.4f}, start {alone.best}")
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as cluster,
        Client(cluster) as client,
    ):
        began = time.perf_counter()
        spread = multistart(rastrigin, args=(MARK,), workers=client, **STARTS)
        print(f"on {spread.how}: {spread.message} ({time.perf_counter() - began:.1f} s)")
    print(f"process {MARK.read_text()} was killed; rows equal: {np.array_equal(alone.x, spread.x)}")
    assert np.array_equal(alone.fun, spread.fun)
    MARK.unlink()


if __name__ == "__main__":
    main()
