"""What each constant of the guard is worth: it at half and at twice its value, the rest as they are.

One command runs everything::

    python benchmarks/guard_ablation.py

Judged are the price and the gain. The price: evaluations until a run stops, with the guard over without, on
half A of the everyday problems (`everyday_problems.py`; geometric mean, worst, problems above 1.5). The gain:
networks that the convex method alone leaves at a poor stationary point (`guard.py`: digits, squared error,
without and with weight decay, seeds that no constant was chosen on), as the share of the budget that the run
is behind the better of its two phases (mean, and runs more than a fifth behind). Both with memory-cg. A value
and a gradient cost one evaluation each. Everything goes to ``results/guard_ablation.json``, from which
`guard_ablation_report.py` makes the table of the page.
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import conditions  # noqa: E402
import everyday_problems  # noqa: E402
import guard  # noqa: E402  (the neighbour; it finds the package in a checkout)
import numpy as np  # noqa: E402

BUDGET, EVERYDAY_BUDGET = 1200, 20_000
FACTORS = (0.5, 2.0)
MEMORY_CG = "twophase+memory-cg"
AS_IT_IS = "all at their values"


def stop_of(name: str, guarded: bool) -> tuple[int, bool]:
    """Return the evaluations until a run on an everyday problem stops, and whether it succeeded."""
    from twophase_min import minimize

    problem = everyday_problems.Problem(name)
    options = {"convex_method": "memory-cg", "guard": guarded, "gtol": 1e-5, "maxiter": 10**6}
    options["maxfun"] = EVERYDAY_BUDGET // 2
    with np.errstate(all="ignore"):
        r = minimize(problem.fun, problem.x0, jac=problem.grad, options=options)
    return r.nfev + r.njev, bool(r.success)


def network(l2: float, seed: int, method: str) -> Any:
    """Train one network of `guard.py`; answers its curve."""
    return guard.train("digits", "mse", seed, method, (), BUDGET, l2)


def measure(task: tuple[dict[str, float], list[str], list[int], Any]) -> dict[str, float]:
    """Judge the guard with these constants."""
    from twophase_min.run.state import LOOP

    constants, names, seeds, known = task
    with LOOP.preset(guard=constants):
        runs = [(stop_of(name, True), known["stop"][name]) for name in names]
        ratios = [made[0] / alone[0] for made, alone in runs if made[1] and alone[1]]
        late = []
        for l2, seed in ((l2, seed) for l2 in (0.0, 1e-4) for seed in seeds):
            run, rivals = network(l2, seed, MEMORY_CG), known["nets"][l2, seed]
            tie = guard.TIE * rivals[0]["f"][0]
            curves = [(r["evals"], r["f"]) for r in rivals]
            late.append(guard.behind((run["evals"], run["f"]), curves, BUDGET, tie))
    return {
        "price": float(np.exp(np.mean(np.log(ratios)))),
        "worst": max(ratios),
        "above": sum(r > 1.5 for r in ratios),
        "solved": sum(made[1] for made, _ in runs),
        "behind": float(np.mean(late)),
        "late": sum(b > guard.LIMIT for b in late),
    }


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; see ``--help``."""
    from twophase_min.run.guard import GUARD

    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seeds", default="10,11,12,13,14", help="comma-separated, of the networks")
    parser.add_argument("--constants", help="comma-separated; all of them by default")
    parser.add_argument("--half", default="A", help="of the everyday problems")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--out", type=Path, default=guard.HERE / "results" / "guard_ablation.json")
    args = parser.parse_args(argv)

    began = conditions.begun()
    names = list(everyday_problems.names(args.half))
    seeds = [int(seed) for seed in args.seeds.split(",")]
    view = GUARD.view(GUARD.new())
    initial = {field.name: float(getattr(view, field.name)) for field in GUARD.fields}
    wanted = args.constants.split(",") if args.constants else list(initial)
    unknown = sorted(set(wanted) - set(initial))
    if unknown:
        parser.error(f"unknown constants {', '.join(unknown)}; known: {', '.join(initial)}")
    with ProcessPoolExecutor(args.jobs) as pool:
        stops = pool.map(stop_of, names, [False] * len(names))
        cells = [(l2, seed, m) for l2 in (0.0, 1e-4) for seed in seeds for m in ("adam", "memory-cg")]
        nets = dict(zip(cells, pool.map(network, *zip(*cells, strict=True)), strict=True))
        known = {
            "stop": dict(zip(names, stops, strict=True)),
            "nets": {(l2, seed): [nets[l2, seed, m] for m in ("adam", "memory-cg")] for l2, seed, _ in cells},
        }
        changes: list[dict[str, float]] = [{}] + [
            {name: factor * initial[name]} for name in wanted for factor in FACTORS
        ]
        judged: dict[str, dict[str, float]] = {}
        tasks = [(change, names, seeds, known) for change in changes]
        for change, r in zip(changes, pool.map(measure, tasks), strict=True):
            label = ", ".join(f"{name} {value:.3g}" for name, value in change.items()) or AS_IT_IS
            print(f"{label}: {r}", flush=True)
            judged[label] = r
    result = {
        "conditions": conditions.ended(began),
        "problems": len(names),
        "runs": 2 * len(seeds),
        "judged": judged,
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
