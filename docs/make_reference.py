"""Write the pages of the reference from the package itself: names, statuses, causes, commands.

The pages are made whenever the site is built, and are not kept. ``python docs/make_reference.py`` writes them
without building the site.
"""

import contextlib
import importlib
import io
import re
from pathlib import Path
from typing import Any

import twophase_min
from twophase_min._status import CAUSES, SUCCESSFUL, TEXTS, Cause, Status

PARTS = {
    "twophase_min": "Minimise, fit, detect",
    "twophase_min.detector": "Rules of the swap",
    "twophase_min.curvature": "Curvature and standard errors",
    "twophase_min.networks": "Networks",
    "twophase_min.estimators": "Estimators for scikit-learn",
    "twophase_min.gradients": "Gradients from JAX and PyTorch",
    "twophase_min.plotting": "Pictures",
    "twophase_min.problems": "Problems with known minima",
    "twophase_min.testing": "Tests of convergence",
}
"""Modules with public names, in the order of the reference, and the titles of their pages."""

OUTSIDE = {"optimagic": "parallel"}
"""Public modules that import a package which the site's environment lacks, and the pages about them."""

NO_PAGE = {"finite_sum"}
"""Public modules whose one name, `FiniteSum`, the package has itself."""


def public(module: str) -> list[str]:
    """Return the public names of a module."""
    return sorted(importlib.import_module(module).__all__, key=str.lower)


def elsewhere(module: str) -> list[str]:
    """Return the names of a module that are the package's own too, and are documented there."""
    found: Any = importlib.import_module(module)
    return [
        name
        for name in public(module)
        if module != "twophase_min"
        and getattr(twophase_min, name, None) is getattr(found, name)
        and name in twophase_min.__all__
    ]


def title(text: str) -> str:
    """Return a heading."""
    return f"{text}\n{'=' * len(text)}\n"


def names_page(module: str) -> str:
    """Return the page of a module: a table of its names, each with a page of its own."""
    twice = elsewhere(module)
    lines = [title(PARTS[module]), f"``{module}``\n"]
    introduction = importlib.import_module(module).__doc__ or ""
    lines += [introduction.partition("\n")[0] + "\n"]
    lines += [f".. currentmodule:: {module}\n", ".. autosummary::", "   :toctree: generated", ""]
    lines += [f"   {name}" for name in public(module) if name not in twice]
    if twice:
        also = ", ".join(f":py:obj:`~twophase_min.{name}`" for name in twice)
        lines += ["", f"Names of the package that are here too: {also}."]
    return "\n".join(lines) + "\n"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]], widths: str) -> str:
    """Return a list-table."""
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", ""]
    for row in [head, *rows]:
        lines += [f"   {'*' if k == 0 else ' '} - {cell}" for k, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


def plain(sentence: str) -> str:
    """Return a sentence with an ellipsis for every number or text that a run fills in."""
    return re.sub(r"\{[^}]*\}", "…", sentence).replace("`", "``")


def status_page() -> str:
    """Return the page of statuses and causes, from their enumerations."""
    statuses = [
        (str(int(code)), f"``{code.name}``", "yes" if code in SUCCESSFUL else "no", plain(TEXTS[code]))
        for code in Status
    ]
    causes = [(f"``{cause.name}``", plain(CAUSES[cause])) for cause in Cause if CAUSES[cause].strip(" {}tex")]
    return "\n".join(
        [
            title("Statuses and causes"),
            "``result.status`` says why a run ended: a code of :py:obj:`twophase_min.Status`. ``success`` is",
            "true for some of them only. ``result.message`` is the sentence, with the particulars.\n",
            table(("code", "name", "success", "sentence"), statuses, "8 22 10 60"),
            "The causes below appear in ``result.swaps`` as the reason of a handover, and in the message of",
            "a run that they ended. A run fills in its numbers where … stands. The reasons of the detector's",
            "rules come from the rules themselves.\n",
            table(("cause", "sentence"), causes, "22 78"),
            "From a message to its remedy: :doc:`/troubleshooting`.",
        ]
    )


def help_of(module: str) -> str:
    """Return what ``python -m module --help`` prints."""
    home = module if module == "twophase_min.build" else f"{module}.__main__"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        importlib.import_module(home).main(["--help"])
    return printed.getvalue()


def commands_page() -> str:
    """Return the page of the commands: their own help."""
    blocks = [title("Commands")]
    for module, purpose in (
        ("twophase_min", "The method on handwritten digits beside its peers."),
        ("twophase_min.detector", "The detector on a log file: where should this run have swapped?"),
        ("twophase_min.build", "Compile the kernels ahead of time."),
    ):
        shown = "\n".join("    " + line for line in help_of(module).splitlines())
        blocks += [f"``python -m {module}``", "-" * (len(module) + 14), "", purpose, "", "::", "", shown, ""]
    return "\n".join(blocks)


def index_page() -> str:
    """Return the entrance of the reference."""
    pages = [file_name(module) for module in PARTS]
    return "\n".join(
        [
            title("Reference"),
            "Every public name, made from the package itself. Options, rules and convex methods by name:",
            ":doc:`/options`.\n",
            ".. toctree::\n   :maxdepth: 1\n",
            *(f"   {page}" for page in pages),
            "   /options",
            "   statuses",
            "   commands\n",
            *(
                f"``twophase_min.{module}`` needs the package of that name: see :doc:`/{page}`.\n"
                for module, page in OUTSIDE.items()
            ),
            "Every name and its page\n-----------------------\n",
            table(("name", "module"), every_name(), "50 50"),
        ]
    )


def every_name() -> list[tuple[str, ...]]:
    """Return every public name with a link to its page, and its module, in the order of the names."""
    rows = []
    for module in PARTS:
        rows += [(name, module) for name in public(module) if name not in elsewhere(module)]
    return [
        (f":py:obj:`{name} <{module}.{name}>`", f"``{module}``")
        for name, module in sorted(rows, key=lambda row: row[0].lower())
    ]


def file_name(module: str) -> str:
    """Return the page of a module, without suffix."""
    return module.rpartition(".")[2]


def pages() -> dict[str, str]:
    """Return every page by its file name."""
    made = {f"{file_name(module)}.rst": names_page(module) for module in PARTS}
    made |= {"index.rst": index_page(), "statuses.rst": status_page(), "commands.rst": commands_page()}
    return made


def write(folder: Path) -> None:
    """Write the pages into a folder; one that has not changed is left alone, so that it is not read again."""
    folder.mkdir(exist_ok=True)
    for name, text in pages().items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(__file__).with_name("reference"))
