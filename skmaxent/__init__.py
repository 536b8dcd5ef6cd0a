"""Multinomial logistic regression, the maximum-entropy classifier."""

from skmaxent._calibration import expected_calibration_error
from skmaxent._classifier import MaxentClassifier
from skmaxent._cross_validation import MaxentClassifierCV
from skmaxent._display import CVCurveDisplay, PathDisplay
from skmaxent._forest import CoefficientDisplay, MarginalEffectsDisplay
from skmaxent._multilabel import MultilabelMaxentClassifier
from skmaxent._onnx import register_onnx_converters
from skmaxent._path import MaxentPath, maxent_path
from skmaxent._results import InferenceResults
from skmaxent._separation import Separation, detect_separation
from skmaxent._softmax import (
    cross_entropy,
    cross_entropy_coef_gradient,
    cross_entropy_gradient,
    log_softmax,
    logsumexp,
    sigmoid,
    softmax,
    softmax_jacobian,
)
from skmaxent._versions import __version__ as __version__

__all__ = [
    "CVCurveDisplay",
    "CoefficientDisplay",
    "InferenceResults",
    "MarginalEffectsDisplay",
    "MaxentClassifier",
    "MaxentClassifierCV",
    "MaxentPath",
    "MultilabelMaxentClassifier",
    "PathDisplay",
    "Separation",
    "cross_entropy",
    "cross_entropy_coef_gradient",
    "cross_entropy_gradient",
    "detect_separation",
    "expected_calibration_error",
    "log_softmax",
    "logsumexp",
    "maxent_path",
    "register_onnx_converters",
    "sigmoid",
    "softmax",
    "softmax_jacobian",
]
