"""Fits to rows of which only a set of possible classes is known, by expectation maximisation.

With S_i the set of row i the loss is mean [logsumexp(z_i) - logsumexp_{k in S_i}(z_ik)]. Each step
minimises, as a function of θ', what lies above it and touches it at θ: the loss for the targets
p_ik / Σ_{l in S_i} p_il (Dempster, Laird & Rubin 1977, J. R. Stat. Soc. B 39, 1-38). Every second
step is followed by an extrapolation, taken where the objective is lower there (Varadhan & Roland
2008, Scand. J. Stat. 35, 335-353).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from skmaxent._objective._penalty import Penalty
from skmaxent._solvers import UNBOUNDED, Options, Problem, Solution, Status, minimise
from skmaxent._solvers._record import Outcome, Record
from skmaxent._storage._arrays import EPS, empty
from skmaxent._storage._block import Block
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._typing import Array

# A step is brought this much nearer to its minimum than the whole fit to its own.
INNER_TOL_SHARE = 0.1
# The slowest rate of convergence that distances to the end are told for.
SLOWEST = 0.999
# Most iterations of a step, which need not reach its minimum to lower the objective.
MOST_ITERATIONS = 20
# Share of the objective, or of a total loss in nats, that may be left to gain at the end.
GAIN, SMALLEST = 1e-7, 1e-9
# Rounding of a difference of logits, in units of the largest.
ROUNDED_LOGIT = 64.0
# Factor between the lengths of steps that are tried beyond the last one.
LONGER = 8.0
# A decrease of a smaller share of the objective is none.
VALUE_ROUNDING = 4.0 * EPS


def fit_sets(problem: Problem, options: Options, start: Array | None = None) -> Solution:
    """A stationary point no higher than the start, by default the best for targets spread evenly.

    Parameters
    ----------
    problem : Problem
        Its targets are those spread evenly over the sets: what is positive there is possible.
    options : Options
        `max_iter` are steps of expectation maximisation.
    start : ndarray, optional
        θ to begin at.
    """
    inner = replace(options, tol=INNER_TOL_SHARE * options.tol, callback=None)
    penalty = problem.terms.nonsmooth_penalty()
    total = problem.objective.total_weight
    if options.max_iter == 0:
        # At coefficients of zero, the distance for targets spread evenly is that of the fit.
        return replace(minimise(problem, options), gap=float("nan"))
    if start is None:
        start = minimise(problem, inner).point.theta
    inner = replace(inner, max_iter=min(options.max_iter, MOST_ITERATIONS))
    value = _value(problem, penalty, start)
    record = Record(options, first=1)
    counter = problem.objective.counter
    status, solution = Status.MAX_ITER, None
    thetas, distances = [start], [np.inf]
    while not record.is_full:
        step = _spread_by(problem, thetas[-1])
        found = minimise(step, inner, thetas[-1])
        value_found = _value(problem, penalty, found.point.theta)
        counter.gradients += step.objective.counter.gradients
        counter.hessian_products += step.objective.counter.hessian_products
        if solution is not None and not value_found < value - VALUE_ROUNDING * abs(value):
            # What is left to gain is rounding, or else the step did not reach its own minimum.
            status = Status.CONVERGED if _is_at_minimum(found, options.tol) else found.status
            break
        gain = value - value_found
        solution, value = found, value_found
        thetas.append(found.point.theta)
        distances.append(found.history[0].distance)
        # The rate of consecutive steps: an extrapolation before them says nothing of it.
        is_rate = len(distances) > 2 and distances[-1] < distances[-2]
        rate = min(distances[-1] / distances[-2], SLOWEST) if is_rate else SLOWEST
        distance = distances[-1] / (1.0 - rate)
        is_near = distance <= options.tol and _is_at_minimum(found, options.tol)
        negligible = max(GAIN * abs(value), SMALLEST / total)
        further = None
        if is_near and gain <= (1.0 - rate) * negligible:
            further, value_further = _further(problem, penalty, thetas[-2], thetas[-1], value)
            if value - value_further <= negligible:
                status, further = Status.CONVERGED, None
        elif found.status in UNBOUNDED:
            status = found.status
        elif _separates(problem, found.point.theta):
            status = Status.SEPARATED
        status = record.add(counter, found.point.theta, value, distance, status)
        if status is not Status.MAX_ITER:
            break
        if further is not None:
            thetas, distances, value, solution = [further], [np.inf], value_further, None
        elif len(thetas) == 3:
            beyond = penalty.project(_extrapolated(*thetas))
            value_beyond = _value(problem, penalty, beyond)
            if value_beyond < value:
                thetas, value, solution = [beyond], value_beyond, None
                distances = [np.inf]
            else:
                thetas = thetas[-1:]
    if solution is None:  # the last step was an extrapolation: max_iter is reached
        step = _spread_by(problem, thetas[-1])
        solution = minimise(step, inner, thetas[-1])
        value = _value(problem, penalty, solution.point.theta)
    outcome = Outcome(solution.point, value, status, record.history)
    return problem.solution(outcome, float("nan"))


def set_loss(problem: Problem, theta: Array) -> float:
    """The mean of -log P(S_i), without a penalty."""
    objective = problem.objective
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


def _least_margin(block: Block, coef: Array, intercept: Array) -> tuple[Any]:
    """The least difference, over rows of weight, of the largest logits in the set and outside."""
    every, possible = _logits(replace(block, offset=None), coef, intercept)
    outside = np.where(possible == -np.inf, every, -np.inf).max(axis=0)
    margin = np.where(outside == -np.inf, np.inf, possible.max(axis=0) - outside)
    rounding = ROUNDED_LOGIT * float(np.finfo(every.dtype).eps) * np.abs(every).max(axis=0)
    margin = np.where(block.weights_or_ones() > 0.0, margin - rounding, np.inf)
    return (margin.min() if margin.shape[0] else np.inf,)


def _is_at_minimum(step: Solution, tol: float) -> bool:
    """Whether a step ended at its minimum, as far as can be known."""
    if step.status is Status.PRECISION:
        return not step.lacks_precision(tol)
    return step.status is Status.CONVERGED or step.distance <= tol


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
    blocks = objective.blocks
    assert isinstance(blocks, RowBlocks), "sets are in memory"
    targets = empty(blocks.targets.shape, blocks.dtype, blocks.targets)
    blocks.map_rows(_spread, targets, *objective.for_blocks(theta))
    return Problem.of(
        blocks.with_targets(targets),
        objective.likelihood,
        problem.asked,
        fit_intercept=objective.fit_intercept,
    )


def _value(problem: Problem, penalty: Penalty, theta: Array) -> float:
    return set_loss(problem, theta) + penalty.value(theta)


def _logits(block: Block, coef: Array, intercept: Array) -> tuple[Array, Array]:
    """Logits of all classes (K, rows), and those of the possible ones, -inf for the others."""
    Z = block.logits_at(coef, intercept)
    targets = block.targets.T
    if len(Z) == 1:
        Z = np.concatenate([np.zeros_like(Z), Z])
        targets = np.stack([1.0 - targets, targets])
    return Z, np.where(targets > 0.0, Z, -np.inf)


def _spread(block: Block, out: Array, coef: Array, intercept: Array) -> None:
    _, Z = _logits(block, coef, intercept)
    Z -= Z.max(axis=0)
    np.exp(Z, out=Z)
    Z /= Z.sum(axis=0)
    out[...] = Z[1] if out.ndim == 1 else Z.T


def _loss(block: Block, coef: Array, intercept: Array) -> tuple[Any]:
    every, possible = _logits(block, coef, intercept)
    losses = _logsumexp(every) - _logsumexp(possible)
    return (losses.astype(np.float64) @ block.weights_or_ones(),)


def _logsumexp(Z: Array) -> Array:
    top = Z.max(axis=0)
    return np.log(np.exp(Z - top).sum(axis=0)) + top
