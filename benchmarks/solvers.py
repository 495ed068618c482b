"""Small compiled problems and the minimisers that `speed.py` times on them.

All start from one point and stop at one tolerance: the largest entry of the gradient is at most `GTOL`. SciPy
and we are handed the same two compiled functions, value and gradient; NLopt one that computes both, which is
its protocol. NLopt has no gradient test: its objective reports the norm and stops the run. Optimistix tests
steps and not gradients; how many of its fits pass the gradient test is counted like everybody's.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

GTOL = 1e-5
MOST = 2000
"""Iterations at most, for everybody; evaluations for NLopt."""
POINTS = 100
TRUTH = np.array([2.0, 1.0, 0.4, 2.5, 0.3])
"""Two amplitudes, their two rates, and the constant of the curve fits."""


class Compiled(NamedTuple):
    """An objective, its gradient, both in one, further arguments, and the start."""

    fun: Any
    jac: Any
    both: Any
    args: tuple[np.ndarray, ...]
    x0: np.ndarray


@functools.cache
def functions() -> dict[str, tuple[Any, Any, Any]]:
    """Compile lazily: value, gradient, and ``both(x, out, *args) -> (value, max norm of the gradient)``."""
    from numba import njit

    @njit
    def rosen(x):
        total = 0.0
        for i in range(x.size - 1):
            total += 100.0 * (x[i + 1] - x[i] * x[i]) ** 2 + (1.0 - x[i]) ** 2
        return total

    @njit
    def rosen_into(x, g):
        g[:] = 0.0
        total = 0.0
        for i in range(x.size - 1):
            r = x[i + 1] - x[i] * x[i]
            total += 100.0 * r * r + (1.0 - x[i]) ** 2
            g[i] += -400.0 * x[i] * r - 2.0 * (1.0 - x[i])
            g[i + 1] += 200.0 * r
        return total

    @njit
    def rosen_gradient(x):
        g = np.empty(x.size)
        rosen_into(x, g)
        return g

    @njit
    def rosen_both(x, g):
        return rosen_into(x, g), np.max(np.abs(g))

    @njit
    def fit(p, t, y):
        total = 0.0
        for k in range(t.size):
            r = p[0] * np.exp(-p[2] * t[k]) + p[1] * np.exp(-p[3] * t[k]) + p[4] - y[k]
            total += r * r
        return total / t.size

    @njit
    def fit_into(p, g, t, y):
        g[:] = 0.0
        total = 0.0
        scale = 2.0 / t.size
        for k in range(t.size):
            e1, e2 = np.exp(-p[2] * t[k]), np.exp(-p[3] * t[k])
            r = p[0] * e1 + p[1] * e2 + p[4] - y[k]
            total += r * r
            r *= scale
            g[0] += r * e1
            g[1] += r * e2
            g[2] -= r * p[0] * t[k] * e1
            g[3] -= r * p[1] * t[k] * e2
            g[4] += r
        return total / t.size

    @njit
    def fit_gradient(p, t, y):
        g = np.empty(p.size)
        fit_into(p, g, t, y)
        return g

    @njit
    def fit_both(p, g, t, y):
        return fit_into(p, g, t, y), np.max(np.abs(g))

    return {"rosen": (rosen, rosen_gradient, rosen_both), "fit": (fit, fit_gradient, fit_both)}


def curves(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return times (POINTS,), noisy curves (count, POINTS), starts (count, 5), seeded by 0 and the block."""
    t = np.linspace(0.0, 8.0, POINTS)
    y, starts = np.empty((count, POINTS)), np.empty((count, 5))
    block = 1000
    for k in range(0, count, block):
        rng = np.random.default_rng((0, k))
        p = TRUTH * rng.uniform(0.8, 1.25, (block, 5))
        clean = p[:, :1] * np.exp(-p[:, 2:3] * t) + p[:, 1:2] * np.exp(-p[:, 3:4] * t) + p[:, 4:]
        noisy = clean + 0.02 * rng.standard_normal(clean.shape)
        size = min(block, count - k)
        y[k : k + size] = noisy[:size]
        starts[k : k + size] = (TRUTH * rng.uniform(0.8, 1.25, (block, 5)))[:size]
    return t, y, starts


def problem(name: str) -> Compiled:
    """Return 'rosen2', 'rosen10', 'rosen100' (the classical start, repeated) or 'fit5' (the first curve)."""
    if name == "fit5":
        t, y, starts = curves(1)
        return Compiled(*functions()["fit"], (t, y[0]), starts[0])
    return Compiled(*functions()["rosen"], (), np.resize([-1.2, 1.0], int(name[5:])))


# ---- one problem: name -> a call that solves it and returns a dict of nfev, njev, fun, gmax


def _report(p: Compiled, x: np.ndarray, nfev: int, njev: int) -> dict[str, float]:
    return {
        "nfev": nfev,
        "njev": njev,
        "fun": float(p.fun(x, *p.args)),
        "gmax": float(np.max(np.abs(p.jac(x, *p.args)))),
    }


def tiny_scipy(method: str, **options: Any) -> Callable[[str], Callable[[], Any]]:
    def contender(name: str) -> Callable[[], Any]:
        from scipy.optimize import minimize

        p = problem(name)
        given = {"gtol": GTOL, "maxiter": MOST, **options}

        def call() -> Any:
            return minimize(p.fun, p.x0, p.args, jac=p.jac, method=method, options=given)

        call.report = lambda: (r := call()) and _report(p, r.x, r.nfev, r.njev)  # type: ignore[attr-defined]
        return call

    return contender


def nlopt_solve(p: Compiled, opt: Any) -> tuple[np.ndarray, int]:
    """One run of LD_LBFGS, stopped by its own objective where the gradient is small enough."""
    import nlopt

    both, args = p.both, p.args
    last = p.x0

    def objective(x: np.ndarray, g: np.ndarray) -> float:
        nonlocal last
        f, size = both(x, g, *args)
        if size <= GTOL:
            last = x.copy()
            opt.force_stop()
        return f

    opt.set_min_objective(objective)
    with contextlib.suppress(nlopt.ForcedStop, nlopt.RoundoffLimited, RuntimeError):
        last = opt.optimize(p.x0)
    return last, opt.get_numevals()


def tiny_nlopt(pairs: int) -> Callable[[str], Callable[[], Any]]:
    """Return a contender with so many pairs in memory; 0 leaves it to NLopt, which takes all it can get."""

    def contender(name: str) -> Callable[[], Any]:
        import nlopt

        p = problem(name)

        def call() -> Any:
            opt = nlopt.opt(nlopt.LD_LBFGS, p.x0.size)
            opt.set_maxeval(MOST)
            if pairs:
                opt.set_vector_storage(pairs)
            return nlopt_solve(p, opt)

        def report() -> dict[str, float]:
            x, count = call()
            return _report(p, x, count, count)

        call.report = report  # type: ignore[attr-defined]
        return call

    return contender


def tiny_ours(**options: Any) -> Callable[[str], Callable[[], Any]]:
    def contender(name: str) -> Callable[[], Any]:
        from twophase_min import minimize

        p = problem(name)
        given = {"gtol": GTOL, "maxiter": MOST, **options}

        def call() -> Any:
            return minimize(p.fun, p.x0, p.args, jac=p.jac, options=given)

        call.report = lambda: (r := call()) and _report(p, r.x, r.nfev, r.njev)  # type: ignore[attr-defined]
        return call

    return contender


COPIES = {"rosen2": 2000, "rosen10": 500, "rosen100": 20, "fit5": 1000}
"""Copies of a problem that `multistart` solves in one call, some tens of milliseconds."""


def tiny_many(threads: int) -> Callable[[str], Callable[[], Any]]:
    """`multistart` over copies of the problem; one call is all of them."""

    def contender(name: str) -> Callable[[], Any]:
        from twophase_min import multistart

        p, copies = problem(name), COPIES[name]
        starts = np.tile(p.x0, (copies, 1))
        given = {"gtol": GTOL, "maxiter": MOST, "engine": "numba"}

        def call() -> Any:
            return multistart(p.fun, starts, p.args, jac=p.jac, options=given, workers=threads)

        def report() -> dict[str, float]:
            r = call().row(copies - 1)
            return _report(p, r.x, r.nfev, r.njev)

        call.report, call.solves = report, copies  # type: ignore[attr-defined]
        return call

    return contender


TINY: dict[str, Callable[[str], Callable[[], Any]]] = {
    "scipy CG": tiny_scipy("CG"),
    "scipy L-BFGS-B": tiny_scipy("L-BFGS-B", ftol=0.0),
    "nlopt LD_LBFGS": tiny_nlopt(0),
    "nlopt LD_LBFGS, 10 pairs": tiny_nlopt(10),
    "minimize, python, CG": tiny_ours(engine="python", convex_method="CG"),
    "minimize, python": tiny_ours(engine="python", convex_method="memory-cg"),
    "minimize, numba": tiny_ours(engine="numba"),
    "multistart, 1 thread": tiny_many(1),
}


# ---- what an evaluation costs, and a run on an objective that is plain Python


def python_objective(solve: Callable[..., Any]) -> Callable[[str], Callable[[], Any]]:
    """Return a contender on SciPy's own Rosenbrock function and gradient."""

    def contender(name: str) -> Callable[[], Any]:
        from scipy.optimize import rosen, rosen_der

        x0 = np.resize([-1.2, 1.0], int(name[5:]))

        def call() -> Any:
            return solve(rosen, x0, rosen_der)

        call.report = lambda: (r := call()) and {"nfev": r.nfev, "njev": r.njev}  # type: ignore[attr-defined]
        return call

    return contender


def _by_scipy(method: str, **options: Any) -> Callable[..., Any]:
    def solve(fun: Any, x0: np.ndarray, jac: Any) -> Any:
        from scipy.optimize import minimize

        return minimize(fun, x0, jac=jac, method=method, options={"gtol": GTOL, "maxiter": MOST, **options})

    return solve


def _by_us(**options: Any) -> Callable[..., Any]:
    def solve(fun: Any, x0: np.ndarray, jac: Any) -> Any:
        from twophase_min import minimize

        return minimize(fun, x0, jac=jac, options={"gtol": GTOL, "maxiter": MOST, **options})

    return solve


PYTHON_OBJECTIVE = {
    "scipy CG, Python objective": python_objective(_by_scipy("CG")),
    "scipy L-BFGS-B, Python objective": python_objective(_by_scipy("L-BFGS-B", ftol=0.0)),
    "minimize, CG, Python objective": python_objective(_by_us()),
    "minimize, memory-cg, Python objective": python_objective(_by_us(convex_method="memory-cg")),
}


def evaluation(kind: str, pairs: int = 1000) -> Callable[[str], Callable[[], Any]]:
    """Return a contender whose call makes so many values and gradients, called the way ``kind`` says."""

    def contender(name: str) -> Callable[[], Any]:
        from scipy.optimize import rosen, rosen_der

        p = problem(name)
        fun, jac, x = p.fun, p.jac, p.x0

        def called() -> float:
            total = 0.0
            for _ in range(pairs):
                total += fun(x) + jac(x)[0]
            return total

        def plain() -> float:
            total = 0.0
            for _ in range(pairs // 10):
                total += rosen(x) + rosen_der(x)[0]
            return total

        call: Any
        if kind == "native":
            from numba import njit

            @njit
            def native(x):
                total = 0.0
                for _ in range(pairs):
                    total += fun(x) + jac(x)[0]
                    x[0] += 1e-9  # for the calls not to be taken out of the loop
                return total

            moving = x.copy()
            call = lambda: native(moving)  # noqa: E731
        else:
            call = called if kind == "called" else plain
        call.solves = pairs // 10 if kind == "Python" else pairs
        return call

    return contender


EVALUATION = {f"evaluation, {kind}": evaluation(kind) for kind in ("native", "called", "Python")}


# ---- many curve fits: a contender is a function of the count; its call returns all parameters


def _fit_scipy(chunk: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    from scipy.optimize import minimize

    fun, jac, _ = functions()["fit"]
    t, y, starts = chunk
    given = {"gtol": GTOL, "ftol": 0.0, "maxiter": MOST}
    return np.array(
        [
            minimize(fun, x0, (t, row), jac=jac, method="L-BFGS-B", options=given).x
            for x0, row in zip(starts, y, strict=True)
        ]
    )


def _fit_nlopt(chunk: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    import nlopt

    fit = functions()["fit"]
    t, y, starts = chunk
    found = []
    for x0, row in zip(starts, y, strict=True):
        opt = nlopt.opt(nlopt.LD_LBFGS, x0.size)
        opt.set_maxeval(MOST)
        found.append(nlopt_solve(Compiled(*fit, (t, row), x0), opt)[0])
    return np.array(found)


def many_pool(solve: Callable[..., np.ndarray]) -> Callable[[int], Callable[[], Any]]:
    """Solve in a pool of two processes that is started, and has compiled, before the clock runs."""

    def contender(count: int) -> Callable[[], Any]:
        from concurrent.futures import ProcessPoolExecutor

        t, y, starts = curves(count)
        pool = ProcessPoolExecutor(2)
        size = max(1, count // 16)
        chunks = [(t, y[k : k + size], starts[k : k + size]) for k in range(0, count, size)]
        list(pool.map(solve, [(t, y[:1], starts[:1])] * 8))

        def call() -> np.ndarray:
            return np.concatenate(list(pool.map(solve, chunks)))

        call.close = pool.shutdown  # type: ignore[attr-defined]
        return call

    return contender


def many_ours(threads: int) -> Callable[[int], Callable[[], Any]]:
    def contender(count: int) -> Callable[[], Any]:
        from twophase_min import multistart

        t, y, starts = curves(count)
        fun, jac, _ = functions()["fit"]
        given = {"gtol": GTOL, "maxiter": MOST, "engine": "numba"}

        def call() -> np.ndarray:
            return multistart(fun, starts, (t,), rows=(y,), jac=jac, options=given, workers=threads).x

        return call

    return contender


def _jax_fit() -> Any:
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp

    def fit(p, t, y):
        r = p[0] * jnp.exp(-p[2] * t) + p[1] * jnp.exp(-p[3] * t) + p[4] - y
        return jnp.mean(r * r)

    return fit


def many_jax(count: int) -> Callable[[], Any]:
    """``jax.scipy.optimize.minimize(method='BFGS')`` under vmap and jit, on JAX's own threads."""
    fit = _jax_fit()
    import jax
    from jax.scipy.optimize import minimize

    t, y, starts = map(jax.numpy.asarray, curves(count))

    def solve(x0, row):
        given = {"gtol": GTOL, "maxiter": MOST, "norm": np.inf}
        return minimize(fit, x0, (t, row), method="BFGS", options=given).x

    run = jax.jit(jax.vmap(solve))
    return lambda: np.asarray(run(starts, y))


def many_optimistix(count: int) -> Callable[[], Any]:
    """``optimistix.minimise`` with BFGS under vmap and jit, on JAX's own threads."""
    fit = _jax_fit()
    import jax
    import optimistix  # type: ignore[import-not-found, import-untyped, unused-ignore]

    t, y, starts = map(jax.numpy.asarray, curves(count))
    solver = optimistix.BFGS(rtol=1e-6, atol=1e-8)

    def solve(x0, row):
        return optimistix.minimise(
            lambda p, row: fit(p, t, row), solver, x0, row, max_steps=MOST, throw=False
        ).value

    run = jax.jit(jax.vmap(solve))
    return lambda: np.asarray(run(starts, y))


MANY: dict[str, tuple[Callable[[int], Callable[[], Any]], float]] = {
    "fits, 2 threads": (many_ours(2), 1.0),
    "fits, 1 thread": (many_ours(1), 1.0),
    "scipy L-BFGS-B, 2 processes": (many_pool(_fit_scipy), 0.02),
    "nlopt LD_LBFGS, 2 processes": (many_pool(_fit_nlopt), 0.1),
    "jax BFGS, vmap": (many_jax, 0.05),
    "optimistix BFGS, vmap": (many_optimistix, 1.0),
}
"""Contender, and the share of all problems that it is given."""


def quality(x: np.ndarray, best: np.ndarray | None = None) -> dict[str, Any]:
    """Judge fits by our own functions: shares that pass the gradient test, and that reach the best known."""
    fun, jac, _ = functions()["fit"]
    t, y, _ = curves(len(x))
    f = np.array([fun(p, t, row) for p, row in zip(x, y, strict=True)])
    size = np.array([np.max(np.abs(jac(p, t, row))) for p, row in zip(x, y, strict=True)])
    judged: dict[str, Any] = {"gradient test": float(np.mean(size <= 1.01 * GTOL))}
    if best is not None:
        judged["at the best"] = float(np.mean(f <= best * (1 + 1e-4)))
    return judged | {"values": f}


def _reporting(build: Callable[[int], Callable[[], Any]]) -> Callable[[int], Callable[[], Any]]:
    """Have a call report the parameters that it found."""

    def contender(count: int) -> Callable[[], Any]:
        inner = build(count)
        last: Any = None

        def call() -> None:
            nonlocal last
            last = inner()

        call.report = lambda: last  # type: ignore[attr-defined]
        call.close = getattr(inner, "close", lambda: None)  # type: ignore[attr-defined]
        return call

    return contender


CONTENDERS: dict[str, Callable[..., Callable[[], Any]]] = {
    **TINY,
    **PYTHON_OBJECTIVE,
    **EVALUATION,
    **{name: _reporting(build) for name, (build, _) in MANY.items()},
}
