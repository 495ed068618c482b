"""The contenders of `training.py`: each trains one network from the same weights and leaves a trace.

A trace is a list of (cost, seconds, loss): the whole training loss, penalty included, against what has been
spent so far. Cost is counted in evaluations over all samples: a loss with its gradient 1, a loss alone 1/2, a
mini-batch its share, a Jacobian of residuals one for each output. Seconds are processor seconds of the one
thread, and stand still while a loss is computed that is for the trace alone.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from twophase_min import minimize
from twophase_min.estimators.base import WHOLE
from twophase_min.finite_sum import BATCH
from twophase_min.networks import MLP
from twophase_min.networks.objective import MLPObjective

RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
"""Adam's rates among which the best is taken, for every problem anew, by its training loss."""
TORCH_BATCH = BATCH
"""Rows of a mini-batch of PyTorch's Adam: as many as ours take."""
PATIENCE = 2.0
"""Times the budget that a contender may use to come to the seconds of our default."""
LM_WORK = 3e9
"""Residuals times squared weights up to which MINPACK's factorisation is waited for."""
MATRIX_WEIGHTS = 5000
"""Weights up to which a full matrix over all of them takes part."""
ROWS = 128
"""Samples of which the Jacobian is in memory at a time, where only its products are needed."""


class Problem(NamedTuple):
    """A network, its data and where it starts."""

    net: MLP
    objective: MLPObjective
    X: Any
    y: np.ndarray
    start: np.ndarray
    seed: int
    budget: float
    classes: int
    loss: str


class Over(Exception):
    """The budget is spent."""


class Trace:
    """What a training run has come to, against cost and seconds.

    Parameters
    ----------
    budget : float
        Cost up to which weights are kept.
    seconds : float
        The run ends at this many, if the budget is spent, and at `PATIENCE` times the budget in any case.
    """

    def __init__(self, budget: float, seconds: float = 0.0):
        self.budget, self.seconds = budget, seconds
        self.rows: list[tuple[float, float, float]] = []
        self.cost, self.best, self.w = 0.0, np.inf, np.zeros(0)
        self._paused, self._began = 0.0, time.process_time()

    def now(self) -> float:
        """Processor seconds so far."""
        return time.process_time() - self._began - self._paused

    def spend(self, cost: float) -> None:
        """Charge an evaluation."""
        self.cost += cost

    def record(self, loss: float, w: Callable[[], np.ndarray]) -> None:
        """Enter a whole training loss; ends the run when it has had its share."""
        seconds, cost = self.now(), round(self.cost, 6)  # shares of mini-batches add up to 1 but for rounding
        self.rows.append((cost, seconds, float(loss)))
        if loss < self.best and (cost <= self.budget or not self.w.size):
            self.best, self.w = float(loss), w().copy()
        if cost >= self.budget and (seconds >= self.seconds or cost >= PATIENCE * self.budget):
            raise Over
        self._paused += self.now() - seconds

    def look(self, problem: Problem, w: Callable[[], np.ndarray]) -> None:
        """Compute and enter the loss, while the clock stands still."""
        seconds = self.now()
        point = w()
        loss = problem.objective.value(point)
        self._paused += self.now() - seconds
        self.record(loss, lambda: point)


class Counted:
    """The network's loss over all data for `minimize`, entered into a trace."""

    def __init__(self, problem: Problem, trace: Trace):
        self._objective, self._trace = problem.objective, trace

    def value(self, w: np.ndarray) -> float:
        """Return the loss, for half an evaluation."""
        value = self._objective.value(w)
        self._trace.spend(0.5)
        self._trace.record(value, lambda: w)
        return value

    def value_and_gradient(self, w: np.ndarray) -> tuple[float, np.ndarray]:
        """Return loss and gradient."""
        value, gradient = self._objective(w)
        self._trace.spend(1.0)
        self._trace.record(value, lambda: w)
        return value, gradient

    def __call__(self, w: np.ndarray) -> float:
        """Return the loss alone."""
        return self.value(w)

    def gradient(self, w: np.ndarray) -> np.ndarray:
        """Return the gradient alone, which costs as much as both."""
        return self.value_and_gradient(w)[1]


class CountedSum(Counted):
    """The same with mini-batches for Adam."""

    def __init__(self, problem: Problem, trace: Trace, batch: int):
        super().__init__(problem, trace)
        self._sum = problem.net.finite_sum(problem.X, problem.y, batch_size=batch, seed=problem.seed)
        self.n_samples, self.batches = self._sum.n_samples, self._sum.batches
        self.n_batches = self._sum.n_batches

    def batch_value_and_gradient(self, w: np.ndarray, indices: np.ndarray) -> tuple[float, np.ndarray]:
        """Return both over a mini-batch, for its share."""
        self._trace.spend(len(indices) / self.n_samples)
        return self._sum.batch_value_and_gradient(w, indices)


# -- ours --------------------------------------------------------------------------------------------------


def twophase(whole: bool = False, batch: int = BATCH, **options: Any) -> Callable[[Problem, Trace], None]:
    """`minimize` with these options, over mini-batches where the estimators take them, or the whole data.

    It is told the budget (``maxfun``), as the cosine decay is: the guard's trials are a share of it.
    """

    def run(problem: Problem, trace: Trace) -> None:
        small = whole or problem.objective.n_samples <= WHOLE
        loss = Counted(problem, trace) if small else CountedSum(problem, trace, batch)
        limits = {"maxfun": int(problem.budget), "maxiter": 10**9, "gtol": 1e-8}
        minimize(loss, problem.start, options=limits | options)

    return run


def long_run(problem: Problem, trace: Trace) -> None:
    """Run the best of ours at equal cost: over the whole data, by a matrix where one fits."""
    method = "ssbroyden" if problem.net.n_params <= MATRIX_WEIGHTS else "memory-cg"
    twophase(convex_method=method)(problem, trace)


# -- scikit-learn --------------------------------------------------------------------------------------------


def scikit_learn(solver: str) -> Callable[[Problem, Trace], None]:
    """scikit-learn's network with its defaults, from our weights."""

    def run(problem: Problem, trace: Trace) -> None:
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        net = problem.net
        kind = MLPClassifier if problem.loss == "cross_entropy" else MLPRegressor
        n = problem.objective.n_samples
        model = kind(
            hidden_layer_sizes=net.sizes[1:-1],
            activation=net.activation,
            solver=solver,
            alpha=net.l2 * n,
            random_state=problem.seed,
            tol=1e-8,
            max_iter=10**6,
            max_fun=10**6,
        )
        layers = iter(net.unpack(problem.start))
        model._init_coef = lambda *_: tuple(part.copy() for part in next(layers))
        targets = (
            problem.y if problem.classes == 0 or kind is MLPClassifier else np.eye(problem.classes)[problem.y]
        )
        targets = targets[:, 0] if targets.ndim == 2 and targets.shape[1] == 1 else targets
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if solver == "lbfgs":
                _watch(model, net, trace)
                model.fit(problem.X, targets)
                return
            classes = {"classes": np.unique(targets)} if kind is MLPClassifier else {}
            while True:
                model.partial_fit(problem.X, targets, **classes)
                classes = {}
                trace.spend(1.0)
                trace.look(problem, lambda: _weights(model, net))

    return run


def _weights(model: Any, net: MLP) -> np.ndarray:
    """Return our flat vector."""
    return net.pack(zip(model.coefs_, model.intercepts_, strict=True))


def _watch(model: Any, net: MLP, trace: Trace) -> None:
    """Enter every evaluation of its solver 'lbfgs', whose loss is ours."""
    inner = model._loss_grad_lbfgs

    def outer(packed: np.ndarray, *rest: Any) -> tuple[float, np.ndarray]:
        value, gradient = inner(packed, *rest)
        trace.spend(1.0)

        def weights() -> np.ndarray:
            model._unpack(packed)
            return _weights(model, net)

        trace.record(value, weights)
        return value, gradient

    model._loss_grad_lbfgs = outer


# -- PyTorch -------------------------------------------------------------------------------------------------


class Torch:
    """The same network, loss and penalty as a PyTorch module."""

    def __init__(self, problem: Problem):
        import torch

        torch.set_num_threads(1)
        torch.manual_seed(problem.seed)
        self.torch, self.problem = torch, problem
        sizes, parts = problem.net.sizes, []
        for n_in, n_out in pairwise(sizes):
            parts += [torch.nn.Linear(n_in, n_out, dtype=torch.float64), torch.nn.Tanh()]
        self.net = torch.nn.Sequential(*parts[:-1])
        self.linear = parts[:-1:2]
        with torch.no_grad():
            for layer, (W, b) in zip(self.linear, problem.net.unpack(problem.start), strict=True):
                layer.weight.copy_(torch.from_numpy(W.T.copy()))
                layer.bias.copy_(torch.from_numpy(b.copy()))
        X = problem.X.toarray() if hasattr(problem.X, "toarray") else problem.X
        self.X = torch.from_numpy(np.ascontiguousarray(X))
        y = problem.y
        if problem.classes and problem.loss != "cross_entropy":
            y = np.eye(problem.classes)[y]
        self.y = torch.from_numpy(np.ascontiguousarray(y))

    def loss(self, X: Any, y: Any) -> Any:
        """Return the loss of a batch with the penalty."""
        F, z = self.torch.nn.functional, self.net(X)
        data = F.cross_entropy(z, y) if self.problem.loss == "cross_entropy" else 0.5 * F.mse_loss(z, y)
        l2 = self.problem.net.l2
        return data + 0.5 * l2 * sum((layer.weight**2).sum() for layer in self.linear) if l2 else data

    def weights(self) -> np.ndarray:
        """Return our flat vector."""
        return self.problem.net.pack(
            [(layer.weight.detach().numpy().T, layer.bias.detach().numpy()) for layer in self.linear]
        )


def torch_adam(rate: float, cosine: bool) -> Callable[[Problem, Trace], None]:
    """Adam over shuffled mini-batches, at a fixed rate or with a cosine decay to 0 over the budget."""

    def run(problem: Problem, trace: Trace) -> None:
        model = Torch(problem)
        torch, n = model.torch, len(model.X)
        steps = -(-n // TORCH_BATCH)
        adam = torch.optim.Adam(model.net.parameters(), lr=rate)
        decay = (
            torch.optim.lr_scheduler.CosineAnnealingLR(adam, int(problem.budget) * steps) if cosine else None
        )
        while True:
            for rows in torch.randperm(n).split(TORCH_BATCH):
                adam.zero_grad()
                model.loss(model.X[rows], model.y[rows]).backward()
                adam.step()
                if decay is not None:
                    decay.step()
            trace.spend(1.0)
            trace.look(problem, model.weights)
            if decay is not None and trace.cost >= problem.budget:
                return

    return run


def torch_adam_best(problem: Problem, trace: Trace) -> None:
    """Run Adam with a cosine decay at each rate, and keep the trace of the lowest training loss.

    The cost of the other four is not charged.
    """
    traces = []
    for rate in RATES:
        one = Trace(problem.budget)
        run_to_end(torch_adam(rate, cosine=True), problem, one)
        traces.append(one)
    best = min(traces, key=lambda one: one.best)
    trace.__dict__.update(best.__dict__)


def torch_lbfgs(problem: Problem, trace: Trace) -> None:
    """L-BFGS with strong Wolfe conditions and PyTorch's other defaults."""
    model = Torch(problem)
    solver = model.torch.optim.LBFGS(
        model.net.parameters(),
        lr=1.0,
        max_iter=10**6,
        max_eval=10**6,
        tolerance_grad=1e-8,
        tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Any:
        solver.zero_grad()
        loss = model.loss(model.X, model.y)
        loss.backward()
        trace.spend(1.0)
        trace.record(loss.item(), model.weights)
        return loss

    solver.step(closure)


# -- Levenberg-Marquardt -------------------------------------------------------------------------------------


def takes_part(contender: str, problem: Problem) -> bool:
    """Whether a contender is made for a problem of this loss and size."""
    if contender == "Levenberg-Marquardt":
        return problem.loss == "half_mse" and problem.net.n_params < 5000
    if contender == LONGEST_MARQUARDT:
        return takes_part("Levenberg-Marquardt", problem) and lm_work(problem) <= LM_WORK / TIMES
    if contender in ONLY_LARGE:  # elsewhere there are no mini-batches
        return problem.objective.n_samples > WHOLE
    return "ssb" not in contender or problem.net.n_params <= MATRIX_WEIGHTS


def lm_work(problem: Problem) -> float:
    """Return the residuals times the squared weights."""
    n = problem.net.n_params
    return (problem.objective.n_samples * problem.net.sizes[-1] + n) * float(n) ** 2


def levenberg_marquardt(problem: Problem, trace: Trace) -> None:
    """MINPACK's where its factorisation can be waited for; else by the normal equations."""
    (minpack if lm_work(problem) <= LM_WORK else normal_equations)(problem, trace)


def targets(problem: Problem) -> np.ndarray:
    """Return what the outputs should be, one-hot for classes."""
    return problem.y if problem.classes == 0 else np.eye(problem.classes)[problem.y]


def penalised(problem: Problem) -> np.ndarray:
    """Return which parameters have a penalty: weights, and not offsets."""
    net = problem.net
    layers = [(np.ones_like(W), np.zeros_like(b)) for W, b in net.unpack(problem.start)]
    return np.asarray(net.pack(layers) > 0)


def normal_equations(problem: Problem, trace: Trace) -> None:
    """Solve (JᵀJ + mu I) s = -Jᵀr by Cholesky's factors, as MATLAB's default does (Hagan & Menhaj 1994).

    mu starts at 1e-3, falls tenfold after a step that lowers the loss, and grows tenfold after one that does
    not. The Jacobian J is made for some samples at a time.
    """
    from scipy.linalg import cho_factor, cho_solve

    net, X, T = problem.net, problem.X, targets(problem)
    shrink = net.l2 * penalised(problem)
    objective = Counted(problem, trace)
    w, mu = problem.start, 1e-3
    loss = objective.value(w)
    while mu <= 1e10:
        trace.spend(T.shape[1])
        H, g = np.diag(shrink), shrink * w
        for i in range(0, len(X), ROWS):
            J = network_jacobian(net, w, X[i : i + ROWS])
            H += J.T @ J / T.size
            g += J.T @ (net.forward(w, X[i : i + ROWS]) - T[i : i + ROWS]).ravel() / T.size
        while mu <= 1e10:
            with contextlib.suppress(np.linalg.LinAlgError):  # mu is lost in the rounding of H
                trial = w - cho_solve(cho_factor(H + mu * np.eye(w.size)), g)
                new = objective.value(trial)
                if new < loss:
                    w, loss, mu = trial, new, mu / 10
                    break
            mu *= 10


def minpack(problem: Problem, trace: Trace) -> None:
    """MINPACK's, by `scipy.optimize.least_squares`, with the penalty as further residuals."""
    from scipy.optimize import least_squares

    net, X, T = problem.net, problem.X, targets(problem)
    scale, shrink, weights = 1 / np.sqrt(T.size), np.sqrt(net.l2), penalised(problem)

    def residuals(w: np.ndarray) -> np.ndarray:
        r = np.concatenate([scale * (net.forward(w, X) - T).ravel(), shrink * w[weights]])
        trace.spend(0.5)
        trace.record(0.5 * float(r @ r), lambda: w)
        return r

    def jacobian(w: np.ndarray) -> np.ndarray:
        trace.spend(T.shape[1])
        return np.vstack([scale * network_jacobian(net, w, X), shrink * np.eye(w.size)[weights]])

    least_squares(
        residuals,
        problem.start,
        jacobian,
        method="lm",
        x_scale="jac",
        ftol=1e-15,
        xtol=1e-15,
        gtol=1e-15,
        max_nfev=10**6,
    )


def network_jacobian(net: MLP, w: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Return d z / d w of a tanh network with one hidden layer, shape (N M, n_params)."""
    (W1, b1), (W2, _) = net.unpack(w)
    a = np.tanh(X @ W1 + b1)
    n, (hidden, m) = len(X), W2.shape
    J = np.zeros((n, m, net.n_params))
    back = (1 - a * a)[:, None, :] * W2.T[None]  # d z_m / d (X W1)_h
    end = W1.size
    J[:, :, :end] = np.einsum("ni,nmh->nmih", X, back).reshape(n, m, -1)
    J[:, :, end : end + hidden] = back
    start = end + hidden
    for k in range(m):
        J[:, k, start + k : start + W2.size : m] = a
        J[:, k, start + W2.size + k] = 1.0
    return J.reshape(n * m, -1)


# -- all of them ---------------------------------------------------------------------------------------------


def run_to_end(contender: Callable[[Problem, Trace], None], problem: Problem, trace: Trace) -> Trace:
    """Run a contender until it stops or has spent what it may."""
    with contextlib.suppress(Over):
        contender(problem, trace)
    return trace


OURS: dict[str, Callable[[Problem, Trace], None]] = {
    "two-phase, default": twophase(),
    "two-phase, L-BFGS-B": twophase(convex_method="L-BFGS-B"),
    "two-phase, memory-cg": twophase(convex_method="memory-cg"),
    "two-phase, ssbfgs": twophase(convex_method="ssbfgs"),
    "two-phase, ssbroyden": twophase(convex_method="ssbroyden"),
    "two-phase, batches of 512": twophase(batch=512, convex_method="memory-cg"),
    "two-phase, no mini-batches": twophase(whole=True, convex_method="memory-cg"),
}
ONLY_LARGE = ("two-phase, batches of 512", "two-phase, no mini-batches")
"""Ours that differ where the default takes mini-batches: those of the paper's size, and none."""
RIVALS: dict[str, Callable[[Problem, Trace], None]] = {
    "scikit-learn, adam": scikit_learn("adam"),
    "scikit-learn, lbfgs": scikit_learn("lbfgs"),
    "PyTorch Adam, 1e-3": torch_adam(1e-3, cosine=False),
    "PyTorch Adam, best of 5, cosine": torch_adam_best,
    "PyTorch LBFGS": torch_lbfgs,
    "Levenberg-Marquardt": levenberg_marquardt,
}
TIMES = 10
"""How many times the budget those below spend, which are not compared with anybody."""
LONGEST_MARQUARDT = f"Levenberg-Marquardt, {TIMES} times the budget"
LONGER: dict[str, Callable[[Problem, Trace], None]] = {
    f"two-phase, {TIMES} times the budget": long_run,
    LONGEST_MARQUARDT: levenberg_marquardt,
}
"""What there is left to win on a problem from these weights."""
