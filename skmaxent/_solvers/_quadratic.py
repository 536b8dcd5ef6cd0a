"""Quadratic models of the loss.

A model is a Hessian M of the loss with two methods. `apply` multiplies by M, and `solve` solves
linear systems with the block of M for the free coefficients. Arrays have the shape (R, width); the
last column holds the intercepts. If logits are coupled, the loss does not change when the same
number is added to all coefficients of a feature, which is called a shift. Models add the curvature
`shift_curvature` along shifts, so that M is not singular. A step along a shift is then a step of
the proximal point method.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.linalg import lapack

from skmaxent._cached import cached_property
from skmaxent._objective._penalty import Tangent
from skmaxent._solvers._conjugate_gradients import conjugate_gradients
from skmaxent._storage._vectors import largest_in_columns
from skmaxent._typing import Array

# Power iterations for the largest eigenvalue of a model. The estimate is too small, and is enlarged
# by a tenth.
POWER_STEPS = 10
# The curvature that models add along shifts, relative to the mean of the diagonal. It is too small
# to slow the fit down, and large enough for a Cholesky factor to exist.
SHIFT_CURVATURE = 1e-6
# The slope along a shift, relative to the mean of the diagonal, at which it is noisy: pivots with
# their REGULARISATION would shift the coefficients by one.
NOISY_SHIFT = 1e-12
# Models without a matrix solve linear systems by conjugate gradients: the relative accuracy, and
# the most products with the Hessian.
ITERATIVE_ACCURACY, MAX_SOLVE_PRODUCTS = 1e-3, 100
# A factor of the free coefficients replaces them if it costs no more than so many products, and
# those that earlier systems of the same manifold took, and if it has no more rows than this.
FACTOR_PRODUCTS, MOST_FACTORED = 60.0, 5000


class Model:
    """The interface of quadratic models of the loss.

    Attributes
    ----------
    diagonal : ndarray of shape (R, width)
        The diagonal of the Hessian M of the model.
    shift_curvature : ndarray of shape (width,)
        The curvature along shifts of all classes.
    is_exact : bool
        Whether the model is the Hessian of all rows at the point that it was made for.
    is_local : bool
        Whether the model is accurate only at the point that it was made for, so that the next point
        needs a new model.
    matrix : ndarray of shape (R·width, R·width) or None
        M, if it is assembled, with the coefficients of a class next to each other.
    has_blocks : bool
        Whether `loss_block` assembles a part of M at little cost.
    """

    diagonal: Array
    shift_curvature: Array
    has_blocks = False
    is_exact = False
    is_local = False
    matrix: Array | None = None

    @cached_property
    def safe_step(self) -> Array:
        """Step sizes 1/(L D), (1, width), with which a proximal gradient step lowers the value.

        D has the largest entry of `diagonal` in each column. L is the largest eigenvalue of M
        relative to D, by power iteration.
        """
        diagonal = largest_in_columns(self.diagonal)[None]
        # Without intercepts, their column has no curvature and does not change.
        inverse = np.divide(1.0, diagonal, out=np.zeros_like(diagonal), where=diagonal > 0.0)
        root = np.sqrt(inverse)
        V = np.random.default_rng(0).normal(size=self.diagonal.shape)
        largest = 1.0
        for _ in range(POWER_STEPS):
            V /= float(np.linalg.norm(V))
            V = self.apply(V * root) * root
            largest = float(np.linalg.norm(V))
        return np.asarray(inverse / (1.1 * largest))

    def apply(self, V: Array) -> Array:
        """Return M V for V (R, width)."""
        raise NotImplementedError

    def loss_product(self, V: Array) -> Array:
        """Return M V for V (R, width), where M is without `shift_curvature`."""
        if len(V) == 1:
            return self.apply(V)
        return np.asarray(self.apply(V) - self.shift_curvature * V.mean(axis=0))

    def loss_block(self, members: Array) -> Array:
        """Return the rows and columns of M, without `shift_curvature`, of some coefficients.

        `members` (R, width) is True for these. Only a model that `has_blocks` returns them.
        """
        raise NotImplementedError

    def without_shift(self, matrix: Array, gradient: Array, leaves_shifts: Array) -> Array:
        """Return a copy of `matrix` (R·width, R·width), M, without most of `shift_curvature`.

        If columns are nearly collinear, `shift_curvature` may exceed the curvature of the loss
        along one of their combinations, and then makes steps along it short. The columns of
        `_noisy_shifts` keep it. The other arguments are those of `_noisy_shifts`.
        """
        R, width = self.diagonal.shape
        matrix = matrix.copy()
        column = np.flatnonzero(~self._noisy_shifts(gradient, leaves_shifts))
        blocks = matrix.reshape(R, width, R, width)
        blocks[:, column, :, column] -= self.shift_curvature[column, None, None] / R
        return matrix

    def block_without_shift(self, members: Array, gradient: Array, leaves_shifts: Array) -> Array:
        """Return the rows and columns of `without_shift` of the coefficients of `loss_block`.

        Columns of which only some coefficients are members need no curvature along shifts.
        """
        block = self.loss_block(members)
        noisy = self._noisy_shifts(gradient, leaves_shifts) & members.all(axis=0)
        if noisy.any():
            j = np.nonzero(members)[1]
            kept = np.where(noisy, self.shift_curvature, 0.0)[j] / len(members)
            block += np.equal.outer(j, j) * kept
        return block

    def _noisy_shifts(self, gradient: Array, leaves_shifts: Array) -> Array:
        """Return which columns rounding errors would shift by much, bool of shape (width,).

        `leaves_shifts` (width,) is True for the columns whose shifts cost nothing. The gradient of
        the loss (R, width) then sums to zero over the classes, but for rounding errors, which are
        large in float32. Searches by pivots add hardly a curvature along such a shift, so that
        these errors would make it huge, and its own rounding would hide the rest of the step. With
        `shift_curvature` the minimum is the same, but for a small shift.
        """
        along = np.abs(gradient.mean(axis=0))
        return np.asarray(leaves_shifts & (along > NOISY_SHIFT * self.diagonal.mean(axis=0)))

    def solve(self, rhs: Array, tangent: Tangent) -> Array:
        """Return x with (M + penalty'') x = rhs for the free coefficients, and zero elsewhere.

        `rhs` and x have the shape (R, width). `tangent` says which coefficients are free, and has
        the second derivatives of the penalty.
        """
        raise NotImplementedError


def curvature_of_shift(diagonal: Array, is_coupled: bool) -> Array:
    """Return the curvature to add along shifts of all classes, (width,).

    `diagonal` (R, width) is the diagonal of M. If logits are not coupled, the result is zero.
    """
    return np.asarray(SHIFT_CURVATURE * diagonal.mean(axis=0) * is_coupled)


class DenseModel(Model):
    """A model whose Hessian is a matrix.

    Parameters
    ----------
    matrix : ndarray of shape (R·width, R·width)
        The Hessian of the loss, with the coefficients of a class next to each other. The curvature
        along shifts is added in place.
    shape : (int, int)
        (R, width).
    is_coupled : bool
        Whether logits are coupled.
    is_exact : bool, default=False
        See `Model`.
    """

    has_blocks = True

    def __init__(
        self, matrix: Array, shape: tuple[int, int], *, is_coupled: bool, is_exact: bool = False
    ) -> None:
        R, width = shape
        self._shape, self.is_exact = shape, is_exact
        self._last: tuple[Tangent, Array] | None = None
        self.shift_curvature = curvature_of_shift(matrix.diagonal().reshape(shape), is_coupled)
        blocks = matrix.reshape(R, width, R, width)
        column = np.arange(width)
        blocks[:, column, :, column] += self.shift_curvature[:, None, None] / R
        self.matrix: Array = matrix
        self.diagonal = matrix.diagonal().reshape(shape)

    def apply(self, V: Array) -> Array:
        return (self.matrix @ V.ravel()).reshape(self._shape)

    def loss_block(self, members: Array) -> Array:
        at = np.flatnonzero(members)
        j = at % self._shape[1]
        shift = np.equal.outer(j, j) * (self.shift_curvature[j] / self._shape[0])
        return np.asarray(self.matrix[np.ix_(at, at)] - shift)

    def solve(self, rhs: Array, tangent: Tangent) -> Array:
        free = np.flatnonzero(tangent.free.ravel())
        out = np.zeros(self._shape)
        if len(free):
            L = self._factor(tangent, free)
            out.flat[free], _ = lapack.dpotrs(L, rhs.ravel()[free], lower=1)
        return out

    def _factor(self, tangent: Tangent, free: Array) -> Array:
        """Return the Cholesky factor of the block of the free coefficients of M + penalty''.

        `free` are the positions of these coefficients. The last factor is kept.
        """
        if self._last is not None and are_same(self._last[0], tangent):
            return self._last[1]
        whole = len(free) == len(self.matrix)
        block = self.matrix.copy() if whole else self.matrix[np.ix_(free, free)]
        diagonal = np.broadcast_to(tangent.diagonal, self._shape).ravel()[free]
        block.flat[:: len(free) + 1] += diagonal
        add_group_curvature(block, np.broadcast_to(tangent.free, self._shape), tangent)
        L = cholesky(block)
        self._last = tangent, L
        return L


def add_group_curvature(block: Array, free: Array, tangent: Tangent) -> None:
    """Add the second derivatives of group penalties to a matrix (n_free, n_free), in place.

    `free` (R, width) is True for the coefficients of its rows, which are in the order of the flat
    coefficients. Group j, the coefficients of column j, adds group_curvature_j (I - u_j u_jᵀ) with
    the unit vector u_j = unit[:, j].
    """
    if tangent.group_curvature is None or tangent.unit is None:
        return
    j = np.flatnonzero(free.any(axis=0))
    free, unit, R = free[:, j], tangent.unit[:, j], len(free)
    position = np.full(free.shape, -1)
    position[free] = np.arange(len(block))
    # Only pairs of coefficients of one column have entries, few of all pairs.
    rows, columns = np.broadcast_arrays(position[:, None], position[None])
    are_free = (rows >= 0) & (columns >= 0)
    across = tangent.group_curvature[j] * (np.eye(R)[:, :, None] - unit[:, None] * unit)
    block[rows[are_free], columns[are_free]] += across[are_free]


def cholesky(block: Array) -> Array:
    """Return the lower Cholesky factor of a positive semidefinite matrix, which is overwritten.

    Curvature is added to the diagonal until the factor exists.
    """
    share = np.maximum(block.diagonal(), 1e-300)
    block.flat[:: len(block) + 1] += 1e-10 * share
    while True:
        # The transposed matrix is in Fortran order, so that LAPACK makes no copy.
        L, info = lapack.dpotrf(block.T, lower=1)
        if info == 0:
            return np.asarray(L)
        share = 100.0 * share
        block.flat[:: len(block) + 1] += 1e-10 * share


def are_same(one: Tangent, other: Tangent) -> bool:
    """Return whether two manifolds have the same free coefficients and second derivatives.

    Gradients are not compared, because the Cholesky factor does not depend on them.
    """

    def same(a: Array | None, b: Array | None) -> bool:
        return a is b or (a is not None and b is not None and np.array_equal(a, b))

    return (
        same(one.free, other.free)
        and same(one.diagonal, other.diagonal)
        and same(one.group_curvature, other.group_curvature)
        and same(one.unit, other.unit)
    )


class DampedModel(Model):
    """A model with the Hessian of another one, `model`, plus `damping` times the identity matrix.

    Its steps are shorter where the other model has little curvature, for instance because of rows
    whose probabilities are near 0 and 1 (Levenberg 1944, Q. Appl. Math. 2, 164-168).
    """

    def __init__(self, model: Model, damping: float) -> None:
        self._model, self._damping = model, damping
        self.diagonal, self.shift_curvature = model.diagonal + damping, model.shift_curvature

    @cached_property
    def matrix(self) -> Array | None:  # type: ignore[override]
        matrix = self._model.matrix
        return None if matrix is None else matrix + self._damping * np.eye(len(matrix))

    def apply(self, V: Array) -> Array:
        return self._model.apply(V) + self._damping * V

    def solve(self, rhs: Array, tangent: Tangent) -> Array:
        diagonal = tangent.diagonal + self._damping
        return self._model.solve(rhs, replace(tangent, diagonal=diagonal))


class KroneckerModel(Model):
    """A model with the Hessian (diag α - α βᵀ) ⊗ Σ.

    Parameters
    ----------
    alpha, share : ndarray of shape (R,)
        α, and β: α/Σα, or zero where logits are not coupled.
    covariance : ndarray of shape (width, width)
        Σ, of the columns and the constant; the constant does not correlate with the columns.
    """

    def __init__(self, alpha: Array, share: Array, covariance: Array) -> None:
        self._alpha, self._share, self.diagonal = _kronecker_factors(
            alpha, share, covariance.diagonal()
        )
        self._covariance = covariance
        # The manifold of the last system, the products that its systems took, and their factor.
        self._last: Tangent | None = None
        self._n_products, self._factor = 0, np.empty((0, 0))
        self.shift_curvature = curvature_of_shift(self.diagonal, bool(share.any()))
        self.diagonal += self.shift_curvature / len(alpha)

    def apply(self, V: Array) -> Array:
        Z = self._alpha * (V @ self._covariance)
        Z -= self._share * Z.sum(axis=0)
        Z += self.shift_curvature * V.mean(axis=0)
        return Z

    def solve(self, rhs: Array, tangent: Tangent) -> Array:
        free = tangent.free
        if self._last is None or not are_same(self._last, tangent):
            self._last, self._n_products, self._factor = tangent, 0, np.empty((0, 0))
        n_free, width = int(free.sum()), len(self._covariance)
        work = n_free**3 / 3.0 + 10.0 * n_free**2
        affordable = (FACTOR_PRODUCTS + self._n_products) * len(free) * width**2
        if n_free <= MOST_FACTORED and work <= affordable:
            return self._solved_by_factor(rhs, tangent)
        inverse = self.diagonal + tangent.diagonal
        if tangent.group_curvature is not None and tangent.unit is not None:
            inverse = inverse + tangent.group_curvature * (1.0 - np.square(tangent.unit))
        inverse = np.where(free, 1.0 / np.maximum(inverse, 1e-300), 0.0)
        gradient = np.where(free, -rhs, 0.0)
        norm = float(np.sqrt(np.sum(np.square(gradient) * inverse)))
        step = conjugate_gradients(
            lambda V: np.where(free, self.apply(V) + tangent.curvature(V), 0.0),
            lambda G: G * inverse,
            gradient,
            radius=np.inf,
            tolerance=ITERATIVE_ACCURACY * norm,
            max_products=MAX_SOLVE_PRODUCTS,
        )
        self._n_products += step.n_products
        return step.direction

    def _solved_by_factor(self, rhs: Array, tangent: Tangent) -> Array:
        """Return the result of `solve` from the Cholesky factor of the block of free coefficients.

        The last factor is kept.
        """
        k, j = np.nonzero(tangent.free)
        out = np.zeros(tangent.free.shape)
        if not len(k):
            return out
        if not len(self._factor):
            R = len(self._alpha)
            between = np.diag(self._alpha.ravel()) - self._share * self._alpha.T
            block = self._covariance[np.ix_(j, j)]
            block *= between[np.ix_(k, k)]
            block += np.equal.outer(j, j) * (self.shift_curvature[j] / R)
            block.flat[:: len(k) + 1] += np.broadcast_to(tangent.diagonal, out.shape)[k, j]
            add_group_curvature(block, tangent.free, tangent)
            self._factor = cholesky(block)
        out[k, j], _ = lapack.dpotrs(self._factor, rhs[k, j], lower=1)
        return out


class SeparableModel(Model):
    """A model with the Hessian (diag α - α βᵀ) ⊗ diag v.

    For each column this is a diagonal matrix minus a matrix of rank one.

    Parameters
    ----------
    alpha, share : ndarray of shape (R,)
        As for `KroneckerModel`.
    variances : ndarray of shape (width,)
        v.
    """

    def __init__(self, alpha: Array, share: Array, variances: Array) -> None:
        self._alpha, self._share, self.diagonal = _kronecker_factors(alpha, share, variances)
        self._variances = variances
        self._last: tuple[Tangent, tuple[Array, list[Array], list[Array], Array]] | None = None
        self.shift_curvature = curvature_of_shift(self.diagonal, bool(share.any()))
        self.diagonal += self.shift_curvature / len(alpha)

    def apply(self, V: Array) -> Array:
        Z = self._alpha * V
        Z *= self._variances
        Z -= self._share * Z.sum(axis=0)
        Z += self.shift_curvature * V.mean(axis=0)
        return Z

    def solve(self, rhs: Array, tangent: Tangent) -> Array:
        """Solve the systems of all columns by Woodbury's formula; see `Model.solve`."""
        if self._last is None or self._last[0] is not tangent:
            self._last = tangent, self._factors(tangent)
        inverse, U, scaled, small = self._last[1]
        x = inverse * rhs
        if U:
            right = np.stack([np.einsum("kj,kj->j", u, x) for u in U], axis=-1)
            part = _solve_small(small, right)
            for a, v in enumerate(scaled):
                x -= v * part[:, a]
        return x

    def _factors(self, tangent: Tangent) -> tuple[Array, list[Array], list[Array], Array]:
        """Return the terms of Woodbury's formula for the systems of all columns.

        The matrix of a column is D + U C Uᵀ, with a diagonal D and at most three columns in U.
        Returned are D⁻¹ (R, width), U and D⁻¹ U as lists of arrays (R, width), and C⁻¹ + Uᵀ D⁻¹ U
        of shape (width, len(U), len(U)).
        """
        free = tangent.free
        D = self._alpha * self._variances + tangent.diagonal
        U, signs = [], []
        if self._share.any():
            U = [np.sqrt(self._share * self._alpha * self._variances), np.sqrt(self._shift_entries)]
            signs = [-1.0, 1.0]
        if tangent.group_curvature is not None and tangent.unit is not None:
            D = D + tangent.group_curvature
            U.append(np.sqrt(tangent.group_curvature) * tangent.unit)
            signs.append(-1.0)
        inverse = np.where(free, 1.0 / np.maximum(D, 1e-300), 0.0)
        scaled = [inverse * u for u in U]
        small = np.empty((inverse.shape[1], len(U), len(U)))
        for a, u in enumerate(U):
            for b, v in enumerate(scaled):
                small[:, a, b] = np.einsum("kj,kj->j", u, v) + (a == b) * signs[a]
        return inverse, U, scaled, small

    @cached_property
    def _shift_entries(self) -> Array:
        """The matrix entries of the curvature along shifts, equal within a column, (R, width)."""
        return np.broadcast_to(self.shift_curvature / len(self._alpha), self.diagonal.shape)


def _solve_small(A: Array, b: Array) -> Array:
    """Return the solutions of small systems, (n, k), for matrices (n, k, k) and b (n, k)."""
    if A.shape[-1] != 2:
        return np.asarray(np.linalg.solve(A, b[..., None])[..., 0])
    p, q, r, s = A[:, 0, 0], A[:, 0, 1], A[:, 1, 0], A[:, 1, 1]
    determinant = p * s - q * r
    return np.stack(
        [(s * b[:, 0] - q * b[:, 1]) / determinant, (p * b[:, 1] - r * b[:, 0]) / determinant],
        axis=1,
    )


def _kronecker_factors(alpha: Array, share: Array, variances: Array) -> tuple[Array, Array, Array]:
    """Return α and β as columns (R, 1), and the diagonal of (diag α - α βᵀ) ⊗ Σ, (R, width).

    `alpha` and `share` have the shape (R,), and `variances` (width,) is the diagonal of Σ.
    """
    alpha, share = alpha[:, None], share[:, None]
    return alpha, share, (alpha * (1.0 - share)) * variances


def project_onto_tangent(tangent: Tangent, gradient: Array) -> Array:
    """Return the part of a gradient (R, width) within a manifold.

    Entries of coefficients that are not free are zero. If logits are coupled, the mean is
    subtracted from each column whose coefficients are all free, so that it has no part along a
    shift.
    """
    out = np.where(tangent.free, gradient, 0.0)
    if tangent.is_coupled:
        out -= np.where(tangent.free.all(axis=0), out.mean(axis=0), 0.0)
    return out
