"""A network that classifies, as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from twophase_min.estimators.base import DTYPES, TwoPhaseMLP, choose, documented
from twophase_min.estimators.compatibility import validate_data

Array = NDArray[np.floating]

LOSSES = {"log_loss": "cross_entropy", "squared_error": "mse"}
"""The names of scikit-learn, and those of `networks.MLP`."""


@documented
class TwoPhaseMLPClassifier(ClassifierMixin, TwoPhaseMLP):
    """A multilayer perceptron that classifies, trained by Adam and a convex method after the swap.

    It takes the place of scikit-learn's ``MLPClassifier``: two classes share one logistic output, more have a
    softmax output each, and several labels a sample (a matrix y of 0 and 1) a logistic output each.

    Parameters
    ----------
    {parameters}
    loss : {'log_loss', 'squared_error'}, Loss or callable, default 'log_loss'
        'log_loss' is the cross-entropy. 'squared_error' is the mean squared error of softmax outputs against
        one-hot targets, the paper's, for one label a sample. A function ``loss(z, t)`` of last-layer values
        and targets (one-hot rows; for two classes a column of 0 and 1) in autograd.numpy, or an object with
        the methods of `networks.losses.Loss`, changes the loss and leaves the outputs.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        Labels in ascending order; the numbers of the outputs where a sample has several labels.
    {attributes}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from twophase_min.estimators import TwoPhaseMLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = TwoPhaseMLPClassifier((10,), activation="tanh", random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.95)
    True
    """

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        *,
        loss: Any = "log_loss",
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
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        classes: ArrayLike | None = None,
    ) -> TwoPhaseMLPClassifier:
        """Make one epoch of Adam over a part of the data, with the moments kept from part to part.

        A part of one mini-batch is one step and costs two evaluations of it.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        classes : array_like, shape (n_classes,), optional
            All labels that will ever come; needed in the first call, unless a sample has several labels.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As `fit`; no ``classes`` in the first call, or other ones in a later call.
        """
        if classes is not None:
            classes = np.unique(np.asarray(classes))
            if hasattr(self, "coefs_") and not np.array_equal(classes, self.classes_):
                raise ValueError(f"classes={classes!r} are not those of the first call, {self.classes_!r}")
        elif not hasattr(self, "coefs_") and not type_of_target(y).startswith("multilabel"):
            raise ValueError("classes must be passed on the first call to partial_fit")
        self._classes = classes
        try:
            self._partial_fit(X, y, sample_weight)
        finally:
            del self._classes
        return self

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the labels, shape (n_samples,), or a matrix of 0 and 1 where a sample has several."""
        decisions = self._decisions(self._outputs(X))
        return decisions.astype(int) if self._several else self.classes_[decisions]

    def predict_proba(self, X: ArrayLike) -> Array:
        """Return the probability of each class, shape (n_samples, n_classes), in the order of `classes_`.

        The probability of one of several labels is below 1, by rounding downwards where it has to be.
        """
        outputs = self._outputs(X)
        if self._several:
            return np.minimum(outputs, np.nextafter(outputs.dtype.type(1), outputs.dtype.type(0)))
        if outputs.shape[1] > 1:
            return outputs
        return np.ones_like(outputs) if len(self.classes_) == 1 else np.hstack([1 - outputs, outputs])

    def predict_log_proba(self, X: ArrayLike) -> Array:
        """Return the logarithm of `predict_proba`."""
        p = self.predict_proba(X)
        return np.log(p, out=np.full_like(p, -np.inf), where=p > 0)

    def _loss_and_output(self) -> tuple[Any, str]:
        loss = choose("loss", self.loss, LOSSES)
        if isinstance(self.loss, str) and loss == "mse":
            if self._several:
                raise ValueError(
                    "loss='squared_error' is for one label a sample; for several use 'log_loss' or a function"
                )
            return loss, "softmax"
        if self._several or self.n_outputs_ == 1:
            return ("sigmoid_cross_entropy" if loss == "cross_entropy" else loss), "logistic"
        return loss, "softmax"

    def _validated(self, X: ArrayLike, y: ArrayLike, first: bool) -> tuple[Any, NDArray[Any]]:
        X, labels = validate_data(
            self, X, y, accept_sparse="csr", multi_output=True, dtype=DTYPES, reset=first
        )
        check_classification_targets(labels)
        if issparse(labels):
            labels = labels.toarray()
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = column_or_1d(labels, warn=True)
        if labels.ndim == 2 and not type_of_target(labels).startswith("multilabel"):
            raise ValueError("y with several columns must hold labels as 0 and 1, a column each")
        return X, labels

    def _learn_targets(self, y: NDArray[Any]) -> None:
        self._several = y.ndim == 2
        if self._several:
            self.classes_: NDArray[Any] = np.arange(y.shape[1])
            self.n_outputs_ = y.shape[1]
            return
        classes = self.__dict__.get("_classes")
        self.classes_ = np.unique(y) if classes is None else classes
        single = len(self.classes_) <= 2 and self.loss != "squared_error"
        self.n_outputs_ = 1 if single else max(2, len(self.classes_))

    def _targets(self, y: NDArray[Any]) -> NDArray[Any]:
        if self._several or y.ndim == 2:
            if y.shape[1:] != (self.n_outputs_,) or not self._several:
                raise ValueError(f"y has shape {y.shape}, but the network was fitted for {self._meaning()}")
            return y
        codes = np.searchsorted(self.classes_, y)
        known = codes < len(self.classes_)
        known[known] = self.classes_[codes[known]] == y[known]
        if not known.all():
            raise ValueError(
                f"y holds labels that are not among the classes {self.classes_!r}: {np.unique(y[~known])!r}; "
                "fit anew with warm_start=False, or name all classes in the first call of partial_fit"
            )
        return codes

    def _meaning(self) -> str:
        return f"{self.n_outputs_} labels a sample" if self._several else "one label a sample"

    def _strata(self, targets: NDArray[Any]) -> NDArray[Any] | None:
        return None if self._several else targets

    def _decisions(self, outputs: Array) -> NDArray[Any]:
        """Return the numbers of the classes, shape (n_samples,), or what labels hold, shape of outputs."""
        if self._several:
            return outputs > 0.5
        if outputs.shape[1] > 1:
            classes: NDArray[Any] = outputs.argmax(axis=1)
            return classes
        return ((outputs[:, 0] > 0.5) & (len(self.classes_) > 1)).astype(np.intp)

    def _score_of(self, targets: NDArray[Any], outputs: Array, weights: Array | None) -> float:
        """Return the accuracy; of several labels a sample, all must be right."""
        right = self._decisions(outputs) == targets
        return float(np.average(right.all(axis=1) if self._several else right, weights=weights))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.classifier_tags.multi_label = True
        return tags

    def _more_tags(self) -> dict[str, Any]:  # scikit-learn before 1.6
        return {"multilabel": True}
