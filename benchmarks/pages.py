"""Writes the tables of the pages in docs/ from the results that the repository keeps.

    python benchmarks/pages.py              # write them
    python benchmarks/pages.py --check      # only say which pages differ; exit status 1 if one does

A table stands between ``<!-- name -->`` and ``<!-- end -->``. The reports named in REPORTS make the tables;
nothing is measured here.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import re
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

DOCS = HERE.parent / "docs"
REPORTS = (
    "cutest_report",
    "everyday_report",
    "large_report",
    "memory_cg_variants_report",
    "cg_descent_report",
    "digits_report",
    "guard_report",
    "guard_ablation_report",
    "pinn_report",
    "training_report",
    "mlp_speed_report",
    "sum_scaling_report",
    "detectors_report",
    "nist_report",
    "edges_report",
    "estimators_report",
    "quasi_newton_step_report",
    "calls_report",
    "speed_report",
    "paper_report",
    "paper_checks",
)
"""Modules with a function ``tables() -> {name: Markdown}``."""
PLACE = re.compile(r"(<!-- (?!end -->)([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text: str, parts: Mapping[str, str]) -> str:
    """Return a page with the parts in their places; places of other reports stay as they are."""

    def fill(match: re.Match[str]) -> str:
        part = parts.get(match[2])
        return match[0] if part is None else f"{match[1]}\n{part}\n\n{match[3]}"

    return PLACE.sub(fill, text)


def places(docs: Path = DOCS) -> dict[str, Path]:
    """Return the page of every place by its name."""
    return {
        match[2]: page
        for page in sorted(docs.glob("*.md"))
        for match in PLACE.finditer(page.read_text(encoding="utf-8"))
    }


def differing(parts: Mapping[str, str], docs: Path = DOCS) -> dict[Path, str]:
    """Return the pages that the parts change, with their new text.

    Raises
    ------
    ValueError
        No page has a place for a part.
    """
    known = places(docs)
    homeless = sorted(parts.keys() - known.keys())
    if homeless:
        raise ValueError(f"no page has a place <!-- {homeless[0]} -->")
    texts = {page: page.read_text(encoding="utf-8") for page in sorted({known[name] for name in parts})}
    new = {page: filled(text, parts) for page, text in texts.items()}
    return {page: text for page, text in new.items() if text != texts[page]}


def short(value: float) -> str:
    """Two decimals, without a leading zero; a plain 1 for what the others are compared with."""
    return "1" if value == 1 else f"{value:.2f}".removeprefix("0")


def plain(value: float, digits: int = 3) -> str:
    """So many digits without an exponent, as ``5.81``, ``109`` and ``1,730,000``."""
    value = float(f"{value:.{digits}g}")
    return f"{value:,.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}" if value else "0"


def scientific(value: float) -> str:
    """Two digits and an exponent without padding, as ``1.2e-7``."""
    value = float(f"{value:.12g}")  # the last bits of a mean depend on the version of NumPy
    digits, exponent = f"{value:.1e}".split("e")
    return f"{digits}e{int(exponent)}" if int(exponent) else digits


def paragraphs(*parts: str) -> str:
    """Join tables and sentences by empty lines; sentences are broken into lines."""
    return "\n\n".join(part if "|" in part else textwrap.fill(part, 110) for part in parts)


def by_lines(content: Any, after: str) -> str:
    """Return content as JSON, with a new line after each such end of an entry: a change shows by lines."""
    return json.dumps(content).replace(f"{after} ", f"{after}\n") + "\n"


def run_report(doc: str, results: str, keep: Callable[[Any], None], argv: list[str] | None = None) -> int:
    """Run a report from the command line: ``--keep FILE`` enters what a benchmark wrote into what is kept.

    Parameters
    ----------
    doc : str
        Docstring of the report; its first line is shown.
    results : str
        What FILE is.
    keep : callable
        Takes the content of FILE.
    argv : list of str, optional
        Arguments; those of the process by default.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--keep", type=Path, required=True, help=results)
    keep(json.loads(parser.parse_args(argv).keep.read_text()))
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; see ``--help``."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("reports", nargs="*", help=f"of {', '.join(REPORTS)}; all by default")
    parser.add_argument("--check", action="store_true", help="only say which pages differ")
    args = parser.parse_args(argv)
    changed = False
    for name in args.reports or REPORTS:
        for page, text in differing(importlib.import_module(name).tables()).items():
            changed = True
            print(f"{page.name}: {'differs from' if args.check else 'written by'} {name}")
            if not args.check:
                page.write_text(text, encoding="utf-8")
    return int(args.check and changed)


if __name__ == "__main__":
    raise SystemExit(main())
