"""Quadratic models with the Hessian of all rows, which is not assembled.

`HessianModel` solves linear systems by conjugate gradients, and `RowSpaceModel` directly. The
linear systems have the Hessian of the free coefficients, plus a matrix D for the penalty.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._objective._penalty import Tangent
from skmaxent._solvers._conjugate_gradients import conjugate_gradients
from skmaxent._solvers._quadratic import (
    Model,
    add_group_curvature,
    are_same,
    cholesky,
    project_onto_tangent,
)
from skmaxent._solvers._row_space import (
    InverseCurvature,
    RowSpaceSystem,
    WholeRows,
    affords_whole_rows,
)
from skmaxent._storage._vectors import inner
from skmaxent._typing import Array

# Relative accuracy, and most products over the rows, of a linear system with conjugate gradients.
HESSIAN_MODEL_ACCURACY = 0.1
HESSIAN_MODEL_PRODUCTS = 50
# Most rows of B of a `RowSpaceModel`.
MAX_ROOT_ROWS = 1000
# Diagonal entries of D are at least this share of the curvature.
LEAST_DIAGONAL = 1e-10


def suits_row_space(objective: MultinomialObjective) -> bool:
    """Return whether `RowSpaceModel` affords the rows of an objective."""
    return affords_whole_rows(objective, MAX_ROOT_ROWS)


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
    """A `HessianModel` that solves linear systems directly, for a point with few rows.

    It has a Cholesky factor of BᵀB + D, for the curvature D of the penalty, if no more coefficients
    are free than B has rows, and otherwise the factor of a `RowSpaceSystem`.
    """

    has_blocks = True

    def __init__(self, point: Point, simple: Model) -> None:
        super().__init__(point, simple)
        rows = WholeRows(point.objective)
        self._X, self._roots = rows.X, rows.loss_at(point.theta).roots
        self._last: tuple[Tangent, Array | RowSpaceSystem] | None = None

    def apply(self, V: Array) -> Array:
        moved = np.einsum("kmi,mi->ki", self._roots, V @ self._X)
        back = np.einsum("kmi,ki->mi", self._roots, moved)
        return np.asarray(back @ self._X.T + self.shift_curvature * V.mean(axis=0))

    def solve(self, rhs: Array, tangent: Tangent) -> Array:
        free = tangent.free & (self.diagonal > 0.0)
        if self._last is None or not are_same(self._last[0], tangent):
            self._last = tangent, self._system(free, tangent)
        system = self._last[1]
        if isinstance(system, RowSpaceSystem):
            return system.solve(rhs)
        out = np.zeros(free.shape)
        if not free.any():
            return out
        out[free], _ = lapack.dpotrs(system, rhs[free], lower=1)
        return out

    def loss_block(self, members: Array) -> Array:
        k, j = np.nonzero(members)
        B = (self._roots[:, k] * self._X[j]).transpose(0, 2, 1)
        B = B.reshape(len(B) * B.shape[1], len(k))  # also if no coefficient is free
        return np.asarray(B.T @ B)

    def _system(self, free: NDArray[np.bool_], tangent: Tangent) -> Array | RowSpaceSystem:
        """Return a Cholesky factor for the free coefficients (R, width), or one for the rows."""
        D = np.maximum(tangent.diagonal, LEAST_DIAGONAL * self.diagonal)
        if int(free.sum()) <= self._roots[0].size:
            return self._among_coefficients(free, D, tangent)
        return RowSpaceSystem(self._X, self._roots, inverse_curvature(free, D, tangent))

    def _among_coefficients(self, free: Array, D: Array, tangent: Tangent) -> Array:
        """Return the Cholesky factor of BᵀB + D for the free coefficients (R, width).

        `D` (R, width) is without the curvature of groups, which `tangent` has.
        """
        k, j = np.nonzero(free)
        block = self.loss_block(free)
        block += np.equal.outer(j, j) * (self.shift_curvature[j] / len(free))
        block.flat[:: len(k) + 1] += D[k, j]
        add_group_curvature(block, free, tangent)
        return cholesky(block)


def inverse_curvature(free: NDArray[np.bool_], d: Array, tangent: Tangent) -> InverseCurvature:
    """Return the inverse of the second derivatives of a penalty for the coefficients that are free.

    For column j of the coefficients, they are d + c (I - u uᵀ), with the diagonal matrix d, the
    curvature c of its group and the unit vector u. By Sherman and Morrison's formula the inverse is
    (d + c)⁻¹ + v vᵀ, where v = √(c/s) (d + c)⁻¹ u, with s = 1 - c uᵀ (d + c)⁻¹ u, which is
    Σ_k u_k² d_k/(d_k + c).

    Parameters
    ----------
    free : boolean ndarray of shape (R, width)
        Rows and columns of the inverse for other coefficients are zero.
    d : ndarray of shape (R, width)
        Positive where a coefficient is free.
    tangent : Tangent
        It has c and u, if there are groups.
    """
    c, unit = tangent.group_curvature, tangent.unit
    curvature = d if c is None else d + c
    diagonal = np.divide(1.0, curvature, out=np.zeros_like(curvature), where=free)
    if c is None or unit is None:
        return InverseCurvature(diagonal)
    s = np.sum(np.square(unit) * np.where(free, d * diagonal, 1.0), axis=0)
    factor = np.sqrt(np.divide(c, s, out=np.zeros_like(s), where=s > 0.0))
    return InverseCurvature(diagonal, factor * diagonal * unit)
