"""Directions of the coefficients that change no logit of any row, up to rounding.

They exist where columns are collinear. Nearly equal columns are told apart from equal ones: along
the difference of two columns that agree in 13 digits the loss may still fall.
"""

from __future__ import annotations

import numpy as np

from skmaxent._objective._objective import MultinomialObjective
from skmaxent._storage._arrays import EPS
from skmaxent._storage._block import Block
from skmaxent._storage._device_blocks import on_host_block
from skmaxent._typing import Array, KernelResult

# A direction changes no logit if no change exceeds the largest terms of the logit times the machine
# epsilon of X's dtype and this. Measured: at most 7 for sums of columns that are rounded.
ROUNDING_ROOM = 8.0
# Entries of a direction below this many units of float64's epsilon, relative to the largest entry,
# are rounding errors of the factorisation that found it.
ROUNDED_ENTRY = 8.0


def without_rounded_entries(directions: Array) -> Array:
    """Return directions (m, n) with zeros for entries that are rounding errors of the others."""
    size = np.abs(directions)
    least = ROUNDED_ENTRY * EPS * size.max(axis=1, keepdims=True, initial=0.0)
    return np.where(size > least, directions, 0.0)


def change_no_logit(
    objective: MultinomialObjective, directions: Array, eps: float | None = None
) -> Array:
    """Return which directions change no logit of any row, up to rounding, bool (m,).

    Parameters
    ----------
    objective : MultinomialObjective
    directions : ndarray of shape (m, R, d + 1)
        Coefficients of the standardised columns. If there are several logits and they are coupled,
        only their differences count.
    eps : float, optional
        The relative rounding errors of the entries of X. None stands for the machine epsilon of
        their dtype; that of float64 takes the entries for exact numbers.
    """
    is_coupled = objective.likelihood.is_coupled and directions.shape[1] > 1
    eps = float(np.finfo(objective.blocks.dtype).eps) if eps is None else eps
    peak = np.abs(directions).max(axis=(1, 2), initial=0.0)[:, None, None]
    # The sizes of the rounding errors of logits are sums over columns of an entry's share of its
    # size, and of the error of the direction's entry.
    shares = ROUNDING_ROOM * eps * np.abs(directions)
    errors = np.where(directions != 0.0, EPS * peak, 0.0)
    columns = np.flatnonzero(directions[:, :, :-1].any(axis=(0, 1)))
    scale = objective.scale[columns]
    (largest,) = objective.blocks.map_reduce(
        _largest_changes,
        is_coupled,
        columns,
        objective.center[columns],
        *(part[:, :, columns] / scale for part in (directions, shares, errors)),
        directions[:, :, -1],
        (shares + errors)[:, :, -1],
        combine=np.maximum,
    )
    return np.asarray(largest <= 1.0)


def _largest_changes(
    block: Block,
    is_coupled: bool,
    index: Array,
    center: Array,
    coef: Array,
    shares: Array,
    errors: Array,
    intercept: Array,
    intercept_error: Array,
) -> KernelResult:
    """Return the largest changes of a block's logits relative to their rounding errors, (m,).

    `coef` (m, R, k) are coefficients of the columns at positions `index`, whose means are `center`
    (k,), and `intercept` (m, R) those of the centred columns. The error of a logit has the products
    of `shares` (m, R, k) with the sizes of the entries, those of `errors` (m, R, k) with the
    centred entries, and `intercept_error` (m, R).
    """
    X = on_host_block(block).some_columns(index)
    centred = X - center
    Z = coef @ centred.T + intercept[:, :, None]
    distances = np.abs(centred)
    sizes = np.maximum(np.abs(X), distances)
    rounding = shares @ sizes.T + errors @ distances.T + intercept_error[:, :, None]
    change = Z.max(axis=1) - Z.min(axis=1) if is_coupled else np.abs(Z).max(axis=1)
    room = rounding.max(axis=1)
    return (block.largest(np.divide(change, room, out=np.zeros_like(change), where=room > 0.0)),)
