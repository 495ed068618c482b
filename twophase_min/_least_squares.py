"""Sums of squares by `minimize`, in variables in which the Gauss-Newton Hessian is the identity.

With the singular value decomposition ``J D^-1 = U S V'`` of the Jacobian at p, its columns scaled to length 1
by D, the residuals are to first order

    r(p + B z) = r + U z,   B = D^-1 V S^-1,

and half their sum of squares has the gradient U'r and, but for the second derivatives of the residuals, the
identity for its Hessian. In z the problem is well-conditioned however correlated the parameters are and
whatever units they have; and ``|U'r| / |r|`` is the relative offset of Bates and Watts: how far the minimum
is, in units of the errors of the parameters. The variables are renewed every few iterations.

Far from the minimum the Gauss-Newton step can be too long by orders of magnitude. Then ``S`` is replaced by
``(S^2 + lambda^2)^(1/2)``, lambda so large that the step, in scaled parameters, is no longer than these
(Levenberg; More).

References
----------
D. M. Bates, D. G. Watts, "A relative offset orthogonality convergence criterion for nonlinear least
squares", Technometrics 23 (1981) 179-183;
J. J. More, "The Levenberg-Marquardt algorithm: implementation and theory", Lecture Notes in Mathematics 630
(1978) 105-116.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twophase_min._errstate import our_arithmetic
from twophase_min._minimize import minimize
from twophase_min.objective.residuals import EPS, CallsSpent, Residuals

Array = NDArray[np.floating]

ROUND = 15
"""Iterations after which the variables are renewed."""
ROUGH = 1e-6
"""Relative offset at which forward differences are worth replacing by central ones."""
STALLS = 3
"""Rounds without a decrease to speak of after which the values have said all they know."""
SHRINKS = 0.8
"""Factor by which a Gauss-Newton step must reduce the offset; large residuals make it converge slowly."""
LOWER = 1e-6
"""Share by which the residuals of the other fit must be smaller."""
AWAY = 0.1
"""Step away from a fit that is not determined, as a share of the size of the parameters."""
ENOUGH = 1e-3
"""Relative offset below which the fit counts as one: Bates and Watts's own limit."""


@dataclass(frozen=True)
class Fit:
    """What `fit` found.

    Attributes
    ----------
    p : ndarray, shape (n,)
        Parameters.
    r, jacobian : ndarray, shapes (m,) and (m, n)
        Weighted residuals there, and their Jacobian.
    offset : float
        Relative offset there.
    status : int
        1: the relative offset is at most the tolerance. 2: at most `ENOUGH`, and nothing brings it further
        down. 3: the residuals, or their gradient, vanish to rounding. 0: none of these. -1: calls spent; p
        is the best point, the rest belongs to an earlier one.
    """

    p: Array
    r: Array
    jacobian: Array
    offset: float
    status: int


class _Frame:
    """The variables z about one p."""

    def __init__(self, residuals: Residuals, p: Array, scale_of_data: float):
        self.p = p
        self.r = residuals.values(p)
        self.jacobian = residuals.jacobian(p)
        with our_arithmetic():
            self.size = float(np.linalg.norm(self.r))
            lengths = np.linalg.norm(self.jacobian, axis=0)
            lengths[lengths == 0] = 1.0
            self.sound = bool(np.isfinite(self.jacobian).all())
            if not self.sound:
                self.offset, self.exact, self.perfect = np.inf, False, False
                return
            left, s, right = np.linalg.svd(self.jacobian / lengths, full_matrices=False)
            rank = int(np.sum(s > max(self.jacobian.shape) * EPS * s[0]))
            self.left, self.s = left[:, :rank], s[:rank]
            self.axes = right[:rank].T / lengths[:, None]
            self.free = right[rank:].T / lengths[:, None]
            self.slope = self.left.T @ self.r
            steepness = float(np.linalg.norm(self.slope))
            self.offset = steepness / self.size if self.size else 0.0
            rounding = 4 * residuals.eps * scale_of_data
            self.perfect = self.size <= rounding
            if residuals.eps > EPS:  # what differences of coarse values leave open
                rounding = max(rounding, residuals.precision * self.size)
            self.exact = self.perfect or steepness <= rounding
            self.reach = float(np.linalg.norm(lengths * p))

    @cached_property
    def basis(self) -> Array:
        """B, shape (n, rank), its unit the size of the residuals."""
        basis: Array = self.axes / np.sqrt(self.s**2 + self._damping() ** 2) * self.size
        return basis

    @cached_property
    def start(self) -> Array:
        """Start, z at p: the gradient, so that the first trial, as long as z is, is the Gauss-Newton step."""
        return np.asarray(self.basis.T @ (self.jacobian.T @ self.r) / self.size**2)

    def at(self, z: Array) -> Array:
        """Return the parameters at z."""
        return np.asarray(self.p + self.basis @ (z - self.start), dtype=float)

    def away(self) -> Array:
        """Return parameters a little away, in directions that do not change the residuals to first order."""
        weights = 1.0 / np.arange(1.0, self.free.shape[1] + 1.0)
        step: Array = self.free @ weights
        return self.p + AWAY * self.reach / float(np.linalg.norm(weights)) * step

    def _damping(self) -> float:
        """Return lambda: 0 where the Gauss-Newton step is no longer than the parameters, or these are 0."""
        if not self.reach or self._length(0.0) <= self.reach:
            return 0.0
        damping = EPS * float(self.s[0])
        while self._length(damping) > self.reach:
            damping *= 2.0
        return damping

    def _length(self, damping: float) -> float:
        return float(np.linalg.norm(self.s * self.slope / (self.s**2 + damping**2)))

    def last_step(self) -> Array:
        """Return the parameters after a Gauss-Newton step."""
        step: Array = self.axes @ (self.slope / self.s)
        return self.p - step


def fit(residuals: Residuals, p0: Array, tol: float, scale_of_data: float, options: Mapping[str, Any]) -> Fit:
    """Minimise half the sum of squares of the residuals.

    Where the fit found does not determine its parameters, another one begins a little away from it: terms of
    one form that start alike, as with the default p0, stay alike, at a saddle. Or a term has vanished on the
    way. Then, and after a failure, another way is taken from p0, that of `minimize` without the options
    chosen here, and one from half of p0, where exponentials may not vanish. The first of these that is lower
    is returned.

    Parameters
    ----------
    residuals : Residuals
        Not yet started.
    p0 : ndarray, shape (n,)
        Start, where the residuals are finite.
    tol : float
        Relative offset at which to stop.
    scale_of_data : float
        Norm of the weighted data; residuals below its rounding are none.
    options : mapping
        Of `minimize`, over the ones chosen here.

    Returns
    -------
    Fit
    """
    # a frame is of a quadratic model, whose curvature does not change along a step
    ours = {"convex_method": "memory-cg", "convex_options": {"end_curvature": False}}
    settings = {"gtol": tol, "maxiter": ROUND, **({} if "convex_method" in options else ours), **options}
    residuals.start(p0)
    found, frame = _descend(residuals, p0, tol, scale_of_data, settings)
    vanished = frame.free.size > 0 and bool(frame.reach)
    if found.status < 0 or frame.perfect or not (vanished or found.status == 0):
        return found
    others = [(frame.away(), settings)] if vanished else []
    if "convex_method" not in options and "convex_options" not in options:
        others.append((p0, {**settings, "convex_options": {}}))
    others.append((0.5 * p0, settings))
    for start, chosen in others:
        try:
            other, after = _descend(residuals, start, tol, scale_of_data, chosen)
        except CallsSpent:
            return found
        lower = after.size < (1.0 - LOWER) * frame.size
        if other.status > 0 and (lower or (found.status == 0 and after.size <= frame.size)):
            return other
    return found


def _descend(
    residuals: Residuals, p0: Array, tol: float, scale_of_data: float, settings: dict[str, Any]
) -> tuple[Fit, _Frame]:
    """Return the fit that a start leads to, and the variables about it."""
    p, stalls, frame = p0, 0, _Frame(residuals, p0, scale_of_data)
    try:
        while frame.sound:
            if (frame.exact or frame.offset <= ROUGH) and residuals.sharpen():
                frame = _Frame(residuals, p, scale_of_data)
                continue
            if frame.exact or frame.offset <= tol:
                break
            after = _gauss_newton(residuals, frame, scale_of_data)
            if after is not None:
                p, frame = after.p, after
                continue
            p, decrease = _round(residuals, frame, settings)
            stalls = 0 if decrease > 100 * residuals.eps else stalls + 1 if decrease > 0 else STALLS
            if stalls >= STALLS:
                if not residuals.sharpen():
                    break
                stalls = 0
            frame = _Frame(residuals, p, scale_of_data)
    except CallsSpent as error:
        best = getattr(error, "optimize_result", None)
        p = p if best is None or not best.fun < 0.5 else frame.at(best.x)
        return Fit(p, frame.r, frame.jacobian, frame.offset, -1), frame
    return Fit(frame.p, frame.r, frame.jacobian, frame.offset, _status(frame, tol)), frame


def _round(residuals: Residuals, frame: _Frame, settings: dict[str, Any]) -> tuple[Array, float]:
    """Run `minimize` in the variables of a frame; where it came, and the share of f that it took away."""
    basis, square = frame.basis, frame.size**2

    def value(z: Array) -> float:
        with our_arithmetic():
            r = residuals.values(frame.at(z))
            f = 0.5 * float(r @ r) / square
        return f if np.isfinite(f) else np.inf

    def gradient(z: Array) -> Array:
        with our_arithmetic():
            return basis.T @ residuals.gradient(frame.at(z)) / square

    if residuals.eps > EPS:  # below that differences of coarse values say nothing
        settings = {**settings, "gtol": max(settings["gtol"], residuals.precision)}
    result = minimize(value, frame.start, jac=gradient, options=settings)
    if not result.fun < 0.5:
        return frame.p, 0.0
    return frame.at(result.x), float(1.0 - 2.0 * result.fun)


def _gauss_newton(residuals: Residuals, frame: _Frame, scale_of_data: float) -> _Frame | None:
    """Return the frame after a Gauss-Newton step near the minimum; None where it gains too little.

    The gradient resolves there what the values do not, and a search along it has no scale to begin with.
    """
    if frame.offset > ENOUGH:
        return None
    after = _Frame(residuals, frame.last_step(), scale_of_data)
    good = after.offset <= SHRINKS * frame.offset and after.size <= frame.size * (1 + ENOUGH**2)
    return after if good else None


def _status(frame: _Frame, tol: float) -> int:
    if frame.exact:
        return 3
    if frame.offset <= tol:
        return 1
    return 2 if frame.offset <= ENOUGH else 0
