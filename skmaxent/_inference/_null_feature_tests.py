"""Tests of null features where the number of features is proportional to the number of rows."""

from __future__ import annotations

import numpy as np

from skmaxent._leverage._fitted_rows import FittedRows
from skmaxent._leverage._leverages import RowLeverages
from skmaxent._leverage._reference_coding import against_last
from skmaxent._typing import Array


def check_equal_rows(fit: FittedRows) -> None:
    """Raise ValueError unless each row is one observation of one class, without an offset."""
    blocks, observations = fit.training.blocks, fit.training.data.observations
    weights = getattr(blocks, "weights", None)
    is_weighted = any(
        given is not None and np.ptp(np.asarray(given, dtype=float)) > 0.0
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

    With n rows, the coefficients b_j (r,) of feature j in reference coding, the gradients g_i =
    p_i - t_i and V_i = Λ_i - Λ_i A_i Λ_i, where Λ_i is the curvature of the loss of row i and A_i
    its leverage (see `Leverages`), the statistic is

        n τ_j² b_jᵀ V (Σ_i g_i g_iᵀ/n)⁻¹ V b_j,        V = Σ_i V_i/n,

    where τ_j² is the residual variance of feature j given the others, by least squares. It is
    chi-squared with r degrees of freedom if the feature is independent of the classes given the
    other features.

    Parameters
    ----------
    fit : FittedRows
        A maximum-likelihood fit, in the columns of the problem.
    columns : list of int
        Positions of features.

    Raises
    ------
    ValueError
        If there are no more rows than coefficients of a logit.
    """
    leverages = fit.leverages("frequency")
    objective = leverages.point.objective
    n, fit_intercept = objective.blocks.n_samples, objective.fit_intercept
    width = objective.shape[1] - (not fit_intercept)
    # Degrees of freedom of the residuals of a feature given the others.
    df = n - (width - 1)
    if df <= 0:
        raise ValueError(
            f"null_feature_test needs more rows than coefficients of each class, found {n} rows "
            f"and {width} coefficients."
        )
    inner, squares, gram = leverages.map_reduce(_sums)
    inverse = np.linalg.inv(gram[:width, :width]).diagonal()[columns]
    theta = against_last(leverages.point.theta, fit_intercept)
    b = inner @ theta[:, columns] / n
    return np.asarray(
        n * np.einsum("kj,kj->j", b, np.linalg.solve(squares / n, b)) / (df * inverse)
    )


def _sums(rows: RowLeverages) -> tuple[Array, Array, Array]:
    """Return a block's sums of V_i, of g_i g_iᵀ and of x̃_i x̃_iᵀ."""
    curvature, g, x = rows.curvature, rows.residual, np.asarray(rows.context.rows)
    inner = curvature - curvature @ rows.leverage @ curvature
    return inner.sum(axis=0), g.T @ g, x @ x.T
