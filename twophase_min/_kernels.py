"""Vector kernels at the speed of memory: Adam's update, inner products, norms, fused passes for CG, L-BFGS.

Every kernel is written so that LLVM vectorises it, in float64 and float32 alike:

- division follows IEEE 754 (``error_model="numpy"``), so no loop carries a zero check;
- scalars are cast to the vectors' dtype before the loop, so that float32 arithmetic stays float32;
- the only relaxations allowed to LLVM are fused multiply-add (``contract``) and, for sums, another order of
  the additions (``reassoc``). Neither can lose a NaN or an infinity, as ``nnan``, ``ninf`` or plain
  ``fastmath`` would (numba#2919). Norms and finiteness look at the bits of the numbers instead of comparing
  them, which lets a NaN win a maximum, and vectorises.

Sums accumulate in float64 for either dtype, block by block, so that their error grows with ``n / BLOCK``.
All vectors are one-dimensional, contiguous, of one dtype (float64 or float32) and of one length; nothing is
checked here.
"""

from __future__ import annotations

import math

import numpy as np

from ._jit import jit

BLOCK = 8192
"""Elements summed into one partial sum: 64 KiB of float64, which stays in the first two cache levels."""

_CONTRACT = {"contract"}
_SUM = {"contract", "reassoc"}

_BITS64 = np.int64(0x7FFF_FFFF_FFFF_FFFF)
_INF64 = np.int64(0x7FF0_0000_0000_0000)
_BITS32 = np.int32(0x7FFF_FFFF)
_INF32 = np.int32(0x7F80_0000)


@jit(fastmath=_CONTRACT)
def adam_step(x, m, v, g, t, lr, beta1, beta2, epsilon):
    r"""One step of Adam in place, in a single pass over seven streams (reads x, m, v, g; writes x, m, v).

    .. math::

        m_t = \beta_1 m_{t-1} + (1 - \beta_1) g_t, \qquad
        v_t = \beta_2 v_{t-1} + (1 - \beta_2) g_t^2,

        x_t = x_{t-1} - \alpha \frac{m_t / (1 - \beta_1^t)}{\sqrt{v_t / (1 - \beta_2^t)} + \epsilon},
        \qquad m_0 = v_0 = 0.

    A coordinate whose denominator is exactly zero stays where it is: with ``epsilon=0`` that is one that has
    never had a gradient, where the formula reads 0/0. A NaN in ``g`` reaches ``x``, ``m`` and ``v``.

    Parameters
    ----------
    x, m, v : ndarray of shape (n,)
        Position, first and second moment; overwritten.
    g : ndarray of shape (n,)
        Gradient at ``x``.
    t : int
        Number of this step, counted from 1.
    lr, beta1, beta2, epsilon : float
        Step length alpha (in units of x), decay rates in [0, 1), and the term that bounds the denominator
        away from zero (in units of the gradient).

    References
    ----------
    D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, arXiv:1412.6980,
    algorithm 1.
    """
    steps = float(t)
    kind = x.dtype.type
    b1 = kind(beta1)
    c1 = kind(1.0 - beta1)
    b2 = kind(beta2)
    c2 = kind(1.0 - beta2)
    rate = kind(lr / (1.0 - beta1**steps))
    root = kind(1.0 / math.sqrt(1.0 - beta2**steps))
    eps = kind(epsilon)
    zero = kind(0.0)
    for i in range(x.size):
        gi = g[i]
        mi = b1 * m[i] + c1 * gi
        vi = b2 * v[i] + c2 * (gi * gi)
        m[i] = mi
        v[i] = vi
        below = np.sqrt(vi) * root + eps
        ratio = mi / below
        x[i] -= rate * (zero if below == zero else ratio)


@jit(fastmath=_SUM)
def dot(a, b):
    """Inner product, accumulated in float64.

    Parameters
    ----------
    a, b : ndarray of shape (n,)
        Vectors of one dtype.

    Returns
    -------
    float
    """
    total = 0.0
    n = a.size
    for start in range(0, n, BLOCK):
        part = 0.0
        for i in range(start, min(start + BLOCK, n)):
            part += np.float64(a[i]) * np.float64(b[i])
        total += part
    return total


@jit(fastmath=_SUM)
def two_dots(a, b, c):
    """``(a.b, a.c)`` in one pass, accumulated in float64.

    Parameters
    ----------
    a, b, c : ndarray of shape (n,)
        Vectors of one dtype.

    Returns
    -------
    tuple of float
    """
    first = 0.0
    second = 0.0
    n = a.size
    for start in range(0, n, BLOCK):
        p = 0.0
        q = 0.0
        for i in range(start, min(start + BLOCK, n)):
            ai = np.float64(a[i])
            p += ai * np.float64(b[i])
            q += ai * np.float64(c[i])
        first += p
        second += q
    return first, second


@jit(fastmath=_CONTRACT)
def axpy(alpha, x, y):
    """``y += alpha * x`` in place.

    Parameters
    ----------
    alpha : float
        Factor, cast to the dtype of ``y``.
    x, y : ndarray of shape (n,)
        ``y`` is overwritten.
    """
    a = y.dtype.type(alpha)
    for i in range(y.size):
        y[i] += a * x[i]


@jit(fastmath=_CONTRACT)
def combine(alpha, x, beta, y, out):
    """``out = alpha * x + beta * y``; ``out`` may be ``x`` or ``y``.

    Parameters
    ----------
    alpha, beta : float
        Factors, cast to the dtype of ``out``.
    x, y, out : ndarray of shape (n,)
        ``out`` is overwritten.
    """
    a = out.dtype.type(alpha)
    b = out.dtype.type(beta)
    for i in range(out.size):
        out[i] = a * x[i] + b * y[i]


@jit(fastmath=_CONTRACT)
def trial_point(x, alpha, p, out):
    """``out = x + alpha * p``, a point along a line; ``out`` may be ``x``.

    Parameters
    ----------
    x, p, out : ndarray of shape (n,)
        Origin, direction and result.
    alpha : float
        Step, cast to the dtype of ``out``.
    """
    a = out.dtype.type(alpha)
    for i in range(out.size):
        out[i] = x[i] + a * p[i]


@jit(fastmath=_SUM)
def axpy_dot(alpha, x, y, z):
    """``y += alpha * x`` in place and ``y.z`` of the new ``y``: half a step of the two-loop recursion.

    Parameters
    ----------
    alpha : float
        Factor, cast to the dtype of ``y``.
    x, y, z : ndarray of shape (n,)
        ``y`` is overwritten; ``z`` may be ``y``.

    Returns
    -------
    float
        ``y.z``, accumulated in float64.
    """
    a = y.dtype.type(alpha)
    total = 0.0
    n = y.size
    for start in range(0, n, BLOCK):
        part = 0.0
        for i in range(start, min(start + BLOCK, n)):
            yi = y[i] + a * x[i]
            y[i] = yi
            part += np.float64(yi) * np.float64(z[i])
        total += part
    return total


@jit(fastmath=_SUM)
def difference_dots(a, b, s, out):
    """``out = a - b`` and ``(out.out, out.s)`` in one pass: y'y and s'y of a quasi-Newton pair.

    Parameters
    ----------
    a, b, s, out : ndarray of shape (n,)
        New gradient, old gradient, step, and the difference, which is overwritten (it may be ``b``).

    Returns
    -------
    tuple of float
        ``(out.out, out.s)``, accumulated in float64.
    """
    square = 0.0
    cross = 0.0
    n = a.size
    for start in range(0, n, BLOCK):
        p = 0.0
        q = 0.0
        for i in range(start, min(start + BLOCK, n)):
            yi = a[i] - b[i]
            out[i] = yi
            wide = np.float64(yi)
            p += wide * wide
            q += wide * np.float64(s[i])
        square += p
        cross += q
    return square, cross


@jit
def _largest64(bits):
    """Largest bit pattern of absolute float64 values (NaN is above infinity, infinity above the rest)."""
    top = np.int64(0)
    for i in range(bits.size):
        top = max(top, bits[i] & _BITS64)
    return top


@jit
def _largest32(bits):
    """Largest bit pattern of absolute float32 values."""
    top = np.int32(0)
    for i in range(bits.size):
        top = max(top, np.int32(bits[i] & _BITS32))
    return top


@jit
def norm_inf(x):
    """Largest absolute value; NaN if any element is NaN, 0 for an empty vector.

    Parameters
    ----------
    x : ndarray of shape (n,)
        Vector.

    Returns
    -------
    float
    """
    one = np.empty(1, np.float64)
    if x.itemsize == 8:
        one.view(np.int64)[0] = _largest64(x.view(np.int64))
        return one[0]
    half = np.empty(1, np.float32)
    half.view(np.int32)[0] = _largest32(x.view(np.int32))
    return np.float64(half[0])


@jit
def norm_neg_inf(x):
    """Smallest absolute value; NaN if any element is NaN, infinity for an empty vector.

    Parameters
    ----------
    x : ndarray of shape (n,)
        Vector.

    Returns
    -------
    float
    """
    least = math.inf
    broken = False
    for i in range(x.size):
        size = abs(np.float64(x[i]))
        broken |= size != size
        least = min(least, size)
    return math.nan if broken else least


@jit
def norm2(x):
    """Euclidean norm; neither overflow nor underflow of the squares spoils it; NaN if any element is NaN.

    Parameters
    ----------
    x : ndarray of shape (n,)
        Vector.

    Returns
    -------
    float
    """
    square = dot(x, x)
    if 1e-280 < square < math.inf or square != square:
        return math.sqrt(square)
    largest = norm_inf(x)
    if largest == 0.0 or largest == math.inf:
        return largest
    # A power of two scales without rounding. Two factors, because 2**1074 is no float64.
    _, exponent = math.frexp(largest)
    half = -exponent // 2
    up = math.ldexp(1.0, half)
    rest = math.ldexp(1.0, -exponent - half)
    total = 0.0
    for i in range(x.size):
        scaled = np.float64(x[i]) * up * rest
        total += scaled * scaled
    return math.ldexp(math.sqrt(total), exponent)


@jit
def all_finite(x):
    """Whether no element is NaN or infinite.

    Parameters
    ----------
    x : ndarray of shape (n,)
        Vector.

    Returns
    -------
    bool
    """
    n = x.size
    for start in range(0, n, BLOCK):
        part = x[start : min(start + BLOCK, n)]
        if x.itemsize == 8:
            if _largest64(part.view(np.int64)) >= _INF64:
                return False
        elif _largest32(part.view(np.int32)) >= _INF32:
            return False
    return True
