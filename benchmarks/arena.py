"""Contenders taking turns: the measuring part of `speed.py`.

Every contender lives in a process of its own and takes its turn while the others sleep, round after round,
so that a busy machine, a spinning thread pool or a changing clock meets all of them alike. A turn is one call
that is not timed and a few that are.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

SETTLE = 0.15
"""Seconds between two turns, in which threads stop spinning: OpenBLAS's do 0.12 s after a product."""
TURN = 0.01
"""Seconds of a turn, by default."""

Call = Callable[[], Any]


def serve(module: str, name: str, pipe: Any, clock: str = "perf_counter") -> None:
    """Live in a process: a tuple builds the call, a number of calls is a turn, None ends.

    "once" is a turn of a single call, "report" asks for the call's own report, "solves" for how many problems
    one call solves.
    """
    call: Any = None
    now = getattr(time, clock)
    while (order := _next(pipe)) is not None:
        if isinstance(order, tuple):
            start = now()
            call = importlib.import_module(module).CONTENDERS[name](*order)
            call()
            pipe.send(now() - start)
        elif order == "report":
            pipe.send(call.report())
        elif order == "once":
            start = now()
            call()
            pipe.send(now() - start)
        elif order == "solves":
            pipe.send(getattr(call, "solves", 1))
        else:
            call()
            start = now()
            for _ in range(order):
                call()
            pipe.send((now() - start) / order)
    getattr(call, "close", lambda: None)()


def _next(pipe: Any) -> Any:
    """Return the next order; None also where the other side has gone."""
    try:
        return pipe.recv()
    except EOFError:
        return None


class Arena:
    """Contenders in processes of their own, taking turns.

    Parameters
    ----------
    names : iterable of str
        Keys of ``CONTENDERS``.
    module : str
        The module that has ``CONTENDERS``, name -> function of an order that returns the call to be timed.
    clock : str, default 'perf_counter'
        Of module `time`. 'process_time' is what other work on the machine disturbs least; it sums up threads.
    turn : float, default `TURN`
        Seconds of a turn: at least 3 calls, at most 2,000.
    """

    def __init__(self, names: Iterable[str], module: str, clock: str = "perf_counter", turn: float = TURN):
        self.turn = turn
        context = multiprocessing.get_context("spawn")
        self.pipes, self.processes = {}, []
        for name in names:
            self.pipes[name], theirs = context.Pipe()
            self.processes.append(context.Process(target=serve, args=(module, name, theirs, clock)))
            self.processes[-1].start()
        atexit.register(self.close)  # also after an error: their processes would be waited for

    def ask(self, name: str, order: Any) -> Any:
        """Hand an order to a contender and wait for its answer."""
        self.pipes[name].send(order)
        return self.pipes[name].recv()

    def compare(self, order: tuple[Any, ...], rounds: int) -> tuple[dict[str, list[float]], dict[str, float]]:
        """Seconds a call by contender and round, and the seconds of each first call."""
        first = {name: self.ask(name, order) for name in self.pipes}
        times: dict[str, list[float]] = {name: [] for name in self.pipes}
        seconds = {name: max(self.ask(name, 3), 1e-9) for name in self.pipes}
        calls = {name: max(3, min(2000, int(self.turn / seconds[name]))) for name in self.pipes}
        threaded = os.environ.get("OMP_NUM_THREADS") != "1"
        for _ in range(rounds):
            for name in self.pipes:
                time.sleep(SETTLE if threaded else 0.0)
                times[name].append(self.ask(name, calls[name]))
        return times, first

    def close(self) -> None:
        """End the processes."""
        atexit.unregister(self.close)
        for pipe in self.pipes.values():
            with contextlib.suppress(OSError):
                pipe.send(None)
        for process in self.processes:
            process.join(10)
            if process.is_alive():
                process.terminate()


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
