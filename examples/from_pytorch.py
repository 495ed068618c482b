"""A module of PyTorch
===================

A PyTorch module trained by `minimize`: parameters out of the module, and the result back into it.

Needs PyTorch: ``pip install "twophase_min[torch]"`` (written for torch==2.13.0)::

    python examples/from_pytorch.py
"""

import torch

from twophase_min import minimize
from twophase_min.gradients import from_torch


def main() -> None:
    torch.manual_seed(0)
    inputs = torch.linspace(-1, 1, 200, dtype=torch.float64)[:, None]
    targets = torch.sin(6 * inputs) * torch.exp(-(inputs**2))
    net = torch.nn.Sequential(
        torch.nn.Linear(1, 12),
        torch.nn.Tanh(),
        torch.nn.Linear(12, 12),
        torch.nn.Tanh(),
        torch.nn.Linear(12, 1),
    ).double()  # from the start, so that all is computed in float64

    def loss(net: torch.nn.Module) -> torch.Tensor:
        return torch.mean((net(inputs) - targets) ** 2)

    a = from_torch(net, loss=loss)
    print(a)
    result = minimize(a.fun, a.x0, jac=True, options={"convex_method": "memory-cg", "maxfun": 3000})
    for swap in result.swaps[:1]:
        print(f"{swap['from']} -> {swap['to']} after {swap['evaluations']:g} evaluations: {swap['reason']}")

    before = loss(net).item()  # the module is as it was: only copies of its parameters were varied
    net.load_state_dict(a.unflatten(result.x))
    after = loss(net).item()
    print(f"loss {before:.3g} -> {after:.3g}: {result.message}")
    assert after == result.fun
    assert after < 1e-5


if __name__ == "__main__":
    main()
