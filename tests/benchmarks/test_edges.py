"""The functions with edges: each minimum is what the benchmark takes for it, and lies inside."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import edges


@pytest.mark.parametrize("seed", edges.SEEDS[:12])
def test_a_search_without_gradients_finds_the_minimum(seed):
    """Nelder and Mead's simplex, begun anew twice, finds no lower value and comes close."""
    fun, x0, least = edges.problem(seed)
    assert math.isfinite(fun(x0))
    x = x0
    with np.errstate(all="ignore"):
        for _ in range(3):
            found = minimize(
                lambda x: np.nan_to_num(fun(x), nan=math.inf),
                x,
                method="Nelder-Mead",
                options={"maxfev": 4000, "xatol": 1e-9, "fatol": 1e-12, "adaptive": True},
            )
            x = found.x
    slack = 1e-6 * max(1.0, abs(least))
    assert least - 1e-9 * max(1.0, abs(least)) <= found.fun <= least + slack


def test_what_a_method_is_charged():
    """A start at the minimum is right, and its calls are counted; a run beyond the budget is wrong."""
    right, calls = edges.measured("memory-cg", 1)
    assert right
    assert 2 < calls < 1000


def test_a_run_ends_with_the_budget(monkeypatch):
    monkeypatch.setattr(edges, "BUDGET", 3)
    assert edges.measured("scipy BFGS", 1) == (False, 3)
