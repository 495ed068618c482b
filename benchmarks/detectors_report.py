"""Tables and pictures of `detectors.py` from its saved results; written into docs/detectors.md."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pages import differing

FLOOR = 1e-6
Records = list[dict[str, Any]]
GROUPS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "example 1": lambda t: t["family"] == "example 1",
    "example 2": lambda t: t["family"] == "example 2",
    "CUTEst": lambda t: t["family"] == "CUTEst",
    "digits, mse": lambda t: t["family"] == "digits" and t["loss"] == "mse",
    "digits, cross-entropy": lambda t: t["family"] == "digits" and t["loss"] == "cross_entropy",
}
STREAMS = (("adam", "whole"), ("mini-batch", "whole"), ("mini-batch", "batch"), ("cg", "whole"))
STREAM_NAMES = {
    ("adam", "whole"): "Adam, whole data",
    ("mini-batch", "whole"): "Adam, mini-batches, whole-data readings",
    ("mini-batch", "batch"): "Adam, mini-batches, mean batch readings",
    ("cg", "whole"): "CG from the start",
}


# -------------------------------------------------------------------------------------------- the measures


def convex(record: dict[str, Any], tau: float) -> list[bool | None]:
    """Whether the Hessian is numerically positive semidefinite, at every time measured; None if unknown."""
    return [
        None if low is None or high is None else high > 0 and low >= -tau * high
        for low, high in zip(record["lambda_min"], record["lambda_max"], strict=True)
    ]


def entry(record: dict[str, Any], tau: float) -> int | None:
    """Index (into the times) from which on the trajectory stays convex; None if it ends non-convex."""
    states = convex(record, tau)
    if not states or not states[-1]:
        return None
    index = len(states) - 1
    while index > 0 and states[index - 1]:
        index -= 1
    return index


def swap_place(record: dict[str, Any], stream: str, rule: str) -> int | None:
    at = record["swaps"][stream][rule]
    return None if at is None else record["times"].index(at)


def lowest(records: Records) -> dict[str, float]:
    """Lowest loss seen by anything, per objective and start."""
    lows: dict[str, float] = defaultdict(lambda: math.inf)
    for record in records:
        runs = record["finals"] if "finals" in record else record["worth"]
        seen = [f for finals in runs.values() for f in finals.values()]
        seen += record["losses"]
        lows[objective(record)] = min([lows[objective(record)], *[f for f in seen if f is not None]])
    return dict(lows)


def objective(record: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in record["task"].items() if key != "mode")


def excess(record: dict[str, Any], final: float | None, low: float) -> float:
    start = record["losses"][0]
    if final is None or start is None or not start > low:
        return math.nan
    return FLOOR + max(final - low, 0.0) / (start - low)


def regret(record: dict[str, Any], method: str, at: int | None, low: float) -> float:
    """Log10 of the excess after a swap at reading `at`, over the oracle's."""
    finals = record["worth"][method]
    best = min(excess(record, final, low) for final in finals.values())
    own = excess(record, finals["never" if at is None else str(at)], low)
    return math.log10(own / best) if best > 0 else math.nan


def wilson(successes: int, trials: int) -> tuple[float, float, float]:
    """Return a proportion with its 95 % interval (Wilson's)."""
    if trials == 0:
        return (math.nan, math.nan, math.nan)
    z, p = 1.959964, successes / trials
    middle = (p + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials))
    return (p, max(middle - half, 0.0), min(middle + half, 1.0))


def bootstrap(values: Sequence[float], statistic: Callable[..., Any] = np.mean) -> tuple[float, float, float]:
    """Return a statistic with its 95 % percentile interval over 2,000 seeded resamples."""
    good = np.array([value for value in values if math.isfinite(value)])
    if good.size == 0:
        return (math.nan, math.nan, math.nan)
    picks = np.random.default_rng(0).integers(0, good.size, (2000, good.size))
    spread = statistic(good[picks], axis=1)
    return (float(statistic(good)), *map(float, np.percentile(spread, (2.5, 97.5))))


# -------------------------------------------------------------------------------------------------- tables


def _percent(triple: tuple[float, float, float]) -> str:
    return (
        "–"
        if math.isnan(triple[0])
        else f"{100 * triple[0]:.0f} [{100 * triple[1]:.0f}, {100 * triple[2]:.0f}]"
    )


def _number(triple: tuple[float, float, float]) -> str:
    return "–" if math.isnan(triple[0]) else f"{triple[0]:.2f} [{triple[1]:.2f}, {triple[2]:.2f}]"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def _rules(records: Records, stream: str, fixed: bool) -> list[str]:
    names = list(next(iter(records))["swaps"][stream])
    return names if fixed else [n for n in names if not n.startswith(("always", "never", "fixed"))]


def accuracy_table(records: Records, stream: str, tau: float) -> str:
    """One row a rule: how often it swaps, and what the Hessian says there and afterwards."""
    rows = []
    for rule in _rules(records, stream, fixed=False):
        places = [swap_place(record, stream, rule) for record in records]
        there, later, along, lags, missed, false = [], [], [], [], 0, 0
        entered = 0
        for record, place in zip(records, places, strict=True):
            states, first = convex(record, tau), entry(record, tau)
            entered += first is not None
            if place is None:
                missed += first is not None
                continue
            if states[place] is not None:
                there.append(states[place])
                false += not states[place]
                after = [state for state in states[place:] if state is not None]
                later.append(float(np.mean(after)))
                curvature = record["along_gradient"][place]
                along.append(curvature is not None and curvature > 0)
            if first is not None:
                lags.append(record["costs"][place] - record["costs"][first])
        quartiles = np.percentile(lags, (50, 25, 75)) if lags else None
        rows.append(
            (
                rule,
                _percent(wilson(sum(place is not None for place in places), len(places))),
                _percent(wilson(sum(there), len(there))),
                _percent(bootstrap(later)),
                _percent(wilson(sum(along), len(along))),
                _percent(wilson(false, len(places))),
                "–" if entered == 0 else _percent(wilson(missed, entered)),
                "–" if quartiles is None else "{:+.0f} [{:+.0f}, {:+.0f}]".format(*quartiles),
            )
        )
    head = ("rule", "swaps %", "convex at the swap %", "convex afterwards %", "g'Hg > 0 at the swap %",
            "false swaps %", "missed %", "lag: median [quartiles]")  # fmt: skip
    return _table(head, rows)


def regrets(records: Records, stream: str, method: str, lows: dict[str, float]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for rule in _rules(records, stream, fixed=True):
        found[rule] = [
            regret(record, method, record["swaps"][stream][rule], lows[objective(record)])
            for record in records
            if method in record["worth"]
        ]
    return found


def worth_table(
    records: Records, mode: str, stream: str, method: str, lows: dict[str, float]
) -> tuple[str, dict]:
    """One row a rule, one column a group: mean regret; the last column is the mean over the groups."""
    columns: dict[str, dict[str, list[float]]] = {}
    for group, member in GROUPS.items():
        own = [r for r in records if r["task"]["mode"] == mode and member(r["task"]) and method in r["worth"]]
        if own:
            columns[group] = regrets(own, stream, method, lows)
    if not columns:
        return "", {}
    overall = {
        rule: _over_groups([columns[group][rule] for group in columns])
        for rule in next(iter(columns.values()))
    }
    order = sorted(overall, key=lambda rule: overall[rule][0])
    rows = [
        (rule, *[_number(bootstrap(columns[group][rule])) for group in columns], _number(overall[rule]))
        for rule in order
    ]
    return _table(("rule", *columns, "mean over columns"), rows), overall


def _over_groups(groups: list[list[float]]) -> tuple[float, float, float]:
    """Mean of the groups' means, resampled within every group."""
    rng, means = np.random.default_rng(0), []
    spread = np.zeros(2000)
    for values in groups:
        good = np.array([value for value in values if math.isfinite(value)])
        means.append(good.mean())
        spread += good[rng.integers(0, good.size, (2000, good.size))].mean(axis=1) / len(groups)
    return (float(np.mean(means)), *map(float, np.percentile(spread, (2.5, 97.5))))


def paired_table(
    records: Records, streams: Sequence[tuple[str, str]], lows: dict[str, float], base: str
) -> str:
    """Every rule against `base` on the same trajectories: mean difference in regret, wins and losses."""
    rows = []
    names = _rules(records, "whole", fixed=True)
    for rule in names:
        if rule == base:
            continue
        # A network's streams and convex methods hang together, so networks are what is resampled.
        networks: dict[str, list[float]] = defaultdict(list)
        for mode, stream in streams:
            for record in records:
                if record["task"]["mode"] != mode or record["task"]["family"] != "digits":
                    continue
                low = lows[objective(record)]
                for method in record["worth"]:
                    own, other = (
                        regret(record, method, record["swaps"][stream][r], low) for r in (rule, base)
                    )
                    if math.isfinite(own - other):
                        networks[objective(record)].append(own - other)
        rows.append(
            (
                rule,
                _number(bootstrap([float(np.mean(d)) for d in networks.values()])),
                _percent(bootstrap([float(np.mean(np.array(d) < -0.1)) for d in networks.values()])),
                _percent(bootstrap([float(np.mean(np.array(d) > 0.1)) for d in networks.values()])),
            )
        )
    rows.sort(key=lambda row: float(row[1].split()[0]))
    return _table(("rule", f"regret minus that of {base}", "better %", "worse %"), rows)


def end_to_end_table(records: Records, lows: dict[str, float]) -> str:
    """Mean regret of `minimize` under every rule, one column a setting."""
    blocks = []
    for mode, name in (("minimize", "whole data"), ("minimize mini-batch", "mini-batches (`FiniteSum`)")):
        for loss in ("mse", "cross_entropy"):
            own = [r for r in records if r["task"]["mode"] == mode and r["task"]["loss"] == loss]
            if not own:
                continue
            found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
            for record in own:
                low = lows[objective(record)]
                all_ = {
                    (s, r): excess(record, f, low)
                    for s, fs in record["finals"].items()
                    for r, f in fs.items()
                }
                best = min(all_.values())
                for (setting, rule), value in all_.items():
                    found[rule][setting].append(math.log10(value / best))
            settings = list(own[0]["finals"])
            rows = [(rule, *[_number(bootstrap(found[rule][s])) for s in settings]) for rule in found]
            blocks.append(f"**{name}, {loss.replace('_', '-')}** ({len(own)} networks)\n\n"
                          + _table(("rule", *settings), rows))  # fmt: skip
    return "\n\n".join(blocks) or "(no results)"


def noise_table() -> str:
    """Early swaps and lags on a stream with a known peak."""
    from twophase_min.detector import NormAgainstLossRule, NormPeakMedianRule, NormPeakRule, detect_swap

    rules: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
        "norm-peak (the paper's)": (NormPeakRule, {}),
        "norm-peak, factor 0.5": (lambda: NormPeakRule(0.5), {}),
        "norm-peak, smoothing 0.9": (NormPeakRule, {"smoothing": 0.9}),
        "norm-peak, patience 5": (NormPeakRule, {"patience": 5}),
        "norm-peak-median, window 9, margin 2": (lambda: NormPeakMedianRule(window=9, margin=2.0), {}),
        "norm-peak-median": (NormPeakMedianRule, {}),
        "norm-against-loss, window 15": (lambda: NormAgainstLossRule(15), {}),
        "norm-against-loss": (NormAgainstLossRule, {}),
    }
    k, levels = np.arange(300), (0.02, 0.1, 0.3)
    clean = np.where(k < 100, np.exp(0.01 * k), np.exp(1 - 0.02 * (k - 100)))
    cells: dict[str, list[str]] = {name: [] for name in rules}
    for noise in levels:
        rng = np.random.default_rng(0)
        streams = [
            (
                np.exp(-k / 60 + 0.3 * noise * rng.standard_normal(300)),
                clean * np.exp(noise * rng.standard_normal(300)),
            )
            for _ in range(100)
        ]
        for name, (make, settings) in rules.items():
            found = [detect_swap(losses, norms, make(), **settings).index for losses, norms in streams]
            at = np.array([300 if index is None else index for index in found])
            lag = np.median(at) - 100
            cells[name].append(f"{_percent(wilson(int((at < 100).sum()), at.size))}; {lag:+.0f}")
    head = ("rule", *[f"noise {100 * noise:.0f} %: early %; lag" for noise in levels])
    return _table(head, [(name, *row) for name, row in cells.items()])


def price_table(records: Records) -> str:
    """Hessian products that the truth cost where it was measured by Lanczos."""
    rows = []
    for width in sorted({r["task"]["width"] for r in records if r["task"]["family"] == "digits"}):
        own = [r for r in records if r["task"].get("width") == width]
        products = [p for r in own for p in r["products"]]
        low, middle, high = np.percentile(products, (5, 50, 95))
        rows.append((str(width), str(own[0]["n"]), f"{middle:.0f} [{low:.0f}, {high:.0f}]"))
    return _table(("hidden units", "parameters", "products a point: median [5 %, 95 %]"), rows)


# ------------------------------------------------------------------------------------------------- writing


Means = dict[str, dict[str, tuple[float, float, float]]]


def tables() -> dict[str, str]:
    """Return the tables of the kept results by the names of their places."""
    from detectors import REFERENCE, saved

    return made(list(saved(REFERENCE).values()))[0]


def made(records: Records) -> tuple[dict[str, str], Means]:
    """Make the tables, and what the picture of the regrets shows."""
    lows = lowest(records)
    parts: dict[str, str] = {"noise": noise_table()}
    parts["end-to-end"] = end_to_end_table([r for r in records if "finals" in r], lows)
    records = [r for r in records if "finals" not in r]
    digits = [r for r in records if r["task"]["family"] == "digits"]
    counts = defaultdict(int)
    for record in records:
        counts[record["task"]["family"], record["task"]["mode"]] += 1
    parts["counts"] = _table(
        ("trajectories", "Adam, whole data", "Adam, mini-batches", "CG"),
        [
            (family, *[str(counts.get((family, mode), 0)) for mode in ("adam", "mini-batch", "cg")])
            for family in ("example 1", "example 2", "CUTEst", "digits")
        ],
    )
    for name, family in (
        ("examples", ("example 1", "example 2")),
        ("cutest", ("CUTEst",)),
        ("digits", ("digits",)),
    ):
        blocks = []
        for mode, stream in STREAMS:
            own = [r for r in records if r["task"]["family"] in family and r["task"]["mode"] == mode]
            if own:
                tau = 0.0 if name == "examples" else 0.01
                blocks.append(f"**{STREAM_NAMES[mode, stream]}** ({len(own)} trajectories, tau = {tau:g})\n\n"
                              + accuracy_table(own, stream, tau))  # fmt: skip
        parts[f"accuracy-{name}"] = "\n\n".join(blocks) or "(no results)"
    if digits:
        own = [r for r in digits if r["task"]["mode"] == "adam"]
        parts["accuracy-digits-loose"] = "**Adam, whole data**, tau = 0.1\n\n" + accuracy_table(
            own, "whole", 0.1
        )
        parts["price"] = price_table(digits)
        parts["paired"] = paired_table(records, STREAMS[:3], lows, "norm-peak (the paper's)")
    overall: Means = {}
    for method in ("CG", "L-BFGS-B"):
        blocks = []
        for mode, stream in STREAMS[:3]:
            table, means = worth_table(records, mode, stream, method, lows)
            if table:
                blocks.append(f"**{STREAM_NAMES[mode, stream]}**\n\n{table}")
                overall[f"{STREAM_NAMES[mode, stream]}; {method}"] = means
        parts[f"worth-{method.lower()}"] = "\n\n".join(blocks) or "(no results)"
    return parts, overall


def write(records: Records, docs: Path) -> None:
    """Write every table between its marks in the pages of the detectors, and the pictures beside them."""
    if not records:
        print("there are no results yet")
        return
    parts, overall = made(records)
    whole = docs / "detectors_tables.md"
    if not whole.exists():
        whole.write_text("\n".join(f"<!-- {p} -->\n<!-- end -->\n" for p in parts))
    for page, text in differing(parts, docs).items():
        page.write_text(text, encoding="utf-8")
    draw(
        [r for r in records if r["task"]["family"] == "digits" and "finals" not in r],
        lowest(records),
        overall,
        docs,
    )
    print(f"{len(records)} trajectories: {whole}")


def draw(digits: Records, lows: dict[str, float], overall: Means, docs: Path) -> None:
    """Draw the pictures."""
    import matplotlib

    matplotlib.use("Agg")
    from detectors_pictures import curvature_picture, oracle_picture, regret_picture

    pictures = docs / "images"
    pictures.mkdir(parents=True, exist_ok=True)
    if digits:
        curvature_picture(digits, pictures / "detectors_curvature.png")
        oracle_picture(digits, lows, pictures / "detectors_oracle.png")
        regret_picture(overall, pictures / "detectors_regret.png")
