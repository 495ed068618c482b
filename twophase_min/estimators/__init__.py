"""Networks as scikit-learn estimators, trained by `minimize`; needs the extra ``sklearn``."""

try:
    import sklearn  # noqa: F401
except ImportError as error:
    raise ImportError(
        "twophase_min.estimators needs scikit-learn: pip install 'twophase_min[sklearn]'."
    ) from error

from twophase_min.estimators.classifier import TwoPhaseMLPClassifier
from twophase_min.estimators.regressor import TwoPhaseMLPRegressor

__all__ = ["TwoPhaseMLPClassifier", "TwoPhaseMLPRegressor"]
