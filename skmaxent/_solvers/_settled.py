"""Whether the length of a Newton step is a reliable estimate of the distance to the optimum."""

from __future__ import annotations

import numpy as np

from skmaxent._objective._objective import MultinomialObjective
from skmaxent._storage._block import Block
from skmaxent._storage._device_array import on_host
from skmaxent._storage._device_blocks import on_host_block
from skmaxent._typing import Array, KernelResult

# If a Newton step changes no difference of logits by more than this, the curvatures of the rows at
# its start and its end agree up to a factor of exp(0.1).
SETTLED = 0.1
# exp(-z) underflows to zero for larger z.
UNDERFLOW = 745.0


def is_settled(objective: MultinomialObjective, theta: Array, newton_step: Array) -> bool:
    """Return whether the length of the Newton step at θ estimates the distance to the optimum.

    It does if the step changes the logits of each row so little that the curvature of the row stays
    nearly the same. Without this test, an outlier could dominate the Hessian of a column. Each
    Newton step, which is short in standard errors, then divides the loss of the outlier by e, and
    the other rows determine the optimum only after the outlier has lost its curvature. Rows whose
    probabilities are 0 and 1 to the last bit do not count.

    `theta` and `newton_step` have the shape (R, d + 1).
    """
    if is_tiny(objective, newton_step):
        return True
    (change,) = objective.blocks.map_reduce(
        _block_change,
        objective.likelihood.is_coupled,
        objective.for_blocks(theta),
        objective.for_blocks(newton_step),
        combine=np.maximum,
    )
    return bool(change <= SETTLED)


def is_tiny(objective: MultinomialObjective, step: Array) -> bool:
    """Return whether a bound without a pass over the rows shows that a step is short.

    An entry of a column whose mean square is one is at most √(S/s), for the sum S of the weights
    and the weight s of the row. `step` (R, d + 1) then changes no logit by more than `bound`.
    """
    sums = objective.blocks.weight_sums
    sizes = np.abs(step).max(axis=0)
    bound = sizes[-1] + sizes[:-1].sum() * np.sqrt(sums.total / sums.least)
    return bool(2.0 * bound <= SETTLED)


def logit_changes(Z: Array, D: Array, is_coupled: bool) -> Array:
    """Return the largest change of a difference of two logits of each row, shape (rows,).

    Logits Z change by D, both of shape (R, rows). If logits are not coupled, each logit counts for
    itself. The result is zero for rows whose probabilities are 0 and 1 before and after the change.
    """
    if not is_coupled:
        beyond = (np.minimum(np.abs(Z), np.abs(Z + D)) > UNDERFLOW) & ((Z > 0.0) == (Z + D > 0.0))
        return np.asarray(np.where(beyond, 0.0, np.abs(D)).max(axis=0))
    change = D.max(axis=0) - D.min(axis=0)
    top, gap = _top_and_margin(Z)
    other, other_gap = _top_and_margin(Z + D)
    beyond = (np.minimum(gap, other_gap) > UNDERFLOW) & (top == other)
    return np.asarray(np.where(beyond, 0.0, change))


def _block_change(
    block: Block, is_coupled: bool, at: tuple[Array, Array], step: tuple[Array, Array]
) -> KernelResult:
    """Return the largest entry of `logit_changes` over the rows of a block.

    `at` and `step` are coefficients (R, d) and intercepts (R,) of the columns of X.
    """
    block = on_host_block(block)
    Z = block.logits_at(*map(on_host, at)).astype(np.float64)
    D = block.logits(*map(on_host, step)).astype(np.float64)
    return (block.largest(logit_changes(Z, D, is_coupled)),)


def _top_and_margin(Z: Array) -> tuple[Array, Array]:
    """Return the class with the largest logit of each row, and the margin to the next one.

    Z are the logits (R, rows), and both results have the shape (rows,).
    """
    second, first = np.partition(Z, len(Z) - 2, axis=0)[-2:]
    return Z.argmax(axis=0), first - second
