"""Rows in dense blocks, and their sums."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp

from skmaxent._typing import Array

# The number of sparse rows that are made dense at a time, which bounds the memory.
DENSE_ROWS = 4096


def dense_blocks(rows: Any, offset: Array | None) -> Iterator[tuple[slice, Array, Array | None]]:
    """Yield blocks of rows: their slice, a dense float64 copy of them, and their offsets or None.

    `rows` (n, n_features) may be sparse.
    """
    for start in range(0, rows.shape[0], DENSE_ROWS):
        at = slice(start, min(start + DENSE_ROWS, rows.shape[0]))
        part = rows[at]
        part = part.toarray() if sp.issparse(part) else part
        yield at, part.astype(np.float64), None if offset is None else offset[at]


def relative_to_largest(weights: Array | None) -> Array | None:
    """Return weights (n,) divided by the largest, or None for None.

    Sums of the result neither overflow nor underflow.
    """
    return None if weights is None else weights / weights.max()


def sums_of_rows(
    rows: Any, offset: Array | None, weights: Array | None
) -> tuple[Array, Array, Array]:
    """Return the weighted sums of the rows, (n_features,), and offsets, and the sum of weights."""
    weights = np.ones(rows.shape[0]) if weights is None else weights
    total = np.zeros(rows.shape[1])
    for at, part, _ in dense_blocks(rows, None):
        total += weights[at] @ part
    shift = np.zeros(1) if offset is None else weights @ offset.astype(float)
    return total, shift, weights.sum()


def means_of_sums(sums: list[Array], total: Array, has_offset: bool) -> tuple[Array, Array | None]:
    """Return the mean row (1, n_features) and the mean of the offsets or None.

    `sums` are the weighted sums of rows and of offsets, and `total` is the sum of the weights.
    """
    mean, shift = (values[None] / total for values in sums)
    return mean, shift if has_offset else None
