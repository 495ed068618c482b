"""Write options.md from the docstring of `TwoPhaseOptions` and the registries of rules and phases.

::

python docs/make_options.py
"""

import inspect
import re
from pathlib import Path

from twophase_min import TwoPhaseOptions
from twophase_min.detector import RULES
from twophase_min.detector.registry import known_rules
from twophase_min.phases import PHASES

HEAD = """# Options

Everything that `options={...}` of `minimize` takes, and every keyword of `twophase`. This page is made by
`docs/make_options.py` from the docstring of `twophase_min.TwoPhaseOptions` and from the registry of the
phases. An unknown name warns and is ignored, a value out of range raises a ValueError that states the range.
Units: "x" is that of the variables, "f" that of the objective, "1" a pure number. `tol` is another spelling
of `gtol`, `maxfev` of `maxfun`.

| option | type and default | meaning |
| --- | --- | --- |
"""


RULES_HEAD = """
## Rules by name

What `swap` can name besides 'auto'; further settings of a rule go to a `ConvexitySwapDetector`, which `swap`
takes too. [When to believe the swap](detectors.md) compares them. The compiled ones run in either engine.

| rule | what it goes by | wants besides loss and norm | compiled |
| --- | --- | --- | --- |
"""

CONVEX = """
## Convex methods

What `convex_method` takes. A method that can be compiled serves `engine="numba"` too. "Memory" counts
vectors of length n. "c2" is the curvature constant of its line search where the options give none. A method
of SciPy's whose search fails is tried again in plain variables; then come the fallbacks.

| method | run by | compiled | bounds | Hessian products | memory | c2 | variables renewed | fallbacks |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""

OWN = """
`convex_options` of {names}:

| option | range | default | meaning |
| --- | --- | --- | --- |
"""


def convex_methods() -> list[str]:
    """Return the rows of the table of the convex methods."""
    rows = []
    for phase in PHASES.values():
        cells = (
            f"`{phase.name}`",
            "SciPy" if phase.external else "this package",
            "yes" if phase.compiled else "no",
            "yes" if phase.bounds else "no",
            "yes" if phase.hessian else "no",
            phase.memory,
            f"{phase.c2:g}" if phase.wolfe else "",
            f"every {phase.cycle} iterations" if phase.cycle else "",
            ", ".join(f"`{name}`" for name in phase.fallbacks),
        )
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def own_options() -> str:
    """Return a table of the options of every method of the package's own."""
    text = ""
    for options in dict.fromkeys(phase.options for phase in PHASES.values() if phase.options):
        names = [f"`{phase.name}`" for phase in PHASES.values() if phase.options == options]
        text += OWN.format(names=", ".join(names))
        for option in options:
            text += f"| `{option.name}` | {option.range} | {option.default} | {option.meaning} |\n"
    return text


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
    return "".join(
        [
            HEAD,
            "\n".join(rows) + "\n",
            RULES_HEAD + "\n".join(map(rule_row, known_rules())) + "\n",
            CONVEX + "\n".join(convex_methods()) + "\n",
            own_options(),
        ]
    )


def rule_row(name: str) -> str:
    """Return a rule's row of the table."""
    rule = RULES[name]
    meaning = re.sub(r"``?([^`]+)``?", r"`\1`", inspect.cleandoc(rule.__doc__).splitlines()[0])
    wants = ", ".join(f"`{extra}`" for extra in rule.extras)
    return f"| `{name}` | {meaning} | {wants} | {'yes' if rule.kernels else 'no'} |"


if __name__ == "__main__":
    Path(__file__).with_name("options.md").write_text(page(), encoding="utf-8")
