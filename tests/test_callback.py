"""Callbacks in SciPy's two forms, what they may do to what they are handed, and the progress bar."""

import builtins
import functools

import numpy as np
import pytest
from scipy.optimize import OptimizeResult, rosen, rosen_der

from twophase_min import FiniteSum, minimize
from twophase_min._callback import Progress, wrap_callback

START = np.array([-1.2, 1.0, 0.5])


def intermediate():
    return OptimizeResult(x=np.array([1.0, 2.0]), fun=3.0)


def test_no_callback_is_none():
    assert wrap_callback(None) is None


def test_the_form_is_chosen_by_the_parameters_name():
    by_x, by_result = [], []

    def plain(xk):
        by_x.append(xk)

    def modern(*, intermediate_result):
        by_result.append(intermediate_result)

    def both(intermediate_result, other=None):  # SciPy's rule: exactly that one parameter
        by_x.append(intermediate_result)

    class Callable:
        def __call__(self, intermediate_result):
            by_result.append(intermediate_result)

    for callback in (plain, modern, both, Callable(), functools.partial(plain), by_x.append, lambda *x: None):
        assert wrap_callback(callback)(intermediate()) is False
    assert len(by_x) == 4
    assert all(isinstance(x, np.ndarray) for x in by_x)
    assert [r.fun for r in by_result] == [3.0, 3.0]


@pytest.mark.parametrize("answer", [True, np.True_])
def test_true_stops(answer):
    assert wrap_callback(lambda x: answer)(intermediate()) is True


@pytest.mark.parametrize("answer", [None, False, 0, 1, "stop", np.array([1.0]), np.array([True, True])])
def test_anything_else_goes_on(answer):
    assert wrap_callback(lambda x: answer)(intermediate()) is False


def test_stop_iteration_stops_and_other_exceptions_pass():
    def stop(x):
        raise StopIteration

    def fail(x):
        raise KeyError("mine")

    assert wrap_callback(stop)(intermediate()) is True
    with pytest.raises(KeyError, match="mine"):
        wrap_callback(fail)(intermediate())


def test_a_callback_must_be_callable():
    with pytest.raises(TypeError, match="callable"):
        wrap_callback(3)


@pytest.mark.parametrize("convex_method", ["CG", "L-BFGS-B", "memory-cg", "ssbroyden"])
def test_arrays_handed_out_are_copies(convex_method):
    """What a callback does to its arrays, or keeps of them, has no effect on the run."""
    kept = []

    def vandal(intermediate_result):
        kept.append((intermediate_result.x, intermediate_result.x.copy()))
        intermediate_result.jac[:] = np.nan
        if len(kept) % 2:
            intermediate_result.x[:] = 1e9
        intermediate_result.fun = -1.0

    options = {"convex_method": convex_method}
    spoilt = minimize(rosen, START, jac=rosen_der, callback=vandal, options=options)
    clean = minimize(rosen, START, jac=rosen_der, options=options)
    np.testing.assert_array_equal(spoilt.x, clean.x)
    assert (spoilt.fun, spoilt.nit, spoilt.nfev) == (clean.fun, clean.nit, clean.nfev)
    for i, (array, copy) in enumerate(kept):
        np.testing.assert_array_equal(array, np.full(3, 1e9) if i % 2 == 0 else copy)


def test_the_intermediate_result_tells_the_truth():
    seen = []

    def callback(intermediate_result):
        seen.append(intermediate_result)

    result = minimize(rosen, START, jac=rosen_der, callback=callback)
    assert [r.nit for r in seen] == list(range(1, result.nit + 1))
    for r in seen:
        assert r.fun == rosen(r.x)
        np.testing.assert_array_equal(r.jac, rosen_der(r.x))
        assert r.grad_norm == np.max(np.abs(r.jac))
        assert r.nfev <= result.nfev
        assert r.njev <= result.njev
        assert r.step >= 0
    np.testing.assert_array_equal([r.phase for r in seen], result.history.phase[1:])


def test_a_bar_without_tqdm_names_the_extra(monkeypatch):
    original = builtins.__import__

    def missing(name, *rest, **keywords):
        if name.startswith("tqdm"):
            raise ImportError(name)
        return original(name, *rest, **keywords)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match=r"twophase_min\[progress\]"):
        minimize(rosen, START, jac=rosen_der, options={"progress": True})


def test_the_bar_counts_and_announces(capfd):
    bar = Progress(3)
    for i in range(3):
        bar.update("adam", 1.0 / (i + 1), 0.5)
    bar.announce("a swap")
    bar.close()
    out, err = capfd.readouterr()
    assert "3/3" in err
    assert "a swap" in out + err


def test_the_bar_fills_by_calls_where_they_are_the_limit(capsys):
    pytest.importorskip("tqdm")
    bar = Progress(None, 40)
    bar.update("adam", 1.0, 2.0, 10)
    bar.update("CG", 0.5, 1.0, 30.5)
    assert bar._bar.total == 40
    assert bar._bar.n == 30.5
    bar.close()
    assert "CG" in capsys.readouterr().err


def test_the_bar_of_a_finite_sum_shows_samples_epochs_and_the_time_left(capsys, monkeypatch):
    """Samples within an epoch too; time left by the iterations where these are the limit."""
    tqdm = pytest.importorskip("tqdm")
    bar = Progress(10, None, samples=1000)
    monkeypatch.setattr(tqdm.tqdm, "format_dict", property(lambda self: {"elapsed": 8.0}))
    bar.within(0.25)
    assert bar._bar.n == 250
    bar.update("adam", 1.0, 2.0, 2.0, 1, 1)
    assert bar._bar.n == 2000
    bar.update("adam", 0.5, 1.0, 4.0, 2, 2)
    assert "2 epochs, 00:32 left" in bar._bar.postfix  # two iterations in 8 s, eight to come
    monkeypatch.undo()
    bar._bar.refresh()
    bar.close()
    assert " samples/s" in capsys.readouterr().err


def test_the_bar_of_a_finite_sum_fills_by_samples_where_calls_are_the_limit():
    pytest.importorskip("tqdm")
    bar = Progress(None, 40, samples=1000)
    bar.update("adam", 1.0, 2.0, 10.5, 1, 1)
    assert (bar._bar.total, bar._bar.n) == (40_000, 10_500)
    assert "left" not in bar._bar.postfix  # tqdm's own
    bar.close()


def test_a_run_over_a_finite_sum_drives_its_bar(capsys):
    pytest.importorskip("tqdm")
    X = np.random.default_rng(0).normal(size=(60, 2))
    total = FiniteSum(
        lambda w, X: (np.mean((X @ w) ** 2), 2 * X.T @ (X @ w) / len(X)), X, jac=True, batch_size=9
    )
    result = minimize(total, np.ones(2), options={"progress": True, "maxiter": 5})
    text = capsys.readouterr().err
    assert "samples/s" in text
    assert f"/{60 * result.nfev:.0f}" not in text  # no limit of calls: no total
    assert "epochs" in text
