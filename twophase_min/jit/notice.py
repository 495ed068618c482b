"""One line on standard error when a compile that takes seconds begins, so that nobody takes it for a hang."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Sequence

VARIABLE = "TWOPHASE_COMPILE_NOTICE"
"""Environment variable: 0 silences the line."""
LEAST = 2.0
"""Seconds below which nothing is said."""

LOOP, PHASE, ENGINE = "the loop in Python", "a convex phase", "the compiled engine"
_PARTS = {
    "jit.kernels": LOOP,
    "phases.adam": LOOP,
    "phases.adam_kernels": LOOP,
    "phases.scaling": LOOP,
    "run.machine": LOOP,
    "run.event": LOOP,
    "run.hollow": LOOP,
    "run.exactness": LOOP,
    "run.guard": LOOP,
    "run.noise": LOOP,
    "run.compiled": ENGINE,
    "phases.compiled": PHASE,
}
"""What the kernels of a module belong to: they are compiled one after the other. Other modules of ``phases``
count as a convex phase."""

SECONDS = {LOOP: 5.0, ENGINE: 15.0, PHASE: 7.0}
"""Processor time that each was measured to take on a server's core of 2025."""

_said: set[str] = set()


def part_of(module: str) -> str | None:
    """Return what a module's kernels belong to; None for those of the user and for small ones."""
    name = module.partition("twophase_min.")[2] if module.startswith("twophase_min.") else ""
    return _PARTS.get(name) or (PHASE if name.startswith("phases.") else None)


def announce(module: str, directories: Sequence[str]) -> None:
    """Say, once a process and part, that kernels are compiled; called when one was not found on disk.

    Child processes say nothing: their parent has, or will.

    Parameters
    ----------
    module : str
        Where the kernel is defined.
    directories : sequence of str
        Where compiled code may be kept.
    """
    part = part_of(module)
    if part is None or SECONDS[part] < LEAST or part in _said:
        return
    _said.add(part)
    silent = os.environ.get(VARIABLE, "1") in ("", "0")
    if silent or sys.stderr is None or multiprocessing.parent_process() is not None:
        return
    kept = any(map(_can_be_written, directories))
    often = "once per machine," if kept else "in every process, for lack of a folder to keep the code in,"
    print(
        f"twophase_min: compiling {part} {often} about {SECONDS[part]:.0f} s ({VARIABLE}=0 silences this)",
        file=sys.stderr,
        flush=True,
    )


def _can_be_written(directory: str) -> bool:
    """Whether a directory, or the one that it would be made in, takes files."""
    while not os.path.isdir(directory):
        above = os.path.dirname(directory)
        if above == directory:
            return False
        directory = above
    return os.access(directory, os.W_OK)
