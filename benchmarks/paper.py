"""Does the swap exist, and does it pay? The paper's models trained at equal charged cost.

::

    pip install ".[paper]"
    python benchmarks/paper.py                       # five models, Fashion-MNIST, reduced; seeds 0 to 4
    python benchmarks/paper.py --data digits --loss cross-entropy --models vit-mlp --seeds 0
    python benchmarks/paper.py --data cifar10 --folder ~/data --full          # as large as the paper's; days
    python benchmarks/paper.py --sizes               # the parameters of all models beside the paper's
    python benchmarks/paper_report.py --keep --pictures

Models: `paper_models.py`; images: `paper_data.py`; contenders and what they are charged:
`paper_contenders.py`. A seed draws the images to train on, the weights at the start and the order of the
mini-batches. Adam's rate, the share before L-BFGS-B and our named options are chosen on seed 5 and judged on
the seeds 0 to 4.

A run is a line of ``benchmarks/results/paper.jsonl`` and is not made twice, so that a command that was broken
off goes on. Those that ``benchmarks/paper.json`` keeps are not made again either, unless `--names` picks them
by how their names begin: ``--names ours`` makes our rows anew beside the kept ones of the rivals. Two
commands with different ``--seeds`` may run side by side, after one with ``--tune``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import numpy as np  # noqa: E402

HERE = Path(__file__).resolve().parent
for _path in (HERE, HERE.parent):
    if str(_path) not in sys.path:
        sys.path.insert(0, str(_path))  # run from a checkout without installing

from paper_choice import TUNING, chosen, judged  # noqa: E402
from paper_contenders import CONTENDERS, OPTIONS, RATES, SHARES, Counted  # noqa: E402
from paper_data import SETS, Data, load  # noqa: E402
from paper_kept import KEPT, RUNS  # noqa: E402
from paper_kept import load as load_kept  # noqa: E402
from paper_models import FULL, LOSSES, MODELS, REDUCED, Size, batch_loss, count, initial, network  # noqa: E402

from twophase_min import FiniteSum  # noqa: E402
from twophase_min.curvature import extreme_eigenvalues  # noqa: E402
from twophase_min.gradients import from_jax  # noqa: E402

FOLDER = Path("data")
POINTS = 60
"""Points of a run that are kept."""
MARKED = {
    "Adam": ("start", "peak", "rule", *(f"{share:.0%}" for share in SHARES), "end of Adam"),
    "Adam, cosine decay": ("end of Adam",),
    "Algorithm 1": ("end",),
    "Adam 30% + CG": ("end",),
}
"""Points of contenders at which the Hessian is measured."""
LANCZOS = {"tol": 2e-4, "relative_to": "norm", "max_products": 100}
"""Residual relative to the largest modulus; a product is charged to nobody."""
WARM = 4.0
"""Budget of a run before the first of a kind, for what it compiles and imports."""

Run = dict[str, Any]


class Problem(NamedTuple):
    """A model on its data."""

    sum: FiniteSum
    start: np.ndarray
    accuracy: Any
    """``accuracy(w, images, one_hot)``, a share of 1."""
    data: Data


def problem(data: Data, model: str, size: Size, loss: str, seed: int) -> Problem:
    """Build it, in float64."""
    import jax
    from jax.flatten_util import ravel_pytree

    jax.config.update("jax_enable_x64", True)
    mean = batch_loss(model, size, loss)
    parameters = initial(model, size, data.X.shape[-1], data.Y.shape[-1], seed)
    adapted = from_jax(mean, parameters, args=(data.X[:1], data.Y[:1]))
    unravel = ravel_pytree(parameters)[1]

    @jax.jit
    def product(w: Any, v: Any, X: Any, Y: Any) -> Any:
        slope = jax.grad(lambda w: mean(unravel(w), X, Y))
        return jax.jvp(slope, (w,), (v,))[1]

    outputs = jax.jit(lambda w, X: network(model, size)(unravel(w), X))

    def accuracy(w: np.ndarray, X: np.ndarray, Y: np.ndarray) -> float:
        parts = [np.asarray(outputs(w, X[i : i + 4096])).argmax(axis=1) for i in range(0, len(X), 4096)]
        return float((np.concatenate(parts) == Y.argmax(axis=1)).mean())

    total = FiniteSum(
        adapted.fun,
        (data.X, data.Y),
        jac=True,
        batch_size=size.batch,
        seed=seed,
        hessp=lambda w, v, X, Y: np.asarray(product(w, v, X, Y)),
    )
    return Problem(total, adapted.x0, accuracy, data)


def compiled(task: Problem) -> None:
    """Evaluate over all data and an epoch of mini-batches once: JAX compiles before the clock runs."""
    task.sum.value_and_gradient(task.start)
    for indices in task.sum.batches(0):
        task.sum.batch_value_and_gradient(task.start, indices)


def curvature(total: FiniteSum, w: np.ndarray) -> list[float]:
    """Measure the Hessian over all data at a point.

    Returns
    -------
    list of float
        Smallest eigenvalue and its residual, largest and its residual, curvature along the gradient, loss,
        norm of the gradient, products spent.
    """
    loss, g = total.value_and_gradient(w)
    norm = float(np.linalg.norm(g))
    unit = g / (norm or 1.0)
    hessp = total.hessp
    assert hessp is not None
    ends = extreme_eigenvalues(lambda v: hessp(w, v), w.size, **LANCZOS)  # type: ignore[arg-type]
    numbers = (ends.lambda_min, ends.error_min, ends.lambda_max, ends.error_max, unit @ hessp(w, unit))
    return [*(short(number) for number in (*numbers, loss, norm)), ends.products + 1]


def run(name: str, task: Problem, rate: float, budget: float, marks: tuple[str, ...]) -> Run:
    """Make one run: its end, its curve, and what the Hessian is at points of these marks."""
    counted = Counted(task.sum, budget)
    CONTENDERS[name](counted, task.start, rate)
    rows = counted.rows
    kept = np.unique(np.linspace(0, len(rows) - 1, POINTS).round().astype(int))
    data = task.data
    return {
        "rate": rate,
        "cost": round(counted.cost, 3),
        "loss": counted.best,
        "last": rows[-1].loss,
        "train": task.accuracy(counted.best_x, data.X, data.Y),
        "out": task.accuracy(counted.best_x, data.X_out, data.Y_out),
        "seconds": round(rows[-1].seconds, 3),
        "curve": [[short(value) for value in rows[i]] for i in kept],
        "hessian": {
            mark: curvature(task.sum, counted.marks[mark]) for mark in marks if mark in counted.marks
        },
    }


def short(value: float) -> float:
    """Four digits."""
    return float(f"{value:.4g}")


# -- all cells -----------------------------------------------------------------------------------------------


class Cells:
    """The runs on disk, by what sets them apart.

    Parameters
    ----------
    setting : dict
        What all runs of this command have in common: data, loss, size, budget.
    path : Path
        Runs since the last ``paper_report.py --keep``, a line each.
    kept : Path
        Runs that are kept; newer ones of ``path`` take their place.

    Attributes
    ----------
    runs : dict
        All of them.
    """

    def __init__(self, setting: dict[str, Any], path: Path = RUNS, kept: Path = KEPT):
        self.setting, self.path = setting, path
        self._new = read(path)
        old = load_kept(kept)[0] if kept.exists() else []
        self.runs = {key(row): row for row in old} | self._new

    def get(self, model: str, seed: int, name: str, rate: float, renew: bool = False) -> Run | None:
        """Return a run that has been made; with ``renew`` only one since the last that are kept."""
        runs = self._new if renew else self.runs
        return runs.get(key({**self.setting, "model": model, "seed": seed, "name": name, "rate": rate}))

    def add(self, model: str, seed: int, name: str, made: Run) -> Run:
        """Keep a run."""
        made = {**self.setting, "model": model, "seed": seed, "name": name, **made}
        self.runs[key(made)] = self._new[key(made)] = made
        self.path.parent.mkdir(exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(made) + "\n")
        return made


def key(row: Run) -> tuple[Any, ...]:
    """Return what tells a run from the others."""
    return tuple(row[k] for k in ("data", "loss_kind", "size", "budget", "model", "seed", "name", "rate"))


def read(path: Path = RUNS) -> dict[tuple[Any, ...], Run]:
    """Return the runs of a file with a line each."""
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {key(row): row for row in rows}


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; see ``--help``."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--data", choices=SETS, default="fashion")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="has mnist, cifar10, cifar100")
    parser.add_argument("--loss", choices=LOSSES, default="mse")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--budget", type=float, help="evaluations over all data")
    parser.add_argument(
        "--names",
        default="",
        help="contenders to make anew: semicolon-separated beginnings; '=' before a whole name",
    )
    parser.add_argument("--full", action="store_true", help="the paper's sizes")
    parser.add_argument("--tune", action="store_true", help="only choose settings, on seed 5")
    parser.add_argument("--sizes", action="store_true", help="only print the parameters of all models")
    args = parser.parse_args(argv)
    size = FULL if args.full else REDUCED
    if args.sizes:
        print(sizes())
        return 0
    budget = args.budget or size.budget
    setting = {"data": args.data, "loss_kind": args.loss, "size": "full" if args.full else "reduced"}
    cells = Cells({**setting, "budget": budget})
    models = args.models.split(",")
    for model in set(models) - set(MODELS):
        parser.error(f"no model {model!r}: choose among {', '.join(MODELS)}")
    warm: set[tuple[str, str]] = set()

    def cell(model: str, seed: int, name: str, rate: float, make: Any) -> None:
        if not named(name, args.names) or cells.get(model, seed, name, rate, renew=bool(args.names)):
            return
        task = make()
        if (model, name) not in warm:
            warm.add((model, name))
            CONTENDERS[name](Counted(task.sum, WARM), task.start, rate)
        began = time.perf_counter()
        marks = () if seed == TUNING else MARKED.get(name, ())
        made = cells.add(model, seed, name, run(name, task, rate, budget, marks))
        wall = time.perf_counter() - began
        print(
            f"{seed} {model:22s} {name:36s} {rate:g} {made['loss']:.3e} {made['train']:.3f} "
            f"{made['out']:.3f} {made['cost']:.0f} {made['seconds']:.1f} s, {wall:.0f} s on the wall",
            flush=True,
        )

    seeds = [TUNING] + ([] if args.tune else [int(seed) for seed in args.seeds.split(",")])
    for seed in seeds:
        data = None
        for model in models:
            made: list[Problem] = []

            def make(model: str = model, seed: int = seed, made: list[Problem] = made) -> Problem:
                nonlocal data
                if data is None:
                    data = load(args.data, size.side, size.samples, seed, args.folder.expanduser())
                if not made:
                    made.append(problem(data, model, size, args.loss, seed))
                    compiled(made[0])
                return made[0]

            if seed == TUNING:
                for name in ("Adam", "Adam, cosine decay"):
                    for rate in RATES:
                        cell(model, seed, name, rate, make)
                own = [row for row in _here(cells) if row["model"] == model]
                rate = chosen(own, model).rate
                for name in [f"Adam {share:.0%} + L-BFGS-B" for share in SHARES] + list(OPTIONS):
                    cell(model, seed, name, rate, make)
                continue
            for name, rate in judged(chosen(list(_here(cells)), model)).items():
                cell(model, seed, name, rate, make)
    return 0


def named(name: str, names: str) -> bool:
    """Whether a contender is one of those of ``--names``, which are all where there are none."""
    return any(name == one[1:] if one.startswith("=") else name.startswith(one) for one in names.split(";"))


def _here(cells: Cells) -> list[Run]:
    """Return the runs of this setting."""
    return [row for row in cells.runs.values() if all(row[k] == value for k, value in cells.setting.items())]


def sizes() -> str:
    """Return a table of the parameters of all models, and the overdetermination they give."""
    lines = ["| model | MNIST | CIFAR-10 | CIFAR-100 | reduced |", "| --- | --- | --- | --- | --- |"]
    for model in MODELS:
        cells = []
        for samples, outputs, colours in ((60000, 10, 1), (50000, 10, 3), (50000, 100, 3)):
            many = count(model, FULL, colours, outputs)
            cells.append(f"{many:,}, Q {samples * outputs / many:.1f}")
        many = count(model, REDUCED, 1, 10)
        cells.append(f"{many:,}, Q {REDUCED.samples * 10 / many:.1f}")
        lines.append(f"| {model} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
