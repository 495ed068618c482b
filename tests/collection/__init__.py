"""Test problems from the standard collections, beside those that the package brings along.

Each is a `twophase_min.problems.Problem`; the same names as there, and ``ALL`` and ``get`` over both.
"""

from __future__ import annotations

from typing import Any

from collection.classic import (
    beale,
    brown_badly_scaled,
    chained_rosenbrock,
    helical_valley,
    himmelblau,
    powell_singular,
    wood,
)
from collection.convex import log_sum_exp, logistic_regression
from collection.fits import exponential_decay, osborne_1
from collection.scalable import ackley, dixon_price, griewank, rastrigin, sparse_chain, styblinski_tang
from twophase_min import problems
from twophase_min.problems import *  # noqa: F403
from twophase_min.problems import Problem

_OWN = (
    chained_rosenbrock,
    powell_singular,
    beale,
    wood,
    brown_badly_scaled,
    helical_valley,
    himmelblau,
    dixon_price,
    styblinski_tang,
    rastrigin,
    ackley,
    griewank,
    log_sum_exp,
    logistic_regression,
    exponential_decay,
    osborne_1,
    sparse_chain,
)

ALL = problems.ALL | {factory.__name__: factory for factory in _OWN}
"""Every factory by its name; each can be called without arguments."""


def get(name: str, **parameters: Any) -> Problem:
    """Build a problem by its name."""
    return ALL[name](**parameters)
