"""Selection on one half of the rows, inference on the other."""

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
    """Return results of an unpenalised fit to one half, of features that the other selects.

    What the first half selects does not depend on the second, so that its standard errors and tests
    are those of any fit to these features. For that rows of a cluster are in the same half;
    `groups` has their codes. `infer_free` gives the results of the second fit, from that, its rows,
    their labels, weights and groups, and the names of its features.
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
    of_half = None if groups is None else groups[second]
    results = infer_free(free, rows, *part(second).values(), of_half, names[kept])
    # New rows have all columns; those that were given to infer are known by all of theirs.
    results = with_observations(results, observed.per_row(sample_weight))
    return with_all_columns(results, FittedColumns.of(model), kept, X)


def _factors_by_position(model: Any, n_features: int, classes: Array) -> Array | None:
    """The model's factors of the penalty for rows without names, as an array; None for none."""
    if model.penalty_factor is None:
        return None
    columns = Columns(getattr(model, "feature_names_in_", None), n_features, classes)
    factors = penalty_factors(model.penalty_factor, columns)
    return factors[0] if len(factors) == 1 else factors


def _halves(observed: Observations, groups: Array | None, seed: int) -> tuple[Array, Array]:
    """Return the rows of two halves with nearly equal shares of the classes."""
    rows, strata = np.arange(observed.n_samples), observed.likeliest
    if groups is None:
        first, second = train_test_split(rows, test_size=0.5, stratify=strata, random_state=seed)
        return np.asarray(first), np.asarray(second)
    folds = StratifiedGroupKFold(2, shuffle=True, random_state=seed)
    first, second = next(folds.split(rows, strata, groups))
    return np.asarray(first), np.asarray(second)
