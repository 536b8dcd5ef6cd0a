"""Newton's method for wide sparse rows under a ridge, with float32 products over merged columns.

Steps are computed in the coordinates of `MergedRows`. The objective of the original rows decides
whether the fit has converged. A few last steps use its gradient, in the dtype of X, and remove the
error of float32.

θ of shape (R, d + 1) are the coefficients of the d standardised columns for R logits, V of shape
(R, width) those of the merged columns. Both have the intercepts in the last column.
"""

from __future__ import annotations

import math

import numpy as np

from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._solvers._conjugate_gradients import Step, conjugate_gradients
from skmaxent._solvers._line_search import secant_search
from skmaxent._solvers._merged_objective import (
    SINGLE,
    MergedObjective,
    MergedPoint,
    MergedPreconditioner,
)
from skmaxent._solvers._preconditioner_choice import FULL_COVARIANCE_FEATURES
from skmaxent._solvers._problem import Problem
from skmaxent._solvers._record import Outcome, Record
from skmaxent._solvers._solution import Options, Status, root_size
from skmaxent._storage._merged_rows import MOST_ENTRIES, MergedRows
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._storage._vectors import inner
from skmaxent._typing import Array

# If a pass over X has fewer multiplications, the copy of the rows may cost more than it saves.
LEAST_WORK = 10_000
# A weak ridge is reached through stronger ones, with this ratio of successive strengths. Where the
# quadratic model holds, one step for each strength is enough. On news texts with C = 100, this
# takes a third of the products that steps with the weak ridge alone take.
STRENGTH_RATIO = 10.0
# The next strength follows after a step whose actual decrease is above this share of the predicted
# one.
NEXT_STRENGTH_AGREEMENT = 0.5
# After a step that lowered the objective by no more than this share, the preconditioner is kept.
SMALL_DECREASE = 1e-2
# Conjugate gradients end at a relative residual of FORCING_SHARE times the root of the gradient's
# norm. It is at most LARGEST_FORCING, and at least MERGED_TARGET_SHARE times the relative residual
# that would reduce the distance to `options.tol` in one step.
LARGEST_FORCING, FORCING_SHARE, MERGED_TARGET_SHARE = 0.25, 0.4, 0.2
MAX_STEP_PRODUCTS = 200
# float32 hides how columns of unlike sizes depend on each other if their mean square is above this
# multiple of the ridge, about the reciprocal of the square of its rounding error.
MOST_CURVATURE = 1e14
# Share of the objective below which float32 hides a decrease.
SINGLE_ROUNDING = 1e-7
# Most steps with the gradient of the original rows, and the limits of their relative residuals.
MAX_CORRECTIONS, LARGEST_CORRECTION, LEAST_CORRECTION = 8, 0.1, 1e-3


def suits_merged_rows(problem: Problem, options: Options) -> bool:
    """Return whether `newton_merged` can solve a problem and is worth its copy of the rows.

    X must be sparse, in memory and wide, and every coefficient must have a ridge towards zero.
    """
    objective = problem.objective
    blocks = objective.blocks
    return (
        type(blocks) is RowBlocks
        and blocks.is_sparse
        and options.solver in ("auto", "newton-cg")
        and problem.terms.is_plain_ridge
        and blocks.n_features > FULL_COVARIANCE_FEATURES
        and blocks.work >= LEAST_WORK
        and blocks.size <= MOST_ENTRIES
        and objective.keeps
        and objective.penalty.is_strict
    )


def newton_merged(
    problem: Problem, theta: Array | None, options: Options, record: Record
) -> Outcome | Array | None:
    """Minimise the objective of a problem that `suits_merged_rows`.

    Parameters
    ----------
    problem : Problem
    theta : ndarray of shape (R, d + 1) or None
        θ to begin at; None is the model without features.
    options : Options
    record : Record

    Returns
    -------
    Outcome, ndarray of shape (R, d + 1) or None
        The outcome, if it is within `options.tol` of the optimum or the fit must end. Otherwise θ
        from which another solver should continue, or None if float32 cannot represent the columns.
    """
    solver = _MergedNewton(problem, options, record)
    merged = solver.merged
    if not (merged.is_finite and merged.mean_square <= MOST_CURVATURE * solver.strength):
        return None
    return solver.run(theta)


class _MergedNewton:
    """A fit by `newton_merged`, with the merged rows and the objective over them.

    Attributes
    ----------
    strength : float
        The strength of the ridge, which is the same for all merged columns.
    merged : MergedRows
    single : MergedObjective
        The objective over the merged rows, in float32.
    between : ndarray of shape (R, R)
        betweenᵀ between inverts the Hessian of the null model with respect to the intercepts.
    """

    def __init__(self, problem: Problem, options: Options, record: Record) -> None:
        self.problem = problem
        self.options = options
        self.record = record
        self.objective: MultinomialObjective = problem.objective
        ridge = problem.user_terms.ridge[0]
        varying = self.objective.varying
        self.strength = float(ridge[varying].max())
        factors = np.sqrt(self.strength / ridge)
        blocks = self.objective.blocks
        assert isinstance(blocks, RowBlocks), "merged rows are in memory"
        self.merged = MergedRows.of(blocks, np.where(varying, factors, 0.0))
        shares = problem.means.shares
        self.between = self.objective.likelihood.root_of_inverse_curvature(shares)
        self.single = MergedObjective(self.objective, self.merged)

    def run(self, theta: Array | None) -> Outcome | Array:
        """Minimise from θ, or from the null model; the result is that of `newton_merged`."""
        if theta is None:
            V = np.zeros((self.objective.shape[0], self.merged.width), order="F")
            V[:, -1] = self.problem.null.theta[:, -1]
        else:
            V = self._merge(theta)
        status, V, point = self._descend(V, is_near=theta is not None)
        if status is Status.STOPPED or self.record.is_full:
            at = self.objective.at(self._theta(V))
            return Outcome(at, at.value, status, self.record.history)
        return self._correct(V, point)

    def _descend(self, V: Array, *, is_near: bool) -> tuple[Status, Array, MergedPoint]:
        """Minimise in float32 until the distance is `tol` or rounding hides the decrease.

        Unless the start `is_near` the optimum, the first steps are taken with a stronger ridge. Its
        strength is divided by STRENGTH_RATIO after each step that the quadratic model predicted
        well, until it is that of the problem.

        Returned are the status (MAX_ITER unless a callback stopped the fit), V in float64, and the
        point at V in float32.
        """
        record = self.record.part(self.options.max_iter - self.record.number, whole=self._theta)
        n = self.objective.blocks.effective_size
        strength = self.strength
        if not is_near:
            strength = max(strength, self.merged.mean_square / n)
        point = self.single.at(V.astype(SINGLE), strength)
        preconditioner: MergedPreconditioner | None = None
        decrease = np.inf
        while True:
            # `point` has the present strength of the ridge, `target` that of the problem.
            target = point if strength == self.strength else point.with_strength(self.strength)
            distance = self._distance(target.value, target.gradient)
            if strength == self.strength and distance <= self.options.tol:
                return Status.MAX_ITER, V, target
            status = record.add(self.single.counter, V, target.value, distance, Status.MAX_ITER)
            if status is Status.STOPPED or record.is_full:
                return status, V, target
            least = MERGED_TARGET_SHARE * self.options.tol / distance
            if preconditioner is None or decrease > SMALL_DECREASE * point.value:
                preconditioner = MergedPreconditioner(point)
            newton = _newton_step(point, point.gradient, preconditioner, least=least)
            step, predicted = newton.direction, newton.predicted
            candidate, share = _line_search(point, step)
            decrease = point.value - candidate.value
            noise = SINGLE_ROUNDING * point.value
            if not decrease > -noise or not predicted > 0.0:
                return status, V, target
            is_done = strength == self.strength and predicted < 10.0 * noise
            V = V + share * step
            point = candidate
            if is_done:
                return status, V, point
            if strength > self.strength and (
                share == 1.0 and decrease > NEXT_STRENGTH_AGREEMENT * predicted
            ):
                strength = max(self.strength, strength / STRENGTH_RATIO)
                point = point.with_strength(strength)

    def _correct(self, V: Array, point: MergedPoint) -> Outcome | Array:
        """Make Newton steps from V with the gradient of the original rows.

        All steps use the Hessian of `point`, the point at V in float32. The result is the outcome
        if the steps lead to `options.tol`, and otherwise θ at the last point.
        """
        V = self._centred(V)
        at = self.objective.at(self._theta(V))
        distance = self._distance(at.value, at.gradient)
        preconditioner: MergedPreconditioner | None = None
        for _ in range(MAX_CORRECTIONS):
            if distance <= self.options.tol:
                break
            if preconditioner is None:
                preconditioner = MergedPreconditioner(point)
            gradient = self._reduced_gradient(at)
            size = float(np.abs(gradient).max())
            residual = MERGED_TARGET_SHARE * self.options.tol / distance
            residual = min(max(residual, LEAST_CORRECTION), LARGEST_CORRECTION)
            # float32 holds a gradient of unit size, however near the optimum is.
            unit = np.asarray(gradient / size, dtype=SINGLE)
            step = _newton_step(point, unit, preconditioner, residual).direction
            V = V + size * self._centred(step.astype(np.float64))
            candidate = self.objective.at(self._theta(V))
            new = self._distance(candidate.value, candidate.gradient)
            if not new < 0.9 * distance:
                return at.theta
            at, distance = candidate, new
        if not distance <= self.options.tol:
            return at.theta
        status = self.record.add(
            self.objective.counter, at.theta, at.value, distance, Status.CONVERGED
        )
        return Outcome(at, at.value, status, self.record.history)

    def _centred(self, V: Array) -> Array:
        """Return V (R, width) minus its mean over the classes, which is zero at the optimum.

        If logits are not coupled, V is returned unchanged.
        """
        return V - V.mean(axis=0) if self.objective.likelihood.is_coupled else V

    def _distance(self, value: float, gradient: Array) -> float:
        """Return an estimate of the distance to the optimum, in standard errors.

        The estimate uses the curvature of the ridge alone for the coefficients, and that of the
        null model for the intercepts. It is an upper bound, often several times the distance. A
        gradient in float32 is that with respect to V, and one in float64 that with respect to θ.
        """
        coef, intercept = gradient[:, :-1], gradient[:, -1].astype(np.float64)
        squares = float(np.square(self.between @ intercept).sum())
        if gradient.dtype == SINGLE:
            squares += inner(coef, coef) / self.strength
        else:
            strength = self.objective.penalty.strength
            squares += float(np.einsum("kj,kj->j", coef, coef) @ (1.0 / strength))
        return root_size(self.objective.blocks.effective_size, value) * math.sqrt(squares)

    def _theta(self, V: Array) -> Array:
        """Return θ (R, d + 1) for V."""
        theta = self.objective.from_coefficients(*self.merged.expand(V))
        if not self.objective.fit_intercept:
            theta[:, -1] = 0.0
        return theta

    def _merge(self, theta: Array) -> Array:
        """Return V for θ (R, d + 1)."""
        return self.merged.from_coefficients(*self.objective.coefficients(theta))

    def _reduced_gradient(self, point: Point) -> Array:
        """Return the gradient of the original objective with respect to V, (R, width)."""
        columns, gradient = self.objective.standardisation, point.gradient
        # The chain rule: θ_j = σ_j w_j, and the intercept of standardised columns is b + w·μ.
        by_coef = gradient[:, :-1] * columns.scale
        by_coef += gradient[:, -1:] * columns.center
        return self.merged.reduce(by_coef, gradient[:, -1])


def _newton_step(
    point: MergedPoint,
    gradient: Array,
    preconditioner: MergedPreconditioner,
    residual: float | None = None,
    *,
    least: float = 0.0,
) -> Step:
    """Return a Newton step for a gradient (R, width) in float32, with the Hessian at a point.

    `residual` is the relative residual at which conjugate gradients end. If it is None, it is
    computed from the norm of the gradient, and is at least `least`; see FORCING_SHARE.
    """
    norm = math.sqrt(max(inner(gradient, preconditioner.solve(gradient)), 0.0))
    if residual is None:
        residual = min(max(FORCING_SHARE * math.sqrt(norm), least), LARGEST_FORCING)
    return conjugate_gradients(
        point.hessian_product,
        preconditioner.solve,
        gradient,
        radius=np.inf,
        tolerance=residual * norm,
        max_products=MAX_STEP_PRODUCTS,
    )


def _line_search(point: MergedPoint, step: Array) -> tuple[MergedPoint, float]:
    """Return the best point found on the line V + t step, 0 < t <= 1, and its t."""
    objective, strength = point.objective, point.strength

    def at(t: float) -> tuple[MergedPoint, float]:
        there = objective.at(point.V + np.float32(t) * step, strength)
        return there, inner(there.gradient, step)

    return secant_search(at, -inner(point.gradient, step))
