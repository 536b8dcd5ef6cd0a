"""Quadratic models of the loss at a point, from samples of the rows.

R is the number of logits, r that of the free ones, and width = d + 1 the number of columns, of
which the last one belongs to the intercepts.
"""

from __future__ import annotations

import numpy as np

from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._solvers._curvature_moments import curvature_moments
from skmaxent._solvers._hessian_models import (
    HessianModel,
    RowSpaceModel,
    suits_row_space,
)
from skmaxent._solvers._quadratic import (
    DenseModel,
    KroneckerModel,
    Model,
    SeparableModel,
)
from skmaxent._typing import Array

# The Hessian is assembled for up to this many coefficients, of dense and of sparse X.
# Beyond, its Cholesky factor would cost more than the Hessian products that it saves.
DENSE_SIZE = 1500
SPARSE_SIZE = 300
# Where cheaper models fail, it is assembled for up to so many coefficients, and with no more than
# so many multiplications.
LARGE_SIZE, LARGE_HESSIAN_WORK = 3000, 2e10
# The full covariance matrix of the columns is computed for up to this many columns.
FULL_COVARIANCE = 1500
# A Hessian takes a few milliseconds if it has no more multiplications than this.
QUICK_HESSIAN_WORK = 1e7
# Rows in a sample for each coefficient of a Hessian and for each column of a covariance; the least
# number of rows of any sample.
SAMPLED_ROWS_PER_COEFFICIENT = 5
SAMPLED_ROWS_PER_COLUMN = 10
LEAST_SAMPLED_ROWS = 2000
# Rows in a sample from which only the variances of the columns are computed.
SAMPLED_ROWS_FOR_VARIANCES = 20_000
# Curvature added to the coefficients of all features, not to intercepts, relative to the mean
# curvature, so that the matrix has a Cholesky factor.
LEAST_MODEL_CURVATURE = 1e-13
# If the mean curvature is below this, all rows have probabilities near 0 and 1.
VANISHED = 1e-10
# The least curvature of a class, relative to the largest, and the least variance of a standardised
# column, in a Kronecker product. A sample may have too few rows of a class, or nonzero entries of a
# column, to estimate smaller ones.
LEAST_CLASS_CURVATURE = 1e-10
LEAST_COLUMN_VARIANCE = 0.5
# Curvatures are at least this number, so that divisions by them do not overflow.
TINY = 1e-300


def model_at(point: Point, seed: int, *, uses_hessian: bool = False) -> Model:
    """Return the most accurate quadratic model of the loss that the size of the problem allows.

    For small problems it is a `DenseModel`: the Hessian of all rows, or of a sample if there are
    many rows. For others it is a Kronecker product, or with `uses_hessian` a model with the Hessian
    of all rows, which is not assembled: a `RowSpaceModel` if rows are few, else a `HessianModel`.

    Parameters
    ----------
    point : Point
        The loss at the coefficients θ.
    seed : int
        The seed for the sample of rows.
    uses_hessian : bool, default=False
        Whether products with the Hessian of all rows may replace a Kronecker product. With sparse X
        it also raises the largest size for which the Hessian is assembled.
    """
    R, width = point.objective.shape
    # If all rows have the same probabilities, the Hessian is a Kronecker product. An assembled
    # matrix is better nevertheless if it costs little, because minima with a penalty are then
    # exact. With few rows, a lasso has few nonzero coefficients, and the Cholesky factors of their
    # blocks are small.
    objective = point.objective
    rank = objective.blocks.n_samples * objective.likelihood.n_free
    cheap = uses_hessian or not objective.blocks.is_sparse or rank <= SPARSE_SIZE
    limit = DENSE_SIZE if cheap else SPARSE_SIZE
    work = objective.blocks.n_samples * point.theta.size**2
    if uses_hessian and not suits_row_space(objective) and work <= LARGE_HESSIAN_WORK:
        limit = LARGE_SIZE
    is_common = point.probabilities.are_common and not has_cheap_hessian(point)
    if R * width <= limit and not is_common:
        return _dense(point, seed)
    full = width <= FULL_COVARIANCE and not point.objective.blocks.is_sparse
    simple = _kronecker(point, seed, full=full)
    if not uses_hessian:
        return simple
    model = RowSpaceModel if suits_row_space(objective) else HessianModel
    return model(point, simple)


def has_cheap_hessian(point: Point) -> bool:
    """Return whether a Hessian costs so little that each iteration can compute a new one."""
    return bool(point.objective.blocks.n_samples * point.theta.size**2 <= QUICK_HESSIAN_WORK)


def _sample(objective: MultinomialObjective, n_rows: int, seed: int) -> MultinomialObjective:
    """Return the objective over a random sample of rows, or the objective itself.

    The sample has `n_rows` rows, but at least `LEAST_SAMPLED_ROWS`. If there are no more rows than
    that, the result is `objective`.
    """
    n_rows = max(n_rows, LEAST_SAMPLED_ROWS)
    if n_rows >= objective.blocks.n_samples:
        return objective
    return objective.standardised(n_rows, seed=seed)


def _dense(point: Point, seed: int) -> DenseModel:
    """Return the model whose matrix is the Hessian of a sample of rows, or of all rows."""
    objective = point.objective
    R, width = objective.shape
    r, is_coupled = objective.likelihood.n_free, objective.likelihood.is_coupled
    sample = _sample(objective, SAMPLED_ROWS_PER_COEFFICIENT * r * width, seed)
    H = point.fisher_information(None if sample is objective else sample)
    H = all_logits_hessian(H.reshape(r, width, r, width), is_coupled)
    mean = float(np.einsum("kiki->", H)) / (R * width)
    column = np.arange(width - 1)
    # Constant columns have no curvature. With a curvature of 1, their coefficients stay zero.
    added = np.where(objective.varying, LEAST_MODEL_CURVATURE * max(mean, VANISHED), 1.0)
    for k in range(R):
        H[k, column, k, column] += added
    return DenseModel(
        H.reshape(R * width, R * width),
        (R, width),
        is_coupled=is_coupled,
        is_exact=sample is objective,
    )


def all_logits_hessian(H: Array, is_coupled: bool) -> Array:
    """Convert a Hessian from reference coding to the coefficients of all logits.

    Logits are coupled if a softmax of all R of them gives the probabilities; reference coding then
    has the differences of r = R - 1 logits from the last one. H has the shape (r, width, r, width),
    and the result (R, width, R, width). If logits are not coupled (a single logit, or independent
    labels), R = r, and the result is H itself.
    """
    if not is_coupled:
        return H
    # Coefficients δ_k = w_k - w_R in reference coding depend on w by these contrasts: rows and
    # columns of the last class are minus the sums of the others.
    r, width = H.shape[:2]
    out = np.empty((r + 1, width, r + 1, width))
    out[:r, :, :r] = H
    np.negative(H.sum(axis=0), out=out[r, :, :r])
    np.negative(H.sum(axis=2), out=out[:r, :, r])
    np.negative(out[r, :, :r].sum(axis=1), out=out[r, :, r])
    return out


def _kronecker(point: Point, seed: int, *, full: bool) -> Model:
    """Return a model whose Hessian is a Kronecker product, from a sample of rows.

    The factors are the curvature of the classes and, for the columns, a matrix: with `full` their
    covariance matrix (the result is a `KroneckerModel`), else the diagonal matrix of their
    variances (a `SeparableModel`). `seed` is the seed for the sample.
    """
    objective = point.objective
    width = objective.shape[1]
    n_rows = SAMPLED_ROWS_PER_COLUMN * width if full else SAMPLED_ROWS_FOR_VARIANCES
    sample = _sample(objective, n_rows, seed)
    curvature, shares, covariance, total = curvature_moments(point, sample, full=full)
    alpha = np.maximum(curvature, max(LEAST_CLASS_CURVATURE * float(curvature.max()), TINY))
    alpha, share = objective.likelihood.simplex_curvature(alpha, shares)
    covariance = covariance / max(total, TINY)
    diagonal = covariance.diagonal() if full else covariance
    diagonal = np.where(objective.varying, np.maximum(diagonal, LEAST_COLUMN_VARIANCE), 1.0)
    constant = 1.0 if objective.fit_intercept else 0.0
    if not full:
        return SeparableModel(alpha, share, np.append(diagonal, constant))
    whole = np.zeros((width, width))
    whole[:-1, :-1] = covariance
    whole.flat[:: width + 1] = np.append(diagonal, constant)
    return KroneckerModel(alpha, share, whole)
