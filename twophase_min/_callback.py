"""What the caller sees while a run goes on: the callback in SciPy's two forms, and the progress bar."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from twophase_min._errstate import users


def wrap_callback(callback: Callable[..., Any] | None) -> Callable[[OptimizeResult], bool] | None:
    """Turn either form of SciPy callback into one function that answers whether to stop.

    Parameters
    ----------
    callback : callable or None
        ``callback(intermediate_result=OptimizeResult)`` if its only parameter bears that name, else
        ``callback(xk)`` with a copy of the iterate.

    Returns
    -------
    callable or None
        Takes an OptimizeResult whose ``x`` is a fresh copy; true if the callback raised StopIteration or
        returned True.

    Raises
    ------
    TypeError
        If ``callback`` is not callable.
    """
    if callback is None:
        return None
    if not callable(callback):
        raise TypeError(f"callback must be callable, got {type(callback).__name__}.")
    try:
        by_result = set(inspect.signature(callback).parameters) == {"intermediate_result"}
    except (TypeError, ValueError):  # builtins without a signature take the iterate
        by_result = False

    def call(intermediate: OptimizeResult) -> bool:
        try:
            if by_result:
                answer = users(callback, intermediate_result=intermediate)
            else:
                answer = users(callback, intermediate.x)
        except StopIteration:
            return True
        return isinstance(answer, (bool, np.bool_)) and bool(answer)

    return call


class Progress:
    """A progress bar by tqdm: over iterations, or over calls of the objective where those are the limit.

    Over a finite sum it counts samples, also within an epoch, so that it shows their number a second; and it
    says how many epochs of Adam are done, and how much time is left until a limit.

    Parameters
    ----------
    maxiter : float or None
        Iterations at which the bar is full.
    maxfun : float or None
        Calls of the objective at which it is full, where ``maxiter`` is None. None for both shows a counter.
    samples : int, default 0
        Samples of the finite sum; 0 for other objectives.

    Raises
    ------
    ImportError
        If tqdm is missing; the message names the extra.
    """

    def __init__(self, maxiter: float | None, maxfun: float | None = None, samples: int = 0):
        try:
            from tqdm import tqdm
        except ImportError as error:
            raise ImportError(
                "options={'progress': True} needs tqdm: pip install 'twophase_min[progress]'."
            ) from error
        self._samples, self._maxiter = samples, maxiter
        self._begun: int | None = None
        self._by_calls = maxiter is None and maxfun is not None
        total = maxfun if self._by_calls else maxiter
        if samples:
            total = None if maxfun is None else maxfun * samples
        finite = total is not None and np.isfinite(total)
        self._bar = tqdm(
            total=int(total) if finite else None,  # type: ignore[arg-type]
            unit=" samples" if samples else "f" if self._by_calls else "it",
            unit_scale=bool(samples),
            dynamic_ncols=True,
        )

    def update(
        self, phase: str, fun: float, grad_norm: float, calls: float = 0, iteration: int = 0, epochs: int = 0
    ) -> None:
        """Advance by one iteration, or to so many calls of the objective."""
        text = f"{phase}  f={fun:.6g}  |g|={grad_norm:.3g}"
        if self._samples:
            text = f"{text}  {epochs} epochs{self._left(iteration)}"
        self._bar.set_postfix_str(text, refresh=False)
        if self._samples:
            self.within(calls)
        else:
            self._bar.update(calls - self._bar.n if self._by_calls else 1)

    def within(self, calls: float) -> None:
        """Advance within an epoch, to so many calls of a finite sum."""
        self._bar.update(round(calls * self._samples) - self._bar.n)

    def _left(self, iteration: int) -> str:
        """Return the time until the limit of iterations, at the pace since the bar began."""
        if self._begun is None:
            self._begun = iteration - 1
        if self._maxiter is None or not np.isfinite(self._maxiter):
            return ""  # a limit of calls is the bar's own total, whose time tqdm shows
        pace = self._bar.format_dict["elapsed"] / (iteration - self._begun)
        return f", {self._bar.format_interval(max(0.0, self._maxiter - iteration) * pace)} left"

    def announce(self, text: str) -> None:
        """Write a line above the bar."""
        self._bar.write(text)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.close()
