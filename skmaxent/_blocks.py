"""Row blocks: the only place that knows how X is stored."""

from __future__ import annotations

import itertools
import mmap
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skmaxent._likelihood import likeliest
from skmaxent._threads import Workers, small_products

Array = NDArray[Any]

# Rows of one block: enough work to hide the cost of NumPy calls, few enough for the cache.
BLOCK_BYTES = 1 << 22
# Coefficients of many classes are read for each block: for no fewer rows than these.
LEAST_ROWS = 128
# Below this many multiplications a pass is cheaper on one thread.
THREAD_WORK = 2_000_000
# Products of sparse rows with themselves are cheaper than dense ones below this density.
DENSE_ENOUGH = 0.1
# OpenBLAS takes products of fewer multiplications for small.
SMALL_PRODUCT = 1_000_000
# Entries that are scaled at a time.
ENTRIES = 1 << 18
# A sample has this many rows of a class, or all of them.
FEW_ROWS = 30
# Variances of a column among some rows and among all differ by less, or there are outliers.
UNLIKE = 1.5
# Slices of fewer rows cost more calls than they save.
SLICE_ROWS = 64


@dataclass(frozen=True)
class Block:
    """Some rows of X with what belongs to them. Logits are class-major: (n_logits, rows)."""

    index: int
    start: int
    stop: int
    X: Any
    targets: Array
    weights: Array | None
    offset: Array | None = None

    @property
    def is_sparse(self) -> bool:
        return bool(sp.issparse(self.X))

    def _slices(self, n_logits: int) -> list[slice]:
        """Rows of products that BLAS takes for small, where that is quicker; else all of them."""
        rows, d = self.X.shape
        step = SMALL_PRODUCT // max(d * n_logits, 1)
        if n_logits == 1 or step < SLICE_ROWS or step >= rows or not small_products():
            return [slice(0, rows)]
        return [slice(start, start + step) for start in range(0, rows, step)]

    def logits(self, coef: Array, intercept: Array) -> Array:
        """coef @ Xᵀ + intercept, a new array of shape (n_logits, rows)."""
        if self.is_sparse or len(self._slices(len(coef))) > 1:
            Z = np.ascontiguousarray(self._products_by_row(coef).T)
        else:
            Z = coef @ self.X.T
        Z += intercept[:, None]
        return Z

    def logits_at(self, coef: Array, intercept: Array) -> Array:
        """The logits of a model: with the offset of each row."""
        Z = self.logits(coef, intercept)
        if self.offset is not None:
            Z += self.offset.T
        return Z

    def logits_by_row(self, coef: Array, intercept: Array, out: Array) -> None:
        """The logits of a model in the shape (rows, n_logits), written to `out`."""
        if self.is_sparse:
            np.add(self._products_by_row(coef), intercept, out=out)
        else:
            self._products_by_row(coef, out)
            out += intercept
        if self.offset is not None:
            out += self.offset

    def _products_by_row(self, coef: Array, out: Array | None = None) -> Array:
        if self.is_sparse:
            # A sparse row adds whole rows of coefᵀ: those must be contiguous.
            return np.asarray(self.X @ np.ascontiguousarray(coef.T))
        if out is None:
            out = np.empty((self.X.shape[0], len(coef)), dtype=coef.dtype)
        for rows in self._slices(len(coef)):
            np.matmul(self.X[rows], coef.T, out=out[rows])
        return out

    def gram(self, G: Array) -> Array:
        """G @ X: (n_logits, rows) with (rows, n_features) gives (n_logits, n_features)."""
        if self.is_sparse:
            return np.asarray((_transposed(self.X) @ np.ascontiguousarray(G.T)).T)
        first, *rest = self._slices(len(G))
        out = G[:, first] @ self.X[first]
        for rows in rest:
            out += G[:, rows] @ self.X[rows]
        return np.asarray(out)

    def dense(self) -> Array:
        """The rows as a new float64 array, for kernels that need d × d work anyway."""
        if self.is_sparse:
            return np.asarray(self.X.toarray(), dtype=np.float64)
        return np.array(self.X, dtype=np.float64)

    def augmented(self, center: Array, scale: Array, fit_intercept: bool) -> Array:
        """Columns ((x - center)/scale, 1), or 0 without an intercept: a new float64 array.

        Of shape (n_features + 1, rows), for rows outnumber features.
        """
        out = np.empty((self.X.shape[1] + 1, self.stop - self.start))
        out[:-1] = self.X.toarray().T if self.is_sparse else self.X.T
        out[:-1] -= center[:, None]
        out[:-1] /= scale[:, None]
        out[-1] = fit_intercept
        return out

    def covariance(self, weights: Array, center: Array) -> Array:
        """Weighted sum of (x - center)(x - center)ᵀ over the rows, in float64."""
        if self.is_sparse and self.X.nnz < DENSE_ENOUGH * self.X.shape[0] * self.X.shape[1]:
            X = self.X.astype(np.float64)
            products = (X.T @ X.multiply(weights[:, None]).tocsr()).toarray()
            sums = np.multiply.outer(center, X.T @ weights)
            return np.asarray(
                products - sums - sums.T + weights.sum() * np.multiply.outer(center, center)
            )
        rows = self.dense()
        rows -= center
        rows *= np.sqrt(weights)[:, None]
        return rows.T @ rows

    def squares(self, weights: Array) -> Array:
        """Weighted sum of squares of each column."""
        if self.is_sparse:
            return np.asarray(_transposed(_squared(self.X)) @ weights)
        return np.asarray(weights @ np.square(self.X))

    def gram_of_squares(self, G: Array) -> Array:
        """G @ X², with the squares of the entries."""
        if self.is_sparse:
            return np.asarray((_transposed(_squared(self.X)) @ np.ascontiguousarray(G.T)).T)
        return np.asarray(G @ np.square(self.X))

    def weights_or_ones(self) -> Array:
        if self.weights is not None:
            return self.weights
        return np.ones(self.stop - self.start, dtype=self.X.dtype)


@dataclass
class Tally:
    """Rows read so far: n of them are a pass over X."""

    rows: int = 0


class RowBlocks:
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
        self.tally = Tally() if tally is None else tally
        self._groups = 1 if self.is_small else max(self.workers.n_threads, 1)
        self.block_rows = self._rows_per_block() if block_rows is None else block_rows
        groups = min(self._groups, self.n_blocks)
        edges = [self.n_blocks * group // groups for group in range(groups + 1)]
        self._ranges = [range(low, high) for low, high in itertools.pairwise(edges)]
        self._slices: dict[int, Any] = {}
        self._squares: Array | None = None

    @cached_property
    def effective_size(self) -> float:
        """(Σs)²/Σs² (Kish 1965): the number of rows, whatever the scale of the weights."""
        if self.weights is None:
            return float(self.n_samples)
        weights = self.weights.astype(float) / float(self.weights.max())
        return float(weights.sum() ** 2 / np.square(weights).sum())

    def _rows_per_block(self) -> int:
        # The bytes of a row are those of X and of three arrays of logits.
        item = self.dtype.itemsize
        row = item * (self.size / max(self.n_samples, 1) + 3 * self.n_logits)
        budget = max(float(BLOCK_BYTES), LEAST_ROWS * row)
        if self.is_sparse:
            # Each block's gradient has the size of the coefficients: blocks no smaller than it.
            budget = max(budget, 4.0 * item * self.n_logits * self.n_features)
        return max(1, min(int(budget / row), -(-self.n_samples // self._groups)))

    @property
    def work(self) -> int:
        """Multiplications of a product with coefficients."""
        return self.size * self.n_logits

    @property
    def is_mapped(self) -> bool:
        """Whether X lies in a file, as it does where memory has no room for it."""
        base = self.X
        while base is not None and not isinstance(base, mmap.mmap):
            base = getattr(base, "base", None)
        return base is not None

    @property
    def is_small(self) -> bool:
        """Whether a pass is too little work for threads."""
        return self.work < THREAD_WORK

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

    def standardised(
        self, center: Array, scale: Array, n_rows: int | None = None, *, dtype: Any, seed: int = 0
    ) -> RowBlocks:
        """A copy with columns (x - center)/scale, of all rows or a sample; sparse X keeps its mean.

        Blocks of all rows are the blocks here.
        """
        if n_rows is None or n_rows >= self.n_samples:
            rows: Any = slice(None)
            factors = None
        else:
            rows, factors = self._sample(n_rows, seed, center, scale)
        weights = None if self.weights is None else self.weights[rows]
        if factors is not None:
            weights = factors if weights is None else weights * factors
        return RowBlocks(
            self._scaled_rows(rows, center, scale, dtype),
            self.targets[rows],
            None if weights is None else weights.astype(dtype),
            None if self.offset is None else self.offset[rows].astype(dtype),
            n_logits=self.n_logits,
            workers=self.workers,
            block_rows=self.block_rows if isinstance(rows, slice) else None,
            tally=self.tally,
        )

    def with_targets(self, targets: Array) -> RowBlocks:
        """The same rows, of which other classes are known."""
        return RowBlocks(
            self.X,
            targets,
            self.weights,
            self.offset,
            n_logits=self.n_logits,
            workers=self.workers,
            block_rows=self.block_rows,
            tally=self.tally,
        )

    def columns(self, index: Array, center: Array, scale: Array) -> RowBlocks:
        """A standardised copy of some columns; sparse X keeps its mean."""
        if self.is_sparse:
            X = self.X[:, index]
            X.data = X.data / scale[index][X.indices]
        else:
            X = np.empty((self.n_samples, len(index)), dtype=np.float64)
            self.map_rows(_standardise_columns, X, index, center[index], scale[index])
        return RowBlocks(
            X,
            self.targets,
            self.weights,
            self.offset,
            n_logits=self.n_logits,
            workers=self.workers,
            tally=self.tally,
        )

    def _sample(
        self, n_rows: int, seed: int, center: Array, scale: Array
    ) -> tuple[Array, Array | None]:
        """Rows, one from each of `n_rows` runs of equal length, and factors for their weights.

        Classes of which that brings too few rows come in whole, each row for itself. So do rows
        with more than one in `n_rows` of the sum of all squares, where some column has outliers.
        """
        n = self.n_samples
        within = np.random.default_rng(seed).random(n_rows)
        rows = ((np.arange(n_rows) + within) * (n / n_rows)).astype(np.intp)
        classes = likeliest(self.targets)
        n_classes = int(classes.max()) + 1
        counts = None if self.weights is None else self.weights[rows] > 0
        rare = np.bincount(classes[rows], counts, minlength=n_classes) < FEW_ROWS
        is_heavy = np.zeros(n, dtype=bool)
        if not self.is_sparse and self._has_outliers(rows, center, scale):
            squares = self._row_squares(center, scale)
            is_heavy = squares * n_rows > squares.sum()
        if not (rare.any() or is_heavy.any()):
            return rows, None
        is_rare = rare[classes] | is_heavy
        whole = np.flatnonzero(is_rare if self.weights is None else is_rare & (self.weights > 0))
        if len(whole) > n_rows // 2:
            return rows, None
        rows = np.sort(np.concatenate([rows[~is_rare[rows]], whole]))
        return rows, np.where(is_rare[rows], n_rows / n, 1.0)

    def _has_outliers(self, rows: Array, center: Array, scale: Array) -> bool:
        """Whether some column's variance differs much among these rows from that of all."""
        squares = np.zeros(self.n_features)
        step = max(1, ENTRIES // max(self.n_features, 1))
        for start in range(0, len(rows), step):
            squares += np.square(self.X[rows[start : start + step]] - center).sum(axis=0)
        share = squares / len(rows) / scale**2
        return bool((((share < 1.0 / UNLIKE) & (share > 0.0)) | (share > UNLIKE)).any())

    def _row_squares(self, center: Array, scale: Array) -> Array:
        """Sum of squares of each standardised row."""
        if self._squares is None:
            self._squares = np.empty(self.n_samples)
            self.map_rows(_squares_of_rows, self._squares, center, scale)
        return self._squares

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


def _squared(X: Any) -> Any:
    out = type(X)(X.shape, dtype=X.dtype)
    out.data, out.indices, out.indptr = X.data * X.data, X.indices, X.indptr
    return out


def _transposed(X: Any) -> Any:
    """Xᵀ as CSC with the entries of a CSR matrix: SciPy's may copy them."""
    out = (sp.csc_array if isinstance(X, sp.sparray) else sp.csc_matrix)(
        X.shape[::-1], dtype=X.dtype
    )
    out.data, out.indices, out.indptr = X.data, X.indices, X.indptr
    return out


def _squares_of_rows(block: Block, out: Array, center: Array, scale: Array) -> None:
    rows = block.X - center
    out[...] = np.square(rows, out=rows) @ (1.0 / scale**2)


def _standardise(block: Block, out: Array, center: Array, scale: Array) -> None:
    rows = block.X - center
    np.divide(rows, scale, out=out, casting="same_kind")


def _standardise_columns(
    block: Block, out: Array, index: Array, center: Array, scale: Array
) -> None:
    np.subtract(block.X[:, index], center, out=out)
    out /= scale
