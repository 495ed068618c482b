"""Stopped at every evaluation, saved without pickle, resumed: the run goes on as if nothing had happened."""

import math

import numpy as np
import pytest
from forms import unlimited
from scipy.optimize import rosen, rosen_der

from twophase_min import FiniteSum, Status, minimize
from twophase_min._history import COLUMNS
from twophase_min.detector import ConvexitySwapDetector
from twophase_min.run import epochs
from twophase_min.run.diagnosis import VALUES
from twophase_min.run.noise import POINTS
from twophase_min.run.state import LOOP

START = np.array([-1.2, 1.0, -0.5])
OWN = {"convex_method": "memory-cg"}


def through_a_file(state, tmp_path):
    """The state as it comes back from an .npz file, read without pickle."""
    path = tmp_path / "state.npz"
    np.savez(path, **state)
    with np.load(path, allow_pickle=False) as loaded:
        return dict(loaded)


def assert_equal_runs(resumed, whole, where):
    """Bit for bit: point, value, gradient, counts, status, handovers and history."""
    np.testing.assert_array_equal(resumed.x, whole.x, err_msg=str(where))
    np.testing.assert_array_equal(resumed.jac, whole.jac, err_msg=str(where))
    for name in ("fun", "nit", "nfev", "njev", "status", "success", "message", "swaps", "gradient"):
        assert resumed[name] == whole[name], (where, name)
    for name in (*COLUMNS, "phase"):
        if name != "time":
            np.testing.assert_array_equal(
                resumed.history[name], whole.history[name], err_msg=f"{where} {name}"
            )


def stop_everywhere(fun, jac, x0, options, tmp_path, step=1, last=None):
    """Hold every stopped and resumed run against the uninterrupted one; answer that one.

    The limit stops the run unforeseen here, as Ctrl-C or a time limit would: a limit that the guard knows
    has a say in excursions of Adam, which `test_an_excursion_of_adam_that_maxfun_forbade_is_owned_up_to` is
    about.
    """
    whole = minimize(fun, x0, jac=jac, options=options)
    stops = 0
    for maxfun in range(1, int(last if last is not None else whole.nfev), step):
        with pytest.MonkeyPatch.context() as patch:
            unlimited(patch)
            first = minimize(fun, x0, jac=jac, options={**options, "maxfun": maxfun})
        if first.status != Status.MAXFUN or not first.state:
            continue  # it ended within the limit, or before there was anything to keep
        stops += 1
        assert first.nfev <= maxfun
        state = through_a_file(first.state, tmp_path)
        second = minimize(fun, x0, jac=jac, options={**options, "resume": state})
        assert_equal_runs(second, whole, maxfun)
    assert stops >= 5
    return whole


# ---- at every evaluation ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        OWN,
        {**OWN, "convex_options": {"memory": 0}},
        {**OWN, "convex_options": {"memory": 3}, "precondition": None},
        {**OWN, "precondition": "adam", "learning_rate": 0.01},
        {**OWN, "swap": 3, "guard": False},
        {"swap": "never", "maxiter": 40},
        {"swap": "never", "maxiter": 40, "learning_rate": 0.01},
    ],
)
def test_stopped_at_every_evaluation_the_run_goes_on_bit_for_bit(options, fused, tmp_path):
    fun, jac = (lambda x: (rosen(x), rosen_der(x)), True) if fused else (rosen, rosen_der)
    whole = stop_everywhere(fun, jac, START, options, tmp_path)
    assert whole.success or options.get("swap") == "never"


@pytest.mark.slow
@pytest.mark.parametrize("jac", ["2-point", None])
def test_the_source_of_the_gradient_is_resumed_too(jac, tmp_path):
    import autograd.numpy as anp

    def fun(x):
        return anp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    whole = stop_everywhere(fun, jac, START, OWN, tmp_path, step=3)
    assert ("2-point" if jac else "autograd") in whole.gradient


def flipped(x):
    """The gradient of rosen with a wrong sign."""
    return rosen_der(x) * np.array([-1.0, 1.0, 1.0])


@pytest.mark.slow
def test_failures_and_fresh_starts_of_adam_are_resumed_at_every_evaluation(tmp_path):
    """A wrong gradient: the convex phase fails, then Adam, and at last the run, with its diagnosis.

    No resumed run repeats the values of the diagnosis, nor of the noise that it measures first.
    """
    whole = minimize(rosen, START, jac=flipped, options=OWN)
    assert whole.status == Status.PRECISION_LOSS
    assert any(swap["to"] == "adam" for swap in whole.swaps)
    last = int(whole.nfev) - VALUES - POINTS
    stop_everywhere(rosen, flipped, START, OWN, tmp_path, last=last, step=1 + last // 120)


def ripples(x):
    return float(np.sum(x * x + 8 * np.sin(4 * x) ** 2)) + 1.0


def ripples_der(x):
    return 2 * x + 32 * np.sin(8 * x)


@pytest.mark.slow
def test_excursions_are_resumed_at_every_evaluation(tmp_path):
    """The guard looks at every iterate, so that it calls the convex phase back within a few evaluations."""
    strict = {"trial_least": 4.0, "trial_share": 0.0, "first_look": 0.0, "again": 0.0, "fading": math.inf}
    x0 = np.array([5.0, -4.0, 3.3])
    options = {**OWN, "maxiter": 60, "gtol": 1e-12}
    with LOOP.preset(guard=strict):
        whole = stop_everywhere(ripples, ripples_der, x0, options, tmp_path, last=120)
    assert sum("not on course" in swap["reason"] and swap["to"] == "adam" for swap in whole.swaps) >= 2
    assert any("too far above" in swap["reason"] for swap in whole.swaps)


@pytest.mark.slow
def test_lost_trials_are_resumed_at_every_evaluation(tmp_path):
    """Trials of a single iterate, against an Adam with a long step."""
    x0 = np.array([-1.2, 1.0, 0.5])
    options = {**OWN, "maxiter": 60, "gtol": 0.0, "swap": 3, "learning_rate": 0.1, "precondition": None}
    with LOOP.preset(guard={"trial_least": 0.5, "trial_share": 0.0, "past": 1 / 3}):
        whole = stop_everywhere(rosen, rosen_der, x0, options, tmp_path, last=120)
    assert sum("Adam headed for" in swap["reason"] and swap["to"] == "adam" for swap in whole.swaps) >= 2


@LOOP.preset(guard={"first_look": 20.0, "fading": math.inf})
def test_an_excursion_of_adam_that_maxfun_forbade_is_owned_up_to(tmp_path):
    """A run resumed beyond the limit that its guard had reckoned with says that it is not the same run."""
    first = minimize(rosen, START, jac=rosen_der, options={**OWN, "maxfun": 18})
    assert first.status == Status.MAXFUN
    assert not any(swap["to"] == "adam" for swap in first.swaps)
    state = through_a_file(first.state, tmp_path)
    second = minimize(rosen, START, jac=rosen_der, options={**OWN, "resume": state})
    assert second.success
    assert "not exact" in second.message
    roomy = minimize(rosen, START, jac=rosen_der, options={**OWN, "maxfun": 80})
    assert any(swap["to"] == "adam" for swap in roomy.swaps)


@pytest.mark.slow
@pytest.mark.parametrize(
    "swap", ["norm-peak", "norm-peak-median", "norm-against-loss", "path-curvature", "gain", "never"]
)
def test_every_rule_keeps_what_it_has_seen(swap, tmp_path):
    options = {**OWN, "swap": swap, "swap_smoothing": 0.3, "swap_patience": 2, "maxiter": 60, "guard": False}
    stop_everywhere(rosen, rosen_der, START, options, tmp_path, step=4, last=80)


# ---- mini-batches ----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [OWN, {"swap": "never", "learning_rate": 0.02}, {"swap": "never"}, {**OWN, "learning_rate": 0.02}],
)
def test_stopped_inside_an_epoch_the_run_goes_on_bit_for_bit(options, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(96, 4))
    y = X @ np.arange(1.0, 5.0) + 0.01 * rng.normal(size=96)

    def fun(w, X, y):
        r = X @ w - y
        return float(r @ r) / len(y), 2 * X.T @ r / len(y)

    loss = FiniteSum(fun, (X, y), jac=True, batch_size=20, seed=3)
    options = {**options, "maxiter": 12}
    whole = minimize(loss, np.zeros(4), options=options)
    fractions = set()
    for maxfun in np.arange(1.0, float(whole.nfev), 0.17):
        first = minimize(loss, np.zeros(4), options={**options, "maxfun": maxfun})
        if first.status != Status.MAXFUN:
            continue
        fractions.add(round(float(first.nfev) % 1, 3))
        state = through_a_file(first.state, tmp_path)
        second = minimize(loss, np.zeros(4), options={**options, "resume": state})
        assert_equal_runs(second, whole, maxfun)
    assert len(fractions) >= 4  # inside epochs, not only between them


def test_stopped_where_epochs_are_made_anew_the_run_goes_on_bit_for_bit(tmp_path, monkeypatch):
    """How often they have been is part of the state; the oracle is the run that is not stopped."""
    monkeypatch.setattr(epochs, "_astray", lambda driver, f: driver.adam.learning_rate > 0.02)
    X = np.random.default_rng(0).normal(size=(96, 4))
    loss = FiniteSum(lambda w, X: (float(np.mean((X - w) ** 2)), (w - X.mean(axis=0)) / 2), X, jac=True,
                     batch_size=20)  # fmt: skip
    options = {"swap": "never", "maxiter": 6, "gtol": 0.0}
    whole = minimize(loss, np.full(4, 3.0), options=options)
    assert whole.nfev > 14  # six epochs and as many evaluations of all data are twelve
    for maxfun in np.arange(2.1, float(whole.nfev), 0.9):
        first = minimize(loss, np.full(4, 3.0), options={**options, "maxfun": maxfun})
        if first.status == Status.MAXFUN:
            state = through_a_file(first.state, tmp_path)
            second = minimize(loss, np.full(4, 3.0), options={**options, "resume": state})
            assert_equal_runs(second, whole, maxfun)


# ---- twice, and further than the first run wanted ---------------------------------------------------------


def test_resumed_again_and_again(tmp_path):
    whole = minimize(rosen, START, jac=rosen_der, options=OWN)
    state, maxfun = None, 0
    while True:
        maxfun += 5
        result = minimize(rosen, START, jac=rosen_der, options={**OWN, "maxfun": maxfun, "resume": state})
        if result.status != Status.MAXFUN:
            break
        state = through_a_file(result.state, tmp_path)
    assert_equal_runs(result, whole, "in pieces of five")


@pytest.mark.parametrize("options", [OWN, {}, {"swap": "never"}])
def test_maxiter_interrupt_and_callback_are_resumed_as_well(options, tmp_path):
    whole = minimize(rosen, START, jac=rosen_der, options={**options, "maxiter": 30})
    first = minimize(rosen, START, jac=rosen_der, options={**options, "maxiter": 7})
    assert first.status == Status.MAXITER
    state = through_a_file(first.state, tmp_path)
    second = minimize(rosen, START, jac=rosen_der, options={**options, "maxiter": 30, "resume": state})
    assert second.fun <= first.fun
    assert second.nit <= 30
    if options:
        assert_equal_runs(second, whole, "maxiter")

    calls = []

    def interrupted(x):
        calls.append(x)
        if len(calls) == 9:
            raise KeyboardInterrupt
        return rosen(x)

    first = minimize(interrupted, START, jac=rosen_der, options={**options, "maxiter": 30})
    assert first.status == Status.INTERRUPTED
    second = minimize(rosen, START, jac=rosen_der, options={**options, "maxiter": 30, "resume": first.state})
    assert second.fun <= first.fun
    if options:
        np.testing.assert_array_equal(second.x, whole.x)
        assert second.nfev == whole.nfev + 1  # the interrupted call was made, and is counted


def test_a_tighter_tolerance_goes_on_from_a_converged_run():
    first = minimize(rosen, START, jac=rosen_der, options={**OWN, "gtol": 1e-2})
    assert first.success
    second = minimize(rosen, START, jac=rosen_der, options={**OWN, "gtol": 1e-9, "resume": first.state})
    straight = minimize(rosen, START, jac=rosen_der, options={**OWN, "gtol": 1e-9})
    assert second.success
    np.testing.assert_array_equal(second.x, straight.x)
    assert second.nfev == straight.nfev
    again = minimize(rosen, START, jac=rosen_der, options={**OWN, "gtol": 1e-9, "resume": second.state})
    assert again.success
    assert again.nfev == second.nfev  # nothing was evaluated
    np.testing.assert_array_equal(again.x, second.x)


def test_a_state_is_not_changed_by_resuming_from_it(tmp_path):
    first = minimize(rosen, START, jac=rosen_der, options={**OWN, "maxfun": 20})
    before = {name: np.array(value) for name, value in first.state.items()}
    runs = [minimize(rosen, START, jac=rosen_der, options={**OWN, "resume": first.state}) for _ in range(2)]
    assert_equal_runs(runs[1], runs[0], "twice from one state")
    for name, value in before.items():
        assert first.state[name].tobytes() == value.tobytes(), name


def test_every_entry_is_an_array_without_objects():
    for options in (OWN, {}, {"swap": "never"}):
        for maxfun in (3, 20):
            result = minimize(rosen, START, jac=rosen_der, options={**options, "maxfun": maxfun})
            for name, value in result.state.items():
                assert isinstance(value, np.ndarray), name
                assert value.dtype.kind in "fiubUV", name  # V: a record of named scalars
                assert not value.dtype.hasobject, name


# ---- what cannot be resumed bit for bit -------------------------------------------------------------------


@pytest.mark.parametrize("convex_method", ["CG", "BFGS", "L-BFGS-B"])
def test_scipys_methods_restart_from_the_best_point_and_the_result_says_so(convex_method, tmp_path):
    options = {"convex_method": convex_method}
    first = minimize(rosen, START, jac=rosen_der, options={**options, "maxfun": 10})
    assert first.status == Status.MAXFUN
    assert first.phases[-1]["name"] == convex_method
    state = through_a_file(first.state, tmp_path)
    calls = []

    def counted(x):
        calls.append(np.array(x))
        return rosen(x)

    second = minimize(counted, START, jac=rosen_der, options={**options, "resume": state})
    assert second.success
    assert np.linalg.norm(second.jac, ord=np.inf) <= 1e-5
    assert second.nfev == first.nfev + len(calls)
    assert "not exact" in second.message
    assert convex_method in second.message
    assert len(second.history) > len(first.history)
    np.testing.assert_array_equal(second.history.fun[: len(first.history)], first.history.fun)


def test_an_exact_resume_does_not_say_so():
    first = minimize(rosen, START, jac=rosen_der, options={**OWN, "maxfun": 30})
    second = minimize(rosen, START, jac=rosen_der, options={**OWN, "resume": first.state})
    assert "not exact" not in second.message


def test_before_scipys_method_was_reached_resuming_is_exact(tmp_path):
    """Adam's part of a default run is resumed bit for bit even though SciPy's CG follows."""
    options = {"swap": 12, "guard": False}
    whole = minimize(rosen, START, jac=rosen_der, options=options)
    for maxfun in range(1, 12):
        first = minimize(rosen, START, jac=rosen_der, options={**options, "maxfun": maxfun})
        if not first.state:
            continue
        state = through_a_file(first.state, tmp_path)
        second = minimize(rosen, START, jac=rosen_der, options={**options, "resume": state})
        assert_equal_runs(second, whole, maxfun)


def test_a_detector_that_cannot_be_saved_starts_afresh():
    def rule(loss, norm, step):
        return step > 10

    first = minimize(rosen, START, jac=rosen_der, options={**OWN, "swap": rule, "maxfun": 6})
    second = minimize(rosen, START, jac=rosen_der, options={**OWN, "swap": rule, "resume": first.state})
    assert second.success
    np.testing.assert_allclose(second.x, 1.0, atol=1e-4)


def test_a_detector_object_is_resumed_where_it_was(tmp_path):
    options = {**OWN, "swap": ConvexitySwapDetector(factor=0.5), "guard": False}
    stop_everywhere(rosen, rosen_der, START, options, tmp_path, step=3)


# ---- wrong states ----------------------------------------------------------------------------------------


def a_state():
    return dict(minimize(rosen, START, jac=rosen_der, options={**OWN, "maxfun": 20}).state)


def test_an_empty_state_is_refused():
    with pytest.raises(ValueError, match="non-empty `state`"):
        minimize(rosen, START, jac=rosen_der, options={"resume": {}})


@pytest.mark.parametrize("wrong", [3, "file.npz", [1, 2]])
def test_something_else_is_refused(wrong):
    with pytest.raises((ValueError, TypeError), match="resume"):
        minimize(rosen, START, jac=rosen_der, options={"resume": wrong})


def test_another_number_of_variables_is_refused():
    with pytest.raises(ValueError, match="3 variables, x0 has 2"):
        minimize(rosen, START[:2], jac=rosen_der, options={**OWN, "resume": a_state()})


def test_another_version_is_refused():
    import json

    state = a_state()
    notes = json.loads(str(state["notes"]))
    state["notes"] = np.array(json.dumps({**notes, "version": 999}))
    with pytest.raises(ValueError, match="version 999"):
        minimize(rosen, START, jac=rosen_der, options={**OWN, "resume": state})


@pytest.mark.parametrize("missing", ["adam/vectors", "history/fun", "point/x", "loop"])
def test_a_state_with_a_hole_names_it(missing):
    state = a_state()
    del state[missing]
    with pytest.raises(ValueError, match="resume"):
        minimize(rosen, START, jac=rosen_der, options={**OWN, "resume": state})


def test_a_loop_without_one_of_its_members_names_it():
    state = a_state()
    state["loop"] = state["loop"][[name for name in state["loop"].dtype.names if name != "patience"]]
    with pytest.raises(ValueError, match=r"Loop\.patience"):
        minimize(rosen, START, jac=rosen_der, options={**OWN, "resume": state})


def test_another_convex_method_takes_over_from_the_best_point():
    """A state saved inside memory-cg cannot go on inside BFGS: BFGS starts from the best point."""
    first = minimize(rosen, START, jac=rosen_der, options={**OWN, "maxfun": 20})
    second = minimize(rosen, START, jac=rosen_der, options={"convex_method": "BFGS", "resume": first.state})
    assert second.success
    np.testing.assert_allclose(second.x, 1.0, atol=1e-4)


def test_another_source_of_the_gradient_counts_on():
    first = minimize(rosen, START, jac=rosen_der, options={**OWN, "maxfun": 20})
    second = minimize(
        lambda x: (rosen(x), rosen_der(x)), START, jac=True, options={**OWN, "resume": first.state}
    )
    assert second.success
    assert second.nfev > first.nfev
