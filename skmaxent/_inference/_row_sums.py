"""Sums of columns that tell rows from others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skmaxent._effects._rows import dense_blocks
from skmaxent._storage._device_array import on_host
from skmaxent._typing import Array

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
