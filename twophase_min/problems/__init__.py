"""Test problems with analytic derivatives, a published source and, where one is known, the minimum.

Every problem is a :class:`Problem`. Its ``fun`` takes a second parameter ``xp``, the module that supplies
the array functions, NumPy by default: ``problem.traceable()`` is the same text over ``autograd.numpy``,
which autograd can differentiate. Importing this module costs NumPy alone, and a problem is built only when
its factory is called. Everything can be pickled.

>>> from twophase_min import problems
>>> problem = problems.get("rosenbrock", n=4)
>>> problem.value_and_gradient(problem.x_min)[0]
0.0
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twophase_min.problems._paper import (
    Landscape,
    landscape,
    paper_example_1,
    paper_example_1_curve,
    paper_example_2,
    paper_example_2_curve,
)
from twophase_min.problems._problem import Problem
from twophase_min.problems._random import convex_quadratic, smooth_nonconvex
from twophase_min.problems._rosenbrock import rosenbrock

__all__ = [
    "ALL",
    "Landscape",
    "Problem",
    "convex_quadratic",
    "get",
    "landscape",
    "paper_example_1",
    "paper_example_1_curve",
    "paper_example_2",
    "paper_example_2_curve",
    "rosenbrock",
    "smooth_nonconvex",
]

_FACTORIES: Sequence[Callable[..., Problem]] = (
    rosenbrock,
    convex_quadratic,
    smooth_nonconvex,
    paper_example_1,
    paper_example_2,
)

ALL: dict[str, Callable[..., Problem]] = {factory.__name__: factory for factory in _FACTORIES}
"""Every factory by its name; each can be called without arguments."""


def get(name: str, **parameters: Any) -> Problem:
    """Build a problem by its name.

    Parameters
    ----------
    name : str
        A key of :data:`ALL`.
    **parameters
        Passed on to the factory.

    Returns
    -------
    Problem

    Raises
    ------
    KeyError
        If there is no such problem; the message lists those that exist.
    """
    try:
        factory = ALL[name]
    except KeyError:
        raise KeyError(f"no problem {name!r}; there are: {', '.join(sorted(ALL))}") from None
    return factory(**parameters)
