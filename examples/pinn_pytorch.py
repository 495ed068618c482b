"""
A physics-informed network from PyTorch
=======================================

Beside torch's own L-BFGS and Adam, counted alike.

Needs PyTorch: ``pip install "twophase_min[torch]"`` (written for torch==2.13.0)::

    python examples/pinn_pytorch.py

The network u(x) solves u'' = f on [0, 1] with u(0) = u(1) = 0, where f is that of u(x) = sin(pi x) +
sin(4 pi x) / 4. Each method gets 500 evaluations of loss and gradient, from the same start, in float64.
"""

import math

import torch

from twophase_min import minimize
from twophase_min.gradients import from_torch

POINTS = torch.linspace(0.0, 1.0, 49, dtype=torch.float64)[:, None]
BUDGET = 500


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    layers = [
        torch.nn.Linear(1, 16),
        torch.nn.Tanh(),
        torch.nn.Linear(16, 16),
        torch.nn.Tanh(),
        torch.nn.Linear(16, 1),
    ]
    return torch.nn.Sequential(*layers).double()


def solution(net: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Return u at all points; the factor x (1 - x) makes it vanish at both ends."""
    return x * (1 - x) * net(x)


def loss(net: torch.nn.Module) -> torch.Tensor:
    """Mean square of the equation's residual."""
    x = POINTS.clone().requires_grad_()
    slope = torch.autograd.grad(solution(net, x).sum(), x, create_graph=True)[0]
    curvature = torch.autograd.grad(slope.sum(), x, create_graph=True)[0]
    pi = math.pi
    right = -(pi**2) * torch.sin(pi * x) - 4 * pi**2 * torch.sin(4 * pi * x)
    return torch.mean((curvature - right) ** 2)


def by_torch(net: torch.nn.Module, name: str) -> int:
    """Train with one of torch's optimisers; answers the evaluations that it made."""
    made = 0

    def closure() -> torch.Tensor:
        nonlocal made
        made += 1
        optimizer.zero_grad()
        value = loss(net)
        value.backward()
        return value

    if name == "torch Adam":
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
        for _ in range(BUDGET):
            optimizer.step(closure)
    else:
        optimizer = torch.optim.LBFGS(
            net.parameters(),
            max_iter=BUDGET,
            max_eval=BUDGET,
            history_size=10,
            tolerance_grad=1e-8,
            tolerance_change=0.0,
            line_search_fn="strong_wolfe",
        )
        optimizer.step(closure)
    return made


def error_of(net: torch.nn.Module) -> float:
    with torch.no_grad():
        exact = torch.sin(math.pi * POINTS) + torch.sin(4 * math.pi * POINTS) / 4
        return float(torch.linalg.norm(solution(net, POINTS) - exact) / torch.linalg.norm(exact))


def main() -> None:
    torch.set_num_threads(1)
    errors = {}
    for name in ("twophase, memory-cg", "twophase, ssbroyden", "torch L-BFGS", "torch Adam"):
        net = network()
        if name.startswith("torch"):
            made = by_torch(net, name)
        else:
            a = from_torch(net, loss=loss)
            options = {"convex_method": name.split(", ")[1], "maxfun": BUDGET, "gtol": 1e-8}
            result = minimize(a.fun, a.x0, jac=True, options=options)
            net.load_state_dict(a.unflatten(result.x))
            made = result.nfev
        errors[name] = error_of(net)
        print(f"{name:20s} loss {loss(net).item():.1e}, error of u {errors[name]:.1e}, {made} evaluations")
    assert errors["twophase, ssbroyden"] < min(errors["torch L-BFGS"], errors["torch Adam"])


if __name__ == "__main__":
    main()
