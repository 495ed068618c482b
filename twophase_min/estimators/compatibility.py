"""What differs between the versions of scikit-learn that are supported, 1.4 and later."""

from __future__ import annotations

from typing import Any

try:
    from sklearn.utils.validation import validate_data
except ImportError:  # before 1.6 it was a method, and tags were a dictionary

    def validate_data(
        _estimator: Any, /, X: Any = "no_validation", y: Any = "no_validation", **checks: Any
    ) -> Any:
        """Check X and y, and set or compare the number and names of the features."""
        return _estimator._validate_data(X, y, **checks)


__all__ = ["validate_data"]
