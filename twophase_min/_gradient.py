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
    """Calls of the function that one finite-difference gradient costs beyond the value at x itself."""
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

    The direction is d_i = u_i sign(g_i) with u_i uniform in (0.5, 1.5), so that g'd has no cancellation and no
    coordinate hides. One forward difference settles most cases; where it disagrees, curvature could be the
    cause (at a minimum it is), so that a central difference decides, at the price of one more value.

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
    h = np.finfo(float).eps ** 0.5 * max(1.0, float(np.max(np.abs(x)))) / float(np.max(np.abs(d)))
    slope = float(g @ d)
    ahead = value(x + h * d)

    def near(difference: float, noise: float) -> bool:
        return abs(difference - slope) <= 1e-2 * max(abs(difference), abs(slope)) + noise

    rounding = 16 * np.finfo(float).eps * max(abs(f), abs(ahead) if np.isfinite(ahead) else 0.0) / h
    forward = (ahead - f) / h
    if np.isfinite(ahead) and near(forward, rounding):
        return True, ""
    behind = value(x - h * d)
    if not np.isfinite(ahead):
        central = (f - behind) / h
    elif not np.isfinite(behind):
        central = forward
    else:
        central = (ahead - behind) / (2 * h)
    if not np.isfinite(central):
        return True, ""
    if near(central, rounding):
        return True, ""
    return False, f"its slope {slope:.6g} along a test direction is {central:.6g} by differences"


class GradientCheck(namedtuple("GradientCheck", "error index")):
    """The worst relative error of a gradient and the coordinate where it occurs.

    Attributes
    ----------
    error : float
        max_i abs(g_i - d_i) / max(abs(g_i), abs(d_i), scale), d by central differences and
        scale the largest difference's rounding error; inf where an entry is NaN or infinite.
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
        Unpacks as ``error, index``; calls ``fun`` 4 n + 1 times at most.

    Raises
    ------
    ValueError
        If the gradient's shape is not that of x.
    TypeError
        If ``jac`` is of no known form.

    Notes
    -----
    Two step sizes are compared so that a difference spoilt by rounding or by curvature does not accuse a
    correct gradient: per coordinate the smaller of the two deviations counts.
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
    numerical = np.zeros_like(x)
    for scale in (1.0, 1e-2):
        steps = scale * difference_steps(x, "3-point")
        for i in range(x.size):
            ahead, behind = x.copy(), x.copy()
            ahead[i] += steps[i]
            behind[i] -= steps[i]
            width = ahead[i] - behind[i]
            high, low = value(ahead), value(behind)
            difference = (high - low) / width
            rounding = 4 * np.finfo(float).eps * max(abs(f), abs(high), abs(low)) / abs(width)
            size = max(abs(analytic[i]), abs(difference), rounding)
            deviation = max(abs(analytic[i] - difference) - rounding, 0.0) / size if size > 0 else 0.0
            if deviation < best[i]:
                best[i], numerical[i] = deviation, difference
    best[~np.isfinite(analytic)] = np.inf
    index = int(np.argmax(best))
    error = float(best[index])
    if not np.isfinite(analytic[index]):
        message = f"The gradient is {analytic[index]} at coordinate {index}."
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
