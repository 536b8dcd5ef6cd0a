"""Linear systems with the Hessian of few coefficients and the curvature of a penalty.

They are those of `RowSpaceSystem` with a diagonal D, for data with more rows than columns. With S
the root of D⁻¹, (BᵀB + D)⁻¹ = S (I + S BᵀB S)⁻¹ S. The matrix to be factored has no eigenvalue
below one, whatever the sizes of the entries of D.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import lapack

from skmaxent._solvers._quadratic import cholesky
from skmaxent._typing import Array


class CoefficientSpaceSystem:
    """The linear systems with the matrix BᵀB + D, by a Cholesky factor with R·width rows.

    Parameters
    ----------
    X : ndarray of shape (width, n)
        The standardised columns and a row of ones, for n rows.
    roots : ndarray of shape (R, R, n)
        Roots of the curvature of the loss of each row by its logits, rootᵀ root.
    inverse : ndarray of shape (R, width)
        The diagonal of D⁻¹.
    """

    def __init__(self, X: Array, roots: Array, inverse: Array) -> None:
        R, width = inverse.shape
        self._root = np.sqrt(inverse)
        blocks = np.empty((R, width, R, width))
        of_rows = np.einsum("kmi,kli->mli", roots, roots)
        scaled = [X * root[:, None] for root in self._root]
        for m in range(R):
            for k in range(m + 1):
                blocks[m, :, k] = (scaled[m] * of_rows[m, k]) @ scaled[k].T
                blocks[k, :, m] = blocks[m, :, k].T
        matrix = blocks.reshape(R * width, R * width)
        matrix.flat[:: R * width + 1] += 1.0
        self._L = cholesky(matrix)

    def solve(self, rhs: Array) -> Array:
        """Return x with (BᵀB + D) x = rhs, both (R, width)."""
        x, _ = lapack.dpotrs(self._L, (self._root * rhs).ravel(), lower=1)
        return np.asarray(self._root * x.reshape(rhs.shape))
