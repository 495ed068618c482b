"""The estimators beside scikit-learn's networks: held-out score, loss, processor seconds, iterations.

Three data sets that scikit-learn ships, inputs (and the targets of the regression) standardised; a quarter is
held out. A seed sets the split and the initial weights. Hidden layers, activation, alpha, tolerance and limit
of iterations are the defaults, which both have in common. Contenders take turns within a seed; each is run
once on a tenth of the data before, so that nothing is compiled while the clock runs::

    OMP_NUM_THREADS=1 python benchmarks/estimators.py            # minutes
    OMP_NUM_THREADS=1 python benchmarks/estimators.py --seeds 2

On diabetes, where a good fit predicts badly, two larger penalties are tried as well. Everything goes to
``results/estimators.json``, from which `estimators_report.py` makes the tables of the page.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import conditions
import numpy as np
from estimators_report import FIELDS, data_table
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
PENALISED: dict[str, tuple[bool, dict[str, Any]]] = {
    f"{name}, alpha={alpha}": (ours, {**settings, "alpha": alpha})
    for name, ours, settings in (("scikit-learn, adam", False, {"solver": "adam"}), ("two-phase", True, {}))
    for alpha in (10, 30)
}
"""Contenders on diabetes alone."""


def contenders_on(name: str) -> dict[str, tuple[bool, dict[str, Any]]]:
    """Return those of a data set: whether they are ours, and their settings."""
    return CONTENDERS | (PENALISED if name == "diabetes" else {})


def model(name: str, classifies: bool, seed: int) -> Any:
    """Return the network, and the pipeline around it."""
    ours, settings = (CONTENDERS | PENALISED)[name]
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
    rows: dict[str, list[tuple[float, ...]]] = {contender: [] for contender in contenders_on(name)}
    for seed in seeds:
        parts = train_test_split(X, y, random_state=seed, stratify=y if classifies else None)
        X_train, X_test, y_train, y_test = parts
        for contender in rows:
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
    """Print a table for each data set, and write what they are made of."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 0 (default: 5)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "estimators.json")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    began = conditions.begun("scikit-learn")
    runs = {}
    for name in DATA:
        runs[name] = {
            contender: dict(zip(FIELDS, values.T.tolist(), strict=True))
            for contender, values in compare(name, range(args.seeds)).items()
        }
        print(f"\n{data_table(name, runs[name])}", flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({"conditions": conditions.ended(began), "runs": runs}))


if __name__ == "__main__":
    main()
