"""The package as a type checker sees it from a user's script."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

SCRIPT = """
import numpy as np
from numpy.typing import NDArray

from twophase_min import (
    ConvexitySwapDetector,
    FiniteSum,
    Status,
    TwoPhaseOptions,
    check_gradient,
    curve_fit,
    detect_swap,
    minimize,
    multistart,
)
from twophase_min.curvature import convexity_report, standard_errors
from twophase_min.networks import MLP

Vector = NDArray[np.float64]


def fun(x: Vector) -> float:
    return float(x @ x)


def slope(x: Vector) -> Vector:
    return 2 * x


result = minimize(fun, np.ones(3), jac=slope, options={"maxfun": 100})
x: Vector = result.x
error, index = check_gradient(fun, slope, x)
assert error < 1e-6
found = multistart(fun, 4, bounds=[(-1, 1)] * 3, jac=slope, seed=0)
best: Vector = found.x_best
decision = ConvexitySwapDetector("norm-peak").update(1.0, 2.0)
reason: str = decision.reason
at: int | None = detect_swap([1.0, 0.5], [1.0, 0.2]).index
assert TwoPhaseOptions(maxfun=10).maxfun == 10
assert result.status == Status.CONVERGED
popt, pcov, *_ = curve_fit(lambda t, a: a * t, np.arange(3.0), np.arange(3.0) + [0.0, 0.1, 0.0])
verdict: str = convexity_report(fun, x, jac=slope).verdict
errors = standard_errors(fun, x, jac=slope).standard_errors
weights = MLP([2, 3, 1]).init(0)
"""

WRONG = """
from twophase_min import ConvexitySwapDetector

decision: str = ConvexitySwapDetector("norm-peak").update(1.0, 2.0)
"""


def checked(script: Path) -> str:
    """What a strict mypy says of a script, leaving out what it says of the package itself."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--ignore-missing-imports", "--follow-imports=silent",
         "--config-file", "", str(script)],
        capture_output=True, text=True, cwd=ROOT, timeout=600,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="needs mypy")
def test_a_typed_script_passes_the_strict_checks_and_runs(tmp_path):
    """The types are there: the right script passes, one that takes a decision for a text does not."""
    script = tmp_path / "user.py"
    script.write_text(SCRIPT)
    assert "Success" in checked(script)
    subprocess.run([sys.executable, str(script)], check=True, cwd=ROOT, timeout=600)
    script.write_text(WRONG)
    assert "Incompatible types" in checked(script)
