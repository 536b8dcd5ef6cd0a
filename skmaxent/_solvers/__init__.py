"""solve(): start, run, certify."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmaxent._blocks import RowBlocks
from skmaxent._likelihood import likelihood
from skmaxent._objective import Moments, MultinomialObjective, column_moments, null_point
from skmaxent._penalty import Ridge
from skmaxent._solvers._certificate import relative_gap
from skmaxent._solvers._sampled import sampled_start
from skmaxent._solvers._small import is_small, newton_small
from skmaxent._solvers._smooth import newton
from skmaxent._solvers._solution import Iteration, Options, Solution, Status, effective_size

Array = NDArray[Any]

__all__ = ["Iteration", "Solution", "Status", "solve"]


def solve(
    blocks: RowBlocks,
    n_classes: int,
    strength: Array,
    moments: Moments | None = None,
    *,
    fit_intercept: bool,
    tol: float,
    max_iter: int,
    solver: str = "auto",
    seed: int = 0,
    start: tuple[Array, Array] | None = None,
    callback: Callable[[Iteration], None] | None = None,
) -> Solution:
    """Fit coefficients to the rows in `blocks`.

    Parameters
    ----------
    blocks : RowBlocks
        Every class has a row of positive weight.
    n_classes : int
    strength : ndarray of shape (n_features,)
        Ridge strength of each column, relative to the mean loss.
    moments : Moments of the columns, optional
        Computed where not given.
    fit_intercept : bool
    tol : float
        Distance to the optimum, in standard errors.
    max_iter : int
    solver : {"auto", "newton-cg", "newton-cholesky"}
    seed : int
        For the rows that preconditioners are built from.
    start : (coef, intercept), optional
    callback : callable, optional
        Called with each `Iteration`.

    Returns
    -------
    Solution
    """
    model = likelihood(n_classes)
    if moments is None:
        moments = column_moments(blocks, n_classes)
    # Without an intercept nothing is profiled out: second moments take the place of variances.
    moving = moments.mean_square > 0.0
    variances = moments.mean_square
    if fit_intercept:
        moving, variances = ~moments.is_constant, moments.variance
    scale = np.sqrt(np.where(moving, variances, 1.0))
    objective = MultinomialObjective(
        blocks,
        model,
        Ridge(strength / scale**2),
        fit_intercept=fit_intercept,
        center=moments.mean,
        scale=scale,
        column_size=np.sqrt(moments.mean_square),
    )
    null = null_point(objective, moments)
    options = Options(tol, effective_size(blocks), max_iter, solver, seed, callback)
    theta = null.theta if start is None else objective.from_coefficients(*start)
    if is_small(objective) and solver != "newton-cg":
        outcome = newton_small(objective, theta, moving, options)
        if outcome.status is Status.MAX_ITER:
            outcome = newton(outcome.point, moving, options, history=outcome.history)
    else:
        if start is None:
            theta = sampled_start(null, moving, options)
        is_near = theta is not null.theta
        outcome = newton(objective.at(theta) if is_near else null, moving, options, is_near=is_near)
    point, history = outcome.point, outcome.history
    gap = relative_gap(outcome, null, moving, moments.shares)
    coef, intercept = objective.coefficients(point.theta)
    if not fit_intercept:
        intercept = np.zeros_like(intercept)
    return Solution(
        coef=coef,
        intercept=intercept,
        value=point.value,
        distance=history[-1].distance,
        gap=gap,
        n_iter=max(history[-1].n_iter, 1),
        status=outcome.status,
        history=history,
    )
