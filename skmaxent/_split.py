"""Selection on one half of the rows, inference on the other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import train_test_split
from sklearn.utils import _safe_indexing

from skmaxent._callbacks import without_callbacks
from skmaxent._place import moved_to, place_of, to_host
from skmaxent._results import InferenceResults

Array = NDArray[Any]


def infer_by_split(
    model: Any,
    X: Any,
    y: Any,
    strata: Array,
    sample_weight: Any,
    names: Array,
    *,
    seed: int,
    options: dict[str, Any],
) -> InferenceResults:
    """Results of a fit without penalty to one half, of the features that the other half selects.

    What the first half selects does not depend on the second, so that its standard errors and tests
    are those of any fit to these features.
    """
    first, second = train_test_split(
        np.arange(len(strata)), test_size=0.5, stratify=strata, random_state=seed
    )

    def part(rows: Array) -> dict[str, Any]:
        weights = None if sample_weight is None else np.asarray(sample_weight)[rows]
        return {"y": _safe_indexing(y, rows), "sample_weight": weights}

    fresh = without_callbacks(clone(model)).set_params(warm_start=False)
    selected = clone(fresh).fit(X[first], **part(first))
    kept = np.flatnonzero(np.asarray(selected.coef_).any(axis=0))
    if not len(kept):
        raise ValueError(
            f"no feature was selected on half of the rows at C={model.C}: choose a larger C."
        )
    free = clone(fresh).set_params(
        C=np.inf, l1_ratio=0.0, penalty="deprecated", penalty_factor=None
    )
    rows = X[second][:, kept]
    free.fit(rows, **part(second))
    if options["groups"] is not None:
        groups = np.asarray(options["groups"])
        if groups.shape != strata.shape:
            raise ValueError(f"groups has the shape {groups.shape}; expected {strata.shape}.")
        options = options | {"groups": groups[second]}
    results: InferenceResults = free._inferred(
        rows, *part(second).values(), None, names[kept], **options
    )
    return replace(results, _model=_of_all_features(free, model, kept), _positions=kept)


def _of_all_features(free: Any, model: Any, kept: Array) -> Any:
    """A fit to the columns that were kept, as one that takes all columns of X."""
    whole = free._snapshot()
    few = to_host(free.coef_)
    coef = np.zeros((len(few), model.n_features_in_), few.dtype)
    coef[:, kept] = few
    whole.coef_ = moved_to(place_of(free.coef_), coef)
    for name in ("n_features_in_", "feature_names_in_"):
        if hasattr(model, name):
            setattr(whole, name, getattr(model, name))
    return whole
