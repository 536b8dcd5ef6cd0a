"""The model without features, and features that stand for an intercept."""

from __future__ import annotations

import numpy as np

from skmaxent._inference import _covariance
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._solvers import (
    Options,
    Problem,
    minimise,
)
from skmaxent._storage._block import Block
from skmaxent._storage._standardisation import Standardisation
from skmaxent._typing import Array, KernelResult

# How far a combination of columns may be from 1 in any row to be a constant.
CONSTANT = 1e-6


def loss_of_offsets(training: TrainingProblem) -> float:
    """Return the mean loss of the model whose logits are the offsets alone."""
    objective = training.problem.objective
    if not objective.blocks.has_offset:
        return float(np.log(len(training.classes)))
    return float(objective.at(objective.zeros()).loss)


def null_loss(training: TrainingProblem) -> float:
    """Return the mean loss of the model with intercepts and offsets alone."""
    problem, blocks = training.problem, training.blocks
    if not problem.objective.fit_intercept:
        model = training.data.likelihood
        problem = Problem.of(blocks, model, moments=training.moments, fit_intercept=True)
    if not blocks.has_offset:
        return float(problem.null.loss)
    held = np.ones((1, blocks.n_features), bool)
    return float(minimise(problem.without_penalty(held), Options(tol=1e-6)).point.loss)


def constant_combination(training: TrainingProblem) -> Array | None:
    """Return the combination of columns, (n_features,), that is 1 in all rows of positive weight.

    If there is one, as with dummy variables for all levels of a factor, a model without intercepts
    is equivalent to one with intercepts. Returns None if there is no such combination, or if there
    are too many columns to look for it.
    """
    objective, moments = training.problem.objective, training.moments
    d = objective.blocks.n_features
    constant = np.flatnonzero(moments.is_constant & (moments.mean_square > 0.0))
    if len(constant):
        return np.eye(1, d, constant[0])[0] / moments.mean[constant[0]]
    if 16 * d**2 > _covariance.MOST_COVARIANCE_BYTES:
        return None
    scale = objective.scale
    columns = Standardisation.of(d, scale=scale)
    (products,) = objective.blocks.map_reduce(_products, columns)
    v, *_ = np.linalg.lstsq(products[:d, :d], products[:d, d], rcond=1e-13)
    coef = np.zeros((objective.likelihood.n_logits, d))
    coef[0] = v / scale
    (difference,) = objective.blocks.map_reduce(
        _difference_from_one, coef.astype(objective.blocks.dtype), combine=np.maximum
    )
    return coef[0] if float(difference) <= CONSTANT else None


def _products(block: Block, columns: Standardisation) -> tuple[Array]:
    """Return the weighted sum of (x̃, 1)(x̃, 1)ᵀ, (d + 1, d + 1), for standardised rows x̃."""
    X = columns.rows(block)
    return ((X * block.weights_or_ones().astype(float)) @ X.T,)


def _difference_from_one(block: Block, coef: Array) -> KernelResult:
    """Return the largest difference from 1 of a combination of columns in a block."""
    Z = block.logits(coef, np.zeros(len(coef), coef.dtype))
    return (block.largest(np.abs(Z[0] - 1.0)),)
