"""SciPy's global solvers hand their bounds on: minima on edges, in corners, and no call outside.

Every problem has its minimum over the box by hand, and its function refuses points out of the box.
"""

import math
import warnings
from functools import partial

import numpy as np
import pytest
import scipy
from counted import Counted
from scipy.optimize import basinhopping, differential_evolution, dual_annealing, shgo

from twophase_min import minimize, shgo_method, twophase

SEEDED = {"seed" if scipy.__version__ < "1.15" else "rng": 1}
"""How a global solver of the installed SciPy is seeded."""


def pulled(x):
    """The free minimum is (-1, 0.3), to the left of most boxes here."""
    return float((x[0] + 1) ** 2 + (x[1] - 0.3) ** 2)


def plane(x):
    """Linear: the minimum is a corner."""
    return float(3 * x[0] - x[1] + 2)


def valley(x):
    """Rosenbrock's function, whose free minimum is (1, 1)."""
    return float(100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2)


def tang(x):
    """Styblinski and Tang's function: a variable alone has minima near -2.9035 and 2.7468."""
    return float(np.sum(x**4 - 16 * x**2 + 5 * x)) / 2


def rates(x):
    """Defined for positive x alone: the minimum over x[0], x[1] <= 1 is (1/2, 1)."""
    return x[0] - 0.5 * math.log(x[0]) - math.log(x[1])


def product(x):
    """HS45: the minimum over x[i] <= i + 1 is the far corner, 1."""
    return 2 - math.prod(x) / 120


LOW = -2.903534027771177
"""Root of 4 x^3 - 32 x + 5 next to -3."""


PROBLEMS = {
    "edge": (pulled, [(0, 2)] * 2, [0.0, 0.3]),
    "inside": (pulled, [(-2, 1), (-1, 1)], [-1.0, 0.3]),
    "left of the middle": (pulled, [(-0.5, 1), (-1, 1)], [-0.5, 0.3]),
    "corner": (plane, [(-1, 2), (0, 5)], [-1.0, 5.0]),
    "curved edge": (valley, [(-2, 0.5), (-2, 2)], [0.5, 0.25]),
    "many minima": (tang, [(-5, 5), (-1, 4)], [LOW, 2.7468027709908370]),
    "many minima, the lowest on an edge": (tang, [(-5, 5), (-5, -3.2)], [LOW, -3.2]),
    "logarithms": (rates, [(1e-3, 1), (1e-3, 1)], [0.5, 1.0]),
    "five variables": (product, [(0, i) for i in range(1, 6)], [1.0, 2.0, 3.0, 4.0, 5.0]),
}


class Inside:
    """A function that counts its calls and raises out of its bounds."""

    def __init__(self, fun, bounds):
        self.fun, (self.lower, self.upper), self.calls = fun, np.array(bounds, dtype=float).T, 0

    def __call__(self, x):
        assert np.all(x >= self.lower), f"{x} is below {self.lower}"
        assert np.all(x <= self.upper), f"{x} is above {self.upper}"
        self.calls += 1
        return self.fun(x)


def by_evolution(fun, bounds, **options):
    return differential_evolution(fun, bounds, polish=partial(twophase, **options), maxiter=30, **SEEDED)


def by_annealing(fun, bounds, **options):
    local = {"method": twophase, "bounds": bounds, "options": options}
    return dual_annealing(fun, bounds, minimizer_kwargs=local, maxiter=60, **SEEDED)


class Steps:
    """Steps of basinhopping that stay in the box: its own know no bounds."""

    def __init__(self, bounds):
        self.lower, self.upper = np.array(bounds, dtype=float).T
        self.draw = np.random.default_rng(1)

    def __call__(self, x):
        return self.draw.uniform(self.lower, self.upper)


def by_hopping(fun, bounds, **options):
    steps = Steps(bounds)
    local = {"method": twophase, "bounds": bounds, "options": options}
    return basinhopping(fun, steps(None), niter=15, minimizer_kwargs=local, take_step=steps, **SEEDED)


def by_shgo(fun, bounds, sampling="sobol", **options):
    local = {"method": shgo_method(**options)}
    return shgo(fun, bounds, n=32, sampling_method=sampling, minimizer_kwargs=local)


SOLVERS = {
    "differential_evolution": by_evolution,
    "dual_annealing": by_annealing,
    "basinhopping": by_hopping,
    "shgo": by_shgo,
}


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_minimum_over_the_box_is_found(solver, problem):
    fun, bounds, expected = PROBLEMS[problem]
    inside = Inside(fun, bounds)
    result = SOLVERS[solver](inside, bounds)
    np.testing.assert_allclose(result.x, expected, atol=2e-4)
    assert result.fun == pytest.approx(fun(np.array(expected)), abs=1e-6)
    for i, (low, high) in enumerate(bounds):
        if expected[i] in (low, high):
            assert result.x[i] == expected[i], "a limit is reached exactly"


@pytest.mark.parametrize("method", ["memory-cg", "ssbroyden", "L-BFGS-B"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_every_convex_method_that_knows_bounds_serves(solver, method):
    fun, bounds, expected = PROBLEMS["curved edge"]
    result = SOLVERS[solver](Inside(fun, bounds), bounds, convex_method=method)
    np.testing.assert_allclose(result.x, expected, atol=1e-3)


def test_polish():
    """Differential evolution kept its own point, for the polish had left the box: 1 is the minimum."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = differential_evolution(pulled, [(0, 2)] * 2, polish=twophase, maxiter=60, tol=1e-3, **SEEDED)
    assert result.x[0] == 0.0
    assert result.x[1] == pytest.approx(0.3, abs=1e-6)
    assert result.fun == pytest.approx(1.0, abs=1e-12)


def test_polish_costs_at_most_twice_what_scipys_does():
    """In calls, over all problems, on the same populations; a value and a difference count one each."""
    spent = dict.fromkeys(("none", "scipy", "twophase"), 0)
    for fun, bounds, _ in PROBLEMS.values():
        for name, polish in (("none", False), ("scipy", True), ("twophase", twophase)):
            counted = Counted(fun)
            differential_evolution(counted, bounds, polish=polish, maxiter=60, tol=1e-3, **SEEDED)
            spent[name] += counted.calls
    assert spent["twophase"] - spent["none"] <= 2 * (spent["scipy"] - spent["none"])


def test_polish_of_mixed_integers():
    """The integers are fixed by equal limits, and the rest is polished."""

    def fun(x):
        return float((x[0] + 1) ** 2 + (x[1] - 2.7) ** 2 + (x[2] - x[1] / 6) ** 2)

    result = differential_evolution(
        Inside(fun, [(0, 2), (0, 5), (0, 1)]),
        [(0, 2), (0, 5), (0, 1)],
        integrality=[False, True, False],
        polish=twophase,
        maxiter=60,
        **SEEDED,
    )
    assert result.x[0] == 0.0
    assert result.x[1] == 3.0
    assert result.x[2] == pytest.approx(0.5, abs=1e-6)
    assert result.fun == pytest.approx(1.09, abs=1e-10)


@pytest.mark.parametrize(
    ("bounds", "expected", "value"),
    [([(0, 2)] * 2, (0.0, 0.3), 1.0), ([(-0.5, 1), (-1, 1)], (-0.5, 0.3), 0.25)],
)
def test_shgo_inf(bounds, expected, value):
    """shgo ended at f = inf, or at a corner: runs within infinite walls cannot follow an edge."""
    result = shgo(pulled, bounds, minimizer_kwargs={"method": shgo_method()})
    assert result.success
    assert result.fun == pytest.approx(value, abs=1e-10)
    assert result.x[0] == expected[0]
    assert result.x[1] == pytest.approx(expected[1], abs=1e-6)
    assert np.all(np.isfinite(result.funl))


@pytest.mark.parametrize("sampling", ["simplicial", "halton", "sobol"])
def test_shgo_inf_at_a_start_a_hair_outside(sampling):
    """The corner of the box is a sample, and one in binary fractions that the bounds are not."""
    bounds = [(0.1, 0.7), (-0.3, 0.9)]
    result = by_shgo(Inside(pulled, bounds), bounds, sampling)
    assert result.fun == pytest.approx(1.21, abs=1e-10)
    assert result.x[0] == 0.1


def test_a_minimum_at_infinite_bounds_on_one_side():
    """Local runs of basinhopping may have half-open boxes."""
    local = {"method": twophase, "bounds": [(0, None), (None, 0.25)]}
    result = basinhopping(pulled, [1.0, 0.0], niter=5, minimizer_kwargs=local, **SEEDED)
    np.testing.assert_allclose(result.x, [0.0, 0.25], atol=1e-12)


@pytest.mark.parametrize("start", [(-3.0, 0.3), (9.0, -9.0), (0.0, 0.3)])
def test_a_polish_by_hand(start):
    """`minimize` with the bounds of the search, from a start out of the box, in it, at the minimum."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the start is moved inside, and that is said
        result = minimize(Inside(pulled, [(0, 2)] * 2), start, bounds=[(0, 2)] * 2)
    assert result.success
    assert result.x[0] == 0.0
    assert result.x[1] == pytest.approx(0.3, abs=1e-6)
