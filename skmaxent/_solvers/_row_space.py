"""Linear systems with the Hessian of few rows and the curvature of a penalty (Woodbury).

Let B have a row for each row of X and each logit, and BᵀB be the Hessian of the loss. The systems
have the matrix BᵀB + D, where D is the curvature of the penalty. They are solved with a Cholesky
factor of I + B D⁻¹ Bᵀ, which has R·n rows for n rows of X and R logits.

Arrays of coefficients have the shape (R, width), with the intercepts in the last column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.linalg import lapack

from skmaxent._objective._objective import MultinomialObjective
from skmaxent._solvers._precise_rows import curvature_roots, loss_of_rows
from skmaxent._solvers._quadratic import cholesky
from skmaxent._typing import Array

# Most rows times logits of a linear system, most entries of the standardised rows that are held
# whole, and of a product with B at once.
MAX_ROWS, MAX_ENTRIES = 2500, 5_000_000
PART_ENTRIES = 1_000_000


def affords_whole_rows(objective: MultinomialObjective, most: int = MAX_ROWS) -> bool:
    """Return whether an objective has at most `most` rows times logits, which are held whole."""
    (R, width), n = objective.shape, objective.blocks.n_samples
    return bool(n * R <= most and n * width <= MAX_ENTRIES)


def has_few_rows(objective: MultinomialObjective) -> bool:
    """Return whether an objective has fewer rows than features, and affords to hold them whole."""
    return objective.blocks.n_samples < objective.shape[1] - 1 and affords_whole_rows(objective)


class WholeRows:
    """All rows of an objective, standardised, in float64.

    Attributes
    ----------
    X : ndarray of shape (width, n)
        The standardised columns and a row of ones, for n rows.
    weights : ndarray of shape (n,)
        The weights of the rows, with the sum 1.
    targets : ndarray of shape (R, n)
    """

    def __init__(self, objective: MultinomialObjective) -> None:
        rows = objective.blocks.whole()
        self.X = objective.standardisation.rows(rows)
        self.X[:-1] *= objective.varying[:, None]
        self.weights = rows.weights_or_ones().astype(float) / objective.total_weight
        self.targets = objective.likelihood.dense_targets(rows.targets)
        self._offset = 0.0 if rows.offset is None else rows.offset.T.astype(float)
        self._likelihood = objective.likelihood

    def loss_at(self, theta: Array) -> RowLoss:
        """Return the loss at coefficients (R, width)."""
        Z = theta @ self.X + self._offset
        P, C, losses = loss_of_rows(self._likelihood, Z, self.targets)
        roots = curvature_roots(self._likelihood, P, C) * np.sqrt(self.weights)
        return RowLoss(float(losses @ self.weights), P, roots)


class RowLoss(NamedTuple):
    """The mean loss, the probabilities (R, n) and the roots of the curvature of rows, (R, R, n)."""

    value: float
    P: Array
    roots: Array


@dataclass(frozen=True)
class InverseCurvature:
    """The inverse of the curvature of a penalty: D⁻¹ is diag `diagonal` + v_j v_jᵀ for column j.

    Attributes
    ----------
    diagonal : ndarray of shape (1 or R, width)
    v : ndarray of shape (R, width), optional
        Without it all v_j are zero.
    """

    diagonal: Array
    v: Array | None = None

    def apply(self, V: Array) -> Array:
        """Return D⁻¹ V for V (R, width)."""
        out = self.diagonal * V
        if self.v is not None:
            out += self.v * np.einsum("kj,kj->j", self.v, V)
        return np.asarray(out)


class RowSpaceSystem:
    """The linear systems with the matrix BᵀB + D.

    Parameters
    ----------
    X : ndarray of shape (width, n)
        The standardised columns and a row of ones, for n rows.
    roots : ndarray of shape (R, R, n)
        Roots of the curvature of the loss of each row by its logits, rootᵀ root. The entry of B for
        row i of X, row k of its root and the coefficient (m, j) is roots[k, m, i] X[j, i].
    inverse : InverseCurvature
        D⁻¹.
    least : ndarray of shape (width,), optional
        Columns of B are left out where D⁻¹ is smaller than this; then the solution is inexact.
    """

    def __init__(
        self, X: Array, roots: Array, inverse: InverseCurvature, least: Array | None = None
    ) -> None:
        self._X, self._roots, self._inverse = X, roots, inverse
        R, n = roots.shape[1:]
        least = np.zeros(len(X)) if least is None else least
        of_rows = np.ascontiguousarray(roots.transpose(2, 0, 1))
        scaled = self._grams(least)[:, :, :, None] * of_rows.transpose(2, 0, 1)[:, None]
        # scaled[m, i, j, l] = (Σ_c X[c, i] X[c, j] diagonal[m, c]) roots[l, m, j]
        scaled = np.ascontiguousarray(scaled.transpose(1, 0, 2, 3)).reshape(n, R, n * R)
        matrix = (of_rows @ scaled).reshape(n * R, n * R)
        if inverse.v is not None:
            columns = np.flatnonzero(np.square(inverse.v).sum(axis=0) > least)
            size = max(PART_ENTRIES // len(matrix), 1)
            for begin in range(0, len(columns), size):
                c = columns[begin : begin + size]
                Z = ((of_rows @ inverse.v[:, c]) * X[c].T[:, None]).reshape(n * R, -1)
                matrix += Z @ Z.T
        matrix.flat[:: n * R + 1] += 1.0
        self._L = cholesky(matrix)

    def _grams(self, least: Array) -> Array:
        """Return Σ_c X[c, i] X[c, j] diagonal[m, c], (1 or R, n, n)."""
        grams = []
        for diagonal in self._inverse.diagonal:
            c = np.flatnonzero(diagonal > least)
            part = self._X[c]
            grams.append((part.T * diagonal[c]) @ part)
        return np.stack(grams)

    def solve(self, rhs: Array) -> Array:
        """Return x with (BᵀB + D) x = rhs, both (R, width)."""
        X, roots, inverse = self._X, self._roots, self._inverse
        start = inverse.apply(rhs)
        moved = np.einsum("kmi,mi->ik", roots, start @ X)
        solved, _ = lapack.dpotrs(self._L, moved.ravel(), lower=1)
        back = np.einsum("kmi,ik->mi", roots, solved.reshape(moved.shape))
        return np.asarray(start - inverse.apply(back @ X.T))
