"""Random problems whose minimum is known by construction."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from twophase_min.problems._problem import Array, Problem, check_n


def _orthogonal(n: int, rng: np.random.Generator) -> Array:
    """Random orthogonal matrix (n, n), uniform: QR of a Gaussian matrix with the signs of R made positive."""
    q, r = np.linalg.qr(rng.standard_normal((n, n)))
    return q * np.where(np.diag(r) < 0.0, -1.0, 1.0)


def _spectrum(n: int, condition: float, rng: np.random.Generator) -> Array:
    """Eigenvalues from 1 to the condition number, both ends exact, log-uniform between them."""
    if not (math.isfinite(condition) and condition >= 1.0):
        raise ValueError(f"condition must be finite and at least 1, got {condition}")
    if n == 1 and condition != 1.0:
        raise ValueError("a single eigenvalue has condition 1")
    inner = np.exp(rng.uniform(0.0, math.log(condition), max(n - 2, 0)))
    ends = [1.0, condition] if n > 1 else [1.0]
    return np.sort(np.concatenate([ends, np.clip(inner, 1.0, condition)]))


def _rotate(x: Any, basis: Array | None, center: Array) -> Any:
    return x - center if basis is None else (x - center) @ basis


def _back(g: Array, basis: Array | None) -> Array:
    return g if basis is None else basis @ g


def _conjugate(h: Array, basis: Array | None) -> Array:
    """Hessian in x from the Hessian in z = basis' (x - center)."""
    if basis is None:
        return h
    h = basis @ h @ basis.T
    return 0.5 * (h + h.T)


def _quadratic(x: Any, xp: Any = np, *, lam: Array, basis: Array | None, center: Array, f_min: float) -> Any:
    z = _rotate(x, basis, center)
    return f_min + 0.5 * xp.sum(lam * z * z)


def _quadratic_grad(x: Array, *, lam: Array, basis: Array | None, center: Array) -> Array:
    return _back(lam * _rotate(x, basis, center), basis)


def _quadratic_hess(x: Array, *, lam: Array, basis: Array | None) -> Array:
    return _conjugate(np.diag(lam), basis)


def _quadratic_hessp(x: Array, v: Array, *, lam: Array, basis: Array | None) -> Array:
    return _back(lam * (v if basis is None else v @ basis), basis)


def convex_quadratic(
    n: int = 10,
    condition: float = 100.0,
    seed: int = 0,
    *,
    spectrum: ArrayLike | None = None,
    rotate: bool = True,
    f_min: float = 0.0,
) -> Problem:
    """Strictly convex quadratic with a given spectrum, a random orthogonal basis and a random minimiser.

    ``f_min + 1/2 (x - c)' Q diag(lam) Q' (x - c)``. The function works with Q and lam, never with their
    product, so the spectrum is exact by construction; c and the start are standard normal.

    Parameters
    ----------
    n : int, default: 10
        Number of variables; ignored where ``spectrum`` is given.
    condition : float, default: 100.0
        Ratio of the largest eigenvalue to the smallest, which is 1; the others are log-uniform between.
        With n = 1 it must be 1. Ignored where ``spectrum`` is given.
    seed : int, default: 0
        Seed of the basis, the spectrum, the minimiser and the start.
    spectrum : array_like, shape (n,), optional
        The eigenvalues themselves, all positive.
    rotate : bool, default: True
        False leaves the basis out: a diagonal quadratic, linear in memory.
    f_min : float, default: 0.0
        Value at the minimum.

    Returns
    -------
    Problem

    Raises
    ------
    ValueError
        If n < 1, condition < 1, condition != 1 with n = 1, or an eigenvalue is not positive and finite.

    References
    ----------
    Own construction; the uniform orthogonal basis after Mezzadri (2007), Notices of the AMS 54(5), 592-604.
    """
    rng = np.random.default_rng(seed)
    if spectrum is None:
        check_n(n, 1)
        lam = _spectrum(n, condition, rng)
        name = f"convex_quadratic(n={n}, condition={condition!r}, seed={seed}"
    else:
        lam = np.array(spectrum, dtype=np.float64)
        if lam.ndim != 1 or lam.size == 0 or not np.all((lam > 0.0) & np.isfinite(lam)):
            raise ValueError("spectrum must be a vector of positive finite eigenvalues")
        n = lam.size
        name = f"convex_quadratic(seed={seed}, spectrum={lam.tolist() if n <= 10 else f'<{n} eigenvalues>'}"
    name += ("" if rotate else ", rotate=False") + (f", f_min={f_min!r}" if f_min else "") + ")"
    basis = _orthogonal(n, rng) if rotate else None
    center = rng.standard_normal(n)
    return Problem(
        name,
        partial(_quadratic, lam=lam, basis=basis, center=center, f_min=f_min),
        partial(_quadratic_grad, lam=lam, basis=basis, center=center),
        rng.standard_normal(n),
        center,
        f_min,
        "own construction; orthogonal basis after Mezzadri (2007), Notices of the AMS 54(5), 592-604",
        partial(_quadratic_hess, lam=lam, basis=basis),
        partial(_quadratic_hessp, lam=lam, basis=basis),
        convex=True,
        unimodal=True,
    )


Functions = tuple[Callable[..., Any], Callable[..., Array], Callable[..., Array]]


def _bind(functions: Functions, data: dict[str, Any]) -> Functions:
    """Give value, gradient and Hessian their data; partials, unlike closures, can be pickled."""
    fun, grad, hess = functions
    return partial(fun, **data), partial(grad, **data), partial(hess, **data)


_SINC_MIN = 0.21723362821122166  # -min sin(u)/u


def _sine(x: Any, xp: Any = np, *, lam: Array, basis: Array, center: Array, bumps: float, freq: Array) -> Any:
    z = _rotate(x, basis, center)
    return xp.sum(lam * (0.5 * z * z + 0.5 * bumps * (xp.sin(freq * z) / freq) ** 2))


def _sine_grad(x: Array, *, lam: Array, basis: Array, center: Array, bumps: float, freq: Array) -> Array:
    z = _rotate(x, basis, center)
    return _back(lam * (z + 0.5 * bumps * np.sin(2.0 * freq * z) / freq), basis)


def _sine_hess(x: Array, *, lam: Array, basis: Array, center: Array, bumps: float, freq: Array) -> Array:
    z = _rotate(x, basis, center)
    return _conjugate(np.diag(lam * (1.0 + bumps * np.cos(2.0 * freq * z))), basis)


def _warp(x: Any, xp: Any = np, *, lam: Array, basis: Array, center: Array, bend: float) -> Any:
    z = _rotate(x, basis, center)
    return 0.5 * lam[0] * z[0] ** 2 + 0.5 * xp.sum(lam[1:] * (z[1:] - bend * z[:-1] ** 2) ** 2)


def _warp_grad(x: Array, *, lam: Array, basis: Array, center: Array, bend: float) -> Array:
    z = _rotate(x, basis, center)
    force = lam * z
    force[1:] = lam[1:] * (z[1:] - bend * z[:-1] ** 2)
    g = force.copy()
    g[:-1] -= 2.0 * bend * z[:-1] * force[1:]
    return _back(g, basis)


def _warp_hess(x: Array, *, lam: Array, basis: Array, center: Array, bend: float) -> Array:
    z = _rotate(x, basis, center)
    i = np.arange(z.size - 1)
    h = np.diag(lam)
    u = z[1:] - bend * z[:-1] ** 2
    h[i, i] += lam[1:] * (4.0 * bend**2 * z[:-1] ** 2 - 2.0 * bend * u)
    h[i, i + 1] = h[i + 1, i] = -2.0 * bend * z[:-1] * lam[1:]
    return _conjugate(h, basis)


def _log_bowl(x: Any, xp: Any = np, *, lam: Array, basis: Array, center: Array) -> Any:
    z = _rotate(x, basis, center)
    return xp.log1p(0.5 * xp.sum(lam * z * z))


def _log_bowl_grad(x: Array, *, lam: Array, basis: Array, center: Array) -> Array:
    z = _rotate(x, basis, center)
    return _back(lam * z / (1.0 + 0.5 * np.sum(lam * z * z)), basis)


def _log_bowl_hess(x: Array, *, lam: Array, basis: Array, center: Array) -> Array:
    z = _rotate(x, basis, center)
    scale = 1.0 + 0.5 * np.sum(lam * z * z)
    g = lam * z / scale
    return _conjugate(np.diag(lam / scale) - np.outer(g, g), basis)


def smooth_nonconvex(
    n: int = 5, kind: str = "sine", condition: float = 10.0, seed: int = 0, *, bumps: float = 3.0
) -> Problem:
    """Smooth non-convex function whose global minimum, 0 at a random point c, is known by construction.

    In rotated variables ``z = Q'(x - c)`` with eigenvalues ``lam_i`` from 1 to the condition number:

    - ``'sine'``: ``sum lam_i (z_i^2 / 2 + bumps sin^2(w_i z_i) / (2 w_i^2))``, w_i uniform in [0.5, 2].
      Both terms vanish at 0 alone, so the minimum is unique. It is non-convex somewhere if and only if
      bumps > 1, and z = 0 is the only stationary point if and only if bumps < 1 / 0.2172 = 4.603 (the
      depth of sin(u)/u); above that there are further local minima, which are not listed.
    - ``'warp'``: a quadratic in ``u_1 = z_1, u_i = z_i - z_{i-1}^2``, a curved valley. The map is one to
      one with a Jacobian of determinant 1, so z = 0 is the only stationary point. Needs n >= 2.
    - ``'log'``: ``log(1 + 1/2 sum lam_i z_i^2)``: convex around the minimum, non-convex outside, its
      gradient first growing and then shrinking on the way in, as the paper has it. z = 0 is the only
      stationary point; the start lies where the quadratic is 50, well outside.

    Parameters
    ----------
    n : int, default: 5
        Number of variables.
    kind : {'sine', 'warp', 'log'}, default: 'sine'
        The construction.
    condition : float, default: 10.0
        Ratio of the largest ``lam`` to the smallest; 1 where n = 1. It is the condition number of the
        Hessian at the minimum.
    seed : int, default: 0
        Seed of everything random.
    bumps : float, default: 3.0
        Depth of the waves of 'sine', above 1; ignored by the others.

    Returns
    -------
    Problem
        ``unimodal`` says whether the minimum is the only stationary point.

    Raises
    ------
    ValueError
        If n is too small, the kind unknown, the condition below 1, or bumps not above 1.

    References
    ----------
    Own construction.
    """
    check_n(n, 2 if kind == "warp" else 1)
    rng = np.random.default_rng(seed)
    lam = _spectrum(n, condition, rng)
    shared: dict[str, Any] = {"lam": lam, "basis": _orthogonal(n, rng), "center": rng.standard_normal(n)}
    offset = rng.standard_normal(n)
    functions: Functions
    name, unimodal = f"smooth_nonconvex(n={n}, kind={kind!r}, condition={condition!r}, seed={seed}", True
    if kind == "sine":
        if not (bumps > 1.0 and math.isfinite(bumps)):
            raise ValueError(f"bumps must be finite and above 1, else the function is convex; got {bumps}")
        shared.update(bumps=bumps, freq=rng.uniform(0.5, 2.0, n))
        functions, unimodal = (_sine, _sine_grad, _sine_hess), bumps * _SINC_MIN < 1.0
        name += f", bumps={bumps!r}"
    elif kind == "warp":
        shared.update(bend=1.0)
        functions = (_warp, _warp_grad, _warp_hess)
    elif kind == "log":
        functions = (_log_bowl, _log_bowl_grad, _log_bowl_hess)
        offset *= 10.0 / math.sqrt(float(np.sum(lam * (offset @ shared["basis"]) ** 2)))
    else:
        raise ValueError(f"kind must be 'sine', 'warp' or 'log', got {kind!r}")
    fun, grad, hess = _bind(functions, shared)
    x0, x_min = shared["center"] + offset, shared["center"]
    return Problem(f"{name})", fun, grad, x0, x_min, 0.0, "own construction", hess, unimodal=unimodal)
