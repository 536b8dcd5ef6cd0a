"""The loss of rows of which only a set of possible classes is known, and its expected targets.

With S_i the set of row i, and z_i its logits, the loss is the mean of -log P(S_i). A row's classes
with positive targets are its set. θ of shape (R, d + 1) are the coefficients of the standardised
columns, with the intercepts in the last column, for R logits and d features. `coef` (R, d) and
`intercept` (R,) are those of the columns of X.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import expit

from skmaxent._existence import STRICT_GAIN, RawDirection, logit_changes, rounding_scales
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._objective._penalty import Ridge
from skmaxent._solvers._precise import PreciseObjective
from skmaxent._solvers._problem import Problem
from skmaxent._storage._arrays import empty
from skmaxent._storage._block import Block
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._typing import Array, KernelResult

# Rounding error of a difference of logits, in units of the machine epsilon times the largest logit.
ROUNDED_MARGIN = 64.0


class SetObjective:
    """The loss of sets plus the penalty in float64, for columns whose constants may change.

    An outlier whose loss has lost its curvature leaves nothing of the curvature of the other rows
    in columns that are standardised with moments over all rows. In columns that are standardised
    with moments weighted by the curvature of the rows, the other rows determine the optimum.

    Attributes
    ----------
    penalty : Penalty
        The penalty and bounds of θ for the present columns.
    is_plain_ridge : bool
        Whether the penalty is a ridge that is equal for all classes, or zero.
    """

    def __init__(self, problem: Problem) -> None:
        objective = problem.objective
        blocks, d = objective.blocks, objective.blocks.n_features
        rows = blocks.standardised(np.zeros(d), np.ones(d), dtype=np.float64)
        assert isinstance(rows, RowBlocks), "sets are in memory"
        self._problem = problem
        self._home = objective.standardisation
        self._objective = objective.with_rows(rows).with_penalty(Ridge(np.zeros(d)))
        self._precise = PreciseObjective(self._objective)
        self.is_plain_ridge = problem.terms.is_plain_ridge
        self.penalty = problem.terms.whole_penalty()

    def value_at(self, theta: Array) -> float:
        """Return the loss of the sets plus the penalty at θ."""
        return set_loss(self._objective, theta) + self.penalty.value(theta)

    def point_at(self, theta: Array) -> Point:
        """Return the point at θ of the loss for the expected targets at θ, without a penalty.

        Its gradient there is that of the loss of the sets.
        """
        return self._objective.with_rows(with_expected_targets(self._objective, theta)).at(theta)

    def is_off_centre(self, H: Array) -> bool:
        """Return whether the columns need other constants, by the Hessian H of the loss at θ."""
        return self._precise.is_off_centre(H.reshape(2 * self._objective.shape))

    def recentre(self, theta: Array) -> Array:
        """Standardise the columns by the curvature of the rows at θ; return θ for these columns."""
        theta = self._precise.recentre(theta)
        columns = self._precise.columns
        self._objective = self._objective.with_standardisation(columns)
        self.penalty = self._problem.penalty_for(columns.scale)
        return self.penalty.recentre(self.penalty.project(theta))

    def home(self, theta: Array) -> Array:
        """Return θ of the problem for θ of the present columns."""
        return self._precise.columns.theta_for(theta, self._home)

    def coefficients(self, theta: Array) -> tuple[Array, Array]:
        """Return the coefficients of the columns of X, and the intercepts.

        θ of the problem may not have their digits, if its columns have other centres.
        """
        return self._precise.columns.coefficients(theta)


def set_loss(objective: MultinomialObjective, theta: Array) -> float:
    """Return the mean of -log P(S_i) over the rows of an objective at θ, without the penalty."""
    (loss,) = objective.blocks.map_reduce(_block_loss, *objective.for_blocks(theta))
    return float(loss) / objective.total_weight


def change_at_infinity(objective: MultinomialObjective, theta: Array, direction: Array) -> float:
    """Return by how much `set_loss` changes from θ to its limit far along a direction.

    θ and the direction have the shape (R, d + 1). In the limit, a row has only those classes whose
    logits grow fastest. If none of them is in the set of some row, the result is infinite. The
    changes of rows are computed directly, because they may be far below the rounding errors of
    their losses.
    """
    along = RawDirection.of(objective, direction)
    coef, intercept = objective.coefficients(theta)
    blocks = objective.in_float64().blocks
    (change,) = blocks.map_reduce(_block_change_at_infinity, coef, intercept, along)
    return float(change) / objective.total_weight


def separates_sets(problem: Problem, theta: Array) -> bool:
    """Return whether θ proves complete separation of the sets.

    It does if, with only those coefficients that have neither penalty nor bounds, each row has its
    largest logit within its set. The loss then falls towards zero along this direction, and no
    finite coefficients are optimal.
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
    """Return the least margin of the rows of a block, without the offsets.

    The margin of a row is its largest logit within the set minus the largest one outside, less
    rounding errors. Rows of weight zero do not count.
    """
    every, possible = _logits(replace(block, offset=None), coef, intercept)
    outside = _outside(every, possible).max(axis=0)
    margin = np.where(outside == -np.inf, np.inf, possible.max(axis=0) - outside)
    rounding = ROUNDED_MARGIN * float(np.finfo(every.dtype).eps) * np.abs(every).max(axis=0)
    margin = np.where(block.weights_or_ones() > 0.0, margin - rounding, np.inf)
    return (margin.min() if margin.shape[0] else np.inf,)


def with_expected_targets(objective: MultinomialObjective, theta: Array) -> RowBlocks:
    """Return the rows of an objective with the expected targets at θ."""
    blocks = objective.blocks
    assert isinstance(blocks, RowBlocks), "sets are in memory"
    targets = empty(blocks.targets.shape, blocks.dtype, blocks.targets)
    blocks.map_rows(_write_expected_targets, targets, *objective.for_blocks(theta))
    return blocks.with_targets(targets)


def _logits(block: Block, coef: Array, intercept: Array) -> tuple[Array, Array]:
    """Return the logits of all K classes, (K, rows), and a copy with -inf outside of the sets.

    A row without positive target, which has no set, may belong to any class.
    """
    Z = block.logits_with_offset(coef, intercept)
    targets = block.targets.T
    if len(Z) == 1:
        Z = np.concatenate([np.zeros_like(Z), Z])
        targets = np.stack([1.0 - targets, targets])
    is_possible = targets > 0.0
    is_possible |= ~is_possible.any(axis=0)
    return Z, np.where(is_possible, Z, -np.inf)


def _write_expected_targets(block: Block, out: Array, coef: Array, intercept: Array) -> None:
    """Write the expected targets of the rows of a block to `out`, which has their shape."""
    _, Z = _logits(block, coef, intercept)
    Z -= Z.max(axis=0)
    np.exp(Z, out=Z)
    Z /= Z.sum(axis=0)
    out[...] = Z[1] if out.ndim == 1 else Z.T


def _block_loss(block: Block, coef: Array, intercept: Array) -> KernelResult:
    """Return the weighted sum of -log P(S_i) over the rows of a block."""
    every, possible = _logits(block, coef, intercept)
    # log(1 + e^d) for the log-odds d of the classes outside is accurate where they are unlikely.
    odds = _logsumexp(_outside(every, possible)) - _logsumexp(possible)
    losses = np.logaddexp(0.0, odds.astype(np.float64))
    return (losses @ block.weights_or_ones(),)


def _outside(every: Array, possible: Array) -> Array:
    """Return the logits of `_logits`, minus infinity for the classes in the sets."""
    return np.where(possible == -np.inf, every, -np.inf)


def _block_change_at_infinity(
    block: Block, coef: Array, intercept: Array, direction: RawDirection
) -> KernelResult:
    """Return the weighted sum of the changes of -log P(S_i) far along a direction (a kernel)."""
    every, possible = _logits(block, coef, intercept)
    growth = logit_changes(block, direction)
    if len(growth) == 1:
        growth = np.concatenate([np.zeros_like(growth), growth])
    is_left = growth.max(axis=0) - growth <= STRICT_GAIN * rounding_scales(block, direction)
    outside = _outside(every, possible)
    odds = _logsumexp(outside) - _logsumexp(possible)
    shift = _log_of_lost(possible, is_left) - _log_of_lost(outside, is_left)
    # The difference of two losses would lose the digits of a small change.
    small = np.log1p(expit(odds) * np.expm1(np.clip(shift, -1.0, 1.0)))
    large = np.logaddexp(0.0, odds + shift) - np.logaddexp(0.0, odds)
    changes = np.where(np.abs(shift) <= 1.0, small, large)
    weights = block.weights_or_ones()
    return (np.where(weights > 0.0, changes, 0.0) @ weights,)


def _log_of_lost(Z: Array, is_left: Array) -> Array:
    """Return by how much the logsumexp of logits (K, rows) falls without those that are not left.

    The result, (rows,), is infinite if no finite logit is left, and zero if there is none at all.
    """
    left, lost = (_logsumexp(np.where(some, Z, -np.inf)) for some in (is_left, ~is_left))
    odds = np.subtract(lost, left, out=np.full_like(lost, -np.inf), where=lost > -np.inf)
    return np.logaddexp(0.0, odds)


def _logsumexp(Z: Array) -> Array:
    """Return the logsumexp of logits (K, rows) over the classes, shape (rows,)."""
    top = Z.max(axis=0)
    base = np.where(top == -np.inf, 0.0, top)
    with np.errstate(divide="ignore"):
        sums: Array = np.log(np.exp(Z - base).sum(axis=0)) + base
    return sums
