"""Objectives that are hard on a minimiser: noisy, discontinuous, unbounded, flat, badly scaled, huge.

Success is never false: wherever it is claimed, the gradient test holds at the returned x.
"""

import re
import tracemalloc

import collection as problems
import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der
from scipy.special import logsumexp

from twophase_min import Status, minimize
from twophase_min.jit.compilation import DISABLED

START = np.array([-1.2, 1.0, -0.5])
BOTH = pytest.mark.parametrize("convex_method", ["CG", "memory-cg"])


class Watched:
    """A function with its gradient; keeps every point and value."""

    def __init__(self, fun, jac):
        self._fun, self._jac = fun, jac
        self.points, self.values = [], []

    def fun(self, x):
        f = self._fun(x)
        self.points.append(np.array(x))
        self.values.append(f)
        return f

    def jac(self, x):
        return self._jac(x)


def run(fun, jac, x0, noise=0.0, **options):
    """Run, and see that nothing is lost: the lowest value is returned, up to the ``noise`` of one."""
    watched = Watched(fun, jac)
    with np.errstate(over="ignore", invalid="ignore"):
        result = minimize(watched.fun, x0, jac=watched.jac, options=options)
    finite = [f for f in watched.values if not np.isnan(f)]
    if result.status not in (Status.CONVERGED, Status.WORKING_PRECISION):
        assert result.fun == min(finite)  # what was seen is not lost
    else:
        assert result.fun <= min(finite) + max(noise, 1e-9 * max(1.0, abs(min(finite))))
    assert result.nfev == len(watched.values)
    return result


def assert_honest(result, jac, gtol=1e-5, fun=None):
    """If success is claimed, the test behind the claim holds at the returned point."""
    if not result.success:
        assert result.status not in (Status.CONVERGED, Status.WORKING_PRECISION, Status.TARGET)
        return
    g = jac(result.x)
    np.testing.assert_array_equal(result.jac, g)
    if result.status == Status.CONVERGED:
        assert np.max(np.abs(g)) <= gtol
    else:
        assert result.status == Status.WORKING_PRECISION
        assert_within_noise(result, fun, g)


def assert_within_noise(result, fun, g):
    """No step along the gradient gains more than the values are exact to, as the message states it."""
    flat = np.max(np.abs(g * result.x)) <= 1e-7 * abs(result.fun) or np.all(g * result.x == 0)
    if flat and fun is None:
        return
    exact = (
        float(re.search(r"exact to about (\S+)", result.message)[1]) if "exact to" in result.message else 0.0
    )
    size = np.abs(result.x) @ np.abs(g) / (g @ g)
    values = [fun(result.x - t * size * g) for t in 2.0 ** np.arange(-60.0, 0.0)]
    gain = result.fun - np.nanmin(values)
    assert flat or gain <= 10 * exact


# ---- noise -----------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("sigma", [1e-10, 1e-8, 1e-6, 1e-4, 1e-2])
@pytest.mark.parametrize("seed", range(3))
def test_noise_in_the_value_ends_near_the_minimum(convex_method, sigma, seed):
    """Values are off by sigma, gradients are right: the end is within what sigma lets anybody see."""
    rng = np.random.default_rng(seed)
    c = np.array([1.0, 3.0, 10.0])
    result = run(
        lambda x: float(0.5 * x @ (c * x)) + 1.0 + sigma * rng.normal(),
        lambda x: c * x,
        np.array([2.0, -1.0, 3.0]),
        convex_method=convex_method,
        noise=10 * sigma,
    )
    assert 0.5 * result.x @ (c * result.x) <= 20 * sigma + 1e-9
    if result.status == Status.CONVERGED:
        assert np.max(np.abs(c * result.x)) <= 1e-5
    elif result.status == Status.WORKING_PRECISION:
        exact = float(re.search(r"exact to about (\S+)", result.message)[1])
        assert sigma / 2 < exact < 20 * sigma + 1e-14
    else:
        assert result.status == Status.PRECISION_LOSS
        assert "noisy" in result.message


@BOTH
def test_noise_in_value_and_gradient_never_loops(convex_method):
    for sigma in (1e-8, 1e-4, 1e-1):
        rng = np.random.default_rng(0)
        result = run(
            lambda x: rosen(x) + sigma * rng.normal(),
            lambda x: rosen_der(x) + sigma * rng.normal(size=x.size),
            START,
            convex_method=convex_method,
            noise=10 * sigma,
        )
        assert result.nfev < 2000
        assert rosen(result.x) < 0.02 * rosen(START)


# ---- discontinuities and kinks ---------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("height", [-2.0, 1e-3, 2.0, 100.0])
def test_a_jump_on_the_way_is_survived(convex_method, height):
    """A step of either sign across the path to the minimum."""

    def fun(x):
        return rosen(x) + (height if x[0] < 0 else 0.0) + max(0.0, -height)

    result = run(fun, rosen_der, START, convex_method=convex_method)
    assert_honest(result, rosen_der, fun=fun)
    assert result.fun < 0.05 * fun(START)


@BOTH
@pytest.mark.parametrize("start", [1.1, -1.1, 3e-7, 1e9])
def test_scipy_15643_progress_on_abs_is_not_thrown_away(convex_method, start):
    """CG on abs(x) from 1.1 used to hand back 1.1: no step meets the Wolfe conditions across a kink."""
    result = run(lambda x: float(np.abs(x[0])), np.sign, [start], convex_method=convex_method)
    assert result.fun <= 1e-6 * abs(start)
    assert_honest(result, np.sign)


@BOTH
def test_a_kink_away_from_zero(convex_method):
    def fun(x):
        return float(np.abs(x - 0.3) @ [1.0, 2.0, 3.0])

    def jac(x):
        return np.sign(x - 0.3) * [1.0, 2.0, 3.0]

    result = run(fun, jac, START, convex_method=convex_method)
    assert result.fun < 1e-3 * fun(START)
    assert_honest(result, jac)


@BOTH
def test_a_staircase_is_walked_down(convex_method):
    """Steps of 0.01 with the gradient of the slope beneath them."""

    def fun(x):
        return float(np.floor(100 * np.sum((x - 0.03) ** 2)) / 100)

    def jac(x):
        return 2 * (x - 0.03)

    result = run(fun, jac, START, convex_method=convex_method)
    assert result.fun <= 0.01
    assert_honest(result, jac)


# ---- no minimum ------------------------------------------------------------------------------------------


def waves(x):
    """A slope without end that waves cross, whose gradient is rounding far out."""
    return float(np.sum(x) + np.sum(np.cos(2 * x[1:-1] - x[-1] - x[0])) / 2)


def waves_der(x):
    s = np.sin(2 * x[1:-1] - x[-1] - x[0])
    g = np.ones_like(x)
    g[1:-1] -= s
    g[[0, -1]] += np.sum(s) / 2
    return g


UNBOUNDED = {
    "waves": (waves, waves_der, np.arange(1.0, 11.0) / 11),
    "linear": (lambda x: float(np.sum(x)), np.ones_like, [1.0, 2.0, 3.0]),
    "cubic": (lambda x: float(np.sum(x**3)), lambda x: 3 * x**2, [1.0, -0.5]),
    "exponential": (lambda x: -float(np.exp(x[0])), lambda x: -np.exp(x), [1.0]),
    "saddle": (
        lambda x: float(x[0] ** 2 - x[1] ** 2),
        lambda x: np.array([2 * x[0], -2 * x[1]]),
        [1.0, 1e-3],
    ),
}


@BOTH
@pytest.mark.parametrize("name", UNBOUNDED)
def test_unbounded_below_is_no_success(convex_method, name):
    fun, jac, x0 = UNBOUNDED[name]
    result = run(fun, jac, x0, convex_method=convex_method, maxfun=3000)
    assert not result.success
    assert result.fun < fun(np.array(x0)) - 1e6
    if result.fun == -np.inf:
        assert result.status == Status.UNBOUNDED
        assert "unbounded" in result.message


def test_a_run_that_cannot_move_any_more_ends():
    """At 1e147 Adam's steps vanish: they must not count as iterations until some far limit."""
    fun, jac, x0 = UNBOUNDED["saddle"]
    result = run(fun, jac, x0, convex_method="memory-cg", maxiter=10**9)
    assert not result.success
    assert result.nit < 10_000


def singular_mixture(parts, seed):
    """Normal mixture with the deviations themselves as variables, one of them tiny and centred on a datum.

    The likelihood has no bound there. The start is the seed's; values alone are given.
    """
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 3, parts)
    y = centres[rng.integers(parts, size=200)]
    y = y + rng.uniform(0.3, 1.5, parts)[rng.integers(parts, size=200)] * rng.normal(size=200)

    def fun(x):
        logits = np.append(x[: parts - 1], 0.0)
        centre, deviation = x[parts - 1 : 2 * parts - 1], x[2 * parts - 1 :]
        with np.errstate(all="ignore"):
            terms = logits - np.log(np.sum(np.exp(logits))) - np.log(deviation)
            terms = terms - 0.5 * ((y[:, None] - centre) / deviation) ** 2
            return -float(np.sum(logsumexp(terms, axis=1)))

    centre, deviation = rng.normal(0, 3, parts), np.full(parts, y.std())
    centre[0], deviation[0] = y[0], 10.0 ** -rng.integers(1, 10)
    return fun, np.concatenate([np.zeros(parts - 1), centre, deviation])


@pytest.mark.parametrize(
    ("parts", "seed", "calls"),
    [(2, 2, 2000), (2, 3, 4000), (2, 6, 16_000), (3, 0, 4000), (3, 1, 8000), (4, 4, 8000), (4, 6, 10_000)],
)
def test_a_mixture_with_a_singular_start_ends_soon(parts, seed, calls):
    """Values that differ by a feature 1e-8 wide are not noise, and a search against the spacing of x ends.

    Steps ended below the spacing of x, and runs went on for up to 420,000 values.
    """
    fun, x0 = singular_mixture(parts, seed)
    result = minimize(fun, x0, jac="2-point")
    assert result.fun < fun(x0)
    assert result.nfev < calls


@pytest.mark.parametrize("convex_method", ["CG", "memory-cg", "ssbroyden"])
@pytest.mark.parametrize("part", [0, 1])
def test_a_likelihood_without_bound_is_no_success_and_says_so(convex_method, part):
    """One part near a datum, its log deviation a variable: f falls until rounding ends it."""
    rng = np.random.default_rng(0)
    y = np.r_[rng.normal(-2, 0.5, 30), rng.normal(2, 1.0, 30)].round(1)

    def fun(x):
        terms = np.array([-x[1] - 0.5 * ((y - x[0]) * np.exp(-x[1])) ** 2, -0.5 * (y - x[2]) ** 2])
        return -float(np.sum(logsumexp(terms, axis=0)))

    def jac(x):
        z = (y - x[0]) * np.exp(-x[1])
        terms = np.array([-x[1] - 0.5 * z**2, -0.5 * (y - x[2]) ** 2])
        share = np.exp(terms - logsumexp(terms, axis=0))
        a, b = share[0] @ (z * np.exp(-x[1])), share[0] @ (z**2 - 1)
        return -np.array([a, b, share[1] @ (y - x[2])])

    with np.errstate(all="ignore"):
        result = minimize(
            fun, [y[30 * part] + 1e-3, -6.0, 0.0], jac=jac, options={"convex_method": convex_method}
        )
    assert not result.success or np.abs(jac(result.x)).max() <= 1e-5
    if not result.success:
        assert "f may fall without a bound here" in result.message
    assert result.nfev < 6000


# ---- flat ------------------------------------------------------------------------------------------------


@BOTH
def test_a_constant_converges_at_once(convex_method):
    result = run(lambda x: 3.0, np.zeros_like, START, convex_method=convex_method, gtol=0.0)
    assert result.success
    assert result.nfev == 1
    np.testing.assert_array_equal(result.x, START)


@BOTH
def test_a_flat_start_beneath_gtol_is_left_when_gtol_asks_for_it(convex_method):
    """The slope at the start is 1e-13: success at the default gtol, a way to the minimum below it."""

    def fun(x):
        return 1 - float(np.exp(-x @ x))

    def jac(x):
        return 2 * x * np.exp(-x @ x)

    start = np.full(2, 4.0)
    result = run(fun, jac, start, convex_method=convex_method)
    assert result.success
    assert result.nit == 0
    result = run(fun, jac, start, convex_method=convex_method, gtol=1e-20)
    assert_honest(result, jac, 1e-20)
    assert result.fun < 1e-6


@BOTH
def test_a_minimum_of_high_order(convex_method):
    """x^20: the Hessian vanishes long before x does.

    The first search may try the minimum itself, and turn from it because the decrease is so far below what
    the slope had promised. A point a distance d away that is higher by less than ``gtol * d`` is as good.
    """

    def jac(x):
        return 20 * x**19

    fun = lambda x: float(np.sum(x**20))  # noqa: E731
    result = run(fun, jac, np.full(3, 2.0), noise=1e-5 * np.sqrt(3), convex_method=convex_method)
    assert result.success, result.message
    assert result.fun <= 1e-5 * np.linalg.norm(result.x)
    assert_honest(result, jac)


@BOTH
def test_a_saturated_sigmoid_is_left(convex_method):
    def fun(x):
        return float(np.tanh(x[0]) + 1e-3 * x[0] ** 2)

    def jac(x):
        return 1 / np.cosh(x) ** 2 + 2e-3 * x

    result = run(fun, jac, [20.0], convex_method=convex_method)
    assert result.success, result.message
    assert result.fun == pytest.approx(-0.98644406, abs=1e-7)


# ---- scales ----------------------------------------------------------------------------------------------

UNITS = 10.0 ** np.linspace(-12, 12, 25)


@BOTH
@pytest.mark.parametrize("start", ["far", "alternating"])
def test_a_unit_of_its_own_for_every_variable(convex_method, start):
    """x_i is measured in units from 1e-12 to 1e12; f knows none of them."""
    factors = 2.0 if start == "far" else np.where(np.arange(UNITS.size) % 2, 2.0, -1.0)
    result = run(
        lambda x: float(np.sum((x / UNITS - 1) ** 2)),
        lambda x: 2 * (x / UNITS - 1) / UNITS,
        UNITS * factors,
        convex_method=convex_method, gtol=0.0, gtol_rel=1e-10, maxfun=2000,
    )  # fmt: skip
    assert result.success, result.message
    np.testing.assert_allclose(result.x, UNITS, rtol=1e-8)


@BOTH
def test_curvatures_from_1e_12_to_1e12(convex_method):
    """The gradient test is met where the flat variables need not move; the steep ones must have."""

    def fun(x):
        return float(0.5 * np.sum(UNITS * (x - 1) ** 2))

    def jac(x):
        return UNITS * (x - 1)

    result = run(fun, jac, np.zeros(25), convex_method=convex_method, maxfun=5000)
    if not result.success:  # one spacing of x is a gradient above gtol in the steepest: luck alone meets it
        assert np.all(np.abs(result.jac) <= np.maximum(1e-4, 8 * np.finfo(float).eps * UNITS)), result.message
    assert_honest(result, jac, fun=fun)
    np.testing.assert_allclose(result.x[UNITS >= 1], 1.0, atol=1.1e-5)


@BOTH
def test_rosenbrock_in_three_units(convex_method):
    units = np.array([1e-12, 1.0, 1e12])
    result = run(
        lambda x: float(rosen(x / units)), lambda x: rosen_der(x / units) / units, START * units,
        convex_method=convex_method, gtol=0.0, gtol_rel=1e-8, maxfun=3000,
    )  # fmt: skip
    assert result.success, result.message
    np.testing.assert_allclose(result.x, units, rtol=1e-3)


@BOTH
@pytest.mark.parametrize("unit", [1e-12, 1e-6, 1e6, 1e12])
def test_the_unit_of_f_does_not_matter(convex_method, unit):
    result = run(
        lambda x: unit * rosen(x), lambda x: unit * rosen_der(x), START,
        convex_method=convex_method, gtol=0.0, gtol_rel=1e-7,
    )  # fmt: skip
    assert result.success, result.message
    np.testing.assert_allclose(result.x, 1.0, atol=1e-3)


@BOTH
def test_an_over_long_first_step_is_shortened(convex_method):
    """A plain that lies lower beyond a wall: a first step that lands there has decreased f, and is lost.

    The basin at the start holds the minimum; x0 is far from the origin, so that a step by the size of x
    would leap over the wall.
    """

    def fun(x):
        return float(1 - np.exp(-0.5 * (x[0] - 1000.0) ** 2 / 4) + 1e-3 * np.tanh((1000.0 - x[0]) / 10) + 1)

    def jac(x):
        d = x[0] - 1000.0
        return np.array([d / 4 * np.exp(-0.5 * d**2 / 4) - 1e-4 / np.cosh(d / 10) ** 2])

    for start in (1001.0, 998.5, 1003.0):
        result = run(fun, jac, [start], convex_method=convex_method, gtol=1e-8)
        assert result.success, result.message
        assert abs(result.x[0] - 1000.0) < 0.1


# ---- huge ------------------------------------------------------------------------------------------------

HUGE = 20_000 if DISABLED else 1_000_000
"""Kernels in plain Python take a thousand times as long an entry: all their lines run at this size too."""
LARGE = 2_000 if DISABLED else 100_000


def test_conjugate_gradients_without_memory_need_seventeen_vectors():
    """Five of Adam, four of the other phase; iterate and trial with gradients, x0, one copy, the result."""
    own = {"convex_method": "memory-cg", "convex_options": {"memory": 0}, "precondition": None, "maxiter": 30}

    def run(n):
        d = np.linspace(1.0, 100.0, n)
        x0 = np.ones(n)
        fun = lambda x: 0.5 * float(np.einsum("i,i,i->", d, x, x))  # noqa: E731
        tracemalloc.start()
        result = minimize(fun, x0, jac=lambda x: d * x, options=own)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert result.phases[-1]["name"] == "memory-cg"
        return peak

    run(10)  # loads the kernels
    small, large = run(10), min(run(LARGE) for _ in range(3))  # threads of others allocate too
    assert large - small <= 8 * LARGE * (17 + 1)  # one gradient at a time is the caller's


@pytest.mark.slow
@pytest.mark.parametrize(("convex_method", "guard"), [("CG", False), ("CG", True), ("memory-cg", True)])
def test_a_huge_number_of_variables(convex_method, guard):
    """A few iterations cost a few evaluations and vectors; of the pairs only those in use are saved.

    With the guard memory-cg takes over from CG, with pairs of its own.
    """
    problem = problems.sparse_chain(HUGE)
    vector = 8.0 * HUGE
    allowed = 80 * vector + min(2**29, 2 * 50 * vector) if guard else 60 * vector
    options = {"convex_method": convex_method, "guard": guard, "maxiter": 6}
    tracemalloc.start()
    result = minimize(problem.fun, problem.x0, jac=problem.grad, options=options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result.nit == 6
    assert result.fun < 1e-2 * problem.fun(problem.x0)
    assert result.nfev <= 20
    assert peak <= allowed + 2**21  # and what Python itself needs
    state = sum(value.nbytes for value in result.state.values())
    assert state <= 50 * vector  # two dozen of them are pairs, which both sides of the run keep


@pytest.mark.slow
@BOTH
def test_a_large_number_of_variables_converges(convex_method):
    problem = problems.sparse_chain(LARGE)
    result = minimize(problem.fun, problem.x0, jac=problem.grad, options={"convex_method": convex_method})
    assert result.success, result.message
    np.testing.assert_allclose(result.x, 1.0, atol=1e-3)
    assert result.nfev < 200


# ---- wrong gradients -------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("spoil", ["sign", "one sign", "constant"])
def test_a_wrong_gradient_is_no_success_and_is_named(convex_method, spoil):
    def jac(x):
        g = 2 * (x - 1)
        return {"sign": -g, "one sign": g * [-1.0, 1.0, 1.0], "constant": g + np.array([3.0, 0, 0])}[spoil]

    result = run(lambda x: float(np.sum((x - 1) ** 2)), jac, START, convex_method=convex_method, maxfun=5000)
    assert not result.success
    assert result.fun <= np.sum((START - 1) ** 2)
    if result.status == Status.PRECISION_LOSS:
        assert "gradient looks wrong" in result.message
    if spoil == "sign":
        assert result.status == Status.PRECISION_LOSS


# ---- never a false success -------------------------------------------------------------------------------

EXTREMES = {
    "below rounding": (lambda x: 1e12 + float(x @ x), lambda x: 2 * x, [3.0, 4.0]),
    "cosh at 1e6": (lambda x: 1e6 + float(np.sum(np.cosh(x - 0.3))), lambda x: np.sinh(x - 0.3), [2.0, -1.0]),
    "square root": (
        lambda x: float(np.sum(np.abs(x) ** 0.5)), lambda x: 0.5 * np.sign(x) * np.abs(x) ** -0.5, [1.0],
    ),
    "quartic": (lambda x: float(np.sum((x - 2) ** 4)), lambda x: 4 * (x - 2) ** 3, [0.0, 5.0, 1e3]),
    "wall": (lambda x: float(x[0] - np.log(x[0])) if x[0] > 0 else np.nan, lambda x: 1 - 1 / x, [5.0]),
    "cliff": (lambda x: float(x[0] ** 2) if x[0] >= 1 else 7.0, lambda x: 2 * x, [3.0]),
    "edge": (lambda x: float(x[0] ** 2) if x[0] >= 1 else np.nan, lambda x: 2 * x, [3.0]),
    "steep": (lambda x: 1e200 * float(x @ x), lambda x: 2e200 * x, [1e-3, 1.0]),
    "tiny": (lambda x: 1e-200 * float(x @ x), lambda x: 2e-200 * x, [1e-3, 1.0]),
    "wavy": (
        lambda x: float(np.sum(x**2 + 10 * np.sin(20 * x))),
        lambda x: 2 * x + 200 * np.cos(20 * x),
        [3.0, -2.0],
    ),
}  # fmt: skip


@BOTH
@pytest.mark.parametrize("gtol", [1e-5, 1e-14, 0.0])
@pytest.mark.parametrize("name", EXTREMES)
def test_success_is_never_false_on_extremes(convex_method, gtol, name):
    fun, jac, x0 = EXTREMES[name]
    with np.errstate(all="ignore"):
        result = run(fun, jac, x0, convex_method=convex_method, gtol=gtol, maxfun=2000)
        assert_honest(result, jac, gtol, fun)
    assert np.isfinite(result.fun)
    assert result.fun <= fun(np.array(x0))


@pytest.mark.slow
@pytest.mark.parametrize("convex_method", ["CG", "BFGS", "L-BFGS-B", "memory-cg"])
@pytest.mark.parametrize("guard", [True, False])
def test_success_is_never_false_on_the_collection(convex_method, guard):
    """Every problem of the package, tight and ordinary tolerances, short and long budgets."""
    claims = 0
    for name, factory in problems.ALL.items():
        problem = factory(n=100) if name == "sparse_chain" else factory()
        for gtol, maxfun in ((1e-5, 600), (1e-10, 300), (1e-5, 20)):
            result = minimize(
                problem.fun, problem.x0, jac=problem.grad,
                options={"convex_method": convex_method, "guard": guard, "gtol": gtol, "maxfun": maxfun},
            )  # fmt: skip
            assert_honest(result, problem.grad, gtol, problem.fun)
            claims += result.success
            assert result.fun <= problem.fun(problem.x0)
    assert claims >= 30
