"""Compiles kernels into an extension module by Numba's `pycc`, which only this file knows.

Numba means to replace `pycc` some day ("pending deprecation", since 2022, without a successor so far). Of it
are used: the code that makes a module of compiled functions, its C file with the helpers that they need, and
its call of the C compiler. Kernels are compiled as the JIT does it, with the options of each; `pycc` alone
would hold the GIL in them, check divisions, and count references.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any, NamedTuple

from numba.core.codegen import AOTCodeLibrary, AOTCPUCodegen
from numba.core.compiler import Flags, compile_extra
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from twophase_min.jit import ahead
from twophase_min.jit.linking import Gathering

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from numba.pycc.cc import CC
    from numba.pycc.compiler import ModuleCompiler


class Export(NamedTuple):
    """One function of the extension: its name, the kernel, and Numba's types of the arguments."""

    symbol: str
    kernel: Any
    types: tuple[Any, ...]


class _Codegen(AOTCPUCodegen):
    """Emits for a stated processor."""

    def __init__(self, name: str, level: str):
        self._level = level
        super().__init__(name, "host" if level == "native" else "")

    def _customize_tm_features(self) -> str:
        features = ahead.FEATURES[self._level]
        return self._get_host_cpu_features() if features is None else features


class _Library(Gathering, AOTCodeLibrary):
    """All functions of the extension, optimised together."""

    def finalize(self) -> None:
        self.link_all()
        super().finalize()


class _Compiler(ModuleCompiler):
    """`pycc`'s module, with kernels compiled by their own options."""

    def __init__(self, entries: list[Export], name: str, level: str):
        super().__init__(entries, name, use_nrt=False)
        self.context = cpu_target.target_context.subtarget(
            _internal_codegen=_Codegen(name, level), aot_mode=True
        )

    @global_compiler_lock
    def _cull_exports(self) -> Any:
        self.exported_function_types: dict[Any, Any] = {}
        self.function_environments: dict[Any, Any] = {}
        self.environment_gvs: dict[Any, str] = {}
        self.extra_environments: dict[str, Any] = {}
        library = _Library(self.context.codegen(), self.module_name)
        for entry in self.export_entries:
            flags: Any = Flags()
            cpu_target.options.parse_as_flags(flags, entry.kernel.dispatcher.targetoptions)
            flags.no_compile = True
            result = compile_extra(
                self.typing_context,
                self.context,
                entry.kernel.py_func,
                entry.types,
                None,
                flags,
                locals={},
                library=library,
            )
            description = result.fndesc
            library.get_function(description.llvm_func_name).linkage = "internal"
            wrapper = library.get_function(description.llvm_cpython_wrapper_name)
            wrapper.name = self._mangle_method_symbol(entry.symbol)
            wrapper.linkage = "external"
            self.exported_function_types[entry] = self.context.call_conv.get_function_type(
                description.restype, description.argtypes
            )
            self.function_environments[entry] = result.environment
            self.environment_gvs[entry] = description.env_name
        module = library.create_ir_module("wrapper")
        self._emit_python_wrapper(module)
        library.add_ir_module(module)
        library.finalize()
        if library.has_dynamic_globals:
            raise RuntimeError("a kernel holds an address of this process")
        for function in library.get_defined_functions():
            internal = function.linkage.name in ("private", "internal")
            if function.name not in self.dll_exports and not internal:
                function.visibility = "hidden"
        return library


class _Extension(CC):
    """`pycc`'s extension, compiled by `_Compiler`."""

    level = "generic"
    exports: list[Export]

    @global_compiler_lock
    def _compile_object_files(self, build_dir: str) -> tuple[list[str], list[str]]:
        compiler = _Compiler(self.exports, self._basename, self.level)
        compiler.external_init_function = self._init_function
        place = os.path.join(build_dir, "kernels.o")
        compiler.write_native_object(place, wrap=True)
        return [place], compiler.dll_exports


def compile_extension(name: str, exports: list[Export], level: str, directory: Path) -> Path:
    """Compile kernels into an extension module.

    Parameters
    ----------
    name : str
        Of the module.
    exports : list of Export
        Its functions.
    level : str
        The processor: a key of `ahead.FEATURES`.
    directory : Path
        Where to write it.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    Exception
        Of many kinds, where there is no C compiler or linker, or Python's headers are missing.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        extension = _Extension(name, source_module=__name__)
    extension.level, extension.exports = level, exports
    extension.use_nrt = False
    extension.output_dir = str(directory)
    extension.compile()
    return directory / str(extension.output_file)
