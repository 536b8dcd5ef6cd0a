"""Covariances of coefficients, and what follows from them, on plain arrays.

Coefficients are θ of standardised columns in reference coding: those of r classes against the last,
class-major, the intercept last in each; r = 1 for a single logit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack, qr

from skmaxent._effects._delta_method import columns_of
from skmaxent._leverage._reference_coding import information
from skmaxent._objective._kernel_context import KernelContext
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._storage._arrays import full
from skmaxent._storage._row_targets import are_codes
from skmaxent._typing import Array

# Bytes that the covariance and what it is made from may take.
MOST_COVARIANCE_BYTES = 1 << 32
# Share of a column's mean square around its mean, in the rows that H depends on, below which H is
# computed around that mean.
MOST_COMMON = 1e-2
# Eigenvalue relative to the largest, per row, below which a matrix with unit diagonal is singular.
SINGULAR_COVARIANCE = 1e-14


class SingularInformation(ValueError):
    """The columns (positions) of a matrix that are combinations of the others."""

    def __init__(self, columns: Array) -> None:
        super().__init__(f"columns {columns.tolist()} are combinations of others")
        self.columns = columns


@dataclass(frozen=True)
class Coding:
    """Maps from θ against the last class to coefficients as they are reported.

    `classes` is (rows, r), `columns` (width, width): a row of coefficients is
    `classes @ θ @ columns.T`, and covariances follow.
    """

    classes: Array
    columns: Array

    @property
    def matrix(self) -> Array:
        """The matrix from θ, as a vector, to the reported coefficients."""
        return np.kron(self.classes, self.columns)

    def coefficients(self, theta: Array) -> Array:
        """Return the reported coefficients (rows, width) for θ (r, width)."""
        return np.asarray(self.classes @ theta @ self.columns.T)

    def covariance(self, V: Array) -> Array:
        """Return the covariance of the reported coefficients for that of θ."""
        L = self.matrix
        return np.asarray(L @ V @ L.T)


def column_map(objective: MultinomialObjective) -> Array:
    """Return the matrix from standardised coefficients to those of X, intercept included."""
    return columns_of(objective.center, objective.scale, objective.fit_intercept)


def check_size(r: int, width: int) -> None:
    """Raises MemoryError where a covariance would take too much."""
    needed = 4 * 8 * (r * width) ** 2
    if needed > MOST_COVARIANCE_BYTES:
        raise MemoryError(
            f"the covariance of {r * width} coefficients needs {needed:,} bytes, more than the "
            f"{MOST_COVARIANCE_BYTES:,} of the limit "
            "(skmaxent._inference._covariance.MOST_COVARIANCE_BYTES); give features= the names of "
            "some features."
        )


def centred_information(point: Point) -> tuple[Point, Array]:
    """The same coefficients for columns centred in the rows that H depends on, and `information`.

    With outliers whose class is all but certain these are far from the means of all rows, in which
    the columns are all but a combination of the intercept. Means are weighted by the curvature of
    each row, Σ_k p_k (1 - p_k).
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
    if not (mean**2 > (1.0 - MOST_COMMON) * squares[:-1] / sums[-1]).any():
        return point, H
    objective = objective.centred_at(objective.center + mean * objective.scale)
    point = objective.at(objective.from_coefficients(*point.objective.coefficients(point.theta)))
    return point, information(point)


def inverse(H: Array, width: int) -> Array:
    """Return H⁻¹; raise SingularInformation if columns are collinear."""
    size = np.sqrt(np.maximum(H.diagonal(), 0.0))
    if not (size > 0.0).all():
        raise SingularInformation(np.unique(np.flatnonzero(size == 0.0) % width))
    A = H / np.multiply.outer(size, size)
    L, info = lapack.dpotrf(A, lower=1)
    pivots = np.square(L.diagonal())
    if info != 0 or pivots.min() < 1e-11:
        _, R, order = qr(A, mode="economic", pivoting=True)
        small = np.abs(R.diagonal()) < 1e-9 * np.abs(R[0, 0])
        columns = order[small] if small.any() else order[-1:]
        raise SingularInformation(np.unique(columns % width))
    V, _ = lapack.dpotri(L, lower=1)
    V += V.T  # above the diagonal there were zeros
    V.flat[:: len(V) + 1] *= 0.5
    return np.asarray(V / np.multiply.outer(size, size))


def complement(vector: Array) -> Array:
    """Return orthonormal rows, (n - 1, n), that are orthogonal to a vector of length n."""
    Q, _ = qr(vector[:, None])
    return np.asarray(Q[:, 1:].T)


class DeficientCovariance(ValueError):
    """A covariance whose rank is below the number of restrictions that it is to test."""

    def __init__(self, rank: int, n_restrictions: int) -> None:
        super().__init__(f"a rank of {rank} does not test {n_restrictions} restrictions")
        self.rank = rank


def wald(x: Array, V: Array, largest_rank: int | None = None) -> float:
    """Return Wald's statistic xᵀ V⁻¹ x.

    A sum of outer products of scores of n units, which sum to zero at an optimum, has a rank of
    n - 1 at most, the `largest_rank`, though rounding may hide it.

    Raises
    ------
    DeficientCovariance
        Where V is singular.
    """
    size = np.sqrt(np.maximum(V.diagonal(), 0.0))
    scaled = V / np.multiply.outer(*2 * (np.where(size > 0.0, size, 1.0),))
    values = np.linalg.eigvalsh(scaled)
    rank = int((values > SINGULAR_COVARIANCE * len(x) * max(float(values[-1]), 0.0)).sum())
    rank = rank if largest_rank is None else min(rank, largest_rank)
    if rank < len(x):
        raise DeficientCovariance(rank, len(x))
    return float(x @ np.linalg.solve(V, x))


def score_products(point: Point, groups: Array | None, weight_power: int) -> Array:
    """Return Σ u_g u_gᵀ with u_g the sum of the weighted scores of a group, or of a row.

    `weight_power` is 2 where a weight multiplies a row's score, 1 where it counts equal rows.
    """
    if groups is None:
        (total,) = point.map_reduce(_score_products, weight_power)
        return np.asarray(total)
    sums = group_scores(point, groups, int(groups.max()) + 1)
    return np.asarray(sums.T @ sums)


def group_scores(point: Point, groups: Array, n_groups: int) -> Array:
    """Return the sums of the weighted scores of groups of rows, (n_groups, n_coefficients).

    `groups` are the codes of the groups of the rows, (n_samples,).
    """
    (sums,) = point.map_reduce(_group_scores, groups, n_groups)
    return np.asarray(sums)


def _scores(context: KernelContext) -> Array:
    """Return the scores of the rows without their weights, (rows, r · width)."""
    residual = context.residuals
    residual = residual[: max(1, len(residual) - 1)]
    X = context.rows if context.model.standardisation.fit_intercept else context.rows[:-1]
    return (residual[:, None, :] * X).reshape(-1, residual.shape[1]).T


def _score_products(context: KernelContext, power: int) -> tuple[Array]:
    """Return the sum of products of the scores of the rows of a block: see `score_products`."""
    targets, likelihood = context.block.targets, context.likelihood
    weights = np.power(context.weights.astype(float), 0.5 * power)
    if power == 2 or are_codes(targets):
        U = _scores(context) * weights[:, None]
        return (U.T @ U,)
    # A row stands for several observations: so many of each class.
    shares = likelihood.outcomes(likelihood.dense_targets(targets))
    total = np.zeros(())
    for k, share in enumerate(shares):
        one = context.with_targets(full((len(weights),), k, np.intp, weights))
        U = _scores(one) * (weights * np.sqrt(share))[:, None]
        total = total + U.T @ U
    return (total,)


def _group_scores(context: KernelContext, groups: Array, n_groups: int) -> tuple[Array]:
    """Return the sums of the weighted scores of each group of rows, (n_groups, r · width)."""
    block, U = context.block, _scores(context)
    if block.weights is not None:
        U *= block.weights.astype(float)[:, None]
    out = np.zeros((n_groups, U.shape[1]))
    np.add.at(out, groups[block.start : block.stop], U)
    return (out,)
