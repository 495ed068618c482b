"""minimize(method='twophase') as a whole: stops, result, the paper's examples, finite sums, networks."""

from functools import cache, partial
from types import SimpleNamespace

import autograd.numpy as anp
import numpy as np
import pytest
import scipy.optimize
from scipy.optimize import OptimizeResult, rosen, rosen_der

from twophase_min import FiniteSum, Status, minimize, problems
from twophase_min.networks import MLP
from twophase_min.objective import clock as _clock
from twophase_min.phases.adam import Adam
from twophase_min.run import epochs as run_epochs

START = np.array([-1.2, 1.0, -0.5])  # with three variables the minimum at 1 is the only one
CONVEX = [
    "CG",
    "BFGS",
    "L-BFGS-B",
    "Newton-CG",
    "trust-ncg",
    "trust-krylov",
    "memory-cg",
    "ssbroyden",
    "bfgs",
]


class Recorder:
    """Rosenbrock's function and gradient; counts, remembers the least value, can raise at any evaluation."""

    def __init__(self, at=None, error=None):
        self.at, self.error = at, error
        self.evaluations = self.values = self.gradients = 0
        self.least = np.inf
        self.probes = 0  # set where the gradient, or its check, costs values at points of its own

    def _evaluation(self):
        self.evaluations += 1
        if self.evaluations == self.at:
            raise self.error

    def fun(self, x):
        self.values += 1
        self._evaluation()
        f = rosen(x)
        self.least = min(self.least, f)
        return f

    def jac(self, x):
        self.gradients += 1
        self._evaluation()
        return rosen_der(x)

    def both(self, x):
        self.values += 1
        self._evaluation()
        f = rosen(x)
        self.least = min(self.least, f)
        return f, rosen_der(x)

    def traced(self, x):
        self.values += 1
        self._evaluation()
        f = anp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
        self.least = min(self.least, float(getattr(f, "_value", f)))
        return f


def run(recorder, jac="callable", **keywords):
    recorder.probes = jac in ("none", "2-point")
    fun, gradient = {
        "callable": (recorder.fun, recorder.jac),
        "fused": (recorder.both, True),
        "none": (recorder.traced, None),
        "2-point": (recorder.fun, "2-point"),
    }[jac]
    return minimize(fun, START, jac=gradient, **keywords)


def assert_is_the_best(result, recorder):
    """The result is the best point that was evaluated, and says the truth about it."""
    if np.isfinite(recorder.least):
        # the points that differences look at lie beside the path, lower by no more than the step's 1e-8
        assert recorder.least <= result.fun <= recorder.least + 1e-5 * (recorder.probes > 0)
        assert result.fun == pytest.approx(rosen(result.x), rel=1e-12)
        assert result.fun <= rosen(START)
    else:
        np.testing.assert_array_equal(result.x, START)
        assert np.isnan(result.fun)
    if np.all(np.isfinite(result.jac)):
        np.testing.assert_allclose(result.jac, rosen_der(result.x), rtol=1e-4, atol=1e-4)


# ---- Ctrl-C and exceptions at every evaluation -----------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("convex_method", "jac"),
    [(name, "callable") for name in CONVEX]
    + [(name, jac) for name in ("CG", "memory-cg") for jac in ("fused", "none", "2-point")],
)
def test_ctrl_c_and_exceptions_at_every_evaluation_keep_the_best_point(convex_method, jac):
    """Exhaustive: raise at evaluation k, for every k of the run, in each of three ways."""
    maxfun = {"callable": 18, "fused": 30, "none": 25, "2-point": 60}[jac]
    if (convex_method, jac) == ("CG", "callable"):
        maxfun = 50  # about 100 evaluations
    options = {"convex_method": convex_method, "maxfun": maxfun, "gtol": 1e-11}
    whole = Recorder()
    run(whole, jac, options=options)
    assert whole.evaluations >= 25
    for k in range(1, whole.evaluations + 1):
        recorder = Recorder(k, KeyboardInterrupt())
        result = run(recorder, jac, options=options)
        if not (result.status == Status.MAXFUN and recorder.evaluations == k == whole.evaluations):
            assert result.status == Status.INTERRUPTED, k
        assert not result.success
        assert_is_the_best(result, recorder)
        assert result.nfev == recorder.values

        if jac == "none" and k == 1:
            continue  # an exception under autograd means "not traceable": differences take over
        recorder = Recorder(k, RuntimeError("at k"))
        result = run(recorder, jac, options={**options, "on_error": "return"})
        if recorder.evaluations == k and result.status != Status.MAXFUN:
            assert result.status == Status.EXCEPTION, k
            assert "RuntimeError: at k" in result.message
        assert not result.success
        assert_is_the_best(result, recorder)

        recorder = Recorder(k, RuntimeError("at k"))
        if k == whole.evaluations:
            continue  # it may be the gradient at the best point, asked for after the stop
        with pytest.raises(RuntimeError) as caught:
            run(recorder, jac, options=options)
        assert caught.value is recorder.error
        if np.isfinite(recorder.least):
            assert_is_the_best(caught.value.optimize_result, recorder)
            assert not caught.value.optimize_result.success


@pytest.mark.slow
@pytest.mark.parametrize("convex_method", ["CG", "memory-cg"])
def test_every_one_of_two_hundred_evaluations_may_be_the_last(convex_method, monkeypatch):
    """Exhaustive: Ctrl-C, an exception and the time limit at evaluation k; the best point each time."""
    clock = [0.0]  # an evaluation takes a second
    monkeypatch.setattr(_clock, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    x0 = np.array([-1.2, 1.0] * 7)

    def stopped(limit, error=None, **options):
        values = []
        clock[0] = 0.0

        def tick():
            clock[0] += 1.0
            if clock[0] == limit and error is not None:
                raise error

        def fun(x):
            tick()
            values.append(float(rosen(x)))
            return values[-1]

        def jac(x):
            tick()
            return rosen_der(x)

        given = {"convex_method": convex_method, "gtol": 0.0, **options}
        return minimize(fun, x0, jac=jac, options=given), min(values, default=np.nan)

    for k in range(1, 201):
        runs = {
            Status.INTERRUPTED: stopped(k, KeyboardInterrupt()),
            Status.EXCEPTION: stopped(k, RuntimeError("at k"), on_error="return"),
            Status.MAXTIME: stopped(k, maxtime=k - 0.5),
        }
        for status, (result, least) in runs.items():
            assert result.status == status, k
            assert not result.success
            np.testing.assert_equal(result.fun, least)
            if np.isfinite(least):
                assert result.fun == pytest.approx(rosen(result.x), rel=1e-12)
            assert result.nfev + result.njev == k


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError()])
def test_an_interrupt_after_the_stop_does_not_lose_the_result(error):
    """A target is reached by a value alone; the gradient there is asked for last, for the result's sake."""
    whole = Recorder()
    run(whole, options={"f_target": 1.0})
    recorder = Recorder(whole.evaluations, error)
    result = run(recorder, options={"f_target": 1.0})
    assert result.status == Status.TARGET
    assert result.success
    assert result.fun <= 1.0
    assert recorder.evaluations == recorder.at == recorder.values + recorder.gradients
    assert np.all(np.isnan(result.jac))


def test_stop_iteration_from_fun_is_the_users_exception():
    recorder = Recorder(20, StopIteration("mine"))
    with pytest.raises(StopIteration, match="mine"):
        run(recorder)


def test_an_exception_of_the_callback_propagates_with_the_best_point():
    def callback(x):
        if len(seen) == 5:
            raise ZeroDivisionError("in the callback")
        seen.append(x)

    seen = []
    recorder = Recorder()
    with pytest.raises(ZeroDivisionError) as error:
        run(recorder, callback=callback, options={"on_error": "return"})
    assert_is_the_best(error.value.optimize_result, recorder)


# ---- limits ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jac", ["callable", "fused", "none", "2-point"])
@pytest.mark.parametrize("convex_method", ["CG", "L-BFGS-B", "memory-cg"])
def test_maxfun_is_never_exceeded(jac, convex_method):
    for maxfun in [*range(12), 20, 33, 50]:
        recorder = Recorder()
        result = run(recorder, jac, options={"maxfun": maxfun, "convex_method": convex_method})
        assert recorder.values <= maxfun
        assert result.nfev == recorder.values
        if result.status == Status.MAXFUN:
            assert not result.success
            assert "maxfun" in result.message
        assert_is_the_best(result, recorder)


@pytest.mark.parametrize("convex_method", CONVEX)
def test_maxiter_is_reached_and_not_passed(convex_method):
    for maxiter in (1, 2, 5, 12):
        recorder, iterates = Recorder(), []
        result = run(
            recorder,
            callback=iterates.append,
            options={"maxiter": maxiter, "convex_method": convex_method},
        )
        assert result.nit == len(iterates) == maxiter
        assert len(result.history) == maxiter + 1
        assert result.status == Status.MAXITER
        assert not result.success
        assert_is_the_best(result, recorder)
        assert np.all(np.isfinite(result.jac))


def test_converging_at_maxiter_is_success():
    nit = run(Recorder()).nit
    result = run(Recorder(), options={"maxiter": nit})
    assert result.success
    assert result.status == Status.CONVERGED


@pytest.mark.parametrize("convex_method", ["CG", "memory-cg"])
def test_maxtime(monkeypatch, convex_method):
    """By a clock of the test's own: every evaluation takes a second."""
    recorder = Recorder()
    clock = SimpleNamespace(perf_counter=lambda: float(recorder.evaluations))
    monkeypatch.setattr(_clock, "time", clock)
    for maxtime in range(1, 40, 3):
        recorder.__init__()
        result = run(recorder, options={"maxtime": maxtime, "convex_method": convex_method})
        assert recorder.evaluations == maxtime
        assert result.status == Status.MAXTIME
        assert not result.success
        assert_is_the_best(result, recorder)


@pytest.mark.parametrize("jac", ["callable", "fused", "none", "2-point"])
@pytest.mark.parametrize("target", [rosen(START) + 1, 10.0, 1.0, 1e-3])
def test_f_target(jac, target):
    recorder = Recorder()
    result = run(recorder, jac, options={"f_target": target})
    assert result.success
    assert result.status == Status.TARGET
    assert result.fun <= target
    assert_is_the_best(result, recorder)
    assert np.all(np.isfinite(result.jac))
    if jac == "none":
        assert result.gradient == "autograd"


def test_an_unreachable_target_does_not_hinder_convergence():
    result = run(Recorder(), options={"f_target": -1.0})
    assert result.success
    assert result.status == Status.CONVERGED


# ---- what comes back -------------------------------------------------------------------------------------


@pytest.mark.parametrize("convex_method", CONVEX)
def test_the_result_has_scipys_fields_and_ours(convex_method):
    recorder = Recorder()
    result = run(recorder, options={"convex_method": convex_method, "return_all": True})
    assert isinstance(result, OptimizeResult)
    assert result.success is True
    assert type(result.status) is int
    assert isinstance(result.message, str)
    assert type(result.fun) is float
    assert (result.nfev, result.njev) == (recorder.values, recorder.gradients)
    np.testing.assert_allclose(result.x, 1.0, atol=1e-3)
    np.testing.assert_array_equal(result.jac, rosen_der(result.x))
    assert np.max(np.abs(result.jac)) <= 1e-5
    assert len(result.allvecs) == result.nit + 1 == len(result.history)
    np.testing.assert_array_equal(result.allvecs[0], START)
    assert ("hess_inv" in result) == (convex_method in ("ssbroyden", "bfgs"))  # never a made-up one
    assert result.gradient == "callable"
    assert result.phases[0]["name"] == convex_method
    assert result.phases[-1]["last"] == result.nit
    first, *others = result.swaps
    assert (first["from"], first["to"], first["iteration"]) == ("start", convex_method, 0)
    assert first["reason"]
    for swap in others:
        assert swap["reason"]
        assert 0 < swap["iteration"] <= result.nit


def test_two_runs_are_equal_bit_for_bit():
    first, second = run(Recorder()), run(Recorder())
    np.testing.assert_array_equal(first.x, second.x)
    assert (first.fun, first.nit, first.nfev) == (second.fun, second.nit, second.nfev)


def test_a_detector_object_can_serve_two_runs():
    from twophase_min import ConvexitySwapDetector

    detector = ConvexitySwapDetector(7)
    options = {"swap": detector}
    first, second = run(Recorder(), options=options), run(Recorder(), options=options)
    assert first.swaps[0]["iteration"] == second.swaps[0]["iteration"]
    np.testing.assert_array_equal(first.x, second.x)


def test_disp_prints_on_success_and_warns_on_failure(capsys):
    run(Recorder(), options={"disp": True})
    assert "terminated successfully" in capsys.readouterr().out
    with pytest.warns(scipy.optimize.OptimizeWarning, match="Maximum number of iterations"):
        run(Recorder(), options={"disp": True, "maxiter": 3})
    run(Recorder())
    assert capsys.readouterr().out.count("\n") < 8


def test_nothing_is_printed_unasked(capfd):
    run(Recorder())
    run(Recorder(), options={"maxiter": 3})
    assert capfd.readouterr() == ("", "")


def test_progress_shows_a_bar_and_the_swap(capfd):
    run(Recorder(), options={"progress": True})
    shown = "".join(capfd.readouterr())
    assert "hands over to CG" in shown
    assert "it/s" in shown or "it [" in shown


def test_tol_sets_gtol_and_options_win():
    for keywords in ({"tol": 1e-2}, {"options": {"gtol": 1e-2}}, {"tol": 1e-9, "options": {"tol": 1e-2}}):
        result = run(Recorder(), **keywords)
        assert result.success
        assert 1e-9 < np.max(np.abs(result.jac)) <= 1e-2


def test_gtol_rel_frees_the_tolerance_of_units():
    for unit in (1e-12, 1.0, 1e12):
        result = minimize(
            lambda x: unit * rosen(x),
            START,
            jac=lambda x: unit * rosen_der(x),
            options={"gtol": 0.0, "gtol_rel": 1e-6},
        )
        assert result.success
        np.testing.assert_allclose(result.x, 1.0, atol=1e-2)


@pytest.mark.parametrize("order", [1, 2, np.inf])
def test_the_norm_is_the_one_asked_for(order):
    result = run(Recorder(), options={"norm": order, "gtol": 1e-4})
    assert result.success
    assert np.linalg.norm(result.jac, ord=order) <= 1e-4


@pytest.mark.parametrize(
    ("rule", "options"),
    [
        ("norm-peak", {}),
        ("never", {}),
        ("always", {}),
        (3, {}),
        (lambda loss, norm, step: step >= 4, {}),
        ("norm-against-loss", {}),
        ("path-curvature", {}),
        (False, {"learning_rate": 0.02, "maxiter": 20000}),
        ("norm-peak", {"guard": False}),
        ("norm-peak", {"precondition": None}),
        ("norm-peak", {"max_swaps": 1}),
        ("norm-peak", {"swap_patience": 3, "swap_smoothing": 0.5, "swap_factor": 0.7}),
        ("norm-peak", {"beta1": 0.8, "beta2": 0.99, "epsilon": 1e-6}),
    ],
)
def test_every_rule_reaches_the_minimum(rule, options):
    result = minimize(rosen, START, jac=rosen_der, options={"swap": rule, "maxiter": 20000, **options})
    assert result.success, result.message
    np.testing.assert_allclose(result.x, 1.0, atol=1e-3)
    if rule in (False, "never"):
        assert not result.swaps
    if rule == 3:
        assert result.swaps[0]["iteration"] == 3


# ---- the paper's examples --------------------------------------------------------------------------------


@cache
def solvable_tasks(count=100):
    """The first random tasks of the paper's example 1 whose loss can reach 0."""
    found, seed = [], 0
    while len(found) < count:
        problem = problems.paper_example_1(seed)
        seed += 1
        if problem.x_min is not None:
            found.append(problem)
    return found


def followed(problem, **options):
    """Result, and the second derivative at every point at which Adam handed over because of its rule."""
    iterates = [float(problem.x0[0])]
    result = minimize(
        problem.fun,
        problem.x0,
        jac=problem.grad,
        callback=lambda x: iterates.append(float(x[0])),
        options=options,
    )
    detected = [
        float(problem.hess(np.array([iterates[swap["iteration"]]]))[0, 0])
        for swap in result.swaps
        if swap["from"] == "adam" and "the guard tries" not in swap["reason"]
    ]
    return result, detected


@pytest.mark.slow
@pytest.mark.parametrize("rate", [None, 0.01, 0.003])
def test_example_1_the_swap_lies_in_the_convex_region(rate):
    """Over 100 random tasks: where the norm has fallen to 0.9 of its peak, the second derivative is positive.

    Without the guard, by the probe's learning rate or by one given as a share of the way. (A step that
    crosses the whole region at once could of course not tell.)
    """
    reached = 0
    for problem in solvable_tasks():
        way = abs(float(problem.x0[0] - problem.x_min[0]))
        options = {"swap": "norm-peak", "guard": False, "maxiter": 5000}
        if rate is not None:
            options["learning_rate"] = rate * way
        result, detected = followed(problem, **options)
        assert result.success
        assert len(detected) >= 1
        assert detected[0] > 0, problem
        reached += result.fun < 1e-8
    assert reached >= 95  # elsewhere y has turning points, which are stationary too


@pytest.mark.slow
def test_example_1_by_default_the_guard_says_that_it_tries():
    """The convex phase makes the first step, later handovers may be trials, and their reasons say so.

    What holds over the same 100 tasks: no swap that claims to have seen the convex region lies outside it,
    and the trials do not cost the minimum.
    """
    reached = 0
    for problem in solvable_tasks():
        result, detected = followed(problem)
        assert result.success
        assert all(curvature > 0 for curvature in detected), problem
        reached += result.fun < 1e-8
    assert reached >= 90


@pytest.mark.parametrize("C", [0.40, 0.45, 0.50, 0.55, 0.60])
@pytest.mark.parametrize(
    "options", [{}, {"guard": False, "swap": "norm-peak"}, {"guard": False, "learning_rate": 0.01}]
)
def test_example_2_by_C(C, options):
    """Up to C = 0.5 the global minimum is found, extra pockets notwithstanding; above, a local one."""
    problem = problems.paper_example_2(C)
    landscape = problems.landscape(partial(problems.paper_example_2_curve, C=C, r=0.1), -3.0, 3.0)
    result, detected = followed(problem, **options)
    assert result.success
    assert all(curvature > 0 for curvature in detected)
    if options:
        assert len(detected) >= 1
    if C == 0.5 and abs(result.x[0]) < 0.01:  # the slope is exactly 0 at x = 0, a point of inflection
        return
    nearest = np.argmin(np.abs(landscape.minima - result.x[0]))
    assert result.x[0] == pytest.approx(landscape.minima[nearest], abs=1e-3)
    if C <= 0.5:
        assert len(landscape.minima) == 1
        assert result.fun == pytest.approx(0.0, abs=1e-8)
    else:
        assert len(landscape.minima) == 2
        assert result.fun == pytest.approx(landscape.minima_values[nearest], abs=1e-8)


# ---- finite sums and networks ----------------------------------------------------------------------------


def regression(samples=96, n=4, seed=0, **keywords):
    """Least squares as a finite sum; counts the samples of every call, and the calls on all data."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(samples, n))
    y = X @ np.arange(1.0, n + 1) + 0.01 * rng.normal(size=samples)
    seen = {"samples": [], "rows": []}

    def fun(w, X, y):
        seen["samples"].append(len(y))
        seen["rows"].append(X[0, 0])
        r = X @ w - y
        return float(r @ r) / len(y), 2 * X.T @ r / len(y)

    best = np.linalg.lstsq(X, y, rcond=None)[0]
    return FiniteSum(fun, (X, y), jac=True, **keywords), best, seen


@pytest.mark.parametrize("options", [{}, {"learning_rate": 0.05}, {"convex_method": "memory-cg"}])
def test_a_finite_sum_converges_and_counts_in_whole_data_gradients(options):
    loss, best, seen = regression(batch_size=20)
    result = minimize(loss, np.zeros(4), options=options)
    assert result.success, result.message
    np.testing.assert_allclose(result.x, best, atol=1e-4)
    share = sum(seen["samples"]) / loss.n_samples
    assert result.nfev == pytest.approx(share, rel=1e-12)
    assert result.njev == pytest.approx(share, rel=1e-12)
    assert result.history.cost[-1] <= 2 * share
    assert "value_and_gradient" in result.gradient


def test_the_convex_phase_sees_all_data():
    loss, _, seen = regression(batch_size=20)
    marks = []

    def callback(intermediate_result):
        marks.append((intermediate_result.phase, len(seen["samples"])))

    result = minimize(loss, np.zeros(4), callback=callback, options={"learning_rate": 0.05})
    assert result.success
    first = next(i for i, (phase, _) in enumerate(marks) if phase == "CG")
    later = seen["samples"][marks[first - 1][1] :]
    if all(phase == "CG" for phase, _ in marks[first:]):
        assert set(later) == {loss.n_samples}
    epoch = seen["samples"][marks[0][1] : marks[1][1]]
    assert epoch[:-1] == [20, 20, 20, 20, 16]  # an epoch of batches, then the whole sum for the detector
    assert epoch[-1] == 96


def recorded(**options):
    """Run Adam on mini-batches; the samples of each call, the callbacks, the readings, and the result."""
    loss, _, seen = regression(batch_size=20)
    marks, readings = [], []

    def callback(intermediate_result):
        marks.append((len(seen["samples"]), intermediate_result.nit, intermediate_result.fun))

    def swap(loss, norm, step):
        readings.append((loss, norm))
        return False

    options = {"swap": swap, "max_swaps": 0, "gtol": 0.0, **options}
    result = minimize(loss, np.full(4, 3.0), callback=callback, options=options)
    return loss, seen["samples"], marks, readings, result


def test_evaluations_of_the_whole_data_are_few_and_bounded():
    """Iterations count epochs; all data are evaluated at growing distances, after eight epochs at most."""
    loss, samples, marks, readings, result = recorded(maxiter=60)
    assert result.nit == 60
    epochs = [nit for _, nit, _ in marks]
    gaps = np.diff(epochs)
    assert set(gaps[:4]) == {1}
    assert max(gaps) == 8
    assert (np.diff(gaps[:-1]) >= 0).all()  # the limit ends the last one
    assert sum(count == 96 for count in samples) < 25
    assert sum(count for count in samples if count < 96) == 96 * 59  # the first iteration is the probe
    assert len(readings) == 61  # the start, and every iteration
    assert result.fun == loss.value(result.x) == min(fun for _, _, fun in marks)


def test_the_detector_reads_the_means_of_the_mini_batches():
    """Where the batches' losses and gradients do not change along the path, their mean is the whole's."""
    X = np.arange(12.0)[:, None]

    def linear(w, X):
        return float(np.mean(X * w)), np.mean(X, axis=0)

    readings = []

    def swap(loss, norm, step):
        readings.append(norm)
        return False

    loss = FiniteSum(linear, X, jac=True, batch_size=5)
    minimize(loss, np.zeros(1), options={"swap": swap, "max_swaps": 0, "maxiter": 9})
    np.testing.assert_allclose(readings, X.mean(), rtol=1e-12)
    assert len(readings) == 10


def test_a_swap_that_the_mini_batches_show_is_made_at_once():
    """At the mean of the path, whose whole-data value is computed for it."""
    loss, _, _ = regression(batch_size=20)
    options = {"swap": 17, "convex_method": "memory-cg", "maxiter": 40}
    result = minimize(loss, np.full(4, 3.0), options=options)
    assert result.swaps[0]["iteration"] == 17
    assert result.swaps[0]["loss"] in result.history.fun


@pytest.mark.parametrize("maxfun", [4, 9.5, 20, 33.3])
def test_the_last_evaluation_goes_to_where_the_path_stands(maxfun):
    loss, samples, marks, _, result = recorded(maxfun=maxfun)
    assert result.status == Status.MAXFUN
    assert maxfun - 0.25 < result.nfev <= maxfun
    assert result.nfev == pytest.approx(sum(samples) / 96, rel=1e-12)
    assert samples[-1] == 96
    assert result.fun == loss.value(result.x) <= min(fun for _, _, fun in marks)


@pytest.mark.parametrize("refused", [2, 99])
def test_epochs_that_led_astray_are_made_anew(refused, monkeypatch):
    """At half the rate, with the same batches; where that does not help in the end, they stay."""
    rates, values, epochs = [], [], []

    class Watched(FiniteSum):
        def batches(self, epoch):
            epochs.append(epoch)
            return super().batches(epoch)

    def astray(driver, f):
        rates.append(driver.adam.learning_rate)
        values.append(f)
        return len(rates) <= refused

    monkeypatch.setattr(run_epochs, "_astray", astray)
    loss, _, _ = regression(batch_size=20)
    loss = Watched(loss.fun, loss.data, jac=True, batch_size=20)
    options = {"swap": "never", "max_swaps": 0, "maxfun": 12.0, "gtol": 0.0}
    result = minimize(loss, np.full(4, 3.0), options=options)
    made = min(refused, run_epochs.UNDONE)
    assert epochs[: made + 2] == [0] * (made + 1) + [1]
    np.testing.assert_allclose(rates[:made], rates[0] * 0.5 ** np.arange(made), rtol=1e-12)
    assert len(set(values[:made])) == made
    assert not set(values[:made]) & set(result.history.fun)


def test_a_rate_of_our_own_that_is_far_too_high_is_taken_back(monkeypatch):
    """At once, before the loss has risen by much; without that it would fall by a fraction an evaluation."""

    def highest(undone):
        settled = Adam.tell

        def tell(adam, f, g):
            probing = adam.probing
            code = settled(adam, f, g)
            if probing and not adam.probing:
                adam.view.rate = 100.0
            return code

        with monkeypatch.context() as patch:
            patch.setattr(Adam, "tell", tell)
            patch.setattr(run_epochs, "UNDONE", undone)
            loss, _, _ = regression(batch_size=20)
            options = {"swap": "never", "max_swaps": 0, "maxfun": 12.0, "gtol": 0.0}
            return max(minimize(loss, np.full(4, 3.0), options=options).history.fun[1:])

    assert 10 * highest(run_epochs.UNDONE) < highest(0)


def test_epochs_are_seeded():
    runs = []
    for seed in (0, 0, 1):
        loss, _, seen = regression(batch_size=20)
        loss = FiniteSum(loss.fun, loss.data, jac=True, batch_size=20, seed=seed)
        result = minimize(loss, np.zeros(4), options={"learning_rate": 0.05, "swap": "never", "maxiter": 5})
        runs.append((seen["rows"], result.x))
    assert runs[0][0] == runs[1][0]
    np.testing.assert_array_equal(runs[0][1], runs[1][1])
    assert runs[0][0] != runs[2][0]


def test_one_batch_of_all_data_is_plain_adam():
    """A finite sum whose batches are the whole data walks the path of the plain objective, to rounding."""
    loss, _, _ = regression(batch_size=96)
    options = {"learning_rate": 0.05, "swap": "never", "maxiter": 10}
    by_batches = minimize(loss, np.zeros(4), options=options)
    plain = minimize(loss.value_and_gradient, np.zeros(4), jac=True, options=options)
    np.testing.assert_allclose(by_batches.x, plain.x, rtol=1e-10)


@pytest.mark.parametrize("maxfun", [1, 2, 2.5, 3, 7, 10.3])
def test_maxfun_holds_for_mini_batches(maxfun):
    loss, _, seen = regression(batch_size=20)
    result = minimize(loss, np.zeros(4), options={"maxfun": maxfun, "learning_rate": 0.01, "swap": "never"})
    assert sum(seen["samples"]) <= maxfun * loss.n_samples
    assert result.status == Status.MAXFUN


@pytest.mark.parametrize("given", [{"learning_rate": 0.05}, {}])
def test_ctrl_c_inside_an_epoch_returns_the_best_whole_value(given):
    for k in range(1, 24):
        loss, _, seen = regression(batch_size=20)
        whole = loss.fun

        def fun(w, X, y, k=k, seen=seen, whole=whole):
            if len(seen["samples"]) == k:
                raise KeyboardInterrupt
            return whole(w, X, y)

        interrupted = FiniteSum(fun, loss.data, jac=True, batch_size=20)
        result = minimize(interrupted, np.zeros(4), options={"swap": "never", **given})
        assert result.status == Status.INTERRUPTED
        assert result.fun == pytest.approx(loss.value_and_gradient(result.x)[0], rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_network_is_trained_through_minimize(dtype):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    net = MLP([3, 8, 2], loss="cross_entropy", l2=1e-2, dtype=dtype)
    w0 = net.init(0)
    whole = net.objective(X, y)
    result = minimize(whole, w0, options={"maxiter": 300, "gtol": 1e-3})
    assert result.success, result.message
    assert result.x.dtype == dtype
    assert np.linalg.norm(result.jac, ord=np.inf) <= 1e-3
    assert np.mean(net.predict_classes(result.x, X) == y) > 0.9
    batches = minimize(
        net.finite_sum(X, y, batch_size=16), w0, options={"maxiter": 300, "gtol": 1e-3, "learning_rate": 0.01}
    )
    assert batches.success, batches.message
    assert batches.fun < whole.value(w0)
