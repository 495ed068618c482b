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

LOOP, ENGINE, PHASE = "the loop in Python", "the compiled engine", "a convex phase"
MEMORY_CG, DENSE = "the phase memory-cg", "the quasi-Newton phases"
_PARTS = {
    "run.machine": LOOP,
    "run.compiled": ENGINE,
    "phases.memory_cg_kernels": MEMORY_CG,
    "phases.quasi_newton_kernels": DENSE,
    "phases.limited_broyden_kernels": DENSE,
}
"""What takes seconds to compile, by the module whose kernels come first. Other modules of ``phases`` count as
a convex phase."""
ALONG = frozenset(
    (
        *("jit.kernels", "jit.layers", "phases.adam", "phases.adam_kernels", "phases.scaling"),
        *("run.event", "run.exactness", "run.hollow", "run.noise", "run.plateau", "run.saddle"),
    )
)
"""Modules whose kernels come after those, and take less than two seconds by themselves."""

SECONDS = {LOOP: 5.0, ENGINE: 15.0, PHASE: 7.0, MEMORY_CG: 7.0, DENSE: 7.0}
"""Processor time that each was measured to take on a server's core of 2025."""

_said: dict[str, str] = {}
"""The parts that were told of, and the kernel that was compiled first of each."""


def part_of(module: str) -> str | None:
    """Return what a module's kernels belong to; None for those of the user and for small ones."""
    name = module.partition("twophase_min.")[2] if module.startswith("twophase_min.") else ""
    if name in ALONG:
        return None
    return _PARTS.get(name) or (PHASE if name.startswith("phases.") else None)


def announce(module: str, kernel: str, directories: Sequence[str]) -> None:
    """Say that a part is compiled; called when one of its kernels was not found on disk.

    It is said once a process, and again where the same kernel is compiled for other types: the engine for
    another convex phase, the loop for float32. Child processes say nothing: their parent has, or will.

    Parameters
    ----------
    module, kernel : str
        Where the kernel is defined, and its name.
    directories : sequence of str
        Where compiled code may be kept.
    """
    part = part_of(module)
    if part is None or SECONDS[part] < LEAST or _said.get(part, kernel) != kernel:
        return
    if part == PHASE and _said.keys() & {MEMORY_CG, DENSE}:  # kernels that these compile with their own
        return
    _said[part] = kernel
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
