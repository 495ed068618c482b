"""Loss and gradient of a network, 784-128-10: ours beside PyTorch's, scikit-learn's and JAX's, taking turns.

::

    pip install scikit-learn torch jax                        # the rivals; one that is missing is left out
    python benchmarks/mlp_speed.py                            # as many threads as there are cores
    python benchmarks/mlp_speed.py --busy 1                   # beside a process that never waits
    OMP_NUM_THREADS=1 python benchmarks/mlp_speed.py --threads 1

Rows of a mini-batch (512) and of a small data set (5,000), float32 and float64, relu, softmax cross-entropy,
data and weights seeded by 0. A call is what the training loop of each library makes of one batch:

- **twophase**: ``MLP.objective(X, y)(w)``, from a flat vector to loss and flat gradient;
- **twophase on BLAS**: the same with TWOPHASE_NUM_THREADS=1, which leaves threads to OpenBLAS's products;
- **PyTorch**: a ``Sequential``; ``zero_grad``, loss, ``backward``, the loss as a float; its gradients stay in
  their tensors;
- **scikit-learn**: ``MLPClassifier._loss_grad_lbfgs``, which its solver 'lbfgs' calls, flat vectors likewise;
- **JAX**: ``jax.jit(jax.value_and_grad(...))`` over the flat vector, until the gradient is a NumPy array.

Contenders live in processes of their own and take turns (`arena.py`), so that each round gives one ratio.
All get the same loss and gradient, which is checked first. Every round goes to ``results/mlp_speed.json``,
from which `mlp_speed_report.py` makes the tables of the page.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import conditions
import numpy as np
from arena import Arena, best_ratio, ratio, show, table

SIZES = (784, 128, 10)
TURN = 0.1
"""Seconds of a turn: training calls hundreds of times in a row, and helper threads are awake then."""
ROWS = (512, 5000)
DTYPES = ("float32", "float64")


def problem(rows: int, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pixels in [0, 1), most of them dark, labels and weights."""
    from twophase_min.networks import MLP

    rng = np.random.default_rng(0)
    X = np.maximum(rng.uniform(-1, 1, size=(rows, SIZES[0])), 0).astype(kind)
    return X, rng.integers(0, SIZES[-1], size=rows), MLP(SIZES, "relu", dtype=kind).init(0)


class Call:
    """A call to be timed; `report` gives what it computes, and the processor seconds of the calls so far."""

    def __init__(self, call: Callable[[], Any], result: Callable[[], tuple[float, np.ndarray]]):
        self._call, self._result = call, result
        self._processor: list[float] = []

    def __call__(self) -> Any:
        """Make the call."""
        began = time.process_time()
        answer = self._call()
        self._processor.append(time.process_time() - began)
        return answer

    def report(self) -> tuple[float, np.ndarray, list[float]]:
        """Return loss, flat gradient, and the processor seconds of each call, over all threads."""
        return *self._result(), self._processor


def twophase(rows: int, kind: str, threads: int) -> Call:
    """Our own; its threads are set by the environment."""
    from twophase_min.networks import MLP

    X, y, w = problem(rows, kind)
    objective = MLP(SIZES, "relu", "cross_entropy", dtype=kind).objective(X, y)
    return Call(lambda: objective(w), lambda: objective(w))


def left_to_blas(rows: int, kind: str, threads: int) -> Call:
    """Our own with no threads but those of BLAS; nothing of ours is imported yet in this process."""
    os.environ["TWOPHASE_NUM_THREADS"] = "1"
    return twophase(rows, kind, threads)


def pytorch(rows: int, kind: str, threads: int) -> Call:
    """PyTorch's modules and its backward pass."""
    import torch

    torch.set_num_threads(threads)
    X, y, w = problem(rows, kind)
    dtype = getattr(torch, kind)
    net = torch.nn.Sequential(
        torch.nn.Linear(SIZES[0], SIZES[1], dtype=dtype),
        torch.nn.ReLU(),
        torch.nn.Linear(SIZES[1], SIZES[2], dtype=dtype),
    )
    from twophase_min.networks import MLP

    with torch.no_grad():
        for layer, (W, b) in zip((net[0], net[2]), MLP(SIZES, dtype=kind).unpack(w), strict=True):
            layer.weight.copy_(torch.from_numpy(W.T.copy()))
            layer.bias.copy_(torch.from_numpy(b.copy()))
    inputs, labels = torch.from_numpy(X), torch.from_numpy(y)

    def call() -> float:
        net.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(inputs), labels)
        loss.backward()
        return loss.item()

    def report() -> tuple[float, np.ndarray]:
        value = call()
        parts = [
            part
            for layer in (net[0], net[2])
            for part in (layer.weight.grad.numpy().T.ravel(), layer.bias.grad.numpy())
        ]
        return value, np.concatenate(parts)

    return Call(call, report)


def scikit_learn(rows: int, kind: str, threads: int) -> Call:
    """scikit-learn's backpropagation over a flat vector."""
    import warnings

    from sklearn.neural_network import MLPClassifier
    from sklearn.preprocessing import LabelBinarizer

    X, y, w = problem(rows, kind)
    net = MLPClassifier(SIZES[1:-1], activation="relu", alpha=0.0, solver="lbfgs", max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net.fit(X, y)  # sets up what the private method needs
    targets = LabelBinarizer().fit_transform(y).astype(kind)
    widths = (X.shape[1], *SIZES[1:])
    empty = [
        [np.empty((a, b), kind) for a, b in pairwise(widths)],
        [np.empty(b, kind) for b in widths[1:]],
    ]
    from twophase_min.networks import MLP

    ours = MLP(SIZES, dtype=kind)
    layers = ours.unpack(w)
    flat = np.concatenate([W.ravel() for W, _ in layers] + [b for _, b in layers])
    activations = [X] + [np.empty((rows, b), kind) for b in widths[1:]]
    deltas = [np.empty_like(a) for a in activations[1:]]
    extra = (None,) if "sample_weight" in net._backprop.__code__.co_varnames else ()

    def call() -> Any:
        return net._loss_grad_lbfgs(flat, X, targets, *extra, activations, deltas, *empty)

    def report() -> tuple[float, np.ndarray]:
        value, gradient = call()
        split = sum(W.size for W, _ in layers)
        weights, biases = gradient[:split], gradient[split:]
        ends = np.cumsum([W.size for W, _ in layers])[:-1], np.cumsum([b.size for _, b in layers])[:-1]
        pairs = zip(np.split(weights, ends[0]), np.split(biases, ends[1]), strict=True)
        return float(value), np.concatenate([part for pair in pairs for part in pair])

    return Call(call, report)


def jax_jit(rows: int, kind: str, threads: int) -> Call:
    """JAX's jit over the flat vector; its threads are the cores that the process may use."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    X, y, w = problem(rows, kind)
    inputs, labels = jnp.asarray(X), jnp.asarray(y)
    a, b = SIZES[0] * SIZES[1], SIZES[0] * SIZES[1] + SIZES[1]
    c = b + SIZES[1] * SIZES[2]

    @jax.jit
    @jax.value_and_grad
    def both(w: Any) -> Any:
        hidden = jax.nn.relu(inputs @ w[:a].reshape(SIZES[:2]) + w[a:b])
        logits = hidden @ w[b:c].reshape(SIZES[1:]) + w[c:]
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1)
        return -chosen.mean()

    def call() -> tuple[float, np.ndarray]:
        value, gradient = both(w)
        return float(value), np.asarray(gradient)

    return Call(call, call)


CONTENDERS = {
    "twophase": twophase,
    "twophase on BLAS": left_to_blas,
    "PyTorch": pytorch,
    "scikit-learn": scikit_learn,
    "JAX": jax_jit,
}
_NEEDS = {"PyTorch": "torch", "scikit-learn": "sklearn", "JAX": "jax"}


def present(names: list[str]) -> list[str]:
    """Return the contenders whose packages are installed."""
    from importlib.util import find_spec

    return [name for name in names if name not in _NEEDS or find_spec(_NEEDS[name])]


def agree(arena: Arena, rows: int, kind: str) -> dict[str, float]:
    """Check that all contenders compute the same loss and gradient; return their processor seconds a call."""
    value, gradient, _ = arena.ask("twophase", "report")
    tolerance = 1e-4 if kind == "float32" else 1e-10
    seconds = {}
    for name in arena.pipes:
        other, theirs, times = arena.ask(name, "report")
        error = np.linalg.norm(theirs - gradient) / np.linalg.norm(gradient)
        if abs(other - value) > tolerance * abs(value) or error > tolerance:
            raise SystemExit(f"{name} computes something else at {rows} rows, {kind}: {other}, {error:.1e}")
        seconds[name] = statistics.quantiles(times[1:], n=4)[0]
    return seconds


def never_wait() -> None:
    """Be the other work of a machine, until terminated."""
    while True:
        pass


def main() -> None:
    """Print the tables; keep every round in results/mlp_speed.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--busy", type=int, default=0, help="processes that compute meanwhile")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--rows", default=",".join(map(str, ROWS)))
    parser.add_argument("--contenders", default=",".join(CONTENDERS))
    parser.add_argument("--out", default=str(Path(__file__).parent / "results" / "mlp_speed.json"))
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    if arguments.threads == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    names = present(arguments.contenders.split(","))
    arena = Arena(names, "mlp_speed", turn=TURN)
    spawn = multiprocessing.get_context("spawn")
    others = [spawn.Process(target=never_wait, daemon=True) for _ in range(arguments.busy)]
    for other in others:
        other.start()
    rivals = [name for name in names if name != "twophase"]
    began = conditions.begun("scikit-learn", "torch", "jax")
    result: dict[str, Any] = {"threads": arguments.threads, "busy": arguments.busy, "rounds": {}}
    rows, ratios, work = [], [], []
    for kind in DTYPES:
        for n in map(int, arguments.rows.split(",")):
            times, first = arena.compare((n, kind, arguments.threads), arguments.rounds)
            processor = agree(arena, n, kind)
            result["rounds"][f"{kind} {n}"] = {"seconds": times, "first": first, "processor": processor}
            ours = times["twophase"]
            rows.append([kind, str(n), *(show(times[name]) for name in names)])
            pairs = [(ratio(times[name], ours), best_ratio(times[name], ours)) for name in rivals]
            ratios.append([kind, str(n), *(f"{middle:.2f} (best {best:.2f})" for middle, best in pairs)])
            work.append(
                [kind, str(n), f"{1e6 * processor['twophase']:.0f}"]
                + [f"{processor[name] / processor['twophase']:.2f}" for name in rivals]
            )
            print(" ".join(rows[-1]), "|", " ".join(ratios[-1][2:]), "|", " ".join(work[-1][2:]), flush=True)
    arena.close()
    for other in others:
        other.terminate()
    result["conditions"] = conditions.ended(began)
    print(
        f"\nMicroseconds a call, median (quartiles) of {arguments.rounds} rounds, "
        f"{arguments.threads} threads, {arguments.busy} busy processes beside, {platform.machine()}. "
        f"{conditions.said(result['conditions'])}\n"
    )
    print(table(["dtype", "rows", *names], rows))
    print("\nTheir time over ours (above 1: ours is faster), median over the rounds and best over best:\n")
    print(table(["dtype", "rows", *rivals], ratios))
    print("\nProcessor microseconds a call, lower quartile over all threads, and theirs over ours:\n")
    print(table(["dtype", "rows", "twophase", *rivals], work))
    path = Path(arguments.out)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
