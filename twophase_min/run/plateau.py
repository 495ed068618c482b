"""Whether a run that converges all at once has flown over a minimum, onto a plateau behind it.

A peak that has left its data, a saturated unit, a rate at which everything has decayed: there f has no slope
left, as at a minimum. A run that has seen steep slopes alone, and after a single step a point without any,
cannot tell which it is. Half-way back along that step f tells: over a minimum it is higher, by a quarter of
the decrease where f is quadratic; on a plateau it is the same, and before the plateau it may be lower. Then
the run goes on from there, with a first step as long as the way to that point.
"""

from __future__ import annotations

from twophase_min.jit.compilation import jit
from twophase_min.run.exactness import noise_of
from twophase_min.run.state import CONVEX

STEEP = 2.0**-4
"""Share of the gradient's norm at x0, or where the phase began anew, that the iterate before still has."""
DROP = 2.0**-10
"""Share of that norm which is left after the step."""
LEVEL = 2.0**-5
"""Share of the decrease by which values of a plateau differ; half-way to a minimum it is a quarter."""
LOOKS = 4
"""Values asked for at most: half-way back, then towards where the plateau ends."""


@jit
def is_sudden(slot, best_f, f, size):
    """Whether an iterate passes the test of convergence after one step off a steep slope.

    Parameters
    ----------
    slot : slot of LOOP
        As the iterate before has left it.
    best_f, f, size : float
        Least value so far; value at the iterate, and the norm of the gradient that the test reads.
    """
    loop = slot[0]
    steep = loop.phase == CONVEX and loop.size > STEEP * loop.start_size
    return steep and size <= min(loop.gtol, DROP * loop.size) and f <= best_f


@jit
def narrow(slot, value, near, far):
    """Take a value half-way between two shares of the step, 1 and 0 at first; where to look next.

    Parameters
    ----------
    slot : slot of LOOP
        Of the iterate; read only.
    value : float
        f half-way.
    near, far : float
        Shares of the step: the least at which f was that of the iterate, the largest at which it was higher.

    Returns
    -------
    near, far : float
        Equal where there is nothing more to look for: f is lower, or as over a minimum.
    """
    loop = slot[0]
    middle = 0.5 * (near + far)
    level = max(noise_of(loop, loop.f), LEVEL * (loop.before - loop.f))
    if abs(value - loop.f) <= level:
        return middle, far
    if value > loop.f and near < 1.0:
        return near, middle
    return middle, middle
