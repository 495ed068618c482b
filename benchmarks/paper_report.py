"""Tables, statements and the pictures of what `paper.py` has run.

::

    python benchmarks/paper_report.py --keep            # enter benchmarks/results/paper.jsonl into paper.json
    python benchmarks/paper_report.py --pictures        # draw docs/images/paper_norm_against_loss*.png
    python benchmarks/paper_report.py --loss cross-entropy      # print the tables of one loss
    python benchmarks/pages.py paper_report             # put the tables into docs/paper.md
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
for _path in (HERE, HERE.parent):
    if str(_path) not in sys.path:
        sys.path.insert(0, str(_path))  # run from a checkout without installing

from arena import table  # noqa: E402
from kept_runs import Run, of  # noqa: E402
from paper_choice import FLOOR  # noqa: E402
from paper_kept import DRAWN, JUDGED, keep, load  # noqa: E402

IMAGES = HERE.parent / "docs" / "images"
PAGE = "fashion"
"""The data set that the page shows model by model."""
ALIKE = {"size": "reduced", "budget": 200}
"""What all runs of the page have in common."""
LOSSES = ("mse", "cross-entropy")
"""Losses of the page."""
SECOND = ("hessians", "losses", "against-adam", "against-cosine", "out")
"""Tables of the second loss on the page."""
TOLERANCE = 0.01
"""A loss counts as convex where the smallest eigenvalue is no lower than minus so much of the largest."""
MODELS = ("vit-mlp", "vit-nomlp", "vit-nomlp-wkewq", "vit-nomlp-wkewq-wvwo", "vgg5-max-relu")

PUBLISHED = {
    "vit-mlp": ((0.0008, 0.0001), (0.0091, 0.0041), (0.0041, 0.0028)),
    "vit-nomlp": ((0.0003, 0.0002), (0.0290, 0.0175), (0.0062, 0.0053)),
    "vit-nomlp-wkewq": ((0.0004, 0.0002), (0.0386, 0.0270), (0.0069, 0.0059)),
    "vit-nomlp-wkewq-wvwo": ((0.0016, 0.0006), (0.0567, 0.0527), (0.0082, 0.0078)),
    "vgg5-max-relu": ((0.0001, 0.0001), (0.0059, 0.0047), (0.0032, 0.0032)),
}
"""The paper's table 1: training losses of Adam and of Adam with CG, on MNIST, CIFAR-10 and CIFAR-100."""

DECAYED = "Adam 60%, cosine decay + L-BFGS-B"
ORDER = (
    "Adam",
    "Adam, mean of the path",
    "Adam, cosine decay",
    "Algorithm 1",
    "Algorithm 1, smoothed",
    "Adam 10% + CG",
    "Adam 30% + CG",
    "Adam 60% + CG",
    "Adam 60%, cosine decay + CG",
    "Adam 30% + CG, searches uncharged",
    "CG",
    "L-BFGS-B",
    DECAYED,
)
POINTS = {
    "start": ("Adam", "start"),
    "highest norm": ("Adam", "peak"),
    "swap of Algorithm 1": ("Adam", "rule"),
    "Adam, 10 %": ("Adam", "10%"),
    "Adam, 30 %": ("Adam", "30%"),
    "Adam, 60 %": ("Adam", "60%"),
    "end of Adam": ("Adam", "end of Adam"),
    "end of Adam, cosine decay": ("Adam, cosine decay", "end of Adam"),
    "end of Algorithm 1": ("Algorithm 1", "end"),
    "end of Adam 30% + CG": ("Adam 30% + CG", "end"),
}
"""What is said of the Hessian: where, of which contender, at which mark."""
MARKS: dict[str, dict[str, Any]] = {
    "start": {"marker": "o", "color": "black", "mfc": "white", "ms": 5},
    "swap of Algorithm 1": {"marker": "^", "color": "#009E73", "ms": 7},
    "end of Adam, cosine decay": {"marker": "D", "color": "#E69F00", "mec": "black", "ms": 5},
    "end of Adam 30% + CG": {"marker": "s", "color": "#D55E00", "mec": "black", "ms": 5},
}
"""Points in the picture."""


def geometric(values: list[float]) -> float:
    """Geometric mean."""
    return float(np.exp(np.mean(np.log(values)))) if values else np.nan


# -- tables --------------------------------------------------------------------------------------------------


def ratios(
    rows: list[Run], model: str, one: str, other: str, floor: float = FLOOR, last: bool = False
) -> list[float]:
    """Return the ratios of final losses, of the floor at least, seed by seed, where both have run.

    ``last`` takes the last loss of the other, not its lowest.
    """
    ours, theirs = (
        {row["seed"]: max(row[field], floor) for row in of(rows, model=model, name=name)}
        for name, field in ((one, "loss"), (other, "last" if last else "loss"))
    )
    return [ours[seed] / theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]


def flat(rows: list[Run], one: str, other: str, **how: Any) -> list[float]:
    """Return the `ratios` of all models."""
    return [ratio for model in models(rows) for ratio in ratios(rows, model, one, other, **how)]


def cell(values: list[float]) -> str:
    """Write a geometric mean, and how many are below 1."""
    return f"{short(geometric(values))} ({wins(values)})" if values else ""


def compared(rows: list[Run], one: str, other: str, **how: Any) -> list[str]:
    """Return the cells of a line: `ratios` in every model, and in all."""
    every = [ratios(rows, model, one, other, **how) for model in models(rows)]
    return [*map(cell, every), cell(flat(rows, one, other, **how))]


def models(rows: list[Run]) -> list[str]:
    """Return the models that have been run."""
    return [model for model in MODELS if of(rows, model=model)]


def names(rows: list[Run]) -> list[str]:
    """Return the contenders in the order of the tables: the rivals, then ours."""
    found = dict.fromkeys(row["name"] for row in rows)
    listed = [name for name in ORDER if name in found]
    rest = sorted(name for name in found if name not in ORDER)
    return listed + [n for n in rest if "ours" not in n] + [n for n in rest if "ours" in n]


def best(rows: list[Run], kind: str) -> str:
    """Return the contender that was chosen of a kind: Adam, then "L-BFGS-B", or "ours" with options."""
    plain = ("ours: default", "ours: memory-cg", *ORDER)  # these always run
    found = [name for name in names(rows) if kind in name and name not in plain]
    return found[0] if found else {"ours": "ours: memory-cg"}.get(kind, kind)


def losses(rows: list[Run]) -> str:
    """Tabulate medians and ranges of the final training loss."""
    lines = []
    for name in names(rows):
        line = [name]
        for model in models(rows):
            own = [row["loss"] for row in of(rows, model=model, name=name)]
            line.append(spread(own, ".2e"))
        lines.append(line)
    return table(["training loss", *models(rows)], lines)


def spread(values: list[float], form: str) -> str:
    """Write a median with its range."""
    if not values:
        return ""
    middle = format(statistics.median(values), form)
    return f"{middle} [{min(values):{form}}, {max(values):{form}}]" if len(values) > 1 else middle


def medians(rows: list[Run], field: str, form: str) -> str:
    """Tabulate the medians of a field."""
    lines = []
    for name in names(rows):
        own = [[row[field] for row in of(rows, model=model, name=name)] for model in models(rows)]
        lines.append([name, *(format(statistics.median(v), form) if v else "" for v in own)])
    return table(["median", *models(rows)], lines)


def against(rows: list[Run], other: str) -> str:
    """Tabulate paired ratios of the final loss to one contender's."""
    lines = []
    for name in names(rows):
        if name == other:
            continue
        lines.append([name, *compared(rows, name, other)])
    return table([f"loss over that of {other}", *models(rows), "all"], lines)


def pairs(rows: list[Run]) -> str:
    """Tabulate ratios of two contenders: first those that differ in one respect, then ours."""
    share, options = best(rows, "L-BFGS-B"), best(rows, "ours")
    default = "ours: default"
    lines = []
    for one, other in (
        (share, share.replace("L-BFGS-B", "CG")),
        ("L-BFGS-B", "CG"),
        ("Adam 30% + CG, searches uncharged", "Adam 30% + CG"),
        ("Adam, mean of the path", "Adam"),
        ("Algorithm 1, smoothed", "Algorithm 1"),
        ("Adam 60%, cosine decay + CG", "Adam 60% + CG"),
        (DECAYED, share),
        (DECAYED, "Adam 60%, cosine decay + CG"),
        (default, "Algorithm 1"),
        (default, share.replace("L-BFGS-B", "CG")),
        (default, DECAYED),
        ("ours: memory-cg", default),
        (options, share.replace("L-BFGS-B", "CG")),
        (options, share),
        (options, DECAYED),
    ):
        lines.append([one, other, *compared(rows, one, other)])
    return table(["loss of", "over that of", *models(rows), "all"], lines)


def short(value: float) -> str:
    """Two decimals; one digit of what they would hide."""
    return f"{value:.2f}" if value >= 0.01 else f"{value:.1g}"


def wins(values: list[float]) -> str:
    """Say how many ratios are below 1."""
    return f"{sum(value < 1 for value in values)} of {len(values)}"


def beside(rows: list[Run]) -> str:
    """Tabulate the paper's ratios, Adam with CG over Adam, beside ours."""
    lines = []
    for model in models(rows):
        theirs = [f"{after / before:.2f}" for before, after in PUBLISHED[model]]
        ours = []
        for name in ("Adam 30% + CG, searches uncharged", "Adam 30% + CG"):
            ours.append(spread(ratios(rows, model, name, "Adam"), ".2f"))
        ours.append(spread(ratios(rows, model, "Adam 60% + CG", "Adam, cosine decay"), ".2f"))
        lines.append([model, *theirs, *ours])
    head = ["Adam, then CG, over Adam", "paper, MNIST", "paper, CIFAR-10", "paper, CIFAR-100"]
    return table(
        [*head, "here, 30 %, as published", "here, 30 %, charged", "here, 60 %, charged, over cosine decay"],
        lines,
    )


def hessians(rows: list[Run]) -> str:
    """Tabulate the smallest eigenvalue over the largest at the marked points."""
    lines = []
    for label, (name, mark) in POINTS.items():
        line = [label]
        for model in models(rows):
            found = measured(rows, model, name, mark)
            shares = [h[0] / h[2] for h in found]
            convex = sum(is_convex(h) for h in found)
            line.append(f"{statistics.median(shares):.2g} ({convex} of {len(found)})" if found else "")
        every = [h for model in models(rows) for h in measured(rows, model, name, mark)]
        below = sum(h[0] + h[1] < 0 for h in every)
        lines.append([*line, f"{sum(map(is_convex, every))} of {len(every)}", f"{below} of {len(every)}"])
    return table(
        ["smallest over largest eigenvalue", *models(rows), "convex", "negative beyond its error"], lines
    )


def measured(rows: list[Run], model: str, name: str, mark: str) -> list[list[float]]:
    """Return what was measured of the Hessian at a mark, a list for each seed."""
    own = of(rows, model=model, name=name)
    return [row["hessian"][mark] for row in own if mark in (row["hessian"] or {})]


def is_convex(h: list[float]) -> bool:
    """Whether the smallest eigenvalue, less its error, is at least minus `TOLERANCE` of the largest."""
    return bool(h[0] - h[1] >= -TOLERANCE * max(h[2], abs(h[0])))


def along(rows: list[Run]) -> str:
    """Tabulate the curvature along the gradient over the largest eigenvalue, and Lanczos' errors."""
    lines = []
    for label, (name, mark) in POINTS.items():
        line = [label]
        for model in models(rows):
            found = measured(rows, model, name, mark)
            positive = sum(h[4] > 0 for h in found)
            worst = max((h[1] / max(h[2], -h[0]) for h in found), default=np.nan)
            line.append(f"{positive} of {len(found)}; {worst:.0e}" if found else "")
        lines.append(line)
    return table(
        ["curvature along the gradient positive; largest error of an eigenvalue", *models(rows)], lines
    )


def norms(rows: list[Run]) -> str:
    """Tabulate the norm of the gradient and the loss where it was measured, medians."""
    lines = []
    for label, (name, mark) in POINTS.items():
        line = [label]
        for model in models(rows):
            found = measured(rows, model, name, mark)
            loss, norm = (statistics.median(h[i] for h in found) if found else np.nan for i in (5, 6))
            line.append(f"{norm:.2g} at {loss:.2g}" if found else "")
        lines.append(line)
    return table(["norm of the gradient at the loss", *models(rows)], lines)


# -- statements ----------------------------------------------------------------------------------------------


def statements(rows: list[Run]) -> str:
    """Say for every model whether the loss swapped, and whether CG paid."""
    return "\n".join(f"- **{model}.** {swapped(rows, model)} {paid(rows, model)}" for model in models(rows))


def swapped(rows: list[Run], model: str) -> str:
    """Say what the Hessian was at the start, at the rule's swap and at the end."""
    parts = []
    for label, (name, mark) in (
        ("at the start", POINTS["start"]),
        ("where Algorithm 1 swaps", POINTS["swap of Algorithm 1"]),
        ("at the end of Adam and CG (30 %)", POINTS["end of Adam 30% + CG"]),
    ):
        found = measured(rows, model, name, mark)
        if found:
            share = statistics.median(h[0] / h[2] for h in found)
            parts.append(f"{share:.2g} {label} (convex in {sum(map(is_convex, found))} of {len(found)})")
    start, end = (measured(rows, model, *POINTS[label]) for label in ("start", "end of Adam 30% + CG"))
    yes = sum(not is_convex(a) and is_convex(b) for a, b in zip(start, end, strict=False))
    verdict = f"From non-convex to convex in {yes} of {min(len(start), len(end))} runs"
    return f"{verdict}: smallest over largest eigenvalue {', '.join(parts)}."


def paid(rows: list[Run], model: str) -> str:
    """Say what CG brought after the swap at equal cost."""
    parts = []
    for name, other in (
        ("Algorithm 1", "Adam"),
        *((f"Adam {share} + CG", "Adam") for share in ("10%", "30%", "60%")),
        ("Adam 60% + CG", "Adam, cosine decay"),
    ):
        some = ratios(rows, model, name, other)
        if some:
            parts.append(f"{name} {geometric(some):.2f} of {other} (lower in {wins(some)})")
    return f"Loss at equal cost: {'; '.join(parts)}."


# -- the picture ---------------------------------------------------------------------------------------------


def picture(curves: dict[str, Any], rows: list[Run], data: str, loss: str) -> None:
    """Draw the norm of the gradient against the loss, a panel a model, on common axes; seed 0 is strong."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(12, 7), layout="constrained", sharex=True, sharey=True)
    for axis, model in zip(axes.flat, MODELS, strict=False):
        for seed in reversed(JUDGED):
            for name, (colour, line, _) in DRAWN.items():
                curve = np.array(curves.get(f"{data}|{loss}|{model}|{seed}|{name}", np.empty((0, 2))))
                if len(curve):
                    strong = {"lw": 1.6} if seed == JUDGED[0] else {"lw": 0.8, "alpha": 0.4}
                    axis.loglog(*curve.T, line, color=colour, **strong)
            for label, look in MARKS.items():
                for h in measured(of(rows, seed=seed), model, *POINTS[label]):
                    axis.plot(h[5], h[6], ls="", **look)
        axis.set_title(model, fontsize=10)
        axis.grid(alpha=0.3)
        axis.set_visible(bool(of(rows, model=model)))
    axes[0, 0].invert_xaxis()  # shared by all
    for axis in axes[:, 0]:
        axis.set_ylabel("norm of the gradient")
    for axis in (*axes[1, :2], axes[0, 2]):
        axis.set_xlabel("training loss, falling to the right")
        axis.tick_params(labelbottom=True)
    axes[1, 2].axis("off")
    handles = [plt.Line2D([], [], color=c, ls=line, label=label) for c, line, label in DRAWN.values()]
    handles += [plt.Line2D([], [], ls="", label=label, **look) for label, look in MARKS.items()]
    axes[1, 2].legend(handles=handles, loc="center", frameon=False, fontsize=11)
    figure.savefig(IMAGES / f"paper_norm_against_loss{'' if loss == LOSSES[0] else '_' + loss}.png", dpi=90)
    plt.close(figure)


# -- command -------------------------------------------------------------------------------------------------


def sections(rows: list[Run]) -> dict[str, str]:
    """Return the tables of one loss by name."""
    return {
        "losses": losses(rows),
        "beside": beside(rows),
        "against-adam": against(rows, "Adam"),
        "against-cosine": against(rows, "Adam, cosine decay"),
        "pairs": pairs(rows),
        "hessians": hessians(rows),
        "along": along(rows),
        "norms": norms(rows),
        "statements": statements(rows),
        "train": medians(rows, "train", ".3f"),
        "out": medians(rows, "out", ".3f"),
        "seconds": medians(rows, "seconds", ".1f"),
    }


def shown() -> list[Run]:
    """Return the runs of the page, of all data sets."""
    return [row for row in of(load()[0], **ALIKE) if row["seed"] in JUDGED]


def tables() -> dict[str, str]:
    """Return the tables of the page by the names of their places."""
    rows = of(shown(), data=PAGE)
    first, second = (sections(of(rows, loss_kind=loss)) for loss in LOSSES)
    parts = {f"paper-{name}": part for name, part in first.items()}
    return parts | {f"paper-second-{name}": second[name] for name in SECOND}


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; see ``--help``."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--data", default="fashion")
    parser.add_argument("--loss", default=LOSSES[0])
    parser.add_argument("--budget", type=float, default=200.0)
    parser.add_argument("--keep", action="store_true", help="enter the runs into benchmarks/paper.json")
    parser.add_argument("--pictures", action="store_true", help="draw that of the loss")
    args = parser.parse_args(argv)
    if args.keep:
        keep()
    rows, curves = load()
    rows = of(rows, data=args.data, loss_kind=args.loss, budget=args.budget)
    rows = [row for row in rows if row["seed"] in JUDGED]
    parts = sections(rows)
    for name, part in parts.items():
        print(f"\n{name}\n\n{part}")
    if args.pictures:
        picture(curves, rows, args.data, args.loss)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
