"""The front door: SciPy's signature, validation, and the choice between our method and SciPy's."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult

from twophase_min import _delegate
from twophase_min._callback import wrap_callback
from twophase_min._options import OWN_CONVEX_METHOD, TwoPhaseOptions
from twophase_min.objective.c_function import c_objective
from twophase_min.objective.calls import Objective
from twophase_min.objective.compiled import runs_compiled
from twophase_min.objective.start import start_vector
from twophase_min.phases.scipy import CURVED

Array = NDArray[np.floating]

METHOD = "twophase"


def minimize(
    fun: Callable[..., Any],
    x0: Any,
    args: Any = (),
    method: Any = METHOD,
    jac: Any = None,
    hess: Any = None,
    hessp: Any = None,
    bounds: Any = None,
    constraints: Any = (),
    tol: float | None = None,
    callback: Callable[..., Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> OptimizeResult:
    """Minimise a scalar function of one or more variables by the two-phase method.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args) -> float``, or ``(float, gradient)`` with ``jac=True``; or an object with
        ``value_and_gradient(x)``: a `FiniteSum`, the objective of an `MLP`; or, with ``jac=True``, a C
        function: a `scipy.LowLevelCallable` or ctypes function ``double f(double *x, double *g, int64_t n)``.
    x0 : array_like, shape (n,)
        Start. A scalar becomes shape (1,); integers and float16 become float64; float32 stays where the
        gradient is the caller's own (not autograd's, not by differences), else it becomes float64 too.
    args : tuple
        Further arguments of fun, jac, hess and hessp.
    method : str or callable, default 'twophase'
        Any name or callable that `scipy.optimize.minimize` knows is passed on to it, with the same
        gradient, callback forms and history.
    jac : callable, True, 'autograd', '2-point', '3-point', 'cs' or None
        Where the gradient comes from. None means autograd if it traces ``fun`` and its gradient agrees
        with a directional difference at x0, otherwise forward differences; ``result.gradient`` says
        which and why.
    hess, hessp : optional
        Hessian or its product with a vector; used by the convex methods 'Newton-CG', 'trust-ncg' and
        'trust-krylov' (autograd's product serves when none is given).
    bounds, constraints : optional
        Not handled by 'twophase': a RuntimeWarning says so.
    tol : float, optional
        Sets ``gtol``.
    callback : callable, optional
        ``callback(intermediate_result=OptimizeResult)`` or ``callback(xk)``, once an iteration, with copies.
        Raising StopIteration or returning True stops the run.
    options : mapping, optional
        See `TwoPhaseOptions`; unknown names warn.

    Returns
    -------
    OptimizeResult
        SciPy's fields x, fun, jac, nit, nfev, njev, status, success, message, and ``swaps``, ``phases``,
        ``history``, ``gradient``. x is the best point seen, however the run ended. jac is
        NaN where the run ended before the gradient at x was asked for.

    Raises
    ------
    ValueError, TypeError
        For input that cannot be minimised over; the message states the remedy. Exceptions of ``fun``
        propagate unchanged, with the best point so far in their attribute ``optimize_result``
        (``options={'on_error': 'return'}`` returns it instead).

    References
    ----------
    T. Hrycej, B. Bermeitinger, M. Pavone, G.-H. Wiegand, S. Handschuh, "A Convexity-dependent Two-Phase
    Training Algorithm for Deep Neural Networks", KDIR 2025, arXiv:2510.25366.

    Examples
    --------
    >>> from scipy.optimize import rosen, rosen_der
    >>> from twophase_min import minimize
    >>> result = minimize(rosen, [-1.2, 1.0], jac=rosen_der)
    >>> result.success, [round(float(v), 4) for v in result.x]
    (True, [1.0, 1.0])
    """
    if method is None or (isinstance(method, str) and method.lower() == METHOD):
        return _twophase(fun, x0, args, jac, hess, hessp, bounds, constraints, tol, callback, options)
    return _delegate.delegate(
        fun, x0, args, method, jac, hess, hessp, bounds, constraints, tol, callback, options
    )


def _twophase(
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
    args = args if isinstance(args, tuple) else (args,)
    in_c = c_objective(fun, jac, args)
    if in_c is not None:
        fun, args = in_c, in_c.args
    if not callable(fun):
        raise TypeError(f"fun must be callable, got {type(fun).__name__}.")
    compiled = runs_compiled(fun, jac)
    record = TwoPhaseOptions.from_mapping(options, tol, OWN_CONVEX_METHOD if compiled else "CG")
    own_gradient = callable(jac) or jac is True or hasattr(fun, "value_and_gradient")
    start = start_vector(x0, keep_float32=own_gradient)
    if bounds is not None:
        warnings.warn("Method twophase cannot handle bounds.", RuntimeWarning, stacklevel=3)
    if not (isinstance(constraints, (tuple, list)) and len(constraints) == 0) and constraints is not None:
        warnings.warn("Method twophase cannot handle constraints.", RuntimeWarning, stacklevel=3)
    if record.convex_method not in CURVED:
        for name, given in (("hess", hess), ("hessp", hessp)):
            if given is not None and callable(given):
                warnings.warn(
                    f"Method twophase does not use Hessian information ({name}).",
                    RuntimeWarning,
                    stacklevel=3,
                )
    if compiled or record.engine == "numba":
        result = _compiled_run(fun, jac, args, start, record, callback)
        if result is not None:
            return result
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
    )
    if record.convex_method in CURVED:
        objective.use_hessian(hess, hessp)
    from twophase_min.run.driver import Driver  # kernels, and Numba with them: not before the first run

    driver = Driver(objective, start, record, wrap_callback(callback))
    del start  # which the driver gives up as soon as it can
    return driver.run()


def _compiled_run(
    fun: Any, jac: Any, args: tuple[Any, ...], start: Array, record: TwoPhaseOptions, callback: Any
) -> OptimizeResult | None:
    """Run on the compiled engine; None where the driver has to do it."""
    if record.engine == "python":
        return None
    from twophase_min.run import engine

    reason = engine.why_not(fun, jac, record, callback, start.dtype)
    if not reason:
        try:
            compiled = engine.compile_objective(fun, jac, engine.describe_arguments(args))
        except TypeError as error:
            reason = str(error)
        else:
            return engine.minimize(fun, jac, args, start, record, compiled)
    if record.engine == "numba":
        raise ValueError(f"engine='numba' cannot serve this run: {reason}. Or use engine='python'.")
    return None
