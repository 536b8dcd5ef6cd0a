"""Second derivatives of the loss and of a ridge by coefficients in reference coding.

Coefficients are θ of standardised columns: those of r classes against the last, class-major, the
intercept last in each; r = 1 for a single logit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from skmaxent._objective._objective import Point
from skmaxent._typing import Array


def against_last(theta: Array, fit_intercept: bool) -> Array:
    """Return θ in reference coding, for K > 2 classes or for a single logit."""
    theta = theta if len(theta) == 1 else theta[:-1] - theta[-1]
    return np.asarray(theta if fit_intercept else theta[:, :-1])


def information(point: Point, dtype: DTypeLike = np.float64) -> Array:
    """Return the Fisher information of the mean loss, (r·width, r·width).

    `dtype` is that of the products over rows.
    """
    objective = point.objective
    H = point.fisher_information(dtype=dtype)
    if objective.fit_intercept:
        return H
    width = objective.blocks.n_features + 1
    kept = np.arange(len(H)) % width < width - 1
    return H[np.ix_(kept, kept)]


def ridge_gradient(strength: Array, coef: Array) -> Array:
    """Return the gradient of min_c Σ_kj strength_kj/2 (w_kj + c_j)² by w, (n_logits, d).

    The loss of three or more classes does not change where the coefficients of a feature change by
    the same c_j for all of them, and the optimum has the c_j that the penalty prefers. `strength`
    has the shape (1 or n_logits, n_features). A single logit has the penalty on itself.
    """
    gradient = strength * coef
    if len(coef) == 1:
        return gradient
    strength = np.broadcast_to(strength, coef.shape)
    total = strength.sum(axis=0)
    return np.asarray(
        gradient - strength * (gradient.sum(axis=0) / np.where(total > 0.0, total, 1.0))
    )


def ridge_information(strength: Array, n_classes: int, fit_intercept: bool) -> Array:
    """Return the Hessian of the penalty in `ridge_gradient`, in reference coding."""
    r, d = n_classes - 1, strength.shape[1]
    width = d + fit_intercept
    H = np.zeros((r, width, r, width))
    column = np.arange(d)
    for k in range(r):
        unit = np.zeros((1 if r == 1 else n_classes, d))
        unit[k] = 1.0
        H[:, column, k, column] = ridge_gradient(strength, unit)[:r]
    return H.reshape(r * width, r * width)
