"""Scores of a fitted model on Dask collections."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score

from skmaxent._input._dask_chunks import column
from skmaxent._input._labels import refuse_unknown
from skmaxent._model._fitted_model import FittedModel
from skmaxent._model._over_chunks import sums_over_chunks
from skmaxent._typing import Array


def accuracy(model: FittedModel, X: Any, y: Any, sample_weight: Any, offset: Any) -> float:
    """Return the weighted share of the rows whose class `model` predicts correctly."""
    return _weighted_mean(_is_right, model, X, y, sample_weight, offset)


def log_likelihood(model: FittedModel, X: Any, y: Any, sample_weight: Any, offset: Any) -> float:
    """Return the weighted mean over rows of the log-probability of the row's class."""
    return _weighted_mean(_log_probability, model, X, y, sample_weight, offset)


def _weighted_mean(
    score: Callable[..., Array],
    model: FittedModel,
    X: Any,
    y: Any,
    sample_weight: Any,
    offset: Any,
) -> float:
    """Return the weighted mean over rows of `score(model, X, y, offset)`, (n_rows,) for a chunk."""
    offset = model.offset_or_default(offset)
    arguments = {"y": y, "sample_weight": sample_weight, "offset": offset}
    function = partial(_weighted_sum, score, model)
    total, weight = sums_over_chunks(function, model.columns, X, arguments)
    if not weight > 0.0:
        raise ValueError("X has no rows of positive weight to score.")
    return float(total / weight)


def _weighted_sum(
    score: Callable[..., Array], model: FittedModel, X: Any, y: Any, weights: Any, offset: Any
) -> tuple[Array, Array]:
    """Return the weighted sum of the scores of a chunk of rows, and the sum of the weights."""
    if not X.shape[0]:
        return np.zeros(()), np.zeros(())
    scores = score(model, X, column(y, "y"), offset)
    if weights is None or isinstance(weights, Real):
        weights = np.full(len(scores), 1.0 if weights is None else weights)
    weights = column(weights, "sample_weight")
    return np.asarray(weights @ scores, dtype=float), np.asarray(weights.sum(), dtype=float)


def _is_right(model: FittedModel, X: Any, y: Array, offset: Any) -> Array:
    """Return whether the predicted class of each row of X is its label in y, bool (n_rows,)."""
    predicted = model.predict("most_probable", X, offset)
    accuracy_score(y, predicted)  # raises ValueError for labels of another type
    return np.asarray(predicted == y)


def _log_probability(model: FittedModel, X: Any, y: Array, offset: Any) -> Array:
    """Return the log-probability of the label in y of each row of X, (n_rows,)."""
    refuse_unknown(y, model.classes, "y")
    log_p = model.predict("log_probabilities", X, offset).astype(float)
    return np.asarray(log_p[np.arange(len(y)), np.searchsorted(model.classes, y)])
