"""A handover put on record: `machine.enter` is about to make it, `result.Report.handover` words it."""

from __future__ import annotations

from twophase_min._status import Cause
from twophase_min.jit.compilation import jit
from twophase_min.run import guard as _guard
from twophase_min.run.guard import ADAM_PATH, PHASE_PATH
from twophase_min.run.state import ADAM, BEGIN_CONVEX, CONVEX, NEXT_FALLBACK, RESUME_CONVEX


@jit
def note_event(slot, events, place, peak, norm, reason, phase_f):
    """Write down the handover that `enter` is about to make; the detector's record is the caller's to copy.

    ``peak`` and ``norm`` are the detector's largest norm and that at the iterate. ``reason`` and ``phase_f``
    are the code of the phase that failed and the value that the convex phase has reached.
    """
    loop, event = slot[0], events[place]
    following = loop.next
    event.nit = loop.nit
    event.cost = loop.cost
    event.f = loop.f
    event.norm = norm
    event.peak = peak
    event.origin = -1 if loop.cause == Cause.FIRST else loop.phase
    if following in (BEGIN_CONVEX, RESUME_CONVEX):
        event.phase = CONVEX
        event.fallback = loop.first
    else:
        event.phase = CONVEX if following == NEXT_FALLBACK else ADAM
        event.fallback = loop.fallback + 1
    event.behind = loop.cause
    event.cause = loop.cause
    if following == RESUME_CONVEX:
        event.cause = Cause.RESUMED
    event.reason = reason
    event.phase_f = phase_f
    event.best_f = loop.best_f
    event.adam_spent = _guard.spent(loop.paths[ADAM_PATH])
    event.spent = _guard.spent(loop.paths[PHASE_PATH])
    event.ahead = loop.ahead
    event.reference = loop.reference
    event.target = loop.target
