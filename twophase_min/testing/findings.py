"""What is wrong with a result: form, success flag, truth, accuracy, counters; a sentence for each fault."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from twophase_min.problems import Problem

_EPS = float(np.finfo(np.float64).eps)


def form(result: Any, start: NDArray[np.float64]) -> list[str]:
    """Find what is missing in a result before anything else is read from it."""
    missing = [name for name in ("x", "fun", "success") if not hasattr(result, name)]
    if missing:
        return [f"form: the result has no {', '.join(missing)}"]
    if np.shape(result.x) != start.shape:
        return [f"form: x has shape {np.shape(result.x)}, the start {start.shape}"]
    if not np.all(np.isfinite(result.x)):
        return ["form: x is not finite"]
    if np.size(result.fun) != 1 or not np.issubdtype(np.asarray(result.fun).dtype, np.number):
        return [f"form: fun is {result.fun!r}, not a number"]
    return []


def flag(result: Any, success: bool | None) -> list[str]:
    """Hold the success flag against what is expected of it."""
    if not isinstance(result.success, bool | np.bool_):
        return [f"success flag: {result.success!r} is no bool"]
    if success is not None and bool(result.success) != success:
        status = getattr(result, "status", None)
        return [f"success flag: {bool(result.success)} (status {status!r}), expected {success}"]
    return []


def truth(result: Any, problem: Problem, start: NDArray[np.float64], with_jac: bool) -> list[str]:
    """Hold what the result says about its own point against the functions."""
    faults = []
    x = np.array(result.x, dtype=np.float64)
    f, f0 = float(problem.fun(x)), float(problem.fun(start))
    # NaN must fail every comparison, hence "not (a <= b)" throughout.
    if not abs(float(result.fun) - f) <= 1e-10 * max(abs(f), 1e-300) + 64.0 * _EPS * abs(f0):
        faults.append(f"value: fun={float(result.fun):.17g} reported, f(x)={f:.17g}")
    if not f <= f0 + 64.0 * _EPS * abs(f0):
        faults.append(f"value: f(x)={f:.10g} is worse than f(x0)={f0:.10g}")
    if with_jac and getattr(result, "jac", None) is not None:
        g, reported = problem.grad(x), np.asarray(result.jac, dtype=np.float64)
        scale = float(np.max(np.abs(problem.grad(start))))
        if reported.shape != g.shape:
            faults.append(f"gradient: jac has shape {reported.shape}, x {g.shape}")
        elif not np.max(np.abs(reported - g)) <= 1e-8 * float(np.max(np.abs(g))) + 1e-10 * scale:
            faults.append(
                f"gradient: jac reported is off the gradient at x by {np.max(np.abs(reported - g)):.3g}"
            )
    return faults


def accuracy(
    x: NDArray[np.float64],
    problem: Problem,
    start: NDArray[np.float64],
    ftol: float | None,
    gtol: float | None,
    xtol: float | None,
    claimed: bool,
) -> list[str]:
    """Hold value, gradient and distance at x against the known minimum; None leaves a test out."""
    faults: list[str] = []
    f, f0 = float(problem.fun(x)), float(problem.fun(start))
    top, top0 = (float(np.max(np.abs(problem.grad(point)))) for point in (x, start))
    steep = gtol is not None and not top <= gtol * max(1.0, top0)
    if steep:
        faults.append(f"accuracy: max |g(x)| = {top:.3g}, allowed {gtol:g} * max(1, {top0:.3g})")
    if ftol is not None and problem.f_min is not None:
        rounding = 64.0 * _EPS * max(abs(problem.f_min), abs(f))
        gap, whole = f - problem.f_min, f0 - problem.f_min
        if not gap <= ftol * max(whole, 0.0) + rounding:
            text = f"accuracy: f(x) - f_min = {gap:.3g}, allowed {ftol:g} * (f(x0) - f_min = {whole:.3g})"
            if gtol is not None and not steep:
                text += "; the gradient is small there: another stationary point? (local=True accepts those)"
            faults.append(text)
        if not gap >= -rounding - 1e-12 * max(whole, 0.0):
            faults.append(f"accuracy: f(x) = {f:.17g} lies below the known minimum {problem.f_min:.17g}")
    if xtol is not None:
        away = problem.minimizers - x
        distances = np.linalg.norm(away, axis=1)
        nearest = int(np.argmin(distances))
        width = max(1.0, float(np.linalg.norm(start - problem.minimizers[nearest])))
        if not distances[nearest] <= xtol * width:
            off = f"{distances[nearest]:.3g} from the nearest minimiser"
            faults.append(f"accuracy: {off}, allowed {xtol:g} * {width:.3g}")
    if faults and claimed:
        faults.append("the result claims success=True all the same")
    return faults


def counters(result: Any, called: tuple[int, int], jac: Any) -> list[str]:
    """Hold nfev and njev against the calls that were counted."""
    faults = []
    values, gradients = called
    nfev, njev = getattr(result, "nfev", None), getattr(result, "njev", None)
    if nfev is None or nfev != values:
        faults.append(f"counters: nfev={nfev} reported, {values} calls of fun counted")
    if jac is True:
        if njev is not None and njev > values:
            faults.append(
                f"counters: njev={njev} reported, only {values} calls of the fused function counted"
            )
    elif jac is not None and (njev is None or njev != gradients):
        faults.append(f"counters: njev={njev} reported, {gradients} calls of jac counted")
    return faults
