"""The tables of speed from what `speed.py` has written, a section at a time.

python benchmarks/speed_report.py --keep RESULTS.json         # into benchmarks/speed.json, sections it has
python benchmarks/pages.py speed_report                       # into the page
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from arena import ratio, table
from conditions import said
from pages import by_lines, paragraphs, plain, run_report

KEPT = Path(__file__).with_name("speed.json")
Section = dict[str, Any]


def rounded(value: Any) -> Any:
    """Four digits of every number in a section, versions and dates as they are."""
    if isinstance(value, dict):
        return {key: item if key == "conditions" else rounded(item) for key, item in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


# ---- what is kept of a section

STEPS = ("twophase", "torch fused", "optax jit", "NumPy")
STEP_RIVALS = ("torch fused", "torch kernel", "optax jit")
MANY, SINGLE = "multistart, 1 thread", "minimize, numba"
NLOPT = ("nlopt LD_LBFGS", "nlopt LD_LBFGS, 10 pairs")
TINY_RIVALS = ("scipy CG", "scipy L-BFGS-B", *NLOPT)


def keep_adam(section: Section) -> Section:
    """Microseconds a step; ratios to ours round by round; ours over seven streams at copy speed."""
    rows = {}
    for name, measured in section["rounds"].items():
        times = measured["seconds"]
        copied = [7 / 6 * min(pair) for pair in zip(times["copy"], times["copy, 2 threads"], strict=True)]
        rows[name] = {
            "us": {who: 1e6 * statistics.median(times[who]) for who in STEPS},
            "over ours": {who: ratio(times[who], times["twophase"]) for who in STEP_RIVALS},
            "over copy": ratio(times["twophase"], copied),
        }
    return {"conditions": section["conditions"], "rows": rows}


def keep_tiny(section: Section) -> Section:
    """Microseconds a solve, ratios to ours round by round, evaluations; what a run costs beyond."""
    problems = {}
    for name, measured in section["problems"].items():
        times, reports = measured["seconds"], measured["reports"]
        problems[name] = {
            "us": {who: 1e6 * statistics.median(seconds) for who, seconds in times.items()},
            "over": {
                ours: {who: ratio(times[who], times[ours]) for who in TINY_RIVALS} for ours in (MANY, SINGLE)
            },
            "calls": {who: [report["nfev"], report["njev"]] for who, report in reports.items()},
        }
    overhead = {
        who: [1e6 * statistics.median(shares), 1e6 * min(shares)]
        for who, shares in section["overhead"].items()
    }
    return {"conditions": section["conditions"], "problems": problems, "overhead": overhead}


def keep_multistart(section: Section) -> Section:
    """Fits a second, with quartiles; ratios to ours round by round; how good the fits are."""
    speeds = {
        who: [section["counts"][who] / s for s in seconds] for who, seconds in section["seconds"].items()
    }
    ours = speeds["fits, 2 threads"]
    rows = {
        who: {
            "fits": section["counts"][who],
            "a second": statistics.quantiles(speed, n=4),
            "ours over it": ratio(ours, speed),
            **section["quality"][who],
            "first": section["first"][who],
        }
        for who, speed in speeds.items()
    }
    return {"conditions": section["conditions"], "rows": rows}


def keep_growth(section: Section) -> Section:
    """Microseconds an iteration, and vectors as traced and as resident, by engine and method, and by size."""
    rows: dict[str, dict[str, list[float]]] = {}
    for name, measured in section["runs"].items():
        kind, _, n = name.rpartition(" ")
        seconds = statistics.median(run["iteration"] for run in measured["runs"])
        vectors = [measured["memory"][field] / 8 / int(n) for field in ("peak", "rss")]
        rows.setdefault(kind, {})[n] = [1e6 * seconds, *vectors]
    return {"conditions": section["conditions"], "rows": rows}


KEEP: dict[str, Callable[[Section], Section]] = {
    "adam": keep_adam,
    "tiny": keep_tiny,
    "multistart": keep_multistart,
    "growth": keep_growth,
    "first-call": lambda section: section,
}


def keep(saved: dict[str, Section]) -> None:
    """Enter the sections of a run."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    kept |= {name: rounded(KEEP[name](section)) for name, section in saved.items() if name in KEEP}
    KEPT.write_text(by_lines(kept, "},"))


# ---- the tables


def figure(value: float) -> str:
    """Three digits; two of what is below a hundred."""
    return plain(value, 3 if abs(value) >= 100 else 2)


def span(values: Sequence[float]) -> str:
    """From the least to the greatest."""
    low, high = figure(min(values)), figure(max(values))
    return low if low == high else f"{low} to {high}"


def power(n: str) -> str:
    """Write a size as a power of ten."""
    return f"{float(n):.0e}".replace("e+0", "e")


def adam_table(section: Section) -> str:
    """Microseconds a step, and ratios."""
    rows = []
    for name, row in section["rows"].items():
        kind, n = name.split()
        ratios = [row["over ours"]["torch fused"], row["over ours"]["optax jit"], row["over copy"]]
        rows.append([kind, power(n), *(figure(row["us"][who]) for who in STEPS), *map(figure, ratios)])
    rows.sort(key=lambda row: (row[0] != "float64", float(row[1])))
    head = ["dtype", "n", "ours", "PyTorch fused", "optax jit", "NumPy"]
    return table([*head, "PyTorch / ours", "optax / ours", "over copy"], rows)


def kernel_alone(section: Section) -> str:
    """Say how PyTorch's kernel alone compares."""
    ratios = {name: row["over ours"]["torch kernel"] for name, row in section["rows"].items()}
    large = [value for name, value in ratios.items() if int(name.split()[1]) >= 1e5]
    return (
        f"PyTorch's kernel alone (`torch._fused_adam_`, which no user calls) takes {span(large)} times "
        "as long as our step from n = 1e5 on."
    )


PROBLEMS = {
    "rosen2": "Rosenbrock, n = 2",
    "rosen10": "n = 10",
    "rosen100": "n = 100",
    "fit5": "curve fit, 5 parameters, 100 points",
}
SOLVERS = {
    "scipy CG": "SciPy CG",
    "scipy L-BFGS-B": "SciPy L-BFGS-B",
    "nlopt LD_LBFGS": "NLopt LD_LBFGS, its own memory",
    "nlopt LD_LBFGS, 10 pairs": "NLopt LD_LBFGS, 10 pairs",
    "minimize, python, CG": "`minimize`, `engine='python'`, `'CG'` (the default for Python objectives)",
    "minimize, python": "`minimize`, `engine='python'`, `'memory-cg'`",
    "minimize, numba": "`minimize`, `engine='numba'`",
    "multistart, 1 thread": "`multistart`, 1 thread",
}


def tiny_table(section: Section) -> str:
    """Microseconds a solve, and evaluations."""
    problems = section["problems"]
    rows = [
        [label, *(figure(problems[name]["us"][who]) for name in PROBLEMS)] for who, label in SOLVERS.items()
    ]
    for who in ("scipy CG", "scipy L-BFGS-B", "nlopt LD_LBFGS, 10 pairs", "minimize, numba"):
        calls = [problems[name]["calls"][who] for name in PROBLEMS]
        label = "`memory-cg`, both engines" if who == "minimize, numba" else SOLVERS[who]
        rows.append([f"values + gradients: {label}", *(f"{f:.0f} + {g:.0f}" for f, g in calls)])
    return table(["", *PROBLEMS.values()], rows)


def over(section: Section, ours: str, who: str) -> list[float]:
    """Their time over ours, by problem; of NLopt's two settings the faster one."""
    rivals = NLOPT if who == "nlopt" else (who,)
    return [min(section["problems"][name]["over"][ours][rival] for rival in rivals) for name in PROBLEMS]


def ratio_table(section: Section) -> str:
    """Their time over ours."""
    pairs = [
        ("scipy CG", MANY, "SciPy CG / `multistart`"),
        ("scipy L-BFGS-B", MANY, "SciPy L-BFGS-B / `multistart`"),
        ("nlopt", MANY, "NLopt, the faster setting / `multistart`"),
        ("scipy CG", SINGLE, "SciPy CG / `minimize`, `engine='numba'`"),
        ("scipy L-BFGS-B", SINGLE, "SciPy L-BFGS-B / `minimize`, `engine='numba'`"),
        ("nlopt", SINGLE, "NLopt, the faster setting / `minimize`, `engine='numba'`"),
    ]
    rows = [[label, *map(figure, over(section, ours, who))] for who, ours, label in pairs]
    return table(["", *PROBLEMS.values()], rows)


OVERHEAD = {
    "SciPy CG": ("scipy CG", "scipy CG, Python objective"),
    "SciPy L-BFGS-B": ("scipy L-BFGS-B", "scipy L-BFGS-B, Python objective"),
    "NLopt, 10 pairs": ("nlopt LD_LBFGS, 10 pairs", None),
    "`minimize`, numba": ("minimize, numba", None),
    "`multistart`, 1 thread": ("multistart, 1 thread", None),
    "`minimize`, Python, memory-cg": ("minimize, python", "minimize, memory-cg, Python objective"),
    "`minimize`, Python, SciPy's CG": ("minimize, python, CG", "minimize, CG, Python objective"),
}


def overhead_table(section: Section) -> str:
    """Microseconds an evaluation beyond the objective."""
    found = section["overhead"]
    rows = []
    for label, names in OVERHEAD.items():
        cells = [f"{figure(found[who][0])} (best {figure(found[who][1])})" if who else "" for who in names]
        rows.append([label, *cells])
    return table(["", "compiled objective", "objective in Python (SciPy's `rosen`)"], rows)


FITS = {
    "fits, 2 threads": "`multistart`, 2 threads",
    "fits, 1 thread": "`multistart`, 1 thread",
    "scipy L-BFGS-B, 2 processes": "SciPy L-BFGS-B, 2 processes",
    "nlopt LD_LBFGS, 2 processes": "NLopt LD_LBFGS, 2 processes",
    "jax BFGS, vmap": "JAX BFGS under vmap and jit",
    "optimistix BFGS, vmap": "Optimistix BFGS under vmap and jit",
}


def fits_table(section: Section) -> str:
    """Fits a second, and how good they are."""
    rows = []
    for who, label in FITS.items():
        r = section["rows"][who]
        low, middle, high = map(plain, r["a second"])
        shares = [f"{100 * r[mark]:.1f} %" for mark in ("gradient test", "at the best")]
        speed = f"{middle} ({low}-{high})"
        rows.append([label, f"{r['fits']:,}", speed, figure(r["ours over it"]), *shares, figure(r["first"])])
    head = ["", "fits timed", "fits a second", "ours, 2 threads, over it", "max gradient <= 1e-5"]
    return table([*head, "f within 1e-4 of the best", "set-up and first call, s"], rows)


WITHOUT_PAIRS = "memory-cg, memory 0, precondition=None"


def growth_of(section: Section, engine: str, method: str = WITHOUT_PAIRS) -> dict[str, list[float]]:
    """Microseconds an iteration, vectors traced and resident, by size in order."""
    rows = section["rows"][f"{engine} {method}"]
    return {n: rows[n] for n in sorted(rows, key=int)}


def growth_table(section: Section) -> str:
    """Time and memory by the number of variables."""
    python, numba = growth_of(section, "python"), growth_of(section, "numba")
    rows = []
    for n in python:
        (time, traced, _), (compiled, vectors, resident) = python[n], numba[n]
        cells = [figure(time), figure(1e3 * time / int(n)), f"{traced:.1f}"]
        cells += [figure(compiled), figure(1e3 * compiled / int(n)), f"{vectors:.1f} ({resident:.1f})"]
        rows.append([power(n), *cells])
    head = ["n", "Python: us an iteration", "ns an entry", "vectors", "numba: us an iteration"]
    return table([*head, "ns an entry", "vectors (resident)"], rows)


def growth_said(section: Section) -> str:
    """Say how time grows, and what the defaults keep."""
    slopes = []
    for engine in ("python", "numba"):
        rows = growth_of(section, engine)
        sizes, times = np.log([int(n) for n in rows]), np.log([row[0] for row in rows.values()])
        slopes.append(np.polyfit(sizes, times, 1)[0])
    vectors = {
        method: [row[1] for n, row in growth_of(section, "python", method).items() if int(n) >= 1e4]
        for method in ("CG", "memory-cg")
    }
    return (
        f"The log-log slope of the time is {slopes[0]:.2f} (Python) and {slopes[1]:.2f} (numba). With the "
        f"defaults the pairs come on top: from n = 1e4 on SciPy's CG in scaled variables takes "
        f"{span(vectors['CG'])} vectors, `memory-cg` {span(vectors['memory-cg'])}, both bounded."
    )


FIRST = {
    "Python": "objective in Python, import of Numba included where it is needed",
    "C": "objective in C, the same",
    "@njit": "`@njit` objective",
    "@njit(cache=True)": "`@njit(cache=True)` objective",
}


def first_table(section: Section) -> str:
    """Processor seconds of first calls."""
    states = [f"{kernels}, {state}" for kernels in ("Numba", "extension") for state in ("cold", "warm")]
    rows = [
        [label, *(figure(section["medians"][name][state]) for state in states)]
        for name, label in FIRST.items()
    ]
    return table(["", "compiled by Numba: cold", "warm", "with the extension: cold", "warm"], rows)


def verdicts(kept: dict[str, Section]) -> str:
    """Sum the sections up."""
    adam, tiny, many = kept["adam"]["rows"].values(), kept["tiny"], kept["multistart"]["rows"]
    torch, optax = (span([row["over ours"][who] for row in adam]) for who in ("torch fused", "optax jit"))
    cg, lbfgs = (span(over(tiny, MANY, who)) for who in TINY_RIVALS[:2])
    nlopt, single = (span(over(tiny, ours, "nlopt")) for ours in (MANY, SINGLE))
    rivals = {"SciPy": "scipy L-BFGS-B, 2 processes", "NLopt": "nlopt LD_LBFGS, 2 processes"}
    rivals["Optimistix"] = "optimistix BFGS, vmap"
    fits = ", ".join(f"{figure(many[who]['ours over it'])} times {name}" for name, who in rivals.items())
    vectors = [list(growth_of(kept["growth"], engine).values())[-1][1] for engine in ("python", "numba")]
    first = kept["first-call"]["medians"].values()
    ahead = span([row["extension, warm"] for row in first])
    cold = span([row["Numba, cold"] for row in first])
    rows = [
        ["a step of Adam, one thread", f"PyTorch's fused one takes {torch} times as long, optax's {optax}"],
        ["small problems, compiled, in one call", f"SciPy's CG takes {cg} times as long, L-BFGS-B {lbfgs}"],
        ["the same beside NLopt", f"{nlopt} times as long; beside a single `minimize` {single}"],
        [f"{many['fits, 2 threads']['fits']:,} curve fits", fits],
        ["memory", f"{vectors[0]:.0f} vectors in Python, {vectors[1]:.0f} compiled, without pairs"],
        ["the first call", f"{ahead} s with the extension on the disk; {cold} s where Numba compiles"],
    ]
    return table(["what", "verdict"], rows)


def tables() -> dict[str, str]:
    """Return the parts of the page by the names of their places."""
    kept: dict[str, Section] = json.loads(KEPT.read_text())
    adam, tiny, first = kept["adam"], kept["tiny"], kept["first-call"]
    built = f"The extension took {first['build']:.0f} seconds of processor time to build. "
    parts = {
        "verdicts": [verdicts(kept)],
        "adam": [adam_table(adam), kernel_alone(adam), said(adam["conditions"])],
        "tiny": [tiny_table(tiny), "Their time over ours, by rounds:", ratio_table(tiny)],
        "overhead": [overhead_table(tiny), said(tiny["conditions"])],
        "fits": [fits_table(kept["multistart"]), said(kept["multistart"]["conditions"])],
        "growth": [
            growth_table(kept["growth"]),
            growth_said(kept["growth"]),
            said(kept["growth"]["conditions"]),
        ],
        "first": [first_table(first), built + said(first["conditions"])],
    }
    return {f"speed-{name}": paragraphs(*texts) for name, texts in parts.items()}


if __name__ == "__main__":
    raise SystemExit(run_report(str(__doc__), "results of speed.py", keep))
