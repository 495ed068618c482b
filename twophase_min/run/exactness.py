"""How exact values of the objective are: what a run knows of their noise, and when it is measured.

What is known is in ``loop.measured`` (`noise` measures it), and read here alone.
"""

from __future__ import annotations

from twophase_min.jit.compilation import jit

DEVIATIONS = 4.0
"""Standard deviations of the error of a value within which two values count as equal."""
AGAIN = 1.5
"""The noise is measured anew when the evaluations have grown by this factor."""

_inner = jit(no_cpython_wrapper=True)


@_inner
def measured_noise(loop):
    """Difference below which values count as equal by measurement; 0 while none was made."""
    return DEVIATIONS * loop.measured


@_inner
def noise_of(loop, f):
    """Difference below which values about f count as equal: measured, or the rounding taken for granted."""
    return max(loop.rounding * abs(f), DEVIATIONS * loop.measured)


@jit
def noise_is_due(slot, cost, f):
    """Whether the noise is to be measured about f: the first time that it matters, and then ever less often.

    It is so as well where f has become much smaller than where it was measured.
    """
    loop = slot[0]
    if loop.measured_at < 0.0 or cost >= AGAIN * loop.measured_at:
        return True
    return loop.measured > 0.0 and abs(f) < 0.5 * abs(loop.measured_f)


@jit
def note_noise(slot, sigma, cost, f):
    """Take the standard deviation of the error of a value about f, measured with so many evaluations made.

    What the rounding of f explains goes with the size of f, and is in ``loop.rounding`` already.
    """
    loop = slot[0]
    loop.measured = sigma if DEVIATIONS * sigma > loop.rounding * abs(f) else 0.0
    loop.measured_at = cost
    loop.measured_f = f


@jit
def noise(slot):
    """Return `measured_noise`, for calls from Python."""
    return measured_noise(slot[0])


@jit
def exactness(slot, f):
    """Return `noise_of`, for calls from Python."""
    return noise_of(slot[0], f)
