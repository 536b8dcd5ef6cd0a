"""The pseudoinverse of an information matrix, and the directions in which it has no curvature."""

from __future__ import annotations

import numpy as np
from scipy.linalg import lapack

from skmaxent._typing import Array

# The least squared pivot of the Cholesky factor of a matrix with unit diagonal that is regular.
# Below it, the eigenvalues say which directions have curvature.
REGULAR_PIVOT = 1e-10
# Eigenvalues of that matrix below this share of the largest are rounding.
NULL_EIGENVALUE = 1e-12


class Pseudoinverse:
    """ApproximateInverse linear systems with a positive semidefinite matrix that may be singular.

    Parameters
    ----------
    H : ndarray of shape (n, n)

    Attributes
    ----------
    null : ndarray of shape (n, n_null)
        Its columns span the null space of H.
    """

    def __init__(self, H: Array) -> None:
        size = np.sqrt(np.maximum(H.diagonal(), 0.0))
        self._some = np.flatnonzero(size > 0.0)
        self._size = size[self._some]
        A = H[np.ix_(self._some, self._some)] / np.multiply.outer(self._size, self._size)
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
        some = values > NULL_EIGENVALUE * float(values[-1])
        self._root = vectors[:, some] / np.sqrt(values[some])
        null = np.zeros((len(H), np.count_nonzero(~some)))
        null[self._some] = vectors[:, ~some] / self._size[:, None]
        self.null = np.column_stack([self.null, null])

    def solve(self, g: Array) -> Array:
        """Return H⁺g, the least-squares solution for a vector of shape (n,)."""
        x = np.zeros(len(g))
        if not len(self._some):
            return x
        scaled = g[self._some] / self._size
        if self._factor is not None:
            scaled, _ = lapack.dpotrs(self._factor, scaled, lower=1)
        else:
            scaled = self._root @ (self._root.T @ scaled)
        x[self._some] = scaled / self._size
        return x
