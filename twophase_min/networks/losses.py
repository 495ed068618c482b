"""Losses over the values of a network's last layer, with their first and second directional derivatives.

The output function is part of the loss here, because that is where both accuracy and speed are won: softmax
and cross-entropy together need no logarithm of a rounded probability. With N samples, M outputs, last-layer
values z, outputs p and targets t:

- mean squared error      L = 1/(N M) Σ_i Σ_k (p_ik - t_ik)²   (p = z, or p = softmax(z))
- softmax cross-entropy   L = -1/N Σ_i Σ_k t_ik log p_ik       (p = softmax(z))

and those of `elementwise` and `custom`. With weights s of the samples, the term of sample i counts s_i times;
their mean is 1 where the whole data are seen, so that L is the weighted mean.

Targets are an (N, M) array of the network's dtype, or N class labels (intp) that stand for one-hot rows.
Labels are not only smaller: with them 1 - p_y is formed from the other classes' probabilities instead of by
a subtraction that cancels, so that losses and gradients keep their relative accuracy as the fit becomes
perfect, which is what a line search lives on in float32.

Values are accumulated in float64 and returned as Python floats. Every method may overwrite ``z`` and ``rz``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from twophase_min.networks import passes
from twophase_min.networks.custom import CustomLoss
from twophase_min.networks.elementwise import (
    AbsoluteError,
    Huber,
    Poisson,
    Quantile,
    SigmoidCrossEntropy,
    weigh,
)

Array = NDArray[np.floating]


@runtime_checkable
class Loss(Protocol):
    """What a network asks of a loss.

    ``z`` has shape (N, M); ``y`` is (N, M) targets or, where ``labels`` allows it, (N,) labels; ``s`` is the
    weights of the samples, shape (N,), or None for equal ones.
    """

    labels: bool
    """Whether class labels are taken instead of one-hot rows."""

    def check(self, y: NDArray[Any]) -> None:
        """Raise ValueError for targets that the loss is not made for."""

    def value(self, z: Array, y: NDArray[Any], s: Array | None = None) -> float:
        """Return L(z)."""

    def value_and_delta(self, z: Array, y: NDArray[Any], s: Array | None = None) -> tuple[float, Array]:
        """Return L(z) and dL/dz, shape (N, M)."""

    def delta_and_curvature(
        self, z: Array, rz: Array, y: NDArray[Any], s: Array | None = None
    ) -> tuple[Array, Array]:
        """Return dL/dz and (d²L/dz²) rz, the change of dL/dz along ``rz``, both of shape (N, M)."""


class _LabelLoss:
    """What the losses below share: labels are welcome, and so is every real target."""

    labels = True

    def check(self, y: NDArray[Any]) -> None:
        """Accept every target."""


class SquaredError(_LabelLoss):
    """Mean squared error of linear outputs.

    Parameters
    ----------
    factor : float, default 1.0
        On the whole; 0.5 makes it the negative log-likelihood of normal errors of unit variance.
    """

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor

    def value(self, z: Array, y: NDArray[Any], s: Array | None = None) -> float:
        """See `Loss.value`."""
        return self.factor * sum_of_squares(_residual_in_place(z, y), s) / z.size

    def value_and_delta(self, z: Array, y: NDArray[Any], s: Array | None = None) -> tuple[float, Array]:
        """See `Loss.value_and_delta`."""
        value = self.value(z, y, s)
        z *= self.factor * 2.0 / z.size
        return value, weigh(z, s)

    def delta_and_curvature(
        self, z: Array, rz: Array, y: NDArray[Any], s: Array | None = None
    ) -> tuple[Array, Array]:
        """See `Loss.delta_and_curvature`."""
        delta = _residual_in_place(z, y)
        delta *= self.factor * 2.0 / z.size
        rz *= self.factor * 2.0 / z.size
        return weigh(delta, s), weigh(rz, s)


class SoftmaxSquaredError(_LabelLoss):
    """Mean squared error of softmax outputs, the paper's loss against one-hot targets."""

    def value(self, z: Array, y: NDArray[Any], s: Array | None = None) -> float:
        """See `Loss.value`."""
        return sum_of_squares(_softmax_residual_in_place(softmax_in_place(z), y), s) / z.size

    def value_and_delta(self, z: Array, y: NDArray[Any], s: Array | None = None) -> tuple[float, Array]:
        """See `Loss.value_and_delta`: with e = p - t, dL/dz_k = 2/(N M) p_k (e_k - Σ_j e_j p_j)."""
        p = softmax_in_place(z)
        residual = _softmax_residual_in_place(p.copy(), y)
        value = sum_of_squares(residual, s) / residual.size
        residual -= row_dots(residual, p)
        residual *= p
        residual *= 2.0 / residual.size
        if y.ndim == 1:
            _balance_rows(residual, y)
        return value, weigh(residual, s)

    def delta_and_curvature(
        self, z: Array, rz: Array, y: NDArray[Any], s: Array | None = None
    ) -> tuple[Array, Array]:
        """See `Loss.delta_and_curvature`: the product rule on `value_and_delta`'s formula."""
        p = softmax_in_place(z)
        rz -= row_dots(rz, p)
        rz *= p  # the change of p
        rp = rz
        scale = 2.0 / p.size
        residual = _softmax_residual_in_place(p.copy(), y)
        mean_change = row_dots(rp, p) + row_dots(residual, rp)
        residual -= row_dots(residual, p)
        curvature = rp * residual
        rp -= mean_change
        rp *= p
        curvature += rp
        curvature *= scale
        residual *= p
        residual *= scale
        if y.ndim == 1:
            _balance_rows(residual, y)
        return weigh(residual, s), weigh(curvature, s)

    def gauss_newton(self, z: Array, rz: Array, y: NDArray[Any], s: Array | None = None) -> Array:
        """Return 2/(N M) P P rz, with P = dp/dz = diag(p) - p pᵀ: the slopes of p without its bends."""
        p = softmax_in_place(z)
        for _ in range(2):
            rz -= row_dots(rz, p)
            rz *= p
        rz *= 2.0 / rz.size
        return weigh(rz, s)


class CrossEntropy(_LabelLoss):
    """Softmax cross-entropy, with the softmax inside: ``z`` are logits."""

    def value(self, z: Array, y: NDArray[Any], s: Array | None = None) -> float:
        """See `Loss.value`."""
        if y.ndim == 1 and passes.are_for(z):
            return passes.cross_entropy(z, y, s)
        return self._value_and_exponentials(z, y, s)[0]

    def value_and_delta(self, z: Array, y: NDArray[Any], s: Array | None = None) -> tuple[float, Array]:
        """See `Loss.value_and_delta`: dL/dz_k = (p_k Σ_j t_j - t_k) / N."""
        if y.ndim == 1 and passes.are_for(z):
            return passes.cross_entropy(z, y, s), z
        value, p, total = self._value_and_exponentials(z, y, s)
        p /= total
        return value, weigh(_cross_entropy_delta(p, y), s)

    def delta_and_curvature(
        self, z: Array, rz: Array, y: NDArray[Any], s: Array | None = None
    ) -> tuple[Array, Array]:
        """See `Loss.delta_and_curvature`: p_k (rz_k - Σ_j p_j rz_j) Σ_j t_j / N."""
        p = softmax_in_place(z)
        rz -= row_dots(rz, p)
        rz *= p
        if y.ndim == 2:
            rz *= row_sums(y)
        rz /= p.shape[0]
        return weigh(_cross_entropy_delta(p, y), s), weigh(rz, s)

    @staticmethod
    def _value_and_exponentials(z: Array, y: NDArray[Any], s: Array | None) -> tuple[float, Array, Array]:
        """Return the loss, exp(z - max) in place of ``z``, and its row sums (N, 1)."""
        rows = np.arange(z.shape[0])
        top = _shift_rows_in_place(z)
        if y.ndim == 1:
            # log Σ_k exp(z_k) - z_y; the largest logit is 0 after the shift
            missing = z[rows, y]
            exponentials = np.exp(z, out=z)
            log_total = _log1p_of_rest(exponentials, rows, top)
            log_total -= missing
            if s is not None:
                log_total *= s
            value = float(log_total.sum(dtype=np.float64))
        else:
            shifted = z
            exponentials = np.exp(z)
            log_total = _log1p_of_rest(exponentials, rows, top)
            surprisal = weigh(np.subtract(log_total[:, None], shifted, out=shifted), s)
            value = float(np.einsum("ij,ij->", surprisal, y, dtype=np.float64))
        return value / z.shape[0], exponentials, row_sums(exponentials)


def softmax_in_place(z: Array) -> Array:
    """Turn logits, shape (N, M), into probabilities in place; never overflows for finite logits."""
    _shift_rows_in_place(z)
    np.exp(z, out=z)
    z /= row_sums(z)
    return z


def sum_of_squares(a: Array, s: Array | None = None) -> float:
    """Return Σ a², accumulated in float64 whatever the dtype of ``a``; row i counts s_i times if given."""
    if s is not None:
        return float(np.einsum("ij,ij,i->", a, a, s, dtype=np.float64))
    if a.dtype == np.float64:
        return float(np.vdot(a, a))
    flat = a.reshape(-1)
    return float(np.einsum("i,i->", flat, flat, dtype=np.float64))


def row_sums(a: Array) -> Array:
    """Return the sum of each row, shape (N, 1); a matrix product beats a reduction over a short axis."""
    return a @ np.ones((a.shape[1], 1), dtype=a.dtype)


def row_dots(a: Array, b: Array) -> Array:
    """Return the scalar products of corresponding rows, shape (N, 1)."""
    dots: Array = np.einsum("ij,ij->i", a, b)[:, None]
    return dots


def _shift_rows_in_place(z: Array) -> NDArray[np.intp]:
    """Subtract each row's maximum and return where it was, shape (N,)."""
    top: NDArray[np.intp] = z.argmax(axis=1)
    z -= z[np.arange(z.shape[0]), top][:, None]
    return top


def _log1p_of_rest(exponentials: Array, rows: NDArray[np.intp], top: NDArray[np.intp]) -> Array:
    """Return log Σ_k exp(z_k) of shifted rows, accurate also where one class is nearly certain."""
    exponentials[rows, top] = 0.0
    rest = row_sums(exponentials)[:, 0]
    exponentials[rows, top] = 1.0
    return np.log1p(rest, out=rest)


def _residual_in_place(z: Array, y: NDArray[Any]) -> Array:
    """Form the residual z - t in place."""
    if y.ndim == 1:
        z[np.arange(z.shape[0]), y] -= 1.0
    else:
        z -= y
    return z


def _softmax_residual_in_place(p: Array, y: NDArray[Any]) -> Array:
    """Form the residual p - t in place; for labels, p_y - 1 is minus the sum of the others."""
    if y.ndim == 1:
        _balance_rows(p, y)
    else:
        p -= y
    return p


def _balance_rows(a: Array, labels: NDArray[Any]) -> None:
    """Set the label's entry of each row to minus the sum of the others, where it is known to be that.

    For a confident row the entry is a small difference of numbers near one; the others are small themselves.
    """
    rows = np.arange(a.shape[0])
    a[rows, labels] = 0.0
    a[rows, labels] = -row_sums(a)[:, 0]


def _cross_entropy_delta(p: Array, y: NDArray[Any]) -> Array:
    """Form (p Σ_j t_j - t) / N in place of ``p``."""
    if y.ndim == 2:
        p *= row_sums(y)
    delta = _softmax_residual_in_place(p, y)
    delta /= delta.shape[0]
    return delta


LOSSES: dict[tuple[str, str], Loss] = {
    ("mse", "identity"): SquaredError(),
    ("mse", "softmax"): SoftmaxSquaredError(),
    ("half_mse", "identity"): SquaredError(0.5),
    ("mae", "identity"): AbsoluteError(),
    ("huber", "identity"): Huber(),
    ("quantile", "identity"): Quantile(),
    ("poisson", "exp"): Poisson(),
    ("poisson", "identity"): Poisson(),
    ("cross_entropy", "softmax"): CrossEntropy(),
    ("cross_entropy", "identity"): CrossEntropy(),
    ("sigmoid_cross_entropy", "logistic"): SigmoidCrossEntropy(),
    ("sigmoid_cross_entropy", "identity"): SigmoidCrossEntropy(),
}
"""The losses by (loss, output); the first output of a loss is its default. Losses that have their output
function inside take identity outputs too: the same loss, but the network gives z, the logits."""

OUTPUTS: dict[str, Callable[[Array], Array]] = {
    "identity": lambda z: z,
    "softmax": softmax_in_place,
    "logistic": lambda z: expit(z, out=z),
    "exp": lambda z: np.exp(z, out=z),
}
"""The output functions by name; they may overwrite z."""


def find_loss(loss: Any, output: str | None) -> tuple[str, str, Loss]:
    """Return a loss's name, its output function's, and the loss.

    Parameters
    ----------
    loss : str, Loss or callable
        A name of `LOSSES`; an object with the methods of `Loss`; or a function, see `custom.CustomLoss`.
    output : str or None
        A name of `OUTPUTS`; None for the loss's own.

    Raises
    ------
    ValueError
        An unknown name, or an output that does not go with the loss.
    """
    if output is not None and output not in OUTPUTS:
        raise ValueError(f"unknown output {output!r}; choose one of {', '.join(sorted(OUTPUTS))}")
    if not isinstance(loss, str):
        if isinstance(loss, Loss):
            own = next((key[1] for key, known in LOSSES.items() if type(known) is type(loss)), "identity")
            return repr(loss), output or own, loss
        if callable(loss):
            return getattr(loss, "__name__", type(loss).__name__), output or "identity", CustomLoss(loss)
    outputs = [own for name, own in LOSSES if name == loss]
    if not outputs:
        names = ", ".join(sorted({name for name, _ in LOSSES}))
        raise ValueError(f"unknown loss {loss!r}; choose one of {names}, or pass a function")
    if output is not None and output not in outputs:
        raise ValueError(f"loss {loss!r} has no output {output!r}; choose {' or '.join(outputs)}")
    return loss, output or outputs[0], LOSSES[loss, output or outputs[0]]
