"""SciPy's `minimize` without its line search's warnings, and without touching the filters of the process.

When the line search of CG, BFGS and Newton-CG fails, SciPy tries a second one, and calls it, and with it the
user's function, inside ``warnings.catch_warnings()``. Filters belong to all threads: side by side, two such
blocks leave the filter of one behind for good, and each makes Python forget what it has shown once per place.

SciPy's functions are therefore run from their own code, unchanged, with copies of their modules' names, two
of them replaced: ``warnings`` and ``warn``. `LineSearchWarning` is not raised (how a search ended is in
the result), ``catch_warnings`` does nothing, and every other warning passes, and points at the user's line.
SciPy's modules are not touched.

Before SciPy 1.15 a `ScalarFunction` refers to itself by its closures, and so keeps the user's function and
all that an exception has passed through until garbage is collected: they are taken apart after the run.

The same copies let a run bound the first trials of SciPy's line search (`first_trial`), for which SciPy has
no option.

Should a future SciPy be built otherwise, then nothing is replaced, and the functions are SciPy's own.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import inspect
import math
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping
from types import FunctionType
from typing import Any

import numpy as np
import scipy.optimize
from scipy.optimize import OptimizeWarning

from twophase_min._caller import caller

_NAMES = "minimize optimize linesearch lbfgsb_py slsqp_py tnc trustregion trustregion_ncg trustregion_krylov"
HOMES = frozenset(f"scipy.optimize._{name}" for name in _NAMES.split())
"""Modules whose functions are taken over."""


FirstTrial = Callable[[Any, float], tuple[float, float]]
"""Of a direction and the multiple of it that a line search would try: the multiple that it is to try, at most
as much, and the share of the promised decrease that it has to achieve at least."""


class _Runs(threading.local):
    made: list[Any] | None = None
    """The `ScalarFunction` objects of the run of this thread."""
    first_trial: FirstTrial | None = None
    """How its line searches begin."""


_runs = _Runs()


def _warn(
    message: Any, category: Any = None, stacklevel: int = 1, source: Any = None, **keywords: Any
) -> None:
    """Do what `warnings.warn` does, except for the line search's own; it points at the user's line."""
    if getattr(category, "__name__", "") != "LineSearchWarning":
        warnings.warn(message, category, max(stacklevel + 1, caller()), source, **keywords)


class _Warnings:
    """Stands for the module ``warnings``, without its filters."""

    warn = staticmethod(_warn)
    catch_warnings = contextlib.nullcontext

    @staticmethod
    def simplefilter(*arguments: Any, **keywords: Any) -> None:
        """Leave the filters as they are."""

    filterwarnings = simplefilter

    def __getattr__(self, name: str) -> Any:
        return getattr(warnings, name)


def _taken_over(function: Any, scopes: dict[str, dict[str, Any]]) -> Any:
    """Return a function of SciPy's with the replaced names, and so all that it calls by name."""
    home = function.__module__
    if home not in scopes:
        scope = scopes[home] = dict(vars(sys.modules[home]))
        for name, value in list(scope.items()):
            if value is warnings:
                scope[name] = _Warnings()
            elif value is warnings.warn:
                scope[name] = _warn
            elif isinstance(value, FunctionType) and value.__module__ in HOMES:
                scope[name] = None  # its turn comes when all names are known
                scope[name] = _taken_over(value, scopes)
                if name == "_prepare_scalar_function":
                    scope[name] = _noted(scope[name])
                elif name == "_line_search_wolfe12":
                    scope[name] = _bounded(scope[name])
                elif name == "_check_unknown_options":
                    scope[name] = _told
    copy = FunctionType(
        function.__code__, scopes[home], function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__, copy.__doc__, copy.__module__ = function.__kwdefaults__, function.__doc__, home
    return copy


def _noted(prepare: Any) -> Any:
    def noted(*arguments: Any, **keywords: Any) -> Any:
        made = prepare(*arguments, **keywords)
        if _runs.made is not None and "_update_fun_impl" in vars(made):
            _runs.made.append(made)
        return made

    return noted


def _told(unknown: Mapping[str, Any]) -> None:
    """Warn of a method's unknown options as SciPy does, with the nearest of its own: its parameters."""
    if unknown:
        method = sys._getframe(1).f_code
        known = method.co_varnames[: method.co_argcount + method.co_kwonlyargcount]
        text = ", ".join(with_nearest(name, known) for name in unknown)
        warnings.warn(f"Unknown solver options: {text}", OptimizeWarning, caller())


def with_nearest(name: Any, known: Iterable[str]) -> str:
    """Return an unknown name with the known one that was probably meant."""
    close = difflib.get_close_matches(str(name).lower().replace("-", "_"), known, 1, 0.72)
    return f"{name} (did you mean {close[0]!r}?)" if close else str(name)


def _bounded(search: Any) -> Any:
    """Return SciPy's line search, beginning as the run of this thread wants it.

    SciPy tries ``min(1, 2.02 (f - before) / slope)`` first, and 1 where that is not positive. So another
    value "before" makes it try another length, and nothing else.
    """

    @functools.wraps(search)
    def bounded(
        value: Any, gradient: Any, x: Any, p: Any, g: Any, f: Any, before: Any, *more: Any, **keywords: Any
    ) -> Any:
        slope = float(np.dot(g, p))
        if _runs.first_trial is not None and -math.inf < slope < 0.0:
            first = 0.0 if before is None else 2.02 * float(f - before) / slope
            first = min(first, 1.0) if first > 0.0 else 1.0
            step, decrease = _runs.first_trial(p, first)
            shorter = f - step * slope / 2.02
            if step < first and shorter > f:
                before = shorter
            if "c1" in keywords and "c2" in keywords:
                keywords["c1"] = max(keywords["c1"], min(decrease, 0.5 * keywords["c2"]))
        return search(value, gradient, x, p, g, f, before, *more, **keywords)

    return bounded


def _quiet_minimize() -> Any:
    function = inspect.unwrap(scipy.optimize.minimize)
    if not (isinstance(function, FunctionType) and function.__module__ in HOMES):
        return scipy.optimize.minimize
    return _taken_over(function, {})


_minimize = _quiet_minimize()


def minimize(
    *arguments: Any, first_trial: FirstTrial | None = None, **keywords: Any
) -> scipy.optimize.OptimizeResult:
    """Do what `scipy.optimize.minimize` does; ``first_trial`` bounds the beginning of Wolfe line searches."""
    outer = _runs.made, _runs.first_trial
    made: list[Any] = []
    _runs.made, _runs.first_trial = made, first_trial
    try:
        return _minimize(*arguments, **keywords)
    finally:
        _runs.made, _runs.first_trial = outer
        for function in made:
            vars(function).clear()
