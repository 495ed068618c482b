"""The front door: SciPy's signature, and the choice between our method and SciPy's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from scipy.optimize import OptimizeResult

from twophase_min._scipy_methods import delegate
from twophase_min._twophase import run_twophase

METHOD = "twophase"
LABELLED = ("pandas", "xarray")
"""Packages whose vectors have labels."""


def minimize(
    fun: Callable[..., Any],
    x0: Any,
    args: Any = (),
    method: Any = METHOD,
    jac: Any = None,
    hess: Any = None,
    hessp: Any = None,
    bounds: Any = None,
    constraints: Any = (),
    tol: float | None = None,
    callback: Callable[..., Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> OptimizeResult:
    """Minimise a scalar function of one or more variables by the two-phase method.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args) -> float``, or ``(float, gradient)`` with ``jac=True``; or an object with
        ``value_and_gradient(x)``: a `FiniteSum`, the objective of an `MLP`; or, with ``jac=True``, a C
        function: a `scipy.LowLevelCallable` or ctypes function ``double f(double *x, double *g, int64_t n)``.
    x0 : array_like, shape (n,)
        Start. A scalar becomes shape (1,); integers and float16 become float64; float32 stays where the
        gradient is the caller's own (not autograd's, not by differences), else it becomes float64 too.
    args : tuple
        Further arguments of fun, jac, hess and hessp.
    method : str or callable, default 'twophase'
        Any name or callable that `scipy.optimize.minimize` knows is passed on to it, with the same
        gradient, callback forms and history.
    jac : callable, True, 'autograd', '2-point', '3-point', 'cs' or None
        Where the gradient comes from. None means autograd if it traces ``fun`` and its gradient agrees
        with a directional difference at x0, otherwise forward differences; ``result.gradient`` says
        which and why. For functions of JAX or PyTorch: `gradients.from_jax`, `gradients.from_torch`.
    hess, hessp : optional
        Hessian or its product with a vector; used by the convex methods 'Newton-CG', 'trust-ncg' and
        'trust-krylov' (autograd's product is used when none is given).
    bounds : sequence of (low, high) or `scipy.optimize.Bounds`, optional
        None and infinity are no limit; equal limits fix a variable. ``fun`` is never called outside, by
        differences neither, and a start outside is moved inside with an OptimizeWarning. Convergence reads
        the projected gradient, see docs/bounds.md. Bounds without limits, such as ``[(None, None)] * n``,
        are no bounds.
    constraints : optional
        Not handled by 'twophase': a RuntimeWarning says so.
    tol : float, optional
        Sets ``gtol``.
    callback : callable, optional
        ``callback(intermediate_result=OptimizeResult)`` or ``callback(xk)``, once an iteration, with copies.
        Raising StopIteration or returning True stops the run.
    options : mapping, optional
        See `TwoPhaseOptions`; an unknown name warns, and the warning says which one may be meant.
        ``{'resume': result.state}`` goes on with an earlier run of 'twophase' from where it stopped, under
        the present limits; ``{'checkpoint': path}`` keeps the state in a file while the run goes on, for a
        later process to resume (`save_state`, `load_state`, docs/checkpoints.md).

    Returns
    -------
    OptimizeResult
        SciPy's fields x, fun, jac, nit, nfev, njev, status, success, message, and

        - ``swaps``, ``phases``: the handovers with their reasons, and the stretches of one phase;
        - ``history``: a row an iteration (`History`), to pandas, CSV, JSON lines or a picture;
        - ``gradient``: where the gradient came from; ``seconds``: what the run took;
        - ``state``: what ``options={'resume': state}`` goes on from, a dictionary of arrays. Runs of the
          compiled loop (engine='numba') and of SciPy's methods by name have none;
        - ``active``, ``multipliers``, shape (n,), within bounds: -1 at a lower limit, 1 at an upper one, 0
          elsewhere; and the gradient where a limit holds a variable, 0 elsewhere;
        - ``hess_inv``, shape (n, n): where the run ends in a phase with a dense inverse Hessian of its own.

        ``print(result)`` shows a summary, a notebook also the picture. x is the best point seen, however
        the run ended. jac is NaN where the run ended before the gradient at x was asked for.

    Raises
    ------
    ValueError, TypeError
        For input that cannot be minimised over; the message states the remedy. Exceptions of ``fun``
        propagate unchanged, with the best point so far in their attribute ``optimize_result``
        (``options={'on_error': 'return'}`` returns it instead).

    References
    ----------
    T. Hrycej, B. Bermeitinger, M. Pavone, G.-H. Wiegand, S. Handschuh, "A Convexity-dependent Two-Phase
    Training Algorithm for Deep Neural Networks", KDIR 2025, arXiv:2510.25366.

    Examples
    --------
    >>> from scipy.optimize import rosen, rosen_der
    >>> from twophase_min import minimize
    >>> result = minimize(rosen, [-1.2, 1.0], jac=rosen_der)
    >>> result.success, [round(float(v), 4) for v in result.x]
    (True, [1.0, 1.0])
    """
    try:
        if method is None or (isinstance(method, str) and method.lower() == METHOD):
            return run_twophase(fun, x0, args, jac, hess, hessp, bounds, constraints, tol, callback, options)
        return delegate(fun, x0, args, method, jac, hess, hessp, bounds, constraints, tol, callback, options)
    except (LookupError, AttributeError) as error:
        if type(x0).__module__.startswith(LABELLED):
            error.add_note(
                "fun is called with a NumPy array, without the labels of x0: begin it with "
                f"x = {type(x0).__name__}(x, index=...), or take entries by their places."
            )
        raise
