"""Newton's method for rows of which only a set of possible classes is known.

The Hessian of the loss, the observed information, is the complete information minus the missing
information (Louis 1982, J. R. Stat. Soc. B 44, 226-233). A row x̃ with probabilities p, and
probabilities q given its set (zero outside of it), contributes

    [(diag p - p pᵀ) - (diag q - q qᵀ)] ⊗ x̃ x̃ᵀ.

The loss is not convex. Steps use the absolute values of the eigenvalues of H plus the ridge, after
its rows and columns have been scaled (Nocedal & Wright 2006, Numerical Optimization, section 3.4;
see `_Curvature`). They are shortened by damping until the objective is lower. A stationary point at
which some curvature is negative is left along that direction.

θ of shape (R, d + 1) are the coefficients of the standardised columns, with the intercepts in the
last column. H, of shape (R·(d + 1), R·(d + 1)), has the coefficients of a class next to each other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skmaxent._objective._kernel_context import KernelContext
from skmaxent._objective._objective import Point
from skmaxent._objective._penalty import Penalty
from skmaxent._solvers._model_minimum import SMALL_MODEL, Minimum, exact_minimum, minimise_model
from skmaxent._solvers._models import all_logits_hessian
from skmaxent._solvers._quadratic import DenseModel
from skmaxent._solvers._record import Record
from skmaxent._solvers._set_loss import SetObjective
from skmaxent._solvers._solution import SMALLEST_TOTAL, Status, root_size
from skmaxent._storage._arrays import EPS, full
from skmaxent._typing import Array

# The Hessian is assembled if it takes no more multiplications than this.
MOST_WORK = 1e8
# Curvature that is added after a step that raises the objective, relative to the largest curvature:
# the first value, the factor for each further step, and the largest value.
FIRST_DAMPING, MORE_DAMPING, MOST_SET_DAMPING = 1e-6, 10.0, 1e6
# The longest multiple of a step that is tried.
LONGEST = 2.0**20
# Shares of a step along a direction of negative curvature that are tried.
SADDLE_SHARES = tuple(8.0**-k for k in range(5))
# Most Newton steps back into a curved valley after a step that left it.
STEPS_BACK = 3
# Eigenvalues are set to at least this share of the largest one.
LEAST_EIGENVALUE = 1e-13
# A step has stalled if it gains less than this share of what the model without damping promises.
# After MOST_STALLED such steps, one after the other, the descent ends, unless it may stall.
STALLED, MOST_STALLED = 1e-3, 3
# Coefficients with a ridge of this strength or more are fixed.
STRONG_RIDGE = 1e50
# A decrease by less than this share of the objective counts as rounding.
ROUNDED = 16.0 * EPS


@dataclass(frozen=True)
class Descent:
    """The end of `descend_by_newton`.

    Attributes
    ----------
    theta : ndarray of shape (R, d + 1)
    value : float
        The loss of the sets plus the penalty at θ.
    status : Status
        CONVERGED, PRECISION if no step lowers the objective, MAX_ITER or STOPPED.
    coefficients : (ndarray of shape (R, d), ndarray of shape (R,))
        The coefficients of the columns of X, and the intercepts.
    """

    theta: Array
    value: float
    status: Status
    coefficients: tuple[Array, Array]


def affords_newton(point: Point) -> bool:
    """Return whether the Hessian is small enough to be assembled and decomposed in each step."""
    size = point.theta.size
    return size <= SMALL_MODEL and point.objective.blocks.n_samples * size**2 <= MOST_WORK


def descend_by_newton(
    theta: Array, objective: SetObjective, record: Record, tol: float, *, may_stall: bool = True
) -> Descent:
    """Return a stationary point where the objective is no higher than at θ.

    Parameters
    ----------
    theta : ndarray of shape (R, d + 1)
        The θ of the problem, as in the record and in the result.
    objective : SetObjective
        Its columns are standardised anew where those of the problem hide the curvature.
    record : Record
        Receives the iterations, and limits their number.
    tol : float
        Distance to the stationary point, in standard errors, at which to stop.
    may_stall : bool, default=True
        Whether to go on also where steps gain next to nothing of what the model without damping
        promises. Otherwise the status is then MAX_ITER.
    """
    theta = objective.penalty.recentre(theta)
    value, damping, n_stalled = objective.value_at(theta), 0.0, 0
    while True:
        point = objective.point_at(theta)
        H = observed_information(point)
        if objective.is_off_centre(H):
            theta = objective.recentre(theta)
            point = objective.point_at(theta)
            H, value = observed_information(point), objective.value_at(theta)
        root_n = root_size(point.objective.blocks.effective_size, value)
        best = _minimum(objective, point, H, 0.0)
        distance = root_n * best.distance
        status = Status.CONVERGED if distance <= tol else Status.MAX_ITER
        lower = None
        if status is Status.CONVERGED:
            lower = _lower_on_manifold(objective, point, H, value, tol / root_n)
            status = status if lower is None else Status.MAX_ITER
        counter = point.objective.counter
        here = objective.home(theta)
        status = record.add(counter, here, value, distance, status)
        has_stalled = n_stalled >= MOST_STALLED and not may_stall
        if status is not Status.MAX_ITER or record.is_full or has_stalled:
            return Descent(here, value, status, objective.coefficients(theta))
        promised, before = best.decrease, value
        if lower is not None:
            theta, value = lower
            continue
        while True:
            if damping > 0.0:
                best = _minimum(objective, point, H, damping)
            candidate = objective.value_at(best.theta)
            if _is_below(candidate, value):
                break
            damping = max(FIRST_DAMPING, MORE_DAMPING * damping)
            if damping > MOST_SET_DAMPING or best.decrease <= ROUNDED * abs(value):
                lower = _lower_on_manifold(objective, point, H, value, 0.0)
                if lower is None:
                    status = _status_at_rounding(point, value, distance)
                    return Descent(here, value, status, objective.coefficients(theta))
                best, candidate = replace(best, theta=lower[0]), lower[1]
                break
        theta, value = _extended(theta, best.theta, candidate, objective)
        n_stalled = n_stalled + 1 if before - value < STALLED * promised else 0
        damping = damping / MORE_DAMPING if damping > FIRST_DAMPING else 0.0


def _lower_on_manifold(
    objective: SetObjective, point: Point, H: Array, value: float, nearest: float
) -> tuple[Array, float] | None:
    """Return θ where the objective is lower than at a seemingly stationary point, and its value.

    The result is None if no such θ is found. Only coefficients that the penalty lets move both ways
    change. The absolute values of the eigenvalues of all coefficients may be larger than the
    curvature of these, which makes steps short. A Newton step for them is therefore tried if it is
    longer than `nearest`, and is followed by steps back into the valley that it may have left. At a
    stationary point, the objective also falls along a direction of negative curvature, both ways.
    `H` is the Hessian of the loss at the point, and `value` the objective.
    """
    penalty = objective.penalty
    theta, tangent = point.theta, penalty.tangent(point.theta)
    some = np.flatnonzero(H.any(axis=0) & tangent.free.ravel())
    if not len(some):
        return None
    ridge = _ridge(penalty, theta.shape)[some]
    is_free = tangent.free & np.equal(penalty.l1, 0.0) & np.equal(penalty.ridge, 0.0)
    H = _with_curvature_of_shifts(H, point, is_free)
    values, axes = np.linalg.eigh(H[np.ix_(some, some)] + np.diag(ridge))
    slope = axes.T @ (_loss_gradient(point) + tangent.gradient).ravel()[some]
    least = max(LEAST_EIGENVALUE * float(np.abs(values).max()), 1e-300)
    newton = -slope / np.maximum(np.abs(values), least)
    steps = []
    if float(np.sqrt(-slope @ newton)) > nearest:
        steps.append((axes @ newton, STEPS_BACK))
    if values[0] < 0.0:
        # By the quadratic model, the objective would be zero at the end of the first step.
        longest = np.sqrt(2.0 * value / -values[0]) * axes[:, 0]
        steps += [(sign * share * longest, 0) for share in SADDLE_SHARES for sign in (1.0, -1.0)]
    for step, n_back in steps:
        end = theta.copy(order="F")
        end.flat[some] += step
        end = penalty.recentre(penalty.project(end))
        end_value = objective.value_at(end)
        for _ in range(n_back):
            if _is_below(end_value, value):
                break
            there = objective.point_at(end)
            end = _minimum(objective, there, observed_information(there), 0.0).theta
            end_value = objective.value_at(end)
        if _is_below(end_value, value):
            return _extended(theta, end, end_value, objective)
    return None


def _is_below(value: float, other: float) -> bool:
    """Return whether an objective is below another one by more than rounding errors."""
    return value < other - ROUNDED * abs(other)


def _with_curvature_of_shifts(H: Array, point: Point, is_free: NDArray[np.bool_]) -> Array:
    """Return H, the Hessian of the loss, with curvature for equal changes in all classes.

    If logits are coupled, the loss does not change if a constant is added to the coefficients of a
    column for all classes. Nor does the penalty where `is_free`, which broadcasts to (R, d + 1),
    is true for all of them. Such a direction has no curvature, and rounding errors would make steps
    along it very long. For these columns, the result has the mean absolute curvature of the column
    in this direction.
    """
    R, width = point.theta.shape
    if not point.objective.likelihood.is_coupled:
        return H
    mean = np.abs(H.diagonal().reshape(R, width)).mean(axis=0)
    blocks = H.reshape(R, width, R, width).copy()
    for j in np.flatnonzero(np.broadcast_to(is_free, (R, width)).all(axis=0)):
        blocks[:, j, :, j] += mean[j] / R
    return blocks.reshape(H.shape)


def _extended(
    theta: Array, end: Array, value: float, objective: SetObjective
) -> tuple[Array, float]:
    """Double the step from θ to `end` as long as the objective falls.

    Returned are the last θ and the objective there. Newton steps are too short where the objective
    falls towards a limit. `value` is the objective at `end`.
    """
    step, length = end - theta, 2.0
    while length < LONGEST:
        longer = objective.penalty.project(np.asfortranarray(theta + length * step))
        longer_value = objective.value_at(longer)
        if not _is_below(longer_value, value):
            break
        end, value, length = longer, longer_value, 2.0 * length
    return end, value


def _status_at_rounding(point: Point, value: float, distance: float) -> Status:
    """Return the status of a descent in which no step lowers the objective by more than rounding.

    It is CONVERGED if the decrease that the distance, in standard errors, promises is small beside
    the total loss, and PRECISION otherwise.
    """
    total = point.objective.blocks.effective_size * value
    # Powers of Python's floats raise OverflowError where products are infinite.
    decrease = 0.5 * distance * distance
    is_rounding = decrease <= 1e-7 * max(min(total, 1.0), SMALLEST_TOTAL) * max(total, 1.0)
    return Status.CONVERGED if is_rounding else Status.PRECISION


def _minimum(objective: SetObjective, point: Point, H: Array, damping: float) -> Minimum:
    """Return the minimum of the quadratic model at a point plus the penalty."""
    minimum = _smooth_minimum if objective.is_plain_ridge else _nonsmooth_minimum
    return minimum(point, H, objective.penalty, damping)


def _smooth_minimum(point: Point, H: Array, penalty: Penalty, damping: float) -> Minimum:
    """Return the minimum of the quadratic model at a point plus a penalty that is a ridge.

    The model of the loss plus the ridge has the matrix of `_curvature`, with `damping` added to
    every eigenvalue.
    """
    theta = point.theta
    residual = penalty.minimum_norm_subgradient(theta, _loss_gradient(point))
    some, size, values, axes = _curvature(H, penalty, theta.shape)
    coordinates = axes.T @ (residual.ravel()[some] / size)
    natural = coordinates / (values + damping)
    step = np.zeros(theta.size)
    step[some] = (axes @ -natural) / size
    end = theta + step.reshape(theta.shape)
    if point.objective.likelihood.is_coupled:
        end -= end.mean(axis=0)
    return Minimum(end, 0.5 * float(coordinates @ natural), 0.0, is_exact=True)


def _nonsmooth_minimum(point: Point, H: Array, penalty: Penalty, damping: float) -> Minimum:
    """Return the minimum of the quadratic model at a point plus a nonsmooth penalty.

    The model of the loss has the matrix of `_smooth_minimum` less the ridge, which is a part of the
    penalty here.
    """
    gradient, theta = _loss_gradient(point), point.theta
    low, high = penalty.unbounded_signs
    H = _with_curvature_of_shifts(H, point, (low < 0.0) & (high > 0.0))
    some, size, values, axes = _curvature(H, penalty, theta.shape)
    curved = (axes * (values + damping)) @ axes.T * np.multiply.outer(size, size)
    curved.flat[:: len(some) + 1] -= _ridge(penalty, theta.shape)[some]
    matrix = np.zeros_like(H)
    matrix[np.ix_(some, some)] = curved
    model = DenseModel(matrix, theta.shape, is_coupled=False)
    found = minimise_model(model, gradient, theta, penalty)
    return found if found.is_exact else exact_minimum(found, model, gradient, theta, penalty)


def _loss_gradient(point: Point) -> Array:
    """Return the gradient of the loss, (R, d + 1), with zeros for intercepts that do not exist."""
    gradient = point.loss_gradient()
    gradient[:, -1] *= point.objective.fit_intercept
    return gradient


def _ridge(penalty: Penalty, shape: tuple[int, ...]) -> Array:
    """Return the ridge strengths of coefficients of a shape (R, d + 1), flat."""
    return np.broadcast_to(penalty.ridge, shape).ravel()


class _Curvature(NamedTuple):
    """An eigendecomposition, with absolute values, of a scaled block of H plus the ridge.

    With S the diagonal matrix of `size`, the block is S Q diag(v) Qᵀ S. Ridges that differ by many
    orders of magnitude would otherwise hide the small eigenvalues in rounding errors.

    Attributes
    ----------
    some : ndarray of int of shape (n,)
        Positions of the coefficients that may change.
    size : ndarray of shape (n,)
    values : ndarray of shape (n,)
        v.
    axes : ndarray of shape (n, n)
        Q.
    """

    some: Array
    size: Array
    values: Array
    axes: Array


def _curvature(H: Array, penalty: Penalty, shape: tuple[int, ...]) -> _Curvature:
    """Return the curvature of the coefficients that may change; `shape` is (R, d + 1).

    Coefficients without curvature (of constant columns, and intercepts that do not exist) and those
    with a ridge of STRONG_RIDGE or more stay as they are.
    """
    ridge = _ridge(penalty, shape)
    some = np.flatnonzero(ridge < STRONG_RIDGE)
    largest = np.abs(H[np.ix_(some, some)]).max(axis=0, initial=0.0)
    some, largest = some[largest > 0.0], largest[largest > 0.0]
    block = H[np.ix_(some, some)]
    size = np.sqrt(ridge[some] + largest)
    block = block / np.multiply.outer(size, size)
    block.flat[:: len(some) + 1] += ridge[some] / size**2
    values, axes = np.linalg.eigh(block)
    least = max(LEAST_EIGENVALUE * float(np.abs(values).max(initial=0.0)), 1e-300)
    return _Curvature(some, size, np.maximum(np.abs(values), least), axes)


def observed_information(point: Point) -> Array:
    """Return the Hessian of the mean loss of the sets, (R·(d + 1), R·(d + 1)).

    The targets of the rows of `point` must be the probabilities given the sets.
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
    return all_logits_hessian(blocks, likelihood.is_coupled).reshape(R * width, R * width)


def _information_of_targets(context: KernelContext) -> tuple[Array]:
    """Return the missing information Σ_i s_i (diag q_i - q_i q_iᵀ) ⊗ x̃_i x̃_iᵀ of a block.

    s are the weights, and q the targets of the free logits.
    """
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
