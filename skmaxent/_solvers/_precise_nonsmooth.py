"""Proximal Newton where rounding hides the optimum, for nonsmooth penalties and for bounds.

Losses, residuals and curvatures of the rows, and the change of the objective F by a step, are
computed by `_precise`. Each step leads to the minimum of the quadratic model of the loss, with its
exact Hessian, plus the penalty.

θ of shape (R, d + 1) are coefficients of centred and scaled columns. The columns of the objective
are standardised with moments over all rows; here centres and scales are moments weighted by the
curvature of the rows.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from skmaxent._objective._objective import MultinomialObjective
from skmaxent._solvers._factored_minimum import factored_hessian, improved_by_factor
from skmaxent._solvers._model_minimum import (
    SMALL_MODEL,
    Minimum,
    as_elementwise,
    exact_minimum,
    minimise_model,
)
from skmaxent._solvers._models import all_logits_hessian
from skmaxent._solvers._precise import (
    LEAST_RATIO,
    PreciseObjective,
    affords_precision,
    is_cheap,
    point_of,
)
from skmaxent._solvers._preconditioners import n_free_parameters
from skmaxent._solvers._problem import Problem
from skmaxent._solvers._quadratic import DampedModel, DenseModel, Model
from skmaxent._solvers._record import Outcome, Record
from skmaxent._solvers._settled import is_settled
from skmaxent._solvers._solution import Options, Status, root_size
from skmaxent._storage._arrays import EPS
from skmaxent._typing import Array

# Damping is curvature that is added after steps that do not lower F, relative to the mean
# curvature: the first value, the factors after such steps and after others, the least and the
# largest value.
DAMPING, MORE, LESS = 1e-6, 100.0, 0.1
LEAST_DAMPING, MOST_DAMPING = 1e-8, 1e12
# Curvature that is added for every coefficient, relative to `_Search.mean_curvature`.
FLAT_CURVATURE = 1e-13
# Most steps of `proximal_newton_precise`, and most for problems that are not small.
MAX_STEPS, MAX_RESCUE_STEPS = 30, 60
# Newton's method has converged if the distance is at most `tol`, and either at most SUDDEN times
# the distance before the last step or at most FAR_BELOW times `tol`.
SUDDEN, FAR_BELOW = 0.5, 0.1
# Most trials of shorter steps along a direction.
MAX_TRIALS = 3
# A step is too short if its actual decrease is more than this many times the predicted one.
SHORT_STEP = 1.3
# A fit that has not converged continues here if it has no more coefficients than this, and if a
# Hessian of all rows takes no more multiplications than RESCUE_WORK.
RESCUE_SIZE, RESCUE_WORK = 1200, 2_000_000_000


def affords_precise_nonsmooth(objective: MultinomialObjective) -> bool:
    """Return whether the Hessian of all rows and minima with a penalty cost next to nothing."""
    size = objective.shape[0] * objective.shape[1]
    return (
        size <= SMALL_MODEL
        and n_free_parameters(objective) > 0
        and affords_precision(objective)
        and is_cheap(objective)
    )


def affords_rescue(objective: MultinomialObjective) -> bool:
    """Return whether `proximal_newton_precise` may continue a fit that has not converged."""
    p = n_free_parameters(objective)
    size = objective.shape[0] * objective.shape[1]
    is_small = size <= RESCUE_SIZE and objective.blocks.n_samples * p**2 <= RESCUE_WORK
    return p > 0 and is_small and affords_precision(objective)


def hides_ridge(problem: Problem, theta: Array) -> bool:
    """Return whether the curvature that `proximal_newton_precise` adds hides that of a ridge.

    It does if the loss has no curvature at θ in some direction, and the ridge there less than is
    added. Along such a direction, steps and distances to the optimum are far too short.
    """
    varying = problem.varying
    ridge = problem.terms.ridge[:, varying]
    if not ((ridge > 0.0) & (ridge < FLAT_CURVATURE)).any():
        return False
    kept = np.append(varying, problem.objective.fit_intercept)
    search = _Search(problem, theta)
    H = search.state.hessian[:, kept][:, :, :, kept]
    H = H.reshape(len(H) * int(kept.sum()), -1)
    return bool(np.linalg.eigvalsh(H)[0] < FLAT_CURVATURE * search.mean_curvature)


def hides_a_column(problem: Problem, theta: Array) -> bool:
    """Return whether a column hardly varies, beside its mean, in the rows with curvature at θ.

    Its other rows, for instance an outlier, have probabilities near 0 and 1. In the coordinates of
    the solvers rounding then hides the curvature of the column, and with it the distance to the
    optimum. θ has the shape (R, d + 1).
    """
    loss = PreciseObjective(problem.objective)
    return loss.is_off_centre(loss.at(theta).hessian)


def proximal_newton_precise(
    problem: Problem, theta: Array, options: Options, record: Record
) -> Outcome:
    """Continue a fit from θ (R, d + 1) until it is `options.tol` from the optimum.

    The iterations are added to `record`. At least one minimum is computed, also where `max_iter`
    iterations have been made.
    """
    search = _Search(problem, theta)
    most = MAX_STEPS if affords_precise_nonsmooth(problem.objective) else MAX_RESCUE_STEPS
    n_left = min(max(options.max_iter - len(record), 0), most)
    damping, before, n_steps = 0.0, 0.0, 0
    while True:
        damping = damping if n_steps < n_left else 0.0
        model = search.model()
        best = search.minimum(model, damping)
        distance = search.root_n * best.distance
        here, step = search.for_objective(best.theta)
        value, counter = search.value, replace(problem.objective.counter)
        status = Status.MAX_ITER
        if not np.isfinite(distance):
            status = Status.PRECISION
        elif damping == 0.0 and (
            best.decrease <= EPS * search.value
            or (
                distance <= max(SUDDEN * before, FAR_BELOW * options.tol)
                and distance <= options.tol
                and is_settled(problem.objective, here, step)
            )
        ):
            status = Status.CONVERGED
        elif n_steps < n_left:
            damping = search.step(model, best, damping)
            if damping == np.inf:
                status = Status.CONVERGED if distance <= options.tol else Status.PRECISION
        before = distance
        if status is Status.MAX_ITER and n_steps >= n_left and record.number < options.max_iter:
            # If Newton's method is so slow, its model is wrong, and so is the distance.
            status, distance = Status.PRECISION, np.nan
        n_steps += 1
        status = record.add(counter, here, value, distance, status)
        if status is not Status.MAX_ITER or n_steps > n_left:
            break
    return search.outcome(status, record)


class _Search:
    """The present θ, with the loss, the penalty and the columns to which θ belongs.

    The methods `_enter`, `_evaluate`, `step` and `_go` change θ.

    Attributes
    ----------
    theta : ndarray of shape (R, d + 1)
    state : PreciseEvaluation
        The loss at θ.
    penalty : Penalty
        The penalty of θ.
    """

    def __init__(self, problem: Problem, theta: Array) -> None:
        self._problem = problem
        self._loss = PreciseObjective(problem.objective)
        self._home = self._loss.columns
        self._affords_factor = affords_precise_nonsmooth(problem.objective)
        self._evaluate(self._loss.recentre(theta))

    def _enter(self, theta: Array) -> None:
        """Move to θ, and replace the columns if their centres or scales no longer suit."""
        self._evaluate(theta)
        state, loss = self.state, self._loss
        if loss.is_off_centre(state.hessian) or loss.is_off_scale(state.squares):
            self._evaluate(self._loss.recentre(self.theta))

    def _evaluate(self, theta: Array) -> None:
        """Move to θ, projected onto the bounds, and evaluate the loss there.

        θ is projected before it is centred too: a column beyond the bounds would be shifted as a
        whole, which is another point than the projection that `_change` evaluates.
        """
        self.penalty = self._problem.penalty_for(self._loss.columns.scale)
        inside = self.penalty.project(theta)
        self.theta = self.penalty.project(self.penalty.recentre(inside))
        self.state = self._loss.at(self.theta)

    @property
    def value(self) -> float:
        """The objective F at θ."""
        return self.state.loss + self.penalty.value(self.theta)

    @property
    def root_n(self) -> float:
        """The factor that converts lengths in the norm of the Hessian to standard errors."""
        return root_size(self._problem.objective.blocks.effective_size, self.value)

    @property
    def mean_curvature(self) -> float:
        """The mean curvature of the loss for a coefficient of a column of unit size.

        The mean of the diagonal of a model may be far larger, because of upper bounds for logits
        that have lost their curvature. If all rows are saturated, the curvature is zero, and its
        upper bound takes its place.
        """
        curvature = self.state.curvature / len(self.theta)
        return curvature if curvature > 0.0 else float(self.state.most.mean())

    def model(self) -> DenseModel:
        """Return the quadratic model of the loss at θ, with the Hessian of all rows."""
        objective = self._problem.objective
        is_coupled = objective.likelihood.is_coupled
        R, width = objective.shape
        H = all_logits_hessian(self.state.hessian.copy(), is_coupled)
        diagonal = np.einsum("kjkj->kj", H)
        # If all rows are saturated, the curvature is zero; its upper bound suffices for a step.
        lost = (diagonal <= 0.0) & (self.state.gradient != 0.0)
        least = np.where(lost, self.state.most, FLAT_CURVATURE * self.mean_curvature)
        k, j = np.indices((R, width))
        H[k, j, k, j] += least
        still = ~np.append(self._problem.varying, True)
        H[k[:, still], j[:, still], k[:, still], j[:, still]] = 1.0
        return DenseModel(H.reshape(R * width, R * width), (R, width), is_coupled=is_coupled)

    def minimum(self, model: Model, damping: float) -> Minimum:
        """Return the minimum of the model plus the penalty.

        `damping` times the mean curvature is added to the model.
        """
        if damping > 0.0:
            model = DampedModel(model, damping * self.mean_curvature)
        gradient = self.state.gradient
        found = minimise_model(model, gradient, self.theta, self.penalty)
        found = exact_minimum(found, model, gradient, self.theta, self.penalty)
        if damping == 0.0 and self._affords_factor:
            found = self._improved_by_factor(found)
        if found.least_decrease <= found.decrease:
            return found
        # A proximal gradient step predicts a larger decrease than the minimum. The minimum is wrong
        # if that step lowers F by more than the minimum predicts; otherwise the prediction is.
        end = self.penalty.prox(self.theta - model.safe_step * gradient, model.safe_step)
        end = self.penalty.recentre(end)
        change, _ = self._change(end - self.theta)
        if -change > found.decrease:
            return Minimum(end, -change, -change)
        return replace(found, least_decrease=0.0)

    def _improved_by_factor(self, found: Minimum) -> Minimum:
        """Return the minimum for a factored Hessian; `found` is the minimum for the Hessian."""
        penalty = as_elementwise(self.penalty, len(self.theta))
        if penalty is None:
            return found
        self._problem.objective.counter.gradients += 1
        hessian = factored_hessian(self._problem.objective, self._loss.columns, self.theta)
        return improved_by_factor(found, hessian, self.state.gradient, self.theta, penalty)

    def step(self, model: Model, found: Minimum, damping: float) -> float:
        """Make a step that lowers F, with as much damping as it needs; return the next damping.

        `found` is the minimum of the model with the given damping. If no step lowers F, or F is not
        lower at the rounded end of a step, θ stays, and the result is infinity if `damping` is
        zero. Otherwise it is zero, so that the next step is tried without damping: the length of a
        damped step says nothing about the distance to the optimum.
        """
        at_end = np.inf if damping == 0.0 else 0.0
        while True:
            t = self._reach(found)
            if t > 0.0:
                if not self._go(t * (found.theta - self.theta)):
                    return at_end
                return LESS * damping if LESS * damping >= LEAST_DAMPING else 0.0
            if t < 0.0 or damping > MOST_DAMPING:
                return at_end
            damping = max(DAMPING, MORE * damping)
            found = self.minimum(model, damping)

    def _go(self, step: Array) -> bool:
        """Make a step (R, d + 1), and return whether F is lower at its rounded end.

        If F is higher there, θ stays.
        """
        before = self.value
        columns, theta, state, penalty = self._loss.columns, self.theta, self.state, self.penalty
        self._enter(self.theta + step)
        if self.value <= before:
            return self.value < before
        self._loss.columns = columns
        self.theta, self.state, self.penalty = theta, state, penalty
        return False

    def _reach(self, found: Minimum) -> float:
        """Return the share to make of the step to a minimum.

        It is 0 if no share that was tried lowers F enough, and negative if rounding errors hide any
        decrease.
        """
        whole = found.theta - self.theta
        t, lowest = 1.0, 0.0
        for _ in range(MAX_TRIALS):
            change, size = self._change(t * whole)
            if not t * found.decrease > EPS * size:
                return -1.0
            if change <= -LEAST_RATIO * t * found.decrease:
                lowest = change
                break
            t *= 0.25
        else:
            return 0.0
        factor = 2.0 if t == 1.0 and -lowest > SHORT_STEP * found.decrease else 1.0
        while factor > 1.0 and t < 1e6:
            change, _ = self._change(factor * t * whole)
            if not change < lowest:
                break
            t, lowest = factor * t, change
        return t

    def _change(self, step: Array) -> tuple[float, float]:
        """Return the change of F by a step (projected), and the sum of the absolute terms."""
        end = self.penalty.project(self.theta + step)
        change, size = self._loss.change(self.theta, end - self.theta)
        before, after = self.penalty.value(self.theta), self.penalty.value(end)
        return change + after - before, size + max(before, after)

    def for_objective(self, end: Array) -> tuple[Array, Array]:
        """Return θ, and the step from θ to `end`, for the columns of the objective."""
        columns, step = self._loss.columns, end - self.theta
        return columns.theta_for(self.theta, self._home), columns.theta_for(step, self._home)

    def outcome(self, status: Status, record: Record) -> Outcome:
        """Return the outcome of the fit at θ."""
        point = point_of(self._loss, self.theta, self.state, self._home)
        coef, intercept = self._loss.columns.coefficients(self.theta)
        if self._problem.objective.likelihood.is_coupled:
            # The intercepts of all fits sum to zero for the columns of the objective.
            mean = point.theta[:, -1].mean()
            point.theta[:, -1] -= mean
            intercept = intercept - mean
        return Outcome(point, self.value, status, record.history, (coef, intercept))
