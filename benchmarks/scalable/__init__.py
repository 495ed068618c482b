"""Scalable unconstrained test functions of the literature: values and gradients, vectorised, any dimension.

The names, starting points and formulas are those of the sources named in the modules; where a function is in
CUTEst, its form there is taken. They were written from the formulas.
"""

from . import andrei, chains, coupled, least_squares, luksan
from .registry import FUNCTIONS, Scalable, half

__all__ = ["FUNCTIONS", "Scalable", "andrei", "chains", "coupled", "half", "least_squares", "luksan"]
