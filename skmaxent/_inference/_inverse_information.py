"""The inverse Fisher information, in coordinates of orthogonal columns if columns are collinear.

Sums of products of columns at a relative distance δ from the span of others have a relative error
of 1e-16/δ². A QR factorisation X = Q R of the rows has an error of 1e-16/δ. If columns are nearly
collinear, information and scores are therefore computed for the columns of Q, and the covariance of
their coefficients is mapped to those of X by a root; see `Covariance`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from skmaxent._effects._covariance_root import Covariance, root_of, scaled_to_unit_diagonal
from skmaxent._existence import DEPENDENT_DISTANCE, aliased_columns, qr_factor
from skmaxent._inference._covariance import SINGULAR_PIVOT, SingularInformation, inverse
from skmaxent._leverage._inverse_hessian import cholesky_inverse
from skmaxent._leverage._reference_coding import information
from skmaxent._objective._objective import Point
from skmaxent._storage._combined_columns import CombinedColumns
from skmaxent._typing import Array

# Columns are orthogonalised if a variance inflation factor, 1/δ², is above this. The relative error
# of a sandwich from sums of products may be the machine epsilon times the square of the factor.
MOST_INFLATION = 1e6


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
        width = point.objective.blocks.n_features + point.objective.fit_intercept
        total = H if ridge is None else H + ridge
        A, size = scaled_to_unit_diagonal(total)
        V = cholesky_inverse(A, SINGULAR_PIVOT) if (size > 0.0).all() else None
        if V is not None and V.diagonal().max(initial=0.0) < MOST_INFLATION:
            return cls(point, V / np.multiply.outer(size, size))
        if not (size > 0.0).all():
            return cls(point, inverse(total, width))
        orthogonal = _at_orthogonal_columns(point, is_penalised=ridge is not None)
        if orthogonal is None:
            return cls(point, inverse(total, width))
        columns = orthogonal.objective.standardisation
        assert isinstance(columns, CombinedColumns)
        back = np.kron(np.eye(len(H) // width), columns.combinations[:width, :width].T)
        H = information(orthogonal)
        try:
            V = inverse(H if ridge is None else H + back.T @ ridge @ back, width)
        except SingularInformation:  # its columns are not those of X
            return cls(point, inverse(total, width))
        return cls(orthogonal, V, back)


def _at_orthogonal_columns(point: Point, *, is_penalised: bool) -> Point | None:
    """Return the point for combinations of the columns that are orthogonal over the rows.

    The combinations have a mean square of 1. The result is None if columns are dependent up to
    rounding. SingularInformation is raised if columns are aliased, unless `is_penalised`.
    """
    objective = point.objective
    blocks, d = objective.blocks, objective.blocks.n_features
    aliased = aliased_columns(objective).columns
    if len(aliased):
        if is_penalised:
            return None
        raise SingularInformation(aliased)
    # The intercept comes first, so that it stays a column of ones.
    order = np.append([d] if objective.fit_intercept else [], np.arange(d)).astype(np.intp)
    R = np.asarray(np.linalg.qr(objective.computed_once(qr_factor)[:, order], mode="r"))
    # With many columns, `aliased_columns` checks none.
    if len(R) < len(order) or _has_dependent_columns(R):
        return None
    R *= np.sign(R.diagonal())[:, None] / np.sqrt(float(blocks.weight_sums.n_positive))
    combinations, back = np.eye(d + 1), np.eye(d + 1)
    own = np.ix_(order, order)
    back[own] = R.T
    combinations[own] = solve_triangular(R, np.eye(len(order)), trans="T")
    combinations[-1] = back[-1] = np.eye(d + 1)[-1]
    columns = CombinedColumns.of_columns(objective.standardisation, combinations, back)
    objective = objective.with_standardisation(columns)
    coefficients = point.objective.coefficients(point.theta)
    return objective.at(objective.from_coefficients(*coefficients))


def _has_dependent_columns(R: Array) -> bool:
    """Return whether a column of a triangular matrix depends on the columns before it."""
    distances, lengths = np.abs(R.diagonal()), np.linalg.norm(R, axis=0)
    return bool((distances <= DEPENDENT_DISTANCE * lengths).any())
