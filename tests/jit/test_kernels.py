"""Vector kernels against oracles written another way: extended precision, math.fsum, numpy.linalg."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from twophase_min.jit import kernels as K
from twophase_min.jit import threads as team
from twophase_min.jit.compilation import DISABLED, jit
from twophase_min.jit.threads import Pool

KINDS = [np.float64, np.float32]
DEFAULTS = (1e-3, 0.9, 0.999, 1e-8)


def vectors(kind, size, count, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(size).astype(kind) for _ in range(count)]


def finite(kind, bound, **size):
    width = 64 if kind is np.float64 else 32
    return hnp.arrays(
        kind, hnp.array_shapes(max_dims=1, **size), elements=st.floats(-bound, bound, width=width)
    )


def adam_oracle(gradients, x, lr, beta1, beta2, epsilon):
    """Algorithm 1 of Kingma & Ba line by line in extended precision, with the two bias-corrected vectors."""
    wide = np.longdouble
    x = x.astype(wide)
    lr, beta1, beta2, epsilon = map(wide, (lr, beta1, beta2, epsilon))
    m, v = np.zeros_like(x), np.zeros_like(x)
    for t, g in enumerate(gradients, 1):
        m = beta1 * m + (1 - beta1) * g.astype(wide)
        v = beta2 * v + (1 - beta2) * g.astype(wide) ** 2
        m_hat = m / (1 - beta1 ** wide(t))
        v_hat = v / (1 - beta2 ** wide(t))
        x = x - lr * m_hat / (np.sqrt(v_hat) + epsilon)
    return x, m, v


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 7, 8, 33, 1000])
@pytest.mark.parametrize("settings", [DEFAULTS, (0.3, 0.0, 0.5, 1e-3), (1e-2, 0.95, 0.9, 0.0)])
def test_adam_follows_the_published_algorithm(kind, size, settings):
    x, *gradients = vectors(kind, size, 13)
    got, m, v = x.copy(), np.zeros_like(x), np.zeros_like(x)
    for t, g in enumerate(gradients, 1):
        K.adam_step(got, m, v, g, t, *settings)
    want_x, want_m, want_v = adam_oracle(gradients, x, *settings)
    eps = np.finfo(kind).eps
    reach = np.abs(x) + len(gradients) * settings[0]
    assert got.dtype == m.dtype == v.dtype == kind
    assert np.all(np.abs(got - want_x) <= 40 * eps * reach)
    assert np.all(np.abs(m - want_m) <= 20 * eps * np.max(np.abs(gradients), axis=0))
    assert np.all(np.abs(v - want_v) <= 40 * eps * np.max(np.abs(gradients), axis=0) ** 2)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)  # the first example may compile
@given(data=st.data())
def test_first_adam_step_is_the_learning_rate_against_the_sign(kind, data):
    """With epsilon = 0 the first step is lr * sign(g), however large or small the gradient is."""
    g = data.draw(finite(kind, 1e9, min_side=1, max_side=40))
    g[np.abs(g) < 1e-9] = 0
    x, m, v = np.zeros_like(g), np.zeros_like(g), np.zeros_like(g)
    K.adam_step(x, m, v, g, 1, 0.25, 0.9, 0.999, 0.0)
    np.testing.assert_allclose(x, -0.25 * np.sign(g), rtol=8 * np.finfo(kind).eps, atol=0)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)  # the first example may compile
@given(data=st.data())
def test_adam_is_permutation_equivariant(kind, data):
    """Permuting the coordinates before or after a step gives the same, bit for bit."""
    g = data.draw(finite(kind, 1e6, min_side=1, max_side=70))
    order = np.array(data.draw(st.permutations(range(g.size))))
    x, m, noise = vectors(kind, g.size, 3)
    state = [x, m, noise**2]
    moved = [array[order] for array in state]
    K.adam_step(*state, g, 3, *DEFAULTS)
    K.adam_step(*moved, g[order], 3, *DEFAULTS)
    for array, other in zip(state, moved, strict=True):
        np.testing.assert_array_equal(array[order], other)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)  # the first example may compile
@given(data=st.data())
def test_adam_keeps_what_is_not_finite_where_it_is(kind, data):
    """A NaN or infinite gradient makes its own coordinate of x NaN, and changes no other coordinate."""
    size = data.draw(st.integers(1, 70))
    bad = data.draw(st.sets(st.integers(0, size - 1), min_size=1))
    value = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    x, m, noise, g = vectors(kind, size, 4)
    clean = [x.copy(), m.copy(), noise**2]
    dirty = [x.copy(), m.copy(), noise**2]
    spoilt = g.copy()
    spoilt[list(bad)] = value
    K.adam_step(*clean, g, 2, *DEFAULTS)
    K.adam_step(*dirty, spoilt, 2, *DEFAULTS)
    hit = np.isin(np.arange(size), list(bad))
    assert np.all(np.isnan(dirty[0][hit]))
    assert not np.any(np.isfinite(dirty[1][hit]) | np.isfinite(dirty[2][hit]))
    for array, other in zip(clean, dirty, strict=True):
        np.testing.assert_array_equal(array[~hit], other[~hit])


def test_adam_without_epsilon_leaves_a_coordinate_without_gradient_alone():
    x, m, v = np.array([1.0, 1.0]), np.zeros(2), np.zeros(2)
    for t in (1, 2, 3):
        K.adam_step(x, m, v, np.array([0.0, 1.0]), t, 0.1, 0.9, 0.999, 0.0)
    np.testing.assert_allclose(x, [1.0, 0.7], rtol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_give_the_serial_step_bit_for_bit(kind, threads, monkeypatch):
    monkeypatch.setattr(K, "THREADED_FROM", 0)
    monkeypatch.setattr(K, "_CHUNK", 64)
    team = Pool(threads)
    monkeypatch.setattr(K, "pool", lambda: team)
    for size in (1, 63, 64, 65, 2003):
        x, m, noise, g = vectors(kind, size, 4)
        serial, shared = [x.copy(), m.copy(), noise**2], [x.copy(), m.copy(), noise**2]
        for t in (1, 2, 3):
            K.adam_serial(*serial, g, t, *DEFAULTS)
            K.adam_step(*shared, g, t, *DEFAULTS)
        for array, other in zip(serial, shared, strict=True):
            np.testing.assert_array_equal(array, other)


def test_adam_can_be_called_from_compiled_code():
    @jit(cache=False)
    def three_steps(x, m, v, g):
        for t in range(1, 4):
            K.adam_step(x, m, v, g, t, 1e-3, 0.9, 0.999, 1e-8)

    x, g = vectors(np.float64, 50, 2)
    inside, outside = x.copy(), x.copy()
    three_steps(inside, np.zeros(50), np.zeros(50), g)
    m, v = np.zeros(50), np.zeros(50)
    for t in range(1, 4):
        K.adam_step(outside, m, v, g, t, *DEFAULTS)
    np.testing.assert_allclose(inside, outside, rtol=1e-14)  # the compiler may contract within the loop


def every_kernel():
    """Result of each kernel on the same vectors, by name."""
    results = {}
    for kind in KINDS:
        a, b, c, d = vectors(kind, 200, 4)
        for name in ("dot", "two_dots", "norm_inf", "norm_neg_inf", "norm2", "all_finite"):
            count = {"dot": 2, "two_dots": 3}.get(name, 1)
            results[f"{name} {kind.__name__}"] = np.atleast_1d(getattr(K, name)(*(a, b, c)[:count]))
        for name, args in [
            ("adam_step", (a, b, c**2, d, 4, *DEFAULTS)),
            ("axpy", (0.3, a, b)),
            ("axpby", (0.3, a, -2.0, b)),
            ("combine", (0.3, a, -2.0, b, c)),
            ("trial_point", (a, 0.3, b, c)),
            ("axpy_dot", (0.3, a, b, c)),
            ("difference_dots", (a, b, c, d)),
        ]:
            own = [np.copy(v) if isinstance(v, np.ndarray) else v for v in args]
            value = getattr(K, name)(*own)
            arrays = [v for v in own if isinstance(v, np.ndarray)]
            results[f"{name} {kind.__name__}"] = np.concatenate([*arrays, np.atleast_1d(value or 0.0)])
    return results


def test_compiled_equals_plain_python_to_rounding(tmp_path):
    """The other mode runs in a process of its own, as it is chosen by the environment."""
    code = f"import runpy, numpy; numpy.savez('other.npz', **runpy.run_path({__file__!r})['every_kernel']())"
    path = os.pathsep.join([str(Path(K.__file__).parents[2]), *sys.path])
    environment = {**os.environ, "TWOPHASE_DISABLE_JIT": "0" if DISABLED else "1", "PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    mine, other = every_kernel(), np.load(tmp_path / "other.npz")
    assert mine.keys() == set(other.files)
    for name, value in mine.items():
        eps = np.finfo(name.split()[1]).eps
        np.testing.assert_allclose(value, other[name], rtol=1e3 * eps, atol=100 * eps, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [0, 1, 9, 500, 2 * K.BLOCK + 17])
def test_dots_agree_with_exact_sums(kind, size):
    if DISABLED:
        size = min(size, 500)
    a, b, c = vectors(kind, size, 3)
    wide = [v.astype(float) for v in (a, b, c)]
    exact = [math.fsum(wide[i] * wide[j]) for i, j in ((0, 1), (0, 2), (0, 0))]
    bound = 2 * np.finfo(float).eps * (1 + 0.02 * size)
    sizes = [float(np.abs(wide[i]) @ np.abs(wide[j])) for i, j in ((0, 1), (0, 2), (0, 0))]
    got = [K.dot(a, b), *K.two_dots(a, b, c)]
    assert abs(got[0] - exact[0]) <= bound * sizes[0]
    assert abs(got[1] - exact[0]) <= bound * sizes[0]
    assert abs(got[2] - exact[1]) <= bound * sizes[1]
    y = b.copy()
    assert abs(K.axpy_dot(0.5, a, y, c) - math.fsum(y.astype(float) * wide[2])) <= bound * (sizes[0] + size)
    np.testing.assert_allclose(y, b + kind(0.5) * a, rtol=0, atol=4 * np.finfo(kind).eps)
    out = np.empty_like(a)
    square, cross = K.difference_dots(a, b, c, out)
    np.testing.assert_array_equal(out, a - b)
    assert square == pytest.approx(math.fsum(out.astype(float) ** 2), rel=bound)
    assert abs(cross - math.fsum(out.astype(float) * wide[2])) <= bound * (size + 4 * sizes[1])


@pytest.mark.parametrize("kind", KINDS)
def test_passes_in_place_allow_the_vector_to_be_its_own_result(kind):
    x, p = vectors(kind, 77, 2)
    eps = 8 * np.finfo(kind).eps
    expected = 0.5 * x.astype(float) - 2 * p.astype(float)
    for run in (lambda u, w: K.axpby(0.5, u, -2.0, w), lambda u, w: K.combine(0.5, u, -2.0, w, w)):
        out = p.copy()
        run(x, out)
        np.testing.assert_allclose(out, expected, rtol=0, atol=eps)
    out = x.copy()
    K.trial_point(out, -0.5, p, out)
    np.testing.assert_allclose(out, x - 0.5 * p.astype(float), rtol=0, atol=eps)
    y = p.copy()
    assert K.axpy_dot(1.0, x, y, y) == pytest.approx(float(np.sum((x + p).astype(float) ** 2)), rel=1e-6)


def test_a_norm_beyond_the_largest_float_is_infinite():
    assert K.norm2(np.full(25, 3.6e307)) == math.inf
    assert K.norm2(np.full(16, 3.6e307)) == pytest.approx(1.44e308)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)  # the first example may compile
@given(data=st.data())
def test_norms_agree_with_numpy_on_any_numbers(kind, data):
    """For any floats, NaN, infinity, subnormal and empty included, norms are those of extended precision."""
    width = 64 if kind is np.float64 else 32
    x = data.draw(hnp.arrays(kind, st.integers(0, 40), elements=st.floats(width=width)))
    wide = x.astype(np.longdouble)
    with np.errstate(all="ignore"):
        euclid = np.float64(np.sqrt(np.sum(wide**2)))
    np.testing.assert_allclose(K.norm2(x), euclid, rtol=1e-14)
    np.testing.assert_array_equal(K.norm_inf(x), np.abs(x).max(initial=0.0))
    np.testing.assert_array_equal(K.norm_neg_inf(x), np.abs(x).min(initial=np.inf))
    assert K.all_finite(x) == bool(np.isfinite(x).all())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [0, 5, 300])
def test_sums_and_passes_keep_nan_and_infinity(kind, value, where):
    a, b, c = vectors(kind, 301, 3)
    b, c = np.abs(b) + 1, np.abs(c) + 1
    a[where] = value
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(K.dot(a, b), value)
        np.testing.assert_array_equal(K.two_dots(b, a, c)[0], value)
        out = np.empty_like(a)
        np.testing.assert_array_equal(K.difference_dots(a, b, c, out)[1], value)
        np.testing.assert_array_equal(out[where], value)
        y = b.copy()
        np.testing.assert_array_equal(K.axpy_dot(1.0, a, y, c), value)
        np.testing.assert_array_equal(y[where], value)
        # Infinities of both signs must leave NaN, in whatever order they are added.
        a[(where + 1) % 301] = -value
        assert math.isnan(K.dot(a, b))
    assert not K.all_finite(a)


@pytest.mark.parametrize("kind", KINDS)
def test_a_late_nan_is_found_behind_full_blocks(kind):
    x = np.ones(K.BLOCK + 3, kind)
    assert K.all_finite(x)
    x[-1] = np.nan
    assert not K.all_finite(x)
    assert math.isnan(K.norm_inf(x))


def test_pool_runs_every_chunk_once_from_several_callers():
    pool = Pool(3)

    def call(results):
        for _ in range(50):
            marks = np.zeros(17, int)

            def work(k, marks=marks):
                marks[k] += 1

            pool.run(work, 17)
            results.append(bool(np.all(marks == 1)))

    results: list[bool] = []
    callers = [threading.Thread(target=call, args=(results,)) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert len(results) == 200
    assert all(results)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="threads cannot be told their cores here")
def test_helpers_keep_off_the_core_of_the_caller(monkeypatch):
    """On every other core of the caller's, whichever that is; where it has one core alone, on that one."""
    pool, seen = Pool(2), []
    helper = pool._helpers.submit(threading.get_native_id).result()
    cores = os.sched_getaffinity(0)
    for core in (min(cores), max(cores), min(cores)):
        monkeypatch.setattr(team, "_core", lambda core=core: core)
        pool.run(seen.append, 2)
        assert os.sched_getaffinity(helper) == (cores - {core} or cores)
    assert len(seen) == 6


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_pool_raises_what_a_chunk_raises_and_stays_usable(kind):
    pool = Pool(2)

    def work(k):
        if k == 3:
            raise kind("chunk")

    for _ in range(20):
        with pytest.raises(kind, match="chunk"):
            pool.run(work, 8)
    done = []
    pool.run(done.append, 8)
    assert sorted(done) == list(range(8))
