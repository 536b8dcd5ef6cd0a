"""HC2 and HC3: sandwich covariances whose residuals are corrected for the leverages of rows.

Conventions of `RowLeverages`: for a row i, x̃_i are the standardised features with a one for the
intercept, r_i the residual in the free logits, Λ_i the curvature, and A_i the leverage.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from skmaxent._leverage._inverse_hessian import InverseHessian
from skmaxent._leverage._leverages import Leverages, RowLeverages, shares_of
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._objective._objective import Point
from skmaxent._objective._terms import ridge_terms
from skmaxent._storage._device_array import on_host
from skmaxent._typing import Array

# The power of I - Λ_i A_i, the identity minus the hat matrix of a row, by which the residual of the
# row is multiplied.
POWERS = {"HC2": -0.5, "HC3": -1.0}


def corrected_score_products(
    training: TrainingProblem, point: Point, cov_type: str, weights: str
) -> Array:
    """Return the middle matrix of the HC2 or HC3 sandwich: Σ u uᵀ over the corrected scores u.

    The shape is (n_coefficients, n_coefficients), for the free logits, the coefficients of a logit
    next to each other. Scores are those of the problem's weights, which are the user's divided by
    `training.data.scale`: to the first power with "frequency", otherwise to the second.

    Parameters
    ----------
    training : TrainingProblem
    point : Point
        The loss at the fitted coefficients.
    cov_type : {"HC2", "HC3"}
    weights : {"frequency", "probability"}
        With "frequency", each observation has a score and a leverage of its own. With
        "probability", each row has, and its weight is a factor of its score.
    """
    terms = ridge_terms(np.zeros(point.objective.blocks.n_features))
    data, by_observation = training.data, weights == "frequency"
    scale, per_class = data.scale, by_observation and not training.blocks.has_codes
    shares = shares_of(data.observations) if per_class else None
    leverages = Leverages(point, InverseHessian.at(point, terms), shares)
    n_outcomes = len(training.classes) if per_class else 0
    one: Array | None = np.array(1.0 / scale) if by_observation else None
    per_row: Array | None = None
    if by_observation and data.class_weight is not None:
        class_weight = data.class_weight[data.active]
        one = np.minimum(class_weight, 1.0) / scale
        per_row = class_weight if per_class else None
    (total,) = leverages.map_reduce(_corrected_products, POWERS[cov_type], n_outcomes, one, per_row)
    return np.asarray(total)


def _corrected_products(
    rows: RowLeverages,
    power: float,
    n_outcomes: int,
    one: Array | None,
    class_weight: Array | None,
) -> tuple[Array]:
    """Return Σ u uᵀ over the corrected scores u of the rows of a block.

    `power` is that of `RowLeverages.adjusted`. `n_outcomes` is the number of classes if each
    observation of a table of counts has its own score; it is 0 if each row has one class or, as a
    unit, one score. `one` is the largest weight of an observation, as the objective stores weights,
    or an array (n_classes,) of those of each class: the weight of a row is then the number of its
    scores. If it is None, the weight is a factor of the score. `class_weight` (n_classes,) are the
    weights of the classes for tables of counts, None for ones.
    """
    factor = rows.weights if one is None else np.sqrt(rows.weights)
    if not n_outcomes:
        return (_products(_without_one(rows, one), power, factor),)
    model = rows.context.likelihood
    targets = on_host(rows.context.block.targets)
    shares = np.asarray(model.outcomes(model.dense_targets(targets)), float)
    if class_weight is None:
        left_out = [_without_one(rows, one).left_out] * n_outcomes
    else:
        assert one is not None
        # The observations of a row, before the weights of their classes, in units of the weights.
        observations = rows.weights * (shares / class_weight[:, None]).sum(axis=0)
        left_out = [np.minimum(observations * class_weight[k], one[k]) for k in range(n_outcomes)]
    parts = [
        _products(
            replace(rows.with_outcome(k), left_out=left_out[k]), power, factor * np.sqrt(shares[k])
        )
        for k in range(n_outcomes)
    ]
    return (np.sum(parts, axis=0),)


def _without_one(rows: RowLeverages, one: Array | None) -> RowLeverages:
    """Return rows of which at most the weight `one` of an observation is left out.

    `one` is None for the whole row, a number, or the weight of an observation of each class.
    """
    if one is None:
        return rows
    largest = np.asarray(on_host(one), dtype=float)
    if largest.ndim:
        largest = largest[np.asarray(on_host(rows.context.block.targets), dtype=np.intp)]
    return replace(rows, left_out=np.minimum(rows.left_out, largest))


def _products(rows: RowLeverages, power: float, factor: Array) -> Array:
    """Return Σ_i u_i u_iᵀ for u_i = factor_i ρ_i ⊗ x̃_i and the residuals ρ = rows.adjusted(power).

    `factor` has the shape (n_rows,).
    """
    residual = rows.adjusted(power) * factor[:, None]
    X = np.asarray(on_host(rows.context.rows))
    X = X if rows.context.model.standardisation.fit_intercept else X[:-1]
    U = (residual.T[:, None, :] * X).reshape(-1, X.shape[1])
    return np.asarray(U @ U.T)
