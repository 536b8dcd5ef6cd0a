"""Conversion of y to `Observations`.

y holds for each row one of these:

- a class label, in an array of shape (n_samples,);
- counts or shares of the classes, in a table of shape (n_samples, n_classes);
- a set of possible labels with `partial_labels`, in a list of sets or in a boolean table.

A y with two or more columns is a table.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from skmaxent._input._interchange import (
    columns_in_order,
    exact_integers,
    integers,
    native,
    refuse_masked,
)
from skmaxent._input._labels import encode_labels
from skmaxent._input._numbers import as_floats
from skmaxent._input._observations import Observations
from skmaxent._typing import Array

# The end of error messages: what y may be.
EXPECTED = (
    "expected labels of shape (n_samples,), or a table of shape (n_samples, n_classes) with a "
    "count or share, zero or more, of each class"
)


def is_table(y: Any) -> bool:
    """Return whether y is a table with two or more columns, or sparse."""
    if sp.issparse(y):
        return True
    shape = getattr(y, "shape", None)
    if shape is None and isinstance(y, (list, tuple)) and len(y):
        first = y[0]
        return isinstance(first, (list, tuple, np.ndarray)) and len(first) > 1
    return shape is not None and len(shape) == 2 and shape[1] > 1


def observe(y: Any, classes: Array | None = None, *, partial_labels: bool = False) -> Observations:
    """Return y in the form of `Observations`.

    Parameters
    ----------
    y : array-like
        Labels, a table, or sets with `partial_labels`.
    classes : ndarray of shape (n_classes,), optional
        The sorted classes, some of which y may lack. The columns of a frame are matched by name.
        None stands for the classes that y contains.
    partial_labels : bool, default=False
        Whether y may hold sets of possible labels.

    Raises
    ------
    ValueError
        For labels that are not among the classes, and for missing, negative or ambiguous entries.
    """
    y = exact_integers(native(y, "y"))
    refuse_masked(y, "y")
    sets = sets_of(y) if partial_labels else None
    if sets is not None:
        return _from_sets(sets, classes)
    if is_table(y):
        return _from_table(y, classes, partial_labels)
    classes, codes = encode_labels(_one_a_row(y), classes)
    return Observations(classes, codes)


def refuse_sets(y: Any) -> None:
    """Raise ValueError if y is a sequence whose first element is a set."""
    if begins_with_set(y):
        raise ValueError(
            "y holds sets of labels; expected one label for each row. If one label of each set is "
            "true, use MaxentClassifier(partial_labels=True). If all of them are, use "
            "MultilabelMaxentClassifier with the indicator matrix that "
            "sklearn.preprocessing.MultiLabelBinarizer makes of the sets."
        )


def _one_a_row(y: Any) -> Array:
    """Return labels y, which may be a single column, as an array (n_samples,) with a row or more.

    Raises ValueError for other shapes and for sets.
    """
    refuse_sets(y)
    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or not len(labels):
        raise ValueError(f"y has the shape {labels.shape}; {EXPECTED}.")
    return labels


def begins_with_set(y: Any) -> bool:
    """Return whether y is a sequence whose first element is a set."""
    if not (isinstance(y, (list, tuple)) or str(getattr(y, "dtype", "")) == "object"):
        return False
    return isinstance(next(iter(y), None), (set, frozenset))


def sets_of(y: Any) -> list[Any] | None:
    """Return y as a list if at least one of its elements is a set, else None."""
    if sp.issparse(y) or getattr(y, "ndim", 1) != 1 or not isinstance(y, Iterable):
        return None
    rows = list(y)
    return rows if any(isinstance(row, (set, frozenset)) for row in rows) else None


def _from_sets(rows: list[Any], classes: Array | None) -> Observations:
    """Return `Observations` for a list of sets; elements that are no sets stand for one label."""
    sets = [row if isinstance(row, (set, frozenset)) else {row} for row in rows]
    empty = [i for i, row in enumerate(sets) if not row]
    if empty:
        raise ValueError(f"y has empty sets in the rows {empty[:5]}; expected a class or more.")
    labels = set().union(*sets)
    if classes is None:
        kinds = {type(label) for label in labels}
        # Integers beyond int64 would become floats in `np.array`, and equal to their neighbours.
        # Integers of Python and of NumPy are one type of labels.
        mixed = len(kinds) > 1 and not kinds & {bool, np.timedelta64}
        if kinds == {int} or (mixed and all(issubclass(k, int | np.integer) for k in kinds)):
            every = integers(labels)
        else:
            every = np.array(list(labels), dtype=None if len(kinds) == 1 else object)
        classes, _ = encode_labels(every)
    # Times of NumPy and of Python are equal, but have other hashes.
    position = {label: code for code, label in enumerate(classes)}
    position |= {label: code for code, label in enumerate(classes.tolist())}
    unknown = [label for label in labels if label not in position]
    if unknown:
        raise ValueError(f"y has the labels {unknown}; expected labels among {classes.tolist()}.")
    counts = np.zeros((len(sets), len(classes)))
    for i, row in enumerate(sets):
        counts[i, [position[label] for label in row]] = 1.0
    return Observations.of_counts(classes, counts, are_sets=True)


def _from_table(y: Any, classes: Array | None, partial_labels: bool) -> Observations:
    """Return `Observations` for a table of counts, or of possible classes with `partial_labels`."""
    y, names = _columns_in_order(y, classes)
    y = _dense_table(y)
    counts = _numbers(y)
    if classes is not None and len(classes) != y.shape[1]:
        raise ValueError(
            f"y has {y.shape[1]} columns; expected one for each of {classes.tolist()}."
        )
    _refuse_invalid_counts(counts)
    if partial_labels:
        _refuse_other_than_zero_and_one(counts)
    elif y.dtype == bool:
        _refuse_several_true(counts)
    unseen = ~counts.any(axis=0)
    if classes is None and unseen.any():
        raise ValueError(
            f"y has nothing but zeros in the columns {names[unseen].tolist()}; expected a positive "
            "entry in each column, because the intercept of a class without observations is not "
            "finite: drop these columns."
        )
    # Columns of given classes may be all zeros: the classes come from other rows.
    classes = names if classes is None else classes
    return Observations.of_counts(classes, counts, are_sets=partial_labels)


def _dense_table(y: Any) -> Array:
    """Return a table as an ndarray of shape (n_samples, n_classes)."""
    try:
        table = y.toarray() if sp.issparse(y) else np.asarray(y)
    except ValueError as error:
        raise ValueError(
            "y has rows of different lengths; expected the same number of columns in each row, "
            f"or, with partial_labels=True, sets of labels such as {{{y[0][0]!r}}}."
        ) from error
    if table.ndim != 2:
        raise ValueError(f"y has the shape {table.shape}; {EXPECTED}.")
    return np.asarray(table)


def _refuse_invalid_counts(counts: Array) -> None:
    """Raise ValueError for counts that are not finite or negative, and for rows of zeros."""
    if not np.isfinite(counts).all():
        raise ValueError(f"y contains NaN or infinity; {EXPECTED}.")
    if (counts < 0.0).any():
        raise ValueError(f"y has negative entries, the least {counts.min()}; {EXPECTED}.")
    empty = np.flatnonzero(~counts.any(axis=1))
    if len(empty):
        raise ValueError(
            f"y has nothing but zeros in {len(empty)} rows, such as {empty[:5].tolist()}; expected "
            "a positive entry in each row: drop rows without one."
        )


def _refuse_other_than_zero_and_one(counts: Array) -> None:
    """Raise ValueError for entries of a table of possible classes other than 0 and 1."""
    wrong = counts[~np.isin(counts, (0.0, 1.0))]
    if len(wrong):
        raise ValueError(
            f"y is a table that contains {wrong[0]}. With partial_labels=True, a table says which "
            "classes are possible: expected True and False, or 0 and 1, or sets of labels."
        )


def _refuse_several_true(counts: Array) -> None:
    """Raise ValueError if a boolean table has rows with several True."""
    several = np.flatnonzero(counts.sum(axis=1) > 1.0)
    if len(several):
        raise ValueError(
            f"y is a boolean table with several True in {len(several)} rows, such as "
            f"{several[:5].tolist()}, which is ambiguous. Use partial_labels=True if one of "
            "these classes is true, y.astype(float) if there is an observation of each, and "
            "MultilabelMaxentClassifier if rows have all these labels."
        )


def _columns_in_order(y: Any, classes: Array | None) -> tuple[Any, Array]:
    """Return a table with its columns in the order of the classes, and the classes of the columns.

    If `classes` is None, the classes are the sorted names of the columns, or their positions if
    there are no names.
    """
    if not hasattr(y, "columns"):
        width = y.shape[1] if hasattr(y, "shape") else len(y[0])
        return y, np.arange(width)
    labels = list(y.columns)
    if any(isinstance(label, tuple) for label in labels):
        raise ValueError(
            f"y has columns of several levels, such as {labels[0]}; expected a label of a class "
            "for each column."
        )
    if classes is None:
        several = sorted({str(label) for label in labels if labels.count(label) > 1})
        if several:
            raise ValueError(
                f"y has more than one column {several}; expected different names of columns, one "
                "for each class."
            )
        try:
            ordered = np.array(sorted(labels))
        except TypeError as error:
            raise ValueError(
                f"y has columns with names that cannot be sorted together, {labels}; expected "
                "labels of one type."
            ) from error
    else:
        ordered = classes
        missing = [label for label in classes.tolist() if label not in labels]
        if missing or len(labels) != len(classes):
            raise ValueError(
                f"y has the columns {labels}; expected a column for each of {classes.tolist()}."
            )
    return columns_in_order(y, [labels.index(label) for label in ordered.tolist()]), ordered


def _numbers(y: Array) -> Array:
    """Return a table as float64; raise ValueError for missing entries and other values."""
    try:
        if y.dtype.kind == "c":
            raise TypeError("complex")
        return as_floats(y)
    except (TypeError, ValueError) as error:
        if pd.isna(y).any():
            raise ValueError(f"y contains NaN or other missing entries; {EXPECTED}.") from error
        raise ValueError(
            f"y has the shape {y.shape} and holds {y.ravel().tolist()[0]!r}; {EXPECTED}."
        ) from error


def refuse_lacking(y: Any, classes: Array) -> None:
    """Raise ValueError if labels y lack one of the classes (n_classes,) of a fit.

    Nothing is raised for other labels that are not among the classes.
    """
    if is_table(y):
        return
    found = observe(y, None).classes
    lacking = classes[~np.isin(classes, found)]
    if len(lacking) and np.isin(found, classes).all():
        raise ValueError(
            f"y must have the labels of the fit, found none of {lacking.tolist()}: expected the "
            "rows of the fit."
        )
