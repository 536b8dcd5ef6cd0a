"""Kernels over blocks of rows: by how much a direction raises a row's own classes over the others.

Each kernel receives the block, then the likelihood, the position of a label or None, and the
coefficients of a face: a direction whose separated pairs of a row and a class do not count.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from skmaxent._storage._block import Block
from skmaxent._storage._device_array import DeviceArray, on_host
from skmaxent._storage._device_blocks import on_host_block
from skmaxent._typing import Array

# Coefficients (R, d) and intercepts (R,) of a direction for the rows as they are stored, and the
# sums of the absolute values of the terms that the intercepts are, (R,).
Raw = tuple[Array, Array, Array]
# A difference of logits that is larger than this share of its terms is not rounding.
STRICT_GAIN = 1e-9


def pairs_of(block: Block, likelihood: Any, label: int | None, face: Raw) -> tuple[Array, Array]:
    """Return which classes each row has, and which of its pairs count, both of shape (R, rows).

    A pair of a row and a class counts where the direction `face` does not separate the class from
    those of the row. For softmax the first array is 1 for the classes of the row, else 0. For
    sigmoids it is 1 for a row that has the label, -1 for a row that does not, 0.5 for a row with a
    target between, and 0 for pairs that do not count.
    """
    targets = targets_of(block, likelihood, label)
    if likelihood.is_coupled:
        S = (targets > 0.0).astype(float)
    else:
        S = np.where(targets == 1.0, 1.0, np.where(targets == 0.0, -1.0, 0.5))
    if not any(part.any() for part in face):
        return S, np.ones_like(S)
    gains = margins_of(changes(block, face), S, likelihood.is_coupled)
    M = gains <= STRICT_GAIN * sizes(block, face)
    if likelihood.is_coupled:
        return S, M.astype(float)
    return S * M, M.astype(float)


def targets_of(block: Block, likelihood: Any, label: int | None) -> Array:
    """Targets in the shape of the logits, or those of one label."""
    return np.asarray(
        likelihood.dense_targets(block.targets if label is None else block.targets[:, [label]])
    )


def changes(block: Block, direction: Raw) -> Array:
    """Return how the logits change along a direction, (R, rows), in float64 for any dtype of X."""
    coef, intercept, _ = direction
    if block.is_sparse:
        Z = np.ascontiguousarray(np.asarray(block.X @ np.ascontiguousarray(coef.T)).T)
    else:
        Z = coef @ block.X.T
    return np.asarray(Z + intercept[:, None])


def sizes(block: Block, direction: Raw) -> Array:
    """Return the scale of the rounding of the changes of the logits of each row, shape (rows,).

    It is the largest, over the logits, of the sums of the absolute values of the terms.
    """
    coef, _, size = direction
    Z = changes(_absolute(block), (np.abs(coef), size, size))
    return np.asarray(np.maximum(Z.max(axis=0), np.finfo(float).tiny))


def _absolute(block: Block) -> Block:
    return Block(
        block.index, block.start, block.stop, abs(block.X), block.targets, block.weights, None
    )


def margins_of(U: Array, S: Array, is_coupled: bool) -> Array:
    """Return by how much a row's own classes gain on each class, (R, rows); negative if they lose.

    Where a row has several classes, the margin is that of the class that gains least.

    Parameters
    ----------
    U : ndarray of shape (R, rows)
        Changes of the logits.
    S : ndarray of shape (R, rows)
        The classes of the rows, as `pairs_of` returns them.
    is_coupled : bool
        Whether the link is softmax, not sigmoids.
    """
    if is_coupled:
        return np.asarray(np.where(S > 0.0, U, np.inf).min(axis=0) - U)
    return np.asarray(np.where(np.abs(S) == 1.0, S * U, np.where(S == 0.0, 0.0, -np.abs(U))))


def counted(block: Block) -> Array:
    """Return which rows have a positive weight."""
    if block.weights is None:
        return np.ones(block.stop - block.start, dtype=bool)
    return np.asarray(block.weights > 0.0)


def on_host_all(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the arguments of a kernel with every array, in nested tuples too, in host memory."""
    return tuple(on_host_all(arg) if isinstance(arg, tuple) else on_host(arg) for arg in args)


def beside(block: Block, values: Array) -> Any:
    """Return host values of the rows on the device that has the rows of the block."""
    if isinstance(block.X, DeviceArray):
        return DeviceArray(block.X.place.put(values), block.X.place)
    return values


def evidence(block: Block, *args: Any) -> tuple[Any, Any]:
    """Return the largest loss and the largest gain of a pair, relative to the rounding scale."""
    block, args = on_host_block(block), on_host_all(args)
    *pairs, direction = args
    S, M = pairs_of(block, *pairs)
    margins = margins_of(changes(block, direction), S, pairs[0].is_coupled)
    margins = np.where(M > 0.0, margins, 0.0) / sizes(block, direction)
    margins = margins[:, counted(block)]
    return -margins.min(initial=0.0), margins.max(initial=0.0)


def least_gain(block: Block, *args: Any) -> tuple[Any, Any]:
    """Return the least gain of a row's class on another, and -1 if a row has several classes.

    A row with several classes has a finite loss only where these are tied; complete separation is
    then impossible. The second value is 0 where every row has one class.
    """
    block, args = on_host_block(block), on_host_all(args)
    *pairs, direction = args
    S, _ = pairs_of(block, *pairs)
    margins = margins_of(changes(block, direction), S, pairs[0].is_coupled)
    margins = (margins / sizes(block, direction))[:, counted(block)]
    if pairs[0].is_coupled:
        S = S[:, counted(block)]
        single = S.sum(axis=0) == 1.0
        others = np.where(S == 0.0, margins, np.inf)
        return others.min(initial=np.inf), np.where(single, 0.0, -1.0).min(initial=0.0)
    return margins.min(initial=np.inf), 0.0


def gains_of_classes(block: Block, *args: Any) -> tuple[Any]:
    """Return the largest gain of the rows of each class, (R,); for sigmoids, of all rows."""
    block, args = on_host_block(block), on_host_all(args)
    *pairs, direction = args
    S, M = pairs_of(block, *pairs)
    margins = margins_of(changes(block, direction), S, pairs[0].is_coupled)
    margins = np.where(M > 0.0, margins, 0.0) / sizes(block, direction) * counted(block)
    if not pairs[0].is_coupled:
        return (margins.max(initial=0.0),)
    return ((S * margins.max(axis=0)).max(axis=1, initial=0.0),)


def relative_change(block: Block, *args: Any) -> tuple[Any]:
    """Return the largest absolute margin of a pair that counts, relative to the rounding scale."""
    block, args = on_host_block(block), on_host_all(args)
    *pairs, direction = args
    S, M = pairs_of(block, *pairs)
    margins = margins_of(changes(block, direction), S, pairs[0].is_coupled)
    margins = np.where(M > 0.0, np.abs(margins), 0.0) / sizes(block, direction)
    return (margins[:, counted(block)].max(initial=0.0),)


def are_separated(block: Block, *args: Any) -> Array:
    """Return which rows of positive weight the face separates from some class."""
    rows, pairs = on_host_block(block), on_host_all(args)
    _, M = pairs_of(rows, *pairs)
    return beside(block, (M == 0.0).any(axis=0) & counted(rows))


def largest_ratio(block: Block, *args: Any) -> tuple[Any]:
    """Return the largest ratio of a pair's loss along `other` to its gain along `direction`."""
    block, args = on_host_block(block), on_host_all(args)
    *pairs, direction, other = args
    S, _ = pairs_of(block, *pairs)
    is_coupled = pairs[0].is_coupled
    gains = margins_of(changes(block, direction), S, is_coupled)
    losses = -margins_of(changes(block, other), S, is_coupled)
    strict = gains > STRICT_GAIN * sizes(block, direction)
    ratio = np.where(strict, losses / np.where(strict, gains, 1.0), 0.0)
    return (ratio[:, counted(block)].max(initial=0.0),)
