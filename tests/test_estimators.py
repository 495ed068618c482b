"""The estimators: scikit-learn's own checks, its linear models and networks as oracles, what it builds on."""

from __future__ import annotations

import inspect
import pickle
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

pytest.importorskip("sklearn")

import autograd.numpy as anp
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, make_regression
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils.estimator_checks import parametrize_with_checks

from twophase_min.estimators import TwoPhaseMLPClassifier, TwoPhaseMLPRegressor
from twophase_min.estimators.validation import Validation
from twophase_min.networks import Huber, Quantile
from twophase_min.phases import PHASES


@parametrize_with_checks([TwoPhaseMLPClassifier(), TwoPhaseMLPRegressor()])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def iris():
    X, y = load_iris(return_X_y=True)
    return scale(X), y


def classes(several=False, two=False):
    X, y = iris()
    if several:
        return X, np.column_stack([y == 0, y > 0, X[:, 0] > 0]).astype(int)
    return (X, np.array(["no", "yes"])[(y == 1).astype(int)]) if two else (X, y)


def numbers(outputs=1):
    X, y = make_regression(120, 5, n_targets=outputs, noise=5.0, random_state=0)
    return X, y / np.std(y)


CLASSIFIER = TwoPhaseMLPClassifier((6,), activation="tanh", alpha=0.1, random_state=0, max_iter=1000)
REGRESSOR = TwoPhaseMLPRegressor((6,), activation="tanh", alpha=0.1, random_state=0, max_iter=1000)


# -- independent oracles ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["two", "three", "several"])
def test_scikit_learns_network_with_our_weights_is_the_same_classifier(kind):
    X, y = classes(several=kind == "several", two=kind == "two")
    ours = clone(CLASSIFIER).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = MLPClassifier((6,), activation="tanh", max_iter=1).fit(X, y)
    assert ours.out_activation_ == theirs.out_activation_
    assert (ours.n_layers_, ours.n_outputs_) == (theirs.n_layers_, theirs.n_outputs_)
    assert [W.shape for W in ours.coefs_] == [W.shape for W in theirs.coefs_]
    theirs.coefs_, theirs.intercepts_ = ours.coefs_, ours.intercepts_
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-12)
    np.testing.assert_allclose(ours.predict_log_proba(X), theirs.predict_log_proba(X), rtol=1e-9)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    assert ours.score(X, y) == theirs.score(X, y) > 0.8


@pytest.mark.parametrize("outputs", [1, 3])
def test_scikit_learns_network_with_our_weights_is_the_same_regressor(outputs):
    X, y = numbers(outputs)
    ours = clone(REGRESSOR).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = MLPRegressor(hidden_layer_sizes=(6,), activation="tanh", max_iter=1).fit(X, y)
    theirs.coefs_, theirs.intercepts_ = ours.coefs_, ours.intercepts_
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=1e-12)
    assert ours.predict(X).shape == y.shape
    assert ours.out_activation_ == theirs.out_activation_ == "identity"
    assert ours.score(X, y) > 0.95


def test_the_loss_is_scikit_learns():
    """Mean loss plus alpha / 2n times the squared weights, biases apart; half the mean square."""
    X, y = iris()
    model = clone(CLASSIFIER).fit(X, y)
    penalty = 0.5 * model.alpha / len(y) * sum(np.sum(W**2) for W in model.coefs_)
    assert model.loss_ == pytest.approx(log_loss(y, model.predict_proba(X)) + penalty, rel=1e-10)
    X, y = numbers(2)
    model = clone(REGRESSOR).fit(X, y)
    penalty = 0.5 * model.alpha / len(y) * sum(np.sum(W**2) for W in model.coefs_)
    assert model.loss_ == pytest.approx(0.5 * np.mean((model.predict(X) - y) ** 2) + penalty, rel=1e-10)


LINEAR = {"hidden_layer_sizes": (), "tol": 1e-8, "max_iter": 2000, "random_state": 0}


@pytest.mark.parametrize("weighted", [False, True])
def test_without_hidden_layers_it_is_logistic_regression(weighted):
    X, y = load_breast_cancer(return_X_y=True)
    X = scale(X)
    weights = np.random.default_rng(0).uniform(0, 3, len(y)) if weighted else None
    want = LogisticRegression(C=0.1, tol=1e-10, max_iter=10_000).fit(X, y, weights)
    model = TwoPhaseMLPClassifier(alpha=10.0, **LINEAR).fit(X, y, weights)
    assert model.result_.success
    np.testing.assert_allclose(model.coefs_[0].T, want.coef_, atol=1e-4)
    np.testing.assert_allclose(model.intercepts_[0], want.intercept_, atol=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
def test_without_hidden_layers_it_is_ridge_regression(weighted):
    X, y = numbers(3)
    weights = np.random.default_rng(0).uniform(0, 3, len(y)) if weighted else None
    want = Ridge(alpha=2.0).fit(X, y, weights)
    # the mean square is over the outputs too: the penalty of each is a third
    model = TwoPhaseMLPRegressor(alpha=2.0 / 3, **LINEAR).fit(X, y, weights)
    assert model.result_.success
    np.testing.assert_allclose(model.coefs_[0].T, want.coef_, atol=1e-5)
    np.testing.assert_allclose(model.intercepts_[0], want.intercept_, atol=1e-5)


def test_without_hidden_layers_and_poisson_it_is_poisson_regression():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    y = rng.poisson(np.exp(X @ [0.5, -0.3, 0.2] + 0.4))
    want = PoissonRegressor(alpha=0.05, tol=1e-10, max_iter=1000).fit(X, y)
    model = TwoPhaseMLPRegressor(loss="poisson", alpha=0.05 * 200, **LINEAR).fit(X, y)
    assert model.result_.success
    np.testing.assert_allclose(model.coefs_[0][:, 0], want.coef_, atol=1e-5)
    np.testing.assert_allclose(model.predict(X), want.predict(X), rtol=1e-5)
    assert model.out_activation_ == "exp"


# -- losses -------------------------------------------------------------------------------------------------


def test_a_quantile_has_its_share_below():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(400, 1))
    y = X[:, 0] + rng.normal(size=400) * (1.5 + X[:, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the loss has kinks
        model = TwoPhaseMLPRegressor((8,), "tanh", loss=Quantile(0.9), random_state=0).fit(X, y)
    assert np.mean(y <= model.predict(X)) == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize(
    "loss",
    ["absolute_error", "huber", Huber(0.5), lambda z, t: anp.sum(anp.log(anp.cosh(z - t)), axis=1)],
    ids=["absolute_error", "huber", "Huber(0.5)", "log cosh"],
)
def test_robust_losses_do_not_follow_outliers(loss):
    X = np.linspace(-2, 2, 200)[:, None]
    clean = np.sin(2 * X[:, 0])
    y = clean.copy()
    y[::10] += 20.0
    arguments = {"hidden_layer_sizes": (10,), "activation": "tanh", "random_state": 0, "alpha": 1e-3}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        robust = TwoPhaseMLPRegressor(loss=loss, **arguments).fit(X, y)
        square = TwoPhaseMLPRegressor(**arguments).fit(X, y)
    others = np.arange(200) % 10 > 0
    error = np.abs(robust.predict(X) - clean)[others].mean()
    assert error < 0.3 * np.abs(square.predict(X) - clean)[others].mean()


@pytest.mark.parametrize("kind", ["two", "three"])
@pytest.mark.parametrize("loss", ["squared_error", "function"])
def test_other_losses_of_classifiers(kind, loss):
    X, y = classes(two=kind == "two")

    def logits(z, t):
        if z.shape[1] == 1:
            return anp.sum(anp.logaddexp(0.0, (1 - 2 * t) * z), axis=1)
        return -anp.sum(t * (z - anp.log(anp.sum(anp.exp(z), axis=1, keepdims=True))), axis=1)

    model = clone(CLASSIFIER).set_params(loss=logits if loss == "function" else loss).fit(X, y)
    assert model.score(X, y) > 0.9
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)
    if loss == "function":  # written again, the default is the default
        same = clone(CLASSIFIER).fit(X, y)
        assert model.loss_ == pytest.approx(same.loss_, rel=1e-2)


# -- weights, sparse and float32 data -----------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: (CLASSIFIER, *iris()), lambda: (REGRESSOR, *numbers())])
def test_a_weight_is_so_many_copies(make):
    model, X, y = make()
    counts = np.random.default_rng(0).integers(0, 3, len(y))
    rows = np.repeat(np.arange(len(y)), counts)
    weighted = clone(model).set_params(max_iter=8)
    copies = clone(weighted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        weighted.fit(X, y, 2.0 * counts)
        copies.set_params(alpha=model.alpha / 2).fit(X[rows], y[rows])
    np.testing.assert_allclose(weighted.loss_curve_, copies.loss_curve_, rtol=1e-6)


def test_sparse_data_train_the_same_network():
    X, y = load_digits(return_X_y=True)
    X = X[:300] / 16
    dense = clone(CLASSIFIER).fit(X, y[:300])
    sparse = clone(CLASSIFIER).fit(scipy.sparse.csc_matrix(X), y[:300])
    np.testing.assert_allclose(sparse.loss_curve_[:5], dense.loss_curve_[:5], rtol=1e-8)
    np.testing.assert_allclose(dense.predict_proba(scipy.sparse.csr_matrix(X)), dense.predict_proba(X))


def test_float32_stays_float32():
    X, y = iris()
    model = clone(CLASSIFIER).fit(X.astype(np.float32), y)
    assert {a.dtype for a in (*model.coefs_, *model.intercepts_)} == {np.dtype(np.float32)}
    assert model.predict_proba(X).dtype == np.float32
    assert model.score(X, y) > 0.95


# -- the run ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", list(PHASES))
def test_any_convex_method_trains(method):
    X, y = iris()
    model = clone(CLASSIFIER).set_params(convex_method=method, swap="norm-peak").fit(X, y)
    assert model.result_.success
    assert model.score(X, y) > 0.95
    assert model.swaps_
    assert {phase["name"] for phase in model.phases_} >= {"adam", method}


def test_what_a_fit_leaves():
    X, y = iris()
    model = clone(CLASSIFIER).fit(X, y)
    assert model.n_iter_ == len(model.loss_curve_) == model.result_.nit
    assert model.loss_ == model.best_loss_ == pytest.approx(min(model.loss_curve_))
    assert model.validation_scores_ is None
    assert model.best_validation_score_ is None
    assert np.abs(model.result_.jac).max() <= model.tol
    assert "state" not in model.result_
    again = clone(CLASSIFIER).fit(X, y)
    for a, b in zip(model.coefs_, again.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)


def test_mini_batches_beyond_their_size():
    X, y = iris()
    model = clone(CLASSIFIER).set_params(batch_size=32).fit(X, y)
    assert model.score(X, y) > 0.95
    adam = clone(model).set_params(swap="never", max_iter=30)
    with pytest.warns(ConvergenceWarning, match="Maximum number of iterations"):
        adam.fit(X, y)
    assert not adam.swaps_
    assert adam.n_iter_ == 30


def test_options_have_the_last_word():
    X, y = iris()
    with pytest.warns(ConvergenceWarning, match="raise max_iter to go on"):
        model = clone(CLASSIFIER).set_params(options={"maxiter": 3}).fit(X, y)
    assert model.n_iter_ == 3
    with pytest.warns(ConvergenceWarning, match="raise max_fun to go on"):
        clone(CLASSIFIER).set_params(max_fun=4).fit(X, y)


def test_verbose_prints_a_line_an_iteration(capsys):
    X, y = iris()
    model = clone(CLASSIFIER).set_params(verbose=True, early_stopping=True).fit(X, y)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == model.n_iter_ + 1
    assert printed[0].startswith("Iteration 1, loss = ")
    assert "validation score = " in printed[0]


@pytest.mark.parametrize("make", [lambda: (CLASSIFIER, *iris()), lambda: (REGRESSOR, *numbers(2))])
def test_early_stopping_keeps_the_best(make):
    model, X, y = make()
    weights = np.random.default_rng(0).uniform(size=len(y))
    for given in (None, weights):
        stopped = clone(model).set_params(early_stopping=True)
        stopped.fit(X, y, given)
        assert len(stopped.validation_scores_) == len(stopped.loss_curve_) == stopped.n_iter_
        assert stopped.best_validation_score_ == max(stopped.validation_scores_)
        best = stopped.validation_scores_.index(stopped.best_validation_score_)
        assert stopped.loss_ == stopped.loss_curve_[best]
        assert stopped.score(X, y) > 0.8


def test_early_stopping_stops():
    X, y = load_diabetes(return_X_y=True)
    X, y = scale(X), scale(y)
    stopped = TwoPhaseMLPRegressor(early_stopping=True, random_state=0).fit(X, y)
    with pytest.warns(ConvergenceWarning):
        whole = TwoPhaseMLPRegressor(random_state=0).fit(X, y)
    assert stopped.n_iter_ < 100 < whole.n_iter_
    assert stopped.loss_ > whole.loss_


def test_validation_by_its_meaning():
    """Improvements of less than tol do not count, but the best is the best; patience is in a row."""
    scores = iter([0.5, 0.6, 0.605, 0.59, 0.7, 0.7, 0.7, 0.7])
    validation = Validation(lambda w: next(scores), tol=0.01, patience=2)
    stops = [validation.stops_at(np.array([float(i)])) for i in range(7)]
    assert stops == [False, False, False, False, False, False, False]
    assert validation.stops_at(np.array([7.0]))
    assert (validation.best, validation.w[0]) == (0.7, 4.0)


def test_warm_start_goes_on():
    X, y = iris()
    model = clone(CLASSIFIER).set_params(max_iter=5, warm_start=True)
    losses = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for _ in range(4):
            losses.append(model.fit(X, y).loss_)
        cold = clone(CLASSIFIER).set_params(max_iter=5).fit(X, y)
    assert losses == sorted(losses, reverse=True)
    assert losses[0] == cold.loss_
    assert losses[-1] < 0.8 * losses[0]
    with pytest.raises(ValueError, match=r"labels that are not among the classes.*warm_start=False"):
        model.fit(X, y + 1)
    with pytest.raises(ValueError, match="fit anew with warm_start=False"):
        model.set_params(hidden_layer_sizes=(7,)).fit(X, y)


# -- what scikit-learn builds on estimators -----------------------------------------------------------------


def test_grid_search_over_a_pipeline():
    X, y = iris()
    pipeline = make_pipeline(StandardScaler(), clone(CLASSIFIER))
    grid = {
        "twophasemlpclassifier__convex_method": ["L-BFGS-B", "memory-cg"],
        "twophasemlpclassifier__alpha": [1e-3, 1e-1],
    }
    search = GridSearchCV(pipeline, grid, cv=3).fit(X, y)
    assert search.best_score_ > 0.9
    assert search.best_estimator_[-1].swaps_


def test_ensembles_and_cross_validation():
    X, y = iris()
    assert BaggingClassifier(clone(CLASSIFIER), 3, random_state=0).fit(X, y).score(X, y) > 0.9
    assert cross_val_score(clone(REGRESSOR), *numbers(), cv=3).min() > 0.8


@pytest.mark.parametrize("make", [lambda: (CLASSIFIER, *iris()), lambda: (REGRESSOR, *numbers())])
def test_pickled_and_cloned(make):
    model, X, y = make()
    fitted = clone(model).fit(X, y)
    data = pickle.dumps(fitted)
    again = pickle.loads(data)
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))
    assert again.loss_curve_ == fitted.loss_curve_
    assert len(data) < 100_000
    assert clone(fitted).get_params() == fitted.get_params()
    assert not hasattr(clone(fitted), "coefs_")


def test_predictions_are_those_of_the_fit_whatever_is_set_after_it():
    X, y = iris()
    model = clone(CLASSIFIER).fit(X, y)
    before = model.predict_proba(X)
    model.set_params(hidden_layer_sizes=(9, 9), alpha=5.0)
    np.testing.assert_array_equal(model.predict_proba(X), before)


@pytest.mark.parametrize(
    ("ours", "theirs"), [(TwoPhaseMLPClassifier, MLPClassifier), (TwoPhaseMLPRegressor, MLPRegressor)]
)
def test_the_names_of_the_constructor_are_scikit_learns(ours, theirs):
    """Those without a meaning here are not taken, and the page says which."""
    left_out = theirs().get_params().keys() - ours().get_params().keys()
    page = (Path(__file__).parents[1] / "docs" / "estimators.md").read_text(encoding="utf-8")
    assert left_out == {"solver", "shuffle", "learning_rate", "power_t", "momentum", "nesterovs_momentum"}
    for name in left_out:
        assert f"`{name}`" in page


@pytest.mark.parametrize("kind", [TwoPhaseMLPClassifier, TwoPhaseMLPRegressor])
def test_docstrings_are_complete(kind):
    text = inspect.getdoc(kind)
    assert "{" not in text.replace("{'", "")
    for name in inspect.signature(kind).parameters:
        assert re.search(rf"^(\w+, )?{name}(, \w+)? : ", text, re.M), name
    X, y = iris()
    model = kind((3,), random_state=0, max_iter=500, alpha=1.0).fit(X, y)
    for name in vars(model):
        if name.endswith("_"):
            assert name in text, name


def test_the_package_does_not_import_scikit_learn():
    code = "import sys, twophase_min, twophase_min.networks; assert 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_without_scikit_learn_the_extra_is_named():
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "try:\n    import twophase_min.estimators\n"
        "except ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert "twophase_min[sklearn]" in done.stdout


# -- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hidden_layer_sizes": (0,)}, r"hidden_layer_sizes=\(0,\) must be positive integers"),
        ({"hidden_layer_sizes": 2.5}, "positive integers"),
        ({"activation": "swish"}, "unknown activation 'swish'"),
        ({"loss": "hinge"}, "loss='hinge' is unknown; choose one of"),
        ({"alpha": -1.0}, "alpha=-1.0"),
        ({"batch_size": 0}, "batch_size=0 must be 'auto' or an integer >= 1"),
        ({"convex_method": "newton"}, "convex_method"),
        ({"swap": "nonsense"}, "nonsense"),
        ({"max_iter": 0}, "max_iter=0"),
        ({"tol": np.nan}, "tol=nan"),
        ({"early_stopping": True, "validation_fraction": 1.0}, "validation_fraction=1.0"),
        ({"options": 3}, "options=3 must be None or a mapping"),
    ],
)
@pytest.mark.parametrize("model", [CLASSIFIER, REGRESSOR], ids=["classifier", "regressor"])
def test_bad_parameters(model, parameters, message):
    X, y = iris()
    with pytest.raises(ValueError, match=message):
        clone(model).set_params(**parameters).fit(X, y)


def test_bad_targets():
    X, y = iris()
    with pytest.raises(ValueError, match="several columns must hold labels as 0 and 1"):
        clone(CLASSIFIER).fit(X, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="one label a sample"):
        clone(CLASSIFIER).set_params(loss="squared_error").fit(*classes(several=True))
    stopped = clone(REGRESSOR).set_params(early_stopping=True)
    with pytest.raises(ValueError, match="needs at least 2"):
        stopped.fit(X[:8], X[:8, 0])
    with pytest.raises(ValueError, match=">= 0"):
        clone(REGRESSOR).set_params(loss="poisson").fit(X, y - 1.0)
    with pytest.raises(ValueError, match=r"y has shape \(150, 2\), but the network was fitted for 1 outputs"):
        clone(REGRESSOR).fit(X, y).partial_fit(X, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="was fitted for one label a sample"):
        clone(CLASSIFIER).fit(X, y).partial_fit(*classes(several=True))
