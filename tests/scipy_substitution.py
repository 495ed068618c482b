"""A pytest plugin: SciPy's own tests call our method wherever they ask for 'CG' or 'BFGS', or for none.

Used by ``test_scipy_suite.py`` in a process of its own: ``python -m pytest -p tests.scipy_substitution ...``.
"""

import os

import scipy.optimize
from scipy.optimize import _minimize, _optimize

import twophase_min
import twophase_min._scipy_methods
import twophase_min.phases.scipy  # those that use SciPy's minimize themselves: before that name is replaced

_original = scipy.optimize.minimize
_ours = twophase_min.minimize
calls = {"substituted": 0}


def substitute(
    fun, x0, args=(), method=None, jac=None, hess=None, hessp=None, bounds=None, constraints=(), **rest
):
    """Hand 'CG', 'BFGS' and SciPy's unconstrained default to the two-phase method."""
    free = bounds is None and len(constraints) == 0
    ours = method is None or (isinstance(method, str) and method.lower() in ("cg", "bfgs"))
    if free and ours:
        calls["substituted"] += 1
        return _ours(fun, x0, args, "twophase", jac, **rest)
    return _original(fun, x0, args, method, jac, hess, hessp, bounds, constraints, **rest)


def pytest_configure(config):
    """Replace the name wherever the tests and the global solvers look it up."""
    scipy.optimize.minimize = substitute
    _minimize.minimize = substitute
    _optimize.minimize = substitute
    import scipy.optimize._basinhopping as basinhopping

    for module in (basinhopping,):
        if getattr(module, "minimize", None) is _original:
            module.minimize = substitute


def pytest_terminal_summary(terminalreporter):
    """Say how many calls went to ours, so that an empty substitution cannot pass for a success."""
    terminalreporter.write_line(f"substituted calls: {calls['substituted']}")


def pytest_collection_modifyitems(config, items):
    """Keep only the tests that the file named by SUBSTITUTION_KEEP lists."""
    listed = os.environ.get("SUBSTITUTION_KEEP")
    if not listed:
        return
    with open(listed) as lines:
        keep = {line.strip() for line in lines}
    items[:] = [item for item in items if item.nodeid.split("::", 1)[1] in keep]
