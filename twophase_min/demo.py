"""A small network on handwritten digits, in two phases and by each method alone: the work of the demo.

The data are the 1,797 digits that scikit-learn ships, so nothing is downloaded. Every method gets the same
start, the same split and the same count of gradient evaluations of the whole data; a mini-batch is charged
its share. The start is of small random weights, where the loss is not convex: the case which the method is
made for.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twophase_min import minimize, problems
from twophase_min.networks import MLP

Array = NDArray[np.floating]

TWO_PHASE, ADAM, CG, LBFGS = "two-phase", "Adam alone", "SciPy CG alone", "SciPy L-BFGS-B alone"

RATES = (0.001, 0.003, 0.01, 0.03, 0.1)
BATCHES = (0, 512, 128, 32)
"""Samples in a mini-batch of Adam alone; 0 means the whole data."""
TUNING_SEEDS = (100, 101, 102)
"""Seeds of the splits and starts on which Adam alone was tuned; none of them is shown by default."""


@dataclass(frozen=True)
class AdamSetting:
    """A way to run Adam alone: learning rate, batch size (0: all data), cosine decay to zero or not."""

    rate: float
    batch: int
    cosine: bool

    def __str__(self) -> str:
        batches = f"batches of {self.batch}" if self.batch else "whole data"
        return f"{batches}, rate {self.rate:g}{' with cosine decay' if self.cosine else ''}"


BEST_ADAM = {"cross_entropy": AdamSetting(0.003, 32, True), "mse": AdamSetting(0.03, 32, True)}
"""What ``--tune`` found best for Adam alone, by median train loss, with the default network and budget."""


class Spent(Exception):
    """The budget of a method is used up."""


@dataclass
class Task:
    """One split of the digits, one network, one start.

    Attributes
    ----------
    net : MLP
    x, y, x_out, y_out : ndarray
        Train and held-out images, shape (N, 64) in [0, 1], and their labels.
    start : ndarray, shape (n_params,)
        Where every method starts.
    budget : int
        Gradient evaluations of the whole train data that every method may spend.
    seed : int
        Of the split, of the start and of the order of mini-batches.
    """

    net: MLP
    x: Array
    y: NDArray[Any]
    x_out: Array
    y_out: NDArray[Any]
    start: Array
    budget: int
    seed: int

    def accuracy(self, w: Array) -> float:
        """Share of the held-out images that are classified correctly."""
        return float((self.net.predict_classes(w, self.x_out) == self.y_out).mean())


@dataclass
class Outcome:
    """What a method reached: its best point, what it spent, and the way there.

    Attributes
    ----------
    w : ndarray, shape (n_params,)
    loss, accuracy : float
        Train loss, and share of held-out images classified correctly, at ``w``.
    spent : float
        Gradient evaluations of the whole data.
    seconds : float
        Wall clock, without the readings that only serve the picture.
    losses, norms, costs : list of float
        Train loss, gradient norm and evaluations spent along the way.
    run : OptimizeResult, optional
        Of the two-phase run.
    """

    w: Array
    loss: float
    accuracy: float
    spent: float
    seconds: float
    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    run: Any = None


class Metered:
    """The loss over the whole data with its gradient, which ends the method that calls it too often.

    Parameters
    ----------
    task : Task
    """

    def __init__(self, task: Task):
        self.function = task.net.objective(task.x, task.y)
        self.budget = task.budget
        self.w, self.loss = task.start, np.inf
        self.losses: list[float] = []
        self.norms: list[float] = []

    def __call__(self, w: Array) -> tuple[float, Array]:
        """Return loss and gradient, at the price of one evaluation."""
        if len(self.losses) >= self.budget:
            raise Spent
        loss, gradient = self.function(w)
        self.losses.append(loss)
        self.norms.append(float(np.linalg.norm(gradient)))
        if loss < self.loss:
            self.w, self.loss = np.array(w), loss
        return loss, gradient


def make_task(seed: int, budget: int, net: MLP, scale: float) -> Task:
    """Split the digits by seed and draw the network's start, Glorot's or He's weights times ``scale``."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    x, x_out, y, y_out = train_test_split(
        images / 16.0, labels, test_size=0.25, random_state=seed, stratify=labels
    )
    return Task(net, x, y, x_out, y_out, scale * net.init(seed), budget, seed)


# ---- the methods -------------------------------------------------------------------------------------------


def two_phase(task: Task, options: dict[str, Any], batch: int = 0) -> Outcome:
    """Run ``minimize(method='twophase')`` on the whole data, or on a `FiniteSum` if ``batch`` is given."""
    function: Any = task.net.objective(task.x, task.y)
    if batch:
        function = task.net.finite_sum(task.x, task.y, batch_size=batch, seed=task.seed)
    began = time.perf_counter()
    run = minimize(function, task.start, options={"gtol": 0.0, **options, "maxfun": task.budget})
    seconds = time.perf_counter() - began
    history = run.history
    return Outcome(
        run.x,
        float(run.fun),
        task.accuracy(run.x),
        float(run.njev),
        seconds,
        history.fun.tolist(),
        history.grad_norm.tolist(),
        history.njev.tolist(),
        run,
    )


def adam_alone(task: Task, setting: AdamSetting, readings: bool = True) -> Outcome:
    """Run Adam, as published or with cosine decay, until the budget is spent.

    Over mini-batches the loss over the whole data is read once an epoch. These readings are charged neither
    to the budget nor to the clock, and the best of them counts: Adam alone is judged by its best epoch.
    """
    from twophase_min.jit.kernels import adam_step

    whole = task.net.objective(task.x, task.y)
    samples = len(task.x)
    data = task.net.finite_sum(task.x, task.y, batch_size=setting.batch or samples, seed=task.seed)
    w = task.start.copy()
    m, v = np.zeros_like(w), np.zeros_like(w)
    out = Outcome(w.copy(), np.inf, 0.0, 0.0, 0.0)
    total, used, epoch, step, read = task.budget * samples, 0, 0, 0, 0.0
    began = time.perf_counter()

    def note(loss: float, norm: float) -> None:
        out.losses.append(loss)
        out.norms.append(norm)
        out.costs.append(used / samples)
        if loss < out.loss:
            out.w, out.loss = w.copy(), loss

    while used < total:
        for indices in data.batches(epoch):
            if setting.batch:
                gradient = data.batch_value_and_gradient(w, indices)[1]
            else:
                loss, gradient = whole(w)
                note(loss, float(np.linalg.norm(gradient)))
            used += len(indices)
            decay = 0.5 * (1 + np.cos(np.pi * min(used / total, 1.0))) if setting.cosine else 1.0
            step += 1
            adam_step(w, m, v, gradient, step, setting.rate * decay, 0.9, 0.999, 1e-8)
            if used >= total:
                break
        epoch += 1
        last = used >= total
        if setting.batch and (readings or last):
            stopped = time.perf_counter()
            loss, gradient = whole(w)
            note(loss, float(np.linalg.norm(gradient)))
            read += time.perf_counter() - stopped
    out.seconds = time.perf_counter() - began - read
    out.spent, out.accuracy = used / samples, task.accuracy(out.w)
    return out


def scipy_alone(task: Task, method: str, options: dict[str, Any]) -> Outcome:
    """Run a method of ``scipy.optimize.minimize`` until the budget is spent or it gives up."""
    from scipy.optimize import minimize as scipy_minimize

    metered = Metered(task)
    began = time.perf_counter()
    with contextlib.suppress(Spent):
        scipy_minimize(metered, task.start, jac=True, method=method, options=options)
    seconds = time.perf_counter() - began
    spent = len(metered.losses)
    return Outcome(
        metered.w,
        metered.loss,
        task.accuracy(metered.w),
        spent,
        seconds,
        metered.losses,
        metered.norms,
        list(map(float, range(1, spent + 1))),
    )


def run_all(task: Task, options: dict[str, Any], batch: int, setting: AdamSetting) -> dict[str, Outcome]:
    """Run every method on one task."""
    endless = 10**9
    return {
        TWO_PHASE: two_phase(task, options, batch),
        ADAM: adam_alone(task, setting),
        CG: scipy_alone(task, "CG", {"gtol": 0.0, "maxiter": endless}),
        LBFGS: scipy_alone(
            task, "L-BFGS-B", {"gtol": 0.0, "ftol": 0.0, "maxiter": endless, "maxfun": endless}
        ),
    }


def tune(make: Callable[[int], Task], say: Callable[[str], None]) -> AdamSetting:
    """Search the grid of settings for Adam alone on `TUNING_SEEDS`; answer the one of least median loss."""
    tasks = [make(seed) for seed in TUNING_SEEDS]
    found: list[tuple[float, AdamSetting]] = []
    for batch in BATCHES:
        for rate in RATES:
            for cosine in (False, True):
                setting = AdamSetting(rate, batch, cosine)
                losses = [adam_alone(task, setting, readings=False).loss for task in tasks]
                found.append((float(np.median(losses)), setting))
    found.sort(key=lambda pair: pair[0])
    for loss, setting in found[:5]:
        say(f"  {loss:.4e}  {setting}")
    return found[0][1]


# ---- what is shown -----------------------------------------------------------------------------------------


def table(runs: dict[str, list[Outcome]]) -> str:
    """Lay out one row a method; over several seeds the medians, and the range of the loss."""
    many = len(next(iter(runs.values()))) > 1
    head = [
        "method",
        "train loss",
        *(["lowest", "highest"] if many else []),
        "held-out",
        "gradients",
        "seconds",
    ]
    rows = [head]
    for name, outcomes in runs.items():
        losses = [outcome.loss for outcome in outcomes]
        rows.append(
            [
                name,
                f"{np.median(losses):.4e}",
                *([f"{min(losses):.4e}", f"{max(losses):.4e}"] if many else []),
                f"{100 * np.median([outcome.accuracy for outcome in outcomes]):.1f} %",
                f"{np.median([outcome.spent for outcome in outcomes]):.0f}",
                f"{np.median([outcome.seconds for outcome in outcomes]):.2f}",
            ]
        )
    widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) if k == 0 else cell.rjust(width) for k, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def verdict(runs: dict[str, list[Outcome]]) -> str:
    """Say on how many seeds two-phase ended at the lower train loss, method by method."""
    ours = [outcome.loss for outcome in runs[TWO_PHASE]]
    parts = []
    for name, outcomes in runs.items():
        if name != TWO_PHASE:
            wins = sum(a < b.loss for a, b in zip(ours, outcomes, strict=True))
            parts.append(f"{name} on {wins} of {len(ours)}")
    return "two-phase ended at a lower train loss than " + ", ".join(parts) + (" seeds." if ours[1:] else ".")


def draw(outcomes: dict[str, Outcome], path: str) -> None:
    """Write the picture: gradient norm against loss, and how far each method is above the lowest loss of all.

    The second is in per cent, on a logarithmic axis: the methods end so close to each other that only this
    shows which is lower. The line of the lowest leaves the picture at the bottom.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from twophase_min import plotting

    figure = Figure(figsize=(11, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    plotting.norm_against_loss(outcomes[TWO_PHASE].run, ax=left, title="The way of two-phase")
    lowest = min(min(outcome.losses) for outcome in outcomes.values())
    looks = {TWO_PHASE: ("-", 2.8), ADAM: ("--", 1.8), CG: (":", 2.2), LBFGS: ("-.", 1.8)}
    for colour, (name, outcome) in zip(plotting.COLOURS, outcomes.items(), strict=False):
        style, width = looks[name]
        above = 100 * (np.minimum.accumulate(outcome.losses) / lowest - 1)
        label = f"{name}: {outcome.loss:.3g}"
        right.plot(outcome.costs, np.maximum(above, 1e-9), style, color=colour, lw=width, label=label)
    right.set_yscale("log")
    right.set_ylim(0.5, 20_000)
    ticks = (1, 10, 100, 1000, 10_000)
    right.set_yticks(ticks, [f"{tick:,} %" for tick in ticks])
    right.set_yticks([], minor=True)
    right.set_xlabel("gradient evaluations of the whole data")
    right.set_ylabel("train loss above the lowest of all")
    right.set_title("Beside each method alone")
    right.grid(True, alpha=0.25)
    right.legend(title="train loss at the end", loc="upper right")
    for ax in (left, right):
        for item in (ax.title, ax.xaxis.label, ax.yaxis.label, *ax.get_xticklabels(), *ax.get_yticklabels()):
            item.set_fontsize(12)
    figure.savefig(path, dpi=110)


def prepare(options: dict[str, Any]) -> float:
    """Compile or load the kernels by a small run, so that no method's time contains it; answers the seconds.

    `warmup` would take several times as long: it compiles the engine for compiled objectives too.
    """
    began = time.perf_counter()
    problem = problems.get("rosenbrock")
    minimize(problem.fun, problem.x0, jac=problem.grad, options={**options, "maxiter": 100})
    return time.perf_counter() - began
