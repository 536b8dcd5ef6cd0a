"""Fits to the same rows with other weights, as for replicate weights and clusters left out."""

from __future__ import annotations

import numpy as np

from skmaxent._existence import Watch
from skmaxent._inference._constrained_minimum import (
    NegativeLogLikelihood,
    constrained_minimum,
    flattened,
)
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._objective._penalty import Ridge
from skmaxent._storage._combined_columns import CombinedColumns
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._storage._standardisation import Standardisation
from skmaxent._typing import Array

# If a coefficient of a column of the point changes by more than this from the fit to all rows, the
# refit is tested for separated classes.
SUSPECT_CHANGE = 5.0


def refits(
    training: TrainingProblem,
    point: Point,
    factors: Array,
    *,
    is_bias_reduced: bool,
    what: str,
) -> Array:
    """Return the coefficients of fits without a ridge to rows whose weights are multiplied.

    Parameters
    ----------
    training : TrainingProblem
        The rows, in memory.
    point : Point
        The loss at the fit to the rows with their own weights, where each refit starts.
    factors : ndarray of shape (n_samples, n_refits)
        By which the weights of the rows are multiplied, a column for each refit.
    is_bias_reduced : bool
        Whether the likelihood is penalised by Jeffreys' prior.
    what : str
        What a refit is called in error messages, such as "replicate".

    Returns
    -------
    ndarray of shape (n_refits, n_coefficients)
        Coefficients in reference coding, for the columns of the point.

    Raises
    ------
    ValueError
        Where a refit has no rows of some class, or has separated classes.
    TypeError
        For rows that are not in memory.
    """
    objective, rows = point.objective, training.blocks
    if not isinstance(rows, RowBlocks):
        raise TypeError("fits with other weights need rows in memory; found Dask collections.")
    likelihood = training.data.likelihood
    columns, block, used = objective.standardisation, rows.whole(), rows
    if isinstance(columns, CombinedColumns):
        # Logits of the combinations themselves have no terms that cancel, which those of X have.
        X = np.ascontiguousarray(columns.rows(block)[:-1].T)
        used = RowBlocks(X, block.targets, block.weights, block.offset, n_logits=rows.n_logits)
        columns = Standardisation.of(X.shape[1], fit_intercept=columns.fit_intercept)
    weights = block.weights_or_ones().astype(float)
    shares = likelihood.outcomes(likelihood.dense_targets(block.targets))
    fits = np.empty((factors.shape[1], len(flattened(point))))
    for number, factor in enumerate(factors.T):
        own = weights * factor
        absent = training.classes[~(shares @ own > 0.0)].tolist()
        if absent:
            raise ValueError(f"{what} {number} has no rows of positive weight of classes {absent}.")
        other = MultinomialObjective(
            used.with_weights(own).in_float64(),
            likelihood,
            objective.penalty,
            columns,
            keep_bytes=0,
            copy_bytes=0,
        )
        # Only Jeffreys' prior depends on the number of observations; without it the minimum is that
        # of the mean loss.
        total = training.data.scale * float(own.sum()) if is_bias_reduced else rows.n_samples
        likelihoods = NegativeLogLikelihood(float(total), is_bias_reduced)
        found = constrained_minimum(likelihoods, other.at(point.theta)).point
        # With Jeffreys' prior the estimates are finite for separated classes too.
        change = 0.0 if is_bias_reduced else np.abs(found.theta - point.theta).max()
        is_suspect = change > SUSPECT_CHANGE
        if is_suspect and _are_separated(training, rows, own, objective.coefficients(found.theta)):
            raise ValueError(
                f"{what} {number} has separated classes, and so no finite coefficients: use a "
                "covariance without refits."
            )
        fits[number] = flattened(found)
    return fits


def _are_separated(
    training: TrainingProblem,
    rows: RowBlocks,
    weights: Array,
    coefficients: tuple[Array, Array],
) -> bool:
    """Return whether it is proved that the classes of the rows with other weights are separated.

    `rows` are those of `training`, and `weights` has the shape (n_samples,). `coefficients` are
    those of the columns of X in the fit to the rows with these weights, (n_logits, n_features) and
    (n_logits,).
    """
    blocks = rows.with_weights(weights).in_float64()
    objective = training.problem.objective.with_rows(blocks, keep_bytes=0, copy_bytes=0)
    objective = objective.with_penalty(Ridge(np.zeros(rows.n_features)))
    point = objective.at(objective.from_coefficients(*coefficients))
    return Watch(objective).kind_at_end(point.theta, point.loss, 1.0) is not None
