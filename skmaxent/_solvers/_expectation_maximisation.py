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
from skmaxent._objective._penalty import Penalty
from skmaxent._solvers import UNBOUNDED, Options, Problem, Solution, Status, descend, minimise
from skmaxent._solvers._observed_information import affords_newton, descend_by_newton
from skmaxent._solvers._record import Outcome, Record
from skmaxent._solvers._solution import SMALLEST_TOTAL
from skmaxent._storage._arrays import EPS, empty
from skmaxent._storage._block import Block
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._typing import Array, KernelResult

# Iterations after which, or at whose end, a small fit goes on with Newton's method.
FIRST_STEPS = 10
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

    A step is checked (its certificate, its precision, a proof of separation) where the fit may end
    with it. A direction of recession depends on which targets are positive and not on how they are
    spread, so that the fit for targets spread evenly tells of those of all steps.

    Parameters
    ----------
    problem : Problem
        Its targets are those spread evenly over the sets: what is positive there is possible.
    options : Options
        `max_iter` are steps of expectation maximisation.
    """
    inner = replace(options, tol=INNER_TOL_SHARE * options.tol, callback=None)
    penalty = problem.terms.nonsmooth_penalty()
    total = problem.objective.total_weight
    if options.max_iter == 0:
        # At coefficients of zero, the distance for targets spread evenly is that of the fit.
        return replace(minimise(problem, options), gap=float("nan"))
    even = minimise(problem, inner)
    inner = replace(inner, max_iter=min(options.max_iter, MOST_ITERATIONS))
    value = _value(problem, penalty, even.point.theta)
    record = Record(options, first=1)
    watch = Watch(problem.objective, *(() if problem.terms.is_smooth else penalty.unbounded_signs))
    descent: _Minimiser = partial(descend, watch=watch)
    status = Status.MAX_ITER
    is_small = type(problem.objective.blocks) is RowBlocks and affords_newton(even.point)
    found: Outcome | Solution | None = None
    thetas, distances = [even.point.theta], [np.inf]
    while not record.is_full and not (is_small and len(record) >= FIRST_STEPS):
        short = inner
        if is_small and np.isfinite(distances[-1]):
            short = replace(inner, tol=max(inner.tol, STEP_SHARE * distances[-1]))
        step, value_step = _step(problem, penalty, short, thetas[-1], descent)
        distances.append(step.history[0].distance)
        # The rate of consecutive steps: an extrapolation before them says nothing of it.
        is_rate = len(distances) > 2 and distances[-1] < distances[-2]
        rate = min(distances[-1] / distances[-2], SLOWEST) if is_rate else SLOWEST
        distance = distances[-1] / (1.0 - rate)
        negligible = max(NEGLIGIBLE_SHARE * abs(value_step), NEGLIGIBLE_NATS / total)
        is_short = distance <= options.tol and value - value_step <= (1.0 - rate) * negligible
        is_at_end = False
        if is_short or not _is_lower(value_step, value):
            step, value_step = _step(problem, penalty, inner, thetas[-1], minimise)
            is_at_end = _is_at_minimum(step, options.tol)
            if found is not None and not _is_lower(value_step, value):
                # What is left to gain is rounding, or the step did not reach its own minimum.
                status = Status.CONVERGED if is_at_end else step.status
                break
        found, value = step, value_step
        thetas.append(step.point.theta)
        further = None
        if is_at_end and is_short:
            further, value_further = _further(problem, penalty, thetas[-2], thetas[-1], value)
            if value - value_further <= negligible:
                if is_small:
                    break
                status, further = Status.CONVERGED, None
        elif step.status in UNBOUNDED or even.status in UNBOUNDED:
            status = step.status if step.status in UNBOUNDED else even.status
        elif _separates(problem, thetas[-1]):
            status = Status.SEPARATED
        counter = problem.objective.counter
        status = record.add(counter, thetas[-1], value, distance, status)
        if status is not Status.MAX_ITER:
            break
        if further is not None:
            thetas, distances, value, found = [further], [np.inf], value_further, None
        elif len(thetas) == 3:
            beyond = penalty.project(_extrapolated(*thetas))
            value_beyond = _value(problem, penalty, beyond)
            if value_beyond < value:
                thetas, value, found = [beyond], value_beyond, None
                distances = [np.inf]
            else:
                thetas = thetas[-1:]
    if is_small and status not in (*UNBOUNDED, Status.STOPPED) and not record.is_full:
        return _by_newton(problem, penalty, inner, thetas[-1], record, options.tol)
    if status is Status.MAX_ITER:  # the last steps were not checked, or it was an extrapolation
        last, value_last = _step(problem, penalty, inner, thetas[-1], minimise)
        if last.status in UNBOUNDED:
            status = last.status
        if found is None or _is_lower(value_last, value):
            found, value = last, value_last
    assert found is not None, "a fit has one step or more"
    return problem.solution(Outcome(found.point, value, status, record.history), float("nan"))


def _by_newton(
    problem: Problem,
    penalty: Penalty,
    options: Options,
    theta: Array,
    record: Record,
    tol: float,
) -> Solution:
    """Return the stationary point that Newton's method leads to from θ, in float64.

    `options` are those of a step, which looks for separation at the end, and `tol` is the distance
    in standard errors at which to stop.
    """
    blocks = problem.objective.blocks
    assert isinstance(blocks, RowBlocks), "sets are in memory"
    n_features = blocks.n_features
    rows = blocks.standardised(np.zeros(n_features), np.ones(n_features), dtype=np.float64)
    objective = _over(problem.objective, rows)

    def value_at(theta: Array) -> float:
        return _set_loss(objective, theta) + penalty.value(theta)

    def spread_at(theta: Array) -> Point:
        return _over(objective, _spread_blocks(objective, theta)).at(theta)

    end = descend_by_newton(theta, spread_at, value_at, penalty, record, tol)
    problem.objective.counter.gradients += len(record)
    theta, status = end.theta, end.status
    if status is not Status.STOPPED:
        last, _ = _step(problem, penalty, options, theta, minimise)
        if last.status in UNBOUNDED:
            status = last.status
        elif _separates(problem, theta):
            status = Status.SEPARATED
        elif problem.objective.blocks.effective_size * end.value < SMALLEST_TOTAL:
            status = Status.PRECISION
    point = _spread_by(problem, theta).objective.at(theta)
    return problem.solution(Outcome(point, end.value, status, record.history), float("nan"))


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


def _step(
    problem: Problem, penalty: Penalty, options: Options, theta: Array, minimiser: _Minimiser
) -> tuple[Outcome | Solution, float]:
    """Return the minimum for targets spread by the model at θ, and the objective of the sets."""
    step = _spread_by(problem, theta)
    found = minimiser(step, options, theta)
    problem.objective.counter.gradients += step.objective.counter.gradients
    problem.objective.counter.hessian_products += step.objective.counter.hessian_products
    return found, _value(problem, penalty, found.point.theta)


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


def _further(
    problem: Problem, penalty: Penalty, before: Array, theta: Array, value: float
) -> tuple[Array, float]:
    """The lowest point that was found beyond the last step, and its value.

    Steps of expectation maximisation are short where the sets leave most of the information open,
    and then say little of the distance to the optimum.
    """
    step, length = theta - before, LONGER
    while np.isfinite(length):
        beyond = penalty.project(np.asfortranarray(theta + length * step))
        value_beyond = _value(problem, penalty, beyond)
        if not value_beyond < value:
            break
        best, value, length = beyond, value_beyond, LONGER * length
    return (theta if length == LONGER else best), value


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


def _value(problem: Problem, penalty: Penalty, theta: Array) -> float:
    """Return F at θ: the loss of the sets of classes plus the penalty."""
    return set_loss(problem, theta) + penalty.value(theta)


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
