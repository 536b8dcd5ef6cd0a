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
from skmaxent._solvers._free_basis import curvature_basis
from skmaxent._storage._arrays import EPS
from skmaxent._typing import Array

# Most coefficients without a penalty, each of which takes a pass over the rows, and most
# multiplications in these passes.
MOST_FREE, MOST_WORK = 300, 1e9
# A gradient counts as zero if it is at most this many times its rounding error.
ROUNDING_ROOM = 10.0
# Least and largest number of Newton steps: each corrects the rounding of the one before.
LEAST_STEPS, MOST_STEPS = 2, 5


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

    The gradient and A are computed in a basis of the free coefficients in which the curvature is
    the identity, so that columns without penalty may be collinear; see `curvature_basis`.

    The result is None if all columns have a penalty, if there is no such A, if it costs too much,
    or if some columns without penalty are so nearly collinear that rounding hides the difference.

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
    basis = curvature_basis(point, free)
    if basis is None:
        return None
    before = point.loss_gradient()
    # The error of an entry of the gradient, and of a step that is to make this entry zero.
    rounding = (error + EPS * np.abs(before[free]).max())[free] @ np.abs(basis.vectors)
    A, step, gradient = np.zeros_like(theta), np.zeros(basis.vectors.shape[1]), before
    for n_steps in range(1, MOST_STEPS + 1):
        part, change = np.zeros_like(theta), -(gradient[free] @ basis.vectors)
        part[free] = basis.vectors @ change
        # The product is that of this step alone: in a sum with a long step along nearly collinear
        # columns, rounding would hide a short one.
        gradient = gradient + point.hessian_product(part)
        step, A = step + change, A + part
        rest = np.abs(gradient[free] @ basis.vectors)
        is_zero = bool((rest <= ROUNDING_ROOM * rounding).all())
        if is_zero and n_steps >= LEAST_STEPS:
            break
    if not is_zero:
        return None
    (largest,) = objective.blocks.map_reduce(
        largest_range_of_logits,
        objective.likelihood.is_coupled,
        *objective.for_blocks(A),
        combine=np.maximum,
    )
    if not largest < 1.0:
        return None
    divergence = max(-float(step @ (before[free] @ basis.vectors)), 0.0)
    divergence = (np.sqrt(divergence) + _rounding_of_logits(point, A)) ** 2
    # The zeros have rounding errors, whose products with the distance to the optimum count.
    errors = rest + error[free] @ np.abs(basis.vectors)
    lost = float(errors @ (1.0 + np.abs(basis.inverse @ theta[free])))
    gradient[free] = 0.0
    return BalancedGradient(gradient, float(divergence + lost))


def _rounding_of_logits(point: Point, A: Array) -> float:
    """Return the size of the rounding errors of the logits A x̃, whose terms may cancel."""
    objective = point.objective
    size = 1.0 + np.append(objective.column_size / objective.scale, 1.0)
    eps = float(np.finfo(objective.blocks.dtype).eps)
    return eps * float((np.abs(A) @ size).max())


def _without_penalty(penalty: Ridge | Penalty, shape: tuple[int, ...]) -> Array:
    """Return which coefficients have neither a penalty nor two bounds, bool of `shape`."""
    if isinstance(penalty, Ridge):
        return np.broadcast_to(np.append(penalty.strength == 0.0, True), shape).copy()
    free = (penalty.l1 == 0.0) & (penalty.ridge == 0.0)
    if isinstance(penalty, Elementwise):
        free = free & (np.isinf(penalty.lower) | np.isinf(penalty.upper))
    return np.broadcast_to(free, shape).copy()
