"""Errors that name the columns of X without numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from skmaxent._input._interchange import columns_of_time
from skmaxent._input._numbers import time_found


def about_columns(error: Exception, X: Any) -> Exception:
    """Return an error that names the columns of X without numbers, if these caused `error`.

    Otherwise `error` itself is returned.
    """
    columns = columns_without_numbers(X) if _is_about_types(error) else []
    if not columns:
        return error
    kind = TypeError if isinstance(error, TypeError) else ValueError
    return kind(not_numeric_message(columns, str(error).splitlines()[0][:120]))


def refuse_times_in_columns(X: Any) -> None:
    """Raise TypeError if X holds dates or durations, which NumPy converts to numbers of a unit."""
    found = time_found(X)
    if found is not None:
        times = columns_of_time(X) or columns_without_numbers(X) or [found]
        raise TypeError(not_numeric_message(times, "the unit of such numbers would be arbitrary"))


def not_numeric_message(columns: list[str], reason: str) -> str:
    """Return the message of the error about columns of X that do not hold numbers.

    `columns` are their descriptions, such as from `columns_without_numbers`.
    """
    return (
        f"X must be numeric, but has columns that are not: {'; '.join(columns)}. Encode "
        "categories by sklearn.preprocessing.OneHotEncoder in a ColumnTransformer, or by a "
        "formula: skmaxent.from_formula, or skmaxent.FormulaTransformer in a pipeline. Convert or "
        f"impute the rest ({reason})."
    )


def _is_about_types(error: Exception) -> bool:
    """Return whether an error of NumPy or scikit-learn says that values are not numbers."""
    about = ("convert", "must be a string or a real number", "setting an array element")
    return any(words in str(error) for words in about) or isinstance(
        error, (OverflowError, np.exceptions.DTypePromotionError)
    )


def columns_without_numbers(X: Any, categories: Mapping[Any, str] | None = None) -> list[str]:
    """Return a description of each column of X that does not convert to numbers.

    A description has the column's name or position, and its dtype or its first value that is no
    number. `categories` maps the names of columns that are listed even if their values are numbers
    to their dtypes.
    """
    categories = {} if categories is None else categories
    named = hasattr(X, "columns")
    if not named:
        X = np.asarray(X, dtype=object)
    found = []
    for column in X.columns if named else range(X.shape[1] if X.ndim == 2 else 0):
        values = np.asarray(X[column]) if named else X[:, column]
        if values.dtype.kind in "mM":
            found.append(f"{column!r} ({values.dtype})")
        elif values.dtype.kind not in "fiub":
            wrong = [value for value in values if not _is_number(value)]
            if wrong:
                found.append(f"{column!r} (holds {wrong[0]!r}, a {type(wrong[0]).__name__})")
                continue
        if named and column in categories:
            found.append(f"{column!r} ({categories[column]})")
    return found


def _is_number(value: Any) -> bool:
    """Return whether a value converts to float."""
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True
