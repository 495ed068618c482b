"""A convex phase run alone, for tests and benchmarks; `twophase_min.minimize` is the front door for users."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def minimize_memory_cg(
    fun: Any, jac: Any, x0: np.ndarray, gtol: float = 1e-6, maxfun: float = math.inf, solver: Any = None
) -> tuple[np.ndarray, bool, str]:
    """Minimise by `MemoryCG`, or by another phase with its protocol.

    Within the solver's ``box`` the start is inside, and g stands for the projected gradient in what follows.
    Stops when ``max |g| <= gtol``, when the phase fails, or after ``maxfun`` evaluations (a value and a
    gradient count one each). Returns (x, success, message).
    """
    from twophase_min.objective.bounds import Box
    from twophase_min.phases import FAILED, ITERATION, NEED_F, NEED_NOISE
    from twophase_min.phases.memory_cg import MemoryCG

    solver = MemoryCG() if solver is None else solver
    x = np.asarray(x0, dtype=float)
    f, g, spent = fun(x), jac(x), 2
    if not (np.isfinite(f) and np.all(np.isfinite(g))):
        return x, False, "f or its gradient is not finite at the start"
    code = solver.start(x, f, g)
    box = None if solver.box is None else Box(*solver.box)
    while np.max(np.abs(solver.g if box is None else box.reduced(solver.x, solver.g))) > gtol:
        if code == ITERATION:
            code = solver.next()
        if code == FAILED:
            return solver.x, False, solver.reason
        if spent >= maxfun:
            return solver.x, False, "out of evaluations"
        if code == NEED_NOISE:  # values are taken for exact
            code = solver.tell(0.0)
            continue
        x = solver.ask()
        code = solver.tell(fun(x)) if code == NEED_F else solver.tell(math.nan, jac(x))
        spent += 1
    return solver.x, True, "gradient test"
