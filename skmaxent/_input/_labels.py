"""Encoding of class labels: the sorted classes, and the position of each label among them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets

from skmaxent._typing import Array

MISSING_LABELS = (
    "Input y contains NaN or other missing labels; expected a label for every row: drop the rows "
    "without one."
)


def has_missing(y: Any) -> bool:
    """Return whether one-dimensional y has missing entries, such as NaN and None."""
    import pandas as pd

    values = np.asarray(y, dtype=object)
    return values.ndim == 1 and bool(pd.isna(values).any())


def first_level(y: Any) -> Any:
    """Return the first category of a pandas categorical y that a row has, R's reference level.

    None is returned for other y. The user chooses the order of categories; `classes_` is sorted.
    """
    import pandas as pd

    if isinstance(y, pd.DataFrame) and y.shape[1] == 1:
        y = y.iloc[:, 0]
    if not isinstance(getattr(y, "dtype", None), pd.CategoricalDtype):
        return None
    values = y if isinstance(y, pd.Categorical) else pd.Series(y).array
    codes = np.asarray(values.codes)
    present = codes[codes >= 0]
    return values.categories[present.min()] if len(present) else None


def encode_labels(y: Any, classes: Array | None = None) -> tuple[Array, Array]:
    """Return the sorted classes (n_classes,), and the position of each label among them.

    y and the positions have shape (n_samples,). If sorted `classes` are given, they are returned as
    they are; y may lack some of them, and must not contain other labels. Raises ValueError for
    missing labels, for labels that cannot be sorted, for fewer than two classes, and for labels
    outside of given `classes`.
    """
    if classes is not None:
        return classes, _codes_among(y, classes)
    try:
        classes, codes = _integer_classes(y) if y.dtype.kind in "iu" else _sorted_classes(y)
    except (TypeError, ValueError) as error:
        if has_missing(y):
            raise ValueError(MISSING_LABELS) from error
        kinds = sorted({type(label).__name__ for label in y})
        if len(kinds) == 1:
            raise
        raise ValueError(
            f"y has labels of types that cannot be sorted together: {', '.join(kinds)}; expected "
            "labels of one type."
        ) from error
    if len(classes) < 2:
        raise ValueError(
            "This solver needs samples of at least 2 classes in the data, but y contains "
            f"only one class: {classes.tolist()[0]!r}. Expected two or more different labels in y."
        )
    return classes, codes


def _codes_among(y: Array, classes: Array) -> Array:
    """Return the position of each label of y (n_samples,) among sorted classes (n_classes,).

    Raises ValueError for missing labels and for labels that are not among the classes.
    """
    if y.dtype.kind in "fO" and has_missing(y):
        raise ValueError(MISSING_LABELS)
    if y.dtype.kind in "iu" and classes.dtype.kind in "iu" and y.dtype != classes.dtype:
        same = y.astype(classes.dtype)  # NumPy would compare int64 with uint64 as float64
        y = same if (same == y).all() else y
    try:
        codes = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
        unknown = y[np.asarray(classes[codes] != y, dtype=bool)].tolist()
    except TypeError:  # the types of the labels cannot be compared
        known = set(classes.tolist())
        codes, unknown = np.empty(0, np.intp), [label for label in y.tolist() if label not in known]
    if unknown:
        raise ValueError(
            f"y has the labels {list(dict.fromkeys(unknown))[:10]}, which the fit has not seen; "
            f"expected labels among {classes.tolist()}."
        )
    return np.asarray(codes)


def position_of(label: Any, classes: Array) -> int | None:
    """Return the position of a label in the classes, or None if it is not one of them."""
    if np.ndim(label) != 0:
        return None
    found = np.flatnonzero(classes == label)
    return int(found[0]) if len(found) else None


def refuse_unknown(y: Any, classes: Array, name: str) -> None:
    """Raise ValueError if the argument with this name has labels that are not classes."""
    unknown = np.setdiff1d(np.asarray(y), classes)
    if len(unknown):
        raise ValueError(
            f"{name} has the labels {unknown.tolist()}; expected labels among the classes "
            f"{classes.tolist()}."
        )


def _sorted_classes(y: Array) -> tuple[Array, Array]:
    """Return the sorted classes (n_classes,), and the position (n_samples,) of each label of y.

    Raises ValueError unless y is a valid classification target of scikit-learn.
    """
    check_classification_targets(y)
    classes, codes = np.unique(y, return_inverse=True)
    return classes, codes


def _integer_classes(y: Array) -> tuple[Array, Array]:
    """Return what `_sorted_classes` returns, for integer labels.

    If the range of the labels is small, they are counted, which takes less time than sorting.
    """
    low, high = int(y.min()), int(y.max())
    if high - low > 2 * len(y) + 100:
        return _sorted_classes(y)
    # The difference of two int8 may exceed int8, so differences need a wider type.
    wide = np.uint64 if y.dtype.kind == "u" else np.int64
    shifted = (y.astype(wide, copy=False) - wide(low)).astype(np.intp, copy=False)
    present = np.bincount(shifted) > 0
    values = np.flatnonzero(present)
    codes = shifted if len(values) == len(present) else (np.cumsum(present) - 1)[shifted]
    return (values.astype(wide) + wide(low)).astype(y.dtype), codes
