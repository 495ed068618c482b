"""Kernels that only other kernels call are linked into their callers as they are, and optimised there once.

Numba optimises and emits every function by itself, and then again inside each of its callers: two thirds of
the time to compile the loop of a run. A kernel is therefore compiled in two forms. The *inner* one, which
other compiled code calls, stops at LLVM's text. The *outer* one, which Python calls, takes in the texts of
all the inner ones that it reaches, each once, and is optimised as a whole.

This stands on two private classes of Numba. It is used for the versions that it was tested with, where these
still look as they did; elsewhere `AVAILABLE` is False, and there is one form, Numba's own. The two ways of
linking may differ in the last digit, as LLVM contracts ``a * b + c`` where it sees both operations.
"""

from __future__ import annotations

import re
from typing import Any

import numba
from llvmlite.binding import Linkage  # type: ignore[import-untyped]
from numba import _dynfunc  # type: ignore[attr-defined]
from numba.core import compiler
from numba.core.codegen import JITCodeLibrary

_TESTED = ((0, 60), (0, 68))
_NEEDED = (
    "_get_module_for_linking",
    "_finalize_dynamic_globals",
    "_raise_if_finalized",
    "add_linking_library",
)


def _available() -> bool:
    found = re.match(r"(\d+)\.(\d+)", numba.__version__)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    return _TESTED[0] <= version <= _TESTED[1] and all(hasattr(JITCodeLibrary, name) for name in _NEEDED)


AVAILABLE = _available()
"""Whether inner kernels are left to their callers."""


def link_parts(module: Any, parts: dict[InnerLibrary, None]) -> None:
    """Link inner libraries into a module of LLVM's, whose own they become.

    Internal to it, for two reasons: the optimiser may change their signatures and drop them, and the engine
    that loads the code would look for the one definition of a shared name, which nobody has emitted.
    """
    names = []
    for part in reversed(parts):  # a caller before what it calls: LLVM leaves out what nobody asks for yet
        own = part.own_module()
        names += [function.name for function in own.functions if function.linkage == Linkage.linkonce_odr]
        module.link_in(own, preserve=True)
    for name in names:
        module.get_function(name).linkage = Linkage.internal


class Gathering:
    """What libraries of ours do: gather the inner libraries that they need, each once, callees first."""

    def __init__(self, codegen: Any, name: str):
        super().__init__(codegen, name)  # type: ignore[call-arg]
        self.parts: dict[InnerLibrary, None] = {}

    def add_linking_library(self, library: Any) -> None:
        """Take over what a callee needs, and the callee."""
        if isinstance(library, InnerLibrary):
            library._ensure_finalized()
            self.parts |= library.parts | {library: None}
            for other in library._linking_libraries:
                super().add_linking_library(other)  # type: ignore[misc]
        else:
            super().add_linking_library(library)  # type: ignore[misc]

    def link_all(self) -> None:
        """Link them; before anything is optimised."""
        link_parts(self._final_module, self.parts)  # type: ignore[attr-defined]


class InnerLibrary(Gathering, JITCodeLibrary):
    """LLVM's text of a kernel, not optimised beyond its functions, for callers to link."""

    _own: Any = None
    _whole: Any = None

    def finalize(self) -> None:
        """Stop here: no callees, no optimisation, no machine code."""
        self._raise_if_finalized()
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """There is none."""
        return 0

    def own_module(self) -> Any:
        """Return the kernel's text, for a caller that links `parts` as well."""
        if self._own is None:
            self._own = super()._get_module_for_linking()
        return self._own

    def _get_module_for_linking(self) -> Any:
        """Return the text with all that it needs, for a caller that is not one of our libraries."""
        if self._whole is None:
            self._whole = self.own_module().clone()
            link_parts(self._whole, self.parts)
            for other in self._linking_libraries:
                self._whole.link_in(other._get_module_for_linking(), preserve=True)
        return self._whole


class OuterLibrary(Gathering, JITCodeLibrary):
    """A kernel that Python calls, optimised together with everything that it reaches."""

    def finalize(self) -> None:
        """Link, optimise and emit."""
        self.link_all()
        super().finalize()


class OuterCompiler(compiler.Compiler):
    """Numba's pipeline into an `OuterLibrary`."""

    library_class: Any = OuterLibrary

    def __init__(self, typingctx: Any, targetctx: Any, library: Any, *others: Any):
        if library is None:
            library = self.library_class(targetctx.codegen(), "kernel")
            library.enable_object_caching()
        super().__init__(typingctx, targetctx, library, *others)


def _entry(library: Any, description: Any, environment: Any) -> Any:
    """Return what Numba knows an inner kernel by: a function without code."""
    name = description.qualname.split(".")[-1]
    return _dynfunc.make_function(description.lookup_module(), name, "", 0, environment, (library,))


class InnerCompiler(OuterCompiler):
    """Numba's pipeline as far as an `InnerLibrary`."""

    library_class = InnerLibrary

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        # of this one compilation: Numba would look for machine code
        self.state.targetctx.get_executable = _entry
