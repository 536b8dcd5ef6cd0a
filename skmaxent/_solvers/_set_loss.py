"""The loss of rows of which only a set of possible classes is known, and its expected targets.

With S_i the set of row i, and z_i its logits, the loss is the mean of -log P(S_i). A row's classes
with positive targets are its set. θ of shape (R, d + 1) are the coefficients of the standardised
columns, with the intercepts in the last column, for R logits and d features. `coef` (R, d) and
`intercept` (R,) are those of the columns of X.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from skmaxent._objective._objective import MultinomialObjective
from skmaxent._solvers._problem import Problem
from skmaxent._storage._arrays import empty
from skmaxent._storage._block import Block
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._typing import Array, KernelResult

# Rounding error of a difference of logits, in units of the machine epsilon times the largest logit.
ROUNDED_MARGIN = 64.0


def set_loss(objective: MultinomialObjective, theta: Array) -> float:
    """Return the mean of -log P(S_i) over the rows of an objective at θ, without the penalty."""
    (loss,) = objective.blocks.map_reduce(_block_loss, *objective.for_blocks(theta))
    return float(loss) / objective.total_weight


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
    outside = np.where(possible == -np.inf, every, -np.inf).max(axis=0)
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
    outside = np.where(possible == -np.inf, every, -np.inf)
    # log(1 + e^d) for the log-odds d of the classes outside is accurate where they are unlikely.
    odds = _logsumexp(outside) - _logsumexp(possible)
    losses = np.logaddexp(0.0, odds.astype(np.float64))
    return (losses @ block.weights_or_ones(),)


def _logsumexp(Z: Array) -> Array:
    """Return the logsumexp of logits (K, rows) over the classes, shape (rows,)."""
    top = Z.max(axis=0)
    base = np.where(top == -np.inf, 0.0, top)
    with np.errstate(divide="ignore"):
        sums: Array = np.log(np.exp(Z - base).sum(axis=0)) + base
    return sums
