"""The options of a run: one frozen record with a documented range, unit and default per field."""

from __future__ import annotations

import functools
import math
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy.optimize import OptimizeWarning

from twophase_min._caller import caller
from twophase_min._scipy_quiet import with_nearest
from twophase_min.phases import PHASES

_LIMITS = ("maxiter", "maxfun", "maxtime", "f_target", "gtol", "gtol_rel", "norm", "c1", "c2", "max_swaps")
_RATES = ("learning_rate", "beta1", "beta2", "epsilon", "swap_factor", "swap_patience", "swap_smoothing")
NUMBERS = (*_LIMITS, *_RATES, "checkpoint_every")
"""Fields that hold a real number; the ranges are checked one by one."""

_ANY_CASE = {name.lower(): name for name in reversed(PHASES)}
"""Convex methods by names in lower case. As written, 'bfgs' is ours and 'BFGS' is SciPy's."""


@dataclass(frozen=True)
class TwoPhaseOptions:
    """Options of ``method='twophase'``.

    Units: "x" means the unit of the variables, "f" that of the objective, "1" a pure number.

    Parameters
    ----------
    maxiter : int, optional
        Iterations over all phases, [-inf, inf); 0 or less returns x0. Default ``max(1000, 200 n)``.
    maxfun : int, optional
        Calls of the objective, finite differences included; default no limit.
    maxtime : float, optional
        Seconds of wall clock from the call on, > 0; default no limit. Importing, loading and compiling
        the package's kernels is not charged, and comes before the first evaluation. It is looked at before
        every evaluation, also between the values of finite differences and the parts of a batch that
        ``workers`` compute; an evaluation is never broken off, and the first one is made in any case.
    f_target : float, optional
        Stop successfully once the objective is at most this. Unit f; default none.
    gtol : float, default 1e-5
        Converged once the norm of the gradient is at most this, >= 0. Unit f/x.
    gtol_rel : float, default 0
        Also converged once the norm is at most this fraction of the norm at x0, [0, 1). Unit 1.
    norm : float, default inf
        Order of that norm, as in ``numpy.linalg.norm``.
    c1, c2 : float, default 1e-4 and None
        Armijo and curvature parameters of the Wolfe search, 0 < c1 < c2 < 1. Unit 1. None takes the convex
        method's own: 0.4 for SciPy's CG, 0.9 for the others.
    disp : bool, default False
        Print a summary on success, warn on failure.
    return_all : bool, default False
        Keep every iterate in ``result.allvecs``.
    progress : bool, default False
        Show a progress bar (needs the extra ``progress``).
    learning_rate : float, optional
        Adam's step, > 0, unit x. Given: Adam exactly as published. Default: found by a probe at x0.
    beta1, beta2 : float, default 0.9 and 0.999
        Adam's decay rates, [0, 1). Unit 1.
    epsilon : float, optional
        Adam's guard against division by zero, > 0, unit f/x. Default 1e-8 with a given learning rate,
        else 1e-8 times the largest gradient entry at x0, which makes it free of units.
    swap : str, int, callable or detector, default 'auto'
        When to hand over to the convex phase: a rule's name (`twophase_min.detector.RULES`), a number of
        iterations, a function or a detector. 'auto' is the paper's rule 'norm-peak', and for a finite sum,
        whose norms are noisy, the paper's advice for that case, 'norm-against-loss'.
    swap_factor : float, default 0.9
        The paper's factor, (0, 1]: swap when the norm falls to this fraction of its peak. Unit 1.
    swap_patience : int, default 1
        Consecutive observations that must agree, >= 1.
    swap_smoothing : float, default 0
        Exponential smoothing of the observed norm, [0, 1). Unit 1.
    convex_method : str or callable, optional
        A convex method of the table below, or a callable with SciPy's protocol. Default 'CG'; 'memory-cg'
        within bounds, and for an objective compiled by Numba, which it is compiled along with. 'BFGS' is
        SciPy's method, 'bfgs' this package's; of other names the case does not matter.
    convex_options : mapping, optional
        Options handed to the convex method over the defaults; those of our own methods are listed below.
    precondition : {'auto', 'adam', None}, default 'auto'
        Whether the convex phase works in variables scaled by what is known of the curvature.
    guard : bool, default True
        Whether the convex phase is held to the progress of Adam, see docs/guard.md.
    max_swaps : int, default 20
        Handovers to the convex phase at most, >= 0.
    engine : {'auto', 'numba', 'python'}, default 'auto'
        Where the loop runs. 'numba' compiles it whole, for ``fun`` and ``jac`` that are `numba.njit`
        functions; it raises if that cannot be. 'auto' does so where it can and pays (not for the first run of
        an objective that is not kept on disk), and else uses Python, which visits the same points.
    resume : mapping, optional
        ``state`` of an earlier result, or what `load_state` has read from a file, to go on from. See
        docs/checkpoints.md.
    checkpoint : str or path-like, optional
        File that the state is written to while the run goes on and when it ends, in one piece each time
        (`save_state`). A compiled objective then runs in the loop in Python.
    checkpoint_every : float, default 60
        Seconds from one checkpoint to the next, >= 0; 0 writes before every evaluation.
    seed : int, default 0
        Seed of everything random (the directional gradient check, mini-batch order comes from FiniteSum).
    on_error : {'raise', 'return'}, default 'raise'
        What to do when the objective raises: propagate, or return the best point so far.
    eps : float or array_like, optional
        Absolute finite-difference step, as in SciPy. Unit x.
    finite_diff_rel_step : float or array_like, optional
        Relative finite-difference step, as in SciPy. Unit 1.
    workers : int, executor, pool, Dask client, joblib.Parallel or map-like callable, optional
        How finite differences are spread, as in SciPy; what is handed in is left open.

    Raises
    ------
    ValueError
        If a value is outside its range; the message names field, value and range.
    """

    maxiter: float | None = None
    maxfun: float | None = None
    maxtime: float | None = None
    f_target: float | None = None
    gtol: float = 1e-5
    gtol_rel: float = 0.0
    norm: float = np.inf
    c1: float = 1e-4
    c2: float | None = None
    disp: bool = False
    return_all: bool = False
    progress: bool = False
    learning_rate: float | None = None
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float | None = None
    swap: Any = "auto"
    swap_factor: float = 0.9
    swap_patience: int = 1
    swap_smoothing: float = 0.0
    convex_method: str | Callable[..., Any] | None = None
    convex_options: Mapping[str, Any] | None = None
    precondition: str | None = "auto"
    guard: bool = True
    max_swaps: int = 20
    engine: str = "auto"
    resume: Any = None
    checkpoint: Any = None
    checkpoint_every: float = 60.0
    seed: int = 0
    on_error: str = "raise"
    eps: Any = None
    finite_diff_rel_step: Any = None
    workers: Any = None

    def __post_init__(self) -> None:
        """Check every range; state the remedy."""
        for field in fields(self):
            number = getattr(self, field.name)
            if field.name in NUMBERS and not (number is None and field.default is None):
                self._check(field.name, isinstance(number, Real) and not math.isnan(number), "a number")
        self._check("gtol", self.gtol >= 0, "a number >= 0")
        self._check("gtol_rel", 0 <= self.gtol_rel < 1, "a number in [0, 1)")
        if not 0 < self.c1 < (0.9 if self.c2 is None else self.c2) < 1:
            raise ValueError(
                f"'c1' and 'c2' do not satisfy '0 < c1 < c2 < 1'; got c1={self.c1}, c2={self.c2}."
            )
        for name in ("beta1", "beta2", "swap_smoothing"):
            self._check(name, 0 <= getattr(self, name) < 1, "a number in [0, 1)")
        for name in ("learning_rate", "epsilon", "maxtime"):
            value = getattr(self, name)
            self._check(name, value is None or value > 0, "None or a number > 0")
        self._check("swap_factor", 0 < self.swap_factor <= 1, "a number in (0, 1]")
        self._check("swap_patience", self.swap_patience >= 1, "an integer >= 1")
        self._check("max_swaps", self.max_swaps >= 0, "an integer >= 0")
        for name in ("disp", "return_all", "progress", "guard"):
            self._check(
                name, isinstance(getattr(self, name), (Integral, np.bool_, type(None))), "True or False"
            )
        seed = self.seed
        self._check("seed", seed is None or (isinstance(seed, Integral) and seed >= 0), "an integer >= 0")
        self._check("precondition", self.precondition in (None, "adam", "auto"), "None, 'adam' or 'auto'")
        engines = ("auto", "numba", "python")
        path = self.checkpoint
        self._check("checkpoint", path is None or isinstance(path, (str, os.PathLike)), "a path")
        self._check("checkpoint_every", self.checkpoint_every >= 0, "a number >= 0")
        self._check("engine", self.engine in engines, "'auto', 'numba' or 'python'")
        self._check("on_error", self.on_error in ("raise", "return"), "'raise' or 'return'")
        if self.convex_method is not None and not callable(self.convex_method):
            given = str(self.convex_method)
            match = given if given in PHASES else _ANY_CASE.get(given.lower())
            self._check("convex_method", match is not None, f"a callable or one of {', '.join(PHASES)}")
            object.__setattr__(self, "convex_method", match)
            PHASES[str(match)].check(self.convex_options or {})

    def _check(self, name: str, ok: bool, wanted: str) -> None:
        if not ok:
            raise ValueError(f"option {name!r} is {getattr(self, name)!r}; it must be {wanted}.")

    @classmethod
    def from_mapping(
        cls, options: Mapping[str, Any] | None, tol: float | None = None, convex_method: str | None = None
    ) -> TwoPhaseOptions:
        """Build from SciPy-style options without changing them.

        Parameters
        ----------
        options : mapping or None
            Option names and values; a name that is not a field warns and is otherwise ignored.
            ``maxfev`` is taken as another spelling of ``maxfun``, and ``tol`` as one of ``gtol``.
        tol : float, optional
            ``minimize``'s tol; sets gtol unless options name it (``options['tol']`` wins too).
        convex_method : str, optional
            The one to take where options name none.

        Warns
        -----
        OptimizeWarning
            "Unknown solver options: ..." for names that are not fields, with the nearest one that is.
        """
        if options is not None and not isinstance(options, Mapping):
            raise TypeError(f"options must be a dict, got {type(options).__name__}.")
        given = dict(options or {})
        if given.get("convex_method") is None and convex_method is not None:
            given["convex_method"] = convex_method
        tol = given.pop("tol", tol)
        if tol is not None:
            given.setdefault("gtol", tol)
        if "maxfev" in given:
            given.setdefault("maxfun", given.pop("maxfev"))
        unknown = [str(name) for name in given if name not in cls.__dataclass_fields__]
        if unknown:
            told = ", ".join(map(_with_nearest, unknown))
            warnings.warn(f"Unknown solver options: {told}", OptimizeWarning, stacklevel=caller())
            given = {name: value for name, value in given.items() if name not in unknown}
        key = tuple((name, type(value), value) for name, value in given.items())
        try:
            return _checked(cls, key)  # type: ignore[arg-type]
        except TypeError:  # a value that has no hash, or that some check cannot compare: let it be told
            return cls(**given)


_ELSEWHERE = {
    "lr": "learning_rate",
    "verbose": "disp",
    "max_evals": "maxfun",
    "max_nfev": "maxfun",
    "n_iter": "maxiter",
    "epochs": "maxiter",
    "timeout": "maxtime",
    "eps_abs": "gtol",
    "tolerance": "gtol",
    "fatol": "gtol",
    "xatol": "gtol",
    "random_state": "seed",
    "n_jobs": "workers",
    "optimizer": "convex_method",
    "backend": "engine",
}
"""What other libraries call an option, where the letters do not tell."""


_ARGUMENTS = ("method", "jac", "hess", "hessp", "bounds", "constraints", "callback", "args")
"""What is given beside the options, not among them."""


def _with_nearest(name: str) -> str:
    """Return an unknown name with the option that was probably meant."""
    known = TwoPhaseOptions.__dataclass_fields__
    plain = name.lower().replace("-", "_")
    if plain in _ARGUMENTS:
        return f"{name} (an argument beside the options)"
    own = {option.name for phase in PHASES.values() for option in phase.options}
    if plain in own | {"maxcor"}:
        return f"{name} (did you mean 'convex_options': {{{plain!r}: ...}}?)"
    if plain.replace("_", "") in known:
        plain = plain.replace("_", "")
    plain = _ELSEWHERE.get(plain, plain)
    return f"{name} (did you mean {plain!r}?)" if plain in known else with_nearest(name, known)


@functools.lru_cache(maxsize=64)
def _checked(cls: type[TwoPhaseOptions], items: tuple[tuple[str, type, Any], ...]) -> TwoPhaseOptions:
    """Return a record that need not be checked again: records are immutable, and loops ask for equal ones."""
    return cls(**{name: value for name, _, value in items})
