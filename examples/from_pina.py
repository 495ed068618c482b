"""From PINA
=========

A second phase for PINA: the loss of its solver, minimised outside of its trainer.

Needs PINA: ``pip install pina-mathlab "twophase_min[torch]"`` (written for 0.3.2)::

    python examples/from_pina.py

PINA defines domains, equations and solver, and its trainer makes some steps of Adam. Then the residuals of
all its conditions go to `minimize` as a function of a flat vector, and the result back into its model.
"""

import logging
import math
import warnings

import torch
from pina import Condition, Trainer
from pina.domain import CartesianDomain
from pina.equation import Equation, FixedValue
from pina.model import FeedForward
from pina.operator import laplacian
from pina.problem import SpatialProblem
from pina.solver import PINN

from twophase_min import minimize
from twophase_min.gradients import from_torch


def poisson(points: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Residual of u'' = -pi^2 sin(pi x)."""
    return laplacian(u, points) + math.pi**2 * torch.sin(math.pi * points.extract("x"))


class Poisson(SpatialProblem):
    """The equation on (0, 1), and u = 0 at both ends."""

    output_variables = ["u"]  # noqa: RUF012
    spatial_domain = CartesianDomain({"x": [0, 1]})
    domains = {  # noqa: RUF012
        "inside": spatial_domain,
        "left": CartesianDomain({"x": 0.0}),
        "right": CartesianDomain({"x": 1.0}),
    }
    conditions = {  # noqa: RUF012
        "inside": Condition(domain="inside", equation=Equation(poisson)),
        "left": Condition(domain="left", equation=FixedValue(0.0)),
        "right": Condition(domain="right", equation=FixedValue(0.0)),
    }


def main() -> None:
    warnings.filterwarnings("ignore", module="(lightning|pina|torch).*")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    problem = Poisson()
    problem.discretise_domain(32, "grid", domains="inside")
    problem.discretise_domain(1, "grid", domains=["left", "right"])
    model = FeedForward(1, 1, layers=[20, 20], func=torch.nn.Tanh)
    solver = PINN(problem, model)
    Trainer(
        solver,
        max_epochs=200,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).train()

    def loss(_: torch.nn.Module) -> torch.Tensor:
        """Sum over the conditions of the mean square of their residuals; the solver holds the model."""
        residuals = [
            condition.evaluate({"input": condition.input.clone()}, solver)
            for condition in problem.conditions.values()
        ]
        return sum(residual.as_subclass(torch.Tensor).square().mean() for residual in residuals)

    a = from_torch(model, loss=loss)
    print(a)
    result = minimize(a.fun, a.x0, jac=True, options={"convex_method": "memory-cg", "maxfun": 2000})
    model.load_state_dict(a.unflatten(result.x))
    print(f"loss {a.fun(a.x0)[0]:.3g} after Adam -> {result.fun:.3g}: {result.message}")

    x = torch.linspace(0, 1, 101)[:, None]
    with torch.no_grad():
        u = model(x).as_subclass(torch.Tensor)
    exact = torch.sin(math.pi * x)
    error = (torch.linalg.norm(u - exact) / torch.linalg.norm(exact)).item()
    print(f"relative L2 error of u: {error:.1e}")
    assert error < 1e-2


if __name__ == "__main__":
    main()
