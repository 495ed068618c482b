r"""Quasi-Newton methods with a dense inverse Hessian: self-scaled Broyden, self-scaled BFGS, BFGS.

The direction is ``p = -H g``, and H learns from every step s and difference of gradients y so that ``H+ y =
s``. With ``B = H^-1``, ``rho = 1 / s'y`` and ``v = rho s - H y / y'Hy`` the update is

    H+ = (H - H y y'H / y'Hy + phi (y'Hy) v v') / tau + rho s s',

the inverse of Broyden's family with a factor tau on what is kept of B,

    B+ = tau (B - B s s'B / s'Bs + theta (s'Bs) w w') + rho y y',   w = rho y - B s / s'Bs,
    phi = (1 - theta) / sigma,   sigma = 1 + theta a,   a = b h - 1,   b = rho s'Bs,   h = rho y'Hy.

*Derivation.* ``B+ s = y`` holds since w and the rest of the bracket are orthogonal to s. By the inequality
of Cauchy and Schwarz ``b h >= 1``, with equality where s and H y are parallel. Multiplied by the roots of H
from both sides, B+ at tau = 1 differs from the identity in the plane of ``B^{1/2} s`` and ``H^{1/2} y``
only. There its trace is ``h + sigma`` and its determinant ``sigma / b``. So it is positive definite for
sigma > 0 only, and ``det B+ = det B tau^{n-1} sigma / b``. The ratio of the two eigenvalues is least for
``sigma = h``, where they are ``h (1 - c)`` and ``h (1 + c)`` with ``c = sqrt(1 - 1 / (b h)) = sqrt(a / (1 +
a))`` (Davidon 1975).

*theta.* It is ``1 / b - 1`` within bounds. That is 0, the member of BFGS, where the curvature along s is what
H expected; negative where H expected more, b > 1; and positive where H expected less. With
``k = max(1, b (1 + c))``, and as ``h (1 - c) = 1 / (b (1 + c))``, the lower bound sets sigma to the smaller
eigenvalue of Davidon's member, or to 1 if that is less: ``1 + theta- a = min(1, h (1 - c)) = 1 / k``. The
upper bound, ``theta+ = k``, is the same with the roles of B and H exchanged.

*tau.* What is kept of B is scaled down where it was too large, by ``r = min(1, 1 / b)``. A theta other than
0 changes the determinant of what is kept by sigma; the factor ``sigma^{1/(1-n)}`` makes up for that, one
share for each of the n - 1 other directions. ``tau = min(r sigma^{1/(1-n)}, sigma)`` for theta <= 0, and
``r min(sigma^{1/(1-n)}, 1 / theta)`` else.

*Members.* Self-scaled BFGS has theta = 0, so phi = 1, and tau = r. BFGS has phi = 1 and tau = 1.

*Limits.* For a -> 0, v vanishes as fast as ``sqrt(a)`` and sigma -> 1, so that phi does not matter and tau
-> r: the formulas of self-scaled BFGS. For n = 1 nothing is kept of H, and ``H+ = s / y`` whatever tau is:
BFGS. Both are taken as cases of their own; nothing is divided by zero.

*The first trial.* ``tau <= 1`` makes what is kept of H larger, never smaller, and a full step soon is too
long: on physics-informed networks the accepted step is a third of it in the median. So the first trial of a
self-scaled member is the step that would repeat the last decrease, at most 1 (Nocedal & Wright 2006, equation
3.60, as in SciPy's BFGS). There that took 1.1 evaluations an iteration in place of 1.65. BFGS tries 1.

*What b is.* Along ``s = -alpha H g`` it is ``-alpha rho s'g``: no product with B is needed. Along any other
step, Adam's or one at an edge of the domain, b is not known. Such a step is learnt by BFGS.

*Bounds.* H is the inverse of the free block of B: pairs have no entry for the variables that a bound holds,
and a variable that comes to a bound is taken out of H by ``H - H e e'H / e'He``, e its unit vector. That is
what the inverse of a block is (Schur complement). It keeps its own diagonal entry, with which it comes back.

*What comes from where.* The self-scaled family, the interval of theta and the choices of tau: Al-Baali,
"Numerical experience with a class of self-scaling quasi-Newton algorithms", J. Optim. Theory Appl. 96
(1998); Al-Baali & Khalfan, "Wide interval for efficient self-scaling quasi-Newton algorithms", Optim.
Methods Softw. 20 (2005). Its use for physics-informed networks, where the choice above is called
SSBroyden2: Urbán, Stefanou & Pons, J. Comput. Phys. 523 (2025), arXiv:2405.04230. (Their SSBroyden1 takes
the theta of the rank-one formula, ``1 / (1 - b)``, within the bounds. It needed more evaluations on
CUTEst.) Sizing the first H: Nocedal & Wright, *Numerical Optimization* (2006), equation 6.20. The line
search, the safeguards, the use of Adam's pairs, and one pass over half a matrix in place of two over a
whole one are this package's.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from twophase_min.phases.ask_tell import Array, ConvexPhase, metric_named, wolfe_constants
from twophase_min.phases.packed import PRODUCT, STEP
from twophase_min.phases.quasi_newton_kernels import QUASI_NEWTON, QuasiNewtonState, new_state
from twophase_min.phases.search import REASONS

MEMORY_LIMIT = 2**31
"""Bytes that the inverse Hessians of a run may take where nobody says."""


class QuasiNewton(ConvexPhase):
    """A quasi-Newton method as a phase: start, ask, tell.

    Parameters
    ----------
    c1 : float, default 1e-4
        Sufficient decrease of the line search, 0 < c1 < 1/2.
    c2 : float, optional
        Curvature condition (weak Wolfe), c1 < c2 < 1. None: 0.9.
    precondition : 'auto' or None, default 'auto'
        What to do where `start` is given no ``diagonal``: 'auto' takes the sizes of x for the scales of the
        variables if the gradient there supports it (`use_sizes`), None takes all scales as equal.
    hess_inv0 : ndarray, shape (n, n), optional
        Inverse Hessian to begin with, unit x²/f. Its symmetric part is taken. One that is not finite and
        positive definite (by Cholesky) is left out, and ``caution`` says so.
    memory_limit : float, default 2**31
        Bytes that the inverse Hessians may take.

    Attributes
    ----------
    caution : str
        What could not be done as asked; empty if nothing.

    Notes
    -----
    Without ``hess_inv0`` H is a multiple of the metric D until the first pair comes. One of Adam's sets the
    multiple to ``s'D^-1 s / s'y``, the first step along ``-D g`` to the shorter scale ``s'y / y'Dy``.

    A pair is skipped if ``s'y`` is not positive, is rounding, or is not finite (counted in ``skipped``). H is
    set back to D (counted in ``restarts``) where the direction is no descent direction, where ``y'Hy`` is not
    positive, where ``b h`` is far below 1, and after a search that found no decrease.

    Steps take O(n²) operations; H is float64 whatever x is.
    """

    record = QUASI_NEWTON
    kind = QuasiNewtonState
    reasons = REASONS
    member: ClassVar[int] = 0

    def __init__(
        self,
        c1: float = 1e-4,
        c2: float | None = None,
        precondition: str | None = "auto",
        hess_inv0: Array | None = None,
        memory_limit: float = MEMORY_LIMIT,
    ):
        self.c1, self.c2 = wolfe_constants(c1, c2, 0.9)
        self.precondition = metric_named(precondition)
        self.hess_inv0 = hess_inv0
        self.memory_limit = memory_limit
        self.caution = ""
        self._given: Array | None = None

    @property
    def keeps_pairs(self) -> bool:
        """Whether pairs from elsewhere are of use."""
        return True

    def check(self, n: int) -> None:
        """Raise a ValueError if n variables do not fit the options."""
        needed = 8 * n * (n + 1)
        if needed > self.memory_limit:
            raise ValueError(
                f"convex_method {self.name!r} would need {needed:.3g} bytes for the inverse Hessian of {n} "
                f"variables, more than memory_limit={self.memory_limit:.3g}: take convex_method "
                "'l-ssbroyden' or 'memory-cg', or raise convex_options={'memory_limit': ...}."
            )
        if self.hess_inv0 is not None and np.shape(self.hess_inv0) != (n, n):
            raise ValueError(
                f"'hess_inv0' has shape {np.shape(self.hess_inv0)}; for {n} variables it must be ({n}, {n})."
            )

    def allocate(self, n: int, dtype: Any, scaled: bool) -> None:
        """Make a state for n variables, with place for a change of variables or without."""
        given = None
        if self.hess_inv0 is not None and len(self.hess_inv0) == n:
            given = self._given = self._triangle() if self._given is None else self._given
        bounded = self.box is not None
        self.state = new_state(n, self.member, dtype, self.c1, self.c2, scaled, given, bounded)
        self.enter_box()

    def _triangle(self) -> Array:
        """Return the packed triangle of ``hess_inv0``, empty if it is no inverse Hessian."""
        matrix = np.asarray(self.hess_inv0, dtype=float)
        matrix = 0.5 * (matrix + matrix.T)
        try:
            np.linalg.cholesky(matrix)  # which takes NaN and inf without a word
            sound = bool(np.all(np.isfinite(matrix)))
        except np.linalg.LinAlgError:
            sound = False
        if not sound:
            self.caution = (
                "'hess_inv0' is not finite and positive definite: the convex phase began without it."
            )
            return np.zeros(0)
        return np.concatenate([row[: i + 1] for i, row in enumerate(matrix)])

    @property
    def hess_inv(self) -> Array:
        """Inverse Hessian, shape (n, n), a copy. Unit x²/f."""
        state, view = self.state, self.view
        n = state.vectors.shape[1]
        s, w = state.work[STEP], state.work[PRODUCT]
        full = np.empty((n, n))
        at = 0
        for i in range(n):
            row = view.keep * state.inverse[at : at + i + 1]
            row += (view.ss * s[i] + view.sw * w[i]) * s[: i + 1]
            row += (view.sw * s[i] + view.ww * w[i]) * w[: i + 1]
            full[i, : i + 1] = full[: i + 1, i] = row
            at += i + 1
        return full

    def of_result(self) -> dict[str, Any]:
        """Fields of the result of a run that this phase has ended."""
        return {"hess_inv": self.hess_inv}

    @property
    def counters(self) -> dict[str, int]:
        """Iterations, values and gradients told, restarts, rescued searches, skipped pairs."""
        names = ("iterations", "values", "gradients", "restarts", "rescues", "skipped")
        return {name: getattr(self.view, name) for name in names}

    def get_state(self, copied: bool = True) -> dict[str, np.ndarray]:
        """Everything that the rest of the run depends on; not copied where the phase has ended."""
        return self._saved(copied, without=("given",))

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from `get_state`, bit for bit."""
        super().set_state({**state, "given": np.zeros(0)})


class SSBroyden(QuasiNewton):
    """Self-scaled Broyden."""

    name = "ssbroyden"
    member = 0


class SSBFGS(QuasiNewton):
    """Self-scaled BFGS."""

    name = "ssbfgs"
    member = 1


class BFGS(QuasiNewton):
    """BFGS."""

    name = "bfgs"
    member = 2
