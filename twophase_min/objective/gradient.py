"""Where the gradient comes from: the caller, autograd or finite differences; and how far to trust it.

Nothing here keeps count or state: functions take the callable to evaluate, and `_objective.Objective` hands
in one that copies and counts.
"""

from __future__ import annotations

import os
import warnings
from collections import namedtuple
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

FINITE_DIFFERENCES = ("2-point", "3-point", "cs")
"""Finite-difference schemes, named as SciPy names them."""

REMEDY = (
    "write the function with autograd.numpy (`import autograd.numpy as np`), pass jac=<callable>, or pass "
    "jac='2-point'"
)


def autograd_value_and_gradient(fun: Callable[..., Any]) -> Callable[[Array], tuple[Any, Array]]:
    """Value and gradient of ``fun`` by autograd's reverse mode, from one call of ``fun``.

    Parameters
    ----------
    fun : callable
        ``fun(x) -> scalar`` or size-1 array, written with autograd.numpy.

    Returns
    -------
    callable
        ``x -> (value, gradient)``, x of shape (n,).
    """
    from autograd import make_vjp
    from autograd import numpy as anp

    def scalar(x: Any) -> Any:
        value = fun(x)
        return anp.reshape(value, ()) if getattr(value, "size", None) == 1 and np.ndim(value) else value

    def both(x: Array) -> tuple[Any, Array]:
        with warnings.catch_warnings():
            # a constant function is legitimate; one whose trace is lost is found by `agrees`
            warnings.filterwarnings("ignore", message="Output seems independent of input")
            pullback, value = make_vjp(scalar)(x)
            if isinstance(value, np.ndarray) and value.size == 1:
                value = value.reshape(())[()]
            return value, np.asarray(pullback(np.ones_like(np.asarray(value, dtype=float))[()]))

    return both


def difference_steps(x: Array, scheme: str, rel_step: Any = None, abs_step: Any = None) -> Array:
    """Step per coordinate, as ``scipy.optimize`` chooses it, exactly representable at x.

    Parameters
    ----------
    x : ndarray, shape (n,)
        Point.
    scheme : {'2-point', '3-point', 'cs'}
        Scheme; the default step is eps^(1/2) for the first and last, eps^(1/3) for the second, times
        sign(x) max(1, abs(x)).
    rel_step, abs_step : float or array_like, optional
        Steps relative to abs(x), or absolute.
    """
    sign = np.where(x >= 0, 1.0, -1.0)
    eps = np.finfo(x.dtype).eps
    default = sign * (eps ** (1 / 3) if scheme == "3-point" else eps**0.5) * np.maximum(1.0, np.abs(x))
    if abs_step is not None:
        steps = sign * np.abs(np.broadcast_to(np.asarray(abs_step, dtype=x.dtype), x.shape))
    elif rel_step is not None:
        steps = sign * np.abs(rel_step) * np.abs(x)
    else:
        steps = default
    if scheme != "cs":
        moved = (x + steps) - x
        steps = np.where(moved == 0, (x + default) - x, moved)
    return np.where(steps == 0, default, steps)


def difference_calls(n: int, scheme: str) -> int:
    """Return the calls that one finite-difference gradient costs beyond the value at x itself."""
    return 2 * n if scheme == "3-point" else n


def finite_difference_gradient(
    evaluate: Callable[[Iterable[Array]], list[Any]],
    x: Array,
    f: float,
    scheme: str,
    rel_step: Any = None,
    abs_step: Any = None,
) -> Array:
    """Gradient by finite differences.

    Parameters
    ----------
    evaluate : callable
        Takes the points and returns the values in order (serially, or spread over workers).
    x : ndarray, shape (n,)
        Point.
    f : float
        Value at x; used by '2-point' only.
    scheme : {'2-point', '3-point', 'cs'}
        Forward differences, central differences, or the complex step (for functions that accept complex x).
    rel_step, abs_step : optional
        See `difference_steps`.

    Returns
    -------
    ndarray, shape (n,)
        Entries are NaN where a value was not finite.
    """
    n = x.size
    steps = difference_steps(x, scheme, rel_step, abs_step)

    def shifted(factor: complex) -> Iterable[Array]:
        for i in range(n):
            point = x.astype(complex) if scheme == "cs" else x.copy()
            point[i] += factor * steps[i]
            yield point

    with np.errstate(invalid="ignore", over="ignore"):
        if scheme == "cs":
            return np.imag(np.asarray(evaluate(shifted(1j)), dtype=complex)) / steps
        ahead = np.asarray(evaluate(shifted(1.0)), dtype=float)
        if scheme == "2-point":
            return (ahead - f) / steps
        return (ahead - np.asarray(evaluate(shifted(-1.0)), dtype=float)) / (2 * steps)


def mapper(workers: Any) -> tuple[Callable[..., Iterable[Any]], Callable[[], None]]:
    """Turn SciPy's ``workers`` into a map-like callable and the function that releases it.

    Parameters
    ----------
    workers : None, int or map-like callable
        None and 1 are serial; -1 uses every core; another int starts that many processes.
    """
    if workers is None or (not callable(workers) and int(workers) == 1):
        return map, lambda: None
    if callable(workers):
        return workers, lambda: None
    from concurrent.futures import ProcessPoolExecutor

    pool = ProcessPoolExecutor(os.cpu_count() if int(workers) == -1 else int(workers))
    return pool.map, pool.shutdown


def agrees(value: Callable[[Array], float], x: Array, f: float, g: Array, seed: int = 0) -> tuple[bool, str]:
    """Whether a gradient agrees with a directional difference of the function.

    The direction is d_i = u_i sign(g_i) with u_i uniform in (0.5, 1.5), so that g'd has no cancellation and
    no coordinate hides. One forward difference settles most cases; where it disagrees, curvature could be the
    cause (at a minimum it is), so that a central difference decides, at the price of one more value. Where
    x is small by its unit the step 1e-8 may be too long, and one relative to x is tried last.

    Parameters
    ----------
    value : callable
        Counted ``x -> float``.
    x, f, g : ndarray, float, ndarray
        Point, its value and the gradient under test, shapes (n,), (), (n,).
    seed : int
        Seed of u.

    Returns
    -------
    ok : bool
        Whether both agree within 1 %, beyond rounding.
    why : str
        A clause with the two numbers where they do not.
    """
    if not np.all(np.isfinite(g)):
        return False, "its gradient has NaN or infinite entries"
    if not np.isfinite(f):
        return True, ""  # nothing to hold it against
    rng = np.random.default_rng(seed)
    d = rng.uniform(0.5, 1.5, x.size) * np.where(g != 0, np.sign(g), rng.choice([-1.0, 1.0], x.size))
    slope = float(g @ d)
    size = float(np.max(np.abs(x)))
    central = np.nan
    for scale in (max(1.0, size), *([size] if 0 < size < 1 else [])):
        h = np.finfo(float).eps ** 0.5 * scale / float(np.max(np.abs(d)))
        ahead = value(x + h * d)
        largest = max(abs(f), abs(ahead) if np.isfinite(ahead) else 0.0)
        noise = 16 * np.finfo(float).eps * largest / h
        forward = (ahead - f) / h
        if np.isfinite(ahead) and _near(forward, slope, noise):
            return True, ""
        behind = value(x - h * d)
        if not np.isfinite(ahead):
            central = (f - behind) / h
        elif not np.isfinite(behind):
            central = forward
        else:
            central = (ahead - behind) / (2 * h)
        if not np.isfinite(central) or _near(central, slope, noise):
            return True, ""
    return False, f"its slope {slope:.6g} along a test direction is {central:.6g} by differences"


def _near(difference: float, slope: float, noise: float) -> bool:
    """Whether they agree within 1 %, beyond the noise."""
    return abs(difference - slope) <= 1e-2 * max(abs(difference), abs(slope)) + noise


SHORTER = (1.0, 1e-2, 1e-4, 1e-6, 1e-8, 1e-10)
LONGER = (1e2, 1e4, 1e6, 1e8)
"""Steps of `check_gradient`, in units of eps^(1/3) max(1, abs(x)), the most likely to be good first."""
AGREEMENT = 1e-6
"""Relative deviation at which `check_gradient` looks no further along a coordinate."""


def _deviation(
    value: Callable[[Array], float], x: Array, i: int, f: float, claimed: float
) -> tuple[float, float]:
    """Relative deviation of a partial derivative from the most telling difference, and that difference."""
    eps = float(np.finfo(float).eps)

    def central(step: float) -> tuple[float, float]:
        """Difference and its rounding error."""
        ahead, behind = x.copy(), x.copy()
        ahead[i] += step
        behind[i] -= step
        width = float(ahead[i] - behind[i])
        if width == 0:
            return np.nan, np.nan
        with np.errstate(all="ignore"):
            high, low = value(ahead), value(behind)
            largest = max(abs(f) if np.isfinite(f) else 0.0, abs(high), abs(low))
            rounding = 4 * eps * largest / width
            if np.isfinite(f):  # x itself is rounded: curvature times that, which matters at a minimum
                rounding += 8 * eps * reach * max(abs(high - f), abs(low - f)) / width**2
            return (high - low) / width, rounding

    reach = float(np.max(np.abs(x)))
    base = eps ** (1 / 3) * max(1.0, abs(float(x[i])))
    found: list[tuple[float, float]] = []  # differences and their errors, by falling or rising step
    for factors in (SHORTER, LONGER):
        spoilt = False  # by rounding
        for factor in factors:
            coarse, _ = central(base * factor)
            fine, rounding = central(base * factor / 2)
            if not (np.isfinite(coarse) and np.isfinite(fine)):
                continue
            if found and coarse == fine == 0:
                break  # too short a step to change the value: no evidence
            difference = fine + (fine - coarse) / 3  # Richardson's extrapolation
            unsure = rounding + abs(fine - coarse)
            found.append((difference, unsure))
            size = max(abs(claimed), abs(difference), unsure)
            if size == 0:
                return 0.0, difference
            if abs(claimed - difference) <= unsure <= AGREEMENT * size:
                return 0.0, difference
            if rounding > 1e-3 * size:
                spoilt = True
                break  # a shorter step would only be worse
        if not spoilt:
            break
    least, deviation, numerical = np.inf, np.inf, np.nan
    for k, (difference, unsure) in enumerate(found):
        others = [abs(difference - d) for d, _ in found[max(k - 1, 0) : k] + found[k + 1 : k + 2]]
        unsure += min(others, default=0.0)  # noise that the model of rounding misses: neighbours disagree
        if unsure < least:
            size = max(abs(claimed), abs(difference), unsure)
            least, numerical = unsure, difference
            deviation = max(abs(claimed - difference) - 4 * unsure, 0.0) / size
    return deviation, numerical


class GradientCheck(namedtuple("GradientCheck", "error index")):
    """The worst relative error of a gradient and the coordinate where it occurs.

    Attributes
    ----------
    error : float
        max_i (abs(g_i - d_i) - 4 e_i) / max(abs(g_i), abs(d_i), e_i), d by extrapolated central differences
        and e their own error; inf where an entry is NaN or infinite.
    index : int
        The coordinate of the maximum.
    analytic, numerical : ndarray, shape (n,)
        Both gradients.
    message : str
        The finding in a sentence.
    """

    analytic: Array
    numerical: Array
    message: str

    def __new__(
        cls, error: float, index: int, analytic: Array, numerical: Array, message: str
    ) -> GradientCheck:
        """Attach the arrays to the pair."""
        self = super().__new__(cls, error, index)
        self.analytic, self.numerical, self.message = analytic, numerical, message
        return self


def check_gradient(fun: Callable[..., Any], jac: Any, x: Any, args: tuple[Any, ...] = ()) -> GradientCheck:
    """Hold a gradient against central finite differences, coordinate by coordinate.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args) -> float``, or ``(float, gradient)`` with ``jac=True``.
    jac : callable, True or 'autograd'
        The gradient under test.
    x : array_like, shape (n,)
        Where to test. Prefer a random point to a symmetric one.
    args : tuple
        Further arguments of both.

    Returns
    -------
    GradientCheck
        Unpacks as ``error, index``. Calls ``fun`` 4 n + 1 times where the gradient is right and its scale
        ordinary, up to 40 n + 1 times otherwise.

    Raises
    ------
    ValueError
        If the gradient's shape is not that of x.
    TypeError
        If ``jac`` is of no known form.

    Notes
    -----
    No single step suits every function: too long a step meets curvature, too short a one rounding. Per
    coordinate the steps eps^(1/3) max(1, abs(x)) and shorter ones are tried until a difference agrees or
    rounding spoils it (then longer ones); the deviation from the difference that has the least error of its
    own counts.
    """
    x = np.atleast_1d(np.asarray(x, dtype=float))
    if not isinstance(args, tuple):
        args = (args,)
    if jac is True:
        analytic = fun(x.copy(), *args)[1]

        def value(point: Array) -> float:
            return float(np.asarray(fun(point.copy(), *args)[0]).reshape(()))
    else:

        def value(point: Array) -> float:
            return float(np.asarray(fun(point.copy(), *args)).reshape(()))

        if callable(jac):
            analytic = jac(x.copy(), *args)
        elif jac == "autograd":
            analytic = autograd_value_and_gradient(lambda point: fun(point, *args))(x)[1]
        else:
            raise TypeError(f"jac must be a callable, True or 'autograd' to be checked, got {jac!r}.")
    analytic = np.asarray(analytic, dtype=float)
    if analytic.size != x.size:
        raise ValueError(
            f"The gradient has shape {analytic.shape}, expected {x.shape}: one entry per variable."
        )
    analytic = analytic.reshape(x.shape)
    f = value(x)
    best = np.full(x.shape, np.inf)
    numerical = np.full(x.shape, np.nan)
    for i in range(x.size):
        if np.isfinite(analytic[i]):
            best[i], numerical[i] = _deviation(value, x, i, f, analytic[i])
    index = int(np.argmax(best))
    error = float(best[index])
    if not np.isfinite(analytic[index]):
        message = f"The gradient is {analytic[index]} at coordinate {index}."
    elif not np.isfinite(numerical[index]):
        message = (
            f"No finite difference could be formed along coordinate {index}: fun is not finite around x."
        )
    elif analytic[index] == 0 and error > 0.1:
        message = (
            f"The gradient is silently zero at coordinate {index}; differences give {numerical[index]:.6g}."
        )
    else:
        message = (
            f"Worst relative error {error:.2e} at coordinate {index}: {analytic[index]:.6g} against "
            f"{numerical[index]:.6g} by differences."
        )
    return GradientCheck(error, index, analytic, numerical, message)
