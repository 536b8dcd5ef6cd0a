"""By how much rounding the coefficients of a fit to their dtype raises the objective."""

from __future__ import annotations

import numpy as np

from skmaxent._model._training_problem import TrainingProblem
from skmaxent._objective._likelihood import Likelihood
from skmaxent._objective._objective import MultinomialObjective
from skmaxent._solvers import UNBOUNDED, Solution
from skmaxent._solvers._precise_rows import loss_of_rows
from skmaxent._storage._arrays import EPS
from skmaxent._storage._block import Block
from skmaxent._storage._device_blocks import DeviceBlocks
from skmaxent._typing import Array, KernelResult

# The rounding of coefficients may raise the objective by this share without a warning.
ROUNDED_SHARE = 1e-6


def rounding_excess(
    training: TrainingProblem,
    solution: Solution,
    strength: float | None = None,
    correction: Array | float = 0.0,
) -> float:
    """Return the relative increase of the objective by rounding its coefficients.

    For a rounding error δ, the increase is δᵀHδ/2, or the difference between the values of the
    objective if that is larger. If it is at most `ROUNDED_SHARE`, the result is an upper bound. It
    is infinite if the objective overflows at the rounded coefficients alone.

    Parameters
    ----------
    training : TrainingProblem
    solution : Solution
    strength : float, optional
        The factor of the penalty of a solution of a path; the default is that of the problem.
    correction : ndarray of shape (n_logits,) or float, default=0.0
        What is added to the intercepts before they are rounded.
    """
    if not np.isfinite(solution.value):  # the gap is 1
        return 0.0
    if training.dtype != np.float32:
        return _excess_in_float64(training, solution, correction)
    objective, value = solution.point.objective, max(abs(solution.value), 1e-300)
    strength = training.strength if strength is None else strength
    coef, intercept = training.user_coefficients(solution.coef, solution.intercept + correction)
    theta = training.theta(coef, intercept - correction)
    exact = objective.from_coefficients(solution.coef, solution.intercept)
    if objective.likelihood.is_coupled:
        # A common shift of the intercepts changes no probability, but hides errors of the loss.
        theta[:, -1] -= np.mean(theta[:, -1] - exact[:, -1])
    excess = _rounding_of_fixed(training, solution, coef, strength)
    room = ROUNDED_SHARE * value - excess
    excess += _increase(training, objective, exact, theta, strength, value, room)
    return np.inf if np.isnan(excess) else excess / value


def needs_warning_of_rounding(training: TrainingProblem, solution: Solution, excess: float) -> bool:
    """Return whether `rounding_excess` is so large that users should know, and do not yet.

    In float64 they know if columns with inexact logits are named, or if no finite coefficients are
    optimal.
    """
    if not excess > ROUNDED_SHARE or training.dtype == np.float32:
        return excess > ROUNDED_SHARE
    named = training.columns.columns_with_inexact_logits(training.coefficients(solution)[0])
    return not (solution.status in UNBOUNDED or len(training.inexact) or len(named))


def _excess_in_float64(
    training: TrainingProblem, solution: Solution, correction: Array | float
) -> float:
    """Return the relative increase of the objective by the rounding of logits in float64.

    Their errors are those of intercepts, which are large beside columns with a large mean, and of
    terms, which are large if columns are nearly collinear.
    """
    objective, value = solution.point.objective, max(abs(solution.value), 1e-300)
    coef, intercept, columns = solution.coef, solution.intercept, training.columns
    if columns.shift is not None or columns.kept is not None:
        _, intercept = columns.to_data(coef, intercept, training.terms, np.float64)

    def bound(error: float) -> float:
        # The mean curvature by a logit is at most 1/4, and about the loss if that is small.
        return error * (error * min(0.5 * len(intercept) / value, 2.0))

    of_intercepts = bound(EPS * float(np.abs(intercept + correction).max()))
    of_terms = bound(EPS * float((np.abs(coef) @ objective.column_size).max()))
    if of_terms <= max(of_intercepts, ROUNDED_SHARE) or isinstance(objective.blocks, DeviceBlocks):
        return max(of_intercepts, of_terms)
    # The largest terms may be those of an outlier whose probabilities no rounding changes.
    (increase,) = objective.blocks.map_reduce(
        _increase_by_terms, objective.likelihood, coef, solution.intercept
    )
    return max(of_intercepts, float(increase) / objective.total_weight / value)


def _increase_by_terms(
    block: Block, likelihood: Likelihood, coef: Array, intercept: Array
) -> KernelResult:
    """Return a bound of the increase of the loss by rounding errors of terms (a kernel).

    If no logit of a row changes by more than e, the variance of the changes among the classes is at
    most 4 e² (1 - p) for the largest probability p, and the loss changes by at most 2 e.
    """
    Z = (block.X @ coef.T + intercept).T.astype(np.float64)
    Z += 0.0 if block.offset is None else block.offset.T
    P, C, _ = loss_of_rows(likelihood, Z, np.zeros_like(Z))
    error = EPS * (abs(block.X) @ np.abs(coef).T).max(axis=1).astype(np.float64)
    rest = C.min(axis=0) if likelihood.is_coupled else np.minimum(P, C).max(axis=0)
    increase = np.minimum(2.0 * error**2 * rest * np.exp(2.0 * np.minimum(error, 1.0)), 2.0 * error)
    return (increase @ block.weights_or_ones(),)


def _increase(
    training: TrainingProblem,
    objective: MultinomialObjective,
    exact: Array,
    theta: Array,
    strength: float,
    value: float,
    limit: float,
) -> float:
    """Return the increase of the objective from `exact` to θ, both (R, n_kept + 1).

    The result is an upper bound of the increase if that is at most `limit`. `strength` is the
    factor of the penalty, and `value` the objective at `exact`.
    """
    change = theta - exact
    # First a bound without a pass over X: the mean square of a standardised column is at most
    # 1, and the second derivative of the loss by a logit at most 1/4. Without an intercept,
    # columns are not centred, so that their mean squares are larger.
    size = objective.column_size / objective.scale if not objective.fit_intercept else 1.0
    logit = np.abs(change[:, :-1] * size).sum(axis=1) + np.abs(change[:, -1])
    # The problem's own terms have no penalty for coefficients that they fix.
    terms = training.problem_terms.times(strength)
    penalty = terms.scaled(objective.scale).whole_penalty()
    curvature = float((penalty.ridge * change**2).sum())
    bound = 0.5 * (len(logit) * float(np.square(logit.max())) + curvature)
    if not bound > limit:
        return bound
    # In float32 a row that is all but certain has no curvature, and a loss without digits.
    objective = objective.in_float64()
    here, there = objective.at(exact), objective.at(theta)
    product = here.hessian_product(change)
    product[:, :-1] -= objective.penalty.hessian_product(change[:, :-1])
    rise = there.loss - here.loss + penalty.value(theta) - penalty.value(exact)
    # A rise above the whole objective is none of its rounding errors, whatever their bound.
    known = rise if rise > value else rise - there.rounding - here.rounding
    # The loss of sets of classes may have negative curvature.
    return max(0.5 * (float((change * product).sum()) + curvature), known, 0.0)


def _rounding_of_fixed(
    training: TrainingProblem, solution: Solution, coef: Array, strength: float
) -> float:
    """Return by how much rounding raises the penalty of columns that are left out or fixed.

    `coef` is the `coef_` of the user, and `strength` the factor of the penalty.
    """
    columns, terms = training.columns, training.terms
    kept = range(columns.n_features) if columns.kept is None else columns.kept
    is_fixed = ~np.isin(np.arange(columns.n_features), kept)
    if terms.lower is not None and terms.upper is not None:
        is_fixed |= (terms.lower == terms.upper).any(axis=0)
    if not is_fixed.any():
        return 0.0
    exact, _ = columns.to_data(solution.coef, solution.intercept, terms, np.float64)
    coef = coef[training.data.active] if training.has_absent_classes else coef
    penalty = terms.columns(np.flatnonzero(is_fixed)).times(strength).whole_penalty()
    rounded, value = (
        penalty.value(np.column_stack([W[:, is_fixed], np.zeros(len(W))]))
        for W in (coef.astype(float), exact)
    )
    return max(rounded - value, 0.0)
