"""The distance to the optimum in coordinates in which the columns are orthogonal.

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

import numpy as np
from scipy.linalg import lapack, qr, solve_triangular

from skmaxent._objective._objective import MultinomialObjective
from skmaxent._solvers._precise_rows import loss_derivatives, loss_of_rows
from skmaxent._solvers._solution import root_size
from skmaxent._typing import Array

# A column is treated as a linear combination of others if its distance from their span is below
# this share of its length. Rounding of X leaves fewer than three correct digits of such a distance.
LEAST_DISTANCE = 1e-13


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
    likelihood = objective.likelihood
    rows = objective.blocks.whole()
    weights = rows.weights_or_ones().astype(np.float64) / objective.total_weight
    targets = likelihood.dense_targets(rows.targets)
    Z = coef @ rows.dense().astype(np.float64).T + intercept[:, None]
    Z += 0.0 if rows.offset is None else rows.offset.T.astype(np.float64)
    # C is 1 - P without cancellation.
    P, C, losses = loss_of_rows(likelihood, Z, targets)

    kept = objective.standardisation.is_free
    X = objective.standardisation.rows(rows)[kept].T
    # Rows are weighted by the root of the trace of their curvature; the rows that stand for the
    # ridge are below them.
    root_ridge = np.append(np.sqrt(objective.penalty.strength), 0.0)
    curvature = np.sqrt(np.einsum("km,km->m", P, C) * weights)
    stacked = np.vstack([curvature[:, None] * X, np.diag(root_ridge)[kept][:, kept]])
    size = np.sqrt(np.square(stacked).sum(axis=0))
    if not (np.isfinite(stacked).all() and size.all() and len(size)):
        return np.nan
    Q, R, order = qr(stacked / size, mode="economic", pivoting=True)
    rank = int(np.count_nonzero(np.abs(R.diagonal()) > LEAST_DISTANCE))
    # `columns` (rank, rows) are combinations of the columns of X, such that the weighted rows
    # together with `ridge_rows` have orthonormal columns.
    columns = solve_triangular(R[:rank, :rank], (X / size)[:, order[:rank]].T, trans="T")
    ridge_rows = Q[len(X) :, :rank]

    _, _, gradient, H, *_ = loss_derivatives(likelihood, columns, targets, weights, Z)
    theta = np.column_stack([coef * objective.scale, np.zeros(len(coef))])
    gradient = gradient + (theta * root_ridge)[:, kept] @ ridge_rows
    r = likelihood.n_free
    contrasts = np.eye(r) - (1.0 / len(coef) if likelihood.is_coupled else 0.0)
    H = H + contrasts[:, None, :, None] * (ridge_rows.T @ ridge_rows)[None, :, None, :]
    L, info = lapack.dpotrf(H.reshape(r * rank, r * rank), lower=True)
    if info != 0 or not np.isfinite(gradient).all():
        return np.nan
    step, _ = lapack.dpotrs(L, gradient[:r].ravel(), lower=True)
    value = float(losses @ weights) + 0.5 * float(np.square(theta * root_ridge).sum())
    decrement = np.sqrt(max(float(gradient[:r].ravel() @ step), 0.0))
    return float(root_size(objective.blocks.effective_size, value) * decrement)
