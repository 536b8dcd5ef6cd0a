"""Rows by blocks, and sums of columns that tell rows from others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from skmaxent._storage._device_array import on_host
from skmaxent._typing import Array

# Rows that are made dense at a time.
DENSE_ROWS = 4096
# Relative difference up to which sums over rows are those of the same rows.
SAME_ROWS = 1e-5


@dataclass(frozen=True)
class Signature:
    """What tells the rows of a weighted fit from others, in whatever storage: sums of columns.

    `sums` are those of the columns times random factors, one for each row; `sizes` bound them.
    They are empty where the rows of the fit are chunks: then any rows of that number may be they.
    """

    n_samples: int
    sums: Array
    sizes: Array

    @property
    def is_known(self) -> bool:
        """Whether the rows of the fit were in memory, so that their sums are known."""
        return len(self.sums) > 0

    @classmethod
    def of(cls, rows: Any) -> Signature:
        """The signature of rows in memory, (n_samples, n_features)."""
        factors = np.random.default_rng(0).uniform(0.5, 1.5, rows.shape[0])
        sums, sizes = np.zeros((2, rows.shape[1]))
        for at, part, _ in dense_blocks(rows, None):
            sums += factors[at] @ part
            sizes += factors[at] @ np.abs(part)
        return cls(rows.shape[0], sums, sizes)

    @classmethod
    def where_needed(cls, rows: Any, weights: Array | None) -> Signature | None:
        """The signature of rows with weights (n_samples,); None for equal weights."""
        if weights is None or (weights == weights[0]).all():
            return None
        return cls.of(on_host(rows))

    def is_of(self, rows: Any) -> bool:
        """Whether rows are those of the fit; without sums, whether they are as many."""
        if rows.shape[0] != self.n_samples or not self.is_known:
            return bool(rows.shape[0] == self.n_samples)
        difference = np.abs(Signature.of(rows).sums - self.sums)
        return bool((difference <= SAME_ROWS * self.sizes).all())


@dataclass(frozen=True)
class ColumnSums:
    """What tells whether two models are of the same rows, labels, weights and offsets.

    `loss` is the mean loss at coefficients of zero, `shares` are those of the classes,
    `class_sums` (n_logits, n_features) the means of columns times targets, `sizes` the root mean
    squares of the columns.
    """

    names: list[str]
    loss: float
    shares: Array
    class_sums: Array
    sizes: Array

    def are_of_rows_of(self, larger: ColumnSums) -> bool:
        """Whether these are of some of the columns of a larger model, whose names differ."""
        at = [larger.names.index(name) for name in self.names]
        size = np.maximum(self.sizes, larger.sizes[at])
        pairs = (
            (self.loss, larger.loss, max(abs(self.loss), abs(larger.loss))),
            (self.shares, larger.shares, 1.0),
            (self.sizes, larger.sizes[at], size),
            (self.class_sums, larger.class_sums[:, at], size),
        )
        return all(bool(np.all(np.abs(a - b) <= SAME_ROWS * s)) for a, b, s in pairs)


def dense_blocks(rows: Any, offset: Array | None) -> Iterator[tuple[slice, Array, Array | None]]:
    """Rows by blocks: where they are, dense copies of them in float64, and their offsets."""
    for start in range(0, rows.shape[0], DENSE_ROWS):
        at = slice(start, min(start + DENSE_ROWS, rows.shape[0]))
        part = rows[at]
        part = part.toarray() if sp.issparse(part) else part
        yield at, part.astype(np.float64), None if offset is None else offset[at]


def relative_to_largest(weights: Array | None) -> Array | None:
    """Weights divided by the largest, so that their sums neither overflow nor underflow."""
    return None if weights is None else weights / weights.max()


def sums_of_rows(
    rows: Any, offset: Array | None, weights: Array | None
) -> tuple[Array, Array, Array]:
    """Sums over rows of these, of their offsets and of the weights."""
    weights = np.ones(rows.shape[0]) if weights is None else weights
    total = np.zeros(rows.shape[1])
    for at, part, _ in dense_blocks(rows, None):
        total += weights[at] @ part
    shift = np.zeros(1) if offset is None else weights @ offset.astype(float)
    return total, shift, weights.sum()


def means_of_sums(sums: list[Array], total: Array, has_offset: bool) -> tuple[Array, Array | None]:
    """The mean row and the mean of the offsets, one row each."""
    mean, shift = (values[None] / total for values in sums)
    return mean, shift if has_offset else None
