"""A float32 copy of sparse rows in the form in which products with coefficients are fastest.

Under a ridge of one strength, a rotation of columns rotates the optimal coefficients. Columns whose
only entry is in the same row are multiples of each other. A rotation merges them to one nonzero
column, whose entry is the root of the sum of their squared entries. Many columns of texts are of
this kind: words that occur in one document.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import scipy.sparse as sp

from skmaxent._cached import cached_property
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._storage._threads import Workers
from skmaxent._typing import Array

# Columns with an entry in at least this share of the rows are stored densely: BLAS then takes less
# time for products than SciPy for sparse ones (measured with 20 logits).
DENSE_SHARE = 0.15
# If this share of the rows has merged columns, all rows get one, so that products need no index.
ALL_ROWS_SHARE = 0.5
# Larger entries would overflow where squares are summed in float32.
LARGEST_ENTRY = 1e12
# Most entries that are copied; a copy takes 16 bytes for each.
MOST_ENTRIES = 1 << 25


@dataclass(frozen=True)
class RowRange:
    """The rows from `start` to `stop`, which one thread works on, in float32.

    Attributes
    ----------
    start, stop : int
    dense : ndarray of shape (rows, n_dense)
        The dense columns, which come first.
    sparse : CSR matrix of shape (rows, n_sparse)
        The columns after them.
    transposed : CSR or CSC matrix of shape (n_sparse, rows)
        A copy of the transposed `sparse`; products with it write to one row after the other. For a
        single logit it shares the arrays of `sparse`, and products take hardly longer.
    merged : slice
        Positions of the n merged columns whose only entry is in one of these rows.
    merged_rows : ndarray of int of shape (n,), or slice
        The row of each of these entries, counted from `start`.
    merged_entries : ndarray of shape (n, 1)
        The entries.
    """

    start: int
    stop: int
    dense: Array
    sparse: Any
    transposed: Any
    merged: slice
    merged_rows: Any
    merged_entries: Array

    @property
    def _sparse_columns(self) -> slice:
        """The positions of the sparse columns."""
        n_dense = self.dense.shape[1]
        return slice(n_dense, n_dense + self.sparse.shape[1])

    def times(self, V: Array) -> Array:
        """Return the logits X̃ Vᵀ of the rows without intercepts, (rows, R), for V (R, width).

        V are coefficients as `MergedRows` describes them.
        """
        coef = V.T
        Z = np.asarray(self.sparse @ coef[self._sparse_columns])
        Z += self.dense @ coef[: self.dense.shape[1]]
        Z[self.merged_rows] += self.merged_entries * coef[self.merged]
        return Z

    def transposed_times(self, U: Array, out: Array) -> None:
        """Write U X̃ to `out` (R, width) for U (R, rows).

        Columns of `out` that belong to merged columns of other ranges, or to the intercept, do not
        change.
        """
        by_row, rows = np.ascontiguousarray(U.T), out.T
        np.matmul(self.dense.T, by_row, out=rows[: self.dense.shape[1]])
        rows[self._sparse_columns] = self.transposed @ by_row
        np.multiply(self.merged_entries, by_row[self.merged_rows], out=rows[self.merged])

    @cached_property
    def squared(self) -> RowRange:
        """The rows with squared entries, for `transposed_times` alone: `sparse` is not squared."""
        X = self.transposed
        return replace(
            self,
            dense=np.square(self.dense),
            transposed=_compressed(type(X), np.square(X.data), X.indices, X.indptr, X.shape),
            merged_entries=np.square(self.merged_entries),
        )


class MergedRows:
    """Rows x̃ made of sparse rows x by merging columns that have a single entry.

    Coefficients V of x̃ have the shape (R, width) in Fortran order, where R is the number of logits.
    Columns with several entries come first, in descending order of the number. Then come the merged
    columns, one for each row that needs one or one for every row, and at last the intercept.

    Before columns are merged, each is multiplied by its factor m_j, so that w_j = m_j v_j are the
    coefficients of x. With suitable factors, a ridge on w of several strengths has one strength on
    v.

    Parameters
    ----------
    blocks : RowBlocks
        Rows with a CSR matrix X in memory.
    factors : ndarray of shape (n_features,)
        The factors m_j, positive or zero; zero leaves a column out.

    Attributes
    ----------
    ranges : list of RowRange
        The rows x̃, in one range for each thread.
    mean_square : float
        The mean over rows of the sum of squared entries of a row.
    is_finite : bool
        Whether no entry is so large that sums of squares overflow.
    n_columns, n_merged : int
        Numbers of columns with several entries and of merged columns. For a single logit no
        column is merged.
    """

    def __init__(self, blocks: RowBlocks, factors: Array) -> None:
        X = blocks.X
        n, d = X.shape
        self.factors = factors
        self.n_samples, self.n_features = n, d
        counts = np.bincount(X.indices, minlength=d)
        counts[factors == 0.0] = 0
        order = np.argsort(-counts, kind="stable")
        # The position of each column of X in the new order.
        position = np.empty(d, dtype=X.indices.dtype)
        position[order] = np.arange(d, dtype=position.dtype)
        data = X.data.astype(np.float32)
        if (factors != 1.0).any():
            data *= factors.astype(np.float32)[X.indices]
        self.mean_square = float(np.dot(data, data)) / max(n, 1)
        self.is_finite = max(data.max(initial=0.0), -data.min(initial=0.0)) < LARGEST_ENTRY
        self.workers: Workers = blocks.workers
        n_ranges = 1 if blocks.is_small else self.workers.n_threads
        edges = [n * k // n_ranges for k in range(n_ranges + 1)]
        pairs = list(itertools.pairwise(edges))
        whole = _csr(data, position[X.indices], X.indptr, (n, d))
        if blocks.n_logits == 1:
            self._columns, self.n_merged = order, 0
            self.ranges = [_range_by_row(whole, start, stop) for start, stop in pairs]
            return
        n_dense, n_columns = (
            int(np.count_nonzero(counts >= least)) for least in (max(DENSE_SHARE * n, 2.0), 2.0)
        )
        self._columns = order[:n_columns]
        merged = self._merge_single(X, counts)
        self.ranges = self._ranges_by_column(pairs, whole.tocsc(), n_dense, *merged)

    @property
    def n_columns(self) -> int:
        """The number of columns that are not merged."""
        return len(self._columns)

    def _ranges_by_column(
        self,
        edges: list[tuple[int, int]],
        by_column: Any,
        n_dense: int,
        merged_rows: Array,
        merged_entries: Array,
    ) -> list[RowRange]:
        """Return the ranges from a CSC matrix with the most frequent columns first."""
        dense = _columns_of(by_column, 0, n_dense)
        transposed = _columns_of(by_column, n_dense, self.n_columns)
        sparse = transposed.T.tocsr()
        is_alone = len(edges) == 1
        ranges = []
        for start, stop in edges:
            low, high = np.searchsorted(merged_rows, (start, stop))
            rows = sparse if is_alone else sparse[start:stop]
            has_all = high - low == stop - start
            ranges.append(
                RowRange(
                    start=start,
                    stop=stop,
                    dense=np.ascontiguousarray(dense[:, start:stop].toarray().T),
                    sparse=rows,
                    transposed=transposed if is_alone else rows.T.tocsr(),
                    merged=slice(self.n_columns + low, self.n_columns + high),
                    merged_rows=slice(None) if has_all else merged_rows[low:high] - start,
                    merged_entries=merged_entries[low:high, None].astype(np.float32),
                )
            )
        return ranges

    def _merge_single(self, X: Any, counts: Array) -> tuple[Array, Array]:
        """Merge the columns with one entry; return row and entry of each merged column.

        `counts` (n_features,) are the numbers of entries. Three attributes are set, which have an
        element for each column with one entry: `_single_columns`, its position in X;
        `_merged_of_single`, the number of its merged column; and `_merging_weights`, its entry
        divided by that of the merged column.
        """
        is_single = counts == 1
        entries = np.flatnonzero(is_single[X.indices]) if is_single.any() else counts[:0]
        rows = np.searchsorted(X.indptr, entries, side="right") - 1
        self._single_columns = X.indices[entries]
        values = X.data[entries] * self.factors[self._single_columns]
        merged_rows, numbers = np.unique(rows, return_inverse=True)
        if len(merged_rows) >= ALL_ROWS_SHARE * X.shape[0]:
            merged_rows, numbers = np.arange(X.shape[0]), rows
        self._merged_of_single, self.n_merged = numbers, len(merged_rows)
        sizes = np.sqrt(np.bincount(numbers, np.square(values), minlength=self.n_merged))
        self._merging_weights = values / np.where(sizes > 0.0, sizes, 1.0)[numbers]
        return merged_rows, sizes

    @classmethod
    def of(cls, blocks: RowBlocks, factors: Array) -> MergedRows:
        """Return the merged rows of `blocks`, the same object as last time for the same factors.

        The merged rows are kept as long as `blocks` exists, so that the fits of a path share them.
        """
        known = _LAST.get(blocks)
        if known is None or not np.allclose(known.factors, factors, rtol=1e-12, atol=0.0):
            known = _LAST[blocks] = cls(blocks, factors)
        return known

    @property
    def width(self) -> int:
        """The number of columns of V, the intercept's included."""
        return self.n_columns + self.n_merged + 1

    def expand(self, V: Array) -> tuple[Array, Array]:
        """Return coefficients W (R, n_features) and intercepts (R,) of x in float64 for given V."""
        coef = np.zeros((len(V), self.n_features), order="F")
        rows = coef.T
        rows[self._columns] = V.T[: self.n_columns]
        if self.n_merged:
            merged = V.T[self.n_columns : -1].astype(np.float64)
            rows[self._single_columns] = (
                merged[self._merged_of_single] * self._merging_weights[:, None]
            )
        if (self.factors != 1.0).any():
            coef *= self.factors
        return coef, V[:, -1].astype(np.float64)

    def reduce(self, gradient: Array, intercept: Array) -> Array:
        """Return the gradient with respect to V, (R, width) in float64, by the chain rule.

        `gradient` (R, n_features) and `intercept` (R,) are the gradients with respect to the
        coefficients W of x and to the intercepts.
        """
        return self._reduced(gradient, intercept, self.factors)

    def from_coefficients(self, coef: Array, intercept: Array) -> Array:
        """Return V in float64 with the logits of coefficients W (R, n_features) and intercepts.

        Of the coefficients of the columns that are merged in a row, only one combination changes
        the logits. V has this combination, so that its penalty is at most that of W.
        """
        has_factor = self.factors > 0.0
        inverse = np.divide(1.0, self.factors, out=np.zeros(self.n_features), where=has_factor)
        return self._reduced(coef, intercept, inverse)

    def _reduced(self, coef: Array, intercept: Array, factors: Array) -> Array:
        """Multiply `coef` (R, n_features) by `factors`, merge columns, and append intercepts."""
        out = np.zeros((len(coef), self.width), order="F")
        rows, scaled = out.T, (coef * factors).T
        rows[: self.n_columns] = scaled[self._columns]
        if self.n_merged:
            parts = scaled[self._single_columns] * self._merging_weights[:, None]
            for k in range(len(coef)):
                merged = np.bincount(self._merged_of_single, parts[:, k], minlength=self.n_merged)
                rows[self.n_columns : -1, k] = merged
        out[:, -1] = intercept
        return out


# The merged rows that `MergedRows.of` returned last for each storage.
_LAST: WeakKeyDictionary[RowBlocks, MergedRows] = WeakKeyDictionary()


def _csr(data: Array, indices: Array, indptr: Array, shape: tuple[int, int]) -> Any:
    """Return a CSR matrix of these arrays, which SciPy's constructor would check and copy."""
    return _compressed(sp.csr_matrix, data, indices, indptr, shape)


def _compressed(
    kind: Any, data: Array, indices: Array, indptr: Array, shape: tuple[int, int]
) -> Any:
    """Return a matrix of these arrays of a kind, `csr_matrix` or `csc_matrix`."""
    out = kind(shape, dtype=data.dtype)
    out.data, out.indices, out.indptr = data, indices, indptr
    return out


def _range_by_row(X: Any, start: int, stop: int) -> RowRange:
    """Return the rows from `start` to `stop` of a CSR matrix for products with a single logit.

    They are views, without a copy by column, which costs as much as some ten products. SciPy adds
    single numbers to the result of a transposed product in about the time that reading them by
    column takes.
    """
    n, d = stop - start, X.shape[1]
    entries = slice(X.indptr[start], X.indptr[stop])
    indptr = X.indptr[start : stop + 1] - X.indptr[start]
    arrays = X.data[entries], X.indices[entries], indptr
    return RowRange(
        start=start,
        stop=stop,
        dense=np.zeros((n, 0), dtype=np.float32),
        sparse=_csr(*arrays, (n, d)),
        transposed=_compressed(sp.csc_matrix, *arrays, (d, n)),
        merged=slice(d, d),
        merged_rows=np.zeros(0, dtype=np.intp),
        merged_entries=np.zeros((0, 1), dtype=np.float32),
    )


def _columns_of(by_column: Any, low: int, high: int) -> Any:
    """Return columns `low` to `high` of a CSC matrix, transposed, as a CSR matrix of views."""
    ends = by_column.indptr[low : high + 1]
    entries = slice(ends[0], ends[-1])
    shape = high - low, by_column.shape[0]
    return _csr(by_column.data[entries], by_column.indices[entries], ends - ends[0], shape)
