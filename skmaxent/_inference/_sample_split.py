"""Selection of features on one half of the rows, inference on the other half."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

from skmaxent._callbacks import without_callbacks
from skmaxent._inference._results import InferenceResults, with_all_columns, with_observations
from skmaxent._input._fitted_columns import FittedColumns
from skmaxent._input._observations import Observations
from skmaxent._input._penalty_terms import Columns, penalty_factors
from skmaxent._input._settings import Settings
from skmaxent._sklearn import safe_indexing
from skmaxent._typing import Array


def infer_by_split(
    model: Any,
    X: Any,
    y: Any,
    observed: Observations,
    sample_weight: Array | None,
    names: Array,
    *,
    groups: Array | None,
    seed: int,
    infer_free: Callable[..., InferenceResults],
) -> InferenceResults:
    """Return results of a fit without penalty to half of the rows.

    The penalised model, fitted to the other half, selects the features. The selection does not
    depend on the rows of the second fit, so that its standard errors and tests are valid, as for
    features that are chosen beforehand. All rows of a cluster are in the same half.

    Parameters
    ----------
    model : MaxentClassifier
        The fitted model, whose penalty selects features.
    X : {ndarray, sparse array} of shape (n_samples, n_features)
    y : array-like
        Labels or counts, as the user gave them.
    observed : Observations
        The same labels or counts, as read.
    sample_weight : ndarray of shape (n_samples,) or None
    names : ndarray of shape (n_features,)
        Names of the features.
    groups : ndarray of int of shape (n_samples,) or None
        The cluster of each row.
    seed : int
        Seed of the random halves.
    infer_free : callable
        ``infer_free(model, X, y, sample_weight, groups, names)`` returns the results of the second
        fit, from the fitted model and its rows.
    """
    first, second = _halves(observed, groups, seed)
    for half in (first, second):
        weights = None if sample_weight is None else sample_weight[half]
        lost = observed.rows(half).totals(weights) == 0.0
        if lost.any():
            raise ValueError(
                "method='split' needs rows of every class in each half of the rows; the classes "
                f"{observed.classes[lost].tolist()} have too few."
            )

    def part(rows: Array) -> dict[str, Any]:
        """Return the labels and weights of the rows at these positions, as arguments of `fit`."""
        weights = None if sample_weight is None else sample_weight[rows]
        return {"y": safe_indexing(y, rows), "sample_weight": weights}

    if not X.shape[1]:
        raise ValueError("method='split' selects features, and X has no columns.")
    fresh = without_callbacks(clone(model)).set_params(warm_start=False)
    by_position = _factors_by_position(model, X.shape[1], observed.classes)
    selector = clone(fresh).set_params(penalty_factor=by_position)
    selected = selector.fit(X[first], **part(first))
    kept = np.flatnonzero(np.asarray(selected.coef_).any(axis=0))
    if not len(kept):
        raise ValueError(
            "no feature was selected on one half of the rows at "
            f"{Settings.of(model).strength}; use a weaker penalty."
        )
    free = clone(fresh).set_params(
        C=np.inf, alpha=None, l1_ratio=0.0, penalty="deprecated", penalty_factor=None
    )
    rows = X[second][:, kept]
    free.fit(rows, **part(second))
    groups_of_half = None if groups is None else groups[second]
    results = infer_free(free, rows, *part(second).values(), groups_of_half, names[kept])
    # Averages of effects are over all rows of the user, with all columns.
    results = with_observations(results, observed.per_row(sample_weight))
    return with_all_columns(results, FittedColumns.of(model), kept, X)


def _factors_by_position(model: Any, n_features: int, classes: Array) -> Array | None:
    """Return the penalty factors of a model as an array, for fits to X without names.

    `penalty_factor` may be a dict by the names of features. The result has the shape (n_features,)
    or (n_classes, n_features); it is None if the model has no penalty factors.
    """
    if model.penalty_factor is None:
        return None
    columns = Columns(getattr(model, "feature_names_in_", None), n_features, classes)
    factors = penalty_factors(model.penalty_factor, columns)
    return factors[0] if len(factors) == 1 else factors


def _halves(observed: Observations, groups: Array | None, seed: int) -> tuple[Array, Array]:
    """Return the positions of the rows of two random halves, with nearly equal class shares.

    `groups`, (n_samples,) or None, has the clusters, which are not split.
    """
    # A row of counts is in the stratum of its most frequent class.
    rows, strata = np.arange(observed.n_samples), observed.most_observed
    if groups is None:
        first, second = train_test_split(rows, test_size=0.5, stratify=strata, random_state=seed)
        return np.asarray(first), np.asarray(second)
    folds = StratifiedGroupKFold(2, shuffle=True, random_state=seed)
    first, second = next(folds.split(rows, strata, groups))
    return np.asarray(first), np.asarray(second)
