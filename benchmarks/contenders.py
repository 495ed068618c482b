"""Minimisers by name, and the objective that charges them: for `cutest.py`, `everyday.py`, `large.py`.

A value and a gradient cost one evaluation each; a second request for the same kind at the same point is free
for everybody. Every solver gets the same gradient tolerance, on the largest absolute entry; within bounds, on
that of the projected gradient.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # vectors are short: threads only get in each other's way

import numpy as np  # noqa: E402

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:
    sys.path.insert(0, str(HERE.parent))  # run from a checkout without installing


class BudgetExhausted(Exception):
    """Raised inside a solver when it asks for one evaluation too many."""


class TimeExhausted(Exception):
    """Raised inside a solver when its seconds are over."""


class GradientTestHolds(Exception):
    """Raised inside a solver that has no gradient test of its own; its argument is the point."""


def steepest(x: np.ndarray, g: np.ndarray, bounds: tuple[np.ndarray, np.ndarray] | None) -> np.ndarray:
    """P(x - g) - x, where P projects into the bounds: ``-g`` without them, 0 at a stationary point."""
    return -g if bounds is None else np.clip(-g, bounds[0] - x, bounds[1] - x)


class Counted:
    """An objective that charges, limits and records evaluations.

    Parameters
    ----------
    problem : object
        A loaded problem: ``fun(x)``, ``grad(x)``, ``x0`` and, where x is bounded, ``bounds = lower, upper``.
    budget : int
        Evaluations allowed; a value and a gradient count one each.

    Attributes
    ----------
    best, best_x : float and ndarray
        The lowest finite value seen within the bounds and its point (x0 until there is one).
    bounds : tuple of two ndarrays, or None
        Lower and upper bounds.
    outside : int
        Evaluations at points out of bounds, be it by rounding. They are charged, and their values are not
        recorded.
    trace : list of (int, float)
        Evaluations spent, and value, at each new lowest value.
    """

    def __init__(self, problem: Any, budget: int):
        self._raw = problem
        self.bounds: tuple[np.ndarray, np.ndarray] | None = getattr(problem, "bounds", None)
        self.budget = budget
        self.outside = 0
        self.nfev = 0
        self.njev = 0
        self.trace: list[tuple[int, float]] = []
        self.best = np.inf
        self.best_x = np.array(problem.x0, dtype=float)
        self._xf: np.ndarray | None = None
        self._xg: np.ndarray | None = None
        self._f = np.nan
        self._g = np.empty(0)

    def _charge(self, x: np.ndarray) -> bool:
        """Charge one evaluation; answers whether the point is within the bounds."""
        if self.nfev + self.njev >= self.budget:
            raise BudgetExhausted
        inside = self.bounds is None or bool(np.all(self.bounds[0] <= x) and np.all(x <= self.bounds[1]))
        self.outside += not inside
        return inside

    def fun(self, x: Any) -> float:
        """Value at ``x``; one evaluation unless the last value was taken at the same point."""
        x = np.array(x, dtype=float)
        if self._xf is not None and np.array_equal(x, self._xf):
            return self._f
        inside = self._charge(x)
        self.nfev += 1
        with np.errstate(all="ignore"):
            f = float(self._raw.fun(x.copy()))
        self._xf, self._f = x, f
        if inside and np.isfinite(f) and f < self.best:
            self.best, self.best_x = f, x
            self.trace.append((self.nfev + self.njev, f))
        return f

    def grad(self, x: Any) -> np.ndarray:
        """Gradient at ``x``; one evaluation unless the last gradient was taken at the same point."""
        x = np.array(x, dtype=float)
        if self._xg is not None and np.array_equal(x, self._xg):
            return self._g.copy()
        self._charge(x)
        self.njev += 1
        with np.errstate(all="ignore"):
            g = np.asarray(self._raw.grad(x.copy()), dtype=float).ravel()
        self._xg, self._g = x, g
        return g.copy()


# ---------------------------------------------------------------------------------------------------- solvers

Outcome = tuple[np.ndarray, bool, str]
Solver = Callable[[Counted, np.ndarray, float], Outcome]


def _boxed(objective: Counted) -> dict[str, Any]:
    """Name the bounds for a call of `minimize`, SciPy's or ours; nothing without bounds."""
    from scipy.optimize import Bounds

    return {} if objective.bounds is None else {"bounds": Bounds(*objective.bounds)}


def _scipy(method: str, *, stops: bool = True, **options: Any) -> Solver:
    """SciPy's method of that name; one that never ``stops`` by the gradient is stopped by the objective."""

    def solve(objective: Counted, x0: np.ndarray, gtol: float) -> Outcome:
        from scipy.optimize import minimize

        def grad(x: np.ndarray) -> np.ndarray:
            g = objective.grad(x)
            if not stops and np.max(np.abs(steepest(x, g, objective.bounds))) <= gtol:
                raise GradientTestHolds(x.copy())
            return g

        given = {k: (gtol if v == "gtol" else v) for k, v in options.items()}
        try:
            r = minimize(objective.fun, x0, jac=grad, method=method, options=given, **_boxed(objective))
        except GradientTestHolds as found:
            return found.args[0], True, "gradient test"
        return r.x, bool(r.success), str(r.message)

    return solve


def _nlopt(storage: int, algorithm: str = "LD_LBFGS") -> Solver:
    def solve(objective: Counted, x0: np.ndarray, gtol: float) -> Outcome:
        import nlopt

        found: list[np.ndarray] = []

        def fun(x: np.ndarray, grad: np.ndarray) -> float:
            f = objective.fun(x)
            if grad.size:
                grad[:] = objective.grad(x)
                slope = steepest(x, grad, objective.bounds)
                if np.max(np.abs(slope)) <= gtol:  # NLopt has no gradient test: the objective makes it
                    found.append(x.copy())
                    opt.force_stop()
            return f

        opt = nlopt.opt(getattr(nlopt, algorithm), x0.size)
        opt.set_min_objective(fun)
        if objective.bounds is not None:
            opt.set_lower_bounds(objective.bounds[0])
            opt.set_upper_bounds(objective.bounds[1])
        opt.set_maxeval(1_000_000)
        if storage:
            opt.set_vector_storage(storage)
        try:
            x = opt.optimize(x0)
            message = f"nlopt code {opt.last_optimize_result()}"
        except nlopt.ForcedStop:
            return found[0], True, "gradient test"
        except (nlopt.runtime_error, nlopt.RoundoffLimited) as error:
            x = objective.best_x  # its line search found nothing
            message = f"nlopt gave up: {type(error).__name__}"
        return np.asarray(x), False, message

    return solve


def _cg_descent(memory: int) -> Solver:
    def solve(objective: Counted, x0: np.ndarray, gtol: float) -> Outcome:
        import pycgdescent

        def jac(g: np.ndarray, x: np.ndarray) -> None:
            g[...] = objective.grad(x)

        def both(g: np.ndarray, x: np.ndarray) -> float:
            jac(g, x)
            return objective.fun(x)

        options = pycgdescent.OptimizeOptions(memory=memory)
        r = pycgdescent.minimize(objective.fun, x0, jac=jac, funjac=both, tol=gtol, options=options)
        return r.x, bool(r.success), str(r.message)

    return solve


def _optimistix(memory: int) -> Solver:
    def solve(objective: Counted, x0: np.ndarray, gtol: float) -> Outcome:
        from optimistix_solver import minimise_optimistix

        return minimise_optimistix(objective, x0, gtol, memory)

    return solve


def _adam(learning_rate: float) -> Solver:
    def solve(objective: Counted, x0: np.ndarray, gtol: float) -> Outcome:
        x, m, v = x0.copy(), np.zeros_like(x0), np.zeros_like(x0)
        b1, b2, k = 0.9, 0.999, 0
        while True:
            objective.fun(x)
            g = objective.grad(x)
            if not np.all(np.isfinite(g)):
                return x, False, "gradient is not finite"
            if np.max(np.abs(g)) <= gtol:
                return x, True, "gradient test"
            k += 1
            m = b1 * m + (1 - b1) * g
            v = b2 * v + (1 - b2) * g * g
            x = x - learning_rate * (m / (1 - b1**k)) / (np.sqrt(v / (1 - b2**k)) + 1e-8)

    return solve


def _phase(name: str, **options: Any) -> Solver:
    def solve(objective: Counted, x0: np.ndarray, gtol: float) -> Outcome:
        from phase_alone import minimize_memory_cg

        from twophase_min.phases import PHASES

        solver = PHASES[name].load()(**options)
        solver.box = objective.bounds
        return minimize_memory_cg(objective.fun, objective.grad, x0, gtol=gtol, solver=solver)

    return solve


def _twophase(**options: Any) -> Solver:
    def solve(objective: Counted, x0: np.ndarray, gtol: float) -> Outcome:
        from twophase_min import minimize

        given = {"gtol": gtol, "maxiter": 1_000_000, **options}
        r = minimize(
            objective.fun, x0, jac=objective.grad, method="twophase", options=given, **_boxed(objective)
        )
        return r.x, bool(r.success), str(r.message)

    return solve


SOLVERS: dict[str, Solver] = {
    "scipy-cg": _scipy("CG", gtol="gtol", maxiter=100_000),
    "scipy-bfgs": _scipy("BFGS", gtol="gtol", maxiter=100_000),
    "scipy-lbfgsb": _scipy("L-BFGS-B", ftol=1e-15, gtol="gtol", maxiter=100_000, maxfun=1_000_000, maxls=40),
    "scipy-lbfgsb-50": _scipy(
        "L-BFGS-B", ftol=1e-15, gtol="gtol", maxiter=100_000, maxfun=1_000_000, maxls=40, maxcor=50
    ),
    "scipy-tnc": _scipy("TNC", ftol=1e-15, xtol=1e-15, gtol="gtol", maxfun=1_000_000),
    "scipy-slsqp": _scipy("SLSQP", stops=False, ftol=1e-15, maxiter=100_000),
    "trust-constr": _scipy("trust-constr", gtol="gtol", xtol=1e-15, maxiter=100_000),
    "newton-cg": _scipy("Newton-CG", xtol=1e-14, maxiter=100_000),
    "nlopt-lbfgs": _nlopt(0),
    "nlopt-lbfgs-50": _nlopt(50),
    "nlopt-tnewton": _nlopt(0, "LD_TNEWTON_PRECOND_RESTART"),
    "cg-descent": _cg_descent(11),
    "cg-descent-0": _cg_descent(0),
    "optimistix-lbfgs": _optimistix(10),
    "adam": _adam(1e-2),
    "memory-cg": _phase("memory-cg"),
    "memory-cg-0": _phase("memory-cg", memory=0),
    "memory-cg-5": _phase("memory-cg", memory=5),
    "ssbroyden": _phase("ssbroyden"),
    "l-ssbroyden": _phase("l-ssbroyden"),
    "ssbfgs": _phase("ssbfgs"),
    "bfgs": _phase("bfgs"),
    "twophase": _twophase(),
    "twophase+memory-cg": _twophase(convex_method="memory-cg"),
    "twophase+ssbroyden": _twophase(convex_method="ssbroyden"),
    "twophase-unguarded": _twophase(guard=False),
    "twophase+memory-cg-unguarded": _twophase(convex_method="memory-cg", guard=False),
}
"""Every solver by name: ``solve(objective, x0, gtol) -> (x, success, message)``."""


def _on_alarm(signum: int, frame: Any) -> None:
    raise TimeExhausted


def run_one(solver: str, problem: Any, budget: int, seconds: float, gtol: float) -> dict[str, Any]:
    """Run one solver on one problem and report what it saw, claimed and cost.

    Parameters
    ----------
    solver : str
        A name in `SOLVERS`.
    problem : object
        ``fun(x)``, ``grad(x)``, ``x0`` and perhaps ``bounds``, see `Counted`.
    budget : int
        Evaluations allowed.
    seconds : float
        Wall-clock limit.
    gtol : float
        Gradient tolerance handed to the solver.

    Returns
    -------
    dict
        ``evals``/``f`` (evaluations at each new best value), ``nfev``, ``njev``, ``stop``, ``success``
        (claimed), ``gmax`` (largest absolute entry of `steepest` at the returned x, uncharged; None without
        one), ``outside`` (evaluations out of bounds).
    """
    x0 = np.array(problem.x0, dtype=float)
    objective = Counted(problem, budget)
    stop, success, message, x = "returned", False, "", None
    began = time.perf_counter()
    signal.signal(signal.SIGALRM, _on_alarm)
    signal.setitimer(signal.ITIMER_REAL, seconds)  # also ends a solver that loops without evaluating
    try:
        with np.errstate(all="ignore"):
            x, success, message = SOLVERS[solver](objective, x0.copy(), gtol)
    except BudgetExhausted:
        stop = "budget"
    except TimeExhausted:
        stop = "time"
    except Exception as error:  # a crash of one solver is a result, not the end of the benchmark
        stop, message = "error", f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
    taken = time.perf_counter() - began
    gmax, fx = None, None
    if x is not None:
        with np.errstate(all="ignore"):
            slope = steepest(np.asarray(x), problem.grad(np.array(x)), objective.bounds)
            gmax = float(np.max(np.abs(slope)))
            fx = float(problem.fun(np.array(x)))
    return {
        "evals": [k for k, _ in objective.trace],
        "f": [f for _, f in objective.trace],
        "nfev": objective.nfev,
        "njev": objective.njev,
        "outside": objective.outside,
        "stop": stop,
        "success": success,
        "message": message[:200],
        "gmax": gmax,
        "fx": fx,
        "seconds": round(taken, 3),
    }
