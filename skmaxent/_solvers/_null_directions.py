"""Directions of the coefficients that change no logit of any row, up to rounding.

They exist where columns are collinear. Nearly equal columns are told apart from equal ones: along
the difference of two columns that agree in 13 digits the loss may still fall.
"""

from __future__ import annotations

import numpy as np

from skmaxent._objective._objective import MultinomialObjective
from skmaxent._storage._block import Block
from skmaxent._storage._device_blocks import on_host_block
from skmaxent._typing import Array, KernelResult

# A direction changes no logit if no change exceeds the largest terms of the logit times the machine
# epsilon of X's dtype and this. Measured: at most 7 for sums of columns that are rounded.
ROUNDING_ROOM = 8.0


def change_no_logit(objective: MultinomialObjective, directions: Array) -> Array:
    """Return which directions change no logit of any row, up to rounding, bool (m,).

    `directions` (m, R, d + 1) are coefficients of the standardised columns. If there are several
    logits and they are coupled, only their differences count.
    """
    is_coupled = objective.likelihood.is_coupled and directions.shape[1] > 1
    columns = np.flatnonzero(directions[:, :, :-1].any(axis=(0, 1)))
    (largest,) = objective.blocks.map_reduce(
        _largest_changes,
        is_coupled,
        columns,
        objective.center[columns],
        directions[:, :, columns] / objective.scale[columns],
        directions[:, :, -1],
        combine=np.maximum,
    )
    eps = float(np.finfo(objective.blocks.dtype).eps)
    return np.asarray(largest <= ROUNDING_ROOM * eps)


def _largest_changes(
    block: Block, is_coupled: bool, index: Array, center: Array, coef: Array, intercept: Array
) -> KernelResult:
    """Return the largest changes of a block's logits relative to the sizes of their terms, (m,).

    `coef` (m, R, k) are coefficients of the columns at positions `index`, whose means are `center`
    (k,), and `intercept` (m, R) those of the centred columns.
    """
    X = on_host_block(block).some_columns(index)
    centred = X - center
    Z = coef @ centred.T + intercept[:, :, None]
    sizes = np.maximum(np.abs(X), np.abs(centred))
    terms = np.abs(coef) @ sizes.T + np.abs(intercept)[:, :, None]
    change = Z.max(axis=1) - Z.min(axis=1) if is_coupled else np.abs(Z).max(axis=1)
    size = terms.max(axis=1)
    return (block.largest(np.divide(change, size, out=np.zeros_like(change), where=size > 0.0)),)
