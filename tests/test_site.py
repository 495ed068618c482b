"""The site: every public name has its place, every page a way to it, every example its title."""

import importlib
import re
import sys
from pathlib import Path

import pytest

import twophase_min
from twophase_min._status import CAUSES, Cause, Status

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
sys.path.append(str(DOCS))

import make_reference  # noqa: E402

PAGES = make_reference.pages()
NAMES = [(module, name) for module in make_reference.PARTS for name in make_reference.public(module)]
GENERATED = {"gallery/index", "reference/index"}


@pytest.mark.parametrize(("module", "name"), NAMES, ids=lambda value: str(value).rpartition(".")[2])
def test_every_public_name_is_in_the_reference(module, name):
    page = PAGES[f"{make_reference.file_name(module)}.rst"]
    listed = re.search(rf"^   {re.escape(name)}$", page, re.M)
    referred = f":py:obj:`~twophase_min.{name}`" in page and name in twophase_min.__all__
    assert listed or referred


def test_every_public_module_has_a_page():
    modules = {f"twophase_min.{name}" for name in twophase_min._MODULES} - {
        f"twophase_min.{name}" for name in make_reference.NO_PAGE | set(make_reference.OUTSIDE)
    }
    for module, page in make_reference.OUTSIDE.items():
        assert f"twophase_min.{module}" in (DOCS / f"{page}.md").read_text(encoding="utf-8")
    assert modules == set(make_reference.PARTS) - {"twophase_min"}
    for name in make_reference.NO_PAGE:
        module = importlib.import_module(f"twophase_min.{name}")
        own = [
            thing for thing in vars(module).values() if getattr(thing, "__module__", "") == module.__name__
        ]
        public = {thing.__name__ for thing in own if not thing.__name__.startswith("_")}
        assert public <= set(twophase_min.__all__)


def test_statuses_and_causes_come_from_their_enumerations():
    page = PAGES["statuses.rst"]
    for status in Status:
        assert f"``{status.name}``" in page
    for cause in Cause:
        assert (f"``{cause.name}``" in page) == (CAUSES[cause] not in ("", "{text}")), cause
    assert "{" not in page


def test_the_commands_show_their_own_help():
    page = PAGES["commands.rst"]
    for words in ("--convex-method", "--rule", "--cpu", "python -m twophase_min.detector"):
        assert words in page


def contents(page: Path) -> list[str]:
    """The pages that the tables of contents of a page name."""
    found = []
    for body in re.findall(r"^```\{toctree\}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.S | re.M):
        lines = [line for line in body.splitlines() if line and not line.startswith(":")]
        found += [re.sub(r".*<(.*)>", r"\1", line) for line in lines]
    return found


def test_every_page_can_be_reached_from_the_first():
    reached, ahead = set(), ["index"]
    while ahead:
        name = ahead.pop()
        if name in GENERATED:
            continue
        reached.add(name)
        ahead += [other for other in contents(DOCS / f"{name}.md") if other not in reached]
    assert "\n   /options" in PAGES["index.rst"]
    assert {path.stem for path in DOCS.glob("*.md")} == reached | {"options"}


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 100


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_every_example_begins_with_a_title_for_the_gallery(path):
    text = path.read_text(encoding="utf-8")
    title, line = re.match(r'"""\n?([^\n]+)\n(=+)\n', text).groups()
    assert len(title) == len(line)
    assert f"python examples/{path.name}" in text or f"pytest -n 0 examples/{path.name}" in text
