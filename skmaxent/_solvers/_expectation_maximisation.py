"""Fits to rows of which only a set of possible classes is known, by expectation maximisation.

With S_i the set of row i, and z_i its logits, the loss is the mean of -log P(S_i), which is
logsumexp(z_i) - logsumexp_{k in S_i}(z_ik). It is not convex. A step from θ computes the expected
targets, t_ik = p_ik / Σ_{l in S_i} p_il for the probabilities p at θ, and zero outside of S_i. Then
it minimises the usual loss for these targets. But for a constant, this loss is an upper bound of
the loss of the sets that is equal to it at θ (Dempster, Laird & Rubin 1977, J. R. Stat. Soc. B 39,
1-38). After every second step, the coefficients are extrapolated, if this lowers the objective
(SQUAREM; Varadhan & Roland 2008, Scand. J. Stat. 35, 335-353).

If the sets are large, steps of expectation maximisation are short. Small fits therefore end with
Newton's method for the loss of the sets itself. Where rounding ends it, or its steps gain next to
nothing, a step of expectation maximisation leads to a point from which it may go on.

Conventions
-----------
θ of shape (R, d + 1) are the coefficients of the standardised columns, with the intercepts in the
last column, for R logits and d features. The objective is the loss of the sets plus the penalty.
Uniform targets are 1/|S_i| for the classes of S_i; the fit to these targets is the first one.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np

from skmaxent._existence import Watch
from skmaxent._objective._likelihood import Likelihood
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._solvers import UNBOUNDED, Options, Problem, Solution, Status, descend, minimise
from skmaxent._solvers._observed_information import affords_newton, descend_by_newton
from skmaxent._solvers._record import Outcome, Record
from skmaxent._solvers._sampled import class_shares
from skmaxent._solvers._set_loss import (
    SetObjective,
    separates_sets,
    set_loss,
    with_expected_targets,
)
from skmaxent._solvers._sets_at_infinity import is_lower_at_infinity
from skmaxent._solvers._solution import CERTIFIED, NOISY_TOTAL
from skmaxent._storage._arrays import EPS
from skmaxent._storage._block import Block
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._typing import Array, KernelResult

# Most steps of expectation maximisation before a small fit goes on with Newton's method.
FIRST_STEPS = 10
# Most runs of Newton's method, with a step of expectation maximisation between two of them.
MOST_DESCENTS = 6
# Newton's method takes over at this distance to the optimum, in standard errors. From there it
# converges quadratically to the stationary point that expectation maximisation would reach.
NEAR = 0.3
# The tolerance of the minimisation in a step is this share of the tolerance of the whole fit.
INNER_TOL_SHARE = 0.1
# Before Newton's method, the tolerance in a step is at least this share of the last step's length.
STEP_SHARE = 0.03
# The largest ratio of the lengths of successive steps from which the distance to the optimum is
# extrapolated. Larger ratios are set to it.
SLOWEST = 0.999
# Most iterations of the solver in a step, which need not reach its minimum to lower the objective.
MOST_ITERATIONS = 20
# A fit has converged if the decrease that is left is below the first share of the objective, or
# below the second number of nats in the sum over the rows.
NEGLIGIBLE_SHARE, NEGLIGIBLE_NATS = 1e-7, 1e-9
# A fit ends after this many steps that ended for lack of precision: more of them lower the
# objective by little.
MOST_IMPRECISE = 20
# A class vanishes if fewer rows than this are expected to have it.
FEWEST_ROWS = 1e-3
# Points at this multiple of the last step, at its square, and so on, are tried beyond its end.
LONGER = 8.0
# A decrease by less than this share of the objective counts as rounding.
VALUE_ROUNDING = 4.0 * EPS


def fit_sets(problem: Problem, options: Options) -> Solution:
    """Fit to sets of possible classes, from the fit to uniform targets.

    The result is a stationary point whose objective is not above that of the fit to uniform
    targets. Its `remark` names the classes whose probabilities tend to zero.

    Parameters
    ----------
    problem : Problem
        The problem with uniform targets. The set of a row are its classes with positive targets.
    options : Options
        `max_iter` limits the number of steps of expectation maximisation and of Newton's method
        together.
    """
    if options.max_iter == 0:
        # At coefficients of zero the expected targets are the uniform ones.
        return replace(minimise(problem, options), gap=float("nan"))
    fit = _SetFit(problem, options)
    solution = _solution_of(fit)
    if solution.status in (*UNBOUNDED, Status.STOPPED):
        return solution
    if is_lower_at_infinity(problem, solution.point, fit.step_options):
        solution = replace(solution, status=Status.QUASI_SEPARATED)
    vanishing = _vanishing_classes(problem.objective, solution.point.objective)
    if solution.status not in (Status.CONVERGED, Status.QUASI_SEPARATED) or not len(vanishing):
        return solution
    remark = (
        "No row has one of the classes at positions "
        f"{vanishing.tolist()} of classes_ as its only possible class, and the fit makes their "
        f"probabilities tend to zero: fewer than {FEWEST_ROWS:g} rows are expected to have them. "
        "Their coefficients are not determined."
    )
    return replace(solution, remark=remark)


def _solution_of(fit: _SetFit) -> Solution:
    """Run a fit, and return its solution."""
    blocks = fit.problem.objective.blocks
    is_small = type(blocks) is RowBlocks and affords_newton(fit.uniform.point)
    if not is_small:
        return fit.solution(fit.steps_to_the_end())
    status = fit.first_steps()
    if status is Status.MAX_ITER and not fit.record.is_full:
        return fit.finish_by_newton()
    return fit.solution(status)


def _vanishing_classes(objective: MultinomialObjective, expected: MultinomialObjective) -> Array:
    """Return the positions of the classes in sets that no row is expected to have.

    `objective` has uniform targets, and `expected` the expected ones. A class that is the only
    possible one of a row does not vanish.
    """
    likelihood = objective.likelihood
    (largest,) = objective.blocks.map_reduce(_largest_targets, likelihood, combine=np.maximum)
    n_rows = class_shares(expected) * objective.blocks.effective_size
    return np.flatnonzero((largest > 0.0) & (largest < 1.0) & (n_rows < FEWEST_ROWS))


def _largest_targets(block: Block, likelihood: Likelihood) -> KernelResult:
    """Return the largest target of each class over the rows of a block, (n_classes,) (a kernel)."""
    return (block.largest(likelihood.outcomes(likelihood.dense_targets(block.targets))),)


class _SetFit:
    """The state of a fit to sets of possible classes.

    Attributes
    ----------
    problem : Problem
        The problem with uniform targets.
    penalty : Penalty
        The penalty and bounds of the problem.
    tol : float
        The distance to the optimum, in standard errors, at which the fit ends.
    uniform : Solution
        The fit to uniform targets. If classes are separated for these targets, they are separated
        for the targets of every step, because only which targets are positive matters.
    step_options : Options
        The options of the minimisation in a step.
    record : Record
        The history of the fit, with an iteration for each step.
    descend : callable
        The minimiser that does not check its result; see `_Minimiser`.
    thetas : list of ndarray of shape (R, d + 1)
        The iterates since the last extrapolation. The last entry is the present iterate.
    value : float
        The objective at the present iterate.
    last : Outcome or Solution or None
        The result of the step that ended at the present iterate; None if no step did.
    distances : list of float
        The lengths of the steps since the last extrapolation, in standard errors; the first entry
        is infinite.
    """

    thetas: list[Array]
    value: float
    last: Outcome | Solution | None
    distances: list[float]

    def __init__(self, problem: Problem, options: Options) -> None:
        self.problem = problem
        self.penalty = problem.terms.whole_penalty()
        self.tol = options.tol
        inner = replace(options, tol=INNER_TOL_SHARE * options.tol, callback=None)
        self.uniform = minimise(problem, inner)
        self.step_options = replace(inner, max_iter=min(options.max_iter, MOST_ITERATIONS))
        self.record = Record(options, first=1)
        signs = () if problem.terms.is_plain_ridge else self.penalty.unbounded_signs
        self.descend: _Minimiser = partial(descend, watch=Watch(problem.objective, *signs))
        self._start_at(self.uniform.point.theta, self._objective_at(self.uniform.point.theta))

    def first_steps(self) -> Status:
        """Make steps of expectation maximisation until Newton's method should take over.

        It should after `FIRST_STEPS` steps, at a distance of `NEAR`, or if a step does not lower
        the objective. The steps have no certificate, because Newton's method checks its result.

        Returns
        -------
        Status
            MAX_ITER if Newton's method should take over, or if `max_iter` is reached. A kind of
            separation, or STOPPED, if the fit ends here.
        """
        # If the fit to uniform targets has not reached its minimum, no step would reach one.
        if self.uniform.status in (Status.MAX_ITER, Status.PRECISION):
            return Status.MAX_ITER
        while not self.record.is_full and len(self.record) < FIRST_STEPS:
            options = self.step_options
            if np.isfinite(self.distances[-1]):
                options = replace(options, tol=max(options.tol, STEP_SHARE * self.distances[-1]))
            step, value = self._step(options, self.descend)
            distance, _ = self._distance_after(step)
            if not _is_lower(value, self.value):
                break
            self._add(step, value)
            status = self._report(distance, self._unbounded_status(step))
            if status is not Status.MAX_ITER:
                return status
            if distance <= NEAR:
                break
            self._extrapolate()
        return Status.MAX_ITER

    def steps_to_the_end(self) -> Status:
        """Make steps of expectation maximisation up to a stationary point, and return the status.

        Most steps use `descend`, which does not check its result. A step that is short, or that
        does not lower the objective, may be the last one. It is repeated by `minimise`, which
        checks the optimum, the precision and separation.
        """
        n_imprecise = 0
        while not self.record.is_full:
            step, value = self._step(self.step_options, self.descend)
            n_imprecise += step.status is Status.PRECISION
            distance, left = self._distance_after(step)
            negligible = self._negligible(value)
            is_short = distance <= self.tol and self.value - value <= left * negligible
            is_at_end = False
            if is_short or not _is_lower(value, self.value):
                step, value = self._step(self.step_options, minimise)
                is_at_end = _has_reached_minimum(step, self.tol)
                is_short = is_short and self.value - value <= negligible
                if self.last is not None and not _is_lower(value, self.value):
                    # What is left to gain is rounding, or the step did not reach its own minimum.
                    return Status.CONVERGED if is_at_end else step.status
            before = self.thetas[-1]
            self._add(step, value)
            if is_at_end and is_short:
                further, least = self._search_beyond(before)
                status = Status.CONVERGED if value - least <= negligible else Status.MAX_ITER
            else:
                further, least, status = None, value, self._unbounded_status(step)
            status = self._report(distance, status)
            if status is not Status.MAX_ITER:
                return status
            if n_imprecise >= MOST_IMPRECISE:
                return Status.PRECISION
            if further is None:
                self._extrapolate()
            else:
                self._start_at(further, least)
        return Status.MAX_ITER

    def solution(self, status: Status) -> Solution:
        """Return the solution at the present iterate.

        If the status is MAX_ITER, another step is made, which may lower the objective or prove
        separation.
        """
        if status is Status.MAX_ITER:
            step, value = self._step(self.step_options, minimise)
            if step.status in UNBOUNDED:
                status = step.status
            if self.last is None or _is_lower(value, self.value):
                self._add(step, value)
        assert self.last is not None, "a fit has one step or more"
        return self._solution_at(self.last.point, self.value, status)

    def finish_by_newton(self) -> Solution:
        """Continue by Newton's method in float64, and return the stationary point it reaches.

        Where it does not get on, a step of expectation maximisation comes between two runs of it.
        """
        problem = self.problem
        for n_left in reversed(range(MOST_DESCENTS)):
            n_before, objective = len(self.record), SetObjective(problem)
            end = descend_by_newton(
                self.thetas[-1], objective, self.record, self.tol, may_stall=n_left == 0
            )
            problem.objective.counter.gradients += len(self.record) - n_before
            self._start_at(end.theta, end.value)
            status = end.status
            if status is Status.STOPPED:
                break
            status = self._status_at_end(status, is_last=n_left == 0)
            if status is not Status.MAX_ITER or self.record.is_full:
                break
        if status is not Status.STOPPED:
            total = self.problem.objective.blocks.effective_size * self.value
            if status not in UNBOUNDED and total < NOISY_TOTAL:
                status = Status.PRECISION  # gradients are mostly noise
        if self.last is not None:
            return self.solution(status)
        expected = with_expected_targets(problem.objective, end.theta)
        point = problem.objective.with_rows(expected).at(end.theta)
        return self._solution_at(point, end.value, status, end.coefficients)

    def _status_at_end(self, status: Status, *, is_last: bool) -> Status:
        """Return the status of the fit after Newton's method, which ended with `status`.

        If it did not converge, or its end has a large certificate as a minimum for the expected
        targets, a step of expectation maximisation may see a descent that it does not see. If this
        run of Newton's method `is_last`, the fit then continues with such steps to its end.

        Returns
        -------
        Status
            A kind of separation if it is proved; PRECISION if such a step lacks precision; MAX_ITER
            if Newton's method should continue; otherwise `status`, or that of further steps.
        """
        has_stalled = status is Status.MAX_ITER and not self.record.is_full
        is_doubtful = status is Status.PRECISION or has_stalled or self._has_large_certificate()
        if is_doubtful or self.uniform.status is not Status.CONVERGED:
            step, value = self._step(self.step_options, minimise)
            if step.status in UNBOUNDED:
                return step.status
            if is_doubtful and self.value - value > self._negligible(value):
                self._add(step, value)
                return self.steps_to_the_end() if is_last else Status.MAX_ITER
            if isinstance(step, Solution) and step.lacks_precision(self.tol):
                status = Status.PRECISION
        return Status.SEPARATED if separates_sets(self.problem, self.thetas[-1]) else status

    def _has_large_certificate(self) -> bool:
        """Return whether the objective may be far from its minimum for the expected targets."""
        theta = self.thetas[-1]
        return _step_problem(self.problem, theta).gap_at(theta) > CERTIFIED

    def _negligible(self, value: float) -> float:
        """Return the decrease of the objective `value` below which a fit has converged."""
        total = self.problem.objective.total_weight
        return max(NEGLIGIBLE_SHARE * abs(value), NEGLIGIBLE_NATS / total)

    def _step(self, options: Options, minimiser: _Minimiser) -> tuple[Outcome | Solution, float]:
        """Minimise for the expected targets at the present iterate, from there.

        Returned are the result of `minimiser` and the objective of the sets at its end.
        """
        step = _step_problem(self.problem, self.thetas[-1])
        found = minimiser(step, options, self.thetas[-1])
        counter = self.problem.objective.counter
        counter.gradients += step.objective.counter.gradients
        counter.hessian_products += step.objective.counter.hessian_products
        return found, self._objective_at(found.point.theta)

    def _distance_after(self, step: Outcome | Solution) -> tuple[float, float]:
        """Add the length of a step to `distances`; return an estimate of what was left before it.

        Returns
        -------
        distance : float
            The estimated distance to the optimum from the start of the step, in standard errors.
            It is the sum of a geometric series. The first term is the length of this step, and the
            rate is its ratio to the length of the step before.
        left : float
            1 - rate. The rate is at most `SLOWEST`, which it also is for the first step after an
            extrapolation, and if the step is longer than the one before.
        """
        self.distances.append(step.history[0].distance)
        before, last = self.distances[-2:]
        left = 1.0 - min(last / before, SLOWEST) if last < before < np.inf else 1.0 - SLOWEST
        return last / left, left

    def _add(self, step: Outcome | Solution, value: float) -> None:
        """Make the end of a step, where the objective is `value`, the present iterate."""
        self.thetas.append(step.point.theta)
        self.last, self.value = step, value

    def _start_at(self, theta: Array, value: float) -> None:
        """Make θ the present iterate, and forget the steps before it."""
        self.thetas, self.value = [theta], value
        self.last, self.distances = None, [np.inf]

    def _report(self, distance: float, status: Status) -> Status:
        """Add the present iterate to the record; return `status`, or STOPPED by a callback."""
        counter = self.problem.objective.counter
        return self.record.add(counter, self.thetas[-1], self.value, distance, status)

    def _extrapolate(self) -> None:
        """After two steps, go on from their extrapolation if the objective is lower there."""
        if len(self.thetas) < 3:
            return
        beyond = self.penalty.project(_squarem_point(*self.thetas))
        value = self._objective_at(beyond)
        if value < self.value:
            self._start_at(beyond, value)
        else:
            self.thetas = self.thetas[-1:]

    def _search_beyond(self, before: Array) -> tuple[Array, float]:
        """Search beyond the end of the step from `before` to the present iterate.

        Returned are the best θ found and the objective there. If the sets are large, steps are
        short, and their length alone does not show that the optimum is near.
        """
        best, value = self.thetas[-1], self.value
        step, length = best - before, LONGER
        while np.isfinite(length):
            beyond = self.penalty.project(np.asfortranarray(self.thetas[-1] + length * step))
            value_beyond = self._objective_at(beyond)
            if not value_beyond < value:
                break
            best, value, length = beyond, value_beyond, LONGER * length
        return best, value

    def _unbounded_status(self, step: Outcome | Solution) -> Status:
        """Return the kind of separation that is proved after a step, or MAX_ITER without proof."""
        for fit in (step, self.uniform):
            if fit.status in UNBOUNDED:
                return fit.status
        is_separated = separates_sets(self.problem, self.thetas[-1])
        return Status.SEPARATED if is_separated else Status.MAX_ITER

    def _objective_at(self, theta: Array) -> float:
        """Return the loss of the sets plus the penalty at θ."""
        return set_loss(self.problem.objective, theta) + self.penalty.value(theta)

    def _solution_at(
        self,
        point: Point,
        value: float,
        status: Status,
        coefficients: tuple[Array, Array] | None = None,
    ) -> Solution:
        """Return the solution at a point with the objective `value`; it has no certificate.

        The arguments are those of `Outcome`.
        """
        outcome = Outcome(point, value, status, self.record.history, coefficients)
        return self.problem.solution(outcome, float("nan"))


class _Minimiser(Protocol):
    """The functions `minimise`, and `descend`, which does not check its result."""

    def __call__(self, problem: Problem, options: Options, start: Array) -> Outcome | Solution: ...


def _is_lower(value: float, other: float) -> bool:
    """Return whether the objective `value` is below `other` by more than rounding errors."""
    return value < other - VALUE_ROUNDING * abs(other)


def _has_reached_minimum(step: Outcome | Solution, tol: float) -> bool:
    """Return whether the minimisation of a step converged, or ended within rounding errors."""
    if step.status is Status.PRECISION:
        return isinstance(step, Solution) and not step.lacks_precision(tol)
    return step.status is Status.CONVERGED or step.history[-1].distance <= tol


def _squarem_point(first: Array, second: Array, third: Array) -> Array:
    """Return the extrapolation of three successive iterates (R, d + 1) by SQUAREM, scheme S3."""
    r, v = second - first, third - 2.0 * second + first
    size = float(np.linalg.norm(v))
    alpha = max(float(np.linalg.norm(r)) / size, 1.0) if size > 0.0 else 1.0
    return np.asfortranarray(first + 2.0 * alpha * r + alpha**2 * v)


def _step_problem(problem: Problem, theta: Array) -> Problem:
    """Return the problem of a step from θ, whose targets are the expected ones."""
    return problem.with_rows(with_expected_targets(problem.objective, theta))
