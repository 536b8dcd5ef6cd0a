"""Proximal Newton's method for lassos and elastic nets of small problems.

In such problems calls of NumPy cost more than arithmetic. Each step leads to the minimum of a
quadratic model of the loss plus the penalty. This minimum is found by pivoting, see `_active_set`.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeGuard

import numpy as np

from skmaxent._existence import CLOSE_TO_OPTIMUM, Watch
from skmaxent._objective._elementwise_penalty import Elementwise
from skmaxent._objective._objective import MultinomialObjective
from skmaxent._objective._penalty import Penalty
from skmaxent._solvers._active_set import FlatPenalty, PivotSearch, max_pivots
from skmaxent._solvers._model_minimum import SMALL_MODEL
from skmaxent._solvers._record import Outcome, Record
from skmaxent._solvers._settled import SETTLED, share_left
from skmaxent._solvers._small import SmallEvaluation, SmallProblem, is_small, rounding_of
from skmaxent._solvers._solution import Options, Status, root_size
from skmaxent._typing import Array

# The least share of a step that is tried, and the share of the predicted decrease that suffices.
# If no share of the step suffices, the general solver continues, which adds damping.
LEAST_SHARE, ENOUGH = 1.0 / 64.0, 0.1
# Derivatives of the loss are about one. If a ridge is stronger than this, the rounding errors of
# the penalty hide changes of the loss.
MOST_STRENGTH = 1e6


def is_small_nonsmooth(penalty: Penalty, objective: MultinomialObjective) -> TypeGuard[Elementwise]:
    """Return whether `newton_small_nonsmooth` is the fastest solver; it does not support bounds."""
    R, width = objective.shape
    return (
        isinstance(penalty, Elementwise)
        and R * width <= SMALL_MODEL
        and not penalty.has_bounds
        and is_small(objective)
        and float(np.max(penalty.ridge)) <= MOST_STRENGTH
    )


class _Iterate(NamedTuple):
    """A point of the descent.

    Attributes
    ----------
    W : ndarray of shape (p,)
        Flat coefficients.
    state : SmallEvaluation
        The loss at W, with its probabilities and its gradient.
    value : float
        The loss plus the penalty at W.
    """

    W: Array
    state: SmallEvaluation
    value: float


class _SmallNonsmooth:
    """The loss of a small problem plus a penalty, as a function of flat coefficients W.

    W has the shape (p,), with p = R·width, and the coefficients of a class next to each other.

    Parameters
    ----------
    objective : MultinomialObjective
        A small one, whose loss is used without its own penalty.
    penalty : Elementwise
        A penalty without bounds.
    """

    def __init__(self, objective: MultinomialObjective, penalty: Elementwise) -> None:
        self.loss = SmallProblem(objective)
        self._shape = R, width = objective.shape
        self._penalty = FlatPenalty(penalty, self._shape)
        # Some coefficients keep their values, because the minimum does not determine them: those of
        # constant columns, and, if logits are coupled, one coefficient of each column without
        # penalty, whose coefficients are determined only up to a common constant. `step` sets their
        # diagonal entries of the Hessian to zero: `PivotSearch` moves them only for a ridge.
        held = np.zeros(self._shape, dtype=bool)
        held[:, ~objective.standardisation.is_free] = True
        if objective.likelihood.is_coupled:
            costs = self._penalty.l1 + self._penalty.ridge
            held[-1] |= ~costs.reshape(self._shape).any(axis=0)
        self._held = np.flatnonzero(held)
        self._n_pivots = max_pivots(R * width)

    def penalty_at(self, W: Array) -> float:
        """Return the penalty of W."""
        penalty = self._penalty
        value = float(penalty.l1 @ np.abs(W))
        if penalty.has_ridge:
            value += 0.5 * float(penalty.ridge @ np.square(W - penalty.target))
        return value

    def at(self, W: Array) -> _Iterate:
        """Evaluate loss and penalty at W."""
        state = self.loss.at(W.reshape(self._shape))
        return _Iterate(W, state, state.loss + self.penalty_at(W))

    def rounding(self, here: _Iterate) -> float:
        """Return the size of the rounding errors of `here.value`."""
        return rounding_of(here.state.loss, here.W.reshape(self._shape))

    def step(self, here: _Iterate) -> tuple[Array, float]:
        """Minimise the quadratic model of the loss at an iterate plus the penalty, by pivoting.

        Returns
        -------
        end : ndarray of shape (p,)
            The minimum, or the point after the largest number of pivots.
        decrease : float
            The decrease of the model plus penalty from the iterate to `end`, at least 0.
        """
        H = self.loss.all_logits_hessian(here.state.P)
        H[self._held, self._held] = 0.0
        search = PivotSearch(H, here.state.gradient.ravel(), here.W, self._penalty, here.W)
        search.run(self._n_pivots)
        return search.W, max(search.gain, 0.0)

    def line_search(self, here: _Iterate, step: Array, decrease: float) -> _Iterate | None:
        """Return the first iterate on a step (p,), by backtracking, with a sufficient decrease.

        `decrease` is the predicted decrease of the whole step. The result is None if no share of
        the step has a sufficient decrease.
        """
        t = 1.0
        while t >= LEAST_SHARE:
            there = self.at(here.W + t * step)
            if here.value - there.value >= ENOUGH * t * decrease:
                return there
            t *= 0.25
        return None


def newton_small_nonsmooth(
    objective: MultinomialObjective,
    theta: Array,
    penalty: Elementwise,
    options: Options,
    record: Record,
    watch: Watch,
) -> Outcome:
    """Minimise the loss of a small problem and a penalty from θ of shape (R, d + 1).

    `record` receives the iterations, and `watch` looks for separation.

    Returns
    -------
    Outcome
        Its status is MAX_ITER also where a step does not lower the objective enough: the general
        solver continues from there.
    """
    problem = _SmallNonsmooth(objective, penalty)
    effective_size, shape = objective.blocks.effective_size, theta.shape
    here = problem.at(theta.ravel())
    while True:
        root_n = root_size(effective_size, here.value)
        end, decrease = problem.step(here)
        distance = root_n * math.sqrt(2.0 * decrease)
        step = end - here.W
        status = Status.MAX_ITER
        left = np.inf
        if distance <= CLOSE_TO_OPTIMUM:
            change = problem.loss.largest_change(here.W.reshape(shape), step.reshape(shape))
            left = distance * share_left(change) if change <= SETTLED else np.inf
        if left <= options.tol:
            distance = left
            there = problem.at(end) if step.any() else here
            if there.value <= here.value + problem.rounding(there):
                here, status = there, Status.CONVERGED
        elif distance <= CLOSE_TO_OPTIMUM and watch.sees_direction(
            here.W.reshape(shape), step.reshape(shape), distance
        ):
            status = Status.QUASI_SEPARATED
        theta = here.W.reshape(shape)
        if record.has_callback:
            theta = penalty.recentre(theta)
        status = record.add(objective.counter, theta, here.value, distance, status)
        if status is not Status.MAX_ITER or record.is_full:
            break
        found = problem.line_search(here, step, decrease)
        if found is None:
            break
        here = found
    theta = np.asfortranarray(penalty.recentre(here.W.reshape(shape)))
    return Outcome(problem.loss.point(theta, here.state), here.value, status, record.history)
