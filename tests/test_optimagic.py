"""optimagic: the algorithm works with its minimize, its constraints, its history and its plots."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der

import twophase_min

START = np.array([-1.2, 1.0, -0.5])


@pytest.fixture(scope="module")
def om():
    return pytest.importorskip("optimagic")


@pytest.fixture(scope="module")
def TwoPhase(om):
    return twophase_min.optimagic.TwoPhase


def valley(params):
    return rosen(np.array([params["a"], *params["b"]]))


def test_the_run_is_that_of_minimize(om, TwoPhase):
    alone = twophase_min.minimize(rosen, START, jac=rosen_der, options={"gtol": 1e-7})
    algorithm = TwoPhase(convergence_gtol_abs=1e-7)
    result = om.minimize(rosen, START, jac=rosen_der, algorithm=algorithm)
    assert result.success
    assert result.fun == alone.fun
    np.testing.assert_array_equal(result.params, alone.x)
    assert (result.n_fun_evals, result.n_jac_evals) == (alone.nfev, alone.njev)
    assert result.n_iterations == alone.nit
    assert result.algorithm == "twophase"
    assert result.message == alone.message
    assert result.algorithm_output["swaps"] == alone.swaps


def test_trees_of_parameters_and_constraints_are_optimagics(om, TwoPhase):
    start = {"a": -1.2, "b": np.array([1.0, -0.5])}
    found = om.minimize(valley, start, algorithm=TwoPhase)
    assert found.success
    assert found.params["a"] == pytest.approx(1.0, abs=1e-3)
    np.testing.assert_allclose(found.params["b"], 1.0, atol=1e-3)
    fixed = om.minimize(valley, start, algorithm=TwoPhase, constraints=om.FixedConstraint(lambda p: p["a"]))
    assert fixed.success
    assert fixed.params["a"] == -1.2
    assert fixed.fun > 1
    above = om.maximize(lambda p: -valley(p), start, algorithm=TwoPhase)
    assert above.fun == pytest.approx(0.0, abs=1e-6)


def test_value_and_gradient_in_one_function(om, TwoPhase):
    def pair(x):
        return rosen(x), rosen_der(x)

    result = om.minimize(rosen, START, fun_and_jac=pair, algorithm=TwoPhase)
    assert result.success
    assert result.fun < 1e-8


@pytest.mark.parametrize(
    "given", [{}, {"upper": np.full(3, 0.5)}, {"lower": np.array([-np.inf, 0.0, -np.inf])}]
)
def test_bounds_reach_minimize(om, TwoPhase, monkeypatch, given):
    """optimagic says nothing where an algorithm leaves them out; minimize keeps to them, or warns."""
    handed = []

    def watched(*positional, bounds, **keywords):
        handed.append(bounds)
        return twophase_min.minimize(*positional, **keywords)

    monkeypatch.setattr(twophase_min.optimagic, "minimize", watched)
    om.minimize(rosen, np.zeros(3), jac=rosen_der, algorithm=TwoPhase, bounds=om.Bounds(**given))
    if not given:
        assert handed == [None]
    else:
        np.testing.assert_array_equal(handed[0].lb, given.get("lower", -np.inf))
        np.testing.assert_array_equal(handed[0].ub, given.get("upper", np.inf))


def test_options_by_optimagics_names(om, TwoPhase):
    def limited(**given):
        return om.minimize(rosen, START, jac=rosen_der, algorithm=TwoPhase, algo_options=given)

    stopped = limited(stopping_maxiter="3")
    assert not stopped.success
    assert stopped.n_iterations == 3
    assert limited(stopping_maxfun=5).n_fun_evals <= 5
    loose, tight = limited(convergence_gtol_abs=1e-1), limited(convergence_gtol_abs=1e-9)
    assert loose.success
    assert tight.success
    assert loose.n_fun_evals < tight.n_fun_evals
    assert np.linalg.norm(rosen_der(tight.params)) <= 1e-9
    adam_first = limited(options={"swap": "norm-peak"}, learning_rate=1e-3, convex_method="memory-cg")
    assert adam_first.algorithm_output["phases"][0]["name"] == "adam"
    assert {phase["name"] for phase in adam_first.algorithm_output["phases"]} == {"adam", "memory-cg"}
    with pytest.raises(om.exceptions.InvalidAlgoOptionError):
        TwoPhase(stopping_maxfun="many")


def test_history_and_plots_beside_scipys(om, TwoPhase):
    ours = om.minimize(rosen, START, jac=rosen_der, algorithm=TwoPhase)
    theirs = om.minimize(rosen, START, jac=rosen_der, algorithm="scipy_lbfgsb")
    assert len(ours.history.fun) == ours.n_fun_evals + ours.n_jac_evals
    assert np.nanmin(np.array(ours.history.fun, dtype=float)) == ours.fun
    picture = om.criterion_plot({"two-phase": ours, "L-BFGS-B": theirs})
    assert {trace.name for trace in picture.data} == {"two-phase", "L-BFGS-B"}
    assert om.params_plot(ours).data


def test_profile_plot_of_a_benchmark(om, TwoPhase):
    problems = om.get_benchmark_problems("example")
    algorithms = {"two-phase": {"algorithm": TwoPhase}, "L-BFGS-B": {"algorithm": "scipy_lbfgsb"}}
    results = om.run_benchmark(problems, algorithms)
    report = om.convergence_report(problems, results)
    assert (report["two-phase"] == "success").all()
    picture = om.profile_plot(problems, results)
    assert {trace.name for trace in picture.data} == set(algorithms)


def test_the_package_does_not_import_it_unasked():
    code = "import sys, twophase_min; twophase_min.minimize; print('optimagic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_without_it_the_error_names_the_extra():
    code = (
        "import sys; sys.modules['optimagic'] = None\n"
        "try:\n    import twophase_min.optimagic\nexcept ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'twophase_min[optimagic]'" in done.stdout


def test_bounds_hold_and_optimagic_knows_it(om, TwoPhase):
    lower = np.array([1.0, -np.inf, -np.inf])
    seen = []

    def fun(x):
        seen.append(x[0])
        return float(np.sum((x - 0.5) ** 2))

    result = om.minimize(
        fun, np.full(3, 2.0), jac=lambda x: 2 * (x - 0.5), algorithm=TwoPhase, bounds=om.Bounds(lower=lower)
    )
    assert TwoPhase.__algo_info__.supports_bounds
    assert TwoPhase.__algo_info__.supports_infinite_bounds
    np.testing.assert_allclose(result.params, [1.0, 0.5, 0.5], atol=1e-5)
    assert min(seen) >= 1.0
