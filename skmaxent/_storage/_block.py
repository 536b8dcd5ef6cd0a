"""A block of rows of X with their targets and weights, and the matrix products with these rows.

Kernels are the functions of a block that solvers sum over all blocks. They should use X through the
methods of `Block`, which work for dense and sparse X, and for X on a device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from skmaxent._storage._arrays import full
from skmaxent._storage._threads import has_small_matrix_routines
from skmaxent._storage._vectors import nonzero_columns
from skmaxent._typing import Array

# Below this density, XᵀX takes less time for sparse rows than for the same rows made dense.
DENSE_ENOUGH = 0.1
# Most multiplications of a product for which OpenBLAS uses its routines for small matrices, 100³,
# and the most entries of its result if the product contracts the columns of X.
SMALL_PRODUCT, SMALL_RESULT = 1_000_000, 1200
# With slices of fewer rows, or logits of fewer columns, calls take more time than the routines for
# small matrices save.
SLICE_ROWS, SLICE_COLUMNS = 64, 40
# If at most this share of the columns has coefficients, products with sparse rows read these
# columns alone.
FEW_COLUMNS = 0.3


@dataclass(frozen=True)
class Block:
    """Rows `start` to `stop` of X with their targets, weights and offsets.

    Arrays of logits and probabilities are class-major: they have the shape (n_logits, rows).

    Attributes
    ----------
    index : int
        Position of the block among the blocks of its storage.
    start, stop : int
        Positions of the first row and of the row after the last.
    X : {ndarray, DeviceArray, CSR matrix} of shape (rows, n_features)
    targets : array of shape (rows,) or (rows, n_logits), or None
        Class codes or shares, as described in `_likelihood`; None in rows to predict.
    weights : array of shape (rows,) or None
        Sample weights; None stands for ones.
    offset : array of shape (rows, n_logits) or None
        Constants added to the logits.
    by_column : CSR matrix of shape (n_features, rows) or None
        A transposed copy of a sparse X, with which products take less time, if there is one.
    """

    index: int
    start: int
    stop: int
    X: Any
    targets: Any
    weights: Array | None
    offset: Array | None = None
    by_column: Any = None

    @property
    def is_sparse(self) -> bool:
        """Whether X is sparse."""
        return bool(sp.issparse(self.X))

    def _slices(self, n_logits: int, most_rows: int | None = None) -> list[slice]:
        """Return the slices of rows for which a product with `n_logits` columns is fastest.

        If BLAS has routines for small matrices (see `has_small_matrix_routines`), the product of a
        tall block and few coefficients is up to three times as fast in slices small enough for
        these routines: SMALL_PRODUCT multiplications, and `most_rows` rows if that is given. In all
        other cases the result is one slice of all rows.
        """
        n_rows, d = self.X.shape
        if not isinstance(self.X, np.ndarray):  # on a device
            return [slice(0, n_rows)]
        step = SMALL_PRODUCT // max(d * n_logits, 1)
        step = step if most_rows is None else min(step, most_rows)
        if n_logits == 1 or step < SLICE_ROWS or step >= n_rows or not has_small_matrix_routines():
            return [slice(0, n_rows)]
        return [slice(start, start + step) for start in range(0, n_rows, step)]

    def logits_without_offset(self, coef: Array, intercept: Array) -> Array:
        """Return coef @ Xᵀ + intercept, a new array of shape (n_logits, rows).

        `coef` has the shape (n_logits, n_features), `intercept` (n_logits,).
        """
        if self.is_sparse:
            Z = np.ascontiguousarray(self._sparse_products(coef).T)
        elif len(slices := self._slices_of_logits(len(coef))) == 1:
            Z = coef @ self.X.T
        else:
            Z = np.empty((len(coef), len(self.X)), dtype=coef.dtype)
            coef = np.ascontiguousarray(coef)
            for rows in slices:
                np.matmul(coef, self.X[rows].T, out=Z[:, rows])
        Z += intercept[:, None]
        return Z

    def _slices_of_logits(self, n_logits: int) -> list[slice]:
        """Return the slices of rows of a dense X for which `coef @ Xᵀ` is fastest."""
        whole = [slice(0, self.X.shape[0])]
        if self.X.shape[1] < SLICE_COLUMNS:
            return whole
        slices = self._slices(n_logits, SMALL_RESULT // n_logits)
        return slices if len(slices) == 1 or self.X.flags.c_contiguous else whole

    def logits_with_offset(self, coef: Array, intercept: Array) -> Array:
        """Return the logits of a model, offset included, a new array of shape (n_logits, rows)."""
        Z = self.logits_without_offset(coef, intercept)
        if self.offset is not None:
            Z += self.offset.T
        return Z

    def logits_by_row(self, coef: Array, intercept: Array, out: Array) -> None:
        """Write the logits of a model, offset included, to `out` of shape (rows, n_logits)."""
        if self.is_sparse:
            np.add(self._sparse_products(coef), intercept, out=out)
        else:
            for rows in self._slices(len(coef)):
                np.matmul(self.X[rows], coef.T, out=out[rows])
            out += intercept
        if self.offset is not None:
            out += self.offset

    def _sparse_products(self, coef: Array) -> Array:
        """Return X @ coefᵀ of shape (rows, n_logits) for a sparse X."""
        if self.by_column is not None:
            some = nonzero_columns(coef)
            if len(some) <= FEW_COLUMNS * coef.shape[1]:
                columns = _transposed(self.by_column[some])
                return np.asarray(columns @ np.ascontiguousarray(coef[:, some].T))
        # SciPy adds up whole rows of coefᵀ, which is fast only if they are contiguous.
        return np.asarray(self.X @ np.ascontiguousarray(coef.T))

    def weighted_sums(self, G: Array) -> Array:
        """Return sums G @ X of the rows, (n_logits, n_features), with weights G (n_logits, rows).

        The sample weights `weights` are not applied.
        """
        if self.is_sparse:
            columns = _transposed(self.X) if self.by_column is None else self.by_column
            return np.asarray((columns @ np.ascontiguousarray(G.T)).T)
        first, *rest = self._slices(len(G))
        out = G[:, first] @ self.X[first]
        for rows in rest:
            out += G[:, rows] @ self.X[rows]
        return out

    def dense(self) -> Array:
        """Return the rows as a new dense float64 array of shape (rows, n_features).

        Sparse rows are made dense, so only kernels that compute matrices of the shape
        (n_features, n_features) should call this method.
        """
        if self.is_sparse:
            return np.asarray(self.X.toarray(), dtype=np.float64)
        return self.X.astype(np.float64, subok=False)

    def some_columns(self, index: Array) -> Array:
        """Return the columns at positions `index` as a new dense float64 array (rows, k)."""
        X = self.X[:, index]
        return np.asarray(X.toarray(), np.float64) if self.is_sparse else X.astype(np.float64)

    def scatter(self, weights: Array, center: Array) -> Array:
        """Return the scatter matrix Σ_i weights_i (x_i - center)(x_i - center)ᵀ of the rows.

        It is a float64 array of shape (n_features, n_features), for `weights` of shape (rows,) and
        a `center` of shape (n_features,).
        """
        if self.is_sparse and self.X.nnz < DENSE_ENOUGH * self.X.shape[0] * self.X.shape[1]:
            # Centred rows would be dense. Instead, the products are multiplied out to four sums.
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
        """Return the sum of squares of each column, (n_features,), with weights (rows,) of rows."""
        if self.is_sparse:
            return np.asarray(_transposed(_squared(self.X)) @ weights)
        return weights @ np.square(self.X)

    def weighted_sums_of_squares(self, G: Array) -> Array:
        """Return G @ X², (n_logits, n_features), for G (n_logits, rows) and squared entries X².

        Entries are squared in float64 if G is in float64: sums of centred columns cancel.
        """
        dtype = np.result_type(self.X.dtype, G.dtype)
        X = self.X if self.X.dtype == dtype else self.X.astype(dtype)
        if self.is_sparse:
            return np.asarray((_transposed(_squared(X)) @ np.ascontiguousarray(G.T)).T)
        return G @ np.square(X)

    def quadratic_forms(self, diagonal: Array) -> Array:
        """Return Σ_j diagonal_kj x_ij² for the rows i, (n_logits, rows), in float64.

        `diagonal` has the shape (n_logits, n_features).
        """
        if self.is_sparse:
            squares = _squared(self.X.astype(np.float64))
            return np.asarray((squares @ np.ascontiguousarray(diagonal.T)).T)
        return diagonal @ np.square(self.X.T, dtype=np.float64)

    def weights_or_ones(self) -> Array:
        """Return the weights of the rows, shape (rows,); ones if none were given."""
        if self.weights is not None:
            return self.weights
        return full((self.stop - self.start,), 1.0, self.X.dtype, self.X)

    def largest(self, values: Array) -> Any:
        """Return maxima of nonnegative `values` (..., rows) over the rows with positive weights."""
        if self.weights is not None:
            values = np.where(self.weights > 0.0, values, 0.0)
        return values.max(axis=-1)


def _squared(X: Any) -> Any:
    """Return a CSR matrix with the squared entries of X, which shares the index arrays of X."""
    out = type(X)(X.shape, dtype=X.dtype)
    out.data, out.indices, out.indptr = X.data * X.data, X.indices, X.indptr
    return out


def _transposed(X: Any) -> Any:
    """Return Xᵀ as a CSC matrix that shares the arrays of the CSR matrix X.

    SciPy's own transposition may copy them.
    """
    out = (sp.csc_array if isinstance(X, sp.sparray) else sp.csc_matrix)(
        X.shape[::-1], dtype=X.dtype
    )
    out.data, out.indices, out.indptr = X.data, X.indices, X.indptr
    return out
