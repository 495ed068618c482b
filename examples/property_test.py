"""Property-test a minimiser: any function with SciPy's protocol, on random problems whose minimum is known.

::

    python -m pytest -n 0 examples/property_test.py
"""

from hypothesis import given, settings

from twophase_min import minimize
from twophase_min.testing import assert_converges, convex_quadratics


@settings(max_examples=25, deadline=None)
@given(problem=convex_quadratics(max_condition=1e4))
def test_minimize_finds_the_minimum_of_convex_quadratics(problem):
    """Every strictly convex quadratic of condition up to 1e4 is minimised, from any start."""
    assert_converges(minimize, problem)


if __name__ == "__main__":
    test_minimize_finds_the_minimum_of_convex_quadratics()
    print("25 random quadratics minimised")
