"""DiagonalShape: leverages of rows without the row itself, as if columns were not correlated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skmaxent._leverage._curvature_roots import curvature_root
from skmaxent._leverage._hessian_systems import inverse_diagonals
from skmaxent._objective._kernel_context import KernelContext
from skmaxent._objective._objective import Point
from skmaxent._objective._penalty import Tangent
from skmaxent._storage._device_array import on_host
from skmaxent._storage._device_blocks import on_host_block
from skmaxent._typing import Array

# The smallest share of the curvature of a coefficient that counts as left without a row.
LEAST_LEFT = 1e-9


@dataclass(frozen=True)
class DiagonalShape:
    """The leverages that rows would have without themselves if the Hessian were diagonal.

    A_i, Λ_i and H are those of `Leverages`, and x̃_i are standardised rows. With H_(i), the Hessian
    without row i, T_i = (I ⊗ x̃_iᵀ) H_(i)⁻¹ (I ⊗ x̃_i) does not depend on the class of the row.
    If many small entries of a row act independently, as words do in texts, T_i is nearly
    proportional to E_i, its value for a diagonal in place of H_(i)⁻¹, with the same factor for all
    rows. This diagonal is that of H_(i)⁻¹ for independent entries: the inverse of the penalty plus
    Σ_j x̃_j² Λ_j (I + T_j Λ_j)⁻¹ over other rows j (as in approximate message passing, Donoho,
    Maleki & Montanari 2009, PNAS 106, 18914-18919). Row i is excluded because rare words occur in
    few rows.

    Attributes
    ----------
    precision : ndarray of shape (n_logits, n_features + 1)
        The sums over all rows, with the penalty; infinity for coefficients that do not vary.
    curvature : ndarray of shape (n_logits, n_samples)
        The diagonals of Λ_j (I + T_j Λ_j)⁻¹, times `curvature_of_contrasts`.
    """

    precision: Array
    curvature: Array

    @classmethod
    def of(
        cls, point: Point, tangent: Tangent, free: Array, inverse: Array, times: float
    ) -> DiagonalShape:
        """Return the shape for sparse rows in memory.

        The coefficients in the mask `free` vary, and `inverse` is the inverse diagonal of the
        Hessian of the summed loss, both (n_logits, n_features + 1). `times` is the result of
        `curvature_of_contrasts`.
        """
        curvature = np.empty((len(inverse), point.objective.blocks.n_samples))
        point.map_reduce(_write_curvature, inverse, curvature)
        curvature *= times
        diagonal = inverse_diagonals(point, tangent, free, curvature)[0]
        with np.errstate(divide="ignore"):
            return cls(point.objective.total_weight / diagonal, curvature)

    def covariances(self, context: KernelContext) -> Array:
        """Return E_i in the free logits of the rows of a block, (rows, r, r)."""
        return in_free_logits(context, self._variances(context))

    def _variances(self, context: KernelContext) -> Array:
        """Return the forms of the diagonal for each logit, (n_logits, rows)."""
        own = self.curvature[:, context.block.start : context.block.stop]
        columns, X = context.model.standardisation, context.block.X
        row = np.repeat(np.arange(own.shape[1]), np.diff(X.indptr))
        center, scale = on_host(columns.center), on_host(columns.scale)
        squares = np.square((X.data.astype(float) - center[X.indices]) / scale[X.indices])
        # The squares of entries that are zeros before standardisation.
        of_zeros = np.square(center / scale)
        values, ones = type(X)(X.shape, dtype=float), np.ones(X.shape[1])
        values.indices, values.indptr = X.indices, X.indptr
        intercept = float(columns.fit_intercept)
        out = np.empty_like(own)
        for variance, precision, curvature in zip(out, self.precision, own, strict=True):
            zeros = of_zeros / precision[:-1]
            left = _left(precision[X.indices], curvature[row] * squares)
            values.data = squares / left - zeros[X.indices]
            constants = zeros.sum() + intercept / _left(precision[-1], intercept * curvature)
            variance[:] = values @ ones + constants
        return out


def curvature_of_contrasts(point: Point, free: Array) -> float:
    """Return the curvature of differences between logits, relative to the diagonal of Λ_i.

    The rows of Λ_i for all K classes have the sum zero. If the other entries of a row are equal,
    Λ_i multiplies vectors with the sum zero, such as the coefficients of a column with a ridge, by
    K/(K - 1) times its diagonal. If some coefficients of a column do not vary, the result is one.
    """
    objective = point.objective
    K = len(free)
    all_vary = objective.likelihood.is_coupled and (free == objective.standardisation.is_free).all()
    return K / (K - 1.0) if all_vary else 1.0


def in_free_logits(context: KernelContext, variances: Array) -> Array:
    """Return covariances of free logits, (rows, r, r), from variances of all (n_logits, rows)."""
    r = context.likelihood.n_free
    out = np.zeros((variances.shape[1], r, r))
    out[:, np.arange(r), np.arange(r)] = variances[:r].T
    if context.likelihood.is_coupled:
        out += variances[-1][:, None, None]
    return out


def of_all_logits(context: KernelContext, covariance: Array) -> Array:
    """Return variances of all logits, (n_logits, rows), from those of free ones (rows, r, r).

    Coupled logits have the sum zero.
    """
    variances = np.einsum("mkk->km", covariance)
    if context.likelihood.is_coupled:
        variances = np.vstack([variances, covariance.sum(axis=(1, 2))])
    return np.asarray(variances)


def curved(context: KernelContext, root: Array, T: Array) -> Array:
    """Return s_i F_iᵀ T_i F_i for the rows of a block, (rows, r, r), with F_i in `root`."""
    weights = np.asarray(on_host(context.weights), dtype=float)[:, None, None]
    return np.asarray(weights * (root.transpose(0, 2, 1) @ T @ root))


def diagonal_forms(context: KernelContext, inverse: Array, means: Array | None = None) -> Array:
    """Return Σ_j N_kj (x̃_ij - m_kj)² for the rows of a block, (n_logits, rows).

    `inverse` and `means` are N and m, (n_logits, n_features + 1); m is zero by default.
    """
    columns, block = context.model.standardisation, on_host_block(context.block)
    scale, center = on_host(columns.scale), on_host(columns.center)[None]
    if means is not None:
        center = center + means[:, :-1] * scale
    N = inverse[:, :-1] / scale**2
    constants = (N * center**2).sum(axis=1) + inverse[:, -1]
    forms = block.quadratic_forms(N) + constants[:, None]
    if center.any():
        forms -= 2.0 * block.logits_without_offset(N * center, np.zeros(len(N)))
    return np.asarray(forms)


def _write_curvature(context: KernelContext, inverse: Array, out: Array) -> tuple[Array]:
    """Write the diagonals of Λ_i (I + T_i Λ_i)⁻¹ to `out` (a kernel with an unused result).

    `inverse` is the inverse diagonal of the Hessian.
    """
    root = curvature_root(context)
    G = curved(context, root, in_free_logits(context, diagonal_forms(context, inverse)))
    weights = np.asarray(on_host(context.weights), dtype=float)
    inner = np.linalg.solve(np.eye(G.shape[1]) + G, root.transpose(0, 2, 1))
    found = weights * of_all_logits(context, root @ inner)
    out[:, context.block.start : context.block.stop] = found
    return (np.zeros(()),)


def _left(precision: Array, own: Array) -> Array:
    """Return the diagonal without a row from that of all rows and what the row adds to it."""
    return np.maximum(precision - own, LEAST_LEFT * precision)
