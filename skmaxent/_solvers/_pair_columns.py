"""Products of sparse rows with few of their coefficients, each one pair of a feature and a logit.

Along a lasso path with many logits most features have nonzero coefficients for few of the logits.
Products with these pairs alone take a fraction of the time of products with whole features.

Conventions
-----------
R logits, m selected pairs of a feature j and a logit k. x̃_ij is the standardised feature j of row
i. Coefficients are one array x (m + R,): those of the pairs, then the intercepts of the logits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from skmaxent._cached import cached_property
from skmaxent._storage._standardisation import Standardisation
from skmaxent._typing import Array

# The entries of smaller matrices have int32 indices.
MOST_INT32 = (1 << 31) - 1


class ScaledColumns:
    """Sparse rows by column, each column divided by its scale.

    Parameters
    ----------
    X : CSC matrix of shape (n_samples, n_features)
    standardisation : Standardisation

    Attributes
    ----------
    n_samples : int
    indptr, rows, data : ndarray
        The arrays of a CSC matrix (n_samples, n_features); `rows` are the row indices.
    center : ndarray of shape (n_features,)
        The means of the scaled columns, which are not subtracted; zeros without an intercept.
    """

    def __init__(self, X: Any, standardisation: Standardisation) -> None:
        scale = standardisation.scale
        self.n_samples = X.shape[0]
        self.indptr, self.rows = X.indptr, X.indices
        self.data = X.data / np.repeat(scale, np.diff(X.indptr))
        self.center = standardisation.center / scale


class PairColumns:
    """The standardised columns of selected pairs, for products with all rows.

    Parameters
    ----------
    columns : ScaledColumns
    positions : ndarray of int, shape (m,)
        The pair of feature j and logit k has the position j·R + k.
    n_logits : int
        R.

    Attributes
    ----------
    positions : ndarray of int, shape (m,)
        As given.
    logits : ndarray of int, shape (m,)
        The logit k of each pair.
    """

    def __init__(self, columns: ScaledColumns, positions: Array, n_logits: int) -> None:
        self.positions = positions
        self._n, self._R = columns.n_samples, n_logits
        features, self.logits = np.divmod(positions, n_logits)
        starts = columns.indptr[features].astype(np.intp)
        counts = columns.indptr[features + 1] - starts
        ends = np.cumsum(counts)
        total = int(ends[-1]) if len(ends) else 0
        small = max(n_logits * self._n, total) <= MOST_INT32
        dtype = np.int32 if small else np.int64
        indptr = np.zeros(len(positions) + 1, dtype=dtype)
        indptr[1:] = ends
        entries = np.arange(total) + np.repeat(starts - indptr[:-1], counts)
        rows = columns.rows[entries].astype(dtype, copy=False)
        rows = rows + np.repeat((self.logits * self._n).astype(dtype), counts)
        self._shift = columns.center[features]
        shape = n_logits * self._n, len(positions)
        arrays = columns.data[entries], rows, indptr
        self._columns = _matrix(sp.csc_matrix, arrays, shape)
        self._transposed = _matrix(sp.csr_matrix, arrays, shape[::-1])

    def times(self, x: Array) -> Array:
        """Return the logits of the rows, (R, n_samples), for coefficients x; without offsets."""
        v, intercept = x[: -self._R], x[-self._R :]
        Z = np.asarray(self._columns @ v).reshape(self._R, self._n)
        Z += (intercept - np.bincount(self.logits, v * self._shift, self._R))[:, None]
        return Z

    def transposed_times(self, U: Array) -> Array:
        """Return the sums over rows i of U[k, i] x̃_ij for each pair, then Σ_i U[k, i], (m + R,).

        U has the shape (R, n_samples).
        """
        sums = U.sum(axis=1)
        out = np.empty(len(self.positions) + self._R)
        np.subtract(
            self._transposed @ U.ravel(),
            self._shift * sums[self.logits],
            out=out[: -self._R],
        )
        out[-self._R :] = sums
        return out

    def squares_times(self, Q: Array) -> Array:
        """Return the sums over rows i of Q[k, i] y_ij² for each pair, then Σ_i Q[k, i], (m + R,).

        y_ij is x̃_ij before the mean of the column is subtracted. Q has the shape (R, n_samples).
        """
        return np.concatenate([self._squared @ Q.ravel(), Q.sum(axis=1)])

    @cached_property
    def _squared(self) -> Any:
        """The matrix `_transposed` with squared entries, (m, R·n_samples)."""
        A = self._transposed
        return _matrix(sp.csr_matrix, (np.square(A.data), A.indices, A.indptr), A.shape)


def _matrix(kind: Any, arrays: tuple[Array, Array, Array], shape: tuple[int, int]) -> Any:
    """Return a sparse matrix of the class `kind` that shares the arrays (data, indices, indptr).

    SciPy's constructor would check and copy them.
    """
    out = kind(shape, dtype=np.float64)
    out.data, out.indices, out.indptr = arrays
    return out
