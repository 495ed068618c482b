"""SciPy's own tests, from the installed SciPy, run against the two-phase method by substitution."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LOCAL = [
    # class or '', test, parameter ids to keep ('' for all)
    ("TestOptimizeSimple", "test_callback_stopiteration", "cg"),
    ("TestOptimizeSimple", "test_duplicate_evaluations", "cg"),
    ("TestOptimizeSimple", "test_finite_differences_jac", ""),
    ("TestOptimizeSimple", "test_minimize_callback_copies_array", "cg"),
    ("TestOptimizeSimple", "test_minimize_tol_parameter", ""),
    ("TestOptimizeSimple", "test_minimize_warnings_gh1953", "cg"),
    ("TestOptimizeSimple", "test_nan_values", "cg"),
    ("TestOptimizeSimple", "test_no_increase", "cg"),
    ("TestOptimizeSimple", "test_respect_maxiter", "CG"),
    ("TestOptimizeSimple", "test_bfgs_nan_return", ""),
    ("TestOptimizeSimple", "test_bfgs_double_evaluations", ""),
    ("TestOptimizeSimple", "test_minimize_coerce_args_param", ""),
    ("TestOptimizeSimple", "test_ndim_error", ""),
    ("TestOptimizeWrapperDisp", "test_cg_cornercase", ""),
    ("TestOptimizeWrapperNoDisp", "test_cg_cornercase", ""),
    ("TestOptimizeNoWrapperDisp", "test_cg_cornercase", ""),
    ("TestOptimizeNoWrapperNoDisp", "test_cg_cornercase", ""),
    ("TestOptimizeWrapperDisp", "test_invalid_c1_c2", ""),
    ("TestOptimizeWrapperNoDisp", "test_invalid_c1_c2", ""),
    ("TestOptimizeNoWrapperDisp", "test_invalid_c1_c2", ""),
    ("TestOptimizeNoWrapperNoDisp", "test_invalid_c1_c2", ""),
    ("TestOptimizeWrapperDisp", "test_bfgs_infinite", ""),
    ("TestOptimizeWrapperNoDisp", "test_bfgs_infinite", ""),
    ("TestOptimizeResultAttributes", "test_attributes_present", ""),
    ("TestGlobalOptimization", "test_optimize_result_attributes", ""),
    ("TestWorkers", "test_smoke", "CG"),
    ("", "test_minimize_maxiter_noninteger", "cg"),
    ("", "test_result_x_shape_when_len_x_is_one", ""),
    ("", "test_x_overwritten_user_function", ""),
    ("", "test_obj_func_returns_scalar", ""),
]
"""What a substitute for SciPy's CG and default method can be held against.

Left out, with reasons. test_initial_step_scaling asserts SciPy's own first step, a length of 1 whatever the
units of x; ours comes from the problem, which is the point of the probe. test_cg asserts the exact number of
calls that SciPy's CG needs; its assertion on the solution is `test_the_solution_of_test_cg` below.
"""

GLOBAL = [("", "test_all_minimizers", ""), ("", "test_all_nograd_minimizers", "")]


def selected(module: str, tests: list[tuple[str, str, str]], tmp_path: Path, **environment: str) -> str:
    """Run the selected tests of one of SciPy's test modules, in a process of its own; return its output."""
    base = [sys.executable, "-m", "pytest", "-p", "tests.scipy_substitution", "-p", "no:cacheprovider"]
    base += ["-q", "-n", "0", "--pyargs", f"scipy.optimize.tests.{module}", "-o", "addopts="]
    env = dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    env.update(environment)
    listing = subprocess.run(
        [*base, "--collect-only"], capture_output=True, text=True, env=env, cwd=tmp_path, timeout=300
    )
    ids = [line for line in listing.stdout.splitlines() if "::" in line]
    wanted = []
    for owner, test, parameter in tests:
        pattern = (f"::{owner}" if owner else "") + f"::{test}"
        found = []
        for item in ids:
            path, _, parameters = item.partition("[")
            if not path.endswith(pattern):
                continue
            if parameter and parameters and not re.search(rf"(^|-|_){parameter}(-|\]|$)", parameters):
                continue
            found.append(item)
        assert found, f"{module} has no test {owner}::{test}[{parameter}]"
        wanted += found
    names = " or ".join(sorted({test for _, test, _ in tests}))
    keep = tmp_path / "wanted.txt"
    keep.write_text("\n".join(item.split("::", 1)[1] for item in wanted))
    run = subprocess.run(
        [*base, "-k", names],
        capture_output=True,
        text=True,
        env=dict(env, SUBSTITUTION_KEEP=str(keep)),
        cwd=tmp_path,
        timeout=900,
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    passed = re.search(r"(\d+) passed", run.stdout)
    assert passed, run.stdout
    assert int(passed[1]) == len(wanted), run.stdout[-3000:]
    substituted = re.search(r"substituted calls: (\d+)", run.stdout)
    assert substituted, run.stdout
    assert int(substituted[1]) >= len(wanted) // 2, "the substitution did not reach the tests"
    return run.stdout


@pytest.mark.slow
def test_scipy_optimize_suite(tmp_path):
    selected("test_optimize", LOCAL, tmp_path)


@pytest.mark.slow
def test_scipy_basinhopping_suite(tmp_path):
    selected("test__basinhopping", GLOBAL, tmp_path)


def test_the_solution_of_test_cg():
    import numpy as np

    from twophase_min import minimize

    F = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 1], [1, 0, 0], [1, 0, 0]], dtype=float)
    K = np.array([1.0, 0.3, 0.5])

    def func(x):
        return np.log(np.sum(np.exp(F @ x))) - K @ x

    def grad(x):
        p = np.exp(F @ x)
        return F.T @ (p / p.sum()) - K

    result = minimize(func, np.zeros(3), jac=grad)
    assert result.success
    assert abs(func(result.x) - func(np.array([0.0, -0.524869316, 0.487525860]))) < 1e-6
