"""A basis of the coefficients without penalty in which the curvature of the loss is the identity.

Columns without penalty may be collinear, such as all levels of a factor beside an intercept, or
nearly so. Along a combination of coefficients that changes no logit the loss is constant, and its
derivative is zero whatever its computed value. Along one that changes logits a little, the
derivative has far larger rounding errors, measured by the change of the logits, than the derivative
by one coefficient. The basis tells both apart.

θ (R, d + 1) are the coefficients of the d standardised columns x̃ for R logits, with the intercepts
last. f of them are free, which means that they have no penalty.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from skmaxent._objective._objective import Point
from skmaxent._solvers._null_directions import change_no_logit, without_rounded_entries
from skmaxent._typing import Array

# Eigenvalues of the curvature, scaled to a unit diagonal, of which at least half of the digits are
# right: at least LEAST_EIGENVALUE, and LEAST_DIGITS times the machine epsilon of X's dtype.
LEAST_EIGENVALUE, LEAST_DIGITS = 1e-9, 1e4
# An eigenvalue below this many times the machine epsilon and f may be a rounding error.
UNRESOLVED = 64.0
# The curvature is computed at most this many times. Each time brings out differences of columns
# that are shorter by a factor of 1e-7 or so for float64.
MOST_PASSES = 3


class Basis(NamedTuple):
    """Combinations of the free coefficients along which the loss is not constant.

    Attributes
    ----------
    vectors : ndarray of shape (f, m)
        The combinations, as columns. The curvature of the loss is nearly the identity in this
        basis, apart from shifts of all classes, which do not change the loss.
    inverse : ndarray of shape (m, f)
        The coordinates of free coefficients in the basis are `inverse` times the coefficients.
    """

    vectors: Array
    inverse: Array


def curvature_basis(point: Point, free: Array) -> Basis | None:
    """Return a basis of the free coefficients, or None if rounding hides some of the curvature.

    The eigenvectors of the curvature, divided by the roots of their eigenvalues, are the basis. The
    eigenvalues of nearly collinear columns are rounding errors at first. The curvature is therefore
    computed again for the logits of the basis, in which these columns are differences of
    unit length (shifted Cholesky QR; Fukaya et al. 2020, SIAM J. Sci. Comput. 42, A477-A503). An
    eigenvector is left out only if it changes no logit of any row beyond the rounding errors of the
    terms of this logit.

    Parameters
    ----------
    point : Point
    free : bool ndarray of shape (R, d + 1)
        Which coefficients are free.
    """
    f, eps = int(np.count_nonzero(free)), float(np.finfo(point.objective.blocks.dtype).eps)
    H = _curvature(point, free, np.eye(f))
    # Shifts of all classes, which change nothing, get curvature; their gradients are zero.
    shifts = np.zeros((0, f))
    if point.objective.likelihood.is_coupled:
        place = np.broadcast_to(np.arange(free.shape[1]), free.shape)[free]
        shifts = np.equal.outer(np.flatnonzero(free.all(axis=0)), place).astype(np.float64)
        shifts *= np.sqrt(shifts @ H.diagonal())[:, None] / len(free)
    H += shifts.T @ shifts
    if not (np.isfinite(H).all() and (H.diagonal() > 0.0).all()):
        return None
    size = np.sqrt(H.diagonal())
    H /= np.multiply.outer(size, size)
    # Coordinates of the coefficients times `size`.
    vectors, inverse, null = np.eye(f), np.eye(f), np.empty((f, 0))
    least, unresolved = max(LEAST_EIGENVALUE, LEAST_DIGITS * eps), UNRESOLVED * eps * f
    for n_passes in range(1, MOST_PASSES + 1):
        values, axes = np.linalg.eigh(H)
        vectors, inverse = vectors @ axes, axes.T @ inverse
        kept = values > least
        if not kept.all():
            directions = np.zeros((np.count_nonzero(~kept), *free.shape))
            left_out = without_rounded_entries((vectors[:, ~kept] / size[:, None]).T)
            directions[:, free] = left_out
            kept[~kept] = ~change_no_logit(point.objective, directions)
            null = np.column_stack([null, vectors[:, ~kept]])
            vectors, inverse, values = vectors[:, kept], inverse[kept], values[kept]
        root = np.sqrt(np.maximum(values, unresolved))
        vectors, inverse = vectors / root, inverse * root[:, None]
        if (values > least).all():
            # What the vectors contain of those left out makes them longer, but changes no logit.
            known = np.linalg.qr(null / np.linalg.norm(null, axis=0))[0]
            vectors = vectors - known @ (known.T @ vectors)
            return Basis(vectors / size[:, None], inverse * size)
        if n_passes < MOST_PASSES:
            shifted = shifts @ (vectors / size[:, None])
            H = _curvature(point, free, vectors / size[:, None]) + shifted.T @ shifted
            if not np.isfinite(H).all():
                return None
    return None


def _curvature(point: Point, free: Array, vectors: Array) -> Array:
    """Return VᵀHV for the Hessian H of the loss and combinations V (f, m) of free coefficients."""
    H = np.empty((vectors.shape[1], vectors.shape[1]))
    for i, vector in enumerate(vectors.T):
        direction = np.zeros(free.shape, order="F")
        direction[free] = vector
        H[i] = point.hessian_product(direction)[free] @ vectors
    return 0.5 * (H + H.T)
