"""Covariance: a covariance matrix of coefficients, with a root of it if columns are collinear."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from skmaxent._typing import Array

# A matrix of n rows with unit diagonal has eigenvalues of zero where they are below this times n
# times the largest eigenvalue.
SINGULAR_COVARIANCE = 1e-14


@dataclass(frozen=True)
class Covariance:
    """A covariance matrix V of p coefficients, and variances of linear combinations of them.

    If columns are nearly collinear, at a relative distance δ from the span of others, V has entries
    of the size 1/δ². Variances of combinations to which the distance does not matter, such as
    logits, are then small differences of large numbers, with a relative error of 1e-16/δ². From a
    root of V the error is 1e-16/δ.

    Attributes
    ----------
    matrix : ndarray of shape (p, p)
        V.
    root : ndarray of shape (p, m) or None
        F with F Fᵀ = V. None if V itself is accurate enough.
    """

    matrix: Array
    root: Array | None = None

    @classmethod
    def of_root(cls, root: Array) -> Covariance:
        """Return the covariance F Fᵀ for a root F, (p, m)."""
        return cls(root @ root.T, root)

    def variances(self, J: Array) -> Array:
        """Return the variances of linear combinations of the coefficients, the diagonal of J V Jᵀ.

        J, (n, p), has the weights of the coefficients. The result has the shape (n,).
        """
        if self.root is None:
            return np.asarray(np.einsum("ij,ij->i", J @ self.matrix, J).clip(0.0))
        parts = J @ self.root
        return np.asarray(np.einsum("ij,ij->i", parts, parts))

    def mapped(self, L: Array) -> Covariance:
        """Return the covariance L V Lᵀ of n linear combinations of coefficients; L is (n, p)."""
        if self.root is None:
            return Covariance(L @ self.matrix @ L.T)
        return Covariance.of_root(L @ self.root)

    def __getitem__(self, index: Array) -> Covariance:
        """Return the covariance of the coefficients at some positions."""
        root = None if self.root is None else self.root[index]
        return Covariance(self.matrix[np.ix_(index, index)], root)


def root_of(V: Array) -> Array:
    """Return a root F, (p, p), of a positive semidefinite matrix V = F Fᵀ.

    A covariance from few clusters or bootstrap samples has no Cholesky factor. Its root comes from
    eigenvectors, and has the rank of V. V is scaled to a unit diagonal, so that the rank does not
    depend on the units of the coefficients.
    """
    scaled, size = scaled_to_unit_diagonal(V)
    least = SINGULAR_COVARIANCE * len(V)
    root, info = lapack.dpotrf(scaled, lower=1, clean=1)
    if info != 0 or np.square(root.diagonal()).min(initial=1.0) <= least:
        values, vectors = np.linalg.eigh(scaled)
        root = vectors * np.sqrt(np.where(values > least * values[-1], values, 0.0))
    return np.asarray(size[:, None] * root)


def scaled_to_unit_diagonal(V: Array) -> tuple[Array, Array]:
    """Return a semidefinite matrix V (n, n) scaled to a unit diagonal, and the scales (n,).

    V is the result times the outer product of the scales. Rows of V that are zero stay as they are,
    and have the scale zero.
    """
    size = np.sqrt(np.maximum(V.diagonal(), 0.0))
    return V / np.multiply.outer(*2 * (np.where(size > 0.0, size, 1.0),)), size
