"""Links and references lead somewhere, as far as can be said without a network."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "benchmarks").glob("*.md")),
]
FORMS = sorted((ROOT / ".github").rglob("*.yml"))
SOURCES = [
    page for folder in ("twophase_min", "benchmarks", "examples") for page in (ROOT / folder).rglob("*.py")
]
MADE = ("gallery/", "reference/")
"""Folders of pages that are made when the site is built."""
HOSTS = {
    "arxiv.org",
    "doi.org",
    "docs.scipy.org",
    "keepachangelog.com",
    "scikit-learn.org",
    "www.itl.nist.gov",
}
"""Where links may lead: hosts that keep their addresses. Enter another one on purpose."""

URL = re.compile(r"\b\w+://[^\s<>\"'`)\]]+")
LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(\s*([^)\s]+)\)|\!\[[^\]]*\]\(([^)\s]+)\)")
ARXIV = re.compile(r"\barxiv(?:\.org/abs/|:)\s*([^\s,;)\]\"'`]+)", re.IGNORECASE)
DOI = re.compile(r"\b(?:doi\.org/|doi:?\s+|doi:)(10[^\s,;)\]\"'`]+)", re.IGNORECASE)


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def without_code(text: str) -> str:
    """The text without its blocks of code."""
    return re.sub(r"^(```+|~~~+).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, made as GitHub and MyST make them."""
    headings = re.findall(r"^#{1,6} +(.+?)\s*$", without_code(text), re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


def fault_of_url(url: str) -> str:
    """What is wrong with an external link; '' if nothing is."""
    parts = urlsplit(url.rstrip(".,;:"))
    if parts.scheme != "https":
        return "is not https"
    if parts.hostname not in HOSTS:
        return "leads to a host that is not in HOSTS"
    return (
        ""
        if re.fullmatch(r"[\w\-.~/%?=&#+:]*", parts.path + parts.query + parts.fragment)
        else "is malformed"
    )


def fault_of_arxiv(number: str) -> str:
    """What is wrong with a number of arXiv: year and month, a dot, four digits, since 2015 five."""
    match = re.fullmatch(r"(\d\d)(0[1-9]|1[0-2])\.(\d{4,5})(v\d+)?", number.rstrip("."))
    return "" if match and (len(match[3]) == 5) == (int(match[1]) >= 15) else "is no number of arXiv"


def fault_of_doi(name: str) -> str:
    """What is wrong with a DOI."""
    return "" if re.fullmatch(r"10\.\d{4,9}/[\w.();/:-]+", name.rstrip(".")) else "is no DOI"


@pytest.mark.parametrize("page", [*PAGES, *FORMS], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """A file that is there, and a heading of it."""
    text = without_code(read(page))
    for link in LINK.finditer(text):
        target, _, anchor = (link[1] or link[2]).partition("#")
        if "://" in target or target.startswith(MADE):
            continue
        # docs/contributing.md includes CONTRIBUTING.md
        place = page.parent / target if target else page
        assert place.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(read(place)), f"{page.name} links to {target}#{anchor}"


@pytest.mark.parametrize(
    ("pattern", "fault"), [(URL, fault_of_url), (ARXIV, fault_of_arxiv), (DOI, fault_of_doi)],
    ids=["url", "arxiv", "doi"],
)  # fmt: skip
def test_references_to_the_outside_are_well_formed(pattern, fault):
    found = [
        (page, match[match.re.groups])
        for page in [*PAGES, *FORMS, *SOURCES]
        for match in pattern.finditer(read(page))
    ]
    assert found
    faults = [f"{page.relative_to(ROOT)}: {what} {fault(what)}" for page, what in found if fault(what)]
    assert not faults


@pytest.mark.parametrize(
    ("fault", "good", "bad"),
    [
        (
            fault_of_url,
            "https://doi.org/10.1000/182",
            ["http://doi.org/10", "https://example.org", "https://doi.org/a^b"],
        ),
        (fault_of_arxiv, "2510.25366.", ["2513.25366", "2510.2536", "1412.69801", "25.10366"]),
        (fault_of_doi, "10.5220/0013696100004000,", ["10.5/1", "10.5220", "10.5220/"]),
    ],
)
def test_what_is_malformed_is_seen(fault, good, bad):
    assert fault(good.rstrip(",")) == ""
    assert all(fault(text) for text in bad)


def test_anchors_are_those_of_headings():
    assert anchors("# One: `two`, three!\n```\n# code\n```\n## [Four](x.md) 5\n") == {
        "one-two-three",
        "four-5",
    }
