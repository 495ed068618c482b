"""A run's state as one flat dictionary of arrays: ``result.state`` for ``options={'resume': state}``.

No entry needs pickle, so that ``numpy.savez(path, **result.state)`` keeps a run and ``numpy.load(path)``
hands it back. Adam and our own conjugate gradients go on bit for bit, whichever evaluation the run was
stopped at. SciPy's methods keep their state in local variables that nobody can save: resuming restarts them
from the best point.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from twophase_min._history import History
from twophase_min.detector import ConvexitySwapDetector
from twophase_min.objective.calls import Point
from twophase_min.phases import PHASES
from twophase_min.run.build import own_solver
from twophase_min.run.guard import Course, Guard, Rate

if TYPE_CHECKING:
    from twophase_min.run.driver import Driver

VERSION = 4
"""Of the layout; another one is refused."""

_COUNTS = ("nit", "steps", "fallback", "swaps", "epoch", "batch", "unread", "apart", "curbed")
_VECTORS = ("sizes", "scales", "parked_scales")
_NUMBERS = ("failed_at", "patience", "gtol", "norm_before", "parked", "stall_span", "stall_limit", "spent")
_TEXTS = ("leg", "phase")
_PHASES = ("own", "parked_own")


def pack(driver: Driver) -> dict[str, Any]:
    """Everything that the rest of a run which has ended depends on; empty before the first iterate exists.

    The arrays are the run's own: nobody needs it any more.
    """
    if driver.adam is None:
        return {}
    objective = driver.objective
    notes = {name: getattr(driver, name) for name in (*_COUNTS, *_NUMBERS, *_TEXTS)}
    notes |= {"version": VERSION, "kind": objective.kind, "reason": objective.reason}
    notes |= {"counters": objective.state(), "detector": _detector(driver)}
    notes["exact"] = driver.leg == "adam" or (driver.phase in PHASES and not PHASES[driver.phase].external)
    notes |= {f"{name}_phase": getattr(getattr(driver, name), "name", None) for name in _PHASES}
    state: dict[str, Any] = {"notes": np.array(json.dumps(notes))}
    _put(state, "adam", driver.adam.get_state(copied=False))
    if driver.epoch_start is not None:
        _put(state, "epoch_start", driver.epoch_start)
    if driver.own is not None:
        _put(state, "own", driver.own.get_state(copied=False))
    for name, point in (("point", driver.point), ("best", objective.best), ("last", objective.last)):
        if point is not None:
            _put(state, name, point._asdict())
    for name, pairs in (("pairs", driver.pairs), ("parked_pairs", driver.parked_pairs)):
        if pairs:
            state[name] = np.array(pairs)
            pairs.clear()
    if driver.parked_own is not None:
        _put(state, "parked_own", driver.parked_own.get_state(copied=False))
    for name in _VECTORS:
        vector = getattr(driver, name)
        if vector is not None:
            state[name] = vector.copy()
    state["adam_rate"], state["course"] = driver.adam_rate.to_array(), driver.course.to_array()
    if driver.guard is not None:
        state["guard"] = driver.guard.to_array()
        state["guard_rate"] = driver.guard.rate.to_array()
        state["guard_recent"] = driver.guard.recent.to_array()
    history = driver.history.to_dict()
    history["swaps"] = np.array(json.dumps(history["swaps"]))
    _put(state, "history", history)
    return state


def unpack(driver: Driver, saved: Mapping[str, Any]) -> None:
    """Put a fresh driver where the saved one was.

    Raises
    ------
    ValueError
        If the state is none, empty, incomplete, of another version, or of another number of variables.
    """
    if not hasattr(saved, "keys") or "notes" not in saved:
        raise ValueError(
            "option 'resume' needs the non-empty `state` of a result (or numpy.load of it saved)."
        )
    try:
        _unpack(driver, saved)
    except KeyError as error:
        raise ValueError(f"The state to resume is incomplete: it has no entry {error}.") from error


def _unpack(driver: Driver, saved: Mapping[str, Any]) -> None:
    notes = json.loads(str(saved["notes"]))
    if notes["version"] != VERSION:
        raise ValueError(f"The state to resume has version {notes['version']}, this package reads {VERSION}.")
    objective = driver.objective
    point = _point(saved, "point")
    if point is None:
        raise KeyError("point/x")
    if point.x.size != objective.n:
        raise ValueError(f"The state to resume has {point.x.size} variables, x0 has {objective.n}.")
    objective.restore(notes["counters"], notes["kind"], notes["reason"])
    objective.best, objective.last = _point(saved, "best"), _point(saved, "last")
    for name in (*_COUNTS, *_NUMBERS, *_TEXTS):
        setattr(driver, name, notes[name])
    driver.unread, driver.apart = bool(driver.unread), bool(driver.apart)
    driver.gtol = max(driver.options.gtol, driver.gtol if driver.options.gtol_rel > 0 else 0.0)
    if notes["detector"] is not None:
        rule = driver.options.swap if callable(driver.options.swap) else None
        driver.detector = ConvexitySwapDetector.from_dict(notes["detector"], rule)
    driver.point = point
    for name in _VECTORS:
        if name in saved:
            setattr(driver, name, np.array(saved[name]))
    driver.adam = driver._new_adam(point)
    driver.adam.set_state(_get(saved, "adam"))
    driver.epoch_start = _get(saved, "epoch_start") or None
    driver.fallback = min(driver.fallback, len(driver._fallbacks()) - 1)  # of another method, perhaps
    if not notes["exact"]:
        driver.inexact = (
            f"Resuming was not exact: the state of {driver.phase} cannot be saved, it began anew at the best "
            "point."
        )
    if driver.curbed:
        driver.curbed = False
        driver.inexact = (
            "Resuming was not exact: maxfun had left no room for an excursion that a longer run would have "
            "made."
        )
    for name in _PHASES:
        setattr(driver, name, _own(driver, saved, name, notes[f"{name}_phase"]))
    if driver.own is None and driver.leg == "convex":
        driver.unread = False
    for name, pairs in (("pairs", driver.pairs), ("parked_pairs", driver.parked_pairs)):
        if name in saved:
            pairs.extend((s, y) for s, y in np.asarray(saved[name]))
    driver.adam_rate, driver.course = Rate.from_array(saved["adam_rate"]), Course.from_array(saved["course"])
    if "guard" in saved:
        driver.guard = Guard.from_arrays(saved["guard"], saved["guard_rate"], saved["guard_recent"])
    history = _get(saved, "history")
    driver.history = History.from_dict({**history, "swaps": json.loads(str(history["swaps"]))})


def _own(driver: Driver, saved: Mapping[str, Any], name: str, phase: str | None) -> Any:
    """Return a phase of ours as saved; None where there was none."""
    state = _get(saved, name)
    if not state:
        return None
    own = own_solver(driver.options, phase)
    own.set_state(state)
    return own


def _detector(driver: Driver) -> dict[str, Any] | None:
    """Return the detector's state; None for one that cannot be serialised (it starts afresh)."""
    try:
        return driver.detector.to_dict()
    except (TypeError, ValueError, AttributeError):
        return None


def _put(state: dict[str, Any], prefix: str, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if value is not None:
            state[f"{prefix}/{name}"] = np.asarray(value)


def _get(saved: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    start = prefix + "/"
    return {name[len(start) :]: saved[name] for name in list(saved.keys()) if name.startswith(start)}


def _point(saved: Mapping[str, Any], name: str) -> Point | None:
    values = _get(saved, name)
    if not values:
        return None
    return Point(np.array(values["x"]), float(values["f"]), np.array(values["g"]) if "g" in values else None)
