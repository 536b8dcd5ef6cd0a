"""Newton's method for rows of which only a set of possible classes is known.

The Hessian of the loss is that of the complete data less what the sets leave open (Louis 1982,
J. R. Stat. Soc. B 44, 226-233): for a row with probabilities p, and q those within its set,

    [(diag p - p pᵀ) - (diag q - q qᵀ)] ⊗ x̃ x̃ᵀ.

The loss is not convex. Steps use the absolute values of the eigenvalues (Nocedal & Wright 2006,
Numerical Optimization, section 3.4), and are shortened by damping until the objective is lower.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skmaxent._objective._kernel_context import KernelContext
from skmaxent._objective._objective import Point
from skmaxent._objective._penalty import Penalty
from skmaxent._objective._terms import PenaltyTerms
from skmaxent._solvers._model_minimum import SMALL_MODEL, Minimum, finished, minimise
from skmaxent._solvers._models import whole_hessian
from skmaxent._solvers._quadratic import DenseModel
from skmaxent._solvers._record import Record
from skmaxent._solvers._solution import SMALLEST_TOTAL, Status, root_size
from skmaxent._storage._arrays import EPS, full
from skmaxent._typing import Array

# Multiplications of a Hessian up to which it is assembled.
MOST_WORK = 1e8
# Curvature that is added after a step that leads up, relative to the mean, and its factor.
FIRST_DAMPING, MORE_DAMPING, MOST_DAMPING = 1e-6, 10.0, 1e6
# Longest multiple of a step that is tried.
LONGEST = 2.0**20
# The least eigenvalue, relative to the largest one.
LEAST_EIGENVALUE = 1e-13
# Ridges from which on coefficients are fixed.
STRONG_RIDGE = 1e50
# A decrease of a smaller share of the objective is rounding.
ROUNDED = 16.0 * EPS


@dataclass(frozen=True)
class Descent:
    """Where the descent ended.

    Attributes
    ----------
    theta : ndarray of shape (R, d + 1)
    value : float
        The objective of the sets.
    status : Status
        CONVERGED, PRECISION if no step lowers the objective, MAX_ITER or STOPPED.
    """

    theta: Array
    value: float
    status: Status


def affords_newton(point: Point) -> bool:
    """Return whether the Hessian is small enough to be assembled and decomposed in each step."""
    size = point.theta.size
    return size <= SMALL_MODEL and point.objective.blocks.n_samples * size**2 <= MOST_WORK


def descend_by_newton(
    theta: Array,
    spread_at: Callable[[Array], Point],
    value_at: Callable[[Array], float],
    terms: PenaltyTerms,
    record: Record,
    tol: float,
) -> Descent:
    """Return a stationary point that is no higher than θ.

    Parameters
    ----------
    theta : ndarray of shape (R, d + 1)
    spread_at : callable
        Returns, for θ, the point of the objective whose targets are those that the model at θ gives
        within the sets. Its gradient of the loss is that of the loss of the sets.
    value_at : callable
        The objective of the sets at θ, penalty included.
    terms : PenaltyTerms
        Penalty and bounds of θ.
    record : Record
        Receives the iterations, of which there are as many as it has room for.
    tol : float
        Distance to the stationary point, in standard errors, at which to stop.
    """
    value, damping = value_at(theta), 0.0
    penalty = terms.nonsmooth_penalty()
    least = _newton_step if terms.is_smooth else _minimum
    while True:
        point = spread_at(theta)
        H = observed_information(point)
        root_n = root_size(point.objective.blocks.effective_size, value)
        best = least(point, H, penalty, 0.0)
        distance = root_n * best.distance
        status = Status.CONVERGED if distance <= tol else Status.MAX_ITER
        counter = point.objective.counter
        status = record.add(counter, theta, value, distance, status)
        if status is not Status.MAX_ITER or record.is_full:
            return Descent(theta, value, status)
        mean = float(np.trace(H)) / len(H)
        while True:
            if damping > 0.0:
                best = least(point, H, penalty, damping * mean)
            candidate = value_at(best.theta)
            if candidate < value - ROUNDED * abs(value):
                break
            damping = max(FIRST_DAMPING, MORE_DAMPING * damping)
            if damping > MOST_DAMPING or best.decrease <= ROUNDED * abs(value):
                return Descent(theta, value, _at_rounding(point, value, distance))
        theta, value = _extended(theta, best.theta, candidate, value_at, penalty)
        damping = damping / MORE_DAMPING if damping > FIRST_DAMPING else 0.0


def _extended(
    theta: Array,
    end: Array,
    value: float,
    value_at: Callable[[Array], float],
    penalty: Penalty,
) -> tuple[Array, float]:
    """Return the lowest of points 1, 2, 4, ... steps from θ, and its value, while it falls.

    Newton's steps are too short where the objective falls towards a limit. `value` is that at
    `end`, one step from θ.
    """
    step, length = end - theta, 2.0
    while length < LONGEST:
        longer = penalty.project(np.asfortranarray(theta + length * step))
        longer_value = value_at(longer)
        if not longer_value < value:
            break
        end, value, length = longer, longer_value, 2.0 * length
    return end, value


def _at_rounding(point: Point, value: float, distance: float) -> Status:
    """Return how a descent ends that rounding keeps from going on.

    What is left of the objective, by the distance in standard errors, must be rounding too.
    """
    total = point.objective.blocks.effective_size * value
    is_rounding = 0.5 * distance**2 <= 1e-7 * max(min(total, 1.0), SMALLEST_TOTAL) * max(total, 1.0)
    return Status.CONVERGED if is_rounding else Status.PRECISION


def _newton_step(point: Point, H: Array, penalty: Penalty, damping: float) -> Minimum:
    """Return the minimum of the quadratic model at a point, with its damping and a ridge."""
    theta = point.theta
    residual = penalty.minimum_norm_subgradient(theta, _loss_gradient(point))
    some, values, axes = _curvature(H, penalty, theta.shape)
    coordinates = axes.T @ residual.ravel()[some]
    natural = coordinates / (values + damping)
    step = np.zeros(theta.size)
    step[some] = axes @ -natural
    end = theta + step.reshape(theta.shape)
    if point.objective.likelihood.is_coupled:
        end -= end.mean(axis=0)
    return Minimum(end, 0.5 * float(coordinates @ natural), 0.0, is_exact=True)


def _minimum(point: Point, H: Array, penalty: Penalty, damping: float) -> Minimum:
    """Return the minimum of the quadratic model at a point, with its damping, and the penalty.

    The ridge belongs to the penalty, and is not in the matrix of the model.
    """
    gradient, theta = _loss_gradient(point), point.theta
    some, values, axes = _curvature(H, penalty, theta.shape)
    curved = (axes * values) @ axes.T
    curved.flat[:: len(some) + 1] += damping - _ridge(penalty, theta.shape)[some]
    matrix = np.zeros_like(H)
    matrix[np.ix_(some, some)] = curved
    model = DenseModel(matrix, theta.shape, is_coupled=False)
    found = minimise(model, gradient, theta, penalty)
    return found if found.is_exact else finished(found, model, gradient, theta, penalty)


def _loss_gradient(point: Point) -> Array:
    """Return the gradient of the loss, zero for intercepts if there are none."""
    gradient = point.loss_gradient()
    gradient[:, -1] *= point.objective.fit_intercept
    return gradient


def _ridge(penalty: Penalty, shape: tuple[int, ...]) -> Array:
    return np.broadcast_to(penalty.ridge, shape).ravel()


def _curvature(H: Array, penalty: Penalty, shape: tuple[int, ...]) -> tuple[Array, Array, Array]:
    """Return absolute eigenvalues of H and the ridge together, and the eigenvectors.

    They are those of the coefficients at some positions, which are returned first. Constant
    columns, and the intercepts if there are none, have no curvature, and coefficients with an
    infinite penalty do not move.
    """
    ridge = _ridge(penalty, shape)
    some = np.flatnonzero(H.any(axis=0) & (ridge < STRONG_RIDGE))
    values, axes = np.linalg.eigh(H[np.ix_(some, some)] + np.diag(ridge[some]))
    least = max(LEAST_EIGENVALUE * float(np.abs(values).max(initial=0.0)), 1e-300)
    return some, np.maximum(np.abs(values), least), axes


def observed_information(point: Point) -> Array:
    """Return the Hessian of the mean loss of the sets, (R·(d + 1), R·(d + 1)).

    The targets of the point's rows are the probabilities within their sets.
    """
    objective = point.objective
    R, width = objective.shape
    (missing,) = point.map_reduce(_information_of_targets)
    H = point.fisher_information() - missing / objective.total_weight
    likelihood = objective.likelihood
    r = likelihood.n_free
    blocks = H.reshape(r, width, r, width)
    if not objective.fit_intercept:
        blocks[:, -1] = blocks[:, :, :, -1] = 0.0
    return whole_hessian(blocks, likelihood.is_coupled).reshape(R * width, R * width)


def _information_of_targets(context: KernelContext) -> tuple[Array]:
    """Return Σ_i s_i (diag q_i - q_i q_iᵀ) ⊗ x̃_i x̃_iᵀ of a block for targets q."""
    likelihood, X = context.likelihood, context.rows
    targets = context.block.targets.astype(np.float64)
    Q = targets[None] if targets.ndim == 1 else targets.T
    r, width = likelihood.n_free, len(X)
    H = full((r, width, r, width), 0.0, np.float64, X)
    for k in range(r):
        spread = likelihood.curvature_row(Q, k) * context.weights
        s = len(spread)
        Y = (spread[:, None, :] * X).reshape(s * width, -1)
        H[k : k + s, :, k, :] += (Y @ X.T).reshape(s, width, width)
    for k in range(r):
        H[k, :, k + 1 :, :] = H[k + 1 :, :, k, :].transpose(2, 0, 1)
    return (H.reshape(r * width, r * width),)
