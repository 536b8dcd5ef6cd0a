"""The model without features, and features of which a combination acts as an intercept."""

from __future__ import annotations

import numpy as np

from skmaxent._inference import _covariance
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._solvers import Options, Problem, minimise
from skmaxent._storage._block import Block
from skmaxent._storage._standardisation import Standardisation
from skmaxent._typing import Array, KernelResult

# A combination of columns counts as 1 in all rows if no row differs from 1 by more than this.
CONSTANT = 1e-6


def loss_of_offsets(training: TrainingProblem) -> float:
    """Return the mean loss if the logits are the offsets alone, or zero without offsets."""
    objective = training.problem.objective
    if not objective.blocks.has_offset:
        return float(np.log(len(training.classes)))
    return float(objective.at(objective.zeros()).loss)


def null_loss(training: TrainingProblem) -> float:
    """Return the smallest mean loss of a model with intercepts and the offsets alone.

    The model has intercepts even if the training problem has none.
    """
    problem, blocks = training.problem, training.blocks
    if not problem.objective.fit_intercept:
        model = training.data.likelihood
        problem = Problem.of(blocks, model, moments=training.moments, fit_intercept=True)
    if not blocks.has_offset:
        return float(problem.null.loss)
    all_features = np.ones((1, blocks.n_features), bool)
    return float(minimise(problem.without_penalty(all_features), Options(tol=1e-6)).point.loss)


def constant_combination(training: TrainingProblem) -> Array | None:
    """Return coefficients, (n_features,), of a combination of the columns that is 1 in all rows.

    Rows of weight zero do not count. If there is such a combination, as with dummy variables for
    all levels of a factor, a model without intercepts is equivalent to one with intercepts. The
    result is None if there is no such combination, or if there are too many columns to look for it.
    """
    objective, moments = training.problem.objective, training.moments
    d = objective.blocks.n_features
    constant = np.flatnonzero(moments.is_constant & (moments.mean_square > 0.0))
    if len(constant):  # one constant column is such a combination
        return np.eye(1, d, constant[0])[0] / moments.mean[constant[0]]
    if 16 * d**2 > _covariance.MOST_COVARIANCE_BYTES:
        return None
    scale = objective.scale
    columns = Standardisation.of(d, scale=scale)
    (products,) = objective.blocks.map_reduce(_products, columns)
    # Least squares of a column of ones on the columns of X.
    v, *_ = np.linalg.lstsq(products[:d, :d], products[:d, d], rcond=1e-13)
    coef = np.zeros((objective.likelihood.n_logits, d))
    coef[0] = v / scale  # the first logit is then the combination
    (difference,) = objective.blocks.map_reduce(
        _difference_from_one, coef.astype(objective.blocks.dtype), combine=np.maximum
    )
    return coef[0] if float(difference) <= CONSTANT else None


def _products(block: Block, columns: Standardisation) -> tuple[Array]:
    """Return the weighted sum of x xᵀ over a block, (d + 1, d + 1).

    The vectors x are the standardised rows with a one as last entry.
    """
    X = columns.rows(block)
    return ((X * block.weights_or_ones().astype(float)) @ X.T,)


def _difference_from_one(block: Block, coef: Array) -> KernelResult:
    """Return the largest distance of the first logit from 1 in the rows of a block.

    `coef` has the shape (n_logits, d).
    """
    Z = block.logits_without_offset(coef, np.zeros(len(coef), coef.dtype))
    return (block.largest(np.abs(Z[0] - 1.0)),)
