"""Multinomial logistic regression, the maximum-entropy classifier."""

from skmaxent._classifier import MaxentClassifier
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

__version__ = "0.1.0"

__all__ = [
    "MaxentClassifier",
    "cross_entropy",
    "cross_entropy_coef_gradient",
    "cross_entropy_gradient",
    "log_softmax",
    "logsumexp",
    "sigmoid",
    "softmax",
    "softmax_jacobian",
]
