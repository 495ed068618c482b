"""Speed, measured side by side in one run: ``python benchmarks/speed.py --section adam``.

Every contender lives in a process of its own and takes its turn while the others sleep, round after round,
so that a busy machine, a spinning thread pool or a changing clock meets all of them alike. A turn is one call
that is not timed and a few that are. Tables show the median over the rounds with the quartiles, and ratios
taken round by round before their median. Imports, compilation and first calls are timed apart.

Sections: adam, kernels, dispatch, first-call.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
SIZES = (2, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
SETTLE = 0.01
"""Seconds between two turns, in which OpenMP's threads stop spinning."""

Call = Callable[[], Any]


def vectors(n: int, kind: str, count: int) -> list[np.ndarray]:
    """Seeded normal vectors."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal(n).astype(kind) for _ in range(count)]


# Contenders: functions of (n, dtype name) that return the call to be timed.


def adam_ours(n: int, kind: str) -> Call:
    """`twophase_min`: serial or threaded as its size rule says."""
    from twophase_min import _kernels

    x, m, v, g = vectors(n, kind, 4)
    np.abs(v, out=v)
    count = 0

    def call() -> None:
        nonlocal count
        count += 1
        _kernels.adam_step(x, m, v, g, count, 1e-3, 0.9, 0.999, 1e-8)

    return call


def adam_ours_serial(n: int, kind: str) -> Call:
    """`twophase_min` on one thread."""
    from twophase_min import _kernels

    x, m, v, g = vectors(n, kind, 4)
    np.abs(v, out=v)
    return lambda: _kernels.adam_serial(x, m, v, g, 5, 1e-3, 0.9, 0.999, 1e-8)


def adam_torch(n: int, kind: str) -> Call:
    """``torch.optim.Adam(fused=True).step()``, two threads."""
    import torch

    torch.set_num_threads(2)
    x, g = map(torch.from_numpy, vectors(n, kind, 2))
    parameter = torch.nn.Parameter(x)
    parameter.grad = g
    step = torch.optim.Adam([parameter], lr=1e-3, betas=(0.9, 0.999), eps=1e-8, fused=True).step
    return lambda: step()


def adam_torch_kernel(n: int, kind: str) -> Call:
    """Call ``torch._fused_adam_``, the kernel inside it alone: not what users call, but its lower bound."""
    import torch

    torch.set_num_threads(2)
    x, m, v, g = map(torch.from_numpy, vectors(n, kind, 4))
    v.abs_()
    t = torch.tensor(5.0)
    options: dict[str, Any] = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
    return lambda: torch._fused_adam_([x], [g], [m], [v], [], [t], amsgrad=False, maximize=False, **options)


def adam_optax(n: int, kind: str) -> Call:
    """``optax.adam`` under ``jax.jit`` with donated buffers."""
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp
    import optax  # type: ignore[import-untyped]

    x, g = map(jnp.asarray, vectors(n, kind, 2))
    rule = optax.adam(1e-3, 0.9, 0.999, 1e-8)

    def update(x, state, g):
        change, state = rule.update(g, state, x)
        return optax.apply_updates(x, change), state

    step = jax.jit(update, donate_argnums=(0, 1))
    state = rule.init(x)

    def call() -> None:
        nonlocal x, state
        x, state = step(x, state, g)
        jax.block_until_ready(x)

    return call


def adam_numpy(n: int, kind: str) -> Call:
    """NumPy, in place, with two work vectors."""
    x, m, v, g, a, b = vectors(n, kind, 6)
    np.abs(v, out=v)

    def call() -> None:
        np.multiply(m, 0.9, out=m)
        np.multiply(g, 0.1, out=a)
        np.add(m, a, out=m)
        np.multiply(g, g, out=a)
        np.multiply(a, 0.001, out=a)
        np.multiply(v, 0.999, out=v)
        np.add(v, a, out=v)
        np.sqrt(v, out=a)
        np.multiply(a, 14.1, out=a)
        np.add(a, 1e-8, out=a)
        np.divide(m, a, out=b)
        np.multiply(b, 2.4e-3, out=b)
        np.subtract(x, b, out=x)

    return call


def copy_one_thread(n: int, kind: str) -> Call:
    """Three vectors copied: six streams."""
    sources, targets = vectors(n, kind, 3), vectors(n, kind, 3)

    def call() -> None:
        for source, target in zip(sources, targets, strict=True):
            np.copyto(target, source)

    return call


def copy_two_threads(n: int, kind: str) -> Call:
    """Copy the same, each vector in two halves on two threads."""
    from twophase_min._threads import Pool

    sources, targets = vectors(n, kind, 3), vectors(n, kind, 3)
    pool, half = Pool(2), -(-n // 2)
    parts = [
        (t[k : k + half], s[k : k + half]) for t, s in zip(targets, sources, strict=True) for k in (0, half)
    ]

    def copy(k: int) -> None:
        np.copyto(*parts[k])

    return lambda: pool.run(copy, len(parts))


def kernel_contender(expression: str) -> Callable[[int, str], Call]:
    """Return a contender that evaluates an expression in vectors a, b, c, `K` (our kernels) and `np`."""

    def contender(n: int, kind: str) -> Call:
        from twophase_min import _kernels

        a, b, c = vectors(n, kind, 3)
        names = {"a": a, "b": b, "c": c, "K": _kernels, "np": np, "out": np.empty_like(a)}
        return eval(f"lambda: {expression}", names)

    return contender


KERNELS = {
    "dot": (2, "K.dot(a, b)", "np.dot(a, b)"),
    "two dots": (3, "K.two_dots(a, b, c)", "(np.dot(a, b), np.dot(a, c))"),
    "y += a x; y.z": (4, "K.axpy_dot(1e-9, a, b, c)", "np.dot(np.add(b, 1e-9 * a, out=b), c)"),
    "y = g - h; y'y, y's": (
        4,
        "K.difference_dots(a, b, c, out)",
        "(np.dot(np.subtract(a, b, out=out), out), np.dot(out, c))",
    ),
    "p = b p - g": (3, "K.axpby(-1.0, a, 0.5, b)", "np.subtract(np.multiply(b, 0.5, out=b), a, out=b)"),
    "max norm": (1, "K.norm_inf(a)", "np.abs(a).max()"),
    "2-norm": (1, "K.norm2(a)", "np.linalg.norm(a)"),
    "all finite": (1, "K.all_finite(a)", "np.isfinite(a).all()"),
}
"""Streams of memory, ours, NumPy's."""

CONTENDERS: dict[str, Callable[[int, str], Call]] = {
    "twophase": adam_ours,
    "twophase, 1 thread": adam_ours_serial,
    "torch fused": adam_torch,
    "torch kernel": adam_torch_kernel,
    "optax jit": adam_optax,
    "NumPy": adam_numpy,
    "copy": copy_one_thread,
    "copy, 2 threads": copy_two_threads,
}
for _name, (_, _ours, _theirs) in KERNELS.items():
    CONTENDERS[f"{_name} (ours)"] = kernel_contender(_ours)
    CONTENDERS[f"{_name} (NumPy)"] = kernel_contender(_theirs)


# Turns.


def serve(name: str, pipe: Any) -> None:
    """Live in a process: ``(n, kind)`` builds the call, a number of calls is a turn, None ends."""
    call: Call = lambda: None  # noqa: E731
    while (order := pipe.recv()) is not None:
        if isinstance(order, tuple):
            start = time.perf_counter()
            call = CONTENDERS[name](*order)
            call()
            pipe.send(time.perf_counter() - start)
        else:
            call()
            start = time.perf_counter()
            for _ in range(order):
                call()
            pipe.send((time.perf_counter() - start) / order)


class Arena:
    """Contenders in processes of their own, taking turns."""

    def __init__(self, names: Iterable[str]):
        context = multiprocessing.get_context("spawn")
        self.pipes, self.processes = {}, []
        for name in names:
            self.pipes[name], theirs = context.Pipe()
            self.processes.append(context.Process(target=serve, args=(name, theirs), daemon=True))
            self.processes[-1].start()

    def ask(self, name: str, order: Any) -> Any:
        """Hand an order to a contender and wait for its answer."""
        self.pipes[name].send(order)
        return self.pipes[name].recv()

    def compare(self, n: int, kind: str, rounds: int) -> tuple[dict[str, list[float]], dict[str, float]]:
        """Seconds a call by contender and round, and the seconds of each first call."""
        first = {name: self.ask(name, (n, kind)) for name in self.pipes}
        times: dict[str, list[float]] = {name: [] for name in self.pipes}
        calls = {name: max(3, min(2000, int(0.01 / max(self.ask(name, 3), 1e-9)))) for name in self.pipes}
        for _ in range(rounds):
            for name in self.pipes:
                time.sleep(SETTLE)
                times[name].append(self.ask(name, calls[name]))
        return times, first

    def close(self) -> None:
        """End the processes."""
        for pipe in self.pipes.values():
            pipe.send(None)
        for process in self.processes:
            process.join(10)


def show(seconds: list[float]) -> str:
    """Median and quartiles in microseconds."""
    low, middle, high = statistics.quantiles(seconds, n=4) if len(seconds) > 1 else seconds * 3
    return f"{1e6 * middle:.3g} ({1e6 * low:.3g}-{1e6 * high:.3g})"


def ratio(theirs: list[float], ours: list[float]) -> float:
    """Median over the rounds of their time over ours."""
    return statistics.median(a / b for a, b in zip(theirs, ours, strict=True))


def best_ratio(theirs: list[float], ours: list[float]) -> float:
    """Compare the best rounds: what remains when no other process was in anyone's way."""
    return min(theirs) / min(ours)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Markdown."""
    lines = [list(head), ["---"] * len(list(head)), *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


# Sections.


def section_adam(arguments: argparse.Namespace) -> dict[str, Any]:
    """Adam's step against PyTorch, optax, NumPy and the copy speed of the machine."""
    names = [name for name in CONTENDERS if "(" not in name]
    arena = Arena(names)
    rivals = [name for name in names if not name.startswith(("twophase", "copy"))]
    result: dict[str, Any] = {}
    rows, ratios, best = [], [], []
    for kind in ("float64", "float32"):
        for n in arguments.sizes:
            times, first = arena.compare(n, kind, arguments.rounds)
            result[f"{kind} {n}"] = {"seconds": times, "first": first}
            ours = times["twophase"]
            rows.append([kind, f"{n:.0e}", *(show(times[name]) for name in names)])
            streams = [
                7 / 6 * min(pair) for pair in zip(times["copy"], times["copy, 2 threads"], strict=True)
            ]
            ratios.append(
                [
                    kind,
                    f"{n:.0e}",
                    *(f"{ratio(times[name], ours):.2f}" for name in rivals),
                    f"{ratio(ours, streams):.2f}",
                ]
            )
            best.append(
                [
                    kind,
                    f"{n:.0e}",
                    *(f"{best_ratio(times[name], ours):.2f}" for name in rivals),
                    f"{best_ratio(ours, streams):.2f}",
                ]
            )
            print(" ".join(rows[-1]), "|", " ".join(best[-1][2:]), file=sys.stderr, flush=True)
    arena.close()
    print("\nMicroseconds a step, median (quartiles); copies move six streams:\n")
    print(table(["dtype", "n", *names], rows))
    print("\nTheir time over ours (above 1: ours is faster); last: ours over seven streams at copy speed:\n")
    print(table(["dtype", "n", *rivals, "over copy"], ratios))
    print("\nThe same from the best round of each:\n")
    print(table(["dtype", "n", *rivals, "over copy"], best))
    firsts = result[f"float64 {arguments.sizes[0]}"]["first"]
    print("\nFirst call with import, set-up and compilation, seconds:\n")
    print(table(firsts, [[f"{value:.2f}" for value in firsts.values()]]))
    return result


def section_kernels(arguments: argparse.Namespace) -> dict[str, Any]:
    """Dots, norms and fused passes against NumPy, and the memory speed that they reach."""
    # One core against one core; the processes of the contenders inherit it.
    os.environ.update(OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    result: dict[str, Any] = {}
    rows = []
    for name, (streams, _, _) in KERNELS.items():
        arena = Arena([f"{name} (ours)", f"{name} (NumPy)"])
        for kind in ("float64", "float32"):
            for n in arguments.sizes:
                times, _ = arena.compare(n, kind, arguments.rounds)
                ours, theirs = times.values()
                result[f"{name} {kind} {n}"] = times
                speed = streams * n * np.dtype(kind).itemsize / statistics.median(ours) / 1e9
                rows.append(
                    [
                        name,
                        kind,
                        f"{n:.0e}",
                        show(ours),
                        show(theirs),
                        f"{ratio(theirs, ours):.2f}",
                        f"{speed:.1f}",
                    ]
                )
                print(" ".join(rows[-1]), file=sys.stderr, flush=True)
        arena.close()
    print("\nMicroseconds a call, median (quartiles), one thread each:\n")
    print(table(["kernel", "dtype", "n", "ours", "NumPy", "NumPy/ours", "GB/s"], rows))
    return result


def section_dispatch(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time calls from Python in which the kernel has nothing to do (n = 2)."""
    from typing import NamedTuple

    from twophase_min import _kernels
    from twophase_min._jit import jit, prepare

    Wide = NamedTuple("Wide", [(f"v{k}", np.ndarray) for k in range(12)])  # type: ignore[misc]

    @jit(cache=False)
    def of_state(state):
        return state.v0[0]

    x, m, v, g = vectors(2, "float64", 4)
    step = (x, m, abs(v), g, 5, 1e-3, 0.9, 0.999, 1e-8)
    state = Wide(*[x] * 12)
    calls: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "empty Python function": (lambda *_: None, step),
        "adam_step (9 arguments)": (_kernels.adam_step, step),
        "adam_serial (9 arguments)": (_kernels.adam_serial, step),
        "adam_serial, prepared": (prepare(_kernels.adam_serial, *step), step),
        "dot": (_kernels.dot, (x, x)),
        "dot, prepared": (prepare(_kernels.dot, x, x), (x, x)),
        "named tuple of 12 arrays": (of_state, (state,)),
        "named tuple of 12 arrays, prepared": (prepare(of_state, state), (state,)),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(arguments.rounds):
        for name, (function, args) in calls.items():
            function(*args)
            start = time.perf_counter()
            for _ in range(5000):
                function(*args)
            times[name].append((time.perf_counter() - start) / 5000)
    print("\nMicroseconds a call, median (quartiles):\n")
    print(table(["call", "time"], [[name, show(seconds)] for name, seconds in times.items()]))
    return times


FIRST = """
import time, json
import numpy, scipy.optimize
t = [time.perf_counter()]
import twophase_min
t.append(time.perf_counter())
import numba
t.append(time.perf_counter())
from twophase_min import _kernels as K
x = numpy.ones(10)
K.adam_step(x, x.copy(), x.copy(), x.copy(), 1, 1e-3, .9, .999, 1e-8)
K.dot(x, x), K.norm_inf(x), K.all_finite(x)
t.append(time.perf_counter())
if hasattr(twophase_min, 'minimize'):
    twophase_min.minimize(scipy.optimize.rosen, x, jac=scipy.optimize.rosen_der)
    t.append(time.perf_counter())
    twophase_min.minimize(scipy.optimize.rosen, x, jac=scipy.optimize.rosen_der)
    t.append(time.perf_counter())
print(json.dumps([b - a for a, b in zip(t, t[1:])]))
"""


def section_first_call(arguments: argparse.Namespace) -> dict[str, Any]:
    """Import and first calls in fresh processes, with an empty and with a filled cache directory."""
    steps = ["import twophase_min", "import numba", "Adam's kernels", "rest of minimize", "second minimize"]
    result: dict[str, list[list[float]]] = {"cold": [], "warm": []}
    for _ in range(max(3, arguments.rounds // 5)):
        with tempfile.TemporaryDirectory() as directory:
            # A copy without __pycache__: nothing that an earlier run left behind helps the cold start.
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / "twophase_min", Path(directory) / "twophase_min", ignore=ignore)
            places = {"PYTHONPATH": directory, "NUMBA_CACHE_DIR": str(Path(directory) / "cache")}
            for state in result:
                out = subprocess.run(
                    [sys.executable, "-c", FIRST],
                    env={**os.environ, **places},
                    cwd=directory,
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
                result[state].append(json.loads(out.splitlines()[-1]))
    rows = []
    for state, runs in result.items():
        columns = list(zip(*runs, strict=True))
        first = [sum(run[1:4]) for run in runs]
        rows.append(
            [state, *(f"{statistics.median(c):.3f}" for c in columns), f"{statistics.median(first):.3f}"]
        )
    head = steps[: len(rows[0]) - 2]
    print("\nSeconds in a fresh process with NumPy and SciPy loaded, median:\n")
    print(table(["cache", *head, "first call in all"], rows))
    return result


SECTIONS = {
    "adam": section_adam,
    "kernels": section_kernels,
    "dispatch": section_dispatch,
    "first-call": section_first_call,
}


def main() -> None:
    """Run the chosen sections and keep their raw seconds as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--section", choices=SECTIONS, action="append", help="may be repeated; default: all")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each contender (15)")
    parser.add_argument("--sizes", type=lambda s: [int(float(v)) for v in s.split(",")], default=SIZES)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "speed.json")
    arguments = parser.parse_args()
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {os.cpu_count()} cores, Python {platform.python_version()}")
    results = {name: SECTIONS[name](arguments) for name in arguments.section or SECTIONS}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
