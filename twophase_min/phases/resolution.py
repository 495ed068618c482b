"""Whether x takes a step: what its rounding leaves of a short one.

A step can be so short that variables stand still. Those of them to which the slope is due then bring nothing,
and the others lead the step nowhere, however often it is repeated.
"""

from __future__ import annotations

import math

import numpy as np

from twophase_min.jit.compilation import jit
from twophase_min.jit.kernels import norm_inf

SHORT = 64.0
"""A learning rate above so many times the spacing of the largest variable is taken for granted."""
KEPT = 0.5
"""Share of the decrease that the slope promises of a step which the step that x takes must promise."""


@jit(no_cpython_wrapper=True)
def takes(x, trial, g, promised):
    """Whether the step from x to the trial, as rounded, promises half of what the step promised as meant.

    Parameters
    ----------
    x, trial, g : ndarray, shape (n,)
        Iterate, trial, and the gradient at the iterate.
    promised : float
        Slope along the step as it was meant, negative. Unit f.
    """
    kept = 0.0
    for i in range(x.size):
        kept += (np.float64(trial[i]) - np.float64(x[i])) * np.float64(g[i])
    return kept <= KEPT * promised


@jit(no_cpython_wrapper=True)
def takes_adam(x, trial, g, m, v, adam):
    """Return the same of Adam's step to the trial, by the moments (m, v) and scalars that it was made with.

    True as well where momentum leads uphill, and for the first step, which a probe judges by its value.
    """
    eps = 2.0**-52 if x.itemsize == 8 else 2.0**-23
    if adam.t <= 1 or adam.rate >= SHORT * eps * norm_inf(x):
        return True
    rate, root = adam.rate / (1.0 - adam.beta1**adam.t), 1.0 / math.sqrt(1.0 - adam.beta2**adam.t)
    promised = 0.0
    for i in range(x.size):
        below = root * math.sqrt(v[i]) + adam.epsilon
        if below > 0.0:
            promised -= rate * m[i] / below * np.float64(g[i])
    return promised >= 0.0 or takes(x, trial, g, promised)
