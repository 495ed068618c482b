"""One two-phase run: validation, and the choice between the driver and the compiled engine.

It stands below both of its callers, `minimize` and the callable `twophase` for SciPy's own solvers.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult

from twophase_min import _constraints
from twophase_min._callback import wrap_callback
from twophase_min._caller import caller
from twophase_min._options import TwoPhaseOptions
from twophase_min.objective.bounds import Box, box_of, moved_inside
from twophase_min.objective.c_function import c_objective
from twophase_min.objective.calls import Objective
from twophase_min.objective.clock import Clock
from twophase_min.objective.compiled import is_worth_compiling, runs_compiled
from twophase_min.objective.foreign import require_function
from twophase_min.objective.start import start_vector
from twophase_min.phases import BOUNDED_DEFAULT, COMPILED_DEFAULT, DEFAULT, PHASES, convex_phase

Array = NDArray[np.floating]


def run_twophase(
    fun: Callable[..., Any],
    x0: Any,
    args: Any,
    jac: Any,
    hess: Any,
    hessp: Any,
    bounds: Any,
    constraints: Any,
    tol: float | None,
    callback: Callable[..., Any] | None,
    options: Mapping[str, Any] | None,
) -> OptimizeResult:
    """Validate, and run the driver."""
    clock = Clock()
    args = args if isinstance(args, tuple) else (args,)
    in_c = c_objective(fun, jac, args)
    if in_c is not None:
        fun, args = in_c, in_c.args
    require_function(fun)
    compiled = runs_compiled(fun, jac)
    own_gradient = callable(jac) or jac is True or hasattr(fun, "value_and_gradient")
    start = start_vector(x0, keep_float32=own_gradient)
    box = box_of(bounds, start.size)
    default = COMPILED_DEFAULT if compiled else DEFAULT if box is None else BOUNDED_DEFAULT
    record = TwoPhaseOptions.from_mapping(options, tol, default)
    if box is not None:
        require_bounds(record)
        box = box.as_type(start.dtype)
        start = moved_inside(start, box)
    if _constraints.given(constraints):
        warnings.warn("Method twophase cannot handle constraints.", RuntimeWarning, stacklevel=caller())
    hessian = convex_phase(record.convex_method).hessian
    if not hessian:
        for name, given in (("hess", hess), ("hessp", hessp)):
            if given is not None and callable(given):
                warnings.warn(
                    f"Method twophase does not use Hessian information ({name}).",
                    RuntimeWarning,
                    stacklevel=caller(),
                )
    if compiled or record.engine == "numba":
        result = _compiled_run(fun, jac, args, start, record, callback, box)
        if result is not None:
            return _constraints.judged(result, constraints)
    objective = Objective(
        fun,
        jac,
        args,
        start.size,
        start.dtype,
        maxfun=record.maxfun,
        maxtime=record.maxtime,
        f_target=record.f_target,
        abs_step=record.eps,
        rel_step=record.finite_diff_rel_step,
        workers=record.workers,
        seed=record.seed,
        box=box,
        began=clock.began,
    )
    if hessian:
        objective.use_hessian(hess, hessp)
    loading = Clock()
    from twophase_min.run.driver import Driver  # kernels, and Numba with them: not before the first run

    driver = Driver(objective, start, record, wrap_callback(callback))
    if record.maxtime is not None:
        for name, _ in driver.fallbacks:
            _load(name, start.dtype.char)
    objective.clock.excuse(loading.elapsed)
    del start  # which the driver gives up as soon as it can
    return _constraints.judged(driver.run(), constraints)


def require_bounds(options: TwoPhaseOptions) -> None:
    """Refuse a convex method that does not keep to bounds.

    Raises
    ------
    ValueError
        With the methods that do.
    """
    if options.convex_method is None:  # the default keeps to them
        return
    phase = convex_phase(options.convex_method)
    if not phase.bounds:
        able = ", ".join(repr(other.name) for other in PHASES.values() if other.bounds)
        raise ValueError(
            f"convex_method {phase.name!r} does not keep to bounds: use {able} or a callable that takes them."
        )


@functools.cache
def _load(method: str, kind: str) -> None:
    """Load every kernel that a run with this convex method may need, by a small run; once a process."""
    from twophase_min.phases import PHASES
    from twophase_min.run.driver import Driver

    def quartic(x: Array) -> tuple[float, Array]:
        return float(0.25 * (x**4).sum()), x**3

    options = TwoPhaseOptions(convex_method=method if method in PHASES else None, maxiter=20, gtol=0.0)
    x0 = np.array([1.0, 2.0], dtype=kind)
    Driver(Objective(quartic, True, (), 2, x0.dtype), x0, options).run()


def _compiled_run(
    fun: Any,
    jac: Any,
    args: tuple[Any, ...],
    start: Array,
    record: TwoPhaseOptions,
    callback: Any,
    box: Box | None,
) -> OptimizeResult | None:
    """Run on the compiled engine; None where the driver has to do it."""
    if record.engine == "python":
        return None
    from twophase_min.run import engine

    reason = engine.why_not(fun, jac, record, callback, start.dtype)
    if not reason and record.engine == "auto" and not is_worth_compiling(fun, jac):
        return None
    if not reason:
        try:
            compiled = engine.compile_objective(fun, jac, engine.describe_arguments(args))
        except TypeError as error:
            reason = str(error)
        else:
            return engine.minimize(fun, jac, args, start, record, compiled, box)
    if record.engine == "numba":
        raise ValueError(f"engine='numba' cannot serve this run: {reason}. Or use engine='python'.")
    return None
