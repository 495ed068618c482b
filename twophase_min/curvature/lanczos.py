"""Lanczos' method with full reorthogonalisation, thick restarts and fresh starts.

References
----------
C. Lanczos (1950); B. N. Parlett, "The Symmetric Eigenvalue Problem", chapters 11 and 13 (residual bounds);
K. Wu and H. Simon, "Thick-Restart Lanczos Method", SIAM J. Matrix Anal. Appl. 22 (2000);
J. Kuczynski and H. Wozniakowski, SIAM J. Matrix Anal. Appl. 13 (1992) (random starts).
"""

from __future__ import annotations

import numpy as np

from twophase_min.curvature.products import Product


class Lanczos:
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
        """Return the image of v, counted, in units of the first image that is not zero."""
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
        """Whether the basis holds as many vectors as it may."""
        return self.size == self.capacity

    @property
    def settled(self) -> bool:
        """Whether the latest fresh start has had the steps to show what the space before it missed."""
        return self.exhausted or (not self.invariant and self.size - self.explored >= min(3, self.n))

    def solve(self) -> None:
        """Diagonalise the projection: Ritz values ``theta``, ascending, and their ``modes``."""
        self.theta, self.modes = np.linalg.eigh(self.projected[: self.size, : self.size])

    def residual(self, end: int) -> float:
        """Residual norm of an end (0 or -1) by the recurrence, without a product."""
        return 0.0 if self.invariant else self.beta * abs(float(self.modes[-1, end]))

    def scale(self, end: int, own: bool) -> float:
        """Return what an end's residual is held against: its own modulus, or the largest in the spectrum."""
        norm = float(np.abs(self.theta).max())
        return max(abs(float(self.theta[end])), 1e-9 * norm) if own else norm

    def vector(self, end: int) -> np.ndarray:
        """Return the Ritz vector of an end, of length 1."""
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
