"""Hypothesis strategies for problems whose minimum is known by construction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twophase_min.problems import (
    Problem,
    convex_quadratic,
    paper_example_1,
    paper_example_2,
    smooth_nonconvex,
)

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

_SEED = 2**32 - 1


def _strategies() -> Any:
    try:
        from hypothesis import strategies
    except ImportError as error:
        raise ImportError(
            "the strategies of twophase_min.testing need hypothesis: pip install twophase_min[testing]"
        ) from error
    return strategies


def _check_range(min_n: int, max_n: int, max_condition: float) -> None:
    if not 1 <= min_n <= max_n:
        raise ValueError(f"1 <= min_n <= max_n is needed, got {min_n} and {max_n}")
    if not (math.isfinite(max_condition) and max_condition >= 1.0):
        raise ValueError(f"max_condition must be finite and at least 1, got {max_condition}")


def convex_quadratics(min_n: int = 1, max_n: int = 10, max_condition: float = 1e4) -> SearchStrategy[Problem]:
    """Strategy for strictly convex quadratics of known condition number and minimum.

    Parameters
    ----------
    min_n, max_n : int, default: 1 and 10
        Range of the number of variables.
    max_condition : float, default: 1e4
        Largest condition number; drawn log-uniformly from 1, and exact by construction.

    Returns
    -------
    hypothesis.strategies.SearchStrategy of Problem
        From :func:`twophase_min.problems.convex_quadratic`; shrinks to few variables, condition 1, seed 0.
        Known: the minimum, its value, that it is the only stationary point.

    Raises
    ------
    ValueError
        If a range is empty.
    ImportError
        If hypothesis is not installed.
    """
    st = _strategies()
    _check_range(min_n, max_n, max_condition)

    def build(n: int, exponent: float, seed: int, level: float) -> Problem:
        condition = max_condition**exponent if n > 1 else 1.0
        return convex_quadratic(n, condition, seed, f_min=level)

    found: SearchStrategy[Problem] = st.builds(
        build,
        st.integers(min_n, max_n),
        st.floats(0.0, 1.0),
        st.integers(0, _SEED),
        st.sampled_from([0.0, 1.0, -10.0]),
    )
    return found


def nonconvex_problems(
    min_n: int = 1,
    max_n: int = 5,
    max_condition: float = 20.0,
    *,
    kinds: Sequence[str] = ("sine", "warp", "log"),
    unimodal: bool = True,
) -> SearchStrategy[Problem]:
    """Strategy for smooth, non-convex functions with a known global minimum.

    Parameters
    ----------
    min_n, max_n : int, default: 1 and 5
        Range of the number of variables.
    max_condition : float, default: 20.0
        Largest condition number of the Hessian at the minimum.
    kinds : sequence of {'sine', 'warp', 'log'}, default: all
        Constructions of :func:`twophase_min.problems.smooth_nonconvex`. 'warp' needs two variables, so it
        is not drawn with one.
    unimodal : bool, default: True
        True: the global minimum is the only stationary point, so a local method must find it. False: waves
        deep enough (bumps from 5 to 30) for further local minima, which are not listed; only 'sine' has
        them. The value and the unique minimiser of the global minimum are known in both cases.

    Returns
    -------
    hypothesis.strategies.SearchStrategy of Problem

    Raises
    ------
    ValueError
        If a range is empty, a kind is unknown, or no kind fits the other arguments.
    ImportError
        If hypothesis is not installed.
    """
    st = _strategies()
    _check_range(min_n, max_n, max_condition)
    unknown = sorted(set(kinds) - {"sine", "warp", "log"})
    if unknown:
        raise ValueError(f"unknown kinds {unknown}; there are 'sine', 'warp' and 'log'")
    usable = [kind for kind in kinds if (unimodal or kind == "sine") and (max_n > 1 or kind != "warp")]
    if not usable:
        raise ValueError(f"none of {tuple(kinds)} can be drawn with max_n={max_n}, unimodal={unimodal}")
    bumps = st.floats(1.2, 4.2) if unimodal else st.floats(5.0, 30.0)

    def build(kind: str, n: int, exponent: float, seed: int, depth: float) -> Problem:
        condition = max_condition**exponent if n > 1 else 1.0
        return smooth_nonconvex(n, kind, condition, seed, bumps=depth)

    def of_kind(kind: str) -> Any:
        sizes = st.integers(max(min_n, 2) if kind == "warp" else min_n, max_n)
        return st.builds(build, st.just(kind), sizes, st.floats(0.0, 1.0), st.integers(0, _SEED), bumps)

    found: SearchStrategy[Problem] = st.one_of([of_kind(kind) for kind in usable])
    return found


def paper_example_1_problems(units: int = 100) -> SearchStrategy[Problem]:
    """Strategy for random tasks of the paper's first example that have a solution.

    Parameters
    ----------
    units : int, default: 100
        Number of inputs.

    Returns
    -------
    hypothesis.strategies.SearchStrategy of Problem
        From :func:`twophase_min.problems.paper_example_1`: ``x_min`` and ``more_minima`` have loss 0, and
        from the start to ``x_min`` the loss falls strictly; other stationary points elsewhere are possible
        and not listed.

    Raises
    ------
    ImportError
        If hypothesis is not installed.
    """
    st = _strategies()
    tasks = st.integers(0, _SEED).map(lambda seed: paper_example_1(seed, units))
    found: SearchStrategy[Problem] = tasks.filter(lambda problem: problem.x_min is not None)
    return found


def paper_example_2_problems(
    min_C: float = 0.40, max_C: float = 0.60, *, left: float = -2.0, right: float = 2.0
) -> SearchStrategy[Problem]:
    """Strategy for the paper's second example over C, r in [0.05, 0.15] and the start.

    Parameters
    ----------
    min_C, max_C : float, default: 0.40 and 0.60
        Range of C. Up to 1/2 the only local minimum is the global one; above, there are others.
    left, right : float, default: -2.0 and 2.0
        Range of the start.

    Returns
    -------
    hypothesis.strategies.SearchStrategy of Problem
        From :func:`twophase_min.problems.paper_example_2`; all solutions of loss 0 are listed, other local
        minima are found by :func:`twophase_min.problems.landscape`.

    Raises
    ------
    ValueError
        If a range is empty, or max_C is above 0.6, where a solution need not exist.
    ImportError
        If hypothesis is not installed.
    """
    st = _strategies()
    if not (0.0 <= min_C <= max_C <= 0.6 and left <= right):
        raise ValueError("0 <= min_C <= max_C <= 0.6 and left <= right are needed")
    levels = st.floats(min_C, max_C), st.floats(0.05, 0.15)
    found: SearchStrategy[Problem] = st.builds(paper_example_2, *levels, st.floats(left, right))
    return found
