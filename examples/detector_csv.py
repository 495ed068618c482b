"""The detector on a log file
==========================

The detector on a log file: write one as any trainer would, then ask where the run should have swapped.

The command does the same for a log of your own, recognises the columns and draws norm against loss::

    python -m twophase_min.detector run.csv
    python -m twophase_min.detector run.csv --loss train_loss --norm grad_norm --rule norm-against-loss

Run this example with ``python examples/detector_csv.py [FILE.csv]``.
"""

import csv
import math
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from twophase_min import plotting
from twophase_min.detector import RULES, detect_swap


def write_log(path: Path) -> int:
    """Train one parameter by gradient descent, log it with noisy norms, return the first convex epoch."""
    convex_from = 0
    rng = np.random.default_rng(3)
    inputs, target, p = rng.uniform(-0.5, 0.5, 100), 0.8, -6.0
    with path.open("w", newline="") as file:
        log = csv.writer(file)
        log.writerow(["epoch", "train_loss", "grad_norm"])
        for epoch in range(300):
            h = np.tanh(p * inputs)
            error, slope = h.sum() - target, (inputs * (1 - h * h)).sum()
            gradient = 2 * error * slope
            noise = math.exp(0.1 * rng.standard_normal())
            log.writerow([epoch, f"{error * error:.8g}", f"{abs(gradient) * noise:.8g}"])
            if slope**2 - error * 2 * (inputs**2 * h * (1 - h * h)).sum() <= 0:
                convex_from = epoch + 1  # the second derivative is not positive yet
            p -= 2e-3 * gradient
    return convex_from


def main() -> None:
    if len(sys.argv) > 1:
        path = Path(sys.argv[1])
    else:
        path = Path(tempfile.mkdtemp()) / "run.csv"
        print(f"the second derivative is positive from epoch {write_log(path)} on")
    with path.open() as file:
        rows = list(csv.DictReader(file))
    losses = [float(row["train_loss"]) for row in rows]
    norms = [float(row["grad_norm"]) for row in rows]
    print(f"{path}: {len(rows)} epochs")
    for rule in ("norm-peak", "norm-peak-median", "norm-against-loss"):
        assert rule in RULES
        report = detect_swap(losses, norms, rule)
        print(f"{rule:>18}: {report.reason}")
    plotting.norm_against_loss(losses, norms, swap="norm-peak-median", title="A log with noisy norms")
    plt.show()
    print(f"\nnow try: python -m twophase_min.detector {path}")


if __name__ == "__main__":
    main()
