"""Differences that see more: more exact schemes, and steps that fit the values of f.

SciPy's steps are as long as the rounding of float64 asks for. Values of fewer digits (a float32 sum behind a
float64 x) do not change over them, and the gradient seems to be zero. Where their rounding has been measured
(`run.noise`), it takes the place of that of their type.
"""

from __future__ import annotations

from typing import Any

from twophase_min.objective import source
from twophase_min.objective.bounds import Box
from twophase_min.objective.differences import refined_steps
from twophase_min.objective.gradient import EPS, FINITE_DIFFERENCES
from twophase_min.objective.memory import Point


class Sharpening:
    """The part of `calls.Objective` that changes how differences are formed."""

    box: Box | None
    kind: str
    reason: str
    best: Point | None
    last: Point | None
    _jac: Any
    _values: Any
    _steps: dict[str, Any]
    _lengths: list[float] | None
    _coarse: float
    _f_samples: int
    _unit: int
    _difference_calls: int

    def sharpen(self) -> bool:
        """Take more exact differences (`source.sharper`), with steps that fit; whether there are any."""
        sharper = source.sharper(self._jac, self.kind, self.reason)
        if sharper is None:
            return False
        self.kind, self.reason = sharper
        best, before = self.best, self._f_samples
        if best is not None:
            steps = refined_steps(self._values, best.x.astype(float), best.f, self._steps, self.box)
            if steps is not self._steps:
                self._steps, self._lengths = steps, steps["abs_step"].tolist()
            self.best = best._replace(g=None)
        self._difference_calls += (self._f_samples - before) // self._unit
        self.last = None
        return True

    def coarsen(self, noise: float) -> bool:
        """Take steps for values with this noise, unit f, where it exceeds their rounding; whether it does.

        Steps that the caller has chosen, or that have been refined, are kept.
        """
        best = self.best
        kept = self._steps["rel_step"] is not None or self._steps["abs_step"] is not None
        if best is None or kept or self.kind not in FINITE_DIFFERENCES[:2] or best.f == 0.0:
            return False
        relative = noise / abs(best.f)
        if not self._steps.get("eps", EPS) < relative < 1.0:
            return False
        self._coarse = self._steps["eps"] = relative
        self.best, self.last = best._replace(g=None), None
        return True
