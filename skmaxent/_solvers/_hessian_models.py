"""Quadratic models with the Hessian of all rows, which is not assembled.

`HessianModel` solves linear systems by conjugate gradients, and `RowSpaceModel` directly. Let B
have a row for each row of X and each logit, and BᵀB be the Hessian of the loss. The linear systems
have the Hessian of the free coefficients, plus a diagonal matrix D for the penalty. `RowSpaceModel`
uses a Cholesky factor of BᵀB + D if no more coefficients are free than B has rows, and otherwise of
I + B D⁻¹ Bᵀ (Woodbury).
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import lapack

from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._objective._penalty import Tangent
from skmaxent._solvers._conjugate_gradients import conjugate_gradients
from skmaxent._solvers._precise_rows import curvature_roots, loss_of_rows
from skmaxent._solvers._quadratic import Model, are_same, cholesky, project_onto_tangent
from skmaxent._storage._vectors import inner
from skmaxent._typing import Array

# Relative accuracy, and most products over the rows, of a linear system with conjugate gradients.
HESSIAN_MODEL_ACCURACY = 0.1
HESSIAN_MODEL_PRODUCTS = 50
# Most rows of B, and most entries of the standardised rows, of a `RowSpaceModel`.
MAX_ROOT_ROWS, MAX_ENTRIES = 1000, 5_000_000
# Diagonal entries of D are at least this share of the curvature.
LEAST_DIAGONAL = 1e-10


def suits_row_space(objective: MultinomialObjective) -> bool:
    """Return whether `RowSpaceModel` affords the rows of an objective."""
    R, width = objective.shape
    n = objective.blocks.n_samples
    return bool(n * R <= MAX_ROOT_ROWS and n * width <= MAX_ENTRIES)


class HessianModel(Model):
    """A model with the Hessian of all rows, whose products are computed by passes over X.

    The Hessian is never assembled. Conjugate gradients solve the linear systems, with a simpler
    model as the preconditioner. This model is used if the simpler one predicts wrongly which
    coefficients are zero. It is `is_local`: at the next point the Hessian is another one.

    Parameters
    ----------
    point : Point
        The loss at the coefficients where the Hessian is taken.
    simple : Model
        The preconditioner. This model has the same `diagonal` and `shift_curvature`.
    """

    is_local = True

    def __init__(self, point: Point, simple: Model) -> None:
        self._point, self._simple = point, simple
        self.diagonal, self.shift_curvature = simple.diagonal, simple.shift_curvature

    def apply(self, V: Array) -> Array:
        """Return M V for V (R, width) by one pass over X, which may use a float32 copy of X.

        M is the Hessian of the loss, with `shift_curvature` added for shifts: changes of the
        coefficients of a column by the same number in all classes.
        """
        product = self._point.hessian_product(V, exact=False)
        product += self.shift_curvature * V.mean(axis=0)
        return product

    def solve(self, rhs: Array, tangent: Tangent) -> Array:
        """Return an approximate solution x of (M + P) x = rhs for the coefficients that vary.

        `rhs` and x have the shape (R, width). `tangent` says which coefficients vary: those that an
        L1 penalty or a bound does not hold. The others are zero in x. P are the second derivatives
        of the penalty by the coefficients that vary, where an L1 penalty has none. The relative
        accuracy is `HESSIAN_MODEL_ACCURACY`, unless `HESSIAN_MODEL_PRODUCTS` passes over X do not
        reach it.
        """
        gradient = project_onto_tangent(tangent, -rhs)
        natural = self._simple.solve(gradient, tangent)
        step = conjugate_gradients(
            lambda V: project_onto_tangent(tangent, self.apply(V) + tangent.curvature(V)),
            lambda G: self._simple.solve(G, tangent),
            gradient,
            radius=np.inf,
            tolerance=HESSIAN_MODEL_ACCURACY * float(np.sqrt(max(inner(gradient, natural), 0.0))),
            max_products=HESSIAN_MODEL_PRODUCTS,
        )
        return step.direction


class RowSpaceModel(HessianModel):
    """A `HessianModel` that solves linear systems directly, for a point with few rows."""

    has_blocks = True

    def __init__(self, point: Point, simple: Model) -> None:
        super().__init__(point, simple)
        objective = point.objective
        rows = objective.blocks.whole()
        self._X = objective.standardisation.rows(rows)
        self._X[:-1] *= objective.varying[:, None]
        likelihood = objective.likelihood
        Z = point.theta @ self._X + (0.0 if rows.offset is None else rows.offset.T)
        weights = rows.weights_or_ones().astype(float) / objective.total_weight
        P, C, _ = loss_of_rows(likelihood, Z, np.zeros_like(Z))
        self._roots = curvature_roots(likelihood, P, C) * np.sqrt(weights)
        self._last: tuple[Tangent, Array] | None = None

    def apply(self, V: Array) -> Array:
        moved = np.einsum("kmi,mi->ki", self._roots, V @ self._X)
        back = np.einsum("kmi,ki->mi", self._roots, moved)
        return np.asarray(back @ self._X.T + self.shift_curvature * V.mean(axis=0))

    def solve(self, rhs: Array, tangent: Tangent) -> Array:
        if tangent.group_curvature is not None:
            return super().solve(rhs, tangent)
        free = tangent.free & (self.diagonal > 0.0)
        least = LEAST_DIAGONAL * self.diagonal
        diagonal = np.where(free, np.maximum(tangent.diagonal, least), np.inf)
        is_tall = int(free.sum()) <= self._roots[0].size
        if self._last is None or not are_same(self._last[0], tangent):
            factor = self._among_coefficients if is_tall else self._among_rows
            self._last = tangent, factor(free, diagonal)
        L = self._last[1]
        if is_tall:
            out = np.zeros(free.shape)
            out[free], _ = lapack.dpotrs(L, rhs[free], lower=1)
            return out
        scaled = rhs / diagonal
        moved = np.einsum("kmi,mi->ki", self._roots, scaled @ self._X)
        solved, _ = lapack.dpotrs(L, moved.ravel(), lower=1)
        back = np.einsum("kmi,ki->mi", self._roots, solved.reshape(moved.shape))
        return np.asarray(scaled - back @ self._X.T / diagonal)

    def loss_block(self, members: Array) -> Array:
        k, j = np.nonzero(members)
        B = (self._roots[:, k] * self._X[j]).transpose(0, 2, 1).reshape(-1, len(k))
        return np.asarray(B.T @ B)

    def _among_coefficients(self, free: Array, diagonal: Array) -> Array:
        """Return the Cholesky factor of BᵀB + D for the free coefficients (R, width)."""
        k, j = np.nonzero(free)
        block = self.loss_block(free)
        block += np.equal.outer(j, j) * (self.shift_curvature[j] / len(free))
        block.flat[:: len(k) + 1] += diagonal[k, j]
        return cholesky(block)

    def _among_rows(self, free: Array, diagonal: Array) -> Array:
        """Return the Cholesky factor of I + B D⁻¹ Bᵀ; D (R, width) is infinite if not `free`."""
        R, n = self._roots.shape[1:]
        blocks = np.zeros((R, n, R, n))
        for m in range(R):
            gram = (self._X.T / diagonal[m]) @ self._X
            root = self._roots[:, m]
            blocks += root[:, :, None, None] * gram[None, :, None, :] * root
        block = blocks.reshape(R * n, R * n)
        block.flat[:: R * n + 1] += 1.0
        return cholesky(block)
