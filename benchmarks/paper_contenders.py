"""The contenders of `paper.py`: the same loss, start and mini-batches for all, charged alike.

A point at which the loss over all data or its gradient is asked for costs 1, however much of both is used:
every trial of a line search, and every reading of our detector. A mini-batch costs its share of the data.
Losses that are computed for the record alone cost nothing, and the clock stands still meanwhile.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize as scipy_minimize

from twophase_min import FiniteSum, minimize

RATES = (1e-3, 3e-3, 1e-2, 3e-2)
"""Adam's rates, of which one is chosen for every model on another seed."""
SHARES = (0.1, 0.3, 0.6)
"""Parts of the budget that Adam has before a fixed swap."""
FACTOR = 0.9
"""Algorithm 1's factor."""
LOOKS = 40
"""Losses over all data that are recorded of a run of Adam."""
MEAN = 8
"""Epochs of Adam over which its path is averaged."""
PAIRS = 50
"""L-BFGS-B's memory."""


class Spent(Exception):
    """The budget is spent."""


class Row(NamedTuple):
    """Where a run stands."""

    cost: float
    seconds: float
    loss: float
    norm: float


class Counted:
    """A finite sum that charges what it is asked for, and records the whole loss.

    Parameters
    ----------
    sum : FiniteSum
        Of which ``fun`` answers loss and gradient.
    budget : float
        Cost at which a run ends, by `Spent`.

    Attributes
    ----------
    cost : float
        Evaluations over all data so far.
    rows : list of Row
        Losses over all data, and norms of their gradients.
    best, best_x : float, ndarray
        The lowest of them and where it was.
    marks : dict of str to ndarray
        Points that a contender has marked.
    """

    def __init__(self, sum: FiniteSum, budget: float):
        self.sum, self.budget = sum, budget
        self.n_samples, self.n_batches, self.batches = sum.n_samples, sum.n_batches, sum.batches
        self.cost, self.rows = 0.0, list[Row]()
        self.best, self.best_x = np.inf, np.zeros(0)
        self.marks: dict[str, np.ndarray] = {}
        self._last: tuple[np.ndarray, float, np.ndarray] | None = None
        self._paused, self._began = 0.0, time.process_time()

    @property
    def seconds(self) -> float:
        """Processor seconds of the run."""
        return time.process_time() - self._began - self._paused

    def charge(self, cost: float) -> None:
        """Add to the cost; raise `Spent` where that would exceed the budget."""
        if self.cost + cost > self.budget * (1 + 1e-9):
            raise Spent
        self.cost += cost

    def value_and_gradient(self, w: np.ndarray) -> tuple[float, np.ndarray]:
        """Return both over all data, for 1; for nothing at the point that was asked for last."""
        if self._last is None or not np.array_equal(self._last[0], w):
            self.charge(1.0)
            loss, gradient = self._enter(w)
            self._last = w.copy(), loss, gradient
        return self._last[1], self._last[2].copy()

    def value(self, w: np.ndarray) -> float:
        """Return the loss over all data."""
        return self.value_and_gradient(w)[0]

    __call__ = value

    def gradient(self, w: np.ndarray) -> np.ndarray:
        """Return the gradient over all data."""
        return self.value_and_gradient(w)[1]

    def batch_value_and_gradient(self, w: np.ndarray, indices: np.ndarray) -> tuple[float, np.ndarray]:
        """Return both over a mini-batch, for its share."""
        self.charge(len(indices) / self.n_samples)
        return self.sum.batch_value_and_gradient(w, indices)

    def look(self, w: np.ndarray) -> Row:
        """Record the loss over all data without a charge."""
        before = self.seconds
        self._enter(w, before)
        self._paused += self.seconds - before
        return self.rows[-1]

    def _enter(self, w: np.ndarray, seconds: float | None = None) -> tuple[float, np.ndarray]:
        loss, gradient = self.sum.value_and_gradient(w)
        norm = float(np.linalg.norm(gradient))
        self.rows.append(Row(self.cost, self.seconds if seconds is None else seconds, loss, norm))
        if loss < self.best:
            self.best, self.best_x = loss, w.copy()
        return loss, gradient


# -- Adam ----------------------------------------------------------------------------------------------------


def steps(
    task: Counted, w: np.ndarray, rate: float, cosine: float = np.inf
) -> Iterator[tuple[np.ndarray, float | None]]:
    """Yield the point after every step of Adam; after the last of an epoch, the norm of its mean gradient.

    Kingma & Ba 2015, algorithm 1, with its constants. The rate falls to 0 at the cost ``cosine``. The mean is
    that of the gradients of the epoch's mini-batches, which costs nothing. Ends with `Spent`.
    """
    m, v, t = np.zeros_like(w), np.zeros_like(w), 0
    w, epoch = w.copy(), 0
    while True:
        mean = np.zeros_like(w)
        for batch, indices in enumerate(task.batches(epoch), 1):
            g = task.batch_value_and_gradient(w, indices)[1]
            mean += g * (len(indices) / task.n_samples)
            t += 1
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            step = rate * (0.5 * (1 + np.cos(np.pi * min(task.cost, cosine) / cosine)))
            w -= step * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
            yield w, (float(np.linalg.norm(mean)) if batch == task.n_batches else None)
        epoch += 1


def adam(
    task: Counted,
    w: np.ndarray,
    rate: float,
    until: float = 1.0,
    cosine: bool = False,
    ends: Callable[[float], bool] = lambda norm: False,
) -> np.ndarray:
    """Run Adam for a share of the budget, or until the norm of an epoch ends it; return where it is.

    ``cosine`` lets the rate fall to 0 at the end of the share. Marks the start, the peak of the norm over all
    data among the looks, the swap of Algorithm 1 and those at fixed shares, and the end.
    """
    task.marks["start"] = w.copy()
    highest, due, rule = task.look(w).norm, 0.0, Peak()
    task.marks["peak"] = w.copy()
    shares = [share for share in SHARES if share < until]
    with contextlib.suppress(Spent):
        for x, norm in steps(task, w, rate, until * task.budget if cosine else np.inf):
            w = x
            if task.cost >= due:
                due = task.cost + min(task.budget / LOOKS, task.cost / 4)
                seen = task.look(w).norm
                if seen > highest:
                    highest, task.marks["peak"] = seen, w.copy()
            if norm is None:
                continue
            if "rule" not in task.marks and rule(norm):
                task.marks["rule"] = w.copy()
            while shares and task.cost >= shares[0] * task.budget - 1e-6:
                task.marks[f"{shares.pop(0):.0%}"] = w.copy()
            if task.cost >= until * task.budget - 1e-6 or ends(norm):
                break
    task.look(w)
    task.marks["end of Adam"] = w.copy()
    return w


def averaged(task: Counted, w: np.ndarray, rate: float) -> None:
    """Run Adam, and look at the mean of its path over eight epochs after each eighth, and at nothing else."""
    task.look(w)
    total, many, epochs = np.zeros_like(w), 0, 0
    with contextlib.suppress(Spent):
        for x, norm in steps(task, w, rate):
            total, many, epochs = total + x, many + 1, epochs + (norm is not None)
            if norm is not None and epochs % MEAN == 0:
                task.look(total / many)
                total, many = np.zeros_like(w), 0


class Peak:
    """Algorithm 1's rule: whether a norm has fallen to 0.9 of the highest so far.

    ``smoothing`` is the weight of the past in an exponential mean of the norms, which is then what is read;
    the paper advises one, and gives none.
    """

    def __init__(self, smoothing: float = 0.0) -> None:
        self.highest, self.smoothing = 0.0, smoothing
        self.level: float | None = None

    def __call__(self, norm: float) -> bool:
        """Read a norm."""
        before = norm if self.level is None else self.level
        self.level = self.smoothing * before + (1 - self.smoothing) * norm
        self.highest = max(self.level, self.highest)
        return not self.level > self.highest * FACTOR


# -- SciPy's methods -----------------------------------------------------------------------------------------


def scipys(task: Counted, w: np.ndarray, method: str, iterations: float = np.inf) -> None:
    """Run a method of SciPy until the budget or the iterations are spent; where it gives up it begins anew.

    It ends where a new beginning brings nothing, either.
    """
    options: dict[str, Any] = {"gtol": 0.0}
    if method == "L-BFGS-B":
        options |= {"ftol": 0.0, "maxcor": PAIRS, "maxfun": 10**9, "maxls": 40}
    done = 0
    try:
        while done < iterations:
            before = task.best
            result = scipy_minimize(
                task.value_and_gradient,
                w,
                jac=True,
                method=method,
                options={**options, "maxiter": int(min(iterations - done, 10**9))},
            )
            done += max(result.nit, 1)
            w = result.x
            if not task.best < before:
                break
    except Spent:
        pass
    task.marks["end"] = task.best_x


def then(
    method: str, share: float | None, uncharged: bool = False, cosine: bool = False, smoothing: float = 0.0
) -> Callable[..., None]:
    """Adam, then a method of SciPy: after a share of the budget, or where Algorithm 1's rule says.

    ``uncharged`` counts an iteration of the method as an epoch, whatever its line search takes, as the
    paper does; ``cosine`` lets Adam's rate fall to 0 at the swap; ``smoothing`` is the rule's.
    """

    def run(task: Counted, w: np.ndarray, rate: float) -> None:
        rule = Peak(smoothing) if share is None else (lambda norm: False)
        w = adam(task, w, rate, 1.0 if share is None else share, cosine, ends=rule)
        if uncharged:
            left = round(task.budget - task.cost)
            task.budget = np.inf
            scipys(task, w, method, left)
        else:
            scipys(task, w, method)

    return run


def alone(method: str) -> Callable[..., None]:
    """Return a method of SciPy from the start."""
    return lambda task, w, rate: scipys(task, w, method)


# -- ours ----------------------------------------------------------------------------------------------------


class Whole:
    """The loss over all data and nothing else: what `minimize` gets without mini-batches."""

    def __init__(self, task: Counted):
        self.value_and_gradient, self.value, self.gradient = (
            task.value_and_gradient,
            task.value,
            task.gradient,
        )

    def __call__(self, w: np.ndarray) -> float:
        """Return the loss."""
        return self.value(w)


def ours(batches: bool, **options: Any) -> Callable[..., None]:
    """`minimize` over mini-batches or the whole data; it is told the budget, as Adam with a decay is.

    Options that are functions are asked with the task and Adam's rate.
    """

    def run(task: Counted, w: np.ndarray, rate: float) -> None:
        limits = {"maxfun": int(task.budget), "maxiter": 10**9, "gtol": 1e-8}
        given = {key: value(task, rate) if callable(value) else value for key, value in options.items()}
        with contextlib.suppress(Spent):
            minimize(task if batches else Whole(task), w, options=limits | given)
        task.marks["end"] = task.best_x

    return run


# -- all -----------------------------------------------------------------------------------------------------


def adam_alone(cosine: bool) -> Callable[..., None]:
    """Adam for the whole budget."""

    def run(task: Counted, w: np.ndarray, rate: float) -> None:
        adam(task, w, rate, cosine=cosine)

    return run


def best_rate(task: Counted, rate: float) -> float:
    """Take the rate that is best for Adam alone, for the option ``learning_rate``."""
    return rate


def after(share: float, reading: float = 1.0) -> Callable[[Counted, float], int]:
    """Return the option ``swap`` for this share of the budget.

    An epoch costs 1 and its share of a reading: with a rate given all data are read after every epoch, and
    without after every eighth at most.
    """
    return lambda task, rate: round(share * task.budget / (1 + reading))


OPTIONS: dict[str, Callable[..., None]] = {
    "ours: memory-cg": ours(True, convex_method="memory-cg"),
    "ours: memory-cg, best rate": ours(True, convex_method="memory-cg", learning_rate=best_rate),
    "ours: memory-cg, best rate, Adam 60%": ours(
        True, convex_method="memory-cg", learning_rate=best_rate, swap=after(0.6)
    ),
    "ours: ssbfgs, best rate, Adam 30%": ours(
        True, convex_method="ssbfgs", learning_rate=best_rate, swap=after(0.3)
    ),
    "ours: ssbfgs, best rate, Adam 60%": ours(
        True, convex_method="ssbfgs", learning_rate=best_rate, swap=after(0.6)
    ),
    "ours: ssbfgs": ours(True, convex_method="ssbfgs"),
    "ours: ssbfgs, Adam 60%": ours(True, convex_method="ssbfgs", swap=after(0.6, 1 / 8)),
    "ours: whole data": ours(False),
    "ours: whole data, ssbfgs": ours(False, convex_method="ssbfgs"),
}
"""Named options, of which one is chosen on another seed."""

CONTENDERS: dict[str, Callable[..., None]] = {
    "Adam": adam_alone(False),
    "Adam, mean of the path": averaged,
    "Adam, cosine decay": adam_alone(True),
    "Algorithm 1": then("CG", None),
    "Algorithm 1, smoothed": then("CG", None, smoothing=0.9),
    **{f"Adam {share:.0%} + CG": then("CG", share) for share in SHARES},
    "Adam 30% + CG, searches uncharged": then("CG", 0.3, uncharged=True),
    "CG": alone("CG"),
    "L-BFGS-B": alone("L-BFGS-B"),
    **{f"Adam {share:.0%} + L-BFGS-B": then("L-BFGS-B", share) for share in SHARES},
    "Adam 60%, cosine decay + CG": then("CG", 0.6, cosine=True),
    "Adam 60%, cosine decay + L-BFGS-B": then("L-BFGS-B", 0.6, cosine=True),
    "ours: default": ours(True),
    **OPTIONS,
}
"""By name: ``contender(task, start, rate)``."""
