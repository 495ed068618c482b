"""The data sets of `training.py`: all offline, standardised, a quarter held out."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn import datasets
from sklearn.model_selection import train_test_split

FASHION = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's dataset-fashion-mnist puts its files, in their published format."""
MODULES = {
    "numpy": ". linalg fft random ma polynomial",
    "scipy": "stats optimize signal sparse special linalg interpolate integrate ndimage",
    "sklearn": "linear_model ensemble cluster metrics decomposition preprocessing svm tree neighbors "
    "model_selection datasets feature_selection manifold mixture covariance utils",
}
"""Whose docstrings are the texts of `docstrings`."""


class Data(NamedTuple):
    """Rows to train on and rows held out; ``y`` are labels, or one column of standardised targets."""

    X: Any
    y: np.ndarray
    X_out: Any
    y_out: np.ndarray
    classes: int


def _standard(X: np.ndarray, X_out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    middle, scale = X.mean(axis=0), X.std(axis=0)
    scale[scale == 0] = 1.0
    return (X - middle) / scale, (X_out - middle) / scale


def _labelled(X: Any, y: np.ndarray, seed: int) -> Data:
    X, X_out, y, y_out = train_test_split(X, y, random_state=seed, stratify=y)
    if isinstance(X, np.ndarray):
        X, X_out = _standard(X, X_out)
    return Data(X, y, X_out, y_out, int(y.max()) + 1)


def _measured(X: np.ndarray, y: np.ndarray, seed: int) -> Data:
    X, X_out, y, y_out = train_test_split(X, y, random_state=seed)
    X, X_out = _standard(X, X_out)
    y, y_out = _standard(y[:, None], y_out[:, None])
    return Data(X, y, X_out, y_out, 0)


def digits(seed: int) -> Data:
    """8 x 8 pixels, 1,797 samples."""
    return _labelled(*datasets.load_digits(return_X_y=True), seed)


def wine(seed: int) -> Data:
    """13 measurements, 178 wines, 3 classes."""
    return _labelled(*datasets.load_wine(return_X_y=True), seed)


def fashion(seed: int) -> Data:
    """28 x 28 pixels, the 10,000 samples of Fashion-MNIST's test set."""
    if not FASHION.is_dir():
        raise FileNotFoundError("Fashion-MNIST is not there: install Debian's package dataset-fashion-mnist")
    pixels, labels = _published("t10k-images-idx3", 16), _published("t10k-labels-idx1", 8)
    images = pixels.reshape(-1, 784) / 255.0
    X, X_out, y, y_out = train_test_split(images, labels.astype(np.intp), random_state=seed, stratify=labels)
    middle = X.mean()  # per pixel, the dark margins would be scaled up
    return Data((X - middle) / X.std(), y, (X_out - middle) / X.std(), y_out, 10)


def _published(name: str, start: int) -> np.ndarray:
    with gzip.open(FASHION / f"{name}-ubyte.gz") as file:
        return np.frombuffer(file.read(), np.uint8, offset=start)


def docstrings(seed: int) -> Data:
    """Sparse text, 2,048 hashed words: to which of three packages does a public docstring belong.

    The texts are those of the versions installed.
    """
    from sklearn.feature_extraction.text import HashingVectorizer

    texts, labels = _docstrings()
    hashed = HashingVectorizer(n_features=2048, alternate_sign=False, norm="l2").transform(texts)
    return _labelled(hashed.tocsr(), labels, seed)


def _docstrings() -> tuple[list[str], np.ndarray]:
    """Collect them; the names of the packages are blanked out, they would give the answer away."""
    import importlib
    import inspect
    import re

    found: dict[str, int] = {}
    for k, package in enumerate(MODULES):
        for name in MODULES[package].split():
            module = importlib.import_module(f"{package}.{name}" if name != "." else package)
            for member in sorted(vars(module)):
                text = inspect.getdoc(getattr(module, member)) or ""
                if not member.startswith("_") and len(text) > 200:
                    text = re.sub(r"\b(?:numpy|np|scipy|sp|sklearn|scikit|learn)\b", " ", text.lower())
                    found.setdefault(text, k)
    return list(found), np.array(list(found.values()), dtype=np.intp)


def diabetes(seed: int) -> Data:
    """10 measurements, 442 patients; noisy."""
    return _measured(*datasets.load_diabetes(return_X_y=True), seed)


def friedman1(seed: int) -> Data:
    """Friedman's first function, 10 variables of which 5 matter, 1,000 samples, noise of deviation 0.5."""
    return _measured(*datasets.make_friedman1(1000, noise=0.5, random_state=seed), seed)


def houses(seed: int) -> Data:
    """5,802 houses in West Roxbury: their value from 11 measures, and how lately each was remodelled.

    The file is in the package dmba, which goes with the book by Shmueli and others, "Data Mining for
    Business Analytics".
    The tax is left out: it is the value in other units.
    """
    package = find_spec("dmba")
    if package is None or package.origin is None:
        raise FileNotFoundError("West Roxbury's houses are not there: pip install dmba")
    path = Path(package.origin).parent / "csvFiles" / "WestRoxbury.csv.gz"
    with gzip.open(path, "rt", newline="") as file:
        rows = [{name.strip(): value for name, value in row.items()} for row in csv.DictReader(file)]
    measures = [name for name in rows[0] if name not in ("TOTAL VALUE", "TAX", "REMODEL")]
    remodelled = sorted({row["REMODEL"] for row in rows})
    X = [[float(row[m]) for m in measures] + [float(row["REMODEL"] == r) for r in remodelled] for row in rows]
    return _measured(np.array(X), np.array([float(row["TOTAL VALUE"]) for row in rows]), seed)


DATA: dict[str, tuple[Callable[[int], Data], int]] = {
    "digits": (digits, 32),
    "wine": (wine, 16),
    "docstrings": (docstrings, 16),
    "fashion": (fashion, 32),
    "diabetes": (diabetes, 16),
    "friedman1": (friedman1, 16),
    "houses": (houses, 32),
}
"""Loader and hidden units of every set."""
