"""InverseHessian: the inverse Hessian of a penalised objective over the coefficients that vary.

Conventions: θ are the coefficients of the standardised columns with the intercepts last, of shape
(n_logits, d + 1). x̃_i is the standardised row i with a one for the intercept. A_i, F_i and Λ_i are
the matrices of `Leverages`. Coefficients in reference coding are differences from the last class.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike
from scipy.linalg import lapack

from skmaxent._leverage._reference_coding import information, ridge_information
from skmaxent._objective._kernel_context import KernelContext
from skmaxent._objective._objective import Point
from skmaxent._objective._penalty import Tangent
from skmaxent._objective._terms import PenaltyTerms
from skmaxent._solvers._hessian_bounds import LEAST_PIVOT
from skmaxent._storage._device_array import on_host
from skmaxent._typing import Array

# The number of coordinates from which on products in float32 save time.
LEAST_ROUGH = 100
# Variance inflation factors, the diagonal of H⁻¹ times that of H, up to which float32 is enough.
MOST_INFLATION = 100.0
# The share of the largest eigenvalue of a matrix below which an eigenvalue counts as zero.
LEAST_EIGENVALUE = 1e-11


@dataclass(frozen=True)
class FreeCoefficients:
    """The coordinates in which the Hessian is inverted: entries of θ that vary near the optimum.

    With a ridge or without a penalty, all coefficients in reference coding vary. With an L1 penalty
    or bounds, the coefficients of each class that are neither zero nor at a bound vary.

    Attributes
    ----------
    columns : tuple of ndarray of int
        For each class, or each logit in reference coding, the columns of θ that vary, in ascending
        order; the intercept is column n_features.
    union : ndarray of int
        The columns that vary for some class.
    is_reference : bool
        Whether the coordinates are coefficients in reference coding. This includes a single logit
        and independent labels, which have no last class to subtract.
    shape : tuple of int
        The shape of θ, (n_logits, n_features + 1).
    """

    columns: tuple[Array, ...]
    union: Array
    is_reference: bool
    shape: tuple[int, int]

    @classmethod
    def of(
        cls, columns: Sequence[Array], shape: tuple[int, int], *, reference: bool
    ) -> FreeCoefficients:
        """Return the coordinates for the attribute `columns`."""
        first = columns[0] if len(columns) else np.zeros(0, np.intp)
        is_same = all(each is first for each in columns)
        union = first if is_same else np.unique(np.concatenate(columns))
        return cls(tuple(columns), union.astype(np.intp), reference, shape)

    @classmethod
    def at(cls, point: Point, terms: PenaltyTerms) -> FreeCoefficients:
        """Return the coordinates that vary at a point.

        `terms` are the penalty and the bounds of the coefficients of standardised columns.
        """
        objective, likelihood = point.objective, point.objective.likelihood
        if _is_in_reference_coding(point, terms):
            width = objective.shape[1] - (not objective.fit_intercept)
            columns = [np.arange(width)] * likelihood.n_free
            return cls.of(columns, objective.shape, reference=True)
        tangent = terms.whole_penalty().tangent(point.theta)
        free = tangent.free & objective.standardisation.is_free
        if likelihood.is_coupled:
            # A column whose coefficients vary in all classes, with no curvature of the penalty, has
            # a direction that changes nothing: the same change in all classes. Holding its
            # coefficient of the last class removes this direction.
            is_flat = ~np.broadcast_to(tangent.diagonal, free.shape).any(axis=0)
            free[-1] &= ~(free.all(axis=0) & is_flat & (_group_curvature(tangent) == 0.0))
        columns = [np.flatnonzero(row) for row in free]
        return cls.of(columns, objective.shape, reference=not likelihood.is_coupled)

    @property
    def size(self) -> int:
        """The number of coordinates."""
        return sum(map(len, self.columns))

    @property
    def slices(self) -> list[slice]:
        """The slices of a vector of coordinates that belong to each entry of `columns`."""
        ends = np.cumsum([0, *map(len, self.columns)])
        return [slice(low, high) for low, high in itertools.pairwise(ends)]

    def varying_columns(self, context: KernelContext, dtype: DTypeLike = np.float64) -> list[Array]:
        """Return the standardised columns of a block that vary, for each entry of `columns`.

        Each array has the shape (n_columns, rows).
        """
        X = _standardised(context, self.union).astype(dtype, copy=False)
        if all(len(columns) == len(self.union) for columns in self.columns):
            return [X] * len(self.columns)
        return [X[np.searchsorted(self.union, columns)] for columns in self.columns]

    def in_reference_coding(self, values: Array) -> Array:
        """Return θ in reference coding, (..., r, n_features + 1), for r free logits.

        `values` (..., size) are those of the coordinates; all other entries of θ are zero.
        """
        out = self.as_theta(values)
        if self.is_reference:
            return out[..., : len(self.columns), :]
        return np.asarray(out[..., :-1, :] - out[..., -1:, :])

    def as_theta(self, values: Array) -> Array:
        """Return θ, (..., *shape), from values of the coordinates, (..., size), zero elsewhere."""
        out = np.zeros((*values.shape[:-1], *self.shape))
        for k, (columns, at) in enumerate(zip(self.columns, self.slices, strict=True)):
            out[..., k, columns] = values[..., at]
        return out


def _standardised(context: KernelContext, columns: Array) -> Array:
    """Return some columns of the standardised rows of a block, (n_columns, rows).

    `columns` are positions in ascending order; n_features stands for the ones of the intercept.
    """
    if len(columns) >= context.block.X.shape[1]:
        # Also for columns that are combinations, of which none is left out but the intercept.
        rows = np.asarray(on_host(context.rows))
        return rows if len(columns) == len(rows) else rows[columns]
    block, standardisation = context.block, context.model.standardisation
    of_X = columns[columns < block.X.shape[1]]
    X = block.some_columns(of_X) if block.is_sparse else on_host(block.X)[:, of_X]
    out = np.ones((len(columns), block.stop - block.start))
    out[: len(of_X)] = X.T
    out[: len(of_X)] -= on_host(standardisation.center)[of_X][:, None]
    out[: len(of_X)] /= on_host(standardisation.scale)[of_X][:, None]
    return out


@dataclass(frozen=True)
class InverseHessian:
    """The inverse of the Hessian of the summed loss and penalty over the free coefficients.

    The loss is the sum over rows with the weights that the objective stores. For a singular Hessian
    `matrix` is the pseudo-inverse, which gives the same leverages.

    Attributes
    ----------
    free : FreeCoefficients
    matrix : ndarray of shape (free.size, free.size)
    rank : int
        The rank of the Hessian.
    dtype : dtype
        The dtype of products over rows, float64 or float32.
    """

    free: FreeCoefficients
    matrix: Array
    rank: int
    dtype: DTypeLike = np.float64

    @classmethod
    def at(
        cls,
        point: Point,
        terms: PenaltyTerms,
        free: FreeCoefficients | None = None,
        *,
        is_rough: bool = False,
    ) -> InverseHessian:
        """Return the inverse Hessian at a point.

        Parameters
        ----------
        point : Point
            The loss at θ, without a penalty.
        terms : PenaltyTerms
            The penalty and the bounds for standardised columns.
        free : FreeCoefficients, optional
            The coordinates at the point, if the caller has computed them.
        is_rough : bool, default=False
            Whether three digits of leverages are enough. Products over rows are then in float32 if
            there are `LEAST_ROUGH` coordinates or more, and if no variance inflation factor exceeds
            `MOST_INFLATION`.
        """
        free = FreeCoefficients.at(point, terms) if free is None else free
        total = point.objective.total_weight
        if is_rough and free.size >= LEAST_ROUGH:
            H = penalised_hessian(point, terms, free, np.float32) * total
            matrix, rank = inverse_and_rank(H)
            if (matrix.diagonal() * H.diagonal()).max() <= MOST_INFLATION:
                return cls(free, matrix, rank, np.float32)
        matrix, rank = inverse_and_rank(penalised_hessian(point, terms, free) * total)
        return cls(free, matrix, rank)

    def leverages(self, context: KernelContext, root: Array) -> tuple[Array, Array, Array]:
        """Return the leverages of the rows i of a block.

        Parameters
        ----------
        context : KernelContext
            The block with the model.
        root : ndarray of shape (rows, r, r)
            F_i, for a weight of one.

        Returns
        -------
        A : ndarray of shape (rows, r, r)
            A_i.
        hat : ndarray of shape (rows, r, r)
            s_i F_iᵀ A_i F_i, with the weights s_i.
        trace : ndarray of shape (rows,)
            The traces of `hat`.
        """
        A = self._leverage_matrices(self.free.varying_columns(context, self.dtype))
        weights = np.asarray(on_host(context.weights), dtype=float)[:, None, None]
        hat = weights * (root.transpose(0, 2, 1) @ A @ root)
        return A, hat, np.einsum("mkk->m", hat)

    def _leverage_matrices(self, rows: list[Array]) -> Array:
        """Return A_i, (rows, r, r), from the result of `FreeCoefficients.varying_columns`."""
        L, slices = len(rows), self.free.slices
        A = np.empty((rows[0].shape[1], L, L))
        matrix = self.matrix.astype(self.dtype, copy=False)
        for last in range(L):
            # One product serves all pairs of this class with an earlier one: A_i is symmetric.
            V = matrix[: slices[last].stop, slices[last]] @ rows[last]
            for k in range(last + 1):
                A[:, k, last] = A[:, last, k] = np.einsum("jm,jm->m", rows[k], V[slices[k]])
        if self.free.is_reference:
            return A
        A = A[:, :-1] - A[:, -1:]
        return np.asarray(A[:, :, :-1] - A[:, :, -1:])

    def change(self, context: KernelContext, residuals: Array) -> Array:
        """Return H⁻¹ (I ⊗ x̃_i) ρ_i as θ in reference coding, (rows, r, d + 1).

        `residuals` (rows, r) are the ρ_i in the free logits of the rows of a block.
        """
        return self.free.in_reference_coding(self.free_changes(context, residuals))

    def free_changes(self, context: KernelContext, residuals: Array) -> Array:
        """Return H⁻¹ (I ⊗ x̃_i) ρ_i in the free coordinates, (rows, free.size); see `change`."""
        rows = self.free.varying_columns(context)
        if not self.free.is_reference:
            residuals = np.column_stack([residuals, -residuals.sum(axis=1)])
        G = np.concatenate([X * rho for X, rho in zip(rows, residuals.T, strict=True)])
        return np.asarray((self.matrix @ G).T)


def all_coefficients_vary(terms: PenaltyTerms) -> bool:
    """Return whether all coefficients vary: there is no L1 penalty, and there are no bounds."""
    return not terms.l1.any() and terms.lower is None and terms.upper is None


def _is_in_reference_coding(point: Point, terms: PenaltyTerms) -> bool:
    """Return whether all coefficients vary, and logits are coupled by a softmax, or only one."""
    likelihood = point.objective.likelihood
    return (likelihood.is_coupled or likelihood.n_logits == 1) and all_coefficients_vary(terms)


def penalised_hessian(
    point: Point, terms: PenaltyTerms, free: FreeCoefficients, dtype: DTypeLike = np.float64
) -> Array:
    """Return the Hessian of the mean loss and the penalty in the coordinates, (size, size).

    Parameters
    ----------
    point : Point
        The loss at θ, without a penalty.
    terms : PenaltyTerms
        Penalty and bounds for standardised columns.
    free : FreeCoefficients
    dtype : dtype, default=float64
        The dtype of products over rows.
    """
    objective = point.objective
    if _is_in_reference_coding(point, terms):
        H = information(point, dtype)
        if terms.ridge.any():
            n_classes = objective.likelihood.n_free + 1
            H = H + ridge_information(terms.ridge, n_classes, objective.fit_intercept)
        return H
    (H,) = point.map_reduce(_free_information, free, dtype)
    H = H / objective.total_weight
    tangent = terms.whole_penalty().tangent(point.theta)
    diagonal = np.broadcast_to(tangent.diagonal, point.theta.shape)
    curvature, slices = _group_curvature(tangent), free.slices
    for k, (columns, at) in enumerate(zip(free.columns, slices, strict=True)):
        H[at, at].flat[:: len(columns) + 1] += diagonal[k, columns] + curvature[columns]
        if not curvature.any() or tangent.unit is None:
            continue
        for other, (others, beside) in enumerate(zip(free.columns, slices, strict=True)):
            common, i, j = np.intersect1d(columns, others, return_indices=True)
            curved = curvature[common] * tangent.unit[k, common] * tangent.unit[other, common]
            H[at, beside][i, j] -= curved
    return np.asarray(H)


def _group_curvature(tangent: Tangent) -> Array:
    """Return the curvature of a group penalty for each column of θ, (d + 1,); 0 without one.

    The curvature is that of the penalty on the Euclidean norm of the column. It is 0 for columns of
    zeros, which stay zero.
    """
    if tangent.group_curvature is None:
        return np.zeros(tangent.free.shape[1])
    return np.where(tangent.free.any(axis=0), tangent.group_curvature, 0.0)


def _free_information(
    context: KernelContext, free: FreeCoefficients, dtype: DTypeLike
) -> tuple[Array]:
    """Return the sum over a block of Λ_i ⊗ x̃_i x̃_iᵀ in the free coordinates (a kernel)."""
    rows, slices = free.varying_columns(context, dtype), free.slices
    P = np.asarray(on_host(context.probabilities), dtype=dtype)
    weights = np.asarray(on_host(context.weights), dtype=dtype)
    H = np.zeros((free.size, free.size))
    for k, at in enumerate(slices):
        H[at, at] = (rows[k] * (weights * P[k] * (1.0 - P[k]))) @ rows[k].T
        for other in range(k) if context.likelihood.is_coupled else ():
            H[at, slices[other]] = (rows[k] * (-weights * P[k] * P[other])) @ rows[other].T
            H[slices[other], at] = H[at, slices[other]].T
    return (H,)


def cholesky_inverse(A: Array, least_pivot: float) -> Array | None:
    """Return the inverse of a symmetric matrix A (n, n) with unit diagonal; None if A is singular.

    A counts as singular if a pivot, the share of a column that the columns before it do not
    explain, is `least_pivot` or less.
    """
    if not len(A):  # dpotri prints a message
        return A
    L, info = lapack.dpotrf(A, lower=1)
    if info != 0 or np.square(L.diagonal()).min(initial=1.0) <= least_pivot:
        return None
    V, _ = lapack.dpotri(L, lower=1)
    return np.asarray(np.tril(V) + np.tril(V, -1).T)  # dpotri fills the lower triangle only


def inverse_and_rank(H: Array) -> tuple[Array, int]:
    """Return the inverse or pseudo-inverse of a semidefinite matrix H (n, n), and the rank of H.

    The pseudo-inverse is that of the matrix scaled to a unit diagonal, so that its rank does not
    depend on the units of the columns.
    """
    size = np.sqrt(np.maximum(H.diagonal(), 0.0))
    scale = np.divide(1.0, size, out=np.zeros_like(size), where=size > 0.0)
    scaled = H * np.multiply.outer(scale, scale)
    V, rank = cholesky_inverse(scaled, LEAST_PIVOT), len(H)
    if V is None:
        values, vectors = np.linalg.eigh(scaled)
        kept = values > LEAST_EIGENVALUE * max(float(values[-1]), 0.0)
        V = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T
        rank = int(kept.sum())
    return V * np.multiply.outer(scale, scale), rank
