"""The estimators beside scikit-learn's networks: held-out score, loss, processor seconds, iterations.

Three data sets that scikit-learn ships, inputs (and the targets of the regression) standardised; a quarter is
held out. A seed sets the split and the initial weights. Hidden layers, activation, alpha, tolerance and limit
of iterations are the defaults, which both have in common. Contenders take turns within a seed; each is run
once on a tenth of the data before, so that nothing is compiled while the clock runs::

    OMP_NUM_THREADS=1 python benchmarks/estimators.py            # minutes
    OMP_NUM_THREADS=1 python benchmarks/estimators.py --seeds 2
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from twophase_min.estimators import TwoPhaseMLPClassifier, TwoPhaseMLPRegressor

DATA: dict[str, tuple[Callable[..., Any], bool]] = {
    "digits": (datasets.load_digits, True),
    "breast_cancer": (datasets.load_breast_cancer, True),
    "diabetes": (datasets.load_diabetes, False),
}
CONTENDERS: dict[str, tuple[bool, dict[str, Any]]] = {
    "scikit-learn, adam": (False, {"solver": "adam"}),
    "scikit-learn, adam, early stopping": (False, {"solver": "adam", "early_stopping": True}),
    "scikit-learn, lbfgs": (False, {"solver": "lbfgs"}),
    "two-phase": (True, {}),
    "two-phase, early stopping": (True, {"early_stopping": True}),
    "two-phase, CG": (True, {"convex_method": "CG"}),
    "two-phase, memory-cg": (True, {"convex_method": "memory-cg"}),
    "two-phase, mini-batches of 200": (True, {"batch_size": 200}),
}


def model(name: str, classifies: bool, seed: int) -> Any:
    """Return the network, and the pipeline around it."""
    ours, settings = CONTENDERS[name]
    if classifies:
        net = (TwoPhaseMLPClassifier if ours else MLPClassifier)(random_state=seed, **settings)
        return net, make_pipeline(StandardScaler(), net)
    net = (TwoPhaseMLPRegressor if ours else MLPRegressor)(random_state=seed, **settings)
    scaled = TransformedTargetRegressor(net, transformer=StandardScaler())
    return net, make_pipeline(StandardScaler(), scaled)


def fitted(pipeline: Any) -> Any:
    """Return the network in a fitted pipeline."""
    last = pipeline[-1]
    return getattr(last, "regressor_", last)


def compare(name: str, seeds: range) -> dict[str, np.ndarray]:
    """Return held-out score, training loss, seconds and iterations, shape (seeds, 4), of every contender."""
    load, classifies = DATA[name]
    X, y = load(return_X_y=True)
    rows: dict[str, list[tuple[float, ...]]] = {contender: [] for contender in CONTENDERS}
    for seed in seeds:
        parts = train_test_split(X, y, random_state=seed, stratify=y if classifies else None)
        X_train, X_test, y_train, y_test = parts
        for contender in CONTENDERS:
            few = slice(0, max(60, len(y_train) // 10))
            model(contender, classifies, seed)[1].fit(X_train[few], y_train[few])
            pipeline = model(contender, classifies, seed)[1]
            began = time.process_time()
            pipeline.fit(X_train, y_train)
            seconds = time.process_time() - began
            net = fitted(pipeline)
            rows[contender].append((pipeline.score(X_test, y_test), net.loss_, seconds, net.n_iter_))
    return {contender: np.array(values) for contender, values in rows.items()}


def main() -> None:
    """Print a table for each data set: median, and the range over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 0 (default: 5)")
    seeds = range(parser.parse_args().seeds)
    warnings.simplefilter("ignore")
    for name, (_, classifies) in DATA.items():
        score = "accuracy" if classifies else "R²"
        print(f"\n**{name}**, seeds 0-{seeds[-1]}, median (least to greatest)\n")
        print(f"| contender | held-out {score} | training loss | seconds | iterations |")
        print("| --- | --- | --- | --- | --- |")
        for contender, values in compare(name, seeds).items():
            cells = [
                f"{np.median(column):{form}} ({column.min():{form}} to {column.max():{form}})"
                for column, form in zip(values.T, (".3f", ".2g", ".2f", ".0f"), strict=True)
            ]
            print(f"| {contender} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
