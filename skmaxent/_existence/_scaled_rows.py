"""Kernels over rows and columns that are scaled to be alike, as the linear programs need them.

The arguments are those of the kernels in `_margins`, followed by the direction and by the centers
and scales of the columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp

from skmaxent._existence._margins import (
    beside,
    changes,
    counted,
    margins_of,
    on_host_all,
    pairs_of,
)
from skmaxent._objective._objective import MultinomialObjective
from skmaxent._storage._block import Block
from skmaxent._storage._device_blocks import on_host_block
from skmaxent._typing import Array

Scales = tuple[Array, Array]

# Bytes of the dense rows that are in memory at a time.
PIECE_BYTES = 1 << 23


def column_scales(objective: MultinomialObjective) -> Scales:
    """Return the centers (d,) and the scales (d + 1,) of the columns, the intercept's scale last.

    Centers of sparse rows are zeros. A column's scale is about the mean of its
    entries' absolute values where each row is divided by its largest entry, so that few huge
    entries do not make all others small.
    """
    is_centred = objective.fit_intercept and not objective.blocks.is_sparse
    center = objective.center if is_centred else np.zeros(len(objective.center))
    scale = np.append(
        np.asarray(objective.scale, float), 1.0 if objective.fit_intercept else np.inf
    )
    for _ in range(3):
        sums, total = objective.blocks.map_reduce(_column_sizes, center, scale)
        size = sums / max(float(total), 1.0)
        scale = scale * np.where(size > 0.0, size, 1.0)
    return center, scale


def _column_sizes(block: Block, *args: Any) -> tuple[Array, Any]:
    """Return sums of the absolute entries of the rescaled rows (d + 1,), and the number of rows."""
    block, (center, scale) = on_host_block(block), on_host_all(args)
    weights = counted(block) / row_sizes(block, center, scale)
    X = abs(block.X if block.is_sparse else block.X - center)
    sums = X.T @ weights
    out = np.append(np.asarray(sums) / scale[:-1], weights.sum() / scale[-1])
    return out, float(counted(block).sum())


def row_sizes(block: Block, center: Array, scale: Array) -> Array:
    """Return the largest absolute entry of each row in scaled columns, (rows,); 1 for zero rows."""
    largest = np.full(block.stop - block.start, 1.0 / scale[-1])
    if block.is_sparse:
        X = abs(block.X) @ sp.diags(1.0 / scale[:-1], format="csr")
        largest = np.maximum(largest, X.max(axis=1).toarray().ravel())
    elif len(center):
        X = np.abs((block.X - center) / scale[:-1])
        largest = np.maximum(largest, X.max(axis=1))
    return np.asarray(np.where(largest > 0.0, largest, 1.0))


def pieces(
    block: Block, center: Array, scale: Array, n_rows: int = 0
) -> Iterator[tuple[Block, Array]]:
    """Yield parts of a block, each with its dense rows (rows, d + 1) in scaled columns.

    Each row is divided by its largest entry. A part has `n_rows` rows, or as many as fit into
    `PIECE_BYTES` where `n_rows` is 0.
    """
    width = len(scale)
    step = n_rows or max(1, PIECE_BYTES // (8 * width))
    size = row_sizes(block, center, scale)
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


def scaled_margins(block: Block, args: tuple[Any, ...]) -> Array:
    """Return the margins of the pairs relative to the largest entry of the scaled row, (R, rows).

    Margins of pairs that do not count are 0.
    """
    *pairs, direction, center, scale = args
    S, M = pairs_of(block, *pairs)
    margins = margins_of(changes(block, direction), S, pairs[0].is_coupled)
    weights = counted(block) / row_sizes(block, center, scale)
    return np.asarray(np.where(M > 0.0, margins, 0.0) * weights)


def largest_gain(block: Block, *args: Any) -> tuple[Any]:
    """Return the largest absolute scaled margin."""
    margins = scaled_margins(on_host_block(block), on_host_all(args))
    return (np.abs(margins).max(initial=0.0),)


def worst_violation(block: Block, *args: Any) -> tuple[Any]:
    """Return by how much the pair loses that loses most, in scaled margins."""
    margins = scaled_margins(on_host_block(block), on_host_all(args))
    return (-margins.min(initial=0.0),)


def are_violated(block: Block, *args: Any) -> Array:
    """Return which rows have a pair that loses more than a limit, in scaled margins."""
    *rest, limit = on_host_all(args)
    margins = scaled_margins(on_host_block(block), tuple(rest))
    return beside(block, (margins < -limit).any(axis=0))


def gain_sums(block: Block, *args: Any) -> tuple[Array]:
    """Return the sum of the margins of pairs, linear in the scaled coefficients: (R, d + 1)."""
    block, args = on_host_block(block), on_host_all(args)
    *pairs, center, scale = args
    total = 0.0
    for some, X in pieces(block, center, scale):
        S, M = pairs_of(some, *pairs)
        if pairs[0].is_coupled:
            G = M.sum(axis=0) * S - S.sum(axis=0) * M
        else:
            G = np.where(np.abs(S) == 1.0, S, 0.0)
        total = total + (G * counted(some)) @ X
    return (np.asarray(total),)
