"""The registry of phases: what it says of each, and that one file and one entry make a new one."""

import os
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest
import steepest_descent

from twophase_min import TwoPhaseOptions, minimize
from twophase_min.jit import sources
from twophase_min.jit.compilation import DISABLED, jit
from twophase_min.jit.kernels import dot
from twophase_min.phases import ADAM, FAILED, ITERATION, PHASES, XT, compiled, convex_phase

WEIGHTS = np.array([1.0, 3.0, 10.0])
START = np.array([4.0, -2.0, 1.0])


def fun(x):
    return float(WEIGHTS @ x**2)


def jac(x):
    return 2 * WEIGHTS * x


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setitem(PHASES, steepest_descent.PHASE.name, steepest_descent.PHASE)
    return steepest_descent.PHASE.name


# ---- a new phase


def test_a_registered_phase_runs(registered):
    options = {"convex_method": registered, "swap": 3, "guard": False, "convex_options": {"shrink": 0.3}}
    result = minimize(fun, START, jac=jac, options=options)
    assert result.success, result.message
    assert np.max(np.abs(result.x)) < 1e-4
    assert [phase["name"] for phase in result.phases] == ["adam", registered]


def test_its_fallbacks_follow_when_its_search_fails(registered):
    """With a step that is never shortened enough before the limit of the phase, memory-cg takes over."""
    steep = 1e40
    options = {"convex_method": registered, "swap": 1, "guard": False, "gtol": 1e-6, "maxfun": 5000}
    result = minimize(
        lambda x: steep * fun(x), START, jac=lambda x: steep * jac(x), options=options | {"gtol": 1e30}
    )
    assert result.success, result.message
    tos = [swap["to"] for swap in result.swaps]
    assert tos[:2] == [registered, "memory-cg"]
    assert result.swaps[1]["reason"] == "no step decreases f"


def test_it_resumes_bit_for_bit(registered):
    options = {"convex_method": registered, "swap": 3, "guard": False}
    whole = minimize(fun, START, jac=jac, options=options)
    for evaluations in range(8, 30, 3):
        part = minimize(fun, START, jac=jac, options={**options, "maxfun": evaluations})
        rest = minimize(fun, START, jac=jac, options={**options, "resume": part.state})
        assert rest.x.tobytes() == whole.x.tobytes()
        assert rest.nfev == whole.nfev


def test_its_options_are_checked_before_the_run(registered):
    with pytest.raises(ValueError, match=r"'shrink': 2.0; it must be a number in \(0, 1\)"):
        TwoPhaseOptions(convex_method=registered, convex_options={"shrink": 2.0})
    with pytest.raises(ValueError, match=r"has 'grow'; 'steepest-descent' takes shrink"):
        TwoPhaseOptions(convex_method=registered, convex_options={"grow": 2.0})


def test_error_texts_name_it(registered):
    with pytest.raises(ValueError, match="steepest-descent"):
        TwoPhaseOptions(convex_method="Powell")


# ---- one interface


@jit
def drive(state, x, f, g):
    """A loop that knows no phase: f = g'g / 4 with g = 2 x, until nothing is left to gain."""
    compiled.start(state, x, f, g, 0.0)
    phase = state.slot[0]
    for _ in range(20):
        code = phase.code
        if code == ITERATION:
            code = compiled.next_trial(state)
        while code != ITERATION and code != FAILED:
            trial = state.vectors[XT]
            for i in range(g.size):
                g[i] = 2.0 * trial[i]
            code = compiled.tell_both(state, dot(trial, trial), g, True)
        if code == FAILED:
            break
    return phase.f


@pytest.mark.parametrize(
    "phase", [steepest_descent.PHASE, PHASES["memory-cg"], PHASES["ssbroyden"]], ids=lambda phase: phase.name
)
def test_one_loop_serves_every_compiled_phase(phase):
    solver, other = phase.load()(), phase.load()()
    for one in (solver, other):
        one.allocate(3, np.float64, True)
    assert drive(solver.state, START, fun(START), jac(START)) < 1e-6
    compiled.copy_state(solver.state, other.state)
    assert other.f == solver.f
    np.testing.assert_array_equal(other.x, solver.x)


def test_the_stamp_of_a_caller_covers_the_kernels():
    """Else a changed phase would be run from an old file on disk: of the package, and of a user."""
    if DISABLED:
        pytest.skip("nothing is kept on disk")
    import numba

    from twophase_min.jit import sources
    from twophase_min.jit.reach import describe_function, describe_type

    class State(NamedTuple):
        x: np.ndarray

    assert f"sources {sources.digest()}" in list(describe_function(compiled.tell_both, set()))
    text = describe_type(numba.typeof(State(np.zeros(1))))
    assert f"function {drive.__module__}.{drive.__qualname__}" in text  # a kernel beside the class


@jit(cache=False)
def begin(state):
    return compiled.next_trial(state)


@pytest.mark.parametrize("caller", [drive, begin], ids=lambda caller: caller.py_func.__name__)
def test_the_stamp_of_a_caller_covers_the_package(caller):
    """Else a changed phase would be run from an old file on disk."""
    if DISABLED:
        pytest.skip("nothing is kept on disk")
    from twophase_min.jit.reach import describe_function

    assert f"sources {sources.digest()}" in list(describe_function(caller, set()))
    covered = {path.relative_to(sources.PACKAGE).as_posix() for path in sources.files()}
    assert covered >= {"phases/memory_cg.py", "phases/line_search.py"}


def test_every_compiled_phase_has_all_kernels():
    for phase in PHASES.values():
        for stub in compiled.KERNELS if phase.compiled else ():
            kernel, text = stub.kernel(phase.load().kind).py_func.__code__, stub.function.__code__
            assert kernel.co_varnames[: kernel.co_argcount] == text.co_varnames


# ---- the registry


def test_importing_the_registry_imports_no_kernels():
    code = "import sys, twophase_min.phases; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=dict(os.environ), capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


@pytest.mark.parametrize("phase", [ADAM, *PHASES.values()], ids=lambda phase: phase.name)
def test_every_phase_can_be_loaded_and_falls_back_on_phases(phase):
    home = phase.load()
    assert phase.external or home.name == phase.name
    assert set(phase.fallbacks) <= set(PHASES)
    assert phase.memory


def test_a_callable_is_run_as_scipys_methods_are():
    phase = convex_phase(lambda *args, **keywords: None)
    assert phase.external
    assert not phase.hessian
    assert convex_phase(None) is PHASES["CG"]


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("memory", [None, 0, 50, np.int64(3)], [-1, 2.5, True, "5"]),
        ("c1", [1e-4, 0.4], [0.0, 0.5, "low"]),
        ("c2", [None, 0.2], [0.0, 1.0]),
        ("precondition", [None, "auto"], ["adam", 1]),
    ],
)
def test_ranges_of_the_options_of_memory_cg(name, good, bad):
    for value in good:
        TwoPhaseOptions(convex_method="memory-cg", convex_options={name: value})
    for value in bad:
        with pytest.raises(ValueError, match=f"'{name}': .* must be"):
            TwoPhaseOptions(convex_method="memory-cg", convex_options={name: value})
