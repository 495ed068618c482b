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
    monkeypatch.setattr(notice, "_said", set())
    monkeypatch.delenv(notice.VARIABLE, raising=False)


def test_it_is_said_once_for_each_part(tmp_path, capsys):
    modules = [
        "jit.kernels",
        "run.machine",
        "phases.adam",
        "phases.memory_cg_kernels",
        "run.machine",
        "run.compiled",
    ]
    for module in modules:
        notice.announce(f"twophase_min.{module}", [str(tmp_path)])
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("compiling ")[2].partition(" once per machine, about ")[0] for line in lines] == [
        "the loop in Python",
        "a convex phase",
        "the compiled engine",
    ]
    assert all(line.startswith("twophase_min: ") and len(line) < 120 for line in lines)


@pytest.mark.parametrize("silent", ["0", ""])
def test_the_variable_silences_it(tmp_path, monkeypatch, capsys, silent):
    monkeypatch.setenv(notice.VARIABLE, silent)
    notice.announce("twophase_min.run.compiled", [str(tmp_path)])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "module",
    ["__main__", "users.module", "twophase_min.objective.differences", "twophase_minor.run.compiled"],
)
def test_nothing_is_said_of_other_code(tmp_path, capsys, module):
    notice.announce(module, [str(tmp_path)])
    assert capsys.readouterr().err == ""


def test_child_processes_and_programs_without_a_console_say_nothing(tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", None)
        notice.announce("twophase_min.run.compiled", [str(tmp_path)])
    monkeypatch.setattr(notice.multiprocessing, "parent_process", lambda: object())
    notice.announce("twophase_min.run.machine", [str(tmp_path)])
    assert capsys.readouterr().err == ""


def test_where_no_folder_takes_files_it_says_so(tmp_path, monkeypatch, capsys):
    """A folder that will be made counts as writable where the one above it is."""
    assert notice._can_be_written(str(tmp_path / "to" / "be" / "made"))
    monkeypatch.setattr(notice.os, "access", lambda path, mode: False)
    assert not notice._can_be_written(str(tmp_path / "to" / "be" / "made"))
    notice.announce("twophase_min.run.compiled", [str(tmp_path)])
    assert "in every process, for lack of a folder to keep the code in, about" in capsys.readouterr().err


def test_every_kernel_has_a_part():
    """A new module of kernels is told of: it belongs to a part, or is named here as small."""
    if compilation.DISABLED:
        pytest.skip("nothing is compiled")
    for name in compilation.KERNEL_MODULES:
        importlib.import_module(f"twophase_min.{name}")
    modules = {kernel.py_func.__module__ for kernel, _ in compilation.registered}
    assert not {module for module in modules if notice.part_of(module) is None}


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
