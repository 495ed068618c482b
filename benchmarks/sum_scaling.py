"""One evaluation of a finite sum by one caller and by two workers, taking turns.

::

    pip install joblib "dask[distributed]"                     # what is missing is left out
    OMP_NUM_THREADS=1 nice python benchmarks/sum_scaling.py

Loss and gradient of a network 784-128-10 over 20,000 seeded rows in float64, in chunks of 1,024: by the
caller alone, and by two workers of each kind that ``FiniteSum(workers=)`` takes. BLAS has one thread
everywhere. The rows lie in a memory-mapped file, so that none of the pools is sent more than a name. Every
round is one call of each; the ratio to the caller of the same round is what counts where other work runs on
the machine. Results are checked to have the same bits. The ratios go to ``results/sum_scaling.json``, from
which `sum_scaling_report.py` makes the table of the page.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import conditions
import numpy as np

from twophase_min.finite_sum import FiniteSum
from twophase_min.networks import MLP

ROWS, CHUNK, SIZES = 20_000, 1024, (784, 128, 10)


def net() -> MLP:
    """Return the network."""
    return MLP(SIZES, "relu", "cross_entropy")


def data(folder: str) -> tuple[np.ndarray, np.ndarray]:
    """Write the rows and map them."""
    rng = np.random.default_rng(0)
    file = Path(folder) / "X.npy"
    np.save(file, np.maximum(rng.uniform(-1, 1, size=(ROWS, SIZES[0])), 0))
    return np.load(file, mmap_mode="r"), rng.integers(0, SIZES[-1], size=ROWS)


@contextlib.contextmanager
def contenders(X: np.ndarray, y: np.ndarray) -> Iterator[dict[str, FiniteSum]]:
    """Start all workers; give each kind's sum."""

    def total(workers: Any, backend: str = "threads") -> FiniteSum:
        loss: Any = net()
        return FiniteSum(
            loss.loss_and_gradient, (X, y), jac=True, chunk_size=CHUNK, workers=workers, backend=backend
        )

    with contextlib.ExitStack() as stack:
        sums = {"caller alone": total(1), "2 threads": total(2), "2 processes": total(2, "processes")}
        for one in sums.values():
            stack.callback(one.close)
        sums["ProcessPoolExecutor(2)"] = total(stack.enter_context(ProcessPoolExecutor(2)))
        if find_spec("joblib"):
            import joblib

            sums["joblib.Parallel(2)"] = total(stack.enter_context(joblib.Parallel(2)))
        if find_spec("distributed"):
            import distributed

            cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
            client = stack.enter_context(distributed.Client(stack.enter_context(cluster)))
            sums["Dask client, 2 processes"] = total(client)
        yield sums


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "sum_scaling.json")
    arguments = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1":
        raise SystemExit("set OMP_NUM_THREADS=1: threads of BLAS beside the workers measure something else")
    began_under = conditions.begun("joblib", "dask")
    w = net().init(0)
    with tempfile.TemporaryDirectory() as folder, contenders(*data(folder)) as sums:
        times: dict[str, list[float]] = {name: [] for name in sums}
        want = sums["caller alone"].value_and_gradient(w)
        for name, total in sums.items():  # starts the workers, too
            f, g = total.value_and_gradient(w)
            if f != want[0] or not np.array_equal(g, want[1]):
                raise SystemExit(f"{name} computes something else")
        for _ in range(arguments.rounds):
            for name, total in sums.items():
                began = time.perf_counter()
                total.value_and_gradient(w)
                times[name].append(time.perf_counter() - began)
    alone = times["caller alone"]
    ratios: dict[str, float] = {}
    result = {"conditions": conditions.ended(began_under), "rounds": arguments.rounds, "ratios": ratios}
    print(f"{arguments.rounds} rounds. {conditions.said(result['conditions'])}\n")
    print("| workers | seconds, median | caller alone over it: median | best over best |")
    print("| --- | --- | --- | --- |")
    for name, seconds in times.items():
        pairs = [a / b for a, b in zip(alone, seconds, strict=True)]
        best = min(alone) / min(seconds)
        ratios[name] = statistics.median(pairs)
        print(f"| {name} | {statistics.median(seconds):.3f} | {ratios[name]:.2f} | {best:.2f} |")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
