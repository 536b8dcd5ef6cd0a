"""Some rows of X and the products with them that kernels are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from skmaxent._storage._arrays import empty, full
from skmaxent._storage._threads import small_products
from skmaxent._typing import Array

# Products of sparse rows with themselves are cheaper than dense ones below this density.
DENSE_ENOUGH = 0.1
# OpenBLAS takes products of fewer multiplications for small.
SMALL_PRODUCT = 1_000_000
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
        if not isinstance(self.X, np.ndarray):  # on a device
            return [slice(0, rows)]
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
        return out

    def dense(self) -> Array:
        """The rows as a new float64 array, for kernels that need d × d work anyway."""
        if self.is_sparse:
            return np.asarray(self.X.toarray(), dtype=np.float64)
        return self.X.astype(np.float64, subok=False)

    def some_columns(self, index: Array) -> Array:
        """Some columns of the rows as a new float64 array."""
        X = self.X[:, index]
        return np.asarray(X.toarray(), np.float64) if self.is_sparse else X.astype(np.float64)

    def augmented(self, center: Array, scale: Array, fit_intercept: bool) -> Array:
        """Columns ((x - center)/scale, 1), or 0 without an intercept: a new float64 array.

        Of shape (n_features + 1, rows), for rows outnumber features.
        """
        out = empty((self.X.shape[1] + 1, self.stop - self.start), np.float64, center)
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
        return weights @ np.square(self.X)

    def gram_of_squares(self, G: Array) -> Array:
        """G @ X², with the squares of the entries."""
        if self.is_sparse:
            return np.asarray((_transposed(_squared(self.X)) @ np.ascontiguousarray(G.T)).T)
        return G @ np.square(self.X)

    def weights_or_ones(self) -> Array:
        if self.weights is not None:
            return self.weights
        return full((self.stop - self.start,), 1.0, self.X.dtype, self.X)

    def largest(self, values: Array) -> Any:
        """Of values of zero or more, one a row, among rows that weigh anything."""
        if self.weights is not None:
            values = np.where(self.weights > 0.0, values, 0.0)
        return values.max()


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
