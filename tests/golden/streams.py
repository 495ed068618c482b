"""Every request of a run, in order: what a change that must not change anything is held against.

A case is a problem, options and an engine. Its stream holds every call of the caller's function (what was
asked, the bytes of x, the bytes of the answer) and then the result: status, message, counts, handovers,
phases, history. Two checkouts behave alike where the streams are equal byte for byte. Only public names are
used.

    python tests/golden/streams.py --write          record anew, into streams.json beside this file
    python tests/golden/streams.py --compare        record, and say which cases differ from streams.json
    python tests/golden/streams.py --dump DIR       keep whole streams, one .npz a case
    python tests/golden/streams.py --against DIR    compare with kept ones: the first request that differs
    ... --only TEXT                                 cases with TEXT in their name

streams.json keeps a checksum for each of some 8 places of a stream, so that ``--compare`` says between which
requests a difference begins. For the request itself, ``--dump`` in one checkout and ``--against`` in the
other.

Equal bytes can be asked for on the same processor with the same libraries only, see `fingerprint`. Elsewhere,
and with ``TWOPHASE_DISABLE_JIT=1``, the portable part is held against: see `differences`.

The reasons that occur are listed in `REASONS`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import platform
import re
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:  # one name for the compiled functions, however this file is started
    sys.path.insert(0, str(HERE.parent))

import collection as problems  # noqa: E402
from golden import objectives  # noqa: E402

from twophase_min import FiniteSum, minimize  # noqa: E402

FILE = HERE / "streams.json"
MARKS = 8
"""Places of a stream of which a checksum is kept."""
LOG_ROWS = 3
"""Requests that a compiled run can write down, for each value that it may ask for."""

# ---- what occurs -------------------------------------------------------------------------------------------

REASONS = {
    "Adam, rejections": "no finite decreasing step along the first direction",
    "Adam, vanished": "the step vanished against x before the objective became smaller, or it and its "
    "gradient finite",
    "Adam, vanishing": "the steps vanish against x",
    "Adam, epochs": "every epoch ended at a non-finite loss, at ever smaller learning rates",
    "Adam, no step": "Adam found no step: ",
    "first": "the convex phase makes the first step; what it brings tells whether Adam is needed",
    "untold": "no swap seen in # evaluations: the guard tries the convex phase",
    "lost trial": "the convex phase reached # in its trial of # evaluations, Adam headed for #",
    "fell short": "the convex phase reached # in its trial of # evaluations, too far above "
    "the # of the one before",
    "stalled": "# evaluations after the handover the convex phase is not on course to converge: at its "
    "recent pace it needs # more; Adam is tried",
    "slow": "# evaluations after the handover the convex phase is slow: at its recent pace it needs # more",
    "back": "; back to the best point, f = #",
    "conjugate gradients, zero": "the gradient is zero",
    "conjugate gradients, precision": "the predicted decrease is below the rounding of f: converged to "
    "working precision",
    "conjugate gradients, no decrease": "no decrease along the steepest descent, though the slope promises "
    "more than rounding: noise in f, a wrong gradient or a discontinuity",
    "conjugate gradients, not finite": "the gradient is not finite",
    "norm-peak": "gradient norm # fell to # of its peak # or below: the loss looks convex",
    "norm-against-loss": "over the last # readings the gradient norm shrinks with the loss",
    "fixed step": "reading # reached the fixed step #",
    "always": "the rule 'always' swaps at every reading",
    "path-curvature": "the last # steps showed curvatures from # to #: the loss looks convex along the path",
    "norm-peak-median": "the median # of the last # gradient norms fell to # of its peak # or below",
    "a callable": "the rule every_tenth answered True",
    "SciPy, precision": "Desired error not necessarily achieved due to precision loss.",
    "SciPy, abnormal": "ABNORMAL",
    "at start": "The start already satisfies it.",
    "value at x0": "The objective is not finite at x#; start from a point where it is defined.",
    "gradient at x0": "The objective is finite at x#, but its gradient is not finite at x#; start from a "
    "point where both are.",
    "only x0": "The objective is finite at x# only; every other point tried is not.",
    "relative gradient": "The relative gradient is #.",
    "no handover": "No handover is left (max_swaps).",
    "ended by": "What ended it: ",
    "kink": "f has a kink here",
    "jump": "f is discontinuous",
    "noise": "f is noisy",
    "wrong gradient": "The gradient looks wrong",
    "agreeing gradient": "The gradient agrees with a difference of f.",
    "edge": "f is not finite on a side of this point, at a distance of #.",
    "resumed, another method": "Resuming was not exact: the state of ",
    "resumed, no excursion": "Resuming was not exact: maxfun had left no room for a trial of Adam",
}
"""Texts, numbers replaced by '#', each of which occurs in a reason or message of at least one stream."""

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|\bnan\b|\binf\b)")


def template(text: str) -> str:
    """Return a text with '#' for every number."""
    return _NUMBER.sub("#", text)


def rounded(text: str) -> str:
    """Return a text with every number at three digits."""
    return _NUMBER.sub(lambda match: f"{float(match[0]):.3g}", text)


# ---- recording ---------------------------------------------------------------------------------------------


Entry = tuple[str, dict[str, np.ndarray]]


class Recorder:
    """Wraps functions so that every call is written down.

    Attributes
    ----------
    entries : list of (str, dict)
        What was asked, and arrays by name: what was handed over and what was answered.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def wrap(self, kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, written down as ``kind``."""

        def asked(*given: Any) -> Any:
            from autograd.tracer import getval, isbox

            asked_for = kind + (" traced" if any(map(isbox, given)) else "")
            arrays = {f"x{i}": np.array(getval(value)) for i, value in enumerate(given)}
            self.entries.append((asked_for, arrays))  # before the call: the function may raise
            answer = function(*given)
            parts = answer if isinstance(answer, tuple) else (answer,)
            arrays |= {f"answer{i}": np.array(getval(part)) for i, part in enumerate(parts)}
            return answer

        return asked


def _read_log(n: int, count: np.ndarray, log: np.ndarray) -> list[Entry]:
    """Return the entries that a compiled run has written, in the form of `Recorder`'s."""
    asked = int(count[0])
    if asked > log.shape[0]:
        raise ValueError(f"{asked} requests do not fit into the log: make LOG_ROWS larger or maxfun smaller")
    entries: list[Entry] = []
    for row in log[:asked]:
        kind, f = int(row[0]), np.array(row[1])
        x, g = row[2 : 2 + n].copy(), row[2 + n :].copy()
        if kind == objectives.VALUE:
            entries.append(("value", {"x0": x, "answer0": f}))
        elif kind == objectives.GRADIENT:
            entries.append(("gradient", {"x0": x, "answer0": g}))
        else:
            entries.append(("both", {"x0": x, "answer0": f, "answer1": g}))
    return entries


def _plain(value: Any) -> Any:
    """Return what JSON can keep exactly: floats as their repr, arrays as hexadecimal bytes."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, np.ndarray):
        return [value.dtype.str, list(value.shape), value.tobytes().hex()]
    if isinstance(value, (float, np.floating)):
        return repr(float(value))
    return value if isinstance(value, (str, bool)) or value is None else int(value)


def told(result: Any) -> dict[str, Any]:
    """Return what a result says, but for times."""
    fields = ("x", "fun", "jac", "status", "success", "message", "nit", "nfev", "njev")
    said = {name: result[name] for name in fields}
    for name in ("nhev", "allvecs", "swaps", "phases", "gradient"):
        said[name] = result.get(name)
    history = result.get("history")
    if history is not None:
        said["history"] = {name: history[name] for name in history.keys() if name not in ("time", "phase")}  # noqa: SIM118
        said["phase"] = history["phase"].tolist()
    return _plain(said)


@dataclass
class Stream:
    """Requests of a case, and what its results say: one result, or more where a run is resumed."""

    entries: list[Entry]
    results: list[dict[str, Any]]

    def lines(self) -> Iterator[bytes]:
        """Yield one line of bytes per request and per result."""
        for kind, arrays in self.entries:
            shapes = [(name, a.dtype.str, a.shape) for name, a in arrays.items()]
            yield json.dumps([kind, shapes]).encode() + b"|" + b"".join(a.tobytes() for a in arrays.values())
        for result in self.results:
            yield json.dumps(result, sort_keys=True).encode()

    def summary(self) -> dict[str, Any]:
        """Return what streams.json keeps."""
        digest, check, marks, lines = hashlib.sha256(), 0, {}, list(self.lines())
        every = max(1, -(-len(self.entries) // MARKS))
        for i, line in enumerate(lines, 1):
            digest.update(len(line).to_bytes(8, "little") + line)
            check = zlib.crc32(line, check)
            if i <= len(self.entries) and i % every == 0:
                marks[str(i)] = f"{check:08x}"
        last = self.results[-1]
        return {
            "sha256": digest.hexdigest(),
            "requests": len(self.entries),
            "status": [result["status"] for result in self.results],
            "message": last["message"],
            "nit": last["nit"],
            "nfev": float(last["nfev"]),
            "njev": float(last["njev"]),
            "reasons": [swap["reason"] for swap in last["swaps"] or []],
            "fun": last["fun"],
            "marks": marks,
        }

    def save(self, path: Path) -> None:
        """Keep the whole stream in an .npz file."""
        lines = list(self.lines())
        ends = np.cumsum([len(line) for line in lines])
        data = np.frombuffer(b"".join(lines), dtype=np.uint8)
        np.savez_compressed(path, data=data, ends=ends, requests=len(self.entries))


def load(path: Path) -> tuple[list[bytes], int]:
    """Return the lines of a stream that was kept, and how many of them are requests."""
    with np.load(path, allow_pickle=False) as saved:
        data, ends = saved["data"].tobytes(), saved["ends"].tolist()
        return [data[a:b] for a, b in zip([0, *ends], ends, strict=False)], int(saved["requests"])


# ---- cases -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One run.

    Parameters
    ----------
    name : str
        Problem, options and engine, or what is special.
    run : callable
        Takes a `Recorder`, runs, and returns the results.
    loose : str
        Why another machine may go another way; '' where it may not.
    """

    name: str
    run: Callable[[Recorder], list[Any]] = field(compare=False)
    loose: str = ""

    def record(self) -> Stream:
        """Run, and return the stream."""
        recorder = Recorder()
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            results = self.run(recorder)
        return Stream(recorder.entries, [told(result) for result in results])


STARTS: dict[str, tuple[str, Any]] = {
    "rosenbrock-2": ("rosenbrock", [-1.2, 1.0]),
    "rosenbrock-10": ("rosenbrock", [-1.2, 1.0] * 5),
    "rosenbrock-50": ("rosenbrock", [-1.2, 1.0] * 25),
    "quadratic-20": ("quadratic", [0.3] * 20),
    "wells": ("wells", [0.05, 0.02, -0.01, 0.3, 0.11]),
    "units": ("units", [3.0, -0.02, 4e-4]),
    "quartic": ("quartic", [1.0, 2.0]),
    "kink": ("kink", [1.1, -0.3]),
    "fence": ("fence", [0.3, 1.0]),
    "beale": ("beale", [1.0, 1.0]),
    "powell": ("powell", [3.0, -1.0, 0.0, 1.0]),
    "wood": ("wood", [-3.0, -1.0, -3.0, -1.0]),
    "trigonometric": ("trigonometric", [0.1] * 10),
    "raised": ("raised", [-1.2 + (i % 7) / 10 for i in range(20)]),
    "raised-400": ("raised", [-1.2 + (i % 7) / 10 for i in range(400)]),
    "raised-3000": ("raised", [-1.2 + (i % 7) / 10 for i in range(3000)]),
    "network": ("network", [0.02 * (-1) ** i * (1 + i % 5) for i in range(16)]),
    "ripples": ("ripples", [5.0, -4.0, 3.3]),
    "bumps": ("bumps", [3.0, 3.0, 3.0, 3.0]),
    "troughs": ("lost", [0.5, -2.0, 3.0]),
    "rough": ("rough", [-1.2, 1.0, -0.5]),
    "noise": ("noise", [-1.2, 1.0, 0.5]),
    "cliff": ("cliff", [-2.0, 3.0]),
    "steps": ("steps", [3.1, -2.2]),
    "wrong": ("wrong", [-1.2, 1.0]),
    "island": ("island", [1.0, 1.0]),
    "island-0": ("island", [0.0, 0.0]),
    "slide": ("slide", [1.0, 1.0]),
    "tiny": ("tiny", [3.0, -2.0]),
    "vast": ("vast", [3.0, -2.0]),
    "far": ("far", [1e20, 1e20]),
    "infinite": ("infinite", [1.0, 1.0]),
    "steep": ("steep", [1.0, 2.0]),
    "ravine": ("ravine", [1.0, 0.9]),
}
"""Problem and start by name."""

ORDINARY = ("rosenbrock-10", "quadratic-20", "wells", "raised", "network")
"""Problems that see every option."""

MANY = {"raised-400": 400, "raised-3000": 150}
"""Problems with more variables than evaluations, which the guard doubts sooner, and their ``maxfun``."""

OWN = {"convex_method": "memory-cg"}
BOTH_ENGINES: dict[str, dict[str, Any]] = {
    "default": {},
    "memory-0": {"convex_options": {"memory": 0}},
    "memory-3": {"convex_options": {"memory": 3, "c2": 0.5}},
    "own-auto": {"convex_options": {"precondition": "auto"}, "precondition": None},
    "plain": {"precondition": None},
    "adam-scales": {"precondition": "adam"},
    "unguarded": {"guard": False},
    "rate": {"learning_rate": 0.01, "maxfun": 250},
    "rates": {"learning_rate": 1e-3, "beta1": 0.5, "beta2": 0.9, "epsilon": 1e-4, "swap": 30},
    "swap-4": {"swap": 4},
    "rate-swap-4": {"learning_rate": 0.01, "swap": 4},
    "swap-30-memory-0": {"learning_rate": 0.3, "swap": 30, "convex_options": {"memory": 0}},
    "never": {"swap": "never", "maxiter": 60},
    "always": {"swap": "always"},
    "norm-against-loss": {"swap": "norm-against-loss", "maxfun": 300},
    "norm-peak": {"swap": "norm-peak"},
    "patience": {"swap": "norm-peak", "swap_patience": 3, "swap_smoothing": 0.5, "swap_factor": 0.7},
    "max-swaps-0": {"max_swaps": 0, "maxiter": 60},
    "max-swaps-1": {"max_swaps": 1},
    "maxfun": {"maxfun": 33},
    "maxiter": {"maxiter": 7},
    "maxiter-0": {"maxiter": 0},
    "gtol-rel": {"gtol_rel": 1e-3, "gtol": 0.0},
    "norm-2": {"norm": 2, "gtol": 1e-9},
    "f-target": {"f_target": 0.5},
    "wolfe": {"c1": 1e-3, "c2": 0.3},
    "to-the-last-digit": {"gtol": 1e-13},
}
"""Options that both engines serve; the convex method is 'memory-cg'."""

HARD_OPTIONS = ("default", "memory-0", "plain", "rate", "swap-30-memory-0", "always", "max-swaps-1")
"""Options that the other problems see."""

PYTHON_ONLY: dict[str, dict[str, Any]] = {
    "CG": {},
    "CG-plain": {"precondition": None},
    "CG-adam-scales": {"precondition": "adam"},
    "CG-unguarded": {"guard": False},
    "CG-rate": {"learning_rate": 0.01},
    "CG-swap-4": {"swap": 4},
    "CG-always": {"swap": "always"},
    "CG-swap-30": {"learning_rate": 0.3, "swap": 30},
    "CG-norm-against-loss": {"swap": "norm-against-loss"},
    "CG-max-swaps-1": {"max_swaps": 1},
    "CG-maxfun": {"maxfun": 33},
    "CG-norm-1": {"norm": 1},
    "path-curvature": {"swap": "path-curvature"},
    "norm-peak-median": {"swap": "norm-peak-median"},
    "BFGS": {"convex_method": "BFGS"},
    "BFGS-always": {"convex_method": "BFGS", "swap": "always"},
    "L-BFGS-B": {"convex_method": "L-BFGS-B"},
    "return-all": {"return_all": True, "maxiter": 20},
}
"""Options that the Python loop serves alone."""
HARD_PYTHON = ("CG", "CG-plain", "CG-swap-30", "CG-always", "BFGS", "L-BFGS-B")

MILDER: dict[str, dict[str, Any]] = {
    "vast": {"max_swaps": 3},  # every further handover fails alike
    "network": {"gtol": 2e-3},  # its last digits take long, and hang on rounding
}
"""Defaults of single problems."""

CHAOTIC = ("kink", "rough", "noise", "cliff", "steps", "wrong", "vast", "far", "island", "island-0", "ravine")
"""Problems on which a path hangs on the last bit."""
LAST_BIT = "the path hangs on the last bit of a value"
LONG = "rounding has hundreds of evaluations to grow in"
CLOSE = "whether maxfun leaves room hangs on a single evaluation"
LONG_RUNS = (
    "rosenbrock-50/",
    "quadratic-20/memory-0/",
    "quadratic-20/CG-unguarded/",
    "quadratic-20/CG-swap-4/",
    "quadratic-20/path-curvature/",
    "units/swap-30-memory-0/",
    "wood/swap-30-memory-0/",
    "units/CG-plain/",
    "rosenbrock-10/CG-plain/",
    "raised/CG-plain/",
    "raised/memory-3/",
    "rosenbrock/memory-cg/jac=3-point",
    "rosenbrock/CG/jac=3-point",
    "rosenbrock-10/gtol-rel/",
    "rosenbrock-10/rates/",
    "wood/rate/",
    "network/memory-3/",
)
"""Cases, by how their names begin, that another machine ends elsewhere."""


FLAT = {"network/": 2e-3}
"""Values that may differ by so much: the valley of the network is flat, its gradient soon below gtol."""


def _loose(name: str) -> str:
    """Say why another machine may go another way; '' where it may not."""
    if name.startswith(LONG_RUNS):
        return LONG
    return LAST_BIT if name.startswith(tuple(f"{problem}/" for problem in CHAOTIC)) else ""


def _fused(which: int) -> Callable[..., Any]:
    return lambda x: (objectives.value(which, x), objectives.gradient(which, x))


def catalogued(problem: str, options: dict[str, Any], engine: str, fused: bool = False) -> Any:
    """Return the run of a problem of `objectives`."""
    kind, start = STARTS[problem]
    which = objectives.NUMBER[kind]
    options = {"maxfun": 500, **MILDER.get(problem, {}), **options, "engine": engine}
    x0 = np.array(start, dtype=float)

    def run(recorder: Recorder) -> list[Any]:
        if engine == "python":
            if fused:
                both = recorder.wrap("both", _fused(which))
                return [minimize(both, x0, jac=True, options=options)]
            f = recorder.wrap("value", lambda x: objectives.value(which, x))
            g = recorder.wrap("gradient", lambda x: objectives.gradient(which, x))
            return [minimize(f, x0, jac=g, options=options)]
        count, log = (
            np.zeros(1, dtype=np.int64),
            np.zeros((LOG_ROWS * (options["maxfun"] + 40), 2 + 2 * x0.size)),
        )
        fun = objectives.logged_both if fused else objectives.logged_value
        jac = True if fused else objectives.logged_gradient
        result = minimize(fun, x0, (which, count, log), jac=jac, options=options)
        recorder.entries += _read_log(x0.size, count, log)
        return [result]

    return run


def _both_engines() -> Iterator[Case]:
    for problem in STARTS:
        if problem in MANY:
            continue
        for name, options in BOTH_ENGINES.items():
            if problem not in ORDINARY and name not in HARD_OPTIONS:
                continue
            for engine in ("python", "numba"):
                case = f"{problem}/{name}/{engine}"
                loose = LAST_BIT if name == "to-the-last-digit" else _loose(case)
                yield Case(case, catalogued(problem, OWN | options, engine), loose)
    for problem in ("rosenbrock-10", "wells", "network"):
        for engine in ("python", "numba"):
            yield Case(f"{problem}/fused/{engine}", catalogued(problem, OWN, engine, fused=True))
    for engine in ("python", "numba"):
        for problem, maxfun in MANY.items():
            yield Case(
                f"{problem}/default/{engine}", catalogued(problem, OWN | {"maxfun": maxfun}, engine), LONG
            )
        for maxfun in (126, 133, 139):  # about where it leaves no room for a trial of Adam
            case = f"raised/maxfun-{maxfun}/{engine}"
            yield Case(case, catalogued("raised", OWN | {"maxfun": maxfun}, engine), CLOSE)
        for problem in ("tiny", "vast"):
            options = OWN | {"gtol": 0.0, "maxfun": 60}
            name = f"{problem}/gtol-0/{engine}"
            yield Case(name, catalogued(problem, options | {"swap": "always"}, engine), LAST_BIT)


def _python_only() -> Iterator[Case]:
    for problem in STARTS:
        for name, options in PYTHON_ONLY.items():
            if problem in MANY:
                continue
            if problem in ORDINARY or name in HARD_PYTHON:
                case = f"{problem}/{name}/python"
                yield Case(case, catalogued(problem, options, "python"), _loose(case))
    for problem in ("rosenbrock-10", "wells"):
        yield Case(f"{problem}/CG-fused/python", catalogued(problem, {}, "python", fused=True))


# ---- other gradients, other calls --------------------------------------------------------------------------


def every_tenth(loss: float, norm: float, step: int) -> bool:
    """Rule of the caller's own."""
    return step % 10 == 0


def _own_sources() -> Iterator[Case]:
    """Where the gradient comes from, and in which precision."""
    makers = {
        "rosenbrock": lambda: problems.rosenbrock(10),
        "styblinski": lambda: problems.styblinski_tang(5),
        "example-2": lambda: problems.paper_example_2(),
    }
    for source in (None, "autograd", "2-point", "3-point", "cs"):
        for problem, make in makers.items():
            for convex_method in ("CG", "memory-cg"):

                def run(
                    recorder: Recorder, make=make, source=source, convex_method=convex_method
                ) -> list[Any]:
                    problem = make()
                    fun = recorder.wrap("value", problem.traceable())
                    options = {"convex_method": convex_method, "maxfun": 1500}
                    return [minimize(fun, problem.x0, jac=source, options=options)]

                case = f"{problem}/{convex_method}/jac={source}"
                yield Case(case, run, _loose(case))
    for convex_method in ("CG", "memory-cg", "L-BFGS-B"):
        for fused in (False, True):

            def run(recorder: Recorder, convex_method=convex_method, fused=fused) -> list[Any]:
                problem = problems.rosenbrock(10)
                x0, options = problem.x0.astype(np.float32), {"convex_method": convex_method, "maxfun": 300}
                if fused:
                    fun = recorder.wrap("both", problem.value_and_gradient)
                    return [minimize(fun, x0, jac=True, options=options)]
                fun = recorder.wrap("value", lambda x: float(problem.fun(x)))
                return [minimize(fun, x0, jac=recorder.wrap("gradient", problem.grad), options=options)]

            loose = "in float32 a path hangs on the last bit"
            yield Case(f"float32/{convex_method}/{'fused' if fused else 'jac'}", run, loose)
    for convex_method in ("Newton-CG", "trust-ncg", "trust-krylov"):
        for product in ("autograd", "hess", "hessp"):

            def run(recorder: Recorder, convex_method=convex_method, product=product) -> list[Any]:
                problem = problems.rosenbrock(6)
                hess = problem.hess
                assert hess is not None
                given: dict[str, Any] = {}
                if product == "hess":
                    given = {"hess": recorder.wrap("hess", hess)}
                elif product == "hessp":
                    given = {"hessp": recorder.wrap("hessp", lambda x, p: (hess(x) * p).sum(axis=1))}
                fun = recorder.wrap("value", problem.traceable())
                jac = recorder.wrap("gradient", problem.grad)
                options = {"convex_method": convex_method, "maxfun": 300}
                return [minimize(fun, problem.x0, jac=jac, options=options, **given)]

            yield Case(f"curved/{convex_method}/{product}", run)


def _data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows with their numbers, so that a stream shows which were asked for."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(96, 4))
    y = np.tanh((X * np.array([1.0, -2.0, 0.5, 1.5])).sum(axis=1)) + 0.05 * rng.normal(size=96)
    return np.arange(96), X, y


def _batch(w: np.ndarray, rows: np.ndarray, X: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean square error of a tanh unit, no matrix product in it."""
    out = np.tanh((X * w).sum(axis=1))
    r = out - y
    return float((r * r).mean()), (2 * r * (1 - out * out) * X.T).mean(axis=1)


def _broken(w: np.ndarray, rows: np.ndarray, X: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """The same, not a number over all rows anywhere but at the start."""
    f, g = _batch(w, rows, X, y)
    return (f if rows.size < 96 or (w == 0.1).all() else math.nan), g


def _finite_sums() -> Iterator[Case]:
    sums: dict[str, tuple[Any, dict[str, Any]]] = {
        "CG": (_batch, {}),
        "memory-cg": (_batch, OWN),
        "rate": (_batch, {"learning_rate": 0.02, **OWN}),
        "never": (_batch, {"swap": "never"}),
        "swap-5": (_batch, {"swap": 5}),
        "norm-peak": (_batch, {"swap": "norm-peak", "swap_patience": 2, "swap_smoothing": 0.3}),
        "maxfun": (_batch, {"maxfun": 7.3}),
        "broken": (_broken, {"learning_rate": 0.02, **OWN}),
    }
    for name, (function, options) in sums.items():
        for chunk in (96, 40):

            def run(recorder: Recorder, function=function, options=options, chunk=chunk) -> list[Any]:
                def fun(w, rows, X, y):
                    return function(w, rows, X, y)

                asked = recorder.wrap("both", fun)
                loss = FiniteSum(asked, _data(), jac=True, batch_size=20, chunk_size=chunk, seed=3)
                return [minimize(loss, np.full(4, 0.1), options={"maxiter": 40, **options})]

            if name != "broken" or chunk == 96:
                yield Case(f"finite-sum/{name}/chunks-of-{chunk}", run)


_RULES = {"swap": "norm-against-loss", "swap_smoothing": 0.3, "swap_patience": 2}
_RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "wells": ("wells", OWN),
    "network": ("network", OWN | {"maxiter": 60}),
    "rosenbrock-10-memory-0": ("rosenbrock-10", OWN | {"convex_options": {"memory": 0}, "maxiter": 80}),
    "rosenbrock-10-never": ("rosenbrock-10", OWN | {"swap": "never", "maxiter": 40}),
    "rosenbrock-10-rules": ("rosenbrock-10", OWN | _RULES | {"maxiter": 60}),
    "rosenbrock-10-CG": ("rosenbrock-10", {"maxiter": 80}),
}
RESUMED = {
    f"resumed/{name}/after-{cut}": (problem, options, cut)
    for name, (problem, options) in _RUNS.items()
    for cut in (1, 5, 18, 40)
} | {"resumed/kink/no-trial-of-adam": ("kink", OWN, 86)}
"""Problem, options and number of values after which a run is stopped, by case."""


def _resumed() -> Iterator[Case]:
    """Stopped after so many values, and gone on with from the state."""
    for name, (problem, options, cut) in RESUMED.items():
        yield Case(name, _cut(problem, options, cut), LAST_BIT if problem in CHAOTIC else "")


def _cut(problem: str, options: dict[str, Any], cut: int) -> Callable[[Recorder], list[Any]]:
    kind, start = STARTS[problem]
    which = objectives.NUMBER[kind]

    def run(recorder: Recorder) -> list[Any]:
        f = recorder.wrap("value", lambda x: objectives.value(which, x))
        g = recorder.wrap("gradient", lambda x: objectives.gradient(which, x))
        first = minimize(f, np.array(start), jac=g, options={**options, "maxfun": cut, "engine": "python"})
        recorder.entries.append(("resume", {}))
        again = {**options, "resume": first.state, "engine": "python", "maxfun": 500}
        return [first, minimize(f, np.array(start), jac=g, options=again)]

    return run


def whole_run(name: str) -> Case:
    """Return the run without a stop that belongs to a case of `RESUMED`."""
    problem, options, _ = RESUMED[name]
    kind, start = STARTS[problem]
    which = objectives.NUMBER[kind]

    def run(recorder: Recorder) -> list[Any]:
        f = recorder.wrap("value", lambda x: objectives.value(which, x))
        g = recorder.wrap("gradient", lambda x: objectives.gradient(which, x))
        return [minimize(f, np.array(start), jac=g, options={"maxfun": 500, **options, "engine": "python"})]

    return Case(name, run)


def _others() -> Iterator[Case]:
    """What else a caller may ask for."""

    def rosenbrock(recorder: Recorder, **given: Any) -> list[Any]:
        which = objectives.NUMBER["rosenbrock"]
        fun = recorder.wrap("value", lambda x: objectives.value(which, x))
        jac = recorder.wrap("gradient", lambda x: objectives.gradient(which, x))
        return [minimize(fun, np.array([-1.2, 1.0, 0.5]), jac=jac, **given)]

    def stopping(recorder: Recorder) -> list[Any]:
        return rosenbrock(recorder, callback=lambda intermediate_result: intermediate_result.nit >= 9)

    def raising(recorder: Recorder) -> list[Any]:
        def fun(x):
            if len(recorder.entries) > 25:
                raise ValueError("enough")
            return float(((x - 1) ** 4).sum())

        jac = recorder.wrap("gradient", lambda x: 4 * (x - 1) ** 3)
        options = {"on_error": "return"}
        return [minimize(recorder.wrap("value", fun), np.array([3.0, -2.0]), jac=jac, options=options)]

    def quantised(recorder: Recorder) -> list[Any]:
        """Other values at the same point: noise that the diagnosis can see."""

        def fun(x):
            wobble = (len(recorder.entries) * 7919 % 101 - 50) * 1e-5
            return float(((x - 1) ** 2).sum()) + wobble

        def wrong(x):  # by a tenth or two
            return 2 * (x - 1) + 0.1 * (1 + len(recorder.entries) % 2)

        jac = recorder.wrap("gradient", wrong)
        options = {"gtol": 1e-9, "maxfun": 400}
        return [minimize(recorder.wrap("value", fun), np.array([3.0, -2.0]), jac=jac, options=options)]

    yield Case("others/callback", stopping)
    yield Case("others/exception", raising)
    yield Case("others/noise", quantised, LAST_BIT)
    yield Case("others/callable-rule", lambda recorder: rosenbrock(recorder, options={"swap": every_tenth}))
    for method in ("BFGS", "CG", "L-BFGS-B"):
        yield Case(f"others/method={method}", lambda recorder, m=method: rosenbrock(recorder, method=m))
    yield Case("others/tol", lambda recorder: rosenbrock(recorder, tol=1e-2))


def all_cases() -> dict[str, Case]:
    """Return every case by its name."""
    found: dict[str, Case] = {}
    for source in (_both_engines, _python_only, _own_sources, _finite_sums, _resumed, _others):
        for case in source():
            if case.name in found:
                raise ValueError(f"two cases are called {case.name!r}")
            found[case.name] = case
    return found


# ---- where equal bytes can be asked for --------------------------------------------------------------------


def fingerprint() -> dict[str, Any]:
    """Say what the last bits depend on: processor, libraries, and whether kernels are compiled."""
    import autograd
    import llvmlite.binding
    import numba
    import scipy

    from twophase_min.jit import ahead, linking

    try:
        from numpy._core._multiarray_umath import __cpu_features__ as features
    except ImportError:  # NumPy 1
        from numpy.core._multiarray_umath import __cpu_features__ as features
    wanted = re.compile("SSE4|AVX|FMA|NEON|ASIMD|SVE|VSX|RVV")
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": llvmlite.binding.get_host_cpu_name(),
        "features": sorted(name for name, there in features.items() if there and wanted.search(name)),
        "python": "{}.{}".format(*sys.version_info),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "numba": numba.__version__,
        "autograd": getattr(autograd, "__version__", "") or _version("autograd"),
        "linked as a whole": linking.AVAILABLE,
        "ahead of time": ahead.extension() is not None,
        "plain kernels": os.environ.get("TWOPHASE_DISABLE_JIT", "0") not in ("", "0"),
    }


def _version(name: str) -> str:
    from importlib.metadata import version

    return version(name)


def differences(case: Case, now: dict[str, Any], kept: dict[str, Any]) -> list[str]:
    """Hold the portable part of a summary against the kept one.

    Status, causes of the handovers without their numbers, counts within a quarter, the value within 1e-3. Of
    a case that is loose, for a reason given there, the first handover alone, and whether the value is finite.

    Returns
    -------
    list of str
        What differs.
    """
    wrong = []
    if case.loose:
        if list(map(template, now["reasons"][:1])) != list(map(template, kept["reasons"][:1])):
            wrong.append(f"first reason {now['reasons'][:1]}, not {kept['reasons'][:1]}")
        if math.isfinite(float(now["fun"])) != math.isfinite(float(kept["fun"])):
            wrong.append(f"f = {now['fun']}, not {kept['fun']}")
        return wrong
    if now["status"] != kept["status"]:
        wrong.append(f"status {now['status']}, not {kept['status']}")
    causes = [[template(text) for text in summary["reasons"]] for summary in (now, kept)]
    if causes[0] != causes[1]:
        wrong.append(f"reasons {causes[0]}, not {causes[1]}")
    for name in ("nit", "nfev"):
        if abs(now[name] - kept[name]) > max(0.25 * kept[name], 2):
            wrong.append(f"{name} {now[name]}, not {kept[name]}")
    f, before = float(now["fun"]), float(kept["fun"])
    flat = [size for name, size in FLAT.items() if case.name.startswith(name)]
    slack = 1e-3 * abs(before) + max([1e-8, *flat])
    if not (f == before or abs(f - before) <= slack or (math.isnan(f) and math.isnan(before))):
        wrong.append(f"f = {f!r}, not {before!r}")
    return wrong


# ---- the command -------------------------------------------------------------------------------------------


def kept_streams() -> dict[str, Any]:
    """Return what streams.json holds: fingerprint and cases."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def write(summaries: dict[str, dict[str, Any]]) -> None:
    """Write streams.json, a case a line."""
    lines = [f"{json.dumps(name)}: {json.dumps(summary)}" for name, summary in summaries.items()]
    text = '{"fingerprint": ' + json.dumps(fingerprint()) + ',\n"cases": {\n' + ",\n".join(lines) + "\n}}\n"
    FILE.write_text(text, encoding="utf-8")


def where(now: dict[str, Any], kept: dict[str, Any]) -> str:
    """Say where two streams part, as far as the kept checksums tell."""
    before = 0
    for place in kept["marks"]:
        if now["marks"].get(place) != kept["marks"][place] and now["requests"] == kept["requests"]:
            return f"the first request that differs is one of {before + 1} to {place}"
        before = int(place)
    parts = [
        f"{name} {now[name]!r}, was {kept[name]!r}"
        for name in ("requests", "status", "nit", "nfev", "njev", "fun", "reasons", "message")
        if now[name] != kept[name]
    ]
    return "; ".join(parts) or "in the last requests, or what the result says of its history"


def first_difference(stream: Stream, path: Path) -> str:
    """Compare with a kept stream, request by request; '' where they are equal."""
    kept, requests = load(path)
    lines, count = list(stream.lines()), len(stream.entries)
    for i in range(min(count, requests)):
        if lines[i] != kept[i]:
            return f"request {i + 1}: {_show(lines[i])}\n    was {_show(kept[i])}"
    if count != requests:
        longer = lines if count > requests else kept
        word = "more" if count > requests else "fewer"
        return f"{abs(count - requests)} requests {word}, from request {min(count, requests) + 1}: " + _show(
            longer[min(count, requests)]
        )
    for line, before in zip(lines[count:], kept[requests:], strict=False):
        if line != before:
            said, was = json.loads(line), json.loads(before)
            changed = [key for key in said if said[key] != was.get(key)]
            return "\n    ".join(f"{key}: {said[key]}\n    was {was.get(key)}" for key in changed)
    return "" if len(lines) == len(kept) else "another number of results"


def _show(line: bytes) -> str:
    head, _, data = line.partition(b"|")
    kind, shapes = json.loads(head)
    parts, place = [kind], 0
    for name, dtype, shape in shapes:
        size = np.dtype(dtype).itemsize * math.prod(shape)
        array = np.frombuffer(data[place : place + size], dtype=dtype)
        place += size
        shown = [*map(repr, array[:6].tolist()), *(["..."] if array.size > 6 else [])]
        parts.append(f"{name} = {', '.join(shown)}")
    return "; ".join(parts)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 1 where something differs."""
    parser = argparse.ArgumentParser(description="Record every request of many runs, and compare.")
    parser.add_argument("--write", action="store_true", help="write streams.json")
    parser.add_argument("--compare", action="store_true", help="compare with streams.json")
    parser.add_argument("--dump", type=Path, metavar="DIR", help="keep whole streams there")
    parser.add_argument("--against", type=Path, metavar="DIR", help="compare with whole streams kept there")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases with this in their name")
    parser.add_argument("--times", action="store_true", help="say which cases took longest")
    given = parser.parse_args(arguments)
    if given.write and given.only:
        parser.error("--write records every case: leave --only out")
    cases = {name: case for name, case in all_cases().items() if given.only in name}
    kept = kept_streams() if given.compare else None
    if kept and kept["fingerprint"] != fingerprint():
        print("Another machine, other libraries or plain kernels: the portable part is compared.")
    if given.dump:
        given.dump.mkdir(parents=True, exist_ok=True)
    summaries, different, times = {}, 0, {}
    for name, case in cases.items():
        began = time.perf_counter()
        stream = case.record()
        times[name] = time.perf_counter() - began
        summaries[name] = stream.summary()
        file = name.replace("/", "__") + ".npz"
        said = ""
        if kept and name not in kept["cases"]:
            said = "not in streams.json"
        elif kept and kept["fingerprint"] != fingerprint():
            said = "; ".join(differences(case, summaries[name], kept["cases"][name]))
        elif kept and kept["cases"][name]["sha256"] != summaries[name]["sha256"]:
            said = where(summaries[name], kept["cases"][name])
        if given.against:
            path = given.against / file
            said = first_difference(stream, path) if path.exists() else "not kept there"
        if given.dump:
            stream.save(given.dump / file)
        if said:
            different += 1
            print(f"{name}: {said}")
    for name in sorted(kept["cases"]) if kept and not given.only else ():
        if name not in cases:
            different += 1
            print(f"{name}: no longer a case")
    if given.write:
        write(summaries)
    requests = sum(summary["requests"] for summary in summaries.values())
    print(f"{len(cases)} cases, {requests} requests, {sum(times.values()):.1f} s; {different} differ")
    for name in sorted(times, key=times.get, reverse=True)[: 15 if given.times else 0]:  # type: ignore[arg-type]
        print(f"  {times[name]:.2f} s  {name}")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
