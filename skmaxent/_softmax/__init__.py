"""Softmax, log-softmax, cross-entropy and their derivatives, for NumPy arrays.

Every function subtracts the maximum along the class axis from the logits, so that no finite input
overflows. It sums the exponentials below the maximum separately from the one at the maximum, so
that the log of a probability close to one, and the complement of that probability, keep their
relative accuracy.

All functions share these conventions:

* ``float32`` and ``float64`` input keeps its type; integers and booleans are computed in
  ``float64`` and ``float16`` in ``float32``.
* A class with the logit ``-inf`` has probability zero, and a class with the only logit ``+inf`` has
  probability one. If the softmax has no limit (several logits are ``+inf``, or several classes all
  have ``-inf``), or if a logit is NaN, all results for that vector of logits are NaN. No
  floating-point warning is issued.
* Arguments are never modified. A zero-dimensional result is a NumPy scalar.
"""

from skmaxent._softmax._cross_entropy import (
    cross_entropy,
    cross_entropy_coef_gradient,
    cross_entropy_gradient,
)
from skmaxent._softmax._softmax import log_softmax, logsumexp, sigmoid, softmax, softmax_jacobian

__all__ = [
    "cross_entropy",
    "cross_entropy_coef_gradient",
    "cross_entropy_gradient",
    "log_softmax",
    "logsumexp",
    "sigmoid",
    "softmax",
    "softmax_jacobian",
]
