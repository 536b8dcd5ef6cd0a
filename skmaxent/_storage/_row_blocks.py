"""Storage of rows in host memory or in a memory map, read in blocks by several threads."""

from __future__ import annotations

import itertools
import mmap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import DTypeLike
from sklearn.utils import assert_all_finite

from skmaxent._cached import cached_property
from skmaxent._storage._block import Block
from skmaxent._storage._column_transform import ColumnTransform, column_range
from skmaxent._storage._row_targets import are_codes
from skmaxent._storage._storage import Rows, Storage, Tally, WeightSums
from skmaxent._storage._threads import Workers
from skmaxent._typing import Array

# The sizes below are rules of thumb for processors with megabytes of cache.
# Bytes of X and logits in a block: enough work to hide the time of NumPy's calls, and little enough
# for the cache.
BLOCK_BYTES = 1 << 22
# A block has at least this many rows, since each block reads all the coefficients again.
LEAST_BLOCK_ROWS = 128
# A pass with fewer multiplications takes less time on one thread than on several.
THREAD_WORK = 2_000_000
# Number of entries that are scaled at a time, so that temporary arrays stay small.
ENTRIES_AT_A_TIME = 1 << 18
# Most bytes of a float64 copy of columns.
COLUMN_BYTES = 1 << 29
# Copying an entry of a block takes about as long as this many of its products with coefficients.
PRODUCTS_PER_COPY = 2
# An X of at most this size is copied even to leave out less than a tenth of its columns.
CHEAP_COPY_BYTES = 1 << 28


class RowBlocks(Storage):
    """Rows of X, dense or CSR, with their targets, weights and offsets, read in blocks.

    Parameters
    ----------
    X : ndarray or CSR of shape (n_samples, n_features), float32 or float64
        X is never copied: blocks are views, also of a memory map. `TransformedRows` replace a
        memory map whose columns are shifted or scaled, or inner columns of which are left out.
    targets : ndarray of shape (n_samples,) or (n_samples, n_logits), or None
        Class codes or shares, as described in `_likelihood`; None in rows to predict.
    weights : ndarray of shape (n_samples,) or None
        Sample weights; None stands for ones.
    offset : ndarray of shape (n_samples, n_logits) or None
        Constants added to the logits.
    n_logits : int
        Number of rows of the coefficients, on which the size of blocks depends.
    workers : Workers, optional
        The threads that a pass may use; the default is the calling thread alone.
    block_rows : int, optional
        Rows of a block; the default is computed from the size of a row.
    tally : Tally, optional
        Counts the rows read, from this storage and from all copies and samples made of it.
    """

    def __init__(
        self,
        X: Any,
        targets: Any,
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
        self.workers = self.host_workers = Workers() if workers is None else workers
        self.n_samples, self.n_features = X.shape
        self.dtype = X.dtype
        self.is_sparse = bool(sp.issparse(X))
        self.size = X.nnz if self.is_sparse else self.n_samples * self.n_features
        self.has_offset = offset is not None
        self.has_codes = targets is not None and are_codes(targets)
        self.tally = Tally() if tally is None else tally
        self._groups = 1 if self.is_small else max(self.workers.n_threads, 1)
        self.block_rows = self._rows_per_block() if block_rows is None else block_rows
        groups = min(self._groups, self.n_blocks)
        edges = [self.n_blocks * group // groups for group in range(groups + 1)]
        self._ranges = [range(low, high) for low, high in itertools.pairwise(edges)]
        self._slices: dict[int, Any] = {}
        self._by_column: dict[int, Any] | None = None

    @cached_property
    def weight_sums(self) -> WeightSums:
        return WeightSums.of(self.weights, self.n_samples)

    def _rows_per_block(self) -> int:
        """Return the number of rows whose data fit in `_block_bytes`, at least one."""
        # A kernel holds the rows of X and about three arrays of the shape of the logits.
        item = self.dtype.itemsize
        row = item * (self.size / max(self.n_samples, 1) + 3 * self.n_logits)
        budget = max(float(self._block_bytes), LEAST_BLOCK_ROWS * row)
        if self.is_sparse:
            # A block's gradient has the size of the coefficients, which may be many: a block is
            # larger than its gradient.
            budget = max(budget, 4.0 * item * self.n_logits * self.n_features)
        return max(1, min(int(budget / row), -(-self.n_samples // self._groups)))

    @property
    def _block_bytes(self) -> int:
        """Bytes of the data of a block that kernels work on."""
        return BLOCK_BYTES

    @property
    def has_room(self) -> bool:
        """Whether X is in memory. A memory map is taken as a sign that memory is short."""
        base = self.X
        while base is not None and not isinstance(base, mmap.mmap):
            base = getattr(base, "base", None)
        return base is None

    @property
    def is_small(self) -> bool:
        """Whether a pass takes less time on one thread than on several."""
        return self.work < THREAD_WORK

    def affords_columns(self, n_columns: int) -> bool:
        """Return whether there is memory for a float64 copy of `n_columns` columns."""
        return self.is_sparse or 8 * n_columns * self.n_samples <= COLUMN_BYTES

    def pays_to_drop(self, constant: Array) -> bool:
        """Return whether passes should read X without the columns of the mask (n_features,)."""
        n_columns = int(np.count_nonzero(constant))
        if not (self.is_sparse or self.has_room):
            kept = np.flatnonzero(~constant)
            products = n_columns * self.n_logits
            return column_range(kept) is not None or products > PRODUCTS_PER_COPY * len(kept)
        is_cheap = self.dtype.itemsize * self.n_samples * self.n_features <= CHEAP_COPY_BYTES
        return self.is_sparse or (
            (is_cheap or 10 * n_columns >= self.n_features)
            and self.affords_columns(self.n_features - n_columns)
        )

    @property
    def n_blocks(self) -> int:
        return -(-self.n_samples // self.block_rows)

    def whole(self) -> Block:
        """Return all rows as a single block."""
        return self._rows(-1, 0, self.n_samples)

    def _block(self, index: int) -> Block:
        """Return the block with this number."""
        start = index * self.block_rows
        return self._rows(index, start, min(start + self.block_rows, self.n_samples))

    def _rows(self, index: int, start: int, stop: int) -> Block:
        """Return the rows from `start` to `stop` as the block with number `index`."""
        return Block(
            index=index,
            start=start,
            stop=stop,
            X=self._slice(index, start, stop),
            targets=None if self.targets is None else self.targets[start:stop],
            weights=None if self.weights is None else self.weights[start:stop],
            offset=None if self.offset is None else self.offset[start:stop],
            by_column=self._columns_of(index, start, stop),
        )

    def by_column(self) -> Any:
        """Return a copy of a sparse X by column, CSC, and keep such copies of blocks from now on.

        Products with coefficients that are zero in most columns then read the other columns alone.
        """
        whole = self.X.tocsc()
        if self._by_column is None:
            self._by_column = {}
            if self.n_blocks == 1:
                self._by_column[0] = whole.T
        return whole

    def _columns_of(self, index: int, start: int, stop: int) -> Any:
        """Return the transposed copy of the rows of a block, or None before `by_column`."""
        if self._by_column is None or index < 0:
            return None
        if index not in self._by_column:
            self._by_column[index] = self._slice(index, start, stop).T.tocsr()
        return self._by_column[index]

    def _slice(self, index: int, start: int, stop: int) -> Any:
        """Return a view of X[start:stop] for block `index`; views of a sparse X are kept."""
        if not self.is_sparse:
            return self.X[start:stop]
        if stop - start == self.n_samples:
            return self.X
        if index not in self._slices:
            self._slices[index] = _sparse_rows(self.X, start, stop)
        return self._slices[index]

    def map_reduce(
        self, kernel: Callable[..., tuple[Any, ...]], *args: Any, combine: np.ufunc = np.add
    ) -> tuple[Any, ...]:
        """Return the sums over all blocks of the results of a kernel: see `Storage.map_reduce`.

        The order of the sums depends on the number of threads only, so results are repeatable.
        """
        self.tally.rows += self.n_samples

        # Each thread sums over one range of blocks; the partial sums are added in order below.
        def total(group: range) -> list[Any]:
            sums: list[Any] = []
            for index in group:
                terms = kernel(self._block(index), *args)
                if not sums:
                    sums = [np.asarray(term, dtype=np.float64) for term in terms]
                else:
                    add(sums, terms)
            return sums

        def add(sums: list[Any], terms: Sequence[Any]) -> None:
            for accumulated, term in zip(sums, terms, strict=True):
                combine(accumulated, term, out=accumulated)

        if self.n_blocks == 1:
            return tuple(total(self._ranges[0]))
        partial = self.workers.run([lambda group=group: total(group) for group in self._ranges])  # type: ignore[misc]
        for other in partial[1:]:
            add(partial[0], other)
        return tuple(partial[0])

    def map_rows(self, kernel: Callable[..., None], out: Array, *args: Any) -> Array:
        """Fill `out`, whose first axis is the rows, block by block, and return it.

        `kernel(block, rows, *args)` writes to `rows`, the view of `out` for the rows of the block.
        """
        self.tally.rows += self.n_samples

        def collect(group: range) -> None:
            for index in group:
                block = self._block(index)
                kernel(block, out[block.start : block.stop], *args)

        self.workers.run([lambda group=group: collect(group) for group in self._ranges])  # type: ignore[misc]
        return out

    def where(self, kernel: Callable[..., Array], *args: Any, at_most: int) -> Array | None:
        """Return the positions of the rows that a boolean kernel selects: see `Storage.where`."""
        wanted = self.map_rows(_selected, np.empty(self.n_samples, dtype=bool), kernel, *args)
        return np.flatnonzero(wanted) if np.count_nonzero(wanted) <= at_most else None

    def take(self, rows: Array, center: Array, scale: Array, dtype: DTypeLike) -> Rows:
        """Return standardised copies of the rows at positions `rows`: see `Storage.take`."""
        return Rows(
            self._scaled_rows(rows, center, scale, dtype),
            self.targets[rows],
            None if self.weights is None else self.weights[rows].astype(dtype),
            None if self.offset is None else self.offset[rows].astype(dtype),
        )

    def standardised(
        self,
        center: Array,
        scale: Array,
        n_rows: int | None = None,
        *,
        dtype: DTypeLike,
        seed: int = 0,
    ) -> RowBlocks:
        """Return a standardised copy of all rows, in the same blocks, or of a sample."""
        whole = n_rows is None or n_rows >= self.n_samples
        if n_rows is None or whole:
            rows = self.take(slice(None), center, scale, dtype)  # type: ignore[arg-type]
        else:
            rows = self._sample(n_rows, seed, center, scale, dtype)
        return self._with(*rows, block_rows=self.block_rows if whole else None)

    def with_targets(self, targets: Array) -> RowBlocks:
        """Return a storage of the same X, weights and offsets with other targets."""
        return self._with(self.X, targets, self.weights, self.offset, block_rows=self.block_rows)

    def with_weights(self, weights: Array, targets: Array | None = None) -> RowBlocks:
        """Return a storage of the same X and offsets in host memory with other weights.

        `targets` replace those of the rows if they are given.
        """
        rows = self.whole()
        return RowBlocks(
            rows.X,
            rows.targets if targets is None else targets,
            weights.astype(self.dtype),
            rows.offset,
            n_logits=self.n_logits,
            workers=self.workers,
        )

    def columns(self, index: Array, center: Array, scale: Array) -> RowBlocks:
        """Return a standardised copy of the columns at `index`: see `Storage.columns`."""
        if self.is_sparse:
            X = self.X[:, index]
            X.data = X.data / scale[index][X.indices]
        else:
            X = np.empty((self.n_samples, len(index)), dtype=np.float64)
            self.map_rows(standardise_columns, X, index, center[index], scale[index])
        return self._with(X, self.targets, self.weights, self.offset)

    def _with_columns(self, transform: ColumnTransform) -> RowBlocks:
        lazily = not (self.is_sparse or self.has_room)
        X = transform.lazily(self.X) if lazily else transform(self.X)
        return self._with(X, self.targets, self.weights, self.offset)

    def check_finite(self) -> None:
        check_finite(self.X)

    def _with(
        self,
        X: Any,
        targets: Any,
        weights: Array | None,
        offset: Array | None,
        block_rows: int | None = None,
    ) -> RowBlocks:
        """Return a storage of other rows, of the same class with the same workers and tally."""
        return type(self)(
            X,
            targets,
            weights,
            offset,
            n_logits=self.n_logits,
            workers=self.host_workers,
            block_rows=block_rows,
            tally=self.tally,
        )

    def _scaled_rows(self, rows: Any, center: Array, scale: Array, dtype: DTypeLike) -> Any:
        """Return a copy of some rows of X as (x - center)/scale, or x/scale for sparse X.

        `rows` are an array of positions, or slice(None) for all rows.
        """
        if self.is_sparse:
            X = self.X[rows] if isinstance(rows, np.ndarray) else self.X
            data = np.empty(X.nnz, dtype=dtype)
            for start in range(0, X.nnz, ENTRIES_AT_A_TIME):
                part = slice(start, start + ENTRIES_AT_A_TIME)
                data[part] = X.data[part] / scale[X.indices[part]]
            return type(X)((data, X.indices, X.indptr), shape=X.shape)
        if isinstance(rows, slice):
            out = np.empty(self.X.shape, dtype=dtype)
            return self.map_rows(standardise, out, center, scale)
        out = np.empty((len(rows), self.n_features), dtype=dtype)
        step = max(1, ENTRIES_AT_A_TIME // max(self.n_features, 1))
        for start in range(0, len(rows), step):
            part = self.X[rows[start : start + step]] - center
            np.divide(part, scale, out=out[start : start + step], casting="same_kind")
        return out


def _sparse_rows(X: Any, start: int, stop: int) -> Any:
    """Return rows of the CSR matrix X that share its entries, which SciPy's slices would copy."""
    rows = type(X)((stop - start, X.shape[1]), dtype=X.dtype)
    entries = slice(X.indptr[start], X.indptr[stop])
    rows.data, rows.indices = X.data[entries], X.indices[entries]
    rows.indptr = X.indptr[start : stop + 1] - X.indptr[start]
    return rows


def check_finite(X: Any) -> None:
    """Raise ValueError if X contains NaN or infinity; the first line is scikit-learn's message.

    The check is a pass over X, so it should be made only after a sum over X was not finite.
    """
    try:
        assert_all_finite(X, input_name="X")
    except ValueError as error:
        raise ValueError(
            f"{error}\nExpected finite numbers: drop these rows, or impute their entries, for "
            "instance by sklearn.impute.SimpleImputer."
        ) from error


def _selected(block: Block, out: Array, kernel: Callable[..., Array], *args: Any) -> None:
    """Write the boolean results of a kernel for the rows of a block to `out` (rows,)."""
    out[...] = kernel(block, *args)


def standardise(block: Block, out: Array, center: Array, scale: Array) -> None:
    """Write (x - center)/scale of the rows of the block to `out` (rows, n_features)."""
    rows = block.X - center
    np.divide(rows, scale, out=out, casting="same_kind")


def standardise_columns(
    block: Block, out: Array, index: Array, center: Array, scale: Array
) -> None:
    """Write (x - center)/scale of the columns at positions `index` (k,) to `out` (rows, k).

    `center` and `scale` have the shape (k,).
    """
    np.subtract(block.X[:, index], center, out=out)
    out /= scale
