"""The test problems: derivatives against autograd and differences, minima, spectra, the paper's claims."""

from __future__ import annotations

import pickle
import subprocess
import sys
from functools import partial

import collection as problems
import numpy as np
import pytest
from scipy import optimize

from twophase_min import problems as shipped
from twophase_min.testing import assert_gradient

# Every factory once as it comes (the million-variable chain small), and again at other sizes and seeds.
CASES = [(name, {}) for name in problems.ALL if name != "sparse_chain"] + [
    ("sparse_chain", {"n": 2}),
    ("sparse_chain", {"n": 23}),
    ("rosenbrock", {"n": 8}),
    ("chained_rosenbrock", {"n": 2}),
    ("powell_singular", {"n": 12}),
    ("convex_quadratic", {"n": 1, "condition": 1.0}),
    ("convex_quadratic", {"n": 2, "condition": 7.0, "f_min": -3.0}),
    ("convex_quadratic", {"n": 6, "condition": 1e4, "rotate": False}),
    ("smooth_nonconvex", {"n": 1, "condition": 1.0}),
    ("smooth_nonconvex", {"kind": "sine", "bumps": 20.0, "seed": 3}),
    ("smooth_nonconvex", {"n": 2, "kind": "warp"}),
    ("smooth_nonconvex", {"n": 6, "kind": "warp", "seed": 4}),
    ("smooth_nonconvex", {"n": 1, "kind": "log", "condition": 1.0}),
    ("smooth_nonconvex", {"n": 6, "kind": "log", "seed": 5}),
    ("dixon_price", {"n": 2}),
    ("styblinski_tang", {"n": 1}),
    ("rastrigin", {"n": 5}),
    ("ackley", {"n": 1}),
    ("griewank", {"n": 1}),
    ("griewank", {"n": 2}),
    ("log_sum_exp", {"n": 1, "terms": 2}),
    ("logistic_regression", {"n": 3, "samples": 30, "seed": 9, "l2": 0.1}),
    ("exponential_decay", {"seed": 7}),
    *[("paper_example_1", {"seed": seed}) for seed in range(1, 6)],
    *[("paper_example_2", {"C": C}) for C in (0.45, 0.5, 0.55, 0.6)],
]
IDS = [f"{name}-{'-'.join(f'{k}={v}' for k, v in kw.items())}" for name, kw in CASES]
cases = pytest.mark.parametrize(("name", "parameters"), CASES, ids=IDS)


def random_points(problem, count=6):
    """Points around the start and around the minimum, on the scale of each variable."""
    rng = np.random.default_rng(20)
    bases = [problem.x0] + ([] if problem.x_min is None else [problem.x_min])
    for k in range(count):
        base = bases[k % len(bases)]
        width = np.where(np.abs(base) > 1e-6, np.minimum(np.abs(base), 1.0), 1.0)
        yield base + 0.4 * width * rng.standard_normal(problem.n)


@cases
def test_derivatives_agree_with_autograd(name, parameters):
    autograd = pytest.importorskip("autograd")
    problem = problems.get(name, **parameters)
    traced = problem.traceable()
    for x in random_points(problem):
        np.testing.assert_allclose(traced(x), problem.fun(x), rtol=1e-14)
        expected = autograd.grad(traced)(x)
        scale = np.max(np.abs(expected))
        np.testing.assert_allclose(problem.grad(x), expected, rtol=0, atol=1e-12 * scale)
        if problem.hess is not None:
            expected = autograd.hessian(traced)(x)
            scale = np.max(np.abs(expected))
            np.testing.assert_allclose(problem.hess(x), expected, rtol=0, atol=1e-11 * scale)
            np.testing.assert_array_equal(problem.hess(x), problem.hess(x).T)
        if problem.hessp is not None:
            v = np.random.default_rng(1).standard_normal(problem.n)
            difference = problem.hess(x) @ v
            np.testing.assert_allclose(
                problem.hessp(x, v), difference, atol=1e-12 * np.max(np.abs(difference))
            )


@cases
def test_derivatives_agree_with_differences(name, parameters):
    problem = problems.get(name, **parameters)
    for x in [problem.x0, *random_points(problem, 2)]:
        assert assert_gradient(problem, x=x) < 1e-6


@cases
def test_minimum_is_a_minimum(name, parameters):
    problem = problems.get(name, **parameters)
    assert (problem.x_min is None) == (problem.f_min is None)
    assert len(problem.minimizers) >= 1
    whole = problem.fun(problem.x0) - problem.f_min
    assert whole > 0
    rng = np.random.default_rng(2)
    for x in problem.minimizers:
        rounding = 1e-14 * max(1.0, abs(problem.f_min))
        assert abs(problem.fun(x) - problem.f_min) <= rounding
        assert np.max(np.abs(problem.grad(x))) <= 1e-7 * max(1.0, np.max(np.abs(problem.grad(problem.x0))))
        for size in (1e-6, 1e-3, 1e-1, 1.0):
            for _ in range(20):
                step = size * np.maximum(np.abs(x), 1e-3) * rng.standard_normal(problem.n)
                assert problem.fun(x + step) >= problem.f_min - rounding
        if problem.hess is not None:
            eigenvalues = np.linalg.eigvalsh(problem.hess(x))
            assert eigenvalues[0] >= -1e-12 * eigenvalues[-1]
    distinct = {tuple(np.round(x, 9)) for x in problem.minimizers}
    assert len(distinct) == len(problem.minimizers)


@cases
def test_convex_means_convex_and_nonconvex_is_seen(name, parameters):
    problem = problems.get(name, **parameters)
    if problem.hess is None:
        return
    width = np.where(np.abs(problem.x0) > 1e-6, np.minimum(np.abs(problem.x0), 1.0), 1.0)
    spectra = [
        np.linalg.eigvalsh(problem.hess(problem.x0 + s * width * d))
        for s in (0.0, 0.5, 1.0, 3.0)
        for d in np.random.default_rng(3).standard_normal((10, problem.n))
    ]
    if problem.convex:
        assert all(e[0] >= -1e-10 * max(e[-1], 1.0) for e in spectra)
    else:
        assert any(e[0] < 0 for e in spectra)


@cases
def test_a_problem_survives_pickling(name, parameters):
    problem = problems.get(name, **parameters)
    again = pickle.loads(pickle.dumps(problem))
    assert again.name == problem.name
    assert again.fun(problem.x0) == problem.fun(problem.x0)
    np.testing.assert_array_equal(again.grad(problem.x0), problem.grad(problem.x0))


@cases
def test_name_rebuilds_the_problem_and_source_is_given(name, parameters):
    problem = problems.get(name, **parameters)
    again = eval(problem.name, {**problems.ALL})
    np.testing.assert_array_equal(again.x0, problem.x0)
    assert again.fun(problem.x0) == problem.fun(problem.x0)
    assert problem.source
    assert problem.name in repr(problem)


@pytest.mark.parametrize("name", problems.ALL)
def test_docstring_names_its_source(name):
    assert "References" in problems.ALL[name].__doc__


def test_value_and_gradient_is_the_pair():
    problem = problems.wood()
    f, g = problem.value_and_gradient(problem.x0)
    assert f == problem.fun(problem.x0) == 19192.0  # the value at the start given by Moré, Garbow & Hillstrom
    np.testing.assert_array_equal(g, problem.grad(problem.x0))


@pytest.mark.parametrize(
    ("name", "at_start", "digits"),
    [
        ("rosenbrock", 24.2, 1e-12),
        ("powell_singular", 215.0, 0),
        ("beale", 14.203125, 0),
        ("helical_valley", 2500.0, 1e-12),
    ],
)
def test_published_value_at_the_start(name, at_start, digits):
    problem = problems.get(name)
    assert problem.fun(problem.x0) == pytest.approx(at_start, rel=digits, abs=0)


def test_osborne_has_the_published_minimum():
    assert problems.osborne_1().f_min == pytest.approx(5.46489e-5, rel=1e-6)


def test_chained_rosenbrock_is_scipys():
    problem = problems.chained_rosenbrock(7)
    x = np.random.default_rng(0).standard_normal(7)
    assert problem.fun(x) == pytest.approx(optimize.rosen(x), rel=1e-14)
    np.testing.assert_allclose(problem.grad(x), optimize.rosen_der(x), rtol=1e-12)
    np.testing.assert_allclose(problem.hess(x), optimize.rosen_hess(x), rtol=1e-12)


def test_chained_rosenbrock_has_the_second_minimum_of_its_docstring():
    problem = problems.chained_rosenbrock(5)
    result = optimize.minimize(
        problem.fun, [-1.0, 1, 1, 1, 1], jac=problem.grad, method="BFGS", options={"gtol": 1e-8}
    )
    assert result.fun > 1.0
    assert np.linalg.eigvalsh(problem.hess(result.x))[0] > 0
    assert not problem.unimodal


def test_wood_has_the_saddle_of_its_docstring():
    problem = problems.wood()
    solution = optimize.root(problem.grad, [-0.97, 0.95, -0.97, 0.95], jac=problem.hess)
    assert solution.success
    assert problem.fun(solution.x) == pytest.approx(7.877, abs=1e-3)
    np.testing.assert_allclose(solution.x, [-0.97, 0.95, -0.97, 0.95], atol=0.01)
    assert np.linalg.eigvalsh(problem.hess(solution.x))[0] < 0


def test_dixon_price_has_the_local_minimum_of_its_docstring():
    problem = problems.dixon_price(4)
    x = np.array([1 / 3, 0.0, 0.0, 0.0])
    assert problem.fun(x) == pytest.approx(2 / 3, rel=1e-14)
    assert np.max(np.abs(problem.grad(x))) < 1e-15


# --- Random problems --------------------------------------------------------------------------------


@pytest.mark.parametrize("condition", [1.0, 10.0, 1e4, 1e6])
@pytest.mark.parametrize("n", [2, 3, 17])
def test_quadratic_has_the_condition_number_asked_for(n, condition):
    for seed in range(3):
        problem = problems.convex_quadratic(n, condition, seed)
        eigenvalues = np.linalg.eigvalsh(problem.hess(problem.x0))
        assert eigenvalues[0] == pytest.approx(1.0, abs=1e-14 * n * condition)
        assert eigenvalues[-1] == pytest.approx(condition, rel=1e-13 * n)
        lam = problem.fun.keywords["lam"]
        assert lam[0] == 1.0
        assert lam[-1] == condition
        basis = problem.fun.keywords["basis"]
        np.testing.assert_allclose(basis.T @ basis, np.eye(n), atol=1e-14 * n)


def test_quadratic_with_given_spectrum():
    spectrum = [0.5, 3.0, 3.0, 800.0]
    problem = problems.convex_quadratic(spectrum=spectrum, seed=4)
    np.testing.assert_allclose(np.linalg.eigvalsh(problem.hess(problem.x0)), spectrum, rtol=1e-12)
    straight = problems.convex_quadratic(spectrum=spectrum, rotate=False)
    np.testing.assert_array_equal(straight.hess(straight.x0), np.diag(spectrum))


def test_quadratic_basis_is_not_biased():
    """The mean of uniformly distributed orthogonal matrices is zero; QR without the sign rule fails this."""
    from twophase_min.problems._random import _orthogonal

    rng = np.random.default_rng(0)
    mean = np.mean([_orthogonal(3, rng) for _ in range(4000)], axis=0)
    assert np.max(np.abs(mean)) < 0.04


def test_seeds_differ_and_repeat():
    first, again, other = (problems.convex_quadratic(4, 10.0, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.x_min, again.x_min)
    assert not np.array_equal(first.x_min, other.x_min)


@pytest.mark.parametrize(
    "parameters",
    [
        {"kind": "sine", "bumps": 1.5},
        {"kind": "sine", "bumps": 4.5},
        {"kind": "warp", "n": 3},
        {"kind": "log"},
    ],
)
def test_unimodal_means_that_every_start_leads_to_the_minimum(parameters):
    """Property: where ``unimodal`` is claimed, 30 random starts lead to no stationary point but x_min."""
    problem = problems.smooth_nonconvex(**{"n": 3, "condition": 5.0, "seed": 1, **parameters})
    assert problem.unimodal
    rng = np.random.default_rng(6)
    for _ in range(30):
        x0 = problem.x_min + 3.0 * rng.standard_normal(3)
        # Levenberg's method on the gradient finds stationary points of every kind, saddles included.
        found = optimize.root(problem.grad, x0, jac=problem.hess, method="lm")
        if found.success and np.max(np.abs(problem.grad(found.x))) < 1e-10 and np.max(np.abs(found.x)) < 1e3:
            np.testing.assert_allclose(found.x, problem.x_min, atol=1e-6)


def test_sinc_bound_separates_unimodal_from_multimodal():
    """On each side of bumps = 4.603 the slope of one wave has one zero, or more."""
    z = np.linspace(0.01, 40.0, 400001)
    for bumps, unimodal in ((4.59, True), (4.62, False)):
        problem = problems.smooth_nonconvex(1, "sine", 1.0, 0, bumps=bumps)
        assert problem.unimodal == unimodal
        slope = z + 0.5 * bumps * np.sin(2.0 * z)
        assert np.all(slope > 0) == unimodal


def test_multimodal_sine_has_other_minima():
    problem = problems.smooth_nonconvex(1, "sine", 1.0, 0, bumps=20.0)

    def curve(p):
        points = p[:, None]
        return (
            np.array([problem.fun(x) for x in points]),
            np.array([problem.grad(x)[0] for x in points]),
            np.array([problem.hess(x)[0, 0] for x in points]),
        )

    seen = problems.landscape(curve, problem.x_min[0] - 8, problem.x_min[0] + 8)
    assert len(seen.minima) >= 3
    assert np.min(seen.minima_values) == pytest.approx(0.0, abs=1e-15)
    assert np.sum(seen.minima_values < 1e-9) == 1


def test_log_bowl_starts_outside_its_convex_region():
    for seed in range(10):
        problem = problems.smooth_nonconvex(4, "log", 8.0, seed)
        assert (
            np.linalg.eigvalsh(problem.hess(problem.x0))[0]
            < 0
            < np.linalg.eigvalsh(problem.hess(problem.x_min))[0]
        )
        assert problem.fun(problem.x0) == pytest.approx(np.log(51.0), rel=1e-12)


def test_sparse_chain_of_a_million_variables():
    problem = problems.sparse_chain()
    assert problem.n == 1_000_000
    assert problem.hess is None
    f, g = problem.value_and_gradient(problem.x0)
    assert f > 0
    assert g.shape == (problem.n,)
    v = np.random.default_rng(0).standard_normal(problem.n)
    t = 1e-4
    difference = (problem.fun(problem.x0 + t * v) - problem.fun(problem.x0 - t * v)) / (2 * t)
    assert difference == pytest.approx(g @ v, rel=1e-6)
    difference = (problem.grad(problem.x0 + t * v) - problem.grad(problem.x0 - t * v)) / (2 * t)
    np.testing.assert_allclose(problem.hessp(problem.x0, v), difference, atol=1e-4)


def test_sparse_chain_condition_number():
    eigenvalues = np.linalg.eigvalsh(problems.sparse_chain(300).hess(np.ones(300)))
    assert 40.0 < eigenvalues[-1] / eigenvalues[0] < 41.0


def test_ackley_gradient_does_not_shrink_towards_the_tip():
    problem = problems.ackley(2)
    assert np.max(np.abs(problem.grad(np.array([1e-9, 0.0])))) > 1.0
    np.testing.assert_array_equal(problem.grad(np.zeros(2)), 0.0)


def test_griewank_gradient_where_a_cosine_vanishes():
    x = np.array([np.pi / 2, 1.0, 2.0])
    assert assert_gradient(problems.griewank(3), x=x) < 1e-8


# --- The paper's examples ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_example_1_is_convex_at_its_minimum_and_not_at_its_start(seed):
    problem = problems.paper_example_1(seed)
    x, r = problem.fun.keywords["x"], problem.fun.keywords["r"]
    assert x.shape == (100,)
    assert 0 < r < 1
    assert np.all(np.abs(x) < 0.5)
    assert problem.hess(problem.x_min)[0, 0] > 0
    assert problem.hess(problem.x0)[0, 0] < 0
    root = optimize.brentq(
        lambda p: np.sum(np.tanh(p * x)) - r, *sorted([0.0, problem.x_min[0] * 1.5]), xtol=1e-14
    )
    assert root == pytest.approx(problem.x_min[0], rel=1e-10)
    # From the start to the minimum the loss falls strictly.
    path = np.linspace(problem.x0[0], problem.x_min[0], 500)
    loss = problems.paper_example_1_curve(path, x, r)[0]
    assert np.all(np.diff(loss) < 0)


def test_example_1_norm_grows_then_shrinks():
    """Property: on the way from the start |dL/dp| rises to one peak at the inflection and falls after it.

    Where y bends more than once there can be more peaks; on most tasks there is one.
    """
    single = 0
    for seed in range(100):
        problem = problems.paper_example_1(seed)
        curve = partial(problems.paper_example_1_curve, **problem.fun.keywords)
        _, slope, curvature = curve(np.linspace(problem.x0[0], problem.x_min[0], 1000))
        growth = np.sign(np.diff(np.abs(slope)))
        single += np.count_nonzero(np.diff(growth)) == 1
        assert growth[0] > 0 > growth[-1]
        assert curvature[0] < 0 < curvature[-1]
    assert single >= 90


def test_example_1_second_derivative_by_complex_step():
    problem = problems.paper_example_1(3)
    x, r = problem.fun.keywords["x"], problem.fun.keywords["r"]
    p, h = np.array([-3.0, 0.2, 1.7]), 1e-30
    value = (np.sum(np.tanh((p[:, None] + 1j * h) * x), axis=1) - r) ** 2
    loss, slope, curvature = problems.paper_example_1_curve(p, x, r)
    np.testing.assert_allclose(loss, value.real, rtol=1e-12)
    np.testing.assert_allclose(slope, value.imag / h, rtol=1e-12)
    step = 1e-5
    up, down = (problems.paper_example_1_curve(p + s, x, r)[1] for s in (step, -step))
    np.testing.assert_allclose(curvature, (up - down) / (2 * step), rtol=1e-6, atol=1e-6)


def test_example_1_without_a_solution_says_none():
    """Two inputs of opposite sign cannot reach every r; what is said to be unreachable is, on a fine grid."""
    unsolved = 0
    for seed in range(60):
        problem = problems.paper_example_1(seed, units=2)
        x, r = problem.fun.keywords["x"], problem.fun.keywords["r"]
        best = np.max(np.sum(np.tanh(np.linspace(-2000, 2000, 400001)[:, None] * x), axis=1))
        if problem.x_min is None:
            unsolved += 1
            assert problem.f_min is None
            assert problem.minimizers.shape == (0, 1)
            assert best < r + 1e-9
        else:
            assert problem.fun(problem.x_min) < 1e-25
            assert best >= r - 1e-9
    assert 0 < unsolved < 60


def example_2_landscape(C, r=0.1):
    return problems.landscape(partial(problems.paper_example_2_curve, C=C, r=r), -4.0, 4.0, 8001)


def test_example_2_one_convex_region_at_C_40():
    seen = example_2_landscape(0.40)
    assert len(seen.convex_regions) == 1
    assert len(seen.minima) == 1
    assert seen.convex_regions[0, 0] < seen.minima[0] < seen.convex_regions[0, 1]


@pytest.mark.parametrize("C", [0.45, 0.50])
def test_example_2_convex_pocket_on_the_left_slope(C):
    seen = example_2_landscape(C)
    assert len(seen.convex_regions) == 2
    assert len(seen.minima) == 1
    pocket, basin = seen.convex_regions
    assert pocket[1] < basin[0] < seen.minima[0] < basin[1]
    inside = np.linspace(*pocket, 101)[1:-1]
    slope = problems.paper_example_2_curve(inside, C, 0.1)[1]
    assert np.all(slope < 0)


@pytest.mark.parametrize("C", [0.55, 0.60])
def test_example_2_extra_local_minimum(C):
    seen = example_2_landscape(C)
    assert len(seen.minima) == 2
    assert seen.minima[0] < 0 < seen.minima[1]
    assert seen.minima_values[0] > 1e-3
    assert seen.minima_values[1] < 1e-30


@pytest.mark.parametrize(("r", "holds"), [(0.043, False), (0.045, True), (0.15, True), (0.153, False)])
def test_example_2_statements_hold_for_the_range_of_r_that_is_documented(r, holds):
    counts = [
        (len(s.convex_regions), len(s.minima))
        for s in (example_2_landscape(C, r) for C in (0.4, 0.45, 0.5, 0.55, 0.6))
    ]
    assert (counts == [(1, 1), (2, 1), (2, 1), (2, 2), (2, 2)]) == holds


@pytest.mark.parametrize("C", [0.40, 0.45, 0.50, 0.55, 0.60])
def test_example_2_derivatives_and_minimum(C):
    problem = problems.paper_example_2(C)
    assert problem.unimodal == (C < 0.5)
    assert problem.x_min[0] == pytest.approx(example_2_landscape(C).minima[-1], rel=1e-9)
    x, h = np.linspace(-2.0, 2.0, 41), 1e-30
    inner = np.tanh(x + 1j * h)
    value = (np.tanh(inner) + C * np.tanh(-2.0 * inner) - 0.1) ** 2
    loss, slope, _ = problems.paper_example_2_curve(x, C, 0.1)
    np.testing.assert_allclose(loss, value.real, atol=1e-15)
    np.testing.assert_allclose(slope, value.imag / h, atol=1e-14)


def test_example_2_with_several_solutions_and_with_none():
    several = problems.paper_example_2(0.6, 0.02)
    assert len(several.minimizers) == 3
    for x in several.minimizers:
        assert several.fun(x) < 1e-30
    none = problems.paper_example_2(0.6, 0.5)
    assert none.x_min is None
    assert none.f_min is None
    assert not none.unimodal


def test_landscape_of_a_plain_parabola_and_of_a_concave_curve():
    bowl = problems.landscape(lambda p: (p**2, 2 * p, np.full_like(p, 2.0)), -1.0, 2.0)
    np.testing.assert_array_equal(bowl.convex_regions, [[-1.0, 2.0]])
    np.testing.assert_allclose(bowl.minima, [0.0], atol=1e-15)
    hill = problems.landscape(lambda p: (-(p**2), -2 * p, np.full_like(p, -2.0)), -1.0, 1.0)
    assert hill.convex_regions.shape == (0, 2)
    assert hill.minima.shape == hill.minima_values.shape == (0,)
    cubic = problems.landscape(lambda p: (p**3, 3 * p**2, 6 * p), -1.0, 1.0)  # a flat point is no minimum
    assert cubic.minima.size == 0
    np.testing.assert_allclose(cubic.convex_regions, [[0.0, 1.0]], atol=1e-15)


# --- Problem and registry ---------------------------------------------------------------------------


def test_get_knows_every_name_and_lists_them():
    assert shipped.get("rosenbrock", n=6).n == 6
    with pytest.raises(KeyError, match="paper_example_1"):
        shipped.get("nonsense")


def test_problem_keeps_read_only_copies():
    x0 = np.ones(2)
    problem = problems.Problem("mine", lambda x: x @ x, lambda x: 2 * x, x0, [0, 0], 0.0, "own")
    x0[:] = 7
    np.testing.assert_array_equal(problem.x0, 1.0)
    assert problem.x_min.dtype == np.float64
    with pytest.raises(ValueError, match="read-only"):
        problem.x0[0] = 3.0
    with pytest.raises(AttributeError):
        problem.name = "yours"


def test_problem_rejects_wrong_shapes():
    with pytest.raises(ValueError, match="x_min has shape"):
        problems.Problem("mine", np.sum, np.ones_like, np.ones(2), np.ones(3), 0.0)
    with pytest.raises(ValueError, match="more_minima has shape"):
        problems.Problem(
            "mine", np.sum, np.ones_like, np.ones(2), np.ones(2), 0.0, more_minima=np.ones((1, 3))
        )
    with pytest.raises(ValueError, match="dimension"):
        problems.Problem("mine", np.sum, np.ones_like, np.ones((2, 2)))


def test_a_foreign_function_is_not_traceable():
    problem = problems.Problem("mine", lambda x: x @ x, lambda x: 2 * x, np.ones(2))
    with pytest.raises(TypeError, match="xp"):
        problem.traceable()


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("rosenbrock", {"n": 3}),
        ("rosenbrock", {"n": 0}),
        ("chained_rosenbrock", {"n": 1}),
        ("powell_singular", {"n": 6}),
        ("convex_quadratic", {"n": 0}),
        ("convex_quadratic", {"condition": 0.5}),
        ("convex_quadratic", {"condition": np.inf}),
        ("convex_quadratic", {"n": 1, "condition": 2.0}),
        ("convex_quadratic", {"spectrum": [1.0, -1.0]}),
        ("convex_quadratic", {"spectrum": []}),
        ("smooth_nonconvex", {"kind": "strange"}),
        ("smooth_nonconvex", {"bumps": 1.0}),
        ("smooth_nonconvex", {"n": 1, "kind": "warp"}),
        ("dixon_price", {"n": 1}),
        ("log_sum_exp", {"n": 3, "terms": 3}),
        ("logistic_regression", {"l2": 0.0}),
        ("exponential_decay", {"points": 4}),
        ("sparse_chain", {"n": 1}),
        ("paper_example_1", {"units": 0}),
    ],
)
def test_bad_parameters_are_refused(name, parameters):
    with pytest.raises(ValueError):
        problems.get(name, **parameters)


def test_landscape_refuses_an_empty_interval():
    with pytest.raises(ValueError, match="lower < upper"):
        problems.landscape(lambda p: (p, p, p), 1.0, 1.0)


def test_import_costs_numpy_alone():
    code = (
        "import sys, twophase_min.problems, twophase_min.testing;"
        "heavy = ('numba', 'autograd', 'hypothesis', 'matplotlib', 'sklearn', 'scipy.optimize');"
        "print([m for m in heavy if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
