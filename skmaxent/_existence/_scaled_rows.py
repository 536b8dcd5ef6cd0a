"""Kernels of the linear programs, over rows and columns that are scaled to similar size.

Each column is centred and scaled by `ColumnScales`; then each row is divided by its largest entry,
the intercept's included. R is the number of logits, and d the number of features.

A kernel is a function of a block of rows that `Storage.map_reduce` calls for each block. Two of the
arguments of kernels are defined in `_margins`: `direction` is a direction of the coefficients in
the units of X, and `pairs` says which pairs of a row and a class count. The margin of a pair is the
change of the logit of the row's own class along the direction, minus the change of the logit of the
other class. For sigmoids it is the change of the logit of the label, with the opposite sign for
rows without the label; for a target between 0 and 1 it is minus the absolute value of the change. A
scaled margin is the margin divided by the largest entry of the row in scaled columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from skmaxent._existence._margins import (
    Pairs,
    RawDirection,
    classes_and_pairs,
    host_kernel,
    logit_changes,
    margins_of_classes,
    on_device_of,
    rows_with_weight,
    to_host_memory,
)
from skmaxent._objective._objective import MultinomialObjective
from skmaxent._storage._block import Block
from skmaxent._storage._device_array import on_host
from skmaxent._storage._device_blocks import on_host_block
from skmaxent._typing import Array, KernelResult

# Bytes of the dense rows that are in memory at a time.
PIECE_BYTES = 1 << 23
# The center of a column is a value of one of about so many rows.
ROWS_FOR_CENTERS = 100


class ColumnScales(NamedTuple):
    """The constants of scaled columns (x - center)/scale.

    Attributes
    ----------
    center : ndarray of shape (n_features,)
    scale : ndarray of shape (n_features + 1,)
        The scale of the intercept is the last; it is infinite for models without an intercept.
    """

    center: Array
    scale: Array


def column_scales(objective: MultinomialObjective) -> ColumnScales:
    """Return centers and scales of the columns; the centers of a sparse X are zeros.

    Few huge entries should not make all other entries of their column small. The scale of a column
    is therefore about the mean absolute value of its entries other than zero after each row was
    divided by its largest entry. Three iterations find such scales, since the largest entries
    depend on them. Zeros do not count: with them, the scale of a column with few entries, which are
    the largest of their rows, would shrink in every iteration.
    """
    is_centred = objective.fit_intercept and not objective.blocks.is_sparse
    center = _centers(objective) if is_centred else np.zeros(len(objective.center))
    scale = np.append(
        np.asarray(objective.scale, float), 1.0 if objective.fit_intercept else np.inf
    )
    for _ in range(3):
        scales = ColumnScales(center, scale)
        sums, counts = objective.blocks.map_reduce(_column_sizes, scales)
        size = sums / np.maximum(counts, 1.0)
        scale = scale * np.where(size > 0.0, size, 1.0)
    return ColumnScales(center, scale)


def _centers(objective: MultinomialObjective) -> Array:
    """Return a value of each column near its mean, (n_features,), from a few of the rows.

    If rows with another value than most weigh next to nothing, the mean is next to the value of
    most rows. Their entries, centred by the mean, would be so small that solvers of linear programs
    take some of them for zeros. Centred by a value of the column, equal entries are exactly zero.
    """
    n_samples, d = objective.blocks.n_samples, objective.blocks.n_features
    rows = np.unique(np.linspace(0, n_samples - 1, min(n_samples, ROWS_FOR_CENTERS)).astype(int))
    X = on_host(objective.blocks.take(rows, np.zeros(d), np.ones(d), np.float64).X)
    nearest = np.abs(X - objective.center).argmin(axis=0)
    return np.asarray(X[nearest, np.arange(d)])


@host_kernel
def _column_sizes(block: Block, scales: ColumnScales) -> tuple[Array, Array]:
    """Return sums of the absolute entries of the scaled rows, and how many are not zero.

    Both have the shape (d + 1,). Only rows of positive weight count.
    """
    center, scale = scales
    counted = rows_with_weight(block).astype(float)
    weights = counted / largest_entries(block, scales)
    X = abs(block.X if block.is_sparse else block.X - center)
    sums = np.append(np.asarray(X.T @ weights) / scale[:-1], weights.sum() / scale[-1])
    return sums, np.append(np.asarray((X != 0.0).T @ counted), counted.sum())


def largest_entries(block: Block, scales: ColumnScales) -> Array:
    """Return the largest absolute entry of each row in scaled columns, (rows,); 1 if all are 0."""
    center, scale = scales
    largest = np.full(block.stop - block.start, 1.0 / scale[-1])
    if block.is_sparse:
        X, n_entries = block.X, block.X.indptr[-1]
        filled = np.flatnonzero(np.diff(X.indptr))  # rows with entries
        entries = np.abs(X.data[:n_entries]) / scale[X.indices[:n_entries]]
        largest[filled] = np.maximum(
            largest[filled], np.maximum.reduceat(entries, X.indptr[filled])
        )
    elif len(center):
        X = np.abs((block.X - center) / scale[:-1])
        largest = np.maximum(largest, X.max(axis=1))
    return np.asarray(np.where(largest > 0.0, largest, 1.0))


def dense_pieces(
    block: Block, scales: ColumnScales, n_rows: int = 0
) -> Iterator[tuple[Block, Array]]:
    """Yield parts of a block, each with its scaled rows as a dense array (rows, d + 1).

    A part has `n_rows` rows, or as many as fit into `PIECE_BYTES` if `n_rows` is 0.
    """
    center, scale = scales
    width = len(scale)
    step = n_rows or max(1, PIECE_BYTES // (8 * width))
    size = largest_entries(block, scales)
    for start in range(0, block.stop - block.start, step):
        stop = min(start + step, block.stop - block.start)
        part = slice(start, stop)
        some = Block(
            block.index,
            block.start + start,
            block.start + stop,
            block.X[part],
            block.targets[part],
            None if block.weights is None else block.weights[part],
            None if block.offset is None else block.offset[part],
        )
        X = np.empty((stop - start, width))
        X[:, :-1] = some.X.toarray() if some.is_sparse else some.X
        X[:, :-1] -= center
        X[:, :-1] /= scale[:-1]
        X[:, -1] = 1.0 / scale[-1]
        X /= size[part, None]
        yield some, X


def scaled_margins(
    block: Block, pairs: Pairs, direction: RawDirection, scales: ColumnScales
) -> Array:
    """Return the scaled margins of the pairs of each row with each class, (R, rows).

    Margins of pairs that do not count, and of rows without weight, are 0. Block and arguments must
    be in host memory.
    """
    own, counts = classes_and_pairs(block, pairs)
    margins = margins_of_classes(logit_changes(block, direction), own, pairs.is_coupled)
    weights = rows_with_weight(block) / largest_entries(block, scales)
    return np.asarray(np.where(counts > 0.0, margins, 0.0) * weights)


@host_kernel
def largest_scaled_margin(
    block: Block, pairs: Pairs, direction: RawDirection, scales: ColumnScales
) -> KernelResult:
    """Return the largest absolute scaled margin of a pair."""
    return (np.abs(scaled_margins(block, pairs, direction, scales)).max(initial=0.0),)


@host_kernel
def worst_violation(
    block: Block, pairs: Pairs, direction: RawDirection, scales: ColumnScales
) -> KernelResult:
    """Return the absolute value of the most negative scaled margin, or 0 if none is negative."""
    return (-scaled_margins(block, pairs, direction, scales).min(initial=0.0),)


def are_violated(
    block: Block, pairs: Pairs, direction: RawDirection, scales: ColumnScales, limit: float
) -> Array:
    """Return which rows have a pair whose scaled margin is below -limit, bool (rows,)."""
    args = map(to_host_memory, (pairs, direction, scales))
    margins = scaled_margins(on_host_block(block), *args)
    return on_device_of(block, np.asarray((margins < -limit).any(axis=0)))


@host_kernel
def gradient_of_margins(block: Block, pairs: Pairs, scales: ColumnScales) -> tuple[Array]:
    """Return the gradient of the sum of all scaled margins by a direction, (R, d + 1).

    The direction is given by its coefficients for the scaled columns. The gradient is the same for
    all directions, because the sum is linear: each class of a row with several classes has margins
    of its own, and targets between 0 and 1 of sigmoids are left out.
    """
    total = 0.0
    for some, X in dense_pieces(block, scales):
        own, counts = classes_and_pairs(some, pairs)
        if pairs.is_coupled:
            G = counts.sum(axis=0) * own - own.sum(axis=0) * counts
        else:
            # `own` is 0.5 for a target between 0 and 1, whose margin -|change| is not linear.
            G = np.where(np.abs(own) == 1.0, own, 0.0)
        total = total + (G * rows_with_weight(some)) @ X
    return (np.asarray(total),)
