"""The driver: the handover and what it hands over, the fallbacks, the way back, the record of it all."""

import collection as problems
import numpy as np
import pytest
import scipy.optimize
from scipy.optimize import OptimizeResult, rosen, rosen_der

from twophase_min import Status, minimize
from twophase_min.phases import FAILED
from twophase_min.phases import scipy as scipy_phase

START = np.array([-1.2, 1.0, -0.5])
CONVEX = ["convex_quadratic", "logistic_regression", "log_sum_exp", "powell_singular"]


class Counted:
    """A problem's value and gradient, with every point that they were asked for."""

    def __init__(self, problem):
        self.problem, self.values, self.gradients = problem, [], []

    def fun(self, x):
        self.values.append(np.array(x))
        return self.problem.fun(x)

    def jac(self, x):
        self.gradients.append(np.array(x))
        return self.problem.grad(x)


# ---- the handover ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONVEX)
@pytest.mark.parametrize("convex_method", ["CG", "memory-cg", "BFGS", "L-BFGS-B"])
def test_on_a_convex_start_adam_costs_nothing(name, convex_method):
    """The convex phase makes the first step, from x0, before anything else is evaluated, and Adam none."""
    counted = Counted(problems.get(name))
    result = minimize(
        counted.fun, counted.problem.x0, jac=counted.jac, options={"convex_method": convex_method}
    )
    assert result.success, result.message
    first = result.swaps[0]
    assert (first["from"], first["to"]) == ("start", convex_method)
    assert first["evaluations"] == 2  # a value and a gradient at x0, which any method needs
    assert first["iteration"] == 0
    assert (first["loss"], first["norm"]) == (result.history.fun[0], result.history.grad_norm[0])
    assert "adam" not in result.history.phase


@pytest.mark.parametrize("options", [{"swap": "norm-peak"}, {"learning_rate": 0.01}, {"max_swaps": 0}])
def test_where_a_rule_or_a_rate_is_given_adam_makes_the_first_step(options):
    result = minimize(rosen, START, jac=rosen_der, options={**options, "maxiter": 50})
    assert result.history.phase[1] == "adam"
    assert all(swap["from"] != "start" for swap in result.swaps)


@pytest.mark.parametrize("options", [{}, {"swap": 1}])
def test_no_point_is_evaluated_twice_at_the_handover(options):
    """The convex phase begins from x0, or from the accepted probe of Adam, without asking again."""
    for convex_method in ("CG", "memory-cg"):
        counted = Counted(problems.get("convex_quadratic"))
        options = {"convex_method": convex_method, **options}
        minimize(counted.fun, counted.problem.x0, jac=counted.jac, options=options)
        first = [point.tobytes() for point in counted.values[:10]]
        assert len(set(first)) == len(first)
        first = [point.tobytes() for point in counted.gradients[:10]]
        assert len(set(first)) == len(first)


def test_the_convex_phase_begins_at_the_best_point():
    """Adam with a far too long rate leaves the best point behind; the handover goes back to it."""
    begun = []

    def convex_method(fun, x0, args=(), jac=None, **options):
        begun.append(fun(np.array(x0)))
        return scipy.optimize.minimize(fun, x0, jac=jac, method="BFGS")

    options = {"learning_rate": 0.5, "swap": 8, "guard": False, "convex_method": convex_method}
    result = minimize(rosen, START, jac=rosen_der, options=options)
    before = result.history.fun[: result.swaps[0]["iteration"] + 1]
    assert before[-1] > before.min()  # it was left behind indeed
    assert begun[0] == before.min()


@pytest.mark.parametrize("swap", [1, 5, 20])
def test_a_fixed_swap_hands_over_after_that_many_iterations(swap):
    result = minimize(rosen, START, jac=rosen_der, options={"swap": swap, "guard": False})
    assert result.swaps[0]["iteration"] == swap
    assert (result.history.phase[1 : swap + 1] == "adam").all()
    assert result.history.phase[swap + 1] == "CG"


def test_every_handover_is_recorded_with_its_reason():
    result = minimize(rosen, START, jac=rosen_der, options={"swap": 6, "convex_method": "memory-cg"})
    assert result.success
    for swap in result.swaps:
        assert {"iteration", "evaluations", "loss", "norm", "peak", "from", "to", "reason"} <= swap.keys()
        assert swap["reason"]
        row = swap["iteration"]
        assert swap["evaluations"] >= result.history.cost[row]
    first = result.swaps[0]
    assert first["loss"] == result.history.fun[first["iteration"]]
    assert first["norm"] == result.history.grad_norm[first["iteration"]]


# ---- more than one ---------------------------------------------------------------------------------------


def brittle(patience):
    """A convex method that is sound but gives up after a few iterations."""

    def method(fun, x0, args=(), jac=None, callback=None, **options):
        done = []

        def count(x):
            done.append(x)
            callback(x)
            if len(done) >= patience:
                raise StopIteration

        result = scipy.optimize.minimize(fun, x0, jac=jac, method="CG", callback=count)
        return OptimizeResult(x=result.x, message="gave up on purpose")

    return method


def test_one_run_can_swap_more_than_once(monkeypatch):
    """With its fallbacks taken away, a convex method that gives up is tried again after Adam."""
    monkeypatch.setattr("twophase_min.run.driver.fallbacks", lambda options: [("convex", False)])
    options = {"convex_method": brittle(3), "gtol": 1e-4}
    result = minimize(rosen, START, jac=rosen_der, options=options)
    assert result.success, result.message
    handovers = [swap for swap in result.swaps if swap["to"] == "convex"]
    returns = [swap for swap in result.swaps if swap["to"] == "adam"]
    assert len(handovers) >= 2
    assert all("gave up on purpose" in swap["reason"] for swap in returns)
    directions = [swap["to"] for swap in result.swaps]
    assert directions == (["convex", "adam"] * len(handovers))[: len(directions)]
    losses = [swap["loss"] for swap in returns]
    assert losses == sorted(losses, reverse=True)  # nothing is lost on the way


# ---- the fallbacks ---------------------------------------------------------------------------------------


@pytest.fixture
def broken(monkeypatch):
    """SciPy's minimisers find nothing."""

    def minimizer(fun, x0, **keywords):
        fun(x0)
        return OptimizeResult(x=x0, message="broken on purpose")

    monkeypatch.setattr(scipy_phase, "scipy_minimize", minimizer)


@pytest.mark.parametrize("convex_method", ["CG", "BFGS", "L-BFGS-B"])
def test_the_fallbacks_come_in_order(broken, convex_method):
    """Scaled variables, plain variables, our own conjugate gradients."""
    result = minimize(rosen, START, jac=rosen_der, options={"convex_method": convex_method})
    assert result.success, result.message
    assert np.linalg.norm(result.jac, ord=np.inf) <= 1e-5
    assert [swap["to"] for swap in result.swaps[:3]] == [convex_method, convex_method, "memory-cg"]
    assert [swap["from"] for swap in result.swaps[:3]] == ["start", convex_method, convex_method]
    assert all("broken on purpose" in swap["reason"] for swap in result.swaps[1:3])


def test_without_a_preconditioner_there_is_none_to_drop(broken):
    result = minimize(rosen, START, jac=rosen_der, options={"precondition": None})
    assert result.success, result.message
    assert [swap["to"] for swap in result.swaps[:2]] == ["CG", "memory-cg"]


def test_below_our_own_gradients_comes_adam_and_then_the_diagnosis(broken, monkeypatch):
    from twophase_min.phases.memory_cg import MemoryCG

    def start(self, *arguments, **keywords):
        begin(self, *arguments, **keywords)
        self.view.code = FAILED
        return 5

    begin = MemoryCG.start
    monkeypatch.setattr(MemoryCG, "start", start)
    monkeypatch.setattr(MemoryCG, "need", property(lambda self: 5))
    result = minimize(rosen, START, jac=rosen_der, options={"maxiter": 400})
    tos = [swap["to"] for swap in result.swaps]
    assert tos[:4] == ["CG", "CG", "memory-cg", "adam"]
    assert result.phases[-1]["name"] == "adam"  # the only one that works does the work
    assert result.fun < 0.5 * rosen(START)


def test_fallbacks_that_gain_nothing_end_the_run():
    """A gradient of the wrong sign: nothing finds a decrease, and the run ends soon, and says so."""
    counted = []

    def fun(x):
        counted.append(x)
        return float(x @ x)

    result = minimize(fun, START, jac=lambda x: -2 * x)
    assert result.status == Status.PRECISION_LOSS
    assert not result.success
    assert result.nfev == len(counted) < 400
    assert "What ended it" in result.message


def test_working_precision_is_success_and_says_so():
    """gtol is out of reach of the rounding of f; the gradient is as small as it allows."""

    def fun(x):
        return 1e6 + float(np.cosh(x[0] - 0.3) + 3 * np.cosh(x[1] + 0.7))

    def jac(x):
        return np.array([np.sinh(x[0] - 0.3), 3 * np.sinh(x[1] + 0.7)])

    for convex_method in ("CG", "memory-cg"):
        options = {"gtol": 1e-30, "convex_method": convex_method}
        result = minimize(fun, [2.0, 1.0], jac=jac, options=options)
        assert result.success, result.message
        if result.status == Status.WORKING_PRECISION:
            assert "working precision" in result.message
            assert np.max(np.abs(result.jac * result.x)) / abs(result.fun) <= 1e-7
        else:
            assert np.max(np.abs(result.jac)) <= 1e-30
        np.testing.assert_allclose(result.x, [0.3, -0.7], atol=1e-4)


def test_working_precision_is_claimed_at_the_best_point_only():
    """A jump parts two basins; the run that ends flat in the higher one has seen the lower one."""
    seen = []

    def fun(x):
        seen.append(rosen(x) + (1.0 if x[0] < 0 else 5.0))
        return seen[-1]

    for convex_method in ("CG", "memory-cg"):
        seen.clear()
        result = minimize(fun, START, jac=rosen_der, options={"convex_method": convex_method})
        assert result.fun == pytest.approx(min(seen), rel=1e-12)


# ---- the change of variables -----------------------------------------------------------------------------


def diagonal_quadratic(curvatures):
    """f = 1/2 sum c_i x_i^2, and what counts its evaluations."""
    c = np.asarray(curvatures, dtype=float)
    return lambda x: 0.5 * float(x @ (c * x)), lambda x: c * x


def test_the_change_of_variables_reaches_scipys_cg():
    """SciPy's CG in the driver's variables walks the path of preconditioned conjugate gradients.

    The textbook recursion with the same H = S S', exact line searches and Polak-Ribiere's formula, is written
    out here; on a quadratic with a tight Wolfe search both agree to a few digits for the first iterates.
    """
    from twophase_min.phases.scaling import Scaling

    c = np.array([1.0, 10.0, 100.0, 1000.0])
    fun, jac = diagonal_quadratic(c)
    x0 = np.array([1.0, -1.0, 0.5, 2.0])
    scaling = Scaling(x0.copy(), c**-0.25)
    path = []

    class Plain:
        value = staticmethod(fun)
        gradient = staticmethod(jac)

    scipy_phase.run(
        "CG", Plain(), scaling, lambda x: path.append(np.array(x)), lambda x, g: None,
        c1=1e-9, c2=1e-8, options={"maxiter": 3}, hessp=lambda x, p: c * p,
    )  # fmt: skip
    x, h = x0.copy(), c**-0.5  # the diagonal of S S'
    g = jac(x)
    p = -h * g
    for reached in path[:3]:
        x = x + (-(g @ p) / (p @ (c * p))) * p
        new = jac(x)
        beta = max(0.0, ((h * new) @ (new - g)) / ((h * g) @ g))
        p, g = -h * new + beta * p, new
        np.testing.assert_allclose(reached, x, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("convex_method", ["CG", "memory-cg"])
def test_scaled_variables_pay_where_the_scales_differ(convex_method):
    """Adam's second moments know the scales of a diagonal quadratic: fewer evaluations than without."""
    fun, jac = diagonal_quadratic(10.0 ** np.linspace(0, 5, 30))
    x0 = np.ones(30)
    cost = {}
    for precondition in (None, "adam"):
        options = {
            "precondition": precondition, "convex_method": convex_method, "swap": 15, "guard": False,
            "gtol": 1e-6,
        }  # fmt: skip
        if convex_method == "memory-cg":
            options["convex_options"] = {"memory": 0, "precondition": None}
        result = minimize(fun, x0, jac=jac, options=options)
        assert result.success, result.message
        cost[precondition] = result.nfev + result.njev
    assert cost["adam"] < 0.8 * cost[None]


@pytest.mark.parametrize("precondition", [None, "adam", "auto"])
@pytest.mark.parametrize("convex_method", ["CG", "BFGS", "L-BFGS-B", "Newton-CG", "trust-ncg", "memory-cg"])
def test_every_setting_finds_the_same_minimum_in_x(precondition, convex_method):
    """The change of variables never shows: x, jac and the callback are the caller's."""
    fun, jac = diagonal_quadratic([1.0, 100.0, 1e4])
    seen = []
    result = minimize(
        lambda x: fun(x - 2.0),
        np.array([1.0, 5.0, 3.0]),
        jac=lambda x: jac(x - 2.0),
        hessp=(lambda x, p: np.array([1.0, 100.0, 1e4]) * p)
        if convex_method.startswith(("N", "t"))
        else None,
        callback=lambda intermediate_result: seen.append((intermediate_result.x, intermediate_result.fun)),
        options={"precondition": precondition, "convex_method": convex_method, "gtol": 1e-8},
    )
    assert result.success, result.message
    np.testing.assert_allclose(result.x, 2.0, atol=1e-7)
    for x, f in seen:
        assert f == pytest.approx(fun(x - 2.0), rel=1e-9, abs=1e-15)


# ---- a gradient by differences ---------------------------------------------------------------------------


@pytest.mark.parametrize("convex_method", ["CG", "BFGS", "memory-cg"])
def test_a_best_value_that_is_lower_by_less_than_gtol_sees_does_not_hinder_convergence(convex_method):
    """Forward differences are wrong by 1e-5 here: a point just below the minimum's value fails the test."""
    result = minimize(rosen, START, jac="2-point", options={"convex_method": convex_method})
    assert result.success, result.message
    assert result.nfev < 1500
    np.testing.assert_allclose(result.x, 1.0, atol=1e-3)


# ---- the arrays of a run ---------------------------------------------------------------------------------


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("convex_method", ["CG", "L-BFGS-B", "memory-cg", "ssbroyden"])
def test_nobody_reaches_the_arrays_of_a_run(convex_method, fused):
    """Iterates, best and last points share arrays inside; what is handed out may be overwritten."""
    buffer = np.empty(3)

    def fun(x):
        f = rosen(x)
        x[:] = np.nan
        return f

    def jac(x):
        buffer[:] = rosen_der(x)
        x[:] = 1e9
        return buffer

    def both(x):
        f, slope = rosen(x), jac(x)
        return f, slope

    def spoil(intermediate_result):
        buffer[:] = -7.0
        for name in ("x", "jac"):
            intermediate_result[name][:] = np.nan

    options = {"convex_method": convex_method, "return_all": True}
    polite = minimize(
        (lambda x: (rosen(x), rosen_der(x))) if fused else rosen,
        START,
        jac=True if fused else rosen_der,
        options=options,
    )
    rude = minimize(
        both if fused else fun, START.copy(), jac=True if fused else jac, callback=spoil, options=options
    )
    assert rude.message == polite.message
    assert rude.nfev == polite.nfev
    np.testing.assert_array_equal(rude.allvecs, polite.allvecs)
    np.testing.assert_array_equal(rude.x, polite.x)
    np.testing.assert_array_equal(rude.jac, polite.jac)
    for name in ("x", "jac"):
        rude[name][:] = 5.0
    for name, value in polite.state.items():
        if name != "notes" and not name.startswith("history"):
            assert np.asarray(rude.state[name]).tobytes() == np.asarray(value).tobytes(), name
