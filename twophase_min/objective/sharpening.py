"""Differences that see more: more exact schemes, and steps that fit the values of f.

SciPy's steps are as long as the rounding of float64 asks for. Values of fewer digits (a float32 sum behind a
float64 x) do not change over them, and the gradient seems to be zero. Where their rounding has been measured
(`run.noise`), it takes the place of that of their type.
"""

from __future__ import annotations

from typing import Any

from twophase_min.objective import source
from twophase_min.objective.bounds import Box
from twophase_min.objective.differences import coarser_steps, refined_steps
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
        """Take more exact differences (`source.sharper`) or steps that fit them; whether there are any.

        A scheme that the caller has chosen is kept, and only its steps become shorter.
        """
        sharper = source.sharper(self._jac, self.kind, self.reason)
        if sharper is None and self.kind not in FINITE_DIFFERENCES[:2]:
            return False
        if sharper is not None:
            self.kind, self.reason = sharper
        best, before, refined = self.best, self._f_samples, False
        if best is not None:
            x = best.x.astype(float)
            refined = self._adopt(refined_steps(self._values, x, best.f, self.kind, self._steps, self.box))
            self._difference_calls += (self._f_samples - before) // self._unit
        if sharper is None and not refined:
            return False
        if best is not None:
            self.best = best._replace(g=None)
        self.last = None
        return True

    def coarsen(self, noise: float) -> bool:
        """Take steps for values with this noise, unit f, where it exceeds their rounding; whether it does.

        Steps that the caller has chosen, or that have been refined, are kept; so is that of a variable over
        which f bends too much for a longer one.
        """
        best = self.best
        kept = self._steps["rel_step"] is not None or self._steps["abs_step"] is not None
        if best is None or kept or self.kind not in FINITE_DIFFERENCES[:2] or best.f == 0.0:
            return False
        relative, before = noise / abs(best.f), self._f_samples
        if not self._steps.get("eps", EPS) < relative < 1.0:
            return False
        x = best.x.astype(float)
        taken = self._adopt(
            coarser_steps(self._values, x, best.f, self.kind, self._steps, relative, self.box)
        )
        self._difference_calls += (self._f_samples - before) // self._unit
        if taken:
            self._coarse = relative
            self.best, self.last = best._replace(g=None), None
        return taken

    def _adopt(self, steps: dict[str, Any]) -> bool:
        """Take other steps; whether they are others."""
        if steps is self._steps:
            return False
        self._steps = steps
        if steps["abs_step"] is not None:
            self._lengths = steps["abs_step"].tolist()
        return True
