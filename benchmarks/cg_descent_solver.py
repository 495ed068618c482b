"""CG_DESCENT 6.8 (Hager and Zhang) through the package ``pycgdescent``, as a contender of the benchmarks."""

from __future__ import annotations

import cutest
import numpy as np


def cg_descent(memory: int) -> cutest.Solver:
    """Return the solver with ``memory`` pairs; 11 is its default, 0 is the method without a memory.

    Its own gradient test, ``max |g| <= gtol``, is the one of the benchmarks (``StopFac = 0``).
    """

    def solve(objective: cutest.Counted, x0: np.ndarray, gtol: float) -> cutest.Outcome:
        import pycgdescent  # type: ignore[import-not-found, import-untyped, unused-ignore]

        def gradient(g: np.ndarray, x: np.ndarray) -> None:
            g[:] = objective.grad(x)

        options = pycgdescent.OptimizeOptions(memory=memory)
        r = pycgdescent.minimize(objective.fun, x0, jac=gradient, tol=gtol, options=options)
        return np.array(r.x), bool(r.success), str(r.message)

    return solve
