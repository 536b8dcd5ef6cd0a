"""A block of rows of X with their targets and weights, and the matrix products with these rows.

Kernels, the functions that solvers sum over blocks, reach X through the methods of `Block` alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from skmaxent._storage._arrays import full
from skmaxent._storage._threads import small_products
from skmaxent._typing import Array

# Below this density XᵀX of a sparse matrix costs less than of the same rows made dense.
DENSE_ENOUGH = 0.1
# OpenBLAS uses its kernels for small matrices for products of up to 100³ multiplications.
SMALL_PRODUCT = 1_000_000
# Slices of fewer rows lose more time to calls than the kernels for small matrices save.
SLICE_ROWS = 64


@dataclass(frozen=True)
class Block:
    """Rows `start` to `stop` of X with their targets, weights and offsets.

    Arrays of logits and probabilities are class-major: they have the shape (n_logits, rows).

    Attributes
    ----------
    index : int
        Number of the block in its storage.
    start, stop : int
        Positions of the first row and of the row after the last.
    X : {ndarray, DeviceArray, CSR matrix} of shape (rows, n_features)
    targets : array of shape (rows,) or (rows, n_logits), or None
        Class codes or shares, as described in `_likelihood`; None in rows to predict.
    weights : array of shape (rows,) or None
        Sample weights; None stands for ones.
    offset : array of shape (rows, n_logits) or None
        Constants added to the logits.
    """

    index: int
    start: int
    stop: int
    X: Any
    targets: Any
    weights: Array | None
    offset: Array | None = None

    @property
    def is_sparse(self) -> bool:
        """Whether X is sparse."""
        return bool(sp.issparse(self.X))

    def _slices(self, n_logits: int) -> list[slice]:
        """Return slices of the rows, one product each; a single slice unless more are faster.

        The product of a tall block and few coefficients is up to twice as fast in slices that
        BLAS handles with its kernels for small matrices: see `small_products`.
        """
        rows, d = self.X.shape
        if not isinstance(self.X, np.ndarray):  # on a device
            return [slice(0, rows)]
        step = SMALL_PRODUCT // max(d * n_logits, 1)
        if n_logits == 1 or step < SLICE_ROWS or step >= rows or not small_products():
            return [slice(0, rows)]
        return [slice(start, start + step) for start in range(0, rows, step)]

    def logits(self, coef: Array, intercept: Array) -> Array:
        """Return coef @ Xᵀ + intercept without the offset, a new array of shape (n_logits, rows).

        `coef` has the shape (n_logits, n_features), `intercept` (n_logits,).
        """
        if self.is_sparse or len(self._slices(len(coef))) > 1:
            Z = np.ascontiguousarray(self._products_by_row(coef).T)
        else:
            Z = coef @ self.X.T
        Z += intercept[:, None]
        return Z

    def logits_at(self, coef: Array, intercept: Array) -> Array:
        """Return the logits of a model, offset included, a new array of shape (n_logits, rows)."""
        Z = self.logits(coef, intercept)
        if self.offset is not None:
            Z += self.offset.T
        return Z

    def logits_by_row(self, coef: Array, intercept: Array, out: Array) -> None:
        """Write the logits of a model, offset included, to `out` of shape (rows, n_logits)."""
        if self.is_sparse:
            np.add(self._products_by_row(coef), intercept, out=out)
        else:
            self._products_by_row(coef, out)
            out += intercept
        if self.offset is not None:
            out += self.offset

    def _products_by_row(self, coef: Array, out: Array | None = None) -> Array:
        """Return X @ coefᵀ of shape (rows, n_logits), written to `out` if given and X is dense."""
        if self.is_sparse:
            # SciPy adds up whole rows of coefᵀ, which is fast only if they are contiguous.
            return np.asarray(self.X @ np.ascontiguousarray(coef.T))
        if out is None:
            out = np.empty((self.X.shape[0], len(coef)), dtype=coef.dtype)
        for rows in self._slices(len(coef)):
            np.matmul(self.X[rows], coef.T, out=out[rows])
        return out

    def gram(self, G: Array) -> Array:
        """Return G @ X of shape (n_logits, n_features), for G of shape (n_logits, rows)."""
        if self.is_sparse:
            return np.asarray((_transposed(self.X) @ np.ascontiguousarray(G.T)).T)
        first, *rest = self._slices(len(G))
        out = G[:, first] @ self.X[first]
        for rows in rest:
            out += G[:, rows] @ self.X[rows]
        return out

    def dense(self) -> Array:
        """Return the rows as a new dense float64 array of shape (rows, n_features).

        Sparse rows are made dense, so only kernels that compute d × d matrices should call it.
        """
        if self.is_sparse:
            return np.asarray(self.X.toarray(), dtype=np.float64)
        return self.X.astype(np.float64, subok=False)

    def some_columns(self, index: Array) -> Array:
        """Return the columns at positions `index` as a new dense float64 array (rows, k)."""
        X = self.X[:, index]
        return np.asarray(X.toarray(), np.float64) if self.is_sparse else X.astype(np.float64)

    def covariance(self, weights: Array, center: Array) -> Array:
        """Return Σ_i weights_i (x_i - center)(x_i - center)ᵀ, float64 (n_features, n_features)."""
        if self.is_sparse and self.X.nnz < DENSE_ENOUGH * self.X.shape[0] * self.X.shape[1]:
            # Centred rows would be dense: the sum is expanded into its four terms instead.
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
        """Return the weighted sum of squares of each column, shape (n_features,)."""
        if self.is_sparse:
            return np.asarray(_transposed(_squared(self.X)) @ weights)
        return weights @ np.square(self.X)

    def gram_of_squares(self, G: Array) -> Array:
        """Return G @ X² of shape (n_logits, n_features), where X² has the squared entries of X."""
        if self.is_sparse:
            return np.asarray((_transposed(_squared(self.X)) @ np.ascontiguousarray(G.T)).T)
        return G @ np.square(self.X)

    def weights_or_ones(self) -> Array:
        """Return the weights of the rows, shape (rows,); ones if none were given."""
        if self.weights is not None:
            return self.weights
        return full((self.stop - self.start,), 1.0, self.X.dtype, self.X)

    def largest(self, values: Array) -> Any:
        """Return the maximum of nonnegative `values` (rows,) over rows with a positive weight."""
        if self.weights is not None:
            values = np.where(self.weights > 0.0, values, 0.0)
        return values.max()


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
