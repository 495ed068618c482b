"""The line that says that kernels are compiled: once, truthfully, and never where nothing is compiled."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import twophase_min
from twophase_min.jit import compilation, notice

ROOT = str(Path(twophase_min.__file__).parents[1])


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch):
    monkeypatch.setattr(notice, "_said", {})
    monkeypatch.delenv(notice.VARIABLE, raising=False)


def told(capsys):
    """The parts that were told of, in order."""
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("twophase_min: compiling ") and len(line) < 120 for line in lines)
    return [line.partition("compiling ")[2].partition(" once per machine, about ")[0] for line in lines]


def test_it_is_said_once_for_each_part(tmp_path, capsys):
    for module, kernel in (
        ("run.machine", "begin"),
        ("run.machine", "accept"),
        ("jit.kernels", "dot"),
        ("phases.adam_kernels", "adam_start"),
        ("phases.memory_cg_kernels", "start"),
        ("phases.search", "next_trial"),
        ("phases.compiled", "tell_both"),
        ("phases.quasi_newton_kernels", "start"),
        ("phases.search", "next_trial"),
        ("run.compiled", "solve"),
    ):
        notice.announce(f"twophase_min.{module}", kernel, [str(tmp_path)])
    assert told(capsys) == [
        "the loop in Python",
        "the phase memory-cg",
        "the quasi-Newton phases",
        "the compiled engine",
    ]


def test_the_same_kernel_for_other_types_is_another_compilation(tmp_path, capsys):
    """The engine is compiled anew for each convex phase, the loop for float32."""
    for kernel in ("begin", "accept", "begin"):
        notice.announce("twophase_min.run.machine", kernel, [str(tmp_path)])
    for _ in range(2):
        notice.announce("twophase_min.run.compiled", "solve", [str(tmp_path)])
    assert told(capsys) == ["the loop in Python"] * 2 + ["the compiled engine"] * 2


def test_a_phase_that_is_not_known_here_is_told_of(tmp_path, capsys):
    for kernel in ("start", "tell"):
        notice.announce("twophase_min.phases.spectral", kernel, [str(tmp_path)])
    assert told(capsys) == ["a convex phase"]


@pytest.mark.parametrize("silent", ["0", ""])
def test_the_variable_silences_it(tmp_path, monkeypatch, capsys, silent):
    monkeypatch.setenv(notice.VARIABLE, silent)
    notice.announce("twophase_min.run.compiled", "solve", [str(tmp_path)])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "module",
    ["__main__", "users.module", "twophase_min.objective.differences", "twophase_minor.run.compiled"],
)
def test_nothing_is_said_of_other_code(tmp_path, capsys, module):
    notice.announce(module, "kernel", [str(tmp_path)])
    assert capsys.readouterr().err == ""


def test_child_processes_and_programs_without_a_console_say_nothing(tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", None)
        notice.announce("twophase_min.run.compiled", "solve", [str(tmp_path)])
    monkeypatch.setattr(notice.multiprocessing, "parent_process", lambda: object())
    notice.announce("twophase_min.run.machine", "begin", [str(tmp_path)])
    assert capsys.readouterr().err == ""


def test_where_no_folder_takes_files_it_says_so(tmp_path, monkeypatch, capsys):
    """A folder that will be made counts as writable where the one above it is."""
    assert notice._can_be_written(str(tmp_path / "to" / "be" / "made"))
    monkeypatch.setattr(notice.os, "access", lambda path, mode: False)
    assert not notice._can_be_written(str(tmp_path / "to" / "be" / "made"))
    notice.announce("twophase_min.run.compiled", "solve", [str(tmp_path)])
    assert "in every process, for lack of a folder to keep the code in, about" in capsys.readouterr().err


def test_every_kernel_has_a_part():
    """A new module of kernels is told of: it belongs to a part, or is named here as small."""
    if compilation.DISABLED:
        pytest.skip("nothing is compiled")
    for name in compilation.KERNEL_MODULES:
        importlib.import_module(f"twophase_min.{name}")
    modules = {kernel.py_func.__module__ for kernel, _ in compilation.registered}
    small = {f"twophase_min.{name}" for name in notice.ALONG}
    assert not {module for module in modules - small if notice.part_of(module) is None}


@pytest.mark.slow
def test_the_first_process_says_it_and_the_second_is_silent(tmp_path):
    code = "from twophase_min import minimize; minimize(lambda x: (x @ x, 2 * x), [1.0, 2.0], jac=True)"

    def start(**environment):
        changes = {"NUMBA_CACHE_DIR": str(tmp_path), "TWOPHASE_DISABLE_JIT": "0", "TWOPHASE_AOT": "0"}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([ROOT, *sys.path]), **changes, **environment},
            capture_output=True,
            text=True,
            timeout=500,
            check=True,
        )
        return done.stderr

    first = start()
    assert first.count("\n") == 1
    assert first.startswith("twophase_min: compiling the loop in Python once per machine, about ")
    assert start() == ""
