"""Hollow steps: those that keep next to nothing of the decrease that their slopes promised.

Several in a row are the mark of a wrong or inexact gradient, unless the noise of the values explains them:
values of few digits do not show a small decrease. So the noise is measured before the verdict.
"""

from __future__ import annotations

from twophase_min.jit.compilation import jit
from twophase_min.run.exactness import noise_of

HOLLOW, HOLLOW_PATIENCE, HOLLOW_ENDS = 1e-4, 5, 2
"""Share of the promised decrease that is worth the name; iterations in a row below it that end the phase, and
phases ended so that end the run."""


@jit
def seems_hollow(slot, f, predicted):
    """Whether steps of our own phase keep nothing of the ``predicted`` decrease, `HOLLOW_PATIENCE` in a row.

    The noise of the values is due then (`is_hollow`).
    """
    loop = slot[0]
    hollow = loop.before - f < HOLLOW * predicted and predicted > noise_of(loop, f)
    loop.hollow = loop.hollow + 1 if hollow else 0
    return loop.hollow >= HOLLOW_PATIENCE


@jit
def is_hollow(slot, f, predicted):
    """Whether the noise, now that it is measured, leaves a wrong gradient as the reason of hollow steps."""
    loop = slot[0]
    loop.hollow = 0
    if predicted <= noise_of(loop, f):
        return False
    loop.hollow_ends += 1
    return True
