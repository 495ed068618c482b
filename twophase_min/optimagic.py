"""The two-phase method as an algorithm of optimagic; needs the extra ``optimagic``.

``optimagic.minimize(fun, params, algorithm=TwoPhase)``, or with options ``algorithm=TwoPhase(seed=1)`` or
``algo_options``. Parameters as pytrees, constraints by reparametrisation, scaling, multistart, error
handling, logging, history and plots are optimagic's own: the algorithm sees a function of one flat vector.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds

try:
    from optimagic import mark
    from optimagic.optimization.algo_options import STOPPING_MAXFUN, STOPPING_MAXITER
    from optimagic.optimization.algorithm import Algorithm, InternalOptimizeResult
    from optimagic.typing import (
        AggregationLevel,
        NonNegativeFloat,
        NonNegativeInt,
        PositiveFloat,
        PositiveInt,
    )
except ImportError as error:
    raise ImportError(
        "twophase_min.optimagic needs optimagic: pip install 'twophase_min[optimagic]'."
    ) from error

from twophase_min._minimize import minimize

__all__ = ["TwoPhase"]


@mark.minimizer(
    name="twophase",
    solver_type=AggregationLevel.SCALAR,
    is_available=True,
    is_global=False,
    needs_jac=True,
    needs_hess=False,
    needs_bounds=False,
    supports_parallelism=False,
    supports_bounds=True,
    supports_infinite_bounds=True,
    supports_linear_constraints=False,
    supports_nonlinear_constraints=False,
)
@dataclass(frozen=True)
class TwoPhase(Algorithm):
    """Adam while the objective is not convex, conjugate gradients after the convexity swap.

    The gradient is the one that optimagic is given as ``jac`` or ``fun_and_jac``; without either, optimagic
    takes differences. Values and gradients are asked for separately, as a line search needs more of the
    former. The names of the options are optimagic's where it has one.

    Parameters
    ----------
    convergence_gtol_abs : float, default 1e-5
        ``gtol``: the run has converged when the norm of the gradient is at most this. Unit f / x.
    convergence_gtol_rel : float, default 0
        ``gtol_rel``: or at most this share of the norm at the start. Unit 1.
    stopping_maxfun : int, default 1,000,000
        Values of the objective at most.
    stopping_maxiter : int, default 1,000,000
        Iterations at most, over both phases.
    stopping_maxtime : float, default inf
        Seconds at most.
    convex_method : str, optional
        Method of the convex phase, see `TwoPhaseOptions`.
    learning_rate : float, optional
        Of Adam; found by the method if it is not given.
    seed : int, default 0
        Of everything random.
    options : dict, default {}
        Further entries of ``options`` of `minimize`. They win over the fields above.

    Raises
    ------
    optimagic.exceptions.InvalidAlgoOptionError
        For a name that is not among these, or a value that cannot be converted to the type of its field.
    """

    convergence_gtol_abs: NonNegativeFloat = 1e-5
    convergence_gtol_rel: NonNegativeFloat = 0.0
    stopping_maxfun: PositiveInt = STOPPING_MAXFUN
    stopping_maxiter: PositiveInt = STOPPING_MAXITER
    stopping_maxtime: PositiveFloat = math.inf
    convex_method: str | None = None
    learning_rate: float | None = None
    seed: NonNegativeInt = 0
    options: dict[str, Any] = field(default_factory=dict)

    def _solve_internal_problem(self, problem: Any, x0: NDArray[np.float64]) -> InternalOptimizeResult:
        """Minimise optimagic's function of a flat vector; what we know of the run goes into ``info``."""
        given = {
            "gtol": self.convergence_gtol_abs,
            "gtol_rel": self.convergence_gtol_rel,
            "maxfun": self.stopping_maxfun,
            "maxiter": self.stopping_maxiter,
            "maxtime": None if self.stopping_maxtime == math.inf else self.stopping_maxtime,
            "convex_method": self.convex_method,
            "learning_rate": self.learning_rate,
            "seed": self.seed,
        }
        options = {**given, **self.options}
        result = minimize(problem.fun, x0, jac=problem.jac, bounds=_limits(problem.bounds), options=options)
        return InternalOptimizeResult(
            x=result.x,
            fun=float(result.fun),
            success=bool(result.success),
            message=result.message,
            status=int(result.status),
            n_fun_evals=int(result.nfev),
            n_jac_evals=int(result.njev),
            n_iterations=int(result.nit),
            jac=result.jac,
            info={"swaps": result.swaps, "phases": result.phases},
        )


def _limits(bounds: Any) -> Bounds | None:
    """Bounds as SciPy has them, None where there are none; of unused ones optimagic itself says nothing."""
    lower = -np.inf if bounds.lower is None else bounds.lower
    upper = np.inf if bounds.upper is None else bounds.upper
    return Bounds(lower, upper) if np.any(np.isfinite(lower)) or np.any(np.isfinite(upper)) else None
