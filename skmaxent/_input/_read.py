"""Conversion of the arguments of `fit` to `TrainingData`."""

from __future__ import annotations

from typing import Any

from sklearn.utils.validation import check_consistent_length

from skmaxent._input import _dask_labels, _validation
from skmaxent._input._fitted_columns import FittedColumns
from skmaxent._input._interchange import exact_integers, native
from skmaxent._input._settings import Settings
from skmaxent._input._targets import begins_with_set, is_table, observe, sets_of
from skmaxent._input._training_data import TrainingData, data_in_memory
from skmaxent._storage._cluster import is_dask, refuse_dask
from skmaxent._storage._place import to_host
from skmaxent._typing import Array


def read(
    settings: Settings,
    reader: Any,
    X: Any,
    y: Any,
    sample_weight: Any = None,
    offset: Any = None,
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


def _refuse_what_needs_columns(settings: Settings) -> None:
    """Raise ValueError for parameters that the intercept-only model has no use for."""
    if not settings.fit_intercept:
        raise ValueError(
            "X has no columns, and fit_intercept=False leaves no coefficients to fit: expected "
            "fit_intercept=True, or a column."
        )
    if settings.bounds is not None:
        raise ValueError("X has no columns whose coefficients bounds are of: expected bounds=None.")
    if settings.C is None:
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
        X, y = _validation.check_data(reader, X, y)
        return X, y
    X = _validation.check_data(reader, X)
    check_consistent_length(X, y)
    return X, y
