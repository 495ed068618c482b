"""The weighted mean of what is computed of the chunks of data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Mean:
    """A weighted mean of values, of vectors, or of pairs of both, accumulated in float64.

    Attributes
    ----------
    value : float
        Of the values so far, 0 without any.
    """

    def __init__(self) -> None:
        self.value = 0.0
        self._total: NDArray[np.float64] | None = None
        self._dtype: np.dtype[Any] | None = None

    def add(self, weight: float, result: Any) -> None:
        """Add a float, an array or a pair."""
        value, vector = result if isinstance(result, tuple) else (result, None)
        if isinstance(value, np.ndarray):
            value, vector = 0.0, value
        self.value += weight * value
        if vector is None:
            return
        with np.errstate(all="ignore"):  # inf - inf is a NaN that the caller looks for
            part = np.multiply(vector, weight, dtype=np.float64)
            if self._total is None:
                self._dtype, self._total = vector.dtype, part
            else:
                self._total += part

    def vector(self) -> NDArray[Any]:
        """Return the mean of the vectors, in the dtype in which they came."""
        assert self._total is not None  # there is at least one sample
        with np.errstate(all="ignore"):
            return self._total.astype(self._dtype, copy=False)

    def write(self, out: NDArray[np.float64]) -> None:
        """Write value and vector, where there is one, one behind the other."""
        out[0] = self.value
        if self._total is not None:
            out[1:] = self._total.ravel()

    def read(self, given: NDArray[np.float64]) -> None:
        """Take what `write` has written; a vector only where there is one."""
        self.value = float(given[0])
        if self._total is not None:
            self._total = given[1:].reshape(self._total.shape).copy()
