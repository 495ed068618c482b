"""The result of a run that prints itself: a short summary, and in notebooks the norm-against-loss picture."""

from __future__ import annotations

import base64
import html
import io
import math
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from twophase_min._errstate import our_arithmetic

WIDTH = 100
"""Characters to a line."""
SHOWN = 8
"""Handovers and stretches of one phase that are shown; of more, the first and the last."""
_LABEL = 9
"""Width of the labels: that of the longest, ``success:`` and a blank."""
_TOLD = frozenset(
    (
        *("message", "success", "status", "fun", "x", "jac", "nit", "nfev", "njev", "nhev"),
        *("gradient", "phases", "swaps", "seconds", "history"),
    )
)
"""What has its own line; the rest is named in the last one, with the history first."""


class Result(OptimizeResult):
    """What a run has found, as a dictionary with attributes: SciPy's `OptimizeResult` with a short text.

    ``print(result)`` shows what happened; the record of the run (``history``), its ``state`` and other large
    fields are only named. Every field is there by attribute and by key, as in SciPy's.
    """

    def __repr__(self) -> str:
        return summary(self)

    def _repr_html_(self) -> str:
        """Return the summary, and the picture where Matplotlib is installed and there is one to draw."""
        text, picture = f"<pre>{html.escape(summary(self))}</pre>", _picture(self)
        if picture:
            text += f'<img alt="gradient norm against loss" src="data:image/png;base64,{picture}"/>'
        return text


def summary(result: OptimizeResult) -> str:
    """Describe a result in some fifteen lines of at most `WIDTH` characters.

    Parameters
    ----------
    result : OptimizeResult
        Any of its fields may be missing.

    Returns
    -------
    str
        Lines ``label: text``, the labels right-aligned: SciPy's names where SciPy has one.
    """
    if not result:
        return f"{type(result).__name__}()"
    return "\n".join(
        line
        for label, texts in _entries(result)
        for line in _aligned(label, [texts] if isinstance(texts, str) else texts)
    )


def summary_of_many(result: OptimizeResult) -> str:
    """Describe the results of many problems in some ten lines of at most `WIDTH` characters.

    Parameters
    ----------
    result : MultistartResult

    Returns
    -------
    str
        Lines as those of `summary`.
    """
    known = np.asarray(result.fun)[np.isfinite(result.fun)]
    ends = Counter(str(text).partition(". ")[0].rstrip(".") for text in result.messages)
    wide = len(str(max(ends.values(), default=0)))
    entries: dict[str, str | list[str]] = {"message": result.message}
    if result.best >= 0:
        entries["best"] = f"row {result.best}, fun {_number(result.fun_best)}"
        entries["x_best"] = _vector(result.x_best)
        low, middle, high = np.min(known), np.median(known), np.max(known)
        entries["fun"] = f"{low:.6g} to {high:.6g}, median {middle:.6g}"
    counts = [f"{name} {np.sum(result[name]):.10g}" for name in ("nit", "nfev", "njev")]
    entries["counts"] = f"{', '.join(counts)}, over all {len(result.x)} problems"
    entries["ends"] = _shortened([f"{count:{wide}} {text}" for text, count in ends.most_common()], "messages")
    entries["how"] = result.how
    entries["also"] = ", ".join(name for name in result if name not in entries and name != "fun_best")
    return "\n".join(
        line
        for label, texts in entries.items()
        for line in _aligned(label, [texts] if isinstance(texts, str) else texts)
    )


def keep(error: BaseException, result: OptimizeResult) -> None:
    """Lose nothing: hang the best point so far on an exception that is passed on, and have it shown.

    Parameters
    ----------
    error : BaseException
        Gets the attribute ``optimize_result`` and a note, which a traceback shows.
    result : OptimizeResult
    """
    try:
        error.optimize_result = result  # type: ignore[attr-defined]
        error.add_note(
            f"The best point so far, fun = {result.fun:.6g} after {result.nfev:g} values, is kept in this "
            "exception's attribute optimize_result."
        )
    except Exception:  # an exception type that takes no attributes is still the user's to see
        return


def _entries(result: OptimizeResult) -> Iterator[tuple[str, str | list[str]]]:
    """Yield labels and their lines."""
    for name in ("message", "success", "status"):
        if name in result:
            yield name, str(result[name])
    if "fun" in result:
        yield "fun", _number(result.fun)
    for name in ("x", "jac"):
        if name in result:
            yield name, _vector(result[name])
    if "jac" in result:
        yield "|jac|", _norms(result.jac)
    if "active" in result and "jac" in result and "multipliers" in result:
        yield "bounds", _bounds(result)
    if "gradient" in result:
        yield "gradient", str(result.gradient)
    counts = [f"{name} {result[name]:g}" for name in ("nit", "nfev", "njev", "nhev") if name in result]
    if counts:
        yield "counts", ", ".join(counts)
    seconds = _seconds(result)
    if math.isfinite(seconds):
        yield "seconds", f"{seconds:.3g}"
    if result.get("phases"):
        yield "phases", _phases(result.phases)
    if result.get("swaps"):
        yield "swaps", _shortened([_swap(swap) for swap in result.swaps], "swaps")
    more = [name for name in result if name not in _TOLD]
    if "history" in result:
        more.insert(0, f"history ({len(result.history)} rows)")
    if more:
        yield "also", ", ".join(more)


def _aligned(label: str, texts: Sequence[str]) -> Iterator[str]:
    """Put a label before the first of its lines; long ones are broken and indented."""
    first = f"{label + ':':>{_LABEL}} "
    for text in texts:
        yield from textwrap.wrap(
            text,
            WIDTH,
            initial_indent=first,
            subsequent_indent=" " * (_LABEL + 1) + "  " * (len(texts) > 1),
            break_long_words=False,
            break_on_hyphens=False,
            drop_whitespace=True,
        ) or [first.rstrip()]
        first = " " * (_LABEL + 1)


def _number(value: Any) -> str:
    return f"{value:.10g}" if isinstance(value, (float, np.floating)) else str(value)


def _vector(values: Any) -> str:
    """Entries in four digits, of a long vector the first and last three and the number of all."""
    array = np.asarray(values)
    with np.printoptions(threshold=6, edgeitems=3, linewidth=10_000, precision=4, legacy=False):
        text = str(array)
    return " ".join(text.split()) + (f" ({array.size} entries)" if array.size > 6 else "")


def _norms(values: Any) -> str:
    g = np.asarray(values, dtype=float)
    if g.size == 0 or np.isnan(g).all():
        return "not known"
    with our_arithmetic():
        return f"largest entry {np.max(np.abs(g)):.3g}, Euclidean norm {np.linalg.norm(g):.3g}"


def _bounds(result: OptimizeResult) -> str:
    """Return how many limits hold x, and the gradient that they leave: what the convergence test reads."""
    held = np.asarray(result.active) != 0
    free = np.asarray(result.jac, dtype=float)[~held]
    rest = f"; |jac| of the others: {_norms(free)}" if held.any() and not held.all() else ""
    return f"{held.sum()} of {held.size} variables at a limit{rest}"


def _seconds(result: OptimizeResult) -> float:
    """Seconds that the run took, else until its last iterate; NaN where nobody looked at the clock."""
    if "seconds" in result:
        return float(result.seconds)
    history = result.get("history")
    return float(history.time[-1]) if history is not None and len(history) else math.nan


def _phases(phases: Sequence[dict[str, Any]]) -> list[str]:
    """Return a line a stretch: its iterations, its own evaluations, where it came to."""
    wide = max(len(phase["name"]) for phase in phases)
    before, lines = 0.0, []
    for phase in phases:
        many = phase["last"] - phase["first"] + 1
        spent, before = phase["evaluations"] - before, phase["evaluations"]
        lines.append(
            f"{phase['name']:<{wide}} {many:6d} iterations {spent:8g} evaluations, to fun {phase['fun']:.6g}"
        )
    return _shortened(lines, "phases")


def _swap(swap: dict[str, Any]) -> str:
    return f"iteration {swap['iteration']}, {swap['from']} to {swap['to']}: {swap['reason']}"


def _shortened(lines: list[str], name: str) -> list[str]:
    """Return the first and last lines of many."""
    left_out = len(lines) - SHOWN
    if left_out <= 1:
        return lines
    half = SHOWN // 2
    return [*lines[:half], f"... {left_out} more in result.{name} ...", *lines[-half:]]


def _picture(result: OptimizeResult) -> str:
    """Return the norm-against-loss picture as base64 of a PNG; '' where there is none."""
    if "history" not in result:
        return ""
    try:
        from matplotlib.figure import Figure

        from twophase_min.plotting import norm_against_loss

        figure = Figure(figsize=(6.5, 4.2), layout="constrained")
        norm_against_loss(result, ax=figure.add_subplot())
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=90)
    except (ImportError, ValueError):  # no Matplotlib, or no finite point to draw
        return ""
    return base64.b64encode(file.getvalue()).decode("ascii")
