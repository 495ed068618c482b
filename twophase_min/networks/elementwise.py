"""Losses that are a sum over samples and outputs of one function of the output and its target.

With N samples, M outputs, last-layer values z, outputs p, targets t and residuals r = p - t, they are

- absolute error          |r|                                          (p = z)
- Huber                   r²/2 where |r| <= d, else d |r| - d²/2       (p = z)
- quantile                q (t - p) where t >= p, else (1 - q) (p - t) (p = z)
- Poisson                 p - t - t log(p / t), half the deviance      (p = exp(z))
- sigmoid cross-entropy   -t log p - (1 - t) log(1 - p)                (p = 1 / (1 + exp(-z)))

and each loss is their mean over samples and outputs, but for the cross-entropy, which sums over the outputs
of a sample as the softmax one does: several labels of a sample are as many independent decisions.

Sources: Huber, Annals of Mathematical Statistics 35 (1964) 73-101; Koenker & Bassett, Econometrica 46 (1978)
33-50; McCullagh & Nelder, "Generalized linear models", section 2.3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, xlogy

Array = NDArray[np.floating]


class Elementwise:
    """What these losses share: a mean, and factors of the samples. See `losses.Loss` for the methods.

    A subclass writes three functions of z and the targets, each of shape (N, M): the terms, the terms with
    their slopes dl/dz, and the slopes with the second derivatives. None may be in the memory of the targets.
    """

    labels = False
    sums_outputs = False
    """Whether a sample counts the sum over its outputs instead of their mean."""

    def terms(self, z: Array, y: NDArray[Any]) -> Array:
        """Return l(z, t)."""
        raise NotImplementedError

    def slopes(self, z: Array, y: NDArray[Any]) -> Array:
        """Return dl/dz."""
        raise NotImplementedError

    def bends(self, z: Array, y: NDArray[Any]) -> Array | None:
        """Return d²l/dz²; None where it is zero."""
        raise NotImplementedError

    def check(self, y: NDArray[Any]) -> None:
        """Accept every real target."""

    def value(self, z: Array, y: NDArray[Any], s: Array | None = None) -> float:
        """See `Loss.value`."""
        return self._mean(self.terms(z, y), s)

    def value_and_delta(self, z: Array, y: NDArray[Any], s: Array | None = None) -> tuple[float, Array]:
        """See `Loss.value_and_delta`."""
        return self.value(z, y, s), self._shares(self.slopes(z, y), s)

    def delta_and_curvature(
        self, z: Array, rz: Array, y: NDArray[Any], s: Array | None = None
    ) -> tuple[Array, Array]:
        """See `Loss.delta_and_curvature`."""
        delta, bends = self._shares(self.slopes(z, y), s), self.bends(z, y)
        return delta, np.zeros_like(z) if bends is None else self._shares(np.multiply(bends, rz, out=rz), s)

    def _count(self, a: Array) -> int:
        return a.shape[0] if self.sums_outputs else a.size

    def _mean(self, terms: Array, s: Array | None) -> float:
        if s is None:
            return float(terms.sum(dtype=np.float64)) / self._count(terms)
        return float(np.einsum("ij,i->", terms, s, dtype=np.float64)) / self._count(terms)

    def _shares(self, derivatives: Array, s: Array | None) -> Array:
        """Turn derivatives of the terms into those of the mean, in place."""
        derivatives /= self._count(derivatives)
        return weigh(derivatives, s)


class AbsoluteError(Elementwise):
    """Mean absolute error of linear outputs; the slope at a residual of 0 is taken as 0."""

    def terms(self, z: Array, y: NDArray[Any]) -> Array:
        """See `Elementwise.terms`."""
        terms: Array = np.abs(z - y)
        return terms

    def slopes(self, z: Array, y: NDArray[Any]) -> Array:
        """See `Elementwise.slopes`."""
        slopes: Array = np.sign(z - y)
        return slopes

    def bends(self, z: Array, y: NDArray[Any]) -> None:
        """See `Elementwise.bends`."""


class Huber(Elementwise):
    """Squared error for small residuals, absolute error for large ones.

    Parameters
    ----------
    delta : float, default 1.0
        Residual at which the one becomes the other, finite and > 0, unit of the targets.
    """

    def __init__(self, delta: float = 1.0) -> None:
        if not 0 < delta < np.inf:
            raise ValueError(f"delta of the Huber loss must be finite and > 0, got {delta!r}")
        self.delta = float(delta)

    def __repr__(self) -> str:
        return f"Huber({self.delta!r})"

    def terms(self, z: Array, y: NDArray[Any]) -> Array:
        """See `Elementwise.terms`: with c the residual clipped to [-d, d], both pieces are c (r - c/2)."""
        r = z - y
        c = np.clip(r, -self.delta, self.delta)
        r -= 0.5 * c
        terms: Array = np.multiply(r, c, out=r)
        return terms

    def slopes(self, z: Array, y: NDArray[Any]) -> Array:
        """See `Elementwise.slopes`."""
        slopes: Array = np.clip(z - y, -self.delta, self.delta)
        return slopes

    def bends(self, z: Array, y: NDArray[Any]) -> Array:
        """See `Elementwise.bends`."""
        bends: Array = (np.abs(z - y) <= self.delta).astype(z.dtype)
        return bends


class Quantile(Elementwise):
    """Quantile (pinball) loss of linear outputs; the slope at a residual of 0 is taken as 0.

    Parameters
    ----------
    level : float, default 0.5
        Of the quantile, in (0, 1). 0.5 is half the absolute error.
    """

    def __init__(self, level: float = 0.5) -> None:
        if not 0 < level < 1:
            raise ValueError(f"level of the quantile loss must lie between 0 and 1, got {level!r}")
        self.level = float(level)

    def __repr__(self) -> str:
        return f"Quantile({self.level!r})"

    def terms(self, z: Array, y: NDArray[Any]) -> Array:
        """See `Elementwise.terms`."""
        r = z - y
        terms: Array = np.maximum((1 - self.level) * r, -self.level * r)
        return terms

    def slopes(self, z: Array, y: NDArray[Any]) -> Array:
        """See `Elementwise.slopes`."""
        r = z - y
        return np.where(r > 0, 1 - self.level, np.where(r < 0, -self.level, 0)).astype(z.dtype)

    def bends(self, z: Array, y: NDArray[Any]) -> None:
        """See `Elementwise.bends`."""


class Poisson(Elementwise):
    """Half the mean Poisson deviance of outputs exp(z), for counts and rates: targets >= 0."""

    def check(self, y: NDArray[Any]) -> None:
        """See `Loss.check`."""
        if (y < 0).any():
            raise ValueError("targets of the Poisson loss must be >= 0")

    def terms(self, z: Array, y: NDArray[Any]) -> Array:
        """See `Elementwise.terms`: near p = t the parts cancel, and t (exp(u) - 1 - u) does not."""
        u = z - np.log(y)  # log of p / t; inf for a target of 0
        terms: Array = np.where(np.abs(u) < 1, y * (np.expm1(u) - u), np.exp(z) - y - y * z + xlogy(y, y))
        return terms

    def slopes(self, z: Array, y: NDArray[Any]) -> Array:
        """See `Elementwise.slopes`."""
        slopes: Array = np.exp(z) - y
        return slopes

    def bends(self, z: Array, y: NDArray[Any]) -> Array:
        """See `Elementwise.bends`."""
        return np.exp(z)


class SigmoidCrossEntropy(Elementwise):
    """Cross-entropy of logistic outputs, a decision each: targets in [0, 1]; ``z`` are logits.

    Everything is written in z and -z, so that nothing cancels or overflows where a decision is certain.
    """

    sums_outputs = True

    def check(self, y: NDArray[Any]) -> None:
        """See `Loss.check`."""
        if ((y < 0) | (y > 1)).any():
            raise ValueError("targets of the sigmoid cross-entropy must lie between 0 and 1")

    def terms(self, z: Array, y: NDArray[Any]) -> Array:
        """See `Elementwise.terms`: log(1 + exp(-|z|)) plus what the wrong side adds."""
        wrong = np.where(z > 0, 1 - y, y)
        size = np.abs(z)
        terms: Array = np.log1p(np.exp(-size)) + wrong * size
        return terms

    def slopes(self, z: Array, y: NDArray[Any]) -> Array:
        """See `Elementwise.slopes`: p - t, as (1 - t) p - t (1 - p)."""
        slopes: Array = (1 - y) * expit(z) - y * expit(-z)
        return slopes

    def bends(self, z: Array, y: NDArray[Any]) -> Array:
        """See `Elementwise.bends`: p (1 - p)."""
        bends: Array = expit(z) * expit(-z)
        return bends


def weigh(rows: Array, s: Array | None) -> Array:
    """Multiply the rows, shape (N, M), by the weights of their samples in place; None leaves them alone."""
    if s is not None:
        rows *= s[:, None]
    return rows
