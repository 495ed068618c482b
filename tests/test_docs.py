"""What the documentation promises: code that runs, complete docstrings."""

import dataclasses
import importlib.util
import inspect
import os
import re
import tomllib
from pathlib import Path

import pytest
from scripts import output_of

import twophase_min
from twophase_min import TwoPhaseOptions

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


TOOLS = ("lmfit", "optimagic")
"""Packages beside ours. A block of code that imports one stands for itself and is run where it is there."""


def tool_of(block: str) -> str:
    """Return which of `TOOLS` a block imports, '' for none."""
    return next((tool for tool in TOOLS if re.search(rf"^import {tool}\b", block, re.M)), "")


def blocks(page: Path, tool: str = "") -> str:
    """Return the Python blocks of a page that need a tool, or none, in order, as one script."""
    found = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)
    return "\n".join(block for block in found if tool_of(block) == tool)


def without_code(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.stem)
def test_code_blocks_run(page, tmp_path):
    if page.stem == "adding":
        pytest.skip("its code needs its diffs: tests/test_contributing.py")
    if page.stem == "from_jax_and_pytorch":
        pytest.importorskip("jax")
        pytest.importorskip("torch")
    warned = "error::DeprecationWarning:twophase_min"
    output_of("-W", warned, "-c", blocks(page), cwd=tmp_path, path=ROOT, MPLBACKEND="Agg")


@pytest.mark.slow
@pytest.mark.parametrize("tool", TOOLS)
def test_code_blocks_for_tools_of_the_parallel_page_run(tool, tmp_path):
    pytest.importorskip(tool)
    code = blocks(ROOT / "docs" / "parallel.md", tool)
    assert "assert " in code
    output_of("-c", code, cwd=tmp_path, path=ROOT)


def test_the_quick_start_shows_what_its_first_run_prints():
    """The same lines, message and value; counts differ by little, as between versions of SciPy."""
    page = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    scope = {}
    exec(re.findall(r"^```python\n(.*?)^```", page, re.S | re.M)[0], scope)
    shown = re.search(r"^```\n( message: .*?)^```", page, re.S | re.M)[1].splitlines()
    printed = str(scope["result"]).splitlines()
    assert [line[:10] for line in shown] == [line[:10] for line in printed]
    for label in (" message: ", "     fun: ", "gradient: ", "   swaps: "):
        assert [line for line in shown if line.startswith(label)] == [
            line for line in printed if line.startswith(label)
        ]
    one, other = (re.search(r"nit (\d+), nfev (\d+)", "\n".join(text)) for text in (shown, printed))
    assert all(abs(int(a) - int(b)) <= 3 for a, b in zip(one.groups(), other.groups(), strict=True))


def test_code_is_in_blocks_that_are_run():
    """No page has Python in an indented block or in one without a language, where no test would see it."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"^```\n(.*?)^```", text, re.S | re.M):
            assert not re.search(r"^(import|from|def) ", block, re.M), f"{page.name}:\n{block}"
        assert not re.search(r"^ {4}(import|from|def) ", without_code(page), re.M), page.name


def test_no_line_of_a_paragraph_is_taken_for_an_item_of_a_list():
    """A sum that is broken before its plus becomes a list in Markdown."""
    for page in PAGES:
        assert not re.findall(r"^\+ .*", without_code(page), re.M), page.name


def test_files_that_the_pages_name_exist():
    for page in PAGES:
        for name in re.findall(r"`((?:examples|benchmarks|docs|tests)/[\w/]+\.\w+)`", page.read_text()):
            assert (ROOT / name).exists(), f"{page.name} names {name}"


def test_pictures_of_the_readme_are_small():
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    assert pictures
    for picture in pictures:
        assert (ROOT / picture).stat().st_size < 150_000


def test_readme_gives_the_two_commands_and_the_citation():
    text = (ROOT / "README.md").read_text()
    assert 'pip install ".[all]" && python -m twophase_min\n' in text
    assert 'pip install -e ".[test]" && pytest\n' in text
    assert "2510.25366" in text


def test_ci_runs_the_second_command_as_it_is_written():
    script = (ROOT / ".ci" / "run").read_text()
    assert '\npip install -e ".[test]" && pytest\n' in script
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_extras_exist_and_carry_a_second_framework_only_by_its_name():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras) >= {"plot", "sklearn", "progress", "testing", "bench", "docs", "test", "all"}
    assert [need.partition(">")[0].partition("=")[0] for need in extras["jax"] + extras["torch"]] == [
        "jax",
        "torch",
    ]
    for needs in (needs for name, needs in extras.items() if name not in ("jax", "torch", "pinn", "paper")):
        assert not any(re.match(r"(torch|jax|optax|tensorflow)\b|.*\[.*(jax|torch)", need) for need in needs)


# ---- options


def make_options():
    spec = importlib.util.spec_from_file_location("make_options", ROOT / "docs" / "make_options.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_option_is_documented_once_and_in_order():
    documented = [name for names, _, _ in make_options().fields() for name in names.split(", ")]
    assert documented == [field.name for field in dataclasses.fields(TwoPhaseOptions)]


def test_defaults_in_the_docstring_are_the_defaults():
    """Where the docstring says 'default <value>', the field has it."""
    defaults = {field.name: field.default for field in dataclasses.fields(TwoPhaseOptions)}
    for names, kind, _ in make_options().fields():
        stated = kind.partition("default ")[2]
        if not stated:
            assert all(defaults[name] is None for name in names.split(", ")), names
            continue
        for name, text in zip(names.split(", "), stated.split(" and "), strict=True):
            value = defaults[name]
            expected = float(text) if isinstance(value, float) else text.strip("'")
            assert str(value) == expected or value == expected, (name, text)


def test_the_page_of_options_is_up_to_date():
    page = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    assert page == make_options().page(), "run: python docs/make_options.py"


# ---- docstrings


def sections(thing) -> set[str]:
    """Return the numpydoc sections of a docstring."""
    return set(re.findall(r"^([A-Z][\w ]+)\n-+$", inspect.cleandoc(thing.__doc__ or ""), re.M))


def parameters(thing) -> list[str]:
    """Return the names of the parameters that must be documented."""
    target = thing.__init__ if inspect.isclass(thing) else thing
    return [name for name in inspect.signature(target).parameters if name != "self"]


def documented(thing) -> set[str]:
    """Return the names in the docstring's Parameters, and Attributes for a record."""
    text = inspect.cleandoc(thing.__doc__ or "")
    names: set[str] = set()
    for section in ("Parameters", "Attributes"):
        match = re.search(rf"^{section}\n-+\n(.*?)(?=^\S[^\n]*\n-+\n|\Z)", text, re.S | re.M)
        for line in (match[1] if match else "").splitlines():
            if line and not line.startswith(" "):
                names |= {name.strip(" *") for name in line.partition(" : ")[0].split(",")}
    return names


PUBLIC = sorted(twophase_min.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_have_complete_docstrings(name):
    thing = getattr(twophase_min, name)
    first = inspect.cleandoc(thing.__doc__ or "").partition("\n")[0]
    assert len(first) > 10
    assert first.endswith((".", ":")), first
    if inspect.isclass(thing) and issubclass(thing, (int, tuple)):
        return  # an enumeration has its table of texts, a named tuple its fields
    missing = [parameter for parameter in parameters(thing) if parameter not in documented(thing)]
    assert not missing, f"{name} leaves undocumented: {missing}"
    if inspect.isfunction(thing):
        assert "Returns" in sections(thing)


@pytest.mark.parametrize("name", [name for name in PUBLIC if inspect.isclass(getattr(twophase_min, name))])
def test_public_methods_have_docstrings(name):
    thing = getattr(twophase_min, name)
    for method, member in vars(thing).items():
        if not method.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
            assert inspect.getdoc(member), f"{name}.{method}"


def test_every_status_has_a_text():
    from twophase_min._status import TEXTS

    assert set(TEXTS) == set(twophase_min.Status)


def test_every_public_name_is_listed_by_dir():
    assert set(twophase_min.__all__) <= set(dir(twophase_min))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = twophase_min.nonsense
