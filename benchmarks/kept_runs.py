"""A file of runs that is kept: a line for the end of each run, and the curves that are drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Run = dict[str, Any]


def of(rows: list[Run], **wanted: Any) -> list[Run]:
    """Return the rows with these values."""
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def write(
    path: Path,
    fields: tuple[str, ...],
    ends: list[list[Any]],
    measures: tuple[str, ...],
    curves: dict[str, Any],
) -> None:
    """Write ends, the values of the fields in their order, and curves by name, points of the measures."""
    lines = ",\n".join(json.dumps(end) for end in sorted(ends, key=str))
    drawn = ",\n".join(f"{json.dumps(key)}: {json.dumps(curve)}" for key, curve in sorted(curves.items()))
    path.write_text(
        f'{{"fields": {json.dumps(fields)},\n"runs": [\n{lines}\n],\n'
        f'"curve": {json.dumps(measures)},\n'
        f'"curves": {{\n{drawn}\n}}}}\n'
    )


def read(path: Path) -> tuple[list[Run], dict[str, Any]]:
    """Read what `write` has written: runs and curves."""
    data = json.loads(path.read_text())
    return [dict(zip(data["fields"], end, strict=True)) for end in data["runs"]], data["curves"]
