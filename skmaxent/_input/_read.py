"""Checks of X and y, and the conversion of the arguments of `fit` to `TrainingData`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_consistent_length, validate_data

from skmaxent._input import _validation
from skmaxent._input._fitted_columns import FittedColumns
from skmaxent._input._interchange import (
    canonical,
    columns_of_categories,
    exact_integers,
    is_frame_without_columns,
    is_single_precision,
    native,
    refuse_masked,
    without_fill,
)
from skmaxent._input._labels import MISSING_LABELS, has_missing
from skmaxent._input._numeric_columns import (
    about_columns,
    columns_without_numbers,
    not_numeric_message,
    refuse_times_in_columns,
)
from skmaxent._input._settings import Settings
from skmaxent._input._targets import (
    begins_with_set,
    is_table,
    observe,
    refuse_sets,
    sets_of,
)
from skmaxent._input._training_data import TrainingData, data_in_memory
from skmaxent._storage._cluster import is_dask, refuse_dask
from skmaxent._storage._device_array import DeviceArray
from skmaxent._storage._place import Place, place_of, to_host
from skmaxent._typing import Array


def read(
    settings: Settings,
    estimator_or_columns: Any,
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
    estimator_or_columns : estimator or FittedColumns
        The estimator that stores the columns of X, or the `FittedColumns` that X must have.
    X, y, sample_weight, offset : object
        The arguments of `MaxentClassifier.fit`.
    classes : ndarray of shape (n_classes,), optional
        The sorted labels of the fit, some of which may be absent from y; None stands for the
        labels that y contains.

    Raises
    ------
    ValueError, TypeError
        For arguments that cannot be fitted.
    """
    smoothing = settings.label_smoothing
    if any(map(is_dask, (X, y, sample_weight, offset))):
        if settings.partial_labels:
            refuse_dask("partial_labels=True", X, y)
        from skmaxent._input import _dask_labels  # late: seldom needed

        labelled = _dask_labels.read(
            estimator_or_columns, X, y, sample_weight, offset, classes=classes
        )
        class_weight = _validation.check_class_weight(
            settings.class_weight, labelled.classes, labelled.totals
        )
        return labelled.training_data(class_weight, smoothing)
    X, y = check_rows(estimator_or_columns, X, y, partial_labels=settings.partial_labels)
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
        FittedColumns.of(estimator_or_columns).names,
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
    """Raise ValueError for bounds and for a path, which mean nothing if X has no columns."""
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


def check_rows(
    estimator_or_columns: Any, X: Any, y: Any, *, partial_labels: bool = False
) -> tuple[Any, Any]:
    """Check X and y, where y may be labels, a table of counts or sets, and return them converted.

    Parameters
    ----------
    estimator_or_columns : estimator or FittedColumns
        As in `read`.
    X, y : array-like
    partial_labels : bool, default=False
        Whether y may hold sets of possible labels.

    Returns
    -------
    X : ndarray, CSR matrix or DeviceArray of shape (n_samples, n_features)
    y : object
        An ndarray of labels (n_samples,); a table and sets are returned unchanged.

    Raises
    ------
    ValueError
        If X or y are invalid, or if y holds sets without `partial_labels`.
    TypeError
        If X or y is a Dask collection.
    """
    is_fitted = isinstance(estimator_or_columns, FittedColumns)
    refuse_dask(
        estimator_or_columns.estimator if is_fitted else type(estimator_or_columns).__name__, X, y
    )
    y = exact_integers(native(to_host(y), "y"))
    if not partial_labels:
        refuse_sets(y)
    has_sets = partial_labels and (begins_with_set(y) or sets_of(y) is not None)
    if not (has_sets or is_table(y)):
        X, y = check_data(estimator_or_columns, X, y)
        return X, y
    X = check_data(estimator_or_columns, X)
    check_consistent_length(X, y)
    return X, y


def check_data(estimator_or_columns: Any, *arrays: Any) -> Any:
    """Check X, or X and labels y, by scikit-learn's rules and return them converted.

    Parameters
    ----------
    estimator_or_columns : estimator or FittedColumns
        As in `read`.
    *arrays : array-like
        X of shape (n_samples, n_features), or X and labels y of shape (n_samples,).

    Returns
    -------
    X : ndarray, CSR matrix or DeviceArray of shape (n_samples, n_features)
        A float32 or float64 array; a DeviceArray if scikit-learn dispatches on X. Entries of X may
        be NaN or infinite: sums over X that a fit needs anyway find them, without a further pass.
        A frame with rows and without columns is the X of the intercept-only model. A fit refuses
        arrays without columns, as all of scikit-learn's classifiers do.
    y : ndarray of shape (n_samples,), optional
    """
    is_fitted = isinstance(estimator_or_columns, FittedColumns)
    if not is_fitted and len(arrays) == 2 and _are_plain(*arrays):
        # Such arrays need no conversion, and scikit-learn's checks take as long as a small fit.
        # As scikit-learn does, forget the names of an earlier fit.
        vars(estimator_or_columns).pop("feature_names_in_", None)
        estimator_or_columns.n_features_in_ = arrays[0].shape[1]
        return arrays
    validate = (
        estimator_or_columns.validate if is_fitted else partial(validate_data, estimator_or_columns)
    )
    place = place_of(arrays[0])
    if place is not None:
        return _check_on_device(validate, place, *arrays)
    arrays = tuple(native(array, name) for array, name in zip(arrays, "Xy", strict=False))
    for array, name in zip(arrays, "Xy", strict=False):
        refuse_masked(array, name)
    has_no_columns = is_frame_without_columns(arrays[0])
    if is_fitted and not estimator_or_columns.n_features:
        has_no_columns |= np.shape(arrays[0])[1:] == (0,)
    if has_no_columns:
        arrays = (np.empty(arrays[0].shape), *arrays[1:])
    _refuse_times_and_categories(arrays[0])
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
    except (TypeError, ValueError, OverflowError) as error:
        if "fill value" in str(error):  # pandas has no COO matrix of such columns
            filled = without_fill(arrays[0])
            if filled is not None:
                return check_data(estimator_or_columns, filled, *arrays[1:])
        if len(arrays) > 1 and has_missing(arrays[1]):
            raise ValueError(MISSING_LABELS) from error
        explained = about_columns(error, arrays[0])
        if explained is error:
            raise
        raise explained from error


def _refuse_times_and_categories(X: Any) -> None:
    """Raise TypeError for dates and durations, and ValueError for text and categories in a frame.

    scikit-learn would convert them to numbers where it can.
    """
    refuse_times_in_columns(X)
    categories = columns_of_categories(X)
    if categories:
        raise ValueError(
            not_numeric_message(
                columns_without_numbers(X, categories),
                "text and categories do not count as numbers",
            )
        )


def _are_plain(X: Any, y: Any) -> bool:
    """Return whether X and y are ndarrays that a fit takes without any conversion.

    These are X (n_samples, n_features) of floats, and y (n_samples,) of integers, booleans or
    strings, with at least one row and column.
    """
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
    """Return X on a device as a `DeviceArray`, or X and labels y, checked and y in host memory.

    `validate` is the function of scikit-learn, or of `FittedColumns`, that checks X or X and y.
    """
    if place.xp.isdtype(X.dtype, "complex floating"):
        raise ValueError(f"Complex data not supported: X has the dtype {X.dtype}.")
    dtypes = [place.dtype(dtype) for dtype in (np.float64, np.float32)]
    options = {"dtype": dtypes, "ensure_all_finite": False}
    if not labels:
        return DeviceArray(validate(X, **options), place)
    X, y = validate(X, *map(to_host, labels), **options)
    return DeviceArray(X, place), y
