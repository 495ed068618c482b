"""Random initial weights: the variance of a signal is kept from layer to layer."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def glorot_uniform(rng: np.random.Generator, n_in: int, n_out: int, gain: float = 1.0) -> NDArray[np.float64]:
    """Draw uniform weights on ±gain √(6 / (n_in + n_out)), shape (n_in, n_out), float64.

    Source: Glorot & Bengio, AISTATS 2010, equation 16. ``gain`` is the reciprocal of the activation's slope
    at zero: 1 for tanh and linear units, 4 for logistic ones.
    """
    limit = gain * math.sqrt(6.0 / (n_in + n_out))
    return rng.uniform(-limit, limit, size=(n_in, n_out))


def he_normal(
    rng: np.random.Generator, n_in: int, n_out: int, gain: float = math.sqrt(2.0)
) -> NDArray[np.float64]:
    """Draw normal weights with standard deviation gain / √n_in, shape (n_in, n_out), float64.

    Source: He et al., ICCV 2015, equation 10 (gain √2: a rectifier passes half of the variance).
    """
    return rng.normal(scale=gain / math.sqrt(n_in), size=(n_in, n_out))
