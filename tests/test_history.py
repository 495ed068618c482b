"""The record of a run: columns, stretches, and the way to a file and back."""

import copy
import csv
import json
import math
import pickle
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import rosen, rosen_der

from twophase_min import History, minimize
from twophase_min._history import COLUMNS


@pytest.fixture(scope="module")
def result():
    return minimize(rosen, [-1.2, 1.0, 0.5], jac=rosen_der, options={"return_all": True})


def assert_equal(first, second):
    assert first.keys() == second.keys()
    for name in first.keys():  # noqa: SIM118
        np.testing.assert_array_equal(first[name], second[name])
        assert first[name].dtype.kind == second[name].dtype.kind
    assert first.swaps == second.swaps
    assert first.phases == second.phases


def test_one_row_an_iteration(result):
    history = result.history
    assert len(history) == result.nit + 1
    np.testing.assert_array_equal(history.iteration, np.arange(result.nit + 1))
    assert history.iteration.dtype == int
    np.testing.assert_array_equal(history.fun, [rosen(x) for x in result.allvecs])
    np.testing.assert_allclose(history.grad_norm, [np.linalg.norm(rosen_der(x)) for x in result.allvecs])
    for name in ("nfev", "njev", "cost", "time"):
        assert np.all(np.diff(history[name]) >= 0)
    np.testing.assert_array_equal(history.cost, history.nfev + history.njev)
    assert (history.nfev[-1], history.njev[-1]) == (result.nfev, result.njev)
    assert history.step[0] == 0.0


def test_steps_are_the_distances_within_a_phase(result):
    history = result.history
    between = np.linalg.norm(np.diff(result.allvecs, axis=0), axis=1)
    same = history.phase[1:] == history.phase[:-1]
    same[[swap["iteration"] for swap in result.swaps]] = False  # a resumed phase goes on where it was left
    assert same.sum() > 3
    np.testing.assert_allclose(history.step[1:][same], between[same])


def test_the_phases_cover_the_iterations(result):
    stretches = result.history.phases
    assert stretches == result.phases
    assert stretches[0]["first"] == 1
    assert stretches[-1]["last"] == result.nit
    for one, next_one in pairwise(stretches):
        assert next_one["first"] == one["last"] + 1
        assert next_one["name"] != one["name"]
    assert result.history.phase[0] == "start"


def test_columns_by_attribute_and_key(result):
    for name in (*COLUMNS, "phase"):
        np.testing.assert_array_equal(getattr(result.history, name), result.history[name])
    with pytest.raises(AttributeError, match=r"no column 'loss'.*grad_norm"):
        _ = result.history.loss
    with pytest.raises(KeyError):
        result.history["loss"]


def test_arrays_handed_out_are_copies(result):
    result.history.fun[:] = -1.0
    result.history.to_dict()["swaps"].clear()
    result.swaps[0]["reason"] = "changed"
    assert np.all(result.history.fun >= 0)
    assert result.history.swaps
    assert result.history.swaps[0]["reason"] != "changed"


@pytest.mark.parametrize("name", ["run.npz", "run", "run.history"])
def test_saved_and_loaded_from_any_path(result, tmp_path, name):
    path = tmp_path / name
    result.history.save(path)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert_equal(History.load(path), result.history)
    assert_equal(History.load(str(path)), result.history)


def test_a_file_needs_no_pickle(result, tmp_path):
    result.history.save(tmp_path / "run.npz")
    with np.load(tmp_path / "run.npz", allow_pickle=False) as data:
        assert {name: data[name].dtype.kind for name in data}["swaps"] == "U"


def test_copied_and_pickled(result):
    assert_equal(copy.deepcopy(result.history), result.history)
    assert_equal(pickle.loads(pickle.dumps(result.history)), result.history)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["adam", "CG", "memory-cg"]),
            st.lists(st.floats(allow_nan=False), min_size=len(COLUMNS) - 1, max_size=len(COLUMNS) - 1),
        ),
        max_size=8,
    )
)
def test_to_dict_and_back(rows):
    """Property: from_dict(to_dict(h)) is h, for any rows, none included."""
    history = History()
    for i, (phase, values) in enumerate(rows):
        history.append(phase, (i, *values))
    history.swaps.append({"iteration": 1, "reason": "for no reason", "peak": float("inf")})
    again = History.from_dict(history.to_dict())
    assert_equal(again, history)
    assert len(again) == len(rows)
    assert "History" in repr(again)
    assert sum(stretch["last"] - stretch["first"] + 1 for stretch in again.phases) == len(rows)


# ---- to other tools ----------------------------------------------------------------------------------------


def odd_history():
    """Numbers that texts lose: infinities, NaN, all digits, the smallest double."""
    history = History()
    history.append("start", (0, 1, 1, 2.0, math.nan, 1 / 3, math.inf, 0.0))
    history.append("adam", (1, 2.5, 2.5, 5.0, 0.1, -5e-324, -math.inf, 1e300))
    history.swaps.append({"iteration": 1, "reason": 'a, "b"'})
    return history


@pytest.mark.parametrize("which", ["run", "odd", "empty"])
def test_csv_has_every_digit(result, tmp_path, which):
    history = {"run": result.history, "odd": odd_history(), "empty": History()}[which]
    history.to_csv(tmp_path / "run.csv")
    with open(tmp_path / "run.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(history)
    for name in COLUMNS:
        np.testing.assert_array_equal([float(row[name]) for row in rows], history[name])
    assert [row["phase"] for row in rows] == history.phase.tolist()


@pytest.mark.parametrize("which", ["run", "odd", "empty"])
def test_json_lines_have_every_digit(result, tmp_path, which):
    """Strict JSON: what is not finite is null."""
    history = {"run": result.history, "odd": odd_history(), "empty": History()}[which]
    history.to_json_lines(tmp_path / "run.jsonl")

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    lines = (tmp_path / "run.jsonl").read_text().splitlines()
    rows = [json.loads(line, parse_constant=refuse) for line in lines]
    assert len(rows) == len(history)
    for name in COLUMNS:
        written = np.array([math.nan if row[name] is None else row[name] for row in rows], dtype=float)
        expected = np.asarray(history[name], dtype=float)
        np.testing.assert_array_equal(written, np.where(np.isfinite(expected), expected, math.nan))
    assert [row["phase"] for row in rows] == history.phase.tolist()


def test_a_frame_has_the_columns_with_their_types(result):
    pytest.importorskip("pandas")
    frame = result.history.to_frame()
    assert tuple(frame.columns) == result.history.keys()
    assert len(frame) == result.nit + 1
    assert frame["iteration"].dtype == int
    for name in COLUMNS:
        np.testing.assert_array_equal(frame[name].to_numpy(), result.history[name])
    assert frame["phase"].tolist() == result.history.phase.tolist()
    assert frame.attrs["swaps"] == result.history.swaps
    assert frame.groupby("phase")["fun"].min().min() == result.history.fun.min()


def test_without_pandas_the_error_names_the_remedy(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"needs pandas: pip install .*to_csv"):
        result.history.to_frame()
