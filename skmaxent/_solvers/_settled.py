"""Whether the length of a Newton step is a reliable estimate of the distance to the optimum."""

from __future__ import annotations

import numpy as np

from skmaxent._objective._objective import MultinomialObjective
from skmaxent._storage._block import Block
from skmaxent._storage._device_array import on_host
from skmaxent._storage._device_blocks import on_host_block
from skmaxent._typing import Array, KernelResult

# A Newton step that changes logits by no more has, up to a factor of exp(0.1), the Hessian of its
# end.
SETTLED = 0.1
# exp(-z) is zero from here on.
UNDERFLOW = 745.0


def is_settled(objective: MultinomialObjective, theta: Array, newton_step: Array) -> bool:
    """Whether the length of the Newton step at θ tells how far the optimum is.

    It does where the step changes the logits of each row so little that its curvature stays. An
    outlier may be all that the Hessian sees of a column: its loss falls by a factor e with each
    step, which are short in standard errors, and what the other rows gain comes only after it has
    lost its weight. Rows that have none, to the last bit, do not count.
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
    """Whether a step changes no logit by much, whatever the rows are.

    A column whose mean square is one has no entry above the root of the sum of weights over the
    row's weight.
    """
    sums = objective.blocks.weight_sums
    sizes = np.abs(step).max(axis=0)
    bound = sizes[-1] + sizes[:-1].sum() * np.sqrt(sums.total / sums.least)
    return bool(2.0 * bound <= SETTLED)


def logit_changes(Z: Array, D: Array, is_coupled: bool) -> Array:
    """The largest change of a difference of logits, or of a logit where they are not coupled.

    Logits Z change by D, both of shape (n_logits, rows). Rows whose probabilities are 0 and 1
    before and after have none.
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
    """Return the largest entry of `logit_changes` over the rows of a block."""
    block = on_host_block(block)
    Z = block.logits_at(*map(on_host, at)).astype(np.float64)
    D = block.logits(*map(on_host, step)).astype(np.float64)
    return (block.largest(logit_changes(Z, D, is_coupled)),)


def _top_and_margin(Z: Array) -> tuple[Array, Array]:
    """The likeliest class of each row and how far its logit is above the next."""
    second, first = np.partition(Z, len(Z) - 2, axis=0)[-2:]
    return Z.argmax(axis=0), first - second
