"""Kernels compiled ahead of time: finds the extension that fits, and the function for given arguments.

The extension (made by ``python -m twophase_min.build``, or with the wheel) needs Python and NumPy, not Numba.
Its file's name holds a hash of the sources that it was compiled from and the processor that it needs, so that
one which does not fit is not found; kernels are then compiled by Numba. Functions in it are named after the
kernel and the types of its arguments.

``TWOPHASE_AOT=0`` leaves it alone; ``TWOPHASE_AOT=<directory>`` looks for it there.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.machinery
import importlib.util
import os
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from twophase_min.jit import sources

PLACE = sources.PACKAGE / "_ahead"
"""Where the extension lies in the package."""

_AVX2 = ("AVX2", "FMA3", "F16C", "POPCNT")
X86 = ("x86_64", "AMD64", "x86-64")
"""Names of the x86-64 family."""

FEATURES = {"generic": "", "avx2": "+sse4.2,+popcnt,+avx,+avx2,+fma,+f16c", "native": None}
"""What LLVM may use of a processor beyond the common ground, by name of `cpu_levels`; None: what it has."""

C_ORDER = 0x501
"""NumPy's flags of an array that is contiguous, aligned and writeable."""


def cpu_features() -> dict[str, bool]:
    """Return what NumPy has found of the processor."""
    core = getattr(np, "_core", None) or np.core
    return dict(core._multiarray_umath.__cpu_features__)


def cpu_levels() -> tuple[str, ...]:
    """Return the processors that an extension may have been compiled for to run here, the best first.

    'native' is this very kind of processor; 'avx2' is one of the x86-64 family with AVX2, FMA3, F16C and
    POPCNT (what x86-64-v3 has and NumPy reports); 'generic' is any of the family.
    """
    features = cpu_features()
    avx2 = platform.machine() in X86 and all(features.get(name) for name in _AVX2)
    return ("native", "avx2", "generic") if avx2 else ("native", "generic")


def stem(level: str) -> str:
    """Return the name of the extension module for a processor: the same sources give the same name."""
    text = f"{sources.digest()} {platform.machine()} {sys.platform}"
    if level == "native":
        text += repr(sorted(name for name, there in cpu_features().items() if there))
    return f"kernels_{level}_{hashlib.sha256(text.encode()).hexdigest()[:16]}"


@functools.cache
def extension() -> Any:
    """Return the extension module, or None where there is none that fits."""
    chosen = os.environ.get("TWOPHASE_AOT", "")
    if chosen == "0":
        return None
    place = Path(chosen) if chosen not in ("", "1") else PLACE
    if not place.is_dir():
        return None
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    for level in cpu_levels():
        path = place / (stem(level) + suffix)
        if path.exists():
            try:
                return _load(path)
            except ImportError:  # another NumPy, or a linker's fault: Numba does it
                continue
    return None


def _load(path: Path) -> Any:
    name = path.name.partition(".")[0]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _describe(value: Any) -> Iterator[str]:
    if isinstance(value, np.ndarray):
        if value.flags.num & C_ORDER != C_ORDER:
            raise TypeError
        yield f"{value.dtype}[{value.ndim}]"
    elif isinstance(value, tuple):
        yield f"{type(value).__module__}.{type(value).__qualname__}("
        for item in value:
            yield from _describe(item)
        yield ")"
    elif isinstance(value, (bool, np.bool_)):
        yield "bool"
    elif isinstance(value, (int, np.int64)):
        yield "int64"
    elif isinstance(value, (float, np.float64)):
        yield "float64"
    else:
        raise TypeError


def symbol(function: Callable[..., Any], arguments: tuple[Any, ...]) -> str | None:
    """Return the name of a kernel's function for arguments of these types; None if it cannot have one."""
    try:
        types = " ".join(_describe(arguments))
    except TypeError:
        return None
    place = f"{function.__module__}.{function.__qualname__}"
    text = hashlib.sha256(f"{place} {types}".encode()).hexdigest()[:16]
    return f"{function.__name__.lstrip('_')}_{text}"


def find(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Return the compiled function of a kernel for arguments of these types, or None."""
    module = extension()
    name = symbol(function, arguments) if module is not None else None
    return getattr(module, name, None) if name else None
