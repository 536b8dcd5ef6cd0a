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
from skmaxent._solvers._small import is_small, newton_small
from skmaxent._solvers._smooth import newton
from skmaxent._solvers._solution import Iteration, Solution, Status

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
    variances = moments.mean_square
    if fit_intercept:
        variances = np.where(moments.is_constant, 0.0, moments.variance)
    objective = MultinomialObjective(
        blocks,
        model,
        Ridge(strength),
        fit_intercept=fit_intercept,
        center=moments.mean,
        column_size=np.sqrt(moments.mean_square),
    )
    null = null_point(objective, moments)
    n = _effective_size(blocks)
    limits = {"tol": tol, "max_iter": max_iter, "effective_size": n, "callback": callback}
    history: tuple[Iteration, ...] = ()
    status = Status.MAX_ITER
    if is_small(objective) and solver != "newton-cg":
        theta = null.theta if start is None else objective.from_raw(*start)
        point, history = newton_small(objective, theta, variances, **limits)
        if objective.penalty.is_strict and history and history[-1].distance <= tol:
            status = Status.CONVERGED
    else:
        point = null if start is None else objective.at(objective.from_raw(*start))
    if status is not Status.CONVERGED:
        point, status, history = newton(
            point, variances, solver=solver, seed=seed, history=history, **limits
        )
    distance = history[-1].distance
    gap = relative_gap(point, null, variances, moments.shares, distance / np.sqrt(n))
    coef, intercept = point.theta[:, :-1], point.theta[:, -1]
    intercept = intercept - coef @ objective.center
    if not fit_intercept:
        intercept = np.zeros_like(intercept)
    return Solution(
        coef=coef,
        intercept=intercept,
        value=point.value,
        distance=distance,
        gap=gap,
        n_iter=max(history[-1].n_iter, 1),
        status=status,
        history=history,
    )


def _effective_size(blocks: RowBlocks) -> float:
    """(Σs)²/Σs² (Kish 1965): the number of rows, whatever the scale of the weights."""
    if blocks.weights is None:
        return float(blocks.n_samples)
    weights = blocks.weights.astype(float) / float(blocks.weights.max())
    return float(weights.sum() ** 2 / np.square(weights).sum())
