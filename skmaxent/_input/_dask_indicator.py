"""Indicator matrices of label sets that are Dask collections."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from skmaxent._input import _validation
from skmaxent._input._dask_checks import CheckedRows, check_chunks
from skmaxent._input._indicator import (
    LabelCounts,
    check_indicator,
    label_likelihood,
    targets_of,
    used_weights,
)
from skmaxent._input._training_data import TrainingData
from skmaxent._storage._chunked_rows import ChunkedRows
from skmaxent._storage._cluster import is_dask
from skmaxent._storage._storage import Rows
from skmaxent._storage._threads import Workers
from skmaxent._typing import Array, DType


@dataclass(frozen=True)
class IndicatorConversion:
    """Function that converts the checked rows of a chunk with an indicator matrix to rows of a fit.

    It is a class and not a closure, because the workers of a cluster unpickle it.

    Attributes
    ----------
    active : ndarray of int
        Positions of the labels of the fit.
    link : str
        "sigmoid" or "softmax".
    top_weight : float or None
        The largest sample weight, by which weights are divided; None without sample weights.
    dtype : dtype
        The dtype of the fit.
    """

    active: Array
    link: str
    top_weight: float | None
    dtype: DType

    def __call__(self, chunk: CheckedRows) -> Rows:
        weights = None
        if self.top_weight is not None and chunk.weights is not None:
            weights = _validation.without_negligible(chunk.weights / self.top_weight)
        weights = used_weights(chunk.codes, weights, self.link)
        if weights is None and self.link == "softmax":
            # Rows of other chunks may have no labels, and then weights of zero: all chunks need
            # weights if one has them.
            weights = np.ones(chunk.X.shape[0])
        if weights is not None:
            weights = weights.astype(self.dtype)
        targets = targets_of(chunk.codes, self.active, self.link)
        if targets.dtype.kind == "f":
            targets = targets.astype(self.dtype)
        return Rows(chunk.X.astype(self.dtype, copy=False), targets, weights, None)


@dataclass(frozen=True)
class _Totals:
    """Function that returns the `LabelCounts` of a chunk of checked rows, stacked as (3, n_labels).

    `weights` are the sample weights (n_rows,) divided by the largest of the chunk, or None.
    """

    link: str

    def __call__(self, chunk: CheckedRows, weights: Array | None) -> Array:
        return np.stack(LabelCounts.of(chunk.codes, weights, self.link))


def read_indicator(
    estimator: Any, X: Any, y: Any, sample_weight: Any, *, link: str, smoothing: float
) -> TrainingData:
    """Return the training data of Dask collections with an indicator matrix y.

    Parameters
    ----------
    estimator : estimator
        It stores the number and the names of the columns of X.
    X : Dask array or data frame of shape (n_samples, n_features)
    y : Dask array or data frame of shape (n_samples, n_labels)
    sample_weight : Dask collection, array-like, number or None
    link : {"sigmoid", "softmax"}
    smoothing : float
        The label smoothing of the likelihood.

    Raises
    ------
    ValueError, TypeError
        For input that a fit to arrays in memory refuses too, and for a y that is not a Dask
        collection with two dimensions.
    """
    if is_dask(X) and not (is_dask(y) and getattr(y, "ndim", 0) == 2):
        raise TypeError(
            f"y is a {type(y).__name__} with {getattr(y, 'ndim', 'unknown')} dimensions, but X is "
            "a Dask collection: expected y as a Dask array or data frame of shape (n_samples, "
            "n_labels), an indicator matrix. For one label a row use MaxentClassifier."
        )
    given = {"y": y, "sample_weight": sample_weight, "offset": None}
    checked = check_chunks(estimator, X, given, _indicator, _Totals(link))
    classes = checked.summaries[0].labels
    for number, summary in enumerate(checked.summaries):
        if not np.array_equal(summary.labels, classes):
            raise ValueError(
                f"y has the columns {summary.labels.tolist()} in chunk {number}; expected those of "
                f"chunk 0, {classes.tolist()}."
            )
    scale = checked.top_weight
    # Each chunk divided its weights by its own largest weight; here the divisor becomes the
    # largest weight of all chunks. Only the first of the three sums, `totals`, depends on it.
    tables = np.stack([summary.totals for summary in checked.summaries])
    tables[:, 0] *= np.array([summary.top_weight / scale for summary in checked.summaries])[:, None]
    counts = LabelCounts(*tables.sum(axis=0))
    active = counts.active(link)
    model = label_likelihood(len(active), link, smoothing)
    top_weight = scale if checked.has_weights else None
    conversion = IndicatorConversion(active, link, top_weight, checked.dtype)

    def stored(workers: Workers) -> ChunkedRows:
        chunks, shape = checked.converted(conversion)
        has_weights = checked.has_weights or link == "softmax"
        shape = replace(shape, has_codes=False, has_weights=has_weights)
        return ChunkedRows(
            checked.scheduler, chunks, shape, n_logits=model.n_logits, workers=workers
        )

    return TrainingData(
        classes,
        checked.names,
        checked.n_features,
        active,
        counts.totals,
        scale,
        model,
        stored,
    )


def _indicator(y: Any) -> tuple[Any, Array]:
    """Return the checked indicator matrix of a chunk of y, dense or CSR, and its labels."""
    if hasattr(y, "tocsr"):
        y = y.tocsr()
        y = y if sp.issparse(y) else sp.csr_array(y)
    return check_indicator(y)
