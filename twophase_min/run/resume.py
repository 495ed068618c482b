"""A run's state as one flat dictionary of arrays: ``result.state`` for ``options={'resume': state}``.

No entry needs pickle: `checkpoint.save_state` and `load_state` keep a run in NumPy's ``.npz`` format. Adam
and our own conjugate gradients go on bit for bit, whichever evaluation the run was stopped at. SciPy's
methods keep their state in local variables that nobody can save: resuming restarts them from the best point.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from twophase_min._history import History
from twophase_min.detector import ConvexitySwapDetector
from twophase_min.objective.bounds import Box
from twophase_min.objective.memory import Point
from twophase_min.phases import is_ours
from twophase_min.run.build import own_solver
from twophase_min.run.state import CONVEX, GO_ON, LOOP

if TYPE_CHECKING:
    from twophase_min.run.driver import Driver

VERSION = 9
"""Of the layout; another one is refused."""

_LIMITS = (
    "maxiter",
    "maxfun",
    "max_swaps",
    "rounding",
    "automatic",
    "guarded",
    "sampled",
    "fallbacks",
    "quick",
)
"""Members of `state.LOOP` that the options of the resuming run set."""
_VECTORS = ("x0", "sizes", "scales", "suspended_scales")


def pack(driver: Driver, ended: bool = True) -> dict[str, Any]:
    """Everything that the rest of a run depends on; empty before the first iterate exists.

    The arrays are the run's own. Once it has ended nobody else needs them; of a run that goes on
    (``ended=False``, between two evaluations) they must be written before it does.
    """
    if driver.adam is None:
        return {}
    objective, loop = driver.objective, driver.loop
    notes: dict[str, Any] = {"version": VERSION, "kind": objective.kind, "reason": objective.reason}
    notes |= {"epoch": driver.epoch, "stretch": driver.stretch.notes(), "phase": driver.phase}
    notes |= {"looks": driver.looks, "measured": [np.asarray(answer).tolist() for answer in driver.measured]}
    notes |= {"counters": objective.state(), "detector": _detector(driver)}
    notes["exact"] = loop.phase != CONVEX or is_ours(driver.phase)
    state: dict[str, Any] = {"notes": np.array(json.dumps(notes)), "loop": LOOP.array(driver.slot).copy()}
    if objective.box is not None:
        _put(state, "box", objective.box._asdict())
    _put(state, "adam", driver.adam.get_state(copied=False))
    if driver.epoch_start is not None:
        _put(state, "epoch_start", driver.epoch_start)
    if driver.stretch.gradient is not None:
        state["stretch"] = driver.stretch.gradient.copy()
    points = (("point", driver.point), ("best", objective.best), ("last", objective.last))
    before = driver.before if loop.doubted else None
    for name, point in (*points, ("unsound", objective.unsound), ("before", before)):
        if point is not None:
            _put(state, name, point._asdict())
    for name, pairs in (("pairs", driver.pairs), ("suspended_pairs", driver.suspended_pairs)):
        if pairs:
            state[name] = np.array(pairs)
            if ended:
                pairs.clear()
    for name, own in (("own", driver.own), ("suspended_own", driver.suspended_own)):
        if own is not None:
            _put(state, name, {"name": own.name, **own.get_state(copied=False)})
    for name in _VECTORS:
        vector = getattr(driver, name)
        if vector is not None:
            state[name] = vector.copy()
    history = driver.history.to_dict()
    history["swaps"] = np.array(json.dumps(history["swaps"]))
    _put(state, "history", history)
    return state


def unpack(driver: Driver, saved: Mapping[str, Any]) -> None:
    """Put a fresh driver where the saved one was.

    Raises
    ------
    ValueError
        If the state is none, empty, incomplete, of another version, of another number of variables, or
        outside the present bounds.
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
    objective, options = driver.objective, driver.options
    point = _point(saved, "point")
    if point is None:
        raise KeyError("point/x")
    if point.x.size != objective.n:
        raise ValueError(f"The state to resume has {point.x.size} variables, x0 has {objective.n}.")
    box, best = objective.box, _point(saved, "best")
    if box is not None and not all(box.holds(known.x) for known in (point, best) if known is not None):
        raise ValueError("The state to resume is outside of the bounds: begin anew from its point/x.")
    objective.restore(notes["counters"], notes["kind"], notes["reason"])
    objective.recall(best, _point(saved, "last"), _point(saved, "unsound"))
    driver.epoch = notes["epoch"]
    driver.stretch.restore(notes["stretch"], saved.get("stretch"))
    driver.looks, driver.measured = notes["looks"], notes["measured"]
    _loop(driver, saved["loop"])
    if notes["detector"] is not None:
        rule = options.swap if callable(options.swap) else None
        driver.detector = ConvexitySwapDetector.from_dict(notes["detector"], rule)
    driver.point, driver.before = point, _point(saved, "before") or point
    for name in _VECTORS:
        if name in saved:
            setattr(driver, name, np.array(saved[name]))
    driver.adam = driver.new_adam(point)
    alike = _same_box(box, _get(saved, "box"))
    if alike:
        driver.adam.set_state(_get(saved, "adam"))
        driver.epoch_start = _get(saved, "epoch_start") or None
    else:
        driver.inexact = "Resuming was not exact: under other bounds the phases began anew."
    if not notes["exact"]:
        driver.measured = driver.measured if driver.loop.doubted else []
        driver.inexact = (
            f"Resuming was not exact: the state of {notes['phase']} cannot be saved, it began anew at the "
            "best point."
        )
    if driver.loop.curbed:
        driver.loop.curbed = 0
        driver.inexact = (
            "Resuming was not exact: maxfun had left no room for a trial of Adam that a longer run would "
            "have made."
        )
    if alike:
        driver.own, driver.suspended_own = _own(driver, saved, "own"), _own(driver, saved, "suspended_own")
    if driver.own is None and driver.loop.phase == CONVEX:
        driver.loop.unread = 0
    for name, pairs in (("pairs", driver.pairs), ("suspended_pairs", driver.suspended_pairs)):
        if name in saved:
            pairs.extend((s, y) for s, y in np.asarray(saved[name]))
    history = _get(saved, "history")
    driver.history = History.from_dict({**history, "swaps": json.loads(str(history["swaps"]))})


def _same_box(box: Box | None, saved: Mapping[str, Any]) -> bool:
    """Whether a run had the bounds that the resuming one has."""
    if box is None or not saved:
        return box is None and not saved
    return all(np.array_equal(limit, saved[name]) for name, limit in box._asdict().items())


def _loop(driver: Driver, saved: Any) -> None:
    """Take over what the run decides by, but for the limits, which are those of the present options."""
    loop, array = driver.loop, LOOP.array(driver.slot)
    limits = {name: getattr(loop, name) for name in _LIMITS}
    array[:] = LOOP.array(LOOP.load(saved))
    for name, value in limits.items():
        setattr(loop, name, value)
    loop.gtol = max(driver.options.gtol, loop.gtol if driver.options.gtol_rel > 0 else 0.0)
    last = loop.fallbacks - 1  # of another method, perhaps
    loop.fallback, loop.first = min(loop.fallback, last), min(loop.first, last)
    loop.next = GO_ON


def _own(driver: Driver, saved: Mapping[str, Any], name: str) -> Any:
    """Return a phase of ours as saved; None where there was none, or where another method goes on."""
    state = _get(saved, name)
    method, _ = driver.fallbacks[driver.loop.fallback if name == "own" else driver.loop.first]
    if not state or str(state.pop("name")) != method:
        return None
    own = own_solver(driver.options, method)
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
