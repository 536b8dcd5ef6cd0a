"""Newton's step, and the distance to the optimum, where the columns are made orthogonal.

The distance to the optimum is the length of a Newton step. If columns of X are nearly collinear,
the smallest eigenvalues of the Hessian are below its rounding errors. A Newton step that is
computed from the Cholesky factor of the Hessian is then arbitrary along their eigenvectors.

Let B have the rows of X multiplied by the roots of their curvatures. The Hessian is similar to BᵀB,
whose condition number is the square of that of B. This module therefore never computes BᵀB. It
computes a QR decomposition of B, changes to coordinates in which the columns of B are orthonormal,
and computes the Newton step there. This step is accurate for columns that agree in up to about
twice as many digits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import lapack, qr, solve_triangular

from skmaxent._objective._objective import MultinomialObjective
from skmaxent._solvers._precise_rows import loss_derivatives, loss_of_rows
from skmaxent._solvers._solution import root_size
from skmaxent._storage._standardisation import Standardisation
from skmaxent._typing import Array

# A column is treated as a linear combination of others if its distance from their span is below
# this share of its length. Rounding of X leaves fewer than three correct digits of such a distance.
LEAST_DISTANCE = 1e-13
# Newton steps leave out columns that `fit` names as linear combinations of others.
LEAST_STEP_DISTANCE = 1e-11


def orthogonal_distance(objective: MultinomialObjective, coef: Array, intercept: Array) -> float:
    """Return the length of the Newton step, in standard errors, or NaN if it cannot be computed.

    Parameters
    ----------
    objective : MultinomialObjective
        The problem must be small, because all rows are standardised in memory at once.
    coef : ndarray of shape (R, d)
    intercept : ndarray of shape (R,)
        Coefficients and intercepts of the columns of X, for R logits and d features.
    """
    rows = objective.blocks.whole()
    Z = coef @ rows.dense().astype(np.float64).T + intercept[:, None]
    Z += 0.0 if rows.offset is None else rows.offset.T.astype(np.float64)
    theta = np.column_stack([coef * objective.scale, np.zeros(len(coef))])
    found = orthogonal_newton_step(
        objective,
        objective.standardisation,
        theta,
        objective.penalty.strength,
        Z,
        least_distance=LEAST_DISTANCE,
    )
    return np.nan if found is None else found.distance


class OrthogonalStep(NamedTuple):
    """A Newton step: H⁻¹ g of shape (R, d + 1), √(gᵀ H⁻¹ g), and the latter in standard errors."""

    direction: Array
    norm: float
    distance: float


def orthogonal_newton_step(
    objective: MultinomialObjective,
    columns: Standardisation,
    theta: Array,
    strength: Array,
    Z: Array | None = None,
    *,
    least_distance: float = LEAST_STEP_DISTANCE,
) -> OrthogonalStep | None:
    """Return the Newton step from θ, or None if it cannot be computed.

    Parameters
    ----------
    objective : MultinomialObjective
        The problem must be small, because all rows are standardised in memory at once.
    columns : Standardisation
        The centres and scales of the columns to which θ belongs.
    theta : ndarray of shape (R, d + 1)
    strength : ndarray of shape (d,)
        The strengths of the ridge for θ.
    Z : ndarray of shape (R, n), optional
        The logits of the n rows; the default is to compute them from θ.
    least_distance : float, default=LEAST_STEP_DISTANCE
        Columns are left out that are nearer than this to the span of others, as a share of their
        length.
    """
    likelihood = objective.likelihood
    rows = objective.blocks.whole()
    weights = rows.weights_or_ones().astype(np.float64) / objective.total_weight
    targets = likelihood.dense_targets(rows.targets)
    kept = columns.is_free
    standardised = columns.rows(rows)
    if Z is None:
        standardised[:-1] *= columns.varying[:, None]
        Z = theta @ standardised
        Z += 0.0 if rows.offset is None else rows.offset.T.astype(np.float64)
    # C is 1 - P without cancellation.
    P, C, losses = loss_of_rows(likelihood, Z, targets)

    X = standardised[kept].T
    # Rows are weighted by the root of the trace of their curvature; the rows that stand for the
    # ridge are below them.
    root_ridge = np.append(np.sqrt(strength), 0.0)
    curvature = np.sqrt(np.einsum("km,km->m", P, C) * weights)
    stacked = np.vstack([curvature[:, None] * X, np.diag(root_ridge)[kept][:, kept]])
    size = np.sqrt(np.square(stacked).sum(axis=0))
    if not (np.isfinite(stacked).all() and size.all() and len(size)):
        return None
    Q, R, order = qr(stacked / size, mode="economic", pivoting=True)
    rank = int(np.count_nonzero(np.abs(R.diagonal()) > least_distance))
    # `orthogonal` (rank, rows) are combinations of the columns of X, such that the weighted rows
    # together with `ridge_rows` have orthonormal columns.
    R = R[:rank, :rank]
    orthogonal = solve_triangular(R, (X / size)[:, order[:rank]].T, trans="T")
    ridge_rows = Q[len(X) :, :rank]

    _, _, gradient, H, *_ = loss_derivatives(likelihood, orthogonal, targets, weights, Z)
    gradient = gradient + (theta * root_ridge)[:, kept] @ ridge_rows
    r = likelihood.n_free
    contrasts = np.eye(len(theta), r) - (1.0 / len(theta) if likelihood.is_coupled else 0.0)
    H = H + contrasts[:r, None, :, None] * (ridge_rows.T @ ridge_rows)[None, :, None, :]
    L, info = lapack.dpotrf(H.reshape(r * rank, r * rank), lower=True)
    if info != 0 or not np.isfinite(gradient).all():
        return None
    step, _ = lapack.dpotrs(L, gradient[:r].ravel(), lower=True)
    norm = float(np.sqrt(max(float(gradient[:r].ravel() @ step), 0.0)))
    direction, free = np.zeros_like(theta), np.flatnonzero(kept)[order[:rank]]
    among = solve_triangular(R, step.reshape(r, rank).T).T / size[order[:rank]]
    direction[:, free] = contrasts @ among
    value = float(losses @ weights) + 0.5 * float(np.square(theta * root_ridge).sum())
    root_n = root_size(objective.blocks.effective_size, value)
    return OrthogonalStep(direction, norm, float(root_n * norm))
