"""`curve_fit` beside SciPy's on NIST's reference sets for nonlinear regression.

For both official starts of all 27 sets: correct digits of the worst parameter and of the worst standard
error (NIST certifies 11), and the calls of the model, derivatives by any means included. A fit counts as a
success from `--digits` correct digits of all parameters on, terms of one form in any order.

::

    python benchmarks/nist.py               # every fit, in Markdown
    python benchmarks/nist.py --only MGH10  # one set

Digits and calls go to ``results/nist.json``, from which `nist_report.py` makes the table of the page.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.optimize

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / folder) for folder in ("", "tests")]

import conditions  # noqa: E402
import nist  # noqa: E402

import twophase_min  # noqa: E402


def untraced(model: Callable[..., Any]) -> Callable[..., Any]:
    """Return the model with parameters that must be floats, so that nothing but values is to be had."""
    return lambda x, *b: model(x, *map(float, b))


def ours(reference: nist.Reference, start: np.ndarray) -> Any:
    from autograd import numpy as traced

    return twophase_min.curve_fit(
        reference.model(traced), reference.x, reference.y, start, full_output=True
    )  # fmt: skip


def ours_by_values(reference: nist.Reference, start: np.ndarray) -> Any:
    model = untraced(reference.model())
    return twophase_min.curve_fit(model, reference.x, reference.y, start, full_output=True)


def scipys(reference: nist.Reference, start: np.ndarray) -> Any:
    model = untraced(reference.model())
    return scipy.optimize.curve_fit(model, reference.x, reference.y, start, full_output=True)


def scipys_tight(reference: nist.Reference, start: np.ndarray) -> Any:
    model, tight = untraced(reference.model()), {"ftol": 1e-15, "xtol": 1e-15, "gtol": 0.0, "maxfev": 100_000}
    return scipy.optimize.curve_fit(model, reference.x, reference.y, start, full_output=True, **tight)


def scipys_with_autograd(reference: nist.Reference, start: np.ndarray) -> Any:
    from autograd import numpy as traced

    model = reference.model(traced)
    forward = jacobian_by_columns(lambda b: model(reference.x, *[b[i] for i in range(start.size)]))
    tight = {"ftol": 1e-15, "xtol": 1e-15, "gtol": 0.0, "maxfev": 100_000}
    return scipy.optimize.curve_fit(
        model,
        reference.x,
        reference.y,
        start,
        jac=lambda x, *b: forward(np.array(b)),
        full_output=True,
        **tight,
    )


def jacobian_by_columns(function: Callable[..., Any]) -> Callable[..., Any]:
    """Autograd's forward mode: a call of the function a column, as `curve_fit` forms Jacobians."""
    from autograd import make_jvp

    return lambda b: np.stack([make_jvp(function)(b)(unit)[1] for unit in np.eye(b.size)], axis=1)


CONTENDERS = {
    "ours, autograd": ours,
    "ours, values": ours_by_values,
    "SciPy lm": scipys,
    "SciPy lm, tolerances 1e-15": scipys_tight,
    "the same, autograd": scipys_with_autograd,
}


def measured(fit: Callable[..., Any], reference: nist.Reference, start: np.ndarray) -> tuple[Any, Any, Any]:
    """Digits of the parameters and of their errors, and calls; None where the fit raised."""
    calls = 0
    model = reference.model

    class Counting:
        name, x, y = reference.name, reference.x, reference.y

        @staticmethod
        def model(numpy: Any = np) -> Callable[..., Any]:
            inner = model(numpy)

            def counted(x: Any, *b: Any) -> Any:
                nonlocal calls
                calls += 1
                return inner(x, *b)

            return counted

    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            found, covariance, *_ = fit(Counting, start)
    except RuntimeError:
        return None, None, calls
    order = nist.order(reference, found)
    errors = np.sqrt(np.diag(covariance))[order]
    return nist.digits(found[order], reference.values), nist.digits(errors, reference.errors), calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", help="sets, separated by commas")
    parser.add_argument("--digits", type=float, default=6.0, help="digits of a success")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "nist.json")
    asked = parser.parse_args()
    names = asked.only.split(",") if asked.only else list(nist.MODELS)
    print("| set | start |", " | ".join(CONTENDERS), "|")
    print("| --- | --- |", " | ".join(["---"] * len(CONTENDERS)), "|")
    began = conditions.begun("autograd")
    rows: dict[str, list[tuple[float, int]]] = {name: [] for name in CONTENDERS}
    fits: dict[str, dict[str, Any]] = {name: {} for name in CONTENDERS}
    for name in names:
        reference = nist.load(name)
        for which, start in enumerate(reference.starts, 1):
            cells = []
            for contender, fit in CONTENDERS.items():
                values, errors, calls = measured(fit, reference, start)
                cells.append(f"none, {calls}" if values is None else f"{values:.1f} / {errors:.1f}, {calls}")
                rows[contender].append((0.0 if values is None else values, calls))
                fits[contender][f"{name}/{which}"] = [values, errors, calls]
            print(f"| {name} | {which} |", " | ".join(cells), "|", flush=True)
    print("\nDigits of parameters / of standard errors, calls of the model.\n")
    for contender, row in rows.items():
        solved = [(digits, calls) for digits, calls in row if digits >= asked.digits]
        print(
            f"{contender}: {len(solved)} of {len(row)} to {asked.digits:g} digits, "
            f"{sum(digits >= 4 for digits, _ in row)} to 4, {sum(digits >= 9 for digits, _ in row)} to 9; "
            f"median digits {np.median([digits for digits, _ in row]):.1f}, "
            f"median calls {np.median([calls for _, calls in row]):.0f}, in all {sum(c for _, c in row)}"
        )
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps({"conditions": conditions.ended(began), "fits": fits}))


if __name__ == "__main__":
    main()
