"""The decisions of a run depend neither on the zero nor on the unit of f, nor on order and units of x."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from twophase_min import minimize
from twophase_min.phases import PHASES

GRID = 2.0**-36
"""Values are multiples of this: adding a number of few bits to them is exact."""
RUNS = [{"convex_method": name} for name in sorted(PHASES)] + [
    {},
    {"guard": False},
    {"swap": "never", "maxiter": 200},
    {"swap": "norm-peak"},
    {"swap": "norm-against-loss"},
    {"swap": 5, "convex_method": "memory-cg"},
    {"convex_method": "memory-cg", "convex_options": {"memory": 0}},
]


def chain(x):
    """Rosenbrock's function, chained."""
    return float(np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2))


def chain_der(x):
    g = np.zeros_like(x)
    inner = x[1:] - x[:-1] ** 2
    g[:-1] = -400.0 * x[:-1] * inner - 2.0 * (1.0 - x[:-1])
    g[1:] += 200.0 * inner
    return g


def cluster(x):
    """Energy of atoms that attract and repel each other (Lennard-Jones)."""
    p = x.reshape(-1, 3)
    d = p[:, None] - p[None]
    s = np.sum(d * d, axis=2)[np.triu_indices(len(p), 1)] ** -3.0
    return float(4.0 * np.sum(s * s - s))


def cluster_der(x):
    p = x.reshape(-1, 3)
    d = p[:, None] - p[None]
    square = np.sum(d * d, axis=2)
    np.fill_diagonal(square, 1.0)
    s = square**-3.0
    np.fill_diagonal(s, 0.0)
    return np.sum(d * (4.0 * (-12.0 * s * s + 6.0 * s) / square)[:, :, None], axis=1).ravel()


def start_of(name, seed):
    rng = np.random.default_rng(seed)
    if name == "chain":
        return np.resize([-1.2, 1.0], 6) + 0.1 * rng.standard_normal(6)
    corners = 1.15 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1.0]])
    return (corners + 0.1 * rng.standard_normal(corners.shape)).ravel()


FUNCTIONS = {"chain": (chain, chain_der), "cluster": (cluster, cluster_der)}


def visited(name, seed, options, unit=1.0, zero=0.0, gtol=2.0**-10):
    """Return the points at which a run asks for the value of ``unit * (f + zero)``, and its result."""
    fun, jac = FUNCTIONS[name]
    points = []

    def value(x):
        points.append(np.array(x))
        return unit * (round(fun(x) / GRID) * GRID + zero)

    result = minimize(
        value,
        start_of(name, seed),
        jac=lambda x: unit * jac(x),
        options={"gtol": unit * gtol, "maxfun": 400, **options},
    )
    return np.array(points), result


@pytest.mark.parametrize("options", RUNS, ids=str)
@settings(max_examples=8, deadline=None)
@given(
    name=st.sampled_from(sorted(FUNCTIONS)),
    seed=st.integers(0, 999),
    unit=st.sampled_from([2.0**-30, 2.0**-7, 2.0, 1024.0, 2.0**40]),
)
def test_the_unit_of_f_changes_nothing(options, name, seed, unit):
    """Times a power of two, f and gtol give the same run, bit for bit."""
    plain, result = visited(name, seed, options)
    changed, other = visited(name, seed, options, unit=unit)
    np.testing.assert_array_equal(changed, plain)
    assert (other.status, other.nit, other.fun) == (result.status, result.nit, unit * result.fun)
    assert [(s["from"], s["to"]) for s in other.swaps] == [(s["from"], s["to"]) for s in result.swaps]


@pytest.mark.parametrize("options", RUNS, ids=str)
@settings(max_examples=8, deadline=None)
@given(
    name=st.sampled_from(sorted(FUNCTIONS)),
    seed=st.integers(0, 999),
    zero=st.sampled_from([-100.0, -8.0, 1.0, 64.0, 1000.0]),
)
def test_the_zero_of_f_changes_nothing(options, name, seed, zero):
    """With a constant added exactly, the run is the same, bit for bit, as long as f is exact.

    Near the end a decrease comes near the rounding of f, which does depend on the size of f: the runs may
    part there, by a step whose decrease is that small.
    """
    plain, result = visited(name, seed, options)
    changed, other = visited(name, seed, options, zero=zero)
    same = min(len(plain), len(changed))
    parted = next((i for i in range(same) if not np.array_equal(plain[i], changed[i])), same)
    fun, _ = FUNCTIONS[name]
    values = np.array([fun(x) for x in plain])
    exact = (np.abs(values) + abs(zero) < 2.0**52 * GRID)[:parted].all()
    if exact and parted < max(len(plain), len(changed)):
        lowest = np.minimum.accumulate(values)[max(parted - 3, 0)]
        assert lowest - values.min() <= 1e-9 * (1.0 + abs(zero))
    assert abs(other.fun - zero - result.fun) <= 1e-5
    assert other.success == result.success


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), unit=st.sampled_from([2.0**-20, 1024.0]), zero=st.sampled_from([0.0, 64.0]))
@pytest.mark.parametrize("method", [name for name in sorted(PHASES) if PHASES[name].compiled])
def test_the_compiled_loop_knows_no_unit_either(method, seed, unit, zero):
    """The same as above for a compiled objective, by the counts and the end of the run."""
    start = start_of("chain", seed)
    options = {"convex_method": method, "engine": "numba"}
    plain = minimize(compiled, start, (1.0, 0.0), jac=compiled_der, options={"gtol": 2.0**-10, **options})
    other = minimize(
        compiled, start, (unit, zero), jac=compiled_der, options={"gtol": unit * 2.0**-10, **options}
    )
    assert (other.nit, other.nfev, other.njev, other.status) == (
        plain.nit, plain.nfev, plain.njev, plain.status,
    )  # fmt: skip
    np.testing.assert_array_equal(other.x, plain.x)


@njit
def compiled(x, unit, zero):
    total = 0.0
    for i in range(x.size - 1):
        total += 100.0 * (x[i + 1] - x[i] ** 2) ** 2 + (1.0 - x[i]) ** 2
    return unit * (np.round(total / GRID) * GRID + zero)


@njit
def compiled_der(x, unit, zero):
    g = np.zeros(x.size)
    for i in range(x.size - 1):
        inner = x[i + 1] - x[i] ** 2
        g[i] += -400.0 * x[i] * inner - 2.0 * (1.0 - x[i])
        g[i + 1] += 200.0 * inner
    return unit * g


def paths(fun, jac, start, change, back, options):
    """Return the points of two runs in the same order and units: as it is, and of the changed function."""
    out = []
    for to, of in ((lambda x: x, lambda z: z), (change, back)):
        points = []

        def value(z, of=of, points=points):
            points.append(np.array(of(z)))
            return fun(of(z))

        minimize(value, to(start), jac=lambda z, to=to, of=of: jac(of(z), to), options=options)
        out.append(np.array(points))
    return out


@pytest.mark.parametrize("options", RUNS, ids=str)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 999))
def test_the_order_of_two_variables_changes_nothing(options, seed):
    """Swapping both variables swaps both entries of every point; rounding grows from point to point."""
    start = np.array([-1.2, 1.0]) + 0.1 * np.random.default_rng(seed).standard_normal(2)
    options = {"maxfun": 200, "gtol": 1e-3, **options}
    plain, changed = paths(
        chain, lambda x, to: to(chain_der(x)), start, lambda x: x[::-1], lambda z: z[::-1], options
    )
    np.testing.assert_allclose(changed[:5], plain[:5], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("method", sorted(set(PHASES) - {"Newton-CG", "trust-ncg", "trust-krylov"}))
@settings(max_examples=10, deadline=None)
@given(exponents=st.lists(st.integers(-12, 12), min_size=4, max_size=4), seed=st.integers(0, 999))
def test_units_of_single_variables_change_nothing_where_they_show(method, exponents, seed):
    """With ``precondition='auto'``: powers of two as units of the variables, up to rounding.

    It claims to see the units where the gradient falls as the sizes of x rise; so the start has every
    variable away from zero, and the units differ. The first points of both runs are compared, before
    rounding has grown.
    """
    units = 2.0 ** np.array(exponents)
    rng = np.random.default_rng(seed)
    inner = rng.uniform(0.8, 1.2, 4)

    def fun(x):
        return float(np.sum(inner * (x - 1.0) ** 4) + np.sum((x - 1.0) ** 2) + (x[0] - x[1]) ** 2)

    def jac(x, to):
        g = 4.0 * inner * (x - 1.0) ** 3 + 2.0 * (x - 1.0)
        g[0] += 2.0 * (x[0] - x[1])
        g[1] -= 2.0 * (x[0] - x[1])
        return g / to(np.ones(4))

    spread = 8.0 ** np.array([2, 1, -1, -2.0])  # sizes of x and of g go opposite ways in either run
    start = np.full(4, 3.0)
    first = 1.0 / spread
    runs = [
        paths(fun, jac, start, lambda x, u=u: x * u, lambda z, u=u: z / u, {
            "convex_method": method, "precondition": "auto", "maxfun": 8, "gtol": 1e-9
        })[1]
        for u in (first, first * units)
    ]  # fmt: skip
    if len(set(exponents)) == 1 or not sized(first * units, start, fun, jac):
        return
    count = min(len(runs[0]), len(runs[1]), 6)
    np.testing.assert_allclose(runs[1][:count], runs[0][:count], rtol=1e-6, atol=1e-9)


def sized(units, start, fun, jac):
    """Whether sizes show in the changed variables."""
    from twophase_min.phases.metric import typical_sizes

    return typical_sizes(start * units, jac(start, lambda x: x * units)) is not None
