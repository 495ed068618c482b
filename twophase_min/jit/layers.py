"""Passes over one layer of a network, each in a single call that releases the GIL.

NumPy needs two to fifteen calls for one of these, and releases the GIL and takes it back in each. On two
threads that evaluate blocks of rows side by side, each time is a chance to find it taken, and to sleep until
it is free: an eighth of an evaluation of 512 rows (784-128-10) in float32. On one thread fewer calls and
fewer passes over memory save a twentieth there, and a third of 100 rows of 13-16-3.

Matrices have shape (rows, units) and lie row by row; with ``across`` they are (units, rows) instead, the
transposes of matrices that lie column by column. Nothing is checked here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from twophase_min.jit.compilation import jit, register

RELU, TANH, LOGISTIC, KEPT = range(4)
"""How `pull_back` finds σ'(z): from a = σ(z), as [a > 0], 1 - a² or a (1 - a); or it is given."""


@jit
def relu_of_sum(z, b, across):
    """Overwrite z with max(z + b, 0); a NaN stays one.

    Parameters
    ----------
    z : ndarray of shape (rows, units), or (units, rows) with ``across``
    b : ndarray of shape (units,)
    across : bool
    """
    zero = z.dtype.type(0.0)
    for i in range(z.shape[0]):
        row = z[i]
        if across:
            shift = b[i]
            for j in range(row.size):
                value = row[j] + shift
                row[j] = zero if value <= zero else value
        else:
            for j in range(row.size):
                value = row[j] + b[j]
                row[j] = zero if value <= zero else value


@jit(fastmath={"contract", "reassoc"})
def pull_back(delta, a, kind, sums, across):
    """Multiply δ by σ'(z) in place, and sum it over the rows: the gradient of the biases.

    Parameters
    ----------
    delta, a : ndarray of shape (rows, units), or (units, rows) with ``across``
        δ, and σ(z), or σ'(z) if ``kind`` is `KEPT`. Both are overwritten.
    kind : int
        `RELU`, `TANH`, `LOGISTIC` or `KEPT`.
    sums : ndarray of shape (units,), float64
        Overwritten with the sums.
    across : bool
    """
    zero, one = delta.dtype.type(0.0), delta.dtype.type(1.0)
    sums[:] = 0.0
    for i in range(delta.shape[0]):
        row, slopes = delta[i], a[i]
        if kind == RELU:
            for j in range(row.size):
                slopes[j] = one if slopes[j] > zero else zero
        elif kind == TANH:
            for j in range(row.size):
                slopes[j] = one - slopes[j] * slopes[j]
        elif kind == LOGISTIC:
            for j in range(row.size):
                slopes[j] = slopes[j] * (one - slopes[j])
        if across:
            total = 0.0
            for j in range(row.size):
                row[j] *= slopes[j]
                total += np.float64(row[j])
            sums[i] = total
        else:
            for j in range(row.size):
                row[j] *= slopes[j]
                sums[j] += np.float64(row[j])


@jit
def cross_entropy(z, labels, weights):
    """Return the softmax cross-entropy, and overwrite the logits with its gradient.

    With m the largest logit of a row, y its label and r = Σ exp(z_k - m) over the others than the largest,
    the row's loss is log(1 + r) - (z_y - m), which keeps its relative accuracy where one class is nearly
    certain; its gradient is p_k but for the label, where it is minus the sum of the others.

    Parameters
    ----------
    z : ndarray of shape (rows, classes)
    labels : ndarray of shape (rows,), intp
    weights : ndarray of shape (rows,), or (0,) for equal ones
        What the row's loss counts.

    Returns
    -------
    float
        The mean over the rows.
    """
    kind = z.dtype.type
    one = kind(1.0)
    rows, classes = z.shape
    value = 0.0
    for i in range(rows):
        row = z[i]
        label = labels[i]
        top = 0
        for k in range(1, classes):
            if row[k] > row[top]:
                top = k
        largest = row[top]
        missing = row[label] - largest
        rest = 0.0
        for k in range(classes):
            row[k] = one if k == top else np.exp(row[k] - largest)
            rest += 0.0 if k == top else np.float64(row[k])
        weight = np.float64(weights[i]) if weights.size else 1.0
        value += weight * (np.log1p(rest) - np.float64(missing))
        share = kind(weight / ((1.0 + rest) * rows))
        others = 0.0
        for k in range(classes):
            row[k] *= share
            others += 0.0 if k == label else np.float64(row[k])
        row[label] = kind(-others)
    return value / rows


def _matrix(kind: type) -> NDArray[np.floating]:
    return np.zeros((1, 1), kind)


register(relu_of_sum, lambda kind: (_matrix(kind), np.zeros(1, kind), False))
register(pull_back, lambda kind: (_matrix(kind), _matrix(kind), RELU, np.zeros(1), False))
register(cross_entropy, lambda kind: (_matrix(kind), np.zeros(1, np.intp), np.zeros(1, kind)))
