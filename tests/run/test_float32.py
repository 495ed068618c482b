"""An objective in float32: a run that ends at its rounding says so, and what float64 would bring."""

import re

import numpy as np
import pytest

from twophase_min import Status, minimize

SENTENCE = re.compile(
    r"float32\. Its rounding in float64 .* differ by (\S+) here, and would by (\S+); a gradient 23,170"
)
INPUTS = np.linspace(-1, 1, 60)
TARGETS = np.sin(3 * INPUTS)


def fitted(p):
    """Mean square of a network with 4 units, in the precision of p; the forms of float64 are its truth."""
    w, b, o = p.reshape(3, 4)
    hidden = np.tanh(INPUTS.astype(p.dtype)[:, None] * w + b)
    r = hidden @ o - TARGETS.astype(p.dtype)
    back = (2 / r.size) * r[:, None] * o * (1 - hidden * hidden)
    gradient = [INPUTS.astype(p.dtype) @ back, back.sum(axis=0), (2 / r.size) * (r @ hidden)]
    return np.mean(r * r), np.concatenate(gradient)


def run(fun, seed=0, **options):
    x0 = np.random.default_rng(seed).normal(size=12).astype(np.float32)
    return minimize(fun, x0, jac=True, options={"gtol": 0.0, **options})


@pytest.mark.parametrize("method", ["CG", "memory-cg", "ssbroyden", "bfgs"])
def test_a_run_that_ends_at_the_rounding_of_float32_says_so_with_its_size(method):
    """From six of seven starts at least; where a single run ends depends on how the machine rounds."""
    shares = []
    for seed in range(1, 8):
        result = run(fitted, seed, convex_method=method)
        assert result.status in (Status.WORKING_PRECISION, Status.PRECISION_LOSS)
        told = SENTENCE.search(result.message)
        if told is None:
            continue
        rng = np.random.default_rng(1)
        errors = []
        for _ in range(100):  # against the same formula in float64, the oracle
            x = (result.x * (1 + 1e-6 * rng.normal(size=12))).astype(np.float32)
            errors.append(float(fitted(x)[0]) - fitted(x.astype(float))[0])
        shares.append(float(told[1]) / np.std(errors))
        assert float(told[2]) == pytest.approx(float(told[1]) / 2**29, rel=0.5)
    assert len(shares) >= 6
    assert 0.2 < np.median(shares) < 30  # each is measured by six values


@pytest.mark.parametrize("seed", [1, 3])
def test_float64_brings_the_gradient_that_it_promises(seed):
    """It gets smaller than the rounding of float32 lets it, up to the factor that the message names.

    From these starts it arrives; others creep on along a flat valley until their iterations are spent.
    """
    short = run(fitted, seed, convex_method="ssbroyden")
    exact = minimize(
        fitted, short.x.astype(float), jac=True, options={"gtol": 0.0, "convex_method": "ssbroyden"}
    )
    assert "float32" not in exact.message
    at_end = np.linalg.norm(fitted(short.x.astype(float))[1])
    assert np.linalg.norm(exact.jac) < 1e-3 * at_end
    assert exact.fun < fitted(short.x.astype(float))[0]


def test_an_error_larger_than_the_rounding_is_not_put_down_to_float32():
    rng = np.random.default_rng(0)

    def noisy(x):
        f, g = fitted(x)
        return f + 1e-2 * rng.normal(), g

    result = run(noisy, convex_method="memory-cg")
    assert result.status in (Status.WORKING_PRECISION, Status.PRECISION_LOSS)
    assert "float32" not in result.message


def test_a_run_that_converges_in_float32_says_nothing_of_it():
    result = run(fitted, gtol=1e-3)
    assert result.status == Status.CONVERGED
    assert "float32" not in result.message


def test_a_loss_of_jax_in_float32_says_so_too():
    jax = pytest.importorskip("jax")
    from twophase_min.gradients import from_jax

    inputs = INPUTS.astype(np.float32)

    def loss(p):
        hidden = jax.numpy.tanh(inputs[:, None] * p["w"] + p["b"])
        return jax.numpy.mean((hidden @ p["o"] - TARGETS.astype(np.float32)) ** 2)

    rng = np.random.default_rng(0)
    adapted = from_jax(loss, {name: rng.normal(size=4).astype(np.float32) for name in "wbo"})
    result = minimize(adapted.fun, adapted.x0, jac=True, options={"gtol": 0.0, "convex_method": "memory-cg"})
    assert result.status in (Status.WORKING_PRECISION, Status.PRECISION_LOSS)
    assert SENTENCE.search(result.message), result.message
