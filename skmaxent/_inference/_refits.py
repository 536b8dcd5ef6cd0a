"""Fits to the rows of a fit with other weights, which start from its coefficients."""

from __future__ import annotations

import numpy as np

from skmaxent._existence import Watch
from skmaxent._inference._held_minimum import Likelihoods, flattened, least
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._typing import Array

# A coefficient of a standardised column that moves by more than this is a sign of separation.
FAR = 5.0


def refits(
    training: TrainingProblem,
    point: Point,
    factors: Array,
    *,
    is_bias_reduced: bool,
    what: str,
) -> Array:
    """Return coefficients of fits to all rows with their weights times some factors.

    Parameters
    ----------
    training : TrainingProblem
        The rows, in memory.
    point : Point
        The loss without a penalty at the fit to the rows with their own weights.
    factors : ndarray of shape (n_samples, n_refits)
        Of the weights of the rows.
    is_bias_reduced : bool
        Whether the likelihood is penalised by Jeffreys' prior.
    what : str
        What a refit is called in an error message.

    Returns
    -------
    ndarray of shape (n_refits, n_coefficients)
        Coefficients of the standardised columns of the point, in reference coding.

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
    block = rows.whole()
    weights = block.weights_or_ones().astype(float)
    shares = likelihood.outcomes(likelihood.dense_targets(block.targets))
    fits = np.empty((factors.shape[1], len(flattened(point))))
    for number, factor in enumerate(factors.T):
        own = weights * factor
        absent = training.classes[~(shares @ own > 0.0)].tolist()
        if absent:
            raise ValueError(f"{what} {number} has no rows of positive weight of classes {absent}.")
        other = MultinomialObjective(
            rows.with_weights(own).in_float64(),
            likelihood,
            objective.penalty,
            objective.standardisation,
            column_size=objective.column_size,
            keep_bytes=0,
            copy_bytes=0,
        )
        total = training.data.scale * float(own.sum()) if is_bias_reduced else rows.n_samples
        likelihoods = Likelihoods(float(total), is_bias_reduced)
        found = least(likelihoods, other.at(point.theta)).point
        is_far = not is_bias_reduced and np.abs(found.theta - point.theta).max() > FAR
        if is_far and Watch(other).kind_at_end(found.theta, found.loss, 1.0) is not None:
            raise ValueError(
                f"{what} {number} has separated classes, and so no finite coefficients: use a "
                "covariance without refits."
            )
        fits[number] = flattened(found)
    return fits
