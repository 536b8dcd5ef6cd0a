"""Rows in memory or in a memory map, seen as blocks."""

from __future__ import annotations

import itertools
import mmap
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils import assert_all_finite

from skmaxent._storage._block import Block
from skmaxent._storage._row_targets import are_codes
from skmaxent._storage._storage import Rows, Storage, Tally, WeightSums
from skmaxent._storage._threads import Workers
from skmaxent._typing import Array

# Rows of one block: enough work to hide the cost of NumPy calls, few enough for the cache.
BLOCK_BYTES = 1 << 22
# Coefficients of many classes are read for each block: for no fewer rows than these.
LEAST_ROWS = 128
# Below this many multiplications a pass is cheaper on one thread.
THREAD_WORK = 2_000_000
# Entries that are scaled at a time.
ENTRIES = 1 << 18
# A copy of columns takes no more memory.
COLUMN_BYTES = 1 << 29
# X up to this size is copied for the sake of few columns that are left out.
FEW_BYTES = 1 << 28


class RowBlocks(Storage):
    """X (dense or CSR) with its row arrays, seen as blocks of rows.

    Parameters
    ----------
    X : ndarray or CSR of shape (n_samples, n_features), float32 or float64
        Never copied: blocks are views, of a memory map too.
    targets : ndarray of shape (n_samples,) or (n_samples, n_logits)
        What rows say of their classes: see `_likelihood`.
    weights : ndarray of shape (n_samples,) or None
        Row weights; None is all ones.
    offset : ndarray of shape (n_samples, n_logits) or None
        Known part of the logits.
    n_logits : int
        Rows of the coefficients that meet X; sets the size of blocks.
    workers : Workers, optional
        Threads a pass may use; one where not given.
    block_rows : int, optional
        Rows of a block, where they must be those of another storage.
    tally : Tally, optional
        Counts the rows read, here and in copies and samples made from here.
    """

    def __init__(
        self,
        X: Any,
        targets: Array,
        weights: Array | None = None,
        offset: Array | None = None,
        *,
        n_logits: int,
        workers: Workers | None = None,
        block_rows: int | None = None,
        tally: Tally | None = None,
    ) -> None:
        self.X = X
        self.targets = targets
        self.weights = weights
        self.offset = offset
        self.n_logits = n_logits
        self.workers = Workers() if workers is None else workers
        self.n_samples, self.n_features = X.shape
        self.dtype = X.dtype
        self.is_sparse = bool(sp.issparse(X))
        self.size = X.nnz if self.is_sparse else self.n_samples * self.n_features
        self.has_offset = offset is not None
        self.has_codes = are_codes(targets)
        self.tally = Tally() if tally is None else tally
        self._groups = 1 if self.is_small else max(self.workers.n_threads, 1)
        self.block_rows = self._rows_per_block() if block_rows is None else block_rows
        groups = min(self._groups, self.n_blocks)
        edges = [self.n_blocks * group // groups for group in range(groups + 1)]
        self._ranges = [range(low, high) for low, high in itertools.pairwise(edges)]
        self._slices: dict[int, Any] = {}

    @cached_property
    def weight_sums(self) -> WeightSums:
        return WeightSums.of(self.weights, self.n_samples)

    def _rows_per_block(self) -> int:
        # The bytes of a row are those of X and of three arrays of logits.
        item = self.dtype.itemsize
        row = item * (self.size / max(self.n_samples, 1) + 3 * self.n_logits)
        budget = max(float(self._block_bytes), LEAST_ROWS * row)
        if self.is_sparse:
            # Each block's gradient has the size of the coefficients: blocks no smaller than it.
            budget = max(budget, 4.0 * item * self.n_logits * self.n_features)
        return max(1, min(int(budget / row), -(-self.n_samples // self._groups)))

    @property
    def _block_bytes(self) -> int:
        return BLOCK_BYTES

    @property
    def has_room(self) -> bool:
        """Not where X lies in a file, as it does where memory has no room for it."""
        base = self.X
        while base is not None and not isinstance(base, mmap.mmap):
            base = getattr(base, "base", None)
        return base is None

    @property
    def is_small(self) -> bool:
        """Whether a pass is too little work for threads."""
        return self.work < THREAD_WORK

    def affords_columns(self, n_columns: int) -> bool:
        return self.is_sparse or 8 * n_columns * self.n_samples <= COLUMN_BYTES

    def affords_without(self, n_columns: int) -> bool:
        few = self.dtype.itemsize * self.n_samples * self.n_features <= FEW_BYTES
        return self.is_sparse or (
            (few or 10 * n_columns >= self.n_features)
            and self.affords_columns(self.n_features - n_columns)
        )

    @property
    def n_blocks(self) -> int:
        return -(-self.n_samples // self.block_rows)

    def whole(self) -> Block:
        """All rows as a single block."""
        return self._rows(-1, 0, self.n_samples)

    def _block(self, index: int) -> Block:
        start = index * self.block_rows
        return self._rows(index, start, min(start + self.block_rows, self.n_samples))

    def _rows(self, index: int, start: int, stop: int) -> Block:
        return Block(
            index=index,
            start=start,
            stop=stop,
            X=self._slice(index, start, stop),
            targets=self.targets[start:stop],
            weights=None if self.weights is None else self.weights[start:stop],
            offset=None if self.offset is None else self.offset[start:stop],
        )

    def _slice(self, index: int, start: int, stop: int) -> Any:
        if stop - start == self.n_samples:
            return self.X
        if not self.is_sparse:
            return self.X[start:stop]
        if index not in self._slices:
            self._slices[index] = _sparse_rows(self.X, start, stop)
        return self._slices[index]

    def map_reduce(
        self, kernel: Callable[..., tuple[Any, ...]], *args: Any, combine: np.ufunc = np.add
    ) -> tuple[Any, ...]:
        """Sum of `kernel(block, *args)`, a tuple of numbers and new arrays, over all blocks.

        Sums are float64 and their order depends on the number of threads only. `combine` is
        another associative ufunc instead of the sum.
        """
        self.tally.rows += self.n_samples

        def total(group: range) -> list[Any]:
            sums: list[Any] = []
            for index in group:
                terms = kernel(self._block(index), *args)
                if not sums:
                    sums = [np.asarray(term, dtype=np.float64) for term in terms]
                else:
                    for accumulated, term in zip(sums, terms, strict=True):
                        combine(accumulated, term, out=accumulated)
            return sums

        if self.n_blocks == 1:
            return tuple(total(self._ranges[0]))
        partial = self.workers.run([lambda group=group: total(group) for group in self._ranges])  # type: ignore[misc]
        for other in partial[1:]:
            for accumulated, term in zip(partial[0], other, strict=True):
                combine(accumulated, term, out=accumulated)
        return tuple(partial[0])

    def map_rows(self, kernel: Callable[..., None], out: Array, *args: Any) -> Array:
        """Have `kernel(block, rows, *args)` fill the rows of `out` that belong to each block."""
        self.tally.rows += self.n_samples

        def collect(group: range) -> None:
            for index in group:
                block = self._block(index)
                kernel(block, out[block.start : block.stop], *args)

        self.workers.run([lambda group=group: collect(group) for group in self._ranges])  # type: ignore[misc]
        return out

    def where(self, kernel: Callable[..., Array], *args: Any, at_most: int) -> Array | None:
        wanted = self.map_rows(_found, np.empty(self.n_samples, dtype=bool), kernel, *args)
        return np.flatnonzero(wanted) if np.count_nonzero(wanted) <= at_most else None

    def take(self, rows: Array, center: Array, scale: Array, dtype: Any) -> Rows:
        return Rows(
            self._scaled_rows(rows, center, scale, dtype),
            self.targets[rows],
            None if self.weights is None else self.weights[rows].astype(dtype),
            None if self.offset is None else self.offset[rows].astype(dtype),
        )

    def standardised(
        self, center: Array, scale: Array, n_rows: int | None = None, *, dtype: Any, seed: int = 0
    ) -> RowBlocks:
        """Blocks of all rows are the blocks here."""
        whole = n_rows is None or n_rows >= self.n_samples
        if n_rows is None or whole:
            rows = self.take(slice(None), center, scale, dtype)  # type: ignore[arg-type]
        else:
            rows = self._sample(n_rows, seed, center, scale, dtype)
        return self._with(*rows, block_rows=self.block_rows if whole else None)

    def with_targets(self, targets: Array) -> RowBlocks:
        """The same rows, of which other classes are known."""
        return self._with(self.X, targets, self.weights, self.offset, block_rows=self.block_rows)

    def columns(self, index: Array, center: Array, scale: Array) -> RowBlocks:
        if self.is_sparse:
            X = self.X[:, index]
            X.data = X.data / scale[index][X.indices]
        else:
            X = np.empty((self.n_samples, len(index)), dtype=np.float64)
            self.map_rows(_standardise_columns, X, index, center[index], scale[index])
        return self._with(X, self.targets, self.weights, self.offset)

    def transformed(
        self,
        kept: Array | None = None,
        shift: Array | None = None,
        exponents: Array | None = None,
    ) -> RowBlocks:
        X = self.X
        if kept is not None:
            X = X[:, kept] if self.is_sparse else np.take(X, kept, axis=1)
        if shift is not None:
            shift = shift.astype(self.dtype)
            X = _sparse_shifted(X, shift) if self.is_sparse else X - shift
        if exponents is not None and self.is_sparse:
            data = np.ldexp(X.data, -exponents[X.indices])
            X = type(X)((data, X.indices, X.indptr), shape=X.shape)
        elif exponents is not None:
            X = np.ldexp(X, -exponents)
        return self._with(X, self.targets, self.weights, self.offset)

    def check_finite(self) -> None:
        check_finite(self.X)

    def _with(
        self,
        X: Any,
        targets: Array,
        weights: Array | None,
        offset: Array | None,
        block_rows: int | None = None,
    ) -> RowBlocks:
        """Other rows, read by the same workers and counted together."""
        return RowBlocks(
            X,
            targets,
            weights,
            offset,
            n_logits=self.n_logits,
            workers=self.workers,
            block_rows=block_rows,
            tally=self.tally,
        )

    def _scaled_rows(self, rows: Any, center: Array, scale: Array, dtype: Any) -> Any:
        if self.is_sparse:
            X = self.X[rows] if isinstance(rows, np.ndarray) else self.X
            data = np.empty(X.nnz, dtype=dtype)
            for start in range(0, X.nnz, ENTRIES):
                part = slice(start, start + ENTRIES)
                data[part] = X.data[part] / scale[X.indices[part]]
            return type(X)((data, X.indices, X.indptr), shape=X.shape)
        if isinstance(rows, slice):
            out = np.empty(self.X.shape, dtype=dtype)
            return self.map_rows(_standardise, out, center, scale)
        out = np.empty((len(rows), self.n_features), dtype=dtype)
        step = max(1, ENTRIES // max(self.n_features, 1))
        for start in range(0, len(rows), step):
            part = self.X[rows[start : start + step]] - center
            np.divide(part, scale, out=out[start : start + step], casting="same_kind")
        return out


def _sparse_rows(X: Any, start: int, stop: int) -> Any:
    """Rows of a CSR matrix with views of its entries: SciPy's slices, and its constructor, copy."""
    rows = type(X)((stop - start, X.shape[1]), dtype=X.dtype)
    entries = slice(X.indptr[start], X.indptr[stop])
    rows.data, rows.indices = X.data[entries], X.indices[entries]
    rows.indptr = X.indptr[start : stop + 1] - X.indptr[start]
    return rows


def _sparse_shifted(X: Any, shift: Array) -> Any:
    """A CSR matrix less a row, whose columns that are not zero become full."""
    full = np.flatnonzero(shift)
    if not len(full):
        return X
    n, k = X.shape[0], len(full)
    entries = np.tile(shift[full], n), np.tile(full, n), np.arange(0, n * k + 1, k)
    return type(X)(X - type(X)(entries, shape=X.shape))


def check_finite(X: Any, estimator_name: str = "MaxentClassifier") -> None:
    """Raise where X has NaN or infinity; to be asked when sums over it are not finite."""
    assert_all_finite(X, input_name="X", estimator_name=estimator_name)


def _found(block: Block, out: Array, kernel: Callable[..., Array], *args: Any) -> None:
    out[...] = kernel(block, *args)


def _standardise(block: Block, out: Array, center: Array, scale: Array) -> None:
    rows = block.X - center
    np.divide(rows, scale, out=out, casting="same_kind")


def _standardise_columns(
    block: Block, out: Array, index: Array, center: Array, scale: Array
) -> None:
    np.subtract(block.X[:, index], center, out=out)
    out /= scale
