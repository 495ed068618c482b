"""The curvature that a falling gradient norm only hints at: Hessian products, extreme eigenvalues, paths.

Everything here needs the Hessian through products ``H v`` alone, never as a matrix, and counts them::

    report = convexity_report(fun, x, jac=grad)
    print(report)                   # verdict, extreme eigenvalues, products spent
    x_escape = x + 0.1 * report.direction   # negative curvature, if there is any

`hessian_operator` finds the best product at hand: the objective's own (`networks.MLP` has a hand-derived
one), autograd's, or a difference of two gradients. Nothing but numpy is imported until it is needed.

References
----------
C. Lanczos (1950); B. N. Parlett, "The Symmetric Eigenvalue Problem", chapters 11 and 13 (residual bounds);
K. Wu and H. Simon, "Thick-Restart Lanczos Method", SIAM J. Matrix Anal. Appl. 22 (2000);
J. Kuczynski and H. Wozniakowski, SIAM J. Matrix Anal. Appl. 13 (1992) (random starts);
R. A. Meyer, C. Musco, C. Musco, D. Woodruff, "Hutch++", SOSA 2021;
C. Bekas, E. Kokiopoulou, Y. Saad, Appl. Numer. Math. 57 (2007) (diagonals).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = [
    "ConvexityReport",
    "DiagonalEstimate",
    "ExtremeEigenvalues",
    "HessianOperator",
    "TraceEstimate",
    "convexity_report",
    "diagonal_estimate",
    "extreme_eigenvalues",
    "hessian_matrix",
    "hessian_operator",
    "path_curvature",
    "trace_estimate",
]

Product = Callable[[np.ndarray], np.ndarray]


# --------------------------------------------------------------------------------- Hessian-vector products


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
    own = hessp is None and hess is None
    if own:
        hessp = getattr(fun, "hessp", None)
        if hessp is None and not _is_array_method(fun):
            hess = getattr(fun, "hess", None)
    gradient = _gradient_function(fun, jac, args)
    if method == "auto":
        method = _best_method(hessp, hess, gradient)

    if method == "hessp":
        if hessp is None:
            raise TypeError("method='hessp' needs hessp= or an objective with a hessp(x, v) method")
        product = hessp
        return HessianOperator(lambda v: product(point.copy(), v, *args), point.size, "hessp")
    if method == "hess":
        if hess is None:
            raise TypeError("method='hess' needs hess=")
        matrix = hess(point.copy(), *args) if callable(hess) else hess
        matrix = matrix if hasattr(matrix, "dot") and not isinstance(matrix, list) else np.asarray(matrix)
        return HessianOperator(lambda v: matrix.dot(v), point.size, "hess")
    if method == "difference":
        if gradient is None:
            raise TypeError("method='difference' needs jac= or an objective with a gradient(x) method")
        return HessianOperator(_difference(gradient, point, step), point.size, "difference of gradients")
    if fun is None:
        raise TypeError("a Hessian needs fun, jac, hess or hessp")
    return HessianOperator(*_autograd_product(fun, point, args, method, jac is True))


def _is_array_method(fun: Any) -> bool:
    """Whether `fun` is no objective but something like a class, whose attributes are not about a point."""
    return fun is None or isinstance(fun, type)


def _gradient_function(fun: Any, jac: Any, args: tuple[Any, ...]) -> Product | None:
    if callable(jac):
        return lambda x: np.asarray(jac(x, *args), dtype=np.float64)
    if jac is True:
        return lambda x: np.asarray(fun(x, *args)[1], dtype=np.float64)
    own = getattr(fun, "gradient", None)
    return (lambda x: np.asarray(own(x, *args), dtype=np.float64)) if callable(own) else None


def _best_method(hessp: Any, hess: Any, gradient: Any) -> str:
    if hessp is not None:
        return "hessp"
    if hess is not None:
        return "hess"
    return "reverse" if gradient is None else "difference"


def _difference(gradient: Product, x: np.ndarray, step: float | None) -> Product:
    length = step if step is not None else np.finfo(np.float64).eps ** (1 / 3) * (np.linalg.norm(x) or 1.0)

    def product(v: np.ndarray) -> np.ndarray:
        size = np.linalg.norm(v)
        if size == 0.0:
            return np.zeros_like(x)
        t = length / size
        return (gradient(x + t * v) - gradient(x - t * v)) / (2.0 * t)

    return product


def _autograd_product(
    fun: Callable[..., Any], x: np.ndarray, args: tuple[Any, ...], method: str, pair: bool
) -> tuple[Product, int, str]:
    import warnings

    from autograd import grad, make_jvp
    from autograd.differential_operators import make_hvp

    def scalar(point: Any) -> Any:
        value = fun(point, *args)
        return value[0] if pair else value

    try:
        if method == "forward":
            jvp = make_jvp(grad(scalar))(x)
            jvp(np.zeros_like(x))
            return (lambda v: jvp(v)[1]), x.size, "autograd, forward over reverse"
        with warnings.catch_warnings():  # a gradient that does not depend on x is a fine zero Hessian
            warnings.filterwarnings("ignore", "Output seems independent of input")
            vjp, _ = make_hvp(scalar)(x)
        return vjp, x.size, "autograd, reverse over reverse"
    except (TypeError, ValueError, AttributeError, NotImplementedError, IndexError) as error:
        raise TypeError(
            f"autograd cannot differentiate this function twice ({type(error).__name__}: {error}); write it "
            "with autograd.numpy, or give jac= (differences of gradients), hess= or hessp="
        ) from error


def hessian_matrix(hvp: Product, n: int | None = None) -> np.ndarray:
    """Assemble the dense symmetric Hessian from n products.

    Parameters
    ----------
    hvp : callable
        ``hvp(v) -> H v``.
    n : int, optional
        Number of variables; a `HessianOperator` knows its own.

    Returns
    -------
    ndarray of float64, shape (n, n)
        Symmetric: the mean of what the products give and its transpose.
    """
    n = _size(hvp, n)
    rows = np.empty((n, n))
    unit = np.zeros(n)
    for i in range(n):
        unit[i] = 1.0
        rows[i] = hvp(unit.copy())
        unit[i] = 0.0
    return 0.5 * (rows + rows.T)


# ------------------------------------------------------------------------------------- extreme eigenvalues


@dataclass(frozen=True)
class ExtremeEigenvalues:
    """The ends of a spectrum, as Lanczos found them.

    Attributes
    ----------
    lambda_min, lambda_max : float
        Rayleigh quotients, hence never outside the true spectrum (to rounding).
    vector_min, vector_max : ndarray, shape (n,)
        Their unit vectors; None for an end that was not asked for.
    error_min, error_max : float
        Norms of the residuals ``H u - lambda u``, each from a product of its own. The spectrum has an
        eigenvalue within that distance; that it is the last one rests on the random start.
    products : int
        Hessian-vector products spent, those for the residuals included.
    converged : bool
        Whether the tolerance was met within the bound on products.
    """

    lambda_min: float
    lambda_max: float
    vector_min: np.ndarray | None
    vector_max: np.ndarray | None
    error_min: float
    error_max: float
    products: int
    converged: bool

    def __iter__(self):
        """Unpack as ``lambda_min, lambda_max``."""
        return iter((self.lambda_min, self.lambda_max))


SMALL = 300
"""Up to this many variables the whole Krylov space is affordable, and the default bound allows it."""


def extreme_eigenvalues(
    hvp: Product,
    n: int | None = None,
    *,
    which: str = "both",
    tol: float = 1e-6,
    relative_to: str = "auto",
    max_products: int | None = None,
    basis: int | None = None,
    seed: int | np.random.Generator = 0,
) -> ExtremeEigenvalues:
    """Find the smallest and largest eigenvalue of a symmetric operator by Lanczos' method.

    Full reorthogonalisation (twice, classical Gram-Schmidt) keeps spurious copies out; a thick restart
    bounds the memory; an invariant subspace (few distinct eigenvalues, a block structure) is left by a fresh
    random vector orthogonal to it, so that clusters and multiple eigenvalues at either end are no obstacle.

    Parameters
    ----------
    hvp : callable
        ``hvp(v) -> H v`` for v of shape (n,), float64, or a `HessianOperator`.
    n : int, optional
        Number of variables; a `HessianOperator` knows its own.
    which : {'both', 'min', 'max'}, default 'both'
        Which ends must converge; the other is reported as far as it came.
    tol : float, default 1e-6
        Residual norm at which an end counts as converged, relative to the scale below. The eigenvalue's own
        error is at most the residual, and mostly of the order of its square.
    relative_to : {'auto', 'norm', 'self'}, default 'auto'
        The scale: the largest modulus in the spectrum, or the end's own modulus, which is harsher where an
        end lies near zero. 'auto' is 'self' up to n = 300 and 'norm' beyond.
    max_products : int, optional
        Bound on products, never exceeded. Default ``min(n, 300) + 2``.
    basis : int, optional
        Vectors kept, at least 8 (or n). Default: as many as fit into 200 MB, at most 300, at least 20.
    seed : int or Generator, default 0
        Of the start vector.

    Returns
    -------
    ExtremeEigenvalues

    Raises
    ------
    ValueError
        Bad arguments, or a product that is not finite.
    """
    n = _size(hvp, n)
    if which not in ("both", "min", "max"):
        raise ValueError(f"which must be 'both', 'min' or 'max', got {which!r}")
    if relative_to not in ("auto", "norm", "self"):
        raise ValueError(f"relative_to must be 'auto', 'norm' or 'self', got {relative_to!r}")
    if not 0.0 < tol < 1.0:
        raise ValueError(f"tol must be in (0, 1), got {tol!r}")
    limit = min(n, SMALL) + 2 if max_products is None else int(max_products)
    if limit < 1:
        raise ValueError(f"max_products must be at least 1, got {max_products!r}")
    if basis is None:
        basis = max(20, min(SMALL, 25_000_000 // n))
    elif basis < min(8, n):
        raise ValueError(f"basis must be at least {min(8, n)}, got {basis}")
    own_scale = relative_to == "self" or (relative_to == "auto" and n <= SMALL)
    ends = {"both": (0, -1), "min": (0,), "max": (-1,)}[which]
    reserve = len(ends) if limit > len(ends) else 0  # products kept back for the residuals

    run = _Lanczos(hvp, n, min(basis, n), np.random.default_rng(seed))
    converged = False
    check = 1
    while not converged:
        run.extend()
        last = run.exhausted or run.products + reserve >= limit
        if run.size >= check or run.full or last:
            run.solve()
            converged = run.settled and (
                run.exhausted or all(run.residual(end) <= tol * run.scale(end, own_scale) for end in ends)
            )
            check = run.size + max(1, run.size // 10)
        if last:
            break
        if not converged:
            run.prepare()
    found: dict[int, tuple[float, np.ndarray | None, float]] = {}
    for end in (0, -1):
        value, vector, error = run.theta[end], None, run.residual(end)
        if end in ends:
            vector = run.vector(end)
            if run.products < limit:
                image = run.apply(vector)
                value = float(vector @ image)
                error = float(np.linalg.norm(image - value * vector))
        unit = run.unit or 1.0
        found[end] = (float(value * unit), vector, float(error * unit))
    return ExtremeEigenvalues(
        min(found[0][0], found[-1][0]),  # they may differ by rounding if there is but one eigenvalue
        found[-1][0],
        found[0][1],
        found[-1][1],
        found[0][2],
        found[-1][2],
        run.products,
        bool(converged),
    )


class _Lanczos:
    """The Krylov basis, the projected matrix, and what is read off them."""

    def __init__(self, hvp: Product, n: int, capacity: int, rng: np.random.Generator) -> None:
        self.hvp, self.n, self.capacity, self.rng = hvp, n, capacity, rng
        self.basis = np.empty((capacity + 1, n))
        self.projected = np.zeros((capacity, capacity))
        self.size = 0  # basis vectors whose images are known
        self.products = 0
        self.unit = 0.0  # of the images, from the first that is not zero: squares must not underflow
        self.explored = 0  # size of the basis when a fresh vector was last put in
        self.invariant = False  # whether the space so far is invariant
        self.fresh_starts = 0
        self.largest_image = 0.0
        self.beta = 0.0
        self.theta = np.zeros(0)
        self.modes = np.zeros((0, 0))
        self.basis[0] = self._fresh()

    def apply(self, v: np.ndarray) -> np.ndarray:
        image = np.array(self.hvp(v), dtype=np.float64)
        self.products += 1
        if not np.isfinite(image).all():
            raise ValueError("a Hessian-vector product is not finite: no eigenvalues can be found")
        if self.unit == 0.0:
            self.unit = float(np.abs(image).max())
        return image / self.unit if self.unit else image

    def extend(self) -> None:
        """Take the image of the newest vector into the projection; the remainder is the next vector."""
        j = self.size
        known = self.basis[: j + 1]
        image = self.apply(known[j])
        self.largest_image = max(self.largest_image, float(np.linalg.norm(image)))
        column = known @ image
        image -= column @ known
        again = known @ image  # twice is enough (Parlett): orthogonal to rounding
        image -= again @ known
        column += again
        self.projected[: j + 1, j] = column
        self.projected[j, : j + 1] = column
        self.beta = float(np.linalg.norm(image))
        self.size = j + 1
        self.invariant = bool(self.beta <= 100.0 * np.finfo(np.float64).eps * self.largest_image)
        if self.size < self.n:
            self.basis[self.size] = 0.0 if self.invariant else image / self.beta
        else:
            self.invariant, self.beta = True, 0.0

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left: the whole space is known, or a fresh start confirmed an invariant one."""
        return self.invariant and (self.size >= self.n or self.fresh_starts > 0)

    @property
    def full(self) -> bool:
        return self.size == self.capacity

    @property
    def settled(self) -> bool:
        """Whether the latest fresh start has had the steps to show what the space before it missed."""
        return self.exhausted or (not self.invariant and self.size - self.explored >= min(3, self.n))

    def solve(self) -> None:
        self.theta, self.modes = np.linalg.eigh(self.projected[: self.size, : self.size])

    def residual(self, end: int) -> float:
        return 0.0 if self.invariant else self.beta * abs(float(self.modes[-1, end]))

    def scale(self, end: int, own: bool) -> float:
        norm = float(np.abs(self.theta).max())
        return max(abs(float(self.theta[end])), 1e-9 * norm) if own else norm

    def vector(self, end: int) -> np.ndarray:
        vector = self.modes[:, end] @ self.basis[: self.size]
        return vector / np.linalg.norm(vector)

    def prepare(self) -> None:
        """Make the next vector ready: leave an invariant space, make room in a full basis."""
        if self.full and self.size < self.n:
            self._shrink()
        if self.invariant:
            self.basis[self.size] = self._fresh()
            self.explored = self.size
            self.fresh_starts += 1

    def _shrink(self) -> None:
        """Thick restart: keep the Ritz vectors at both ends, and the remainder as the next direction."""
        keep = max(2, min(self.capacity // 2, self.capacity - 3))
        low = keep // 2
        chosen = np.r_[0:low, self.size - (keep - low) : self.size]
        remainder = self.basis[self.size].copy()
        self.basis[:keep] = self.modes[:, chosen].T @ self.basis[: self.size]
        self.projected[:] = 0.0
        self.projected[np.arange(keep), np.arange(keep)] = self.theta[chosen]
        self.basis[keep] = remainder
        self.size = keep
        self.explored = min(self.explored, keep)

    def _fresh(self) -> np.ndarray:
        """Draw a random unit vector orthogonal to the basis."""
        known = self.basis[: self.size]
        vector = self.rng.standard_normal(self.n)
        for _ in range(3):
            vector -= (known @ vector) @ known
            vector /= np.linalg.norm(vector)
        return vector


# ---------------------------------------------------------------------------------------- trace and diagonal


@dataclass(frozen=True)
class TraceEstimate:
    """A trace with its standard error (0 when exact) and the products spent."""

    value: float
    standard_error: float
    products: int

    def __float__(self) -> float:
        return self.value


@dataclass(frozen=True)
class DiagonalEstimate:
    """A diagonal, shape (n,), with its standard errors (0 when exact) and the products spent."""

    values: np.ndarray
    standard_errors: np.ndarray
    products: int


def trace_estimate(
    hvp: Product, n: int | None = None, *, products: int = 60, seed: int | np.random.Generator = 0
) -> TraceEstimate:
    """Estimate the trace of a symmetric operator without bias (Hutch++).

    A third of the products finds the space where most of the operator lives, a third takes the trace there
    exactly, and the last third samples the remainder with random signs (Hutchinson). With at least n products
    the trace is exact.

    Parameters
    ----------
    hvp : callable
        ``hvp(v) -> H v`` or a `HessianOperator`.
    n : int, optional
        Number of variables.
    products : int, default 60
        Products to spend, at least 6.
    seed : int or Generator, default 0

    Returns
    -------
    TraceEstimate
    """
    n = _size(hvp, n)
    if products < 6:
        raise ValueError(f"products must be at least 6, got {products!r}")
    if products >= n:
        return TraceEstimate(float(np.trace(hessian_matrix(hvp, n))), 0.0, n)
    rng = np.random.default_rng(seed)
    third = products // 3
    sketch = np.array([hvp(_signs(rng, n)) for _ in range(third)]).T
    space, _ = np.linalg.qr(sketch)
    inside = sum(float(q @ hvp(q)) for q in space.T.copy())
    samples = []
    for _ in range(products - 2 * third):
        probe = _signs(rng, n)
        probe -= space @ (space.T @ probe)
        samples.append(float(probe @ hvp(probe)))
    error = float(np.std(samples, ddof=1) / len(samples) ** 0.5)
    return TraceEstimate(inside + float(np.mean(samples)), error, products)


def diagonal_estimate(
    hvp: Product, n: int | None = None, *, products: int = 60, seed: int | np.random.Generator = 0
) -> DiagonalEstimate:
    """Estimate the diagonal of a symmetric operator without bias, from random signs (Bekas et al.).

    The error of an entry is the norm of the other entries of its row over ``sqrt(products)``. With at least
    n products the diagonal is exact.

    Parameters
    ----------
    hvp, n, seed
        As for `trace_estimate`.
    products : int, default 60
        Products to spend, at least 2.

    Returns
    -------
    DiagonalEstimate
    """
    n = _size(hvp, n)
    if products < 2:
        raise ValueError(f"products must be at least 2, got {products!r}")
    if products >= n:
        return DiagonalEstimate(np.diag(hessian_matrix(hvp, n)).copy(), np.zeros(n), n)
    rng = np.random.default_rng(seed)
    mean, squares = np.zeros(n), np.zeros(n)
    for k in range(1, products + 1):
        signs = _signs(rng, n)
        sample = signs * hvp(signs)
        change = sample - mean
        mean += change / k
        squares += change * (sample - mean)
    return DiagonalEstimate(mean, np.sqrt(squares / (products - 1) / products), products)


def _signs(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.integers(0, 2, n) * 2.0 - 1.0


# --------------------------------------------------------------------------------------------------- report


@dataclass(frozen=True)
class ConvexityReport:
    """What the Hessian says at one point; printing it gives the summary.

    Attributes
    ----------
    verdict : {'convex', 'non-convex', 'undecided'}
        Convex means ``lambda_min >= -tol * lambda_max``. Non-convex is certain (a direction of negative
        curvature is at hand); convex is as certain as Lanczos' random start; undecided means that Lanczos
        did not converge within the bound on products.
    lambda_min, lambda_max : float
        Extreme eigenvalues, with `error_min` and `error_max` as in `ExtremeEigenvalues`.
    direction : ndarray, shape (n,), or None
        Unit vector of negative curvature ``lambda_min``, pointing downhill, if lambda_min < 0.
    gradient_norm : float
        Two-norm of the gradient; NaN when there is no gradient to ask.
    gradient_curvature : float
        ``g'Hg / g'g``: what the gradient norm's fall along steepest descent shows; NaN as above.
    tol : float
        The tolerance of the verdict.
    condition : float
        ``lambda_max / lambda_min`` if both are positive, else inf.
    products : int
        Hessian-vector products spent.
    source : str
        Where they came from.
    converged : bool
        Whether both eigenvalues met the tolerance asked of Lanczos.
    """

    verdict: str
    lambda_min: float
    lambda_max: float
    error_min: float
    error_max: float
    direction: np.ndarray | None
    gradient_norm: float
    gradient_curvature: float
    tol: float
    condition: float
    products: int
    source: str
    converged: bool

    @property
    def convex(self) -> bool:
        """Whether the verdict is 'convex'."""
        return self.verdict == "convex"

    def __str__(self) -> str:
        return (
            f"{self.verdict}: Hessian eigenvalues from {self.lambda_min:.6g} (error {self.error_min:.1e}) to "
            f"{self.lambda_max:.6g} (error {self.error_max:.1e}), tolerance {self.tol:g} of the largest; "
            f"gradient norm {self.gradient_norm:.4g}, curvature along it {self.gradient_curvature:.4g}; "
            f"{self.products} products ({self.source})" + ("" if self.converged else ", not converged")
        )


def convexity_report(
    fun: Callable[..., Any] | None,
    x: Any,
    *,
    args: tuple[Any, ...] = (),
    jac: Any = None,
    hess: Any = None,
    hessp: Callable[..., Any] | None = None,
    method: str = "auto",
    tol: float = 1e-6,
    lanczos_tol: float | None = None,
    max_products: int | None = None,
    seed: int | np.random.Generator = 0,
) -> ConvexityReport:
    """Measure whether a function is convex at a point.

    Parameters
    ----------
    fun, x, args, jac, hess, hessp, method
        As for `hessian_operator`.
    tol : float, default 1e-6
        How negative the smallest eigenvalue may be, as a fraction of the largest, for the Hessian to count
        as numerically positive semidefinite. Differences of gradients are good to about 1e-9.
    lanczos_tol : float, optional
        Residual asked of Lanczos, relative to the largest modulus. Default ``max(0.1 * tol, 1e-10)``.
    max_products, seed
        As for `extreme_eigenvalues`; the curvature along the gradient costs one more product.

    Returns
    -------
    ConvexityReport

    Raises
    ------
    TypeError, ValueError
        As `hessian_operator` and `extreme_eigenvalues`.
    """
    if not 0.0 <= tol < 1.0:
        raise ValueError(f"tol must be in [0, 1), got {tol!r}")
    operator = hessian_operator(fun, x, args=args, jac=jac, hess=hess, hessp=hessp, method=method)
    ends = extreme_eigenvalues(
        operator,
        tol=max(0.1 * tol, 1e-10) if lanczos_tol is None else lanczos_tol,
        relative_to="norm",
        max_products=max_products,
        seed=seed,
    )
    gradient = _gradient_at(fun, jac, args, np.atleast_1d(np.array(x, dtype=np.float64)))
    norm = along = float("nan")
    if gradient is not None:
        norm = float(np.linalg.norm(gradient))
        if 0.0 < norm < np.inf:
            unit = gradient / norm
            along = float(unit @ operator(unit))
    direction = None
    if ends.lambda_min < 0.0 and ends.vector_min is not None:
        direction = ends.vector_min
        if gradient is not None and direction @ gradient > 0.0:
            direction = -direction
    floor = -tol * max(ends.lambda_max, 0.0)
    verdict = "convex" if ends.converged else "undecided"
    if ends.lambda_min < floor:
        verdict = "non-convex"  # converged or not: the true smallest eigenvalue lies below its Ritz value
    positive = ends.lambda_min > 0.0
    return ConvexityReport(
        verdict,
        ends.lambda_min,
        ends.lambda_max,
        ends.error_min,
        ends.error_max,
        direction,
        norm,
        along,
        tol,
        ends.lambda_max / ends.lambda_min if positive else float("inf"),
        operator.products,
        operator.source,
        ends.converged,
    )


def _gradient_at(fun: Any, jac: Any, args: tuple[Any, ...], x: np.ndarray) -> np.ndarray | None:
    """Return the gradient for the report, by autograd if need be; None where there is none to be had."""
    gradient = _gradient_function(fun, jac, args)
    if gradient is not None:
        return gradient(x)
    if fun is None:
        return None
    try:
        from autograd import grad

        return np.asarray(grad(fun)(x, *args), dtype=np.float64)
    except Exception:  # a report without the gradient's line is better than none
        return None


# -------------------------------------------------------------------------------------------- along a path


def path_curvature(xs: Any, gs: Any) -> np.ndarray:
    """Return the curvature ``s'y / s's`` of every step of a path: free where gradients are at hand.

    It is the mean over the step of the Hessian's Rayleigh quotient along it. A convex function has no
    negative entry; a positive one says nothing about other directions.

    Parameters
    ----------
    xs, gs : array_like, shape (k, n)
        Points of the path and the gradients there.

    Returns
    -------
    ndarray of float64, shape (k - 1,)
        NaN for a step of length zero and where anything is not finite. Empty for fewer than two points.

    Raises
    ------
    ValueError
        The shapes differ or are not two-dimensional.
    """
    points, gradients = np.asarray(xs, dtype=np.float64), np.asarray(gs, dtype=np.float64)
    if points.ndim != 2 or points.shape != gradients.shape:
        raise ValueError(f"xs and gs must both have shape (k, n), got {points.shape} and {gradients.shape}")
    if len(points) < 2 or points.shape[1] == 0:
        return np.full(max(len(points) - 1, 0), np.nan)
    with np.errstate(all="ignore"):
        steps, changes = np.diff(points, axis=0), np.diff(gradients, axis=0)
        length = np.abs(steps).max(axis=1)  # squares of tiny steps would underflow
        unit = steps / length[:, None]
        curvature = (unit * changes).sum(axis=1) / (unit * unit).sum(axis=1) / length
    curvature[~np.isfinite(curvature)] = np.nan
    return curvature


def _size(hvp: Any, n: int | None) -> int:
    size = getattr(hvp, "n", None) if n is None else n
    if size is None or int(size) < 1:
        raise ValueError("give n, the number of variables (at least 1)")
    return int(size)
