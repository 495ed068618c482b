"""The detector beside scikit-learn's partial_fit
==============================================

The detector beside scikit-learn's partial_fit, and conjugate gradients on the same weights after it.

scikit-learn hands out neither gradients nor a second optimiser, so this example does three things: it trains
``MLPClassifier`` with Adam through ``partial_fit``, reads loss and gradient norm off the fitted weights once
an epoch, and at the swap goes on from there with SciPy's `minimize`, then puts the weights back. Beside that
Adam goes on, for as many passes over the data::

    python examples/detector_sklearn.py
"""

import copy

import numpy as np
from scipy.optimize import minimize
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from twophase_min.detector import ConvexitySwapDetector
from twophase_min.networks import MLP

ALPHA = 1e-3


def flat_weights(model: MLPClassifier, net: MLP) -> np.ndarray:
    return net.pack(zip(model.coefs_, model.intercepts_, strict=True))


def put_back(model: MLPClassifier, net: MLP, w: np.ndarray) -> None:
    for i, (weights, biases) in enumerate(net.unpack(np.ascontiguousarray(w))):
        model.coefs_[i], model.intercepts_[i] = weights.copy(), biases.copy()


def train_an_epoch(model: MLPClassifier, x: np.ndarray, y: np.ndarray, epoch: int) -> None:
    """One pass of Adam over the mini-batches; the epoch is the seed of their order."""
    order = np.random.default_rng(epoch).permutation(len(x))
    for part in np.array_split(order, len(x) // 128):
        model.partial_fit(x[part], y[part], classes=np.arange(10))


def main() -> None:
    data, labels = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(data / 16.0, labels, test_size=0.25, random_state=0)
    model = MLPClassifier((24,), activation="tanh", alpha=ALPHA, batch_size=128, random_state=0)
    # The same network over one flat vector. scikit-learn divides its penalty by the number of samples.
    net = MLP((64, 24, 10), "tanh", "cross_entropy", l2=ALPHA / len(x))
    objective = net.objective(x, y)

    detector = ConvexitySwapDetector(min_steps=3)
    for epoch in range(100):
        train_an_epoch(model, x, y, epoch)
        loss, gradient = objective(flat_weights(model, net))
        decision = detector.update(loss, np.linalg.norm(gradient))
        print(f"epoch {epoch + 1:2d}  loss {loss:.5f}  gradient norm {decision.norm:.5f}")
        if decision:
            print(f"swap: {decision.reason}")
            break

    print(f"test accuracy at the swap: {model.score(x_test, y_test):.4f}")
    stayed = copy.deepcopy(model)
    result = minimize(objective, flat_weights(model, net), jac=True, method="CG", options={"maxiter": 40})
    put_back(model, net, result.x)
    print(f"conjugate gradients: loss {result.fun:.5f} after {result.nfev} evaluations")
    print(f"test accuracy: {model.score(x_test, y_test):.4f}")
    for more in range(epoch + 1, epoch + 1 + result.nfev):
        train_an_epoch(stayed, x, y, more)
    loss, _ = objective(flat_weights(stayed, net))
    accuracy = stayed.score(x_test, y_test)
    print(f"Adam: loss {loss:.5f} after {result.nfev} epochs more; test accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
