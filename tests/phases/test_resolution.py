"""Whether x takes a step: by the decrease that the slope promises of what rounding leaves of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twophase_min.jit.compilation import jit
from twophase_min.phases.resolution import takes


@jit
def asked(x, trial, g, promised):
    return takes(x, trial, g, promised)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 8), digits=st.integers(1, 13))
def test_a_step_far_above_the_spacing_of_x_is_taken(seed, n, digits):
    """Property: along -g, a step of 10^-digits of x is taken, in every unit of x and f."""
    rng = np.random.default_rng(seed)
    x, g = 10.0 ** rng.uniform(-5, 5) * rng.uniform(1, 2, n), 10.0 ** rng.uniform(-5, 5) * rng.normal(size=n)
    step = -(10.0**-digits) * np.abs(x) * np.sign(g)
    assert asked(x, x + step, g, float(step @ g))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_step_that_the_variable_of_the_slope_does_not_take_is_none(dtype):
    eps = float(np.finfo(dtype).eps)
    x, g = np.array([1.0, eps], dtype), np.array([1.0, 0.1], dtype)
    step = np.array([-0.1 * eps, -0.1 * eps], dtype)
    trial = x + step
    assert trial[0] == x[0]
    assert trial[1] < x[1]
    assert not asked(x, trial, g, float(step @ g))
    steep = np.array([0.1, 1.0], dtype)  # the slope is due to the variable that moves
    assert asked(x, trial, steep, float(step @ steep))
