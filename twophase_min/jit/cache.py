"""Compiled kernels on disk: safe between processes, and fresh when what they were compiled from changes.

Numba's own cache (``cache=True``) keeps an index per function beside numbered data files, and has four gaps
that matter to a library:

- Two processes that compile two signatures at once both take number 1; whichever index survives may name the
  machine code of the other signature (see numba#4807, numba#10128). Here each signature has one file, written
  beside its place and renamed into it, with a checksum: there is no index to disagree with and no lock to
  wait for, and a torn or foreign file only means to compile again.
- A change in a compiled function that another one calls goes unnoticed (numba#1833). Here a file is stamped
  with the package's sources (`sources`), for a user's function with the code of all it reaches (`reach`), and
  with the versions of Python, NumPy and Numba.
- A directory that cannot be written to is not read either, so a package installed and warmed up by root
  compiles for everyone else. Here every candidate is read, and the first that takes the file is written; if
  none does, the kernel lives in memory.
- Before the first load Numba fills its registries for compiling (0.2 s). Machine code needs them only for the
  symbols that they define, so they are filled when such a symbol is missing.

The directory is ``NUMBA_CACHE_DIR`` where that is set, else ``__pycache__`` beside the source, else the
user's cache directory.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import sys
import uuid
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm  # type: ignore[import-untyped]
import numba
import numpy as np
from numba.core import compiler, sigutils
from numba.core.caching import NullCache
from numba.core.runtime import rtsys
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs

from twophase_min.jit import linking
from twophase_min.jit.notice import announce
from twophase_min.jit.reach import Uncachable, describe_function, describe_type


def stamp(dispatcher: Any) -> bytes:
    """Hash of what a kernel was compiled from, and with.

    The package's own kernels are stamped with all its sources; a user's, or one that closes over values, with
    everything that it reaches.

    Parameters
    ----------
    dispatcher : numba dispatcher
        The kernel.

    Returns
    -------
    bytes
        32 bytes.

    Raises
    ------
    Uncachable
        If it closes over an object whose value has no text.
    """
    digest = hashlib.sha256(
        f"{sys.version_info[:3]} {np.__version__} {numba.__version__} {linking.AVAILABLE}".encode()
    )
    for text in describe_function(dispatcher, set()):
        digest.update(text.encode() + b"\0")
    return digest.digest()


def directories(source: str) -> list[str]:
    """Where the compiled kernels of a source file may be kept, in the order of preference.

    Parameters
    ----------
    source : str
        Path of the source file.

    Returns
    -------
    list of str
    """
    folder = os.path.dirname(os.path.abspath(source))
    unique = f"{os.path.basename(folder)}_{hashlib.sha256(folder.encode()).hexdigest()[:16]}"
    chosen = numba.config.CACHE_DIR  # type: ignore[attr-defined]
    if chosen:
        return [os.path.join(chosen, unique)]
    user = os.path.join(AppDirs(appname="numba", appauthor=False).user_cache_dir, unique)
    inside_archive = not os.path.exists(source)
    return [user] if inside_archive else [os.path.join(folder, "__pycache__"), user]


def _externals(library: Any) -> list[str]:
    """Symbols that a compiled library takes from outside; Numba's runtime has its own ``NRT_`` ones ready."""
    module = library._final_module
    names = [item.name for item in (*module.functions, *module.global_variables) if item.is_declaration]
    return [name for name in names if not name.startswith(("llvm.", "NRT_"))]


class DiskCache(NullCache):
    """Numba's cache interface for one kernel: one file per signature.

    Parameters
    ----------
    dispatcher : numba dispatcher
        The kernel. Its code is looked at when it is first needed, when all it refers to has been defined.
    """

    def __init__(self, dispatcher: Any):
        self._dispatcher = dispatcher
        self._function = dispatcher.py_func
        self._directories = directories(self._function.__code__.co_filename)
        self._stamp: bytes | None = None
        self._enabled = True

    @property
    def cache_path(self) -> str:
        """The preferred directory."""
        return self._directories[0]

    def enable(self) -> None:
        """Use the files."""
        self._enabled = True

    def disable(self) -> None:
        """Leave the files alone."""
        self._enabled = False

    def _entry(self, signature: Any, target: Any) -> tuple[str, bytes] | None:
        """File name and stamp for a signature, or None if it cannot be kept."""
        try:
            if self._stamp is None:
                self._stamp = stamp(self._dispatcher)
            arguments, _ = sigutils.normalize_signature(signature)
            text = " ".join(map(describe_type, arguments))
        except Uncachable:
            return None
        text += f" {target.codegen().magic_tuple()}"
        key = hashlib.sha256(text.encode()).hexdigest()
        name = f"{self._function.__module__.rpartition('.')[2]}.{self._function.__qualname__}"
        name = name.replace("<", "").replace(">", "")
        version = f"py{sys.version_info[0]}{sys.version_info[1]}{getattr(sys, 'abiflags', '')}"
        return f"{name}-{key[:16]}.{version}.nbc", hashlib.sha256(self._stamp + text.encode()).digest()

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compile result of a signature, or None."""
        entry = self._entry(sig, target_context) if self._enabled else None
        found = self._read(*entry, target_context) if entry is not None else None
        if found is None:
            announce(self._function.__module__, self._function.__qualname__, self._directories)
        return found

    def _read(self, name: str, wanted: bytes, target_context: Any) -> Any:
        """Return the compile result in a file of this name with this stamp, or None."""
        for directory in self._directories:
            try:
                with open(os.path.join(directory, name), "rb") as file:
                    content = file.read()
            except OSError:
                continue
            body = content[64:]
            if content[:32] == wanted and content[32:64] == hashlib.sha256(body).digest():
                externals, reduced = pickle.loads(body)
                rtsys.initialize(target_context)
                if not all(map(llvm.address_of_symbol, externals)):
                    target_context.refresh()
                return compiler.CompileResult._rebuild(target_context, *reduced)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the compile result of a signature, if it can be kept and any directory takes it."""
        entry = self._entry(sig, data.target_context) if self._enabled else None
        if entry is None or data.lifted or data.library.has_dynamic_globals:
            return
        name, wanted = entry
        body = dumps((_externals(data.library), data._reduce()))
        content = wanted + hashlib.sha256(body).digest() + body
        for directory in self._directories:
            place = os.path.join(directory, name)
            draft = f"{place}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp"
            try:
                os.makedirs(directory, exist_ok=True)
                with open(draft, "wb") as file:
                    file.write(content)
                os.replace(draft, place)
                return
            except OSError:  # read-only, full, or (Windows) open in another process
                with contextlib.suppress(OSError):
                    os.unlink(draft)


def attach(dispatcher: Callable[..., Any]) -> Callable[..., Any]:
    """Give a dispatcher made without ``cache=True`` its files on disk.

    Parameters
    ----------
    dispatcher : numba dispatcher
        From ``numba.njit``.

    Returns
    -------
    numba dispatcher
        The same.
    """
    dispatcher._cache = DiskCache(dispatcher)  # type: ignore[attr-defined]
    return dispatcher
