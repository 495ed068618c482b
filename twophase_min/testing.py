"""Property-test the convergence of any SciPy-compatible minimiser (extra ``testing`` for the strategies).

Strategies draw a :class:`~twophase_min.problems.Problem` whose minimum is known by construction;
:func:`assert_converges` runs a minimiser on it and holds the success flag, the accuracy and the counters
apart from each other.

>>> from hypothesis import given
>>> from twophase_min.testing import assert_converges, convex_quadratics
>>> @given(convex_quadratics(max_n=5, max_condition=100.0))
... def test_quadratics(problem):
...     assert_converges("BFGS", problem, ftol=1e-8)

Only the strategies need hypothesis, and it is imported when one of them is called.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twophase_min.problems import (
    Problem,
    convex_quadratic,
    paper_example_1,
    paper_example_2,
    smooth_nonconvex,
)

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = [
    "assert_converges",
    "assert_gradient",
    "convex_quadratics",
    "nonconvex_problems",
    "paper_example_1_problems",
    "paper_example_2_problems",
]

_EPS = float(np.finfo(np.float64).eps)
_SEED = 2**32 - 1


# --- Strategies -----------------------------------------------------------------------------------


def _strategies() -> Any:
    try:
        from hypothesis import strategies
    except ImportError as error:
        raise ImportError(
            "the strategies of twophase_min.testing need hypothesis: pip install twophase_min[testing]"
        ) from error
    return strategies


def _check_range(min_n: int, max_n: int, max_condition: float) -> None:
    if not 1 <= min_n <= max_n:
        raise ValueError(f"1 <= min_n <= max_n is needed, got {min_n} and {max_n}")
    if not (math.isfinite(max_condition) and max_condition >= 1.0):
        raise ValueError(f"max_condition must be finite and at least 1, got {max_condition}")


def convex_quadratics(min_n: int = 1, max_n: int = 10, max_condition: float = 1e4) -> SearchStrategy[Problem]:
    """Strategy for strictly convex quadratics of known condition number and minimum.

    Parameters
    ----------
    min_n, max_n : int, default: 1 and 10
        Range of the number of variables.
    max_condition : float, default: 1e4
        Largest condition number; drawn log-uniformly from 1, and exact by construction.

    Returns
    -------
    hypothesis.strategies.SearchStrategy of Problem
        From :func:`twophase_min.problems.convex_quadratic`; shrinks to few variables, condition 1, seed 0.
        Known: the minimum, its value, that it is the only stationary point.

    Raises
    ------
    ValueError
        If a range is empty.
    ImportError
        If hypothesis is not installed.
    """
    st = _strategies()
    _check_range(min_n, max_n, max_condition)

    def build(n: int, exponent: float, seed: int, level: float) -> Problem:
        condition = max_condition**exponent if n > 1 else 1.0
        return convex_quadratic(n, condition, seed, f_min=level)

    return st.builds(
        build,
        st.integers(min_n, max_n),
        st.floats(0.0, 1.0),
        st.integers(0, _SEED),
        st.sampled_from([0.0, 1.0, -10.0]),
    )


def nonconvex_problems(
    min_n: int = 1,
    max_n: int = 5,
    max_condition: float = 20.0,
    *,
    kinds: Sequence[str] = ("sine", "warp", "log"),
    unimodal: bool = True,
) -> SearchStrategy[Problem]:
    """Strategy for smooth, non-convex functions with a known global minimum.

    Parameters
    ----------
    min_n, max_n : int, default: 1 and 5
        Range of the number of variables.
    max_condition : float, default: 20.0
        Largest condition number of the Hessian at the minimum.
    kinds : sequence of {'sine', 'warp', 'log'}, default: all
        Constructions of :func:`twophase_min.problems.smooth_nonconvex`. 'warp' needs two variables, so it
        is not drawn with one.
    unimodal : bool, default: True
        True: the global minimum is the only stationary point, so a local method must find it. False: waves
        deep enough (bumps from 5 to 30) for further local minima, which are not listed; only 'sine' has
        them. The value and the unique minimiser of the global minimum are known in both cases.

    Returns
    -------
    hypothesis.strategies.SearchStrategy of Problem

    Raises
    ------
    ValueError
        If a range is empty, a kind is unknown, or no kind fits the other arguments.
    ImportError
        If hypothesis is not installed.
    """
    st = _strategies()
    _check_range(min_n, max_n, max_condition)
    unknown = sorted(set(kinds) - {"sine", "warp", "log"})
    if unknown:
        raise ValueError(f"unknown kinds {unknown}; there are 'sine', 'warp' and 'log'")
    usable = [kind for kind in kinds if (unimodal or kind == "sine") and (max_n > 1 or kind != "warp")]
    if not usable:
        raise ValueError(f"none of {tuple(kinds)} can be drawn with max_n={max_n}, unimodal={unimodal}")
    bumps = st.floats(1.2, 4.2) if unimodal else st.floats(5.0, 30.0)

    def build(kind: str, n: int, exponent: float, seed: int, depth: float) -> Problem:
        condition = max_condition**exponent if n > 1 else 1.0
        return smooth_nonconvex(n, kind, condition, seed, bumps=depth)

    def of_kind(kind: str) -> Any:
        sizes = st.integers(max(min_n, 2) if kind == "warp" else min_n, max_n)
        return st.builds(build, st.just(kind), sizes, st.floats(0.0, 1.0), st.integers(0, _SEED), bumps)

    return st.one_of([of_kind(kind) for kind in usable])


def paper_example_1_problems(units: int = 100) -> SearchStrategy[Problem]:
    """Strategy for random tasks of the paper's first example that have a solution.

    Parameters
    ----------
    units : int, default: 100
        Number of inputs.

    Returns
    -------
    hypothesis.strategies.SearchStrategy of Problem
        From :func:`twophase_min.problems.paper_example_1`: ``x_min`` and ``more_minima`` have loss 0, and
        from the start to ``x_min`` the loss falls strictly; other stationary points elsewhere are possible
        and not listed.

    Raises
    ------
    ImportError
        If hypothesis is not installed.
    """
    st = _strategies()
    tasks = st.integers(0, _SEED).map(lambda seed: paper_example_1(seed, units))
    return tasks.filter(lambda problem: problem.x_min is not None)


def paper_example_2_problems(
    min_C: float = 0.40, max_C: float = 0.60, *, left: float = -2.0, right: float = 2.0
) -> SearchStrategy[Problem]:
    """Strategy for the paper's second example over C, r in [0.05, 0.15] and the start.

    Parameters
    ----------
    min_C, max_C : float, default: 0.40 and 0.60
        Range of C. Up to 1/2 the only local minimum is the global one; above, there are others.
    left, right : float, default: -2.0 and 2.0
        Range of the start.

    Returns
    -------
    hypothesis.strategies.SearchStrategy of Problem
        From :func:`twophase_min.problems.paper_example_2`; all solutions of loss 0 are listed, other local
        minima are found by :func:`twophase_min.problems.landscape`.

    Raises
    ------
    ValueError
        If a range is empty, or max_C is above 0.6, where a solution need not exist.
    ImportError
        If hypothesis is not installed.
    """
    st = _strategies()
    if not (0.0 <= min_C <= max_C <= 0.6 and left <= right):
        raise ValueError("0 <= min_C <= max_C <= 0.6 and left <= right are needed")
    return st.builds(paper_example_2, st.floats(min_C, max_C), st.floats(0.05, 0.15), st.floats(left, right))


# --- Convergence ----------------------------------------------------------------------------------


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
        True. With True, where a value may serve two requests, ``njev`` must not exceed the calls; with any
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

    faults = _form(result, start)
    if not faults:
        analytic = jac is True or (isinstance(jac, str) and jac == "analytic")
        claimed = bool(result.success)
        faults += _flag(result, success)
        faults += _truth(result, problem, start, analytic and reported_jac)
        if success is not None or claimed:
            faults += _accuracy(
                np.asarray(result.x, dtype=np.float64),
                problem,
                start,
                ftol if known_f else None,
                gtol,
                xtol if known_x else None,
                claimed,
            )
        if analytic if counts is None else counts:
            faults += _counters(result, called, jac if analytic else None)
    if sum(called) > maxfun:
        faults.append(f"evaluations: {sum(called)}, more than maxfun={maxfun}")
    if faults:
        lines = "\n".join(f"  - {fault}" for fault in faults)
        who = minimizer if isinstance(minimizer, str) else getattr(minimizer, "__name__", repr(minimizer))
        said = getattr(result, "message", None)
        raise AssertionError(f"{who} on {problem!r}, message {said!r}:\n{lines}")
    return result


def _form(result: Any, start: NDArray[np.float64]) -> list[str]:
    """Find what is missing in a result before anything else is read from it."""
    missing = [name for name in ("x", "fun", "success") if not hasattr(result, name)]
    if missing:
        return [f"form: the result has no {', '.join(missing)}"]
    if np.shape(result.x) != start.shape:
        return [f"form: x has shape {np.shape(result.x)}, the start {start.shape}"]
    if not np.all(np.isfinite(result.x)):
        return ["form: x is not finite"]
    if np.size(result.fun) != 1 or not np.issubdtype(np.asarray(result.fun).dtype, np.number):
        return [f"form: fun is {result.fun!r}, not a number"]
    return []


def _flag(result: Any, success: bool | None) -> list[str]:
    if not isinstance(result.success, bool | np.bool_):
        return [f"success flag: {result.success!r} is no bool"]
    if success is not None and bool(result.success) != success:
        status = getattr(result, "status", None)
        return [f"success flag: {bool(result.success)} (status {status!r}), expected {success}"]
    return []


def _truth(result: Any, problem: Problem, start: NDArray[np.float64], with_jac: bool) -> list[str]:
    """Hold what the result says about its own point against the functions."""
    faults = []
    x = np.array(result.x, dtype=np.float64)
    f, f0 = float(problem.fun(x)), float(problem.fun(start))
    # NaN must fail every comparison, hence "not (a <= b)" throughout.
    if not abs(float(result.fun) - f) <= 1e-10 * max(abs(f), 1e-300) + 64.0 * _EPS * abs(f0):
        faults.append(f"value: fun={float(result.fun):.17g} reported, f(x)={f:.17g}")
    if not f <= f0 + 64.0 * _EPS * abs(f0):
        faults.append(f"value: f(x)={f:.10g} is worse than f(x0)={f0:.10g}")
    if with_jac and getattr(result, "jac", None) is not None:
        g, reported = problem.grad(x), np.asarray(result.jac, dtype=np.float64)
        scale = float(np.max(np.abs(problem.grad(start))))
        if reported.shape != g.shape:
            faults.append(f"gradient: jac has shape {reported.shape}, x {g.shape}")
        elif not np.max(np.abs(reported - g)) <= 1e-8 * float(np.max(np.abs(g))) + 1e-10 * scale:
            faults.append(
                f"gradient: jac reported is off the gradient at x by {np.max(np.abs(reported - g)):.3g}"
            )
    return faults


def _accuracy(
    x: NDArray[np.float64],
    problem: Problem,
    start: NDArray[np.float64],
    ftol: float | None,
    gtol: float | None,
    xtol: float | None,
    claimed: bool,
) -> list[str]:
    faults: list[str] = []
    f, f0 = float(problem.fun(x)), float(problem.fun(start))
    top, top0 = (float(np.max(np.abs(problem.grad(point)))) for point in (x, start))
    steep = gtol is not None and not top <= gtol * max(1.0, top0)
    if steep:
        faults.append(f"accuracy: max |g(x)| = {top:.3g}, allowed {gtol:g} * max(1, {top0:.3g})")
    if ftol is not None and problem.f_min is not None:
        rounding = 64.0 * _EPS * max(abs(problem.f_min), abs(f))
        gap, whole = f - problem.f_min, f0 - problem.f_min
        if not gap <= ftol * max(whole, 0.0) + rounding:
            text = f"accuracy: f(x) - f_min = {gap:.3g}, allowed {ftol:g} * (f(x0) - f_min = {whole:.3g})"
            if gtol is not None and not steep:
                text += "; the gradient is small there: another stationary point? (local=True accepts those)"
            faults.append(text)
        if not gap >= -rounding - 1e-12 * max(whole, 0.0):
            faults.append(f"accuracy: f(x) = {f:.17g} lies below the known minimum {problem.f_min:.17g}")
    if xtol is not None:
        away = problem.minimizers - x
        distances = np.linalg.norm(away, axis=1)
        nearest = int(np.argmin(distances))
        width = max(1.0, float(np.linalg.norm(start - problem.minimizers[nearest])))
        if not distances[nearest] <= xtol * width:
            off = f"{distances[nearest]:.3g} from the nearest minimiser"
            faults.append(f"accuracy: {off}, allowed {xtol:g} * {width:.3g}")
    if faults and claimed:
        faults.append("the result claims success=True all the same")
    return faults


def _counters(result: Any, called: tuple[int, int], jac: Any) -> list[str]:
    faults = []
    values, gradients = called
    nfev, njev = getattr(result, "nfev", None), getattr(result, "njev", None)
    if nfev is None or nfev != values:
        faults.append(f"counters: nfev={nfev} reported, {values} calls of fun counted")
    if jac is True:
        if njev is not None and njev > values:
            faults.append(
                f"counters: njev={njev} reported, only {values} calls of the fused function counted"
            )
    elif jac is not None and (njev is None or njev != gradients):
        faults.append(f"counters: njev={njev} reported, {gradients} calls of jac counted")
    return faults


# --- Derivatives ----------------------------------------------------------------------------------


def _ridders(curve: Callable[[float], Any], width: float, rows: int = 12) -> tuple[Any, float]:
    """Extrapolate central differences of halved steps to the derivative at 0, with its error estimate.

    The best entry of the triangle is the one that agrees best with its neighbours (Ridders 1982). Steps at
    which the function is not finite are passed over.
    """
    best: Any = np.nan
    best_error = math.inf
    previous: list[Any] = []
    for _ in range(rows):
        right, left = np.asarray(curve(width)), np.asarray(curve(-width))
        row = [(right - left) / (2.0 * width)]
        # Differences that all round to one wrong number agree perfectly: the digits bound the trust.
        rounding = _EPS * float(np.max(np.abs(right)) + np.max(np.abs(left))) / width
        power = 4.0
        for k, old in enumerate(previous):
            row.append((power * row[k] - old) / (power - 1.0))
            change = max(np.max(np.abs(row[-1] - row[k])), np.max(np.abs(row[-1] - old)))
            error = float(change) + rounding
            if error < best_error:  # False for NaN
                best, best_error = row[-1], error
            power *= 4.0
        previous = row
        width *= 0.5
    return best, best_error


def assert_gradient(
    fun: Problem | Callable[[NDArray[np.float64]], Any],
    jac: Callable[[NDArray[np.float64]], Any] | None = None,
    x: ArrayLike | None = None,
    *,
    hess: Callable[[NDArray[np.float64]], Any] | None = None,
    rtol: float = 1e-6,
    seed: int = 0,
) -> float:
    """Assert that a gradient, and a Hessian where there is one, are the derivatives of their function.

    Extrapolated central differences serve as the reference: along every coordinate up to 64 variables,
    along 32 random sign vectors above. Allowed along a direction v is ``rtol`` times ``sum |g_i v_i|``,
    plus ten times the differences' own error estimate.

    Parameters
    ----------
    fun : Problem or callable
        A problem, which brings its gradient, Hessian and start, or ``fun(x) -> float``.
    jac : callable, optional
        ``jac(x) -> ndarray (n,)``; needed with a plain function.
    x : array_like, shape (n,), optional
        Where to look; a problem's start by default.
    hess : callable, optional
        ``hess(x) -> ndarray (n, n)``, held against differences of ``jac``.
    rtol : float, default: 1e-6
        Relative tolerance.
    seed : int, default: 0
        Seed of the random directions.

    Returns
    -------
    float
        The worst error that the differences' own cannot explain, relative to the terms of the directional
        derivative; at most ``rtol``.

    Raises
    ------
    AssertionError
        If a derivative is wrong, not finite or of the wrong shape; the message says where and by how much.
    TypeError
        If a plain function comes without jac or x.

    References
    ----------
    Ridders (1982), Accurate computation of F'(x) and F'(x)F''(x), Advances in Engineering Software 4(2),
    75-76.
    """
    name = "the function"
    if isinstance(fun, Problem):
        name = repr(fun)
        jac = fun.grad if jac is None else jac
        hess = fun.hess if hess is None else hess
        x = fun.x0 if x is None else x
        fun = fun.fun
    if jac is None or x is None:
        raise TypeError("a plain function needs jac and x")
    point = np.array(x, dtype=np.float64, ndmin=1)
    value: Callable[[NDArray[np.float64]], Any] = fun
    gradient: Callable[[NDArray[np.float64]], Any] = jac
    directions = _directions(point, seed)
    g = np.asarray(gradient(point.copy()), dtype=np.float64)
    worst = _compare(f"{name}: gradient", value, g, point, directions, rtol)
    if hess is not None:
        h = np.asarray(hess(point.copy()), dtype=np.float64)
        worst = max(worst, _compare(f"{name}: Hessian", gradient, h, point, directions, rtol))
    return worst


def _directions(x: NDArray[np.float64], seed: int) -> list[tuple[str, NDArray[np.float64]]]:
    scale = np.maximum(np.abs(x), 1.0)
    if x.size <= 64:
        return [(f"variable {i}", scale[i] * np.eye(1, x.size, i)[0]) for i in range(x.size)]
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (32, x.size))
    return [(f"random direction {i}", sign * scale) for i, sign in enumerate(signs)]


def _compare(
    what: str,
    function: Callable[[NDArray[np.float64]], Any],
    derivative: NDArray[np.float64],
    x: NDArray[np.float64],
    directions: list[tuple[str, NDArray[np.float64]]],
    rtol: float,
) -> float:
    """Hold derivative @ v against differences of the function along every v; gradient and Hessian alike."""
    shape = (*np.shape(function(x.copy())), x.size)
    if derivative.shape != shape:
        raise AssertionError(f"{what} has shape {derivative.shape}, expected {shape}")
    if not np.all(np.isfinite(derivative)):
        raise AssertionError(
            f"{what} is not finite at entry {np.argwhere(~np.isfinite(derivative))[0].tolist()}"
        )
    worst = 0.0
    for label, v in directions:
        claimed = derivative @ v
        measured, error = _ridders(lambda t, v=v: function(x + t * v), 0.02)  # type: ignore[misc]
        scale = max(float(np.max(np.abs(derivative) @ np.abs(v))), float(np.max(np.abs(measured))), 1e-300)
        off = float(np.max(np.abs(claimed - measured)))
        if not off <= rtol * scale + 10.0 * error:
            raise AssertionError(
                f"{what} is off by {off:.3g} along {label} (relative {off / scale:.3g}): "
                f"claimed {claimed}, differences give {measured} (+- {error:.1g})"
            )
        worst = max(worst, (off - 10.0 * error) / scale)
    return worst
