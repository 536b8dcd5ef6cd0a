"""The choice, shift and scaling of columns that turn X into the X of a problem."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from skmaxent._storage._device_array import DeviceArray
from skmaxent._typing import Array, DType


@dataclass(frozen=True)
class ColumnTransform:
    """The map from the columns x of X to the columns (x - shift) 2^-exponent of a copy.

    Powers of two scale without rounding. A sparse column with a shift gets an entry in every row.
    With exponents, entries beyond [-1, 1] become -1 or 1: exponents are such that only rows of zero
    weight have such entries, whose squares may overflow, and an infinite square times a weight of
    zero is NaN.

    Attributes
    ----------
    kept : ndarray of int of shape (n_kept,), optional
        Positions of the columns to keep; None keeps all.
    shift : ndarray of shape (n_kept,), optional
        Numbers that the dtype of X represents exactly; None shifts nothing.
    exponents : ndarray of int of shape (n_kept,), optional
        Exponents of two; None scales nothing.
    """

    kept: Array | None = None
    shift: Array | None = None
    exponents: Array | None = None

    def __call__(self, X: Any) -> Any:
        """Return the transformed copy of X: an ndarray, a CSR matrix or a DeviceArray, as X is."""
        if isinstance(X, DeviceArray):
            return self._on_device(X)
        is_sparse = sp.issparse(X)
        if self.kept is not None:
            X = X[:, self.kept] if is_sparse else np.take(X, self.kept, axis=1)
        if self.shift is not None:
            shift = self.shift.astype(X.dtype)
            X = _sparse_shifted(X, shift) if is_sparse else X - shift
        if self.exponents is None:
            return X
        if is_sparse:
            data = np.ldexp(X.data, -self.exponents[X.indices]).clip(-1.0, 1.0)
            return type(X)((data, X.indices, X.indptr), shape=X.shape)
        return np.ldexp(X, -self.exponents).clip(-1.0, 1.0)

    def lazily(self, X: Any) -> Any:
        """Return the transformed columns of a dense X without a copy of all rows.

        The result is a view if the transform only keeps adjacent columns, otherwise a
        `TransformedRows`.
        """
        columns, rest = None if self.kept is None else column_range(self.kept), self
        if columns is not None:
            X, rest = X[:, columns], replace(self, kept=None)
        is_view = rest.kept is None and rest.shift is None and rest.exponents is None
        return X if is_view else TransformedRows(X, rest)

    def _on_device(self, X: DeviceArray) -> DeviceArray:
        """Return the transformed copy, computed where X is; the array API has no ldexp."""
        if self.kept is not None:
            X = X[:, DeviceArray(X.place.put(self.kept), X.place)]
        if self.shift is not None:
            X = X - self.shift.astype(X.dtype)
        if self.exponents is not None:
            # 2^-exponent itself may overflow or underflow, so two factors of half the exponent.
            half = -self.exponents // 2
            X = X * np.ldexp(1.0, half).astype(X.dtype)
            X *= np.ldexp(1.0, -self.exponents - half).astype(X.dtype)
            X = X.clip(-1.0, 1.0)
        return X


@dataclass(frozen=True)
class TransformedRows:
    """Transformed columns of a dense X (n_samples, n_features), computed when rows are read.

    It replaces X in a storage whose rows are in a memory map, so that X is not copied.
    """

    base: Any
    transform: ColumnTransform

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and of transformed columns."""
        n, d = self.base.shape
        return n, d if self.transform.kept is None else len(self.transform.kept)

    @property
    def dtype(self) -> DType:
        """The dtype of X, which the transform keeps."""
        return self.base.dtype

    def __getitem__(self, rows: Any) -> Array:
        """Return the transformed rows of a slice or of an array of positions."""
        return np.asarray(self.transform(self.base[rows]))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """Return all transformed rows in memory, for NumPy functions that need them."""
        return self[:].astype(dtype or self.dtype, copy=False)


def column_range(kept: Array) -> slice | None:
    """Return increasing positions of columns as a slice, or None if they are not adjacent."""
    if not len(kept) or kept[-1] - kept[0] + 1 != len(kept):
        return None
    return slice(int(kept[0]), int(kept[-1]) + 1)


def _sparse_shifted(X: Any, shift: Array) -> Any:
    """Return the CSR matrix X minus the row `shift`, whose nonzeros fill their columns."""
    full = np.flatnonzero(shift)
    if not len(full):
        return X
    n, k = X.shape[0], len(full)
    entries = np.tile(shift[full], n), np.tile(full, n), np.arange(0, n * k + 1, k)
    return type(X)(X - type(X)(entries, shape=X.shape))
