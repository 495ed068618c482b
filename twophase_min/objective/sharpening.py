"""Differences that see more: more exact schemes, and steps that fit the values of f.

SciPy's steps are as long as the rounding of float64 asks for. Values of fewer digits (a float32 sum behind a
float64 x) do not change over them, and the gradient seems to be zero. Where their rounding has been measured
(`run.noise`), it takes the place of that of their type.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from twophase_min.objective import source
from twophase_min.objective.bounds import Box
from twophase_min.objective.differences import coarser_steps, refined_steps
from twophase_min.objective.gradient import EPS, INEXACT, STEPPED, difference_steps
from twophase_min.objective.memory import Point

WORTH = 16.0
"""Factor by which the noise must be larger than what the steps are made for; measurements differ by less."""


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
        if sharper is None and self.kind not in STEPPED:
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

    @property
    def may_refit(self) -> bool:
        """Whether the gradient is made of differences whose steps are ours to choose."""
        ours = self._steps["abs_step"] is None or self._lengths is not None
        return self.kind in STEPPED and self._steps["rel_step"] is None and ours

    @property
    def is_coarse(self) -> bool:
        """Whether the steps are longer than the rounding of the values asks for."""
        return self._coarse > 0.0

    def blur(self, noise: float) -> float:
        """Error of an entry of the gradient, unit f/x, by this error of the values; 0 but for differences."""
        if self.best is None or self.kind not in INEXACT:
            return 0.0
        scheme = "2-point" if self.kind == "2-point" else "3-point"
        steps = difference_steps(self.best.x.astype(float), scheme, **self._steps)
        return noise / float(np.min(np.abs(steps)))

    def coarsen(self, noise: float, unit: float) -> bool:
        """Take steps for values with this noise, if they are to be much longer; whether they are.

        Steps that the caller has chosen, or that have been refined, are kept; so is that of a variable over
        which f bends too much for a longer one.

        Parameters
        ----------
        noise : float
            Error of a value, unit f.
        unit : float
            What f varies by over the size of x: the decrease so far, say. SciPy's steps take abs(f) for it.
        """
        best = self.best
        if best is None or not self.may_refit or self._lengths is not None or unit == 0.0:
            return False
        eps, before = noise / unit, self._f_samples
        if not WORTH * self._steps.get("eps", EPS) < eps < 1.0:
            return False
        x = best.x.astype(float)
        steps = coarser_steps(self._values, x, best.f, self.kind, self._steps, eps, noise, self.box)
        self._difference_calls += (self._f_samples - before) // self._unit
        if not self._adopt(steps):
            return False
        self._coarse = eps
        self.best, self.last = best._replace(g=None), None
        return True

    def _adopt(self, steps: dict[str, Any]) -> bool:
        """Take other steps; whether they are others."""
        if steps is self._steps:
            return False
        self._steps = steps
        if steps["abs_step"] is not None:
            self._lengths = steps["abs_step"].tolist()
        return True
