"""Every example runs as it is and prints what it promises."""

import importlib.util
from pathlib import Path

import pytest
from scripts import output_of

EXAMPLES = Path(__file__).parents[1] / "examples"

PRINTED = {
    "bounded_rates": (
        "concentration =  2.259",
        "baseline =  0.0000, its lower bound",
        "half-lives of 0.38 and 4.1 hours",
        "twophase: loss 0.031865",
        "SLSQP: loss 0.0318",
        "the global search ends at the same point",
    ),
    "basinhopping": ("basinhopping: [1. 1.]", "shgo:         [1. 1.]"),
    "curve_fit_scipy": ("terminated successfully", "amplitude, rate, offset: [2.5"),
    "from_deepxde": ("variables in float64", "relative L2 error of u: "),
    "from_jax": ("321 variables in float64", "terminated successfully", "relative L2 error of u: "),
    "from_pina": ("variables in float64", "relative L2 error of u: "),
    "from_pytorch": ("193 variables in float64", "terminated successfully"),
    "curve_fit_errors": ("Misra1a", "certified to 10 digits"),
    "detector_csv": (
        "is positive from epoch 89 on",
        "norm-peak-median: at index 124",
        "norm-against-loss: at index 99",
    ),
    "detector_pytorch": (
        "swap: gradient norm",
        "passes over the data later:",
        "L-BFGS loss 0.02",
        "Adam   loss 0.0",
    ),
    "detector_sklearn": ("swap: gradient norm", "conjugate gradients: loss 0.00", "Adam: loss 0.1"),
    "dask_starts": ("30 of 30 problems solved", "was killed; rows equal: True"),
    "exponentials": ("MGH17: 33 points", "two-phase 10.", "Lanczos3: 24 points", "b6 = 4.98636 +- 0.034"),
    "killed_and_resumed": ("in one go:", "killed 2:", "x equal: True"),
    "basinhopping_peers": ("twophase, memory-cg  -44.326801", "L-BFGS-B"),
    "likelihoods": ("Student's t, magnesium", "stats.t.fit", "200.57875897", "EM 200.578758"),
    "lmfit_robust": ("least squares, spoilt", "twophase  loss 45.0866", "L-BFGS-B  loss 45.0866"),
    "logistic": ("standardised: 569 rows", "twophase  f = 0.05982794", "twophase  f = 0.09088463"),
    "many_fits": ("10000 of 10000 problems solved", "or lower: 300 of 300"),
    "optimagic_profile": ("twophase        solves 10 of 10", "BFGS            solves"),
    "pinn_pytorch": ("twophase, ssbroyden  loss", "torch L-BFGS         loss"),
    "finite_sum": ("terminated successfully", "correlation with the true weights: 0.9"),
    "mlp_digits": ("start -> ", "held-out accuracy 0.9"),
    "sklearn_pipeline": ("two-phase ", "start -> ", "held-out accuracy 0.9", "grid search: "),
    "property_test": ("25 random quadratics minimised by each", "the fault is found: "),
    "quick_start": ("success: True", "start to CG", " bmi: "),
    "maximum_likelihood": ("log shape", "between 0.6"),
    "lennard_jones": ("the icosahedron",),
    "logistic_raw_columns": ("two-phase, memory-cg: loss 0.059828", "98.8 % of the tumours"),
    "million_variables": ("1,024,800 variables", "0.100 -> 0.05"),
}
OTHERS = {"decay_stack"}
"""Tested with multistart."""
NEEDS = {
    "dask_starts": "distributed",
    "detector_pytorch": "torch",
    "detector_sklearn": "sklearn",
    "likelihoods": "sklearn",
    "lmfit_robust": "lmfit",
    "logistic": "sklearn",
    "optimagic_profile": "optimagic",
    "pinn_pytorch": "torch",
    "from_deepxde": "deepxde",
    "from_jax": "jax",
    "from_pina": "pina",
    "from_pytorch": "torch",
    "sklearn_pipeline": "sklearn",
}
"""What an example needs that the tests do not."""


def test_no_example_is_forgotten():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(PRINTED) | OTHERS


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PRINTED))
def test_example(name, tmp_path):
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:  # not imported: it takes seconds
        pytest.skip(f"needs {NEEDS[name]}")
    printed = output_of(EXAMPLES / f"{name}.py", cwd=tmp_path, path=EXAMPLES.parent, MPLBACKEND="Agg")
    for text in PRINTED[name]:
        assert text in printed, printed
