"""What a result looks like: short, aligned, and still SciPy's."""

import copy
import pickle
import sys
import time

import numba
import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import OptimizeResult, rosen, rosen_der

from twophase_min import History, minimize, twophase
from twophase_min._result import SHOWN, WIDTH, Result, summary


@pytest.fixture(scope="module")
def result():
    return minimize(rosen, np.full(10, -1.2), jac=rosen_der)


def lines_of(text):
    """Labels and what follows them; continuation lines have the label ''."""
    return [(line[:9].strip(" :"), line[10:]) for line in text.splitlines()]


def test_the_summary_says_what_happened(result):
    told = dict(reversed(lines_of(str(result))))
    assert str(result) == repr(result) == summary(result)
    assert result.message.startswith(told["message"])
    assert told["success"] == "True"
    assert float(told["fun"]) == pytest.approx(result.fun, rel=1e-9)
    assert told["x"] == "[1. 1. 1. ... 1. 1. 1.] (10 entries)"
    largest, euclidean = (float(part.split()[2]) for part in told["|jac|"].split(", "))
    assert largest == pytest.approx(np.max(np.abs(result.jac)), rel=1e-2)
    assert euclidean == pytest.approx(np.linalg.norm(result.jac), rel=1e-2)
    assert told["counts"] == f"nit {result.nit}, nfev {result.nfev}, njev {result.njev}"
    assert told["gradient"] == result.gradient
    assert float(told["seconds"]) == pytest.approx(result.seconds, rel=1e-2)
    assert told["swaps"].startswith(f"iteration {result.swaps[0]['iteration']}, start to CG: ")
    assert told["also"] == f"history ({result.nit + 1} rows), state"


def test_the_phases_are_told_with_their_own_evaluations(result):
    text = [line for _, line in lines_of(str(result)) if "evaluations, to fun" in line]
    assert [line.split()[0] for line in text] == [phase["name"] for phase in result.phases]
    numbers = [(int(line.split()[1]), float(line.split()[3])) for line in text]
    assert sum(iterations for iterations, _ in numbers) == result.nit
    assert sum(spent for _, spent in numbers) == result.history.cost[-1]


def test_the_summary_is_short_and_narrow(result):
    assert len(str(result).splitlines()) <= 17 + 3 * (len(result.swaps) - 1)
    assert max(map(len, str(result).splitlines())) <= WIDTH


def test_a_long_vector_and_many_swaps_are_shortened():
    many = Result(
        x=np.arange(1e5),
        swaps=[{"iteration": i, "from": "adam", "to": "CG", "reason": "words " * 30} for i in range(40)],
        phases=[
            {"name": "adam", "first": i, "last": i, "evaluations": 2.0 * i, "fun": 1.0} for i in range(1, 41)
        ],
    )
    text = str(many)
    assert "[0.0000e+00 1.0000e+00 2.0000e+00 ... 9.9997e+04 9.9998e+04 9.9999e+04] (100000 entries)" in text
    assert f"... {40 - SHOWN} more in result.swaps ..." in text
    assert f"... {40 - SHOWN} more in result.phases ..." in text
    assert max(map(len, text.splitlines())) <= WIDTH


def test_within_bounds_the_gradient_that_the_limits_leave_is_told():
    """|jac| is large where a limit holds x; what the test of convergence reads is small."""
    found = minimize(rosen, np.zeros(3), jac=rosen_der, bounds=[(-2, 0.5)] * 3)
    told = dict(reversed(lines_of(str(found))))
    assert float(told["|jac|"].split()[2].strip(",")) > 1
    assert told["bounds"].startswith("1 of 3 variables at a limit; |jac| of the others: largest entry ")
    largest = float(told["bounds"].partition("largest entry ")[2].split(",")[0])
    assert largest == pytest.approx(np.max(np.abs(found.jac[1:])), rel=1e-2)
    assert largest < 1e-5
    inside = minimize(rosen, np.zeros(3), jac=rosen_der, bounds=[(-2, 2)] * 3)
    assert dict(lines_of(str(inside)))["bounds"] == "0 of 3 variables at a limit"
    fixed = minimize(rosen, np.zeros(3), jac=rosen_der, bounds=[(0, 0)] * 3)
    assert dict(lines_of(str(fixed)))["bounds"] == "3 of 3 variables at a limit"


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.dictionaries(
        st.sampled_from(
            ["message", "success", "status", "fun", "x", "jac", "nit", "nfev", "hess_inv", "other"]
        ),
        st.one_of(st.just(None), st.booleans(), st.integers(-3, 10**9), st.floats(), st.text(max_size=300)),
    )
)
def test_any_fields_can_be_shown(fields):
    """Property: a result prints whichever fields it has, with numbers where SciPy puts them."""
    for name in ("x", "jac"):
        if name in fields:
            fields[name] = np.array([1.0, np.nan, np.inf]) if fields[name] else np.zeros(0)
    for name in ("nit", "nfev"):
        if name in fields:
            fields[name] = 3
    text = repr(Result(fields))
    assert text
    for name in fields.keys() & {"message", "success", "status", "fun", "x", "jac"}:
        assert f"{name}:" in text


def test_it_is_scipys_result(result):
    assert isinstance(result, OptimizeResult)
    assert result["fun"] == result.fun == dict(result)["fun"]
    result.note = "mine"
    assert result["note"] == "mine"
    assert "note" in str(result)
    del result["note"]
    assert "note" not in dir(result)
    with pytest.raises(AttributeError):
        _ = result.note
    for again in (pickle.loads(pickle.dumps(result)), copy.copy(result), copy.deepcopy(result)):
        assert type(again) is type(result)
        assert str(again) == str(result)
        assert again.keys() == result.keys()
    assert str(Result()) == "Result()"


def test_every_way_in_gives_such_a_result():
    for found in (
        minimize(rosen, [-1.2, 1.0], method="L-BFGS-B"),
        scipy.optimize.minimize(rosen, [-1.2, 1.0], jac=rosen_der, method=twophase),
        minimize(rosen, [-1.2, 1.0], options={"maxfun": 0}),
        minimize(rosen, [-1.2, 1.0], method="Nelder-Mead"),
    ):
        assert type(found) is Result
        assert found.seconds >= 0
        assert len(str(found).splitlines()) <= 18
    assert "hess_inv" in str(minimize(rosen, [-1.2, 1.0], method="BFGS")).splitlines()[-1]


def test_a_compiled_run_tells_its_seconds_too():
    """Its history has no times, for nobody looks at the clock between two iterations."""

    @numba.njit
    def bowl(x):
        return 0.5 * (x * x).sum() + (x**4).sum(), x + 4 * x**3

    began = time.perf_counter()
    found = minimize(bowl, [1.0, 2.0, 3.0], jac=True, options={"engine": "numba"})
    assert found.success
    assert np.isnan(found.history.time).all()
    assert 0 < found.seconds < time.perf_counter() - began
    assert " seconds: " in str(found)
    assert str(found).splitlines()[-1] == f"    also: history ({found.nit + 1} rows)"


# ---- in a notebook -----------------------------------------------------------------------------------------


def test_a_notebook_gets_the_summary_and_the_picture(result):
    pytest.importorskip("matplotlib")
    shown = result._repr_html_()
    assert "<pre> message: Optimization terminated" in shown
    assert 'src="data:image/png;base64,iVBORw0KGgo' in shown
    assert "&lt;" in Result(message="a < b")._repr_html_()


def test_without_matplotlib_or_without_a_point_only_the_summary(result, monkeypatch):
    assert "<img" not in Result(message="", history=History())._repr_html_()
    assert "<img" not in Result(message="")._repr_html_()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    shown = result._repr_html_()
    assert "<pre>" in shown
    assert "<img" not in shown


# ---- a run that something else ends ------------------------------------------------------------------------


class Unforeseen(BaseException):
    pass


@pytest.mark.parametrize("kind", [ValueError, SystemExit, Unforeseen, MemoryError])
@pytest.mark.parametrize("method", ["twophase", "BFGS", "L-BFGS-B", "TNC", "Nelder-Mead"])
@pytest.mark.parametrize("place", ["fun", "callback"])
def test_whatever_ends_a_run_keeps_and_shows_the_best_point(kind, method, place):
    seen = []

    def fun(x):
        if place == "fun" and len(seen) == 15:
            raise kind("at last")
        seen.append((rosen(x), x.copy()))
        return seen[-1][0]

    def callback(intermediate_result):
        if place == "callback" and len(seen) >= 15:
            raise kind("at last")

    if method == "TNC" and place == "callback":
        callback = (lambda call: lambda xk: call(None))(callback)
    with pytest.raises(kind, match="at last") as caught:
        minimize(
            fun,
            [-1.2, 1.0],
            method=method,
            jac=None if method == "Nelder-Mead" else rosen_der,
            callback=callback,
        )
    kept = caught.value.optimize_result
    f, x = min(seen, key=lambda pair: pair[0])
    assert kept.fun == f
    np.testing.assert_array_equal(kept.x, x)
    assert not kept.success
    assert kept.nfev == len(seen) + (place == "fun")
    assert f"fun = {f:.6g}" in "".join(caught.value.__notes__)
    assert f"{f:.6g}"[:6] in str(kept)


def test_ctrl_c_in_a_method_of_scipys_keeps_the_best_point():
    calls = 0

    def fun(x):
        nonlocal calls
        calls += 1
        if calls == 20:
            raise KeyboardInterrupt
        return rosen(x)

    with pytest.raises(KeyboardInterrupt) as caught:
        minimize(fun, [-1.2, 1.0], method="BFGS", jac="2-point")
    assert caught.value.optimize_result.fun < rosen(np.array([-1.2, 1.0]))
