"""SciPy's side of the method: a callable for its solvers, and its own methods with our gradient and history.

`twophase` and `shgo_method` go into `scipy.optimize`; `delegate` hands a run over to it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import closing
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult

from twophase_min._callback import wrap_callback
from twophase_min._history import History
from twophase_min._result import Result, keep
from twophase_min._scipy_quiet import minimize as scipy_minimize
from twophase_min._status import TEXTS, Status
from twophase_min._twophase import run_twophase
from twophase_min.objective import foreign
from twophase_min.objective.bounds import limits
from twophase_min.objective.calls import Objective
from twophase_min.objective.foreign import require_function
from twophase_min.objective.start import start_vector
from twophase_min.objective.workers import is_number, map_of
from twophase_min.phases import PHASES, is_ours

Array = NDArray[np.floating]

_BARE = str.maketrans("", "", " -_")
"""Takes out what a name may be written with."""
GRADIENT_FREE = frozenset({"nelder-mead", "powell", "cobyla", "cobyqa"})
"""SciPy methods that take no gradient."""


def twophase(
    fun: Callable[..., Any],
    x0: Any,
    args: Any = (),
    jac: Any = None,
    hess: Any = None,
    hessp: Any = None,
    bounds: Any = None,
    constraints: Any = (),
    callback: Callable[..., Any] | None = None,
    tol: float | None = None,
    **options: Any,
) -> OptimizeResult:
    """Two-phase minimisation as a callable method, ``scipy.optimize.minimize(..., method=twophase)``.

    It can be given as ``minimizer_kwargs={'method': twophase}`` of basinhopping and dual_annealing, and as
    ``polish=twophase`` of differential_evolution. shgo cannot take a callable method: see `shgo_method`.

    Parameters
    ----------
    fun, x0, args, jac, hess, hessp, bounds, constraints, callback, tol
        As SciPy hands them to a custom method. Strings in ``jac`` never arrive here, SciPy replaces them
        by None; use `twophase_min.minimize` for those.
    **options
        The entries of ``options``; see `TwoPhaseOptions`.

    Returns
    -------
    OptimizeResult
        As `twophase_min.minimize` returns it.
    """
    return run_twophase(fun, x0, args, jac, hess, hessp, bounds, constraints, tol, callback, options)


class shgo_method:
    """The method for shgo: ``minimizer_kwargs={'method': shgo_method(gtol=1e-8)}``.

    shgo calls ``.lower()`` on its local method, which a function does not have, and strips every option that
    it does not know; so this object answers ``lower()`` and carries the options itself.

    Parameters
    ----------
    **options
        See `TwoPhaseOptions`.
    """

    def __init__(self, **options: Any):
        self.options = options

    def lower(self) -> str:
        """Name under which shgo looks up what a method takes: any callable's."""
        return "_custom"

    def __call__(self, fun: Callable[..., Any], x0: Any, **keywords: Any) -> OptimizeResult:
        """Minimise as `twophase`, within shgo's bounds; its own ``ftol`` has no meaning here."""
        keywords.pop("ftol", None)
        return twophase(fun, x0, **{**keywords, **self.options})


def delegate(
    fun: Callable[..., Any],
    x0: Any,
    args: Any,
    method: Any,
    jac: Any,
    hess: Any,
    hessp: Any,
    bounds: Any,
    constraints: Any,
    tol: float | None,
    callback: Callable[..., Any] | None,
    options: Mapping[str, Any] | None,
) -> OptimizeResult:
    """Run ``scipy.optimize.minimize`` on our `Objective`; the result is SciPy's, with history and gradient.

    The gradient is resolved as for 'twophase'; with bounds or constraints and a finite-difference gradient it
    is left to SciPy, whose differences stay within the bounds. nfev and njev are the true calls.
    """
    require_function(fun)
    name = method.lower() if isinstance(method, str) else ""
    if is_ours(name) and name not in map(str.lower, PHASES.keys() - {name}):
        raise ValueError(
            f"Unknown solver {method}: it is a convex method; options={{'convex_method': {name!r}}} asks for "
            "it."
        )
    if get_close_matches(name.translate(_BARE), ["twophase"], 1, 0.8):
        raise ValueError(f"Unknown solver {method} (did you mean 'twophase'?)")
    args = args if isinstance(args, tuple) else (args,)
    start = start_vector(x0, keep_float32=False)
    bounded = bounds is not None or not (isinstance(constraints, (tuple, list)) and len(constraints) == 0)
    extra = dict(options or {})
    own = {key: extra.pop(key) for key in ("eps", "finite_diff_rel_step", "workers") if key in extra}
    fused = jac is None and hasattr(fun, "value_and_gradient")
    differences = not fused and jac in (None, False, "2-point", "3-point", "cs")
    by_scipy = name in GRADIENT_FREE or (bounded and differences)
    objective = Objective(
        fun,
        jac,
        args,
        start.size,
        start.dtype,
        abs_step=own.get("eps"),
        rel_step=own.get("finite_diff_rel_step"),
        workers=own.get("workers"),
    )
    history = History()
    stop = wrap_callback(callback)
    iteration, stopped = 0, False

    def record(x: Any, fun: float, norm: float) -> None:
        history.append(
            "start" if iteration == 0 else str(method if name else getattr(method, "__name__", "callable")),
            (iteration, objective.nfev, objective.njev, objective.cost, objective.elapsed, fun, norm, np.nan),
        )

    def on_iterate(intermediate: OptimizeResult) -> None:
        nonlocal iteration, stopped
        iteration += 1
        x = np.array(intermediate.x)
        last = objective.last
        f = getattr(intermediate, "fun", None)
        if f is None:
            f = objective.value(x)
        known = last if last is not None and np.array_equal(last.x, x) else objective.best
        has = known is not None and known.g is not None and np.array_equal(known.x, x)
        norm = float(np.linalg.norm(known.g)) if has else np.nan  # type: ignore[union-attr, arg-type]
        record(x, float(f), norm)
        if stop is not None and stop(
            OptimizeResult(
                x=x, fun=f, nit=iteration, nfev=objective.nfev, njev=objective.njev, grad_norm=norm
            )
        ):
            stopped = True
            raise StopIteration

    with closing(objective):
        keywords: dict[str, Any] = {"bounds": bounds, "constraints": constraints, "tol": tol}
        first = start if bounds is None else np.clip(start, *limits(bounds))  # as SciPy's methods begin
        if by_scipy:
            objective.use_values_only()
            if name not in GRADIENT_FREE and jac is None:
                foreign.warn_of_differences(objective, first, "jac is None")
            extra |= {key: value for key, value in own.items() if key != "workers" or value is not None}
            if not is_number(extra.get("workers")):
                extra["workers"] = map_of(extra["workers"])
            if name not in GRADIENT_FREE:
                keywords["jac"] = jac or None
        else:
            f, g = objective.start(first)
            record(first, f, float(np.linalg.norm(g)))
            keywords["jac"] = objective.gradient_alone
        for key, given in (("hess", hess), ("hessp", hessp)):
            if callable(given) and args:
                given = _with_args(given, args)
            keywords[key] = given

        def by_result(intermediate_result: OptimizeResult) -> None:
            on_iterate(intermediate_result)

        positional = name in ("tnc", "cobyla", "slsqp", "trust-constr")
        callback_form = _by_position(on_iterate) if positional else by_result
        try:
            result = scipy_minimize(
                objective.value, start, method=method, callback=callback_form, options=extra, **keywords
            )
        except StopIteration as error:
            if not stopped:  # not ours: the objective's own
                if objective.best is not None:
                    keep(error, _best(objective, iteration, Status.EXCEPTION))
                raise
            result = _best(objective, iteration, Status.CALLBACK)  # TNC lets it escape
        except BaseException as error:
            if objective.best is not None:
                keep(error, _best(objective, iteration, Status.EXCEPTION))
            raise
    if objective.caution:
        warnings.warn(objective.caution, RuntimeWarning, stacklevel=3)
    result = Result(result)
    result.nfev = objective.nfev
    if not by_scipy:
        result.njev = objective.njev
    result.history = history
    result.phases = history.phases
    result.swaps = []
    result.gradient = objective.description
    result.seconds = objective.elapsed
    return result


def _best(objective: Objective, iteration: int, status: Status) -> Result:
    """Build the result of a run that ended outside of SciPy's method: the best point."""
    best = objective.best
    assert best is not None
    return Result(
        x=best.x,
        fun=best.f,
        jac=np.full(best.x.shape, np.nan) if best.g is None else best.g,
        nit=iteration,
        nfev=objective.nfev,
        njev=objective.njev,
        status=int(status),
        success=False,
        message=TEXTS[status],
    )


def _with_args(function: Callable[..., Any], args: tuple[Any, ...]) -> Callable[..., Any]:
    return lambda *given: function(*given, *args)


def _by_position(on_iterate: Callable[[OptimizeResult], None]) -> Callable[..., None]:
    """Wrap for the methods that hand their callback the iterate (and, trust-constr, a state)."""

    def call(x: Any, state: Any = None) -> None:
        on_iterate(OptimizeResult(x=x))

    return call
