"""In a scikit-learn pipeline
==========================

Put the two-phase network where scikit-learn's stands: in a pipeline, beside it, and in a grid search.

::

    pip install ".[sklearn]"
    python examples/sklearn_pipeline.py
"""

import time
import warnings

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from twophase_min.estimators import TwoPhaseMLPClassifier

GRID = {
    "twophasemlpclassifier__alpha": [1e-3, 1e-1, 1.0],
    "twophasemlpclassifier__activation": ["relu", "tanh"],
}


def main() -> None:
    warnings.simplefilter("ignore", ConvergenceWarning)  # the table says how many iterations were made
    images, labels = load_digits(return_X_y=True)
    x, x_out, y, y_out = train_test_split(images, labels, test_size=0.25, random_state=0)
    networks = {
        "scikit-learn, adam": MLPClassifier((50,), max_iter=200, random_state=0),
        "scikit-learn, lbfgs": MLPClassifier((50,), solver="lbfgs", random_state=0),
        "two-phase": TwoPhaseMLPClassifier((50,), random_state=0),
    }
    TwoPhaseMLPClassifier((5,)).fit(x[:100], y[:100])  # compile, once a machine, before the clock runs
    for name, network in networks.items():
        model = make_pipeline(MinMaxScaler(), network)
        began = time.perf_counter()
        model.fit(x, y)
        seconds = time.perf_counter() - began
        print(
            f"{name:20s} train loss {network.loss_:.5f}, held-out accuracy {model.score(x_out, y_out):.3f}, "
            f"{network.n_iter_} iterations, {seconds:.2f} s"
        )
    for swap in networks["two-phase"].swaps_:
        print(f"iteration {swap['iteration']}: {swap['from']} -> {swap['to']}, {swap['reason']}")

    ax = plt.figure(figsize=(7, 4.2), layout="constrained").add_subplot()
    for name, colour in zip(("scikit-learn, adam", "two-phase"), ("#D55E00", "#0072B2"), strict=True):
        ax.semilogy(
            networks[name].loss_curve_, color=colour, label=name
        )  # 'lbfgs' of scikit-learn keeps no curve
    ax.set(xlabel="iteration", ylabel="train loss", title="Digits, one layer of 50 units")
    ax.legend()
    plt.show()

    model = make_pipeline(MinMaxScaler(), TwoPhaseMLPClassifier((50,), random_state=0))
    search = GridSearchCV(model, GRID, cv=3).fit(x, y)
    best = {name.rpartition("__")[2]: value for name, value in search.best_params_.items()}
    print(f"grid search: {best}, held-out accuracy {search.score(x_out, y_out):.3f}")


if __name__ == "__main__":
    main()
