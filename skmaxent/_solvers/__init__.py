"""solve(): start, run, certify."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmaxent._blocks import RowBlocks
from skmaxent._likelihood import Likelihood
from skmaxent._objective import (
    Moments,
    MultinomialObjective,
    Point,
    column_moments,
    null_point,
    offset_means,
)
from skmaxent._penalty import Ridge, Terms
from skmaxent._solvers._certificate import Means, Reached, relative_gap
from skmaxent._solvers._sampled import sampled_start
from skmaxent._solvers._small import is_small, newton_small
from skmaxent._solvers._smooth import newton
from skmaxent._solvers._solution import Iteration, Options, Solution, Status, effective_size
from skmaxent._solvers._working_set import WorkingSet, minimise_with_corners

Array = NDArray[Any]

__all__ = ["Iteration", "Solution", "Status", "solve"]


def solve(
    blocks: RowBlocks,
    model: Likelihood,
    terms: Terms,
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
    model : Likelihood
    terms : Terms
        Penalty and bounds, relative to the mean loss.
    moments : Moments of the columns, optional
        Computed where not given.
    fit_intercept : bool
    tol : float
        Distance to the optimum, in standard errors.
    max_iter : int
    solver : {"auto", "newton-cg", "newton-cholesky"}
        For a smooth penalty that treats all classes alike.
    seed : int
        For the rows that preconditioners are built from.
    start : (coef, intercept), optional
    callback : callable, optional
        Called with each `Iteration`.

    Returns
    -------
    Solution
    """
    problem = Problem.of(blocks, model, terms, moments, fit_intercept=fit_intercept)
    options = Options(tol, effective_size(blocks), max_iter, solver, seed, callback)
    theta = None if start is None else problem.objective.from_coefficients(*start)
    if problem.terms.is_smooth:
        return _smooth(problem, options, theta)
    solution = _with_corners(problem, options, theta)
    return replace(solution, coef=terms.onto_bounds(solution.coef))


def _smooth(problem: Problem, options: Options, theta: Array | None) -> Solution:
    objective, moving = problem.objective, problem.moving
    if is_small(objective) and options.solver != "newton-cg":
        outcome = newton_small(
            objective, problem.null.theta if theta is None else theta, moving, options
        )
        if outcome.status is Status.MAX_ITER:
            outcome = newton(outcome.point, moving, options, history=outcome.history)
    else:
        point, is_near = problem.null, theta is not None
        if theta is None:
            theta = sampled_start(problem.null, moving, options)
            is_near = theta is not problem.null.theta
        if is_near or objective.blocks.offset is not None:
            point = objective.at(theta)
        outcome = newton(point, moving, options, is_near=is_near)
    point = outcome.point
    reached = Reached(point, point.value, point.gradient, outcome.metric, outcome.last)
    gap = relative_gap(reached, objective.penalty, problem.means, moving)
    return problem.solution(point, point.value, outcome.status, outcome.history, gap)


def _with_corners(problem: Problem, options: Options, theta: Array | None) -> Solution:
    objective = problem.objective
    penalty = problem.terms.with_corners()
    if theta is None and objective.blocks.offset is None:
        point = problem.null
    else:
        point = objective.at(problem.null.theta if theta is None else theta)
    inside = penalty.inside(point.theta)
    if not np.array_equal(inside, point.theta):
        point = objective.at(inside)
    working = WorkingSet(objective, problem.moving, options.seed)
    point, value, status, history = minimise_with_corners(point, penalty, working, options)
    subgradient = penalty.residual(point.theta, point.gradient)
    reached = Reached(point, value, subgradient)
    gap = relative_gap(reached, penalty, problem.means, problem.moving)
    return problem.solution(point, value, status, history, gap)


@dataclass(frozen=True)
class Problem:
    """Rows and terms in standardised coordinates."""

    objective: MultinomialObjective
    terms: Terms
    null: Point
    moving: Array
    means: Means

    @classmethod
    def of(
        cls,
        blocks: RowBlocks,
        model: Likelihood,
        terms: Terms,
        moments: Moments | None,
        *,
        fit_intercept: bool,
    ) -> Problem:
        if moments is None:
            moments = column_moments(blocks, max(2, model.n_logits))
        # Without an intercept nothing is profiled out: second moments take the place of variances.
        moving = moments.mean_square > 0.0
        variances = moments.mean_square
        if fit_intercept:
            moving, variances = ~moments.is_constant, moments.variance
        scale = np.sqrt(np.where(moving, variances, 1.0))
        terms = terms.scaled(scale)
        nothing = Ridge(np.zeros(blocks.n_features))
        objective = MultinomialObjective(
            blocks,
            model,
            terms.smooth() if terms.is_smooth else nothing,
            fit_intercept=fit_intercept,
            center=moments.mean,
            scale=scale,
            column_size=np.sqrt(moments.mean_square),
        )
        null = null_point(objective, moments)
        means = Means(moments.shares, -null.gradient[:, :-1], *offset_means(objective))
        return cls(objective, terms, null, moving, means)

    def solution(
        self,
        point: Point,
        value: float,
        status: Status,
        history: tuple[Iteration, ...],
        gap: float,
    ) -> Solution:
        coef, intercept = self.objective.coefficients(point.theta)
        if not self.objective.fit_intercept:
            intercept = np.zeros_like(intercept)
        return Solution(
            coef=coef,
            intercept=intercept,
            value=value,
            distance=history[-1].distance,
            gap=gap,
            n_iter=max(history[-1].n_iter, 1),
            status=status,
            history=history,
        )
