"""Symmetric matrices as their lower triangle, packed by rows: n (n + 1) / 2 numbers.

An update and a product are one pass over them.
"""

from __future__ import annotations

from twophase_min.jit.compilation import jit

STEP, PRODUCT, FULL, OPERAND, OUT, APART = range(6)
"""Rows of the work vectors: s and H y of the update that is due; H g; a vector to multiply; the product; and,
within bounds, 1 for variables of which H has the diagonal entry alone."""


@jit(fastmath={"contract", "reassoc"})
def _two_rows(upper, lower, keep, e1, f1, e2, f2, s, w, v1, v2, v, out):
    """Update two rows left of the diagonal; their products with v, and those of their transposes into out.

    Two at a time, because the four vectors are then read half as often.
    """
    first = 0.0
    second = 0.0
    for j in range(upper.size):
        sj = s[j]
        wj = w[j]
        vj = v[j]
        one = keep * upper[j] + (e1 * sj + f1 * wj)
        two = keep * lower[j] + (e2 * sj + f2 * wj)
        upper[j] = one
        lower[j] = two
        first += one * vj
        second += two * vj
        out[j] += one * v1 + two * v2
    return first, second


@jit
def update_and_multiply(inverse, work, keep, ss, sw, ww):
    """Set ``H = keep H + ss s s' + sw (s w' + w s') + ww w w'`` and multiply it by row OPERAND, into row OUT.

    Parameters
    ----------
    inverse : ndarray of float64, shape (n (n + 1) / 2,)
        Lower triangle of H by rows; overwritten.
    work : ndarray of float64, shape (5, n)
        s is row STEP, w row PRODUCT.
    keep, ss, sw, ww : float
        Coefficients.
    """
    s, w, v, out = work[STEP], work[PRODUCT], work[OPERAND], work[OUT]
    n = s.size
    for i in range(n):
        out[i] = 0.0
    i = 0
    at = 0
    if n % 2 == 1:
        inverse[0] = keep * inverse[0] + (ss * s[0] + 2.0 * sw * w[0]) * s[0] + ww * w[0] * w[0]
        out[0] = inverse[0] * v[0]
        i = 1
        at = 1
    while i < n:
        below = at + i + 1
        k = i + 1
        e1 = ss * s[i] + sw * w[i]
        f1 = sw * s[i] + ww * w[i]
        e2 = ss * s[k] + sw * w[k]
        f2 = sw * s[k] + ww * w[k]
        first, second = _two_rows(
            inverse[at : at + i], inverse[below : below + i], keep, e1, f1, e2, f2, s[:i], w[:i],
            v[i], v[k], v[:i], out[:i],
        )  # fmt: skip
        upper = keep * inverse[at + i] + (e1 * s[i] + f1 * w[i])
        off = keep * inverse[below + i] + (e2 * s[i] + f2 * w[i])
        lower = keep * inverse[below + k] + (e2 * s[k] + f2 * w[k])
        inverse[at + i] = upper
        inverse[below + i] = off
        inverse[below + k] = lower
        out[i] += first + upper * v[i] + off * v[k]
        out[k] += second + off * v[i] + lower * v[k]
        at = below + k + 1
        i += 2


@jit(no_cpython_wrapper=True)
def place(i, j):
    """Where entry (i, j) is."""
    return i * (i + 1) // 2 + j if j <= i else j * (j + 1) // 2 + i


@jit
def take_out(inverse, column, i):
    """Take variable i out of the inverse H of a matrix: ``H - H e e'H / e'He``; its diagonal entry stays.

    What is left is the inverse of the matrix without row and column i (Schur complement).

    Parameters
    ----------
    inverse : ndarray of float64, shape (n (n + 1) / 2,)
        Lower triangle of H by rows; overwritten.
    column : ndarray of float64, shape (n,)
        Scratch.
    i : int
        The variable.
    """
    n = column.size
    for j in range(n):
        column[j] = inverse[place(i, j)]
    diagonal = column[i]
    at = 0
    for j in range(n):
        share = column[j] / diagonal
        for k in range(j + 1):
            inverse[at + k] -= share * column[k]
        at += j + 1
    for j in range(n):
        inverse[place(i, j)] = diagonal if j == i else 0.0
