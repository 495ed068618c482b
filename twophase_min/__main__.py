"""``python -m twophase_min``: the command line of the demo, a small network on handwritten digits."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twophase_min import __version__
from twophase_min.demo import (
    ADAM,
    BATCHES,
    BEST_ADAM,
    CG,
    LBFGS,
    RATES,
    TUNING_SEEDS,
    TWO_PHASE,
    Outcome,
    Task,
    draw,
    make_task,
    prepare,
    run_all,
    table,
    tune,
    verdict,
)
from twophase_min.detector.registry import RULES, known_rules
from twophase_min.networks import MLP
from twophase_min.phases import PHASES

SWAPS = ("auto", *(name for name in known_rules() if set(RULES[name].extras) <= {"curvature"}))
"""Rules of the swap that need no more than what a run measures by itself."""


class _Defaults(argparse.ArgumentDefaultsHelpFormatter):
    """Adds the default to the help of an option, where there is one to tell."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        none = action.default is None or action.default is False
        return action.help if none else super()._get_help_string(action)


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    command = argparse.ArgumentParser(
        prog="python -m twophase_min",
        description="Train a small network on scikit-learn's 1,797 handwritten digits: in two phases, by "
        "Adam alone and by SciPy's CG and L-BFGS-B alone, all with the same count of gradient evaluations.",
        formatter_class=_Defaults,
    )
    add = command.add_argument
    add("--seed", type=int, default=0, help="first seed: of the split, the start and the batches")
    add("--seeds", type=int, default=1, metavar="K", help="number of seeds, from --seed upwards")
    add("--budget", type=int, default=300, help="gradient evaluations of the whole data, per method")
    add("--hidden", type=int, nargs="*", default=[32, 32], metavar="UNITS", help="units of the hidden layers")
    add("--activation", choices=("tanh", "relu", "gelu", "logistic"), default="tanh", help="hidden units")
    add("--loss", choices=("cross_entropy", "mse"), default="cross_entropy", help="train loss")
    add("--l2", type=float, default=1e-4, help="weight of the L2 term")
    add("--start-scale", type=float, default=0.3, help="start at the usual random weights times this")
    add(
        "--convex-method",
        default=None,
        help=f"method after the swap, one of {', '.join(PHASES)} (the package's default if not given)",
    )
    add(
        "--learning-rate",
        type=float,
        default=0.0,
        help="of the Adam phase, which then begins, as published; 0: the package's default, which finds a "
        "rate and on whole data begins with the convex phase",
    )
    add(
        "--swap",
        default=None,
        help=f"rule of the swap, one of {', '.join(SWAPS)}, or a number of iterations (the package's default "
        "if not given)",
    )
    add(
        "--batch-size",
        type=int,
        default=0,
        help="mini-batches for the Adam phase of two-phase; 0: whole data",
    )
    add(
        "--tune",
        action="store_true",
        help="search the best setting for Adam alone on other seeds, here and now",
    )
    add("--output", default="norm_against_loss.png", help="where to write the picture")
    add("--no-picture", action="store_true", help="write no picture")
    add("--no-progress", action="store_true", help="no progress bar")
    command.add_argument("--version", action="version", version=f"twophase_min {__version__}")
    return command


def _checked(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse, and refuse what cannot be run."""
    command = parser()
    asked = command.parse_args(argv)
    if asked.budget < 2:
        command.error("--budget must be at least 2")
    if asked.seeds < 1 or asked.seed < 0:
        command.error("--seeds must be at least 1, --seed at least 0")
    if not asked.start_scale > 0 or not asked.learning_rate >= 0:
        command.error("--start-scale must be positive, --learning-rate not negative")
    if any(units < 1 for units in asked.hidden) or asked.batch_size < 0 or not asked.l2 >= 0:
        command.error("--hidden must be positive, --batch-size and --l2 not negative")
    if asked.convex_method is not None and asked.convex_method.lower() not in map(str.lower, PHASES):
        command.error(f"--convex-method {asked.convex_method!r} is none of {', '.join(PHASES)}")
    if asked.swap is not None and asked.swap not in SWAPS and not asked.swap.isdecimal():
        command.error(f"--swap {asked.swap!r} is none of {', '.join(SWAPS)}, and no number of iterations")
    if not (asked.no_picture or Path(asked.output).resolve().parent.is_dir()):
        command.error(f"--output {asked.output!r} is in no folder that exists")
    return asked


def _options(asked: argparse.Namespace) -> dict[str, Any]:
    """Options of the two-phase run that were asked for."""
    options: dict[str, Any] = {}
    if asked.learning_rate:  # Adam begins, as published, and the paper's rule decides on the first swap
        options["learning_rate"] = asked.learning_rate
    if asked.convex_method is not None:
        options["convex_method"] = asked.convex_method
    if asked.swap is not None:
        options["swap"] = int(asked.swap) if asked.swap.isdecimal() else asked.swap
    return options


def _source(asked: argparse.Namespace) -> str:
    """Say where the setting of Adam alone comes from, and whether it was found for this very task."""
    seeds = f"seeds {TUNING_SEEDS[0]} to {TUNING_SEEDS[-1]}"
    if asked.tune:
        return f"the best of {2 * len(RATES) * len(BATCHES)} settings on {seeds}"
    usual = parser()
    names = ("budget", "hidden", "l2", "activation", "start_scale")
    changed = [name for name in names if getattr(asked, name) != usual.get_default(name)]
    if changed:
        return f"tuned on {seeds} for another {', '.join(changed)}: --tune searches again"
    return f"tuned on {seeds}"


def _has(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is not None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; answer its exit code."""
    asked = _checked(argv)
    if not _has("sklearn"):
        print(
            "The digits come with scikit-learn, which is missing: pip install 'twophase_min[all]'.",
            file=sys.stderr,
        )
        return 2
    began = time.perf_counter()
    options = _options(asked)
    bar = not asked.no_progress and _has("tqdm")

    net = MLP([64, *asked.hidden, 10], activation=asked.activation, loss=asked.loss, l2=asked.l2)

    def make(seed: int) -> Task:
        return make_task(seed, asked.budget, net, asked.start_scale)

    first = make(asked.seed)
    print(
        f"{net!r}: {net.n_params} parameters, {len(first.x)} digits to train on, "
        f"{len(first.x_out)} held out, {asked.budget} gradient evaluations each"
    )
    print(f"kernels ready in {prepare(options):.2f} s")
    setting = BEST_ADAM[asked.loss]
    if asked.tune:
        print(
            f"tuning Adam alone on seeds {', '.join(map(str, TUNING_SEEDS))} (median train loss, best five):"
        )
        setting = tune(make, print)

    runs: dict[str, list[Outcome]] = {name: [] for name in (TWO_PHASE, ADAM, CG, LBFGS)}
    for seed in range(asked.seed, asked.seed + asked.seeds):
        shown = seed == asked.seed
        task = first if shown else make(seed)
        outcomes = run_all(task, {**options, "progress": bar and shown}, asked.batch_size, setting)
        for name, outcome in outcomes.items():
            runs[name].append(outcome)
        if shown:
            for swap in outcomes[TWO_PHASE].run.swaps:
                print(
                    f"swap at iteration {swap['iteration']}: {swap['from']} -> {swap['to']}, "
                    f"loss {swap['loss']:.4g}, gradient norm {swap['norm']:.4g}: {swap['reason']}"
                )
            if not outcomes[TWO_PHASE].run.swaps:
                print("no swap was due within the budget: two-phase was Adam throughout")

    print()
    if asked.seeds > 1:
        print(f"seeds {asked.seed} to {asked.seed + asked.seeds - 1}; medians")
    print(table(runs))
    print(verdict(runs))
    print(f"Adam alone: {setting}; {_source(asked)}")
    print("Every method is charged by the data that its gradients read.")
    if not asked.no_picture:
        if _has("matplotlib"):
            try:
                draw({name: outcomes[0] for name, outcomes in runs.items()}, asked.output)
            except (OSError, ValueError) as error:  # a folder that takes no files, a format that is none
                print(f"no picture: {error}", file=sys.stderr)
                return 2
            print(f"picture: {asked.output}")
        else:
            print("no picture: matplotlib is missing (pip install 'twophase_min[plot]')", file=sys.stderr)
    print(f"{time.perf_counter() - began:.1f} s in all")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
