"""Where the gradient comes from: what ``jac`` names, and the message if autograd cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twophase_min.objective.foreign import of_traced
from twophase_min.objective.gradient import EXTRAPOLATED, FINITE_DIFFERENCES

REMEDY = (
    "write the function with autograd.numpy (`import autograd.numpy as np`), pass jac=<callable>, or pass "
    "jac='2-point'"
)


def named(jac: Any, fun: Callable[..., Any]) -> tuple[str, str] | None:
    """Return the kind of gradient that ``jac`` names and why; None where it leaves the choice.

    Raises
    ------
    ValueError
        For a ``jac`` of no known form.
    """
    if callable(jac) and jac is not True:
        return "callable", ""
    if jac is True:
        return "fused", ""
    if jac is None and hasattr(fun, "value_and_gradient"):
        return "fused", "fun.value_and_gradient"
    if jac == "autograd" or jac in FINITE_DIFFERENCES:
        return str(jac), ""
    if jac is None or jac is False:
        return None
    raise ValueError(
        f"jac is {jac!r}; it must be a callable, True, 'autograd', '2-point', '3-point', 'cs' or None."
    )


def resumed(jac: Any, fun: Callable[..., Any], kind: str, reason: str) -> tuple[str, str]:
    """Return kind and reason for a run that goes on from one whose gradient was of this kind.

    Differences that have become more exact than ``jac`` says stay so.
    """
    if kind == EXTRAPOLATED and jac in (None, "3-point"):
        return kind, reason
    if kind not in ("autograd", "2-point"):  # the earlier run was handed a gradient, this one is not
        kind, reason = "2-point", "finite differences, because resuming does not look for another source"
    return named(jac, fun) or (kind, reason)


def sharper(jac: Any, kind: str, reason: str) -> tuple[str, str] | None:
    """Return kind and reason of more exact differences than these; None where there are none.

    Central ones follow forward ones of our own choice, and extrapolated ones follow central ones.
    """
    if kind == "2-point" and jac != "2-point":
        return "3-point", reason + "; central ones, after forward ones had led no further"
    if kind == "3-point":
        return EXTRAPOLATED, reason + "; " * bool(
            reason
        ) + "extrapolated, after central ones had led no further"
    return None


def why_no_autograd() -> str:
    """Return why autograd cannot be tried at all; empty if it can."""
    try:
        import autograd  # noqa: F401
    except ImportError:
        return "autograd is not installed"
    return ""


def not_traced(error: Exception) -> str:
    """Return the clause for a function that autograd could not trace."""
    cause = str(error).partition("\n")[0]
    return f"autograd cannot trace fun: {type(error).__name__}: {cause[:120]}"


def not_finite(entry: int, x: float) -> str:
    """Return the warning for a gradient by autograd that is not finite at a point of finite value."""
    return (
        f"autograd's gradient is not finite in entry {entry} at x[{entry}] = {x:.6g}, though fun is finite "
        "there; finite differences take the place of such entries. A np.where passes NaN on from the branch "
        "that is not taken: keep its argument in the domain of that branch, or give the gradient as jac."
    )


def untraceable(error: Exception) -> TypeError:
    """Return the error for ``jac='autograd'`` where autograd cannot trace, with the cause and the remedy."""
    cause = f"{type(error).__name__}: {error}"
    return TypeError(f"autograd cannot trace the objective ({cause}); {REMEDY}{of_traced(error)}.")
