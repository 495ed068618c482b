"""The state in a file: whole or not at all, while the run goes on; a killed process goes on from it."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numba
import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der

import twophase_min
from twophase_min import FiniteSum, load_state, minimize, multistart, save_state
from twophase_min._history import COLUMNS
from twophase_min.run import checkpoint as home

ROOT = str(Path(twophase_min.__file__).parents[1])
START = np.array([-1.2, 1.0, -0.5])
OWN = {"convex_method": "memory-cg"}
ALWAYS = {"checkpoint_every": 0}


class Killed(BaseException):
    """Ends a run at a given call, as a signal would: nothing after it runs but what Python cleans up."""


def assert_equal_runs(one, other):
    np.testing.assert_array_equal(one.x, other.x)
    np.testing.assert_array_equal(one.jac, other.jac)
    for name in ("fun", "nit", "nfev", "njev", "status", "success", "message", "swaps", "gradient"):
        assert one[name] == other[name], name
    for name in (*COLUMNS, "phase"):
        if name != "time":
            np.testing.assert_array_equal(one.history[name], other.history[name])


# ---- the file ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["run.npz", "run", "run.state"])
def test_what_is_saved_is_what_is_loaded(tmp_path, name):
    """Property: load_state(save_state(s)) has the entries of s, bit for bit, under exactly the path given."""
    state = minimize(rosen, START, jac=rosen_der, options={"maxiter": 7}).state
    save_state(tmp_path / name, state)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    again = load_state(str(tmp_path / name))
    assert again.keys() == state.keys()
    for entry in state:
        assert (again[entry].dtype, again[entry].tobytes()) == (state[entry].dtype, state[entry].tobytes())


def test_a_result_is_saved_as_its_state(tmp_path):
    result = minimize(rosen, START, jac=rosen_der, options={**OWN, "maxiter": 7})
    save_state(tmp_path / "run", result)
    resumed = minimize(rosen, START, jac=rosen_der, options={**OWN, "resume": load_state(tmp_path / "run")})
    assert_equal_runs(resumed, minimize(rosen, START, jac=rosen_der, options=OWN))


def test_nothing_to_save_is_said(tmp_path):
    for none in (minimize(rosen, START, options={"maxfun": 0}), minimize(rosen, START, method="BFGS"), {}):
        with pytest.raises(ValueError, match="no state to save"):
            save_state(tmp_path / "run", none)
    with pytest.raises(TypeError, match="the path comes first"):
        save_state(minimize(rosen, START, options={"maxiter": 3}), tmp_path / "run")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04 half of a file"])
def test_a_file_that_holds_no_state_is_refused(tmp_path, content):
    (tmp_path / "run").write_bytes(content)
    with pytest.raises(ValueError, match="is not a state"):
        load_state(tmp_path / "run")
    np.savez(tmp_path / "arrays.npz", x=START)
    with pytest.raises(ValueError, match="not the state of a run"):
        load_state(tmp_path / "arrays.npz")
    with pytest.raises(FileNotFoundError):
        load_state(tmp_path / "none")


@pytest.mark.parametrize("failing", ["savez", "replace"])
def test_a_failed_write_leaves_the_earlier_file(tmp_path, monkeypatch, failing):
    state = minimize(rosen, START, jac=rosen_der, options={"maxiter": 7}).state
    save_state(tmp_path / "run", state)
    before = (tmp_path / "run").read_bytes()

    def full(*arguments, **keywords):
        raise OSError("No space left on device")

    monkeypatch.setattr(home.np if failing == "savez" else home.os, failing, full)
    with pytest.raises(OSError, match="No space"):
        save_state(tmp_path / "run", state)
    assert [file.name for file in tmp_path.iterdir()] == ["run"]
    assert (tmp_path / "run").read_bytes() == before


# ---- while a run goes on -----------------------------------------------------------------------------------


@pytest.mark.parametrize("jac", [rosen_der, None, "2-point", True])
@pytest.mark.parametrize("method", ["CG", "memory-cg"])
def test_a_run_that_writes_checkpoints_is_the_same_run(tmp_path, jac, method):
    fun = (lambda x: (rosen(x), rosen_der(x))) if jac is True else rosen
    options = {"convex_method": method}
    plain = minimize(fun, START, jac=jac, options=options)
    file = tmp_path / "run"
    saved = minimize(fun, START, jac=jac, options={**options, **ALWAYS, "checkpoint": file})
    assert_equal_runs(saved, plain)
    assert load_state(file).keys() == saved.state.keys()
    again = minimize(fun, START, jac=jac, options={**options, "resume": load_state(file)})
    assert again.success
    assert again.nfev == plain.nfev, "a run that has converged has nothing left to do"


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("call", [6, 11, 20, 33, 39])
def test_killed_at_any_call_the_run_goes_on_bit_for_bit(tmp_path, call, fused):
    """The file is what is left: it is copied at the call that dies, before the end of the run writes."""
    file, left = tmp_path / "run", tmp_path / "left"
    made = 0

    def dying(x):
        nonlocal made
        made += 1
        if made == call:
            left.write_bytes(file.read_bytes())
            raise Killed
        return (rosen(x), rosen_der(x)) if fused else rosen(x)

    fun, jac = (lambda x: (rosen(x), rosen_der(x)), True) if fused else (rosen, rosen_der)
    whole = minimize(fun, START, jac=jac, options=OWN)
    assert call < whole.nfev
    with pytest.raises(Killed):
        minimize(dying, START, jac=jac, options={**OWN, **ALWAYS, "checkpoint": file})
    resumed = minimize(fun, START, jac=jac, options={**OWN, "resume": load_state(left)})
    assert_equal_runs(resumed, whole)


def test_killed_within_an_epoch_the_run_goes_on_bit_for_bit(tmp_path):
    rng = np.random.default_rng(3)
    data, target = rng.normal(size=(40, 3)), rng.normal(size=40)

    def of(died):
        made = 0

        def loss(w, rows, wanted):
            nonlocal made
            made += 1
            if made == died:
                (tmp_path / "left").write_bytes((tmp_path / "run").read_bytes())
                raise Killed
            rest = rows @ w - wanted
            return 0.5 * np.mean(rest**2), rows.T @ rest / len(rest)

        return FiniteSum(loss, (data, target), jac=True, batch_size=8, seed=1)

    options = {**OWN, "swap": 12}
    whole = minimize(of(0), np.zeros(3), options=options)
    with pytest.raises(Killed):
        minimize(of(24), np.zeros(3), options={**options, **ALWAYS, "checkpoint": tmp_path / "run"})
    left = load_state(tmp_path / "left")
    assert_equal_runs(minimize(of(0), np.zeros(3), options={**options, "resume": left}), whole)


def test_it_is_written_when_the_time_has_come(tmp_path, monkeypatch):
    """Of 10 seconds an evaluation and 35 between two checkpoints, every fourth evaluation writes."""
    now, calls, writes = 0.0, 0, []

    def slow(x):
        nonlocal now, calls
        now += 10.0
        calls += 1
        return rosen(x), rosen_der(x)

    monkeypatch.setattr(home.time, "monotonic", lambda: now)
    monkeypatch.setattr(home, "save_state", lambda path, state: writes.append(calls))
    options = {**OWN, "checkpoint": tmp_path / "run", "checkpoint_every": 35, "maxfun": 25}
    minimize(slow, START, jac=True, options=options)
    assert writes == [4, 8, 12, 16, 20, 24, 25]


def test_a_full_disk_does_not_end_the_run(tmp_path, monkeypatch):
    def full(path, state):
        raise OSError("No space left on device")

    monkeypatch.setattr(home, "save_state", full)
    with pytest.warns(RuntimeWarning, match="No checkpoint was written: No space left.*goes on"):
        result = minimize(rosen, START, jac=rosen_der, options={**ALWAYS, "checkpoint": tmp_path / "run"})
    assert result.success


def test_a_place_that_cannot_be_written_to_is_refused_at_once(tmp_path):
    for place in (tmp_path / "no" / "run", tmp_path):
        with pytest.raises(ValueError, match=r"'checkpoint' is .*a file in a folder that exists"):
            minimize(rosen, START, options={"checkpoint": place})
    with pytest.raises(ValueError, match="'checkpoint_every' is -1; it must be a number >= 0"):
        minimize(rosen, START, options={"checkpoint": tmp_path / "run", "checkpoint_every": -1})
    with pytest.raises(ValueError, match="'checkpoint' is 3; it must be a path"):
        minimize(rosen, START, options={"checkpoint": 3})
    with pytest.raises(ValueError, match="multistart writes no checkpoints"):
        multistart(rosen, [START, START + 1], options={"checkpoint": tmp_path / "run"})


def test_a_compiled_objective_runs_in_python_to_be_saved(tmp_path):
    @numba.njit
    def bowl(x):
        return 0.5 * (x * x).sum() + (x**4).sum(), x + 4 * x**3

    options = {"checkpoint": tmp_path / "run"}
    result = minimize(bowl, START, jac=True, options=options)
    assert result.success
    assert load_state(tmp_path / "run").keys() == result.state.keys()
    with pytest.raises(ValueError, match="'checkpoint' needs Python after every iteration"):
        minimize(bowl, START, jac=True, options={**options, "engine": "numba"})


# ---- killed by the system ----------------------------------------------------------------------------------

SCRIPT = """
    import os, signal, sys
    import numpy as np
    from pathlib import Path
    from scipy.optimize import rosen, rosen_der
    from twophase_min import load_state, minimize

    file, killed_at = Path(sys.argv[1]), int(sys.argv[2])
    made = 0

    def fun(x):
        global made
        made += 1
        if made == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return rosen(x), rosen_der(x)

    options = {"convex_method": "memory-cg", "checkpoint": file, "checkpoint_every": 0}
    options["resume"] = load_state(file) if file.exists() else None
    result = minimize(fun, np.array([-1.2, 1.0, -0.5, 0.8]), jac=True, options=options)
    print(made, int(result.nfev), result.success, *(x.hex() for x in result.x))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_a_process_killed_three_times_goes_on_from_the_file(tmp_path):
    """SIGKILL leaves no time to clean up; the same script, started again, goes on from the file."""

    def start(file, killed_at):
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(SCRIPT), str(file), str(killed_at)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([ROOT, *sys.path])},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    whole = start(tmp_path / "whole", 0)
    assert whole.returncode == 0, whole.stderr
    made, nfev, success, *x = whole.stdout.split()
    assert (made, success) == (nfev, "True")
    file = tmp_path / "run"
    for killed_at in (6, 8, 9):
        assert start(file, killed_at).returncode == -signal.SIGKILL
        assert file.exists()
    last = start(file, 0)
    assert last.returncode == 0, last.stderr
    assert last.stdout.split()[1:] == [nfev, success, *x], "the run of an undisturbed process, bit for bit"
    assert int(last.stdout.split()[0]) == int(nfev) - 5 - 7 - 8, "no evaluation is made twice"
