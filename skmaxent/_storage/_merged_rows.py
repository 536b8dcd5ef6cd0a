"""A float32 copy of sparse rows in the form in which products with coefficients are fastest.

Under a ridge of one strength, a rotation of columns rotates the optimal coefficients. Columns with
an entry in a single row differ by a factor only, so that a rotation leaves one nonzero column of
them, whose entry is the root of the sum of their squares. Many columns of a text are of this kind:
words that occur in one document.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import scipy.sparse as sp

from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._storage._threads import Workers
from skmaxent._typing import Array

# Columns with an entry in at least this share of the rows are stored densely: BLAS multiplies them
# in less time than SciPy their entries (measured with 20 columns of coefficients).
DENSE_SHARE = 0.15
# If this share of the rows has merged columns, all rows get one: products need no index then.
ALL_ROWS_SHARE = 0.5
# Entries beyond this one would overflow where they are squared and summed in float32.
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
    transposed : CSR matrix of shape (n_sparse, rows)
        A copy of the transposed `sparse`; products with it write to one row after the other.
    own : slice
        Positions of the merged columns whose single entry is in one of these rows.
    own_rows : ndarray of int or slice
        The rows of these entries, counted from `start`.
    own_entries : ndarray of shape (n_own, 1)
        The entries.
    """

    start: int
    stop: int
    dense: Array
    sparse: Any
    transposed: Any
    own: slice
    own_rows: Any
    own_entries: Array

    @property
    def _sparse_columns(self) -> slice:
        """The places of the sparse columns."""
        n_dense = self.dense.shape[1]
        return slice(n_dense, n_dense + self.sparse.shape[1])

    def times(self, V: Array) -> Array:
        """Return the logits X̃ Vᵀ of the rows without intercepts, (rows, R), for V (R, width)."""
        coef = V.T
        Z = np.asarray(self.sparse @ coef[self._sparse_columns])
        Z += self.dense @ coef[: self.dense.shape[1]]
        Z[self.own_rows] += self.own_entries * coef[self.own]
        return Z

    def transposed_times(self, U: Array, out: Array) -> None:
        """Write U X̃ to `out` (R, width) for U (R, rows).

        The merged columns of rows outside of this range, and the intercept's, are left as they are.
        """
        by_row, rows = np.ascontiguousarray(U.T), out.T
        np.matmul(self.dense.T, by_row, out=rows[: self.dense.shape[1]])
        rows[self._sparse_columns] = self.transposed @ by_row
        np.multiply(self.own_entries, by_row[self.own_rows], out=rows[self.own])

    @cached_property
    def squared(self) -> RowRange:
        """The rows with squared entries, for `transposed_times` alone: `sparse` is not squared."""
        X = self.transposed
        return replace(
            self,
            dense=np.square(self.dense),
            transposed=_csr(np.square(X.data), X.indices, X.indptr, X.shape),
            own_entries=np.square(self.own_entries),
        )


class MergedRows:
    """Sparse rows x in coordinates x̃ in which columns with a single entry are merged.

    Coefficients V for x̃ have the shape (R, width), R the number of logits, in Fortran order: first
    the columns with several entries, the most frequent first, then the merged columns, one for each
    row that needs one or one for every row, then the intercept. Before columns are merged, each is
    multiplied by its factor m_j, so that w_j = m_j v_j are the coefficients of x. The caller
    chooses the factors so that a ridge on w, whose strengths may differ, has one strength for v.

    Parameters
    ----------
    blocks : RowBlocks
        Rows with a CSR matrix X in memory.
    factors : ndarray of shape (n_features,)
        m, positive; zero leaves a column out, whose coefficients are then zero.
    """

    def __init__(self, blocks: RowBlocks, factors: Array) -> None:
        X = blocks.X
        n, d = X.shape
        self.factors = factors
        self.n_samples, self.n_features = n, d
        counts = np.bincount(X.indices, minlength=d)
        counts[factors == 0.0] = 0
        order = np.argsort(-counts, kind="stable")
        n_dense, self.n_columns = (
            int(np.count_nonzero(counts >= least)) for least in (max(DENSE_SHARE * n, 2.0), 2.0)
        )
        self._columns = order[: self.n_columns]
        own_rows, sizes = self._merge_single(X, counts)
        # Entries by column, the most frequent first.
        place = np.empty(d, dtype=X.indices.dtype)
        place[order] = np.arange(d, dtype=place.dtype)
        data = X.data.astype(np.float32)
        if (factors != 1.0).any():
            data *= factors.astype(np.float32)[X.indices]
        self.mean_square = float(np.dot(data, data)) / max(n, 1)
        self.is_finite = max(data.max(initial=0.0), -data.min(initial=0.0)) < LARGEST_ENTRY
        by_column = _csr(data, place[X.indices], X.indptr, (n, d)).tocsc()
        dense, transposed = (
            _columns_of(by_column, low, high)
            for low, high in ((0, n_dense), (n_dense, self.n_columns))
        )
        sparse = transposed.T.tocsr()
        n_ranges = 1 if blocks.is_small else blocks.workers.n_threads
        edges = [n * k // n_ranges for k in range(n_ranges + 1)]
        self.ranges = []
        for start, stop in itertools.pairwise(edges):
            low, high = np.searchsorted(own_rows, (start, stop))
            rows = sparse[start:stop] if n_ranges > 1 else sparse
            self.ranges.append(
                RowRange(
                    start=start,
                    stop=stop,
                    dense=np.ascontiguousarray(dense[:, start:stop].toarray().T),
                    sparse=rows,
                    transposed=rows.T.tocsr() if n_ranges > 1 else transposed,
                    own=slice(self.n_columns + low, self.n_columns + high),
                    own_rows=(
                        slice(None) if high - low == stop - start else own_rows[low:high] - start
                    ),
                    own_entries=sizes[low:high, None].astype(np.float32),
                )
            )
        self.workers: Workers = blocks.workers

    def _merge_single(self, X: Any, counts: Array) -> tuple[Array, Array]:
        """Merge the columns with a single entry; return the rows of merged columns, and entries.

        `counts` (n_features,) are the numbers of entries. Three attributes get an element for each
        column that is merged: `_single_columns`, its position in X; `_owners`, the merged column
        that it belongs to; and `_directions`, its entry divided by that of the merged column.
        """
        is_single = counts == 1
        entries = np.flatnonzero(is_single[X.indices]) if is_single.any() else counts[:0]
        rows = np.searchsorted(X.indptr, entries, side="right") - 1
        self._single_columns = X.indices[entries]
        values = X.data[entries] * self.factors[self._single_columns]
        own_rows, self._owners = np.unique(rows, return_inverse=True)
        if len(own_rows) >= ALL_ROWS_SHARE * X.shape[0]:
            own_rows, self._owners = np.arange(X.shape[0]), rows
        self.n_own = len(own_rows)
        sizes = np.sqrt(np.bincount(self._owners, np.square(values), minlength=self.n_own))
        divisors = np.where(sizes > 0.0, sizes, 1.0)[self._owners]
        self._directions = values / divisors
        return own_rows, sizes

    @classmethod
    def of(cls, blocks: RowBlocks, factors: Array) -> MergedRows:
        """Return the merged rows, those of the last call if it had the same arguments.

        The merged rows are kept as long as the blocks exist, so that the fits of a path share them.
        """
        known = _LAST.get(blocks)
        if known is None or not np.allclose(known.factors, factors, rtol=1e-12, atol=0.0):
            known = _LAST[blocks] = cls(blocks, factors)
        return known

    @property
    def width(self) -> int:
        """The number of columns of V, the intercept's included."""
        return self.n_columns + self.n_own + 1

    def expand(self, V: Array) -> tuple[Array, Array]:
        """Return coefficients W (R, n_features) and intercepts (R,) of x for V, in float64."""
        coef = np.zeros((len(V), self.n_features), order="F")
        rows = coef.T
        rows[self._columns] = V.T[: self.n_columns]
        if self.n_own:
            own = V.T[self.n_columns : -1].astype(np.float64)
            rows[self._single_columns] = own[self._owners] * self._directions[:, None]
        if (self.factors != 1.0).any():
            coef *= self.factors
        return coef, V[:, -1].astype(np.float64)

    def reduce(self, gradient: Array, intercept: Array) -> Array:
        """Return the gradient with respect to V, (R, width) in float64.

        It follows by the chain rule from the gradients with respect to the coefficients W of x,
        (R, n_features), and to the intercepts, (R,).
        """
        return self._reduced(gradient, intercept, self.factors)

    def from_coefficients(self, coef: Array, intercept: Array) -> Array:
        """Return V, float64, with the logits of coefficients W (R, n_features) and intercepts (R,).

        Of the coefficients of a row's merged columns V keeps the one combination that changes the
        logits, so that its penalty is at most that of W.
        """
        has_factor = self.factors > 0.0
        inverse = np.divide(1.0, self.factors, out=np.zeros(self.n_features), where=has_factor)
        return self._reduced(coef, intercept, inverse)

    def _reduced(self, coef: Array, intercept: Array, factors: Array) -> Array:
        """Multiply `coef` (R, n_features) by `factors`, merge columns, and append intercepts."""
        out = np.zeros((len(coef), self.width), order="F")
        rows, scaled = out.T, (coef * factors).T
        rows[: self.n_columns] = scaled[self._columns]
        if self.n_own:
            parts = scaled[self._single_columns] * self._directions[:, None]
            for k in range(len(coef)):
                own = np.bincount(self._owners, parts[:, k], minlength=self.n_own)
                rows[self.n_columns : -1, k] = own
        out[:, -1] = intercept
        return out


# The last merged rows of each storage.
_LAST: WeakKeyDictionary[RowBlocks, MergedRows] = WeakKeyDictionary()


def _csr(data: Array, indices: Array, indptr: Array, shape: tuple[int, int]) -> Any:
    """Return a CSR matrix of these arrays, which SciPy's constructor would check and copy."""
    out = sp.csr_matrix(shape, dtype=data.dtype)
    out.data, out.indices, out.indptr = data, indices, indptr
    return out


def _columns_of(by_column: Any, low: int, high: int) -> Any:
    """Return columns `low` to `high` of a CSC matrix, transposed, as a CSR matrix of views."""
    ends = by_column.indptr[low : high + 1]
    entries = slice(ends[0], ends[-1])
    shape = high - low, by_column.shape[0]
    return _csr(by_column.data[entries], by_column.indices[entries], ends - ends[0], shape)
