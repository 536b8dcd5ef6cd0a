"""Second derivatives of the loss and of a ridge by coefficients in reference coding.

θ are the coefficients of d standardised columns, (n_logits, d + 1), with the intercepts last.
Reference coding subtracts the last of K classes from the other r = K - 1; a single logit stays as
it is, with r = 1. Matrices have the order of the flattened array (r, width), where width is d + 1
with an intercept, else d.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from skmaxent._objective._kernel_context import NEARLY_SURE
from skmaxent._objective._objective import Point
from skmaxent._typing import Array


def against_last(theta: Array, fit_intercept: bool) -> Array:
    """Return θ in reference coding, (r, width)."""
    theta = theta if len(theta) == 1 else theta[:-1] - theta[-1]
    return np.asarray(theta if fit_intercept else theta[:, :-1])


def information(point: Point, dtype: DTypeLike = np.float64) -> Array:
    """Return the Fisher information of the mean loss at a point, (r·width, r·width).

    `dtype` is the dtype of the products over rows. The curvatures of single rows keep their digits,
    because few of the rows may determine a standard error.
    """
    objective = point.objective
    H = point.fisher_information(dtype=dtype, nearly_one=NEARLY_SURE)
    if objective.fit_intercept:
        return H
    width = objective.blocks.n_features + 1
    kept = np.arange(len(H)) % width < width - 1
    return H[np.ix_(kept, kept)]


def ridge_gradient(strength: Array, coef: Array) -> Array:
    """Return the gradient by w of the ridge R(w) = min_c Σ_kj strength_kj/2 (w_kj + c_j)².

    The loss does not change if the same c_j is added to the coefficients of feature j of all
    classes. Coefficients in reference coding therefore leave c_j open, and their penalty is the
    smallest over c. A single logit has no such c, and R is Σ_j strength_j/2 w_j².

    Parameters
    ----------
    strength : ndarray of shape (1 or n_logits, d)
        The factors of the ridge; a single row is that of all classes.
    coef : ndarray of shape (n_logits, d)
        The coefficients w.

    Returns
    -------
    ndarray of shape (n_logits, d)
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
    """Return the Hessian of the ridge of `ridge_gradient` by coefficients in reference coding.

    Parameters
    ----------
    strength : ndarray of shape (1 or n_logits, d)
        As in `ridge_gradient`.
    n_classes : int
    fit_intercept : bool
        Whether the matrix has rows and columns for intercepts, which are zero.

    Returns
    -------
    ndarray of shape (r·width, r·width)
    """
    r, d = n_classes - 1, strength.shape[1]
    width = d + fit_intercept
    H = np.zeros((r, width, r, width))
    column = np.arange(d)
    for k in range(r):
        unit = np.zeros((1 if r == 1 else n_classes, d))
        unit[k] = 1.0
        H[:, column, k, column] = ridge_gradient(strength, unit)[:r]
    return H.reshape(r * width, r * width)
