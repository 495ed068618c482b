"""When, where and by what a benchmark ran: kept beside its results, and said on the pages.

A benchmark takes `begun` before it measures and `ended` after it; its report writes `said` below the table.
"""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

NAMES = {
    "numpy": "NumPy",
    "scipy": "SciPy",
    "numba": "Numba",
    "scikit-learn": "scikit-learn",
    "torch": "PyTorch",
    "jax": "JAX",
    "nlopt": "NLopt",
    "dask": "Dask",
}
"""What packages are called, where not by their own name."""


def begun(*packages: str) -> dict[str, Any]:
    """Return the date, the number of cores, the load and the versions; of ``packages`` those installed."""
    import twophase_min

    versions = {"twophase_min": twophase_min.__version__, "Python": platform.python_version()}
    for package in ("numpy", "scipy", "numba", *packages):
        try:
            versions[NAMES.get(package, package)] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "load": _load(),
        "versions": versions,
    }


def ended(conditions: dict[str, Any]) -> dict[str, Any]:
    """Add the load at the end."""
    return {**conditions, "load": conditions["load"] + _load()}


def _load() -> list[float]:
    """Mean number of processes that ran or waited in the last minute; empty where that is unknown."""
    return [round(os.getloadavg()[0], 1)] if hasattr(os, "getloadavg") else []


def said(conditions: Mapping[str, Any], timed: bool = True) -> str:
    """Say them in a sentence; of what counts calls and times nothing, without cores and load."""
    date = datetime.date.fromisoformat(conditions["date"])
    parts = [f"Measured on {date.day} {date:%B %Y}"]
    if timed:
        low, high = min(conditions["load"], default="unknown"), max(conditions["load"], default="unknown")
        load = f"{low}" if low == high else f"{low} to {high}"
        parts[0] += f" on {conditions['cores']} cores at a load of {load}"
    parts += [f"{name} {number}" for name, number in conditions["versions"].items()]
    return ", ".join(parts) + "."
