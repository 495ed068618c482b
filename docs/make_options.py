"""Write options.md from the docstring of `TwoPhaseOptions`, its only source.

::

python docs/make_options.py
"""

import inspect
import re
from pathlib import Path

from twophase_min import TwoPhaseOptions

HEAD = """# Options

Everything that `options={...}` of `minimize` takes, and every keyword of `twophase`. This page is made by
`docs/make_options.py` from the docstring of `twophase_min.TwoPhaseOptions`. An unknown name warns and is
ignored, a value out of range raises a ValueError that states the range. Units: "x" is that of the variables,
"f" that of the objective, "1" a pure number. `tol` is another spelling of `gtol`, `maxfev` of `maxfun`.

| option | type and default | meaning |
| --- | --- | --- |
"""


def fields() -> list[tuple[str, str, str]]:
    """Return (names, type and default, meaning) of every entry in the docstring's Parameters."""
    text = inspect.cleandoc(TwoPhaseOptions.__doc__ or "")
    section = re.split(r"\n\w+\n-+\n", text)[1]
    entries: list[list[str]] = []
    for line in section.splitlines():
        if line and not line.startswith(" "):
            names, _, kind = line.partition(" : ")
            entries.append([names, kind, ""])
        elif line.strip():
            entries[-1][2] += " " + line.strip()
    return [(names, kind, meaning.strip()) for names, kind, meaning in entries]


def page() -> str:
    """Return the whole page."""
    rows = []
    for names, kind, meaning in fields():
        cells = (
            ", ".join(f"`{name}`" for name in names.split(", ")),
            kind,
            re.sub(r"``?([^`]+)``?", r"`\1`", meaning),
        )
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("options.md").write_text(page(), encoding="utf-8")
