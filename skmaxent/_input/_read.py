"""Checks of X and y, and the conversion of the arguments of `fit` to `TrainingData`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_consistent_length, validate_data

from skmaxent._input import _dask_labels, _validation
from skmaxent._input._fitted_columns import FittedColumns
from skmaxent._input._interchange import (
    canonical,
    columns_of_categories,
    columns_of_time,
    exact_integers,
    is_frame_without_columns,
    is_single_precision,
    native,
    refuse_masked,
    without_fill,
)
from skmaxent._input._labels import MISSING_LABELS, has_missing
from skmaxent._input._numeric_columns import about_columns, columns_without_numbers, needs_numbers
from skmaxent._input._settings import Settings
from skmaxent._input._targets import begins_with_set, is_table, observe, sets_of
from skmaxent._input._training_data import TrainingData, data_in_memory
from skmaxent._storage._cluster import is_dask, refuse_dask
from skmaxent._storage._device_array import DeviceArray
from skmaxent._storage._place import Place, place_of, to_host
from skmaxent._typing import Array


def read(
    settings: Settings,
    reader: Any,
    X: Any,
    y: Any,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    *,
    classes: Array | None = None,
) -> TrainingData:
    """Check the arguments of `fit` and return them as `TrainingData`.

    Parameters
    ----------
    settings : Settings
        The parameters of the classifier.
    reader : estimator or FittedColumns
        An estimator in its `fit` learns the columns of X. X must have given columns.
    X, y, sample_weight, offset : object
        The arguments of `MaxentClassifier.fit`.
    classes : ndarray of shape (n_classes,), optional
        All labels, some of which y may lack; None stands for those that y contains.

    Raises
    ------
    ValueError, TypeError
        For arguments that cannot be fitted.
    """
    smoothing = settings.label_smoothing
    if any(map(is_dask, (X, y, sample_weight, offset))):
        if settings.partial_labels:
            refuse_dask("partial_labels=True", X, y)
        labelled = _dask_labels.read(reader, X, y, sample_weight, offset, classes=classes)
        class_weight = _validation.check_class_weight(
            settings.class_weight, labelled.classes, labelled.totals
        )
        return labelled.training_data(class_weight, smoothing)
    X, y = check_rows(reader, X, y, partial_labels=settings.partial_labels)
    check_has_coefficients(X, fit_intercept=settings.fit_intercept)
    if not X.shape[1]:
        _refuse_what_needs_columns(settings)
    observed = observe(y, classes, partial_labels=settings.partial_labels)
    sample_weight = _validation.check_sample_weight(sample_weight, X.shape[0])
    class_weight = None
    if settings.class_weight is not None:
        class_weight = _validation.check_class_weight(
            settings.class_weight, observed.classes, observed.totals(sample_weight)
        )
    return data_in_memory(
        X,
        observed,
        FittedColumns.of(reader).names,
        sample_weight,
        class_weight,
        smoothing=smoothing,
        offset=_validation.check_offset(offset, X.shape[0], observed.classes, X.dtype),
    )


def check_has_coefficients(X: Any, *, fit_intercept: bool) -> None:
    """Raise ValueError for a model without coefficients: X has no columns, and no intercept."""
    if not X.shape[1] and not fit_intercept:
        raise ValueError(
            "X has no columns, and fit_intercept=False leaves no coefficients to fit: expected "
            "fit_intercept=True, or a column."
        )


def _refuse_what_needs_columns(settings: Settings) -> None:
    """Raise ValueError for parameters that the intercept-only model has no use for."""
    if settings.bounds is not None:
        raise ValueError(
            f"X has no columns, but bounds of their coefficients are given, {settings.bounds!r}: "
            "expected bounds=None."
        )
    if settings.is_path:
        raise ValueError(
            "X has no columns, and all C have the same model: expected a column, or "
            "MaxentClassifier for the intercept-only model."
        )


def check_rows(reader: Any, X: Any, y: Any, *, partial_labels: bool = False) -> tuple[Any, Any]:
    """Check X and y and return them.

    Parameters
    ----------
    reader : estimator or FittedColumns
        As in `check_data`.
    X, y : array-like
    partial_labels : bool, default=False
        Whether y may hold sets of possible labels.

    Returns
    -------
    X : ndarray, CSR matrix or DeviceArray of shape (n_samples, n_features)
    y : object
        An ndarray of labels (n_samples,), or the unchanged table or sets.

    Raises
    ------
    ValueError
        If X or y are invalid, or if y holds sets without `partial_labels`.
    TypeError
        If X or y is a Dask collection.
    """
    is_fitted = isinstance(reader, FittedColumns)
    refuse_dask(reader.estimator if is_fitted else type(reader).__name__, X, y)
    y = exact_integers(native(to_host(y), "y"))
    has_sets = begins_with_set(y)
    if has_sets and not partial_labels:
        raise ValueError(
            "y holds sets of labels; expected one label for each row. If one label of each set is "
            "true, use MaxentClassifier(partial_labels=True). If all of them are, use "
            "MultilabelMaxentClassifier with the indicator matrix that "
            "sklearn.preprocessing.MultiLabelBinarizer makes of the sets."
        )
    has_sets = has_sets or (partial_labels and sets_of(y) is not None)
    if not (has_sets or is_table(y)):
        X, y = check_data(reader, X, y)
        return X, y
    X = check_data(reader, X)
    check_consistent_length(X, y)
    return X, y


def check_data(reader: Any, *arrays: Any) -> Any:
    """Check X, or X and y, by scikit-learn's rules and return them converted.

    Parameters
    ----------
    reader : estimator or FittedColumns
        An estimator in its `fit` learns the columns of X. X must have given columns.
    *arrays : array-like
        X, or X and y.

    Returns
    -------
    X : ndarray, CSR matrix or DeviceArray of shape (n_samples, n_features)
        A float32 or float64 array; a DeviceArray if scikit-learn dispatches on X. Its entries may
        be NaN or infinite: callers notice this in sums over X, which saves a pass. A frame with
        rows and without columns is the X of the intercept-only model. A fit refuses arrays without
        columns, as all of scikit-learn's classifiers do.
    y : ndarray of shape (n_samples,), optional
    """
    is_fitted = isinstance(reader, FittedColumns)
    if not is_fitted and len(arrays) == 2 and _are_plain(*arrays):
        # Nothing is left for scikit-learn to check, which takes as long as a fit of few rows.
        vars(reader).pop("feature_names_in_", None)
        reader.n_features_in_ = arrays[0].shape[1]
        return arrays
    validate = reader.validate if is_fitted else partial(validate_data, reader)
    place = place_of(arrays[0])
    if place is not None:
        return _check_on_device(validate, place, *arrays)
    arrays = tuple(native(array, name) for array, name in zip(arrays, "Xy", strict=False))
    for array, name in zip(arrays, "Xy", strict=False):
        refuse_masked(array, name)
    has_no_columns = is_frame_without_columns(arrays[0])
    if is_fitted and not reader.n_features:
        has_no_columns |= np.shape(arrays[0])[1:] == (0,)
    if has_no_columns:
        arrays = (np.empty(arrays[0].shape), *arrays[1:])
    times = columns_of_time(arrays[0])
    if times:
        raise TypeError(needs_numbers(times, "the unit of such numbers would be arbitrary"))
    categories = columns_of_categories(arrays[0])
    if categories:
        described = columns_without_numbers(arrays[0], categories)
        raise ValueError(needs_numbers(described, "text and categories do not count as numbers"))
    try:
        checked = validate(
            *arrays,
            accept_sparse="csr",
            dtype=np.float32 if is_single_precision(arrays[0]) else [np.float64, np.float32],
            ensure_all_finite=False,
            ensure_min_features=0 if has_no_columns else 1,
        )
        if len(arrays) == 1:
            return canonical(checked)
        return canonical(checked[0]), checked[1]
    except (TypeError, ValueError) as error:
        if "fill value" in str(error):  # pandas has no COO matrix of such columns
            filled = without_fill(arrays[0])
            if filled is not None:
                return check_data(reader, filled, *arrays[1:])
        if len(arrays) > 1 and has_missing(arrays[1]):
            raise ValueError(MISSING_LABELS) from error
        explained = about_columns(error, arrays[0])
        if explained is error:
            raise
        raise explained from error


def _are_plain(X: Any, y: Any) -> bool:
    """Return whether X is a table of floats and y as many integers or strings, all in NumPy."""
    return (
        type(X) is np.ndarray
        and type(y) is np.ndarray
        and X.ndim == 2
        and y.ndim == 1
        and len(X) == len(y) > 0 < X.shape[1]
        and X.dtype in (np.float64, np.float32)
        and X.dtype.isnative
        and y.dtype.kind in "iubU"
    )


def _check_on_device(validate: Callable[..., Any], place: Place, X: Any, *labels: Any) -> Any:
    """Return X as a `DeviceArray`, or X and y; `validate` is scikit-learn's check."""
    if place.xp.isdtype(X.dtype, "complex floating"):
        raise ValueError(f"Complex data not supported: X has the dtype {X.dtype}.")
    dtypes = [place.dtype(dtype) for dtype in (np.float64, np.float32)]
    options = {"dtype": dtypes, "ensure_all_finite": False}
    if not labels:
        return DeviceArray(validate(X, **options), place)
    X, y = validate(X, *map(to_host, labels), **options)
    return DeviceArray(X, place), y
