"""Run a minimiser on a problem and assert success flag, accuracy and counters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twophase_min.problems import Problem
from twophase_min.testing import findings


class _TooManyEvaluations(Exception):
    """Ends a run that exceeds ``maxfun``; seen by the caller only as an AssertionError."""


class _Counter:
    """A problem's functions, counted as they are called, each call given its own copy of x."""

    def __init__(self, problem: Problem, maxfun: float) -> None:
        self.problem, self.maxfun = problem, maxfun
        self.values = self.gradients = 0

    def _charge(self) -> None:
        if self.values + self.gradients > self.maxfun:
            raise _TooManyEvaluations

    def fun(self, x: Any) -> Any:
        self.values += 1
        self._charge()
        return self.problem.fun(np.array(x))

    def grad(self, x: Any) -> NDArray[np.float64]:
        self.gradients += 1
        self._charge()
        return self.problem.grad(np.array(x))

    def fused(self, x: Any) -> tuple[float, NDArray[np.float64]]:
        self.gradients += 1
        return self.fun(x), self.problem.grad(np.array(x))

    def traced(self, x: Any) -> Any:
        self.values += 1
        self._charge()
        return self._traceable(x)

    def with_traceable(self) -> Callable[[Any], Any]:
        self._traceable = self.problem.traceable()
        return self.traced


def _call(minimizer: Any, fun: Any, x0: NDArray[np.float64], keywords: dict[str, Any]) -> Any:
    if isinstance(minimizer, str):
        import twophase_min

        return twophase_min.minimize(fun, x0, method=minimizer, **keywords)
    if callable(minimizer):
        return minimizer(fun, x0, **keywords)
    raise TypeError(f"minimizer must be a method name or a callable, got {type(minimizer).__name__}")


def assert_converges(
    minimizer: str | Callable[..., Any],
    problem: Problem,
    *,
    x0: ArrayLike | None = None,
    jac: Any = "analytic",
    hess: bool = False,
    ftol: float | None = 1e-6,
    gtol: float | None = 1e-4,
    xtol: float | None = None,
    local: bool = False,
    success: bool | None = True,
    counts: bool | None = None,
    reported_jac: bool = True,
    maxfun: float = 100_000,
    tol: float | None = None,
    options: Mapping[str, Any] | None = None,
) -> Any:
    """Run a minimiser on a problem and assert its success flag, its accuracy and its counters.

    Every check is made, and one AssertionError names all that failed. What the result reports is never
    taken for what is true: value, gradient and distance are computed anew at the returned x, and calls are
    counted here.

    Parameters
    ----------
    minimizer : str or callable
        A method name for ``twophase_min.minimize`` (which hands SciPy's names on to SciPy), or a callable
        with the protocol of ``scipy.optimize.minimize``: ``minimizer(fun, x0, jac=..., [hess=, tol=,
        options=])`` giving an ``OptimizeResult``. To test a method that SciPy calls, pass
        ``functools.partial(scipy.optimize.minimize, method=...)``.
    problem : Problem
        From :mod:`twophase_min.problems`, a strategy of this module, or your own.
    x0 : array_like, shape (n,), optional
        Another start than the problem's.
    jac : {'analytic', True, 'autograd'} or other, default: 'analytic'
        'analytic' hands over the problem's gradient, True one function that returns value and gradient.
        'autograd' hands over the traceable function with that word. Anything else (None, '2-point', ...)
        is handed over as it is.
    hess : bool, default: False
        Whether to hand over the problem's Hessian.
    ftol : float or None, default: 1e-6
        ``f(x) - f_min <= ftol (f(x0) - f_min)`` up to rounding, as in data profiles. Not checked where
        None, or where ``f_min`` is not known.
    gtol : float or None, default: 1e-4
        ``max |g(x)| <= gtol max(1, max |g(x0)|)``. None for no check, as on a function without a
        derivative at the minimum.
    xtol : float or None, default: None
        ``|x - x*| <= xtol max(1, |x0 - x*|)`` to the nearest known global minimiser, Euclidean. None for
        no check.
    local : bool, default: False
        True accepts any stationary point no higher than the start: ftol and xtol are not looked at.
    success : bool or None, default: True
        What the flag must be; None leaves it open, and then accuracy is asked for only where success is
        claimed.
    counts : bool or None, default: None
        Whether ``nfev`` and ``njev`` must equal the calls counted. None checks them for jac 'analytic' and
        True. With True, where one value may answer two requests, ``njev`` must not exceed the calls; with any
        other jac only ``nfev`` is compared.
    reported_jac : bool, default: True
        Whether ``result.jac``, where there is one, must be the gradient at the returned x (with jac
        'analytic' or True). SciPy's Newton-CG reports the one of the point before.
    maxfun : float, default: 100000
        The run may not need more evaluations than this, a value and a gradient counting one each. The
        minimiser is not told; it is stopped.
    tol : float, optional
        Handed over if given.
    options : mapping, optional
        Handed over as a dict if given.

    Returns
    -------
    OptimizeResult
        What the minimiser returned.

    Raises
    ------
    AssertionError
        If any check fails.
    ValueError
        If the problem leaves nothing to check.
    TypeError
        If the minimiser is neither a name nor callable, or a Hessian is asked for that the problem has not.

    References
    ----------
    Moré & Wild (2009), Benchmarking derivative-free optimization algorithms, SIAM J. Optim. 20(1), 172-191
    (the accuracy test of data profiles).
    """
    known_f = ftol is not None and problem.f_min is not None and not local
    known_x = xtol is not None and len(problem.minimizers) > 0 and not local
    if not (known_f or known_x or gtol is not None):
        raise ValueError(
            f"{problem.name}: no minimum is known (or local=True) and gtol is None: nothing to check"
        )
    if hess and problem.hess is None:
        raise TypeError(f"{problem.name} has no Hessian to hand over")
    start = np.array(problem.x0 if x0 is None else x0, dtype=np.float64)
    counter = _Counter(problem, maxfun)
    fun: Any = counter.fun
    keywords: dict[str, Any] = {"jac": jac}
    if isinstance(jac, str) and jac == "analytic":
        keywords["jac"] = counter.grad
    elif jac is True:
        fun = counter.fused
    elif isinstance(jac, str) and jac == "autograd":
        fun = counter.with_traceable()
    if hess:
        keywords["hess"] = problem.hess
    if tol is not None:
        keywords["tol"] = tol
    if options is not None:
        keywords["options"] = dict(options)

    try:
        result = _call(minimizer, fun, start.copy(), keywords)
    except _TooManyEvaluations:
        raise AssertionError(
            f"{problem!r}: more than maxfun={maxfun} evaluations, "
            f"{counter.values} values and {counter.gradients} gradients"
        ) from None
    called = counter.values, counter.gradients

    faults = findings.form(result, start)
    if not faults:
        analytic = jac is True or (isinstance(jac, str) and jac == "analytic")
        claimed = bool(result.success)
        faults += findings.flag(result, success)
        faults += findings.truth(result, problem, start, analytic and reported_jac)
        if success is not None or claimed:
            faults += findings.accuracy(
                np.asarray(result.x, dtype=np.float64),
                problem,
                start,
                ftol if known_f else None,
                gtol,
                xtol if known_x else None,
                claimed,
            )
        if analytic if counts is None else counts:
            faults += findings.counters(result, called, jac if analytic else None)
    if sum(called) > maxfun:
        faults.append(f"evaluations: {sum(called)}, more than maxfun={maxfun}")
    if faults:
        lines = "\n".join(f"  - {fault}" for fault in faults)
        who = minimizer if isinstance(minimizer, str) else getattr(minimizer, "__name__", repr(minimizer))
        said = getattr(result, "message", None)
        raise AssertionError(f"{who} on {problem!r}, message {said!r}:\n{lines}")
    return result
