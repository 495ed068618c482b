"""The tables of the pages are those that the reports make of the kept results."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import pages


@pytest.mark.parametrize("name", pages.REPORTS)
def test_a_page_has_what_its_report_makes_of_the_kept_results(name):
    parts = importlib.import_module(name).tables()
    assert parts
    differing = [page.name for page in pages.differing(parts)]
    assert not differing, f"run: python benchmarks/pages.py {name}"


def test_a_part_fills_its_own_place_alone(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- one -->\nold\n<!-- end -->\nb\n<!-- end-to-end -->\nkept\n<!-- end -->\n")
    assert set(pages.places(tmp_path)) == {"one", "end-to-end"}
    (new,) = pages.differing({"one": "new"}, tmp_path).values()
    assert new == "a\n<!-- one -->\n\nnew\n\n<!-- end -->\nb\n<!-- end-to-end -->\nkept\n<!-- end -->\n"
    page.write_text(new)
    assert not pages.differing({"one": "new"}, tmp_path)
    with pytest.raises(ValueError, match="no page has a place <!-- two -->"):
        pages.differing({"two": "x"}, tmp_path)


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1"), (0.894, ".89"), (1.004, "1.00"), (5.13, "5.13"), (0.999, "1.00")]
)
def test_ratios_are_short(value, text):
    assert pages.short(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.23e-7, "1.2e-7"), (1.2e-12, "1.2e-12"), (0.61, "6.1e-1"), (3.2, "3.2"), (330, "3.3e2")],
)
def test_small_numbers_have_an_exponent_without_padding(value, text):
    assert pages.scientific(value) == text
