"""Two-phase minimisation: a convex method where the objective is convex, Adam where it is not.

The public names; each is imported when it is first used, so that importing the package costs milliseconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twophase_min._curve_fit import curve_fit
    from twophase_min._history import History
    from twophase_min._minimize import minimize
    from twophase_min._multistart import multistart
    from twophase_min._options import TwoPhaseOptions
    from twophase_min._scipy_methods import shgo_method, twophase
    from twophase_min._status import Status
    from twophase_min.detector import ConvexitySwapDetector, detect_swap
    from twophase_min.finite_sum import FiniteSum
    from twophase_min.jit.compilation import warmup
    from twophase_min.objective.check import GradientCheck, check_gradient
    from twophase_min.run.checkpoint import load_state, save_state

__version__ = "0.1.0"

_HOMES = {
    "curve_fit": "_curve_fit",
    "minimize": "_minimize",
    "twophase": "_scipy_methods",
    "shgo_method": "_scipy_methods",
    "ConvexitySwapDetector": "detector",
    "detect_swap": "detector",
    "FiniteSum": "finite_sum",
    "multistart": "_multistart",
    "check_gradient": "objective.check",
    "GradientCheck": "objective.check",
    "warmup": "jit.compilation",
    "TwoPhaseOptions": "_options",
    "Status": "_status",
    "History": "_history",
    "save_state": "run.checkpoint",
    "load_state": "run.checkpoint",
}
_MODULES = (
    "curvature",
    "detector",
    "estimators",
    "finite_sum",
    "gradients",
    "networks",
    "optimagic",
    "plotting",
    "problems",
    "testing",
)

__all__ = [
    "ConvexitySwapDetector",
    "FiniteSum",
    "GradientCheck",
    "History",
    "Status",
    "TwoPhaseOptions",
    "check_gradient",
    "curve_fit",
    "detect_swap",
    "load_state",
    "minimize",
    "multistart",
    "save_state",
    "shgo_method",
    "twophase",
    "warmup",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"twophase_min.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return importlib.import_module(f"twophase_min.{name}")
    raise AttributeError(f"module 'twophase_min' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES, "__version__"])
