"""Dask collections with a class label for each row, and the training data that they become."""

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
from skmaxent._input._training_data import (
    LARGEST_SCALE,
    SMALLEST_SCALE,
    TrainingData,
    divided,
    fitted_classes,
    positions_among,
)
from skmaxent._storage._chunked_rows import ChunkedRows, ChunksShape
from skmaxent._storage._cluster import mapped
from skmaxent._storage._storage import Rows
from skmaxent._storage._threads import Workers
from skmaxent._typing import Array, DType


@dataclass(frozen=True)
class Labelled(CheckedChunks):
    """Chunks of checked rows with one class label for each row.

    `top_weight` is the largest sample weight of all rows.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        The sorted labels of all chunks.
    totals : ndarray of shape (n_classes,)
        The sum of the weights of each class, divided by `top_weight`.
    largest : ndarray of shape (n_classes,)
        The largest weight of each class, divided by `top_weight`.
    """

    classes: Array
    totals: Array
    largest: Array

    def training_data(self, class_weight: Array | None, smoothing: float) -> TrainingData:
        """Return the training data with these class weights and this label smoothing."""
        return self.training_data_of(
            self.totals, self.largest, class_weight, smoothing, self._stored
        )

    def training_data_of(
        self,
        totals: Array,
        largest: Array,
        class_weight: Array | None,
        smoothing: float,
        stored: Callable[[Array, Array | None, int, Workers], ChunkedRows],
    ) -> TrainingData:
        """Return the training data of all rows, or of those rows that `stored` chooses.

        Parameters
        ----------
        totals : ndarray of shape (n_classes,)
            The sum of the weights of the chosen rows of each class, divided by `top_weight`.
        largest : ndarray of shape (n_classes,)
            The largest weight of the chosen rows of each class, divided by `top_weight`.
        class_weight : ndarray of shape (n_classes,) or None
        smoothing : float
            The weight of the uniform distribution in the targets.
        stored : callable
            ``stored(active, factors, n_logits, workers)`` returns the storage of the chosen rows.
            `active` are the positions of the fitted classes, and `factors` (n_classes,), or None,
            multiply the weights of the rows of each class.
        """
        ones = np.ones(len(self.classes))
        factors, unit = divided(ones if class_weight is None else class_weight, largest)
        present = np.flatnonzero(_validation.without_negligible(largest * factors))
        scale = float(np.clip(self.top_weight * unit, SMALLEST_SCALE, LARGEST_SCALE))
        is_unchanged = class_weight is None and unit == 1.0
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
            partial(stored, active, None if is_unchanged else factors, model.n_logits),
            class_weight=class_weight,
        )

    def _stored(
        self, active: Array, factors: Array | None, n_logits: int, workers: Workers
    ) -> ChunkedRows:
        """Return the storage of all rows; see `training_data_of` for the parameters."""
        top_weight = self.top_weight if self.has_weights else None
        conversion = LabelConversion(self.classes, active, top_weight, factors, self.dtype)
        chunks, shape = self.converted(conversion)
        shape = replace(shape, has_weights=self.has_weights or factors is not None)
        return ChunkedRows(self.scheduler, chunks, shape, n_logits=n_logits, workers=workers)

    def codes(self) -> Array:
        """Return, in memory, the class codes of all rows, (n_samples,).

        A code takes one byte for up to 256 classes.
        """
        parts = mapped(self.scheduler, _codes, self.handles, [self.classes] * len(self.handles))
        return np.concatenate(self.scheduler.gather(parts))

    def converted_with_marks(self, marks: Array) -> tuple[list[Any], ChunksShape]:
        """Return handles of the chunks converted for cross-validation, and the sizes of the chunks.

        `marks` (n_marks, n_samples) are those of `Splits`: integers that say which rows each fold
        trains on and holds out. They are stored with the chunks. The targets are the codes of all
        classes, because folds differ in the classes that they fit. The checked rows are forgotten,
        as in `converted`.
        """
        top_weight = self.top_weight if self.has_weights else None
        every = np.arange(len(self.classes))
        conversion = LabelConversion(self.classes, every, top_weight, None, self.dtype)
        chunks, shape = self.converted(conversion, marks)
        return chunks, replace(shape, has_weights=True)


@dataclass(frozen=True)
class LabelConversion:
    """Function that converts the checked rows of a chunk to rows of a fit.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
    active : ndarray of int
        The positions of the classes that are fitted.
    top_weight : float or None
        The largest sample weight, by which weights are divided; None without sample weights.
    factors : ndarray of shape (n_classes,) or None
        Numbers that multiply the weights of the rows of each class; None stands for ones.
    dtype : dtype
        The dtype of the fit.
    """

    classes: Array
    active: Array
    top_weight: float | None
    factors: Array | None
    dtype: DType

    def __call__(self, chunk: CheckedRows) -> Rows:
        code_of = np.searchsorted(self.classes, chunk.labels)
        codes = code_of[chunk.codes]
        targets = positions_among(self.active, len(self.classes))[codes]
        weights = None
        if self.top_weight is not None and chunk.weights is not None:
            weights = _validation.without_negligible(chunk.weights / self.top_weight)
        if self.factors is not None:
            factors = self.factors[codes]
            weights = factors if weights is None else weights * factors
        if weights is not None:
            weights = _validation.without_negligible(weights).astype(self.dtype)
        offset = None
        if chunk.offset is not None:
            given: Any = chunk.offset
            if chunk.offset_names is not None:
                given = pd.DataFrame(given, columns=chunk.offset_names)
            array = _validation.check_offset(given, len(codes), self.classes, self.dtype)
            offset = _validation.offset_of(array, self.active)  # type: ignore[arg-type]
        return Rows(chunk.X.astype(self.dtype, copy=False), targets, weights, offset)


def read(
    estimator_or_columns: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    offset: Any,
    *,
    classes: Array | None = None,
) -> Labelled:
    """Check Dask collections with one label for each row, and return them as `Labelled`.

    Parameters
    ----------
    estimator_or_columns : estimator or FittedColumns
        The estimator that stores the columns of X, or the `FittedColumns` that X must have.
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
    checked = check_chunks(estimator_or_columns, X, given, _label_codes, _label_totals)
    labels = _joined_labels([summary.labels for summary in checked.summaries])
    if classes is None:
        classes, _ = encode_labels(labels)
    else:
        refuse_unknown(labels, classes, "y")
    totals, largest = np.zeros((2, len(classes)))
    for summary in checked.summaries:
        position = np.searchsorted(classes, summary.labels)
        sums, tops = summary.totals * (summary.top_weight / checked.top_weight)
        np.add.at(totals, position, sums)
        np.maximum.at(largest, position, tops)
    largest = _validation.without_negligible(largest)
    return Labelled(
        checked.scheduler,
        checked.names,
        checked.handles,
        checked.summaries,
        checked.has_weights,
        checked.has_offset,
        classes,
        np.where(largest > 0.0, totals, 0.0),
        largest,
    )


def _joined_labels(labels: list[Array]) -> Array:
    """Return the labels of all chunks in one array, with repetitions.

    If some chunks have numbers and others strings, the result has the dtype object, because NumPy
    would convert the numbers to strings; `encode_labels` then raises an error for such labels.
    """
    some = [array for array in labels if len(array)]
    is_text = {array.dtype.kind in "US" for array in some}
    return np.concatenate([array.astype(object) for array in some] if len(is_text) > 1 else some)


def _label_codes(y: Any) -> tuple[Array, Array]:
    """Return the position of each row's label among the labels of a chunk of y, and these labels.

    The positions have the shape (n_rows,) and are -1 for missing labels.
    """
    codes, labels = pd.factorize(column(y, "y"))
    return codes, np.asarray(labels)


def _label_totals(chunk: CheckedRows, weights: Array | None) -> Array:
    """Return the sum and the largest of the weights of the rows with each label, (2, n_labels)."""
    return weight_totals(chunk.codes, weights, len(chunk.labels))


def weight_totals(codes: Array, weights: Array | None, n_classes: int) -> Array:
    """Return the sum and the largest of the weights of the rows of each class, (2, n_classes).

    `codes` and `weights` have the shape (n_rows,); None stands for weights of one.
    """
    sums, largest = np.bincount(codes, weights, n_classes), np.zeros(n_classes)
    np.maximum.at(largest, codes, 1.0 if weights is None else weights)
    return np.stack([sums, largest])


def _codes(chunk: CheckedRows, classes: Array) -> Array:
    """Return the position of each row's class in `classes`, (n_rows,), in the smallest dtype."""
    smallest = np.min_scalar_type(len(classes) - 1)
    return np.searchsorted(classes, chunk.labels).astype(smallest)[chunk.codes]
