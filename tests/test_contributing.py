"""What CONTRIBUTING.md promises: its diffs apply, touch as many files as it says, and their code runs."""

import re
import shutil
from pathlib import Path

import pytest
from scripts import output_of

from twophase_min.jit.compilation import DISABLED

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "CONTRIBUTING.md"
TEXT = PAGE.read_text(encoding="utf-8")


def blocks(language, text=TEXT):
    """The code blocks of a page in a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.S | re.M)


def changes(diff):
    """Yield (path, hunks) of a unified diff; a hunk is the text before and the text after."""
    for part in re.split(r"^--- ", diff, flags=re.M)[1:]:
        _, name, *rest = part.split("\n")
        hunks = []
        for hunk in re.split(r"^@@ [^\n]*\n", "\n".join(rest), flags=re.M)[1:]:
            lines = [line or " " for line in hunk.rstrip("\n").split("\n")]
            old, new = ("\n".join(line[1:] for line in lines if line[0] in " " + sign) for sign in "-+")
            hunks.append((old, new))
        yield name.removeprefix("+++ b/"), hunks


def apply(diff, folder):
    """Apply a diff; every hunk must match in exactly one place, wherever that is."""
    touched = []
    for name, hunks in changes(diff):
        path = folder / name
        touched.append((name, path.exists()))
        for old, new in hunks:
            if not path.exists():
                path.write_text(new + "\n", encoding="utf-8")
                continue
            text = path.read_text(encoding="utf-8")
            assert text.count(old) == 1, f"{name}: the page shows lines that are not there:\n{old}"
            path.write_text(text.replace(old, new), encoding="utf-8")
    return touched


@pytest.fixture(scope="module")
def patched(tmp_path_factory):
    """A copy of the package with all diffs of the page, and what each of them touched."""
    folder = tmp_path_factory.mktemp("patched")
    shutil.copytree(
        ROOT / "twophase_min", folder / "twophase_min", ignore=shutil.ignore_patterns("__pycache__")
    )
    return folder, [apply(diff, folder) for diff in blocks("diff")]


@pytest.mark.slow
@pytest.mark.skipif(DISABLED, reason="the page compares the compiled loop with the other")
def test_the_trial_of_the_page_applies_and_runs(tmp_path):
    """A phase and a rule that were added from the page alone still can be, and run in both loops."""
    shutil.copytree(
        ROOT / "twophase_min", tmp_path / "twophase_min", ignore=shutil.ignore_patterns("__pycache__")
    )
    trial = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")
    touched = [name for diff in blocks("diff", trial) for name, _ in apply(diff, tmp_path)]
    assert len(touched) == 3
    (code,) = blocks("python", trial)
    printed = output_of("-c", code, cwd=tmp_path, path=tmp_path)
    assert "heavy-ball" in printed
    assert "has fallen by less from reading to reading 3 times in a row" in printed


def test_a_phase_a_rule_and_an_option_touch_few_files(patched):
    """A phase is a new file and one line elsewhere, a rule one file, an option its field and its reader."""
    phase, rule, option = patched[1]
    assert sorted(phase) == [
        ("twophase_min/phases/__init__.py", True),
        ("twophase_min/phases/spectral.py", False),
    ]
    assert rule == [("twophase_min/detector/rules.py", True)]
    assert sorted(option) == [("twophase_min/_options.py", True), ("twophase_min/run/build.py", True)]


def test_the_entry_of_a_phase_is_one_line():
    registry = next(part for part in blocks("diff")[0].split("--- ") if "phases/__init__.py" in part)
    added = [line for line in registry.split("\n") if line.startswith("+") and not line.startswith("+++")]
    assert len(added) == 1


@pytest.mark.slow
@pytest.mark.skipif(DISABLED, reason="the page compares the compiled loop with the other")
def test_the_code_of_the_page_runs(patched, tmp_path):
    output_of("-c", "\n".join(blocks("python")), cwd=tmp_path, path=patched[0])


def test_files_that_the_page_names_exist():
    for name in re.findall(r"`((?:examples|benchmarks|docs|tests)/[\w/]+\.\w+)`", TEXT):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"^\| `((?:\w+/)?\w+(?:/|\.py))`", TEXT, re.M):
        assert (ROOT / "twophase_min" / name).exists() or (ROOT / name).exists(), name


def test_every_part_of_the_core_is_in_the_table():
    for row in re.findall(
        r"^CORE = \((.*?)^\)", (ROOT / "tests" / "test_structure.py").read_text(), re.S | re.M
    ):
        for part in re.findall(r'"(\w+)"', row):
            assert f"`{part}/`" in TEXT or f"`{part}.py`" in TEXT, part
