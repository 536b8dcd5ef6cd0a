"""Proximal Newton where rounding hides the optimum, for nonsmooth penalties and for bounds.

The rows' losses, residuals and curvatures, and what a step changes F by, are those of `_precise`;
each step is the minimum of the Hessian itself with the penalty.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from skmaxent._objective._objective import MultinomialObjective
from skmaxent._solvers._model_minimum import SMALL_MODEL, Minimum, exact_minimum, minimise_model
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

# Curvature that is added where a step goes too far, relative to the mean: the first, what it is
# multiplied by after steps that are too long and after others, the least and the most.
DAMPING, MORE, LESS = 1e-6, 100.0, 0.1
LEAST_DAMPING, MOST_DAMPING = 1e-8, 1e12
# Curvature of what has none, relative to the mean.
FLAT_CURVATURE = 1e-13
# Steps that a last look may take.
MAX_STEPS = 30
# Newton's method has converged where the distance has fallen to this share within a step, or is
# this share of what was asked for.
SUDDEN, FAR_BELOW = 0.5, 0.1
# Steps after which the other coordinates may do better.
PATIENCE = 10
# Trials of shorter and of longer steps along one direction.
MAX_TRIALS = 3
# Actual over predicted decrease of a step that is too short.
SHORT_STEP = 1.3


def affords_precise_nonsmooth(objective: MultinomialObjective) -> bool:
    """Whether the precise Hessian and its minimum with a penalty cost next to nothing."""
    size = objective.shape[0] * objective.shape[1]
    return (
        size <= SMALL_MODEL
        and n_free_parameters(objective) > 0
        and affords_precision(objective)
        and is_cheap(objective)
    )


def proximal_newton_precise(
    problem: Problem, theta: Array, options: Options, record: Record
) -> Outcome:
    """Continue from θ to `options.tol` from the optimum; `record` has the iterations so far."""
    search = _Search(problem, theta)
    n_left = min(max(options.max_iter - len(record), 0), MAX_STEPS)
    # In the standard coordinates and in those of the curvature other directions are flat to
    # rounding: a fit has converged where both say so. How it ended, and how far, in each of them.
    ends: dict[bool, tuple[Status, float]] = {}
    damping, before, n_steps = 0.0, 0.0, 0
    while True:
        damping = damping if n_steps < n_left else 0.0
        model = search.model()
        best = search.minimum(model, damping)
        distance = search.root_n * best.distance
        here, step = search.in_home_coordinates(best.theta)
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
        if status is Status.MAX_ITER:
            ends.clear()
        else:
            ends[search.is_home] = status, distance
        before = distance
        if len(ends) == 2:
            status, distance = max(ends.values(), key=lambda end: end[1])
        elif n_steps >= n_left:
            # Newton's method that is slow has a wrong model, and no measure of the distance.
            status = Status.PRECISION if record.number < options.max_iter else Status.MAX_ITER
            distance = np.nan if status is Status.PRECISION else distance
        elif ends or (n_steps + 1) % PATIENCE == 0:
            search.change_coordinates()
            status, damping, before = Status.MAX_ITER, 0.0, 0.0
        n_steps += 1
        status = record.add(counter, here, value, distance, status)
        if status is not Status.MAX_ITER or n_steps > n_left:
            break
    return search.outcome(status, record)


class _Search:
    """Coefficients θ, the state of the loss there, and the penalty in the same coordinates."""

    def __init__(self, problem: Problem, theta: Array) -> None:
        self._problem = problem
        self._loss = PreciseObjective(problem.objective)
        self._home = self._loss.columns
        self.is_home = False
        self._evaluate(self._loss.recentre(theta))

    def _enter(self, theta: Array) -> None:
        """Take θ for the point to go on from."""
        self._evaluate(theta)
        if not self.is_home and self._loss.is_off_centre(self.state.hessian):
            self._evaluate(self._loss.recentre(self.theta))

    def change_coordinates(self) -> None:
        """Change between the coordinates of the curvature and those of the objective."""
        self.is_home = not self.is_home
        if self.is_home:
            theta = self._loss.columns.theta_for(self.theta, self._home)
            self._loss.columns = self._home
        else:
            theta = self._loss.recentre(self.theta)
        self._evaluate(theta)

    def _evaluate(self, theta: Array) -> None:
        """Move to θ, projected onto the bounds, and evaluate the loss there."""
        self.penalty = self._problem.penalty_for(self._loss.columns.scale)
        self.theta = self.penalty.project(self.penalty.recentre(theta))
        self.state = self._loss.at(self.theta)

    @property
    def value(self) -> float:
        """F at the present point."""
        return self.state.loss + self.penalty.value(self.theta)

    @property
    def root_n(self) -> float:
        """The factor from lengths in the norm of the Hessian to standard errors."""
        return root_size(self._problem.objective.blocks.effective_size, self.value)

    def model(self) -> DenseModel:
        objective = self._problem.objective
        is_coupled = objective.likelihood.is_coupled
        R, width = objective.shape
        H = all_logits_hessian(self.state.hessian.copy(), is_coupled)
        diagonal = np.einsum("kjkj->kj", H)
        # Where all rows are saturated there is no curvature; its upper bound will do for a step.
        lost = (diagonal <= 0.0) & (self.state.gradient != 0.0)
        least = np.where(lost, self.state.most, FLAT_CURVATURE * float(diagonal.mean()))
        k, j = np.indices((R, width))
        H[k, j, k, j] += least
        still = ~np.append(self._problem.varying, True)
        H[k[:, still], j[:, still], k[:, still], j[:, still]] = 1.0
        return DenseModel(H.reshape(R * width, R * width), (R, width), is_coupled=is_coupled)

    def minimum(self, model: Model, damping: float) -> Minimum:
        """Where the model, so much of its mean curvature added, has its least value."""
        if damping > 0.0:
            model = DampedModel(model, damping * float(model.diagonal.mean()))
        gradient = self.state.gradient
        guess = minimise_model(model, gradient, self.theta, self.penalty)
        guess = exact_minimum(guess, model, gradient, self.theta, self.penalty)
        if guess.least <= guess.decrease:
            return guess
        # A short step promises more than the whole: one of them is wrong.
        end = self.penalty.prox(self.theta - model.safe_step * gradient, model.safe_step)
        end = self.penalty.recentre(end)
        change, _ = self._change(end - self.theta)
        if -change > guess.decrease:
            return Minimum(end, -change, -change)
        return replace(guess, least=0.0)

    def step(self, model: Model, guess: Minimum, damping: float) -> float:
        """Take a step that lowers F; return the damping for the next, infinity if there is none.

        `guess` is the minimum with so much damping; where that gained nothing, the next step is one
        without.
        """
        first = damping
        while True:
            t = self._reach(guess)
            if t > 0.0:
                if not self._go(t * (guess.theta - self.theta)):
                    return np.inf
                return LESS * damping if LESS * damping >= LEAST_DAMPING else 0.0
            if t < 0.0 or damping > MOST_DAMPING:
                return np.inf if first == 0.0 else 0.0
            damping = max(DAMPING, MORE * damping)
            guess = self.minimum(model, damping)

    def _go(self, step: Array) -> bool:
        """Whether F is lower at the end of a step, rounded as coefficients are."""
        before = self.value
        self._enter(self.theta + step)
        return self.value < before

    def _reach(self, guess: Minimum) -> float:
        """Return the share of a step to take: 0 if none lowers F, negative if rounding hides it."""
        whole = guess.theta - self.theta
        t, lowest = 1.0, 0.0
        for _ in range(MAX_TRIALS):
            change, size = self._change(t * whole)
            if not t * guess.decrease > EPS * size:
                return -1.0
            if change <= -LEAST_RATIO * t * guess.decrease:
                lowest = change
                break
            t *= 0.25
        else:
            return 0.0
        factor = 2.0 if t == 1.0 and -lowest > SHORT_STEP * guess.decrease else 1.0
        while factor > 1.0 and t < 1e6:
            change, _ = self._change(factor * t * whole)
            if not change < lowest:
                break
            t, lowest = factor * t, change
        return t

    def _change(self, step: Array) -> tuple[float, float]:
        """Return the change of F, infinite beyond bounds, and the sum of the absolute terms."""
        end = self.penalty.project(self.theta + step)
        change, size = self._loss.change(self.theta, end - self.theta)
        before, after = self.penalty.value(self.theta), self.penalty.value(end)
        return change + after - before, size + max(before, after)

    def in_home_coordinates(self, end: Array) -> tuple[Array, Array]:
        """Return θ and the step from there to an end, in the coordinates of the objective."""
        columns, step = self._loss.columns, end - self.theta
        return columns.theta_for(self.theta, self._home), columns.theta_for(step, self._home)

    def outcome(self, status: Status, record: Record) -> Outcome:
        """Return the outcome of the fit at the present point."""
        point = point_of(self._loss, self.theta, self.state, self._home)
        coefficients = self._loss.columns.coefficients(self.theta)
        return Outcome(point, self.value, status, record.history, coefficients)
