"""Pictures of a run: the gradient norm against the loss, convergence, methods side by side.

Every function takes results of `minimize`, their histories, plain mappings of arrays or tuples of arrays,
draws into an axes if one is given, and returns the axes. Matplotlib (the extra ``plot``) is imported when
the first picture is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from twophase_min.detector import SwapReport, detect_swap

__all__ = ["comparison", "convergence", "norm_against_loss"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D")
"""Okabe and Ito's palette, told apart by colour-blind readers too."""
STYLES = ("-", "--", "-.", ":")
X_LABELS = {
    "cost": "evaluations (a value and a gradient count one each)",
    "nfev": "function evaluations",
    "njev": "gradient evaluations",
    "time": "seconds",
    "iteration": "iteration",
}
_ALIASES = {
    "fun": ("fun", "loss", "losses", "f"),
    "grad_norm": ("grad_norm", "norm", "norms", "gradient_norm"),
    "phase": ("phase",),
    "cost": ("cost", "evaluations"),
    "nfev": ("nfev",),
    "njev": ("njev",),
    "time": ("time", "seconds"),
    "iteration": ("iteration", "epoch"),
}


def norm_against_loss(
    run: Any,
    norms: Any = None,
    *,
    ax: Any = None,
    swap: Any = "auto",
    direction: str = "right",
    label: str | None = None,
    title: str | None = None,
) -> Any:
    """Draw the gradient norm over the loss, the paper's figure 5, with phases, peak and swap.

    Where the curve climbs while the loss falls, the loss looks non-convex, where it drops, convex. The line
    is broken where a phase goes on from a point of its own: Adam after a convex phase was suspended, or that
    phase when it resumes.

    Parameters
    ----------
    run : OptimizeResult, History, mapping or array_like, shape (k,)
        Something with columns 'fun' (or 'loss') and 'grad_norm' (or 'norm'), and perhaps 'phase' and `swaps`;
        a pair (losses, norms); or the losses alone.
    norms : array_like, shape (k,), optional
        The norms, when `run` is the losses.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    swap : 'auto', int, SwapReport, str or None, default 'auto'
        What to mark: the swaps of the run ('auto'), an index into the arrays, a report of `detect_swap`, the
        name of a rule to look for it with, or nothing.
    direction : {'right', 'left'}, default 'right'
        Where the run goes as the loss falls; the axis says so. 'right' reverses it.
    label : str, optional
        Name of the curve when the run has no phases.
    title : str, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ImportError
        Matplotlib is missing.
    ValueError
        Columns are missing, empty or of different lengths.
    """
    if direction not in ("right", "left"):
        raise ValueError(f"direction must be 'right' or 'left', got {direction!r}")
    record = _record((run, norms) if norms is not None else run)
    loss, norm = record.need("fun"), record.need("grad_norm")
    good = np.isfinite(loss) & np.isfinite(norm)
    if not good.any():
        raise ValueError("there is no finite pair of loss and gradient norm to draw")
    marks = _marks(record, swap)
    ax = _axes(ax)

    jumps = _jumps(record)
    few = np.count_nonzero(good) <= 60
    for name, first, last, colour in _stretches(record, label, jumps):
        # from the point before, so that the curve has no gaps but those of the run
        piece = slice(first if first in jumps else max(first - 1, 0), last)
        x, y = np.where(good, loss, np.nan)[piece], np.where(good, norm, np.nan)[piece]
        dots = few or np.count_nonzero(good[piece]) <= 10  # a short piece is seen by its points
        ax.plot(x, y, color=colour, lw=1.6, marker="o" if dots else None, ms=3.5, label=name)
    peaks = _peaks(record, marks, good, jumps)
    if peaks:
        name = "peak of the norm"
    else:
        name, peaks = "largest norm", [int(np.where(good, norm, -np.inf).argmax())]
    ax.plot(loss[peaks], norm[peaks], "v", color="black", ms=9, mfc="white", mew=1.5, zorder=5, label=name)
    if marks:
        ax.plot(loss[marks], norm[marks], "*", color="black", ms=14, mfc="#F0E442", zorder=6,
                label="swap" if len(marks) == 1 else "swaps")  # fmt: skip
    back = _places(record, [entry for entry in record.swaps if _goes_back(entry)]) if swap == "auto" else []
    if back:
        ax.plot(loss[back], norm[back], "X", color="black", ms=9, mfc="white", zorder=6, label="back to Adam")
    if (loss[good] > 0).all():
        ax.set_xscale("log")
    if (norm[good] > 0).all():
        ax.set_yscale("log")
    ax.set_xlabel(
        f"loss ({'falling as the run goes on →' if direction == 'right' else '← falling as the run goes on'})"
    )
    ax.set_ylabel("gradient norm")
    if title:
        ax.set_title(title)
    if direction == "right" and not ax.xaxis_inverted():
        ax.invert_xaxis()
    _round_ticks(ax.xaxis)
    _round_ticks(ax.yaxis)
    ax.grid(True, which="major", alpha=0.25)
    ax.legend(loc="best", framealpha=0.9)
    return ax


def convergence(
    results: Any,
    *,
    ax: Any = None,
    x: str = "cost",
    best: bool = True,
    offset: float = 0.0,
    title: str | None = None,
) -> Any:
    """Draw the loss against what it cost, one line a method, with the swaps marked.

    Parameters
    ----------
    results : mapping of str to run, sequence of runs, or one run
        Each run as for `norm_against_loss`, or a pair (x, losses).
    ax : matplotlib Axes, optional
    x : {'cost', 'nfev', 'njev', 'time', 'iteration'}, default 'cost'
        The horizontal axis.
    best : bool, default True
        Draw the lowest loss so far instead of the last.
    offset : float, default 0.0
        Subtracted from every loss: the known minimum, to see the rate.
    title : str, optional

    Returns
    -------
    matplotlib Axes
    """
    runs = _named(results)
    ax = _axes(ax)
    positive = True
    for k, (name, run) in enumerate(runs.items()):
        record, across, loss = _line(run, x, best)
        loss = loss - offset
        colour = COLOURS[k % len(COLOURS)]
        ax.plot(across, loss, color=colour, ls=STYLES[k // len(COLOURS) % 4], lw=1.7, label=name)
        marks = _marks(record, "auto")
        ax.plot(across[marks], loss[marks], "*", color=colour, ms=12, mec="black", mew=0.7, zorder=5)
        positive &= bool((loss[np.isfinite(loss)] > 0).all())
    if positive:
        ax.set_yscale("log")
    ax.set_xlabel(X_LABELS.get(x, x))
    ax.set_ylabel(("lowest loss so far" if best else "loss") + (f" above {offset:g}" if offset else ""))
    if title:
        ax.set_title(title)
    ax.grid(True, which="major", alpha=0.25)
    ax.legend(title=r"$\bigstar$ swap" if any(_marks(_record(r), "auto") for r in runs.values()) else None)
    return ax


def comparison(
    results: Mapping[str, Sequence[Any]],
    *,
    axes: Any = None,
    x: str = "cost",
    title: str | None = None,
) -> Any:
    """Draw methods over several seeds: median and range against cost, and every final loss.

    Parameters
    ----------
    results : mapping of str to sequence of runs
        The runs of every method, one a seed, as for `convergence`.
    axes : pair of matplotlib Axes, optional
        Left for the curves, right for the final losses; a new figure by default.
    x : str, default 'cost'
        As for `convergence`.
    title : str, optional

    Returns
    -------
    pair of matplotlib Axes
    """
    if not results:
        raise ValueError("there are no results to draw")
    if axes is None:
        _, axes = _pyplot().subplots(
            1, 2, figsize=(11, 4.6), gridspec_kw={"width_ratios": (3, 2)}, layout="constrained"
        )
    curves, finals = axes
    positive = True
    for k, (name, runs) in enumerate(results.items()):
        colour = COLOURS[k % len(COLOURS)]
        lines = [_line(run, x, True)[1:] for run in runs]
        if not lines:
            raise ValueError(f"there are no runs of {name!r}")
        grid = np.unique(np.concatenate([across for across, _ in lines]))
        if grid.size > 500:
            grid = grid[np.linspace(0, grid.size - 1, 500).astype(int)]
        # A run keeps its last loss when it ends early, and has none before it starts.
        stack = np.array([_staircase(across, loss, grid) for across, loss in lines])
        started = np.isfinite(stack).all(axis=0)
        middle = np.median(stack[:, started], axis=0)
        curves.plot(grid[started], middle, color=colour, lw=1.8, label=name)
        low, high = stack[:, started].min(axis=0), stack[:, started].max(axis=0)
        curves.fill_between(grid[started], low, high, color=colour, alpha=0.18, lw=0)
        last = np.array([loss[-1] for _, loss in lines])
        spread = np.linspace(-0.12, 0.12, last.size) if last.size > 1 else np.zeros(1)
        finals.plot(last, k + spread, "o", color=colour, ms=5, alpha=0.8)
        finals.plot([np.median(last)] * 2, [k - 0.28, k + 0.28], color=colour, lw=2.5)
        positive &= bool((stack[np.isfinite(stack)] > 0).all() and (last > 0).all())
    if positive:
        curves.set_yscale("log")
        finals.set_xscale("log")
    curves.set_xlabel(X_LABELS.get(x, x))
    curves.set_ylabel("lowest loss so far: median, lowest to highest")
    curves.legend()
    _round_ticks(finals.xaxis)
    finals.set_yticks(range(len(results)), list(results))
    finals.invert_yaxis()
    finals.set_xlabel("final loss: every run, median")
    for one in (curves, finals):
        one.grid(True, which="major", alpha=0.25)
    if title:
        curves.figure.suptitle(title)
    return curves, finals


# ------------------------------------------------------------------------------------------ reading results


class _Record(NamedTuple):
    columns: dict[str, np.ndarray]
    phase_names: Any
    swaps: Sequence[Mapping[str, Any]]

    def need(self, name: str) -> np.ndarray:
        if name not in self.columns:
            known = ", ".join(self.columns) or "none"
            raise ValueError(f"there is no column {name!r} to draw (there are: {known})")
        return self.columns[name]


def _get(source: Any, name: str) -> Any:
    if isinstance(source, Mapping):
        return source.get(name)
    try:
        return getattr(source, name, None)
    except KeyError:
        return None


def _record(run: Any) -> _Record:
    """Read the columns of anything that the public functions accept."""
    history = _get(run, "history")
    source = run if history is None else history
    swaps = _get(run, "swaps")
    swaps = _get(source, "swaps") if swaps is None else swaps
    columns: dict[str, np.ndarray] = {}
    if isinstance(source, tuple) and len(source) == 2 and not hasattr(source, "_fields"):
        columns = {"fun": _array(source[0], "loss"), "grad_norm": _array(source[1], "norm")}
    else:
        for name, aliases in _ALIASES.items():
            values = next((v for v in (_get(source, alias) for alias in aliases) if v is not None), None)
            if values is not None and np.ndim(values) == 1:
                columns[name] = np.asarray(values) if name == "phase" else _array(values, name)
        if not columns:
            columns = {"fun": _array(run, "loss")}
    sizes = {name: values.size for name, values in columns.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"the columns differ in length: {sizes}")
    return _Record(columns, _get(source, "phase_names"), list(swaps or ()))


def _array(values: Any, name: str) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must be a non-empty one-dimensional array, got shape {array.shape}")
    return array


def _line(run: Any, x: str, best: bool) -> tuple[_Record, np.ndarray, np.ndarray]:
    """Read a run as (record, horizontal values, losses)."""
    if isinstance(run, tuple) and len(run) == 2 and not hasattr(run, "_fields"):
        record = _Record({x: _array(run[0], x), "fun": _array(run[1], "loss")}, None, ())
    else:
        record = _record(run)
    loss = record.need("fun")
    if x in record.columns:
        across = record.columns[x]
    elif x == "iteration":
        across = np.arange(loss.size, dtype=float)
    else:
        across = record.need(x)
    if across.size != loss.size:
        raise ValueError(f"{x} has {across.size} entries, the loss {loss.size}")
    if best:
        loss = np.fmin.accumulate(loss)
    return record, across, loss


def _staircase(across: np.ndarray, loss: np.ndarray, grid: np.ndarray) -> np.ndarray:
    place = np.searchsorted(across, grid, side="right") - 1
    return np.where(place >= 0, loss[np.maximum(place, 0)], np.nan)


def _named(results: Any) -> dict[str, Any]:
    if isinstance(results, Mapping) and not any(
        _get(results, key) is not None for key in ("fun", "history", "loss")
    ):
        runs = {str(name): run for name, run in results.items()}
    elif isinstance(results, list):
        runs = {str(_get(run, "method") or f"run {k + 1}"): run for k, run in enumerate(results)}
        if len(runs) < len(results):
            runs = {f"{_get(run, 'method')} {k + 1}": run for k, run in enumerate(results)}
    else:
        runs = {str(_get(results, "method") or "loss"): results}
    if not runs:
        raise ValueError("there are no results to draw")
    return runs


def _marks(record: _Record, swap: Any) -> list[int]:
    """Return the rows to mark as swaps."""
    size = record.columns["fun"].size
    if swap is None:
        return []
    if isinstance(swap, SwapReport):
        return [] if swap.index is None else [swap.index]
    if isinstance(swap, str) and swap != "auto":
        return _marks(record, detect_swap(record.need("fun"), record.need("grad_norm"), swap))
    if not isinstance(swap, str):
        index = int(swap)
        if not -size <= index < size:
            raise ValueError(f"swap={index} lies outside the {size} readings")
        return [index % size]
    return _places(record, [entry for entry in record.swaps if _leaves_adam(entry)])


def _leaves_adam(entry: Any) -> bool:
    """Whether an entry of `swaps` is a swap from Adam to a convex phase, and not one between those."""
    return str(_get(entry, "from") or "adam").lower().startswith("adam") and not _goes_back(entry)


def _jumps(record: _Record) -> set[int]:
    """Rows that do not go on from the row before: Adam's after a suspension, a resumed phase's first."""
    resumed = [
        entry
        for entry in record.swaps
        if _goes_back(entry) or (_get(entry, "from") is not None and _get(entry, "from") == _get(entry, "to"))
    ]
    return {row + 1 for row in _places(record, resumed)}


def _goes_back(entry: Any) -> bool:
    """Whether an entry of `swaps` is a return to the first phase."""
    return str(_get(entry, "to") or "").lower().startswith("adam")


def _places(record: _Record, entries: Sequence[Any]) -> list[int]:
    """Rows of the entries of `swaps`."""
    iterations = record.columns.get("iteration", np.arange(record.columns["fun"].size))
    at = [_get(entry, "iteration") for entry in entries]
    return [int(np.abs(iterations - place).argmin()) for place in at if place is not None]


def _peaks(record: _Record, marks: Sequence[int], good: np.ndarray, jumps: set[int]) -> list[int]:
    """Rows of the peaks before the swaps, where the curve that leads to a swap has one."""
    norm = np.where(good, record.columns["grad_norm"], -np.inf)
    phase = record.columns.get("phase")
    rows = []
    for mark in marks:
        begins = [row for row in jumps if row <= mark]
        if phase is not None:
            begins += [row for row in range(2, mark + 1) if phase[row] != phase[row - 1]]
        begin = max(begins, default=0)
        row = begin + int(norm[begin : mark + 1].argmax())
        if np.isfinite(norm[row]) and row < mark and (row > begin or begin == 0):
            rows.append(row)
    return sorted(set(rows))


def _stretches(
    record: _Record, label: str | None, jumps: set[int]
) -> Iterable[tuple[str | None, int, int, str]]:
    """Yield the run piece by piece: (label, first, past the last, colour); a name is labelled once."""
    size = record.columns["fun"].size
    phase = record.columns.get("phase")
    if phase is None:
        yield label, 0, size, COLOURS[0]
        return
    names = [str(_phase_name(code, record.phase_names)) for code in phase.tolist()]
    names = ["Adam" if name == "adam" else name for name in names]
    if len(names) > 1 and names[0] == "start":
        names[0] = names[1]
    colours: dict[str, str] = {}
    first = 0
    for i in range(1, size + 1):
        if i == size or i in jumps or names[i] != names[first]:
            name = names[first]
            new = name not in colours
            colours.setdefault(name, COLOURS[len(colours) % len(COLOURS)])
            yield (name if new else None), first, i, colours[name]
            first = i


def _phase_name(code: Any, names: Any) -> Any:
    if names is None or isinstance(code, str):
        return code
    return names[code]


# ----------------------------------------------------------------------------------------------- matplotlib


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as pyplot
    except ImportError as error:
        raise ImportError('pictures need matplotlib: pip install "twophase_min[plot]"') from error
    return pyplot


def _axes(ax: Any) -> Any:
    if ax is not None:
        return ax
    _, ax = _pyplot().subplots(figsize=(7, 4.6), layout="constrained")
    return ax


def _round_ticks(axis: Any) -> None:
    """Label 1, 2 and 5 of every decade where a log axis spans too few decades for 1 alone."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = sorted(axis.get_view_interval())
    if axis.get_scale() == "log" and low > 0 and high / low < 60:
        axis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
