"""HC2 and HC3: sandwiches whose residuals are corrected for the leverages of their rows."""

from __future__ import annotations

import numpy as np

from skmaxent._leverage._inverse_hessian import InverseHessian
from skmaxent._leverage._leverages import Leverages, RowLeverages, shares_of
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._objective._objective import Point
from skmaxent._objective._terms import ridge_terms
from skmaxent._typing import Array

# The power of I - Λ_i A_i, the identity less the hat matrix of a row, that multiplies its residual.
POWERS = {"HC2": -0.5, "HC3": -1.0}


def leverage_scores(training: TrainingProblem, point: Point, cov_type: str, weights: str) -> Array:
    """Return the sums of squares of corrected scores, (n_coefficients, n_coefficients).

    Frequency weights and tables count observations, of which each has a score and a leverage of its
    own; with probability weights the rows have.
    """
    observations = training.data.observations if weights == "frequency" else None
    terms = ridge_terms(np.zeros(point.objective.blocks.n_features))
    leverages = Leverages(point, InverseHessian.at(point, terms), shares_of(observations))
    per_class = weights == "frequency" and not training.blocks.has_codes
    n_outcomes = len(training.classes) if per_class else 0
    (total,) = leverages.map_reduce(_corrected_products, POWERS[cov_type], n_outcomes)
    return np.asarray(total) * training.data.scale**2


def _corrected_products(rows: RowLeverages, power: float, n_outcomes: int) -> tuple[Array]:
    """Return the sums of squares of the corrected scores of a block's rows.

    With `n_outcomes` classes rows are tables of counts, whose observations are taken one by one.
    """
    if not n_outcomes:
        return (_products(rows, power, np.ones(len(rows.weights))),)
    model = rows.context.likelihood
    shares = np.asarray(model.outcomes(model.dense_targets(rows.context.block.targets)), float)
    parts = [_products(rows.with_outcome(k), power, shares[k]) for k in range(n_outcomes)]
    return (np.sum(parts, axis=0),)


def _products(rows: RowLeverages, power: float, shares: Array) -> Array:
    """Return Σ_i n_i u_i² (x̃_i ⊗ r_i)(x̃_i ⊗ r_i)ᵀ with corrected residuals r_i.

    n_i is the number of observations of a row times the share of those that are meant, u_i the
    weight of each.
    """
    count = np.divide(
        rows.weights, rows.left_out, out=np.zeros_like(rows.weights), where=rows.left_out > 0.0
    )
    factor = rows.left_out * np.sqrt(count * shares)
    residual = rows.adjusted(power) * factor[:, None]
    X = np.asarray(rows.context.rows)
    X = X if rows.context.model.standardisation.fit_intercept else X[:-1]
    U = (residual.T[:, None, :] * X).reshape(-1, X.shape[1])
    return np.asarray(U @ U.T)
