"""Property-test the convergence of any SciPy-compatible minimiser (extra ``testing`` for the strategies).

Strategies draw a :class:`~twophase_min.problems.Problem` whose minimum is known by construction;
:func:`assert_converges` runs a minimiser on it and holds the success flag, the accuracy and the counters
apart from each other.

>>> from hypothesis import given
>>> from twophase_min.testing import assert_converges, convex_quadratics
>>> @given(convex_quadratics(max_n=5, max_condition=100.0))
... def test_quadratics(problem):
...     assert_converges("BFGS", problem, ftol=1e-8)

Only the strategies need hypothesis, and it is imported when one of them is called.
"""

from __future__ import annotations

from twophase_min.testing.convergence import assert_converges
from twophase_min.testing.derivatives import assert_gradient
from twophase_min.testing.strategies import (
    convex_quadratics,
    nonconvex_problems,
    paper_example_1_problems,
    paper_example_2_problems,
)

__all__ = [
    "assert_converges",
    "assert_gradient",
    "convex_quadratics",
    "nonconvex_problems",
    "paper_example_1_problems",
    "paper_example_2_problems",
]
