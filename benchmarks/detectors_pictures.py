"""The pictures of the detectors' study, drawn by `detectors_report.py`.

Panels that are compared share their axes; colours are told apart by colour-blind readers too, and so are the
markers; when the rules swap has an axis of its own, under the curves and in their scale.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from detectors_report import Records, excess, objective, swap_place

COLOURS = ("#0072B2", "#D55E00", "#009E73")
MARKERS = ("o", "s", "^")
COLUMNS = {"adam": "Adam, whole data", "mini-batch": "Adam, mini-batches"}
LOSSES = {"mse": "squared error", "cross_entropy": "cross-entropy"}
SHOWN = (
    "norm-peak (the paper's)",
    "norm-peak, factor 0.5",
    "norm-peak-median, window 9",
    "norm-against-loss, window 30",
    "norm-peak and path-curvature",
    "gain",
)


def _panels(records: Records, floor: float) -> tuple[Any, Any]:
    """Make two rows of panels for curves, losses by columns, and a third row with the times of the swaps."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        3, 2, figsize=(11, 10), sharex=True, sharey="row", layout="constrained", height_ratios=(3, 3, 2)
    )
    axes[0, 0].sharey(axes[1, 0])
    for column, (mode, name) in enumerate(COLUMNS.items()):
        for row, loss in enumerate(LOSSES):
            axes[row, column].set(xscale="log", yscale="log", ylim=(floor, None))
            axes[row, column].set_title(f"{name}: {LOSSES[loss]}")
            axes[row, column].grid(True, alpha=0.25)
        strip = axes[2, column]
        for k, (loss, mark) in enumerate(zip(LOSSES, MARKERS, strict=False)):
            own = _of(records, mode, loss)
            for i, rule in enumerate(SHOWN):
                costs = [r["costs"][p] for r in own if (p := swap_place(r, "whole", rule)) is not None]
                if costs:
                    low, middle, high = np.percentile(costs, (25, 50, 75))
                    y = i + 0.18 * (2 * k - 1)
                    strip.plot([low, high], [y, y], color="black", lw=1.2)
                    strip.plot(middle, y, mark, color="black", mfc=("white", "black")[k], ms=6)
        strip.set_title("When the rules swap: median, quartiles")
        strip.set_yticks(range(len(SHOWN)), SHOWN)
        strip.set_ylim(len(SHOWN) - 0.5, -0.5)
        strip.grid(True, axis="x", alpha=0.25)
    for k, loss in enumerate(LOSSES):
        axes[2, 0].plot([], [], MARKERS[k], color="black", mfc=("white", "black")[k], label=LOSSES[loss])
    axes[2, 1].legend(*axes[2, 0].get_legend_handles_labels(), loc="upper right")
    return figure, axes


def _of(records: Records, mode: str, loss: str) -> Records:
    return [r for r in records if r["task"]["mode"] == mode and r["task"].get("loss") == loss]


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot

    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def curvature_picture(records: Records, path: Path) -> None:
    """How negative the smallest eigenvalue is along the run, and where the rules swap."""
    figure, axes = _panels(records, 1e-4)
    for row, loss in enumerate(LOSSES):
        for column, mode in enumerate(COLUMNS):
            ax = axes[row, column]
            for colour, style, activation in zip(
                COLOURS, ("-", "--", "-."), ("tanh", "relu", "gelu"), strict=True
            ):
                own = [r for r in _of(records, mode, loss) if r["task"]["activation"] == activation]
                if not own:
                    continue
                grid = np.geomspace(1, 299, 60)
                lines = [_ratio_line(r) for r in own]
                stack = np.array([np.interp(np.log(grid), np.log(x), y) for x, y in lines])
                ax.plot(grid, np.median(stack, axis=0), style, color=colour, lw=2, label=activation)
                ax.fill_between(grid, *np.percentile(stack, (10, 90), axis=0), color=colour, alpha=0.15, lw=0)
            ax.axhline(0.01, color="black", lw=1, ls=":", label="tolerance of the tables")
    axes[0, 0].set_ylim(1e-4, 1.0)
    for ax in axes[:2, 0]:
        ax.set_ylabel(r"$-\lambda_{\min} / \lambda_{\max}$: median, 10 to 90 %")
    for ax in axes[2]:
        ax.set_xlabel("evaluations")
    axes[0, 1].legend(loc="upper right")
    _save(figure, path)


def _ratio_line(record: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.array(record["lambda_min"], dtype=float), np.array(record["lambda_max"], dtype=float)
    return np.array(record["costs"], dtype=float), np.clip(-low / high, 1e-5, None)


def oracle_picture(records: Records, lows: dict[str, float], path: Path) -> None:
    """Draw what the final loss would have been for every swap time."""
    figure, axes = _panels(records, 7e-7)
    for row, loss in enumerate(LOSSES):
        for column, mode in enumerate(COLUMNS):
            ax, own = axes[row, column], _of(records, mode, loss)
            for colour, style, method in zip(COLOURS, ("-", "--"), ("CG", "L-BFGS-B"), strict=False):
                grid = np.geomspace(1, 290, 40)
                stack = np.array([_oracle_line(r, method, lows[objective(r)], grid) for r in own])
                if not stack.size:
                    continue
                ax.plot(
                    grid,
                    np.median(stack, axis=0),
                    style,
                    color=colour,
                    lw=2,
                    label=f"{method} after the swap",
                )
                ax.fill_between(grid, *np.percentile(stack, (25, 75), axis=0), color=colour, alpha=0.15, lw=0)
            alone = [excess(r, r["worth"]["CG"]["never"], lows[objective(r)]) for r in own]
            if alone:
                ax.axhline(np.median(alone), color="black", lw=1.2, ls=":", label="Adam alone")
    axes[0, 0].set_ylim(7e-7, 0.03)
    for ax in axes[:2, 0]:
        ax.set_ylabel("final excess loss: median, quartiles")
    for ax in axes[2]:
        ax.set_xlabel("evaluations (of 300) before the swap")
    axes[1, 1].legend(loc="upper left")
    _save(figure, path)


def _oracle_line(record: dict[str, Any], method: str, low: float, grid: np.ndarray) -> np.ndarray:
    finals = {int(t): f for t, f in record["worth"][method].items() if t != "never"}
    costs = dict(zip(record["times"], record["costs"], strict=True))
    points = sorted((costs[t], math.log(excess(record, f, low))) for t, f in finals.items())
    x, y = np.array(points).T
    return np.exp(np.interp(np.log(grid), np.log(x), y))


def regret_picture(overall: dict[str, dict[str, tuple[float, float, float]]], path: Path) -> None:
    """Draw the mean regret of every rule with its interval: a panel a convex method, a colour a stream."""
    from matplotlib import pyplot

    names = sorted(
        {rule for values in overall.values() for rule in values},
        key=lambda rule: np.mean([values[rule][0] for values in overall.values() if rule in values]),
    )
    streams = list(dict.fromkeys(label.partition("; ")[0] for label in overall))
    figure, axes = pyplot.subplots(
        1, 2, figsize=(11, 0.38 * len(names) + 1.6), sharex=True, sharey=True, layout="constrained"
    )
    for ax, method in zip(axes, ("CG", "L-BFGS-B"), strict=True):
        for i in range(0, len(names), 2):
            ax.axhspan(i - 0.5, i + 0.5, color="0.94", lw=0)
        for k, stream in enumerate(streams):
            values = overall.get(f"{stream}; {method}", {})
            for i, rule in enumerate(names):
                if rule in values:
                    middle, low, high = values[rule]
                    y = i + (k - 1) * 0.26
                    ax.plot([low, high], [y, y], color=COLOURS[k], lw=2)
                    ax.plot(middle, y, MARKERS[k], color=COLOURS[k], ms=5)
        ax.set_title(f"{method} after the swap")
        ax.set_xlabel("mean regret, decades (95 % interval)")
        ax.grid(True, axis="x", alpha=0.3)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    for k, stream in enumerate(streams):
        axes[1].plot([], [], MARKERS[k] + "-", color=COLOURS[k], lw=2, label=stream)
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=len(streams))
    _save(figure, path)
