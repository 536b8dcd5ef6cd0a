"""Fits to rows of which only a set of possible classes is known, by expectation maximisation.

With S_i the set of row i the loss is mean [logsumexp(z_i) - logsumexp_{k in S_i}(z_ik)]. Each step
minimises, as a function of θ', what lies above it and touches it at θ: the loss for the targets
p_ik / Σ_{l in S_i} p_il (Dempster, Laird & Rubin 1977, J. R. Stat. Soc. B 39, 1-38). Every second
step is followed by an extrapolation, taken where the objective is lower there (Varadhan & Roland
2008, Scand. J. Stat. 35, 335-353). These steps are short where the sets leave most of the
information open, so that small fits end with Newton's method for the loss itself.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np

from skmaxent._existence import Watch
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._solvers import UNBOUNDED, Options, Problem, Solution, Status, descend, minimise
from skmaxent._solvers._observed_information import affords_newton, descend_by_newton
from skmaxent._solvers._record import Outcome, Record
from skmaxent._solvers._solution import SMALLEST_TOTAL
from skmaxent._storage._arrays import EPS, empty
from skmaxent._storage._block import Block
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._typing import Array, KernelResult

# Most iterations before a small fit goes on with Newton's method.
FIRST_STEPS = 10
# Distance in standard errors at which Newton's method takes over: its steps converge quadratically
# there, to the stationary point that further steps of expectation maximisation would lead to.
NEAR = 0.3
# A step is brought this much nearer to its minimum than the whole fit to its own.
INNER_TOL_SHARE = 0.1
# Steps before Newton's method end at this share of the distance of the last one.
STEP_SHARE = 0.03
# The slowest rate of convergence that distances to the end are told for.
SLOWEST = 0.999
# Most iterations of a step, which need not reach its minimum to lower the objective.
MOST_ITERATIONS = 20
# Share of the objective, or of a total loss in nats, that may be left to gain at the end.
NEGLIGIBLE_SHARE, NEGLIGIBLE_NATS = 1e-7, 1e-9
# Rounding of a difference of logits, in units of the largest.
ROUNDED_MARGIN = 64.0
# Factor between the lengths of steps that are tried beyond the last one.
LONGER = 8.0
# A decrease of a smaller share of the objective is none.
VALUE_ROUNDING = 4.0 * EPS


def fit_sets(problem: Problem, options: Options) -> Solution:
    """Return a stationary point no higher than the best for targets spread evenly.

    Parameters
    ----------
    problem : Problem
        Its targets are those spread evenly over the sets: what is positive there is possible.
    options : Options
        `max_iter` are steps of expectation maximisation and of Newton's method.
    """
    if options.max_iter == 0:
        # At coefficients of zero, the distance for targets spread evenly is that of the fit.
        return replace(minimise(problem, options), gap=float("nan"))
    fit = _Fit(problem, options)
    is_small = type(problem.objective.blocks) is RowBlocks and affords_newton(fit.even.point)
    if not is_small:
        return fit.solution(fit.steps_to_the_end())
    status = fit.first_steps()
    if status is Status.MAX_ITER and not fit.record.is_full:
        return fit.by_newton()
    return fit.solution(status)


class _Fit:
    """A fit by steps of expectation maximisation, from the optimum for targets spread evenly.

    A direction of recession depends on which targets are positive and not on how they are spread,
    so that the fit for targets spread evenly tells of those of all steps.

    Attributes
    ----------
    even : Solution
        The optimum for targets spread evenly.
    inner : Options
        The options of a step.
    thetas : list of ndarray of shape (R, d + 1)
        θ where the steps since the last extrapolation began, and where the last one ended.
    value : float
        The objective at the last θ.
    last : Outcome or Solution or None
        The step that ended at the last θ, None after an extrapolation.
    distances : list of float
        How far each start of these steps was from the minimum of its step, in standard errors.
    """

    thetas: list[Array]
    value: float
    last: Outcome | Solution | None
    distances: list[float]

    def __init__(self, problem: Problem, options: Options) -> None:
        self.problem = problem
        self.penalty = problem.terms.nonsmooth_penalty()
        self.tol = options.tol
        inner = replace(options, tol=INNER_TOL_SHARE * options.tol, callback=None)
        self.even = minimise(problem, inner)
        self.inner = replace(inner, max_iter=min(options.max_iter, MOST_ITERATIONS))
        self.record = Record(options, first=1)
        signs = () if problem.terms.is_smooth else self.penalty.unbounded_signs
        self.descend: _Minimiser = partial(descend, watch=Watch(problem.objective, *signs))
        self._start_at(self.even.point.theta, self._value(self.even.point.theta))

    def first_steps(self) -> Status:
        """Make steps until Newton's method does better, and return their status.

        It is MAX_ITER unless the fit ends here. No step is checked, because the end of Newton's
        method is. If the fit for even targets did not reach its minimum, no step would.
        """
        if self.even.status in (Status.MAX_ITER, Status.PRECISION):
            return Status.MAX_ITER
        while not self.record.is_full and len(self.record) < FIRST_STEPS:
            options = self.inner
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
        """Make steps to a stationary point, and return their status.

        A step is checked (its certificate, its precision, a proof of separation) where the fit may
        end with it.
        """
        total = self.problem.objective.total_weight
        while not self.record.is_full:
            step, value = self._step(self.inner, self.descend)
            distance, left = self._distance_after(step)
            negligible = max(NEGLIGIBLE_SHARE * abs(value), NEGLIGIBLE_NATS / total)
            is_short = distance <= self.tol and self.value - value <= left * negligible
            is_at_end = False
            if is_short or not _is_lower(value, self.value):
                step, value = self._step(self.inner, minimise)
                is_at_end = _is_at_minimum(step, self.tol)
                if self.last is not None and not _is_lower(value, self.value):
                    # What is left to gain is rounding, or the step did not reach its own minimum.
                    return Status.CONVERGED if is_at_end else step.status
            before = self.thetas[-1]
            self._add(step, value)
            if is_at_end and is_short:
                further, least = self._further(before)
                status = Status.CONVERGED if value - least <= negligible else Status.MAX_ITER
            else:
                further, least, status = None, value, self._unbounded_status(step)
            status = self._report(distance, status)
            if status is not Status.MAX_ITER:
                return status
            if further is None:
                self._extrapolate()
            else:
                self._start_at(further, least)
        return Status.MAX_ITER

    def solution(self, status: Status) -> Solution:
        """Return the solution at the last θ, which a fit of status MAX_ITER checks by a step."""
        if status is Status.MAX_ITER:
            step, value = self._step(self.inner, minimise)
            if step.status in UNBOUNDED:
                status = step.status
            if self.last is None or _is_lower(value, self.value):
                self._add(step, value)
        assert self.last is not None, "a fit has one step or more"
        return self._solution_at(self.last.point, self.value, status)

    def by_newton(self) -> Solution:
        """Return the stationary point that Newton's method leads to, in float64."""
        problem, penalty = self.problem, self.penalty
        blocks = problem.objective.blocks
        assert isinstance(blocks, RowBlocks), "sets are in memory"
        n_features = blocks.n_features
        rows = blocks.standardised(np.zeros(n_features), np.ones(n_features), dtype=np.float64)
        objective = _over(problem.objective, rows)

        def value_at(theta: Array) -> float:
            return _set_loss(objective, theta) + penalty.value(theta)

        def spread_at(theta: Array) -> Point:
            return _over(objective, _spread_blocks(objective, theta)).at(theta)

        end = descend_by_newton(
            self.thetas[-1], spread_at, value_at, problem.terms, self.record, self.tol
        )
        problem.objective.counter.gradients += len(self.record)
        self._start_at(end.theta, end.value)
        spread = _spread_blocks(problem.objective, end.theta)
        status = end.status
        if status is not Status.STOPPED:
            status = self._checked(status, spread)
        return self._solution_at(_over(problem.objective, spread).at(end.theta), end.value, status)

    def _checked(self, status: Status, spread: RowBlocks) -> Status:
        """Return the status of the end of Newton's method, or separation where it is proved.

        `spread` are the rows with the targets there.
        """
        blocks = self.problem.objective.blocks
        assert isinstance(blocks, RowBlocks), "sets are in memory"
        is_converged = self.even.status is Status.CONVERGED
        if not (is_converged and _same_are_possible(spread.targets, blocks.targets)):
            step, _ = self._step(self.inner, minimise)
            if step.status in UNBOUNDED:
                return step.status
        if _separates(self.problem, self.thetas[-1]):
            return Status.SEPARATED
        if blocks.effective_size * self.value < SMALLEST_TOTAL:
            return Status.PRECISION
        return status

    def _step(self, options: Options, minimiser: _Minimiser) -> tuple[Outcome | Solution, float]:
        """Return the minimum for targets spread by the model at the last θ, and F there."""
        step = _spread_by(self.problem, self.thetas[-1])
        found = minimiser(step, options, self.thetas[-1])
        counter = self.problem.objective.counter
        counter.gradients += step.objective.counter.gradients
        counter.hessian_products += step.objective.counter.hessian_products
        return found, self._value(found.point.theta)

    def _distance_after(self, step: Outcome | Solution) -> tuple[float, float]:
        """Return the distance to the optimum before a step, in standard errors, and 1 - its rate.

        Distances of consecutive steps shrink by the rate, so that they add up to a geometric
        series. Two of them tell it; an extrapolation before them says nothing of it.
        """
        self.distances.append(step.history[0].distance)
        before, last = self.distances[-2:]
        left = 1.0 - min(last / before, SLOWEST) if last < before < np.inf else 1.0 - SLOWEST
        return last / left, left

    def _add(self, step: Outcome | Solution, value: float) -> None:
        self.thetas.append(step.point.theta)
        self.last, self.value = step, value

    def _start_at(self, theta: Array, value: float) -> None:
        """Let the steps to come begin at θ, which no step led to."""
        self.thetas, self.value = [theta], value
        self.last, self.distances = None, [np.inf]

    def _report(self, distance: float, status: Status) -> Status:
        """Add the last θ to the record, and return STOPPED if a callback asks for it."""
        counter = self.problem.objective.counter
        return self.record.add(counter, self.thetas[-1], self.value, distance, status)

    def _extrapolate(self) -> None:
        """Go on from where every two steps point to, if the objective is lower there."""
        if len(self.thetas) < 3:
            return
        beyond = self.penalty.project(_extrapolated(*self.thetas))
        value = self._value(beyond)
        if value < self.value:
            self._start_at(beyond, value)
        else:
            self.thetas = self.thetas[-1:]

    def _further(self, before: Array) -> tuple[Array, float]:
        """Return the lowest point that was found beyond the step from `before`, and its value.

        Steps of expectation maximisation are short where the sets leave most of the information
        open, and then say little of the distance to the optimum.
        """
        best, value = self.thetas[-1], self.value
        step, length = best - before, LONGER
        while np.isfinite(length):
            beyond = self.penalty.project(np.asfortranarray(self.thetas[-1] + length * step))
            value_beyond = self._value(beyond)
            if not value_beyond < value:
                break
            best, value, length = beyond, value_beyond, LONGER * length
        return best, value

    def _unbounded_status(self, step: Outcome | Solution) -> Status:
        """Return the proof of separation that is known after a step, or MAX_ITER."""
        for one in (step, self.even):
            if one.status in UNBOUNDED:
                return one.status
        is_separated = _separates(self.problem, self.thetas[-1])
        return Status.SEPARATED if is_separated else Status.MAX_ITER

    def _value(self, theta: Array) -> float:
        """Return F at θ: the loss of the sets of classes plus the penalty."""
        return set_loss(self.problem, theta) + self.penalty.value(theta)

    def _solution_at(self, point: Point, value: float, status: Status) -> Solution:
        outcome = Outcome(point, value, status, self.record.history)
        return self.problem.solution(outcome, float("nan"))


def _same_are_possible(targets: Array, others: Array) -> bool:
    """Return whether the same targets, of all classes or of the second one of two, are positive."""
    is_alike = np.array_equal(targets > 0.0, others > 0.0)
    return is_alike and (targets.ndim > 1 or np.array_equal(targets < 1.0, others < 1.0))


def _over(objective: MultinomialObjective, blocks: RowBlocks) -> MultinomialObjective:
    """The same objective over other rows, or over rows with other targets."""
    return MultinomialObjective(
        blocks,
        objective.likelihood,
        objective.penalty,
        objective.standardisation,
        column_size=objective.column_size,
    )


class _Minimiser(Protocol):
    """`minimise`, or `descend` where the result need not be checked; see these."""

    def __call__(self, problem: Problem, options: Options, start: Array) -> Outcome | Solution: ...


def _is_lower(value: float, other: float) -> bool:
    """Return whether an objective is lower than another by more than rounding."""
    return value < other - VALUE_ROUNDING * abs(other)


def set_loss(problem: Problem, theta: Array) -> float:
    """The mean of -log P(S_i), without a penalty."""
    return _set_loss(problem.objective, theta)


def _set_loss(objective: MultinomialObjective, theta: Array) -> float:
    (loss,) = objective.blocks.map_reduce(_loss, *objective.for_blocks(theta))
    return float(loss) / objective.total_weight


def _separates(problem: Problem, theta: Array) -> bool:
    """Whether the part of θ without penalty or bounds gives each row's set the largest logit.

    Then the loss falls towards zero along it, and no finite coefficients are optimal.
    """
    terms = problem.terms
    is_free = ~((terms.l1 > 0.0) | (terms.ridge > 0.0))
    for bound in (terms.lower, terms.upper):
        if bound is not None:
            is_free = is_free & np.isinf(bound)
    if not (is_free.any() or problem.objective.fit_intercept):
        return False
    free = theta.copy(order="F")
    free[:, :-1] = np.where(is_free, theta[:, :-1], 0.0)
    objective = problem.objective
    (least,) = objective.blocks.map_reduce(
        _least_margin, *objective.for_blocks(free), combine=np.minimum
    )
    return bool(least > 0.0)


def _least_margin(block: Block, coef: Array, intercept: Array) -> KernelResult:
    """The least difference, over rows of weight, of the largest logits in the set and outside."""
    every, possible = _logits(replace(block, offset=None), coef, intercept)
    outside = np.where(possible == -np.inf, every, -np.inf).max(axis=0)
    margin = np.where(outside == -np.inf, np.inf, possible.max(axis=0) - outside)
    rounding = ROUNDED_MARGIN * float(np.finfo(every.dtype).eps) * np.abs(every).max(axis=0)
    margin = np.where(block.weights_or_ones() > 0.0, margin - rounding, np.inf)
    return (margin.min() if margin.shape[0] else np.inf,)


def _is_at_minimum(step: Outcome | Solution, tol: float) -> bool:
    """Whether a step ended at its minimum, as far as can be known."""
    if step.status is Status.PRECISION:
        return isinstance(step, Solution) and not step.lacks_precision(tol)
    return step.status is Status.CONVERGED or step.history[-1].distance <= tol


def _extrapolated(first: Array, second: Array, third: Array) -> Array:
    """Where steps that shrink at a constant rate lead to, by their lengths."""
    r, v = second - first, third - 2.0 * second + first
    size = float(np.linalg.norm(v))
    alpha = max(float(np.linalg.norm(r)) / size, 1.0) if size > 0.0 else 1.0
    return np.asfortranarray(first + 2.0 * alpha * r + alpha**2 * v)


def _spread_by(problem: Problem, theta: Array) -> Problem:
    """The problem with targets spread over the sets as the model at θ spreads them."""
    objective = problem.objective
    return Problem.of(
        _spread_blocks(objective, theta),
        objective.likelihood,
        problem.asked,
        fit_intercept=objective.fit_intercept,
    )


def _spread_blocks(objective: MultinomialObjective, theta: Array) -> RowBlocks:
    """The rows of an objective with targets spread as the model at θ spreads them."""
    blocks = objective.blocks
    assert isinstance(blocks, RowBlocks), "sets are in memory"
    targets = empty(blocks.targets.shape, blocks.dtype, blocks.targets)
    blocks.map_rows(_spread, targets, *objective.for_blocks(theta))
    return blocks.with_targets(targets)


def _logits(block: Block, coef: Array, intercept: Array) -> tuple[Array, Array]:
    """Return the logits of all classes (K, rows), and the same with -inf for impossible ones."""
    Z = block.logits_at(coef, intercept)
    targets = block.targets.T
    if len(Z) == 1:
        Z = np.concatenate([np.zeros_like(Z), Z])
        targets = np.stack([1.0 - targets, targets])
    is_possible = targets > 0.0
    is_possible |= ~is_possible.any(axis=0)
    return Z, np.where(is_possible, Z, -np.inf)


def _spread(block: Block, out: Array, coef: Array, intercept: Array) -> None:
    """Write the probabilities of the possible classes of each row, given its set, to `out`."""
    _, Z = _logits(block, coef, intercept)
    Z -= Z.max(axis=0)
    np.exp(Z, out=Z)
    Z /= Z.sum(axis=0)
    out[...] = Z[1] if out.ndim == 1 else Z.T


def _loss(block: Block, coef: Array, intercept: Array) -> KernelResult:
    """Return the weighted sum of the losses -log P(set) of the rows of a block."""
    every, possible = _logits(block, coef, intercept)
    outside = np.where(possible == -np.inf, every, -np.inf)
    # log(1 + e^d) for the log-odds d of the classes outside is accurate where they are unlikely.
    odds = _logsumexp(outside) - _logsumexp(possible)
    losses = np.logaddexp(0.0, odds.astype(np.float64))
    return (losses @ block.weights_or_ones(),)


def _logsumexp(Z: Array) -> Array:
    """Return the logsumexp over the classes of logits (K, rows), (rows,)."""
    top = Z.max(axis=0)
    base = np.where(top == -np.inf, 0.0, top)
    with np.errstate(divide="ignore"):
        sums: Array = np.log(np.exp(Z - base).sum(axis=0)) + base
    return sums
