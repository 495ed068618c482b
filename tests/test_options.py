"""The options: ranges, spellings, unknown names, immutability, and that each is documented."""

import dataclasses
import re

import numpy as np
import pytest
from scipy.optimize import OptimizeWarning

from twophase_min import TwoPhaseOptions
from twophase_min.phases import PHASES

FIELDS = dataclasses.fields(TwoPhaseOptions)


def test_every_field_is_documented_with_its_default():
    doc = TwoPhaseOptions.__doc__
    parameters = doc[doc.index("Parameters") : doc.index("Raises")]
    documented = {
        name.strip()
        for line in re.findall(r"^(?:    )?([a-z_0-9, ]+) : ", parameters, flags=re.MULTILINE)
        for name in line.split(",")
    }
    assert documented == {field.name for field in FIELDS}


def test_the_record_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TwoPhaseOptions().gtol = 1.0


def test_none_and_the_empty_mapping_are_the_defaults():
    assert TwoPhaseOptions.from_mapping(None) == TwoPhaseOptions.from_mapping({}) == TwoPhaseOptions()


@pytest.mark.parametrize(
    ("options", "tol", "gtol"),
    [
        ({}, 1e-3, 1e-3),
        ({"gtol": 1e-4}, 1e-3, 1e-4),
        ({"tol": 1e-4}, 1e-3, 1e-4),
        ({"tol": 1e-4, "gtol": 1e-6}, None, 1e-6),
        ({}, None, 1e-5),
        ({}, 0.0, 0.0),
    ],
)
def test_tol_is_another_name_of_gtol_and_options_win(options, tol, gtol):
    assert TwoPhaseOptions.from_mapping(options, tol).gtol == gtol


def test_maxfev_is_another_name_of_maxfun():
    assert TwoPhaseOptions.from_mapping({"maxfev": 7}).maxfun == 7
    assert TwoPhaseOptions.from_mapping({"maxfev": 7, "maxfun": 5}).maxfun == 5


def test_the_mapping_is_not_changed():
    options = {"maxfev": 3, "tol": 1e-2, "unknown": 1}
    with pytest.warns(OptimizeWarning, match="Unknown solver options: unknown"):
        TwoPhaseOptions.from_mapping(options)
    assert options == {"maxfev": 3, "tol": 1e-2, "unknown": 1}


@pytest.mark.parametrize("name", PHASES)
def test_convex_methods_in_any_case(name):
    """'BFGS' is SciPy's and 'bfgs' ours: a name as it is written comes first."""
    for spelling in (name, name.lower(), name.upper()):
        meant = spelling if spelling in PHASES else name
        assert TwoPhaseOptions(convex_method=spelling).convex_method == meant


def test_a_callable_convex_method_is_kept():
    def own(*args, **keywords):
        return None

    assert TwoPhaseOptions(convex_method=own).convex_method is own


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("gtol", [0, 1e-8, np.float32(1e-3), np.inf], [-1e-9, np.nan, "1", [1e-3], 1j]),
        ("gtol_rel", [0, 0.5], [-0.1, 1.0, np.nan]),
        ("norm", [1, 2, np.inf, -np.inf, 0.5], ["fro", None, np.nan]),
        ("learning_rate", [None, 1e-3, np.float64(1.0)], [0, -1, np.nan, "auto"]),
        ("beta1", [0, 0.99], [1, -0.1, np.nan]),
        ("beta2", [0, 0.99], [1, -0.1, np.nan]),
        ("epsilon", [None, 1e-10], [0, -1, np.nan]),
        ("swap_factor", [0.1, 1], [0, 1.1, np.nan]),
        ("swap_patience", [1, 5, np.int64(2)], [0, -1]),
        ("swap_smoothing", [0, 0.99], [1, -0.1]),
        ("max_swaps", [0, 1, 100], [-1]),
        ("maxiter", [None, 0, -5, 10, 10.5, np.inf], [np.nan, "many"]),
        ("maxfun", [None, 0, 10, np.inf], [np.nan, "many"]),
        ("maxtime", [None, 0.1, np.inf], [0, -1, np.nan]),
        ("f_target", [None, -1e3, 0], [np.nan, "low"]),
        ("c1", [1e-6, 0.39], [0, -0.1, 1.0, np.nan]),
        ("c2", [None, 0.2, 0.99], [1.0, 1e-5, np.nan]),
        ("precondition", [None, "auto"], ["magic", 3]),
        ("on_error", ["raise", "return"], ["ignore", None]),
        ("convex_method", ["CG", "memory-cg", None], ["Powell", 3]),
        ("engine", ["auto", "numba", "python"], ["cuda", None, 1]),
        ("guard", [True, False, np.True_, 0], ["yes", 0.5, [True]]),
        ("disp", [True, False, 1, None], ["no"]),
        ("seed", [0, 7, np.int64(3)], ["a", -1, 0.5]),
    ],
)
def test_ranges(name, good, bad):
    for value in good:
        assert getattr(TwoPhaseOptions(**{name: value}), name) == value
    for value in bad:
        with pytest.raises(ValueError, match=name):
            TwoPhaseOptions(**{name: value})


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("max_iter", "maxiter"),
        ("maxIter", "maxiter"),
        ("gtoll", "gtol"),
        ("lr", "learning_rate"),
        ("learningrate", "learning_rate"),
        ("convexmethod", "convex_method"),
        ("check_point", "checkpoint"),
        ("Disp", "disp"),
        ("swap-factor", "swap_factor"),
        ("n_jobs", "workers"),
        ("random_state", "seed"),
    ],
)
def test_an_unknown_name_warns_with_the_nearest(given, meant):
    with pytest.warns(OptimizeWarning) as caught:
        TwoPhaseOptions.from_mapping({given: 1, "rubbish": 2})
    assert [str(w.message) for w in caught] == [
        f"Unknown solver options: {given} (did you mean {meant!r}?), rubbish"
    ]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("memory", "memory (did you mean 'convex_options': {'memory': ...}?)"),
        ("callback", "callback (an argument beside the options)"),
    ],
)
def test_a_name_with_another_place_is_shown_it(given, told):
    with pytest.warns(OptimizeWarning) as caught:
        TwoPhaseOptions.from_mapping({given: 1})
    assert [str(w.message) for w in caught] == [f"Unknown solver options: {told}"]


def test_what_other_libraries_call_an_option_is_an_option_here():
    from twophase_min._options import _ELSEWHERE

    fields = TwoPhaseOptions.__dataclass_fields__
    assert not _ELSEWHERE.keys() & fields.keys()
    assert set(_ELSEWHERE.values()) <= fields.keys()
