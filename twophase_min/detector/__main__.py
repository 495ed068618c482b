"""``python -m twophase_min.detector FILE``: where a logged run would have swapped, and the picture."""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from . import SwapReport, detect_swap
from .registry import RULES, known_rules

LOSS_NAMES = ("loss", "train_loss", "training_loss", "trainloss", "objective", "fun", "f", "mse", "error")
NORM_NAMES = ("grad_norm", "gradnorm", "gradient_norm", "norm", "gnorm", "grad", "gradient", "g")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 with or without a swap, 2 for unusable input."""
    options = _parser().parse_args(arguments)
    try:
        losses, norms, loss_name, norm_name = read_columns(options.file, options.loss, options.norm)
        rule = int(options.rule) if options.rule.lstrip("-").isdigit() else options.rule
        report = detect_swap(
            losses,
            norms,
            rule,
            smoothing=options.smoothing,
            patience=options.patience,
            min_steps=options.min_steps,
            **({"factor": options.factor} if "factor" in _options_of(rule) else {}),
        )
    except (OSError, ValueError) as error:
        print(f"twophase_min.detector: {error}", file=sys.stderr)
        return 2
    print(f"{len(losses)} readings of {loss_name!r} and {norm_name!r} from {options.file}")
    print(describe(report))
    if options.no_plot:
        return 0
    output = Path(options.output) if options.output else Path(options.file).with_suffix(".png")
    try:
        draw(losses, norms, report, output, Path(options.file).name)
    except ImportError as error:
        print(f"no picture: {error}", file=sys.stderr)
        return 0
    except (OSError, ValueError) as error:
        print(f"no picture: {error}", file=sys.stderr)
        return 2
    print(f"norm against loss: {output}")
    return 0


def _options_of(rule: int | str) -> tuple[str, ...]:
    """Names of the options that a rule takes; none of one that is unknown."""
    return RULES[rule]._options if isinstance(rule, str) and rule in RULES else ()


def describe(report: SwapReport) -> str:
    """Say in a few lines what the report found."""
    if not report:
        return report.reason
    peak = "" if report.peak_index is None else f" (at index {report.peak_index})"
    return (
        f"swap at index {report.index} (the first reading is 0), rule {report.rule!r}\n"
        f"  loss {report.loss:.6g}, gradient norm {report.norm:.6g}, peak {report.peak:.6g}{peak}\n"
        f"  {report.reason}"
    )


def draw(losses: list[float], norms: list[float], report: SwapReport, output: Path, title: str) -> None:
    """Write the picture of norm against loss."""
    from matplotlib.figure import Figure

    from twophase_min import plotting

    figure = Figure(figsize=(7.5, 5), layout="constrained")
    plotting.norm_against_loss(
        losses, norms, ax=figure.add_subplot(), swap=report, label="logged run", title=title
    )
    figure.savefig(output, dpi=150)


def read_columns(
    path: str, loss: str | None = None, norm: str | None = None
) -> tuple[list[float], list[float], str, str]:
    """Read the loss and the gradient norm from a delimited text file, or from JSON lines.

    Parameters
    ----------
    path : str
        Comma, semicolon, tab or blank separated, with or without a header; or, where the first line begins
        with ``{``, a JSON object a line. The members of an object in an object are named ``outer/inner``.
    loss, norm : str, optional
        Names of the columns, or their numbers from 1. By default they are recognised by their names, and a
        file of two columns without a header is loss and norm.

    Returns
    -------
    losses, norms : list of float
        NaN where a cell is empty or no number. Rows in which both are missing are left out.
    loss_name, norm_name : str

    Raises
    ------
    ValueError
        The columns are not found, there is no row, a line is no JSON object where the first one is, or the
        file is one JSON list.
    """
    text = Path(path).read_text(encoding="utf-8-sig")
    header: list[str] | None
    if text.lstrip().startswith("[") and text.rstrip().endswith("]"):
        raise ValueError(f"{path} is one JSON list: write JSON lines, an object a line, or CSV")
    if text.lstrip().startswith("{"):
        header, rows = _objects(text, path)
    else:
        header, rows = _table(text, path)
    width = max(map(len, rows)) if rows else 0
    if width < 2:
        raise ValueError(f"{path} needs a header and at least two columns of numbers")
    names = header or [f"column {i + 1}" for i in range(width)]
    at_loss = _find(names, loss, LOSS_NAMES, "loss", 0 if header is None and width == 2 else None)
    at_norm = _find(names, norm, NORM_NAMES, "norm", 1 if header is None and width == 2 else None)
    if at_loss == at_norm:
        raise ValueError(
            f"loss and norm are both read from {names[at_loss]!r}: name them with --loss and --norm"
        )
    pairs = [(_number(row, at_loss), _number(row, at_norm)) for row in rows]
    pairs = [pair for pair in pairs if not (math.isnan(pair[0]) and math.isnan(pair[1]))]
    if not pairs:
        raise ValueError(f"{path} holds no numbers in {names[at_loss]!r} and {names[at_norm]!r}")
    losses, norms = zip(*pairs, strict=True)
    return list(losses), list(norms), names[at_loss], names[at_norm]


def _table(text: str, path: str) -> tuple[list[str] | None, list[list[str]]]:
    """Return the header, if there is one, and the rows of a delimited text."""
    rows = [row for row in _cells(text) if any(cell.strip() for cell in row)]
    rows = rows[:1] + [row for row in rows[1:] if not row[0].lstrip().startswith("#")]
    if not rows:
        raise ValueError(f"{path} holds no rows")
    header = None
    if not any(_is_number(cell) for cell in rows[0]):
        header = [cell.strip().lstrip("# ") for cell in rows.pop(0)]
        header = header[1:] if header[:1] == [""] and len(header) > max(map(len, rows), default=0) else header
    return header, rows


def _objects(text: str, path: str) -> tuple[list[str], list[list[str]]]:
    """Return the names of all members, in the order in which they are met, and the rows of JSON lines."""
    objects: list[dict[str, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            members = json.loads(line)
        except ValueError:
            members = None
        if not isinstance(members, dict):
            raise ValueError(f"line {number} of {path} is not a JSON object, as its first line is")
        objects.append(dict(_members(members)))
    names = list(dict.fromkeys(name for members in objects for name in members))
    return names, [[members.get(name, "") for name in names] for members in objects]


def _members(members: dict[str, Any], outer: str = "") -> Iterator[tuple[str, str]]:
    for name, value in members.items():
        if isinstance(value, dict):
            yield from _members(value, f"{outer}{name}/")
        else:
            yield outer + name, "" if value is None or isinstance(value, bool) else str(value)


def _cells(text: str) -> list[list[str]]:
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    for delimiter in ",;\t":
        if delimiter in first:
            return list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
    return [line.split() for line in lines]


def _find(names: list[str], wanted: str | None, known: Sequence[str], part: str, default: int | None) -> int:
    plain = [name.lower().replace(" ", "_").replace("-", "_") for name in names]
    if wanted is not None:
        if wanted in names:
            return names.index(wanted)
        if wanted.isdigit() and 1 <= int(wanted) <= len(names):
            return int(wanted) - 1
        raise ValueError(f"there is no column {wanted!r}: there are {', '.join(map(repr, names))}")
    tails = [name.replace(".", "/").split("/")[-1] for name in plain]
    for candidates in (plain, tails):
        for name in known:
            if name in candidates:
                return candidates.index(name)
    for i, name in enumerate(plain):
        if part in name and not name.startswith(("val", "test")):
            return i
    if default is not None:
        return default
    raise ValueError(
        f"no column looks like the {part}: name it with --{part}; there are {', '.join(map(repr, names))}"
    )


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _number(row: list[str], index: int) -> float:
    return float(row[index]) if index < len(row) and _is_number(row[index]) else math.nan


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m twophase_min.detector",
        description="Find the convexity swap in a log of losses and gradient norms; draw one over the other.",
    )
    parser.add_argument(
        "file", metavar="FILE", help="the log, CSV or JSON lines, a row an iteration or epoch"
    )
    parser.add_argument("--loss", help="column of the loss: its name or number from 1 (default: recognised)")
    parser.add_argument("--norm", help="column of the gradient norm (default: recognised)")
    rules = ", ".join(name for name in known_rules() if not RULES[name].extras)
    parser.add_argument(
        "--rule", default="norm-peak", help=f"{rules}, or a step (default: norm-peak, the paper's)"
    )
    parser.add_argument("--factor", type=float, default=0.9, help="fraction of the peak (default: 0.9)")
    parser.add_argument(
        "--smoothing", type=float, default=0.0, help="weight of the past, 0 to 1 (default: 0)"
    )
    parser.add_argument("--patience", type=int, default=1, help="readings in a row (default: 1)")
    parser.add_argument("--min-steps", type=int, default=0, help="readings before any swap (default: 0)")
    parser.add_argument("--output", help="the picture (default: the log's name, .png)")
    parser.add_argument("--no-plot", action="store_true", help="print only")
    return parser


if __name__ == "__main__":
    sys.exit(main())
