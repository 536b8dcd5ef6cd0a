"""Tests that features are null, valid also if there are many features for the number of rows."""

from __future__ import annotations

import numpy as np

from skmaxent._leverage._fitted_rows import FittedRows
from skmaxent._leverage._leverages import RowLeverages
from skmaxent._leverage._reference_coding import against_last
from skmaxent._storage._device_array import on_host
from skmaxent._typing import Array


def check_equal_rows(fit: FittedRows) -> None:
    """Raise ValueError unless each row is one observation of one class, without an offset."""
    blocks, observations = fit.training.blocks, fit.training.data.observations
    weights = getattr(blocks, "weights", None)
    is_weighted = any(
        given is not None and np.ptp(np.asarray(on_host(given), dtype=float)) > 0.0
        for given in (weights, observations)
    )
    has_several = observations is not None and bool((np.asarray(observations) != 1.0).any())
    if not blocks.has_codes or is_weighted or has_several or blocks.has_offset:
        raise ValueError(
            "null_feature_test needs a row for each observation, of a single class, with equal "
            "weights and no offset; found a table, weights or an offset."
        )


def null_feature_statistics(fit: FittedRows, columns: list[int]) -> Array:
    """Return the statistics of Tan & Bellec (2023) for some features, (n_columns,).

    For n rows and r free logits, the statistic of feature j is

        n τ_j² b_jᵀ V (Σ_i g_i g_iᵀ/n)⁻¹ V b_j,        V = Σ_i (Λ_i - Λ_i A_i Λ_i)/n,

    - b_j (r,): the coefficients of the feature in reference coding,
    - τ_j²: the residual variance of the feature in a linear regression on the other features,
    - g_i = p_i - t_i (r,): the gradient of the loss of row i by its logits,
    - Λ_i (r, r): the Hessian of the loss of row i by its logits,
    - A_i (r, r): the leverage of row i, see `Leverages`.

    The statistic has a chi-squared distribution with r degrees of freedom if the feature is
    independent of the classes given the other features.

    Parameters
    ----------
    fit : FittedRows
        A maximum-likelihood fit and its rows.
    columns : list of int
        Positions of the features to test.

    Raises
    ------
    ValueError
        If there are no more rows than coefficients of a logit.
    """
    leverages = fit.leverages("frequency")
    objective = leverages.point.objective
    n, fit_intercept = objective.blocks.n_samples, objective.fit_intercept
    width = objective.shape[1] - (not fit_intercept)
    # Degrees of freedom of the residuals of a feature in a regression on the others.
    df = n - (width - 1)
    if df <= 0:
        raise ValueError(
            f"null_feature_test needs more rows than coefficients of each class, found {n} rows "
            f"and {width} coefficients."
        )
    V_sum, gradient_products, gram = leverages.map_reduce(_sums)
    # 1 over a diagonal entry of the inverse is the sum of squares of the residuals of a feature.
    residual_squares = 1.0 / np.linalg.inv(gram[:width, :width]).diagonal()[columns]
    theta = against_last(leverages.point.theta, fit_intercept)
    Vb = V_sum @ theta[:, columns] / n
    forms = np.einsum("kj,kj->j", Vb, np.linalg.solve(gradient_products / n, Vb))
    return np.asarray(n * forms * residual_squares / df)


def _sums(rows: RowLeverages) -> tuple[Array, Array, Array]:
    """Return the sums over a block of the terms of V, of g gᵀ and of x xᵀ.

    The vectors x, (d + 1,), are the standardised rows with a one for the intercept. The sums have
    the shapes (r, r), (r, r) and (d + 1, d + 1).
    """
    curvature, g = rows.curvature, rows.residual
    X = np.asarray(on_host(rows.context.rows))
    terms_of_V = curvature - curvature @ rows.leverage @ curvature
    return terms_of_V.sum(axis=0), g.T @ g, X @ X.T
