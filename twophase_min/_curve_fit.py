"""Fitting a model to data: SciPy's `curve_fit`, by sums of squares that `minimize` minimises."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeWarning

from twophase_min._least_squares import Fit, fit
from twophase_min.curvature.inverse import Inverse, inverse_of_normal
from twophase_min.objective.residuals import CallsSpent, Residuals

Array = NDArray[np.floating]

METHOD = "twophase"
SCIPY = ("lm", "trf", "dogbox")
"""Methods that SciPy's own function serves."""
TOLERANCE = 1e-10
"""Relative offset at which a fit ends: its parameters are good to this fraction of their errors."""

MESSAGES = {
    1: "The relative offset of the residuals is at most `gtol`.",
    2: "The relative offset of the residuals, {offset:.1e}, cannot be reduced at working precision.",
    3: "The residuals, or their gradient, vanish to rounding.",
    0: "neither the sum of squares nor its gradient could be reduced any further, at a relative offset of "
    "{offset:.1e}; try another p0.",
    -1: "the limit of {limit:.0f} calls of f is reached; raise maxfev or try another p0.",
}


def curve_fit(
    f: Callable[..., Any],
    xdata: Any,
    ydata: Any,
    p0: Any = None,
    sigma: Any = None,
    absolute_sigma: bool = False,
    check_finite: bool | None = None,
    bounds: Any = (-np.inf, np.inf),
    method: str | None = None,
    jac: Any = None,
    *,
    full_output: bool = False,
    nan_policy: str | None = None,
    **kwargs: Any,
) -> Any:
    """Fit a model to data by nonlinear least squares, with the errors of the parameters.

    Signature and return values are those of `scipy.optimize.curve_fit`.

    Parameters
    ----------
    f : callable
        The model, ``f(xdata, *params)``, shape (m,). Written with autograd.numpy, or with operators alone,
        it is differentiated by autograd.
    xdata : array_like or object
        Where the data were taken; handed to f. Lists and arrays become float64.
    ydata : array_like, shape (m,)
        The data.
    p0 : array_like, shape (n,), optional
        Start. Default: ones, as many as f has parameters.
    sigma : None, scalar, or array_like, shape (m,) or (m, m), optional
        Standard deviations of the data, or their covariance matrix.
    absolute_sigma : bool, default False
        Whether sigma has the unit of the data. Otherwise only its ratios matter, and pcov is scaled by the
        residual variance ``r'r / (m - n)``.
    check_finite : bool, optional
        Whether to raise ValueError for NaN and inf in the data. Default True, unless nan_policy is given.
    bounds : 2-tuple of array_like or Bounds, optional
        Limits of the parameters. 'twophase' takes infinite ones only.
    method : {None, 'twophase', 'lm', 'trf', 'dogbox'}, optional
        None is 'twophase', and 'trf' within finite bounds. The others than 'twophase' are
        `scipy.optimize.curve_fit`'s, which then does everything.
    jac : callable, 'autograd', '2-point', '3-point', 'cs' or None
        ``jac(xdata, *params)``, shape (m, n). None: autograd where it traces f and agrees with a
        difference at p0, otherwise forward differences, central ones near the end.
    full_output : bool, default False
        Whether to return infodict, mesg and ier as well.
    nan_policy : {None, 'raise', 'omit'}, optional
        What to do about NaN in the data where check_finite is False: nothing, raise ValueError, or leave
        these data out.
    **kwargs
        ``maxfev`` (or ``max_nfev``), calls of f at most, default 2000 (n + 1); ``gtol``, the relative offset
        at which to stop, default 1e-10; ``options``, a mapping for `minimize` over the ones chosen here
        (``maxiter`` and ``maxfun`` then apply to each round of new variables).

    Returns
    -------
    popt : ndarray, shape (n,)
        The parameters that minimise the weighted sum of squares.
    pcov : ndarray, shape (n, n)
        Their approximate covariance ``(J'J)^-1``, scaled as absolute_sigma says. inf for parameters that
        the data do not determine; an OptimizeWarning names the combinations of them.
    infodict : dict
        With full_output: 'nfev' (calls of f, all derivatives included), 'njev' (calls of jac), 'fvec' (the
        weighted residuals), 'gradient' (where derivatives came from), 'offset' (the relative offset).
    mesg : str
        With full_output: why the fit ended.
    ier : int
        With full_output: 1, 2 or 3; the fit was found.

    Raises
    ------
    ValueError
        For data or bounds that cannot be used; the message states the remedy.
    TypeError
        For more parameters than data, and for unknown keywords.
    RuntimeError
        If no fit was found. Its attribute ``popt`` holds the best parameters seen.

    Warns
    -----
    OptimizeWarning
        If the covariance, or a part of it, cannot be estimated.

    See Also
    --------
    curvature.standard_errors : errors from the Hessian of a likelihood or a sum of squares.

    Examples
    --------
    >>> import numpy as np
    >>> from twophase_min import curve_fit
    >>> x = np.linspace(1.0, 4.0, 20)
    >>> popt, pcov = curve_fit(lambda x, a, b: a * x**b, x, 3.0 * x**0.5)
    >>> [round(float(p), 6) for p in popt]
    [3.0, 0.5]
    """
    if method is None and _bound(bounds):
        method = "trf"
    if method in SCIPY:
        from scipy import optimize

        return optimize.curve_fit(
            f, xdata, ydata, p0, sigma, absolute_sigma, check_finite, bounds, method, jac,
            full_output=full_output, nan_policy=nan_policy, **kwargs,
        )  # fmt: skip
    if method not in (None, METHOD):
        raise ValueError(f"method is {method!r}; it must be None, {METHOD!r}, {', '.join(map(repr, SCIPY))}.")
    if _bound(bounds):
        raise ValueError(
            "curve_fit by 'twophase' does not handle finite bounds; "
            "use method='trf', which is scipy.optimize.curve_fit's."
        )
    if not callable(f):
        raise TypeError(f"f must be callable, got {type(f).__name__}.")
    start = _start(f, p0)
    tol, limit, options = _settings(kwargs, start.size)
    xdata, ydata, sigma = _data(xdata, ydata, sigma, check_finite, nan_policy)
    if start.size > ydata.size:
        raise TypeError(
            f"f has {start.size} parameters, more than the {ydata.size} data; hold some of them fixed."
        )
    weigh, weigh_back = _weights(sigma, ydata.size)

    def raw(p: Any) -> Any:
        values = f(xdata, *[p[i] for i in range(start.size)])
        shape = getattr(values, "shape", ())
        if len(shape) > 1 or (shape and shape[0] not in (1, ydata.size)):
            raise ValueError(
                f"f returns shape {shape}, but ydata has shape {ydata.shape}: one value is needed for each "
                "of the data."
            )
        residuals.rounded_as(values)
        return values - ydata

    given = (lambda p: jac(xdata, *p)) if callable(jac) else jac
    residuals = Residuals(raw, ydata.size, given, weigh, weigh_back, limit)
    if not np.isfinite(residuals.values(start)).all():
        raise ValueError(
            "f is not finite at p0 for all of xdata; choose another p0."
            if np.isfinite(ydata).all() and np.isfinite(xdata if isinstance(xdata, np.ndarray) else 0).all()
            else "The data contain NaN or infinity; nan_policy='omit' leaves those with NaN out."
        )
    try:
        found = fit(residuals, start, tol, float(np.linalg.norm(weigh(ydata))), options)
    except CallsSpent:
        found = Fit(start, np.empty(0), np.empty((0, start.size)), np.inf, -1)
    message = MESSAGES[found.status].format(offset=found.offset, limit=limit)
    if found.status <= 0:
        error = RuntimeError("Optimal parameters not found: " + message)
        error.popt = found.p  # type: ignore[attr-defined]
        raise error
    pcov = _covariance(found, absolute_sigma, residuals.precision, _names(f, start.size))
    if not full_output:
        return found.p, pcov
    info = {
        "nfev": residuals.calls,
        "njev": residuals.jacobians,
        "fvec": found.r,
        "gradient": residuals.description,
        "offset": found.offset,
    }
    return found.p, pcov, info, message, found.status


def _bound(bounds: Any) -> bool:
    """Whether any limit is finite."""
    lower, upper = (bounds.lb, bounds.ub) if hasattr(bounds, "lb") else bounds
    return bool(np.any(np.asarray(lower) > -np.inf) or np.any(np.asarray(upper) < np.inf))


def _start(f: Callable[..., Any], p0: Any) -> Array:
    """Return the start, shape (n,); ones where none is given."""
    if p0 is None:
        count = _count(f)
        if count is None:
            raise ValueError(
                "Unable to determine number of fit parameters: f takes them as *params; give p0."
            )
        return np.ones(count)
    start = np.atleast_1d(np.array(p0, dtype=float))
    if start.ndim != 1 or not np.isfinite(start).all():
        raise ValueError("p0 must be one-dimensional and finite.")
    return start


def _count(f: Callable[..., Any]) -> int | None:
    """Return how many parameters f names after xdata; None if it does not say."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        return None
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    named = [parameter for parameter in parameters if parameter.kind in positional]
    return len(named) - 1 if len(named) >= 2 else None


def _names(f: Callable[..., Any], n: int) -> list[str]:
    """Names of the parameters for messages: the model's own where it has n of them."""
    if _count(f) == n:
        return list(inspect.signature(f).parameters)[1 : n + 1]
    return [f"p[{i}]" for i in range(n)]


def _settings(given: Mapping[str, Any], n: int) -> tuple[float, float, Mapping[str, Any]]:
    """Tolerance, limit on calls and options of `minimize` from the further keywords."""
    rest = dict(given)
    limit = rest.pop("max_nfev", None)
    limit = rest.pop("maxfev", None) or limit or 2000 * (n + 1)
    tol = rest.pop("gtol", None)
    options = rest.pop("options", None) or {}
    if rest:
        raise TypeError(
            f"curve_fit by 'twophase' does not take {', '.join(map(repr, rest))}; it takes maxfev, gtol and "
            "options. The methods 'lm', 'trf' and 'dogbox' take SciPy's keywords."
        )
    return TOLERANCE if tol is None else float(tol), float(limit), options


def _data(
    xdata: Any, ydata: Any, sigma: Any, check_finite: bool | None, nan_policy: str | None
) -> tuple[Any, Array, Any]:
    """Return the data as float64, checked and without NaN as asked."""
    if nan_policy not in (None, "raise", "omit"):
        raise ValueError(f"nan_policy is {nan_policy!r}; it must be None, 'raise' or 'omit'.")
    check = nan_policy is None if check_finite is None else check_finite
    ydata = _converted("ydata", ydata, check)
    if isinstance(xdata, (list, tuple, np.ndarray)):
        xdata = _converted("xdata", xdata, check)
    if ydata.size == 0:
        raise ValueError("`ydata` must not be empty!")
    if ydata.ndim != 1:
        raise ValueError(
            f"ydata must be one-dimensional, got shape {ydata.shape}; flatten it, and f's values."
        )
    sigma = None if sigma is None else np.asarray(sigma, dtype=float)
    if check or nan_policy is None:
        return xdata, ydata, sigma
    bad = np.isnan(ydata)
    if isinstance(xdata, np.ndarray):
        missing = np.isnan(xdata)
        bad = bad | missing.any(axis=tuple(range(missing.ndim - 1)))
    if not bad.any():
        return xdata, ydata, sigma
    if nan_policy == "raise":
        raise ValueError("The data contain NaN; leave these out with nan_policy='omit'.")
    if isinstance(xdata, np.ndarray):
        xdata = xdata[..., ~bad]
    if sigma is not None and sigma.ndim == 1 and sigma.size == bad.size:
        sigma = sigma[~bad]
    elif sigma is not None and sigma.ndim == 2:
        sigma = sigma[np.ix_(~bad, ~bad)]
    return xdata, ydata[~bad], sigma


def _converted(name: str, data: Any, check: bool) -> Array:
    """Return data as float64; ValueError for NaN and inf in them if ``check``."""
    converted = np.asarray(data, float)
    if check and not np.isfinite(converted).all():
        raise ValueError(
            f"array must not contain infs or NaNs: {name} does; check_finite=False, nan_policy='omit' leaves "
            "data with NaN out."
        )
    return converted


def _weights(sigma: Any, m: int) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """Return ``a -> L^-1 a`` and ``a -> L^-T a`` where ``L L'`` is the covariance of the data."""
    if sigma is None:
        return (lambda a: a), (lambda a: a)
    if sigma.size == 1 or sigma.shape == (m,):
        errors = np.broadcast_to(sigma.reshape(-1), (m,))
        if not np.all(np.abs(errors) > 0):
            raise ValueError("`sigma` has zeros or NaN; leave out data without an error, or give them one.")

        def divided(a: Array) -> Array:
            ratios: Array = (a.T / errors).T
            return ratios

        return divided, divided
    if sigma.shape != (m, m):
        raise ValueError(f"`sigma` has incorrect shape {sigma.shape}; it must be ({m},) or ({m}, {m}).")
    from scipy.linalg import LinAlgError, cholesky, solve_triangular

    try:
        lower = cholesky(sigma, lower=True)
    except LinAlgError as error:
        raise ValueError("`sigma` must be positive definite.") from error
    return (
        lambda a: solve_triangular(lower, a, lower=True, check_finite=False),
        lambda a: solve_triangular(lower, a, lower=True, trans="T", check_finite=False),
    )


def _covariance(found: Fit, absolute: bool, precision: float, names: list[str]) -> Array:
    """Return pcov, and warn of what the data do not determine."""
    m, n = found.jacobian.shape
    inverse: Inverse = inverse_of_normal(found.jacobian, precision, names)
    if not absolute and m <= n:
        warnings.warn(
            "Covariance of the parameters could not be estimated: there are as many parameters as data. Give "
            "sigma and absolute_sigma=True.",
            OptimizeWarning,
            stacklevel=3,
        )
        return np.full((n, n), np.inf)
    if inverse.singular:
        warnings.warn(
            "Covariance of the parameters could not be estimated: the data do not determine "
            f"{'; '.join(inverse.singular)}. Hold one parameter of each fixed.",
            OptimizeWarning,
            stacklevel=3,
        )
    covariance = inverse.matrix
    known = np.isfinite(covariance)  # the residuals may be 0, and what is not determined stays so
    covariance[known] *= 1.0 if absolute else float(found.r @ found.r) / (m - n)
    return covariance
