"""Rows of X with what belongs to them, wherever they are stored: what a fit may ask of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from skmaxent._storage._block import Block
from skmaxent._storage._row_targets import are_codes, likeliest
from skmaxent._typing import Array

# A sample has this many rows of a class, or all of them.
FEW_ROWS = 30
# Variances of a column among some rows and among all differ by less, or there are outliers.
UNLIKE = 1.5


@dataclass
class Tally:
    """Rows read so far: n of them are a pass over X."""

    rows: int = 0


class Rows(NamedTuple):
    """Some rows in memory with what belongs to them."""

    X: Any
    targets: Array
    weights: Array | None
    offset: Array | None


class WeightSums(NamedTuple):
    """Σ s, (Σ s)²/Σ s², and the number and the least of the s that are not zero."""

    total: float
    effective_size: float
    n_positive: int
    least: float

    @classmethod
    def of(cls, weights: Array | None, n_samples: int) -> WeightSums:
        if weights is None:
            return cls(float(n_samples), float(n_samples), n_samples, 1.0)
        s = weights.astype(float)
        relative = s / float(s.max())
        effective = float(relative.sum() ** 2 / np.square(relative).sum())
        least = float(np.where(s > 0.0, s, np.inf).min())
        total = float(weights.sum(dtype=np.float64))
        return cls(total, effective, int(np.count_nonzero(s)), least)


class Storage(ABC):
    """X (n_samples, n_features), dense or CSR, with targets, weights and offsets of its rows.

    Attributes
    ----------
    n_samples, n_features : int
    dtype : dtype
        float32 or float64.
    is_sparse : bool
    size : int
        Entries that products with X multiply.
    n_logits : int
        Rows of the coefficients that meet X.
    has_offset : bool
        Whether rows have a known part of their logits.
    has_codes : bool
        Whether each row has one class.
    tally : Tally
        Counts the rows read, here and in copies and samples made from here.
    """

    n_samples: int
    n_features: int
    dtype: Any
    is_sparse: bool
    size: int
    n_logits: int
    has_offset: bool
    has_codes: bool
    tally: Tally

    @abstractmethod
    def map_reduce(
        self, kernel: Callable[..., tuple[Any, ...]], *args: Any, combine: np.ufunc = np.add
    ) -> tuple[Any, ...]:
        """Sum of `kernel(block, *args)`, a tuple of numbers and new arrays, over all blocks.

        Sums are float64. `combine` is another associative ufunc instead of the sum.
        """

    @abstractmethod
    def take(self, rows: Array, center: Array, scale: Array, dtype: Any) -> Rows:
        """Rows at increasing positions, columns (x - center)/scale; sparse X keeps its mean."""

    @abstractmethod
    def where(self, kernel: Callable[..., Array], *args: Any, at_most: int) -> Array | None:
        """Positions of the rows for which `kernel(block, *args)` is true; None for too many."""

    @abstractmethod
    def standardised(
        self, center: Array, scale: Array, n_rows: int | None = None, *, dtype: Any, seed: int = 0
    ) -> Storage:
        """A copy with columns (x - center)/scale, of all rows or a sample."""

    @abstractmethod
    def columns(self, index: Array, center: Array, scale: Array) -> Storage:
        """A standardised copy of some columns; sparse X keeps its mean."""

    @abstractmethod
    def transformed(
        self,
        kept: Array | None = None,
        shift: Array | None = None,
        exponents: Array | None = None,
    ) -> Storage:
        """A copy of some columns, or all, as (x - shift) 2^-exponent.

        Shifts, representable in the dtype of X, and exponents are of the columns that are kept.
        Sparse columns with a shift have an entry in every row.
        """

    @abstractmethod
    def whole(self) -> Block:
        """All rows as a single block: they are few."""

    @abstractmethod
    def check_finite(self) -> None:
        """Raise ValueError where X has NaN or infinity."""

    @abstractmethod
    def affords_columns(self, n_columns: int) -> bool:
        """Whether there is room for a copy of so many columns."""

    @abstractmethod
    def affords_without(self, n_columns: int) -> bool:
        """Whether a copy that leaves so many columns out is worth its room."""

    @property
    @abstractmethod
    def has_room(self) -> bool:
        """Whether copies of X, and what is computed for each row, may be kept."""

    @property
    @abstractmethod
    def weight_sums(self) -> WeightSums:
        """What is needed of all weights together."""

    @cached_property
    def effective_size(self) -> float:
        """(Σs)²/Σs² (Kish 1965): the number of rows, whatever the scale of the weights."""
        return self.weight_sums.effective_size

    @property
    def work(self) -> int:
        """Multiplications of a product with coefficients."""
        return self.size * self.n_logits

    def in_float64(self) -> Storage:
        """The same rows, of which every pass gets copies in float64, a block at a time."""
        return self if self.dtype == np.float64 else Float64Rows(self)

    def _sample(self, n_rows: int, seed: int, center: Array, scale: Array, dtype: Any) -> Rows:
        """Rows, one from each of `n_rows` runs of equal length.

        Classes of which that brings too few rows come in whole, each row for itself. So do rows
        with more than one in `n_rows` of the sum of all squares, where some column has outliers.
        The weights say so.
        """
        n = self.n_samples
        within = np.random.default_rng(seed).random(n_rows)
        # Edges that are whole numbers: no row comes twice.
        edges = np.arange(n_rows + 1) * n // n_rows
        rows = edges[:-1] + (within * np.diff(edges)).astype(np.intp)
        sample = self.take(rows, center, scale, dtype)
        classes = likeliest(sample.targets)
        counts = None if sample.weights is None else sample.weights > 0
        rare = np.bincount(classes, counts, minlength=max(self.n_logits, 2)) < FEW_ROWS
        heavy = np.inf if self.is_sparse else _heavy(sample.X, n)
        if not rare.any() and heavy == np.inf:
            return sample
        limit = n_rows // 2
        wanted = self.where(_are_wanted, rare, heavy, center, scale, at_most=limit)
        if wanted is None or not len(wanted):
            return sample
        plain = np.flatnonzero(~np.isin(rows, wanted))
        parts = (_some(sample, plain), self.take(wanted, center, scale, dtype))
        factors = np.append(np.ones(len(plain)), np.full(len(wanted), n_rows / n))
        return _weighted(joined(parts), factors, dtype)


class Float64Rows(Storage):
    """Rows of another storage in float64: passes convert a block at a time.

    Copies of rows and columns are those that the other storage makes.
    """

    def __init__(self, rows: Storage) -> None:
        self._rows = rows
        self.n_samples, self.n_features = rows.n_samples, rows.n_features
        self.dtype, self.is_sparse, self.size = np.dtype(np.float64), rows.is_sparse, rows.size
        self.n_logits, self.tally = rows.n_logits, rows.tally
        self.has_offset, self.has_codes = rows.has_offset, rows.has_codes

    def map_reduce(
        self, kernel: Callable[..., tuple[Any, ...]], *args: Any, combine: np.ufunc = np.add
    ) -> tuple[Any, ...]:
        return self._rows.map_reduce(_of_float64, kernel, *args, combine=combine)

    def take(self, rows: Array, center: Array, scale: Array, dtype: Any) -> Rows:
        return self._rows.take(rows, center, scale, dtype)

    def where(self, kernel: Callable[..., Array], *args: Any, at_most: int) -> Array | None:
        return self._rows.where(_of_float64, kernel, *args, at_most=at_most)

    def standardised(
        self, center: Array, scale: Array, n_rows: int | None = None, *, dtype: Any, seed: int = 0
    ) -> Storage:
        return self._rows.standardised(center, scale, n_rows, dtype=dtype, seed=seed)

    def columns(self, index: Array, center: Array, scale: Array) -> Storage:
        return self._rows.columns(index, center, scale)

    def transformed(
        self,
        kept: Array | None = None,
        shift: Array | None = None,
        exponents: Array | None = None,
    ) -> Storage:
        return self._rows.transformed(kept, shift, exponents).in_float64()

    def whole(self) -> Block:
        return _widened(self._rows.whole())

    def check_finite(self) -> None:
        self._rows.check_finite()

    def affords_columns(self, n_columns: int) -> bool:
        return self._rows.affords_columns(n_columns)

    def affords_without(self, n_columns: int) -> bool:
        return self._rows.affords_without(n_columns)

    @property
    def has_room(self) -> bool:
        return self._rows.has_room

    @property
    def weight_sums(self) -> WeightSums:
        return self._rows.weight_sums


def _of_float64(block: Block, kernel: Callable[..., Any], *args: Any) -> Any:
    return kernel(_widened(block), *args)


def _widened(block: Block) -> Block:
    """The block with its numbers in float64."""

    def wide(array: Any) -> Any:
        return None if array is None else array.astype(np.float64)

    targets = block.targets if are_codes(block.targets) else wide(block.targets)
    return replace(
        block,
        X=wide(block.X),
        targets=targets,
        weights=wide(block.weights),
        offset=wide(block.offset),
    )


def _heavy(X: Array, n_samples: int) -> float:
    """A row's sum of squares from which on it is more than its share; infinite if none can be.

    Where a column's variance among these standardised rows is far from one they miss outliers of
    it, or have too many.
    """
    share = np.einsum("ij,ij->j", X, X, dtype=np.float64) / len(X)
    there = share > 0.0
    if not ((share < 1.0 / UNLIKE) & there | (share > UNLIKE)).any():
        return float("inf")
    # Squares of a standardised column sum to the number of rows.
    return n_samples * float(there.sum()) / len(X)


def _are_wanted(block: Block, rare: Array, heavy: float, center: Array, scale: Array) -> Array:
    """Rows of rare classes, and those with many squares."""
    wanted: Array = rare[likeliest(block.targets)]
    if heavy < np.inf:
        squares = block.X - center
        wanted = wanted | (np.square(squares, out=squares) @ (1.0 / scale**2) > heavy)
    return wanted if block.weights is None else wanted & (block.weights > 0)


def _some(rows: Rows, index: Array) -> Rows:
    def part(array: Any) -> Any:
        return None if array is None else array[index]

    return Rows(*map(part, rows))


def joined(parts: Sequence[Rows]) -> Rows:
    """Rows of several parts, one after the other."""
    X, targets, weights, offset = zip(*parts, strict=True)

    def together(arrays: tuple[Any, ...]) -> Any:
        if arrays[0] is None:
            return None
        if sp.issparse(arrays[0]):
            return type(arrays[0])(sp.vstack(arrays, format="csr"))
        return np.concatenate(arrays)

    return Rows(together(X), together(targets), together(weights), together(offset))


def _weighted(rows: Rows, factors: Array, dtype: Any) -> Rows:
    weights = factors if rows.weights is None else rows.weights * factors
    return rows._replace(weights=weights.astype(dtype))
