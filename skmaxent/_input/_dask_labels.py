"""Dask collections with a class label for each row: targets and weights of their chunks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from skmaxent._input import _validation
from skmaxent._input._dask_checks import CheckedChunks, CheckedRows, check_chunks
from skmaxent._input._dask_chunks import column
from skmaxent._input._labels import encode_labels, refuse_unknown
from skmaxent._input._training_data import TrainingData, fitted_classes, positions
from skmaxent._storage._chunked_rows import ChunkedRows, ChunksShape
from skmaxent._storage._cluster import mapped
from skmaxent._storage._storage import Rows
from skmaxent._storage._threads import Workers
from skmaxent._typing import Array, DType


@dataclass(frozen=True)
class Labelled(CheckedChunks):
    """Chunks of checked rows with one class label each.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        The sorted labels of all chunks.
    totals : ndarray of shape (n_classes,)
        The sum of the weights of each class, divided by `top_weight`.
    """

    classes: Array
    totals: Array

    def training_data(self, class_weight: Array | None, smoothing: float) -> TrainingData:
        """Return the training data with these class weights and this label smoothing."""
        return self.data_of(self.totals, class_weight, smoothing, self._stored)

    def data_of(
        self,
        totals: Array,
        class_weight: Array | None,
        smoothing: float,
        stored: Callable[[Array, Array | None, int, Workers], ChunkedRows],
    ) -> TrainingData:
        """Return the training data of some or all rows.

        Parameters
        ----------
        totals : ndarray of shape (n_classes,)
            The sums of the weights of these rows, divided by `top_weight`.
        class_weight : ndarray of shape (n_classes,) or None
        smoothing : float
            The weight of the uniform distribution in the targets.
        stored : callable
            Returns the storage of the rows, for the positions of the active classes, the factors
            (n_classes,) of the weights of their rows or None, the number of logits, and `Workers`.
        """
        weighted = totals if class_weight is None else totals * class_weight
        present = np.flatnonzero(weighted > _validation.NEGLIGIBLE_WEIGHT * weighted.max())
        top = 1.0 if class_weight is None else float(class_weight.max())
        scale = min(max(self.top_weight * top, 1e-300), 1e300)
        factors = None if class_weight is None else class_weight / top
        active, model = fitted_classes(present, self.classes, smoothing)
        return TrainingData(
            self.classes,
            self.names,
            self.n_features,
            active,
            totals,
            scale,
            model,
            # A nested function would keep variables of this frame alive in the traceback of errors.
            partial(stored, active, factors, model.n_logits),
        )

    def _stored(
        self, active: Array, factors: Array | None, n_logits: int, workers: Workers
    ) -> ChunkedRows:
        """Return the storage of all rows; see `data_of` for the parameters."""
        top_weight = self.top_weight if self.has_weights else None
        coding = LabelCoding(self.classes, active, top_weight, factors, self.dtype)
        chunks, shape = self.coded(coding)
        shape = replace(shape, has_weights=self.has_weights or factors is not None)
        return ChunkedRows(self.scheduler, chunks, shape, n_logits=n_logits, workers=workers)

    def codes(self) -> Array:
        """Return the class codes of all rows in memory, one byte a row for up to 256 classes."""
        parts = mapped(self.scheduler, _codes, self.handles, [self.classes] * len(self.handles))
        return np.concatenate(self.scheduler.gather(parts))

    def marked(self, marks: Array) -> tuple[list[Any], ChunksShape]:
        """Replace the chunks by chunks for views, as `coded` does.

        Targets are codes of all classes, and `marks` have the shape (n_marks, n_samples).
        """
        top_weight = self.top_weight if self.has_weights else None
        every = np.arange(len(self.classes))
        coding = LabelCoding(self.classes, every, top_weight, None, self.dtype)
        chunks, shape = self.coded(coding, marks)
        return chunks, replace(shape, has_weights=True)


@dataclass(frozen=True)
class LabelCoding:
    """Converts the checked rows of a chunk to rows with the targets and weights of a fit.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
    active : ndarray of int
        The positions of the classes that are fitted.
    top_weight : float or None
        The largest sample weight, by which weights are divided; None without sample weights.
    class_weight : ndarray of shape (n_classes,) or None
        Factors of the weights of each class.
    dtype : dtype
        The dtype of the fit.
    """

    classes: Array
    active: Array
    top_weight: float | None
    class_weight: Array | None
    dtype: DType

    def __call__(self, raw: CheckedRows) -> Rows:
        code_of = np.searchsorted(self.classes, raw.labels)
        codes = code_of[raw.codes]
        targets = positions(self.active, len(self.classes))[codes]
        weights = None
        if self.top_weight is not None and raw.weights is not None:
            weights = raw.weights / self.top_weight
        if self.class_weight is not None:
            factors = self.class_weight[codes]
            weights = factors if weights is None else weights * factors
        if weights is not None:
            weights = np.where(weights < _validation.NEGLIGIBLE_WEIGHT, 0.0, weights)
            weights = weights.astype(self.dtype)
        offset = None
        if raw.offset is not None:
            given: Any = raw.offset
            if raw.offset_names is not None:
                given = pd.DataFrame(given, columns=raw.offset_names)
            checked = _validation.check_offset(given, len(codes), self.classes, self.dtype)
            offset = _validation.offset_of(checked, self.active)  # type: ignore[arg-type]
        return Rows(raw.X.astype(self.dtype, copy=False), targets, weights, offset)


def read(
    reader: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    offset: Any,
    *,
    classes: Array | None = None,
) -> Labelled:
    """Read and check Dask collections with one label a row.

    Parameters
    ----------
    reader : estimator or FittedColumns
        An estimator in its `fit` learns the columns of X. X must have given columns.
    X : Dask array or data frame of shape (n_samples, n_features)
    y, sample_weight, offset : Dask collection, array-like, number or None
    classes : ndarray of shape (n_classes,), optional
        The sorted classes; None stands for the labels in y.

    Raises
    ------
    ValueError, TypeError
        For everything that a fit of arrays in memory refuses.
    """
    given = {"y": y, "sample_weight": sample_weight, "offset": offset}
    checked = check_chunks(reader, X, given, _label_codes, _label_totals)
    labels = _joined_labels([summary.labels for summary in checked.summaries])
    if classes is None:
        classes, _ = encode_labels(labels)
    else:
        refuse_unknown(labels, classes, "y")
    totals = np.zeros(len(classes))
    for summary in checked.summaries:
        position = np.searchsorted(classes, summary.labels)
        np.add.at(totals, position, summary.totals * (summary.top_weight / checked.top_weight))
    return Labelled(
        checked.scheduler,
        checked.names,
        checked.handles,
        checked.summaries,
        checked.has_weights,
        checked.has_offset,
        classes,
        totals,
    )


def _joined_labels(labels: list[Array]) -> Array:
    """Return the labels of all chunks in one array, with repetitions.

    Numbers and strings together become objects, since NumPy would convert the numbers to strings.
    `encode_labels` refuses them afterwards.
    """
    some = [array for array in labels if len(array)]
    is_text = {array.dtype.kind in "US" for array in some}
    return np.concatenate([array.astype(object) for array in some] if len(is_text) > 1 else some)


def _label_codes(y: Any) -> tuple[Array, Array]:
    """Return the labels of a chunk of y, and each row's position among them; -1 if missing."""
    codes, labels = pd.factorize(column(y, "y"))
    return codes, np.asarray(labels)


def _label_totals(raw: CheckedRows, weights: Array | None) -> Array:
    """Return the sum of the weights of the rows with each label of a chunk."""
    return np.bincount(raw.codes, weights, len(raw.labels))


def _codes(raw: CheckedRows, classes: Array) -> Array:
    """Return the code of each row's class in a chunk, in the smallest integer type."""
    smallest = np.min_scalar_type(len(classes) - 1)
    return np.searchsorted(classes, raw.labels).astype(smallest)[raw.codes]
