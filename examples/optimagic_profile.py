"""
optimagic with the two-phase method
===================================

Parameters as a dict, a fixed one, and a profile beside SciPy's.

Needs optimagic: ``pip install "twophase_min[optimagic]"``::

    python examples/optimagic_profile.py

The profile is over optimagic's ten example problems, of Moré and Wild; the picture is written as HTML.
"""

import numpy as np
import optimagic as om

from twophase_min.optimagic import TwoPhase


def valley(params: dict) -> float:
    x = np.array([params["first"], *params["others"]])
    return float(np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2))


def main() -> None:
    start = {"first": -1.2, "others": np.array([1.0, -0.5])}
    for name, algorithm in (("twophase", TwoPhase), ("L-BFGS-B", "scipy_lbfgsb")):
        found = om.minimize(valley, start, algorithm=algorithm)
        print(f"{name:9s} {found.fun:.1e} after {found.n_fun_evals} values, {found.n_jac_evals} gradients")
    fixed = om.minimize(
        valley, start, algorithm=TwoPhase, constraints=om.FixedConstraint(lambda p: p["first"])
    )
    print(f"first held at {fixed.params['first']}: {fixed.fun:.6f}")

    problems = om.get_benchmark_problems("example")
    algorithms = {
        "twophase": {"algorithm": TwoPhase},
        "twophase, bfgs": {"algorithm": TwoPhase(convex_method="bfgs")},
        "L-BFGS-B": {"algorithm": "scipy_lbfgsb"},
        "BFGS": {"algorithm": "scipy_bfgs"},
    }
    results = om.run_benchmark(problems, algorithms)
    report = om.convergence_report(problems, results)
    for name in algorithms:
        print(f"{name:15s} solves {(report[name] == 'success').sum()} of {len(problems)} problems")
    om.profile_plot(problems, results).write_html("profile.html")
    print("picture: profile.html")


if __name__ == "__main__":
    main()
