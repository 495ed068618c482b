"""Every example runs as it is and prints what it promises."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"

PRINTED = {
    "basinhopping": ("basinhopping: [1. 1.]", "shgo:         [1. 1.]"),
    "curve_fit_scipy": ("terminated successfully", "amplitude, rate, offset: [2.5"),
    "finite_sum": ("terminated successfully", "correlation with the true weights: 0.9"),
    "mlp_digits": ("adam -> ", "held-out accuracy 0.9"),
    "property_test": ("25 random quadratics minimised",),
}
OTHERS = {"detector_csv", "detector_pytorch", "detector_sklearn", "decay_stack"}
"""Examples of the detector and of multistart; tested with them."""


def test_no_example_is_forgotten():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(PRINTED) | OTHERS


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PRINTED))
def test_example(name, tmp_path):
    env = dict(os.environ, PYTHONPATH=str(EXAMPLES.parent), MPLBACKEND="Agg")
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py")],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for text in PRINTED[name]:
        assert text in done.stdout, done.stdout
