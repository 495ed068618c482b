"""One hash over the package's sources: what was compiled from other sources is not used."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
"""The package's directory."""

APART = (
    "problems",
    "networks",
    "demo",
    "finite_sum.py",
    "_mean.py",
    "_ranks.py",
    "_shards.py",
    "_spread.py",
    "__main__.py",
    "build.py",
    "curvature",
    "curvature.py",
    "plotting.py",
    "testing",
    "testing.py",
)
"""Files and folders that no kernel imports; a test holds this against what the kernels import."""


def files() -> list[Path]:
    """Return the sources that compiled code may depend on, in a fixed order."""
    found = sorted(PACKAGE.rglob("*.py"))
    return [path for path in found if path.relative_to(PACKAGE).parts[0] not in APART]


@functools.cache
def digest() -> str:
    """Return the hash of names and contents, as hexadecimal digits; read once in a process."""
    total = hashlib.sha256()
    for path in files():
        content = path.read_bytes()
        total.update(f"{path.relative_to(PACKAGE).as_posix()} {len(content)}\n".encode() + content)
    return total.hexdigest()
