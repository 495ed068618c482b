"""Compile the kernels ahead of time, into one extension module: ``python -m twophase_min.build``.

With it the first run takes a fraction of a second, and needs no Numba unless the objective itself does. It
fits these sources and this version of Python only; after a change of either the kernels are compiled by Numba
again until this is called again. `pip install` of the package does it too (TWOPHASE_BUILD=0 leaves it out).

A C compiler and Python's headers are needed, and setuptools.

    --cpu avx2      for x86-64 processors with AVX2, FMA3, F16C and POPCNT (2013 and later): the default there
    --cpu generic   for any processor of the family: the default elsewhere
    --cpu native    for processors like this one; agrees with Numba's own code to the bit more often
    --into DIR      where to write it; by default into the package
    --keep          leave one of these sources that is there as it is

The environment variable TWOPHASE_CPU stands for --cpu. Several may be given, separated by commas.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.machinery
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from twophase_min.jit import ahead, compilation, sources


def default_level() -> str:
    """Return the processor that is built for unless another is asked for."""
    return "avx2" if platform.machine() in ahead.X86 else "generic"


def exports() -> list[Any]:
    """Return what the extension holds: every registered kernel, for float64 and for float32."""
    import numba

    from twophase_min.jit.pycc import Export

    for name in compilation.KERNEL_MODULES:
        importlib.import_module(f"twophase_min.{name}")
    found = {}
    for kernel, example in compilation.registered:
        for kind in (np.float64, np.float32):
            arguments = example(kind)
            symbol = ahead.symbol(kernel.py_func, arguments)
            if symbol is None:
                raise TypeError(f"no name for the example arguments of {kernel.__qualname__}")
            found[symbol] = Export(symbol, kernel, tuple(map(numba.typeof, arguments)))
    return [found[symbol] for symbol in sorted(found)]


def build(levels: Iterable[str] = (), directory: Path | None = None, keep: bool = False) -> list[Path]:
    """Compile the extension.

    Parameters
    ----------
    levels : iterable of str
        Processors: 'avx2', 'generic' or 'native'. Default: `default_level`.
    directory : Path, optional
        Where to write it; extensions of other sources are removed there.
    keep : bool
        Take the one that is there already, if it is of these sources.

    Returns
    -------
    list of Path
        One file for each processor.

    Raises
    ------
    ValueError
        For an unknown processor.
    RuntimeError
        Where compilation is disabled, or the version of Numba is not one that this was tested with.
    Exception
        What the compiler raises.
    """
    if compilation.DISABLED:
        raise RuntimeError("compilation is disabled by TWOPHASE_DISABLE_JIT")
    levels = tuple(levels) or (default_level(),)
    for level in levels:
        if level not in ahead.FEATURES:
            raise ValueError(f"unknown processor {level!r}: one of {', '.join(ahead.FEATURES)}")
    import numba

    from twophase_min.jit import linking

    if not linking.AVAILABLE:
        raise RuntimeError(f"Numba {numba.__version__} is not one that the build was tested with")
    from twophase_min.jit import pycc

    directory = ahead.PLACE if directory is None else directory
    directory.mkdir(parents=True, exist_ok=True)
    made = []
    for level in levels:
        name = ahead.stem(level)
        there = directory / (name + importlib.machinery.EXTENSION_SUFFIXES[0])
        if keep and there.exists():
            made.append(there)
            continue
        with tempfile.TemporaryDirectory(dir=directory) as draft:
            file = pycc.compile_extension(name, exports(), level, Path(draft))
            for old in directory.glob(f"kernels_{level}_*"):
                old.unlink()
            made.append(directory / file.name)
            shutil.move(file, made[-1])
    return made


def main(argv: list[str] | None = None) -> int:
    """Build from the command line; answers the exit code."""
    parser = argparse.ArgumentParser(prog="python -m twophase_min.build", description=__doc__.split("\n")[0])
    parser.add_argument("--cpu", default=os.environ.get("TWOPHASE_CPU", ""), help="avx2, generic or native")
    parser.add_argument("--into", type=Path, default=None, help="directory to write to")
    parser.add_argument("--keep", action="store_true", help="leave one of these sources as it is")
    given = parser.parse_args(argv)
    began = time.process_time()
    try:
        made = build([level for level in given.cpu.split(",") if level], given.into, given.keep)
    except Exception as error:  # whatever a missing compiler, header or linker raises
        print(f"kernels are not compiled ahead of time: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    for file in made:
        print(f"{file} ({file.stat().st_size / 2**20:.1f} MiB)")
    print(f"{time.process_time() - began:.0f} s of processor time; sources {sources.digest()[:12]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
