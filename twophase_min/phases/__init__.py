"""The phases of a run: the registry, and the vocabulary in which they ask for evaluations.

A phase never calls the user's function. It works in reverse communication: ``start(x, f, g)`` takes a
point; ``need`` says what is requested next and ``ask()`` where; ``tell(f, g)`` takes it and answers with one
of the codes below; after `ITERATION`, ``next()`` begins the following step. The driver therefore owns every
evaluation, every limit and every stop. `phases.scipy` is the exception: SciPy's methods call the objective
themselves and are stopped by an exception.

A new convex phase is one file and one entry of `PHASES`. Importing this module imports no phase.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

NEED_F = 1
"""Requested: the value at ``ask()``."""
NEED_G = 2
"""Requested: the gradient at ``ask()``, where the value is known already."""
NEED_FG = 3
"""Requested: value and gradient at ``ask()``."""
ITERATION = 4
"""A new iterate was accepted; ``x``, ``f`` and ``g`` hold it."""
FAILED = 5
"""No acceptable step was found; ``reason`` says why."""
NEED_NOISE = 6
"""Wanted: the error of a value at the iterate, ``tell(noise)``: a search has found no decrease."""

X, G, P, XT, METRIC, LOWER, UPPER, FREE = range(8)
"""Rows of a compiled convex phase's vectors: iterate, gradient, direction, trial; the squared change of
variables, where there is one or bounds are; and the bounds, where there are any: lower and upper limits, and
1 for variables that they leave free."""
SEARCHING = 0
"""Mode of a compiled convex phase in which a gradient that came along with its value may be told at once."""


@dataclass(frozen=True)
class Option:
    """One option of a phase, as ``convex_options`` takes it.

    Attributes
    ----------
    name, meaning : str
        The keyword, and what it does, with its unit.
    default : str
        Value if it is not given, as text.
    range : str
        Values allowed, as the error message states them.
    check : callable
        Whether a value is one of them.
    """

    name: str
    meaning: str
    default: str
    range: str
    check: Callable[[Any], bool]


@dataclass(frozen=True)
class Phase:
    """What the rest of the package must know of a phase.

    Attributes
    ----------
    name : str
        As ``convex_method`` spells it.
    home : str
        ``module:class`` of the phase, imported when it is first needed; of a method that SciPy runs, the
        module that does so.
    compiled : bool
        Whether the compiled loop can run it: its module has the kernels that `phases.compiled` names.
    external : bool
        Whether SciPy runs it, and it calls the objective itself.
    bounds : bool
        Whether it keeps to bounds: ours by rows LOWER and UPPER, SciPy's by being handed them.
    hessian : bool
        Whether it takes products of the Hessian with a vector.
    wolfe : bool
        Whether it takes the constants c1 and c2 of a Wolfe line search.
    memory : str
        Vectors of length n that it keeps.
    c2 : float
        Curvature constant of its line search where the options give none. Unit 1.
    unit : float
        Unit of f that it sees, in decreases that its first step promises.
    cycle : int or None
        Iterations after which its variables are renewed from the pairs seen; None for never.
    fallbacks : tuple of str
        Phases to try, in this order, when its search fails.
    options : tuple of Option
        What ``convex_options`` takes; SciPy checks those of its methods itself.
    settings : mapping
        Options of a SciPy method that leave stopping to the driver.
    """

    name: str
    home: str
    compiled: bool = False
    external: bool = False
    bounds: bool = False
    hessian: bool = False
    wolfe: bool = False
    memory: str = ""
    c2: float = 0.9
    unit: float = 1.0
    cycle: int | None = None
    fallbacks: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> Any:
        """Import and return the class, or the module of a method that SciPy runs."""
        module, _, name = self.home.partition(":")
        home = importlib.import_module(module)
        return getattr(home, name) if name else home

    def check(self, given: Mapping[str, Any]) -> None:
        """Check ``convex_options``, as far as they are known here.

        Raises
        ------
        ValueError
            If an option does not exist or is out of its range; the message names option, value and range.
        """
        if self.external:
            return
        known = {option.name: option for option in self.options}
        for name, value in given.items():
            if name not in known:
                raise ValueError(
                    f"option 'convex_options' has {name!r}; {self.name!r} takes {', '.join(known) or 'none'}."
                )
            if not known[name].check(value):
                raise ValueError(
                    f"option 'convex_options' has {name!r}: {value!r}; it must be {known[name].range}."
                )


def _number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _scipy(name: str, memory: str, **flags: Any) -> Phase:
    home = "twophase_min.phases.scipy"
    return Phase(name, home, external=True, memory=memory, fallbacks=("memory-cg",), **flags)


def _is_square(value: Any) -> bool:
    shape: tuple[int, ...] = getattr(value, "shape", ())
    return len(shape) == 2 and shape[0] == shape[1] and value.dtype.kind in "fiu"


def _searching(c2: str) -> tuple[Option, ...]:
    """Return the options of our own phases with a Wolfe search; ``c2`` is the text of its default."""
    return (
        Option(
            "c1",
            "Sufficient decrease of the line search. Unit 1.",
            "the option `c1`",
            "a number in (0, 1/2)",
            lambda c: _number(c) and 0 < c < 0.5,
        ),
        Option(
            "c2",
            "Curvature condition of the line search, above c1. Unit 1.",
            c2,
            "None or a number in (0, 1)",
            lambda c: c is None or (_number(c) and 0 < c < 1),
        ),
        Option(
            "precondition",
            "'auto' scales the variables by the sizes of x where the gradient supports it and the option "
            "`precondition` gives no other scales.",
            "None",
            "'auto' or None",
            lambda p: p is None or (isinstance(p, str) and p == "auto"),
        ),
    )


_DENSE = (
    Option(
        "hess_inv0",
        "Inverse Hessian to begin with, such as the `hess_inv` of an earlier result. Its symmetric part is "
        "taken. One that is not positive definite is left out, with a warning. Unit x²/f.",
        "from the pairs of Adam's steps",
        "None or a square array of numbers",
        lambda h: h is None or _is_square(h),
    ),
    Option(
        "memory_limit",
        "Bytes that the inverse Hessians may take, 8 n (n + 1): a run with the guard holds two triangles.",
        "2**31",
        "a number > 0",
        lambda m: _number(m) and m > 0,
    ),
    *_searching("the option `c2`, else 0.9"),
)
"""Options of the quasi-Newton methods with a dense inverse Hessian."""


def _quasi_newton(name: str, kind: str) -> Phase:
    home = f"twophase_min.phases.quasi_newton:{kind}"
    return Phase(name, home, compiled=True, wolfe=True, bounds=True, memory="n / 2 + 9", options=_DENSE)


ADAM = Phase("adam", "twophase_min.phases.adam:Adam", compiled=True, memory="5, 6 with typical sizes")
"""The first phase of every run."""

_PHASES = (
    # in a small unit no step comes near 1, beyond which SciPy's search does not begin
    _scipy("CG", "5", wolfe=True, c2=0.4, unit=2.0**-20, cycle=5, settings={"gtol": 0.0}),
    _scipy("BFGS", "n + 5", wolfe=True, settings={"gtol": 0.0, "xrtol": 0.0}),
    _scipy(
        "L-BFGS-B",
        "2 maxcor + 5, maxcor 20",
        bounds=True,
        settings={"gtol": 0.0, "ftol": 0.0, "maxcor": 20, "maxls": 40, "maxfun": 2**31 - 1},
    ),
    _scipy("Newton-CG", "6", wolfe=True, hessian=True, settings={"xtol": 1e-300}),
    _scipy("trust-ncg", "6", hessian=True, settings={"gtol": 0.0}),
    _scipy("trust-krylov", "6", hessian=True, settings={"gtol": 0.0}),
    Phase(
        "memory-cg",
        "twophase_min.phases.memory_cg:MemoryCG",
        compiled=True,
        wolfe=True,
        bounds=True,
        memory="2 memory + 4, 5 in scaled variables",
        options=(
            Option(
                "memory",
                "Pairs of steps and gradient differences to keep; 0 is plain conjugate gradients.",
                "50, less where they would take more than 512 MB",
                "None or an integer >= 0",
                lambda m: m is None or (isinstance(m, Integral) and not isinstance(m, bool) and int(m) >= 0),
            ),
            *_searching("the option `c2`, else 0.9, without memory 0.2"),
            Option(
                "end_curvature",
                "Whether values tell how the curvature changes along a step, where gradients are exact.",
                "True",
                "True or False",
                lambda v: isinstance(v, bool),
            ),
        ),
    ),
    _quasi_newton("ssbroyden", "SSBroyden"),
    Phase(
        "l-ssbroyden",
        "twophase_min.phases.limited_broyden:LimitedSSBroyden",
        compiled=True,
        wolfe=True,
        memory="3 memory + 9",
        options=(
            Option(
                "memory",
                "Updates of the inverse Hessian to keep; between half of them and all are in use.",
                "200, less where they would take more than 512 MB",
                "None or an integer >= 2",
                lambda m: m is None or (isinstance(m, Integral) and not isinstance(m, bool) and int(m) >= 2),
            ),
            *_searching("the option `c2`, else 0.9"),
        ),
    ),
    _quasi_newton("ssbfgs", "SSBFGS"),
    _quasi_newton("bfgs", "BFGS"),
)

PHASES: dict[str, Phase] = {phase.name: phase for phase in _PHASES}
"""The convex phases by name."""

COMPILED_DEFAULT = "memory-cg"
"""Convex phase of an objective compiled by Numba, where none is asked for."""
DEFAULT = "CG"
"""Convex phase of every other objective."""
BOUNDED_DEFAULT = "memory-cg"
"""Convex phase within bounds, which SciPy's conjugate gradients do not know."""


def convex_phase(method: Any) -> Phase:
    """Return what is known of a convex method.

    Parameters
    ----------
    method : str, callable or None
        A key of `PHASES`; a callable with SciPy's protocol is run as SciPy's methods are; None is `DEFAULT`.

    Returns
    -------
    Phase
    """
    if callable(method):
        return _scipy("convex", "", bounds=True)
    return PHASES[method or DEFAULT]


COLUMNS = 16
"""Limits at which a step within bounds may arrive by the model (`phases.box`); each takes a row."""


def rows_of(scaled: bool, bounded: bool) -> int:
    """Return how many rows the vectors of a compiled convex phase have."""
    return FREE + 1 + COLUMNS if bounded else METRIC + scaled


def is_ours(name: str) -> bool:
    """Whether a convex phase of this name works in ask/tell form, and is not run by SciPy."""
    return name in PHASES and not PHASES[name].external
