"""From DeepXDE
============

A second phase for DeepXDE: the loss of its model, minimised outside of its training loop.

Needs DeepXDE with its PyTorch backend: ``pip install deepxde "twophase_min[torch]"`` (written for 1.15)::

    python examples/from_deepxde.py

DeepXDE defines geometry, equation and network, and trains with Adam first, as usual. Then its loss at the
training points goes to `minimize` as a function of a flat vector, and the result back into its network.
"""

import os

os.environ.setdefault("DDE_BACKEND", "pytorch")

import deepxde as dde
import numpy as np
import torch

from twophase_min import minimize
from twophase_min.gradients import from_torch


def equation(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Residual of u'' = -pi^2 sin(pi x)."""
    return dde.grad.hessian(u, x) + np.pi**2 * torch.sin(np.pi * x)


def main() -> None:
    dde.config.set_default_float("float64")
    dde.config.set_random_seed(0)
    line = dde.geometry.Interval(-1, 1)
    ends = dde.icbc.DirichletBC(line, lambda x: 0.0, lambda x, on_boundary: on_boundary)
    data = dde.data.PDE(line, equation, ends, num_domain=32, num_boundary=2)
    model = dde.Model(data, dde.nn.FNN([1, 20, 20, 1], "tanh", "Glorot normal"))
    model.compile("adam", lr=1e-3)
    model.train(iterations=500, display_every=500, verbose=0)

    points = model.data.train_next_batch()  # inputs, targets, auxiliary variables: fixed from here on
    a = from_torch(model.net, loss=lambda net: model.outputs_losses_train(*points)[1].sum())
    print(a)
    result = minimize(a.fun, a.x0, jac=True, options={"convex_method": "memory-cg", "maxfun": 2000})
    model.net.load_state_dict(a.unflatten(result.x))
    print(f"loss {a.fun(a.x0)[0]:.3g} after Adam -> {result.fun:.3g}: {result.message}")

    x = np.linspace(-1, 1, 201)[:, None]
    exact = np.sin(np.pi * x)
    error = np.linalg.norm(model.predict(x) - exact) / np.linalg.norm(exact)
    print(f"relative L2 error of u: {error:.1e}")
    assert error < 1e-2


if __name__ == "__main__":
    main()
