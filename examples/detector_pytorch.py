"""The detector in a PyTorch loop
==============================

The detector inside a PyTorch training loop: Adam until the gradient norm has peaked, then L-BFGS.

Needs PyTorch (written for torch==2.13.0) and scikit-learn for its digits; the detector itself needs numpy::

    python examples/detector_pytorch.py

The same class works in any loop: give it a loss and a gradient norm once an epoch, and look at its answer.
The readings here are taken over the whole data; an epoch's means of the mini-batch values do too, with
``ConvexitySwapDetector("norm-against-loss")`` or some ``smoothing``. Adam goes on beside L-BFGS, for as many
passes over the data.
"""

import copy

import numpy as np
import torch
from sklearn.datasets import load_digits

from twophase_min.detector import ConvexitySwapDetector

EPOCHS, BATCH = 60, 128


def main() -> None:
    torch.manual_seed(0)
    data, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(data / 16.0, dtype=torch.float64), torch.tensor(labels)
    model = torch.nn.Sequential(torch.nn.Linear(64, 24), torch.nn.Tanh(), torch.nn.Linear(24, 10)).double()
    loss_of = torch.nn.functional.cross_entropy
    decay = 1e-4  # cross-entropy on separable data has no minimum without it

    def loss_over(model: torch.nn.Module, part: torch.Tensor | slice = slice(None)) -> torch.Tensor:
        """Mean loss over a part of the data, with the penalty."""
        return loss_of(model(x[part]), y[part]) + 0.5 * decay * sum((p * p).sum() for p in model.parameters())

    def read(model: torch.nn.Module) -> tuple[float, float]:
        """Loss and gradient norm over the whole data."""
        loss = loss_over(model)
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        return loss.item(), torch.sqrt(sum((g * g).sum() for g in gradients)).item()

    def accuracy(model: torch.nn.Module) -> float:
        return (model(x).argmax(1) == y).double().mean().item()

    adam = torch.optim.Adam(model.parameters(), lr=1e-3)

    def train_an_epoch(epoch: int) -> None:
        order = torch.tensor(np.random.default_rng(epoch).permutation(len(x)))
        for part in order.split(BATCH):
            adam.zero_grad()
            loss_over(model, part).backward()
            adam.step()

    detector = ConvexitySwapDetector(min_steps=3)
    swapped_at = None
    for epoch in range(EPOCHS):
        train_an_epoch(epoch)
        decision = detector.update(*read(model))
        print(f"epoch {epoch + 1:2d}  Adam     loss {decision.loss:.5f}  gradient norm {decision.norm:.5f}")
        if decision:
            print(f"swap: {decision.reason}")
            swapped_at = epoch + 1
            break
    if swapped_at is None:
        print("no swap: Adam had all the epochs")
        return

    swapped, passes = copy.deepcopy(model), 0
    convex = torch.optim.LBFGS(
        swapped.parameters(), max_iter=10, history_size=20, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        nonlocal passes
        passes += 1
        convex.zero_grad()
        loss = loss_over(swapped)
        loss.backward()
        return loss

    before = read(swapped)[0]
    for step in range(10):
        convex.step(closure)
        loss, norm = read(swapped)
        print(f"step  {step + 1:2d}  L-BFGS   loss {loss:.5f}  gradient norm {norm:.5f}")
        if not np.isfinite(loss) or loss > before:
            # The safe way back: the detector forgets its peak, and Adam goes on.
            detector.rearm()
            break
    for epoch in range(swapped_at, swapped_at + passes):
        train_an_epoch(epoch)
    print(f"loss {before:.5f} at the swap; {passes} passes over the data later:")
    for name, network in (("L-BFGS", swapped), ("Adam", model)):
        print(f"{name:6s} loss {read(network)[0]:.5f}, training accuracy {accuracy(network):.4f}")


if __name__ == "__main__":
    main()
