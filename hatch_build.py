"""Hatchling's hook: compiles the kernels ahead of time for a wheel, where there is a C compiler.

Without one, or where it fails, the wheel is a pure one and kernels are compiled by Numba on first use.
TWOPHASE_BUILD=0 leaves the compilation out; TWOPHASE_BUILD=1 makes a failure an error. An editable install is
left alone: ``python -m twophase_min.build`` compiles in a checkout.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface):  # type: ignore[misc]
    """Adds the extension to a wheel and names its platform."""

    def _wanted(self) -> bool:
        return self.target_name == "wheel" and os.environ.get("TWOPHASE_BUILD", "") != "0"

    def dependencies(self) -> list[str]:
        """Return what the build needs besides hatchling: what a run needs, and setuptools."""
        return [*self.metadata.core.dependencies, "setuptools"] if self._wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the wheel is put together."""
        if not self._wanted() or version == "editable":
            return
        # kept: pip builds a wheel twice, first to read its metadata
        place = Path(self.root, "build", "ahead")
        # what this process imports: the build environment of pip is on the path, and may be nowhere else
        path = os.pathsep.join([self.root, *filter(None, sys.path)])
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "twophase_min.build", "--keep", "--into", str(place)]
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True)
        files = [Path(line.partition(" (")[0]) for line in done.stdout.splitlines() if "MiB)" in line]
        if done.returncode != 0 or not files:
            message = (done.stderr.strip().splitlines() or ["no message"])[-1]
            if os.environ.get("TWOPHASE_BUILD") == "1":
                raise RuntimeError(message)
            self.app.display_warning(f"a pure wheel, without compiled kernels: {message}")
            return
        for file in files:
            build_data["force_include"][str(file)] = f"twophase_min/_ahead/{file.name}"
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
