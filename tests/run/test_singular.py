"""A value that falls towards a singularity is told from one that ends at a minimum."""

import numpy as np
import pytest

from twophase_min import Status
from twophase_min.run.singular import ENDS, towards_singularity

STEEPER = 10.0 ** np.arange(2, 12)


@pytest.mark.parametrize("status", sorted(set(Status)))
def test_ends_that_a_singularity_explains(status):
    said = towards_singularity(status, STEEPER, 1e11, 5.0, -9.0)
    assert ("fell from 5 to -9, the gradient's norm grew from 1e+02 to 1e+11" in said) == (status in ENDS)


def test_a_gradient_that_is_not_finite_there():
    said = towards_singularity(Status.NONFINITE, STEEPER, np.nan, 5.0, -9.0)
    assert "grew from 1e+02 to 1e+11" in said


@pytest.mark.parametrize(
    ("norms", "norm", "f"),
    [
        (STEEPER, 1e8, -9.0),  # not so much larger than at the start
        (STEEPER, 1e11, 5.0),  # no lower
        (STEEPER[:6], np.nan, -9.0),
        (np.r_[STEEPER, 1e14], 1e11, -9.0),  # much larger on the way: over a steep wall
        (np.array([]), 1e11, -9.0),
        (np.array([np.nan]), 1e11, -9.0),
    ],
)
def test_no_sign_of_a_singularity(norms, norm, f):
    assert towards_singularity(Status.PRECISION_LOSS, norms, norm, 5.0, f) == ""
