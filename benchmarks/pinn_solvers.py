"""The contenders of `pinn.py`, and the objective that counts for them.

A call returns value and gradient together and costs one evaluation, whoever makes it. A request at the point
of the last call is free for everybody. Each contender is a function of the objective, the start and settings;
it runs until the budget is used up or it can do no more. Adam hands over its best point.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray

CHUNK = 500
"""Iterations after which the published loop tests H and begins anew with it."""


SWEPT_STEPS = (1, 10, 100, 300, 1000)
SWEPT_RULES = ("norm-peak", "norm-peak-median", "path-curvature", "norm-against-loss")
"""Where `'ssbroyden'` takes over from Adam in the sweep: after so many steps, or where a rule says so."""


class Exhausted(Exception):
    """Raised inside a contender that asks for one evaluation too many."""


class Counted:
    """Value and gradient, counted and recorded.

    Parameters
    ----------
    both : callable
        ``both(x) -> (value, gradient)``.
    budget : int
        Calls allowed.

    Attributes
    ----------
    trace : list of (int, float, float, float)
        Calls, processor seconds, value, and norm of the gradient, at each new lowest value.
    """

    def __init__(self, both: Callable[[Array], tuple[float, Array]], budget: int):
        self._both = both
        self.budget = budget
        self.calls = 0
        self.began = time.process_time()
        self.trace: list[tuple[int, float, float, float]] = []
        self.best = math.inf
        self.best_x = np.zeros(0)
        self._last: tuple[Array, float, Array] | None = None

    @property
    def seconds(self) -> float:
        """Processor seconds since the beginning."""
        return time.process_time() - self.began

    def both(self, x: Any) -> tuple[float, Array]:
        """Value and gradient at x."""
        x = np.array(x)
        if self._last is None or not np.array_equal(x, self._last[0]):
            if self.calls >= self.budget:
                raise Exhausted
            self.calls += 1
            f, g = self._both(x)
            self._last = x, f, g
            self.note(x, f, float(np.linalg.norm(g)))
        return self._last[1], self._last[2].copy()

    def note(self, x: Array, f: float, norm: float) -> None:
        """Record a value if it is the lowest."""
        if f < self.best:
            self.best, self.best_x = f, x
            self.trace.append((self.calls, self.seconds, f, norm))

    def value(self, x: Any) -> float:
        """Value at x."""
        return self.both(x)[0]

    def gradient(self, x: Any) -> Array:
        """Gradient at x."""
        return self.both(x)[1]


Solver = Callable[..., None]


def adam(
    objective: Counted, x: Array, calls: float = math.inf, rate: float = 5e-3, cosine: bool = False
) -> Array:
    """Adam for so many calls (Kingma & Ba 2015); its best point. ``cosine`` lowers the rate to 0."""
    calls = min(calls, objective.budget)
    first, second = np.zeros_like(x), np.zeros_like(x)
    for t in range(1, int(calls) + 1):
        g = objective.gradient(x)
        first = 0.9 * first + 0.1 * g
        second = 0.999 * second + 0.001 * g * g
        step = rate * (0.5 * (1 + math.cos(math.pi * t / calls)) if cosine else 1.0)
        x = x - step * (first / (1 - 0.9**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
    return objective.best_x


def _first(objective: Counted, x0: Array, swap: float, rate: float) -> Array:
    """Adam for a share of the budget."""
    return adam(objective, x0, swap * objective.budget, rate) if swap else x0


def scipys(
    objective: Counted, x0: Array, method: str, swap: float = 0.0, rate: float = 5e-3, **options: Any
) -> None:
    """SciPy's method, begun anew where it has stopped for as long as that brings anything."""
    from scipy.optimize import minimize

    x = _first(objective, x0, swap, rate)
    before = math.nan
    while not objective.best >= before:
        before = objective.best
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            x = minimize(objective.both, x, jac=True, method=method, options={"gtol": 0.0, **options}).x


def lbfgsb(objective: Counted, x0: Array, memory: int, swap: float = 0.0, rate: float = 5e-3) -> None:
    """SciPy's L-BFGS-B."""
    scipys(
        objective, x0, "L-BFGS-B", swap, rate, maxcor=memory, ftol=0.0, maxfun=10**9, maxiter=10**9, maxls=50
    )


def published(
    objective: Counted,
    x0: Array,
    member: str = "ssbroyden2",
    initial_scale: bool = False,
    swap: float = 0.1,
    rate: float = 5e-3,
) -> None:
    """Self-scaled Broyden in the loop of SciPy's BFGS, with its line search: as it is used today.

    Urban, Stefanou & Pons, J. Comput. Phys. 523 (2025), in chunks of iterations between which H is kept if
    it is positive definite. `member` is 'ssbroyden1', 'ssbroyden2', 'ssbfgs' or 'bfgs'.
    """
    from scipy.optimize import _optimize as inner  # the line search of SciPy's BFGS, which has no public name

    x = _first(objective, x0, swap, rate)
    n = x.size
    H, fresh = np.eye(n), True
    while True:
        f, g = objective.both(x)
        before = f + np.linalg.norm(g) / 2
        moved = 0
        while moved < CHUNK:
            p = -(H @ g)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    alpha, _, _, f_new, before_new, g_new = inner._line_search_wolfe12(
                        objective.value, objective.gradient, x, p, g, f, before, amin=1e-100, amax=1e100
                    )
            except inner._LineSearchError:
                break
            s = alpha * p
            x = x + s
            y = (objective.gradient(x) if g_new is None else g_new) - g
            curvature = float(y @ s)
            if curvature > 0 and math.isfinite(curvature):
                H = _updated(H, s, y, -alpha * float(s @ g) / curvature, member, initial_scale and fresh)
                fresh = False
            f, before, g = f_new, before_new, g + y
            moved += 1
        H = 0.5 * (H + H.T)
        if moved == 0 and fresh:
            return
        if moved == 0 or not _definite(H):
            H, fresh = np.eye(n), True


def _definite(H: Array) -> bool:
    try:
        np.linalg.cholesky(H)
    except np.linalg.LinAlgError:
        return False
    return bool(np.all(np.isfinite(H)))


def _updated(H: Array, s: Array, y: Array, b: float, member: str, first: bool) -> Array:
    """Return the inverse Hessian after a step; b is s'Bs / s'y, ``first`` asks for the initial scaling."""
    rho = 1.0 / float(y @ s)
    if first and member in ("bfgs", "ssbfgs"):
        H = H / (rho * float(y @ y))
        b *= rho * float(y @ y)
    Hy = H @ y
    yHy = float(y @ Hy)
    phi, tau = 1.0, 1.0
    if member == "ssbfgs":
        tau = min(1.0, 1.0 / b)
    elif member != "bfgs":
        phi, tau = _broyden(b, rho * yHy, s.size, member, first)
    v = rho * s - Hy / yHy
    H = H - np.outer(Hy, Hy / yHy) + np.outer(phi * yHy * v, v)
    return H / tau + np.outer(rho * s, s)


def _broyden(b: float, h: float, n: int, member: str, first: bool) -> tuple[float, float]:
    """Return phi and tau of self-scaled Broyden, first or second choice of theta."""
    a = max(b * h - 1.0, 1e-16)
    c = math.sqrt(a / (1.0 + a))
    rho = min(1.0, h * (1.0 - c))
    lower = (rho - 1.0) / a
    if member == "ssbroyden1":
        upper = max(1.0, b * (1.0 + c))
        rank_one = 1.0 / (1.0 - b) if b != 1.0 else math.inf
        theta = max(lower, rank_one) if b > 1.0 else min(upper, rank_one) if b < 1.0 else lower
    else:
        theta = max(lower, min(1.0 / rho, (1.0 - b) / b))
    sigma = 1.0 + theta * a
    even = abs(sigma) ** (1.0 / (1.0 - n))
    short = min(1.0, 1.0 / b)
    tau = min(short * even, sigma) if theta <= 0.0 else short * min(even, 1.0 / theta)
    return (1.0 - theta) / sigma, h / sigma if first else tau


def torchs(objective: Counted, x0: Array, memory: int = 50, swap: float = 0.0, rate: float = 5e-3) -> None:
    """PyTorch's LBFGS with its strong Wolfe search; the values are those of everybody."""
    import torch

    x = torch.tensor(_first(objective, x0, swap, rate), requires_grad=True)
    before = math.nan
    while not objective.best >= before:
        before = objective.best
        method = torch.optim.LBFGS(
            [x], max_iter=10**9, max_eval=10**9, tolerance_grad=0.0, tolerance_change=0.0,
            history_size=memory, line_search_fn="strong_wolfe",
        )  # fmt: skip

        def closure() -> Any:
            f, g = objective.both(x.detach().numpy())
            x.grad = torch.from_numpy(g)
            return torch.tensor(f, dtype=x.dtype)

        method.step(closure)


def optaxs(objective: Counted, x0: Array, loss: Any, memory: int = 50, swap: float = 0.0) -> None:
    """Optax's L-BFGS with its zoom search, compiled as one step; it says how often it has evaluated."""
    import jax
    import optax

    x = jax.numpy.asarray(_first(objective, x0, swap, 5e-3))
    method = optax.lbfgs(memory_size=memory)
    value_and_grad = optax.value_and_grad_from_state(loss)

    @jax.jit
    def step(x: Any, state: Any) -> Any:
        f, g = value_and_grad(x, state=state)
        updates, state = method.update(g, state, x, value=f, grad=g, value_fn=loss)
        return optax.apply_updates(x, updates), state, f, jax.numpy.linalg.norm(g)

    state = method.init(x)
    step(x, state)  # compiled here
    objective.began += objective.seconds - (objective.trace[-1][1] if objective.trace else 0.0)
    objective.calls += 1
    while objective.calls <= objective.budget:
        at = x
        x, state, f, norm = step(x, state)
        objective.note(np.array(at), float(f), float(norm))
        spent = int(optax.tree_utils.tree_get(state, "num_linesearch_steps"))
        objective.calls += max(spent, 1)
        if not math.isfinite(float(f)) or bool(jax.numpy.all(x == at)):
            return
    objective.calls = objective.budget


def ours(objective: Counted, x0: Array, share: float | None = None, **options: Any) -> Any:
    """Two-phase; ``share`` is the swap as a share of the budget."""
    from twophase_min import minimize

    if share is not None:
        options["swap"] = max(1, round(share * objective.budget))
    given = {"gtol": 0.0, "maxiter": 10**9, "maxfun": objective.budget - objective.calls, **options}
    return minimize(objective.both, x0, jac=True, options=given)


def contenders() -> dict[str, tuple[Solver, dict[str, Any]]]:
    """Return all contenders by their names."""
    shares = {"10 %": 0.1, "30 %": 0.3, "60 %": 0.6}
    all_of: dict[str, tuple[Solver, dict[str, Any]]] = {}
    for rate in (1e-3, 3e-3, 1e-2):
        all_of[f"Adam, {rate:g}"] = adam, {"rate": rate}
        all_of[f"Adam, {rate:g}, cosine"] = adam, {"rate": rate, "cosine": True}
    for memory in (10, 50):
        all_of[f"L-BFGS-B, memory {memory}"] = lbfgsb, {"memory": memory}
        for name, swap in shares.items():
            all_of[f"Adam {name} + L-BFGS-B, memory {memory}"] = lbfgsb, {"memory": memory, "swap": swap}
    for name, swap in shares.items():
        slow = {"memory": 50, "swap": swap, "rate": 1e-3}
        all_of[f"Adam (0.001) {name} + L-BFGS-B, memory 50"] = lbfgsb, slow
    all_of["Adam 10 % + PyTorch LBFGS"] = torchs, {"swap": 0.1}
    all_of["PyTorch LBFGS"] = torchs, {}
    for memory in (10, 50):
        all_of[f"Optax L-BFGS, memory {memory}"] = optaxs, {"memory": memory}
    all_of["Adam 10 % + Optax L-BFGS, memory 50"] = optaxs, {"memory": 50, "swap": 0.1}
    all_of["Adam 10 % + SciPy BFGS"] = scipys, {"method": "BFGS", "swap": 0.1, "maxiter": 10**9}
    for name in ("10 %", "30 %"):
        for scaled in (False, True):
            more = ", scaled" if scaled else ""
            settings = {"swap": shares[name], "initial_scale": scaled}
            all_of[f"Adam {name} + SciPy loop, bfgs{more}"] = published, {**settings, "member": "bfgs"}
            all_of[f"Adam {name} + SciPy loop, ssbroyden2{more}"] = published, settings
    all_of["Adam 10 % + SciPy loop, ssbroyden1"] = published, {"member": "ssbroyden1"}
    all_of["Adam (0.001) 10 % + SciPy loop, ssbroyden2"] = published, {"rate": 1e-3}
    all_of["SciPy loop, ssbroyden2, scaled"] = published, {"swap": 0.0, "initial_scale": True}
    for name in ("default", "memory-cg", "ssbroyden", "ssbfgs", "bfgs"):
        method = {} if name == "default" else {"convex_method": name}
        all_of[f"ours: {name}"] = ours, method
        all_of[f"ours: {name}, no guard"] = ours, {**method, "guard": False}
        for rule in ("norm-peak", "norm-against-loss"):
            named = {**method, "swap": rule}
            all_of[f"ours: {name}, {rule}"] = ours, named
            all_of[f"ours: {name}, {rule}, no guard"] = ours, {**named, "guard": False}
        for at, share in {"1": 0.0, "1 %": 0.01, **shares}.items():
            fixed = {**method, "share": share}
            all_of[f"ours: {name}, swap {at}"] = ours, fixed
            all_of[f"ours: {name}, swap {at}, no guard"] = ours, {**fixed, "guard": False}
            given = {**fixed, "learning_rate": 5e-3}
            all_of[f"ours: {name}, swap {at}, rate 0.005"] = ours, given
            all_of[f"ours: {name}, swap {at}, rate 0.005, no guard"] = ours, {**given, "guard": False}
    for more, memory in {"": {}, ", memory 50": {"convex_options": {"memory": 50}}}.items():
        limited = {"convex_method": "l-ssbroyden", **memory}
        all_of[f"ours: l-ssbroyden{more}"] = ours, limited
        all_of[f"ours: l-ssbroyden{more}, no guard"] = ours, {**limited, "guard": False}
    swept = {"convex_method": "ssbroyden", "guard": False}
    for rate, more in {"": {}, ", rate 0.005": {"learning_rate": 5e-3}}.items():
        for steps in SWEPT_STEPS:
            all_of[f"sweep: {steps} steps{rate}"] = ours, {**swept, **more, "swap": steps}
        for rule in SWEPT_RULES:
            all_of[f"sweep: {rule}{rate}"] = ours, {**swept, **more, "swap": rule}
    return all_of
