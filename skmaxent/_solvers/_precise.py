"""Newton's method where rounding hides the optimum from the other solvers.

Rounding errors limit the accuracy of the other solvers in three ways, which this solver avoids:

- A loss near zero is a difference of logits, and p - 1 has no digits if p is nearly one. Here the
  loss, the residual and the curvature of each row have small relative errors.
- A small decrease of F is hidden by the rounding error of F. Here a decrease is computed as the sum
  of the changes of the losses of the rows.
- Columns are centred and scaled by moments over all rows, which an outlier dominates even if its
  curvature is zero. Here the moments are weighted by the curvature of the rows.

All computations are in float64, whatever the dtype of X.

Conventions
-----------
θ of shape (R, d + 1) are the coefficients of centred and scaled columns, with the intercepts in the
last column. r is the number of free logits, without the reference class.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import lapack

from skmaxent._existence import CLOSE_TO_OPTIMUM, Watch
from skmaxent._objective._kernel_context import Probabilities
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._solvers._orthogonal import orthogonal_newton_step
from skmaxent._solvers._precise_rows import (
    curvature_sums,
    in_slices,
    loss_changes,
    loss_derivatives,
    squared_deviations,
)
from skmaxent._solvers._preconditioner_choice import ASSEMBLED_SIZE
from skmaxent._solvers._preconditioners import n_free_parameters
from skmaxent._solvers._record import Outcome, Record
from skmaxent._solvers._settled import is_settled
from skmaxent._solvers._solution import NEGLIGIBLE, Options, Status, root_size
from skmaxent._storage._arrays import EPS
from skmaxent._storage._device_blocks import DeviceBlocks
from skmaxent._storage._standardisation import Standardisation
from skmaxent._typing import Array, KernelResult

# Up to this many multiplications of a Hessian, this solver continues any fit that may be
# inaccurate; beyond, only those whose distance is not negligible.
CHEAP_WORK = 20_000_000
# If a Hessian takes more multiplications than this, it is never assembled.
MAX_WORK = 50_000_000_000
# If logits, or the terms that cancel in them, exceed this, other solvers may be inaccurate.
LARGE_LOGITS = 1e4
# A column gets a new centre if its weighted mean is this many times its weighted deviation, and all
# get new scales if their weighted deviations differ by more than OFF_SCALE.
OFF_CENTRE, OFF_SCALE = 100.0, 100.0
# A step is accepted if the decrease of F is at least this share of the predicted one.
LEAST_RATIO = 1e-4
# If a pivot of a Hessian with a unit diagonal is below this, Newton steps are computed in
# coordinates in which the columns are orthogonal.
LEAST_PIVOT = 1e-9
# The squares of numbers above this do not underflow.
SQUARABLE = 1e-150
# Most trials of shorter Newton steps. Each is a quarter of the one before, so that the last one
# changes no float64.
MAX_PRECISE_TRIALS = 60


def affords_precision(objective: MultinomialObjective) -> bool:
    """Return whether the Hessian of all rows can be assembled in float64 at an affordable cost."""
    p = n_free_parameters(objective)
    on_device = isinstance(objective.blocks, DeviceBlocks)
    return not on_device and p <= ASSEMBLED_SIZE and _work(objective) <= MAX_WORK


def is_cheap(objective: MultinomialObjective) -> bool:
    """Return whether a Hessian of all rows costs next to nothing."""
    return _work(objective) <= CHEAP_WORK


def _work(objective: MultinomialObjective) -> int:
    """Return the number of multiplications of a Hessian of all rows."""
    return int(objective.blocks.n_samples * n_free_parameters(objective) ** 2)


def needs_precision(outcome: Outcome, options: Options) -> bool:
    """Return whether rounding errors ended a fit too early, or may have made its result wrong."""
    point, distance = outcome.point, outcome.history[-1].distance
    objective = point.objective
    if not affords_precision(objective):
        return False
    work = _work(objective)
    if outcome.status is Status.CONVERGED:
        logits = point.rounding / (4.0 * float(np.finfo(objective.blocks.dtype).eps))
        return work <= CHEAP_WORK and not logits <= LARGE_LOGITS
    if outcome.status is not Status.PRECISION:
        return False
    return work <= CHEAP_WORK or not options.tol < distance <= NEGLIGIBLE


def is_cheaply_precise(outcome: Outcome) -> bool:
    """Return whether a fit has converged and `newton_precise` can check it for next to nothing."""
    objective = outcome.point.objective
    is_converged = outcome.status is Status.CONVERGED
    return is_converged and affords_precision(objective) and is_cheap(objective)


class PreciseEvaluation(NamedTuple):
    """The objective and its derivatives at some θ.

    Attributes
    ----------
    loss : float
        The mean loss.
    magnitude : float
        The mean of the absolute terms whose sum the loss is, for an estimate of rounding errors.
    value : float
        The loss plus the ridge of the objective.
    gradient : ndarray of shape (R, d + 1)
        The gradient of loss and ridge.
    hessian : ndarray of shape (r, d + 1, r, d + 1)
        The Hessian of the loss in reference coding.
    most : ndarray of shape (d + 1,)
        An upper bound of the curvature of the loss for a coefficient of each column.
    squares : ndarray of shape (d + 1,)
        The mean square of each column, with the weights of the scales; see `recentre`.
    curvature : float
        The mean over the rows of Σ_k p_k (1 - p_k), for the probabilities p: R times the mean
        curvature of the loss for a coefficient of a column whose weighted mean square is one.
    """

    loss: float
    magnitude: float
    value: float
    gradient: Array
    hessian: Array
    most: Array
    squares: Array
    curvature: float


class PreciseObjective:
    """The objective in float64 as a function of θ, with centres and scales that may change.

    Attributes
    ----------
    objective : MultinomialObjective
    columns : Standardisation
        The present centres and scales of the columns, to which θ belongs; at first those of the
        objective.
    n_free : int
        r.
    contrasts : ndarray of shape (R, r)
        The matrix that converts coefficients in reference coding to those that sum to zero.
    """

    def __init__(self, objective: MultinomialObjective) -> None:
        self.objective = objective
        self.columns = objective.standardisation
        # The strengths of the ridge for the coefficients of the columns of X.
        self._strength = objective.penalty.strength * objective.scale**2
        R, r = objective.shape[0], objective.likelihood.n_free
        self.n_free = r
        self.contrasts = np.eye(R, r) - (1.0 / R if objective.likelihood.is_coupled else 0.0)

    def _sums(self, kernel: Any, *args: Any) -> KernelResult:
        """Return the sums of a kernel over the standardised rows, in float64."""
        objective = self.objective
        return objective.blocks.map_reduce(
            in_slices, kernel, objective.likelihood, self.columns, *args
        )

    @property
    def strength(self) -> Array:
        """The strengths of the ridge for θ, (d,)."""
        return np.asarray(self._strength / self.columns.scale**2)

    def at(self, theta: Array) -> PreciseEvaluation:
        """Evaluate the objective at θ."""
        objective = self.objective
        loss, magnitude, gradient, hessian, *others = self._sums(loss_derivatives, theta)
        objective.counter.gradients += 1
        total = objective.total_weight
        gradient, hessian = gradient / total, hessian / total
        coef, strength = theta[:, :-1], self.strength
        gradient[:, :-1] += strength * coef
        loss = float(loss) / total
        value = loss + 0.5 * float(np.sum(strength * coef**2))
        most, squares, curvature = (sums / total for sums in others)
        return PreciseEvaluation(
            loss,
            float(magnitude) / total,
            value,
            gradient,
            hessian,
            most,
            squares,
            float(curvature),
        )

    def change(self, theta: Array, step: Array) -> tuple[float, float]:
        """Return F(θ + step) - F(θ) as a sum over the rows, and the sum of the absolute terms."""
        change, size = self._sums(loss_changes, theta, step)
        self.objective.counter.gradients += 1
        coef, moved, strength = theta[:, :-1], step[:, :-1], self.strength
        penalty = strength * moved * (coef + 0.5 * moved)
        total = self.objective.total_weight
        return (
            float(change) / total + float(penalty.sum()),
            float(size) / total + float(np.abs(penalty).sum()),
        )

    def is_off_centre(self, hessian: Array) -> bool:
        """Return whether the mean of a column, weighted by curvature, is far from its centre.

        `hessian` is the attribute of a `PreciseEvaluation`, from which the moments are taken.
        """
        if not self.objective.fit_intercept:
            return False
        weight = np.einsum("kk->", hessian[:, -1, :, -1])
        if not weight > 0.0:
            return False
        mean = np.einsum("kjk->j", hessian[:, :-1, :, -1]) / weight
        square = np.einsum("kjkj->j", hessian[:, :-1, :, :-1]) / weight
        variance = square - mean**2
        return bool((self.columns.varying & (mean**2 > OFF_CENTRE**2 * variance)).any())

    def is_off_scale(self, squares: Array) -> bool:
        """Return whether the scales of the columns no longer suit.

        `recentre` makes the mean squares of all columns about equal. They do not stay so if a row
        gains or loses much of its curvature, and a column is zero in the other rows. Mean squares
        of zero do not count. `squares` is the attribute of a `PreciseEvaluation`.
        """
        used = np.append(self.columns.varying, self.objective.fit_intercept) & (squares > 0.0)
        sizes = squares[used]
        return bool(len(sizes) and sizes.max() > OFF_SCALE**2 * sizes.min())

    def recentre(self, theta: Array) -> Array:
        """Replace the centres and scales in `columns` by moments weighted by the curvature at θ.

        For scales, rows with large residuals have these as weights, see `importance`.
        Returned is θ for the new columns. If the moments are not finite, or no row has curvature,
        nothing changes.
        """
        before = self.columns
        coef, intercept = before.coefficients(theta)
        blocks, likelihood = self.objective.blocks, self.objective.likelihood
        sums, total = blocks.map_reduce(curvature_sums, likelihood, coef, intercept)
        if not (total > SQUARABLE and np.isfinite(sums).all()):
            return theta
        mean = sums / total if self.objective.fit_intercept else np.zeros_like(sums)
        # With mean absolute deviations, a column that varies in a single row of hardly any weight
        # would get so small a scale that the curvature of its coefficients would exceed all others.
        # Squares in units of the objective do not overflow.
        units = self.objective.scale
        squares, weight = blocks.map_reduce(
            squared_deviations, likelihood, coef, intercept, mean, units
        )
        sizes = units * np.sqrt(squares / weight)
        good = self.columns.varying & (sizes > SQUARABLE) & np.isfinite(sizes) & np.isfinite(mean)
        center, scale = np.where(good, mean, before.center), np.where(good, sizes, before.scale)
        self.columns = replace(before, center=center, scale=scale)
        return before.theta_for(theta, self.columns)

    def newton_step(self, theta: Array, state: PreciseEvaluation) -> tuple[Array, float] | None:
        """Return H⁻¹ g (R, d + 1) and √(gᵀ H⁻¹ g), or None if they are not finite.

        Where columns are nearly collinear, so that rounding hides how small the curvature is, the
        step is that of `orthogonal_newton_step` at `theta`, if it costs next to nothing.
        """
        r, width = self.n_free, state.gradient.shape[1]
        H = state.hessian.copy()
        j = np.arange(width - 1)
        H[:, j, :, j] += self.contrasts[:r] * self.strength[:, None, None]
        H = H.reshape(r * width, r * width)
        # If all rows are saturated, the curvature is zero; its upper bound suffices for a step.
        diagonal = H.diagonal()
        lost = (diagonal <= 0.0) & (state.gradient[:r].ravel() != 0.0)
        np.fill_diagonal(H, np.where(lost, np.tile(state.most, r), diagonal))
        scale = np.sqrt(H.diagonal().clip(0.0))
        inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0.0)
        H *= inverse[:, None]
        H *= inverse
        if not np.isfinite(H).all():
            return None
        g = state.gradient[:r].ravel() * inverse
        jitter = 4.0 * len(H) * EPS
        while True:  # collinear columns need a larger diagonal
            np.fill_diagonal(H, 1.0 + jitter)
            L, info = lapack.dpotrf(H, lower=True)
            if info == 0:
                break
            jitter *= 10.0
            if not jitter < 1.0:
                return None
        pivots = np.square(L.diagonal())
        if pivots[diagonal > 0.0].min(initial=1.0) < LEAST_PIVOT and is_cheap(self.objective):
            step = orthogonal_newton_step(self.objective, self.columns, theta, self.strength)
            # The loss is not negative: a model that promises more than F is wrong at its minimum.
            if step is not None and 0.5 * step.norm**2 <= state.value:
                return step.direction, step.norm
        solved, _ = lapack.dpotrs(L, g, lower=True)
        norm = float(np.sqrt(max(float(g @ solved), 0.0)))
        delta = (solved * inverse).reshape(r, width)
        return self.contrasts @ delta, norm


def newton_precise(outcome: Outcome, options: Options, record: Record, watch: Watch) -> Outcome:
    """Continue the fit of another solver, and return the new outcome.

    At least one iterate is computed, also if `options.max_iter` iterations have been made. If F
    is not finite, the result is the outcome of the other solver.
    """
    objective = outcome.point.objective
    problem = PreciseObjective(objective)
    home = problem.columns
    record = record.part(max(options.max_iter - record.number, 0))
    theta = problem.recentre(outcome.point.theta)
    state = problem.at(theta)
    status, share = Status.MAX_ITER, 1.0
    while True:
        if problem.is_off_centre(state.hessian):
            theta = problem.recentre(theta)
            state = problem.at(theta)
        found = problem.newton_step(theta, state)
        if found is None:
            status = Status.PRECISION
            break
        direction, norm = found
        root_n = root_size(objective.blocks.effective_size, state.value)
        distance = float(root_n * norm)
        here, step = (problem.columns.theta_for(at, home) for at in (theta, -direction))
        if watch.sees_complete_separation(here, state.loss):
            status = Status.SEPARATED
        elif distance <= CLOSE_TO_OPTIMUM and watch.sees_direction(here, step, distance):
            status = Status.QUASI_SEPARATED
        elif distance <= options.tol and is_settled(objective, here, step):
            status = Status.CONVERGED
        status = record.add(objective.counter, here, state.value, distance, status)
        if status is not Status.MAX_ITER or record.is_full:
            break
        share = _lower_share(problem, theta, direction, norm, share)
        if share == 0.0:
            status = Status.PRECISION
            break
        theta = theta - share * direction
        state = problem.at(theta)
    if not np.isfinite(state.value):
        return outcome
    return Outcome(
        point=point_of(problem, theta, state, home),
        value=state.value,
        status=status,
        history=record.history,
        coefficients=problem.columns.coefficients(theta),
    )


def _lower_share(
    problem: PreciseObjective, theta: Array, direction: Array, norm: float, last: float
) -> float:
    """Return a share of the step -`direction` from θ at which F is lower, or 0 if there is none.

    `direction` is H⁻¹ g (R, d + 1), and `norm` its length in the norm of H. The search begins at 16
    times `last`, the share of the step before.
    """
    share = min(1.0, 16.0 * last)
    for _ in range(MAX_PRECISE_TRIALS):
        change, size = problem.change(theta, -share * direction)
        predicted = norm**2 * (share - 0.5 * share**2)
        if change <= -LEAST_RATIO * predicted:
            return share
        if predicted <= EPS * size:
            break
        share *= 0.25
    return 0.0


def point_of(
    problem: PreciseObjective, theta: Array, state: PreciseEvaluation, home: Standardisation
) -> Point:
    """Return the point of the objective for θ and its evaluation `state`.

    `home` is the standardisation of the objective.
    """
    objective, columns = problem.objective, problem.columns
    gradient = state.gradient.copy(order="F")
    gradient[:, :-1] -= problem.strength * theta[:, :-1]
    gradient = columns.gradient_for(gradient, home)
    theta = columns.theta_for(theta, home)
    gradient[:, :-1] += objective.penalty.gradient(theta[:, :-1])
    return Point(
        objective=objective,
        theta=theta,
        value=state.value,
        gradient=gradient,
        loss=state.loss,
        rounding=8.0 * EPS * (state.loss + state.magnitude),
        probabilities=Probabilities(objective.likelihood),
    )
