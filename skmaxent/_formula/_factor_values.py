"""Checks of the values that a factor of a formula has on the rows of a frame.

A factor is what a term of a formula multiplies: a column, or an expression such as ``log(x)`` or
``bs(x, 4)``. Its values are an array, a Series, or a dict with an array or a Series of each column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from skmaxent._typing import Array
from skmaxent._warnings import MOST_LISTED

if TYPE_CHECKING:
    import pandas as pd


def listed(values: Sequence[Any]) -> str:
    """Return the text of a list of distinct values, at most `MOST_LISTED`, for an error."""
    values = list(dict.fromkeys(values))
    more = f" and {len(values) - MOST_LISTED} more" if len(values) > MOST_LISTED else ""
    return f"{values[:MOST_LISTED]}{more}"


def parts_of(values: Any) -> list[Any]:
    """Return the columns of an evaluated factor: those of a dict, or the values themselves."""
    # formulaic wraps the values of factors; keys of its dicts that begin with "__" hold no columns.
    values = getattr(values, "__wrapped__", values)
    if not isinstance(values, dict):
        return [values]
    return [
        part
        for name, value in values.items()
        if not str(name).startswith("__")
        for part in parts_of(value)
    ]


def distinct(values: Any) -> list[Any]:
    """Return the distinct values of a column without the missing ones."""
    import pandas as pd

    return [value for value in pd.unique(pd.Series(values)) if not pd.isna(value)]


def check_shape(expression: str, values: Any, n_rows: int) -> None:
    """Raise ValueError unless a factor has a value for each row."""
    for part in parts_of(values):
        shape = np.shape(part)
        if not shape or shape[0] != n_rows:
            found = f"{shape[0]} values" if shape else "a single value"
            raise ValueError(f"{expression} has {found}; expected one for each of {n_rows} rows.")


def refuse_missing(
    factors: dict[str, Any], columns: dict[str, list[str]], data: pd.DataFrame
) -> None:
    """Raise ValueError if factors have missing values; the message counts them by column.

    Parameters
    ----------
    factors : dict
        The values of each factor, by its expression.
    columns : dict of str to list of str
        The columns of `data` that each factor uses, by its expression. Missing values are counted
        in these columns, because a function such as a mean spreads them to other rows of the
        factor. If only the factor has missing values, as for log(-1), they are counted there.
    data : pandas.DataFrame of shape (n_samples, n_columns)
    """
    counts: dict[str, int] = {}
    rows = np.zeros(len(data), bool)
    for expression, values in factors.items():
        missing = _missing_rows(values, len(data))
        if not missing.any():
            continue
        incomplete = data[columns[expression]].isna()
        counts |= {name: int(n) for name, n in incomplete.sum().items() if n}
        if incomplete.to_numpy().any():
            missing = incomplete.to_numpy().any(axis=1)
        else:
            counts[expression] = int(missing.sum())
        rows |= missing
    if counts:
        by_name = ", ".join(f"{name} in {n}" for name, n in counts.items())
        raise ValueError(
            f"The formula has missing values (NaN or None) in {rows.sum()} of {len(data)} rows: "
            f"{by_name}. The first are {np.flatnonzero(rows)[:MOST_LISTED].tolist()}. Drop these "
            "rows, as skmaxent.from_formula does with na_action='drop', or impute values."
        )


def _missing_rows(values: Any, n_rows: int) -> Array:
    """Return which rows of a factor have missing values, (n_rows,)."""
    import pandas as pd

    missing = np.zeros(n_rows, bool)
    for part in parts_of(values):
        if not sp.issparse(part):
            missing |= np.asarray(pd.isna(part)).reshape(n_rows, -1).any(axis=1)
    return missing


def refuse_infinite(expression: str, values: Any) -> None:
    """Raise ValueError for infinite values of a factor, such as the logarithm of zero.

    Checked are the dense parts of floating-point numbers of any precision.
    """
    for part in parts_of(values):
        rows = _infinite_rows(part)
        if rows.any():
            raise ValueError(
                f"{expression} is infinite in {rows.sum()} rows, the first of which are "
                f"{np.flatnonzero(rows)[:MOST_LISTED].tolist()}; expected finite numbers."
            )


def _infinite_rows(part: Any) -> Array:
    """Return which rows of a part of a factor are infinite, (n_rows,); none if it has no floats."""
    n_rows = np.shape(part)[0]
    if sp.issparse(part) or getattr(getattr(part, "dtype", None), "kind", "") != "f":
        return np.zeros(n_rows, bool)
    values = np.asarray(part, dtype=float).reshape(n_rows, -1)
    return np.asarray(np.isinf(values).any(axis=1))
