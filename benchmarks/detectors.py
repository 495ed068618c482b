"""Is the swap real? Every rule of the detector held against the Hessian and against every other swap time.

Along recorded trajectories (Adam on the whole data, Adam on mini-batches, conjugate gradients) of the paper's
two analytic examples, unconstrained CUTEst problems and networks on the digits that scikit-learn ships::

    python benchmarks/detectors.py            # everything that is missing, then tables and pictures
    python benchmarks/detectors.py --report   # tables and pictures of docs/detectors.md from what is saved,
                                              # or else from the committed detectors.jsonl.gz

Truth. At some twenty points of a trajectory, and where any rule swaps, the extreme Hessian eigenvalues are
measured. A point counts as convex at tolerance tau if ``lambda_min >= -tau * lambda_max``.

Worth. From each of these points the convex method (SciPy's CG, and L-BFGS-B) gets what is left of the
budget; the best final loss over all swap times is the oracle, and a rule's regret is the log10 of its excess
over the oracle's. The excess of a final loss f is ``1e-6 + (f - low) / (f(x0) - low)``, low being the lowest
loss that any run on the same objective from the same start has seen. One evaluation is a loss with its
gradient over the whole data; the readings of the mini-batch runs (a whole-data loss and gradient an
epoch) are charged.

End to end. `minimize` itself trains the same networks, with and without its guard, under several rules.

Results go to ``results/detectors.jsonl``, one line a trajectory, and are resumed from there. All of it takes
hours on two cores; the networks' seeds come one after the other, so that an interrupted run is balanced.
``--seeds 1`` and ``--only`` do a part.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import itertools
import json
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # the processes are the threads

import numpy as np  # noqa: E402

HERE = Path(__file__).resolve().parent
for _path in (HERE, HERE.parent):
    if str(_path) not in sys.path:
        sys.path.insert(0, str(_path))  # run from a checkout without installing

from twophase_min.curvature import extreme_eigenvalues, path_curvature  # noqa: E402
from twophase_min.detector import (  # noqa: E402
    AllOf,
    GainRule,
    HessianRule,
    NormAgainstLossRule,
    NormPeakMedianRule,
    NormPeakRule,
    PathCurvatureRule,
    detect_swap,
)

RESULTS = HERE / "results" / "detectors.jsonl"
REFERENCE = HERE / "detectors.jsonl.gz"
"""The results behind docs/detectors.md, as committed."""
DOCS = HERE.parent / "docs"
TAUS = (0.1, 0.01, 0.001)
BUDGET = 300
TRIAL = 8
ACTIVATIONS, LOSSES, WIDTHS, SEEDS = ("tanh", "relu", "gelu"), ("mse", "cross_entropy"), (8, 16, 32), range(5)
SAMPLES, BATCH = 1000, 64
RATES = {"adam": 0.03, "mini-batch": 0.01, "cg": 0.0}  # the best or next to it of a grid, by Adam alone
CONVEX = {"CG": {"gtol": 0.0}, "L-BFGS-B": {"gtol": 0.0, "ftol": 0.0, "maxcor": 10, "maxfun": 10**9}}


def rules() -> dict[str, tuple[Any, dict[str, Any]]]:
    """Return the rules under test: name, rule and the detector's settings."""
    return {
        "norm-peak (the paper's)": (NormPeakRule(), {}),
        "norm-peak, factor 0.7": (NormPeakRule(0.7), {}),
        "norm-peak, factor 0.5": (NormPeakRule(0.5), {}),
        "norm-peak, factor 0.2": (NormPeakRule(0.2), {}),
        "norm-peak, smoothing 0.9": (NormPeakRule(), {"smoothing": 0.9}),
        "norm-peak, patience 5": (NormPeakRule(), {"patience": 5}),
        "norm-peak-median, window 9": (NormPeakMedianRule(window=9, margin=2.0), {}),
        "norm-against-loss, window 15": (NormAgainstLossRule(15), {}),
        "norm-against-loss, window 30": (NormAgainstLossRule(30), {}),
        "path-curvature": (PathCurvatureRule(), {}),
        "norm-peak and path-curvature": (AllOf(NormPeakRule(), PathCurvatureRule()), {}),
        "hessian, tol 0.1": (HessianRule(0.1), {}),
        "hessian, tol 0.01": (HessianRule(0.01), {}),
        "gain": (GainRule(), {}),
    }


FIXED = {"always (convex method alone)": 0.0, "fixed, 10 %": 0.1, "fixed, 30 % (the paper's runs)": 0.3,
         "fixed, 60 %": 0.6, "never (Adam alone)": None}  # fmt: skip


# ------------------------------------------------------------------------------------------ the problems


@dataclass
class Case:
    """One objective: value and gradient together, Hessian products, and perhaps mini-batches."""

    fun: Callable[[np.ndarray], tuple[float, np.ndarray]]
    hessp: Callable[[np.ndarray, np.ndarray], np.ndarray] | Callable[[np.ndarray], np.ndarray]
    x0: np.ndarray
    learning_rate: float | None = None
    dense: bool = False
    target: float = -math.inf  # a loss that nobody needs to go below
    batches: Callable[[int], Iterator[Callable[[np.ndarray], tuple[float, np.ndarray]]]] | None = None
    mean: Any = None  # the same objective as a FiniteSum


def tasks() -> list[dict[str, Any]]:
    """List what the study consists of, cheap things first."""
    listed: list[dict[str, Any]] = []
    for mode in ("adam", "cg"):
        listed += [{"family": "example 1", "seed": seed, "mode": mode} for seed in range(30)]
        listed += [
            {"family": "example 2", "C": C, "x0": x0, "seed": 0, "mode": mode}
            for C in (0.40, 0.45, 0.50, 0.55, 0.60)
            for x0 in (-3.0, -2.0, -1.5, 1.5, 2.5)
        ]
        names = (HERE / "cutest_tuning.txt").read_text().split()
        listed += [{"family": "CUTEst", "name": name, "seed": 0, "mode": mode} for name in names]
    for seed in SEEDS:
        for loss in LOSSES:
            for activation in ACTIVATIONS:
                for width in WIDTHS:
                    for mode in ("adam", "mini-batch", "cg", "minimize", "minimize mini-batch"):
                        net = {"loss": loss, "activation": activation, "width": width, "seed": seed}
                        listed.append({"family": "digits", **net, "mode": mode})
    return listed


def key(task: dict[str, Any]) -> str:
    """Return a task as one line."""
    return " ".join(f"{name}={value}" for name, value in task.items())


def build(task: dict[str, Any]) -> Case:
    """Make the objective of a task."""
    if task["family"] == "digits":
        return _digits(task)
    if task["family"] == "CUTEst":
        return _cutest(task["name"])
    from twophase_min import problems

    if task["family"] == "example 1":
        problem = problems.paper_example_1(task["seed"])
    else:
        problem = problems.paper_example_2(task["C"], x0=task["x0"])
    return Case(problem.value_and_gradient, problem.hess, problem.x0.copy(), dense=True)


def _cutest(name: str) -> Case:
    import cutest

    problem = cutest.Problem(name)
    return Case(
        lambda x: (problem.fun(x), problem.grad(x)),
        lambda x: np.asarray(problem._slow.hess(x), dtype=float),
        problem.x0.copy(),
        dense=True,
    )


def _digits(task: dict[str, Any]) -> Case:
    from sklearn.datasets import load_digits

    from twophase_min.networks.mlp import MLP

    data, labels = load_digits(return_X_y=True)
    data, labels = data[:SAMPLES] / 16.0, labels[:SAMPLES]
    output = "softmax" if task["loss"] == "mse" else None  # the paper: mse on softmax outputs
    net = MLP((64, task["width"], 10), task["activation"], task["loss"], output=output)
    objective = net.objective(data, labels)

    def batches(epoch: int) -> Iterator[Callable[[np.ndarray], tuple[float, np.ndarray]]]:
        order = np.random.default_rng((task["seed"], epoch)).permutation(SAMPLES)
        for first in range(0, SAMPLES, BATCH):
            part = order[first : first + BATCH]
            yield net.objective(data[part], labels[part])

    w = net.init(task["seed"])
    # Far below the floor of the excess: cross-entropy on separable data would go on to 1e-80.
    target = 1e-8 * objective(w)[0]
    return Case(objective, objective.hessp, w, RATES.get(task["mode"], 0.0), batches=batches, target=target,
                mean=net.finite_sum(data, labels, batch_size=BATCH, seed=task["seed"]))  # fmt: skip


# ---------------------------------------------------------------------------------------- the trajectories


@dataclass
class Path_:
    """A recorded run: what the detector reads, and the evaluations spent up to each reading."""

    xs: np.ndarray
    losses: np.ndarray
    gradients: np.ndarray
    costs: np.ndarray
    batch_losses: np.ndarray | None = None
    batch_norms: np.ndarray | None = None


def _adam_state(n: int) -> list[Any]:
    return [np.zeros(n), np.zeros(n), 0]


def _adam_step(x: np.ndarray, g: np.ndarray, state: list[Any], rate: float) -> np.ndarray:
    """Return the next point after one step of Adam (Kingma & Ba, algorithm 1)."""
    m, v, t = state
    m += 0.1 * (g - m)
    v += 0.001 * (g * g - v)
    state[2] = t = t + 1
    return x - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)


def _adam(case: Case, rate: float, budget: int) -> Path_:
    x, state, rows = case.x0.copy(), _adam_state(case.x0.size), []
    for t in range(budget):
        f, g = case.fun(x)
        if not (math.isfinite(f) and np.isfinite(g).all()):
            break
        rows.append((x, f, g, t + 1))
        x = _adam_step(x, g, state, rate)
    return _path(rows)


def _mini_batch(case: Case, rate: float, budget: int) -> Path_:
    assert case.batches is not None
    x, state, rows, batch_rows = case.x0.copy(), _adam_state(case.x0.size), [], []
    f, g = case.fun(x)
    rows.append((x, f, g, 1))
    batch_rows.append((np.nan, np.nan))
    for epoch in range((budget - 1) // 2):
        seen = []
        for part in case.batches(epoch):
            f, g = part(x)
            seen.append((f, float(np.linalg.norm(g))))
            x = _adam_step(x, g, state, rate)
        f, g = case.fun(x)
        rows.append((x, f, g, 1 + 2 * (epoch + 1)))
        batch_rows.append(tuple(np.mean(seen, axis=0)))
    path = _path(rows)
    path.batch_losses, path.batch_norms = np.array(batch_rows).T
    return path


def _cg_path(case: Case, budget: int) -> Path_:
    from scipy.optimize import minimize

    objective = Counted(case.fun, budget)
    rows = []

    def record(x: np.ndarray) -> None:
        f, g = objective(x)
        rows.append((np.array(x), f, g, objective.count))

    try:
        record(case.x0)
        minimize(objective, case.x0, jac=True, method="CG", callback=record, options={"gtol": 0.0})
    except Spent:
        pass
    return _path(rows)


def _path(rows: list[tuple[np.ndarray, float, np.ndarray, int]]) -> Path_:
    xs, losses, gradients, costs = zip(*rows, strict=True)
    return Path_(np.array(xs), np.array(losses), np.array(gradients), np.array(costs))


def _learning_rate(case: Case) -> float:
    """Pick the rate that is lowest after 50 steps (not charged: the rate is not what is compared here)."""
    scale = float(np.abs(case.x0).max()) or 1.0
    ends = {}
    for rate in (1e-4, 1e-3, 1e-2, 1e-1, 1.0):
        losses = _adam(case, rate * scale, 50).losses
        if losses.size == 50:
            ends[rate * scale] = losses[-1]
    return min(ends, key=ends.get) if ends else 1e-3 * scale


class Spent(Exception):
    """The evaluations are used up."""


class Counted:
    """A function that charges every evaluation at a new point, stops at the limit and keeps the best."""

    def __init__(
        self, fun: Callable[[np.ndarray], tuple[float, np.ndarray]], budget: int, target: float = -math.inf
    ) -> None:
        self.fun, self.budget, self.target, self.count = fun, budget, target, 0
        self.best, self.best_x = math.inf, np.empty(0)
        self._last: tuple[np.ndarray, float, np.ndarray] | None = None

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return value and gradient; +inf for a value that is not finite."""
        if self._last is None or not np.array_equal(self._last[0], x):
            if self.count >= self.budget or self.best <= self.target:
                raise Spent
            self.count += 1
            f, g = self.fun(x)
            if not np.isfinite(g).all():
                f = math.inf
            self._last = (np.array(x), float(f) if math.isfinite(f) else math.inf, np.asarray(g, dtype=float))
            if self._last[1] < self.best:
                self.best, self.best_x = self._last[1], self._last[0]
        return self._last[1], self._last[2].copy()


def convex_run(case: Case, method: str, x: np.ndarray, f: float, g: np.ndarray, budget: int) -> float:
    """Return the lowest loss of the convex method from a known point; restarted while that helps."""
    from scipy.optimize import minimize

    objective = Counted(case.fun, budget, case.target)
    objective._last = (np.array(x), f, np.array(g))
    objective.best, objective.best_x = f, np.array(x)
    try:
        while objective.count < budget:
            before = objective.best
            start = objective.best_x.copy()
            minimize(objective, start, jac=True, method=method, options={**CONVEX[method], "maxiter": 10**9})
            if not objective.best < before:
                break
    except Spent:
        pass
    return objective.best


# ----------------------------------------------------------------------------------------------- one task


def times(last: int) -> list[int]:
    """List the readings at which the truth is measured: dense at first, then ever sparser."""
    steps = {0, 1, 2, 3, 5, 8} | {round(last * q) for q in np.geomspace(0.04, 1.0, 14)}
    return sorted(step for step in steps if step <= last)


def run(task: dict[str, Any]) -> dict[str, Any]:
    """Record a trajectory, measure the truth along it, let every rule decide, and sweep the swap times."""
    began = time.perf_counter()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        case = build(task)
        if task["mode"].startswith("minimize"):
            return {"task": task, **_end_to_end(task, case), "seconds": round(time.perf_counter() - began, 1)}
        rate = case.learning_rate
        if rate is None:
            rate = _learning_rate(case) if task["mode"] == "adam" else 0.0
        if task["mode"] == "cg":
            path = _cg_path(case, BUDGET)
        else:
            path = (_mini_batch if task["mode"] == "mini-batch" else _adam)(case, rate, BUDGET)
        result = _examine(task, case, path)
    result |= {"rate": rate, "n": case.x0.size, "seconds": round(time.perf_counter() - began, 1)}
    return {"task": task, **result}


def _examine(task: dict[str, Any], case: Case, path: Path_) -> dict[str, Any]:
    last = path.losses.size - 1
    grid = times(last)
    truth: dict[int, tuple[float, float, float, int]] = {}

    def measure(t: int) -> tuple[float, float, float, int]:
        if t not in truth:
            truth[t] = _truth(case, path, t)
        return truth[t]

    for t in grid:
        measure(t)
    gains = {t: _gain(case, path, t) for t in grid} if task["mode"] != "cg" else {}

    streams = {"whole": (path.losses, np.linalg.norm(path.gradients, axis=1))}
    if path.batch_losses is not None:
        streams["batch"] = (path.batch_losses, path.batch_norms)
    columns = {
        "curvature": np.r_[np.nan, path_curvature(path.xs, path.gradients)],
        "lambda_min": [truth[t][0] if t in truth else np.nan for t in range(last + 1)],
        "lambda_max": [truth[t][1] if t in truth else np.nan for t in range(last + 1)],
        "gain_convex": [gains[t][0] if t in gains else np.nan for t in range(last + 1)],
        "gain_first": [gains[t][1] if t in gains else np.nan for t in range(last + 1)],
    }
    swaps: dict[str, dict[str, int | None]] = {}
    for stream, (losses, norms) in streams.items():
        swaps[stream] = {}
        for name, (rule, settings) in rules().items():
            swaps[stream][name] = detect_swap(losses, norms, rule, extras=columns, **settings).index
        for name, share in FIXED.items():
            at = None if share is None else int(np.searchsorted(path.costs, share * BUDGET))
            swaps[stream][name] = at if at is None or at <= last else None
    fired = {t for per_stream in swaps.values() for t in per_stream.values() if t is not None}
    for t in sorted(fired):
        measure(t)

    worth: dict[str, dict[str, float]] = {}
    if task["mode"] != "cg":
        so_far = np.fmin.accumulate(path.losses)
        alone = float(so_far[-1])
        # CUTEst's problems are interpreted and slow: one convex method.
        for method in ("CG",) if task["family"] == "CUTEst" else CONVEX:
            worth[method] = {"never": alone}
            for t in sorted({*grid[::2], *fired}):
                left = BUDGET - int(path.costs[t])
                final = convex_run(case, method, path.xs[t], path.losses[t], path.gradients[t], left)
                worth[method][str(t)] = min(final, float(so_far[t]))
    keep = sorted(truth)
    return {
        "readings": last + 1,
        "times": keep,
        "costs": [int(path.costs[t]) for t in keep],
        "losses": [_short(path.losses[t]) for t in keep],
        "norms": [_short(np.linalg.norm(path.gradients[t])) for t in keep],
        "lambda_min": [_short(truth[t][0]) for t in keep],
        "lambda_max": [_short(truth[t][1]) for t in keep],
        "along_gradient": [_short(truth[t][2]) for t in keep],
        "products": [truth[t][3] for t in keep],
        "swaps": swaps,
        "worth": {method: {t: _short(f) for t, f in finals.items()} for method, finals in worth.items()},
    }


END_TO_END: dict[str, Any] = {
    "norm-peak (the paper's)": "norm-peak",
    "norm-against-loss, window 30": NormAgainstLossRule(30),
    "norm-peak-median": NormPeakMedianRule(),
    "always (convex method alone)": "always",
    "never (Adam alone)": "never",
}


def _end_to_end(task: dict[str, Any], case: Case) -> dict[str, Any]:
    """Train by `minimize` under every rule, guarded and not, with the study's budget."""
    from twophase_min import minimize

    objective = case.mean if "mini-batch" in task["mode"] else case.fun
    jac = None if "mini-batch" in task["mode"] else True
    finals: dict[str, dict[str, float | None]] = {}
    swaps: dict[str, dict[str, int]] = {}
    for method in ("CG", "L-BFGS-B"):
        for guard in (True, False):
            label = f"{method}, {'guarded' if guard else 'unguarded'}"
            finals[label], swaps[label] = {}, {}
            for name, rule in END_TO_END.items():
                options = {
                    "maxfun": BUDGET,
                    "maxiter": 10**9,
                    "gtol": 0.0,
                    "f_target": case.target,
                    "guard": guard,
                    "swap": copy.deepcopy(rule),
                    "convex_method": method,
                }
                result = minimize(objective, case.x0, jac=jac, options=options)
                finals[label][name], swaps[label][name] = _short(float(result.fun)), len(result.swaps)
    return {"losses": [_short(case.fun(case.x0)[0])], "finals": finals, "handovers": swaps}


def _short(value: float) -> float | None:
    return float(f"{value:.5g}") if math.isfinite(value) else None


def _truth(case: Case, path: Path_, t: int) -> tuple[float, float, float, int]:
    """Return lambda_min, lambda_max, the curvature along the gradient, and the products spent."""
    x, g = path.xs[t], path.gradients[t]
    unit = g / (float(np.linalg.norm(g)) or 1.0)
    if case.dense:
        hessian = np.atleast_2d(case.hessp(x))  # type: ignore[call-arg]
        if hessian.shape != (x.size, x.size) or not np.isfinite(hessian).all():
            return (math.nan, math.nan, math.nan, 0)
        values = np.linalg.eigvalsh(0.5 * (hessian + hessian.T))
        return (float(values[0]), float(values[-1]), float(unit @ hessian @ unit), 0)

    def product(v: np.ndarray) -> np.ndarray:
        return case.hessp(x, v)  # type: ignore[call-arg]

    ends = extreme_eigenvalues(product, x.size, tol=3e-4, relative_to="norm", max_products=150)
    return (ends.lambda_min, ends.lambda_max, float(unit @ product(unit)), ends.products)


def _gain(case: Case, path: Path_, t: int) -> tuple[float, float]:
    """Return the loss decrease per evaluation of a short CG trial, and of the run over the same cost."""
    f = path.losses[t]
    after = int(np.searchsorted(path.costs, path.costs[t] + TRIAL))
    if after >= path.losses.size:
        return (math.nan, math.nan)
    reached = convex_run(case, "CG", path.xs[t], f, path.gradients[t], TRIAL)
    return (
        (f - reached) / TRIAL,
        (f - path.losses[t : after + 1].min()) / (path.costs[after] - path.costs[t]),
    )


# ---------------------------------------------------------------------------------------------- all tasks


def saved(path: Path = RESULTS) -> dict[str, dict[str, Any]]:
    """Read the results by task."""
    if not path.exists():
        return {}
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    lines = text.splitlines()
    return {key(record["task"]): record for record in map(json.loads, lines)}


def run_all(chosen: list[dict[str, Any]], results: Path, workers: int, seconds: float) -> None:
    """Run what is not saved yet, and save it."""
    done = saved(results)
    missing = [task for task in chosen if key(task) not in done]
    print(
        f"{len(chosen) - len(missing)} of {len(chosen)} trajectories are saved, {len(missing)} to go",
        flush=True,
    )
    results.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + seconds
    with ProcessPoolExecutor(workers) as pool, results.open("a") as out:
        queue = iter(missing)
        futures = {pool.submit(run, task): task for task in itertools.islice(queue, 2 * workers)}
        while futures:
            future = next(as_completed(futures))
            task = futures.pop(future)
            try:
                out.write(json.dumps(future.result()) + "\n")
                out.flush()
            except Exception as error:
                print(f"{key(task)}: {type(error).__name__}: {error}", flush=True)
            following = next(queue, None) if time.monotonic() < end else None
            if following is not None:
                futures[pool.submit(run, following)] = following


def speed() -> None:
    """Print what one update costs, best of five rounds, in Python and compiled."""
    from twophase_min.detector import make_detector
    from twophase_min.run import detecting as compiled

    losses, norms = np.linspace(10.0, 1.0, 200_000), np.linspace(1.0, 2.0, 200_000)
    pairs = list(zip(losses[:20_000].tolist(), norms[:20_000].tolist(), strict=True))
    print(f"{'rule':<28}{'Python, us':>12}{'compiled, ns':>14}")
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("norm-peak", {}),
        ("norm-peak", {"smoothing": 0.9}),
        ("norm-against-loss", {"window": 15}),
        ("norm-against-loss", {}),
        ("norm-peak-median", {}),
    ]
    for name, settings in kinds:
        plain, packed = [], []
        for _ in range(5):
            detector = make_detector(name, **settings)
            began = time.perf_counter()
            for loss, norm in pairs:
                detector.update(loss, norm)
            plain.append((time.perf_counter() - began) / len(pairs))
            detector = make_detector(name, **settings)
            if compiled.can_compile(detector):
                compiled.scan(compiled.pack(make_detector(name, **settings)), losses[:2], norms[:2])
                state = compiled.pack(detector)
                began = time.perf_counter()
                compiled.scan(state, losses, norms)
                packed.append((time.perf_counter() - began) / losses.size)
        label = " ".join([name, *[f"{key}={value}" for key, value in settings.items()]])
        print(
            f"{label:<28}{1e6 * min(plain):>12.2f}"
            + (f"{1e9 * min(packed):>14.0f}" if packed else f"{'-':>14}")
        )


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--report", action="store_true", help="only make the tables and pictures")
    parser.add_argument("--keep", action="store_true", help=f"also write the results to {REFERENCE.name}")
    parser.add_argument("--speed", action="store_true", help="only time one update of the detector")
    parser.add_argument("--only", help="families, comma-separated: example 1, example 2, CUTEst, digits")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="of the networks (default: 5)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where they are kept")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--seconds", type=float, default=math.inf, help="start no further trajectory after that"
    )
    options = parser.parse_args()
    chosen = [task for task in tasks() if task["family"] != "digits" or task["seed"] < options.seeds]
    if options.only:
        chosen = [task for task in chosen if task["family"] in options.only.split(",")]
    if options.speed:
        speed()
        return
    if not options.report:
        run_all(chosen, options.results, options.workers, options.seconds)
    from detectors_report import write

    records = list(saved(options.results if options.results.exists() else REFERENCE).values())
    if options.keep:
        lines = "".join(json.dumps(record) + "\n" for record in records)
        REFERENCE.write_bytes(gzip.compress(lines.encode(), mtime=0))
    write(records, DOCS)


if __name__ == "__main__":
    main()
