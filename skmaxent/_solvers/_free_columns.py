"""A dual point for problems in which some coefficients have no penalty.

The dual objective is finite only if the gradient by these coefficients is exactly zero, which
rounding and `tol` prevent. See `_duality_gap` for the dual objective.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from skmaxent._existence import largest_range_of_logits
from skmaxent._objective._elementwise_penalty import Elementwise
from skmaxent._objective._objective import Point
from skmaxent._objective._penalty import Penalty, Ridge
from skmaxent._storage._arrays import EPS
from skmaxent._storage._vectors import inner
from skmaxent._typing import Array

# Most coefficients without a penalty, each of which takes a pass over the rows, and most
# multiplications in these passes.
MOST_FREE, MOST_WORK = 300, 1e9
# The least eigenvalue of the curvature, scaled to a unit diagonal.
LEAST_EIGENVALUE = 1e-9
# A gradient counts as zero if it is at most this many times its rounding error.
ROUNDING_ROOM = 10.0


class BalancedGradient(NamedTuple):
    """The gradient of the loss for other probabilities q of the rows.

    Attributes
    ----------
    gradient : ndarray of shape (R, d + 1)
        The mean of (q - t) x̃ᵀ. It is zero for coefficients without a penalty.
    divergence : float
        An upper bound on the mean of the Kullback-Leibler divergence of q from p, and on what
        rounding errors of the zeros may add.
    """

    gradient: Array
    divergence: float


def balanced_gradient(
    point: Point, penalty: Ridge | Penalty, error: Array
) -> BalancedGradient | None:
    """Return the gradient of a dual point q near p for which the dual objective may be finite.

    Let C_i be the curvature diag p_i - p_i p_iᵀ of row i, or diag p_i (1 - p_i) for sigmoids. Then
    q_i = p_i + C_i A x̃_i, where A (R, d + 1) is zero for coefficients with a penalty, and such that
    the gradient by the others is zero. q is a distribution if A changes no logit of a row by one or
    more. Its divergence from p is at most the mean of (A x̃)ᵀ C A x̃, which is -⟨A, ∇⟩.

    The result is None if all columns have a penalty, if there is no such A, if it costs too much,
    or if columns without penalty are nearly collinear.

    Parameters
    ----------
    point : Point
        The loss and its gradient at θ.
    penalty : Ridge or Penalty
    error : ndarray of shape (R, d + 1)
        The size of the rounding errors of the gradient.
    """
    objective, theta = point.objective, point.theta
    free = _without_penalty(penalty, theta.shape)
    free[:, :-1] &= objective.varying
    free[:, -1] = objective.fit_intercept
    places = np.flatnonzero(free)
    work = len(places) * theta.size * objective.blocks.n_samples
    if not free[:, :-1].any() or len(places) > MOST_FREE or work > MOST_WORK:
        return None
    H = np.empty((len(places), len(places)))
    for i, place in enumerate(places):
        unit = np.zeros(theta.size)
        unit[place] = 1.0
        H[i] = point.hessian_product(unit.reshape(theta.shape))[free]
    if objective.likelihood.is_coupled:
        # Shifts of all classes, which change nothing, get curvature; their gradients are zero.
        column = np.where(free.all(axis=0), np.arange(free.shape[1]), -1)
        column = np.broadcast_to(column, free.shape)[free]
        is_shift = (column[:, None] == column) & (column >= 0)
        H += is_shift * (is_shift @ H.diagonal()) / len(theta) ** 2
    inverse = _inverse(0.5 * (H + H.T))
    if inverse is None:
        return None
    before = point.loss_gradient()
    A, gradient = np.zeros_like(theta), before
    for _ in range(2):  # the second step corrects the rounding of the first
        A[free] -= inverse @ gradient[free]
        gradient = before + point.hessian_product(A)
    rounding = error + EPS * np.abs(before[free]).max()
    if not (np.abs(gradient) <= ROUNDING_ROOM * rounding)[free].all():
        return None
    (change,) = objective.blocks.map_reduce(
        largest_range_of_logits,
        objective.likelihood.is_coupled,
        *objective.for_blocks(A),
        combine=np.maximum,
    )
    if not change < 1.0:
        return None
    # The zeros have rounding errors, whose products with the distance to the optimum count.
    lost = float(np.sum(((np.abs(gradient) + error) * (1.0 + np.abs(theta)))[free]))
    gradient[free] = 0.0
    return BalancedGradient(gradient, max(-inner(A, before), 0.0) + lost)


def _inverse(H: Array) -> Array | None:
    """Return the inverse of a positive definite matrix, or None if it is nearly singular.

    A gradient that is rounding error could lead far along directions without curvature.
    """
    if not (np.isfinite(H).all() and (H.diagonal() > 0.0).all()):
        return None
    size = np.sqrt(H.diagonal())
    values, axes = np.linalg.eigh(H / np.multiply.outer(size, size))
    if not values[0] > LEAST_EIGENVALUE:
        return None
    return np.asarray((axes / values) @ axes.T / np.multiply.outer(size, size))


def _without_penalty(penalty: Ridge | Penalty, shape: tuple[int, ...]) -> Array:
    """Return which coefficients have neither a penalty nor two bounds, bool of `shape`."""
    if isinstance(penalty, Ridge):
        return np.broadcast_to(np.append(penalty.strength == 0.0, True), shape).copy()
    free = (penalty.l1 == 0.0) & (penalty.ridge == 0.0)
    if isinstance(penalty, Elementwise):
        free = free & (np.isinf(penalty.lower) | np.isinf(penalty.upper))
    return np.broadcast_to(free, shape).copy()
