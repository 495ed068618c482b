"""The Hessian at a point as a counted operator on vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from twophase_min.objective import hessian

Product = Callable[[np.ndarray], np.ndarray]


class HessianOperator:
    """The Hessian at one point as a counted function ``v -> H v``.

    Parameters
    ----------
    product : callable
        ``product(v)`` with v of shape (n,).
    n : int
        Number of variables.
    source : str
        Where the products come from, for reports.

    Attributes
    ----------
    products : int
        How many were computed.
    """

    def __init__(self, product: Product, n: int, source: str) -> None:
        self._product = product
        self.n = n
        self.source = source
        self.products = 0

    def __call__(self, v: np.ndarray) -> np.ndarray:
        """Return ``H v``, shape (n,), float64.

        Raises
        ------
        ValueError
            The product has another shape.
        """
        self.products += 1
        result = np.asarray(self._product(v), dtype=np.float64)
        if result.shape != (self.n,):
            raise ValueError(f"a Hessian-vector product has shape {result.shape}, expected ({self.n},)")
        return result

    def __repr__(self) -> str:
        return f"HessianOperator(n={self.n}, source={self.source!r}, products={self.products})"


METHODS = ("auto", "hessp", "hess", "reverse", "forward", "difference")


def hessian_operator(
    fun: Callable[..., Any] | None,
    x: Any,
    *,
    args: tuple[Any, ...] = (),
    jac: Any = None,
    hess: Any = None,
    hessp: Callable[..., Any] | None = None,
    method: str = "auto",
    step: float | None = None,
) -> HessianOperator:
    """Return the Hessian of a function at a point as an operator on vectors.

    Parameters
    ----------
    fun : callable or None
        ``fun(x, *args)``, a scalar, or ``(f, g)`` with ``jac=True``. Its own methods ``hessp(x, v)`` and
        ``gradient(x)`` are used when it has them (`networks.MLP.objective`, `FiniteSum`).
    x : array_like, shape (n,)
        The point; float64.
    args : tuple, optional
        Further arguments of fun, jac, hess and hessp.
    jac : callable or True, optional
        ``jac(x, *args)``, the gradient.
    hess : callable or array_like, shape (n, n), optional
        The Hessian itself.
    hessp : callable, optional
        ``hessp(x, v, *args)``.
    method : {'auto', 'hessp', 'hess', 'reverse', 'forward', 'difference'}, default 'auto'
        'auto' takes the first at hand of hessp, hess, the difference of gradients (when a gradient is given,
        as the function may then not be traceable) and 'reverse'.

        - 'reverse': autograd's reverse over reverse; the trace is made once, a product is one
          backward sweep over it;
        - 'forward': autograd's forward over reverse; less memory, but every product traces afresh;
        - 'difference': ``(g(x + t v) - g(x - t v)) / 2t``, two gradients a product, relative error
          around 1e-10 for a well-scaled function.
    step : float, optional
        Length of ``t v`` for 'difference'. Default ``eps**(1/3)`` times the norm of x, or times 1 at x = 0.

    Returns
    -------
    HessianOperator

    Raises
    ------
    TypeError
        Nothing to build a product from, or the function does not trace.
    ValueError
        Unknown method, x not one-dimensional.
    """
    point = np.atleast_1d(np.array(x, dtype=np.float64))
    if point.ndim != 1:
        raise ValueError(f"x must be one-dimensional, got shape {point.shape}")
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}: choose {', '.join(map(repr, METHODS))}")
    if not isinstance(args, tuple):
        args = (args,)
    hess, hessp = _own(fun, hess, hessp)
    gradient = gradient_function(fun, jac, args)
    if method == "auto":
        method = chosen_method(fun, jac, args, hess, hessp)

    if method == "hessp":
        if hessp is None:
            raise TypeError("method='hessp' needs hessp= or an objective with a hessp(x, v) method")
        own_product = hessp
        return HessianOperator(lambda v: own_product(point.copy(), v, *args), point.size, "hessp")
    if method == "hess":
        if hess is None:
            raise TypeError("method='hess' needs hess=")
        matrix = hess(point.copy(), *args) if callable(hess) else hess
        matrix = matrix if hasattr(matrix, "dot") and not isinstance(matrix, list) else np.asarray(matrix)
        return HessianOperator(lambda v: matrix.dot(v), point.size, "hess")
    if method == "difference":
        if gradient is None:
            raise TypeError("method='difference' needs jac= or an objective with a gradient(x) method")
        if step is None:
            step = np.finfo(np.float64).eps ** (1 / 3) * (float(np.linalg.norm(point)) or 1.0)
        product = hessian.by_differences(gradient, point, step)
        return HessianOperator(product, point.size, "difference of gradients")
    if fun is None:
        raise TypeError("a Hessian needs fun, jac, hess or hessp")
    product = _by_autograd(fun, point, args, method, jac is True)
    return HessianOperator(product, point.size, f"autograd, {method} over reverse")


def _is_array_method(fun: Any) -> bool:
    """Whether `fun` is no objective but something like a class, whose attributes are not about a point."""
    return fun is None or isinstance(fun, type)


def gradient_function(fun: Any, jac: Any, args: tuple[Any, ...]) -> Product | None:
    """Return the gradient as a function of x alone; None where none is given."""
    if callable(jac):
        return lambda x: np.asarray(jac(x, *args), dtype=np.float64)
    if jac is True:
        return lambda x: np.asarray(fun(x, *args)[1], dtype=np.float64)
    own = getattr(fun, "gradient", None)
    return (lambda x: np.asarray(own(x, *args), dtype=np.float64)) if callable(own) else None


def _own(fun: Any, hess: Any, hessp: Any) -> tuple[Any, Any]:
    """Return hess and hessp; the objective's own where neither is given."""
    if hess is None and hessp is None:
        hessp = getattr(fun, "hessp", None)
        if hessp is None and not _is_array_method(fun):
            hess = getattr(fun, "hess", None)
    return hess, hessp


def chosen_method(fun: Any, jac: Any, args: tuple[Any, ...], hess: Any, hessp: Any) -> str:
    """Return what 'auto' means: the first at hand of hessp, hess, differences of a gradient, autograd."""
    hess, hessp = _own(fun, hess, hessp)
    if hessp is not None:
        return "hessp"
    if hess is not None:
        return "hess"
    return "reverse" if gradient_function(fun, jac, args) is None else "difference"


def _by_autograd(
    fun: Callable[..., Any], x: np.ndarray, args: tuple[Any, ...], method: str, pair: bool
) -> Product:
    def scalar(point: Any) -> Any:
        value = fun(point, *args)
        return value[0] if pair else value

    try:
        return hessian.by_autograd(scalar, x, forward=method == "forward")
    except (TypeError, ValueError, AttributeError, NotImplementedError, IndexError) as error:
        raise TypeError(
            f"autograd cannot differentiate this function twice ({type(error).__name__}: {error}); write it "
            "with autograd.numpy, or give jac= (differences of gradients), hess= or hessp="
        ) from error


def by_products(hvp: Product, n: int) -> np.ndarray:
    """Return the matrix whose rows are the products with the unit vectors, shape (n, n), as they come."""
    rows = np.empty((n, n))
    unit = np.zeros(n)
    for i in range(n):
        unit[i] = 1.0
        rows[i] = hvp(unit.copy())
        unit[i] = 0.0
    return rows


def size_of(hvp: Any, n: int | None) -> int:
    """Return the number of variables: n, or what the operator knows."""
    size = getattr(hvp, "n", None) if n is None else n
    if size is None or int(size) < 1:
        raise ValueError("give n, the number of variables (at least 1)")
    return int(size)
