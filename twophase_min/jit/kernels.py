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
from typing import Any

import numpy as np

from twophase_min.jit.compilation import compiled_as, intrinsic, jit, register
from twophase_min.jit.threads import pool

BLOCK = 8192
"""Elements summed into one partial sum: 64 KiB of float64, which stays in the first two cache levels."""

_CONTRACT = {"contract"}
_SUM = {"contract", "reassoc"}

THREADED_FROM = 3 << 19
"""Bytes of one vector from which Adam's step is shared out over threads, 1.5 MiB: a single core needs 120
microseconds or more for it, and waking a helper costs some 20 to 40."""

_CHUNK = 1 << 14


@jit(fastmath=_CONTRACT)
def adam_serial(x, m, v, g, t, lr, beta1, beta2, epsilon):
    """`adam_step` on the calling thread."""
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
        ratio = mi / below  # ahead of the choice, where it vectorises without a mask
        x[i] -= rate * (zero if below == zero else ratio)


@compiled_as(adam_serial)
def adam_step(x, m, v, g, t, lr, beta1, beta2, epsilon):
    r"""One step of Adam in place, in a single pass over seven streams (reads x, m, v, g; writes x, m, v).

    .. math::

        m_t = \beta_1 m_{t-1} + (1 - \beta_1) g_t, \qquad
        v_t = \beta_2 v_{t-1} + (1 - \beta_2) g_t^2,

        x_t = x_{t-1} - \alpha \frac{m_t / (1 - \beta_1^t)}{\sqrt{v_t / (1 - \beta_2^t)} + \epsilon},
        \qquad m_0 = v_0 = 0.

    A coordinate whose denominator is exactly zero stays where it is: with ``epsilon=0`` that is one that has
    never had a gradient, where the formula reads 0/0. A NaN in ``g`` reaches ``x``, ``m`` and ``v``.

    From Python, large vectors are shared out over threads; the result is the same bit for bit. Inside a
    compiled function this is the serial kernel.

    Parameters
    ----------
    x, m, v : ndarray of shape (n,)
        Position, first and second moment, which must not overlap; overwritten.
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
    # len first: it costs a third of nbytes, and small vectors are stepped most often.
    if len(x) < THREADED_FROM // 8 or x.nbytes < THREADED_FROM:
        adam_serial(x, m, v, g, t, lr, beta1, beta2, epsilon)
    else:
        _adam_threaded(x, m, v, g, (t, lr, beta1, beta2, epsilon))


def _adam_threaded(x: Any, m: Any, v: Any, g: Any, scalars: tuple[float, ...]) -> None:
    threads = pool()
    # Four chunks a thread even out a core that is taken away; whole multiples keep every chunk aligned alike.
    chunk = -(-x.size // (4 * threads.threads * _CHUNK)) * _CHUNK

    def work(k):
        part = slice(k * chunk, (k + 1) * chunk)
        adam_serial(x[part], m[part], v[part], g[part], *scalars)

    threads.run(work, -(-x.size // chunk))


@jit(fastmath=_SUM)
def _dot(a, b):
    total = 0.0
    for i in range(a.size):
        total += np.float64(a[i]) * np.float64(b[i])
    return total


@jit
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
    # Slices, not an offset: Numba wraps negative indices around, and only a count from 0 shows LLVM that
    # there are none. With an offset the loop gathers element by element.
    if a.size <= BLOCK:
        return _dot(a, b)
    total = 0.0
    for start in range(0, a.size, BLOCK):
        part = slice(start, start + BLOCK)
        total += _dot(a[part], b[part])
    return total


@jit(fastmath=_SUM)
def _two_dots(a, b, c):
    first = 0.0
    second = 0.0
    for i in range(a.size):
        ai = np.float64(a[i])
        first += ai * np.float64(b[i])
        second += ai * np.float64(c[i])
    return first, second


@jit
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
    if a.size <= BLOCK:
        return _two_dots(a, b, c)
    first = 0.0
    second = 0.0
    for start in range(0, a.size, BLOCK):
        part = slice(start, start + BLOCK)
        p, q = _two_dots(a[part], b[part], c[part])
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
def axpby(alpha, x, beta, y):
    """``y = alpha * x + beta * y`` in place, as in ``p = -g + beta * p``.

    Parameters
    ----------
    alpha, beta : float
        Factors, cast to the dtype of ``y``.
    x, y : ndarray of shape (n,)
        ``y`` is overwritten.
    """
    a = y.dtype.type(alpha)
    b = y.dtype.type(beta)
    for i in range(y.size):
        y[i] = a * x[i] + b * y[i]


@jit(fastmath=_CONTRACT)
def combine(alpha, x, beta, y, out):
    """``out = alpha * x + beta * y``.

    ``out`` may be ``x`` or ``y``, but LLVM then takes the scalar loop for overlapping vectors: `axpby`
    is the one to use in place.

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
    """``out = x + alpha * p``, a point along a line.

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


# Inlined by force: on ten variables the calls of these two took two fifths of a run, their arithmetic one.
@jit(fastmath=_SUM, forceinline=True)
def _axpy_dot(a, x, y, z):
    total = 0.0
    for i in range(y.size):
        yi = y[i] + a * x[i]
        y[i] = yi
        total += np.float64(yi) * np.float64(z[i])
    return total


@jit(forceinline=True)
def axpy_dot(alpha, x, y, z):
    """``y += alpha * x`` in place and ``y.z`` of the new ``y``: half a step of the two-loop recursion.

    Parameters
    ----------
    alpha : float
        Factor, cast to the dtype of ``y``.
    x, y, z : ndarray of shape (n,)
        ``y`` is overwritten; ``z`` may be ``y`` (right, but not vectorised).

    Returns
    -------
    float
        ``y.z``, accumulated in float64.
    """
    a = y.dtype.type(alpha)
    if y.size <= BLOCK:
        return _axpy_dot(a, x, y, z)
    total = 0.0
    for start in range(0, y.size, BLOCK):
        part = slice(start, start + BLOCK)
        total += _axpy_dot(a, x[part], y[part], z[part])
    return total


@jit(fastmath=_SUM)
def _difference_dots(a, b, s, out):
    square = 0.0
    cross = 0.0
    for i in range(a.size):
        yi = a[i] - b[i]
        out[i] = yi
        wide = np.float64(yi)
        square += wide * wide
        cross += wide * np.float64(s[i])
    return square, cross


@jit
def difference_dots(a, b, s, out):
    """``out = a - b`` and ``(out.out, out.s)`` in one pass: y'y and s'y of a quasi-Newton pair.

    Parameters
    ----------
    a, b, s, out : ndarray of shape (n,)
        New gradient, old gradient, step, and the difference, which is overwritten.

    Returns
    -------
    tuple of float
        ``(out.out, out.s)``, accumulated in float64.
    """
    if a.size <= BLOCK:
        return _difference_dots(a, b, s, out)
    square = 0.0
    cross = 0.0
    for start in range(0, a.size, BLOCK):
        part = slice(start, start + BLOCK)
        p, q = _difference_dots(a[part], b[part], s[part], out[part])
        square += p
        cross += q
    return square, cross


@intrinsic(lambda: None)
def out_of_line(context):
    """Keep the kernel that calls this from being copied into its callers, where it would be unrolled."""
    from numba import types

    def generate(context, builder, signature, arguments):
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.none(), generate


# Not ndarray.view: reading a kernel that uses it from the disk imports a good part of Numba (40 ms).
@intrinsic(lambda value: abs(value).view(np.int64 if value.itemsize == 8 else np.int32))
def _size_bits(context, value):
    """Bits of an absolute value, as an integer."""
    from numba import types

    bits: Any = types.int64 if value == types.float64 else types.int32

    def generate(context, builder, signature, arguments):
        kind = context.get_value_type(bits)
        sign = kind(1 << (bits.bitwidth - 1))
        return builder.and_(builder.bitcast(arguments[0], kind), builder.not_(sign))

    return bits(value), generate


@intrinsic(lambda bits: bits.view(np.float64 if bits.itemsize == 8 else np.float32))
def _from_bits(context, bits):
    """Floating-point number with these bits."""
    from numba import types

    value = types.float64 if bits == types.int64 else types.float32

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(value))

    return value(bits), generate


@jit
def _extremes(x):
    """Smallest and largest bit pattern of absolute values; infinity is above all numbers, NaN above it."""
    low = _size_bits(x.dtype.type(np.nan))
    top = _size_bits(x.dtype.type(0.0))
    for i in range(x.size):
        size = _size_bits(x[i])
        low = min(low, size)
        top = max(top, size)
    return low, top


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
    return np.float64(_from_bits(_extremes(x)[1]))


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
    if x.size == 0:
        return math.inf
    low, top = _extremes(x)
    most = np.float64(_from_bits(top))
    return most if most != most else np.float64(_from_bits(low))


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
    # by division, which overflows to inf where Python's own ldexp raises
    return math.sqrt(total) / up / rest


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
    for start in range(0, x.size, BLOCK):
        largest = norm_inf(x[start : start + BLOCK])
        if not largest < math.inf:
            return False
    return True


@jit(no_cpython_wrapper=True)
def copy(source, target):
    """``target[:] = source``, which would compile the texts of all its error messages too.

    Parameters
    ----------
    source, target : ndarray of shape (n,)
        ``target`` is overwritten.
    """
    out_of_line()
    for i in range(target.size):
        target[i] = source[i]


register(adam_serial, lambda kind: (*[np.zeros(1, kind)] * 4, 1, 0.0, 0.0, 0.0, 0.0))
register(dot, lambda kind: (np.zeros(1, kind),) * 2)
for _norm in (norm_inf, norm2, norm_neg_inf, all_finite):
    register(_norm, lambda kind: (np.zeros(1, kind),))
