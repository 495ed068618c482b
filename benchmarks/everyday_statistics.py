"""Everyday problems from statistics: regressions with raw columns, likelihoods, Gaussian processes.

A builder returns ``(pair, x0)`` as in `everyday_functions`. Real data are the small sets of scikit-learn;
everything simulated is seeded. Where nothing else is said the loss is a mean over the data.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np
from everyday_functions import Built
from scipy.linalg import lapack
from scipy.spatial.distance import cdist
from scipy.special import digamma, expit, gammaln

# ---- regressions


@lru_cache
def table(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Columns and targets of one of scikit-learn's small sets, as they come."""
    from sklearn import datasets

    options = {"scaled": False} if name == "diabetes" else {}
    return getattr(datasets, f"load_{name}")(return_X_y=True, **options)


def log_softmax(z: np.ndarray) -> np.ndarray:
    """Logarithms of the shares ``exp(z) / sum(exp(z))`` along the last axis, without overflow."""
    z = z - z.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def design(columns: np.ndarray, standardised: bool) -> np.ndarray:
    """Put a column of ones before the columns; standardised ones have mean 0 and deviation 1."""
    columns = columns[:, columns.std(axis=0) > 0]
    if standardised:
        columns = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    return np.column_stack([np.ones(len(columns)), columns])


def classes(name: str, standardised: bool, kept: tuple[int, ...] | None = None) -> Built:
    """Logistic regression of all or of the kept classes, multinomial for more than two, from zero.

    The penalty is scikit-learn's at C = 1: half the sum of squares over the number of data, none for the
    intercepts.
    """
    columns, label = table(name)
    chosen = np.isin(label, kept) if kept else np.ones(label.size, dtype=bool)
    a, label = design(columns[chosen], standardised), np.unique(label[chosen], return_inverse=True)[1]
    m, n, k = *a.shape, label.max() + 1
    free = np.ones(n)
    free[0] = 0.0

    def binary(x: np.ndarray) -> tuple[float, np.ndarray]:
        z = a @ x
        f = np.mean(np.logaddexp(0.0, z) - label * z) + 0.5 * np.sum(free * x * x) / m
        return float(f), (a.T @ (expit(z) - label) + free * x) / m

    def several(x: np.ndarray) -> tuple[float, np.ndarray]:
        w = x.reshape(n, k)
        logs = log_softmax(a @ w)
        f = 0.5 * np.sum(free @ (w * w)) / m - np.mean(logs[np.arange(m), label])
        miss = np.exp(logs)
        miss[np.arange(m), label] -= 1.0
        return float(f), ((a.T @ miss + free[:, None] * w) / m).ravel()

    return (binary, np.zeros(n)) if k == 2 else (several, np.zeros(n * k))


CLASSIFICATION = {
    "breast-cancer-raw": partial(classes, "breast_cancer", False),
    "wine-raw": partial(classes, "wine", False),
    "wine-standardised": partial(classes, "wine", True),
    "breast-cancer-standardised": partial(classes, "breast_cancer", True),
    "digits-3-8-raw": partial(classes, "digits", False, (3, 8)),
    "digits-4-9-standardised": partial(classes, "digits", True, (4, 9)),
    "iris-raw": partial(classes, "iris", False),
    "iris-standardised": partial(classes, "iris", True),
    "digits-1-7-standardised": partial(classes, "digits", True, (1, 7)),
    "digits-2-5-raw": partial(classes, "digits", False, (2, 5)),
}


def poisson(a: np.ndarray, y: np.ndarray) -> Built:
    """Poisson regression with the logarithmic link, from zero; ``log(y!)`` is left out."""
    m, n = a.shape

    def pair(x: np.ndarray) -> tuple[float, np.ndarray]:
        z = a @ x
        rate = np.exp(z)
        return float(np.mean(rate - y * z)), a.T @ (rate - y) / m

    return pair, np.zeros(n)


def diabetes(standardised: bool) -> Built:
    """Disease progression in tens, on ten raw or standardised columns."""
    columns, y = table("diabetes")
    return poisson(design(columns, standardised), np.round(y / 10.0))


def counts(n: int, decades: float, seed: int) -> Built:
    """Simulate 300 counts on n - 1 columns whose units spread over so many decades."""
    rng = np.random.default_rng([6, seed])
    unit = 10.0 ** rng.uniform(-decades / 2, decades / 2, n - 1)
    columns = (rng.normal(size=(300, n - 1)) + rng.uniform(0.0, 2.0, n - 1)) * unit
    effect = rng.normal(scale=0.7 / np.sqrt(n), size=n - 1) / unit
    rate = np.exp(1.0 + (columns - columns.mean(axis=0)) @ effect)
    return poisson(design(columns, False), rng.poisson(rate))


COUNTS = {
    "diabetes-raw": partial(diabetes, False),
    "diabetes-standardised": partial(diabetes, True),
    "counts4": partial(counts, 4, 2.0, 0),
    "counts6": partial(counts, 6, 3.0, 1),
    "counts9": partial(counts, 9, 2.0, 2),
    "counts15": partial(counts, 15, 1.0, 3),
    "counts6-units": partial(counts, 6, 4.0, 4),
    "counts9-units": partial(counts, 9, 4.0, 5),
}

# ---- likelihoods, parametrised by logarithms


def student(n: int, size: int, mean: bool, seed: int) -> Built:
    """Student-t regression: n coefficients, log scale, log degrees of freedom; a sum or a mean.

    Simulated with 3 degrees of freedom, the columns beyond the first in units from .1 to 10; from zero.
    """
    rng = np.random.default_rng([7, seed])
    unit = np.geomspace(0.1, 10.0, n - 1) if n > 1 else np.empty(0)
    a = np.column_stack([np.ones(size), rng.normal(size=(size, n - 1)) * unit])
    y = a @ np.concatenate([[2.0], rng.normal(size=n - 1) / unit]) + 0.5 * rng.standard_t(3.0, size)
    share = 1.0 / size if mean else 1.0

    def pair(x: np.ndarray) -> tuple[float, np.ndarray]:
        scale, nu = np.exp(x[n]), np.exp(x[n + 1])
        z = (y - a @ x[:n]) / scale
        grown = np.log1p(z * z / nu)
        half = 0.5 * (nu + 1.0)
        f = size * (x[n] + 0.5 * np.log(np.pi * nu) + gammaln(0.5 * nu) - gammaln(half)) + half * grown.sum()
        weight = (nu + 1.0) / (nu + z * z)
        by_nu = size * (0.5 / nu + 0.5 * digamma(0.5 * nu) - 0.5 * digamma(half)) + 0.5 * grown.sum()
        by_nu -= half * np.sum(z * z / (nu * (nu + z * z)))
        g = np.concatenate([-a.T @ (weight * z) / scale, [size - np.sum(weight * z * z), nu * by_nu]])
        return float(share * f), share * g

    return pair, np.zeros(n + 2)


PRIOR = 1.0
"""Weight of the squared log deviations in `mixture`: without it the likelihood has no bound."""


def mixture(centres: list[float], deviations: list[float], size: int, mean: bool, seed: int) -> Built:
    """Likelihood of a normal mixture on a line: k - 1 logits of the weights, k means, k log deviations.

    Equal weights simulated; from equal weights, quantiles as means and the data's deviation.
    """
    rng = np.random.default_rng([8, seed])
    k = len(centres)
    part = rng.integers(k, size=size)
    y = np.array(centres)[part] + np.array(deviations)[part] * rng.normal(size=size)
    share = 1.0 / size if mean else 1.0

    def pair(x: np.ndarray) -> tuple[float, np.ndarray]:
        logits, centre, logs = np.append(x[: k - 1], 0.0), x[k - 1 : 2 * k - 1], x[2 * k - 1 :]
        z = (y[:, None] - centre) * np.exp(-logs)
        weight = log_softmax(logits)
        joint = weight - logs - 0.5 * np.log(2.0 * np.pi) - 0.5 * z * z
        belongs = log_softmax(joint)
        total = joint[:, 0] - belongs[:, 0]
        belongs = np.exp(belongs)
        g = np.concatenate(
            [
                (size * np.exp(weight) - belongs.sum(axis=0))[:-1],
                -np.sum(belongs * z, axis=0) * np.exp(-logs),
                np.sum(belongs * (1.0 - z * z), axis=0) + 2.0 * PRIOR * logs,
            ]
        )
        return float(share * (PRIOR * logs @ logs - total.sum())), share * g

    quantiles = np.quantile(y, (np.arange(k) + 0.5) / k)
    return pair, np.concatenate([np.zeros(k - 1), quantiles, np.full(k, np.log(y.std()))])


LIKELIHOODS: dict[str, Callable[[], Built]] = {
    "student1": partial(student, 1, 100, False, 0),
    "student3": partial(student, 3, 200, False, 1),
    "student5-mean": partial(student, 5, 300, True, 2),
    "student10-mean": partial(student, 10, 300, True, 3),
    "student8": partial(student, 8, 200, False, 4),
    "mixture2": partial(mixture, [-1.0, 2.0], [0.5, 1.0], 300, False, 0),
    "mixture3": partial(mixture, [-3.0, 0.0, 4.0], [0.7, 0.5, 1.0], 300, False, 1),
    "mixture3-mean": partial(mixture, [-30.0, 0.0, 40.0], [7.0, 5.0, 10.0], 400, True, 2),
    "mixture2-overlapping-mean": partial(mixture, [0.0, 1.5], [1.0, 0.4], 400, True, 3),
    "mixture4": partial(mixture, [-6.0, -2.0, 2.0, 6.0], [0.5, 0.7, 0.5, 0.7], 400, False, 4),
}

# ---- Gaussian processes

Kernel = Callable[[np.ndarray], tuple[np.ndarray, list[np.ndarray]]]


def squared_exponential(points: np.ndarray) -> Kernel:
    """``exp(2 a - sum(d_j**2 exp(-2 l_j)) / 2)``, hyper-parameters l, a column each, then a."""
    squares = [cdist(column[:, None], column[:, None], "sqeuclidean") for column in points.T]

    def kernel(p: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        parts = [s * np.exp(-2.0 * length) for s, length in zip(squares, p, strict=False)]
        k = np.exp(2.0 * p[-1] - 0.5 * sum(parts))
        return k, [*(k * part for part in parts), 2.0 * k]

    return kernel


def matern(points: np.ndarray) -> Kernel:
    """Matérn 5/2, hyper-parameters log length and log amplitude."""
    distance = np.sqrt(5.0) * cdist(points, points)

    def kernel(p: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        r = distance * np.exp(-p[0])
        decay = np.exp(2.0 * p[1] - r)
        k = (1.0 + r + r * r / 3.0) * decay
        return k, [r * r * (1.0 + r) / 3.0 * decay, 2.0 * k]

    return kernel


def periodic(points: np.ndarray) -> Kernel:
    """``exp(2 a - 2 exp(-2 l) sin(pi d exp(-q))**2)``, hyper-parameters l, q (log period), a."""
    distance = np.pi * cdist(points, points)

    def kernel(p: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        turn = distance * np.exp(-p[1])
        bend = 2.0 * np.exp(-2.0 * p[0])
        s = np.sin(turn)
        k = np.exp(2.0 * p[2] - bend * s * s)
        return k, [2.0 * bend * s * s * k, bend * np.sin(2.0 * turn) * turn * k, 2.0 * k]

    return kernel


def process(
    kind: Callable[[np.ndarray], Kernel], size: int, dims: int, start: list[float], seed: int
) -> Built:
    """Negative log marginal likelihood of a zero-mean process, a sum; the last parameter is log noise.

    The data are a smooth function of points in a cube of edge 5, plus normal noise of deviation .2. A
    covariance that is not positive definite in rounding has the value infinity.
    """
    rng = np.random.default_rng([9, size, seed])
    points = rng.uniform(0.0, 5.0, (size, dims))
    y = np.sin(2.5 * points[:, 0]) + 0.3 * np.sum(points[:, 1:] ** 2, axis=1) / 5.0
    y = y - y.mean() + 0.2 * rng.normal(size=size)
    kernel = kind(points)

    def pair(x: np.ndarray) -> tuple[float, np.ndarray]:
        k, slopes = kernel(x[:-1])
        noise = np.exp(2.0 * x[-1])
        k[np.diag_indices(size)] += noise + 1e-10
        root, bad = lapack.dpotrf(k, lower=1) if np.all(np.isfinite(k)) else (k, 1)
        if bad:
            return np.inf, np.full(x.size, np.nan)
        inverse = lapack.dpotri(root, lower=1)[0]
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        weights = inverse @ y
        gap = 0.5 * (inverse - np.outer(weights, weights))
        f = 0.5 * y @ weights + np.log(np.diag(root)).sum() + 0.5 * size * np.log(2.0 * np.pi)
        return float(f), np.array([*(np.vdot(gap, s) for s in slopes), 2.0 * noise * np.trace(gap)])

    return pair, np.array(start)


PROCESSES = {
    "squared-exponential60": partial(process, squared_exponential, 60, 1, [1.0, 1.0, 0.0], 0),
    "squared-exponential80": partial(process, squared_exponential, 80, 1, [-1.0, 0.0, -0.5], 1),
    "matern70": partial(process, matern, 70, 1, [0.0, 0.0, 0.0], 2),
    "matern50": partial(process, matern, 50, 1, [1.5, 1.0, -1.0], 3),
    "lengths3": partial(process, squared_exponential, 70, 3, [0.0, 0.0, 0.0, 0.0, 0.0], 4),
    "lengths5": partial(process, squared_exponential, 90, 5, [1.0] * 5 + [0.0, 0.0], 5),
    "periodic60": partial(process, periodic, 60, 1, [0.0, 1.0, 0.0, -0.5], 6),
    "periodic80": partial(process, periodic, 80, 1, [0.5, 0.9, 0.5, 0.0], 7),
}
