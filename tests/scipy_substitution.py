"""A pytest plugin: SciPy's own tests call our method wherever they ask for 'CG' or 'BFGS', or for none.

Used by ``test_scipy_suite.py`` in a process of its own: ``python -m pytest -p tests.scipy_substitution ...``.
With SUBSTITUTION_BOUNDS set (by ``test_scipy_bounds.py``) they do so where they ask for 'L-BFGS-B'
or 'TNC', or for bounds and no method; so do fmin_l_bfgs_b, fmin_tnc and the global solvers.
"""

import os
import sys

import scipy.optimize
from scipy.optimize import _minimize, _optimize

import twophase_min
import twophase_min._scipy_methods
import twophase_min.phases.scipy  # those that use SciPy's minimize themselves: before that name is replaced

BOUNDS = bool(os.environ.get("SUBSTITUTION_BOUNDS"))
METHODS = ("l-bfgs-b", "tnc") if BOUNDS else ("cg", "bfgs")
TNC_GTOL = 1e-2 * sys.float_info.epsilon**0.25
"""The gradient tolerance of SciPy's TNC unless another is given."""
_original = scipy.optimize.minimize
_ours = twophase_min.minimize
calls = {"substituted": 0}


def substitute(
    fun, x0, args=(), method=None, jac=None, hess=None, hessp=None, bounds=None, constraints=(), **rest
):
    """Hand 'CG' and 'BFGS', or 'L-BFGS-B' and 'TNC', and SciPy's default to the two-phase method."""
    free = constraints is None or (isinstance(constraints, (tuple, list)) and len(constraints) == 0)
    default = method is None and (bounds is not None) == BOUNDS
    ours = default or (isinstance(method, str) and method.lower() in METHODS)
    if free and ours and (BOUNDS or bounds is None):
        calls["substituted"] += 1
        if isinstance(method, str) and method.lower() == "tnc" and rest.get("tol") is None:
            rest["options"] = {"gtol": TNC_GTOL, **(rest.get("options") or {})}
        return _ours(fun, x0, args, "twophase", jac, bounds=bounds, **rest)
    return _original(fun, x0, args, method, jac, hess, hessp, bounds, constraints, **rest)


def _run(method, fun, x0, fprime, args, approx_grad, bounds, callback, options):
    """Call ours with what the functions take in place of `minimize`'s ``jac`` and ``options``."""
    jac = None if approx_grad else fprime or True
    given = {key: value for key, value in options.items() if value is not None}
    return substitute(fun, x0, args, method, jac, bounds=bounds, callback=callback, options=given)


def fmin_l_bfgs_b(
    func, x0, fprime=None, args=(), approx_grad=0, bounds=None, callback=None, maxfun=None, maxiter=None
):
    """Answer as SciPy's function of that name."""
    options = {"maxfun": maxfun, "maxiter": maxiter}
    result = _run("l-bfgs-b", func, x0, fprime, args, approx_grad, bounds, callback, options)
    told = {"warnflag": 0 if result.success else 1, "task": result.message, "grad": result.jac}
    return result.x, result.fun, {**told, "funcalls": result.nfev, "nit": result.nit}


def fmin_tnc(
    func, x0, fprime=None, args=(), approx_grad=0, bounds=None, messages=0, maxfun=None, callback=None
):
    """Answer as SciPy's function of that name."""
    result = _run("tnc", func, x0, fprime, args, approx_grad, bounds, callback, {"maxfun": maxfun})
    return result.x, result.nfev, 1 if result.success else 3


def pytest_configure(config):
    """Replace the names wherever the tests and the global solvers look them up."""
    import scipy.optimize._basinhopping as basinhopping
    import scipy.optimize._differentialevolution as evolution
    import scipy.optimize._dual_annealing as annealing
    import scipy.optimize._shgo as shgo

    globals_with_bounds = (evolution, annealing, shgo) if BOUNDS else ()
    for module in (scipy.optimize, _minimize, _optimize, basinhopping, *globals_with_bounds):
        if getattr(module, "minimize", None) is _original:
            module.minimize = substitute
    if BOUNDS:
        scipy.optimize.fmin_l_bfgs_b = fmin_l_bfgs_b
        scipy.optimize.fmin_tnc = fmin_tnc


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
