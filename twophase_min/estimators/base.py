"""What classifier and regressor share: parameters, the run of `minimize`, early stopping, partial_fit."""

from __future__ import annotations

import inspect
import operator
import warnings
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from twophase_min._minimize import minimize
from twophase_min._status import Status
from twophase_min.estimators.compatibility import validate_data
from twophase_min.estimators.streaming import adam_epoch
from twophase_min.estimators.validation import Validation
from twophase_min.finite_sum import BATCH
from twophase_min.networks.mlp import MLP
from twophase_min.networks.targets import as_weights

Array = NDArray[np.floating]

CONVEX_METHOD = "L-BFGS-B"
"""Default: the least seconds on scikit-learn's digits, and nothing to compile besides Adam's own kernels."""
WHOLE = 2000
"""Samples up to which batch_size='auto' takes all of them at once. With 3,000 samples of three sets
mini-batches ended lower at equal cost; with 1,300 to 1,700 of four, lower on some and higher on others."""

DTYPES = (np.float64, np.float32)

PARAMETERS = """hidden_layer_sizes : int or sequence of int, default (100,)
        Units of the hidden layers; () is a linear model.
    activation : {'relu', 'tanh', 'logistic', 'gelu', 'identity'}, default 'relu'
        Of the hidden layers.
    alpha : float, default 1e-4
        Weight of the L2 penalty, >= 0. As in scikit-learn, the penalty alpha/2 times the sum of squared
        weights (not biases) is divided by the number of samples, or by the sum of their weights.
    batch_size : int or 'auto', default 'auto'
        Samples in a mini-batch of Adam. An int >= the number of samples, and 'auto' up to 2000 samples,
        evaluates all samples at once; beyond, 'auto' is 128. The convex phase always sees all samples.
    convex_method : str, callable or None, default None
        What takes over from Adam after the swap, see the option of `minimize`; None is 'L-BFGS-B'.
    swap : str, int, callable or detector, default 'auto'
        When it does, see the option of `minimize`. 'never' is Adam alone, 'always' the convex method alone.
    learning_rate_init : float, optional
        Step of Adam. Given: Adam exactly as published. Default: found by a probe.
    beta_1, beta_2 : float, default 0.9 and 0.999
        Adam's decay rates, [0, 1).
    epsilon : float, optional
        Adam's guard against division by zero, > 0; default see `TwoPhaseOptions`.
    max_iter : int, default 200
        Iterations over both phases, >= 1; of Adam on mini-batches, an iteration is an epoch.
    max_fun : int, default 15000
        Evaluations of the loss over all samples, >= 1.
    tol : float, default 1e-4
        Converged once no entry of the gradient exceeds this, >= 0. With early_stopping also the least
        improvement of the validation score that counts.
    random_state : int, RandomState instance or None, default None
        Of the initial weights, the mini-batches and the split for early stopping.
    warm_start : bool, default False
        Whether `fit` begins at the weights of the last one.
    early_stopping : bool, default False
        Whether to hold out samples, to stop when the score on them has stopped rising, and to keep the
        weights with the best one.
    validation_fraction : float, default 0.1
        Share of the samples that are held out, (0, 1).
    n_iter_no_change : int, default 10
        Iterations in a row without an improvement of that score that are allowed, >= 1.
    verbose : bool, default False
        Whether to print a line an iteration.
    options : mapping, optional
        Further options of `minimize` (`TwoPhaseOptions`); these have the last word."""

ATTRIBUTES = """coefs_, intercepts_ : list of ndarray
        Weights, shape (n_in, n_out), and biases, shape (n_out,), of every layer.
    loss_ : float
        Training loss with the penalty, at these.
    best_loss_ : float
        Lowest training loss of the run; with early_stopping, `loss_` can be above it.
    loss_curve_ : list of float
        Training loss after each iteration of the last `fit` (on mini-batches: after each epoch at whose end
        it was computed, the eighth at the latest), and after each later `partial_fit`.
    validation_scores_ : list of float or None
        Score on the samples held out, as long as `loss_curve_`; None without early_stopping.
    best_validation_score_ : float or None
        The highest of them.
    swaps_ : list of dict
        Handovers between the phases: iteration, evaluations, loss, norm, peak, from, to, reason.
    phases_ : list of dict
        The run as stretches of one phase.
    n_iter_ : int
        Iterations of the last `fit`, and of each later `partial_fit`.
    n_features_in_, n_layers_, n_outputs_, out_activation_, feature_names_in_
        As in scikit-learn's networks.
    result_ : OptimizeResult or None
        What `minimize` returned, without its `state`; None after `partial_fit` alone."""

Class = TypeVar("Class", bound=type)


def documented(cls: Class) -> Class:
    """Put the shared parts into a class's docstring, which Python 3.13 and later hand over unindented."""
    if cls.__doc__:
        parts = {"{parameters}": PARAMETERS, "{attributes}": ATTRIBUTES}
        text = inspect.cleandoc(cls.__doc__)
        for place, part in parts.items():
            text = text.replace(place, inspect.cleandoc(part))
        cls.__doc__ = text
    return cls


class TwoPhaseMLP(BaseEstimator):
    """A network over scikit-learn's data. A subclass says what targets, loss and score are."""

    hidden_layer_sizes: int | Sequence[int]
    activation: str
    alpha: float
    batch_size: int | str
    convex_method: Any
    swap: Any
    learning_rate_init: float | None
    beta_1: float
    beta_2: float
    epsilon: float | None
    max_iter: int
    max_fun: int
    tol: float
    random_state: Any
    warm_start: bool
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    verbose: bool
    options: Mapping[str, Any] | None

    n_features_in_: int
    n_outputs_: int
    coefs_: list[Array]
    intercepts_: list[Array]
    loss_: float
    best_loss_: float
    loss_curve_: list[float]
    validation_scores_: list[float] | None
    best_validation_score_: float | None
    swaps_: list[dict[str, Any]]
    phases_: list[dict[str, Any]]
    n_iter_: int
    result_: OptimizeResult | None

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> TwoPhaseMLP:
        """Train the network.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
            float32 is trained in float32, everything else in float64. Sparse data stay sparse.
        y : array_like, shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array_like, shape (n_samples,), optional
            Weights of the samples, >= 0. An integer weight counts as so many copies.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Data or parameters that cannot be used; the message says which.

        Warns
        -----
        ConvergenceWarning
            The run has ended before the gradient was small; the message says why.
        """
        self._check_parameters()
        X, y = self._validated(X, y, first=True)
        if not (self.warm_start and hasattr(self, "coefs_")):
            self._learn_targets(y)
        targets, weights = self._targets(y), _weights(sample_weight, X.shape[0])
        random = check_random_state(self.random_state)
        seed = random.randint(np.iinfo(np.int32).max)
        held_out = None
        if self.early_stopping:
            X, targets, weights, *held_out = self._split(X, targets, weights, random)
        net = self._network(X, targets, weights)
        start = self._start(net) if self.warm_start and hasattr(self, "coefs_") else net.init(seed)
        validation = None
        if held_out is not None:
            validation = self._validation(net, *held_out)
        result = self._run(net, self._objective(net, X, targets, weights, seed), start, validation)
        self._keep(net, result, validation)
        return self

    def _partial_fit(self, X: Any, y: Any, sample_weight: ArrayLike | None) -> TwoPhaseMLP:
        """Make one epoch of Adam over a part of the data."""
        first = not hasattr(self, "coefs_")
        self._check_parameters()
        if self.early_stopping:
            raise ValueError("partial_fit sees a part of the data at a time; set early_stopping=False")
        X, y = self._validated(X, y, first)
        if first:
            self._learn_targets(y)
        targets, weights = self._targets(y), _weights(sample_weight, X.shape[0])
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        net = self._network(X, targets, weights)
        settings = {
            "learning_rate": self.learning_rate_init,
            "beta1": self.beta_1,
            "beta2": self.beta_2,
            "epsilon": self.epsilon,
        }
        part = net.finite_sum(X, targets, self._batch(X.shape[0]), seed, sample_weight=weights)
        start = net.init(seed) if first else self._start(net)
        state = None if first else self.__dict__.get("_adam")
        w, value, self._adam = adam_epoch(part, start, state, settings, 0 if first else self.n_iter_)
        self._set_weights(net, w)
        self.loss_ = value
        self.best_loss_ = value if first else min(value, self.best_loss_)
        if first:
            self.loss_curve_, self.n_iter_, self.result_ = [], 0, None
            self.swaps_, self.phases_ = [], []
            self.validation_scores_ = self.best_validation_score_ = None
        self.loss_curve_.append(value)
        self.n_iter_ += 1
        return self

    def _outputs(self, X: ArrayLike) -> Array:
        """Return the outputs of the network, shape (n_samples, n_outputs_)."""
        check_is_fitted(self, "coefs_")
        X = validate_data(self, X, reset=False, accept_sparse="csr", dtype=DTYPES)
        sizes = [*(W.shape[0] for W in self.coefs_), self.n_outputs_]
        net = self._architecture(sizes, self.coefs_[0].dtype, 0.0)
        return net.predict(self._start(net), X)

    # -- what a subclass says -------------------------------------------------------------------------------

    def _loss_and_output(self) -> tuple[Any, str]:
        """Return the network's loss and output function."""
        raise NotImplementedError

    def _validated(self, X: ArrayLike, y: ArrayLike, first: bool) -> tuple[Any, NDArray[Any]]:
        """Check the data; the first ones set the number of features."""
        raise NotImplementedError

    def _learn_targets(self, y: NDArray[Any]) -> None:
        """Set `n_outputs_`, and what the targets are to mean."""
        raise NotImplementedError

    def _targets(self, y: NDArray[Any]) -> NDArray[Any]:
        """Return the network's targets."""
        raise NotImplementedError

    def _strata(self, targets: NDArray[Any]) -> NDArray[Any] | None:
        """Return what the split for early stopping keeps the shares of."""
        return None

    def _score_of(self, targets: NDArray[Any], outputs: Array, weights: Array | None) -> float:
        """Return the score of outputs, the higher the better."""
        raise NotImplementedError

    # -- the run --------------------------------------------------------------------------------------------

    def _hidden(self) -> list[Any]:
        sizes: list[Any] = np.atleast_1d(np.asarray(self.hidden_layer_sizes, dtype=object)).tolist()
        return sizes

    def _sizes(self) -> list[int]:
        return [self.n_features_in_, *map(operator.index, self._hidden()), self.n_outputs_]

    def _architecture(self, sizes: Sequence[int], dtype: Any, l2: float) -> MLP:
        loss, output = self._loss_and_output()
        return MLP(sizes, self.activation, loss, output, l2=l2, dtype=dtype)

    def _network(self, X: Any, targets: NDArray[Any], weights: Array | None) -> MLP:
        total = X.shape[0] if weights is None else float(weights.sum())
        return self._architecture(self._sizes(), X.dtype, self.alpha / total)

    def _batch(self, n: int) -> int:
        if self.batch_size == "auto":
            return n if n <= WHOLE else BATCH
        return min(int(self.batch_size), n)

    def _objective(self, net: MLP, X: Any, targets: NDArray[Any], weights: Array | None, seed: int) -> Any:
        batch = self._batch(X.shape[0])
        if batch == X.shape[0]:
            return net.objective(X, targets, weights)
        return net.finite_sum(X, targets, batch, seed, sample_weight=weights)

    def _run(self, net: MLP, objective: Any, start: Array, validation: Validation | None) -> OptimizeResult:
        options: dict[str, Any] = {
            "maxiter": self.max_iter,
            "maxfun": self.max_fun,
            "gtol": self.tol,
            "swap": self.swap,
            "convex_method": self.convex_method or CONVEX_METHOD,
            "learning_rate": self.learning_rate_init,
            "beta1": self.beta_1,
            "beta2": self.beta_2,
            "epsilon": self.epsilon,
        }
        options.update(self.options or {})
        count = 0

        def callback(intermediate_result: OptimizeResult) -> bool:
            nonlocal count
            more, count = intermediate_result.nit - count, intermediate_result.nit
            stops = validation is not None and validation.stops_at(intermediate_result.x, more)
            if self.verbose:
                score = f", validation score = {validation.scores[-1]:.6f}" if validation else ""
                print(f"Iteration {count}, loss = {intermediate_result.fun:.8f}{score}")
            return stops

        watched = callback if self.verbose or validation is not None else None
        result = minimize(objective, start, callback=watched, options=options)
        stopped = validation is not None and result.status == Status.CALLBACK
        if self.verbose:
            print("The validation score has stopped rising." if stopped else result.message)
        if not (result.success or stopped):
            text = result.message.replace("raise maxiter", "raise max_iter").replace("maxfun", "max_fun")
            warnings.warn(text, ConvergenceWarning, stacklevel=3)
        return result

    def _split(self, X: Any, targets: NDArray[Any], weights: Array | None, random: Any) -> list[Any]:
        """Return data, targets and weights to train on, and the same to validate on."""
        share = self.validation_fraction
        kept, out = train_test_split(
            np.arange(X.shape[0]), test_size=share, random_state=random, stratify=self._strata(targets)
        )
        if len(out) < 2:
            raise ValueError(
                f"validation_fraction={share!r} holds out {len(out)} of {X.shape[0]} samples, early stopping "
                "needs at least 2; raise validation_fraction or set early_stopping=False"
            )
        return [None if a is None else a[rows] for rows in (kept, out) for a in (X, targets, weights)]

    def _validation(self, net: MLP, X: Any, targets: NDArray[Any], weights: Array | None) -> Validation:
        def score(w: Array) -> float:
            return self._score_of(targets, net.predict(w, X), weights)

        return Validation(score, self.tol, self.n_iter_no_change)

    def _start(self, net: MLP) -> Array:
        """Return the present weights as one vector."""
        try:
            return net.pack(zip(self.coefs_, self.intercepts_, strict=True))
        except ValueError as error:
            raise ValueError(
                f"the fitted weights do not fit hidden_layer_sizes={self.hidden_layer_sizes!r} or the number "
                f"of features or outputs ({error}); fit anew with warm_start=False"
            ) from error

    def _keep(self, net: MLP, result: OptimizeResult, validation: Validation | None) -> None:
        w = result.x
        self.loss_ = self.best_loss_ = result.fun
        self.loss_curve_ = result.history.fun[1:].tolist()
        self.validation_scores_ = self.best_validation_score_ = None
        if validation is not None:
            self.validation_scores_ = validation.scores
            if validation.w is not None:
                w = validation.w
                self.best_validation_score_ = validation.best
                self.loss_ = self.loss_curve_[validation.scores.index(validation.best)]
        self._set_weights(net, w)
        self.n_iter_, self.swaps_, self.phases_ = result.nit, result.swaps, result.phases
        result.pop("state", None)  # vectors by the dozen, for resuming: a kept model should not carry them
        self.result_ = result
        self.__dict__.pop("_adam", None)

    def _set_weights(self, net: MLP, w: Array) -> None:
        layers = net.unpack(np.array(w, dtype=net.dtype))
        self.coefs_, self.intercepts_ = ([layer[i].copy() for layer in layers] for i in (0, 1))
        self.n_layers_ = len(layers) + 1
        self.out_activation_ = net.output

    def _check_parameters(self) -> None:
        """Check what neither `MLP` nor `minimize` will."""
        hidden, whole = self.hidden_layer_sizes, all(map(_is_count, self._hidden()))
        _check("hidden_layer_sizes", hidden, whole, "positive integers")
        for name in ("max_iter", "max_fun", "n_iter_no_change"):
            value = getattr(self, name)
            _check(name, value, isinstance(value, Real) and float(value) >= 1, "a number >= 1")
        for name in ("tol", "alpha"):
            value = getattr(self, name)
            ok = isinstance(value, Real) and 0 <= float(value) < np.inf
            _check(name, value, ok, "a finite number >= 0")
        share, batch, given = self.validation_fraction, self.batch_size, self.options
        _check("validation_fraction", share, isinstance(share, Real) and 0 < share < 1, "between 0 and 1")
        automatic = isinstance(batch, str) and batch == "auto"
        _check("batch_size", batch, automatic or _is_count(batch), "'auto' or an integer >= 1")
        _check("options", given, given is None or isinstance(given, Mapping), "None or a mapping")


def choose(what: str, name: Any, known: Mapping[str, Any]) -> Any:
    """Return what a name stands for; an object or a function stands for itself."""
    if not isinstance(name, str):
        return name
    if name not in known:
        raise ValueError(f"{what}={name!r} is unknown; choose one of {', '.join(known)}, or pass a function")
    return known[name]


def _is_count(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and bool(value >= 1)


def _check(name: str, value: Any, ok: Any, wanted: str) -> None:
    if not ok:
        raise ValueError(f"{name}={value!r} must be {wanted}")


def _weights(sample_weight: ArrayLike | None, n: int) -> Array | None:
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.ndim == 0:
        weights = np.full(n, float(weights))
    as_weights(weights, n, weights.dtype)  # raises where they cannot be weights
    return weights
