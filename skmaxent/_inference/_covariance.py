"""Covariances of coefficients: inverse information, sums of squared scores, Wald's statistic.

Conventions: r is the number of free logits, and `width` the number of coefficients of a logit, the
intercept included. Coefficients θ belong to standardised columns, in reference coding: (r, width),
the coefficients of each class but the last minus those of the last class, or those of a single
logit; the intercepts are the last column. As a vector, θ has the length n_coefficients = r * width,
logit by logit. Scores are the gradients of the loss of each row with respect to this vector.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import qr

from skmaxent._effects._covariance_root import (
    SINGULAR_COVARIANCE,
    Covariance,
    scaled_to_unit_diagonal,
)
from skmaxent._effects._delta_method import unstandardising_map
from skmaxent._leverage._inverse_hessian import cholesky_inverse
from skmaxent._leverage._reference_coding import information
from skmaxent._objective._kernel_context import KernelContext
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._storage._arrays import full
from skmaxent._storage._row_targets import are_codes
from skmaxent._storage._thin_svd import thin_svd
from skmaxent._typing import Array

# Most bytes of a covariance matrix together with the arrays that it is computed from.
MOST_COVARIANCE_BYTES = 1 << 32
# If the variance of a column is below this share of its mean square, the information is computed
# for the centred column. With a share s, sandwich covariances, in which the inverse information is
# a factor twice, lose the factor 1/s² of their digits.
LEAST_VARIANCE_SHARE = 0.5
# An information matrix with unit diagonal and a pivot of no more than this is singular.
SINGULAR_PIVOT = 1e-11
# A root whose rows have unit length has singular values of zero where they are below this share of
# the largest.
SINGULAR_ROOT = 1e-12


class SingularInformation(ValueError):
    """Error of an information matrix whose `columns` are linear combinations of others.

    These are positions among the columns of X and, last, the intercept.
    """

    def __init__(self, columns: Array) -> None:
        super().__init__(f"columns {columns.tolist()} are combinations of others")
        self.columns = columns


@dataclass(frozen=True)
class Coding:
    """The linear map from θ to reported coefficients, `classes @ θ @ columns.T`, (n_rows, width).

    `classes`, (n_rows, r), maps free logits to the reported classes, as `Reference.contrasts` does.
    `columns`, (width, width), maps standardised columns to those of X, as `column_map` does.
    """

    classes: Array
    columns: Array

    @property
    def matrix(self) -> Array:
        """The map between vectors, (n_rows * width, n_coefficients)."""
        return np.kron(self.classes, self.columns)

    def coefficients(self, theta: Array) -> Array:
        """Return the reported coefficients, (n_rows, width), for θ of shape (r, width)."""
        return np.asarray(self.classes @ theta @ self.columns.T)

    def covariance(self, V: Covariance) -> Covariance:
        """Return the covariance of the reported coefficients if θ has the covariance V."""
        return V.mapped(self.matrix)


def column_map(objective: MultinomialObjective) -> Array:
    """Return the matrix, (width, width), from coefficients of standardised columns to X's."""
    return unstandardising_map(objective.center, objective.scale, objective.fit_intercept)


def check_size(r: int, width: int) -> None:
    """Raise MemoryError if a covariance would need more than `MOST_COVARIANCE_BYTES`."""
    # About four matrices of this size are in memory at a time, in float64.
    needed = 4 * 8 * (r * width) ** 2
    if needed > MOST_COVARIANCE_BYTES:
        raise MemoryError(
            f"the covariance of {r * width} coefficients needs {needed:,} bytes, more than the "
            f"{MOST_COVARIANCE_BYTES:,} of the limit "
            "(skmaxent._inference._covariance.MOST_COVARIANCE_BYTES); give features= the names of "
            "some features."
        )


def centred_information(point: Point) -> tuple[Point, Array]:
    """Return a point with the same coefficients for columns that are centred, and its information.

    Means are weighted by the curvature of each row, Σ_k p_k (1 - p_k), on which the information
    depends. They may be far from the unweighted means if there are outliers whose class is nearly
    certain. Without centring, such a column is then nearly a multiple of the intercept's, and the
    information nearly singular. The point stays as it is if no column needs centring, or if there
    is no intercept. The information has the shape (n_coefficients, n_coefficients).
    """
    objective = point.objective
    H = information(point)
    if not objective.fit_intercept:
        return point, H
    width = objective.blocks.n_features + 1
    r = len(H) // width
    blocks = H.reshape(r, width, r, width)
    sums = np.einsum("kjk->j", blocks[:, :, :, -1])
    squares = np.einsum("kjkj->j", blocks)
    if not (np.isfinite(squares).all() and sums[-1] > 0.0):
        return point, H
    mean = sums[:-1] / sums[-1]
    if not (mean**2 > (1.0 - LEAST_VARIANCE_SHARE) * squares[:-1] / sums[-1]).any():
        return point, H
    columns = objective.standardisation
    objective = objective.with_standardisation(
        replace(columns, center=columns.center + mean * columns.scale)
    )
    point = objective.at(objective.from_coefficients(*point.objective.coefficients(point.theta)))
    return point, information(point)


def inverse(H: Array, width: int) -> Array:
    """Return the inverse of an information matrix H, (n_coefficients, n_coefficients).

    Raises SingularInformation if columns are collinear. `width` is the number of columns of each
    logit, by which the error finds them.
    """
    A, size = scaled_to_unit_diagonal(H)
    if not (size > 0.0).all():
        raise SingularInformation(np.unique(np.flatnonzero(size == 0.0) % width))
    V = cholesky_inverse(A, SINGULAR_PIVOT)
    if V is None:
        # Pivoting moves the columns that depend on others to the end.
        _, R, order = qr(A, mode="economic", pivoting=True)
        small = np.abs(R.diagonal()) < 1e-9 * np.abs(R[0, 0])
        columns = order[small] if small.any() else order[-1:]
        raise SingularInformation(np.unique(columns % width))
    return np.asarray(V / np.multiply.outer(size, size))


def complement(vector: Array) -> Array:
    """Return n - 1 orthonormal rows, (n - 1, n), all orthogonal to a vector of length n."""
    Q, _ = qr(vector[:, None])
    return np.asarray(Q[:, 1:].T)


class DeficientCovariance(ValueError):
    """Error of a Wald test of more restrictions than the rank of their covariance."""

    def __init__(self, rank: int, n_restrictions: int) -> None:
        super().__init__(f"a rank of {rank} does not test {n_restrictions} restrictions")
        self.rank = rank


def wald(x: Array, V: Covariance, largest_rank: int | None = None) -> float:
    """Return Wald's statistic xᵀ V⁻¹ x of estimates x, (n,), with the covariance V, (n, n).

    Raises DeficientCovariance if V is singular. `largest_rank` is a bound on the rank of V, which
    rounding may hide: a covariance from the scores of m clusters has a rank of m - 1 at most,
    because the scores sum to zero at the optimum.
    """
    scaled, size = scaled_to_unit_diagonal(V.matrix)
    size = np.where(size > 0.0, size, 1.0)
    if V.root is None:
        values = np.linalg.eigvalsh(scaled)
        is_positive = values > SINGULAR_COVARIANCE * len(x) * max(float(values[-1]), 0.0)
    else:
        vectors, values, _ = thin_svd(V.root / size[:, None])
        is_positive = values > SINGULAR_ROOT * values[0]
    rank = int(is_positive.sum())
    rank = rank if largest_rank is None else min(rank, largest_rank)
    if rank < len(x):
        raise DeficientCovariance(rank, len(x))
    if V.root is None:
        return float(x @ np.linalg.solve(V.matrix, x))
    return float(np.square(vectors.T @ (x / size) / values).sum())


def score_products(point: Point, groups: Array | None, weight_power: int) -> Array:
    """Return Σ_g u_g u_gᵀ, (n_coefficients, n_coefficients).

    u_g is the sum of the weighted scores of a group, and `groups`, (n_samples,), has the group of
    each row. If it is None, each row is a group, and `weight_power` is the power of its weight in
    the sum: 2 if the weight multiplies the score, 1 if it is the number of equal rows.
    """
    if groups is None:
        (total,) = point.map_reduce(_score_products, weight_power)
        return np.asarray(total)
    sums = group_scores(point, groups, int(groups.max()) + 1)
    return np.asarray(sums.T @ sums)


def group_scores(point: Point, groups: Array, n_groups: int) -> Array:
    """Return the sums of the weighted scores of groups of rows, (n_groups, n_coefficients).

    `groups`, (n_samples,), has the code of the group of each row, from 0 to n_groups - 1.
    """
    (sums,) = point.map_reduce(_group_scores, groups, n_groups)
    return np.asarray(sums)


def _scores(context: KernelContext) -> Array:
    """Return the scores of the rows of a block without their weights, (n_rows, n_coefficients)."""
    residual = context.residuals
    residual = residual[: max(1, len(residual) - 1)]
    X = context.rows if context.model.standardisation.fit_intercept else context.rows[:-1]
    return (residual[:, None, :] * X).reshape(-1, residual.shape[1]).T


def _score_products(context: KernelContext, power: int) -> tuple[Array]:
    """Return the sum of u uᵀ over the rows of a block, for `score_products` without groups."""
    targets, likelihood = context.block.targets, context.likelihood
    weights = np.power(context.weights.astype(float), 0.5 * power)
    if power == 2 or are_codes(targets):
        U = _scores(context) * weights[:, None]
        return (U.T @ U,)
    # A row of a table stands for several observations of different classes, each with a score of
    # its own.
    shares = likelihood.outcomes(likelihood.dense_targets(targets))
    total = np.zeros(())
    for k, share in enumerate(shares):
        one = context.with_targets(full((len(weights),), k, np.intp, weights))
        U = _scores(one) * (weights * np.sqrt(share))[:, None]
        total = total + U.T @ U
    return (total,)


def _group_scores(context: KernelContext, groups: Array, n_groups: int) -> tuple[Array]:
    """Return the sums of weighted scores of a block by group, (n_groups, n_coefficients)."""
    block, U = context.block, _scores(context)
    if block.weights is not None:
        U *= block.weights.astype(float)[:, None]
    sums = np.zeros((n_groups, U.shape[1]))
    np.add.at(sums, groups[block.start : block.stop], U)
    return (sums,)
