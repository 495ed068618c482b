"""Hessian-vector products of an objective, from whatever is at hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twophase_min.objective import hessian as _hessian

Array = NDArray[np.floating]


class Products:
    """The part of `calls.Objective` that multiplies a Hessian by a vector."""

    fun: Callable[..., Any]
    args: tuple[Any, ...]
    n: int
    nhev: int
    last: Any
    gradient: Callable[[Array], Array]
    gradient_alone: Callable[[Array], Array]
    _autograd: Any
    _traced: Callable[[Any], Any]
    _hess: Callable[..., Any] | None
    _hessp: Callable[..., Any] | None
    _product: tuple[Array, Callable[[Array], Any]] | None
    _f_samples: int
    _unit: int
    _admit: Callable[[int], None]
    _copy: Callable[[Array], Array]
    _guarded: Callable[..., Any]
    _look_at_the_clock: Callable[[], None]

    def use_hessian(self, hess: Any, hessp: Any) -> None:
        """Have `hessp` use the caller's Hessian or product, ``hess(x, *args)`` or ``hessp(x, p, *args)``."""
        if hess is not None and not callable(hess):
            raise ValueError(f"hess is {hess!r}; the two-phase method takes a callable or None.")
        self._hess, self._hessp = hess, hessp

    def hessp(self, x: Array, p: Array) -> Array:
        """Hessian-vector product at x, both of shape (n,), counted in ``nhev``.

        In this order: the caller's hessp, the caller's hess, the objective's own method ``hessp``, autograd
        (one pass over fun for every new x), a difference of two gradients; this also where autograd's product
        is not finite.
        """
        self._look_at_the_clock()
        self.nhev += 1
        if self._hessp is not None:
            product = self._guarded(self._hessp, self._copy(x), np.array(p), *self.args)
        elif self._hess is not None:
            product = self._guarded(self._hess, self._copy(x), *self.args) @ p
        elif callable(getattr(self.fun, "hessp", None)):
            product = self._guarded(self.fun.hessp, self._copy(x), np.array(p))  # type: ignore[attr-defined]
        elif self._autograd is not None:
            if self._product is None or not np.array_equal(self._product[0], x):
                self._admit(1)
                self._f_samples += self._unit
                made = self._guarded(_hessian.by_autograd, self._traced, self._copy(x))
                self._product = (np.array(x), made)
            product = self._guarded(self._product[1], np.array(p))
            if not np.isfinite(product).all():
                product = self._product_by_differences(x, p)
        else:
            product = self._product_by_differences(x, p)
        return np.asarray(product, dtype=float).reshape(self.n)

    def _product_by_differences(self, x: Array, p: Array) -> Array:
        length = np.finfo(float).eps ** 0.5 * (1 + float(np.linalg.norm(x)))
        product: Array = _hessian.by_differences(self._gradient_aside, x, length, lambda: self.gradient(x))(p)
        return product

    def _gradient_aside(self, x: Array) -> Array:
        """Gradient at a point that does not displace the last one from the memo."""
        last = self.last
        g = self.gradient_alone(x)
        self.last = last
        return g
