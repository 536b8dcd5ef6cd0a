"""Orthogonal combinations of nearly collinear columns, as coordinates of a search for a maximum.

A column at a relative distance δ from the span of others leaves a curvature of δ² to the difference
between them, which is a rounding error of the information if δ is below about 1e-7, and less than
what keeps Newton steps finite if δ is below about 1e-6. The information for combinations of the
columns that are orthogonal has no such small eigenvalues.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_triangular

from skmaxent._existence import DEPENDENT_DISTANCE, MOST_COLUMNS, are_apart, qr_factor
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._storage._combined_columns import CombinedColumns
from skmaxent._typing import Array


def over_orthogonal_columns(objective: MultinomialObjective) -> MultinomialObjective:
    """Return the objective as a function of the coefficients of orthogonal columns.

    It is the given objective if no column is nearly collinear, if there are more than
    `MOST_COLUMNS` columns, and if a column is a combination of others up to rounding. Otherwise its
    standardisation is `CombinedColumns`.
    """
    columns = objective.computed_once(_orthogonal_columns)
    return objective if columns is None else objective.with_standardisation(columns)


def at_orthogonal_columns(point: Point) -> Point:
    """Return a point as one of the objective that `over_orthogonal_columns` returns."""
    objective = over_orthogonal_columns(point.objective)
    if objective is point.objective:
        return point
    columns = objective.standardisation
    assert isinstance(columns, CombinedColumns)
    return objective.at(np.asfortranarray(point.theta @ columns.inverse))


def _orthogonal_columns(objective: MultinomialObjective) -> CombinedColumns | None:
    """Return orthogonal combinations of the columns, or None; see `over_orthogonal_columns`."""
    d, columns = objective.blocks.n_features, objective.standardisation
    if isinstance(columns, CombinedColumns) or d > MOST_COLUMNS or are_apart(objective):
        return None
    # The intercept comes first, so that it stays a column of ones. Constant columns stay out of the
    # combinations, because their coefficients do not count.
    kept = np.flatnonzero(columns.is_free[:-1])
    order = np.append([d] if objective.fit_intercept else [], kept).astype(np.intp)
    if not len(order):  # all columns are constant
        return None
    n, own = len(order), np.ix_(order, order)
    R = np.asarray(np.linalg.qr(qr_factor(objective)[:, order], mode="r"))
    if len(R) < n or not _are_independent(R):
        return None
    # The combinations have a mean square of 1.
    L = R.T * np.sign(R.diagonal()) / np.sqrt(objective.blocks.weight_sums.n_positive)
    if objective.fit_intercept:
        L[:, 0] /= L[0, 0]
    combinations, back = np.eye(d + 1), np.eye(d + 1)
    back[own] = L
    combinations[own] = solve_triangular(L, np.eye(n), lower=True)
    return CombinedColumns.of_columns(columns, combinations, back)


def _are_independent(R: Array) -> bool:
    """Return whether no column of a triangular matrix depends on those before it up to rounding."""
    distances, lengths = np.abs(R.diagonal()), np.linalg.norm(R, axis=0)
    return bool((distances > DEPENDENT_DISTANCE * lengths).all())
