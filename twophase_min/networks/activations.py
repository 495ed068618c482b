"""Hidden-layer activations with the derivatives that backpropagation and Hessian-vector products need.

Each activation is a stateless object, so that networks stay picklable and safe to share between threads.
The methods work in place where they can: a training step allocates one array per layer and no more.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr

from twophase_min.networks import passes

Array = NDArray[np.floating]

_INV_SQRT_2PI = 1.0 / math.sqrt(2.0 * math.pi)


class Activation(Protocol):
    """What a network asks of an activation σ. All arrays have shape (N, units), float64 or float32."""

    gain: float
    """Factor on the standard deviation of the initial weights (see `networks.init`)."""
    slope: str | None
    """How `passes.pull_back` finds σ'(z), as `jit.layers` names it; None where σ' is 1."""

    def apply(self, z: Array, b: Array) -> Array:
        """Return σ(z + b); may overwrite ``z``. The biases b have shape (units,)."""

    def apply_saving(self, z: Array, b: Array) -> tuple[Array, Array | None]:
        """Return σ(z + b), and what `pull_back` needs besides it; may overwrite ``z``."""

    def pull_back(self, delta: Array, a: Array, saved: Array | None) -> None:
        """Multiply ``delta`` by σ'(z) in place; may destroy ``a`` and ``saved``."""

    def derivatives(self, z: Array) -> tuple[Array, Array, Array | None]:
        """Return σ(z), σ'(z) and σ''(z); None for a second derivative that is zero. May overwrite ``z``."""


class Identity:
    """z: a network of linear layers; σ' = 1, σ'' = 0."""

    gain = 1.0
    slope: str | None = None

    def apply(self, z: Array, b: Array) -> Array:
        """See `Activation.apply`."""
        z += b
        return z

    def apply_saving(self, z: Array, b: Array) -> tuple[Array, None]:
        """See `Activation.apply_saving`."""
        z += b
        return z, None

    def pull_back(self, delta: Array, a: Array, saved: Array | None) -> None:
        """See `Activation.pull_back`."""

    def derivatives(self, z: Array) -> tuple[Array, Array, None]:
        """See `Activation.derivatives`."""
        return z, np.ones_like(z), None


class Tanh:
    """tanh(z); σ' = 1 - σ², σ'' = -2 σ σ'."""

    gain = 1.0
    slope: str | None = "TANH"

    def apply(self, z: Array, b: Array) -> Array:
        """See `Activation.apply`."""
        z += b
        return np.tanh(z, out=z)

    def apply_saving(self, z: Array, b: Array) -> tuple[Array, None]:
        """See `Activation.apply_saving`."""
        z += b
        return np.tanh(z, out=z), None

    def pull_back(self, delta: Array, a: Array, saved: Array | None) -> None:
        """See `Activation.pull_back`."""
        np.multiply(a, a, out=a)
        np.subtract(1, a, out=a)
        delta *= a

    def derivatives(self, z: Array) -> tuple[Array, Array, Array]:
        """See `Activation.derivatives`."""
        a = np.tanh(z, out=z)
        slope = 1 - a * a
        return a, slope, -2 * a * slope


class Logistic:
    """1 / (1 + exp(-z)), by SciPy's `expit`, which cannot overflow; σ' = σ(1 - σ), σ'' = σ'(1 - 2σ)."""

    gain = 4.0
    slope: str | None = "LOGISTIC"

    def apply(self, z: Array, b: Array) -> Array:
        """See `Activation.apply`."""
        z += b
        values: Array = expit(z, out=z)
        return values

    def apply_saving(self, z: Array, b: Array) -> tuple[Array, None]:
        """See `Activation.apply_saving`."""
        z += b
        return expit(z, out=z), None

    def pull_back(self, delta: Array, a: Array, saved: Array | None) -> None:
        """See `Activation.pull_back`."""
        delta *= a
        np.subtract(1, a, out=a)
        delta *= a

    def derivatives(self, z: Array) -> tuple[Array, Array, Array]:
        """See `Activation.derivatives`."""
        a = expit(z, out=z)
        slope = a * (1 - a)
        return a, slope, slope * (1 - 2 * a)


class Relu:
    """max(z, 0); the derivative at the kink is taken as 0, the second derivative as 0 everywhere."""

    gain = math.sqrt(2.0)
    slope: str | None = "RELU"

    def apply(self, z: Array, b: Array) -> Array:
        """See `Activation.apply`."""
        if passes.are_for(z):
            return passes.relu_of_sum(z, b)
        z += b
        return np.maximum(z, 0, out=z)

    def apply_saving(self, z: Array, b: Array) -> tuple[Array, None]:
        """See `Activation.apply_saving`."""
        return self.apply(z, b), None

    def pull_back(self, delta: Array, a: Array, saved: Array | None) -> None:
        """See `Activation.pull_back`."""
        delta *= a > 0

    def derivatives(self, z: Array) -> tuple[Array, Array, None]:
        """See `Activation.derivatives`."""
        a = np.maximum(z, 0, out=z)
        return a, (a > 0).astype(a.dtype), None


class Gelu:
    """z Φ(z) with the exact normal distribution function Φ; σ' = Φ + zφ, σ'' = (2 - z²)φ.

    Φ(z) = (1 + erf(z / √2)) / 2 is read from SciPy's `ndtr`, its erf/erfc form that keeps full relative
    accuracy in the left tail. Source: Hendrycks & Gimpel, arXiv:1606.08415.
    """

    gain = math.sqrt(2.0)
    slope: str | None = "KEPT"

    def apply(self, z: Array, b: Array) -> Array:
        """See `Activation.apply`."""
        z += b
        z *= ndtr(z)
        return z

    def apply_saving(self, z: Array, b: Array) -> tuple[Array, Array]:
        """See `Activation.apply_saving`; the slope is formed here because Φ is the expensive part."""
        z += b
        cdf = ndtr(z)
        a = z * cdf
        slope = _density_into(z, np.empty_like(z))
        slope *= z
        slope += cdf
        return a, slope

    def pull_back(self, delta: Array, a: Array, saved: Array | None) -> None:
        """See `Activation.pull_back`."""
        assert saved is not None  # the slope, see apply_saving
        delta *= saved

    def derivatives(self, z: Array) -> tuple[Array, Array, Array]:
        """See `Activation.derivatives`."""
        cdf = ndtr(z)
        density = _density_into(z, np.empty_like(z))
        # The density underflows to zero long before the square overflows; clip so that 0 * inf cannot arise.
        return z * cdf, cdf + z * density, (2 - np.clip(z, -100, 100) ** 2) * density


def _density_into(z: Array, out: Array) -> Array:
    """Write the standard normal density φ(z) into ``out`` and return it."""
    np.multiply(z, z, out=out)
    out *= -0.5
    np.exp(out, out=out)
    out *= _INV_SQRT_2PI
    return out


ACTIVATIONS: dict[str, Activation] = {
    "identity": Identity(),
    "tanh": Tanh(),
    "relu": Relu(),
    "gelu": Gelu(),
    "logistic": Logistic(),
}
"""The activations by name."""
