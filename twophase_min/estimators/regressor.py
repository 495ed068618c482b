"""A network that predicts numbers, as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import column_or_1d

from twophase_min.estimators.base import DTYPES, TwoPhaseMLP, choose, documented
from twophase_min.estimators.compatibility import validate_data
from twophase_min.networks.losses import find_loss

Array = NDArray[np.floating]

LOSSES = {
    "squared_error": "half_mse",
    "absolute_error": "mae",
    "huber": "huber",
    "quantile": "quantile",
    "poisson": "poisson",
}
"""The names of scikit-learn, and those of `networks.MLP`."""


@documented
class TwoPhaseMLPRegressor(RegressorMixin, MultiOutputMixin, TwoPhaseMLP):
    """A multilayer perceptron for regression, trained by Adam and a convex method after the swap.

    It takes the place of scikit-learn's ``MLPRegressor``. y has one column or several.

    Parameters
    ----------
    {parameters}
    loss : str, Loss or callable, default 'squared_error'
        'squared_error' (half the mean square), 'absolute_error', 'huber' (with a limit of 1), 'quantile' (the
        median) or 'poisson' (for counts, with exponential outputs). Others by an object, such as
        ``networks.Huber(2.0)`` or ``networks.Quantile(0.9)``, or by a function ``loss(z, t)`` of outputs and
        targets, both of shape (n_samples, n_outputs), written with autograd.numpy, which returns a value for
        each sample or each output.

    Attributes
    ----------
    {attributes}

    Notes
    -----
    The score of early stopping is R², whatever the loss. Inputs and, unless the loss is 'poisson', targets
    should be scaled to about one, as for every network.

    Examples
    --------
    >>> import numpy as np
    >>> from twophase_min.estimators import TwoPhaseMLPRegressor
    >>> X = np.linspace(-2, 2, 50)[:, None]
    >>> model = TwoPhaseMLPRegressor((10,), activation="tanh", random_state=0).fit(X, np.sin(2 * X[:, 0]))
    >>> bool(model.score(X, np.sin(2 * X[:, 0])) > 0.99)
    True
    """

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        *,
        loss: Any = "squared_error",
        alpha: float = 1e-4,
        batch_size: int | str = "auto",
        convex_method: Any = None,
        swap: Any = "auto",
        learning_rate_init: float | None = None,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float | None = None,
        max_iter: int = 200,
        max_fun: int = 15000,
        tol: float = 1e-4,
        random_state: Any = None,
        warm_start: bool = False,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        verbose: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.loss = loss
        self.alpha = alpha
        self.batch_size = batch_size
        self.convex_method = convex_method
        self.swap = swap
        self.learning_rate_init = learning_rate_init
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.max_iter = max_iter
        self.max_fun = max_fun
        self.tol = tol
        self.random_state = random_state
        self.warm_start = warm_start
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.verbose = verbose
        self.options = options

    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> TwoPhaseMLPRegressor:
        """Make one epoch of Adam over a part of the data, with the moments kept from part to part.

        A part of one mini-batch is one step and costs two evaluations of it.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As `fit`.
        """
        self._partial_fit(X, y, sample_weight)
        return self

    def predict(self, X: ArrayLike) -> Array:
        """Return the predictions, shape (n_samples,), or (n_samples, n_outputs) for several outputs."""
        outputs = self._outputs(X)
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def _loss_and_output(self) -> tuple[Any, str]:
        loss = choose("loss", self.loss, LOSSES)
        return loss, find_loss(loss, None)[1]

    def _validated(self, X: ArrayLike, y: ArrayLike, first: bool) -> tuple[Any, NDArray[Any]]:
        X, targets = validate_data(
            self, X, y, accept_sparse="csr", multi_output=True, y_numeric=True, dtype=DTYPES, reset=first
        )
        if targets.ndim == 2 and targets.shape[1] == 1:
            targets = column_or_1d(targets, warn=True)
        return X, targets

    def _learn_targets(self, y: NDArray[Any]) -> None:
        self.n_outputs_ = 1 if y.ndim == 1 else y.shape[1]

    def _targets(self, y: NDArray[Any]) -> NDArray[Any]:
        if y.size != y.shape[0] * self.n_outputs_:
            raise ValueError(
                f"y has shape {y.shape}, but the network was fitted for {self.n_outputs_} outputs"
            )
        return y.reshape(y.shape[0], self.n_outputs_)

    def _score_of(self, targets: NDArray[Any], outputs: Array, weights: Array | None) -> float:
        """Return R²; -inf for outputs that are not finite."""
        if not np.isfinite(outputs).all():
            return -np.inf
        return float(r2_score(targets, outputs, sample_weight=weights))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
