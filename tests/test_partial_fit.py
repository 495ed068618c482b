"""Data in parts: `partial_fit` of the estimators."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from test_estimators import CLASSIFIER, REGRESSOR, classes, iris, numbers

from twophase_min.estimators import TwoPhaseMLPClassifier


@pytest.mark.parametrize("batch_size", ["auto", 50])
def test_partial_fit_learns_from_parts(batch_size):
    X, y = load_digits(return_X_y=True)
    X = X / 16
    model = TwoPhaseMLPClassifier((32,), batch_size=batch_size, random_state=0)
    calls = 0
    for epoch in range(12):
        order = np.random.default_rng(epoch).permutation(len(y))
        for part in np.array_split(order, 9):
            model.partial_fit(X[part], y[part], classes=np.arange(10))
            calls += 1
    assert model.n_iter_ == len(model.loss_curve_) == calls
    assert model.score(X, y) > 0.9
    assert model.result_ is None


def test_partial_fit_of_numbers_and_of_several_labels():
    X, y = numbers(2)
    model = clone(REGRESSOR)
    for _ in range(200):
        model.partial_fit(X, y, sample_weight=np.ones(len(y)))
    assert model.score(X, y) > 0.9
    X, y = classes(several=True)
    model = clone(CLASSIFIER)
    for _ in range(100):
        model.partial_fit(X, y)
    assert model.score(X, y) > 0.8


def test_partial_fit_keeps_its_moments_through_pickle():
    X, y = iris()
    model = clone(CLASSIFIER)
    for _ in range(5):
        model.partial_fit(X, y, classes=[0, 1, 2])
    copy = pickle.loads(pickle.dumps(model))
    for _ in range(5):
        model.partial_fit(X, y)
        copy.partial_fit(X, y)
    for a, b in zip(model.coefs_, copy.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)


def test_partial_fit_goes_on_after_fit():
    X, y = iris()
    with pytest.warns(ConvergenceWarning):
        model = clone(CLASSIFIER).set_params(max_iter=5).fit(X, y)
    before = model.loss_
    for _ in range(20):
        model.partial_fit(X, y)
    assert model.loss_ < before
    assert model.n_iter_ == len(model.loss_curve_) == 25


def test_partial_fit_survives_a_part_that_teaches_nothing():
    X, y = numbers()
    model = clone(REGRESSOR).set_params(hidden_layer_sizes=(), alpha=0.0)
    model.partial_fit(np.zeros((10, 5)), np.zeros(10))
    assert model.loss_ == 0.0
    for _ in range(300):
        model.partial_fit(X, y)
    assert model.score(X, y) > 0.9
    before = [W.copy() for W in model.coefs_]
    model.partial_fit(np.full((10, 5), 1e300), np.zeros(10))  # a loss that is not finite
    assert all(np.isfinite(W).all() for W in model.coefs_)
    np.testing.assert_allclose(model.coefs_[0], before[0], atol=1.0)


def test_partial_fit_says_what_it_lacks():
    X, y = iris()
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        clone(CLASSIFIER).partial_fit(X, y)
    model = clone(CLASSIFIER).partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="not those of the first call"):
        model.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match=r"labels that are not among the classes.*\[7\]"):
        model.partial_fit(X, np.full(len(y), 7))
    with pytest.raises(ValueError, match="early_stopping=False"):
        clone(CLASSIFIER).set_params(early_stopping=True).partial_fit(X, y, classes=[0, 1, 2])
