"""The pseudoinverse of an information matrix, and the directions in which it has no curvature."""

from __future__ import annotations

import numpy as np
from scipy.linalg import lapack

from skmaxent._typing import Array

# A matrix with unit diagonal is regular if the squared pivots of its Cholesky factor are above this
# one. Otherwise its eigenvalues tell which directions have curvature.
REGULAR_PIVOT = 1e-10
# Eigenvalues below this share of the largest are rounding errors of zero.
NULL_EIGENVALUE = 1e-12


class Pseudoinverse:
    """Solves linear systems with a positive semidefinite matrix that may be singular.

    Parameters
    ----------
    H : ndarray of shape (n, n)

    Attributes
    ----------
    null : ndarray of shape (n, n_null)
        Its columns span the null space of H.
    """

    def __init__(self, H: Array) -> None:
        # H is scaled to the unit diagonal, without rows and columns whose diagonal entry is zero.
        size = np.sqrt(np.maximum(H.diagonal(), 0.0))
        self._used = np.flatnonzero(size > 0.0)
        self._size = size[self._used]
        A = H[np.ix_(self._used, self._used)] / np.multiply.outer(self._size, self._size)
        # The pseudoinverse of A is the inverse of L Lᵀ with the factor L if A is regular, else the
        # product of the root and its transpose.
        self._factor: Array | None = None
        self._root = np.zeros((len(A), 0))
        self.null = np.eye(len(H))[:, size == 0.0]
        if not len(A):
            return
        L, info = lapack.dpotrf(A, lower=1)
        if info == 0 and np.square(L.diagonal()).min() > REGULAR_PIVOT:
            self._factor = L
            return
        values, vectors = np.linalg.eigh(A)
        is_positive = values > NULL_EIGENVALUE * float(values[-1])
        self._root = vectors[:, is_positive] / np.sqrt(values[is_positive])
        null = np.zeros((len(H), np.count_nonzero(~is_positive)))
        null[self._used] = vectors[:, ~is_positive] / self._size[:, None]
        self.null = np.column_stack([self.null, null])

    def solve(self, g: Array) -> Array:
        """Return a least-squares solution x of H x = g for a vector g of shape (n,)."""
        x = np.zeros(len(g))
        if not len(self._used):
            return x
        scaled = g[self._used] / self._size
        if self._factor is not None:
            scaled, _ = lapack.dpotrs(self._factor, scaled, lower=1)
        else:
            scaled = self._root @ (self._root.T @ scaled)
        x[self._used] = scaled / self._size
        return x
