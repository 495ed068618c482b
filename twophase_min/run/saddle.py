"""Whether a run from a symmetric start has ended at a saddle.

Where f stays the same when variables are exchanged, or change their sign, and x0 does too, so do all
gradients and iterates: a mixture whose parts begin alike, a network of equal weights, atoms in a plane, a
start of one value throughout. Such a run sees f on a subspace only. Its minimum there may be a saddle, with f
falling to the side, and no gradient can tell.

Two signs of it cost nothing: variables that began at 0 and have stayed there, and variables whose sizes were
equal at x0, and still are. Directions u across (of the first any, of the others those of sum 0 in every group
of equal ones) are looked at by products with the Hessian H, in units of the variables' sizes:

    H u = (g(x + h u) - g(x)) / h.

The first u is any; the next has the least quotient u'Hu / u'u in the span of u and of its residual (steepest
descent for the least eigenvalue: Knyazev, SIAM J. Sci. Comput. 23, 2001, section 2). A quotient clearly below
0 shows a saddle. Then values are asked for along u, ever further, while they fall, and the run goes on from
the lowest.

Equal variables need not mean a symmetry: at a minimum all may be 1. Then H u has parts that no u across has,
as it cannot have by symmetry, and the first product ends the look.
"""

from __future__ import annotations

import math

import numpy as np

from twophase_min.jit.compilation import jit, register
from twophase_min.jit.kernels import dot, norm2, norm_inf

PRODUCTS = 8
"""Products with the Hessian at most."""
SHARE = 2.0**-2
"""Products at most, as a share of the evaluations so far; one is always allowed."""
LEAK = 2.0**-5
"""Share of a product that may be off the directions across, where these are those of a symmetry."""
SETTLED = 0.1
"""The quotient is taken as it is where its residual is at most this share of it."""
CLEAR = 2.0**-13
"""Share of the largest curvature seen by which a negative one must show."""
FURTHER, VALUES = 4.0, 8
"""Values along a direction of negative curvature: each so many times further away, and their number."""
ESCAPES = 8
"""Saddles that a run may leave."""
ZERO, ALIKE = 0, 1
"""The two signs: variables that have stayed at 0, variables that are equal."""
ALONE, FREE = -1, -2
"""Labels of a variable that has no part in a direction, and of one that has it by itself."""
MORE, SADDLE, MINIMUM = range(3)
"""What `tell` answers."""
ORDER, LABELS = 0, 1
"""Rows of whole numbers: see `across`."""
SIZES, U, W, V, Z = range(5)
"""Rows of numbers: sizes of the variables, a direction u, its product, another direction, its product."""
GOLDEN = 0.5 * (math.sqrt(5.0) - 1.0)
"""Its multiples modulo 1 are spread evenly: entries of a first direction."""


@jit
def allowed(work):
    """Return how many products may be asked for at an iterate after so many evaluations."""
    return max(1, min(PRODUCTS, int(SHARE * work)))


@jit(no_cpython_wrapper=True)
def _before(x0, x, i, k):
    """Whether variable i comes before k: by the size at the start, by that at the end, by number."""
    if abs(x0[i]) != abs(x0[k]):
        return abs(x0[i]) < abs(x0[k])
    if abs(x[i]) != abs(x[k]):
        return abs(x[i]) < abs(x[k])
    return i < k


@jit(no_cpython_wrapper=True)
def _arrange(x0, x, order):
    """Write the numbers of the variables in the order of `_before`; by heapsort, which needs no memory."""
    n = order.size
    for i in range(n):
        order[i] = i
    begin, end = n // 2, n
    while end > 1:
        if begin > 0:
            begin -= 1
        else:
            end -= 1
            order[0], order[end] = order[end], order[0]
        root = begin
        item = order[root]
        while 2 * root + 1 < end:
            child = 2 * root + 1
            if child + 1 < end and _before(x0, x, order[child], order[child + 1]):
                child += 1
            if not _before(x0, x, item, order[child]):
                break
            order[root] = order[child]
            root = child
        order[root] = item


@jit
def shows(x0, x, rounding, places):
    """Whether there is a sign of a symmetry, limits apart; ``places`` (int64, shape (n,)) is scratch."""
    largest = max(norm_inf(x0), norm_inf(x))
    moved = False
    for i in range(x.size):
        moved = moved or x[i] != x0[i]
    if not moved or not largest < math.inf:
        return False
    _arrange(x0, x, places)
    for k in range(x.size):
        i, before = places[k], places[max(k - 1, 0)]
        if (k > 0 and _are_alike(x0, x, before, i, rounding)) or _is_zero(x0, x, i, rounding, largest):
            return True
    return False


@jit(no_cpython_wrapper=True)
def _are_alike(x0, x, before, i, rounding):
    """Whether a variable is as large as the one before it in the order, at the start and at the end."""
    return abs(x0[before]) == abs(x0[i]) and abs(x[i]) - abs(x[before]) <= rounding ** (1.0 / 3.0) * abs(x[i])


@jit(no_cpython_wrapper=True)
def _is_zero(x0, x, i, rounding, largest):
    """Whether a variable began at 0 and has stayed there, for one of the others' size."""
    return x0[i] == 0.0 and abs(x[i]) <= math.sqrt(rounding) * largest


@jit(no_cpython_wrapper=True)
def _scale(u):
    """Give a vector the length 1; whether it has a direction."""
    length = norm2(u)
    if not 0.0 < length < math.inf:
        return False
    for i in range(u.size):
        u[i] /= length
    return True


@jit(no_cpython_wrapper=True)
def _balance(order, u):
    """Take out of u what a symmetric run has seen: the mean of every group, and variables alone."""
    first = 0
    while first < u.size:
        label = order[LABELS, order[ORDER, first]]
        end, total = first, 0.0
        while end < u.size and order[LABELS, order[ORDER, end]] == label:
            total += u[order[ORDER, end]]
            end += 1
        for k in range(first, end):
            i = order[ORDER, k]
            if label == ALONE:
                u[i] = 0.0
            elif label != FREE:
                u[i] -= total / (end - first)
        first = end


@jit
def across(sign, x0, x, rounding, lower, upper, order, beside):
    """Find the groups of variables that a symmetry may mirror or exchange, and write a direction across.

    Parameters
    ----------
    sign : int
        ZERO or ALIKE.
    x0, x : ndarray, shape (n,)
        Start and end.
    rounding : float
        Relative error of a value.
    lower, upper : ndarray, shape (n,) or (0,)
        Limits; a variable at one is left alone.
    order : ndarray of int64, shape (2, n)
        Row ORDER is as `shows` has left it: the variables, those of a group side by side. Row LABELS has the
        numbers of the groups, FREE or ALONE; written.
    beside : ndarray of float64, shape (5, n)
        Rows SIZES and U, written: sizes of the variables, with the signs of x, and the direction, of length 1
        in these units.

    Returns
    -------
    float
        Length h of a difference of gradients along the direction: rounding^(1/4) of the size of every
        variable that takes part. 0 where there are none.
    """
    n = x.size
    places, labels, sizes, u = order[ORDER], order[LABELS], beside[SIZES], beside[U]
    largest = max(norm_inf(x0), norm_inf(x))
    for k in range(n):
        i = places[k]
        size = max(abs(x[i]), abs(x0[i]))
        sizes[i] = math.copysign(size if size > math.sqrt(rounding) * largest else largest, x[i])
        u[i] = (k * GOLDEN % 1.0) ** 2 + 0.1
        labels[i] = ALONE
        inside = lower.size == 0 or lower[i] < x[i] < upper[i]
        if inside and _is_zero(x0, x, i, rounding, largest) == (sign == ZERO):
            labels[i] = FREE
            if sign == ALIKE:
                before = places[max(k - 1, 0)]
                alike = k > 0 and labels[before] >= 0 and _are_alike(x0, x, before, i, rounding)
                labels[i] = labels[before] if alike else k
    _balance(order, u)
    count = 0
    for i in range(n):
        count += 1 if u[i] != 0.0 else 0
    return math.sqrt(count * math.sqrt(rounding)) if _scale(u) else 0.0


@jit
def place(x, beside, row, t, lower, upper, trial):
    """Write the point at the distance t along a row of ``beside``; within the limits, if any."""
    for i in range(x.size):
        trial[i] = x[i] + t * beside[SIZES, i] * beside[row, i]
        if lower.size > 0:
            trial[i] = min(max(trial[i], lower[i]), upper[i])


@jit(no_cpython_wrapper=True)
def _combine(u, w, v, z):
    """Take for u the vector of least quotient in the span of u and v, which are orthogonal, and H u for w.

    Answers the quotients of least and of largest size in the span.
    """
    a, b, c = dot(u, w), 0.5 * (dot(u, z) + dot(v, w)), dot(v, z)
    middle, radius = 0.5 * (a + c), math.hypot(0.5 * (a - c), b)
    least = middle - radius
    p, q = b, least - a
    if abs(least - c) > abs(least - a):
        p, q = least - c, b
    size = math.hypot(p, q)
    if size > 0.0:
        for i in range(u.size):
            u[i] = p / size * u[i] + q / size * v[i]
            w[i] = p / size * w[i] + q / size * z[i]
    return least, max(abs(least), abs(middle + radius))


@jit
def tell(g, there, h, exactness, turn, order, beside):
    """Take the gradient at the distance h along the newest direction.

    Parameters
    ----------
    g, there : ndarray, shape (n,)
        Gradients at the point and at the trial.
    h : float
        From `across`.
    exactness : float
        Difference of values that means nothing, unit f. Divided by h^2 it is the error of a quotient.
    turn : int
        Products so far.
    order, beside : ndarray
        As `across` has left them; ``beside`` is written.

    Returns
    -------
    int
        MORE, for a product with row V; SADDLE, where f falls along row U; or MINIMUM, as far as was looked,
        and where there is no symmetry.
    """
    u, w, v = beside[U], beside[W], beside[V]
    new = w if turn == 0 else beside[Z]
    for i in range(u.size):
        new[i] = beside[SIZES, i] * (np.float64(there[i]) - np.float64(g[i])) / h
    all_of_it = norm2(new)
    _balance(order, new)
    across_it = norm2(new)
    if turn == 0:
        least, largest = dot(u, w), norm2(w)
    else:
        least, largest = _combine(u, w, v, new)
    if least < -max(CLEAR * largest, exactness / (h * h)):
        slope = 0.0
        for i in range(u.size):
            slope += np.float64(g[i]) * beside[SIZES, i] * u[i]
        for i in range(u.size):
            u[i] = -u[i] if slope > 0.0 else u[i]
        return SADDLE
    if not all_of_it * all_of_it - across_it * across_it <= (LEAK * all_of_it) ** 2:
        return MINIMUM
    for i in range(u.size):
        v[i] = w[i] - least * u[i]
    return MORE if norm2(v) > SETTLED * abs(least) and _scale(v) else MINIMUM


_VECTORS = (np.zeros(1),) * 2
_SCRATCH = np.zeros((2, 1), dtype=np.int64), np.zeros((5, 1))

register(allowed, lambda kind: (0.0,))
register(shows, lambda kind: (*_VECTORS, 0.0, np.zeros(1, dtype=np.int64)))
register(across, lambda kind: (ALIKE, *_VECTORS, 0.0, *_VECTORS, *_SCRATCH))
register(place, lambda kind: (np.zeros(1), _SCRATCH[1], U, 0.0, *_VECTORS, np.zeros(1)))
register(tell, lambda kind: (*_VECTORS, 0.0, 0.0, 0, *_SCRATCH))
