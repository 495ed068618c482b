"""`curve_fit`: NIST's certified results, SciPy's conventions, and what the data do not determine."""

import warnings

import nist
import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import OptimizeWarning

from twophase_min import curve_fit

anp = pytest.importorskip("autograd.numpy")
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # models overflow on the way

FOUND = [(name, start) for name in nist.MODELS for start in (0, 1) if (name, start) != ("BoxBOD", 0)]
HARD = {("Eckerle4", 0), ("Bennett5", 0), ("Bennett5", 1), ("Lanczos1", 1), ("Lanczos2", 1)}
"""Not found by differences: rounding decides, or the limit on the calls ends the fit."""
EXACT = {"Lanczos1"}
"""Residuals of 1e-13 of the data: their sum of squares, and so the standard errors, are rounding."""


def against(reference, found, covariance):
    """Digits of the parameters and of their standard errors."""
    order = nist.order(reference, found)
    errors = np.sqrt(np.diag(covariance))[order]
    return nist.digits(found[order], reference.values), nist.digits(errors, reference.errors)


# ---- certified results


@pytest.mark.parametrize(("name", "start"), FOUND)
def test_certified_values_and_standard_errors(name, start):
    """From both of NIST's starts, with derivatives by autograd."""
    reference = nist.load(name)
    found, covariance, info, message, code = curve_fit(
        reference.model(anp), reference.x, reference.y, reference.starts[start], full_output=True
    )
    values, errors = against(reference, found, covariance)
    assert code in (1, 2, 3)
    assert message
    assert info["gradient"] == "autograd"
    assert values >= (8.9 if name == "ENSO" else 9)
    assert errors >= (2.5 if name in EXACT else 9)
    if name not in EXACT:
        assert info["fvec"] @ info["fvec"] == pytest.approx(reference.rss, rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "start"), [pair for pair in FOUND if pair not in HARD])
def test_certified_values_by_differences(name, start):
    """With nothing but the model's values, 7 digits."""
    reference = nist.load(name)
    model = reference.model()
    found, covariance, info, *_ = curve_fit(
        lambda x, *b: model(x, *map(float, b)),
        reference.x,
        reference.y,
        reference.starts[start],
        full_output=True,
    )
    values, errors = against(reference, found, covariance)
    assert info["gradient"].startswith("3-point")
    assert values >= 7
    assert errors >= (2.5 if name in EXACT else 6.5)


def test_eckerle4_by_differences_from_the_far_start_is_found_or_said_to_be_undetermined():
    """Rounding decides: the peak may become a needle on one of the data, and no data determine its form."""
    reference = nist.load("Eckerle4")
    model = reference.model()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", OptimizeWarning)
        found, covariance = curve_fit(
            lambda x, *b: model(x, *map(float, b)), reference.x, reference.y, reference.starts[0]
        )
    found = np.abs(found)  # the first two with their signs changed are the same model
    if nist.digits(found, reference.values) < 7:
        assert found[1] < 0.1 * np.min(np.diff(reference.x))
        assert any("do not determine" in str(warning.message) for warning in caught)
        assert np.isinf(covariance).all()


def test_boxbod_from_the_far_start_ends_where_the_model_is_constant():
    """The one set that is not found: the first step leads to a minimum up to rounding, or it is given up."""
    reference = nist.load("BoxBOD")
    model = reference.model(anp)
    try:
        best, _ = curve_fit(model, reference.x, reference.y, reference.starts[0])
    except RuntimeError as error:
        best = error.popt
    np.testing.assert_allclose(model(reference.x, *best)[1:], best[0], rtol=1e-6)
    squares = np.sum((model(reference.x, *best) - reference.y) ** 2)
    start = np.sum((model(reference.x, *reference.starts[0]) - reference.y) ** 2)
    assert reference.rss < squares < start


# ---- SciPy's conventions


def decay(x, a, b, c):
    return a * anp.exp(-b * x) + c


X = np.linspace(0, 4, 40)
Y = decay(X, 2.5, 1.3, 0.5) + 0.05 * np.random.default_rng(0).normal(size=X.size)
ERRORS = np.random.default_rng(1).uniform(0.02, 0.1, X.size)
MIXING = np.random.default_rng(2).normal(size=(X.size, X.size))
MATRIX = np.diag(ERRORS**2) + 1e-4 * MIXING @ MIXING.T / X.size


def theirs_of(sigma):
    """A scalar as the array of equal errors that it means: SciPy takes none along with a jac."""
    return np.full(X.size, sigma) if np.ndim(sigma) == 0 and sigma is not None else sigma


@pytest.mark.parametrize("jac", [None, "2-point", "3-point", "cs", "callable"])
@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("sigma", [None, 0.05, ERRORS, MATRIX], ids=["none", "scalar", "vector", "matrix"])
def test_values_and_covariance_agree_with_scipys(sigma, absolute, jac):
    def exact(x, a, b, c):
        return np.stack([np.exp(-b * x), -a * x * np.exp(-b * x), np.ones_like(x)], axis=1)

    tight = {"ftol": 1e-14, "xtol": 1e-14}
    theirs = scipy.optimize.curve_fit(
        decay, X, Y, (2, 1, 0), sigma=theirs_of(sigma), absolute_sigma=absolute, jac=exact, **tight
    )
    ours = curve_fit(
        decay,
        X,
        Y,
        (2, 1, 0),
        sigma=sigma,
        absolute_sigma=absolute,
        jac=exact if jac == "callable" else jac,
    )
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-7)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-5)


def test_full_output_counts_every_call_of_the_model():
    calls = 0

    def counted(x, a, b, c):
        nonlocal calls
        calls += 1
        return float(a) * np.exp(-float(b) * x) + float(c)

    found, covariance, info, message, code = curve_fit(counted, X, Y, full_output=True)
    assert code in (1, 2)
    assert "relative offset" in message
    assert info["nfev"] == calls
    np.testing.assert_allclose(info["fvec"], decay(X, *found) - Y)
    assert covariance.shape == (3, 3)
    assert "autograd cannot trace" in info["gradient"]


def test_a_given_jacobian_is_counted_and_checked_for_its_shape():
    def line(x, a, b):
        return a * x + b

    def slopes(x, a, b):
        return np.stack([x, np.ones_like(x)], axis=1)

    info = curve_fit(line, X, Y, jac=slopes, full_output=True)[2]
    assert info["njev"] > 0
    assert info["gradient"] == "callable"
    with pytest.raises(ValueError, match=r"jac returned shape \(2, 40\), expected \(40, 2\)"):
        curve_fit(line, X, Y, jac=lambda x, a, b: slopes(x, a, b).T)


def test_other_methods_are_scipys():
    found = curve_fit(decay, X, Y, (2, 1, 0), bounds=(0, [3.0, 2.0, 1.0]), method="trf")
    theirs = scipy.optimize.curve_fit(decay, X, Y, (2, 1, 0), bounds=(0, [3.0, 2.0, 1.0]), method="trf")
    np.testing.assert_array_equal(found[0], theirs[0])


def test_finite_bounds_are_trfs_without_a_method():
    found = curve_fit(decay, X, Y, (2, 1, 0), bounds=(0, [3.0, 2.0, 0.2]))
    theirs = scipy.optimize.curve_fit(decay, X, Y, (2, 1, 0), bounds=(0, [3.0, 2.0, 0.2]))
    np.testing.assert_array_equal(found[0], theirs[0])
    np.testing.assert_array_equal(found[1], theirs[1])


@pytest.mark.parametrize(
    ("keywords", "error", "text"),
    [
        ({"bounds": (0, 3), "method": "twophase"}, ValueError, "scipy.optimize.curve_fit"),
        (
            {"bounds": scipy.optimize.Bounds([0, -np.inf, 0], np.inf), "method": "twophase"},
            ValueError,
            "finite bounds",
        ),
        ({"method": "newton"}, ValueError, "'trf'"),
        ({"jac": "4-point"}, ValueError, "'3-point'"),
        ({"sigma": np.ones(7)}, ValueError, r"incorrect shape \(7,\)"),
        ({"sigma": -np.eye(40)}, ValueError, "positive definite"),
        ({"sigma": np.where(X > 3, 0.0, 1.0)}, ValueError, "`sigma` has zeros or NaN"),
        ({"sigma": np.where(X > 3, np.nan, 1.0)}, ValueError, "`sigma` has zeros or NaN"),
        ({"f": 3}, TypeError, "f must be callable, got int"),
        ({"ydata": np.where(X > 3, np.nan, Y), "check_finite": False}, ValueError, "data contain NaN or inf"),
        (
            {"xdata": np.where(X > 3, np.inf, X), "check_finite": False, "f": lambda x, a: a * x},
            ValueError,
            "data contain NaN or inf",
        ),
        ({"p0": [1, np.nan, 1]}, ValueError, "finite"),
        ({"p0": [1, 800, -1e3], "ftol": 1e-9}, TypeError, "'ftol'"),
        ({"nan_policy": "propagate"}, ValueError, "'omit'"),
        ({"ydata": np.where(X > 3, np.nan, Y)}, ValueError, "NaNs|infs"),
        ({"ydata": np.where(X > 3, np.nan, Y), "nan_policy": "raise"}, ValueError, "contain NaN"),
        ({"ydata": np.empty(0), "xdata": np.empty(0)}, ValueError, "empty"),
        ({"ydata": Y[:2], "xdata": X[:2]}, TypeError, "3 parameters, more than the 2 data"),
        ({"ydata": Y[:, None]}, ValueError, "one-dimensional"),
        ({"ydata": Y[:-1]}, ValueError, "shape|broadcast"),
        ({"f": lambda x, *p: p[0] * x}, ValueError, "give p0"),
        ({"f": lambda x, a: a / (x - x)}, ValueError, "not finite at p0"),
    ],
)
def test_what_cannot_be_fitted_raises_with_the_remedy(keywords, error, text):
    arguments = {"f": decay, "xdata": X, "ydata": Y, **keywords}
    with pytest.raises(error, match=text):
        curve_fit(**arguments)


def test_nan_is_left_out_where_asked():
    y, x = Y.copy(), np.stack([X, X])
    y[3], x[0, 5] = np.nan, np.nan

    def of_two(x, a, b, c):
        return decay(x[0], a, b, c)

    keep = np.setdiff1d(np.arange(X.size), [3, 5])
    for sigma, kept in ((None, None), (ERRORS, ERRORS[keep]), (MATRIX, MATRIX[np.ix_(keep, keep)])):
        found, covariance = curve_fit(of_two, x, y, (2, 1, 0), sigma, nan_policy="omit")
        direct, direct_covariance = curve_fit(decay, X[keep], Y[keep], (2, 1, 0), kept)
        np.testing.assert_allclose(found, direct, rtol=1e-8)
        np.testing.assert_allclose(covariance, direct_covariance, rtol=1e-6)


def test_a_limit_on_calls_keeps_the_best_parameters():
    with pytest.raises(RuntimeError, match="limit of 30 calls") as caught:
        curve_fit(decay, X, Y, (20, 0.1, 5), maxfev=30)
    best = caught.value.popt
    assert np.sum((decay(X, *best) - Y) ** 2) < np.sum((decay(X, 20, 0.1, 5) - Y) ** 2)


@pytest.mark.parametrize("calls", [10, 15, 20, 30])
def test_the_best_parameters_are_those_that_the_model_was_called_with(calls):
    seen = []

    def model(x, *p):
        p = tuple(map(float, p))
        seen.append((np.sum((decay(x, *p) - Y) ** 2), p))
        return decay(x, *p)

    with pytest.raises(RuntimeError, match=f"limit of {calls} calls") as caught:
        curve_fit(model, X, Y, (20, 0.1, 5), maxfev=calls)
    least, at = min(seen)
    assert np.sum((decay(X, *caught.value.popt) - Y) ** 2) <= least * (1 + 1e-4)
    np.testing.assert_allclose(caught.value.popt, at, rtol=1e-3)  # but for the step of a difference


def test_a_model_that_raises_raises():
    def broken(x, a, b):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        curve_fit(broken, X, Y)


@pytest.mark.parametrize("jac", [None, "3-point"])
def test_a_model_in_single_precision_is_fitted_to_its_digits(jac):
    """Steps of differences stand out of the rounding of its values; in SciPy's they vanish in it."""

    def single(x, a, b, c):
        x, a, b, c = (np.float32(v) for v in (x, a, b, c))
        return a * np.exp(-b * x) + c

    direct, direct_covariance = curve_fit(decay, X, Y, (2, 1, 0))
    found, covariance, info, _, _ = curve_fit(single, X, Y, (2, 1, 0), jac=jac, full_output=True)
    errors = np.sqrt(np.diag(direct_covariance))
    assert np.all(np.abs(found - direct) < 0.01 * errors)
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), errors, rtol=1e-3)
    assert info["nfev"] < 150
    with pytest.warns(OptimizeWarning, match="could not be estimated"):
        theirs = scipy.optimize.curve_fit(single, X, Y, (2, 1, 0))[0]
    assert not np.all(np.abs(theirs - direct) < 0.01 * errors)


def test_xdata_may_be_anything():
    found, _ = curve_fit(lambda data, a, b: a * data["x"] + b, {"x": X}, 3 * X + 1)
    np.testing.assert_allclose(found, [3, 1], rtol=1e-10)


# ---- what the data do not determine


def test_parameters_that_only_act_together_are_named():
    with pytest.warns(OptimizeWarning, match=r"do not determine a - b\. Hold one"):
        found, covariance = curve_fit(lambda x, a, b, c: a * b * x + c, X, 6 * X + 1)
    assert found[0] * found[1] == pytest.approx(6)
    assert np.isinf(covariance[:2, :2]).all()
    assert np.isfinite(covariance[2, 2])


def test_a_parameter_without_effect_is_named():
    with pytest.warns(OptimizeWarning, match=r"do not determine b\. "):
        found, covariance = curve_fit(lambda x, a, b: a * x + 0 * b, X, 6 * X + np.sin(9 * X))
    assert np.isinf(covariance[1, 1])
    slope = X @ (6 * X + np.sin(9 * X)) / (X @ X)
    assert found[0] == pytest.approx(slope)
    assert np.isfinite(covariance[0, 0])


def test_as_many_parameters_as_data_have_no_residual_variance():
    with pytest.warns(OptimizeWarning, match="as many parameters as data"):
        found, covariance = curve_fit(lambda x, a, b: a * x + b, [0.0, 1.0], [1.0, 3.0])
    np.testing.assert_allclose(found, [2, 1])
    assert np.isinf(covariance).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        known = curve_fit(lambda x, a, b: a * x + b, [0.0, 1.0], [1.0, 3.0], sigma=1, absolute_sigma=True)
    np.testing.assert_allclose(known[1], [[2, -1], [-1, 1]])


# ---- terms of one form that start alike


@pytest.mark.parametrize("terms", [2, 3])
@pytest.mark.parametrize("traced", [True, False], ids=["autograd", "differences"])
def test_equal_terms_part_from_the_default_start(terms, traced):
    """All ones: the gradient never parts them, and the fit was that of a single exponential, undetermined."""
    x = np.linspace(0, 10, 80)
    true = np.array([3.0, 4.0, 2.0, 1.0, 1.0, 0.1])[: 2 * terms]

    def model(x, *p):
        values = sum(a * anp.exp(-k * x) for a, k in zip(p[::2], p[1::2], strict=True))
        return values if traced else np.array(values, dtype=float)

    y = model(x, *true) + 1e-3 * np.random.default_rng(0).normal(size=x.size)
    with warnings.catch_warnings():
        warnings.simplefilter("error", OptimizeWarning)
        found, covariance = curve_fit(model, x, y, np.ones(2 * terms))
    terms_found = found.reshape(terms, 2)
    order = np.argsort(-terms_found[:, 1])
    errors = np.sqrt(np.diag(covariance)).reshape(terms, 2)[order].ravel()
    assert np.all(np.abs(terms_found[order].ravel() - true) < 4 * errors)


def test_what_the_data_do_not_determine_is_fitted_once_more_and_named():
    """The second fit is no lower: the first one stands, as symmetric as its start."""
    x = np.linspace(0, 4, 30)
    with pytest.warns(OptimizeWarning, match="do not determine a - b"):
        found, _ = curve_fit(lambda x, a, b, c: a * b * x + c, x, 6 * x + 1 + 0.1 * np.sin(9 * x))
    assert found[0] == pytest.approx(found[1], rel=1e-12)


def test_data_that_do_not_fit_together_are_named():
    x = np.linspace(0, 4, 30)
    with pytest.raises(ValueError, match=r"f returns shape \(30,\), but ydata has shape \(29,\)"):
        curve_fit(lambda x, a: a * x, x, x[:-1])
    with pytest.raises(ValueError, match=r"ydata does; .*nan_policy='omit'"):
        curve_fit(lambda x, a: a * x, x, np.r_[x[:-1], np.nan])


# ---- properties


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 5),
    st.lists(st.floats(-6, 6), min_size=5, max_size=5),
    st.integers(0, 2**32 - 1),
)
def test_linear_models_in_any_units_are_solved_as_by_least_squares(n, exponents, seed):
    """Whatever the units of the parameters: the fit is lstsq's, and pcov is s^2 (X'X)^-1."""
    rng = np.random.default_rng(seed)
    plain, units = rng.normal(size=(20, n)), 10.0 ** np.array(exponents[:n])
    design = plain * units
    y = rng.normal(size=20)
    found, covariance = curve_fit(lambda x, *p: x @ anp.array(p), design, y, np.ones(n))
    exact, squares, *_ = np.linalg.lstsq(plain, y, rcond=None)  # in equal units the oracle is exact
    exact = exact / units
    inverse = np.linalg.inv(plain.T @ plain) * squares[0] / (20 - n) / np.outer(units, units)
    sizes = np.sqrt(np.diag(inverse))
    np.testing.assert_allclose(found / sizes, exact / sizes, atol=1e-7)
    np.testing.assert_allclose(
        covariance / np.outer(sizes, sizes), inverse / np.outer(sizes, sizes), atol=1e-6
    )
