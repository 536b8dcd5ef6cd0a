"""The Hessian of a ridge problem with few rows, in coordinates of the space of the rows.

Let D be the ridge, A = X D^(-1/2) the scaled rows, and P an orthonormal basis of their space. For
coefficients D^(-1/2) (P γ + δ) with Pᵀδ = 0, the loss depends on γ alone, and the ridge is
(‖γ‖² + ‖δ‖²)/2. The problem of γ has as many columns as X has rows, and their scale and correlation
do not matter.
"""

from __future__ import annotations

import numpy as np
from scipy import linalg
from scipy.linalg import lapack

from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._solvers._quadratic import cholesky
from skmaxent._solvers._row_space import WholeRows, has_few_rows
from skmaxent._typing import Array

# The curvature of the loss by γ, relative to that of the ridge, of which rounding leaves the ridge.
LARGEST_CURVATURE = 1e13
# What a column without a ridge contributes to the squared lengths of the scaled rows, relative to
# the contribution of all others.
FREE_SHARE = 1e4


def suits_row_space_of_ridge(objective: MultinomialObjective) -> bool:
    """Return whether a `RowSpacePreconditioner` affords the rows of an objective with a ridge."""
    if not has_few_rows(objective):
        return False
    strength = objective.penalty.strength[objective.varying & (objective.penalty.strength > 0.0)]
    largest = LARGEST_CURVATURE * objective.blocks.n_samples
    return bool(len(strength)) and float(np.sum(1.0 / strength)) <= largest


def cost_of_basis(objective: MultinomialObjective) -> float:
    """Return the number of multiplications for a `RowSpaceBasis`."""
    return 4.0 * float(objective.blocks.n_samples) ** 2 * objective.shape[1]


def cost_of_row_space(objective: MultinomialObjective) -> float:
    """Return the number of multiplications for a `RowSpacePreconditioner` with a known basis."""
    R, n = objective.shape[0], float(objective.blocks.n_samples)
    return R**2 * n**3 / 2.0 + (R * n) ** 3 / 3.0


class RowSpaceBasis:
    """The basis P of the space of the rows, and the rows in its coordinates.

    Columns without a ridge, such as that of the intercept, get a weak one; see `FREE_SHARE`.

    Attributes
    ----------
    rows : WholeRows
    scale : ndarray of shape (width,)
        D^(-1/2); zero for constant columns.
    P : ndarray of shape (width, n)
    A : ndarray of shape (n, n)
        The scaled rows in the coordinates γ.
    """

    def __init__(self, objective: MultinomialObjective) -> None:
        self.rows = WholeRows(objective)
        ridge = np.append(objective.penalty.strength, 0.0)
        free = objective.standardisation.is_free
        has_ridge = free & (ridge > 0.0)
        square = np.divide(1.0, ridge, out=np.zeros_like(ridge), where=has_ridge)
        sizes = np.mean(np.square(self.rows.X), axis=1)
        others = free & ~has_ridge & (sizes > 0.0)
        square[others] = FREE_SHARE * max(float(sizes @ square), 1e-300) / sizes[others]
        self.scale = np.sqrt(square)
        self.P, R = linalg.qr(self.scale[:, None] * self.rows.X, mode="economic")
        self.A = np.ascontiguousarray(R.T)


class RowSpacePreconditioner:
    """The Hessian at θ with a ridge, factored in the coordinates γ; see the module.

    It is exact but for columns without a ridge.

    Parameters
    ----------
    point : Point
        The point θ.
    basis : RowSpaceBasis
    """

    is_exact, is_close = False, True

    def __init__(self, point: Point, basis: RowSpaceBasis) -> None:
        self._basis, self._is_coupled = basis, point.objective.likelihood.is_coupled
        roots = basis.rows.loss_at(point.theta).roots
        R, n, A = len(roots), len(basis.A), basis.A
        H = np.empty((R, n, R, n))
        for k in range(R):
            for m in range(k + 1):
                curvature = np.einsum("ai,ai->i", roots[:, k], roots[:, m])
                H[k, :, m] = (A.T * curvature) @ A
                H[m, :, k] = H[k, :, m].T
        whole = H.reshape(R * n, R * n)
        whole.flat[:: R * n + 1] += 1.0
        self._L = cholesky(whole)

    def solve(self, G: Array) -> Array:
        """Return M⁻¹ G for a gradient G (R, d + 1)."""
        basis = self._basis
        scaled = basis.scale * G
        c = scaled @ basis.P
        solved, _ = lapack.dpotrs(self._L, c.ravel(), lower=1)
        out = basis.scale * (scaled + (solved.reshape(c.shape) - c) @ basis.P.T)
        if self._is_coupled:
            out[:, -1] -= out[:, -1].mean()
        return np.asfortranarray(out)
