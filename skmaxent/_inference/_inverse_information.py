"""The inverse Fisher information, in coordinates of orthogonal columns if columns are collinear.

Sums of products of columns at a relative distance δ from the span of others have a relative error
of 1e-16/δ². Combinations of the columns have an error of 1e-16/δ. If columns are nearly collinear,
information and scores are therefore computed for combinations that are orthogonal under the
curvature of the rows. The covariance of their coefficients is mapped to those of X by a root; see
`Covariance`. The combinations come from Cholesky factors of sums of products, which are computed
again for the combinations until these are orthogonal (Yamamoto et al. 2015, Electron. Trans. Numer.
Anal. 44).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack, solve_triangular

from skmaxent._effects._covariance_root import Covariance, root_of, scaled_to_unit_diagonal
from skmaxent._existence import DEPENDENT_DISTANCE, aliased_columns
from skmaxent._inference._covariance import SINGULAR_PIVOT, SingularInformation, inverse
from skmaxent._leverage._inverse_hessian import cholesky_inverse
from skmaxent._leverage._reference_coding import information
from skmaxent._objective._objective import Point
from skmaxent._storage._combined_columns import CombinedColumns
from skmaxent._typing import Array

# Columns are orthogonalised if a variance inflation factor, 1/δ², is above this. The relative error
# of a sandwich from sums of products may be the machine epsilon times the square of the factor.
MOST_INFLATION = 1e6
# Most times that the columns are combined, and what is added to the diagonal of the products, which
# is one, if they have no Cholesky factor.
MOST_PASSES, SHIFT = 4, 1e-13


@dataclass(frozen=True)
class InverseInformation:
    """The inverse of the information of the mean loss at a point, in the coordinates of the point.

    Attributes
    ----------
    point : Point
        The columns of its objective are the standardised ones or, if these are nearly collinear,
        orthogonal combinations of them, which are `CombinedColumns`.
    matrix : ndarray of shape (n_coefficients, n_coefficients)
        The inverse of the information for the coefficients of these columns, in reference coding.
    back : ndarray of shape (n_coefficients, n_coefficients) or None
        The matrix from these coefficients to those of the standardised columns; None stands for the
        identity.
    """

    point: Point
    matrix: Array
    back: Array | None = None

    def covariance(self, total: float) -> Covariance:
        """Return the covariance for `total` observations.

        It belongs to the coefficients of the standardised columns.
        """
        if self.back is None:
            return Covariance(self.matrix / total)
        return Covariance.of_root(self.back @ root_of(self.matrix / total))

    @classmethod
    def at(cls, point: Point, H: Array, ridge: Array | None = None) -> InverseInformation:
        """Return the inverse of the information H of the standardised columns at a point.

        Parameters
        ----------
        point : Point
        H : ndarray of shape (n_coefficients, n_coefficients)
            The information of the mean loss at the point.
        ridge : ndarray of the shape of H, default=None
            A matrix to be added to the information, the curvature of a ridge penalty.

        Raises
        ------
        SingularInformation
            If columns are aliased.
        """
        found, inflation = cls._in_coordinates(point, H, ridge)
        if found is not None and inflation < MOST_INFLATION:
            return found
        width = point.objective.blocks.n_features + point.objective.fit_intercept
        total = H if ridge is None else H + ridge
        if not (total.diagonal() > 0.0).all():
            return cls(point, inverse(total, width))
        aliased = aliased_columns(point.objective).columns
        if len(aliased) and ridge is None:
            raise SingularInformation(aliased)
        combined = point
        for _ in range(0 if len(aliased) else MOST_PASSES):
            following = _with_orthogonal_columns(combined, H)
            if following is None:
                break
            combined, H = following, information(following)
            if _has_dependent_columns(combined, H):
                break
            other, reached = cls._in_coordinates(combined, H, ridge)
            if other is not None and reached < inflation:
                found, inflation = other, reached
            if inflation < MOST_INFLATION:
                break
        return cls(point, inverse(total, width)) if found is None else found

    @classmethod
    def _in_coordinates(
        cls, point: Point, H: Array, ridge: Array | None
    ) -> tuple[InverseInformation | None, float]:
        """Return the inverse for the columns of a point, and its largest variance inflation factor.

        The arguments are those of `at`; `ridge` is that for the standardised columns. The inverse
        is None, and the factor infinite, if the information is singular.
        """
        columns, back = point.objective.standardisation, None
        if isinstance(columns, CombinedColumns):
            width = len(columns.scale) + columns.fit_intercept
            back = np.kron(np.eye(len(H) // width), columns.combinations[:width, :width].T)
        if ridge is not None:
            H = H + (ridge if back is None else back.T @ ridge @ back)
        A, size = scaled_to_unit_diagonal(H)
        V = cholesky_inverse(A, SINGULAR_PIVOT) if (size > 0.0).all() else None
        if V is None:
            return None, np.inf
        found = cls(point, V / np.multiply.outer(size, size), back)
        return found, float(V.diagonal().max(initial=0.0))


def _with_orthogonal_columns(point: Point, H: Array) -> Point | None:
    """Return the point for combinations of its columns that are orthogonal, up to rounding.

    The products of the columns are the sum over the logits of those in the information H, in which
    each row has the weight of its curvature. The combinations have a mean square of 1 under these
    weights. The result is None if the products have no Cholesky factor.
    """
    objective = point.objective
    columns, d = objective.standardisation, objective.blocks.n_features
    # The intercept comes first, so that it stays a column of ones.
    order = np.append([d] if objective.fit_intercept else [], np.arange(d)).astype(np.intp)
    width, own = len(order), np.ix_(order, order)
    G = _products(H, width)[own]
    A, size = scaled_to_unit_diagonal(G)
    L, info = lapack.dpotrf(A, lower=1, clean=1)
    if info != 0:
        L, info = lapack.dpotrf(A + SHIFT * np.eye(width), lower=1, clean=1)
    if info != 0 or not (size > 0.0).all():
        return None
    L = size[:, None] * L
    if objective.fit_intercept:
        L[:, 0] /= L[0, 0]
    combinations, back = np.eye(d + 1), np.eye(d + 1)
    back[own] = L
    combinations[own] = solve_triangular(L, np.eye(width), lower=True)
    if isinstance(columns, CombinedColumns):
        combinations, back = combinations @ columns.combinations, columns.inverse @ back
    columns = CombinedColumns.of_columns(columns, combinations, back)
    objective = objective.with_standardisation(columns)
    coefficients = point.objective.coefficients(point.theta)
    return objective.at(objective.from_coefficients(*coefficients))


def _products(H: Array, width: int) -> Array:
    """Return the sum over the logits of the products of columns in H, (width, width)."""
    return np.asarray(np.einsum("kikj->ij", H.reshape(len(H) // width, width, -1, width)))


def _has_dependent_columns(point: Point, H: Array) -> bool:
    """Return whether a standardised column depends on those before it, up to rounding.

    The columns of the point are orthogonal combinations of the standardised columns, and H is the
    information for them.
    """
    columns = point.objective.standardisation
    assert isinstance(columns, CombinedColumns)
    width = len(columns.scale) + columns.fit_intercept
    back = columns.inverse[:width, :width] * np.sqrt(_products(H, width).diagonal())
    distances, lengths = np.abs(back.diagonal()), np.linalg.norm(back, axis=1)
    return bool((distances <= DEPENDENT_DISTANCE * lengths).any())
