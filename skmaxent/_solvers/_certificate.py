"""The certificate: an upper bound on (F - F*)/F at given coefficients, from data and penalty.

`optimality_gap` evaluates the objective itself. What it takes from a solver, such as a
preconditioner, cannot make the bound too small. F is the mean loss plus the penalty, and F* its
minimum.
"""

from __future__ import annotations

import math

import numpy as np

from skmaxent._objective._elementwise_penalty import Elementwise
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._objective._penalty import Penalty, Ridge
from skmaxent._solvers._conjugate_gradients import Step
from skmaxent._solvers._duality_gap import Means, duality_gap
from skmaxent._solvers._free_columns import balanced_gradient
from skmaxent._solvers._hessian_bounds import LastBound
from skmaxent._solvers._preconditioners import ApproximateInverse
from skmaxent._solvers._self_concordance import TIGHT, NewtonStep, self_concordance_bound
from skmaxent._typing import Array

__all__ = ["TIGHT", "Means", "optimality_gap"]


def optimality_gap(
    objective: MultinomialObjective,
    penalty: Ridge | Penalty,
    means: Means,
    theta: Array,
    *,
    preconditioner: ApproximateInverse | None = None,
    step: Step | None = None,
    least_bound: float = TIGHT,
    last: LastBound | None = None,
) -> float:
    """Return an upper bound on (F - F*)/F at θ, in [0, 1].

    It is the smaller one of the duality gap and the self-concordance bound, divided by F. If
    neither is tight, and some coefficients have no penalty, the duality gap of another dual point
    is tried; see `balanced_gradient`. If no bound is finite, the result is 1, because F* >= 0.

    Parameters
    ----------
    objective : MultinomialObjective
        The objective whose loss is a part of F.
    penalty : Ridge or Penalty
        The penalty of θ, for standardised columns.
    means : Means
        Means over the rows of this objective.
    theta : ndarray of shape (R, d + 1)
        Coefficients for standardised columns; the last column holds the intercepts.
    preconditioner : ApproximateInverse, optional
        The preconditioner of conjugate gradients, which make the bound smaller. A bad one makes the
        bound larger, but not wrong.
    step : Step, optional
        A Newton step from θ. Its residual is computed anew, so a wrong step does not make the bound
        wrong.
    least_bound : float, default=TIGHT
        If a bound is below this share of F, no other bound is computed.
    last : LastBound, optional
        A lower bound of the Hessian of the same loss at another θ. It saves most of the passes of
        the self-concordance bound, which may then be twice as large. It is updated in place.

    Notes
    -----
    The objective remembers the point that it evaluated last. The bound costs a pass over the rows
    only if that point is not θ.
    """
    if isinstance(penalty, Ridge):
        objective = objective if objective.penalty is penalty else objective.with_penalty(penalty)
    else:
        inside = penalty.project(theta)
        if inside is not theta and not (np.abs(inside - theta) <= 1e-9 * np.abs(theta)).all():
            return 1.0  # F is infinite outside of the bounds
        theta = inside
    point = objective.at(theta)
    value = point.value
    if not isinstance(penalty, Ridge):
        value = point.loss + penalty.value(theta)
    if not (np.isfinite(value) and value > 0.0):
        return 1.0  # the loss is positive; if it is zero, it consists of rounding errors
    error = _gradient_error(point)
    bound = min(value, duality_gap(point, value, penalty, means, error))
    if bound > least_bound * value:
        newton = NewtonStep(point, preconditioner, step)
        other = self_concordance_bound(
            point, value, penalty, means.shares, error, newton, last, least_bound
        )
        bound = min(bound, other)
    if bound > least_bound * value:
        balanced = balanced_gradient(point, penalty, error)
        if balanced is not None:
            bound = min(bound, duality_gap(point, value, penalty, means, error, balanced))
    # No bound is smaller than the rounding error of F.
    rounding = point.rounding + _penalty_rounding(point, penalty)
    return float(min(1.0, (bound + rounding) / value))


def _penalty_rounding(point: Point, penalty: Ridge | Penalty) -> float:
    """Return an upper bound on the change of F if coefficients are rounded to the dtype of X.

    At the optimum the derivatives of F are zero, so that the change is negligible. There are two
    exceptions, which are estimated here: a strong ridge that shrinks coefficients towards a target,
    and coefficients at a bound. Coefficients that bounds fix at the target are not rounded.
    """
    if isinstance(penalty, Ridge):
        return 0.0
    if isinstance(penalty, Elementwise) and penalty.is_l1_alone:
        return 0.0
    error = float(np.finfo(point.objective.blocks.dtype).eps) * np.abs(point.theta)
    rounding = penalty.ridge * error * (np.abs(point.theta - penalty.target) + error)
    if isinstance(penalty, Elementwise):
        rounding = np.where(penalty.lower == penalty.upper, 0.0, rounding)
        held = (point.theta == penalty.lower) | (point.theta == penalty.upper)
        slope = np.abs(point.loss_gradient()) + penalty.l1
        rounding = rounding + np.where(held, slope * error, 0.0)
    return float(np.sum(rounding))


def _gradient_error(point: Point) -> Array:
    """Return the size of the rounding errors of the gradient, (R, d + 1).

    The gradient is a mean over rows of (p - t) x̃. The products have the size of x before it is
    centred, their errors are independent, and |p - t| is below the root of the loss.
    """
    objective = point.objective
    eps = float(np.finfo(objective.blocks.dtype).eps)
    root = math.sqrt(max(objective.blocks.effective_size, 1.0))
    size = 8.0 * eps * min(1.0, math.sqrt(max(point.loss, 0.0))) / root
    error = np.empty(point.theta.shape, order="F")
    error[:, :-1] = size * (objective.column_size / objective.scale)
    error[:, -1] = size * objective.fit_intercept
    return error
