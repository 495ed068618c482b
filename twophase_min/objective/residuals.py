"""The residuals of a model at its data, with their derivatives and what these cost.

A gradient of half the sum of squares is ``J'r``. Differences of the residual vector give the whole Jacobian J
for one model call a parameter, so that nothing is gained by differences of the sum. Autograd's reverse mode
gives ``J'r`` without J, its forward mode gives J.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twophase_min._errstate import our_arithmetic, users
from twophase_min.objective import source
from twophase_min.objective.check import agrees
from twophase_min.objective.gradient import FINITE_DIFFERENCES, difference_steps
from twophase_min.objective.returned import rounding
from twophase_min.objective.tracing import make_jvp, make_vjp

Array = NDArray[np.floating]

EPS = float(np.finfo(float).eps)
STEP_POWER = {"2-point": 1 / 2, "3-point": 1 / 3}
"""Steps relative to a parameter, as powers of the rounding of a value: a parameter's size is the only unit at
hand, and parameters of 1e-9 are common."""
COMPLEX_STEP = 1e-20
ERROR_POWER = {"2-point": 1 / 2, "3-point": 2 / 3}
"""Relative errors of derivatives by differences, likewise; all others are good to rounding."""


class CallsSpent(Exception):
    """The limit on model calls is reached."""


class _Point(NamedTuple):
    key: bytes
    raw: Array
    r: Array
    pullback: Callable[[Any], Any] | None


class Residuals:
    """Weighted residuals ``L^-1 (f(p) - y)`` of a model and their derivatives with respect to p.

    Parameters
    ----------
    raw : callable
        ``raw(p) -> f(p) - y``, shape (m,), for p of shape (n,).
    m : int
        Number of data.
    jac : callable, str or None
        ``jac(p) -> ndarray (m, n)``, or 'autograd', '2-point', '3-point', 'cs'. None: autograd where it
        traces the model and agrees with a difference at the start, else '2-point', until `sharpen`.
    weigh, weigh_back : callable
        ``a -> L^-1 a`` for a of shape (m,) or (m, n), and ``a -> L^-T a`` for a of shape (m,).
    limit : float
        Model calls at most.

    Attributes
    ----------
    calls : int
        Model calls made, those for differences and by autograd included.
    jacobians : int
        Calls of a given ``jac``.
    kind, reason : str
        Where the derivatives come from, and why.
    eps : float
        Relative rounding of a value: that of float64, until the model returns coarser ones (`rounded_as`).
    """

    def __init__(
        self,
        raw: Callable[[Any], Any],
        m: int,
        jac: Any,
        weigh: Callable[[Array], Array],
        weigh_back: Callable[[Array], Array],
        limit: float,
    ):
        self.raw, self.m, self._jac = raw, m, jac
        self.weigh, self.weigh_back, self.limit = weigh, weigh_back, limit
        self.calls = self.jacobians = 0
        self.eps = EPS
        self.kind = self.reason = ""
        self._last: _Point | None = None

    @property
    def description(self) -> str:
        """Where the derivatives come from, and why."""
        return f"{self.kind} ({self.reason})" if self.reason else self.kind

    @property
    def precision(self) -> float:
        """Relative error to expect of the Jacobian."""
        return float(self.eps ** ERROR_POWER.get(self.kind, 1))

    def rounded_as(self, values: Any) -> None:
        """Learn of values in single precision: steps must stand out of their rounding."""
        self.eps = max(self.eps, rounding(values))

    # ---- where derivatives come from ----------------------------------------------------------------------

    def start(self, p: Array) -> None:
        """Resolve the source of derivatives at p.

        Raises
        ------
        TypeError
            For ``jac='autograd'`` and a model that autograd cannot trace.
        ValueError
            For a ``jac`` of no known form.
        """
        if callable(self._jac):
            self.kind = "callable"
        elif self._jac in FINITE_DIFFERENCES:
            self.kind = str(self._jac)
        elif self._jac in (None, "autograd"):
            self._try_autograd(p)
        else:
            raise ValueError(
                f"jac is {self._jac!r}; "
                "it must be a callable, 'autograd', '2-point', '3-point', 'cs' or None."
            )

    def _try_autograd(self, p: Array) -> None:
        why = source.why_no_autograd()
        if not why:
            self.kind = "autograd"
            try:
                matrix = self.jacobian(p)
                self.gradient(p)
            except CallsSpent:
                raise
            except Exception as error:
                if self._jac == "autograd":
                    raise source.untraceable(error) from error
                why = source.not_traced(error)
            else:
                if self._jac == "autograd":
                    return
                why = self._disagreement(p, matrix)
        self._last = None
        if why:
            self.kind, self.reason = "2-point", f"differences of the residuals, because {why}"
        else:
            self.kind = "autograd"

    def _disagreement(self, p: Array, matrix: Array) -> str:
        """Hold autograd's Jacobian against a difference of a random sum of residuals; '' if they agree."""
        self.kind, self._last = "2-point", None
        signs = np.random.default_rng(0).choice([-1.0, 1.0], self.m)
        sizes = np.where(
            p != 0, np.abs(p), 1.0
        )  # parameters of 1e-7 beside some of 10 need steps of their own

        def total(t: Array) -> float:
            with our_arithmetic():
                return float(signs @ self.values(p + sizes * (t - 1.0)))

        one = np.ones(p.size)
        ok, clause = agrees(total, one, total(one), (signs @ matrix) * sizes)
        return "" if ok else f"autograd's derivative is wrong at the start: {clause}"

    def sharpen(self) -> bool:
        """Take central differences instead of forward ones of our own choice; whether that is a change."""
        if self.kind != "2-point" or self._jac == "2-point":
            return False
        self.kind = "3-point"
        self.reason += "; central ones near the end"
        return True

    # ---- values and derivatives ---------------------------------------------------------------------------

    def _call(self, call: Callable[..., Any], *arguments: Any) -> Any:
        if self.calls >= self.limit:
            raise CallsSpent
        self.calls += 1
        return users(call, *arguments)

    def _at(self, p: Array) -> _Point:
        """Return the values at p; those of the last point are remembered."""
        key = p.tobytes()
        if self._last is None or self._last.key != key:
            pullback = None
            if self.kind == "autograd":
                pullback, raw = self._call(make_vjp, self.raw, p.copy())
            else:
                raw = self._call(self.raw, p.copy())
            raw = self._shaped(raw)
            with our_arithmetic():
                self._last = _Point(key, raw, self.weigh(raw), pullback)
        return self._last

    def _shaped(self, raw: Any) -> Array:
        raw = np.asarray(raw)
        if raw.shape != (self.m,):
            raise ValueError(f"f returned values of shape {raw.shape} less ydata, expected ({self.m},).")
        values: Array = raw if raw.dtype.kind == "c" else raw.astype(float, copy=False)
        return values

    def values(self, p: Array) -> Array:
        """Return the weighted residuals at p, shape (m,)."""
        return self._at(p).r

    def gradient(self, p: Array) -> Array:
        """Return the gradient ``J'r`` of half the sum of squares at p, shape (n,)."""
        point = self._at(p)
        if not np.isfinite(point.r).all():
            return np.full(p.size, np.nan)
        with our_arithmetic():
            if point.pullback is not None:
                return np.asarray(users(point.pullback, self.weigh_back(point.r)), dtype=float)
            return self.jacobian(p).T @ point.r

    def jacobian(self, p: Array) -> Array:
        """Return the Jacobian of the weighted residuals at p, shape (m, n)."""
        with our_arithmetic():
            if self.kind == "callable":
                return self.weigh(self._given(p))
            if self.kind == "autograd":
                units = np.eye(p.size)
                columns = [self._shaped(self._call(make_jvp(self.raw, p.copy()), unit)) for unit in units]
            else:
                power = STEP_POWER.get(self.kind)
                steps = difference_steps(p, self.kind, self.eps**power if power else COMPLEX_STEP)
                columns = [self._column(p, i, float(step)) for i, step in enumerate(steps)]
            return self.weigh(np.stack(columns, axis=1))

    def _given(self, p: Array) -> Array:
        self.jacobians += 1
        matrix = np.asarray(users(self._jac, p.copy()), dtype=float)
        if matrix.shape != (self.m, p.size):
            raise ValueError(f"jac returned shape {matrix.shape}, expected ({self.m}, {p.size}).")
        return matrix

    def _column(self, p: Array, i: int, step: float) -> Array:
        """One column by differences; on the other side where the model is not finite on this one."""
        if self.kind == "cs":
            return np.imag(self._shifted(p, i, 1j * step)) / step
        ahead = self._shifted(p, i, step)
        if self.kind == "2-point" and np.isfinite(ahead).all():
            return (ahead - self._at(p).raw) / step
        behind = self._shifted(p, i, -step)
        if self.kind == "2-point" or not np.isfinite(ahead).all():
            return (self._at(p).raw - behind) / step
        if not np.isfinite(behind).all():
            return (ahead - self._at(p).raw) / step
        return (ahead - behind) / (2 * step)

    def _shifted(self, p: Array, i: int, step: complex) -> Array:
        q = p.astype(complex) if isinstance(step, complex) else p.copy()
        q[i] += step
        return self._shaped(self._call(self.raw, q))
